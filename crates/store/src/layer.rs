//! Layers: a directory each, under the digest of the tar that it was.

use crate::error::{During, Error, Kind, Result};
use crate::files::{self, Durability};
use crate::layout::{self, DIFF, IMPLIED, INDEX, KEPT, LayerKey, META};
use crate::store::Store;
use crate::{fault, limits};
use oci::{AnyDigest, Digest};
use sys::Fd;
use sys::time::Time;

/// The version of a layer's record.
const META_FORMAT: u32 = 1;
/// The form of a layer that is a directory tree.
const FORM_DIR: &str = "dir";

oci::document! {
    /// `meta.json` of a layer: written last, so a layer without it is none.
    LayerMeta(snake) {
        format: u32 => required,
        diff_id: AnyDigest => required,
        /// Size of the tar.
        tar_bytes: u64 => always,
        /// What the layer takes on the disk.
        disk_bytes: u64 => always,
        /// Entries of the tar.
        entries: u64 => always,
        /// Directories that the tar has no entries for: see [`Layer::implied`].
        implied: u64,
        /// The tar has an entry for the root directory: see [`Layer::root`].
        has_root: bool,
        /// In which forms it is here: `dir`, later others beside it.
        forms: Vec<String> => always,
    }
}

/// The mode of a root directory of which no layer says anything.
pub(crate) const ROOT_MODE: u32 = 0o755;

/// What is known of a layer when it has been unpacked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerFacts {
    /// Size of the tar.
    pub tar_bytes: u64,
    /// What the tree takes on the disk; it is counted when nobody knows.
    pub disk_bytes: Option<u64>,
    /// Entries of the tar.
    pub entries: u64,
    /// How many directories were noted ([`StagedLayer::note_implied`]).
    pub implied: u64,
    /// Whether the tar has an entry for the root directory.
    pub has_root: bool,
}

/// A layer that is being made: an empty tree, and a place for its index.
#[derive(Debug)]
pub struct StagedLayer {
    path: String,
    dir: Fd,
    diff: Fd,
}

impl StagedLayer {
    /// The directory to unpack into.
    pub fn diff_dir(&self) -> &Fd {
        &self.diff
    }

    /// Makes the file of the index: what the tar was, beyond the tree. It is made once.
    pub fn create_index(&self) -> Result<Fd> {
        files::create(&self.dir, INDEX)
    }

    /// Makes the directory for contents that a later entry of the same tar replaces.
    pub fn create_kept(&self) -> Result<Fd> {
        files::make_dir(&self.dir, KEPT)?;
        files::open_dir(&self.dir, KEPT)
    }

    /// Removes that directory when nothing came into it.
    pub fn drop_kept(&self) -> Result<()> {
        files::remove(&self.dir, KEPT, sys::fs::AT_REMOVEDIR).map(drop)
    }

    /// Notes the directories that the tar has no entries for, with a NUL behind each.
    pub fn note_implied(&self, paths: &[u8]) -> Result<()> {
        let file = files::create(&self.dir, IMPLIED)?;
        sys::fs::write_all(&file, paths).during(|| "noting a layer's directories".into())
    }

    /// Replaces the tree by another directory of the same file system: the upper directory of a
    /// container becomes a layer by a rename.
    pub fn adopt(&mut self, parent: &Fd, name: &str) -> Result<()> {
        sys::fs::unlink(&self.dir, DIFF, sys::fs::AT_REMOVEDIR)
            .during(|| "making room for a tree".into())?;
        sys::fs::rename(parent, name, &self.dir, DIFF, 0)
            .during(|| format!("taking {name} as a layer"))?;
        self.diff = files::open_dir(&self.dir, DIFF)?;
        Ok(())
    }

