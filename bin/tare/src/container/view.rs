//! What `inspect` shows of a container: docker's document.

use super::podmans_view;
use crate::called::{self, Called};
use engine::record::{Attached, Config, Device, Endpoint, Mount, Resources, State, Ulimit, status};
use engine::{Container, Engine};
use net::{HostPort, PortSpec};
use std::collections::BTreeMap;
use template::{Field, Struct, Value};

const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// `sizes`: what it has written, and that with its image.
pub(super) fn document(engine: &Engine, container: &Container, sizes: Option<(u64, u64)>) -> Value {
    let (config, own) = (&container.config, &container.state);
    let words: Vec<&String> = config.entrypoint.iter().chain(&config.cmd).collect();
    let dir = engine.path_of(&config.id);
    let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
    let mut fields = vec![
        Field::renamed("ID", "Id", config.id.as_str()),
        Field::new("Created", config.created.as_str()),
        Field::new("Path", words.first().map_or("", |word| word.as_str())),
        Field::new("Args", Value::texts(words.iter().skip(1))),
        Field::new("State", state(container)),
        Field::new("Image", called::image_id(&config.image_id)),
        Field::new("ResolvConfPath", path("files/resolv.conf")),
        Field::new("HostnamePath", path("files/hostname")),
        Field::new("HostsPath", path("files/hosts")),
        Field::new("LogPath", path("container.log")),
        Field::new("Name", format!("/{}", config.name)),
        Field::new("RestartCount", i64::from(own.restarts)),
        Field::new("Driver", "overlay"),
        Field::new("Platform", config.platform.split('/').next().unwrap_or("linux")),
        Field::new("MountLabel", ""),
        Field::new("ProcessLabel", ""),
        Field::new("AppArmorProfile", ""),
        Field::new("ExecIDs", Value::Nil("[]string")),
        Field::new("HostConfig", host_config(config, path("container.log"))),
        Field::new("GraphDriver", graph_driver(&dir)),
    ];
    fields.extend(podmans_view::members(container));
    // What was not asked for is not there, and what is empty has 0 bytes.
    let size = |name, bytes: Option<u64>| match bytes {
        Some(bytes) => Field::new(name, bytes),
        None => Field::new(name, Value::Nil("*int64")).omit_empty(),
    };
    fields.extend([
        size("SizeRw", sizes.map(|it| it.0)),
        size("SizeRootFs", sizes.map(|it| it.1)),
        Field::new(
            "Mounts",
            Value::list(config.mounts.iter().filter(|it| it.kind != "tmpfs").map(mount)),
        ),
        Field::new("Config", configuration(config)),
        Field::new("NetworkSettings", network_settings(container)),
    ]);
    Struct::value("*container", fields)
}

pub(super) fn time(text: &str) -> &str {
    if text.is_empty() { NO_TIME } else { text }
}

fn state(container: &Container) -> Value {
    let state = &container.state;
    let is = |name: &str| container.status() == name;
    let mut fields = vec![
        Field::new("Status", container.status()),
        Field::new("Running", container.is_running() || is(status::RESTARTING)),
        Field::new("Paused", is(status::PAUSED)),
        Field::new("Restarting", is(status::RESTARTING)),
        Field::new("OOMKilled", state.oom_killed),
        Field::new("Dead", is("dead")),
        Field::new("Pid", i64::from(if container.is_running() { state.pid } else { 0 })),
        Field::new("ExitCode", i64::from(state.exit_code)),
        Field::new("Error", state.error.as_str()),
        Field::new("StartedAt", time(&state.started)),
        Field::new("FinishedAt", time(&state.finished)),
    ];
    let health = health(state);
    fields.extend(podmans_view::of_state(container, health.clone()));
    // Templates ask `if .State.Health`.
    let health = health.unwrap_or(Value::Nil("*health"));
    fields.push(Field::new("Health", health).omit_empty());
    Struct::value("*state", fields)
}

