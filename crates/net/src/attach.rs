//! Containers come and go.

use crate::attachment::{self, AttachRequest, Attachment};
use crate::error::{During, Error, Kind, Result};
use crate::firewall::{self, Firewall, Target};
use crate::lease::Leases;
use crate::limits::RACES;
use crate::netlink::Socket;
use crate::networks::{Entered, Networks};
use crate::options::Options;
use crate::record::{Driver, Network};
use crate::{bridge, device};
use sys::Fd;

/// What came of [`Networks::attach`].
#[derive(Clone, Debug)]
pub struct Attached {
    /// The container in the network, as it is on disk.
    pub attachment: Attachment,
    /// What is not as it should be on this host, as sentences for its user.
    pub warnings: Vec<String>,
}

impl Networks {
    /// Makes a container part of a network: addresses, a device in its network namespace, routes, rules for its
    /// ports, names. After a failure nothing is left of it.
    pub fn attach(&self, network: &Network, request: &AttachRequest<'_>) -> Result<Attached> {
        attachment::check(request)?;
        let options = Options::of(network)?;
        // Without rules nothing gets in by ports, and nothing out.
        let alone = AttachRequest { ports: &[], default_route: false, ..request.clone() };
        let request = if self.has_rules() { request } else { &alone };
        if !self.has_rules() && network.driver != Driver::Bridge {
            let text = format!(
                "network {}: {} is made on a device of the host, which is root's",
                network.name, network.driver
            );
            return Err(Error::new(Kind::Unsupported, text).with_hint(
                "ordinary users have networks with a bridge: `tare network create NAME`",
            ));
        }
        match self.there(|| self.attach_in_steps(network, request, &options)) {
            Ok(attached) => Ok(attached),
            // Whose it is already, it stays.
            Err(error) if error.kind() == Kind::Exists => Err(error),
            Err(error) => {
                // What cannot be taken back now is found by a sweep.
                let _ = self.detach(network, request.container, Some(request.netns));
                Err(error)
            }
        }
    }

    fn attach_in_steps(
        &self,
        network: &Network,
        request: &AttachRequest<'_>,
        options: &Options,
    ) -> Result<Attached> {
        let socket = Socket::route().during(|| "opening rtnetlink".into())?;
        let interface = device::name(request, options)?;
        let entered = self.enter(network)?;
        if let Some(known) = entered.find(request.container)? {
            if known.whole {
                let text =
                    format!("container {} is in network {} already", request.name, network.name);
                return Err(Error::new(Kind::Exists, text));
            }
            self.detach_entered(&entered, &socket, &known, Devices::Removed(Some(request.netns)))?;
        }
        let mut attachment = plan(&entered, request, interface)?;
        let warnings = match network.driver {
            Driver::Bridge => {
                self.attach_to_bridge(&socket, entered, &attachment, request.netns, options)?
            }
            Driver::Macvlan | Driver::Ipvlan => {
                drop(entered);
                device::make_on_parent(&socket, network, &attachment, request.netns, options)?;
                Vec::new()
            }
        };
        device::configure(network, &attachment, request.netns, options, request.default_route)?;
        if network.driver == Driver::Bridge {
            device::settle_pair(&socket, network, &attachment)?;
        }
        let targets = bridge::targets(std::slice::from_ref(&attachment));
        if !targets.is_empty() {
            Firewall::open()?.add(&[], &targets)?;
            firewall::forget(request.ports);
        }
        attachment.whole = true;
        self.note(&attachment)?;
        Ok(Attached { attachment, warnings })
    }

