//! Making, joining and becoming processes.

use crate::CStrings;
use crate::arch::call;
use crate::errno::{Errno, Result};
use crate::fd::{AsFd, Fd};
use core::sync::atomic::{AtomicUsize, Ordering};
use linux_raw_sys::general::{AT_EMPTY_PATH, CLONE_INTO_CGROUP, CLONE_PIDFD, SIGCHLD, clone_args};
pub use linux_raw_sys::general::{
    CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWTIME,
    CLONE_NEWUSER, CLONE_NEWUTS,
};
use linux_raw_sys::prctl::{
    PR_SET_CHILD_SUBREAPER, PR_SET_DUMPABLE, PR_SET_NAME, PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG,
};

/// How a child starts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clone {
    /// `CLONE_NEW*` namespaces.
    pub namespaces: u32,
    /// cgroup v2 directory to start in.
    pub cgroup: Option<i32>,
    /// The child becomes a sibling: its parent is the caller's parent.
    pub sibling: bool,
}

/// A child that [`fork`] made.
#[derive(Debug)]
pub struct Child {
    /// Its id in the caller's pid namespace.
    pub pid: i32,
    /// A descriptor that stands for it.
    pub pidfd: Fd,
}

/// Copies the process (`clone3(2)` with a copied memory). `None` is returned in the child.
///
/// The caller must be single-threaded, or the child must not touch what another thread might
/// have held: that is the runtime's law 3 and is checked where the runtime is entered.
pub fn fork(how: Clone) -> Result<Option<Child>> {
    let mut pidfd = -1i32;
    let mut flags = u64::from(CLONE_PIDFD) | u64::from(how.namespaces);
    let mut args = clone_args {
        flags: 0,
        pidfd: &raw mut pidfd as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: u64::from(SIGCHLD),
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    if let Some(cgroup) = how.cgroup {
        flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup as u64;
    }
    if how.sibling {
        flags |= u64::from(linux_raw_sys::general::CLONE_PARENT);
        args.exit_signal = 0;
    }
    args.flags = flags;
    // SAFETY: `args` is a structure of the size given; without CLONE_VM the child runs on its own
    // copy of this stack, so returning in both is sound.
    let pid = unsafe { call!(__NR_clone3, &raw const args, size_of::<clone_args>())? };
    if pid == 0 {
        return Ok(None);
    }
    Ok(Some(Child { pid: pid as i32, pidfd: Fd::from_raw(pidfd) }))
}

/// A child without namespaces or cgroup of its own, on every kernel and inside every filter: one
/// that does not know `clone3` answers `ENOSYS`, or `EPERM` by its default.
pub fn fork_plain() -> Result<Option<Child>> {
    match fork(Clone::default()) {
        Err(crate::Errno::ENOSYS | crate::Errno::EPERM) => fork_legacy(Clone::default()),
        result => result,
    }
}

/// `clone(2)` for kernels and filters without `clone3`; the same as [`fork`] without cgroup.
pub fn fork_legacy(how: Clone) -> Result<Option<Child>> {
    let mut pidfd = -1i32;
    let sibling = if how.sibling { linux_raw_sys::general::CLONE_PARENT } else { SIGCHLD };
    let flags = CLONE_PIDFD | how.namespaces | sibling;
    // SAFETY: a NULL stack means a copy of the caller's; the third argument takes the pidfd.
    let pid = unsafe { call!(__NR_clone, flags, 0, &raw mut pidfd, 0, 0)? };
    if pid == 0 {
        return Ok(None);
    }
    Ok(Some(Child { pid: pid as i32, pidfd: Fd::from_raw(pidfd) }))
}

/// `execve(2)`; returns only on error.
pub fn exec(path: impl AsRef<[u8]>, args: &CStrings, env: &CStrings) -> crate::Errno {
    let (args, env) = (args.pointers(), env.pointers());
    let result = crate::cstr::with_cstr(path.as_ref(), |path| {
        // SAFETY: `path` is a C string, both arrays are NULL-terminated arrays of C strings.
        unsafe { call!(__NR_execve, path, args.as_ptr(), env.as_ptr()) }
    });
    result.err().unwrap_or(crate::Errno::EINVAL)
}

/// `execveat(2)` of an open file; returns only on error.
pub fn exec_fd(file: impl AsFd, args: &CStrings, env: &CStrings) -> crate::Errno {
    let (path, args, env) = (c"".as_ptr(), args.pointers(), env.pointers());
    // SAFETY: `path` is a C string, both arrays are NULL-terminated arrays of C strings.
    let result = unsafe {
        call!(__NR_execveat, file.fd(), path, args.as_ptr(), env.as_ptr(), AT_EMPTY_PATH)
    };
    result.err().unwrap_or(crate::Errno::EINVAL)
}

/// `unshare(2)`. The caller must be single-threaded.
pub fn unshare(namespaces: u32) -> Result<()> {
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_unshare, namespaces) }.map(drop)
}

