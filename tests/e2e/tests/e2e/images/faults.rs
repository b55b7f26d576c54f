//! Disks that fail: each call that writes, of each verb that does, fails in each way that it can.
//!
//! Whatever fails is told in one sentence; the store is in order, the next command leaves nothing
//! of the failed one, and the same command again does what it should have done. `cargo xtask faults`
//! tries every call, every test run some of them.

use super::verbs::{Case, EPOCH, Verb};
use e2e::failing::{Fault, Point, changed, failures, what_is_wrong_with};
use e2e::watch::{Verdict, Watched};
use e2e::{report, rounds, spread};
use std::collections::BTreeMap;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use sys::Errno;

/// How many failures a test run tries of each verb.
const USUAL_FAILURES: usize = 2;
/// `rmi` leaves a process behind that frees the space.
const GONE_DEADLINE: Duration = Duration::from_secs(120);
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
    // An image gets away from a full disk without a note that it has to stay meanwhile.
    (PUSHING, "openat", "/store/gate"),
    (PUSHING, "openat", "/store/lock"),
    (PUSHING, "mkdirat", "/store/staging/"),
    (PUSHING, "openat", "/store/staging/"),
    (PUSHING, "write", "/store/staging/"),
];
const PUSHING: &[&str] = &[
    "push to a layout",
    "push to docker's archive",
    "push to a layout's archive",
    "push to a directory",
];
const REMOVING: &[&str] = &["rmi", "prune"];

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
        let found = changed(notice, &dir).filter(|(_, path)| !path.ends_with("/said"));
        let Some((call, path)) = found else { return Verdict::Continue };
        let count = counts.entry(notice.number).or_default();
        *count += 1;
        decide((notice.number, *count - 1), call, path)
    });
    let status = watched.wait();
    assert!(watched.is_gone_within(GONE_DEADLINE), "{}: it does not end", case.verb.name);
    status
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

fn fail_everywhere(name: &str) {
    let verb = Verb::named(name);
    let Some(case) = Case::new(verb, &format!("images::faults: {name}")) else { return };
    let mut faults = Vec::new();
    for point in points(&case) {
        faults.extend(failures(point.0).iter().map(|errno| (point, *errno)));
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
