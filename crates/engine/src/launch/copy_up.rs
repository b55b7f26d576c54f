//! What an image has where a new volume is mounted becomes the volume's content.
//!
//! Only a volume that is empty gets something. The image's directory is found inside of the root directory only, and
//! copies have the owners that the container sees.

use super::staging::Staged;
use super::userns::Mapping;
use crate::error::{During, Error, Result};
use crate::place::Engine;
use crate::record::{Config, Mount};
use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use sys::fs::{
    self, AT_SYMLINK_NOFOLLOW, Lock, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_PATH,
    O_RDONLY, O_WRONLY, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG,
    S_IFSOCK, Stat,
};
use sys::{CWD, Errno, Fd};

/// No tree of an image's is deeper.
const DEPTH_LIMIT: usize = 1024;
/// Names of files with several; more are files of their own.
const LINKS_LIMIT: usize = 1 << 20;
const BUFFER_BYTES: usize = 128 << 10;

/// Fills the container's volumes.
pub(super) fn fill(
    engine: &Engine,
    config: &Config,
    root: &Fd,
    mapping: Option<&Mapping>,
    staged: &Staged,
) -> Result<()> {
    let wants = |mount: &&Mount| {
        let is_whole = Path::new(&mount.source) == engine.volume_path(&mount.name);
        mount.kind == "volume" && is_whole && mount.subpath.is_empty()
    };
    for mount in config.mounts.iter().filter(wants) {
        let attempt = || format!("copying what the image has at {} to its volume", mount.target);
        let source = staged.source(mount).unwrap_or(Path::new(&mount.source));
        one(mount, source, root, mapping.and_then(Mapping::root))
            .map_err(|error| error.during(attempt()))?;
    }
    Ok(())
}

fn one(mount: &Mount, source: &Path, root: &Fd, owner: Option<(u32, u32)>) -> Result<()> {
    const WHAT: &str = "the volume";
    let volume = fs::open_at(CWD, source.as_os_str().as_bytes(), O_RDONLY | O_DIRECTORY, 0)
        .during(|| WHAT)?;
    if !fs::read_dir(volume.borrow()).during(|| WHAT)?.is_empty() {
        return Ok(());
    }
    // Several containers may begin with the same volume at once.
    fs::lock(&volume, Lock::Exclusive).during(|| WHAT)?;
    let opened = fs::open_at(&volume, ".", O_RDONLY | O_DIRECTORY, 0).during(|| WHAT)?;
    if !fs::read_dir(opened.borrow()).during(|| WHAT)?.is_empty() {
        return Ok(());
    }
    let inside = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    let source = match mount.copy_up {
        true => fs::open_at2(root, &mount.target, O_RDONLY | O_DIRECTORY, 0, inside),
        false => Err(Errno::ENOENT),
    };
    let source = match source {
        Err(Errno::ENOENT | Errno::ENOTDIR) => {
            // Nobody has said whose it is: the container's root's, where that is another one than ours.
            let is_fresh = fs::stat_fd(&volume).during(|| WHAT)?.st_uid == 0;
            return match owner.filter(|_| is_fresh) {
                Some((uid, gid)) => fs::chown_fd(&volume, uid, gid).during(|| WHAT),
                None => Ok(()),
            };
        }
        result => result.during(|| "the image's directory")?,
    };
    let stat = fs::stat_fd(&source).during(|| "the image's directory")?;
    let mut copy = Copy { links: HashMap::new() };
    copy.children(&source, &volume, 0)?;
    attributes(&source, &volume, &stat)
}

struct Copy {
    /// Files with several names that were copied: a descriptor's path in the volume's tree.
    links: HashMap<(u64, u64), (Fd, Vec<u8>)>,
}

impl Copy {
    fn children(&mut self, from: &Fd, to: &Fd, depth: usize) -> Result<()> {
        if depth > DEPTH_LIMIT {
            return Err(Error::invalid("it lies too deep"));
        }
        let entries = fs::read_dir(from.borrow()).during(|| "listing a directory")?;
        for entry in entries {
            let shown = || String::from_utf8_lossy(&entry.name).into_owned();
            self.entry(from, to, &entry.name, depth).map_err(|error| error.during(shown()))?;
        }
        Ok(())
    }

