//! Many clients that do whatever comes to their minds with a few containers, and kill each other, supervisors and
//! programs: afterwards nothing is left, and meanwhile nobody was told anything that is not so.

use super::images_scratch::Scratch;
use super::running::box_with;
use e2e::{stderr, stdout};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const CONTAINERS: u64 = 20;
/// Where nobody says how long.
const USUAL_S: u64 = 4;
/// Clients, in a test run and when somebody waits for it.
const FEW: u64 = 8;
const MANY: u64 = 64;
/// Nothing takes so long.
const STUCK: Duration = Duration::from_secs(120);

/// Numbers by a linear congruence: a run can be repeated by its seed, but for what the clients do to each other.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

#[test]
fn clients_that_do_anything_at_once_leave_nothing() {
    let test = "clients_that_do_anything_at_once_leave_nothing";
    let Some(scratch) = box_with(test, &["CMD [\"sleep\", \"1000\"]"]) else { return };
    let seconds = std::env::var("TARE_CHAOS_SECONDS").ok().and_then(|text| text.parse().ok());
    let (seconds, clients) = seconds.map_or((USUAL_S, FEW), |seconds: u64| (seconds, MANY));
    let end = Instant::now() + Duration::from_secs(seconds);
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for seed in 0..clients {
            let (scratch, done) = (&scratch, &done);
            scope.spawn(move || {
                let mut dice = Dice(seed);
                while Instant::now() < end {
                    something(scratch, &mut dice);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    scratch.ok(&["rm", "-af"]);
    assert_eq!(scratch.ok(&["ps", "-aq"]), "");
    // One more command takes away what the last kills have left.
    scratch.ok(&["run", "--rm", "box:1", "pwd"]);
    // Supervisors that were told to end, and killed processes, may still be about to.
    let until = |what: &str, is: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !is() {
            assert!(began.elapsed() < STUCK, "{what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    for dir in ["store/containers", "store/engine/names", "store/engine/pending"] {
        let is_empty = || std::fs::read_dir(scratch.path(dir)).unwrap().next().is_none();
        until(&format!("something is left in {dir}"), &is_empty);
    }
    scratch.ok(&["gc"]);
    scratch.ok(&["fsck"]);
    assert_eq!(scratch.sh("find run -path '*/mounts/*' | wc -l"), "0\n");
    let held = "grep -l -- \"$PWD/\" /proc/[0-9]*/mountinfo 2>/dev/null | wc -l";
    until("a process keeps a mount", &|| scratch.sh(held) == "0\n");
    // For those who wait for it.
    let told = format!("did {} things\n", done.into_inner());
    std::io::Write::write_all(&mut std::io::stdout(), told.as_bytes()).unwrap();
}

/// The number of the verb.
const EXEC: u64 = 13;

fn something(scratch: &Scratch, dice: &mut Dice) {
    let name = format!("x{}", dice.roll(CONTAINERS));
    let name = name.as_str();
    let verbs: [&[&str]; 17] = [
        &["run", "-d", "--name", name, "box:1"],
        &["run", "-d", "--name", name, "--rm", "box:1"],
        &["run", "--rm", "box:1", "echo", "hi"],
        &["create", "--name", name, "box:1"],
        &["start", name],
        &["stop", "-t", "0", name],
        &["kill", name],
        &["rm", name],
        &["rm", "-f", name],
        &["rm", "-f", name],
        &["restart", "-t", "0", name],
        &["pause", name],
        &["unpause", name],
        &["exec", name, "echo", "x"],
        &["logs", name],
        &["rename", name, "x0"],
        &["ps", "-a"],
    ];
    match dice.roll(22) {
        // What is executed in a container that is paused just then waits until somebody lets it go on.
        EXEC => check(scratch, verbs[EXEC as usize], Some(5000)),
        at @ 0..=16 => check(scratch, verbs[at as usize], None),
        17 | 18 => check(scratch, verbs[dice.roll(11) as usize], Some(dice.roll(300))),
        19 => check(scratch, &["wait", name], Some(200)),
        20 => kill_one(scratch, name, "supervisor", "tare-supervise"),
        _ => kill_one(scratch, name, "pid", "sleep"),
    }
}

/// Runs a verb, or kills it after some milliseconds. It may be refused for any reason that others give it.
fn check(scratch: &Scratch, verb: &[&str], killed_ms: Option<u64>) {
    const REASONS: &[&str] = &[
        "was deleted",
        "No such container",
        "is already in use by container",
        "is running",
        "not running",
        "is paused",
        "a paused container",
        "not paused",
        "already paused",
        "it runs without a supervisor",
        // Somebody else starts, ends, removes, changes or copies it at this moment.
        ": somebody ",
        "container does not exist",
        "was not completely created",
        "no such file or directory",
        "cannot remove container",
        "was killed before",
        "has ended",
        "is in use",
        // Somebody has killed the supervisor, or a process just when it was to be stopped.
        "was ended while it started it",
        "not all processes stopped in time",
        "same name as its current name",
    ];
    let mut child = scratch
        .command(verb)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starting tare");
    let began = Instant::now();
    let limit = killed_ms.map_or(STUCK, Duration::from_millis);
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > limit {
            assert!(killed_ms.is_some(), "{verb:?}: it is stuck");
            let _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    if verb[0] == "exec" && output.status.success() {
        assert_eq!(stdout(&output), "x\n");
    }
    if killed_ms.is_some() {
        return;
    }
    let said = stderr(&output);
    for line in said.lines().filter(|line| line.starts_with("tare: ")) {
        assert!(REASONS.iter().any(|reason| line.contains(reason)), "{verb:?}: {line}");
    }
}

fn kill_one(scratch: &Scratch, name: &str, field: &str, comm: &str) {
    let Ok(id) = std::fs::read_link(scratch.path(&format!("store/engine/names/{name}"))) else {
        return;
    };
    let path = scratch.path(&format!("store/containers/{}/state.json", id.display()));
    let state: serde_json::Value = match std::fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).expect("a record is whole"),
        Err(_) => return,
    };
    let Some(pid) = state[field].as_i64().filter(|pid| *pid > 0) else { return };
    // The number may be another process' by now.
    let is_it =
        std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|text| text.trim() == comm);
    if is_it {
        let _ = sys::process::kill(pid as i32, 9);
    }
}
