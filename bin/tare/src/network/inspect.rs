//! `tare network inspect` and `exists`: what is known of networks, and what is true of them.

use super::{Shown, find, podmans};
use crate::called::Called;
use crate::failure::Result;
use crate::output;
use crate::settings::Global;
use clap::Args;
use net::{Attachment, Networks, Subnet};
use std::collections::BTreeMap;
use template::{Field, Struct, Value};

/// Show what is known of networks
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  tare network inspect --format '{{range .IPAM.Config}}{{.Subnet}}{{end}}' web"
)]
pub(crate) struct Inspect {
    /// json, or a Go template for each network
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Accepted for docker's sake: it is for a swarm
    #[arg(short, long)]
    verbose: bool,
    /// Networks: names or IDs
    #[arg(required = true, value_name = "NETWORK")]
    networks: Vec<String>,
}

/// Say by the exit code whether a network is there
#[derive(Debug, Args)]
pub(crate) struct Exists {
    /// Name or ID
    #[arg(value_name = "NETWORK")]
    network: String,
}

pub(super) fn run(networks: &Networks, arguments: &Inspect) -> Result<u8> {
    let names: Vec<&str> = arguments.networks.iter().map(String::as_str).collect();
    show_all(networks, &names, arguments.format.as_deref())
}

fn show_all(networks: &Networks, names: &[&str], format: Option<&str>) -> Result<u8> {
    let mut values = Vec::new();
    let mut failed = false;
    for name in names {
        match inspect(networks, name) {
            Ok(value) => values.push(value),
            Err(failure) => {
                failure.tell();
                failed = true;
            }
        }
    }
    output::inspected(format, &values)?;
    Ok(u8::from(failed))
}

pub(super) fn exists(networks: &Networks, arguments: &Exists) -> Result<u8> {
    match find(networks, &arguments.network) {
        Ok(_) => Ok(0),
        Err(failure) if failure.is_missing() => Ok(1),
        Err(failure) => Err(failure),
    }
}

/// Shows networks; the exit code.
pub(crate) fn show(global: &Global, names: &[&str], format: Option<&str>) -> Result<u8> {
    show_all(&super::open(global)?, names, format)
}

/// docker's document of a network; nothing where there is none.
pub(crate) fn value(global: &Global, name: &str) -> Result<Option<Value>> {
    match inspect(&super::open(global)?, name) {
        Ok(value) => Ok(Some(value)),
        Err(failure) if failure.is_missing() => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn inspect(networks: &Networks, name: &str) -> Result<Value> {
    let shown = find(networks, name)?;
    let attachments = networks.attachments(&shown.network)?;
    Ok(document(&shown, &attachments))
}

/// The document, in the form of whom the program is called by.
pub(super) fn document(shown: &Shown, attachments: &[Attachment]) -> Value {
    let mut members = dockers(shown, attachments);
    if Called::is_podman() {
        return podmans::document(shown, attachments, members);
    }
    members.extend(podmans::members(shown));
    Struct::value("network", members)
}

/// docker's members, in docker's order.
fn dockers(shown: &Shown, attachments: &[Attachment]) -> Vec<Field> {
    let network = &shown.network;
    let containers = attachments.iter().map(|one| (one.container.clone(), container(one)));
    let config_from = Struct::value("configFrom", vec![Field::new("Network", "")]);
    let ipam = Struct::value(
        "ipam",
        vec![
            Field::new("Driver", "default"),
            Field::new("Options", texts(&network.ipam_options)),
            Field::new("Config", Value::list(network.subnets.iter().map(subnet))),
        ],
    );
    vec![
        Field::new("Name", network.name.as_str()),
        Field::renamed("ID", "Id", network.id.as_str()),
        Field::new("Created", Value::from(shown.created())),
        Field::new("Scope", "local"),
        Field::new("Driver", shown.driver),
        Field::new("EnableIPv4", shown.has(false)),
        Field::new("EnableIPv6", shown.has(true)),
        Field::new("IPAM", ipam),
        Field::new("Internal", network.internal),
        Field::new("Attachable", network.attachable),
        Field::new("Ingress", false),
        Field::new("ConfigFrom", config_from),
        Field::new("ConfigOnly", false),
        Field::new("Containers", Value::map(containers.collect())),
        Field::new("Options", texts(&network.options)),
        Field::new("Labels", texts(&network.labels)),
    ]
}

fn subnet(subnet: &Subnet) -> Value {
    let text = |it: Option<String>| it.unwrap_or_default();
    let aux: Vec<(String, String)> =
        subnet.aux.iter().map(|(name, ip)| (name.clone(), ip.to_string())).collect();
    Struct::value(
        "subnet",
        vec![
            Field::new("Subnet", subnet.subnet.to_string()),
            Field::new("IPRange", text(subnet.ip_range.map(|range| range.to_string()))),
            Field::new("Gateway", text(subnet.gateway.map(|ip| ip.to_string()))).omit_empty(),
            Field::renamed("AuxAddress", "AuxiliaryAddresses", Value::text_map(aux)).omit_empty(),
        ],
    )
}

fn container(attachment: &Attachment) -> Value {
    let address =
        |is_v6: bool| attachment.address(is_v6).map(|cidr| cidr.to_string()).unwrap_or_default();
    Struct::value(
        "endpoint",
        vec![
            Field::new("Name", attachment.name.as_str()),
            Field::new("EndpointID", attachment.endpoint_id()),
            Field::new("MacAddress", attachment.mac.as_str()),
            Field::new("IPv4Address", address(false)),
            Field::new("IPv6Address", address(true)),
        ],
    )
}

fn texts(map: &oci::Map) -> Value {
    let pairs: BTreeMap<String, String> =
        map.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    Value::text_map(pairs)
}
