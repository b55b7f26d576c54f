//! Options of podman's that docker has not.

use super::options::ContainerArgs;
use super::{config, parse};
use crate::called::Called;
use crate::failure::{Failure, Result};
use clap::{Args, ValueEnum};
use engine::Engine;
use engine::record::{Config, Mount};
use std::path::{Path, PathBuf};

const ZONES: &str = "/usr/share/zoneinfo";
/// Variables of a proxy, which podman passes on.
const PROXY: [&str; 5] = ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"];
/// Where a read-only container may write with `--read-only-tmpfs`.
const WRITABLE: [&str; 4] = ["/dev/shm", "/run", "/tmp", "/var/tmp"];

/// podman's options of `run` and `create`.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "As podman has them")]
pub(crate) struct BeyondArgs {
    /// Remove another container that has the name, whatever it does
    #[arg(long)]
    pub(crate) replace: bool,
    /// Remove the image when the container is removed at its end, which this wants, too; not one that somebody else uses
    #[arg(long)]
    pub(crate) rmi: bool,
    /// Write the ID of the container's first process to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) pidfile: Option<PathBuf>,
    /// Write the ID of its supervisor to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) conmon_pidfile: Option<PathBuf>,
    /// Time zone: a name such as Europe/Berlin, or local for this machine's
    #[arg(long, value_name = "ZONE", overrides_with = "tz")]
    pub(super) tz: Option<String>,
    /// Permissions that files of the program do not get, in octal [default: 0022]
    #[arg(long, value_name = "MASK", overrides_with = "umask")]
    pub(super) umask: Option<String>,
    /// Seconds that the container may run
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Leave a variable of the image or of this program's out (repeated)
    #[arg(long, value_name = "NAME")]
    unsetenv: Vec<String>,
    /// Leave all of them out
    #[arg(long)]
    unsetenv_all: bool,
    /// Have the caller's environment, too
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = clap::builder::BoolishValueParser::new())]
    pub(super) env_host: Option<bool>,
    /// Change a variable of the image: NAME=VALUE, in which ${NAME} stands for what it has (repeated)
    #[arg(long, value_name = "NAME=VALUE")]
    env_merge: Vec<String>,
    /// Pass the caller's variables of proxies on
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) http_proxy: Option<bool>,
    /// The image's own /etc/hosts
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = clap::builder::BoolishValueParser::new())]
    pub(super) no_hosts: Option<bool>,
    /// What /etc/hosts begins with: a file of this machine, image for the image's, none [default: none]
    #[arg(long, value_name = "FILE")]
    pub(super) hosts_file: Option<String>,
    /// The image's own /etc/hostname
    #[arg(long)]
    no_hostname: bool,
    /// What the image wants to be volumes: anonymous ones, in memory, or nothing
    #[arg(long, value_enum, value_name = "KIND")]
    pub(super) image_volume: Option<ImageVolume>,
    /// With --read-only, /run, /tmp and /var/tmp in memory to write in [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) read_only_tmpfs: Option<bool>,
    /// What to do when the container becomes unhealthy
    #[arg(long, value_enum, value_name = "ACTION")]
    health_on_failure: Option<OnFailure>,
    /// Results of health checks to keep, 0 for all that fit [default: 5]
    #[arg(long, value_name = "NUMBER")]
    health_max_log_count: Option<u32>,
    /// Characters to keep of what a check says, 0 for all that fit
    #[arg(long, value_name = "NUMBER")]
    health_max_log_size: Option<u32>,
    /// enabled, or no-conmon, which is the same here
    #[arg(long, value_name = "MODE", hide = true)]
    pub(super) cgroups: Option<String>,
    /// podman's: default is the only one
    #[arg(long, value_name = "POLICY", hide = true)]
    seccomp_policy: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ImageVolume {
    #[value(alias = "anonymous")]
    Bind,
    Tmpfs,
    Ignore,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OnFailure {
    None,
    Kill,
    Restart,
    Stop,
}

/// What of this is not of the environment.
pub(super) fn apply(arguments: &ContainerArgs, config: &mut Config) -> Result<()> {
    let beyond = &arguments.beyond;
    refuse(beyond)?;
    config.umask = beyond.umask.as_deref().map(umask).transpose()?;
    config.timeout_s = beyond.timeout.unwrap_or(0);
    hosts(arguments, config)?;
    if let Some(zone) = &beyond.tz {
        config.mounts.push(time_zone(zone)?);
    }
    if arguments.read_only == Some(true) {
        // podman has them in memory unless somebody says otherwise, and then in /dev nothing can be written, either.
        let in_memory = beyond.read_only_tmpfs.unwrap_or(Called::is_podman());
        config.security.read_only_dev =
            beyond.read_only_tmpfs == Some(false) && Called::is_podman();
        if in_memory {
            write_in_memory(config);
        }
    }
    health(beyond, config)
}

fn write_in_memory(config: &mut Config) {
    for target in WRITABLE {
        if config.mounts.iter().all(|mount| mount.target != target) {
            let target = target.into();
            config.mounts.push(Mount { kind: "tmpfs".into(), target, ..Mount::default() });
        }
    }
}

/// Permissions that files do not get.
pub(super) fn umask(text: &str) -> Result<u32> {
    let mask = u32::from_str_radix(text, 8).ok().filter(|mask| *mask <= 0o777);
    mask.ok_or_else(|| {
        Failure::new(format!("--umask {text}: it is no mask")).hint("write it in octal: 0027")
    })
}

/// What becomes of `/etc/hosts` and `/etc/hostname`.
fn hosts(arguments: &ContainerArgs, config: &mut Config) -> Result<()> {
    let beyond = &arguments.beyond;
    let network = &mut config.network;
    network.no_hosts = beyond.no_hosts == Some(true);
    network.no_hostname = beyond.no_hostname;
    if network.no_hosts && !arguments.add_host.is_empty() {
        return Err(Failure::new("--no-hosts and --add-host cannot be set together"));
    }
    if let Some(file) = &beyond.hosts_file {
        check_hosts_file(file)?;
        network.hosts_file.clone_from(file);
    }
    // podman's containers find the machine by a name.
    let usual = if Called::is_podman() { "host-gateway" } else { "none" };
    let address = arguments.defaults.host_address.as_deref().unwrap_or(usual);
    if address != "none" {
        address.clone_into(&mut network.host_address);
    }
    Ok(())
}

/// Whether something can be what `/etc/hosts` begins with.
pub(super) fn check_hosts_file(file: &str) -> Result<()> {
    match file {
        "none" | "image" => Ok(()),
        file if file.starts_with('/') && Path::new(file).exists() => Ok(()),
        file if file.starts_with('/') => {
            Err(Failure::new(format!("hosts file {file:?}: there is no such file")))
        }
        file => Err(Failure::new(format!("hosts file {file:?}: it is no absolute path"))
            .hint("write the path of a file, image or none")),
    }
}

fn refuse(beyond: &BeyondArgs) -> Result<()> {
    beyond.cgroups.as_deref().map_or(Ok(()), check_cgroups)?;
    if let Some(policy) = beyond.seccomp_policy.as_deref().filter(|it| *it != "default") {
        return Err(Failure::new(format!(
            "--seccomp-policy {policy}: profiles of images are unknown"
        ))
        .hint("--security-opt seccomp=FILE takes a profile"));
    }
    Ok(())
}

/// Whether `--cgroups` says what is so in any case.
pub(super) fn check_cgroups(mode: &str) -> Result<()> {
    match mode {
        "enabled" | "no-conmon" => Ok(()),
        mode => Err(Failure::new(format!("--cgroups {mode}: every container has a cgroup"))
            .hint("--cgroup-parent says below which one")),
    }
}

impl OnFailure {
    /// As records have it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Kill => "kill",
            Self::Restart => "restart",
            Self::Stop => "stop",
        }
    }
}

