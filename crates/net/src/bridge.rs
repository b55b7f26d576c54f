//! The host's side of a network: its bridge.

use crate::address::{Cidr, Mac};
use crate::attachment::Attachment;
use crate::device;
use crate::error::{During, Error, Kind, Result};
use crate::firewall::{self, Firewall, NetworkRules, Target};
use crate::namespace::{has_v6, set_sysctl, sysctl};
use crate::netlink::route::{IFLA_ADDRESS, IFLA_GROUP, IFLA_MTU, Link};
use crate::netlink::{Batch, Socket};
use crate::networks::Entered;
use crate::options::{GatewayMode, Options};
use crate::record::{GROUP_BIT, Network};
use std::net::IpAddr;
use sys::Errno;

const KIND: &str = "bridge";

/// The rules that a network needs.
pub(crate) fn rules(network: &Network, options: &Options) -> NetworkRules {
    let has = |is_v6: bool| network.subnets.iter().any(|subnet| subnet.subnet.is_v6() == is_v6);
    let kinds = [(false, options.gateway_v4), (true, options.gateway_v6)];
    let of = |wanted: &dyn Fn(GatewayMode) -> bool| {
        kinds.map(|(is_v6, mode)| has(is_v6) && !network.internal && wanted(mode))
    };
    NetworkRules {
        bridge: network.interface.clone(),
        subnets: network.subnets.iter().map(|subnet| subnet.subnet).collect(),
        internal: network.internal,
        masquerade: of(&|mode| options.masquerade && mode != GatewayMode::Routed),
        open: of(&|mode| mode != GatewayMode::Nat),
    }
}

/// The published ports of attachments.
pub(crate) fn targets(attachments: &[Attachment]) -> Vec<Target<'_>> {
    let of = |attachment: &'_ Attachment| {
        let v4 = attachment.address(false).map(Cidr::address);
        (v4, attachment.address(true).map(Cidr::address))
    };
    attachments
        .iter()
        .flat_map(|attachment| {
            let (v4, v6) = of(attachment);
            attachment.ports.iter().map(move |port| Target { port, v4, v6 })
        })
        .collect()
}

/// Makes sure that the bridge and the rules of a network are there, which they are as long as the network is, from its
/// first container on. Others' rules are looked at when there was no container but this one. Returns the bridge's index
/// and warnings.
pub(crate) fn ensure(
    socket: &Socket,
    options: &Options,
    entered: &Entered<'_>,
    container: &str,
) -> Result<(u32, Vec<String>)> {
    let network = entered.network;
    let name = &network.interface;
    let about = |error: Error| error.about(format_args!("network {}", network.name));
    if !entered.has_rules {
        return ensure_alone(socket, network, options)
            .map(|index| (index, Vec::new()))
            .map_err(about);
    }
    let mut found = find(socket, name).map_err(about)?;
    let other = |link: &mut Link| is_of_other(network, link) && options.interface.is_none();
    if let Some(link) = found.take_if(other)
        && !take_over(socket, name, &link).map_err(about)?
    {
        found = Some(link);
    }
    let rules = rules(network, options);
    let firewall = Firewall::open()?;
    let index = match found {
        Some(link) if link.kind != KIND => {
            return Err(Error::new(
                Kind::InUse,
                format!("network {}: the interface {name} is no bridge", network.name),
            ));
        }
        Some(link) if link.group == network.group() && firewall.has(name)? => {
            let warnings =
                if entered.is_only(container)? { firewall::admit(name)? } else { Vec::new() };
            return Ok((link.index, warnings));
        }
        // Ours, made by somebody who was killed, or whose rules were taken away; or one that was asked for by name
        // and is somebody else's, to which nothing but the address is added.
        Some(link) if link.group == network.group() || options.interface.is_some() => {
            configure(socket, network, link.index, true).map_err(about)?;
            link.index
        }
        Some(_) => {
            let text = format!("network {}: the bridge {name} is not its own", network.name);
            return Err(Error::new(Kind::InUse, text).with_hint(
                "another store's network has it; -o com.docker.network.bridge.name gives a network another one",
            ));
        }
        None => {
            let index = create(socket, network, options).map_err(about)?;
            configure(socket, network, index, true).map_err(about)?;
            index
        }
    };
    forwarding(socket, network)?;
    firewall.add(&[rules], &targets(&entered.attachments()?))?;
    Ok((index, firewall::admit_everywhere(name)?))
}

