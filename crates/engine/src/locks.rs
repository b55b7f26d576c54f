//! Locks of one container: who looks after it, and who changes what it was made with.
//!
//! `lock` is its supervisor's, or of whoever removes it, alone. Whoever only wants to know whether it is held shares it
//! for a moment, and whoever copies files for longer: neither is a reason to give up, so those who want it alone wait.
//!
//! `container.json` is read, changed and replaced under the lock of `meta.json`, which is never replaced, so that no
//! change is lost to another one. It is the last lock that is taken, and nobody holds it who waits for a supervisor.

use crate::error::{During, Error, Kind, Result};
use crate::files;
use crate::place::{CONFIG, Container, Engine, LOCK};
use crate::record::Config;
use sys::fs::{self, Lock, O_NOFOLLOW, O_RDONLY};
use sys::time::{monotonic_ms, sleep_ms};
use sys::{Errno, Fd};

/// The store's record of the container.
const CHANGES: &str = "meta.json";
/// Whoever copies files of a container that is to be removed, or to be changed, is waited for so long.
pub(crate) const LOOKERS_WAIT_MS: u64 = 10_000;
/// A change is written, and a directory moved away, in less.
const CHANGE_WAIT_MS: u64 = 60_000;
/// Between looks.
const LOOK_MS: u64 = 5;

/// What became of the wish to have a container's lock alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is held from here on.
    Held,
    /// Somebody has it alone: a supervisor, or who removes the container.
    Owned,
    /// Somebody has shared it for as long as one was to wait: files are copied.
    Shared,
}

/// Takes a container's lock alone, unless somebody else has it so.
pub(crate) fn take(lock: &Fd, wait_ms: u64) -> Result<Taken> {
    const WHAT: &str = "locking the container";
    let deadline = monotonic_ms() + wait_ms;
    loop {
        match fs::lock(lock, Lock::TryExclusive) {
            Err(Errno::EAGAIN) => {}
            result => return result.map(|()| Taken::Held).during(|| WHAT),
        }
        if fs::lock(lock, Lock::TryShared).is_err() {
            return Ok(Taken::Owned);
        }
        fs::lock(lock, Lock::Release).during(|| WHAT)?;
        if monotonic_ms() >= deadline {
            return Ok(Taken::Shared);
        }
        sleep_ms(LOOK_MS);
    }
}

/// A container whose record nobody else changes until this is dropped.
#[derive(Debug)]
pub struct Changing {
    /// As it is now.
    pub container: Container,
    _lock: Fd,
}

impl Changing {
    /// Lets others change the record again.
    pub fn done(self) -> Container {
        self.container
    }
}

impl Container {
    /// Opens its lock.
    pub(crate) fn open_lock(&self) -> Result<Fd> {
        match fs::open_at(&self.dir, LOCK, fs::O_RDWR | fs::O_CREAT | O_NOFOLLOW, 0o600) {
            // The directory was removed since it was opened.
            Err(Errno::ENOENT) => {
                let text = format!("No such container: {}", self.config.name);
                Err(Error::new(Kind::NotFound, text))
            }
            opened => {
                opened.during(|| format!("opening the lock of container {}", self.config.name))
            }
        }
    }
}

impl Engine {
    /// Opens a container to change what is recorded of it.
    pub fn to_change(&self, id: &str) -> Result<Changing> {
        let missing = || Error::new(Kind::NotFound, format!("No such container: {id}"));
        let lock = self.lock_changes(id)?.ok_or_else(missing)?;
        let container = self.load(id)?.ok_or_else(missing)?;
        Ok(Changing { container, _lock: lock })
    }

    /// Changes the record alone, whatever the container does.
    pub(crate) fn change_record(&self, id: &str, edit: impl FnOnce(&mut Config)) -> Result<()> {
        let Some(_lock) = self.lock_changes(id)? else { return Ok(()) };
        let dir = self.open_dir(id)?;
        let Some(mut now) = files::read::<Config>(&dir, CONFIG)? else { return Ok(()) };
        edit(&mut now);
        files::write(&dir, CONFIG, &now, true)
    }

    /// Takes the lock of a container's record; nothing where it is not there any more.
    pub(crate) fn lock_changes(&self, id: &str) -> Result<Option<Fd>> {
        let deadline = monotonic_ms() + CHANGE_WAIT_MS;
        loop {
            let Some(file) = self.open_changes(id)? else { return Ok(None) };
            match fs::lock(&file, Lock::TryExclusive) {
                // It may have been removed since it was opened.
                Ok(()) => match self.open_changes(id)? {
                    None => return Ok(None),
                    Some(now) if inode(&now)? == inode(&file)? => return Ok(Some(file)),
                    Some(_) => {}
                },
                Err(Errno::EAGAIN) if monotonic_ms() < deadline => sleep_ms(LOOK_MS),
                Err(Errno::EAGAIN) => {
                    let text = format!("container {id}: somebody else changes it");
                    return Err(Error::new(Kind::State, text).with_hint("try again"));
                }
                Err(errno) => return Err(Error::os(format!("locking container {id}"), errno)),
            }
        }
    }

    fn open_changes(&self, id: &str) -> Result<Option<Fd>> {
        let Ok(dir) = self.open_dir(id) else { return Ok(None) };
        match fs::open_at(&dir, CHANGES, O_RDONLY | O_NOFOLLOW, 0) {
            Err(Errno::ENOENT) => Ok(None),
            opened => opened.map(Some).during(|| format!("opening {CHANGES} of container {id}")),
        }
    }
}

fn inode(file: &Fd) -> Result<(u64, u64)> {
    fs::stat_fd(file).map(|stat| (stat.st_dev, stat.st_ino)).during(|| "looking at a lock")
}
