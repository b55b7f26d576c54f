//! Networks without rights: pasta(1), which connects a network namespace with the sockets of an ordinary user.
//!
//! It is a process of its own for each container, started in the foreground by whoever looks after the container, and
//! ends with it. It opens the ports of the host itself: what [`crate::PortHolder`] holds has to be let go first.

use crate::error::{During, Error, Kind, Result};
use crate::ports::{PortMapping, Protocol};
use std::path::{Path, PathBuf};
use sys::fs::{self, O_RDWR};
use sys::wait::{POLLIN, PollFd};
use sys::{CStrings, Fd, process};

/// How long pasta may take to set everything up. It takes some ten milliseconds; a machine that swaps is slow, though.
const READY_MS: u64 = 10_000;
/// Pauses between two looks whether it has.
const LOOK_MS: u64 = 1;
/// What pasta says when it fails.
const WORDS_BYTES: usize = 4096;
const SIGKILL: i32 = 9;
/// The code of a child that could not become pasta.
const NOT_STARTED: i32 = 127;

/// Which namespace is to be connected.
#[derive(Clone, Debug)]
pub enum Namespace {
    /// That of a process, whose user namespace is joined, too.
    Process(i32),
    /// The one at this path, in the user namespace at the other one, or in the caller's.
    Path(PathBuf, Option<PathBuf>),
}

/// What pasta is to do.
#[derive(Clone, Debug)]
pub struct PastaRequest<'a> {
    /// The program: see [`find_pasta`].
    pub program: &'a Path,
    /// The container's namespace.
    pub namespace: Namespace,
    /// Published ports.
    pub ports: &'a [PortMapping],
    /// A directory of the caller's, for a file that is there for a moment.
    pub dir: &'a Path,
    /// The name of the device in the container; `None`: as the host's.
    pub interface: Option<&'a str>,
    /// More of pasta's own options, which come last: `--network pasta:OPTION,...`.
    pub options: &'a [String],
}

/// A running pasta. It ends when the process that started it does, and with [`Pasta::stop`].
#[derive(Debug)]
pub struct Pasta {
    /// Its process id.
    pub pid: i32,
    /// A descriptor that stands for it, and is readable when it has ended.
    pub pidfd: Fd,
}

/// pasta among the directories of programs; without it what can be done.
pub fn find_pasta<'a>(dirs: impl IntoIterator<Item = &'a Path>) -> Result<PathBuf> {
    let found = dirs.into_iter().map(|dir| dir.join("pasta")).find(|path| path.is_file());
    found.ok_or_else(|| {
        Error::new(Kind::Unsupported, "networks of an ordinary user need the program pasta")
            .with_hint(
                "install `passt` (its name in Debian and Fedora), or use --network host or none",
            )
    })
}

/// Starts pasta, and waits until the container is connected. The calling process has one thread only.
pub fn start_pasta(request: &PastaRequest<'_>) -> Result<Pasta> {
    let mut random = [0; 8];
    sys::time::random(&mut random).during(|| "asking for a random number".into())?;
    let file = request.dir.join(format!("pasta-{:016x}.pid", u64::from_ne_bytes(random)));
    let words = fs::memory_file("pasta's words", false).during(|| "making a file".into())?;
    let null =
        fs::open_at(sys::CWD, "/dev/null", O_RDWR, 0).during(|| "opening /dev/null".into())?;
    let arguments = CStrings::new(&arguments(request, &file)).during(|| "naming ports".into())?;
    let none = CStrings::new::<&str>(&[]).during(|| "naming ports".into())?;
    let program = request.program.as_os_str().as_encoded_bytes();
    let own = process::id();
    let Some(child) = process::fork_plain().during(|| "starting pasta".into())? else {
        // The order matters: a parent that has ended before that would never be noticed.
        let _ = process::set_parent_death_signal(SIGKILL);
        if process::parent_id() != own {
            process::exit(NOT_STARTED);
        }
        // Programs in Rust ignore SIGPIPE, which some versions of pasta take for a failure.
        sys::signal::reset_all();
        let _ = sys::signal::set_mask(sys::signal::SignalSet::default());
        for (fd, target) in [(&null, 0), (&null, 1), (&words, 2)] {
            let _ = fs::duplicate_to(fd, target);
        }
        process::exec(program, &arguments, &none);
        process::exit(NOT_STARTED);
    };
    let pasta = Pasta { pid: child.pid, pidfd: child.pidfd };
    let ready = wait_until_ready(&pasta, &file, &words);
    let _ = std::fs::remove_file(&file);
    match ready {
        Ok(()) => Ok(pasta),
        Err(error) => {
            pasta.stop();
            Err(error)
        }
    }
}

impl Pasta {
    /// Ends it. Whoever started it has waited for it then.
    pub fn stop(&self) {
        let _ = process::signal_pidfd(&self.pidfd, SIGKILL);
        // It is a child; somebody else may have waited for it.
        let _ = sys::wait::child(self.pid, true);
    }
}

