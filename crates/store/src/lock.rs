//! Locks between processes: `flock`, which the kernel takes from whoever dies.
//!
//! The order, in which a process takes them and none is left out of:
//!
//! 1. claims on digests, the smallest first ([`crate::Work::claim`]);
//! 2. `gate`, for a moment: whoever wants the store alone closes it, so that a stream of others does
//!    not keep it waiting for ever;
//! 3. `lock`: shared by everything that adds, names or mounts, alone by what takes things away;
//! 4. one directory of `staging`, `containers` or the mounts;
//! 5. one directory of `names`.
//!
//! A claim is waited for without any other lock; nothing but a claim and the own staging directory is
//! held over network, hashing, compression, deletion or `syncfs`.

use crate::error::{Error, Kind, Result};
use crate::limits::{LOCK_WAIT_MS, POLL_MS};
use sys::fs::{self, AT_SYMLINK_NOFOLLOW, Lock, O_CREAT, O_NOFOLLOW, O_RDONLY};
use sys::{AsFd, Errno, Fd};

pub(crate) const GATE: &str = "gate";
pub(crate) const LOCK: &str = "lock";

/// The store's lock, until it is dropped.
#[derive(Debug)]
pub(crate) struct Guard {
    _lock: Fd,
}

/// Takes the store's lock together with others.
pub(crate) fn shared(root: &Fd) -> Result<Guard> {
    enter(root, Lock::TryShared)
}

/// Takes the store's lock alone.
pub(crate) fn exclusive(root: &Fd) -> Result<Guard> {
    enter(root, Lock::TryExclusive)
}

fn enter(root: &Fd, how: Lock) -> Result<Guard> {
    let gate = open(root, GATE)?;
    wait(&gate, how, LOCK_WAIT_MS, || "the store's gate".into())?;
    let lock = open(root, LOCK)?;
    wait(&lock, how, LOCK_WAIT_MS, || "the store".into())?;
    Ok(Guard { _lock: lock })
}

/// An open file of its own for each holder: two threads must not share one.
fn open(root: &Fd, name: &str) -> Result<Fd> {
    fs::open_at(root, name, O_RDONLY | O_CREAT | O_NOFOLLOW, 0o600)
        .map_err(|errno| Error::os(format!("opening the store's {name}"), errno))
}

/// Waits for a lock, for so long.
pub(crate) fn wait(
    file: impl AsFd,
    how: Lock,
    limit_ms: u64,
    what: impl FnOnce() -> String,
) -> Result<()> {
    let mut pause_ms = 1;
    let start = sys::time::monotonic_ms();
    loop {
        match fs::lock(&file, how) {
            Err(Errno::EAGAIN) if sys::time::monotonic_ms() - start < limit_ms => {
                sys::time::sleep_ms(pause_ms);
                pause_ms = (2 * pause_ms).min(POLL_MS);
            }
            Err(Errno::EAGAIN) => {
                let text = format!("locking {}: another process holds it", what());
                let hint = "`fuser -v` on its file names the process";
                return Err(Error::new(Kind::Busy, text).with_hint(hint));
            }
            Err(errno) => return Err(Error::os(format!("locking {}", what()), errno)),
            Ok(()) => return Ok(()),
        }
    }
}

/// Takes a lock that nobody holds; says whether it was so.
pub(crate) fn try_alone(file: impl AsFd) -> Result<bool> {
    attempt(file, Lock::TryExclusive)
}

/// Takes a lock that nobody holds alone; says whether it was so.
pub(crate) fn try_shared(file: impl AsFd) -> Result<bool> {
    attempt(file, Lock::TryShared)
}

fn attempt(file: impl AsFd, how: Lock) -> Result<bool> {
    match fs::lock(&file, how) {
        Ok(()) => Ok(true),
        Err(Errno::EAGAIN) => Ok(false),
        Err(errno) => Err(Error::os("trying a lock", errno)),
    }
}

/// Whether the path still names the open file: it may have been removed while its lock was waited for.
pub(crate) fn is_at(root: &Fd, path: &str, file: &Fd) -> Result<bool> {
    let open = fs::stat_fd(file).map_err(|errno| Error::os(format!("looking at {path}"), errno))?;
    match fs::stat_at(root, path, AT_SYMLINK_NOFOLLOW) {
        Ok(there) => Ok((there.st_dev, there.st_ino) == (open.st_dev, open.st_ino)),
        Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(Error::os(format!("looking at {path}"), errno)),
    }
}