/// `setns(2)`: `fd` is a namespace file (`kinds` one flag or 0) or a pidfd (`kinds` many).
pub fn set_namespace(fd: impl AsFd, kinds: u32) -> Result<()> {
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_setns, fd.fd(), kinds) }.map(drop)
}

/// `pidfd_open(2)`.
pub fn open_pid(pid: i32) -> Result<Fd> {
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_pidfd_open, pid, 0) }.map(|raw| Fd::from_raw(raw as i32))
}

/// Sends a signal to the process that `pidfd` stands for. Signal 0 only checks.
pub fn signal_pidfd(pidfd: impl AsFd, signal: i32) -> Result<()> {
    // SAFETY: a NULL siginfo means an ordinary signal.
    unsafe { call!(__NR_pidfd_send_signal, pidfd.fd(), signal, 0, 0) }.map(drop)
}

/// `kill(2)`.
pub fn kill(pid: i32, signal: i32) -> Result<()> {
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_kill, pid, signal) }.map(drop)
}

/// Ends the process. Under a filter that denies even this, an illegal instruction does.
pub fn exit(code: i32) -> ! {
    // SAFETY: no pointer is passed; the calls return only where a filter denies them.
    let _ = unsafe { call!(__NR_exit_group, code) };
    // SAFETY: as above.
    let _ = unsafe { call!(__NR_exit, code) };
    crate::arch::trap()
}

/// The caller's process id in its pid namespace.
pub fn id() -> i32 {
    // SAFETY: no pointer is passed; the call cannot fail.
    unsafe { call!(__NR_getpid) }.unwrap_or(0) as i32
}

/// The parent's process id.
pub fn parent_id() -> i32 {
    // SAFETY: no pointer is passed; the call cannot fail.
    unsafe { call!(__NR_getppid) }.unwrap_or(0) as i32
}

/// Starts a session.
pub fn new_session() -> Result<()> {
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_setsid) }.map(drop)
}

fn prctl(option: u32, value: usize) -> Result<()> {
    // SAFETY: the options of this module take numbers, not pointers.
    unsafe { call!(__NR_prctl, option, value, 0, 0, 0) }.map(drop)
}

/// Whether other processes of the same user may look into this one (`PR_SET_DUMPABLE`).
pub fn set_dumpable(on: bool) -> Result<()> {
    prctl(PR_SET_DUMPABLE, usize::from(on))
}

/// Exec gives no more privileges from here on.
pub fn set_no_new_privileges() -> Result<()> {
    prctl(PR_SET_NO_NEW_PRIVS, 1)
}

/// Orphaned descendants become children of this process.
pub fn set_subreaper(on: bool) -> Result<()> {
    prctl(PR_SET_CHILD_SUBREAPER, usize::from(on))
}

/// Signal that this process gets when its parent ends.
pub fn set_parent_death_signal(signal: i32) -> Result<()> {
    prctl(PR_SET_PDEATHSIG, signal as usize)
}

/// The name that `ps` shows, cut at 15 bytes.
pub fn set_name(name: &str) -> Result<()> {
    crate::cstr::with_cstr(name.as_bytes(), |name| {
        // SAFETY: `name` is a C string for the duration of the call.
        unsafe { call!(__NR_prctl, PR_SET_NAME, name, 0, 0, 0) }
    })
    .map(drop)
}

