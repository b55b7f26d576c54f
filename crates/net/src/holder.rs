//! Ports of the host, taken for a container.
//!
//! Rules send connections to a container before any socket of the host sees them; so nobody would notice that two
//! want the same port. Therefore each published port is also a bound socket, which whoever runs the container keeps.
//! It does not listen: what no rule takes away, such as a connection to `[::1]`, is refused at once, as if nobody were
//! there, instead of waiting for ever.

use crate::address::Ip;
use crate::error::{Error, Kind, Result};
use crate::limits::PORTS;
use crate::ports::{HostPort, PortMapping, PortSpec, Protocol};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use sys::inet::{self, Transport};
use sys::{Errno, Fd};

/// How often another port is tried that has to be free for IPv4 and IPv6.
const ANY_TRIES: u32 = 64;

/// Ports of the host that nobody else gets as long as this is there. A child of the process keeps them, too.
#[derive(Debug, Default)]
pub struct PortHolder {
    sockets: Vec<Fd>,
}

/// Which addresses a container has, and where its ports are published if nothing is said.
#[derive(Clone, Copy, Debug)]
pub struct Publishing {
    /// It has an address of IPv4.
    pub v4: bool,
    /// It has an address of IPv6.
    pub v6: bool,
    /// `com.docker.network.bridge.host_binding_ipv4`
    pub default_ip: Option<IpAddr>,
}

impl PortHolder {
    /// Takes ports of the calling thread's network namespace. One that somebody has is [`Kind::InUse`]; nothing is taken
    /// then.
    pub fn reserve(specs: &[PortSpec], publishing: Publishing) -> Result<(Self, Vec<PortMapping>)> {
        let mut holder = Self::default();
        let mut mappings = Vec::new();
        if specs.len() > PORTS {
            return Err(Error::new(Kind::Limit, format!("publishing more than {PORTS} ports")));
        }
        for spec in specs {
            let same = |known: &PortMapping| {
                let exactly = spec.host_port == HostPort::Exactly(known.host_port);
                exactly
                    && known.protocol == spec.protocol
                    && known.container_port == spec.container_port
                    && spec.host_ip.is_none_or(|ip| ip == known.host_ip.0)
            };
            // The same thing said twice is said once.
            if mappings.iter().any(same) {
                continue;
            }
            holder.reserve_one(spec, &hosts(spec, publishing)?, &mut mappings)?;
        }
        Ok((holder, mappings))
    }

    /// Whether any port is held.
    pub fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// The sockets, for a process that gets them from another one.
    pub fn into_sockets(self) -> Vec<Fd> {
        self.sockets
    }

    /// What [`PortHolder::into_sockets`] gave.
    pub fn from_sockets(sockets: Vec<Fd>) -> Self {
        Self { sockets }
    }

    fn reserve_one(
        &mut self,
        spec: &PortSpec,
        hosts: &[IpAddr],
        mappings: &mut Vec<PortMapping>,
    ) -> Result<()> {
        let (port, sockets) = match spec.host_port {
            HostPort::Exactly(port) => {
                let sockets = bind_all(hosts, port, spec.protocol);
                (port, sockets.map_err(|(ip, errno)| refused(ip, port, spec.protocol, errno))?)
            }
            HostPort::OneOf(first, last) => {
                let mut failed = None;
                let mut bind = |port: u16| match bind_all(hosts, port, spec.protocol) {
                    Ok(sockets) => Some((port, sockets)),
                    Err(error) => {
                        failed = Some((port, error));
                        None
                    }
                };
                match (first..=last).find_map(&mut bind) {
                    Some(found) => found,
                    None => {
                        let (port, (ip, errno)) =
                            failed.unwrap_or((last, (hosts[0], Errno::EADDRINUSE)));
                        return Err(refused(ip, port, spec.protocol, errno)
                            .about(format_args!("all of the ports {first}-{last}")));
                    }
                }
            }
            HostPort::Any => bind_any(hosts, spec.protocol)?,
        };
        self.sockets.extend(sockets);
        mappings.extend(hosts.iter().map(|ip| PortMapping {
            host_ip: Ip(*ip),
            host_port: port,
            container_port: spec.container_port,
            protocol: spec.protocol,
        }));
        Ok(())
    }
}

