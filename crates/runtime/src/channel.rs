//! What a container's init and its parent say to each other.
//!
//! One message is one packet on a socket pair. The child asks and tells; the parent answers each
//! question with one packet. The socket closes at exec: its end without an error is success.

use crate::cgroup;
use crate::error::{Attempt, Error, Kind, Result};
use crate::process::Filter;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use sys::socket::{self, Kind as SocketKind};
use sys::{Errno, Fd, fs};

/// What the child says.
#[derive(Debug)]
pub(crate) enum Request {
    /// Record me, write the mapping of my user namespace, and do what else needs my id. Answered.
    Map,
    /// Move me into the cgroup that I could not be cloned into. Answered.
    Attach,
    /// My namespaces and mounts are made: run your hooks. Answered.
    Hooks,
    /// I have memory of my own: give me the whole of my limit. Answered.
    Limit,
    /// I wait for `start` now. Not answered.
    Created,
    /// The process that goes on as init has this id. Not answered.
    Child(i32),
    /// Map the ids of mount N of the configuration, whose tree is this descriptor of mine. Answered.
    MapMount(i32, i32),
    /// My filter's listener is this descriptor of mine. Answered.
    Listener(i32),
    /// A word for the debug log. Not answered.
    Note(String),
    /// Something failed; nothing follows.
    Failed(Error),
}

const GO: &[u8] = b"go";
const ANSWER: &[u8] = b"ok";
/// Followed by [`Made`] as bytes.
const MADE: &[u8] = b"made";
/// A word of the parent: the longest has a plan of a dozen long paths and a filter of 4096
/// instructions of 8 bytes.
const WORD_BYTES: usize = 128 * 1024;

/// What the parent has made while the child worked.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Made {
    pub cgroup: cgroup::Plan,
    pub filter: Option<Filter>,
}

impl Made {
    /// Length and text of the plan; where there is a filter, its flags and instructions.
    fn encode(&self) -> Vec<u8> {
        let plan = oci::json::write(&self.cgroup);
        let mut bytes = MADE.to_vec();
        bytes.extend_from_slice(&(plan.len() as u32).to_ne_bytes());
        bytes.extend_from_slice(plan.as_bytes());
        if let Some(filter) = &self.filter {
            bytes.extend_from_slice(&filter.flags.to_ne_bytes());
            bytes.extend_from_slice(&filter.to_bytes());
        }
        bytes
    }

    fn decode(word: &[u8]) -> Option<Self> {
        let (length, rest) = word.strip_prefix(MADE)?.split_first_chunk()?;
        let (plan, rest) = rest.split_at_checked(u32::from_ne_bytes(*length) as usize)?;
        let filter = match rest.split_first_chunk() {
            Some((flags, rest)) => Some(Filter::from_bytes(rest, u32::from_ne_bytes(*flags))?),
            None => None,
        };
        Some(Self { cgroup: oci::json::read(plan).ok()?, filter })
    }
}
/// Errors are sentences.
const PACKET_BYTES: usize = 16 * 1024;

/// What the parent says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Answer,
    /// It was noted.
    Other,
}

/// One end.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: Option<Fd>,
    /// `GO` came while something else was awaited.
    go: bool,
    /// So did this.
    made: Option<Made>,
}

/// A connected pair: (parent's end, child's end).
pub(crate) fn pair() -> Result<(Channel, Channel)> {
    let (left, right) =
        socket::pair(SocketKind::SeqPacket).attempt(|| "making a channel to the init")?;
    let end = |socket| Channel { socket: Some(socket), go: false, made: None };
    Ok((end(left), end(right)))
}

impl Channel {
    fn socket(&self) -> Result<&Fd> {
        self.socket.as_ref().ok_or_else(|| Error::os("talking to the init", Errno::EPIPE))
    }

    /// This end's descriptor.
    pub(crate) fn number(&self) -> Option<i32> {
        self.socket.as_ref().map(Fd::raw)
    }

    /// Closes this end.
    pub(crate) fn close(&mut self) {
        self.socket = None;
    }

    /// Child: says something that is not answered.
    pub(crate) fn tell(&self, request: &Request) -> Result<()> {
        // Not sendmsg: the container's filter may be installed already, and every filter lets a
        // process write.
        fs::write(self.socket()?, &encode(request))
            .map(drop)
            .attempt(|| "talking to the parent process")
    }

    /// Child: says something and waits for the answer.
    pub(crate) fn ask(&mut self, request: &Request) -> Result<()> {
        self.tell(request)?;
        while self.read_word()? != Word::Answer {}
        Ok(())
    }

    /// Child: waits for the parent's word to go.
    pub(crate) fn wait_for_go(&mut self) -> Result<()> {
        while !self.go {
            self.read_word()?;
        }
        Ok(())
    }

    /// Child: waits until the parent has made the cgroups and the filter.
    pub(crate) fn wait_for_made(&mut self) -> Result<Made> {
        loop {
            if let Some(made) = self.made.take() {
                return Ok(made);
            }
            self.read_word()?;
        }
    }

    /// Reads what the parent says next, and remembers what may come before it is awaited.
    fn read_word(&mut self) -> Result<Word> {
        let mut buffer = alloc::vec![0u8; WORD_BYTES];
        let length =
            fs::read(self.socket()?, &mut buffer).attempt(|| "waiting for the parent process")?;
        match &buffer[..length] {
            b"" => Err(Error::new(Kind::Os, "the parent process went away")),
            word if word == ANSWER => Ok(Word::Answer),
            word => {
                if word == GO {
                    self.go = true;
                } else {
                    self.made = Made::decode(word).or(self.made.take());
                }
                Ok(Word::Other)
            }
        }
    }

