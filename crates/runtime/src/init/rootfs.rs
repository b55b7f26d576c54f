//! The container's root file system, from the bundle's directory to `/`.
//!
//! *Invariant: everything is made and mounted through descriptors below the new root, before the
//! root is changed.* The host's `/proc` and `/dev/null` stay reachable until then, so nothing is
//! ever taken from the container's own tree, which its image or a neighbour may have prepared.

use super::console::{self, Terminal};
use super::{Job, devices, masks, mounts};
use crate::channel::{Channel, Request};
use crate::error::{Attempt, Error, Result};
use crate::rootdir::RootDir;
use alloc::format;
use sys::mount::{self as m, Attributes};
use sys::{CWD, Errno, Fd, fs};

/// Builds the root and enters it. Returns the terminal that was made.
pub(super) fn build(job: &mut Job, channel: &mut Channel) -> Result<Option<Terminal>> {
    set_propagation(job)?;
    let rootfs = reopen_root(job)?;
    let root = RootDir::new(attach_root(job, &rootfs)?);
    drop(rootfs);
    let terminal = fill(job, &root, channel)?;
    if job.spec.root.as_ref().is_some_and(|root| root.readonly) {
        let cwd = job.plan.process.cwd.as_str();
        if cwd != "/" {
            // Later it is too late. Whether the directory will do is told when it is entered.
            let _ = root.ensure(cwd, crate::rootdir::Make::Dir(0o755));
        }
        make_read_only(root.fd())?;
    }
    change_root(job, root.fd())?;
    apply_root_propagation(job)?;
    Ok(terminal)
}

/// Makes everything that lies below the root. Returns the terminal that was made.
fn fill(job: &mut Job, root: &RootDir, channel: &mut Channel) -> Result<Option<Terminal>> {
    let mut mounter = mounts::Mounter::new(root, job.own_users);
    mounter.mount_all(job, channel)?;
    if mounter.makes_devices() {
        devices::make_all(job, root)?;
    }
    let terminal = console::make(job, root, mounter.terminals())?;
    super::enter_cgroups(job, channel)?;
    ask_for_hooks(job, root, channel)?;
    mounter.finish()?;
    masks::apply(job, root)?;
    Ok(terminal)
}

/// A container without a mount namespace of its own shares the caller's: its mounts are made there,
/// on and below its root directory, and unmounted when it is deleted ([`unmount_shared`]).
pub(super) fn enter_shared(job: &mut Job, channel: &mut Channel) -> Result<Option<Terminal>> {
    let attempt = || "entering the root file system";
    let Some(rootfs) = job.rootfs.take() else { return Err(Error::os(attempt(), Errno::EBADF)) };
    let root = RootDir::new(bind_root(&rootfs, Peers::Parted)?);
    let terminal = fill(job, &root, channel)?;
    if job.spec.root.as_ref().is_some_and(|root| root.readonly) {
        make_read_only(root.fd())?;
    }
    fs::chdir_fd(root.fd()).attempt(attempt)?;
    fs::chroot(".").attempt(|| "changing the root directory")?;
    fs::chdir("/").attempt(attempt)?;
    Ok(terminal)
}

/// Takes away what a container without a mount namespace mounted, by destination, the last first.
/// What was never mounted, or is gone, is not there to be unmounted.
pub(crate) fn unmount_shared(record: &crate::state::Record) -> Result<()> {
    if record.shared_root == 0 {
        return Ok(());
    }
    let attempt = || format!("unmounting what is mounted on {}", record.rootfs);
    let flags = fs::O_PATH | fs::O_DIRECTORY;
    let root = match fs::open_at(CWD, &record.rootfs, flags, 0) {
        Err(sys::Errno::ENOENT | sys::Errno::ENOTDIR) => return Ok(()),
        result => result.attempt(attempt)?,
    };
    if crate::procfs::mount_id(&root)? == record.shared_root {
        // The root directory is on the mount that it was on before.
        return Ok(());
    }
    let root = RootDir::new(root);
    for destination in record.shared_mounts.iter().rev() {
        let Ok(mounted) = root.open(destination, fs::O_PATH | fs::O_NOFOLLOW) else { continue };
        // EINVAL: nothing is mounted there.
        let _ = m::unmount(crate::procfs::fd_path(&mounted), m::MNT_DETACH);
    }
    // Takes along what is still mounted below it.
    m::unmount(crate::procfs::fd_path(root.fd()), m::MNT_DETACH).attempt(attempt)
}

