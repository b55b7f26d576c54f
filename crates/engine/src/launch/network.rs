//! A container's networks: joined between the making of its namespaces and the start of its program.

use super::files;
use super::links::{self, Linked};
use super::way::{self, Pinned, Way};
use crate::error::{During, Error, Result};
use crate::ground;
use crate::networks::Mark;
use crate::place::Engine;
use crate::record::{Attached, Config, Endpoint, Port};
use net::{
    AttachRequest, Attachment, DnsOptions, Ground, HostPort, HostResolver, Mac, NameConfig,
    NameService, Network, Networks, Places, PortHolder, PortMapping, PortSpec, Protocol,
    Publishing, Reach, Resolution,
};
use std::net::IpAddr;
use std::sync::Arc;
use sys::{Fd, fs};

const RESOLV: &str = "/etc/resolv.conf";
/// systemd-resolved's list of the servers that it asks itself.
const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";

/// What a container has of its networks as long as it runs.
#[derive(Default)]
pub(crate) struct Joined {
    pub(crate) attached: Vec<Attached>,
    pub(crate) ports: Vec<Port>,
    pub(crate) warnings: Vec<String>,
    /// Its own, if it has one.
    pub(crate) names: Option<NameService>,
    /// `/etc/hosts` and `/etc/resolv.conf`.
    pub(super) hosts: String,
    pub(super) resolv: String,
    /// Nobody else gets the ports.
    pub(super) holder: PortHolder,
    pub(super) mappings: Vec<PortMapping>,
    /// The id of the network whose address the ports lead to.
    pub(super) publisher: Option<String>,
    /// If this process is killed, somebody else cleans up.
    pub(super) mark: Option<Mark>,
    /// What leads out of a container of an ordinary user.
    pub(crate) way: Option<Way>,
    /// The network namespace of such a container: let go of when nothing leads out of it any more.
    pub(super) pinned: Option<Pinned>,
}

/// The networks of an engine.
pub(crate) fn open(engine: &Engine) -> Result<Networks> {
    let place = &engine.place;
    let places =
        Places { records: place.root.join("networks"), run: place.runroot.join("networks") };
    Ok(Networks::open(&places)?.on(match &engine.ground {
        Some(netns) => Ground::Own(Arc::clone(netns)),
        None if place.host.rootless => Ground::Elsewhere,
        None => Ground::Host,
    }))
}

/// Does something where the bridges of the networks are: an ordinary user's are reached by a process of its own only.
pub(crate) fn at_bridges(
    engine: &Engine,
    action: impl FnOnce(&Networks) -> Result<Vec<u8>>,
) -> Result<Vec<u8>> {
    let networks = open(engine)?;
    if !networks.are_elsewhere() {
        return action(&networks);
    }
    super::ask_child(|| {
        ground::visit(&engine.place)?;
        action(&networks.on(Ground::OwnHere))
    })
}

/// Whether a container's networks are made for it.
pub(crate) fn has_endpoints(config: &Config) -> bool {
    config.network.mode.is_empty() && !config.network.endpoints.is_empty()
}

/// Whether something has to be done between the making of its namespaces and its start.
pub(super) fn is_joined_late(config: &Config, pinned: Option<&Pinned>) -> bool {
    has_endpoints(config) || pinned.is_some()
}

/// Makes the namespace of a process part of the container's networks. What was made goes on a failure.
pub(super) fn join(
    engine: &Engine,
    config: &Config,
    pid: i32,
    pinned: Option<Pinned>,
) -> Result<Joined> {
    let pinned = match (pinned, way::options(config)) {
        (Some(pinned), Some(options)) => return join_by_pasta(engine, config, pinned, options),
        (pinned, _) => pinned,
    };
    let networks = open(engine)?;
    let mark = Mark::new(&engine.place, &config.id)?;
    // What a killed supervisor has left.
    leave_all(&networks, config);
    let joined = join_all(&networks, engine, config, pid, pinned.as_ref());
    let mut joined = joined.inspect_err(|_| leave_all(&networks, config))?;
    joined.mark = Some(mark);
    joined.pinned = pinned;
    Ok(joined)
}

