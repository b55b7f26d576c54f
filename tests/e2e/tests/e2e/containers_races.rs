//! Containers that somebody removes, or whose supervisor somebody kills, while others are about them; and what cannot be
//! had: names, registries.

use super::images_scratch::Scratch;
use super::running::box_with;
use e2e::watch::{Verdict, Watched};
use e2e::{stderr, stdout};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);
/// A call is held back so long while another command goes on as far as it can.
const HELD: Duration = Duration::from_millis(150);
/// Steps of a start that are tried each time; there are some hundreds.
const USUAL_STEPS: usize = 12;

/// A scratch store whose containers go with it.
struct Engine(Scratch);

impl Engine {
    fn new(test: &str) -> Option<Self> {
        box_with(test, &["CMD [\"sleep\", \"1000\"]"]).map(Self)
    }

    fn ok(&self, args: &[&str]) -> String {
        self.0.ok(args)
    }

    fn field(&self, name: &str, field: &str) -> String {
        self.ok(&["container", "inspect", "--format", &format!("{{{{{field}}}}}"), name])
    }

    fn until(&self, what: &str, is: impl Fn() -> bool) {
        let began = Instant::now();
        while !is() {
            assert!(began.elapsed() < PATIENCE, "{what}");
            std::thread::sleep(LOOK);
        }
    }

    fn spawn(&self, args: &[&str]) -> Child {
        let mut command = self.0.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn kill_supervisor(&self, name: &str) {
        let id = self.field(name, ".Id");
        let path = self.0.path(&format!("store/containers/{id}/state.json"));
        let state: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        sys::process::kill(state["supervisor"].as_i64().unwrap() as i32, 9).unwrap();
        // Its lock is free as soon as it is gone.
        self.until("it is unsupervised", || {
            self.0.tare(&["attach", "--no-stdin", name]).status.code() == Some(1)
        });
    }

    /// Nothing of any container is there.
    fn is_empty(&self) {
        assert_eq!(self.ok(&["ps", "-aq"]), "");
        // One more command takes away what the last kill has left.
        self.ok(&["run", "--rm", "box:1", "pwd"]);
        // Supervisors that were told to end, and killed processes, may still be about to.
        for dir in ["store/containers", "store/engine/names", "store/engine/pending"] {
            let is_empty = || std::fs::read_dir(self.0.path(dir)).unwrap().next().is_none();
            self.until(&format!("something is left in {dir}"), is_empty);
        }
        assert_eq!(self.ok(&["fsck"]), "the store is in order");
        let held = "grep -l -- \"$PWD/\" /proc/[0-9]*/mountinfo 2>/dev/null | wc -l";
        self.until("a process keeps a mount", || self.0.sh(held) == "0\n");
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        e2e::clean_up(self.0.command(&["rm", "-af"]));
    }
}

/// Waits for a command that must not be stuck.
fn end_of(mut child: Child, what: &str) -> std::process::Output {
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("{what}: it is stuck");
        }
        std::thread::sleep(LOOK);
    }
    child.wait_with_output().unwrap()
}

#[test]
fn a_container_is_removed_by_force_while_it_starts() {
    let test = "a_container_is_removed_by_force_while_it_starts";
    let Some(engine) = Engine::new(test) else { return };
    // From before the start has begun to behind its end.
    for number in 0..12u64 {
        engine.ok(&["create", "--name", "it", "box:1"]);
        let start = engine.spawn(&["start", "it"]);
        std::thread::sleep(Duration::from_millis(4 * number));
        let removed = end_of(engine.spawn(&["rm", "-f", "it"]), "rm");
        assert!(removed.status.success(), "{number}: {}", stderr(&removed));
        let started = end_of(start, "start");
        let said = stderr(&started);
        let reasons = [
            "No such container",
            "somebody starts it",
            // Whoever removes it has its lock.
            "somebody else starts, ends or removes it",
            "was ended while it started it",
            "no such file or directory",
        ];
        assert!(
            started.status.success() || reasons.iter().any(|it| said.contains(it)),
            "{number}: {said}"
        );
        engine.is_empty();
    }
}

