//! Files and directories.

use crate::arch::call;
use crate::cstr::with_cstr;
use crate::errno::{Errno, Result};
use crate::fd::{AsFd, BorrowedFd, Fd};
use alloc::vec::Vec;
pub use linux_raw_sys::general::{
    AT_EMPTY_PATH, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, AT_SYMLINK_NOFOLLOW, O_APPEND, O_CLOEXEC,
    O_CREAT, O_DIRECTORY, O_EXCL, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_PATH, O_RDONLY, O_RDWR,
    O_TMPFILE, O_TRUNC, O_WRONLY, RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT,
    S_IFREG, S_IFSOCK,
};
use linux_raw_sys::general::{
    F_ADD_SEALS, F_DUPFD_CLOEXEC, F_GETFD, F_GETFL, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK,
    F_SEAL_WRITE, F_SETFD, F_SETFL, FD_CLOEXEC, LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN,
    MFD_ALLOW_SEALING, MFD_CLOEXEC, open_how, stat, statfs64,
};

/// `st_mode`, `st_rdev` and friends.
pub type Stat = stat;
/// `f_type`, `f_flags` and friends.
pub type StatFs = statfs64;

/// `openat(2)`; `O_CLOEXEC` is always set.
pub fn open_at(dir: impl AsFd, path: impl AsRef<[u8]>, flags: u32, mode: u32) -> Result<Fd> {
    with_cstr(path.as_ref(), |path| {
        // SAFETY: `path` is a C string for the duration of the call.
        unsafe { call!(__NR_openat, dir.fd(), path, flags | O_CLOEXEC, mode) }
    })
    .map(|raw| Fd::from_raw(raw as i32))
}

/// `openat2(2)` with `RESOLVE_*` rules. `EAGAIN`, which a rename elsewhere can cause, is retried.
pub fn open_at2(
    dir: impl AsFd,
    path: impl AsRef<[u8]>,
    flags: u32,
    mode: u32,
    resolve: u32,
) -> Result<Fd> {
    /// A racing rename makes the kernel give up; 128 is what libpathrs found to be enough.
    const RETRIES: u32 = 128;
    let how = open_how {
        flags: u64::from(flags | O_CLOEXEC),
        mode: u64::from(mode),
        resolve: u64::from(resolve),
    };
    let mut tries = 0;
    loop {
        let opened = with_cstr(path.as_ref(), |path| {
            // SAFETY: `path` is a C string and `how` a structure of the size given.
            unsafe { call!(__NR_openat2, dir.fd(), path, &raw const how, size_of::<open_how>()) }
        });
        match opened {
            Err(Errno::EAGAIN | Errno::EINTR) if tries < RETRIES => tries += 1,
            result => return result.map(|raw| Fd::from_raw(raw as i32)),
        }
    }
}

/// Opens for reading.
pub fn open_read(path: impl AsRef<[u8]>) -> Result<Fd> {
    open_at(crate::CWD, path, O_RDONLY, 0)
}

/// One `read(2)`, restarted when a signal interrupts it.
pub fn read(fd: impl AsFd, buffer: &mut [u8]) -> Result<usize> {
    retry(|| {
        // SAFETY: the buffer is writable for the length given.
        unsafe { call!(__NR_read, fd.fd(), buffer.as_mut_ptr(), buffer.len()) }
    })
}

/// As [`read`], but only what is in memory (`preadv2(2)` with `RWF_NOWAIT`): `EAGAIN` where the disk would have to
/// be waited for, `ENOTSUP` on file systems that cannot tell.
pub fn read_cached(fd: impl AsFd, buffer: &mut [u8]) -> Result<usize> {
    const RWF_NOWAIT: u32 = 0x8;
    // Where the file stands.
    const HERE: i64 = -1;
    let vector = [buffer.as_mut_ptr() as usize, buffer.len()];
    // SAFETY: `vector` is one readable `iovec`, whose buffer is writable for the length given.
    unsafe { call!(__NR_preadv2, fd.fd(), vector.as_ptr(), 1, HERE, HERE, RWF_NOWAIT) }
}

/// One `write(2)`, restarted when a signal interrupts it.
pub fn write(fd: impl AsFd, bytes: &[u8]) -> Result<usize> {
    retry(|| {
        // SAFETY: the buffer is readable for the length given.
        unsafe { call!(__NR_write, fd.fd(), bytes.as_ptr(), bytes.len()) }
    })
}

