//! `linux` of `config.json`.

use super::{IdMapping, Map, NamespaceKind, Resources, Seccomp};
use crate::document;
use alloc::string::String;
use alloc::vec::Vec;

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

    /// A namespace: new, or the existing one at `path`; `None` and `""` make a new one.
    Namespace {
        kind as "type": NamespaceKind => required,
        path: Option<String>,
    }

    /// A device node to make in the container. `file_mode` is a number (decimal in JSON).
    Device {
        path: String => always,
        kind as "type": String => always,
        major: i64 => always,
        minor: i64 => always,
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
        clos_id as "closID": String,
        schemata: Vec<String>,
        l3_cache_schema: String,
        mem_bw_schema: String,
        enable_cmt as "enableCMT": bool,
        enable_mbm as "enableMBM": bool,
        enable_monitoring: bool,
    }

    /// NUMA memory policy: `set_mempolicy(2)`.
    MemoryPolicy {
        mode: String => always,
        nodes: String => always,
        flags: Vec<String>,
    }

    /// Execution domain: `personality(2)`.
    Personality {
        domain: String => always,
        flags: Vec<String>,
    }

    /// Offset of one clock of a new time namespace.
    TimeOffset {
        secs: i64,
        nanosecs: u32,
    }
}
