//! Making networks: what is asked for is checked, and what is not said is chosen.

use crate::address::{Cidr, Ip};
use crate::error::{During, Error, Kind, Result};
use crate::limits::NETWORKS;
use crate::netlink::Socket;
use crate::networks::Networks;
use crate::options::Options;
use crate::record::{self, DEFAULT, Driver, Network, Subnet};
use oci::Map;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The bridge of the default network.
const DEFAULT_BRIDGE: &str = "tare0";
/// Networks of IPv4 are at most this small: the network's own address, a gateway, a container, and all of them.
const LONGEST_PREFIX_V4: u8 = 30;
const LONGEST_PREFIX_V6: u8 = 126;

/// What `network create` says.
#[derive(Clone, Debug, Default)]
pub struct NetworkSpec {
    /// Its name.
    pub name: String,
    /// What connects its containers.
    pub driver: Driver,
    /// `--subnet`; none: one that nothing on the host overlaps.
    pub subnets: Vec<Cidr>,
    /// `--gateway`, each in one of the subnets; none: the first address.
    pub gateways: Vec<IpAddr>,
    /// `--ip-range`, each in one of the subnets.
    pub ip_ranges: Vec<Cidr>,
    /// `--aux-address`
    pub aux_addresses: Vec<(String, IpAddr)>,
    /// No way out.
    pub internal: bool,
    /// With a subnet of IPv6, which is chosen if none is given.
    pub ipv6: bool,
    /// Without one of IPv4, if none is given: `--ipv4=false`.
    pub no_ipv4: bool,
    /// Accepted for docker's sake: every network is.
    pub attachable: bool,
    /// Containers do not find each other by name.
    pub no_dns: bool,
    /// `-o`
    pub options: Map,
    /// `--ipam-opt`
    pub ipam_options: Map,
    /// `--label`
    pub labels: Map,
}

impl Networks {
    /// Makes a network.
    pub fn create(&self, spec: &NetworkSpec) -> Result<Network> {
        record::check_new_name(&spec.name)?;
        self.create_any(spec)
    }

    /// The network that containers are in when nothing is said.
    pub(crate) fn create_default(&self) -> Result<Network> {
        let spec = NetworkSpec { name: DEFAULT.into(), no_dns: true, ..NetworkSpec::default() };
        match self.create_any(&spec) {
            // Somebody else was faster.
            Err(error) if error.kind() == Kind::Exists => self.get(DEFAULT),
            result => result,
        }
    }

    fn create_any(&self, spec: &NetworkSpec) -> Result<Network> {
        let about = |error: Error| error.about(format_args!("network {}", spec.name));
        let _guard = self.lock()?;
        let (known, _) = self.list()?;
        if known.iter().any(|network| network.name == spec.name) {
            return Err(Error::new(Kind::Exists, format!("network {} exists already", spec.name)));
        }
        if known.len() >= NETWORKS {
            return Err(Error::new(Kind::Limit, format!("there are {NETWORKS} networks already")));
        }
        let id = new_id()?;
        let time = sys::time::now();
        let mut network = Network {
            version: record::VERSION,
            name: spec.name.clone(),
            id: id.clone(),
            driver: spec.driver,
            interface: String::new(),
            subnets: Vec::new(),
            internal: spec.internal,
            ipv6: spec.ipv6,
            attachable: spec.attachable,
            dns: !spec.no_dns,
            options: spec.options.clone(),
            ipam_options: spec.ipam_options.clone(),
            labels: spec.labels.clone(),
            created_s: time.seconds,
            created_ns: time.nanos,
        };
        network.subnets = subnets(spec, &known, &id).map_err(about)?;
        network.ipv6 |= network.subnets.iter().any(|subnet| subnet.subnet.is_v6());
        let options = Options::of(&network).map_err(about)?;
        network.interface = interface(&network, &options, &known).map_err(about)?;
        let network = network.check()?;
        self.write(&network)?;
        Ok(network)
    }
}

