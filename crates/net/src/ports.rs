//! Published ports: what `--publish` and `--expose` say, and what came of it.

use crate::address::Ip;
use crate::error::{Error, Result};
use crate::limits::PORTS;
use oci::json::{Failed, FromJson, Reader, ToJson, Writer};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Protocols that have ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// `tcp`
    #[default]
    Tcp,
    /// `udp`
    Udp,
    /// `sctp`
    Sctp,
}

impl Protocol {
    /// Reads the name, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Tcp, Self::Udp, Self::Sctp];
        all.into_iter().find(|protocol| protocol.name().eq_ignore_ascii_case(text))
    }

    /// The name as docker writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    /// `IPPROTO_*`
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromJson for Protocol {
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Failed> {
        reader.peek();
        let start = reader.at();
        let text = reader.string()?.into_owned();
        *self = Self::parse(&text).ok_or_else(|| reader.fail_at(start, "is no protocol"))?;
        Ok(())
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

impl ToJson for Protocol {
    fn write(&self, writer: &mut Writer) {
        writer.string(self.name());
    }
}

/// Which port of the host is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostPort {
    /// Any that is free.
    Any,
    /// This one.
    Exactly(u16),
    /// The first free one of these, both ends included.
    OneOf(u16, u16),
}

/// One port of a container that is to be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortSpec {
    /// The address of the host; `None`: all of them.
    pub host_ip: Option<IpAddr>,
    /// The port of the host.
    pub host_port: HostPort,
    /// The port in the container.
    pub container_port: u16,
    /// The protocol of both.
    pub protocol: Protocol,
}

impl PortSpec {
    /// Reads docker's `[[IP:][PORT[-PORT]]:]PORT[-PORT][/PROTOCOL]`: one for each port of the container.
    pub fn parse(text: &str) -> Result<Vec<Self>> {
        let refuse = |what: String| {
            Error::invalid(format!("publishing {text:?}: {what}"))
                .with_hint("[[IP:]HOST_PORT:]CONTAINER_PORT[/tcp|udp|sctp], each port may be a range FIRST-LAST")
        };
        let (places, protocol) = split_protocol(text).map_err(refuse)?;
        let (rest, container) = places.rsplit_once(':').unwrap_or(("", places));
        if container.is_empty() {
            return Err(refuse("no port specified".into()));
        }
        let (host_ip, host) = split_host(rest).map_err(refuse)?;
        let (first, last) = range(container)
            .ok_or_else(|| refuse(format!("invalid container port {container:?}")))?;
        let host = match host {
            "" => None,
            host => {
                let ports =
                    range(host).ok_or_else(|| refuse(format!("invalid host port {host:?}")))?;
                Some(ports)
            }
        };
        let count = last - first;
        let host_port = |number: u16| match host {
            None | Some((0, 0)) => Some(HostPort::Any),
            Some((from, to)) if to - from == count => Some(HostPort::Exactly(from + number)),
            Some((from, to)) if count == 0 => Some(HostPort::OneOf(from, to)),
            Some(_) => None,
        };
        let spec = |number: u16| {
            let host_port = host_port(number)?;
            Some(Self { host_ip, host_port, container_port: first + number, protocol })
        };
        let all: Option<Vec<Self>> = (0..=count).map(spec).collect();
        let all = all.ok_or_else(|| refuse("the ranges of ports have different lengths".into()))?;
        match all.iter().any(|spec| spec.container_port == 0) {
            true => Err(refuse("invalid container port \"0\"".into())),
            false => Ok(all),
        }
    }

    /// Reads several; at most [`PORTS`] come of them.
    pub fn parse_all<T: AsRef<str>>(texts: &[T]) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for text in texts {
            all.append(&mut Self::parse(text.as_ref())?);
            if all.len() > PORTS {
                return Err(Error::new(
                    crate::Kind::Limit,
                    format!("publishing more than {PORTS} ports"),
                ));
            }
        }
        Ok(all)
    }
}

/// Reads what `--expose` and an image say: `PORT[-PORT][/PROTOCOL]`.
pub fn parse_exposed(text: &str) -> Result<Vec<(u16, Protocol)>> {
    let refuse = |what: String| Error::invalid(format!("exposing {text:?}: {what}"));
    let (ports, protocol) = split_protocol(text).map_err(refuse)?;
    let (first, last) = range(ports)
        .filter(|(first, _)| *first > 0)
        .ok_or_else(|| refuse(format!("invalid port {ports:?}")))?;
    Ok((first..=last).map(|port| (port, protocol)).collect())
}

fn split_protocol(text: &str) -> Result<(&str, Protocol), String> {
    match text.split_once('/') {
        None => Ok((text, Protocol::Tcp)),
        Some((rest, name)) => {
            let protocol =
                Protocol::parse(name).ok_or_else(|| format!("invalid protocol {name:?}"))?;
            Ok((rest, protocol))
        }
    }
}

/// `IP:PORT`, `[IP]:PORT`, `IP:` or `PORT`.
fn split_host(text: &str) -> Result<(Option<IpAddr>, &str), String> {
    let Some((ip, port)) = text.rsplit_once(':') else { return Ok((None, text)) };
    let bare = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip);
    if bare.is_empty() {
        return Ok((None, port));
    }
    match bare.parse() {
        Ok(ip) => Ok((Some(ip), port)),
        Err(_) => Err(format!("invalid IP address {bare:?}")),
    }
}