    /// Writes the record; returns where the layer is.
    pub(crate) fn seal(self, root: &Fd, key: &LayerKey, facts: LayerFacts) -> Result<String> {
        let count = || files::disk_bytes(root, &self.path);
        let meta = LayerMeta {
            format: META_FORMAT,
            diff_id: key.diff_id.into(),
            tar_bytes: facts.tar_bytes,
            disk_bytes: facts.disk_bytes.unwrap_or_else(count),
            entries: facts.entries,
            implied: facts.implied,
            has_root: facts.has_root,
            forms: vec![FORM_DIR.to_owned()],
        };
        // The commit's `syncfs` comes before the layer gets its name.
        files::write_record(&self.dir, META, &meta, Durability::None)
            .map_err(|error| error.about(format_args!("layer {}", key.diff_id)))?;
        fault::step("layer sealed");
        Ok(self.path)
    }
}

/// Makes the place for a layer.
pub(crate) fn stage(root: &Fd, path: String) -> Result<StagedLayer> {
    files::make_dir(root, &path)?;
    let dir = files::open_dir(root, &path)?;
    // The root of a layer has mode 0755 unless the tar says otherwise.
    sys::fs::mkdir(&dir, DIFF, ROOT_MODE).during(|| "making a layer's tree".into())?;
    let diff = files::open_dir(&dir, DIFF)?;
    sys::fs::chmod_fd(&diff, ROOT_MODE).during(|| "making a layer's tree".into())?;
    fault::step("layer staged");
    Ok(StagedLayer { path, dir, diff })
}

/// A layer of the store. While it is open it may be removed: hold a lease, a container or a mount.
#[derive(Debug)]
pub struct Layer {
    /// What it is stored under.
    pub key: LayerKey,
    /// Its record.
    pub meta: LayerMeta,
    dir: Fd,
}

impl Layer {
    /// Its tree.
    pub fn diff_dir(&self) -> Result<Fd> {
        files::open_dir(&self.dir, DIFF)
    }

    /// What it says of the root directory; nothing where its tar has no entry for it. Layers that older programs have
    /// unpacked do not tell, but what is not as a directory is made has come from an entry.
    fn root(&self) -> Result<Option<Root>> {
        let root = Root::at(&self.diff_dir()?)?;
        let is_usual = root.mode == ROOT_MODE && [0, sys::ids::euid()].contains(&root.uid);
        Ok((self.meta.has_root || !is_usual).then_some(root))
    }

    /// The directory of all layers that it is in.
    pub(crate) fn parent(&self) -> Result<Fd> {
        files::open_dir(&self.dir, "..")
    }

    /// Contents that a later entry of the tar replaced, if there are any.
    pub fn kept_dir(&self) -> Result<Option<Fd>> {
        match files::open_dir(&self.dir, KEPT) {
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            result => result.map(Some),
        }
    }

    /// The directories that the tar has no entries for, with a NUL behind each.
    pub fn implied(&self) -> Result<Vec<u8>> {
        if self.meta.implied == 0 {
            return Ok(Vec::new());
        }
        sys::fs::read_file(&self.dir, IMPLIED, limits::IMPLIED_BYTES)
            .during(|| format!("reading the directories of layer {}", self.key))
    }

    /// Its index.
    pub fn open_index(&self) -> Result<files::File> {
        files::open_file(&self.dir, INDEX).map(files::File)
    }
}

/// The root directory, as an image has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Root {
    mode: u32,
    uid: u32,
    gid: u32,
    time: Time,
}

impl Root {
    /// That of a directory.
    pub(crate) fn at(dir: &Fd) -> Result<Self> {
        let stat = sys::fs::stat_fd(dir).during(|| "looking at a root directory".into())?;
        Ok(Self {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            time: Time { seconds: stat.st_mtime as i64, nanos: stat.st_mtime_nsec as i64 },
        })
    }

    /// That of the topmost layer that says something of it. `layers` begin with the lowest.
    pub(crate) fn of(layers: &[Layer]) -> Result<Option<Self>> {
        for layer in layers.iter().rev() {
            if let Some(root) = layer.root()? {
                return Ok(Some(root));
            }
        }
        Ok(None)
    }

