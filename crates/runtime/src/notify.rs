//! `NOTIFY_SOCKET` (sd_notify(3)): a program in a container tells systemd that it is ready.
//!
//! The container never gets the host's socket, through which it could name any process as the
//! service's main one, store descriptors or keep a watchdog quiet. It gets a socket of its own, and
//! of what comes through it only the word that it is ready is passed on, in this program's words.
//!
//! The socket is a file in a directory of the container's state, which is mounted read-only at the
//! path that the host's socket has outside (as crun has it); `run` and `start` listen there.

use crate::error::{Attempt, Result};
use crate::state::ContainerDir;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use oci::runtime::{Mount, Spec};
use sys::wait::{self, POLLIN, PollFd};
use sys::{BorrowedFd, Fd, fs, process, socket};

/// The directory in a container's state, and the socket in it.
pub(crate) const DIR: &str = "notify";
const SOCKET: &str = "notify";
/// Where it is mounted when the host's address is no path.
const ELSEWHERE: &str = "/run/notify";
/// The one message that is passed on.
const READY: &[u8] = b"READY=1";
/// Longest datagram that is looked at; systemd's own limit.
const LIMIT_BYTES: usize = 4096;
/// How long systemd may take to read what was sent (as runc and crun have it): it looks the sender
/// up, who must be there still.
const BARRIER_MS: u64 = 30_000;

/// Where the container finds the directory.
fn destination(host: &str) -> &str {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    match host.strip_prefix('/') {
        Some(below) if below.split('/').all(plain) => host,
        _ => ELSEWHERE,
    }
}

/// Makes the directory, and the configuration's mount and variable for it.
pub(crate) fn add(spec: &mut Spec, dir: &ContainerDir, host: &str) -> Result<()> {
    let attempt = || format!("NOTIFY_SOCKET: making a directory for container {}", dir.id());
    fs::mkdir(dir.fd(), DIR, 0o755).attempt(attempt)?;
    let state = fs::read_link(sys::CWD, crate::procfs::fd_path(dir.fd())).attempt(attempt)?;
    let to = destination(host);
    let options = ["bind", "nosuid", "nodev", "noexec", "ro"];
    spec.mounts.push(Mount {
        destination: to.into(),
        source: format!("{}/{DIR}", String::from_utf8_lossy(&state)),
        options: options.iter().map(|&option| option.into()).collect(),
        ..Mount::default()
    });
    if let Some(process) = &mut spec.process {
        process.env.push(format!("NOTIFY_SOCKET={to}/{SOCKET}"));
    }
    Ok(())
}

/// The container's socket, and where its word goes.
#[derive(Debug)]
pub(crate) struct Proxy {
    socket: Fd,
    host: String,
}

impl Proxy {
    /// Listens for a container that was made with a directory; `None`: it was not, or nobody waits
    /// for the word.
    pub(crate) fn listen(dir: &ContainerDir, host: Option<&str>) -> Result<Option<Self>> {
        let Some(host) = host.filter(|_| fs::exists(dir.fd(), DIR)) else { return Ok(None) };
        let attempt = || format!("NOTIFY_SOCKET: listening for container {}", dir.id());
        let socket = socket::unix(socket::Kind::Datagram).attempt(attempt)?;
        // Any user of the container may send.
        let mask = fs::umask(0);
        let path = format!("{}/{DIR}/{SOCKET}", crate::procfs::fd_path(dir.fd()));
        let bound = socket::bind(&socket, path);
        fs::umask(mask);
        bound.attempt(attempt)?;
        Ok(Some(Self { socket, host: host.into() }))
    }

