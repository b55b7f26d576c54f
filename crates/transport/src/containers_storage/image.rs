//! An image of a store as a source.

use super::assemble::Assembled;
use super::records::{ImageRecord, layers_directory};
use super::{Storage, Store};
use crate::blob_file::not_found;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::Verified;
use crate::policy::Scopes;
use crate::transfer::{Blob, Source, pour};
use oci::image::{Descriptor, Document, MediaType};
use oci::{Digest, Reference};
use std::io::Write;
use std::sync::Arc;

/// Most layers of an image: docker and overlay take 500 at most.
const LAYERS_LIMIT: usize = 1000;
/// The manifest that an image was written with.
const MANIFEST: &str = "manifest";

/// An image of a store.
pub struct StorageSource {
    store: Arc<Store>,
    record: ImageRecord,
    name: Option<Reference>,
    layers: Vec<Layer>,
}

/// A layer of an image.
struct Layer {
    store: Arc<Store>,
    id: String,
    /// The digest and size of its archive.
    diff_id: Option<Digest>,
    size: Option<u64>,
}

impl StorageSource {
    pub(super) fn new(
        storage: &Storage,
        store: &Arc<Store>,
        record: &ImageRecord,
        name: Option<&Reference>,
    ) -> Result<Self> {
        let mut layers = Vec::new();
        let mut id = &record.layer;
        while !id.is_empty() {
            let missing = || {
                let text = format!("image {}: there is no layer {id}", record.id);
                Error::new(ErrorKind::Corrupt, text).with_hint("pull the image again")
            };
            let (store, layer) = storage.layer(id).ok_or_else(missing)?;
            let size = layer.diff_size.and_then(|size| u64::try_from(size).ok());
            let (store, diff_id) = (Arc::clone(store), layer.diff_id());
            layers.push(Layer { store, id: layer.id.clone(), diff_id, size });
            if layers.len() > LAYERS_LIMIT {
                let text = format!("image {}: more than 1000 layers", record.id);
                return Err(Error::new(ErrorKind::Invalid, text));
            }
            id = &layer.parent;
        }
        layers.reverse();
        let (store, record) = (Arc::clone(store), record.clone());
        Ok(Self { store, record, name: name.cloned(), layers })
    }

    /// The image's ID.
    pub fn id(&self) -> &str {
        &self.record.id
    }

    /// The image's names.
    pub fn names(&self) -> Vec<Reference> {
        self.record.references().collect()
    }

    fn layer(&self, diff_id: &Digest) -> Option<&Layer> {
        self.layers.iter().find(|layer| layer.diff_id.as_ref() == Some(diff_id))
    }

    /// A layer whose archive was never packed: the manifest names it as it is.
    fn unpacked_layer(&self, descriptor: &Descriptor) -> Result<Option<&Layer>> {
        let layer = self.layer(descriptor.verifiable()?);
        // podman 4 writes 0 for the size of a layer that was behind a link in docker's archive.
        Ok(layer.filter(|layer| layer.size.is_none_or(|size| size == descriptor.size)))
    }
}

impl Layer {
    fn open(&self) -> Result<Assembled> {
        let Store { root, driver, .. } = &*self.store;
        let split = layers_directory(root, *driver).join(format!("{}.tar-split.gz", self.id));
        if !crate::blob_file::exists(&split)? {
            let text = format!("layer {}: its archive cannot be put together again", self.id);
            let hint = "pull the image again, or save it with podman";
            return Err(Error::new(ErrorKind::Unsupported, text).with_hint(hint));
        }
        Assembled::open(&split, &driver.files(root, &self.id)).map_err(explain)
    }
}

/// What to do about files of other users.
fn explain(error: Error) -> Error {
    match error.to_string().contains("ermission denied") {
        true => error.with_hint("the store of an ordinary user is read inside `podman unshare`"),
        false => error,
    }
}

impl Source for StorageSource {
    fn scopes(&self) -> Scopes {
        let id = Some(&*self.record.id).filter(|_| self.name.is_none());
        Scopes::of_storage(self.store.driver.name(), &self.store.root, self.name.as_ref(), id)
    }

    fn manifest(&self, digest: Option<&Digest>) -> Result<Document> {
        let named = self.name.as_ref().and_then(|name| name.digest());
        for wanted in digest.into_iter().chain(named.filter(|_| digest.is_none())) {
            let key = format!("{MANIFEST}-{wanted}");
            if let Some(found) = self.store.manifest(&self.record, &key, Some(wanted))? {
                return Ok(found);
            }
        }
        let found = self.store.manifest(&self.record, MANIFEST, digest.or(named))?;
        found.ok_or_else(|| {
            let text = format!("image {}: it has no manifest", self.record.id);
            Error::new(ErrorKind::Corrupt, text)
        })
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Blob> {
        let digest = *descriptor.verifiable()?;
        if let Some(layer) = self.unpacked_layer(descriptor)? {
            return Ok(Box::new(Verified::new(layer.open()?, digest, Some(descriptor.size))));
        }
        let bytes = self.store.big_data(&self.record, &digest.to_string())?;
        let bytes = bytes.ok_or_else(|| {
            let error = not_found("blob", &digest, &self.store.root);
            match descriptor.kind() {
                MediaType::Layer(_) => error.with_hint("layers are kept unpacked there"),
                _ => error,
            }
        })?;
        let content = std::io::Cursor::new(bytes);
        Ok(Box::new(Verified::new(content, digest, Some(descriptor.size))))
    }

    fn has_packed(&self, descriptor: &Descriptor) -> Result<bool> {
        let digest = descriptor.verifiable()?;
        let there = self.unpacked_layer(descriptor)?.is_some();
        Ok(there || self.record.has(&digest.to_string()))
    }

    fn write_plain(
        &self,
        layer: &Descriptor,
        diff_id: &Digest,
        output: &mut dyn Write,
    ) -> Result<bool> {
        let Some(found) = self.layer(diff_id) else {
            let text = format!("image {}: there is no layer {diff_id}", self.record.id);
            return match self.has_packed(layer)? {
                true => Ok(false),
                false => Err(Error::new(ErrorKind::NotFound, text)),
            };
        };
        let mut archive = Verified::new(found.open()?, *diff_id, None);
        pour(&format_args!("layer {diff_id}"), &mut archive, &mut |bytes| {
            let written = output.write_all(bytes);
            written.map_err(|e| Error::new(ErrorKind::Os, format!("write layer {diff_id}: {e}")))
        })
        .map_err(explain)?;
        Ok(true)
    }
}
