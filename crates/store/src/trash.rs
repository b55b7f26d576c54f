//! What is taken away, and what killed processes left.
//!
//! Things are renamed into a directory of `trash` under the store's lock, and unlinked without it.

use crate::error::{Error, Kind, Result};
use crate::files::Durability;
use crate::layout::{STAGING, TRASH};
use crate::limits::{LOCK_WAIT_MS, NAME_TRIES};
use crate::store::Store;
use crate::{claim, fault, files, lock};
use std::collections::BTreeSet;
use sys::fs::Lock;
use sys::{Errno, Fd};

/// Things that nobody can find any more, and that take space until they are removed. A program that
/// has to answer first may drop this: the next command does the rest.
#[derive(Debug)]
#[must_use = "it takes space until it is removed"]
pub struct Garbage<'s> {
    store: &'s Store,
    /// `trash/NAME/`, or `trash/NAME-` where there was no room for a directory; `trash/NAME` for one that is taken as it is.
    prefix: String,
    /// The directory, locked: a sweeper leaves it to its owner. Without one, sweepers do the same work
    /// at the same time.
    dir: Option<Fd>,
    /// Directories that things were taken from.
    changed: BTreeSet<String>,
    count: u32,
    durability: Durability,
}

impl<'s> Garbage<'s> {
    pub(crate) fn open(store: &'s Store) -> Result<Self> {
        let (root, durability) = (store.root(), store.durability());
        for _ in 0..NAME_TRIES {
            let name = match files::make_random_dir(root, TRASH) {
                // Who has no room for one more directory needs to remove something most of all.
                Err(error) if is_full(&error) => {
                    let prefix = format!("{TRASH}/{}-", files::random_name()?);
                    let changed = BTreeSet::from([TRASH.to_owned()]);
                    return Ok(Self { store, prefix, dir: None, changed, count: 0, durability });
                }
                name => name?,
            };
            let path = format!("{TRASH}/{name}");
            fault::step("trash made");
            // A sweeper may have seen it before it had a lock.
            let Ok(dir) = files::open_dir(root, &path) else { continue };
            lock::wait(&dir, Lock::TryExclusive, LOCK_WAIT_MS, || path.clone())?;
            if lock::is_at(root, &path, &dir)? {
                let (prefix, dir) = (format!("{path}/"), Some(dir));
                return Ok(Self {
                    store,
                    prefix,
                    dir,
                    changed: BTreeSet::new(),
                    count: 0,
                    durability,
                });
            }
        }
        Err(Error::new(Kind::Busy, "making a directory for what is taken away"))
    }

    /// A directory that is taken out of the store as a whole, locked by this process alone.
    pub(crate) fn of_directory(
        store: &'s Store,
        path: &str,
        dir: Fd,
        durability: Durability,
    ) -> Result<Self> {
        let place = format!("{TRASH}/{}", files::random_name()?);
        let mut garbage = Self {
            store,
            prefix: String::new(),
            dir: Some(dir),
            changed: BTreeSet::new(),
            count: 0,
            durability,
        };
        garbage.move_to(path, &place)?;
        garbage.prefix = place;
        Ok(garbage)
    }

    /// Takes something out of the store.
    pub(crate) fn take(&mut self, path: &str) -> Result<()> {
        self.count += 1;
        self.move_to(path, &format!("{}{}", self.prefix, self.count))
    }

    fn move_to(&mut self, path: &str, place: &str) -> Result<()> {
        files::rename(self.store.root(), path, place)?;
        fault::step("taken away");
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.changed.insert(parent.to_owned());
        }
        Ok(())
    }

    /// Frees the space.
    pub fn remove(self) -> Result<()> {
        let (root, durability) = (self.store.root(), self.durability);
        // A power cut must not bring back half of a layer where others look for layers.
        if let Some(dir) = &self.dir {
            durability.sync(dir, &self.prefix)?;
        }
        for dir in &self.changed {
            durability.sync_dir(root, dir)?;
        }
        fault::step("trash synced");
        match &self.dir {
            Some(_) => files::remove_tree(root, self.prefix.trim_end_matches('/')),
            None => (1..=self.count).try_for_each(|number| {
                files::remove_tree(root, &format!("{}{number}", self.prefix))
            }),
        }
    }
}

fn is_full(error: &Error) -> bool {
    matches!(error.kind(), Kind::Os(Errno::ENOSPC | Errno::EDQUOT))
}

impl Store {
    /// Removes what killed processes left: work in flight, claims, what they were removing.
    pub(crate) fn sweep(&self) -> Result<()> {
        let root = self.root();
        claim::sweep(root)?;
        if !files::list(root, STAGING)?.is_empty() {
            self.sweep_staging()?;
        }
        for name in files::list(root, TRASH)? {
            self.sweep_trash(&format!("{TRASH}/{name}"))?;
        }
        Ok(())
    }

    fn sweep_staging(&self) -> Result<()> {
        let dead = {
            // With the store's lock, a directory without a lock of its own is not a new one.
            let _guard = self.share()?;
            self.dead(STAGING)?
        };
        if dead.is_empty() {
            return Ok(());
        }
        let guard = self.exclude()?;
        let mut garbage = Garbage::open(self)?;
        for path in self.dead(STAGING)? {
            garbage.take(&path)?;
        }
        drop(guard);
        garbage.remove()
    }

    /// Entries that nobody has a lock on.
    pub(crate) fn dead(&self, parent: &str) -> Result<Vec<String>> {
        let mut dead = Vec::new();
        for name in files::list(self.root(), parent)? {
            let path = format!("{parent}/{name}");
            let opened = files::open_dir(self.root(), &path);
            fault::step("looked for a lock");
            match opened {
                Ok(dir) if !lock::try_alone(&dir)? => {}
                // One whose owner has just removed it, before or after it was opened.
                Ok(dir) if !lock::is_at(self.root(), &path, &dir)? => {}
                Err(_) if !sys::fs::exists(self.root(), &path) => {}
                _ => dead.push(path),
            }
        }
        Ok(dead)
    }

    fn sweep_trash(&self, path: &str) -> Result<()> {
        let root = self.root();
        if let Ok(dir) = files::open_dir(root, path) {
            if !lock::try_alone(&dir)? {
                return Ok(());
            }
            // Whoever was killed may not have come to syncing; see `Garbage::remove`.
            self.durability().sync_all(root)?;
            return files::remove_tree(root, path);
        }
        files::remove_tree(root, path)
    }
}
