//! Forking the init into its namespaces.
//!
//! With new namespaces only, one `clone3` does everything. Namespaces to join, and a time
//! namespace (which a process can only make for its children), are entered by a helper between
//! parent and init: it joins, clones the init as its own sibling, tells its id, and ends.

use crate::cgroup::Fallback;
use crate::channel::{Channel, Request};
use crate::error::{Attempt, Error, Result};
use crate::init::Job;
use alloc::format;
use alloc::vec::Vec;
use oci::runtime::{IdMapping, Linux, Map, NamespaceKind, TimeOffset};
use sys::process::{self as p, Child, Clone};
use sys::{CWD, Errno, Fd, fs, ids, wait};

/// The namespaces of a configuration.
pub(super) struct Namespaces {
    /// `CLONE_NEW*` of the new ones.
    pub(super) new: u32,
    /// Those to join, in the order of [`NamespaceKind::ALL`].
    pub(super) joined: Vec<(NamespaceKind, Fd)>,
    /// A new user namespace.
    pub(super) new_users: bool,
    /// A user namespace of its own, new or joined.
    pub(super) own_users: bool,
}

pub(crate) fn flag(kind: NamespaceKind) -> u32 {
    match kind {
        NamespaceKind::Pid => p::CLONE_NEWPID,
        NamespaceKind::Network => p::CLONE_NEWNET,
        NamespaceKind::Mount => p::CLONE_NEWNS,
        NamespaceKind::Ipc => p::CLONE_NEWIPC,
        NamespaceKind::Uts => p::CLONE_NEWUTS,
        NamespaceKind::User => p::CLONE_NEWUSER,
        NamespaceKind::Cgroup => p::CLONE_NEWCGROUP,
        NamespaceKind::Time => p::CLONE_NEWTIME,
    }
}

pub(super) fn read(linux: &mut Linux) -> Result<Namespaces> {
    let mut namespaces =
        Namespaces { new: 0, joined: Vec::new(), new_users: false, own_users: false };
    for kind in NamespaceKind::ALL {
        let Some(namespace) = linux.namespaces.iter().find(|namespace| namespace.kind == kind)
        else {
            continue;
        };
        let is_users = kind == NamespaceKind::User;
        match namespace.path.as_deref().filter(|path| !path.is_empty()) {
            None => {
                namespaces.new |= flag(kind);
                namespaces.new_users |= is_users;
                namespaces.own_users |= is_users;
            }
            Some(path) => {
                let fd = open(path, kind)?;
                if is_users && is_own(&fd) {
                    // Joining the user namespace that one is in is an error of the kernel's.
                    continue;
                }
                namespaces.joined.push((kind, fd));
                namespaces.own_users |= is_users;
            }
        }
    }
    if namespaces.new_users && linux.uid_mappings.is_empty() && linux.gid_mappings.is_empty() {
        // The caller alone, as root: all that everybody may map.
        let one = |host_id| IdMapping { container_id: 0, host_id, size: 1 };
        linux.uid_mappings.push(one(ids::euid()));
        linux.gid_mappings.push(one(ids::egid()));
    }
    if namespaces.new_users && linux.uid_mappings.is_empty() {
        let what = "linux.uidMappings: a new user namespace needs a mapping of user ids";
        return Err(Error::invalid(what));
    }
    if namespaces.new_users && linux.gid_mappings.is_empty() {
        let what = "linux.gidMappings: a new user namespace needs a mapping of group ids";
        return Err(Error::invalid(what));
    }
    Ok(namespaces)
}

fn open(path: &str, kind: NamespaceKind) -> Result<Fd> {
    const NSFS_MAGIC: i64 = 0x6e73_6673;
    const PROC_MAGIC: i64 = 0x9fa0;
    let name = kind.name();
    let field = || format!("linux.namespaces: opening the {name} namespace {path:?}");
    let fd = fs::open_at(CWD, path, fs::O_RDONLY | fs::O_NONBLOCK, 0).attempt(field)?;
    let magic = fs::statfs(&fd).attempt(field)?.f_type as i64;
    if magic != NSFS_MAGIC && magic != PROC_MAGIC {
        return Err(Error::invalid(format!("{}: it is not a namespace", field())));
    }
    Ok(fd)
}