fn health(state: &State) -> Option<Value> {
    let health = state.health.as_ref()?;
    let log = health.log.iter().map(|probe| {
        Struct::value(
            "*probe",
            vec![
                Field::new("Start", probe.start.as_str()),
                Field::new("End", probe.end.as_str()),
                Field::new("ExitCode", i64::from(probe.exit_code)),
                Field::new("Output", probe.output.as_str()),
            ],
        )
    });
    Some(Struct::value(
        "*health",
        vec![
            Field::new("Status", health.status.as_str()),
            Field::new("FailingStreak", i64::from(health.failing_streak)),
            Field::new("Log", Value::list(log)),
        ],
    ))
}

fn texts(list: &[String]) -> Value {
    if list.is_empty() { Value::Nil("[]string") } else { Value::texts(list) }
}

pub(super) fn map(map: &oci::Map) -> Value {
    Value::text_map(map.iter().map(|(key, value)| (key.clone(), value)))
}

fn host_config(config: &Config, log: String) -> Value {
    let mut fields = files_and_streams(config, log);
    fields.extend(surroundings(config));
    fields.extend(podmans_view::of_host(config));
    fields.extend(limits(&config.resources));
    fields.extend([
        Field::new("VolumeDriver", ""),
        Field::new("VolumesFrom", Value::Nil("[]string")),
        Field::new("ConsoleSize", Value::list([Value::Int(0), Value::Int(0)])),
        Field::new("Cgroup", ""),
        Field::new("Isolation", ""),
        Field::new("DeviceCgroupRules", texts(&config.resources.device_cgroup_rules)),
        Field::new("CpuCount", 0i64),
        Field::new("CpuPercent", 0i64),
        Field::new("IOMaximumIOps", 0i64),
        Field::new("IOMaximumBandwidth", 0i64),
        Field::new("Ulimits", Value::list(config.ulimits.iter().map(ulimit))),
        Field::new("Devices", Value::list(config.devices.iter().map(device))),
        Field::new("DeviceRequests", requests(config)),
    ]);
    Struct::value("*hostconfig", fields)
}

fn ulimit(limit: &Ulimit) -> Value {
    Struct::value(
        "ulimit",
        vec![
            Field::new("Name", limit.name.as_str()),
            Field::new("Hard", limit.hard),
            Field::new("Soft", limit.soft),
        ],
    )
}

fn device(device: &Device) -> Value {
    Struct::value(
        "device",
        vec![
            Field::new("PathOnHost", device.host.as_str()),
            Field::new("PathInContainer", or(&device.container, &device.host)),
            Field::new("CgroupPermissions", or(&device.permissions, "rwm")),
        ],
    )
}

/// CDI devices, as docker's document has them.
fn requests(config: &Config) -> Value {
    if config.cdi.devices.is_empty() {
        return Value::Nil("[]DeviceRequest");
    }
    let request = Struct::value(
        "request",
        vec![
            Field::new("Driver", "cdi"),
            Field::new("Count", 0i64),
            Field::new("DeviceIDs", Value::texts(&config.cdi.devices)),
            Field::new("Capabilities", Value::Nil("[][]string")),
            Field::new("Options", Value::Nil("map[string]string")),
        ],
    );
    Value::list([request])
}

fn files_and_streams(config: &Config, log: String) -> Vec<Field> {
    let mut logged = vec![
        Field::new("Type", config.log.driver.as_str()),
        Field::new("Config", map(&config.log.options)),
    ];
    logged.extend(podmans_view::of_log(config, log));
    let network = &config.network;
    let binds: Vec<String> = config
        .mounts
        .iter()
        .filter(|mount| matches!(mount.kind.as_str(), "bind" | "volume"))
        .map(|mount| {
            let source = if mount.kind == "volume" { &mount.name } else { &mount.source };
            let access = if mount.read_only { ":ro" } else { "" };
            format!("{source}:{}{access}", mount.target)
        })
        .collect();
    vec![
        Field::new("Binds", texts(&binds)),
        Field::new("LogConfig", Struct::value("log", logged)),
        Field::new("NetworkMode", network_mode(config)),
        Field::new("PortBindings", bindings(&network.publish)),
        Field::new(
            "RestartPolicy",
            Struct::value(
                "restart",
                vec![
                    Field::new("Name", or(&config.restart.policy, "no")),
                    Field::new("MaximumRetryCount", i64::from(config.restart.max_retries)),
                ],
            ),
        ),
        Field::new("AutoRemove", config.auto_remove),
    ]
}

