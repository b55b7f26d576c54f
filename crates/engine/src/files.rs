//! Small files: documents that are there whole, or not at all.

use crate::error::{During, Error, Result};
use oci::json::{FromJson, ToJson};
use sys::fs::{self, O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY};
use sys::{Errno, Fd};

/// A larger record is none of this program's.
const RECORD_LIMIT_BYTES: usize = 8 << 20;

/// Opens a directory.
pub(crate) fn open_dir(root: &Fd, path: &str) -> Result<Fd> {
    fs::open_at(root, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0)
        .during(|| format!("opening {path}"))
}

/// Makes a directory that may be there.
pub(crate) fn make_dir(root: &Fd, path: &str) -> Result<()> {
    match fs::mkdir(root, path, 0o700) {
        Err(Errno::EEXIST) => Ok(()),
        result => result.during(|| format!("making {path}")),
    }
}

/// Reads a record; nothing where there is none.
pub(crate) fn read<T: FromJson + Default>(dir: &Fd, name: &str) -> Result<Option<T>> {
    let Some(bytes) = read_bytes(dir, name)? else { return Ok(None) };
    let read = oci::json::read(&bytes);
    read.map(Some).map_err(|why| Error::invalid(format!("{name}: {why}")))
}

/// Reads a small file; nothing where there is none.
pub(crate) fn read_bytes(dir: &Fd, name: &str) -> Result<Option<Vec<u8>>> {
    let file = match fs::open_at(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0) {
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
        result => result.during(|| format!("opening {name}"))?,
    };
    fs::read_about(file, 4095, RECORD_LIMIT_BYTES).map(Some).during(|| format!("reading {name}"))
}

/// Writes a record in the place of an older one. Whoever reads gets one of both, whole.
pub(crate) fn write(dir: &Fd, name: &str, record: &dyn ToJson, durable: bool) -> Result<()> {
    let mut text = oci::json::write(record);
    text.push('\n');
    write_bytes(dir, name, text.as_bytes(), durable)
}

/// The same of any text.
pub(crate) fn write_bytes(dir: &Fd, name: &str, bytes: &[u8], durable: bool) -> Result<()> {
    let temp = format!("{name}.{}", sys::process::id());
    let flags = O_WRONLY | O_CREAT | fs::O_TRUNC | O_NOFOLLOW;
    let file = fs::open_at(dir, &temp, flags, 0o600).during(|| format!("making {temp}"))?;
    let written = fs::write_all(&file, bytes)
        .and_then(|()| if durable { fs::sync(&file) } else { Ok(()) })
        .and_then(|()| fs::rename(dir, &temp, dir, name, 0));
    written.during(|| format!("writing {name}")).inspect_err(|_| {
        let _ = fs::unlink(dir, &temp, 0);
    })
}

/// Writes a record that is there already. Without room for another file it is written over the old one, where that has the
/// room: it is longer than the truth then, by spaces, so that whoever reads it gets one of both in any case.
pub(crate) fn rewrite(dir: &Fd, name: &str, record: &dyn ToJson) -> Result<()> {
    const BLOCK_BYTES: u64 = 512;
    let Err(error) = write(dir, name, record, false) else { return Ok(()) };
    let mut text = oci::json::write(record).into_bytes();
    let mut over = || -> sys::Result<bool> {
        let file = fs::open_at(dir, name, O_WRONLY | O_NOFOLLOW, 0)?;
        let stat = fs::stat_fd(&file)?;
        let has_room = stat.st_blocks as u64 * BLOCK_BYTES > text.len() as u64;
        if has_room {
            let length = text.len().max((stat.st_size as usize).saturating_sub(1));
            text.resize(length, b' ');
            text.push(b'\n');
            fs::write_all(&file, &text)?;
        }
        Ok(has_room)
    };
    match over() {
        Ok(true) => Ok(()),
        _ => Err(error),
    }
}

/// Removes a file that may not be there.
pub(crate) fn remove(dir: &Fd, name: &str) -> Result<()> {
    match fs::unlink(dir, name, 0) {
        Err(Errno::ENOENT) => Ok(()),
        result => result.during(|| format!("removing {name}")),
    }
}

/// The names in a directory, in no order. One that is not there has none.
pub(crate) fn list(root: &Fd, path: &str) -> Result<Vec<String>> {
    let dir = match fs::open_at(root, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0) {
        Err(Errno::ENOENT) => return Ok(Vec::new()),
        result => result.during(|| format!("opening {path}"))?,
    };
    let entries = fs::read_dir(dir.borrow()).during(|| format!("listing {path}"))?;
    Ok(entries.into_iter().filter_map(|entry| String::from_utf8(entry.name).ok()).collect())
}

/// An empty file for a lock.
pub(crate) fn open_lock(dir: &Fd, name: &str) -> Result<Fd> {
    fs::open_at(dir, name, fs::O_RDWR | O_CREAT | O_NOFOLLOW, 0o600)
        .during(|| format!("opening {name}"))
}
