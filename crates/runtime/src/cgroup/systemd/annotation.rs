//! `org.systemd.property.*` annotations: properties that the container's configuration sets.
//!
//! The checks are those of runc: a property's name has only letters, at least three; its value is
//! in the text form of GVariant; `TimeoutStopSec` stands for `TimeoutStopUSec`. Dictionaries and
//! nested variants, which no property of a scope has, are refused.
//!
//! runc passes every property on. But engines copy annotations from whoever may start a container
//! (CVE-2023-6476 raised limits so), and a property can lift limits, open devices, start or stop
//! other units. So only [`ALLOWED`] is passed on, and what the host's administrator allows.

use super::wire::Value;
use crate::error::{Error, Result};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use oci::runtime::Map;

const PREFIX: &str = "org.systemd.property.";

/// What annotations may set: how and when the scope itself is stopped, collected and described. No
/// limit or weight, no device, no other unit but in an order (`Wants=` would start one). podman
/// sends `TimeoutStopUSec`; CRI-O also `CollectMode`, `After` and `DefaultDependencies`; containerd
/// [`DELEGATE`].
const ALLOWED: [&str; 10] = [
    "After",
    "Before",
    "CollectMode",
    "DefaultDependencies",
    "Description",
    "Documentation",
    "KillSignal",
    "RuntimeMaxUSec",
    "SendSIGHUP",
    "TimeoutStopUSec",
];
/// Every scope has it; an annotation may say so, and not otherwise.
const DELEGATE: &str = "Delegate";

/// Longest value that is read.
const VALUE_LIMIT_BYTES: usize = 64 << 10;
/// Deepest nesting of arrays.
const DEPTH_LIMIT: usize = 8;

/// The properties that annotations name, with the text of their values; all are checked. `more`
/// are names that may be set beside those that always may.
pub(super) fn properties(annotations: &Map, more: &[String]) -> Result<Vec<(String, String)>> {
    let mut properties = Vec::new();
    for (key, value) in annotations {
        let Some(name) = key.strip_prefix(PREFIX) else { continue };
        property(name, value)
            .and_then(|property| check_allowed(&property, more))
            .map_err(|error| error.context(format!("annotation {key}={value}")))?;
        properties.push((name.to_owned(), value.clone()));
    }
    Ok(properties)
}

fn check_allowed((name, value): &(String, Value), more: &[String]) -> Result<()> {
    let named = |word: &String| word == name || unit_of_time(word).as_deref() == Some(name);
    if ALLOWED.contains(&name.as_str())
        || (name == DELEGATE && *value == Value::Bool(true))
        || more.iter().any(named)
    {
        return Ok(());
    }
    let what = "this property is not one that annotations may set: it could raise limits, grant \
                devices, or act on other units";
    Err(Error::invalid(what).with_hint(format!(
        "set limits and devices in linux.resources, remove the annotation, or allow it for every \
         container of this call with --systemd-property {name}"
    )))
}

/// `TimeoutStopSec` is `TimeoutStopUSec`.
fn unit_of_time(name: &str) -> Option<String> {
    let stem = name.strip_suffix("Sec")?;
    stem.ends_with(|last: char| last.is_ascii_lowercase()).then(|| format!("{stem}USec"))
}

/// One property as systemd takes it.
pub(super) fn property(name: &str, text: &str) -> Result<(String, Value)> {
    if name.len() < 3 || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Err(Error::invalid("name incorrect: it must be at least three letters"));
    }
    let value = parse(text).map_err(|why| Error::invalid(format!("value parse error: {why}")))?;
    match unit_of_time(name) {
        Some(name) => Ok((name, Value::U64(micros(&value)?))),
        None => Ok((name.to_owned(), value)),
    }
}

fn micros(value: &Value) -> Result<u64> {
    const MICROS: u64 = 1_000_000;
    let seconds = match *value {
        Value::Byte(value) => u64::from(value),
        Value::U16(value) => u64::from(value),
        Value::U32(value) => u64::from(value),
        Value::U64(value) => value,
        Value::I16(value) => i64::from(value) as u64,
        Value::I32(value) => i64::from(value) as u64,
        Value::I64(value) => value as u64,
        Value::F64(value) => return Ok((value * MICROS as f64) as u64),
        _ => return Err(Error::invalid("value parse error: seconds are not a number")),
    };
    Ok(seconds.wrapping_mul(MICROS))
}

