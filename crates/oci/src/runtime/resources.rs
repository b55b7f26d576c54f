//! `linux.resources`: cgroup limits.

use super::Map;
use crate::document;
use alloc::string::String;
use alloc::vec::Vec;

document! {
    /// Limits of a container's cgroup; also the document that `update --resources` reads.
    Resources {
        devices: Vec<DeviceRule>,
        memory: Option<Memory>,
        cpu: Option<Cpu>,
        pids: Option<Pids>,
        block_io as "blockIO": Option<BlockIo>,
        hugepage_limits: Vec<HugepageLimit>,
        network: Option<Network>,
        rdma: Map<Rdma>,
        unified: Map,
    }

    /// One rule of the device cgroup; absent numbers match every device.
    DeviceRule {
        allow: bool => always,
        kind as "type": String,
        major: Option<i64>,
        minor: Option<i64>,
        access: String,
    }

    /// Sizes in bytes; -1 is "no limit".
    Memory {
        limit: Option<i64>,
        reservation: Option<i64>,
        swap: Option<i64>,
        kernel: Option<i64>,
        kernel_tcp as "kernelTCP": Option<i64>,
        swappiness: Option<u64>,
        disable_oom_killer as "disableOOMKiller": Option<bool>,
        use_hierarchy: Option<bool>,
        check_before_update: Option<bool>,
    }

    /// Times in microseconds.
    Cpu {
        shares: Option<u64>,
        quota: Option<i64>,
        burst: Option<u64>,
        period: Option<u64>,
        realtime_runtime: Option<i64>,
        realtime_period: Option<u64>,
        cpus: String,
        mems: String,
        idle: Option<i64>,
    }

    /// Process limit: absent is no change, -1 is "max".
    Pids {
        limit: Option<i64>,
    }

    /// Block devices: weights 10-1000, rates in bytes or operations a second.
    BlockIo {
        weight: Option<u16>,
        leaf_weight: Option<u16>,
        weight_device: Vec<WeightDevice>,
        throttle_read_bps_device: Vec<ThrottleDevice>,
        throttle_write_bps_device: Vec<ThrottleDevice>,
        throttle_read_iops_device as "throttleReadIOPSDevice": Vec<ThrottleDevice>,
        throttle_write_iops_device as "throttleWriteIOPSDevice": Vec<ThrottleDevice>,
    }

    /// Weight of one block device.
    WeightDevice {
        major: i64 => always,
        minor: i64 => always,
        weight: Option<u16>,
        leaf_weight: Option<u16>,
    }

    /// Rate of one block device.
    ThrottleDevice {
        major: i64 => always,
        minor: i64 => always,
        rate: u64 => always,
    }

    /// Bytes of huge pages of one size (`2MB`).
    HugepageLimit {
        page_size: String => always,
        limit: u64 => always,
    }

    /// `net_cls` and `net_prio` (cgroup v1).
    Network {
        class_id as "classID": Option<u32>,
        priorities: Vec<InterfacePriority>,
    }

    /// Priority of one interface.
    InterfacePriority {
        name: String => always,
        priority: u32 => always,
    }

    /// RDMA resources of one device.
    Rdma {
        hca_handles: Option<u32>,
        hca_objects: Option<u32>,
    }
}
