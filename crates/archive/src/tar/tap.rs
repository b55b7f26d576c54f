//! Seeing every byte of an archive while it is read or written.

use super::Entry;
use crate::error::{Error, Result};
use std::io::Write;

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

/// Two listen.
impl<A: Tap, B: Tap> Tap for (A, B) {
    fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.raw(bytes)?;
        self.1.raw(bytes)
    }

    fn entry(&mut self, entry: &Entry) -> Result<()> {
        self.0.entry(entry)?;
        self.1.entry(entry)
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.data(bytes)?;
        self.1.data(bytes)
    }
}

/// The archive's digests are made.
impl Tap for crate::Summing {
    fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.update(bytes);
        Ok(())
    }

    fn entry(&mut self, _: &Entry) -> Result<()> {
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        self.update(bytes);
        Ok(())
    }
}

/// The archive is written.
#[derive(Debug)]
pub struct Bytes<W>(W);

impl<W: Write> Bytes<W> {
    /// Writes to `output`.
    pub fn new(output: W) -> Self {
        Self(output)
    }

    /// The output.
    pub fn into_inner(self) -> W {
        self.0
    }
}

impl<W: Write> Tap for Bytes<W> {
    fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes).map_err(|e| Error::io(&e, "writing the archive"))
    }

    fn entry(&mut self, _: &Entry) -> Result<()> {
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        self.raw(bytes)
    }
}
