//! What is kept beside the images of a registry: simple signatures on a server or in a directory of their
//! own, sigstore's as artifacts below tags in the repository itself. `registries.d` says which.

use super::address::Address;
use super::http::{Http, Request};
use super::{Options, Registry, RegistrySink, RegistrySource};
use crate::blob_file;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::verify_manifest;
use crate::lookaside::Section;
use crate::signature::{
    Companion, SIGNATURE_LIMIT_BYTES, SIGNATURES_LIMIT, Signature, Sigstore, companion_of,
};
use oci::image::Document;
use oci::{Digest, Reference};
use std::path::Path;

/// What `registries.d` says of an image, and how servers of signatures are reached.
#[derive(Clone, Debug)]
pub struct Beside {
    /// The section.
    pub section: Section,
    /// Nobody's credentials are sent there.
    pub options: Options,
}

impl Beside {
    fn has_companions(&self) -> bool {
        self.section.sigstore_attachments == Some(true)
    }

    /// The signature of an image with a number; `None` is behind the last one.
    fn read(&self, image: &Reference, digest: &Digest, number: u32, write: bool) -> Result<Read> {
        let Some(place) = self.section.signature(image, digest, number, write)? else {
            return Ok(Read::Nowhere);
        };
        let bytes = match place.strip_prefix("file://") {
            Some(path) => match blob_file::exists(Path::new(path))? {
                true => Some(blob_file::read_document(Path::new(path))?),
                false => None,
            },
            None => fetch(&self.options, &place)?,
        };
        let Some(bytes) = bytes else { return Ok(Read::End) };
        let failed = |error: Error| Error::new(error.kind(), format!("{place}: {error}"));
        Signature::read(&bytes).map(Read::Signature).map_err(failed)
    }

    fn all(&self, image: &Reference, digest: &Digest, write: bool) -> Result<Vec<Signature>> {
        let mut all = Vec::new();
        for number in 1..=SIGNATURES_LIMIT {
            match self.read(image, digest, number, write)? {
                Read::Signature(signature) => all.push(signature),
                Read::End | Read::Nowhere => break,
            }
        }
        Ok(all)
    }
}

enum Read {
    Signature(Signature),
    End,
    /// There is no place for signatures.
    Nowhere,
}

/// Fetches a small file from a server that is no registry.
fn fetch(options: &Options, place: &str) -> Result<Option<Vec<u8>>> {
    let address = Address::parse(place)?;
    let options = Options { credentials: None, ..options.clone() };
    let answer = Http::new(&options, &address)?.send(&Request::get(address), None)?;
    match answer.status {
        404 => Ok(None),
        _ => answer.expect(&[200], "get the signature")?.read_all(SIGNATURE_LIMIT_BYTES).map(Some),
    }
}

impl Registry {
    fn repository_name(&self) -> Result<Reference> {
        Ok(Reference::parse_canonical(&self.name)?)
    }