/// The addresses of the host that a port is published at.
fn hosts(spec: &PortSpec, publishing: Publishing) -> Result<Vec<IpAddr>> {
    let all_v6 = IpAddr::from(Ipv6Addr::UNSPECIFIED);
    let given = spec.host_ip.or(publishing.default_ip.filter(|ip| !ip.is_unspecified()));
    let hosts: Vec<IpAddr> = match given {
        Some(ip) => vec![ip],
        None => {
            let v4 = publishing.v4.then_some(IpAddr::from(Ipv4Addr::UNSPECIFIED));
            v4.into_iter().chain(publishing.v6.then_some(all_v6)).collect()
        }
    };
    let fits = |ip: &IpAddr| if ip.is_ipv4() { publishing.v4 } else { publishing.v6 };
    let hosts: Vec<IpAddr> = hosts.into_iter().filter(fits).collect();
    match (hosts.is_empty(), given) {
        (false, _) => Ok(hosts),
        (true, Some(ip)) => {
            let kind = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
            let text = format!(
                "publishing port {} at {ip}: the container has no address of {kind}",
                spec.container_port
            );
            Err(Error::new(Kind::Unsupported, text)
                .with_hint("a network that is made with --ipv6 has addresses of both kinds"))
        }
        (true, None) => {
            let text = format!(
                "publishing port {}: the container has no network of its own",
                spec.container_port
            );
            Err(Error::new(Kind::Unsupported, text).with_hint("--network bridge is one"))
        }
    }
}

/// docker's sentence.
fn refused(ip: IpAddr, port: u16, protocol: Protocol, errno: Errno) -> Error {
    let place = SocketAddr::new(ip, port);
    match errno {
        Errno::EADDRINUSE => {
            let text = format!("Bind for {place} failed: port is already allocated");
            let flag = if protocol == Protocol::Udp { "u" } else { "t" };
            Error::new(Kind::InUse, text)
                .with_hint(format!("`ss -{flag}lnp 'sport = {port}'` or `tare ps` show who has it"))
        }
        Errno::EADDRNOTAVAIL => Error::os(format!("publishing {place}/{protocol}"), errno)
            .with_hint("the host has no such address"),
        Errno::EACCES | Errno::EPERM => Error::os(format!("publishing {place}/{protocol}"), errno)
            .with_hint("ports below net.ipv4.ip_unprivileged_port_start need root"),
        errno => Error::os(format!("publishing {place}/{protocol}"), errno),
    }
}

/// Binds a port at several addresses, or at none of them.
fn bind_all(hosts: &[IpAddr], port: u16, protocol: Protocol) -> Result<Vec<Fd>, (IpAddr, Errno)> {
    let mut sockets = Vec::new();
    for ip in hosts {
        match bind(SocketAddr::new(*ip, port), protocol) {
            Ok(socket) => sockets.push(socket),
            // The kernel has no such protocol for the host: nobody there can take the port.
            Err(Errno::EPROTONOSUPPORT | Errno::EAFNOSUPPORT) => {}
            Err(errno) => return Err((*ip, errno)),
        }
    }
    Ok(sockets)
}

/// Any port that is free at all addresses.
fn bind_any(hosts: &[IpAddr], protocol: Protocol) -> Result<(u16, Vec<Fd>)> {
    let (first, rest) = hosts.split_first().ok_or_else(|| Error::invalid("no address"))?;
    let failed = |ip: IpAddr, errno| refused(ip, 0, protocol, errno);
    for _ in 0..ANY_TRIES {
        let socket =
            bind(SocketAddr::new(*first, 0), protocol).map_err(|errno| failed(*first, errno))?;
        let port = inet::bound_port(&socket).map_err(|errno| failed(*first, errno))?;
        match bind_all(rest, port, protocol) {
            Ok(mut sockets) => {
                sockets.push(socket);
                return Ok((port, sockets));
            }
            Err((_, Errno::EADDRINUSE)) => {}
            Err((ip, errno)) => return Err(failed(ip, errno)),
        }
    }
    Err(Error::new(Kind::Limit, "no port is free"))
}