    /// Makes bridge, rules and the pair of devices. The container's own record keeps the bridge from here on, as far as this
    /// store goes; that of another store, whose network has a bridge of the same name, may take an unused one away.
    fn attach_to_bridge<'n>(
        &self,
        socket: &Socket,
        entered: Entered<'n>,
        attachment: &Attachment,
        netns: &Fd,
        options: &Options,
    ) -> Result<Vec<String>> {
        let network = entered.network;
        let mut warnings = Vec::new();
        let mut entered = Some(entered);
        for _ in 0..RACES {
            let locked = entered.take().map_or_else(|| self.enter(network), Ok)?;
            let (index, more) = bridge::ensure(socket, options, &locked, &attachment.container)?;
            warnings.extend(more);
            drop(locked);
            match device::make_pair(socket, network, attachment, netns, index, options) {
                Err(_) if !bridge::is_there(socket, network, index)? => {}
                made => return made.map(|()| warnings),
            }
        }
        let text = format!("network {}: others take its bridge away again and again", network.name);
        Err(Error::new(Kind::Busy, text))
    }

    /// Takes a container out of a network: everything that [`Networks::attach`] has made goes, whether the container
    /// still exists or not. Its network namespace is needed only if it goes on without the network; otherwise the
    /// devices go with it, when the kernel gets round to that. What fails does not keep the rest from going; the first
    /// failure is returned, and another attempt is possible. A container that is not in the network is no failure.
    pub fn detach(&self, network: &Network, container: &str, netns: Option<&Fd>) -> Result<()> {
        attachment::check_container(container)?;
        if !self.may_have(network, container) {
            return Ok(());
        }
        let devices = netns.map_or(Devices::Abandoned, |netns| Devices::Removed(Some(netns)));
        self.there(|| {
            let socket = Socket::route().during(|| "opening rtnetlink".into())?;
            let entered = self.enter(network)?;
            let found = match entered.find(container) {
                // Unreadable, which only another version of the program can have made: found by its id.
                Err(error) if error.kind() == Kind::Invalid => Some(nameless(network, container)),
                found => found?,
            };
            found.map_or(Ok(()), |found| self.detach_entered(&entered, &socket, &found, devices))
        })
    }

    /// Takes those out of a network that `is_live` does not know by their ids: what killed processes have left. Without any
    /// container, bridge and rules go, too. Returns how many there were.
    pub fn sweep(&self, network: &Network, is_live: &dyn Fn(&str) -> bool) -> Result<usize> {
        if !self.was_used(network) {
            return Ok(0);
        }
        self.check_here()?;
        let socket = Socket::route().during(|| "opening rtnetlink".into())?;
        let entered = self.enter(network)?;
        let (mut count, mut first) = (0, Ok(()));
        for attachment in entered.attachments()? {
            if !is_live(&attachment.container) {
                count += 1;
                let gone =
                    self.detach_entered(&entered, &socket, &attachment, Devices::Removed(None));
                first = first.and(gone);
            }
        }
        let known = entered.attachments()?;
        let live = |id: &str| is_live(id) || known.iter().any(|one| one.container == id);
        first = first.and(Leases::open(&entered.run, network)?.sweep(&live));
        first = first.and(entered.forget_unfinished(&live));
        if network.driver == Driver::Bridge {
            let kernel = match entered.is_used()? {
                true => bridge::remove_strays(&socket, network, &known),
                false => bridge::remove(&socket, network, entered.has_rules),
            };
            first = first.and(kernel);
        }
        first.map(|()| count)
    }

    /// Leads what a container has no other way for through a network that it is in: after it has left the one through
    /// which that went. A default route that is there stays.
    pub fn route_through(&self, network: &Network, container: &str, netns: &Fd) -> Result<()> {
        let attachment = self.attachment(network, container)?;
        device::route(network, &attachment, netns, &Options::of(network)?)
    }

    /// Publishes ports of a container that is in a network, beside those that it has.
    pub fn publish(
        &self,
        network: &Network,
        container: &str,
        ports: &[crate::PortMapping],
    ) -> Result<()> {
        self.change_ports(network, container, |attachment| {
            attachment.ports.extend_from_slice(ports);
        })
    }

    /// Takes the published ports of a container back: they go with another network, or with nobody.
    pub fn unpublish(&self, network: &Network, container: &str) -> Result<()> {
        self.change_ports(network, container, |attachment| attachment.ports.clear())
    }

    fn change_ports(
        &self,
        network: &Network,
        container: &str,
        change: impl FnOnce(&mut Attachment),
    ) -> Result<()> {
        let entered = self.enter(network)?;
        let old = entered.find(container)?.ok_or_else(|| {
            let text = format!("container {container} is not in network {}", network.name);
            Error::new(Kind::NotFound, text)
        })?;
        let mut new = old.clone();
        change(&mut new);
        let firewall = Firewall::open()?;
        // First what is added, then what goes: the record knows of all of it at any time.
        let (before, after) = (std::slice::from_ref(&old), std::slice::from_ref(&new));
        let gone: Vec<Target<'_>> = bridge::targets(before)
            .into_iter()
            .filter(|target| !new.ports.contains(target.port))
            .collect();
        if gone.is_empty() {
            entered.note(&new)?;
            firewall.add(&[], &bridge::targets(after))?;
        } else {
            firewall.add(&[], &bridge::targets(after))?;
            firewall.remove_ports(&gone)?;
            entered.note(&new)?;
        }
        firewall::forget(&old.ports);
        firewall::forget(&new.ports);
        Ok(())
    }

    /// Makes rules again that somebody has taken away, of every network that containers are in. Returns warnings.
    pub fn reload(&self) -> Result<Vec<String>> {
        let (networks, _) = self.list()?;
        let (mut warnings, mut first) = (Vec::new(), Ok(()));
        for network in &networks {
            match self.reload_one(network) {
                Ok(mut more) => warnings.append(&mut more),
                Err(error) => first = first.and(Err(error)),
            }
        }
        first.map(|()| warnings)
    }

    /// The same of one network.
    pub fn reload_one(&self, network: &Network) -> Result<Vec<String>> {
        if network.driver != Driver::Bridge || !self.was_used(network) || !self.has_rules() {
            return Ok(Vec::new());
        }
        let socket = Socket::route().during(|| "opening rtnetlink".into())?;
        let entered = self.enter(network)?;
        let attachments = entered.attachments()?;
        if attachments.is_empty() {
            return Ok(Vec::new());
        }
        let options = Options::of(network)?;
        bridge::ensure(&socket, &options, &entered, "")?;
        // Networks whose own rules are there may still miss their ports'.
        Firewall::open()?
            .add(&[bridge::rules(network, &options)], &bridge::targets(&attachments))?;
        firewall::admit_everywhere(&network.interface)
    }
}

