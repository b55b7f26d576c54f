//! Two commands about the same image at the same time: one of them is held before one of its calls while the other goes
//! as far as it can.
//!
//! Neither hangs; what either says a user would accept; the store is in order; and what is there is what there would
//! be after one and then the other, of those that have succeeded. `cargo xtask faults` tries many pairs at many
//! calls, every test run some of them.

use super::verbs::{ALL_KINDS, EPOCH};
use e2e::images::{Sample, Yard};
use e2e::watch::{Verdict, Watched};
use e2e::{report, rounds};
use std::collections::BTreeMap;
use std::fs::File;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use sys::process;

/// How many points a test run tries of each command.
const USUAL_POINTS: usize = 2;
/// Most of one command in one go: all pairs at all calls would take a day.
const MOST_POINTS: usize = 400;
/// Longer than anything takes on a busy machine; who waits for a lock waits for as long.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(1);
const SMALL: Sample =
    Sample { text: "small", architectures: &["amd64"], layers: 2, packed: true, bytes: 3000 };
const IN_ORDER: &str = "the store is in order\n";
/// What commands must not leave behind when another one has run.
const LEFT_OVERS: [&str; 3] = ["store/staging", "store/claims", "store/trash"];
/// Calls in front of which the first command is held, by their numbers on x86-64: those that see what others do, or let
/// them see something.
const CALLS: &[i32] = &[
    1, 42, 44, 73, 74, 75, 165, 166, 217, 231, 257, 258, 262, 263, 264, 306, 316, 332, 428, 429,
    430, 437,
];
/// `nanosleep` and `clock_nanosleep`: it waits for a lock.
const SLEEPS: [i32; 2] = [35, 230];

/// A command, and the state of the store that it begins with.
struct First {
    name: &'static str,
    words: &'static str,
    state: &'static str,
}

/// The image is there, and another one that has some of its layers.
const PULLED: &str = "tare pull -q oci:kinds:kinds; tare load -q -i layout";
/// What it is made of is there, and nothing leads to it.
const GARBAGE: &str = "tare pull -q oci:kinds:kinds; rm -r store/names/*; tare load -q -i layout";
const NAMELESS: &str = "tare pull -q oci:kinds:kinds; tare untag kinds; tare load -q -i layout";
const LIST: &str =
    "tare pull -q oci:kinds:kinds; tare load -q -i layout; tare manifest create list:1";
/// What a `mount` of it has made is made again for each pair: it cannot be copied.
const MOUNTED: &str = "tare pull -q oci:kinds:kinds; tare load -q -i layout; : mounted";

const fn first(name: &'static str, words: &'static str, state: &'static str) -> First {
    First { name, words, state }
}

static FIRST: [First; 18] = [
    first("pull", "pull -q oci:kinds:kinds", GARBAGE),
    first("pull again", "pull -q oci:kinds:kinds", PULLED),
    first("load", "load -q -i kinds.tar", GARBAGE),
    first("import", "import -q layer.tar kinds", PULLED),
    first("append", "mutate append -b kinds -f extra.tar -t longer:1", PULLED),
    first("mutate", "mutate kinds -e A=1 -t other:1", PULLED),
    first("tag", "tag kinds other:1", PULLED),
    first("untag", "untag kinds kinds", PULLED),
    first("rmi", "rmi kinds", PULLED),
    first("prune", "image prune -f", NAMELESS),
    first("gc", "gc -q", GARBAGE),
    first("index", "manifest create --amend list:1 kinds", PULLED),
    first("add to an index", "manifest add list:1 kinds", LIST),
    first("mount", "mount kinds", PULLED),
    first("unmount", "unmount kinds", MOUNTED),
    first("copy", "copy -q oci:kinds:kinds store:kinds", GARBAGE),
    first("save", "save -q -o one.tar kinds", PULLED),
    first("push", "push -q kinds oci:one:x", PULLED),
];

/// (the other command, whether what it prints must be what it prints before or after the first one)
const SECOND: [(&str, bool); 14] = [
    ("rmi -f kinds", false),
    ("gc -q", false),
    ("pull -q oci:kinds:kinds", true),
    ("tag kinds again:1", false),
    // Without the name's repetition all names go, and which ones these are is another question.
    ("untag kinds kinds", false),
    ("mount kinds", false),
    ("unmount kinds", false),
    ("images --no-trunc --digests --format {{.Repository}}|{{.ID}}|{{.Digest}}|{{.Size}}", true),
    ("inspect kinds", true),
    ("fsck --full", true),
    ("save -q -o two.tar kinds", false),
    ("image prune -f", false),
    ("system df", false),
    ("manifest create --amend list:1 small", false),
];

