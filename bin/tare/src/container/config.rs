//! From options to what is kept of a container.

use super::defaults::Defaults;
use super::image::Found;
use super::options::{ContainerArgs, LimitArgs, SecurityArgs};
use super::{beyond, health, mounts, networks, parse};
use crate::called::Called;
use crate::failure::{Failure, Result};
use engine::Engine;
use engine::record::{Config, KEEP_GROUPS, LogConfig, Namespaces, Resources, Security, Ulimit};

/// A larger profile is none.
const PROFILE_LIMIT_BYTES: u64 = 16 << 20;

/// What the container is, and the layers that it is made of.
pub(super) fn build(engine: &Engine, arguments: &ContainerArgs, found: Found) -> Result<Config> {
    let Found { mut config, volumes, .. } = found;
    refuse(arguments)?;
    // As docker shows it, with a slash in front.
    let name = arguments.name.as_deref().unwrap_or_default();
    name.strip_prefix('/').unwrap_or(name).clone_into(&mut config.name);
    if !config.name.is_empty() {
        engine::names::check(&config.name)?;
    }
    arguments.image().clone_into(&mut config.image);
    if config.working_dir.is_empty() {
        config.working_dir = arguments.workdir.clone().unwrap_or_else(|| "/".into());
    }
    if let Some(user) = &arguments.user {
        config.user.clone_from(user);
        config.user_is_chosen = true;
    }
    config.group_add = groups(arguments)?;
    config.env = environment(arguments, beyond::environment(arguments, config.env)?)?;
    config.unset_env = beyond::unset(&arguments.beyond);
    labels(arguments, &mut config)?;
    for text in &arguments.annotation {
        let (key, value) = parse::pair(text);
        config.annotations.insert(key, value);
    }
    (config.tty, config.interactive) = (arguments.tty, arguments.interactive);
    (config.init, config.auto_remove) = (arguments.init == Some(true), arguments.goes());
    config.auto_remove_image = arguments.beyond.rmi;
    program(arguments, &mut config)?;
    config.log = log(arguments)?;
    config.network = networks::read(arguments)?;
    hostname(arguments, &mut config);
    for text in &arguments.expose {
        net::parse_exposed(text)?;
        config.exposed_ports.push(text.clone());
    }
    config.mounts = mounts::read(engine, arguments)?;
    beyond::image_volumes(&arguments.beyond, &volumes, &mut config);
    if let Some(size) = &arguments.shm_size {
        // docker's word for the usual one.
        config.shm_size = if size == "0" { 0 } else { parse::size(size)? };
    }
    config.resources = resources(&arguments.limits)?;
    config.resources.device_cgroup_rules.clone_from(&arguments.security.device_cgroup_rule);
    config.ulimits =
        arguments.limits.ulimit.iter().map(|text| ulimit(text)).collect::<Result<_>>()?;
    config.security = security(&arguments.security)?;
    config.security.read_only = arguments.read_only == Some(true);
    capabilities(&arguments.defaults, &mut config.security);
    config.namespaces = namespaces(&arguments.security)?;
    for text in &arguments.security.sysctl {
        match text.split_once('=') {
            Some((name, value)) => config.sysctls.insert(name.trim().into(), value.trim().into()),
            None => return Err(Failure::new(format!("--sysctl {text:?}: write NAME=VALUE"))),
        }
    }
    beyond::apply(arguments, &mut config)?;
    by_id(engine, &mut config)?;
    Ok(config)
}

/// Containers whose namespaces are joined, by their IDs: they may get other names.
fn by_id(engine: &Engine, config: &mut Config) -> Result<()> {
    let names = &mut config.namespaces;
    let modes = [
        &mut config.network.mode,
        &mut names.ipc,
        &mut names.pid,
        &mut names.uts,
        &mut names.cgroup,
    ];
    for mode in modes {
        if let Some(name) = mode.strip_prefix("container:") {
            *mode = format!("container:{}", engine.find(name)?.config.id);
        }
    }
    Ok(())
}

