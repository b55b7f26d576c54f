//! The device of a container: made right in its network namespace, and set up there.

use crate::address::{Cidr, Mac};
use crate::attachment::{AttachRequest, Attachment};
use crate::error::{During, Error, Kind, Result};
use crate::namespace::{inside, set_sysctl, sysctl};
use crate::netlink::route::{
    IFLA_ADDRESS, IFLA_GROUP, IFLA_IFNAME, IFLA_LINK, IFLA_MASTER, IFLA_MTU, IFLA_NET_NS_FD,
    link_header,
};
use crate::netlink::{Batch, Socket};
use crate::options::{IpvlanMode, MacvlanMode, Options};
use crate::record::{Driver, Network};
use std::net::IpAddr;
use sys::{AsFd, Errno, Fd};

/// The loopback device is the first of every network namespace.
const LOOPBACK_INDEX: u32 = 1;
/// Devices of one container.
const DEVICES: u32 = 256;
/// `VETH_INFO_PEER`
const VETH_PEER: u16 = 1;
const MACVLAN_MODE: u16 = 1;
const IPVLAN_MODE: u16 = 1;

/// The name of the host's end of a pair: made of the container's and the network's ids, so that it is found again
/// by them alone.
pub(crate) fn host_name(network: &Network, container: &str) -> String {
    // FNV-1a: nobody chooses ids to collide, and a taken name is an error, not a mix-up.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in network.id.bytes().chain([b' ']).chain(container.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("veth{:011x}", hash >> 20)
}

/// The hardware address that a container's device gets.
pub(crate) fn mac(request: &AttachRequest<'_>, addresses: &[IpAddr]) -> Option<Mac> {
    request.mac.or_else(|| {
        addresses.first().map(|address| match address {
            IpAddr::V4(address) => Mac::of_v4(*address),
            IpAddr::V6(address) => Mac::of_v6(*address),
        })
    })
}

/// The name for a device: the wanted one, or the first that is free in the container.
pub(crate) fn name(request: &AttachRequest<'_>, options: &Options) -> Result<String> {
    if let Some(name) = request.interface {
        return Ok(name.into());
    }
    let attempt = || "looking at the container's devices".to_owned();
    let taken: Vec<String> = match request.devices {
        Some(known) => known.to_vec(),
        None => inside(request.netns, || {
            let links = Socket::route().and_then(|socket| socket.links()).during(attempt)?;
            Ok(links.into_iter().map(|link| link.name).collect())
        })?,
    };
    let names = (0..DEVICES).map(|number| format!("{}{number}", options.prefix));
    let free = names.into_iter().find(|name| !taken.contains(name));
    free.ok_or_else(|| Error::new(Kind::Limit, format!("the container has {DEVICES} devices")))
}

/// Makes a pair of devices, one of them in the container, the other one a port of the bridge.
pub(crate) fn make_pair(
    socket: &Socket,
    network: &Network,
    attachment: &Attachment,
    netns: &Fd,
    bridge: u32,
    options: &Options,
) -> Result<()> {
    make_pair_once(socket, network, attachment, netns, bridge, options, true)
}

