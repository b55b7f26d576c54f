//! Containers in networks with bridges.

use crate::setting::{PATIENCE, SHORT, Setting, address};
use net::{Kind, Mac};
use private_net::{OUTSIDE, OUTSIDE_V6, sh};

#[test]
fn containers_reach_each_other_and_the_world() {
    let Some(setting) = Setting::new("containers_reach_each_other_and_the_world") else { return };
    let network = setting.network("web", |spec| spec.ipv6 = true);
    let (a, b) = (setting.container("a"), setting.container("b"));
    let attached = setting.attach(&network, &a);
    assert!(attached.warnings.is_empty(), "{:?}", attached.warnings);
    assert_eq!(attached.attachment.interface, "eth0");
    let other = setting.attach(&network, &b);
    setting.serve(&b.netns, "[::]:80");
    setting.serve(setting.host.outside(), "[::]:80");
    for is_v6 in [false, true] {
        let (own, there) = (address(&attached, is_v6), address(&other, is_v6));
        let to = std::net::SocketAddr::new(there, 80).to_string();
        assert_eq!(setting.ask(&a.netns, &to, PATIENCE), Some(own.to_string()));
        let gateway = attached.attachment.gateway(is_v6).unwrap();
        let seen = setting.ask(setting.host.own(), &to, PATIENCE);
        assert_eq!(seen, Some(gateway.to_string()), "the host reaches it by its address");
    }
    let world = setting.ask(&a.netns, &format!("{OUTSIDE}:80"), PATIENCE);
    assert_eq!(world.as_deref(), Some(private_net::HOST), "with the host's address");
    let world = setting.ask(&a.netns, &format!("[{OUTSIDE_V6}]:80"), PATIENCE);
    assert_eq!(world.as_deref(), Some(private_net::HOST_V6));
    let inside = setting.host.inside(&a.netns, || sh("ip -o addr show eth0; ip -o link show lo"));
    assert!(inside.contains(&format!("inet {}", attached.attachment.addresses[0])), "{inside}");
    assert!(inside.contains("LOOPBACK,UP"), "{inside}");
}

#[test]
fn nothing_is_left_when_a_network_is_removed_after_its_last_container() {
    let test = "nothing_is_left_when_a_network_is_removed_after_its_last_container";
    let Some(setting) = Setting::new(test) else { return };
    let before = setting.left();
    let network = setting.network("web", |_| {});
    let (a, b) = (setting.container("a"), setting.container("b"));
    let (_holder, _) =
        setting.publish(&network, &a, &["8080:80", "127.0.0.1:9000-9100:9000-9100/udp"]);
    setting.attach(&network, &b);
    let error = setting.networks.remove("web").unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (Kind::InUse, "network web is in use by a, b")
    );
    setting.detach(&network, &a);
    assert!(setting.left().contains("table inet tare"));
    assert!(!setting.left().contains("9050"), "the ports of the first one are gone");
    // The second one's namespace ends before anybody takes it out.
    let id = b.id.clone();
    drop(b);
    setting.networks.detach(&network, &id, None).unwrap();
    setting.networks.detach(&network, &id, None).unwrap();
    // The pair goes with the namespace, the bridge stays for the next container.
    setting.await_left(|left| !left.contains("veth"));
    assert!(setting.left().contains(&network.interface) && !setting.left().contains("leases/"));
    setting.networks.remove("web").unwrap();
    assert_eq!(setting.left(), before);
    let entries = std::fs::read_dir(setting.dir().join("run")).unwrap().count();
    assert_eq!(entries, 0);
}

#[test]
fn a_network_is_removed_right_after_its_last_container() {
    let test = "a_network_is_removed_right_after_its_last_container";
    let Some(setting) = Setting::new(test) else { return };
    let before = setting.left();
    for _ in 0..5 {
        let network = setting.network("web", |spec| spec.ipv6 = true);
        let a = setting.container("a");
        setting.attach(&network, &a);
        // The namespace lives on, as somebody else's may.
        setting.networks.detach(&network, "a", None).unwrap();
        setting.networks.remove("web").unwrap();
        assert_eq!(setting.left(), before);
    }
}

