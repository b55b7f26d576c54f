//! Networks beyond one container's start and end: what killed supervisors have left of them.
//!
//! Whoever joins networks for a container has a locked file `RUNROOT/joined/ID` meanwhile: the next command sees by a lock
//! that nobody holds that somebody was killed, and looks closer only then.

use crate::error::{During, Error, Kind, Result};
use crate::files;
use crate::launch::network;
use crate::place::{Engine, LOCK, Place};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use sys::fs::{self, Lock, O_CREAT, O_RDWR};
use sys::{CWD, Errno, Fd};

const JOINED: &str = "joined";
/// Nobody is so unlucky.
const TRIES: usize = 16;

/// Says that this process has joined networks for a container, until it is dropped.
#[derive(Debug)]
pub(crate) struct Mark {
    path: PathBuf,
    _lock: Fd,
}

impl Mark {
    pub(crate) fn new(place: &Place, id: &str) -> Result<Self> {
        let dir = place.runroot.join(JOINED);
        let path = dir.join(id);
        let bytes = path.as_os_str().as_bytes();
        let attempt = || format!("making {}", path.display());
        // Somebody who sweeps may take it away before it is locked.
        for _ in 0..TRIES {
            let lock = match fs::open_at(CWD, bytes, O_RDWR | O_CREAT, 0o600) {
                Err(Errno::ENOENT) => {
                    std::fs::create_dir_all(&dir).during(attempt)?;
                    continue;
                }
                opened => opened.during(attempt)?,
            };
            fs::lock(&lock, Lock::Exclusive).during(attempt)?;
            let own = fs::stat_fd(&lock).during(attempt)?;
            if fs::stat_at(CWD, bytes, 0).is_ok_and(|it| it.st_ino == own.st_ino) {
                return Ok(Self { path, _lock: lock });
            }
        }
        Err(Error::new(Kind::State, format!("{}: others sweep it again and again", attempt())))
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        // One that stays is found by the next command.
        let _ = fs::unlink(CWD, self.path.as_os_str().as_bytes(), 0);
    }
}

impl Engine {
    /// Gives back what killed supervisors have had of networks.
    pub(crate) fn sweep_joined(&self) {
        let dir = self.place.runroot.join(JOINED);
        let Ok(dir) = fs::open_at(CWD, dir.as_os_str().as_bytes(), fs::O_DIRECTORY, 0) else {
            return;
        };
        for id in files::list(&dir, ".").into_iter().flatten() {
            let Ok(mark) = fs::open_at(&dir, &id, O_RDWR, 0) else { continue };
            let is_left = fs::lock(&mark, Lock::TryExclusive).is_ok();
            if is_left && self.take_out(&id).is_ok_and(|done| done) {
                let _ = files::remove(&dir, &id);
            }
        }
    }

    /// Takes a container out of its networks that does not run. Says whether nothing is left to do.
    fn take_out(&self, id: &str) -> Result<bool> {
        let Some(container) = self.load(id)? else {
            network::leave_everything(&self.place, id);
            return Ok(true);
        };
        if container.is_running() && !container.supervised {
            return Ok(false);
        }
        let lock = files::open_lock(&container.dir, LOCK)?;
        // Whoever starts it again begins with the same.
        if fs::lock(&lock, Lock::TryExclusive).is_ok() {
            network::leave(&self.place, &container.config);
        }
        Ok(true)
    }

    /// Whether a container runs, or is about to.
    fn is_live(&self, id: &str) -> bool {
        let found = self.load(id);
        // What cannot be read is left as it is.
        found.map_or(true, |found| found.is_some_and(|it| it.supervised || it.is_running()))
    }

    /// Takes those out of all networks that do not run, and bridges and rules away that no container uses. Returns how
    /// many containers there were. Goes on after a failure, and returns the first one.
    pub fn sweep_networks(&self) -> Result<usize> {
        let networks = network::open(&self.place)?;
        let (mut count, mut first) = (0, Ok(()));
        for network in networks.list()?.0 {
            match networks.sweep(&network, &|id| self.is_live(id)) {
                Ok(some) => count += some,
                Err(error) => first = first.and(Err(error)),
            }
        }
        first?;
        Ok(count)
    }
}
