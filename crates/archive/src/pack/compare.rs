//! What has changed between two trees.

use super::source::{self, Found};
use super::{Options, Packer, Report, joined};
use crate::error::{Error, Result};
use crate::limits::DEPTH;
use crate::tar::{Tap, Writer};
use std::cmp::Ordering;
use sys::fs::{S_IFBLK, S_IFCHR, S_IFLNK, S_IFREG};
use sys::{BorrowedFd, Fd};

/// When two files are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sameness {
    /// Type, owner, mode, size, time to the nanosecond, attributes.
    Attributes,
    /// And every byte: for trees whose times say nothing.
    Contents,
}

/// Writes the layer that makes `upper` of `lower`: what is new or changed, and whiteouts.
pub fn difference<T: Tap>(
    lower: BorrowedFd<'_>,
    upper: BorrowedFd<'_>,
    sameness: Sameness,
    options: Options,
    writer: &mut Writer<T>,
) -> Result<Report> {
    let mut comparison =
        Comparison { packer: Packer::new(options, writer), sameness, parents: Vec::new() };
    comparison.directory(lower, upper, b"", 0)?;
    Ok(comparison.packer.report)
}

struct Comparison<'a, T> {
    packer: Packer<'a, T>,
    sameness: Sameness,
    /// Directories on the way that have not been written: their parent, name and path. They are
    /// when something below them is, so that a layer says whose its directories are.
    parents: Vec<Parent>,
}

struct Parent {
    dir: Fd,
    name: Vec<u8>,
    path: Vec<u8>,
    found: Found,
}

impl<T: Tap> Comparison<'_, T> {
    fn directory(
        &mut self,
        lower: BorrowedFd<'_>,
        upper: BorrowedFd<'_>,
        path: &[u8],
        depth: usize,
    ) -> Result<()> {
        if depth > DEPTH {
            return Err(Error::limit("the tree is too deep", DEPTH).at(path));
        }
        let old = source::names(lower).map_err(|e| e.at(path))?;
        let new = source::names(upper).map_err(|e| e.at(path))?;
        let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => old.cmp(new),
            };
            let gone = if order.is_le() { old.next() } else { None };
            let here = if order.is_ge() { new.next() } else { None };
            match (gone, here) {
                (Some(name), None) => {
                    let is_socket = Found::new(lower, name).is_ok_and(|found| found.is_socket());
                    if !is_socket {
                        self.flush()?;
                        self.packer.white_out(&joined(path, name))?;
                    }
                }
                (None, Some(name)) => {
                    self.flush()?;
                    self.packer.tree(upper, name, &joined(path, name), depth)?;
                }
                (_, Some(name)) => self.both(lower, upper, name, &joined(path, name), depth)?,
                (None, None) => {}
            }
        }
    }

    fn both(
        &mut self,
        lower: BorrowedFd<'_>,
        upper: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        depth: usize,
    ) -> Result<()> {
        let at = |e: Error| e.at(path);
        let old = Found::new(lower, name).map_err(at)?;
        let new = Found::new(upper, name).map_err(at)?;
        if old.is_directory() && new.is_directory() {
            let same = self.is_same(lower, upper, name, (&old, &new)).map_err(at)?;
            let old_fd = old.open(lower, name).map_err(at)?;
            let new_fd = new.open(upper, name).map_err(at)?;
            let (Some(old_fd), Some(new_fd)) = (old_fd, new_fd) else { return Ok(()) };
            let dir = sys::fs::duplicate(upper, 0).map_err(|e| Error::os(e, "opening"))?;
            let parent = Parent { dir, name: name.to_vec(), path: path.to_vec(), found: new };
            self.parents.push(parent);
            let count = self.parents.len();
            if !same {
                self.flush()?;
            }
            self.directory(old_fd.borrow(), new_fd.borrow(), path, depth + 1)?;
            // Written or not, it is behind us.
            if self.parents.len() == count {
                self.parents.pop();
            }
            return Ok(());
        }
        if self.is_same(lower, upper, name, (&old, &new)).map_err(at)? {
            return Ok(());
        }
        self.flush()?;
        self.packer.tree(upper, name, path, depth)
    }

    /// Writes the directories on the way.
    fn flush(&mut self) -> Result<()> {
        for parent in std::mem::take(&mut self.parents) {
            let Parent { dir, name, path, found } = &parent;
            self.packer.one(dir.borrow(), name, path, found)?;
        }
        Ok(())
    }

    fn is_same(
        &self,
        lower: BorrowedFd<'_>,
        upper: BorrowedFd<'_>,
        name: &[u8],
        (old, new): (&Found, &Found),
    ) -> Result<bool> {
        let (a, b) = (&old.stat, &new.stat);
        if (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino) {
            return Ok(true);
        }
        if (a.st_mode, a.st_uid, a.st_gid) != (b.st_mode, b.st_uid, b.st_gid) {
            return Ok(false);
        }
        let time = self.sameness == Sameness::Attributes && old.mtime() != new.mtime();
        match old.kind() {
            S_IFREG if a.st_size != b.st_size || time => return Ok(false),
            S_IFLNK => {
                let target =
                    |dir| sys::fs::read_link(dir, name).map_err(|e| Error::os(e, "reading a link"));
                if target(lower)? != target(upper)? {
                    return Ok(false);
                }
            }
            S_IFCHR | S_IFBLK if a.st_rdev != b.st_rdev => return Ok(false),
            _ => {}
        }
        let (old_fd, new_fd) = (old.open(lower, name)?, new.open(upper, name)?);
        let notes = self.packer.options.notes;
        let attributes = source::xattrs(lower, name, old_fd.as_ref(), notes)?
            == source::xattrs(upper, name, new_fd.as_ref(), notes)?;
        match (old_fd, new_fd) {
            (Some(one), Some(other))
                if attributes && old.kind() == S_IFREG && self.sameness == Sameness::Contents =>
            {
                has_same_bytes(&one, &other, a.st_size as u64)
            }
            _ => Ok(attributes),
        }
    }
}

fn has_same_bytes(one: &Fd, other: &Fd, size: u64) -> Result<bool> {
    let mut same = true;
    let mut buffer = Vec::new();
    source::copy(one, size, |bytes| {
        if same {
            buffer.clear();
            source::copy(other, bytes.len() as u64, |bytes| {
                buffer.extend_from_slice(bytes);
                Ok(())
            })?;
            same = buffer == bytes;
        }
        Ok(())
    })?;
    Ok(same)
}
