//! Removing what lower layers put there, in a plain tree.

use super::Extractor;
use crate::error::{Error, Result};
use crate::limits::REMOVALS;
use sys::fs::{AT_REMOVEDIR, AT_SYMLINK_NOFOLLOW, O_DIRECTORY, O_NOFOLLOW, O_RDONLY};
use sys::{AsFd, Errno};

/// Deepest tree that is removed; each level takes a descriptor.
const LEVELS: usize = 2 * crate::limits::DEPTH;

impl Extractor<'_> {
    /// Removes `name` of the top directory as far as it comes from below; whether all of it went.
    pub(super) fn remove_foreign(&self, name: &[u8], path: &[u8]) -> Result<bool> {
        remove_foreign(self, &self.stack.top().fd, name, path)
    }

    /// Removes from the top directory, whose path is `path`, everything that comes from below.
    pub(super) fn remove_foreign_children(&self, path: &[u8]) -> Result<()> {
        let top = &self.stack.top().fd;
        let entries = sys::fs::read_dir(top.borrow()).map_err(|e| Error::os(e, "listing"))?;
        for entry in entries {
            let child = match path {
                b"" => entry.name.clone(),
                _ => [path, b"/", &entry.name].concat(),
            };
            remove_foreign(self, top, &entry.name, &child)?;
        }
        Ok(())
    }
}

fn remove_foreign(
    extractor: &Extractor<'_>,
    dir: impl AsFd,
    name: &[u8],
    path: &[u8],
) -> Result<bool> {
    let mut below = path.to_vec();
    let mut foreign = |step: Step<'_>| match step {
        Step::Down(name) => {
            below.push(b'/');
            below.extend_from_slice(name);
            !extractor.is_own(&below)
        }
        Step::Up(name) => {
            below.truncate(below.len() - name.len() - 1);
            true
        }
        Step::Here => !extractor.is_own(&below),
    };
    remove(dir, name, &mut foreign, LEVELS, &mut 0)
}

/// Where a removal is. The answer is whether that may go.
enum Step<'a> {
    Here,
    Down(&'a [u8]),
    Up(&'a [u8]),
}

/// Removes a tree except for what must not go; whether all of it went.
fn remove(
    dir: impl AsFd,
    name: &[u8],
    may: &mut dyn FnMut(Step<'_>) -> bool,
    levels: usize,
    removed: &mut usize,
) -> Result<bool> {
    let failed = |e| Error::os(e, "removing").at(name);
    *removed += 1;
    if *removed > REMOVALS {
        return Err(Error::limit("too much to remove", REMOVALS));
    }
    let here = may(Step::Here);
    let stat = match sys::fs::stat_at(&dir, name, AT_SYMLINK_NOFOLLOW) {
        Err(Errno::ENOENT) => return Ok(true),
        stat => stat.map_err(failed)?,
    };
    if !Extractor::is_directory(&stat) {
        if here {
            sys::fs::unlink(&dir, name, 0).map_err(failed)?;
        }
        return Ok(here);
    }
    if levels == 0 {
        return Err(Error::limit("a tree to remove is too deep", LEVELS));
    }
    let flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
    let inner = sys::fs::open_at(&dir, name, flags, 0).map_err(failed)?;
    let mut all = here;
    for entry in sys::fs::read_dir(inner.borrow()).map_err(failed)? {
        may(Step::Down(&entry.name));
        all &= remove(&inner, &entry.name, may, levels - 1, removed)?;
        may(Step::Up(&entry.name));
    }
    if all {
        sys::fs::unlink(&dir, name, AT_REMOVEDIR).map_err(failed)?;
    }
    Ok(all)
}
