//! What a container has changed of its image, by looking at its writable layer and below: no file is read.

use crate::error::{During, Error, Kind, Result};
use crate::place::Engine;
use crate::record::rootfs_kind;
use std::collections::BTreeSet;
use store::Layer;
use sys::fs::{
    self, AT_SYMLINK_NOFOLLOW, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, S_IFCHR, S_IFDIR, S_IFMT, Stat,
};
use sys::{Errno, Fd};

/// No tree of a container's is deeper.
const DEPTH_LIMIT: usize = 1024;
/// Where overlayfs notes that a directory hides what is below it.
const OPAQUE: [&[u8]; 2] = [b"trusted.overlay.opaque", b"user.overlay.opaque"];
/// What a start makes to mount upon: nobody has changed that.
const OWN: [&[u8]; 12] = [
    b"/dev",
    b"/dev/mqueue",
    b"/dev/pts",
    b"/dev/shm",
    b"/etc/hostname",
    b"/etc/hosts",
    b"/etc/resolv.conf",
    b"/proc",
    b"/run",
    b"/run/.containerenv",
    b"/sys",
    b"/sys/fs/cgroup",
];

/// What became of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It is another one, or something in the directory is.
    Changed,
    /// It is new.
    Added,
    /// It is not there any more.
    Deleted,
}

impl Engine {
    /// Everything that a container has changed, a directory before what is in it.
    pub fn changes(&self, id: &str) -> Result<Vec<(Changed, Vec<u8>)>> {
        let container = self.store.container(id)?;
        let config = self.load(id)?.map(|found| found.config).unwrap_or_default();
        let mut lowers = Vec::new();
        match config.rootfs_kind.as_str() {
            rootfs_kind::OVERLAY => {
                let dir =
                    fs::open_at(sys::CWD, config.rootfs.as_bytes(), O_RDONLY | O_DIRECTORY, 0);
                lowers.push(dir.during(|| format!("opening {}", config.rootfs))?);
            }
            rootfs_kind::CHANGED => {
                let what =
                    format!("{}: the container changes {} itself", config.name, config.rootfs);
                return Err(Error::new(Kind::Unsupported, what).with_hint(
                    "--rootfs DIR:O leaves the directory as it is, and its changes can be told",
                ));
            }
            _ => {}
        }
        // The topmost first.
        for key in container.record.keys()?.iter().rev() {
            lowers.extend(self.store.layer(key)?.as_ref().map(Layer::diff_dir).transpose()?);
        }
        Ok(directory(&container.upper_dir()?, &lowers, b"", 0)?.0)
    }
}

type Changes = Vec<(Changed, Vec<u8>)>;

/// What is below a path in layers.
enum Below {
    Nothing,
    Other,
    Directory(Stat, Vec<Fd>),
}

fn is_directory(stat: &Stat) -> bool {
    stat.st_mode & S_IFMT == S_IFDIR
}

fn is_whiteout(stat: &Stat) -> bool {
    stat.st_mode & S_IFMT == S_IFCHR && stat.st_rdev == 0
}

fn is_opaque(dir: &Fd) -> bool {
    OPAQUE.iter().any(|name| sys::xattr::get(dir, name).is_ok_and(|value| value == b"y"))
}

fn open(dir: &Fd, name: &[u8]) -> sys::Result<Fd> {
    fs::open_at(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0)
}

fn look(dir: &Fd, name: &[u8]) -> Result<Option<Stat>> {
    match fs::stat_at(dir, name, AT_SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(Error::os("looking at a layer", errno)),
    }
}

fn below(lowers: &[Fd], name: &[u8]) -> Result<Below> {
    let mut found: Option<Stat> = None;
    let mut dirs = Vec::new();
    for dir in lowers {
        match look(dir, name)? {
            Some(stat) if is_whiteout(&stat) => break,
            Some(stat) if is_directory(&stat) => {
                let opened = open(dir, name).during(|| "opening a directory of a layer")?;
                let hides = is_opaque(&opened);
                dirs.push(opened);
                found.get_or_insert(stat);
                if hides {
                    break;
                }
            }
            Some(_) if found.is_none() => return Ok(Below::Other),
            Some(_) => break,
            None => {}
        }
    }
    Ok(found.map_or(Below::Nothing, |stat| Below::Directory(stat, dirs)))
}

