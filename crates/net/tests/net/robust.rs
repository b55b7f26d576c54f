//! Many at once, and processes that are killed.

use crate::setting::{Container, Setting};
use net::Network;

/// Rounds of kills: each is at another moment, all over an attachment's and a detachment's time.
const KILLS: u64 = 60;
const SIGKILL: i32 = 9;

#[test]
fn many_containers_come_and_go_at_once() {
    let Some(setting) = Setting::new("many_containers_come_and_go_at_once") else { return };
    let before = setting.left();
    let networks =
        [setting.network("one", |_| {}), setting.network("two", |spec| spec.ipv6 = true)];
    let containers: Vec<Container> = (0..8).map(|n| setting.container(&format!("c{n}"))).collect();
    let work = |container: &Container| {
        for _ in 0..6 {
            for network in &networks {
                setting.attach(network, container);
            }
            for network in &networks {
                setting.detach(network, container);
            }
        }
    };
    std::thread::scope(|scope| {
        for container in &containers {
            scope.spawn(|| setting.host.inside(setting.host.own(), || work(container)));
        }
    });
    for network in &networks {
        setting.networks.remove(&network.name).unwrap();
    }
    assert_eq!(setting.left(), before);
}

#[test]
fn addresses_are_given_once_however_many_ask() {
    let Some(setting) = Setting::new("addresses_are_given_once_however_many_ask") else { return };
    let network = setting.network("one", |_| {});
    let containers: Vec<Container> = (0..24).map(|n| setting.container(&format!("c{n}"))).collect();
    std::thread::scope(|scope| {
        let (setting, network) = (&setting, &network);
        for some in containers.chunks(6) {
            let attach = move || some.iter().for_each(|one| drop(setting.attach(network, one)));
            scope.spawn(move || setting.host.inside(setting.host.own(), attach));
        }
    });
    let all = setting.networks.attachments(&network).unwrap();
    let mut addresses: Vec<_> = all.iter().map(|one| one.addresses[0]).collect();
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), containers.len());
    assert_eq!(addresses.last().unwrap().address().to_string(), last_of(&network, 25));
}

fn last_of(network: &Network, number: u64) -> String {
    network.subnets[0].subnet.at(number).to_string()
}

/// A port that each attachment publishes.
fn reserved() -> (net::PortHolder, Vec<net::PortMapping>) {
    let specs = net::PortSpec::parse("8080:80").unwrap();
    let publishing = net::Publishing { v4: true, v6: false, default_ip: None };
    net::PortHolder::reserve(&specs, publishing).unwrap()
}

/// Attaches and detaches again and again in a child, which is killed after some time.
fn kill_after(
    setting: &Setting,
    network: &Network,
    container: &Container,
    ports: &[net::PortMapping],
    nanoseconds: u64,
) {
    let child = sys::process::fork_plain().unwrap();
    let Some(child) = child else {
        loop {
            let attached = setting.try_attach(network, container, |request| request.ports = ports);
            if attached.is_err() || setting.networks.detach(network, "a", None).is_err() {
                sys::process::exit(1);
            }
        }
    };
    let until = sys::time::monotonic_ns() + nanoseconds;
    while sys::time::monotonic_ns() < until {
        std::hint::spin_loop();
    }
    sys::process::signal_pidfd(&child.pidfd, SIGKILL).unwrap();
    let (_, exit) = sys::wait::child(child.pid, true).unwrap().unwrap();
    assert_eq!(exit, sys::wait::Exit::Signal(SIGKILL), "it ended by itself");
}

#[test]
fn a_kill_at_any_moment_leaves_nothing_behind_a_sweep() {
    let Some(setting) = Setting::new("a_kill_at_any_moment_leaves_nothing_behind_a_sweep") else {
        return;
    };
    let before = setting.left();
    let network = setting.network("web", |_| {});
    let container = setting.container("a");
    let (_holder, ports) = reserved();
    let mut interrupted = 0;
    for round in 0..KILLS {
        // Some hundred microseconds more each time, over more than a round of its work.
        kill_after(&setting, &network, &container, &ports, 500_000 + round * 700_000);
        interrupted += usize::from(setting.left().contains("attachments/"));
        setting.networks.sweep(&network, &|_| false).unwrap();
        assert_eq!(setting.left(), before, "round {round}");
    }
    assert!(interrupted > KILLS as usize / 4, "{interrupted} rounds left something to sweep");
    // And it can be used as if nothing had been.
    setting.attach(&network, &container);
}

#[test]
fn a_kill_in_the_first_attachment_of_a_network_is_swept_too() {
    let Some(setting) = Setting::new("a_kill_in_the_first_attachment_of_a_network_is_swept_too")
    else {
        return;
    };
    let before = setting.left();
    let container = setting.container("a");
    let (_holder, ports) = reserved();
    for round in 0..KILLS {
        let network = setting.network("web", |_| {});
        // Before, in and after the time in which it writes its first files.
        kill_after(&setting, &network, &container, &ports, 300_000 + round * 60_000);
        setting.networks.sweep(&network, &|_| false).unwrap();
        assert_eq!(setting.left(), before, "round {round}");
        setting.networks.remove(&network.name).unwrap();
    }
}
