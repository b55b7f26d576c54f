//! rtnetlink(7): devices, addresses, routes.

use super::{ACK, Batch, CREATE, DUMP, EXCL, Socket, attributes, text, word};
use crate::address::{Cidr, Mac};
use std::net::IpAddr;
use sys::{Errno, Result};

pub(crate) const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_SETLINK: u16 = 19;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;

pub(crate) const IFLA_ADDRESS: u16 = 1;
pub(crate) const IFLA_IFNAME: u16 = 3;
pub(crate) const IFLA_MTU: u16 = 4;
pub(crate) const IFLA_LINK: u16 = 5;
pub(crate) const IFLA_MASTER: u16 = 10;
const IFLA_OPERSTATE: u16 = 16;
pub(crate) const IFLA_LINKINFO: u16 = 18;
pub(crate) const IFLA_NET_NS_FD: u16 = 28;
/// Devices of one group are removed together.
pub(crate) const IFLA_GROUP: u16 = 27;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_PROTINFO: u16 = 12;
const IFLA_CARRIER: u16 = 33;
/// `IF_OPER_UNKNOWN` and `IF_OPER_UP`
const WORKING: [u8; 2] = [0, 6];
/// How often it is looked whether a device works, with a pause of a millisecond: what it waits for takes less than one
/// on a machine that has time.
const SETTLE_TRIES: u32 = 100;
/// `RTEXT_FILTER_SKIP_STATS`
const SKIP_STATISTICS: u32 = 8;
pub(crate) const INFO_KIND: u16 = 1;
pub(crate) const INFO_DATA: u16 = 2;
const BRPORT_HAIRPIN: u16 = 4;
const BRPORT_ISOLATED: u16 = 33;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;
/// An address of IPv6 that is used at once: nobody else has it, by our own books.
const IFA_F_NODAD: u32 = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
pub(crate) const IFF_UP: u32 = 1;
const AF_BRIDGE: u8 = 7;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RTN_UNICAST: u8 = 1;
const RT_SCOPE_LINK: u8 = 253;

/// A device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) group: u32,
    /// The bridge that it is a port of; 0: none.
    pub(crate) master: u32,
    /// `bridge`, `veth`; empty for hardware.
    pub(crate) kind: String,
    pub(crate) is_up: bool,
    /// It is connected, but the kernel has not got round to sending by it.
    pub(crate) is_waking: bool,
    pub(crate) mac: Option<Mac>,
    pub(crate) mtu: u32,
}

/// `struct ifinfomsg`: family, type, index, flags, and which flags change.
pub(crate) fn link_header(family: u8, index: u32, flags: u32) -> [u8; 16] {
    let mut bytes = [0u8; 16];
    bytes[0] = family;
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..].copy_from_slice(&flags.to_ne_bytes());
    bytes
}

impl Batch {
    /// A new device of some kind; `more` adds what else it is to be.
    pub(crate) fn new_link(
        &mut self,
        name: &str,
        kind: &str,
        flags: u32,
        data: impl FnOnce(&mut Self),
        more: impl FnOnce(&mut Self),
    ) -> u32 {
        let number = self.message(RTM_NEWLINK, ACK | CREATE | EXCL, &link_header(0, 0, flags));
        self.text(IFLA_IFNAME, name);
        more(self);
        self.link_kind(kind, data);
        number
    }

    /// Says what kind of device the last message is about.
    pub(crate) fn link_kind(&mut self, kind: &str, data: impl FnOnce(&mut Self)) {
        self.nest(IFLA_LINKINFO, |batch| {
            batch.text(INFO_KIND, kind);
            batch.nest(INFO_DATA, data);
        });
    }

    /// Brings a device up.
    pub(crate) fn set_up(&mut self, index: u32) -> u32 {
        self.message(RTM_NEWLINK, ACK, &link_header(0, index, IFF_UP))
    }

    /// The same of the device with a name.
    pub(crate) fn set_up_named(&mut self, name: &str, is_up: bool) -> u32 {
        let mut header = link_header(0, 0, IFF_UP);
        header[8..12].copy_from_slice(&if is_up { IFF_UP } else { 0 }.to_ne_bytes());
        let number = self.message(RTM_NEWLINK, ACK, &header);
        self.text(IFLA_IFNAME, name);
        number
    }

