//! The OCI runtime specification, version 1.3, for Linux.
//!
//! Every field is optional when read and `null` means absent, as Go's encoder writes it: what a
//! *valid* configuration needs is decided by the runtime, which can name the field that is
//! missing. Field documentation is in the specification; comments here only add units and traps.

mod features;
mod linux;
mod process;
mod resources;
mod seccomp;
mod state;

pub use crate::map::Map;
pub use features::*;
pub use linux::*;
pub use process::*;
pub use resources::*;
pub use seccomp::*;
pub use state::*;

use crate::json::Raw;
use crate::{document, names};
use alloc::string::String;
use alloc::vec::Vec;

/// The specification version that this crate implements.
pub const VERSION: &str = "1.3.0";

document! {
    /// `config.json`: everything that a container is made from.
    Spec {
        oci_version: String => always,
        process: Option<Process>,
        root: Option<Root>,
        hostname: String,
        domainname: String,
        mounts: Vec<Mount>,
        hooks: Option<Hooks>,
        annotations: Map,
        linux: Option<Linux>,
        /// Parts for other platforms are only looked at to refuse them.
        vm: Option<Raw>,
        windows: Option<Raw>,
        solaris: Option<Raw>,
        freebsd: Option<Raw>,
        zos: Option<Raw>,
    }

    /// The root file system.
    Root {
        path: String => always,
        readonly: bool,
    }

    /// One mount, made in the order of the list.
    Mount {
        destination: String => always,
        kind as "type": String,
        source: String,
        options: Vec<String>,
        uid_mappings: Vec<IdMapping>,
        gid_mappings: Vec<IdMapping>,
    }

    /// Programs called at six points of a container's life.
    Hooks {
        prestart: Vec<Hook>,
        create_runtime: Vec<Hook>,
        create_container: Vec<Hook>,
        start_container: Vec<Hook>,
        poststart: Vec<Hook>,
        poststop: Vec<Hook>,
    }

    /// One hook. `args[0]` is the program's name, `timeout` counts seconds.
    Hook {
        path: String => always,
        args: Vec<String>,
        env: Vec<String>,
        timeout: Option<i64>,
    }

    /// One range of a user namespace's mapping.
    IdMapping {
        container_id as "containerID": u32 => always,
        host_id as "hostID": u32 => always,
        size: u32 => always,
    }
}

names! {
    /// Kinds of namespace.
    NamespaceKind, default Pid {
        Pid = "pid",
        Network = "network",
        Mount = "mount",
        Ipc = "ipc",
        Uts = "uts",
        User = "user",
        Cgroup = "cgroup",
        Time = "time",
    }
}

impl NamespaceKind {
    /// Every kind, in the order in which a process has to join existing ones: the user namespace
    /// first because it grants the right to join the others, the mount namespace last because
    /// paths change their meaning with it.
    pub const ALL: [Self; 8] = [
        Self::User,
        Self::Pid,
        Self::Ipc,
        Self::Uts,
        Self::Network,
        Self::Cgroup,
        Self::Time,
        Self::Mount,
    ];

    /// The name of the file in `/proc/PID/ns`.
    pub fn proc_name(self) -> &'static str {
        match self {
            Self::Network => "net",
            Self::Mount => "mnt",
            other => other.name(),
        }
    }
}
