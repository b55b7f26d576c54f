//! From options to a runtime configuration.

use super::{Caller, Failure, parse, seccomp};
use crate::cli::{Network, Run};
use oci::runtime::Spec;
use serde_json::{Value, json};
use std::path::Path;

/// CRI-O's nine: what ordinary programs need (docker's fourteen hold NET_RAW, MKNOD and others).
const CAPABILITIES: [&str; 9] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_KILL",
];
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// As podman: enough for anything but a fork bomb.
const PIDS_LIMIT: i64 = 2048;

pub(super) fn build(
    arguments: &Run,
    caller: &Caller,
    name: &str,
    program: &Path,
    rootfs: &Path,
) -> Result<Spec, Failure> {
    let text = |path: &Path| {
        let shown = || Failure::new(format!("{}: the path is not UTF-8", path.display()));
        path.to_str().map(str::to_string).ok_or_else(shown)
    };
    let mut args = vec![text(program)?];
    args.extend(arguments.args.iter().cloned());
    let (uid, gid) = arguments.user.as_deref().map_or(Ok((0, 0)), parse::user)?;
    let root = caller.uid == 0;
    let mut spec = json!({
        "ociVersion": oci::runtime::VERSION,
        "process": {
            "terminal": arguments.tty,
            "user": {"uid": uid, "gid": gid},
            "args": args,
            "env": environment(arguments, name),
            "cwd": arguments.workdir.as_deref().unwrap_or("/"),
            "capabilities": {
                "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES
            },
            "noNewPrivileges": true
        },
        "root": {"path": text(rootfs)?, "readonly": true},
        "hostname": arguments.hostname.as_deref().unwrap_or(name),
        "mounts": mounts(arguments, root, rootfs)?,
        "linux": {
            "namespaces": namespaces(arguments, root),
            "maskedPaths": runtime::verbs::masked_paths(),
            "readonlyPaths": runtime::verbs::readonly_paths(),
            "resources": resources(arguments, root)?
        }
    });
    if uid != 0 {
        // Another user than root keeps none.
        spec["process"]["capabilities"]["effective"] = json!([]);
        spec["process"]["capabilities"]["permitted"] = json!([]);
    }
    // What the profile allows goes by the capabilities that a program can have at all.
    if let Some(profile) = seccomp::profile(&arguments.security_opt, &CAPABILITIES)? {
        spec["linux"]["seccomp"] = profile;
    }
    if root {
        spec["linux"]["cgroupsPath"] = json!(format!("/tare/{name}"));
    } else {
        spec["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": caller.uid, "size": 1}]);
        spec["linux"]["gidMappings"] = json!([{"containerID": 0, "hostID": caller.gid, "size": 1}]);
    }
    oci::json::read(spec.to_string().as_bytes())
        .map_err(|why| Failure::new(format!("configuration: {why}")))
}

fn environment(arguments: &Run, name: &str) -> Vec<String> {
    let host = arguments.hostname.as_deref().unwrap_or(name);
    let mut env = vec![PATH.to_string(), format!("HOSTNAME={host}")];
    if arguments.tty {
        let term = std::env::var("TERM").unwrap_or_else(|_| "xterm".into());
        env.push(format!("TERM={term}"));
    }
    for variable in &arguments.env {
        match variable.contains('=') {
            true => env.push(variable.clone()),
            false => env.extend(std::env::var(variable).ok().map(|v| format!("{variable}={v}"))),
        }
    }
    env
}

fn namespaces(arguments: &Run, root: bool) -> Vec<Value> {
    let mut kinds = vec!["pid", "ipc", "uts", "mount", "cgroup"];
    if arguments.network == Network::None {
        kinds.push("network");
    }
    if !root {
        kinds.push("user");
    }
    kinds.iter().map(|kind| json!({"type": kind})).collect()
}

fn mounts(arguments: &Run, root: bool, rootfs: &Path) -> Result<Vec<Value>, Failure> {
    let mount = |to: &str, kind: &str, options: &[&str]| json!({"destination": to, "type": kind, "source": kind, "options": options});
    let mut pts = vec!["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    if root {
        pts.push("gid=5");
    }
    let mut mounts = vec![
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", &pts),
        mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
    ];
    if !arguments.read_only {
        for (to, mode) in [
            ("/tmp", "mode=1777"),
            ("/run", "mode=755"),
            ("/var/tmp", "mode=1777"),
            ("/root", "mode=700"),
        ] {
            let mut options = vec!["nosuid", "nodev", mode];
            // A program that lies there must not be hidden.
            let packed = rootfs.join(to.trim_start_matches('/'));
            if packed.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
                options.push("tmpcopyup");
            }
            mounts.push(mount(to, "tmpfs", &options));
        }
    }
    for text in &arguments.volume {
        let volume = parse::volume(text)?;
        let access = if volume.read_only { "rro" } else { "rw" };
        mounts.push(json!({
            "destination": volume.target, "type": "bind", "source": volume.source,
            "options": ["rbind", "rprivate", access]
        }));
    }
    Ok(mounts)
}

fn resources(arguments: &Run, root: bool) -> Result<Value, Failure> {
    let mut resources = json!({});
    if root {
        resources["devices"] = json!([{"allow": false, "access": "rwm"}]);
    }
    if let Some(text) = &arguments.memory {
        let bytes = parse::size(text)?;
        resources["memory"] = json!({"limit": bytes});
    }
    if let Some(text) = &arguments.cpus {
        resources["cpu"] = json!({"quota": parse::cpu_quota(text)?, "period": 100_000});
    }
    if let Some(limit) = arguments.pids_limit.or(root.then_some(PIDS_LIMIT)) {
        resources["pids"] = json!({"limit": limit});
    }
    Ok(resources)
}