    /// The device with a name gets no address of IPv6 by itself.
    pub(crate) fn without_own_address(&mut self, name: &str) -> u32 {
        const ADDRESS_MODE: u16 = 8;
        const ADDRESS_MODE_NONE: u8 = 1;
        let number = self.message(RTM_NEWLINK, ACK, &link_header(0, 0, 0));
        self.text(IFLA_IFNAME, name);
        self.nest(IFLA_AF_SPEC, |batch| {
            batch.nest(u16::from(AF_INET6), |batch| {
                batch.attribute(ADDRESS_MODE, &[ADDRESS_MODE_NONE]);
            });
        });
        number
    }

    /// What a port of a bridge does: send packets back where they came from, keep them from other such ports.
    pub(crate) fn bridge_port(&mut self, index: u32, hairpin: bool, isolated: bool) -> u32 {
        let number = self.message(RTM_SETLINK, ACK, &link_header(AF_BRIDGE, index, 0));
        self.nest(IFLA_PROTINFO, |batch| {
            batch.attribute(BRPORT_HAIRPIN, &[u8::from(hairpin)]);
            batch.attribute(BRPORT_ISOLATED, &[u8::from(isolated)]);
        });
        number
    }

    /// Removes a device.
    pub(crate) fn delete_link(&mut self, index: u32) -> u32 {
        self.message(RTM_DELLINK, ACK, &link_header(0, index, 0))
    }

    /// Removes all devices of a group: the kernel waits once for all of them, which takes longer than all the rest.
    pub(crate) fn delete_group(&mut self, group: u32) -> u32 {
        let number = self.message(RTM_DELLINK, ACK, &link_header(0, 0, 0));
        self.number(IFLA_GROUP, group);
        number
    }

    /// Gives a device an address.
    pub(crate) fn add_address(&mut self, index: u32, address: Cidr) -> u32 {
        let mut fixed = [family(address.address()), address.prefix(), 0, 0, 0, 0, 0, 0];
        fixed[4..].copy_from_slice(&index.to_ne_bytes());
        let number = self.message(RTM_NEWADDR, ACK | CREATE | EXCL, &fixed);
        let bytes = octets(address.address());
        self.attribute(IFA_LOCAL, &bytes);
        self.attribute(IFA_ADDRESS, &bytes);
        match address.broadcast() {
            Some(broadcast) => self.attribute(IFA_BROADCAST, &broadcast.octets()),
            None if address.is_v6() => self.number(IFA_FLAGS, IFA_F_NODAD),
            None => {}
        }
        number
    }

    /// Adds the default route of a kind of addresses: by a gateway, or by the device alone.
    pub(crate) fn default_route(
        &mut self,
        index: u32,
        is_v6: bool,
        gateway: Option<IpAddr>,
        metric: Option<u32>,
    ) -> u32 {
        let family = if is_v6 { AF_INET6 } else { AF_INET };
        let scope = if gateway.is_some() { 0 } else { RT_SCOPE_LINK };
        let mut fixed = [0; 12];
        fixed[0] = family;
        fixed[4..8].copy_from_slice(&[RT_TABLE_MAIN, RTPROT_STATIC, scope, RTN_UNICAST]);
        let number = self.message(RTM_NEWROUTE, ACK | CREATE | EXCL, &fixed);
        self.number(RTA_OIF, index);
        if let Some(gateway) = gateway {
            self.attribute(RTA_GATEWAY, &octets(gateway));
        }
        if let Some(metric) = metric {
            self.number(RTA_PRIORITY, metric);
        }
        number
    }
}

