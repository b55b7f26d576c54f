//! The open directories from the root to where the extractor is.
//!
//! A directory gets its time when the extractor leaves it, because everything that is made in it
//! changes that. It may come back: then the time is read again before anything is made, so that
//! nothing has to be remembered for directories that were left.

use super::{Extractor, Form};
use crate::error::{Error, Result};
use sys::fs::{
    O_DIRECTORY, O_NOFOLLOW, O_RDONLY, RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS, S_IFDIR, S_IFLNK, S_IFMT, Stat,
};
use sys::time::Time;
use sys::{BorrowedFd, Errno, Fd};

/// One open directory.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) fd: Fd,
    /// Its path is so much of the stack's.
    length: usize,
    /// What it gets when it is left.
    pub(super) mtime: Time,
    pub(super) mode: Option<u32>,
    /// Files in it take its group.
    pub(super) setgid: bool,
    /// It was reached through a symbolic link.
    pub(super) detour: bool,
}

#[derive(Debug)]
pub(super) struct Stack<'a> {
    root: BorrowedFd<'a>,
    path: Vec<u8>,
    /// The root first.
    frames: Vec<Frame>,
}

const AS_DIRECTORY: u32 = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

impl<'a> Stack<'a> {
    pub(super) fn new(root: BorrowedFd<'a>) -> Result<Self> {
        let fd = sys::fs::open_at(root, ".", O_RDONLY | O_DIRECTORY, 0)
            .map_err(|e| Error::os(e, "opening the root"))?;
        let mut stack = Self { root, path: Vec::new(), frames: Vec::new() };
        stack.push(fd, false)?;
        Ok(stack)
    }

    pub(super) fn root(&self) -> BorrowedFd<'a> {
        self.root
    }

    pub(super) fn top(&self) -> &Frame {
        // The root stays until the end.
        &self.frames[self.frames.len() - 1]
    }

    pub(super) fn top_mut(&mut self) -> &mut Frame {
        let last = self.frames.len() - 1;
        &mut self.frames[last]
    }

    /// Whether a link was followed on the way here.
    pub(super) fn has_detour(&self) -> bool {
        self.frames.iter().any(|frame| frame.detour)
    }

    /// The path of `name` in the top directory, as the kernel knows it.
    pub(super) fn real_path(&self, name: &[u8]) -> Result<Vec<u8>> {
        self.real_path_in(&self.top().fd, name)
    }

    /// The path of `name` in a directory below the root.
    pub(super) fn real_path_in(&self, dir: &Fd, name: &[u8]) -> Result<Vec<u8>> {
        let link = |fd: i32| {
            sys::fs::read_link(sys::CWD, format!("/proc/self/fd/{fd}"))
                .map_err(|e| Error::os(e, "asking for a directory's name"))
        };
        let (root, dir) = (link(self.frames[0].fd.raw())?, link(dir.raw())?);
        let below = dir.strip_prefix(root.as_slice()).unwrap_or(&dir);
        Ok([below, b"/", name].concat()[1..].to_vec())
    }

    fn push(&mut self, fd: Fd, detour: bool) -> Result<()> {
        let stat = sys::fs::stat_fd(&fd).map_err(|e| Error::os(e, "looking at a directory"))?;
        self.frames.push(Frame {
            fd,
            length: self.path.len(),
            mtime: Time { seconds: stat.st_mtime as i64, nanos: stat.st_mtime_nsec as i64 },
            mode: None,
            setgid: stat.st_mode & 0o2000 != 0,
            detour,
        });
        Ok(())
    }

    /// Leaves directories that `path` is not below.
    fn leave_for(&mut self, path: &[u8]) -> Result<()> {
        while self.frames.len() > 1 {
            let own = &self.path[..self.top().length];
            if path.strip_prefix(own).is_some_and(|rest| matches!(rest, [] | [b'/', ..])) {
                break;
            }
            self.leave()?;
        }
        self.path.truncate(self.top().length);
        Ok(())
    }

    fn leave(&mut self) -> Result<()> {
        let Some(frame) = self.frames.pop() else { return Ok(()) };
        let failed = |e, call| Err(Error::os(e, call).at(&self.path[..frame.length]));
        if let Some(mode) = frame.mode
            && let Err(e) = sys::fs::chmod_fd(&frame.fd, mode)
        {
            return failed(e, "setting the mode of a directory");
        }
        match sys::fs::set_times(&frame.fd, "", frame.mtime) {
            Ok(()) => Ok(()),
            Err(e) => failed(e, "setting the time of a directory"),
        }
    }

    pub(super) fn leave_all(&mut self) -> Result<()> {
        while !self.frames.is_empty() {
            self.leave()?;
        }
        Ok(())
    }
}

