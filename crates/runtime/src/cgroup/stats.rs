//! What a container uses, in the shape that `runc events` prints (runc's `types/events.go`):
//! field names, their order, and which are left out when they are zero.

use super::layout::Version;
use super::plan::Plan;
use super::{stats_v1, stats_v2};
use crate::error::Result;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Serialize, Serializer};

/// One line of `events`.
#[derive(Debug, Serialize)]
pub struct Event<'a> {
    /// `stats` or `oom`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The container's id.
    pub id: &'a str,
    /// The statistics of a `stats` event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Stats>,
}

/// Declares a struct of the document: fields with `+` are always written, the others only when
/// they are not zero or empty.
macro_rules! shape {
    ($( $(#[$meta:meta])* $name:ident {
        $( $(#[$field_meta:meta])* $field:ident: $type:ty, )* $(+ $always:ident: $always_type:ty,)*
    } )*) => { $(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize)]
        #[allow(missing_docs, reason = "the fields are those of runc's document")]
        pub struct $name {
            $( $(#[$field_meta])* #[serde(skip_serializing_if = "is_default")] pub $field: $type, )*
            $( pub $always: $always_type, )*
        }
    )* };
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the fields are those of runc's document")]
pub struct Stats {
    pub cpu: CpuStats,
    pub cpuset: CpusetStats,
    pub memory: MemoryStats,
    pub pids: PidsStats,
    pub blkio: BlkioStats,
    pub hugetlb: BTreeMap<String, HugetlbStats>,
    /// Filled by who knows resctrl.
    pub intel_rdt: serde_json::Map<String, serde_json::Value>,
    /// runc counts veth devices that nothing configures any more: always null.
    pub network_interfaces: Option<()>,
}

shape! {
    /// Processor time in nanoseconds.
    CpuUsage {
        total: u64,
        percpu: Vec<u64>,
        percpu_kernel: Vec<u64>,
        percpu_user: Vec<u64>,
        + kernel: u64,
        + user: u64,
    }

    /// How often the quota stopped the container; time in nanoseconds.
    Throttling {
        periods: u64,
        #[serde(rename = "throttledPeriods")]
        throttled_periods: u64,
        #[serde(rename = "throttledTime")]
        throttled_time: u64,
    }

    /// Processors.
    CpuStats {
        usage: CpuUsage,
        throttling: Throttling,
        psi: Option<Psi>,
    }

    /// Memory in bytes. `raw` is `memory.stat`; `swap` is memory and swap together.
    MemoryStats {
        cache: u64,
        usage: MemoryEntry,
        swap: MemoryEntry,
        kernel: MemoryEntry,
        #[serde(rename = "kernelTCP")]
        kernel_tcp: MemoryEntry,
        raw: BTreeMap<String, u64>,
        psi: Option<Psi>,
    }

    /// Processes; a limit of 0 is none.
    PidsStats {
        current: u64,
        limit: u64,
    }

    /// One count of one device.
    BlkioEntry {
        major: u64,
        minor: u64,
        op: String,
        value: u64,
    }

    /// Block devices.
    BlkioStats {
        #[serde(rename = "ioServiceBytesRecursive")]
        io_service_bytes: Vec<BlkioEntry>,
        #[serde(rename = "ioServicedRecursive")]
        io_serviced: Vec<BlkioEntry>,
        #[serde(rename = "ioQueueRecursive")]
        io_queued: Vec<BlkioEntry>,
        #[serde(rename = "ioServiceTimeRecursive")]
        io_service_time: Vec<BlkioEntry>,
        #[serde(rename = "ioWaitTimeRecursive")]
        io_wait_time: Vec<BlkioEntry>,
        #[serde(rename = "ioMergedRecursive")]
        io_merged: Vec<BlkioEntry>,
        #[serde(rename = "ioTimeRecursive")]
        io_time: Vec<BlkioEntry>,
        #[serde(rename = "sectorsRecursive")]
        sectors: Vec<BlkioEntry>,
        psi: Option<Psi>,
    }

    /// Huge pages of one size, in bytes.
    HugetlbStats {
        usage: u64,
        max: u64,
        + failcnt: u64,
    }

    /// Pressure stall information.
    Psi {
        some: PsiLine,
        full: PsiLine,
    }
}

/// Processors and memory nodes that may be used (v1).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the fields are those of runc's document")]
pub struct CpusetStats {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<u16>,
    pub cpu_exclusive: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mems: Vec<u16>,
    pub mem_hardwall: u64,
    pub mem_exclusive: u64,
    pub memory_migrate: u64,
    pub memory_spread_page: u64,
    pub memory_spread_slab: u64,
    pub memory_pressure: u64,
    pub sched_load_balance: u64,
    pub sched_relax_domain_level: i64,
}

/// One memory counter. (`limit` comes first although it is always written.)
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the fields are those of runc's document")]
pub struct MemoryEntry {
    pub limit: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub usage: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub max: u64,
    pub failcnt: u64,
}

/// Shares of time in percent over three windows, and the total in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the fields are those of runc's document")]
pub struct PsiLine {
    pub avg10: Percent,
    pub avg60: Percent,
    pub avg300: Percent,
    pub total: u64,
}

/// Hundredths of a percent, written as a number as Go does: `0`, `1.5`, `12.34`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Percent(pub u32);

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> core::result::Result<S::Ok, S::Error> {
        match self.0 % 100 {
            0 => serializer.serialize_u32(self.0 / 100),
            _ => serializer.serialize_f64(f64::from(self.0) / 100.0),
        }
    }
}

impl Plan {
    /// Reads what the container uses. What it has no cgroup for stays zero.
    pub fn stats(&self) -> Result<Stats> {
        match self.version {
            Version::V2 => stats_v2::read(self),
            _ => stats_v1::read(self),
        }
    }
}

/// Sizes of huge pages as the names of cgroup files have them (`2MB`), from the names in
/// `/sys/kernel/mm/hugepages` (`hugepages-2048kB`).
pub(super) fn hugepage_sizes() -> Vec<String> {
    let dir = sys::fs::open_at(sys::CWD, "/sys/kernel/mm/hugepages", sys::fs::O_DIRECTORY, 0);
    let entries = dir.and_then(|dir| sys::fs::read_dir(dir.borrow())).unwrap_or_default();
    let mut names: Vec<_> = entries.into_iter().map(|entry| entry.name).collect();
    names.sort_unstable();
    names.iter().filter_map(|name| hugepage_size(core::str::from_utf8(name).ok()?)).collect()
}

fn hugepage_size(name: &str) -> Option<String> {
    let kib: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
    Some(match kib {
        kib if kib >= 1 << 20 => alloc::format!("{}GB", kib >> 20),
        kib if kib >= 1 << 10 => alloc::format!("{}MB", kib >> 10),
        kib => alloc::format!("{kib}KB"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_used_has_the_shape_of_runc() {
        let event = Event { kind: "stats", id: "x", data: Some(Stats::default()) };
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            r#"{"type":"stats","id":"x","data":{"cpu":{},"cpuset":{"cpu_exclusive":0,"mem_hardwall":0,"mem_exclusive":0,"memory_migrate":0,"memory_spread_page":0,"memory_spread_slab":0,"memory_pressure":0,"sched_load_balance":0,"sched_relax_domain_level":0},"memory":{},"pids":{},"blkio":{},"hugetlb":{},"intel_rdt":{},"network_interfaces":null}}"#
        );
        let oom = Event { kind: "oom", id: "test_busybox", data: None };
        assert_eq!(serde_json::to_string(&oom).unwrap(), r#"{"type":"oom","id":"test_busybox"}"#);
    }

    #[test]
    fn values_have_the_shape_of_runc() {
        let psi = Psi {
            some: PsiLine {
                avg10: Percent(1234),
                avg60: Percent(150),
                avg300: Percent(100),
                total: 7,
            },
            full: PsiLine::default(),
        };
        assert_eq!(
            serde_json::to_string(&psi).unwrap(),
            r#"{"some":{"avg10":12.34,"avg60":1.5,"avg300":1,"total":7}}"#
        );
        let cpu = CpuUsage { total: 5, percpu: vec![2, 3], ..CpuUsage::default() };
        assert_eq!(
            serde_json::to_string(&cpu).unwrap(),
            r#"{"total":5,"percpu":[2,3],"kernel":0,"user":0}"#
        );
        let memory = MemoryEntry { limit: u64::MAX, usage: 1, ..MemoryEntry::default() };
        assert_eq!(
            serde_json::to_string(&memory).unwrap(),
            r#"{"limit":18446744073709551615,"usage":1,"failcnt":0}"#
        );
    }

    #[test]
    fn page_sizes_are_named_as_the_kernel_does() {
        for (name, expected) in [
            ("hugepages-2048kB", Some("2MB")),
            ("hugepages-1048576kB", Some("1GB")),
            ("hugepages-64kB", Some("64KB")),
            ("hugepages-64", None),
            ("other", None),
        ] {
            assert_eq!(hugepage_size(name).as_deref(), expected);
        }
    }
}
