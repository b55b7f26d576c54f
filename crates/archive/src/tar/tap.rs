//! Seeing every byte of an archive while it is read or written.

use super::Entry;
use crate::error::Result;

/// What listens. The bytes of `raw` and `data`, in the order of the calls, are the archive.
pub trait Tap {
    /// Headers, paddings, maps of sparse files, the end: all that is not contents of a file.
    fn raw(&mut self, bytes: &[u8]) -> Result<()>;
    /// An entry is complete; its body follows.
    fn entry(&mut self, entry: &Entry) -> Result<()>;
    /// Contents of the last entry.
    fn data(&mut self, bytes: &[u8]) -> Result<()>;
}

/// Nobody listens.
impl Tap for () {
    fn raw(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn entry(&mut self, _: &Entry) -> Result<()> {
        Ok(())
    }

    fn data(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }
}