fn make_pair_once(
    socket: &Socket,
    network: &Network,
    attachment: &Attachment,
    netns: &Fd,
    bridge: u32,
    options: &Options,
    is_first: bool,
) -> Result<()> {
    let host = &attachment.host_interface;
    let attempt = || format!("making the device {}", attachment.interface);
    let mut batch = Batch::new();
    let mac = attachment.mac.parse::<Mac>().ok();
    let peer = |batch: &mut Batch| {
        batch.nest(VETH_PEER, |batch| {
            batch.raw(&link_header(0, 0, 0));
            inner(batch, &attachment.interface, mac, netns, options);
        });
    };
    batch.new_link(host, "veth", 0, peer, |batch| {
        batch.number(IFLA_MASTER, bridge);
        batch.number(IFLA_GROUP, network.group());
        if let Some(mtu) = options.mtu {
            batch.number(IFLA_MTU, mtu);
        }
    });
    // It is a port, and has no addresses of its own: without this the kernel would give it one of IPv6, where it has that.
    let own = batch.without_own_address(host);
    // Where iptables sees packets within the bridge, it also sends some back to where they came from.
    let hairpin = sysctl("bridge/bridge-nf-call-iptables").as_deref() == Some("1");
    let is_special = hairpin || !options.between_containers;
    if !is_special {
        batch.set_up_named(host, true);
    }
    let answers = socket.exchange(&batch).during(attempt)?;
    match answers.failure(0) {
        // Of an earlier start of the container, whose namespace the kernel has not taken away yet.
        Some(Errno::EEXIST) if is_first => {
            remove_pair(socket, host)?;
            return make_pair_once(socket, network, attachment, netns, bridge, options, false);
        }
        _ => check(&answers.forgiving(|number, _| number == own), attempt)?,
    }
    if !is_special {
        return Ok(());
    }
    let link = socket.link(host).during(attempt)?;
    let index = link.ok_or_else(|| Error::os(attempt(), Errno::ENODEV))?.index;
    let mut batch = Batch::new();
    batch.bridge_port(index, hairpin, !options.between_containers);
    batch.set_up(index);
    run(socket, &batch, attempt)
}

/// What a device in the container is like.
fn inner(batch: &mut Batch, name: &str, mac: Option<Mac>, netns: &Fd, options: &Options) {
    batch.text(IFLA_IFNAME, name);
    batch.number(IFLA_NET_NS_FD, netns.fd() as u32);
    if let Some(mac) = mac {
        batch.attribute(IFLA_ADDRESS, &mac.0);
    }
    if let Some(mtu) = options.mtu {
        batch.number(IFLA_MTU, mtu);
    }
}

/// Makes a device on a device of the host.
pub(crate) fn make_on_parent(
    socket: &Socket,
    network: &Network,
    attachment: &Attachment,
    netns: &Fd,
    options: &Options,
) -> Result<()> {
    let parent = parent(socket, network)?;
    let attempt = || format!("making the {} device {}", network.driver, attachment.interface);
    let mut batch = Batch::new();
    let mac = attachment.mac.parse::<Mac>().ok().filter(|_| network.driver == Driver::Macvlan);
    let mode = |batch: &mut Batch| match network.driver {
        Driver::Ipvlan => {
            let mode: u16 = match options.ipvlan {
                IpvlanMode::L2 => 0,
                IpvlanMode::L3 => 1,
                IpvlanMode::L3s => 2,
            };
            batch.attribute(IPVLAN_MODE, &mode.to_ne_bytes());
        }
        _ => batch.number(
            MACVLAN_MODE,
            match options.macvlan {
                MacvlanMode::Private => 1,
                MacvlanMode::Vepa => 2,
                MacvlanMode::Bridge => 4,
                MacvlanMode::Passthru => 8,
            },
        ),
    };
    let name = attachment.interface.as_str();
    let number = batch.message(crate::netlink::route::RTM_NEWLINK, NEW, &link_header(0, 0, 0));
    batch.number(IFLA_LINK, parent);
    inner(&mut batch, name, mac, netns, options);
    batch.link_kind(network.driver.name(), mode);
    let answers = socket.exchange(&batch).during(attempt)?;
    match answers.failure(number) {
        Some(Errno::ENOTSUP) => {
            let text = format!("{}: the kernel has no such devices", attempt());
            Err(Error::new(Kind::Unsupported, text)
                .with_hint(format!("load the module `{}`", network.driver)))
        }
        _ => check(&answers, attempt),
    }
}

const NEW: u16 = crate::netlink::ACK | crate::netlink::CREATE | crate::netlink::EXCL;

/// The device of the host that others are made on: the named one, or that of the default route.
fn parent(socket: &Socket, network: &Network) -> Result<u32> {
    let attempt = || "looking for the parent device".to_owned();
    if network.interface.is_empty() {
        return socket.default_device().during(attempt)?.ok_or_else(|| {
            let text = format!("network {}: no parent device, and no default route", network.name);
            Error::new(Kind::NotFound, text).with_hint("-o parent=DEVICE when the network is made")
        });
    }
    let link = socket.link(&network.interface).during(attempt)?;
    Ok(link
        .ok_or_else(|| {
            let text =
                format!("network {}: there is no device {}", network.name, network.interface);
            Error::new(Kind::NotFound, text).with_hint("`ip link` shows the host's devices")
        })?
        .index)
}

