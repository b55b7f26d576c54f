//! Networks that a container comes into, or leaves, while it runs.

use super::network::{Joined, Request, name_service, namespace, open, record, resolution, specs};
use super::way::Way;
use crate::error::{During, Error, Kind, Result};
use crate::place::Engine;
use crate::record::{Config, Endpoint};
use net::{AttachRequest, Driver, Network, Networks, PortHolder, PortMapping, Publishing};
use std::fs;
use std::path::PathBuf;
use sys::Fd;

/// Makes a container that runs part of one more network: the last one of its configuration.
pub(crate) fn connect(
    engine: &Engine,
    config: &Config,
    joined: &mut Option<Joined>,
    pid: i32,
) -> Result<()> {
    let Some(endpoint) = config.network.endpoints.last() else { return Ok(()) };
    let networks = open(engine)?;
    let network = networks.get(&endpoint.network)?;
    let mut own = match joined.take() {
        Some(own) => own,
        None => Joined::alone(engine, config)?,
    };
    let connected = attach(&networks, engine, config, &mut own, &network, pid);
    *joined = Some(own);
    connected.inspect_err(|_| {
        let _ = networks.detach(&network, &config.id, None);
    })
}

fn attach(
    networks: &Networks,
    engine: &Engine,
    config: &Config,
    own: &mut Joined,
    network: &Network,
    pid: i32,
) -> Result<()> {
    let netns = namespace(pid, own.pinned.as_ref())?;
    let endpoint = config.network.endpoints.last().cloned().unwrap_or_default();
    let request = Request::of(config, &endpoint)?;
    let is_first = own.attached.is_empty();
    let done = networks.attach(
        network,
        &AttachRequest {
            container: &config.id,
            name: &config.name,
            aliases: &endpoint.aliases,
            netns: &netns,
            interface: request.interface.as_deref(),
            devices: None,
            addresses: &request.addresses,
            link_local: &request.link_local,
            mac: request.mac,
            ports: &[],
            // One that is there stays.
            default_route: true,
        },
    )?;
    own.warnings.extend(done.warnings);
    if let Some(pinned) = &own.pinned {
        if own.way.is_none() && !network.internal {
            let way = Way::beside_networks(engine, config, pinned, &mut own.warnings)?;
            own.ports = way.ports();
            own.way = Some(way);
        }
    } else if own.publisher.is_none() && network.driver == Driver::Bridge {
        if is_first && own.ports.is_empty() {
            own.reserve(config, network)?;
        }
        if !own.mappings.is_empty() {
            networks.publish(network, &config.id, &own.mappings)?;
        }
        own.publisher = Some(network.id.clone());
    }
    let attachment = done.attachment;
    let addresses = attachment.addresses.iter().map(|cidr| cidr.address().to_string()).collect();
    own.attached.push(record(&attachment));
    tell_names(networks, engine, config, own, &netns)?;
    change_hosts(engine, config, addresses, Vec::new())
}

/// Takes a container that runs out of a network, which its configuration does not name any more.
pub(crate) fn disconnect(
    engine: &Engine,
    config: &Config,
    joined: &mut Joined,
    name: &str,
    pid: i32,
) -> Result<()> {
    let networks = open(engine)?;
    let netns = namespace(pid, joined.pinned.as_ref())?;
    let at = joined.attached.iter().position(|it| it.network == name);
    let at = at.ok_or_else(|| is_not_in(config, name))?;
    let network = networks.get(name)?;
    networks.detach(&network, &config.id, Some(&netns))?;
    let left = joined.attached.remove(at);
    let rest: Vec<Network> =
        joined.attached.iter().map(|it| networks.get(&it.network)).collect::<Result<_, _>>()?;
    if joined.pinned.is_some() {
        if rest.iter().all(|network| network.internal) {
            joined.way = None;
            joined.ports.clear();
        }
    } else if joined.publisher.as_ref() == Some(&network.id) {
        let next = rest.iter().find(|network| network.driver == Driver::Bridge);
        if let Some(next) = next.filter(|_| !joined.mappings.is_empty()) {
            networks.publish(next, &config.id, &joined.mappings)?;
        }
        joined.publisher = next.map(|network| network.id.clone());
    }
    // The way out that went through it goes through the next one; an ordinary user's goes through none.
    for network in rest.iter().filter(|_| joined.pinned.is_none()) {
        networks.route_through(network, &config.id, &netns)?;
    }
    tell_names(&networks, engine, config, joined, &netns)?;
    let bare = |text: &String| text.split('/').next().unwrap_or_default().to_owned();
    change_hosts(engine, config, Vec::new(), [&left.ipv4, &left.ipv6].map(bare).to_vec())
}

