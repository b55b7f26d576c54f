//! Idmapped mounts: a user namespace that only serves as a mapping.

use super::mapping::text;
use crate::config::Idmap;
use crate::error::{Attempt, Error, Result};
use crate::init::Job;
use alloc::format;
use oci::runtime::{IdMapping, Linux, NamespaceKind};
use sys::{CWD, Errno, Fd, fs, process, wait};

/// Shows the ids of a detached tree through the mount's mapping, or the container's.
pub(super) fn apply(
    tree: &Fd,
    map: &Idmap,
    linux: &Linux,
    joined: &[(NamespaceKind, Fd)],
) -> Result<()> {
    if let Some((_, users)) = joined.iter().find(|(kind, _)| *kind == NamespaceKind::User) {
        return apply_running(tree, map, users);
    }
    let own = !map.uids.is_empty();
    let (uids, gids) = match own {
        true => (&map.uids, &map.gids),
        false => (&linux.uid_mappings, &linux.gid_mappings),
    };
    if uids.is_empty() || gids.is_empty() {
        let what = "there is neither a mapping of the mount nor one of a user namespace";
        return Err(Error::invalid(what));
    }
    let namespace = user_namespace(uids, gids)?;
    set(tree, &namespace, map)
}

/// As [`apply`], for a container that exists: `users` is its user namespace.
pub(crate) fn apply_running(tree: &Fd, map: &Idmap, users: &Fd) -> Result<()> {
    match map.uids.is_empty() {
        true => set(tree, users, map),
        false => apply(tree, map, &Linux::default(), &[]),
    }
}

fn set(tree: &Fd, namespace: &Fd, map: &Idmap) -> Result<()> {
    sys::mount::set_id_map(tree, namespace, map.recursive).map_err(|errno| {
        let error = Error::os("mapping the mount's ids", errno);
        match errno {
            Errno::EINVAL => error.with_hint("its file system does not support idmapped mounts"),
            Errno::EPERM => error.with_hint("it needs CAP_SYS_ADMIN over the file system"),
            _ => error,
        }
    })
}

/// Maps what the init has mounted: tree `number` among its descriptors.
pub(super) fn apply_inside(
    job: &Job,
    init: &process::Child,
    index: i32,
    number: i32,
) -> Result<()> {
    let field = || format!("mounts[{index}]: idmap");
    let map = usize::try_from(index).ok().and_then(|index| job.mounts.get(index)?.idmap.as_ref());
    let (Some(map), Some(linux)) = (map, &job.spec.linux) else {
        return Err(Error::invalid(format!("{}: the configuration has no such mapping", field())));
    };
    let tree = process::descriptor_of(&init.pidfd, number)
        .attempt(|| "fetching a mount from the container's init")?;
    apply(&tree, map, linux, &job.joined).map_err(|error| error.context(field()))
}

/// A user namespace with a mapping and nobody in it, for mounts. The caller has one thread, and may map these ids.
pub fn user_namespace(uids: &[IdMapping], gids: &[IdMapping]) -> Result<Fd> {
    let attempt = || "making a user namespace for the mapping";
    let (read_end, write_end) = fs::pipe().attempt(attempt)?;
    let how = process::Clone { namespaces: process::CLONE_NEWUSER, ..Default::default() };
    let forked = match process::fork(how) {
        Err(Errno::ENOSYS | Errno::EPERM) => process::fork_legacy(how),
        result => result,
    };
    let Some(child) = forked.attempt(attempt)? else {
        drop(write_end);
        // Lives until the parent is done.
        let _ = fs::read(&read_end, &mut [0u8; 1]);
        process::exit(0)
    };
    let pid = child.pid;
    let made = fs::write_file(CWD, format!("/proc/{pid}/uid_map"), text(uids))
        .and_then(|()| fs::write_file(CWD, format!("/proc/{pid}/gid_map"), text(gids)))
        .and_then(|()| fs::open_read(format!("/proc/{pid}/ns/user")));
    drop(write_end);
    let _ = wait::child(pid, true);
    made.attempt(attempt)
}
