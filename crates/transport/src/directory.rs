//! `dir:`, skopeo's format for looking at images: one directory an image, one file a blob.
//!
//! ```text
//! version            Directory Transport Version: 1.1
//! manifest.json      the manifest that the image is
//! HEX.manifest.json  manifests that an index names
//! HEX                blobs
//! ```

use crate::blob_file::{self, not_found};
use crate::error::{Error, ErrorKind, Result};
use crate::hash::verify_manifest;
use crate::policy::Scopes;
use crate::transfer::{Blob, Sink, Source};
use oci::Digest;
use oci::image::{Descriptor, Document};
use std::io::Read;
use std::path::{Path, PathBuf};

const VERSION: &str = "Directory Transport Version: 1.1\n";
/// How every version begins.
const VERSION_PREFIX: &str = "Directory Transport Version: ";
/// Most entries of a directory that is emptied: an image has some hundred files.
const ENTRIES_LIMIT: usize = 100_000;

/// An image in a directory.
pub struct DirectorySource {
    directory: PathBuf,
}

impl DirectorySource {
    /// Opens a directory.
    pub fn open(directory: &Path) -> Result<Self> {
        // Policies know paths without links.
        let directory = directory
            .canonicalize()
            .map_err(|error| Error::os("open directory", directory, &error))?;
        Ok(Self { directory })
    }
}

impl Source for DirectorySource {
    fn scopes(&self) -> Scopes {
        Scopes::of_directory("dir", &self.directory, "")
    }

    fn manifest(&self, digest: Option<&Digest>) -> Result<Document> {
        let path = manifest_path(&self.directory, digest);
        if let Some(digest) = digest
            && !blob_file::exists(&path)?
        {
            return Err(not_found("manifest", digest, &self.directory));
        }
        verify_manifest(blob_file::read_document(&path)?, "", digest)
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Blob> {
        let digest = descriptor.verifiable()?;
        blob_file::open_blob(&self.directory.join(digest.hex()), descriptor)
    }
}

fn manifest_path(directory: &Path, digest: Option<&Digest>) -> PathBuf {
    match digest {
        Some(digest) => directory.join(format!("{}.manifest.json", digest.hex())),
        None => directory.join("manifest.json"),
    }
}

/// A directory that an image is written to.
pub struct DirectorySink {
    directory: PathBuf,
}

impl DirectorySink {
    /// Makes a directory, or empties one that holds an image. Any other is left alone.
    pub fn create(directory: &Path) -> Result<Self> {
        blob_file::create_directory(directory)?;
        let fail = |error: std::io::Error| Error::os("read directory", directory, &error);
        let mut files = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(fail)?.take(ENTRIES_LIMIT) {
            files.push(entry.map_err(fail)?.path());
        }
        let version = directory.join("version");
        if !files.is_empty() {
            let known = blob_file::read_document(&version).unwrap_or_default();
            if !known.starts_with(VERSION_PREFIX.as_bytes()) {
                let text = format!("{} is not empty, and holds no image", directory.display());
                let hint = "name a directory that is empty or not there";
                return Err(Error::new(ErrorKind::Denied, text).with_hint(hint));
            }
        }
        // The version last: what a kill leaves is still known as an image's directory.
        for path in files.iter().filter(|path| **path != version) {
            std::fs::remove_file(path).map_err(|error| Error::os("remove", path, &error))?;
        }
        blob_file::write(&version, VERSION.as_bytes())?;
        Ok(Self { directory: directory.to_owned() })
    }
}

impl Sink for DirectorySink {
    fn has_blob(&self, digest: &Digest) -> Result<bool> {
        blob_file::exists(&self.directory.join(digest.hex()))
    }

    fn put_blob(&self, descriptor: &Descriptor, content: &mut dyn Read) -> Result<()> {
        let path = self.directory.join(descriptor.verifiable()?.hex());
        blob_file::write_blob(&path, descriptor, content)
    }

    fn put_new(&self, media_type: &str, content: &mut dyn Read) -> Result<Descriptor> {
        blob_file::write_new(&self.directory, media_type, content, &|found| {
            Ok(self.directory.join(found.verifiable()?.hex()))
        })
    }

    fn put_instance(&self, manifest: &Document) -> Result<()> {
        let path = manifest_path(&self.directory, Some(manifest.digest()));
        blob_file::write(&path, manifest.bytes())
    }

    fn finish(&self, manifest: &Document) -> Result<()> {
        blob_file::write(&manifest_path(&self.directory, None), manifest.bytes())?;
        blob_file::sync_directory(&self.directory)
    }
}
