//! The container's standard streams: pipes, or a terminal.

use crate::error::{During, Error, Result};
use crate::launch::system;
use crate::record::Config;
use sys::wait::{POLLHUP, POLLIN, POLLOUT, PollFd};
use sys::{Errno, Fd, fs, socket, tty};

/// One turn of copying.
const READ_BYTES: usize = 64 * 1024;
/// The largest pipe that somebody without rights can make of one (pipe-max-size).
const LAST_BYTES: usize = 1 << 20;
/// Input that the container does not take is not taken from clients either.
const INPUT_LIMIT_BYTES: usize = 64 * 1024;

/// The supervisor's ends.
#[derive(Debug, Default)]
pub(super) struct Streams {
    stdin: Option<Fd>,
    output: [Option<Fd>; 2],
    terminal: Option<Fd>,
    /// The terminal's other end: an init opens it only now and then, and it must not have ended in between.
    held: Option<Fd>,
    /// Nobody looks at the terminal, which begins each line by a carriage return.
    is_console: bool,
    input: Vec<u8>,
    ends: bool,
}

impl Streams {
    /// Makes them, and puts the other ends in the place of this process' own. With a terminal the socket is returned
    /// that it comes over, and the one to give to the runtime.
    pub(super) fn make(config: &Config) -> Result<(Self, Option<(Fd, Fd)>)> {
        const WHAT: &str = "making the container's streams";
        let mut streams = Self::default();
        if system::has_terminal(config) {
            streams.is_console = !config.tty;
            let pair = socket::pair(socket::Kind::Stream).during(|| WHAT)?;
            return Ok((streams, Some(pair)));
        }
        if config.interactive {
            let (theirs, ours) = fs::pipe().during(|| WHAT)?;
            fs::set_nonblocking(&ours, true).during(|| WHAT)?;
            fs::duplicate_to(&theirs, 0).during(|| WHAT)?;
            streams.stdin = Some(ours);
        }
        for (index, standard) in [(0, 1), (1, 2)] {
            let (ours, theirs) = fs::pipe().during(|| WHAT)?;
            fs::set_nonblocking(&ours, true).during(|| WHAT)?;
            fs::duplicate_to(&theirs, standard).during(|| WHAT)?;
            streams.output[index] = Some(ours);
        }
        Ok((streams, None))
    }

    /// Gives this process its own streams back.
    pub(super) fn release() -> Result<()> {
        let null =
            fs::open_at(sys::CWD, "/dev/null", fs::O_RDWR, 0).during(|| "opening /dev/null")?;
        (0..3)
            .try_for_each(|standard| fs::duplicate_to(&null, standard))
            .during(|| "opening /dev/null")
    }

    /// Receives the terminal.
    pub(super) fn receive(&mut self, socket: &Fd, config: &Config) -> Result<()> {
        const WHAT: &str = "receiving the container's terminal";
        let mut name = [0u8; 64];
        let (_, mut fds) = socket::receive(socket, &mut name).during(|| WHAT)?;
        let master = fds.pop().ok_or_else(|| Error::os(WHAT, Errno::EPIPE))?;
        fs::set_nonblocking(&master, true).during(|| WHAT)?;
        if system::Init::of(config).is_some() {
            self.held = Some(tty::peer(&master).during(|| WHAT)?);
        }
        self.terminal = Some(master);
        Ok(())
    }

    pub(super) fn resize(&self, rows: u16, columns: u16) {
        if let Some(terminal) = &self.terminal {
            let _ = tty::set_size(terminal, tty::Size { rows, columns });
        }
    }

