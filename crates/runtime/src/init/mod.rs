//! The container's init: what the child does from its first instruction to the program.
//!
//! It runs in the new namespaces with a copy of the parent's memory, so everything that the
//! parent read and checked is at hand in [`Job`]. It talks to the parent over
//! [`Channel`](crate::channel::Channel) only: an error is one message, success is the end of the
//! channel at exec.
//!
//! Order (each step needs the ones before it):
//! 1. ids of the user namespace, cgroups, cgroup namespace, session, keyring, host names;
//! 2. root file system: mounts, devices, console, masks, all below a descriptor of the new root;
//! 3. hooks of the parent (`prestart`, `createRuntime`) and of this side (`createContainer`);
//! 4. the new root, sysctls;
//! 5. identity, filter; the wait for `start`; `startContainer` hooks; exec.

mod cgroups;
pub(crate) mod console;
mod copy_up;
pub(crate) mod devices;
mod masks;
pub(crate) mod mounts;
mod reaper;
pub(crate) mod rootfs;

use crate::channel::{Channel, Request};
use crate::config::MountPlan;
use crate::error::{Attempt, Error, Result};
use crate::process::{self, Plan};
use crate::procfs::Proc;
use crate::trace::{self, Trace};
use alloc::string::String;
use alloc::vec::Vec;
use oci::runtime::Spec;
use sys::{Fd, fs, ids, signal};

/// Everything that the child needs, made by the parent before it is forked.
#[derive(Debug)]
pub(crate) struct Job {
    pub spec: Spec,
    pub mounts: Vec<MountPlan>,
    /// For each mount, a tree that the parent has already opened: the child may not be allowed to.
    pub trees: Vec<Option<Fd>>,
    /// For each configured device, a node that the parent has made where the child may not.
    pub nodes: Vec<Option<Fd>>,
    pub bundle: Option<Fd>,
    /// `O_PATH` on the root file system's directory.
    pub rootfs: Option<Fd>,
    /// Its absolute path.
    pub rootfs_path: String,
    pub proc: Proc,
    pub plan: Plan,
    /// `CLONE_NEW*` of namespaces that are new.
    pub new_namespaces: u32,
    /// Whether it has a mount namespace of its own, new or joined.
    pub own_mounts: bool,
    /// Whether it is in a user namespace of its own, new or joined.
    pub own_users: bool,
    /// Namespaces to join, with descriptors of them.
    pub joined: Vec<(oci::runtime::NamespaceKind, Fd)>,
    /// Offsets of a new time namespace.
    pub time_offsets: oci::runtime::Map<oci::runtime::TimeOffset>,
    /// How to get into the container's cgroup.
    pub join: crate::cgroup::Join,
    /// Where the container's cgroups are, for a mount of type cgroup.
    pub cgroup: crate::cgroup::Plan,
    /// The container may make cgroups in its own.
    pub delegates: bool,
    /// Where the terminal goes or comes from; `None`: the program has none.
    pub console: Option<console::Outlet>,
    /// `O_PATH` on the fifo that `start` opens; `None`: the parent says when to go.
    pub fifo: Option<Fd>,
    pub no_pivot: bool,
    pub new_keyring: bool,
    pub reaper: bool,
    /// The reaper waits for a program that comes from outside.
    pub started_late: bool,
    /// The state document for hooks.
    pub state: oci::runtime::State,
    /// The child has a user namespace that has to be mapped.
    pub wants_mapping: bool,
    /// The parent makes the cgroups and compiles the filter while this process builds the root file
    /// system; both are there when the parent says so. Without it, the child's first message asks
    /// the parent for all that it has to do with the child's id: the record, a mapping, a systemd
    /// unit, devices of the host.
    pub overlaps: bool,
    /// The profile that the parent compiles meanwhile.
    pub profile: Option<oci::runtime::Seccomp>,
    /// The memory limit is about a batch of the kernel's: the container begins with less, and this
    /// process asks for the rest.
    pub begins_low: bool,
    /// This process could not be cloned into its cgroup (v2): it asks to be moved there.
    pub asks_for_cgroup: bool,
    /// Where the stages are told.
    pub trace: Trace,
}

impl Job {
    fn is_new(&self, namespace: u32) -> bool {
        self.new_namespaces & namespace != 0
    }
}

/// Runs the child.
pub(crate) fn run(job: &mut Job, mut channel: Channel) -> ! {
    let error = match set_up(job, &mut channel) {
        Ok(prepared) => start(job, prepared, &mut channel),
        Err(error) => error,
    };
    channel.fail(&error);
    sys::process::exit(1)
}

