//! What an archive was besides the contents of its files: with those, it is had again byte for byte.
//!
//! # Form
//!
//! `tare-index 1\n`, then a zstd stream of records. A record is a letter and numbers (LEB128) and
//! strings (a number and so many bytes):
//!
//! | letter | fields | meaning |
//! |---|---|---|
//! | `R` | string | bytes of the archive that are no file's contents |
//! | `F` | path, size, stored, offset, SHA-256 (32 bytes), number of pieces, their offsets and lengths | here are `stored` bytes of a file; no pieces: all of it |
//! | `E` | number of paths, paths; bytes, SHA-256 of the archive | the end: files whose contents were replaced by a later entry, by name and in their order |
//!
//! `R` and `F` in their order are the archive. A path that was replaced *n* times has the contents
//! of its first *n* files of more than no bytes outside of the tree ([`Place::Kept`]).
//!
//! The index also is a list of the files with their digests: for equal files, partial pulls, scans.

mod entries;
mod read;
mod rebuild;
mod write;

pub use entries::{Entries, Listed};
pub use read::{End, File, Reader, Record};
pub use rebuild::{Place, from_tree, rebuild};
pub use write::Builder;

/// How it begins: name and version of the form.
const MAGIC: &[u8] = b"tare-index 1\n";
/// Longest run of raw bytes in one record.
const RAW_BYTES: usize = 64 << 10;
