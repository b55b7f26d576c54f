//! Mounts: the classic calls and the ones on descriptors.

use crate::arch::call;
use crate::cstr::with_cstr;
use crate::errno::Result;
use crate::fd::{AsFd, Fd};
use linux_raw_sys::general::{
    AT_EMPTY_PATH, MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_T_EMPTY_PATH, OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE, fsconfig_command, mount_attr,
};
pub use linux_raw_sys::general::{
    AT_RECURSIVE, MNT_DETACH, MOUNT_ATTR__ATIME, MOUNT_ATTR_IDMAP, MOUNT_ATTR_NOATIME,
    MOUNT_ATTR_NODEV, MOUNT_ATTR_NODIRATIME, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_NOSYMFOLLOW, MOUNT_ATTR_RDONLY, MOUNT_ATTR_RELATIME, MOUNT_ATTR_STRICTATIME,
    MS_BIND, MS_DIRSYNC, MS_I_VERSION, MS_LAZYTIME, MS_MANDLOCK, MS_MOVE, MS_NOATIME, MS_NODEV,
    MS_NODIRATIME, MS_NOEXEC, MS_NOSUID, MS_NOSYMFOLLOW, MS_PRIVATE, MS_RDONLY, MS_REC,
    MS_RELATIME, MS_REMOUNT, MS_SHARED, MS_SILENT, MS_SLAVE, MS_STRICTATIME, MS_SYNCHRONOUS,
    MS_UNBINDABLE,
};

/// `mount(2)`. An empty `source`, `kind` or `data` is passed as NULL.
pub fn mount(
    source: impl AsRef<[u8]>,
    target: impl AsRef<[u8]>,
    kind: impl AsRef<[u8]>,
    flags: u32,
    data: impl AsRef<[u8]>,
) -> Result<()> {
    fn null_if_empty(bytes: &[u8], pointer: *const u8) -> *const u8 {
        if bytes.is_empty() { core::ptr::null() } else { pointer }
    }
    let (source, target, kind, data) =
        (source.as_ref(), target.as_ref(), kind.as_ref(), data.as_ref());
    with_cstr(source, |source_ptr| {
        with_cstr(target, |target_ptr| {
            with_cstr(kind, |kind_ptr| {
                with_cstr(data, |data_ptr| {
                    let source = null_if_empty(source, source_ptr);
                    let kind = null_if_empty(kind, kind_ptr);
                    let data = null_if_empty(data, data_ptr);
                    // SAFETY: each pointer is NULL or a C string for the duration of the call.
                    unsafe { call!(__NR_mount, source, target_ptr, kind, flags, data) }
                })
            })
        })
    })
    .map(drop)
}

/// `umount2(2)`.
pub fn unmount(target: impl AsRef<[u8]>, flags: u32) -> Result<()> {
    with_cstr(target.as_ref(), |target| {
        // SAFETY: `target` is a C string for the duration of the call.
        unsafe { call!(__NR_umount2, target, flags) }
    })
    .map(drop)
}

/// `pivot_root(".", ".")`: the current directory becomes the root, the old root lies on top of
/// it and is to be detached with `unmount(".", MNT_DETACH)` from there.
pub fn pivot_root_here() -> Result<()> {
    // SAFETY: both are C strings.
    unsafe { call!(__NR_pivot_root, c".".as_ptr(), c".".as_ptr()) }.map(drop)
}

/// `open_tree(2)` with `OPEN_TREE_CLONE`: a detached copy of the mount at a path, with everything
/// below it where `recursive`. An empty path copies the mount that `dir` is on, from `dir` down.
pub fn clone_tree(dir: impl AsFd, path: impl AsRef<[u8]>, recursive: bool) -> Result<Fd> {
    let recursive = if recursive { AT_RECURSIVE } else { 0 };
    let flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | recursive;
    with_cstr(path.as_ref(), |path| {
        // SAFETY: `path` is a C string for the duration of the call.
        unsafe { call!(__NR_open_tree, dir.fd(), path, flags) }
    })
    .map(|raw| Fd::from_raw(raw as i32))
}

/// `move_mount(2)`: attaches `tree` on what `target` is open on.
pub fn attach(tree: impl AsFd, target: impl AsFd) -> Result<()> {
    let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    let empty = c"".as_ptr();
    // SAFETY: both paths are C strings.
    unsafe { call!(__NR_move_mount, tree.fd(), empty, target.fd(), empty, flags) }.map(drop)
}

