//! Messages (RFC 1035), as far as a server needs them that passes most of them on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const HEADER_BYTES: usize = 12;
/// Longest name (RFC 1035, section 2.3.4), written with dots.
const NAME_BYTES: usize = 255;
const LABEL_BYTES: usize = 63;
/// What is sent without asking (section 2.3.4), and at most when the asker takes more: a frame of Ethernet with
/// room for tunnels, as the name servers' vendors agreed upon in 2020.
const PLAIN_BYTES: usize = 512;
const EXTENDED_BYTES: usize = 1232;
/// docker's answers are good for ten minutes; containers come and go faster than that.
const LIFE_SECONDS: u32 = 60;
/// Records that are looked at in search of the asker's extension.
const RECORDS: usize = 16;

pub(super) const TYPE_A: u16 = 1;
pub(super) const TYPE_PTR: u16 = 12;
pub(super) const TYPE_AAAA: u16 = 28;
const TYPE_OPT: u16 = 41;
const CLASS_IN: u16 = 1;
const FLAG_RESPONSE: u8 = 0x80;
const FLAG_AUTHORITATIVE: u8 = 0x04;
const FLAG_TRUNCATED: u8 = 0x02;
const FLAG_RECURSION_WANTED: u8 = 0x01;
const FLAG_RECURSION_AVAILABLE: u8 = 0x80;

/// How an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    Fine = 0,
    Malformed = 1,
    Failed = 2,
    NotImplemented = 4,
    Refused = 5,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Address(IpAddr),
    /// The name of an address.
    Name(String),
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) id: u16,
    /// In small letters, without a dot at its end.
    pub(super) name: String,
    pub(super) kind: u16,
    pub(super) is_internet: bool,
    /// The question as it was asked: answers repeat it.
    question: Vec<u8>,
    recursion: bool,
    /// Longest datagram that the asker takes; `None`: nothing was said.
    extended: Option<usize>,
}

impl Query {
    /// Reads a question. The error is what is answered; `None`: nothing.
    pub(super) fn read(message: &[u8]) -> Result<Self, Option<Vec<u8>>> {
        let header = message.get(..HEADER_BYTES).ok_or(None)?;
        if header[2] & FLAG_RESPONSE != 0 {
            return Err(None);
        }
        if header[2] >> 3 & 0xf != 0 {
            return Err(Some(refusal(header, Code::NotImplemented)));
        }
        let count = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let malformed = || Some(refusal(header, Code::Malformed));
        if count(4) != 1 {
            return Err(malformed());
        }
        let (name, end) = read_name(message, HEADER_BYTES).ok_or_else(malformed)?;
        let kinds = message.get(end..end + 4).ok_or_else(malformed)?;
        let records = usize::from(count(6)) + usize::from(count(8)) + usize::from(count(10));
        Ok(Self {
            id: count(0),
            name,
            kind: u16::from_be_bytes([kinds[0], kinds[1]]),
            is_internet: u16::from_be_bytes([kinds[2], kinds[3]]) == CLASS_IN,
            question: message[HEADER_BYTES..end + 4].to_vec(),
            recursion: header[2] & FLAG_RECURSION_WANTED != 0,
            extended: extension(message, end + 4, records),
        })
    }

    /// Longest answer as a datagram.
    pub(super) fn datagram_bytes(&self) -> usize {
        let wanted = self.extended.unwrap_or(PLAIN_BYTES);
        wanted.clamp(PLAIN_BYTES, EXTENDED_BYTES)
    }

