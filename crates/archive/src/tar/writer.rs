//! Entry after entry to a stream, in one canonical form.
//!
//! A header is POSIX's. A PAX header comes before it only where a field does not fit, and says
//! nothing else; so the same entries are the same bytes everywhere.

use super::entry::{Entry, What, Xattr};
use super::header::BLOCK;
use super::tap::Tap;
use crate::error::{Error, Result};

/// Writes an archive to what listens.
#[derive(Debug)]
pub struct Writer<T> {
    sink: T,
    left: u64,
    padding: usize,
    offset: u64,
    entries: u64,
}

/// The largest numbers of 7 and 11 octal digits.
const ID_LIMIT: u64 = 0o7777777;
const SIZE_LIMIT: u64 = 0o77777777777;

impl<T: Tap> Writer<T> {
    /// Writes to `sink`.
    pub fn new(sink: T) -> Self {
        Self { sink, left: 0, padding: 0, offset: 0, entries: 0 }
    }

    /// Begins an entry. A file's contents follow with [`Self::data`]. Its name, number and offset
    /// are made here; the path counts.
    pub fn entry(&mut self, entry: &Entry) -> Result<()> {
        self.pad()?;
        let result = self.headers(entry);
        result.map_err(|e| e.at(entry.path.as_bytes()))?;
        let size = stored(entry);
        let name = name_of(entry);
        let (number, offset) = (self.entries, self.offset);
        self.sink.entry(&Entry { name, number, offset, ..entry.clone() })?;
        self.entries += 1;
        self.left = size;
        self.padding = (size.next_multiple_of(BLOCK as u64) - size) as usize;
        Ok(())
    }

    /// Contents of the last entry: as many bytes as it said, in any number of calls.
    pub fn data(&mut self, bytes: &[u8]) -> Result<()> {
        let length = bytes.len() as u64;
        self.left = match self.left.checked_sub(length) {
            Some(left) => left,
            None => return Err(Error::corrupt("more contents than the entry says")),
        };
        self.offset += length;
        self.sink.data(bytes)
    }

    /// Writes the end; returns what listened.
    pub fn finish(mut self) -> Result<T> {
        self.pad()?;
        self.raw(&[0; 2 * BLOCK])?;
        Ok(self.sink)
    }

    fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.offset += bytes.len() as u64;
        self.sink.raw(bytes)
    }

    fn pad(&mut self) -> Result<()> {
        if self.left > 0 {
            return Err(Error::corrupt("fewer contents than the entry says"));
        }
        match std::mem::take(&mut self.padding) {
            0 => Ok(()),
            length => self.raw(&[0; BLOCK][..length]),
        }
    }

    fn headers(&mut self, entry: &Entry) -> Result<()> {
        let name = name_of(entry);
        let mut records = Vec::new();
        let mut block = [0; BLOCK];
        let mut foreign = false;
        let link = match &entry.what {
            What::Symlink(target) => target.as_slice(),
            What::Hardlink(target) => target.as_bytes(),
            _ => b"",
        };
        if !put_name(&mut block, &name) {
            foreign |= std::str::from_utf8(&name).is_err();
            record(&mut records, b"path", &name);
        }
        if link.len() > 100 {
            foreign |= std::str::from_utf8(link).is_err();
            record(&mut records, b"linkpath", link);
        }
        block[157..157 + link.len().min(100)].copy_from_slice(&link[..link.len().min(100)]);
        octal(&mut block[100..108], u64::from(entry.mode & 0o7777));
        for (id, key, at) in [(entry.uid, &b"uid"[..], 108), (entry.gid, b"gid", 116)] {
            fitting(&mut block[at..at + 8], u64::from(id), ID_LIMIT, key, &mut records);
        }
        fitting(&mut block[124..136], stored(entry), SIZE_LIMIT, b"size", &mut records);
        put_time(&mut block, entry, &mut records);
        block[156] = kind(entry)?;
        block[257..265].copy_from_slice(b"ustar\x0000");
        if let What::Character(major, minor) | What::Block(major, minor) = entry.what {
            octal(&mut block[329..337], u64::from(major));
            octal(&mut block[337..345], u64::from(minor));
        }
        put_xattrs(&entry.xattrs, &mut records)?;
        if foreign {
            let mut all = Vec::new();
            record(&mut all, b"hdrcharset", b"BINARY");
            all.append(&mut records);
            records = all;
        }
        if !records.is_empty() {
            self.pax(entry, &records)?;
        }
        seal(&mut block);
        self.raw(&block)
    }

    fn pax(&mut self, entry: &Entry, records: &[u8]) -> Result<()> {
        let base = entry.path.split().map_or(&b"root"[..], |(_, name)| name);
        let name = [b"PaxHeaders/", base].concat();
        let mut block = [0; BLOCK];
        let length = name.len().min(100);
        block[..length].copy_from_slice(&name[..length]);
        octal(&mut block[100..108], 0o644);
        for range in [108..116, 116..124] {
            octal(&mut block[range], 0);
        }
        octal(&mut block[124..136], records.len() as u64);
        octal(&mut block[136..148], 0);
        block[156] = b'x';
        block[257..265].copy_from_slice(b"ustar\x0000");
        seal(&mut block);
        self.raw(&block)?;
        self.raw(records)?;
        let padding = records.len().next_multiple_of(BLOCK) - records.len();
        self.raw(&[0; BLOCK][..padding])
    }
}

