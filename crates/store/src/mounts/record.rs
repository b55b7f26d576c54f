//! Records of mounts.

use crate::error::{Kind, Result};
use crate::files;
use crate::layout::LayerKey;
use crate::lock;
use crate::store::Store;
use std::os::unix::ffi::OsStrExt;
use sys::fs::{self, AT_REMOVEDIR, O_DIRECTORY, O_RDONLY};
use sys::{CWD, Errno, Fd};

/// The directory of all records.
pub(super) const MOUNTS: &str = "mounts";
pub(super) const RECORD: &str = "record.json";
/// The place of a mount that nobody gave one.
pub(super) const MERGED: &str = "merged";
/// Longest boot identifier and the like.
const SMALL_LIMIT_BYTES: usize = 4096;

oci::document! {
    /// One mount.
    MountRecord(snake) {
        id: String => required,
        /// The layers, the lowest first, by the names of their directories.
        layers: Vec<String> => always,
        /// The container whose upper directory it has; empty for a view that cannot be written to.
        container: String,
        /// The layer that is a copy of all of them, where there is no overlayfs.
        copy: String,
        /// Where it is; empty while only a descriptor of it is held.
        target: String,
        /// The boot that it belongs to.
        boot: String => always,
        /// The mount namespace that it was attached in.
        namespace: u64 => always,
        /// When it was made, in milliseconds since the machine was started.
        made_ms: u64 => always,
        }
}

impl MountRecord {
    /// The layers that it keeps: the lowest first, and the copy of them.
    pub(crate) fn keys(&self) -> impl Iterator<Item = LayerKey> {
        self.layers.iter().chain([&self.copy]).filter_map(|name| LayerKey::parse(name))
    }

    /// The copy of its layers, if these are the ones.
    pub fn copy_of(&self, layers: &[LayerKey]) -> Option<LayerKey> {
        let names = layers.iter().map(ToString::to_string);
        self.layers.iter().cloned().eq(names).then(|| LayerKey::parse(&self.copy)).flatten()
    }

    /// Whether it belongs to this boot, but to another mount namespace: nobody here can look at it.
    pub(super) fn is_elsewhere(&self) -> Result<bool> {
        Ok(self.boot == boot_id()? && self.namespace != mount_namespace()?)
    }

    /// Whether the mount is one of this process' mount namespace.
    pub(super) fn is_seen(&self) -> Result<bool> {
        Ok(self.boot == boot_id()? && is_listed(self)?)
    }

    /// Whether the mount is still there. One that cannot be looked at is taken to be.
    pub(super) fn is_attached(&self) -> Result<bool> {
        // One that is only held counts by its lock, wherever it was made.
        if self.target.is_empty() || self.boot != boot_id()? {
            return Ok(false);
        }
        Ok(self.is_elsewhere()? || is_listed(self)?)
    }
}

/// What the kernel's list of mounts calls this one.
pub(super) fn source(id: &str) -> String {
    format!("tare-{id}")
}

/// Whether the kernel's list has it: by its name, wherever it was moved to; a bind mount by its place.
fn is_listed(record: &MountRecord) -> Result<bool> {
    /// A line is at most some kilobytes; the kernel allows 100,000 mounts.
    const LIST_LIMIT_BYTES: usize = 256 << 20;
    let bytes = fs::read_file(CWD, "/proc/thread-self/mountinfo", LIST_LIMIT_BYTES)
        .map_err(|errno| crate::Error::os("reading the list of mounts", errno))?;
    let text = String::from_utf8_lossy(&bytes);
    let name = source(&record.id);
    // `36 35 98:0 /root /place options - type source superblock-options`; blanks are escaped.
    let place = record.target.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011");
    Ok(text.lines().any(|line| {
        let source = line.split_once(" - ").and_then(|(_, rest)| rest.split(' ').nth(1));
        source == Some(&*name) || line.split(' ').nth(4) == Some(&*place)
    }))
}

/// The directory of the records of this store's mounts, if there is any.
pub(super) fn open_run(store: &Store) -> Result<Option<Fd>> {
    let path = store.run_path();
    match fs::open_at(CWD, path.as_os_str().as_bytes(), O_RDONLY | O_DIRECTORY, 0) {
        Ok(dir) => Ok(Some(dir)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(crate::Error::os(format!("opening {}", path.display()), errno)),
    }
}

/// The mounts that are there, the oldest first: attached ones, and those that a process holds.
pub(crate) fn live(store: &Store) -> Result<Vec<MountRecord>> {
    let Some(run) = open_run(store)? else { return Ok(Vec::new()) };
    let mut live = Vec::new();
    for name in files::list(&run, MOUNTS)? {
        if let State::Live(record) = look(&run, &name)? {
            live.push(record);
        }
    }
    live.sort_by_key(|record| record.made_ms);
    Ok(live)
}

/// What a directory of a mount is.
pub(super) enum State {
    Live(MountRecord),
    /// A process is making, removing or holding it, and there is no record yet.
    Busy,
    Dead,
}

pub(super) fn look(run: &Fd, name: &str) -> Result<State> {
    let path = format!("{MOUNTS}/{name}");
    let Ok(dir) = files::open_dir(run, &path) else { return Ok(State::Dead) };
    // Together with others who look: they must not take each other for one who holds it.
    let held = !lock::try_shared(&dir)?;
    match files::read_record::<MountRecord>(&dir, RECORD) {
        Ok(record) if held || record.is_attached()? => Ok(State::Live(record)),
        Ok(_) => Ok(State::Dead),
        Err(error) if error.kind() == Kind::NotFound && !held => Ok(State::Dead),
        Err(_) if held => Ok(State::Busy),
        Err(error) => Err(error),
    }
}

/// Removes the records of mounts that are gone. The store is locked alone, so that none is new.
pub(crate) fn sweep(store: &Store) -> Result<()> {
    let Some(run) = open_run(store)? else { return Ok(()) };
    for name in files::list(&run, MOUNTS)? {
        if matches!(look(&run, &name)?, State::Dead) {
            // One that cannot be removed, because somebody put something there, hinders nobody.
            let _ = remove(&run, &name);
        }
    }
    Ok(())
}

/// Removes a record, and the empty directory that was mounted on: never what is below a mount.
pub(super) fn remove(run: &Fd, name: &str) -> Result<()> {
    let path = format!("{MOUNTS}/{name}");
    files::remove(run, &format!("{path}/{RECORD}"), 0)?;
    files::remove(run, &format!("{path}/record.tmp"), 0)?;
    for place in [MERGED, "classic", super::mapped::PLACE] {
        files::remove(run, &format!("{path}/{place}"), AT_REMOVEDIR)?;
    }
    files::remove(run, &path, AT_REMOVEDIR).map(drop)
}

/// The kernel's name of this boot.
pub(super) fn boot_id() -> Result<String> {
    let bytes = fs::read_file(CWD, "/proc/sys/kernel/random/boot_id", SMALL_LIMIT_BYTES)
        .map_err(|errno| crate::Error::os("reading the boot's identifier", errno))?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// The number of the own mount namespace.
pub(super) fn mount_namespace() -> Result<u64> {
    fs::stat_at(CWD, "/proc/thread-self/ns/mnt", 0)
        .map(|stat| stat.st_ino)
        .map_err(|errno| crate::Error::os("looking at the own mount namespace", errno))
}
