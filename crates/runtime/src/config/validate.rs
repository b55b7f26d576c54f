//! What has to be true of a configuration before anything is made. Every refusal names the field.

use super::{
    bounds, io_class, limit_number, memory_mode, memory_policy_flags, personality_value,
    plan_mount, scheduler_flags, scheduler_policy,
};
use crate::error::{Error, Result};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use oci::runtime::{Hook, IdMapping, Linux, Map, NamespaceKind, Process, Scheduler, Spec};

/// Checks a whole configuration.
pub fn validate(spec: &Spec) -> Result<()> {
    check_version(&spec.oci_version)?;
    for (name, present) in [
        ("vm", spec.vm.is_some()),
        ("windows", spec.windows.is_some()),
        ("solaris", spec.solaris.is_some()),
        ("freebsd", spec.freebsd.is_some()),
        ("zos", spec.zos.is_some()),
    ] {
        if present && spec.linux.is_none() {
            let what = format!("{name}: this is a runtime for Linux containers");
            return Err(Error::new(crate::error::Kind::Unsupported, what));
        }
    }
    let root = spec.root.as_ref().ok_or_else(|| missing("root"))?;
    if root.path.is_empty() {
        return Err(missing("root.path"));
    }
    bounds::check(spec)?;
    if let Some(process) = &spec.process {
        validate_process(process, "process")?;
    }
    for (index, mount) in spec.mounts.iter().enumerate() {
        plan_mount(mount, &format!("mounts[{index}]"))?;
    }
    check_hooks(spec)?;
    let default = Linux::default();
    let linux = spec.linux.as_ref().unwrap_or(&default);
    check_linux(linux)?;
    check_hostname(spec, linux)
}

fn missing(field: &str) -> Error {
    Error::invalid(format!("{field}: is missing"))
}

fn has(linux: &Linux, kind: NamespaceKind) -> bool {
    linux.namespaces.iter().any(|namespace| namespace.kind == kind)
}

/// Any 1.x document is read; unknown fields of later ones are ignored, as the specification's
/// rules for minor versions intend.
fn check_version(version: &str) -> Result<()> {
    if version.is_empty() {
        return Err(missing("ociVersion"));
    }
    let number = version.split(['-', '+']).next().unwrap_or("");
    let mut parts = number.split('.').map(|part| part.parse::<u32>().ok());
    match (parts.next().flatten(), parts.next().flatten(), parts.next().flatten(), parts.next()) {
        (Some(1), Some(_), Some(_), None) => Ok(()),
        (Some(_), Some(_), Some(_), None) => Err(Error::invalid(format!(
            "ociVersion: {version:?} is not a version of the 1.x specification"
        ))),
        _ => Err(Error::invalid(format!("ociVersion: {version:?} is not a version number"))),
    }
}

