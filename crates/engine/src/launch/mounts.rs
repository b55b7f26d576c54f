//! What is mounted in a container besides its root directory.

use super::delegation::Delegation;
use super::spec::{Plan, text};
use super::{Users, files, hardware, idmaps, limits, scope, system};
use crate::error::{Error, Result};
use crate::record::Mount;
use crate::supervisor::notify;
use serde_json::{Value, json};
use std::os::unix::ffi::OsStrExt;
use sys::fs::{self, O_PATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, S_IFDIR, S_IFMT};

/// docker's.
const SHM_BYTES: i64 = 64 << 20;

pub(super) fn list(plan: &Plan<'_>) -> Result<Vec<Value>> {
    let mut mounts = own(plan)?;
    // What is mounted on a directory must not cover what is mounted below it.
    let mut chosen: Vec<&Mount> = plan.config.mounts.iter().collect();
    chosen.sort_by_key(|mount| mount.target.trim_end_matches('/').matches('/').count());
    // What may not write to its root directory may not write to files of it, either.
    let access = if plan.config.security.read_only { "ro" } else { "rw" };
    for bind in &plan.binds {
        mounts.push(json!({
            "destination": bind.target, "type": "bind", "source": text(&bind.source)?,
            "options": ["bind", "rprivate", "nosuid", "nodev", "noexec", access]
        }));
    }
    if plan.users != Users::Host {
        mounts.extend(hardware::binds(plan.config)?);
    }
    for mount in chosen {
        let covers = |known: &Value| {
            known["destination"].as_str() == Some(mount.target.trim_end_matches('/'))
        };
        mounts.retain(|known| !covers(known));
        let made = one(plan, mount)?;
        check_kinds(plan, mount, made["source"].as_str().unwrap_or_default())?;
        mounts.push(made);
    }
    if notify::is_containers(plan.engine, plan.config) {
        mounts.push(json!({
            "destination": notify::INSIDE, "type": "bind",
            "source": text(&notify::directory(plan.engine, plan.config))?,
            "options": ["bind", "rprivate", "ro", "nosuid", "nodev", "noexec"]
        }));
    }
    mounts.extend(container_env(plan)?);
    for (source, target) in plan.staged.secrets() {
        mounts.push(json!({
            "destination": target, "type": "bind", "source": text(source)?,
            "options": ["bind", "rprivate", "ro", "nosuid", "nodev", "noexec"]
        }));
    }
    Ok(mounts)
}

/// The file by which programs know that they are in a container: above a `/run` in memory, and not in a directory that is
/// somebody else's.
fn container_env(plan: &Plan<'_>) -> Result<Option<Value>> {
    let Some(source) = &plan.container_env else { return Ok(None) };
    let is_taken = |mount: &Mount| match mount.target.as_str() {
        files::CONTAINER_ENV => true,
        "/run" => mount.kind != "tmpfs",
        _ => false,
    };
    if plan.config.mounts.iter().any(is_taken) {
        return Ok(None);
    }
    Ok(Some(json!({
        "destination": files::CONTAINER_ENV, "type": "bind", "source": text(source)?,
        "options": ["bind", "rprivate", "nosuid", "nodev", "noexec"]
    })))
}

/// How a mount is propagated.
const WAYS: [&str; 8] =
    ["private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"];

fn has(options: &[String], names: &[&str]) -> bool {
    options.iter().any(|it| names.contains(&it.as_str()))
}

fn one(plan: &Plan<'_>, mount: &Mount) -> Result<Value> {
    let mut options = mount.options.clone();
    let usual: &[(&str, &str)] = match mount.kind.as_str() {
        // As docker: what is in memory is for data.
        "tmpfs" => &[("exec", "noexec"), ("suid", "nosuid"), ("dev", "nodev")],
        "ramfs" | "devpts" => &[("exec", "noexec"), ("suid", "nosuid")],
        _ => &[],
    };
    for (other, default) in usual {
        if !has(&options, &[other, default]) {
            options.push((*default).into());
        }
    }
    let kind = match mount.kind.as_str() {
        kind @ ("tmpfs" | "ramfs" | "devpts") => kind,
        "bind" | "volume" | "image" => "bind",
        other => return Err(Error::invalid(format!("mount {}: {other} is no kind", mount.target))),
    };
    if mount.as_user && kind == "tmpfs" {
        options.extend([format!("uid={}", plan.user.uid), format!("gid={}", plan.user.gid)]);
    }
    if kind == "bind" && !has(&options, &["bind", "rbind"]) {
        options.push("rbind".into());
    }
    if kind == "bind" && !has(&options, &WAYS) {
        options.push("rprivate".into());
    }
    if mount.read_only {
        // Whoever has said `ro` means the topmost mount alone.
        let is_whole = kind == "bind" && !has(&options, &["ro"]);
        options.retain(|option| !matches!(option.as_str(), "rw" | "ro"));
        options.push(if is_whole { "rro" } else { "ro" }.into());
    }
    let source = match plan.staged.source(mount) {
        Some(path) => text(path)?,
        None if kind == "bind" => mount.source.clone(),
        None => kind.to_owned(),
    };
    let maps = idmaps::of(plan, mount, &source)?;
    if maps.is_some() && !has(&options, &["idmap", "ridmap"]) {
        options.push("idmap".into());
    }
    let mut made =
        json!({"destination": mount.target, "type": kind, "source": source, "options": options});
    if let Some((users, groups)) = maps {
        (made["uidMappings"], made["gidMappings"]) = (users, groups);
    }
    Ok(made)
}

