//! Running a template.
//!
//! A message names the place that was looked at last, as Go's do: [`State::at`] is set in the same
//! order.

mod call;

use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::parse::line_of;
use crate::print::Printer;
use crate::tree::{Branch, Command, Invocation, Node, Operand, Pipeline, Templates};
use crate::value::{Element, Value};
use crate::{MissingKey, literal};
use std::fmt;

/// A value, and whether it was found where anything may be (an element of `[]interface {}`): then
/// messages name that type. Nothing that is not boxed is Go's invalid value: not there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    pub(crate) value: Value,
    pub(crate) boxed: bool,
}

impl Cell {
    pub(crate) fn plain(value: Value) -> Self {
        Self { value, boxed: false }
    }

    fn unboxed(self) -> Self {
        Self::plain(self.value)
    }

    pub(crate) fn is_invalid(&self) -> bool {
        !self.boxed && self.value.is_null()
    }

    /// The type that messages name.
    fn type_name(&self) -> String {
        if self.boxed { "interface {}".into() } else { self.value.type_name() }
    }
}

type Evaluated<T> = Result<T, Error>;

/// What goes on after a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

/// The part of a template that messages name.
#[derive(Clone, Copy)]
enum Spot<'t> {
    Command(&'t Command),
    Invocation(&'t Invocation),
    Operand(&'t Operand),
    Pipeline(&'t Pipeline),
}

impl Spot<'_> {
    fn at(self) -> usize {
        match self {
            Self::Command(command) => command.at,
            Self::Invocation(invocation) => invocation.at,
            Self::Operand(operand) => operand.at,
            Self::Pipeline(pipeline) => pipeline.at,
        }
    }
}

impl fmt::Display for Spot<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(command) => write!(formatter, "{command}"),
            Self::Invocation(invocation) => write!(formatter, "{invocation}"),
            Self::Operand(operand) => write!(formatter, "{operand}"),
            Self::Pipeline(pipeline) => write!(formatter, "{pipeline}"),
        }
    }
}

/// The arguments of a command: its operands after the first, and what the pipeline hands over.
#[derive(Clone, Copy)]
struct Arguments<'t, 'c> {
    operands: &'t [Operand],
    last: Option<&'c Cell>,
}

impl Arguments<'_, '_> {
    const NONE: Self = Arguments { operands: &[], last: None };

    fn is_none(self) -> bool {
        self.operands.is_empty() && self.last.is_none()
    }

    fn len(self) -> usize {
        self.operands.len() + usize::from(self.last.is_some())
    }
}

/// How a template runs.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) missing_key: MissingKey,
    pub(crate) limits: Limits,
    pub(crate) headings: bool,
}

/// Where a template's text is and what it defines.
pub(crate) struct Source<'t> {
    pub(crate) name: &'t str,
    pub(crate) text: &'t str,
    pub(crate) templates: &'t Templates,
}

struct State<'t, 'o> {
    source: &'t Source<'t>,
    missing_key: MissingKey,
    limits: Limits,
    headings: bool,
    out: &'o mut Vec<u8>,
    /// The template that runs.
    running: &'t str,
    variables: Vec<(&'t str, Cell)>,
    at: Option<Spot<'t>>,
    depth: usize,
    steps: u64,
}

/// Runs the template `name` of a source.
pub(crate) fn run<'t>(
    source: &'t Source<'t>,
    data: &Value,
    settings: Settings,
    out: &mut Vec<u8>,
) -> Evaluated<()> {
    let dot = Cell::plain(data.clone());
    let mut state = State {
        source,
        missing_key: settings.missing_key,
        limits: settings.limits,
        headings: settings.headings,
        out,
        running: source.name,
        variables: vec![("$", dot.clone())],
        at: None,
        depth: 0,
        steps: 0,
    };
    let body = source.templates.get(source.name).map_or(&[][..], Vec::as_slice);
    state.nodes(&dot, body).map(drop)
}

