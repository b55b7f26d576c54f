//! Reading JSON documents with errors that name the field.
//!
//! `serde_json` reports a line and a column. A person with a 900-line `config.json` wants to know
//! *which field*: on an error (and only then) the text is walked once more up to that position and
//! the path to it is built, e.g. `process.user.uid`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;
use serde::de::DeserializeOwned;

/// Reads one document. The error is a sentence fragment that starts with the path of the field.
pub fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    // serde would take an array for a struct's fields in order; every document is an object.
    if text.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|&byte| byte != b'{') {
        return Err("the document is not a JSON object".into());
    }
    serde_json::from_slice(text).map_err(|error| describe(text, &error))
}

/// Writes one document on one line.
pub fn write<T: serde::Serialize>(document: &T) -> String {
    // The documents of this crate have string keys only, so serialising cannot fail.
    serde_json::to_string(document).unwrap_or_default()
}

fn describe(text: &[u8], error: &serde_json::Error) -> String {
    let path = path_at(text, offset_of(text, error.line(), error.column()));
    let full = error.to_string();
    let (what, position) = match full.rfind(" at line ") {
        Some(at) => (&full[..at], &full[at + " at ".len()..]),
        None => (full.as_str(), ""),
    };
    match (path.is_empty(), position.is_empty()) {
        (true, true) => what.to_string(),
        (true, false) => format!("{what} ({position})"),
        (false, _) => format!("{path}: {what} ({position})"),
    }
}

fn offset_of(text: &[u8], line: usize, column: usize) -> usize {
    let mut rest = text;
    let mut start = 0;
    for _ in 1..line {
        match rest.iter().position(|&byte| byte == b'\n') {
            Some(at) => {
                start += at + 1;
                rest = &rest[at + 1..];
            }
            None => break,
        }
    }
    (start + column).min(text.len())
}

enum Step {
    Key(String),
    Index(usize),
}

/// Path of the value that `offset` lies in or directly behind.
fn path_at(text: &[u8], offset: usize) -> String {
    let mut steps: Vec<Step> = Vec::new();
    let mut at = 0;
    let mut expects_key = false;
    while at < offset {
        match text[at] {
            b'{' => {
                steps.push(Step::Key(String::new()));
                expects_key = true;
            }
            b'[' => steps.push(Step::Index(0)),
            // The error is reported just behind what is wrong, so a bracket that closes there
            // still belongs to the object it closes.
            b'}' | b']' if at + 1 < offset => {
                steps.pop();
            }
            b',' if at + 1 < offset => match steps.last_mut() {
                Some(Step::Index(index)) => *index += 1,
                _ => expects_key = true,
            },
            b':' => expects_key = false,
            b'"' => {
                let end = string_end(text, at);
                if expects_key
                    && end <= offset
                    && let Some(Step::Key(key)) = steps.last_mut()
                {
                    *key = String::from_utf8_lossy(&text[at + 1..end - 1]).into_owned();
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    render(&steps)
}

/// Index just behind the string that starts at `start`.
fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len().max(start + 2)
}

fn render(steps: &[Step]) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Key(key) if key.is_empty() => {}
            Step::Key(key) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(key);
            }
            // Writing to a string cannot fail.
            Step::Index(index) => drop(write!(path, "[{index}]")),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Spec;

    fn check(text: &str, expected: &str) {
        assert_eq!(read::<Spec>(text.as_bytes()).unwrap_err(), expected);
    }

    #[test]
    fn errors_name_the_field() {
        check(
            r#"{"process":{"user":{"uid":"root"}}}"#,
            r#"process.user.uid: invalid type: string "root", expected u32 (line 1 column 32)"#,
        );
        check(
            r#"{"process":{"args":["a",7]}}"#,
            "process.args[1]: invalid type: integer `7`, expected a string (line 1 column 25)",
        );
        check(
            r#"{"linux":{"namespaces":[{"type":"pid"},{"type":"pids"}]}}"#,
            "linux.namespaces[1].type: unknown variant `pids`, expected one of `pid`, `network`, \
             `mount`, `ipc`, `uts`, `user`, `cgroup`, `time` (line 1 column 53)",
        );
    }

    #[test]
    fn truncated_and_foreign_texts_are_errors() {
        check("", "EOF while parsing a value (line 1 column 0)");
        check(" []", "the document is not a JSON object");
        check(r#"{"root":{"path":"x"#, "root.path: EOF while parsing a string (line 1 column 18)");
    }

    #[test]
    fn null_is_absent() {
        let spec: Spec = read(br#"{"mounts":null,"linux":{"seccomp":null}}"#).unwrap();
        assert_eq!(spec.mounts, Vec::new());
        assert_eq!(spec.linux.unwrap().seccomp, None);
    }

    #[test]
    fn every_prefix_of_a_document_is_an_error_without_a_panic() {
        let text = br#"{"process":{"args":["a\"b","\\"],"env":[{}]},"x":[[1,{"y":2}]]}"#;
        for end in 0..text.len() {
            assert!(read::<Spec>(&text[..end]).is_err());
            for offset in 0..=end {
                path_at(&text[..end], offset);
            }
        }
    }
}
