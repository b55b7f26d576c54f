//! One block of 512 bytes: fields, numbers, checksum.

use crate::error::{Error, Result};

/// Everything in a tar file is a multiple of this.
pub const BLOCK: usize = 512;

/// Which tradition a header follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// No magic.
    V7,
    /// `ustar` and `00`: POSIX.
    Ustar,
    /// `ustar` and two blanks.
    Gnu,
    /// POSIX's magic, and `tar` at the end: Schilling's, whose prefix is shorter.
    Star,
}

/// A block whose checksum is right.
pub(super) struct Header<'a>(pub(super) &'a [u8; BLOCK]);

const CHECKSUM: std::ops::Range<usize> = 148..156;

impl<'a> Header<'a> {
    pub(super) fn new(block: &'a [u8; BLOCK]) -> Result<Self> {
        let wanted = number(&block[CHECKSUM])
            .map_err(|_| Error::corrupt("a header's checksum is not a number"))?;
        // Old programs summed signed bytes. Both sums are accepted everywhere.
        let plain = |range: std::ops::Range<usize>| {
            block[range].iter().map(|&byte| i64::from(byte)).sum::<i64>()
        };
        let unsigned = plain(0..CHECKSUM.start) + plain(CHECKSUM.end..BLOCK) + 8 * 32;
        if wanted != Some(unsigned) {
            let high: i64 = block.iter().filter(|&&byte| byte >= 0x80).count() as i64;
            let high_in_sum: i64 =
                block[CHECKSUM].iter().filter(|&&byte| byte >= 0x80).count() as i64;
            if wanted != Some(unsigned - 256 * (high - high_in_sum)) {
                return Err(Error::corrupt("a header's checksum is wrong"));
            }
        }
        let header = Self(block);
        // Each program looks at some of the numbers and stops at one that is none.
        header.size()?;
        for range in [100..108, 108..116, 116..124, 136..148, 329..337, 337..345] {
            number(&block[range]).map_err(|e| e.at(until_nul(&block[..100])))?;
        }
        if header.format() == Format::Star {
            // The times of last access and of change.
            number(&block[476..488]).and(number(&block[488..500]))?;
        }
        // bsdtar takes it for the size whatever the type is.
        if header.format() == Format::Gnu && header.kind() != b'S' && block[483] != 0 {
            let error = Error::ambiguous("the size of a sparse file, and it is none");
            return Err(error.at(until_nul(&block[..100])));
        }
        Ok(header)
    }

    pub(super) fn format(&self) -> Format {
        match (&self.0[257..263], &self.0[263..265]) {
            (b"ustar\0", _) if &self.0[508..512] == b"tar\0" => Format::Star,
            (b"ustar\0", _) => Format::Ustar,
            (b"ustar ", b" \0") => Format::Gnu,
            _ => Format::V7,
        }
    }

    pub(super) fn kind(&self) -> u8 {
        self.0[156]
    }

    /// Prefix and name, joined.
    pub(super) fn name(&self) -> Result<Vec<u8>> {
        let name = until_nul(&self.0[..100]);
        let prefix = match self.format() {
            Format::Ustar => until_nul(&self.0[345..500]),
            Format::Star if self.0[475] != 0 => {
                return Err(Error::ambiguous("a prefix without an end").at(name));
            }
            Format::Star => until_nul(&self.0[345..476]),
            // Python's tarfile takes these bytes for a prefix whatever the magic is.
            Format::V7 if self.0[345] != 0 => {
                return Err(Error::ambiguous("a prefix without a magic number").at(name));
            }
            Format::V7 | Format::Gnu => b"",
        };
        match prefix {
            b"" => Ok(name.to_vec()),
            _ => Ok([prefix, b"/", name].concat()),
        }
    }

    pub(super) fn link(&self) -> &'a [u8] {
        until_nul(&self.0[157..257])
    }

    pub(super) fn mode(&self) -> Result<u32> {
        // Some programs store the file type, too; the type byte is what counts.
        let mode = number(&self.0[100..108]).map_err(|e| field("mode", e))?.unwrap_or(0);
        u32::try_from(mode)
            .map(|mode| mode & 0o7777)
            .map_err(|_| Error::corrupt("its mode is not a mode"))
    }

    pub(super) fn owner(&self) -> Result<(u32, u32)> {
        let id = |range: std::ops::Range<usize>, name: &str| {
            let id = number(&self.0[range]).map_err(|e| field(name, e))?.unwrap_or(0);
            id_of(id, name)
        };
        Ok((id(108..116, "uid")?, id(116..124, "gid")?))
    }

    /// Bytes of the body; also those of types that have none.
    pub(super) fn size(&self) -> Result<u64> {
        let size = number(&self.0[124..136]).map_err(|e| field("size", e))?;
        let size = size.ok_or_else(|| Error::corrupt("its size is blank"))?;
        u64::try_from(size).map_err(|_| Error::corrupt("its size is negative"))
    }

    pub(super) fn mtime(&self) -> Result<i64> {
        Ok(number(&self.0[136..148]).map_err(|e| field("mtime", e))?.unwrap_or(0))
    }

    pub(super) fn device(&self) -> Result<(u32, u32)> {
        /// The kernel's `MINORBITS`, and the bits that it leaves for the major number.
        const MINOR_LIMIT: i64 = 1 << 20;
        const MAJOR_LIMIT: i64 = 1 << 12;
        if self.format() == Format::V7 {
            return Err(Error::ambiguous("a device in a header that has no room for its number"));
        }
        let part = |range: std::ops::Range<usize>, name: &str, limit: i64| {
            let value = number(&self.0[range]).map_err(|e| field(name, e))?.unwrap_or(0);
            match (0..limit).contains(&value) {
                true => Ok(value as u32),
                false => Err(Error::unsupported(format!("no device has {name} {value}"))),
            }
        };
        Ok((
            part(329..337, "major number", MAJOR_LIMIT)?,
            part(337..345, "minor number", MINOR_LIMIT)?,
        ))
    }
}

