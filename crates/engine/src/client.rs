//! The other end of a supervisor: attaching to a container, waiting for it, stopping it.

use crate::error::{During, Error, Kind, Result};
use crate::place::{Container, SOCKET};
use crate::supervisor::{Attach, Session};
use crate::wire::{self, Frame, Reader, kind};
use sys::signal::{self, SignalSet};
use sys::wait::{self, POLLIN, PollFd};
use sys::{BorrowedFd, Errno, Fd, fs, socket, tty};

const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;
const SIGWINCH: i32 = 28;
/// About this process itself, or a terminal's own.
const NOT_FORWARDED: [i32; 15] = [9, 19, 11, 7, 8, 4, 5, 31, 13, 17, 18, 20, 21, 22, 23];
const STDIN: BorrowedFd<'static> = BorrowedFd::from_raw(0);
const STDOUT: BorrowedFd<'static> = BorrowedFd::from_raw(1);
const STDERR: BorrowedFd<'static> = BorrowedFd::from_raw(2);
const READ_BYTES: usize = 16 * 1024;
/// Whoever means it says it so often.
const IMPATIENT_SIGNALS: u32 = 3;

/// How a client behaves.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Its standard input goes to the container.
    pub stdin: bool,
    /// The container has a terminal.
    pub tty: bool,
    /// Signals that it gets go to the container.
    pub sig_proxy: bool,
    /// Keys that leave the container alone.
    pub detach_keys: Vec<u8>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The container has ended with this code.
    Exited(i32),
    /// The user has left.
    Detached,
    /// The supervisor was killed.
    Lost,
}

/// Connects to the supervisor of a container.
pub fn connect(container: &Container, attach: Attach) -> Result<Session> {
    let attempt = || format!("connecting to container {}", container.config.name);
    let socket = socket::unix(socket::Kind::Stream).during(attempt)?;
    let path = format!("/proc/self/fd/{}/{SOCKET}", container.dir().raw());
    match socket::connect(&socket, path) {
        Err(Errno::ENOENT | Errno::ECONNREFUSED) => {
            let text = format!("container {} is not running", container.config.id);
            return Err(Error::new(Kind::State, text));
        }
        result => result.during(attempt)?,
    }
    wire::send(&socket, kind::ATTACH, &[attach.bits()])?;
    Ok(Session { socket, reader: Reader::default(), pid: container.state.pid })
}

impl Session {
    /// Sends a signal by the supervisor.
    pub fn signal(&self, signal: i32) -> Result<()> {
        wire::send(&self.socket, kind::SIGNAL, &signal.to_be_bytes())
    }

    /// Asks for the container's end. Signal 0 is its own; `timeout_ms` below 0 never kills.
    pub fn stop(&self, signal: i32, timeout_ms: i32) -> Result<()> {
        let mut payload = signal.to_be_bytes().to_vec();
        payload.extend(timeout_ms.to_be_bytes());
        wire::send(&self.socket, kind::STOP, &payload)
    }

