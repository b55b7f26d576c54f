//! The files that say where a container is: not the image's business, and bound over its own.

use super::network::Joined;
use super::userns::Mapping;
use crate::error::{During, Result};
use crate::place::Engine;
use crate::record::Config;
use std::fs;
use std::path::PathBuf;

/// A file of the engine's own in the container.
pub(super) struct Bind {
    pub(crate) source: PathBuf,
    pub(crate) target: String,
}

/// Writes them anew, as a start finds the machine.
pub(super) fn write(
    engine: &Engine,
    config: &Config,
    mapping: Option<&Mapping>,
) -> Result<Vec<Bind>> {
    let dir = engine.path_of(&config.id).join("files");
    match fs::create_dir(&dir) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
    .during(|| format!("making {}", dir.display()))?;
    let mut binds = Vec::new();
    let others = config.network.mode.strip_prefix("container:");
    let of_other = |name: &str| {
        let other = engine.find(others?).ok()?;
        fs::read_to_string(engine.path_of(&other.config.id).join("files").join(name)).ok()
    };
    // Who has another one's network has its names, too, as they are now.
    let texts = [
        ("hosts", of_other("hosts").map_or_else(|| hosts(config), |text| text + &added(config))),
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
            || fs::exists(format!("{}{target}", config.rootfs)).unwrap_or(false);
        if is_mounted || !has_place {
            continue;
        }
        fs::write(&source, text).during(|| format!("writing {}", source.display()))?;
        if let Some((uid, gid)) = mapping.and_then(Mapping::root) {
            std::os::unix::fs::chown(&source, Some(uid), Some(gid))
                .during(|| format!("writing {}", source.display()))?;
        }
        binds.push(Bind { source, target });
    }
    Ok(binds)
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

fn hosts(config: &Config) -> String {
    let mut text = match config.network.mode.as_str() {
        "host" => of_host("/etc/hosts"),
        _ => {
            let host = &config.hostname;
            format!(
                "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t{host}\n"
            )
        }
    };
    text.push_str(&added(config));
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
