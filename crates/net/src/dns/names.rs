//! The containers of networks, as names.

use super::wire::{Query, Record, TYPE_A, TYPE_AAAA, TYPE_PTR, reversed};
use crate::error::{During, Result};
use crate::files;
use crate::networks::{NAMES, Networks};
use crate::record::Network;
use std::net::IpAddr;
use sys::Fd;

/// Addresses of one name: more do not fit into a datagram anyway.
const RECORDS: usize = 64;

/// A network whose containers are known.
#[derive(Debug)]
pub(super) struct Scope {
    name: String,
    id: String,
    /// The directory that the network's own is in.
    run: Fd,
}

/// What is known about a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// The name is one of ours; there may be no records of the kind that was asked for.
    Records(Vec<Record>),
    /// It is not.
    Nobody,
}

impl Scope {
    pub(super) fn open(networks: &Networks, network: &Network) -> Result<Self> {
        let run = sys::fs::duplicate(&networks.run, 3).during(|| "opening a network".into())?;
        Ok(Self { name: network.name.to_ascii_lowercase(), id: network.id.clone(), run })
    }

    /// The addresses of a name.
    fn addresses(&self, name: &str) -> Option<Vec<IpAddr>> {
        let dir = files::open_dir(&self.run, &self.id).ok()?;
        let dir = files::open_dir(&dir, NAMES).ok()?;
        let dir = files::open_dir(&dir, name).ok()?;
        let mut found = Vec::new();
        for container in files::list(&dir).ok()?.iter().take(RECORDS) {
            // Whoever leaves meanwhile has no address.
            let text = files::read(&dir, container).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            found.extend(text.lines().filter_map(|line| line.parse::<IpAddr>().ok()));
        }
        (!found.is_empty()).then_some(found)
    }

    /// The name of an address.
    fn name_of(&self, address: IpAddr) -> Option<String> {
        let dir = files::open_dir(&self.run, &self.id).ok()?;
        let (_, name) = crate::lease::owner_of(&dir, address).ok()??;
        Some(format!("{name}.{}", self.name))
    }
}

/// Looks for a name in networks, the first ones first. As with docker, `NAME.NETWORK` is one, too.
pub(super) fn look_up(scopes: &[Scope], links: &[(String, String)], query: &Query) -> Known {
    if !query.is_internet {
        return Known::Nobody;
    }
    if query.kind == TYPE_PTR
        && let Some(address) = reversed(&query.name)
    {
        let name = scopes.iter().find_map(|scope| scope.name_of(address));
        return name.map_or(Known::Nobody, |name| Known::Records(vec![Record::Name(name)]));
    }
    let asked = query.name.as_str();
    let link = links.iter().find(|(name, _)| name == asked);
    let name = link.map_or(asked, |(_, own)| own.as_str());
    if !crate::attachment::is_hostname(name) {
        return Known::Nobody;
    }
    let mut addresses: Vec<IpAddr> = Vec::new();
    for scope in scopes {
        let short =
            name.strip_suffix(scope.name.as_str()).and_then(|short| short.strip_suffix('.'));
        let found = scope.addresses(name).or_else(|| scope.addresses(short?));
        addresses.extend(found.unwrap_or_default());
    }
    if addresses.is_empty() {
        return Known::Nobody;
    }
    let fits = |ip: &IpAddr| match query.kind {
        TYPE_A => ip.is_ipv4(),
        TYPE_AAAA => ip.is_ipv6(),
        _ => false,
    };
    addresses.retain(fits);
    addresses.truncate(RECORDS);
    // Those who take the first one only take turns.
    if let Some(turn) = (sys::time::monotonic_ns() as usize).checked_rem(addresses.len()) {
        addresses.rotate_left(turn);
    }
    Known::Records(addresses.into_iter().map(Record::Address).collect())
}