fn is_own(fd: &Fd) -> bool {
    let own = fs::stat_at(CWD, "/proc/self/ns/user", 0);
    match (own, fs::stat_fd(fd)) {
        (Ok(own), Ok(other)) => (own.st_dev, own.st_ino) == (other.st_dev, other.st_ino),
        _ => false,
    }
}

/// Forks the init. `None` is returned in it. The channel's child end goes to it.
pub(super) fn fork(
    job: &mut Job,
    parent_end: &Channel,
    child_end: &mut Option<Channel>,
) -> Result<Option<Child>> {
    // The cgroup namespace is made by the init once it is in its cgroup, and the network namespace,
    // the dearest of all, while this process makes the cgroups.
    let later = if job.overlaps { p::CLONE_NEWNET } else { 0 };
    let now = job.new_namespaces & !p::CLONE_NEWCGROUP & !later;
    let cgroup = job.join.cgroup();
    if job.joined.is_empty() && now & p::CLONE_NEWTIME == 0 {
        let (child, attach) = clone_into(job, Clone { namespaces: now, cgroup, sibling: false })?;
        job.asks_for_cgroup = attach;
        return Ok(child);
    }
    let Some(helper) = clone(Clone { namespaces: 0, cgroup: None, sibling: false })? else {
        return match join_and_clone(job, now, cgroup, child_end) {
            Ok(()) => Ok(None),
            Err(error) => {
                if let Some(end) = child_end {
                    end.fail(&error);
                }
                p::exit(1)
            }
        };
    };
    // With this copy open, nobody would ever hear of the helper's end.
    *child_end = None;
    let child = meet_init(job, &helper, parent_end)?;
    let _ = wait::child(helper.pid, true);
    Ok(Some(child))
}

/// The init's id from the helper; meanwhile the helper may want a mapping.
fn meet_init(job: &mut Job, helper: &Child, parent_end: &Channel) -> Result<Child> {
    loop {
        match parent_end.receive()? {
            Some(Request::Attach) => {
                job.asks_for_cgroup = true;
                parent_end.answer()?;
            }
            Some(Request::Child(pid)) => {
                let pidfd = p::open_pid(pid).attempt(|| "opening the container's init")?;
                return Ok(Child { pid, pidfd });
            }
            Some(Request::Map) => {
                super::mapping::write(job, helper.pid)?;
                // It is the init's namespace too, which has nothing left to ask.
                job.wants_mapping = false;
                parent_end.answer()?;
            }
            Some(Request::Failed(error)) => return Err(error),
            Some(Request::Note(text)) => job.trace.say(&text),
            Some(_) => {}
            None => return Err(super::died(helper)),
        }
    }
}

/// Clones, and where the kernel cannot clone into the cgroup, without it. The flag says that the
/// child then has to ask to be moved there; the child finds it set in its copy, too.
fn clone_into(job: &Job, mut how: Clone) -> Result<(Option<Child>, bool)> {
    let fallback = match p::fork(how) {
        Ok(child) => return Ok((child, false)),
        Err(_) if how.cgroup.is_none() => Fallback::GoOn,
        Err(errno) => job.join.fallback(errno),
    };
    if fallback != Fallback::Fail {
        how.cgroup = None;
    }
    Ok((clone(how)?, fallback == Fallback::Attach))
}

fn clone(how: Clone) -> Result<Option<Child>> {
    match p::fork(how) {
        Err(Errno::ENOSYS | Errno::EPERM) => p::fork_legacy(how),
        result => result,
    }
    .map_err(|errno| {
        let error = Error::os("making the container's namespaces", errno);
        match errno {
            Errno::EPERM => error.with_hint(
                "run as root, or use a user namespace (`spec --rootless`); some systems forbid it \
                 (sysctl kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)",
            ),
            Errno::ENOSPC => error.with_hint("a limit in /proc/sys/user/ is used up"),
            _ => error,
        }
    })
}

