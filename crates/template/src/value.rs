//! Values that templates look into.
//!
//! Not `serde_json::Value`: what a template prints depends on more than JSON knows. A field that is
//! missing is an error in a struct and `<no value>` in a map; a field's name (`ID`) is not its name in
//! JSON (`Id`); a missing label is an empty text, because labels are texts; a time has methods; text
//! is bytes, so that it can be cut anywhere.

use crate::time::Time;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A value. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// Nothing, of no type: `null` in a document without a schema.
    #[default]
    Null,
    /// Nothing, of a type that Go writes like this: `*time.Time`, `[]string`, `map[string]string`.
    Nil(&'static str),
    /// True or false.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// An integer that is never negative.
    Uint(u64),
    /// One byte of a text.
    Byte(u8),
    /// A floating-point number.
    Float(f64),
    /// A text. Bytes, as in Go: a template may cut it in the middle of a character.
    Text(Arc<[u8]>),
    /// A list.
    List(Arc<List>),
    /// A map from texts.
    Map(Arc<Map>),
    /// A struct: a field that it has not is an error.
    Struct(Arc<Struct>),
    /// A point in time, with its methods.
    Time(Arc<Time>),
    /// A method with one text as argument, that looks it up: `.Label "name"`.
    Lookup(Arc<BTreeMap<String, String>>),
}

/// What a list or map holds by its type: decides what is printed for what is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Element {
    /// Anything.
    #[default]
    Any,
    /// Texts.
    Text,
    /// Integers.
    Int,
    /// Some other type, by the name that Go gives it.
    Named(&'static str),
}

impl Element {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Any => "interface {}",
            Self::Text => "string",
            Self::Int => "int",
            Self::Named(name) => name,
        }
    }

    /// What is found where nothing is.
    pub(crate) fn zero(self) -> Value {
        match self {
            Self::Text => Value::from(""),
            Self::Int => Value::Int(0),
            Self::Named(name) if is_nillable(name) => Value::Nil(name),
            Self::Any | Self::Named(_) => Value::Null,
        }
    }
}

fn is_nillable(name: &str) -> bool {
    name.starts_with(['*', '[']) || name.starts_with("map[")
}

/// A list.
#[derive(Clone, Debug, Default)]
pub struct List {
    /// What it holds.
    pub element: Element,
    /// Its elements.
    pub items: Vec<Value>,
}

/// A map. Go walks and prints maps in the order of their keys.
#[derive(Clone, Debug, Default)]
pub struct Map {
    /// What it holds.
    pub element: Element,
    /// Its entries.
    pub entries: BTreeMap<String, Value>,
}

/// A struct.
#[derive(Clone, Debug)]
pub struct Struct {
    /// The name of its type, for messages. With a star in front it is a pointer, which is printed
    /// with a `&`.
    pub type_name: &'static str,
    /// Its fields, in the order in which they are printed and written as JSON.
    pub fields: Vec<Field>,
}

/// A field of a struct.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name in templates.
    pub name: &'static str,
    /// Its name in JSON; without one it is not written.
    pub json: Option<&'static str>,
    /// Whether it is left out of JSON when it is empty.
    pub omit_empty: bool,
    /// What it holds.
    pub value: Value,
}

impl Field {
    /// A field with one name, always written.
    pub fn new(name: &'static str, value: impl Into<Value>) -> Self {
        Self { name, json: Some(name), omit_empty: false, value: value.into() }
    }

    /// A field with another name in JSON.
    pub fn renamed(name: &'static str, json: &'static str, value: impl Into<Value>) -> Self {
        Self { json: Some(json), ..Self::new(name, value) }
    }

    /// The same field, for templates only.
    pub fn hide(self) -> Self {
        Self { json: None, ..self }
    }

    /// The same field, left out of JSON when it is empty.
    pub fn omit_empty(self) -> Self {
        Self { omit_empty: true, ..self }
    }

    /// A field that is for templates only, as a method is.
    pub fn hidden(name: &'static str, value: impl Into<Value>) -> Self {
        Self { json: None, ..Self::new(name, value) }
    }
}

impl Struct {
    /// A struct as a value.
    pub fn value(type_name: &'static str, fields: Vec<Field>) -> Value {
        Value::Struct(Arc::new(Self { type_name, fields }))
    }

    /// The field of this name; else, as docker finds them by looking into the document after the
    /// struct, the one that has this name in JSON.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        let named = self.fields.iter().find(|field| field.name == name);
        let field = named.or_else(|| self.fields.iter().find(|field| field.json == Some(name)))?;
        Some(&field.value)
    }
}

