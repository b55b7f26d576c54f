//! An entry's headers as Go's reader of archives sees them. What it may see in another way is refused.

use std::collections::BTreeMap;

const BLOCK: usize = 512;
const XATTR: &str = "SCHILY.xattr.";
/// The last second of the year 9999.
const LATEST_S: u64 = 253_402_300_799;
const FRACTION_DIGITS: usize = 9;

#[derive(Debug, Default, PartialEq)]
pub(super) struct Header {
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) link: String,
    pub(super) mode: u64,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) size: u64,
    pub(super) mtime: String,
    pub(super) atime: String,
    pub(super) ctime: String,
    pub(super) major: u64,
    pub(super) minor: u64,
    pub(super) xattrs: BTreeMap<String, Vec<u8>>,
}

/// What a call refuses, in the user's words.
type Refused<T> = Result<T, String>;

impl Header {
    /// Reads all headers of one entry.
    pub(super) fn read(mut blocks: &[u8]) -> Refused<Self> {
        let (mut records, mut name, mut link) = (BTreeMap::new(), None, None);
        loop {
            let (block, rest) = blocks.split_at_checked(BLOCK).ok_or("it has a header less")?;
            let size = usize::try_from(number(&block[124..136])?).map_err(|e| e.to_string())?;
            let whole = size.next_multiple_of(BLOCK);
            let body = |rest| -> Refused<(Vec<u8>, &[u8])> {
                let (body, rest) = <[u8]>::split_at_checked(rest, whole).ok_or("it is cut off")?;
                Ok((body[..size].to_vec(), rest))
            };
            match block[156] {
                b'x' if records.is_empty() => {
                    let (body, rest) = body(rest)?;
                    records = pax(&body)?;
                    blocks = rest;
                }
                b'L' if name.is_none() => {
                    let (body, rest) = body(rest)?;
                    (name, blocks) = (Some(text(&body)?), rest);
                }
                b'K' if link.is_none() => {
                    let (body, rest) = body(rest)?;
                    (link, blocks) = (Some(text(&body)?), rest);
                }
                _ if rest.is_empty() => {
                    let mut header = Self::of_block(block)?;
                    header.merge(records)?;
                    header.name = name.unwrap_or(header.name);
                    header.link = link.unwrap_or(header.link);
                    return header.checked(block[156]);
                }
                _ => return Err("it has headers for all files".into()),
            }
        }
    }

    fn of_block(block: &[u8]) -> Refused<Self> {
        let is_posix = &block[257..265] == b"ustar\x0000" && &block[508..512] != b"tar\0";
        // GNU's header has two more times there.
        let is_gnu = &block[257..265] == b"ustar  \0" && block[345] == 0 && block[357] == 0;
        if !is_posix && !is_gnu {
            return Err("it has headers that are neither POSIX's nor GNU's".into());
        }
        let prefix = if is_posix { text(&block[345..500])? } else { String::new() };
        let name = text(&block[..100])?;
        Ok(Self {
            name: if prefix.is_empty() { name } else { format!("{prefix}/{name}") },
            link: text(&block[157..257])?,
            mode: number(&block[100..108])?,
            uid: number(&block[108..116])?,
            gid: number(&block[116..124])?,
            size: number(&block[124..136])?,
            mtime: time(number(&block[136..148])?, "")?,
            major: number(&block[329..337])?,
            minor: number(&block[337..345])?,
            ..Self::default()
        })
    }