/// A bound socket that does not listen.
fn bind(address: SocketAddr, protocol: Protocol) -> sys::Result<Fd> {
    let transport = match protocol {
        Protocol::Tcp => Transport::Tcp,
        Protocol::Udp => Transport::Udp,
        Protocol::Sctp => Transport::Sctp,
    };
    let socket = inet::socket(transport, address.is_ipv6())?;
    if address.is_ipv6() {
        inet::set_v6_only(&socket)?;
    }
    if protocol == Protocol::Udp {
        inet::bind(&socket, address)?;
        return Ok(socket);
    }
    // Connections that ended a moment ago do not count (reuse), and whoever listens does: that is what listening
    // asks the kernel. Afterwards the socket is bound only, and others are refused because it reuses nothing.
    inet::set_reuse(&socket, true)?;
    inet::bind(&socket, address)?;
    sys::socket::listen(&socket, 0)?;
    inet::shut_receiving(&socket)?;
    inet::set_reuse(&socket, false)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use private_net::Host;
    use std::net::{TcpListener, TcpStream, UdpSocket};

    const BOTH: Publishing = Publishing { v4: true, v6: true, default_ip: None };

    fn reserve(text: &str) -> Result<(PortHolder, Vec<PortMapping>)> {
        PortHolder::reserve(&PortSpec::parse(text).unwrap(), BOTH)
    }

    #[test]
    fn a_port_is_held_until_its_holder_is_gone() {
        if Host::new("a_port_is_held_until_its_holder_is_gone").is_none() {
            return;
        }
        for protocol in ["tcp", "udp"] {
            let (holder, mappings) = reserve(&format!("8080:80/{protocol}")).unwrap();
            let shown: Vec<String> = mappings.iter().map(PortMapping::to_string).collect();
            let expected =
                [format!("0.0.0.0:8080->80/{protocol}"), format!("[::]:8080->80/{protocol}")];
            assert_eq!(shown, expected);
            let error = reserve(&format!("127.0.0.1:8080:81/{protocol}")).unwrap_err();
            assert_eq!(error.kind(), Kind::InUse);
            let text = "Bind for 127.0.0.1:8080 failed: port is already allocated";
            assert_eq!(error.to_string(), text);
            match protocol {
                "tcp" => assert!(TcpListener::bind("127.0.0.1:8080").is_err()),
                _ => assert!(UdpSocket::bind("127.0.0.1:8080").is_err()),
            }
            drop(holder);
            reserve(&format!("8080:80/{protocol}")).unwrap();
        }
    }

    #[test]
    fn nobody_waits_for_a_held_port() {
        let Some(_host) = Host::new("nobody_waits_for_a_held_port") else { return };
        let (_holder, _) = reserve("8080:80").unwrap();
        let error = TcpStream::connect("127.0.0.1:8080").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn ended_connections_do_not_keep_a_port() {
        let Some(_host) = Host::new("ended_connections_do_not_keep_a_port") else { return };
        let listener = TcpListener::bind("0.0.0.0:8080").unwrap();
        assert_eq!(reserve("8080:80").unwrap_err().kind(), Kind::InUse, "somebody listens");
        let client = TcpStream::connect("127.0.0.1:8080").unwrap();
        // The server ends the connection first, and waits for late packets at its port.
        drop(listener.accept().unwrap());
        drop(client);
        drop(listener);
        let (_first, _) = reserve("8080:80").unwrap();
        assert_eq!(reserve("8080:80").unwrap_err().kind(), Kind::InUse, "held");
        assert!(TcpListener::bind("0.0.0.0:8080").is_err(), "held");
    }

    #[test]
    fn free_ports_are_found() {
        let Some(_host) = Host::new("free_ports_are_found") else { return };
        let (_a, one) = reserve("80").unwrap();
        let (_b, other) = reserve("80").unwrap();
        assert!(one[0].host_port != other[0].host_port && one[0].host_port != 0);
        assert_eq!((one.len(), one[0].host_port), (2, one[1].host_port));
        let (_c, first) = reserve("7000-7001:80").unwrap();
        let (_d, second) = reserve("7000-7001:80").unwrap();
        assert_eq!((first[0].host_port, second[0].host_port), (7000, 7001));
        let error = reserve("7000-7001:80").unwrap_err();
        assert!(error.to_string().starts_with("all of the ports 7000-7001: Bind for"), "{error}");
        let (_e, range) = reserve("6000-6999:6000-6999").unwrap();
        assert_eq!(range.len(), 2000);
    }

    #[test]
    fn addresses_have_to_be_there() {
        let Some(_host) = Host::new("addresses_have_to_be_there") else { return };
        let error = reserve("203.0.113.7:80:80").unwrap_err();
        assert_eq!(error.hint(), Some("the host has no such address"));
        let v4 = Publishing { v6: false, ..BOTH };
        let spec = PortSpec::parse("[::1]:80:80").unwrap();
        assert_eq!(PortHolder::reserve(&spec, v4).unwrap_err().kind(), Kind::Unsupported);
        let (_a, only) = PortHolder::reserve(&PortSpec::parse("80:80").unwrap(), v4).unwrap();
        assert_eq!(only.len(), 1);
        let loopback = Publishing { default_ip: Some("127.0.0.1".parse().unwrap()), ..BOTH };
        let (_b, one) = PortHolder::reserve(&PortSpec::parse("81:80").unwrap(), loopback).unwrap();
        assert_eq!(one[0].to_string(), "127.0.0.1:81->80/tcp");
        let (_c, twice) =
            PortHolder::reserve(&PortSpec::parse_all(&["82:80", "82:80"]).unwrap(), v4).unwrap();
        assert_eq!(twice.len(), 1);
    }
}