/// A directory cannot be mounted on a file, nor a file on a directory: the kernel's word for it says nothing.
fn check_kinds(plan: &Plan<'_>, mount: &Mount, source: &str) -> Result<()> {
    let target = mount.target.trim_matches('/');
    let is_below = |other: &Mount| {
        let other = other.target.trim_matches('/');
        target.strip_prefix(other).is_some_and(|rest| rest.starts_with('/'))
    };
    // What others mount is not there yet.
    if !matches!(mount.kind.as_str(), "bind" | "volume") || plan.config.mounts.iter().any(is_below)
    {
        return Ok(());
    }
    let is_dir = |fd: sys::Fd| fs::stat_fd(&fd).map(|stat| stat.st_mode & S_IFMT == S_IFDIR);
    let inside = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    let root = fs::open_at(sys::CWD, plan.rootfs.as_os_str().as_bytes(), O_PATH, 0);
    let found = root.and_then(|root| fs::open_at2(&root, target, O_PATH, 0, inside));
    let theirs = found.and_then(is_dir);
    let own = fs::open_at(sys::CWD, source, O_PATH, 0).and_then(is_dir);
    match (own, theirs) {
        (Ok(own), Ok(theirs)) if own != theirs => {
            let kind = |is_dir: bool| if is_dir { "a directory" } else { "a file" };
            let (own, theirs) = (kind(own), kind(theirs));
            let text = format!("mounting {own}, {source}, on {theirs}, {}", mount.target);
            Err(Error::invalid(text).with_hint(
                "mount a directory on a directory, and a file on a file; check that the source is what you mean",
            ))
        }
        // Whatever else is wrong with them is told where they are mounted.
        _ => Ok(()),
    }
}

fn own(plan: &Plan<'_>) -> Result<Vec<Value>> {
    let config = plan.config;
    let is_open = config.security.privileged;
    let mount = |to: &str, kind: &str, options: &[&str]| json!({"destination": to, "type": kind, "source": kind, "options": options});
    let mut pts = vec!["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    /// Who owns terminals.
    const TTY: u32 = 5;
    if plan.users != Users::EnteredAlone && plan.mapping.is_none_or(|it| it.has_group(TTY)) {
        pts.push("gid=5");
    }
    let access = if is_open { "rw" } else { "ro" };
    let shm = format!("size={}", if config.shm_size > 0 { config.shm_size } else { SHM_BYTES });
    let mut dev = vec!["nosuid", "strictatime", "mode=755", "size=65536k"];
    let mut in_memory = vec!["nosuid", "noexec", "nodev", "mode=1777", &*shm];
    if config.security.read_only_dev {
        dev.push("ro");
        in_memory.push("ro");
    }
    let mut mounts = vec![
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", &dev),
        mount("/dev/pts", "devpts", &pts),
        mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        match plan.has_foreign_network() {
            false => mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", access]),
            // The kernel shows it anew only to the owner of the network.
            true => json!({
                "destination": "/sys", "type": "bind", "source": "/sys",
                "options": ["rbind", "rprivate", "nosuid", "noexec", "nodev", "rro"]
            }),
        },
    ];
    // What is shared in memory is the namespace's.
    let shared = |source: &str| json!({"destination": "/dev/shm", "type": "bind", "source": source, "options": ["rbind", "rprivate", "nosuid", "noexec", "nodev"]});
    match config.namespaces.ipc.as_str() {
        "none" => {}
        "host" => mounts.push(shared("/dev/shm")),
        _ if plan.memory.is_some() => {
            let source = plan.memory.map(|it| text(it.path())).transpose()?;
            mounts.push(shared(&source.unwrap_or_default()));
        }
        _ => mounts.push(mount("/dev/shm", "tmpfs", &in_memory)),
    }
    // Programs look there for what they may use. An ordinary user's container has one of its own if it is limited.
    let is_limited = || scope::is_v2() && limits::asked(config).is_ok_and(|limit| limit.is_some());
    if plan.users == Users::Host || plan.delegation != Delegation::Nothing || is_limited() {
        let access = if plan.delegation == Delegation::Whole { "rw" } else { access };
        mounts.push(mount("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", access]));
    }
    mounts.extend(system::mounts(config));
    if !config.security.read_only && !plan.has_own_directories {
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
    Ok(mounts)
}
