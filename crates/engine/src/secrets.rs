//! Secrets: small texts that containers get, and nobody else sees.
//!
//! ```text
//! ROOT/secrets/NAME/secret.json   its record; there once the secret is whole
//! ROOT/secrets/NAME/data          the text, 0600
//! ```
//!
//! A container has a secret by its name, and gets what it is at each start: from a file system in memory that only the
//! container sees, or as a variable. It is in no record of the container, and so in nothing that is made of one.

use crate::error::{Error, Kind, Result};
use crate::place::{self, Engine};
use crate::record::{Config, SecretUse};
use crate::{events, files};
use oci::Map;
use sys::Fd;
use sys::fs::{self, AT_REMOVEDIR};

const RECORD: &str = "secret.json";
const DATA: &str = "data";
const SECRETS: &str = "secrets";
/// podman's.
pub const SIZE_LIMIT_BYTES: usize = 512_000;
const NAME_LIMIT_BYTES: usize = 253;
/// podman's identifiers are so long.
const ID_DIGITS: usize = 25;

oci::document! {
    /// `secret.json`.
    Secret(snake) {
        id: String => required,
        name: String => required,
        created: String => always,
        updated: String => always,
        driver: String => always,
        labels: Map,
    }
}

/// What is done with a secret that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Nothing: it is a mistake.
    Refuse,
    /// It stays.
    Keep,
    /// It becomes another one.
    Replace,
}

/// Whether a text can be a secret's name.
pub fn check_name(name: &str) -> Result<()> {
    let is_inner = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '_' | '.');
    let is_fine = name.len() <= NAME_LIMIT_BYTES
        && name.starts_with(|it: char| it.is_ascii_alphanumeric())
        && name.chars().all(is_inner);
    match is_fine {
        true => Ok(()),
        false => Err(Error::invalid(format!("{name:?} is no name of a secret"))
            .with_hint("names are of [a-zA-Z0-9_.-], begin with a letter or a digit, and have at most 253 of them")),
    }
}

impl Engine {
    fn secrets(&self) -> Result<Fd> {
        let root = self.open_root()?;
        files::make_dir(&root, SECRETS)?;
        files::open_dir(&root, SECRETS)
    }

    /// Makes a secret; its identifier.
    pub fn create_secret(
        &self,
        name: &str,
        data: &[u8],
        labels: Map,
        existing: Existing,
    ) -> Result<String> {
        check_name(name)?;
        if data.is_empty() || data.len() >= SIZE_LIMIT_BYTES {
            let text = format!("secret {name}: it has {} bytes", data.len());
            return Err(Error::invalid(text).with_hint(format!(
                "a secret has at least one, and less than {SIZE_LIMIT_BYTES}"
            )));
        }
        let known = self.secret_named(name)?;
        let mut created = place::now();
        match (known, existing) {
            (None, _) => {}
            (Some(known), Existing::Keep) => return Ok(known.id),
            (Some(known), Existing::Replace) => created = known.created,
            (Some(_), Existing::Refuse) => {
                return Err(Error::new(Kind::Exists, format!("{name}: secret name in use"))
                    .with_hint("--replace puts another one in its place"));
            }
        }
        let mut id = place::random_id()?;
        id.truncate(ID_DIGITS);
        let all = self.secrets()?;
        files::make_dir(&all, name)?;
        let dir = files::open_dir(&all, name)?;
        files::write_bytes(&dir, DATA, data, true)?;
        let secret = Secret {
            id: id.clone(),
            name: name.to_owned(),
            created,
            updated: place::now(),
            driver: "file".into(),
            labels,
        };
        files::write(&dir, RECORD, &secret, true)?;
        let _ = fs::sync(&all);
        events::append(&self.dir, "secret", "create", &id, &[("name", name)]);
        Ok(id)
    }

    fn secret_named(&self, name: &str) -> Result<Option<Secret>> {
        if check_name(name).is_err() {
            return Ok(None);
        }
        let Ok(dir) = files::open_dir(&self.secrets()?, name) else { return Ok(None) };
        files::read(&dir, RECORD)
    }

    /// A secret by its name, or by the beginning of its identifier.
    pub fn secret(&self, text: &str) -> Result<Secret> {
        if let Some(secret) = self.secret_named(text)? {
            return Ok(secret);
        }
        let missing = || {
            Error::new(Kind::NotFound, format!("no such secret: {text}"))
                .with_hint("`tare secret ls` shows all")
        };
        let has = |secret: &Secret| !text.is_empty() && secret.id.starts_with(text);
        let mut found: Vec<Secret> = self.list_secrets()?.into_iter().filter(has).collect();
        match found.len() {
            0 => Err(missing()),
            1 => Ok(found.remove(0)),
            count => Err(Error::invalid(format!("{text}: {count} secrets begin with it"))
                .with_hint("write more of the identifier, or a name")),
        }
    }

    /// All secrets, by name.
    pub fn list_secrets(&self) -> Result<Vec<Secret>> {
        let all = self.secrets()?;
        let mut secrets = Vec::new();
        for name in files::list(&all, ".")? {
            let Ok(dir) = files::open_dir(&all, &name) else { continue };
            secrets.extend(files::read::<Secret>(&dir, RECORD)?);
        }
        secrets.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(secrets)
    }

    /// What a secret is.
    pub fn secret_data(&self, name: &str) -> Result<Vec<u8>> {
        let missing = || {
            Error::new(Kind::NotFound, format!("no such secret: {name}"))
                .with_hint("`tare secret create` makes it; `tare secret ls` shows all")
        };
        check_name(name)?;
        let dir = files::open_dir(&self.secrets()?, name).map_err(|_| missing())?;
        files::read_bytes(&dir, DATA)?.ok_or_else(missing)
    }

    /// Removes a secret that no container has.
    pub fn remove_secret(&self, text: &str) -> Result<Secret> {
        let secret = self.secret(text)?;
        let name = &secret.name;
        let has = |config: &Config| config.secrets.iter().any(|it| it.name == *name);
        if let Some(user) = self.list()?.iter().find(|it| has(&it.config)) {
            let text = format!("secret {name}: container {} has it", user.config.name);
            return Err(Error::new(Kind::State, text)
                .with_hint("remove the container first, or `tare secret create --replace` it"));
        }
        let all = self.secrets()?;
        let dir = files::open_dir(&all, name)?;
        // Without a record it is none any more, whatever of it is left.
        files::remove(&dir, RECORD)?;
        files::remove(&dir, DATA)?;
        let removed = fs::unlink(&all, name, AT_REMOVEDIR);
        removed.map_err(|errno| Error::os(format!("removing secret {name}"), errno))?;
        events::append(&self.dir, "secret", "remove", &secret.id, &[("name", name)]);
        Ok(secret)
    }

    /// The variables that a container has of secrets.
    pub(crate) fn secret_variables(&self, config: &Config) -> Result<Vec<String>> {
        let of = |it: &SecretUse| {
            let bad = || {
                Error::invalid(format!(
                    "secret {}: it is no text that a variable can have",
                    it.name
                ))
                .with_hint("type=mount gives it to the container as a file")
            };
            let text = String::from_utf8(self.secret_data(&it.name)?).map_err(|_| bad())?;
            match text.contains('\0') {
                true => Err(bad()),
                false => Ok(format!("{}={text}", it.target)),
            }
        };
        config.secrets.iter().filter(|it| it.is_variable).map(of).collect()
    }
}
