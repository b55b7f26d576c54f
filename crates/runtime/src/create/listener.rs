//! Handing a filter's listener to the seccomp agent.

use crate::error::{Attempt, Error, Result};
use crate::state::Record;
use alloc::string::String;
use oci::runtime::{ContainerProcessState, Status};
use sys::process::{self, Child};
use sys::socket;

/// Fetches descriptor `number` of the init and sends it to the agent with the container's state.
pub(crate) fn forward(record: &Record, child: &Child, number: i32) -> Result<()> {
    let listener = process::descriptor_of(&child.pidfd, number)
        .attempt(|| "fetching the seccomp listener from the container's init")?;
    let path = &record.listener_path;
    if path.is_empty() {
        return Err(Error::invalid("linux.seccomp.listenerPath: is missing"));
    }
    let attempt = || {
        alloc::format!("linux.seccomp.listenerPath: failed to connect with seccomp agent at {path}")
    };
    let agent = socket::unix(socket::Kind::Stream).attempt(attempt)?;
    socket::connect(&agent, path).attempt(attempt)?;
    let message = ContainerProcessState {
        oci_version: String::from(oci::runtime::VERSION),
        fds: alloc::vec![String::from("seccompFd")],
        pid: child.pid,
        metadata: record.listener_metadata.clone(),
        state: record.state(Status::Creating),
    };
    let text = oci::json::write(&message);
    socket::send(&agent, text.as_bytes(), &[listener.raw()])
        .map(drop)
        .attempt(|| "sending the listener to the seccomp agent")
}
