//! The networks of an ordinary user: `tare` beside podman, and pasta alone.

use super::network::{self, Entrances};
use super::tools::Tool;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const USER: &str = "65534";
/// What the administrator has set aside for the user.
const RANGES: &str = "65534:200000:65536\n";
const NETWORK: &str = "bench";
/// Where the server is published.
const ENTRANCES: Entrances = Entrances {
    sink: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 15000),
    web: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 15080),
};

/// Measures, and prints a table. What a tool cannot do here is said, and left out.
pub(super) fn measure(
    dir: &Path,
    programs: &Path,
    tar: &Path,
    with_podman: bool,
) -> Result<(), String> {
    let home = prepare(dir)?;
    crate::print(
        "\n| of an ordinary user | container to container, MB/s | host to container, MB/s | connections per second |\n|---|---|---|---|\n",
    );
    let mut tools = vec![Tool::tare(&programs.join("tare"), &home)];
    if with_podman {
        tools.push(Tool::podman(&home));
    }
    for tool in tools.into_iter().map(|tool| tool.typed_by(&as_user(&home))) {
        let measured = tool.import(tar).and_then(|()| of_tool(&tool));
        tool.remove_all();
        match measured {
            Ok([between, from_host, connections]) => crate::print(&format!(
                "| {} | {between:.0} | {from_host:.0} | {connections:.0} |\n",
                tool.name
            )),
            Err(error) => {
                crate::print(&format!("| {} | {} | | |\n", tool.name, error.replace('\n', " ")))
            }
        }
    }
    end_pause(&home);
    let (from_host, connections) = of_pasta(&home)?;
    crate::print(&format!("| pasta alone | | {from_host:.0} | {connections:.0} |\n"));
    Ok(())
}

/// A home, ranges of ids, and a device that pasta takes for the way out.
fn prepare(dir: &Path) -> Result<PathBuf, String> {
    let home = dir.join("home");
    let script = format!(
        "mkdir -p $0; chown {USER}:{USER} $0; printf '{RANGES}' > $0.ranges
        mount --bind $0.ranges /etc/subuid; mount --bind $0.ranges /etc/subgid
        ip link add d0 type veth peer name d1; ip addr add 10.5.5.1/24 dev d0
        ip link set d0 up; ip link set d1 up; ip route add default via 10.5.5.2"
    );
    let status = Command::new("sh").args(["-ec", &script]).arg(&home).status();
    match status {
        Ok(status) if status.success() => Ok(home),
        _ => Err("making an ordinary user failed".into()),
    }
}

/// What comes before a command of the user's.
fn as_user(home: &Path) -> Vec<String> {
    let home = home.to_string_lossy();
    let words = ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups", "env"];
    let more = [format!("HOME={home}"), format!("XDG_RUNTIME_DIR={home}")];
    words.map(str::to_owned).into_iter().chain(more).collect()
}

fn of_tool(tool: &Tool) -> Result<[f64; 3], String> {
    tool.output(&["network", "create", NETWORK])?;
    let port = |entrance: SocketAddrV4, port: u16| format!("{entrance}:{port}");
    let (sink, web) = (port(ENTRANCES.sink, network::SINK), port(ENTRANCES.web, network::WEB));
    let published = ["-p", sink.as_str(), "-p", web.as_str()];
    let figures = network::figures_in(tool, NETWORK, &published, Some(ENTRANCES));
    let _ = tool.output(&["network", "rm", NETWORK]);
    figures
}

/// The same server in a namespace that pasta has made.
fn of_pasta(home: &Path) -> Result<(f64, f64), String> {
    let front = as_user(home);
    let ports = format!(
        "{}:{},{}:{}",
        ENTRANCES.sink.port(),
        network::SINK,
        ENTRANCES.web.port(),
        network::WEB
    );
    let script = network::server("busybox", &home.join("open").to_string_lossy());
    let child = Command::new(&front[0])
        .args(&front[1..])
        .args([
            "pasta",
            "--config-net",
            "--quiet",
            "--foreground",
            "--no-map-gw",
            "-t",
            &ports,
            "-u",
            "none",
        ])
        .args(["--", "sh", "-c", &script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|error| format!("starting pasta: {error}"))?;
    let _running = Running(child);
    Ok((network::from_host(ENTRANCES.sink)?, network::connections(ENTRANCES.web)?))
}

/// podman leaves a process behind that keeps its namespaces.
fn end_pause(home: &Path) {
    let text = std::fs::read_to_string(home.join("libpod/tmp/pause.pid")).unwrap_or_default();
    if let Ok(pid) = text.trim().parse() {
        let _ = sys::process::kill(pid, 15);
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // The server, too.
        let _ = sys::process::kill(-(self.0.id() as i32), 9);
        let _ = self.0.wait();
    }
}
