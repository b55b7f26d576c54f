//! The text of one `registries.conf`.

use super::entry::{Mirror, PullFrom, Registry};
use super::short::{ShortNameMode, is_short};
use crate::error::{Error, ErrorKind, Result};
use oci::Reference;
use oci::reference::{Parts, is_domain};
use std::path::Path;
use toml::{Table, Value};

/// What one file says.
#[derive(Default)]
pub(super) struct Content {
    pub(super) entries: Vec<Registry>,
    pub(super) search: Option<Vec<String>>,
    pub(super) mode: Option<ShortNameMode>,
    /// `None` takes an alias away.
    pub(super) aliases: Vec<(String, Option<Reference>)>,
    pub(super) credential_helpers: Option<Vec<String>>,
    pub(super) warnings: Vec<String>,
}

/// Fields of entries, and those of version 1.
const FIELDS: [&str; 7] = [
    "prefix",
    "location",
    "insecure",
    "blocked",
    "mirror",
    "mirror-by-digest-only",
    "pull-from-mirror",
];
const MIRROR_FIELDS: [&str; 3] = ["location", "insecure", "pull-from-mirror"];

/// Reads one file.
pub(super) fn read(path: &Path, text: &str) -> Result<Content> {
    let table: Table = toml::from_str(text).map_err(|error: toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = text.get(..at).unwrap_or(text).lines().count().max(1);
        Error::in_file(path, format!("line {line}: {}", error.message()))
    })?;
    let mut reader = FileReader { path, content: Content::default() };
    refuse_version_1(path, &table)?;
    for (name, value) in &table {
        reader.field(name, value)?;
    }
    reader.refuse_conflicts()?;
    Ok(reader.content)
}

/// Version 1 knew neither mirrors nor prefixes: nobody can say what mixing both would mean.
fn refuse_version_1(path: &Path, table: &Table) -> Result<()> {
    let Some(Value::Table(old)) = table.get("registries") else { return Ok(()) };
    let lists = old.values().filter_map(|part| part.get("registries")?.as_array());
    let says_something = lists.into_iter().any(|list| !list.is_empty());
    if !says_something && table.len() == 1 {
        return Ok(());
    }
    let text = format!("{}: has the format of version 1, which is not read", path.display());
    let hint = "write [registries.search] as `unqualified-search-registries = [...]`, and each \
                of [registries.insecure] and [registries.block] as [[registry]] with \
                `location = ...` and `insecure = true` or `blocked = true`";
    Err(Error::new(ErrorKind::Unsupported, text).with_hint(hint))
}

struct FileReader<'a> {
    path: &'a Path,
    content: Content,
}

