//! tar: the traditions of V7, POSIX (ustar, PAX), GNU and star, read as one.
//!
//! *Invariant: the list of entries is what GNU tar, bsdtar and Python's tarfile read, or the archive
//! is refused.* Where they differ among each other a reader who checks (a scanner) and one who
//! unpacks would see different files; such an archive is [`crate::Kind::Ambiguous`].

mod base64;
mod entry;
mod header;
mod pax;
mod reader;
mod sparse;
mod tap;
mod writer;

pub use entry::{Entry, What, Xattr};
pub use header::BLOCK;
pub use reader::Reader;
pub use sparse::Piece;
pub use tap::{Bytes, Tap};
pub use writer::Writer;
