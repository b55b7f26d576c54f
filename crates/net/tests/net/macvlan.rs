//! Containers on a device of the host.

use crate::setting::{PATIENCE, Setting, address};
use net::{Driver, Kind};
use private_net::{OUTSIDE, sh};

#[test]
fn a_macvlan_container_is_a_neighbour_of_the_host_s_network() {
    let test = "a_macvlan_container_is_a_neighbour_of_the_host_s_network";
    let Some(setting) = Setting::new(test) else { return };
    on_parent(&setting, test, Driver::Macvlan);
}

#[test]
fn an_ipvlan_container_is_a_neighbour_of_the_host_s_network() {
    let test = "an_ipvlan_container_is_a_neighbour_of_the_host_s_network";
    let Some(setting) = Setting::new(test) else { return };
    on_parent(&setting, test, Driver::Ipvlan);
}

fn on_parent(setting: &Setting, test: &str, driver: Driver) {
    let network = setting.network("lan", |spec| {
        spec.driver = driver;
        spec.subnets = vec!["192.0.2.0/24".parse().unwrap()];
        spec.gateways = vec![OUTSIDE.parse().unwrap()];
        spec.ip_ranges = vec!["192.0.2.64/26".parse().unwrap()];
        if driver == Driver::Macvlan {
            spec.options.insert("parent".into(), "up0".into());
        }
    });
    let (a, b) = (setting.container("a"), setting.container("b"));
    let attached = match setting.try_attach(&network, &a, |_| {}) {
        Err(error) if error.kind() == Kind::Unsupported => {
            return skips::skip(test, &error.to_string());
        }
        attached => attached.unwrap(),
    };
    let other = setting.attach(&network, &b);
    setting.serve(&b.netns, "0.0.0.0:80");
    setting.serve(setting.host.outside(), "0.0.0.0:80");
    let own = address(&attached, false).to_string();
    assert_eq!(own, "192.0.2.64");
    for to in [format!("{OUTSIDE}:80"), format!("{}:80", address(&other, false))] {
        assert_eq!(setting.ask(&a.netns, &to, PATIENCE).as_ref(), Some(&own), "{to}");
    }
    let routes = setting.host.inside(&a.netns, || sh("ip route"));
    assert!(routes.contains(&format!("default via {OUTSIDE} dev eth0")), "{routes}");
    assert!(!setting.left().contains("table inet tare"), "no rules are needed");
    // It goes on without the network.
    setting.detach(&network, &a);
    assert!(!setting.host.inside(&a.netns, || sh("ip -o link")).contains("eth0"));
    setting.detach(&network, &b);
    setting.networks.remove("lan").unwrap();
}

#[test]
fn a_parent_has_to_be_there() {
    let Some(setting) = Setting::new("a_parent_has_to_be_there") else { return };
    let network = setting.network("lan", |spec| {
        spec.driver = Driver::Macvlan;
        spec.options.insert("parent".into(), "nodev".into());
    });
    let a = setting.container("a");
    let error = setting.try_attach(&network, &a, |_| {}).unwrap_err();
    assert_eq!(error.to_string(), "network lan: there is no device nodev");
    assert!(setting.networks.attachments(&network).unwrap().is_empty(), "nothing is left of it");
    sh("ip route del default; ip -6 route del default");
    let anywhere = setting.network("any", |spec| spec.driver = Driver::Macvlan);
    let error = setting.try_attach(&anywhere, &a, |_| {}).unwrap_err();
    assert!(error.to_string().contains("no parent device, and no default route"), "{error}");
}
