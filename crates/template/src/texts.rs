//! The functions on texts that docker and podman add.

use crate::eval::Cell;
use crate::functions::{Called, Context, Failure};
use crate::print::Printer;
use crate::value::{Element, List, Value};
use std::sync::Arc;

/// The bytes of a text; nothing of anything else.
pub(crate) fn bytes(value: &Value) -> &[u8] {
    match value {
        Value::Text(text) => text,
        _ => b"",
    }
}

fn text_at(cells: &[Cell], at: usize) -> &[u8] {
    cells.get(at).map_or(b"", |cell| bytes(&cell.value))
}

fn int_at(cells: &[Cell], at: usize) -> i64 {
    match cells.get(at).map(|cell| &cell.value) {
        Some(Value::Int(value)) => *value,
        _ => 0,
    }
}

fn text(bytes: Vec<u8>) -> Called {
    Ok(Cell::plain(Value::from(bytes)))
}

/// Longest value in a message.
const SHOWN_LIMIT_BYTES: usize = 4096;

/// A value in a message.
pub(crate) fn shown(value: &Value) -> String {
    let mut printer = Printer::new(SHOWN_LIMIT_BYTES);
    printer.print_inner(value);
    String::from_utf8_lossy(&printer.finish()).into_owned()
}

/// A value in a message, by the verb for texts.
pub(crate) fn shown_as_text(value: &Value) -> String {
    let mut printer = Printer::new(SHOWN_LIMIT_BYTES);
    printer.print_format(b"%s", &[value]);
    String::from_utf8_lossy(&printer.finish()).into_owned()
}

/// Maps characters; bytes that are none become the replacement character, as in Go.
fn mapped(text: &[u8], map: impl Fn(char) -> char) -> Vec<u8> {
    let mut out = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        out.extend(chunk.valid().chars().map(&map));
        out.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
    }
    out.into_bytes()
}

/// Go maps one character to one.
fn single(mut mapped: impl Iterator<Item = char>, character: char) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        // Of the one that becomes a letter and a mark Go takes the letter.
        (Some('i'), _) => 'i',
        _ => character,
    }
}

fn upper_char(character: char) -> char {
    single(character.to_uppercase(), character)
}

pub(crate) fn upper(cells: &[Cell], _: &Context) -> Called {
    text(mapped(text_at(cells, 0), upper_char))
}

pub(crate) fn lower(cells: &[Cell], _: &Context) -> Called {
    text(mapped(text_at(cells, 0), |c| single(c.to_lowercase(), c)))
}

/// Every word begins with a capital.
pub(crate) fn title(cells: &[Cell], _: &Context) -> Called {
    let previous = std::cell::Cell::new(' ');
    text(mapped(text_at(cells, 0), |character| {
        let before = previous.replace(character);
        if separates(before) { upper_char(character) } else { character }
    }))
}

fn separates(character: char) -> bool {
    match character {
        _ if character.is_alphanumeric() || character == '_' => false,
        _ if character.is_ascii() => true,
        _ => character.is_whitespace(),
    }
}

pub(crate) fn pad(cells: &[Cell], context: &Context) -> Called {
    let source = text_at(cells, 0);
    if source.is_empty() {
        return text(Vec::new());
    }
    let limit = context.limits.text_bytes;
    let spaces = |count: i64| match usize::try_from(count) {
        Ok(count) if count <= limit => Ok(vec![b' '; count]),
        Ok(_) => Err(Failure::too_long(limit)),
        Err(_) => Err(Failure::new("strings: negative Repeat count")),
    };
    text([&spaces(int_at(cells, 1))?, source, &spaces(int_at(cells, 2))?].concat())
}

pub(crate) fn truncate(cells: &[Cell], _: &Context) -> Called {
    let (source, length) = (text_at(cells, 0), int_at(cells, 1));
    match usize::try_from(length) {
        Ok(length) => text(source.get(..length).unwrap_or(source).to_vec()),
        Err(_) => {
            let message = format!("runtime error: slice bounds out of range [:{length}]");
            Err(Failure::new(message))
        }
    }
}

pub(crate) fn split(cells: &[Cell], context: &Context) -> Called {
    let (source, separator) = (text_at(cells, 0), text_at(cells, 1));
    let limit = context.limits.list;
    let mut items: Vec<Value> = Vec::new();
    let mut rest = source;
    loop {
        if items.len() >= limit {
            return Err(Failure::Limit(format!("makes more than {limit} elements")));
        }
        let found = match separator {
            [] if rest.is_empty() => break,
            [] => first_length(rest),
            _ => match find(rest, separator) {
                Some(at) => at,
                None => {
                    items.push(Value::Text(rest.into()));
                    break;
                }
            },
        };
        items.push(Value::Text(rest[..found].into()));
        rest = &rest[found + separator.len()..];
    }
    Ok(Cell::plain(Value::List(Arc::new(List { element: Element::Text, items }))))
}

/// The length of the first character, or of a byte that belongs to none.
fn first_length(text: &[u8]) -> usize {
    let first = text.utf8_chunks().next();
    let first = first.and_then(|chunk| chunk.valid().chars().next());
    first.map_or(1, char::len_utf8)
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    // Parts are short; what is searched is charged for by its length.
    text.windows(part.len()).position(|window| window == part)
}

/// As docker's: any list, and the values of a map in order.
pub(crate) fn join(cells: &[Cell], context: &Context) -> Called {
    let separator = text_at(cells, 1);
    let value = cells.first().map(|cell| cell.value.clone()).unwrap_or_default();
    let limit = context.limits.text_bytes;
    let print = |value: &Value| {
        let mut printer = Printer::new(limit);
        printer.print_all([value].into_iter());
        match printer.is_full() {
            true => Err(Failure::too_long(limit)),
            false => Ok(printer.finish()),
        }
    };
    let mut parts = match &value {
        Value::Null => Vec::new(),
        Value::Nil(name) if !name.starts_with('*') => Vec::new(),
        Value::List(list) => list.items.iter().map(print).collect::<Result<Vec<_>, _>>()?,
        Value::Map(map) => map.entries.values().map(print).collect::<Result<Vec<_>, _>>()?,
        other => {
            return Err(Failure::new(format!("expected slice, got {}", other.type_name())));
        }
    };
    if matches!(value, Value::Map(_)) {
        parts.sort();
    }
    let length: usize = parts.iter().map(|part| part.len() + separator.len()).sum();
    match length > limit {
        true => Err(Failure::too_long(limit)),
        false => text(parts.join(separator)),
    }
}
