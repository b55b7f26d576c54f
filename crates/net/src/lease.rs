//! Which addresses of a network are given to whom.
//!
//! An address that somebody has is a file in `leases`, named after it, which the kernel makes once only; its text
//! is the container's id and name. The file `cursor.N` says below which address of subnet N none is free, so that
//! the next one is found at once, however many containers there are. Everything happens under the network's lock.

use crate::error::{Error, Kind, Result};
use crate::files;
use crate::limits::ADDRESS_TRIES;
use crate::record::{Network, Subnet};
use std::collections::HashSet;
use std::net::IpAddr;
use sys::Fd;

pub(crate) const LEASES: &str = "leases";

/// The leases of a network whose lock is held.
pub(crate) struct Leases<'a> {
    dir: Fd,
    run: &'a Fd,
    network: &'a Network,
}

impl<'a> Leases<'a> {
    pub(crate) fn open(run: &'a Fd, network: &'a Network) -> Result<Self> {
        Ok(Self { dir: files::make_open_dir(run, LEASES)?, run, network })
    }

    /// Takes an address of each kind that the network has: the wanted ones, or else the lowest free ones. After a
    /// failure none is taken.
    pub(crate) fn take(&self, wanted: &[IpAddr], owner: &str, name: &str) -> Result<Vec<IpAddr>> {
        let mut taken = Vec::new();
        let result = self.take_all(wanted, owner, name, &mut taken);
        if let Err(error) = result {
            taken.iter().try_for_each(|address| self.release(*address, owner))?;
            return Err(error.about(format_args!("network {}", self.network.name)));
        }
        Ok(taken)
    }

    fn take_all(
        &self,
        wanted: &[IpAddr],
        owner: &str,
        name: &str,
        taken: &mut Vec<IpAddr>,
    ) -> Result<()> {
        for address in wanted {
            let text = format!("address {address}");
            let subnet = self.network.subnet_of(*address).ok_or_else(|| {
                let known = self.network.subnets.iter().map(|subnet| subnet.subnet.to_string());
                let known: Vec<String> = known.collect();
                Error::invalid(format!("{text}: it belongs to none of its subnets"))
                    .with_hint(format!("there is {}", known.join(" and ")))
            })?;
            if is_reserved(subnet, *address) {
                return Err(Error::new(Kind::InUse, format!("{text}: it is not for containers")));
            }
            if !self.claim(*address, owner, name)? {
                return Err(Error::new(Kind::InUse, format!("{text}: a container has it already")));
            }
            taken.push(*address);
        }
        for is_v6 in [false, true] {
            if !taken.iter().any(|address| address.is_ipv6() == is_v6)
                && let Some(address) = self.take_any(is_v6, owner, name)?
            {
                taken.push(address);
            }
        }
        Ok(())
    }

    /// The lowest free address of a kind. `None`: the network has no such subnets.
    fn take_any(&self, is_v6: bool, owner: &str, name: &str) -> Result<Option<IpAddr>> {
        let all = self.network.subnets.iter().enumerate();
        let mut some = false;
        for (number, subnet) in all.filter(|(_, subnet)| subnet.subnet.is_v6() == is_v6) {
            some = true;
            if let Some(address) = self.take_of(number, subnet, owner, name)? {
                return Ok(Some(address));
            }
        }
        match some {
            false => Ok(None),
            true => Err(Error::new(Kind::Limit, "no address is free")
                .with_hint("a network with a larger --subnet has more")),
        }
    }

    fn take_of(
        &self,
        number: usize,
        subnet: &Subnet,
        owner: &str,
        name: &str,
    ) -> Result<Option<IpAddr>> {
        let (first, last) = span(subnet);
        let start = self.cursor(number).clamp(first, last);
        let mut given: Option<HashSet<String>> = None;
        let mut tries = 0;
        // Nobody has all addresses of a subnet of IPv6; of IPv4 there are few enough to be looked through.
        for offset in start..=last {
            let address = subnet.subnet.at(offset);
            if is_reserved(subnet, address) {
                continue;
            }
            if let Some(given) = &given
                && given.contains(&address.to_string())
            {
                continue;
            }
            if self.claim(address, owner, name)? {
                self.set_cursor(number, offset.saturating_add(1))?;
                return Ok(Some(address));
            }
            tries += 1;
            if tries == ADDRESS_TRIES {
                given = Some(files::list(&self.dir)?.into_iter().collect());
            }
        }
        Ok(None)
    }

