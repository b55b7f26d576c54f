//! Bytes that are not what they claim to be.

use super::*;
use crate::ldcache::{self, Cache, Key};
use std::collections::BTreeMap;

/// A small generator with a fixed start: the same mutations each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

/// Calls `check` with `count` variations of `bytes`: a few changed fields, or an early end.
fn mutate(
    bytes: &[u8],
    hot: &[std::ops::Range<usize>],
    count: usize,
    mut check: impl FnMut(&[u8]),
) {
    const EXTREMES: [u64; 8] =
        [0, 1, 0xff, 0x7fff_ffff, 0xffff_ffff, 1 << 62, u64::MAX / 2, u64::MAX];
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut mutated = bytes.to_vec();
    for round in 0..count {
        let mut touched = Vec::new();
        for _ in 0..1 + random.below(4) {
            let range = &hot[random.below(hot.len())];
            let at = range.start + random.below(range.len());
            let width = [1, 2, 4, 8][random.below(4)].min(mutated.len() - at);
            let value = match random.below(3) {
                0 => EXTREMES[random.below(EXTREMES.len())],
                1 => random.next(),
                _ => u64::from(mutated[at]).wrapping_add(random.below(64) as u64),
            };
            mutated[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
            touched.push(at..at + width);
        }
        let end = if round % 16 == 0 { random.below(bytes.len()) } else { bytes.len() };
        check(&mutated[..end]);
        for range in touched {
            mutated[range.clone()].copy_from_slice(&bytes[range]);
        }
    }
}

#[test]
fn mutated_elf_files_are_values_or_errors() {
    if !can_build() {
        return;
    }
    let root = Root::new();
    let spec = Spec {
        soname: Some("libself.so.1"),
        needs: &["liba.so", "libb.so"],
        runpath: Some("$ORIGIN/x:/y"),
        ..Spec::default()
    };
    root.library("/lib.so", spec);
    root.program("/program", spec);
    root.program("/program32", Spec { is_32_bit: true, ..spec });
    let mut values = 0;
    for path in ["/lib.so", "/program", "/program32"] {
        let bytes = fs::read(root.at(path)).unwrap();
        let elf = read_elf(&bytes).unwrap();
        assert_eq!(elf.needed.len(), 2);
        // The headers, and the dynamic section with its strings, wherever it is.
        let dynamic = bytes.windows(8).position(|window| window == b"$ORIGIN/").unwrap();
        let hot = [0..64, 64..512, dynamic - 128..dynamic + 64, 0..bytes.len()];
        mutate(&bytes, &hot, 20_000, |bytes| match read_elf(bytes) {
            Ok(elf) => {
                values += 1;
                assert!(elf.needed.iter().all(|(name, _)| name.len() <= 4096));
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        });
    }
    // Most changes do not matter, and some do: both ways were taken.
    assert!((1000..59_000).contains(&values), "{values}");
}

#[test]
fn mutated_programs_pack_or_fail() {
    if !can_build() {
        return;
    }
    let root = Root::new();
    root.library("/usr/lib/liba.so", Spec::default());
    root.program("/p", Spec { needs: &["liba.so"], runpath: Some("/r"), ..Spec::default() });
    let bytes = fs::read(root.at("/p")).unwrap();
    mutate(&bytes, &[0..512, 0..bytes.len()], 1000, |bytes| {
        fs::write(root.at("/p"), bytes).unwrap();
        let _ = root.closure("/p");
    });
}

#[test]
fn claims_beyond_the_limits_are_refused_before_they_are_believed() {
    if !can_build() {
        return;
    }
    let root = Root::new();
    root.program("/p", Spec { needs: &["liba.so"], ..Spec::default() });
    let bytes = fs::read(root.at("/p")).unwrap();
    let segment = |kind: u32| {
        let count = usize::from(bytes[56]);
        (0..count)
            .map(|at| 64 + 56 * at)
            .find(|&at| bytes[at..at + 4] == kind.to_le_bytes())
            .unwrap()
    };
    let (dynamic, interpreter) = (segment(2), segment(3));
    let huge = u64::MAX.to_le_bytes();
    for (at, value, expected) in [
        (0, &b"MZ"[..], "not an ELF file"),
        (4, &[9][..], "its class is neither 32 nor 64 bit"),
        (5, &[2][..], "it is not a little-endian file"),
        (16, &[1][..], "it is neither a program nor a shared library"),
        (54, &[57][..], "its program headers have an unknown size"),
        (56, &[0xff, 0xff][..], "its program headers are larger than 64 KiB"),
        (32, &huge[..], "it ends before its headers say"),
        (dynamic + 32, &huge[..], "its dynamic section is larger than 256 KiB"),
        (dynamic + 8, &huge[..], "it ends before its headers say"),
        (interpreter + 32, &huge[..], "its interpreter's name has an impossible length"),
        (interpreter + 8, &huge[..], "it ends before its headers say"),
    ] {
        let mut bytes = bytes.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        assert_eq!(read_elf(&bytes).unwrap_err().to_string(), expected);
    }
}

fn sample_cache() -> Vec<u8> {
    let mut entries = BTreeMap::new();
    for (name, level, path) in [
        ("libz.so.1", None, "/usr/lib/libz.so.1"),
        ("libz.so.10", None, "/usr/lib/libz.so.10"),
        ("libz.so.9", None, "/usr/lib/libz.so.9"),
        ("libz.so.9", Some("x86-64-v3"), "/usr/lib/glibc-hwcaps/x86-64-v3/libz.so.9"),
        ("liba-1.so", None, "/opt/liba-1.so"),
    ] {
        let level = level.map(|level: &str| level.as_bytes().to_vec());
        let key = Key { name: name.as_bytes().to_vec(), flags: 0x303, level };
        entries.insert(key, path.as_bytes().to_vec());
    }
    ldcache::write(&entries)
}

fn places(cache: &Cache, name: &str) -> Vec<String> {
    let text = |place: ldcache::Place<'_>| {
        let mark = if place.is_variant { "?" } else { "" };
        format!("{}{mark}", String::from_utf8_lossy(place.path))
    };
    cache.places(name.as_bytes()).map(text).collect()
}

#[test]
fn a_written_cache_is_read_back() {
    let cache = Cache::parse(sample_cache()).unwrap();
    assert_eq!(places(&cache, "libz.so.10"), ["/usr/lib/libz.so.10"]);
    assert_eq!(places(&cache, "libz.so.1"), ["/usr/lib/libz.so.1"]);
    let both = ["/usr/lib/glibc-hwcaps/x86-64-v3/libz.so.9?", "/usr/lib/libz.so.9"];
    assert_eq!(places(&cache, "libz.so.9"), both);
    assert!(places(&cache, "libz.so").is_empty());
    // Behind a table of the oldest format.
    let mut old = b"ld.so-1.7.0\0\x01\0\0\0".to_vec();
    old.extend([0; 16]);
    old.extend(sample_cache());
    let cache = Cache::parse(old).unwrap();
    assert_eq!(places(&cache, "libz.so.1"), ["/usr/lib/libz.so.1"]);
    assert!(Cache::parse(Vec::new()).is_none());
    assert!(Cache::parse(b"ld.so-1.7.0".to_vec()).is_none());
}

#[test]
fn ldconfig_understands_a_written_cache() {
    if !Path::new("/sbin/ldconfig").exists() {
        return skip("needs ldconfig");
    }
    let directory = Temporary::new();
    let path = directory.0.join("cache");
    fs::write(&path, sample_cache()).unwrap();
    let output = run(Command::new("/sbin/ldconfig").arg("-p").arg("-C").arg(path)).stdout;
    let text = String::from_utf8(output).unwrap();
    assert!(text.starts_with("5 libs found"), "{text}");
    assert!(text.contains("libz.so.9 (libc6,x86-64, hwcap: \"x86-64-v3\")"), "{text}");
}

#[test]
fn mutated_caches_are_values_or_none() {
    let bytes = sample_cache();
    let mut values = 0;
    mutate(&bytes, &[0..48, 20..bytes.len()], 20_000, |bytes| {
        if let Some(cache) = Cache::parse(bytes.to_vec()) {
            values += places(&cache, "libz.so.9").len();
        }
    });
    assert!(values > 1000);
}

#[test]
fn a_file_that_asks_for_millions_of_look_ups_is_refused() {
    if !can_build() {
        return;
    }
    // 60 KiB of directories for each of 64 names that may be missing: a million and more.
    let root = Root::new();
    root.program("/p", Spec { needs: &["liba.so"], ..Spec::default() });
    let directories = (0..8000).map(|at| format!("/{at:06}")).collect::<Vec<_>>().join(":");
    let names: Vec<_> = (0..64).map(|at| format!("libno{at}.so")).collect();
    let mut options = Vec::new();
    names.iter().for_each(|name| options.extend(["-f", name.as_str()]));
    let spec = Spec { runpath: Some(&directories), options: &options, ..Spec::default() };
    root.library("/usr/lib/liba.so", spec);
    assert!(root.error("/p").starts_with("Unsupported: looking up /"), "{}", root.error("/p"));
}
