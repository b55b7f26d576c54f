//! The table: its sets, its chains, its rules, and what elements are made of.

use super::TABLE;
use super::expressions::{
    ACCEPT, DROP, FAMILY_V4, FAMILY_V6, JUMP, META_IIFNAME, META_L4PROTO, META_OIFNAME,
    NETWORK_HEADER, REGISTER_1, REGISTER_2, RETURN, TRANSPORT_HEADER, WORD_1, WORD_2, WORD_4,
    WORD_5,
};
use super::transaction::{FAMILY_INET, NAME, NEW_CHAIN, NEW_SET, Transaction, new_table};
use crate::address::Cidr;
use crate::netlink::Batch;
use crate::netlink::route::octets;
use crate::ports::PortMapping;
use std::net::IpAddr;

/// `nft`'s numbers of types, by which it shows elements.
const TYPE_IPV4: u32 = 7;
const TYPE_IPV6: u32 = 8;
const TYPE_PROTOCOL: u32 = 12;
const TYPE_SERVICE: u32 = 13;
const TYPE_IFNAME: u32 = 41;
/// Types of a key with several parts are numbers of so many bits each.
const TYPE_BITS: u32 = 6;
/// `IFNAMSIZ`
const IFNAME_BYTES: usize = 16;

const HOOK_PREROUTING: u32 = 0;
const HOOK_FORWARD: u32 = 2;
const HOOK_OUTPUT: u32 = 3;
const HOOK_POSTROUTING: u32 = 4;

/// Offsets in the headers of IPv4, IPv6, and of all protocols that have ports.
const V4_SOURCE: u32 = 12;
const V4_DESTINATION: u32 = 16;
const V6_SOURCE: u32 = 8;
const V6_DESTINATION: u32 = 24;
const DESTINATION_PORT: u32 = 2;
const LOOPBACK: [u8; 1] = [127];

/// An element of a set or map of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) set: &'static str,
    key: Vec<u8>,
    /// The last key of a range of them.
    end: Vec<u8>,
    data: Vec<u8>,
}

impl Element {
    /// A device.
    pub(super) fn name(set: &'static str, name: &str) -> Self {
        Self::of(set, device(name))
    }

    /// A device twice.
    pub(super) fn pair(set: &'static str, name: &str) -> Self {
        Self::of(set, [device(name), device(name)].concat())
    }

    /// A device, and addresses that are behind it.
    pub(super) fn subnet(set: &'static str, name: &str, subnet: Cidr) -> Self {
        let key = [device(name), octets(subnet.at(0))].concat();
        Self { end: last(name, subnet), ..Self::of(set, key) }
    }

    fn of(set: &'static str, key: Vec<u8>) -> Self {
        Self { set, key, end: Vec::new(), data: Vec::new() }
    }

    /// A published port, and where it leads.
    pub(super) fn port(port: &PortMapping, to: IpAddr) -> Self {
        let host = port.host_ip.0;
        let set = match (host, host.is_unspecified()) {
            (IpAddr::V4(_), true) => "port4",
            (IpAddr::V4(_), false) => "addr4",
            (IpAddr::V6(_), true) => "port6",
            (IpAddr::V6(_), false) => "addr6",
        };
        let mut key = if host.is_unspecified() { Vec::new() } else { octets(host) };
        key.extend([port.protocol.number(), 0, 0, 0]);
        key.extend(padded(port.host_port));
        let data = [octets(to), padded(port.container_port).to_vec()].concat();
        Self { data, ..Self::of(set, key) }
    }

    pub(super) fn write(&self, batch: &mut Batch, with_data: bool) {
        const KEY: u16 = 1;
        const DATA: u16 = 2;
        const KEY_END: u16 = 10;
        const VALUE: u16 = 1;
        batch.nest(KEY, |batch| batch.attribute(VALUE, &self.key));
        if !self.end.is_empty() {
            batch.nest(KEY_END, |batch| batch.attribute(VALUE, &self.end));
        }
        if with_data && !self.data.is_empty() {
            batch.nest(DATA, |batch| batch.attribute(VALUE, &self.data));
        }
    }
}

/// The last address of a subnet behind a device: all bits behind the prefix are 1.
fn last(name: &str, subnet: Cidr) -> Vec<u8> {
    let mut bytes = octets(subnet.at(0));
    for (index, byte) in bytes.iter_mut().enumerate() {
        let fixed = usize::from(subnet.prefix()).saturating_sub(index * 8).min(8);
        *byte |= 0xff_u8.checked_shr(fixed as u32).unwrap_or(0);
    }
    [device(name), bytes].concat()
}

fn device(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(IFNAME_BYTES, 0);
    bytes
}

/// Parts of a key fill registers of four bytes.
fn padded(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}

/// Types and bytes of the parts of a key.
type Parts<'a> = &'a [(u32, usize)];

const IFNAME: (u32, usize) = (TYPE_IFNAME, IFNAME_BYTES);
const IPV4: (u32, usize) = (TYPE_IPV4, 4);
const IPV6: (u32, usize) = (TYPE_IPV6, 16);
const PROTOCOL: (u32, usize) = (TYPE_PROTOCOL, 4);
const SERVICE: (u32, usize) = (TYPE_SERVICE, 4);