/// Writes everything.
pub fn write_all(fd: impl AsFd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match write(&fd, bytes)? {
            0 => return Err(Errno::EIO),
            written => bytes = &bytes[written..],
        }
    }
    Ok(())
}

fn retry(mut call: impl FnMut() -> Result<usize>) -> Result<usize> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// Reads to the end; more than `limit` bytes are `EFBIG`.
pub fn read_to_end(fd: impl AsFd, limit: usize) -> Result<Vec<u8>> {
    read_about(fd, 0, limit)
}

/// [`read_to_end`] of a file that has about `size` bytes: with the right guess, into one buffer.
pub fn read_about(fd: impl AsFd, size: usize, limit: usize) -> Result<Vec<u8>> {
    // The end of the file is only seen by a read into what is left.
    let mut bytes = if size == 0 { Vec::new() } else { alloc::vec![0; size.min(limit) + 1] };
    let mut filled = 0;
    loop {
        if filled == bytes.len() {
            let step = bytes.len().clamp(4096, 1 << 20);
            bytes.resize(bytes.len() + step, 0);
        }
        match read(&fd, &mut bytes[filled..])? {
            0 => {
                bytes.truncate(filled);
                return Ok(bytes);
            }
            count => filled += count,
        }
        if filled > limit {
            return Err(Errno::EFBIG);
        }
    }
}

/// Reads a whole file of at most `limit` bytes.
pub fn read_file(dir: impl AsFd, path: impl AsRef<[u8]>, limit: usize) -> Result<Vec<u8>> {
    read_to_end(open_at(dir, path, O_RDONLY, 0)?, limit)
}

/// Writes to an existing file in one `write(2)`, as procfs, sysfs and cgroupfs want it.
pub fn write_file(dir: impl AsFd, path: impl AsRef<[u8]>, bytes: impl AsRef<[u8]>) -> Result<()> {
    let file = open_at(dir, path, O_WRONLY, 0)?;
    write(&file, bytes.as_ref()).map(drop)
}

/// `fstat(2)`.
pub fn stat_fd(fd: impl AsFd) -> Result<Stat> {
    stat_at(fd, "", AT_EMPTY_PATH)
}

/// `newfstatat(2)`.
pub fn stat_at(dir: impl AsFd, path: impl AsRef<[u8]>, flags: u32) -> Result<Stat> {
    let mut buffer = core::mem::MaybeUninit::<Stat>::uninit();
    with_cstr(path.as_ref(), |path| {
        // SAFETY: `path` is a C string, `buffer` is writable and of the size that the call fills.
        unsafe { call!(__NR_newfstatat, dir.fd(), path, buffer.as_mut_ptr(), flags) }
    })?;
    // SAFETY: the call succeeded, so the kernel has filled the structure.
    Ok(unsafe { buffer.assume_init() })
}

/// `fstatfs(2)`.
pub fn statfs(fd: impl AsFd) -> Result<StatFs> {
    let mut buffer = core::mem::MaybeUninit::<StatFs>::uninit();
    // SAFETY: on x86-64 `struct statfs` and `statfs64` are the same; `buffer` is writable.
    unsafe { call!(__NR_fstatfs, fd.fd(), buffer.as_mut_ptr())? };
    // SAFETY: the call succeeded, so the kernel has filled the structure.
    Ok(unsafe { buffer.assume_init() })
}

/// Whether something is there, links not followed.
pub fn exists(dir: impl AsFd, path: impl AsRef<[u8]>) -> bool {
    stat_at(dir, path, AT_SYMLINK_NOFOLLOW).is_ok()
}

/// `faccessat2(2)` for the effective ids: 1 execute, 2 write, 4 read.
pub fn access(dir: impl AsFd, path: impl AsRef<[u8]>, mode: u32, flags: u32) -> Result<()> {
    const AT_EACCESS: u32 = 0x200;
    with_cstr(path.as_ref(), |path| {
        // SAFETY: `path` is a C string for the duration of the call.
        unsafe { call!(__NR_faccessat2, dir.fd(), path, mode, flags | AT_EACCESS) }
    })
    .map(drop)
}

/// `readlinkat(2)`; an empty path reads the link that `dir` is.
pub fn read_link(dir: impl AsFd, path: impl AsRef<[u8]>) -> Result<Vec<u8>> {
    let mut buffer = alloc::vec![0u8; 4096];
    let length = with_cstr(path.as_ref(), |path| {
        // SAFETY: `path` is a C string; the buffer is writable for the length given.
        unsafe { call!(__NR_readlinkat, dir.fd(), path, buffer.as_mut_ptr(), buffer.len()) }
    })?;
    buffer.truncate(length);
    Ok(buffer)
}