    /// Child: the last message.
    pub(crate) fn fail(&self, error: &Error) {
        // With the parent gone there is nobody left to tell.
        let _ = self.tell(&Request::Failed(error.clone()));
    }

    /// Child: hands the filter's listener to the parent.
    pub(crate) fn send_listener(&mut self, listener: Fd) -> Result<()> {
        self.ask(&Request::Listener(listener.raw()))
    }

    /// Parent: the next message. `None`: the child has executed its program, or is dead.
    pub(crate) fn receive(&self) -> Result<Option<Request>> {
        let mut buffer = alloc::vec![0u8; PACKET_BYTES];
        // A child that ended without reading all that it was told resets the connection: one read
        // fails, and what the child said before comes with the next.
        let length = match fs::read(self.socket()?, &mut buffer) {
            Err(Errno::ECONNRESET) => fs::read(self.socket()?, &mut buffer),
            result => result,
        }
        .attempt(|| "listening to the container's init")?;
        Ok(if length == 0 { None } else { Some(decode(&buffer[..length])) })
    }

    /// Parent: answers a question.
    pub(crate) fn answer(&self) -> Result<()> {
        self.say(ANSWER)
    }

    /// Parent: what the child waits for is made.
    pub(crate) fn tell_made(&self, made: &Made) -> Result<()> {
        self.say(&made.encode())
    }

    /// Parent: lets the child execute its program.
    pub(crate) fn go(&self) -> Result<()> {
        self.say(GO)
    }

    fn say(&self, word: &[u8]) -> Result<()> {
        match socket::send(self.socket()?, word, &[]) {
            // A dead child has said why before; the caller reads that next.
            Ok(_) | Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
            Err(errno) => Err(Error::os("talking to the container's init", errno)),
        }
    }
}

fn encode(request: &Request) -> Vec<u8> {
    let numbered = |tag: u8, number: i32| {
        let mut bytes = alloc::vec![tag];
        bytes.extend_from_slice(&number.to_ne_bytes());
        bytes
    };
    match request {
        Request::Map => alloc::vec![b'm'],
        Request::Attach => alloc::vec![b'a'],
        Request::Hooks => alloc::vec![b'h'],
        Request::Limit => alloc::vec![b'r'],
        Request::Created => alloc::vec![b'c'],
        Request::Child(pid) => numbered(b'p', *pid),
        Request::Listener(fd) => numbered(b'l', *fd),
        Request::MapMount(index, fd) => {
            let mut bytes = numbered(b'i', *index);
            bytes.extend_from_slice(&fd.to_ne_bytes());
            bytes
        }
        Request::Note(text) => {
            let mut bytes = alloc::vec![b'n'];
            bytes.extend_from_slice(text.as_bytes());
            bytes.truncate(PACKET_BYTES);
            bytes
        }
        Request::Failed(error) => {
            let mut bytes = alloc::vec![b'e'];
            bytes.extend_from_slice(&error.encode());
            bytes.truncate(PACKET_BYTES);
            bytes
        }
    }
}

fn decode(bytes: &[u8]) -> Request {
    let number = |bytes: &[u8]| bytes.try_into().map(i32::from_ne_bytes).ok();
    let broken = || {
        let what = format!("the container's init sent {} unreadable bytes", bytes.len());
        Request::Failed(Error::new(Kind::Corrupt, what))
    };
    match bytes {
        [b'm'] => Request::Map,
        [b'a'] => Request::Attach,
        [b'h'] => Request::Hooks,
        [b'r'] => Request::Limit,
        [b'c'] => Request::Created,
        [b'p', rest @ ..] => number(rest).map_or_else(broken, Request::Child),
        [b'i', rest @ ..] => rest
            .split_first_chunk()
            .and_then(|(index, fd)| {
                let fd = number(fd)?;
                Some(Request::MapMount(i32::from_ne_bytes(*index), fd))
            })
            .unwrap_or_else(broken),
        [b'l', rest @ ..] => number(rest).map_or_else(broken, Request::Listener),
        [b'n', rest @ ..] => Request::Note(String::from_utf8_lossy(rest).into_owned()),
        [b'e', rest @ ..] => Request::Failed(Error::decode(rest)),
        _ => broken(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_early_go_is_not_lost() {
        let (parent, mut child) = pair().unwrap();
        parent.go().unwrap();
        parent.answer().unwrap();
        child.ask(&Request::Map).unwrap();
        assert!(matches!(parent.receive().unwrap(), Some(Request::Map)));
        child.wait_for_go().unwrap();
    }

    #[test]
    fn errors_arrive_and_the_end_is_success() {
        let (parent, child) = pair().unwrap();
        child.fail(&Error::os("mounting proc", Errno::EPERM));
        drop(child);
        let Some(Request::Failed(error)) = parent.receive().unwrap() else { panic!() };
        assert_eq!(error.to_string(), "mounting proc: operation not permitted");
        assert!(parent.receive().unwrap().is_none());
        parent.go().unwrap();
    }

    #[test]
    fn an_error_is_not_lost_with_an_unread_go() {
        let (parent, child) = pair().unwrap();
        parent.go().unwrap();
        child.fail(&Error::os("mounting proc", Errno::EPERM));
        drop(child);
        assert!(matches!(parent.receive().unwrap(), Some(Request::Failed(_))));
        assert!(parent.receive().unwrap().is_none());
        let (parent, child) = pair().unwrap();
        parent.go().unwrap();
        drop(child);
        assert!(parent.receive().unwrap().is_none());
    }

    #[test]
    fn no_packet_panics() {
        for length in 0..12 {
            for tag in 0..=255u8 {
                let mut bytes = vec![tag; length];
                bytes.extend_from_slice(&[0xff, 0, 9]);
                decode(&bytes);
            }
        }
    }
}
