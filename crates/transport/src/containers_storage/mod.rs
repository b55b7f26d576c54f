//! `containers-storage:`, the images of podman, buildah and CRI-O, read from where they lie.
//!
//! ```text
//! DRIVER-images/images.json      the images: ID, names, digests, uppermost layer
//! DRIVER-images/ID/KEY           manifests and configurations; a KEY that is no plain name is in base 64
//! DRIVER-layers/layers.json      the layers: ID, layer below, digest and size of the archive
//! DRIVER-layers/ID.tar-split.gz  what the layer's archive was besides the contents of its files
//! overlay/ID/diff                the files of a layer (overlay)
//! vfs/dir/ID                     the files of a layer and of those below it (vfs)
//! ```
//!
//! Layers are not kept as they were packed. A manifest is the stored one, so that its layers are
//! had with [`Source::write_plain`], as archives that are put together again byte for byte.
//!
//! No lock is taken. Every list is replaced by a rename, so that what is read is whole, and what
//! belongs to an image that somebody removes meanwhile is not there or has another digest.
//!
//! [`Source::write_plain`]: crate::Source::write_plain

mod assemble;
mod configuration;
mod image;
mod records;

#[cfg(test)]
mod tests;

pub use configuration::Configuration;
pub use image::StorageSource;

use crate::blob_file;
use crate::error::{Error, ErrorKind, Result};
use crate::place::{StorageImage, StorePlace};
use oci::image::Document;
use oci::{Digest, Reference};
use records::{ImageRecord, LayerRecord};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Most stores that are looked at: the own one and read-only ones.
const STORES_LIMIT: usize = 64;

/// How files of layers are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// A directory a layer, mounted above each other.
    Overlay,
    /// Copies.
    Vfs,
}

impl Driver {
    const ALL: [Self; 2] = [Self::Overlay, Self::Vfs];

    /// The name in paths and policies.
    pub fn name(self) -> &'static str {
        match self {
            Self::Overlay => "overlay",
            Self::Vfs => "vfs",
        }
    }

    /// Where the files of a layer are.
    fn files(self, root: &Path, id: &str) -> PathBuf {
        match self {
            Self::Overlay => root.join("overlay").join(id).join("diff"),
            Self::Vfs => root.join("vfs/dir").join(id),
        }
    }
}

/// Which stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The own store.
    pub root: PathBuf,
    /// The driver; `None` is the one that the store was made with.
    pub driver: Option<String>,
    /// Read-only stores, of the same driver.
    pub additional: Vec<PathBuf>,
}

impl Options {
    /// The store that a user has written.
    pub fn of(place: &StorePlace) -> Self {
        let stores = place.options.iter().filter_map(|option| {
            let (key, value) = option.split_once('=')?;
            let key = key.split_once('.').map_or(key, |(_, key)| key);
            matches!(key, "imagestore" | "additionalimagestore").then(|| PathBuf::from(value))
        });
        Self {
            root: place.root.clone(),
            driver: place.driver.clone(),
            additional: stores.collect(),
        }
    }
}

/// A store with the read-only ones that it stands on.
pub struct Storage {
    driver: Driver,
    stores: Vec<Arc<Store>>,
}

/// One store.
struct Store {
    root: PathBuf,
    driver: Driver,
    images: Vec<ImageRecord>,
    layers: BTreeMap<String, LayerRecord>,
}

/// An image of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredImage {
    /// The ID: 64 digits.
    pub id: String,
    /// The names. What is none is left out.
    pub names: Vec<Reference>,
    /// The digests of its manifest and of the index that it was chosen from.
    pub digests: Vec<Digest>,
}

impl Storage {
    /// Reads the lists of a store.
    pub fn open(options: &Options) -> Result<Self> {
        let root = &options.root;
        let there = |driver: &Driver| blob_file::exists(&records::images_path(root, *driver));
        let driver = match &options.driver {
            Some(name) => *Driver::ALL.iter().find(|it| it.name() == name).ok_or_else(|| {
                let text = format!("the driver `{name}` is not read");
                Error::new(ErrorKind::Unsupported, text).with_hint("overlay and vfs are")
            })?,
            None => {
                let mut found = Vec::new();
                for driver in Driver::ALL {
                    if there(&driver)? {
                        found.push(driver);
                    }
                }
                match found[..] {
                    [driver] => driver,
                    [] => {
                        let text = format!("{}: there is no store with images", root.display());
                        return Err(Error::new(ErrorKind::NotFound, text));
                    }
                    _ => {
                        let text = format!("{}: there are stores of two drivers", root.display());
                        let hint = format!("choose one: `[overlay@{}]`", root.display());
                        return Err(Error::new(ErrorKind::Ambiguous, text).with_hint(hint));
                    }
                }
            }
        };
        if options.additional.len() >= STORES_LIMIT {
            return Err(Error::new(ErrorKind::Invalid, "more than 64 stores"));
        }
        let mut stores = Vec::new();
        for root in [root].into_iter().chain(&options.additional) {
            let images = records::read_images(root, driver)?;
            let layers = records::read_layers(root, driver)?;
            stores.push(Arc::new(Store { root: root.clone(), driver, images, layers }));
        }
        Ok(Self { driver, stores })
    }

