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
mod tests {
    use super::super::super::devices::default_device_rules;
    use super::*;

    fn check(version: Version, systemd: u32, json: &str, expected: &[&str]) -> Resources {
        let mut resources: Resources = serde_json::from_str(json).unwrap();
        let context = Context { version, systemd, devices: false };
        let list = of_resources(&context, &mut resources, &mut Vec::new()).unwrap();
        let shown: Vec<String> = list.iter().map(show).collect();
        assert_eq!(shown, expected, "{json}");
        resources
    }

    fn show((name, value): &Property) -> String {
        match value {
            Value::U64(u64::MAX) => format!("{name}=infinity"),
            Value::U64(value) => format!("{name}={value}"),
            Value::Text(text) => format!("{name}={text}"),
            Value::Array(_, values) => {
                let one = |value: &Value| match value {
                    Value::Byte(byte) => format!("{byte:08b}"),
                    Value::Struct(fields) => match fields.as_slice() {
                        [Value::Text(a), Value::Text(b)] => format!("{a} {b}"),
                        other => panic!("{other:?}"),
                    },
                    other => panic!("{other:?}"),
                };
                format!("{name}=[{}]", values.iter().map(one).collect::<Vec<_>>().join(", "))
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn limits_become_properties_on_v2() {
        let check = |json, expected: &[&str]| check(Version::V2, 255, json, expected);
        check("{}", &[]);
        check(
            r#"{"memory":{"limit":100,"swap":150,"reservation":50},"pids":{"limit":20}}"#,
            &["MemoryMax=100", "MemoryLow=50", "MemorySwapMax=50", "TasksMax=20"],
        );
        check(r#"{"memory":{"limit":-1}}"#, &["MemoryMax=infinity", "MemorySwapMax=infinity"]);
        check(r#"{"memory":{"limit":5,"swap":5}}"#, &["MemoryMax=5", "MemorySwapMax=0"]);
        check(r#"{"pids":{"limit":-1}}"#, &["TasksMax=infinity"]);
        check(r#"{"pids":{"limit":0}}"#, &["TasksMax=1"]);
        check(r#"{"cpu":{"shares":1024,"idle":0}}"#, &["CPUWeight=100"]);
        check(r#"{"cpu":{"idle":1}}"#, &["CPUWeight=0"]);
        check(
            r#"{"cpu":{"cpus":"0,3-5, 9","mems":"1"}}"#,
            &["AllowedCPUs=[00111001, 00000010]", "AllowedMemoryNodes=[00000010]"],
        );
        check(r#"{"blockIO":{"weight":100}}"#, &[]);
        check(
            r#"{"unified":{"memory.high":"max","memory.min":" 5 ","pids.max":"0","cpu.weight":"7",
                "cpu.max":"max 50000","cpuset.cpus":"1","io.max":"8:0 riops=1","hugetlb.2MB.max":"0",
                "memory.oom.group":"1"}}"#,
            &[
                "CPUQuotaPeriodUSec=50000",
                "CPUQuotaPerSecUSec=infinity",
                "CPUWeight=7",
                "AllowedCPUs=[00000010]",
                "MemoryHigh=infinity",
                "MemoryMin=5",
                "TasksMax=1",
            ],
        );
        check(r#"{"unified":{"cpu.idle":"1","cpu.weight":"7"}}"#, &["CPUWeight=0"]);
    }

    #[test]
    fn limits_become_properties_on_v1() {
        check(
            Version::V1,
            219,
            r#"{"memory":{"limit":-1,"swap":5},"cpu":{"shares":2,"cpus":"0","period":1000},
                "blockIO":{"weight":10}}"#,
            &[
                "MemoryLimit=infinity",
                "CPUShares=2",
                "CPUQuotaPerSecUSec=infinity",
                "BlockIOWeight=10",
            ],
        );
    }

    #[test]
    fn quotas_are_rounded_up_as_systemd_does() {
        let quota =
            |json, expected: &[&str]| check(Version::V2, 255, json, expected).cpu.unwrap().quota;
        let json = r#"{"cpu":{"quota":40000,"period":100000}}"#;
        let exact = ["CPUQuotaPeriodUSec=100000", "CPUQuotaPerSecUSec=400000"];
        assert_eq!(quota(json, &exact), Some(40_000));
        let json = r#"{"cpu":{"quota":3334,"period":10000}}"#;
        let rounded = ["CPUQuotaPeriodUSec=10000", "CPUQuotaPerSecUSec=340000"];
        assert_eq!(quota(json, &rounded), Some(3400));
        assert_eq!(quota(r#"{"cpu":{"quota":5000}}"#, &["CPUQuotaPerSecUSec=50000"]), Some(5000));
        assert_eq!(quota(r#"{"cpu":{"quota":-1}}"#, &["CPUQuotaPerSecUSec=infinity"]), Some(-1));
        let huge = r#"{"cpu":{"quota":9223372036854775807,"period":1}}"#;
        quota(huge, &["CPUQuotaPeriodUSec=1", "CPUQuotaPerSecUSec=infinity"]);
    }

    #[test]
    fn what_old_versions_do_not_know_is_left_out() {
        let json = r#"{"cpu":{"quota":50000,"period":100000,"idle":1,"shares":1024,"cpus":"0"}}"#;
        check(Version::V2, 241, json, &["CPUWeight=100", "CPUQuotaPerSecUSec=500000"]);
        let mut resources = Resources::default();
        resources.unified.insert("memory.oom.group".into(), "1".into());
        assert_eq!(oom_policy(Version::V2, &resources, 252).unwrap(), None);
        let known = oom_policy(Version::V2, &resources, 253).unwrap().unwrap();
        assert_eq!(show(&known), "OOMPolicy=kill");
    }

    #[test]
    fn bad_values_are_refused() {
        for json in [
            r#"{"cpu":{"cpus":"5-3"}}"#,
            r#"{"cpu":{"cpus":"x"}}"#,
            r#"{"cpu":{"cpus":","}}"#,
            r#"{"cpu":{"cpus":"0-4294967295"}}"#,
            r#"{"unified":{"memory.max":"-1"}}"#,
            r#"{"unified":{"cpu.max":""}}"#,
            r#"{"unified":{"cpu.max":"1 2 3"}}"#,
            r#"{"unified":{"cpu.max":"1 0"}}"#,
            r#"{"unified":{"../memory.max":"1"}}"#,
            r#"{"unified":{"tasks":"1"}}"#,
            r#"{"memory":{"limit":2,"swap":1}}"#,
        ] {
            let mut resources: Resources = serde_json::from_str(json).unwrap();
            let context = Context { version: Version::V2, systemd: 255, devices: false };
            let list = of_resources(&context, &mut resources, &mut Vec::new());
            assert!(list.is_err(), "{json}");
        }
    }

    #[test]
    fn device_rules_become_properties() {
        let check = |state: Rules, expected: &[&str]| {
            let list = devices(&state, &mut Vec::new());
            assert_eq!(list.iter().map(show).collect::<Vec<_>>(), expected);
        };
        check(
            Rules { default_allow: true, ..Rules::default() },
            &["DeviceAllow=[]", "DevicePolicy=auto"],
        );
        check(Rules::default(), &["DeviceAllow=[]", "DevicePolicy=strict", "DeviceAllow=[]"]);
        check(
            Rules::parse(&default_device_rules()).unwrap(),
            &[
                "DeviceAllow=[]",
                "DevicePolicy=strict",
                "DeviceAllow=[block-* m, char-* m, /dev/char/1:3 rwm, /dev/char/1:5 rwm, \
                 /dev/char/1:7 rwm, /dev/char/1:8 rwm, /dev/char/1:9 rwm, /dev/char/5:0 rwm, \
                 /dev/char/5:2 rwm, /dev/char/10:200 rwm, char-136 rwm]",
            ],
        );
    }

    #[test]
    fn a_unit_has_the_properties_that_runc_gives() {
        let mut unit = Unit {
            name: "tare-x.scope".into(),
            slice: "system.slice".into(),
            manager: "/".into(),
            user: false,
            unnamed: false,
            address: None,
            uid: 0,
            properties: vec![],
        };
        let names = |list: Vec<Property>| list.into_iter().map(|(n, _)| n).collect::<Vec<_>>();
        let tail = ["CPUAccounting", "IOAccounting", "TasksAccounting", "DefaultDependencies"];
        let mut expected = vec!["Description", "Slice", "Delegate", "PIDs", "MemoryAccounting"];
        expected.extend(tail);
        assert_eq!(names(of_unit(&unit, Version::V2, 5)), expected);
        unit.name = "x.slice".into();
        let slice = names(of_unit(&unit, Version::V1, 5));
        assert!(slice.contains(&"Wants".into()) && slice.contains(&"BlockIOAccounting".into()));
        assert!(!slice.contains(&"Delegate".into()));
    }
}
