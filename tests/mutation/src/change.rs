//! Changes: to a document's structure, and to bytes.

use crate::random::Random;
use crate::tree::Node;

/// Tokens at the borders of what a field may hold, and beyond.
const TOKENS: [&str; 46] = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "-1",
    "-2",
    "2",
    "7",
    "19",
    "127",
    "255",
    "256",
    "1000",
    "1001",
    "65535",
    "65536",
    "1048575",
    "1048576",
    "2147483647",
    "2147483648",
    "-2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "1e3",
    "1.0",
    "0.5",
    "1e400",
    "-1e-400",
    "00",
    "0x10",
    "1.",
    "NaN",
    "[]",
    "{}",
    "[[]]",
    "[null]",
    "",
    "\u{feff}0",
];

/// Strings that mean something to somebody: paths, lists, escapes, characters that few expect.
const STRINGS: [&str; 50] = [
    "",
    " ",
    ".",
    "..",
    "/",
    "//",
    "/..",
    "../..",
    "/proc",
    "/proc/self/fd/7",
    "/sys",
    "/dev/null",
    "a",
    "A=b",
    "=",
    "a=",
    "\0",
    "a\0b",
    "\n",
    "\u{1b}[31m",
    "\u{202e}abc",
    "e\u{301}",
    "\u{1f469}\u{200d}\u{1f680}",
    "\u{fffd}",
    "\u{10ffff}",
    "ä",
    "%s%n",
    "${HOME}",
    "-1",
    "0",
    "max",
    "0-3,7",
    "0-16383",
    "3-1",
    "0-99999999999",
    "1.0.2",
    "1.3.0",
    "2.0.0",
    "1.0.2-dev",
    "rbind",
    "idmap",
    "size=1k",
    "tmpfs",
    "cgroup",
    "b",
    "SCMP_ACT_NOTIFY",
    "CAP_ALL",
    "a:b:c",
    "org.systemd.property.TimeoutStopSec",
    "rwm",
];

/// Escapes that a string of JSON may have and a string of Rust may not, and broken ones.
const RAW_STRINGS: [&str; 8] = [
    "\"\\ud800\"",
    "\"\\udc00\\ud800\"",
    "\"\\u0000\"",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\\",
    "\"",
    "\"\\ud83d\\ude80\"",
];

/// Rarely a list gets this many elements, a string this many bytes, a value this much depth.
const MANY: [usize; 4] = [100, 1000, 10_000, 100_000];
const DEEP: [usize; 4] = [100, 127, 128, 1000];
/// A document is not made larger than this by a change: a million cases have to end.
const SIZE_LIMIT: usize = 200_000;

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn token(random: &mut Random) -> Node {
    Node::Token(match random.below(12) {
        0..=5 => (*random.pick(&TOKENS)).to_string(),
        6..=9 => {
            let text = *random.pick(&STRINGS);
            quoted(text)
        }
        10 => (*random.pick(&RAW_STRINGS)).to_string(),
        _ => quoted(&random.pick(&STRINGS).repeat(1 + random.below(300))),
    })
}