impl Networks {
    /// Takes back what the kernel has, and then what the books say. The second is done only if the first has succeeded,
    /// so that another attempt finds what is left.
    fn detach_entered(
        &self,
        entered: &Entered<'_>,
        socket: &Socket,
        attachment: &Attachment,
        devices: Devices<'_>,
    ) -> Result<()> {
        let network = entered.network;
        let targets = bridge::targets(std::slice::from_ref(attachment));
        let ports = match targets.is_empty() {
            true => Ok(()),
            false => Firewall::open().and_then(|firewall| {
                firewall.remove_ports(&targets).inspect(|()| self.keep(firewall))
            }),
        };
        let device = match (network.driver, devices) {
            // The kernel waits for its readers when a device goes: tens of milliseconds, for which nobody has to wait.
            (Driver::Bridge, Devices::Abandoned) => {
                device::silence(socket, &attachment.host_interface)
            }
            (Driver::Bridge, Devices::Removed(_)) => {
                device::remove_pair(socket, &attachment.host_interface)
            }
            (driver, Devices::Removed(Some(netns))) => {
                device::remove_inside(netns, &attachment.interface, driver)
            }
            (_, Devices::Abandoned | Devices::Removed(None)) => Ok(()),
        };
        firewall::forget(&attachment.ports);
        ports.and(device)?;
        let leases = Leases::open(&entered.run, network)?;
        let mut first = Ok(());
        for address in &attachment.addresses {
            first = first.and(leases.release(address.address(), &attachment.container));
        }
        first.and(entered.forget(attachment))
    }
}

