//! Statistics of cgroup v2, in v1's terms.

use super::plan::Plan;
use super::stats::*;
use super::tree::{Dir, number, pairs, value_of};
use crate::error::{Error, Result};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::vec::Vec;
use sys::Errno;

pub(super) fn read(plan: &Plan) -> Result<Stats> {
    let mut stats = Stats::default();
    let directory = plan.unified().filter(|directory| directory.used);
    let Some(dir) = directory.map(Dir::find).transpose()?.flatten() else { return Ok(stats) };
    // Rootless, what may not be read stays zero.
    let lenient = |result: Result<()>| if plan.rootless { Ok(()) } else { result };
    lenient(pids(&dir).map(|pids| stats.pids = pids))?;
    lenient(memory(&dir).map(|memory| stats.memory = memory))?;
    let text = dir.read_optional("io.stat").map(|text| text.unwrap_or_default());
    lenient(text.map(|text| stats.blkio = io(&text)))?;
    let text = dir.read_optional("cpu.stat").map(|text| text.unwrap_or_default());
    lenient(text.map(|text| stats.cpu = cpu(&text)))?;
    for (file, psi) in [
        ("cpu.pressure", &mut stats.cpu.psi),
        ("memory.pressure", &mut stats.memory.psi),
        ("io.pressure", &mut stats.blkio.psi),
    ] {
        lenient(pressure(&dir, file).map(|read| *psi = read))?;
    }
    for size in hugepage_sizes() {
        if let Some(entry) = hugetlb(&dir, &size)? {
            stats.hugetlb.insert(size, entry);
        }
    }
    Ok(stats)
}

/// `cpu.stat`, with or without the controller.
pub(super) fn cpu(text: &str) -> CpuStats {
    let value = |key| value_of(text, key).unwrap_or(0);
    let nanos = |key| value(key).saturating_mul(1000);
    CpuStats {
        usage: CpuUsage {
            total: nanos("usage_usec"),
            kernel: nanos("system_usec"),
            user: nanos("user_usec"),
            ..CpuUsage::default()
        },
        throttling: Throttling {
            periods: value("nr_periods"),
            throttled_periods: value("nr_throttled"),
            throttled_time: nanos("throttled_usec"),
        },
        psi: None,
    }
}

fn pids(dir: &Dir) -> Result<PidsStats> {
    if dir.has("pids.current") {
        return super::stats_v1::pids(dir);
    }
    // Without the controller, the list can be counted.
    let count = match dir.try_read("cgroup.procs") {
        Err(Errno::ENOTSUP) => dir.read("cgroup.threads")?.lines().count(),
        Ok(text) => text.lines().count(),
        Err(errno) => {
            return Err(Error::os(format!("reading {}/cgroup.procs", dir.path()), errno));
        }
    };
    Ok(PidsStats { current: count as u64, limit: 0 })
}

fn memory(dir: &Dir) -> Result<MemoryStats> {
    let mut stats = MemoryStats::default();
    let Some(text) = dir.read_optional("memory.stat")? else { return Ok(stats) };
    for (key, value) in pairs(&text) {
        stats.raw.insert(key.to_owned(), number(value).unwrap_or(0));
    }
    stats.cache = stats.raw.get("file").copied().unwrap_or(0);
    let entry = |prefix: &str| {
        let value = |name: &str| dir.number(&format!("{prefix}.{name}"));
        Ok::<_, Error>(MemoryEntry {
            limit: value("max")?.unwrap_or(0),
            usage: value("current")?.unwrap_or(0),
            max: value("peak")?.unwrap_or(0),
            failcnt: 0,
        })
    };
    stats.usage = entry("memory")?;
    // v1 counts memory and swap together; the peak of the sum is not known.
    let swap = entry("memory.swap")?;
    stats.swap = MemoryEntry {
        limit: match swap.limit {
            u64::MAX => u64::MAX,
            limit => limit.saturating_add(stats.usage.limit),
        },
        usage: swap.usage.saturating_add(stats.usage.usage),
        max: 0,
        failcnt: 0,
    };
    Ok(stats)
}

