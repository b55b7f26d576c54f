//! System calls that fail at exact points: no space, no descriptors, no memory, a broken disk, a
//! signal. Each failure is told in one sentence and leaves nothing behind.

use super::{Role, Scenario, Tally, Verb, clean, find, is_nothing_left};
use e2e::watch::Verdict;
use e2e::{Bundle, rounds, spread};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};
use sys::Errno;
use sys::seccomp::Notice;

/// How many failures a test run tries of each scenario; `cargo xtask crash` tries all.
const USUAL_FAILURES: usize = 6;

/// (system call, its number on x86-64, how it fails where nothing is wrong with its arguments)
const CALLS: &[(&str, i32, &[Errno])] = {
    use Errno as E;
    &[
        ("read", 0, &[E::EIO, E::EINTR]),
        ("write", 1, &[E::ENOSPC, E::EIO, E::EINTR]),
        ("mmap", 9, &[E::ENOMEM]),
        ("mremap", 25, &[E::ENOMEM]),
        ("socket", 41, &[E::EMFILE, E::ENOMEM]),
        ("socketpair", 53, &[E::EMFILE, E::ENOMEM]),
        ("clone", 56, &[E::EAGAIN, E::ENOMEM]),
        ("execve", 59, &[E::ENOMEM, E::EIO]),
        ("wait4", 61, &[E::EINTR]),
        ("flock", 73, &[E::EINTR, E::ENOMEM]),
        ("chdir", 80, &[E::EIO, E::ENOMEM]),
        ("fchdir", 81, &[E::EIO]),
        ("fchmod", 91, &[E::EIO]),
        ("fchown", 93, &[E::EIO]),
        ("setgroups", 116, &[E::ENOMEM]),
        ("fstatfs", 138, &[E::EIO]),
        ("pivot_root", 155, &[E::ENOMEM]),
        ("chroot", 161, &[E::EIO]),
        ("mount", 165, &[E::ENOMEM, E::ENOSPC]),
        ("umount2", 166, &[E::ENOMEM]),
        ("getdents64", 217, &[E::EIO]),
        ("keyctl", 250, &[E::ENOMEM]),
        ("openat", 257, &[E::EMFILE, E::ENOMEM, E::EIO]),
        ("mkdirat", 258, &[E::ENOSPC, E::EIO]),
        ("mknodat", 259, &[E::ENOSPC, E::EIO]),
        ("fchownat", 260, &[E::EIO]),
        ("newfstatat", 262, &[E::EIO, E::ENOMEM]),
        ("unlinkat", 263, &[E::EIO]),
        ("renameat", 264, &[E::ENOSPC, E::EIO]),
        ("linkat", 265, &[E::ENOSPC]),
        ("symlinkat", 266, &[E::ENOSPC, E::EIO]),
        ("readlinkat", 267, &[E::EIO, E::ENOMEM]),
        ("fchmodat", 268, &[E::EIO]),
        ("ppoll", 271, &[E::EINTR, E::ENOMEM]),
        ("unshare", 272, &[E::ENOSPC, E::ENOMEM]),
        ("signalfd4", 289, &[E::EMFILE, E::ENOMEM]),
        ("pipe2", 293, &[E::EMFILE]),
        ("setns", 308, &[E::ENOMEM]),
        ("seccomp", 317, &[E::ENOMEM]),
        ("memfd_create", 319, &[E::EMFILE, E::ENOMEM]),
        ("bpf", 321, &[E::ENOMEM]),
        ("copy_file_range", 326, &[E::ENOSPC, E::EIO]),
        ("open_tree", 428, &[E::EMFILE, E::ENOMEM]),
        ("move_mount", 429, &[E::ENOMEM, E::ENOSPC]),
        ("fsopen", 430, &[E::EMFILE, E::ENOMEM]),
        ("fsconfig", 431, &[E::ENOMEM]),
        ("fsmount", 432, &[E::EMFILE, E::ENOSPC]),
        ("pidfd_open", 434, &[E::EMFILE, E::ENOMEM]),
        ("clone3", 435, &[E::EAGAIN, E::ENOMEM, E::ENOSPC]),
        ("openat2", 437, &[E::EMFILE, E::ENOMEM, E::EIO, E::EINTR]),
        ("mount_setattr", 442, &[E::ENOMEM]),
    ]
};

const ROOT: &str = "/";

