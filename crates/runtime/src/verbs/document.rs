//! Documents that the runtime writes: an example configuration, and what it can do.

use crate::config::{CAPABILITIES, OPTION_NAMES};
use crate::lsm;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use oci::runtime::*;
use sys::{CWD, fs};

const CAPABILITY_NAMES: [&str; 3] = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
/// What docker, podman, CRI-O and runc cover, together, and kernel interfaces that tell of the whole
/// machine: power (CVE-2020-8694), interrupts and heat are side channels, the page maps show which
/// physical memory is used for what.
const MASKED: [&str; 21] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/dynamic_debug",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/kpagecgroup",
    "/proc/kpagecount",
    "/proc/kpageflags",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/devices/virtual/thermal",
    "/sys/firmware",
    "/sys/fs/selinux",
    "/sys/kernel/debug",
    "/sys/kernel/security",
    "/sys/kernel/tracing",
];
const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
const PROCESSORS: &str = "/sys/devices/system/cpu";

/// The paths that a container does not see by default. Those of processors are the machine's.
pub fn masked_paths() -> Vec<String> {
    let mut paths = list(&MASKED);
    let opened = fs::open_at(CWD, PROCESSORS, fs::O_RDONLY | fs::O_DIRECTORY, 0);
    let entries = opened.and_then(|dir| fs::read_dir(dir.borrow())).unwrap_or_default();
    let heat = |entry: &fs::DirEntry| {
        let number = entry.name.strip_prefix(b"cpu")?;
        let number = core::str::from_utf8(number).ok()?.parse::<u32>().ok()?;
        let path = format!("{PROCESSORS}/cpu{number}/thermal_throttle");
        fs::exists(CWD, &path).then_some(path)
    };
    paths.extend(entries.iter().filter_map(heat));
    paths
}

/// The paths that it may not write to.
pub fn readonly_paths() -> Vec<String> {
    list(&READ_ONLY)
}

fn list(items: &[&str]) -> Vec<String> {
    items.iter().map(|&item| item.into()).collect()
}

/// An example `config.json` for a shell; `rootless` for the caller's ids. `unified`: the machine
/// has cgroup v2, of which a container with a cgroup namespace sees its own part only; with v1
/// tools look for the container's path in `/proc/self/cgroup`.
pub fn spec(rootless: Option<(u32, u32)>, unified: bool) -> Spec {
    let capabilities = list(&CAPABILITY_NAMES);
    let process = Process {
        terminal: true,
        args: list(&["sh"]),
        env: list(&[
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "TERM=xterm",
        ]),
        cwd: "/".into(),
        capabilities: Some(Capabilities {
            bounding: capabilities.clone(),
            effective: capabilities.clone(),
            permitted: capabilities,
            ..Capabilities::default()
        }),
        rlimits: Vec::from([Rlimit { kind: "RLIMIT_NOFILE".into(), hard: 1024, soft: 1024 }]),
        no_new_privileges: true,
        ..Process::default()
    };
    Spec {
        oci_version: VERSION.into(),
        process: Some(process),
        root: Some(Root { path: "rootfs".into(), readonly: true }),
        hostname: "tare".into(),
        mounts: mounts(rootless.is_some()),
        linux: Some(linux(rootless, unified)),
        ..Spec::default()
    }
}

fn mounts(rootless: bool) -> Vec<Mount> {
    let mount = |to: &str, kind: &str, source: &str, options: &[&str]| Mount {
        destination: to.into(),
        kind: kind.into(),
        source: source.into(),
        options: list(options),
        ..Mount::default()
    };
    let pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"];
    // No other group than the caller's own exists in a user namespace that maps only itself.
    let pts = if rootless { &pts[..5] } else { &pts };
    let sysfs = match rootless {
        false => mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        true => mount("/sys", "none", "/sys", &["rbind", "nosuid", "noexec", "nodev", "ro"]),
    };
    let shm = ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"];
    let cgroup = ["nosuid", "noexec", "nodev", "relatime", "ro"];
    Vec::from([
        mount("/proc", "proc", "proc", &[]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", "devpts", pts),
        mount("/dev/shm", "tmpfs", "shm", &shm),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        sysfs,
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &cgroup),
    ])
}

