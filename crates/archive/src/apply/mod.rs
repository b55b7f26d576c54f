//! From entries to a tree, below one open directory and nowhere else.
//!
//! *Invariant: no path is ever resolved from the host's root.* A name's parent is a descriptor that
//! was reached component by component without following a link, and the last component is made
//! with calls that do not follow one either (`O_EXCL`, `mkdirat`, `linkat`). A link of the same
//! layer on the way (`lib -> usr/lib`, then `lib/x`) is followed by the kernel with the tree as its
//! root (`RESOLVE_IN_ROOT`), as other tools do it, and never by whiteouts.
//!
//! A layer may come in one of two [`Form`]s. Whatever the form, a whiteout hides what lies below its
//! layer and nothing of its own layer, wherever in the archive it stands.

mod create;
mod remove;
mod stack;
mod whiteout;

use crate::error::{Error, Kind, Result};
use crate::limits::{REMEMBERED_BYTES, REMEMBERED_NAMES};
use crate::path::TreePath;
use crate::tar::{Entry, Reader, Tap, What};
use stack::Stack;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::io::BufRead;
use sys::{BorrowedFd, Errno};

/// Where overlayfs looks for what it notes about a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notes {
    /// `trusted.overlay.*`: mounts of the host's root.
    Trusted,
    /// `user.overlay.*`: mounts with `userxattr`, in a user namespace.
    User,
}

impl Notes {
    /// The attribute of an opaque directory.
    pub fn opaque_attribute(self) -> &'static str {
        match self {
            Self::Trusted => "trusted.overlay.opaque",
            Self::User => "user.overlay.opaque",
        }
    }

    /// The attribute of a file that is a whiteout (Linux 6.7).
    fn whiteout(self) -> &'static [u8] {
        match self {
            Self::Trusted => b"trusted.overlay.whiteout",
            Self::User => b"user.overlay.whiteout",
        }
    }

    pub(crate) fn opaque(self) -> &'static [u8] {
        self.opaque_attribute().as_bytes()
    }
}

/// What a layer becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A layer of overlayfs in an empty directory of its own: a whiteout is a character device 0/0, or an
    /// empty file with a note where there are no such devices; an opaque directory has a note.
    Overlay(Notes),
    /// A change to the tree that is there: what a whiteout names is removed.
    Plain,
}

/// What happens to devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Devices {
    /// They are made.
    Make,
    /// They are left out and counted: a user namespace may not make them.
    Skip,
}

/// Whose the files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// The archive's users and groups.
    Exact,
    /// Whoever unpacks: for an ordinary user with one id only.
    Own,
}

/// How to unpack.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// See [`Form`].
    pub form: Form,
    /// See [`Devices`].
    pub devices: Devices,
    /// See [`Owners`].
    pub owners: Owners,
    /// A directory on the same file system for contents that a later entry of the same archive
    /// replaces, in the order of [`Report::replaced`] as `0`, `1`...: the index needs them.
    pub keep: Option<BorrowedFd<'a>>,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries of the archive.
    pub entries: u64,
    /// Bytes of contents, holes not counted.
    pub bytes: u64,
    /// Directories that entries needed and the archive does not have. They are root's, 0755, of
    /// 1970: a store that knows the layers below gives them the attributes of the directories there.
    pub implied: BTreeSet<TreePath>,
    /// Files whose contents were replaced by a later entry, by the name of the entry that had them.
    pub replaced: Vec<TreePath>,
    /// Devices that were left out.
    pub devices_skipped: u64,
    /// Attributes that say something to overlayfs or to the host's security module and that an
    /// archive must not have.
    pub xattrs_dropped: u64,
    /// Attributes that the file system or the user namespace does not take.
    pub xattrs_refused: u64,
    /// The layer hides everything below it.
    pub root_opaque: bool,
    /// The archive has an entry for the root itself, whose attributes the directory has.
    pub has_root: bool,
}

/// Unpacks an archive below `root`.
pub fn apply<R: BufRead, T: Tap>(
    root: BorrowedFd<'_>,
    reader: &mut Reader<R, T>,
    options: Options<'_>,
) -> Result<Report> {
    let mut extractor = Extractor::new(root, options)?;
    while let Some(entry) = reader.next_entry()? {
        extractor.entry(&entry, reader)?;
    }
    extractor.finish()
}

/// Unpacks entry by entry.
#[derive(Debug)]
pub struct Extractor<'a> {
    options: Options<'a>,
    stack: Stack<'a>,
    report: Report,
    /// This process: does what needs no capability, and needs no change.
    user: u32,
    group: u32,
    umask: u32,
    hasher: RandomState,
    /// [`Form::Plain`]: what this archive made, by keyed hash; the rest is from below.
    made: HashSet<u64>,
    /// Names that are links to files with another name, by keyed hash.
    linked: HashSet<u64>,
    /// Names of files that were made through a symbolic link, by inode.
    detoured: HashMap<u64, TreePath>,
    /// Lists for the files of a directory: set last, because files that are made take them.
    default_acls: Vec<(TreePath, Vec<u8>)>,
    /// Some whiteouts are files with a note.
    has_noted_whiteouts: bool,
    /// Bytes of what is remembered, against [`REMEMBERED_BYTES`].
    remembered: usize,
}

const DEFAULT_ACL: &[u8] = b"system.posix_acl_default";

