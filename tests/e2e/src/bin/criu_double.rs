//! A stand-in for criu: speaks its protocol on descriptor 3, and does none of its work.
//!
//! It stands in for the program, not for the kernel. What it was asked is appended to the file that
//! `DOUBLE_LOG` names, a line each: `type N`, `opts FIELD VALUE`. The environment says what it
//! answers: `DOUBLE_VERSION` (default 40200), `DOUBLE_FEATURES` (`no`), `DOUBLE_FAIL` (a message).

use std::fmt::Write as _;
use std::io::Write as _;
use sys::process::{self, Clone};
use sys::{BorrowedFd, Fd, socket};

const SOCKET: BorrowedFd<'static> = BorrowedFd::from_raw(3);
const NOTIFY: u64 = 6;
/// Fields of `criu_opts` that are messages themselves.
const MESSAGES: [u64; 5] = [11, 23, 25, 27, 39];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    assert_eq!(args, ["swrk", "3"]);
    let request = receive();
    let kind = number(&request, 1);
    let opts = fields(bytes(&request, 2));
    record(kind, &opts);
    look_at_yard(&opts);
    let answer = match kind {
        1 | 4 => dump(kind, &opts),
        2 => restore(&opts),
        9 => {
            let on = u64::from(var("DOUBLE_FEATURES") != "no");
            [put(1, kind), put(2, 1), wrap(8, &[put(1, on), put(2, on)].concat())].concat()
        }
        10 => {
            let version: u64 = var("DOUBLE_VERSION").parse().unwrap_or(40_200);
            let parts =
                [put(1, version / 10_000), put(2, version / 100 % 100), put(4, version % 100)];
            [put(1, kind), put(2, 1), wrap(10, &parts.concat())].concat()
        }
        other => panic!("request {other}"),
    };
    send(&answer, &[]);
}

/// Where the control groups are, on machines with v2: criu mounts nothing then.
fn look_at_yard(opts: &[Field]) {
    let yard = String::from_utf8(bytes(opts, 60).to_vec()).expect("a path");
    let file = std::path::Path::new("unified/cgroup.controllers");
    assert!(yard.is_empty() || std::path::Path::new(&yard).join(file).is_file(), "{yard}");
}