fn surroundings(config: &Config) -> Vec<Field> {
    let (security, network, names) = (&config.security, &config.network, &config.namespaces);
    let tmpfs = config.mounts.iter().filter(|mount| mount.kind == "tmpfs");
    let tmpfs = Value::text_map(tmpfs.map(|it| (it.target.clone(), it.options.join(","))));
    vec![
        Field::new("CapAdd", texts(&security.cap_add)),
        Field::new("CapDrop", texts(&security.cap_drop)),
        Field::new("CgroupnsMode", or(&names.cgroup, "private")),
        Field::new("Dns", texts(&network.dns)),
        Field::new("DnsOptions", texts(&network.dns_options)),
        Field::new("DnsSearch", texts(&network.dns_search)),
        Field::new("ExtraHosts", texts(&network.extra_hosts)),
        Field::new("GroupAdd", texts(&config.group_add)),
        Field::new(
            "IpcMode",
            or(&names.ipc, if Called::is_podman() { "shareable" } else { "private" }),
        ),
        Field::new("Links", texts(&network.links)),
        Field::new("OomScoreAdj", config.resources.oom_score_adj.unwrap_or(0)),
        Field::new("PidMode", names.pid.as_str()),
        Field::new("Privileged", security.privileged),
        Field::new("PublishAllPorts", network.publish_all),
        Field::new("ReadonlyRootfs", security.read_only),
        Field::new("SecurityOpt", texts(&security.options)),
        Field::new("SecurityPreset", or(&security.preset, "default")),
        Field::new("Tmpfs", tmpfs),
        Field::new("UTSMode", names.uts.as_str()),
        Field::new("UsernsMode", names.user.as_str()),
        Field::new("ShmSize", if config.shm_size > 0 { config.shm_size } else { 64 << 20 }),
        Field::new("Sysctls", map(&config.sysctls)),
        Field::new("Runtime", "tare"),
        Field::new("Init", config.init),
        Field::new("CgroupParent", config.resources.cgroup_parent.as_str()),
    ]
}

fn limits(resources: &Resources) -> Vec<Field> {
    vec![
        Field::new("CpuShares", resources.cpu_shares),
        Field::new("Memory", resources.memory),
        Field::new(
            "NanoCpus",
            match resources.cpu_period {
                0 => resources.cpu_quota.max(0) * 10_000,
                _ => 0,
            },
        ),
        Field::new("BlkioWeight", resources.blkio_weight),
        Field::new("BlkioWeightDevice", of_devices(&resources.blkio_weight_device, "Weight")),
        Field::new("BlkioDeviceReadBps", of_devices(&resources.read_bps, "Rate")),
        Field::new("BlkioDeviceReadIOps", of_devices(&resources.read_iops, "Rate")),
        Field::new("BlkioDeviceWriteBps", of_devices(&resources.write_bps, "Rate")),
        Field::new("BlkioDeviceWriteIOps", of_devices(&resources.write_iops, "Rate")),
        Field::new("CpuPeriod", resources.cpu_period),
        Field::new("CpuQuota", if resources.cpu_period == 0 { 0 } else { resources.cpu_quota }),
        Field::new("CpuRealtimePeriod", resources.cpu_rt_period),
        Field::new("CpuRealtimeRuntime", resources.cpu_rt_runtime),
        Field::new("CpusetCpus", resources.cpuset_cpus.as_str()),
        Field::new("CpusetMems", resources.cpuset_mems.as_str()),
        Field::new("MemoryReservation", resources.memory_reservation),
        Field::new(
            "MemorySwap",
            match resources.memory_swap {
                0 => resources.memory * 2,
                swap => swap,
            },
        ),
        Field::new(
            "MemorySwappiness",
            resources.swappiness.map_or(Value::Nil("*int64"), Value::Int),
        ),
        Field::new("OomKillDisable", resources.oom_kill_disable),
        Field::new("PidsLimit", resources.pids_limit.map_or(Value::Nil("*int64"), Value::Int)),
    ]
}

