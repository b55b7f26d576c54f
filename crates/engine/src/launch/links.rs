//! `--link`: the variables by which containers of the default network were told of each other before networks had names.
//! docker keeps them there until its version 28, and only there.

use super::network;
use crate::error::{Error, Result};
use crate::place::{Container, Engine};
use crate::record::{Attached, Config};
use net::Protocol;
use std::net::IpAddr;

/// Variables of the image's builder, which are nobody else's business (as docker).
const NOT_PASSED_ON: [&str; 2] = ["HOME", "PATH"];
/// So many ports in a row are told of as a range, too.
const RANGE_LEAST: usize = 3;

/// Another container, where it is reached, and what it is called by.
pub(super) struct Linked<'l> {
    pub(super) other: Container,
    pub(super) address: IpAddr,
    pub(super) alias: &'l str,
}

/// Finds the container of `NAME[:ALIAS]`, which has to run.
pub(super) fn find<'l>(engine: &Engine, config: &Config, link: &'l str) -> Result<Linked<'l>> {
    let (name, alias) = link.split_once(':').unwrap_or((link, link));
    let other = engine.find(name)?;
    if !other.is_running() {
        let (theirs, own) = (&other.config.name, &config.name);
        let text = format!("cannot link to a non running container: /{theirs} AS /{own}/{alias}");
        return Err(Error::invalid(text).with_hint(format!("`tare start {theirs}` first")));
    }
    let is_common = |it: &&Attached| {
        config.network.endpoints.iter().any(|endpoint| endpoint.network == it.network)
    };
    let all = &other.state.networks;
    let attached = all.iter().find(is_common).or(all.first());
    let address = attached.and_then(|it| it.ipv4.split('/').next()?.parse().ok());
    let missing = || Error::invalid(format!("--link {link}: container {name} has no address"));
    Ok(Linked { address: address.ok_or_else(missing)?, other, alias })
}

/// What a container's program finds in its environment of those that it is linked to.
pub(super) fn environment(engine: &Engine, config: &Config) -> Result<Vec<String>> {
    let network = &config.network;
    let first = network.endpoints.first().filter(|_| network.mode.is_empty());
    if first.is_none_or(|endpoint| endpoint.network != net::DEFAULT) {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    for link in &network.links {
        let Linked { other, address, alias } = find(engine, config, link)?;
        let address = address.to_string();
        let name = format!("/{}/{alias}", config.name);
        all.extend(variables(alias, &name, &address, &ports(&other.config)?, &other.config.env));
    }
    Ok(all)
}

/// The ports that a container has, TCP's first.
fn ports(config: &Config) -> Result<Vec<(Protocol, u16)>> {
    let published = network::specs(config)?;
    let mut ports: Vec<_> = published.iter().map(|it| (it.protocol, it.container_port)).collect();
    for text in &config.exposed_ports {
        let exposed = net::parse_exposed(text)?;
        ports.extend(exposed.into_iter().map(|(port, protocol)| (protocol, port)));
    }
    ports.sort_by_key(|(protocol, port)| (*protocol != Protocol::Tcp, protocol.name(), *port));
    ports.dedup();
    Ok(ports)
}

fn variables(
    alias: &str,
    name: &str,
    address: &str,
    ports: &[(Protocol, u16)],
    env: &[String],
) -> Vec<String> {
    let prefix = alias.to_uppercase().replace('-', "_");
    let url = |(protocol, port): (Protocol, u16)| format!("{}://{address}:{port}", protocol.name());
    let of = |(protocol, port): (Protocol, u16)| {
        format!("{prefix}_PORT_{port}_{}", protocol.name().to_uppercase())
    };
    let mut all = Vec::new();
    // The one with the lowest number stands for all, and TCP's of two with the same.
    let first = ports.iter().min_by_key(|(protocol, port)| (*port, *protocol != Protocol::Tcp));
    all.extend(first.map(|port| format!("{prefix}_PORT={}", url(*port))));
    for range in ports.chunk_by(|a, b| a.0 == b.0 && a.1.checked_add(1) == Some(b.1)) {
        if let ([first, .., last], true) = (range, range.len() >= RANGE_LEAST) {
            let start = of(*first);
            all.push(format!("{start}_START={}", url(*first)));
            all.push(format!("{start}_PORT_START={}", first.1));
            all.push(format!("{start}_END={}", url(*last)));
            all.push(format!("{start}_PORT_END={}", last.1));
        }
    }
    for port in ports {
        let one = of(*port);
        all.push(format!("{one}={}", url(*port)));
        all.push(format!("{one}_ADDR={address}"));
        all.push(format!("{one}_PORT={}", port.1));
        all.push(format!("{one}_PROTO={}", port.0.name()));
    }
    all.push(format!("{prefix}_NAME={name}"));
    for variable in env {
        if let Some((name, value)) = variable.split_once('=')
            && !NOT_PASSED_ON.contains(&name)
        {
            all.push(format!("{prefix}_ENV_{name}={value}"));
        }
    }
    all
}

#[test]
fn variables_are_dockers() {
    let tcp = |port| (Protocol::Tcp, port);
    let ports = [tcp(5432), tcp(6000), tcp(6001), tcp(6002), (Protocol::Udp, 53)];
    let env = ["A=b c".to_owned(), "PATH=/bin".into(), "HOME=/".into(), "B=".into()];
    let mut found = variables("my-db", "/web/my-db", "10.0.0.2", &ports, &env);
    found.retain(|it| !it.contains("6001") && !it.contains("6002_TCP"));
    let expected = [
        "MY_DB_PORT=udp://10.0.0.2:53",
        "MY_DB_PORT_6000_TCP_START=tcp://10.0.0.2:6000",
        "MY_DB_PORT_6000_TCP_PORT_START=6000",
        "MY_DB_PORT_6000_TCP_END=tcp://10.0.0.2:6002",
        "MY_DB_PORT_6000_TCP_PORT_END=6002",
        "MY_DB_PORT_5432_TCP=tcp://10.0.0.2:5432",
        "MY_DB_PORT_5432_TCP_ADDR=10.0.0.2",
        "MY_DB_PORT_5432_TCP_PORT=5432",
        "MY_DB_PORT_5432_TCP_PROTO=tcp",
        "MY_DB_PORT_6000_TCP=tcp://10.0.0.2:6000",
        "MY_DB_PORT_6000_TCP_ADDR=10.0.0.2",
        "MY_DB_PORT_6000_TCP_PORT=6000",
        "MY_DB_PORT_6000_TCP_PROTO=tcp",
        "MY_DB_PORT_53_UDP=udp://10.0.0.2:53",
        "MY_DB_PORT_53_UDP_ADDR=10.0.0.2",
        "MY_DB_PORT_53_UDP_PORT=53",
        "MY_DB_PORT_53_UDP_PROTO=udp",
        "MY_DB_NAME=/web/my-db",
        "MY_DB_ENV_A=b c",
        "MY_DB_ENV_B=",
    ];
    assert_eq!(found, expected);
}