/// `8:0 rbytes=90112 wbytes=0 rios=22 wios=0 dbytes=0 dios=0` per device.
fn io(text: &str) -> BlkioStats {
    let mut stats = BlkioStats::default();
    for line in text.lines() {
        let mut fields = line.split_whitespace();
        let device = fields.next().and_then(|device| {
            let (major, minor) = device.split_once(':')?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        });
        let Some((major, minor)) = device else { continue };
        for (key, value) in fields.filter_map(|field| field.split_once('=')) {
            let (list, op) = match key {
                "rbytes" => (&mut stats.io_service_bytes, "Read"),
                "wbytes" => (&mut stats.io_service_bytes, "Write"),
                "rios" => (&mut stats.io_serviced, "Read"),
                "wios" => (&mut stats.io_serviced, "Write"),
                _ => continue,
            };
            let value = number(value).unwrap_or(0);
            list.push(BlkioEntry { major, minor, op: op.into(), value });
        }
    }
    stats
}

fn hugetlb(dir: &Dir, size: &str) -> Result<Option<HugetlbStats>> {
    let reserved = dir.number(&format!("hugetlb.{size}.rsvd.current"))?;
    let usage = match reserved {
        Some(usage) => Some(usage),
        None => dir.number(&format!("hugetlb.{size}.current"))?,
    };
    let Some(usage) = usage else { return Ok(None) };
    let events = dir.read_optional(&format!("hugetlb.{size}.events"))?.unwrap_or_default();
    Ok(Some(HugetlbStats { usage, max: 0, failcnt: value_of(&events, "max").unwrap_or(0) }))
}

/// Pressure, where the kernel counts it. (`EOPNOTSUPP`: it was built in but not started.)
fn pressure(dir: &Dir, file: &str) -> Result<Option<Psi>> {
    let text = match dir.try_read(file) {
        Ok(text) => text,
        Err(Errno::ENOENT | Errno::ENODEV | Errno::ENOTSUP) => return Ok(None),
        Err(errno) => return Err(Error::os(format!("reading {}/{file}", dir.path()), errno)),
    };
    dir.parsed(file, &text, psi(&text)).map(Some)
}

/// `some avg10=0.00 avg60=1.50 avg300=12.34 total=700` and the same for `full`.
fn psi(text: &str) -> Option<Psi> {
    let mut psi = Psi::default();
    for line in text.lines() {
        let mut fields = line.split_whitespace();
        let into = match fields.next()? {
            "some" => &mut psi.some,
            "full" => &mut psi.full,
            _ => continue,
        };
        for field in fields {
            let (key, value) = field.split_once('=')?;
            match key {
                "avg10" => into.avg10 = percent(value)?,
                "avg60" => into.avg60 = percent(value)?,
                "avg300" => into.avg300 = percent(value)?,
                "total" => into.total = value.parse().ok()?,
                _ => {}
            }
        }
    }
    Some(psi)
}

/// The kernel writes two digits behind the point.
fn percent(text: &str) -> Option<Percent> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "00"));
    let digits: Vec<u8> = fraction.bytes().chain(*b"00").take(2).collect();
    let hundredths: u32 = core::str::from_utf8(&digits).ok()?.parse().ok()?;
    Some(Percent(whole.parse::<u32>().ok()?.checked_mul(100)?.checked_add(hundredths)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_read() {
        let text = "some avg10=0.00 avg60=1.50 avg300=12.34 total=700\nfull avg10=100 avg60=0.07 avg300=0.00 total=0\n";
        let read = psi(text).unwrap();
        assert_eq!([read.some.avg10, read.some.avg60], [Percent(0), Percent(150)]);
        assert_eq!((read.some.avg300, read.some.total), (Percent(1234), 700));
        assert_eq!([read.full.avg10, read.full.avg60], [Percent(10_000), Percent(7)]);
        for text in ["some avg10", "some avg10=x", "some total=-1", "\n"] {
            assert_eq!(psi(text), None, "{text:?}");
        }
    }

    #[test]
    fn io_is_read_in_v1_terms() {
        let stats = io("8:0 rbytes=90112 wbytes=1 rios=22 wios=2 dbytes=0 dios=0\nx\n9:1\n");
        let entry = |op: &str, value| BlkioEntry { major: 8, minor: 0, op: op.into(), value };
        assert_eq!(stats.io_service_bytes, [entry("Read", 90_112), entry("Write", 1)]);
        assert_eq!(stats.io_serviced, [entry("Read", 22), entry("Write", 2)]);
    }

    #[test]
    fn processor_time_is_read() {
        let stats =
            cpu("usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_throttled 4\nthrottled_usec 6\n");
        assert_eq!((stats.usage.total, stats.usage.user, stats.usage.kernel), (5000, 3000, 2000));
        assert_eq!(stats.throttling.throttled_time, 6000);
    }
}
