//! `oci:`, the image layout of the OCI image specification: many images in a directory that share
//! blobs.
//!
//! ```text
//! oci-layout               the version
//! index.json               the images, with their names as annotations
//! blobs/ALGORITHM/HEX      manifests, configurations, layers
//! ```
//!
//! `index.json` is read and replaced under a lock of the directory (`flock`), so that several
//! programs can add images at once.

mod archive;
mod beside;
mod place;
mod remove;

#[cfg(test)]
mod tests;

pub use archive::{LayoutArchive, LayoutArchiveSink, LayoutArchiveSource, LayoutArchiveWriter};
pub use place::{Place, Select};
pub use remove::remove;

use crate::blob_file::{self, not_found};
use crate::error::{Error, ErrorKind, Result};
use crate::hash::verify_manifest;
use crate::policy::Scopes;
use crate::transfer::{Blob, Sink, Source, Takes};
use oci::image::media_type::OCI_INDEX;
use oci::image::{Descriptor, Document, Index, LAYOUT_VERSION, Layout, SIZE_LIMIT_BYTES};
use oci::{Algorithm, Digest};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The annotation with an image's name.
const NAME: &str = "org.opencontainers.image.ref.name";

/// Where blobs are: in the layout, or in a directory that several layouts share.
struct Blobs(PathBuf);

impl Blobs {
    fn new(layout: &Path, shared: Option<&Path>) -> Self {
        Self(shared.map_or_else(|| layout.join("blobs"), Path::to_owned))
    }

    /// The path of a blob. A digest has no characters that lead elsewhere.
    fn path(&self, digest: &Digest) -> PathBuf {
        self.0.join(digest.algorithm().name()).join(digest.hex())
    }
}

/// An image in a layout.
pub struct LayoutSource {
    place: Place,
    blobs: Blobs,
    index: Index,
    chosen: Descriptor,
}

impl LayoutSource {
    /// Opens a layout and chooses an image.
    pub fn open(place: &Place, shared_blobs: Option<&Path>) -> Result<Self> {
        let directory = place
            .directory
            .canonicalize()
            .map_err(|error| Error::os("open layout", &place.directory, &error))?;
        let place = Place { directory, ..place.clone() };
        let index = read_index(&place.directory)?;
        let chosen = choose(&place.to_string(), &place.select, &index)?.clone();
        chosen.check()?;
        let blobs = Blobs::new(&place.directory, shared_blobs);
        Ok(Self { place, blobs, index, chosen })
    }

    /// The descriptor of the image, with its annotations and platform.
    pub fn descriptor(&self) -> &Descriptor {
        &self.chosen
    }
}

impl Source for LayoutSource {
    fn scopes(&self) -> Scopes {
        let name = match &self.place.select {
            Select::Name(name) => name,
            _ => "",
        };
        Scopes::of_directory("oci", &self.place.directory, name)
    }

    fn manifest(&self, digest: Option<&Digest>) -> Result<Document> {
        let (claimed, digest) = match digest {
            Some(digest) => ("", digest),
            None => (&*self.chosen.media_type, self.chosen.verifiable()?),
        };
        let path = self.blobs.path(digest);
        if !blob_file::exists(&path)? {
            return Err(not_found("manifest", digest, &self.place.directory));
        }
        verify_manifest(blob_file::read_document(&path)?, claimed, Some(digest))
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Blob> {
        blob_file::open_blob(&self.blobs.path(descriptor.verifiable()?), descriptor)
    }

    fn blob_size(&self, digest: &Digest) -> Result<u64> {
        blob_file::size(&self.blobs.path(digest))
    }

    fn companion(&self, tag: &str) -> Result<Option<Document>> {
        let entry = beside::named(&self.index, tag);
        entry.map(|entry| self.manifest(Some(entry.verifiable()?))).transpose()
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        beside::referrers(&self.index, subject, &|digest| self.manifest(Some(digest)))
    }
}

/// Reads `index.json`. A layout without `oci-layout` is read: many programs make such ones.
fn read_index(directory: &Path) -> Result<Index> {
    let version = directory.join("oci-layout");
    if blob_file::exists(&version)? {
        Layout::read(&blob_file::read_document(&version)?)?;
    }
    let path = directory.join("index.json");
    let bytes = blob_file::read_document(&path)?;
    Index::read_layout(&bytes).map_err(|error| Error::in_file(&path, error))
}

/// Writes `index.json` anew, under the layout's lock.
fn replace_index(directory: &Path, index: &Index) -> Result<()> {
    let path = directory.join("index.json");
    let text = oci::json::write(index);
    if text.len() > SIZE_LIMIT_BYTES {
        return Err(Error::in_file(&path, "would be larger than 4 MiB"));
    }
    blob_file::write(&path, text.as_bytes())?;
    blob_file::sync_directory(directory)
}

/// Chooses an image of an index. `what` is what messages call the place.
fn choose<'i>(what: &str, select: &Select, index: &'i Index) -> Result<&'i Descriptor> {
    let all = &index.manifests;
    let images = || all.iter().filter(|it| !beside::is_beside(it));
    let found = match select {
        Select::Only if images().count() > 1 => {
            let text = format!("{what}: there are {} images", images().count());
            let names: Vec<&str> =
                images().filter_map(|it| Some(&**it.annotations.get(NAME)?)).collect();
            let hint =
                format!("choose one: `:@0` to `:@{}`, `:{}`", all.len() - 1, names.join("`, `:"));
            return Err(Error::new(ErrorKind::Ambiguous, text).with_hint(hint));
        }
        // One that holds artifacts only is one of those.
        Select::Only => images().next().or(all.first().filter(|_| all.len() == 1)),
        Select::Name(name) => all.iter().find(|it| it.annotations.get(NAME) == Some(name)),
        Select::Position(position) => all.get(*position),
        Select::Digest(digest) => all.iter().find(|it| it.digest == (*digest).into()),
    };
    found.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("{what}: there is no such image")))
}

