//! Pausing a container.

use super::cpuset::inherit_cpuset;
use super::create::make_directory;
use super::layout::Version;
use super::plan::{Directory, Plan};
use super::procs::processes_below;
use super::tree::{Dir, value_of};
use crate::error::{Attempt, Error, Kind, Result};
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use oci::runtime::Resources;
use sys::{Errno, fs};

/// How long freezing may take: a process in the middle of a system call is waited for. runc waits
/// 10 s on v2.
pub const FREEZE_DEADLINE_MS: u64 = 10_000;

/// v1 can miss processes that are being made while it freezes; thawing for a moment now and then
/// helps (runc's measurements: every 50 tries, 10 ms).
const V1_TRIES_BETWEEN_THAWS: u32 = 50;
const V1_THAW_MS: u64 = 10;

enum Freezer {
    V1(Dir),
    Unified(Dir),
}

impl Plan {
    /// Puts a freezer into use if the container has none yet. `true`: record the plan before
    /// [`Plan::freeze`] makes the cgroup.
    pub fn enlist_freezer(&mut self) -> Result<bool> {
        if self.version == Version::V2 || self.unified_freezer()?.is_some() {
            return Ok(false);
        }
        self.enlist(&["freezer"])
    }

    /// Pauses every process of the container. When they are not all paused at the deadline, they
    /// run again and the error says so (`Busy`).
    pub fn freeze(&self, deadline_ms: u64) -> Result<()> {
        let end = sys::time::monotonic_ms() + deadline_ms;
        let frozen = match self.freezer()? {
            Some(Freezer::Unified(dir)) => freeze_unified(&dir, end),
            Some(Freezer::V1(dir)) => freeze_v1(&dir, end),
            None => {
                let Some(directory) = self.directory("freezer").filter(|d| d.used) else {
                    let message = "cannot pause: the container has no freezer cgroup";
                    return Err(Error::new(Kind::Unsupported, message));
                };
                let dir = self.populate(directory, &Resources::default(), end)?;
                freeze_v1(&dir, end)
            }
        };
        if frozen.is_err() {
            // Half-frozen is worse than running.
            let _ = self.thaw();
        }
        frozen
    }

    /// Lets every process of the container run again.
    pub fn thaw(&self) -> Result<()> {
        // Both: whoever froze it, with whatever freezer.
        if let Some(dir) = self.v1_freezer()? {
            dir.write("freezer.state", "THAWED")?;
        }
        let unified = self.unified().filter(|d| d.used).map(Dir::find).transpose()?.flatten();
        if let Some(dir) = unified {
            match dir.try_write("cgroup.freeze", "0") {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(errno) => return Err(dir.refused("cgroup.freeze", "0", errno)),
            }
        }
        Ok(())
    }

    /// Whether the container is paused (by its own cgroup, not by one above it).
    pub fn is_frozen(&self) -> Result<bool> {
        if let Some(dir) = self.v1_freezer()?
            && let Some(own) = dir.read_optional("freezer.self_freezing")?
            && own.trim() == "1"
        {
            return Ok(true);
        }
        let unified = self.unified().filter(|d| d.used).map(Dir::find).transpose()?.flatten();
        let state = unified.map(|dir| dir.read_optional("cgroup.freeze")).transpose()?.flatten();
        Ok(state.is_some_and(|state| state.trim() == "1"))
    }

    fn freezer(&self) -> Result<Option<Freezer>> {
        if let Some(dir) = self.unified_freezer()? {
            return Ok(Some(Freezer::Unified(dir)));
        }
        Ok(self.v1_freezer()?.map(Freezer::V1))
    }

    fn v1_freezer(&self) -> Result<Option<Dir>> {
        let freezer = self.directory("freezer").filter(|directory| directory.used);
        Ok(freezer.map(Dir::find).transpose()?.flatten())
    }

    /// The unified cgroup, if it can freeze (Linux 5.2) and has all of the container's processes.
    /// Beside v1 hierarchies, too, it is the better freezer: it misses nobody, and frozen
    /// processes can be killed.
    fn unified_freezer(&self) -> Result<Option<Dir>> {
        let unified = self.unified().filter(|d| d.used).map(Dir::find).transpose()?.flatten();
        let Some(dir) = unified.filter(|dir| dir.has("cgroup.freeze")) else { return Ok(None) };
        if self.version != Version::V2 {
            let before = self.processes()?;
            let there = processes_below(&dir)?;
            let absent = |pid: &&i32| there.binary_search(pid).is_err();
            if before.iter().any(|pid| absent(&pid)) {
                // One that has ended meanwhile is not missed.
                let after = self.processes()?;
                let lives = |pid: &i32| after.binary_search(pid).is_ok();
                if before.iter().filter(absent).any(lives) {
                    return Ok(None);
                }
            }
        }
        Ok(Some(dir))
    }

