//! `--pidfd-socket` of create, run and exec.

use e2e::{Bundle, stderr};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Stdio;

/// Calls the runtime with `--pidfd-socket` behind the verb; returns the word and the pidfd that
/// came over the socket.
fn receive(bundle: &Bundle, args: &[&str]) -> (String, sys::Fd) {
    let path = bundle.path("pidfd.sock");
    let listener = UnixListener::bind(path).unwrap();
    let args: Vec<&str> = [&[args[0], "--pidfd-socket", path], &args[1..]].concat();
    let mut command = bundle.command(&args);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    assert!(child.wait().unwrap().success(), "{args:?}");
    // The connection was made before the program ended: this cannot wait.
    listener.set_nonblocking(true).unwrap();
    let (stream, _) = listener.accept().expect("a connection");
    let mut word = [0u8; 64];
    let socket = sys::BorrowedFd::from_raw(stream.as_raw_fd());
    let (length, mut fds) = sys::socket::receive(socket, &mut word).unwrap();
    assert_eq!(fds.len(), 1, "{args:?}");
    std::fs::remove_file(path).unwrap();
    (String::from_utf8_lossy(&word[..length]).into_owned(), fds.pop().unwrap())
}

/// The id of the process that a pidfd stands for.
fn pid_of(pidfd: &sys::Fd) -> i32 {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.raw())).unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix("Pid:")).unwrap();
    line.trim().parse().unwrap()
}

fn read_pid(path: &str) -> i32 {
    std::fs::read_to_string(path).unwrap().parse().unwrap()
}

/// Kills the process, and waits until it has ended.
fn kill(pidfd: &sys::Fd) {
    sys::process::signal_pidfd(pidfd, 9).unwrap();
    let mut fds = [sys::wait::PollFd::new(pidfd, sys::wait::POLLIN)];
    sys::wait::poll(&mut fds, Some(5000)).unwrap();
    assert_ne!(fds[0].ready(), 0, "the process does not end");
}

#[test]
fn create_and_run_send_the_pidfd_of_the_first_process() {
    let test = "create_and_run_send_the_pidfd_of_the_first_process";
    let Some(mut bundle) = Bundle::new(test) else { return };
    bundle.args(&["sleep", "100"]).write();
    let (path, id, file) = (bundle.path(""), bundle.id().to_string(), bundle.path("pid"));
    for (verb, more, status) in [("create", None, "created"), ("run", Some("--detach"), "running")]
    {
        let mut args = vec![verb, "--pid-file", file, "--bundle", path, &id];
        args.extend(more);
        let (word, pidfd) = receive(&bundle, &args);
        assert_eq!((word.as_str(), bundle.status().as_str()), ("standard", status));
        assert_eq!(pid_of(&pidfd), read_pid(file), "{verb}");
        kill(&pidfd);
        assert_eq!(bundle.status(), "stopped");
        assert!(bundle.runtime(&["delete", &id]).status.success());
    }
}

#[test]
fn exec_sends_the_pidfd_of_its_own_process() {
    let Some(mut bundle) = Bundle::new("exec_sends_the_pidfd_of_its_own_process") else { return };
    bundle.args(&["sleep", "100"]).start();
    let (id, file) = (bundle.id().to_string(), bundle.path("pid"));
    let args = ["exec", "--detach", "--pid-file", file, &id, "sleep", "100"];
    let (word, pidfd) = receive(&bundle, &args);
    assert_eq!(word, "setns");
    assert_eq!(pid_of(&pidfd), read_pid(file));
    kill(&pidfd);
    assert_eq!(bundle.status(), "running");
}

#[test]
fn without_a_listener_nothing_is_left() {
    let Some(mut bundle) = Bundle::new("without_a_listener_nothing_is_left") else { return };
    bundle.args(&["sleep", "100"]).write();
    let (path, id) = (bundle.path(""), bundle.id().to_string());
    let socket = bundle.path("nobody.sock");
    for verb in ["create", "run"] {
        let output = bundle.runtime(&[verb, "--pidfd-socket", socket, "--bundle", path, &id]);
        assert_eq!(output.status.code(), Some(1));
        let text = stderr(&output);
        assert!(text.contains("--pidfd-socket: connecting to"), "{text}");
        assert_eq!(bundle.leftovers(), Vec::<std::path::PathBuf>::new());
    }
    bundle.start();
    let output = bundle.runtime(&["exec", "--pidfd-socket", socket, &id, "true"]);
    assert_eq!(output.status.code(), Some(255));
    assert!(!Path::new(socket).exists());
}
