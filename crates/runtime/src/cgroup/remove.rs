//! Taking a container's cgroup away.

use super::plan::Plan;
use super::procs::{children, processes_below, wait_for_change};
use super::tree::{Dir, is_gone};
use crate::error::{Error, Kind};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use sys::{AsFd, Errno, fs};

/// How long a directory may stay busy: killed processes need until they are gone, which takes
/// milliseconds unless one sits in the kernel. runc gives each directory one second.
pub const REMOVE_DEADLINE_MS: u64 = 2000;

/// First pause between tries; it doubles up to [`LONGEST_PAUSE_MS`].
const FIRST_PAUSE_MS: u64 = 1;
const LONGEST_PAUSE_MS: u64 = 64;

impl Plan {
    /// Removes every directory of the plan, cgroups below them first, and the systemd unit. What
    /// does not exist is no failure; what fails does not keep the rest from being removed, and is
    /// all returned. Nothing is killed: see [`Plan::kill_all`].
    pub fn remove(&self, deadline_ms: u64) -> Vec<Error> {
        let end = sys::time::monotonic_ms() + deadline_ms;
        let mut failures = Vec::new();
        if let Err(error) = self.check() {
            return alloc::vec![error];
        }
        if let Some(unit) = &self.unit {
            failures.extend(unit.stop().err());
        }
        for directory in self.used().rev() {
            failures.extend(remove_tree(&directory.full_path(), end).err());
        }
        failures
    }
}

fn remove_tree(path: &str, end_ms: u64) -> Result<(), Error> {
    // Usually the one call that is needed.
    match fs::unlink(sys::CWD, path, fs::AT_REMOVEDIR) {
        Ok(()) => return Ok(()),
        Err(errno) if is_gone(errno) => return Ok(()),
        Err(_) => {}
    }
    let mut pause_ms = FIRST_PAUSE_MS;
    loop {
        // A read-only mount says EROFS for what is not there, too.
        let dir = match Dir::open_path(path.into()) {
            Ok(dir) => dir,
            Err(errno) if is_gone(errno) => return Ok(()),
            Err(errno) => return Err(Error::os(format!("removing cgroup {path}"), errno)),
        };
        remove_children(&dir, 0);
        match fs::unlink(sys::CWD, path, fs::AT_REMOVEDIR) {
            Ok(()) => return Ok(()),
            Err(errno) if is_gone(errno) => return Ok(()),
            Err(Errno::EBUSY | Errno::ENOTEMPTY) if sys::time::monotonic_ms() < end_ms => {
                wait_for_change(&dir, pause_ms);
                pause_ms = (pause_ms * 2).min(LONGEST_PAUSE_MS);
            }
            Err(Errno::EBUSY | Errno::ENOTEMPTY) => return Err(busy(&dir)),
            Err(errno) => return Err(Error::os(format!("removing cgroup {path}"), errno)),
        }
    }
}

/// Removes what can be removed below `dir`; what is left makes `dir` busy.
fn remove_children(dir: &impl AsFd, depth: usize) {
    for name in children(dir) {
        if fs::unlink(dir, &name, fs::AT_REMOVEDIR).is_ok() || depth >= super::procs::DEPTH_LIMIT {
            continue;
        }
        if let Ok(child) = fs::open_at(dir, &name, fs::O_PATH | fs::O_DIRECTORY | fs::O_NOFOLLOW, 0)
        {
            remove_children(&child, depth + 1);
        }
        let _ = fs::unlink(dir, &name, fs::AT_REMOVEDIR);
    }
}

fn busy(dir: &Dir) -> Error {
    let pids = processes_below(dir).unwrap_or_default();
    let path = dir.path();
    let message = match pids.is_empty() {
        true => format!("removing cgroup {path}: {}", Errno::EBUSY),
        false => format!("removing cgroup {path}: processes are left: {}", shown(&pids)),
    };
    Error::new(Kind::Busy, message)
}

/// The first pids of a list.
pub(super) fn shown(pids: &[i32]) -> String {
    const SHOWN: usize = 10;
    let mut text: String =
        pids.iter().take(SHOWN).map(|pid| format!("{pid}, ")).collect::<String>();
    text.truncate(text.len().saturating_sub(2));
    if pids.len() > SHOWN {
        text += &format!(" and {} more", pids.len() - SHOWN);
    }
    text
}
