//! Making a container: the parent's side.
//!
//! One parent, one child. The parent reads and checks everything, takes the name, records what it
//! is going to make, makes the cgroup, and forks the init into the new namespaces; while the init
//! builds the root file system the parent writes mappings and runs hooks. A helper process comes
//! between only where namespaces have to be joined first ([`namespaces`]).

pub(crate) mod idmap;
pub(crate) mod job;
pub(crate) mod listener;
mod mapping;
pub(crate) mod namespaces;
mod nodes;
pub(crate) mod planning;
pub(crate) mod run;
pub(crate) mod score;

pub(crate) use job::{check_descriptors, connect_console, connect_socket};
pub(crate) use listener::forward as forward_listener;
pub(crate) use planning::{compile_filter, plan_mounts};
pub use run::run;

use crate::channel::{self, Channel, Request};
use crate::config::ContainerId;
use crate::error::{Attempt, Error, Kind, Result};
use crate::init::{self, Job};
use crate::process::{OPEN_FILES, OPEN_FILES_NEEDED};
use crate::state::{ContainerDir, Record, format_time};
use crate::{Host, Options, cgroup, hooks, procfs, rdt, trace};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use oci::runtime::{Resources, Status};
use sys::process::Child;
use sys::{CWD, fs, wait};

/// A container whose init exists.
pub(crate) struct Spawned {
    pub(crate) dir: ContainerDir,
    pub(crate) record: Record,
    pub(crate) child: Child,
    pub(crate) channel: Channel,
}

/// Makes a container that waits for `start`. Returns the id of its first process.
pub fn create(
    host: &Host,
    id: &ContainerId,
    options: Options,
    warnings: &mut Vec<String>,
) -> Result<i32> {
    let (pid_file, socket) = (options.pid_file.clone(), options.pidfd_socket.clone());
    let spawned = spawn(host, id, options, true, warnings)?;
    announce(&spawned.child, "standard", pid_file.as_deref(), socket.as_deref())
        .inspect_err(|_| destroy(&spawned, warnings))?;
    Ok(spawned.record.pid)
}

/// Makes a container up to the point where its init waits. What was made goes away on an error.
pub(crate) fn spawn(
    host: &Host,
    id: &ContainerId,
    options: Options,
    wait_in_fifo: bool,
    warnings: &mut Vec<String>,
) -> Result<Spawned> {
    // The name first: two creators of one name must not both plan a cgroup for it.
    let dir = ContainerDir::create(&host.root, id)?;
    let mut prepared = job::prepare(host, id, Some(&dir), options, warnings)
        .inspect_err(|_| drop(dir.remove()))?;
    let mut record = prepared.record;
    record.created = format_time(sys::time::now());
    // Intent before effect: from here on `delete --force` knows what may exist. What is made while
    // the init works is recorded with the init.
    let early = !prepared.job.overlaps || record.cgroup.as_ref().is_some_and(makes_unified);
    if early {
        dir.save(&record).inspect_err(|_| drop(dir.remove()))?;
    }
    if wait_in_fifo {
        prepared.job.fifo = Some(dir.make_fifo().inspect_err(|_| drop(dir.remove()))?);
    }
    match start_init(host, &dir, &mut record, &mut prepared.job, warnings) {
        Ok((child, channel)) => Ok(Spawned { dir, record, child, channel }),
        Err(error) => {
            clean_up(&dir, &record, warnings);
            Err(error)
        }
    }
}

/// Where the caller's relative paths start. A directory that it may not search leads nowhere: it must
/// not stay the container's root, where these paths would then lead to.
fn current_directory() -> Result<sys::Fd> {
    let open = |path| fs::open_at(CWD, path, fs::O_PATH | fs::O_DIRECTORY, 0);
    match open(".") {
        Err(sys::Errno::EACCES) => open("/"),
        result => result,
    }
    .attempt(|| "opening the current directory")
}

