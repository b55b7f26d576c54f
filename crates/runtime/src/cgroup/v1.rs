//! Limits as the controllers of cgroup v1 take them.
//!
//! Zero in a size, share, quota or period is "not set", as runc has it.

use super::convert;
use super::plan::Directory;
use super::tree::Dir;
use crate::error::{Error, Kind, Result};
use alloc::format;
use alloc::string::ToString;
use oci::runtime::{BlockIo, Cpu, HugepageLimit, Memory, Network, Resources, ThrottleDevice};
use sys::Errno;

/// Sets what `resources` ask of the controllers of `directory`, device rules aside.
pub(super) fn apply(dir: &Dir, directory: &Directory, resources: &Resources) -> Result<()> {
    for controller in &directory.controllers {
        match controller.as_str() {
            "memory" => resources.memory.as_ref().map(|limits| memory(dir, limits)),
            "cpu" => resources.cpu.as_ref().map(|limits| cpu(dir, limits)),
            "cpuset" => resources.cpu.as_ref().map(|limits| cpuset(dir, limits)),
            "pids" => Some(pids(dir, resources)),
            "blkio" => resources.block_io.as_ref().map(|limits| blkio(dir, limits)),
            "hugetlb" => Some(hugetlb(dir, &resources.hugepage_limits, ".limit_in_bytes")),
            "net_cls" => resources.network.as_ref().map(|limits| net_cls(dir, limits)),
            "net_prio" => resources.network.as_ref().map(|limits| net_prio(dir, limits)),
            "rdma" => Some(rdma(dir, resources)),
            _ => None,
        }
        .unwrap_or(Ok(()))?;
    }
    Ok(())
}

/// A value that was given and is not 0.
pub(super) fn set<T: Default + PartialEq + Copy>(value: Option<T>) -> Option<T> {
    value.filter(|value| *value != T::default())
}

const LIMIT: &str = "memory.limit_in_bytes";
const TCP_LIMIT: &str = "memory.kmem.tcp.limit_in_bytes";
const SWAP_LIMIT: &str = "memory.memsw.limit_in_bytes";

fn memory(dir: &Dir, memory: &Memory) -> Result<()> {
    if memory.check_before_update == Some(true) {
        check_usage(dir, memory, "memory.usage_in_bytes")?;
    }
    let limit = set(memory.limit);
    let mut swap = set(memory.swap);
    if limit == Some(-1) && swap.is_none() && dir.has(SWAP_LIMIT) {
        swap = Some(-1);
    }
    set_memory_and_swap(dir, limit, swap)?;
    if let Some(reservation) = set(memory.reservation) {
        dir.write("memory.soft_limit_in_bytes", &reservation.to_string())?;
    }
    // Gone with Linux 6.1 in some configurations; what is not there limits nothing.
    if let Some(limit) = set(memory.kernel_tcp).filter(|_| dir.has(TCP_LIMIT)) {
        dir.write(TCP_LIMIT, &limit.to_string())?;
    }
    if memory.disable_oom_killer == Some(true) {
        dir.write("memory.oom_control", "1")?;
    }
    match memory.swappiness {
        // -1, in an unsigned field.
        None | Some(u64::MAX) => Ok(()),
        Some(value @ 0..=100) => dir.write("memory.swappiness", &value.to_string()),
        Some(value) => {
            Err(Error::invalid(format!("invalid memory.swappiness {value}: the range is 0-100")))
        }
    }
}