/// Makes the table.
pub(super) fn create(transaction: &mut Transaction) {
    new_table(transaction);
    for name in ["bridges", "internal", "open4", "open6", "masq4", "masq6"] {
        set(transaction, name, Keys::Single, &[IFNAME], &[]);
    }
    set(transaction, "same", Keys::Single, &[IFNAME, IFNAME], &[]);
    set(transaction, "local4", Keys::Ranges, &[IFNAME, IPV4], &[]);
    set(transaction, "local6", Keys::Ranges, &[IFNAME, IPV6], &[]);
    set(transaction, "port4", Keys::Single, &[PROTOCOL, SERVICE], &[IPV4, SERVICE]);
    set(transaction, "port6", Keys::Single, &[PROTOCOL, SERVICE], &[IPV6, SERVICE]);
    set(transaction, "addr4", Keys::Single, &[IPV4, PROTOCOL, SERVICE], &[IPV4, SERVICE]);
    set(transaction, "addr6", Keys::Single, &[IPV6, PROTOCOL, SERVICE], &[IPV6, SERVICE]);
    chain(transaction, "ports", None);
    chain(transaction, "guard", Some(("filter", HOOK_PREROUTING, -300)));
    chain(transaction, "prerouting", Some(("nat", HOOK_PREROUTING, -100)));
    chain(transaction, "output", Some(("nat", HOOK_OUTPUT, -100)));
    chain(transaction, "postrouting", Some(("nat", HOOK_POSTROUTING, 100)));
    chain(transaction, "forward", Some(("filter", HOOK_FORWARD, 0)));
    guard_rules(transaction);
    port_rules(transaction);
    source_rules(transaction);
    forward_rules(transaction);
}

fn kinds(parts: Parts<'_>) -> u32 {
    parts.iter().fold(0, |kinds, part| kinds << TYPE_BITS | part.0)
}

fn bytes(parts: Parts<'_>) -> u32 {
    parts.iter().map(|part| part.1 as u32).sum()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    Single,
    Ranges,
}

fn set(transaction: &mut Transaction, name: &str, keys: Keys, key: Parts<'_>, data: Parts<'_>) {
    use crate::netlink::{CREATE, EXCL};
    const FLAG_INTERVAL: u32 = 4;
    const FLAG_MAP: u32 = 8;
    const FLAG_CONCATENATION: u32 = 0x80;
    let map = if data.is_empty() { 0 } else { FLAG_MAP };
    let ranges = if keys == Keys::Ranges { FLAG_INTERVAL | FLAG_CONCATENATION } else { 0 };
    transaction.message(FAMILY_INET, NEW_SET, CREATE | EXCL);
    let batch = &mut transaction.batch;
    batch.text(NAME, TABLE);
    batch.text(2, name);
    batch.big_number(3, map | ranges);
    batch.big_number(4, kinds(key));
    batch.big_number(5, bytes(key));
    if !data.is_empty() {
        batch.big_number(6, kinds(data));
        batch.big_number(7, bytes(data));
    }
    if keys == Keys::Ranges {
        const DESCRIPTION: u16 = 9;
        const CONCATENATION: u16 = 2;
        batch.nest(DESCRIPTION, |batch| {
            batch.nest(CONCATENATION, |batch| {
                for part in key {
                    batch.nest(1, |batch| batch.big_number(1, part.1 as u32));
                }
            });
        });
    }
    // The number by which rules of the same transaction could name it.
    batch.big_number(10, 1);
}

fn chain(transaction: &mut Transaction, name: &str, hook: Option<(&str, u32, i32)>) {
    use crate::netlink::{CREATE, EXCL};
    transaction.message(FAMILY_INET, NEW_CHAIN, CREATE | EXCL);
    let batch = &mut transaction.batch;
    batch.text(NAME, TABLE);
    batch.text(3, name);
    if let Some((kind, hook, priority)) = hook {
        batch.nest(4, |batch| {
            batch.big_number(1, hook);
            batch.big_number(2, priority as u32);
        });
        batch.text(7, kind);
    }
}

/// Nothing from a network is for or from the host's loopback addresses.
fn guard_rules(transaction: &mut Transaction) {
    for offset in [V4_DESTINATION, V4_SOURCE] {
        transaction.rule("guard", |rule| {
            rule.meta(META_IIFNAME, REGISTER_1).is_in("bridges", true).family(FAMILY_V4);
            rule.payload(NETWORK_HEADER, offset, 1, REGISTER_1).compare(true, &LOOPBACK);
            rule.verdict(DROP, None);
        });
    }
}

