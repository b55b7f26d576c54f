//! POSIX extended headers: records of `LENGTH KEY=VALUE\n`.

use super::entry::Xattr;
use super::sparse::Piece;
use crate::error::{Error, Result};
use crate::limits::{Limits, PATH_BYTES, XATTR_NAME_BYTES, XATTR_VALUE_BYTES, XATTRS};
use sys::time::Time;

/// What one extended header says about the entry behind it.
#[derive(Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<Time>,
    pub(super) xattrs: Vec<Xattr>,
    pub(super) sparse: SparseKeys,
    /// Schilling's second size, which some take for the size and some do not know.
    pub(super) star_size: Option<u64>,
}

/// The three ways in which GNU tar says in PAX that a file is sparse.
#[derive(Debug, Default)]
pub(super) struct SparseKeys {
    pub(super) name: Option<Vec<u8>>,
    pub(super) real_size: Option<u64>,
    pub(super) version: Option<(u64, u64)>,
    /// 0.1's map.
    pub(super) map: Option<Vec<Piece>>,
    /// 0.0's records, and how many pieces it announces.
    pub(super) pieces: Vec<Piece>,
    pub(super) count: Option<u64>,
    open_offset: Option<u64>,
    major: Option<u64>,
    minor: Option<u64>,
}

impl SparseKeys {
    pub(super) fn is_empty(&self) -> bool {
        let Self { name, real_size, map, pieces, count, major, minor, .. } = self;
        name.is_none()
            && real_size.is_none()
            && map.is_none()
            && pieces.is_empty()
            && count.is_none()
            && major.is_none()
            && minor.is_none()
    }
}

/// Calls `f` with each record.
fn records<'a>(bytes: &'a [u8], mut f: impl FnMut(&'a [u8], &'a [u8]) -> Result<()>) -> Result<()> {
    /// Digits of the largest record's length.
    const LENGTH_DIGITS: usize = 8;
    let mut rest = bytes;
    while !rest.is_empty() {
        let blank = rest.iter().take(LENGTH_DIGITS + 1).position(|&byte| byte == b' ');
        let blank = blank.ok_or_else(|| Error::corrupt("a PAX record has no length"))?;
        let length = decimal(&rest[..blank], "a PAX record's length")?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let record = rest
            .get(blank + 1..length)
            .filter(|record| record.last() == Some(&b'\n'))
            .ok_or_else(|| Error::corrupt("a PAX record does not end where it says"))?;
        let equals = record.iter().position(|&byte| byte == b'=');
        let equals = equals.ok_or_else(|| Error::corrupt("a PAX record has no value"))?;
        f(&record[..equals], &record[equals + 1..record.len() - 1])?;
        rest = &rest[length..];
    }
    Ok(())
}

/// Reads a local header.
pub(super) fn local(bytes: &[u8], limits: &Limits) -> Result<Pax> {
    let mut pax = Pax::default();
    let mut base64 = Vec::new();
    records(bytes, |key, value| pax.take(key, value, &mut base64, limits))?;
    if pax.sparse.open_offset.is_some() {
        return Err(Error::corrupt("a sparse piece has no length"));
    }
    pax.sparse.version = match (pax.sparse.major, pax.sparse.minor) {
        (None, None) => None,
        (Some(major), Some(minor)) => Some((major, minor)),
        _ => return Err(Error::corrupt("half a version of sparse files")),
    };
    // bsdtar writes both forms; the plain one is what everybody else reads.
    for xattr in base64 {
        if !pax.xattrs.iter().any(|known| known.name == xattr.name) {
            pax.push_xattr(xattr)?;
        }
    }
    Ok(pax)
}

/// Checks a global header. Programs disagree about whether its records hold for the entries that
/// follow (GNU tar and Python: yes, Go and bsdtar: no), so that only what changes nothing is taken.
pub(super) fn global(bytes: &[u8]) -> Result<()> {
    records(bytes, |key, _| match key {
        b"comment" | b"charset" | b"uname" | b"gname" | b"atime" | b"ctime" => Ok(()),
        b"path" | b"linkpath" | b"size" | b"uid" | b"gid" | b"mtime" | b"hdrcharset" => {
            Err(global_refusal(key))
        }
        _ if [&b"GNU."[..], b"SCHILY.", b"LIBARCHIVE."].iter().any(|p| key.starts_with(p)) => {
            Err(global_refusal(key))
        }
        _ => Ok(()),
    })
}

fn global_refusal(key: &[u8]) -> Error {
    let key = key.escape_ascii();
    Error::ambiguous(format!("a global PAX header sets {key}, which programs read differently"))
}