/// What may be said when something that is asked for has just gone, or is in use.
const ACCEPTED: &[&str] = &[
    "no image of this name",
    "no such image",
    "No such object",
    "the image is not mounted",
    " is not in the store",
    "is mounted at",
];

/// What there is when both have ended.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    names: String,
    mounts: usize,
    files: Vec<String>,
    /// Checksums of what was written outside of the store.
    written: String,
}

impl Outcome {
    fn short(&self) -> String {
        let files: Vec<&str> = self.files.iter().filter_map(|it| it.get(6..26)).collect();
        format!("{:?} {} mounts {:?} {files:?}", self.names, self.mounts, self.written)
    }
}

/// What came of one command.
#[derive(Clone, Debug)]
struct Ended {
    status: ExitStatus,
    out: String,
    said: String,
}

impl Ended {
    fn succeeded(&self) -> bool {
        self.status.success()
    }
}

struct Race {
    first: &'static First,
    yard: Yard,
    /// By the other command, and whether each has succeeded: what may come of it.
    known: Mutex<BTreeMap<usize, Vec<Known>>>,
}

/// What came of both when one ran after the other, or only one of them.
#[derive(Clone, Debug)]
struct Known {
    succeeded: (bool, bool),
    out: String,
    outcome: Outcome,
}

impl Race {
    /// Moves the test's thread to a mount namespace of its own. `None`: the machine lacks something; said by SKIP.
    fn new(first: &'static First) -> Option<Self> {
        let test = format!("images::races: {}", first.name);
        if !e2e::is_root() {
            e2e::skip(&test, "needs root");
            return None;
        }
        if process::unshare(process::CLONE_NEWNS).is_err() {
            e2e::skip(&test, "may not make mount namespaces");
            return None;
        }
        let private = Command::new("mount").args(["--make-rprivate", "/"]).status();
        assert!(private.unwrap().success());
        let race = Self { first, yard: Yard::in_memory(), known: Mutex::default() };
        SMALL.write(&race.yard.path("layout"), "small");
        race.shell(ALL_KINDS);
        race.shell(
            "echo extra > extra; tar -cf extra.tar extra; tare pull -q oci:kinds:kinds
            tare save -q -o kinds.tar kinds; rm -rf store run",
        );
        race.shell(first.state);
        race.shell("mkdir -p store run saved; cp -a store run saved");
        Some(race)
    }

    fn shell(&self, script: &str) -> String {
        let output = self.yard.shell(script).env(EPOCH.0, EPOCH.1).output().unwrap();
        assert!(output.status.success(), "{script}: {}", e2e::stderr(&output));
        e2e::stdout(&output)
    }

    /// Makes everything as it was before the first command.
    fn reset(&self) {
        self.shell("tare unmount -af; rm -rf store run one one.tar two.tar; cp -a saved/. .");
        if self.first.state == MOUNTED {
            self.shell("tare mount kinds");
        }
    }

    /// Starts one of them; what it says goes to files of this name.
    fn start(
        &self,
        words: &str,
        name: &str,
        decide: impl FnMut(usize, &sys::seccomp::Notice) -> Verdict + Send + 'static,
    ) -> Watched {
        let file = |kind: &str| File::create(self.yard.path(&format!("{name}.{kind}"))).unwrap();
        let words: Vec<&str> = words.split(' ').collect();
        let mut command = self.yard.watched_command(&words);
        command.env(EPOCH.0, EPOCH.1).stdout(file("out")).stderr(file("said"));
        Watched::start(&mut command, decide)
    }

    fn ended(&self, name: &str, status: ExitStatus) -> Ended {
        let text = |kind: &str| {
            String::from_utf8_lossy(&self.yard.read(&format!("{name}.{kind}"))).into_owned()
        };
        Ended { status, out: text("out"), said: text("said") }
    }

    /// Runs one of them alone.
    fn run(&self, words: &str, name: &str) -> Ended {
        let mut watched = self.start(words, name, |_, _| Verdict::Continue);
        let status = watched.wait_within(PATIENCE);
        let ended = self.ended(name, status.unwrap_or_else(|| panic!("{words}: it hangs")));
        assert!(watched.is_gone_within(PATIENCE), "{words}: what it leaves behind does not end");
        ended
    }

    /// The calls before which it can be held: (number, how many of that number come before).
    fn points(&self) -> Vec<(i32, usize)> {
        self.reset();
        let points = Arc::new(Mutex::new(Vec::new()));
        let (noted, mut counts) = (Arc::clone(&points), BTreeMap::<i32, usize>::new());
        let mut watched = self.start(self.first.words, "first", move |_, notice| {
            if CALLS.contains(&notice.number) {
                let count = counts.entry(notice.number).or_default();
                noted.lock().unwrap().push((notice.number, *count));
                *count += 1;
            }
            Verdict::Continue
        });
        assert!(watched.wait_within(PATIENCE).expect("it ends").success(), "{}", self.first.name);
        assert!(watched.is_gone_within(PATIENCE));
        std::mem::take(&mut *points.lock().unwrap())
    }

