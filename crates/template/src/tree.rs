//! A template as a tree. Nodes show themselves as Go's do, for messages.

use crate::literal;
use std::collections::BTreeMap;
use std::fmt;

/// The templates of one text by their names.
pub(crate) type Templates = BTreeMap<String, Vec<Node>>;

#[derive(Debug)]
pub(crate) enum Node {
    Text(String),
    Action(Pipeline),
    Break,
    Continue,
    If(Branch),
    With(Branch),
    Range(Branch),
    Template(Invocation),
}

#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) pipeline: Pipeline,
    pub(crate) body: Vec<Node>,
    pub(crate) otherwise: Option<Vec<Node>>,
}

#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) at: usize,
    pub(crate) name: String,
    pub(crate) pipeline: Option<Pipeline>,
}

#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) at: usize,
    pub(crate) assigns: bool,
    pub(crate) variables: Vec<String>,
    pub(crate) commands: Vec<Command>,
}

#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) at: usize,
    /// At least one.
    pub(crate) operands: Vec<Operand>,
}

#[derive(Debug)]
pub(crate) struct Operand {
    pub(crate) at: usize,
    pub(crate) term: Term,
}

#[derive(Debug)]
pub(crate) enum Term {
    Bool(bool),
    Dot,
    Nil,
    Number(Number),
    Text {
        quoted: String,
        value: Vec<u8>,
    },
    /// `.A.B`: at least one name.
    Field(Vec<String>),
    /// `$x.A.B`: the variable's name and those of fields.
    Variable(Vec<String>),
    Identifier(String),
    Pipeline(Pipeline),
    /// `(...).A.B`: at least one name.
    Chain(Box<Operand>, Vec<String>),
}

/// A number under every type that can hold it, as Go's untyped constants.
#[derive(Debug)]
pub(crate) struct Number {
    pub(crate) text: String,
    pub(crate) int: Option<i64>,
    pub(crate) float: Option<f64>,
}

impl Pipeline {
    /// Whether it declares or assigns: then it prints nothing.
    pub(crate) fn has_variables(&self) -> bool {
        !self.variables.is_empty()
    }
}

/// Whether there is nothing but space in it: such a definition does not replace another.
pub(crate) fn is_blank(nodes: &[Node]) -> bool {
    nodes.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
}

impl fmt::Display for Pipeline {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.has_variables() {
            let sign = if self.assigns { "=" } else { ":=" };
            write!(formatter, "{} {sign} ", self.variables.join(", "))?;
        }
        for (count, command) in self.commands.iter().enumerate() {
            let separator = if count > 0 { " | " } else { "" };
            write!(formatter, "{separator}{command}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (count, operand) in self.operands.iter().enumerate() {
            let separator = if count > 0 { " " } else { "" };
            match &operand.term {
                Term::Pipeline(pipeline) => write!(formatter, "{separator}({pipeline})")?,
                _ => write!(formatter, "{separator}{operand}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.term {
            Term::Bool(value) => write!(formatter, "{value}"),
            Term::Dot => formatter.write_str("."),
            Term::Nil => formatter.write_str("nil"),
            Term::Number(number) => formatter.write_str(&number.text),
            Term::Text { quoted, .. } => formatter.write_str(quoted),
            Term::Field(names) => write!(formatter, ".{}", names.join(".")),
            Term::Variable(names) => formatter.write_str(&names.join(".")),
            Term::Identifier(name) => formatter.write_str(name),
            Term::Pipeline(pipeline) => write!(formatter, "{pipeline}"),
            Term::Chain(operand, names) => {
                match &operand.term {
                    Term::Pipeline(pipeline) => write!(formatter, "({pipeline})")?,
                    _ => write!(formatter, "{operand}")?,
                }
                write!(formatter, ".{}", names.join("."))
            }
        }
    }
}

impl fmt::Display for Invocation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{{{{template {}", literal::quoted(self.name.as_bytes()))?;
        if let Some(pipeline) = &self.pipeline {
            write!(formatter, " {pipeline}")?;
        }
        formatter.write_str("}}")
    }
}
