//! Paths of the host, resolved component by component against a root directory.
//!
//! The root is `/` or any directory that holds a system's tree; an absolute link or a `..` in it
//! never leads out of it. What `lstat` and `readlink` say is remembered, because a loader's search
//! asks for the same directories again and again, and because one closure should see one state.
//!
//! The tree is taken to be still while it is looked at: names are looked up one after the other,
//! not held by descriptors. A file that is replaced in between is noticed when it is opened,
//! because it must then be the file that was listed ([`crate::Stamp`]).

use crate::error::{Error, ErrorKind, Result};
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

/// Symbolic links followed in one look-up, as in the kernel (`MAXSYMLINKS`).
pub(crate) const MAX_LINKS: usize = 40;
/// Bytes of a path, as in the kernel (`PATH_MAX`).
const MAX_PATH_BYTES: usize = 4096;
/// Look-ups for one closure, and with them the memory for what is remembered. A large program needs
/// some thousand; a file that is made to name many libraries and directories could ask for millions.
const MAX_LOOKUPS: usize = 1 << 18;
/// Names in one directory. The largest in use (a mail spool, a font set) have some ten thousand.
const MAX_NAMES: usize = 1 << 20;

/// What tells one state of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// `st_dev`.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
    /// `st_size`.
    pub size_bytes: u64,
    /// `st_mtim`: seconds.
    pub mtime_s: i64,
    /// `st_mtim`: nanoseconds.
    pub mtime_ns: i64,
}

impl Stamp {
    pub(crate) fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size_bytes: metadata.size(),
            mtime_s: metadata.mtime(),
            mtime_ns: metadata.mtime_nsec(),
        }
    }

    /// All fields, for hashing.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let Self { device, inode, size_bytes, mtime_s, mtime_ns } = self;
        let fields = [device, inode, size_bytes, mtime_s as u64, mtime_ns as u64];
        fields.iter().flat_map(|field| field.to_le_bytes()).collect()
    }
}

/// What one name is, links not followed.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    Directory {
        mode: u32,
    },
    File {
        mode: u32,
        stamp: Stamp,
    },
    Link {
        target: PathBuf,
    },
    /// A socket, FIFO or device.
    Special,
}

/// The end of a look-up.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// The name without links, absolute in the tree.
    pub(crate) path: PathBuf,
    pub(crate) found: Rc<Found>,
    /// Every directory and link on the way and the end itself, absolute in the tree.
    pub(crate) trail: Vec<(PathBuf, Rc<Found>)>,
}

/// A system's tree, as it was when first looked at.
pub(crate) struct Tree {
    root: PathBuf,
    seen: HashMap<PathBuf, std::result::Result<Rc<Found>, io::ErrorKind>>,
    lookups: usize,
}

