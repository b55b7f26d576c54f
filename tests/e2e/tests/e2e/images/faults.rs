//! Disks that fail: each call that writes, of each verb that does, fails in each way that it can.
//!
//! Whatever fails is told in one sentence; the store is in order, the next command leaves nothing
//! of the failed one, and the same command again does what it should have done. `cargo xtask faults`
//! tries every call, every test run some of them.

use super::verbs::{Case, EPOCH, Verb};
use e2e::watch::{Verdict, Watched};
use e2e::{report, rounds, spread};
use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use sys::Errno;
use sys::seccomp::Notice;

/// How many failures a test run tries of each verb.
const USUAL_FAILURES: usize = 2;
/// `rmi` leaves a process behind that frees the space.
const GONE_DEADLINE: Duration = Duration::from_secs(20);
/// Longest sentence: two paths with a digest in each.
const SENTENCE_LIMIT_BYTES: usize = 700;

const FULL: &[Errno] = &[Errno::ENOSPC, Errno::EDQUOT, Errno::EIO];
const BROKEN: &[Errno] = &[Errno::EIO];

/// How a call names what it changes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
    /// Its first argument is an open file.
    File,
    /// Its first two arguments are a directory and a path.
    Path,
    /// So it is with the flags of `open`, where it makes a file.
    Opened,
}

/// (system call, its number on x86-64, what it is about, how it fails)
const CALLS: &[(&str, i32, About, &[Errno])] = {
    use About::{File, Opened, Path};
    &[
        ("write", 1, File, FULL),
        ("pwrite64", 18, File, FULL),
        ("writev", 20, File, FULL),
        ("sendfile", 40, File, FULL),
        ("fsync", 74, File, FULL),
        ("fdatasync", 75, File, FULL),
        ("ftruncate", 77, File, FULL),
        ("fchmod", 91, File, BROKEN),
        ("fchown", 93, File, BROKEN),
        ("fsetxattr", 190, File, FULL),
        ("openat", 257, Opened, FULL),
        ("mkdirat", 258, Path, FULL),
        ("mknodat", 259, Path, FULL),
        ("fchownat", 260, Path, FULL),
        ("unlinkat", 263, Path, BROKEN),
        ("renameat", 264, Path, FULL),
        ("linkat", 265, Path, FULL),
        ("symlinkat", 266, Path, FULL),
        ("fchmodat", 268, Path, BROKEN),
        ("splice", 275, File, FULL),
        ("utimensat", 280, Path, BROKEN),
        ("fallocate", 285, File, FULL),
        ("syncfs", 306, File, FULL),
        ("renameat2", 316, Path, FULL),
        ("copy_file_range", 326, File, FULL),
        ("openat2", 437, Opened, FULL),
        // What has no directory, of libraries that are older.
        ("open", 2, Path, FULL),
        ("rename", 82, Path, FULL),
        ("mkdir", 83, Path, FULL),
        ("rmdir", 84, Path, BROKEN),
        ("link", 86, Path, FULL),
        ("unlink", 87, Path, BROKEN),
        ("symlink", 88, Path, FULL),
        ("chmod", 90, Path, BROKEN),
        ("chown", 92, Path, BROKEN),
        ("lsetxattr", 189, Path, FULL),
    ]
};
/// The last of them have no descriptor of a directory in front of the path.
const WITHOUT_DIRECTORY: [i32; 10] = [2, 82, 83, 84, 86, 87, 88, 90, 92, 189];
const OPENAT2: i32 = 437;
const CREATES: u64 =
    (sys::fs::O_CREAT | sys::fs::O_TMPFILE) as u64 & !(sys::fs::O_DIRECTORY as u64);

