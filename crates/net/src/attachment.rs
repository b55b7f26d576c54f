//! Containers in networks: what is asked for, and what came of it.

use crate::address::{Cidr, Ip, Mac};
use crate::error::{Error, Result};
use crate::limits::{ALIASES, HOSTNAME_BYTES};
use crate::ports::PortMapping;
use std::net::IpAddr;
use sys::Fd;

/// A container that is to become part of a network.
#[derive(Clone, Debug)]
pub struct AttachRequest<'a> {
    /// Its id.
    pub container: &'a str,
    /// Its name, under which others find it.
    pub name: &'a str,
    /// Other names for it in this network.
    pub aliases: &'a [String],
    /// Its network namespace.
    pub netns: &'a Fd,
    /// The name of the device in it; `None`: the first free of `eth0`, `eth1`...
    pub interface: Option<&'a str>,
    /// The devices that the namespace has, where that is known; otherwise it is looked at.
    pub devices: Option<&'a [String]>,
    /// Addresses that it has to have, at most one of each kind.
    pub addresses: &'a [IpAddr],
    /// More addresses, which lead nowhere but over the link: the network does not give them, and does not know them.
    pub link_local: &'a [IpAddr],
    /// The hardware address that it has to have.
    pub mac: Option<Mac>,
    /// What [`crate::PortHolder::reserve`] has reserved for it.
    pub ports: &'a [PortMapping],
    /// Whether the default route goes through this network. One that the container has already stays.
    pub default_route: bool,
}

oci::document! {
    /// A container in a network.
    Attachment(snake, strict) {
        /// The network's name and id.
        network: String => required,
        network_id: String => required,
        /// The container's id.
        container: String => required,
        name: String => always,
        aliases: Vec<String>,
        /// The device in the container; empty until it is known.
        interface: String => always,
        /// The device of the host that belongs to it: the other end of its pair, if it has one.
        host_interface: String => always,
        mac: String => always,
        /// With the subnets' prefixes.
        addresses: Vec<Cidr> => always,
        gateways: Vec<Ip>,
        /// More addresses, which the network does not know.
        link_local: Vec<Cidr>,
        ports: Vec<PortMapping>,
        /// Everything was made. Otherwise whoever made it was killed, or still is at it.
        whole: bool,
    }
}

impl Attachment {
    /// The address of a kind.
    pub fn address(&self, is_v6: bool) -> Option<Cidr> {
        self.addresses.iter().find(|cidr| cidr.is_v6() == is_v6).copied()
    }

    /// The gateway of a kind.
    pub fn gateway(&self, is_v6: bool) -> Option<IpAddr> {
        self.gateways.iter().map(|ip| ip.0).find(|ip| ip.is_ipv6() == is_v6)
    }

    /// 64 hexadecimal digits that stand for the container in the network, as docker has them.
    pub fn endpoint_id(&self) -> String {
        let mut id = String::new();
        for round in 0..4u8 {
            // FNV-1a: the ids that it is made of are random.
            let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ u64::from(round);
            for byte in self.network_id.bytes().chain(self.container.bytes()) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
            id.push_str(&format!("{hash:016x}"));
        }
        id
    }

    /// Every name under which the network knows the container, in small letters.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        let short = self.container.get(..12).unwrap_or(&self.container);
        let all = [self.name.as_str(), short].into_iter();
        let all = all.chain(self.aliases.iter().map(String::as_str));
        all.filter(|name| is_hostname(name)).map(str::to_ascii_lowercase)
    }
}

/// Refuses what cannot be a container's id: files are named after it.
pub(crate) fn check_container(id: &str) -> Result<()> {
    let mut bytes = id.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    match first && rest && id.len() <= 200 {
        true => Ok(()),
        false => Err(Error::invalid(format!("{id:?} is no container's id"))),
    }
}

/// Refuses requests that make no sense.
pub(crate) fn check(request: &AttachRequest<'_>) -> Result<()> {
    check_container(request.container)?;
    if request.aliases.len() > ALIASES {
        let text = format!("{} aliases, the limit is {ALIASES}", request.aliases.len());
        return Err(Error::new(crate::Kind::Limit, text));
    }
    for alias in request.aliases {
        if !is_hostname(alias) {
            return Err(Error::invalid(format!("{alias:?} is no name for a host")));
        }
    }
    let of_kind = |is_v6: bool| request.addresses.iter().filter(|ip| ip.is_ipv6() == is_v6).count();
    if of_kind(false) > 1 || of_kind(true) > 1 {
        return Err(Error::invalid("two addresses of one kind in one network"));
    }
    let is_link_local = |ip: &&IpAddr| match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    if let Some(other) = request.link_local.iter().find(|ip| !is_link_local(ip)) {
        return Err(Error::invalid(format!("invalid link-local IP address: {other}"))
            .with_hint("such addresses are of 169.254.0.0/16 or fe80::/10"));
    }
    match request.interface {
        Some(name) => crate::record::check_interface(name),
        None => Ok(()),
    }
}

/// Whether something can be a name in the DNS, and of a file.
pub(crate) fn is_hostname(name: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let label = |label: &str| !label.is_empty() && label.len() <= 63;
    name.len() <= HOSTNAME_BYTES && name.bytes().all(fine) && name.split('.').all(label)
}
