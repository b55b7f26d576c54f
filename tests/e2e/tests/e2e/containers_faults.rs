//! Verbs about containers of which every step fails, or is the last one of the process that makes it.
//!
//! Whatever fails is told in one sentence, or makes no difference; whoever is killed, `ps` tells the truth, the container
//! can be removed, nothing of it is left, and the same command again does what it should have done. `cargo xtask upset`
//! tries sixty steps of each, or as many as one likes, every test run some of them.

use super::running::MAKE;
use e2e::failing::{Fault, Point, changed, failures, what_is_wrong_with};
use e2e::images::Yard;
use e2e::watch::{Verdict, Watched};
use e2e::{is_root, report, rounds, skip, spread};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use sys::Errno;
use sys::seccomp::Notice;

/// How many failures, and how many kills, a test run tries of each verb.
const USUAL_FAILURES: usize = 3;
/// What nobody waits for is gone by then; a command that takes longer is stuck.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(10);
const ID_DIGITS: usize = 64;

/// A verb, with what it needs.
pub(super) struct Verb {
    pub(super) name: &'static str,
    pub(super) words: &'static str,
    /// A script that makes what it needs.
    pub(super) before: &'static str,
}

pub(super) const fn verb(name: &'static str, words: &'static str, before: &'static str) -> Verb {
    Verb { name, words, before }
}

pub(super) const MADE: &str = "tare create --name x box:1";
pub(super) const RUNS: &str = "tare run -d --name x box:1";

static VERBS: [Verb; 14] = [
    verb("run --rm", "run --rm --name x box:1 pwd", ""),
    verb("run", "run --name x -v data:/d box:1 pwd", ""),
    verb("run -d", "run -d --name x box:1", ""),
    verb("create", "create --name x box:1", ""),
    verb("start", "start x", MADE),
    verb("restart", "restart -t 0 x", RUNS),
    verb("exec", "exec x pwd", RUNS),
    verb("stop", "stop -t 0 x", RUNS),
    verb("pause", "pause x", RUNS),
    verb("rename", "rename x y", MADE),
    verb("rm", "rm x", MADE),
    verb("rm -f", "rm -f x", RUNS),
    verb("cp", "cp box.tar x:/f", MADE),
    verb("commit", "commit -q x made:1", MADE),
];

/// What goes on without: (verbs, call, a part of its path), and why it may. Every other failure is told.
const TOLERATED: &[(&[&str], &str, &str)] = &[
    // Nothing fails for want of a record of it.
    (&[], "openat", "/store/engine/events"),
    (&[], "write", "/store/engine/events"),
    // Without room for a new record the old one is written over.
    (&[], "openat", "/state.json."),
    (&[], "write", "/state.json."),
    (&[], "renameat", "/state.json"),
    // What cannot be removed is swept by the next command.
    (&[], "unlinkat", "/store/claims/"),
    (&[], "unlinkat", "/store/staging/"),
    (&[], "unlinkat", "/store/trash/"),
    (&[], "unlinkat", "/mounts/"),
    // Without room for a directory, what is taken away goes without one.
    (&[], "mkdirat", "/store/trash/"),
    // Whoever waits is told how the program has ended; the next command removes what its supervisor could not.
    (ENDING, "renameat", "/store/containers/"),
    (ENDING, "unlinkat", "/store/engine/"),
    (ENDING, "unlinkat", "/store/containers/"),
];
const ENDING: &[&str] = &["run --rm", "run", "run -d", "start", "restart"];

/// Which process of the watched ones makes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// The command.
    Caller,
    /// Its supervisor, and what that starts.
    Other,
}

/// A verb that is tried again and again in one store.
pub(super) struct Case {
    pub(super) verb: &'static Verb,
    pub(super) yard: Yard,
    /// The containers that there have been.
    ids: Arc<Mutex<BTreeSet<String>>>,
}

/// How a command has ended: nothing where it was stuck.
struct Ended {
    success: Option<bool>,
    said: String,
}

impl Case {
    fn new(name: &str) -> Option<Self> {
        let verb = VERBS.iter().find(|verb| verb.name == name).expect("a verb of the table");
        Self::of("containers_faults", verb)
    }

    pub(super) fn of(module: &str, verb: &'static Verb) -> Option<Self> {
        if !is_root() {
            skip(&format!("{module}: {}", verb.name), "needs root");
            return None;
        }
        let case = Self { verb, yard: Yard::in_memory(), ids: Arc::default() };
        let import = "tare import -q --change 'CMD [\"sleep\", \"1000\"]' box.tar box:1";
        case.script(&format!("{MAKE}\n{import}"));
        Some(case)
    }

