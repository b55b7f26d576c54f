//! What one image changes of another: from the indexes of their layers, without reading a file.

use crate::draft::read_image;
use crate::error::{Error, Kind, Result};
use crate::keys::layer_keys;
use crate::merged::{Key, Merged, Node};
use crate::unpack::Rights;
use archive::tar::{Entry, What};
use oci::image::Document;
use std::collections::BTreeMap;
use std::rc::Rc;
use store::{LayerKey, Store};

/// What happened to a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It is something else, or something below it has changed.
    Changed,
    /// It is new.
    Added,
    /// It is gone.
    Deleted,
}

/// Whether times count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// A file of another time is another file, as docker and podman see it.
    Count,
    /// Only what files are counts: images that were built again have new times everywhere.
    Ignored,
}

/// A name that is not in both images as it is in one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differing {
    /// What happened to it.
    pub kind: ChangeKind,
    /// Its path, with a slash at the beginning.
    pub path: Vec<u8>,
}

/// What an image changes of another one, or without one, its topmost layer of those below it. A directory
/// comes before what is in it.
pub fn diff(
    store: &Store,
    image: &Document,
    base: Option<&Document>,
    times: Times,
    rights: Rights,
) -> Result<Vec<Differing>> {
    let upper = layers(store, image, rights)?;
    let lower = match base {
        Some(base) => layers(store, base, rights)?,
        None => upper[..upper.len().saturating_sub(1)].to_vec(),
    };
    // Where both have the same layers they are read once.
    let same = upper.iter().zip(&lower).take_while(|(one, other)| one == other).count();
    let common = Merged::of_layers(store, &upper[..same])?;
    let whole = |keys: &[LayerKey]| -> Result<Merged> {
        let mut merged = common.clone();
        keys[same..].iter().try_for_each(|key| merged.add(store, key))?;
        Ok(merged)
    };
    Ok(compare(&whole(&upper)?, &whole(&lower)?, times))
}

fn layers(store: &Store, image: &Document, rights: Rights) -> Result<Vec<LayerKey>> {
    let (_, configuration) = read_image(store, image)?;
    let view = configuration.view()?;
    let keys = layer_keys(store, &view, rights)?;
    let missing = || {
        Error::new(Kind::NotFound, format!("not all layers of {} are here", image.digest()))
            .with_hint("pull the image again")
    };
    keys.into_iter().collect::<Option<Vec<_>>>().ok_or_else(missing)
}

fn compare(upper: &Merged, lower: &Merged, times: Times) -> Vec<Differing> {
    let mut found: BTreeMap<Key, ChangeKind> = BTreeMap::new();
    for (key, node) in upper.iter() {
        match lower.get(key) {
            None => drop(found.insert(key.clone(), ChangeKind::Added)),
            Some(old) if is_same(old, node, times) => {}
            Some(_) => drop(found.insert(key.clone(), ChangeKind::Changed)),
        }
    }
    let mut gone: Option<Key> = None;
    for (key, _) in lower.iter().filter(|(key, _)| upper.get(key).is_none()) {
        // What is in a directory goes with it.
        let inside = gone.as_ref().is_some_and(|gone| key.is_below(gone));
        if !inside && !upper.has_below(key) {
            found.insert(key.clone(), ChangeKind::Deleted);
            gone = Some(key.clone());
        }
    }
    for key in found.keys().cloned().collect::<Vec<_>>() {
        let mut parent = key.parent();
        while let Some(key) = parent {
            parent = key.parent();
            let is_known = upper.get(&key).is_some() || upper.has_below(&key);
            if is_known && parent.is_some() {
                found.entry(key).or_insert(ChangeKind::Changed);
            }
        }
    }
    let shown = |key: &Key| [b"/", &key.path()[..]].concat();
    found.iter().map(|(key, kind)| Differing { kind: *kind, path: shown(key) }).collect()
}

fn is_same(old: &Node, new: &Node, times: Times) -> bool {
    if Rc::ptr_eq(&old.inode, &new.inode) {
        return true;
    }
    let (one, other): (&Entry, &Entry) = (&old.inode.entry, &new.inode.entry);
    let same_kind = match (&one.what, &other.what) {
        (What::File { size, sparse, .. }, What::File { size: other_size, sparse: other, .. }) => {
            // The digest is that of the stored parts.
            size == other_size && sparse == other && old.inode.sha256 == new.inode.sha256
        }
        (one, other) => one == other,
    };
    let is_directory = matches!(one.what, What::Directory);
    let sorted = |entry: &Entry| {
        let mut all = entry.xattrs.clone();
        all.sort();
        all
    };
    same_kind
        && (one.mode, one.uid, one.gid) == (other.mode, other.uid, other.gid)
        && (is_directory || times == Times::Ignored || one.mtime == other.mtime)
        && sorted(one) == sorted(other)
}