    /// An answer of our own.
    pub(super) fn answer(&self, code: Code, records: &[Record]) -> Vec<u8> {
        let known = if code == Code::Fine { FLAG_AUTHORITATIVE } else { 0 };
        let recursion = if self.recursion { FLAG_RECURSION_WANTED } else { 0 };
        let mut message = self.id.to_be_bytes().to_vec();
        message.extend([FLAG_RESPONSE | known | recursion, FLAG_RECURSION_AVAILABLE | code as u8]);
        let extended = u16::from(self.extended.is_some());
        for count in [1, records.len() as u16, 0, extended] {
            message.extend(count.to_be_bytes());
        }
        message.extend(&self.question);
        for record in records {
            let (kind, data) = match record {
                Record::Address(IpAddr::V4(address)) => (TYPE_A, address.octets().to_vec()),
                Record::Address(IpAddr::V6(address)) => (TYPE_AAAA, address.octets().to_vec()),
                Record::Name(name) => (TYPE_PTR, write_name(name)),
            };
            // The name is the question's.
            message.extend([0xc0, HEADER_BYTES as u8]);
            message.extend(kind.to_be_bytes());
            message.extend(CLASS_IN.to_be_bytes());
            message.extend(LIFE_SECONDS.to_be_bytes());
            message.extend((data.len() as u16).to_be_bytes());
            message.extend(data);
        }
        if extended == 1 {
            message.push(0);
            message.extend(TYPE_OPT.to_be_bytes());
            message.extend((EXTENDED_BYTES as u16).to_be_bytes());
            message.extend([0; 6]);
        }
        message
    }

    /// Whether a message answers this question, asked with the number `id`.
    pub(super) fn is_answered_by(&self, message: &[u8], id: u16) -> bool {
        let Some(header) = message.get(..HEADER_BYTES) else { return false };
        let same = header[..2] == id.to_be_bytes() && header[2] & FLAG_RESPONSE != 0;
        // A server that understands nothing repeats nothing.
        let asked = message.get(HEADER_BYTES..HEADER_BYTES + self.question.len());
        let repeats = header[4..6] == [0, 1]
            && asked.is_some_and(|asked| asked.eq_ignore_ascii_case(&self.question));
        same && (repeats || (header[4..6] == [0, 0] && code(message) != 0))
    }
}

/// The code of an answer.
pub(super) fn code(message: &[u8]) -> u8 {
    message.get(3).map_or(0, |flags| flags & 0xf)
}

/// The same message with another number.
pub(super) fn numbered(message: &[u8], id: u16) -> Vec<u8> {
    let mut message = message.to_vec();
    if let Some(place) = message.get_mut(..2) {
        place.copy_from_slice(&id.to_be_bytes());
    }
    message
}

/// An answer that does not fit, as one that says so: with nothing but the question.
pub(super) fn cut(answer: &[u8]) -> Vec<u8> {
    let end = match read_name(answer, HEADER_BYTES) {
        Some((_, end)) if answer.get(4..6) == Some(&[0, 1]) => (end + 4).min(answer.len()),
        _ => HEADER_BYTES.min(answer.len()),
    };
    let mut message = answer[..end].to_vec();
    if message.len() >= HEADER_BYTES {
        message[2] |= FLAG_TRUNCATED;
        message[4..6].copy_from_slice(&[0, u8::from(end > HEADER_BYTES)]);
        message[6..12].fill(0);
    }
    message
}

/// What is answered to somebody whose question is not understood.
fn refusal(header: &[u8], code: Code) -> Vec<u8> {
    let mut message = header.to_vec();
    message[2] = header[2] & 0x79 | FLAG_RESPONSE;
    message[3] = code as u8;
    message[4..].fill(0);
    message
}

/// The name at `at`, and where it ends. A question comes first, so that there is nothing that it could point at.
fn read_name(message: &[u8], at: usize) -> Option<(String, usize)> {
    let (mut name, mut at) = (String::new(), at);
    loop {
        let length = usize::from(*message.get(at)?);
        if length == 0 {
            return Some((name, at + 1));
        }
        if length > LABEL_BYTES {
            return None;
        }
        let label = message.get(at + 1..at + 1 + length)?;
        if !name.is_empty() {
            name.push('.');
        }
        // What is not text is nobody's name here, and is passed on as it was asked.
        name.extend(label.iter().map(|&byte| match byte {
            b'!'..=b'~' if byte != b'.' => byte.to_ascii_lowercase() as char,
            _ => '\u{fffd}',
        }));
        if name.len() > 3 * NAME_BYTES {
            return None;
        }
        at += 1 + length;
        if at > HEADER_BYTES + NAME_BYTES {
            return None;
        }
    }
}