    /// Has the container's health checked; returns the exit code and what the check said. A container that ends
    /// meanwhile, maybe for that, is not well. Nothing: its supervisor was killed.
    pub(crate) fn check(&mut self) -> Result<Option<(i32, String)>> {
        wire::send(&self.socket, kind::CHECK, &[])?;
        while let Some(frame) = wire::receive(&self.socket, &mut self.reader)? {
            match frame.number() {
                Some(code) if frame.kind == kind::CHECKED => {
                    let said = frame.payload.get(4..).unwrap_or_default();
                    return Ok(Some((code, String::from_utf8_lossy(said).into_owned())));
                }
                _ if frame.kind == kind::EXIT => return Ok(Some((1, String::new()))),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Waits until the container has ended for good, or for the first time. Nothing: the supervisor was killed.
    pub fn wait(&mut self, for_good: bool) -> Result<Option<i32>> {
        while let Some(frame) = wire::receive(&self.socket, &mut self.reader)? {
            if let Some((code, again)) = exit_of(&frame)
                && !(again && for_good)
            {
                return Ok(Some(code));
            }
        }
        Ok(None)
    }

    /// Has the supervisor do something, and waits until it is done.
    pub(crate) fn ask(&mut self, what: u8, body: &[u8]) -> Result<()> {
        let mut number = [0; wire::NUMBER_BYTES];
        sys::time::random(&mut number).during(|| "asking the container's supervisor")?;
        wire::send(&self.socket, what, &[&number, body].concat())?;
        while let Some(frame) = wire::receive(&self.socket, &mut self.reader)? {
            if frame.kind == kind::ANSWER
                && let Some(error) = frame.payload.strip_prefix(&number)
            {
                return if error.is_empty() { Ok(()) } else { Err(Error::decode(error)) };
            }
            if exit_of(&frame).is_some_and(|(_, again)| !again) {
                break;
            }
        }
        Err(Error::new(Kind::State, "the container has ended meanwhile"))
    }

    fn resize(&self) {
        if let Ok(size) = tty::size(STDIN).or_else(|_| tty::size(STDOUT)) {
            let mut payload = size.rows.to_be_bytes().to_vec();
            payload.extend(size.columns.to_be_bytes());
            let _ = wire::send(&self.socket, kind::RESIZE, &payload);
        }
    }

    /// Copies streams and forwards signals until one of both has ended.
    pub fn relay(mut self, options: &Options) -> Result<Outcome> {
        let _raw = if options.tty && options.stdin { RawTerminal::set() } else { None };
        let signals = catch(options.sig_proxy)?;
        if options.tty {
            self.resize();
        }
        let mut input = Input::new(options);
        let mut impatience = 0;
        loop {
            while let Some(frame) = self.reader.next()? {
                if let Some(outcome) = show(&frame)? {
                    return Ok(outcome);
                }
            }
            let mut fds = [
                PollFd::new(&self.socket, POLLIN),
                PollFd::new(&signals, POLLIN),
                if input.is_open { PollFd::new(STDIN, POLLIN) } else { PollFd::none() },
            ];
            wait::poll(&mut fds, None).during(|| "waiting for the container")?;
            if fds[1].ready() != 0 {
                while let Ok(received) = signal::read_signal(&signals) {
                    match received.signal {
                        SIGWINCH if options.tty => self.resize(),
                        SIGWINCH => {}
                        number => {
                            let _ = self.signal(number);
                            impatience += u32::from(matches!(number, SIGINT | SIGTERM));
                        }
                    }
                }
                if impatience >= IMPATIENT_SIGNALS {
                    return Ok(Outcome::Lost);
                }
            }
            if fds[2].ready() != 0 && input.forward(&self.socket)? {
                return Ok(Outcome::Detached);
            }
            if fds[0].ready() != 0 && !self.receive()? {
                return Ok(Outcome::Lost);
            }
        }
    }

    fn receive(&mut self) -> Result<bool> {
        let mut buffer = [0u8; wire::FRAME_LIMIT_BYTES];
        match fs::read(&self.socket, &mut buffer) {
            Ok(0) | Err(Errno::ECONNRESET) => Ok(false),
            Ok(count) => {
                self.reader.push(&buffer[..count]);
                Ok(true)
            }
            Err(errno) => Err(Error::os("listening to the container's supervisor", errno)),
        }
    }
}

fn exit_of(frame: &Frame) -> Option<(i32, bool)> {
    let code = frame.number().filter(|_| frame.kind == kind::EXIT)?;
    Some((code, frame.payload.get(4) == Some(&1)))
}

fn show(frame: &Frame) -> Result<Option<Outcome>> {
    let to = match frame.kind {
        kind::STDOUT => STDOUT,
        kind::STDERR => STDERR,
        _ => return Ok(exit_of(frame).map(|(code, _)| Outcome::Exited(code))),
    };
    match fs::write_all(to, &frame.payload) {
        // Nobody reads on. The container does not have to know.
        Err(Errno::EPIPE) | Ok(()) => Ok(None),
        Err(errno) => Err(Error::os("writing the container's output", errno)),
    }
}

pub(crate) fn catch(sig_proxy: bool) -> Result<Fd> {
    let all = SignalSet(!SignalSet::of(&NOT_FORWARDED).0);
    let set = if sig_proxy { all } else { SignalSet::of(&[SIGWINCH]) };
    signal::block(set).during(|| "holding signals back")?;
    signal::signal_fd(set).during(|| "holding signals back")
}

/// Standard input on its way to a container.
struct Input {
    is_open: bool,
    keys: Keys,
}

/// Keys that leave a terminal alone.
pub(crate) struct Keys {
    keys: Vec<u8>,
    /// So many of the keys have been typed.
    typed: usize,
}

impl Input {
    fn new(options: &Options) -> Self {
        let keys = if options.tty { options.detach_keys.clone() } else { Vec::new() };
        Self { is_open: options.stdin, keys: Keys::new(keys) }
    }

    /// Sends what was typed; says whether the user leaves.
    fn forward(&mut self, socket: &Fd) -> Result<bool> {
        let mut buffer = [0u8; READ_BYTES];
        let count = match fs::read(STDIN, &mut buffer) {
            Ok(count) => count,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(false),
            // A job in the background, or a terminal that is gone.
            Err(_) => 0,
        };
        if count == 0 {
            self.is_open = false;
            // A container that has ended does not listen any more; its exit says so in a moment.
            let _ = wire::send(socket, kind::STDIN_END, &[]);
            return Ok(false);
        }
        let mut out = Vec::with_capacity(count + self.keys.keys.len());
        let leaves = self.keys.filter(&buffer[..count], &mut out);
        if !out.is_empty() {
            let _ = wire::send(socket, kind::STDIN, &out);
        }
        Ok(leaves)
    }
}

impl Keys {
    pub(crate) fn new(keys: Vec<u8>) -> Self {
        Self { keys, typed: 0 }
    }

    /// What is left to be sent of what was typed; says whether the user leaves.
    pub(crate) fn filter(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> bool {
        for byte in bytes {
            if self.keys.get(self.typed) == Some(byte) {
                self.typed += 1;
                if self.typed == self.keys.len() {
                    return true;
                }
                continue;
            }
            // It was none after all.
            out.extend_from_slice(&self.keys[..self.typed]);
            self.typed = 0;
            if self.keys.first() == Some(byte) {
                self.typed = 1;
            } else {
                out.push(*byte);
            }
        }
        false
    }
}

/// The caller's terminal as a wire, until this is dropped.
pub(crate) struct RawTerminal(tty::Settings);

impl RawTerminal {
    pub(crate) fn set() -> Option<Self> {
        let saved = tty::settings(STDIN).ok()?;
        tty::set_settings(STDIN, &saved.raw().without_output_processing()).ok()?;
        Some(Self(saved))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _ = tty::set_settings(STDIN, &self.0);
    }
}

/// Reads docker's form of keys: `ctrl-p,ctrl-q`, or single characters.
pub fn parse_keys(text: &str) -> Result<Vec<u8>> {
    let bad = || {
        Error::invalid(format!("invalid detach keys: {text:?}"))
            .with_hint("write single characters, or ctrl-X with X in a-z, @, [, \\, ], ^ or _, with commas between")
    };
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let key = |word: &str| -> Result<u8> {
        match word.as_bytes() {
            [byte] => Ok(*byte),
            [b'c', b't', b'r', b'l', b'-', byte] => match byte.to_ascii_lowercase() {
                letter @ b'a'..=b'z' => Ok(letter - b'a' + 1),
                b'@' => Ok(0),
                other @ b'['..=b'_' => Ok(other - b'[' + 27),
                _ => Err(bad()),
            },
            _ => Err(bad()),
        }
    };
    text.split(',').map(key).collect()
}

#[test]
fn keys_are_read_as_docker_does() {
    assert_eq!(parse_keys("ctrl-p,ctrl-q").unwrap(), [16, 17]);
    assert_eq!(parse_keys("a,ctrl-[").unwrap(), [b'a', 27]);
    assert!(parse_keys("").unwrap().is_empty());
    for bad in ["ab", "ctrl-", "ctrl-1", "a,,b"] {
        assert!(parse_keys(bad).is_err(), "{bad}");
    }
}

#[test]
fn only_the_whole_of_the_keys_leaves() {
    let options = Options { tty: true, detach_keys: vec![16, 17], ..Options::default() };
    let mut input = Input::new(&options);
    let mut out = Vec::new();
    assert!(!input.keys.filter(b"a\x10b\x10\x10", &mut out));
    assert_eq!(out, b"a\x10b\x10");
    assert!(input.keys.filter(b"\x11", &mut out));
}
