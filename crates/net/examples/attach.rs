//! How long it takes to put containers into a network and to take them out again: `attach [COUNT]`.
//!
//! Everything happens on a host of its own, each container publishes a port; times are of wall clock, in microseconds.
//! The first containers and the last ones are told apart: with a thousand in the network the next one must not take
//! longer than with ten.

use net::{
    AttachRequest, NameConfig, NameService, NetworkSpec, Networks, Places, PortMapping, PortSpec,
    Publishing,
};
use std::io::Write;
use std::time::Instant;

fn main() -> Result<(), net::Error> {
    let count: usize = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(100);
    let Some(host) = private_net::Host::new("attach") else { return Ok(()) };
    let dir = std::path::PathBuf::from(format!("/dev/shm/tare-net-attach-{}", std::process::id()));
    let networks = Networks::open(&Places { records: dir.join("records"), run: dir.join("run") })?;
    let network = networks.create(&NetworkSpec { name: "n".into(), ..NetworkSpec::default() })?;
    let namespaces: Vec<_> = (0..count).map(|_| host.container()).collect();
    let (mut attach, mut detach, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    let ports = ports(count)?;
    let ids: Vec<String> = (0..count).map(|number| format!("c{number}")).collect();
    let put = |number: usize, times: &mut Vec<u128>| {
        let start = Instant::now();
        let request = AttachRequest {
            container: &ids[number],
            name: &ids[number],
            aliases: &[],
            netns: &namespaces[number],
            interface: Some("eth0"),
            devices: Some(&[]),
            addresses: &[],
            link_local: &[],
            mac: None,
            ports: std::slice::from_ref(&ports[number]),
            default_route: true,
        };
        let attached = networks.attach(&network, &request);
        times.push(start.elapsed().as_micros());
        attached.map(drop)
    };
    let take = |number: usize, times: &mut Vec<u128>| {
        let start = Instant::now();
        let taken = networks.detach(&network, &ids[number], None);
        times.push(start.elapsed().as_micros());
        taken
    };
    // The first one brings bridge and rules.
    put(0, &mut alone)?;
    take(0, &mut alone)?;
    let first_of_all = std::mem::take(&mut alone);
    for _ in 0..10 {
        put(0, &mut alone)?;
        take(0, &mut alone)?;
    }
    (0..count).try_for_each(|number| put(number, &mut attach))?;
    let mut names = Vec::new();
    for namespace in &namespaces {
        let start = Instant::now();
        drop(NameService::open(namespace, &NameConfig::default())?);
        names.push(start.elapsed().as_micros());
    }
    (0..count).rev().try_for_each(|number| take(number, &mut detach))?;
    let (alone_in, alone_out): (Vec<u128>, Vec<u128>) =
        alone.chunks_exact(2).map(|pair| (pair[0], pair[1])).unzip();
    let some = 10.min(count);
    let lines = [
        ("attach, with bridge and rules", first_of_all[..1].to_vec()),
        ("attach, alone", alone_in),
        ("detach, alone", alone_out),
        ("attach, the first ten", attach[..some].to_vec()),
        ("attach, the last ten", attach[count - some..].to_vec()),
        ("name service", names),
        ("detach, the first ten", detach[..some].to_vec()),
        ("detach, the last ten", detach[count - some..].to_vec()),
    ];
    lines.into_iter().for_each(|(what, times)| print(what, times));
    let _ = std::fs::remove_dir_all(&dir);
    Ok(())
}

/// A port of the host for each container.
fn ports(count: usize) -> Result<Vec<PortMapping>, net::Error> {
    let publishing = Publishing { v4: true, v6: false, default_ip: None };
    let last = 20_000 + count - 1;
    let specs = PortSpec::parse(&format!("20000-{last}:20000-{last}"))?;
    net::PortHolder::reserve(&specs, publishing).map(|(_, mappings)| mappings)
}

fn print(what: &str, mut times: Vec<u128>) {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    let line = format!("{what:<30} median {:>6} us, 95 % {:>6} us\n", at(50), at(95));
    // With standard output closed there is nobody to tell.
    let _ = std::io::stdout().write_all(line.as_bytes());
}
