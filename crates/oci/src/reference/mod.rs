//! Names of images: `docker.io/library/debian:13@sha256:...`.
//!
//! [`Reference`] is always complete: it names its registry. [`Reference::parse`] reads what docker's
//! users write and adds docker's defaults; [`Parts`] is what stands there, for whoever resolves short
//! names by a configuration.

mod grammar;
mod pattern;

#[cfg(test)]
mod tests;

pub use grammar::{
    NAME_LIMIT_BYTES, Parts, TAG_LIMIT_BYTES, is_component, is_domain, is_identifier, is_tag,
};
pub use pattern::matches as pattern_matches;

use crate::digest::{Algorithm, Digest};
use crate::error::{Error, shown};
use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

/// The registry of names without one.
const DEFAULT_DOMAIN: &str = "docker.io";
/// Its old name.
const LEGACY_DOMAIN: &str = "index.docker.io";
/// Where it keeps repositories without a path.
const OFFICIAL: &str = "library/";
/// The tag of names without one.
const DEFAULT_TAG: &str = "latest";

/// The name of an image or repository in a registry.
///
/// ```
/// let name: oci::Reference = "debian:13".parse().unwrap();
/// assert_eq!(name.to_string(), "docker.io/library/debian:13");
/// assert_eq!((name.domain(), name.path()), ("docker.io", "library/debian"));
/// assert_eq!(name.familiar(), "debian:13");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    name: String,
    domain_length: usize,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Reads a name as docker does: without a registry it is one of `docker.io`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if is_identifier(text) {
            let parts = ["`", text, "` is an image's ID, not a name"];
            return Err(Error::invalid(&parts));
        }
        let (domain, rest) = split_domain(text);
        let rest_name = rest.split([':', '@']).next().unwrap_or(rest);
        if rest_name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            let parts =
                ["invalid reference `", &shown(text), "`: the name must be in small letters"];
            return Err(Error::invalid(&parts));
        }
        let official = domain == DEFAULT_DOMAIN && !rest_name.contains('/');
        let complete = [domain, "/", if official { OFFICIAL } else { "" }, rest].concat();
        Self::from_parts(&Parts::parse(&complete)?)
    }

    /// Reads a name that is written in full, and no other.
    pub fn parse_canonical(text: &str) -> Result<Self, Error> {
        let reference = Self::parse(text)?;
        match reference.to_string() == text {
            true => Ok(reference),
            false => {
                let full = reference.to_string();
                Err(Error::invalid(&["`", &shown(text), "` is not written in full: `", &full, "`"]))
            }
        }
    }

    /// A name whose parts are known. They must have a domain.
    pub fn from_parts(parts: &Parts<'_>) -> Result<Self, Error> {
        if parts.domain().is_empty() {
            return Err(Error::invalid(&["`", &shown(parts.name), "` does not name a registry"]));
        }
        Ok(Self {
            name: parts.name.to_owned(),
            domain_length: parts.domain().len(),
            tag: parts.tag.map(ToOwned::to_owned),
            digest: parts.digest,
        })
    }

    /// The registry, with its port.
    pub fn domain(&self) -> &str {
        &self.name[..self.domain_length]
    }

    /// The repository in the registry.
    pub fn path(&self) -> &str {
        &self.name[self.domain_length + 1..]
    }

    /// Registry and repository.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The tag, if it has one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if it has one. Where it does, it alone says which image is meant.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The repository alone.
    pub fn repository(&self) -> Self {
        Self { tag: None, digest: None, ..self.clone() }
    }

    /// The same with a tag.
    pub fn with_tag(&self, tag: &str) -> Result<Self, Error> {
        match is_tag(tag) {
            true => Ok(Self { tag: Some(tag.to_owned()), ..self.clone() }),
            false => Err(Error::invalid(&["invalid tag `", &shown(tag), "`"])),
        }
    }

    /// The same with a digest.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }

    /// The same, and `latest` when it has neither tag nor digest.
    pub fn or_latest(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(DEFAULT_TAG.to_owned());
        }
        self
    }

    /// What a registry is asked for: the digest when there is one, otherwise the tag or `latest`.
    pub fn selector(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => DEFAULT_TAG.to_owned(),
        }
    }

    /// The name as docker shows it: without what is the default.
    pub fn familiar_name(&self) -> &str {
        if self.domain() != DEFAULT_DOMAIN {
            return &self.name;
        }
        let path = self.path();
        path.strip_prefix(OFFICIAL).filter(|rest| !rest.contains('/')).unwrap_or(path)
    }

    /// As [`Reference::familiar_name`], with tag and digest.
    pub fn familiar(&self) -> String {
        self.with_selectors(self.familiar_name())
    }

    /// Whether the name, with tag or without, is what a pattern describes; `None` for a malformed one.
    pub fn matches(&self, pattern: &str) -> Option<bool> {
        let whole = pattern_matches(pattern, &self.familiar())?;
        Some(whole || pattern_matches(pattern, self.familiar_name())?)
    }

    fn with_selectors(&self, name: &str) -> String {
        let mut text = name.to_owned();
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(&digest.to_string());
        }
        text
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.with_selectors(&self.name))
    }
}

/// What the first component of a name has to look like to be a registry.
fn split_domain(text: &str) -> (&str, &str) {
    let (domain, rest) = match text.split_once('/') {
        Some((first, rest)) if looks_like_domain(first) => (first, rest),
        _ => (DEFAULT_DOMAIN, text),
    };
    (if domain == LEGACY_DOMAIN { DEFAULT_DOMAIN } else { domain }, rest)
}

/// Whether docker takes the first of several components for a registry: it has a dot, a port, or a
/// capital letter, which no repository has, or it is `localhost`.
pub fn looks_like_domain(first: &str) -> bool {
    first.contains(['.', ':'])
        || first == "localhost"
        || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// What a user may call an image by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Designation {
    /// A name.
    Reference(Reference),
    /// A digest, or an ID in full.
    Digest(Digest),
}

impl Designation {
    /// Reads an ID of 64 digits, a digest or a name.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if is_identifier(text) {
            let digest = [Algorithm::Sha256.name(), ":", text].concat();
            return Digest::parse(&digest).map(Self::Digest);
        }
        match Digest::parse(text) {
            Ok(digest) => Ok(Self::Digest(digest)),
            Err(_) => Reference::parse(text).map(Self::Reference),
        }
    }
}