/// Where the words of the command line and the environment are: the first bytes and those behind the last.
static WORDS: [AtomicUsize; 4] = [const { AtomicUsize::new(0) }; 4];
/// Fields of `/proc/PID/stat` behind the name: `arg_start`, and after it `arg_end`, `env_start` and `env_end`.
const ARGUMENTS_FIELD: usize = 45;

/// Puts a title in place of the command line, whose options may be secret, for all processes to see. What a process
/// does with its own arguments is done by then.
pub fn set_title(title: &str) -> Result<()> {
    let stat = crate::fs::read_file(crate::CWD, "/proc/self/stat", 4096)?;
    let text = core::str::from_utf8(&stat).map_err(|_| Errno::EINVAL)?;
    let fields = text.rsplit_once(')').ok_or(Errno::EINVAL)?.1.split_whitespace();
    for (place, field) in WORDS.iter().zip(fields.skip(ARGUMENTS_FIELD)) {
        place.store(field.parse().map_err(|_| Errno::EINVAL)?, Ordering::Relaxed);
    }
    overwrite(0, title);
    Ok(())
}

/// The same in a child of a process that has got a title, which has no use for its environment either.
pub fn change_title(title: &str) {
    overwrite(0, title);
    overwrite(2, "");
}

fn overwrite(first: usize, text: &str) {
    let at = |number: usize| WORDS[number].load(Ordering::Relaxed);
    let (start, end) = (at(first), at(first + 1));
    if start == 0 || end <= start {
        return;
    }
    // SAFETY: the kernel has put the words there when it started the program, on a stack that stays, and nothing else
    // in the program looks at them any more.
    let words = unsafe { core::slice::from_raw_parts_mut(start as *mut u8, end - start) };
    words.fill(0);
    for (to, from) in words.iter_mut().zip(text.bytes()) {
        *to = from;
    }
}

/// `sethostname(2)`.
pub fn set_hostname(name: &str) -> Result<()> {
    // SAFETY: the bytes are readable for the length given.
    unsafe { call!(__NR_sethostname, name.as_ptr(), name.len()) }.map(drop)
}

/// `setdomainname(2)`.
pub fn set_domainname(name: &str) -> Result<()> {
    // SAFETY: the bytes are readable for the length given.
    unsafe { call!(__NR_setdomainname, name.as_ptr(), name.len()) }.map(drop)
}

/// `personality(2)`.
pub fn set_personality(value: u32) -> Result<()> {
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_personality, value) }.map(drop)
}

/// Joins a new session keyring with this name; returns its id.
pub fn join_session_keyring(name: &str) -> Result<u32> {
    const KEYCTL_JOIN_SESSION_KEYRING: u32 = 1;
    crate::cstr::with_cstr(name.as_bytes(), |name| {
        // SAFETY: `name` is a C string for the duration of the call.
        unsafe { call!(__NR_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name, 0, 0, 0) }
    })
    .map(|id| id as u32)
}

/// `keyctl(KEYCTL_DESCRIBE)`: the description of a key, at most 1 KiB.
pub fn describe_key(id: u32) -> Result<alloc::vec::Vec<u8>> {
    const KEYCTL_DESCRIBE: u32 = 6;
    let mut buffer = alloc::vec![0u8; 1024];
    let (pointer, size) = (buffer.as_mut_ptr(), buffer.len());
    // SAFETY: the buffer is writable for the length given.
    let length = unsafe { call!(__NR_keyctl, KEYCTL_DESCRIBE, id, pointer, size, 0)? };
    buffer.truncate(length.min(size));
    Ok(buffer)
}

/// `keyctl(KEYCTL_SETPERM)`.
pub fn set_key_permissions(id: u32, permissions: u32) -> Result<()> {
    const KEYCTL_SETPERM: u32 = 5;
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_keyctl, KEYCTL_SETPERM, id, permissions, 0, 0) }.map(drop)
}

/// `pidfd_getfd(2)`: a copy of descriptor `number` of another process.
pub fn descriptor_of(pidfd: impl AsFd, number: i32) -> Result<Fd> {
    // SAFETY: no pointer is passed.
    unsafe { call!(__NR_pidfd_getfd, pidfd.fd(), number, 0) }.map(|raw| Fd::from_raw(raw as i32))
}
