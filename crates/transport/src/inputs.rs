//! What this crate reads and others wrote, by name: what fuzzers feed.
//!
//! [`Input::feed`] takes bytes through the reader, and checks what must hold for any bytes: no panic, a
//! refusal that is a sentence, and what each reader promises.

use crate::containers_storage::Configuration;
use crate::error::Error;
use crate::hash::verify_manifest;
use crate::lookaside::Lookaside;
use crate::policy::Policy;
use crate::registries::Registries;
use crate::signature::Signature;
use crate::{auth, names, registry, sync};
use std::path::Path;

/// A kind of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Manifests, indexes and lists, docker's schema 1 among them.
    Document,
    /// `registries.conf`.
    Registries,
    /// A file of `registries.d`.
    Lookaside,
    /// `policy.json`.
    Policy,
    /// `auth.json` and `config.json`.
    Credentials,
    /// What is to be mirrored.
    Sync,
    /// The file of a signature.
    Signature,
    /// `storage.conf`.
    Storage,
    /// `WWW-Authenticate`.
    Challenge,
    /// `Link` and `Location`.
    Link,
    /// The answer of a DNS server.
    Dns,
    /// `hosts` and `resolv.conf`.
    Resolver,
}

/// Longest refusal: a sentence with the value that it is about.
const REFUSAL_LIMIT_BYTES: usize = 4096;
/// What messages call the file.
const FILE: &str = "file";

impl Input {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Document,
        Self::Registries,
        Self::Lookaside,
        Self::Policy,
        Self::Credentials,
        Self::Sync,
        Self::Signature,
        Self::Storage,
        Self::Challenge,
        Self::Link,
        Self::Dns,
        Self::Resolver,
    ];

    /// The name of its corpus.
    pub fn name(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::Registries => "registries",
            Self::Lookaside => "lookaside",
            Self::Policy => "policy",
            Self::Credentials => "credentials",
            Self::Sync => "sync",
            Self::Signature => "signature",
            Self::Storage => "storage",
            Self::Challenge => "challenge",
            Self::Link => "link",
            Self::Dns => "dns",
            Self::Resolver => "resolver",
        }
    }

    /// Feeds bytes; whether they were taken. `Err` says what does not hold that must.
    pub fn feed(self, bytes: &[u8]) -> Result<bool, String> {
        let text = String::from_utf8_lossy(bytes);
        let path = Path::new(FILE);
        match self {
            Self::Document => feed_document(bytes),
            Self::Registries => check(Registries::read(path, &text)),
            Self::Lookaside => check(Lookaside::read(path, &text)),
            Self::Policy => check(Policy::read(path, bytes)),
            Self::Credentials => {
                let legacy = check(auth::feed(path, bytes, true))?;
                check(auth::feed(path, bytes, false)).map(|taken| taken || legacy)
            }
            Self::Sync => check(sync::feed(&text)),
            Self::Signature => feed_signature(bytes),
            Self::Storage => check(Configuration::parse(path, &text)),
            Self::Challenge => registry::feed_challenge(&text),
            Self::Link => registry::feed_link(&text),
            Self::Dns => names::feed_answer(bytes),
            Self::Resolver => names::feed_settings(bytes),
        }
    }
}

/// Whether something was taken. A refusal is a sentence.
fn check<T>(result: Result<T, Error>) -> Result<bool, String> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if error.to_string().len() > REFUSAL_LIMIT_BYTES => {
            Err("a refusal is longer than a sentence".into())
        }
        Err(_) => Ok(false),
    }
}

/// Bytes stay what they were, and a digest is of them.
fn feed_document(bytes: &[u8]) -> Result<bool, String> {
    let document = match verify_manifest(bytes.to_vec(), "", None) {
        Ok(document) => document,
        Err(error) => return check::<()>(Err(error)),
    };
    if document.bytes() != bytes {
        return Err("a document has other bytes than were read".into());
    }
    // One kind only, whatever is in it.
    let kinds = [document.manifest().is_some(), document.index().is_some()];
    match kinds {
        [true, true] => Err("a document is a manifest and an index".into()),
        _ => Ok(true),
    }
}

/// What is written of a signature is read as the same.
fn feed_signature(bytes: &[u8]) -> Result<bool, String> {
    let signature = match Signature::read(bytes) {
        Ok(signature) => signature,
        Err(error) => return check::<()>(Err(error)),
    };
    match Signature::read(&signature.to_bytes()) {
        Ok(again) if again == signature => Ok(true),
        other => Err(format!("{signature:?} is read again as {other:?}")),
    }
}