macro_rules! path_calls {
    ($( $(#[$meta:meta])* fn $name:ident = $nr:ident($($arg:ident: $type:ty),*); )*) => { $(
        $(#[$meta])*
        pub fn $name(dir: impl AsFd, path: impl AsRef<[u8]> $(, $arg: $type)*) -> Result<()> {
            with_cstr(path.as_ref(), |path| {
                // SAFETY: `path` is a C string for the duration of the call; the other arguments
                // are numbers.
                unsafe { call!($nr, dir.fd(), path $(, $arg)*) }
            })
            .map(drop)
        }
    )* };
}

path_calls! {
    /// `mkdirat(2)`.
    fn mkdir = __NR_mkdirat(mode: u32);
    /// `mknodat(2)`; `mode` has the file type, `device` comes from [`makedev`].
    fn mknod = __NR_mknodat(mode: u32, device: u64);
    /// `unlinkat(2)`: [`AT_REMOVEDIR`] for directories.
    fn unlink = __NR_unlinkat(flags: u32);
    /// `fchownat(2)`.
    fn chown = __NR_fchownat(uid: u32, gid: u32, flags: u32);
    /// `fchmodat(2)`: follows links.
    fn chmod = __NR_fchmodat(mode: u32);
}

/// `fchmod(2)`.
pub fn chmod_fd(fd: impl AsFd, mode: u32) -> Result<()> {
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_fchmod, fd.fd(), mode) }.map(drop)
}

/// `fchown(2)`.
pub fn chown_fd(fd: impl AsFd, uid: u32, gid: u32) -> Result<()> {
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_fchown, fd.fd(), uid, gid) }.map(drop)
}

/// `symlinkat(2)`.
pub fn symlink(target: impl AsRef<[u8]>, dir: impl AsFd, path: impl AsRef<[u8]>) -> Result<()> {
    with_cstr(target.as_ref(), |target| {
        with_cstr(path.as_ref(), |path| {
            // SAFETY: both are C strings for the duration of the call.
            unsafe { call!(__NR_symlinkat, target, dir.fd(), path) }
        })
    })
    .map(drop)
}

/// `linkat(2)`.
pub fn link(
    from: impl AsFd,
    from_path: impl AsRef<[u8]>,
    to: impl AsFd,
    to_path: impl AsRef<[u8]>,
    flags: u32,
) -> Result<()> {
    with_cstr(from_path.as_ref(), |from_path| {
        with_cstr(to_path.as_ref(), |to_path| {
            // SAFETY: both are C strings for the duration of the call.
            unsafe { call!(__NR_linkat, from.fd(), from_path, to.fd(), to_path, flags) }
        })
    })
    .map(drop)
}

/// `renameat(2)`; with flags `renameat2(2)`, which is not everywhere.
pub fn rename(
    from: impl AsFd,
    from_path: impl AsRef<[u8]>,
    to: impl AsFd,
    to_path: impl AsRef<[u8]>,
    flags: u32,
) -> Result<()> {
    with_cstr(from_path.as_ref(), |from_path| {
        with_cstr(to_path.as_ref(), |to_path| match flags {
            // SAFETY: both are C strings for the duration of the call.
            0 => unsafe { call!(__NR_renameat, from.fd(), from_path, to.fd(), to_path) },
            // SAFETY: as above.
            _ => unsafe { call!(__NR_renameat2, from.fd(), from_path, to.fd(), to_path, flags) },
        })
    })
    .map(drop)
}

/// Sets the length of a file.
pub fn truncate(fd: impl AsFd, length: u64) -> Result<()> {
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_ftruncate, fd.fd(), length) }.map(drop)
}

/// Copies up to `count` bytes between files in the kernel, at their own offsets.
pub fn copy_range(from: impl AsFd, to: impl AsFd, count: usize) -> Result<usize> {
    // SAFETY: NULL offsets mean the descriptors' own.
    unsafe { call!(__NR_copy_file_range, from.fd(), 0, to.fd(), 0, count, 0) }
}

/// Seeks to an absolute position.
pub fn seek(fd: impl AsFd, position: u64) -> Result<()> {
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_lseek, fd.fd(), position, 0) }.map(drop)
}