    /// What the extended header says goes before.
    fn merge(&mut self, records: BTreeMap<String, Vec<u8>>) -> Refused<()> {
        for (key, value) in records {
            if let Some(name) = key.strip_prefix(XATTR) {
                self.xattrs.insert(name.to_owned(), value);
                continue;
            }
            // An empty value takes away what was said for all files.
            if key.starts_with("GNU.sparse.") || value.is_empty() {
                return Err(format!("it says {key}"));
            }
            let value = String::from_utf8(value).map_err(|_| format!("it says {key} in bytes"))?;
            let whole = || value.parse::<u64>().map_err(|_| format!("it says {key}={value}"));
            match key.as_str() {
                "path" => self.name = value,
                "linkpath" => self.link = value,
                "uid" => self.uid = whole()?,
                "gid" => self.gid = whole()?,
                "size" => self.size = whole()?,
                "mtime" => self.mtime = pax_time(&value)?,
                "atime" => self.atime = pax_time(&value)?,
                "ctime" => self.ctime = pax_time(&value)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn checked(self, kind: u8) -> Refused<Self> {
        let kind = match kind {
            b'0' => "reg",
            b'1' => "hardlink",
            b'2' => "symlink",
            b'3' => "char",
            b'4' => "block",
            b'5' => "dir",
            b'6' => "fifo",
            other => return Err(format!("it has entries of the type `{}`", other.escape_ascii())),
        };
        if kind != "reg" && self.size > 0 {
            return Err("it has a size where there are no contents".into());
        }
        Ok(Self { kind, ..self })
    }
}

/// A field up to its NUL.
fn text(field: &[u8]) -> Refused<String> {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    String::from_utf8(field[..end].to_vec()).map_err(|_| "it has names that are no UTF-8".into())
}

/// An octal number, or GNU's binary one.
fn number(field: &[u8]) -> Refused<u64> {
    let strange = || format!("it has the number `{}`", field.escape_ascii());
    if field.first().is_some_and(|first| first & 0x80 != 0) {
        // The second bit is the sign. Twelve bytes at most.
        let sum = field.iter().fold(0u128, |sum, byte| sum << 8 | u128::from(*byte));
        let value = sum & !(1 << (8 * field.len() - 1));
        return u64::try_from(value).ok().filter(|it| *it <= i64::MAX as u64).ok_or_else(strange);
    }
    let is_blank = |byte: &u8| *byte == b' ' || *byte == 0;
    let begin = field.iter().position(|byte| !is_blank(byte)).unwrap_or(field.len());
    let end = field.iter().rposition(|byte| !is_blank(byte)).map_or(begin, |last| last + 1);
    field[begin..end].iter().try_fold(0u64, |sum, byte| match byte {
        b'0'..=b'7' => Ok(sum << 3 | u64::from(byte - b'0')),
        _ => Err(strange()),
    })
}

fn time(seconds: u64, fraction: &str) -> Refused<String> {
    let seconds = i64::try_from(seconds.min(LATEST_S + 1)).unwrap_or(i64::MAX);
    if seconds > LATEST_S as i64 {
        return Err("it has times behind the year 9999".into());
    }
    let whole = crate::time::rfc3339(seconds);
    Ok(match fraction.trim_end_matches('0') {
        "" => whole,
        fraction => format!("{}.{fraction}Z", whole.trim_end_matches('Z')),
    })
}

fn pax_time(value: &str) -> Refused<String> {
    let (seconds, fraction) = value.split_once('.').unwrap_or((value, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    match seconds.parse() {
        Ok(seconds) if is_digits(fraction) => {
            time(seconds, &fraction[..fraction.len().min(FRACTION_DIGITS)])
        }
        _ => Err(format!("it has the time {value}")),
    }
}

/// `LENGTH KEY=VALUE\n`, one after the other.
fn pax(mut body: &[u8]) -> Refused<BTreeMap<String, Vec<u8>>> {
    let broken = || "it has an extended header that is broken".to_owned();
    let mut records = BTreeMap::new();
    while !body.is_empty() {
        let blank = body.iter().position(|&byte| byte == b' ').ok_or_else(broken)?;
        let length = std::str::from_utf8(&body[..blank]).ok().and_then(|text| text.parse().ok());
        let (record, rest) = length
            .filter(|length| *length > blank + 1)
            .and_then(|length| body.split_at_checked(length))
            .ok_or_else(broken)?;
        let record = record[blank + 1..].strip_suffix(b"\n").ok_or_else(broken)?;
        let equals = record.iter().position(|&byte| byte == b'=').ok_or_else(broken)?;
        let key = String::from_utf8(record[..equals].to_vec()).map_err(|_| broken())?;
        let is_new = records.insert(key, record[equals + 1..].to_vec()).is_none();
        if !is_new {
            return Err("it says something twice".into());
        }
        body = rest;
    }
    Ok(records)
}