fn write_name(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        let label = &label.as_bytes()[..label.len().min(LABEL_BYTES)];
        bytes.push(label.len() as u8);
        bytes.extend(label);
    }
    bytes.push(0);
    bytes
}

/// How much the asker takes (RFC 6891), if that is among the records behind the question.
fn extension(message: &[u8], mut at: usize, records: usize) -> Option<usize> {
    for _ in 0..records.min(RECORDS) {
        // Names of records may point at others, which end them.
        loop {
            match usize::from(*message.get(at)?) {
                0 => {
                    at += 1;
                    break;
                }
                length if length > LABEL_BYTES => {
                    at += 2;
                    break;
                }
                length => at += 1 + length,
            }
        }
        let fixed = message.get(at..at + 10)?;
        let number = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
        if number(0) == TYPE_OPT {
            return Some(usize::from(number(2)));
        }
        at += 10 + usize::from(number(8));
    }
    None
}

/// The address that a name below `in-addr.arpa` or `ip6.arpa` stands for.
pub(super) fn reversed(name: &str) -> Option<IpAddr> {
    if let Some(parts) = name.strip_suffix(".in-addr.arpa") {
        let mut octets = [0; 4];
        let mut parts = parts.split('.').rev();
        for octet in &mut octets {
            *octet = parts.next()?.parse().ok()?;
        }
        return parts.next().is_none().then(|| Ipv4Addr::from(octets).into());
    }
    let mut parts = name.strip_suffix(".ip6.arpa")?.split('.').rev();
    let mut bits = 0u128;
    for _ in 0..32 {
        let digit = parts.next().filter(|part| part.len() == 1)?;
        bits = bits << 4 | u128::from(u8::from_str_radix(digit, 16).ok()?);
    }
    parts.next().is_none().then(|| Ipv6Addr::from_bits(bits).into())
}

