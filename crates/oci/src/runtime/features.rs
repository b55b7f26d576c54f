//! What a runtime announces: the `features` document. Lists are in the order that the writer
//! gives them; switches that are `None` are unknown.

use super::{Action, Arch, FilterFlag, Map, NamespaceKind, Operator};
use crate::document;
use alloc::string::String;
use alloc::vec::Vec;

document! {
    /// What a runtime can do.
    Features {
        oci_version_min: String => always,
        oci_version_max: String => always,
        hooks: Vec<String>,
        mount_options: Vec<String>,
        linux: Option<LinuxFeatures>,
        annotations: Map,
        potentially_unsafe_config_annotations: Vec<String>,
    }

    /// What it can do on Linux.
    LinuxFeatures {
        namespaces: Vec<NamespaceKind>,
        capabilities: Vec<String>,
        cgroup: Option<CgroupFeatures>,
        seccomp: Option<SeccompFeatures>,
        apparmor: Option<Switch>,
        selinux: Option<Switch>,
        intel_rdt: Option<RdtFeatures>,
        memory_policy: Option<MemoryPolicyFeatures>,
        mount_extensions: Option<MountExtensions>,
        net_devices: Option<Switch>,
    }

    /// Something that is there or not.
    Switch {
        enabled: Option<bool>,
    }

    /// Control groups.
    CgroupFeatures {
        v1: Option<bool>,
        v2: Option<bool>,
        systemd: Option<bool>,
        systemd_user: Option<bool>,
        rdma: Option<bool>,
    }

    /// System call filters.
    SeccompFeatures {
        enabled: Option<bool>,
        actions: Vec<Action>,
        operators: Vec<Operator>,
        archs: Vec<Arch>,
        known_flags: Vec<FilterFlag>,
        supported_flags: Vec<FilterFlag>,
    }

    /// Resource director technology.
    RdtFeatures {
        enabled: Option<bool>,
        schemata: Option<bool>,
        monitoring: Option<bool>,
    }

    /// NUMA memory policies.
    MemoryPolicyFeatures {
        modes: Vec<String>,
        flags: Vec<String>,
    }

    /// Mounts beyond the ordinary.
    MountExtensions {
        idmap: Option<Switch>,
    }
}
