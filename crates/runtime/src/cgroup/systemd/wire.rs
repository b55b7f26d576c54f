//! D-Bus messages as bytes (D-Bus specification 0.43, "Message Protocol"), little-endian.
//!
//! What comes in is bounded by [`MESSAGE_LIMIT`] before it is read and every offset is checked: a
//! damaged message is an error.

use crate::error::{Error, Kind, Result};
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Longest message that is taken. systemd's answers to what is asked here are below 1 KiB; the
/// specification allows 128 MiB.
pub(super) const MESSAGE_LIMIT: usize = 1 << 20;

/// Length of the fixed part of the header, with the length of the fields' array.
pub(super) const FIXED_BYTES: usize = 16;

/// A value with its type.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Byte(u8),
    Bool(bool),
    I16(i16),
    U16(u16),
    I32(i32),
    U32(u32),
    I64(i64),
    U64(u64),
    F64(f64),
    Text(String),
    Path(String),
    Signature(String),
    /// Signature of the elements, which may be none.
    Array(String, Vec<Value>),
    Struct(Vec<Value>),
    Variant(Box<Value>),
}

impl Value {
    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    pub(super) fn bytes(bytes: &[u8]) -> Self {
        Self::Array("y".into(), bytes.iter().copied().map(Self::Byte).collect())
    }

    pub(super) fn variant(self) -> Self {
        Self::Variant(Box::new(self))
    }

    pub(super) fn signature(&self) -> String {
        let basic = match self {
            Self::Byte(_) => "y",
            Self::Bool(_) => "b",
            Self::I16(_) => "n",
            Self::U16(_) => "q",
            Self::I32(_) => "i",
            Self::U32(_) => "u",
            Self::I64(_) => "x",
            Self::U64(_) => "t",
            Self::F64(_) => "d",
            Self::Text(_) => "s",
            Self::Path(_) => "o",
            Self::Signature(_) => "g",
            Self::Variant(_) => "v",
            Self::Array(element, _) => return format!("a{element}"),
            Self::Struct(fields) => {
                let fields: String = fields.iter().map(Self::signature).collect();
                return format!("({fields})");
            }
        };
        basic.into()
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Byte(value) => out.push(*value),
            Self::Bool(value) => Self::U32(u32::from(*value)).write(out),
            Self::I16(value) => put(out, &value.to_le_bytes()),
            Self::U16(value) => put(out, &value.to_le_bytes()),
            Self::I32(value) => put(out, &value.to_le_bytes()),
            Self::U32(value) => put(out, &value.to_le_bytes()),
            Self::I64(value) => put(out, &value.to_le_bytes()),
            Self::U64(value) => put(out, &value.to_le_bytes()),
            Self::F64(value) => put(out, &value.to_le_bytes()),
            Self::Text(text) | Self::Path(text) => {
                Self::U32(text.len() as u32).write(out);
                out.extend_from_slice(text.as_bytes());
                out.push(0);
            }
            Self::Signature(text) => {
                out.push(text.len() as u8);
                out.extend_from_slice(text.as_bytes());
                out.push(0);
            }
            Self::Array(element, values) => {
                Self::U32(0).write(out);
                let length_at = out.len() - 4;
                align(out, alignment(element));
                let start = out.len();
                values.iter().for_each(|value| value.write(out));
                let length = (out.len() - start) as u32;
                out[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
            }
            Self::Struct(fields) => {
                align(out, 8);
                fields.iter().for_each(|field| field.write(out));
            }
            Self::Variant(value) => {
                Self::Signature(value.signature()).write(out);
                value.write(out);
            }
        }
    }
}

/// Number of bytes to which a type is aligned.
fn alignment(signature: &str) -> usize {
    match signature.as_bytes().first() {
        Some(b'n' | b'q') => 2,
        Some(b'i' | b'u' | b'b' | b's' | b'o' | b'a') => 4,
        Some(b'x' | b't' | b'd' | b'(' | b'{') => 8,
        _ => 1,
    }
}

fn align(out: &mut Vec<u8>, to: usize) {
    out.resize(out.len().next_multiple_of(to), 0);
}

/// A number, aligned to its own size.
fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    align(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// A method to call.
#[derive(Clone, Debug)]
pub(super) struct Call<'a> {
    pub(super) destination: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
    pub(super) arguments: Vec<Value>,
}