impl Pax {
    fn take(
        &mut self,
        key: &[u8],
        value: &[u8],
        base64: &mut Vec<Xattr>,
        limits: &Limits,
    ) -> Result<()> {
        if key.contains(&0) {
            return Err(Error::ambiguous("the key of a PAX record contains a NUL"));
        }
        match key {
            b"path" => self.path = Some(name(key, value)?),
            b"linkpath" => self.link = Some(name(key, value)?),
            b"size" => self.size = Some(decimal(value, "size")?),
            // An empty value takes back what a global header said; there is nothing to take back.
            b"uid" | b"gid" | b"mtime" if value.is_empty() => {}
            b"uid" => self.uid = Some(id(value, "uid")?),
            b"gid" => self.gid = Some(id(value, "gid")?),
            b"mtime" => self.mtime = Some(time(value)?),
            b"hdrcharset" => match value {
                // Names are bytes here; only a translation would change them.
                b"BINARY" | b"ISO-IR 10646 2000 UTF-8" => {}
                _ => {
                    let set = value.escape_ascii();
                    return Err(Error::unsupported(format!("names in the character set {set}")));
                }
            },
            b"SCHILY.realsize" => self.star_size = Some(decimal(value, "SCHILY.realsize")?),
            b"SCHILY.acl.access" => self.push_acl(b"system.posix_acl_access", value)?,
            b"SCHILY.acl.default" => self.push_acl(b"system.posix_acl_default", value)?,
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.push_xattr(Xattr { name: name.to_vec(), value: value.to_vec() })?;
                } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
                    base64.push(super::base64::xattr(name, value)?);
                    if base64.len() > XATTRS {
                        return Err(Error::limit("too many extended attributes", XATTRS));
                    }
                } else if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.take(key, value, limits)?;
                }
            }
        }
        Ok(())
    }

    fn push_acl(&mut self, name: &[u8], value: &[u8]) -> Result<()> {
        let value = crate::acl::from_text(value)?;
        self.push_xattr(Xattr { name: name.to_vec(), value })
    }

    fn push_xattr(&mut self, xattr: Xattr) -> Result<()> {
        if xattr.name.is_empty() || xattr.name.len() > XATTR_NAME_BYTES {
            return Err(Error::limit("an extended attribute's name is too long", XATTR_NAME_BYTES));
        }
        if xattr.value.len() > XATTR_VALUE_BYTES {
            return Err(Error::limit("an extended attribute is too large", XATTR_VALUE_BYTES));
        }
        // The last of several holds, as in Go and Python.
        self.xattrs.retain(|known| known.name != xattr.name);
        self.xattrs.push(xattr);
        match self.xattrs.len() > XATTRS {
            true => Err(Error::limit("too many extended attributes", XATTRS)),
            false => Ok(()),
        }
    }
}

impl SparseKeys {
    fn take(&mut self, key: &[u8], value: &[u8], limits: &Limits) -> Result<()> {
        let number = || decimal(value, "a sparse record");
        if matches!(key, b"offset" | b"numbytes" | b"map") && self.count.is_none() {
            // GNU tar makes room for the map first.
            return Err(Error::ambiguous("a sparse map before its number of pieces"));
        }
        match key {
            b"name" => self.name = Some(name(b"GNU.sparse.name", value)?),
            b"size" | b"realsize" => {
                let size = number()?;
                if self.real_size.is_some_and(|known| known != size) {
                    return Err(Error::ambiguous("a sparse file has two sizes"));
                }
                self.real_size = Some(size);
            }
            b"major" => self.major = Some(number()?),
            b"minor" => self.minor = Some(number()?),
            b"numblocks" => self.count = Some(number()?),
            b"offset" => match self.open_offset.replace(number()?) {
                None => {}
                Some(_) => return Err(Error::corrupt("a sparse piece has no length")),
            },
            b"numbytes" => {
                let offset = self.open_offset.take();
                let offset =
                    offset.ok_or_else(|| Error::corrupt("a sparse piece has no offset"))?;
                self.pieces.push(Piece { offset, length: number()? });
                check_count(self.pieces.len(), limits)?;
            }
            b"map" => {
                let mut numbers = Vec::new();
                for part in value.split(|&byte| byte == b',') {
                    numbers.push(decimal(part, "a sparse map")?);
                    check_count(numbers.len() / 2, limits)?;
                }
                let (pairs, rest) = numbers.as_chunks::<2>();
                if !rest.is_empty() {
                    return Err(Error::corrupt("a sparse map has half a piece"));
                }
                let piece = |&[offset, length]: &[u64; 2]| Piece { offset, length };
                self.map = Some(pairs.iter().map(piece).collect());
            }
            _ => {}
        }
        Ok(())
    }
}

fn check_count(pieces: usize, limits: &Limits) -> Result<()> {
    match pieces > limits.sparse_pieces {
        true => Err(Error::limit("a sparse file has too many pieces", limits.sparse_pieces)),
        false => Ok(()),
    }
}

