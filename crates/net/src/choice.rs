//! What `--network` says: docker's forms and podman's.

use crate::address::Mac;
use crate::error::{Error, Result};
use std::net::IpAddr;
use std::path::PathBuf;

/// How a container is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Not at all: `none`.
    None,
    /// It has the host's network: `host`.
    Host,
    /// It has the network of another container: `container:ID`.
    Container(String),
    /// It has the network namespace at a path: `ns:PATH`.
    Path(PathBuf),
    /// Through pasta, with more of its options: `pasta[:OPTION,...]`.
    Pasta(Vec<String>),
    /// Through networks, of which there is at least one.
    Networks(Vec<NetworkChoice>),
}

/// One network, and what a container wants to be in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkChoice {
    /// The network's name or id.
    pub network: String,
    /// More names of the container.
    pub aliases: Vec<String>,
    /// Addresses, at most one of each kind.
    pub addresses: Vec<IpAddr>,
    /// The hardware address.
    pub mac: Option<Mac>,
    /// The name of the device in the container.
    pub interface: Option<String>,
    /// The default route goes through the network with the highest one.
    pub priority: i64,
}

impl Connection {
    /// Reads what was said, once or several times: `NETWORK`, docker's `name=NETWORK,alias=NAME,ip=ADDRESS,...` or
    /// podman's `NETWORK:alias=NAME,ip=ADDRESS,...`. Nothing said is the default network.
    pub fn parse<T: AsRef<str>>(all: &[T]) -> Result<Self> {
        let mut networks = Vec::new();
        for text in all.iter().map(AsRef::as_ref) {
            let about = |error: Error| error.about(format_args!("--network {text}"));
            match Self::parse_one(text).map_err(about)? {
                Self::Networks(mut more) => networks.append(&mut more),
                other if all.len() == 1 => return Ok(other),
                _ => {
                    return Err(about(Error::invalid("it goes with no other network")));
                }
            }
        }
        if networks.is_empty() {
            networks
                .push(NetworkChoice { network: crate::DEFAULT.into(), ..NetworkChoice::default() });
        }
        let mut names: Vec<&str> = networks.iter().map(|choice| choice.network.as_str()).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(Error::invalid(format!("--network {}: it is named twice", pair[0]))),
            None => Ok(Self::Networks(networks)),
        }
    }

    fn parse_one(text: &str) -> Result<Self> {
        let (name, rest) = match text.split_once(':') {
            // docker's long form has addresses with colons.
            Some((name, rest)) if !name.contains('=') => (name, Some(rest)),
            _ => (text, None),
        };
        let words = |rest: Option<&str>| -> Vec<String> {
            rest.map(|rest| rest.split(',').map(str::to_owned).collect()).unwrap_or_default()
        };
        match (name, rest) {
            ("none", None) => Ok(Self::None),
            ("host", None) => Ok(Self::Host),
            ("container", Some(id)) if !id.is_empty() => Ok(Self::Container(id.into())),
            ("ns", Some(path)) if !path.is_empty() => Ok(Self::Path(path.into())),
            ("pasta", rest) => Ok(Self::Pasta(words(rest))),
            ("slirp4netns", _) => {
                Err(Error::new(crate::Kind::Unsupported, "slirp4netns is not used")
                    .with_hint("--network pasta is faster, and keeps the addresses of clients"))
            }
            ("private", None) => Ok(Self::Networks(vec![NetworkChoice::of(crate::DEFAULT)])),
            ("", _) => Err(Error::invalid("it names no network")),
            (name, rest) => {
                let (mut choice, options) = match name.contains('=') {
                    true => (NetworkChoice::default(), words(Some(text))),
                    false => (NetworkChoice::of(name), words(rest)),
                };
                options.iter().try_for_each(|option| choice.set(option))?;
                match choice.network.is_empty() {
                    true => {
                        Err(Error::invalid("it names no network").with_hint("name=NETWORK,..."))
                    }
                    false => Ok(Self::Networks(vec![choice])),
                }
            }
        }
    }
}