fn set_up(job: &mut Job, channel: &mut Channel) -> Result<process::Prepared> {
    use sys::process as p;
    job.trace.ask_to_say(channel, trace::CHILD);
    if !job.overlaps {
        channel.ask(&Request::Map)?;
    }
    // Until exec makes it the container's program, and for ever where it stays as the reaper.
    p::set_dumpable(false).attempt(|| "hiding from other containers")?;
    if job.own_users {
        become_root()?;
    }
    if job.asks_for_cgroup {
        channel.ask(&Request::Attach)?;
    }
    if !job.overlaps {
        join_cgroups(job)?;
    }
    signal::reset_all();
    signal::set_mask(signal::SignalSet::default()).attempt(|| "unblocking signals")?;
    p::new_session().attempt(|| "starting a session")?;
    if job.new_keyring {
        join_keyring(&job.state.id)?;
    }
    if !job.spec.hostname.is_empty() {
        p::set_hostname(&job.spec.hostname).attempt(|| "hostname: setting it")?;
    }
    if !job.spec.domainname.is_empty() {
        p::set_domainname(&job.spec.domainname).attempt(|| "domainname: setting it")?;
    }
    if job.is_new(p::CLONE_NEWNET) {
        if job.overlaps {
            p::unshare(p::CLONE_NEWNET).attempt(|| "making a network namespace")?;
        }
        crate::net::loopback_up()?;
    }
    fs::umask(0);
    let terminal = if job.own_mounts {
        rootfs::build(job, channel)?
    } else {
        rootfs::enter_shared(job, channel)?
    };
    close_spent(job);
    set_sysctls(job)?;
    if let Some(terminal) = terminal {
        terminal.connect(&job.plan.process)?;
    }
    if job.begins_low {
        channel.ask(&Request::Limit)?;
    }
    process::prepare(&job.plan, &job.proc, &mut |listener| channel.send_listener(listener))
}

/// Descriptors of the host's that are not needed any more: what waits for `start` holds none.
fn close_spent(job: &mut Job) {
    job.bundle = None;
    job.rootfs = None;
    job.trees.clear();
    job.joined.clear();
    job.join = crate::cgroup::Join::default();
}

/// What ends a container that waits for `start`: SIGHUP, SIGINT, SIGQUIT, SIGTERM.
const STOP_SIGNALS: [i32; 4] = [1, 2, 3, 15];

/// The wait for the word to go, the last hooks, and the program. Returns only on error.
fn start(job: &mut Job, mut prepared: process::Prepared, channel: &mut Channel) -> Error {
    job.trace.ask_to_say(channel, trace::READY);
    let started = match job.fifo.take() {
        Some(fifo) => {
            // As process 1 it would get none of these without a handler.
            signal::exit_on(&STOP_SIGNALS);
            let started = wait_for_start(job, fifo, channel).map(Some);
            signal::reset_all();
            started
        }
        None => channel.wait_for_go().map(|()| None),
    };
    let reporter = match started {
        Ok(reporter) => reporter,
        Err(error) => return error,
    };
    let error = match run_start_hooks(job, &mut prepared, channel) {
        Ok(()) if job.started_late => {
            drop(reporter);
            return reaper::wait_for_program(&job.plan, &job.proc, channel);
        }
        Ok(()) if job.reaper => {
            return reaper::run(&job.plan, &job.proc, prepared, channel, reporter);
        }
        Ok(()) => process::execute(&job.plan, prepared, &mut |fd| channel.send_listener(fd)),
        Err(error) => error,
    };
    report(&error, reporter.as_ref());
    error
}

/// Whoever ran `start` reads this instead of the end of the fifo.
fn report(error: &Error, reporter: Option<&Fd>) {
    if let Some(reporter) = reporter {
        // `start` may have been interrupted.
        let _ = fs::write_all(reporter, &error.encode());
    }
}

/// These hooks run in the container, under its filter and with the program's environment.
fn run_start_hooks(
    job: &Job,
    prepared: &mut process::Prepared,
    channel: &mut Channel,
) -> Result<()> {
    let Some(hooks) = &job.spec.hooks else { return Ok(()) };
    if hooks.start_container.is_empty() {
        return Ok(());
    }
    prepared.install_filter(&job.plan, &mut |listener| channel.send_listener(listener))?;
    let mut state = job.state.clone();
    state.status = oci::runtime::Status::Created;
    state.pid = sys::process::id();
    let hooks = &hooks.start_container;
    crate::hooks::run_all_here("startContainer", hooks, &state, Some(prepared.env()))
}

