//! The entries of an index: what an archive says of its files, without a look at their contents.

use super::read::{Reader, Record};
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::tar::{self, Entry, What};
use sha2::{Digest as _, Sha256};
use std::io::{self, BufRead, Read};

/// What stands for contents while headers are read.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Reads entry after entry.
pub struct Entries<R: BufRead> {
    reader: tar::Reader<Hollow<R>>,
}

/// An entry, and for a file the SHA-256 of what the archive stores of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What the archive says.
    pub entry: Entry,
    /// Of a sparse file, of its stored parts.
    pub sha256: Option<[u8; 32]>,
}

impl<R: BufRead> Entries<R> {
    /// Reads from the beginning of an index.
    pub fn new(input: R) -> Result<Self> {
        let hollow = Hollow { index: Reader::new(input)?, part: Part::Raw(Vec::new(), 0) };
        Ok(Self { reader: tar::Reader::new(hollow, Limits::default()) })
    }

    /// The next entry; nothing behind the end.
    pub fn next_entry(&mut self) -> Result<Option<Listed>> {
        let Some(entry) = self.reader.next_entry()? else { return Ok(None) };
        let sha256 = match entry.what {
            What::File { stored: 0, .. } => Some(Sha256::digest([]).into()),
            What::File { .. } => {
                // The record of its contents comes next.
                self.reader.body()?;
                let Part::Contents { sha256, .. } = self.reader.input().part else {
                    return Err(Error::corrupt("an index does not know a file").at(&entry.name));
                };
                Some(sha256)
            }
            _ => None,
        };
        Ok(Some(Listed { entry, sha256 }))
    }
}

/// An archive whose files are full of zeros.
struct Hollow<R: BufRead> {
    index: Reader<R>,
    part: Part,
}

enum Part {
    Raw(Vec<u8>, usize),
    Contents { left: u64, sha256: [u8; 32] },
}

impl<R: BufRead> BufRead for Hollow<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        loop {
            let is_empty = match &self.part {
                Part::Raw(bytes, at) => *at == bytes.len(),
                Part::Contents { left, .. } => *left == 0,
            };
            if !is_empty {
                break;
            }
            self.part = match self.index.next_record()? {
                Some(Record::Raw(bytes)) => Part::Raw(bytes, 0),
                Some(Record::File(file)) => {
                    Part::Contents { left: file.stored, sha256: file.sha256 }
                }
                Some(Record::End(_)) | None => return Ok(&[]),
            };
        }
        Ok(match &self.part {
            Part::Raw(bytes, at) => &bytes[*at..],
            Part::Contents { left, .. } => {
                &ZEROS[..usize::try_from(*left).map_or(ZEROS.len(), |left| left.min(ZEROS.len()))]
            }
        })
    }

    fn consume(&mut self, length: usize) {
        match &mut self.part {
            Part::Raw(bytes, at) => *at = bytes.len().min(*at + length),
            Part::Contents { left, .. } => *left = left.saturating_sub(length as u64),
        }
    }
}

impl<R: BufRead> Read for Hollow<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let length = bytes.len().min(buffer.len());
        buffer[..length].copy_from_slice(&bytes[..length]);
        self.consume(length);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Builder;
    use crate::{Sum, Summing};

    /// Files with and without contents, and headers of several blocks.
    fn archive() -> Vec<u8> {
        let name = format!("{}/file", "d".repeat(120));
        let mut writer = tar::Writer::new(tar::Bytes::new(Vec::new()));
        for (name, size) in [("a", 5u64), (&name, 200_000), ("empty", 0)] {
            let entry = Entry {
                name: Vec::new(),
                path: crate::TreePath::parse(name.as_bytes(), 9).unwrap(),
                what: What::File { size, stored: size, sparse: None },
                mode: 0o644,
                uid: 3_000_000,
                gid: 0,
                mtime: sys::time::Time { seconds: 1, nanos: 5 },
                xattrs: Vec::new(),
                number: 0,
                offset: 0,
            };
            writer.entry(&entry).unwrap();
            writer.data(&vec![b'x'; size as usize]).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn an_index_lists_what_its_archive_has() {
        let archive = archive();
        let builder = Builder::new(Vec::new()).unwrap();
        let mut reader = tar::Reader::with_tap(&archive[..], Limits::default(), builder);
        let mut expected = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            let mut hash = Sha256::new();
            while !reader.body().unwrap().is_empty() {
                let length = reader.body().unwrap().len();
                hash.update(reader.body().unwrap());
                reader.consume(length).unwrap();
            }
            expected.push(Listed { entry, sha256: Some(hash.finalize().into()) });
        }
        let mut whole = Summing::new(Sum::Sha256);
        whole.update(&archive);
        let index = reader.into_tap().finish(&[], &whole.finish()).unwrap();
        let mut entries = Entries::new(&index[..]).unwrap();
        for wanted in expected {
            assert_eq!(entries.next_entry().unwrap(), Some(wanted));
        }
        assert_eq!(entries.next_entry().unwrap(), None);
        // Damage ends with an error, wherever it is.
        for cut in 1..index.len() {
            let read = Entries::new(&index[..cut]).and_then(|mut entries| {
                while entries.next_entry()?.is_some() {}
                Ok(())
            });
            assert!(read.is_err(), "{cut}");
        }
    }
}
