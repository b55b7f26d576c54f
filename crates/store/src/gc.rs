//! The garbage collector, and what takes how much space.

use crate::error::Result;
use crate::layout::{self, BLOBS, LayerKey};
use crate::mark::Marks;
use crate::store::Store;
use crate::trash::Garbage;
use crate::{fault, files, layer, mounts};
use oci::{Algorithm, Digest};
use sys::fs;

/// What the garbage collector took away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// The layers.
    pub layers: Vec<LayerKey>,
    /// The blobs.
    pub blobs: Vec<Digest>,
    /// What they took on the disk.
    pub bytes: u64,
}

/// How much there is of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub count: u64,
    /// What they take on the disk.
    pub bytes: u64,
    /// What of it nobody needs.
    pub reclaimable_bytes: u64,
}

/// What takes how much space: `system df`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Names.
    pub names: u64,
    /// Manifests, configurations and whatever else is kept as it came.
    pub blobs: Amount,
    /// Layers.
    pub layers: Amount,
    /// Containers.
    pub containers: Amount,
    /// Work in flight.
    pub staging: Amount,
    /// What is being removed.
    pub trash: Amount,
    /// Mounted images.
    pub mounts: u64,
}

impl Store {
    /// Takes away what neither a name, a container, a mount nor work in flight leads to. Space is
    /// free when the garbage has been removed; that needs no lock.
    pub fn gc(&self) -> Result<(Collected, Garbage<'_>)> {
        let _guard = self.exclude()?;
        mounts::sweep(self)?;
        let marks = Marks::of(self)?;
        fault::step("marked");
        let mut garbage = Garbage::open(self)?;
        let mut collected = Collected::default();
        for key in self.layers()?.into_iter().filter(|key| !marks.has_layer(key)) {
            collected.bytes += self.layer_bytes(&key);
            garbage.take(&layout::layer(&key))?;
            collected.layers.push(key);
        }
        for digest in self.blobs()?.into_iter().filter(|digest| !marks.has_blob(digest)) {
            collected.bytes += disk_bytes(self, &digest);
            garbage.take(&layout::blob(&digest))?;
            collected.blobs.push(digest);
        }
        Ok((collected, garbage))
    }

    /// Removes everything that [`Store::gc`] takes away, and waits for it.
    pub fn collect(&self) -> Result<Collected> {
        let (collected, garbage) = self.gc()?;
        garbage.remove()?;
        Ok(collected)
    }

    /// The blobs of this store.
    pub fn blobs(&self) -> Result<Vec<Digest>> {
        let mut blobs = Vec::new();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let parent = format!("{BLOBS}/{}", algorithm.name());
            for dir in files::list(self.root(), &parent)? {
                let names = files::list(self.root(), &format!("{parent}/{dir}"))?;
                let digest = |hex: &String| Digest::parse(&format!("{}:{hex}", algorithm.name()));
                // What is in the wrong place is `fsck`'s to find.
                let found = names.iter().filter(|hex| hex.starts_with(&dir)).map(digest);
                blobs.extend(found.filter_map(|digest| digest.ok()));
            }
        }
        Ok(blobs)
    }

    /// What takes how much space.
    pub fn usage(&self) -> Result<Usage> {
        let _guard = self.share()?;
        let marks = Marks::of(self)?;
        let mut usage = Usage::default();
        crate::name::each(self.root(), &mut |_| usage.names += 1)?;
        for digest in self.blobs()? {
            usage.blobs.add(disk_bytes(self, &digest), !marks.has_blob(&digest));
        }
        for key in self.layers()? {
            usage.layers.add(self.layer_bytes(&key), !marks.has_layer(&key));
        }
        for (amount, parent) in [
            (&mut usage.containers, layout::CONTAINERS),
            (&mut usage.staging, layout::STAGING),
            (&mut usage.trash, layout::TRASH),
        ] {
            for name in files::list(self.root(), parent)? {
                let bytes = files::disk_bytes(self.root(), &format!("{parent}/{name}"));
                amount.add(bytes, parent == layout::TRASH);
            }
        }
        usage.mounts = mounts::live(self)?.len() as u64;
        Ok(usage)
    }

    /// As its record says; without one, as it is.
    fn layer_bytes(&self, key: &LayerKey) -> u64 {
        layer::open(self.root(), key).map_or_else(
            |_| files::disk_bytes(self.root(), &layout::layer(key)),
            |layer| layer.meta.disk_bytes,
        )
    }
}

impl Amount {
    fn add(&mut self, bytes: u64, is_garbage: bool) {
        self.count += 1;
        self.bytes += bytes;
        self.reclaimable_bytes += if is_garbage { bytes } else { 0 };
    }
}

fn disk_bytes(store: &Store, digest: &Digest) -> u64 {
    let stat = fs::stat_at(store.root(), layout::blob(digest), fs::AT_SYMLINK_NOFOLLOW);
    stat.map_or(0, |stat| stat.st_blocks as u64 * 512)
}
