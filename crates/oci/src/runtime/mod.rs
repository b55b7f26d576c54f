//! The OCI runtime specification, version 1.3, for Linux.
//!
//! Every field is optional when read and `null` means absent, as Go's encoder writes it: what a
//! *valid* configuration needs is decided by the runtime, which can name the field that is
//! missing. Field documentation is in the specification; comments here only add units and traps.

mod linux;
mod process;
mod resources;
mod seccomp;
mod state;

pub use linux::*;
pub use process::*;
pub use resources::*;
pub use seccomp::*;
pub use state::*;

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Deserializer, Serialize};

/// The specification version that this crate implements.
pub const VERSION: &str = "1.3.0";

/// Sorted string map, as annotations and sysctls are.
pub type Map<T = String> = BTreeMap<String, T>;

/// Declares a document struct: every field defaults, reads `null` as absent, and is left out of
/// the output when it has its default value.
macro_rules! document {
    ($( $(#[$meta:meta])* $name:ident { $( $(#[$field_meta:meta])* $field:ident: $type:ty, )* } )*) => { $(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        #[allow(missing_docs, reason = "the runtime specification documents each field")]
        pub struct $name { $(
            $(#[$field_meta])*
            #[serde(deserialize_with = "crate::runtime::null_is_absent",
                    skip_serializing_if = "crate::runtime::is_default")]
            pub $field: $type,
        )* }
    )* };
}
pub(crate) use document;

pub(crate) fn null_is_absent<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

document! {
    /// `config.json`: everything that a container is made from.
    Spec {
        oci_version: String,
        process: Option<Process>,
        root: Option<Root>,
        hostname: String,
        domainname: String,
        mounts: Vec<Mount>,
        hooks: Option<Hooks>,
        annotations: Map,
        linux: Option<Linux>,
        /// Parts for other platforms are only looked at to refuse them.
        vm: Option<serde_json::Value>,
        windows: Option<serde_json::Value>,
        solaris: Option<serde_json::Value>,
        freebsd: Option<serde_json::Value>,
        zos: Option<serde_json::Value>,
    }

    /// The root file system.
    Root {
        path: String,
        readonly: bool,
    }

    /// One mount, made in the order of the list.
    Mount {
        destination: String,
        #[serde(rename = "type")]
        kind: String,
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
        path: String,
        args: Vec<String>,
        env: Vec<String>,
        timeout: Option<i64>,
    }

    /// One range of a user namespace's mapping.
    IdMapping {
        #[serde(rename = "containerID")]
        container_id: u32,
        #[serde(rename = "hostID")]
        host_id: u32,
        size: u32,
    }
}

/// Kinds of namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names are the specification's")]
pub enum NamespaceKind {
    Pid,
    Network,
    Mount,
    Ipc,
    Uts,
    User,
    Cgroup,
    Time,
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

    /// The specification's name of the kind.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pid => "pid",
            Self::Network => "network",
            Self::Mount => "mount",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::User => "user",
            Self::Cgroup => "cgroup",
            Self::Time => "time",
        }
    }

    /// The name of the file in `/proc/PID/ns`.
    pub fn proc_name(self) -> &'static str {
        match self {
            Self::Network => "net",
            Self::Mount => "mnt",
            other => other.name(),
        }
    }
}
