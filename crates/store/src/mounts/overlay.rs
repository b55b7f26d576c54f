//! Stacking directories, in whichever way the kernel can.

use crate::error::{Error, Kind, Result};
use crate::files;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use sys::mount::{self, Attributes, FsContext, MNT_DETACH, MOUNT_ATTR_RDONLY};
use sys::{CWD, Errno, Fd, fs};

/// How a view was mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// Overlayfs that is given its layers one by one (Linux 6.7, by descriptors 6.13).
    Overlay,
    /// Overlayfs by `mount(2)`: as many layers as one page has room for.
    OverlayClassic,
    /// A view of a single layer, or of a copy of several, without overlayfs.
    Bind,
}

/// What is to be stacked.
pub(super) struct Stack {
    /// The topmost first.
    pub(super) lowers: Vec<Fd>,
    /// Upper and work directory.
    pub(super) upper: Option<(Fd, Fd)>,
    /// What is written need not survive a power cut.
    pub(super) is_volatile: bool,
    /// What the kernel's list calls the mount.
    pub(super) name: String,
}

impl Stack {
    /// What cannot be written to is not made to seem so.
    pub(super) fn attributes(&self) -> u32 {
        if self.upper.is_some() { 0 } else { MOUNT_ATTR_RDONLY }
    }
}

/// Makes a detached mount, in the first form from `form` on that works here. `layers` of the lower
/// directories are layers.
pub(super) fn mount(
    stack: &Stack,
    layers: usize,
    attributes: u32,
    form: Form,
    scratch: &Path,
) -> Result<(Fd, Form)> {
    let mut failed = Errno::ENODEV;
    if form <= Form::Overlay {
        match by_context(stack, attributes) {
            Ok(mount) => return Ok((mount, Form::Overlay)),
            Err(errno) => failed = errno,
        }
    }
    if form <= Form::OverlayClassic {
        match by_path(stack, attributes, scratch) {
            Ok(mount) => return Ok((mount, Form::OverlayClassic)),
            // The first form's failure says more.
            Err(errno) if form == Form::OverlayClassic => failed = errno,
            Err(_) => {}
        }
    }
    if layers <= 1 && stack.upper.is_none() {
        let bound = bind(&stack.lowers[0], attributes)
            .map_err(|errno| Error::os("mounting a layer", errno))?;
        return Ok((bound, Form::Bind));
    }
    let kind = match failed {
        // No overlayfs, or none on this file system.
        Errno::ENODEV | Errno::EINVAL | Errno::ELOOP | Errno::ENOTSUP => Kind::Unsupported,
        failed => Kind::Os(failed),
    };
    let error = Error::new(kind, format!("stacking {layers} layers: {failed}"));
    Err(match failed {
        Errno::ENODEV => error.with_hint("the kernel has no overlayfs: `modprobe overlay`"),
        Errno::EPERM => {
            error.with_hint("mounting needs CAP_SYS_ADMIN in a user namespace or as root")
        }
        _ => error,
    })
}

fn path_of(fd: &Fd) -> String {
    format!("/proc/self/fd/{}", fd.raw())
}

/// The options beside the layers. What the kernel's module takes for a default must not decide what
/// an upper directory has in it.
fn options(has_upper: bool) -> Vec<(&'static str, &'static str)> {
    match (has_upper, is_initial_user_namespace()) {
        (true, true) => vec![("redirect_dir", "nofollow"), ("metacopy", "off"), ("index", "off")],
        (false, true) => vec![("metacopy", "off")],
        // `trusted` attributes are out of reach.
        (_, false) => vec![("userxattr", "")],
    }
}

fn by_context(stack: &Stack, attributes: u32) -> sys::Result<Fd> {
    let context = FsContext::open("overlay")?;
    context.set("source", &stack.name)?;
    for lower in &stack.lowers {
        match context.set_fd("lowerdir+", lower) {
            Err(Errno::EINVAL) => context.set("lowerdir+", path_of(lower))?,
            result => result?,
        }
    }
    if let Some((upper, work)) = &stack.upper {
        context.set("upperdir", path_of(upper))?;
        context.set("workdir", path_of(work))?;
    }
    if stack.is_volatile {
        // Since Linux 5.10. Otherwise it is synced when it is unmounted, with all of its file system.
        let _ = context.set_flag("volatile");
    }
    for (key, value) in options(stack.upper.is_some()) {
        match value {
            "" => context.set_flag(key)?,
            value => context.set(key, value)?,
        }
    }
    context.mount(attributes)
}

/// Mounts at a directory for a moment, and takes a copy from there.
fn by_path(stack: &Stack, attributes: u32, scratch: &Path) -> sys::Result<Fd> {
    /// `mount(2)` takes one page.
    const DATA_LIMIT_BYTES: usize = 4095;
    let mut data = String::from("lowerdir=");
    let lowers: Vec<String> = stack.lowers.iter().map(path_of).collect();
    data.push_str(&lowers.join(":"));
    if let Some((upper, work)) = &stack.upper {
        let _ = write!(data, ",upperdir={},workdir={}", path_of(upper), path_of(work));
    }
    for (key, value) in options(stack.upper.is_some()) {
        let equals = if value.is_empty() { "" } else { "=" };
        let _ = write!(data, ",{key}{equals}{value}");
    }
    if data.len() > DATA_LIMIT_BYTES {
        return Err(Errno::E2BIG);
    }
    let scratch_dir =
        fs::open_at(CWD, scratch.as_os_str().as_bytes(), fs::O_RDONLY | fs::O_DIRECTORY, 0)?;
    let place = "classic";
    files::make_dir(&scratch_dir, place).map_err(|_| Errno::EIO)?;
    let path = scratch.join(place);
    let path = path.as_os_str().as_bytes();
    let mount = |data: &str| mount::mount(&stack.name, path, "overlay", 0, data);
    // Without it where there is no such option or no room for it.
    let mounted = match format!("{data},volatile") {
        more if stack.is_volatile && more.len() <= DATA_LIMIT_BYTES => {
            mount(&more).or_else(|_| mount(&data))
        }
        _ => mount(&data),
    };
    let made = mounted.and_then(|()| {
        let tree = mount::clone_tree(CWD, path, false);
        mount::unmount(path, MNT_DETACH)?;
        tree
    });
    fs::unlink(&scratch_dir, place, fs::AT_REMOVEDIR)?;
    let tree = made?;
    set(&tree, attributes)?;
    Ok(tree)
}

/// A view of one directory, as it is.
pub(super) fn bind(layer: &Fd, attributes: u32) -> sys::Result<Fd> {
    let tree = mount::clone_tree(layer, "", false)?;
    set(&tree, attributes | MOUNT_ATTR_RDONLY)?;
    Ok(tree)
}

fn set(tree: &Fd, attributes: u32) -> sys::Result<()> {
    let change = Attributes { set: u64::from(attributes), ..Attributes::default() };
    mount::set_attributes(tree, change, false)
}

/// Whether ids are what they are for the kernel.
fn is_initial_user_namespace() -> bool {
    const LIMIT_BYTES: usize = 4096;
    let map = fs::read_file(CWD, "/proc/self/uid_map", LIMIT_BYTES).unwrap_or_default();
    let text = String::from_utf8_lossy(&map);
    let words: Vec<&str> = text.split_whitespace().collect();
    words == ["0", "0", "4294967295"]
}
