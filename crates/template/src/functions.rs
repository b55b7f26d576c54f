//! The functions that templates may call: Go's own, and those that docker and podman add.

use crate::compare::{self, Order};
use crate::eval::Cell;
use crate::limits::Limits;
use crate::print::Printer;
use crate::value::{Element, List, Value};
use crate::{escape, json, texts};
use std::sync::Arc;

/// What a function takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parameter {
    Any,
    Text,
    Int,
}

impl Parameter {
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Self::Any => "interface {}",
            Self::Text => "string",
            Self::Int => "int",
        }
    }
}

/// Why a function has no result.
#[derive(Debug, PartialEq)]
pub(crate) enum Failure {
    Message(String),
    Limit(String),
}

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self::Message(text.into())
    }

    pub(crate) fn too_long(limit: usize) -> Self {
        Self::Limit(format!("makes more than {limit} bytes"))
    }
}

pub(crate) type Called = Result<Cell, Failure>;

/// What a function knows of its call beside its arguments.
pub(crate) struct Context {
    /// The first argument as it is written.
    pub(crate) shown: String,
    pub(crate) limits: Limits,
}

/// A function.
pub(crate) struct Function {
    name: &'static str,
    pub(crate) parameters: &'static [Parameter],
    /// What it takes any number of, after those.
    pub(crate) rest: Option<Parameter>,
    pub(crate) call: fn(&[Cell], &Context) -> Called,
}

impl Function {
    pub(crate) fn parameter(&self, at: usize) -> Parameter {
        self.parameters.get(at).copied().or(self.rest).unwrap_or(Parameter::Any)
    }
}

use Parameter::{Any, Int, Text};

const fn function(
    name: &'static str,
    parameters: &'static [Parameter],
    call: fn(&[Cell], &Context) -> Called,
) -> Function {
    Function { name, parameters, rest: None, call }
}

const fn variadic(
    name: &'static str,
    parameters: &'static [Parameter],
    call: fn(&[Cell], &Context) -> Called,
) -> Function {
    Function { name, parameters, rest: Some(Any), call }
}

const FUNCTIONS: [Function; 27] = [
    variadic("and", &[Any], last),
    variadic("call", &[Any], call),
    variadic("eq", &[Any], |values, _| compare::equal(values).map(bool)),
    function("ge", &[Any, Any], |values, _| ordered(values, Order::GreaterOrEqual)),
    function("gt", &[Any, Any], |values, _| ordered(values, Order::Greater)),
    variadic("html", &[], |values, context| escaped(values, context, escape::html)),
    variadic("index", &[Any], index),
    function("join", &[Any, Text], texts::join),
    variadic("js", &[], |values, context| escaped(values, context, escape::javascript)),
    function("json", &[Any], json_text),
    function("le", &[Any, Any], |values, _| ordered(values, Order::LessOrEqual)),
    function("len", &[Any], length),
    function("lower", &[Text], texts::lower),
    function("lt", &[Any, Any], |values, _| ordered(values, Order::Less)),
    function("ne", &[Any, Any], |values, _| compare::equal(values).map(|is| bool(!is))),
    function("not", &[Any], |values, _| Ok(bool(!values.iter().any(|cell| cell.value.is_true())))),
    variadic("or", &[Any], last),
    function("pad", &[Text, Int, Int], texts::pad),
    variadic("print", &[], print),
    variadic("printf", &[Text], print_format),
    variadic("println", &[], print_line),
    variadic("slice", &[Any], slice),
    function("split", &[Text, Text], texts::split),
    function("title", &[Text], texts::title),
    function("truncate", &[Text, Int], texts::truncate),
    function("upper", &[Text], texts::upper),
    variadic("urlquery", &[], |values, context| escaped(values, context, escape::url_query)),
];

/// What takes the place of functions when the headings of a table are made. Not `pad`, which
/// columns are aligned by.
const HEADINGS: [Function; 7] = [
    function("join", &[Text, Text], first),
    function("json", &[Text], first),
    function("lower", &[Text], first),
    function("split", &[Text, Text], first),
    function("title", &[Text], first),
    function("truncate", &[Text, Int], first),
    function("upper", &[Text], first),
];

fn first(values: &[Cell], _: &Context) -> Called {
    Ok(values.first().cloned().unwrap_or_default())
}

/// Whether there is a function of this name.
pub(crate) fn is_known(name: &str) -> bool {
    find(name, false).is_some()
}