fn field(name: &str, error: Error) -> Error {
    Error::new(error.kind(), format!("its {name}: {error}"))
}

/// `-1` means "leave it" to the kernel and is nobody's number.
pub(super) fn id_of(value: i64, name: &str) -> Result<u32> {
    match u32::try_from(value) {
        Ok(id) if id != u32::MAX => Ok(id),
        _ => Err(Error::unsupported(format!("its {name} {value} is not one of a user or group"))),
    }
}

/// The bytes before the first NUL.
pub(super) fn until_nul(field: &[u8]) -> &[u8] {
    &field[..field.iter().position(|&byte| byte == 0).unwrap_or(field.len())]
}

/// A number: octal digits between blanks, or GNU's binary form. `None` is a blank field.
///
/// Programs differ in what else they take (signs, underscores, digits behind a NUL); all that is
/// refused.
pub(super) fn number(field: &[u8]) -> Result<Option<i64>> {
    match field[0] {
        0x80 | 0xff => binary(field).map(Some),
        0x81..=0xfe => Err(Error::corrupt("a binary number is too large")),
        _ => octal(field),
    }
}

fn binary(field: &[u8]) -> Result<i64> {
    let negative = field[0] == 0xff;
    let (high, low) = field.split_at(field.len().saturating_sub(8));
    let (low, high) = match high.is_empty() {
        // Eight bytes: the first one is the mark.
        true => ([&[if negative { 0xff } else { 0 }], &low[1..]].concat(), &[][..]),
        false => (low.to_vec(), &high[1..]),
    };
    let fill = if negative { 0xff } else { 0 };
    let value = low.iter().fold(0u64, |value, &byte| value << 8 | u64::from(byte)) as i64;
    if high.iter().any(|&byte| byte != fill) || (value < 0) != negative {
        return Err(Error::corrupt("a binary number is too large"));
    }
    Ok(value)
}

fn octal(field: &[u8]) -> Result<Option<i64>> {
    let text = until_nul(field);
    if field[text.len()..].iter().any(|&byte| byte != 0 && byte != b' ') {
        return Err(Error::ambiguous("a number goes on behind a NUL"));
    }
    let text = &text[text.iter().take_while(|&&byte| byte == b' ').count()..];
    let blanks = text.iter().rev().take_while(|&&byte| byte == b' ').count();
    let text = &text[..text.len() - blanks];
    if text.is_empty() {
        return Ok(None);
    }
    let mut value: i64 = 0;
    for &byte in text {
        if !(b'0'..=b'7').contains(&byte) {
            return Err(Error::corrupt(format!(
                "{:?} is not octal",
                text.escape_ascii().to_string()
            )));
        }
        // At most 12 digits: 36 bits.
        value = value << 3 | i64::from(byte - b'0');
    }
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_binary() {
        let check = |field: &[u8], value: Option<i64>| assert_eq!(number(field), Ok(value));
        check(b"0000644\0", Some(0o644));
        check(b"   644 \0", Some(0o644));
        check(b"77777777", Some(0o77777777));
        check(b"644 \0\0 \0", Some(0o644));
        check(b"\0\0\0\0\0\0\0\0", None);
        check(b"        ", None);
        check(b"\x80\0\0\0\0\0\x01\0", Some(256));
        check(b"\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1));
        check(b"\x80\0\0\0\0\0\0\0\0\0\x02\0", Some(512));
        check(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2));
        check(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", Some(i64::MAX));
    }

    #[test]
    fn what_programs_read_differently_is_no_number() {
        for field in [
            &b"00_0644\0"[..],
            b"-000644\0",
            b"+000644\0",
            b"0o644\0\0\0",
            b"0000689\0",
            b"000644\n\0",
            b"12 34\0\0\0",
            b"\x00000644\0",
            b"644\0junk",
            b"\x80\0\0\0\x80\0\0\0\0\0\0\0",
            b"\x81\0\0\0\0\0\0\0",
            b"\xff\0\0\0\0\0\0\0\0\0\0\0",
            b"\x80\0\0\x01\0\0\0\0\0\0\0\0",
        ] {
            assert!(number(field).is_err(), "{field:?}");
        }
    }
}
