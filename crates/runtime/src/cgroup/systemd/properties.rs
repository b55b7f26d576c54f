//! Limits as properties of systemd units (systemd.resource-control(5)), mapped as runc does.

use super::super::convert;
use super::super::devices::{DeviceKind, Rules, access_text};
use super::super::layout::Version;
use super::super::plan::Plan;
use super::super::tree::Dir;
use super::super::v1::{check_usage, set};
use super::super::v2::{DEFAULT_PERIOD_US, check_unified_key};
use super::Unit;
use super::wire::Value;
use crate::error::{Error, Result};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use oci::runtime::{Cpu, Resources};

/// Name and value.
pub(super) type Property = (String, Value);

/// systemd's "infinity".
const INFINITY: u64 = u64::MAX;

/// First versions that know `CPUQuotaPeriodUSec`, `DeviceAllow=char-5`, `AllowedCPUs`,
/// `CPUWeight=idle` and `OOMPolicy` of a scope.
const KNOWS_DEVICES: u32 = 240;
const KNOWS_PERIOD: u32 = 242;
const KNOWS_CPUSET: u32 = 244;
const KNOWS_IDLE: u32 = 252;
const KNOWS_OOM_POLICY: u32 = 253;

/// Highest CPU or memory node that is taken: the kernel's largest `CONFIG_NR_CPUS`.
const CPU_LIMIT: u32 = 8192;

/// What properties depend on.
pub(super) struct Context {
    pub(super) version: Version,
    /// systemd's version.
    pub(super) systemd: u32,
    /// Whether device rules are set.
    pub(super) devices: bool,
}

fn property(name: &str, value: Value) -> Property {
    (name.to_owned(), value)
}

/// The properties of every container's unit.
pub(super) fn of_unit(unit: &Unit, version: Version, pid: i32) -> Vec<Property> {
    let mut list =
        alloc::vec![property("Description", Value::Text(format!("container {}", unit.name)))];
    if unit.name.ends_with(".slice") {
        let wants = Value::Array("s".into(), alloc::vec![Value::text(&unit.slice)]);
        list.push(property("Wants", wants));
    } else {
        list.push(property("Slice", Value::text(&unit.slice)));
        list.push(property("Delegate", Value::Bool(true)));
    }
    let pids = Value::Array("u".into(), alloc::vec![Value::U32(pid as u32)]);
    list.push(property("PIDs", pids));
    let io = if version == Version::V2 { "IOAccounting" } else { "BlockIOAccounting" };
    for name in ["MemoryAccounting", "CPUAccounting", io, "TasksAccounting"] {
        list.push(property(name, Value::Bool(true)));
    }
    list.push(property("DefaultDependencies", Value::Bool(false)));
    list
}

/// `memory.oom.group` must be known to systemd from the start.
pub(super) fn oom_policy(
    version: Version,
    resources: &Resources,
    systemd: u32,
) -> Result<Option<Property>> {
    let Some(value) = resources.unified.get("memory.oom.group") else { return Ok(None) };
    if version != Version::V2 || systemd < KNOWS_OOM_POLICY {
        return Ok(None);
    }
    let policy = match unified_number("memory.oom.group", value)? {
        0 => "continue",
        1 => "kill",
        _ => return Ok(None),
    };
    Ok(Some(property("OOMPolicy", Value::text(policy))))
}