/// `DEVICE:NUMBER`, as docker's document has it.
fn of_devices(limits: &[String], what: &'static str) -> Value {
    Value::list(limits.iter().filter_map(|text| {
        let (path, number) = text.rsplit_once(':')?;
        let number: i64 = number.parse().ok()?;
        Some(Struct::value("*limit", vec![Field::new("Path", path), Field::new(what, number)]))
    }))
}

pub(super) fn or<'t>(text: &'t str, other: &'t str) -> &'t str {
    if text.is_empty() { other } else { text }
}

fn network_mode(config: &Config) -> &str {
    let first = config.network.endpoints.first();
    match config.network.mode.as_str() {
        "" => first.map_or("default", |endpoint| endpoint.network.as_str()),
        mode => mode,
    }
}

/// `-p`, as docker's document has it: each port of a range by itself.
fn bindings(published: &[String]) -> Value {
    let mut ports: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    // What was no port was refused when the container was made.
    for spec in published.iter().flat_map(|text| PortSpec::parse(text).unwrap_or_default()) {
        let host = match spec.host_port {
            HostPort::Any => String::new(),
            HostPort::Exactly(port) => port.to_string(),
            HostPort::OneOf(first, last) => format!("{first}-{last}"),
        };
        let ip = spec.host_ip.map(|ip| ip.to_string()).unwrap_or_default();
        let inside = format!("{}/{}", spec.container_port, spec.protocol.name());
        ports.entry(inside).or_default().push(binding(&ip, &host));
    }
    Value::map(ports.into_iter().map(|(port, list)| (port, Value::list(list))).collect())
}

/// The ports of a container that runs, with where they are published, or nothing of those that are only exposed.
fn ports(container: &Container) -> Value {
    let mut ports: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    if container.is_running() {
        for port in &container.state.ports {
            let key = format!("{}/{}", port.container, port.protocol);
            ports.entry(key).or_default().push(binding(&port.host_ip, &port.host.to_string()));
        }
        for port in &container.config.exposed_ports {
            for (port, protocol) in net::parse_exposed(port).unwrap_or_default() {
                ports.entry(format!("{port}/{}", protocol.name())).or_default();
            }
        }
    }
    let list = |list: Vec<Value>| match list.is_empty() {
        true => Value::Nil("[]binding"),
        false => Value::list(list),
    };
    Value::map(ports.into_iter().map(|(port, bindings)| (port, list(bindings))).collect())
}

fn binding(ip: &str, port: &str) -> Value {
    Struct::value("binding", vec![Field::new("HostIp", ip), Field::new("HostPort", port)])
}

fn graph_driver(dir: &std::path::Path) -> Value {
    let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
    let data = [("MergedDir", "merged"), ("UpperDir", "upper"), ("WorkDir", "work")];
    Struct::value(
        "driver",
        vec![
            Field::new("Data", Value::text_map(data.iter().map(|(key, name)| (*key, path(name))))),
            Field::new("Name", "overlay"),
        ],
    )
}

fn mount(mount: &Mount) -> Value {
    let propagation = mount.options.iter().find(|option| {
        matches!(
            option.as_str(),
            "private" | "rprivate" | "slave" | "rslave" | "shared" | "rshared"
        )
    });
    let usual = if mount.kind == "volume" { "" } else { "rprivate" };
    let fields = vec![
        Field::new("Type", mount.kind.as_str()),
        Field::new("Name", mount.name.as_str()).omit_empty(),
        Field::new("SubPath", mount.subpath.as_str()).omit_empty(),
        Field::new("Source", mount.source.as_str()),
        Field::new("Destination", mount.target.as_str()),
        Field::new("Driver", if mount.kind == "volume" { "local" } else { "" }).omit_empty(),
        Field::new("Mode", mount.options.join(",")),
        Field::new("RW", !mount.read_only),
        Field::new("Propagation", propagation.map_or(usual, |it| it.as_str())),
    ];
    Struct::value("mount", fields)
}

