//! Options of networks: docker's long names and podman's short ones.

use crate::error::{Error, Result};
use crate::record::{Driver, Network, check_interface};
use std::net::IpAddr;

/// The largest packet that devices can be told: Ethernet's own numbers end there.
const MTU: std::ops::RangeInclusive<u32> = 68..=65535;
/// IPv6 needs this (RFC 8200, section 5).
const MTU_V6: u32 = 1280;

/// How a macvlan device sees others of the same parent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MacvlanMode {
    /// They reach each other.
    #[default]
    Bridge,
    /// They do not.
    Private,
    /// By a switch that sends back.
    Vepa,
    /// There is one only.
    Passthru,
}

/// What an ipvlan device does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IpvlanMode {
    /// It switches.
    #[default]
    L2,
    /// It routes.
    L3,
    /// It routes, and the host's firewall sees it.
    L3s,
}

/// How the outside and containers see each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GatewayMode {
    /// Addresses are translated, and only published ports are reached.
    #[default]
    Nat,
    /// Addresses are translated, but containers are reached by their own addresses, too.
    NatUnprotected,
    /// Addresses are not translated.
    Routed,
}

/// The options of a network, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Largest packet; `None`: the kernel's default.
    pub mtu: Option<u32>,
    /// The name of the bridge or of the parent device.
    pub interface: Option<String>,
    /// Beginning of the names of devices in containers.
    pub prefix: String,
    /// What leaves the network gets the host's address, IPv4 and IPv6.
    pub masquerade: bool,
    /// Containers of the network reach each other.
    pub between_containers: bool,
    /// Where ports are published when no address is said.
    pub host_binding: Option<IpAddr>,
    /// Of IPv4.
    pub gateway_v4: GatewayMode,
    /// Of IPv6.
    pub gateway_v6: GatewayMode,
    /// No default route for containers.
    pub no_default_route: bool,
    /// The metric of that route.
    pub metric: Option<u32>,
    /// Of macvlan.
    pub macvlan: MacvlanMode,
    /// Of ipvlan.
    pub ipvlan: IpvlanMode,
}

impl Options {
    /// Reads the options of a network.
    pub fn of(network: &Network) -> Result<Self> {
        let mut options = Self {
            mtu: None,
            interface: None,
            prefix: "eth".into(),
            masquerade: true,
            between_containers: true,
            host_binding: None,
            gateway_v4: GatewayMode::Nat,
            gateway_v6: GatewayMode::Nat,
            no_default_route: false,
            metric: None,
            macvlan: MacvlanMode::Bridge,
            ipvlan: IpvlanMode::L2,
        };
        for (key, value) in &network.options {
            options
                .set(network.driver, key, value)
                .map_err(|error| error.about(format_args!("option {key}={value}")))?;
        }
        let has_v6 = network.subnets.iter().any(|subnet| subnet.subnet.is_v6());
        match options.mtu {
            Some(mtu) if has_v6 && mtu < MTU_V6 => {
                let text = format!("an MTU of {mtu} is too small for IPv6");
                Err(Error::invalid(text).with_hint("1280 is the smallest"))
            }
            _ => Ok(options),
        }
    }

    fn set(&mut self, driver: Driver, key: &str, value: &str) -> Result<()> {
        let is_bridge = driver == Driver::Bridge;
        let short = key.strip_prefix("com.docker.network.").unwrap_or(key);
        match short {
            "mtu" | "driver.mtu" => self.mtu = number(value, MTU).map(Some)?,
            "container_iface_prefix" => {
                check_interface(&format!("{value}0"))?;
                self.prefix = value.into();
            }
            "no_default_route" => self.no_default_route = truth(value)?,
            "metric" => self.metric = number(value, 1..=u32::MAX).map(Some)?,
            "bridge.name" if is_bridge => {
                check_interface(value)?;
                self.interface = Some(value.into());
            }
            "bridge.enable_ip_masquerade" if is_bridge => self.masquerade = truth(value)?,
            "bridge.enable_icc" if is_bridge => self.between_containers = truth(value)?,
            "bridge.host_binding_ipv4" if is_bridge => {
                let address = value.parse().map_err(|_| Error::invalid("is no address"))?;
                self.host_binding = Some(address);
            }
            "bridge.gateway_mode_ipv4" if is_bridge => self.gateway_v4 = gateway_mode(value)?,
            "bridge.gateway_mode_ipv6" if is_bridge => self.gateway_v6 = gateway_mode(value)?,
            // The one that is made by itself is; networks are isolated from each other in any case.
            "bridge.default_bridge" | "isolate" if is_bridge => drop(truth(value)?),
            "parent" if !is_bridge => {
                check_interface(value)?;
                self.interface = Some(value.into());
            }
            "macvlan_mode" | "mode" if driver == Driver::Macvlan => {
                self.macvlan = match value {
                    "bridge" => MacvlanMode::Bridge,
                    "private" => MacvlanMode::Private,
                    "vepa" => MacvlanMode::Vepa,
                    "passthru" => MacvlanMode::Passthru,
                    _ => return Err(Error::invalid("bridge, private, vepa or passthru")),
                }
            }
            "ipvlan_mode" | "mode" if driver == Driver::Ipvlan => {
                self.ipvlan = match value {
                    "l2" => IpvlanMode::L2,
                    "l3" => IpvlanMode::L3,
                    "l3s" => IpvlanMode::L3s,
                    _ => return Err(Error::invalid("l2, l3 or l3s")),
                }
            }
            _ => {
                let text = format!("the driver {driver} has no such option");
                return Err(Error::new(crate::Kind::Unsupported, text).with_hint(known(driver)));
            }
        }
        Ok(())
    }
}

