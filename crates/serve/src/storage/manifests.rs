//! Manifests and tags of repositories.

use super::error::{Error, Result};
use super::key::Key;
use super::record::{self, ManifestRecord, TagRecord};
use super::{Storage, now_s};
use crate::bucket::Only;
use crate::limits::{MANIFEST_BYTES, RECORD_BYTES};
use crate::names::{Repository, Selector, Tag};
use oci::Digest;
use oci::image::Descriptor;
use transport::hash::digest_of;

/// A manifest with its bytes.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) digest: Digest,
    pub(crate) media_type: String,
    pub(crate) bytes: Vec<u8>,
}

/// What has to be so for a tag to be given: HTTP's conditional requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Nothing.
    None,
    /// The tag stands for this manifest (`If-Match`).
    Is(Digest),
    /// There is no such tag yet (`If-None-Match: *`).
    Absent,
}

/// A manifest that is put, verified and understood.
#[derive(Debug)]
pub(crate) struct Put<'a> {
    pub(crate) digest: Digest,
    pub(crate) media_type: &'a str,
    pub(crate) bytes: &'a [u8],
    /// Blobs of the repository that it needs.
    pub(crate) blobs: Vec<Digest>,
    /// Manifests of the repository that it needs. Caches of builds have blobs among them.
    pub(crate) children: Vec<Digest>,
    /// The repository is a copy: it need not have them yet.
    pub(crate) partial: bool,
    /// What it refers to, and what the list of referrers says of it.
    pub(crate) referrer: Option<(Digest, Descriptor)>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) condition: Condition,
}

/// How a `PUT` ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PutDone {
    Stored,
    /// It needs content that the repository has not got.
    Lacks(Digest),
    /// The tag is not what the client thinks.
    ConditionFailed,
}

impl Storage {
    /// What a tag stands for.
    pub(crate) fn resolve(&self, name: &Repository, selector: &Selector) -> Result<Option<Digest>> {
        let tag = match selector {
            Selector::Digest(digest) => return Ok(Some(*digest)),
            Selector::Tag(tag) => tag,
        };
        let key = Key::tag(name, tag);
        let Some(record) = record::read::<TagRecord>(&self.directory, &key)? else {
            return Ok(None);
        };
        let digest = Digest::parse(&record.digest);
        digest.map(Some).map_err(|error| Error::new(format!("{key}: {error}")))
    }

    /// What is known of a manifest without its bytes.
    pub(crate) fn manifest_record(
        &self,
        name: &Repository,
        digest: &Digest,
    ) -> Result<Option<ManifestRecord>> {
        record::read(&self.directory, &Key::manifest(name, digest))
    }

    /// Media type and size of a manifest.
    pub(crate) fn manifest_head(
        &self,
        name: &Repository,
        selector: &Selector,
    ) -> Result<Option<(Digest, ManifestRecord)>> {
        let Some(digest) = self.resolve(name, selector)? else { return Ok(None) };
        if matches!(selector, Selector::Digest(_)) {
            // Without a tag it is only kept for a while: whoever asks for it may put it into an index.
            self.directory.touch(&Key::manifest(name, &digest), self.touch_age())?;
        }
        Ok(self.manifest_record(name, &digest)?.map(|record| (digest, record)))
    }

    /// A manifest. Its bytes are those of its digest.
    pub(crate) fn manifest(&self, name: &Repository, selector: &Selector) -> Result<Option<Found>> {
        let Some((digest, record)) = self.manifest_head(name, selector)? else { return Ok(None) };
        let key = Key::content(&digest);
        let bytes = self.directory.read(&key, MANIFEST_BYTES)?;
        let bytes = bytes.ok_or_else(|| Error::new(format!("{key}: is not there")))?;
        match digest_of(digest.algorithm(), &bytes) == digest {
            true => Ok(Some(Found { digest, media_type: record.media_type, bytes })),
            false => Err(Error::new(format!("{key}: the stored bytes are others"))
                .with_hint("`tare registry check --repair` takes it away; push the image again")),
        }
    }