    /// A manifest that may not be there.
    fn manifest_if_any(&self, tag: &str) -> Result<Option<Document>> {
        match self.manifest(tag, None) {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How large a blob is.
    pub fn blob_size(&self, digest: &Digest) -> Result<u64> {
        let request = Request::head(self.address(&format!("blobs/{digest}")));
        let answer = self.session.send(&request, &self.pull())?;
        if answer.status == 404 {
            return Err(self.not_found(&format!("blob {digest}")));
        }
        answer.expect(&[200], "look for the blob")?.length().ok_or_else(|| {
            let text = format!("{}: the registry does not say how large {digest} is", self.name);
            Error::new(ErrorKind::Unsupported, text)
        })
    }
}

impl RegistrySource {
    /// The same source with what is kept beside its images.
    pub fn with_beside(self, beside: Option<Beside>) -> Self {
        Self { beside, ..self }
    }

    pub(super) fn read_signatures(&self, instance: Option<&Digest>) -> Result<Vec<Signature>> {
        let Some(beside) = &self.beside else { return Ok(Vec::new()) };
        let digest = instance.unwrap_or(&self.digest);
        beside.all(&self.registry.repository_name()?, digest, false)
    }

    pub(super) fn read_companion(&self, tag: &str) -> Result<Option<Document>> {
        match self.beside.as_ref().is_some_and(Beside::has_companions) {
            true => self.registry.manifest_if_any(tag),
            false => Ok(None),
        }
    }
}

impl RegistrySink {
    /// The same sink with what is kept beside its images.
    pub fn with_beside(self, beside: Option<Beside>) -> Self {
        Self { beside, ..self }
    }

    pub(super) fn has_companions(&self) -> bool {
        self.beside.as_ref().is_some_and(Beside::has_companions)
    }

    pub(super) fn read_companion(&self, tag: &str) -> Result<Option<Document>> {
        match self.has_companions() {
            true => self.registry.manifest_if_any(tag),
            false => Ok(None),
        }
    }

    /// Puts signatures where each kind is kept, beside those that are there, and returns the others.
    pub(super) fn write_signatures(
        &self,
        manifest: &Digest,
        signatures: &[Signature],
    ) -> Result<Vec<Signature>> {
        let mut left = Vec::new();
        let (mut simple, mut sigstore) = (Vec::new(), Vec::new());
        for signature in signatures {
            match signature {
                Signature::Simple(_) => simple.push(signature),
                Signature::Sigstore(own) => sigstore.push(own),
            }
        }
        if !simple.is_empty() && !self.write_simple(manifest, &simple)? {
            left.extend(simple.into_iter().cloned());
        }
        if !sigstore.is_empty() && !self.write_sigstore(manifest, &sigstore)? {
            left.extend(sigstore.into_iter().cloned().map(Signature::Sigstore));
        }
        Ok(left)
    }

    fn write_simple(&self, digest: &Digest, signatures: &[&Signature]) -> Result<bool> {
        let Some(beside) = &self.beside else { return Ok(false) };
        let name = self.registry.repository_name()?;
        if beside.section.signature(&name, digest, 1, true).ok().flatten().is_none() {
            return Ok(false);
        }
        let there = beside.all(&name, digest, true)?;
        let new = signatures.iter().filter(|signature| !there.contains(signature));
        let first = there.len() as u32 + 1;
        for (number, signature) in (first..=SIGNATURES_LIMIT).zip(new) {
            let place = beside.section.signature(&name, digest, number, true)?;
            let Some(path) = place.as_deref().and_then(|it| it.strip_prefix("file://")) else {
                return Ok(false);
            };
            let path = Path::new(path);
            if let Some(directory) = path.parent() {
                blob_file::create_directory(directory)?;
            }
            blob_file::write(path, &signature.to_bytes())?;
        }
        Ok(true)
    }

    fn write_sigstore(&self, digest: &Digest, signatures: &[&Sigstore]) -> Result<bool> {
        if !self.has_companions() {
            return Ok(false);
        }
        let tag = Companion::Signatures.tag(digest);
        let there = self.registry.manifest_if_any(&tag)?;
        let layers: Vec<_> = signatures.iter().map(|signature| signature.layer()).collect();
        let known = there.as_ref().and_then(Document::manifest);
        let (manifest, config) = companion_of(known, &layers);
        if known.is_some_and(|known| known.layers == manifest.layers) {
            return Ok(true);
        }
        let payloads = signatures.iter().map(|signature| &signature.payload[..]);
        let blobs = layers.iter().zip(payloads).chain([(&manifest.config, config.as_bytes())]);
        for (descriptor, mut content) in blobs {
            if !self.registry.has_blob(descriptor.verifiable()?)? {
                self.registry.put_blob(descriptor, &mut content)?;
            }
        }
        let document = verify_manifest(oci::json::write(&manifest).into_bytes(), "", None)?;
        self.registry.put_manifest(&tag, &document)?;
        Ok(true)
    }
}
