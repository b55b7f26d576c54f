//! Published ports.

use crate::setting::{PATIENCE, SHORT, Setting, address};
use private_net::{HOST, HOST_V6, OUTSIDE, OUTSIDE_V6, sh};

#[test]
fn a_published_port_is_reached_from_everywhere() {
    let Some(setting) = Setting::new("a_published_port_is_reached_from_everywhere") else { return };
    let network = setting.network("web", |spec| spec.ipv6 = true);
    let (a, b) = (setting.container("a"), setting.container("b"));
    let (_holder, _) = setting.publish(&network, &a, &["8080:80", "9090:90/udp"]);
    let attached = setting.attach(&network, &b);
    setting.serve(&a.netns, "[::]:80");
    setting.serve_datagrams(&a.netns, "0.0.0.0:90");
    let gateway = attached.attachment.gateway(false).unwrap().to_string();
    let gateway_v6 = attached.attachment.gateway(true).unwrap().to_string();
    let check = |netns: &sys::Fd, to: &str, expected: Option<&str>| {
        assert_eq!(setting.ask(netns, to, PATIENCE).as_deref(), expected, "{to}");
    };
    // Others are seen as who they are.
    check(setting.host.outside(), &format!("{HOST}:8080"), Some(OUTSIDE));
    check(setting.host.outside(), &format!("[{HOST_V6}]:8080"), Some(OUTSIDE_V6));
    assert_eq!(
        setting.ask_datagram(setting.host.outside(), &format!("{HOST}:9090")).as_deref(),
        Some(OUTSIDE)
    );
    // The host itself, by its address and by its loopback address.
    check(setting.host.own(), &format!("{HOST}:8080"), Some(HOST));
    check(setting.host.own(), &format!("[{HOST_V6}]:8080"), Some(HOST_V6));
    check(setting.host.own(), "127.0.0.1:8080", Some(&gateway));
    assert_eq!(
        setting.ask_datagram(setting.host.own(), "127.0.0.1:9090").as_deref(),
        Some(gateway.as_str())
    );
    // Nothing of it can be sent on; whoever tries is not kept waiting, and tries 127.0.0.1 next.
    let start = std::time::Instant::now();
    check(setting.host.own(), "[::1]:8080", None);
    assert!(start.elapsed() < PATIENCE);
    // A container of the same network, and the container itself.
    for netns in [&a.netns, &b.netns] {
        check(netns, &format!("{HOST}:8080"), Some(&gateway));
        check(netns, &format!("[{HOST_V6}]:8080"), Some(&gateway_v6));
    }
    // A container of another network.
    let other = setting.network("other", |_| {});
    let c = setting.container("c");
    let there = setting.attach(&other, &c);
    check(&c.netns, &format!("{HOST}:8080"), Some(&address(&there, false).to_string()));
}

#[test]
fn what_is_not_published_is_not_reached() {
    let Some(setting) = Setting::new("what_is_not_published_is_not_reached") else { return };
    let network = setting.network("web", |_| {});
    let a = setting.container("a");
    let specs = ["127.0.0.1:8080:80", "8081:81"];
    let (_holder, mappings) = setting.publish(&network, &a, &specs);
    assert_eq!(mappings[0].to_string(), "127.0.0.1:8080->80/tcp");
    setting.serve(&a.netns, "0.0.0.0:80");
    setting.serve(&a.netns, "0.0.0.0:81");
    let container = setting.networks.attachment(&network, "a").unwrap().addresses[0].address();
    let outside = setting.host.outside();
    assert!(setting.ask(setting.host.own(), "127.0.0.1:8080", PATIENCE).is_some());
    assert_eq!(setting.ask(outside, &format!("{HOST}:8080"), SHORT), None);
    // Somebody on the same wire sends packets for the container or for loopback addresses to the host.
    let subnet = network.subnets[0].subnet;
    setting.host.inside(outside, || {
        sh(&format!("ip route add {subnet} via {HOST}"));
        sh("ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.1/32 via 192.0.2.1 src 192.0.2.2");
        sh("echo 1 > /proc/sys/net/ipv4/conf/down0/route_localnet");
    });
    assert_eq!(setting.ask(outside, &format!("{container}:80"), SHORT), None);
    assert_eq!(setting.ask(outside, &format!("{container}:81"), SHORT), None);
    assert_eq!(setting.ask(outside, "127.0.0.1:8080", SHORT), None);
    assert!(setting.ask(outside, &format!("{HOST}:8081"), PATIENCE).is_some());
}

