//! Statistics of cgroup v1.

use super::plan::Plan;
use super::stats::*;
use super::stats_v2;
use super::tree::{Dir, number, pairs, value_of};
use crate::error::Result;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// cpuacct.stat counts ticks of 10 ms (`USER_HZ` is 100 on every architecture that matters).
const NANOS_PER_TICK: u64 = 10_000_000;

pub(super) fn read(plan: &Plan) -> Result<Stats> {
    let mut stats = Stats::default();
    let open = |controller| {
        let directory = plan.directory(controller).filter(|directory| directory.used);
        Ok::<_, crate::error::Error>(directory.map(Dir::find).transpose()?.flatten())
    };
    if let Some(dir) = open("cpu")? {
        stats.cpu.throttling = throttling(&dir.read("cpu.stat")?);
    }
    match open("cpuacct")? {
        Some(dir) => stats.cpu.usage = cpu_usage(&dir)?,
        // The unified hierarchy counts processor time without any controller.
        None => {
            let unified = plan.unified().filter(|directory| directory.used);
            if let Some(dir) = unified.map(Dir::find).transpose()?.flatten() {
                let text = dir.read_optional("cpu.stat")?.unwrap_or_default();
                stats.cpu.usage = stats_v2::cpu(&text).usage;
            }
        }
    }
    if let Some(dir) = open("cpuset")? {
        stats.cpuset = cpuset(&dir)?;
    }
    if let Some(dir) = open("memory")? {
        stats.memory = memory(&dir)?;
    }
    if let Some(dir) = open("pids")? {
        stats.pids = pids(&dir)?;
    }
    if let Some(dir) = open("blkio")? {
        stats.blkio = blkio(&dir)?;
    }
    if let Some(dir) = open("hugetlb")? {
        for size in hugepage_sizes() {
            stats.hugetlb.insert(size.clone(), hugetlb(&dir, &size)?);
        }
    }
    Ok(stats)
}

fn throttling(text: &str) -> Throttling {
    let value = |key| value_of(text, key).unwrap_or(0);
    Throttling {
        periods: value("nr_periods"),
        throttled_periods: value("nr_throttled"),
        throttled_time: value("throttled_time"),
    }
}

fn cpu_usage(dir: &Dir) -> Result<CpuUsage> {
    let ticks = dir.read("cpuacct.stat")?;
    let nanos = |key| value_of(&ticks, key).unwrap_or(0).saturating_mul(NANOS_PER_TICK);
    let per_cpu = dir.read_optional("cpuacct.usage_percpu")?.unwrap_or_default();
    let mut usage = CpuUsage {
        total: dir.number("cpuacct.usage")?.unwrap_or(0),
        percpu: per_cpu.split_whitespace().filter_map(number).collect(),
        kernel: nanos("system"),
        user: nanos("user"),
        ..CpuUsage::default()
    };
    // "cpu user system", then one line for each.
    let all = dir.read_optional("cpuacct.usage_all")?.unwrap_or_default();
    for line in all.lines().skip(1) {
        let mut columns = line.split(' ').skip(1).map(number);
        if let (Some(Some(user)), Some(Some(system))) = (columns.next(), columns.next()) {
            usage.percpu_user.push(user);
            usage.percpu_kernel.push(system);
        }
    }
    Ok(usage)
}

fn cpuset(dir: &Dir) -> Result<CpusetStats> {
    let list = |name| {
        let file = super::v1::cpuset_file(dir, name);
        let text = dir.read_optional(file)?.unwrap_or_default();
        dir.parsed(file, &text, number_list(text.trim()))
    };
    let value = |name| Ok::<_, crate::error::Error>(dir.number(name)?.unwrap_or(0));
    let level = dir.read_optional("cpuset.sched_relax_domain_level")?.unwrap_or_default();
    Ok(CpusetStats {
        cpus: list("cpuset.cpus")?,
        cpu_exclusive: value("cpuset.cpu_exclusive")?,
        mems: list("cpuset.mems")?,
        mem_hardwall: value("cpuset.mem_hardwall")?,
        mem_exclusive: value("cpuset.mem_exclusive")?,
        memory_migrate: value("cpuset.memory_migrate")?,
        memory_spread_page: value("cpuset.memory_spread_page")?,
        memory_spread_slab: value("cpuset.memory_spread_slab")?,
        memory_pressure: value("cpuset.memory_pressure")?,
        sched_load_balance: value("cpuset.sched_load_balance")?,
        sched_relax_domain_level: level.trim().parse().unwrap_or(0),
    })
}