/// Adds an image to an index. A name stands for one image: the one that had it stays without.
fn add(index: &mut Index, mut image: Descriptor, name: Option<&String>) {
    if let Some(name) = name {
        image.annotations.insert(NAME.into(), name.clone());
        for other in &mut index.manifests {
            if other.annotations.get(NAME) == Some(name) {
                other.annotations.retain(|key, _| key != NAME);
            }
        }
    }
    index
        .manifests
        .retain(|other| other.digest != image.digest || other.annotations.contains_key(NAME));
    index.manifests.push(image);
}

/// An index of a layout without images.
fn empty_index() -> Index {
    Index { schema_version: 2, media_type: OCI_INDEX.into(), ..Index::default() }
}

fn write_version() -> String {
    oci::json::write(&Layout { image_layout_version: LAYOUT_VERSION.into() })
}

/// The name that an image is written by, if any.
fn name_of(transport: &str, place: &Place) -> Result<Option<String>> {
    match &place.select {
        Select::Only => Ok(None),
        Select::Name(name) => Ok(Some(name.clone())),
        Select::Position(_) | Select::Digest(_) => {
            let text = format!("{transport}:{}: an image is written by name only", place.details());
            Err(Error::new(ErrorKind::Unsupported, text))
        }
    }
}

/// An image that is written to a layout.
pub struct LayoutSink {
    directory: PathBuf,
    name: Option<String>,
    blobs: Blobs,
}

impl LayoutSink {
    /// Makes a layout, or adds to one. The image is called by the place's name, or has none.
    pub fn create(place: &Place, shared_blobs: Option<&Path>) -> Result<Self> {
        let name = name_of("oci", place)?;
        let directory = place.directory.clone();
        blob_file::create_directory(&directory)?;
        let version = directory.join("oci-layout");
        match blob_file::exists(&version)? {
            true => drop(Layout::read(&blob_file::read_document(&version)?)?),
            false => blob_file::write(&version, write_version().as_bytes())?,
        }
        let blobs = Blobs::new(&directory, shared_blobs);
        blob_file::sweep(&directory, None);
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            blob_file::sweep(&blobs.0.join(algorithm.name()), None);
        }
        Ok(Self { directory, name, blobs })
    }

    fn directory_of(&self, digest: &Digest) -> Result<PathBuf> {
        let path = self.blobs.path(digest);
        if let Some(parent) = path.parent() {
            blob_file::create_directory(parent)?;
        }
        Ok(path)
    }

    /// Adds an image to `index.json`.
    fn add(&self, image: Descriptor, name: Option<&String>) -> Result<()> {
        let path = self.directory.join("index.json");
        let fail = |error: std::io::Error| Error::os("lock", &self.directory, &error);
        let lock = File::open(&self.directory).map_err(fail)?;
        lock.lock().map_err(fail)?;
        let mut index = match blob_file::exists(&path)? {
            true => read_index(&self.directory)?,
            false => empty_index(),
        };
        index.schema_version = 2;
        index.media_type = OCI_INDEX.into();
        add(&mut index, image, name);
        replace_index(&self.directory, &index)
    }
}

impl Sink for LayoutSink {
    fn takes(&self) -> Takes {
        Takes { packs_layers: true, companions: true, referrers: true, ..Takes::default() }
    }

    fn has_blob(&self, digest: &Digest) -> Result<bool> {
        blob_file::exists(&self.blobs.path(digest))
    }

    fn put_blob(&self, descriptor: &Descriptor, content: &mut dyn Read) -> Result<()> {
        let path = self.directory_of(descriptor.verifiable()?)?;
        blob_file::write_blob(&path, descriptor, content)
    }

    fn put_new(&self, media_type: &str, content: &mut dyn Read) -> Result<Descriptor> {
        blob_file::write_new(&self.directory, media_type, content, &|found| {
            self.directory_of(found.verifiable()?)
        })
    }

    fn put_instance(&self, manifest: &Document) -> Result<()> {
        let path = self.directory_of(manifest.digest())?;
        blob_file::write(&path, manifest.bytes())
    }

    fn companion(&self, tag: &str) -> Result<Option<Document>> {
        if !blob_file::exists(&self.directory.join("index.json"))? {
            return Ok(None);
        }
        let index = read_index(&self.directory)?;
        let Some(entry) = beside::named(&index, tag) else { return Ok(None) };
        let digest = entry.verifiable()?;
        let bytes = blob_file::read_document(&self.blobs.path(digest))?;
        verify_manifest(bytes, &entry.media_type, Some(digest)).map(Some)
    }

    fn put_companion(&self, tag: &str, manifest: &Document) -> Result<()> {
        self.put_instance(manifest)?;
        self.add(manifest.descriptor(), Some(&tag.to_owned()))
    }

    fn put_referrer(&self, manifest: &Document) -> Result<()> {
        self.put_instance(manifest)?;
        self.add(beside::referrer(manifest), None)
    }

    fn finish(&self, manifest: &Document) -> Result<()> {
        let path = self.directory_of(manifest.digest())?;
        blob_file::write(&path, manifest.bytes())?;
        // The blobs' names must not be lost when the index that names them is not.
        if let Some(parent) = path.parent() {
            blob_file::sync_directory(parent)?;
        }
        self.add(manifest.descriptor(), self.name.as_ref())
    }
}