/// Checks a process; `field` is its place in the document.
pub fn validate_process(process: &Process, field: &str) -> Result<()> {
    if process.args.is_empty() {
        return Err(Error::invalid(format!("{field}.args: needs at least the program's name")));
    }
    if process.cwd.is_empty() {
        return Err(missing(&format!("{field}.cwd")));
    }
    if !process.cwd.starts_with('/') {
        let cwd = &process.cwd;
        return Err(Error::invalid(format!("{field}.cwd: {cwd:?} is not an absolute path")));
    }
    bounds::check_process(process, field)?;
    if let Some(size) = &process.console_size {
        let largest = u64::from(u16::MAX);
        if size.height > largest || size.width > largest {
            return Err(Error::invalid(format!("{field}.consoleSize: more than {largest}")));
        }
    }
    if let Some(at) = process.env.iter().position(|text| !text.contains('=')) {
        let text = &process.env[at];
        return Err(Error::invalid(format!("{field}.env[{at}]: {text:?} is not NAME=value")));
    }
    if let Some(affinity) = &process.exec_cpu_affinity {
        for (name, list) in [("initial", &affinity.initial), ("final", &affinity.final_)] {
            crate::process::parse_list(list)
                .map_err(|why| Error::invalid(format!("{field}.execCPUAffinity.{name}: {why}")))?;
        }
    }
    check_limits(process, field)?;
    if let Some(score) = process.oom_score_adj.filter(|score| !(-1000..=1000).contains(score)) {
        let what = format!("{field}.oomScoreAdj: {score} is not between -1000 and 1000");
        return Err(Error::invalid(what));
    }
    if let Some(umask) = process.user.umask.filter(|umask| *umask > 0o777) {
        return Err(Error::invalid(format!("{field}.user.umask: {umask} is more than 0777")));
    }
    if let Some(scheduler) = &process.scheduler {
        scheduler_policy(&scheduler.policy)?;
        scheduler_flags(&scheduler.flags)?;
        if !(-20..=19).contains(&scheduler.nice) {
            let what = format!("{field}.scheduler.nice: {} is not -20 to 19", scheduler.nice);
            return Err(Error::invalid(what));
        }
        let real_time = matches!(scheduler.policy.as_str(), "SCHED_FIFO" | "SCHED_RR");
        if scheduler.priority != 0 && !real_time {
            let what = "only has a meaning for SCHED_FIFO and SCHED_RR";
            return Err(Error::invalid(format!("{field}.scheduler.priority: {what}")));
        }
        let runtime = scheduler.runtime.unwrap_or(0);
        let deadline = runtime | scheduler.deadline | scheduler.period != 0;
        if deadline && scheduler.policy != "SCHED_DEADLINE" {
            let what = "runtime, deadline and period belong to SCHED_DEADLINE";
            return Err(Error::invalid(format!("{field}.scheduler: {what}")));
        }
        check_deadline(scheduler).map_err(|why| {
            Error::invalid(format!("{field}.scheduler: sched_setattr: `SCHED_DEADLINE` {why}"))
        })?;
    }
    if let Some(io) = &process.io_priority {
        io_class(&io.class)?;
        if !(0..=7).contains(&io.priority) {
            let what = format!("{field}.ioPriority.priority: {} is not 0 to 7", io.priority);
            return Err(Error::invalid(what));
        }
    }
    Ok(())
}

/// The kernel's conditions (sched(7)), which it answers with a bare EINVAL.
fn check_deadline(scheduler: &Scheduler) -> core::result::Result<(), &'static str> {
    /// The kernel's resolution: 2^10 ns.
    const SHORTEST_NS: u64 = 1 << 10;
    const LONGEST_NS: u64 = (1 << 63) - 1;
    let Scheduler { runtime, deadline, period, .. } = *scheduler;
    if scheduler.policy != "SCHED_DEADLINE" {
        return Ok(());
    }
    let runtime = runtime.ok_or("requires `runtime`")?;
    if runtime == 0 {
        return Err("runtime must be greater than 0");
    }
    if deadline == 0 {
        return Err("requires `deadline`");
    }
    if !(SHORTEST_NS..=LONGEST_NS).contains(&runtime) {
        return Err("runtime must be between 1024 and 2^63 - 1");
    }
    if runtime > deadline {
        return Err("runtime must be <= deadline");
    }
    if period != 0 && deadline > period {
        return Err("deadline must be <= period");
    }
    Ok(())
}

fn check_limits(process: &Process, field: &str) -> Result<()> {
    // There are 16 kinds of limit.
    let mut seen: Vec<&str> = Vec::new();
    for (index, limit) in process.rlimits.iter().enumerate() {
        let field = format_args!("{field}.rlimits[{index}]");
        if limit_number(&limit.kind).is_none() {
            let kind = &limit.kind;
            return Err(Error::invalid(format!("{field}.type: {kind:?} is not a limit")));
        }
        if seen.contains(&&*limit.kind) {
            return Err(Error::invalid(format!("{field}.type: {:?} is set twice", limit.kind)));
        }
        seen.push(&limit.kind);
        if limit.soft > limit.hard {
            let (soft, hard) = (limit.soft, limit.hard);
            let what = format!("{field}: the soft limit {soft} is above the hard limit {hard}");
            return Err(Error::invalid(what));
        }
    }
    Ok(())
}

fn check_hooks(spec: &Spec) -> Result<()> {
    let Some(hooks) = &spec.hooks else { return Ok(()) };
    let kinds: [(&str, &[Hook]); 6] = [
        ("prestart", &hooks.prestart),
        ("createRuntime", &hooks.create_runtime),
        ("createContainer", &hooks.create_container),
        ("startContainer", &hooks.start_container),
        ("poststart", &hooks.poststart),
        ("poststop", &hooks.poststop),
    ];
    kinds.into_iter().try_for_each(|(kind, list)| bounds::check_hooks(kind, list))
}

