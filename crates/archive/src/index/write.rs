//! Making an index while an archive goes by.

use super::{MAGIC, RAW_BYTES};
use crate::compression::{Codec, Encoder};
use crate::digest::Summary;
use crate::error::{Error, Result};
use crate::path::TreePath;
use crate::tar::{Entry, Piece, Tap, What};
use sha2::{Digest as _, Sha256};
use std::io::Write;

/// Listens to a reader or a writer of an archive, and writes the index.
pub struct Builder<W: Write> {
    output: Encoder<W>,
    raw: Vec<u8>,
    file: Option<Open>,
}

struct Open {
    path: TreePath,
    size: u64,
    stored: u64,
    left: u64,
    offset: u64,
    pieces: Vec<Piece>,
    hash: Sha256,
}

impl<W: Write> Builder<W> {
    /// Writes to `output`, packing on one more thread.
    pub fn new(mut output: W) -> Result<Self> {
        output.write_all(MAGIC).map_err(|e| Error::io(&e, "writing the index"))?;
        let output = Encoder::new(Codec::Zstd { level: 3 }, 1, output)?;
        Ok(Self { output, raw: Vec::new(), file: None })
    }

    /// Writes the end. `replaced` is what the extractor reports, `whole` what the archive was: whoever
    /// reads it has hashed it anyway. Returns the output.
    pub fn finish(mut self, replaced: &[TreePath], whole: &Summary) -> Result<W> {
        if self.file.is_some() {
            return Err(Error::corrupt("the archive ends in the middle of a file"));
        }
        self.flush()?;
        let Some(sha256) = &whole.sha256 else {
            return Err(Error::unsupported("an index needs the SHA-256 of its archive"));
        };
        let mut record = vec![b'E'];
        put_number(&mut record, replaced.len() as u64);
        for path in replaced {
            put_string(&mut record, path.as_bytes());
        }
        put_number(&mut record, whole.bytes);
        record.extend_from_slice(sha256);
        write(&mut self.output, &record)?;
        self.output.finish()
    }

    fn flush(&mut self) -> Result<()> {
        if self.raw.is_empty() {
            return Ok(());
        }
        let mut head = vec![b'R'];
        put_number(&mut head, self.raw.len() as u64);
        write(&mut self.output, &head)?;
        write(&mut self.output, &self.raw)?;
        self.raw.clear();
        Ok(())
    }

    fn end_file(&mut self) -> Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        self.flush()?;
        let mut record = vec![b'F'];
        put_string(&mut record, file.path.as_bytes());
        for number in [file.size, file.stored, file.offset] {
            put_number(&mut record, number);
        }
        record.extend_from_slice(&file.hash.finalize());
        put_number(&mut record, file.pieces.len() as u64);
        for piece in &file.pieces {
            put_number(&mut record, piece.offset);
            put_number(&mut record, piece.length);
        }
        write(&mut self.output, &record)
    }
}

impl<W: Write> Tap for Builder<W> {
    fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        for part in bytes.chunks(RAW_BYTES) {
            if self.raw.len() + part.len() > RAW_BYTES {
                self.flush()?;
            }
            self.raw.extend_from_slice(part);
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry) -> Result<()> {
        let What::File { size, sparse, .. } = &entry.what else { return Ok(()) };
        // A writer writes holes as zeros; then all is stored.
        let pieces = sparse.clone().unwrap_or_default();
        let stored = entry.stored();
        self.file = Some(Open {
            path: entry.path.clone(),
            size: *size,
            stored,
            left: stored,
            offset: entry.offset,
            pieces,
            hash: Sha256::new(),
        });
        match stored {
            0 => self.end_file(),
            _ => Ok(()),
        }
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(file) = &mut self.file else {
            return Err(Error::corrupt("contents of no file"));
        };
        file.hash.update(bytes);
        file.left = file.left.saturating_sub(bytes.len() as u64);
        match file.left {
            0 => self.end_file(),
            _ => Ok(()),
        }
    }
}

fn write(output: &mut impl Write, bytes: &[u8]) -> Result<()> {
    output.write_all(bytes).map_err(|e| Error::io(&e, "writing the index"))
}

fn put_number(record: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        record.push(number as u8 | 0x80);
        number >>= 7;
    }
    record.push(number as u8);
}

fn put_string(record: &mut Vec<u8>, bytes: &[u8]) {
    put_number(record, bytes.len() as u64);
    record.extend_from_slice(bytes);
}