/// What goes on without: (whose, call, a part of its path), and why it may. Every other failure is
/// told.
const TOLERATED: &[(Role, &str, &str)] = &[
    // The program's own file is copied into memory where its mount cannot be cloned.
    (Role::Caller, "open_tree", ""),
    (Role::Caller, "mount_setattr", ""),
    // Whether "root" is that of a user namespace only chooses defaults.
    (Role::Caller, "openat", "/proc/self/uid_map"),
    (Role::Caller, "read", "/uid_map"),
    // Whether the unified hierarchy is the only one is also in mountinfo.
    (Role::Caller, "openat", "/sys/fs/cgroup"),
    (Role::Caller, "fstatfs", "/sys/fs/cgroup"),
    // Hierarchies without controllers, a courtesy to systemd.
    (Role::Caller, "mkdirat", "/sys/fs/cgroup/unified/"),
    (Role::Caller, "mkdirat", "/sys/fs/cgroup/systemd/"),
    (Role::Caller, "openat", "tasks"),
    (Role::Child, "openat", "/sys/fs/cgroup/systemd/"),
    (Role::Child, "write", "/sys/fs/cgroup/systemd/"),
    // It is tried again without the unified hierarchy.
    (Role::Caller, "clone3", ""),
    (Role::Child, "clone3", ""),
    // A pid file is written under another name, and renamed.
    (Role::Caller, "openat", "/pids"),
    (Role::Caller, "write", "/pids/"),
    (Role::Caller, "linkat", ""),
    // Whether a container that exec enters is created, frozen, or in the caller's namespaces.
    (Role::Caller, "openat", "/stat"),
    (Role::Caller, "read", "/stat"),
    (Role::Caller, "newfstatat", "exec.fifo"),
    (Role::Caller, "openat", "cgroup.freeze"),
    (Role::Caller, "read", "cgroup.freeze"),
    (Role::Caller, "newfstatat", "/ns/"),
    // Without a descriptor `delete` looks again and again whether a process has ended.
    (Role::Caller, "pidfd_open", ""),
    // A signal that was read for nothing.
    (Role::Caller, "read", "signalfd"),
    // What could not be removed is tried again.
    (Role::Caller, "unlinkat", "/sys/fs/cgroup/"),
    // Permissions of the keyring, which is joined already.
    (Role::Child, "keyctl", ""),
    // Directories that are there already, after all.
    (Role::Child, "openat2", "proc"),
    (Role::Child, "openat2", "sys"),
    (Role::Child, "openat2", "dev"),
    (Role::Child, "openat2", "tmp"),
    // A link for the old name of a file that is not there.
    (Role::Child, "newfstatat", "/proc/kcore"),
    // Standard streams that are not known to be the null device stay the host's.
    (Role::Child, "newfstatat", "/dev/null"),
    (Role::Child, "newfstatat", "/said"),
    // Masks are mounted by path.
    (Role::Child, "fsopen", ""),
    (Role::Child, "fsconfig", ""),
    (Role::Child, "fsmount", ""),
    (Role::Child, "open_tree", ""),
    // HOME is "/" then.
    (Role::Child, "openat", "/etc/passwd"),
    // The working directory is entered again as the program's user. (Its path is compared whole.)
    (Role::Child, "newfstatat", ROOT),
    (Role::Child, "chdir", ""),
    // The directories of PATH are looked through to the end.
    (Role::Child, "newfstatat", "bin/"),
    // `create` may have ended already; `start` finds the container stopped.
    (Role::Child, "openat", "self/fd/"),
];

fn known(number: i32) -> Option<&'static (&'static str, i32, &'static [Errno])> {
    CALLS.iter().find(|call| call.1 == number)
}

/// A failure that was brought about.
#[derive(Clone, Debug)]
struct Fault {
    role: Role,
    call: &'static str,
    errno: Errno,
    /// The path that it is about, where it has one.
    path: String,
}