/// Makes sure of a bridge where there is nothing else.
fn ensure_alone(socket: &Socket, network: &Network, options: &Options) -> Result<u32> {
    let index = match find(socket, &network.interface)? {
        Some(link) if link.is_up => return Ok(link.index),
        // Made by somebody who was killed then.
        Some(link) => link.index,
        None => create(socket, network, options)?,
    };
    configure(socket, network, index, false)?;
    Ok(index)
}

fn find(socket: &Socket, name: &str) -> Result<Option<Link>> {
    socket.link(name).during(|| format!("looking for {name}"))
}

/// Whether the bridge with this index is the one that a network has.
pub(crate) fn is_there(socket: &Socket, network: &Network, index: u32) -> Result<bool> {
    Ok(find(socket, &network.interface)?.is_some_and(|link| link.index == index))
}

/// Whether a device is the bridge of another store's network.
fn is_of_other(network: &Network, link: &Link) -> bool {
    link.kind == KIND && link.group & GROUP_BIT != 0 && link.group != network.group()
}

/// The rules of a network of which nothing else is known.
fn all_rules(bridge: &str, subnets: Vec<Cidr>) -> NetworkRules {
    NetworkRules {
        bridge: bridge.into(),
        subnets,
        internal: true,
        masquerade: [true; 2],
        open: [true; 2],
    }
}

/// Removes the bridge of another store's network and its rules, if no container is in it. Says whether it did.
fn take_over(socket: &Socket, name: &str, link: &Link) -> Result<bool> {
    let attempt = || format!("looking at {name}");
    if socket.links().during(attempt)?.iter().any(|port| port.master == link.index) {
        return Ok(false);
    }
    let all = socket.addresses().during(attempt)?;
    let subnets = all.into_iter().filter(|(index, _)| *index == link.index);
    let rules = all_rules(name, subnets.map(|(_, cidr)| cidr.network()).collect());
    Firewall::open()?.remove_network(&rules)?;
    device::remove_pair(socket, name).map(|()| true)
}

fn create(socket: &Socket, network: &Network, options: &Options) -> Result<u32> {
    let name = &network.interface;
    let attempt = || format!("making the bridge {name}");
    let mut batch = Batch::new();
    batch.new_link(
        name,
        KIND,
        0,
        |_| {},
        |batch| {
            // By this it is known as the network's own.
            batch.number(IFLA_GROUP, network.group());
            if let Some(mtu) = options.mtu {
                batch.number(IFLA_MTU, mtu);
            }
            // A given address does not change with the ports.
            if let Some(mac) = mac(network) {
                batch.attribute(IFLA_ADDRESS, &mac.0);
            }
        },
    );
    match socket.ask(&batch) {
        Err(Errno::ENOTSUP) => {
            let text = format!("{}: the kernel has no bridges", attempt());
            return Err(Error::new(Kind::Unsupported, text).with_hint("load the module `bridge`"));
        }
        result => drop(result.during(attempt)?),
    }
    let link = socket.link(name).during(attempt)?;
    Ok(link.ok_or_else(|| Error::os(attempt(), Errno::ENODEV))?.index)
}

fn mac(network: &Network) -> Option<Mac> {
    let gateways = network.subnets.iter().filter_map(|subnet| subnet.gateway);
    gateways
        .map(|gateway| match gateway.0 {
            IpAddr::V4(address) => Mac::of_v4(address),
            IpAddr::V6(address) => Mac::of_v6(address),
        })
        .next()
}

