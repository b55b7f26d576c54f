//! `/etc/ld.so.conf`: the directories that `ldconfig` looks into.
//!
//! The loader itself never reads this file. It stands in for `/etc/ld.so.cache` in a tree where
//! `ldconfig` has not run (see [`crate::ldcache`]), and explains why a library is not found.

use crate::error::{Error, ErrorKind, Result};
use crate::tree::{Found, Tree};
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Bytes of one file. Real ones are lists of a few directories.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Files read in all.
const MAX_FILES: usize = 1024;
/// Files that include files. Distributions have two levels; this also ends a loop.
const MAX_DEPTH: usize = 8;
/// Directories named in all.
const MAX_DIRECTORIES: usize = 4096;
/// Names tried for one glob. `/usr/lib/*/x` is as wide as they get.
const MAX_GLOB_NAMES: usize = 100_000;

/// The directories in the order of the file, `include`s in their place.
pub(crate) fn directories(tree: &mut Tree) -> Result<Vec<PathBuf>> {
    let mut reader = Reader { tree, directories: Vec::new(), files_read: 0 };
    reader.read(Path::new("/etc/ld.so.conf"), 0)?;
    Ok(reader.directories)
}

struct Reader<'a> {
    tree: &'a mut Tree,
    directories: Vec<PathBuf>,
    files_read: usize,
}

impl Reader<'_> {
    fn read(&mut self, path: &Path, depth: usize) -> Result<()> {
        let too = |what| {
            let message = format!("reading {}: {what}", path.display());
            Err(Error::new(ErrorKind::Unsupported, message))
        };
        let Some(resolved) = self.tree.find(path)? else { return Ok(()) };
        let Found::File { stamp, .. } = &*resolved.found else { return Ok(()) };
        self.files_read += 1;
        if depth == MAX_DEPTH || self.files_read > MAX_FILES {
            return too("more than 1024 files, or 8 that include each other");
        }
        let file = crate::tree::open(&self.tree.real(&resolved.path), stamp)?;
        let mut text = Vec::new();
        let failed = |error| Error::io("reading", path, error);
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut text).map_err(failed)?;
        if text.len() as u64 > MAX_FILE_BYTES {
            return too("larger than 1 MiB");
        }
        for line in text.split(|&byte| byte == b'\n') {
            match parse(line) {
                Line::Nothing => {}
                Line::Directory(directory) => self.directories.push(directory),
                Line::Include(patterns) => {
                    let base = path.parent().unwrap_or(Path::new("/"));
                    for pattern in patterns {
                        for file in glob(self.tree, &base.join(pattern))? {
                            self.read(&file, depth + 1)?;
                        }
                    }
                }
            }
            if self.directories.len() > MAX_DIRECTORIES {
                return too("more than 4096 directories");
            }
        }
        Ok(())
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Line {
    Nothing,
    Directory(PathBuf),
    Include(Vec<PathBuf>),
}

fn parse(line: &[u8]) -> Line {
    let line = line.split(|&byte| byte == b'#').next().unwrap_or_default().trim_ascii();
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let as_path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
    match words.next() {
        Some(b"include") => Line::Include(words.map(as_path).collect()),
        // Names of CPU features, ignored since glibc 2.33 as well.
        Some(b"hwcap") => Line::Nothing,
        // A directory may be followed by "=libc6" and the like, from the days of libc5.
        _ if line.starts_with(b"/") => {
            let end = line.iter().position(|&byte| byte == b'=').unwrap_or(line.len());
            Line::Directory(as_path(line[..end].trim_ascii_end()))
        }
        _ => Line::Nothing,
    }
}