/// The properties for `resources`. A quota is rounded up there as systemd rounds it, so that the
/// cgroup's file gets the same.
pub(super) fn of_resources(
    context: &Context,
    resources: &mut Resources,
    warnings: &mut Vec<String>,
) -> Result<Vec<Property>> {
    let v2 = context.version == Version::V2;
    let mut list = Vec::new();
    if context.devices && context.systemd >= KNOWS_DEVICES {
        list.extend(devices(&Rules::parse(&resources.devices)?, warnings));
    }
    memory(resources, v2, &mut list)?;
    if let Some(cpu) = &mut resources.cpu {
        self::cpu(context, cpu, warnings, &mut list)?;
    }
    let io = resources.block_io.as_ref();
    if let (false, Some(weight)) = (v2, io.and_then(|io| set(io.weight))) {
        list.push(property("BlockIOWeight", Value::U64(weight.into())));
    }
    if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) {
        let tasks = convert::pids_max(limit).unwrap_or(INFINITY);
        list.push(property("TasksMax", Value::U64(tasks)));
    }
    if let Some(cpu) = &resources.cpu {
        for (name, field, text) in
            [("AllowedCPUs", "cpus", &cpu.cpus), ("AllowedMemoryNodes", "mems", &cpu.mems)]
        {
            if !text.is_empty() && context.systemd >= KNOWS_CPUSET {
                let field = format!("linux.resources.cpu.{field}");
                list.push(property(name, Value::bytes(&bits(&field, text)?)));
            }
        }
    }
    if v2 {
        for (key, value) in &resources.unified {
            unified(context, key, value.trim(), resources, warnings, &mut list)?;
        }
    }
    Ok(list)
}

fn memory(resources: &Resources, v2: bool, list: &mut Vec<Property>) -> Result<()> {
    let Some(memory) = &resources.memory else { return Ok(()) };
    let limit = if v2 { "MemoryMax" } else { "MemoryLimit" };
    // -1 becomes infinity.
    if let Some(value) = set(memory.limit) {
        list.push(property(limit, Value::U64(value as u64)));
    }
    if !v2 {
        return Ok(());
    }
    if let Some(value) = set(memory.reservation) {
        list.push(property("MemoryLow", Value::U64(value as u64)));
    }
    let swap = convert::swap_alone(memory.swap.unwrap_or(0), memory.limit.unwrap_or(0))?;
    if let Some(value) = swap {
        list.push(property("MemorySwapMax", Value::U64(value as u64)));
    }
    Ok(())
}

fn cpu(
    context: &Context,
    cpu: &mut Cpu,
    warnings: &mut Vec<String>,
    list: &mut Vec<Property>,
) -> Result<()> {
    let shares = set(cpu.shares);
    if context.version != Version::V2 {
        if let Some(shares) = shares {
            convert::check_shares(shares)?;
            list.push(property("CPUShares", Value::U64(shares)));
        }
    } else {
        let idle = cpu.idle == Some(1) && context.systemd >= KNOWS_IDLE;
        if idle {
            list.push(property("CPUWeight", Value::U64(0)));
        }
        match shares {
            Some(_) if idle => {
                warnings.push("unable to apply both cpu.shares and cpu.idle to systemd".into());
                // An idle group has no weight to write either.
                cpu.shares = None;
            }
            Some(shares) => {
                let weight = convert::weight_of_shares(shares);
                list.push(property("CPUWeight", Value::U64(weight)));
            }
            None => {}
        }
    }
    let mut quota = cpu.quota.unwrap_or(0);
    quota_properties(context, &mut quota, set(cpu.period), list);
    cpu.quota = set(Some(quota)).or(cpu.quota);
    Ok(())
}

/// systemd counts the quota in whole percents of one processor: it is rounded up to that.
fn quota_properties(
    context: &Context,
    quota: &mut i64,
    period: Option<u64>,
    list: &mut Vec<Property>,
) {
    const MICROS: u128 = 1_000_000;
    const PERCENT: u128 = 10_000;
    if let Some(period) = period.filter(|_| context.systemd >= KNOWS_PERIOD) {
        list.push(property("CPUQuotaPeriodUSec", Value::U64(period)));
    }
    if *quota == 0 && period.is_none() {
        return;
    }
    let mut per_second = INFINITY;
    if let Ok(wanted @ 1..) = u128::try_from(*quota) {
        let period = u128::from(period.unwrap_or(DEFAULT_PERIOD_US));
        let exact = wanted * MICROS / period;
        let rounded = exact.next_multiple_of(PERCENT);
        if rounded != exact {
            *quota = i64::try_from(rounded * period / MICROS).unwrap_or(*quota);
        }
        per_second = u64::try_from(rounded).unwrap_or(INFINITY);
    }
    list.push(property("CPUQuotaPerSecUSec", Value::U64(per_second)));
}

