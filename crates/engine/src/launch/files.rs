//! The files that say where a container is: not the image's business, and bound over its own.

use super::network::Joined;
use super::userns::Mapping;
use super::users;
use crate::error::{During, Result};
use crate::place::Engine;
use crate::record::Config;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use sys::Fd;

/// By which programs know that they are in a container.
pub(super) const CONTAINER_ENV: &str = "/run/.containerenv";
/// What `/etc/hosts` begins with, where somebody has said it.
const BASE: &str = "hosts.base";
/// A larger `/etc/hosts` is none.
const HOSTS_LIMIT_BYTES: u64 = 1 << 20;

/// A file of the engine's own in the container.
pub(super) struct Bind {
    pub(crate) source: PathBuf,
    pub(crate) target: String,
}

/// Writes them anew, as a start finds the machine, and the image below `root`.
pub(super) fn write(
    engine: &Engine,
    config: &Config,
    root: &Fd,
    mapping: Option<&Mapping>,
) -> Result<Vec<Bind>> {
    let dir = engine.path_of(&config.id).join("files");
    match fs::create_dir(&dir) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
    .during(|| format!("making {}", dir.display()))?;
    let base = base_hosts(config, root)?;
    if let Some(base) = &base {
        write_one(&dir.join(BASE), base, None)?;
    }
    let base = base.as_deref();
    let mut binds = Vec::new();
    let others = config.network.mode.strip_prefix("container:");
    let of_other = |name: &str| {
        let other = engine.find(others?).ok()?;
        fs::read_to_string(engine.path_of(&other.config.id).join("files").join(name)).ok()
    };
    // Who has another one's network has its names, too, as they are now.
    let texts = [
        (
            "hosts",
            of_other("hosts").map_or_else(|| hosts(config, base), |text| text + &added(config)),
        ),
        ("resolv.conf", of_other("resolv.conf").unwrap_or_else(|| resolvers(config))),
        ("hostname", format!("{}\n", config.hostname)),
    ];
    for (name, text) in texts {
        let (source, target) = (dir.join(name), format!("/etc/{name}"));
        let is_images = name == "hosts" && config.network.no_hosts
            || name == "hostname" && config.network.no_hostname;
        let is_mounted = is_images || config.mounts.iter().any(|mount| mount.target == target);
        // A directory of the host's gets no files for what was not in it.
        let has_place = config.rootfs.is_empty()
            || !config.rootfs_kind.is_empty()
            || fs::exists(format!("{}{target}", config.rootfs)).unwrap_or(false);
        if is_mounted || !has_place {
            continue;
        }
        write_one(&source, &text, mapping)?;
        binds.push(Bind { source, target });
    }
    Ok(binds)
}

fn write_one(path: &Path, text: &str, mapping: Option<&Mapping>) -> Result<()> {
    let attempt = || format!("writing {}", path.display());
    fs::write(path, text).during(attempt)?;
    if let Some((uid, gid)) = mapping.and_then(Mapping::root) {
        std::os::unix::fs::chown(path, Some(uid), Some(gid)).during(attempt)?;
    }
    Ok(())
}

/// Writes podman's file about the container: empty, but for a privileged one, which is told which it is. It is not for
/// packed programs, whose root directory is nobody's to make files in.
pub(super) fn container_env(
    engine: &Engine,
    config: &Config,
    mapping: Option<&Mapping>,
) -> Result<Option<PathBuf>> {
    if !config.rootfs.is_empty() && config.rootfs_kind.is_empty() {
        return Ok(None);
    }
    let path = engine.path_of(&config.id).join("files/containerenv");
    let text = match config.security.privileged {
        true => facts(config, engine.place.uid != 0),
        false => String::new(),
    };
    write_one(&path, &text, mapping)?;
    Ok(Some(path))
}

