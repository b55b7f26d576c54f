//! What one does with a container that exists.

mod document;
mod events;
mod mounts;

pub use document::{features, masked_paths, readonly_paths, spec};
pub use events::{Events, Happened};
pub use mounts::{add_mounts, remove_mounts};

use crate::cgroup::{KILL_DEADLINE_MS, REMOVE_DEADLINE_MS};
use crate::config::ContainerId;
use crate::error::{Attempt, Error, Kind, Result};
use crate::notify::Proxy;
use crate::state::{self, ContainerDir, FIFO, Record};
use crate::{Console, ExecOptions, Host, hooks, rdt};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use oci::runtime::{IntelRdt, Resources, Status};
use sys::{fs, process, time};

/// How long `delete --force` waits for killed processes to be gone. A process in an uninterruptible
/// sleep can take as long as its device does; the user gets the word back and may try again.
const DELETE_DEADLINE_MS: u64 = 10_000;
/// How long `delete` waits for a program that is about to end: whoever has seen its last output
/// deletes faster than the kernel takes a process down. Other runtimes spend half of this starting.
const LAST_MOMENTS_MS: u64 = 100;
const SIGKILL: i32 = 9;
/// An init's error is a sentence.
const MESSAGE_LIMIT_BYTES: usize = 64 * 1024;

/// Where the container is in its life.
pub fn status(dir: &ContainerDir, record: &Record) -> Status {
    if record.pid == 0 {
        return Status::Creating;
    }
    if !record.is_alive() {
        return Status::Stopped;
    }
    if dir.has_fifo() {
        return Status::Created;
    }
    let frozen = record.cgroup.as_ref().is_some_and(|plan| plan.is_frozen().unwrap_or(false));
    if frozen { Status::Paused } else { Status::Running }
}

/// Reads a container's record and status.
pub fn look_up(host: &Host, id: &ContainerId) -> Result<(ContainerDir, Record, Status)> {
    let dir = ContainerDir::open(&host.root, id)?;
    let record = dir.load()?;
    let status = status(&dir, &record);
    Ok((dir, record, status))
}

/// Lets a created container execute its program.
pub fn start(host: &Host, id: &ContainerId) -> Result<()> {
    let dir = ContainerDir::open(&host.root, id)?;
    dir.lock()?;
    let record = dir.load()?;
    match status(&dir, &record) {
        Status::Created => {}
        Status::Stopped => {
            return Err(Error::new(Kind::InUse, "cannot start a container that has stopped"));
        }
        Status::Creating => {
            return Err(Error::new(Kind::InUse, "cannot start a container that is being created"));
        }
        Status::Running | Status::Paused => {
            let what = "cannot start an already running container";
            return Err(Error::new(Kind::InUse, what));
        }
    }
    let proxy = Proxy::listen(&dir, host.notify_socket.as_deref())?;
    open_gate(&dir, &record)?;
    if record.started_late {
        bring_in(host, id, &record).inspect_err(|_| {
            let _ = process::kill(record.pid, SIGKILL);
        })?;
    }
    if let Some(all) = &record.hooks {
        let state = record.state(Status::Running);
        hooks::run_all("poststart", &all.poststart, &state).inspect_err(|_| {
            // Since 1.3 of the specification a failed poststart hook fails the container. What
            // cannot be removed now is left to `delete`.
            let _ = kill_and_wait(&record).and_then(|()| remove(&dir, &record, &mut Vec::new()));
        })?;
    }
    // Others may stop a container that is long in getting ready.
    dir.unlock()?;
    proxy.map_or(Ok(()), |proxy| proxy.serve(record.pid))
}

/// Makes the program's process beside the first process that waits for it.
fn bring_in(host: &Host, id: &ContainerId, record: &Record) -> Result<()> {
    let console = match (record.console.as_str(), record.console_socket.as_str()) {
        ("", "") => Console::Inherit,
        ("", socket) => Console::Socket(socket.into()),
        (device, _) => Console::Device(device.into()),
    };
    let options = ExecOptions {
        process: record.process.clone(),
        console,
        detach: true,
        orphan: true,
        ..ExecOptions::default()
    };
    crate::exec(host, id, options, &mut Vec::new()).map(drop)
}