    /// What to wait for: the two outputs, and input that the container takes again.
    pub(super) fn poll(&self, may_read: bool) -> [PollFd; 3] {
        let read = |fd: &Option<Fd>| match fd {
            Some(fd) if may_read => PollFd::new(fd, POLLIN),
            _ => PollFd::none(),
        };
        let has_input = !self.input.is_empty() || self.ends;
        match &self.terminal {
            Some(terminal) => {
                let events =
                    if may_read { POLLIN } else { 0 } | if has_input { POLLOUT } else { 0 };
                let fd = if events == 0 { PollFd::none() } else { PollFd::new(terminal, events) };
                [fd, PollFd::none(), PollFd::none()]
            }
            None => {
                let input = match &self.stdin {
                    Some(fd) if has_input => PollFd::new(fd, POLLOUT),
                    _ => PollFd::none(),
                };
                [read(&self.output[0]), read(&self.output[1]), input]
            }
        }
    }

    /// Does what became possible; `take` gets what was read, and whether it was a message.
    pub(super) fn serve(&mut self, ready: [u32; 3], take: &mut dyn FnMut(bool, &[u8])) {
        if self.terminal.is_some() {
            if ready[0] & (POLLIN | POLLHUP) != 0 {
                self.read(0, take);
            }
            if ready[0] & POLLOUT != 0 {
                self.feed();
            }
            return;
        }
        for (index, _) in ready.iter().take(2).enumerate().filter(|(_, events)| **events != 0) {
            self.read(index, take);
        }
        if ready[2] != 0 {
            self.feed();
        }
    }

    /// Reads once; says whether there may be more.
    fn read(&mut self, index: usize, take: &mut dyn FnMut(bool, &[u8])) -> bool {
        let fd = if index == 0 && self.terminal.is_some() {
            &self.terminal
        } else {
            &self.output[index]
        };
        let Some(fd) = fd else { return false };
        let mut buffer = [0u8; READ_BYTES];
        match fs::read(fd, &mut buffer) {
            Ok(count) if count > 0 && self.is_console => {
                let plain: Vec<u8> =
                    buffer[..count].iter().copied().filter(|byte| *byte != b'\r').collect();
                take(index == 1, &plain);
                true
            }
            Ok(count) if count > 0 => {
                take(index == 1, &buffer[..count]);
                true
            }
            Err(Errno::EAGAIN | Errno::EINTR) => false,
            // Nobody holds the other end any more. (A terminal says so by an error.)
            _ => {
                if self.terminal.is_none() {
                    self.output[index] = None;
                } else if index == 0 {
                    self.terminal = None;
                }
                false
            }
        }
    }

    /// What was written before the end is still read. In a pid namespace that is not its own something may have been
    /// left that writes on for ever.
    pub(super) fn drain(&mut self, take: &mut dyn FnMut(bool, &[u8])) {
        for index in 0..2 {
            let mut length = 0;
            while length < LAST_BYTES
                && self.read(index, &mut |is_error, bytes| {
                    length += bytes.len();
                    take(is_error, bytes);
                })
            {}
        }
    }

    /// Whether clients may send more.
    pub(super) fn takes_input(&self) -> bool {
        self.input.len() < INPUT_LIMIT_BYTES
    }

    /// Input of a client. Nobody reads what comes behind the end.
    pub(super) fn input(&mut self, bytes: &[u8]) {
        if !self.ends && (self.stdin.is_some() || self.terminal.is_some()) {
            self.input.extend_from_slice(bytes);
            self.feed();
        }
    }

    /// There will be no more.
    pub(super) fn end_input(&mut self) {
        self.ends = true;
        self.feed();
    }

    fn feed(&mut self) {
        let fd = self.terminal.as_ref().or(self.stdin.as_ref());
        let Some(fd) = fd else { return self.input.clear() };
        while !self.input.is_empty() {
            match fs::write(fd, &self.input) {
                Ok(count) => drop(self.input.drain(..count)),
                Err(Errno::EAGAIN) => return,
                Err(_) => {
                    self.input.clear();
                    self.stdin = None;
                    return;
                }
            }
        }
        self.input.shrink_to(4096);
        if self.ends {
            // What a terminal's user types for the end of input.
            if let Some(terminal) = &self.terminal {
                let _ = fs::write(terminal, &[4]);
                self.ends = false;
            }
            self.stdin = None;
        }
    }
}
