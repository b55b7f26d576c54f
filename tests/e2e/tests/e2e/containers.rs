//! Containers that outlive the command that started them.

use super::engine::Engine;
use e2e::{stderr, stdout};
use std::io::{Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

impl Engine {
    /// The supervisor of a container.
    pub(super) fn supervisor(&self, name: &str) -> i32 {
        let id = self.field(name, ".Id");
        let path = self.0.path(&format!("store/containers/{id}/state.json"));
        let state: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        state["supervisor"].as_i64().unwrap() as i32
    }
}

fn kill(pid: i32) {
    assert!(sys::process::kill(pid, 9).is_ok());
}

#[test]
fn a_container_runs_on_by_itself() {
    let Some(engine) = Engine::new("a_container_runs_on_by_itself") else { return };
    let id =
        engine.ok(&["run", "-d", "--name", "web", "box:1", "sh", "-c", "echo up; exec sleep 1000"]);
    assert_eq!(id.len(), 64);
    assert_eq!(engine.ok(&["ps", "-q", "--no-trunc"]), id);
    engine.until("it says so", || engine.ok(&["logs", "web"]) == "up");
    assert_eq!(engine.ok(&["exec", "web", "cat", "/etc/hostname"]), id[..12]);
    assert_eq!(engine.0.tare(&["exec", "web", "sh", "-c", "exit 9"]).status.code(), Some(9));
    assert_eq!(engine.0.tare(&["exec", "web", "nosuch"]).status.code(), Some(127));
    assert_eq!(
        engine.ok(&[
            "exec",
            "-e",
            "A=b",
            "-w",
            "/tmp",
            "-u",
            "web",
            "web",
            "sh",
            "-c",
            "echo $A $PWD; id -u"
        ]),
        "b /tmp\n33"
    );
    let text = engine.0.fails(1, &["rm", "web"]);
    assert!(text.contains("container is running\nhint: stop the container"), "{text}");
    engine.ok(&["pause", "web"]);
    assert_eq!(engine.field("web", ".State.Status"), "paused");
    let text = engine.0.fails(125, &["exec", "web", "true"]);
    assert!(text.contains("is paused"), "{text}");
    engine.ok(&["unpause", "web"]);
    engine.ok(&["rename", "web", "other"]);
    engine.0.fails(1, &["stop", "web"]);
    assert_eq!(engine.ok(&["stop", "-t", "1", "other"]), "other");
    assert_eq!(
        engine.field("other", ".State.Status .State.ExitCode".split(' ').next().unwrap()),
        "exited"
    );
    assert_eq!(engine.field("other", ".State.ExitCode"), "137");
    assert_eq!(engine.ok(&["start", "other"]), "other");
    assert_eq!(engine.field("other", ".State.Running"), "true");
    assert_eq!(engine.ok(&["rm", "-f", &id[..10]]), id[..10]);
    assert_eq!(engine.ok(&["ps", "-aq"]), "");
    engine.ok(&["fsck"]);
}

#[test]
fn what_a_container_writes_stays_until_it_is_removed() {
    let test = "what_a_container_writes_stays_until_it_is_removed";
    let Some(engine) = Engine::new(test) else { return };
    engine.ok(&["run", "--name", "one", "box:1", "sh", "-c", "echo x >> /data; cat /data"]);
    assert_eq!(engine.ok(&["start", "-a", "one"]), "x\nx");
    assert_eq!(engine.ok(&["logs", "one"]), "x\nx\nx");
    assert_eq!(engine.ok(&["logs", "-n", "1", "one"]), "x");
    let id = engine.ok(&["create", "--name", "two", "box:1", "sh", "-c", "exit 3"]);
    assert_eq!(engine.field("two", ".State.Status"), "created");
    assert_eq!(engine.0.tare(&["start", "-a", &id]).status.code(), Some(3));
    assert_eq!(engine.ok(&["wait", "two"]), "3");
    let text = engine.0.fails(125, &["run", "--name", "two", "box:1"]);
    assert!(text.contains("The container name \"/two\" is already in use"), "{text}");
    assert_eq!(engine.ok(&["ps", "-a", "--filter", "exited=3", "--format", "{{.Names}}"]), "two");
    let pruned = engine.ok(&["container", "prune", "-f"]);
    assert!(pruned.starts_with("Deleted Containers:\n") && pruned.contains(&id), "{pruned}");
    assert_eq!(engine.ok(&["ps", "-aq"]), "");
}

#[test]
fn streams_are_kept_apart_and_input_reaches_the_program() {
    let test = "streams_are_kept_apart_and_input_reaches_the_program";
    let Some(engine) = Engine::new(test) else { return };
    let output = engine.0.tare(&["run", "--rm", "box:1", "sh", "-c", "echo out; echo err >&2"]);
    assert_eq!((stdout(&output).as_str(), stderr(&output).as_str()), ("out\n", "err\n"));
    let mut command = engine.0.command(&["run", "--rm", "-i", "box:1", "cat"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let text: Vec<u8> = (0..300_000u32).map(|number| (number % 251) as u8).collect();
    let mut stdin = child.stdin.take().unwrap();
    let sent = text.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&sent).unwrap());
    let mut back = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut back).unwrap();
    writer.join().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(back == text, "{} of {} bytes came back", back.len(), text.len());
    // Without -i there is none.
    assert_eq!(engine.ok(&["run", "--rm", "box:1", "cat"]), "");
}