/// A function; for headings, the one that leaves them alone.
pub(crate) fn find(name: &str, headings: bool) -> Option<&'static Function> {
    let replaced = HEADINGS.iter().filter(|_| headings);
    replaced.chain(&FUNCTIONS).find(|function| function.name == name)
}

/// The truth of an argument with which the evaluation of `and` and `or` ends.
pub(crate) fn short_circuit(name: &str) -> Option<bool> {
    match name {
        "and" => Some(false),
        "or" => Some(true),
        _ => None,
    }
}

fn bool(value: bool) -> Cell {
    Cell::plain(Value::Bool(value))
}

/// `and` and `or` once nothing has decided; their arguments are evaluated one by one elsewhere.
fn last(values: &[Cell], _: &Context) -> Called {
    Ok(values.last().cloned().unwrap_or_default())
}

fn ordered(values: &[Cell], order: Order) -> Called {
    compare::ordered(values, order).map(bool)
}

/// No value is a function: what `call` says of what is none.
fn call(values: &[Cell], context: &Context) -> Called {
    match values.first().map(|cell| &cell.value) {
        None | Some(Value::Null) => Err(Failure::new("call of nil")),
        Some(value) => {
            let shown = match (context.shown.as_str(), value) {
                ("", Value::Text(text)) => String::from_utf8_lossy(text).into_owned(),
                // What Go's reflection says for anything else.
                ("", value) => format!("<{} Value>", value.type_name()),
                (shown, _) => shown.to_string(),
            };
            Err(Failure::new(format!("non-function {shown} of type {}", value.type_name())))
        }
    }
}

fn printed(context: &Context, write: impl FnOnce(&mut Printer)) -> Result<Vec<u8>, Failure> {
    let mut printer = Printer::new(context.limits.text_bytes);
    write(&mut printer);
    match printer.is_full() {
        true => Err(Failure::too_long(context.limits.text_bytes)),
        false => Ok(printer.finish()),
    }
}

fn values(cells: &[Cell]) -> impl Iterator<Item = &Value> + Clone {
    cells.iter().map(|cell| &cell.value)
}

fn print(cells: &[Cell], context: &Context) -> Called {
    let text = printed(context, |printer| printer.print_all(values(cells)))?;
    Ok(Cell::plain(Value::from(text)))
}

fn print_line(cells: &[Cell], context: &Context) -> Called {
    let text = printed(context, |printer| printer.print_line(values(cells)))?;
    Ok(Cell::plain(Value::from(text)))
}

fn print_format(cells: &[Cell], context: &Context) -> Called {
    let (format, arguments) = cells
        .split_first()
        .map_or((&[][..], cells), |(first, rest)| (texts::bytes(&first.value), rest));
    let arguments: Vec<&Value> = values(arguments).collect();
    let text = printed(context, |printer| printer.print_format(format, &arguments))?;
    Ok(Cell::plain(Value::from(text)))
}

fn escaped(cells: &[Cell], context: &Context, escape: fn(&[u8]) -> Vec<u8>) -> Called {
    let text = printed(context, |printer| printer.print_all_found(values(cells)))?;
    let text = escape(&text);
    match text.len() > context.limits.text_bytes {
        true => Err(Failure::too_long(context.limits.text_bytes)),
        false => Ok(Cell::plain(Value::from(text))),
    }
}

fn json_text(cells: &[Cell], context: &Context) -> Called {
    let value = cells.first().map(|cell| cell.value.clone()).unwrap_or_default();
    match json::compact(&value, context.limits.text_bytes) {
        Some(text) => Ok(Cell::plain(Value::from(text))),
        None => Err(Failure::too_long(context.limits.text_bytes)),
    }
}

fn length(cells: &[Cell], _: &Context) -> Called {
    let cell = cells.first().cloned().unwrap_or_default();
    let length = match &cell.value {
        Value::Text(text) => text.len(),
        Value::List(list) => list.items.len(),
        Value::Map(map) => map.entries.len(),
        Value::Nil(name) if !name.starts_with('*') => 0,
        Value::Nil(_) => return Err(Failure::new("len of nil pointer")),
        Value::Null if cell.boxed => return Err(Failure::new("len of nil pointer")),
        // What Go's reflection says when it is asked.
        Value::Null => {
            return Err(Failure::new("reflect: call of reflect.Value.Type on zero Value"));
        }
        other => return Err(Failure::new(format!("len of type {}", other.type_name()))),
    };
    Ok(Cell::plain(Value::from(length as u64)))
}

