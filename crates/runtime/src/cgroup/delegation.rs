//! Handing controllers down the unified hierarchy, and a cgroup to its owner.

use super::plan::{Directory, asked_controllers};
use super::tree::{Dir, is_gone};
use crate::error::{Error, Kind, Result};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use oci::runtime::Resources;
use sys::{CWD, fs};

/// Controllers without which `stats` would show nothing for a container without limits.
const BASE_CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];
/// Controllers that need a domain of their own (a threaded cgroup has none).
const DOMAIN_CONTROLLERS: [&str; 4] = ["memory", "io", "cpu", "hugetlb"];

/// v2: enables controllers on the way down. All that there are, as runc does, but only if one that
/// is needed is missing: usually the first container below a parent pays for the others.
pub(super) fn enable_controllers(
    directory: &Directory,
    dir: &Dir,
    resources: &Resources,
) -> Result<()> {
    let mut asked: Vec<&str> = asked(resources).map(|(name, _)| name).collect();
    let wanted: Vec<&str> = asked.iter().copied().chain(BASE_CONTROLLERS).collect();
    let have = dir.read_optional("cgroup.controllers")?.unwrap_or_default();
    if wanted.iter().all(|wanted| have.split_whitespace().any(|have| have == *wanted)) {
        return Ok(());
    }
    let attempt = |path: &str| format!("opening cgroup {path}");
    let root = Dir::open_path(directory.mount.clone())
        .map_err(|errno| Error::os(attempt(&directory.mount), errno))?;
    let available = root.read("cgroup.controllers")?;
    let all: Vec<String> = available.split_whitespace().map(|name| format!("+{name}")).collect();
    enable(&root, &all);
    asked.retain(|name| DOMAIN_CONTROLLERS.contains(name));
    for (at, _) in directory.path.match_indices('/') {
        let path = format!("{}/{}", directory.mount, &directory.path[..at]);
        let message = attempt(&path);
        let parent = Dir::open_path(path).map_err(|errno| Error::os(message, errno))?;
        check_type(&parent, &asked)?;
        enable(&parent, &all);
    }
    check_type(dir, &asked)
}

/// (controller of v2, what is limited) of everything that is asked for.
fn asked(resources: &Resources) -> impl Iterator<Item = (&'static str, &'static str)> {
    let all = asked_controllers(resources).into_iter();
    all.map(|(name, limit)| (if name == "blkio" { "io" } else { name }, limit))
        .filter(|(name, _)| !name.starts_with("net_"))
}

/// What an error of setting limits comes from, if a controller is missing: whose fault that is depends on who runs
/// the container.
pub(super) fn explain(dir: &Dir, resources: &Resources, rootless: bool, error: Error) -> Error {
    // What is wrong with the configuration is so in any case.
    let Some(_) = error.errno() else { return error };
    let Ok(have) = dir.try_read("cgroup.controllers") else { return error };
    let is_missing = |name: &str| !have.split_whitespace().any(|have| have == name);
    let Some((name, limit)) = asked(resources).find(|(name, _)| is_missing(name)) else {
        return error;
    };
    let path = dir.path();
    let message = format!("cannot set {limit} limit: {path} has no controller {name}");
    let hint = match rootless {
        true => {
            "an administrator delegates controllers to users: `systemctl edit user@.service`, with \
             `[Service]` and `Delegate=cpu cpuset io memory pids`; and another login"
        }
        false => "/sys/fs/cgroup/cgroup.controllers has those that there are",
    };
    Error::new(Kind::Unsupported, message).with_hint(hint)
}

/// Some controllers may not be delegated; setting a limit of theirs will say so.
fn enable(dir: &Dir, controllers: &[String]) {
    const FILE: &str = "cgroup.subtree_control";
    if controllers.is_empty() || dir.try_write(FILE, &controllers.join(" ")).is_ok() {
        return;
    }
    for controller in controllers {
        let _ = dir.try_write(FILE, controller);
    }
}

/// A cgroup below one with processes is invalid until it is made threaded, which some controllers
/// cannot be.
fn check_type(dir: &Dir, domain: &[&str]) -> Result<()> {
    let kind = dir.read_optional("cgroup.type")?.unwrap_or_default();
    let message = |state: &str| {
        let path = dir.path();
        let controllers = domain.join(", ");
        format!("cannot enter cgroup {path} with controllers {controllers}: it is {state}")
    };
    match (kind.trim(), domain.is_empty()) {
        ("domain invalid", true) => {
            let _ = dir.try_write("cgroup.type", "threaded");
            Ok(())
        }
        ("domain invalid", false) => Err(Error::new(Kind::InUse, message("in an invalid state"))),
        (kind @ ("threaded" | "domain threaded"), false) => {
            Err(Error::new(Kind::InUse, message(&format!("in {kind} mode"))))
        }
        _ => Ok(()),
    }
}

/// Gives the directory and the files that the kernel lists as safe to the container's root user.
pub(super) fn give_away(dir: &Dir, owner: u32) -> Result<()> {
    /// Those of Linux before 4.15 (cgroups(7)), which has no list.
    const OLD: &str = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n";
    let list = fs::read_file(CWD, "/sys/kernel/cgroup/delegate", 1 << 16);
    let list = list.ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let same_group = u32::MAX;
    // v1's, which no list names.
    const V1: [&str; 2] = ["cgroup.procs", "tasks"];
    let failed = |file: &str, errno| {
        Error::os(format!("giving {}/{file} to user {owner}", dir.path()), errno)
    };
    fs::chown(dir, "", owner, same_group, fs::AT_EMPTY_PATH).map_err(|errno| failed("", errno))?;
    let files = list.as_deref().unwrap_or(OLD).lines().filter(|file| !file.contains('/'));
    for file in files.chain(V1) {
        match fs::chown(dir, file, owner, same_group, fs::AT_SYMLINK_NOFOLLOW) {
            Err(errno) if !is_gone(errno) => return Err(failed(file, errno)),
            _ => {}
        }
    }
    Ok(())
}
