//! From options to a runtime configuration.

use super::userns::Mapping;
use super::users::User;
use super::{Failure, parse, seccomp};
use crate::cli::{Network, Run};
use oci::runtime::{IdMapping, Spec};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

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

/// What is run, and in what.
pub(super) struct Plan<'p> {
    pub(super) name: &'p str,
    pub(super) args: Vec<String>,
    /// What the image says, and files; options come on top.
    pub(super) env: Vec<String>,
    pub(super) cwd: String,
    pub(super) user: User,
    pub(super) rootfs: &'p Path,
    pub(super) is_read_only: bool,
    /// Its root has directories to write in; otherwise there are some in memory.
    pub(super) has_own_directories: bool,
    pub(super) binds: Vec<Bind>,
    /// Directories that can be written to even if the root cannot.
    pub(super) volumes: Vec<String>,
    pub(super) users: Users,
    /// A namespace of users of its own.
    pub(super) mapping: Option<&'p Mapping>,
}

/// A file of the command's own in the container.
pub(super) struct Bind {
    pub(super) source: PathBuf,
    pub(super) target: String,
}

/// Whose namespace of users the container has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Users {
    /// The caller's: root's.
    Host,
    /// A new one, where these are root.
    Made { uid: u32, gid: u32 },
    /// The one that the command has entered, with many users.
    Entered,
    /// The same with one.
    EnteredAlone,
}

/// A path as text.
pub(super) fn text(path: &Path) -> Result<String, Failure> {
    let shown = || Failure::new(format!("{}: the path is not UTF-8", path.display()));
    path.to_str().map(str::to_string).ok_or_else(shown)
}

pub(super) fn build(arguments: &Run, plan: &Plan<'_>) -> Result<Spec, Failure> {
    let root = plan.users == Users::Host;
    let mut spec = json!({
        "ociVersion": oci::runtime::VERSION,
        "process": {
            "terminal": arguments.tty,
            "user": {
                "uid": plan.user.uid, "gid": plan.user.gid, "additionalGids": plan.user.groups
            },
            "args": plan.args,
            "env": environment(arguments, plan),
            "cwd": plan.cwd,
            "capabilities": {
                "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES
            },
            "noNewPrivileges": seccomp::no_new_privileges(&arguments.security_opt)
        },
        "root": {"path": text(plan.rootfs)?, "readonly": plan.is_read_only},
        "hostname": arguments.hostname.as_deref().unwrap_or(plan.name),
        "mounts": mounts(arguments, plan)?,
        "linux": {
            "namespaces": namespaces(arguments, plan),
            "maskedPaths": runtime::verbs::masked_paths(),
            "readonlyPaths": runtime::verbs::readonly_paths(),
            "resources": resources(arguments, root)?
        }
    });
    if plan.user.uid != 0 {
        // Another user than root keeps none.
        spec["process"]["capabilities"]["effective"] = json!([]);
        spec["process"]["capabilities"]["permitted"] = json!([]);
    }
    // What the profile allows goes by the capabilities that a program can have at all.
    if let Some(profile) = seccomp::profile(&arguments.security_opt, &CAPABILITIES)? {
        spec["linux"]["seccomp"] = profile;
    }
    if let Some(mapping) = plan.mapping {
        let maps = |ids: &[IdMapping]| -> Value {
            let map = |it: &IdMapping| json!({"containerID": it.container_id, "hostID": it.host_id, "size": it.size});
            ids.iter().map(map).collect()
        };
        spec["linux"]["uidMappings"] = maps(&mapping.uids);
        spec["linux"]["gidMappings"] = maps(&mapping.gids);
    }
    match plan.users {
        Users::Host => spec["linux"]["cgroupsPath"] = json!(format!("/tare/{}", plan.name)),
        Users::Made { uid, gid } => {
            spec["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": uid, "size": 1}]);
            spec["linux"]["gidMappings"] = json!([{"containerID": 0, "hostID": gid, "size": 1}]);
        }
        Users::Entered => {}
        // Nobody else can be named there.
        Users::EnteredAlone => {
            spec["process"]["user"]["additionalGids"] = json!([]);
        }
    }
    oci::json::read(spec.to_string().as_bytes())
        .map_err(|why| Failure::new(format!("configuration: {why}")))
}

/// The last one of a name counts.
fn environment(arguments: &Run, plan: &Plan<'_>) -> Vec<String> {
    let host = arguments.hostname.as_deref().unwrap_or(plan.name);
    let mut env = vec![PATH.to_string(), format!("HOSTNAME={host}")];
    if arguments.tty {
        let term = std::env::var("TERM").unwrap_or_else(|_| "xterm".into());
        env.push(format!("TERM={term}"));
    }
    env.extend(plan.env.iter().cloned());
    for variable in &arguments.env {
        match variable.contains('=') {
            true => env.push(variable.clone()),
            false => env.extend(std::env::var(variable).ok().map(|v| format!("{variable}={v}"))),
        }
    }
    let name = |variable: &String| variable.split('=').next().unwrap_or_default().to_owned();
    let mut seen = BTreeSet::new();
    env.reverse();
    env.retain(|variable| seen.insert(name(variable)));
    env.reverse();
    env
}

fn namespaces(arguments: &Run, plan: &Plan<'_>) -> Vec<Value> {
    let mut kinds = vec!["pid", "ipc", "uts", "mount", "cgroup"];
    if arguments.network == Network::None {
        kinds.push("network");
    }
    if matches!(plan.users, Users::Made { .. }) || plan.mapping.is_some() {
        kinds.push("user");
    }
    kinds.iter().map(|kind| json!({"type": kind})).collect()
}

fn mounts(arguments: &Run, plan: &Plan<'_>) -> Result<Vec<Value>, Failure> {
    let mount = |to: &str, kind: &str, options: &[&str]| json!({"destination": to, "type": kind, "source": kind, "options": options});
    let mut pts = vec!["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    /// Who owns terminals.
    const TTY: u32 = 5;
    if matches!(plan.users, Users::Host | Users::Entered)
        && plan.mapping.is_none_or(|mapping| mapping.has_group(TTY))
    {
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
    if !arguments.read_only && !plan.has_own_directories {
        for (to, mode) in [
            ("/tmp", "mode=1777"),
            ("/run", "mode=755"),
            ("/var/tmp", "mode=1777"),
            ("/root", "mode=700"),
        ] {
            let mut options = vec!["nosuid", "nodev", mode];
            // A program that lies there must not be hidden.
            let packed = plan.rootfs.join(to.trim_start_matches('/'));
            if packed.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
                options.push("tmpcopyup");
            }
            mounts.push(mount(to, "tmpfs", &options));
        }
    }
    for volume in &plan.volumes {
        mounts.push(mount(volume, "tmpfs", &["nosuid", "nodev", "tmpcopyup"]));
    }
    for bind in &plan.binds {
        mounts.push(json!({
            "destination": bind.target, "type": "bind", "source": text(&bind.source)?,
            "options": ["bind", "rprivate", "nosuid", "nodev", "noexec"]
        }));
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
