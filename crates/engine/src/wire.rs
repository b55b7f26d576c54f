//! What supervisors and clients say to each other: frames of a kind and a length, as docker's streams have them.

use crate::error::{During, Error, Kind, Result};
use sys::{Errno, Fd, fs};

/// Behind the kind three bytes are 0; the length is big endian.
pub(crate) const HEADER_BYTES: usize = 8;
/// A longer frame is nobody's.
pub(crate) const FRAME_LIMIT_BYTES: usize = 64 * 1024;

/// Kinds of frames. The first three are docker's.
pub(crate) mod kind {
    /// Input for the container.
    pub(crate) const STDIN: u8 = 0;
    /// Output of the container.
    pub(crate) const STDOUT: u8 = 1;
    /// Its messages.
    pub(crate) const STDERR: u8 = 2;
    /// A client wants streams: one byte of [`super::WANTS_STDIN`] and so on.
    pub(crate) const ATTACH: u8 = 10;
    /// No more input from this client.
    pub(crate) const STDIN_END: u8 = 11;
    /// Rows and columns, two bytes each.
    pub(crate) const RESIZE: u8 = 12;
    /// A signal's number, four bytes.
    pub(crate) const SIGNAL: u8 = 13;
    /// A signal's number, and the milliseconds before SIGKILL (-1: for ever), eight bytes.
    pub(crate) const STOP: u8 = 14;
    /// Its health is to be checked now.
    pub(crate) const CHECK: u8 = 15;
    /// One more network: a number of the client's, eight bytes, and an endpoint as JSON.
    pub(crate) const CONNECT: u8 = 16;
    /// A network less: a number of the client's, and the network's name.
    pub(crate) const DISCONNECT: u8 = 17;
    /// Its health check is another one: a number of the client's.
    pub(crate) const HEALTH: u8 = 18;
    /// It runs: its first process, four bytes.
    pub(crate) const STARTED: u8 = 20;
    /// It has ended: its code, four bytes, and 1 if it will be started again.
    pub(crate) const EXIT: u8 = 21;
    /// It could not be started: an error.
    pub(crate) const FAILED: u8 = 22;
    /// A check that somebody has asked for has ended: its code, four bytes, and what it said.
    pub(crate) const CHECKED: u8 = 23;
    /// What was asked for is done: the client's number, and an error if it failed. Everybody gets it.
    pub(crate) const ANSWER: u8 = 24;
}

/// Bytes of the number by which a client knows the answer.
pub(crate) const NUMBER_BYTES: usize = 8;

/// Streams that a client wants.
pub(crate) const WANTS_STDIN: u8 = 1;
pub(crate) const WANTS_STDOUT: u8 = 2;
pub(crate) const WANTS_STDERR: u8 = 4;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// A number at the beginning of the payload.
    pub(crate) fn number(&self) -> Option<i32> {
        Some(i32::from_be_bytes(self.payload.get(..4)?.try_into().ok()?))
    }
}

pub(crate) fn header(kind: u8, length: usize) -> [u8; HEADER_BYTES] {
    let mut header = [kind, 0, 0, 0, 0, 0, 0, 0];
    header[4..].copy_from_slice(&u32::try_from(length).unwrap_or(0).to_be_bytes());
    header
}

/// A frame as bytes.
pub(crate) fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(kind, payload.len()).to_vec();
    bytes.extend(payload);
    bytes
}

/// Frames of a stream that is read bit by bit.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    buffer: Vec<u8>,
    start: usize,
}

impl Reader {
    /// Adds what was read.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>> {
        let rest = &self.buffer[self.start..];
        let Some((header, rest)) = rest.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
        if length > FRAME_LIMIT_BYTES {
            return Err(Error::invalid(
                "a frame is too long: the other side is none of this program's",
            ));
        }
        let Some(payload) = rest.get(..length) else { return Ok(None) };
        let frame = Frame { kind: header[0], payload: payload.to_vec() };
        self.start += HEADER_BYTES + length;
        Ok(Some(frame))
    }
}

/// Waits for the next frame of a supervisor; nothing at its end.
pub(crate) fn receive(socket: &Fd, reader: &mut Reader) -> Result<Option<Frame>> {
    let mut buffer = vec![0; FRAME_LIMIT_BYTES];
    loop {
        if let Some(frame) = reader.next()? {
            return Ok(Some(frame));
        }
        match fs::read(socket, &mut buffer) {
            Ok(0) | Err(Errno::ECONNRESET) => return Ok(None),
            Ok(count) => reader.push(&buffer[..count]),
            Err(errno) => return Err(Error::os("listening to the container's supervisor", errno)),
        }
    }
}

/// Sends a frame to a supervisor.
pub(crate) fn send(socket: &Fd, kind: u8, payload: &[u8]) -> Result<()> {
    match fs::write_all(socket, &frame(kind, payload)) {
        Err(Errno::EPIPE | Errno::ECONNRESET) => {
            Err(Error::new(Kind::State, "the container's supervisor has ended"))
        }
        result => result.during(|| "speaking to the container's supervisor"),
    }
}

#[test]
fn frames_are_read_however_they_are_cut() {
    let mut bytes = frame(kind::STDOUT, b"one");
    bytes.extend(frame(kind::EXIT, &[0, 0, 0, 7, 0]));
    bytes.extend(frame(kind::STDERR, b""));
    for cut in 1..bytes.len() {
        let mut reader = Reader::default();
        let mut frames = Vec::new();
        for part in bytes.chunks(cut) {
            reader.push(part);
            while let Some(frame) = reader.next().unwrap() {
                frames.push(frame);
            }
        }
        assert_eq!(frames.len(), 3);
        assert_eq!(frames[0], Frame { kind: kind::STDOUT, payload: b"one".to_vec() });
        assert_eq!(frames[1].number(), Some(7));
    }
    let mut reader = Reader::default();
    reader.push(&header(kind::STDIN, FRAME_LIMIT_BYTES + 1));
    assert!(reader.next().is_err());
}