/// Whether a process waits for a signal rather than being ended by it.
fn holds_back(pid: u32, signal: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:\t")).unwrap_or("0");
    u64::from_str_radix(mask, 16).unwrap() >> (signal - 1) & 1 == 1
}

#[test]
fn a_client_that_is_killed_takes_nothing_along() {
    let test = "a_client_that_is_killed_takes_nothing_along";
    let Some(engine) = Engine::new(test) else { return };
    let script = "echo up; trap 'echo got it; exit 5' TERM; while :; do sleep 0.1; done";
    let mut command = engine.0.command(&["run", "--name", "it", "box:1", "sh", "-c", script]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = [0; 3];
    child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(engine.field("it", ".State.Running"), "true");
    // Another one hears the end, and signals of its own go to the program.
    let mut command = engine.0.command(&["attach", "it"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    engine.until("it takes signals", || holds_back(child.id(), 15));
    assert!(sys::process::kill(child.id() as i32, 15).is_ok());
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((said.as_str(), child.wait().unwrap().code()), ("got it\n", Some(5)));
    assert_eq!(engine.ok(&["logs", "it"]), "up\ngot it");
}

#[test]
fn a_killed_supervisor_is_no_end_of_the_truth() {
    let test = "a_killed_supervisor_is_no_end_of_the_truth";
    let Some(engine) = Engine::new(test) else { return };
    engine.ok(&["run", "-d", "--name", "one", "box:1", "sleep", "1000"]);
    kill(engine.supervisor("one"));
    engine
        .until("it is unsupervised", || engine.0.tare(&["attach", "one"]).status.code() == Some(1));
    assert_eq!(engine.field("one", ".State.Status"), "running");
    assert_eq!(engine.ok(&["exec", "one", "echo", "alive"]), "alive");
    engine.ok(&["stop", "-t", "1", "one"]);
    assert_eq!(engine.field("one", ".State.Status"), "exited");
    engine.ok(&["start", "one"]);
    let pid: i32 = engine.field("one", ".State.Pid").parse().unwrap();
    kill(engine.supervisor("one"));
    kill(pid);
    engine.until("the end is seen", || engine.field("one", ".State.Status") == "exited");
    assert_eq!(engine.field("one", ".State.ExitCode"), "255");
    engine.ok(&["start", "one"]);
    engine.ok(&["rm", "-f", "one"]);
    // What was to be removed at its end is removed by whoever comes next.
    engine.ok(&["run", "-d", "--rm", "--name", "two", "box:1", "sleep", "1000"]);
    let pid: i32 = engine.field("two", ".State.Pid").parse().unwrap();
    kill(engine.supervisor("two"));
    kill(pid);
    engine.until("it is swept", || {
        engine.ok(&["run", "--rm", "box:1", "pwd"]);
        std::fs::read_dir(engine.0.path("store/containers")).unwrap().count() == 0
    });
    engine.ok(&["run", "-d", "--rm", "--name", "two", "box:1", "pwd"]);
    engine.ok(&["fsck"]);
}

#[test]
fn what_a_program_of_exec_lacks_is_named() {
    let Some(engine) = Engine::new("what_a_program_of_exec_lacks_is_named") else { return };
    engine.ok(&["run", "-d", "--name", "it", "box:1", "sleep", "1000"]);
    let exec = |script: &str| {
        let output = engine.0.tare(&["exec", "it", "sh", "-c", script]);
        (stdout(&output), stderr(&output), output.status.code())
    };
    let (_, said, code) = exec("busybox chroot / pwd");
    assert_eq!(code, Some(1));
    assert!(
        said.ends_with("Operation not permitted\nhint: this may need --cap-add SYS_CHROOT\n"),
        "{said}"
    );
    // Nobody needs a hint who has not failed, or for another reason; much that is said comes out whole.
    assert_eq!(
        exec("busybox chroot / pwd 2> /dev/null; pwd"),
        ("/\n".into(), String::new(), Some(0))
    );
    assert_eq!(exec("echo x >&2; exit 3"), (String::new(), "x\n".into(), Some(3)));
    let (_, said, _) = exec("i=0; while [ $i -lt 5000 ]; do echo line $i >&2; i=$((i+1)); done");
    assert_eq!(said.lines().count(), 5000);
    assert!(said.ends_with("\nline 4999\n"));
    // What it leaves behind still has somebody who listens.
    let (said, told, code) = exec("(sleep 0.5; echo late >&2; echo end) & echo early >&2");
    assert_eq!((said.as_str(), told.as_str(), code), ("end\n", "early\nlate\n", Some(0)));
    let killed = exec("kill -9 $$");
    assert_eq!((killed.1.as_str(), killed.2), ("", Some(137)));
}

#[test]
fn policies_start_containers_again() {
    let Some(engine) = Engine::new("policies_start_containers_again") else { return };
    let script = "echo run >> /runs; exit 1";
    engine.ok(&[
        "run",
        "-d",
        "--name",
        "fails",
        "--restart",
        "on-failure:2",
        "box:1",
        "sh",
        "-c",
        script,
    ]);
    engine.until("it has ended for good", || engine.field("fails", ".State.Status") == "exited");
    assert_eq!(engine.ok(&["wait", "fails"]), "1");
    assert_eq!(engine.field("fails", ".RestartCount"), "2");
    engine.ok(&["run", "-d", "--name", "always", "--restart", "always", "box:1", "sleep", "1000"]);
    let pid = engine.field("always", ".State.Pid");
    kill(pid.parse().unwrap());
    engine.until("it runs again", || {
        let now = engine.field("always", ".State.Pid");
        now != pid && now != "0"
    });
    engine.ok(&["stop", "-t", "0", "always"]);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(engine.field("always", ".State.Status"), "exited");
    let text = engine.0.fails(125, &["run", "--restart", "sometimes", "box:1"]);
    assert!(text.contains("hint: no, on-failure"), "{text}");
}

#[test]
fn containers_come_back_after_the_machine() {
    let test = "containers_come_back_after_the_machine";
    let Some(engine) = Engine::new(test) else { return };
    for (name, policy) in
        [("a1", "always"), ("u1", "unless-stopped"), ("u2", "unless-stopped"), ("n1", "no")]
    {
        engine.ok(&["run", "-d", "--name", name, "--restart", policy, "box:1", "sleep", "1000"]);
    }
    engine.ok(&["stop", "-t", "0", "u2"]);
    // What a machine that goes down without a word leaves: files.
    for name in ["a1", "u1", "n1"] {
        let pid: i32 = engine.field(name, ".State.Pid").parse().unwrap();
        kill(engine.supervisor(name));
        kill(pid);
        engine.until("it is gone", || engine.field(name, ".State.Status") == "exited");
    }
    let started = engine.ok(&["system", "boot"]);
    let mut started: Vec<&str> = started.lines().collect();
    started.sort_unstable();
    assert_eq!(started, ["a1", "u1"]);
    assert_eq!(engine.field("u1", ".State.Running"), "true");
    assert_eq!(engine.ok(&["system", "boot"]), "");
    let unit = engine.ok(&["system", "enable-boot", "--print"]);
    assert!(
        unit.contains("ExecStart=\"") && unit.ends_with("WantedBy=multi-user.target"),
        "{unit}"
    );
}

#[test]
fn the_doctor_finds_what_is_wrong() {
    let Some(engine) = Engine::new("the_doctor_finds_what_is_wrong") else { return };
    engine.ok(&["run", "-d", "--name", "it", "box:1", "sleep", "1000"]);
    let well = engine.ok(&["doctor"]);
    assert!(well.contains("1 container, 1 running") && !well.contains("fails"), "{well}");
    kill(engine.supervisor("it"));
    engine.until("it is told", || {
        engine.ok(&["doctor", "--format", "json"]).contains("1 container without a supervisor")
    });
}

#[test]
fn health_is_checked() {
    let Some(engine) = Engine::new("health_is_checked") else { return };
    let check = ["--health-cmd", "cat /ok", "--health-interval", "100ms", "--health-retries", "2"];
    let args = [&["run", "-d", "--name", "it"], &check[..], &["box:1", "sleep", "1000"]].concat();
    engine.ok(&args);
    let health = || engine.field("it", ".State.Health.Status");
    engine.until("it is ill", || health() == "unhealthy");
    assert!(engine.field("it", "json .State.Health.Log").contains("No such file"));
    engine.ok(&["exec", "it", "touch", "/ok"]);
    engine.until("it is well", || health() == "healthy");
    assert_eq!(engine.ok(&["ps", "-q", "--filter", "health=healthy"]).len(), 12);
}

#[test]
fn logs_turn_over_and_are_read_in_order() {
    let Some(engine) = Engine::new("logs_turn_over_and_are_read_in_order") else { return };
    let script = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done";
    for driver in ["json-file", "k8s-file"] {
        let options =
            ["--log-driver", driver, "--log-opt", "max-size=20k", "--log-opt", "max-file=3"];
        let args =
            [&["run", "--name", driver], &options[..], &["box:1", "sh", "-c", script]].concat();
        engine.ok(&args);
        let said = engine.ok(&["logs", driver]);
        let lines: Vec<&str> = said.lines().collect();
        let last = lines.len();
        assert!(last > 100 && last < 3000, "{driver}: {last}");
        for (index, line) in lines.iter().enumerate() {
            assert_eq!(*line, format!("line {}", 3000 - last + index), "{driver}");
        }
        assert!(engine.ok(&["logs", "-t", "-n", "1", driver]).ends_with("Z line 2999"));
    }
    engine.ok(&["run", "--name", "none", "--log-driver", "none", "box:1", "echo", "x"]);
    assert!(engine.0.fails(1, &["logs", "none"]).contains("does not support reading"));
    engine.0.fails(125, &["run", "--log-driver", "nosuch", "box:1"]);
}

#[test]
fn two_starters_of_one_container_start_it_once() {
    let test = "two_starters_of_one_container_start_it_once";
    let Some(engine) = Engine::new(test) else { return };
    engine.ok(&["create", "--name", "it", "box:1", "sleep", "1000"]);
    let starters: Vec<_> = (0..8)
        .map(|_| {
            engine
                .0
                .command(&["start", "it"])
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut started = 0;
    for starter in starters {
        let output = starter.wait_with_output().unwrap();
        match output.status.code() {
            Some(0) => started += 1,
            _ => assert!(stderr(&output).contains("running already"), "{}", stderr(&output)),
        }
    }
    assert!(started >= 1);
    engine.until("it runs", || engine.field("it", ".State.Running") == "true");
    let id = engine.field("it", ".Id");
    let cgroups =
        std::fs::read_to_string(format!("/proc/{}/cgroup", engine.field("it", ".State.Pid")))
            .unwrap();
    assert!(cgroups.contains(&id), "{cgroups}");
}

#[test]
fn volumes_outlive_their_containers() {
    let Some(engine) = Engine::new("volumes_outlive_their_containers") else { return };
    engine.ok(&["run", "--rm", "-v", "data:/d", "box:1", "sh", "-c", "echo kept > /d/x"]);
    assert_eq!(engine.ok(&["run", "--rm", "-v", "data:/d:ro", "box:1", "cat", "/d/x"]), "kept");
    let output = engine.0.tare(&["run", "--rm", "-v", "data:/d:ro", "box:1", "touch", "/d/y"]);
    assert!(stderr(&output).contains("Read-only file system"), "{}", stderr(&output));
    engine.ok(&["create", "--name", "it", "-v", "data:/d", "box:1"]);
    assert_eq!(engine.ok(&["run", "--rm", "--volumes-from", "it", "box:1", "cat", "/d/x"]), "kept");
    let made = engine.ok(&[
        "run",
        "--rm",
        "--tmpfs",
        "/t:size=1m",
        "box:1",
        "sh",
        "-c",
        "grep ' /t ' /proc/mounts",
    ]);
    assert!(made.contains("noexec") && made.contains("size=1024k"), "{made}");
}

/// Whether the root directory that a container sees is synced when it is let go of.
const IS_VOLATILE: &str = "grep -c '^[^ ]* / overlay .*volatile' /proc/mounts";

#[test]
fn a_container_that_nobody_keeps_costs_no_sync() {
    let Some(engine) = Engine::new("a_container_that_nobody_keeps_costs_no_sync") else { return };
    let volatile = |args: &[&str]| {
        let run = [&["run"], args, &["box:1", "sh", "-c", IS_VOLATILE]].concat();
        let output = engine.0.tare(&run);
        stdout(&output).trim().to_owned()
    };
    assert_eq!(volatile(&["--rm"]), "1");
    assert_eq!(volatile(&["--name", "kept"]), "0");
    // It starts more than once, and what it wrote is there.
    engine.ok(&[
        "create",
        "--rm",
        "--name",
        "again",
        "box:1",
        "sh",
        "-c",
        "echo x >> /f; sleep 99",
    ]);
    engine.ok(&["cp", "/etc/hostname", "again:/before"]);
    engine.ok(&["start", "again"]);
    let is_there = ["exec", "again", "sh", "-c", "[ -s /f ]"];
    engine.until("it writes", || engine.0.tare(&is_there).status.success());
    assert_eq!(engine.ok(&["exec", "again", "cat", "/f"]), "x");
    engine.ok(&["exec", "again", "cat", "/before"]);
    assert_eq!(engine.ok(&["commit", "again", "made:1"]).len(), 71);
    assert_eq!(engine.ok(&["run", "--rm", "made:1", "cat", "/f"]), "x");
    engine.ok(&["rm", "-f", "again"]);
    engine.ok(&["fsck"]);
}

#[test]
fn what_a_power_cut_left_of_a_container_that_nobody_keeps_goes() {
    let test = "what_a_power_cut_left_of_a_container_that_nobody_keeps_goes";
    let Some(engine) = Engine::new(test) else { return };
    for torn in ["container.json", "state.json"] {
        let id = engine.ok(&["create", "--rm", "--name", "torn", "box:1", "true"]);
        let path = engine.0.path(&format!("store/containers/{id}/{torn}"));
        std::fs::write(path, "").unwrap();
        // Looking takes nothing away, and is not kept from showing the others.
        assert_eq!(engine.ok(&["ps", "-aq"]), "", "{torn}");
        engine.ok(&["create", "--name", "torn", "box:1", "true"]);
        assert!(!Path::new(&engine.0.path(&format!("store/containers/{id}"))).exists());
        assert_eq!(engine.ok(&["ps", "-a", "--format", "{{.Names}}"]), "torn");
        engine.ok(&["rm", "torn"]);
        engine.ok(&["fsck"]);
    }
    // What is kept is nobody's to take away.
    let id = engine.ok(&["run", "-d", "--name", "kept", "box:1", "sh", "-c", ":"]);
    engine.ok(&["wait", "kept"]);
    let path = engine.0.path(&format!("store/containers/{id}/state.json"));
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, "").unwrap();
    engine.ok(&["create", "--name", "other", "box:1", "true"]);
    assert!(engine.0.fails(1, &["rm", &id]).contains("state.json"));
    engine.ok(&["rm", "other"]);
    std::fs::write(&path, whole).unwrap();
    assert_eq!(engine.ok(&["ps", "-aq", "--no-trunc"]), id);
}
