//! What an archive says about one name.

use super::sparse::Piece;
use crate::path::TreePath;
use sys::time::Time;

/// An extended attribute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xattr {
    /// With its namespace: `user.x`.
    pub name: Vec<u8>,
    /// Any bytes.
    pub value: Vec<u8>,
}

/// What it is, with what only that has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A regular file.
    File {
        /// Bytes, holes included.
        size: u64,
        /// Bytes that the archive holds.
        stored: u64,
        /// The stored parts of a sparse file, in order.
        sparse: Option<Vec<Piece>>,
    },
    /// A directory.
    Directory,
    /// A symbolic link and its target: any bytes without NUL.
    Symlink(Vec<u8>),
    /// Another name of a file of the same archive.
    Hardlink(TreePath),
    /// A character device: major, minor.
    Character(u32, u32),
    /// A block device: major, minor.
    Block(u32, u32),
    /// A named pipe.
    Fifo,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name as the archive has it.
    pub name: Vec<u8>,
    /// The name as a path.
    pub path: TreePath,
    /// What it is.
    pub what: What,
    /// Permissions with set-id and sticky bits; no file type.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of the contents.
    pub mtime: Time,
    /// Extended attributes, ACLs among them; no name twice.
    pub xattrs: Vec<Xattr>,
    /// Which entry of the archive it is, from 0.
    pub number: u64,
    /// Where its body begins in the archive.
    pub offset: u64,
}

impl Entry {
    /// Bytes of the body.
    pub fn stored(&self) -> u64 {
        match self.what {
            What::File { stored, .. } => stored,
            _ => 0,
        }
    }
}