fn stored(entry: &Entry) -> u64 {
    match entry.what {
        // Holes are written as zeros.
        What::File { size, .. } => size,
        _ => 0,
    }
}

fn name_of(entry: &Entry) -> Vec<u8> {
    match (&entry.what, entry.path.as_bytes()) {
        (What::Directory, b"") => b"./".to_vec(),
        (What::Directory, path) => [path, b"/"].concat(),
        (_, path) => path.to_vec(),
    }
}

fn kind(entry: &Entry) -> Result<u8> {
    Ok(match entry.what {
        What::File { sparse: Some(_), .. } => {
            return Err(Error::unsupported("writing a sparse file with its map"));
        }
        What::File { .. } => b'0',
        What::Hardlink(_) => b'1',
        What::Symlink(_) => b'2',
        What::Character(..) => b'3',
        What::Block(..) => b'4',
        What::Directory => b'5',
        What::Fifo => b'6',
    })
}

/// Name, or prefix and name; otherwise the last part of it, which PAX overrides.
fn put_name(block: &mut [u8; BLOCK], name: &[u8]) -> bool {
    if name.len() <= 100 {
        block[..name.len()].copy_from_slice(name);
        return true;
    }
    // The first slash that leaves a short enough name; one at the end separates nothing.
    let first = name.len() - 101;
    let slash = name[first..name.len() - 1].iter().position(|&byte| byte == b'/');
    match slash.map(|at| first + at).filter(|at| (1..=155).contains(at)) {
        Some(at) => {
            block[345..345 + at].copy_from_slice(&name[..at]);
            block[..name.len() - at - 1].copy_from_slice(&name[at + 1..]);
            true
        }
        None => {
            let start = name.len() - 100;
            block[..100].copy_from_slice(&name[start..]);
            false
        }
    }
}

fn put_time(block: &mut [u8; BLOCK], entry: &Entry, records: &mut Vec<u8>) {
    let time = entry.mtime;
    let plain = u64::try_from(time.seconds).ok().filter(|&seconds| seconds <= SIZE_LIMIT);
    octal(&mut block[136..148], plain.unwrap_or(0));
    if plain.is_some() && time.nanos == 0 {
        return;
    }
    let (sign, seconds, nanos) = match (time.seconds < 0, time.nanos) {
        (true, 0) => ("-", time.seconds.unsigned_abs(), 0),
        (true, nanos) => ("-", (time.seconds + 1).unsigned_abs(), 1_000_000_000 - nanos),
        (false, nanos) => ("", time.seconds.unsigned_abs(), nanos),
    };
    let text = match nanos {
        0 => format!("{sign}{seconds}"),
        _ => format!("{sign}{seconds}.{nanos:09}").trim_end_matches('0').to_string(),
    };
    record(records, b"mtime", text.as_bytes());
}

fn put_xattrs(xattrs: &[Xattr], records: &mut Vec<u8>) -> Result<()> {
    let mut sorted: Vec<&Xattr> = xattrs.iter().collect();
    sorted.sort();
    for xattr in sorted {
        if xattr.name.iter().any(|byte| matches!(byte, b'=' | 0)) {
            let name = xattr.name.escape_ascii();
            return Err(Error::unsupported(format!("PAX cannot name the attribute \"{name}\"")));
        }
        record(records, &[b"SCHILY.xattr.", xattr.name.as_slice()].concat(), &xattr.value);
    }
    match records.len() > crate::limits::PAX_BYTES {
        true => Err(Error::limit("its attributes are too large", crate::limits::PAX_BYTES)),
        false => Ok(()),
    }
}