/// What goes on without: (verbs, call, a part of its path), and why it may. Every other failure is told.
const TOLERATED: &[(&[&str], &str, &str)] = &[
    // What cannot be removed is swept by the next command.
    (&[], "unlinkat", "/store/claims/"),
    (&[], "unlinkat", "/store/staging/"),
    // Nothing fails for want of a record of it.
    (&[], "mkdir", "/store/engine"),
    (&[], "mkdirat", "/store/engine"),
    (&[], "openat", "/store/engine/events"),
    (&[], "write", "/store/engine/events"),
    // Space is freed by a process that has nobody to tell, and otherwise by the next command.
    (REMOVING, "mkdir", "/store"),
    (REMOVING, "syncfs", "/store"),
    (REMOVING, "unlinkat", "/store/trash/"),
    // Without room for a directory, what is taken away goes without one.
    (&["gc", "rmi", "prune"], "mkdirat", "/store/trash/"),
];
const REMOVING: &[&str] = &["rmi", "prune"];

/// The call of a watched program that a failure is about: (number, how many of that number came before).
type Point = (i32, usize);

/// A failure that was brought about.
struct Fault {
    call: &'static str,
    errno: Errno,
    path: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} of {}: {}", self.call, self.path, self.errno)
    }
}

/// Runs a verb with every call that writes decided by `decide`.
fn watch(
    case: &Case,
    mut decide: impl FnMut(Point, &'static str, String) -> Verdict + Send + 'static,
) -> ExitStatus {
    let said = std::fs::File::create(case.yard.path("said")).unwrap();
    let words = case.words();
    let mut command =
        case.yard.watched_command(&words.iter().map(String::as_str).collect::<Vec<_>>());
    command.env(EPOCH.0, EPOCH.1).stdout(Stdio::null()).stderr(said);
    let (dir, mut counts) = (case.yard.path(""), BTreeMap::<i32, usize>::new());
    let mut watched = Watched::start(&mut command, move |_, notice| {
        let Some((call, path)) = changed(notice, &dir) else { return Verdict::Continue };
        let count = counts.entry(notice.number).or_default();
        *count += 1;
        decide((notice.number, *count - 1), call, path)
    });
    let status = watched.wait();
    assert!(watched.is_gone_within(GONE_DEADLINE), "{}: it does not end", case.verb.name);
    status
}

/// The name of a call and the path that it changes, when that is below `dir`.
fn changed(notice: &Notice, dir: &str) -> Option<(&'static str, String)> {
    let (name, _, about, _) = CALLS.iter().find(|call| call.1 == notice.number)?;
    let link = |number: u64| {
        let link = match number as i32 {
            // AT_FDCWD
            -100 => format!("/proc/{}/cwd", notice.pid),
            number => format!("/proc/{}/fd/{number}", notice.pid),
        };
        std::fs::read_link(link).unwrap_or_default().to_string_lossy().into_owned()
    };
    let path = match about {
        About::File => link(notice.args[0]),
        About::Opened if flags(notice) & CREATES == 0 => return None,
        _ => {
            let is_bare = WITHOUT_DIRECTORY.contains(&notice.number);
            let (start, at) = if is_bare { (-100i32 as u64, 0) } else { (notice.args[0], 1) };
            let bytes = memory(notice, notice.args[at], 256);
            let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
            let text = String::from_utf8_lossy(text).into_owned();
            if text.starts_with('/') { text } else { format!("{}/{text}", link(start)) }
        }
    };
    let is_ours = path.starts_with(dir.trim_end_matches('/')) && !path.ends_with("/said");
    is_ours.then_some((*name, path))
}

fn flags(notice: &Notice) -> u64 {
    match notice.number {
        OPENAT2 => {
            let how = memory(notice, notice.args[2], 8);
            how.try_into().map_or(0, u64::from_ne_bytes)
        }
        _ => notice.args[2],
    }
}

fn memory(notice: &Notice, address: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0u8; length];
    let memory = std::fs::File::open(format!("/proc/{}/mem", notice.pid));
    let read = memory.and_then(|memory| memory.read_at(&mut bytes, address)).unwrap_or(0);
    bytes.truncate(read);
    bytes
}

/// Every call that writes, when nothing fails.
fn points(case: &Case) -> Vec<Point> {
    case.reset();
    let points = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&points);
    let status = watch(case, move |point, _, _| {
        noted.lock().unwrap().push(point);
        Verdict::Continue
    });
    assert!(status.success(), "{}: {}", case.verb.name, case.said());
    case.note_after();
    std::mem::take(&mut *points.lock().unwrap())
}

