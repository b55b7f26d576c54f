//! JSON as Go's encoder writes it, with `SetEscapeHTML(false)`.

use crate::value::Value;
use std::fmt::Write;

/// One line; `None` when it is longer than the limit.
pub(crate) fn compact(value: &Value, limit: usize) -> Option<Vec<u8>> {
    let mut writer = Writer { out: Vec::new(), limit, indent: None };
    writer.value(value, 0);
    (writer.out.len() <= limit).then_some(writer.out)
}

/// Several lines, each level indented by some more spaces.
pub(crate) fn indented(value: &Value, indent: usize) -> Vec<u8> {
    let mut writer = Writer { out: Vec::new(), limit: usize::MAX, indent: Some(indent) };
    writer.value(value, 0);
    writer.out
}

struct Writer {
    out: Vec<u8>,
    limit: usize,
    indent: Option<usize>,
}

impl Writer {
    fn value(&mut self, value: &Value, depth: usize) {
        // What is longer is thrown away: no need to make it.
        if self.out.len() > self.limit {
            return;
        }
        match value {
            Value::Null | Value::Nil(_) | Value::Lookup(_) => self.push("null"),
            Value::Bool(value) => self.push(if *value { "true" } else { "false" }),
            Value::Int(value) => self.push(&value.to_string()),
            Value::Uint(value) => self.push(&value.to_string()),
            Value::Byte(value) => self.push(&value.to_string()),
            Value::Float(value) => self.push(&float(*value)),
            Value::Text(text) => self.text(text),
            Value::Time(time) => self.text(time.rfc3339().as_bytes()),
            Value::List(list) => {
                let items = list.items.iter().map(|item| (None, item));
                self.sequence(b"[]", items, depth);
            }
            Value::Map(map) => {
                let entries = map.entries.iter();
                let entries = entries.map(|(name, value)| (Some(name.as_str()), value));
                self.sequence(b"{}", entries, depth);
            }
            Value::Struct(whole) => {
                let fields = whole.written().map(|(name, value)| (Some(name), value));
                self.sequence(b"{}", fields, depth);
            }
        }
    }

    fn push(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn sequence<'v>(
        &mut self,
        brackets: &[u8; 2],
        items: impl Iterator<Item = (Option<&'v str>, &'v Value)>,
        depth: usize,
    ) {
        self.out.push(brackets[0]);
        let mut any = false;
        for (name, value) in items {
            if any {
                self.out.push(b',');
            }
            any = true;
            self.line(depth + 1);
            if let Some(name) = name {
                self.text(name.as_bytes());
                self.push(if self.indent.is_some() { ": " } else { ":" });
            }
            self.value(value, depth + 1);
        }
        if any {
            self.line(depth);
        }
        self.out.push(brackets[1]);
    }

    fn line(&mut self, depth: usize) {
        if let Some(indent) = self.indent {
            self.out.push(b'\n');
            self.out.resize(self.out.len() + indent * depth, b' ');
        }
    }

    fn text(&mut self, text: &[u8]) {
        let mut out = String::with_capacity(text.len() + 2);
        out.push('"');
        for chunk in text.utf8_chunks() {
            for character in chunk.valid().chars() {
                let code = u32::from(character);
                let result = match character {
                    '"' => write!(out, "\\\""),
                    '\\' => write!(out, "\\\\"),
                    '\x08' => write!(out, "\\b"),
                    '\x0c' => write!(out, "\\f"),
                    '\n' => write!(out, "\\n"),
                    '\r' => write!(out, "\\r"),
                    '\t' => write!(out, "\\t"),
                    // Line ends of JavaScript, which are none in JSON.
                    '\0'..='\x1f' | '\u{2028}' | '\u{2029}' => write!(out, "\\u{code:04x}"),
                    _ => {
                        out.push(character);
                        Ok(())
                    }
                };
                // A text can always be written to.
                debug_assert!(result.is_ok());
            }
            for _ in chunk.invalid() {
                out.push_str("\\ufffd");
            }
        }
        out.push('"');
        self.push(&out);
    }
}

/// A number with as few digits as identify it; with an exponent when it is very small or large.
fn float(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        // Go writes a sign before an exponent.
        return match text.contains("e-") {
            true => text,
            false => text.replace('e', "e+"),
        };
    }
    format!("{value}")
}