/// Lets one call fail: the `which`th way of those that it has. `false`: the point was not reached.
fn fail_at(
    scenario: &Scenario,
    bundle: &Bundle,
    role: Role,
    point: usize,
    which: usize,
    problems: &mut Vec<String>,
) -> bool {
    scenario.prepare(bundle);
    let fault = Arc::new(Mutex::new(None));
    let (noted, mut tally) = (Arc::clone(&fault), Tally::default());
    let mut watched = scenario.watch(bundle, move |_, notice| {
        if tally.next(notice) != Some((role, point)) {
            return Verdict::Continue;
        }
        let Some((call, _, errnos)) = known(notice.number) else { return Verdict::Continue };
        let errno = errnos[which % errnos.len()];
        let path = path_of(notice);
        *noted.lock().unwrap() = Some(Fault { role, call, errno, path });
        Verdict::Fail(errno)
    });
    let status = watched.wait();
    let fault = fault.lock().unwrap().take();
    let case = format!("{} {point}: {fault:?}: {status}: {}", scenario.name, bundle.said());
    if let Some(fault) = fault.as_ref().filter(|_| !status.success()) {
        let said = bundle.said();
        let errors = said.lines().filter(|line| !line.contains("warning: ")).count();
        // A child that has no memory says so itself, and its parent that it has ended.
        let most = if fault.role == Role::Child && fault.call == "mmap" { 2 } else { 1 };
        if errors == 0 || errors > most {
            problems.push(format!("not one sentence: {case}"));
        }
        // Without memory there is no cleaning up either; what remains otherwise is told.
        let makes = matches!(scenario.verb, Verb::Create | Verb::Run);
        let may_remain = fault.call == "mmap" || said.contains("`delete --force ");
        if makes && !may_remain && !is_nothing_left(bundle) {
            problems.push(format!("something is left: {case}"));
        }
    } else if let Some(fault) = fault.as_ref() {
        // After a signal the call is simply made again.
        let again = fault.errno == Errno::EINTR;
        if !again
            && !TOLERATED.iter().any(|(role, call, path)| {
                fault.role == *role
                    && fault.call == *call
                    && (fault.path.contains(path) && *path != ROOT || fault.path == *path)
            })
        {
            problems.push(format!("not told: {case}"));
        }
    }
    clean(&case, bundle, watched);
    fault.is_some()
}

/// The path of a call: its second argument, as of `openat`, or that of its descriptor.
fn path_of(notice: &Notice) -> String {
    const AT: [i32; 13] = [257, 258, 259, 260, 262, 263, 264, 265, 266, 267, 268, 428, 437];
    const DESCRIPTOR: [i32; 5] = [0, 1, 73, 138, 217];
    let of_descriptor = || {
        let link = format!("/proc/{}/fd/{}", notice.pid, notice.args[0]);
        std::fs::read_link(link).unwrap_or_default().to_string_lossy().into_owned()
    };
    if DESCRIPTOR.contains(&notice.number) {
        return of_descriptor();
    }
    if !AT.contains(&notice.number) {
        return String::new();
    }
    let mut bytes = vec![0u8; 256];
    let memory = std::fs::File::open(format!("/proc/{}/mem", notice.pid));
    let length = memory.and_then(|memory| memory.read_at(&mut bytes, notice.args[1])).unwrap_or(0);
    bytes.truncate(length);
    match bytes.split(|&byte| byte == 0).next().unwrap_or_default() {
        b"" => of_descriptor(),
        text => String::from_utf8_lossy(text).into_owned(),
    }
}

/// Every failure of every call of a scenario.
fn fail_everywhere(name: &str) {
    let scenario = find(name);
    let Some(bundle) = scenario.bundle(name) else { return };
    let mut cases = Vec::new();
    for (role, calls) in [Role::Caller, Role::Child].into_iter().zip(scenario.calls(&bundle)) {
        for (point, number) in calls.into_iter().enumerate() {
            let ways = known(number).map_or(0, |call| call.2.len());
            cases.extend((0..ways).map(|which| (role, point, which)));
        }
    }
    let chosen = spread(cases.len(), rounds(USUAL_FAILURES));
    let mut problems = Vec::new();
    let failed = chosen.into_iter().filter(|&index| {
        let (role, point, which) = cases[index];
        fail_at(scenario, &bundle, role, point, which, &mut problems)
    });
    let failed = failed.count();
    e2e::report(&format!("failed at {failed} points of {name}"));
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    assert!(failed > 0, "{name}: {} cases", cases.len());
}

#[test]
fn a_failing_create_leaves_nothing() {
    fail_everywhere("create");
}

#[test]
fn a_failing_create_with_a_user_namespace_leaves_nothing() {
    fail_everywhere("create users");
}

#[test]
fn a_failing_create_with_a_joined_namespace_leaves_nothing() {
    fail_everywhere("create joined");
}

#[test]
fn a_failing_create_without_a_mount_namespace_leaves_nothing() {
    fail_everywhere("create shared");
}

#[test]
fn a_failing_run_leaves_nothing() {
    fail_everywhere("run");
}

#[test]
fn a_failing_exec_is_told() {
    fail_everywhere("exec");
}

#[test]
fn a_failing_delete_can_be_repeated() {
    fail_everywhere("delete");
}
