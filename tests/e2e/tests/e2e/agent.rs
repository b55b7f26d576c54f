//! The seccomp agent: the listener of a filter with SCMP_ACT_NOTIFY goes to its socket.

use e2e::{Bundle, stderr};
use serde_json::{Value, json};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::process::Stdio;

/// What arrives at the agent's socket: the document, and what the descriptor is.
fn receive(agent: &UnixListener) -> (Value, String) {
    let mut fds =
        [sys::wait::PollFd::new(sys::BorrowedFd::from_raw(agent.as_raw_fd()), sys::wait::POLLIN)];
    assert_eq!(sys::wait::poll(&mut fds, Some(10_000)), Ok(1), "nobody connects");
    let (stream, _) = agent.accept().expect("a connection");
    let mut text = vec![0u8; 65536];
    let socket = sys::BorrowedFd::from_raw(stream.as_raw_fd());
    let (length, fds) = sys::socket::receive(socket, &mut text).unwrap();
    assert_eq!(fds.len(), 1);
    let link = std::fs::read_link(format!("/proc/self/fd/{}", fds[0].raw())).unwrap();
    let value = serde_json::from_slice(&text[..length]).expect("a document");
    (value, link.to_string_lossy().into_owned())
}

#[test]
fn the_agent_gets_the_listener_from_create_run_and_exec() {
    let test = "the_agent_gets_the_listener_from_create_run_and_exec";
    let Some(mut bundle) = Bundle::new(test) else { return };
    let path = bundle.path("agent.sock");
    let agent = UnixListener::bind(path).unwrap();
    bundle.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": path,
        "listenerMetadata": "meta",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}]
    });
    bundle.args(&["sleep", "100"]);
    let id = bundle.id().to_string();
    let dir = bundle.path("");
    for no_new_privileges in [true, false] {
        bundle.config["process"]["noNewPrivileges"] = json!(no_new_privileges);
        bundle.write();
        for verb in ["create", "run"] {
            let mut command = bundle.command(&[verb, "--bundle", dir, &id]);
            if verb == "run" {
                command.arg("--detach");
            }
            let mut child =
                command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starting");
            let (document, link) = receive(&agent);
            assert_eq!(link, "anon_inode:seccomp notify");
            assert_eq!(document["metadata"], "meta");
            assert_eq!(document["fds"], json!(["seccompFd"]));
            assert_eq!(document["state"]["id"], json!(id));
            assert!(child.wait().unwrap().success());
            if verb == "create" {
                let start = bundle.runtime(&["start", &id]);
                assert!(start.status.success(), "{}", stderr(&start));
                let mut exec = bundle.command(&["exec", &id, "true"]).spawn().expect("starting");
                let (document, link) = receive(&agent);
                assert_eq!(link, "anon_inode:seccomp notify");
                assert_eq!(document["metadata"], "meta");
                assert!(exec.wait().unwrap().success());
            }
            assert_eq!(bundle.status(), "running");
            assert!(bundle.runtime(&["delete", "--force", &id]).status.success());
        }
    }
}
