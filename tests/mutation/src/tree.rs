//! A JSON document whose structure can be broken: names twice, numbers that are none.

use serde_json::Value;

/// A part of a document.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// Members in order; a name may be there twice.
    Object(Vec<(String, Node)>),
    /// Elements.
    Array(Vec<Node>),
    /// Any text: a number, a string with its quotes, or something that is no JSON.
    Token(String),
}

impl Node {
    /// From a document.
    pub fn new(value: &Value) -> Self {
        match value {
            Value::Object(members) => {
                Self::Object(members.iter().map(|(name, v)| (name.clone(), Self::new(v))).collect())
            }
            Value::Array(elements) => Self::Array(elements.iter().map(Self::new).collect()),
            scalar => Self::Token(scalar.to_string()),
        }
    }

    /// The text.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(4096);
        // Depth is a matter of the document's, not of this program's stack: no recursion.
        enum Step<'a> {
            Value(&'a Node),
            Text(&'a str),
            Name(&'a str),
        }
        let mut steps = vec![Step::Value(self)];
        while let Some(step) = steps.pop() {
            match step {
                Step::Text(part) => text.push_str(part),
                Step::Name(name) => {
                    text.push_str(&Value::from(name).to_string());
                    text.push(':');
                }
                Step::Value(Self::Token(token)) => text.push_str(token),
                Step::Value(Self::Array(elements)) => {
                    text.push('[');
                    steps.push(Step::Text("]"));
                    for (index, element) in elements.iter().enumerate().rev() {
                        steps.push(Step::Value(element));
                        steps.push(Step::Text(if index == 0 { "" } else { "," }));
                    }
                }
                Step::Value(Self::Object(members)) => {
                    text.push('{');
                    steps.push(Step::Text("}"));
                    for (index, (name, value)) in members.iter().enumerate().rev() {
                        steps.push(Step::Value(value));
                        steps.push(Step::Name(name));
                        steps.push(Step::Text(if index == 0 { "" } else { "," }));
                    }
                }
            }
        }
        text
    }

    /// How many parts it has, itself included.
    pub fn size(&self) -> usize {
        1 + match self {
            Self::Object(members) => members.iter().map(|(_, value)| value.size()).sum(),
            Self::Array(elements) => elements.iter().map(Self::size).sum(),
            Self::Token(_) => 0,
        }
    }

    /// Part number `index`, counted from 0, the node itself.
    pub fn part(&mut self, index: usize) -> Option<&mut Self> {
        if index == 0 {
            return Some(self);
        }
        let mut left = index - 1;
        let children: Vec<&mut Self> = match self {
            Self::Object(members) => members.iter_mut().map(|(_, value)| value).collect(),
            Self::Array(elements) => elements.iter_mut().collect(),
            Self::Token(_) => Vec::new(),
        };
        for child in children {
            let size = child.size();
            if left < size {
                return child.part(left);
            }
            left -= size;
        }
        None
    }

    /// Every member of every object in it, by name.
    pub fn members(&self, found: &mut Vec<(String, Self)>) {
        match self {
            Self::Object(members) => {
                for (name, value) in members {
                    found.push((name.clone(), value.clone()));
                    value.members(found);
                }
            }
            Self::Array(elements) => elements.iter().for_each(|element| element.members(found)),
            Self::Token(_) => {}
        }
    }
}

impl Drop for Node {
    /// Without recursion: a test makes documents that are deeper than a stack.
    fn drop(&mut self) {
        let mut rest = Vec::new();
        take_children(self, &mut rest);
        while let Some(mut node) = rest.pop() {
            take_children(&mut node, &mut rest);
        }
    }
}

fn take_children(node: &mut Node, rest: &mut Vec<Node>) {
    match node {
        Node::Object(members) => rest.extend(members.drain(..).map(|(_, value)| value)),
        Node::Array(elements) => rest.append(elements),
        Node::Token(_) => {}
    }
}