/// CVE-2020-8558: services of the host's loopback address are its own.
#[test]
fn containers_do_not_reach_the_loopback_address_of_the_host() {
    let Some(setting) = Setting::new("containers_do_not_reach_the_loopback_address_of_the_host")
    else {
        return;
    };
    let network = setting.network("web", |_| {});
    let a = setting.container("a");
    let attached = setting.attach(&network, &a);
    setting.serve(setting.host.own(), "127.0.0.1:6443");
    let gateway = attached.attachment.gateway(false).unwrap();
    let own = address(&attached, false);
    setting.host.inside(&a.netns, || {
        sh("echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet");
        sh("ip addr del 127.0.0.1/8 dev lo");
        sh(&format!("ip route add 127.0.0.1/32 via {gateway} src {own}"));
    });
    assert!(setting.ask(setting.host.own(), "127.0.0.1:6443", PATIENCE).is_some());
    assert_eq!(setting.ask(&a.netns, "127.0.0.1:6443", SHORT), None);
    // Without the guard it would be reached, so that this test could fail.
    if private_net::try_sh("nft flush chain inet tare guard").status.success() {
        let seen = setting.ask(&a.netns, "127.0.0.1:6443", PATIENCE);
        assert_eq!(seen, Some(own.to_string()));
    }
}

#[test]
fn ports_come_and_go_with_a_running_container() {
    let Some(setting) = Setting::new("ports_come_and_go_with_a_running_container") else { return };
    let network = setting.network("web", |_| {});
    let a = setting.container("a");
    setting.attach(&network, &a);
    setting.serve(&a.netns, "0.0.0.0:80");
    let specs = net::PortSpec::parse("8080:80").unwrap();
    let publishing = net::Publishing { v4: true, v6: false, default_ip: None };
    let (_holder, ports) = net::PortHolder::reserve(&specs, publishing).unwrap();
    let ask = |patience| setting.ask(setting.host.outside(), &format!("{HOST}:8080"), patience);
    assert_eq!(ask(SHORT), None);
    setting.networks.publish(&network, "a", &ports).unwrap();
    assert_eq!(ask(PATIENCE).as_deref(), Some(OUTSIDE));
    setting.networks.unpublish(&network, "a").unwrap();
    assert_eq!(ask(SHORT), None);
}

#[test]
fn a_thousand_ports_are_published_at_once() {
    let Some(setting) = Setting::new("a_thousand_ports_are_published_at_once") else { return };
    let network = setting.network("web", |_| {});
    let a = setting.container("a");
    let (_holder, ports) = setting.publish(&network, &a, &["20000-22999:20000-22999"]);
    assert_eq!(ports.len(), 3000);
    setting.serve(&a.netns, "0.0.0.0:22999");
    assert!(setting.ask(setting.host.outside(), &format!("{HOST}:22999"), PATIENCE).is_some());
    setting.detach(&network, &a);
    assert!(!setting.left().contains("22999"));
}

/// docker and ufw let `FORWARD` drop what they do not know.
#[test]
fn a_firewall_that_drops_is_told_about_the_bridge() {
    told_about_the_bridge("a_firewall_that_drops_is_told_about_the_bridge", "iptables-nft");
}

#[test]
fn a_firewall_of_the_old_kind_is_told_about_the_bridge() {
    told_about_the_bridge("a_firewall_of_the_old_kind_is_told_about_the_bridge", "iptables-legacy");
}

fn told_about_the_bridge(test: &str, program: &str) {
    let Some(setting) = Setting::new(test) else { return };
    if !private_net::has(test, program) {
        return;
    }
    if !private_net::try_sh(&format!("{program} -S")).status.success() {
        return skips::skip(test, &format!("the kernel has no {program}"));
    }
    setting.serve(setting.host.outside(), "0.0.0.0:80");
    for place in ["FORWARD", "DOCKER-USER"] {
        sh(&format!("{program} -P FORWARD DROP"));
        if place == "DOCKER-USER" {
            sh(&format!("{program} -N DOCKER-USER; {program} -I FORWARD -j DOCKER-USER"));
        }
        let before = sh(&format!("{program} -S"));
        let network = setting.network(&place.to_lowercase(), |_| {});
        let a = setting.container("a");
        let (_holder, _) = setting.publish(&network, &a, &["8080:80"]);
        setting.serve(&a.netns, "0.0.0.0:80");
        assert!(setting.ask(&a.netns, &format!("{OUTSIDE}:80"), PATIENCE).is_some());
        assert!(setting.ask(setting.host.outside(), &format!("{HOST}:8080"), PATIENCE).is_some());
        let rules = sh(&format!("{program} -S {place}"));
        assert!(
            rules.contains(&format!("-i {}", network.interface)),
            "iptables understands it: {rules}"
        );
        setting.detach(&network, &a);
        setting.networks.remove(&network.name).unwrap();
        assert_eq!(sh(&format!("{program} -S")), before);
    }
}