    pub(super) fn script(&self, script: &str) -> String {
        let output = self.yard.shell(script).env("TARE_NETWORK", "none").output().unwrap();
        assert!(output.status.success(), "{}: {script}: {}", self.verb.name, e2e::stderr(&output));
        e2e::stdout(&output)
    }

    pub(super) fn tare(&self, args: &[&str]) -> (bool, String) {
        let output = self.yard.tare_command(args).env("TARE_NETWORK", "none").output().unwrap();
        (output.status.success(), e2e::stdout(&output) + &e2e::stderr(&output))
    }

    pub(super) fn words(&self) -> Vec<&'static str> {
        self.verb.words.split(' ').collect()
    }

    /// Runs the verb, with every call of it and of what it leaves behind decided by `decide`.
    fn watch(
        &self,
        mut decide: impl FnMut(&Notice) -> Verdict + Send + 'static,
    ) -> (Watched, Ended) {
        let said = std::fs::File::create(self.yard.path("said")).unwrap();
        let mut command = self.yard.watched_command(&self.words());
        command.env("TARE_NETWORK", "none").stdout(Stdio::null()).stderr(said);
        let mut watched = Watched::start(&mut command, move |_, notice| decide(notice));
        let status = watched.wait_within(PATIENCE);
        let said = String::from_utf8_lossy(&self.yard.read("said")).into_owned();
        (watched, Ended { success: status.map(|it| it.success()), said })
    }

    /// Notes the container that a path is of.
    fn note(ids: &Mutex<BTreeSet<String>>, path: &str) {
        let Some((_, rest)) = path.split_once("/containers/") else { return };
        if let Some(id) = rest.get(..ID_DIGITS).filter(|id| !id.contains('/')) {
            ids.lock().unwrap().insert(id.to_owned());
        }
    }

    pub(super) fn known(&self) -> BTreeSet<String> {
        let mut ids = self.ids.lock().unwrap();
        for name in self.yard.list("store/containers") {
            ids.insert(name);
        }
        ids.clone()
    }

    /// What `ps` says that is not so. What has just begun or ended has some time to do it.
    pub(super) fn lies(&self) -> Vec<String> {
        let began = Instant::now();
        loop {
            let (fine, said) =
                self.tare(&["ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.State}}"]);
            if !fine {
                return vec![format!("ps: {said}")];
            }
            let states: BTreeMap<&str, &str> =
                said.lines().filter_map(|line| line.split_once(' ')).collect();
            let lie = |id: &String| {
                let state = states.get(id.as_str()).copied().unwrap_or("none");
                // What waits to be started runs nothing.
                let waits = std::path::Path::new(&format!("/run/tare/{id}/exec.fifo")).exists();
                let runs = !processes_of(id).is_empty() && !waits;
                (runs != matches!(state, "running" | "paused"))
                    .then(|| format!("ps says {state} of {id}, which runs: {runs}"))
            };
            let lies: Vec<String> = self.known().iter().filter_map(lie).collect();
            if lies.is_empty() || began.elapsed() > PATIENCE {
                return lies;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Removes everything; what is left nevertheless.
    pub(super) fn left_overs(&self) -> Vec<String> {
        let ids = self.known();
        let mut problems = Vec::new();
        for args in [&["rm", "-af"][..], &["volume", "prune", "-af"]] {
            let (fine, said) = self.tare(args);
            if !fine {
                problems.push(format!("{args:?}: {said}"));
            }
        }
        let (_, listed) = self.tare(&["ps", "-aq"]);
        if !listed.is_empty() {
            problems.push(format!("ps -aq: {listed}"));
        }
        let _ = self.tare(&["rmi", "--ignore", "made:1"]);
        let (_, said) = self.tare(&["fsck"]);
        if said != "the store is in order\n" {
            problems.push(said);
        }
        // Space is freed by who has told everybody already.
        let began = Instant::now();
        loop {
            let left = self.look(&ids);
            if left.is_empty() {
                self.ids.lock().unwrap().clear();
                return problems;
            }
            if began.elapsed() > PATIENCE {
                problems.extend(left);
                return problems;
            }
            std::thread::sleep(LOOK);
        }
    }

    fn look(&self, ids: &BTreeSet<String>) -> Vec<String> {
        let mut left = Vec::new();
        let places = ["containers", "engine/names", "engine/pending", "staging", "claims", "trash"];
        for place in places.map(|place| format!("store/{place}")) {
            if std::path::Path::new(&self.yard.path(&place)).is_dir() {
                left.extend(
                    self.yard.list(&place).iter().map(|it| format!("{place}/{it} is left")),
                );
            }
        }
        for id in ids {
            let of = |what: &str| format!("{what} of {id} is left");
            if !processes_of(id).is_empty() {
                left.push(of("a process"));
            }
            if std::path::Path::new(&format!("/run/tare/{id}")).exists() {
                left.push(of("a record of the runtime"));
            }
            if has_cgroup(id) {
                left.push(of("a cgroup"));
            }
        }
        left
    }

    /// What is not as it must be, whatever has happened.
    fn what_is_wrong(&self, watched: Watched) -> Vec<String> {
        let mut problems = self.lies();
        problems.extend(self.left_overs());
        if !watched.is_gone_within(PATIENCE) {
            problems.push("a process is left".into());
        }
        // The same again, as its user would.
        self.script(self.verb.before);
        let (fine, said) = self.tare(&self.words());
        if !fine {
            problems.push(format!("again: {said}"));
        }
        problems.extend(self.left_overs().into_iter().map(|it| format!("again: {it}")));
        problems
    }
}

/// Processes in the control groups of a container.
fn processes_of(id: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with(|first: char| first.is_ascii_digit()) {
            continue;
        }
        let read =
            |file: &str| std::fs::read_to_string(entry.path().join(file)).unwrap_or_default();
        let is_dead = read("stat").rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'));
        if read("cgroup").contains(id) && !is_dead {
            found.push(name);
        }
    }
    found
}

/// Whether a control group of a container is there, in whichever hierarchy.
fn has_cgroup(id: &str) -> bool {
    /// The cgroups of containers are not deeper.
    const DEPTH: usize = 6;
    fn look(dir: &std::path::Path, id: &str, depth: usize) -> bool {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).any(|entry| {
            entry.file_name().to_string_lossy().contains(id)
                || depth > 0 && look(&entry.path(), id, depth - 1)
        })
    }
    look(std::path::Path::new("/sys/fs/cgroup"), id, DEPTH)
}