/// Opens the fifo that the init waits on, and listens to it until exec closes it.
fn open_gate(dir: &ContainerDir, record: &Record) -> Result<()> {
    let attempt = || format!("starting container {}", record.id);
    // Kernels before 5.3 have no such descriptor: there its end is looked for now and then.
    const LOOK_MS: u64 = 50;
    let init = process::open_pid(record.pid).ok();
    // Without blocking: a dead init must not hang its starter (runc#3448).
    let fifo = fs::open_at(dir.fd(), FIFO, fs::O_RDONLY | fs::O_NONBLOCK, 0).attempt(attempt)?;
    fs::unlink(dir.fd(), FIFO, 0).attempt(attempt)?;
    let mut message = Vec::new();
    let mut buffer = [0u8; 4096];
    // An init that has not opened its end yet makes no event; one that has opened and closed it
    // meanwhile does.
    while message.len() < MESSAGE_LIMIT_BYTES {
        let end = init.as_ref().map(|init| sys::wait::PollFd::new(init, sys::wait::POLLIN));
        let mut fds = [
            sys::wait::PollFd::new(&fifo, sys::wait::POLLIN),
            end.unwrap_or_else(sys::wait::PollFd::none),
        ];
        let pause = if init.is_some() { None } else { Some(LOOK_MS) };
        sys::wait::poll(&mut fds, pause).attempt(attempt)?;
        let has_ended = fds[1].ready() != 0 || (init.is_none() && !record.is_alive());
        if fds[0].ready() == 0 && has_ended {
            break;
        }
        match fs::read(&fifo, &mut buffer) {
            Ok(0) if fds[0].ready() != 0 => break,
            Ok(0) | Err(sys::Errno::EAGAIN) => {}
            Ok(count) => message.extend_from_slice(&buffer[..count]),
            Err(errno) => return Err(Error::os(attempt(), errno)),
        }
    }
    if message.is_empty() {
        // An init that is killed closes the fifo as exec does. (A reaper never executes anything.)
        return match record.init || record.started_late {
            true => Ok(()),
            false => check_executed(record, init.as_ref()),
        };
    }
    // Whoever deletes the container next finds it stopped.
    let _ = wait_for_end(record);
    Err(Error::decode(&message))
}

/// Fails if the init, which nobody listens to any more, has not executed its program.
fn check_executed(record: &Record, init: Option<&sys::Fd>) -> Result<()> {
    let stat = crate::procfs::process_stat(record.pid);
    let killed = match stat.filter(|stat| stat.start_ticks == record.pid_start) {
        Some(stat) => (!stat.has_executed()).then_some(sys::wait::Exit::Signal(SIGKILL)),
        // It has ended and was waited for. What ends it before exec is a signal: errors it tells.
        None => init
            .and_then(sys::wait::ended)
            .filter(|exit| matches!(exit, sys::wait::Exit::Signal(_))),
    };
    killed.map_or(Ok(()), |exit| Err(crate::create::died_as(Some(exit))))
}

/// Sends a signal to a container's first process, or to all.
pub fn kill(host: &Host, id: &ContainerId, signal: i32, all: bool) -> Result<()> {
    let (_dir, record, status) = look_up(host, id)?;
    if all && let Some(plan) = &record.cgroup {
        return plan.kill_all(signal, KILL_DEADLINE_MS);
    }
    if signal == SIGKILL
        && !record.has_own_pids()
        && let Some(plan) = record.cgroup.as_ref().filter(|_| status != Status::Creating)
        && (status != Status::Stopped || !plan.processes()?.is_empty())
    {
        // Nothing ends the others with the first process, which may be gone already.
        return plan.kill_all(SIGKILL, KILL_DEADLINE_MS);
    }
    if matches!(status, Status::Stopped | Status::Creating) {
        return Err(Error::new(Kind::InUse, "container not running"));
    }
    let attempt = || format!("sending signal {signal} to container {id}");
    match process::open_pid(record.pid) {
        Ok(pidfd) if record.is_alive() => process::signal_pidfd(&pidfd, signal).attempt(attempt),
        Ok(_) | Err(sys::Errno::ESRCH) => Err(Error::new(Kind::InUse, "container not running")),
        // Kernels before 5.3.
        Err(_) => process::kill(record.pid, signal).attempt(attempt),
    }?;
    let frozen = status == Status::Paused && signal == SIGKILL;
    match record.cgroup.as_ref().filter(|_| frozen) {
        Some(plan) => plan.thaw(),
        None => Ok(()),
    }
}