/// Removes a container while a call of its start waits for this, and for nothing else. Returns how many calls the start
/// makes.
fn remove_at(engine: &Engine, at: usize) -> usize {
    engine.ok(&["create", "--name", "it", "box:1"]);
    let mut start = engine.0.watched_command(&["start", "it"]);
    start.stdout(Stdio::null()).stderr(Stdio::null());
    let removing = Arc::new(Mutex::new(None));
    let (ours, mut remove) = (Arc::clone(&removing), engine.0.command(&["rm", "-f", "it"]));
    let mut watched = Watched::start(&mut start, move |number, _| {
        if number == at {
            remove.stdout(Stdio::null()).stderr(Stdio::piped());
            let mut child = remove.spawn().unwrap();
            let began = Instant::now();
            while child.try_wait().unwrap().is_none() && began.elapsed() < HELD {
                std::thread::sleep(Duration::from_millis(2));
            }
            *ours.lock().unwrap() = Some(child);
        }
        Verdict::Continue
    });
    assert!(watched.wait_within(PATIENCE).is_some(), "start, with `rm` at {at}: it is stuck");
    let calls = watched.calls();
    let removing = removing.lock().unwrap().take();
    let removed = match removing {
        Some(child) => end_of(child, &format!("rm at {at}")),
        None => end_of(engine.spawn(&["rm", "-f", "it"]), "rm"),
    };
    assert!(removed.status.success(), "{at}: {}", stderr(&removed));
    assert!(watched.is_gone_within(PATIENCE), "{at}: a process is left");
    engine.is_empty();
    calls
}

#[test]
fn a_container_is_removed_by_force_at_any_step_of_its_start() {
    let test = "a_container_is_removed_by_force_at_any_step_of_its_start";
    let Some(engine) = Engine::new(test) else { return };
    let calls = remove_at(&engine, usize::MAX);
    for at in e2e::spread(calls, e2e::rounds(USUAL_STEPS)) {
        remove_at(&engine, at);
    }
}

#[test]
fn a_run_is_removed_by_force_while_it_starts() {
    let test = "a_run_is_removed_by_force_while_it_starts";
    let Some(engine) = Engine::new(test) else { return };
    for number in 0..12u64 {
        let run = engine.spawn(&["run", "-d", "--name", "it", "box:1"]);
        std::thread::sleep(Duration::from_millis(5 * number));
        // There may be none yet.
        let removed = end_of(engine.spawn(&["rm", "-f", "it"]), "rm");
        let said = stderr(&removed);
        assert!(removed.status.success() || said.contains("No such container"), "{number}: {said}");
        let ran = end_of(run, "run");
        assert!(matches!(ran.status.code(), Some(0 | 125)), "{number}: {}", stderr(&ran));
        let said = stderr(&ran);
        assert!(!said.contains("panicked"), "{said}");
        // Whoever came too late has it still.
        if ran.status.success() {
            engine.ok(&["rm", "-f", "it"]);
        }
        engine.is_empty();
    }
}

