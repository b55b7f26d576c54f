//! Collecting in a bucket that several servers change.
//!
//! One collector is at work at one moment: it has the object `collector.json`, which is made on the condition that it
//! is not there, and taken over when its time is over. Content is removed in steps: it is said of some of it that it
//! will be (`condemned/`), then all entries are looked at again, and what still has none is removed, within some
//! minutes. What clients do meanwhile is the documentation of [`super::medium`].

use super::collector::{Collected, short};
use super::error::{Error, Result};
use super::key::Key;
use super::medium::Medium;
use super::record::{self, ManifestRecord};
use super::{Storage, now_s};
use crate::bucket::Only;
use crate::limits::{COLLECTOR_S, CONDEMN_S, CONDEMNED, RECORD_BYTES};
use crate::names::{Repository, Selector, Tag};
use oci::{Algorithm, Digest};
use std::collections::{HashMap, HashSet};

oci::document! {
    /// Who collects.
    CollectorRecord(snake) {
        server: String => required,
        /// In seconds since 1970.
        until_s: u64 => always,
    }
}

/// The right to collect, until it is dropped.
pub(super) struct Collecting<'a> {
    medium: &'a Medium,
    until_s: u64,
}

impl Storage {
    /// Becomes the one who collects; `None` when somebody else is.
    pub(super) fn begin_collecting(&self) -> Result<Option<Collecting<'_>>> {
        let medium = &self.directory;
        let until_s = now_s() + COLLECTOR_S;
        if !medium.is_shared() {
            return Ok(Some(Collecting { medium, until_s }));
        }
        let key = Key::collector();
        let record = CollectorRecord { server: self.server.clone(), until_s };
        let text = oci::json::write(&record);
        if medium.write_if(&key, text.as_bytes(), &Only::Absent)? == Some(true) {
            // Where conditions mean nothing, two would collect at once.
            if medium.write_if(&key, text.as_bytes(), &Only::Absent)? == Some(true) {
                medium.remove(&key)?;
                let text = "the store of objects has no conditional writes: nothing is collected";
                return Err(Error::new(text).with_hint("collect with one server, by another store"));
            }
            return Ok(Some(Collecting { medium, until_s }));
        }
        let Some((bytes, version)) = medium.read_version(&key, RECORD_BYTES)? else {
            return Ok(None);
        };
        let known: CollectorRecord = oci::json::read(&bytes).unwrap_or_default();
        // Our own is of a request whose answer was lost, or of an earlier look that failed.
        if known.until_s >= now_s() && known.server != self.server {
            return Ok(None);
        }
        let taken = medium.write_if(&key, text.as_bytes(), &Only::Is(version))?;
        Ok((taken == Some(true)).then_some(Collecting { medium, until_s }))
    }

    /// Removes content without an entry that is older.
    pub(super) fn collect_objects(
        &self,
        collecting: &Collecting<'_>,
        cutoff_s: u64,
        known: &HashSet<u64>,
        collected: &mut Collected,
    ) -> Result<()> {
        let mut batch: Vec<(Digest, u64)> = Vec::new();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            for digest in self.contents(algorithm)? {
                let digest = digest?;
                if known.contains(&short(&digest)) {
                    continue;
                }
                let stat = self.directory.stat(&Key::content(&digest))?;
                if let Some(stat) = stat.filter(|stat| stat.modified_s < cutoff_s) {
                    batch.push((digest, stat.size));
                }
                if batch.len() == CONDEMNED {
                    self.remove_condemned(collecting, &std::mem::take(&mut batch), collected)?;
                }
            }
        }
        self.remove_condemned(collecting, &batch, collected)
    }

    fn remove_condemned(
        &self,
        collecting: &Collecting<'_>,
        batch: &[(Digest, u64)],
        collected: &mut Collected,
    ) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let until_s = collecting.until_s.min(now_s() + CONDEMN_S);
        let removed = batch
            .iter()
            .try_for_each(|(digest, _)| self.directory.write(&Key::condemned(digest), b""))
            .and_then(|()| self.all_entries())
            .and_then(|entries| {
                for (digest, size) in batch.iter().filter(|it| !entries.contains(&short(&it.0))) {
                    if now_s() >= until_s {
                        break;
                    }
                    if self.directory.remove(&Key::content(digest))? {
                        self.usage.release(None, *size);
                        collected.blobs += 1;
                        collected.bytes += size;
                    }
                }
                Ok(())
            });
        // Whatever has happened: clients wait for this.
        let told = batch.iter().map(|it| self.directory.remove(&Key::condemned(&it.0)).map(drop));
        told.fold(removed, |removed, told| removed.and(told))
    }

    /// Gives entries back that a manifest names which another server has taken since we looked. Whoever puts one looks
    /// at the entries afterwards, so that one of both sees the other.
    pub(crate) fn restore_entries(
        &self,
        name: &Repository,
        removed: &[Digest],
        known: &HashMap<Digest, ManifestRecord>,
        tell: &dyn Fn(&str),
    ) -> Result<()> {
        if removed.is_empty() || !self.directory.is_shared() {
            return Ok(());
        }
        let now = self.records(name, tell)?.unwrap_or_default();
        for manifest in now.keys().filter(|digest| !known.contains_key(*digest)) {
            let named = self.named(name, manifest, tell).unwrap_or_default();
            for digest in named.iter().filter(|digest| removed.contains(digest)) {
                self.link_held(name, digest)?;
            }
        }
        Ok(())
    }

    /// The same for manifests that another server has given a tag.
    pub(crate) fn restore_manifests(
        &self,
        name: &Repository,
        removed: &[Digest],
        known: &HashMap<Digest, ManifestRecord>,
    ) -> Result<()> {
        if removed.is_empty() || !self.directory.is_shared() {
            return Ok(());
        }
        for tag in self.directory.list(&Key::tags(name))? {
            let Some(tag) = Tag::parse(&tag) else { continue };
            let Some(digest) = self.resolve(name, &Selector::Tag(tag))? else { continue };
            if let Some(record) = known.get(&digest).filter(|_| removed.contains(&digest)) {
                record::write(&self.directory, &Key::manifest(name, &digest), record)?;
            }
        }
        Ok(())
    }

    /// Whether all that a manifest needs is still there, which has its record now; what is not gets its entry again, if
    /// its content is there. A collector of another server may have been at it.
    pub(crate) fn still_has(&self, name: &Repository, blobs: &[Digest]) -> Result<Option<Digest>> {
        if !self.directory.is_shared() {
            return Ok(None);
        }
        for digest in blobs {
            let there = self.directory.stat(&Key::blob(name, digest))?.is_some();
            if !there && !self.link_held(name, digest)? {
                return Ok(Some(*digest));
            }
        }
        Ok(None)
    }

    fn all_entries(&self) -> Result<HashSet<u64>> {
        let mut known = HashSet::new();
        for directory in self.directory.list(&Key::repositories())? {
            if let Some(name) = Repository::from_directory(&directory) {
                self.note_entries(&name, &mut known)?;
            }
        }
        Ok(known)
    }

    /// Counts anew what other servers have changed.
    pub(crate) fn recount(&self) -> Result<()> {
        match self.directory.is_shared() && self.usage.is_limited() {
            true => {
                self.usage.clear();
                self.count()
            }
            false => Ok(()),
        }
    }
}

impl Drop for Collecting<'_> {
    fn drop(&mut self) {
        if self.medium.is_shared() {
            // Otherwise its time ends by itself.
            let _ = self.medium.remove(&Key::collector());
        }
    }
}