/// A value before its type is known.
#[derive(Clone, Debug)]
enum Node {
    Number(String),
    Text(String),
    Bool(bool),
    Bytes(Vec<u8>),
    Array(Vec<Node>),
    Typed(String, alloc::boxed::Box<Node>),
}

type Parsed<T> = core::result::Result<T, String>;

fn parse(text: &str) -> Parsed<Value> {
    if text.len() > VALUE_LIMIT_BYTES {
        return Err(format!("longer than {VALUE_LIMIT_BYTES} bytes"));
    }
    let mut parser = Parser { rest: text };
    let node = parser.node(0)?;
    if !parser.peek().is_empty() {
        return Err(format!("unexpected \"{}\"", parser.rest.escape_debug()));
    }
    let signature = infer(&node)?;
    value(&node, &signature)
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    /// What follows, without white space before it.
    fn peek(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        self.rest
    }

    fn eat(&mut self, token: char) -> bool {
        let rest = self.peek().strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn word(&mut self) -> &'a str {
        let rest = self.peek();
        let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | '@' | '_');
        let end = rest.find(|c| !part(c)).unwrap_or(rest.len());
        let (word, rest) = rest.split_at(end);
        self.rest = rest;
        word
    }

    fn node(&mut self, depth: usize) -> Parsed<Node> {
        if depth > DEPTH_LIMIT {
            return Err("nested too deeply".into());
        }
        let rest = self.peek();
        match rest.chars().next() {
            None => return Err("unexpected end".into()),
            Some('\'' | '"') => return self.string().map(Node::Text),
            Some('b') if rest[1..].starts_with(['\'', '"']) => {
                self.rest = &rest[1..];
                // A byte string ends with a NUL.
                let mut bytes = self.string()?.into_bytes();
                bytes.push(0);
                return Ok(Node::Bytes(bytes));
            }
            Some('[') => {
                self.eat('[');
                return self.array(depth).map(Node::Array);
            }
            Some(other @ ('{' | '<' | '(')) => return Err(format!("\"{other}\" is not supported")),
            Some(_) => {}
        }
        let word = self.word();
        let number = |word: &str| {
            word.trim_start_matches(['+', '-'])
                .starts_with(|c: char| c.is_ascii_digit() || c == '.')
        };
        let signature = match word {
            "true" => return Ok(Node::Bool(true)),
            "false" => return Ok(Node::Bool(false)),
            word if number(word) => return Ok(Node::Number(word.to_owned())),
            "boolean" => "b",
            "byte" => "y",
            "int16" => "n",
            "uint16" => "q",
            "int32" => "i",
            "uint32" => "u",
            "int64" => "x",
            "uint64" => "t",
            "double" => "d",
            "string" => "s",
            "objectpath" => "o",
            "signature" => "g",
            word => match word.strip_prefix('@') {
                Some(signature) => signature,
                None => return Err(format!("unexpected \"{}\"", rest.escape_debug())),
            },
        };
        match self.node(depth + 1)? {
            Node::Typed(..) => Err("two types for one value".into()),
            node => Ok(Node::Typed(signature.to_owned(), node.into())),
        }
    }

    fn array(&mut self, depth: usize) -> Parsed<Vec<Node>> {
        let mut nodes = Vec::new();
        if self.eat(']') {
            return Ok(nodes);
        }
        loop {
            nodes.push(self.node(depth + 1)?);
            if self.eat(']') {
                return Ok(nodes);
            }
            if !self.eat(',') {
                return Err("an array without end".into());
            }
        }
    }

    fn string(&mut self) -> Parsed<String> {
        let mut chars = self.rest.chars();
        let quote = chars.next().unwrap_or('"');
        let mut text = String::new();
        loop {
            match chars.next().ok_or("a string without end")? {
                c if c == quote => {
                    self.rest = chars.as_str();
                    return match text.contains('\0') {
                        true => Err("a string with NUL".into()),
                        false => Ok(text),
                    };
                }
                '\\' => match chars.next().ok_or("a string without end")? {
                    'a' => text.push('\x07'),
                    'b' => text.push('\x08'),
                    'f' => text.push('\x0c'),
                    'n' => text.push('\n'),
                    'r' => text.push('\r'),
                    't' => text.push('\t'),
                    '\n' => {}
                    escape @ ('u' | 'U') => {
                        let count = if escape == 'u' { 4 } else { 8 };
                        let code = chars.as_str().get(..count);
                        let code = code.and_then(|code| u32::from_str_radix(code, 16).ok());
                        text.push(code.and_then(char::from_u32).ok_or("a bad unicode escape")?);
                        chars.nth(count - 1);
                    }
                    other => text.push(other),
                },
                other => text.push(other),
            }
        }
    }
}

