//! Standing between a user and a process in a container: signals, terminal, exit.

use crate::error::{Attempt, Error, Result};
use crate::notify::Proxy;
use alloc::vec::Vec;
use sys::process::{self, Child};
use sys::signal::{self, SignalSet};
use sys::wait::{self, Exit, POLLHUP, POLLIN, PollFd};
use sys::{BorrowedFd, Errno, Fd, fs, socket, tty};

const SIGCHLD: i32 = 17;
const SIGWINCH: i32 = 28;
const SIGURG: i32 = 23;
/// Signals that this process must not hold back: they are about itself.
const OWN: [i32; 8] = [9, 19, 11, 7, 8, 4, 5, 31];
const STDIN: BorrowedFd<'static> = BorrowedFd::from_raw(0);
const STDOUT: BorrowedFd<'static> = BorrowedFd::from_raw(1);
/// One turn of copying.
const BUFFER_BYTES: usize = 16 * 1024;

/// Signals that wait to be forwarded.
#[derive(Debug)]
pub struct Signals {
    fd: Fd,
}

/// Holds signals back until [`wait`] forwards them.
pub fn catch_signals() -> Result<Signals> {
    let set = SignalSet(!SignalSet::of(&OWN).0);
    signal::block(set).attempt(|| "holding signals back")?;
    let fd = signal::signal_fd(set).attempt(|| "holding signals back")?;
    Ok(Signals { fd })
}

/// A container's terminal, copied to and from the caller's.
#[derive(Debug)]
pub struct Relay {
    master: Fd,
    /// What the caller's terminal was set to.
    saved: Option<tty::Settings>,
    stdin_open: bool,
}

impl Relay {
    /// Receives the outer end of a terminal over a console socket.
    pub fn receive(socket: &Fd) -> Result<Self> {
        let mut name = [0u8; 64];
        let (_, mut fds) =
            socket::receive(socket, &mut name).attempt(|| "receiving the terminal")?;
        let master = fds.pop().ok_or_else(|| Error::os("receiving the terminal", Errno::EPIPE))?;
        let saved = tty::settings(STDIN).ok();
        if let Some(settings) = &saved {
            tty::set_settings(STDIN, &settings.raw()).attempt(|| "setting up the terminal")?;
        }
        let relay = Self { master, saved, stdin_open: true };
        relay.resize();
        Ok(relay)
    }

    fn resize(&self) {
        if let Ok(size) = tty::size(STDIN) {
            // A terminal that is gone needs no size.
            let _ = tty::set_size(&self.master, size);
        }
    }

    fn take_input(&mut self) {
        let mut buffer = [0u8; BUFFER_BYTES];
        match fs::read(STDIN, &mut buffer) {
            Ok(0) | Err(_) => {
                self.stdin_open = false;
                // What a terminal's user types for the end of input.
                let _ = fs::write_all(&self.master, &[4]);
            }
            Ok(count) => drop(fs::write_all(&self.master, &buffer[..count])),
        }
    }

    /// Whether there may be more.
    fn show_output(&self) -> bool {
        let mut buffer = [0u8; BUFFER_BYTES];
        match fs::read(&self.master, &mut buffer) {
            Ok(0) | Err(_) => false,
            Ok(count) => fs::write_all(STDOUT, &buffer[..count]).is_ok(),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(settings) = &self.saved {
            let _ = tty::set_settings(STDIN, settings);
        }
    }
}

/// Waits for a child to end; meanwhile forwards signals to it, copies its terminal, and passes on
/// that it is ready. Other children, such as orphans of the container, are collected.
pub(crate) fn wait(
    child: &Child,
    signals: &Signals,
    mut relay: Option<Relay>,
    mut notify: Option<Proxy>,
) -> Result<Ended> {
    let mut exit = None;
    loop {
        exit = exit.or(collect(child.pid)?);
        if let Some(exit) = exit {
            notify.filter(Proxy::was_ready).iter().for_each(pass_on);
            drain(relay);
            return Ok(exit);
        }
        let mut fds: Vec<PollFd> = alloc::vec![PollFd::new(&signals.fd, POLLIN)];
        fds.push(notify.as_ref().map_or(PollFd::none(), |proxy| PollFd::new(proxy.fd(), POLLIN)));
        if let Some(relay) = &relay {
            fds.push(PollFd::new(&relay.master, POLLIN));
            let stdin = if relay.stdin_open { PollFd::new(STDIN, POLLIN) } else { PollFd::none() };
            fds.push(stdin);
        }
        wait::poll(&mut fds, None).attempt(|| "waiting for the container")?;
        while let Ok(received) = signal::read_signal(&signals.fd) {
            match received.signal {
                SIGCHLD | SIGURG => {}
                SIGWINCH if relay.is_some() => relay.iter().for_each(Relay::resize),
                // A process that is just ending needs no signal any more.
                signal => drop(process::signal_pidfd(&child.pidfd, signal)),
            }
        }
        if fds[1].ready() != 0 && notify.as_ref().is_some_and(Proxy::is_ready) {
            notify.take().iter().for_each(pass_on);
        }
        if let Some(open) = relay.as_mut() {
            if fds[3].ready() != 0 {
                open.take_input();
            }
            let output = fds[2].ready();
            if output & POLLIN != 0 {
                open.show_output();
            } else if output & POLLHUP != 0 {
                // Nobody holds the other end open at the moment: wait for the exit alone, as the
                // poll would return at once from now on.
                relay = None;
            }
        }
    }
}

/// This process stays the service's main one. A host that does not listen cannot be helped.
fn pass_on(ready: &Proxy) {
    let _ = ready.tell(None);
}

/// What was written before the end is still shown.
fn drain(relay: Option<Relay>) {
    let Some(relay) = relay else { return };
    loop {
        let mut fds = [PollFd::new(&relay.master, POLLIN)];
        let ready = wait::poll(&mut fds, Some(0)).unwrap_or(0);
        if ready == 0 || fds[0].ready() & POLLIN == 0 || !relay.show_output() {
            return;
        }
    }
}

/// How a process that was waited for has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit.
    pub exit: Exit,
    /// Whether it was its program that ended, not what was to execute it.
    pub executed: bool,
}

fn collect(pid: i32) -> Result<Option<Ended>> {
    let failed = |errno| Error::os("waiting for the container", errno);
    loop {
        // What says whether a program was executed is gone once the process was waited for: no
        // process may end between the look and the wait for it.
        let (ended, executed) = match wait::peek() {
            Ok(None) => return Ok(None),
            Ok(Some((ended, exit))) => {
                let stat = || crate::procfs::process_stat(ended);
                let executed = ended != pid
                    || exit == Exit::Code(0)
                    || stat().is_none_or(|stat| stat.has_executed());
                (ended, executed)
            }
            // Without waitid nobody can tell.
            Err(Errno::ENOSYS | Errno::EPERM) => (-1, true),
            Err(errno) => return Err(failed(errno)),
        };
        match wait::child(ended, false).map_err(failed)? {
            Some((ended, exit)) if ended == pid => return Ok(Some(Ended { exit, executed })),
            Some(_) => {}
            None => return Ok(None),
        }
    }
}