/// Tells the parent that everything is made, and waits until somebody opens the fifo.
fn wait_for_start(job: &Job, fifo: Fd, channel: &mut Channel) -> Result<Fd> {
    channel.tell(&Request::Created)?;
    // A filter that is installed at the very end hands its listener over through the parent,
    // which then stays; otherwise the parent is not needed any more.
    // The descriptor is a path to the fifo that no name inside the container leads to; opening it
    // through the host's procfs blocks until there is a reader.
    let path = alloc::format!("self/fd/{}", fifo.raw());
    let writer =
        fs::open_at(&job.proc, path, fs::O_WRONLY, 0).attempt(|| "opening the start fifo")?;
    drop(fifo);
    Ok(writer)
}

/// Becomes root of the user namespace.
fn become_root() -> Result<()> {
    ids::set_gid(0).attempt(|| "becoming group 0 of the user namespace")?;
    ids::set_uid(0).attempt(|| "becoming user 0 of the user namespace")
}

/// Waits for the cgroups that the parent makes meanwhile, and enters them.
pub(crate) fn enter_cgroups(job: &mut Job, channel: &mut Channel) -> Result<()> {
    if !core::mem::take(&mut job.overlaps) {
        return Ok(());
    }
    let made = channel.wait_for_made()?;
    job.cgroup = made.cgroup;
    job.plan.filter = made.filter;
    job.cgroup.enter()?;
    make_cgroup_namespace(job)
}

/// Moves this process into the container's cgroups (v1): while it has one thread a write to
/// `tasks` costs nothing, where `cgroup.procs` waits for a grace period of the whole machine.
fn join_cgroups(job: &mut Job) -> Result<()> {
    job.join.enter().attempt(|| "joining the container's cgroup")?;
    job.join = crate::cgroup::Join::default();
    make_cgroup_namespace(job)
}

fn make_cgroup_namespace(job: &Job) -> Result<()> {
    if job.is_new(sys::process::CLONE_NEWCGROUP) {
        sys::process::unshare(sys::process::CLONE_NEWCGROUP)
            .attempt(|| "making a cgroup namespace")?;
    }
    Ok(())
}

/// A session keyring of its own, which keeps the caller's keys out of the container.
pub(crate) fn join_keyring(id: &str) -> Result<()> {
    let name = alloc::format!("_ses.{id}");
    match sys::process::join_session_keyring(&name) {
        Ok(key) => {
            // Processes of the same user in the container may find the keyring (`exec` joins it).
            const USER_SEARCH: u32 = 0x0008_0000;
            const DEFAULT: u32 = 0x3f1b_0000;
            let permissions = sys::process::describe_key(key)
                .ok()
                .and_then(|text| key_permissions(&text))
                .unwrap_or(DEFAULT);
            // Older kernels do not let root of a user namespace change this; nothing is lost.
            let _ = sys::process::set_key_permissions(key, permissions | USER_SEARCH);
            Ok(())
        }
        // Kernels without keyrings, and containers whose filter forbids them.
        Err(sys::Errno::ENOSYS | sys::Errno::EPERM | sys::Errno::EACCES) => Ok(()),
        Err(errno) => Err(Error::os("joining a session keyring", errno)
            .with_hint("the kernel's limit of keys may be used up; --no-new-keyring goes without")),
    }
}

/// Permissions of a key description `type;uid;gid;perm;name`.
fn key_permissions(text: &[u8]) -> Option<u32> {
    let text = core::str::from_utf8(text).ok()?;
    u32::from_str_radix(text.split(';').nth(3)?, 16).ok()
}

fn set_sysctls(job: &Job) -> Result<()> {
    let Some(linux) = &job.spec.linux else { return Ok(()) };
    for (name, value) in &linux.sysctl {
        let path = alloc::format!("sys/{}", crate::config::sysctl_path(name));
        job.proc
            .write(&path, value)
            .map_err(|error| error.context(alloc::format!("linux.sysctl: {name:?}")))?;
    }
    Ok(())
}

/// Names a mount for errors.
fn describe(index: usize, plan: &MountPlan) -> String {
    alloc::format!("error mounting on {:?} (mounts[{index}])", plan.destination)
}
