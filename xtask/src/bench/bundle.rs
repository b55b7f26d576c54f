//! The bundle that every runtime is measured with: what `docker run` makes of an image without
//! settings, with limits.

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Docker's 14.
const CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];
/// Moby's profile as its client writes it into the configuration on x86-64.
const SECCOMP: &str = include_str!("../../../crates/runtime/tests/data/seccomp/moby-x86_64.json");

/// A bundle in a directory of its own, removed when it is dropped.
pub(super) struct Bundle(PathBuf);

impl Bundle {
    /// `program` is the static program that the container runs with `arguments`.
    pub(super) fn new(name: &str, program: &Path, arguments: &[&str]) -> Result<Self, String> {
        let dir = std::env::temp_dir().join(format!("tare-bench-{}-{name}", std::process::id()));
        let bundle = Self(dir);
        bundle.fill(program, arguments).map_err(|error| format!("making the bundle: {error}"))?;
        Ok(bundle)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    fn fill(&self, program: &Path, arguments: &[&str]) -> std::io::Result<()> {
        for dir in ["bin", "proc", "sys", "dev", "etc"] {
            fs::create_dir_all(self.0.join("rootfs").join(dir))?;
        }
        fs::copy(program, self.0.join("rootfs/bin/noop"))?;
        let config = config(arguments);
        fs::write(self.0.join("config.json"), format!("{config:#}"))?;
        fs::write(self.0.join("filter.bpf"), filter()?)
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        // What stays in the temporary directory hurts nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn filter() -> std::io::Result<Vec<u8>> {
    let profile: oci::runtime::Seccomp =
        oci::json::read(SECCOMP.as_bytes()).map_err(std::io::Error::other)?;
    let program = ::runtime::seccomp::compile(&profile, ::runtime::seccomp::NATIVE)
        .map_err(|error| std::io::Error::other(error.to_string()))?;
    let bytes = |i: &::runtime::seccomp::Instruction| {
        let mut bytes = i.code.to_ne_bytes().to_vec();
        bytes.extend([i.jt, i.jf]);
        bytes.extend(i.k.to_ne_bytes());
        bytes
    };
    Ok(program.instructions.iter().flat_map(bytes).collect())
}

fn config(arguments: &[&str]) -> Value {
    let mount = |to: &str, kind: &str, options: &[&str]| json!({"destination": to, "type": kind, "source": kind, "options": options});
    let args: Vec<&str> = ["/bin/noop"].iter().chain(arguments).copied().collect();
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": args,
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "cwd": "/",
            "capabilities": {
                "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES
            },
            "noNewPrivileges": true
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "bench",
        "mounts": [
            mount("/proc", "proc", &[]),
            mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts",
                &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
            mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
            mount("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", "ro"])
        ],
        "linux": {
            "resources": {
                "devices": [{"allow": false, "access": "rwm"}],
                "memory": {"limit": 536_870_912},
                "cpu": {"quota": 100_000, "period": 100_000},
                "pids": {"limit": 100}
            },
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"},
                {"type": "mount"}, {"type": "cgroup"}
            ],
            "maskedPaths": [
                "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"
            ],
            "readonlyPaths": [
                "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"
            ],
            "seccomp": serde_json::from_str::<Value>(SECCOMP).unwrap_or_default()
        }
    })
}
