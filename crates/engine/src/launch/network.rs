//! A container's networks: joined between the making of its namespaces and the start of its program.

use crate::error::{During, Error, Result};
use crate::networks::Mark;
use crate::place::{Engine, Place};
use crate::record::{Attached, Config, Endpoint, Port};
use net::{
    AttachRequest, Attachment, DnsOptions, HostPort, HostResolver, Mac, NameConfig, NameService,
    Network, Networks, Pasta, PastaRequest, Places, PortHolder, PortMapping, PortSpec, Protocol,
    Publishing, Reach, Resolution,
};
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
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
    /// What connects a container of a user without rights.
    pub(super) _pasta: Option<Running>,
}

/// pasta, until it is dropped.
pub(super) struct Running(Pasta);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Where pasta is looked for.
const PROGRAMS: [&str; 4] = ["/usr/bin", "/usr/local/bin", "/usr/sbin", "/bin"];
/// What goes before pasta's own options, with commas between.
const PASTA: &str = "pasta";

/// The networks of an engine.
pub(crate) fn open(place: &Place) -> Result<Networks> {
    let places =
        Places { records: place.root.join("networks"), run: place.runroot.join("networks") };
    Ok(Networks::open(&places)?)
}

/// Whether a container's networks are made for it.
pub(crate) fn has_endpoints(config: &Config) -> bool {
    config.network.mode.is_empty() && !config.network.endpoints.is_empty()
}

/// Whether something has to be done between the making of its namespaces and its start.
pub(super) fn is_joined_late(config: &Config) -> bool {
    has_endpoints(config) || pasta_options(config).is_some()
}

/// Whether this machine has pasta.
pub fn has_pasta() -> bool {
    net::find_pasta(PROGRAMS.iter().map(Path::new)).is_ok()
}

/// pasta's own options, of a container that it connects.
fn pasta_options(config: &Config) -> Option<Vec<String>> {
    let rest = config.network.mode.strip_prefix(PASTA)?;
    match rest.strip_prefix(':') {
        Some(options) => Some(options.split(',').map(str::to_owned).collect()),
        None => rest.is_empty().then(Vec::new),
    }
}

/// Makes the namespace of a process part of the container's networks. What was made goes on a failure.
pub(super) fn join(
    engine: &Engine,
    config: &Config,
    pid: i32,
    pinned: Option<&Pinned>,
) -> Result<Joined> {
    if let Some((pinned, options)) = pinned.zip(pasta_options(config)) {
        return join_by_pasta(engine, config, pinned, &options);
    }
    let networks = open(&engine.place)?;
    let mark = Mark::new(&engine.place, &config.id)?;
    // What a killed supervisor has left.
    leave_all(&networks, config);
    let joined = join_all(&networks, engine, config, pid);
    let mut joined = joined.inspect_err(|_| leave_all(&networks, config))?;
    joined.mark = Some(mark);
    Ok(joined)
}

fn join_all(networks: &Networks, engine: &Engine, config: &Config, pid: i32) -> Result<Joined> {
    let path = format!("/proc/{pid}/ns/net");
    let netns = fs::open_read(&path).during(|| format!("opening {path}"))?;
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
    let (holder, mappings) = PortHolder::reserve(&specs(config)?, publishing)?;
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
    let all: Vec<Network> = known.into_iter().map(|(_, network)| network).collect();
    let resolution = resolution(config, &all)?;
    let names = match resolution.has_service {
        true => Some(name_service(networks, engine, config, &netns, &all, &resolution)?),
        false => None,
    };
    Ok(Joined {
        attached: joined.iter().map(record).collect(),
        ports: mappings.iter().map(port).collect(),
        warnings,
        names,
        hosts: hosts(engine, config, &joined)?,
        resolv: resolution.text,
        holder,
        mappings,
        publisher: all.first().map(|network| network.id.clone()),
        mark: None,
        _pasta: None,
    })
}

/// A network namespace that has a path in the supervisor's mount namespace: nobody may look into the container's first
/// process before its program runs, and without the rights of root not even the supervisor.
pub(super) struct Pinned {
    netns: Fd,
    pub(super) path: PathBuf,
}

