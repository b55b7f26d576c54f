//! Files of the store: records that are replaced whole, trees that are removed.

use crate::error::{During, Error, Kind, Result};
use crate::fault;
use crate::limits::{EMPTYINGS, NAME_TRIES, RECORD_BYTES, TREE_DEPTH};
use oci::json::{FromJson, ToJson};
use std::io;
use sys::fs::{self, AT_REMOVEDIR, AT_SYMLINK_NOFOLLOW, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW};
use sys::fs::{O_RDONLY, O_WRONLY};
use sys::{AsFd, Errno, Fd};

/// An open file as `std`'s traits want it.
#[derive(Debug)]
pub struct File(pub Fd);

impl io::Read for File {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        fs::read(&self.0, buffer).map_err(to_io)
    }
}

impl io::Write for File {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        fs::write(&self.0, buffer).map_err(to_io)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn to_io(errno: Errno) -> io::Error {
    io::Error::from_raw_os_error(errno.0)
}

/// Whether what is written has to survive a power cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// What a command has said is done survives everything.
    #[default]
    Strict,
    /// What a command has said is done survives its own death, not the machine's: stores that are
    /// thrown away, or lie in memory.
    None,
}

impl Durability {
    /// `fsync` of an open file or directory.
    pub(crate) fn sync(self, fd: impl AsFd, what: &str) -> Result<()> {
        match self {
            Self::Strict => ignore_unsupported(fs::sync(fd)).during(|| format!("syncing {what}")),
            Self::None => Ok(()),
        }
    }

    /// `fsync` of a directory below `root`.
    pub(crate) fn sync_dir(self, root: &Fd, path: &str) -> Result<()> {
        match self {
            Self::Strict => self.sync(open_dir(root, path)?, path),
            Self::None => Ok(()),
        }
    }

    /// One `syncfs`: a second for ten thousand `fsync`s.
    pub(crate) fn sync_all(self, root: &Fd) -> Result<()> {
        match self {
            Self::Strict => fs::sync_file_system(root).during(|| "syncing the store".into()),
            Self::None => Ok(()),
        }
    }
}

/// File systems without anything to sync say so.
fn ignore_unsupported(result: sys::Result<()>) -> sys::Result<()> {
    match result {
        Err(Errno::EINVAL | Errno::ENOTSUP) => Ok(()),
        result => result,
    }
}

/// Opens a directory for its entries, its lock, or as the start of paths.
pub(crate) fn open_dir(root: &Fd, path: &str) -> Result<Fd> {
    fs::open_at(root, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0)
        .during(|| format!("opening {path}"))
}

/// Makes a directory that may be there; says whether it was not.
pub(crate) fn make_dir(root: &Fd, path: &str) -> Result<bool> {
    match fs::mkdir(root, path, 0o700) {
        Ok(()) => Ok(true),
        Err(Errno::EEXIST) => Ok(false),
        Err(errno) => Err(Error::os(format!("making {path}"), errno)),
    }
}

/// Sixteen random digits.
pub(crate) fn random_name() -> Result<String> {
    let mut bytes = [0; 8];
    sys::time::random(&mut bytes).during(|| "asking for a random number".into())?;
    Ok(format!("{:016x}", u64::from_ne_bytes(bytes)))
}

/// Makes a directory with a random name in `parent`; returns the name.
pub(crate) fn make_random_dir(root: &Fd, parent: &str) -> Result<String> {
    for _ in 0..NAME_TRIES {
        let name = random_name()?;
        if make_dir(root, &format!("{parent}/{name}"))? {
            return Ok(name);
        }
    }
    Err(Error::new(Kind::Limit, format!("{parent}: no random name is free")))
}