/// Removes a stopped container; `force` kills it first, and removes whatever half of it exists.
pub fn delete(
    host: &Host,
    id: &ContainerId,
    force: bool,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let dir = match ContainerDir::open(&host.root, id) {
        Err(error) if force && error.kind() == Kind::NotFound => return Ok(()),
        result => result?,
    };
    match dir.lock() {
        Err(error) if force && error.kind() == Kind::NotFound => return Ok(()),
        result => result?,
    }
    let record = match dir.load() {
        // Its creator died before it made anything but the directory.
        Err(error) if force && error.kind() == Kind::Corrupt => return dir.remove(),
        result => result?,
    };
    match status(&dir, &record) {
        Status::Stopped => {}
        Status::Creating if force => kill_remains(&record)?,
        _ if force => kill_and_wait(&record)?,
        Status::Created => kill_and_wait(&record)?,
        Status::Running if ends_now(&record) => {}
        status => {
            let name = status.name();
            let what = format!("cannot delete container {id} that is not stopped: {name}");
            return Err(Error::new(Kind::InUse, what)
                .with_hint(format!("stop it first, or use `delete --force {id}`")));
        }
    }
    remove(&dir, &record, warnings)
}

fn ends_now(record: &Record) -> bool {
    if let Ok(pidfd) = process::open_pid(record.pid) {
        let mut fds = [sys::wait::PollFd::new(&pidfd, sys::wait::POLLIN)];
        let _ = sys::wait::poll(&mut fds, Some(LAST_MOMENTS_MS));
    }
    !record.is_alive()
}

/// A creator that died may have left an init that is in the cgroup and in no record.
pub(crate) fn kill_remains(record: &Record) -> Result<()> {
    match &record.cgroup {
        Some(plan) => plan.kill_all(SIGKILL, DELETE_DEADLINE_MS),
        None => Ok(()),
    }
}

fn kill_and_wait(record: &Record) -> Result<()> {
    if record.has_own_pids() {
        // The kernel ends everything in a pid namespace with its first process.
        match process::kill(record.pid, SIGKILL) {
            Ok(()) | Err(sys::Errno::ESRCH) => {}
            Err(errno) => return Err(Error::os("killing the container", errno)),
        }
        if let Some(plan) = &record.cgroup
            && plan.is_frozen().unwrap_or(false)
        {
            plan.thaw()?;
        }
    } else {
        kill_remains(record)?;
        // The first process, if it is in no cgroup.
        let _ = process::kill(record.pid, SIGKILL);
    }
    wait_for_end(record)
}

/// Waits until a container that is being killed has ended.
pub(crate) fn wait_for_end(record: &Record) -> Result<()> {
    let deadline = time::monotonic_ms() + DELETE_DEADLINE_MS;
    /// Between looks at a process of which there is no descriptor (kernels before 5.3).
    const PAUSE_MS: u64 = 5;
    let pidfd = process::open_pid(record.pid).ok();
    while record.is_alive() {
        let left = deadline.saturating_sub(time::monotonic_ms());
        if left == 0 {
            let what = format!("process {} does not end although it was killed", record.pid);
            return Err(Error::new(Kind::Busy, what).with_hint("it may wait for a device"));
        }
        let Some(pidfd) = &pidfd else {
            time::sleep_ms(left.min(PAUSE_MS));
            continue;
        };
        let mut fds = [sys::wait::PollFd::new(pidfd, sys::wait::POLLIN)];
        sys::wait::poll(&mut fds, Some(left)).attempt(|| "waiting for the container's end")?;
    }
    Ok(())
}

/// [`remove`] for whoever has waited for a container to end, unless somebody else has removed it.
/// The record is read again: others may have changed it meanwhile.
pub(crate) fn remove_ended(dir: &ContainerDir, warnings: &mut Vec<String>) -> Result<()> {
    match dir.lock() {
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => remove(dir, &dir.load()?, warnings),
    }
}

