//! `NOTIFY_SOCKET` (sd_notify(3)): systemd hears that a container is ready.
//!
//! The container never gets the host's socket, through which it could name any process as the service's main one. It
//! gets one of its own, and of what comes through it only the word that it is ready goes on, in this program's words
//! and with the supervisor as the main process.

use crate::error::{During, Result};
use crate::place::Engine;
use crate::record::Config;
use std::path::PathBuf;
use sys::wait::{POLLIN, PollFd};
use sys::{Fd, fs, process, socket};

/// Below the container's own files, and where the container has it.
const DIR: &str = "notify";
const SOCKET: &str = "notify";
pub(crate) const INSIDE: &str = "/run/notify";
/// Longest datagram that is looked at; systemd's own limit.
const LIMIT_BYTES: usize = 4096;
/// systemd reads sooner, or does not read.
const TIMEOUT_MS: u64 = 5_000;

/// Who says that a container is ready.
#[derive(Debug)]
pub(super) struct Notify {
    host: String,
    /// The container's own socket, where the container says it.
    own: Option<Fd>,
    when_healthy: bool,
    when_started: bool,
}

/// The container's socket is to be there.
pub(crate) fn is_containers(engine: &Engine, config: &Config) -> bool {
    engine.place.notify_socket.is_some() && matches!(config.sdnotify.as_str(), "" | "container")
}

/// Where the directory with the container's socket is.
pub(crate) fn directory(engine: &Engine, config: &Config) -> PathBuf {
    engine.path_of(&config.id).join("files").join(DIR)
}

impl Notify {
    /// Listens where the container says it; nothing where nobody wants to hear it.
    pub(super) fn new(engine: &Engine, config: &Config) -> Result<Option<Self>> {
        let Some(host) = engine.place.notify_socket.clone() else { return Ok(None) };
        let is = |mode: &str| config.sdnotify == mode;
        if is("ignore") {
            return Ok(None);
        }
        let own = match is_containers(engine, config) {
            true => Some(listen(engine, config)?),
            false => None,
        };
        Ok(Some(Self { host, own, when_healthy: is("healthy"), when_started: is("conmon") }))
    }

    pub(super) fn poll(&self) -> PollFd {
        self.own.as_ref().map_or_else(PollFd::none, |own| PollFd::new(own, POLLIN))
    }

    /// The program runs.
    pub(super) fn started(&self) {
        if self.when_started {
            self.tell();
        }
    }

    /// A health check says so.
    pub(super) fn healthy(&self) {
        if self.when_healthy {
            self.tell();
        }
    }

    /// Takes what the container has said.
    pub(super) fn serve(&self) {
        let Some(own) = &self.own else { return };
        let mut buffer = [0u8; LIMIT_BYTES];
        // Descriptors that come along are closed by the kernel: nothing here receives them.
        let length = fs::read(own, &mut buffer).unwrap_or(0);
        if is_ready(&buffer[..length]) {
            self.tell();
        }
    }

    /// A host that does not listen cannot be helped.
    fn tell(&self) {
        let told = || -> sys::Result<()> {
            let host = socket::unix(socket::Kind::Datagram)?;
            socket::set_timeout_ms(&host, TIMEOUT_MS)?;
            socket::connect(&host, &self.host)?;
            let message = format!("READY=1\nMAINPID={}", process::id());
            socket::send(&host, message.as_bytes(), &[]).map(drop)
        };
        let _ = told();
    }
}

fn is_ready(message: &[u8]) -> bool {
    message.split(|byte| *byte == b'\n').any(|line| line == b"READY=1")
}

fn listen(engine: &Engine, config: &Config) -> Result<Fd> {
    const WHAT: &str = "listening for the word that the container is ready";
    let path = directory(engine, config);
    std::fs::create_dir_all(&path).during(|| WHAT)?;
    let dir = fs::open_at(
        sys::CWD,
        std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()),
        fs::O_RDONLY | fs::O_DIRECTORY,
        0,
    )
    .during(|| WHAT)?;
    crate::files::remove(&dir, SOCKET)?;
    let own = socket::unix(socket::Kind::Datagram).during(|| WHAT)?;
    // Any user of the container may send. The path of a socket is short, and that of a store may be long.
    let mask = fs::umask(0);
    let bound = socket::bind(&own, format!("/proc/self/fd/{}/{SOCKET}", dir.raw()));
    fs::umask(mask);
    bound.during(|| WHAT)?;
    Ok(own)
}

#[test]
fn only_the_word_itself_counts() {
    for (text, wanted) in [
        ("READY=1", true),
        ("STATUS=x\nREADY=1\nMAINPID=1", true),
        ("READY=11", false),
        ("XREADY=1", false),
        ("", false),
    ] {
        assert_eq!(is_ready(text.as_bytes()), wanted, "{text:?}");
    }
}