/// The kernel holds `limit <= memsw.limit` at every moment, so the order matters. Memory first is
/// right for a new cgroup and for lower limits; where it is not, the kernel says `EINVAL`.
fn set_memory_and_swap(dir: &Dir, limit: Option<i64>, swap: Option<i64>) -> Result<()> {
    let write_swap = || match swap {
        Some(swap) => dir.write(SWAP_LIMIT, &swap.to_string()),
        None => Ok(()),
    };
    let Some(limit) = limit else { return write_swap() };
    if swap == Some(-1) {
        write_swap()?;
    }
    let value = limit.to_string();
    match dir.try_write(LIMIT, &value) {
        Ok(()) if swap == Some(-1) => Ok(()),
        Ok(()) => write_swap(),
        Err(Errno::EINVAL) if swap.is_some() => {
            write_swap()?;
            dir.write(LIMIT, &value)
        }
        Err(Errno::EBUSY) => {
            let read = |file| dir.number(file).ok().flatten().unwrap_or(0);
            let (usage, peak) = (read("memory.usage_in_bytes"), read("memory.max_usage_in_bytes"));
            let message = format!(
                "unable to set memory limit to {limit} (current usage: {usage}, peak usage: {peak})"
            );
            Err(Error::new(Kind::Busy, message))
        }
        Err(errno) => Err(dir.refused(LIMIT, &value, errno)),
    }
}

/// Refuses limits that the container's memory is already over. Best effort, as in runc: a usage
/// that cannot be read refuses nothing.
pub(super) fn check_usage(dir: &Dir, memory: &Memory, file: &str) -> Result<()> {
    let Ok(Some(usage)) = dir.number(file) else { return Ok(()) };
    for (what, limit) in [("memory+swap", memory.swap), ("memory", memory.limit)] {
        if let Some(limit) = limit.filter(|limit| *limit > 0 && limit.unsigned_abs() <= usage) {
            let message = format!("rejecting {what} limit {limit} <= usage {usage}");
            return Err(Error::invalid(message));
        }
    }
    Ok(())
}

fn cpu(dir: &Dir, cpu: &Cpu) -> Result<()> {
    if let Some(shares) = set(cpu.shares) {
        convert::check_shares(shares)?;
        dir.write("cpu.shares", &shares.to_string())?;
    }
    let quota = set(cpu.quota);
    // Quota, period and burst must fit each other and the parent's at every moment: what does not
    // fit the old quota is tried again behind the new one.
    let period = set(cpu.period).map(|period| period.to_string());
    let burst = cpu.burst.map(|burst| burst.to_string());
    let late_period = early(dir, "cpu.cfs_period_us", period, quota.is_some())?;
    let late_burst = match burst {
        // Linux before 5.14 has no burst.
        Some(_) if !dir.has("cpu.cfs_burst_us") => None,
        burst => early(dir, "cpu.cfs_burst_us", burst, quota.is_some())?,
    };
    if let Some(quota) = quota {
        dir.write("cpu.cfs_quota_us", &quota.to_string())?;
    }
    for (file, value) in [("cpu.cfs_period_us", late_period), ("cpu.cfs_burst_us", late_burst)] {
        value.map_or(Ok(()), |value| dir.write(file, &value))?;
    }
    if let Some(idle) = cpu.idle {
        dir.write("cpu.idle", &idle.to_string())?;
    }
    let runtime = set(cpu.realtime_runtime);
    let period = set(cpu.realtime_period).map(|period| period.to_string());
    let late = early(dir, "cpu.rt_period_us", period, runtime.is_some())?;
    if let Some(runtime) = runtime {
        dir.write("cpu.rt_runtime_us", &runtime.to_string())?;
    }
    late.map_or(Ok(()), |value| dir.write("cpu.rt_period_us", &value))
}

/// Writes a value. `EINVAL` gives it back to be written later if `again`.
pub(super) fn early(
    dir: &Dir,
    file: &str,
    value: Option<alloc::string::String>,
    again: bool,
) -> Result<Option<alloc::string::String>> {
    let Some(value) = value else { return Ok(None) };
    match dir.try_write(file, &value) {
        Ok(()) => Ok(None),
        Err(Errno::EINVAL) if again => Ok(Some(value)),
        Err(errno) => Err(dir.refused(file, &value, errno)),
    }
}