impl NetworkChoice {
    fn of(name: &str) -> Self {
        Self { network: name.into(), ..Self::default() }
    }

    fn set(&mut self, option: &str) -> Result<()> {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        match key {
            "name" => self.network = value.into(),
            "alias" => self.aliases.push(value.into()),
            "ip" | "ip6" => {
                let bare = value.trim_start_matches('[').trim_end_matches(']');
                let address =
                    bare.parse().map_err(|_| Error::invalid(format!("{value:?} is no address")))?;
                self.addresses.push(address);
            }
            "mac" | "mac-address" => self.mac = Some(value.parse()?),
            "interface_name" | "interface-name" => self.interface = Some(value.into()),
            "gw-priority" => {
                let number =
                    value.parse().map_err(|_| Error::invalid(format!("{value:?} is no number")))?;
                self.priority = number;
            }
            "driver-opt" => match value.strip_prefix("com.docker.network.endpoint.ifname=") {
                Some(name) => self.interface = Some(name.into()),
                None => {
                    return Err(Error::invalid(format!(
                        "there is no option {value:?} of a container in a network"
                    )));
                }
            },
            _ => {
                return Err(Error::invalid(format!("there is no option {key:?}"))
                    .with_hint("alias, ip, ip6, mac-address, interface_name, gw-priority"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_understood() {
        let check = |texts: &[&str], expected: Connection| {
            assert_eq!(Connection::parse(texts).unwrap(), expected, "{texts:?}");
        };
        let network = |name: &str| NetworkChoice::of(name);
        check(&[], Connection::Networks(vec![network("bridge")]));
        check(&["private"], Connection::Networks(vec![network("bridge")]));
        check(&["none"], Connection::None);
        check(&["host"], Connection::Host);
        check(&["container:web"], Connection::Container("web".into()));
        check(&["ns:/run/netns/x"], Connection::Path("/run/netns/x".into()));
        check(&["pasta"], Connection::Pasta(vec![]));
        check(&["pasta:--mtu,1400"], Connection::Pasta(vec!["--mtu".into(), "1400".into()]));
        check(&["a", "b"], Connection::Networks(vec![network("a"), network("b")]));
        let full = NetworkChoice {
            aliases: vec!["x".into(), "y".into()],
            addresses: vec!["10.0.0.7".parse().unwrap(), "fd00::7".parse().unwrap()],
            mac: Some("02:00:00:00:00:07".parse().unwrap()),
            interface: Some("lan".into()),
            priority: 5,
            ..network("web")
        };
        let options = "alias=x,alias=y,ip=10.0.0.7,ip6=fd00::7,mac-address=02:00:00:00:00:07,interface_name=lan,gw-priority=5";
        check(&[&format!("name=web,{options}")], Connection::Networks(vec![full.clone()]));
        check(&[&format!("web:{options}")], Connection::Networks(vec![full]));
        let named = NetworkChoice { interface: Some("e1".into()), ..network("web") };
        check(
            &["name=web,driver-opt=com.docker.network.endpoint.ifname=e1"],
            Connection::Networks(vec![named]),
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let check = |texts: &[&str], part: &str| {
            let error = Connection::parse(texts).unwrap_err();
            assert!(error.to_string().contains(part), "{texts:?}: {error}");
        };
        check(&["a", "host"], "--network host: it goes with no other network");
        check(&["a", "a"], "named twice");
        check(&[""], "names no network");
        check(&["alias=x"], "names no network");
        check(&["web:ip=x"], "--network web:ip=x: \"x\" is no address");
        check(&["web:color=red"], "there is no option \"color\"");
        check(&["web:mac=zz"], "no hardware address");
        check(&["slirp4netns:port_handler=x"], "slirp4netns is not used");
    }
}