#[test]
fn clients_of_a_killed_supervisor_end_or_go_on() {
    let test = "clients_of_a_killed_supervisor_end_or_go_on";
    let Some(engine) = Engine::new(test) else { return };
    let script = "echo up; trap 'exit 3' TERM; while :; do sleep 0.05; done";
    engine.ok(&["run", "-d", "-i", "--name", "it", "box:1", "sh", "-c", script]);
    let attached = engine.spawn(&["attach", "it"]);
    let waiting = engine.spawn(&["wait", "it"]);
    let mut executed =
        engine.0.command(&["exec", "-i", "it", "sh", "-c", "echo in; cat; echo out; exit 5"]);
    let mut executed = executed.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(executed.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    let mut followed = engine.0.command(&["logs", "-f", "it"]);
    let mut followed = followed.stdout(Stdio::piped()).spawn().unwrap();
    let mut shown = BufReader::new(followed.stdout.take().unwrap());
    let mut first = String::new();
    shown.read_line(&mut first).unwrap();
    assert_eq!((line.as_str(), first.as_str()), ("in\n", "up\n"));
    engine.kill_supervisor("it");
    // Nobody passes anything on any more, which is said.
    let output = end_of(attached, "attach");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("its supervisor has ended"), "{}", stderr(&output));
    // A program that was executed needs no supervisor.
    std::io::Write::write_all(&mut executed.stdin.take().unwrap(), b"more\n").unwrap();
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!((rest.as_str(), executed.wait().unwrap().code()), ("more\nout\n", Some(5)));
    assert_eq!(engine.field("it", ".State.Status"), "running");
    assert_eq!(engine.ok(&["exec", "it", "echo", "more"]), "more");
    // The log ends with the container, and whoever waits is told.
    assert!(followed.try_wait().unwrap().is_none() && engine.ok(&["logs", "it"]) == "up");
    engine.ok(&["stop", "it"]);
    let output = end_of(followed, "logs");
    assert!(output.status.success());
    let output = end_of(waiting, "wait");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(engine.field("it", ".State.Status"), "exited");
    engine.ok(&["rm", "it"]);
    engine.is_empty();
}

#[test]
fn a_name_that_is_taken_is_told_and_stays_the_other_s() {
    let test = "a_name_that_is_taken_is_told_and_stays_the_other_s";
    let Some(engine) = Engine::new(test) else { return };
    let id = engine.ok(&["run", "-d", "--name", "it", "box:1"]);
    for verb in ["run", "create"] {
        let code = if verb == "run" { 125 } else { 1 };
        let text = engine.0.fails(code, &[verb, "--name", "it", "box:1"]);
        let expected =
            format!("The container name \"/it\" is already in use by container \"{id}\"");
        assert!(text.contains(&expected), "{text}");
    }
    // Of many at once one gets it.
    let all: Vec<Child> =
        (0..8).map(|_| engine.spawn(&["create", "--name", "new", "box:1"])).collect();
    let ends: Vec<_> = all.into_iter().map(|child| end_of(child, "create")).collect();
    let made: Vec<String> = ends.iter().filter(|end| end.status.success()).map(stdout).collect();
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(engine.field("new", ".Id"), made[0].trim());
    assert_eq!(engine.ok(&["ps", "-aq"]).lines().count(), 2);
    engine.ok(&["rm", "-f", "it", "new"]);
    engine.ok(&["create", "--name", "it", "box:1"]);
    engine.ok(&["rm", "it"]);
    engine.is_empty();
}

#[test]
fn a_registry_that_cannot_be_reached_is_told() {
    let test = "a_registry_that_cannot_be_reached_is_told";
    let Some(engine) = Engine::new(test) else { return };
    // Nobody listens there; there is no way there; nobody has that name.
    for (name, why) in [
        ("127.0.0.1:1/a/b:1", "refused"),
        ("192.0.2.1:5000/a/b:1", "unreachable"),
        ("registry.invalid/a/b:1", "registry.invalid"),
    ] {
        let line: Vec<String> = engine
            .0
            .command(&["run", "--rm", name, "pwd"])
            .get_args()
            .map(|it| it.to_string_lossy().into_owned())
            .collect();
        let began = Instant::now();
        let output = Command::new("unshare")
            .args(["-n", "sh", "-ec", "ip link set lo up; exec \"$@\"", "sh"])
            .arg(e2e::program("tare"))
            .args(line)
            .env("HOME", engine.0.path(""))
            .stdin(Stdio::null())
            .output();
        let output = output.expect("running unshare");
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(125), "{said}");
        assert!(said.starts_with("tare: pulling ") && said.contains(why), "{said}");
        assert_eq!(said.matches("tare: ").count(), 1, "{said}");
        assert!(began.elapsed() < PATIENCE);
    }
    engine.is_empty();
}