/// Keeps whoever can see the init out of it from its first moment on: another container in the same
/// pid namespace could look into it before it has entered its own root (CVE-2016-9962). Another user
/// than root could not write the mapping of a hidden process, and neither could root of a user namespace in which
/// the kernel's root is nobody: there the init hides itself.
fn hide(job: &Job) -> Result<()> {
    if sys::ids::euid() != 0 {
        return Ok(());
    }
    let attempt = || "hiding from other containers";
    sys::process::set_dumpable(false).attempt(attempt)?;
    // What is hidden is the kernel's root's.
    if job.wants_mapping && job.proc.owner("self/uid_map")? != 0 {
        sys::process::set_dumpable(true).attempt(attempt)?;
    }
    Ok(())
}

fn makes_unified(plan: &cgroup::Plan) -> bool {
    plan.directories.iter().any(|directory| directory.is_unified() && directory.used)
}

/// Makes the cgroup and the init, and serves the init until it has no more questions.
fn start_init(
    host: &Host,
    dir: &ContainerDir,
    record: &mut Record,
    job: &mut Job,
    warnings: &mut Vec<String>,
) -> Result<(Child, Channel)> {
    if let Some(filter) = &job.plan.filter {
        dir.save_filter(&filter.to_bytes())?;
    }
    let systemd = record.cgroup.as_ref().is_some_and(|plan| plan.unit.is_some());
    if let Some(plan) = record.cgroup.as_mut().filter(|plan| plan.unit.is_none()) {
        let part = if job.overlaps { cgroup::Part::Unified } else { cgroup::Part::All };
        let resources = first_resources(record.resources.as_ref());
        let mut created = plan.create_part(part, &resources)?;
        warnings.append(&mut created.warnings);
        job.join = created.join;
        job.cgroup = plan.clone();
    }
    let (parent_end, child_end) = channel::pair()?;
    let mut child_end = Some(child_end);
    // The new mount namespace takes the current directory along, which is how the init gets at
    // the root file system without looking up its path again.
    let here = current_directory()?;
    if let Some(rootfs) = &job.rootfs {
        fs::chdir_fd(rootfs).attempt(|| "entering the root file system")?;
    }
    let lent = score::lend(&job.plan.process, &job.proc)?;
    hide(job)?;
    let forked = namespaces::fork(job, &parent_end, &mut child_end);
    let Some(mut child) = forked? else {
        drop(here);
        let Some(end) = child_end else { sys::process::exit(1) };
        drop(parent_end);
        // The lock belongs to the open directory, of which a fork has a copy: kept here, it would
        // outlive this program's parent.
        dir.leave_to_parent();
        init::run(job, end);
    };
    lent.into_iter().for_each(score::Lent::give_back);
    drop(child_end);
    job.trace.say(trace::FORKED);
    let served = fs::chdir_fd(&here)
        .attempt(|| "returning to the current directory")
        .and_then(|()| serve(host, dir, record, job, &mut child, &parent_end, systemd, warnings));
    match served {
        Ok(()) => Ok((child, parent_end)),
        Err(error) => {
            // The init ends by itself when its channel closes; this makes sure of it.
            let _ = sys::process::signal_pidfd(&child.pidfd, 9);
            let _ = wait::child(child.pid, true);
            Err(error)
        }
    }
}

#[allow(clippy::too_many_arguments, reason = "the state of one conversation")]
fn serve(
    host: &Host,
    dir: &ContainerDir,
    record: &mut Record,
    job: &mut Job,
    child: &mut Child,
    channel: &Channel,
    systemd: bool,
    warnings: &mut Vec<String>,
) -> Result<()> {
    set_pid(record, child.pid)?;
    // While it is still root: the limits of another user's process are only CAP_SYS_RESOURCE's.
    set_limits(job, child.pid)?;
    if job.overlaps {
        make_meanwhile(host, dir, record, job, channel, warnings)?;
    }
    // With a fifo the init says at the end that it waits in it.
    let waits_in_fifo = job.fifo.is_some();
    let mut questions = questions(job);
    // Without a fifo and questions, the parent's part is done; `run` says when to go.
    if !waits_in_fifo && questions == 0 {
        return Ok(());
    }
    while waits_in_fifo || questions > 0 {
        match channel.receive()? {
            Some(Request::Listener(fd)) => {
                listener::forward(record, child, fd)?;
                channel.answer()?;
            }
            Some(Request::Created) => return Ok(()),
            Some(Request::Child(_)) => {}
            Some(Request::Note(text)) => job.trace.say(&text),
            Some(Request::Failed(error)) => return Err(error),
            Some(question) => {
                serve_question(&question, dir, record, job, child, systemd, warnings)?;
                channel.answer()?;
                questions = questions.saturating_sub(1);
            }
            None => return Err(died(child)),
        }
    }
    Ok(())
}