/// The network namespace of a container.
pub(super) fn namespace(pid: i32, pinned: Option<&Pinned>) -> Result<Arc<Fd>> {
    if let Some(pinned) = pinned {
        return Ok(Arc::clone(&pinned.netns));
    }
    let path = format!("/proc/{pid}/ns/net");
    fs::open_read(&path).during(|| format!("opening {path}")).map(Arc::new)
}

fn join_all(
    networks: &Networks,
    engine: &Engine,
    config: &Config,
    pid: i32,
    pinned: Option<&Pinned>,
) -> Result<Joined> {
    let netns = namespace(pid, pinned)?;
    let mut known = Vec::new();
    for endpoint in &config.network.endpoints {
        known.push((endpoint, networks.get(&endpoint.network)?));
    }
    let has = |is_v6: bool| {
        let of_kind =
            |network: &Network| network.subnets.iter().any(|it| it.subnet.is_v6() == is_v6);
        known.iter().any(|(_, network)| of_kind(network))
    };
    let publishing = Publishing { v4: has(false), v6: has(true), default_ip: None };
    let (holder, mappings) = match pinned {
        // It is what leads out that has ports.
        Some(_) => Default::default(),
        None => PortHolder::reserve(&specs(config)?, publishing)?,
    };
    let mut joined = Vec::new();
    let mut warnings = Vec::new();
    for (index, (endpoint, network)) in known.iter().enumerate() {
        let request = Request::of(config, endpoint)?;
        // Ports go by the first network, as the way out does.
        let ports: &[PortMapping] = if index == 0 { &mappings } else { &[] };
        // The namespace is new.
        let devices: Vec<String> =
            joined.iter().map(|it: &Attachment| it.interface.clone()).collect();
        let done = networks.attach(
            network,
            &AttachRequest {
                container: &config.id,
                name: &config.name,
                aliases: &endpoint.aliases,
                netns: &netns,
                interface: request.interface.as_deref(),
                devices: Some(&devices),
                addresses: &request.addresses,
                link_local: &request.link_local,
                mac: request.mac,
                ports,
                default_route: index == 0,
            },
        )?;
        warnings.extend(done.warnings);
        joined.push(done.attachment);
    }
    let joined = Joined {
        attached: joined.iter().map(record).collect(),
        ports: mappings.iter().map(port).collect(),
        warnings,
        hosts: hosts(engine, config, &joined, pinned.is_none())?,
        holder,
        mappings,
        ..Joined::default()
    };
    let all: Vec<Network> = known.into_iter().map(|(_, network)| network).collect();
    lead_out(networks, engine, config, &all, joined, &netns, pinned)
}

/// Names, and an ordinary user's way out.
fn lead_out(
    networks: &Networks,
    engine: &Engine,
    config: &Config,
    all: &[Network],
    mut joined: Joined,
    netns: &Fd,
    pinned: Option<&Pinned>,
) -> Result<Joined> {
    let resolution = resolution(config, all)?;
    if resolution.has_service {
        joined.names = Some(name_service(networks, engine, config, netns, all, &resolution)?);
    }
    joined.resolv = resolution.text;
    let has_way = all.iter().any(|network| !network.internal);
    if let Some(pinned) = pinned.filter(|_| has_way) {
        let way = Way::beside_networks(engine, config, pinned, &mut joined.warnings)?;
        joined.ports = way.ports();
        joined.way = Some(way);
    }
    joined.publisher = all.first().map(|network| network.id.clone());
    Ok(joined)
}

/// The way of a user without rights: the container has the host's addresses, and the sockets are the user's.
fn join_by_pasta(
    engine: &Engine,
    config: &Config,
    pinned: Pinned,
    options: Vec<String>,
) -> Result<Joined> {
    let way = Way::alone(engine, config, &pinned, options)?;
    let resolution = resolution(config, &[])?;
    let names = match resolution.has_service {
        true => {
            let servers = resolution.upstreams.clone();
            let config = NameConfig { servers, port: None, forward: true };
            Some(NameService::open(&pinned.netns, &config)?)
        }
        false => None,
    };
    Ok(Joined {
        ports: way.ports(),
        names,
        hosts: hosts(engine, config, &[], false)?,
        resolv: resolution.text,
        way: Some(way),
        pinned: Some(pinned),
        ..Joined::default()
    })
}

