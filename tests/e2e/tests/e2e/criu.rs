//! `checkpoint` and `restore`: what criu is asked for, with a stand-in for the program; and with
//! criu itself where it works on this machine.

use e2e::{Bundle, program, skip, stderr, stdout};
use serde_json::{Value, json};
use std::fs::{create_dir, read_to_string, write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::process::{Command, Output, Stdio};

/// A running container, and a stand-in for criu on its PATH.
struct Double {
    bundle: Bundle,
    path: &'static str,
    log: &'static str,
    images: &'static str,
}

impl Double {
    fn new(test: &str) -> Option<Self> {
        let mut bundle = Bundle::new(test)?;
        let path = bundle.path("programs");
        create_dir(path).unwrap();
        std::os::unix::fs::symlink(program("criu_double"), bundle.path("programs/criu")).unwrap();
        create_dir(bundle.path("data")).unwrap();
        let bind = json!({"destination": "/data", "source": "data", "options": ["bind"]});
        bundle.config["mounts"].as_array_mut().unwrap().push(bind);
        bundle.config["root"]["readonly"] = json!(false);
        bundle.args(&["sleep", "100"]);
        let (log, images) = (bundle.path("asked"), bundle.path("images"));
        Some(Self { bundle, path, log, images })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.bundle.command(args);
        command.env("PATH", self.path).env("DOUBLE_LOG", self.log);
        command
    }

    fn call(&self, args: &[&str], env: &[(&str, &str)]) -> Output {
        let _ = std::fs::remove_file(self.log);
        self.command(args).envs(env.iter().copied()).output().expect("starting the runtime")
    }

    fn checkpoint(&self, more: &[&str], env: &[(&str, &str)]) -> Output {
        let args = ["checkpoint", "--image-path", self.images, self.bundle.id()];
        self.call(&[&args, more].concat(), env)
    }

    fn restore(&self, more: &[&str], env: &[(&str, &str)]) -> Output {
        let (dir, id) = (self.bundle.path(""), self.bundle.id());
        let args = ["restore", "--image-path", self.images, "--bundle", dir, id];
        let _ = std::fs::remove_file(self.log);
        let mut command = self.command(&[&args, more].concat());
        // What is restored holds on to its standard output.
        command.envs(env.iter().copied()).stdout(Stdio::null());
        command.stderr(std::fs::File::create(self.bundle.path("stderr")).unwrap());
        let status = command.status().expect("starting the runtime");
        let stderr = std::fs::read(self.bundle.path("stderr")).unwrap();
        Output { status, stdout: Vec::new(), stderr }
    }

    /// What criu was asked, a line each.
    fn asked(&self) -> Vec<String> {
        read_to_string(self.log).unwrap_or_default().lines().map(String::from).collect()
    }

    fn was_asked(&self, lines: &[&str]) {
        let asked = self.asked();
        for line in lines {
            assert!(asked.iter().any(|known| known == line), "{line:?} is not in {asked:#?}");
        }
    }

    fn pid(&self) -> i64 {
        let state = self.bundle.runtime(&["state", self.bundle.id()]);
        let state: Value = serde_json::from_slice(&state.stdout).expect("a state");
        state["pid"].as_i64().unwrap()
    }
}

fn succeeds(output: &Output) {
    assert!(output.status.success(), "{}", stderr(output));
}

fn fails(output: &Output, expected: &str) {
    assert!(stderr(output).contains(expected), "expected {expected:?} in {}", stderr(output));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn checkpoint_asks_for_what_the_options_say() {
    let Some(mut double) = Double::new("checkpoint_asks_for_what_the_options_say") else { return };
    double.bundle.start();
    std::fs::create_dir_all(double.bundle.path("images/earlier")).unwrap();
    let pid = double.pid();
    let work = double.bundle.path("work");
    succeeds(&double.checkpoint(
        &[
            "--leave-running",
            "--tcp-established",
            "--tcp-skip-in-flight",
            "--link-remap",
            "--ext-unix-sk",
            "--shell-job",
            "--file-locks",
            "--auto-dedup",
            "--lazy-pages",
            "--work-path",
            work,
            "--parent-path",
            "earlier",
            "--page-server",
            "[::1]:27",
            "--manage-cgroups-mode",
            "full",
            "--network-lock",
            "skip",
            "--empty-ns",
            "network",
        ],
        &[],
    ));
    let root = double.bundle.path("rootfs");
    double.was_asked(&[
        // The version, what it can do, the request.
        "type 10",
        "type 9",
        "type 1",
        // Directories, process, log, words in between, root, cgroups, network, terminal.
        "opts 1 4",
        "opts 17 5",
        &format!("opts 2 {pid}"),
        "opts 10 dump.log",
        "opts 12 1",
        &format!("opts 13 {root}"),
        "opts 34 4",
        "opts 38 1073741824",
        "opts 50 1",
        // Each option.
        "opts 3 1",
        "opts 5 1",
        "opts 46 1",
        "opts 18 1",
        "opts 4 1",
        "opts 7 1",
        "opts 8 1",
        "opts 16 1",
        "opts 48 1",
        "opts 14 earlier",
        "opts 15 1",
        "opts 11 ::1 27",
        "opts 64 3",
        // What comes from outside.
        "opts 23 /data /data",
        "opts 23 /proc/timer_list /dev/null",
    ]);
    assert_eq!(double.bundle.status(), "running");
    let descriptors = read_to_string(double.bundle.path("images/descriptors.json")).unwrap();
    assert_eq!(descriptors, r#"["/dev/null","/dev/null","/dev/null"]"#);
}

#[test]
fn a_checkpointed_container_is_deleted() {
    let Some(mut double) = Double::new("a_checkpointed_container_is_deleted") else { return };
    let mark = double.bundle.path("stopped");
    let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", format!("cat > {mark}")]}]);
    double.bundle.config["hooks"] = json!({"poststop": hook});
    double.bundle.start();
    succeeds(&double.checkpoint(&[], &[]));
    // Nothing that was not asked for.
    let numbers = ["3", "4", "5", "7", "8", "11", "14", "15", "16", "18", "46", "48", "52", "64"];
    for number in numbers {
        let start = format!("opts {number} ");
        assert!(!double.asked().iter().any(|line| line.starts_with(&start)), "{number}");
    }
    double.was_asked(&["opts 34 6"]);
    assert_eq!(double.bundle.leftovers(), Vec::<std::path::PathBuf>::new());
    assert!(read_to_string(mark).unwrap().contains(r#""status":"stopped""#));
}

#[test]
fn memory_can_be_written_ahead() {
    let Some(mut double) = Double::new("memory_can_be_written_ahead") else { return };
    double.bundle.start();
    succeeds(&double.checkpoint(&["--pre-dump"], &[]));
    double.was_asked(&["type 4"]);
    // Mounts and descriptors are the last request's.
    assert!(!double.asked().iter().any(|line| line.starts_with("opts 23 ")));
    assert_eq!(double.bundle.status(), "running");
    let no = [("DOUBLE_FEATURES", "no")];
    fails(&double.checkpoint(&["--pre-dump"], &no), "--pre-dump: criu or the kernel cannot");
    fails(&double.checkpoint(&["--lazy-pages"], &no), "--lazy-pages: criu or the kernel cannot");
}

#[test]
fn whoever_fetches_lazy_pages_is_told_when_they_are_ready() {
    let test = "whoever_fetches_lazy_pages_is_told_when_they_are_ready";
    let Some(mut double) = Double::new(test) else { return };
    double.bundle.start();
    let ready = double.bundle.path("ready");
    let script = format!(
        "exec {} --root {} checkpoint --lazy-pages --status-fd 3 --image-path {} {} 3>{ready}",
        e2e::program("tare-runtime").display(),
        double.bundle.path("state"),
        double.images,
        double.bundle.id()
    );
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &script]).env("PATH", double.path).env("DOUBLE_LOG", double.log);
    succeeds(&command.output().unwrap());
    assert_eq!(std::fs::read(ready).unwrap(), [0]);

    double.bundle.start();
    let closed = double.checkpoint(&["--lazy-pages", "--status-fd", "99"], &[]);
    fails(&closed, "--status-fd: descriptor 99 is not open");
}

#[test]
fn failures_say_what_criu_says_and_change_nothing() {
    let test = "failures_say_what_criu_says_and_change_nothing";
    let Some(mut double) = Double::new(test) else { return };
    fails(&double.checkpoint(&[], &[]), "container does not exist");
    double.bundle.start();
    let failed = double.checkpoint(&[], &[("DOUBLE_FAIL", "no such luck")]);
    fails(&failed, "criu failed: no such luck");
    fails(&failed, "images/dump.log has more:");
    fails(&failed, "(00.2) Error (double.c:1): no such luck");
    let old = [("DOUBLE_VERSION", "31403")];
    fails(&double.checkpoint(&[], &old), "criu 3.14 is installed, 3.15 is needed");
    fails(&double.checkpoint(&["--parent-path", "/x"], &[]), "--parent-path must be relative");
    fails(&double.checkpoint(&["--parent-path", "x"], &[]), "--parent-path: opening x");
    for (option, value) in [
        ("--page-server", "nowhere"),
        ("--page-server", "host:0"),
        ("--manage-cgroups-mode", "hard"),
        ("--network-lock", "none"),
        ("--empty-ns", "pid"),
    ] {
        fails(&double.checkpoint(&[option, value], &[]), &format!("{option}: {value:?} is not"));
    }
    let mut command = double.command(&["checkpoint", double.bundle.id()]);
    let absent = command.env("PATH", "/nowhere").output().unwrap();
    fails(&absent, "need the program criu, which is not on PATH");
    fails(&absent, "install the package criu");
    assert_eq!(double.bundle.status(), "running");
    assert!(double.bundle.runtime(&["pause", double.bundle.id()]).status.success());
    succeeds(&double.checkpoint(&["--leave-running"], &[]));
    let freezer = format!("opts 44 /sys/fs/cgroup/freezer/{}", double.bundle.id());
    if std::path::Path::new("/sys/fs/cgroup/freezer").exists() {
        double.was_asked(&[&freezer]);
    }
}

#[test]
fn criu_settings_come_from_the_administrator_only() {
    let test = "criu_settings_come_from_the_administrator_only";
    let Some(mut double) = Double::new(test) else { return };
    for (file, fine) in [
        ("/etc/criu/mine.conf", true),
        ("", true),
        ("/etc/criu/../x", false),
        ("/tmp/x", false),
        ("/etc/criu/", false),
    ] {
        double.bundle.config["annotations"] = json!({"org.criu.config": file});
        double.bundle.start();
        let output = double.checkpoint(&["--leave-running"], &[]);
        match fine {
            true => succeeds(&output),
            false => fails(&output, "is not a file of /etc/criu"),
        }
        if fine && !file.is_empty() {
            double.was_asked(&[&format!("opts 51 {file}")]);
        }
        let asked = double.asked();
        assert_eq!(asked.iter().any(|line| line.starts_with("opts 51 ")), fine && !file.is_empty());
        succeeds(&double.bundle.runtime(&["delete", "--force", double.bundle.id()]));
    }
}

/// Every option of `restore` that changes what criu is asked.
const RESTORE_OPTIONS: [&str; 18] = [
    "--no-subreaper",
    "--no-pivot",
    "--tcp-established",
    "--tcp-close",
    "--ext-unix-sk",
    "--shell-job",
    "--file-locks",
    "--auto-dedup",
    "--manage-cgroups-mode",
    "ignore",
    "--empty-ns",
    "network",
    "--network-lock",
    "nftables",
    "--lsm-profile",
    "apparmor:x",
    "--lsm-mount-context",
    "y",
];

#[test]
fn restore_asks_for_what_the_options_say() {
    let Some(mut double) = Double::new("restore_asks_for_what_the_options_say") else { return };
    let hooks = double.bundle.path("hooks.log");
    let hook = |name: &str| {
        let script = format!("read state; echo {name} \"$state\" >> {hooks}");
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}])
    };
    double.bundle.config["hooks"] =
        json!({"prestart": hook("prestart"), "createRuntime": hook("createRuntime")});
    double.bundle.start();
    succeeds(&double.checkpoint(&[], &[]));
    let _ = std::fs::remove_file(hooks);
    write(double.bundle.path("images/descriptors.json"), r#"["/dev/null","pipe:[7]","pipe:[8]"]"#)
        .unwrap();
    let (file, id) = (double.bundle.path("pid"), double.bundle.id().to_string());
    succeeds(
        &double.restore(&[&["--detach", "--pid-file", file], &RESTORE_OPTIONS[..]].concat(), &[]),
    );
    let state = double.bundle.path("state");
    double.was_asked(&[
        "type 10",
        "type 2",
        "opts 1 4",
        "opts 17 5",
        "opts 6 1",
        "opts 26 1",
        "opts 10 restore.log",
        &format!("opts 13 {state}/{id}/criu-root"),
        "opts 34 0",
        "opts 5 1",
        "opts 52 1",
        "opts 4 1",
        "opts 7 1",
        "opts 8 1",
        "opts 16 1",
        "opts 64 2",
        "opts 53 apparmor:x",
        "opts 63 y",
        &format!("opts 23 /data {}", double.bundle.path("data")),
        "opts 23 /dev/null /dev/null",
        "opts 27 pipe:[7] 1",
        "opts 27 pipe:[8] 2",
    ]);
    assert_eq!(double.bundle.status(), "running");
    let pid = double.pid();
    assert_eq!(read_to_string(file).unwrap(), pid.to_string());
    let told = read_to_string(hooks).unwrap();
    let names: Vec<&str> = told.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, ["prestart", "createRuntime"]);
    assert!(told.lines().all(|line| line.contains(&format!(r#""pid":{pid}"#))), "{told}");
    let cgroup = read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    // Its directory, or its scope.
    assert!(cgroup.contains(&id), "{cgroup}");
    succeeds(&double.bundle.runtime(&["delete", "--force", &id]));
    assert_eq!(double.bundle.leftovers(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_restored_container_in_the_foreground_hands_on_its_exit_status() {
    let test = "a_restored_container_in_the_foreground_hands_on_its_exit_status";
    let Some(mut double) = Double::new(test) else { return };
    double.bundle.start();
    succeeds(&double.checkpoint(&[], &[]));
    let output = double.restore(&[], &[("DOUBLE_LIFE_MS", "50")]);
    assert_eq!(output.status.code(), Some(7), "{}", stderr(&output));
    assert_eq!(double.bundle.leftovers(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_restored_terminal_goes_to_the_console_socket() {
    let test = "a_restored_terminal_goes_to_the_console_socket";
    let Some(mut double) = Double::new(test) else { return };
    double.bundle.start();
    succeeds(&double.checkpoint(&[], &[]));
    double.bundle.config["process"]["terminal"] = json!(true);
    double.bundle.write();
    let path = double.bundle.path("console.sock");
    let listener = UnixListener::bind(path).unwrap();
    let env = [("DOUBLE_TERMINAL", "yes")];
    succeeds(&double.restore(&["--detach", "--console-socket", path], &env));
    listener.set_nonblocking(true).unwrap();
    let (stream, _) = listener.accept().expect("a connection");
    let socket = sys::BorrowedFd::from_raw(stream.as_raw_fd());
    let (_, fds) = sys::socket::receive(socket, &mut [0; 64]).unwrap();
    assert!(sys::tty::is_terminal(&fds[0]));
    succeeds(&double.bundle.runtime(&["delete", "--force", double.bundle.id()]));
    fails(&double.restore(&["--detach"], &env), "a terminal needs somewhere to go");
}

#[test]
fn a_failed_restore_leaves_nothing() {
    let Some(mut double) = Double::new("a_failed_restore_leaves_nothing") else { return };
    double.bundle.start();
    fails(&double.restore(&[], &[]), "container with given ID already exists");
    assert_eq!(double.bundle.status(), "running");
    succeeds(&double.checkpoint(&[], &[]));
    let nothing = Vec::<std::path::PathBuf>::new();
    let failed = double.restore(&[], &[("DOUBLE_FAIL", "no such luck")]);
    fails(&failed, "criu failed: no such luck");
    fails(&failed, "images/restore.log has more:");
    assert_eq!(double.bundle.leftovers(), nothing);
    let old = [("DOUBLE_VERSION", "31500")];
    fails(&double.restore(&["--lsm-profile", "x"], &old), "criu 3.15 is installed, 3.16");
    std::fs::remove_file(double.bundle.path("images/descriptors.json")).unwrap();
    fails(&double.restore(&[], &[]), "--image-path: reading descriptors.json");
    assert_eq!(double.bundle.leftovers(), nothing);
    std::fs::rename(double.images, double.bundle.path("gone")).unwrap();
    fails(&double.restore(&[], &[]), "--image-path: opening the directory");
    double.bundle.config["hooks"] =
        json!({"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "exit 3"]}]});
    double.bundle.write();
    std::fs::rename(double.bundle.path("gone"), double.images).unwrap();
    write(double.bundle.path("images/descriptors.json"), "[]").unwrap();
    fails(&double.restore(&[], &[]), "error running createRuntime hook #0");
    assert_eq!(double.bundle.leftovers(), nothing);
}

/// A bundle for criu itself; `None`, with a word why, where that does not work.
fn real(test: &str) -> Option<Bundle> {
    let check = Command::new("criu").arg("check").output();
    match check {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let why = stderr(&output);
            let why = why.lines().find(|line| line.contains("Error")).unwrap_or("no reason given");
            skip(test, &format!("criu check fails: {why}"));
            return None;
        }
        Err(error) => {
            skip(test, &format!("needs criu: {error}"));
            return None;
        }
    }
    let mut bundle = Bundle::new(test)?;
    create_dir(bundle.path("rootfs/tmp")).unwrap();
    // The count is in the shell's memory; the file is how one sees it.
    let script = "n=0; while :; do n=$((n+1)); echo $n > /dev/shm/n; busybox usleep 10000; done";
    bundle.args(&["sh", "-c", script]);
    Some(bundle)
}

/// How the machine's control groups are mounted. Mounting them anew changes options of what is there.
fn cgroup_mounts() -> Vec<String> {
    let mounts = read_to_string("/proc/self/mountinfo").unwrap();
    mounts.lines().filter(|line| line.contains(" - cgroup")).map(str::to_owned).collect()
}

/// The container's count, at least `least`.
fn count(bundle: &Bundle, least: u64) -> u64 {
    for _ in 0..6000 {
        let output = bundle.runtime(&["exec", bundle.id(), "cat", "/dev/shm/n"]);
        // Between two writes the file is empty.
        match stdout(&output).trim().parse() {
            Ok(count) if count >= least => return count,
            _ => std::thread::sleep(std::time::Duration::from_millis(20)),
        }
    }
    panic!("the container does not count to {least}");
}

fn checkpoint(bundle: &Bundle, more: &[&str]) {
    let args = ["checkpoint", "--image-path", bundle.path("images"), bundle.id()];
    succeeds(&bundle.runtime(&[&args, more].concat()));
}

fn restore(bundle: &Bundle, more: &[&str]) {
    let dir = bundle.path("");
    let args =
        ["restore", "--detach", "--image-path", bundle.path("images"), "-b", dir, bundle.id()];
    let mut command = bundle.command(&[&args, more].concat());
    let file = std::fs::File::create(bundle.path("stderr")).unwrap();
    let status = command.stdout(Stdio::null()).stderr(file).status().unwrap();
    assert!(status.success(), "{}", read_to_string(bundle.path("stderr")).unwrap());
}

#[test]
fn criu_takes_a_container_away_and_brings_it_back() {
    let Some(mut bundle) = real("criu_takes_a_container_away_and_brings_it_back") else { return };
    create_dir(bundle.path("data")).unwrap();
    bundle.config["mounts"]
        .as_array_mut()
        .unwrap()
        .push(json!({"destination": "/data/in/it", "source": "data", "options": ["bind"]}));
    bundle.config["linux"]["resources"] = json!({"pids": {"limit": 77}});
    bundle.config["root"]["readonly"] = json!(false);
    let mounts = cgroup_mounts();
    bundle.start();
    let id = bundle.id().to_string();
    let before = count(&bundle, 10);
    checkpoint(&bundle, &[]);
    assert_eq!(bundle.leftovers(), Vec::<std::path::PathBuf>::new());
    restore(&bundle, &[]);
    assert_eq!(bundle.status(), "running");
    assert!(count(&bundle, before + 5) < before + 2000, "it goes on where it was");
    let exec = |script: &str| stdout(&bundle.runtime(&["exec", &id, "sh", "-c", script]));
    assert_eq!(exec("echo x > /data/in/it/x; cat /proc/1/comm; busybox hostname"), "sh\ntare\n");
    assert_eq!(read_to_string(bundle.path("data/x")).unwrap(), "x\n");
    assert!(exec("busybox ip link show lo").contains("UP"));
    assert_eq!(exec("cat /proc/timer_list; ls /sys/firmware"), "", "masks are back");
    let limit = format!("/sys/fs/cgroup/pids/{id}/pids.max");
    if let Ok(limit) = read_to_string(limit) {
        assert_eq!(limit, "77\n");
        let members = read_to_string(format!("/sys/fs/cgroup/pids/{id}/cgroup.procs")).unwrap();
        assert!(members.lines().count() > 0);
    }
    // Once more, from what was restored.
    let before = count(&bundle, 1);
    checkpoint(&bundle, &[]);
    restore(&bundle, &[]);
    count(&bundle, before + 5);
    succeeds(&bundle.runtime(&["delete", "--force", &id]));
    assert_eq!(bundle.leftovers(), Vec::<std::path::PathBuf>::new());
    assert_eq!(cgroup_mounts(), mounts);
}

#[test]
fn criu_leaves_a_container_running() {
    let Some(mut bundle) = real("criu_leaves_a_container_running") else { return };
    bundle.start();
    let before = count(&bundle, 1);
    checkpoint(&bundle, &["--leave-running"]);
    count(&bundle, before + 5);
    succeeds(&bundle.runtime(&["delete", "--force", bundle.id()]));
    restore(&bundle, &[]);
    count(&bundle, before);
}

#[test]
fn criu_writes_memory_ahead() {
    let Some(mut bundle) = real("criu_writes_memory_ahead") else { return };
    bundle.start();
    let ahead = bundle.path("ahead");
    let args = ["checkpoint", "--pre-dump", "--image-path", ahead, bundle.id()];
    let output = bundle.runtime(&args);
    if stderr(&output).contains("cannot track changes of memory") {
        return skip("criu_writes_memory_ahead", "the kernel cannot track changes of memory");
    }
    succeeds(&output);
    let before = count(&bundle, 5);
    checkpoint(&bundle, &["--parent-path", "../ahead"]);
    restore(&bundle, &[]);
    count(&bundle, before + 5);
}

#[test]
fn criu_restores_into_the_callers_pipes() {
    let Some(mut bundle) = real("criu_restores_into_the_callers_pipes") else { return };
    bundle.args(&["sh", "-c", "n=0; while :; do n=$((n+1)); echo $n; busybox usleep 10000; done"]);
    bundle.write();
    let (dir, id) = (bundle.path(""), bundle.id().to_string());
    let read = |run: &mut std::process::Child, least: u64| -> u64 {
        use std::io::{BufRead, BufReader};
        let lines = BufReader::new(run.stdout.take().unwrap()).lines();
        lines.map(|line| line.unwrap().parse().unwrap()).find(|count| *count >= least).unwrap()
    };
    let mut command = bundle.command(&["run", "-b", dir, &id]);
    let mut run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The pipe's end here has to stay while the container is written.
    let stdout = run.stdout.take().unwrap();
    while bundle.status() != "running" {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    std::thread::sleep(std::time::Duration::from_millis(200));
    checkpoint(&bundle, &[]);
    drop(stdout);
    run.wait().unwrap();
    let images = bundle.path("images");
    let mut command = bundle.command(&["restore", "--image-path", images, "-b", dir, &id]);
    let mut run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    assert!(read(&mut run, 30) < 2000);
    succeeds(&bundle.runtime(&["kill", &id, "KILL"]));
    // A foreground restore ends as the container does.
    assert_eq!(run.wait().unwrap().code(), Some(137));
    assert_eq!(bundle.leftovers(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn criu_restores_terminals() {
    let Some(mut bundle) = real("criu_restores_terminals") else { return };
    bundle.config["process"]["terminal"] = json!(true);
    bundle.args(&["sh", "-c", "while read line; do echo got $line; done"]).write();
    let (dir, id, path) = (bundle.path(""), bundle.id().to_string(), bundle.path("console.sock"));
    let listener = UnixListener::bind(path).unwrap();
    let receive = || {
        let (stream, _) = listener.accept().expect("a connection");
        let socket = sys::BorrowedFd::from_raw(stream.as_raw_fd());
        sys::socket::receive(socket, &mut [0; 64]).unwrap().1.pop().expect("a terminal")
    };
    let shows = |master: &sys::Fd, word: &str| {
        let mut shown = String::new();
        while !shown.contains(word) {
            let mut fds = [sys::wait::PollFd::new(master, sys::wait::POLLIN)];
            assert_eq!(sys::wait::poll(&mut fds, Some(10_000)), Ok(1), "only {shown:?}");
            let mut buffer = [0u8; 4096];
            let length = sys::fs::read(master, &mut buffer).unwrap();
            shown.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
    };
    let args = ["run", "-d", "--console-socket", path, "-b", dir, &id];
    let mut command = bundle.command(&args);
    assert!(command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    let master = receive();
    sys::fs::write_all(&master, b"one\n").unwrap();
    shows(&master, "got one");
    checkpoint(&bundle, &[]);
    restore(&bundle, &["--console-socket", path]);
    let master = receive();
    sys::fs::write_all(&master, b"two\n").unwrap();
    shows(&master, "got two");
}

#[test]
fn criu_keeps_namespaces_that_are_not_the_containers() {
    let test = "criu_keeps_namespaces_that_are_not_the_containers";
    let Some(mut bundle) = real(test) else { return };
    let mut keeper = Command::new("unshare").args(["-n", "sleep", "100"]).spawn().unwrap();
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    let path = format!("/proc/{}/ns/net", keeper.id());
    while std::fs::read_link(&path).unwrap() == own {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    let network = namespaces.iter_mut().find(|kind| kind["type"] == "network").unwrap();
    network["path"] = json!(path);
    bundle.start();
    let before = count(&bundle, 5);
    checkpoint(&bundle, &[]);
    restore(&bundle, &[]);
    count(&bundle, before + 5);
    let inside = bundle.runtime(&["exec", bundle.id(), "busybox", "readlink", "/proc/1/ns/net"]);
    assert_eq!(stdout(&inside).trim(), std::fs::read_link(&path).unwrap().to_string_lossy());
    keeper.kill().unwrap();
    keeper.wait().unwrap();
}

#[test]
fn criu_restores_containers_with_users_of_their_own() {
    let test = "criu_restores_containers_with_users_of_their_own";
    let Some(mut bundle) = real(test) else { return };
    bundle.give_users();
    bundle.start();
    let before = count(&bundle, 5);
    checkpoint(&bundle, &[]);
    restore(&bundle, &[]);
    count(&bundle, before + 5);
    let map = bundle.runtime(&["exec", bundle.id(), "cat", "/proc/1/uid_map"]);
    assert_eq!(stdout(&map).split_ascii_whitespace().collect::<Vec<_>>(), ["0", "100000", "65536"]);
}