/// Every call that writes when nothing fails, of the command and of what it leaves until that is removed.
fn points(case: &Case) -> Vec<Point> {
    case.script(case.verb.before);
    let points = Arc::new(Mutex::new(Vec::new()));
    let (noted, ids, dir) = (Arc::clone(&points), Arc::clone(&case.ids), case.yard.path(""));
    let mut counts = BTreeMap::<i32, usize>::new();
    let (watched, ended) = case.watch(move |notice| {
        if let Some((_, path)) = changed(notice, &dir).filter(|(_, path)| !path.ends_with("/said"))
        {
            Case::note(&ids, &path);
            let count = counts.entry(notice.number).or_default();
            noted.lock().unwrap().push((notice.number, *count));
            *count += 1;
        }
        Verdict::Continue
    });
    assert_eq!(ended.success, Some(true), "{}: {}", case.verb.name, ended.said);
    assert_eq!(case.what_is_wrong(watched), Vec::<String>::new(), "{}", case.verb.name);
    std::mem::take(&mut *points.lock().unwrap())
}

/// Lets one call fail. `None`: the point was not reached; otherwise what is not as it must be.
fn fail_at(case: &Case, point: Point, errno: Errno) -> Option<Vec<String>> {
    case.script(case.verb.before);
    let fault = Arc::new(Mutex::new(None));
    let (noted, ids, dir) = (Arc::clone(&fault), Arc::clone(&case.ids), case.yard.path(""));
    let mut counts = BTreeMap::<i32, usize>::new();
    let (watched, ended) = case.watch(move |notice| {
        let found = changed(notice, &dir).filter(|(_, path)| !path.ends_with("/said"));
        let Some((call, path)) = found else { return Verdict::Continue };
        Case::note(&ids, &path);
        let count = counts.entry(notice.number).or_default();
        *count += 1;
        if (notice.number, *count - 1) != point {
            return Verdict::Continue;
        }
        *noted.lock().unwrap() = Some(Fault { call, errno, path });
        Verdict::Fail(errno)
    });
    let wrong = case.what_is_wrong(watched);
    let fault = fault.lock().unwrap().take()?;
    let mut problems = wrong;
    match ended.success {
        None => problems.push("it is stuck".into()),
        Some(false) => problems.extend(what_is_wrong_with(&ended.said, errno)),
        Some(true) => {
            let may_fail = |(verbs, call, path): &(&[&str], &str, &str)| {
                let is_meant = verbs.is_empty() || verbs.contains(&case.verb.name);
                is_meant && fault.call == *call && fault.path.contains(path)
            };
            if !TOLERATED.iter().any(may_fail) {
                problems.push("it is not told".into());
            }
        }
    }
    let what = format!("{}: {fault}: {:?}: {}", case.verb.name, ended.success, ended.said);
    Some(problems.into_iter().map(|problem| format!("{problem}: {what}")).collect())
}