/// Addresses, settings, and up.
fn configure(socket: &Socket, network: &Network, index: u32, has_rules: bool) -> Result<()> {
    let name = &network.interface;
    let attempt = || format!("setting up the bridge {name}");
    let any_v6 = network.subnets.iter().any(|subnet| subnet.subnet.is_v6());
    if has_v6() || sysctl(&format!("ipv6/conf/{name}/disable_ipv6")).is_some() {
        set_sysctl(&format!("ipv6/conf/{name}/disable_ipv6"), if any_v6 { "0" } else { "1" })?;
        set_sysctl(&format!("ipv6/conf/{name}/accept_ra"), "0")?;
        set_sysctl(&format!("ipv6/conf/{name}/accept_dad"), "0")?;
    }
    // Connections of the host to published ports of its loopback address leave by the bridge.
    if has_rules {
        set_sysctl(&format!("ipv4/conf/{name}/route_localnet"), "1")?;
    }
    let mut batch = Batch::new();
    batch.set_up(index);
    let mut addresses = Vec::new();
    for subnet in &network.subnets {
        let gateway = subnet.gateway.and_then(|ip| Cidr::new(ip.0, subnet.subnet.prefix()));
        addresses.extend(gateway.map(|gateway| batch.add_address(index, gateway)));
    }
    let answers = socket.exchange(&batch).during(attempt)?;
    let answers =
        answers.forgiving(|number, errno| addresses.contains(&number) && errno == Errno::EEXIST);
    let failed = |(_, errno, words)| Error::os(format!("{} {words}", attempt()), errno);
    answers.check().map_err(failed)
}

/// The host passes packets on.
fn forwarding(socket: &Socket, network: &Network) -> Result<()> {
    if network.internal {
        return Ok(());
    }
    let has = |is_v6: bool| network.subnets.iter().any(|subnet| subnet.subnet.is_v6() == is_v6);
    if has(false) && sysctl("ipv4/ip_forward").as_deref() != Some("1") {
        set_sysctl("ipv4/ip_forward", "1")
            .map_err(|error| error.with_hint("`sysctl net.ipv4.ip_forward=1`"))?;
    }
    if has(true) && sysctl("ipv6/conf/all/forwarding").as_deref() == Some("0") {
        // A router does not listen to others' announcements of routes, unless it is told to: the host would lose its own.
        for link in socket.links().during(|| "looking at the host's devices".into())? {
            let accepts = format!("ipv6/conf/{}/accept_ra", link.name);
            if sysctl(&accepts).as_deref() == Some("1") && link.name != network.interface {
                set_sysctl(&accepts, "2")?;
            }
        }
        set_sysctl("ipv6/conf/all/forwarding", "1")?;
    }
    Ok(())
}

/// Removes rules, bridge and pairs of a network that no container is in. Goes on after a failure; the first one is
/// returned.
pub(crate) fn remove(socket: &Socket, network: &Network, has_rules: bool) -> Result<()> {
    let name = &network.interface;
    let found = find(socket, name)?;
    let is_foreign = found.as_ref().is_some_and(|link| is_of_other(network, link));
    let (mut rules, mut foreign) = (Ok(()), Ok(()));
    if !is_foreign && has_rules {
        let wanted = match Options::of(network) {
            Ok(options) => self::rules(network, &options),
            // Another version of the program made it.
            Err(_) => all_rules(name, network.subnets.iter().map(|it| it.subnet).collect()),
        };
        rules = Firewall::open().and_then(|firewall| firewall.remove_network(&wanted));
        foreign = firewall::dismiss(name);
    }
    let mut batch = Batch::new();
    batch.delete_group(network.group());
    let links = match socket.ask(&batch) {
        // None is there.
        Ok(_) | Err(Errno::ENODEV) => Ok(()),
        Err(errno) => {
            Err(Error::os(format!("removing the devices of network {}", network.name), errno))
        }
    };
    match found {
        Some(_) => rules.and(foreign).and(links),
        // Who may not look whether there are rules has made none.
        None => Ok(()),
    }
}

/// Removes pairs of a network that belong to none of its containers: namespaces that somebody keeps have kept them.
pub(crate) fn remove_strays(
    socket: &Socket,
    network: &Network,
    attachments: &[Attachment],
) -> Result<()> {
    let links = socket.links().during(|| "looking at the host's devices".into())?;
    let is_known = |link: &Link| attachments.iter().any(|one| one.host_interface == link.name);
    let of_network = |link: &&Link| link.group == network.group() && link.kind != KIND;
    let strays = links.iter().filter(of_network).filter(|link| !is_known(link));
    let mut first = Ok(());
    for link in strays {
        first = first.and(device::remove_pair(socket, &link.name));
    }
    first
}
