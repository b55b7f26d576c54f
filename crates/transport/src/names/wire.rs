//! Messages of DNS (RFC 1035, section 4): one question for addresses, and its answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest name, with its lengths.
const NAME_LIMIT_BYTES: usize = 255;
const LABEL_LIMIT_BYTES: usize = 63;
/// Most records of an answer that are looked at. A message of 64 KiB could have thousands.
const RECORDS_LIMIT: usize = 256;
/// Most aliases on the way to an address; servers give up between 8 and 16.
const ALIASES_LIMIT: usize = 16;
/// What we take in one datagram with EDNS: fits the smallest packet of IPv6 (DNS flag day 2020).
const EXTENDED_BYTES: u16 = 1232;

const CLASS_INTERNET: u16 = 1;
const TYPE_ALIAS: u16 = 5;
const TYPE_OPTIONS: u16 = 41;

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4 = 1,
    V6 = 28,
}

/// A question.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) id: u16,
    /// Labels with their lengths, small letters.
    name: Vec<u8>,
    family: Family,
}

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Addresses(Vec<IpAddr>),
    /// There is no such name, or no such address of it.
    Nothing,
    /// It did not fit.
    Truncated,
    /// The server does not want to, or cannot.
    Failed(u8),
    /// It is no sound message.
    Malformed,
}

impl Question {
    /// A question for a name; `None` when it can be no name.
    pub(super) fn new(id: u16, name: &str, family: Family) -> Option<Self> {
        let mut bytes = Vec::with_capacity(name.len() + 2);
        for label in name.split('.') {
            if label.is_empty() || label.len() > LABEL_LIMIT_BYTES {
                return None;
            }
            bytes.push(label.len() as u8);
            bytes.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
        }
        bytes.push(0);
        (bytes.len() <= NAME_LIMIT_BYTES).then_some(Self { id, name: bytes, family })
    }

    /// The message.
    pub(super) fn encode(&self, extended: bool) -> Vec<u8> {
        // A question, which wants the server to ask others (RD).
        let counts = [1, 0, 0, u16::from(extended)];
        let mut message = [self.id, 0x0100].map(u16::to_be_bytes).concat();
        message.extend(counts.map(u16::to_be_bytes).concat());
        message.extend(&self.name);
        message.extend([self.family as u16, CLASS_INTERNET].map(u16::to_be_bytes).concat());
        if extended {
            message.push(0);
            let fields = [TYPE_OPTIONS, EXTENDED_BYTES, 0, 0, 0];
            message.extend(fields.map(u16::to_be_bytes).concat());
        }
        message
    }

    /// Reads an answer; `None` when it is none to this question, and somebody else's or a forged one.
    pub(super) fn decode(&self, message: &[u8]) -> Option<Reply> {
        let word = |at: usize| Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?));
        let (id, flags, questions, answers) = (word(0)?, word(2)?, word(4)?, word(6)?);
        let code = (flags & 0xf) as u8;
        // An answer (QR) to a plain question (OPCODE).
        if id != self.id || flags & 0xf800 != 0x8000 || message.len() < 12 {
            return None;
        }
        // Who did not understand the message may leave out its question.
        if questions == 0 && !matches!(code, 0 | 3) {
            return Some(Reply::Failed(code));
        }
        let (name, at) = read_name(message, 12)?;
        let asked = (word(at)?, word(at + 2)?);
        if questions != 1 || name != self.name || asked != (self.family as u16, CLASS_INTERNET) {
            return None;
        }
        Some(match code {
            // TC.
            _ if flags & 0x0200 != 0 => Reply::Truncated,
            0 => self.answers(message, at + 4, answers).unwrap_or(Reply::Malformed),
            3 => Reply::Nothing,
            code => Reply::Failed(code),
        })
    }

    /// Follows aliases to addresses.
    fn answers(&self, message: &[u8], begin: usize, count: u16) -> Option<Reply> {
        let mut aliases: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut addresses: Vec<(Vec<u8>, IpAddr)> = Vec::new();
        let mut at = begin;
        for _ in 0..usize::from(count).min(RECORDS_LIMIT) {
            let (owner, fields) = read_name(message, at)?;
            let word =
                |at: usize| Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?));
            let (kind, class) = (word(fields)?, word(fields + 2)?);
            let content = fields + 10;
            at = content + usize::from(word(fields + 8)?);
            let data = message.get(content..at)?;
            if class != CLASS_INTERNET {
                continue;
            }
            if kind == TYPE_ALIAS {
                aliases.push((owner, read_name(message, content)?.0));
            } else if kind == self.family as u16 {
                let address = match self.family {
                    Family::V4 => Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).into(),
                    Family::V6 => Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).into(),
                };
                addresses.push((owner, address));
            }
        }
        let mut name = &self.name;
        for _ in 0..=ALIASES_LIMIT {
            let own = addresses.iter().filter(|(owner, _)| owner == name);
            let own: Vec<IpAddr> = own.map(|(_, address)| *address).collect();
            if !own.is_empty() {
                return Some(Reply::Addresses(own));
            }
            match aliases.iter().find(|(owner, _)| owner == name) {
                Some((_, target)) => name = target,
                None => return Some(Reply::Nothing),
            }
        }
        Some(Reply::Malformed)
    }
}

