//! `containers.conf`: what containers have of which nobody has said anything else, as podman's users keep it.
//!
//! Files in podman's order, a later one counting more:
//!
//! ```text
//! /usr/share/containers/containers.conf       by the name `podman` only: it repeats podman's own defaults
//! /etc/containers/containers.conf             and containers.conf.d/*.conf beside it
//! ~/.config/containers/containers.conf        and containers.conf.d/*.conf beside it
//! $CONTAINERS_CONF                            instead of all these
//! --module FILE                               (repeated)
//! $CONTAINERS_CONF_OVERRIDE
//! ```
//!
//! A list takes the place of an earlier one, unless one of them has said `{append=true}`. What is no TOML, or of
//! another type than the key has, is a mistake with its file and line; keys that nobody knows are for others.

mod keys;
mod places;
mod read;

pub(crate) use keys::Key;
pub(crate) use places::{Places, module};

use crate::failure::{Failure, Result};
use keys::Kind;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What to do about a file with a mistake.
pub(crate) const INSTEAD: &str =
    "correct the file; CONTAINERS_CONF=/dev/null leaves all of them out";

/// What all files come to.
#[derive(Debug, Default)]
pub(crate) struct Conf {
    settings: BTreeMap<Key, Setting>,
    /// What `--debug` tells: keys that are not known.
    notes: Vec<String>,
}

/// A key's value, and where it was said last.
#[derive(Debug)]
struct Setting {
    value: Value,
    origin: Origin,
    /// Lists of later files are added.
    appends: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Text(String),
    Flag(bool),
    Number(i64),
    List(Vec<String>),
}

#[derive(Clone, Debug)]
struct Origin {
    file: Arc<Path>,
    line: usize,
}

impl Origin {
    fn mistake(&self, what: impl std::fmt::Display) -> Failure {
        Failure::new(format!("{}: line {}: {what}", self.file.display(), self.line)).hint(INSTEAD)
    }
}

impl Conf {
    /// Reads the files that are there; those that somebody has named have to be.
    pub(crate) fn load(places: &Places) -> Result<Self> {
        let mut conf = Self::default();
        for file in places.files()? {
            conf.read(&file.path, file.is_named)?;
        }
        Ok(conf)
    }

    /// What nobody knows of the files.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// A text. One that is empty says nothing, as podman has it.
    pub(crate) fn text(&self, key: Key) -> Option<&str> {
        match &self.settings.get(&key)?.value {
            Value::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    pub(crate) fn flag(&self, key: Key) -> Option<bool> {
        match self.settings.get(&key)?.value {
            Value::Flag(flag) => Some(flag),
            _ => None,
        }
    }

    pub(crate) fn number(&self, key: Key) -> Option<i64> {
        match self.settings.get(&key)?.value {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    pub(crate) fn list(&self, key: Key) -> Option<&[String]> {
        match &self.settings.get(&key)?.value {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    /// What is wrong with a key's value, by its file and line.
    pub(crate) fn mistake(&self, key: Key, failure: Failure) -> Failure {
        match self.settings.get(&key) {
            Some(setting) => setting.origin.mistake(format!("{key}: {}", failure.message())),
            None => failure,
        }
    }

    fn set(&mut self, key: Key, value: Value, appends: Option<bool>, origin: Origin) {
        let known = self.settings.remove(&key);
        let appends = appends.unwrap_or(known.as_ref().is_some_and(|known| known.appends));
        let value = match (value, known.map(|known| known.value)) {
            (Value::List(new), Some(Value::List(mut list))) if appends => {
                list.extend(new);
                Value::List(list)
            }
            (value, _) => value,
        };
        self.settings.insert(key, Setting { value, origin, appends });
    }
}

#[cfg(test)]
mod tests;
