//! Looking at files.

use super::Options;
use crate::apply::Notes;
use crate::error::{Error, Result};
use crate::path::TreePath;
use crate::tar::{Entry, What, Xattr};
use sys::fs::{
    AT_SYMLINK_NOFOLLOW, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, S_IFBLK, S_IFCHR, S_IFDIR,
    S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK, Stat,
};
use sys::time::Time;
use sys::{BorrowedFd, Errno, Fd};

/// Read at once: large enough for few calls, small enough for the second cache.
const READ_BYTES: usize = 128 << 10;

/// What is in a directory, sorted.
pub(super) fn names(dir: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>> {
    let entries = sys::fs::read_dir(dir).map_err(|e| Error::os(e, "listing a directory"))?;
    let mut names: Vec<Vec<u8>> = entries.into_iter().map(|entry| entry.name).collect();
    names.sort_unstable();
    Ok(names)
}

pub(super) fn is_opaque(dir: BorrowedFd<'_>, notes: Notes) -> bool {
    let path = format!("/proc/self/fd/{}/.", sys::AsFd::fd(&dir));
    sys::xattr::get_at(path, notes.opaque()).is_ok_and(|value| value == b"y")
}

/// Whether a directory is the kernel's own, of which nobody wants copies: procfs, sysfs, cgroup 1 and 2, devpts,
/// mqueue, securityfs, debugfs, tracefs, bpf.
pub(super) fn is_of_kernel(dir: &Fd) -> bool {
    const KINDS: [i64; 10] = [
        0x9fa0,
        0x6265_6572,
        0x27_e0eb,
        0x6367_7270,
        0x1cd1,
        0x1980_0202,
        0x7363_6673,
        0x6462_6720,
        0x7472_6163,
        0xcafe_4a11,
    ];
    sys::fs::statfs(dir).is_ok_and(|stat| KINDS.contains(&(stat.f_type & 0xffff_ffff)))
}

/// A file and what it is.
pub(super) struct Found {
    pub(super) stat: Stat,
}

impl Found {
    pub(super) fn new(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Self> {
        let stat = sys::fs::stat_at(dir, name, AT_SYMLINK_NOFOLLOW)
            .map_err(|e| Error::os(e, "looking at a file"))?;
        Ok(Self { stat })
    }

    pub(super) fn kind(&self) -> u32 {
        self.stat.st_mode & S_IFMT
    }

    pub(super) fn is_directory(&self) -> bool {
        self.kind() == S_IFDIR
    }

    pub(super) fn is_device(&self) -> bool {
        matches!(self.kind(), S_IFCHR | S_IFBLK)
    }

    pub(super) fn is_socket(&self) -> bool {
        self.kind() == S_IFSOCK
    }

    pub(super) fn is_whiteout(&self) -> bool {
        self.kind() == S_IFCHR && self.stat.st_rdev == 0
    }

    pub(super) fn mtime(&self) -> Time {
        Time { seconds: self.stat.st_mtime as i64, nanos: self.stat.st_mtime_nsec as i64 }
    }

    /// Opens a directory or a regular file: the one that was looked at.
    pub(super) fn open(&self, dir: BorrowedFd<'_>, name: &[u8]) -> Result<Option<Fd>> {
        let flags = match self.kind() {
            S_IFDIR => O_RDONLY | O_DIRECTORY | O_NOFOLLOW,
            S_IFREG => O_RDONLY | O_NOFOLLOW | O_NONBLOCK,
            _ => return Ok(None),
        };
        let fd = sys::fs::open_at(dir, name, flags, 0).map_err(|e| Error::os(e, "opening"))?;
        let stat = sys::fs::stat_fd(&fd).map_err(|e| Error::os(e, "looking at a file"))?;
        match (stat.st_dev, stat.st_ino) == (self.stat.st_dev, self.stat.st_ino) {
            true => Ok(Some(fd)),
            false => Err(changed()),
        }
    }

    pub(super) fn entry(
        &self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        path: TreePath,
        opened: Option<&Fd>,
        options: Options,
    ) -> Result<Entry> {
        let stat = &self.stat;
        let (major, minor) = sys::fs::split_dev(stat.st_rdev);
        let what = match self.kind() {
            S_IFREG => {
                let size = stat.st_size as u64;
                What::File { size, stored: size, sparse: None }
            }
            S_IFDIR => What::Directory,
            S_IFLNK => {
                let target = sys::fs::read_link(dir, name);
                What::Symlink(target.map_err(|e| Error::os(e, "reading a link"))?)
            }
            S_IFCHR => What::Character(major, minor),
            S_IFBLK => What::Block(major, minor),
            S_IFIFO => What::Fifo,
            _ => return Err(Error::unsupported("a file of no known type")),
        };
        let mtime = self.mtime();
        let late = |latest: &Time| (mtime.seconds, mtime.nanos) > (latest.seconds, latest.nanos);
        Ok(Entry {
            name: Vec::new(),
            path,
            what,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: options.latest.filter(late).unwrap_or(mtime),
            xattrs: xattrs(dir, name, opened, options.notes)?,
            number: 0,
            offset: 0,
        })
    }
}

fn changed() -> Error {
    Error::corrupt("it changes while it is packed")
}

/// The attributes that belong to the file and not to the host or to overlayfs.
pub(super) fn xattrs(
    dir: BorrowedFd<'_>,
    name: &[u8],
    opened: Option<&Fd>,
    notes: Option<Notes>,
) -> Result<Vec<Xattr>> {
    const HOSTS: [&[u8]; 3] = [b"security.selinux", b"security.ima", b"security.evm"];
    const OVERLAYS: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];
    let failed = |e| Error::os(e, "reading attributes");
    let path = match opened {
        Some(fd) => format!("/proc/self/fd/{}/", fd.raw()).into_bytes(),
        None => [format!("/proc/self/fd/{}/", sys::AsFd::fd(&dir)).as_bytes(), name].concat(),
    };
    let names = match opened {
        Some(fd) => sys::xattr::list(fd),
        None => sys::xattr::list_at(&path),
    };
    let names = match names {
        Err(Errno::ENOTSUP) => return Ok(Vec::new()),
        names => names.map_err(failed)?,
    };
    let mut all = Vec::new();
    for name in names {
        if let Some(note) = OVERLAYS.iter().find_map(|prefix| name.strip_prefix(*prefix)) {
            if notes.is_some() && matches!(note, b"redirect" | b"metacopy") {
                let note = note.escape_ascii();
                let what = format!("overlayfs keeps part of it below ({note}); mount without that");
                return Err(Error::unsupported(what));
            }
            continue;
        }
        if HOSTS.contains(&name.as_slice()) {
            continue;
        }
        let value = match opened {
            Some(fd) => sys::xattr::get(fd, &name),
            None => sys::xattr::get_at(&path, &name),
        };
        all.push(Xattr { value: value.map_err(failed)?, name });
    }
    all.sort();
    Ok(all)
}

/// Gives the `size` bytes of a file to `to`.
pub(super) fn copy(fd: &Fd, size: u64, mut to: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut buffer = vec![0; READ_BYTES.min(usize::try_from(size).unwrap_or(READ_BYTES))];
    let mut left = size;
    while left > 0 {
        let length = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match sys::fs::read(fd, &mut buffer[..length]).map_err(|e| Error::os(e, "reading"))? {
            0 => return Err(changed()),
            length => {
                to(&buffer[..length])?;
                left -= length as u64;
            }
        }
    }
    Ok(())
}
