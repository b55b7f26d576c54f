//! A mount of type `cgroup`: the container's view of the control groups.
//!
//! With a cgroup namespace the file systems are mounted anew and show the container's own part;
//! without one the container's own directories are bound. Never the host's tree.

use super::Job;
use super::mounts::{attach, classic_flags, new_file_system, remount, reopen};
use super::rootfs::set_attributes;
use crate::cgroup::Version;
use crate::config::MountPlan;
use crate::error::{Attempt, Error, Result};
use crate::procfs::fd_path;
use crate::rootdir::{Make, RootDir};
use alloc::format;
use alloc::string::String;
use sys::mount::{self as m, Attributes};
use sys::{CWD, Errno, Fd, fs};

/// Mounts it. `None`: there is nothing more to set on the mount.
pub(super) fn mount(job: &Job, root: &RootDir, plan: &MountPlan) -> Result<Option<Fd>> {
    let target = root.ensure(&plan.destination, Make::Dir(0o755))?;
    match job.cgroup.version {
        Version::V2 => mount_v2(job, plan, &target).map(Some),
        Version::V1 | Version::Hybrid => mount_v1(job, plan, &target),
    }
}

/// Whether a new mount shows the container's own part only. In the machine's first namespace, which a
/// configuration may name by its path, it would show everything, and give the options of the host's own
/// mount (`nsdelegate`) the values that it has itself: there is one superblock of cgroup2.
fn has_namespace(job: &Job) -> bool {
    let all = job.spec.linux.iter().flat_map(|linux| &linux.namespaces);
    let mut own = all.filter(|namespace| namespace.kind == oci::runtime::NamespaceKind::Cgroup);
    own.next().is_some_and(|namespace| {
        namespace.path.as_deref().unwrap_or_default().is_empty() || !job.proc.is_first_cgroup()
    })
}

fn bind(path: &str, attributes: u32) -> Result<Fd> {
    let tree = m::clone_tree(CWD, path, true).attempt(|| format!("binding {path}"))?;
    let change = Attributes { set: u64::from(attributes), ..Attributes::default() };
    m::set_attributes(&tree, change, true).attempt(|| format!("protecting {path}"))?;
    Ok(tree)
}

fn mount_v2(job: &Job, plan: &MountPlan, target: &Fd) -> Result<Fd> {
    let attributes = plan.attributes.set as u32;
    let own = job.cgroup.directories.iter().find(|directory| directory.is_unified());
    let fresh = match has_namespace(job) {
        true => new_file_system("cgroup2", "cgroup", &[], attributes),
        false => Err(Error::os("mounting cgroup2 without a cgroup namespace", Errno::EPERM)),
    };
    let tree = match (fresh, own) {
        (Ok(tree), _) => tree,
        (Err(_), Some(own)) if own.used && fs::exists(CWD, own.full_path()) => {
            bind(&own.full_path(), attributes)?
        }
        // A rootless container without a cgroup of its own sees the host's, which it cannot write.
        (Err(_), _) => bind("/sys/fs/cgroup", attributes | m::MOUNT_ATTR_RDONLY)?,
    };
    attach(&tree, target)?;
    Ok(tree)
}

fn mount_v1(job: &Job, plan: &MountPlan, target: &Fd) -> Result<Option<Fd>> {
    let attributes = plan.attributes.set as u32;
    let tmpfs = mount_tmpfs(target, attributes & !m::MOUNT_ATTR_RDONLY)?;
    // What is made in a tmpfs that was just mounted is this process's own: no path is looked up.
    for directory in job.cgroup.directories.iter().filter(|directory| directory.used) {
        let name = directory.mount.rsplit('/').next().unwrap_or("cgroup");
        let is_own = job.delegates && directory.is_courtesy(job.cgroup.version);
        let attributes = if is_own { attributes & !m::MOUNT_ATTR_RDONLY } else { attributes };
        let point = make_point(&tmpfs, name)?;
        let fresh = match (has_namespace(job), directory.is_unified()) {
            (false, _) => Err(Error::os("no cgroup namespace", Errno::EPERM)),
            (true, true) => new_file_system("cgroup2", "cgroup", &[], attributes),
            (true, false) => {
                let names: alloc::vec::Vec<&str> =
                    directory.controllers.iter().map(String::as_str).collect();
                new_file_system("cgroup", "cgroup", &names, attributes)
            }
        };
        let path = directory.full_path();
        match fresh.or_else(|_| bind(&path, attributes)) {
            Ok(tree) => attach(&tree, &point)?,
            Err(error) if is_missing(&error) => bind_by_path(&path, &point, plan)?,
            Err(error) => return Err(error),
        }
        link_controllers(&tmpfs, name)?;
    }
    if plan.is_read_only() {
        let change = Attributes { set: u64::from(m::MOUNT_ATTR_RDONLY), ..Attributes::default() };
        set_attributes(&tmpfs, change).attempt(|| "making the mount read-only")?;
    }
    Ok(Some(tmpfs))
}

fn mount_tmpfs(target: &Fd, attributes: u32) -> Result<Fd> {
    const MODE: &str = "mode=755";
    match new_file_system("tmpfs", "tmpfs", &[MODE], attributes) {
        Ok(tmpfs) => attach(&tmpfs, target).map(|()| tmpfs),
        Err(error) if is_missing(&error) => {
            let set = Attributes { set: u64::from(attributes), ..Attributes::default() };
            m::mount("tmpfs", fd_path(target), "tmpfs", classic_flags(set), MODE)
                .attempt(|| "mounting tmpfs")?;
            reopen(target)
        }
        Err(error) => Err(error),
    }
}

/// Whether the kernel, or a filter around this process, has no detached mounts.
fn is_missing(error: &Error) -> bool {
    matches!(error.errno(), Some(Errno::ENOSYS | Errno::EPERM))
}

fn bind_by_path(path: &str, point: &Fd, plan: &MountPlan) -> Result<()> {
    m::mount(path, fd_path(point), "", m::MS_BIND | m::MS_REC, "")
        .attempt(|| format!("binding {path}"))?;
    remount(&fd_path(&reopen(point)?), plan.attributes).attempt(|| format!("protecting {path}"))
}

fn make_point(tmpfs: &Fd, name: &str) -> Result<Fd> {
    fs::mkdir(tmpfs, name, 0o755)
        .and_then(|()| fs::open_at(tmpfs, name, fs::O_PATH | fs::O_NOFOLLOW, 0))
        .attempt(|| format!("making the directory {name}"))
}

/// `cpu` and `cpuacct` lead to `cpu,cpuacct`, as on every host.
fn link_controllers(tmpfs: &Fd, name: &str) -> Result<()> {
    if !name.contains(',') {
        return Ok(());
    }
    for part in name.split(',') {
        match fs::symlink(name, tmpfs, part) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(Error::os(format!("linking {part}"), errno)),
        }
    }
    Ok(())
}