/// A file system being configured (`fsopen(2)`).
#[derive(Debug)]
pub struct FsContext(Fd);

impl FsContext {
    /// Starts a new instance of file system `kind`.
    pub fn open(kind: impl AsRef<[u8]>) -> Result<Self> {
        const FSOPEN_CLOEXEC: u32 = 1;
        with_cstr(kind.as_ref(), |kind| {
            // SAFETY: `kind` is a C string for the duration of the call.
            unsafe { call!(__NR_fsopen, kind, FSOPEN_CLOEXEC) }
        })
        .map(|raw| Self(Fd::from_raw(raw as i32)))
    }

    /// Sets a parameter to a string.
    pub fn set(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        let command = fsconfig_command::FSCONFIG_SET_STRING as u32;
        with_cstr(key.as_ref(), |key| {
            with_cstr(value.as_ref(), |value| {
                // SAFETY: both are C strings for the duration of the call.
                unsafe { call!(__NR_fsconfig, self.0.fd(), command, key, value, 0) }
            })
        })
        .map(drop)
    }

    /// Sets a parameter that has no value.
    pub fn set_flag(&self, key: impl AsRef<[u8]>) -> Result<()> {
        let command = fsconfig_command::FSCONFIG_SET_FLAG as u32;
        with_cstr(key.as_ref(), |key| {
            // SAFETY: `key` is a C string for the duration of the call.
            unsafe { call!(__NR_fsconfig, self.0.fd(), command, key, 0, 0) }
        })
        .map(drop)
    }

    /// Sets a parameter to an open file or directory.
    pub fn set_fd(&self, key: impl AsRef<[u8]>, fd: impl AsFd) -> Result<()> {
        let command = fsconfig_command::FSCONFIG_SET_FD as u32;
        with_cstr(key.as_ref(), |key| {
            // SAFETY: `key` is a C string for the duration of the call; no value is passed.
            unsafe { call!(__NR_fsconfig, self.0.fd(), command, key, 0, fd.fd()) }
        })
        .map(drop)
    }

    /// Makes the superblock and a detached mount of it with `MOUNT_ATTR_*`.
    pub fn mount(&self, attributes: u32) -> Result<Fd> {
        const FSMOUNT_CLOEXEC: u32 = 1;
        let command = fsconfig_command::FSCONFIG_CMD_CREATE as u32;
        // SAFETY: the command takes neither key nor value.
        unsafe { call!(__NR_fsconfig, self.0.fd(), command, 0, 0, 0)? };
        // SAFETY: no pointer is passed.
        unsafe { call!(__NR_fsmount, self.0.fd(), FSMOUNT_CLOEXEC, attributes) }
            .map(|raw| Fd::from_raw(raw as i32))
    }
}

/// A change of mount attributes (`mount_setattr(2)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `MOUNT_ATTR_*` to set.
    pub set: u64,
    /// `MOUNT_ATTR_*` to clear.
    pub clear: u64,
    /// `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`, `MS_UNBINDABLE`, or 0 for no change.
    pub propagation: u64,
}

/// Changes the mount that `mount` is open on, and with `recursive` every mount below it.
pub fn set_attributes(mount: impl AsFd, change: Attributes, recursive: bool) -> Result<()> {
    set_attr(mount, change, 0, recursive)
}

/// Shows the ids of a detached mount through the mapping of user namespace `user_namespace`.
pub fn set_id_map(mount: impl AsFd, user_namespace: impl AsFd, recursive: bool) -> Result<()> {
    let change = Attributes { set: u64::from(MOUNT_ATTR_IDMAP), ..Attributes::default() };
    set_attr(mount, change, user_namespace.fd() as u64, recursive)
}

fn set_attr(mount: impl AsFd, change: Attributes, userns_fd: u64, recursive: bool) -> Result<()> {
    let attr = mount_attr {
        attr_set: change.set,
        attr_clr: change.clear,
        propagation: change.propagation,
        userns_fd,
    };
    let flags = AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    let size = size_of::<mount_attr>();
    // SAFETY: the path is a C string, `attr` a structure of the size given.
    unsafe { call!(__NR_mount_setattr, mount.fd(), c"".as_ptr(), flags, &raw const attr, size) }
        .map(drop)
}