/// Does what the init asks for and cannot do itself.
fn serve_question(
    question: &Request,
    dir: &ContainerDir,
    record: &mut Record,
    job: &mut Job,
    child: &Child,
    systemd: bool,
    warnings: &mut Vec<String>,
) -> Result<()> {
    match question {
        Request::Map => {
            if job.wants_mapping {
                mapping::write(job, child.pid)?;
            }
            if let Some(plan) = record.cgroup.as_mut().filter(|_| systemd) {
                let resources = first_resources(record.resources.as_ref());
                let mut created = plan.create_for(&resources, child.pid)?;
                warnings.append(&mut created.warnings);
            }
            give(job, record, child.pid)?;
            // An init that is in no record does nothing but wait for this answer.
            dir.save(record)
        }
        Request::Attach => match &record.cgroup {
            Some(plan) => plan.attach(&cgroup::SubCgroups::default(), None, child.pid),
            None => Ok(()),
        },
        Request::Hooks => run_runtime_hooks(job, record),
        Request::Limit => match (&record.cgroup, &record.resources) {
            // Warnings were given before.
            (Some(plan), Some(resources)) => plan.update(&cgroup::go_on_with(resources)).map(drop),
            _ => Ok(()),
        },
        Request::MapMount(index, fd) => idmap::apply_inside(job, child, *index, *fd),
        _ => Ok(()),
    }
}

/// What does not have to be there before the init is: the filter and the cgroups of v1.
fn make_meanwhile(
    host: &Host,
    dir: &ContainerDir,
    record: &mut Record,
    job: &mut Job,
    channel: &Channel,
    warnings: &mut Vec<String>,
) -> Result<()> {
    if record.cgroup.is_none() {
        plan_late(host, record, job)?;
    }
    let mut made = channel::Made { cgroup: job.cgroup.clone(), filter: None };
    if let Some(profile) = job.profile.take() {
        let filter = planning::compile_filter(&profile, &job.trace, warnings)?;
        dir.save_filter(&filter.to_bytes())?;
        record.filter_flags = filter.flags;
        made.filter = Some(filter);
    }
    dir.save(record)?;
    let resources = first_resources(record.resources.as_ref());
    if let Some(plan) = &mut record.cgroup {
        let planned = plan.clone();
        let mut created = plan.create_part(cgroup::Part::Rest, &resources)?;
        warnings.append(&mut created.warnings);
        made.cgroup = plan.clone();
        if *plan != planned {
            dir.save(record)?;
        }
    }
    channel.tell_made(&made)
}

/// Plans the cgroup when the init is there already. It could only have been cloned into the unified
/// hierarchy, which is a courtesy beside v1, and is somewhere else than usual here.
fn plan_late(host: &Host, record: &mut Record, job: &mut Job) -> Result<()> {
    job::plan_cgroup(host, job, record)?;
    if let Some(plan) = &mut record.cgroup {
        if plan.version == cgroup::Version::V2 {
            // Taken for v1 because nobody could look: without this its limits would be lost.
            let what = "the control groups could not be looked at";
            return Err(Error::new(Kind::Os, what).with_hint("try again"));
        }
        plan.directories.retain(|directory| !directory.is_unified());
    }
    Ok(())
}

/// What the cgroup is made with.
fn first_resources(resources: Option<&Resources>) -> Resources {
    let resources = resources.cloned().unwrap_or_default();
    cgroup::begin_with(&resources).unwrap_or(resources)
}

/// How many questions the init asks before it waits for the word to go.
fn questions(job: &Job) -> usize {
    let mapped = |mount: &&crate::config::MountPlan| {
        job.own_mounts && mount.inside.is_some() && mount.idmap.is_some()
    };
    usize::from(!job.overlaps)
        + usize::from(job.asks_for_cgroup)
        + usize::from(has_runtime_hooks(job))
        + usize::from(job.begins_low)
        + job.mounts.iter().filter(mapped).count()
}