/// The root directory as this mount namespace has it: the parent's descriptor lies in the parent's
/// namespace, but the current directory has moved along. A joined namespace has its own root and
/// current directory, so there the path decides.
fn reopen_root(job: &Job) -> Result<Fd> {
    let attempt = || "opening the root file system";
    let path = if job.is_new(sys::process::CLONE_NEWNS) { "." } else { job.rootfs_path.as_str() };
    fs::open_at(CWD, path, fs::O_PATH | fs::O_DIRECTORY, 0).attempt(attempt)
}

fn configured_propagation(job: &Job) -> &str {
    job.spec.linux.as_ref().map_or("", |linux| linux.rootfs_propagation.as_str())
}

/// Keeps what is mounted here from reaching the host. Mounts of the host still arrive unless the
/// configuration wants the root private.
fn set_propagation(job: &Job) -> Result<()> {
    let flags = match configured_propagation(job) {
        "shared" | "rshared" => m::MS_SHARED,
        // Unbindable comes at the end: the root itself has to be bound first.
        "private" | "rprivate" | "unbindable" | "runbindable" => m::MS_PRIVATE,
        _ => m::MS_SLAVE,
    };
    m::mount("", "/", "", flags | m::MS_REC, "").attempt(|| "changing the propagation of /")
}

/// Makes the root directory a mount of its own, on top of itself.
fn attach_root(job: &Job, rootfs: &Fd) -> Result<Fd> {
    if matches!(configured_propagation(job), "shared" | "rshared") {
        // pivot_root refuses a new root that is shared, or whose parent is; the copy of a private
        // mount is private.
        make_parent_private(rootfs)?;
    }
    bind_root(rootfs, Peers::Kept)
}

/// Whether the mount of the root stays a peer of the mount that it is made from.
#[derive(PartialEq, Eq)]
enum Peers {
    Kept,
    /// The caller's directory may be bound to itself below a shared mount. What is mounted on it is
    /// then repeated below it, and as a peer of both would take it along when it is unmounted.
    Parted,
}

fn bind_root(rootfs: &Fd, peers: Peers) -> Result<Fd> {
    let attempt = || "mounting the root file system";
    match m::clone_tree(rootfs, "", true) {
        Ok(tree) => {
            if peers == Peers::Parted {
                let private = u64::from(m::MS_PRIVATE);
                let change = Attributes { propagation: private, ..Attributes::default() };
                // Linux before 5.12 cannot: it has these mounts as they come.
                match m::set_attributes(&tree, change, true) {
                    Err(Errno::ENOSYS | Errno::EPERM) => {}
                    result => result.attempt(attempt)?,
                }
            }
            mounts::attach(&tree, rootfs).map_err(|error| error.context(attempt()))?;
            Ok(tree)
        }
        Err(Errno::ENOSYS | Errno::EPERM) => {
            let path = crate::procfs::fd_path(rootfs);
            m::mount(&path, &path, "", m::MS_BIND | m::MS_REC, "").attempt(attempt)?;
            // The descriptor is still below the new mount; its name leads to what is on top.
            let shown = fs::read_link(CWD, &path).attempt(attempt)?;
            fs::open_at(CWD, shown, fs::O_PATH | fs::O_DIRECTORY, 0).attempt(attempt)
        }
        Err(errno) => Err(Error::os(attempt(), errno)),
    }
}

/// Takes the mount that holds the root directory out of its peer group.
fn make_parent_private(rootfs: &Fd) -> Result<()> {
    let attempt = || "making the mount below the root file system private";
    let path = fs::read_link(CWD, crate::procfs::fd_path(rootfs)).attempt(attempt)?;
    let path = alloc::string::String::from_utf8_lossy(&path).into_owned();
    let mut end = path.len();
    loop {
        let part = if end == 0 { "/" } else { &path[..end] };
        match m::mount("", part, "", m::MS_PRIVATE, "") {
            // Not a mount point: the one above may be.
            Err(Errno::EINVAL) if end > 0 => end = path[..end].rfind('/').unwrap_or(0),
            result => return result.attempt(attempt),
        }
    }
}

fn ask_for_hooks(job: &Job, root: &RootDir, channel: &mut Channel) -> Result<()> {
    let Some(hooks) = &job.spec.hooks else { return Ok(()) };
    if !hooks.prestart.is_empty() || !hooks.create_runtime.is_empty() {
        channel.ask(&Request::Hooks)?;
    }
    if hooks.create_container.is_empty() {
        return Ok(());
    }
    let mut state = job.state.clone();
    state.status = oci::runtime::Status::Creating;
    state.pid = sys::process::id();
    // They start where the container's files are, as with runc.
    fs::chdir_fd(root.fd()).attempt(|| "entering the root file system")?;
    crate::hooks::run_all_here("createContainer", &hooks.create_container, &state, None)
}

