//! Names without a registry.

use super::Registries;
use crate::error::{Error, ErrorKind, Result};
use oci::Reference;
use oci::reference::{Parts, looks_like_domain};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What happens to a short name without an alias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShortNameMode {
    /// With several registries the user chooses; without a terminal it is an error.
    Enforcing,
    /// As `Enforcing`, but without a terminal every registry is tried.
    #[default]
    Permissive,
    /// Every registry is tried.
    Disabled,
}

impl ShortNameMode {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "enforcing" => Some(Self::Enforcing),
            "permissive" | "" => Some(Self::Permissive),
            "disabled" => Some(Self::Disabled),
            _ => None,
        }
    }
}

/// What a name may stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Try these in their order.
    Try(Vec<Candidate>),
    /// Let the user choose one of these, and record the choice when its pull succeeds.
    Ask(Vec<Candidate>),
}

/// A name in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The name.
    pub reference: Reference,
    /// The file that led to it; `None` when the user wrote it in full.
    pub origin: Option<PathBuf>,
}

/// Whether a name has no registry: nothing that looks like a host stands before its first slash.
pub fn is_short(name: &str) -> bool {
    !name.split_once('/').is_some_and(|(first, _)| looks_like_domain(first))
}

impl Registries {
    /// Finds what a name stands for. `interactive`: the user can be asked.
    pub fn resolve(&self, name: &str, interactive: bool) -> Result<Resolution> {
        let parts = Parts::parse(name)?;
        if !is_short(name) {
            let reference = Reference::parse(name)?;
            return Ok(Resolution::Try(vec![Candidate { reference, origin: None }]));
        }
        let complete = |reference: &Reference| -> Result<Reference> {
            let tagged = match parts.tag {
                Some(tag) => reference.with_tag(tag)?,
                None => reference.clone(),
            };
            Ok(match parts.digest {
                Some(digest) => tagged.with_digest(digest),
                None => tagged,
            })
        };
        if let Some(alias) = self.aliases.get(parts.name) {
            let reference = complete(&alias.target)?;
            let origin = Some(alias.origin.clone());
            return Ok(Resolution::Try(vec![Candidate { reference, origin }]));
        }
        let mut candidates = Vec::new();
        for registry in &self.search {
            let reference = Reference::parse(&[registry, "/", parts.name].concat())?;
            let origin = Some(self.search_origin.clone());
            candidates.push(Candidate { reference: complete(&reference)?, origin });
        }
        let file = self.search_origin.display();
        let several = candidates.len() > 1;
        match self.mode {
            _ if candidates.is_empty() => {
                let text =
                    format!("`{name}` does not name a registry, and {file} has none to search");
                let hint = format!(
                    "name one (`docker.io/{name}`), or write `unqualified-search-registries = \
                     [\"docker.io\"]` into {file}"
                );
                Err(Error::new(ErrorKind::NotFound, text).with_hint(hint))
            }
            ShortNameMode::Enforcing | ShortNameMode::Permissive if several && interactive => {
                Ok(Resolution::Ask(candidates))
            }
            ShortNameMode::Enforcing if several => {
                let text = format!(
                    "`{name}` could be in any of {}, and there is no terminal to ask at",
                    self.search.join(", ")
                );
                let hint = format!(
                    "name the registry, or write `\"{}\" = \"{}\"` below [aliases] in {file}",
                    parts.name,
                    candidates[0].reference.name()
                );
                Err(Error::new(ErrorKind::Ambiguous, text).with_hint(hint))
            }
            _ => Ok(Resolution::Try(candidates)),
        }
    }
}

/// Records what a user chose for a short name. The file is replaced as a whole: a reader sees the old or
/// the new one. Of two that write at once, one choice is lost, and asked for again.
pub fn record_alias(path: &Path, name: &str, target: &Reference) -> Result<()> {
    let text = crate::file::read_text(path)?.unwrap_or_default();
    let mut aliases = super::read::read(path, &text)?.aliases;
    let parts = Parts::parse(name)?;
    aliases.retain(|(known, _)| known != parts.name);
    aliases.push((parts.name.to_owned(), Some(target.repository())));
    aliases.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut text = String::from("[aliases]\n");
    for (name, target) in &aliases {
        let target = target.as_ref().map(ToString::to_string).unwrap_or_default();
        // Neither has a character that TOML escapes.
        text.push_str(&format!("  \"{name}\" = \"{target}\"\n"));
    }
    let fail = |what: &str| {
        let what = what.to_owned();
        move |error: std::io::Error| Error::os(&what, path, &error)
    };
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory).map_err(fail("create the directory of"))?;
    let temporary = path.with_extension(format!("tmp{}", std::process::id()));
    let mut file = std::fs::File::create(&temporary).map_err(fail("create"))?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let renamed = written.and_then(|()| std::fs::rename(&temporary, path));
    if let Err(error) = renamed {
        // The failure before this one is the one to tell.
        let _ = std::fs::remove_file(&temporary);
        return Err(fail("write")(error));
    }
    Ok(())
}
