//! Mounting an image to look at it, also where nothing can be stacked.

use crate::draft::place;
use crate::error::{Error, Kind, Result};
use crate::flatten::flatten;
use crate::pipe::piped;
use crate::unpack::{Rights, unpack};
use oci::Algorithm;
use std::path::Path;
use store::{LayerKey, Mounted, Store, View};

/// Mounts layers, the lowest first: at `target`, or at a directory of the mount's own.
///
/// Without overlayfs, or on a file system that it does not take, they are copied into one layer, which stays
/// as long as something is mounted by it, and is then collected like others.
pub fn mount(
    store: &Store,
    layers: &[LayerKey],
    target: Option<&Path>,
    rights: Rights,
) -> Result<Mounted> {
    match store.mount(View::Layers(layers), target) {
        Err(error) if error.kind() == store::Kind::Unsupported && layers.len() > 1 => {}
        result => return Ok(result?),
    }
    let known = store.mounts()?.iter().find_map(|mount| mount.copy_of(layers));
    if let Some(copy) = known
        && let Ok(mounted) = store.mount(View::Copy { layers, copy }, target)
    {
        return Ok(mounted);
    }
    let mut work = store.begin()?;
    for key in layers {
        if !work.has_layer(key)? {
            return Err(Error::new(Kind::NotFound, format!("layer {key} is not in the store")));
        }
    }
    let staged = work.stage_layer()?;
    let unpacked = piped(
        |writer| flatten(store, layers, writer),
        |reader| unpack(staged, reader, Algorithm::Sha256, rights),
    )?;
    let copy = place(store, &mut work, unpacked, &[], rights)?;
    work.commit()?;
    let mounted = store.mount(View::Copy { layers, copy }, target)?;
    work.finish()?;
    Ok(mounted)
}
