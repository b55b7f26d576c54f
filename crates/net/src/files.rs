//! Records on disk: replaced whole, found again after a kill; and locks that end with their holder.

use crate::error::{During, Error, Kind, Result};
use crate::limits::{LOCK_WAIT_MS, POLL_MS, RECORD_BYTES};
use oci::json::{FromJson, ToJson};
use std::path::Path;
use sys::fs::{self, AT_REMOVEDIR, Lock, O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, O_TRUNC};
use sys::fs::{O_EXCL, O_NONBLOCK, O_WRONLY};
use sys::{AsFd, Errno, Fd};

/// Whether what is written has to survive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durable {
    /// Networks.
    Yes,
    /// What belongs to this boot of the machine.
    No,
}

/// Makes a directory with its parents and opens it.
pub(crate) fn open_or_make(path: &Path) -> Result<Fd> {
    let bytes = path.as_os_str().as_encoded_bytes();
    match fs::open_at(sys::CWD, bytes, O_RDONLY | O_DIRECTORY, 0) {
        Err(Errno::ENOENT) => {
            std::fs::create_dir_all(path).during(|| format!("making {}", path.display()))?;
            fs::open_at(sys::CWD, bytes, O_RDONLY | O_DIRECTORY, 0)
        }
        result => result,
    }
    .during(|| format!("opening {}", path.display()))
}

/// Opens a directory below another one.
pub(crate) fn open_dir(dir: &Fd, name: &str) -> Result<Fd> {
    fs::open_at(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0)
        .during(|| format!("opening {name}"))
}

/// Makes a directory that may be there.
pub(crate) fn make_dir(dir: &Fd, name: &str) -> Result<()> {
    match fs::mkdir(dir, name, 0o755) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(Error::os(format!("making {name}"), errno)),
    }
}

/// Makes a directory that may be there, and opens it.
pub(crate) fn make_open_dir(dir: &Fd, name: &str) -> Result<Fd> {
    match open_dir(dir, name) {
        Err(error) if error.kind() == Kind::NotFound => {
            make_dir(dir, name)?;
            open_dir(dir, name)
        }
        result => result,
    }
}

/// The names in a directory, sorted, without hidden ones.
pub(crate) fn list(dir: &Fd) -> Result<Vec<String>> {
    let entries = fs::read_dir(dir.borrow()).during(|| "listing a directory".into())?;
    let names = entries.into_iter().filter_map(|entry| String::from_utf8(entry.name).ok());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort_unstable();
    Ok(names)
}

/// The names in a directory that may not be there.
pub(crate) fn list_at(dir: &Fd, name: &str) -> Result<Vec<String>> {
    match open_dir(dir, name) {
        Err(error) if error.kind() == Kind::NotFound => Ok(Vec::new()),
        opened => list(&opened?),
    }
}

/// Reads a file of at most [`RECORD_BYTES`].
pub(crate) fn read(dir: &Fd, name: &str) -> Result<Vec<u8>> {
    let file = fs::open_at(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0)
        .during(|| format!("opening {name}"))?;
    fs::read_about(file, 1023, RECORD_BYTES).during(|| format!("reading {name}"))
}

/// Reads a record.
pub(crate) fn read_record<T: FromJson + Default>(dir: &Fd, name: &str) -> Result<T> {
    oci::json::read(&read(dir, name)?).map_err(|text| Error::invalid(format!("{name}: {text}")))
}

/// Writes a record: the old one or the new one is there, whatever happens. Nobody else writes it at the same time.
pub(crate) fn write_record(
    dir: &Fd,
    name: &str,
    record: &dyn ToJson,
    durable: Durable,
) -> Result<()> {
    // Hidden, so that lists do not show what a kill has left; the next attempt takes its place.
    let temporary = unfinished(name);
    let file = fs::open_at(dir, &temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o644)
        .during(|| format!("making {name}"))?;
    let mut text = oci::json::write(record);
    text.push('\n');
    fs::write_all(&file, text.as_bytes()).during(|| format!("writing {name}"))?;
    if durable == Durable::Yes {
        sync(&file, name)?;
    }
    fs::rename(dir, &temporary, dir, name, 0).during(|| format!("renaming {name}"))?;
    match durable {
        Durable::Yes => sync(dir, name),
        Durable::No => Ok(()),
    }
}

/// `fsync`; file systems without anything to sync say so.
pub(crate) fn sync(file: impl AsFd, name: &str) -> Result<()> {
    match fs::sync(file) {
        Err(Errno::EINVAL | Errno::ENOTSUP) => Ok(()),
        result => result.during(|| format!("syncing {name}")),
    }
}