fn configuration(config: &Config) -> Value {
    let attached = |name: &str| config.attach.iter().any(|stream| stream == name);
    let exposed: BTreeMap<String, Value> = config
        .exposed_ports
        .iter()
        .map(|port| {
            let full = if port.contains('/') { port.clone() } else { format!("{port}/tcp") };
            (full, Value::map(BTreeMap::new()))
        })
        .collect();
    // Those that are the container's alone, as the image or `-v TARGET` wants them.
    let own = config.mounts.iter().filter(|mount| mount.anonymous);
    let own: BTreeMap<String, Value> =
        own.map(|mount| (mount.target.clone(), Value::map(BTreeMap::new()))).collect();
    let volumes = match own.is_empty() {
        true => Value::Nil("map[string]struct {}"),
        false => Value::map(own),
    };
    let mut fields = vec![
        Field::new("Hostname", config.hostname.as_str()),
        Field::new("Domainname", config.domainname.as_str()),
        Field::new("User", config.user.as_str()),
        Field::new("AttachStdin", attached("stdin")),
        Field::new("AttachStdout", attached("stdout")),
        Field::new("AttachStderr", attached("stderr")),
        Field::new("ExposedPorts", Value::map(exposed)).omit_empty(),
        Field::new("Tty", config.tty),
        Field::new("OpenStdin", config.interactive),
        Field::new("StdinOnce", config.stdin_once),
        Field::new("Env", texts(&config.env)),
        Field::new("Cmd", texts(&config.cmd)),
    ];
    if let Some(check) = &config.healthcheck {
        fields.push(Field::new(
            "Healthcheck",
            Struct::value(
                "*health",
                vec![
                    Field::new("Test", Value::texts(&check.test)),
                    Field::new("Interval", check.interval).omit_empty(),
                    Field::new("Timeout", check.timeout).omit_empty(),
                    Field::new("StartPeriod", check.start_period).omit_empty(),
                    Field::new("StartInterval", check.start_interval).omit_empty(),
                    Field::new("Retries", check.retries).omit_empty(),
                ],
            ),
        ));
    }
    fields.extend(podmans_view::of_config(config));
    fields.extend([
        Field::new("Image", config.image.as_str()),
        Field::new("Volumes", volumes),
        Field::new("WorkingDir", config.working_dir.as_str()),
        Field::new("Entrypoint", texts(&config.entrypoint)),
        Field::new("OnBuild", Value::Nil("[]string")),
        Field::new("Labels", map(&config.labels)),
        Field::new("Secrets", Value::list(config.secrets.iter().map(secret))).omit_empty(),
        Field::new("StopSignal", config.stop_signal.as_str()).omit_empty(),
        Field::new("StopTimeout", config.stop_timeout.map_or(Value::Nil("*int"), Value::Int))
            .omit_empty(),
    ]);
    Struct::value("*config", fields)
}

/// What is known of a secret, but not what it is.
fn secret(secret: &engine::record::SecretUse) -> Value {
    Struct::value(
        "*secret",
        vec![
            Field::new("Name", secret.name.as_str()),
            Field::new("ID", secret.id.as_str()),
            Field::new("Target", secret.target.as_str()),
            Field::new("UID", i64::from(secret.uid)),
            Field::new("GID", i64::from(secret.gid)),
            Field::new("Mode", i64::from(secret.mode)),
        ],
    )
}