    /// Whether it has another mode or owner than that which [`Root::give`] has given it.
    pub(crate) fn differs_from(self, given: Option<Self>) -> bool {
        match given {
            Some(given) => (self.mode, self.uid, self.gid) != (given.mode, given.uid, given.gid),
            None => self.mode != ROOT_MODE || ![0, sys::ids::euid()].contains(&self.uid),
        }
    }

    /// Gives a directory for changes what overlayfs shows of it as the root directory's.
    pub(crate) fn give(root: Option<Self>, upper: &Fd) -> Result<()> {
        const WHAT: &str = "making a directory for changes";
        let Some(root) = root else {
            return sys::fs::chmod_fd(upper, ROOT_MODE).during(|| WHAT.into());
        };
        let stat = sys::fs::stat_fd(upper).during(|| WHAT.into())?;
        if (stat.st_uid, stat.st_gid) != (root.uid, root.gid) {
            match sys::fs::chown_fd(upper, root.uid, root.gid) {
                // Outside of the namespace of its ids an ordinary user's stays the user's, who is root there.
                Ok(()) | Err(sys::Errno::EPERM) => {}
                Err(errno) => return Err(Error::os(WHAT, errno)),
            }
        }
        sys::fs::chmod_fd(upper, root.mode).during(|| WHAT.into())?;
        sys::fs::set_times(upper, "", root.time).during(|| WHAT.into())
    }
}

impl Store {
    /// Opens a layer, if it is here.
    pub fn layer(&self, key: &LayerKey) -> Result<Option<Layer>> {
        for root in self.roots() {
            match open(root, key) {
                Err(error) if error.kind() == Kind::NotFound => {}
                result => return result.map(Some),
            }
        }
        Ok(None)
    }

    /// The layers that are this tar, whatever they took from the layers below them.
    pub fn layer_variants(&self, diff_id: &Digest) -> Result<Vec<LayerKey>> {
        let mut keys = Vec::new();
        for root in self.roots() {
            let names = files::list(root, layout::LAYERS)?;
            let parsed = names.iter().filter_map(|name| LayerKey::parse(name));
            keys.extend(parsed.filter(|key| key.diff_id == *diff_id));
        }
        Ok(keys)
    }

    /// The layers of this store.
    pub fn layers(&self) -> Result<Vec<LayerKey>> {
        let names = files::list(self.root(), layout::LAYERS)?;
        Ok(names.iter().filter_map(|name| LayerKey::parse(name)).collect())
    }

    /// Opens the layers of an image, the lowest first.
    pub(crate) fn open_layers(&self, keys: &[LayerKey]) -> Result<Vec<Layer>> {
        if keys.len() > limits::LAYERS {
            let text = format!("{} layers, the limit is {}", keys.len(), limits::LAYERS);
            return Err(Error::new(Kind::Limit, text));
        }
        let open = |key: &LayerKey| {
            let missing = || Error::not_found(format!("layer {} is not in the store", key.diff_id));
            self.layer(key)?.ok_or_else(missing)
        };
        keys.iter().map(open).collect()
    }
}

/// A layer without its record is not one.
pub(crate) fn open(root: &Fd, key: &LayerKey) -> Result<Layer> {
    let dir = files::open_dir(root, &layout::layer(key))?;
    let meta: LayerMeta = files::read_record(&dir, META)?;
    let diff_id: Option<&Digest> = meta.diff_id.verifiable().ok();
    if meta.format != META_FORMAT || diff_id != Some(&key.diff_id) {
        let text =
            format!("layer {key}: its record is of format {}, of {}", meta.format, meta.diff_id);
        return Err(Error::new(Kind::Invalid, text));
    }
    Ok(Layer { key: *key, meta, dir })
}

/// Whether a layer has what the quick check looks for.
pub(crate) fn is_whole(root: &Fd, key: &LayerKey) -> bool {
    open(root, key).is_ok_and(|layer| layer.diff_dir().is_ok())
}