fn health(beyond: &BeyondArgs, config: &mut Config) -> Result<()> {
    let action = beyond.health_on_failure.map_or("", OnFailure::word);
    if !action.is_empty() && !super::health::has_check(config) {
        return Err(Failure::new(format!(
            "cannot set on-failure action to {action} without a health check"
        )));
    }
    config.health_on_failure = action.into();
    config.health_log_count = beyond.health_max_log_count;
    config.health_log_size = beyond.health_max_log_size;
    Ok(())
}

/// What the image wants to be volumes, as options have it.
pub(super) fn image_volumes(beyond: &BeyondArgs, targets: &[String], config: &mut Config) {
    for target in targets {
        let target = format!("/{}", target.trim_matches('/'));
        if target == "/" || config.mounts.iter().any(|mount| mount.target == target) {
            continue;
        }
        let kind = match beyond.image_volume {
            None | Some(ImageVolume::Bind) => "volume",
            Some(ImageVolume::Tmpfs) => "tmpfs",
            Some(ImageVolume::Ignore) => continue,
        };
        let is_volume = kind == "volume";
        config.mounts.push(Mount {
            kind: kind.into(),
            target,
            copy_up: is_volume,
            anonymous: is_volume,
            ..Mount::default()
        });
    }
}

/// The image's variables, with what options make of them before others are added.
pub(super) fn environment(arguments: &ContainerArgs, mut env: Vec<String>) -> Result<Vec<String>> {
    let beyond = &arguments.beyond;
    let value = |env: &[String], name: &str| {
        let of = |it: &String| {
            it.split_once('=').filter(|(known, _)| *known == name).map(|it| it.1.to_owned())
        };
        env.iter().rev().find_map(of).unwrap_or_default()
    };
    let mut usual = Vec::new();
    // Programs look for it where they have to know that they are in a container.
    usual.extend(Called::is_podman().then(|| "container=podman".to_owned()));
    config::variables(&arguments.defaults.env, &mut usual)?;
    env.splice(0..0, usual);
    if beyond.unsetenv_all {
        env.clear();
    }
    if beyond.env_host == Some(true) {
        let caller = std::env::vars_os().filter_map(|(name, value)| {
            Some(format!("{}={}", name.into_string().ok()?, value.into_string().ok()?))
        });
        let mut all: Vec<String> = caller.collect();
        all.append(&mut env);
        env = all;
    }
    if beyond.http_proxy == Some(true) {
        for name in PROXY.iter().flat_map(|name| [name.to_string(), name.to_ascii_uppercase()]) {
            env.extend(std::env::var(&name).ok().map(|value| format!("{name}={value}")));
        }
    }
    for text in &beyond.env_merge {
        let (name, template) = parse::pair(text);
        if name.is_empty() {
            return Err(Failure::new(format!("invalid environment variable: {text}")));
        }
        let mut merged = String::new();
        let mut rest = template.as_str();
        while let Some((before, behind)) = rest.split_once("${") {
            let Some((known, after)) = behind.split_once('}') else { break };
            merged.push_str(before);
            merged.push_str(&value(&env, known));
            rest = after;
        }
        merged.push_str(rest);
        env.push(format!("{name}={merged}"));
    }
    Ok(env)
}

