//! Go's `text/template`, as docker, podman and skopeo offer it with `--format`.
//!
//! Text and values go in, text comes out; nothing here opens, prints or looks around. Templates come
//! from users, or from documents of others: what one may cost is limited ([`limits`]), and no text
//! makes it panic.
//!
//! ```
//! use template::{Field, Struct, Template, Value};
//!
//! let image = Struct::value("*image", vec![Field::new("ID", "4bcff63911fc")]);
//! let text = Template::parse("", "{{.ID | printf \"%.6s\"}}").unwrap().render(&image).unwrap();
//! assert_eq!(text, b"4bcff6");
//! ```
//!
//! All of the language is here: actions with trim markers, comments, pipelines, variables, `if`,
//! `with`, `range` with `break` and `continue`, `define`, `template`, `block`, every literal but
//! complex numbers, Go's functions, and docker's `json split join title lower upper pad truncate`
//! (podman's are the same). Errors are Go's sentences. `tests/template.rs` holds it against outputs
//! of the real package.
//!
//! Beside it stands what output is made of: [`listing`] reads `--format`, [`table`] aligns columns,
//! [`units`] writes sizes and durations for people, [`Time`] and [`Zone`] show points in time.
//!
//! What differs from Go, and is meant to: a field of a struct is also found by its name in JSON;
//! `join` takes any list, as docker's does (podman's takes texts only); addresses are not printed;
//! the limits.

mod compare;
mod error;
mod escape;
mod eval;
mod functions;
mod json;
mod layout;
mod lex;
pub mod limits;
pub mod listing;
mod literal;
mod methods;
mod parse;
mod print;
pub mod table;
mod texts;
mod time;
mod tree;
pub mod units;
mod value;
mod zone;

pub use error::{Error, ErrorKind};
pub use limits::Limits;
pub use time::{Civil, Time};
pub use value::{Element, Field, List, Map, Struct, Value};
pub use zone::{ZONE_LIMIT_BYTES, Zone};

/// What a key that a map has not stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingKey {
    /// `<no value>`.
    #[default]
    NoValue,
    /// An error: docker's choice where it looks into a document without types.
    Error,
}

/// A template that is ready to run.
#[derive(Debug)]
pub struct Template {
    name: String,
    text: String,
    templates: tree::Templates,
    missing_key: MissingKey,
    limits: Limits,
    headings: bool,
}

impl Template {
    /// Reads a text. The name is what messages call it; docker's has none, podman's is the verb.
    pub fn parse(name: &str, text: &str) -> Result<Self, Error> {
        let templates = parse::parse(name, text)?;
        Ok(Self {
            name: name.into(),
            text: text.into(),
            templates,
            missing_key: MissingKey::default(),
            limits: Limits::default(),
            headings: false,
        })
    }

    /// The same template with another meaning of keys that are not there.
    pub fn missing_key(self, missing_key: MissingKey) -> Self {
        Self { missing_key, ..self }
    }

    /// The same template with other limits.
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The same template for the headings of a table: functions that change texts leave them alone.
    pub fn for_headings(self) -> Self {
        Self { headings: true, ..self }
    }

    /// Applies it to a value.
    pub fn render(&self, data: &Value) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        self.render_to(data, &mut out)?;
        Ok(out)
    }

    /// Applies it to a value. After an error the text up to it is there, as in Go.
    pub fn render_to(&self, data: &Value, out: &mut Vec<u8>) -> Result<(), Error> {
        let Self { name, text, templates, missing_key, limits, headings } = self;
        let source = eval::Source { name, text, templates };
        let settings =
            eval::Settings { missing_key: *missing_key, limits: *limits, headings: *headings };
        eval::run(&source, data, settings, out)
    }
}

impl Value {
    /// JSON in one line, as Go's encoder writes it without escapes for HTML.
    pub fn json(&self) -> Vec<u8> {
        json::compact(self, usize::MAX).unwrap_or_default()
    }

    /// JSON in several lines, each level indented by some more spaces.
    pub fn json_indented(&self, indent: usize) -> Vec<u8> {
        json::indented(self, indent)
    }
}