/// The names that layers come to.
fn names_below(lowers: &[Fd]) -> Result<BTreeSet<Vec<u8>>> {
    let (mut seen, mut gone) = (BTreeSet::new(), BTreeSet::new());
    for dir in lowers {
        for name in names(dir)? {
            let is_gone = look(dir, &name)?.is_some_and(|stat| is_whiteout(&stat));
            match is_gone {
                true => drop(gone.insert(name)),
                false if !gone.contains(&name) => drop(seen.insert(name)),
                false => {}
            }
        }
    }
    Ok(seen)
}

fn names(dir: &Fd) -> Result<BTreeSet<Vec<u8>>> {
    let entries = fs::read_dir(dir.borrow()).during(|| "listing what a container has written")?;
    Ok(entries.into_iter().map(|entry| entry.name).collect())
}

/// The changes in a directory, and whether some are the engine's own.
fn directory(upper: &Fd, lowers: &[Fd], path: &[u8], depth: usize) -> Result<(Changes, bool)> {
    if depth > DEPTH_LIMIT {
        return Err(Error::invalid("what the container has written lies too deep"));
    }
    let written = names(upper)?;
    let mut changes = Vec::new();
    let mut has_own = false;
    for name in &written {
        let inner = [path, b"/", name].concat();
        // What goes meanwhile has not been there.
        let Some(stat) = look(upper, name)? else { continue };
        let old = below(lowers, name)?;
        if is_whiteout(&stat) {
            if !matches!(old, Below::Nothing) {
                changes.push((Changed::Deleted, inner));
            }
            continue;
        }
        let is_own = matches!(old, Below::Nothing) && OWN.contains(&inner.as_slice());
        if is_own && !is_directory(&stat) {
            has_own = true;
            continue;
        }
        if !is_directory(&stat) {
            let is_new = matches!(old, Below::Nothing);
            changes.push((if is_new { Changed::Added } else { Changed::Changed }, inner));
            continue;
        }
        let Ok(opened) = open(upper, name) else { continue };
        let (kind, old, dirs) = match old {
            Below::Nothing => (Changed::Added, None, Vec::new()),
            Below::Other => (Changed::Changed, None, Vec::new()),
            Below::Directory(old, dirs) => (Changed::Changed, Some(old), dirs),
        };
        let hides = is_opaque(&opened);
        let mut inside = Vec::new();
        if hides {
            let now = names(&opened)?;
            let lost = names_below(&dirs)?.into_iter().filter(|name| !now.contains(name));
            inside.extend(lost.map(|name| (Changed::Deleted, [&inner[..], b"/", &name].concat())));
        }
        let (more, has_own_inside) =
            directory(&opened, if hides { &[] } else { &dirs }, &inner, depth + 1)?;
        inside.extend(more);
        // Somebody has written something into one that was made to mount upon.
        if is_own && inside.is_empty() {
            has_own = true;
            continue;
        }
        let is_same = old.is_some_and(|old| is_same(&old, &stat, has_own_inside));
        if !is_same || !inside.is_empty() {
            changes.push((kind, inner));
        }
        changes.extend(inside);
    }
    Ok((changes, has_own))
}

/// Of a directory in which the engine has made something the time says nothing.
fn is_same(old: &Stat, new: &Stat, has_own: bool) -> bool {
    let time = |stat: &Stat| (stat.st_mtime, stat.st_mtime_nsec);
    (old.st_mode, old.st_uid, old.st_gid) == (new.st_mode, new.st_uid, new.st_gid)
        && (has_own || time(old) == time(new))
}
