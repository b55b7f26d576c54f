//! `storage.conf`: where a user's store is (containers-storage.conf(5)).

use super::Options;
use crate::error::{Error, Result};
use crate::file;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// What one file says of the stores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// The driver.
    pub driver: Option<String>,
    /// The store of root.
    pub root: Option<PathBuf>,
    /// The store of everybody else: `$HOME`, `$UID` and `$USER` stand for what they are.
    pub rootless_root: Option<String>,
    /// Read-only stores.
    pub additional: Vec<PathBuf>,
}

impl Configuration {
    /// Reads a file; `None` when it is not there.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let Some(text) = file::read_text(path)? else { return Ok(None) };
        Self::parse(path, &text).map(Some)
    }

    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self> {
        let refuse = |why: &dyn std::fmt::Display| Error::in_file(path, why);
        let table: Table = toml::from_str(text).map_err(|error| refuse(&error.message()))?;
        let mut found = Self::default();
        let Some(storage) = table.get("storage").and_then(Value::as_table) else {
            return Ok(found);
        };
        let string = |table: &Table, name: &str| match table.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(refuse(&format!("storage: `{name}` is no text"))),
        };
        found.driver = string(storage, "driver")?;
        found.root = string(storage, "graphroot")?.map(PathBuf::from);
        found.rootless_root = string(storage, "rootless_storage_path")?;
        let Some(options) = storage.get("options").and_then(Value::as_table) else {
            return Ok(found);
        };
        let inner = options.get(found.driver.as_deref().unwrap_or("overlay"));
        for table in [Some(options), inner.and_then(Value::as_table)].into_iter().flatten() {
            let stores = table.get("additionalimagestores").and_then(Value::as_array);
            for store in stores.into_iter().flatten() {
                let path = store.as_str().filter(|path| !path.is_empty());
                let path = path.ok_or_else(|| refuse(&"an additional store is no path"))?;
                found.additional.push(path.into());
            }
        }
        Ok(found)
    }

    /// The stores that it says. A user other than root gives the directory of its home, its number
    /// and name; `otherwise` is the store where the file names none.
    pub fn options(&self, user: Option<(&Path, u32, &str)>, otherwise: &Path) -> Options {
        let rootless = |text: &String| {
            let (home, uid, name) = user?;
            let text = text.replace("$HOME", &home.to_string_lossy());
            let text = text.replace("$UID", &uid.to_string()).replace("$USER", name);
            Some(PathBuf::from(text))
        };
        let root = match user {
            None => self.root.clone(),
            Some(_) => self.rootless_root.as_ref().and_then(rootless),
        };
        Options {
            root: root.unwrap_or_else(|| otherwise.to_owned()),
            driver: self.driver.clone(),
            additional: self.additional.clone(),
        }
    }
}
