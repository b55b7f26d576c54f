//! `exec`: one more process in a running container.
//!
//! The parent enters the container's pid namespace, so that its child is born there, and forks
//! once; the child enters the rest through the init's pidfd in one `setns`. Both are not dumpable
//! until the program is executed: nobody in the container can look into them (CVE-2016-9962).

use crate::cgroup::{Fallback, SubCgroups};
use crate::channel::{self, Channel, Request};
use crate::config::ContainerId;
use crate::create::{announce, connect_console, set_process_limits};
use crate::error::{Attempt, Error, Kind, Result};
use crate::init::console;
use crate::process::{self, Filter, Plan};
use crate::procfs::Proc;
use crate::relay::{self, Relay};
use crate::state::{ContainerDir, Record};
use crate::trace::{self, Trace};
use crate::{Console, Host, create, verbs};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use oci::runtime::{NamespaceKind, Process, Status};
use sys::process::{self as p, Child};
use sys::wait::Exit;
use sys::{BorrowedFd, Fd, ids, signal, socket, tty};

/// What to execute, and how.
#[derive(Debug, Default)]
pub struct ExecOptions {
    /// The process. Its missing parts are the caller's to fill in from [`Record::process`].
    pub process: Process,
    /// Where a terminal goes.
    pub console: Console,
    /// File to write the process's id to.
    pub pid_file: Option<String>,
    /// Socket to send the process's pidfd to.
    pub pidfd_socket: Option<String>,
    /// Returns when the program runs.
    pub detach: bool,
    /// Descriptors behind the standard three that the program gets.
    pub preserve_fds: u32,
    /// Descriptors of socket activation, which come first.
    pub listen_fds: u32,
    /// Goes on although the container is frozen.
    pub ignore_paused: bool,
    /// Cgroups below the container's: `PATH` or `CONTROLLER[,CONTROLLER]:PATH`.
    pub cgroups: Vec<String>,
    /// Leaves it to the container's first process as a child.
    pub orphan: bool,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executed {
    /// It runs under this id.
    Running(i32),
    /// It has ended.
    Ended(Exit),
}

struct Job {
    plan: Plan,
    proc: Proc,
    init: Fd,
    namespaces: u32,
    own_users: bool,
    join: crate::cgroup::Join,
    sub: SubCgroups,
    console: Option<console::Outlet>,
    keyring: Option<String>,
    orphan: bool,
    trace: Trace,
}

/// Executes a process in container `id`.
pub fn exec(
    host: &Host,
    id: &ContainerId,
    mut options: ExecOptions,
    warnings: &mut Vec<String>,
) -> Result<Executed> {
    let dir = ContainerDir::open(&host.root, id)?;
    let record = dir.load()?;
    check_status(&dir, &record, options.ignore_paused)?;
    let terminal = relay_terminal(&mut options)?;
    let signals = if options.detach { None } else { Some(relay::catch_signals()?) };
    let mut job = prepare(host, &dir, &record, &options, warnings)?;
    let child = start(&mut job, &record, &options)?;
    let Some(signals) = signals else {
        if !options.orphan {
            create::check_executed(&child)?;
        }
        return Ok(Executed::Running(child.pid));
    };
    let relay = match terminal {
        Some(socket) => Some(Relay::receive(&socket)?),
        None => None,
    };
    let ended = relay::wait(&child, &signals, relay, None)?;
    if !ended.executed {
        return Err(create::died_as(Some(ended.exit)));
    }
    Ok(Executed::Ended(ended.exit))
}

fn check_status(dir: &ContainerDir, record: &Record, ignore_paused: bool) -> Result<()> {
    match verbs::status(dir, record) {
        Status::Stopped => Err(Error::new(Kind::InUse, "cannot exec in a stopped container")
            .with_hint(format!("container {} has ended; `delete` it", record.id))),
        Status::Paused if !ignore_paused => Err(Error::new(
            Kind::InUse,
            "cannot exec in a paused container (use --ignore-paused to override)",
        )),
        _ => Ok(()),
    }
}

fn relay_terminal(options: &mut ExecOptions) -> Result<Option<Fd>> {
    if !options.process.terminal {
        if matches!(options.console, Console::Socket(_)) {
            let what = "--console-socket: the process has no terminal (--tty)";
            return Err(Error::invalid(what));
        }
        return Ok(None);
    }
    if !matches!(options.console, Console::Inherit) {
        return Ok(None);
    }
    if options.detach {
        return Err(Error::invalid("cannot allocate tty if detached without a console socket")
            .with_hint("give --console-socket"));
    }
    if options.process.console_size.is_none()
        && let Ok(size) = tty::size(BorrowedFd::from_raw(0))
    {
        let (height, width) = (u64::from(size.rows), u64::from(size.columns));
        options.process.console_size = Some(oci::runtime::ConsoleSize { height, width });
    }
    let (ours, theirs) =
        socket::pair(socket::Kind::Stream).attempt(|| "making a console socket")?;
    options.console = Console::Connected(theirs);
    Ok(Some(ours))
}

fn prepare(
    host: &Host,
    dir: &ContainerDir,
    record: &Record,
    options: &ExecOptions,
    warnings: &mut Vec<String>,
) -> Result<Job> {
    crate::lsm::check(&options.process)?;
    let mut plan = Plan::new(options.process.clone(), warnings)?;
    plan.preserve_fds = create::planning::preserved(options.preserve_fds, options.listen_fds)?;
    plan.listen_fds = options.listen_fds;
    plan.memory_policy.clone_from(&record.memory_policy);
    plan.personality.clone_from(&record.personality);
    create::check_descriptors(plan.preserve_fds, warnings);
    if let Some(bytes) = dir.load_filter()? {
        let filter = Filter::from_bytes(&bytes, record.filter_flags).ok_or_else(|| {
            Error::new(Kind::Corrupt, "the container's seccomp filter is damaged")
        })?;
        plan.filter = Some(filter);
    }
    let init =
        p::open_pid(record.pid).attempt(|| "opening the container's init with pidfd_open")?;
    if !record.is_alive() {
        return Err(Error::new(Kind::InUse, "cannot exec in a stopped container"));
    }
    let own_users = record.namespaces.contains(&NamespaceKind::User);
    plan.groups_denied = own_users && groups_denied(record.pid);
    let namespaces = namespaces_of(record);
    let sub = SubCgroups::parse(&options.cgroups)?;
    let join = match &record.cgroup {
        Some(plan) => plan.join(&sub, Some(record.pid))?,
        None => crate::cgroup::Join::default(),
    };
    let console = connect_console(options.process.terminal, &options.console)?;
    Ok(Job {
        plan,
        proc: Proc::open()?,
        init,
        namespaces,
        own_users: own_users && namespaces & p::CLONE_NEWUSER != 0,
        join,
        sub,
        console,
        keyring: record.new_keyring.then(|| record.id.clone()),
        orphan: options.orphan,
        trace: host.trace.clone(),
    })
}

/// `CLONE_NEW*` of the container's namespaces that this process is not in.
pub(crate) fn namespaces_of(record: &Record) -> u32 {
    record
        .namespaces
        .iter()
        .filter(|kind| differs(record.pid, **kind))
        .fold(0, |flags, kind| flags | create::namespaces::flag(*kind))
}

fn groups_denied(pid: i32) -> bool {
    sys::fs::read_file(sys::CWD, format!("/proc/{pid}/setgroups"), 16)
        .is_ok_and(|text| text.starts_with(b"deny"))
}

/// Whether the init's namespace is another one than ours: joining one's own is not always allowed.
fn differs(pid: i32, kind: NamespaceKind) -> bool {
    let name = kind.proc_name();
    let inode = |who: &str| sys::fs::stat_at(sys::CWD, format!("/proc/{who}/ns/{name}"), 0);
    match (inode(&format!("{pid}")), inode("self")) {
        (Ok(theirs), Ok(ours)) => theirs.st_ino != ours.st_ino,
        _ => true,
    }
}

/// Hides this process, and enters the namespaces that only its children are in; returns those that
/// these have to enter themselves.
pub(crate) fn enter_first(init: &Fd, namespaces: u32) -> Result<u32> {
    // Entering a pid namespace is for children: the parent stays visible to itself only.
    let first = if ids::is_administrator() {
        namespaces & p::CLONE_NEWPID
    } else {
        namespaces & (p::CLONE_NEWPID | p::CLONE_NEWUSER)
    };
    p::set_dumpable(false).attempt(|| "hiding from the container")?;
    if first != 0 {
        p::set_namespace(init, first).attempt(|| "entering the container's pid namespace")?;
    }
    Ok(namespaces & !first)
}

/// In such a child: enters the rest, as the container's root.
pub(crate) fn enter_rest(init: &Fd, namespaces: u32, own_users: bool) -> Result<()> {
    if namespaces != 0 {
        p::set_namespace(init, namespaces).attempt(|| "entering the container's namespaces")?;
    }
    if own_users || ids::euid() != 0 {
        // Root of the container, so that everything below is allowed there.
        let _ = ids::set_gid(0);
        let _ = ids::set_uid(0);
    }
    Ok(())
}

fn start(job: &mut Job, record: &Record, options: &ExecOptions) -> Result<Child> {
    let (parent_end, child_end) = channel::pair()?;
    let lent = create::score::lend(&job.plan.process, &job.proc)?;
    job.namespaces = enter_first(&job.init, job.namespaces)?;
    let how = p::Clone { namespaces: 0, cgroup: job.join.cgroup(), sibling: false };
    let (forked, attach) = match p::fork(how) {
        Err(errno) => match job.join.fallback(errno) {
            Fallback::Attach => (p::fork_plain(), true),
            Fallback::GoOn => (p::fork_plain(), false),
            Fallback::Fail if how.cgroup.is_none() => (p::fork_plain(), false),
            Fallback::Fail => (Err(errno), false),
        },
        result => (result, false),
    };
    let Some(child) = forked.attempt(|| "starting the process")? else {
        drop(parent_end);
        become_process(job, child_end);
    };
    drop(child_end);
    lent.into_iter().for_each(create::score::Lent::give_back);
    job.trace.say(trace::FORKED);
    let served = set_process_limits(&job.plan.process, &job.proc, child.pid)
        .and_then(|()| match record.cgroup.as_ref().filter(|_| attach) {
            Some(plan) => plan.attach(&job.sub, Some(record.pid), child.pid),
            None => Ok(()),
        })
        .and_then(|()| crate::rdt::follow(record, child.pid))
        .and_then(|()| {
            let (pid_file, socket) = (options.pid_file.as_deref(), options.pidfd_socket.as_deref());
            announce(&child, "setns", pid_file, socket)
        })
        .and_then(|()| parent_end.go())
        .and_then(|()| serve(record, &child, &parent_end, &job.trace));
    match served {
        Ok(()) => Ok(child),
        Err(error) => {
            let _ = p::signal_pidfd(&child.pidfd, 9);
            let _ = sys::wait::child(child.pid, true);
            Err(error)
        }
    }
}

fn serve(record: &Record, child: &Child, channel: &Channel, trace: &Trace) -> Result<()> {
    loop {
        match channel.receive()? {
            None => return Ok(()),
            Some(Request::Failed(error)) => return Err(error),
            Some(Request::Listener(number)) => {
                create::forward_listener(record, child, number)?;
                channel.answer()?;
            }
            Some(Request::Note(text)) => trace.say(&text),
            Some(_) => {}
        }
    }
}

fn become_process(job: &mut Job, mut channel: Channel) -> ! {
    let error = match enter(job, &mut channel) {
        Ok(never) => never,
        Err(error) => error,
    };
    channel.fail(&error);
    p::exit(255)
}

/// Goes on in a child, whose new parent is the pid namespace's first process.
fn leave_to_init() -> Result<()> {
    if p::fork_plain().attempt(|| "starting the process")?.is_some() {
        p::exit(0)
    }
    p::new_session().attempt(|| "starting a session")
}

/// The first 64 CPUs that the process is bound to, of which there are seldom more.
fn tell_affinity(job: &Job, channel: &Channel) {
    let affinity = job.plan.process.exec_cpu_affinity.as_ref();
    let list = affinity.map_or("", |affinity| affinity.initial.as_str());
    if let Ok(mask) = process::parse_list(list)
        && let Some(first) = mask.first()
    {
        job.trace.ask_to_say(channel, &format!("nsexec: affinity: {first:#x}"));
    }
}

fn enter(job: &mut Job, channel: &mut Channel) -> Result<Error> {
    // Limits and priorities are set from outside before anything of the container can run.
    channel.wait_for_go()?;
    job.trace.ask_to_say(channel, trace::CHILD);
    let affinity = job.plan.process.exec_cpu_affinity.clone().unwrap_or_default();
    process::set_affinity("process.execCPUAffinity.initial", &affinity.initial)?;
    tell_affinity(job, channel);
    job.join.enter().attempt(|| "joining the container's cgroup")?;
    process::set_affinity("process.execCPUAffinity.final", &affinity.final_)?;
    signal::reset_all();
    signal::set_mask(signal::SignalSet::default()).attempt(|| "unblocking signals")?;
    p::new_session().attempt(|| "starting a session")?;
    if let Some(id) = &job.keyring {
        crate::init::join_keyring(id)?;
    }
    enter_rest(&job.init, job.namespaces, job.own_users)?;
    if job.orphan {
        leave_to_init()?;
    }
    sys::fs::chdir("/").attempt(|| "entering the container's root")?;
    if let Some(outlet) = job.console.take() {
        let process = &job.plan.process;
        console::provide(outlet, None, process.console_size.as_ref(), |_| Ok(()))?
            .connect(process)?;
    }
    let mut on_listener = |fd| channel.send_listener(fd);
    let prepared = process::prepare(&job.plan, &job.proc, &mut on_listener)?;
    job.trace.ask_to_say(channel, trace::EXECUTING);
    let mut on_listener = |fd| channel.send_listener(fd);
    Ok(process::execute(&job.plan, prepared, &mut on_listener))
}
