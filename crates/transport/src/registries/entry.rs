//! One `[[registry]]`.

use crate::error::{Error, ErrorKind, Result};
use oci::Reference;
use std::path::PathBuf;

/// What is configured for all names with a prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry {
    /// The beginning of names, up to a separator; `*.example.com` for all hosts of a domain.
    pub prefix: String,
    /// What stands in the prefix's place; empty when nothing does.
    pub location: String,
    /// Plain HTTP and certificates that nobody vouches for are allowed.
    pub insecure: bool,
    /// Nothing may be pulled from it.
    pub blocked: bool,
    /// Mirrors are asked for digests only.
    pub mirror_by_digest_only: bool,
    /// Asked before the registry itself, in this order.
    pub mirrors: Vec<Mirror>,
    /// The file that says so.
    pub origin: PathBuf,
}

/// Another place with the same images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// What stands in the prefix's place.
    pub location: String,
    /// As in [`Registry`].
    pub insecure: bool,
    /// What it is asked for.
    pub pull: PullFrom,
}

/// What a mirror is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullFrom {
    /// Everything.
    #[default]
    All,
    /// What has a digest: a tag could mean another image there.
    DigestOnly,
    /// What has no digest.
    TagOnly,
}

/// A place to pull from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The name there.
    pub reference: Reference,
    /// As in [`Registry`].
    pub insecure: bool,
    /// Whether another place follows when it has no such image.
    pub is_mirror: bool,
}

impl Registry {
    /// How much of a name the prefix stands for; `None` when it does not.
    pub(super) fn matched(&self, name: &str) -> Option<usize> {
        matched(name, &self.prefix)
    }

    /// Where to pull a name from that has the prefix.
    pub(super) fn pull_sources(&self, reference: &Reference) -> Result<Vec<Source>> {
        self.refuse_blocked(reference)?;
        let has_digest = reference.digest().is_some();
        let mut sources = Vec::new();
        for mirror in &self.mirrors {
            let asked = match mirror.pull {
                PullFrom::All => has_digest || !self.mirror_by_digest_only,
                PullFrom::DigestOnly => has_digest,
                PullFrom::TagOnly => !has_digest,
            };
            if asked {
                let reference = self.rewrite(reference, &mirror.location)?;
                sources.push(Source { reference, insecure: mirror.insecure, is_mirror: true });
            }
        }
        let reference = self.rewrite(reference, &self.location)?;
        sources.push(Source { reference, insecure: self.insecure, is_mirror: false });
        Ok(sources)
    }

    pub(super) fn refuse_blocked(&self, reference: &Reference) -> Result<()> {
        if !self.blocked {
            return Ok(());
        }
        let text = format!("registry {} is blocked: {reference}", self.prefix);
        let hint = format!("{} has `blocked = true`", self.origin.display());
        Err(Error::new(ErrorKind::Denied, text).with_hint(hint))
    }

    /// A name with another beginning.
    pub(super) fn rewrite(&self, reference: &Reference, location: &str) -> Result<Reference> {
        let name = reference.to_string();
        let refuse = |why: &dyn std::fmt::Display| {
            let text = format!("{name} with {location} for {}: {why}", self.prefix);
            Error::new(ErrorKind::Invalid, text)
        };
        let Some(length) = self.matched(&name) else {
            return Err(refuse(&"is not what the prefix stands for"));
        };
        if location.is_empty() && self.prefix.starts_with("*.") {
            return Ok(reference.clone());
        }
        let rewritten = [location, &name[length..]].concat();
        Reference::parse_canonical(&rewritten).map_err(|error| refuse(&error))
    }
}

/// How much of a name a prefix stands for.
///
/// A prefix without a port stands for every port of the host: containers/image calls it unintended
/// and keeps it, as configurations rely on it.
pub(super) fn matched(name: &str, prefix: &str) -> Option<usize> {
    let length = match prefix.strip_prefix('*') {
        Some(domain) if domain.starts_with('.') => {
            let at = name.find(domain)?;
            // Only a host has domains.
            if name[..at].contains('/') {
                return None;
            }
            at + domain.len()
        }
        _ => name.starts_with(prefix).then_some(prefix.len())?,
    };
    let rest = &name[length..];
    (rest.is_empty() || rest.starts_with([':', '/', '@'])).then_some(length)
}
