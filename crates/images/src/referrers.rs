//! What is about a manifest: signatures, bills of materials, other artifacts; and what is about these.

use crate::draft::read_document;
use crate::error::{Error, Kind, Result};
use oci::Digest;
use oci::image::Descriptor;
use store::Store;
use transport::registry::Registry;

/// Artifacts about artifacts about artifacts...
const DEPTH_LIMIT: usize = 16;
/// All that is about one manifest, directly or not.
const COUNT_LIMIT: usize = 10_000;

/// Something that refers to a manifest, with what refers to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Referrer {
    /// The artifact.
    pub descriptor: Descriptor,
    /// What is about it.
    pub referrers: Vec<Referrer>,
}

/// Where it is looked for.
pub enum Beside<'b> {
    /// In a repository of a registry.
    Registry(&'b Registry),
    /// In the store.
    Store(&'b Store),
}

impl Beside<'_> {
    /// What refers to a manifest, directly or not, as deep as somebody wants. `artifact_type` is for what
    /// refers to it directly; empty for all.
    pub fn referrers(
        &self,
        subject: &Digest,
        artifact_type: &str,
        depth: usize,
    ) -> Result<Vec<Referrer>> {
        let mut count = 0;
        self.below(subject, artifact_type, depth.min(DEPTH_LIMIT), &mut count)
    }

    fn below(
        &self,
        subject: &Digest,
        artifact_type: &str,
        depth: usize,
        count: &mut usize,
    ) -> Result<Vec<Referrer>> {
        let mut found = Vec::new();
        for descriptor in self.direct(subject, artifact_type)? {
            *count += 1;
            if *count > COUNT_LIMIT {
                let text = format!("more than {COUNT_LIMIT} artifacts are about {subject}");
                return Err(Error::new(Kind::Invalid, text));
            }
            let referrers = match (descriptor.verifiable(), depth) {
                (Ok(digest), 2..) => self.below(digest, "", depth - 1, count)?,
                _ => Vec::new(),
            };
            found.push(Referrer { descriptor, referrers });
        }
        Ok(found)
    }

    fn direct(&self, subject: &Digest, artifact_type: &str) -> Result<Vec<Descriptor>> {
        match self {
            Self::Registry(registry) => Ok(registry.referrers(subject, artifact_type)?),
            Self::Store(store) => in_store(store, subject, artifact_type),
        }
    }
}

/// Looks at every named manifest: there are few artifacts in a store.
fn in_store(store: &Store, subject: &Digest, artifact_type: &str) -> Result<Vec<Descriptor>> {
    let mut found: Vec<Descriptor> = Vec::new();
    for record in store.names()?.0 {
        let Ok(digest) = record.target() else { continue };
        let Ok(document) = read_document(store, digest, &record.media_type) else { continue };
        let (about, kind, annotations) = match (document.manifest(), document.index()) {
            (Some(manifest), _) => {
                let kind = manifest.artifact_kind().unwrap_or_default();
                (&manifest.subject, kind.to_owned(), &manifest.annotations)
            }
            (_, Some(index)) => (&index.subject, index.artifact_type.clone(), &index.annotations),
            _ => continue,
        };
        let is_about = about.as_ref().is_some_and(|about| about.verifiable() == Ok(subject));
        let is_known = found.iter().any(|it| it.verifiable() == Ok(digest));
        if is_about && !is_known && (artifact_type.is_empty() || artifact_type == kind) {
            let mut descriptor = document.descriptor();
            descriptor.artifact_type = kind;
            descriptor.annotations = annotations.clone();
            found.push(descriptor);
        }
    }
    Ok(found)
}
