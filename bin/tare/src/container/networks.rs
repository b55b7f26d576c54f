//! `--network` and what else options say of a container's networks.

use super::options::ContainerArgs;
use super::parse;
use crate::failure::{Failure, Result};
use engine::record::{Endpoint, Network};

/// What options say of a container's networks.
pub(super) fn read(arguments: &ContainerArgs) -> Result<Network> {
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
    arguments.dns.iter().try_for_each(|server| check_server(server))?;
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
    add_pasta_options(&arguments.defaults.pasta, &mut network.mode);
    single_options(arguments, &mut endpoints)?;
    network.endpoints = endpoints;
    Ok(network)
}

/// Whether a text is an address.
pub(super) fn check_server(text: &str) -> Result<()> {
    match text.parse::<std::net::IpAddr>() {
        Ok(_) => Ok(()),
        Err(_) => Err(Failure::new(format!("{text} is not an ip address"))),
    }
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

/// pasta's options of every container come before those of one.
fn add_pasta_options(options: &[String], mode: &mut String) {
    let Some(rest) = mode.strip_prefix("pasta").filter(|_| !options.is_empty()) else { return };
    let own = rest.strip_prefix(':');
    let all: Vec<&str> = options.iter().map(String::as_str).chain(own).collect();
    *mode = format!("pasta:{}", all.join(","));
}

/// The network of containers of which no option says one.
fn usual_network(arguments: &ContainerArgs) -> String {
    let said = std::env::var("TARE_NETWORK").ok().filter(|name| !name.is_empty());
    let said = said.or_else(|| arguments.defaults.network.clone());
    let publishes = !arguments.publish.is_empty() || arguments.publish_all;
    // Programs of the host need nothing but their files, and an ordinary user may not make devices of the host's.
    let is_alone = arguments.is_of_host() && !publishes;
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