/// Options that cannot be honoured here are no options that are ignored.
fn refuse(arguments: &ContainerArgs) -> Result<()> {
    let (limits, security) = (&arguments.limits, &arguments.security);
    let of_windows = "it is for containers of Windows";
    let refused: [(bool, &str, &str, &str); 8] = [
        (limits.cpu_count.is_some(), "--cpu-count", of_windows, "--cpus limits CPU time"),
        (limits.cpu_percent.is_some(), "--cpu-percent", of_windows, "--cpus limits CPU time"),
        (
            limits.io_maxbandwidth.is_some(),
            "--io-maxbandwidth",
            of_windows,
            "--device-read-bps and --device-write-bps do that",
        ),
        (
            limits.io_maxiops.is_some(),
            "--io-maxiops",
            of_windows,
            "--device-read-iops and --device-write-iops do that",
        ),
        (
            limits.kernel_memory.is_some(),
            "--kernel-memory",
            "the kernel counts it with all memory",
            "--memory limits both",
        ),
        (
            !arguments.storage_opt.is_empty(),
            "--storage-opt",
            "there is no storage driver with options",
            "--read-only with volumes bounds what is written",
        ),
        (
            !arguments.link_local_ip.is_empty(),
            "--link-local-ip",
            "link-local addresses are the kernel's",
            "--ip gives an address of the network",
        ),
        (
            security.use_api_socket,
            "--use-api-socket",
            "there is no daemon whose socket it could be",
            "-v mounts one of another program",
        ),
    ];
    if let Some((_, option, why, hint)) = refused.iter().find(|(is_given, ..)| *is_given) {
        return Err(Failure::new(format!("{option}: {why}")).hint(*hint));
    }
    if let Some(isolation) =
        security.isolation.as_deref().filter(|it| !matches!(*it, "" | "default"))
    {
        return Err(Failure::new(format!("--isolation {isolation}: {of_windows}")));
    }
    if let Some(name) =
        security.runtime.as_deref().filter(|it| !matches!(*it, "" | "tare" | "tare-runtime"))
    {
        return Err(Failure::new(format!("--runtime {name}: only this program's own"))
            .hint("leave it out; other runtimes can run bundles beside this"));
    }
    if arguments.hostname.is_some() && security.uts.as_deref() == Some("host") {
        return Err(Failure::new("conflicting options: hostname and the UTS mode"));
    }
    if arguments.restart != "no" && !arguments.restart.is_empty() && arguments.goes() {
        return Err(Failure::new("conflicting options: cannot specify both --restart and --rm"));
    }
    Ok(())
}

fn environment(arguments: &ContainerArgs, mut env: Vec<String>) -> Result<Vec<String>> {
    for file in &arguments.env_file {
        env.extend(parse::env_file(file)?);
    }
    variables(&arguments.env, &mut env)?;
    Ok(env)
}

/// Variables as options have them, of which some are the caller's.
pub(super) fn variables(texts: &[String], env: &mut Vec<String>) -> Result<()> {
    for variable in texts {
        let name = variable.split('=').next().unwrap_or_default();
        if name.is_empty() {
            return Err(Failure::new(format!("invalid environment variable: {variable}")));
        }
        // podman's: all of the caller's that begin so.
        if let Some(start) = variable.strip_suffix('*').filter(|it| !it.contains('=')) {
            env.extend(std::env::vars_os().filter_map(|(name, value)| {
                let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
                name.starts_with(start).then(|| format!("{name}={value}"))
            }));
            continue;
        }
        match (variable.contains('='), std::env::var(variable)) {
            (true, _) => env.push(variable.clone()),
            (false, Ok(value)) => env.push(format!("{variable}={value}")),
            // What the caller has not, the container has not, as docker has it: the image's own is left out.
            (false, Err(_)) if !Called::is_podman() => {
                env.retain(|it| it.split('=').next() != Some(variable));
            }
            (false, Err(_)) => {}
        }
    }
    Ok(())
}