#[test]
fn the_next_container_finds_the_bridge_of_the_last() {
    let Some(setting) = Setting::new("the_next_container_finds_the_bridge_of_the_last") else {
        return;
    };
    let network = setting.network("web", |_| {});
    let index = || sh(&format!("ip -o link show {} | cut -d: -f1", network.interface));
    let a = setting.container("a");
    setting.attach(&network, &a);
    let first = index();
    setting.networks.detach(&network, "a", None).unwrap();
    // The same container again, whose old namespace has not gone: its pair has the name of the new one.
    let again = setting.container("a");
    setting.attach(&network, &again);
    assert_eq!(index(), first);
    setting.serve(&again.netns, "0.0.0.0:80");
    let there = setting.networks.attachment(&network, "a").unwrap().addresses[0].address();
    assert!(setting.ask(setting.host.own(), &format!("{there}:80"), PATIENCE).is_some());
}

#[test]
fn an_address_is_the_next_owners_at_once() {
    let Some(setting) = Setting::new("an_address_is_the_next_owners_at_once") else { return };
    let network = setting.network("web", |_| {});
    let mut held = Vec::new();
    for round in 0..10 {
        let a = setting.container(&format!("c{round}"));
        let attached = setting.attach(&network, &a);
        assert_eq!(address(&attached, false), network.subnets[0].subnet.at(2));
        setting.serve(&a.netns, "0.0.0.0:80");
        let to = format!("{}:80", address(&attached, false));
        // The host has asked for the address when nobody had it, and asks again after a second.
        assert!(setting.ask(setting.host.own(), &to, PATIENCE).is_some(), "round {round}");
        setting.networks.detach(&network, &a.id, None).unwrap();
        assert_eq!(setting.ask(setting.host.own(), &to, SHORT), None, "round {round}");
        // Its device has the address as long as somebody has the namespace.
        held.push(a);
    }
    assert_eq!(setting.networks.sweep(&network, &|_| false).unwrap(), 0);
    assert!(!setting.left().contains("veth"));
}

#[test]
fn a_bridge_that_another_store_has_left_is_taken_over() {
    let Some(setting) = Setting::new("a_bridge_that_another_store_has_left_is_taken_over") else {
        return;
    };
    let dir = setting.dir().join("other");
    let places = net::Places { records: dir.join("records"), run: dir.join("run") };
    let other = net::Networks::open(&places).unwrap();
    let (ours, theirs) = (setting.networks.get("bridge").unwrap(), other.get("bridge").unwrap());
    assert_eq!(ours.interface, theirs.interface);
    let (a, b) = (setting.container("a"), setting.container("b"));
    setting.attach(&ours, &a);
    let request = |container: &'static str, netns| net::AttachRequest {
        container,
        name: container,
        aliases: &[],
        netns,
        interface: None,
        devices: None,
        addresses: &[],
        link_local: &[],
        mac: None,
        ports: &[],
        default_route: true,
    };
    let error = other.attach(&theirs, &request("b", &b.netns)).unwrap_err();
    assert!(error.to_string().contains("is not its own"), "{error}");
    setting.detach(&ours, &a);
    other.attach(&theirs, &request("b", &b.netns)).unwrap();
    let shown = sh(&format!("ip -o addr show {}", theirs.interface));
    assert!(shown.contains(&theirs.subnets[0].gateway.unwrap().to_string()), "{shown}");
    // What is left of ours does not touch it.
    assert_eq!(setting.networks.sweep(&ours, &|_| false).unwrap(), 0);
    setting.serve(&b.netns, "0.0.0.0:80");
    let there = other.attachment(&theirs, "b").unwrap().addresses[0].address();
    assert!(setting.ask(setting.host.own(), &format!("{there}:80"), PATIENCE).is_some());
}

#[test]
fn networks_do_not_reach_each_other() {
    let Some(setting) = Setting::new("networks_do_not_reach_each_other") else { return };
    let (one, two) = (setting.network("one", |_| {}), setting.network("two", |_| {}));
    let (a, b) = (setting.container("a"), setting.container("b"));
    setting.attach(&one, &a);
    let there = setting.attach(&two, &b);
    setting.serve(&b.netns, "0.0.0.0:80");
    let to = format!("{}:80", address(&there, false));
    assert_eq!(setting.ask(&a.netns, &to, SHORT), None);
    // With a foot in both it does.
    let both = setting.try_attach(&two, &a, |request| request.default_route = false).unwrap();
    assert_eq!(both.attachment.interface, "eth1");
    let seen = setting.ask(&a.netns, &to, PATIENCE);
    assert_eq!(seen, Some(address(&both, false).to_string()));
}