/// Takes addresses and writes down what is going to be made.
fn plan(
    entered: &Entered<'_>,
    request: &AttachRequest<'_>,
    interface: String,
) -> Result<Attachment> {
    let network = entered.network;
    let leases = Leases::open(&entered.run, network)?;
    let taken = leases.take(request.addresses, request.container, request.name)?;
    let (addresses, gateways) = device::placed(network, &taken);
    let attachment = Attachment {
        network: network.name.clone(),
        network_id: network.id.clone(),
        container: request.container.into(),
        name: request.name.into(),
        aliases: request.aliases.to_vec(),
        interface,
        host_interface: match network.driver {
            Driver::Bridge => device::host_name(network, request.container),
            Driver::Macvlan | Driver::Ipvlan => String::new(),
        },
        mac: device::mac(request, &taken).map(|mac| mac.to_string()).unwrap_or_default(),
        addresses,
        gateways,
        link_local: request.link_local.iter().filter_map(|ip| device::link_local(*ip)).collect(),
        ports: request.ports.to_vec(),
        whole: false,
    };
    entered.note(&attachment)?;
    entered.announce(&attachment)?;
    Ok(attachment)
}

/// What is known of a container whose record cannot be read.
fn nameless(network: &Network, container: &str) -> Attachment {
    Attachment {
        network: network.name.clone(),
        container: container.into(),
        host_interface: match network.driver {
            Driver::Bridge => device::host_name(network, container),
            Driver::Macvlan | Driver::Ipvlan => String::new(),
        },
        ..Attachment::default()
    }
}

/// What becomes of a container's devices.
#[derive(Clone, Copy)]
enum Devices<'a> {
    /// They go with their namespace, which nobody needs any more. Until then they are silent: somebody else may get
    /// the addresses.
    Abandoned,
    /// They go now. The namespace is needed where there is no pair.
    Removed(Option<&'a Fd>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NetworkSpec, Places, PortMapping, Protocol};
    use std::time::Instant;

    const CONTAINERS: u16 = 1000;
    const SOME: usize = 10;
    const MANY: usize = 100;

    /// Everything but the device, whose price is the kernel's: books, the look at the bridge, a rule.
    #[test]
    fn the_thousandth_container_takes_no_longer_than_the_tenth() {
        let test = "the_thousandth_container_takes_no_longer_than_the_tenth";
        let Some(host) = private_net::Host::new(test) else { return };
        let temporary = crate::testing::Temporary::in_memory();
        let places =
            Places { records: temporary.path().join("r"), run: temporary.path().join("x") };
        let networks = Networks::open(&places).unwrap();
        let spec = NetworkSpec { name: "n".into(), ..NetworkSpec::default() };
        let network = networks.create(&spec).unwrap();
        let options = Options::of(&network).unwrap();
        let (socket, netns) = (Socket::route().unwrap(), host.container());
        let mut times = Vec::new();
        for number in 0..CONTAINERS {
            let port = PortMapping {
                host_ip: crate::Ip("0.0.0.0".parse().unwrap()),
                host_port: 20_000 + number,
                container_port: 80,
                protocol: Protocol::Tcp,
            };
            let id = format!("c{number}");
            let request = AttachRequest {
                container: &id,
                name: &id,
                aliases: &[],
                netns: &netns,
                interface: Some("eth0"),
                devices: Some(&[]),
                addresses: &[],
                link_local: &[],
                mac: None,
                ports: std::slice::from_ref(&port),
                default_route: true,
            };
            let start = Instant::now();
            let entered = networks.enter(&network).unwrap();
            let mut attachment = plan(&entered, &request, "eth0".into()).unwrap();
            bridge::ensure(&socket, &options, &entered, &id).unwrap();
            drop(entered);
            let targets = bridge::targets(std::slice::from_ref(&attachment));
            Firewall::open().unwrap().add(&[], &targets).unwrap();
            attachment.whole = true;
            networks.note(&attachment).unwrap();
            times.push(start.elapsed().as_micros());
        }
        // The rest is what else the machine does.
        let least = |part: &[u128]| part.iter().copied().min().unwrap();
        // Not the very first: it makes the bridge and the table.
        let (tenth, last) = (least(&times[1..=SOME]), least(&times[times.len() - MANY..]));
        let said = format!("{tenth} us with ten containers, {last} us with {CONTAINERS}");
        assert!(last < 5 * tenth + 2000, "{said}");
        assert_eq!(networks.attachments(&network).unwrap().len(), usize::from(CONTAINERS));
    }
}
