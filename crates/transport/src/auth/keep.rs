//! What a login and a logout change.
//!
//! A file is read, changed and put in place as a whole, while a lock on its directory keeps others of us out: at
//! every moment there is the old file or the new one, readable by its owner only. What we do not know in it
//! stays. Where a file says that a helper has the passwords, the helper is told.

use super::file::{self, Content};
use super::{Credentials, DOCKER_KEY, FILES, is_host, program};
use crate::error::{Error, ErrorKind, Result};
use oci::Map;
use oci::json::{self, Raw};
use std::ffi::OsString;
use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest time that another login or logout is waited for.
const LOCK_LIMIT: Duration = Duration::from_secs(10);
/// Most attempts to find a name for the new file that nobody uses.
const NAMES_LIMIT: u32 = 100;
/// Most credentials of a helper that are removed at once.
const ENTRIES_LIMIT: usize = 10_000;

/// Where credentials are kept.
#[derive(Clone, Debug)]
pub struct Keeper {
    /// The file.
    pub file: PathBuf,
    /// Whose file it is.
    pub form: Form,
    /// `credential-helpers` of `registries.conf`. Without any, the file is used.
    pub helpers: Vec<String>,
    /// Where helpers are found: `PATH`.
    pub search_path: OsString,
}

/// Whose file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `auth.json`, which knows namespaces and repositories.
    Containers,
    /// Docker's `config.json`, which knows hosts, and its own registry by an old address.
    Docker,
}

/// Where credentials were put, or where they were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// In a file.
    File(PathBuf),
    /// With a helper.
    Helper(String),
}

impl fmt::Display for Kept {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Helper(name) => write!(formatter, "docker-credential-{name}"),
        }
    }
}

oci::report! {
    NewAuth(snake) {
        auth: String,
        identitytoken: String,
    }
}

/// What credentials are kept for: `HOST[:PORT][/NAMESPACE...]`, written with or without a scheme.
pub fn parse_name(text: &str) -> Result<String> {
    let refuse = |why: &str| {
        let error = Error::new(ErrorKind::Invalid, format!("`{text}` {why}"));
        Err(error.with_hint("credentials are for HOST[:PORT] or HOST[:PORT]/NAMESPACE"))
    };
    let bare = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    // Behind a scheme is an address, whose path means something else: `https://index.docker.io/v1/`.
    let name = match bare {
        Some(rest) => rest.split('/').next().unwrap_or_default(),
        None => text.strip_suffix('/').unwrap_or(text),
    };
    let (host, path) = name.split_once('/').unwrap_or((name, ""));
    if !oci::reference::is_domain(host) {
        return refuse("is no name of a registry");
    }
    let is_part = |part: &str| {
        let fine =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        !part.is_empty() && part.bytes().all(fine)
    };
    if name.contains('/') && !path.split('/').all(is_part) {
        return refuse("is no name of a repository without a tag");
    }
    Ok(match host {
        "index.docker.io" | "registry-1.docker.io" => name.replacen(host, "docker.io", 1),
        _ => name.to_owned(),
    })
}

impl Keeper {
    /// Keeps credentials for a name, and says where.
    pub fn store(&self, name: &str, credentials: &Credentials) -> Result<Kept> {
        let key = self.key(name)?;
        self.try_each(|helper| match helper {
            None => self.store_in_file(&key, credentials),
            Some(helper) if key.contains('/') => Err(unsupported(helper, &key)),
            Some(helper) => {
                program::store(helper, &self.told(&key), credentials, &self.search_path)?;
                Ok(Kept::Helper(helper.to_owned()))
            }
        })
    }

    /// Forgets the credentials for a name, and says where they were.
    pub fn erase(&self, name: &str) -> Result<Vec<Kept>> {
        let key = self.key(name)?;
        let mut found = Vec::new();
        for helper in self.order() {
            match helper {
                None => found.extend(self.erase_in_file(&key)?),
                Some(helper) if key.contains('/') => return Err(unsupported(helper, &key)),
                Some(helper) => found.extend(self.erase_in_helper(helper, &key)?),
            }
        }
        Ok(found)
    }

    /// Forgets all credentials.
    pub fn erase_all(&self) -> Result<Vec<Kept>> {
        let mut found = Vec::new();
        for helper in self.order() {
            match helper {
                None => found.extend(self.erase_all_in_file()?),
                Some(helper) => found.extend(self.erase_all_in_helper(helper)?),
            }
        }
        Ok(found)
    }

