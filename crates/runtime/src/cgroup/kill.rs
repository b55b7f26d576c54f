//! Signals for every process of a container.

use super::layout::Version;
use super::plan::Plan;
use super::procs::{processes_below, wait_for_change};
use super::remove::shown;
use super::tree::Dir;
use crate::error::{Error, Kind, Result};
use alloc::format;
use alloc::vec::Vec;
use sys::Errno;
use sys::process::kill;

/// How long killed processes may take to be gone. They are within milliseconds, unless one hangs
/// in the kernel (state D, a dead NFS server), which no waiting helps: crun#868 waits for ever.
pub const KILL_DEADLINE_MS: u64 = 2000;

const SIGKILL: i32 = 9;

/// Passes over the processes for a signal that they can outrun by forking.
const SIGNAL_PASSES: usize = 8;
/// How long freezing them for that may take; it is a help, not a need.
const SIGNAL_FREEZE_MS: u64 = 200;

const FIRST_PAUSE_MS: u64 = 1;
const LONGEST_PAUSE_MS: u64 = 32;

impl Plan {
    /// Sends a signal to every process of the container.
    ///
    /// After `SIGKILL`, waits until they are gone; those that are not at the deadline are named in
    /// the error (`Busy`). Forking does not save a process: v2 has `cgroup.kill`, and on v1 the
    /// container is forbidden to fork first. A paused container is thawed, since a frozen v1
    /// process cannot die.
    pub fn kill_all(&self, signal: i32, deadline_ms: u64) -> Result<()> {
        self.check()?;
        if signal != SIGKILL {
            return self.signal_all(signal);
        }
        let end = sys::time::monotonic_ms() + deadline_ms;
        let unified = self.unified().filter(|d| d.used).and_then(|d| Dir::open(d).ok());
        // Linux before 5.14 has no such file, and this kills only what is in that hierarchy.
        let killed = unified.as_ref().is_some_and(|dir| dir.try_write("cgroup.kill", "1").is_ok());
        if !killed {
            self.forbid_forks();
        }
        let mut refused = None;
        let mut pause_ms = FIRST_PAUSE_MS;
        loop {
            let mut pids = self.processes()?;
            if let Some(dir) = unified.as_ref().filter(|_| self.version != Version::V2) {
                // An init is there before the cgroups of v1 are made.
                pids.append(&mut processes_below(dir)?);
                oci::sort_by(&mut pids, i32::cmp);
                pids.dedup();
            }
            if pids.is_empty() {
                return Ok(());
            }
            for &pid in &pids {
                match kill(pid, SIGKILL) {
                    Ok(()) | Err(Errno::ESRCH) => {}
                    Err(errno) => refused = Some((pid, errno)),
                }
            }
            self.let_die();
            if sys::time::monotonic_ms() >= end {
                return Err(match refused {
                    Some((pid, errno)) => Error::os(format!("killing process {pid}"), errno),
                    None => left(&pids),
                });
            }
            match &unified {
                Some(dir) => wait_for_change(dir, pause_ms),
                None => sys::time::sleep_ms(pause_ms),
            }
            pause_ms = (pause_ms * 2).min(LONGEST_PAUSE_MS);
        }
    }

    /// What keeps a container from running away while its processes are killed one by one. Best
    /// effort: the passes over the processes are what counts.
    fn forbid_forks(&self) {
        let write = |directory: Option<&super::plan::Directory>, file: &str, value: &str| {
            if let Some(Ok(dir)) = directory.map(Dir::open) {
                let _ = dir.try_write(file, value);
            }
        };
        match self.version {
            Version::V2 => write(self.unified(), "cgroup.freeze", "1"),
            _ => write(self.directory("pids").filter(|d| d.used), "pids.max", "0"),
        }
    }

    /// Thaws: a frozen process dies on v2, but on v1 only when it runs.
    fn let_die(&self) {
        for (directory, file, value) in [
            (self.directory("freezer"), "freezer.state", "THAWED"),
            (self.unified(), "cgroup.freeze", "0"),
        ] {
            if let Some(Ok(dir)) = directory.filter(|d| d.used).map(Dir::open) {
                let _ = dir.try_write(file, value);
            }
        }
    }

    /// Signals everybody once. A process that is just being made is in no list yet: the container
    /// is frozen meanwhile if it can be, and looked through again in any case.
    fn signal_all(&self, signal: i32) -> Result<()> {
        let frozen = !self.is_frozen()? && self.freeze(SIGNAL_FREEZE_MS).is_ok();
        let signalled = self.signal_passes(signal);
        if frozen {
            self.thaw()?;
        }
        signalled
    }

    fn signal_passes(&self, signal: i32) -> Result<()> {
        // Sorted, as every list of processes is.
        let mut signalled: Vec<i32> = Vec::new();
        for pass in 0..SIGNAL_PASSES {
            let pids = self.processes()?;
            let is_new = |pid: &i32| signalled.binary_search(pid).is_err();
            let new: Vec<i32> = pids.iter().copied().filter(is_new).collect();
            if new.is_empty() && pass > 0 {
                break;
            }
            for &pid in &new {
                match kill(pid, signal) {
                    Ok(()) | Err(Errno::ESRCH) => {}
                    Err(errno) => {
                        return Err(Error::os(format!("sending signal {signal} to {pid}"), errno));
                    }
                }
            }
            signalled.extend(new);
            oci::sort_by(&mut signalled, i32::cmp);
            sys::time::sleep_ms(FIRST_PAUSE_MS);
        }
        Ok(())
    }
}

fn left(pids: &[i32]) -> Error {
    let message = format!("killing all processes: still there after SIGKILL: {}", shown(pids));
    let hint = "a process in state D waits inside the kernel, usually for a disk or a server that \
                does not answer; it dies when the wait ends";
    Error::new(Kind::Busy, message).with_hint(hint)
}
