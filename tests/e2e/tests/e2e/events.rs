//! `events`: statistics and memory running out, as lines of JSON.

use e2e::{Bundle, stderr};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

/// Takes four times the memory that [`limit`] allows.
const HOG: &str = "x=$(busybox head -c 64m /dev/zero | busybox tr '\\0' x)";
/// A loaded machine takes its time; what hangs is still found.
const DEADLINE: Duration = Duration::from_secs(120);

fn limit(bundle: &mut Bundle) {
    let bytes = 16 << 20;
    bundle.config["linux"]["resources"]["memory"] = json!({"limit": bytes, "swap": bytes});
}

/// `events` of the bundle's container, and the lines that it prints.
struct Watcher {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Watcher {
    fn start(bundle: &Bundle, interval: &str) -> Self {
        let mut command = bundle.command(&["events", "--interval", interval, bundle.id()]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("starting events");
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The next line; `None` at the end.
    fn line(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.lines.read_line(&mut line).expect("reading events") {
            0 => None,
            _ => Some(serde_json::from_str(&line).expect("a line of JSON")),
        }
    }

    /// The next line of this type. Others are skipped: statistics come at any time, and the kernel
    /// may tell of one lack of memory more than once.
    fn next(&mut self, kind: &str) -> Option<Value> {
        loop {
            let line = self.line()?;
            if line["type"] == kind {
                return Some(line);
            }
        }
    }

    fn ends(mut self) {
        let until = Instant::now() + DEADLINE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.child.kill().unwrap();
        panic!("events does not end with the container");
    }
}

#[test]
fn a_process_killed_for_memory_is_told_between_statistics() {
    let test = "a_process_killed_for_memory_is_told_between_statistics";
    let Some(mut bundle) = Bundle::new(test) else { return };
    limit(&mut bundle);
    bundle.args(&["sleep", "100"]).start();
    let id = bundle.id().to_string();
    let mut events = Watcher::start(&bundle, "100ms");
    let first = events.line().expect("statistics at once");
    assert_eq!((&first["type"], &first["id"]), (&json!("stats"), &json!(id)));
    assert_eq!(first["data"]["memory"]["usage"]["limit"], json!(16 << 20));

    let hog = bundle.runtime(&["exec", &id, "sh", "-c", HOG]);
    assert_eq!(hog.status.code(), Some(137), "{}", stderr(&hog));
    assert_eq!(events.next("oom"), Some(json!({"type": "oom", "id": id})));
    assert_eq!(bundle.status(), "running");
    assert!(events.next("stats").is_some());

    assert!(bundle.runtime(&["kill", &id, "KILL"]).status.success());
    events.ends();
}

#[test]
fn a_container_that_memory_ends_has_this_as_its_last_event() {
    let test = "a_container_that_memory_ends_has_this_as_its_last_event";
    let Some(mut bundle) = Bundle::new(test) else { return };
    limit(&mut bundle);
    bundle.args(&["sh", "-c", HOG]).write();
    let (path, id) = (bundle.path(""), bundle.id().to_string());
    let mut create = bundle.command(&["create", "--bundle", path, &id]);
    assert!(create.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    // Statistics are far apart: only the events themselves can wake it.
    let mut events = Watcher::start(&bundle, "1h");
    assert_eq!(events.line().expect("statistics at once")["type"], "stats");
    assert!(bundle.runtime(&["start", &id]).status.success());
    assert_eq!(events.line(), Some(json!({"type": "oom", "id": id})));
    while let Some(line) = events.line() {
        assert_eq!(line["type"], "oom");
    }
    events.ends();
}

#[test]
fn statistics_once_and_none_of_a_stopped_container() {
    let Some(mut bundle) = Bundle::new("statistics_once_and_none_of_a_stopped_container") else {
        return;
    };
    bundle.args(&["sleep", "100"]).start();
    let id = bundle.id().to_string();
    let once = bundle.runtime(&["events", "--stats", &id]);
    let value: Value = serde_json::from_slice(&once.stdout).expect("one line");
    assert_eq!(value["data"]["pids"]["current"], json!(1));
    assert!(bundle.runtime(&["kill", &id, "KILL"]).status.success());
    let until = Instant::now() + DEADLINE;
    while bundle.status() != "stopped" && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    let after = bundle.runtime(&["events", &id]);
    assert_eq!(after.status.code(), Some(1));
    assert!(stderr(&after).contains("is not running"), "{}", stderr(&after));
}