/// Lets one call fail. `None`: the point was not reached; otherwise what is not as it must be.
fn fail_at(case: &Case, point: Point, errno: Errno) -> Option<Vec<String>> {
    case.reset();
    let fault = Arc::new(Mutex::new(None));
    let noted = Arc::clone(&fault);
    let status = watch(case, move |at, call, path| {
        if at != point {
            return Verdict::Continue;
        }
        *noted.lock().unwrap() = Some(Fault { call, errno, path });
        Verdict::Fail(errno)
    });
    let fault = fault.lock().unwrap().take()?;
    let said = case.said();
    let mut problems = Vec::new();
    if status.success() {
        let may_fail = TOLERATED.iter().any(|(verbs, call, path)| {
            let is_meant = verbs.is_empty() || verbs.contains(&case.verb.name);
            is_meant && fault.call == *call && fault.path.contains(path)
        });
        if !may_fail {
            problems.push("it is not told".to_owned());
        }
    } else {
        problems.extend(what_is_wrong_with(&said, errno));
    }
    problems.extend(case.what_is_wrong(status.success()));
    let what = format!("{}: {fault}: {status}: {said}", case.verb.name);
    Some(problems.into_iter().map(|problem| format!("{problem}: {what}")).collect())
}

/// One sentence that names what was attempted, and why it failed; perhaps a hint.
pub(super) fn what_is_wrong_with(said: &str, errno: Errno) -> Option<String> {
    let mut lines = said.lines();
    let first = lines.next().unwrap_or_default();
    let Some(sentence) = first.strip_prefix("tare: ") else {
        return Some("no sentence".into());
    };
    let why = sentence.to_lowercase();
    let cause = errno.to_string();
    if !why.contains(&cause) {
        return Some("the sentence has no cause".into());
    }
    // Before the cause there is what it is about.
    if why.find(&cause).is_none_or(|at| at < 10) || sentence.len() > SENTENCE_LIMIT_BYTES {
        return Some("the sentence names nothing".into());
    }
    let rest: Vec<&str> = lines.filter(|line| !line.starts_with("hint: ")).collect();
    (!rest.is_empty()).then(|| "more than one sentence".into())
}

fn fail_everywhere(name: &str) {
    let verb = Verb::named(name);
    let Some(case) = Case::new(verb, &format!("images::faults: {name}")) else { return };
    let mut faults = Vec::new();
    for point in points(&case) {
        let errnos = CALLS.iter().find(|call| call.1 == point.0).map_or(FULL, |call| call.3);
        faults.extend(errnos.iter().map(|errno| (point, *errno)));
    }
    let (mut failed, mut problems) = (0, Vec::new());
    for index in spread(faults.len(), rounds(USUAL_FAILURES)) {
        let (point, errno) = faults[index];
        let Some(found) = fail_at(&case, point, errno) else { continue };
        failed += 1;
        problems.extend(found);
    }
    report(&format!("failed at {failed} points of {name}"));
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    assert!(failed > 0, "{name}: {} points", faults.len());
}

macro_rules! fail {
    ($($test:ident: $name:literal;)*) => {$(
        #[test]
        fn $test() {
            fail_everywhere($name);
        }
    )*};
}

fail! {
    a_failing_pull: "pull";
    a_failing_pull_from_a_registry: "pull a registry's";
    a_failing_load: "load";
    a_failing_import: "import";
    a_failing_append: "append";
    a_failing_flatten: "flatten";
    a_failing_mutate: "mutate";
    a_failing_tag: "tag";
    a_failing_untag: "untag";
    a_failing_rmi: "rmi";
    a_failing_prune: "prune";
    a_failing_gc: "gc";
    a_failing_index: "index";
    a_failing_artifact: "artifact";
    a_failing_push_to_a_layout: "push to a layout";
    a_failing_push_to_dockers_archive: "push to docker's archive";
    a_failing_push_to_a_layouts_archive: "push to a layout's archive";
    a_failing_push_to_a_directory: "push to a directory";
    a_failing_copy_to_dockers_archive: "copy to docker's archive";
    a_failing_copy_out_of_an_archive: "copy out of an archive";
    a_failing_sync: "sync";
}
