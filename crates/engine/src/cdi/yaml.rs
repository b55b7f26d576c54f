//! YAML as the JSON that it stands for, by YAML's core rules for plain scalars. No anchors, which could make a small
//! text huge, and no tags.

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};
use std::collections::BTreeSet;

/// Deepest nesting. A specification has 6 levels.
const DEPTH_LIMIT: usize = 32;
/// Most nodes of a text.
const NODES_LIMIT: usize = 500_000;

/// The only document of a text.
pub(super) fn to_json(text: &str) -> Result<String, String> {
    let mut reader =
        Reader { parser: Parser::new_from_str(text), nodes: 0, line: 0, out: String::new() };
    let mut documents = 0;
    loop {
        match reader.next()? {
            Event::StreamEnd if documents == 0 => return Err("it is empty".into()),
            Event::StreamEnd => return Ok(reader.out),
            Event::DocumentStart(_) => documents += 1,
            Event::StreamStart | Event::DocumentEnd | Event::Nothing => {}
            _ if documents > 1 => return Err(reader.refuse("more than one document")),
            event => reader.node(event, 0)?,
        }
    }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    nodes: usize,
    line: usize,
    out: String,
}

impl<'a> Reader<'a> {
    fn refuse(&self, what: &str) -> String {
        format!("line {}: {what}", self.line)
    }

    fn next(&mut self) -> Result<Event<'a>, String> {
        match self.parser.next() {
            Some(Ok((event, span))) => {
                self.line = span.start.line();
                Ok(event)
            }
            Some(Err(error)) => Err(format!("line {}: {}", error.marker().line(), error.info())),
            None => Ok(Event::StreamEnd),
        }
    }

    fn node(&mut self, event: Event<'a>, depth: usize) -> Result<(), String> {
        self.nodes += 1;
        if self.nodes > NODES_LIMIT || depth > DEPTH_LIMIT {
            return Err(self.refuse("more nodes or levels than any specification needs"));
        }
        match event {
            Event::Scalar(text, style, 0, None) => {
                let json = match style {
                    ScalarStyle::Plain => plain(&text),
                    _ => quoted(&text),
                };
                self.out.push_str(&json);
                Ok(())
            }
            Event::SequenceStart(0, None) => {
                self.out.push('[');
                let begin = self.out.len();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => break,
                        event => {
                            self.separate(begin);
                            self.node(event, depth + 1)?;
                        }
                    }
                }
                self.out.push(']');
                Ok(())
            }
            Event::MappingStart(0, None) => self.map(depth),
            Event::Alias(_)
            | Event::Scalar(..)
            | Event::SequenceStart(..)
            | Event::MappingStart(..) => Err(self.refuse("anchors and tags are not read")),
            _ => Err(self.refuse("the text ends too early")),
        }
    }

    fn map(&mut self, depth: usize) -> Result<(), String> {
        self.out.push('{');
        let begin = self.out.len();
        let mut seen = BTreeSet::new();
        loop {
            let key = match self.next()? {
                Event::MappingEnd => break,
                Event::Scalar(text, _, 0, None) => text.into_owned(),
                _ => return Err(self.refuse("a key has to be a scalar")),
            };
            self.separate(begin);
            self.out.push_str(&quoted(&key));
            self.out.push(':');
            if !seen.insert(key) {
                return Err(self.refuse("a key is there twice"));
            }
            let event = self.next()?;
            self.node(event, depth + 1)?;
        }
        self.out.push('}');
        Ok(())
    }

    fn separate(&mut self, begin: usize) {
        if self.out.len() > begin {
            self.out.push(',');
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A scalar without quotes: nothing, a truth, a whole number, or else a text.
fn plain(text: &str) -> String {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => "null".into(),
        "true" | "True" | "TRUE" => "true".into(),
        "false" | "False" | "FALSE" => "false".into(),
        text => number(text).map_or_else(|| quoted(text), |number| number.to_string()),
    }
}

/// As Go's reader has them: `0x` and `0o`, and a leading 0 for octal, as modes of files are written.
fn number(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|it: char| it.is_ascii_digit()) {
        return None;
    }
    let of = |digits: &str, radix| i64::from_str_radix(digits, radix).ok();
    let value = match digits.as_bytes() {
        [b'0', b'x', ..] => of(&digits[2..], 16),
        [b'0', b'o', ..] => of(&digits[2..], 8),
        [b'0', _, ..] => of(&digits[1..], 8),
        _ => of(digits, 10),
    };
    value.map(|value| sign * value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_json() {
        for (text, json) in [
            ("{}", "{}"),
            (
                "a: 1\nb: \"1\"\nc:\nd: yes\ne: true\n",
                r#"{"a":1,"b":"1","c":null,"d":"yes","e":true}"#,
            ),
            ("- 0660\n- 0x1f\n- -3\n- 1.5\n- 09\n", r#"[432,31,-3,"1.5","09"]"#),
            ("a:\n- b: c:d=e\n  f: [x, 'y\"']\n", r#"{"a":[{"b":"c:d=e","f":["x","y\""]}]}"#),
            ("---\n{\"a\": \"\\u00e9\"}\n", "{\"a\":\"é\"}"),
        ] {
            assert_eq!(to_json(text).as_deref(), Ok(json), "{text}");
        }
    }

    #[test]
    fn what_could_grow_or_hide_is_refused() {
        for text in ["", "a: 1\na: 2\n", "a: &x 1\nb: *x\n", "a: !!str x\n", "a\n---\nb\n", "a: ["]
        {
            assert!(to_json(text).is_err(), "{text}");
        }
        assert!(to_json(&"[".repeat(10_000)).is_err());
    }
}