fn check_linux(linux: &Linux) -> Result<()> {
    // There are 8 kinds of namespace.
    let mut seen: Vec<NamespaceKind> = Vec::new();
    for (index, namespace) in linux.namespaces.iter().enumerate() {
        let field = format_args!("linux.namespaces[{index}]");
        if seen.contains(&namespace.kind) {
            let kind = namespace.kind.name();
            return Err(Error::invalid(format!("{field}: a second {kind} namespace")));
        }
        seen.push(namespace.kind);
        let path = namespace.path.as_deref().unwrap_or("");
        if !path.is_empty() && !path.starts_with('/') {
            return Err(Error::invalid(format!("{field}.path: {path:?} is not absolute")));
        }
    }
    check_mappings(linux)?;
    if !linux.time_offsets.is_empty() && !has(linux, NamespaceKind::Time) {
        return Err(Error::invalid("linux.timeOffsets: there is no new time namespace"));
    }
    for clock in linux.time_offsets.keys() {
        if clock != "monotonic" && clock != "boottime" {
            let what = format!("linux.timeOffsets: {clock:?} is not monotonic or boottime");
            return Err(Error::invalid(what));
        }
    }
    for (name, paths) in
        [("maskedPaths", &linux.masked_paths), ("readonlyPaths", &linux.readonly_paths)]
    {
        for (index, path) in paths.iter().enumerate() {
            bounds::check_path(format_args!("linux.{name}[{index}]"), path)?;
            // Relative ones count from the root, as with other runtimes.
            if path.is_empty() {
                return Err(Error::invalid(format!("linux.{name}[{index}]: is empty")));
            }
        }
        if !paths.is_empty() && !has(linux, NamespaceKind::Mount) {
            return Err(Error::invalid(format!("linux.{name}: there is no mount namespace")));
        }
    }
    check_propagation(&linux.rootfs_propagation)?;
    check_sysctls(linux)?;
    check_devices(linux)?;
    check_net_devices(linux)?;
    if let Some(personality) = &linux.personality {
        personality_value(personality)?;
    }
    if let Some(policy) = &linux.memory_policy {
        check_memory_policy(policy)?;
    }
    if let Some(rdt) = &linux.intel_rdt {
        let name = &rdt.clos_id;
        if name == "." || name == ".." || (name.contains('/') && name != "/") {
            return Err(Error::invalid(format!("linux.intelRdt.closID: {name:?} is not a name")));
        }
        let (l3, bandwidth) = (&rdt.l3_cache_schema, &rdt.mem_bw_schema);
        for text in rdt.schemata.iter().chain([name, l3, bandwidth]) {
            if text.contains(['\n', '\0']) {
                return Err(Error::invalid(format!("linux.intelRdt: {text:?} is not one line")));
            }
        }
        if !bandwidth.is_empty() && !bandwidth.starts_with("MB:") {
            let what = format!("linux.intelRdt.memBwSchema: {bandwidth:?} does not start with MB:");
            return Err(Error::invalid(what));
        }
    }
    Ok(())
}

fn check_devices(linux: &Linux) -> Result<()> {
    for (index, device) in linux.devices.iter().enumerate() {
        let field = format_args!("linux.devices[{index}]");
        if !matches!(device.kind.as_str(), "b" | "c" | "u" | "p") {
            let kind = &device.kind;
            return Err(Error::invalid(format!("{field}.type: {kind:?} is not b, c, u or p")));
        }
        if !device.path.starts_with('/') {
            let path = &device.path;
            return Err(Error::invalid(format!("{field}.path: {path:?} is not absolute")));
        }
        let valid = |number: i64| (0..=0xfffff).contains(&number);
        if device.kind != "p" && !(valid(device.major) && valid(device.minor)) {
            return Err(Error::invalid(format!("{field}: no such device number")));
        }
    }
    Ok(())
}

fn check_mappings(linux: &Linux) -> Result<()> {
    let user = linux.namespaces.iter().find(|namespace| namespace.kind == NamespaceKind::User);
    let mapped = !linux.uid_mappings.is_empty() || !linux.gid_mappings.is_empty();
    if user.is_none() && mapped {
        let what = "linux.uidMappings: there are mappings but no user namespace";
        return Err(Error::invalid(what));
    }
    for (name, mappings) in
        [("uidMappings", &linux.uid_mappings), ("gidMappings", &linux.gid_mappings)]
    {
        for (index, IdMapping { container_id, host_id, size }) in mappings.iter().enumerate() {
            let fits = |first: u32| first.checked_add(*size).is_some();
            if *size == 0 || !fits(*container_id) || !fits(*host_id) {
                let what = format!("linux.{name}[{index}]: size {size} is not a valid range");
                return Err(Error::invalid(what));
            }
        }
        /// The kernel's limit (user_namespaces(7)).
        const MAPPINGS_LIMIT: usize = 340;
        if mappings.len() > MAPPINGS_LIMIT {
            return Err(Error::invalid(format!("linux.{name}: more than {MAPPINGS_LIMIT}")));
        }
    }
    Ok(())
}

