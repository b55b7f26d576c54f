//! What the layers of an image come to, from their indexes alone: no file is read, nothing is mounted.
//!
//! It is what overlayfs shows of the layers: a name of an upper layer hides that of a lower one, a whiteout
//! hides what is below its layer, a directory upon a directory takes over what is in it.

use crate::error::{Error, Kind, Result};
use archive::TreePath;
use archive::index::{Entries, Listed};
use archive::tar::{Entry, What};
use std::collections::BTreeMap;
use std::io::BufReader;
use std::ops::Bound;
use std::rc::Rc;
use store::{LayerKey, Store};

/// Names of one image: what an archive may have.
const NAMES_LIMIT: u64 = archive::limits::ENTRIES;
/// Links that are followed on the way to a name: the kernel's number.
const LINKS_LIMIT: usize = 40;
/// What indexes are read in.
const BUFFER_BYTES: usize = 64 << 10;
/// How the names of whiteouts begin, and that of an opaque directory.
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
const RESERVED: &[u8] = b".wh..wh.";

/// A name in the tree. Slashes are NULs, so that a directory comes right before what is in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(Vec<u8>);

impl Key {
    fn of(path: &[u8]) -> Self {
        Self(path.iter().map(|&byte| if byte == b'/' { 0 } else { byte }).collect())
    }

    /// The path, without a slash at its beginning.
    pub(crate) fn path(&self) -> Vec<u8> {
        self.0.iter().map(|&byte| if byte == 0 { b'/' } else { byte }).collect()
    }

    pub(crate) fn is_below(&self, other: &Self) -> bool {
        match self.0.strip_prefix(&other.0[..]) {
            Some(rest) => other.0.is_empty() || rest.first() == Some(&0),
            None => false,
        }
    }

    /// The directory that it is in; the root is in none.
    pub(crate) fn parent(&self) -> Option<Self> {
        let at = self.0.iter().rposition(|&byte| byte == 0);
        match at {
            Some(at) => Some(Self(self.0[..at].to_vec())),
            None if self.0.is_empty() => None,
            None => Some(Self(Vec::new())),
        }
    }
}

/// Something that has one name or several.
#[derive(Debug)]
pub(crate) struct Inode {
    /// What the archive says of its first name.
    pub(crate) entry: Entry,
    /// Of a file, the SHA-256 of what the archive stores of it.
    pub(crate) sha256: Option<[u8; 32]>,
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) inode: Rc<Inode>,
    /// The number of the layer that gives the name.
    pub(crate) layer: usize,
}

impl Node {
    pub(crate) fn is_directory(&self) -> bool {
        matches!(self.inode.entry.what, What::Directory)
    }
}

/// The tree.
#[derive(Clone, Debug, Default)]
pub(crate) struct Merged {
    nodes: BTreeMap<Key, Node>,
    layers: usize,
}

impl Merged {
    /// Reads the layers of an image, the lowest first.
    pub(crate) fn of_layers(store: &Store, keys: &[LayerKey]) -> Result<Self> {
        let mut merged = Self::default();
        for key in keys {
            merged.add(store, key)?;
        }
        Ok(merged)
    }

    /// Adds a layer upon those that are there.
    pub(crate) fn add(&mut self, store: &Store, key: &LayerKey) -> Result<()> {
        let missing = || Error::new(Kind::NotFound, format!("layer {key} is not in the store"));
        let layer = store.layer(key)?.ok_or_else(missing)?;
        let index = BufReader::with_capacity(BUFFER_BYTES, layer.open_index()?);
        let mut entries = Entries::new(index).map_err(|error| in_layer(error, key))?;
        let number = self.layers;
        self.layers += 1;
        while let Some(listed) = entries.next_entry().map_err(|error| in_layer(error, key))? {
            self.take(number, listed);
            if self.nodes.len() as u64 > NAMES_LIMIT {
                let text = format!("more than {NAMES_LIMIT} names in one image");
                return Err(Error::new(Kind::Invalid, text));
            }
        }
        Ok(())
    }

    /// Everything, a directory before what is in it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Key, &Node)> {
        self.nodes.iter()
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Node> {
        self.nodes.get(key)
    }

    /// Whether anything is below a name.
    pub(crate) fn has_below(&self, key: &Key) -> bool {
        self.below(key).next().is_some()
    }

