//! What happened, one line of JSON each, for whoever reads it.
//!
//! Lines are appended by single writes, so that many processes can; a file that has grown is put aside, and one older
//! one is kept.

use crate::error::{During, Result};
use crate::files;
use serde_json::{Map, Value, json};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use sys::fs::{self, O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_RDONLY, O_RDWR};
use sys::{Errno, Fd};

const FILE: &str = "events";
const OLDER: &str = "events.1";
/// Some tens of thousands of events.
const FILE_LIMIT_BYTES: u64 = 16 << 20;
/// A line is written at once.
const LINE_LIMIT_BYTES: usize = 64 * 1024;
const O_APPEND: u32 = 0o2000;

/// Records an event. What cannot be written is not: nothing fails for want of a record of it.
pub fn append(engine: &Fd, kind: &str, action: &str, id: &str, attributes: &[(&str, &str)]) {
    let time = sys::time::now();
    let attributes: Map<String, Value> =
        attributes.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    let nanos = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    let event = json!({
        "Type": kind, "Action": action,
        "Actor": {"ID": id, "Attributes": attributes},
        "scope": "local", "time": time.seconds, "timeNano": i64::try_from(nanos).unwrap_or(i64::MAX),
    });
    let line = format!("{event}\n");
    if line.len() <= LINE_LIMIT_BYTES {
        let _ = write(engine, line.as_bytes());
    }
}

/// Records what happened to something of a store whose containers nobody has opened.
pub fn note(root: &Path, kind: &str, action: &str, id: &str, attributes: &[(&str, &str)]) {
    let opened = fs::open_at(sys::CWD, root.as_os_str().as_bytes(), O_PATH | O_DIRECTORY, 0);
    let Ok(root) = opened else { return };
    let engine = files::make_dir(&root, "engine").and_then(|()| files::open_dir(&root, "engine"));
    if let Ok(engine) = engine {
        append(&engine, kind, action, id, attributes);
    }
}

fn write(engine: &Fd, line: &[u8]) -> sys::Result<()> {
    let flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_APPEND;
    let file = fs::open_at(engine, FILE, flags, 0o600)?;
    let size = fs::stat_fd(&file)?.st_size as u64;
    // Where there was room for a part of a line only, that would spoil this one, too.
    let line = if is_torn(&file, size) { [b"\n", line].concat() } else { line.to_vec() };
    fs::write(&file, &line)?;
    if size > FILE_LIMIT_BYTES {
        // Of several that see it at once all but one would put the new file aside.
        if fs::lock(&file, fs::Lock::TryExclusive).is_ok()
            && fs::stat_at(engine, FILE, 0)?.st_ino == fs::stat_fd(&file)?.st_ino
        {
            fs::rename(engine, FILE, engine, OLDER, 0)?;
        }
    }
    Ok(())
}

fn is_torn(file: &Fd, size: u64) -> bool {
    let mut last = [b'\n'];
    // Lines are appended, wherever was read.
    size > 0
        && fs::seek(file, size - 1).and_then(|()| fs::read(file, &mut last)).is_ok()
        && last != [b'\n']
}

/// Reads events, the oldest first, and then those that come.
#[derive(Debug)]
pub struct Reader {
    engine: Fd,
    file: Option<(Fd, u64)>,
    rest: Vec<u8>,
    begun: bool,
}

impl Reader {
    /// Of an engine's directory.
    pub fn new(engine: &Fd) -> Result<Self> {
        let engine = fs::duplicate(engine, 3).during(|| "opening the events")?;
        Ok(Self { engine, file: None, rest: Vec::new(), begun: false })
    }

    /// The events since the last call. A line that is no event is left out.
    pub fn take(&mut self) -> Result<Vec<Value>> {
        let mut bytes = std::mem::take(&mut self.rest);
        if !std::mem::replace(&mut self.begun, true)
            && let Some(older) = open(&self.engine, OLDER)?
        {
            bytes.extend(read_on(&older)?);
        }
        if let Some((file, _)) = &self.file {
            bytes.extend(read_on(file)?);
        }
        // The file that has the name now may be another one.
        let current = open(&self.engine, FILE)?;
        if let Some(current) = current {
            let inode = fs::stat_fd(&current).during(|| "looking at the events")?.st_ino;
            if self.file.as_ref().is_none_or(|(_, known)| *known != inode) {
                bytes.extend(read_on(&current)?);
                self.file = Some((current, inode));
            }
        }
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.rest = bytes.split_off(whole);
        let lines = bytes.split(|byte| *byte == b'\n');
        Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }
}

fn open(engine: &Fd, name: &str) -> Result<Option<Fd>> {
    match fs::open_at(engine, name, O_RDONLY | O_NOFOLLOW, 0) {
        Err(Errno::ENOENT) => Ok(None),
        result => result.map(Some).during(|| "opening the events"),
    }
}

fn read_on(file: &Fd) -> Result<Vec<u8>> {
    fs::read_to_end(file, (FILE_LIMIT_BYTES as usize) * 2).during(|| "reading the events")
}
