//! Maps of sparse files.

use super::header::{BLOCK, number, until_nul};
use crate::error::{Error, Result};
use crate::limits::Limits;

/// A part of a sparse file that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it lies in the file.
    pub offset: u64,
    /// Its bytes.
    pub length: u64,
}

/// Checks that pieces are in order, do not overlap, lie in the file and are what is stored.
/// Empty pieces say where a file ends; they are dropped.
pub(super) fn check(mut pieces: Vec<Piece>, size: u64, stored: u64) -> Result<Vec<Piece>> {
    let mut end = 0u64;
    let mut sum = 0u64;
    for piece in &pieces {
        if piece.offset < end {
            return Err(Error::ambiguous("pieces of a sparse file overlap"));
        }
        end = match piece.offset.checked_add(piece.length) {
            Some(end) if end <= size => end,
            _ => return Err(Error::corrupt("a piece lies behind the end of its sparse file")),
        };
        sum += piece.length;
    }
    if sum != stored {
        return Err(Error::corrupt("the pieces of a sparse file are not what is stored"));
    }
    pieces.retain(|piece| piece.length > 0);
    Ok(pieces)
}

/// GNU's old form: four pieces in the header, 21 in each block behind it.
pub(super) struct OldMap {
    pub(super) pieces: Vec<Piece>,
    ended: bool,
    /// Whether another block follows.
    pub(super) more: bool,
}

const PIECE_BYTES: usize = 24;

impl OldMap {
    pub(super) fn new(header: &[u8; BLOCK]) -> Result<(Self, u64)> {
        let mut map = Self { pieces: Vec::new(), ended: false, more: false };
        map.take(&header[386..386 + 4 * PIECE_BYTES])?;
        map.more = more(header[482])?;
        let size = number(&header[483..495])?.unwrap_or(-1);
        let size = u64::try_from(size).map_err(|_| Error::corrupt("a sparse file has no size"))?;
        Ok((map, size))
    }

    pub(super) fn extend(&mut self, block: &[u8; BLOCK], limits: &Limits) -> Result<()> {
        self.take(&block[..21 * PIECE_BYTES])?;
        self.more = more(block[21 * PIECE_BYTES])?;
        match self.pieces.len() > limits.sparse_pieces {
            true => Err(Error::limit("a sparse file has too many pieces", limits.sparse_pieces)),
            false => Ok(()),
        }
    }

    fn take(&mut self, table: &[u8]) -> Result<()> {
        for slot in table.as_chunks::<PIECE_BYTES>().0 {
            // GNU tar looks at the length for the end of the table, Go at the offset.
            let [offset, length] = [slot[0] == 0, slot[12] == 0];
            if offset != length || (self.ended && !offset) {
                return Err(Error::ambiguous(
                    "the table of a sparse file ends in different places",
                ));
            }
            self.ended |= offset;
            if self.ended {
                continue;
            }
            let value = |field: &[u8]| {
                let value = number(field)?.and_then(|value| u64::try_from(value).ok());
                value.ok_or_else(|| Error::corrupt("a sparse piece is not a number"))
            };
            self.pieces.push(Piece { offset: value(&slot[..12])?, length: value(&slot[12..])? });
        }
        Ok(())
    }
}

fn more(flag: u8) -> Result<bool> {
    match flag {
        0 => Ok(false),
        1 | b'1' => Ok(true),
        _ => Err(Error::ambiguous("a sparse file's table may go on or not")),
    }
}

/// GNU's form 1.0: numbers on lines at the beginning of the body, padded to a block.
#[derive(Default)]
pub(super) struct TextMap {
    digits: Vec<u8>,
    count: Option<u64>,
    numbers: Vec<u64>,
}

impl TextMap {
    /// Takes a block; whether the map is complete.
    pub(super) fn extend(&mut self, block: &[u8; BLOCK], limits: &Limits) -> Result<bool> {
        for (at, &byte) in block.iter().enumerate() {
            if byte != b'\n' {
                self.digits.push(byte);
                if self.digits.len() > 20 {
                    return Err(Error::corrupt("a sparse map has no numbers"));
                }
                continue;
            }
            let number = super::pax::decimal(&self.digits, "a sparse map")?;
            self.digits.clear();
            match self.count {
                None if number > limits.sparse_pieces as u64 => {
                    let limit = limits.sparse_pieces;
                    return Err(Error::limit("a sparse file has too many pieces", limit));
                }
                None => self.count = Some(number),
                Some(_) => self.numbers.push(number),
            }
            if self.count.is_some_and(|count| self.numbers.len() as u64 == 2 * count) {
                let padding = until_nul(&block[at + 1..]);
                return match padding.is_empty() {
                    true => Ok(true),
                    false => Err(Error::corrupt("bytes behind a sparse map")),
                };
            }
        }
        Ok(false)
    }

    pub(super) fn pieces(self) -> Vec<Piece> {
        let piece = |&[offset, length]: &[u64; 2]| Piece { offset, length };
        self.numbers.as_chunks::<2>().0.iter().map(piece).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(offset: u64, length: u64) -> Piece {
        Piece { offset, length }
    }

    #[test]
    fn pieces_are_in_order_in_the_file_and_stored() {
        assert_eq!(check(vec![piece(0, 2), piece(5, 1), piece(9, 0)], 9, 3).unwrap().len(), 2);
        assert!(check(vec![piece(0, 2), piece(1, 1)], 9, 3).is_err());
        assert!(check(vec![piece(5, 1), piece(0, 2)], 9, 3).is_err());
        assert!(check(vec![piece(8, 2)], 9, 2).is_err());
        assert!(check(vec![piece(u64::MAX, 2)], 9, 2).is_err());
        assert!(check(vec![piece(0, 2)], 9, 3).is_err());
    }

    #[test]
    fn text_maps_end_in_their_block() {
        let map = |text: &[u8]| {
            let mut block = [0; BLOCK];
            block[..text.len()].copy_from_slice(text);
            let mut map = TextMap::default();
            map.extend(&block, &Limits::default()).map(|done| (done, map.pieces()))
        };
        assert_eq!(map(b"1\n0\n5\n").unwrap(), (true, vec![piece(0, 5)]));
        assert_eq!(map(b"0\n").unwrap(), (true, vec![]));
        assert!(map(b"1\n0\n5\nx").is_err());
        assert!(map(b"x\n").is_err());
        assert!(map(b"99999999\n").is_err());
    }
}