#[test]
fn an_internal_network_has_no_way_out() {
    let Some(setting) = Setting::new("an_internal_network_has_no_way_out") else { return };
    let network = setting.network("inner", |spec| spec.internal = true);
    let (a, b) = (setting.container("a"), setting.container("b"));
    setting.attach(&network, &a);
    let there = setting.attach(&network, &b);
    setting.serve(&b.netns, "0.0.0.0:80");
    setting.serve(setting.host.outside(), "0.0.0.0:80");
    assert!(setting.ask(&a.netns, &format!("{}:80", address(&there, false)), PATIENCE).is_some());
    let gateway = there.attachment.gateway(false).unwrap();
    setting.host.inside(&a.netns, || sh(&format!("ip route add default via {gateway}")));
    assert_eq!(setting.ask(&a.netns, &format!("{OUTSIDE}:80"), SHORT), None);
}

#[test]
fn addresses_and_names_of_devices_can_be_chosen() {
    let Some(setting) = Setting::new("addresses_and_names_of_devices_can_be_chosen") else {
        return;
    };
    let network = setting.network("web", |spec| {
        spec.subnets = vec!["10.77.0.0/24".parse().unwrap(), "fd77::/64".parse().unwrap()];
        spec.options.insert("mtu".into(), "1400".into());
        spec.options.insert("com.docker.network.bridge.name".into(), "mybridge".into());
    });
    let a = setting.container("a");
    let wanted = ["10.77.0.50".parse().unwrap(), "fd77::50".parse().unwrap()];
    let mac: Mac = "02:00:00:00:00:07".parse().unwrap();
    let attached = setting.try_attach(&network, &a, |request| {
        request.addresses = &wanted;
        request.interface = Some("lan");
        request.mac = Some(mac);
    });
    assert_eq!(attached.unwrap().attachment.mac, mac.to_string());
    let inside = setting.host.inside(&a.netns, || sh("ip addr show lan; ip route; ip -6 route"));
    for part in [
        "10.77.0.50/24",
        "fd77::50/64",
        "mtu 1400",
        "02:00:00:00:00:07",
        "via 10.77.0.1",
        "via fd77::1",
    ] {
        assert!(inside.contains(part), "{part}: {inside}");
    }
    assert!(sh("ip addr show mybridge").contains("10.77.0.1/24"));
    let b = setting.container("b");
    let error =
        setting.try_attach(&network, &b, |request| request.addresses = &wanted).unwrap_err();
    assert_eq!(error.kind(), Kind::InUse);
    assert_eq!(setting.networks.attachments(&network).unwrap().len(), 1);
    let error = setting.try_attach(&network, &a, |_| {}).unwrap_err();
    assert_eq!(error.kind(), Kind::Exists);
    assert_eq!(setting.networks.attachments(&network).unwrap().len(), 1, "it stays");
}

#[test]
fn containers_can_be_kept_from_each_other() {
    let Some(setting) = Setting::new("containers_can_be_kept_from_each_other") else { return };
    let network = setting.network("quiet", |spec| {
        spec.options.insert("com.docker.network.bridge.enable_icc".into(), "false".into());
    });
    let (a, b) = (setting.container("a"), setting.container("b"));
    setting.attach(&network, &a);
    let there = setting.attach(&network, &b);
    setting.serve(&b.netns, "0.0.0.0:80");
    setting.serve(setting.host.outside(), "0.0.0.0:80");
    assert_eq!(setting.ask(&a.netns, &format!("{}:80", address(&there, false)), SHORT), None);
    assert!(setting.ask(&a.netns, &format!("{OUTSIDE}:80"), PATIENCE).is_some());
}

#[test]
fn what_a_killed_process_left_is_swept() {
    let Some(setting) = Setting::new("what_a_killed_process_left_is_swept") else { return };
    let before = setting.left();
    let network = setting.network("web", |_| {});
    let (a, b) = (setting.container("a"), setting.container("b"));
    setting.attach(&network, &a);
    let lost = setting.attach(&network, &b);
    // As if it had been killed halfway: the record says that it is not whole.
    let record = setting.dir().join("run").join(&network.id).join("attachments/b");
    let text = std::fs::read_to_string(&record).unwrap().replace(",\"whole\":true", "");
    std::fs::write(&record, text).unwrap();
    // The next attempt of the same container finds it and goes on.
    let again = setting.attach(&network, &b);
    assert_eq!(address(&again, false), address(&lost, false));
    assert_eq!(setting.networks.sweep(&network, &|id| id == "a").unwrap(), 1);
    assert_eq!(setting.networks.attachments(&network).unwrap().len(), 1);
    assert_eq!(setting.networks.sweep(&network, &|_| false).unwrap(), 1);
    assert_eq!(setting.left(), before);
}

