//! `mounts`: adding mounts to a running container, and taking them away (crun's verb).
//!
//! A helper process enters the container's namespaces with the sources already open: what it mounts
//! is a descriptor, and so is what it mounts on. It never looks up a path of the host's there, and
//! every path of the container's below the container's root.

use super::look_up;
use crate::Host;
use crate::channel;
use crate::config::{self, ContainerId, MountPlan};
use crate::create::idmap;
use crate::create::job::open_tree;
use crate::error::{Attempt, Error, Kind, Result};
use crate::exec::{enter_first, enter_rest, namespaces_of};
use crate::init::mounts::{Mounter, new_file_system};
use crate::procfs::Proc;
use crate::rootdir::RootDir;
use crate::state::Record;
use alloc::format;
use alloc::vec::Vec;
use oci::runtime::{Mount, NamespaceKind, Status};
use sys::mount::{self as m, Attributes};
use sys::{CWD, Errno, Fd, fs, process, wait};

/// Makes mounts in a running container: all of them, or none.
pub fn add_mounts(host: &Host, id: &ContainerId, mounts: &[Mount]) -> Result<()> {
    let record = running(host, id)?;
    check_kernel()?;
    let attempt = || format!("opening the bundle {}", record.bundle);
    let bundle =
        fs::open_at(CWD, &record.bundle, fs::O_PATH | fs::O_DIRECTORY, 0).attempt(attempt)?;
    let mut prepared: Vec<(MountPlan, Option<Fd>)> = Vec::with_capacity(mounts.len());
    for (index, mount) in mounts.iter().enumerate() {
        let plan = config::plan_mount(mount, &format!("mounts[{index}]"))?;
        let tree = open_tree(&bundle, index, &plan)?;
        if let (Some(map), Some(tree)) = (&plan.idmap, &tree) {
            let users = fs::open_read(format!("/proc/{}/ns/user", record.pid))
                .attempt(|| "opening the container's user namespace")?;
            idmap::apply_running(tree, map, &users)
                .map_err(|error| error.context(format!("mounts[{index}]: idmap")))?;
        }
        prepared.push((plan, tree));
    }
    inside(&record, |root, proc| {
        let mut made = Vec::with_capacity(prepared.len());
        for (index, (plan, tree)) in prepared.into_iter().enumerate() {
            if let Err(error) = add(root, &plan, tree, &mut made) {
                for mounted in made.iter().rev() {
                    // The first error is the one that counts.
                    let _ = unmount(proc, mounted);
                }
                let to = &plan.destination;
                return Err(error.context(format!("error mounting on {to:?} (mounts[{index}])")));
            }
        }
        Ok(())
    })
}

/// Makes one mount, and notes it in `made` as soon as it is there.
fn add(root: &RootDir, plan: &MountPlan, tree: Option<Fd>, made: &mut Vec<Fd>) -> Result<()> {
    let mut mounter = Mounter::new(root, false);
    let mounted = mounter.mount_ordinary(None, plan, tree)?;
    made.push(fs::duplicate(&mounted, 3).attempt(|| "keeping the mount")?);
    mounter.add_attributes(plan, mounted)?;
    mounter.finish()
}

/// Takes away what is mounted on the destinations of `mounts`, the last first.
pub fn remove_mounts(host: &Host, id: &ContainerId, mounts: &[Mount]) -> Result<()> {
    let record = running(host, id)?;
    let clean = |(index, mount): (usize, &Mount)| match config::clean(&mount.destination) {
        path if path == "/" => {
            let what = format!("mounts[{index}].destination: the root stays where it is");
            Err(Error::invalid(what))
        }
        path => Ok(path),
    };
    let paths = mounts.iter().enumerate().map(clean).collect::<Result<Vec<_>>>()?;
    inside(&record, |root, proc| {
        for (index, path) in paths.iter().enumerate().rev() {
            let attempt = || format!("mounts[{index}]: unmounting {path:?}");
            let mounted = root.open(path, fs::O_PATH).attempt(attempt)?;
            unmount(proc, &mounted).map_err(|errno| match errno {
                Errno::EINVAL => Error::invalid(format!("{}: nothing is mounted there", attempt())),
                errno => Error::os(attempt(), errno),
            })?;
        }
        Ok(())
    })
}

/// Unmounts what `mounted` is the root of. The container's own /proc is not asked for it.
fn unmount(proc: &Proc, mounted: &Fd) -> sys::Result<()> {
    fs::chdir_fd(proc.fd())?;
    m::unmount(format!("self/fd/{}", mounted.raw()), m::MNT_DETACH)
}

fn running(host: &Host, id: &ContainerId) -> Result<Record> {
    let (_, record, status) = look_up(host, id)?;
    if matches!(status, Status::Stopped | Status::Creating) {
        return Err(Error::new(Kind::InUse, format!("container {id} is not running")));
    }
    if !record.namespaces.contains(&NamespaceKind::Mount) {
        let what = format!("container {id} has no mount namespace of its own");
        return Err(Error::new(Kind::Unsupported, what));
    }
    Ok(record)
}

/// The classic calls, which stand in on old kernels, would go through the container's /proc.
fn check_kernel() -> Result<()> {
    let probe = new_file_system("tmpfs", "tmpfs", &[], 0)
        .and_then(|tree| m::set_attributes(&tree, Attributes::default(), true).attempt(|| ""));
    match probe {
        Err(error) if error.errno() == Some(Errno::ENOSYS) => {
            let what = "mounting in a running container needs Linux 5.12 or newer";
            Err(Error::new(Kind::Unsupported, what))
        }
        result => result.map_err(|error| error.context("making a mount")),
    }
}

/// Does `work` in a process in the container's namespaces, with the container's root directory and
/// the host's procfs.
fn inside(record: &Record, work: impl FnOnce(&RootDir, &Proc) -> Result<()>) -> Result<()> {
    let init = process::open_pid(record.pid).attempt(|| "opening the container's init")?;
    if !record.is_alive() {
        return Err(Error::new(Kind::InUse, format!("container {} is not running", record.id)));
    }
    let proc = Proc::open()?;
    let namespaces = namespaces_of(record);
    let own_users = namespaces & process::CLONE_NEWUSER != 0;
    let (parent_end, child_end) = channel::pair()?;
    let rest = enter_first(&init, namespaces)?;
    let Some(child) = process::fork_plain().attempt(|| "starting a helper process")? else {
        drop(parent_end);
        let attempt = || "entering the container's root";
        let done = enter_rest(&init, rest, own_users)
            .and_then(|()| fs::open_at(CWD, "/", fs::O_PATH | fs::O_DIRECTORY, 0).attempt(attempt))
            .and_then(|root| work(&RootDir::new(root), &proc));
        if let Err(error) = done {
            child_end.fail(&error);
            process::exit(1)
        }
        process::exit(0)
    };
    drop(child_end);
    let said = parent_end.receive();
    match (said?, wait::child(child.pid, true)) {
        (Some(channel::Request::Failed(error)), _) => Err(error),
        (_, Ok(Some((_, wait::Exit::Code(0))))) => Ok(()),
        _ => Err(Error::new(Kind::Os, "the helper in the container ended without saying why")),
    }
}
