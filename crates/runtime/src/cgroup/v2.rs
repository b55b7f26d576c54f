//! Limits as cgroup v2 takes them.

use super::convert;
use super::tree::{Dir, is_gone};
use super::v1::{self, early, set};
use crate::error::{Error, Kind, Result};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use oci::runtime::{BlockIo, Cpu, Memory, Resources, ThrottleDevice};
use sys::Errno;

/// The kernel's own period (Documentation/admin-guide/cgroup-v2.rst).
pub(super) const DEFAULT_PERIOD_US: u64 = 100_000;

/// Sets what `resources` ask for, device rules aside. `fresh`: the cgroup was just made, so that
/// no earlier value of the other half of a pair has to be kept.
pub(super) fn apply(dir: &Dir, resources: &Resources, fresh: bool) -> Result<()> {
    v1::pids(dir, resources)?;
    if let Some(limits) = &resources.memory {
        memory(dir, limits, fresh)?;
    }
    if let Some(limits) = &resources.block_io {
        io(dir, limits)?;
    }
    if let Some(limits) = &resources.cpu {
        cpu(dir, limits, fresh)?;
        for (file, value) in [("cpuset.cpus", &limits.cpus), ("cpuset.mems", &limits.mems)] {
            if !value.is_empty() {
                dir.write(file, value)?;
            }
        }
    }
    v1::hugetlb(dir, &resources.hugepage_limits, ".max")?;
    v1::rdma(dir, resources)?;
    // Last, because it overrides what has the same meaning.
    resources.unified.iter().try_for_each(|(key, value)| unified(dir, key, value))
}

/// What was asked for and has no meaning on v2.
pub(super) fn ignored(resources: &Resources) -> Vec<String> {
    let memory = resources.memory.as_ref();
    let cpu = resources.cpu.as_ref();
    let io = resources.block_io.as_ref();
    let network = resources.network.as_ref();
    [
        (memory.is_some_and(|m| m.swappiness.is_some()), "memory.swappiness"),
        (memory.is_some_and(|m| m.disable_oom_killer == Some(true)), "memory.disableOOMKiller"),
        (cpu.is_some_and(|c| set(c.realtime_runtime).is_some()), "cpu.realtimeRuntime"),
        (cpu.is_some_and(|c| set(c.realtime_period).is_some()), "cpu.realtimePeriod"),
        (io.is_some_and(|io| set(io.leaf_weight).is_some()), "blockIO.leafWeight"),
        (network.is_some_and(|n| *n != Default::default()), "network"),
    ]
    .into_iter()
    .filter(|(asked, _)| *asked)
    .map(|(_, field)| format!("linux.resources.{field} has no meaning on cgroup v2 and is ignored"))
    .collect()
}

fn or_max(value: i64) -> String {
    if value == -1 { "max".into() } else { value.to_string() }
}

fn memory(dir: &Dir, memory: &Memory, fresh: bool) -> Result<()> {
    if memory.check_before_update == Some(true) {
        v1::check_usage(dir, memory, "memory.current")?;
    }
    let sum = memory.swap.unwrap_or(0);
    let mut limit = memory.limit.unwrap_or(0);
    if !fresh && sum > 0 && limit == 0 {
        // The sum is given alone: it is about the limit that is in force.
        limit = match dir.number("memory.max")? {
            Some(u64::MAX) => -1,
            Some(limit) => i64::try_from(limit).unwrap_or(-1),
            None => 0,
        };
    }
    if let Some(swap) = convert::swap_alone(sum, limit)? {
        let value = or_max(swap);
        match dir.try_write("memory.swap.max", &value) {
            Ok(()) => {}
            // Without swap accounting, "no swap" and "any swap" are what there is.
            Err(Errno::ENOENT) if swap <= 0 => {}
            Err(errno) => return Err(dir.refused("memory.swap.max", &value, errno)),
        }
    }
    for (file, value) in [("memory.max", memory.limit), ("memory.low", memory.reservation)] {
        if let Some(value) = set(value) {
            dir.write(file, &or_max(value))?;
        }
    }
    Ok(())
}

fn cpu(dir: &Dir, cpu: &Cpu, fresh: bool) -> Result<()> {
    // An idle group has no weight: first.
    if let Some(idle) = cpu.idle {
        dir.write("cpu.idle", &idle.to_string())?;
    }
    if let Some(shares) = set(cpu.shares) {
        dir.write("cpu.weight", &convert::weight_of_shares(shares).to_string())?;
    }
    let quota = cpu_max(dir, cpu, fresh)?;
    let burst = cpu.burst.map(|burst| burst.to_string());
    let burst = early(dir, "cpu.max.burst", burst, quota.is_some())?;
    if let Some(quota) = quota {
        dir.write("cpu.max", &quota)?;
    }
    burst.map_or(Ok(()), |burst| dir.write("cpu.max.burst", &burst))
}

