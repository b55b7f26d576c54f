//! YAML as a tree: mappings, lists and scalars. No anchors, which could make a small text huge, and no tags.
//!
//! What a scalar means is its reader's business, or that of YAML's core rules, by which a tree is written as JSON.

use oci::json::{ToJson, Writer};
use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};
use std::collections::BTreeSet;

/// Deepest nesting. A CDI specification has 6 levels, `registries.d` 3.
const DEPTH_LIMIT: usize = 32;
/// Most nodes of a text.
const NODES_LIMIT: usize = 500_000;

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Nothing: an empty value, `~` or `null`.
    Null,
    /// A scalar without quotes, as it is written.
    Plain(String),
    /// A scalar in quotes or in a block: a text, whatever it says.
    Quoted(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping in its order. No key is there twice.
    Map(Vec<(String, Node)>),
}

/// Reads the only document of a text. The error is a sentence fragment that begins with the line.
pub fn read(text: &str) -> Result<Node, String> {
    let mut builder = Builder { parser: Parser::new_from_str(text), nodes: 0, line: 0 };
    let mut root = Node::Null;
    let mut documents = 0;
    loop {
        match builder.next()? {
            Event::StreamEnd => return Ok(root),
            Event::DocumentStart(_) => documents += 1,
            Event::StreamStart | Event::DocumentEnd | Event::Nothing => {}
            _ if documents > 1 => return Err(builder.refuse("more than one document")),
            event => root = builder.node(event, 0)?,
        }
    }
}

struct Builder<'a> {
    parser: Parser<'a, StrInput<'a>>,
    nodes: usize,
    line: usize,
}

impl<'a> Builder<'a> {
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

    fn node(&mut self, event: Event<'a>, depth: usize) -> Result<Node, String> {
        self.nodes += 1;
        if self.nodes > NODES_LIMIT {
            return Err(self.refuse("more nodes than any configuration needs"));
        }
        if depth > DEPTH_LIMIT {
            return Err(self.refuse("too many levels"));
        }
        match event {
            Event::Scalar(text, ScalarStyle::Plain, 0, None) => Ok(match &*text {
                "" | "~" | "null" | "Null" | "NULL" => Node::Null,
                text => Node::Plain(text.to_owned()),
            }),
            Event::Scalar(text, _, 0, None) => Ok(Node::Quoted(text.into_owned())),
            Event::SequenceStart(0, None) => {
                let mut list = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => return Ok(Node::List(list)),
                        event => list.push(self.node(event, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(0, None) => self.map(depth),
            Event::Alias(_)
            | Event::Scalar(..)
            | Event::SequenceStart(..)
            | Event::MappingStart(..) => Err(self.refuse("anchors and tags are not read")),
            _ => Err(self.refuse("the text ends too early")),
        }
    }

    fn map(&mut self, depth: usize) -> Result<Node, String> {
        let mut map: Vec<(String, Node)> = Vec::new();
        let mut seen = BTreeSet::new();
        loop {
            let key = match self.next()? {
                Event::MappingEnd => return Ok(Node::Map(map)),
                Event::Scalar(text, _, 0, None) => text.into_owned(),
                _ => return Err(self.refuse("a key has to be a scalar")),
            };
            if !seen.insert(key.clone()) {
                return Err(self.refuse(&format!("`{key}` is there twice")));
            }
            let event = self.next()?;
            let value = self.node(event, depth + 1)?;
            map.push((key, value));
        }
    }
}

/// By YAML's core rules: a plain scalar is a truth, a whole number, or else a text.
impl ToJson for Node {
    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Null => writer.raw("null"),
            Self::Plain(text) => match text.as_str() {
                "true" | "True" | "TRUE" => true.write(writer),
                "false" | "False" | "FALSE" => false.write(writer),
                text => match number(text) {
                    Some(number) => number.write(writer),
                    None => writer.string(text),
                },
            },
            Self::Quoted(text) => writer.string(text),
            Self::List(list) => list.write(writer),
            Self::Map(members) => {
                writer.open('{');
                for (key, value) in members {
                    writer.key(key);
                    value.write(writer);
                }
                writer.close('}');
            }
        }
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
    fn texts_become_trees() {
        let plain = |text: &str| Node::Plain(text.into());
        let quoted = |text: &str| Node::Quoted(text.into());
        let map = |members: &[(&str, Node)]| {
            Node::Map(members.iter().map(|(key, node)| ((*key).into(), node.clone())).collect())
        };
        let check =
            |text: &str, expected: Node| assert_eq!(read(text).unwrap(), expected, "{text}");
        check("", Node::Null);
        check("# nothing\n", Node::Null);
        check("{}", map(&[]));
        check(
            "a:\n  b: 1\n  c: \"null\"\n  d:\n",
            map(&[("a", map(&[("b", plain("1")), ("c", quoted("null")), ("d", Node::Null)]))]),
        );
        check(
            "- x\n- [~, 'y']\n",
            Node::List(vec![plain("x"), Node::List(vec![Node::Null, quoted("y")])]),
        );
        check(
            "localhost:8080:\n  x: file:///y\n",
            map(&[("localhost:8080", map(&[("x", plain("file:///y"))]))]),
        );
    }

    #[test]
    fn trees_become_json() {
        for (text, json) in [
            ("", "null"),
            ("{}", "{}"),
            (
                "a: 1\nb: \"1\"\nc:\nd: yes\ne: true\n",
                r#"{"a":1,"b":"1","c":null,"d":"yes","e":true}"#,
            ),
            ("- 0660\n- 0x1f\n- -3\n- 1.5\n- 09\n", r#"[432,31,-3,"1.5","09"]"#),
            ("a:\n- b: c:d=e\n  f: [x, 'y\"']\n", r#"{"a":[{"b":"c:d=e","f":["x","y\""]}]}"#),
            ("---\n{\"a\": \"\\u00e9\"}\n", "{\"a\":\"é\"}"),
            ("- |\n  true\n- 99999999999999999999\n", "[\"true\\n\",\"99999999999999999999\"]"),
        ] {
            assert_eq!(oci::json::write(&read(text).unwrap()), json, "{text}");
        }
    }

    #[test]
    fn what_could_grow_or_hide_is_refused() {
        for text in [
            "a: 1\na: 2\n",
            "a: &x 1\nb: *x\n",
            "a: !!str x\n",
            "? [a]\n: b\n",
            "a\n---\nb\n",
            "a: [",
            "\t- x: {",
            "a: b: c",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read(&"[".repeat(10_000)).is_err());
        assert!(read(&format!("[{}]", "x,".repeat(NODES_LIMIT))).is_err());
        assert!(read("a:\n  - b\n c: [\n").unwrap_err().starts_with("line "));
    }
}
