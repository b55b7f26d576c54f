//! Files without a name, which are gone when they are closed.

use crate::error::{Error, Kind, Result};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

/// A file without a name. Clones are the same file.
#[derive(Clone)]
pub(crate) struct Spool(Arc<File>);

impl Spool {
    /// Makes one in a directory.
    pub(crate) fn create(directory: &Path) -> Result<Self> {
        let failed = |error: io::Error| {
            let text = format!("making a temporary file in {}: {error}", directory.display());
            Error::new(Kind::Os, text).with_hint("--tmpdir names another directory")
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(sys::fs::O_TMPFILE as i32);
        Ok(Self(Arc::new(options.open(directory).map_err(failed)?)))
    }

    /// Fills it.
    pub(crate) fn fill(&mut self, content: &mut dyn Read) -> Result<()> {
        io::copy(content, &mut &*self.0).map(drop).map_err(|error| {
            let text = format!("writing a layer to a temporary file: {error}");
            Error::new(Kind::Os, text).with_hint("--tmpdir names another directory")
        })
    }

    /// Content that is written to the file while it is read.
    pub(crate) fn tee<R: Read>(&self, content: R) -> Tee<R> {
        Tee { content, file: self.0.clone() }
    }

    /// The file from its beginning, whoever else reads it.
    pub(crate) fn read(&self) -> SpoolReader {
        SpoolReader { file: self.0.clone(), at: 0 }
    }
}

/// See [`Spool::tee`].
pub(crate) struct Tee<R> {
    content: R,
    file: Arc<File>,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(buffer)?;
        (&*self.file).write_all(&buffer[..count])?;
        Ok(count)
    }
}

/// See [`Spool::read`].
pub(crate) struct SpoolReader {
    file: Arc<File>,
    at: u64,
}

impl Read for SpoolReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}
