//! `events`: what happens to a container until it ends.

use super::{look_up, no_cgroup};
use crate::Host;
use crate::cgroup::{OomEvent, OomWatch, Plan, Stats};
use crate::config::ContainerId;
use crate::error::{Attempt, Error, Kind, Result};
use crate::state::ContainerDir;
use alloc::format;
use oci::runtime::Status;
use sys::wait::{POLLIN, PollFd};
use sys::{Fd, process, wait};

/// A container that is being watched.
#[derive(Debug)]
pub struct Events {
    dir: ContainerDir,
    init: Fd,
    cgroup: Plan,
    /// `None`: it has no memory cgroup, or that one is gone.
    oom: Option<OomWatch>,
}

/// What [`Events::next`] waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// Memory ran out.
    Oom,
    /// Nothing within the time.
    Nothing,
    /// The container has ended.
    Ended,
}

impl Events {
    /// Starts to watch a container that has not ended.
    pub fn watch(host: &Host, id: &ContainerId) -> Result<Self> {
        let ended = || Error::new(Kind::InUse, format!("container {id} is not running"));
        let (dir, record, status) = look_up(host, id)?;
        if matches!(status, Status::Stopped | Status::Creating) {
            return Err(ended());
        }
        let init = process::open_pid(record.pid).map_err(|_| ended())?;
        // Only now it is certain which process the descriptor stands for.
        if !record.is_alive() {
            return Err(ended());
        }
        let cgroup = record.cgroup.ok_or_else(no_cgroup)?;
        let oom = watch_oom(&cgroup)?;
        Ok(Self { dir, init, cgroup, oom })
    }

    /// What the container uses. `None`: it has just ended.
    pub fn stats(&mut self) -> Result<Option<Stats>> {
        // An update may have put another hierarchy into use.
        let record = self.dir.load().unwrap_or_default();
        if let Some(now) = record.cgroup.as_ref().filter(|now| **now != self.cgroup) {
            self.oom = watch_oom(now)?;
            self.cgroup = now.clone();
        }
        let read = self.cgroup.stats().and_then(|mut stats| {
            stats.intel_rdt = crate::rdt::stats(&record)?;
            Ok(stats)
        });
        match read {
            Err(_) if self.has_ended()? => Ok(None),
            result => result.map(Some),
        }
    }

    fn has_ended(&self) -> Result<bool> {
        let mut fds = [PollFd::new(&self.init, POLLIN)];
        wait::poll(&mut fds, Some(0)).attempt(|| "watching the container")?;
        Ok(fds[0].ready() != 0)
    }

    /// Waits for something to happen, at most for this time.
    pub fn next(&mut self, timeout_ms: u64) -> Result<Happened> {
        let [first, second] =
            self.oom.as_ref().map_or([PollFd::none(); 2], |watch| watch.poll_fds());
        let mut fds = [PollFd::new(&self.init, POLLIN), first, second];
        wait::poll(&mut fds, Some(timeout_ms)).attempt(|| "watching the container")?;
        // The last thing that a container does may be to run out of memory.
        match self.oom.as_mut().map(OomWatch::check).transpose()? {
            Some(OomEvent::Oom) => return Ok(Happened::Oom),
            Some(OomEvent::Gone) => self.oom = None,
            Some(OomEvent::Quiet) | None => {}
        }
        Ok(if fds[0].ready() != 0 { Happened::Ended } else { Happened::Nothing })
    }
}

fn watch_oom(cgroup: &Plan) -> Result<Option<OomWatch>> {
    match cgroup.watch_oom() {
        // Nothing limits its memory, so it cannot run out.
        Err(error) if error.kind() == Kind::Unsupported => Ok(None),
        result => result.map(Some),
    }
}