/// The type that is written with a value or in it, or that a value has without one.
fn infer(node: &Node) -> Parsed<String> {
    Ok(match node {
        Node::Typed(signature, _) => signature.clone(),
        Node::Number(text) if is_fraction(text) => "d".into(),
        Node::Number(_) => "i".into(),
        Node::Text(_) => "s".into(),
        Node::Bool(_) => "b".into(),
        Node::Bytes(_) => "ay".into(),
        Node::Array(nodes) => {
            // One element with a type speaks for all.
            let sure = nodes.iter().find(|node| is_sure(node));
            let node = sure.or(nodes.first()).ok_or("an empty array needs a type (@as [])")?;
            format!("a{}", infer(node)?)
        }
    })
}

fn is_fraction(text: &str) -> bool {
    !text.starts_with("0x") && text.contains(['.', 'e'])
}

fn is_sure(node: &Node) -> bool {
    match node {
        Node::Typed(..) | Node::Bool(_) | Node::Bytes(_) => true,
        Node::Number(text) => is_fraction(text),
        Node::Text(_) => false,
        Node::Array(nodes) => nodes.iter().any(is_sure),
    }
}

fn value(node: &Node, signature: &str) -> Parsed<Value> {
    let wrong =
        |what: &str| Err(format!("\"{}\" is not of type \"{signature}\"", what.escape_debug()));
    match node {
        Node::Typed(own, inner) if own == signature => value(inner, signature),
        Node::Typed(own, _) => wrong(own),
        Node::Bool(boolean) if signature == "b" => Ok(Value::Bool(*boolean)),
        Node::Bool(_) => wrong("a boolean"),
        Node::Bytes(bytes) if signature == "ay" => Ok(Value::bytes(bytes)),
        Node::Bytes(_) => wrong("a byte string"),
        Node::Text(text) => match signature {
            "s" => Ok(Value::Text(text.clone())),
            "o" => Ok(Value::Path(text.clone())),
            "g" if text.len() < 256 => Ok(Value::Signature(text.clone())),
            _ => wrong(text),
        },
        Node::Number(text) => number(text, signature).map_or_else(|| wrong(text), Ok),
        Node::Array(nodes) => {
            let Some(element) = signature.strip_prefix('a') else { return wrong("an array") };
            if element.is_empty() || !element.bytes().all(|byte| b"ybnqiuxtdsoga".contains(&byte)) {
                return Err(format!("arrays of \"{element}\" are not supported"));
            }
            let values = nodes.iter().map(|node| value(node, element));
            Ok(Value::Array(element.to_owned(), values.collect::<Parsed<_>>()?))
        }
    }
}

