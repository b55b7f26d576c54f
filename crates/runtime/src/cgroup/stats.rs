//! What a container uses, in the shape that `runc events` prints (runc's `types/events.go`):
//! field names, their order, and which are left out when they are zero.

use super::layout::Version;
use super::plan::Plan;
use super::{stats_v1, stats_v2};
use crate::error::Result;
use alloc::string::String;
use alloc::vec::Vec;
use oci::json::{Object, ToJson, Writer};
use oci::runtime::Map;

/// One line of `events`.
#[derive(Debug)]
pub struct Event<'a> {
    /// `stats` or `oom`.
    pub kind: &'static str,
    /// The container's id.
    pub id: &'a str,
    /// The statistics of a `stats` event.
    pub data: Option<Stats>,
}

impl ToJson for Event<'_> {
    fn write(&self, writer: &mut Writer) {
        Object(&[("type", &self.kind), ("id", &self.id), ("data", &self.data)]).write(writer);
    }
}

oci::report! {
    /// Everything.
    Stats(snake) {
        cpu: CpuStats => always,
        cpuset: CpusetStats => always,
        memory: MemoryStats => always,
        pids: PidsStats => always,
        blkio: BlkioStats => always,
        hugetlb: Map<HugetlbStats> => always,
        /// Filled by who knows resctrl.
        intel_rdt: crate::rdt::RdtStats => always,
        /// runc counts veth devices that nothing configures any more: always null.
        network_interfaces: Option<bool> => always,
    }

    /// Processor time in nanoseconds.
    CpuUsage(snake) {
        total: u64,
        percpu: Vec<u64>,
        percpu_kernel: Vec<u64>,
        percpu_user: Vec<u64>,
        kernel: u64 => always,
        user: u64 => always,
    }

    /// How often the quota stopped the container; time in nanoseconds.
    Throttling {
        periods: u64,
        throttled_periods: u64,
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
        kernel_tcp as "kernelTCP": MemoryEntry,
        raw: Map<u64>,
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
        io_service_bytes as "ioServiceBytesRecursive": Vec<BlkioEntry>,
        io_serviced as "ioServicedRecursive": Vec<BlkioEntry>,
        io_queued as "ioQueueRecursive": Vec<BlkioEntry>,
        io_service_time as "ioServiceTimeRecursive": Vec<BlkioEntry>,
        io_wait_time as "ioWaitTimeRecursive": Vec<BlkioEntry>,
        io_merged as "ioMergedRecursive": Vec<BlkioEntry>,
        io_time as "ioTimeRecursive": Vec<BlkioEntry>,
        sectors as "sectorsRecursive": Vec<BlkioEntry>,
        psi: Option<Psi>,
    }

    /// Huge pages of one size, in bytes.
    HugetlbStats {
        usage: u64,
        max: u64,
        failcnt: u64 => always,
    }

    /// Pressure stall information.
    Psi {
        some: PsiLine,
        full: PsiLine,
    }

    /// Processors and memory nodes that may be used (v1).
    CpusetStats(snake) {
        cpus: Vec<u16>,
        cpu_exclusive: u64 => always,
        mems: Vec<u16>,
        mem_hardwall: u64 => always,
        mem_exclusive: u64 => always,
        memory_migrate: u64 => always,
        memory_spread_page: u64 => always,
        memory_spread_slab: u64 => always,
        memory_pressure: u64 => always,
        sched_load_balance: u64 => always,
        sched_relax_domain_level: i64 => always,
    }

    /// One memory counter.
    MemoryEntry {
        limit: u64 => always,
        usage: u64,
        max: u64,
        failcnt: u64 => always,
    }

    /// Shares of time in percent over three windows, and the total in microseconds.
    PsiLine {
        avg10: Percent => always,
        avg60: Percent => always,
        avg300: Percent => always,
        total: u64 => always,
    }
}

/// Hundredths of a percent, written as a number as Go does: `0`, `1.5`, `12.34`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Percent(pub u32);

impl ToJson for Percent {
    fn write(&self, writer: &mut Writer) {
        writer.integer(false, u64::from(self.0 / 100));
        let hundredths = self.0 % 100;
        if hundredths != 0 {
            writer.raw(if hundredths < 10 { ".0" } else { "." });
            let digits = if hundredths.is_multiple_of(10) { hundredths / 10 } else { hundredths };
            writer.integer(false, u64::from(digits));
        }
    }

    fn is_absent(&self) -> bool {
        self.0 == 0
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
    oci::sort_by(&mut names, Vec::cmp);
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
            oci::json::write(&event),
            r#"{"type":"stats","id":"x","data":{"cpu":{},"cpuset":{"cpu_exclusive":0,"mem_hardwall":0,"mem_exclusive":0,"memory_migrate":0,"memory_spread_page":0,"memory_spread_slab":0,"memory_pressure":0,"sched_load_balance":0,"sched_relax_domain_level":0},"memory":{},"pids":{},"blkio":{},"hugetlb":{},"intel_rdt":{},"network_interfaces":null}}"#
        );
        let oom = Event { kind: "oom", id: "test_busybox", data: None };
        assert_eq!(oci::json::write(&oom), r#"{"type":"oom","id":"test_busybox"}"#);
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
            oci::json::write(&psi),
            r#"{"some":{"avg10":12.34,"avg60":1.5,"avg300":1,"total":7}}"#
        );
        for (hundredths, text) in [(0, "0"), (5, "0.05"), (90, "0.9"), (10_000, "100")] {
            assert_eq!(oci::json::write(&Percent(hundredths)), text);
        }
        let cpu = CpuUsage { total: 5, percpu: vec![2, 3], ..CpuUsage::default() };
        assert_eq!(oci::json::write(&cpu), r#"{"total":5,"percpu":[2,3],"kernel":0,"user":0}"#);
        let memory = MemoryEntry { limit: u64::MAX, usage: 1, ..MemoryEntry::default() };
        assert_eq!(
            oci::json::write(&memory),
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
