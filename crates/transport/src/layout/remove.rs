//! Taking an image out of a layout.

use super::{Blobs, Place, choose, read_index, replace_index};
use crate::blob_file;
use crate::error::{Error, Result};
use crate::hash::verify_manifest;
use oci::Digest;
use oci::image::{Descriptor, Index};
use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

/// Indexes in indexes: real ones have one level.
const DEPTH_LIMIT: usize = 4;

/// Takes an image out of a layout, and those of its blobs that no other image of the layout has. Blobs in a
/// shared directory are left: other layouts may have them.
pub fn remove(place: &Place, shared_blobs: Option<&Path>) -> Result<()> {
    let fail = |error: std::io::Error| Error::os("lock", &place.directory, &error);
    let lock = File::open(&place.directory).map_err(fail)?;
    lock.lock().map_err(fail)?;
    let mut index = read_index(&place.directory)?;
    let chosen = choose(&place.to_string(), &place.select, &index)?.clone();
    let position = index.manifests.iter().position(|it| *it == chosen);
    if let Some(position) = position {
        index.manifests.remove(position);
    }
    let blobs = Blobs::new(&place.directory, shared_blobs);
    let unused = match shared_blobs {
        Some(_) => BTreeSet::new(),
        None => unused(&blobs, &chosen, &index)?,
    };
    replace_index(&place.directory, &index)?;
    for digest in unused {
        let path = blobs.path(&digest);
        match std::fs::remove_file(&path) {
            Ok(()) => {}
            // Not all of an image's platforms have to be there.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::os("remove", &path, &error)),
        }
    }
    Ok(())
}

/// What only one image of the layout leads to.
fn unused(blobs: &Blobs, image: &Descriptor, others: &Index) -> Result<BTreeSet<Digest>> {
    let mut own = BTreeSet::new();
    reach(blobs, image, 0, &mut own)?;
    let mut kept = BTreeSet::new();
    for other in &others.manifests {
        reach(blobs, other, 0, &mut kept)?;
    }
    Ok(own.difference(&kept).copied().collect())
}

/// Everything that a descriptor leads to, as far as it is there.
fn reach(
    blobs: &Blobs,
    descriptor: &Descriptor,
    depth: usize,
    found: &mut BTreeSet<Digest>,
) -> Result<()> {
    let digest = *descriptor.verifiable()?;
    if !found.insert(digest) || depth > DEPTH_LIMIT {
        return Ok(());
    }
    let path = blobs.path(&digest);
    if !blob_file::exists(&path)? {
        return Ok(());
    }
    let bytes = blob_file::read_document(&path)?;
    let document = verify_manifest(bytes, &descriptor.media_type, Some(&digest))?;
    if let Some(manifest) = document.manifest() {
        for blob in manifest.layers.iter().chain([&manifest.config]) {
            found.insert(*blob.verifiable()?);
        }
    }
    for child in document.index().into_iter().flat_map(|index| &index.manifests) {
        reach(blobs, child, depth + 1, found)?;
    }
    Ok(())
}