/// Variables that the program does not get, `*` for all that no option sets.
pub(super) fn unset(beyond: &BeyondArgs) -> Vec<String> {
    if beyond.unsetenv_all { vec!["*".into()] } else { beyond.unsetenv.clone() }
}

/// `/etc/localtime` of a zone.
pub(super) fn time_zone(zone: &str) -> Result<Mount> {
    let path = match zone {
        "local" => PathBuf::from("/etc/localtime"),
        zone => Path::new(ZONES).join(zone),
    };
    let bad = |why: &dyn std::fmt::Display| {
        Failure::new(format!("--tz {zone}: {}: {why}", path.display()))
            .hint("write a name of /usr/share/zoneinfo, or local")
    };
    if zone.starts_with('/') || zone.split('/').any(|part| part == "..") {
        return Err(bad(&"it is no name of a zone"));
    }
    let found = std::fs::canonicalize(&path).map_err(|error| bad(&error))?;
    if !found.is_file() {
        return Err(bad(&"it is no file"));
    }
    let source = found.to_str().map(str::to_owned).ok_or_else(|| bad(&"the path is not UTF-8"))?;
    Ok(Mount {
        kind: "bind".into(),
        source,
        target: "/etc/localtime".into(),
        read_only: true,
        ..Mount::default()
    })
}

/// Removes the container that has the name, with `--replace`.
pub(super) fn replace(engine: &Engine, arguments: &ContainerArgs) -> Result<()> {
    if !arguments.beyond.replace {
        return Ok(());
    }
    let Some(name) = &arguments.name else {
        return Err(Failure::new("cannot replace container without --name being set"));
    };
    match engine.find(name) {
        // Not one whose ID begins so.
        Ok(container) if container.config.name == name.trim_start_matches('/') => {
            Ok(engine.remove_by_force(&container, 0)?)
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == engine::Kind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Writes the files that name the container's processes.
pub(super) fn write_pids(engine: &Engine, beyond: &BeyondArgs, id: &str, pid: i32) -> Result<()> {
    let write = |path: &Option<PathBuf>, pid: i32| -> Result<()> {
        let Some(path) = path else { return Ok(()) };
        std::fs::write(path, pid.to_string())
            .map_err(|error| Failure::new(format!("writing {}: {error}", path.display())))
    };
    write(&beyond.pidfile, pid)?;
    if beyond.conmon_pidfile.is_none() {
        return Ok(());
    }
    let supervisor = engine.load(id)?.map_or(0, |container| container.state.supervisor);
    write(&beyond.conmon_pidfile, supervisor)
}
