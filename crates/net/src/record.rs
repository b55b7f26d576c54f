//! Networks as they are on disk.

use crate::address::{Cidr, Ip};
use crate::error::{Error, Result};
use crate::limits::NAME_BYTES;
use oci::Map;
use oci::json::{Failed, FromJson, Reader, ToJson, Writer};
use std::fmt;

/// docker's name of the network that containers are in when nothing is said.
pub const DEFAULT: &str = "bridge";
/// Other names of it: podman's, and what `--network` says.
pub(crate) const DEFAULT_ALIASES: [&str; 2] = ["podman", "default"];
/// Names that mean something else than a network.
const RESERVED: [&str; 7] = ["host", "none", "private", "pasta", "slirp4netns", "ns", "container"];
/// Interfaces have names of at most 15 bytes (`IFNAMSIZ` with its NUL).
pub(crate) const INTERFACE_BYTES: usize = 15;
const ID_DIGITS: usize = 64;

/// What connects the containers of a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Driver {
    /// A bridge of the host, with addresses that are translated.
    #[default]
    Bridge,
    /// Devices with their own hardware addresses on a device of the host.
    Macvlan,
    /// Devices with the hardware address of a device of the host.
    Ipvlan,
}

impl Driver {
    /// Reads the name.
    pub fn parse(text: &str) -> Result<Self> {
        let all = [Self::Bridge, Self::Macvlan, Self::Ipvlan];
        all.into_iter().find(|driver| driver.name() == text).ok_or_else(|| {
            Error::new(crate::Kind::Unsupported, format!("there is no network driver {text:?}"))
                .with_hint(
                    "bridge, macvlan and ipvlan; the networks `host` and `none` are there without",
                )
        })
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Macvlan => "macvlan",
            Self::Ipvlan => "ipvlan",
        }
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromJson for Driver {
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Failed> {
        reader.peek();
        let start = reader.at();
        let text = reader.string()?.into_owned();
        *self = Self::parse(&text).map_err(|error| reader.fail_at(start, &error.to_string()))?;
        Ok(())
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

impl ToJson for Driver {
    fn write(&self, writer: &mut Writer) {
        writer.string(self.name());
    }
}

oci::document! {
    /// Addresses of a network.
    Subnet(snake, strict) {
        subnet: Cidr => required,
        /// The host's address; none with macvlan where nobody said one.
        gateway: Option<Ip>,
        /// Where addresses are given from, if not from all of it.
        ip_range: Option<Cidr>,
        /// Addresses that others have, by the names that were given to them.
        aux: Map<Ip>,
    }

    /// A network.
    Network(snake, strict) {
        /// Of this format.
        version: u32 => required,
        name: String => required,
        /// 64 hexadecimal digits.
        id: String => required,
        driver: Driver => required,
        /// The bridge, or the device of the host that macvlan and ipvlan are on; empty: none yet.
        interface: String => always,
        subnets: Vec<Subnet> => always,
        /// No way out of it.
        internal: bool,
        /// What `--ipv6` said: there is at least one subnet of IPv6.
        ipv6: bool,
        attachable: bool,
        /// Containers find each other by their names.
        dns: bool,
        /// As given: see [`crate::Options`].
        options: Map,
        /// As given with `--ipam-opt`.
        ipam_options: Map,
        labels: Map,
        /// When it was made, since 1970 in UTC.
        created_s: i64 => always,
        created_ns: i64 => always,
    }
}

/// What numbers of groups of devices have in common.
pub(crate) const GROUP_BIT: u32 = 0x4000_0000;
/// The format of records.
pub(crate) const VERSION: u32 = 1;

impl Network {
    /// The first digits of the id, as lists show them.
    pub fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }

    /// Whether it is the one that is made by itself.
    pub fn is_default(&self) -> bool {
        self.name == DEFAULT
    }

    /// The number of the group that the network's devices on the host are in: the bridge, if it is the network's own,
    /// and the containers' pairs. Random, and so large that nobody has chosen it by hand.
    pub(crate) fn group(&self) -> u32 {
        let digits = self.id.get(..8).unwrap_or("0");
        u32::from_str_radix(digits, 16).unwrap_or(0) | GROUP_BIT
    }

    /// The subnet that an address is in.
    pub(crate) fn subnet_of(&self, address: std::net::IpAddr) -> Option<&Subnet> {
        self.subnets.iter().find(|subnet| subnet.subnet.contains(address))
    }

    /// What a record has to be so that it can be worked with.
    pub(crate) fn check(self) -> Result<Self> {
        let name = &self.name;
        if self.version != VERSION {
            return Err(Error::invalid(format!("network {name}: its format is {}", self.version))
                .with_hint("a newer version of the program made it"));
        }
        check_name(name)?;
        let hex = self.id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !hex || self.id.len() != ID_DIGITS {
            return Err(Error::invalid(format!("network {name}: {:?} is no id", self.id)));
        }
        if !self.interface.is_empty() {
            check_interface(&self.interface)?;
        }
        for subnet in &self.subnets {
            let mut inside =
                subnet.aux.iter().map(|(_, ip)| ip.0).chain(subnet.gateway.map(|ip| ip.0));
            let range = subnet.ip_range.is_none_or(|range| subnet.subnet.holds(range));
            if !subnet.subnet.is_network() || !range || inside.any(|ip| !subnet.subnet.contains(ip))
            {
                let text =
                    format!("network {name}: subnet {} and what is in it disagree", subnet.subnet);
                return Err(Error::invalid(text));
            }
        }
        Ok(self)
    }
}

/// A name for a network: docker's rule, and one that names of files can follow.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    match first && rest && name.len() <= NAME_BYTES {
        true => Ok(()),
        false => Err(Error::invalid(format!("{name:?} is no name for a network"))
            .with_hint("letters, digits, `_`, `.` and `-`, and a letter or digit first")),
    }
}

/// Refuses names that a new network must not have.
pub(crate) fn check_new_name(name: &str) -> Result<()> {
    check_name(name)?;
    if name == DEFAULT || DEFAULT_ALIASES.contains(&name) || RESERVED.contains(&name) {
        return Err(Error::invalid(format!("{name:?} means another network already")));
    }
    Ok(())
}

/// A name for a device.
pub(crate) fn check_interface(name: &str) -> Result<()> {
    let fine = |byte: u8| byte.is_ascii_graphic() && byte != b'/' && byte != b':' && byte != b'%';
    let is_name = !name.is_empty() && name.len() <= INTERFACE_BYTES && name.bytes().all(fine);
    match is_name && name != "." && name != ".." {
        true => Ok(()),
        false => Err(Error::invalid(format!("{name:?} is no name for an interface"))
            .with_hint("at most 15 characters, no blanks, `/`, `:` and `%`")),
    }
}
