//! What goes through the networks of containers.

use super::tools::Tool;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

/// What is sent through one connection.
const SENT_MIB: usize = 256;
/// Connections, one after the other.
const CONNECTIONS: u32 = 2000;
pub(super) const SINK: u16 = 5000;
pub(super) const WEB: u16 = 80;
/// A program that does not listen by then does not.
const LISTENS: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);
const ANEW: Duration = Duration::from_millis(500);

/// Where the host reaches the server.
#[derive(Clone, Copy)]
pub(super) struct Entrances {
    pub(super) sink: SocketAddrV4,
    pub(super) web: SocketAddrV4,
}

/// A script that takes what is sent, and answers what is asked; `open` is a file that it makes.
pub(super) fn server(busybox: &str, open: &str) -> String {
    // nc says that it has nothing to send when its input ends, and the other one ends with that.
    format!(
        "{busybox} httpd -f -p {WEB} -h /etc & {busybox} mkfifo {open}; exec 3<>{open}
        while true; do {busybox} nc -l -p {SINK} <&3 > /dev/null; done"
    )
}

/// MB/s from one container to another, from the host to a container, and connections per second.
pub(super) fn figures(tool: &Tool) -> Result<[f64; 3], String> {
    figures_in(tool, "bridge", &[], None)
}

/// The same in a network, with a server that is published; without entrances the host reaches it by its address.
pub(super) fn figures_in(
    tool: &Tool,
    network: &str,
    published: &[&str],
    entrances: Option<Entrances>,
) -> Result<[f64; 3], String> {
    let run = |name: &str, more: &[&str], script: &str| {
        let words = ["run", "-d", "--name", name, "--network", network];
        tool.output(&[&words[..], more, &["box:1", "sh", "-c", script]].concat())
    };
    run("server", published, &server("/bin/busybox", "/tmp/open"))?;
    run("client", &[], "sleep 100000")?;
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let text = tool.output(&["container", "inspect", "--format", format, "server"])?;
    let text = text.trim();
    let address: Ipv4Addr =
        text.parse().map_err(|_| format!("{}: {text:?} is no address", tool.name))?;
    let by_address =
        Entrances { sink: SocketAddrV4::new(address, SINK), web: SocketAddrV4::new(address, WEB) };
    let at = entrances.unwrap_or(by_address);
    let measured = [between(tool, address, at.sink), from_host(at.sink), connections(at.web)];
    for name in ["server", "client"] {
        tool.output(&["rm", "-f", name])?;
    }
    let [between, from_host, connections] = measured;
    Ok([between?, from_host?, connections?])
}

fn megabytes_per_second(time: Duration) -> f64 {
    (SENT_MIB << 20) as f64 / 1e6 / time.as_secs_f64().max(1e-6)
}

/// Without what it takes to execute a program there.
fn between(tool: &Tool, address: Ipv4Addr, entrance: SocketAddrV4) -> Result<f64, String> {
    drop(connect(entrance)?);
    let timed = |script: &str| {
        let began = Instant::now();
        tool.output(&["exec", "client", "sh", "-c", script]).map(|_| began.elapsed())
    };
    // The listener starts anew after each connection.
    std::thread::sleep(ANEW);
    let nothing = timed("true")?;
    let send = format!(
        "/bin/busybox dd if=/dev/zero bs=1M count={SENT_MIB} 2>/dev/null | /bin/busybox nc {address} {SINK}"
    );
    Ok(megabytes_per_second(timed(&send)?.saturating_sub(nothing)))
}

pub(super) fn from_host(entrance: SocketAddrV4) -> Result<f64, String> {
    std::thread::sleep(ANEW);
    let mut stream = connect(entrance)?;
    let piece = vec![0; 1 << 20];
    let began = Instant::now();
    for _ in 0..SENT_MIB {
        stream.write_all(&piece).map_err(|error| format!("sending to {entrance}: {error}"))?;
    }
    Ok(megabytes_per_second(began.elapsed()))
}

pub(super) fn connections(entrance: SocketAddrV4) -> Result<f64, String> {
    drop(connect(entrance)?);
    let began = Instant::now();
    for _ in 0..CONNECTIONS {
        let ask = || {
            let mut stream = TcpStream::connect(entrance)?;
            stream.write_all(b"GET /passwd HTTP/1.0\r\n\r\n")?;
            stream.read_to_end(&mut Vec::new())
        };
        let count = ask().map_err(|error| format!("asking {entrance}: {error}"))?;
        if count == 0 {
            return Err(format!("{entrance} does not answer"));
        }
    }
    Ok(f64::from(CONNECTIONS) / began.elapsed().as_secs_f64())
}

fn connect(entrance: SocketAddrV4) -> Result<TcpStream, String> {
    let began = Instant::now();
    loop {
        match TcpStream::connect(entrance) {
            Ok(stream) => return Ok(stream),
            Err(_) if began.elapsed() < LISTENS => std::thread::sleep(PAUSE),
            Err(error) => return Err(format!("connecting to {entrance}: {error}")),
        }
    }
}
