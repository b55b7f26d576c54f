//! From a record to a runtime configuration.

use super::delegation::Delegation;
use super::files::Bind;
use super::security::Rules;
use super::shared_memory::SharedMemory;
use super::staging::Staged;
use super::userns::Mapping;
use super::users::User;
use super::{Users, cdi, hardware, limits, links, mounts, system};
use crate::error::{Error, Kind, Result};
use crate::place::Engine;
use crate::record::{Config, KEEP_GROUPS, Namespaces};
use crate::supervisor::notify;
use oci::runtime::{IdMapping, Spec};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub(super) const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is run, and in what.
pub(super) struct Plan<'p> {
    pub(super) engine: &'p Engine,
    /// A network namespace that was made before.
    pub(super) netns: Option<&'p Path>,
    pub(super) config: &'p Config,
    pub(super) user: User,
    pub(super) rootfs: &'p Path,
    /// Its root has directories to write in; otherwise there are some in memory.
    pub(super) has_own_directories: bool,
    pub(super) binds: Vec<Bind>,
    /// The file of `/run/.containerenv`.
    pub(super) container_env: Option<PathBuf>,
    pub(super) staged: &'p Staged,
    /// `/dev/shm` of the container whose IPC namespace it joins.
    pub(super) memory: Option<&'p SharedMemory>,
    pub(super) users: Users,
    /// A namespace of users of its own.
    pub(super) mapping: Option<&'p Mapping>,
    /// Control groups of its own.
    pub(super) delegation: Delegation,
}

impl Plan<'_> {
    /// Its users are others than the host's.
    fn owns_users(&self) -> bool {
        self.users != Users::Host || self.mapping.is_some()
    }

    /// Its network namespace belongs to another user namespace than its own.
    pub(super) fn has_foreign_network(&self) -> bool {
        self.netns.is_some() && self.mapping.is_some()
    }
}

/// A path as text.
pub(super) fn text(path: &Path) -> Result<String> {
    let shown = || Error::invalid(format!("{}: the path is not UTF-8", path.display()));
    path.to_str().map(str::to_string).ok_or_else(shown)
}

pub(super) fn build(plan: &Plan<'_>) -> Result<Spec> {
    let config = plan.config;
    let rules = system::rules(config, plan.owns_users())?;
    let is_root = plan.users == Users::Host;
    let mut spec = json!({
        "ociVersion": oci::runtime::VERSION,
        "process": {
            "terminal": system::has_terminal(config),
            "user": {
                "uid": plan.user.uid, "gid": plan.user.gid, "additionalGids": plan.user.groups
            },
            "args": system::words(config),
            "env": environment(plan)?,
            "cwd": if config.working_dir.is_empty() { "/" } else { &config.working_dir },
            "capabilities": capabilities(plan, &rules),
            "noNewPrivileges": rules.no_new_privileges,
        },
        "root": {"path": text(plan.rootfs)?, "readonly": is_read_only(plan)},
        "mounts": mounts::list(plan)?,
        "annotations": annotations(config),
        "linux": {
            "namespaces": namespaces(plan)?,
            "maskedPaths": rules.masked,
            "readonlyPaths": rules.read_only,
            "resources": limits::resources(plan, is_root)?,
            "devices": hardware::nodes(config, !is_root)?,
            "sysctl": sysctls(plan),
            // Otherwise nothing that is mounted inside is seen outside (as docker).
            "rootfsPropagation": if plan.staged.is_shared() { "shared" } else { "" },
        }
    });
    if config.namespaces.uts != "host" {
        spec["hostname"] = json!(config.hostname);
        if !config.domainname.is_empty() {
            spec["domainname"] = json!(config.domainname);
        }
    }
    limits::of_process(config, is_root, &mut spec["process"]);
    if let Some(filter) = rules.seccomp {
        spec["linux"]["seccomp"] = filter;
    }
    if let Some(profile) = rules.apparmor {
        spec["process"]["apparmorProfile"] = json!(profile);
    }
    if let Some(label) = rules.label {
        spec["process"]["selinuxLabel"] = json!(label);
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
        Users::Host => {
            let parent = config.resources.cgroup_parent.trim_end_matches('/');
            let parent = if parent.is_empty() { "/tare" } else { parent };
            spec["linux"]["cgroupsPath"] = json!(format!("{parent}/{}", config.id));
        }
        Users::Entered => {}
        // Nobody else can be named there.
        Users::EnteredAlone => spec["process"]["user"]["additionalGids"] = json!([]),
    }
    cdi::apply(plan, &mut spec)?;
    oci::json::read(spec.to_string().as_bytes())
        .map_err(|why| Error::invalid(format!("configuration: {why}")))
}

