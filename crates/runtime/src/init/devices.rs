//! Device nodes and the usual links of `/dev`.

use super::Job;
use crate::error::{Attempt, Error, Result};
use crate::procfs::fd_path;
use crate::rootdir::{Make, RootDir};
use alloc::format;
use oci::runtime::Device;
use sys::mount as m;
use sys::{CWD, Errno, Fd, fs};

/// Devices that every container has (runtime-spec, "Default Devices"), with mode 0666.
const DEFAULTS: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// The paths of these devices.
pub(crate) fn default_paths() -> impl Iterator<Item = alloc::string::String> {
    DEFAULTS.iter().map(|(name, ..)| format!("/dev/{name}"))
}

/// Links that every container has (runtime-spec, "Dev symbolic links").
const LINKS: [(&str, &str); 4] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
];

/// Makes everything below the container's `/dev`, and other configured nodes.
pub(super) fn make_all(job: &Job, root: &RootDir) -> Result<()> {
    let dev = open_dev(root)?;
    for (target, name) in LINKS {
        link(&dev, target, name)?;
    }
    if fs::exists(CWD, "/proc/kcore") {
        link(&dev, "/proc/kcore", "core")?;
    }
    replace_ptmx(&dev)?;
    // In a user namespace nodes cannot be made, or would not work: the host's are shown.
    let bind = job.own_users;
    for (name, major, minor) in DEFAULTS {
        let node = Node { mode: fs::S_IFCHR | 0o666, number: fs::makedev(major, minor) };
        make(&dev, name, &format!("/dev/{name}"), node, bind)
            .map_err(|error| error.context(format!("making /dev/{name}")))?;
    }
    bring_null_inside(&dev)?;
    let configured = job.spec.linux.iter().flat_map(|linux| &linux.devices);
    for (index, device) in configured.enumerate() {
        let node = job.nodes.get(index).and_then(Option::as_ref);
        make_configured(root, device, bind, node)
            .map_err(|error| error.context(format!("linux.devices[{index}] ({})", device.path)))?;
    }
    Ok(())
}

/// Behind a link the nodes would be somewhere else in the image, and `/dev` would not be theirs.
fn open_dev(root: &RootDir) -> Result<Fd> {
    match root.open("/dev", fs::O_PATH | fs::O_NOFOLLOW | fs::O_DIRECTORY) {
        Ok(dev) => Ok(dev),
        Err(Errno::ENOTDIR | Errno::ELOOP) => {
            Err(Error::invalid("/dev in the container is not a directory")
                .with_hint("replace the link or file in the image"))
        }
        Err(_) => root.ensure("/dev", Make::Dir(0o755)),
    }
}

/// Standard descriptors that are the host's null device become the container's: nothing of it then
/// refers to a mount outside, which is what a checkpoint needs.
fn bring_null_inside(dev: &Fd) -> Result<()> {
    let attempt = || "opening /dev/null in the container";
    let is_null = |fd: sys::BorrowedFd<'_>| {
        let stat = fs::stat_fd(fd);
        stat.is_ok_and(|stat| {
            stat.st_mode & fs::S_IFMT == fs::S_IFCHR && stat.st_rdev == fs::makedev(1, 3)
        })
    };
    let mut inside = None;
    for number in 0..3 {
        if !is_null(sys::BorrowedFd::from_raw(number)) {
            continue;
        }
        if inside.is_none() {
            let found =
                fs::open_at(dev, "null", fs::O_PATH | fs::O_NOFOLLOW, 0).attempt(attempt)?;
            // Not the null device (any more): the host's serves as well.
            if !is_null(found.borrow()) {
                return Ok(());
            }
            let opened = fs::open_at(CWD, fd_path(&found), fs::O_RDWR, 0).attempt(attempt)?;
            inside = Some(opened);
        }
        if let Some(inside) = &inside {
            fs::duplicate_to(inside, number).attempt(attempt)?;
        }
    }
    Ok(())
}

struct Node {
    mode: u32,
    number: u64,
}

fn make_configured(root: &RootDir, device: &Device, bind: bool, made: Option<&Fd>) -> Result<()> {
    let path = crate::config::clean(&device.path);
    // /dev/ptmx is always the container's own.
    if path == "/dev/ptmx" {
        return Ok(());
    }
    let (dir, name) = root.parent(&path)?;
    if let Some(tree) = made {
        let target = open_cover(&dir, name, 0o644).attempt(|| "making the file to mount on")?;
        return attach(tree, &target).attempt(|| "mounting the node");
    }
    let kind = match device.kind.as_str() {
        "b" => fs::S_IFBLK,
        "p" => fs::S_IFIFO,
        _ => fs::S_IFCHR,
    };
    let permissions = device.file_mode.unwrap_or(0o666) & 0o7777;
    let number = match kind {
        fs::S_IFIFO => 0,
        _ => fs::makedev(device.major as u32, device.minor as u32),
    };
    let bind = bind && kind != fs::S_IFIFO;
    make(&dir, name, &path, Node { mode: kind | permissions, number }, bind)?;
    let (uid, gid) = (device.uid.unwrap_or(0), device.gid.unwrap_or(0));
    if bind || (uid, gid) == (0, 0) {
        return Ok(());
    }
    fs::chown(&dir, name, uid, gid, fs::AT_SYMLINK_NOFOLLOW).attempt(|| "changing the owner")
}