fn linux(rootless: Option<(u32, u32)>, unified: bool) -> Linux {
    use NamespaceKind::{Cgroup, Ipc, Mount, Network, Pid, User, Uts};
    let kinds = match rootless {
        None => [Pid, Network, Ipc, Uts, Mount],
        Some(_) => [Pid, Ipc, Uts, Mount, User],
    };
    let mut linux = Linux {
        namespaces: kinds
            .into_iter()
            .chain(unified.then_some(Cgroup))
            .map(|kind| Namespace { kind, path: None })
            .collect(),
        masked_paths: masked_paths(),
        readonly_paths: readonly_paths(),
        ..Linux::default()
    };
    match rootless {
        None => {
            let none = DeviceRule { access: "rwm".into(), ..DeviceRule::default() };
            linux.resources =
                Some(Resources { devices: Vec::from([none]), ..Resources::default() });
        }
        Some((uid, gid)) => {
            let only = |host_id| Vec::from([IdMapping { container_id: 0, host_id, size: 1 }]);
            linux.uid_mappings = only(uid);
            linux.gid_mappings = only(gid);
        }
    }
    linux
}

/// What this runtime can do (the specification's `features` document).
pub fn features() -> Features {
    const HOOKS: [&str; 6] =
        ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
    let mut annotations = Map::new();
    annotations.insert("org.tare.version".into(), env!("CARGO_PKG_VERSION").into());
    Features {
        oci_version_min: "1.0.0".into(),
        oci_version_max: VERSION.into(),
        hooks: list(&HOOKS),
        mount_options: list(OPTION_NAMES),
        linux: Some(linux_features()),
        annotations,
        // Whoever copies annotations from an untrusted source into a configuration must leave these out.
        potentially_unsafe_config_annotations: list(&["org.systemd.property.", "run.oci."]),
    }
}

fn linux_features() -> LinuxFeatures {
    const MODES: [&str; 7] = [
        "MPOL_BIND",
        "MPOL_DEFAULT",
        "MPOL_INTERLEAVE",
        "MPOL_LOCAL",
        "MPOL_PREFERRED",
        "MPOL_PREFERRED_MANY",
        "MPOL_WEIGHTED_INTERLEAVE",
    ];
    const MODE_FLAGS: [&str; 3] =
        ["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"];
    let yes = Some(true);
    let switch = |enabled| Some(Switch { enabled: Some(enabled) });
    let mut namespaces = Vec::from(NamespaceKind::VALUES);
    oci::sort_by(&mut namespaces, |a, b| a.name().cmp(b.name()));
    LinuxFeatures {
        namespaces,
        capabilities: list(&CAPABILITIES),
        cgroup: Some(CgroupFeatures {
            v1: yes,
            v2: yes,
            systemd: yes,
            systemd_user: yes,
            rdma: yes,
        }),
        seccomp: Some(SeccompFeatures {
            enabled: yes,
            actions: Action::VALUES.into(),
            operators: Operator::VALUES.into(),
            archs: Vec::from([Arch::X86, Arch::X86_64, Arch::X32, Arch::Aarch64, Arch::Arm]),
            known_flags: FilterFlag::VALUES.into(),
            supported_flags: FilterFlag::VALUES.into(),
        }),
        apparmor: switch(lsm::apparmor_enabled()),
        selinux: switch(lsm::selinux_enabled()),
        intel_rdt: Some(RdtFeatures { enabled: yes, schemata: yes, monitoring: yes }),
        memory_policy: Some(MemoryPolicyFeatures { modes: list(&MODES), flags: list(&MODE_FLAGS) }),
        mount_extensions: Some(MountExtensions { idmap: switch(true) }),
        net_devices: switch(true),
    }
}