impl Value {
    /// A list of anything.
    pub fn list(items: impl IntoIterator<Item = Value>) -> Self {
        Self::List(Arc::new(List { element: Element::Any, items: items.into_iter().collect() }))
    }

    /// A list of texts.
    pub fn texts<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> Self {
        let items = items.into_iter().map(|item| Self::from(item.as_ref())).collect();
        Self::List(Arc::new(List { element: Element::Text, items }))
    }

    /// A list of one type, by the name that Go gives it.
    pub fn list_of(type_name: &'static str, items: Vec<Value>) -> Self {
        Self::List(Arc::new(List { element: Element::Named(type_name), items }))
    }

    /// A map to texts, as labels and annotations are.
    pub fn text_map<K: Into<String>, V: AsRef<str>>(
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let entries =
            entries.into_iter().map(|(k, v)| (k.into(), Self::from(v.as_ref()))).collect();
        Self::Map(Arc::new(Map { element: Element::Text, entries }))
    }

    /// A map to anything.
    pub fn map(entries: BTreeMap<String, Value>) -> Self {
        Self::Map(Arc::new(Map { element: Element::Any, entries }))
    }

    /// The same without types: every struct becomes a map with its names in JSON. What docker
    /// looks into when the typed value has no such field.
    pub fn untyped(&self) -> Self {
        match self {
            Self::Nil(_) | Self::Lookup(_) => Self::Null,
            Self::List(list) => Self::list(list.items.iter().map(Self::untyped)),
            Self::Map(map) => {
                let entries = map.entries.iter();
                Self::map(entries.map(|(name, value)| (name.clone(), value.untyped())).collect())
            }
            Self::Struct(whole) => Self::map(
                whole.written().map(|(name, value)| (name.to_string(), value.untyped())).collect(),
            ),
            Self::Time(time) => Self::from(time.rfc3339()),
            other => other.clone(),
        }
    }

    /// The name that Go gives its type.
    pub(crate) fn type_name(&self) -> String {
        match self {
            Self::Null => "<nil>".into(),
            Self::Nil(name) => (*name).into(),
            Self::Bool(_) => "bool".into(),
            Self::Int(_) => "int".into(),
            Self::Uint(_) => "uint64".into(),
            Self::Byte(_) => "uint8".into(),
            Self::Float(_) => "float64".into(),
            Self::Text(_) => "string".into(),
            Self::List(list) => format!("[]{}", list.element.name()),
            Self::Map(map) => format!("map[string]{}", map.element.name()),
            Self::Struct(whole) => whole.type_name.into(),
            Self::Time(_) => "time.Time".into(),
            Self::Lookup(_) => "func(string) string".into(),
        }
    }

    /// Whether `if` takes it as true.
    pub(crate) fn is_true(&self) -> bool {
        match self {
            Self::Null | Self::Nil(_) => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Uint(value) => *value != 0,
            Self::Byte(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(list) => !list.items.is_empty(),
            Self::Map(map) => !map.entries.is_empty(),
            Self::Struct(_) | Self::Time(_) | Self::Lookup(_) => true,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

impl Struct {
    /// Names and values as they are in JSON.
    pub(crate) fn written(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.fields.iter().filter_map(|field| {
            let left_out = field.omit_empty && field.value.is_empty();
            let value = (!left_out).then_some(&field.value);
            field.json.zip(value)
        })
    }
}

impl Value {
    /// What `omitempty` leaves out: as false for `if`, but a struct or time is never empty.
    fn is_empty(&self) -> bool {
        !self.is_true()
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.as_bytes().into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into_bytes().into())
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<Vec<u8>> for Value {
    fn from(text: Vec<u8>) -> Self {
        Self::Text(text.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        i64::try_from(value).map_or(Self::Uint(value), Self::Int)
    }
}

impl From<Time> for Value {
    fn from(time: Time) -> Self {
        Self::Time(Arc::new(time))
    }
}

/// A document without a schema. Integers stay integers, as in the structs of docker and podman.
impl From<&serde_json::Value> for Value {
    fn from(value: &serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(value) => Self::Bool(*value),
            serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(value), _) => Self::Int(value),
                (_, Some(value)) => Self::Uint(value),
                _ => Self::Float(number.as_f64().unwrap_or(0.0)),
            },
            serde_json::Value::String(text) => Self::from(text),
            serde_json::Value::Array(items) => Self::list(items.iter().map(Self::from)),
            serde_json::Value::Object(members) => Self::map(
                members.iter().map(|(name, value)| (name.clone(), Self::from(value))).collect(),
            ),
        }
    }
}