fn has_runtime_hooks(job: &Job) -> bool {
    job.spec
        .hooks
        .as_ref()
        .is_some_and(|hooks| !hooks.prestart.is_empty() || !hooks.create_runtime.is_empty())
}

/// The init ended without a word: a signal, most likely for want of memory.
pub(crate) fn died(child: &Child) -> Error {
    let ended = wait::child(child.pid, true);
    died_as(ended.ok().flatten().map(|(_, exit)| exit))
}

/// Of a child whose channel has ended, which a kill does as well as exec: fails if it was killed.
pub(crate) fn check_executed(child: &Child) -> Result<()> {
    match procfs::process_stat(child.pid) {
        Some(stat) if !stat.has_executed() => Err(died(child)),
        _ => Ok(()),
    }
}

/// As [`died`], of a process that was waited for.
pub(crate) fn died_as(exit: Option<wait::Exit>) -> Error {
    let (how, hint) = match exit {
        Some(wait::Exit::Signal(9)) => {
            (String::from("was killed"), "linux.resources.memory.limit may be too low for it")
        }
        Some(wait::Exit::Signal(signal)) => (
            format!("ended by signal {signal}"),
            "linux.seccomp may deny what starting a program needs (write, execve, exit_group)",
        ),
        Some(wait::Exit::Code(code)) => (
            format!("ended with status {code}"),
            "linux.seccomp may deny what starting a program needs (write, execve)",
        ),
        None => (String::from("ended unseen"), "another process may have waited for it"),
    };
    Error::new(Kind::Os, format!("the process {how} before it executed its program"))
        .with_hint(hint)
}

/// Without its start time the init would be taken for another process, and be left behind.
pub(crate) fn set_pid(record: &mut Record, pid: i32) -> Result<()> {
    record.pid = pid;
    record.pid_start =
        procfs::read_stat(pid).attempt(|| format!("reading /proc/{pid}/stat"))?.start_ticks;
    Ok(())
}

/// What needs privileges that the init may not have in its user namespace.
pub(crate) fn set_limits(job: &Job, pid: i32) -> Result<()> {
    set_process_limits(&job.plan.process, &job.proc, pid)
}

pub(crate) fn set_process_limits(
    process: &oci::runtime::Process,
    proc: &procfs::Proc,
    pid: i32,
) -> Result<()> {
    if let Some(score) = process.oom_score_adj {
        let path = format!("{pid}/oom_score_adj");
        let current = || proc.read(&path).ok().and_then(|text| text.trim().parse::<i32>().ok());
        if let Err(error) = proc.write(&path, &format!("{score}")) {
            // An unprivileged user may not lower the score; where it has it already all is well.
            if current() != Some(score) {
                return Err(error.context("process.oomScoreAdj"));
            }
        }
    }
    for limit in &process.rlimits {
        let Some(number) = crate::config::limit_number(&limit.kind) else { continue };
        let mut soft = limit.soft;
        if number == OPEN_FILES {
            // What the process needs itself until it is the program; it lowers the limit then.
            if limit.hard < OPEN_FILES_NEEDED {
                continue;
            }
            soft = limit.hard;
        }
        sys::sched::set_limit_of(pid, number, soft, limit.hard).map_err(|errno| {
            let error = Error::os(format!("process.rlimits: setting {}", limit.kind), errno);
            match errno {
                sys::Errno::EPERM => error.with_hint("raising a hard limit needs CAP_SYS_RESOURCE"),
                _ => error,
            }
        })?;
    }
    Ok(())
}

/// What the host gives to the container: before the hooks and sysctls, which may be about it.
pub(crate) fn give(job: &Job, record: &mut Record, pid: i32) -> Result<()> {
    let Some(linux) = &job.spec.linux else { return Ok(()) };
    if let Some(config) = &linux.intel_rdt {
        rdt::make(config, record)?;
        rdt::set(config, &record.rdt_class)?;
        rdt::enter(record, pid)?;
    }
    if linux.net_devices.is_empty() {
        return Ok(());
    }
    let target = fs::open_at(&job.proc, format!("{pid}/ns/net"), fs::O_RDONLY, 0)
        .attempt(|| "linux.netDevices: opening the container's network namespace")?;
    crate::net::move_devices(&linux.net_devices, &target)
}

