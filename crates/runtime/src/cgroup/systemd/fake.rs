//! A server that speaks just enough D-Bus to play systemd in tests.

use super::wire::{FIXED_BYTES, Message, Value, message_length};
use std::io::{Read, Write};
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

/// The bytes of a message to a client: kinds are 2 return, 3 error, 4 signal.
pub(super) fn message(kind: u8, reply_to: u32, name: &str, body: &[Value]) -> Vec<u8> {
    // A call is encoded, and its fields replaced: the encoder knows calls only.
    let mut bytes = vec![b'l', kind, 0, 1];
    let call = super::wire::Call {
        destination: ":1.1",
        path: "/x",
        interface: "x.X",
        member: name,
        arguments: body.to_vec(),
    };
    let encoded = call.encode(99);
    bytes.extend_from_slice(&encoded[4..]);
    match kind {
        // Header field 3 (member) becomes 4 (error name).
        3 => replace(&mut bytes, b"\x03\x01s\0", b"\x04\x01s\0"),
        4 => return bytes,
        _ => {}
    }
    // Field 1 (path, "o", "/x", padded to 16 bytes) becomes field 5 (reply serial, "u").
    let mut field = b"\x05\x01u\0".to_vec();
    field.extend(reply_to.to_le_bytes());
    let path = bytes.windows(4).position(|w| w == b"\x01\x01o\0").unwrap();
    let rest = bytes.split_off(path + 16);
    bytes.truncate(path);
    bytes.extend(field);
    bytes.extend(rest);
    let length = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) - 8;
    bytes[12..16].copy_from_slice(&length.to_le_bytes());
    bytes
}

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to);
}

/// What the server does with a call.
pub(super) enum Answer {
    Return(Vec<Value>),
    Error(&'static str),
    /// A job with this result: the signal comes `before` the answer or behind it.
    Job {
        result: &'static str,
        before: bool,
    },
    Nothing,
    Close,
    /// These bytes, whatever they are.
    Raw(Vec<u8>),
}

/// Calls that the server got: the member and the body's bytes after the header.
pub(super) type Calls = Vec<(String, Message)>;

/// Starts a server; returns the client's end. The thread ends when the client hangs up.
pub(super) fn serve(
    mut greeting: Option<&'static str>,
    mut answer: impl FnMut(&str) -> Answer + Send + 'static,
) -> (sys::Fd, JoinHandle<Calls>) {
    let (client, mut server) = UnixStream::pair().unwrap();
    let thread = std::thread::spawn(move || {
        let mut calls = Calls::new();
        let mut received = Vec::new();
        let mut serial = 0;
        loop {
            if greeting.is_some() {
                if let Some(at) = received.windows(7).position(|window| window == b"BEGIN\r\n") {
                    received.drain(..at + 7);
                    server.write_all(greeting.take().unwrap().as_bytes()).unwrap();
                }
            } else if let Some(fixed) = received.first_chunk::<FIXED_BYTES>() {
                let length = message_length(fixed).unwrap();
                if received.len() >= length {
                    let call: Vec<u8> = received.drain(..length).collect();
                    let number = u32::from_le_bytes(call[8..12].try_into().unwrap());
                    let call = Message::decode(&call).unwrap();
                    let name = call.name.clone();
                    calls.push((name.clone(), call));
                    serial += 1;
                    if !respond(&mut server, answer(&name), number, serial) {
                        return calls;
                    }
                    continue;
                }
            }
            let mut buffer = [0; 1024];
            match server.read(&mut buffer) {
                Ok(0) | Err(_) => return calls,
                Ok(count) => received.extend_from_slice(&buffer[..count]),
            }
        }
    });
    // A new descriptor for `sys`, which closes it.
    (sys::Fd::from_raw(client.into_raw_fd()), thread)
}

fn respond(server: &mut UnixStream, answer: Answer, number: u32, job: u32) -> bool {
    let mut bytes = Vec::new();
    match answer {
        Answer::Return(body) => bytes = message(2, number, "x", &body),
        Answer::Error(name) => bytes = message(3, number, name, &[Value::text("because")]),
        Answer::Job { result, before } => {
            let path = format!("/job/{job}");
            let removed = |path: &str, result: &str| {
                let body = [
                    Value::U32(job),
                    Value::Path(path.into()),
                    Value::text("u.scope"),
                    Value::text(result),
                ];
                message(4, 0, "JobRemoved", &body)
            };
            let reply = message(2, number, "x", &[Value::Path(path.clone())]);
            // Another program's job in between.
            bytes.extend(removed("/job/999", "failed"));
            if before {
                bytes.extend(removed(&path, result));
                bytes.extend(reply);
            } else {
                bytes.extend(reply);
                bytes.extend(removed(&path, result));
            }
        }
        Answer::Nothing => {}
        Answer::Close => return false,
        Answer::Raw(raw) => bytes = raw,
    }
    server.write_all(&bytes).is_ok()
}
