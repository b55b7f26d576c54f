//! The way out of an ordinary user's container: pasta, as a child of its supervisor.
//!
//! It is started again whenever it ends, whatever ended it. Of a container in networks it is one more device, which has the
//! default route: between containers packets go by bridges, and everything else goes by the user's own sockets.

use super::network::{port, specs};
use crate::error::{During, Error, Kind, Result};
use crate::place::Engine;
use crate::record::{Config, Port};
use net::{Pasta, PastaRequest, PortHolder, PortMapping, Protocol, Publishing};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use sys::time::monotonic_ms;
use sys::wait::{POLLIN, PollFd};
use sys::{Fd, fs};

/// Where pasta is looked for.
const PROGRAMS: [&str; 4] = ["/usr/bin", "/usr/local/bin", "/usr/sbin", "/bin"];
/// What goes before pasta's own options, with commas between.
const PASTA: &str = "pasta";
/// The name of its device in a container that has others.
pub(super) const DEVICE: &str = "pasta0";
/// One that has run for so long is started again at once.
const STEADY_MS: u64 = 10_000;
/// Otherwise after these, each twice the last one.
const FIRST_PAUSE_MS: u64 = 100;
const LAST_PAUSE_MS: u64 = 60_000;

/// Whether this machine has pasta.
pub fn has_pasta() -> bool {
    find().is_ok()
}

fn find() -> Result<PathBuf> {
    Ok(net::find_pasta(PROGRAMS.iter().map(Path::new))?)
}

/// pasta's own options, of a container that has nothing else.
pub(super) fn options(config: &Config) -> Option<Vec<String>> {
    let rest = config.network.mode.strip_prefix(PASTA)?;
    match rest.strip_prefix(':') {
        Some(options) => Some(options.split(',').map(str::to_owned).collect()),
        None => rest.is_empty().then(Vec::new),
    }
}

/// A network namespace that has a path in the supervisor's mount namespace: nobody may look into the container's first
/// process before its program runs, and without the rights of root not even the supervisor.
pub(crate) struct Pinned {
    pub(super) netns: Arc<Fd>,
    pub(super) path: PathBuf,
}

impl Pinned {
    /// One for a container of an ordinary user that is to have networks, or pasta.
    pub(super) fn of(engine: &Engine, config: &Config) -> Result<Option<Self>> {
        const WHAT: &str = "making a network namespace";
        if options(config).is_none() && !(engine.ground.is_some() && config.network.mode.is_empty())
        {
            return Ok(None);
        }
        let netns = make_netns()?;
        let path = engine.path_of(&config.id).join("netns");
        let bytes = path.as_os_str().as_bytes();
        let file = fs::open_at(sys::CWD, bytes, fs::O_RDWR | fs::O_CREAT, 0o600).during(|| WHAT)?;
        sys::mount::clone_tree(&netns, "", false)
            .and_then(|tree| sys::mount::attach(&tree, &file))
            .during(|| WHAT)?;
        Ok(Some(Self { netns: Arc::new(netns), path }))
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = sys::mount::unmount(self.path.as_os_str().as_bytes(), sys::mount::MNT_DETACH);
    }
}

/// By a process of its own: who has left the host's network namespace may not be let in again.
pub(crate) fn make_netns() -> Result<Fd> {
    const WHAT: &str = "making a network namespace";
    let (ours, theirs) = sys::socket::pair(sys::socket::Kind::Stream).during(|| WHAT)?;
    let Some(child) = sys::process::fork_plain().during(|| WHAT)? else {
        let made = sys::process::unshare(sys::process::CLONE_NEWNET)
            .and_then(|()| fs::open_read("/proc/self/ns/net"))
            .and_then(|netns| sys::socket::send(&theirs, b"1", &[netns.raw()]));
        sys::process::exit(i32::from(made.is_err()));
    };
    drop(theirs);
    let mut byte = [0u8; 1];
    let received = sys::socket::receive(&ours, &mut byte);
    let _ = sys::wait::child(child.pid, true);
    let (_, mut fds) = received.during(|| WHAT)?;
    fds.pop().ok_or_else(|| Error::os(WHAT, sys::Errno::EPERM))
}