#[test]
fn rules_that_somebody_removed_come_back() {
    let test = "rules_that_somebody_removed_come_back";
    let Some(setting) = Setting::new(test) else { return };
    if !private_net::has(test, "nft") {
        return;
    }
    let network = setting.network("web", |_| {});
    let (a, b) = (setting.container("a"), setting.container("b"));
    let (_holder, _) = setting.publish(&network, &a, &["8080:80"]);
    setting.serve(&a.netns, "0.0.0.0:80");
    sh("nft flush ruleset");
    setting.networks.reload().unwrap();
    let from =
        setting.ask(setting.host.outside(), &format!("{}:8080", private_net::HOST), PATIENCE);
    assert_eq!(from.as_deref(), Some(OUTSIDE));
    sh("nft flush ruleset");
    setting.attach(&network, &b);
    assert!(
        setting
            .ask(setting.host.outside(), &format!("{}:8080", private_net::HOST), PATIENCE)
            .is_some()
    );
}

#[test]
fn a_bridge_of_somebody_else_is_not_touched() {
    let Some(setting) = Setting::new("a_bridge_of_somebody_else_is_not_touched") else { return };
    let network = setting.networks.get("bridge").unwrap();
    sh("ip link add tare0 type bridge");
    let a = setting.container("a");
    let error = setting.try_attach(&network, &a, |_| {}).unwrap_err();
    assert!(error.to_string().contains("is not its own"), "{error}");
    assert!(sh("ip -o link show tare0").contains("DOWN"));
    sh("ip link del tare0");
    setting.attach(&network, &a);
    // Asked for by name it is used, and stays.
    sh("ip link add mine type bridge");
    let named = setting.network("named", |spec| {
        spec.options.insert("com.docker.network.bridge.name".into(), "mine".into());
    });
    let b = setting.container("b");
    setting.attach(&named, &b);
    setting.detach(&named, &b);
    assert!(sh("ip -o link show mine").contains("mine"));
}

#[test]
fn the_default_route_goes_on_through_another_network() {
    let Some(setting) = Setting::new("the_default_route_goes_on_through_another_network") else {
        return;
    };
    let (one, two) =
        (setting.network("one", |_| {}), setting.network("two", |spec| spec.ipv6 = true));
    let a = setting.container("a");
    let first = setting.attach(&one, &a);
    let second = setting.attach(&two, &a);
    setting.serve(setting.host.outside(), "[::]:80");
    let routes = || setting.host.inside(&a.netns, || sh("ip route; ip -6 route"));
    let by = |gateway: Option<std::net::IpAddr>| format!("default via {} dev", gateway.unwrap());
    assert!(routes().contains(&by(first.attachment.gateway(false))), "{}", routes());
    assert!(routes().contains(&by(second.attachment.gateway(true))), "{}", routes());
    setting.detach(&one, &a);
    assert_eq!(setting.ask(&a.netns, &format!("{OUTSIDE}:80"), SHORT), None);
    setting.networks.route_through(&two, "a", &a.netns).unwrap();
    setting.networks.route_through(&two, "a", &a.netns).unwrap();
    assert!(routes().contains(&by(second.attachment.gateway(false))), "{}", routes());
    assert!(setting.ask(&a.netns, &format!("{OUTSIDE}:80"), PATIENCE).is_some());
}

/// Packets that are sent before the kernel has connected the devices are lost, and a neighbour that was not found is looked
/// for again after a second.
#[test]
fn the_first_packet_arrives() {
    let Some(setting) = Setting::new("the_first_packet_arrives") else { return };
    setting.serve(setting.host.outside(), "0.0.0.0:80");
    for round in 0..10 {
        let network = setting.network(&format!("n{round}"), |_| {});
        let a = setting.container("a");
        setting.attach(&network, &a);
        assert!(setting.ask(&a.netns, &format!("{OUTSIDE}:80"), SHORT).is_some(), "round {round}");
        setting.detach(&network, &a);
        setting.networks.remove(&network.name).unwrap();
    }
}
