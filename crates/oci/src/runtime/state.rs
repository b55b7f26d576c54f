//! What a runtime reports: a container's state.

use super::Map;
use crate::{document, names};
use alloc::string::String;

document! {
    /// State of a container as hooks and agents receive it on standard input.
    State {
        oci_version: String => always,
        id: String => always,
        status: Status => always,
        pid: i32,
        bundle: String => always,
        annotations: Map,
    }
}

names! {
    /// Where a container is in its life.
    Status, default Creating {
        /// Its parts are being made.
        Creating = "creating",
        /// Everything is made; the user's program has not started.
        Created = "created",
        /// The user's program runs.
        Running = "running",
        /// Frozen by its cgroup. (Not in the specification; runc's name.)
        Paused = "paused",
        /// Its process has ended.
        Stopped = "stopped",
    }
}
