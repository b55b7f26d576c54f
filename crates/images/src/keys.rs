//! Which layers of the store an image has.
//!
//! A layer is stored by the digest of its tar. Only a tar with entries for whose directories it has no
//! entries is another layer on another image: it takes their mode and owner from the layers below.
//! Where these are what such directories have anyway (root's, 0755), nothing is added to the key.

use crate::error::{Error, Kind, Result};
use crate::unpack::{Attributes, Rights, open_below};
use oci::Digest;
use oci::image::ImageConfig;
use sha2::{Digest as _, Sha256};
use store::{LayerKey, Store};
use sys::{Errno, Fd};

/// The mode of a directory that nobody says anything about.
const DEFAULT_MODE: u32 = 0o755;
/// The types and modes of `st_mode`.
const MODE_BITS: u32 = 0o7777;

/// The layers of an image as they are in the store, the lowest first; `None` for what is not there.
pub fn layer_keys(
    store: &Store,
    config: &ImageConfig,
    rights: Rights,
) -> Result<Vec<Option<LayerKey>>> {
    let mut found: Vec<Option<LayerKey>> = Vec::new();
    for diff_id in &config.rootfs.diff_ids {
        let diff_id = diff_id.verifiable()?;
        found.push(find(store, diff_id, &found, rights)?);
    }
    Ok(found)
}

/// The layer for a tar upon others.
pub(crate) fn find(
    store: &Store,
    diff_id: &Digest,
    below: &[Option<LayerKey>],
    rights: Rights,
) -> Result<Option<LayerKey>> {
    let plain = LayerKey::from(*diff_id);
    let layer = match store.layer(&plain)? {
        // It needs nothing from below, as nearly every layer.
        Some(layer) if layer.meta.implied == 0 => return Ok(Some(plain)),
        Some(layer) => layer,
        None => match store.layer_variants(diff_id)?.first() {
            Some(variant) => match store.layer(variant)? {
                Some(layer) => layer,
                None => return Ok(None),
            },
            None => return Ok(None),
        },
    };
    let Some(below) = below.iter().copied().collect::<Option<Vec<LayerKey>>>() else {
        // Nobody knows yet what it would take.
        return Ok(None);
    };
    let names = layer.implied()?;
    let names: Vec<Vec<u8>> = names.split(|&byte| byte == 0).map(<[u8]>::to_vec).collect();
    let taken = taken_from_below(store, &names, &below, rights)?;
    let key = LayerKey { diff_id: *diff_id, parents: hash(&taken) };
    Ok(store.layer(&key)?.map(|_| key))
}

/// What directories of a layer take from below, where that is not what they have anyway.
pub(crate) fn taken_from_below(
    store: &Store,
    names: &[Vec<u8>],
    below: &[LayerKey],
    rights: Rights,
) -> Result<Vec<(Vec<u8>, Attributes)>> {
    let mut trees = Vec::new();
    for key in below.iter().rev() {
        let missing = || Error::new(Kind::NotFound, format!("layer {key} is not in the store"));
        trees.push(store.layer(key)?.ok_or_else(missing)?.diff_dir()?);
    }
    let default = Attributes { mode: DEFAULT_MODE, uid: rights.owner.0, gid: rights.owner.1 };
    let mut taken = Vec::new();
    for name in names.iter().filter(|name| !name.is_empty()) {
        match seen_below(&trees, name, rights)? {
            Some(found) if found != default => taken.push((name.clone(), found)),
            _ => {}
        }
    }
    Ok(taken)
}

/// The part of a layer's key that says what it took.
pub(crate) fn hash(taken: &[(Vec<u8>, Attributes)]) -> Option<u64> {
    if taken.is_empty() {
        return None;
    }
    let mut hash = Sha256::new();
    for (name, attributes) in taken {
        hash.update(name);
        let Attributes { mode, uid, gid } = attributes;
        hash.update(format!("\0{mode:o} {uid} {gid}\n"));
    }
    let bytes = hash.finalize();
    Some(bytes[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// A directory as it is seen through the layers, the topmost first.
fn seen_below(trees: &[Fd], name: &[u8], rights: Rights) -> Result<Option<Attributes>> {
    for tree in trees {
        match open_below(tree, name, 0) {
            Ok(dir) => {
                let stat = sys::fs::stat_fd(&dir).map_err(|errno| failed(name, errno))?;
                let mode = stat.st_mode & MODE_BITS;
                return Ok(Some(Attributes { mode, uid: stat.st_uid, gid: stat.st_gid }));
            }
            // A parent may hide everything below it.
            Err(Errno::ENOENT) if hides(tree, name, rights)? => return Ok(None),
            Err(Errno::ENOENT) => {}
            // A file, a link or a whiteout is in its place.
            Err(Errno::ENOTDIR | Errno::ELOOP) => return Ok(None),
            Err(errno) => return Err(failed(name, errno)),
        }
    }
    Ok(None)
}

/// Whether a layer has an opaque directory among the parents of a name.
fn hides(tree: &Fd, name: &[u8], rights: Rights) -> Result<bool> {
    let note = rights.notes.opaque_attribute();
    let mut path = name;
    loop {
        path = match path.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => &path[..slash],
            None if path.is_empty() => return Ok(false),
            None => b"",
        };
        let place: &[u8] = if path.is_empty() { b"." } else { path };
        if let Ok(dir) = open_below(tree, place, 0)
            && sys::fs::get_xattr(&dir, note).is_ok()
        {
            return Ok(true);
        }
    }
}

fn failed(name: &[u8], errno: Errno) -> Error {
    Error::new(Kind::Os, format!("looking at \"{}\": {errno}", name.escape_ascii()))
}
