//! Device nodes for a container in a user namespace, which cannot make them itself.

use crate::error::{Attempt, Result};
use crate::init::mounts::new_file_system;
use alloc::format;
use alloc::vec::Vec;
use oci::runtime::{Device, IdMapping, Linux};
use sys::{Fd, fs, ids, mount as m};

/// For each configured device a detached mount of a node with its mode and owner. None of them
/// where the kernel does not copy detached mounts (before 6.15): then the host's nodes are shown.
pub(super) fn make_all(linux: &Linux, own_users: bool) -> Result<Vec<Option<Fd>>> {
    let mut nodes = Vec::new();
    if !own_users || linux.devices.is_empty() || !ids::is_administrator() {
        return Ok(nodes);
    }
    let Ok(dir) = new_file_system("tmpfs", "tmpfs", &["mode=700"], 0) else { return Ok(nodes) };
    for (index, device) in linux.devices.iter().enumerate() {
        nodes.push(match device.kind.as_str() {
            // A user namespace may make fifos.
            "p" => None,
            _ => make(&dir, &format!("{index}"), device, linux)?,
        });
    }
    Ok(nodes)
}

fn make(dir: &Fd, name: &str, device: &Device, linux: &Linux) -> Result<Option<Fd>> {
    let attempt = || format!("linux.devices: making the node for {}", device.path);
    let kind = if device.kind == "b" { fs::S_IFBLK } else { fs::S_IFCHR };
    let mode = device.file_mode.unwrap_or(0o666) & 0o7777;
    let number = fs::makedev(device.major as u32, device.minor as u32);
    fs::mknod(dir, name, kind | mode, number).attempt(attempt)?;
    // The umask is the caller's, and a change of owner takes bits away.
    let owner = |mappings, id: Option<u32>| on_host(mappings, id.unwrap_or(0));
    let (uid, gid) =
        (owner(&linux.uid_mappings, device.uid), owner(&linux.gid_mappings, device.gid));
    fs::chown(dir, name, uid, gid, fs::AT_SYMLINK_NOFOLLOW).attempt(attempt)?;
    fs::chmod(dir, name, mode).attempt(attempt)?;
    Ok(m::clone_tree(dir, name, false).ok())
}

/// What an id of the container's is on the host; one that is not mapped is nobody's there, and
/// here the caller's.
pub(super) fn on_host(mappings: &[IdMapping], id: u32) -> u32 {
    let inside = |m: &&IdMapping| id.checked_sub(m.container_id).is_some_and(|at| at < m.size);
    let found = mappings.iter().find(inside);
    found.map_or(0, |m| m.host_id.saturating_add(id - m.container_id))
}
