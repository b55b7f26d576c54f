//! From options to what is kept of a container.

use super::image::Found;
use super::options::{ContainerArgs, LimitArgs, SecurityArgs};
use super::{beyond, health, mounts, parse};
use crate::called::Called;
use crate::failure::{Failure, Result};
use engine::Engine;
use engine::record::{
    Config, Endpoint, LogConfig, Namespaces, Network, Resources, Security, Ulimit,
};

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
    config.group_add.clone_from(&arguments.group_add);
    config.env = environment(arguments, beyond::environment(&arguments.beyond, config.env)?)?;
    config.unset_env = beyond::unset(&arguments.beyond);
    labels(arguments, &mut config)?;
    for text in &arguments.annotation {
        let (key, value) = parse::pair(text);
        config.annotations.insert(key, value);
    }
    (config.tty, config.interactive) = (arguments.tty, arguments.interactive);
    (config.init, config.auto_remove) = (arguments.init, arguments.rm);
    program(arguments, &mut config)?;
    config.log = log(arguments)?;
    config.network = network(arguments)?;
    hostname(arguments, &mut config);
    config.exposed_ports.extend(arguments.expose.iter().cloned());
    config.mounts = mounts::read(engine, arguments)?;
    beyond::image_volumes(&arguments.beyond, &volumes, &mut config);
    if let Some(size) = &arguments.shm_size {
        config.shm_size = parse::size(size)?;
    }
    config.resources = resources(&arguments.limits)?;
    config.resources.device_cgroup_rules.clone_from(&arguments.security.device_cgroup_rule);
    config.ulimits =
        arguments.limits.ulimit.iter().map(|text| ulimit(text)).collect::<Result<_>>()?;
    config.security = security(&arguments.security)?;
    config.security.read_only = arguments.read_only;
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
    if arguments.restart != "no" && !arguments.restart.is_empty() && arguments.rm {
        return Err(Failure::new("conflicting options: cannot specify both --restart and --rm"));
    }
    Ok(())
}