fn check_propagation(name: &str) -> Result<()> {
    const KNOWN: [&str; 9] = [
        "",
        "private",
        "rprivate",
        "shared",
        "rshared",
        "slave",
        "rslave",
        "unbindable",
        "runbindable",
    ];
    if KNOWN.contains(&name) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "linux.rootfsPropagation: unknown value {name:?}, expected shared, slave, private or \
         unbindable, or one of them with an r in front"
    )))
}

/// A sysctl may only be set where it belongs to a namespace of the container: anything else
/// would change the host.
fn check_sysctls(linux: &Linux) -> Result<()> {
    const IPC: [&str; 11] = [
        "kernel/msgmax",
        "kernel/msgmnb",
        "kernel/msgmni",
        "kernel/sem",
        "kernel/shmall",
        "kernel/shmmax",
        "kernel/shmmni",
        "kernel/shm_rmid_forced",
        "kernel/auto_msgmni",
        "kernel/msg_next_id",
        "kernel/sem_next_id",
    ];
    for name in linux.sysctl.keys() {
        let path = sysctl_path(name);
        let (kind, owner) = if path.starts_with("net/") {
            (NamespaceKind::Network, "network")
        } else if path.starts_with("fs/mqueue/") || IPC.contains(&path.as_str()) {
            (NamespaceKind::Ipc, "ipc")
        } else if matches!(path.as_str(), "kernel/hostname" | "kernel/domainname") {
            (NamespaceKind::Uts, "uts")
        } else {
            return Err(Error::invalid(format!(
                "linux.sysctl: {name:?} is not in a separate kernel namespace"
            ))
            .with_hint("set it on the host: it would change every container and the host"));
        };
        if path.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
            return Err(Error::invalid(format!("linux.sysctl: {name:?} is not a sysctl's name")));
        }
        if !has(linux, kind) {
            return Err(Error::invalid(format!(
                "linux.sysctl: {name:?} is not allowed without a new {owner} namespace"
            )));
        }
        if path == "kernel/hostname" {
            let what = "linux.sysctl: kernel.hostname is set by the field hostname";
            return Err(Error::invalid(what));
        }
    }
    Ok(())
}

/// A sysctl's path below `/proc/sys`. Whichever separator comes first is the separator; the other
/// one is then part of a name (sysctl.d(5)): `net.ipv4.conf.eth0/1.forwarding`.
pub(crate) fn sysctl_path(name: &str) -> String {
    match name.find(['.', '/']).map(|at| name.as_bytes()[at]) {
        Some(b'.') => name
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
        _ => name.into(),
    }
}

/// The kernel would only say that something is invalid.
fn check_memory_policy(policy: &oci::runtime::MemoryPolicy) -> Result<()> {
    let invalid =
        |what: &str, error: Error| Error::invalid(format!("invalid memory policy {what}: {error}"));
    let mode = memory_mode(&policy.mode).map_err(|error| invalid("mode", error))?;
    memory_policy_flags(&policy.flags).map_err(|error| invalid("flag", error))?;
    let nodes = crate::process::parse_list(&policy.nodes).map_err(|why| {
        invalid("nodes", Error::invalid(format!("linux.memoryPolicy.nodes: {why}")))
    })?;
    let count: u32 = nodes.iter().map(|word| word.count_ones()).sum();
    // MPOL_DEFAULT and MPOL_LOCAL.
    if matches!(mode, 0 | 4) && count > 0 {
        let what = format!("{} mode requires 0 nodes but got {count}", policy.mode);
        return Err(Error::invalid(format!("linux.memoryPolicy.nodes: {what}")));
    }
    Ok(())
}

