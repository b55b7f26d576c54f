//! Where things are below the root. A key is made of names that were parsed, and of nothing else.

use crate::names::{Repository, Tag, UploadId, digest_file};
use oci::{Algorithm, Digest};
use std::fmt;

/// A path below the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key(String);

impl Key {
    pub(super) fn record() -> Self {
        Self("registry.json".into())
    }

    pub(super) fn lock() -> Self {
        Self("lock".into())
    }

    /// Who collects, where several servers could.
    pub(super) fn collector() -> Self {
        Self("collector.json".into())
    }

    /// Says that content will be removed.
    pub(super) fn condemned(digest: &Digest) -> Self {
        Self(format!("condemned/{}", digest_file(digest)))
    }

    /// Whether it is beside a registry that is in a bucket: what is on its way, and locks.
    pub(super) fn is_local(&self) -> bool {
        ["uploads", "staging", "lock"].contains(&self.0.split('/').next().unwrap_or_default())
    }

    /// Whether it is content.
    pub(super) fn is_content(&self) -> bool {
        self.0.starts_with("blobs/")
    }

    /// Content, whoever it belongs to.
    pub(crate) fn content(digest: &Digest) -> Self {
        let hex = digest.hex();
        Self(format!("blobs/{}/{}/{hex}", digest.algorithm().name(), &hex[..2]))
    }

    /// Where content of an algorithm is, in directories of two digits.
    pub(super) fn contents(algorithm: Algorithm) -> Self {
        Self(format!("blobs/{}", algorithm.name()))
    }

    /// Content that begins with two digits. Anything else has none.
    pub(super) fn shard(algorithm: Algorithm, digits: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let fine = digits.len() == 2 && digits.bytes().all(is_digit);
        fine.then(|| Self::contents(algorithm).join(digits))
    }

    pub(crate) fn repositories() -> Self {
        Self("repositories".into())
    }

    pub(crate) fn repository(name: &Repository) -> Self {
        Self(format!("repositories/{}", name.directory()))
    }

    /// Says what a repository is a copy of.
    pub(crate) fn origin(name: &Repository) -> Self {
        Self(format!("repositories/{}/origin", name.directory()))
    }

    pub(crate) fn blobs(name: &Repository) -> Self {
        Self(format!("repositories/{}/blobs", name.directory()))
    }

    /// Says that a repository has a blob.
    pub(crate) fn blob(name: &Repository, digest: &Digest) -> Self {
        Self::blobs(name).join(&digest_file(digest))
    }

    pub(crate) fn manifests(name: &Repository) -> Self {
        Self(format!("repositories/{}/manifests", name.directory()))
    }

    pub(crate) fn manifest(name: &Repository, digest: &Digest) -> Self {
        Self::manifests(name).join(&digest_file(digest))
    }

    pub(crate) fn tags(name: &Repository) -> Self {
        Self(format!("repositories/{}/tags", name.directory()))
    }

    pub(crate) fn tag(name: &Repository, tag: &Tag) -> Self {
        Self::tags(name).join(tag.as_str())
    }

    /// Where the subjects of a repository are.
    pub(super) fn subjects(name: &Repository) -> Self {
        Self(format!("repositories/{}/referrers", name.directory()))
    }

    pub(crate) fn referrers(name: &Repository, subject: &Digest) -> Self {
        Self(format!("repositories/{}/referrers/{}", name.directory(), digest_file(subject)))
    }

    pub(crate) fn referrer(name: &Repository, subject: &Digest, digest: &Digest) -> Self {
        Self::referrers(name, subject).join(&digest_file(digest))
    }

    pub(crate) fn uploads() -> Self {
        Self("uploads".into())
    }

    pub(crate) fn upload(id: &UploadId) -> Self {
        Self(format!("uploads/{id}"))
    }

    /// Whose upload it is.
    pub(crate) fn upload_record(id: &UploadId) -> Self {
        Self(format!("uploads/{id}.json"))
    }

    /// Where other servers see uploads, where several servers could go on with one.
    pub(super) fn passed() -> Self {
        Self("passed".into())
    }

    /// What other servers see of an upload.
    pub(super) fn passed_upload(id: &UploadId) -> Self {
        Self(format!("passed/{id}"))
    }

    /// Says to them whose it is; the last that is made of an upload, and the first that goes.
    pub(super) fn passed_record(id: &UploadId) -> Self {
        Self::passed_upload(id).join("record")
    }

    pub(super) fn passed_piece(id: &UploadId, name: &str) -> Self {
        Self::passed_upload(id).join(name)
    }

    pub(super) fn staging() -> Self {
        Self("staging".into())
    }

    /// A file that nobody knows yet.
    pub(super) fn staged(id: &UploadId) -> Self {
        Self(format!("staging/{id}"))
    }

    fn join(&self, name: &str) -> Self {
        Self(format!("{}/{name}", self.0))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The directory that it is in.
    pub(super) fn parent(&self) -> &str {
        self.0.rsplit_once('/').map_or(".", |(parent, _)| parent)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
