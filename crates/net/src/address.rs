//! Addresses with the length of their network's prefix.

use crate::error::{Error, Result};
use oci::json::{Failed, FromJson, Reader, ToJson, Writer};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An address and its prefix: `10.0.0.2/16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// `None`: the prefix is longer than the address.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        (prefix <= bits(address)).then_some(Self { address, prefix })
    }

    /// The address.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// Bits of the prefix.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// Whether it is one of IPv6.
    pub fn is_v6(self) -> bool {
        self.address.is_ipv6()
    }

    /// The network that the address is in: all other bits are 0.
    pub fn network(self) -> Self {
        Self { address: self.at(0), prefix: self.prefix }
    }

    /// Whether all bits behind the prefix are 0.
    pub fn is_network(self) -> bool {
        self.at(0) == self.address
    }

    /// How many addresses there are, up to 2^64.
    pub fn size(self) -> u64 {
        1u64.checked_shl(self.host_bits()).unwrap_or(u64::MAX)
    }

    /// Bits behind the prefix.
    fn host_bits(self) -> u32 {
        u32::from(bits(self.address) - self.prefix)
    }

    /// The address so many behind the network's own.
    pub fn at(self, number: u64) -> IpAddr {
        let mask = match self.host_bits() {
            128 => u128::MAX,
            host_bits => (1u128 << host_bits) - 1,
        };
        from_number(number_of(self.address) & !mask | u128::from(number) & mask, self.address)
    }

    /// How far an address of the network is behind the network's own, as far as that is a number of 64 bits.
    pub fn number_of(self, address: IpAddr) -> Option<u64> {
        if !self.contains(address) {
            return None;
        }
        u64::try_from(number_of(address) - number_of(self.at(0))).ok()
    }

    /// Whether an address is in the network.
    pub fn contains(self, address: IpAddr) -> bool {
        address.is_ipv6() == self.is_v6() && Self { address, ..self }.at(0) == self.at(0)
    }

    /// Whether one of two networks is in the other.
    pub fn overlaps(self, other: Self) -> bool {
        match self.prefix <= other.prefix {
            true => self.contains(other.address),
            false => other.contains(self.address),
        }
    }

    /// Whether all of another network is in this one.
    pub fn holds(self, other: Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.address)
    }

    /// The address to which all of an IPv4 network listen.
    pub fn broadcast(self) -> Option<Ipv4Addr> {
        match self.at(u64::MAX) {
            IpAddr::V4(address) if self.prefix < 31 => Some(address),
            _ => None,
        }
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn number_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// An address of the same kind as `like`.
fn from_number(number: u128, like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::from_bits(number as u32).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(number).into(),
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = || {
            Error::invalid(format!("{text:?} is no network"))
                .with_hint("an address and its prefix, such as 10.20.0.0/16 or fd00:1::/64")
        };
        let (address, prefix) = text.split_once('/').ok_or_else(invalid)?;
        let digits = prefix.bytes().all(|byte| byte.is_ascii_digit()).then_some(prefix);
        let prefix = digits.and_then(|digits| digits.parse().ok()).ok_or_else(invalid)?;
        Self::new(address.parse().map_err(|_| invalid())?, prefix).ok_or_else(invalid)
    }
}

impl Default for Cidr {
    fn default() -> Self {
        Self { address: Ipv4Addr::UNSPECIFIED.into(), prefix: 0 }
    }
}

impl FromJson for Cidr {
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Failed> {
        reader.peek();
        let start = reader.at();
        let text = reader.string()?.into_owned();
        *self = text.parse().map_err(|error: Error| reader.fail_at(start, &error.to_string()))?;
        Ok(())
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

impl ToJson for Cidr {
    fn write(&self, writer: &mut Writer) {
        writer.string(&self.to_string());
    }

    fn is_absent(&self) -> bool {
        *self == Self::default()
    }
}

/// An address in a document, where it is a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ip(pub IpAddr);

impl Default for Ip {
    fn default() -> Self {
        Self(Ipv4Addr::UNSPECIFIED.into())
    }
}

impl fmt::Display for Ip {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromJson for Ip {
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Failed> {
        reader.peek();
        let start = reader.at();
        let text = reader.string()?.into_owned();
        let parsed = text.parse().map_err(|_| reader.fail_at(start, "is no address"));
        self.0 = parsed?;
        Ok(())
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

impl ToJson for Ip {
    fn write(&self, writer: &mut Writer) {
        writer.string(&self.0.to_string());
    }
}

/// A hardware address: `02:42:ac:11:00:02`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// The address that a device with an IPv4 address gets: who has the one again has the other again, too, so
    /// that what others remember of it is right.
    pub fn of_v4(address: Ipv4Addr) -> Self {
        let [a, b, c, d] = address.octets();
        Self([0x02, 0x42, a, b, c, d])
    }

    /// One for a device with nothing but an IPv6 address: of its last bytes.
    pub fn of_v6(address: Ipv6Addr) -> Self {
        let bytes = address.octets();
        Self([0x02, bytes[11], bytes[12], bytes[13], bytes[14], bytes[15]])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(formatter, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

impl FromStr for Mac {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = || {
            Error::invalid(format!("{text:?} is no hardware address"))
                .with_hint("six bytes, such as 02:42:ac:11:00:02; the first one is even")
        };
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(invalid)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| invalid())?;
        }
        // Odd ones are groups of devices, and nothing but zeros is none.
        match parts.next() {
            None if bytes[0] & 1 == 0 && bytes != [0; 6] => Ok(Self(bytes)),
            _ => Err(invalid()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_are_read_strictly() {
        for good in ["10.0.0.0/8", "0.0.0.0/0", "1.2.3.4/32", "fd00::/64", "::/0", "::1/128"] {
            assert_eq!(cidr(good).to_string(), good);
        }
        for bad in [
            "",
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
            "::/+1",
            "x/8",
            "1.2.3.4/8/9",
        ] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
    }

    #[test]
    fn networks_contain_and_overlap() {
        let net = cidr("172.17.0.0/16");
        assert!(net.contains("172.17.255.255".parse().unwrap()));
        assert!(!net.contains("172.18.0.0".parse().unwrap()));
        assert!(!net.contains("::1".parse().unwrap()));
        assert!(net.overlaps(cidr("172.17.3.0/24")) && cidr("172.17.3.0/24").overlaps(net));
        assert!(net.overlaps(cidr("0.0.0.0/0")) && !net.overlaps(cidr("172.16.0.0/16")));
        assert!(net.holds(cidr("172.17.0.0/17")) && !net.holds(cidr("172.16.0.0/12")));
        assert!(!cidr("0.0.0.0/0").overlaps(cidr("::/0")));
        assert!(cidr("::/0").contains("ffff::".parse().unwrap()));
        assert_eq!(net.at(258).to_string(), "172.17.1.2");
        assert_eq!(net.number_of("172.17.1.2".parse().unwrap()), Some(258));
        assert_eq!(net.broadcast(), Some("172.17.255.255".parse().unwrap()));
        assert_eq!(
            (net.size(), cidr("::/0").size(), cidr("1.1.1.1/32").size()),
            (65536, u64::MAX, 1)
        );
        let six = cidr("fd00::5/64");
        assert_eq!((six.network(), six.at(7).to_string()), (cidr("fd00::/64"), "fd00::7".into()));
        assert!(!six.is_network() && six.network().is_network());
        assert_eq!(cidr("::/0").at(1).to_string(), "::1");
    }

    #[test]
    fn hardware_addresses_belong_to_one_device() {
        let mac: Mac = "02:42:AC:11:00:02".parse().unwrap();
        assert_eq!(mac, Mac::of_v4("172.17.0.2".parse().unwrap()));
        assert_eq!(mac.to_string(), "02:42:ac:11:00:02");
        for bad in [
            "",
            "01:00:00:00:00:00",
            "00:00:00:00:00:00",
            "02:42:ac:11:00",
            "2:42:ac:11:00:02",
            "02:42:ac:11:00:02:03",
        ] {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
    }
}