/// Other groups of the user. The caller's own cannot be named beside others, whose ids are the container's.
fn groups(arguments: &ContainerArgs) -> Result<Vec<String>> {
    let groups = &arguments.group_add;
    if groups.len() > 1 && groups.iter().any(|name| name == KEEP_GROUPS) {
        return Err(Failure::new(
            "the '--group-add keep-groups' option is not allowed with any other --group-add options",
        ));
    }
    Ok(groups.clone())
}

/// What `containers.conf` gives in the place of the usual ones.
fn capabilities(defaults: &Defaults, security: &mut Security) {
    match &defaults.capabilities {
        Some(names) if names.is_empty() => security.cap_drop.insert(0, "ALL".into()),
        Some(names) => security.usual_capabilities.clone_from(names),
        None => {}
    }
}

fn labels(arguments: &ContainerArgs, config: &mut Config) -> Result<()> {
    let mut all = Vec::new();
    for file in &arguments.label_file {
        all.extend(parse::label_file(file)?);
    }
    for text in all.iter().chain(&arguments.label) {
        let (key, value) = parse::pair(text);
        if key.is_empty() {
            return Err(Failure::new(format!("--label {text:?}: it has no name")));
        }
        config.labels.insert(key, value);
    }
    Ok(())
}

fn program(arguments: &ContainerArgs, config: &mut Config) -> Result<()> {
    if let Some(text) = &arguments.stop_signal {
        config.stop_signal.clone_from(text);
    }
    if !config.stop_signal.is_empty() && sys::signal::parse(&config.stop_signal).is_none() {
        return Err(Failure::new(format!("invalid signal: {}", config.stop_signal))
            .hint("write a name such as SIGTERM, or a number"));
    }
    config.sdnotify = arguments.sdnotify.clone().unwrap_or_default();
    if config.sdnotify == "healthy" && arguments.health.no_healthcheck {
        return Err(Failure::new("--sdnotify healthy: there is no health check"));
    }
    config.stop_timeout =
        arguments.stop_timeout.or(config.stop_timeout).or(arguments.defaults.stop_timeout);
    if matches!(arguments.systemd.as_str(), "always" | "false") {
        config.systemd.clone_from(&arguments.systemd);
    }
    config.restart = engine::parse_restart(&arguments.restart)?;
    config.healthcheck = health::choose(&arguments.health, config.healthcheck.take())?;
    Ok(())
}

fn log(arguments: &ContainerArgs) -> Result<LogConfig> {
    let driver = arguments.log_driver.clone().unwrap_or_else(|| "json-file".into());
    let mut log = LogConfig { driver, ..LogConfig::default() };
    for text in &arguments.log_opt {
        let (key, value) = parse::pair(text);
        log.options.insert(key, value);
    }
    engine::log::check(&log)?;
    Ok(log)
}

fn hostname(arguments: &ContainerArgs, config: &mut Config) {
    config.hostname = arguments.hostname.clone().unwrap_or_default();
    config.domainname = arguments.domainname.clone().unwrap_or_default();
    let is_host =
        config.network.mode == "host" || arguments.security.uts.as_deref() == Some("host");
    if config.hostname.is_empty() && is_host {
        let text = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        text.trim().clone_into(&mut config.hostname);
    }
}