/// Takes back everything that was made for a container: every step is tried, every failure told.
pub(crate) fn remove(
    dir: &ContainerDir,
    record: &Record,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let mut failures: Vec<String> = Vec::new();
    if let Some(plan) = &record.cgroup {
        if !record.has_own_pids() {
            // Nothing may outlive the container.
            if let Err(error) = plan.kill_all(SIGKILL, DELETE_DEADLINE_MS) {
                failures.push(format!("{error}"));
            }
        }
        let failed = plan.remove(REMOVE_DEADLINE_MS);
        failures.extend(failed.into_iter().map(|error| format!("{error}")));
    }
    failures.extend(rdt::remove(record).into_iter().map(|error| format!("{error}")));
    failures
        .extend(crate::init::rootfs::unmount_shared(record).err().map(|error| format!("{error}")));
    if failures.is_empty() {
        dir.remove()?;
    }
    if let Some(all) = &record.hooks {
        let state = record.state(Status::Stopped);
        warnings.extend(hooks::run_all_anyway("poststop", &all.poststop, &state));
    }
    match failures.is_empty() {
        true => Ok(()),
        false => {
            let what = format!("removing container {}: {}", record.id, failures.join("; "));
            Err(Error::new(Kind::Busy, what).with_hint("try `delete --force` again"))
        }
    }
}

/// One line of `list`.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The container's name.
    pub id: ContainerId,
    /// What is known of it; `None` for one that was never completely created.
    pub record: Option<Record>,
    /// Where it is in its life.
    pub status: Status,
}

/// All containers, sorted by name.
pub fn list(host: &Host) -> Result<Vec<Listed>> {
    let look = |id: ContainerId| match look_up(host, &id) {
        Ok((_, record, status)) => {
            let status = if status == Status::Creating && record.pid == 0 {
                Status::Stopped
            } else {
                status
            };
            Some(Listed { id, record: Some(record), status })
        }
        Err(error) if error.kind() == Kind::NotFound => None,
        Err(_) => Some(Listed { id, record: None, status: Status::Stopped }),
    };
    Ok(state::list(&host.root)?.into_iter().filter_map(look).collect())
}

/// Ids of the processes in a container.
pub fn processes(host: &Host, id: &ContainerId) -> Result<Vec<i32>> {
    let (_, record, _) = look_up(host, id)?;
    match &record.cgroup {
        Some(plan) => plan.processes(),
        None => Ok(alloc::vec![record.pid]),
    }
}

/// Freezes a container.
pub fn pause(host: &Host, id: &ContainerId) -> Result<()> {
    let (dir, record, status) = look_up(host, id)?;
    match status {
        Status::Running | Status::Created => {}
        status => {
            let what = format!("container not running or created: {}", status.name());
            return Err(Error::new(Kind::InUse, what));
        }
    }
    dir.lock()?;
    let mut record = record;
    let Some(mut plan) = record.cgroup.take() else { return Err(no_cgroup()) };
    if plan.enlist(&["freezer"])? {
        record.cgroup = Some(plan.clone());
        dir.save(&record)?;
    }
    plan.freeze(crate::cgroup::FREEZE_DEADLINE_MS)
}

/// Thaws a container.
pub fn resume(host: &Host, id: &ContainerId) -> Result<()> {
    let (_, record, status) = look_up(host, id)?;
    if status != Status::Paused {
        return Err(Error::new(Kind::InUse, "container not paused"));
    }
    match &record.cgroup {
        Some(plan) => plan.thaw(),
        None => Err(no_cgroup()),
    }
}

fn no_cgroup() -> Error {
    Error::new(Kind::Unsupported, "the container has no cgroup")
}

/// Changes limits, and the schemata of the container's class. Absent ones stay as they are.
pub fn update(
    host: &Host,
    id: &ContainerId,
    change: &Resources,
    schemata: &IntelRdt,
) -> Result<Vec<String>> {
    let (dir, mut record, status) = look_up(host, id)?;
    if status == Status::Stopped {
        return Err(Error::new(Kind::InUse, "cannot update a stopped container"));
    }
    dir.lock()?;
    if *schemata != IntelRdt::default() {
        rdt::check_update(schemata, &record)?;
    }
    let Some(mut plan) = record.cgroup.clone() else { return Err(no_cgroup()) };
    if plan.enlist_for(change)? {
        record.cgroup = Some(plan.clone());
        dir.save(&record)?;
    }
    let warnings = plan.update(change)?;
    rdt::set(schemata, &record.rdt_class)?;
    Ok(warnings)
}
