//! Work in flight: a directory in `staging`, whose lock says that somebody is at work, and whose
//! `needs` say what the garbage collector has to leave alone.

use crate::blob::{Expected, receive};
use crate::claim::Claims;
use crate::error::{During, Error, Kind, Result};
use crate::layer::{self, LayerFacts, StagedLayer};
use crate::layout::{self, LayerKey, STAGING};
use crate::limits::LOCK_WAIT_MS;
use crate::store::Store;
use crate::{fault, files, lock};
use oci::Digest;
use std::collections::BTreeSet;
use std::io::Read;
use sys::fs::{self, Lock};
use sys::{Errno, Fd};

/// A piece of work: a pull, a build step, a commit.
///
/// What it puts is in the store when [`Work::commit`] returns, and is kept until the work ends; what
/// is to stay longer needs a name or a container by then.
#[derive(Debug)]
pub struct Work<'s> {
    store: &'s Store,
    /// `staging/NAME`
    path: String,
    /// The directory, locked.
    _dir: Fd,
    needs: Fd,
    needed: BTreeSet<Digest>,
    claims: Claims,
    blobs: Vec<(Digest, String)>,
    layers: Vec<(LayerKey, String)>,
    /// Numbers the files.
    next: u32,
}

impl Store {
    /// Begins a piece of work.
    pub fn begin(&self) -> Result<Work<'_>> {
        let (path, dir) = staging_dir(self)?;
        let needs = files::create(self.root(), &format!("{path}/{}", layout::NEEDS))?;
        Ok(Work {
            store: self,
            path,
            _dir: dir,
            needs,
            needed: BTreeSet::new(),
            claims: Claims::default(),
            blobs: Vec::new(),
            layers: Vec::new(),
            next: 0,
        })
    }
}

/// A directory for what is being made, with its path, locked.
pub(crate) fn staging_dir(store: &Store) -> Result<(String, Fd)> {
    let root = store.root();
    // A sweeper needs the lock alone to take a directory away, so it finds none without a lock.
    let _guard = store.share()?;
    let path = format!("{STAGING}/{}", files::make_random_dir(root, STAGING)?);
    fault::step("staging made");
    let dir = files::open_dir(root, &path)?;
    lock::wait(&dir, Lock::TryExclusive, LOCK_WAIT_MS, || path.clone())?;
    fault::step("staging locked");
    Ok((path, dir))
}

