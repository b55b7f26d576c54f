//! The rules of all networks: one nf_tables table, `inet tare`.
//!
//! Its rules never change. What is added with a network or a published port is an element of a set or map, which
//! the kernel finds by hashing, and which is taken out again by naming it:
//!
//! | set or map | element |
//! |---|---|
//! | `bridges` | a network's bridge |
//! | `same` | the bridge twice: what stays in one network |
//! | `local4`, `local6` | a bridge and a subnet of its network |
//! | `internal` | a bridge without a way out |
//! | `open4`, `open6` | a bridge whose containers are reached by their own addresses |
//! | `masq4`, `masq6` | a bridge whose packets get the host's address where they leave it |
//! | `port4`, `port6` | protocol and port of the host -> address and port of a container |
//! | `addr4`, `addr6` | the same with one address of the host |
//!
//! The table comes with the first network and goes with the last. Several processes, and several stores, work on it
//! at the same time: each change is one transaction, and one that says "the table goes, for no bridge is left" is
//! refused by the kernel if anything was changed since that was looked at (`NFNL_BATCH_GENID`).
//!
//! - Replies find their way by connection tracking: a container sees who has asked.
//! - A connection of the host to its own `127.0.0.1` leaves by the bridge (`route_localnet`), with the bridge's
//!   address. The other way round nothing comes in: what a container sends to or from 127.0.0.0/8 is dropped before
//!   anything else looks at it (CVE-2020-8558), and what arrives from elsewhere for that network is not translated.
//! - A container that asks for a port of its own network gets its answer by the host, not past it: such connections
//!   get the bridge's address as well.

mod expressions;
mod foreign;
mod layout;
mod legacy;
mod redirection;
mod tracking;
mod transaction;

pub(crate) use foreign::{admit, admit_everywhere, dismiss};
pub(crate) use redirection::redirect;
pub(crate) use tracking::forget;

use crate::address::Cidr;
use crate::error::{Error, Kind, Result};
use crate::limits::RACES;
use crate::netlink::Socket;
use crate::ports::PortMapping;
use layout::Element;
use std::net::IpAddr;
use sys::Errno;
use transaction::Transaction;

pub(crate) const TABLE: &str = "tare";

/// The rules of one network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NetworkRules {
    pub(crate) bridge: String,
    pub(crate) subnets: Vec<Cidr>,
    pub(crate) internal: bool,
    /// For IPv4 and IPv6.
    pub(crate) masquerade: [bool; 2],
    pub(crate) open: [bool; 2],
}

/// A published port and the addresses that it leads to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) port: &'a PortMapping,
    pub(crate) v4: Option<IpAddr>,
    pub(crate) v6: Option<IpAddr>,
}

/// The table of the calling thread's network namespace.
#[derive(Debug)]
pub(crate) struct Firewall(Socket);

impl Firewall {
    pub(crate) fn open() -> Result<Self> {
        Socket::netfilter().map(Self).map_err(|errno| unavailable("opening nf_tables", errno))
    }

    /// Whether the rules of a network are there. Somebody may have emptied the rule set.
    pub(crate) fn has(&self, bridge: &str) -> Result<bool> {
        transaction::has_element(&self.0, &Element::name("bridges", bridge))
            .map_err(|errno| unavailable("looking for a network", errno))
    }

