//! Credentials for registries (containers-auth.json(5), docker's `config.json`).
//!
//! A name is looked for from the most special to the most general: `host/namespace/repository`,
//! `host/namespace`, `host`. The first file or helper that knows one of them decides. Credentials belong
//! to the registry they were looked up for, and are sent nowhere else.

mod file;
mod keep;
mod program;

#[cfg(test)]
mod tests;

pub use keep::{Form, Keeper, Kept, parse_name};

use crate::error::Result;

/// For [`crate::inputs`]: whatever is in the file, looking for a name in it is no failure of ours.
pub(crate) fn feed(path: &Path, bytes: &[u8], legacy: bool) -> Result<()> {
    let Some(content) = file::parse(path, bytes, legacy)? else { return Ok(()) };
    let _ = content.helper("registry.example.com");
    content.find(path, "registry.example.com/a/b", "registry.example.com").map(drop)
}
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// Stands for the files in a list of helpers.
const FILES: &str = "containers-auth.json";
/// Docker's registry in docker's files: the address of an interface that no longer exists.
const DOCKER_KEY: &str = "https://index.docker.io/v1/";

/// What a registry is told.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A name and a password.
    Basic {
        /// The name.
        user: String,
        /// The password, or a token that serves as one.
        password: String,
    },
    /// A token that is exchanged for others (OAuth 2's refresh token).
    Identity {
        /// The name it was made for; often empty.
        user: String,
        /// The token.
        token: String,
    },
    /// A token that is sent as it is with each request: somebody has asked for it before.
    Bearer {
        /// The token.
        token: String,
    },
}

/// Secrets do not get into logs.
impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, user) = match self {
            Self::Basic { user, .. } => ("Basic", user),
            Self::Identity { user, .. } => ("Identity", user),
            Self::Bearer { .. } => return formatter.write_str("Bearer { .. }"),
        };
        write!(formatter, "{kind} {{ user: {user:?}, .. }}")
    }
}

/// Where credentials are looked for.
#[derive(Clone, Debug, Default)]
pub struct Lookup {
    /// The files, in their order.
    pub files: Vec<AuthFile>,
    /// `credential-helpers` of `registries.conf`. Without any, the files are looked at.
    pub helpers: Vec<String>,
    /// Where helpers are found: `PATH`.
    pub search_path: OsString,
}

/// A file with credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthFile {
    /// Where it is.
    pub path: PathBuf,
    /// `.dockercfg`: the document is what is `auths` elsewhere, and knows hosts only.
    pub legacy: bool,
}

/// What decides where files are.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The file that the user named (`--authfile`, `REGISTRY_AUTH_FILE`): it alone is looked at.
    pub named: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`.
    pub runtime_dir: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`.
    pub config_home: Option<PathBuf>,
    /// `DOCKER_CONFIG`.
    pub docker_config: Option<PathBuf>,
    /// The user's home.
    pub home: PathBuf,
    /// The user.
    pub uid: u32,
}

impl Places {
    /// The file that a login writes to.
    pub fn primary(&self) -> PathBuf {
        match (&self.named, &self.runtime_dir) {
            (Some(named), _) => named.clone(),
            (None, Some(directory)) => directory.join("containers/auth.json"),
            (None, None) => format!("/run/containers/{}/auth.json", self.uid).into(),
        }
    }

    /// The files in podman's order, which ends with docker's own.
    pub fn files(&self) -> Vec<AuthFile> {
        let file = |path: PathBuf, legacy: bool| AuthFile { path, legacy };
        let mut files = vec![file(self.primary(), false)];
        if self.named.is_none() {
            let config = self.config_home.clone().unwrap_or_else(|| self.home.join(".config"));
            files.push(file(config.join("containers/auth.json"), false));
            files.extend(self.docker_files());
        }
        files
    }

    /// The files that docker itself looks at.
    pub fn docker_files(&self) -> Vec<AuthFile> {
        let docker = self.docker_config.clone().unwrap_or_else(|| self.home.join(".docker"));
        vec![
            AuthFile { path: docker.join("config.json"), legacy: false },
            AuthFile { path: self.home.join(".dockercfg"), legacy: true },
        ]
    }
}

impl Lookup {
    /// The credentials for a name: `host[:port]`, perhaps with namespaces and a repository. A tag or digest
    /// must not be in it.
    pub fn find(&self, name: &str) -> Result<Option<Credentials>> {
        let registry = name.split('/').next().unwrap_or(name);
        if registry.is_empty() {
            return Ok(None);
        }
        let files_only = [FILES.to_owned()];
        let helpers = if self.helpers.is_empty() { &files_only[..] } else { &self.helpers };
        for helper in helpers {
            let found = match helper == FILES {
                true => self.find_in_files(name, registry)?,
                false => self.ask(helper, registry)?,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn find_in_files(&self, name: &str, registry: &str) -> Result<Option<Credentials>> {
        for AuthFile { path, legacy } in &self.files {
            let Some(content) = file::read(path, *legacy)? else { continue };
            if let Some(helper) = content.helper(registry)
                && let Some(found) = self.ask(helper, registry)?
            {
                return Ok(Some(found));
            }
            if let Some(found) = content.find(path, name, registry)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Asks a helper. Docker's login tells it another name for its own registry.
    fn ask(&self, helper: &str, registry: &str) -> Result<Option<Credentials>> {
        let found = program::get(helper, registry, &self.search_path)?;
        match found.is_none() && registry == "docker.io" {
            true => program::get(helper, DOCKER_KEY, &self.search_path),
            false => Ok(found),
        }
    }
}

/// The names of a registry and its namespaces, from the most special to the registry itself.
fn lookup_order(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| name.rsplit_once('/').map(|(parent, _)| parent))
}

/// The host of a key, as docker has written them: with a scheme, a path, and under several names.
fn normalized(key: &str) -> &str {
    let key = key.strip_prefix("https://").or(key.strip_prefix("http://")).unwrap_or(key);
    match key.split('/').next().unwrap_or(key) {
        "registry-1.docker.io" | "docker.io" => "index.docker.io",
        host => host,
    }
}

/// Whether a key of a file is that of a whole host. Keys of namespaces are other credentials; those with a
/// scheme have had a path since docker's first interface.
fn is_host(key: &str, host: &str) -> bool {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    let path = key.split_once('/').map_or("", |(_, path)| path.trim_end_matches('/'));
    let is_whole = bare.is_some() || matches!(path, "" | "v1" | "v2");
    is_whole && !host.contains('/') && normalized(key) == normalized(host)
}

/// The registry's part of a path in an error.
fn entry(path: &Path, key: &str) -> String {
    format!("{}: auths.{key}", path.display())
}
