//! rtnetlink(7), as far as a runtime needs it.

use alloc::vec::Vec;
use sys::{Errno, Fd, Result, fs, socket};

/// `struct nlmsghdr`: length, type (2), flags (2), sequence, sender.
const HEADER_BYTES: usize = 16;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP_INTR: u16 = 0x10;
/// The request is answered by an acknowledgement, after what it asks for.
pub(super) const NLM_F_ACK: u16 = 4;
/// The request is answered by everything there is.
pub(super) const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// The kernel fills one packet of a dump up to a page less its own overhead (`NLMSG_GOODSIZE`); of
/// longer answers to other requests only the beginning is looked at.
const BUFFER_BYTES: usize = 4096;
/// One packet has room for at least 20 addresses; a host with 100,000 of them stays below this.
const PACKETS_LIMIT: usize = 5000;

/// A request: header, a fixed structure, attributes.
pub(super) struct Request(Vec<u8>);

impl Request {
    /// `fixed` is the structure of messages of this kind, a multiple of four bytes.
    pub(super) fn new(kind: u16, flags: u16, fixed: &[u8]) -> Self {
        let mut bytes = alloc::vec![0u8; HEADER_BYTES];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(NLM_F_REQUEST | flags).to_ne_bytes());
        bytes.extend_from_slice(fixed);
        Self(bytes)
    }

    /// Appends an attribute.
    pub(super) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.extend_from_slice(&(4 + value.len() as u16).to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// Names the device. Its index has the same place in `ifinfomsg` and `ifaddrmsg`.
    pub(super) fn set_index(&mut self, index: u32) {
        self.0[HEADER_BYTES + 4..HEADER_BYTES + 8].copy_from_slice(&index.to_ne_bytes());
    }
}

/// A socket. It belongs to the network namespace in which it was opened, wherever its process goes.
pub(super) struct Rtnetlink(Fd);

impl Rtnetlink {
    /// Opens one.
    pub(super) fn open() -> Result<Self> {
        socket::netlink(0).map(Self)
    }

    /// Sends a request; returns what the kernel sends before its acknowledgement or the dump's
    /// end. A dump that a change made inconsistent is `EAGAIN`.
    pub(super) fn ask(&self, request: &mut Request) -> Result<Vec<Vec<u8>>> {
        let length = request.0.len() as u32;
        request.0[..4].copy_from_slice(&length.to_ne_bytes());
        fs::write_all(&self.0, &request.0)?;
        let mut answers = Vec::new();
        let mut buffer = [0u8; BUFFER_BYTES];
        for _ in 0..PACKETS_LIMIT {
            let length = fs::read(&self.0, &mut buffer)?;
            if let Some(end) = take_packet(&buffer[..length], &mut answers) {
                return end.map(|()| answers);
            }
        }
        Err(Errno::EPROTO)
    }
}

/// Collects the messages of one packet; `Some`: the answer has ended.
fn take_packet(mut packet: &[u8], answers: &mut Vec<Vec<u8>>) -> Option<Result<()>> {
    let mut interrupted = false;
    while packet.len() >= HEADER_BYTES {
        let number = |at: usize| u16::from_ne_bytes([packet[at], packet[at + 1]]);
        let (kind, flags) = (number(4), number(6));
        let length = word(packet, 0).unwrap_or(0) as usize;
        let body = &packet[HEADER_BYTES..length.clamp(HEADER_BYTES, packet.len())];
        interrupted |= flags & NLM_F_DUMP_INTR != 0;
        match (kind, word(body, 0).map(|code| code as i32)) {
            (NLMSG_ERROR | NLMSG_DONE, Some(code)) if code < 0 => {
                return Some(Err(Errno(code.saturating_neg())));
            }
            (NLMSG_DONE, _) if interrupted => return Some(Err(Errno::EAGAIN)),
            (NLMSG_ERROR | NLMSG_DONE, _) => return Some(Ok(())),
            _ => answers.push(body.to_vec()),
        }
        packet = &packet[length.next_multiple_of(4).clamp(HEADER_BYTES, packet.len())..];
    }
    None
}

/// The 32-bit number at `at`.
pub(super) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

/// Kind and value of each attribute; what is damaged ends the list.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    core::iter::from_fn(move || {
        let head = word(bytes, 0)?.to_ne_bytes();
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([head[2], head[3]]), value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_aligned_and_read_back() {
        let request =
            Request::new(16, NLM_F_ACK, &[0; 16]).attribute(3, b"eth0\0").attribute(28, &[7; 4]);
        assert_eq!(request.0.len(), 16 + 16 + 12 + 8);
        let list: Vec<_> = attributes(&request.0[32..]).collect();
        assert_eq!(list, [(3, &b"eth0\0"[..]), (28, &[7; 4][..])]);
    }

    #[test]
    fn damaged_answers_end_without_a_panic() {
        let mut seed = 1u32;
        for length in 0..200usize {
            for _ in 0..50 {
                let mut bytes = Vec::new();
                for _ in 0..length {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    // Small numbers are lengths and kinds more often than not.
                    bytes.push((seed >> 24) as u8 & if seed & 0x100 == 0 { 0x1f } else { 0xff });
                }
                let mut answers = Vec::new();
                take_packet(&bytes, &mut answers);
                assert!(attributes(&bytes).count() <= length);
            }
        }
    }

    #[test]
    fn an_interrupted_dump_is_told() {
        let message = |kind: u16, flags: u16| {
            let mut bytes = [0u8; 20];
            bytes[0] = 20;
            bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
            bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
            bytes
        };
        let mut answers = Vec::new();
        let packet = [message(20, 0), message(NLMSG_DONE, NLM_F_DUMP_INTR)].concat();
        assert_eq!(take_packet(&packet, &mut answers), Some(Err(Errno::EAGAIN)));
        assert_eq!(take_packet(&message(20, 0), &mut answers), None);
        assert_eq!(take_packet(&message(NLMSG_DONE, 0), &mut answers), Some(Ok(())));
        assert_eq!(answers.len(), 2);
    }
}
