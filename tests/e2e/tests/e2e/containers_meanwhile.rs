//! Two commands about one container at once: a step of the one waits while the other one goes on as far as it can.
//!
//! Neither is stuck, each of them does what it should or says in a user's words why it does not, `ps` tells the truth, and
//! everything can be removed. A test run tries a few steps of each verb, `cargo xtask upset` as many as one likes, and
//! compares the words, too.

use super::containers_faults::{Case, MADE, PATIENCE, RUNS, Verb, verb};
use e2e::watch::{Verdict, Watched};
use e2e::{report, rounds};
use std::process::{Child, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A call is held back so long while the other command goes on.
const HELD: Duration = Duration::from_millis(150);
const LOOK: Duration = Duration::from_millis(2);
/// What is paused is let go on after this, and nothing else happens then.
const PAUSED: Duration = Duration::from_secs(2);
/// No further step comes when none has come for so long; whoever starts again and again is not waited for.
const QUIET: Duration = Duration::from_millis(400);
const BUSY: Duration = Duration::from_secs(3);
/// How many steps of each verb a test run tries.
const USUAL_STEPS: usize = 2;

/// Calls that others notice: opened and renamed files, names, locks, sockets, signals, mounts, ends.
const STEPS: [i32; 28] = [
    257, 73, 82, 264, 316, 87, 263, 88, 266, 267, 42, 49, 50, 43, 288, 62, 424, 434, 165, 166, 429,
    83, 258, 84, 231, 59, 56, 437,
];

/// What others do meanwhile. The first ones come most often.
const BEFORE_IT_RUNS: &[&str] = &[
    "rm -f x",
    "start x",
    "stop -t 0 x",
    "rm x",
    "rename x z",
    "restart -t 0 x",
    "update --restart no -m 64m x",
    "container prune -f",
    "kill x",
    "wait x",
    "ps -a",
    "inspect x",
    "cp x:/bin/sh h",
    "export -o f x",
    "diff x",
    "commit -q x made:1",
    "create --name x box:1",
    "attach x",
    "logs -f x",
    "exec x pwd",
    "pause x",
    "unpause x",
    "port x",
    "run -d --name x box:1",
    "cp box.tar x:/g",
    "images -a",
    "stats --no-stream x",
];
const WHILE_IT_RUNS: &[&str] = &[
    "rm -f x",
    "stop -t 0 x",
    "kill x",
    "restart -t 0 x",
    "pause x",
    "unpause x",
    "exec x pwd",
    "start x",
    "rm x",
    "rename x z",
    "update -m 64m x",
    "update --health-cmd pwd x",
    "wait x",
    "attach x",
    "logs -f x",
    "cp x:/bin/sh h",
    "cp box.tar x:/g",
    "commit -q x made:1",
    "export -o f x",
    "diff x",
    "ps -a",
    "inspect x",
    "top x",
    "port x",
    "container prune -f",
    "stats --no-stream x",
    "run -d --name x box:1",
];
const AT_ITS_END: &[&str] = &[
    "stop -t 0 x",
    "restart -t 0 x",
    "rm -f x",
    "kill x",
    "start x",
    "wait x",
    "attach x",
    "exec x pwd",
    "pause x",
    "run -d --name x box:1",
    "logs -f x",
    "cp x:/bin/sh h",
    "export -o f x",
    "rm x",
    "rename x z",
    "update --restart no -m 64m x",
    "commit -q x made:1",
    "container prune -f",
    "ps -a",
    "inspect x",
    "top x",
    "cp box.tar x:/g",
    "create --name x box:1",
    "unpause x",
    "diff x",
    "stats --no-stream x",
];
const ABOUT_VOLUMES: &[&str] = &[
    "run -d --name x -v data:/d box:1",
    "create --name x -v data:/d box:1",
    "volume rm data",
    "volume create data",
    "volume ls",
    "volume prune -af",
    "volume inspect data",
];

const PAUSES: &str = "tare run -d --name x box:1; tare pause x";
const ENDED: &str = "tare run --name x box:1 pwd";

static VERBS: [(Verb, &[&str]); 27] = [
    (verb("start", "start x", MADE), BEFORE_IT_RUNS),
    (verb("start again", "start x", ENDED), BEFORE_IT_RUNS),
    (verb("create", "create --name x box:1", ""), BEFORE_IT_RUNS),
    (verb("run -d", "run -d --name x box:1", ""), BEFORE_IT_RUNS),
    (verb("run --rm", "run --rm --name x box:1 pwd", ""), AT_ITS_END),
    (verb("run -d --rm", "run -d --rm --name x -v /a box:1 sh -c 'exit'", ""), AT_ITS_END),
    (verb("run to an end", "run -d --name x box:1 pwd", ""), AT_ITS_END),
    (
        verb("run again", "run -d --restart on-failure:2 --name x box:1 sh -c 'exit 3'", ""),
        AT_ITS_END,
    ),
    (verb("run again and again", "run -d --restart always --name x box:1 pwd", ""), AT_ITS_END),
    (verb("stop", "stop -t 0 x", RUNS), WHILE_IT_RUNS),
    (verb("kill", "kill x", RUNS), WHILE_IT_RUNS),
    (verb("restart", "restart -t 0 x", RUNS), WHILE_IT_RUNS),
    (verb("rm -f", "rm -f x", RUNS), WHILE_IT_RUNS),
    (verb("rm", "rm x", MADE), BEFORE_IT_RUNS),
    (verb("exec", "exec x pwd", RUNS), WHILE_IT_RUNS),
    (verb("pause", "pause x", RUNS), WHILE_IT_RUNS),
    (verb("unpause", "unpause x", PAUSES), WHILE_IT_RUNS),
    (verb("rename", "rename x y", RUNS), WHILE_IT_RUNS),
    (verb("update", "update -m 32m --restart always x", RUNS), WHILE_IT_RUNS),
    (verb("cp of a running one", "cp box.tar x:/f", RUNS), WHILE_IT_RUNS),
    (verb("cp", "cp box.tar x:/f", MADE), BEFORE_IT_RUNS),
    (verb("commit", "commit -q x made:1", RUNS), WHILE_IT_RUNS),
    (verb("prune", "container prune -f", ENDED), BEFORE_IT_RUNS),
    (verb("ps", "ps -as", ENDED), BEFORE_IT_RUNS),
    (verb("attach", "attach x", RUNS), &["stop -t 0 x", "kill x", "rm -f x", "restart -t 0 x"]),
    (verb("wait", "wait x", RUNS), &["stop -t 0 x", "kill x", "rm -f x", "restart -t 0 x"]),
    (verb("volume rm", "volume rm data", "tare volume create data"), ABOUT_VOLUMES),
];

/// What a user may be told: somebody else was faster.
const REASONS: &[&str] = &[
    "No such container: ",
    "No such object: x",
    "x: no such image",
    " is not running",
    "somebody",
    "has just ended",
    "get data: no such volume",
    "volume is in use",
    "cannot remove container \"/",
    "is already in use by container",
    "You cannot attach to a ",
    "is not paused",
    "is already paused",
    "is paused, unpause the container before exec",
    "cannot start a paused container",
];

/// Whether the reasons are compared: whoever tries many steps reads what is new among them.
fn are_compared() -> bool {
    std::env::var_os("TARE_E2E_ROUNDS").is_some()
}

/// How a command has ended.
struct Ended {
    what: String,
    code: Option<i32>,
    said: String,
}

impl Ended {
    fn of(what: &str, output: &Output) -> Self {
        let said = e2e::stderr(output);
        Self { what: what.into(), code: output.status.code(), said }
    }

    /// What nobody should be told.
    fn problem(&self) -> Option<String> {
        let fine = match self.code {
            Some(0) => true,
            // The program's own.
            Some(code) if code > 128 && self.said.is_empty() => true,
            Some(_) if are_compared() => REASONS.iter().any(|reason| self.said.contains(reason)),
            Some(_) => self.said.contains("tare: "),
            None => false,
        };
        let bad = ["panicked", "os error", "/store/", "o such file", "meta.json", "state.json"];
        let is_bad = bad.iter().any(|word| self.said.contains(word));
        (!fine || is_bad)
            .then(|| format!("{}: {:?}: {}", self.what, self.code, self.said.trim_end()))
    }
}

struct Other {
    what: &'static str,
    child: Child,
}

impl Other {
    fn start(case: &Case, what: &'static str) -> Self {
        let words: Vec<&str> = what.split(' ').collect();
        let mut command = case.yard.tare_command(&words);
        command.env("TARE_NETWORK", "none").stdin(Stdio::null());
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        Self { what, child }
    }

    /// It goes on for as long as its container runs.
    fn waits(&self) -> bool {
        ["wait", "attach", "logs"].contains(&self.what.split(' ').next().unwrap_or_default())
    }

    fn has_ended_within(&mut self, limit: Duration) -> bool {
        let began = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            if began.elapsed() > limit {
                return false;
            }
            std::thread::sleep(LOOK);
        }
        true
    }

    fn end(mut self, problems: &mut Vec<String>) {
        if !self.has_ended_within(PATIENCE) {
            problems.push(format!("{}: it is stuck", self.what));
            let _ = self.child.kill();
        }
        let output = self.child.wait_with_output().unwrap();
        problems.extend(Ended::of(self.what, &output).problem());
    }
}