fn var(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn dump(kind: u64, opts: &[Field]) -> Vec<u8> {
    if let Some(failed) = fail(kind, "dump.log") {
        return failed;
    }
    let pid = number(opts, 2) as i32;
    tell("pre-dump", pid, &[]);
    if number(opts, 48) == 1 {
        tell("status-ready", pid, &[]);
    }
    tell("post-dump", pid, &[]);
    // The end of what was written, unless it is to go on.
    if kind == 1 && number(opts, 3) == 0 {
        process::kill(pid, 9).expect("killing the container");
    }
    [put(1, kind), put(2, 1)].concat()
}

fn restore(opts: &[Field]) -> Vec<u8> {
    // As criu, before it says why: the log lies in its working directory.
    if let Some(failed) = fail(2, "restore.log") {
        return failed;
    }
    let root = String::from_utf8(bytes(opts, 13).to_vec()).expect("a path");
    assert!(std::path::Path::new(&root).join("bin/busybox").exists(), "{root} is not mounted");
    // The first process is a child of whoever started criu (rst_sibling).
    assert_eq!(number(opts, 26), 1);
    let (wait, go) = sys::fs::pipe().expect("a pipe");
    let how = Clone { sibling: true, ..Clone::default() };
    let Some(child) = process::fork(how).expect("a child") else {
        drop(go);
        // Lives until criu has answered, and then as long as it is told to.
        let _ = sys::fs::read(&wait, &mut [0]);
        let life_ms = var("DOUBLE_LIFE_MS").parse().unwrap_or(100_000);
        std::thread::sleep(std::time::Duration::from_millis(life_ms));
        process::exit(7)
    };
    tell("setup-namespaces", child.pid, &[]);
    if number(opts, 50) == 1 && var("DOUBLE_TERMINAL") == "yes" {
        let master =
            sys::fs::open_at(sys::CWD, "/dev/ptmx", sys::fs::O_RDWR, 0).expect("a terminal");
        tell("orphan-pts-master", child.pid, &[master.raw()]);
    }
    tell("post-restore", child.pid, &[]);
    drop(go);
    [put(1, 2), put(2, 1), wrap(4, &put(1, child.pid as u64))].concat()
}

/// What criu answers when it fails: its log has more.
fn fail(kind: u64, log: &str) -> Option<Vec<u8>> {
    let message = var("DOUBLE_FAIL");
    if message.is_empty() {
        return None;
    }
    let text = format!("(00.1) begin\n(00.2) Error (double.c:1): {message}\n(00.3) end\n");
    std::fs::write(format!("/proc/self/fd/5/{log}"), text).expect("writing the log");
    let first = b"Error (double.c:0): harmless\n";
    Some([put(1, kind), put(2, 0), put(7, 22), wrap(9, first)].concat())
}

/// Says a word in between, and waits until it was heard.
fn tell(script: &str, pid: i32, fds: &[i32]) {
    let notify = [wrap(1, script.as_bytes()), put(2, pid as u64)].concat();
    send(&[put(1, NOTIFY), put(2, 1), wrap(5, &notify)].concat(), fds);
    let heard = receive();
    assert_eq!((number(&heard, 1), number(&heard, 3)), (NOTIFY, 1), "{script}");
}

fn send(message: &[u8], fds: &[i32]) {
    socket::send(SOCKET, message, fds).expect("sending");
}

fn receive() -> Vec<Field> {
    let mut buffer = vec![0u8; 65536];
    let (length, fds): (usize, Vec<Fd>) = socket::receive(SOCKET, &mut buffer).expect("receiving");
    assert!(length > 0 && fds.is_empty());
    fields(&buffer[..length])
}

#[derive(Clone)]
enum Value {
    Number(u64),
    Bytes(Vec<u8>),
}

type Field = (u64, Value);

fn fields(mut bytes: &[u8]) -> Vec<Field> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let value = match key & 7 {
            0 => Value::Number(varint(&mut bytes)),
            2 => {
                let length = varint(&mut bytes) as usize;
                let (value, rest) = bytes.split_at(length);
                bytes = rest;
                Value::Bytes(value.to_vec())
            }
            form => panic!("form {form}"),
        };
        all.push((key >> 3, value));
    }
    all
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().expect("a byte");
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

fn number(fields: &[Field], field: u64) -> u64 {
    let found = fields.iter().find(|(number, _)| *number == field);
    found.map_or(0, |(_, value)| match value {
        Value::Number(number) => *number,
        Value::Bytes(_) => panic!("field {field} is no number"),
    })
}

fn bytes(fields: &[Field], field: u64) -> &[u8] {
    let found = fields.iter().find(|(number, _)| *number == field);
    found.map_or(&[], |(_, value)| match value {
        Value::Bytes(bytes) => bytes,
        Value::Number(_) => panic!("field {field} has no bytes"),
    })
}

fn put(field: u64, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for mut value in [field << 3, value] {
        while value > 0x7f {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }
    out
}

fn wrap(field: u64, inner: &[u8]) -> Vec<u8> {
    // `put` writes the key as that of a number; the form of bytes is 2.
    let mut out = put(field, inner.len() as u64);
    out[0] |= 2;
    out.extend_from_slice(inner);
    out
}

fn record(kind: u64, opts: &[Field]) {
    let mut text = format!("type {kind}\n");
    for (field, value) in opts {
        let shown = match value {
            Value::Number(number) => number.to_string(),
            Value::Bytes(bytes) if MESSAGES.contains(field) => {
                let show = |(_, value): &Field| match value {
                    Value::Number(number) => number.to_string(),
                    Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                };
                fields(bytes).iter().map(show).collect::<Vec<_>>().join(" ")
            }
            Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        };
        writeln!(text, "opts {field} {shown}").expect("a string");
    }
    let log = var("DOUBLE_LOG");
    let file = std::fs::OpenOptions::new().append(true).create(true).open(log);
    file.and_then(|mut file| file.write_all(text.as_bytes())).expect("writing the log");
}