pub(super) struct Request {
    pub(super) interface: Option<String>,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) link_local: Vec<IpAddr>,
    pub(super) mac: Option<Mac>,
}

impl Request {
    pub(super) fn of(config: &Config, endpoint: &Endpoint) -> Result<Self> {
        let read = |text: &String| {
            let bad = |_| Error::invalid(format!("{text:?} is no address"));
            text.parse::<IpAddr>().map_err(bad)
        };
        let own = [&endpoint.ipv4, &endpoint.ipv6].into_iter().filter(|text| !text.is_empty());
        let addresses = own.map(read).collect::<Result<_>>()?;
        let link_local = endpoint.link_local.iter().map(read).collect::<Result<_>>()?;
        let first = config.network.endpoints.first();
        let is_first = first.is_none_or(|first| first.network == endpoint.network);
        let common = if is_first { config.network.mac_address.as_str() } else { "" };
        let mac = match (endpoint.mac_address.as_str(), common) {
            ("", "") => None,
            ("", text) | (text, _) => {
                let bad = || Error::invalid(format!("{text:?} is no hardware address"));
                Some(text.parse().map_err(|_| bad())?)
            }
        };
        let interface = Some(&endpoint.interface).filter(|name| !name.is_empty()).cloned();
        Ok(Self { interface, addresses, link_local, mac })
    }
}

/// The ports that are published: named ones, and with `-P` all that are exposed.
pub(super) fn specs(config: &Config) -> Result<Vec<PortSpec>> {
    let mut specs = Vec::new();
    for text in &config.network.publish {
        specs.extend(PortSpec::parse(text)?);
    }
    if config.network.publish_all {
        for text in &config.exposed_ports {
            for (container_port, protocol) in net::parse_exposed(text)? {
                let is_known = |spec: &PortSpec| {
                    (spec.container_port, spec.protocol) == (container_port, protocol)
                };
                if !specs.iter().any(is_known) {
                    specs.push(PortSpec {
                        host_ip: None,
                        host_port: HostPort::Any,
                        container_port,
                        protocol,
                    });
                }
            }
        }
    }
    Ok(specs)
}

/// Whether texts of `-p` can be understood.
pub fn check_ports(texts: &[String]) -> Result<()> {
    for text in texts {
        PortSpec::parse(text)?;
    }
    Ok(())
}

pub(super) fn resolution(config: &Config, networks: &[Network]) -> Result<Resolution> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let host = HostResolver::read(&read(RESOLV).unwrap_or_default(), read(RESOLVED).as_deref());
    let wanted = &config.network;
    let servers = wanted.dns.iter().filter_map(|text| text.parse().ok()).collect();
    let options = DnsOptions {
        servers,
        search: wanted.dns_search.clone(),
        options: wanted.dns_options.clone(),
    };
    let v6 = networks.iter().any(|network| network.subnets.iter().any(|it| it.subnet.is_v6()));
    let names = networks.iter().any(|network| network.dns);
    Ok(Resolution::new(&host, &options, Reach { names, v6 }))
}

pub(super) fn name_service(
    networks: &Networks,
    engine: &Engine,
    config: &Config,
    netns: &Fd,
    all: &[Network],
    resolution: &Resolution,
) -> Result<NameService> {
    let forward = all.iter().any(|network| !network.internal);
    let wanted = NameConfig { servers: resolution.upstreams.clone(), port: None, forward };
    let mut service = NameService::open(netns, &wanted)?;
    service.set_networks(networks, all, forward)?;
    service.set_links(links(engine, config)?);
    Ok(service)
}

/// Names that only this container has for others, each with the other's own.
pub(super) fn links(engine: &Engine, config: &Config) -> Result<Vec<(String, String)>> {
    let mut links = Vec::new();
    for link in config.network.endpoints.iter().flat_map(|it| &it.links) {
        let (name, alias) = link.split_once(':').unwrap_or((link, link));
        links.push((alias.to_owned(), engine.find(name)?.config.name));
    }
    Ok(links)
}

