//! Images in registries as sources and sinks.

use super::{Beside, Options, Registry};
use crate::error::{Error, ErrorKind, Result};
use crate::policy::Scopes;
use crate::registries;
use crate::signature::Signature;
use crate::transfer::{Blob, Sink, Source, Takes};
use oci::image::{Descriptor, Document};
use oci::{Digest, Reference};
use std::io::Read;

/// An image in a registry.
pub struct RegistrySource {
    pub(super) registry: Registry,
    /// What the user calls it; policies know it by this name, wherever it is.
    pub(super) name: Reference,
    /// Its manifest, which is fetched once: a tag may mean another image a moment later.
    pub(super) manifest: Option<Document>,
    /// The digest of the manifest.
    pub(super) digest: Digest,
    pub(super) beside: Option<Beside>,
}

impl RegistrySource {
    /// An image whose manifest is known.
    pub fn new(registry: Registry, name: Reference, manifest: Document) -> Self {
        let digest = *manifest.digest();
        Self { registry, name, manifest: Some(manifest), digest, beside: None }
    }

    /// An image whose manifest nobody may want to see.
    pub fn unread(registry: Registry, name: Reference, digest: Digest) -> Self {
        Self { registry, name, manifest: None, digest, beside: None }
    }

    /// Finds an image at the first of several places that has it. `options` says how each is reached. When
    /// none has it, the error tells of all.
    pub fn open(
        name: &Reference,
        places: &[registries::Source],
        options: &dyn Fn(&registries::Source) -> Result<Options>,
    ) -> Result<Self> {
        let mut failed: Vec<(ErrorKind, String)> = Vec::new();
        let mut hint = None;
        for place in places {
            let opened = options(place).and_then(|options| {
                let registry = Registry::connect(&place.reference, options)?;
                let selector = place.reference.selector();
                let manifest = registry.manifest(&selector, place.reference.digest())?;
                Ok(Self::new(registry, name.clone(), manifest))
            });
            match opened {
                Ok(source) => return Ok(source),
                Err(error) => {
                    hint = error.hint().map(str::to_owned).or(hint);
                    failed.push((error.kind(), error.to_string()));
                }
            }
        }
        // The registry itself comes last, and knows best.
        let kind = failed.last().map_or(ErrorKind::NotFound, |(kind, _)| *kind);
        let texts: Vec<String> = failed.into_iter().map(|(_, text)| text).collect();
        let error = Error::new(kind, texts.join("; "));
        Err(match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        })
    }

    /// The registry that has it.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}

impl Source for RegistrySource {
    fn scopes(&self) -> Scopes {
        Scopes::of_registry(&self.name)
    }

    fn manifest(&self, digest: Option<&Digest>) -> Result<Document> {
        let digest = digest.unwrap_or(&self.digest);
        match &self.manifest {
            Some(manifest) if manifest.digest() == digest => Ok(manifest.clone()),
            _ => self.registry.manifest(&digest.to_string(), Some(digest)),
        }
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Blob> {
        self.registry.blob(descriptor)
    }

    fn blob_size(&self, digest: &Digest) -> Result<u64> {
        self.registry.blob_size(digest)
    }

    fn signatures(&self, instance: Option<&Digest>) -> Result<Vec<Signature>> {
        self.read_signatures(instance)
    }

    fn companion(&self, tag: &str) -> Result<Option<Document>> {
        self.read_companion(tag)
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        self.registry.referrers(subject, "")
    }
}

/// An image that is written to a registry.
pub struct RegistrySink {
    pub(super) registry: Registry,
    /// The tag, if it gets one.
    pub(super) tag: Option<String>,
    pub(super) beside: Option<Beside>,
}

impl RegistrySink {
    /// An image with a name. With a digest in it, what is written has to have that.
    pub fn new(registry: Registry, name: &Reference) -> Self {
        let tag = name.tag().map(str::to_owned);
        let tag = tag.or_else(|| name.digest().is_none().then(|| name.selector()));
        Self { registry, tag, beside: None }
    }
}

impl Sink for RegistrySink {
    fn takes(&self) -> Takes {
        Takes {
            packs_layers: true,
            companions: self.has_companions(),
            referrers: true,
            ..Takes::default()
        }
    }

    fn has_blob(&self, digest: &Digest) -> Result<bool> {
        self.registry.has_blob(digest)
    }

    fn put_blob(&self, descriptor: &Descriptor, content: &mut dyn Read) -> Result<()> {
        self.registry.put_blob(descriptor, content)
    }

    fn put_new(&self, media_type: &str, content: &mut dyn Read) -> Result<Descriptor> {
        self.registry.put_new_blob(media_type, content)
    }

    fn mount_blob(&self, digest: &Digest, from: &Reference) -> Result<bool> {
        match from.domain() == self.registry.domain() && from.path() != self.registry.repository {
            true => self.registry.mount_blob(digest, from.path()),
            false => Ok(false),
        }
    }

    fn has_instance(&self, digest: &Digest) -> Result<bool> {
        self.registry.resolve(&digest.to_string()).map(|found| found.is_some())
    }

    fn put_instance(&self, manifest: &Document) -> Result<()> {
        self.registry.put_manifest(&manifest.digest().to_string(), manifest)
    }

    fn put_signatures(
        &self,
        manifest: &Digest,
        _is_instance: bool,
        signatures: &[Signature],
    ) -> Result<Vec<Signature>> {
        self.write_signatures(manifest, signatures)
    }

    fn companion(&self, tag: &str) -> Result<Option<Document>> {
        self.read_companion(tag)
    }

    fn put_companion(&self, tag: &str, manifest: &Document) -> Result<()> {
        self.registry.put_manifest(tag, manifest)
    }

    fn put_referrer(&self, manifest: &Document) -> Result<()> {
        self.put_instance(manifest)
    }

    fn finish(&self, manifest: &Document) -> Result<()> {
        match &self.tag {
            Some(tag) => self.registry.put_manifest(tag, manifest),
            None => self.put_instance(manifest),
        }
    }
}
