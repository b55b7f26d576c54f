//! How users name images of the store.

use crate::error::{Error, Kind, Result};
use crate::similar::similar;
use oci::image::{Document, SIZE_LIMIT_BYTES};
use oci::reference::Parts;
use oci::{AnyDigest, Digest, Reference};
use store::{NameRecord, Store};

/// What a text stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The manifest or index.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// The names that it was found by: one, or all of an image that was asked for by its ID.
    pub names: Vec<NameRecord>,
    /// What the text was.
    pub by: By,
}

/// How an image was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// By one of its names.
    Name,
    /// By the digest of its manifest, perhaps with a repository.
    Digest,
    /// By its ID, or the beginning of it.
    Id,
}

/// Shortest beginning of an ID: what docker's users type.
const PREFIX_MIN: usize = 1;
/// A name that nobody sees: the image has none, and is kept.
const ANONYMOUS: &str = "@";

/// The name of an image without a name: it is kept, and found by its ID.
pub fn anonymous_name(digest: &Digest) -> String {
    format!("{ANONYMOUS}{digest}")
}

/// Whether it is such a name.
pub(crate) fn is_anonymous(reference: &str) -> bool {
    reference.starts_with(ANONYMOUS)
}

/// Finds an image by a name (in full, docker's, `localhost/`, or the end of one), the digest of a manifest,
/// or the beginning of an ID.
pub fn find(store: &Store, text: &str) -> Result<Found> {
    for name in candidates(text) {
        match store.resolve(&name) {
            Ok(record) => return found(vec![record], By::Name),
            Err(error) if error.kind() == store::Kind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    let (names, _) = store.names()?;
    if let Some(digest) = wanted_digest(text) {
        let all: Vec<NameRecord> = names
            .iter()
            .filter(|record| {
                record.digest == AnyDigest::from(digest)
                    && repository_of(text).is_none_or(|wanted| {
                        Reference::parse(&record.reference).is_ok_and(|it| it.name() == wanted)
                    })
            })
            .cloned()
            .collect();
        if !all.is_empty() {
            return found(all, By::Digest);
        }
    }
    if let Some(record) = by_end(&names, text)? {
        return found(vec![record], By::Name);
    }
    by_id(store, &names, text)
}

fn found(names: Vec<NameRecord>, by: By) -> Result<Found> {
    let first = names.first().ok_or_else(|| Error::new(Kind::NotFound, "no image"))?;
    let (digest, media_type) = (*first.target()?, first.media_type.clone());
    Ok(Found { digest, media_type, names, by })
}

/// Names in full that a text may mean, the likeliest first.
fn candidates(text: &str) -> Vec<String> {
    let mut all = vec![text.to_owned()];
    if let Ok(reference) = Reference::parse(text) {
        let reference = reference.or_latest();
        if !text.contains('/') || reference.domain() == "docker.io" {
            all.push(format!("localhost/{}", tagged(text)));
        }
        all.push(reference.to_string());
    }
    all.dedup();
    all
}

fn tagged(text: &str) -> String {
    match Parts::parse(text) {
        Ok(parts) if parts.tag.is_none() && parts.digest.is_none() => format!("{text}:latest"),
        _ => text.to_owned(),
    }
}

fn wanted_digest(text: &str) -> Option<Digest> {
    let digest = text.rsplit_once('@').map_or(text, |(_, digest)| digest);
    Digest::parse(digest).ok()
}

fn repository_of(text: &str) -> Option<String> {
    let (name, _) = text.split_once('@')?;
    Reference::parse(name).ok().map(|reference| reference.name().to_owned())
}

/// `busybox` finds `example.org/team/busybox:latest`, if it is the only one that ends so.
fn by_end(names: &[NameRecord], text: &str) -> Result<Option<NameRecord>> {
    if Reference::parse(text).is_err() {
        return Ok(None);
    }
    let end = format!("/{}", tagged(text));
    let mut all = names.iter().filter(|record| record.reference.ends_with(&end));
    match (all.next(), all.next()) {
        (Some(first), Some(second)) if first.digest != second.digest => {
            let text = format!("`{text}` could be {} or {}", first.reference, second.reference);
            Err(Error::new(Kind::Ambiguous, text).with_hint("write the name in full"))
        }
        (first, _) => Ok(first.cloned()),
    }
}

/// By the digest of the configuration or manifest, or its beginning.
fn by_id(store: &Store, names: &[NameRecord], text: &str) -> Result<Found> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    let is_hex = hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let missing = || {
        let hint = match similar(names, text) {
            Some(name) => format!("did you mean `{name}`? `tare images` lists what is here"),
            None => "`tare images` lists what is here, `tare pull` fetches".to_owned(),
        };
        Error::new(Kind::NotFound, format!("{text}: no such image")).with_hint(hint)
    };
    if !is_hex || hex.len() < PREFIX_MIN {
        return Err(missing());
    }
    let mut matching: Vec<NameRecord> = Vec::new();
    for record in names {
        let begins = |digest: &AnyDigest| digest.to_string()[..].contains(&format!(":{hex}"));
        let id = || config_of(store, record).is_some_and(|id| begins(&id.into()));
        if begins(&record.digest) || id() {
            matching.push(record.clone());
        }
    }
    match matching.first() {
        None => Err(missing()),
        Some(first) if matching.iter().any(|record| record.digest != first.digest) => {
            let text = format!("`{text}` is the beginning of more than one ID");
            Err(Error::new(Kind::Ambiguous, text).with_hint("write more of it"))
        }
        Some(_) => found(matching, By::Id),
    }
}

/// The ID of an image: the digest of its configuration.
fn config_of(store: &Store, record: &NameRecord) -> Option<Digest> {
    // The name's record says it; what it says of an index is the ID of one of its images.
    if let Some(facts) = &record.facts {
        return facts.id.verifiable().ok().copied();
    }
    let digest = record.target().ok()?;
    let bytes = store.read_blob(digest, SIZE_LIMIT_BYTES).ok()?;
    let document = Document::read(bytes, &record.media_type, *digest).ok()?;
    document.manifest()?.config.verifiable().ok().copied()
}
