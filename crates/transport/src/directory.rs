//! `dir:`, skopeo's format for looking at images: one directory an image, one file a blob.
//!
//! ```text
//! version            Directory Transport Version: 1.1
//! manifest.json      the manifest that the image is
//! HEX.manifest.json  manifests that an index names
//! HEX                blobs
//! signature-N        signatures of the image, from 1
//! HEX.signature-N    signatures of a manifest that an index names
//! ```

use crate::blob_file::{self, not_found};
use crate::error::{Error, ErrorKind, Result};
use crate::hash::{Verified, verify_manifest};
use crate::policy::Scopes;
use crate::signature::{SIGNATURES_LIMIT, Signature};
use crate::transfer::{Blob, Sink, Source};
use oci::Digest;
use oci::image::{Descriptor, Document};
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

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

    fn blob_size(&self, digest: &Digest) -> Result<u64> {
        blob_file::size(&self.directory.join(digest.hex()))
    }

    fn signatures(&self, instance: Option<&Digest>) -> Result<Vec<Signature>> {
        let mut all = Vec::new();
        for number in 1..=SIGNATURES_LIMIT {
            let path = signature_path(&self.directory, instance, number);
            if !blob_file::exists(&path)? {
                break;
            }
            let signature = Signature::read(&blob_file::read_document(&path)?);
            all.push(signature.map_err(|error| Error::in_file(&path, error))?);
        }
        Ok(all)
    }
}

fn signature_path(directory: &Path, instance: Option<&Digest>, number: u32) -> PathBuf {
    match instance {
        Some(digest) => directory.join(format!("{}.signature-{number}", digest.hex())),
        None => directory.join(format!("signature-{number}")),
    }
}

fn manifest_path(directory: &Path, digest: Option<&Digest>) -> PathBuf {
    match digest {
        Some(digest) => directory.join(format!("{}.manifest.json", digest.hex())),
        None => directory.join("manifest.json"),
    }
}

/// A directory that an image is written to.
///
/// Blobs that a command before has left there are used again: a copy that was interrupted goes on. When the
/// image is complete, the others go.
pub struct DirectorySink {
    directory: PathBuf,
    /// Blobs that were in the directory before.
    old: Mutex<BTreeSet<String>>,
}

impl DirectorySink {
    /// Makes a directory, or takes one that holds an image. Any other is left alone.
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
        let mut old = BTreeSet::new();
        // The version stays: what a kill leaves is still known as an image's directory.
        for path in files.iter().filter(|path| **path != version) {
            match path.file_name().and_then(|name| name.to_str()).filter(|name| is_hash(name)) {
                Some(name) => drop(old.insert(name.to_owned())),
                None => remove(path)?,
            }
        }
        blob_file::write(&version, VERSION.as_bytes())?;
        Ok(Self { directory: directory.to_owned(), old: Mutex::new(old) })
    }

    /// Whether a blob was there before; nobody asks for it twice.
    fn take_old(&self, digest: &Digest) -> bool {
        self.old.lock().unwrap_or_else(PoisonError::into_inner).remove(&digest.hex())
    }
}

/// Whether a name is the hexadecimal form of a hash.
fn is_hash(name: &str) -> bool {
    matches!(name.len(), 64 | 128)
        && name.bytes().all(|it| it.is_ascii_digit() || (b'a'..=b'f').contains(&it))
}

fn remove(path: &Path) -> Result<()> {
    std::fs::remove_file(path).map_err(|error| Error::os("remove", path, &error))
}

impl Sink for DirectorySink {
    fn has_blob(&self, digest: &Digest) -> Result<bool> {
        let path = self.directory.join(digest.hex());
        if self.take_old(digest) {
            // Another program may have left half of it.
            let mut content = Verified::new(blob_file::open(&path)?, *digest, None);
            if std::io::copy(&mut content, &mut std::io::sink()).is_err() {
                remove(&path)?;
            }
        }
        blob_file::exists(&path)
    }

    fn put_blob(&self, descriptor: &Descriptor, content: &mut dyn Read) -> Result<()> {
        let digest = descriptor.verifiable()?;
        self.take_old(digest);
        blob_file::write_blob(&self.directory.join(digest.hex()), descriptor, content)
    }

    fn put_new(&self, media_type: &str, content: &mut dyn Read) -> Result<Descriptor> {
        blob_file::write_new(&self.directory, media_type, content, &|found| {
            let digest = found.verifiable()?;
            self.take_old(digest);
            Ok(self.directory.join(digest.hex()))
        })
    }

    fn put_instance(&self, manifest: &Document) -> Result<()> {
        let path = manifest_path(&self.directory, Some(manifest.digest()));
        blob_file::write(&path, manifest.bytes())
    }

    fn put_signatures(
        &self,
        manifest: &Digest,
        is_instance: bool,
        signatures: &[Signature],
    ) -> Result<Vec<Signature>> {
        let instance = is_instance.then_some(manifest);
        for (number, signature) in (1..).zip(signatures) {
            let path = signature_path(&self.directory, instance, number);
            blob_file::write(&path, &signature.to_bytes())?;
        }
        Ok(Vec::new())
    }

    fn finish(&self, manifest: &Document) -> Result<()> {
        for name in self.old.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            remove(&self.directory.join(name))?;
        }
        blob_file::write(&manifest_path(&self.directory, None), manifest.bytes())?;
        blob_file::sync_directory(&self.directory)
    }
}
