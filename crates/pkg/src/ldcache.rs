//! `/etc/ld.so.cache`: read from the host, written for the container.
//!
//! glibc's loader finds most libraries through this file and never reads `/etc/ld.so.conf`. So the
//! host's cache, where it is well-formed, is what decides here: a directory in `ld.so.conf` for
//! which `ldconfig` was not run is not searched by the host's programs either, and must not win
//! over the library that they load. It is data of the host's administrator, but it is parsed like
//! any other: each offset is checked, and one that is not a cache is as good as none.
//!
//! The container gets a cache of its own, of the libraries in the closure only, for two reasons.
//! Without one its loader would not find what lies in `/usr/local/lib` or any other directory that
//! is not compiled in. And each library costs the loader one `open` instead of one per default
//! directory and CPU level.
//!
//! Format (glibc `sysdeps/generic/dl-cache.h`, version 1.1; all little-endian): a header of 48
//! bytes, entries of 24, strings; offsets count from the start. Entries are in descending order of
//! [`compare`], because the loader searches by halves. Libraries for a CPU level are marked in
//! `hwcap` and refer to the level's name through an extension (glibc 2.33); older loaders skip
//! them. A cache may start with a table of the format of before 2.2, which is skipped.

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Bytes of a cache that are read. A full desktop's has 300 KiB.
pub(crate) const MAX_BYTES: u64 = 16 << 20;

const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const OLD_MAGIC: &[u8] = b"ld.so-1.7.0";
const HEADER_BYTES: usize = 48;
const ENTRY_BYTES: usize = 24;
const EXTENSION_MAGIC: u32 = 0xeaa4_2174;
/// Tag of the extension's section with the names of CPU levels.
const LEVELS_TAG: u32 = 1;
/// Bit of `hwcap` that says: the low half is an index of that section.
const IN_EXTENSION: u64 = 1 << 62;
/// `flags` of the header: little-endian.
const LITTLE_ENDIAN: u32 = 2;

/// A cache that the host has.
pub(crate) struct Cache {
    bytes: Vec<u8>,
    /// Where the new format, and with it every offset, starts.
    start: usize,
    count: usize,
}

/// One place of a library.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    pub(crate) path: &'a [u8],
    /// Whether only some CPUs take it.
    pub(crate) is_variant: bool,
}

impl Cache {
    /// Nothing if this is not a cache of version 1.1.
    pub(crate) fn parse(bytes: Vec<u8>) -> Option<Self> {
        let start = if bytes.starts_with(OLD_MAGIC) {
            // Entries of 12 bytes behind the magic (padded to 12) and their count.
            let end = 16 + u32_at(&bytes, 12)? as usize * 12;
            end.next_multiple_of(8)
        } else {
            0
        };
        let table = bytes.get(start..)?;
        if !table.starts_with(MAGIC) {
            return None;
        }
        let count = u32_at(table, MAGIC.len())? as usize;
        let fits = count <= table.len().checked_sub(HEADER_BYTES)? / ENTRY_BYTES;
        fits.then_some(Self { bytes, start, count })
    }

    /// The places of the library `name` in the loader's order.
    pub(crate) fn places<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = Place<'a>> {
        let table = &self.bytes[self.start..];
        let entries = table[HEADER_BYTES..].chunks_exact(ENTRY_BYTES).take(self.count);
        entries.filter_map(move |entry| {
            let key = table.get(u32_at(entry, 4)? as usize..)?;
            if !key.starts_with(name) || key.get(name.len()) != Some(&0) {
                return None;
            }
            let path = table.get(u32_at(entry, 8)? as usize..)?;
            let path = &path[..path.iter().position(|&byte| byte == 0)?];
            let is_variant = entry[16..24].iter().any(|&byte| byte != 0);
            path.starts_with(b"/").then_some(Place { path, is_variant })
        })
    }
}

/// What one entry of a new cache is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) name: Vec<u8>,
    pub(crate) flags: u32,
    /// The CPU level, such as `x86-64-v3`.
    pub(crate) level: Option<Vec<u8>>,
}

impl Ord for Key {
    /// Ascending; the file has the reverse.
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.name, &other.name)
            .then_with(|| self.name.cmp(&other.name))
            .then_with(|| self.flags.cmp(&other.flags))
            .then_with(|| self.level.cmp(&other.level))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The bytes of a cache with these paths.
pub(crate) fn write(entries: &BTreeMap<Key, Vec<u8>>) -> Vec<u8> {
    let mut levels: Vec<&[u8]> = entries.keys().filter_map(|key| key.level.as_deref()).collect();
    levels.sort();
    levels.dedup();

    let strings_start = HEADER_BYTES + entries.len() * ENTRY_BYTES;
    let mut strings = Vec::new();
    let mut add = |string: &[u8]| {
        let at = strings_start + strings.len();
        strings.extend_from_slice(string);
        strings.push(0);
        at as u32
    };
    let level_names: Vec<u32> = levels.iter().map(|level| add(level)).collect();
    let mut table = Vec::with_capacity(entries.len() * ENTRY_BYTES);
    for (key, path) in entries.iter().rev() {
        let hwcap = match &key.level {
            Some(level) => {
                let index = levels.partition_point(|known| *known < level.as_slice());
                IN_EXTENSION | index as u64
            }
            None => 0,
        };
        for field in [key.flags, add(&key.name), add(path), 0] {
            table.extend(field.to_le_bytes());
        }
        table.extend(hwcap.to_le_bytes());
    }

    let strings_bytes = strings.len() as u32;
    let extension = (strings_start + strings.len()).next_multiple_of(4);
    let mut bytes = MAGIC.to_vec();
    let extension_offset = if levels.is_empty() { 0 } else { extension as u32 };
    for field in [entries.len() as u32, strings_bytes, LITTLE_ENDIAN, extension_offset, 0, 0, 0] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(table);
    bytes.extend(strings);
    if !levels.is_empty() {
        bytes.resize(extension, 0);
        let data = extension as u32 + 8 + 16;
        let header = [EXTENSION_MAGIC, 1, LEVELS_TAG, 0, data, 4 * level_names.len() as u32];
        bytes.extend(header.iter().chain(&level_names).flat_map(|field| field.to_le_bytes()));
    }
    bytes
}

/// glibc's `_dl_cache_libcmp`: numbers in names compare as numbers, and before (that is, in the
/// file: behind) everything else they are the greater ones.
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        match (a.split_first(), b.split_first()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some((digit, _)), Some((other, _)))
                if digit.is_ascii_digit() && other.is_ascii_digit() =>
            {
                match number(&mut a).cmp(&number(&mut b)) {
                    Ordering::Equal => {}
                    order => return order,
                }
            }
            (Some((digit, _)), _) if digit.is_ascii_digit() => return Ordering::Greater,
            (_, Some((digit, _))) if digit.is_ascii_digit() => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some((x, rest_a)), Some((y, rest_b))) => {
                // C compares `char`s, which are signed on x86; library names are ASCII.
                match (*x as i8).cmp(&(*y as i8)) {
                    Ordering::Equal => (a, b) = (rest_a, rest_b),
                    order => return order,
                }
            }
        }
    }
}

/// The leading number, as C's `int` arithmetic has it.
fn number(text: &mut &[u8]) -> i32 {
    let mut value = 0i32;
    while let Some((digit, rest)) = text.split_first().filter(|(byte, _)| byte.is_ascii_digit()) {
        value = value.wrapping_mul(10).wrapping_add(i32::from(digit - b'0'));
        *text = rest;
    }
    value
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