impl<'a> Extractor<'a> {
    /// Unpacks below `root`, which has to be empty for [`Form::Overlay`].
    pub fn new(root: BorrowedFd<'a>, options: Options<'a>) -> Result<Self> {
        if options.form != Form::Plain {
            let found = sys::fs::read_dir(root).map_err(|e| Error::os(e, "listing the root"))?;
            if !found.is_empty() {
                return Err(Error::unsupported("the directory for the layer is not empty"));
            }
        }
        Ok(Self {
            options,
            stack: Stack::new(root)?,
            report: Report::default(),
            user: sys::ids::euid(),
            group: sys::ids::egid(),
            umask: umask(),
            hasher: RandomState::new(),
            made: HashSet::new(),
            linked: HashSet::new(),
            detoured: HashMap::new(),
            default_acls: Vec::new(),
            has_noted_whiteouts: false,
            remembered: 0,
        })
    }

    /// Unpacks the entry that `reader` returned last.
    pub fn entry<R: BufRead, T: Tap>(
        &mut self,
        entry: &Entry,
        reader: &mut Reader<R, T>,
    ) -> Result<()> {
        self.report.entries += 1;
        self.place(entry, reader).map_err(|e| e.at(&entry.name))
    }

    /// Gives the last directories their times.
    pub fn finish(mut self) -> Result<Report> {
        for (path, value) in std::mem::take(&mut self.default_acls) {
            self.enter(path.as_bytes()).map_err(|e| e.at(path.as_bytes()))?;
            let top = &self.stack.top().fd;
            match sys::xattr::set(top, DEFAULT_ACL, &value) {
                Ok(()) => {}
                Err(Errno::ENOTSUP | Errno::EPERM) => self.report.xattrs_refused += 1,
                Err(e) => return Err(Error::os(e, "setting a default ACL").at(path.as_bytes())),
            }
        }
        self.stack.leave_all()?;
        Ok(self.report)
    }

    fn place<R: BufRead, T: Tap>(
        &mut self,
        entry: &Entry,
        reader: &mut Reader<R, T>,
    ) -> Result<()> {
        let Some((parent, name)) = entry.path.split() else {
            self.enter(b"")?;
            self.report.has_root = true;
            return self.set_directory(entry);
        };
        if parent.split(|&byte| byte == b'/').any(|part| part.starts_with(whiteout::PREFIX)) {
            return Err(Error::ambiguous("it lies below a whiteout"));
        }
        if let Some(hidden) = name.strip_prefix(whiteout::PREFIX) {
            return self.white_out(parent, hidden);
        }
        match &entry.what {
            What::Character(0, 0) => {
                return Err(Error::denied(
                    "a character device 0/0, which overlayfs hides files by",
                ));
            }
            What::Character(..) | What::Block(..) if self.options.devices == Devices::Skip => {
                self.report.devices_skipped += 1;
                return Ok(());
            }
            _ => {}
        }
        self.enter(parent)?;
        match &entry.what {
            What::File { .. } => self.make_file(name, entry, reader)?,
            What::Directory => self.make_directory(name, entry)?,
            What::Hardlink(target) => self.make_link(name, entry, target)?,
            What::Symlink(_) | What::Character(..) | What::Block(..) | What::Fifo => {
                self.make_node(name, entry)?;
            }
        }
        if self.stack.has_detour() && self.options.form == Form::Plain {
            // Behind a link it has another name: a whiteout of that must not hide it.
            let real = self.stack.real_path(name)?;
            self.note(&real)?;
        }
        self.note(entry.path.as_bytes())
    }

    fn hash(&self, path: &[u8]) -> u64 {
        self.hasher.hash_one(path)
    }

    /// Remembers that this archive made `path`.
    fn note(&mut self, path: &[u8]) -> Result<()> {
        if self.options.form == Form::Plain {
            self.made.insert(self.hash(path));
        }
        match self.made.len() > REMEMBERED_NAMES {
            true => Err(Error::limit("too many entries for this form", REMEMBERED_NAMES)),
            false => Ok(()),
        }
    }

    /// Whether this archive made `path`, and not one below.
    fn is_own(&self, path: &[u8]) -> bool {
        self.options.form != Form::Plain || self.made.contains(&self.hash(path))
    }

    fn imply(&mut self, path: &[u8]) -> Result<()> {
        self.note(path)?;
        self.remember(path.len(), "directories without an entry")?;
        self.report.implied.insert(TreePath::parse(path, usize::MAX)?);
        Ok(())
    }

    /// Counts bytes that are kept until the end.
    fn remember(&mut self, bytes: usize, of: &str) -> Result<()> {
        /// What an allocation and its place in a collection take besides.
        const OVERHEAD_BYTES: usize = 64;
        self.remembered += bytes + OVERHEAD_BYTES;
        match self.remembered > REMEMBERED_BYTES {
            true => Err(Error::limit(&format!("too much to remember: {of}"), REMEMBERED_BYTES)),
            false => Ok(()),
        }
    }
}

/// The file mode mask of this process, without changing it. Everything, where nothing tells it.
fn umask() -> u32 {
    const STATUS_BYTES: usize = 64 << 10;
    let status =
        sys::fs::read_file(sys::CWD, "/proc/self/status", STATUS_BYTES).unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok()).unwrap_or(0o777)
}

impl Kind {
    /// Whether the same archive will be refused again.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Os(_) | Self::Io(_))
    }
}
