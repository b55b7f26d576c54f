//! One file: TOML, of which the keys that count are taken.

use super::{Conf, INSTEAD, Key, Kind, Origin, Value};
use crate::failure::{Failure, Result};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;
use toml::de::{DeTable, DeValue};

/// A larger file is none.
const SIZE_LIMIT_BYTES: u64 = 1 << 20;
/// Nobody writes so many into a list, nor appends them.
const LIST_LIMIT: usize = 10_000;

impl Conf {
    /// Reads a file, which has to be there if it `is_named`.
    pub(super) fn read(&mut self, path: &Path, is_named: bool) -> Result<()> {
        let failed = |why: &dyn std::fmt::Display| {
            Failure::new(format!("{}: {why}", path.display())).hint(INSTEAD)
        };
        let file = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound && !is_named => return Ok(()),
            opened => opened.map_err(|error| failed(&error))?,
        };
        let mut text = String::new();
        let size = file.take(SIZE_LIMIT_BYTES + 1).read_to_string(&mut text);
        if size.map_err(|error| failed(&error))? as u64 > SIZE_LIMIT_BYTES {
            return Err(failed(&"it is larger than 1 MiB"));
        }
        self.read_text(path, &text)
    }

    /// Takes what a file says.
    pub(super) fn read_text(&mut self, path: &Path, text: &str) -> Result<()> {
        let file: Arc<Path> = path.into();
        let origin = |at: usize| Origin { file: file.clone(), line: line_of(text, at) };
        let document = DeTable::parse(text).map_err(|error| {
            origin(error.span().map_or(0, |span| span.start)).mistake(error.message())
        })?;
        for (table, value) in document.get_ref().iter() {
            let Some(settings) = value.get_ref().as_table() else { continue };
            for (name, value) in settings.iter() {
                let origin = origin(name.span().start);
                match Key::find(table.get_ref(), name.get_ref()) {
                    Some((key, kind)) => self.take(key, kind, value.get_ref(), origin)?,
                    None => self.notes.push(format!(
                        "{}: line {}: {}.{} does not count here",
                        path.display(),
                        origin.line,
                        table.get_ref(),
                        name.get_ref()
                    )),
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, key: Key, kind: Kind, value: &DeValue<'_>, origin: Origin) -> Result<()> {
        let wrong = || origin.mistake(format!("{key}: expected {}", kind.expected()));
        let mut appends = None;
        let value = match kind {
            Kind::Text => Value::Text(value.as_str().ok_or_else(wrong)?.to_owned()),
            Kind::Flag => Value::Flag(value.as_bool().ok_or_else(wrong)?),
            Kind::Number => {
                let number = value.as_integer().ok_or_else(wrong)?;
                let number = i64::from_str_radix(number.as_str(), number.radix());
                Value::Number(number.map_err(|_| wrong())?)
            }
            Kind::List => {
                let mut list = Vec::new();
                for item in value.as_array().ok_or_else(wrong)?.iter() {
                    match (item.get_ref().as_str(), item.get_ref().as_table()) {
                        (Some(text), _) => list.push(text.to_owned()),
                        (None, Some(attributes)) => {
                            appends = Some(append(attributes).ok_or_else(|| {
                                origin.mistake(format!("{key}: a list knows {{append=true}} only"))
                            })?);
                        }
                        (None, None) => return Err(wrong()),
                    }
                }
                Value::List(list)
            }
        };
        let before = self.list(key).map_or(0, <[String]>::len);
        if let Value::List(list) = &value
            && before + list.len() > LIST_LIMIT
        {
            return Err(origin.mistake(format!("{key}: it has more than {LIST_LIMIT} entries")));
        }
        self.set(key, value, appends, origin);
        Ok(())
    }
}

/// What `{append=...}` says.
fn append(attributes: &DeTable<'_>) -> Option<bool> {
    let mut said = None;
    for (name, value) in attributes.iter() {
        said = Some(value.get_ref().as_bool().filter(|_| name.get_ref() == "append")?);
    }
    said
}

/// The line of a byte, from 1 on.
fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}
