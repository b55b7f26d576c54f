//! Containers come and go.

use crate::attachment::{self, AttachRequest, Attachment};
use crate::error::{During, Error, Kind, Result};
use crate::firewall::{self, Firewall, Target};
use crate::lease::Leases;
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
        match self.attach_in_steps(network, request, &options) {
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
            let (failed, forgotten) =
                detach_entered(&entered, &socket, &known, Some(request.netns), None);
            failed.and(forgotten)?;
        }
        let mut attachment = plan(&entered, request, interface)?;
        let (mut bridge_index, mut warnings) = (0, Vec::new());
        if network.driver == Driver::Bridge {
            let all = entered.attachments()?;
            (bridge_index, warnings) = bridge::ensure(&socket, network, options, &all)?;
        }
        // From here on the container's own record keeps the bridge.
        drop(entered);
        match network.driver {
            Driver::Bridge => {
                device::make_pair(
                    &socket,
                    network,
                    &attachment,
                    request.netns,
                    bridge_index,
                    options,
                )?;
            }
            Driver::Macvlan | Driver::Ipvlan => {
                device::make_on_parent(&socket, network, &attachment, request.netns, options)?;
            }
        }
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

    /// Takes a container out of a network: everything that [`Networks::attach`] has made goes, whether the container
    /// still exists or not; its network namespace is needed only if it goes on without the network. What fails does
    /// not keep the rest from going; the first failure is returned, and another attempt is possible. A container
    /// that is not in the network is no failure.
    pub fn detach(&self, network: &Network, container: &str, netns: Option<&Fd>) -> Result<()> {
        attachment::check_container(container)?;
        let options = Options::of(network)?;
        let socket = Socket::route().during(|| "opening rtnetlink".into())?;
        let entered = self.enter(network)?;
        let found = match entered.find(container) {
            // Unreadable, which only another version of the program can have made: found by its id.
            Err(error) if error.kind() == Kind::Invalid => Some(nameless(network, container)),
            found => found?,
        };
        match found {
            None => remove_if_unused(&entered, &socket, &options),
            Some(found) => {
                let is_last = entered.is_only(container)?;
                let last = (is_last && network.driver == Driver::Bridge).then_some(&options);
                let (failed, forgotten) = detach_entered(&entered, &socket, &found, netns, last);
                failed.and(forgotten)
            }
        }
    }

    /// Takes those out of a network that `is_live` does not know by their ids: what killed processes have left.
    /// Returns how many there were.
    pub fn sweep(&self, network: &Network, is_live: &dyn Fn(&str) -> bool) -> Result<usize> {
        let options = Options::of(network)?;
        let socket = Socket::route().during(|| "opening rtnetlink".into())?;
        let entered = self.enter(network)?;
        let (mut count, mut first) = (0, Ok(()));
        for attachment in entered.attachments()? {
            if !is_live(&attachment.container) {
                count += 1;
                let (failed, forgotten) =
                    detach_entered(&entered, &socket, &attachment, None, None);
                first = first.and(failed).and(forgotten);
            }
        }
        let known = entered.attachments()?;
        let live = |id: &str| is_live(id) || known.iter().any(|one| one.container == id);
        first = first.and(Leases::open(&entered.run, network)?.sweep(&live));
        first = first.and(entered.forget_unfinished(&live));
        first.and(remove_if_unused(&entered, &socket, &options)).map(|()| count)
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
        let socket = Socket::route().during(|| "opening rtnetlink".into())?;
        let (mut warnings, mut first) = (Vec::new(), Ok(()));
        for network in networks.iter().filter(|network| network.driver == Driver::Bridge) {
            let reloaded = self.enter(network).and_then(|entered| {
                let attachments = entered.attachments()?;
                if attachments.is_empty() {
                    return Ok(Vec::new());
                }
                let options = Options::of(network)?;
                bridge::ensure(&socket, network, &options, &attachments)?;
                // Networks whose own rules are there may still miss their ports'.
                Firewall::open()?
                    .add(&[bridge::rules(network, &options)], &bridge::targets(&attachments))?;
                crate::firewall::admit(&network.interface)
            });
            match reloaded {
                Ok(mut more) => warnings.append(&mut more),
                Err(error) => first = first.and(Err(error)),
            }
        }
        first.map(|()| warnings)
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

/// Takes back what the kernel has, and then what the books say; the last container takes the bridge along, whose options
/// are `last` then. The second is done only if the first has succeeded,
/// so that another attempt finds what is left.
fn detach_entered(
    entered: &Entered<'_>,
    socket: &Socket,
    attachment: &Attachment,
    netns: Option<&Fd>,
    last: Option<&Options>,
) -> (Result<()>, Result<()>) {
    let network = entered.network;
    let targets = bridge::targets(std::slice::from_ref(attachment));
    let ports = match targets.is_empty() {
        true => Ok(()),
        false => Firewall::open().and_then(|firewall| firewall.remove_ports(&targets)),
    };
    let device = match (network.driver, netns) {
        (Driver::Bridge, _) if last.is_some() => {
            last.map_or(Ok(()), |options| bridge::remove(socket, network, options))
        }
        (Driver::Bridge, _) => device::remove_pair(socket, &attachment.host_interface),
        (driver, Some(netns)) => device::remove_inside(netns, &attachment.interface, driver),
        // It goes with its namespace.
        (_, None) => Ok(()),
    };
    firewall::forget(&attachment.ports);
    let kernel = ports.and(device);
    if kernel.is_err() {
        return (kernel, Ok(()));
    }
    (kernel, forget(entered, attachment))
}

fn forget(entered: &Entered<'_>, attachment: &Attachment) -> Result<()> {
    let leases = Leases::open(&entered.run, entered.network)?;
    let mut first = Ok(());
    for address in &attachment.addresses {
        first = first.and(leases.release(address.address(), &attachment.container));
    }
    first.and(entered.forget(attachment))
}

/// The last one takes the bridge along.
fn remove_if_unused(entered: &Entered<'_>, socket: &Socket, options: &Options) -> Result<()> {
    if entered.network.driver != Driver::Bridge || entered.is_used()? {
        return Ok(());
    }
    bridge::remove(socket, entered.network, options)
}