/// The numbers of calls that the command and the others make when nothing happens to them.
fn calls(case: &Case) -> [usize; 2] {
    case.script(case.verb.before);
    let counts = Arc::new(Mutex::new([0; 2]));
    let (counted, mut caller) = (Arc::clone(&counts), None);
    let (watched, ended) = case.watch(move |notice| {
        let is_caller = *caller.get_or_insert(notice.pid) == notice.pid;
        counted.lock().unwrap()[usize::from(!is_caller)] += 1;
        Verdict::Continue
    });
    assert_eq!(ended.success, Some(true), "{}: {}", case.verb.name, ended.said);
    assert_eq!(case.what_is_wrong(watched), Vec::<String>::new(), "{}", case.verb.name);
    *counts.lock().unwrap()
}

/// Kills whoever makes a call. What is not as it must be.
fn kill_at(case: &Case, role: Role, at: usize) -> Vec<String> {
    case.script(case.verb.before);
    let (ids, dir) = (Arc::clone(&case.ids), case.yard.path(""));
    let killed = Arc::new(Mutex::new(String::new()));
    let (noted, mut caller, mut count) = (Arc::clone(&killed), None, 0);
    let (watched, ended) = case.watch(move |notice| {
        let is_caller = *caller.get_or_insert(notice.pid) == notice.pid;
        if let Some((_, path)) = changed(notice, &dir) {
            Case::note(&ids, &path);
        }
        if is_caller != (role == Role::Caller) {
            return Verdict::Continue;
        }
        count += 1;
        if count - 1 != at {
            return Verdict::Continue;
        }
        *noted.lock().unwrap() = format!("before call {} of {}", notice.number, notice.pid);
        Verdict::Kill
    });
    let mut problems = case.what_is_wrong(watched);
    if ended.success.is_none() {
        problems.push("it is stuck".into());
    }
    let what = format!(
        "{}: {role:?} killed at {at}, {}: {:?}: {}",
        case.verb.name,
        killed.lock().unwrap(),
        ended.success,
        ended.said
    );
    problems.into_iter().map(|problem| format!("{problem}: {what}")).collect()
}

fn fail_everywhere(name: &str) {
    let Some(case) = Case::new(name) else { return };
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

fn kill_everywhere(name: &str) {
    let Some(case) = Case::new(name) else { return };
    let counts = calls(&case);
    let (mut killed, mut problems) = (0, Vec::new());
    for (role, count) in [Role::Caller, Role::Other].into_iter().zip(counts) {
        for at in spread(count, rounds(USUAL_FAILURES)) {
            problems.extend(kill_at(&case, role, at));
            killed += 1;
        }
    }
    report(&format!("killed at {killed} points of {name}"));
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

macro_rules! every {
    ($($fails:ident $kills:ident: $name:literal;)*) => {$(
        #[test]
        fn $fails() {
            fail_everywhere($name);
        }

        #[test]
        fn $kills() {
            kill_everywhere($name);
        }
    )*};
}

every! {
    a_failing_run_that_leaves_nothing a_killed_run_that_leaves_nothing: "run --rm";
    a_failing_run a_killed_run: "run";
    a_failing_run_by_itself a_killed_run_by_itself: "run -d";
    a_failing_create a_killed_create: "create";
    a_failing_start a_killed_start: "start";
    a_failing_restart a_killed_restart: "restart";
    a_failing_exec a_killed_exec: "exec";
    a_failing_stop a_killed_stop: "stop";
    a_failing_pause a_killed_pause: "pause";
    a_failing_rename a_killed_rename: "rename";
    a_failing_rm a_killed_rm: "rm";
    a_failing_rm_by_force a_killed_rm_by_force: "rm -f";
    a_failing_cp a_killed_cp: "cp";
    a_failing_commit a_killed_commit: "commit";
}