    /// What a file calls a name.
    fn key(&self, name: &str) -> Result<String> {
        let key = parse_name(name)?;
        match self.form {
            Form::Docker if key.contains('/') => {
                let text = format!("{}: `{key}` is a repository", self.file.display());
                let error = Error::new(ErrorKind::Unsupported, text);
                Err(error.with_hint("docker's file has credentials for whole registries only"))
            }
            _ => Ok(key),
        }
    }

    /// What whose file it is calls a name, also when they speak to a helper.
    fn told(&self, key: &str) -> String {
        match (self.form, key) {
            (Form::Docker, "docker.io") => DOCKER_KEY.to_owned(),
            (_, key) => key.to_owned(),
        }
    }

    /// The helpers, and `None` for the file.
    fn order(&self) -> impl Iterator<Item = Option<&str>> {
        let file = self.helpers.is_empty().then_some(None);
        let helpers = self.helpers.iter().map(|it| (it != FILES).then_some(&**it));
        file.into_iter().chain(helpers)
    }

    /// Tries each of them until one succeeds.
    fn try_each(&self, attempt: impl Fn(Option<&str>) -> Result<Kept>) -> Result<Kept> {
        let mut failed: Option<Error> = None;
        for helper in self.order() {
            match attempt(helper) {
                Ok(kept) => return Ok(kept),
                Err(error) => failed = Some(failed.map_or(error.clone(), |it| it.and(error))),
            }
        }
        Err(failed.unwrap_or_else(|| Error::new(ErrorKind::Invalid, "there are no helpers")))
    }

    fn store_in_file(&self, key: &str, credentials: &Credentials) -> Result<Kept> {
        self.change(true, |document| {
            // A helper knows hosts only.
            let helper = (!key.contains('/')).then(|| document.known.helper(key)).flatten();
            let helper = helper.map(str::to_owned);
            let mut entry = NewAuth::default();
            match (&helper, credentials) {
                (Some(helper), credentials) => {
                    program::store(helper, &self.told(key), credentials, &self.search_path)?;
                }
                (None, Credentials::Basic { user, password }) => {
                    entry.auth = oci::base64::encode([user, ":", password].concat().as_bytes());
                }
                (None, Credentials::Identity { user, token }) => {
                    entry.auth = oci::base64::encode([user, ":"].concat().as_bytes());
                    entry.identitytoken = token.clone();
                }
                (None, Credentials::Bearer { .. }) => return Err(passing()),
            }
            // Docker leaves an empty entry where a helper has the password.
            if helper.is_none() || self.form == Form::Docker {
                document.auths.insert(self.told(key), raw(&entry)?);
            }
            Ok(match helper {
                Some(helper) => Kept::Helper(helper),
                None => Kept::File(self.file.clone()),
            })
        })
    }

    fn erase_in_file(&self, key: &str) -> Result<Vec<Kept>> {
        if !self.file.exists() {
            return Ok(Vec::new());
        }
        self.change(false, |document| {
            let mut found = Vec::new();
            if !key.contains('/')
                && let Some(helper) = document.known.helper(key)
            {
                found.extend(self.erase_in_helper(helper, key)?);
            }
            let before = document.auths.len();
            document.auths.retain(|known, _| known != key && !is_host(known, key));
            if document.auths.len() < before && found.is_empty() {
                found.push(Kept::File(self.file.clone()));
            }
            Ok(found)
        })
    }

    fn erase_all_in_file(&self) -> Result<Vec<Kept>> {
        if !self.file.exists() {
            return Ok(Vec::new());
        }
        self.change(false, |document| {
            let mut found = Vec::new();
            for (registry, helper) in &document.known.cred_helpers {
                found.extend(self.erase_in_helper(helper, registry)?);
            }
            if !document.known.creds_store.is_empty() {
                found.extend(self.erase_all_in_helper(&document.known.creds_store)?);
            }
            if !document.auths.is_empty() {
                document.auths = Map::new();
                found.push(Kept::File(self.file.clone()));
            }
            Ok(found)
        })
    }

    /// Makes a helper forget a registry, under each of the names that it may know it by.
    fn erase_in_helper(&self, helper: &str, key: &str) -> Result<Option<Kept>> {
        let mut found = None;
        let docker = (key == "docker.io").then_some(DOCKER_KEY);
        for name in [Some(key), docker].into_iter().flatten() {
            if program::get(helper, name, &self.search_path)?.is_some() {
                program::erase(helper, name, &self.search_path)?;
                found = Some(Kept::Helper(helper.to_owned()));
            }
        }
        Ok(found)
    }

