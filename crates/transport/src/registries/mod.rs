//! `registries.conf`, version 2: where images really are (containers-registries.conf(5)).
//!
//! A file and drop-ins behind it, each of which may replace entries. An entry is found by the longest
//! prefix of a name, and says which mirrors are asked, and where the registry itself is.

mod entry;
mod read;
mod short;

#[cfg(test)]
mod tests;

pub use entry::{Mirror, PullFrom, Registry, Source};
pub use short::{Candidate, Resolution, ShortNameMode, is_short, record_alias};

use crate::error::{Error, ErrorKind, Result};
use oci::Reference;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Files of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// `registries.conf`.
    pub main: PathBuf,
    /// The user named it: it has to be there.
    pub must_exist: bool,
    /// Directories with drop-ins, in the order in which they are read.
    pub drop_ins: Vec<PathBuf>,
    /// What users chose before: `short-name-aliases.conf`. Its aliases come before all others.
    pub chosen_aliases: Option<PathBuf>,
}

/// The configuration of all registries.
#[derive(Clone, Debug, Default)]
pub struct Registries {
    entries: Vec<Registry>,
    search: Vec<String>,
    /// The file that has set `search`, or that would be the one to do it.
    search_origin: PathBuf,
    mode: ShortNameMode,
    aliases: BTreeMap<String, Alias>,
    credential_helpers: Vec<String>,
    warnings: Vec<String>,
}

/// What a short name stands for.
#[derive(Clone, Debug)]
struct Alias {
    target: Reference,
    origin: PathBuf,
}

impl Registries {
    /// Reads one file.
    pub(crate) fn read(path: &Path, text: &str) -> Result<Self> {
        let mut all = Self::default();
        all.add(path, text).map(|()| all)
    }

    /// Reads the configuration.
    pub fn load(files: &Files) -> Result<Self> {
        let mut all = Self { search_origin: files.main.clone(), ..Self::default() };
        match crate::file::read_text(&files.main)? {
            Some(text) => all.add(&files.main, &text)?,
            None if files.must_exist => {
                let text = format!("{}: there is no such file", files.main.display());
                return Err(Error::new(ErrorKind::NotFound, text));
            }
            None => {}
        }
        for directory in &files.drop_ins {
            for path in crate::file::list(directory, "conf")? {
                if let Some(text) = crate::file::read_text(&path)? {
                    all.add(&path, &text)?;
                }
            }
        }
        if let Some(path) = &files.chosen_aliases
            && let Some(text) = crate::file::read_text(path)?
        {
            let chosen = read::read(path, &text)?;
            all.add_aliases(path, chosen.aliases);
        }
        all.entries.sort_by(|one, other| one.prefix.cmp(&other.prefix));
        Ok(all)
    }

    /// Adds a file behind those that were read before.
    fn add(&mut self, path: &Path, text: &str) -> Result<()> {
        let file = read::read(path, text)?;
        for entry in file.entries {
            match self.entries.iter_mut().find(|known| known.prefix == entry.prefix) {
                Some(known) => *known = entry,
                None => self.entries.push(entry),
            }
        }
        if let Some(search) = file.search {
            self.search = search;
            self.search_origin = path.to_owned();
        }
        if let Some(mode) = file.mode {
            self.mode = mode;
        }
        if let Some(helpers) = file.credential_helpers {
            self.credential_helpers = helpers;
        }
        self.add_aliases(path, file.aliases);
        self.warnings.extend(file.warnings);
        Ok(())
    }

    fn add_aliases(&mut self, path: &Path, aliases: Vec<(String, Option<Reference>)>) {
        for (name, target) in aliases {
            match target {
                Some(target) => {
                    self.aliases.insert(name, Alias { target, origin: path.to_owned() });
                }
                None => drop(self.aliases.remove(&name)),
            }
        }
    }

    /// The entries, sorted by their prefixes.
    pub fn entries(&self) -> &[Registry] {
        &self.entries
    }

    /// Where names without a registry are looked for.
    pub fn search(&self) -> &[String] {
        &self.search
    }

    /// Programs that know credentials; without any, files are looked at.
    pub fn credential_helpers(&self) -> &[String] {
        &self.credential_helpers
    }

    /// Fields that nobody knows, for the user to see.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The entry with the longest prefix of a name.
    pub fn find(&self, name: &str) -> Option<&Registry> {
        let matching = self.entries.iter().filter(|entry| entry.matched(name).is_some());
        matching.max_by_key(|entry| entry.prefix.len())
    }

    /// Where to pull an image from, in the order in which it is tried.
    pub fn pull_sources(&self, reference: &Reference) -> Result<Vec<Source>> {
        match self.find(&reference.to_string()) {
            Some(entry) => entry.pull_sources(reference),
            None => {
                Ok(vec![Source { reference: reference.clone(), insecure: false, is_mirror: false }])
            }
        }
    }

    /// Where to push an image to: neither mirrors nor other places, but what is blocked or insecure is so.
    pub fn push_target(&self, reference: &Reference) -> Result<Source> {
        let entry = self.find(&reference.to_string());
        if let Some(entry) = entry {
            entry.refuse_blocked(reference)?;
        }
        let insecure = entry.is_some_and(|entry| entry.insecure);
        Ok(Source { reference: reference.clone(), insecure, is_mirror: false })
    }
}