/// The names in a directory, sorted. One that is not there has none.
pub(crate) fn list(root: &Fd, path: &str) -> Result<Vec<String>> {
    let dir = match open_dir(root, path) {
        Err(error) if error.kind() == Kind::NotFound => return Ok(Vec::new()),
        result => result?,
    };
    let entries = fs::read_dir(dir.borrow()).during(|| format!("listing {path}"))?;
    // A name that is not UTF-8 is none of the store's; it is shown, and found by nothing.
    let name = |entry: fs::DirEntry| String::from_utf8_lossy(&entry.name).into_owned();
    let mut names: Vec<String> = entries.into_iter().map(name).collect();
    names.sort_unstable();
    Ok(names)
}

/// Reads a record.
pub(crate) fn read_record<T: FromJson + Default>(root: &Fd, path: &str) -> Result<T> {
    let bytes = read_small(root, path)?;
    oci::json::read(&bytes).map_err(|text| Error::new(Kind::Invalid, format!("{path}: {text}")))
}

/// Reads a file of at most [`RECORD_BYTES`].
pub(crate) fn read_small(root: &Fd, path: &str) -> Result<Vec<u8>> {
    let file = open_file(root, path)?;
    // Records are some hundred bytes: one read, and one that finds the end.
    fs::read_about(file, 1023, RECORD_BYTES).during(|| format!("reading {path}"))
}

/// Opens a file for reading, and nothing that is not one: a fifo would make the reader wait.
pub(crate) fn open_file(root: &Fd, path: &str) -> Result<Fd> {
    fs::open_at(root, path, O_RDONLY | O_NOFOLLOW | fs::O_NONBLOCK, 0)
        .during(|| format!("opening {path}"))
}

/// Makes a new file for writing, and for reading what was written.
pub(crate) fn create(root: &Fd, path: &str) -> Result<Fd> {
    let flags = fs::O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW;
    fs::open_at(root, path, flags, 0o600).during(|| format!("making {path}"))
}

/// Writes a new file with a record, and waits until it is on the disk.
pub(crate) fn write_record(
    root: &Fd,
    path: &str,
    record: &dyn ToJson,
    durability: Durability,
) -> Result<()> {
    let flags = O_WRONLY | O_CREAT | fs::O_TRUNC | O_NOFOLLOW;
    let file = fs::open_at(root, path, flags, 0o600).during(|| format!("making {path}"))?;
    fault::step("record made");
    let mut text = oci::json::write(record);
    text.push('\n');
    fs::write_all(&file, text.as_bytes()).during(|| format!("writing {path}"))?;
    fault::step("record written");
    durability.sync(&file, path)
}

/// Renames within the store.
pub(crate) fn rename(root: &Fd, from: &str, to: &str) -> Result<()> {
    fs::rename(root, from, root, to, 0).during(|| format!("renaming {from} to {to}"))
}

/// Removes a file or an empty directory that may not be there; says whether it was.
pub(crate) fn remove(root: &Fd, path: &str, flags: u32) -> Result<bool> {
    match fs::unlink(root, path, flags) {
        Ok(()) => Ok(true),
        Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(Error::os(format!("removing {path}"), errno)),
    }
}

/// Removes a file or a tree. What somebody else removes at the same time is removed.
pub(crate) fn remove_tree(dir: &Fd, name: &str) -> Result<()> {
    match fs::unlink(dir, name, 0) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(()),
        Err(Errno::EISDIR | Errno::EPERM) => {}
        Err(errno) => return Err(Error::os(format!("removing {name}"), errno)),
    }
    // Whoever had it open may write into it until it is gone.
    for _ in 1..EMPTYINGS {
        match remove_emptied(dir, name) {
            Err(error) if error.kind() == Kind::Os(Errno::ENOTEMPTY) => {}
            result => return result,
        }
    }
    remove_emptied(dir, name)
}

fn remove_emptied(dir: &Fd, name: &str) -> Result<()> {
    fault::step("tree to be emptied");
    let opened = match open_any_dir(dir, name.as_bytes()) {
        Err(Errno::ENOENT) => return Ok(()),
        result => result.during(|| format!("opening {name} for removal"))?,
    };
    empty(opened).during(|| format!("removing {name}"))?;
    fault::step("tree emptied");
    remove(dir, name, AT_REMOVEDIR).map(drop)
}