    fn erase_all_in_helper(&self, helper: &str) -> Result<Option<Kept>> {
        let known = program::list(helper, &self.search_path)?;
        for name in known.keys().take(ENTRIES_LIMIT) {
            program::erase(helper, name, &self.search_path)?;
        }
        Ok((!known.is_empty()).then(|| Kept::Helper(helper.to_owned())))
    }

    /// Changes the file, if it is changed at all.
    fn change<T>(&self, create: bool, apply: impl FnOnce(&mut Document) -> Result<T>) -> Result<T> {
        // Behind a link is the file that is meant.
        let path = std::fs::canonicalize(&self.file).unwrap_or_else(|_| self.file.clone());
        let directory = path.parent().filter(|it| !it.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        if create {
            let mut builder = DirBuilder::new();
            let made = builder.recursive(true).mode(0o700).create(directory);
            made.map_err(|error| Error::os("make directory", directory, &error))?;
        }
        let _lock = lock(directory)?;
        let mut document = Document::read(&path)?;
        let before = document.auths.clone();
        let done = apply(&mut document)?;
        if document.auths != before || create && !path.exists() {
            write(&path, directory, &document.write()?)?;
        }
        Ok(done)
    }
}

/// A file as it is changed: its members, of which only `auths` is another in the end.
struct Document {
    members: Map<Raw>,
    auths: Map<Raw>,
    known: Content,
}

impl Document {
    fn read(path: &Path) -> Result<Self> {
        let known = file::read(path, false)?.unwrap_or_default();
        let bytes = crate::file::read(path)?.unwrap_or_default();
        let fail = |error: String| Error::in_file(path, error);
        let members: Map<Raw> = match bytes.trim_ascii().is_empty() {
            true => Map::new(),
            false => json::read(&bytes).map_err(fail)?,
        };
        let auths = match members.get("auths").map(Raw::as_str) {
            None | Some("null") => Map::new(),
            Some(text) => json::read(text.as_bytes()).map_err(fail)?,
        };
        Ok(Self { members, auths, known })
    }

    fn write(&mut self) -> Result<Vec<u8>> {
        let auths = raw(&self.auths)?;
        self.members.insert("auths".into(), auths);
        let mut text = json::write_pretty(&self.members).into_bytes();
        text.push(b'\n');
        Ok(text)
    }
}

/// A value as text.
fn raw(value: &dyn json::ToJson) -> Result<Raw> {
    json::read(json::write(value).as_bytes()).map_err(|error| Error::new(ErrorKind::Invalid, error))
}

/// A token for requests is good for minutes, and no file has a place for it.
pub(super) fn passing() -> Error {
    Error::new(ErrorKind::Unsupported, "a token for requests cannot be kept")
}

fn unsupported(helper: &str, key: &str) -> Error {
    let text = format!("docker-credential-{helper}: `{key}` is a repository");
    Error::new(ErrorKind::Unsupported, text)
        .with_hint("helpers have credentials for whole registries only")
}

/// Keeps others of us away from the files of a directory. The lock goes with the descriptor.
fn lock(directory: &Path) -> Result<File> {
    let file = File::open(directory).map_err(|error| Error::os("open", directory, &error))?;
    let until = Instant::now() + LOCK_LIMIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(Error::os("lock", directory, &error)),
            Err(TryLockError::WouldBlock) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(TryLockError::WouldBlock) => {
                let text = format!("{}: another login or logout is at work", directory.display());
                return Err(Error::new(ErrorKind::Os, text));
            }
        }
    }
}

/// Puts a file in place as a whole.
fn write(path: &Path, directory: &Path, content: &[u8]) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for number in 0..NAMES_LIMIT {
        let temporary = directory.join(format!(".{name}.{}.{number}", std::process::id()));
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
        let mut file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(Error::os("create", &temporary, &error)),
        };
        let written = file.write_all(content).and_then(|()| file.sync_all());
        let moved = written.and_then(|()| std::fs::rename(&temporary, path));
        return moved.map_err(|error| {
            // It is of no use to anybody, and may be gone.
            let _ = std::fs::remove_file(&temporary);
            Error::os("write", path, &error)
        });
    }
    let text = format!("{}: no name for a new file is free", directory.display());
    Err(Error::new(ErrorKind::Os, text))
}
