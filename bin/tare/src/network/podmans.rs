//! podman's document of a network: its members are there for templates by every name of the program, and are the
//! document itself where it goes by podman's.

use super::Shown;
use net::{Attachment, Cidr, Subnet};
use std::collections::BTreeMap;
use std::net::IpAddr;
use template::{Field, Struct, Value};

/// What podman has, and docker has not or by another name, for templates.
pub(super) fn members(shown: &Shown) -> Vec<Field> {
    let network = &shown.network;
    let ipam = [("driver".to_owned(), "host-local".to_owned())];
    vec![
        Field::hidden("NetworkInterface", network.interface.as_str()),
        Field::hidden("Subnets", Value::list(network.subnets.iter().map(subnet))),
        Field::hidden("IPv6Enabled", shown.has(true)),
        Field::hidden("DNSEnabled", network.dns),
        Field::hidden("NetworkDNSServers", Value::Nil("[]string")),
        Field::hidden("Routes", Value::Nil("[]route")),
        Field::hidden("IPAMOptions", Value::text_map(ipam)),
    ]
}

/// The whole document. docker's members that it has not are for templates.
pub(super) fn document(shown: &Shown, attachments: &[Attachment], dockers: Vec<Field>) -> Value {
    let network = &shown.network;
    let map = |map: &oci::Map| {
        let pairs: BTreeMap<String, String> =
            map.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        Value::text_map(pairs)
    };
    let containers = attachments.iter().map(|one| (one.container.clone(), container(one)));
    let ipam = [("driver".to_owned(), "host-local".to_owned())];
    let mut fields = vec![
        Field::renamed("Name", "name", network.name.as_str()),
        Field::renamed("ID", "id", network.id.as_str()),
        Field::renamed("Driver", "driver", shown.driver),
        Field::renamed("NetworkInterface", "network_interface", network.interface.as_str())
            .omit_empty(),
        Field::renamed("Created", "created", Value::from(shown.created())),
        Field::renamed("Subnets", "subnets", Value::list(network.subnets.iter().map(subnet)))
            .omit_empty(),
        Field::renamed("IPv6Enabled", "ipv6_enabled", shown.has(true)),
        Field::renamed("Internal", "internal", network.internal),
        Field::renamed("DNSEnabled", "dns_enabled", network.dns),
        Field::renamed("Labels", "labels", map(&network.labels)).omit_empty(),
        Field::renamed("Options", "options", map(&network.options)).omit_empty(),
        Field::renamed("IPAMOptions", "ipam_options", Value::text_map(ipam)),
        Field::renamed("Containers", "containers", Value::map(containers.collect())),
        Field::hidden("NetworkDNSServers", Value::Nil("[]string")),
        Field::hidden("Routes", Value::Nil("[]route")),
    ];
    // The first of a name counts.
    fields.extend(dockers.into_iter().map(Field::hide));
    Struct::value("network", fields)
}

fn subnet(subnet: &Subnet) -> Value {
    let gateway = subnet.gateway.map(|ip| ip.to_string()).unwrap_or_default();
    let mut fields = vec![
        Field::renamed("Subnet", "subnet", subnet.subnet.to_string()),
        Field::renamed("Gateway", "gateway", gateway).omit_empty(),
    ];
    if let Some(range) = subnet.ip_range {
        let bounds = Struct::value(
            "leaseRange",
            vec![
                Field::renamed("StartIP", "start_ip", range.at(1).to_string()),
                Field::renamed("EndIP", "end_ip", last(range).to_string()),
            ],
        );
        fields.push(Field::renamed("LeaseRange", "lease_range", bounds));
    }
    Struct::value("subnet", fields)
}

fn last(range: Cidr) -> IpAddr {
    range.at(range.size().saturating_sub(1))
}

fn container(attachment: &Attachment) -> Value {
    let addresses = [false, true].into_iter().filter_map(|is_v6| {
        let gateway = attachment.gateway(is_v6).map(|it| it.to_string()).unwrap_or_default();
        let fields = vec![
            Field::renamed("IPNet", "ipnet", attachment.address(is_v6)?.to_string()),
            Field::renamed("Gateway", "gateway", gateway).omit_empty(),
        ];
        Some(Struct::value("address", fields))
    });
    let interface = Struct::value(
        "interface",
        vec![
            Field::renamed("Subnets", "subnets", Value::list(addresses)),
            Field::renamed("MacAddress", "mac_address", attachment.mac.as_str()),
        ],
    );
    let interfaces = [(attachment.interface.clone(), interface)];
    Struct::value(
        "container",
        vec![
            Field::renamed("Name", "name", attachment.name.as_str()),
            Field::renamed("Interfaces", "interfaces", Value::map(interfaces.into())),
        ],
    )
}