impl Tree {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), seen: HashMap::new(), lookups: 0 }
    }

    /// Where on this machine `path`, which has no links in it, is.
    pub(crate) fn real(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Follows `path`, which starts at the root whether it says so or not.
    pub(crate) fn resolve(&mut self, path: &Path) -> Result<Resolved> {
        let failed = |error: io::Error| Error::io("looking up", path, error);
        if path.as_os_str().len() >= MAX_PATH_BYTES {
            return Err(Error::new(ErrorKind::Invalid, "looking up a path longer than 4095 bytes"));
        }
        self.lookups += 1;
        if self.lookups > MAX_LOOKUPS {
            let message = format!("looking up {}: after 262,144 other paths", path.display());
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let mut at = PathBuf::from("/");
        let mut found = self.look(&at).map_err(failed)?;
        let mut trail = Vec::new();
        let mut todo = Vec::new();
        push_reversed(&mut todo, path);
        let mut links = 0;
        while let Some(step) = todo.pop() {
            if !matches!(*found, Found::Directory { .. }) {
                return Err(failed(io::ErrorKind::NotADirectory.into()));
            }
            let name = match step {
                Step::Stay => continue,
                Step::Root | Step::Up => {
                    if !(matches!(step, Step::Up) && at.pop()) {
                        at = PathBuf::from("/");
                    }
                    found = self.look(&at).map_err(failed)?;
                    continue;
                }
                Step::Down(name) => name,
            };
            let next = at.join(name);
            let what = self.look(&next).map_err(failed)?;
            trail.push((next.clone(), Rc::clone(&what)));
            if let Found::Link { target } = &*what {
                links += 1;
                if links > MAX_LINKS {
                    let message = format!("looking up {}: too many links", path.display());
                    return Err(Error::new(ErrorKind::Invalid, message));
                }
                push_reversed(&mut todo, target);
                continue;
            }
            at = next;
            found = what;
        }
        Ok(Resolved { path: at, found, trail })
    }

    /// [`Tree::resolve`], with nothing for what is not there or may not be seen.
    pub(crate) fn find(&mut self, path: &Path) -> Result<Option<Resolved>> {
        match self.resolve(path) {
            Ok(resolved) => Ok(Some(resolved)),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Denied) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// One name, links not followed; `path` has none before its last component.
    fn look(&mut self, path: &Path) -> io::Result<Rc<Found>> {
        if let Some(known) = self.seen.get(path) {
            return known.clone().map_err(io::Error::from);
        }
        let found = self.look_once(path).map(Rc::new);
        let kept = found.as_ref().map(Rc::clone).map_err(io::Error::kind);
        self.seen.insert(path.to_owned(), kept);
        found
    }

    /// [`Tree::look`] for a name that will not be asked for again.
    pub(crate) fn look_once(&self, path: &Path) -> io::Result<Found> {
        let real = self.real(path);
        // The root itself may be given by a link; everything below it is taken as it is.
        let metadata = match path.parent() {
            None => fs::metadata(&real)?,
            Some(_) => fs::symlink_metadata(&real)?,
        };
        let mode = metadata.mode() & 0o7777;
        let kind = metadata.file_type();
        Ok(if kind.is_dir() {
            Found::Directory { mode }
        } else if kind.is_file() {
            Found::File { mode, stamp: Stamp::of(&metadata) }
        } else if kind.is_symlink() {
            Found::Link { target: fs::read_link(&real)? }
        } else {
            Found::Special
        })
    }

    /// The names in directory `path` (no links in it), sorted.
    pub(crate) fn list(&self, path: &Path) -> Result<Vec<OsString>> {
        let failed = |error| Error::io("listing", path, error);
        let mut names = Vec::new();
        for entry in fs::read_dir(self.real(path)).map_err(failed)? {
            if names.len() == MAX_NAMES {
                let message = format!("listing {}: more than 1,048,576 names", path.display());
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
            names.push(entry.map_err(failed)?.file_name());
        }
        names.sort();
        Ok(names)
    }
}

/// Opens the regular file at `real` for reading if it still is the one that `stamp` describes.
pub(crate) fn open(real: &Path, stamp: &Stamp) -> Result<fs::File> {
    use linux_raw_sys::general::{O_NOFOLLOW, O_NONBLOCK};
    use std::os::unix::fs::OpenOptionsExt;
    let failed = |error| Error::io("opening", real, error);
    let mut options = fs::OpenOptions::new();
    // Neither a link nor a FIFO that took the file's place may be followed or waited for.
    let options = options.read(true).custom_flags((O_NOFOLLOW | O_NONBLOCK) as i32);
    let file = options.open(real).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() || Stamp::of(&metadata) != *stamp {
        return Err(changed(real));
    }
    Ok(file)
}

/// What a file is that is no longer what was listed.
pub(crate) fn changed(real: &Path) -> Error {
    Error::new(ErrorKind::Busy, format!("reading {}: it changed meanwhile", real.display()))
        .with_hint("try again when nothing is being installed")
}

enum Step {
    Root,
    /// `.` and the slash at the end, which need a directory.
    Stay,
    Up,
    Down(OsString),
}

fn push_reversed(todo: &mut Vec<Step>, path: &Path) {
    let ends_in_slash = path.as_os_str().as_bytes().ends_with(b"/");
    if ends_in_slash || path.as_os_str().as_bytes().ends_with(b"/.") {
        todo.push(Step::Stay);
    }
    todo.extend(path.components().rev().map(|component| match component {
        Component::RootDir | Component::Prefix(_) => Step::Root,
        Component::CurDir => Step::Stay,
        Component::ParentDir => Step::Up,
        Component::Normal(name) => Step::Down(name.to_owned()),
    }));
}
