//! What goes through the networks of containers.

use super::tools::Tool;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

/// What is sent through one connection.
const SENT_MIB: usize = 256;
/// Connections, one after the other.
const CONNECTIONS: u32 = 2000;
const SINK: u16 = 5000;
const WEB: u16 = 80;
/// A program that does not listen by then does not.
const LISTENS: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);
const ANEW: Duration = Duration::from_millis(500);

/// MB/s from one container to another, from the host to a container, and connections per second.
pub(super) fn figures(tool: &Tool) -> Result<[f64; 3], String> {
    // nc says that it has nothing to send when its input ends, and the other one ends with that.
    let listen = format!(
        "/bin/busybox httpd -p {WEB} -h /etc; /bin/busybox mkfifo /tmp/open; exec 3<>/tmp/open
        while true; do /bin/busybox nc -l -p {SINK} <&3 > /dev/null; done"
    );
    let run = |name: &str, script: &str| {
        let words = ["run", "-d", "--name", name, "--network", "bridge", "box:1"];
        tool.output(&[&words[..], &["sh", "-c", script]].concat())
    };
    run("server", &listen)?;
    run("client", "sleep 100000")?;
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let text = tool.output(&["container", "inspect", "--format", format, "server"])?;
    let text = text.trim();
    let address: Ipv4Addr =
        text.parse().map_err(|_| format!("{}: {text:?} is no address", tool.name))?;
    let measured = [between(tool, address), from_host(address), connections(address)];
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
fn between(tool: &Tool, address: Ipv4Addr) -> Result<f64, String> {
    drop(connect(address, SINK)?);
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

fn from_host(address: Ipv4Addr) -> Result<f64, String> {
    std::thread::sleep(ANEW);
    let mut stream = connect(address, SINK)?;
    let piece = vec![0; 1 << 20];
    let began = Instant::now();
    for _ in 0..SENT_MIB {
        stream.write_all(&piece).map_err(|error| format!("sending to {address}: {error}"))?;
    }
    Ok(megabytes_per_second(began.elapsed()))
}

fn connections(address: Ipv4Addr) -> Result<f64, String> {
    drop(connect(address, WEB)?);
    let began = Instant::now();
    for _ in 0..CONNECTIONS {
        let ask = || {
            let mut stream = TcpStream::connect(SocketAddrV4::new(address, WEB))?;
            stream.write_all(b"GET /passwd HTTP/1.0\r\n\r\n")?;
            stream.read_to_end(&mut Vec::new())
        };
        let count = ask().map_err(|error| format!("asking {address}: {error}"))?;
        if count == 0 {
            return Err(format!("{address} does not answer"));
        }
    }
    Ok(f64::from(CONNECTIONS) / began.elapsed().as_secs_f64())
}

fn connect(address: Ipv4Addr, port: u16) -> Result<TcpStream, String> {
    let began = Instant::now();
    loop {
        match TcpStream::connect(SocketAddrV4::new(address, port)) {
            Ok(stream) => return Ok(stream),
            Err(_) if began.elapsed() < LISTENS => std::thread::sleep(PAUSE),
            Err(error) => return Err(format!("connecting to {address}:{port}: {error}")),
        }
    }
}