impl Socket {
    /// The device with this name.
    pub(crate) fn link(&self, name: &str) -> Result<Option<Link>> {
        let mut batch = Batch::new();
        batch.message(RTM_GETLINK, ACK, &link_header(0, 0, 0));
        batch.text(IFLA_IFNAME, name);
        batch.number(IFLA_EXT_MASK, SKIP_STATISTICS);
        match self.ask(&batch) {
            Ok(answers) => Ok(answers.first().and_then(|body| read_link(body))),
            Err(Errno::ENODEV) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Waits until a device that is connected also sends: the kernel drops what is sent before, and whoever looks for a
    /// neighbour then waits a second until the next try. From Linux 6.8 on, looking is enough.
    pub(crate) fn settle(&self, name: &str) -> Result<()> {
        for _ in 0..SETTLE_TRIES {
            match self.link(name)? {
                Some(link) if link.is_waking => sys::time::sleep_ms(1),
                _ => break,
            }
        }
        Ok(())
    }

    /// All devices.
    pub(crate) fn links(&self) -> Result<Vec<Link>> {
        let mut batch = Batch::new();
        batch.message(RTM_GETLINK, DUMP, &link_header(0, 0, 0));
        batch.number(IFLA_EXT_MASK, SKIP_STATISTICS);
        Ok(self.ask(&batch)?.iter().filter_map(|body| read_link(body)).collect())
    }

    /// All addresses, with the devices that they belong to.
    pub(crate) fn addresses(&self) -> Result<Vec<(u32, Cidr)>> {
        let mut batch = Batch::new();
        batch.message(RTM_GETADDR, DUMP, &[0; 8]);
        Ok(self.ask(&batch)?.iter().filter_map(|body| read_address(body)).collect())
    }

    /// Networks that the host knows a way to, but for the default one, in every table.
    pub(crate) fn routes(&self) -> Result<Vec<Cidr>> {
        let mut batch = Batch::new();
        batch.message(RTM_GETROUTE, DUMP, &[0; 12]);
        Ok(self.ask(&batch)?.iter().filter_map(|body| read_route(body)).collect())
    }

    /// The device and gateway of the default route for IPv4.
    pub(crate) fn default_device(&self) -> Result<Option<u32>> {
        let mut batch = Batch::new();
        let mut fixed = [0; 12];
        fixed[0] = AF_INET;
        batch.message(RTM_GETROUTE, DUMP, &fixed);
        let answers = self.ask(&batch)?;
        let defaults =
            answers.iter().filter(|body| body.get(1) == Some(&0) && body[4] == RT_TABLE_MAIN);
        let mut found = defaults.filter_map(|body| {
            let list = body.get(12..)?;
            attributes(list)
                .find(|(kind, _)| *kind == RTA_OIF)
                .and_then(|(_, value)| word(value, 0))
        });
        Ok(found.next())
    }

    /// Whether there is a default route of any kind.
    pub(crate) fn has_default_route(&self) -> Result<bool> {
        const UNICAST: u8 = 1;
        for kind in [AF_INET, AF_INET6] {
            let mut batch = Batch::new();
            let mut fixed = [0; 12];
            fixed[0] = kind;
            batch.message(RTM_GETROUTE, DUMP, &fixed);
            let is_one = |body: &Vec<u8>| body.get(1) == Some(&0) && body.get(7) == Some(&UNICAST);
            if self.ask(&batch)?.iter().any(is_one) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { AF_INET } else { AF_INET6 }
}

/// The bytes of an address.
pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The address that bytes are.
pub(crate) fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

fn read_link(body: &[u8]) -> Option<Link> {
    let mut link =
        Link { index: word(body, 4)?, is_up: word(body, 8)? & IFF_UP != 0, ..Link::default() };
    let (mut carrier, mut works) = (false, true);
    for (kind, value) in attributes(body.get(16..)?) {
        match kind {
            IFLA_CARRIER => carrier = value.first() == Some(&1),
            IFLA_OPERSTATE => works = value.first().is_some_and(|state| WORKING.contains(state)),
            IFLA_IFNAME => link.name = text(value),
            IFLA_GROUP => link.group = word(value, 0).unwrap_or(0),
            IFLA_MASTER => link.master = word(value, 0).unwrap_or(0),
            IFLA_MTU => link.mtu = word(value, 0).unwrap_or(0),
            IFLA_ADDRESS => link.mac = value.try_into().ok().map(Mac),
            IFLA_LINKINFO => {
                let kind = attributes(value).find(|(kind, _)| *kind == INFO_KIND);
                link.kind = kind.map(|(_, value)| text(value)).unwrap_or_default();
            }
            _ => {}
        }
    }
    link.is_waking = link.is_up && carrier && !works;
    Some(link)
}

/// `struct ifaddrmsg`: family, prefix, flags, scope, index.
fn read_address(body: &[u8]) -> Option<(u32, Cidr)> {
    let (prefix, index, list) = (*body.get(1)?, word(body, 4)?, body.get(8..)?);
    // The own address of a link with a peer is the local one.
    let of = |wanted: u16| attributes(list).find(|(kind, _)| *kind == wanted);
    let (_, value) = of(IFA_LOCAL).or_else(|| of(IFA_ADDRESS))?;
    Some((index, Cidr::new(ip(value)?, prefix)?))
}

/// `struct rtmsg`: family, lengths of destination and source, tos, table...
fn read_route(body: &[u8]) -> Option<Cidr> {
    let (length, list) = (*body.get(1)?, body.get(12..)?);
    let (_, value) = attributes(list).find(|(kind, _)| *kind == RTA_DST)?;
    // Behind a shorter prefix bytes may be left out, but are not.
    Cidr::new(ip(value)?, length).filter(|cidr| cidr.prefix() > 0)
}