/// What a record is called until it is whole.
pub(crate) fn unfinished(name: &str) -> String {
    format!(".{name}.new")
}

/// Removes what a killed process has not finished to write of records that `is_live` does not know.
pub(crate) fn remove_unfinished(dir: &Fd, is_live: &dyn Fn(&str) -> bool) -> Result<()> {
    let entries = fs::read_dir(dir.borrow()).during(|| "listing a directory".into())?;
    for entry in entries {
        let name = String::from_utf8_lossy(&entry.name).into_owned();
        let record = name.strip_prefix('.').and_then(|name| name.strip_suffix(".new"));
        if record.is_some_and(|record| !is_live(record)) {
            remove(dir, &name)?;
        }
    }
    Ok(())
}

/// Writes a small file in place, whose text has the same length always. Cutting a file off first would make some
/// file systems wait for the disk.
pub(crate) fn put(dir: &Fd, name: &str, text: &[u8]) -> Result<()> {
    let file = fs::open_at(dir, name, O_WRONLY | O_CREAT | O_NOFOLLOW, 0o644)
        .during(|| format!("making {name}"))?;
    fs::write_all(&file, text).during(|| format!("writing {name}"))
}

/// Makes a small file that nobody else has made: `false` if somebody has.
pub(crate) fn claim(dir: &Fd, name: &str, text: &str) -> Result<bool> {
    match fs::open_at(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o644) {
        Err(Errno::EEXIST) => Ok(false),
        file => {
            let file = file.during(|| format!("making {name}"))?;
            fs::write_all(&file, text.as_bytes()).during(|| format!("writing {name}"))?;
            Ok(true)
        }
    }
}

/// Removes a file that may not be there.
pub(crate) fn remove(dir: &Fd, name: &str) -> Result<()> {
    match fs::unlink(dir, name, 0) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(Error::os(format!("removing {name}"), errno)),
    }
}

/// Removes a directory that may not be there, or may have something in it.
pub(crate) fn remove_if_empty(dir: &Fd, name: &str) -> Result<()> {
    match fs::unlink(dir, name, AT_REMOVEDIR) {
        Ok(()) | Err(Errno::ENOENT | Errno::ENOTEMPTY | Errno::EEXIST) => Ok(()),
        Err(errno) => Err(Error::os(format!("removing {name}"), errno)),
    }
}

/// Removes a directory of this crate's with everything in it: nothing there is deeper than that.
pub(crate) fn remove_tree(dir: &Fd, name: &str) -> Result<()> {
    const DEPTH: u32 = 4;
    remove_below(dir, name, DEPTH)
}

fn remove_below(dir: &Fd, name: &str, depth: u32) -> Result<()> {
    match fs::unlink(dir, name, 0) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(()),
        Err(Errno::EISDIR | Errno::EPERM) if depth > 0 => {}
        Err(errno) => return Err(Error::os(format!("removing {name}"), errno)),
    }
    let below = open_dir(dir, name)?;
    let entries = fs::read_dir(below.borrow()).during(|| format!("listing {name}"))?;
    for entry in entries {
        remove_below(&below, &String::from_utf8_lossy(&entry.name), depth - 1)?;
    }
    remove_if_empty(dir, name)
}

/// A lock, until it is dropped.
#[derive(Debug)]
pub(crate) struct Guard {
    _file: Fd,
}

/// Waits for the lock of a file, which is made if need be.
pub(crate) fn lock(dir: &Fd, name: &str, what: impl Fn() -> String) -> Result<Guard> {
    let file = fs::open_at(dir, name, O_RDONLY | O_CREAT | O_NOFOLLOW, 0o644)
        .during(|| format!("opening the lock of {}", what()))?;
    let start = sys::time::monotonic_ms();
    let mut pause_ms = 1;
    loop {
        match fs::lock(&file, Lock::TryExclusive) {
            Ok(()) => return Ok(Guard { _file: file }),
            Err(Errno::EAGAIN) if sys::time::monotonic_ms() - start < LOCK_WAIT_MS => {
                sys::time::sleep_ms(pause_ms);
                pause_ms = (2 * pause_ms).min(POLL_MS);
            }
            Err(Errno::EAGAIN) => {
                let text = format!("locking {}: another process holds it", what());
                return Err(Error::new(Kind::Busy, text)
                    .with_hint("`fuser -v` on the file `lock` names the process"));
            }
            Err(errno) => return Err(Error::os(format!("locking {}", what()), errno)),
        }
    }
}
