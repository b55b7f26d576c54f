//! The processes of a cgroup.

use super::plan::Plan;
use super::tree::{Dir, is_gone};
use crate::error::{Error, Result};
use alloc::format;
use alloc::vec::Vec;
use sys::{AsFd, Errno, fs};

/// Deepest nesting that is walked. The kernel's own bound is `PATH_MAX`; a container that nests
/// deeper is cleaned up to here and the rest reported as busy.
pub(super) const DEPTH_LIMIT: usize = 256;

impl Plan {
    /// Every process of the container, in the caller's pid namespace, sorted. None if the cgroup
    /// is gone.
    pub fn processes(&self) -> Result<Vec<i32>> {
        match self.main().map(Dir::find).transpose()?.flatten() {
            Some(dir) => processes_below(&dir),
            None => Ok(Vec::new()),
        }
    }

    /// Whether the container has a cgroup on this machine now.
    pub fn exists(&self) -> bool {
        self.main().is_some_and(|directory| Dir::open(directory).is_ok())
    }
}

/// The processes in a cgroup and below it, sorted.
pub(super) fn processes_below(dir: &Dir) -> Result<Vec<i32>> {
    let mut pids = Vec::new();
    let mut failed = None;
    walk(dir, 0, &mut |dir, _| match processes_in(dir) {
        Ok(mut found) => pids.append(&mut found),
        Err(error) => failed = failed.take().or(Some(error)),
    });
    oci::sort_by(&mut pids, i32::cmp);
    pids.dedup();
    // Processes that were found must be reported to be killed even when a cgroup cannot be read.
    match failed {
        Some(error) if pids.is_empty() => Err(error),
        _ => Ok(pids),
    }
}

/// Calls `visit` with every cgroup below `dir`, children first, and with `dir` itself. A cgroup
/// that goes away meanwhile is left out.
pub(super) fn walk(dir: &Dir, depth: usize, visit: &mut dyn FnMut(&Dir, usize)) {
    if depth < DEPTH_LIMIT {
        for name in children(dir) {
            if let Ok(child) = dir.child(&name) {
                walk(&child, depth + 1, visit);
            }
        }
    }
    visit(dir, depth);
}

/// Names of the cgroups directly below `dir`.
pub(super) fn children(dir: &impl AsFd) -> Vec<Vec<u8>> {
    // The directory is open as a path only, which cannot be listed.
    let list = fs::open_at(dir, ".", fs::O_RDONLY | fs::O_DIRECTORY, 0);
    let entries = list.and_then(|list| fs::read_dir(list.borrow())).unwrap_or_default();
    entries.into_iter().filter(|entry| entry.is_dir()).map(|entry| entry.name).collect()
}

fn processes_in(dir: &Dir) -> Result<Vec<i32>> {
    let text = match dir.try_read("cgroup.procs") {
        // A threaded cgroup lists threads only.
        Err(Errno::ENOTSUP) => dir.try_read("cgroup.threads"),
        result => result,
    };
    match text {
        // 0 is a process of another pid namespace.
        Ok(text) => {
            Ok(text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).collect())
        }
        Err(errno) if is_gone(errno) => Ok(Vec::new()),
        Err(errno) => Err(Error::os(format!("reading {}/cgroup.procs", dir.path()), errno)),
    }
}

/// Waits for processes to leave a cgroup, at most `timeout_ms`: for an event where the kernel has
/// one (v2), otherwise by sleeping.
pub(super) fn wait_for_change(dir: &Dir, timeout_ms: u64) {
    /// How kernfs tells that a file has changed since it was read.
    const POLLPRI: u32 = 2;
    let events = fs::open_at(dir, "cgroup.events", fs::O_RDONLY, 0);
    let populated = events.and_then(|file| {
        let text = fs::read_to_end(&file, 4096)?;
        let text = core::str::from_utf8(&text).unwrap_or_default();
        Ok((super::tree::value_of(text, "populated") == Some(1)).then_some(file))
    });
    match populated {
        Ok(Some(file)) => {
            let mut fds = [sys::wait::PollFd::new(&file, POLLPRI)];
            let _ = sys::wait::poll(&mut fds, Some(timeout_ms));
        }
        _ => sys::time::sleep_ms(timeout_ms),
    }
}