fn known(driver: Driver) -> &'static str {
    match driver {
        Driver::Bridge => {
            "mtu, no_default_route, metric, com.docker.network.container_iface_prefix, and of \
             com.docker.network.bridge.: name, enable_ip_masquerade, enable_icc, host_binding_ipv4, gateway_mode_ipv4, \
             gateway_mode_ipv6"
        }
        Driver::Macvlan => "parent, macvlan_mode, mtu, no_default_route, metric",
        Driver::Ipvlan => "parent, ipvlan_mode, mtu, no_default_route, metric",
    }
}

fn gateway_mode(value: &str) -> Result<GatewayMode> {
    match value {
        "" | "nat" => Ok(GatewayMode::Nat),
        "nat-unprotected" => Ok(GatewayMode::NatUnprotected),
        "routed" => Ok(GatewayMode::Routed),
        _ => Err(Error::invalid("nat, nat-unprotected or routed")),
    }
}

fn number(text: &str, range: std::ops::RangeInclusive<u32>) -> Result<u32> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| {
        Error::invalid(format!("is no number from {} to {}", range.start(), range.end()))
    })
}

/// As Go reads it.
fn truth(text: &str) -> Result<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Error::invalid("must be true or false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(driver: Driver, options: &[(&str, &str)]) -> Result<Options> {
        let options = options.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect();
        Options::of(&Network { driver, options, ..Network::default() })
    }

    #[test]
    fn options_of_docker_and_podman_are_understood() {
        let options = read(
            Driver::Bridge,
            &[
                ("com.docker.network.driver.mtu", "1400"),
                ("com.docker.network.bridge.name", "br7"),
                ("com.docker.network.bridge.enable_icc", "false"),
                ("com.docker.network.bridge.enable_ip_masquerade", "0"),
                ("com.docker.network.bridge.gateway_mode_ipv6", "routed"),
            ],
        )
        .unwrap();
        assert_eq!((options.mtu, options.interface.as_deref()), (Some(1400), Some("br7")));
        assert!(!options.between_containers && !options.masquerade);
        assert_eq!(options.gateway_v6, GatewayMode::Routed);
        assert_eq!(read(Driver::Bridge, &[("mtu", "9000")]).unwrap().mtu, Some(9000));
        let macvlan = read(Driver::Macvlan, &[("parent", "eth0.10"), ("mode", "private")]).unwrap();
        assert_eq!(
            (macvlan.interface.as_deref(), macvlan.macvlan),
            (Some("eth0.10"), MacvlanMode::Private)
        );
    }

    #[test]
    fn what_has_no_effect_is_refused() {
        let check = |driver: Driver, key: &str, value: &str, part: &str| {
            let error = read(driver, &[(key, value)]).unwrap_err();
            assert!(error.to_string().contains(part), "{key}: {error}");
        };
        check(Driver::Bridge, "x", "y", "option x=y: the driver bridge has no such option");
        check(Driver::Bridge, "parent", "eth0", "no such option");
        check(Driver::Macvlan, "com.docker.network.bridge.name", "x", "no such option");
        check(Driver::Bridge, "mtu", "67", "from 68 to 65535");
        check(
            Driver::Bridge,
            "com.docker.network.bridge.name",
            "a-name-that-is-long",
            "no name for an interface",
        );
        check(Driver::Bridge, "com.docker.network.bridge.enable_icc", "maybe", "true or false");
        check(Driver::Ipvlan, "mode", "l4", "l2, l3 or l3s");
    }
}