    /// What there is now. The next command frees what is left to be freed.
    fn outcome(&self) -> Outcome {
        let list =
            "tare images --no-trunc --digests --format '{{.Repository}} {{.ID}} {{.Digest}}'";
        let mounts = self.shell("tare mount").lines().count();
        self.shell("tare gc -q");
        let find =
            "find store -type f -not -path 'store/names/*' -not -path 'store/engine/*' | sort";
        Outcome {
            names: self.shell(list),
            mounts,
            files: self.shell(find).lines().map(str::to_owned).collect(),
            written: self.shell(
                "for it in one.tar two.tar one/index.json; do test ! -e $it || cksum $it; done",
            ),
        }
    }

    /// What comes of both, one after the other, and of each alone.
    fn known(&self, second: usize) -> Vec<Known> {
        if let Some(known) = self.known.lock().unwrap().get(&second) {
            return known.clone();
        }
        let (one, other) = (self.first.words, SECOND[second].0);
        let mut all = Vec::new();
        for order in [[true, false], [false, true]] {
            self.reset();
            let (mut succeeded, mut out) = ((false, false), String::new());
            for is_first in order {
                let ended = match is_first {
                    true => self.run(one, "first"),
                    false => self.run(other, "second"),
                };
                match is_first {
                    true => succeeded.0 = ended.succeeded(),
                    false => (succeeded.1, out) = (ended.succeeded(), ended.out),
                }
            }
            all.push(Known { succeeded, out, outcome: self.outcome() });
        }
        for (is_first, words) in [(true, one), (false, other)] {
            self.reset();
            let ended = self.run(words, "alone");
            let succeeded = (is_first && ended.succeeded(), !is_first && ended.succeeded());
            let out = if is_first { String::new() } else { ended.out };
            all.push(Known { succeeded, out, outcome: self.outcome() });
        }
        self.reset();
        let outcome = self.outcome();
        all.push(Known { succeeded: (false, false), out: String::new(), outcome });
        self.known.lock().unwrap().insert(second, all.clone());
        all
    }

    /// Holds the first command at a point while the other goes as far as it can. `None`: it does not come so far.
    fn race(&self, point: (i32, usize), second: usize) -> Option<Vec<String>> {
        self.reset();
        let (holds, held) = channel();
        let (go, goes) = channel::<()>();
        let mut count = 0;
        let mut one = self.start(self.first.words, "first", move |_, notice| {
            if notice.number == point.0 {
                if count == point.1 {
                    // Nobody waits for it any more when the test has failed.
                    let _ = holds.send(());
                    let _ = goes.recv();
                }
                count += 1;
            }
            Verdict::Continue
        });
        // It goes on whatever happens here: what is declared later is dropped first.
        let go = go;
        let began = Instant::now();
        while held.try_recv().is_err() {
            // What it leaves to others may come so far.
            if one.is_gone() && held.try_recv().is_err() {
                return None;
            }
            std::thread::sleep(LOOK);
            assert!(began.elapsed() < PATIENCE, "{}: it hangs", self.first.name);
        }
        let waits = Arc::new(AtomicBool::new(false));
        let noted = Arc::clone(&waits);
        let mut other = self.start(SECOND[second].0, "second", move |_, notice| {
            if SLEEPS.contains(&notice.number) {
                noted.store(true, Ordering::Relaxed);
            }
            Verdict::Continue
        });
        let began = Instant::now();
        while other.wait_within(LOOK).is_none() && !waits.load(Ordering::Relaxed) {
            assert!(began.elapsed() < PATIENCE, "{}: it hangs", SECOND[second].0);
        }
        go.send(()).unwrap();
        let statuses = (one.wait_within(PATIENCE), other.wait_within(PATIENCE));
        let (Some(one_status), Some(other_status)) = statuses else {
            return Some(vec![format!("they hang: {statuses:?}")]);
        };
        let ended = (self.ended("first", one_status), self.ended("second", other_status));
        if !one.is_gone_within(PATIENCE) || !other.is_gone_within(PATIENCE) {
            return Some(vec!["what they leave behind does not end".into()]);
        }
        Some(self.problems(&ended.0, &ended.1, second))
    }