/// The helper: returns in the init.
fn join_and_clone(
    job: &mut Job,
    mut now: u32,
    cgroup: Option<i32>,
    child_end: &mut Option<Channel>,
) -> Result<()> {
    let Some(channel) = child_end else { return Err(Error::os("forking", Errno::EPIPE)) };
    join_all(job)?;
    if now & p::CLONE_NEWTIME != 0 {
        if now & p::CLONE_NEWUSER != 0 {
            // Offsets may only be set with privileges over the namespace, which for an ordinary
            // user are those in a user namespace that must then exist first.
            p::unshare(p::CLONE_NEWUSER).attempt(|| "making a user namespace")?;
            channel.ask(&Request::Map)?;
            job.wants_mapping = false;
            now &= !p::CLONE_NEWUSER;
        }
        p::unshare(p::CLONE_NEWTIME).attempt(|| "making a time namespace")?;
        write_offsets(&job.time_offsets)?;
        now &= !p::CLONE_NEWTIME;
    }
    // The init may not speak before the parent knows of it: it waits for a word through this pipe,
    // whose end without one says that the helper was killed.
    let (read_end, write_end) = fs::pipe().attempt(|| "making a pipe to the init")?;
    // From another cgroup namespace than the first no process gets out of what it shows (nsdelegate): the parent, who
    // has not joined any, moves the init.
    let has_joined = job.joined.iter().any(|(kind, _)| *kind == NamespaceKind::Cgroup);
    let how = Clone { namespaces: now, cgroup: cgroup.filter(|_| !has_joined), sibling: true };
    let (child, attach) = clone_into(job, how)?;
    let attach = attach || (has_joined && cgroup.is_some());
    job.asks_for_cgroup = attach;
    let Some(child) = child else {
        drop(write_end);
        return match fs::read(&read_end, &mut [0u8; 1]) {
            Ok(1) => Ok(()),
            result => result.and(Err(Errno::EPIPE)).attempt(|| "waiting for the joining process"),
        };
    };
    if attach {
        channel.ask(&Request::Attach)?;
    }
    channel.tell(&Request::Child(child.pid))?;
    // An init that is gone again needs no word.
    let _ = fs::write(&write_end, b"1");
    p::exit(0)
}

/// Joins in two passes: what the caller's rights allow, then the user namespace, then what only
/// its rights allow.
fn join_all(job: &Job) -> Result<()> {
    let failed = |kind: NamespaceKind, errno| {
        let attempt = format!("linux.namespaces: joining the {} namespace", kind.name());
        let error = Error::os(attempt, errno);
        match errno {
            Errno::EINVAL => error.with_hint("the file may be a namespace of another kind"),
            _ => error,
        }
    };
    let mut refused: Vec<&(NamespaceKind, Fd)> = Vec::new();
    let others = || job.joined.iter().filter(|(kind, _)| *kind != NamespaceKind::User);
    for entry in others() {
        match p::set_namespace(&entry.1, flag(entry.0)) {
            Ok(()) => {}
            Err(Errno::EPERM) => refused.push(entry),
            Err(errno) => return Err(failed(entry.0, errno)),
        }
    }
    if let Some((kind, fd)) = job.joined.iter().find(|(kind, _)| *kind == NamespaceKind::User) {
        p::set_namespace(fd, flag(*kind)).map_err(|errno| failed(*kind, errno))?;
    }
    for (kind, fd) in refused {
        p::set_namespace(fd, flag(*kind)).map_err(|errno| failed(*kind, errno))?;
    }
    Ok(())
}

fn write_offsets(offsets: &Map<TimeOffset>) -> Result<()> {
    for (clock, offset) in offsets {
        let line = format!("{clock} {} {}", offset.secs, offset.nanosecs);
        fs::write_file(CWD, "/proc/self/timens_offsets", line)
            .attempt(|| format!("linux.timeOffsets: setting {clock}"))?;
    }
    Ok(())
}