/// Every container has its name, and nobody else has one.
fn wrong_names(case: &Case) -> Option<String> {
    let began = Instant::now();
    loop {
        let (_, said) = case.tare(&["ps", "-a", "--no-trunc", "--format", "{{.Names}} {{.ID}}"]);
        let mut listed: Vec<String> = said.lines().map(str::to_owned).collect();
        let names = case.yard.path("store/engine/names");
        let of = |entry: std::fs::DirEntry| {
            let id = std::fs::read_link(entry.path()).unwrap_or_default();
            format!("{} {}", entry.file_name().display(), id.display())
        };
        let entries = std::fs::read_dir(names).into_iter().flatten().flatten();
        let mut taken: Vec<String> = entries.map(of).collect();
        listed.sort();
        taken.sort();
        if listed == taken {
            return None;
        }
        // Who ends by itself gives its name back when it is not listed any more.
        if began.elapsed() > PATIENCE {
            return Some(format!("ps says {listed:?}, names are {taken:?}"));
        }
        std::thread::sleep(LOOK);
    }
}

/// Of two changes of its record neither is lost.
fn lost_change(case: &Case, other: &str) -> Option<String> {
    let both = [case.verb.words, other];
    let of = |verb: &str, at: usize| {
        let words = both.iter().find(|it| it.starts_with(verb))?.split(' ').nth(at)?;
        Some(words.to_owned())
    };
    let (name, memory) = (of("rename ", 2)?, of("update -m ", 2)?);
    let (_, said) = case.tare(&["inspect", "--format", "{{.HostConfig.Memory}}", &name]);
    let bytes = memory.trim_end_matches('m').parse::<u64>().ok()? << 20;
    (said.trim_end() != bytes.to_string()).then(|| format!("{name} has {said}, not {memory}"))
}