    /// Adds networks and ports, and the table if need be.
    pub(crate) fn add(&self, networks: &[NetworkRules], targets: &[Target<'_>]) -> Result<()> {
        let mut elements: Vec<Element> = networks.iter().flat_map(network_elements).collect();
        elements.extend(targets.iter().filter_map(port_element));
        for _ in 0..RACES {
            match self.add_elements(&elements) {
                // The last network has just gone, and the table with it; or the first one has come.
                Err(Errno::ENOENT | Errno::EEXIST) => {}
                Err(Errno::EBUSY) => self.remove_elements(&elements)?,
                result => return result.map_err(|errno| unavailable("adding rules", errno)),
            }
        }
        Err(Error::new(Kind::Busy, "adding rules: others change the table without end"))
    }

    fn add_elements(&self, elements: &[Element]) -> sys::Result<()> {
        let mut transaction = Transaction::new(None);
        if !transaction::has_table(&self.0)? {
            layout::create(&mut transaction);
        }
        transaction.add_elements(elements);
        transaction.commit(&self.0)
    }

    /// Removes ports. Those that are not there are gone already.
    pub(crate) fn remove_ports(&self, targets: &[Target<'_>]) -> Result<()> {
        self.remove_elements(&targets.iter().filter_map(port_element).collect::<Vec<_>>())
    }

    /// Removes a network, and the table if it was the last one. What is not there is gone already.
    pub(crate) fn remove_network(&self, rules: &NetworkRules) -> Result<()> {
        let failed = |errno| unavailable("removing the table", errno);
        if !transaction::has_table(&self.0).map_err(failed)? {
            return Ok(());
        }
        self.remove_elements(&network_elements(rules))?;
        for _ in 0..RACES {
            match self.remove_table_if_unused() {
                Err(Errno::ENOENT) => return Ok(()),
                // Somebody has changed something since we looked.
                Err(Errno(ERESTART) | Errno::EBUSY) => {}
                result => return result.map_err(failed),
            }
        }
        Ok(())
    }

    fn remove_table_if_unused(&self) -> sys::Result<()> {
        let generation = transaction::generation(&self.0)?;
        if transaction::count_elements(&self.0, "bridges")? > 0 {
            return Ok(());
        }
        let mut transaction = Transaction::new(Some(generation));
        transaction.delete_table();
        transaction.commit(&self.0)
    }

    /// All at once, or, if some are not there, those that are: taking a transaction back costs the kernel more than
    /// looking.
    fn remove_elements(&self, elements: &[Element]) -> Result<()> {
        let failed = |errno| unavailable("removing rules", errno);
        let mut elements = elements.to_vec();
        for _ in 0..RACES {
            let mut transaction = Transaction::new(None);
            transaction.delete_elements(&elements);
            match transaction.commit(&self.0) {
                Err(Errno::ENOENT) => {}
                result => return result.map_err(failed),
            }
            let mut there = Vec::new();
            for element in elements {
                if transaction::has_element(&self.0, &element).map_err(failed)? {
                    there.push(element);
                }
            }
            if there.is_empty() {
                return Ok(());
            }
            elements = there;
        }
        Err(Error::new(Kind::Busy, "removing rules: others change the table without end"))
    }
}

/// The kernel's number for "what you have looked at has changed", which no program outside of it sees otherwise.
const ERESTART: i32 = 85;

fn unavailable(what: &str, errno: Errno) -> Error {
    let error = Error::os(format!("the firewall: {what}"), errno);
    match errno {
        Errno::EPERM | Errno::EACCES => error.with_hint("networks with a bridge need root, or a user namespace of their own"),
        Errno::EPROTONOSUPPORT | Errno::EAFNOSUPPORT | Errno::ENOTSUP | Errno::ENOENT => {
            error.with_hint("the kernel needs nf_tables with nat, masquerade and fib (CONFIG_NF_TABLES_INET, NFT_NAT, NFT_MASQ, NFT_FIB_INET)")
        }
        _ => error,
    }
}

fn network_elements(rules: &NetworkRules) -> Vec<Element> {
    let bridge = &rules.bridge;
    let mut elements = vec![Element::name("bridges", bridge), Element::pair("same", bridge)];
    let [masquerade4, masquerade6] = rules.masquerade;
    let [open4, open6] = rules.open;
    let more = [
        ("internal", rules.internal),
        ("masq4", masquerade4),
        ("masq6", masquerade6),
        ("open4", open4),
        ("open6", open6),
    ];
    let local = |subnet: &Cidr| {
        let set = if subnet.is_v6() { "local6" } else { "local4" };
        Element::subnet(set, bridge, *subnet)
    };
    elements.extend(rules.subnets.iter().map(local));
    elements.extend(more.iter().filter(|more| more.1).map(|more| Element::name(more.0, bridge)));
    elements
}

/// `None`: the container has no address of the kind that the host's is.
fn port_element(target: &Target<'_>) -> Option<Element> {
    let port = target.port;
    let to = match port.host_ip.0 {
        IpAddr::V4(_) => target.v4,
        IpAddr::V6(_) => target.v6,
    };
    Some(Element::port(port, to?))
}