    fn problems(&self, one: &Ended, other: &Ended, second: usize) -> Vec<String> {
        let mut problems = Vec::new();
        for ended in [one, other] {
            let is_accepted = ACCEPTED.iter().any(|text| ended.said.contains(text));
            if !ended.succeeded() && !is_accepted {
                problems.push(format!("{}: {}", ended.status, ended.said));
            }
        }
        let fsck = self.yard.tare(&["fsck", "--full"]);
        if e2e::stdout(&fsck) != IN_ORDER {
            problems.push(format!("{}{}", e2e::stdout(&fsck), e2e::stderr(&fsck)));
        }
        for place in LEFT_OVERS {
            problems.extend(self.yard.list(place).iter().map(|it| format!("{place}/{it} is left")));
        }
        let succeeded = (one.succeeded(), other.succeeded());
        let outcome = self.outcome();
        let known = self.known(second);
        // Whoever removes it looks for mounts first. One that comes after that keeps its layers, as with --force.
        let is_kept = self.first.name == "rmi"
            && SECOND[second].0 == "mount kinds"
            && (succeeded, outcome.mounts) == ((true, true), 1);
        let is_known = |it: &Known| it.succeeded == succeeded && it.outcome == outcome;
        if !is_kept && !known.iter().any(is_known) {
            let all: Vec<_> = known.iter().map(|it| (it.succeeded, it.outcome.short())).collect();
            let found = outcome.short();
            problems.push(format!(
                "{succeeded:?}: {found} is there, not one of {all:#?}; {} {}",
                one.said, other.said
            ));
        }
        if SECOND[second].1 && other.succeeded() {
            let usual = |line: &&str| {
                line.contains("LastTagTime") || known.iter().any(|it| it.out.contains(line))
            };
            let lines: Vec<&str> = other.out.lines().filter(|line| !usual(line)).collect();
            if !lines.is_empty() {
                problems.push(format!("it prints what is neither before nor after: {lines:?}"));
            }
        }
        problems
    }
}

fn race_everywhere(name: &str) {
    let first = FIRST.iter().find(|first| first.name == name).expect("a command of the table");
    let Some(race) = Race::new(first) else { return };
    let points = race.points();
    let total = points.len() * SECOND.len();
    let (mut raced, mut problems) = (0, Vec::new());
    for number in 0..total.min(rounds(USUAL_POINTS).min(MOST_POINTS)) {
        let index = scattered(number, total);
        let (point, second) = (points[index / SECOND.len()], index % SECOND.len());
        let Some(found) = race.race(point, second) else { continue };
        raced += 1;
        let what = format!("{name} at {point:?}, and {}", SECOND[second].0);
        for problem in found {
            report(&format!("PROBLEM {what}: {problem}"));
            problems.push(format!("{what}: {problem}"));
        }
    }
    race.shell("tare unmount -af");
    report(&format!("raced at {raced} points of {name}, which has {}", points.len()));
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    assert!(raced > 0, "{name}: {} points", points.len());
}

/// It looks for what has no name, and takes it away: what gets a name in between has one.
#[test]
fn what_gets_a_name_while_images_are_pruned_stays() {
    const GETDENTS64: i32 = 217;
    let first = FIRST.iter().find(|first| first.name == "prune").unwrap();
    let Some(race) = Race::new(first) else { return };
    let pull = SECOND.iter().position(|second| second.0.starts_with("pull")).unwrap();
    let lists: Vec<_> = race.points().into_iter().filter(|it| it.0 == GETDENTS64).collect();
    let found: Vec<_> =
        lists.iter().filter_map(|point| race.race(*point, pull)).flatten().collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(lists.len() > 3, "{lists:?}");
}

/// Each of `0..total` once, neighbours far from each other.
fn scattered(number: usize, total: usize) -> usize {
    /// A prime that is larger than any count of pairs.
    const STRIDE: usize = 1_000_003;
    (number * (STRIDE % total) + total / 2) % total
}

macro_rules! race {
    ($($test:ident: $name:literal;)*) => {$(
        #[test]
        fn $test() {
            race_everywhere($name);
        }
    )*};
}

race! {
    a_pull_among_others: "pull";
    a_pull_again_among_others: "pull again";
    a_load_among_others: "load";
    an_import_among_others: "import";
    an_append_among_others: "append";
    a_mutate_among_others: "mutate";
    a_tag_among_others: "tag";
    an_untag_among_others: "untag";
    an_rmi_among_others: "rmi";
    a_prune_among_others: "prune";
    a_gc_among_others: "gc";
    an_index_among_others: "index";
    an_addition_to_an_index_among_others: "add to an index";
    a_mount_among_others: "mount";
    an_unmount_among_others: "unmount";
    a_copy_among_others: "copy";
    a_save_among_others: "save";
    a_push_among_others: "push";
}