/// Sets the times of last access and change of `path`, or of `dir` itself when it is empty; links
/// are not followed (`utimensat(2)`).
pub fn set_times(dir: impl AsFd, path: impl AsRef<[u8]>, time: crate::time::Time) -> Result<()> {
    let pair = [time.seconds, time.nanos, time.seconds, time.nanos];
    // SAFETY: `pair` is two readable `timespec`s; the path is NULL, which means `dir` itself, or a C
    // string for the duration of the call.
    let set = |path, flags| unsafe { call!(__NR_utimensat, dir.fd(), path, pair.as_ptr(), flags) };
    match path.as_ref() {
        b"" => set(core::ptr::null(), 0),
        path => with_cstr(path, |path| set(path, AT_SYMLINK_NOFOLLOW)),
    }
    .map(drop)
}

/// `syncfs(2)`: everything of the file system that `fd` is on.
pub fn sync_filesystem(fd: impl AsFd) -> Result<()> {
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_syncfs, fd.fd()) }.map(drop)
}

/// `fsync(2)`.
pub fn sync(fd: impl AsFd) -> Result<()> {
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_fsync, fd.fd()) }.map(drop)
}

/// `syncfs(2)`: everything of the file system that `fd` is on.
pub fn sync_file_system(fd: impl AsFd) -> Result<()> {
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_syncfs, fd.fd()) }.map(drop)
}

/// `FS_IOC_SHUTDOWN` without a flush of the journal: what is not on the disk by now is lost, as in a
/// power cut, and everything on the file system fails until it is mounted again.
pub fn cut_off(fd: impl AsFd) -> Result<()> {
    const FS_IOC_SHUTDOWN: u32 = 0x8004_587d;
    const WITHOUT_LOG_FLUSH: u32 = 2;
    let how = WITHOUT_LOG_FLUSH;
    // SAFETY: the request reads one word, which is there.
    unsafe { call!(__NR_ioctl, fd.fd(), FS_IOC_SHUTDOWN, &raw const how) }.map(drop)
}

/// `FICLONE`: `to` shares the contents of `from` until one of them is written to.
pub fn clone_contents(from: impl AsFd, to: impl AsFd) -> Result<()> {
    const FICLONE: u32 = 0x4004_9409;
    // SAFETY: no pointer is passed: the argument is a descriptor.
    unsafe { call!(__NR_ioctl, to.fd(), FICLONE, from.fd()) }.map(drop)
}

/// An anonymous file; `sealable` allows [`seal`].
pub fn memory_file(name: &str, sealable: bool) -> Result<Fd> {
    let flags = MFD_CLOEXEC | if sealable { MFD_ALLOW_SEALING } else { 0 };
    with_cstr(name.as_bytes(), |name| {
        // SAFETY: `name` is a C string for the duration of the call.
        unsafe { call!(__NR_memfd_create, name, flags) }
    })
    .map(|raw| Fd::from_raw(raw as i32))
}

/// Makes an anonymous file immutable for ever.
pub fn seal(fd: impl AsFd) -> Result<()> {
    let seals = F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_WRITE | F_SEAL_SEAL;
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_fcntl, fd.fd(), F_ADD_SEALS, seals) }.map(drop)
}

/// How long a lock waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Many at once.
    Shared,
    /// One alone.
    Exclusive,
    /// Many at once, or `EAGAIN` at once.
    TryShared,
    /// One alone, or `EAGAIN` at once.
    TryExclusive,
    /// None any more.
    Release,
}

/// `flock(2)`: held until it is released, or the open file is closed everywhere.
pub fn lock(fd: impl AsFd, lock: Lock) -> Result<()> {
    let operation = match lock {
        Lock::Shared => LOCK_SH,
        Lock::Exclusive => LOCK_EX,
        Lock::TryShared => LOCK_SH | LOCK_NB,
        Lock::TryExclusive => LOCK_EX | LOCK_NB,
        Lock::Release => LOCK_UN,
    };
    retry(|| {
        // SAFETY: no pointer is passed.
        unsafe { call!(__NR_flock, fd.fd(), operation) }
    })
    .map(drop)
}

/// `fcntl(F_DUPFD_CLOEXEC)`: a copy with a number of at least `minimum`.
pub fn duplicate(fd: impl AsFd, minimum: i32) -> Result<Fd> {
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_fcntl, fd.fd(), F_DUPFD_CLOEXEC, minimum) }
        .map(|raw| Fd::from_raw(raw as i32))
}

