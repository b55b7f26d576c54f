//! All layers of an image in one archive, in the order that everything here is packed in.

use crate::error::{Error, Kind, Result};
use crate::merged::{Inode, Merged, Node, tree_path};
use archive::tar::{Bytes, Entry, What, Writer};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::io::Write;
use std::rc::Rc;
use store::{LayerKey, Store};
use sys::Fd;
use sys::fs::{O_NOFOLLOW, O_NONBLOCK, O_RDONLY, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS};

/// Read at once.
const READ_BYTES: usize = 128 << 10;

/// Writes what layers come to as one archive; the lowest layer is the first.
pub(crate) fn flatten(store: &Store, keys: &[LayerKey], output: &mut dyn Write) -> Result<()> {
    let merged = Merged::of_layers(store, keys)?;
    let mut trees = Vec::new();
    for key in keys {
        let missing = || Error::new(Kind::NotFound, format!("layer {key} is not in the store"));
        trees.push(store.layer(key)?.ok_or_else(missing)?.diff_dir()?);
    }
    let mut writer = Writer::new(Bytes::new(output));
    // Of files with several names, the first one that was written.
    let mut written: HashMap<*const Inode, archive::TreePath> = HashMap::new();
    for (key, node) in merged.iter() {
        let path = tree_path(key)?;
        let mut entry = Entry { path: path.clone(), ..node.inode.entry.clone() };
        if !node.is_directory() {
            match written.get(&Rc::as_ptr(&node.inode)) {
                Some(first) => {
                    entry.what = What::Hardlink(first.clone());
                    entry.xattrs.clear();
                }
                None => drop(written.insert(Rc::as_ptr(&node.inode), path)),
            }
        }
        // A sparse file is written with zeros in its holes.
        if let What::File { size, .. } = entry.what {
            entry.what = What::File { size, stored: size, sparse: None };
        }
        writer.entry(&entry)?;
        if let What::File { size, .. } = entry.what
            && size > 0
        {
            contents(&trees[node.layer], entry.path.as_bytes(), node, size, &mut writer)
                .map_err(|error| error.during(shown(entry.path.as_bytes())))?;
        }
    }
    writer.finish()?;
    Ok(())
}

/// Copies a file of a layer, and compares it with what the index says.
fn contents(
    tree: &Fd,
    path: &[u8],
    node: &Node,
    size: u64,
    writer: &mut Writer<Bytes<&mut dyn Write>>,
) -> Result<()> {
    const INSIDE: u32 = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    let failed = |errno| Error::new(Kind::Os, format!("reading it: {errno}"));
    let flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;
    let file = sys::fs::open_at2(tree, path, flags, 0, INSIDE).map_err(failed)?;
    let mut buffer = vec![0; READ_BYTES];
    let mut hash = Sha256::new();
    let mut left = size;
    while left > 0 {
        let length = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match sys::fs::read(&file, &mut buffer[..length]).map_err(failed)? {
            0 => return Err(damaged()),
            length => {
                hash.update(&buffer[..length]);
                writer.data(&buffer[..length])?;
                left -= length as u64;
            }
        }
    }
    // Of a sparse file the index knows the stored parts only.
    let is_whole = matches!(node.inode.entry.what, What::File { sparse: None, .. });
    match is_whole && node.inode.sha256 != Some(hash.finalize().into()) {
        true => Err(damaged()),
        false => Ok(()),
    }
}

fn damaged() -> Error {
    Error::new(Kind::Corrupt, "its contents are not what they were")
        .with_hint("`tare fsck` says what else is damaged")
}

fn shown(path: &[u8]) -> String {
    format!("\"{}\"", path.escape_ascii())
}