fn unified_number(key: &str, text: &str) -> Result<u64> {
    let shown = text.escape_debug();
    let error = || Error::invalid(format!("unified resource \"{key}\": \"{shown}\" is no number"));
    text.trim().parse().map_err(|_| error())
}

/// One value of `unified`, where systemd has a property for it; what is written to the file later
/// overrides it.
fn unified(
    context: &Context,
    key: &str,
    value: &str,
    resources: &Resources,
    warnings: &mut Vec<String>,
    list: &mut Vec<Property>,
) -> Result<()> {
    check_unified_key(key)?;
    let number = || match value {
        "max" => Ok(INFINITY),
        value => unified_number(key, value),
    };
    let idle = |value: &str| value.trim() == "1" && context.systemd >= KNOWS_IDLE;
    let name = match key {
        "cpu.idle" => {
            if idle(value) {
                list.push(property("CPUWeight", Value::U64(0)));
            }
            return Ok(());
        }
        "cpu.weight" => {
            if resources.unified.get("cpu.idle").is_some_and(|value| idle(value)) {
                warnings.push("unable to apply both cpu.weight and cpu.idle to systemd".into());
                return Ok(());
            }
            "CPUWeight"
        }
        "cpu.max" => {
            let mut fields = value.split_whitespace();
            let quota = match fields.next() {
                Some("max") => Some(0),
                quota => quota.and_then(|quota| quota.parse().ok()),
            };
            let period = match fields.next() {
                None => Some(DEFAULT_PERIOD_US),
                Some(period) => period.parse().ok().filter(|period| *period != 0),
            };
            let (Some(mut quota), Some(period), None) = (quota, period, fields.next()) else {
                let shown = value.escape_debug();
                let message = format!("unified resource \"{key}\" value invalid: \"{shown}\"");
                return Err(Error::invalid(message));
            };
            quota_properties(context, &mut quota, Some(period), list);
            return Ok(());
        }
        "cpuset.cpus" | "cpuset.mems" => {
            let name = if key == "cpuset.cpus" { "AllowedCPUs" } else { "AllowedMemoryNodes" };
            if context.systemd >= KNOWS_CPUSET {
                let field = format!("unified resource \"{key}\"");
                list.push(property(name, Value::bytes(&bits(&field, value)?)));
            }
            return Ok(());
        }
        "pids.max" => {
            list.push(property("TasksMax", Value::U64(number()?.max(1))));
            return Ok(());
        }
        "memory.high" => "MemoryHigh",
        "memory.low" => "MemoryLow",
        "memory.min" => "MemoryMin",
        "memory.max" => "MemoryMax",
        "memory.swap.max" => "MemorySwapMax",
        _ => return Ok(()),
    };
    list.push(property(name, Value::U64(number()?)));
    Ok(())
}

/// A list of numbers (`1,3-5`) as bits, the lowest first, without zero bytes at the end.
fn bits(field: &str, text: &str) -> Result<Vec<u8>> {
    let invalid = || {
        let shown = text.escape_debug();
        Error::invalid(format!("{field}: \"{shown}\" is not a list of numbers below {CPU_LIMIT}"))
    };
    let mut bits = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number < CPU_LIMIT);
        let (Some(first), Some(last)) = (number(first), number(last)) else {
            return Err(invalid());
        };
        if first > last {
            return Err(invalid());
        }
        for number in first..=last {
            let byte = (number / 8) as usize;
            if bits.len() <= byte {
                bits.resize(byte + 1, 0);
            }
            bits[byte] |= 1 << (number % 8);
        }
    }
    if bits.is_empty() { Err(invalid()) } else { Ok(bits) }
}

