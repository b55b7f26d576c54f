//! criu's messages: the few fields that are used, in protobuf's wire format.
//!
//! A message is a run of fields. Each begins with a number whose lower three bits are the field's
//! form (0: a number follows, 2: a length and as many bytes) and whose other bits are its number.
//! Numbers have seven bits a byte, the lowest first; the top bit says that there is more.

use alloc::string::String;
use alloc::vec::Vec;

const NUMBER: u64 = 0;
const FIXED_64: u64 = 1;
const BYTES: u64 = 2;
const FIXED_32: u64 = 5;

/// A message that is being written.
#[derive(Clone, Debug, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// The message as bytes.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// Adds a number; a switch that is on is 1.
    pub(super) fn number(&mut self, field: u32, value: u64) {
        self.varint(u64::from(field) << 3 | NUMBER);
        self.varint(value);
    }

    /// Adds a text.
    pub(super) fn text(&mut self, field: u32, value: &str) {
        self.bytes(field, value.as_bytes());
    }

    /// Adds a message.
    pub(super) fn message(&mut self, field: u32, inner: &Self) {
        self.bytes(field, &inner.0);
    }

    fn bytes(&mut self, field: u32, value: &[u8]) {
        self.varint(u64::from(field) << 3 | BYTES);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// Adds a message of a text and another one, its fields 1 and 2: what criu uses wherever
    /// something is named.
    pub(super) fn pair(&mut self, field: u32, first: &str, second: &str) {
        let mut inner = Self::default();
        inner.text(1, first);
        inner.text(2, second);
        self.message(field, &inner);
    }
}

/// What a field holds. Fixed-size numbers are not used by criu and read as 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    fn number(self) -> u64 {
        match self {
            Self::Number(number) => number,
            Self::Bytes(_) => 0,
        }
    }

    fn bytes(self) -> &'a [u8] {
        match self {
            Self::Number(_) => &[],
            Self::Bytes(bytes) => bytes,
        }
    }

    fn text(self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

/// Reads every field of a message. `None`: it is damaged.
fn fields<'a>(mut bytes: &'a [u8], on: &mut dyn FnMut(u64, Value<'a>) -> Option<()>) -> Option<()> {
    while !bytes.is_empty() {
        let key = read_varint(&mut bytes)?;
        let value = match key & 7 {
            NUMBER => Value::Number(read_varint(&mut bytes)?),
            BYTES => {
                let length = read_varint(&mut bytes)?;
                Value::Bytes(take(&mut bytes, usize::try_from(length).ok()?)?)
            }
            form @ (FIXED_64 | FIXED_32) => {
                take(&mut bytes, if form == FIXED_64 { 8 } else { 4 })?;
                Value::Number(0)
            }
            _ => return None,
        };
        on(key >> 3, value)?;
    }
    Some(())
}

/// An answer of criu's.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// The request that it answers, or [`super::NOTIFY`].
    pub(super) kind: u64,
    /// Whether that was done.
    pub(super) success: bool,
    /// Otherwise why not, as an error number...
    pub(super) errno: i32,
    /// ...and as a sentence.
    pub(super) message: String,
    /// What criu tells in between.
    pub(super) script: String,
    /// The first process of the container, where the answer or the word in between has it.
    pub(super) pid: i32,
    /// Whether memory that changes can be tracked.
    pub(super) mem_track: bool,
    /// Whether memory can be fetched when it is touched.
    pub(super) lazy_pages: bool,
    /// The version: 4.2.1 is 40201.
    pub(super) version: u64,
}