fn environment(arguments: &ContainerArgs, mut env: Vec<String>) -> Result<Vec<String>> {
    for file in &arguments.env_file {
        env.extend(parse::env_file(file)?);
    }
    for variable in &arguments.env {
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
    Ok(env)
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
    if config.sdnotify == "healthy" && arguments.no_healthcheck {
        return Err(Failure::new("--sdnotify healthy: there is no health check"));
    }
    config.stop_timeout = arguments.stop_timeout.or(config.stop_timeout);
    if matches!(arguments.systemd.as_str(), "always" | "false") {
        config.systemd.clone_from(&arguments.systemd);
    }
    config.restart = engine::parse_restart(&arguments.restart)?;
    config.healthcheck = health::choose(arguments, config.healthcheck.take())?;
    Ok(())
}

fn log(arguments: &ContainerArgs) -> Result<LogConfig> {
    let mut log = LogConfig { driver: arguments.log_driver.clone(), ..LogConfig::default() };
    for text in &arguments.log_opt {
        let (key, value) = parse::pair(text);
        log.options.insert(key, value);
    }
    engine::log::check(&log)?;
    Ok(log)
}

fn network(arguments: &ContainerArgs) -> Result<Network> {
    let mut network = Network {
        publish: arguments.publish.clone(),
        publish_all: arguments.publish_all,
        dns: arguments.dns.clone(),
        dns_search: arguments.dns_search.clone(),
        dns_options: arguments.dns_option.clone(),
        extra_hosts: arguments.add_host.clone(),
        links: arguments.link.clone(),
        mac_address: arguments.mac_address.clone().unwrap_or_default(),
        ..Network::default()
    };
    for entry in &arguments.add_host {
        if !entry.contains([':', '=']) {
            return Err(Failure::new(format!("bad format for add-host: {entry:?}"))
                .hint("write NAME:ADDRESS"));
        }
    }
    for server in &arguments.dns {
        if server.parse::<std::net::IpAddr>().is_err() {
            return Err(Failure::new(format!("{server} is not an ip address")));
        }
    }
    let mut endpoints = attach(arguments, &mut network)?;
    let is_shared = network.mode == "host" || network.mode.starts_with("container:");
    if is_shared && (!network.publish.is_empty() || network.publish_all) && network.mode != "host" {
        return Err(Failure::new(
            "conflicting options: port publishing and the container type network mode",
        ));
    }
    if network.mode == "none" && !network.publish.is_empty() {
        return Err(Failure::new(
            "--publish: a container without a network has no ports to publish",
        )
        .hint("leave --network none out"));
    }
    if network.mode == "host" {
        // Its ports are the machine's, as docker says it in a warning.
        if !network.publish.is_empty() {
            crate::settings::warn("published ports are discarded when using host network mode");
        }
        network.publish.clear();
        network.publish_all = false;
    }
    engine::check_ports(&network.publish)?;
    single_options(arguments, &mut endpoints)?;
    network.endpoints = endpoints;
    Ok(network)
}

/// The networks that options name, or the mode of the only one.
fn attach(arguments: &ContainerArgs, network: &mut Network) -> Result<Vec<Endpoint>> {
    let mut endpoints = Vec::new();
    let named = match arguments.network.is_empty() {
        true => vec![usual_network(arguments)],
        false => arguments.network.clone(),
    };
    for text in &named {
        match text.as_str() {
            "none" | "host" => network.mode.clone_from(text),
            // podman's word for what is usual.
            "private" => match usual_network(arguments).as_str() {
                usual @ ("none" | "pasta") => network.mode = usual.into(),
                usual => endpoints.push(endpoint(usual)?),
            },
            "pasta" => network.mode = "pasta".into(),
            text if ["container:", "ns:", "pasta:"].iter().any(|it| text.starts_with(it)) => {
                network.mode = text.into();
            }
            text => endpoints.push(endpoint(text)?),
        }
    }
    if !network.mode.is_empty() && named.len() > 1 {
        return Err(Failure::new(format!(
            "--network {}: it cannot be one of several",
            network.mode
        )));
    }
    Ok(endpoints)
}

/// The network of containers of which no option says one.
fn usual_network(arguments: &ContainerArgs) -> String {
    let said = std::env::var("TARE_NETWORK").ok().filter(|name| !name.is_empty());
    let publishes = !arguments.publish.is_empty() || arguments.publish_all;
    // Programs of the host need nothing but their files, and an ordinary user may not make devices of the host's.
    let is_alone = arguments.image().starts_with("host:") && !publishes;
    match said {
        Some(name) => name,
        None if is_alone => "none".into(),
        None if sys::ids::is_administrator() => "bridge".into(),
        None if engine::has_pasta() || publishes => "pasta".into(),
        None => "none".into(),
    }
}

/// `NAME`, `name=NAME,alias=...,ip=...` (docker), or `NAME:alias=...,ip=...` (podman).
fn endpoint(text: &str) -> Result<Endpoint> {
    let mut endpoint = Endpoint::default();
    let listed = match text.split_once(':') {
        Some((name, fields)) if !name.contains('=') => {
            let name = if name == "podman" { "bridge" } else { name };
            format!("name={name},{fields}")
        }
        _ => text.to_owned(),
    };
    let text = listed.as_str();
    let is_list = text.split(',').next().is_some_and(|first| first.contains('='));
    if !is_list {
        endpoint.network = match text {
            "default" | "private" => "bridge".into(),
            name => name.into(),
        };
        return Ok(endpoint);
    }
    for field in text.split(',') {
        let (key, value) = parse::pair(field);
        match key.as_str() {
            "name" => endpoint.network = value,
            "alias" => endpoint.aliases.push(value),
            "ip" => endpoint.ipv4 = value,
            "ip6" => endpoint.ipv6 = value,
            "mac-address" | "mac" => endpoint.mac_address = value,
            _ => {
                return Err(Failure::new(format!("--network {text:?}: invalid field key {key}"))
                    .hint("name, alias, ip, ip6 and mac-address are known"));
            }
        }
    }
    match endpoint.network.is_empty() {
        true => Err(Failure::new(format!("--network {text:?}: it has no name=NETWORK"))),
        false => Ok(endpoint),
    }
}

/// Options that are about the only network.
fn single_options(arguments: &ContainerArgs, endpoints: &mut [Endpoint]) -> Result<()> {
    let is_said =
        arguments.ip.is_some() || arguments.ip6.is_some() || !arguments.network_alias.is_empty();
    if !is_said {
        return Ok(());
    }
    let [endpoint] = endpoints else {
        return Err(Failure::new(
            "--ip, --ip6 and --network-alias are for a container in one network",
        )
        .hint("--network name=NETWORK,ip=ADDRESS,alias=NAME says it of each"));
    };
    if endpoint.network == "bridge" && !arguments.network_alias.is_empty() {
        return Err(Failure::new(
            "network-scoped aliases are only supported for user-defined networks",
        )
        .hint("`tare network create NAME` makes one"));
    }
    endpoint.ipv4.push_str(arguments.ip.as_deref().unwrap_or_default());
    endpoint.ipv6.push_str(arguments.ip6.as_deref().unwrap_or_default());
    endpoint.aliases.extend(arguments.network_alias.iter().cloned());
    Ok(())
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

/// `NAME=SOFT[:HARD]`; -1 is no limit.
fn ulimit(text: &str) -> Result<Ulimit> {
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
        privileged: arguments.privileged,
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
            let failed = |why: &dyn std::fmt::Display| {
                Failure::new(format!("--security-opt seccomp={path}: {why}"))
            };
            security.seccomp = read_profile(path).map_err(|error| failed(&error))?;
            engine::check_seccomp(&security.seccomp).map_err(|error| failed(&error))?;
        }
    }
    engine::check_options(&security)?;
    Ok(security)
}

fn read_profile(path: &str) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?.take(PROFILE_LIMIT_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

fn namespaces(arguments: &SecurityArgs) -> Result<Namespaces> {
    let mode = |option: &str, text: &Option<String>, words: &[&str]| -> Result<String> {
        let text = text.clone().unwrap_or_default();
        let is_known = text.is_empty()
            || words.contains(&text.as_str())
            || (words.contains(&"container:") && text.starts_with("container:"))
            || text.starts_with("ns:");
        if is_known {
            // Which one is typed counts for whoever wants to join it.
            let is_usual = text == "private" && option != "--ipc";
            return Ok(if is_usual { String::new() } else { text });
        }
        Err(Failure::new(format!("{option}: invalid mode {text:?}"))
            .hint(format!("known are {}", words.join(", "))))
    };
    let names = Namespaces {
        ipc: mode(
            "--ipc",
            &arguments.ipc,
            &["private", "shareable", "host", "none", "container:"],
        )?,
        pid: mode("--pid", &arguments.pid, &["private", "host", "container:"])?,
        uts: mode("--uts", &arguments.uts, &["private", "host", "container:"])?,
        user: arguments.userns.clone().unwrap_or_default(),
        uid_map: arguments.uidmap.clone(),
        gid_map: arguments.gidmap.clone(),
        subuid_name: arguments.subuidname.clone().unwrap_or_default(),
        subgid_name: arguments.subgidname.clone().unwrap_or_default(),
        cgroup: mode("--cgroupns", &arguments.cgroupns, &["private", "host", "container:"])?,
    };
    engine::check_users(&names)?;
    Ok(names)
}