/// A cpuset hierarchy that was mounted with `noprefix` (Android) has short names.
pub(super) fn cpuset_file(dir: &Dir, name: &'static str) -> &'static str {
    if dir.has(name) { name } else { name.strip_prefix("cpuset.").unwrap_or(name) }
}

fn cpuset(dir: &Dir, cpu: &Cpu) -> Result<()> {
    for (name, value) in [("cpuset.cpus", &cpu.cpus), ("cpuset.mems", &cpu.mems)] {
        if !value.is_empty() {
            dir.write(cpuset_file(dir, name), value)?;
        }
    }
    Ok(())
}

pub(super) fn pids(dir: &Dir, resources: &Resources) -> Result<()> {
    let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) else { return Ok(()) };
    let value = convert::pids_max(limit).map_or("max".into(), |limit| limit.to_string());
    dir.write("pids.max", &value)
}

fn blkio(dir: &Dir, io: &BlockIo) -> Result<()> {
    // CFQ's files are gone since Linux 5.0; BFQ has its own.
    let bfq =
        (set(io.weight).is_some() || !io.weight_device.is_empty()) && !dir.has("blkio.weight");
    let file = if bfq { "blkio.bfq.weight" } else { "blkio.weight" };
    let device_file = if bfq { "blkio.bfq.weight_device" } else { "blkio.weight_device" };
    if let Some(weight) = set(io.weight) {
        dir.write(file, &weight.to_string())?;
    }
    if let Some(weight) = set(io.leaf_weight) {
        dir.write("blkio.leaf_weight", &weight.to_string())?;
    }
    for device in &io.weight_device {
        let value = |weight: u16| format!("{}:{} {weight}", device.major, device.minor);
        if let Some(weight) = set(device.weight) {
            dir.write(device_file, &value(weight))?;
        }
        if let Some(weight) = set(device.leaf_weight) {
            dir.write("blkio.leaf_weight_device", &value(weight))?;
        }
    }
    let throttle = |file: &str, devices: &[ThrottleDevice]| {
        devices.iter().try_for_each(|device| {
            let ThrottleDevice { major, minor, rate } = device;
            dir.write(file, &format!("{major}:{minor} {rate}"))
        })
    };
    throttle("blkio.throttle.read_bps_device", &io.throttle_read_bps_device)?;
    throttle("blkio.throttle.write_bps_device", &io.throttle_write_bps_device)?;
    throttle("blkio.throttle.read_iops_device", &io.throttle_read_iops_device)?;
    throttle("blkio.throttle.write_iops_device", &io.throttle_write_iops_device)
}

/// Limits pages in use and, since Linux 5.7, reserved ones. `suffix` differs with the version.
pub(super) fn hugetlb(dir: &Dir, limits: &[HugepageLimit], suffix: &str) -> Result<()> {
    for HugepageLimit { page_size, limit } in limits {
        super::check::check_page_size(page_size)?;
        let value = limit.to_string();
        dir.write(&format!("hugetlb.{page_size}{suffix}"), &value)?;
        let reserved = format!("hugetlb.{page_size}.rsvd{suffix}");
        match dir.try_write(&reserved, &value) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(dir.refused(&reserved, &value, errno)),
        }
    }
    Ok(())
}

fn net_cls(dir: &Dir, network: &Network) -> Result<()> {
    set(network.class_id).map_or(Ok(()), |id| dir.write("net_cls.classid", &id.to_string()))
}

fn net_prio(dir: &Dir, network: &Network) -> Result<()> {
    network.priorities.iter().try_for_each(|interface| {
        dir.write("net_prio.ifpriomap", &format!("{} {}", interface.name, interface.priority))
    })
}

pub(super) fn rdma(dir: &Dir, resources: &Resources) -> Result<()> {
    for (device, limits) in &resources.rdma {
        let mut value = device.clone();
        for (key, limit) in [("handle", limits.hca_handles), ("object", limits.hca_objects)] {
            if let Some(limit) = limit {
                value += &format!(" hca_{key}={limit}");
            }
        }
        dir.write("rdma.max", &value)?;
    }
    Ok(())
}