/// It writes its number when everything is there, and ends if something is not.
fn wait_until_ready(pasta: &Pasta, file: &Path, words: &Fd) -> Result<()> {
    let start = sys::time::monotonic_ms();
    loop {
        if std::fs::metadata(file).is_ok_and(|file| file.len() > 0) {
            return Ok(());
        }
        let mut fds = [PollFd::new(&pasta.pidfd, POLLIN)];
        let ended =
            sys::wait::poll(&mut fds, Some(LOOK_MS)).during(|| "waiting for pasta".into())?;
        if ended > 0 {
            return Err(failed(&said(words)));
        }
        if sys::time::monotonic_ms() - start > READY_MS {
            let text = format!("pasta has not connected the container in {} s", READY_MS / 1000);
            return Err(Error::new(Kind::Busy, text));
        }
    }
}

fn failed(words: &str) -> Error {
    let taken = words.contains("Address already in use") || words.contains("Failed to bind");
    let kind = if taken { Kind::InUse } else { Kind::Unsupported };
    let error = Error::new(kind, format!("pasta could not connect the container: {words}"));
    match taken {
        true => error.with_hint("another program has one of the published ports, or it is below the first \
                                 port for ordinary users (sysctl net.ipv4.ip_unprivileged_port_start)"),
        false => error,
    }
}

/// What it said, on one line, without what every start of it says.
fn said(words: &Fd) -> String {
    let _ = fs::seek(words, 0);
    let bytes = fs::read_to_end(words, WORDS_BYTES).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let lines = text.lines().filter(|line| !line.contains("to syslog") && !line.trim().is_empty());
    let lines: Vec<&str> = lines.map(str::trim).collect();
    if lines.is_empty() { "it says nothing".into() } else { lines.join("; ") }
}

/// As podman calls it: nothing is forwarded but what is published, and the host is not reached by its gateway.
fn arguments(request: &PastaRequest<'_>, file: &Path) -> Vec<String> {
    let mut all: Vec<String> = ["pasta", "--config-net", "--foreground", "--quiet", "--no-map-gw"]
        .map(String::from)
        .to_vec();
    all.extend(["--pid".into(), file.display().to_string()]);
    if let Some(name) = request.interface {
        all.extend(["--ns-ifname".into(), name.into()]);
    }
    for (protocol, option) in [(Protocol::Tcp, "-t"), (Protocol::Udp, "-u")] {
        let mut ports: Vec<String> = Vec::new();
        for port in request.ports.iter().filter(|port| port.protocol == protocol) {
            let place = format!("{}:{}", port.host_port, port.container_port);
            let place = match port.host_ip.0 {
                ip if ip.is_unspecified() => place,
                ip => format!("{ip}/{place}"),
            };
            if !ports.contains(&place) {
                ports.push(place);
            }
        }
        if ports.is_empty() {
            ports.push("none".into());
        }
        all.extend(ports.into_iter().flat_map(|port| [option.to_owned(), port]));
    }
    all.extend(["-T", "none", "-U", "none"].map(String::from));
    all.extend(request.options.iter().cloned());
    match &request.namespace {
        Namespace::Process(pid) => all.push(pid.to_string()),
        Namespace::Path(netns, users) => {
            if let Some(users) = users {
                all.extend(["--userns".into(), users.display().to_string()]);
            }
            all.extend(["--netns".into(), netns.display().to_string()]);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request<'a>(ports: &'a [PortMapping], options: &'a [String]) -> PastaRequest<'a> {
        PastaRequest {
            program: Path::new("/usr/bin/pasta"),
            namespace: Namespace::Path("/n".into(), Some("/u".into())),
            ports,
            dir: Path::new("/tmp"),
            interface: Some("eth0"),
            options,
        }
    }

    #[test]
    fn published_ports_are_told_once() {
        let port = |ip: &str, host_port: u16, protocol: Protocol| PortMapping {
            host_ip: crate::Ip(ip.parse().unwrap()),
            host_port,
            container_port: 80,
            protocol,
        };
        let ports = [
            port("0.0.0.0", 8080, Protocol::Tcp),
            port("::", 8080, Protocol::Tcp),
            port("127.0.0.1", 8081, Protocol::Tcp),
        ];
        let more = ["--mtu".to_owned(), "1400".to_owned()];
        let all = arguments(&request(&ports, &more), Path::new("/p")).join(" ");
        let expected = "pasta --config-net --foreground --quiet --no-map-gw --pid /p --ns-ifname eth0 -t 8080:80 \
                        -t 127.0.0.1/8081:80 -u none -T none -U none --mtu 1400 --userns /u --netns /n";
        assert_eq!(all, expected);
    }

    #[test]
    fn without_pasta_it_is_said_what_to_do() {
        let error = find_pasta([Path::new("/nonexistent")]).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
        assert!(error.hint().unwrap().contains("passt"));
    }
}