    /// The driver.
    pub fn driver(&self) -> Driver {
        self.driver
    }

    /// The images. What is in several stores is there once.
    pub fn images(&self) -> Vec<StoredImage> {
        let mut images: Vec<StoredImage> = Vec::new();
        for record in self.stores.iter().flat_map(|store| &store.images) {
            if !images.iter().any(|known| known.id == record.id) {
                images.push(StoredImage {
                    id: record.id.clone(),
                    names: record.references().collect(),
                    digests: record.digests(),
                });
            }
        }
        images
    }

    /// An image.
    pub fn source(&self, image: &StorageImage) -> Result<StorageSource> {
        let (store, record) = self.find(image)?;
        StorageSource::new(self, store, record, image.name.as_ref())
    }

    fn find(&self, image: &StorageImage) -> Result<(&Arc<Store>, &ImageRecord)> {
        let missing = || {
            let text = format!("containers-storage:{image}: there is no such image");
            Error::new(ErrorKind::NotFound, text)
        };
        let all = || {
            let stores = self.stores.iter();
            stores.flat_map(|store| store.images.iter().map(move |record| (store, record)))
        };
        if let Some(start) = &image.maybe_id
            && let Some(found) = one_of(image, all().filter(|it| it.1.id.starts_with(start)))?
        {
            return Ok(found);
        }
        let named = |record: &ImageRecord| match &image.name {
            Some(name) => record.references().any(|it| it.name() == name.name()),
            None => true,
        };
        if let Some(id) = &image.id {
            let found = all().filter(|it| it.1.id.starts_with(id) && named(it.1));
            return one_of(image, found)?.ok_or_else(missing);
        }
        let name = image.name.as_ref().ok_or_else(missing)?;
        // A name stands for one image; the own store comes first.
        if let Some(found) = all().find(|it| it.1.references().any(|known| known == *name)) {
            return Ok(found);
        }
        // Several images may be of one index: for several platforms.
        let digest = name.digest().ok_or_else(missing)?;
        let mut found = all().filter(|it| named(it.1) && it.1.digests().contains(digest));
        found.next().ok_or_else(missing)
    }

    /// A layer, in whatever store it is.
    fn layer(&self, id: &str) -> Option<(&Arc<Store>, &LayerRecord)> {
        self.stores.iter().find_map(|store| Some((store, store.layers.get(id)?)))
    }
}

/// The image that the beginning of an ID stands for.
fn one_of<'a>(
    image: &StorageImage,
    mut found: impl Iterator<Item = (&'a Arc<Store>, &'a ImageRecord)>,
) -> Result<Option<(&'a Arc<Store>, &'a ImageRecord)>> {
    let Some(first) = found.next() else { return Ok(None) };
    match found.find(|it| it.1.id != first.1.id) {
        None => Ok(Some(first)),
        Some(other) => {
            let text = format!("containers-storage:{image}: there are several images");
            let hint = format!("choose one: `@{}`, `@{}`", first.1.id, other.1.id);
            Err(Error::new(ErrorKind::Ambiguous, text).with_hint(hint))
        }
    }
}

impl Store {
    /// A manifest or configuration of an image; `None` when there is none.
    fn big_data(&self, image: &ImageRecord, key: &str) -> Result<Option<Vec<u8>>> {
        if !image.has(key) {
            return Ok(None);
        }
        let directory = records::images_path(&self.root, self.driver).with_file_name(&image.id);
        blob_file::read_document(&directory.join(records::file_name(key))).map(Some)
    }

    /// A manifest of an image, which has to be what its digest says where that is known.
    fn manifest(
        &self,
        image: &ImageRecord,
        key: &str,
        digest: Option<&Digest>,
    ) -> Result<Option<Document>> {
        let Some(bytes) = self.big_data(image, key)? else { return Ok(None) };
        let known = image.big_data_digests.get(key).and_then(|digest| Digest::parse(digest).ok());
        let document = crate::hash::verify_manifest(bytes, "", digest.or(known.as_ref()))?;
        Ok(Some(document))
    }
}