/// An index up to a length, and that length itself, which a slice may end with.
fn position(index: &Value, length: usize) -> Result<usize, Failure> {
    let number = match index {
        Value::Int(number) => *number,
        Value::Uint(number) => number.cast_signed(),
        Value::Byte(number) => i64::from(*number),
        Value::Null => return Err(Failure::new("cannot index slice/array with nil")),
        other => {
            let name = other.type_name();
            return Err(Failure::new(format!("cannot index slice/array with type {name}")));
        }
    };
    let found = usize::try_from(number).ok().filter(|&number| number <= length);
    found.ok_or_else(|| Failure::new(format!("index out of range: {number}")))
}

fn index(cells: &[Cell], _: &Context) -> Called {
    let (first, indexes) = cells.split_first().ok_or_else(|| Failure::new("index of nothing"))?;
    let mut item = first.clone();
    if item.value.is_null() {
        return Err(Failure::new("index of untyped nil"));
    }
    for index in values(indexes) {
        item = index_once(&item.value, index)?;
    }
    Ok(item)
}

fn index_once(item: &Value, index: &Value) -> Called {
    let of = |value: &Value, element: Element| Cell {
        value: value.clone(),
        boxed: element == Element::Any,
    };
    match item {
        Value::Null => Err(Failure::new("index of nil pointer")),
        Value::Nil(name) if name.starts_with('*') => Err(Failure::new("index of nil pointer")),
        Value::Text(text) => {
            let at = position(index, text.len())?;
            let byte = text.get(at).copied();
            let byte = byte.ok_or_else(|| Failure::new("reflect: string index out of range"))?;
            Ok(Cell::plain(Value::Byte(byte)))
        }
        Value::List(list) => {
            let at = position(index, list.items.len())?;
            let found = list.items.get(at);
            let found = found.ok_or_else(|| Failure::new("reflect: slice index out of range"))?;
            Ok(of(found, list.element))
        }
        Value::Nil(name) if name.starts_with("[]") => {
            position(index, 0)?;
            Err(Failure::new("reflect: slice index out of range"))
        }
        Value::Map(map) => {
            let key = map_key(index)?;
            Ok(match map.entries.get(&key) {
                Some(found) => of(found, map.element),
                None => of(&map.element.zero(), map.element),
            })
        }
        Value::Nil(name) => {
            map_key(index)?;
            let is_text = name.ends_with("]string");
            Ok(Cell::plain(if is_text { Value::from("") } else { Value::Null }))
        }
        other => Err(Failure::new(format!("can't index item of type {}", other.type_name()))),
    }
}

fn map_key(index: &Value) -> Result<String, Failure> {
    match index {
        Value::Text(text) => Ok(String::from_utf8_lossy(text).into_owned()),
        Value::Null => Err(Failure::new("value is nil; should be of type string")),
        other => {
            let name = other.type_name();
            Err(Failure::new(format!("value has type {name}; should be string")))
        }
    }
}

fn slice(cells: &[Cell], _: &Context) -> Called {
    let (item, indexes) = cells.split_first().ok_or_else(|| Failure::new("slice of nothing"))?;
    let length = match &item.value {
        Value::Null => return Err(Failure::new("slice of untyped nil")),
        Value::Nil(name) if name.starts_with('*') => {
            return Err(Failure::new("slice of nil pointer"));
        }
        _ if indexes.len() > 3 => {
            return Err(Failure::new(format!("too many slice indexes: {}", indexes.len())));
        }
        Value::Text(_) if indexes.len() == 3 => {
            return Err(Failure::new("cannot 3-index slice a string"));
        }
        Value::Text(text) => text.len(),
        Value::List(list) => list.items.len(),
        Value::Nil(name) if name.starts_with("[]") => 0,
        other => {
            return Err(Failure::new(format!("can't slice item of type {}", other.type_name())));
        }
    };
    let mut places = [0, length, length];
    for (place, index) in places.iter_mut().zip(values(indexes)) {
        *place = position(index, length)?;
    }
    let [start, end, capacity] = places;
    for (one, other) in [(start, end), (end, capacity)] {
        if one > other {
            return Err(Failure::new(format!("invalid slice index: {one} > {other}")));
        }
    }
    Ok(Cell::plain(match &item.value {
        Value::Text(text) => Value::Text(text[start..end].into()),
        Value::List(list) => {
            let items = list.items[start..end].to_vec();
            Value::List(Arc::new(List { element: list.element, items }))
        }
        other => other.clone(),
    }))
}