/// Routes that a container gets: the kind, the gateway if there is one.
struct Route {
    is_v6: bool,
    gateway: Option<IpAddr>,
}

/// Addresses, routes and settings in the container.
pub(crate) fn configure(
    network: &Network,
    attachment: &Attachment,
    netns: &Fd,
    options: &Options,
    default_route: bool,
) -> Result<()> {
    let name = attachment.interface.as_str();
    let attempt = || format!("setting up {name} in the container");
    let routes = if default_route { routes(network, attachment, options) } else { Vec::new() };
    let mut all = attachment.addresses.iter().chain(&attachment.link_local);
    let any_v6 = all.any(|cidr| cidr.is_v6());
    inside(netns, || {
        let socket = Socket::route().during(attempt)?;
        let link = socket.link(name).during(attempt)?;
        let index = link.ok_or_else(|| Error::os(attempt(), Errno::ENODEV))?.index;
        let conf = format!("ipv6/conf/{name}");
        if sysctl(&format!("{conf}/disable_ipv6")).is_some() {
            set_sysctl(&format!("{conf}/disable_ipv6"), if any_v6 { "0" } else { "1" })?;
            if any_v6 {
                // Its addresses are its own, by the books; and the books say which routes it has.
                set_sysctl(&format!("{conf}/accept_dad"), "0")?;
                set_sysctl(&format!("{conf}/accept_ra"), "0")?;
            }
        }
        let mut batch = Batch::new();
        batch.set_up(LOOPBACK_INDEX);
        for address in attachment.addresses.iter().chain(&attachment.link_local) {
            batch.add_address(index, *address);
        }
        batch.set_up(index);
        let first = batch.add_routes(index, &routes, options);
        let answers = socket.exchange(&batch).during(attempt)?;
        check_but_routes(answers, first, attempt)?;
        socket.settle(name).during(attempt)
    })
}

/// Waits until the host's end of a pair and its bridge work: from then on nothing is lost.
pub(crate) fn settle_pair(
    socket: &Socket,
    network: &Network,
    attachment: &Attachment,
) -> Result<()> {
    for name in [&attachment.host_interface, &network.interface] {
        socket.settle(name).during(|| format!("waiting for {name}"))?;
    }
    Ok(())
}

/// Leads what a container has no other way for through a network: another one that did has gone. A route that is there
/// stays.
pub(crate) fn route(
    network: &Network,
    attachment: &Attachment,
    netns: &Fd,
    options: &Options,
) -> Result<()> {
    let name = attachment.interface.as_str();
    let attempt = || format!("leading the container's packets through {name}");
    inside(netns, || {
        let socket = Socket::route().during(attempt)?;
        let link = socket.link(name).during(attempt)?;
        let index = link.ok_or_else(|| Error::os(attempt(), Errno::ENODEV))?.index;
        let mut batch = Batch::new();
        let first = batch.add_routes(index, &routes(network, attachment, options), options);
        if batch.is_empty() {
            return Ok(());
        }
        check_but_routes(socket.exchange(&batch).during(attempt)?, first, attempt)
    })
}

fn routes(network: &Network, attachment: &Attachment, options: &Options) -> Vec<Route> {
    if network.internal || options.no_default_route {
        return Vec::new();
    }
    let by_device = network.driver == Driver::Ipvlan && options.ipvlan != IpvlanMode::L2;
    let kinds = [false, true].into_iter().filter(|is_v6| attachment.address(*is_v6).is_some());
    kinds
        .map(|is_v6| Route { is_v6, gateway: attachment.gateway(is_v6).filter(|_| !by_device) })
        .filter(|route| by_device || route.gateway.is_some())
        .collect()
}

impl Batch {
    /// Adds default routes; returns the number of the first one's message.
    fn add_routes(&mut self, index: u32, routes: &[Route], options: &Options) -> u32 {
        let first = self.count();
        for route in routes {
            self.default_route(index, route.is_v6, route.gateway, options.metric);
        }
        first
    }
}