impl<'s> Work<'s> {
    pub(crate) fn store(&self) -> &'s Store {
        self.store
    }

    /// The path of a file of this work's own.
    pub(crate) fn path(&mut self, kind: &str) -> String {
        self.next += 1;
        format!("{}/{kind}-{}", self.path, self.next)
    }

    /// Waits until nobody else fetches any of these, and lets others wait until they are committed,
    /// released, or this process has died. What one claims may have come in the meantime: ask
    /// [`Work::has_layer`] and [`Work::has_blob`] afterwards, and release what is there.
    pub fn claim(&mut self, digests: &[Digest]) -> Result<()> {
        self.claims.take(self.store.root(), digests)
    }

    /// Gives a claim up.
    pub fn release(&mut self, digest: &Digest) {
        self.claims.release(self.store.root(), digest);
    }

    /// Whether a blob is there, or put by this work. If so it stays until the work ends.
    pub fn has_blob(&mut self, expected: impl Into<Expected>) -> Result<bool> {
        let expected = expected.into();
        let Some(digest) = expected.digest else { return Ok(false) };
        if self.blobs.iter().any(|(known, _)| *known == digest) {
            return Ok(true);
        }
        let _guard = self.store.share()?;
        self.need(&digest)?;
        let size = self.store.blob_size(&digest)?;
        // One of another size is damaged: it is fetched again.
        Ok(size.is_some_and(|size| expected.size_bytes.is_none_or(|wanted| wanted == size)))
    }

    /// Whether a layer is there, or put by this work. If so it stays until the work ends.
    pub fn has_layer(&mut self, key: &LayerKey) -> Result<bool> {
        if self.layers.iter().any(|(known, _)| known == key) {
            return Ok(true);
        }
        let _guard = self.store.share()?;
        self.need(&key.diff_id)?;
        Ok(self.store.layer(key)?.is_some())
    }

    /// Lets the garbage collector leave something alone, and what it names. The store is locked.
    fn need(&mut self, digest: &Digest) -> Result<()> {
        if self.needed.insert(*digest) {
            let line = format!("{digest}\n");
            fs::write_all(&self.needs, line.as_bytes()).during(|| format!("noting {digest}"))?;
            fault::step("need noted");
        }
        Ok(())
    }

    /// Takes a blob in; it is verified on the way.
    pub fn put_blob(
        &mut self,
        source: &mut dyn Read,
        expected: impl Into<Expected>,
    ) -> Result<Digest> {
        let path = self.path("blob");
        let root = self.store.root();
        let file = files::create(root, &path)?;
        let received = receive(source, &file, expected.into());
        let (digest, _) = match received {
            Ok(received) => received,
            Err(error) => {
                // Its space may be what is missing.
                let _ = files::remove(root, &path, 0);
                return Err(error);
            }
        };
        self.blobs.push((digest, path));
        Ok(digest)
    }

    /// Takes these bytes in.
    pub fn put_bytes(&mut self, bytes: &[u8], expected: impl Into<Expected>) -> Result<Digest> {
        self.put_blob(&mut &bytes[..], expected)
    }

    /// A place to unpack a layer in. Several can be filled at the same time by several threads.
    pub fn stage_layer(&mut self) -> Result<StagedLayer> {
        let path = self.path("layer");
        layer::stage(self.store.root(), path)
    }

    /// Takes a layer in that has been unpacked, with the index beside it.
    pub fn put_layer(
        &mut self,
        staged: StagedLayer,
        key: LayerKey,
        facts: LayerFacts,
    ) -> Result<()> {
        let path = staged.seal(self.store.root(), &key, facts)?;
        self.layers.push((key, path));
        Ok(())
    }

    /// Puts everything into its place that has been put so far, so that it survives a power cut, and
    /// lets go of the claims.
    pub fn commit(&mut self) -> Result<()> {
        if !self.blobs.is_empty() || !self.layers.is_empty() {
            // Nothing has a name of the store before all of it is on the disk.
            self.store.durability().sync_all(self.store.root())?;
            fault::step("contents synced");
            self.publish()?;
        }
        self.claims.release_all(self.store.root());
        Ok(())
    }

    /// The same for what has been put so far, while more is coming: the claims on the rest are kept.
    pub fn commit_part(&mut self) -> Result<()> {
        if self.blobs.is_empty() && self.layers.is_empty() {
            return Ok(());
        }
        let put = self.layers.iter().map(|(key, _)| key.diff_id);
        let put: Vec<Digest> = put.chain(self.blobs.iter().map(|(digest, _)| *digest)).collect();
        self.store.durability().sync_all(self.store.root())?;
        fault::step("contents synced");
        self.publish()?;
        put.iter().for_each(|digest| self.release(digest));
        Ok(())
    }

    fn publish(&mut self) -> Result<()> {
        let store = self.store;
        let (root, durability) = (store.root(), store.durability());
        let guard = store.share()?;
        let mut changed = BTreeSet::new();
        for (digest, path) in std::mem::take(&mut self.blobs) {
            self.need(&digest)?;
            let dir = layout::blob_dir(&digest);
            files::make_dir(root, &dir)?;
            files::rename(root, &path, &layout::blob(&digest))?;
            fault::step("blob published");
            changed.insert(format!("{}/{}", layout::BLOBS, digest.algorithm().name()));
            changed.insert(dir);
        }
        for (key, path) in std::mem::take(&mut self.layers) {
            self.need(&key.diff_id)?;
            place_layer(store, &key, &path)?;
            fault::step("layer published");
            changed.insert(layout::LAYERS.to_owned());
        }
        // What is needed is not taken away.
        drop(guard);
        for dir in changed {
            durability.sync_dir(root, &dir)?;
            fault::step("directory synced");
        }
        Ok(())
    }

    /// Waits until the disk has every directory in which something is that this work needs.
    pub(crate) fn sync_needed(&self) -> Result<()> {
        let mut dirs = BTreeSet::from([layout::LAYERS.to_owned()]);
        for digest in &self.needed {
            dirs.insert(format!("{}/{}", layout::BLOBS, digest.algorithm().name()));
            dirs.insert(layout::blob_dir(digest));
        }
        for dir in dirs {
            match self.store.durability().sync_dir(self.store.root(), &dir) {
                // Layers are needed by digests that no blob has.
                Err(error) if error.kind() == Kind::NotFound => {}
                result => result?,
            }
        }
        Ok(())
    }

    /// Ends the work, and says what went wrong with it. Dropping it does the same in silence.
    pub fn finish(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        let path = std::mem::take(&mut self.path);
        if path.is_empty() {
            return Ok(());
        }
        self.claims.release_all(self.store.root());
        files::remove_tree(self.store.root(), &path)
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        // The next command sweeps what could not be removed.
        let _ = self.end();
    }
}

/// Renames a staged layer into its place. One that is there already stays, unless it is damaged.
fn place_layer(store: &Store, key: &LayerKey, path: &str) -> Result<()> {
    const RENAME_EXCHANGE: u32 = 2;
    let (root, place) = (store.root(), layout::layer(key));
    match fs::rename(root, path, root, &place, 0) {
        Err(Errno::EEXIST | Errno::ENOTEMPTY) if layer::is_whole(root, key) => Ok(()),
        // The damaged one is then in staging, and goes with it.
        Err(Errno::EEXIST | Errno::ENOTEMPTY) => {
            fs::rename(root, path, root, &place, RENAME_EXCHANGE)
                .map_err(|errno| Error::os(format!("replacing {place}"), errno))
        }
        result => result.map_err(|errno| Error::os(format!("placing {place}"), errno)),
    }
}
