//! What a runtime reports: a container's state.

use super::{Map, document};
use alloc::string::String;
use serde::{Deserialize, Serialize};

document! {
    /// State of a container as hooks and agents receive it on standard input.
    State {
        oci_version: String,
        id: String,
        status: Status,
        pid: i32,
        bundle: String,
        annotations: Map,
    }
}

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Its parts are being made.
    #[default]
    Creating,
    /// Everything is made; the user's program has not started.
    Created,
    /// The user's program runs.
    Running,
    /// Frozen by its cgroup. (Not in the specification; runc's name.)
    Paused,
    /// Its process has ended.
    Stopped,
}

impl Status {
    /// The name that the state's JSON carries.
    pub fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}