    /// Puts a manifest, and gives it tags.
    pub(crate) fn put_manifest(&self, name: &Repository, put: &Put<'_>) -> Result<PutDone> {
        for blob in put.blobs.iter().filter(|_| !put.partial) {
            if self.has_blob(name, blob)?.is_none() {
                return Ok(PutDone::Lacks(*blob));
            }
        }
        let _guard = self.lock(name);
        for child in put.children.iter().filter(|_| !put.partial) {
            let manifest = self.directory.stat(&Key::manifest(name, child))?;
            if manifest.is_none() && self.has_blob(name, child)?.is_none() {
                return Ok(PutDone::Lacks(*child));
            }
        }
        if !self.holds(name, put)? {
            return Ok(PutDone::ConditionFailed);
        }
        let key = Key::manifest(name, &put.digest);
        let mut hold = self.hold(name);
        let is_new = self.directory.stat(&key)?.is_none();
        if is_new {
            hold.grow(put.bytes.len() as u64)?;
        }
        let new_content = self.put_content(&put.digest, put.bytes)?;
        if let Some((subject, descriptor)) = &put.referrer {
            let entry = Key::referrer(name, subject, &put.digest);
            record::write(&self.directory, &entry, descriptor)?;
        }
        self.directory.touch(&key, self.touch_age())?;
        let known = self.manifest_record(name, &put.digest)?;
        let record = ManifestRecord {
            media_type: put.media_type.into(),
            size: put.bytes.len() as u64,
            subject: put.referrer.as_ref().map_or_else(String::new, |it| it.0.to_string()),
            time_s: now_s(),
        };
        if known.is_none_or(|known| known.media_type != put.media_type) {
            record::write(&self.directory, &key, &record)?;
        }
        if self.directory.was_condemned(&put.digest)? {
            self.put_content(&put.digest, put.bytes)?;
        }
        if let Some(digest) = self.still_has(name, if put.partial { &[] } else { &put.blobs })? {
            self.directory.remove(&key)?;
            return Ok(PutDone::Lacks(digest));
        }
        hold.settle(new_content, is_new);
        for tag in &put.tags {
            if !self.give_tag(name, tag, put)? {
                return Ok(PutDone::ConditionFailed);
            }
        }
        if self.directory.is_shared() && self.directory.stat(&key)?.is_none() {
            // A collector of another server has not seen the tag.
            record::write(&self.directory, &key, &record)?;
        }
        Ok(PutDone::Stored)
    }

    /// Gives a tag, if it still is as it has to be: another server may have given it since that was looked at.
    fn give_tag(&self, name: &Repository, tag: &Tag, put: &Put<'_>) -> Result<bool> {
        let key = Key::tag(name, tag);
        let only = match put.condition {
            Condition::None => Only::Always,
            Condition::Absent => Only::Absent,
            Condition::Is(digest) => match self.directory.read_version(&key, RECORD_BYTES)? {
                Some((bytes, version)) => {
                    let known: TagRecord = oci::json::read(&bytes).unwrap_or_default();
                    if known.digest != digest.to_string() {
                        return Ok(false);
                    }
                    Only::Is(version)
                }
                None => return Ok(false),
            },
        };
        let record = TagRecord { digest: put.digest.to_string(), time_s: now_s() };
        let text = oci::json::write(&record) + "\n";
        Ok(self.directory.write_if(&key, text.as_bytes(), &only)?.unwrap_or(true))
    }

    fn holds(&self, name: &Repository, put: &Put<'_>) -> Result<bool> {
        if put.condition == Condition::None {
            return Ok(true);
        }
        for tag in &put.tags {
            let now = self.resolve(name, &Selector::Tag(tag.clone()))?;
            let holds = match put.condition {
                Condition::None => true,
                Condition::Is(digest) => now == Some(digest),
                Condition::Absent => now.is_none(),
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes a tag away; says whether it was there.
    pub(crate) fn delete_tag(&self, name: &Repository, tag: &Tag) -> Result<bool> {
        let _guard = self.lock(name);
        self.directory.remove(&Key::tag(name, tag))
    }

    /// Takes a manifest away, with its tags; says whether it was there.
    pub(crate) fn delete_manifest(&self, name: &Repository, digest: &Digest) -> Result<bool> {
        let _guard = self.lock(name);
        let Some(known) = self.manifest_record(name, digest)? else { return Ok(false) };
        for tag in self.directory.list(&Key::tags(name))? {
            let Some(tag) = Tag::parse(&tag) else { continue };
            if self.resolve(name, &Selector::Tag(tag.clone()))? == Some(*digest) {
                self.directory.remove(&Key::tag(name, &tag))?;
            }
        }
        if self.directory.remove(&Key::manifest(name, digest))? {
            self.release_entry(name, digest)?;
        }
        self.remove_referrer(name, digest, &known)?;
        Ok(true)
    }

    /// Removes a manifest from the list of its subject's referrers.
    pub(super) fn remove_referrer(
        &self,
        name: &Repository,
        digest: &Digest,
        known: &ManifestRecord,
    ) -> Result<()> {
        if let Ok(subject) = Digest::parse(&known.subject) {
            self.directory.remove(&Key::referrer(name, &subject, digest))?;
        }
        Ok(())
    }

    /// The manifests of a repository.
    #[cfg(test)]
    pub(crate) fn manifests(&self, name: &Repository) -> Result<Vec<Digest>> {
        let names = self.directory.list(&Key::manifests(name))?;
        Ok(names.iter().filter_map(|name| crate::names::file_digest(name)).collect())
    }
}
