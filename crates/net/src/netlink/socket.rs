//! A socket, and what it answers.

use super::batch::{Batch, attributes, messages, text, word};
use sys::{Errno, Fd, fs, socket};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const FLAG_DUMP_INTERRUPTED: u16 = 0x10;
/// The text of an error comes behind it, and of the request only its header.
const FLAG_CAPPED: u16 = 0x100;
const FLAG_TEXT: u16 = 0x200;
const ATTRIBUTE_TEXT: u16 = 1;
/// A packet of a dump has 32 KB at most (`NLMSG_GOODSIZE` is what the kernel starts with).
const BUFFER_BYTES: usize = 32 << 10;
/// A dump of 100,000 routes has this many packets.
const PACKETS: usize = 10_000;
/// A dump that somebody changes while it is read is read again.
const DUMP_TRIES: u32 = 10;

/// A socket. It belongs to the network namespace in which it was opened, wherever its process goes.
#[derive(Debug)]
pub(crate) struct Socket(Fd);

/// What came of a batch.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// Number of the message that is answered, kind, and body.
    pub(crate) messages: Vec<(u32, u16, Vec<u8>)>,
    /// Number of the message that failed, and why, with the kernel's own words where it has some.
    pub(crate) failures: Vec<(u32, Errno, String)>,
    interrupted: bool,
}

impl Answers {
    /// The first failure.
    pub(crate) fn check(&self) -> Result<(), (u32, Errno, String)> {
        match self.failures.first() {
            Some(failure) => Err(failure.clone()),
            None => Ok(()),
        }
    }

    /// The same answers without failures that are none to the caller.
    pub(crate) fn forgiving(mut self, is_fine: impl Fn(u32, Errno) -> bool) -> Self {
        self.failures.retain(|failure| !is_fine(failure.0, failure.1));
        self
    }

    /// Why a message failed.
    pub(crate) fn failure(&self, number: u32) -> Option<Errno> {
        self.failures.iter().find(|failure| failure.0 == number).map(|failure| failure.1)
    }
}

impl Socket {
    /// rtnetlink.
    pub(crate) fn route() -> sys::Result<Self> {
        Self::open(0)
    }

    /// nfnetlink.
    pub(crate) fn netfilter() -> sys::Result<Self> {
        Self::open(12)
    }

    fn open(protocol: u32) -> sys::Result<Self> {
        let socket = socket::netlink(protocol)?;
        fs::set_nonblocking(&socket, true)?;
        // Kernels before 4.12 have no words for their errors.
        let _ = socket::explain_netlink(&socket);
        Ok(Self(socket))
    }

    /// Sends a batch and returns all answers. What cannot be sent or received is the error.
    pub(crate) fn exchange(&self, batch: &Batch) -> sys::Result<Answers> {
        for _ in 0..DUMP_TRIES {
            fs::write_all(&self.0, batch.bytes())?;
            let answers = self.receive()?;
            if !answers.interrupted {
                return Ok(answers);
            }
        }
        Err(Errno::EAGAIN)
    }

    fn receive(&self) -> sys::Result<Answers> {
        let mut answers = Answers::default();
        let mut buffer = vec![0u8; BUFFER_BYTES];
        for _ in 0..PACKETS {
            match fs::read(&self.0, &mut buffer) {
                Ok(length) => answers.take(&buffer[..length]),
                Err(Errno::EAGAIN) => return Ok(answers),
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::EPROTO)
    }

    /// Sends one message; returns the bodies that answer it.
    pub(crate) fn ask(&self, batch: &Batch) -> sys::Result<Vec<Vec<u8>>> {
        let answers = self.exchange(batch)?;
        match answers.check() {
            Ok(()) => Ok(answers.messages.into_iter().map(|message| message.2).collect()),
            Err((_, errno, _)) => Err(errno),
        }
    }
}

impl Answers {
    fn take(&mut self, packet: &[u8]) {
        for (kind, flags, sequence, body) in messages(packet) {
            self.interrupted |= flags & FLAG_DUMP_INTERRUPTED != 0;
            match (kind, word(body, 0).map(|code| code as i32)) {
                (NLMSG_ERROR | NLMSG_DONE, Some(code)) if code < 0 => {
                    let words = explanation(flags, body).unwrap_or_default();
                    self.failures.push((sequence, Errno(code.saturating_neg()), words));
                }
                (NLMSG_ERROR | NLMSG_DONE, _) => {}
                _ => self.messages.push((sequence, kind, body.to_vec())),
            }
        }
    }
}

/// The text behind an error: after its code and the request, or the request's header.
fn explanation(flags: u16, body: &[u8]) -> Option<String> {
    if flags & FLAG_TEXT == 0 {
        return None;
    }
    let request = match flags & FLAG_CAPPED {
        0 => (word(body, 4)? as usize).next_multiple_of(4),
        _ => super::HEADER_BYTES,
    };
    let mut list = attributes(body.get(4 + request..)?);
    list.find(|(kind, _)| *kind == ATTRIBUTE_TEXT).map(|(_, value)| text(value))
}