fn new_id() -> Result<String> {
    let mut bytes = [0; 32];
    sys::time::random(&mut bytes).during(|| "asking for a random number".into())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The bridge, whose name nobody else's has, or the parent device.
fn interface(network: &Network, options: &Options, known: &[Network]) -> Result<String> {
    let is_bridge = network.driver == Driver::Bridge;
    match &options.interface {
        Some(name) => {
            let same =
                |other: &&Network| other.driver == Driver::Bridge && other.interface == *name;
            match known.iter().find(same) {
                Some(other) if is_bridge => Err(Error::new(
                    Kind::InUse,
                    format!("bridge {name} is network {}'s", other.name),
                )),
                _ => Ok(name.clone()),
            }
        }
        None if network.name == DEFAULT => Ok(DEFAULT_BRIDGE.into()),
        None if is_bridge => Ok(format!("tare-{}", &network.id[..10])),
        // The device of the default route, when the first container comes.
        None => Ok(String::new()),
    }
}

/// The subnets as they were asked for, with gateways, or new ones.
fn subnets(spec: &NetworkSpec, known: &[Network], id: &str) -> Result<Vec<Subnet>> {
    let mut subnets: Vec<Subnet> = Vec::new();
    for cidr in &spec.subnets {
        check_subnet(*cidr, spec.driver)?;
        if let Some(other) = subnets.iter().find(|other| other.subnet.overlaps(*cidr)) {
            return Err(Error::invalid(format!("subnets {} and {cidr} overlap", other.subnet)));
        }
        if let Some(other) = overlapping(known, *cidr) {
            let text = format!("subnet {cidr} overlaps that of network {}", other.name);
            return Err(
                Error::new(Kind::InUse, text).with_hint("without --subnet a free one is chosen")
            );
        }
        subnets.push(Subnet { subnet: *cidr, ..Subnet::default() });
    }
    let has = |subnets: &[Subnet], is_v6: bool| subnets.iter().any(|s| s.subnet.is_v6() == is_v6);
    if !spec.no_ipv4 && !has(&subnets, false) {
        let subnet = free_v4(known, spec.name == DEFAULT)?;
        subnets.push(Subnet { subnet, ..Subnet::default() });
    }
    if spec.ipv6 && !has(&subnets, true) {
        let subnet = free_v6(known, id)?;
        subnets.push(Subnet { subnet, ..Subnet::default() });
    }
    if subnets.is_empty() {
        return Err(Error::invalid("neither IPv4 nor IPv6 is wanted"));
    }
    place(spec, &mut subnets)?;
    Ok(subnets)
}

/// Puts gateways, ranges and other addresses into the subnets that they belong to.
fn place(spec: &NetworkSpec, subnets: &mut [Subnet]) -> Result<()> {
    let lost = |what: &str, address: &dyn std::fmt::Display| {
        Error::invalid(format!("{what} {address} is in none of the subnets"))
    };
    for range in &spec.ip_ranges {
        let of = subnets.iter_mut().find(|s| s.subnet.holds(range.network()));
        let subnet = of.ok_or_else(|| lost("range", range))?;
        if subnet.ip_range.replace(range.network()).is_some() {
            return Err(Error::invalid(format!("subnet {} has two ranges", subnet.subnet)));
        }
    }
    for gateway in &spec.gateways {
        let of = subnets.iter_mut().find(|s| s.subnet.contains(*gateway));
        let subnet = of.ok_or_else(|| lost("gateway", gateway))?;
        if subnet.gateway.replace(Ip(*gateway)).is_some() {
            return Err(Error::invalid(format!("subnet {} has two gateways", subnet.subnet)));
        }
    }
    for (name, address) in &spec.aux_addresses {
        let of = subnets.iter_mut().find(|s| s.subnet.contains(*address));
        of.ok_or_else(|| lost("address", address))?.aux.insert(name.clone(), Ip(*address));
    }
    for subnet in subnets.iter_mut().filter(|subnet| subnet.gateway.is_none()) {
        // The first address, as with podman, whatever is given to containers; nothing looks for it elsewhere.
        let taken = |ip: IpAddr| subnet.aux.iter().any(|(_, aux)| aux.0 == ip);
        let all = (1..subnet.subnet.size()).map(|number| subnet.subnet.at(number));
        let free = all.take(subnet.aux.len() + 1).find(|ip| !taken(*ip));
        subnet.gateway = free.map(Ip);
    }
    Ok(())
}

fn check_subnet(cidr: Cidr, driver: Driver) -> Result<()> {
    if !cidr.is_network() {
        return Err(Error::invalid(format!("subnet {cidr} has bits behind its prefix"))
            .with_hint(format!("{} is the network that it is in", cidr.network())));
    }
    let longest = if cidr.is_v6() { LONGEST_PREFIX_V6 } else { LONGEST_PREFIX_V4 };
    if cidr.prefix() > longest && driver == Driver::Bridge {
        let text = format!("subnet {cidr} is too small for a gateway and a container");
        return Err(Error::invalid(text).with_hint(format!("/{longest} is the smallest")));
    }
    let unusable = match cidr.address() {
        IpAddr::V4(address) => address.is_loopback() || address.is_multicast(),
        IpAddr::V6(address) => address.is_loopback() || address.is_multicast(),
    };
    match unusable || cidr.prefix() == 0 {
        true => Err(Error::invalid(format!("subnet {cidr} is not for containers"))),
        false => Ok(()),
    }
}

fn overlapping(known: &[Network], cidr: Cidr) -> Option<&Network> {
    let mut of = known.iter().filter(|other| other.driver == Driver::Bridge);
    of.find(|other| other.subnets.iter().any(|subnet| subnet.subnet.overlaps(cidr)))
}

/// What the host knows a way to, and what other networks have.
fn taken(known: &[Network]) -> Result<Vec<Cidr>> {
    let attempt = || "looking at the host's routes".to_owned();
    let socket = Socket::route().during(attempt)?;
    let mut taken = socket.routes().during(attempt)?;
    taken.extend(socket.addresses().during(attempt)?.into_iter().map(|(_, cidr)| cidr.network()));
    taken.extend(known.iter().flat_map(|network| &network.subnets).map(|subnet| subnet.subnet));
    Ok(taken)
}

/// docker's pools in docker's order, and then small ones, of which there are many.
fn pools() -> impl Iterator<Item = Cidr> {
    let make =
        |a: u8, b: u8, c: u8, prefix: u8| Cidr::new(Ipv4Addr::new(a, b, c, 0).into(), prefix);
    let large = (17..=31).filter_map(move |b| make(172, b, 0, 16));
    let middle = (0..16).filter_map(move |c| make(192, 168, c * 16, 20));
    let small = (100..=255).flat_map(move |b| (0..=255).filter_map(move |c| make(10, b, c, 24)));
    large.chain(middle).chain(small)
}

fn free_v4(known: &[Network], is_default: bool) -> Result<Cidr> {
    let taken = taken(known)?;
    // The first one is where scripts expect the default network.
    let mut pools = pools().skip(usize::from(!is_default));
    let free = pools.find(|pool| !taken.iter().any(|cidr| cidr.overlaps(*pool)));
    free.ok_or_else(|| {
        Error::new(Kind::Limit, "no subnet is free that the host has no route into")
            .with_hint("choose one with --subnet")
    })
}

/// A local network (RFC 4193) made of the random id: nobody else has it.
fn free_v6(known: &[Network], id: &str) -> Result<Cidr> {
    let taken = taken(known)?;
    let digits =
        |from: usize| u64::from_str_radix(id.get(from..from + 14).unwrap_or("0"), 16).unwrap_or(0);
    for from in 0..=id.len().saturating_sub(14) {
        // fd, 40 bits of the site and 16 of its subnet, from 56 random ones.
        let high = 0xfd << 56 | digits(from);
        let address = Ipv6Addr::from_bits(u128::from(high) << 64);
        if let Some(cidr) = Cidr::new(address.into(), 64)
            && !taken.iter().any(|other| other.overlaps(cidr))
        {
            return Ok(cidr);
        }
    }
    Err(Error::new(Kind::Limit, "no subnet of IPv6 is free").with_hint("choose one with --subnet"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks::Places;
    use crate::testing::Temporary;

    fn networks(temporary: &Temporary) -> Networks {
        let places =
            Places { records: temporary.path().join("r"), run: temporary.path().join("x") };
        Networks::open(&places).unwrap()
    }

    fn spec(name: &str, subnets: &[&str]) -> NetworkSpec {
        let subnets = subnets.iter().map(|text| text.parse().unwrap()).collect();
        NetworkSpec { name: name.into(), subnets, ..NetworkSpec::default() }
    }

    #[test]
    fn networks_are_made_found_and_removed() {
        let temporary = Temporary::new();
        let networks = networks(&temporary);
        let made = networks.create(&NetworkSpec { ipv6: true, ..spec("web", &[]) }).unwrap();
        assert_eq!((made.subnets.len(), made.id.len()), (2, 64));
        assert!(made.subnets[1].subnet.to_string().starts_with("fd"));
        let gateway = made.subnets[0].gateway.unwrap().0;
        assert_eq!(gateway, made.subnets[0].subnet.at(1));
        assert_eq!(made.interface, format!("tare-{}", &made.id[..10]));
        for name in ["web", &made.id, &made.id[..6]] {
            assert_eq!(networks.get(name).unwrap(), made, "{name}");
        }
        let twice = networks.create(&spec("web", &[])).unwrap_err();
        assert_eq!(twice.kind(), Kind::Exists);
        let other = networks.create(&spec("other", &[])).unwrap();
        assert!(!other.subnets[0].subnet.overlaps(made.subnets[0].subnet));
        assert_eq!(networks.list().unwrap().0.len(), 2);
        networks.remove(&made.id[..8]).unwrap();
        assert_eq!(networks.get("web").unwrap_err().kind(), Kind::NotFound);
        assert_eq!(networks.remove("web").unwrap_err().kind(), Kind::NotFound);
    }

    #[test]
    fn the_default_network_is_there_when_it_is_asked_for() {
        let temporary = Temporary::new();
        let networks = networks(&temporary);
        assert!(networks.list().unwrap().0.is_empty());
        let first = networks.get("podman").unwrap();
        assert_eq!((first.name.as_str(), first.interface.as_str()), ("bridge", "tare0"));
        assert_eq!(networks.get("bridge").unwrap(), first);
        assert_eq!(networks.get("default").unwrap(), first);
        let error = networks.remove("bridge").unwrap_err();
        assert!(error.to_string().contains("pre-defined"), "{error}");
        for name in ["bridge", "host", "none", "default", "container", "a/b", "", ".x", "-x"] {
            assert!(networks.create(&spec(name, &[])).is_err(), "{name}");
        }
    }

    #[test]
    fn addresses_go_to_the_subnets_that_they_are_in() {
        let temporary = Temporary::new();
        let networks = networks(&temporary);
        let mut wanted = spec("a", &["10.9.0.0/16", "fd00:9::/64"]);
        wanted.gateways = vec!["fd00:9::9".parse().unwrap()];
        wanted.ip_ranges = vec!["10.9.8.0/24".parse().unwrap()];
        wanted.aux_addresses = vec![("x".into(), "10.9.8.0".parse().unwrap())];
        let made = networks.create(&wanted).unwrap();
        assert_eq!(made.subnets[0].gateway.unwrap().to_string(), "10.9.0.1");
        assert_eq!(made.subnets[1].gateway.unwrap().to_string(), "fd00:9::9");
        assert!(made.ipv6);
        let check = |change: &dyn Fn(&mut NetworkSpec), part: &str| {
            let mut wanted = spec("b", &["10.10.0.0/24"]);
            change(&mut wanted);
            let error = networks.create(&wanted).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        };
        check(&|s| s.gateways = vec!["10.11.0.1".parse().unwrap()], "in none of the subnets");
        check(&|s| s.ip_ranges = vec!["10.10.0.0/16".parse().unwrap()], "in none of the subnets");
        check(&|s| s.subnets = vec!["10.10.0.1/24".parse().unwrap()], "bits behind its prefix");
        check(&|s| s.subnets = vec!["10.10.0.0/31".parse().unwrap()], "too small");
        check(&|s| s.subnets = vec!["127.0.0.0/16".parse().unwrap()], "not for containers");
        check(
            &|s| s.subnets = vec!["10.9.128.0/24".parse().unwrap()],
            "overlaps that of network a",
        );
        check(&|s| s.subnets.push("10.10.0.0/25".parse().unwrap()), "overlap");
        check(&|s| s.options.insert("x".into(), "y".into()), "network b: option x=y");
        let bridge = |s: &mut NetworkSpec| {
            s.options.insert("com.docker.network.bridge.name".into(), made.interface.clone());
        };
        check(&bridge, "is network a's");
    }

    #[test]
    fn damaged_records_are_told_and_do_not_hide_others() {
        let temporary = Temporary::new();
        let networks = networks(&temporary);
        networks.create(&spec("a", &[])).unwrap();
        std::fs::write(temporary.path().join("r/b.json"), "{").unwrap();
        let (list, errors) = networks.list().unwrap();
        assert_eq!((list.len(), errors.len()), (1, 1));
        assert!(errors[0].to_string().starts_with("network b: "), "{}", errors[0]);
        assert_eq!(networks.get("b").unwrap_err().kind(), Kind::Invalid);
    }

    #[test]
    fn pools_are_many_and_do_not_overlap() {
        let all: Vec<Cidr> = pools().collect();
        assert!(all.len() > 39_000);
        assert!(all.windows(2).all(|pair| !pair[0].overlaps(pair[1])));
        assert_eq!(all[0].to_string(), "172.17.0.0/16");
    }
}