fn range(text: &str) -> Option<(u16, u16)> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    (first <= last).then_some((first, last))
}

oci::document! {
    /// A published port: connections to `host_ip:host_port` go to `container_port` of the container.
    PortMapping(snake) {
        /// `0.0.0.0` and `::` are all addresses of their kind.
        host_ip: Ip => required,
        host_port: u16 => required,
        container_port: u16 => required,
        protocol: Protocol => required,
    }
}

impl PortMapping {
    /// The address and port of the host.
    pub fn host(&self) -> SocketAddr {
        SocketAddr::new(self.host_ip.0, self.host_port)
    }
}

/// As `ps` and `port` of docker write it: `0.0.0.0:8080->80/tcp`.
impl fmt::Display for PortMapping {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}->{}/{}", self.host(), self.container_port, self.protocol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, HostPort, u16, Protocol)]) {
        let specs = PortSpec::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let shown: Vec<_> = specs
            .iter()
            .map(|spec| {
                let ip = spec.host_ip.map(|ip| ip.to_string()).unwrap_or_default();
                (ip, spec.host_port, spec.container_port, spec.protocol)
            })
            .collect();
        let shown: Vec<_> = shown.iter().map(|(ip, a, b, c)| (ip.as_str(), *a, *b, *c)).collect();
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn every_form_of_docker_is_understood() {
        use HostPort::{Any, Exactly, OneOf};
        use Protocol::{Sctp, Tcp, Udp};
        check("80", &[("", Any, 80, Tcp)]);
        check("8080:80", &[("", Exactly(8080), 80, Tcp)]);
        check("8080:80/udp", &[("", Exactly(8080), 80, Udp)]);
        check("1:1/SCTP", &[("", Exactly(1), 1, Sctp)]);
        check("127.0.0.1:8080:80", &[("127.0.0.1", Exactly(8080), 80, Tcp)]);
        check("127.0.0.1::80", &[("127.0.0.1", Any, 80, Tcp)]);
        check("127.0.0.1:0:80", &[("127.0.0.1", Any, 80, Tcp)]);
        check("[::1]:8080:80", &[("::1", Exactly(8080), 80, Tcp)]);
        check("[::]::80", &[("::", Any, 80, Tcp)]);
        check("::1:8080:80", &[("::1", Exactly(8080), 80, Tcp)]);
        check(":80", &[("", Any, 80, Tcp)]);
        check("0:80", &[("", Any, 80, Tcp)]);
        check("8000-8001:80-81", &[("", Exactly(8000), 80, Tcp), ("", Exactly(8001), 81, Tcp)]);
        check("8000-8010:80", &[("", OneOf(8000, 8010), 80, Tcp)]);
        check("80-81", &[("", Any, 80, Tcp), ("", Any, 81, Tcp)]);
        check("65535:65535", &[("", Exactly(65535), 65535, Tcp)]);
        assert_eq!(PortSpec::parse("1-65535:1-65535").unwrap().len(), 65535);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_reason() {
        let check = |text: &str, part: &str| {
            let error = PortSpec::parse(text).unwrap_err();
            assert!(error.to_string().contains(part), "{text}: {error}");
            assert!(error.hint().is_some());
        };
        check("", "no port specified");
        check("80:", "no port specified");
        check("x", "invalid container port \"x\"");
        check("0", "invalid container port");
        check("65536", "invalid container port");
        check("80-70", "invalid container port");
        check("+80:80", "invalid host port");
        check("80:80/http", "invalid protocol \"http\"");
        check("80:80/tcp/udp", "invalid protocol");
        check("1.2.3:80:80", "invalid IP address \"1.2.3\"");
        check("localhost:80:80", "invalid IP address");
        check("80-82:80-81", "different lengths");
        check("80-81:80-82", "different lengths");
        let many = PortSpec::parse_all(&["1-30000:1-30000"]).unwrap_err();
        assert_eq!(many.kind(), crate::Kind::Limit);
    }

    #[test]
    fn exposed_ports_are_ranges() {
        assert_eq!(parse_exposed("80").unwrap(), [(80, Protocol::Tcp)]);
        let udp = Protocol::Udp;
        assert_eq!(parse_exposed("53-54/udp").unwrap(), [(53, udp), (54, udp)]);
        for bad in ["", "0", "a", "1-", "80/x", "8080:80"] {
            assert!(parse_exposed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn mappings_are_shown_as_docker_does() {
        let mapping = |ip: &str| PortMapping {
            host_ip: Ip(ip.parse().unwrap()),
            host_port: 8080,
            container_port: 80,
            protocol: Protocol::Tcp,
        };
        assert_eq!(mapping("0.0.0.0").to_string(), "0.0.0.0:8080->80/tcp");
        assert_eq!(mapping("::").to_string(), "[::]:8080->80/tcp");
        let text = oci::json::write(&mapping("::1"));
        let json = r#"{"host_ip":"::1","host_port":8080,"container_port":80,"protocol":"tcp"}"#;
        assert_eq!(text, json);
        assert_eq!(oci::json::read::<PortMapping>(json.as_bytes()), Ok(mapping("::1")));
    }
}