impl Extractor<'_> {
    /// Makes the directory `path` the top of the stack, and makes it where there is none.
    pub(super) fn enter(&mut self, path: &[u8]) -> Result<()> {
        self.stack.leave_for(path)?;
        while self.stack.path.len() < path.len() {
            let begin = self.stack.path.len() + usize::from(!self.stack.path.is_empty());
            let rest = &path[begin..];
            let end = begin + rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
            self.descend(&path[begin..end], &path[..end])?;
        }
        Ok(())
    }

    fn descend(&mut self, name: &[u8], path: &[u8]) -> Result<()> {
        const INSIDE: u32 = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
        let (mut mode, mut detour) = (None, false);
        let top = &self.stack.top().fd;
        let failed = |e| Error::os(e, "opening a directory");
        let fd = match sys::fs::open_at2(top, name, AS_DIRECTORY, 0, INSIDE) {
            Err(Errno::EACCES) => {
                // An ordinary user's directory that its mode closes: it is opened, and closed again
                // when it is left.
                let old = self.stat(name)?.st_mode & 0o7777;
                if old & 0o700 == 0o700 {
                    return Err(failed(Errno::EACCES).at(path));
                }
                let top = &self.stack.top().fd;
                sys::fs::chmod(top, name, old | 0o700).map_err(failed)?;
                mode = Some(old);
                sys::fs::open_at2(top, name, AS_DIRECTORY, 0, INSIDE).map_err(failed)?
            }
            Err(Errno::ENOENT) => self.make_implied(name, path, false)?,
            Err(Errno::ELOOP | Errno::ENOTDIR) => {
                let stat = self.stat(name)?;
                let link = stat.st_mode & S_IFMT == S_IFLNK;
                if self.is_whiteout(top, name)? || !self.is_own(path) {
                    let top = &self.stack.top().fd;
                    sys::fs::unlink(top, name, 0).map_err(|e| Error::os(e, "replacing a file"))?;
                    self.make_implied(name, path, self.options.form != Form::Plain)?
                } else if link {
                    detour = true;
                    let inside = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
                    let as_directory = O_RDONLY | O_DIRECTORY;
                    sys::fs::open_at2(self.stack.root, path, as_directory, 0, inside).map_err(
                        |_| {
                            let shown = path.escape_ascii();
                            let what = "is a link that leads to no directory of the layer";
                            Error::denied(format!("\"{shown}\" {what}"))
                        },
                    )?
                } else {
                    let shown = path.escape_ascii();
                    return Err(Error::ambiguous(format!("\"{shown}\" is not a directory")));
                }
            }
            opened => opened.map_err(failed)?,
        };
        if !self.stack.path.is_empty() {
            self.stack.path.push(b'/');
        }
        self.stack.path.extend_from_slice(name);
        self.stack.push(fd, detour)?;
        self.stack.top_mut().mode = mode;
        Ok(())
    }

    /// A directory that the archive has no entry for (yet).
    fn make_implied(&mut self, name: &[u8], path: &[u8], opaque: bool) -> Result<Fd> {
        self.imply(path)?;
        let top = &self.stack.top().fd;
        let make = || {
            sys::fs::mkdir(top, name, 0o700)?;
            let fd = sys::fs::open_at(top, name, AS_DIRECTORY, 0)?;
            sys::fs::chmod_fd(&fd, 0o755)?;
            if let (true, Form::Overlay(notes)) = (opaque, self.options.form) {
                sys::xattr::set(&fd, notes.opaque(), b"y")?;
            }
            sys::fs::set_times(&fd, "", Time::default()).map(|()| fd)
        };
        make().map_err(|e| Error::os(e, "creating a parent directory"))
    }

    /// What `name` in the top directory is, links not followed.
    pub(super) fn stat(&self, name: &[u8]) -> Result<Stat> {
        sys::fs::stat_at(&self.stack.top().fd, name, sys::fs::AT_SYMLINK_NOFOLLOW)
            .map_err(|e| Error::os(e, "looking at a file"))
    }

    pub(super) fn is_directory(stat: &Stat) -> bool {
        stat.st_mode & S_IFMT == S_IFDIR
    }
}