/// Makes one node in `dir`. What is there under the name and is not that node is replaced.
fn make(dir: &Fd, name: &str, host_path: &str, node: Node, bind: bool) -> Result<()> {
    if bind {
        return bind_host(dir, name, host_path, node.number);
    }
    match fs::mknod(dir, name, node.mode, node.number) {
        Ok(()) => return Ok(()),
        Err(Errno::EEXIST) => {}
        Err(Errno::EPERM) => return bind_host(dir, name, host_path, node.number),
        Err(errno) => return Err(Error::os("making the node", errno)),
    }
    let stat = fs::stat_at(dir, name, fs::AT_SYMLINK_NOFOLLOW).attempt(|| "looking at it")?;
    let same_kind = stat.st_mode & fs::S_IFMT == node.mode & fs::S_IFMT;
    if same_kind && (stat.st_rdev == node.number || node.mode & fs::S_IFMT == fs::S_IFIFO) {
        return Ok(());
    }
    fs::unlink(dir, name, 0).attempt(|| "replacing what is there")?;
    fs::mknod(dir, name, node.mode, node.number).attempt(|| "making the node")
}

/// Shows the host's node under a name in `dir`, after a look that it is the one meant.
fn bind_host(dir: &Fd, name: &str, host_path: &str, number: u64) -> Result<()> {
    let host = fs::open_at(CWD, host_path, fs::O_PATH | fs::O_NOFOLLOW, 0)
        .attempt(|| "opening the host's node")?;
    let stat = fs::stat_fd(&host).attempt(|| "looking at the host's node")?;
    let is_device = matches!(stat.st_mode & fs::S_IFMT, fs::S_IFCHR | fs::S_IFBLK);
    if !is_device || stat.st_rdev != number {
        return Err(Error::invalid(format!("the host's {host_path} is another device")));
    }
    let target = open_cover(dir, name, 0o644).attempt(|| "making the file to mount on")?;
    match m::clone_tree(&host, "", false) {
        Ok(tree) => attach(&tree, &target),
        Err(Errno::ENOSYS | Errno::EPERM) => {
            m::mount(fd_path(&host), fd_path(&target), "", m::MS_BIND, "")
        }
        Err(errno) => Err(errno),
    }
    .attempt(|| "mounting the host's node")
}

/// Mounts a node. It is no program, whoever made it.
fn attach(tree: &Fd, target: &Fd) -> sys::Result<()> {
    let set = u64::from(m::MOUNT_ATTR_NOSUID | m::MOUNT_ATTR_NOEXEC);
    let change = m::Attributes { set, ..m::Attributes::default() };
    match m::set_attributes(tree, change, false) {
        // Before Linux 5.12.
        Err(Errno::ENOSYS) => {}
        result => result?,
    }
    m::attach(tree, target)
}

/// Opens what is called `name` in `dir`, without following a link, to mount on it; an empty file
/// is made where nothing is, and in the place of a link.
pub(super) fn open_cover(dir: &Fd, name: &str, mode: u32) -> sys::Result<Fd> {
    let create = || {
        let flags = fs::O_CREAT | fs::O_EXCL | fs::O_NOFOLLOW | fs::O_WRONLY;
        fs::open_at(dir, name, flags, mode).map(drop)
    };
    match fs::stat_at(dir, name, fs::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) if stat.st_mode & fs::S_IFMT == fs::S_IFLNK => {
            fs::unlink(dir, name, 0)?;
            create()?;
        }
        Ok(_) => {}
        Err(Errno::ENOENT) => create()?,
        Err(errno) => return Err(errno),
    }
    fs::open_at(dir, name, fs::O_PATH | fs::O_NOFOLLOW, 0)
}

fn link(dev: &Fd, target: &str, name: &str) -> Result<()> {
    match fs::symlink(target, dev, name) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(Error::os(format!("making the link /dev/{name}"), errno)),
    }
}

/// `/dev/ptmx` is the multiplexer of the container's own devpts, whatever the image has there.
fn replace_ptmx(dev: &Fd) -> Result<()> {
    let attempt = || "making the link /dev/ptmx";
    match fs::symlink("pts/ptmx", dev, "ptmx") {
        Err(Errno::EEXIST) => {
            fs::unlink(dev, "ptmx", 0).attempt(attempt)?;
            fs::symlink("pts/ptmx", dev, "ptmx").attempt(attempt)
        }
        result => result.attempt(attempt),
    }
}