impl Call<'_> {
    /// The message. `serial` names it in the answer and is not 0.
    pub(super) fn encode(&self, serial: u32) -> Vec<u8> {
        let mut body = Vec::new();
        self.arguments.iter().for_each(|argument| argument.write(&mut body));
        let field =
            |code: u8, value: Value| Value::Struct(alloc::vec![Value::Byte(code), value.variant()]);
        let mut fields = alloc::vec![
            field(1, Value::Path(self.path.into())),
            field(2, Value::text(self.interface)),
            field(3, Value::text(self.member)),
            field(6, Value::text(self.destination)),
        ];
        if !self.arguments.is_empty() {
            let signature = self.arguments.iter().map(Value::signature).collect();
            fields.push(field(8, Value::Signature(signature)));
        }
        // Little-endian, method call, no flags, protocol version 1.
        let mut message = alloc::vec![b'l', 1, 0, 1];
        put(&mut message, &(body.len() as u32).to_le_bytes());
        put(&mut message, &serial.to_le_bytes());
        Value::Array("(yv)".into(), fields).write(&mut message);
        align(&mut message, 8);
        message.extend(body);
        message
    }
}

/// Kinds of message that come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MessageKind {
    Return,
    Error,
    Signal,
    /// Calls, and kinds to come.
    Other,
}

/// A message that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: MessageKind,
    /// The call that this answers, or 0.
    pub(super) reply_to: u32,
    /// Name of the error or signal.
    pub(super) name: String,
    pub(super) signature: String,
    body: Vec<u8>,
}

/// The length of a message, from its first [`FIXED_BYTES`].
pub(super) fn message_length(fixed: &[u8; FIXED_BYTES]) -> Result<usize> {
    if fixed[0] != b'l' || fixed[3] != 1 {
        return Err(damaged("not a message of this machine"));
    }
    let number =
        |at: usize| u32::from_le_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
    let (body, fields) = (number(4) as usize, number(12) as usize);
    let length = FIXED_BYTES.saturating_add(fields).next_multiple_of(8).saturating_add(body);
    if length > MESSAGE_LIMIT {
        return Err(damaged("longer than 1 MiB"));
    }
    Ok(length)
}

impl Message {
    /// Reads one whole message, of the length that [`message_length`] said.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader { bytes, at: 4 };
        let body_length = reader.number()? as usize;
        let _serial = reader.number()?;
        let fields_end = reader.number()? as usize + FIXED_BYTES;
        let kind = match bytes.get(1) {
            Some(2) => MessageKind::Return,
            Some(3) => MessageKind::Error,
            Some(4) => MessageKind::Signal,
            _ => MessageKind::Other,
        };
        let mut message = Self {
            kind,
            reply_to: 0,
            name: String::new(),
            signature: String::new(),
            body: Vec::new(),
        };
        while reader.at < fields_end {
            reader.align(8)?;
            let code = reader.byte()?;
            let kind = reader.signature()?;
            match (code, kind) {
                (3 | 4, "s") => message.name = reader.text()?.to_owned(),
                (5, "u") => message.reply_to = reader.number()?,
                (8, "g") => message.signature = reader.signature()?.to_owned(),
                (_, "s" | "o") => drop(reader.text()?),
                (_, "g") => drop(reader.signature()?),
                (_, "u") => drop(reader.number()?),
                _ => return Err(damaged("a header field of an unknown type")),
            }
        }
        reader.align(8)?;
        let body = bytes.get(reader.at..reader.at.saturating_add(body_length));
        message.body = body.ok_or_else(|| damaged("cut off"))?.to_owned();
        Ok(message)
    }

    #[cfg(test)]
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body, to be read in the order of its signature.
    pub(super) fn reader(&self) -> Reader<'_> {
        Reader { bytes: &self.body, at: 0 }
    }
}

/// Reads values from bytes.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(count);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        self.at = end.unwrap_or(self.at);
        taken.ok_or_else(|| damaged("cut off"))
    }

    fn align(&mut self, to: usize) -> Result<()> {
        self.take(self.at.next_multiple_of(to) - self.at).map(drop)
    }

    fn byte(&mut self) -> Result<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(super) fn number(&mut self) -> Result<u32> {
        self.align(4)?;
        self.take(4).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A string or an object path.
    pub(super) fn text(&mut self) -> Result<&'a str> {
        let length = self.number()? as usize;
        self.terminated(length)
    }

    pub(super) fn signature(&mut self) -> Result<&'a str> {
        let length = self.byte()?;
        self.terminated(usize::from(length))
    }

    fn terminated(&mut self, length: usize) -> Result<&'a str> {
        let text = self.take(length)?;
        if self.byte()? != 0 {
            return Err(damaged("a string without end"));
        }
        core::str::from_utf8(text).map_err(|_| damaged("a string that is not UTF-8"))
    }
}

