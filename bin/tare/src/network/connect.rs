//! `tare network connect` and `disconnect`.

use crate::failure::{Failure, Result};
use crate::mutate::name_and_value;
use crate::settings::Global;
use clap::Args;
use engine::record::Endpoint;
use oci::Map;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The option that names the device in the container.
const IFNAME: &str = "com.docker.network.endpoint.ifname";

/// Make a container part of one more network
///
/// At once if it runs, and at each of its starts.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tare network connect web app\n  tare network connect --ip 10.20.0.9 --alias db backend store"
)]
pub(crate) struct Connect {
    /// Another name of the container in the network (repeated)
    #[arg(long, value_name = "NAME")]
    alias: Vec<String>,
    /// com.docker.network.endpoint.ifname=NAME names the device in the container
    #[arg(long, value_name = "NAME=VALUE")]
    driver_opt: Vec<String>,
    /// Not here: the default route stays with the first network that has one
    #[arg(long, value_name = "NUMBER", hide = true, allow_hyphen_values = true)]
    gw_priority: Option<i64>,
    /// Its address
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<Ipv4Addr>,
    /// Its address of IPv6
    #[arg(long, value_name = "ADDRESS")]
    ip6: Option<Ipv6Addr>,
    /// A name that only this container has for another one (repeated)
    #[arg(long, value_name = "CONTAINER[:ALIAS]")]
    link: Vec<String>,
    /// One more address, of 169.254.0.0/16 or fe80::/10 (repeated)
    #[arg(long, value_name = "ADDRESS")]
    link_local_ip: Vec<String>,
    /// The hardware address of its device
    #[arg(long, value_name = "ADDRESS")]
    mac_address: Option<String>,
    /// Network: name or ID
    #[arg(value_name = "NETWORK")]
    network: String,
    /// Container: name, or the beginning of its ID
    #[arg(value_name = "CONTAINER")]
    container: String,
}

/// Take a container out of a network
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tare network disconnect web app")]
pub(crate) struct Disconnect {
    /// Also one of which nothing is left but its place in the network
    #[arg(short, long)]
    force: bool,
    /// Network: name or ID
    #[arg(value_name = "NETWORK")]
    network: String,
    /// Container: name, or the beginning of its ID
    #[arg(value_name = "CONTAINER")]
    container: String,
}

pub(super) fn connect(global: &Global, arguments: &Connect) -> Result<()> {
    refuse_built_in(&arguments.network)?;
    let endpoint = endpoint(arguments)?;
    let engine = crate::container::open(global, false)?;
    let container = engine.find(&arguments.container)?;
    Ok(engine.connect(&container, endpoint)?)
}

pub(super) fn disconnect(global: &Global, arguments: &Disconnect) -> Result<()> {
    refuse_built_in(&arguments.network)?;
    let engine = crate::container::open(global, false)?;
    match engine.find(&arguments.container) {
        Err(error) if arguments.force && error.kind() == engine::Kind::NotFound => {
            match engine.disconnect_lost(&arguments.container, &arguments.network)? {
                true => Ok(()),
                false => Err(error.into()),
            }
        }
        container => Ok(engine.disconnect(&container?, &arguments.network)?),
    }
}

fn refuse_built_in(network: &str) -> Result<()> {
    match network {
        "host" => Err(Failure::new(
            "container cannot be disconnected from host network or connected to host network",
        )
        .hint("`--network host` says it of a new container")),
        "none" => Err(Failure::new(
            "container cannot be connected to multiple networks with one of the networks in private (none) mode",
        )),
        _ => Ok(()),
    }
}

fn endpoint(arguments: &Connect) -> Result<Endpoint> {
    if arguments.gw_priority.is_some_and(|number| number != 0) {
        return Err(Failure::new(
            "--gw-priority: the default route stays with the first network that has one",
        )
        .hint("`tare network disconnect` of that one lets it go through the next"));
    }
    let mut driver_opts = Map::new();
    for option in &arguments.driver_opt {
        let (name, value) = name_and_value(option)?;
        if name != IFNAME {
            return Err(Failure::new(format!("--driver-opt {name}: there is no such option"))
                .hint(format!("{IFNAME} names the device in the container")));
        }
        driver_opts.insert(name, value);
    }
    if let Some(text) = &arguments.mac_address {
        let _: net::Mac = text.parse()?;
    }
    for text in &arguments.link_local_ip {
        if text.parse::<std::net::IpAddr>().is_err() {
            return Err(Failure::new(format!("--link-local-ip {text}: it is no address")));
        }
    }
    let text = |it: Option<String>| it.unwrap_or_default();
    Ok(Endpoint {
        network: arguments.network.clone(),
        aliases: arguments.alias.clone(),
        ipv4: text(arguments.ip.map(|ip| ip.to_string())),
        ipv6: text(arguments.ip6.map(|ip| ip.to_string())),
        mac_address: text(arguments.mac_address.clone()),
        interface: driver_opts.get(IFNAME).cloned().unwrap_or_default(),
        links: arguments.link.clone(),
        link_local: arguments.link_local_ip.clone(),
        driver_opts,
    })
}
