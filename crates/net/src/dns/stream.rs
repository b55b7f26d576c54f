//! Askers who ask over connections.

use super::events;
use super::upstream::{is_later, read_message};
use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;

/// How long a connection lives on which nothing happens.
const IDLE_MS: u64 = 10_000;
/// Longest question over a connection.
const QUESTION_BYTES: usize = 4096;

/// A connection. It is read from only while nothing is to be answered.
#[derive(Debug)]
pub(super) struct Client {
    stream: TcpStream,
    pub(super) serial: u64,
    received: Vec<u8>,
    to_send: Vec<u8>,
    waits: bool,
    pub(super) until_ms: u64,
}

impl Client {
    pub(super) fn new(stream: TcpStream, serial: u64, now: u64) -> Option<Self> {
        stream.set_nonblocking(true).ok()?;
        let (received, to_send) = (Vec::new(), Vec::new());
        Some(Self { stream, serial, received, to_send, waits: false, until_ms: now + IDLE_MS })
    }

    pub(super) fn raw(&self) -> i32 {
        self.stream.as_raw_fd()
    }

    /// While it waits for an answer nothing is taken from it; an end is noticed nevertheless.
    pub(super) fn events(&self) -> u32 {
        match self.waits {
            true => 0,
            false => events(!self.to_send.is_empty()),
        }
    }

    /// It has asked, and its time begins anew.
    pub(super) fn wait(&mut self, now: u64) {
        self.waits = true;
        self.until_ms = now + IDLE_MS;
    }

    /// Writes and reads on; returns a question that is whole. The error is the connection's end.
    pub(super) fn advance(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        if self.waits {
            // Nothing was asked for, so that this is its end.
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if !self.to_send.is_empty() {
            self.send()?;
            return Ok(None);
        }
        let message = read_message(&mut self.stream, &mut self.received)?;
        let claimed =
            self.received.get(..2).map_or(0, |length| u16::from_be_bytes([length[0], length[1]]));
        match usize::from(claimed) > QUESTION_BYTES {
            true => Err(ErrorKind::InvalidData.into()),
            false => Ok(message),
        }
    }

    /// Sends an answer, as far as it goes.
    pub(super) fn answer(&mut self, message: &[u8]) -> std::io::Result<()> {
        self.waits = false;
        self.to_send = [&(message.len() as u16).to_be_bytes(), message].concat();
        self.send()
    }

    fn send(&mut self) -> std::io::Result<()> {
        match self.stream.write(&self.to_send) {
            Ok(count) => drop(self.to_send.drain(..count)),
            Err(error) if is_later(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