    fn entry(&mut self, from: &Fd, to: &Fd, name: &[u8], depth: usize) -> Result<()> {
        let stat = fs::stat_at(from, name, AT_SYMLINK_NOFOLLOW).during(|| "looking at it")?;
        let key = (stat.st_dev, stat.st_ino);
        let kind = stat.st_mode & S_IFMT;
        if let Some((dir, first)) = self.links.get(&key) {
            return fs::link(dir, first, to, name, 0).during(|| "linking it");
        }
        match kind {
            S_IFDIR => {
                fs::mkdir(to, name, 0o700).during(|| "making it")?;
                let flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
                let source = fs::open_at(from, name, flags, 0).during(|| "opening it")?;
                let target = fs::open_at(to, name, flags, 0).during(|| "opening it")?;
                self.children(&source, &target, depth + 1)?;
                return attributes(&source, &target, &stat);
            }
            S_IFREG => {
                let source = fs::open_at(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0)
                    .during(|| "opening it")?;
                let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
                let target = fs::open_at(to, name, flags, 0o600).during(|| "making it")?;
                contents(&source, &target)?;
                attributes(&source, &target, &stat)?;
            }
            S_IFLNK => {
                let target = fs::read_link(from, name).during(|| "reading it")?;
                fs::symlink(target, to, name).during(|| "making it")?;
                fs::chown(to, name, stat.st_uid, stat.st_gid, AT_SYMLINK_NOFOLLOW)
                    .during(|| "giving it to its owner")?;
                fs::set_times(to, name, time(&stat)).during(|| "setting its time")?;
            }
            S_IFSOCK => return Ok(()),
            _ => match fs::mknod(to, name, kind | 0o600, stat.st_rdev) {
                // Nobody but the host's root makes devices.
                Err(Errno::EPERM) => return Ok(()),
                made => {
                    made.during(|| "making it")?;
                    fs::chown(to, name, stat.st_uid, stat.st_gid, AT_SYMLINK_NOFOLLOW)
                        .and_then(|()| fs::chmod(to, name, stat.st_mode & 0o7777))
                        .and_then(|()| fs::set_times(to, name, time(&stat)))
                        .during(|| "setting its attributes")?;
                }
            },
        }
        if stat.st_nlink > 1 && self.links.len() < LINKS_LIMIT {
            let dir = fs::open_at(to, ".", O_PATH | O_DIRECTORY, 0).during(|| "opening it")?;
            self.links.insert(key, (dir, name.to_vec()));
        }
        Ok(())
    }
}

fn time(stat: &Stat) -> sys::time::Time {
    sys::time::Time { seconds: stat.st_mtime as i64, nanos: stat.st_mtime_nsec as i64 }
}

fn contents(from: &Fd, to: &Fd) -> Result<()> {
    if fs::clone_contents(from, to).is_ok() {
        return Ok(());
    }
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = fs::read(from, &mut buffer).during(|| "reading it")?;
        if count == 0 {
            return Ok(());
        }
        fs::write_all(to, &buffer[..count]).during(|| "writing it")?;
    }
}

/// Owner, attributes, mode and time, in an order in which none takes another away.
fn attributes(from: &Fd, to: &Fd, stat: &Stat) -> Result<()> {
    fs::chown_fd(to, stat.st_uid, stat.st_gid).during(|| "giving it to its owner")?;
    for name in sys::xattr::list(from).unwrap_or_default() {
        let is_overlay =
            name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.");
        if is_overlay || name == b"security.selinux" {
            continue;
        }
        let value = sys::xattr::get(from, &name).during(|| "reading its attributes")?;
        match sys::xattr::set(to, &name, &value) {
            Err(Errno::ENOTSUP | Errno::EPERM) => {}
            set => set.during(|| "setting its attributes")?,
        }
    }
    fs::chmod_fd(to, stat.st_mode & 0o7777).during(|| "setting its mode")?;
    fs::set_times(to, "", time(stat)).during(|| "setting its time")
}
