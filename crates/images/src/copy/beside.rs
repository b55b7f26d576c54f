//! What travels along with an image: signatures, cosign's companions, referrers.

use super::Copying;
use crate::error::{Error, Kind, Result};
use crate::pull::reading;
use oci::Digest;
use oci::image::{Descriptor, Document};
use std::collections::BTreeSet;
use std::io::{Cursor, Read};
use transport::hash::verify_manifest;
use transport::signature::{
    COMPANIONS, Companion, SIGNATURE_LIMIT_BYTES, Signature, Sigstore, companion_of, includes,
};

/// Referrers of referrers: signatures of descriptions of an image are the third.
const DEPTH_LIMIT: usize = 8;
/// Most referrers of one image, with theirs.
const REFERRERS_LIMIT: usize = 10_000;

/// A manifest that is copied.
#[derive(Clone, Copy)]
pub(super) struct Moved {
    pub(super) old: Digest,
    /// What it is at the destination.
    pub(super) new: Digest,
    /// Whether it is one of an index in the source.
    pub(super) from_index: bool,
    /// Whether it is one of an index at the destination.
    pub(super) to_index: bool,
}

impl Copying<'_> {
    /// Copies what is beside a manifest, before whatever names the manifest comes.
    pub(super) fn beside(&self, moved: &Moved) -> Result<()> {
        let (old, new) = (&moved.old, &moved.new);
        if self.options.signatures {
            match old == new {
                true => self.signatures(moved)?,
                false if self.is_signed(moved)? => self
                    .options
                    .progress
                    .note(&format!("the signatures of {old} stay behind: the image is {new} now")),
                false => {}
            }
        }
        if self.options.referrers {
            match old == new {
                true if self.takes.referrers => self.referrers(old, 0, &mut BTreeSet::new())?,
                true if !self.source.referrers(old)?.is_empty() => {
                    let text =
                        format!("what refers to {old} stays behind: there is no place for it");
                    self.options.progress.note(&text);
                }
                false if !self.source.referrers(old)?.is_empty() => self
                    .options
                    .progress
                    .note(&format!("what refers to {old} stays behind: the image is {new} now")),
                _ => {}
            }
        }
        Ok(())
    }

    fn own_signatures(&self, moved: &Moved) -> Result<Vec<Signature>> {
        Ok(self.source.signatures(moved.from_index.then_some(&moved.old))?)
    }

    fn is_signed(&self, moved: &Moved) -> Result<bool> {
        let tag = Companion::Signatures.tag(&moved.old);
        Ok(!self.own_signatures(moved)?.is_empty() || self.source.companion(&tag)?.is_some())
    }

    fn signatures(&self, moved: &Moved) -> Result<()> {
        let digest = &moved.old;
        let mut signatures = self.own_signatures(moved)?;
        for kind in COMPANIONS {
            let tag = kind.tag(digest);
            let Some(companion) = self.source.companion(&tag)? else { continue };
            match kind {
                _ if self.takes.companions => self.companion(&tag, &companion)?,
                // Where companions have no place, their signatures may have one.
                Companion::Signatures => {
                    let mut more = self.read_signatures(&companion)?;
                    // Older programs have kept them twice.
                    more.retain(|signature| !signatures.contains(signature));
                    signatures.append(&mut more);
                }
                _ => {
                    let text = format!("{tag} stays behind: there is no place for it");
                    self.options.progress.note(&text);
                }
            }
        }
        if signatures.is_empty() {
            return Ok(());
        }
        let left = self.sink.put_signatures(digest, moved.to_index, &signatures)?;
        if !left.is_empty() {
            self.options.progress.note(&format!(
                "{} of {} signatures of {digest} stay behind: there is no place for them",
                left.len(),
                signatures.len(),
            ));
        }
        Ok(())
    }

    /// Copies an artifact below a tag, and what is there already stays a part of it.
    fn companion(&self, tag: &str, companion: &Document) -> Result<()> {
        let there = self.sink.companion(tag)?;
        if there.as_ref().is_some_and(|there| includes(there, companion)) {
            return Ok(());
        }
        let Some(manifest) = companion.manifest() else {
            let text = format!("{tag} is no artifact, but {}", companion.media_type());
            return Err(Error::new(Kind::Unsupported, text)
                .with_hint("leave signatures behind: --remove-signatures"));
        };
        let Some(known) = there.as_ref().and_then(Document::manifest) else {
            self.blobs(manifest.layers.iter().chain([&manifest.config]))?;
            return Ok(self.sink.put_companion(tag, companion)?);
        };
        let (merged, config) = companion_of(Some(known), &manifest.layers);
        self.blobs(manifest.layers.iter())?;
        if !self.sink.has_blob(merged.config.verifiable()?)? {
            self.sink.put_blob(&merged.config, &mut Cursor::new(config))?;
        }
        let merged = verify_manifest(oci::json::write(&merged).into_bytes(), "", None)?;
        Ok(self.sink.put_companion(tag, &merged)?)
    }

    fn blobs<'d>(&self, descriptors: impl Iterator<Item = &'d Descriptor>) -> Result<()> {
        for descriptor in descriptors {
            self.blob(descriptor, "Copying signature")?;
        }
        Ok(())
    }

    /// The signatures that an artifact of cosign's is made of.
    fn read_signatures(&self, companion: &Document) -> Result<Vec<Signature>> {
        let layers = companion.manifest().map(|it| &it.layers[..]).unwrap_or_default();
        let read = |layer: &Descriptor| -> Result<Signature> {
            if layer.size > SIGNATURE_LIMIT_BYTES as u64 {
                let text = format!("signature {} is larger than 4 MiB", layer.digest);
                return Err(Error::new(Kind::Invalid, text));
            }
            let mut payload = Vec::new();
            let digest = layer.verifiable()?;
            let mut blob = self.source.blob(layer)?;
            blob.read_to_end(&mut payload).map_err(|error| reading(&error, digest))?;
            Ok(Signature::Sigstore(Sigstore {
                media_type: layer.media_type.clone(),
                payload,
                annotations: layer.annotations.clone(),
            }))
        };
        layers.iter().map(read).collect()
    }

    /// Copies what refers to a manifest, and what refers to that.
    fn referrers(&self, subject: &Digest, depth: usize, seen: &mut BTreeSet<Digest>) -> Result<()> {
        if depth >= DEPTH_LIMIT {
            let text = format!("{subject}: referrers of referrers, {DEPTH_LIMIT} times");
            return Err(Error::new(Kind::Invalid, text));
        }
        for descriptor in self.source.referrers(subject)? {
            let digest = *descriptor.verifiable()?;
            if !seen.insert(digest) {
                continue;
            }
            if seen.len() > REFERRERS_LIMIT {
                let text = format!("{subject}: more than {REFERRERS_LIMIT} referrers");
                return Err(Error::new(Kind::Invalid, text));
            }
            if !self.sink.has_instance(&digest)? {
                self.referrer(&digest)?;
            }
            self.referrers(&digest, depth + 1, seen)?;
        }
        Ok(())
    }

    fn referrer(&self, digest: &Digest) -> Result<()> {
        let document = self.source.manifest(Some(digest))?;
        if let Some(manifest) = document.manifest() {
            for blob in manifest.layers.iter().chain([&manifest.config]) {
                self.blob(blob, "Copying referrer")?;
            }
        }
        for child in document.index().into_iter().flat_map(|index| &index.manifests) {
            let child = self.source.manifest(Some(child.verifiable()?))?;
            if let Some(manifest) = child.manifest() {
                for blob in manifest.layers.iter().chain([&manifest.config]) {
                    self.blob(blob, "Copying referrer")?;
                }
            }
            self.sink.put_instance(&child)?;
        }
        Ok(self.sink.put_referrer(&document)?)
    }
}