    /// `false`: another container has it.
    fn claim(&self, address: IpAddr, owner: &str, name: &str) -> Result<bool> {
        let file = address.to_string();
        if files::claim(&self.dir, &file, &format!("{owner}\n{name}\n"))? {
            return Ok(true);
        }
        // An attempt of the same container that was killed had got as far as this.
        Ok(self.owner(&file)?.is_some_and(|(known, _)| known == owner))
    }

    /// Gives an address back, if it is the container's.
    pub(crate) fn release(&self, address: IpAddr, owner: &str) -> Result<()> {
        let file = address.to_string();
        if self.owner(&file)?.is_some_and(|(known, _)| known == owner) {
            files::remove(&self.dir, &file)?;
            self.lower_cursor(address)?;
        }
        Ok(())
    }

    /// Gives back what belongs to containers that `is_live` does not know.
    pub(crate) fn sweep(&self, is_live: &dyn Fn(&str) -> bool) -> Result<()> {
        for file in files::list(&self.dir)? {
            let owner = self.owner(&file)?;
            if owner.is_none_or(|(owner, _)| !is_live(&owner)) {
                files::remove(&self.dir, &file)?;
                if let Ok(address) = file.parse() {
                    self.lower_cursor(address)?;
                }
            }
        }
        Ok(())
    }

    fn owner(&self, file: &str) -> Result<Option<(String, String)>> {
        owner_in(&self.dir, file)
    }

    fn cursor(&self, number: usize) -> u64 {
        let text = files::read(self.run, &cursor_name(number)).ok();
        let text = text.and_then(|text| String::from_utf8(text).ok());
        text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }

    /// Nobody reads a cursor while it is written.
    fn set_cursor(&self, number: usize, offset: u64) -> Result<()> {
        files::put(self.run, &cursor_name(number), format!("{offset:020}").as_bytes())
    }

    fn lower_cursor(&self, address: IpAddr) -> Result<()> {
        let all = self.network.subnets.iter().enumerate();
        for (number, subnet) in all {
            if let Some(offset) = subnet.subnet.number_of(address)
                && offset < self.cursor(number)
            {
                self.set_cursor(number, offset)?;
            }
        }
        Ok(())
    }
}

fn cursor_name(number: usize) -> String {
    format!("cursor.{number}")
}

/// Id and name of the container that an address was given to.
fn owner_in(leases: &Fd, file: &str) -> Result<Option<(String, String)>> {
    let text = match files::read(leases, file) {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) if error.kind() == Kind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut lines = text.lines();
    Ok(Some((lines.next().unwrap_or("").into(), lines.next().unwrap_or("").into())))
}