/// What was asked for with `--ip` and its like.
fn ipam_config(endpoint: &Endpoint) -> Value {
    let addresses = [("IPv4Address", &endpoint.ipv4), ("IPv6Address", &endpoint.ipv6)];
    let said = addresses.into_iter().filter(|(_, text)| !text.is_empty());
    let mut fields: Vec<Field> = said.map(|(name, text)| Field::new(name, text.as_str())).collect();
    if !endpoint.link_local.is_empty() {
        fields.push(Field::new("LinkLocalIPs", texts(&endpoint.link_local)));
    }
    if fields.is_empty() { Value::Null } else { Struct::value("*ipam", fields) }
}

fn driver_opts(endpoint: &Endpoint) -> Value {
    if endpoint.driver_opts.is_empty() { Value::Null } else { map(&endpoint.driver_opts) }
}

fn network_settings(container: &Container) -> Value {
    let state = &container.state;
    let attached = if container.is_running() { &state.networks[..] } else { &[] };
    let first = attached.first();
    let of = |pick: fn(&Attached) -> &String| first.map_or("", |it| pick(it).as_str());
    let address = |text: &str| text.split('/').next().unwrap_or_default().to_owned();
    let length =
        |text: &str| text.split_once('/').and_then(|(_, it)| it.parse().ok()).unwrap_or(0i64);
    // One that does not run has the networks of its next start, and nothing in them.
    let later = |it: &&Endpoint| !attached.iter().any(|known| known.network == it.network);
    let later = container.config.network.endpoints.iter().filter(later).map(|it| Attached {
        network: it.network.clone(),
        aliases: it.aliases.clone(),
        mac: it.mac_address.clone(),
        ..Attached::default()
    });
    let networks = attached.iter().cloned().chain(later).map(|it| {
        let wanted = container.config.network.endpoints.iter();
        let wanted = wanted.clone().find(|wanted| wanted.network == it.network);
        let value = Struct::value(
            "*endpoint",
            vec![
                Field::new("IPAMConfig", wanted.map_or(Value::Null, ipam_config)),
                Field::new("Links", wanted.map_or(Value::Nil("[]string"), |it| texts(&it.links))),
                Field::new("Aliases", texts(&it.aliases)),
                Field::new("MacAddress", it.mac.as_str()),
                Field::new("NetworkID", it.network_id.as_str()),
                Field::new("EndpointID", ""),
                Field::new("Gateway", it.gateway.as_str()),
                Field::new("IPAddress", address(&it.ipv4)),
                Field::new("IPPrefixLen", length(&it.ipv4)),
                Field::new("IPv6Gateway", it.gateway_v6.as_str()),
                Field::new("GlobalIPv6Address", address(&it.ipv6)),
                Field::new("GlobalIPv6PrefixLen", length(&it.ipv6)),
                Field::new("DriverOpts", wanted.map_or(Value::Null, driver_opts)),
            ],
        );
        (it.network.clone(), value)
    });
    Struct::value(
        "*networks",
        vec![
            Field::new("Bridge", ""),
            Field::new("SandboxID", ""),
            Field::new(
                "SandboxKey",
                if container.is_running() {
                    format!("/proc/{}/ns/net", state.pid)
                } else {
                    String::new()
                },
            ),
            Field::new("Ports", ports(container)),
            Field::new("HairpinMode", false),
            Field::new("LinkLocalIPv6Address", ""),
            Field::new("LinkLocalIPv6PrefixLen", 0i64),
            Field::new("SecondaryIPAddresses", Value::Null),
            Field::new("SecondaryIPv6Addresses", Value::Null),
            Field::new("EndpointID", ""),
            Field::new("Gateway", of(|it| &it.gateway)),
            Field::new("GlobalIPv6Address", address(of(|it| &it.ipv6))),
            Field::new("GlobalIPv6PrefixLen", length(of(|it| &it.ipv6))),
            Field::new("IPAddress", address(of(|it| &it.ipv4))),
            Field::new("IPPrefixLen", length(of(|it| &it.ipv4))),
            Field::new("IPv6Gateway", of(|it| &it.gateway_v6)),
            Field::new("MacAddress", of(|it| &it.mac)),
            Field::new("Networks", Value::map(networks.collect())),
        ],
    )
}