/// The value of `cpu.max`: quota and period. The kernel keeps a period that is not given; a quota
/// that is not given has to be read.
fn cpu_max(dir: &Dir, cpu: &Cpu, fresh: bool) -> Result<Option<String>> {
    let (quota, period) = (set(cpu.quota), set(cpu.period));
    let quota_text = |quota: i64| if quota > 0 { quota.to_string() } else { "max".into() };
    Ok(match (quota, period) {
        (None, None) => None,
        (Some(quota), Some(period)) => Some(format!("{} {period}", quota_text(quota))),
        (Some(quota), None) => Some(quota_text(quota)),
        (None, Some(period)) => {
            let old = if fresh { None } else { dir.read_optional("cpu.max")? };
            let old = old.as_deref().and_then(|text| text.split_whitespace().next());
            Some(format!("{} {period}", old.unwrap_or("max")))
        }
    })
}

fn io(dir: &Dir, io: &BlockIo) -> Result<()> {
    const BFQ: &str = "io.bfq.weight";
    let bfq = (set(io.weight).is_some() || !io.weight_device.is_empty()) && dir.has(BFQ);
    if let Some(weight) = set(io.weight) {
        match bfq {
            true => dir.write(BFQ, &weight.to_string())?,
            false => dir.write("io.weight", &convert::io_weight(weight).to_string())?,
        }
    }
    // BFQ has weights of devices since Linux 5.4, which is to be seen from its "default 100".
    if bfq && !io.weight_device.is_empty() && dir.read(BFQ)?.starts_with("default") {
        for device in &io.weight_device {
            if let Some(weight) = set(device.weight) {
                dir.write(BFQ, &format!("{}:{} {weight}\n", device.major, device.minor))?;
            }
        }
    }
    let throttle = |key: &str, devices: &[ThrottleDevice]| {
        devices.iter().try_for_each(|device| {
            let ThrottleDevice { major, minor, rate } = device;
            dir.write("io.max", &format!("{major}:{minor} {key}={rate}"))
        })
    };
    throttle("rbps", &io.throttle_read_bps_device)?;
    throttle("wbps", &io.throttle_write_bps_device)?;
    throttle("riops", &io.throttle_read_iops_device)?;
    throttle("wiops", &io.throttle_write_iops_device)
}

/// Refuses keys that are not the name of a file in the container's own directory.
pub(super) fn check_unified_key(key: &str) -> Result<&str> {
    let shown = || format!("unified resource \"{}\"", key.escape_debug());
    if key.contains(['/', '\0']) {
        return Err(Error::invalid(format!("{} must be a file name (no slashes)", shown())));
    }
    match key.split_once('.') {
        Some((controller, rest)) if !controller.is_empty() && !rest.is_empty() => Ok(controller),
        _ => Err(Error::invalid(format!("{} must be in the form CONTROLLER.PARAMETER", shown()))),
    }
}

/// Writes a value line by line: files such as `io.max` take one at a time.
fn unified(dir: &Dir, key: &str, value: &str) -> Result<()> {
    let controller = check_unified_key(key)?;
    let file = dir.open_write(key).map_err(|errno| {
        let missing = is_gone(errno) || matches!(errno, Errno::EACCES | Errno::EPERM);
        let available = dir.try_read("cgroup.controllers").unwrap_or_default();
        if missing && controller != "cgroup" && !available.split_whitespace().any(|c| c == controller) {
            return Error::new(
                Kind::Unsupported,
                format!("unified resource \"{key}\" can't be set: controller \"{controller}\" not available"),
            );
        }
        Error::os(format!("unable to set unified resource \"{key}\""), errno)
    })?;
    let mut lines = value.lines().filter(|line| !line.is_empty()).peekable();
    // An empty value is written too: it resets some files.
    let first = if lines.peek().is_none() { Some("") } else { None };
    for line in first.into_iter().chain(lines) {
        sys::fs::write(&file, format!("{line}\n").as_bytes()).map_err(|errno| {
            let attempt = format!("unable to set unified resource \"{key}\" to \"{line}\"");
            Error::os(attempt, errno)
        })?;
    }
    Ok(())
}