/// The same for those who do not hold the lock: name servers.
pub(crate) fn owner_of(run: &Fd, address: IpAddr) -> Result<Option<(String, String)>> {
    match files::open_dir(run, LEASES) {
        Ok(dir) => owner_in(&dir, &address.to_string()),
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The first and last address that may be given, counted from the subnet's own.
fn span(subnet: &Subnet) -> (u64, u64) {
    let net = subnet.subnet;
    let range = subnet.ip_range.unwrap_or(net);
    let first = net.number_of(range.at(0)).unwrap_or(0);
    let last = first.saturating_add(range.size() - 1);
    // Two addresses or one have no room for the subnet's own and a broadcast one.
    let (lowest, highest) = match net.size() {
        1 | 2 => (0, net.size() - 1),
        size if net.is_v6() => (1, size - 1),
        size => (1, size - 2),
    };
    (first.max(lowest), last.min(highest))
}

fn is_reserved(subnet: &Subnet, address: IpAddr) -> bool {
    let mut aux = subnet.aux.iter();
    let net = subnet.subnet;
    let is_own = net.size() > 2 && address == net.at(0);
    let is_broadcast = net.broadcast().is_some_and(|broadcast| IpAddr::V4(broadcast) == address);
    is_own
        || is_broadcast
        || subnet.gateway.is_some_and(|gateway| gateway.0 == address)
        || aux.any(|(_, ip)| ip.0 == address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Ip;
    use crate::testing::Temporary;

    fn network(subnets: &[(&str, &str, Option<&str>)]) -> Network {
        let subnet = |(net, gateway, range): &(&str, &str, Option<&str>)| Subnet {
            subnet: net.parse().unwrap(),
            gateway: Some(Ip(gateway.parse().unwrap())),
            ip_range: range.map(|range| range.parse().unwrap()),
            ..Subnet::default()
        };
        let subnets = subnets.iter().map(subnet).collect();
        Network { name: "n".into(), subnets, ..Network::default() }
    }

    fn take(leases: &Leases<'_>, owner: &str) -> Vec<String> {
        let taken = leases.take(&[], owner, owner).unwrap();
        taken.iter().map(IpAddr::to_string).collect()
    }

    #[test]
    fn the_lowest_free_address_of_each_kind_is_given() {
        let temporary = Temporary::new();
        let run = temporary.dir();
        let net = network(&[("172.17.0.0/16", "172.17.0.1", None), ("fd00::/64", "fd00::1", None)]);
        let leases = Leases::open(&run, &net).unwrap();
        assert_eq!(take(&leases, "a"), ["172.17.0.2", "fd00::2"]);
        assert_eq!(take(&leases, "b"), ["172.17.0.3", "fd00::3"]);
        leases.release("172.17.0.2".parse().unwrap(), "b").unwrap();
        assert_eq!(take(&leases, "c"), ["172.17.0.4", "fd00::4"], "not b's to give back");
        leases.release("172.17.0.2".parse().unwrap(), "a").unwrap();
        assert_eq!(take(&leases, "d"), ["172.17.0.2", "fd00::5"]);
        assert_eq!(take(&leases, "e"), ["172.17.0.5", "fd00::6"]);
        let found = leases.owner("172.17.0.5").unwrap();
        assert_eq!(found, Some(("e".into(), "e".into())));
    }

    #[test]
    fn wanted_addresses_are_given_once() {
        let temporary = Temporary::new();
        let run = temporary.dir();
        let mut net = network(&[("10.0.0.0/24", "10.0.0.1", Some("10.0.0.128/25"))]);
        net.subnets[0].aux.insert("router".into(), Ip("10.0.0.129".parse().unwrap()));
        let leases = Leases::open(&run, &net).unwrap();
        assert_eq!(take(&leases, "a"), ["10.0.0.128"]);
        assert_eq!(take(&leases, "b"), ["10.0.0.130"]);
        let want = |text: &str, owner: &str| leases.take(&[text.parse().unwrap()], owner, "x");
        assert_eq!(want("10.0.0.7", "c").unwrap().len(), 1);
        assert_eq!(want("10.0.0.7", "c").unwrap().len(), 1, "a second attempt");
        let check = |text: &str, kind: Kind, part: &str| {
            let error = want(text, "d").unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(part), "{error}");
        };
        check("10.0.0.7", Kind::InUse, "a container has it already");
        check("10.0.0.1", Kind::InUse, "not for containers");
        check("10.0.0.0", Kind::InUse, "not for containers");
        check("10.0.0.255", Kind::InUse, "not for containers");
        check("10.0.0.129", Kind::InUse, "not for containers");
        check("10.0.1.7", Kind::Invalid, "none of its subnets");
        check("fd00::1", Kind::Invalid, "none of its subnets");
    }

    #[test]
    fn a_full_network_says_so_and_takes_nothing() {
        let temporary = Temporary::new();
        let run = temporary.dir();
        let net = network(&[("fd00::/64", "fd00::1", None), ("10.0.0.0/29", "10.0.0.1", None)]);
        let leases = Leases::open(&run, &net).unwrap();
        for number in 0..5 {
            take(&leases, &format!("c{number}"));
        }
        let error = leases.take(&[], "x", "x").unwrap_err();
        assert_eq!(error.kind(), Kind::Limit);
        leases.release("10.0.0.6".parse().unwrap(), "c4").unwrap();
        assert_eq!(take(&leases, "y"), ["10.0.0.6", "fd00::7"]);
        leases.sweep(&|owner| owner == "c0").unwrap();
        assert_eq!(take(&leases, "z"), ["10.0.0.3", "fd00::3"]);
    }

    #[test]
    fn many_leases_do_not_make_the_next_one_slow() {
        let temporary = Temporary::new();
        let run = temporary.dir();
        let net = network(&[("10.0.0.0/16", "10.0.0.1", None)]);
        let leases = Leases::open(&run, &net).unwrap();
        (0..500).for_each(|number| drop(take(&leases, &number.to_string())));
        // A hole at the beginning, and then everything that is taken has to be passed by.
        leases.release("10.0.0.2".parse().unwrap(), "0").unwrap();
        assert_eq!(take(&leases, "x"), ["10.0.0.2"]);
        // Some of them take longer on a machine that does something else.
        let times = (246..254).map(|number| {
            let start = std::time::Instant::now();
            assert_eq!(take(&leases, &format!("y{number}")), [format!("10.0.1.{number}")]);
            start.elapsed()
        });
        let least = times.min().unwrap();
        assert!(least.as_millis() < 500, "{least:?}");
    }
}
