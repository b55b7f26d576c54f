//! `tare run host:PROGRAM`.

use e2e::{is_root, program, skip, stderr, stdout};
use std::process::{Command, Output};

fn tare(args: &[&str]) -> Output {
    Command::new(program("tare")).args(args).output().unwrap()
}

#[test]
fn a_program_of_the_host_runs_with_its_files() {
    if !is_root() {
        return skip("a_program_of_the_host_runs_with_its_files", "needs root");
    }
    let output = tare(&["run", "--rm", "host:/bin/sh", "-c", "echo hello from pid $$"]);
    assert_eq!(stdout(&output), "hello from pid 1\n", "{}", stderr(&output));
    let output = tare(&[
        "run",
        "--rm",
        "--with",
        "cat",
        "-v",
        "/etc:/mnt:ro",
        "-e",
        "A=b",
        "host:sh",
        "-c",
        "cat /mnt/hostname; echo $A; echo x > /mnt/x || exit 3",
    ]);
    let hostname = std::fs::read_to_string("/etc/hostname").unwrap();
    assert_eq!(stdout(&output), format!("{hostname}b\n"), "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn an_ordinary_user_needs_nothing() {
    if !is_root() {
        return skip("an_ordinary_user_needs_nothing", "needs root to become another user");
    }
    // The build directory may be closed to other users.
    let copy = std::env::temp_dir().join(format!("tare-e2e-user-{}", std::process::id()));
    std::fs::copy(program("tare"), &copy).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&copy)
        .args(["run", "--rm", "host:/bin/sh", "-c", "echo hello from pid $$"])
        .env("HOME", "/nonexistent")
        .current_dir("/")
        .output()
        .unwrap();
    std::fs::remove_file(&copy).unwrap();
    assert_eq!(stdout(&output), "hello from pid 1\n", "{}", stderr(&output));
}

#[test]
fn the_default_filter_is_in_force() {
    if !is_root() {
        return skip("the_default_filter_is_in_force", "needs root");
    }
    let state = |options: &[&str]| {
        let script = "while read key value; do case $key in Seccomp:) echo $value;; esac; done < /proc/self/status";
        let output = tare(&[&["run", "--rm"], options, &["host:/bin/sh", "-c", script]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    assert_eq!(state(&[]), "2\n");
    assert_eq!(state(&["--security-opt", "seccomp=unconfined"]), "0\n");
    // What it forbids is refused, not fatal: keyctl is one of the calls that the profile leaves out.
    let script = "import ctypes,os; l=ctypes.CDLL(None,use_errno=True); l.syscall(250,0,0,0); print(ctypes.get_errno())";
    if !std::path::Path::new("/usr/bin/python3").exists() {
        return skip("the_default_filter_is_in_force", "needs python3");
    }
    let call = |options: &[&str]| {
        let program = ["-v", "/usr/lib:/usr/lib:ro", "host:/usr/bin/python3", "-c", script];
        let output = tare(&[&["run", "--rm"], options, &program[..]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    assert_eq!(call(&[]), "1\n");
    assert_ne!(call(&["--security-opt", "seccomp=unconfined"]), "1\n");
}

#[test]
fn exit_codes_are_dockers() {
    let check = |args: &[&str], code: i32, message: &str| {
        let output = tare(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(message), "{args:?}: {}", stderr(&output));
    };
    check(&["run", "--rm", "host:no-such-program"], 127, "not found on PATH");
    check(&["run", "--pull", "never", "nosuch"], 125, "hint: leave --pull=never out");
    check(&["run", "--memroy", "1g", "host:sh"], 125, "a similar argument exists: '--memory'");
    check(&["run", "-m", "much", "host:sh"], 125, "\"much\" is not a size");
    check(&["run", "--name", "a/b", "host:sh"], 125, "Invalid container name");
}

/// `/tmp` and its like are fresh in the container, and still hold what was packed from there.
#[test]
fn a_script_in_a_temporary_directory_runs() {
    if !is_root() {
        return skip("a_script_in_a_temporary_directory_runs", "needs root");
    }
    let script = format!("/tmp/tare-e2e-script-{}", std::process::id());
    std::fs::write(&script, "#!/usr/bin/env sh\necho from $0; echo x > /tmp/new && echo new\n")
        .unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&script, mode).unwrap();
    let output = tare(&["run", "--rm", &format!("host:{script}")]);
    std::fs::remove_file(&script).unwrap();
    assert_eq!(stdout(&output), format!("from {script}\nnew\n"), "{}", stderr(&output));
}