    /// What to poll for [`Proxy::is_ready`].
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.borrow()
    }

    /// Takes one datagram; tells whether it has the word.
    pub(crate) fn is_ready(&self) -> bool {
        let mut buffer = [0u8; LIMIT_BYTES];
        // Descriptors that come along are closed by the kernel: nothing here receives them.
        let length = fs::read(&self.socket, &mut buffer).unwrap_or(0);
        buffer[..length].split(|&byte| byte == b'\n').any(|line| line == READY)
    }

    /// The same for all that a program has said before its end.
    pub(crate) fn was_ready(&self) -> bool {
        /// More than the kernel queues (`net.unix.max_dgram_qlen`).
        const LIMIT: usize = 1024;
        let is_waiting = || wait::poll(&mut [PollFd::new(&self.socket, POLLIN)], Some(0)) == Ok(1);
        (0..LIMIT).take_while(|_| is_waiting()).any(|_| self.is_ready())
    }

    /// Waits until the program is ready, and tells the host that process `pid` is the main one. A
    /// container that ends, which is the limit of the wait, has nothing to tell.
    pub(crate) fn serve(&self, pid: i32) -> Result<()> {
        let attempt = || "NOTIFY_SOCKET: waiting for the container";
        let Ok(init) = process::open_pid(pid) else { return Ok(()) };
        loop {
            let mut fds = [PollFd::new(&self.socket, POLLIN), PollFd::new(&init, POLLIN)];
            wait::poll(&mut fds, None).attempt(attempt)?;
            if fds[0].ready() != 0 {
                if self.is_ready() {
                    return self.tell(Some(pid));
                }
            } else if fds[1].ready() != 0 {
                return Ok(());
            }
        }
    }

    /// Tells the host; one that is told of another main process than this is waited for until it has
    /// read it.
    pub(crate) fn tell(&self, main_pid: Option<i32>) -> Result<()> {
        let attempt =
            || format!("NOTIFY_SOCKET: telling {} that the container is ready", self.host);
        let host = socket::unix(socket::Kind::Datagram).attempt(attempt)?;
        socket::set_timeout_ms(&host, BARRIER_MS).attempt(attempt)?;
        socket::connect(&host, &self.host).attempt(attempt)?;
        let mut message = Vec::from(READY);
        if let Some(pid) = main_pid {
            message.extend_from_slice(format!("\nMAINPID={pid}").as_bytes());
        }
        socket::send(&host, &message, &[]).attempt(attempt)?;
        if main_pid.is_none() {
            // This process stays.
            return Ok(());
        }
        let (ours, theirs) = fs::pipe().attempt(attempt)?;
        socket::send(&host, b"BARRIER=1", &[theirs.raw()]).attempt(attempt)?;
        drop(theirs);
        // Closed when it was read. Whoever does not know of it is not waited for longer.
        let mut fds = [PollFd::new(&ours, 0)];
        wait::poll(&mut fds, Some(BARRIER_MS)).map(drop).attempt(attempt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_path_is_the_containers_if_it_is_one() {
        for (host, expected) in [
            ("/run/systemd/notify", "/run/systemd/notify"),
            ("/n", "/n"),
            ("@abstract", ELSEWHERE),
            ("relative/x", ELSEWHERE),
            ("/a/../b", ELSEWHERE),
            ("/a/./b", ELSEWHERE),
            ("/a//b", ELSEWHERE),
            ("/", ELSEWHERE),
            ("", ELSEWHERE),
        ] {
            assert_eq!(destination(host), expected, "{host}");
        }
    }

    #[test]
    fn only_the_word_itself_counts() {
        let (here, there) = socket::pair(socket::Kind::Datagram).unwrap();
        let proxy = Proxy { socket: here, host: String::new() };
        for (text, expected) in [
            ("READY=1", true),
            ("READY=1\n", true),
            ("STATUS=x\nREADY=1\nMAINPID=1", true),
            ("READY=0", false),
            ("READY=11", false),
            ("XREADY=1", false),
            ("MAINPID=1", false),
            ("\n", false),
        ] {
            socket::send(&there, text.as_bytes(), &[]).unwrap();
            assert_eq!(proxy.is_ready(), expected, "{text:?}");
        }
    }
}