/// Reads a message as a server and as a client would: for tests with damaged ones. `Err` says what does not hold
/// that must.
pub(crate) fn feed(message: &[u8]) -> Result<bool, String> {
    let check = |answer: &[u8]| match answer.len() < HEADER_BYTES || answer[2] & FLAG_RESPONSE == 0
    {
        true => Err("an answer is none".to_owned()),
        false => Ok(()),
    };
    // What a server sends is cut, too, whatever it is.
    let _ = (cut(message), code(message), numbered(message, 7));
    match Query::read(message) {
        Err(Some(answer)) => check(&answer).map(|()| false),
        Err(None) => Ok(false),
        Ok(query) => {
            let _ = reversed(&query.name);
            let records = [Record::Address([1, 2, 3, 4].into()), Record::Name(query.name.clone())];
            let answer = query.answer(Code::Fine, &records);
            check(&answer)?;
            check(&cut(&answer))?;
            match query.is_answered_by(&answer, query.id) {
                true => Ok(true),
                false => Err("the own answer answers nothing".into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A question as others ask it.
    pub(crate) fn ask(name: &str, kind: u16, extended: Option<u16>) -> Vec<u8> {
        let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(extended.is_some())];
        message.extend(write_name(name));
        message.extend(kind.to_be_bytes());
        message.extend([0, 1]);
        if let Some(bytes) = extended {
            message.extend([0, 0, 41]);
            message.extend(bytes.to_be_bytes());
            message.extend([0; 6]);
        }
        message
    }

    #[test]
    fn questions_are_read_and_answered() {
        let query = Query::read(&ask("Web.Example", TYPE_A, None)).unwrap();
        assert_eq!((query.name.as_str(), query.kind, query.id), ("web.example", TYPE_A, 0x1234));
        assert_eq!(query.datagram_bytes(), 512);
        let answer = query.answer(Code::Fine, &[Record::Address([10, 0, 0, 2].into())]);
        assert_eq!(&answer[..12], &[0x12, 0x34, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        assert_eq!(
            &answer[answer.len() - 16..],
            &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 2]
        );
        assert!(query.is_answered_by(&answer, 0x1234) && !query.is_answered_by(&answer, 0x1235));
        let other = Query::read(&ask("other", TYPE_A, None)).unwrap();
        assert!(!other.is_answered_by(&answer, 0x1234));
        let extended = Query::read(&ask("a", TYPE_AAAA, Some(4096))).unwrap();
        assert_eq!(extended.datagram_bytes(), 1232);
        assert_eq!(extended.answer(Code::Failed, &[])[11], 1);
        assert_eq!(Query::read(&ask("", TYPE_A, Some(10))).unwrap().datagram_bytes(), 512);
    }

    #[test]
    fn what_does_not_fit_is_cut() {
        let query = Query::read(&ask("web", TYPE_A, Some(1000))).unwrap();
        let records = vec![Record::Address([10, 0, 0, 2].into()); 100];
        let answer = query.answer(Code::Fine, &records);
        let short = cut(&answer);
        assert_eq!(short.len(), 12 + 5 + 4);
        assert_eq!((short[2] & FLAG_TRUNCATED, short[7]), (FLAG_TRUNCATED, 0));
    }

    #[test]
    fn what_is_no_question_is_refused_or_dropped() {
        assert_eq!(Query::read(&[]), Err(None));
        assert_eq!(Query::read(&[0; 11]), Err(None));
        let mut answer = ask("a", 1, None);
        answer[2] |= FLAG_RESPONSE;
        assert_eq!(Query::read(&answer), Err(None));
        let code_of =
            |message: &[u8]| Query::read(message).unwrap_err().map(|answer| code(&answer));
        let mut update = ask("a", 1, None);
        update[2] = 5 << 3;
        assert_eq!(code_of(&update), Some(4));
        let mut two = ask("a", 1, None);
        two[5] = 2;
        assert_eq!(code_of(&two), Some(1));
        assert_eq!(code_of(&ask("a", 1, None)[..14]), Some(1));
        // A name that points at itself.
        let mut pointing = ask("", 1, None);
        pointing.splice(12..13, [0xc0, 12]);
        assert_eq!(code_of(&pointing), Some(1));
        assert_eq!(code_of(&ask(&"a.".repeat(200), 1, None)), Some(1));
    }

    #[test]
    fn addresses_have_names() {
        let check = |name: &str, expected: Option<&str>| {
            assert_eq!(reversed(name).map(|ip| ip.to_string()).as_deref(), expected, "{name}");
        };
        check("2.0.17.172.in-addr.arpa", Some("172.17.0.2"));
        check("0.17.172.in-addr.arpa", None);
        check("1.2.0.17.172.in-addr.arpa", None);
        check("256.0.17.172.in-addr.arpa", None);
        check("example.com", None);
        let six = format!("1.{}d.f.ip6.arpa", "0.".repeat(29));
        check(&six, Some("fd00::1"));
        check(&six[2..], None);
    }

    #[test]
    fn damaged_messages_do_no_harm() {
        let mut seed = 7u32;
        let mut random = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) as usize
        };
        for message in [ask("web.example", 1, Some(4096)), ask("2.0.17.172.in-addr.arpa", 12, None)]
        {
            for _ in 0..20_000 {
                let mut damaged = message.clone();
                for _ in 0..1 + random() % 4 {
                    let at = random() % damaged.len();
                    damaged[at] = random() as u8;
                }
                damaged.truncate(random() % (damaged.len() + 8));
                feed(&damaged).unwrap();
            }
        }
    }
}
