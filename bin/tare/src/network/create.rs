//! `tare network create`.

use crate::called::Called;
use crate::failure::{Failure, Result};
use crate::labels;
use crate::mutate::name_and_value;
use crate::output;
use crate::settings::Global;
use clap::Args;
use net::{Cidr, Driver, Kind, NetworkSpec, Networks};
use oci::Map;
use std::net::IpAddr;

/// Make a network
///
/// Its bridge and its rules are there from its first container on until it is removed.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tare network create web\n  tare network create --ipv6 --internal backend\n  \
                  tare network create -d macvlan -o parent=eth0 --subnet 192.168.7.0/24 lan"
)]
pub(crate) struct Create {
    /// Accepted for docker's sake: every network is
    #[arg(long)]
    attachable: bool,
    /// An address that something else has
    #[arg(long, value_name = "NAME=ADDRESS")]
    aux_address: Vec<String>,
    /// Not here: networks of a swarm
    #[arg(long, hide = true)]
    config_from: Option<String>,
    #[arg(long, hide = true)]
    config_only: bool,
    /// Containers do not find each other by their names
    #[arg(long)]
    disable_dns: bool,
    /// What connects the containers: bridge, macvlan or ipvlan
    #[arg(short, long, value_name = "DRIVER", default_value = "bridge")]
    driver: String,
    /// Address of the host in a subnet [default: the first one]
    #[arg(long, value_name = "ADDRESS")]
    gateway: Vec<IpAddr>,
    /// Do not mind a network of this name that is there
    #[arg(long)]
    ignore: bool,
    #[arg(long, hide = true)]
    ingress: bool,
    /// Name of the bridge, or of the device that macvlan and ipvlan are on
    #[arg(long, value_name = "NAME")]
    interface_name: Option<String>,
    /// No way out of it, and none into it
    #[arg(long)]
    internal: bool,
    /// Give addresses from this part of a subnet
    #[arg(long, value_name = "NETWORK")]
    ip_range: Vec<Cidr>,
    /// Who gives addresses: default
    #[arg(long, value_name = "DRIVER", default_value = "default")]
    ipam_driver: String,
    /// Kept, without an effect
    #[arg(long, value_name = "NAME=VALUE")]
    ipam_opt: Vec<String>,
    /// Addresses of IPv4; without, --subnet names one of IPv6, or --ipv6 is said
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true")]
    ipv4: bool,
    /// Addresses of IPv6, too
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    ipv6: bool,
    /// A label
    #[arg(long, value_name = "NAME[=VALUE]")]
    label: Vec<String>,
    /// Option of the driver, by docker's name or podman's
    #[arg(short, long, value_name = "NAME=VALUE")]
    opt: Vec<String>,
    #[arg(long, hide = true)]
    scope: Option<String>,
    /// Subnet [default: one that nothing on the host overlaps]
    #[arg(long, value_name = "NETWORK")]
    subnet: Vec<Cidr>,
    /// Name
    #[arg(value_name = "NETWORK")]
    name: String,
}

pub(super) fn run(global: &Global, networks: &Networks, arguments: &Create) -> Result<()> {
    let id = match networks.create(&spec(arguments)?) {
        Err(error) if error.kind() == Kind::Exists && arguments.ignore => {
            networks.get(&arguments.name)?.id
        }
        result => {
            let made = result?;
            super::tell(global, "create", &made);
            made.id
        }
    };
    // podman says what can be typed, docker what is unique.
    let shown = if Called::is_podman() { &arguments.name } else { &id };
    output::write(format!("{shown}\n").as_bytes())
}

fn spec(arguments: &Create) -> Result<NetworkSpec> {
    let swarm = [
        ("--config-from", arguments.config_from.is_some()),
        ("--config-only", arguments.config_only),
        ("--ingress", arguments.ingress),
        ("--scope", arguments.scope.as_deref().is_some_and(|scope| scope != "local")),
    ];
    if let Some((option, _)) = swarm.iter().find(|(_, given)| *given) {
        return Err(Failure::new(format!("{option}: it is for a swarm, which there is none of")));
    }
    if !matches!(arguments.ipam_driver.as_str(), "default" | "host-local" | "") {
        let text = format!("--ipam-driver {}: there is no such driver", arguments.ipam_driver);
        return Err(Failure::new(text).hint("`default` gives addresses from the subnets"));
    }
    let driver = Driver::parse(&arguments.driver)?;
    let mut options = pairs(&arguments.opt)?;
    if let Some(name) = &arguments.interface_name {
        let key = match driver {
            Driver::Bridge => "com.docker.network.bridge.name",
            Driver::Macvlan | Driver::Ipvlan => "parent",
        };
        options.insert(key.into(), name.clone());
    }
    Ok(NetworkSpec {
        name: arguments.name.clone(),
        driver,
        subnets: arguments.subnet.clone(),
        gateways: arguments.gateway.clone(),
        ip_ranges: arguments.ip_range.clone(),
        aux_addresses: arguments
            .aux_address
            .iter()
            .map(|text| aux_address(text))
            .collect::<Result<_>>()?,
        internal: arguments.internal,
        ipv6: arguments.ipv6,
        no_ipv4: !arguments.ipv4,
        attachable: arguments.attachable,
        no_dns: arguments.disable_dns,
        options,
        ipam_options: pairs(&arguments.ipam_opt)?,
        labels: labels::read(&arguments.label),
    })
}

fn pairs(all: &[String]) -> Result<Map> {
    all.iter().map(|pair| name_and_value(pair)).collect()
}

fn aux_address(text: &str) -> Result<(String, IpAddr)> {
    let (name, address) = name_and_value(text)?;
    let address = address
        .parse()
        .map_err(|_| Failure::new(format!("--aux-address {text}: {address} is no address")))?;
    Ok((name, address))
}