fn damaged(what: &str) -> Error {
    Error::new(Kind::Corrupt, format!("a D-Bus message is damaged: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_marshalled_byte_for_byte() {
        let call = Call {
            destination: "org.freedesktop.DBus",
            path: "/org/freedesktop/DBus",
            interface: "org.freedesktop.DBus",
            member: "Hello",
            arguments: vec![],
        };
        // As libdbus sends it, but for the order of the header fields.
        let mut expected = b"l\x01\0\x01\0\0\0\0\x01\0\0\0\x6d\0\0\0".to_vec();
        expected.extend(b"\x01\x01o\0\x15\0\0\0/org/freedesktop/DBus\0\0\0");
        expected.extend(b"\x02\x01s\0\x14\0\0\0org.freedesktop.DBus\0\0\0\0");
        expected.extend(b"\x03\x01s\0\x05\0\0\0Hello\0\0\0");
        expected.extend(b"\x06\x01s\0\x14\0\0\0org.freedesktop.DBus\0\0\0\0");
        expected[12] = (expected.len() - 16 - 3) as u8;
        assert_eq!(call.encode(1), expected);
    }

    #[test]
    fn values_are_aligned() {
        let check = |value: Value, expected: &[u8]| {
            let mut bytes = vec![9];
            value.write(&mut bytes);
            assert_eq!(&bytes[1..], expected, "{value:?}");
        };
        check(Value::Byte(7), &[7]);
        check(Value::Bool(true), &[0, 0, 0, 1, 0, 0, 0]);
        check(Value::I16(-2), &[0, 0xfe, 0xff]);
        check(Value::U64(5), &[0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
        check(Value::text("ab"), &[0, 0, 0, 2, 0, 0, 0, b'a', b'b', 0]);
        check(Value::Signature("ay".into()), &[2, b'a', b'y', 0]);
        check(Value::bytes(&[1, 2]), &[0, 0, 0, 2, 0, 0, 0, 1, 2]);
        // The padding between an array's length and its first element is not part of the length,
        // and is there for an empty array, too.
        check(Value::Array("t".into(), vec![]), &[0, 0, 0, 0, 0, 0, 0]);
        let mut bytes = vec![0; 8];
        Value::Array("t".into(), vec![Value::U64(1)]).write(&mut bytes);
        assert_eq!(&bytes[8..], [8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        check(Value::U32(1).variant(), &[1, b'u', 0, 1, 0, 0, 0]);
        let pair = Value::Struct(vec![Value::text("P"), Value::Bool(true).variant()]);
        assert_eq!(pair.signature(), "(sv)");
        check(pair, &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, b'P', 0, 1, b'b', 0, 0, 0, 0, 1, 0, 0, 0]);
    }

    /// A message of another kind, for the fake server.
    fn reply(kind: u8, reply_to: u32, body: &[Value]) -> Vec<u8> {
        super::super::fake::message(kind, reply_to, "x.Y", body)
    }

    #[test]
    fn messages_are_read_back() {
        let body = [Value::U32(3), Value::Path("/job/3".into()), Value::text("a.scope")];
        let bytes = reply(4, 0, &body);
        let fixed: [u8; FIXED_BYTES] = bytes[..FIXED_BYTES].try_into().unwrap();
        assert_eq!(message_length(&fixed).unwrap(), bytes.len());
        let message = Message::decode(&bytes).unwrap();
        assert_eq!((message.kind, message.name.as_str()), (MessageKind::Signal, "x.Y"));
        assert_eq!(message.signature, "uos");
        let mut reader = message.reader();
        assert_eq!(reader.number().unwrap(), 3);
        assert_eq!(reader.text().unwrap(), "/job/3");
        assert_eq!(reader.text().unwrap(), "a.scope");
        assert!(reader.number().is_err());
        assert_eq!(Message::decode(&reply(2, 7, &[])).unwrap().reply_to, 7);
    }

    #[test]
    fn damaged_messages_are_errors() {
        let good = reply(3, 5, &[Value::text("why")]);
        for cut in 0..good.len() {
            let _ = Message::decode(&good[..cut]).unwrap_err();
        }
        for at in 0..good.len() {
            for flip in [1u8, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] ^= flip;
                // Must not panic; many are still messages.
                let _ = Message::decode(&bad).map(|m| m.reader().text().map(str::len));
                let _ = message_length(bad[..FIXED_BYTES].try_into().unwrap());
            }
        }
        let mut long = [0u8; FIXED_BYTES];
        long[..4].copy_from_slice(b"l\x02\0\x01");
        long[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(message_length(&long).is_err());
    }
}