impl FileReader<'_> {
    fn refuse(&self, what: impl std::fmt::Display) -> Error {
        Error::in_file(self.path, what)
    }

    fn field(&mut self, name: &str, value: &Value) -> Result<()> {
        match name {
            "unqualified-search-registries" => {
                let mut search = Vec::new();
                for entry in self.strings(name, value)? {
                    let domain = self.location(name, &entry)?;
                    if !is_domain(&domain) {
                        return Err(self.refuse(format!("{name}: `{entry}` is no registry's name")));
                    }
                    search.push(domain);
                }
                self.content.search = Some(search);
            }
            "short-name-mode" => {
                let mode = self.string(name, value)?;
                self.content.mode = Some(ShortNameMode::from_name(&mode).ok_or_else(|| {
                    let expected = "`enforcing`, `permissive` or `disabled`";
                    self.refuse(format!("{name}: `{mode}`, expected {expected}"))
                })?);
            }
            "credential-helpers" => {
                self.content.credential_helpers = Some(self.strings(name, value)?);
            }
            "aliases" => self.aliases(self.table(name, value)?)?,
            "registry" => {
                for entry in self.tables(name, value)? {
                    let entry = self.entry(entry)?;
                    self.content.entries.push(entry);
                }
            }
            "registries" | "additional-layer-store-auth-helper" => {}
            other => self.warn(&format!("`{other}` is not known")),
        }
        Ok(())
    }

    fn warn(&mut self, what: &str) {
        self.content.warnings.push(format!("{}: {what}", self.path.display()));
    }

    fn aliases(&mut self, table: &Table) -> Result<()> {
        for (name, value) in table {
            let value = self.string("aliases", value)?;
            let plain = Parts::parse(name)
                .ok()
                .filter(|parts| parts.tag.is_none() && parts.digest.is_none() && is_short(name));
            if plain.is_none() {
                return Err(self.refuse(format!(
                    "aliases: `{name}` is no short name: it has a registry, a tag or a digest"
                )));
            }
            let target = match value.is_empty() {
                true => None,
                false => {
                    let target = Reference::parse(&value).map_err(|error| self.refuse(error))?;
                    if is_short(&value) || target.tag().is_some() || target.digest().is_some() {
                        return Err(self.refuse(format!(
                            "aliases: `{value}` must name a registry, and no tag or digest"
                        )));
                    }
                    Some(target)
                }
            };
            self.content.aliases.push((name.clone(), target));
        }
        Ok(())
    }

    fn entry(&mut self, table: &Table) -> Result<Registry> {
        let mut entry = Registry { origin: self.path.to_owned(), ..Registry::default() };
        for (name, value) in table {
            match &**name {
                "prefix" => entry.prefix = self.string(name, value)?,
                "location" => entry.location = self.string(name, value)?,
                "insecure" => entry.insecure = self.boolean(name, value)?,
                "blocked" => entry.blocked = self.boolean(name, value)?,
                "mirror-by-digest-only" => {
                    entry.mirror_by_digest_only = self.boolean(name, value)?
                }
                "mirror" => {
                    for mirror in self.tables(name, value)? {
                        let mirror = self.mirror(mirror)?;
                        entry.mirrors.push(mirror);
                    }
                }
                "pull-from-mirror" => {
                    return Err(self.refuse("registry.pull-from-mirror: belongs into a mirror"));
                }
                other => self.warn(&format!("registry.{other}: is not known, expected {FIELDS:?}")),
            }
        }
        self.check(&mut entry)?;
        Ok(entry)
    }

    fn check(&self, entry: &mut Registry) -> Result<()> {
        let wildcard = entry.prefix.strip_prefix("*.");
        if entry.location.is_empty() && wildcard.is_none() {
            return Err(self.refuse("registry.location: is not there, and prefix is not *.DOMAIN"));
        }
        if !entry.location.is_empty() {
            entry.location = self.location("registry.location", &entry.location)?;
        }
        if let Some(domain) = wildcard {
            if !is_domain(domain) || domain.contains(':') {
                let prefix = &entry.prefix;
                return Err(self.refuse(format!("registry.prefix: `{prefix}`, expected *.DOMAIN")));
            }
        } else if entry.prefix.is_empty() {
            entry.prefix = entry.location.clone();
        } else {
            entry.prefix = self.location("registry.prefix", &entry.prefix)?;
        }
        let narrow = entry.mirrors.iter().any(|mirror| mirror.pull != PullFrom::All);
        if entry.mirror_by_digest_only && narrow {
            return Err(self.refuse(format!(
                "registry {}: mirror-by-digest-only and pull-from-mirror exclude each other",
                entry.prefix
            )));
        }
        Ok(())
    }

    fn mirror(&mut self, table: &Table) -> Result<Mirror> {
        let (mut location, mut insecure, mut pull) = (None, false, PullFrom::All);
        for (name, value) in table {
            match &**name {
                "location" => location = Some(self.string(name, value)?),
                "insecure" => insecure = self.boolean(name, value)?,
                "pull-from-mirror" => {
                    pull = match &*self.string(name, value)? {
                        "" | "all" => PullFrom::All,
                        "digest-only" => PullFrom::DigestOnly,
                        "tag-only" => PullFrom::TagOnly,
                        other => {
                            return Err(self.refuse(format!(
                                "mirror.pull-from-mirror: `{other}`, expected `all`, \
                                 `digest-only` or `tag-only`"
                            )));
                        }
                    }
                }
                other => {
                    self.warn(&format!("mirror.{other}: is not known, expected {MIRROR_FIELDS:?}"))
                }
            }
        }
        let location = location.filter(|location| !location.is_empty());
        let location = location.ok_or_else(|| self.refuse("mirror.location: is not there"))?;
        Ok(Mirror { location: self.location("mirror.location", &location)?, insecure, pull })
    }

    /// Takes slashes at the end away.
    fn location(&self, field: &str, text: &str) -> Result<String> {
        let trimmed = text.trim_end_matches('/');
        if trimmed.is_empty() {
            return Err(self.refuse(format!("{field}: is empty")));
        }
        if trimmed.starts_with("http://") || trimmed.starts_with("https://") {
            return Err(self.refuse(format!("{field}: `{text}` must not have a scheme")));
        }
        Ok(trimmed.to_owned())
    }

    /// One place may have several prefixes, but it is insecure or blocked for all of them.
    fn refuse_conflicts(&self) -> Result<()> {
        let entries = &self.content.entries;
        for (index, one) in entries.iter().enumerate().filter(|(_, one)| !one.location.is_empty()) {
            for other in entries[..index].iter().filter(|it| it.location == one.location) {
                let field = match () {
                    () if one.insecure != other.insecure => "insecure",
                    () if one.blocked != other.blocked => "blocked",
                    () => continue,
                };
                return Err(self.refuse(format!(
                    "registry {}: is there twice, and `{field}` says both",
                    one.location
                )));
            }
        }
        Ok(())
    }

    fn mistyped(&self, name: &str, value: &Value, expected: &str) -> Error {
        self.refuse(format!("{name}: {} instead of {expected}", value.type_str()))
    }

    fn string(&self, name: &str, value: &Value) -> Result<String> {
        let text = value.as_str().ok_or_else(|| self.mistyped(name, value, "a string"))?;
        Ok(text.to_owned())
    }

    fn boolean(&self, name: &str, value: &Value) -> Result<bool> {
        value.as_bool().ok_or_else(|| self.mistyped(name, value, "true or false"))
    }

    fn table<'v>(&self, name: &str, value: &'v Value) -> Result<&'v Table> {
        value.as_table().ok_or_else(|| self.mistyped(name, value, "a table"))
    }

    fn tables<'v>(&self, name: &str, value: &'v Value) -> Result<Vec<&'v Table>> {
        let list = value.as_array().ok_or_else(|| self.mistyped(name, value, "tables"))?;
        list.iter().map(|element| self.table(name, element)).collect()
    }

    fn strings(&self, name: &str, value: &Value) -> Result<Vec<String>> {
        let list = value.as_array().ok_or_else(|| self.mistyped(name, value, "a list"))?;
        list.iter().map(|element| self.string(name, element)).collect()
    }
}
