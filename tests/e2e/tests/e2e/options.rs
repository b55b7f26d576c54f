//! What the options of create, run, start and exec do.

use e2e::{Bundle, skip, stderr, stdout};
use serde_json::json;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use sys::wait::{POLLIN, PollFd};
use sys::{BorrowedFd, Fd, fs, tty};

/// A loaded machine takes its time; what hangs is still found.
const DEADLINE_MS: u64 = 120_000;

/// Calls the runtime without descriptors that would keep a pipe open.
fn quiet(bundle: &Bundle, args: &[&str]) {
    let mut command = bundle.command(args);
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(status.success(), "{args:?}");
}

/// Reads a terminal until what it shows contains `word`.
fn shows(master: &Fd, word: &str) {
    let mut shown = String::new();
    while !shown.contains(word) {
        let mut fds = [PollFd::new(master, POLLIN)];
        assert_eq!(sys::wait::poll(&mut fds, Some(DEADLINE_MS)), Ok(1), "only {shown:?}");
        let mut buffer = [0u8; 4096];
        let length = fs::read(master, &mut buffer).unwrap_or(0);
        assert_ne!(length, 0, "only {shown:?}");
        shown.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
}

/// The terminal that a runtime has sent to a console socket.
fn receive(listener: &UnixListener) -> Fd {
    let (stream, _) = listener.accept().expect("a connection");
    let mut name = [0u8; 64];
    let socket = BorrowedFd::from_raw(stream.as_raw_fd());
    let (length, mut fds) = sys::socket::receive(socket, &mut name).unwrap();
    assert_eq!(&name[..length], b"/dev/ptmx");
    fds.pop().expect("a terminal")
}

/// A terminal of the host's: its outer end, and the path of the inner one.
fn terminal() -> (Fd, String) {
    let master = fs::open_at(sys::CWD, "/dev/ptmx", fs::O_RDWR | fs::O_NOCTTY, 0).unwrap();
    tty::unlock(&master).unwrap();
    let path = format!("/dev/pts/{}", tty::number(&master).unwrap());
    (master, path)
}

/// Says that it has a terminal, and that this is the controlling one.
const ON_TERMINAL: &str = "test -t 0 && test -t 2 && echo controlling > /dev/tty; sleep 100";

#[test]
fn terminals_go_to_the_console_socket() {
    let Some(mut bundle) = Bundle::new("terminals_go_to_the_console_socket") else { return };
    let path = bundle.path("console.sock");
    let listener = UnixListener::bind(path).unwrap();
    bundle.config["process"]["terminal"] = json!(true);
    bundle.args(&["sh", "-c", ON_TERMINAL]).write();
    let (dir, id) = (bundle.path(""), bundle.id().to_string());
    quiet(&bundle, &["create", "--console-socket", path, "-b", dir, &id]);
    let master = receive(&listener);
    quiet(&bundle, &["start", &id]);
    shows(&master, "controlling");
    quiet(&bundle, &["exec", "-d", "-t", "--console-socket", path, &id, "sh", "-c", ON_TERMINAL]);
    shows(&receive(&listener), "controlling");
    quiet(&bundle, &["delete", "--force", &id]);
    quiet(&bundle, &["run", "-d", "--console-socket", path, "-b", dir, &id]);
    shows(&receive(&listener), "controlling");
}

#[test]
fn create_takes_a_terminal_of_the_host() {
    let Some(mut bundle) = Bundle::new("create_takes_a_terminal_of_the_host") else { return };
    bundle.args(&["sh", "-c", ON_TERMINAL]).write();
    let (dir, id) = (bundle.path(""), bundle.id().to_string());
    for terminal_wanted in [false, true] {
        bundle.config["process"]["terminal"] = json!(terminal_wanted);
        bundle.write();
        for more in [None, Some("--no-trigger")] {
            let (master, path) = terminal();
            let mut args = vec!["create", "-c", &path, "-b", dir, &id];
            args.extend(more);
            quiet(&bundle, &args);
            quiet(&bundle, &["start", &id]);
            shows(&master, "controlling");
            quiet(&bundle, &["delete", "--force", &id]);
        }
    }
    let output = bundle.runtime(&["create", "--console", "/dev/null", "-b", dir, &id]);
    assert!(stderr(&output).contains("--console: /dev/null is not a terminal"));
}

#[test]
fn without_a_trigger_start_makes_the_process() {
    let test = "without_a_trigger_start_makes_the_process";
    let Some(mut bundle) = Bundle::new(test) else { return };
    let script = "read x < /proc/1/comm; echo $x $PPID; (busybox sleep 0.1; exit 1) & exit 3";
    bundle.args(&["sh", "-c", script]).write();
    let (dir, id) = (bundle.path(""), bundle.id().to_string());
    quiet(&bundle, &["create", "--no-trigger", "-b", dir, &id]);
    assert_eq!(bundle.status(), "created");
    let start = bundle.runtime(&["start", &id]);
    // What the process says comes out of start, and its parent is the container's first process.
    assert_eq!(stdout(&start), "tare-init 1\n", "{}", stderr(&start));
    for _ in 0..6000 {
        if bundle.status() == "stopped" {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(bundle.status(), "stopped", "the first process ends with the last one");
    quiet(&bundle, &["delete", &id]);

    bundle.config["linux"]["personality"] = json!({"domain": "LINUX32"});
    bundle.args(&["busybox", "uname", "-m"]).write();
    quiet(&bundle, &["create", "-t", "-b", dir, &id]);
    let start = bundle.runtime(&["start", &id]);
    assert_eq!(
        stdout(&start),
        "i686
",
        "{}",
        stderr(&start)
    );
}

#[test]
fn railcars_words_stand_for_runcs() {
    let Some(mut bundle) = Bundle::new("railcars_words_stand_for_runcs") else { return };
    bundle.args(&["sleep", "100"]).write();
    let (dir, id, pid) = (bundle.path(""), bundle.id().to_string(), bundle.path("pid"));
    let mut command = Command::new(e2e::program("tare-runtime"));
    command.args(["-d", "-r", bundle.path("state"), "run", "--init", "-n", "-p", pid, "-b", dir]);
    let status = command.arg(&id).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(status.status().unwrap().success());
    assert_eq!(bundle.status(), "running");
    assert!(std::fs::read_to_string(pid).unwrap().parse::<i32>().is_ok());
    let first = bundle.runtime(&["exec", &id, "cat", "/proc/1/comm"]);
    assert_eq!(stdout(&first), "sleep\n", "--no-init has the last word");
    let all: Vec<i32> = serde_json::from_slice(&bundle.runtime(&["ps", "-f", "json", &id]).stdout)
        .expect("a list of ids");
    assert_eq!(all.len(), 1);
    quiet(&bundle, &["kill", "-a", &id, "KILL"]);
}

#[test]
fn another_configuration_file_is_read() {
    let Some(mut bundle) = Bundle::new("another_configuration_file_is_read") else { return };
    bundle.args(&["echo", "other"]).write();
    std::fs::rename(bundle.path("config.json"), bundle.path("other.json")).unwrap();
    let (dir, id) = (bundle.path(""), bundle.id().to_string());
    let output = bundle.runtime(&["run", "--config", "other.json", "-b", dir, &id]);
    assert_eq!(stdout(&output), "other\n", "{}", stderr(&output));
    let missing = bundle.runtime(&["run", "-b", dir, &id]);
    assert!(stderr(&missing).contains("opening config.json"), "{}", stderr(&missing));
    let written = bundle.runtime(&["spec", "-f", "spec.json", "-b", dir]);
    assert!(written.status.success(), "{}", stderr(&written));
    assert!(bundle.runtime(&["spec", "-f", "spec.json", "-b", dir]).status.code() == Some(1));
    assert!(std::fs::read_to_string(bundle.path("spec.json")).unwrap().contains("ociVersion"));
}

#[test]
fn descriptors_are_preserved_when_asked_for() {
    let Some(mut bundle) = Bundle::new("descriptors_are_preserved_when_asked_for") else { return };
    let file = bundle.path("file");
    std::fs::write(file, "kept\n").unwrap();
    bundle.args(&["sh", "-c", "cat <&3; exec sleep 100 >&- 2>&-"]).write();
    let (dir, id, state) = (bundle.path(""), bundle.id().to_string(), bundle.path("state"));
    let runtime = e2e::program("tare-runtime");
    let call = |args: &str| {
        let script = format!("{} --root {state} {args}", runtime.display());
        Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).output().unwrap()
    };
    let output = call(&format!("run -d --preserve-fds 1 -b {dir} {id} 3<{file}"));
    assert_eq!(stdout(&output), "kept\n", "{}", stderr(&output));
    let output = call(&format!("exec --preserve-fds=1 {id} sh -c 'cat <&3' 3<{file}"));
    assert_eq!(stdout(&output), "kept\n", "{}", stderr(&output));
    let output = call(&format!("exec {id} sh -c 'cat <&3' 3<{file}"));
    assert_eq!(stdout(&output), "");
    let output = call(&format!("exec --preserve-fds 1 {id} true 3<&-"));
    assert!(output.status.success());
    assert!(stderr(&output).contains("warning: --preserve-fds: descriptor 3 is not open"));
}

#[test]
fn the_root_may_be_moved_instead_of_pivoted() {
    let Some(mut bundle) = Bundle::new("the_root_may_be_moved_instead_of_pivoted") else { return };
    bundle.args(&["sh", "-c", "cd /; ls -d bin; cat /proc/1/mounts | grep -c ' / '"]).write();
    let (dir, id) = (bundle.path(""), bundle.id().to_string());
    let output = bundle.runtime(&["run", "--no-pivot", "-b", dir, &id]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).starts_with("bin\n"), "{}", stdout(&output));
}

#[test]
fn the_session_keyring_is_new_unless_told_otherwise() {
    let test = "the_session_keyring_is_new_unless_told_otherwise";
    let Some(mut bundle) = Bundle::new(test) else { return };
    bundle.config["linux"]["maskedPaths"] = json!([]);
    bundle.args(&["cat", "/proc/keys"]).write();
    let (dir, id) = (bundle.path(""), bundle.id().to_string());
    let keys = |more: &[&str]| {
        let output = bundle.runtime(&[&["run", "-b", dir, &id], more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output).contains(&format!("_ses.{id}"))
    };
    if !std::path::Path::new("/proc/keys").exists() {
        return skip(test, "the kernel has no keyrings");
    }
    // In this order: keys stay in sight for a while.
    assert!(!keys(&["--no-new-keyring"]));
    assert!(keys(&[]));
}

#[test]
fn run_keeps_the_container_when_asked_to() {
    let Some(mut bundle) = Bundle::new("run_keeps_the_container_when_asked_to") else { return };
    bundle.args(&["sh", "-c", "exit 4"]).write();
    let (dir, id) = (bundle.path(""), bundle.id().to_string());
    let output = bundle.runtime(&["run", "--keep", "--no-subreaper", "--bundle", dir, &id]);
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(bundle.status(), "stopped");
    quiet(&bundle, &["delete", &id]);
    assert_eq!(bundle.leftovers(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn exec_changes_the_process_by_option() {
    let Some(mut bundle) = Bundle::new("exec_changes_the_process_by_option") else { return };
    bundle.args(&["sleep", "100"]).start();
    let id = bundle.id().to_string();
    let exec = |options: &[&str], program: &[&str]| {
        let output = bundle.runtime(&[&["exec"], options, &[&id], program].concat());
        assert!(output.status.success(), "{options:?}: {}", stderr(&output));
        stdout(&output)
    };
    let who = exec(&["-u", "1000:1001", "-g", "7", "--additional-gids", "8"], &["id"]);
    assert_eq!(who, "uid=1000 gid=1001 groups=7,8\n");
    let status = |options: &[&str], field: &str| {
        let line = exec(options, &["grep", field, "/proc/self/status"]);
        line.split_ascii_whitespace().nth(1).unwrap_or("").to_string()
    };
    const NET_RAW: u64 = 1 << 13;
    let capabilities = |options: &[&str]| u64::from_str_radix(&status(options, "CapEff"), 16);
    assert_eq!(capabilities(&[]).unwrap() & NET_RAW, 0);
    assert_eq!(capabilities(&["-c", "CAP_NET_RAW"]).unwrap() & NET_RAW, NET_RAW);
    assert_eq!(status(&["--no-new-privs"], "NoNewPrivs"), "1");
    assert_eq!(status(&["--no-new-privs=false"], "NoNewPrivs"), "0");
    assert_eq!(
        exec(&["--cwd", "/bin", "-e", "A=1", "--env=B=2"], &["sh", "-c", "echo $PWD$A$B"]),
        "/bin12\n"
    );

    let process = json!({
        "args": ["sh", "-c", "echo $FROM $(busybox pwd)"],
        "cwd": "/proc", "user": {"uid": 0, "gid": 0},
        "env": ["PATH=/bin", "FROM=file"]
    });
    std::fs::write(bundle.path("process.json"), process.to_string()).unwrap();
    for option in ["--process", "-p"] {
        assert_eq!(exec(&[option, bundle.path("process.json")], &[]), "file /proc\n");
    }
    std::fs::write(bundle.path("bad.json"), r#"{"args": ["sh"], "cwd": "x"}"#).unwrap();
    let bad = bundle.runtime(&["exec", "-p", bundle.path("bad.json"), &id]);
    assert!(stderr(&bad).contains("process.cwd"), "{}", stderr(&bad));
    assert_eq!(bad.status.code(), Some(255));
}

#[test]
fn exec_joins_a_cgroup_below_the_containers() {
    let Some(mut bundle) = Bundle::new("exec_joins_a_cgroup_below_the_containers") else { return };
    bundle.args(&["sleep", "100"]).start();
    let id = bundle.id().to_string();
    // On v2 there is one hierarchy, and it has no name.
    let (controller, dir) = match bundle.cgroup() {
        Some(dir) => ("", dir),
        None => ("pids:", format!("/sys/fs/cgroup/pids/{id}").into()),
    };
    let sub = dir.join("sub");
    std::fs::create_dir(&sub).unwrap();
    let exec = |name: &str, args: &[&str]| {
        let place = format!("{controller}{name}");
        bundle.runtime(&[&["exec", "--cgroup", &place, &id], args].concat())
    };
    let output = exec("sub", &["cat", "/proc/self/cgroup"]);
    let text = stdout(&output);
    let line = text.lines().find(|line| line.contains(&format!(":{controller}")));
    assert!(line.is_some_and(|line| line.ends_with("/sub")), "{text}{}", stderr(&output));
    let missing = exec("nowhere", &["true"]);
    assert_eq!(missing.status.code(), Some(255), "{}", stderr(&missing));
    std::fs::remove_dir(sub).unwrap();
}

#[test]
fn exec_goes_on_in_a_frozen_container_when_asked_to() {
    let test = "exec_goes_on_in_a_frozen_container_when_asked_to";
    let Some(mut bundle) = Bundle::new(test) else { return };
    bundle.args(&["sleep", "100"]).start();
    let id = bundle.id().to_string();
    quiet(&bundle, &["pause", &id]);
    let refused = bundle.runtime(&["exec", &id, "true"]);
    assert!(stderr(&refused).contains("--ignore-paused"), "{}", stderr(&refused));
    let mut command = bundle.command(&["exec", "--ignore-paused", &id, "sh", "-c", "exit 6"]);
    let mut exec = command.spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(exec.try_wait().unwrap(), None, "it is frozen, too");
    quiet(&bundle, &["resume", &id]);
    assert_eq!(exec.wait().unwrap().code(), Some(6));
}

#[test]
fn labels_are_set_or_refused() {
    let Some(mut bundle) = Bundle::new("labels_are_set_or_refused") else { return };
    bundle.args(&["sleep", "100"]).start();
    let id = bundle.id().to_string();
    for (option, module, field) in [
        ("--apparmor", "AppArmor", "process.apparmorProfile: \"x\""),
        ("--process-label", "SELinux", "process.selinuxLabel: \"x\""),
    ] {
        let output = bundle.runtime(&["exec", option, "x", &id, "true"]);
        assert_eq!(output.status.code(), Some(255), "{option}");
        // Where the module is there, it has no such profile or label, and the field is named.
        let text = stderr(&output);
        assert!(text.contains(module) || text.contains(field), "{option}: {text}");
    }
}

#[test]
fn messages_go_to_the_log_in_either_form() {
    let Some(bundle) = Bundle::new("messages_go_to_the_log_in_either_form") else { return };
    let log = bundle.path("log");
    let call = |more: &[&str]| {
        let _ = std::fs::remove_file(log);
        let args = [&["--log", log, "--debug"], more, &["state", "nobody"]].concat();
        assert_eq!(bundle.command(&args).output().unwrap().status.code(), Some(1));
        std::fs::read_to_string(log).unwrap()
    };
    let text = call(&[]);
    assert!(text.contains("level=error msg=\"container nobody:"), "{text}");
    assert!(text.contains("level=debug"), "{text}");
    let text = call(&["--log-format", "json"]);
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["level"], "error");
    assert!(last["msg"].as_str().unwrap().starts_with("container nobody:"));
}