fn annotations(config: &Config) -> serde_json::Map<String, Value> {
    let own = config.annotations.iter().map(|(key, value)| (key.clone(), json!(value)));
    // crun's word for it, which the runtime knows.
    let keeps = config.group_add.iter().any(|name| name == KEEP_GROUPS);
    let kept = keeps.then(|| ("run.oci.keep_original_groups".to_owned(), json!("1")));
    own.chain(kept).collect()
}

/// As docker: a network of the container's own is nobody else's, so anybody may open low ports and ping there.
fn sysctls(plan: &Plan<'_>) -> serde_json::Map<String, Value> {
    let mut sysctls = serde_json::Map::new();
    let mode = plan.config.network.mode.as_str();
    let is_own = mode.is_empty() || mode == "none" || mode.starts_with("pasta");
    if is_own && !plan.has_foreign_network() {
        sysctls.insert("net.ipv4.ip_unprivileged_port_start".into(), json!("0"));
        // Every group has to be one of the namespace.
        if plan.users == Users::Host && plan.mapping.is_none() {
            sysctls.insert("net.ipv4.ping_group_range".into(), json!("0 2147483647"));
        }
    }
    sysctls.extend(plan.config.sysctls.iter().map(|(key, value)| (key.clone(), json!(value))));
    sysctls
}

fn is_read_only(plan: &Plan<'_>) -> bool {
    plan.config.security.read_only || !plan.has_own_directories
}

fn capabilities(plan: &Plan<'_>, rules: &Rules) -> Value {
    // Another user than root keeps none.
    let held: &[&str] = if plan.user.uid == 0 { &rules.capabilities } else { &[] };
    json!({"bounding": rules.capabilities, "effective": held, "permitted": held})
}

/// The last one of a name counts.
fn environment(plan: &Plan<'_>) -> Result<Vec<String>> {
    let config = plan.config;
    let mut env = vec![PATH.to_string(), format!("HOSTNAME={}", config.hostname)];
    if config.tty {
        env.push("TERM=xterm".into());
    }
    env.push(format!("HOME={}", plan.user.home));
    env.extend(system::environment(config));
    if config.unset_env.iter().any(|name| name == "*") {
        env.clear();
    }
    env.extend(links::environment(plan.engine, config)?);
    env.extend(config.env.iter().cloned());
    env.extend(plan.engine.secret_variables(config)?);
    if notify::is_containers(plan.engine, config) {
        env.push(format!("NOTIFY_SOCKET={}/notify", notify::INSIDE));
    }
    let name = |variable: &String| variable.split('=').next().unwrap_or_default().to_owned();
    let mut seen = BTreeSet::new();
    env.reverse();
    env.retain(|variable| seen.insert(name(variable)));
    env.reverse();
    env.retain(|variable| !config.unset_env.contains(&name(variable)));
    Ok(env)
}

fn namespaces(plan: &Plan<'_>) -> Result<Vec<Value>> {
    let config = plan.config;
    let Namespaces { ipc, pid, uts, cgroup, .. } = &config.namespaces;
    let mut list = vec![json!({"type": "mount"})];
    if plan.mapping.is_some() {
        list.push(json!({"type": "user"}));
    }
    for (kind, file, mode) in [
        ("pid", "pid", pid.as_str()),
        ("ipc", "ipc", ipc.as_str()),
        ("uts", "uts", uts.as_str()),
        ("cgroup", "cgroup", cgroup.as_str()),
        ("network", "net", config.network.mode.as_str()),
    ] {
        match mode.split_once(':') {
            _ if mode == "host" => {}
            _ if kind == "network" && plan.netns.is_some() => {
                list.push(json!({"type": kind, "path": plan.netns.map(text).transpose()?}));
            }
            Some(("container", other)) => {
                if kind == "ipc" {
                    check_shareable(plan.engine, other)?;
                }
                let path = format!("/proc/{}/ns/{file}", running(plan.engine, other)?);
                list.push(json!({"type": kind, "path": path}));
            }
            Some(("ns", path)) => list.push(json!({"type": kind, "path": path})),
            _ => list.push(json!({"type": kind})),
        }
    }
    Ok(list)
}

/// Whether another container may be joined for what it has in memory: as docker, not one that says `--ipc private`.
fn check_shareable(engine: &Engine, text: &str) -> Result<()> {
    let other = engine.find(text)?.config;
    match other.namespaces.ipc.as_str() {
        "private" | "none" => Err(Error::new(
            Kind::State,
            format!(
                "joining the IPC namespace of container {} is not allowed: non-shareable IPC (hint: use \
                 IpcMode:shareable for the donor container)",
                other.id
            ),
        )),
        _ => Ok(()),
    }
}

/// The first process of another container.
pub(super) fn running(engine: &Engine, text: &str) -> Result<i32> {
    let other = engine.find(text)?;
    match other.is_running() {
        true => Ok(other.state.pid),
        false => {
            let what = format!("cannot join the namespaces of container {text}: it is not running");
            Err(Error::new(Kind::State, what).with_hint(format!("`tare start {text}` first")))
        }
    }
}