fn resources(limits: &LimitArgs) -> Result<Resources> {
    // 0 is no limit, as docker has it.
    let size = |option: &Option<String>| match option.as_deref() {
        None | Some("0") => Ok(0),
        Some(text) => parse::size(text),
    };
    let mut resources = Resources {
        memory: size(&limits.memory)?,
        memory_reservation: size(&limits.memory_reservation)?,
        memory_swap: match limits.memory_swap.as_deref() {
            Some("-1") => -1,
            _ => size(&limits.memory_swap)?,
        },
        swappiness: limits.memory_swappiness.filter(|it| *it != -1),
        oom_kill_disable: limits.oom_kill_disable,
        oom_score_adj: limits.oom_score_adj,
        cpu_shares: limits.cpu_shares.unwrap_or(0),
        cpu_quota: limits.cpu_quota.unwrap_or(0),
        cpu_period: limits.cpu_period.unwrap_or(0),
        cpu_rt_runtime: limits.cpu_rt_runtime.unwrap_or(0),
        cpu_rt_period: limits.cpu_rt_period.unwrap_or(0),
        cpuset_cpus: limits.cpuset_cpus.clone().unwrap_or_default(),
        cpuset_mems: limits.cpuset_mems.clone().unwrap_or_default(),
        pids_limit: limits.pids_limit,
        blkio_weight: limits.blkio_weight.unwrap_or(0),
        blkio_weight_device: limits.blkio_weight_device.clone(),
        read_iops: limits.device_read_iops.clone(),
        write_iops: limits.device_write_iops.clone(),
        cgroup_parent: limits.cgroup_parent.clone().unwrap_or_default(),
        ..Resources::default()
    };
    for (list, place) in [
        (&limits.device_read_bps, &mut resources.read_bps),
        (&limits.device_write_bps, &mut resources.write_bps),
    ] {
        for text in list {
            let bad = || Failure::new(format!("{text:?}: write DEVICE:SIZE"));
            let (path, value) = text.rsplit_once(':').ok_or_else(bad)?;
            place.push(format!("{path}:{}", parse::size(value)?));
        }
    }
    if let Some(text) = &limits.cpus {
        if limits.cpu_quota.is_some() || limits.cpu_period.is_some() {
            return Err(Failure::new("--cpus: it conflicts with --cpu-quota and --cpu-period"));
        }
        resources.cpu_quota = parse::cpu_quota(text)?;
    }
    check(&resources)?;
    Ok(resources)
}

pub(super) fn check(resources: &Resources) -> Result<()> {
    let swap = resources.memory_swap;
    if swap > 0 && resources.memory == 0 {
        return Err(Failure::new("--memory-swap: it needs --memory, which it includes"));
    }
    if swap > 0 && swap < resources.memory {
        return Err(Failure::new(
            "--memory-swap: it cannot be less than --memory, which it includes",
        ));
    }
    if resources.memory > 0 && resources.memory_reservation > resources.memory {
        return Err(Failure::new("--memory-reservation: it cannot be more than --memory"));
    }
    if resources.cpu_shares < 0 {
        return Err(Failure::new("--cpu-shares: it is a number from 2 to 262144"));
    }
    check_cpus("--cpuset-cpus", &resources.cpuset_cpus)?;
    if resources.swappiness.is_some_and(|it| !(0..=100).contains(&it)) {
        return Err(Failure::new("--memory-swappiness: it is a number from 0 to 100"));
    }
    if resources.oom_score_adj.is_some_and(|it| !(-1000..=1000).contains(&it)) {
        return Err(Failure::new("--oom-score-adj: it is a number from -1000 to 1000"));
    }
    if resources.blkio_weight != 0 && !(10..=1000).contains(&resources.blkio_weight) {
        return Err(Failure::new("--blkio-weight: it is a number from 10 to 1000"));
    }
    Ok(())
}

/// Whether a list of CPUs names those that the machine has.
fn check_cpus(option: &str, list: &str) -> Result<()> {
    let there = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    let last = |list: &str| list.trim().rsplit([',', '-']).next().and_then(|it| it.parse().ok());
    let Some(highest) = last(&there) else { return Ok(()) };
    let numbers = list.trim().split([',', '-']).filter(|text| !text.is_empty());
    for text in numbers {
        let number: u32 = text.trim().parse().map_err(|_| {
            Failure::new(format!("{option} {list}: it is no list of CPUs")).hint("write 0-2,4")
        })?;
        if number > highest {
            let text = format!("requested CPUs are not available: {list}, available: 0-{highest}");
            return Err(Failure::new(format!("{option}: {text}")));
        }
    }
    Ok(())
}