/// Words of a command, some of them in quotes.
fn words(text: &'static str) -> Vec<&'static str> {
    let mut parts = text.split('\'');
    let mut words: Vec<&str> = parts.next().unwrap_or_default().split_whitespace().collect();
    words.extend(parts.next());
    words
}

/// What a watched verb and its other command share.
#[derive(Default)]
struct Shared {
    /// How many steps there were.
    steps: usize,
    other: Option<Other>,
    /// It begins no more.
    is_over: bool,
}

/// Starts the verb, and the other command at the step of that number.
fn watch(case: &Arc<Case>, at: usize, other: &'static str, shared: &Arc<Mutex<Shared>>) -> Watched {
    let said = std::fs::File::create(case.yard.path("said")).unwrap();
    let mut command = case.yard.watched_command(&words(case.verb.words));
    command.env("TARE_NETWORK", "none").stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
    let (ours, own) = (Arc::clone(shared), Arc::clone(case));
    Watched::start(&mut command, move |_, notice| {
        if STEPS.contains(&notice.number) {
            let mut shared = ours.lock().unwrap();
            shared.steps += 1;
            if shared.steps == at + 1 && !shared.is_over {
                own.known();
                let mut child = Other::start(&own, other);
                child.has_ended_within(HELD);
                own.known();
                shared.other = Some(child);
            }
        }
        Verdict::Continue
    })
}

/// Waits for something that is paused, maybe, or whose container somebody has to end.
fn rescue<T>(case: &Case, mut ended: impl FnMut(Duration) -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        let found = ended(PAUSED);
        if found.is_some() || began.elapsed() > PATIENCE {
            return found;
        }
        case.tare(&["unpause", "x"]);
        if matches!(case.verb.name, "attach" | "wait") {
            case.tare(&["rm", "-f", "x"]);
        }
    }
}