fn run_runtime_hooks(job: &Job, record: &Record) -> Result<()> {
    let Some(all) = &job.spec.hooks else { return Ok(()) };
    let state = record.state(Status::Creating);
    hooks::run_all("prestart", &all.prestart, &state)?;
    hooks::run_all("createRuntime", &all.create_runtime, &state)
}

/// Tells whoever asked (`--pidfd-socket`, `--pid-file`) which process it is. With the pidfd goes
/// the word that runc sends: "standard" for a container's first process, "setns" for exec.
pub(crate) fn announce(
    child: &Child,
    word: &str,
    pid_file: Option<&str>,
    pidfd_socket: Option<&str>,
) -> Result<()> {
    if let Some(path) = pidfd_socket {
        let socket = connect_socket("--pidfd-socket", path)?;
        sys::socket::send(&socket, word.as_bytes(), &[child.pidfd.raw()])
            .attempt(|| format!("--pidfd-socket: sending the pidfd to {path}"))?;
    }
    // The file last: callers take it for the sign that all is done.
    pid_file.map_or(Ok(()), |path| write_pid_file(path, child.pid))
}

/// Writes a process id to a file that has its name only then: whoever waits for the file never sees
/// half a number.
fn write_pid_file(path: &str, pid: i32) -> Result<()> {
    let attempt = || format!("writing the pid file {path}");
    let (dir, name) = path.rsplit_once('/').map_or((".", path), |(dir, name)| (dir, name));
    let dir = if dir.is_empty() { "/" } else { dir };
    if link_pid_file(dir, path, pid).is_ok() {
        return Ok(());
    }
    // Not every file system has files without a name; what goes wrong otherwise is told from here.
    let temporary = format!("{dir}/.{name}");
    let flags = fs::O_WRONLY | fs::O_CREAT | fs::O_TRUNC;
    let file = fs::open_at(CWD, &temporary, flags, 0o644).attempt(attempt)?;
    fs::write_all(&file, format!("{pid}").as_bytes()).attempt(attempt)?;
    fs::rename(CWD, &temporary, CWD, path, 0).attempt(attempt)
}

/// A file without a name is not left behind by a process that is killed.
fn link_pid_file(dir: &str, path: &str, pid: i32) -> sys::Result<()> {
    let file = fs::open_at(CWD, dir, fs::O_WRONLY | fs::O_TMPFILE, 0o644)?;
    fs::write_all(&file, format!("{pid}").as_bytes())?;
    let link = || fs::link(CWD, procfs::fd_path(&file), CWD, path, fs::AT_SYMLINK_FOLLOW);
    match link() {
        Err(sys::Errno::EEXIST) => fs::unlink(CWD, path, 0).and_then(|()| link()),
        result => result,
    }
}

/// Kills the init and takes everything back.
pub(crate) fn destroy(spawned: &Spawned, warnings: &mut Vec<String>) {
    let _ = sys::process::signal_pidfd(&spawned.child.pidfd, 9);
    let _ = wait::child(spawned.child.pid, true);
    clean_up(&spawned.dir, &spawned.record, warnings);
}

/// Takes back what creation made; what cannot be taken back is a warning, because an error is
/// being reported already.
pub(crate) fn clean_up(dir: &ContainerDir, record: &Record, warnings: &mut Vec<String>) {
    let mut failed: Vec<Error> =
        crate::init::rootfs::unmount_shared(record).err().into_iter().collect();
    if let Some(plan) = &record.cgroup {
        failed.extend(plan.remove(crate::cgroup::REMOVE_DEADLINE_MS));
    }
    failed.extend(rdt::remove(record));
    // With the state the rest would be forgotten: it stays for `delete --force`.
    if failed.is_empty() {
        failed.extend(dir.remove().err());
    }
    warnings.extend(failed.into_iter().map(|error| format!("cleaning up: {error}")));
}