/// pasta of a container, whether it runs or is to be started again.
pub(crate) struct Way {
    pasta: Option<Pasta>,
    path: PathBuf,
    dir: PathBuf,
    interface: Option<&'static str>,
    options: Vec<String>,
    ports: Vec<PortMapping>,
    started_ms: u64,
    pause_ms: u64,
    again_at: Option<u64>,
}

impl Way {
    /// Of a container that has nothing else.
    pub(super) fn alone(
        engine: &Engine,
        config: &Config,
        pinned: &Pinned,
        options: Vec<String>,
    ) -> Result<Self> {
        let mut way = Self::new(engine, config, pinned)?;
        way.options = options;
        way.start()?;
        Ok(way)
    }

    /// Of a container in networks. On a host that has no way out itself it is tried again later: containers reach each
    /// other all the same.
    pub(super) fn beside_networks(
        engine: &Engine,
        config: &Config,
        pinned: &Pinned,
        warnings: &mut Vec<String>,
    ) -> Result<Self> {
        let mut way = Self::new(engine, config, pinned)?;
        way.interface = Some(DEVICE);
        match way.start() {
            Err(error) if way.ports.is_empty() && !net::has_default_route() => {
                warnings.push(format!(
                    "the host has no default route, and the container no way out yet: {error}"
                ));
                way.wait();
            }
            started => started?,
        }
        Ok(way)
    }

    fn new(engine: &Engine, config: &Config, pinned: &Pinned) -> Result<Self> {
        let specs = specs(config)?;
        if let Some(spec) = specs.iter().find(|spec| spec.protocol == Protocol::Sctp) {
            let text = format!(
                "publishing port {}/sctp: pasta knows tcp and udp only",
                spec.container_port
            );
            return Err(Error::new(Kind::Unsupported, text)
                .with_hint("root publishes it, by rules of the kernel"));
        }
        let publishing = Publishing { v4: true, v6: true, default_ip: None };
        let (holder, ports) = PortHolder::reserve(&specs, publishing)?;
        // pasta takes them itself.
        drop(holder);
        Ok(Self {
            pasta: None,
            path: pinned.path.clone(),
            dir: engine.path_of(&config.id),
            interface: None,
            options: Vec::new(),
            ports,
            started_ms: 0,
            pause_ms: 0,
            again_at: None,
        })
    }

    fn start(&mut self) -> Result<()> {
        let program = find()?;
        self.started_ms = monotonic_ms();
        self.pasta = Some(net::start_pasta(&PastaRequest {
            program: &program,
            namespace: net::Namespace::Path(self.path.clone(), None),
            ports: &self.ports,
            dir: &self.dir,
            interface: self.interface,
            options: &self.options,
        })?);
        Ok(())
    }

    /// The published ports.
    pub(super) fn ports(&self) -> Vec<Port> {
        self.ports.iter().map(port).collect()
    }

    /// Readable when pasta has ended.
    pub(crate) fn poll(&self) -> PollFd {
        self.pasta.as_ref().map_or_else(PollFd::none, |pasta| PollFd::new(&pasta.pidfd, POLLIN))
    }

    /// When it is to be started again.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        self.again_at
    }

    /// It has ended.
    pub(crate) fn ended(&mut self) {
        self.pasta = None;
        if monotonic_ms().saturating_sub(self.started_ms) >= STEADY_MS {
            self.pause_ms = 0;
            self.again_at = Some(0);
        } else {
            self.wait();
        }
    }

    fn wait(&mut self) {
        self.pause_ms = (self.pause_ms * 2).clamp(FIRST_PAUSE_MS, LAST_PAUSE_MS);
        self.again_at = Some(monotonic_ms() + self.pause_ms);
    }

    /// Starts it again when that is due.
    pub(crate) fn follow_clock(&mut self) {
        if self.again_at.take_if(|at| *at <= monotonic_ms()).is_some() && self.start().is_err() {
            self.wait();
        }
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        if let Some(pasta) = &self.pasta {
            pasta.stop();
        }
    }
}
