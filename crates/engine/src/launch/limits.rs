//! Limits of a container's cgroup and of its processes.

use super::spec::Plan;
use crate::error::{Error, Result};
use crate::record::Config;
use serde_json::{Map, Value, json};
use std::os::unix::fs::MetadataExt;

/// As podman: enough for anything but a fork bomb.
const PIDS_LIMIT: i64 = 2048;
const CPU_PERIOD_US: i64 = 100_000;

/// What the cgroup allows. Without the rights of root only what somebody asks for is tried.
pub(super) fn resources(plan: &Plan<'_>, is_root: bool) -> Result<Value> {
    let mut resources = of_cgroup(plan.config, is_root)?;
    if is_root {
        resources["devices"] = super::hardware::rules(plan.config)?;
    }
    Ok(resources)
}

/// The same without devices: what may change while the container runs.
pub(super) fn of_cgroup(config: &Config, is_root: bool) -> Result<Value> {
    let wanted = &config.resources;
    let mut resources = json!({});
    let mut memory = Map::new();
    for (name, value) in [
        ("limit", wanted.memory),
        ("reservation", wanted.memory_reservation),
        ("swap", wanted.memory_swap),
    ] {
        if value != 0 {
            memory.insert(name.into(), json!(value));
        }
    }
    if wanted.memory > 0 && wanted.memory_swap == 0 && is_root && swap_is_counted() {
        // As docker: as much swap as memory.
        memory.insert("swap".into(), json!(wanted.memory.saturating_mul(2)));
    }
    if let Some(swappiness) = wanted.swappiness {
        memory.insert("swappiness".into(), json!(swappiness));
    }
    if wanted.oom_kill_disable {
        memory.insert("disableOOMKiller".into(), json!(true));
    }
    set(&mut resources, "memory", memory);
    set(&mut resources, "cpu", cpu(config));
    if let Some(limit) = wanted.pids_limit.or(is_root.then_some(PIDS_LIMIT)).filter(|it| *it != 0) {
        resources["pids"] = json!({"limit": limit});
    }
    set(&mut resources, "blockIO", block_io(config)?);
    Ok(resources)
}

/// The first limit of the cgroup that an ordinary user has asked for.
pub(super) fn asked(config: &Config) -> Result<Option<&'static str>> {
    const NAMES: [(&str, &str); 4] = [
        ("memory", "--memory and its kin"),
        ("cpu", "--cpus and its kin"),
        ("pids", "--pids-limit"),
        ("blockIO", "--blkio-weight, --device-read-bps and its kin"),
    ];
    let limits = of_cgroup(config, false)?;
    Ok(NAMES.into_iter().find(|(name, _)| limits.get(name).is_some()).map(|(_, options)| options))
}

fn set(resources: &mut Value, name: &str, values: Map<String, Value>) {
    if !values.is_empty() {
        resources[name] = Value::Object(values);
    }
}

fn swap_is_counted() -> bool {
    ["/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes", "/sys/fs/cgroup/memory.swap.max"]
        .iter()
        .any(|path| std::path::Path::new(path).exists())
}

fn cpu(config: &Config) -> Map<String, Value> {
    let wanted = &config.resources;
    let mut cpu = Map::new();
    for (name, value) in [
        ("shares", wanted.cpu_shares),
        ("quota", wanted.cpu_quota),
        ("period", wanted.cpu_period),
        ("realtimeRuntime", wanted.cpu_rt_runtime),
        ("realtimePeriod", wanted.cpu_rt_period),
    ] {
        if value != 0 {
            cpu.insert(name.into(), json!(value));
        }
    }
    if wanted.cpu_quota > 0 && wanted.cpu_period == 0 {
        cpu.insert("period".into(), json!(CPU_PERIOD_US));
    }
    for (name, value) in [("cpus", &wanted.cpuset_cpus), ("mems", &wanted.cpuset_mems)] {
        if !value.is_empty() {
            cpu.insert(name.into(), json!(value));
        }
    }
    cpu
}

fn block_io(config: &Config) -> Result<Map<String, Value>> {
    let wanted = &config.resources;
    let mut io = Map::new();
    if wanted.blkio_weight != 0 {
        io.insert("weight".into(), json!(wanted.blkio_weight));
    }
    for (name, key, list) in [
        ("weightDevice", "weight", &wanted.blkio_weight_device),
        ("throttleReadBpsDevice", "rate", &wanted.read_bps),
        ("throttleWriteBpsDevice", "rate", &wanted.write_bps),
        ("throttleReadIOPSDevice", "rate", &wanted.read_iops),
        ("throttleWriteIOPSDevice", "rate", &wanted.write_iops),
    ] {
        let mut devices = Vec::new();
        for text in list {
            devices.push(throttle(text, key)?);
        }
        if !devices.is_empty() {
            io.insert(name.into(), json!(devices));
        }
    }
    Ok(io)
}

/// `PATH:VALUE`, the value being a plain number by now.
fn throttle(text: &str, key: &str) -> Result<Value> {
    let bad = |why: &str| {
        Error::invalid(format!("{text:?}: {why}")).with_hint("write /dev/DEVICE:NUMBER")
    };
    let (path, value) = text.rsplit_once(':').ok_or_else(|| bad("it has no value"))?;
    let value: u64 = value.parse().map_err(|_| bad("the value is no number"))?;
    let metadata = std::fs::metadata(path).map_err(|error| bad(&error.to_string()))?;
    let (major, minor) = sys::fs::split_dev(metadata.rdev());
    Ok(json!({"major": major, "minor": minor, key: value}))
}

/// What a process is limited to, and how the kernel thinks of it.
pub(super) fn of_process(config: &Config, is_root: bool, process: &mut Value) {
    if let Some(mask) = config.umask {
        process["user"]["umask"] = json!(mask);
    }
    let score = config.resources.oom_score_adj;
    if let Some(score) = score.filter(|score| is_root || *score >= own_score()) {
        process["oomScoreAdj"] = json!(score);
    }
    if !config.ulimits.is_empty() {
        let limit = |limit: &crate::record::Ulimit| {
            let value = |number: i64| u64::try_from(number).unwrap_or(u64::MAX);
            let name = format!("RLIMIT_{}", limit.name.to_ascii_uppercase());
            json!({"type": name, "soft": value(limit.soft), "hard": value(limit.hard)})
        };
        process["rlimits"] = config.ulimits.iter().map(limit).collect();
    }
}

/// Only root may make it less likely that the kernel chooses a process.
fn own_score() -> i64 {
    let text = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}
