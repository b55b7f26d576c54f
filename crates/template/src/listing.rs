//! Lists as `--format` wants them: a table, or a template for each row.
//!
//! docker and podman read the same option a little differently. What works with one of them works
//! here:
//!
//! - `table TEMPLATE` has columns where the template has tabs (`\t` stands for one), and where it has
//!   none, at its spaces, as with podman;
//! - a template is for a row, or, when it has a `{{range .}}` as podman allows, for the list;
//! - a row ends with the end of a line, which is added where the template has none.

use crate::table::{Columns, align};
use crate::{Error, MissingKey, Template, Value};
use std::collections::BTreeMap;

/// What is wanted of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// The table of the verb, or one by a template.
    Table(Option<String>),
    /// JSON.
    Json,
    /// A template.
    Template(String),
}

impl Form {
    /// Reads the value of `--format`.
    pub fn read(format: &str) -> Self {
        match format.strip_prefix("table") {
            _ if format == "json" => Self::Json,
            Some(template) if template.trim().is_empty() => Self::Table(None),
            Some(template) => Self::Table(Some(template.into())),
            None => Self::Template(format.into()),
        }
    }
}

/// A list.
pub struct Listing<'a> {
    /// Names of fields, and what stands above their columns.
    pub headings: &'a [(&'a str, &'a str)],
    /// The template of the table that is shown when none is asked for.
    pub table: &'a str,
    /// The rows.
    pub rows: &'a [Value],
    /// Whether a table has headings.
    pub with_headings: bool,
    /// How columns are separated.
    pub columns: Columns,
}

impl Listing<'_> {
    /// The table of the verb.
    pub fn table(&self) -> Result<Vec<u8>, Error> {
        self.table_by(self.table)
    }

    /// A table by a template.
    pub fn table_by(&self, template: &str) -> Result<Vec<u8>, Error> {
        let template = columns_at_spaces(template.trim_matches(' '));
        let template = parse(&template)?;
        let mut out = Vec::new();
        let headings = self.headings.iter();
        let headings: BTreeMap<String, Value> =
            headings.map(|(name, text)| ((*name).to_string(), Value::from(*text))).collect();
        for row in self.rows {
            line(&template, row, &mut out)?;
        }
        if self.with_headings {
            let mut head = Vec::new();
            line(&template.for_headings(), &Value::map(headings), &mut head)?;
            head.append(&mut out);
            out = head;
        }
        // Cells come from registries, where anything may be written.
        Ok(align(&String::from_utf8_lossy(&out), self.columns).into_bytes())
    }

    /// Each row by a template, or all of them when it has a loop over them.
    pub fn template(&self, template: &str) -> Result<Vec<u8>, Error> {
        let parsed = parse(template.trim_matches(' '))?;
        if ranges_over_all(template) {
            return parsed.render(&Value::list(self.rows.iter().cloned()));
        }
        let mut out = Vec::new();
        for row in self.rows {
            line(&parsed, row, &mut out)?;
        }
        Ok(out)
    }
}

/// One value by a template, as `inspect` shows each. docker looks into the document where the typed
/// value has no such field, and then reports what is missing there.
pub fn inspect(template: &str, value: &Value) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    if line(&parse(template)?, value, &mut out).is_err() {
        out.clear();
        let strict = parse(template)?.missing_key(MissingKey::Error);
        line(&strict, &value.untyped(), &mut out)?;
    }
    Ok(out)
}

/// Reads a template as it is typed in a shell: `\t` and `\n` are a tab and the end of a line. When
/// that cannot be read (`{{printf "\n"}}` loses its quotes' sense), the text is taken as it is.
fn parse(text: &str) -> Result<Template, Error> {
    let unescaped = text.replace("\\t", "\t").replace("\\n", "\n");
    Template::parse("", &unescaped).or_else(|error| Template::parse("", text).map_err(|_| error))
}

/// Applies a template, and ends the line if it does not.
fn line(template: &Template, value: &Value, out: &mut Vec<u8>) -> Result<(), Error> {
    let start = out.len();
    template.render_to(value, out)?;
    if !out[start..].ends_with(b"\n") {
        out.push(b'\n');
    }
    Ok(())
}

/// A template without tabs has its columns at spaces.
fn columns_at_spaces(template: &str) -> String {
    let mut out = String::with_capacity(template.len());
    let mut has_tab = false;
    let mut rest = template;
    loop {
        let text = rest.find("{{").unwrap_or(rest.len());
        has_tab |= rest[..text].contains('\t') || rest[..text].contains("\\t");
        let mut previous = None;
        for character in rest[..text].chars() {
            if character != ' ' {
                out.push(character);
            } else if previous != Some(' ') {
                out.push('\t');
            }
            previous = Some(character);
        }
        rest = &rest[text..];
        if rest.is_empty() {
            break;
        }
        let action = rest.find("}}").map_or(rest.len(), |end| end + 2);
        out.push_str(&rest[..action]);
        rest = &rest[action..];
    }
    if has_tab { template.into() } else { out }
}

/// Whether there is a `{{range .}}`.
fn ranges_over_all(template: &str) -> bool {
    template.split("{{").skip(1).any(|action| {
        let action = action.split("}}").next().unwrap_or("");
        let mut words = action.trim_matches('-').split_whitespace();
        words.next() == Some("range") && words.next() == Some(".") && words.next().is_none()
    })
}