impl<'t> State<'t, '_> {
    fn error(&self, message: impl fmt::Display) -> Error {
        let (file, running) = (self.source.name, literal::quoted(self.running.as_bytes()));
        let text = match self.at {
            None => format!("template: {}: {message}", self.running),
            Some(spot) => {
                let (text, at) = (self.source.text, spot.at());
                let line = line_of(text, at);
                let column = text[..at].rfind('\n').map_or(at, |end| at - end - 1);
                format!(
                    "template: {file}:{line}:{column}: executing {running} at <{spot}>: {message}"
                )
            }
        };
        Error { kind: ErrorKind::Execution, text }
    }

    fn limit(&self, message: impl fmt::Display) -> Error {
        Error { kind: ErrorKind::Limit, ..self.error(message) }
    }

    fn charge(&mut self, steps: u64) -> Evaluated<()> {
        self.steps = self.steps.saturating_add(steps);
        match self.steps > self.limits.steps {
            true => Err(self.limit(format!("takes more than {} steps", self.limits.steps))),
            false => Ok(()),
        }
    }

    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Evaluated<T>) -> Evaluated<T> {
        if self.depth >= self.limits.depth {
            let limit = self.limits.depth;
            return Err(self.limit(format!("exceeded maximum template depth ({limit})")));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn write(&mut self, text: &[u8]) -> Evaluated<()> {
        if self.out.len() + text.len() > self.limits.output_bytes {
            let limit = self.limits.output_bytes;
            return Err(self.limit(format!("writes more than {limit} bytes")));
        }
        self.out.extend_from_slice(text);
        Ok(())
    }

    fn nodes(&mut self, dot: &Cell, nodes: &'t [Node]) -> Evaluated<Flow> {
        for node in nodes {
            let flow = self.node(dot, node)?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn node(&mut self, dot: &Cell, node: &'t Node) -> Evaluated<Flow> {
        self.charge(1)?;
        match node {
            Node::Text(text) => self.write(text.as_bytes())?,
            Node::Action(pipeline) => {
                let value = self.pipeline(dot, pipeline)?;
                if !pipeline.has_variables() {
                    self.print(pipeline, &value)?;
                }
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
            Node::If(branch) => return self.deeper(|state| state.branch(dot, branch, false)),
            Node::With(branch) => return self.deeper(|state| state.branch(dot, branch, true)),
            Node::Range(branch) => return self.deeper(|state| state.range(dot, branch)),
            Node::Template(invocation) => self.invoke(dot, invocation)?,
        }
        Ok(Flow::Next)
    }

    fn print(&mut self, pipeline: &'t Pipeline, cell: &Cell) -> Evaluated<()> {
        self.at = Some(Spot::Pipeline(pipeline));
        if let Value::Text(text) = &cell.value {
            return self.write(text);
        }
        let room = self.limits.output_bytes.saturating_sub(self.out.len());
        let mut printer = Printer::new(room.saturating_add(1));
        printer.print_found(&cell.value);
        let text = printer.finish();
        self.charge(text.len() as u64 / 64)?;
        self.write(&text)
    }

    fn branch(&mut self, dot: &Cell, branch: &'t Branch, with: bool) -> Evaluated<Flow> {
        let mark = self.variables.len();
        let value = self.pipeline(dot, &branch.pipeline)?;
        let flow = if value.value.is_true() {
            self.nodes(if with { &value } else { dot }, &branch.body)?
        } else {
            self.nodes(dot, branch.otherwise.as_deref().unwrap_or_default())?
        };
        self.variables.truncate(mark);
        Ok(flow)
    }

    fn range(&mut self, dot: &Cell, branch: &'t Branch) -> Evaluated<Flow> {
        let outer = self.variables.len();
        let over = self.pipeline(dot, &branch.pipeline)?.value;
        let mut any = false;
        let cell = |value: &Value, element: Element| Cell {
            value: value.clone(),
            boxed: element == Element::Any,
        };
        let mut passes = |state: &mut Self, index: Value, element: Cell| {
            any = true;
            state.pass(branch, index, element)
        };
        match &over {
            Value::List(list) => {
                for (index, item) in list.items.iter().enumerate() {
                    let index = Value::from(index as u64);
                    if passes(self, index, cell(item, list.element))? == Flow::Break {
                        break;
                    }
                }
            }
            Value::Map(map) => {
                for (name, item) in &map.entries {
                    let name = Value::from(name.as_str());
                    if passes(self, name, cell(item, map.element))? == Flow::Break {
                        break;
                    }
                }
            }
            Value::Int(_) | Value::Uint(_) | Value::Byte(_) => {
                if branch.pipeline.variables.len() > 1 {
                    let shown = self.shown(&over);
                    let message =
                        format!("can't use {shown} to iterate over more than one variable");
                    return Err(self.error(message));
                }
                let (count, make): (u64, fn(u64) -> Value) = match over {
                    Value::Int(count) => (u64::try_from(count).unwrap_or(0), Value::from),
                    Value::Byte(count) => (count.into(), |n| Value::Byte(n as u8)),
                    Value::Uint(count) => (count, Value::Uint),
                    _ => (0, Value::from),
                };
                for number in 0..count {
                    if passes(self, Value::Null, Cell::plain(make(number)))? == Flow::Break {
                        break;
                    }
                }
            }
            Value::Null | Value::Nil(_) => {}
            other => {
                let shown = self.shown(other);
                return Err(self.error(format!("range can't iterate over {shown}")));
            }
        }
        let flow = match any {
            true => Flow::Next,
            false => self.nodes(dot, branch.otherwise.as_deref().unwrap_or_default())?,
        };
        self.variables.truncate(outer);
        Ok(flow)
    }

    /// One pass of a loop.
    fn pass(&mut self, branch: &'t Branch, index: Value, element: Cell) -> Evaluated<Flow> {
        self.charge(1)?;
        let mark = self.variables.len();
        let pipeline = &branch.pipeline;
        let index = Cell::plain(index);
        match (&pipeline.variables[..], pipeline.assigns) {
            ([], _) => {}
            ([only], true) => self.assign(only, element.clone())?,
            ([first, second, ..], true) => {
                self.assign(first, index)?;
                self.assign(second, element.clone())?;
            }
            (declared, false) => {
                // They are on top: the pipeline declared them.
                let top = self.variables.len();
                self.variables[top - 1].1 = element.clone();
                if declared.len() > 1 {
                    self.variables[top - 2].1 = index;
                }
            }
        }
        let flow = self.nodes(&element, &branch.body)?;
        self.variables.truncate(mark);
        Ok(flow)
    }

    fn assign(&mut self, name: &str, cell: Cell) -> Evaluated<()> {
        match self.variables.iter_mut().rev().find(|(known, _)| *known == name) {
            Some((_, place)) => *place = cell,
            None => return Err(self.error(format!("undefined variable: {name}"))),
        }
        Ok(())
    }

    fn invoke(&mut self, dot: &Cell, invocation: &'t Invocation) -> Evaluated<()> {
        self.at = Some(Spot::Invocation(invocation));
        let Some((name, body)) = self.source.templates.get_key_value(&invocation.name) else {
            let name = literal::quoted(invocation.name.as_bytes());
            return Err(self.error(format!("template {name} not defined")));
        };
        let dot = match &invocation.pipeline {
            Some(pipeline) => self.pipeline(dot, pipeline)?,
            None => Cell::default(),
        };
        self.at = Some(Spot::Invocation(invocation));
        self.deeper(|state| {
            let outer = std::mem::replace(&mut state.variables, vec![("$", dot.clone())]);
            let running = std::mem::replace(&mut state.running, name);
            state.nodes(&dot, body)?;
            (state.variables, state.running) = (outer, running);
            Ok(())
        })
    }

    fn pipeline(&mut self, dot: &Cell, pipeline: &'t Pipeline) -> Evaluated<Cell> {
        self.at = Some(Spot::Pipeline(pipeline));
        let mut last = None;
        for command in &pipeline.commands {
            self.charge(1)?;
            last = Some(self.command(dot, command, last.as_ref())?.unboxed());
        }
        let value = last.unwrap_or_default();
        for name in &pipeline.variables {
            match pipeline.assigns {
                true => self.assign(name, value.clone())?,
                false => self.variables.push((name, value.clone())),
            }
        }
        Ok(value)
    }

    /// A value in a message.
    fn shown(&self, value: &Value) -> String {
        let mut printer = Printer::new(self.limits.text_bytes);
        printer.print_inner(value);
        String::from_utf8_lossy(&printer.finish()).into_owned()
    }
}