/// A name in small letters, without compression, and what is behind it.
fn read_name(message: &[u8], begin: usize) -> Option<(Vec<u8>, usize)> {
    let mut name = Vec::new();
    let mut at = begin;
    let mut behind = None;
    // Each jump has to go back further than those before, so that there is no circle.
    let mut lowest = begin;
    loop {
        let length = *message.get(at)?;
        match length {
            0 => {
                name.push(0);
                return Some((name, behind.unwrap_or(at + 1)));
            }
            1..=63 => {
                let end = at + 1 + usize::from(length);
                name.extend(message.get(at..end)?.iter().map(u8::to_ascii_lowercase));
                if name.len() >= NAME_LIMIT_BYTES {
                    return None;
                }
                at = end;
            }
            0xc0.. => {
                let target = usize::from(length & 0x3f) << 8 | usize::from(*message.get(at + 1)?);
                behind = behind.or(Some(at + 2));
                if target >= lowest {
                    return None;
                }
                (lowest, at) = (target, target);
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(family: Family) -> Question {
        Question::new(7, "Registry.Example", family).unwrap()
    }

    /// An answer to the question: its flags, the number of records that it claims, and these.
    fn message(question: &Question, flags: u16, count: u16, records: &[u8]) -> Vec<u8> {
        let mut message = question.encode(false);
        message[2..4].copy_from_slice(&flags.to_be_bytes());
        message[6..8].copy_from_slice(&count.to_be_bytes());
        message.extend(records);
        message
    }

    fn record(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
        let mut record = owner.to_vec();
        record.extend([kind, 1, 0, 60, data.len() as u16].map(u16::to_be_bytes).concat());
        record.extend(data);
        record
    }

    const FINE: u16 = 0x8180;
    /// The name of the question.
    const ASKED: &[u8] = &[0xc0, 12];

    #[test]
    fn questions_are_written() {
        let expected = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x08registry\x07example\0\0\x01\0\x01";
        assert_eq!(question(Family::V4).encode(false), expected);
        let extended = question(Family::V6).encode(true);
        assert!(extended.ends_with(b"\0\x1c\0\x01\0\0\x29\x04\xd0\0\0\0\0\0\0"), "{extended:?}");
        let long = ["x".repeat(63), "y".repeat(63), "z".repeat(63), "w".repeat(62)].join(".");
        for (name, fine) in [
            ("a", true),
            ("", false),
            ("a..b", false),
            (&long[..], false),
            (&long[1..], true),
            (&"x".repeat(64), false),
        ] {
            assert_eq!(Question::new(0, name, Family::V4).is_some(), fine, "{}", name.len());
        }
    }

    #[test]
    fn answers_are_read() {
        let v4 = question(Family::V4);
        let check = |flags: u16, count: u16, records: &[Vec<u8>], expected: Reply| {
            let message = message(&v4, flags, count, &records.concat());
            assert_eq!(v4.decode(&message), Some(expected), "{message:?}");
        };
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        let one = record(ASKED, 1, &[192, 0, 2, 1]);
        let two = record(b"\x08REGISTRY\x07example\0", 1, &[192, 0, 2, 2]);
        let both = [one.clone(), two];
        check(FINE, 2, &both, Reply::Addresses(vec![address(1), address(2)]));
        check(FINE, 0, &[], Reply::Nothing);
        check(FINE | 3, 0, &[], Reply::Nothing);
        check(FINE | 2, 0, &[], Reply::Failed(2));
        check(FINE | 5, 1, std::slice::from_ref(&one), Reply::Failed(5));
        check(FINE | 0x0200, 1, std::slice::from_ref(&one), Reply::Truncated);
        // Aliases, in any order; the target is compressed.
        let alias = record(ASKED, 5, b"\x03cdn\xc0\x15");
        let target = record(b"\x03cdn\x07example\0", 1, &[192, 0, 2, 3]);
        for records in [[alias.clone(), target.clone()], [target.clone(), alias.clone()]] {
            check(FINE, 2, &records, Reply::Addresses(vec![address(3)]));
        }
        // What was not asked for does not count.
        check(FINE, 1, &[target], Reply::Nothing);
        check(FINE, 1, &[record(ASKED, 28, &[0; 16])], Reply::Nothing);
        check(FINE, 1, std::slice::from_ref(&alias), Reply::Nothing);
        // Circles.
        check(FINE, 1, &[record(ASKED, 5, ASKED)], Reply::Malformed);
        let back = record(b"\x03cdn\x07example\0", 5, ASKED);
        check(FINE, 2, &[alias, back], Reply::Malformed);
        // Damage.
        check(FINE, 2, std::slice::from_ref(&one), Reply::Malformed);
        check(FINE, 1, &[one[..one.len() - 1].to_vec()], Reply::Malformed);
        check(FINE, 1, &[record(ASKED, 1, &[1, 2, 3])], Reply::Malformed);
        let here = message(&v4, FINE, 0, &[]).len() as u8;
        for owner in [&[0xc0, here][..], &[0xc0, 200], &[0xff, 0xff], &[0x80], &[1]] {
            check(FINE, 1, &[record(owner, 1, &[192, 0, 2, 1])], Reply::Malformed);
        }
        let sixth = question(Family::V6);
        let found = message(&sixth, FINE, 1, &record(ASKED, 28, &[7; 16]));
        assert_eq!(sixth.decode(&found), Some(Reply::Addresses(vec![[7; 16].into()])));
    }

    #[test]
    fn what_answers_another_question_is_no_answer() {
        let asked = question(Family::V4);
        let fine = message(&asked, FINE, 1, &record(ASKED, 1, &[192, 0, 2, 1]));
        assert!(asked.decode(&fine).is_some());
        let changed = |at: usize, byte: u8| {
            let mut other = fine.clone();
            other[at] ^= byte;
            asked.decode(&other)
        };
        for (at, byte) in [(0, 1), (1, 1), (2, 0x80), (2, 0x08), (5, 1), (5, 3), (14, 1), (30, 1)] {
            assert_eq!(changed(at, byte), None, "{at}");
        }
        // Small and large letters are the same.
        assert!(changed(14, 0x20).is_some());
        assert_eq!(asked.decode(&asked.encode(false)), None);
        for length in 0..33 {
            assert_eq!(asked.decode(&fine[..length]), None, "{length}");
        }
        // A complaint may come without the question.
        assert_eq!(asked.decode(b"\0\x07\x81\x81\0\0\0\0\0\0\0\0"), Some(Reply::Failed(1)));
        assert_eq!(asked.decode(b"\0\x07\x81\x80\0\0\0\0\0\0\0\0"), None);
    }

    #[test]
    fn no_message_makes_the_reader_panic() {
        let asked = question(Family::V4);
        let alias = record(ASKED, 5, b"\x03cdn\xc0\x15");
        let fine = message(&asked, FINE, 2, &[alias, record(ASKED, 1, &[1, 2, 3, 4])].concat());
        for at in 0..fine.len() {
            for byte in 0..=255 {
                let mut other = fine.clone();
                other[at] = byte;
                let _ = asked.decode(&other);
                let _ = asked.decode(&other[..at]);
            }
        }
    }
}
