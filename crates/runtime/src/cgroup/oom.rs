//! Learning that a container ran out of memory.

use super::layout::Version;
use super::plan::Plan;
use super::tree::{Dir, is_gone, value_of};
use crate::error::{Attempt, Error, Kind, Result};
use alloc::format;
use sys::wait::{POLLIN, PollFd};
use sys::{Errno, Fd, fs};

/// How kernfs tells that a file has changed since it was read.
const POLLPRI: u32 = 2;

/// Tells of processes that the kernel killed for want of memory. Wait on [`OomWatch::poll_fds`],
/// then ask [`OomWatch::check`].
#[derive(Debug)]
pub struct OomWatch {
    dir: Dir,
    kind: Watch,
    /// Kills that have been told (v2).
    seen: u64,
}

#[derive(Debug)]
enum Watch {
    /// An event counter that `cgroup.event_control` knows; it counts once more when the cgroup
    /// goes away.
    V1 { counter: Fd, _control: Fd },
    /// `memory.events` and `cgroup.events`, which poll as changed.
    V2 { memory: Fd, cgroup: Fd },
}

/// What [`OomWatch::check`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OomEvent {
    /// Nothing new.
    Quiet,
    /// Memory ran out since the last time.
    Oom,
    /// The container has ended: there will be no more.
    Gone,
}

impl Plan {
    /// Processes of the container that the kernel killed for want of memory so far; 0 without a
    /// memory cgroup.
    pub fn oom_kill_count(&self) -> Result<u64> {
        let file = oom_file(self.version);
        let Some(dir) = self.memory_dir()? else { return Ok(0) };
        let text = dir.read_optional(file)?.unwrap_or_default();
        Ok(value_of(&text, "oom_kill").unwrap_or(0))
    }

    /// Starts to watch.
    pub fn watch_oom(&self) -> Result<OomWatch> {
        let missing = || Error::new(Kind::Unsupported, "the container has no memory cgroup");
        let dir = self.memory_dir()?.ok_or_else(missing)?;
        let open = |file: &str| {
            let opened = fs::open_at(&dir, file, fs::O_RDONLY, 0);
            opened.attempt(|| format!("opening {}/{file}", dir.path()))
        };
        let kind = match self.version {
            // The controller is not delegated, or the kernel was told to do without.
            Version::V2 if !dir.has("memory.events") => return Err(missing()),
            Version::V2 => {
                Watch::V2 { memory: open("memory.events")?, cgroup: open("cgroup.events")? }
            }
            _ => {
                let counter = sys::bpf::event_counter().attempt(|| "making an event counter")?;
                let control = open("memory.oom_control")?;
                let line = format!("{} {}", counter.raw(), control.raw());
                dir.write("cgroup.event_control", &line)?;
                Watch::V1 { counter, _control: control }
            }
        };
        let mut watch = OomWatch { dir, kind, seen: 0 };
        if let Watch::V2 { memory, cgroup } = &watch.kind {
            // Kills from before are no news.
            watch.populated(cgroup)?;
            watch.seen = watch.kills(memory)?.unwrap_or(0);
        }
        Ok(watch)
    }

    fn memory_dir(&self) -> Result<Option<Dir>> {
        let directory = match self.version {
            Version::V2 => self.unified(),
            _ => self.directory("memory"),
        };
        Ok(directory.filter(|d| d.used).map(Dir::find).transpose()?.flatten())
    }
}

fn oom_file(version: Version) -> &'static str {
    if version == Version::V2 { "memory.events" } else { "memory.oom_control" }
}

impl OomWatch {
    /// What to wait for with [`sys::wait::poll`]; any readiness is a reason to [`Self::check`].
    pub fn poll_fds(&self) -> [PollFd; 2] {
        match &self.kind {
            Watch::V1 { counter, .. } => [PollFd::new(counter, POLLIN), PollFd::none()],
            Watch::V2 { memory, cgroup } => {
                [PollFd::new(memory, POLLPRI), PollFd::new(cgroup, POLLPRI)]
            }
        }
    }

    /// Looks what has happened. Does not block.
    pub fn check(&mut self) -> Result<OomEvent> {
        match &self.kind {
            Watch::V1 { counter, .. } => {
                let mut count = [0; 8];
                let count = match fs::read(counter, &mut count) {
                    Ok(_) => u64::from_ne_bytes(count),
                    Err(Errno::EAGAIN) => return Ok(OomEvent::Quiet),
                    Err(errno) => return Err(Error::os("reading the event counter", errno)),
                };
                // The end of the cgroup counts once; memory may have run out just before it. The
                // number of kills says nothing here: it changes a moment after the event, and a
                // container may be stopped until memory is free (disableOOMKiller) instead.
                let gone = self.dir.read_optional("memory.oom_control")?.is_none();
                Ok(if gone && count == 1 { OomEvent::Gone } else { OomEvent::Oom })
            }
            Watch::V2 { memory, cgroup } => {
                let Some(kills) = self.kills(memory)? else { return Ok(OomEvent::Gone) };
                if kills > core::mem::replace(&mut self.seen, kills) {
                    return Ok(OomEvent::Oom);
                }
                Ok(if self.populated(cgroup)? { OomEvent::Quiet } else { OomEvent::Gone })
            }
        }
    }

    /// Kills so far; `None` when the cgroup is gone. Reading also arms the poll.
    fn kills(&self, memory: &Fd) -> Result<Option<u64>> {
        let text = self.reread(memory)?;
        Ok(text.map(|text| value_of(&text, "oom_kill").unwrap_or(0)))
    }

    /// Whether the container still has processes. Reading also arms the poll.
    fn populated(&self, cgroup: &Fd) -> Result<bool> {
        Ok(self.reread(cgroup)?.is_some_and(|text| value_of(&text, "populated") != Some(0)))
    }

    /// The text of an open file now; `None` when its cgroup is gone.
    fn reread(&self, file: &Fd) -> Result<Option<alloc::string::String>> {
        let read = fs::seek(file, 0).and_then(|()| fs::read_to_end(file, 1 << 16));
        match read {
            Ok(bytes) => Ok(Some(alloc::string::String::from_utf8_lossy(&bytes).into_owned())),
            Err(errno) if is_gone(errno) => Ok(None),
            Err(errno) => Err(Error::os(format!("reading events of {}", self.dir.path()), errno)),
        }
    }
}
