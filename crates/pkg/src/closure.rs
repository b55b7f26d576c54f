//! A closure: the files, directories and links that make up a small root file system.

use crate::builder::Builder;
use crate::error::{Error, Result};
use crate::tree::{self, Stamp};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// One name in a closure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Absolute in the closure, without links, `.` or `..`.
    pub path: PathBuf,
    /// What it is.
    pub node: Node,
}

/// What one name is. Modes have no file type and neither set-user-ID nor set-group-ID: a closure
/// has one owner, and giving a copy of `su` a power that was meant for the host is never what was
/// asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Node {
    /// A directory. All its names are entries of their own.
    Directory {
        /// Permissions and the sticky bit.
        mode: u32,
    },
    /// A regular file.
    File {
        /// Permissions and the sticky bit.
        mode: u32,
        /// Where its bytes come from.
        content: Content,
    },
    /// A symbolic link.
    Link {
        /// Exactly as on the host. It may lead nowhere if it lies in a directory that was asked for.
        target: PathBuf,
    },
}

/// The bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    /// A file of the host.
    Host {
        /// Where it is on this machine, the view's root included.
        path: PathBuf,
        /// How it was when it was listed.
        stamp: Stamp,
    },
    /// Made here.
    Made(Vec<u8>),
}

/// Reads a [`Content`].
#[derive(Debug)]
pub enum Source<'a> {
    /// A file of the host.
    File(File),
    /// What is left of bytes made here.
    Bytes(&'a [u8]),
}

/// Files, directories and links, sorted by path.
///
/// *Invariants:* each path occurs once, and the parent of each is a directory of the closure, so
/// no entry lies behind a link. The order is that of `Path`: by components, parents first. `/`
/// itself is not an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closure {
    pub(crate) entries: Vec<Entry>,
    pub(crate) skipped: Vec<PathBuf>,
}

impl Closure {
    /// The entries, sorted by path.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Sockets, FIFOs and devices in directories that were asked for, sorted. A copy of one has
    /// no use, so they are left out; the user may want to know.
    pub fn skipped(&self) -> &[PathBuf] {
        &self.skipped
    }

    /// Bytes of all files.
    pub fn size_bytes(&self) -> u64 {
        self.entries.iter().map(Entry::size_bytes).sum()
    }

    /// Adds what `base` has and this closure has not. Links of this closure are followed: with
    /// `/tmp -> var/tmp` here, `/tmp/x` of the base becomes `/var/tmp/x`.
    ///
    /// A directory on one side that is a file on the other is an error of kind `Exists`, and leaves
    /// this closure as it was.
    pub fn merge(&mut self, base: Closure) -> Result<()> {
        let mut builder = Builder::from(self.clone());
        builder.skipped.extend(base.skipped);
        for entry in base.entries {
            builder.place(&entry.path, entry.node)?;
        }
        *self = builder.finish();
        Ok(())
    }

    /// SHA-256 of what the closure says and holds: paths, modes, link targets and the bytes of each
    /// file. Neither times nor owners are in it. Reads every file, in pieces; one that changed since
    /// it was listed is an error of kind `Busy`.
    ///
    /// The listing that is hashed: `tare closure 1\n`, then for each entry a letter (`d`, `f`, `l`),
    /// the mode as four bytes (0 for `l`), and the path and (for `f`) the SHA-256 of the content or
    /// (for `l`) the target, each preceded by its length as eight bytes; numbers are little-endian.
    pub fn digest(&self) -> Result<[u8; 32]> {
        self.hash(b"tare closure 1\n", |content| Ok(content.digest()?.to_vec()))
    }

    /// A key that tells two states of the host's files apart without reading them: SHA-256 of paths,
    /// modes, link targets and each file's device, inode, size and modification time. Two closures
    /// with the same fingerprint have, on one machine, the same [`Closure::digest`]; the reverse does
    /// not hold.
    pub fn fingerprint(&self) -> [u8; 32] {
        let hashed = self.hash(b"tare fingerprint 1\n", |content| {
            Ok(match content {
                Content::Host { stamp, .. } => stamp.to_bytes(),
                Content::Made(bytes) => [b"made", bytes.as_slice()].concat(),
            })
        });
        // Nothing above fails.
        hashed.unwrap_or_default()
    }

    fn hash(
        &self,
        version: &[u8],
        mut of: impl FnMut(&Content) -> Result<Vec<u8>>,
    ) -> Result<[u8; 32]> {
        let mut hash = Sha256::new();
        hash.update(version);
        for Entry { path, node } in &self.entries {
            let (letter, mode, last) = match node {
                Node::Directory { mode } => (b"d", *mode, None),
                Node::File { mode, content } => (b"f", *mode, Some(of(content)?)),
                Node::Link { target } => (b"l", 0, Some(target.as_os_str().as_bytes().to_vec())),
            };
            hash.update(letter);
            hash.update(mode.to_le_bytes());
            for bytes in [path.as_os_str().as_bytes()].into_iter().chain(last.as_deref()) {
                hash.update((bytes.len() as u64).to_le_bytes());
                hash.update(bytes);
            }
        }
        Ok(hash.finalize().into())
    }
}

impl Entry {
    /// Bytes of a file; 0 for anything else.
    pub fn size_bytes(&self) -> u64 {
        match &self.node {
            Node::File { content, .. } => content.size_bytes(),
            _ => 0,
        }
    }
}

impl Content {
    /// Its length.
    pub fn size_bytes(&self) -> u64 {
        match self {
            Self::Host { stamp, .. } => stamp.size_bytes,
            Self::Made(bytes) => bytes.len() as u64,
        }
    }

    /// Opens it for reading. A file that is not the one that was listed any more is an error of
    /// kind `Busy`.
    pub fn open(&self) -> Result<Source<'_>> {
        Ok(match self {
            Self::Host { path, stamp } => Source::File(tree::open(path, stamp)?),
            Self::Made(bytes) => Source::Bytes(bytes),
        })
    }

    /// SHA-256 of the bytes.
    fn digest(&self) -> Result<[u8; 32]> {
        let mut hash = Sha256::new();
        let mut source = self.open()?;
        let mut buffer = vec![0; 64 << 10];
        let mut left = self.size_bytes();
        loop {
            let count = match source.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::io("reading", self.shown(), error)),
            };
            if count as u64 > left || (count == 0 && left > 0) {
                return Err(self.changed());
            }
            if count == 0 {
                return Ok(hash.finalize().into());
            }
            left -= count as u64;
            hash.update(&buffer[..count]);
        }
    }

    fn shown(&self) -> &Path {
        match self {
            Self::Host { path, .. } => path,
            Self::Made(_) => Path::new("a generated file"),
        }
    }

    pub(crate) fn changed(&self) -> Error {
        tree::changed(self.shown())
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buffer),
            Self::Bytes(bytes) => bytes.read(buffer),
        }
    }
}