/// `dup2(2)`: `target` becomes a copy of `fd` that survives exec. The two must differ.
pub fn duplicate_to(fd: impl AsFd, target: i32) -> Result<()> {
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_dup3, fd.fd(), target, 0) }.map(drop)
}

/// Sets or clears close-on-exec.
pub fn set_cloexec(fd: impl AsFd, on: bool) -> Result<()> {
    let flags = if on { FD_CLOEXEC } else { 0 };
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_fcntl, fd.fd(), F_SETFD, flags) }.map(drop)
}

/// Whether the descriptor is open. `survives_exec`: and does not close on exec, as all descriptors
/// do that this crate opens.
pub fn is_open(fd: impl AsFd, survives_exec: bool) -> bool {
    // SAFETY: no pointer is passed.
    let flags = unsafe { call!(__NR_fcntl, fd.fd(), F_GETFD) };
    flags.is_ok_and(|flags| !survives_exec || flags as u32 & FD_CLOEXEC == 0)
}

/// Sets or clears `O_NONBLOCK`.
pub fn set_nonblocking(fd: impl AsFd, on: bool) -> Result<()> {
    // SAFETY: no pointer is passed.
    let flags = unsafe { call!(__NR_fcntl, fd.fd(), F_GETFL, 0)? } as u32;
    let flags = if on { flags | O_NONBLOCK } else { flags & !O_NONBLOCK };
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_fcntl, fd.fd(), F_SETFL, flags) }.map(drop)
}

/// Marks every descriptor from `first` on close-on-exec (`close_range(2)`).
pub fn cloexec_from(first: u32) -> Result<()> {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    // SAFETY: no pointer is passed, and nothing is closed now.
    unsafe { call!(__NR_close_range, first, u32::MAX, CLOSE_RANGE_CLOEXEC) }.map(drop)
}

/// Closes every descriptor from `first` to `last` (`close_range(2)`). The caller must own none of
/// them: it is for what a program was started with and does not use.
pub fn close_range(first: u32, last: u32) -> Result<()> {
    // SAFETY: no pointer is passed; the descriptors are nobody's here (the caller's promise).
    unsafe { call!(__NR_close_range, first, last, 0) }.map(drop)
}

/// A pipe: (read end, write end).
pub fn pipe() -> Result<(Fd, Fd)> {
    let mut pair = [0i32; 2];
    // SAFETY: `pair` is writable for two numbers.
    unsafe { call!(__NR_pipe2, pair.as_mut_ptr(), O_CLOEXEC)? };
    Ok((Fd::from_raw(pair[0]), Fd::from_raw(pair[1])))
}

/// Changes the current directory.
pub fn chdir(path: impl AsRef<[u8]>) -> Result<()> {
    with_cstr(path.as_ref(), |path| {
        // SAFETY: `path` is a C string for the duration of the call.
        unsafe { call!(__NR_chdir, path) }
    })
    .map(drop)
}

/// Changes the current directory to an open one.
pub fn chdir_fd(fd: impl AsFd) -> Result<()> {
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_fchdir, fd.fd()) }.map(drop)
}

/// Changes the root directory.
pub fn chroot(path: impl AsRef<[u8]>) -> Result<()> {
    with_cstr(path.as_ref(), |path| {
        // SAFETY: `path` is a C string for the duration of the call.
        unsafe { call!(__NR_chroot, path) }
    })
    .map(drop)
}

/// The current directory as the kernel names it. A directory that cannot be reached from the root
/// has a name that does not start with `/`.
pub fn current_dir() -> Result<Vec<u8>> {
    let mut buffer = alloc::vec![0u8; 4096];
    // SAFETY: the buffer is writable for the length given.
    let length = unsafe { call!(__NR_getcwd, buffer.as_mut_ptr(), buffer.len())? };
    buffer.truncate(length.saturating_sub(1));
    Ok(buffer)
}

/// Sets the file mode mask; returns the old one.
pub fn umask(mask: u32) -> u32 {
    // SAFETY: no pointer is passed; the call cannot fail.
    unsafe { call!(__NR_umask, mask) }.unwrap_or(0) as u32
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Its name.
    pub name: Vec<u8>,
    /// `DT_*` (4 directory, 8 regular, 10 symbolic link; 0 unknown).
    pub kind: u8,
}

impl DirEntry {
    /// Whether the entry is a directory.
    pub fn is_dir(&self) -> bool {
        self.kind == 4
    }
}