/// A container that has a default route keeps it.
fn check_but_routes(
    answers: crate::netlink::Answers,
    first: u32,
    attempt: impl Fn() -> String,
) -> Result<()> {
    check(&answers.forgiving(|number, errno| number >= first && errno == Errno::EEXIST), attempt)
}

/// Whether the calling thread's network namespace has a way out.
pub fn has_default_route() -> bool {
    Socket::route().and_then(|socket| socket.has_default_route()).is_ok_and(|has| has)
}

/// Brings up the loopback device of a network namespace: all that a container without networks has.
pub fn bring_up_loopback(netns: &Fd) -> Result<()> {
    inside(netns, bring_up_own_loopback)
}

/// The same in the calling thread's network namespace.
pub(crate) fn bring_up_own_loopback() -> Result<()> {
    let attempt = || "bringing up the loopback device".to_owned();
    let socket = Socket::route().during(attempt)?;
    let mut batch = Batch::new();
    batch.set_up(LOOPBACK_INDEX);
    run(&socket, &batch, attempt)
}

/// Removes the host's end of a pair, and with it the other one. One that is gone is no failure.
pub(crate) fn remove_pair(socket: &Socket, name: &str) -> Result<()> {
    let attempt = || format!("removing the device {name}");
    match socket.link(name).during(attempt)? {
        None => Ok(()),
        Some(link) => remove(socket, link.index, attempt),
    }
}

/// Keeps a pair from being heard until it goes with its namespace. One that is gone is no failure.
pub(crate) fn silence(socket: &Socket, name: &str) -> Result<()> {
    let mut batch = Batch::new();
    batch.set_up_named(name, false);
    match socket.ask(&batch) {
        Ok(_) | Err(Errno::ENODEV) => Ok(()),
        Err(errno) => Err(Error::os(format!("silencing the device {name}"), errno)),
    }
}

/// Removes a device in the container, if it is of a network's kind.
pub(crate) fn remove_inside(netns: &Fd, name: &str, driver: Driver) -> Result<()> {
    let attempt = || format!("removing the device {name} of the container");
    inside(netns, || {
        let socket = Socket::route().during(attempt)?;
        match socket.link(name).during(attempt)? {
            Some(link) if link.kind == driver.name() => remove(&socket, link.index, attempt),
            _ => Ok(()),
        }
    })
}

fn remove(socket: &Socket, index: u32, attempt: impl Fn() -> String) -> Result<()> {
    let mut batch = Batch::new();
    batch.delete_link(index);
    match socket.ask(&batch) {
        Ok(_) | Err(Errno::ENODEV) => Ok(()),
        Err(errno) => Err(Error::os(attempt(), errno)),
    }
}

fn run(socket: &Socket, batch: &Batch, attempt: impl Fn() -> String) -> Result<()> {
    check(&socket.exchange(batch).during(&attempt)?, attempt)
}

fn check(answers: &crate::netlink::Answers, attempt: impl Fn() -> String) -> Result<()> {
    answers.check().map_err(|(_, errno, words)| {
        let words = if words.is_empty() { words } else { format!(" ({words})") };
        Error::os(format!("{}{words}", attempt()), errno)
    })
}

/// An address that leads nowhere but over the link.
pub(crate) fn link_local(address: IpAddr) -> Option<Cidr> {
    Cidr::new(address, if address.is_ipv4() { 16 } else { 64 })
}

/// Addresses with the prefixes of their subnets, and the gateways of those.
pub(crate) fn placed(network: &Network, addresses: &[IpAddr]) -> (Vec<Cidr>, Vec<crate::Ip>) {
    let subnets =
        addresses.iter().filter_map(|address| Some((*address, network.subnet_of(*address)?)));
    let (mut placed, mut gateways) = (Vec::new(), Vec::new());
    for (address, subnet) in subnets {
        placed.extend(Cidr::new(address, subnet.subnet.prefix()));
        gateways.extend(subnet.gateway);
    }
    (placed, gateways)
}