/// Empties a directory. Not recursive: a layer's depth is not the stack's.
fn empty(top: Fd) -> sys::Result<()> {
    let mut stack = vec![Level::new(top)?];
    while let Some(level) = stack.last_mut() {
        let Some(entry) = level.entries.last() else {
            stack.pop();
            let Some(parent) = stack.last_mut() else { break };
            let done = parent.entries.pop();
            if let Some(done) = done {
                gone(fs::unlink(&parent.dir, &done.name, AT_REMOVEDIR))?;
            }
            continue;
        };
        match fs::unlink(&level.dir, &entry.name, if entry.is_dir() { AT_REMOVEDIR } else { 0 }) {
            Ok(()) | Err(Errno::ENOENT) => drop(level.entries.pop()),
            Err(Errno::EISDIR | Errno::ENOTEMPTY | Errno::EEXIST) => {
                let below = match open_any_dir(&level.dir, &entry.name) {
                    Err(Errno::ENOENT) => {
                        level.entries.pop();
                        continue;
                    }
                    result => Level::new(result?)?,
                };
                if stack.len() >= TREE_DEPTH as usize {
                    return Err(Errno::ELOOP);
                }
                stack.push(below);
            }
            // Unprivileged: a directory that its owner may not write to.
            Err(Errno::EACCES) if !level.opened => {
                level.opened = true;
                fs::chmod_fd(&level.dir, 0o700)?;
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

struct Level {
    entries: Vec<fs::DirEntry>,
    dir: Fd,
    /// Its mode was changed so that entries can be removed.
    opened: bool,
}

impl Level {
    fn new(dir: Fd) -> sys::Result<Self> {
        let entries = match fs::read_dir(dir.borrow()) {
            // Somebody else has removed it since it was opened.
            Err(Errno::ENOENT) => Vec::new(),
            result => result?,
        };
        Ok(Self { entries, dir, opened: false })
    }
}

fn gone(result: sys::Result<()>) -> sys::Result<()> {
    match result {
        Err(Errno::ENOENT) => Ok(()),
        result => result,
    }
}

/// Opens a directory that is going to be removed, whatever its mode is.
fn open_any_dir(dir: &Fd, name: &[u8]) -> sys::Result<Fd> {
    let open = || fs::open_at(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    match open() {
        Err(Errno::EACCES) => {
            let stat = fs::stat_at(dir, name, AT_SYMLINK_NOFOLLOW)?;
            if stat.st_mode & fs::S_IFMT == fs::S_IFDIR {
                fs::chmod(dir, name, 0o700)?;
            }
            open()
        }
        result => result,
    }
}

/// Bytes on disk of a file or tree, every inode once.
pub(crate) fn disk_bytes(dir: &Fd, name: &str) -> u64 {
    let mut seen = std::collections::HashSet::new();
    let mut total = 0;
    let mut todo: Vec<(Vec<u8>, u32)> = vec![(name.as_bytes().to_vec(), 0)];
    while let Some((path, depth)) = todo.pop() {
        let Ok(stat) = fs::stat_at(dir, &path, AT_SYMLINK_NOFOLLOW) else { continue };
        if stat.st_nlink > 1 && !seen.insert(stat.st_ino) {
            continue;
        }
        total += stat.st_blocks as u64 * 512;
        if stat.st_mode & fs::S_IFMT != fs::S_IFDIR || depth >= TREE_DEPTH {
            continue;
        }
        let Ok(opened) = fs::open_at(dir, &path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0) else {
            continue;
        };
        for entry in fs::read_dir(opened.borrow()).unwrap_or_default() {
            todo.push(([&path, &b"/"[..], &entry.name].concat(), depth + 1));
        }
    }
    total
}