fn check_net_devices(linux: &Linux) -> Result<()> {
    if linux.net_devices.is_empty() {
        return Ok(());
    }
    if !has(linux, NamespaceKind::Network) {
        return Err(Error::invalid("linux.netDevices: there is no network namespace"));
    }
    let mut inner_names: Map<()> = Map::new();
    for (name, device) in &linux.net_devices {
        let inner = if device.name.is_empty() { name } else { &device.name };
        if inner.contains('%') {
            if inner.matches('%').count() != 1 || !inner.contains("%d") {
                let what =
                    format!("linux.netDevices: {inner:?}: a template has one %d and no other %");
                return Err(Error::invalid(what));
            }
        } else if inner_names.contains_key(inner) {
            let what = format!("linux.netDevices: {inner:?}: two devices would have this name");
            return Err(Error::invalid(what));
        }
        inner_names.insert(inner.clone(), ());
        for (field, name) in [("", name), (".name", &device.name)] {
            if (field.is_empty() || !name.is_empty()) && !is_interface_name(name) {
                return Err(Error::invalid(format!(
                    "linux.netDevices{field}: {name:?} is not the name of a network device"
                )));
            }
        }
    }
    Ok(())
}

/// The kernel's rule (`dev_valid_name`): 1 to 15 bytes without slash, colon and white space.
fn is_interface_name(name: &str) -> bool {
    let bad = |byte: u8| byte == b'/' || byte == b':' || byte == 0 || byte.is_ascii_whitespace();
    (1..=15).contains(&name.len()) && name != "." && name != ".." && !name.bytes().any(bad)
}