/// The name service knows the containers of the networks that there are now. The first network with names brings one.
fn tell_names(
    networks: &Networks,
    engine: &Engine,
    config: &Config,
    joined: &mut Joined,
    netns: &Fd,
) -> Result<()> {
    let all: Vec<Network> =
        joined.attached.iter().map(|it| networks.get(&it.network)).collect::<Result<_, _>>()?;
    let resolution = resolution(config, &all)?;
    if let Some(names) = &mut joined.names {
        let forward = all.iter().any(|network| !network.internal);
        names.set_networks(networks, &all, forward)?;
        names.set_links(super::network::links(engine, config)?);
    } else if resolution.has_service {
        joined.names = Some(name_service(networks, engine, config, netns, &all, &resolution)?);
        let path = file(engine, config, "resolv.conf");
        // What the container has changed is its own.
        if fs::read_to_string(&path).is_ok_and(|text| text == joined.resolv) {
            fs::write(&path, &resolution.text).during(|| format!("writing {}", path.display()))?;
        }
        joined.resolv = resolution.text;
    }
    Ok(())
}

fn file(engine: &Engine, config: &Config, name: &str) -> PathBuf {
    engine.path_of(&config.id).join("files").join(name)
}

/// Names the container by its new addresses in its own `/etc/hosts`, and not by those that it has lost. The rest of the
/// file is as the container left it.
fn change_hosts(
    engine: &Engine,
    config: &Config,
    new: Vec<String>,
    lost: Vec<String>,
) -> Result<()> {
    let path = file(engine, config, "hosts");
    let Ok(text) = fs::read_to_string(&path) else { return Ok(()) };
    let is_lost = |line: &&str| {
        let address = line.split_whitespace().next().unwrap_or_default();
        lost.iter().any(|lost| lost == address)
    };
    let mut changed: String =
        text.lines().filter(|line| !is_lost(line)).map(|line| format!("{line}\n")).collect();
    let mut names = config.hostname.clone();
    if !config.domainname.is_empty() {
        names = format!("{}.{} {names}", config.hostname, config.domainname);
    }
    changed.extend(new.iter().map(|address| format!("{address}\t{names}\n")));
    fs::write(&path, changed).during(|| format!("writing {}", path.display()))
}

impl Joined {
    /// Of a container that runs in no network yet.
    fn alone(engine: &Engine, config: &Config) -> Result<Self> {
        let resolv = fs::read_to_string(file(engine, config, "resolv.conf")).unwrap_or_default();
        Ok(Self {
            mark: Some(crate::networks::Mark::new(&engine.place, &config.id)?),
            resolv,
            ..Self::default()
        })
    }

    /// Takes the ports that are published: before, there was nothing to lead them to.
    fn reserve(&mut self, config: &Config, network: &Network) -> Result<()> {
        let has = |is_v6| network.subnets.iter().any(|it| it.subnet.is_v6() == is_v6);
        let publishing = Publishing { v4: has(false), v6: has(true), default_ip: None };
        let (holder, mappings): (PortHolder, Vec<PortMapping>) =
            PortHolder::reserve(&specs(config)?, publishing)?;
        self.holder = holder;
        self.ports = mappings.iter().map(super::network::port).collect();
        self.mappings = mappings;
        Ok(())
    }
}

/// docker's sentence.
pub(crate) fn is_not_in(config: &Config, network: &str) -> Error {
    let text = format!("container {} is not connected to network {network}", config.name);
    Error::new(Kind::NotFound, text)
}

/// Refuses what a container cannot be given.
pub(crate) fn check(networks: &Networks, config: &Config, endpoint: &Endpoint) -> Result<Network> {
    let network = networks.get(&endpoint.network)?;
    if config.network.endpoints.iter().any(|it| it.network == network.name) {
        let text = format!(
            "endpoint with name {} already exists in network {}",
            config.name, network.name
        );
        return Err(Error::new(Kind::Exists, text));
    }
    if network.is_default() && !(endpoint.aliases.is_empty() && endpoint.links.is_empty()) {
        let text = "network-scoped aliases are only supported for user-defined networks";
        return Err(
            Error::new(Kind::Invalid, text).with_hint("`tare network create NAME` makes one")
        );
    }
    let request = Request::of(config, endpoint)?;
    let lost = request
        .addresses
        .iter()
        .find(|address| !network.subnets.iter().any(|subnet| subnet.subnet.contains(**address)));
    match lost {
        Some(address) => Err(Error::new(
            Kind::Invalid,
            format!(
                "network {}: address {address}: it belongs to none of its subnets",
                network.name
            ),
        )),
        None => Ok(network),
    }
}