/// `/etc/hosts`: what it begins with, what was asked for, linked containers, and itself. The host is behind a gateway or not.
fn hosts(
    engine: &Engine,
    config: &Config,
    joined: &[Attachment],
    has_host: bool,
) -> Result<String> {
    let ways = joined.iter().filter(|_| has_host);
    let gateways: Vec<IpAddr> =
        ways.flat_map(|it| [it.gateway(false), it.gateway(true)]).flatten().collect();
    let mut added = Vec::new();
    for text in &config.network.extra_hosts {
        added.extend(net::parse_added_host(text, &gateways)?);
    }
    for link in &config.network.links {
        let Linked { other, address, alias } = links::find(engine, config, link)?;
        // docker's line: what it is called here, its ID's beginning, its name.
        let id = other.config.id.get(..12).unwrap_or(&other.config.id);
        let own = Some(other.config.name.as_str()).filter(|name| *name != alias);
        let names: Vec<&str> = [alias, id].into_iter().chain(own).collect();
        added.push((address, names.join(" ")));
    }
    let own: Vec<IpAddr> = joined
        .iter()
        .flat_map(|it| [it.address(false), it.address(true)])
        .flatten()
        .map(|cidr| cidr.address())
        .collect();
    let full = format!("{}.{}", config.hostname, config.domainname);
    let mut names = vec![config.hostname.as_str()];
    if !config.domainname.is_empty() {
        names.insert(0, &full);
    }
    // A whole name is known by its first part, too, as docker has it.
    names.extend(config.hostname.split_once('.').map(|(first, _)| first));
    let host = match config.network.host_address.as_str() {
        "host-gateway" => gateways.first().copied(),
        text => text.parse().ok(),
    };
    let base = files::kept_base(engine, config)?;
    let base = base.as_deref();
    Ok(net::HostsFile { base, added: &added, host, own: &own, names: &names }.text())
}

pub(super) fn record(attachment: &Attachment) -> Attached {
    let text = |is_v6| attachment.address(is_v6).map(|it| it.to_string()).unwrap_or_default();
    let gateway = |is_v6| attachment.gateway(is_v6).map(|it| it.to_string()).unwrap_or_default();
    Attached {
        network: attachment.network.clone(),
        network_id: attachment.network_id.clone(),
        interface: attachment.interface.clone(),
        ipv4: text(false),
        ipv6: text(true),
        gateway: gateway(false),
        gateway_v6: gateway(true),
        mac: attachment.mac.clone(),
        aliases: attachment.aliases.clone(),
    }
}

pub(super) fn port(mapping: &PortMapping) -> Port {
    let protocol: Protocol = mapping.protocol;
    Port {
        container: mapping.container_port.into(),
        protocol: protocol.name().into(),
        host_ip: mapping.host_ip.0.to_string(),
        host: mapping.host_port.into(),
    }
}

/// Takes a container out of all its networks, whether it still is in them or not. What is returned takes the kernel some
/// time to close.
pub(crate) fn leave(engine: &Engine, config: &Config) -> Option<Networks> {
    let networks = if has_endpoints(config) { open(engine).ok()? } else { return None };
    if !networks.are_elsewhere() {
        leave_all(&networks, config);
        return Some(networks);
    }
    let mut names = config.network.endpoints.iter().map(|endpoint| &endpoint.network);
    let is_in = |network: Network| networks.may_have(&network, &config.id);
    if names.any(|name| networks.get(name).is_ok_and(is_in)) {
        let _ = at_bridges(engine, |networks| {
            leave_all(networks, config);
            Ok(Vec::new())
        });
    }
    None
}

/// The same of a container of which nothing else is known.
pub(crate) fn leave_everything(engine: &Engine, id: &str) {
    let Ok(networks) = open(engine) else { return };
    let mut all = networks.list().map(|(list, _)| list).unwrap_or_default();
    all.retain(|network| networks.may_have(network, id));
    if all.is_empty() {
        return;
    }
    let _ = at_bridges(engine, |networks| {
        for network in &all {
            let _ = networks.detach(network, id, None);
        }
        Ok(Vec::new())
    });
}

fn leave_all(networks: &Networks, config: &Config) {
    for endpoint in &config.network.endpoints {
        // What fails is found by a sweep.
        if let Ok(network) = networks.get(&endpoint.network) {
            let _ = networks.detach(&network, &config.id, None);
        }
    }
}
