//! What a layout has beside its images: cosign's companions by their tags as names, and referrers, which
//! have no name.

use super::NAME;
use crate::error::Result;
use crate::signature::Companion;
use oci::image::{Descriptor, Document, Index};
use oci::{AnyDigest, Digest};

/// Most entries of an index that are looked into for a subject.
const ENTRIES_LIMIT: usize = 10_000;
/// What an artifact without a type is to those who list referrers.
const UNKNOWN_TYPE: &str = "application/octet-stream";

/// Whether an entry is none of the images that a user means.
pub(super) fn is_beside(entry: &Descriptor) -> bool {
    match entry.annotations.get(NAME) {
        Some(name) => Companion::is_tag(name),
        None => !entry.artifact_type.is_empty(),
    }
}

/// The entry with a name.
pub(super) fn named<'i>(index: &'i Index, name: &str) -> Option<&'i Descriptor> {
    index.manifests.iter().find(|it| it.annotations.get(NAME).is_some_and(|own| own == name))
}

/// The entries that refer to a manifest.
pub(super) fn referrers(
    index: &Index,
    subject: &Digest,
    read: &dyn Fn(&Digest) -> Result<Document>,
) -> Result<Vec<Descriptor>> {
    let subject = AnyDigest::from(*subject);
    let mut found = Vec::new();
    for entry in index.manifests.iter().take(ENTRIES_LIMIT) {
        let document = read(entry.verifiable()?)?;
        if subject_of(&document).is_some_and(|it| it.digest == subject) {
            found.push(entry.clone());
        }
    }
    Ok(found)
}

fn subject_of(document: &Document) -> Option<&Descriptor> {
    let of_image = document.manifest().and_then(|it| it.subject.as_ref());
    of_image.or_else(|| document.index().and_then(|it| it.subject.as_ref()))
}

/// The entry of a referrer: its type says that it is none of the images.
pub(super) fn referrer(document: &Document) -> Descriptor {
    let mut entry = document.descriptor();
    let (kind, annotations) = match (document.manifest(), document.index()) {
        (Some(manifest), _) => {
            (manifest.artifact_kind().unwrap_or(&manifest.config.media_type), &manifest.annotations)
        }
        (_, Some(index)) => (&*index.artifact_type, &index.annotations),
        _ => return entry,
    };
    entry.artifact_type = if kind.is_empty() { UNKNOWN_TYPE } else { kind }.to_owned();
    entry.annotations = annotations.clone();
    entry.annotations.retain(|key, _| key != NAME);
    entry
}