fn name(key: &[u8], value: &[u8]) -> Result<Vec<u8>> {
    let key = key.escape_ascii();
    if value.is_empty() {
        return Err(Error::ambiguous(format!("PAX {key} is empty")));
    }
    if value.contains(&0) {
        return Err(Error::ambiguous(format!("PAX {key} contains a NUL")));
    }
    if value.len() > PATH_BYTES {
        return Err(Error::limit(&format!("PAX {key} is too long"), PATH_BYTES));
    }
    Ok(value.to_vec())
}

/// Digits and nothing else; at most `i64::MAX`, as the kernel's sizes are.
pub(super) fn decimal(text: &[u8], what: &str) -> Result<u64> {
    let fine = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(text).ok().filter(|_| fine).and_then(|text| text.parse().ok());
    number.filter(|&number: &u64| i64::try_from(number).is_ok()).ok_or_else(|| {
        let shown = text[..text.len().min(32)].escape_ascii();
        Error::corrupt(format!("{what} \"{shown}\" is not a number"))
    })
}

fn id(text: &[u8], what: &str) -> Result<u32> {
    super::header::id_of(decimal(text, what)? as i64, what)
}

/// `-1.5` is half a second before 1969-12-31T23:59:59.
fn time(text: &[u8]) -> Result<Time> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let mut parts = digits.splitn(2, |&byte| byte == b'.');
    let seconds = decimal(parts.next().unwrap_or(b""), "mtime")? as i64;
    let fraction = parts.next().unwrap_or(b"");
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(Error::corrupt("mtime is not a number"));
    }
    let digit = |at: usize| i64::from(fraction.get(at).map_or(0, |digit| digit - b'0'));
    let nanos = (0..9).fold(0, |nanos, at| nanos * 10 + digit(at));
    Ok(match (negative, nanos) {
        (false, _) => Time { seconds, nanos },
        (true, 0) => Time { seconds: -seconds, nanos: 0 },
        (true, _) => Time { seconds: -seconds - 1, nanos: 1_000_000_000 - nanos },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, value: &str) -> String {
        let body = format!(" {key}={value}\n");
        let length = (1..4)
            .map(|digits| body.len() + digits)
            .find(|n| n.to_string().len() + body.len() == *n);
        format!("{}{body}", length.unwrap())
    }

    fn read(records: &[(&str, &str)]) -> Result<Pax> {
        let text: String = records.iter().map(|(key, value)| record(key, value)).collect();
        local(text.as_bytes(), &Limits::default())
    }

    #[test]
    fn times_have_nanoseconds_and_signs() {
        let check = |text: &str, seconds, nanos| {
            assert_eq!(time(text.as_bytes()), Ok(Time { seconds, nanos }), "{text}");
        };
        check("1350244992.02396", 1350244992, 23960000);
        check("0", 0, 0);
        check("5.", 5, 0);
        check("1.9999999999", 1, 999999999);
        check("-1", -1, 0);
        check("-1.5", -2, 500000000);
        check("-0.000000001", -1, 999999999);
        for bad in ["", "-", ".5", "1e3", " 1", "+1", "1.-5", "99999999999999999999"] {
            assert!(time(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn records_are_read_whole_or_not_at_all() {
        let pax = read(&[("path", "a=b"), ("size", "7"), ("SCHILY.xattr.user.x=y", "v")]).unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"a=b"[..]));
        assert_eq!(pax.size, Some(7));
        // The first "=" ends the key, as everywhere.
        assert_eq!(
            (&pax.xattrs[0].name[..], &pax.xattrs[0].value[..]),
            (&b"user.x"[..], &b"y=v"[..])
        );
        for bad in [
            "9 path=a",
            "9 path=a\n\n",
            "8 path=a\n",
            "5 path=a\n",
            "x path=a\n",
            " path=a\n",
            "9  path=a\n",
            "99999999999999999999 path=a\n",
            "7 path\n",
            "+9 path=a\n",
            "\0",
        ] {
            assert!(local(bad.as_bytes(), &Limits::default()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_programs_read_differently_is_refused() {
        for bad in [
            ("path", ""),
            ("path", "a\0b"),
            ("linkpath", ""),
            ("size", "0x10"),
            ("size", " 1"),
            ("size", "1_0"),
            ("size", "-1"),
            ("size", ""),
            ("uid", "4294967295"),
            ("gid", "-1"),
            ("hdrcharset", "EBCDIC"),
        ] {
            assert!(read(&[bad]).is_err(), "{bad:?}");
        }
        assert!(read(&[("GNU.sparse.offset", "1")]).is_err());
        assert!(read(&[("GNU.sparse.numbytes", "1")]).is_err());
        assert!(read(&[("GNU.sparse.map", "1,2,3")]).is_err());
        assert!(read(&[("GNU.sparse.major", "1")]).is_err());
        assert!(global(record("comment", "abc").as_bytes()).is_ok());
        assert!(global(record("path", "abc").as_bytes()).is_err());
        assert!(global(record("SCHILY.xattr.user.x", "abc").as_bytes()).is_err());
    }
}