fn number(text: &str, signature: &str) -> Option<Value> {
    if signature == "d" {
        return decimal(text).map(Value::F64);
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    // As in C: 0x is hexadecimal, and 0 before a number means octal.
    let magnitude = match digits.strip_prefix("0x") {
        Some(hexadecimal) => i128::from(u64::from_str_radix(hexadecimal, 16).ok()?),
        None if digits.len() > 1 && digits.starts_with('0') => {
            i128::from(u64::from_str_radix(digits, 8).ok()?)
        }
        None => i128::from(digits.parse::<u64>().ok()?),
    };
    let number = sign * magnitude;
    Some(match signature {
        "y" => Value::Byte(number.try_into().ok()?),
        "n" => Value::I16(number.try_into().ok()?),
        "q" => Value::U16(number.try_into().ok()?),
        "i" => Value::I32(number.try_into().ok()?),
        "u" => Value::U32(number.try_into().ok()?),
        "x" => Value::I64(number.try_into().ok()?),
        "t" => Value::U64(number.try_into().ok()?),
        _ => return None,
    })
}

/// A decimal fraction. Up to 15 digits and 22 places it is the nearest double; beyond that the last
/// bits may differ, which no property can notice: the standard library's tables for that are 14 KB.
fn decimal(text: &str) -> Option<f64> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(text) => (-1.0, text),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0.0;
    for byte in whole.bytes().chain(fraction.bytes()) {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value * 10.0 + f64::from(byte - b'0');
    }
    // Beyond 400 places every double is 0 or infinite.
    let places = exponent.saturating_sub(i32::try_from(fraction.len()).ok()?).clamp(-400, 400);
    let scale = (0..places.unsigned_abs()).fold(1.0, |scale: f64, _| scale * 10.0);
    let value = sign * if places < 0 { value / scale } else { value * scale };
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::text(text)
    }

    #[test]
    fn values_are_read_as_runc_reads_them() {
        let array = |element: &str, values: Vec<Value>| Value::Array(element.into(), values);
        for (from, expected) in [
            ("true", Value::Bool(true)),
            ("'inactive-or-failed'", text("inactive-or-failed")),
            ("\"a\\tb\\u00e9\\'\"", text("a\tb\u{e9}'")),
            ("123", Value::I32(123)),
            ("-5", Value::I32(-5)),
            ("0x1f", Value::I32(31)),
            ("017", Value::I32(15)),
            ("1.5", Value::F64(1.5)),
            ("-0.1", Value::F64(-0.1)),
            ("+.25", Value::F64(0.25)),
            ("3.", Value::F64(3.0)),
            ("123456789.012345", Value::F64(123_456_789.012_345)),
            ("1e22", Value::F64(1e22)),
            ("25e-3", Value::F64(0.025)),
            ("double 7", Value::F64(7.0)),
            ("uint64 123", Value::U64(123)),
            ("@t 123", Value::U64(123)),
            ("byte 255", Value::Byte(255)),
            ("objectpath '/a'", Value::Path("/a".into())),
            ("['a', 'b']", array("s", vec![text("a"), text("b")])),
            ("[1, uint32 2]", array("u", vec![Value::U32(1), Value::U32(2)])),
            ("@as []", array("s", vec![])),
            ("@at [ 1 ,2 ]", array("t", vec![Value::U64(1), Value::U64(2)])),
            ("b'ab'", Value::bytes(b"ab\0")),
            (
                "[[1],[2]]",
                array("ai", vec![array("i", vec![Value::I32(1)]), array("i", vec![Value::I32(2)])]),
            ),
        ] {
            assert_eq!(parse(from), Ok(expected), "{from}");
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
        let deep = "[".repeat(100);
        for from in [
            "",
            " ",
            "abc",
            "'open",
            "[1",
            "[1,",
            "[]",
            "@s 1",
            "byte 256",
            "uint64 -1",
            "int32 1.5",
            "1.5.2",
            "1.5x",
            ".",
            "1e",
            "1e2.5",
            "1e99999999999",
            "1e400",
            "1 2",
            "{'a': 1}",
            "<1>",
            "('a', 1)",
            "@t uint64 1",
            "['a', 1]",
            "99999999999",
            "'\\u12'",
            "'\\ud800'",
            "'\\u0000'",
            "@a{sv} []",
            "@ 1",
            "b'",
            &deep,
        ] {
            assert!(parse(from).is_err(), "{from}");
        }
    }

    #[test]
    fn seconds_become_microseconds() {
        let check = |name: &str, value: &str, expected: Option<(&str, Value)>| {
            let expected = expected.map(|(name, value)| (name.to_owned(), value));
            assert_eq!(property(name, value).ok(), expected, "{name}={value}");
        };
        check("TimeoutStopSec", "2", Some(("TimeoutStopUSec", Value::U64(2_000_000))));
        check("RuntimeMaxSec", "1.5", Some(("RuntimeMaxUSec", Value::U64(1_500_000))));
        check("TimeoutStopUSec", "uint64 5", Some(("TimeoutStopUSec", Value::U64(5))));
        check("TimeoutStopSec", "'x'", None);
        check("CollectMode", "'x'", Some(("CollectMode", text("x"))));
        // runc wants a small letter before it.
        check("Sec", "1", Some(("Sec", Value::I32(1))));
        check("ABSec", "1", Some(("ABSec", Value::I32(1))));
        for name in ["", "ab", "a-b", "a1b", "äbc", "A B"] {
            check(name, "1", None);
        }
    }

    #[test]
    fn only_annotations_of_systemd_are_read() {
        let map = |pairs: &[(&str, &str)]| -> Map {
            pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
        };
        let pairs = [
            ("org.systemd.propert", "x"),
            ("org.systemd.property.TimeoutStopSec", "1"),
            ("org.systemd.property.After", "['x.service']"),
            ("z", "y"),
        ];
        let read = properties(&map(&pairs), &[]);
        let names: Vec<_> = read.unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["After", "TimeoutStopSec"]);
        let error = properties(&map(&[("org.systemd.property.a/b", "1")]), &[]).unwrap_err();
        assert!(error.to_string().starts_with("annotation org.systemd.property.a/b=1: name"));
    }

    /// R13: what a scope's properties could do to limits, devices, other units and the host.
    #[test]
    fn r13_annotations_set_only_what_is_harmless() {
        let check = |name: &str, value: &str, more: &[&str]| {
            let mut map = Map::new();
            map.insert(format!("{PREFIX}{name}"), value.into());
            let more: Vec<String> = more.iter().map(|name| name.to_string()).collect();
            properties(&map, &more)
        };
        // What podman, CRI-O and containerd send, and runc's own tests.
        for (name, value) in [
            ("TimeoutStopUSec", "uint64 10000000"),
            ("TimeoutStopSec", "1"),
            ("CollectMode", "'inactive-or-failed'"),
            ("After", "['crio.service']"),
            ("DefaultDependencies", "true"),
            ("Delegate", "true"),
            ("RuntimeMaxSec", "2"),
            ("KillSignal", "37"),
        ] {
            check(name, value, &[]).unwrap();
        }
        // CVE-2023-6476 and its kin. The control: each of them reaches systemd once it is allowed.
        for (name, value) in [
            ("MemoryMax", "uint64 18446744073709551615"),
            ("MemoryMin", "uint64 1000000000"),
            ("MemorySwapMax", "uint64 18446744073709551615"),
            ("TasksMax", "uint64 18446744073709551615"),
            ("CPUQuotaPerSecUSec", "uint64 18446744073709551615"),
            ("CPUWeight", "uint64 10000"),
            ("AllowedCPUs", "[byte 0xff]"),
            ("IOWeight", "uint64 10000"),
            ("DevicePolicy", "'auto'"),
            ("Slice", "'-.slice'"),
            ("PIDs", "[uint32 1]"),
            ("Wants", "['emergency.target']"),
            ("Requires", "['reboot.target']"),
            ("Conflicts", "['sshd.service']"),
            ("OnFailure", "['poweroff.target']"),
            ("KillMode", "'none'"),
            ("SendSIGKILL", "false"),
            ("ManagedOOMPreference", "'omit'"),
            ("OOMScoreAdjust", "-1000"),
            ("SuccessAction", "'poweroff-force'"),
            ("RuntimeMaxusec", "1"),
            ("Delegate", "false"),
            ("Delegate", "['memory']"),
            ("memorymax", "uint64 1"),
        ] {
            let error = check(name, value, &[]).unwrap_err();
            assert!(error.to_string().contains("not one that annotations may set"), "{error}");
            assert!(error.hint().unwrap().contains(&format!("--systemd-property {name}")));
            assert_eq!(check(name, value, &["Other", name]).unwrap()[0].0, name);
        }
        // Both words for a time are one.
        for name in ["StartupSec", "StartupUSec"] {
            check("StartupSec", "1", &[]).unwrap_err();
            check("StartupSec", "1", &[name]).unwrap();
        }
        // Allowing a name allows no nonsense.
        check("a/b", "1", &["a/b"]).unwrap_err();
    }
}