/// `0-2,7` as numbers. `u16` bounds what a damaged file can make.
fn number_list(text: &str) -> Option<Vec<u16>> {
    let mut numbers = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || numbers.len() > usize::from(u16::MAX) {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

fn memory(dir: &Dir) -> Result<MemoryStats> {
    let mut stats = MemoryStats::default();
    for (key, value) in pairs(&dir.read("memory.stat")?) {
        stats.raw.insert(key.to_owned(), number(value).unwrap_or(0));
    }
    stats.cache = stats.raw.get("cache").copied().unwrap_or(0);
    let entry = |prefix: &str| {
        let value = |name: &str| {
            let number = dir.number(&format!("{prefix}.{name}"))?;
            Ok::<_, crate::error::Error>(number.unwrap_or(0))
        };
        Ok::<_, crate::error::Error>(MemoryEntry {
            limit: value("limit_in_bytes")?,
            usage: value("usage_in_bytes")?,
            max: value("max_usage_in_bytes")?,
            failcnt: value("failcnt")?,
        })
    };
    stats.usage = entry("memory")?;
    stats.swap = entry("memory.memsw")?;
    stats.kernel = entry("memory.kmem")?;
    stats.kernel_tcp = entry("memory.kmem.tcp")?;
    Ok(stats)
}

pub(super) fn pids(dir: &Dir) -> Result<PidsStats> {
    let limit = dir.number("pids.max")?.filter(|limit| *limit != u64::MAX);
    Ok(PidsStats { current: dir.number("pids.current")?.unwrap_or(0), limit: limit.unwrap_or(0) })
}

fn hugetlb(dir: &Dir, size: &str) -> Result<HugetlbStats> {
    let reserved = format!("hugetlb.{size}.rsvd");
    let prefix = match dir.has(&format!("{reserved}.usage_in_bytes")) {
        true => reserved,
        false => format!("hugetlb.{size}"),
    };
    let value = |name: &str| {
        let number = dir.number(&format!("{prefix}.{name}"))?;
        Ok::<_, crate::error::Error>(number.unwrap_or(0))
    };
    Ok(HugetlbStats {
        usage: value("usage_in_bytes")?,
        max: value("max_usage_in_bytes")?,
        failcnt: value("failcnt")?,
    })
}

type Field = fn(&mut BlkioStats) -> &mut Vec<BlkioEntry>;

/// Files in which schedulers count, from the most to the least detailed; the first group that is
/// there is taken, as runc does.
const BLKIO: [(&str, &[(&str, Field)]); 5] = [
    ("blkio.bfq.", &DETAILED),
    (
        "blkio.bfq.",
        &[
            ("io_serviced_recursive", |s| &mut s.io_serviced),
            ("io_service_bytes_recursive", |s| &mut s.io_service_bytes),
        ],
    ),
    ("blkio.", &DETAILED),
    (
        "blkio.throttle.",
        &[
            ("io_serviced_recursive", |s| &mut s.io_serviced),
            ("io_service_bytes_recursive", |s| &mut s.io_service_bytes),
        ],
    ),
    (
        "blkio.throttle.",
        &[
            ("io_serviced", |s| &mut s.io_serviced),
            ("io_service_bytes", |s| &mut s.io_service_bytes),
        ],
    ),
];

const DETAILED: [(&str, Field); 8] = [
    ("sectors_recursive", |s| &mut s.sectors),
    ("io_service_time_recursive", |s| &mut s.io_service_time),
    ("io_wait_time_recursive", |s| &mut s.io_wait_time),
    ("io_merged_recursive", |s| &mut s.io_merged),
    ("io_queued_recursive", |s| &mut s.io_queued),
    ("time_recursive", |s| &mut s.io_time),
    ("io_serviced_recursive", |s| &mut s.io_serviced),
    ("io_service_bytes_recursive", |s| &mut s.io_service_bytes),
];

fn blkio(dir: &Dir) -> Result<BlkioStats> {
    let mut stats = BlkioStats::default();
    for (prefix, files) in BLKIO {
        for (index, (name, field)) in files.iter().enumerate() {
            let text = dir.read_optional(&format!("{prefix}{name}"))?.unwrap_or_default();
            let entries: Vec<_> = text.lines().filter_map(blkio_entry).collect();
            // A group counts by its first file; one that only says "Total 0" has no devices.
            if index == 0 && entries.is_empty() {
                break;
            }
            *field(&mut stats) = entries;
            if index == files.len() - 1 {
                return Ok(stats);
            }
        }
    }
    Ok(stats)
}

/// `8:0 Read 1282048` or `8:0 6792`; lines of totals have no device.
fn blkio_entry(line: &str) -> Option<BlkioEntry> {
    let mut fields = line.split([' ', ':']);
    let (major, minor) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let (third, fourth) = (fields.next()?, fields.next());
    let (op, value) = fourth.map_or(("", third), |value| (third, value));
    Some(BlkioEntry { major, minor, op: String::from(op), value: number(value)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_devices_are_read() {
        let entry = |op: &str, value| Some(BlkioEntry { major: 8, minor: 1, op: op.into(), value });
        assert_eq!(blkio_entry("8:1 Read 1282048"), entry("Read", 1_282_048));
        assert_eq!(blkio_entry("8:1 6792"), entry("", 6792));
        for line in ["Total 0", "8:1", "", "8:x Read 1", "8:1 Read x"] {
            assert_eq!(blkio_entry(line), None, "{line}");
        }
    }

    #[test]
    fn lists_of_numbers_are_read() {
        assert_eq!(number_list("0-2,7"), Some(vec![0, 1, 2, 7]));
        assert_eq!(number_list(""), Some(vec![]));
        for text in ["2-1", "x", "1-", "0-65536", "-"] {
            assert_eq!(number_list(text), None, "{text}");
        }
    }
}
