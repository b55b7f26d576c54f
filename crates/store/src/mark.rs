//! What is reachable: from names, containers, mounts and work in flight.

use crate::error::{Error, Kind, Result};
use crate::layout::{self, LayerKey};
use crate::limits::{DOCUMENTS, INDEX_DEPTH};
use crate::name;
use crate::store::Store;
use crate::{files, mounts};
use oci::image::{Content, Document, ImageConfig, MediaType, SIZE_LIMIT_BYTES};
use oci::{AnyDigest, Digest};
use std::collections::HashSet;
use sys::fs;

/// Largest list of what work in flight needs: 200,000 digests.
const NEEDS_LIMIT_BYTES: usize = 16 << 20;

/// What is reachable.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    blobs: HashSet<Digest>,
    /// Layers of any parents.
    diff_ids: HashSet<Digest>,
    keys: HashSet<LayerKey>,
}

impl Marks {
    pub(crate) fn has_blob(&self, digest: &Digest) -> bool {
        self.blobs.contains(digest)
    }

    pub(crate) fn has_layer(&self, key: &LayerKey) -> bool {
        self.keys.contains(key) || self.diff_ids.contains(&key.diff_id)
    }

    /// Marks from every root. What cannot be read stops it: nobody knows what it would lead to.
    pub(crate) fn of(store: &Store) -> Result<Self> {
        let mut marks = Self::default();
        let mut failed = None;
        name::each(store.root(), &mut |record| {
            let marked = record.and_then(|record| {
                let target = *record.target()?;
                if store.own_blob_size(&target)?.is_none() {
                    let text = format!("{}: its manifest {target} is missing", record.reference);
                    return Err(Error::corrupt(text));
                }
                marks.document(store, target, &record.media_type)
            });
            if let Err(error) = marked {
                failed.get_or_insert(error);
            }
        })?;
        if let Some(error) = failed {
            let hint =
                "`tare fsck --repair` mends the store; until then nothing is removed from it";
            return Err(error.with_hint(hint));
        }
        for id in store.containers()? {
            let path = format!("{}/{}", layout::container(&id), layout::META);
            let record: crate::ContainerRecord = match files::read_record(store.root(), &path) {
                Err(error) if error.kind() == Kind::NotFound => continue,
                result => result?,
            };
            marks.keys.extend(record.keys()?);
            marks.keys.extend(record.mounted_keys()?);
            let mounted = record.mounted.into_iter().map(|it| it.image);
            for image in mounted.chain([record.image]) {
                if let AnyDigest::Known(image) = image {
                    marks.document(store, image, "")?;
                }
            }
        }
        for record in mounts::live(store)? {
            marks.keys.extend(record.keys());
        }
        for name in files::list(store.root(), layout::STAGING)? {
            marks.needs(store, &format!("{}/{name}/{}", layout::STAGING, layout::NEEDS))?;
        }
        Ok(marks)
    }

    /// Work in flight needs manifests with all that they name, blobs, and layers.
    fn needs(&mut self, store: &Store, path: &str) -> Result<()> {
        let bytes = match fs::read_file(store.root(), path, NEEDS_LIMIT_BYTES) {
            // Just begun, or just ended.
            Err(sys::Errno::ENOENT | sys::Errno::ENOTDIR) => return Ok(()),
            result => result.map_err(|errno| Error::os(format!("reading {path}"), errno))?,
        };
        for line in String::from_utf8_lossy(&bytes).lines() {
            if let Ok(digest) = Digest::parse(line) {
                self.diff_ids.insert(digest);
                self.document(store, digest, "")?;
            }
        }
        Ok(())
    }

    /// Marks a document and all that it names. What is not here is not there to be kept: of an index
    /// only some platforms are pulled.
    pub(crate) fn document(&mut self, store: &Store, root: Digest, media_type: &str) -> Result<()> {
        let mut todo = vec![(root, media_type.to_owned(), 0)];
        let mut count = 0;
        while let Some((digest, media_type, depth)) = todo.pop() {
            count += 1;
            if count > DOCUMENTS || depth > INDEX_DEPTH {
                let text = format!("{root}: names more than {DOCUMENTS} documents");
                return Err(Error::new(Kind::Limit, text));
            }
            if !self.blobs.insert(digest) {
                continue;
            }
            let Some(document) = read_document(store, digest, &media_type)? else { continue };
            match document.content() {
                Content::Index(index) => {
                    for child in &index.manifests {
                        if let Ok(digest) = child.verifiable() {
                            todo.push((*digest, child.media_type.clone(), depth + 1));
                        }
                    }
                }
                Content::Manifest(manifest) => {
                    for blob in manifest.layers.iter().chain([&manifest.config]) {
                        self.blobs.extend(blob.verifiable().ok());
                    }
                    self.diff_ids.extend(diff_ids(store, manifest)?);
                }
                Content::Schema1(_) | Content::Other => {}
            }
        }
        Ok(())
    }
}

/// Reads a manifest that may be none, and may not be here.
pub(crate) fn read_document(
    store: &Store,
    digest: Digest,
    media_type: &str,
) -> Result<Option<Document>> {
    let Some(bytes) = read_if_small(store, &digest)? else { return Ok(None) };
    // The bytes are what the digest says; so if they are no document they never were.
    Ok(Document::read(bytes, media_type, digest).ok())
}

/// The layers that an image's configuration names, if that is here.
pub(crate) fn diff_ids(store: &Store, manifest: &oci::image::Manifest) -> Result<Vec<Digest>> {
    let is_image = matches!(manifest.config.kind(), MediaType::Config(_));
    let Ok(digest) = manifest.config.verifiable() else { return Ok(Vec::new()) };
    if !is_image {
        return Ok(Vec::new());
    }
    let Some(bytes) = read_if_small(store, digest)? else { return Ok(Vec::new()) };
    let config = ImageConfig::read(&bytes).unwrap_or_default();
    Ok(config.rootfs.diff_ids.iter().filter_map(|id| id.verifiable().ok().copied()).collect())
}

fn read_if_small(store: &Store, digest: &Digest) -> Result<Option<Vec<u8>>> {
    match store.read_blob(digest, SIZE_LIMIT_BYTES) {
        Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Limit) => Ok(None),
        result => result.map(Some),
    }
}