fn fitting(field: &mut [u8], value: u64, limit: u64, key: &[u8], records: &mut Vec<u8>) {
    match value <= limit {
        true => octal(field, value),
        false => {
            octal(field, 0);
            record(records, key, value.to_string().as_bytes());
        }
    }
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(format!("{length} ").as_bytes());
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

fn octal(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    field[..digits].copy_from_slice(format!("{value:0digits$o}").as_bytes());
}

fn seal(block: &mut [u8; BLOCK]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::TreePath;
    use crate::tar::{Bytes, Reader};
    use sys::time::Time;

    fn entry(name: &[u8], what: What) -> Entry {
        let path = TreePath::parse(name, 300).unwrap();
        let (mode, uid, gid) = (0o4755, 0, 0);
        let mtime = Time::default();
        let (xattrs, number, offset) = (Vec::new(), 0, 0);
        Entry { name: Vec::new(), path, what, mode, uid, gid, mtime, xattrs, number, offset }
    }

    fn written(entries: &[Entry]) -> Vec<u8> {
        let mut writer = Writer::new(Bytes::new(Vec::new()));
        for entry in entries {
            writer.entry(entry).unwrap();
            if let What::File { size, .. } = entry.what {
                writer.data(&vec![b'x'; size as usize]).unwrap();
            }
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn what_is_written_is_read() {
        let file = |size| What::File { size, stored: size, sparse: None };
        let mut all = vec![
            entry(b"a", file(700)),
            entry(b"d", What::Directory),
            entry(b"d/l", What::Symlink(vec![b't'; 300])),
            entry(b"d/h", What::Hardlink(TreePath::parse(b"a", 9).unwrap())),
            entry(b"c", What::Character(4095, 1048575)),
            entry(b"b", What::Block(8, 1)),
            entry(b"p", What::Fifo),
            entry(&b"name/".repeat(30), file(0)),
            entry(&b"name/".repeat(60), What::Directory),
            entry(&[b'n'; 200], file(1)),
            entry(&[0xff; 120], file(1)),
        ];
        all[0].uid = 3_000_000_000;
        all[0].gid = 0o7777777;
        all[1].mtime = Time { seconds: -2, nanos: 500_000_000 };
        all[2].mtime = Time { seconds: 1, nanos: 7 };
        all[3].mtime = Time { seconds: 1 << 40, nanos: 0 };
        all[4].xattrs = vec![
            Xattr { name: b"user.b".to_vec(), value: b"a=\n\0b".to_vec() },
            Xattr { name: b"user.a".to_vec(), value: Vec::new() },
        ];
        let bytes = written(&all);
        let mut reader = Reader::new(&bytes[..], crate::Limits::default());
        for wanted in &mut all {
            let mut found = reader.next_entry().unwrap().unwrap();
            wanted.xattrs.sort();
            found.xattrs.sort();
            assert_eq!(found.name, name_of(wanted));
            let Entry { name, number, offset, .. } = found.clone();
            assert_eq!(found, Entry { name, number, offset, ..wanted.clone() });
        }
        assert_eq!(reader.next_entry().unwrap(), None);
    }

    #[test]
    fn bodies_are_skipped_but_have_to_be_there() {
        let file = |size| What::File { size, stored: size, sparse: None };
        let all = [entry(b"a", file(700)), entry(b"b", file(0)), entry(b"c", file(512))];
        let bytes = written(&all);
        let names = |bytes: &[u8]| -> Result<Vec<(Vec<u8>, u64)>> {
            let input = std::io::BufReader::with_capacity(64, std::io::Cursor::new(bytes));
            let mut reader = Reader::new(input, crate::Limits::default());
            let mut names = Vec::new();
            while let Some(entry) = reader.next_entry()? {
                names.push((entry.name, entry.offset));
                reader.skip_body()?;
            }
            assert_eq!(reader.offset(), bytes.len() as u64);
            Ok(names)
        };
        let found = names(&bytes).unwrap();
        assert_eq!(found, [(b"a".into(), 512), (b"b".into(), 2048), (b"c".into(), 2560)]);
        for length in [512, 513, 1211, 1212, 1500, 2561, 3071] {
            assert!(names(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn pax_comes_only_where_it_is_needed() {
        let bytes = written(&[entry(b"a", What::Directory)]);
        assert_eq!(bytes.len(), 3 * BLOCK);
        assert_eq!(&bytes[..3], b"a/\0");
    }

    #[test]
    fn contents_are_as_long_as_they_say() {
        let file = What::File { size: 3, stored: 3, sparse: None };
        let mut writer = Writer::new(());
        writer.entry(&entry(b"a", file)).unwrap();
        writer.data(b"ab").unwrap();
        assert!(writer.data(b"cd").is_err());
        assert!(writer.finish().is_err());
    }
}