impl Pinned {
    /// One for a container that pasta connects.
    pub(super) fn of(engine: &Engine, config: &Config) -> Result<Option<Self>> {
        const WHAT: &str = "making a network namespace";
        if pasta_options(config).is_none() {
            return Ok(None);
        }
        let netns = make_netns()?;
        let path = engine.path_of(&config.id).join("netns");
        let bytes = path.as_os_str().as_bytes();
        let file = fs::open_at(sys::CWD, bytes, fs::O_RDWR | fs::O_CREAT, 0o600).during(|| WHAT)?;
        sys::mount::clone_tree(&netns, "", false)
            .and_then(|tree| sys::mount::attach(&tree, &file))
            .during(|| WHAT)?;
        Ok(Some(Self { netns, path }))
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = sys::mount::unmount(self.path.as_os_str().as_bytes(), sys::mount::MNT_DETACH);
    }
}

/// By a process of its own: who has left the host's network namespace may not be let in again.
fn make_netns() -> Result<Fd> {
    const WHAT: &str = "making a network namespace";
    let (ours, theirs) = sys::socket::pair(sys::socket::Kind::Stream).during(|| WHAT)?;
    let Some(child) = sys::process::fork_plain().during(|| WHAT)? else {
        let made = sys::process::unshare(sys::process::CLONE_NEWNET)
            .and_then(|()| fs::open_read("/proc/self/ns/net"))
            .and_then(|netns| sys::socket::send(&theirs, b"1", &[netns.raw()]));
        sys::process::exit(i32::from(made.is_err()));
    };
    drop(theirs);
    let mut byte = [0u8; 1];
    let received = sys::socket::receive(&ours, &mut byte);
    let _ = sys::wait::child(child.pid, true);
    let (_, mut fds) = received.during(|| WHAT)?;
    fds.pop().ok_or_else(|| Error::os(WHAT, sys::Errno::EPERM))
}

/// The way of a user without rights: the container has the host's addresses, and the sockets are the user's.
fn join_by_pasta(
    engine: &Engine,
    config: &Config,
    pinned: &Pinned,
    options: &[String],
) -> Result<Joined> {
    let program = net::find_pasta(PROGRAMS.iter().map(Path::new))?;
    let publishing = Publishing { v4: true, v6: true, default_ip: None };
    let (holder, mappings) = PortHolder::reserve(&specs(config)?, publishing)?;
    // pasta takes them itself.
    drop(holder);
    let pasta = net::start_pasta(&PastaRequest {
        program: &program,
        namespace: net::Namespace::Path(pinned.path.clone(), None),
        ports: &mappings,
        dir: &engine.path_of(&config.id),
        interface: None,
        options,
    })?;
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
        ports: mappings.iter().map(port).collect(),
        names,
        hosts: hosts(engine, config, &[])?,
        resolv: resolution.text,
        _pasta: Some(Running(pasta)),
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

/// `/etc/hosts`: what was asked for, linked containers, and itself.
fn hosts(engine: &Engine, config: &Config, joined: &[Attachment]) -> Result<String> {
    let gateways: Vec<IpAddr> =
        joined.iter().flat_map(|it| [it.gateway(false), it.gateway(true)]).flatten().collect();
    let mut added = Vec::new();
    for text in &config.network.extra_hosts {
        added.extend(net::parse_added_host(text, &gateways)?);
    }
    for link in &config.network.links {
        let (name, alias) = link.split_once(':').unwrap_or((link, link));
        let other = engine.find(name)?;
        let address =
            other.state.networks.first().and_then(|it| it.ipv4.split('/').next()?.parse().ok());
        let missing = || Error::invalid(format!("--link {link}: container {name} has no address"));
        added.push((address.ok_or_else(missing)?, alias.to_owned()));
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
    Ok(net::hosts_text(&added, &own, &names))
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
pub(crate) fn leave(place: &Place, config: &Config) -> Option<Networks> {
    let networks = if has_endpoints(config) { open(place).ok()? } else { return None };
    leave_all(&networks, config);
    Some(networks)
}

/// The same of a container of which nothing else is known.
pub(crate) fn leave_everything(place: &Place, id: &str) {
    let Ok(networks) = open(place) else { return };
    for network in networks.list().map(|(list, _)| list).unwrap_or_default() {
        let _ = networks.detach(&network, id, None);
    }
}

fn leave_all(networks: &Networks, config: &Config) {
    for endpoint in &config.network.endpoints {
        // What fails is found by a sweep.
        if let Ok(network) = networks.get(&endpoint.network) {
            let _ = networks.detach(&network, &config.id, None);
        }
    }
}