/// Device rules. systemd knows lists of what is allowed only, without `*:minor`; the cgroup gets
/// the exact rules behind it.
fn devices(rules: &Rules, warnings: &mut Vec<String>) -> Vec<Property> {
    let allow = |entries: Vec<Value>| property("DeviceAllow", Value::Array("(ss)".into(), entries));
    let policy = |policy: &str| property("DevicePolicy", Value::text(policy));
    // An empty list takes away what the unit had.
    let clear = allow(Vec::new());
    if rules.default_allow && rules.exceptions.is_empty() {
        return alloc::vec![clear, policy("auto")];
    }
    if rules.default_allow {
        let message = "systemd has no rules that deny single devices: it is told to deny all, and \
                       the cgroup gets the rules";
        warnings.push(message.into());
        return alloc::vec![clear, policy("strict")];
    }
    let entry = |which: &super::super::devices::Match| {
        let (group, node) = match which.kind {
            DeviceKind::Block => ("block", "/dev/block"),
            DeviceKind::Char => ("char", "/dev/char"),
        };
        match (which.major, which.minor) {
            (None, None) => Some(format!("{group}-*")),
            (None, Some(_)) => None,
            (Some(major), None) => Some(format!("{group}-{major}")),
            (Some(major), Some(minor)) => Some(format!("{node}/{major}:{minor}")),
        }
    };
    let entries = rules.exceptions.iter().filter_map(|(which, &access)| {
        let path = entry(which)?;
        Some(Value::Struct(alloc::vec![Value::Text(path), Value::Text(access_text(access))]))
    });
    alloc::vec![clear, policy("strict"), allow(entries.collect())]
}

/// Completes an update that gives one half of a pair: systemd wants quota and period, and memory
/// and swap, together. Refuses limits below the usage before systemd kills for them.
pub(super) fn complete(plan: &Plan, resources: &mut Resources) -> Result<()> {
    let dir = |controller: &str| {
        let directory = match plan.version {
            Version::V2 => plan.unified(),
            _ => plan.directory(controller),
        };
        Ok::<_, Error>(directory.filter(|d| d.used).map(Dir::find).transpose()?.flatten())
    };
    if let Some(cpu) = &mut resources.cpu {
        let (quota, period) = (set(cpu.quota), set(cpu.period));
        if quota.is_some() != period.is_some()
            && let Some(dir) = dir("cpu")?
        {
            let (old_quota, old_period) = current_quota(&dir, plan.version)?;
            cpu.quota = quota.or(old_quota);
            cpu.period = period.or(old_period);
        }
    }
    if let Some(memory) = &mut resources.memory {
        let v2 = plan.version == Version::V2;
        if let Some(dir) = dir("memory")? {
            let usage = if v2 { "memory.current" } else { "memory.usage_in_bytes" };
            if memory.check_before_update == Some(true) {
                check_usage(&dir, memory, usage)?;
            }
            if v2 && memory.swap.is_some_and(|swap| swap > 0) && set(memory.limit).is_none() {
                let limit = dir.number("memory.max")?;
                memory.limit = limit.map(|limit| i64::try_from(limit).unwrap_or(-1));
            }
        }
    }
    Ok(())
}

/// (quota, period) that are in force; no limit is -1.
fn current_quota(dir: &Dir, version: Version) -> Result<(Option<i64>, Option<u64>)> {
    if version != Version::V2 {
        let quota = dir.read_optional("cpu.cfs_quota_us")?.unwrap_or_default();
        return Ok((quota.trim().parse().ok(), dir.number("cpu.cfs_period_us")?));
    }
    let text = dir.read_optional("cpu.max")?.unwrap_or_default();
    let mut fields = text.split_whitespace();
    let quota = match fields.next() {
        Some("max") => Some(-1),
        quota => quota.and_then(|quota| quota.to_string().parse().ok()),
    };
    Ok((quota, fields.next().and_then(|period| period.parse().ok())))
}

#[cfg(test)]
mod tests;