    /// Makes the cgroup of a hierarchy that was not used so far, sets its limits and moves every
    /// process of the container into it.
    pub(super) fn populate(
        &self,
        directory: &Directory,
        resources: &Resources,
        end_ms: u64,
    ) -> Result<Dir> {
        let (dir, fresh) = make_directory(directory)?;
        if directory.has("cpuset") {
            inherit_cpuset(directory, &dir, resources, fresh)?;
        } else {
            super::v1::apply(&dir, directory, resources)?;
        }
        loop {
            let there = processes_below(&dir)?;
            let all = self.processes()?;
            if let Some(stranger) = there.iter().find(|pid| all.binary_search(pid).is_err()) {
                // It may be the container's own that ended just now.
                if self.processes()?.binary_search(stranger).is_err() && is_there(&dir, *stranger) {
                    let path = dir.path();
                    let message = format!("cgroup {path} has process {stranger} of somebody else");
                    return Err(Error::new(Kind::InUse, message));
                }
            }
            let missing: Vec<i32> =
                all.into_iter().filter(|pid| there.binary_search(pid).is_err()).collect();
            if missing.is_empty() {
                return Ok(dir);
            }
            for pid in missing {
                match dir.try_write("cgroup.procs", &pid.to_string()) {
                    // Ended meanwhile, or is just being made: the next pass sees.
                    Ok(()) | Err(Errno::ESRCH | Errno::EINVAL) => {}
                    Err(errno) => {
                        return Err(dir.refused("cgroup.procs", &pid.to_string(), errno));
                    }
                }
            }
            if sys::time::monotonic_ms() >= end_ms {
                let message = format!("moving the container's processes to {}", dir.path());
                return Err(Error::new(Kind::Busy, format!("{message}: it makes new ones faster")));
            }
        }
    }
}

fn is_there(dir: &Dir, pid: i32) -> bool {
    processes_below(dir).is_ok_and(|pids| pids.binary_search(&pid).is_ok())
}

fn freeze_v1(dir: &Dir, end_ms: u64) -> Result<()> {
    for attempt in 1u32.. {
        dir.write("freezer.state", "FROZEN")?;
        match dir.read("freezer.state")?.trim() {
            "FROZEN" => return Ok(()),
            "FREEZING" => {}
            other => {
                let message = format!("{}: unexpected state \"{other}\"", dir.path());
                return Err(Error::new(Kind::Os, message));
            }
        }
        if sys::time::monotonic_ms() >= end_ms {
            break;
        }
        if attempt % V1_TRIES_BETWEEN_THAWS == 0 {
            dir.write("freezer.state", "THAWED")?;
            sys::time::sleep_ms(V1_THAW_MS);
        } else if attempt > 2 {
            sys::time::sleep_ms(1);
        }
    }
    Err(late(dir))
}

fn freeze_unified(dir: &Dir, end_ms: u64) -> Result<()> {
    /// How kernfs tells that a file has changed since it was read.
    const POLLPRI: u32 = 2;
    let attempt = || format!("reading {}/cgroup.events", dir.path());
    let events = fs::open_at(dir, "cgroup.events", fs::O_RDONLY, 0).attempt(attempt)?;
    dir.write("cgroup.freeze", "1")?;
    loop {
        fs::seek(&events, 0).attempt(attempt)?;
        let text = fs::read_to_end(&events, 4096).attempt(attempt)?;
        if value_of(core::str::from_utf8(&text).unwrap_or_default(), "frozen") == Some(1) {
            return Ok(());
        }
        let now = sys::time::monotonic_ms();
        if now >= end_ms {
            return Err(late(dir));
        }
        let mut fds = [sys::wait::PollFd::new(&events, POLLPRI)];
        sys::wait::poll(&mut fds, Some(end_ms - now)).attempt(attempt)?;
    }
}

fn late(dir: &Dir) -> Error {
    let message = format!("freezing {}: not all processes stopped in time", dir.path());
    Error::new(Kind::Busy, message)
}