    fn take(&mut self, layer: usize, listed: Listed) {
        let path = listed.entry.path.clone();
        let (parent, name) = path.split().unwrap_or((b"", b""));
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            if name == OPAQUE {
                self.hide(&Key::of(parent), layer, false);
            } else if !name.starts_with(RESERVED) {
                self.hide(&Key::of(&joined(parent, hidden)), layer, true);
            }
            return;
        }
        let key = self.through_links(&Key::of(path.as_bytes()), layer);
        self.make_way(&key);
        let node = match &listed.entry.what {
            What::Hardlink(target) => {
                let target = self.through_links(&Key::of(target.as_bytes()), layer);
                match self.nodes.get(&target) {
                    Some(known) => Node { inode: Rc::clone(&known.inode), layer },
                    // The store does not take such a layer.
                    None => return,
                }
            }
            _ => {
                let Listed { entry, sha256 } = listed;
                Node { inode: Rc::new(Inode { entry, sha256 }), layer }
            }
        };
        if !node.is_directory() {
            self.remove_below(&key, |_| true);
        }
        self.nodes.insert(key, node);
    }

    /// Hides what lower layers have of a name, or only what is below it.
    fn hide(&mut self, key: &Key, layer: usize, itself: bool) {
        let is_lower = |node: &Node| node.layer != layer;
        if itself && self.nodes.get(key).is_some_and(is_lower) {
            self.nodes.remove(key);
        }
        self.remove_below(key, is_lower);
    }

    fn remove_below(&mut self, key: &Key, which: impl Fn(&Node) -> bool) {
        let below = self.below(key);
        let gone: Vec<Key> =
            below.filter(|(_, node)| which(node)).map(|(key, _)| key.clone()).collect();
        for key in gone {
            self.nodes.remove(&key);
        }
    }

    fn below(&self, key: &Key) -> impl Iterator<Item = (&Key, &Node)> {
        let top = key.clone();
        let range = self.nodes.range((Bound::Excluded(key.clone()), Bound::Unbounded));
        range.take_while(move |(key, _)| key.is_below(&top))
    }

    /// A directory without an entry is in the place of whatever a lower layer has there.
    fn make_way(&mut self, key: &Key) {
        let mut at = key.parent();
        while let Some(parent) = at {
            if self.nodes.get(&parent).is_some_and(|node| !node.is_directory()) {
                self.nodes.remove(&parent);
            }
            at = parent.parent();
        }
    }

    /// Follows links of the same layer on the way to a name, as unpacking does.
    fn through_links(&self, key: &Key, layer: usize) -> Key {
        let mut key = key.clone();
        for _ in 0..LINKS_LIMIT {
            match self.first_link(&key, layer) {
                Some(real) => key = real,
                None => break,
            }
        }
        key
    }

    fn first_link(&self, key: &Key, layer: usize) -> Option<Key> {
        let ends = key.0.iter().enumerate().filter(|(_, byte)| **byte == 0);
        for (at, _) in ends {
            let parent = Key(key.0[..at].to_vec());
            let node = self.nodes.get(&parent).filter(|node| node.layer == layer);
            if let Some(What::Symlink(target)) = node.map(|node| &node.inode.entry.what) {
                return Some(resolved(&parent, target, &key.0[at + 1..]));
            }
        }
        None
    }
}

/// `target` as a link at `link` says it, with the rest of a name behind it; the tree is its root.
fn resolved(link: &Key, target: &[u8], rest: &[u8]) -> Key {
    let mut parts: Vec<&[u8]> = Vec::new();
    let dir = link.parent().unwrap_or(Key(Vec::new()));
    if !target.starts_with(b"/") {
        parts.extend(dir.0.split(|&byte| byte == 0));
    }
    for part in target.split(|&byte| byte == b'/').chain(rest.split(|&byte| byte == 0)) {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.retain(|part| !part.is_empty());
    Key(parts.join(&0))
}

fn joined(parent: &[u8], name: &[u8]) -> Vec<u8> {
    match parent {
        b"" => name.to_vec(),
        _ => [parent, b"/", name].concat(),
    }
}

fn in_layer(error: archive::Error, key: &LayerKey) -> Error {
    Error::from(error).during(format_args!("the index of layer {key}"))
}

/// The path of a key as archives have it.
pub(crate) fn tree_path(key: &Key) -> Result<TreePath> {
    match key.0.is_empty() {
        true => Ok(TreePath::default()),
        false => Ok(TreePath::parse(&key.path(), usize::MAX)?),
    }
}