/// As podman writes them, for shells to read.
fn facts(config: &Config, is_rootless: bool) -> String {
    let program = match config.env.iter().any(|variable| variable == "container=podman") {
        true => "podman",
        false => "tare",
    };
    let quoted = |text: &str| {
        let mut quoted = String::from("\"");
        for letter in text.chars().filter(|letter| !letter.is_control()) {
            if matches!(letter, '"' | '\\' | '$' | '`') {
                quoted.push('\\');
            }
            quoted.push(letter);
        }
        quoted + "\""
    };
    let image = if config.image_name.is_empty() { &config.image } else { &config.image_name };
    let id = config.image_id.rsplit(':').next().unwrap_or_default();
    format!(
        "engine={}\nname={}\nid={}\nimage={}\nimageid={}\nrootless={}\n",
        quoted(&format!("{program}-{}", env!("CARGO_PKG_VERSION"))),
        quoted(&config.name),
        quoted(&config.id),
        quoted(image),
        quoted(id),
        u8::from(is_rootless)
    )
}

/// What somebody wants `/etc/hosts` to begin with. The image's own is looked for below `root`.
fn base_hosts(config: &Config, root: &Fd) -> Result<Option<String>> {
    let attempt = |path: &str| format!("reading {path}");
    match config.network.hosts_file.as_str() {
        "" => Ok(None),
        "none" => Ok(Some(String::new())),
        "image" => {
            let read = users::read_inside(root, "etc/hosts");
            let bytes = read.map_err(|error| error.during(attempt("the image's etc/hosts")))?;
            Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
        }
        path => {
            let mut bytes = Vec::new();
            let read = fs::File::open(path)
                .and_then(|file| file.take(HOSTS_LIMIT_BYTES).read_to_end(&mut bytes));
            read.during(|| attempt(path))?;
            Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
        }
    }
}

/// What `/etc/hosts` of a container began with at its start.
pub(super) fn kept_base(engine: &Engine, config: &Config) -> Result<Option<String>> {
    if config.network.hosts_file.is_empty() {
        return Ok(None);
    }
    let path = engine.path_of(&config.id).join("files").join(BASE);
    fs::read_to_string(&path).map(Some).during(|| format!("reading {}", path.display()))
}

/// Writes what is known only once the networks are joined into the files that the container has already.
pub(super) fn tell_networks(engine: &Engine, config: &Config, joined: &Joined) -> Result<()> {
    let dir = engine.path_of(&config.id).join("files");
    for (name, text) in [("hosts", &joined.hosts), ("resolv.conf", &joined.resolv)] {
        let path = dir.join(name);
        fs::write(&path, text).during(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

fn of_host(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn hosts(config: &Config, base: Option<&str>) -> String {
    let mut text = match config.network.mode.as_str() {
        _ if base.is_some() => net::HostsFile { base, ..net::HostsFile::default() }.text(),
        "host" => of_host("/etc/hosts"),
        _ => {
            let host = &config.hostname;
            format!(
                "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t{host}\n"
            )
        }
    };
    text.push_str(&added(config));
    if let Ok(address) = config.network.host_address.parse::<std::net::IpAddr>() {
        text.push_str(&format!("{address}\thost.containers.internal host.docker.internal\n"));
    }
    text
}

/// Lines for the hosts that options name.
fn added(config: &Config) -> String {
    let entries = config.network.extra_hosts.iter().filter_map(|it| it.split_once([':', '=']));
    let line =
        |(name, address): (&str, &str)| format!("{}\t{name}\n", address.trim_matches(['[', ']']));
    entries.map(line).collect()
}

fn resolvers(config: &Config) -> String {
    let network = &config.network;
    let own = network.mode == "host" && network.dns.is_empty();
    let mut text = if own { of_host("/etc/resolv.conf") } else { String::new() };
    for server in &network.dns {
        text.push_str(&format!("nameserver {server}\n"));
    }
    if !network.dns_search.is_empty() && network.dns_search != ["."] {
        text.push_str(&format!("search {}\n", network.dns_search.join(" ")));
    }
    if !network.dns_options.is_empty() {
        text.push_str(&format!("options {}\n", network.dns_options.join(" ")));
    }
    text
}