/// The network was there before the firewall.
#[test]
fn a_firewall_that_came_later_is_told_about_the_bridge() {
    let test = "a_firewall_that_came_later_is_told_about_the_bridge";
    let Some(setting) = Setting::new(test) else { return };
    if !private_net::has(test, "iptables-nft") {
        return;
    }
    setting.serve(setting.host.outside(), "0.0.0.0:80");
    let network = setting.network("web", |_| {});
    let a = setting.container("a");
    setting.attach(&network, &a);
    setting.detach(&network, &a);
    sh("iptables-nft -P FORWARD DROP");
    let a = setting.container("a");
    setting.attach(&network, &a);
    assert!(setting.ask(&a.netns, &format!("{OUTSIDE}:80"), PATIENCE).is_some());
}

#[test]
fn a_firewall_that_cannot_be_told_is_warned_about() {
    let test = "a_firewall_that_cannot_be_told_is_warned_about";
    let Some(setting) = Setting::new(test) else { return };
    if !private_net::has(test, "nft") {
        return;
    }
    sh(
        "nft 'table inet mine { chain through { type filter hook forward priority 0; policy drop; }; }'",
    );
    let network = setting.network("web", |_| {});
    let attached = setting.attach(&network, &setting.container("a"));
    assert_eq!(attached.warnings.len(), 1);
    assert!(
        attached.warnings[0].contains("the chain through of the nftables table mine drops"),
        "{:?}",
        attached.warnings
    );
}

/// A client that goes on sending from the same port does not talk to a container that has gone.
#[test]
fn datagrams_find_the_container_that_has_the_port_now() {
    let test = "datagrams_find_the_container_that_has_the_port_now";
    let Some(setting) = Setting::new(test) else { return };
    let network = setting.network("web", |_| {});
    let (a, b, c) = (setting.container("a"), setting.container("b"), setting.container("c"));
    let client = setting.host.inside(setting.host.outside(), || {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(SHORT)).unwrap();
        socket
    });
    let ask = || -> Option<()> {
        let mut buffer = [0; 64];
        // What was sent again has perhaps been answered twice.
        client.set_nonblocking(true).unwrap();
        while client.recv(&mut buffer).is_ok() {}
        client.set_nonblocking(false).unwrap();
        client.send_to(b"?", format!("{HOST}:9090")).unwrap();
        // Somebody says that nobody is there, or somebody answers.
        client.recv(&mut buffer).ok().map(drop)
    };
    // A datagram may be lost, and a busy machine may answer late.
    let answers = || {
        let start = std::time::Instant::now();
        while ask().is_none() {
            assert!(start.elapsed() < PATIENCE, "nobody answers");
        }
    };
    let holder = setting.publish(&network, &a, &["9090:90/udp"]);
    setting.serve_datagrams(&a.netns, "0.0.0.0:90");
    answers();
    // The second one has another address, because the third one has that of the first.
    setting.detach(&network, &a);
    drop(holder);
    setting.attach(&network, &c);
    assert!(ask().is_none(), "the host itself has nobody there");
    let _holder = setting.publish(&network, &b, &["9090:90/udp"]);
    setting.serve_datagrams(&b.netns, "0.0.0.0:90");
    answers();
}

#[test]
fn the_host_keeps_its_announced_routes_when_it_forwards() {
    let Some(setting) = Setting::new("the_host_keeps_its_announced_routes_when_it_forwards") else {
        return;
    };
    let accepts = || sh("cat /proc/sys/net/ipv6/conf/up0/accept_ra").trim().to_owned();
    sh(
        "echo 1 > /proc/sys/net/ipv6/conf/up0/accept_ra; echo 0 > /proc/sys/net/ipv6/conf/all/forwarding",
    );
    let network = setting.network("web", |spec| spec.ipv6 = true);
    setting.attach(&network, &setting.container("a"));
    assert_eq!(accepts(), "2");
    assert_eq!(sh("cat /proc/sys/net/ipv6/conf/all/forwarding").trim(), "1");
}
