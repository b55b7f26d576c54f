//! Questions on their way to other servers.

use super::upstream::{Exchange, Way};
use super::wire::{self, Code, Query};
use std::net::SocketAddr;

/// How long one server is waited for. Three of them together take less than the five seconds after which askers ask
/// again.
const SERVER_MS: u64 = 1500;

/// Who has asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    Datagram(SocketAddr),
    /// The connection with this number.
    Stream(u64),
}

impl Asker {
    /// Longest answer that it takes.
    pub(super) fn limit_bytes(&self, query: &Query) -> usize {
        match self {
            Self::Datagram(_) => query.datagram_bytes(),
            Self::Stream(_) => usize::from(u16::MAX),
        }
    }
}

/// A question that a server has been asked.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) query: Query,
    /// As it was asked; the number is another one for each server.
    message: Vec<u8>,
    pub(super) asker: Asker,
    /// The server that was asked first, and how many have been asked.
    pub(super) first: usize,
    pub(super) tried: usize,
    /// What the last server had to say that could not help.
    pub(super) refusal: Option<Vec<u8>>,
    exchange: Option<Exchange>,
    pub(super) until_ms: u64,
}

impl Pending {
    pub(super) fn new(query: Query, message: &[u8], asker: Asker, first: usize) -> Self {
        let message = message.to_vec();
        Self { query, message, asker, first, tried: 0, refusal: None, exchange: None, until_ms: 0 }
    }

    /// Asks a server, the same way as we were asked.
    pub(super) fn ask(&mut self, server: SocketAddr, now: u64) -> sys::Result<()> {
        self.until_ms = now + SERVER_MS;
        let mut id = [0; 2];
        sys::time::random(&mut id)?;
        let id = u16::from_ne_bytes(id);
        let message = wire::numbered(&self.message, id);
        self.exchange = None;
        self.exchange = Some(match self.asker {
            Asker::Datagram(_) => Exchange::datagram(server, id, &message)?,
            Asker::Stream(_) => Exchange::stream(server, id, &message)?,
        });
        Ok(())
    }

    pub(super) fn raw(&self) -> i32 {
        self.exchange.as_ref().map_or(-1, Exchange::raw)
    }

    pub(super) fn events(&self) -> u32 {
        self.exchange.as_ref().map_or(0, Exchange::events)
    }

    /// Goes on as far as is possible.
    pub(super) fn advance(&mut self) -> Way {
        let Some(exchange) = &mut self.exchange else { return Way::Lost };
        match exchange.advance(&self.query) {
            Way::Answered(answer) => {
                let answer = wire::numbered(&answer, self.query.id);
                let code = wire::code(&answer);
                match code == Code::Failed as u8 || code == Code::Refused as u8 {
                    true => Way::Refused(answer),
                    false => Way::Answered(answer),
                }
            }
            way => way,
        }
    }
}