/// `NAME=SOFT[:HARD]`; -1 is no limit.
pub(super) fn ulimit(text: &str) -> Result<Ulimit> {
    const NAMES: [&str; 15] = [
        "as",
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
    ];
    let bad = |why: &str| {
        Failure::new(format!("--ulimit {text:?}: {why}"))
            .hint("write NAME=SOFT[:HARD], such as nofile=1024:2048")
    };
    let (name, values) = text.split_once('=').ok_or_else(|| bad("it has no value"))?;
    if !NAMES.contains(&name) && name != "stack" {
        return Err(bad("there is no such limit"));
    }
    let number = |text: &str| -> Result<i64> {
        if text == "unlimited" {
            Ok(-1)
        } else {
            text.parse().map_err(|_| bad("a value is no number"))
        }
    };
    let (soft, hard) = match values.split_once(':') {
        Some((soft, hard)) => (number(soft)?, number(hard)?),
        None => (number(values)?, number(values)?),
    };
    if hard >= 0 && (soft < 0 || soft > hard) {
        return Err(bad("the soft limit is above the hard one"));
    }
    Ok(Ulimit { name: name.into(), soft, hard })
}

fn security(arguments: &SecurityArgs) -> Result<Security> {
    let mut security = Security {
        privileged: arguments.privileged == Some(true),
        cap_add: arguments.cap_add.clone(),
        cap_drop: arguments.cap_drop.clone(),
        preset: arguments.security.clone().unwrap_or_default(),
        options: arguments.security_opt.clone(),
        ..Security::default()
    };
    for option in &arguments.security_opt {
        if let Some(("seccomp", path)) = option.split_once(['=', ':'])
            && !matches!(path, "unconfined" | "builtin" | "default" | "")
        {
            // Whoever starts the container again may not have the file.
            security.seccomp = seccomp(path)
                .map_err(|failure| failure.during(format!("--security-opt seccomp={path}")))?;
        }
    }
    engine::check_options(&security)?;
    Ok(security)
}

/// The profile that a file holds; none for a word.
pub(super) fn seccomp(path: &str) -> Result<String> {
    if matches!(path, "unconfined" | "builtin" | "default") {
        return Ok(String::new());
    }
    let text = read_profile(path).map_err(|error| Failure::new(error.to_string()))?;
    engine::check_seccomp(&text)?;
    Ok(text)
}

fn read_profile(path: &str) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?.take(PROFILE_LIMIT_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// What a namespace's option says; nothing for what is usual.
pub(super) fn namespace(option: &str, text: &str) -> Result<String> {
    let words: &[&str] = match option {
        "--ipc" => &["private", "shareable", "host", "none", "container:"],
        _ => &["private", "host", "container:"],
    };
    let is_known = text.is_empty()
        || words.contains(&text)
        || text.starts_with("container:")
        || text.starts_with("ns:");
    if is_known {
        // Which one is typed counts for whoever wants to join it.
        let is_usual = text == "private" && option != "--ipc";
        return Ok(if is_usual { String::new() } else { text.to_owned() });
    }
    Err(Failure::new(format!("{option}: invalid mode {text:?}"))
        .hint(format!("known are {}", words.join(", "))))
}

fn namespaces(arguments: &SecurityArgs) -> Result<Namespaces> {
    let mode = |option: &str, text: &Option<String>| {
        namespace(option, text.as_deref().unwrap_or_default())
    };
    let names = Namespaces {
        ipc: mode("--ipc", &arguments.ipc)?,
        pid: mode("--pid", &arguments.pid)?,
        uts: mode("--uts", &arguments.uts)?,
        user: arguments.userns.clone().unwrap_or_default(),
        uid_map: arguments.uidmap.clone(),
        gid_map: arguments.gidmap.clone(),
        subuid_name: arguments.subuidname.clone().unwrap_or_default(),
        subgid_name: arguments.subgidname.clone().unwrap_or_default(),
        cgroup: mode("--cgroupns", &arguments.cgroupns)?,
    };
    engine::check_users(&names)?;
    Ok(names)
}
