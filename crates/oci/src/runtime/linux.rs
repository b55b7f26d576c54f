//! `linux` of `config.json`.

use super::{IdMapping, Map, NamespaceKind, Resources, Seccomp, document};
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

document! {
    /// Linux-specific configuration.
    Linux {
        uid_mappings: Vec<IdMapping>,
        gid_mappings: Vec<IdMapping>,
        sysctl: Map,
        resources: Option<Resources>,
        cgroups_path: String,
        namespaces: Vec<Namespace>,
        devices: Vec<Device>,
        net_devices: Map<NetDevice>,
        seccomp: Option<Seccomp>,
        rootfs_propagation: String,
        masked_paths: Vec<String>,
        readonly_paths: Vec<String>,
        mount_label: String,
        intel_rdt: Option<IntelRdt>,
        memory_policy: Option<MemoryPolicy>,
        personality: Option<Personality>,
        time_offsets: Map<TimeOffset>,
    }

    /// A device node to make in the container. `file_mode` is a number (decimal in JSON).
    Device {
        path: String,
        #[serde(rename = "type")]
        kind: String,
        major: i64,
        minor: i64,
        file_mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
    }

    /// A network device moved into the container, under `name` or its own name.
    NetDevice {
        name: String,
    }

    /// Resource director technology: cache and memory bandwidth (`resctrl`).
    IntelRdt {
        #[serde(rename = "closID")]
        clos_id: String,
        schemata: Vec<String>,
        l3_cache_schema: String,
        mem_bw_schema: String,
        #[serde(rename = "enableCMT")]
        enable_cmt: bool,
        #[serde(rename = "enableMBM")]
        enable_mbm: bool,
        enable_monitoring: bool,
    }

    /// NUMA memory policy: `set_mempolicy(2)`.
    MemoryPolicy {
        mode: String,
        nodes: String,
        flags: Vec<String>,
    }

    /// Execution domain: `personality(2)`.
    Personality {
        domain: String,
        flags: Vec<String>,
    }

    /// Offset of one clock of a new time namespace.
    TimeOffset {
        secs: i64,
        nanosecs: u32,
    }
}

/// A namespace: new, or the existing one at `path`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Namespace {
    /// Which kind.
    #[serde(rename = "type")]
    pub kind: NamespaceKind,
    /// The namespace file to join; `None` and `""` make a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}