/// Waits until the step has come, or none comes any more: what a supervisor does is a step, too.
fn settle(shared: &Mutex<Shared>) {
    let (mut known, mut since) = (0, Instant::now());
    let began = since;
    while since.elapsed() < QUIET && began.elapsed() < BUSY {
        let now = shared.lock().unwrap();
        if now.other.is_some() {
            return;
        }
        if now.steps != known {
            (known, since) = (now.steps, Instant::now());
        }
        drop(now);
        std::thread::sleep(LOOK);
    }
}

/// Runs the verb while the other command runs at the step of that number. Returns how many there are.
fn meanwhile(
    case: &Arc<Case>,
    at: Option<usize>,
    other: &'static str,
    problems: &mut Vec<String>,
) -> usize {
    case.script(case.verb.before);
    case.known();
    let shared = Arc::new(Mutex::new(Shared::default()));
    let mut watched = watch(case, at.unwrap_or(usize::MAX - 1), other, &shared);
    let status = rescue(case, |limit| watched.wait_within(limit));
    let said = String::from_utf8_lossy(&case.yard.read("said")).into_owned();
    let own = match status {
        Some(status) => Ended { what: case.verb.words.into(), code: status.code(), said }.problem(),
        None => Some(format!("{}: it is stuck", case.verb.words)),
    };
    let mut found = Vec::from_iter(own);
    settle(&shared);
    let (steps, mut child) = {
        let mut shared = shared.lock().unwrap();
        shared.is_over = true;
        (shared.steps, shared.other.take())
    };
    if let Some(child) = child.as_mut().filter(|child| !child.waits()) {
        rescue(case, |limit| child.has_ended_within(limit).then_some(()));
    }
    found.extend(case.lies());
    found.extend(wrong_names(case));
    if let Some(child) = &mut child
        && status.is_some_and(|it| it.success())
        && child.child.try_wait().unwrap().is_some_and(|it| it.success())
    {
        found.extend(lost_change(case, other));
    }
    found.extend(case.left_overs());
    if let Some(child) = child {
        child.end(&mut found);
    }
    if !watched.is_gone_within(PATIENCE) {
        found.push("a process is left".into());
    }
    if !found.is_empty() {
        found.extend(case.left_overs());
    }
    let place = format!("{}, {other} at {at:?}: ", case.verb.name);
    problems.extend(found.into_iter().map(|problem| format!("{place}{problem}")));
    steps
}

/// Steps in the middle of as many parts.
fn middles(steps: usize, parts: usize) -> Vec<usize> {
    (0..parts).map(|part| (2 * part + 1) * steps / (2 * parts)).collect()
}

fn try_all(name: &str) {
    let place = VERBS.iter().position(|(verb, _)| verb.name == name).expect("a verb of the table");
    let (verb, others) = &VERBS[place];
    let Some(case) = Case::of("containers_meanwhile", verb) else { return };
    let case = Arc::new(case);
    let mut problems = Vec::new();
    let steps = meanwhile(&case, None, "", &mut problems);
    let points = middles(steps, rounds(USUAL_STEPS));
    for (index, at) in points.iter().enumerate() {
        // Each verb begins with another one.
        let other = others[(index + place) % others.len()];
        meanwhile(&case, Some(*at), other, &mut problems);
    }
    report(&format!("held at {} points of {name}", points.len()));
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

macro_rules! every {
    ($($test:ident: $name:literal;)*) => {$(
        #[test]
        fn $test() {
            try_all($name);
        }
    )*};
}

every! {
    while_it_starts: "start";
    while_it_starts_again: "start again";
    while_it_is_made: "create";
    while_it_is_run: "run -d";
    while_it_is_run_and_removed: "run --rm";
    while_it_is_run_and_removes_itself: "run -d --rm";
    while_it_ends_by_itself: "run to an end";
    while_it_fails_again: "run again";
    while_it_ends_again_and_again: "run again and again";
    while_it_is_stopped: "stop";
    while_it_is_killed: "kill";
    while_it_is_restarted: "restart";
    while_it_is_removed_by_force: "rm -f";
    while_it_is_removed: "rm";
    while_something_is_executed: "exec";
    while_it_is_paused: "pause";
    while_it_is_let_go_on: "unpause";
    while_it_is_renamed: "rename";
    while_it_is_updated: "update";
    while_files_go_into_one_that_runs: "cp of a running one";
    while_files_go_into_it: "cp";
    while_it_is_committed: "commit";
    while_it_is_pruned: "prune";
    while_it_is_listed: "ps";
    while_somebody_is_attached: "attach";
    while_somebody_waits: "wait";
    while_its_volume_is_removed: "volume rm";
}