impl Answer {
    /// Reads an answer. `None`: it is damaged.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut answer = Self::default();
        fields(bytes, &mut |field, value| {
            match field {
                1 => answer.kind = value.number(),
                2 => answer.success = value.number() != 0,
                4 => fields(value.bytes(), &mut |field, value| {
                    if field == 1 {
                        answer.pid = value.number() as i32;
                    }
                    Some(())
                })?,
                5 => fields(value.bytes(), &mut |field, value| {
                    match field {
                        1 => answer.script = value.text(),
                        2 => answer.pid = value.number() as i32,
                        _ => {}
                    }
                    Some(())
                })?,
                7 => answer.errno = value.number() as i32,
                8 => fields(value.bytes(), &mut |field, value| {
                    match field {
                        1 => answer.mem_track = value.number() != 0,
                        2 => answer.lazy_pages = value.number() != 0,
                        _ => {}
                    }
                    Some(())
                })?,
                9 => answer.message = value.text(),
                10 => answer.version = read_version(value.bytes())?,
                _ => {}
            }
            Some(())
        })?;
        Some(answer)
    }
}

fn read_version(bytes: &[u8]) -> Option<u64> {
    let (mut version, mut from_git) = (0, false);
    fields(bytes, &mut |field, value| {
        match field {
            1 => version += value.number().min(1000) * 10_000,
            2 => version += value.number().min(99) * 100,
            3 => from_git = true,
            4 => version += value.number().min(99),
            _ => {}
        }
        Some(())
    })?;
    // What lies between two releases has what the next one will have.
    Some(if from_git { version / 100 * 100 + 100 } else { version })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_wire_format_of_protobuf() {
        let mut message = Message::default();
        message.number(1, 2);
        message.number(34, 300);
        message.text(13, "/x");
        message.pair(23, "k", "val");
        let expected = b"\x08\x02\x90\x02\xac\x02\x6a\x02/x\xba\x01\x08\x0a\x01k\x12\x03val";
        assert_eq!(message.as_bytes(), expected);
        let mut largest = Message::default();
        largest.number(1, u64::MAX);
        assert_eq!(read_varint(&mut &largest.as_bytes()[1..]), Some(u64::MAX));
    }

    #[test]
    fn answers_are_read() {
        let mut notify = Message::default();
        notify.text(1, "post-restore");
        notify.number(2, 77);
        let mut bytes = Message::default();
        bytes.number(1, 6);
        bytes.number(2, 1);
        bytes.message(5, &notify);
        // A field of a later version.
        bytes.text(99, "new");
        let answer = Answer::read(bytes.as_bytes()).unwrap();
        assert_eq!((answer.kind, answer.success, answer.pid), (6, true, 77));
        assert_eq!(answer.script, "post-restore");

        let mut failed = Message::default();
        failed.number(1, 1);
        failed.number(2, 0);
        failed.number(7, 22);
        failed.text(9, "no");
        let answer = Answer::read(failed.as_bytes()).unwrap();
        assert_eq!((answer.success, answer.errno, answer.message.as_str()), (false, 22, "no"));
    }

    #[test]
    fn versions_are_one_number() {
        let check = |parts: &[(u32, u64)], git: bool, expected: u64| {
            let mut version = Message::default();
            parts.iter().for_each(|&(field, value)| version.number(field, value));
            if git {
                version.text(3, "v3.15-7-gabc");
            }
            let mut bytes = Message::default();
            bytes.message(10, &version);
            assert_eq!(Answer::read(bytes.as_bytes()).unwrap().version, expected);
        };
        check(&[(1, 4), (2, 2), (4, 1)], false, 40_201);
        check(&[(1, 3), (2, 17)], false, 31_700);
        check(&[(1, 3), (2, 14), (4, 2)], true, 31_500);
    }

    #[test]
    fn damaged_answers_are_none_and_never_a_panic() {
        for bytes in
            [&b"\x0a"[..], b"\x0a\x05ab", b"\x08", b"\x0b", b"\x08\xff", b"\x2a\x02\x0a\x09"]
        {
            assert_eq!(Answer::read(bytes), None, "{bytes:?}");
        }
        assert_eq!(Answer::read(&[0xff; 32]), None);
        let mut state = 1u64;
        for length in 0..64 {
            for _ in 0..2000 {
                let bytes: Vec<u8> = (0..length)
                    .map(|_| {
                        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        (state >> 56) as u8
                    })
                    .collect();
                Answer::read(&bytes);
            }
        }
    }
}