/// `mount_setattr`, or a remount on kernels without it.
pub(super) fn set_attributes(mount: &Fd, change: Attributes) -> sys::Result<()> {
    match m::set_attributes(mount, change, false) {
        Err(Errno::ENOSYS | Errno::EPERM) => {
            mounts::remount(&crate::procfs::fd_path(mount), change)
        }
        result => result,
    }
}

fn make_read_only(root: &Fd) -> Result<()> {
    let change = Attributes { set: u64::from(m::MOUNT_ATTR_RDONLY), ..Attributes::default() };
    set_attributes(root, change).attempt(|| "root.readonly: making the root read-only")
}

fn change_root(job: &Job, root: &Fd) -> Result<()> {
    fs::chdir_fd(root).attempt(|| "entering the root file system")?;
    if job.no_pivot {
        hide_kernel_files(job)?;
        return move_root();
    }
    let old = fs::open_at(CWD, "/", fs::O_PATH | fs::O_DIRECTORY, 0)
        .attempt(|| "opening the old root")?;
    m::pivot_root_here().map_err(|errno| {
        let error = Error::os("changing the root with pivot_root", errno);
        match errno {
            Errno::EINVAL => error.with_hint("a host that runs from a ramfs needs --no-pivot"),
            _ => error,
        }
    })?;
    // The old root lies on the new one, which is still what "." means to mount(2). The old one must
    // not pass its unmounting on to the host, and the new one's propagation is not to be touched.
    fs::chdir_fd(&old).attempt(|| "entering the old root")?;
    m::mount("", ".", "", m::MS_SLAVE | m::MS_REC, "").attempt(|| "parting from the old root")?;
    m::unmount(".", m::MNT_DETACH).attempt(|| "unmounting the old root")?;
    fs::chdir("/").attempt(|| "entering the new root")
}

/// Takes the host's procfs and sysfs out of a mount namespace that keeps the host's root below the
/// container's: with one of them in it, root of a user namespace in the container could mount
/// another that nothing masks.
fn hide_kernel_files(job: &Job) -> Result<()> {
    let mounts = job.proc.read("self/mountinfo")?;
    let inside = alloc::format!("{}/", job.rootfs_path);
    let points = mounts.lines().filter_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let point = crate::cgroup::unescape(place.split(' ').nth(4)?);
        let kernels = matches!(kind.split(' ').next(), Some("proc" | "sysfs"));
        (kernels && !point.starts_with(&inside)).then_some(point)
    });
    for point in points {
        let attempt = || alloc::format!("taking the host's {point} out of the container");
        let _ = m::mount("", &point, "", m::MS_SLAVE | m::MS_REC, "");
        match m::unmount(&point, m::MNT_DETACH) {
            Ok(()) | Err(Errno::ENOENT) => {}
            // It came with the user namespace and is held by it: then it is covered.
            Err(Errno::EINVAL | Errno::EPERM) => {
                m::mount("tmpfs", &point, "tmpfs", m::MS_RDONLY, "").attempt(attempt)?;
            }
            Err(errno) => return Err(Error::os(attempt(), errno)),
        }
    }
    Ok(())
}

/// For hosts that run from a ramfs, which cannot be pivoted: the new root is moved over the old.
fn move_root() -> Result<()> {
    m::mount(".", "/", "", m::MS_MOVE, "").attempt(|| "moving the root file system to /")?;
    fs::chroot(".").attempt(|| "changing the root directory")?;
    fs::chdir("/").attempt(|| "entering the new root")
}

fn apply_root_propagation(job: &Job) -> Result<()> {
    let flags = match configured_propagation(job) {
        "shared" => m::MS_SHARED,
        "rshared" => m::MS_SHARED | m::MS_REC,
        "unbindable" => m::MS_UNBINDABLE,
        "runbindable" => m::MS_UNBINDABLE | m::MS_REC,
        "private" => m::MS_PRIVATE,
        "rprivate" => m::MS_PRIVATE | m::MS_REC,
        "slave" => m::MS_SLAVE,
        "rslave" => m::MS_SLAVE | m::MS_REC,
        _ => return Ok(()),
    };
    m::mount("", "/", "", flags, "").attempt(|| "linux.rootfsPropagation: setting it")
}
