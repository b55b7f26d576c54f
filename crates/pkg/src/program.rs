//! Finding a program by its name, as `execvp(3)` does.

use crate::error::{Error, ErrorKind, Result};
use crate::tree::{Found, Tree};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Names compared for "did you mean"; a full desktop has about 5,000 on its `PATH`.
const MAX_SUGGESTION_NAMES: usize = 20_000;

/// The host as its programs see it. Nothing else of the process's surroundings is looked at.
#[derive(Clone, Debug)]
pub struct HostView {
    /// The directory that is `/` for every path below: `/`, or where a system's tree is.
    pub root: PathBuf,
    /// The entries of `PATH`. An empty one means `working_directory`, as for `execvp`.
    pub path: Vec<PathBuf>,
    /// Where relative names start, absolute below `root`.
    pub working_directory: PathBuf,
}

impl HostView {
    /// `name` from the root on.
    pub(crate) fn absolute(&self, name: &Path) -> PathBuf {
        Path::new("/").join(&self.working_directory).join(name)
    }
}

/// Where the program `name` is: a name with a slash is the program, any other is searched for on
/// `PATH`. The answer is absolute below the view's root, and its links are not resolved.
///
/// Errors are of kind `NotFound` (with a hint where a similar name exists) or `Denied` when all that
/// was found is not an executable regular file.
pub fn find_program(host: &HostView, name: &OsStr) -> Result<PathBuf> {
    find(&mut Tree::new(&host.root), host, name)
}

pub(crate) fn find(tree: &mut Tree, host: &HostView, name: &OsStr) -> Result<PathBuf> {
    let shown = name.to_string_lossy();
    if name.is_empty() {
        return Err(Error::new(ErrorKind::Invalid, "looking for a program with an empty name"));
    }
    let has_slash = name.as_bytes().contains(&b'/');
    let candidates: Vec<_> = match has_slash {
        true => vec![host.absolute(name.as_ref())],
        false => host.path.iter().map(|entry| host.absolute(entry).join(name)).collect(),
    };
    let mut denied = None;
    for candidate in candidates {
        let Some(resolved) = tree.find(&candidate)? else { continue };
        match *resolved.found {
            // Any of the three bits: whose they are is for the kernel to check at exec.
            Found::File { mode, .. } if mode & 0o111 != 0 => return Ok(candidate),
            _ => denied = denied.or(Some(candidate)),
        }
    }
    if let Some(denied) = denied {
        let message = format!("{} is not an executable file", denied.display());
        return Err(Error::new(ErrorKind::Denied, message));
    }
    let message = match has_slash {
        true => format!("program {shown} not found"),
        false => format!("program {shown} not found on PATH"),
    };
    let error = Error::new(ErrorKind::NotFound, message);
    Err(match suggestion(tree, host, name, has_slash) {
        Some(similar) => error.with_hint(format!("did you mean {similar}?")),
        None => error,
    })
}

/// A program that the user may have meant.
fn suggestion(tree: &mut Tree, host: &HostView, name: &OsStr, has_slash: bool) -> Option<String> {
    let base = Path::new(name).file_name()?;
    if has_slash {
        let elsewhere = host.path.iter().map(|entry| host.absolute(entry).join(base));
        let elsewhere: Vec<_> = elsewhere.filter(|path| is_program(tree, path)).collect();
        return elsewhere.first().map(|path| path.display().to_string());
    }
    let allowed = if base.len() < 4 { 1 } else { 2 };
    let mut best: Option<(usize, OsString, PathBuf)> = None;
    let mut compared = 0;
    for entry in &host.path {
        let directory = host.absolute(entry);
        let Ok(Some(resolved)) = tree.find(&directory) else { continue };
        for similar in tree.list(&resolved.path).unwrap_or_default() {
            compared += 1;
            if compared > MAX_SUGGESTION_NAMES {
                return None;
            }
            let distance = distance(base.as_bytes(), similar.as_bytes(), allowed);
            if distance <= allowed && best.as_ref().is_none_or(|(least, ..)| distance < *least) {
                let path = directory.join(&similar);
                best = is_program(tree, &path).then_some((distance, similar, path)).or(best);
            }
        }
    }
    best.map(|(_, name, _)| name.to_string_lossy().into_owned())
}

pub(crate) fn is_program(tree: &mut Tree, path: &Path) -> bool {
    let found = tree.find(path).ok().flatten().map(|resolved| resolved.found);
    matches!(found.as_deref(), Some(Found::File { mode, .. }) if mode & 0o111 != 0)
}

/// Edits (insert, delete, replace, swap neighbours) between two names, or more than `limit`.
fn distance(a: &[u8], b: &[u8], limit: usize) -> usize {
    if a.len().abs_diff(b.len()) > limit || a.len() > 64 {
        return limit + 1;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let replaced = last[j] + usize::from(a[i] != b[j]);
            let mut least = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn distance_counts_edits() {
        for (a, b, expected) in [
            ("sh", "sh", 0),
            ("sh", "ash", 1),
            ("pyhton", "python", 1),
            ("bsah", "bash", 1),
            ("grpe", "grep", 1),
            ("lss", "ls", 1),
            ("cat", "dog", 3),
            ("a", "abcdef", 3),
            ("", "ab", 2),
        ] {
            assert_eq!(distance(a.as_bytes(), b.as_bytes(), 2), expected, "{a} {b}");
        }
    }
}