/// The existing paths that match, sorted within each directory.
fn glob(tree: &mut Tree, pattern: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = vec![PathBuf::from("/")];
    let mut tried = 0;
    for component in pattern.components() {
        let Component::Normal(wanted) = component else {
            if component == Component::ParentDir {
                paths.iter_mut().for_each(|path| path.push(".."));
            }
            continue;
        };
        if !wanted.as_bytes().iter().any(|byte| b"*?[\\".contains(byte)) {
            paths.iter_mut().for_each(|path| path.push(wanted));
            continue;
        }
        let mut wider = Vec::new();
        for path in paths {
            let Some(resolved) = tree.find(&path)? else { continue };
            if !matches!(*resolved.found, Found::Directory { .. }) {
                continue;
            }
            for name in tree.list(&resolved.path)? {
                tried += 1;
                if tried > MAX_GLOB_NAMES {
                    let message = format!("expanding {}: too many names", pattern.display());
                    return Err(Error::new(ErrorKind::Unsupported, message));
                }
                if matches(wanted.as_bytes(), name.as_bytes()) {
                    wider.push(path.join(name));
                }
            }
        }
        paths = wider;
    }
    let mut existing = Vec::new();
    for path in paths {
        if tree.find(&path)?.is_some() {
            existing.push(path);
        }
    }
    Ok(existing)
}

/// `glob(7)` for one name: `*`, `?`, `[a-z]`, `[!a-z]` and `\`; a dot in front is never matched by a
/// wildcard. Time is bounded by the product of the lengths: only the last `*` is tried again.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    if name.starts_with(b".") && !pattern.starts_with(b".") {
        return false;
    }
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, n));
            p += 1;
        } else if let Some(length) = matches_one(&pattern[p..], name[n]) {
            p += length;
            n += 1;
        } else if let Some((at, from)) = star {
            (p, n) = (at + 1, from + 1);
            star = Some((at, n));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// Bytes of `pattern` that stand for `byte`, if they do.
fn matches_one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'\\', escaped, ..] => (escaped == byte).then_some(2),
        [b'[', ref rest @ ..] => {
            let negated = matches!(rest.first(), Some(b'!' | b'^'));
            let start = usize::from(negated);
            // A "]" right behind the opening is one of the set.
            let close = rest.iter().skip(start + 1).position(|&byte| byte == b']');
            let Some(close) = close.map(|at| at + start + 1) else {
                return (byte == b'[').then_some(1);
            };
            let set = &rest[start..close];
            let mut at = 0;
            let mut is_in = false;
            while at < set.len() {
                if let [first, b'-', last, ..] = set[at..] {
                    is_in |= (first..=last).contains(&byte);
                    at += 3;
                } else {
                    is_in |= set[at] == byte;
                    at += 1;
                }
            }
            (is_in != negated).then_some(close + 2)
        }
        [literal, ..] => (literal == byte).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_as_glob_7_says() {
        for (pattern, name, expected) in [
            ("*.conf", "libc.conf", true),
            ("*.conf", ".conf", false),
            (".*", ".conf", true),
            ("*.conf", "libc.conf.bak", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b", "xxaxxab", true),
            ("*a*b", "xxaxxac", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("[]x]", "]", true),
            ("[x-]", "-", true),
            ("[x", "[x", true),
            (r"\*", "*", true),
            (r"\*", "a", false),
            ("a\\", "a\\", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
        let many_stars = "*a".repeat(2000);
        assert!(!matches(many_stars.as_bytes(), "a".repeat(1999).as_bytes()));
    }

    #[test]
    fn lines_are_read_as_ldconfig_reads_them() {
        let directory = |path: &str| Line::Directory(path.into());
        for (line, expected) in [
            ("/usr/local/lib", directory("/usr/local/lib")),
            ("  /opt/lib  # mine", directory("/opt/lib")),
            ("/opt/a b", directory("/opt/a b")),
            ("/usr/lib/old=libc5", directory("/usr/lib/old")),
            ("include ld.so.conf.d/*.conf", Line::Include(vec!["ld.so.conf.d/*.conf".into()])),
            ("\tinclude a\tb", Line::Include(vec!["a".into(), "b".into()])),
            ("includes", Line::Nothing),
            ("hwcap 0 nosegneg", Line::Nothing),
            ("# /x", Line::Nothing),
            ("relative/lib", Line::Nothing),
            ("", Line::Nothing),
        ] {
            assert_eq!(parse(line.as_bytes()), expected, "{line:?}");
        }
    }
}
