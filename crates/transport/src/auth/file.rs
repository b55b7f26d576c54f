//! Files with credentials.

use super::{Credentials, entry, is_host, lookup_order, normalized};
use crate::error::{Error, ErrorKind, Result};
use oci::Map;
use std::path::Path;

oci::document! {
    /// `auth.json` and `config.json`.
    Content {
        auths: Map<Auth>,
        cred_helpers: Map,
        creds_store: String,
    }

    /// An entry. Docker leaves it empty when a helper has the password.
    Auth(snake) {
        auth: String,
        identitytoken: String,
        username: String,
        password: String,
    }
}

/// Reads a file; `None` when there is none.
pub(super) fn read(path: &Path, legacy: bool) -> Result<Option<Content>> {
    let Some(bytes) = crate::file::read(path)? else { return Ok(None) };
    parse(path, &bytes, legacy)
}

/// Reads the bytes of one.
pub(super) fn parse(path: &Path, bytes: &[u8], legacy: bool) -> Result<Option<Content>> {
    // An empty file is one that `login` was killed over, or that a mount made.
    if bytes.trim_ascii().is_empty() {
        return Ok(None);
    }
    let content = match legacy {
        true => oci::json::read(bytes).map(|auths| Content { auths, ..Content::default() }),
        false => oci::json::read(bytes),
    };
    content.map(Some).map_err(|error| Error::in_file(path, error))
}

impl Content {
    /// The helper that has a registry's password, if one has.
    pub(super) fn helper(&self, registry: &str) -> Option<&str> {
        let own = self
            .cred_helpers
            .iter()
            .find(|(key, _)| *key == registry || normalized(key) == normalized(registry));
        let own = own.map(|(_, helper)| &**helper);
        own.or((!self.creds_store.is_empty()).then_some(&*self.creds_store))
    }

    /// The credentials for a name. Keys with namespaces are exact; those of hosts may be URLs.
    pub(super) fn find(
        &self,
        path: &Path,
        name: &str,
        registry: &str,
    ) -> Result<Option<Credentials>> {
        let exact = lookup_order(name).find_map(|key| Some((key, self.auths.get(key)?)));
        let found = exact.or_else(|| {
            let known = self.auths.iter().map(|(key, auth)| (&**key, auth));
            known.into_iter().find(|(key, _)| is_host(key, registry))
        });
        match found {
            Some((key, auth)) => auth.decode(path, key),
            None => Ok(None),
        }
    }
}

impl Auth {
    fn decode(&self, path: &Path, key: &str) -> Result<Option<Credentials>> {
        let refuse = |what: &str| {
            let text = format!("{}: {what}", entry(path, key));
            Error::new(ErrorKind::Invalid, text).with_hint("log in again")
        };
        let (user, password) = if self.auth.is_empty() {
            (self.username.clone(), self.password.clone())
        } else {
            let bytes = oci::base64::decode(&self.auth);
            let bytes = bytes.ok_or_else(|| refuse("auth is not in base 64"))?;
            let text = String::from_utf8(bytes).map_err(|_| refuse("auth is not UTF-8"))?;
            // Docker takes no harm from an entry that it cannot use.
            let Some((user, password)) = text.split_once(':') else { return Ok(None) };
            (user.to_owned(), password.trim_matches('\0').to_owned())
        };
        if !self.identitytoken.is_empty() {
            return Ok(Some(Credentials::Identity { user, token: self.identitytoken.clone() }));
        }
        Ok((!user.is_empty()).then_some(Credentials::Basic { user, password }))
    }
}
