//! Reading an index. It lies in a store that a disk can damage: nothing in it is believed.

use super::{MAGIC, RAW_BYTES};
use crate::compression::{Decoder, Format};
use crate::error::{Error, Result};
use crate::limits::{Limits, PATH_BYTES, REMEMBERED_BYTES, SPARSE_PIECES};
use crate::path::TreePath;
use crate::tar::Piece;
use std::io::{BufRead, BufReader, Read};

/// A file of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Where its entry puts it.
    pub path: TreePath,
    /// Bytes, holes included.
    pub size: u64,
    /// Bytes in the archive.
    pub stored: u64,
    /// Where they begin in the archive.
    pub offset: u64,
    /// Their SHA-256.
    pub sha256: [u8; 32],
    /// Where they are in a sparse file; empty when all of it is stored.
    pub pieces: Vec<Piece>,
}

/// The end of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Files whose contents a later entry replaced.
    pub replaced: Vec<TreePath>,
    /// Length of the archive.
    pub bytes: u64,
    /// Its SHA-256: the diff id of a layer.
    pub sha256: [u8; 32],
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Bytes of the archive.
    Raw(Vec<u8>),
    /// A file.
    File(File),
    /// The end.
    End(End),
}

/// Reads record after record.
pub struct Reader<R: BufRead> {
    input: BufReader<Decoder<R>>,
    ended: bool,
}

impl<R: BufRead> Reader<R> {
    /// Reads from the beginning of an index.
    pub fn new(mut input: R) -> Result<Self> {
        let mut magic = [0; MAGIC.len()];
        input.read_exact(&mut magic).map_err(|e| failed(&e))?;
        if magic != MAGIC {
            return Err(Error::unsupported("not an index, or one of a later version"));
        }
        let decoder = Decoder::new(Format::Zstd, input, &Limits::default())?;
        Ok(Self { input: BufReader::with_capacity(RAW_BYTES, decoder), ended: false })
    }

    /// The next record; nothing behind the end.
    pub fn next_record(&mut self) -> Result<Option<Record>> {
        if self.ended {
            return Ok(None);
        }
        Ok(Some(match self.byte()? {
            b'R' => Record::Raw(self.string(RAW_BYTES)?),
            b'F' => Record::File(self.file()?),
            b'E' => Record::End(self.end()?),
            _ => return Err(Error::corrupt("an index has a record of no known kind")),
        }))
    }

    /// Passes over everything to the end.
    pub fn end_of(mut self) -> Result<End> {
        loop {
            match self.next_record()? {
                Some(Record::End(end)) => return Ok(end),
                Some(_) => {}
                None => return Err(Error::corrupt("an index has no end")),
            }
        }
    }

    fn file(&mut self) -> Result<File> {
        let path = self.path()?;
        let (size, stored, offset) = (self.number()?, self.number()?, self.number()?);
        let sha256 = self.sha256()?;
        let count = self.number()?;
        if count > SPARSE_PIECES as u64 {
            return Err(Error::limit("an index has too many pieces", SPARSE_PIECES));
        }
        let mut pieces = Vec::new();
        for _ in 0..count {
            pieces.push(Piece { offset: self.number()?, length: self.number()? });
        }
        let sum = pieces.iter().try_fold(0u64, |sum, piece| sum.checked_add(piece.length));
        if count > 0 && sum != Some(stored) {
            return Err(Error::corrupt("an index has pieces that are not what is stored"));
        }
        Ok(File { path, size, stored, offset, sha256, pieces })
    }

    fn end(&mut self) -> Result<End> {
        let count = self.number()?;
        let mut replaced = Vec::new();
        let mut bytes = 0;
        for _ in 0..count {
            let path = self.path()?;
            bytes += path.as_bytes().len() + 64;
            if bytes > REMEMBERED_BYTES {
                return Err(Error::limit("an index has too many replaced files", REMEMBERED_BYTES));
            }
            replaced.push(path);
        }
        let end = End { replaced, bytes: self.number()?, sha256: self.sha256()? };
        self.ended = true;
        match self.input.fill_buf().map_err(|e| failed(&e))?.is_empty() {
            true => Ok(end),
            false => Err(Error::corrupt("an index goes on behind its end")),
        }
    }

    fn byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        self.input.read_exact(&mut byte).map_err(|e| failed(&e))?;
        Ok(byte[0])
    }

    fn number(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Error::corrupt("an index has a number that is too large"))
    }

    fn string(&mut self, limit: usize) -> Result<Vec<u8>> {
        let length = self.number()?;
        let length = usize::try_from(length).ok().filter(|&length| length <= limit);
        let length = length.ok_or_else(|| Error::limit("an index has a long string", limit))?;
        let mut bytes = vec![0; length];
        self.input.read_exact(&mut bytes).map_err(|e| failed(&e))?;
        Ok(bytes)
    }

    fn path(&mut self) -> Result<TreePath> {
        let bytes = self.string(PATH_BYTES)?;
        TreePath::parse(&bytes, usize::MAX)
    }

    fn sha256(&mut self) -> Result<[u8; 32]> {
        let mut bytes = [0; 32];
        self.input.read_exact(&mut bytes).map_err(|e| failed(&e))?;
        Ok(bytes)
    }
}

fn failed(error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => Error::corrupt("an index ends too early"),
        _ => Error::io(error, "reading an index"),
    }
}
