//! YAML as a tree: mappings, lists and scalars. No anchors, which could make a small text huge, and no tags.

use saphyr_parser::{Event, Parser, ScalarStyle};
use std::collections::BTreeSet;

/// Deepest nesting. `registries.d` has 3 levels.
const DEPTH_LIMIT: usize = 32;
/// Most nodes of a text.
const NODES_LIMIT: usize = 100_000;

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// Nothing: an empty value, `~` or `null`.
    Null,
    /// A scalar as it is written: what it means is its reader's business.
    Scalar(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping in its order. No key is there twice.
    Map(Vec<(String, Node)>),
}

/// Reads the only document of a text.
pub(crate) fn read(text: &str) -> Result<Node, String> {
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
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
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
            Event::Scalar(text, style, 0, None) => {
                let plain = style == ScalarStyle::Plain;
                Ok(match &*text {
                    "" | "~" | "null" | "Null" | "NULL" if plain => Node::Null,
                    text => Node::Scalar(text.to_owned()),
                })
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_trees() {
        let scalar = |text: &str| Node::Scalar(text.into());
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
            map(&[("a", map(&[("b", scalar("1")), ("c", scalar("null")), ("d", Node::Null)]))]),
        );
        check(
            "- x\n- [~, 'y']\n",
            Node::List(vec![scalar("x"), Node::List(vec![Node::Null, scalar("y")])]),
        );
        check(
            "localhost:8080:\n  x: file:///y\n",
            map(&[("localhost:8080", map(&[("x", scalar("file:///y"))]))]),
        );
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
