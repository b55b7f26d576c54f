//! From a tree to entries: an upper directory of overlayfs, the difference of two directories, or
//! all of one.
//!
//! Entries come in one order: a directory before what is in it, names by their bytes. Nothing is
//! copied: contents go from the file to the writer.

mod compare;
mod source;

pub use compare::{Sameness, difference};

use crate::apply::Notes;
use crate::error::{Error, Kind, Result};
use crate::limits::{DEPTH, REMEMBERED_BYTES};
use crate::path::TreePath;
use crate::tar::{Entry, Tap, What, Writer};
use source::Found;
use std::collections::HashMap;
use sys::time::Time;
use sys::{BorrowedFd, Errno};

/// How to pack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The tree is an upper directory of overlayfs with such notes: devices 0/0 and opaque
    /// directories become whiteouts. Otherwise it is a tree like any other.
    pub notes: Option<Notes>,
    /// No time is later than this (`SOURCE_DATE_EPOCH`).
    pub latest: Option<Time>,
    /// Somebody may change the tree meanwhile: what goes is left out.
    pub is_live: bool,
    /// The tree is that of a system that runs: what the kernel shows of itself in it (procfs, sysfs, cgroups and their kin)
    /// is left out, and so are device nodes of other file systems than the tree's own.
    pub is_system: bool,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries, whiteouts among them.
    pub entries: u64,
    /// Bytes of contents.
    pub bytes: u64,
    /// Sockets: an archive cannot have them.
    pub sockets_skipped: u64,
}

/// Writes everything below `root`, without an entry for the root itself.
pub fn pack<T: Tap>(
    root: BorrowedFd<'_>,
    options: Options,
    writer: &mut Writer<T>,
) -> Result<Report> {
    let mut packer = Packer::new(options, writer);
    if options.notes.is_some_and(|notes| source::is_opaque(root, notes)) {
        packer.opaque(b"")?;
    }
    packer.children(root, b"", 0)?;
    Ok(packer.report)
}

/// Writes `name` of a directory, and everything below it, as `path`. What `.` is called `.` has no name in the archive.
pub fn pack_one<T: Tap>(
    dir: BorrowedFd<'_>,
    name: &[u8],
    path: &[u8],
    options: Options,
    writer: &mut Writer<T>,
) -> Result<Report> {
    let mut packer = Packer::new(options, writer);
    packer.tree(dir, name, path, 0)?;
    Ok(packer.report)
}

struct Packer<'a, T> {
    options: Options,
    writer: &'a mut Writer<T>,
    report: Report,
    /// Files with several names, by device and inode: the first name that was written.
    links: HashMap<(u64, u64), TreePath>,
    remembered: usize,
    /// The file system of the tree's top, once it was seen.
    device: Option<u64>,
}

impl<'a, T: Tap> Packer<'a, T> {
    fn new(options: Options, writer: &'a mut Writer<T>) -> Self {
        Self {
            options,
            writer,
            report: Report::default(),
            links: HashMap::new(),
            remembered: 0,
            device: None,
        }
    }

    fn children(&mut self, dir: BorrowedFd<'_>, path: &[u8], depth: usize) -> Result<()> {
        if depth > DEPTH {
            return Err(Error::limit("the tree is too deep", DEPTH).at(path));
        }
        for name in source::names(dir).map_err(|e| e.at(path))? {
            self.tree(dir, &name, &joined(path, &name), depth)?;
        }
        Ok(())
    }

    /// Writes `name` of the directory, and everything below.
    fn tree(&mut self, dir: BorrowedFd<'_>, name: &[u8], path: &[u8], depth: usize) -> Result<()> {
        let found = match Found::new(dir, name) {
            Err(error) if depth > 0 && self.is_gone(&error) => return Ok(()),
            result => result.map_err(|e| e.at(path))?,
        };
        let own = *self.device.get_or_insert(found.stat.st_dev);
        if self.options.is_system && found.is_device() && found.stat.st_dev != own {
            return Ok(());
        }
        let opened = match self.one(dir, name, path, &found) {
            Err(error) if depth > 0 && self.is_gone(&error) => return Ok(()),
            result => result?,
        };
        match opened {
            Some(fd)
                if self.options.is_system
                    && found.stat.st_dev != own
                    && source::is_of_kernel(&fd) =>
            {
                Ok(())
            }
            Some(fd) if found.is_directory() => self.children(fd.borrow(), path, depth + 1),
            _ => Ok(()),
        }
    }

    /// Nothing has been written of what could not be opened any more.
    fn is_gone(&self, error: &Error) -> bool {
        self.options.is_live && error.kind() == Kind::Os(Errno::ENOENT)
    }

    /// Writes an entry without what is below it; an open directory or file is returned.
    fn one(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        found: &Found,
    ) -> Result<Option<sys::Fd>> {
        if found.is_socket() {
            self.report.sockets_skipped += 1;
            return Ok(None);
        }
        if name.starts_with(b".wh.") {
            let what = "a name that would be read as a whiteout";
            return Err(Error::unsupported(what).at(path));
        }
        if found.is_whiteout() {
            return match self.options.notes {
                Some(_) => self.white_out(path).map(|()| None),
                None => Err(Error::unsupported("a whiteout of overlayfs").at(path)),
            };
        }
        let result = self.write(dir, name, path, found);
        result.map_err(|e| e.at(path))
    }

    fn write(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        found: &Found,
    ) -> Result<Option<sys::Fd>> {
        let tree_path = TreePath::parse(path, usize::MAX)?;
        let opened = found.open(dir, name)?;
        let mut entry = found.entry(dir, name, tree_path, opened.as_ref(), self.options)?;
        if found.stat.st_nlink > 1 && !found.is_directory() {
            let key = (found.stat.st_dev, found.stat.st_ino);
            if let Some(first) = self.links.get(&key) {
                entry.what = What::Hardlink(first.clone());
                entry.xattrs.clear();
                self.report.entries += 1;
                self.writer.entry(&entry)?;
                return Ok(None);
            }
            self.remembered += path.len() + 64;
            if self.remembered > REMEMBERED_BYTES {
                return Err(Error::limit("too many files with several names", REMEMBERED_BYTES));
            }
            self.links.insert(key, entry.path.clone());
        }
        self.report.entries += 1;
        self.writer.entry(&entry)?;
        if let (What::File { size, .. }, Some(fd)) = (&entry.what, &opened) {
            source::copy(fd, *size, |bytes| self.writer.data(bytes))?;
            self.report.bytes += size;
        }
        if found.is_directory()
            && let (Some(notes), Some(fd)) = (self.options.notes, &opened)
            && source::is_opaque(fd.borrow(), notes)
        {
            self.opaque(path)?;
        }
        Ok(opened)
    }

    fn opaque(&mut self, path: &[u8]) -> Result<()> {
        self.marker(&joined(path, b".wh..wh..opq"))
    }

    fn white_out(&mut self, path: &[u8]) -> Result<()> {
        let at = path.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
        self.marker(&[&path[..at], b".wh.", &path[at..]].concat())
    }

    fn marker(&mut self, path: &[u8]) -> Result<()> {
        let path = TreePath::parse(path, usize::MAX)?;
        self.report.entries += 1;
        self.writer.entry(&Entry {
            name: Vec::new(),
            path,
            what: What::File { size: 0, stored: 0, sparse: None },
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: Time::default(),
            xattrs: Vec::new(),
            number: 0,
            offset: 0,
        })
    }
}

fn joined(path: &[u8], name: &[u8]) -> Vec<u8> {
    match path {
        b"" => name.to_vec(),
        _ => [path, b"/", name].concat(),
    }
}
