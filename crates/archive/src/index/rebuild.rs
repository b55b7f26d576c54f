//! From an index and files to the archive.

use super::read::{End, File, Reader, Record};
use crate::error::{Error, Kind, Result};
use crate::path::TreePath;
use crate::tar::Piece;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::io::{BufRead, Write};
use sys::fs::{O_NOFOLLOW, O_NONBLOCK, O_RDONLY, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS};
use sys::{BorrowedFd, Fd};

/// Where the contents of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the tree, at its path.
    Tree,
    /// Among those that a later entry replaced: in [`End::replaced`] and in the directory
    /// [`crate::apply::Options::keep`] under this number.
    Kept(usize),
}

/// Read at once.
const READ_BYTES: usize = 128 << 10;

/// Writes the archive. The index is read twice, because its end says where contents are; `open`
/// finds them. The archive's digest is checked; when it is another one, every file's, to name the damaged one.
pub fn rebuild<R: BufRead>(
    mut index: impl FnMut() -> Result<R>,
    mut open: impl FnMut(&File, Place) -> Result<Fd>,
    output: &mut impl Write,
) -> Result<End> {
    let end = Reader::new(index()?)?.end_of()?;
    let mut kept = kept(&end);
    let mut reader = Reader::new(index()?)?;
    let mut whole = Sha256::new();
    let mut bytes = 0u64;
    let mut write = |part: &[u8]| {
        whole.update(part);
        bytes += part.len() as u64;
        output.write_all(part).map_err(|e| Error::io(&e, "writing the archive"))
    };
    while let Some(record) = reader.next_record()? {
        match record {
            Record::Raw(raw) => write(&raw)?,
            Record::End(_) => break,
            Record::File(file) => {
                if let Some(place) = place_of(&file, &mut kept) {
                    let path = file.path.as_bytes();
                    let fd = open(&file, place).map_err(|e| e.at(path))?;
                    read(&fd, &file, &mut write).map_err(|e| e.at(path))?;
                }
            }
        }
    }
    match bytes == end.bytes && whole.finalize()[..] == end.sha256 {
        true => Ok(end),
        false => Err(find_damage(index, open, &end)?),
    }
}

/// Which file is not what it was.
fn find_damage<R: BufRead>(
    mut index: impl FnMut() -> Result<R>,
    mut open: impl FnMut(&File, Place) -> Result<Fd>,
    end: &End,
) -> Result<Error> {
    let mut kept = kept(end);
    let mut reader = Reader::new(index()?)?;
    while let Some(record) = reader.next_record()? {
        let Record::File(file) = record else { continue };
        let Some(place) = place_of(&file, &mut kept) else { continue };
        let path = file.path.as_bytes();
        let fd = open(&file, place).map_err(|e| e.at(path))?;
        let mut hash = Sha256::new();
        let mut update = |part: &[u8]| {
            hash.update(part);
            Ok(())
        };
        read(&fd, &file, &mut update).map_err(|e| e.at(path))?;
        if hash.finalize()[..] != file.sha256 {
            return Ok(mismatch().at(path));
        }
    }
    Ok(Error::new(Kind::Mismatch, "the archive is not what it was"))
}

/// Where a file's contents are, if it has any.
fn place_of(file: &File, kept: &mut HashMap<TreePath, Vec<usize>>) -> Option<Place> {
    let numbers = if file.size > 0 { kept.get_mut(&file.path) } else { None };
    let number = numbers.and_then(|numbers| numbers.pop());
    (file.stored > 0).then(|| number.map_or(Place::Tree, Place::Kept))
}

/// The numbers of replaced files by path, the first one last.
fn kept(end: &End) -> HashMap<TreePath, Vec<usize>> {
    let mut kept: HashMap<TreePath, Vec<usize>> = HashMap::new();
    for (number, path) in end.replaced.iter().enumerate().rev() {
        kept.entry(path.clone()).or_default().push(number);
    }
    kept
}

fn read(fd: &Fd, file: &File, take: &mut impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let whole = [Piece { offset: 0, length: file.stored }];
    let pieces = if file.pieces.is_empty() { &whole[..] } else { &file.pieces[..] };
    let mut buffer = vec![0; READ_BYTES.min(usize::try_from(file.stored).unwrap_or(READ_BYTES))];
    for piece in pieces {
        sys::fs::seek(fd, piece.offset).map_err(|e| Error::os(e, "reading"))?;
        let mut left = piece.length;
        while left > 0 {
            let length = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let length = sys::fs::read(fd, &mut buffer[..length]);
            match length.map_err(|e| Error::os(e, "reading"))? {
                0 => return Err(mismatch()),
                length => {
                    take(&buffer[..length])?;
                    left -= length as u64;
                }
            }
        }
    }
    Ok(())
}

fn mismatch() -> Error {
    Error::new(Kind::Mismatch, "its contents are not what they were")
}

/// Opens contents where [`crate::apply`] put them.
pub fn from_tree<'a>(
    root: BorrowedFd<'a>,
    keep: BorrowedFd<'a>,
) -> impl FnMut(&File, Place) -> Result<Fd> + 'a {
    move |file, place| {
        const INSIDE: u32 = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
        let flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;
        let fd = match place {
            Place::Tree => sys::fs::open_at2(root, file.path.as_bytes(), flags, 0, INSIDE),
            Place::Kept(number) => sys::fs::open_at2(keep, number.to_string(), flags, 0, INSIDE),
        };
        fd.map_err(|e| Error::os(e, "opening its contents"))
    }
}