fn check_hostname(spec: &Spec, linux: &Linux) -> Result<()> {
    /// `__NEW_UTS_LEN`.
    const LIMIT_BYTES: usize = 64;
    for (field, name) in [("hostname", &spec.hostname), ("domainname", &spec.domainname)] {
        if !name.is_empty() && !has(linux, NamespaceKind::Uts) {
            let what = format!("{field}: unable to set it without a private UTS namespace");
            return Err(Error::invalid(what));
        }
        if name.len() > LIMIT_BYTES {
            return Err(Error::invalid(format!("{field}: has more than {LIMIT_BYTES} bytes")));
        }
    }
    let differs = |(name, value): (&String, &String)| {
        sysctl_path(name) == "kernel/domainname" && *value != spec.domainname
    };
    if !spec.domainname.is_empty() && linux.sysctl.iter().any(differs) {
        return Err(Error::invalid(
            "linux.sysctl: kernel.domainname is set by the field domainname",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: &str) {
        let base = r#"{"ociVersion":"1.0.2","root":{"path":"rootfs"}"#;
        let text = format!("{base}{}{json}}}", if json.is_empty() { "" } else { "," });
        let spec = oci::json::read(text.as_bytes()).expect(&text);
        let got = validate(&spec).err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(got, expected, "{text}");
    }

    #[test]
    fn refusals_name_the_field() {
        check("", "");
        check(r#""process":{"cwd":"/"}"#, "process.args: needs at least the program's name");
        check(r#""process":{"args":["a"]}"#, "process.cwd: is missing");
        check(
            r#""process":{"args":["a"],"cwd":"x"}"#,
            "process.cwd: \"x\" is not an absolute path",
        );
        check(r#""hostname":"x""#, "hostname: unable to set it without a private UTS namespace");
        check(
            r#""linux":{"namespaces":[{"type":"pid"},{"type":"pid"}]}"#,
            "linux.namespaces[1]: a second pid namespace",
        );
        check(
            r#""linux":{"uidMappings":[{"containerID":0,"hostID":0,"size":1}]}"#,
            "linux.uidMappings: there are mappings but no user namespace",
        );
    }

    #[test]
    fn deadlines_are_checked_before_the_kernel_does() {
        for (numbers, why) in [
            (r#""runtime":2000,"deadline":4000,"period":8000"#, ""),
            (r#""runtime":2000,"deadline":4000"#, ""),
            (r#""deadline":4000"#, "requires `runtime`"),
            (r#""runtime":2000"#, "requires `deadline`"),
            (r#""runtime":0,"deadline":4000"#, "runtime must be greater than 0"),
            (r#""runtime":8,"deadline":4000"#, "runtime must be between 1024 and 2^63 - 1"),
            (r#""runtime":5000,"deadline":4000"#, "runtime must be <= deadline"),
            (r#""runtime":2000,"deadline":4000,"period":3000"#, "deadline must be <= period"),
        ] {
            let scheduler = format!(r#"{{"policy":"SCHED_DEADLINE",{numbers}}}"#);
            let prefix = "process.scheduler: sched_setattr: `SCHED_DEADLINE` ";
            let expected = if why.is_empty() { String::new() } else { format!("{prefix}{why}") };
            let process = format!(r#"{{"args":["a"],"cwd":"/","scheduler":{scheduler}}}"#);
            check(&format!(r#""process":{process}"#), &expected);
        }
    }

    #[test]
    fn one_domain_name_is_set() {
        let with = |name: &str| {
            format!(
                r#""domainname":"a","linux":{{"namespaces":[{{"type":"uts"}}],
                   "sysctl":{{"kernel.domainname":"{name}"}}}}"#
            )
        };
        check(&with("a"), "");
        check(&with("b"), "linux.sysctl: kernel.domainname is set by the field domainname");
    }

    #[test]
    fn sysctls_are_allowed_by_namespace() {
        let with = |name: &str, namespaces: &str| {
            format!(r#""linux":{{"sysctl":{{"{name}":"1"}},"namespaces":[{namespaces}]}}"#)
        };
        check(&with("net.ipv4.ip_forward", r#"{"type":"network"}"#), "");
        check(&with("net/ipv4/conf/eth0.1/forwarding", r#"{"type":"network"}"#), "");
        check(&with("kernel.shm_rmid_forced", r#"{"type":"ipc"}"#), "");
        check(&with("fs.mqueue.msg_max", r#"{"type":"ipc"}"#), "");
        check(&with("kernel.domainname", r#"{"type":"uts"}"#), "");
        check(
            &with("kernel.domainname", ""),
            "linux.sysctl: \"kernel.domainname\" is not allowed without a new uts namespace",
        );
        for name in ["vm.swappiness", "kernel.core_pattern", "net", "kernel/../net/x"] {
            check(
                &with(name, r#"{"type":"network"},{"type":"ipc"}"#),
                &format!("linux.sysctl: {name:?} is not in a separate kernel namespace"),
            );
        }
        check(
            &with("net/../kernel/core_pattern", r#"{"type":"network"}"#),
            "linux.sysctl: \"net/../kernel/core_pattern\" is not a sysctl's name",
        );
    }

    #[test]
    fn classes_and_schemata_are_single_lines() {
        let with = |field: &str| format!(r#""linux":{{"intelRdt":{{{field}}}}}"#);
        for name in ["", "/", "gold", "..."] {
            check(&with(&format!(r#""closID":"{name}""#)), "");
        }
        for name in [".", "..", "a/b", "//"] {
            let what = format!("linux.intelRdt.closID: {name:?} is not a name");
            check(&with(&format!(r#""closID":"{name}""#)), &what);
        }
        let line = "linux.intelRdt: \"MB:0=1\\nL3:0=1\" is not one line";
        check(&with(r#""memBwSchema":"MB:0=1\nL3:0=1""#), line);
        check(&with(r#""schemata":["L2:0=1","MB:0=1\nL3:0=1"]"#), line);
        check(
            &with(r#""memBwSchema":"L3:0=1""#),
            "linux.intelRdt.memBwSchema: \"L3:0=1\" does not start with MB:",
        );
    }

    #[test]
    fn network_devices_need_a_namespace_and_names() {
        let with = |devices: &str, namespaces: &str| {
            format!(r#""linux":{{"netDevices":{{{devices}}},"namespaces":[{namespaces}]}}"#)
        };
        let own = r#"{"type":"network"}"#;
        check(&with(r#""eth0":{}"#, ""), "linux.netDevices: there is no network namespace");
        check(&with(r#""eth0":{"name":"net%d"},"eth1":{"name":"net%d"}"#, own), "");
        check(
            &with(r#""a":{"name":"b"},"b":{}"#, own),
            "linux.netDevices: \"b\": two devices would have this name",
        );
        for name in ["%s", "a%d%d", "a%", "%dd%"] {
            check(
                &with(&format!(r#""a":{{"name":"{name}"}}"#), own),
                &format!("linux.netDevices: {name:?}: a template has one %d and no other %"),
            );
        }
        for name in ["a/b", "a b", "a:b", "..", "sixteen-bytes-xx"] {
            check(
                &with(&format!(r#""a":{{"name":"{name}"}}"#), own),
                &format!("linux.netDevices.name: {name:?} is not the name of a network device"),
            );
        }
    }

    #[test]
    fn versions_of_the_first_major_are_read() {
        for (version, ok) in [
            ("1.0.0", true),
            ("1.0.2-dev", true),
            ("1.9.0", true),
            ("2.0.0", false),
            ("1.0", false),
        ] {
            assert_eq!(check_version(version).is_ok(), ok, "{version}");
        }
    }
}