/// Where published ports lead.
fn port_rules(transaction: &mut Transaction) {
    // Loopback addresses are the host's own: what comes by the network for them is no connection of the host's.
    transaction.rule("prerouting", |rule| {
        rule.family(FAMILY_V4).payload(NETWORK_HEADER, V4_DESTINATION, 1, REGISTER_1);
        rule.compare(true, &LOOPBACK).verdict(RETURN, None);
    });
    // From its own loopback address of IPv6 nothing leaves the host, so that nothing of it can go to a container.
    transaction.rule("output", |rule| {
        rule.family(FAMILY_V6).payload(NETWORK_HEADER, V6_DESTINATION, 16, REGISTER_1);
        rule.compare(true, &std::net::Ipv6Addr::LOCALHOST.octets()).verdict(RETURN, None);
    });
    for chain in ["prerouting", "output"] {
        transaction.rule(chain, |rule| rule.local_destination().verdict(JUMP, Some("ports")));
    }
    // One address of the host comes before all of them. An address takes one or four words, which protocol and
    // port come behind.
    transaction.rule("ports", |rule| {
        rule.family(FAMILY_V4).payload(NETWORK_HEADER, V4_DESTINATION, 4, REGISTER_1);
        rule.meta(META_L4PROTO, WORD_1).payload(TRANSPORT_HEADER, DESTINATION_PORT, 2, WORD_2);
        rule.map("addr4").translate(FAMILY_V4, WORD_1);
    });
    transaction.rule("ports", |rule| {
        rule.family(FAMILY_V6).payload(NETWORK_HEADER, V6_DESTINATION, 16, REGISTER_1);
        rule.meta(META_L4PROTO, WORD_4).payload(TRANSPORT_HEADER, DESTINATION_PORT, 2, WORD_5);
        rule.map("addr6").translate(FAMILY_V6, WORD_4);
    });
    for (family, map, port) in [(FAMILY_V4, "port4", WORD_1), (FAMILY_V6, "port6", WORD_4)] {
        transaction.rule("ports", |rule| {
            rule.family(family).meta(META_L4PROTO, REGISTER_1);
            rule.payload(TRANSPORT_HEADER, DESTINATION_PORT, 2, WORD_1);
            rule.map(map).translate(family, port);
        });
    }
}

/// Which connections get the host's address.
fn source_rules(transaction: &mut Transaction) {
    // Not by where it came in: packets within a bridge, which iptables sees on many hosts, have lost that by now.
    transaction.rule("postrouting", |rule| {
        rule.translated().family(FAMILY_V4).meta(META_OIFNAME, REGISTER_1);
        rule.payload(NETWORK_HEADER, V4_SOURCE, 4, REGISTER_2);
        rule.is_in("local4", true).masquerade();
    });
    transaction.rule("postrouting", |rule| {
        rule.translated().family(FAMILY_V6).meta(META_OIFNAME, REGISTER_1);
        rule.payload(NETWORK_HEADER, V6_SOURCE, 16, REGISTER_2);
        rule.is_in("local6", true).masquerade();
    });
    transaction.rule("postrouting", |rule| {
        rule.meta(META_OIFNAME, REGISTER_1).is_in("bridges", true).family(FAMILY_V4);
        rule.payload(NETWORK_HEADER, V4_SOURCE, 1, REGISTER_1)
            .compare(true, &LOOPBACK)
            .masquerade();
    });
    for (family, set) in [(FAMILY_V4, "masq4"), (FAMILY_V6, "masq6")] {
        transaction.rule("postrouting", |rule| {
            rule.family(family).meta(META_IIFNAME, REGISTER_1).is_in(set, true);
            rule.meta(META_OIFNAME, REGISTER_1).is_in("bridges", false).masquerade();
        });
    }
}

/// Who reaches whom.
fn forward_rules(transaction: &mut Transaction) {
    transaction.rule("forward", |rule| rule.established().verdict(ACCEPT, None));
    transaction.rule("forward", |rule| {
        rule.meta(META_IIFNAME, REGISTER_1).meta(META_OIFNAME, REGISTER_2);
        rule.is_in("same", true).verdict(ACCEPT, None);
    });
    for key in [META_IIFNAME, META_OIFNAME] {
        transaction.rule("forward", |rule| {
            rule.meta(key, REGISTER_1).is_in("internal", true).verdict(DROP, None);
        });
    }
    transaction.rule("forward", |rule| {
        rule.meta(META_OIFNAME, REGISTER_1).is_in("bridges", true).translated();
        rule.verdict(ACCEPT, None);
    });
    // Networks do not reach each other, but for published ports.
    transaction.rule("forward", |rule| {
        rule.meta(META_IIFNAME, REGISTER_1).is_in("bridges", true);
        rule.meta(META_OIFNAME, REGISTER_1).is_in("bridges", true).verdict(DROP, None);
    });
    for (family, set) in [(FAMILY_V4, "open4"), (FAMILY_V6, "open6")] {
        transaction.rule("forward", |rule| {
            rule.family(family).meta(META_OIFNAME, REGISTER_1).is_in(set, true);
            rule.verdict(ACCEPT, None);
        });
    }
    transaction.rule("forward", |rule| {
        rule.meta(META_OIFNAME, REGISTER_1).is_in("bridges", true).verdict(DROP, None);
    });
}