/// The entries of a directory without `.` and `..`, in the kernel's order.
pub fn read_dir(dir: BorrowedFd<'_>) -> Result<Vec<DirEntry>> {
    /// `d_ino`, `d_off`, `d_reclen`, `d_type`: where the name begins.
    const HEADER_BYTES: usize = 19;
    let mut entries = Vec::new();
    let mut buffer = alloc::vec![0u8; 8192];
    seek(dir, 0)?;
    loop {
        // SAFETY: the buffer is writable for the length given.
        let filled =
            unsafe { call!(__NR_getdents64, dir.fd(), buffer.as_mut_ptr(), buffer.len())? };
        if filled == 0 {
            return Ok(entries);
        }
        let mut rest = &buffer[..filled];
        while rest.len() > HEADER_BYTES {
            let length = usize::from(u16::from_ne_bytes([rest[16], rest[17]]));
            let Some(record) = rest.get(..length).filter(|_| length > HEADER_BYTES) else { break };
            let name = &record[HEADER_BYTES..];
            let name = &name[..name.iter().position(|&byte| byte == 0).unwrap_or(name.len())];
            if name != b"." && name != b".." {
                entries.push(DirEntry { name: name.to_vec(), kind: record[18] });
            }
            rest = &rest[length..];
        }
    }
}

/// Extended attribute of what `path` names (links followed).
pub fn set_xattr(path: impl AsRef<[u8]>, name: &str, value: &[u8]) -> Result<()> {
    with_cstr(path.as_ref(), |path| {
        with_cstr(name.as_bytes(), |name| {
            // SAFETY: both are C strings, `value` is readable for the length given.
            unsafe { call!(__NR_setxattr, path, name, value.as_ptr(), value.len(), 0) }
        })
    })
    .map(drop)
}

/// Extended attribute of an open file, of at most 64 KiB.
pub fn get_xattr(fd: impl AsFd, name: &str) -> Result<Vec<u8>> {
    let mut buffer = alloc::vec![0u8; 65536];
    let length = with_cstr(name.as_bytes(), |name| {
        // SAFETY: `name` is a C string, the buffer is writable for the length given.
        unsafe { call!(__NR_fgetxattr, fd.fd(), name, buffer.as_mut_ptr(), buffer.len()) }
    })?;
    buffer.truncate(length);
    Ok(buffer)
}

/// The device number of `major:minor`, as `mknod` and `st_rdev` have it.
pub fn makedev(major: u32, minor: u32) -> u64 {
    let (major, minor) = (u64::from(major), u64::from(minor));
    ((major & 0xfff) << 8) | ((major & !0xfff) << 32) | (minor & 0xff) | ((minor & !0xff) << 12)
}

/// The major and minor number of a device.
pub fn split_dev(device: u64) -> (u32, u32) {
    let major = ((device >> 8) & 0xfff) | ((device >> 32) & !0xfff);
    let minor = (device & 0xff) | ((device >> 12) & !0xff);
    (major as u32, minor as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CWD;

    #[test]
    fn device_numbers_round_trip() {
        for pair in [(0, 0), (1, 3), (5, 2), (259, 1048575), (4095, 255), (0xfffff, 0xffffff)] {
            assert_eq!(split_dev(makedev(pair.0, pair.1)), pair);
        }
        let null = stat_at(CWD, "/dev/null", 0).unwrap();
        assert_eq!(split_dev(null.st_rdev), (1, 3));
    }

    #[test]
    fn a_nul_in_a_path_is_refused() {
        assert_eq!(open_read("/etc\0/x").unwrap_err(), Errno::EINVAL);
    }

    #[test]
    fn long_paths_reach_the_kernel_whole() {
        let path = std::format!("/{}", "./".repeat(1000));
        assert!(open_read(path).is_ok());
        assert_eq!(open_read("a".repeat(5000)).unwrap_err(), Errno::ENAMETOOLONG);
    }

    #[test]
    fn directories_are_listed_without_dots() {
        let dir = open_at(CWD, "/proc/self", O_DIRECTORY, 0).unwrap();
        let entries = read_dir(dir.borrow()).unwrap();
        assert!(entries.iter().any(|entry| entry.name == b"status" && !entry.is_dir()));
        assert!(entries.iter().any(|entry| entry.name == b"ns" && entry.is_dir()));
        assert!(entries.iter().all(|entry| !entry.name.starts_with(b".")));
    }

    #[test]
    fn read_limits_hold() {
        let zero = open_read("/dev/zero").unwrap();
        assert_eq!(read_to_end(&zero, 100_000).unwrap_err(), Errno::EFBIG);
    }
}
