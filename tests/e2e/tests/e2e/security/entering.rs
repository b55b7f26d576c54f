//! R1 and R3: attackers in a container against processes that enter it.

use e2e::{Bundle, rounds, stderr};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// How long an attacker may take to start or to tell what it found.
const DEADLINE: Duration = Duration::from_secs(120);

/// A container whose first process is an attacker.
struct Spy {
    bundle: Bundle,
    run: Child,
}

impl Spy {
    fn start(test: &str, verb: &str, prepare: impl FnOnce(&mut Bundle)) -> Option<Self> {
        let mut bundle = Bundle::new(test)?;
        if !bundle.arm(test) {
            return None;
        }
        bundle.args(&["/bin/attack", verb, "/stop"]);
        prepare(&mut bundle);
        bundle.write();
        let report = std::fs::File::create(bundle.path("report")).unwrap();
        let (path, id) = (bundle.path(""), bundle.id().to_string());
        let mut command = bundle.command(&["run", "--bundle", path, &id]);
        let run = command.stdout(report).spawn().unwrap();
        let mut spy = Self { bundle, run };
        spy.wait_until(|spy| spy.text().starts_with("ready"));
        Some(spy)
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.bundle.path("report")).unwrap()
    }

    fn wait_until(&mut self, done: impl Fn(&mut Self) -> bool) {
        let end = Instant::now() + DEADLINE;
        while !done(self) {
            assert!(Instant::now() < end, "the attacker does not answer: {:?}", self.text());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The first process's id.
    fn pid(&self) -> String {
        let state = self.bundle.runtime(&["state", self.bundle.id()]);
        let value: Value = serde_json::from_slice(&state.stdout).unwrap();
        value["pid"].to_string()
    }

    /// What the attacker found.
    fn report(&mut self) -> BTreeMap<String, u64> {
        std::fs::write(self.bundle.path("rootfs/stop"), "").unwrap();
        self.wait_until(|spy| spy.run.try_wait().unwrap().is_some());
        let read = |line: &str| {
            let (name, count) = line.rsplit_once(' ')?;
            Some((name.to_string(), count.parse().ok()?))
        };
        self.text().lines().filter_map(read).collect()
    }
}

impl Drop for Spy {
    fn drop(&mut self) {
        let _ = std::fs::write(self.bundle.path("rootfs/stop"), "");
        let id = self.bundle.id().to_string();
        self.bundle.runtime(&["delete", "--force", &id]);
        let _ = self.run.wait();
    }
}

fn exec_often(spy: &Spy, runtime: Option<&str>, times: usize) {
    let id = spy.bundle.id().to_string();
    for _ in 0..times {
        let mut command = spy.bundle.command(&["exec", &id, "true"]);
        if let Some(program) = runtime {
            let args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
            command = Command::new(program);
            command.args(args);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }
}

/// The unprotected variant: a joiner that anybody with the container's rights may look into.
fn join(spy: &Spy, program: &str, options: &[&str], times: usize) {
    let mut command = Command::new(program);
    command.args(["join", &spy.pid(), &times.to_string()]).args(options);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}

fn map_users(bundle: &mut Bundle) {
    bundle.give_users();
}

fn allow_tracing(bundle: &mut Bundle) {
    for set in ["bounding", "effective", "permitted"] {
        bundle.config["process"]["capabilities"][set] = json!(["CAP_SYS_PTRACE"]);
    }
}

fn nothing_is_reached(found: &BTreeMap<String, u64>, times: usize) {
    assert!(found["met"] as usize > times / 4, "too few met of {times}: {found:?}");
    let reached: Vec<_> = found.iter().filter(|(k, n)| *k != "met" && **n > 0).collect();
    assert_eq!(reached, [], "{found:?}");
}

/// R3 (CVE-2016-9962): container root can trace its own processes, but not one that enters.
#[test]
fn r3_raced_exec_cannot_be_looked_into() {
    let test = "r3_raced_exec_cannot_be_looked_into";
    let times = rounds(200);
    let Some(mut spy) = Spy::start(test, "peek", |_| {}) else { return };
    exec_often(&spy, None, times);
    nothing_is_reached(&spy.report(), times);
    // The attack itself works: on a joiner with the same rights that does not hide.
    let mut spy = Spy::start(test, "peek", |_| {}).unwrap();
    join(&spy, spy.bundle.path("attack"), &[], 20);
    let found = spy.report();
    for kind in ["exe", "descriptor", "directory", "memory", "maps", "trace"] {
        assert!(found[kind] > 0, "{found:?}");
    }
}

/// R3 with a user namespace, whose root has every capability in it.
#[test]
fn r3_raced_exec_into_a_user_namespace_cannot_be_looked_into() {
    let test = "r3_raced_exec_into_a_user_namespace_cannot_be_looked_into";
    let times = rounds(100);
    let prepare = |bundle: &mut Bundle| {
        map_users(bundle);
        allow_tracing(bundle);
    };
    let Some(mut spy) = Spy::start(test, "peek", prepare) else { return };
    exec_often(&spy, None, times);
    nothing_is_reached(&spy.report(), times);
    let mut spy = Spy::start(test, "peek", prepare).unwrap();
    join(&spy, spy.bundle.path("attack"), &["users"], 20);
    let found = spy.report();
    assert!(found["descriptor"] > 0 || found["memory"] > 0, "{found:?}");
}

/// R3 for the first process of another container of the same pod.
#[test]
fn r3_raced_a_container_that_joins_a_pid_namespace_cannot_be_looked_into() {
    let test = "r3_raced_a_container_that_joins_a_pid_namespace_cannot_be_looked_into";
    let times = rounds(60);
    let Some(mut spy) = Spy::start(test, "peek", |_| {}) else { return };
    let Some(mut other) = Bundle::new(test) else { return };
    let path = format!("/proc/{}/ns/pid", spy.pid());
    let namespaces = other.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "pid");
    namespaces.push(json!({"type": "pid", "path": path}));
    for _ in 0..times {
        let output = other.args(&["true"]).run();
        assert!(output.status.success(), "{}", stderr(&output));
    }
    nothing_is_reached(&spy.report(), times);
}

/// R1 (CVE-2019-5736): even with the right to trace, container root cannot write to the program
/// that enters.
#[test]
fn r1_raced_the_runtime_cannot_be_overwritten() {
    let test = "r1_raced_the_runtime_cannot_be_overwritten";
    let times = rounds(50);
    let Some(mut spy) = Spy::start(test, "overwrite", allow_tracing) else { return };
    // A copy: should the protection fail, other tests go on with the original.
    let copy = spy.bundle.path("runtime");
    std::fs::copy(e2e::program("tare-runtime"), copy).unwrap();
    let before = std::fs::read(copy).unwrap();
    exec_often(&spy, Some(copy), times);
    let found = spy.report();
    assert!(found["read-only"] > 0 && found["met"] > 0, "{found:?}");
    assert_eq!(found["written"], 0, "{found:?}");
    assert!(std::fs::read(copy).unwrap() == before);
    // The attack itself works on a program that is not sealed.
    let mut spy = Spy::start(test, "overwrite", allow_tracing).unwrap();
    let copy = spy.bundle.path("joiner");
    std::fs::copy(spy.bundle.path("attack"), copy).unwrap();
    join(&spy, copy, &["hide"], 20);
    let found = spy.report();
    assert!(found["written"] > 0, "{found:?}");
    assert!(std::fs::read(copy).unwrap().starts_with(b"overwritten"));
}
