//! Comparisons.

use crate::eval::Cell;
use crate::functions::Failure;
use crate::texts;
use crate::value::Value;
use std::cmp::Ordering;

/// What is asked of two values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Values of one kind compare with each other.
enum Basic<'v> {
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(&'v [u8]),
    Other,
}

fn basic(value: &Value) -> Basic<'_> {
    match value {
        Value::Bool(value) => Basic::Bool(*value),
        Value::Int(value) => Basic::Int(i128::from(*value)),
        Value::Uint(value) => Basic::Int(i128::from(*value)),
        Value::Byte(value) => Basic::Int(i128::from(*value)),
        Value::Float(value) => Basic::Float(*value),
        Value::Text(text) => Basic::Text(text),
        _ => Basic::Other,
    }
}

/// `eq`: whether the first is equal to any of the others.
pub(crate) fn equal(cells: &[Cell]) -> Result<bool, Failure> {
    let (first, others) =
        cells.split_first().ok_or_else(|| Failure::new("missing argument for comparison"))?;
    if others.is_empty() {
        return Err(Failure::new("missing argument for comparison"));
    }
    for other in others {
        if equal_two(&first.value, &other.value)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equal_two(one: &Value, other: &Value) -> Result<bool, Failure> {
    match (basic(one), basic(other)) {
        (Basic::Bool(one), Basic::Bool(other)) => Ok(one == other),
        (Basic::Int(one), Basic::Int(other)) => Ok(one == other),
        (Basic::Float(one), Basic::Float(other)) => Ok(one == other),
        (Basic::Text(one), Basic::Text(other)) => Ok(one == other),
        (Basic::Other, Basic::Other) => equal_others(one, other),
        _ if one.is_null() || other.is_null() => Ok(false),
        _ => Err(incompatible(one, other)),
    }
}

fn incompatible(one: &Value, other: &Value) -> Failure {
    let (one, other) = (one.type_name(), other.type_name());
    Failure::new(format!("incompatible types for comparison: {one} and {other}"))
}

/// Lists, maps, structs: nothing but nil is equal to anything.
fn equal_others(one: &Value, other: &Value) -> Result<bool, Failure> {
    let is_nil = |value: &Value| matches!(value, Value::Null | Value::Nil(_));
    let either_null = one.is_null() || other.is_null();
    if !either_null && shape(one) != shape(other) {
        let (a, b) = (one.type_name(), other.type_name());
        let (one, other) = (texts::shown_as_text(one), texts::shown(other));
        return Err(Failure::new(format!("non-comparable types {one}: {a}, {b}: {other}")));
    }
    if is_nil(one) || is_nil(other) {
        return Ok(is_nil(one) == is_nil(other));
    }
    match (one, other) {
        (Value::Time(one), Value::Time(other)) => Ok(one == other),
        (Value::Struct(a), Value::Struct(b)) if is_comparable(one) && is_comparable(other) => {
            let fields = a.fields.iter().zip(&b.fields);
            let same = a.type_name == b.type_name && a.fields.len() == b.fields.len();
            Ok(same && fields.into_iter().all(|(a, b)| equal_two(&a.value, &b.value) == Ok(true)))
        }
        _ => {
            let (shown, name) = (texts::shown_as_text(other), other.type_name());
            Err(Failure::new(format!("non-comparable type {shown}: {name}")))
        }
    }
}

/// Whether Go compares such values at all: no lists, no maps, nothing with one of them in it.
fn is_comparable(value: &Value) -> bool {
    match value {
        Value::Struct(whole) => {
            whole.fields.iter().all(|field| field.json.is_none() || is_comparable(&field.value))
        }
        _ => !matches!(shape(value), "slice" | "map"),
    }
}

/// The kind of a type, as far as it shows from the name.
fn shape(value: &Value) -> &'static str {
    match value {
        Value::List(_) => "slice",
        Value::Map(_) => "map",
        Value::Struct(_) | Value::Time(_) => "struct",
        Value::Nil(name) if name.starts_with("[]") => "slice",
        Value::Nil(name) if name.starts_with("map[") => "map",
        Value::Nil(_) => "struct",
        _ => "other",
    }
}

/// `lt`, `le`, `gt`, `ge`.
pub(crate) fn ordered(cells: &[Cell], order: Order) -> Result<bool, Failure> {
    let [one, other] = cells else {
        return Err(Failure::new("missing argument for comparison"));
    };
    let (one, other) = (&one.value, &other.value);
    let found = match (basic(one), basic(other)) {
        (Basic::Other, _) | (_, Basic::Other) | (Basic::Bool(_), Basic::Bool(_)) => {
            return Err(Failure::new("invalid type for comparison"));
        }
        (Basic::Int(one), Basic::Int(other)) => Some(one.cmp(&other)),
        (Basic::Text(one), Basic::Text(other)) => Some(one.cmp(other)),
        (Basic::Float(one), Basic::Float(other)) => one.partial_cmp(&other),
        _ => return Err(incompatible(one, other)),
    };
    Ok(match order {
        Order::Less => found == Some(Ordering::Less),
        Order::LessOrEqual => matches!(found, Some(Ordering::Less | Ordering::Equal)),
        Order::Greater => !matches!(found, Some(Ordering::Less | Ordering::Equal)),
        Order::GreaterOrEqual => found != Some(Ordering::Less),
    })
}
