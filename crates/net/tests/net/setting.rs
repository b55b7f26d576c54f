//! A host, a store of networks, containers, and what they say to each other.

use net::{
    AttachRequest, Attached, Network, NetworkSpec, Networks, Places, PortHolder, PortMapping,
    PortSpec, Publishing,
};
use private_net::Host;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use sys::Fd;

static COUNTER: AtomicU32 = AtomicU32::new(0);
/// Longer than anything takes on a busy machine, and than a lost packet is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// As long as a packet that is dropped is waited for.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

pub(crate) struct Setting {
    pub(crate) host: Host,
    pub(crate) networks: Networks,
    dir: PathBuf,
}

/// A container: a namespace and an id.
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) netns: Fd,
}

impl Setting {
    pub(crate) fn new(test: &str) -> Option<Self> {
        let host = Host::new(test)?;
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("tare-net-it-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let places = Places { records: dir.join("records"), run: dir.join("run") };
        Some(Self { host, networks: Networks::open(&places).unwrap(), dir })
    }

    pub(crate) fn dir(&self) -> &std::path::Path {
        &self.dir
    }

    pub(crate) fn network(&self, name: &str, change: impl FnOnce(&mut NetworkSpec)) -> Network {
        let mut spec = NetworkSpec { name: name.into(), ..NetworkSpec::default() };
        change(&mut spec);
        self.networks.create(&spec).unwrap()
    }

    pub(crate) fn container(&self, id: &str) -> Container {
        Container { id: id.into(), netns: self.host.container() }
    }

    pub(crate) fn attach(&self, network: &Network, container: &Container) -> Attached {
        self.try_attach(network, container, |_| {}).unwrap()
    }

    pub(crate) fn try_attach<'a>(
        &self,
        network: &Network,
        container: &'a Container,
        change: impl FnOnce(&mut AttachRequest<'a>),
    ) -> net::Result<Attached> {
        let mut request = AttachRequest {
            container: &container.id,
            name: &container.id,
            aliases: &[],
            netns: &container.netns,
            interface: None,
            devices: None,
            addresses: &[],
            link_local: &[],
            mac: None,
            ports: &[],
            default_route: true,
        };
        change(&mut request);
        self.networks.attach(network, &request)
    }

    /// Publishes ports as `-p` does, and attaches.
    pub(crate) fn publish(
        &self,
        network: &Network,
        container: &Container,
        ports: &[&str],
    ) -> (PortHolder, Vec<PortMapping>) {
        let specs = PortSpec::parse_all(ports).unwrap();
        let v6 = network.subnets.iter().any(|subnet| subnet.subnet.is_v6());
        let publishing = Publishing { v4: true, v6, default_ip: None };
        let (holder, mappings) = PortHolder::reserve(&specs, publishing).unwrap();
        self.try_attach(network, container, |request| request.ports = &mappings).unwrap();
        (holder, mappings)
    }

    pub(crate) fn detach(&self, network: &Network, container: &Container) {
        self.networks.detach(network, &container.id, Some(&container.netns)).unwrap();
    }

    /// A server in a namespace that says to everybody who they are, as long as the test lives.
    pub(crate) fn serve(&self, netns: &Fd, address: &str) {
        let address: SocketAddr = address.parse().unwrap();
        let listener = self.host.inside(netns, || TcpListener::bind(address).unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let peer = stream.peer_addr().map(|peer| peer.ip().to_canonical().to_string());
                let _ = stream.write_all(peer.unwrap_or_default().as_bytes());
            }
        });
    }

    /// The same by datagrams.
    pub(crate) fn serve_datagrams(&self, netns: &Fd, address: &str) {
        let address: SocketAddr = address.parse().unwrap();
        let socket = self.host.inside(netns, || UdpSocket::bind(address).unwrap());
        std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(peer.ip().to_string().as_bytes(), peer);
            }
        });
    }

    /// Who a server sees when somebody in `netns` asks it. `None`: no answer.
    pub(crate) fn ask(&self, netns: &Fd, address: &str, patience: Duration) -> Option<String> {
        let address: SocketAddr = address.parse().unwrap();
        let end = Instant::now() + patience;
        self.host.inside(netns, || {
            let connect = || TcpStream::connect_timeout(&address, patience);
            let mut connected = connect();
            // So it is told to whoever asked for the address when nobody had it, and a moment longer.
            while connected.as_ref().is_err_and(|it| it.kind() == ErrorKind::HostUnreachable)
                && Instant::now() < end
            {
                std::thread::sleep(Duration::from_millis(5));
                connected = connect();
            }
            let mut stream = connected.ok()?;
            stream.set_read_timeout(Some(patience)).unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).ok().map(|_| text)
        })
    }

    /// The same by datagrams, which may be lost, for those who should get an answer.
    pub(crate) fn ask_datagram(&self, netns: &Fd, address: &str) -> Option<String> {
        let address: SocketAddr = address.parse().unwrap();
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        self.host.inside(netns, || {
            let socket = UdpSocket::bind(any).unwrap();
            socket.set_read_timeout(Some(SHORT)).unwrap();
            socket.connect(address).ok()?;
            let (mut buffer, end) = ([0; 64], Instant::now() + PATIENCE);
            let length = loop {
                socket.send(b"?").ok()?;
                match socket.recv(&mut buffer) {
                    Err(_) if Instant::now() < end => {}
                    answered => break answered.ok()?,
                }
            };
            Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
        })
    }

    /// Waits until what is left is as it should be: what a namespace had goes when the kernel gets round to it.
    pub(crate) fn await_left(&self, is_fine: impl Fn(&str) -> bool) {
        let start = Instant::now();
        while !is_fine(&self.left()) {
            assert!(start.elapsed() < PATIENCE, "{}", self.left());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Everything of ours that the host has: devices, rules, leases.
    pub(crate) fn left(&self) -> String {
        let mut left = private_net::sh("ip -o link | grep -E 'tare|veth' || true");
        left += &String::from_utf8_lossy(&private_net::try_sh("nft list ruleset").stdout);
        left += &private_net::sh(&format!(
            "find {} -path '*leases/*' -o -path '*attachments/*' -o -path '*names/*'",
            self.dir.join("run").display()
        ));
        left
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// The address of a kind that a container has got.
pub(crate) fn address(attached: &Attached, is_v6: bool) -> IpAddr {
    attached.attachment.address(is_v6).unwrap().address()
}