/// Makes one change somewhere in a document. `known` are members that documents have.
pub fn change(document: &mut Node, known: &[(String, Node)], random: &mut Random) {
    let size = document.size();
    let Some(part) = document.part(random.below(size)) else { return };
    let kind = random.below(12);
    let room = size < SIZE_LIMIT;
    match (kind, part) {
        (0 | 1, part) => *part = token(random),
        (2, part) => *part = random.pick(known).1.clone(),
        (3 | 4, Node::Object(members)) => {
            let (name, value) = random.pick(known).clone();
            members.push((name, if random.one_in(3) { token(random) } else { value }));
        }
        (5, Node::Object(members)) if !members.is_empty() => {
            drop(members.swap_remove(random.below(members.len())));
        }
        (6, Node::Object(members)) if !members.is_empty() => {
            let member = random.pick(members).clone();
            members.push(member);
        }
        (7, Node::Object(members)) if !members.is_empty() => {
            let at = random.below(members.len());
            let name = &mut members[at].0;
            *name = match random.below(4) {
                0 => random.pick(known).0.clone(),
                1 => name.to_uppercase(),
                2 => (*random.pick(&STRINGS)).to_string(),
                _ => format!("{name}{}", random.pick(&STRINGS)),
            };
        }
        (3..=5, Node::Array(elements)) if !elements.is_empty() => {
            drop(elements.swap_remove(random.below(elements.len())));
        }
        (6..=8, Node::Array(elements)) if !elements.is_empty() && room => {
            let element = random.pick(elements).clone();
            let most = SIZE_LIMIT / element.size();
            let count = if random.one_in(1000) { *random.pick(&MANY) } else { 1 + random.below(3) };
            elements.extend(std::iter::repeat_n(element, count.min(most)));
        }
        (9, part) => {
            let depth = if random.one_in(500) { *random.pick(&DEEP) } else { 1 + random.below(3) };
            wrap(part, depth, random);
        }
        (_, Node::Token(token)) => tweak(token, random),
        (_, part) => *part = token(random),
    }
}

fn wrap(part: &mut Node, depth: usize, random: &mut Random) {
    let objects = random.one_in(2);
    for _ in 0..depth {
        let inner = std::mem::replace(part, Node::Token(String::new()));
        *part = match objects {
            true => Node::Object(vec![("x".to_string(), inner)]),
            false => Node::Array(vec![inner]),
        };
    }
}

/// Changes a scalar a little.
fn tweak(token: &mut String, random: &mut Random) {
    let Some(text) = serde_json::from_str::<String>(token).ok() else {
        *token = match random.below(4) {
            0 => format!("{token}0"),
            1 => format!("-{token}"),
            2 => format!("\"{token}\""),
            _ => {
                token.parse::<i64>().map_or_else(|_| "1".into(), |n| n.wrapping_add(1).to_string())
            }
        };
        return;
    };
    let changed = match random.below(8) {
        0 => format!("{text}{}", random.pick(&STRINGS)),
        1 => format!("{}{text}", random.pick(&STRINGS)),
        2 => text.chars().skip(1).collect(),
        3 => text.chars().rev().skip(1).collect(),
        4 => text.to_lowercase(),
        5 if random.one_in(200) => text.repeat(*random.pick(&MANY) / (text.len() + 1)),
        5 => text.repeat(2),
        6 => text.replace('/', "/../"),
        _ => {
            let (one, other) = (*random.pick(&STRINGS), *random.pick(&STRINGS));
            format!("{one}{other}")
        }
    };
    *token = quoted(&changed);
}

/// Makes one change somewhere in bytes.
pub fn change_bytes(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    let length = random.below(32).min(bytes.len() - at);
    match random.below(7) {
        _ if random.one_in(500) => {
            let bracket = *random.pick(b"[{\"");
            drop(bytes.splice(at..at, std::iter::repeat_n(bracket, *random.pick(&MANY))));
        }
        0 => bytes.truncate(at),
        1 => drop(bytes.drain(at..at + length)),
        2 => {
            let part = bytes[at..at + length].to_vec();
            drop(bytes.splice(at..at, part));
        }
        3 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
        4 if at < bytes.len() => bytes[at] = random.next() as u8,
        5 => {
            let text = random.pick(&STRINGS).as_bytes().to_vec();
            drop(bytes.splice(at..at, text));
        }
        _ => {
            const ODD: [&[u8]; 9] = [
                b"\0",
                b"\xff\xfe",
                b"\xed\xa0\x80",
                b"\xf4\x90\x80\x80",
                b"\xc0\x80",
                b"\n\r\t",
                b"{{",
                b"-}}",
                b"{{end}}",
            ];
            drop(bytes.splice(at..at, random.pick(&ODD).to_vec()));
        }
    }
}
