//! Taking away what nothing refers to, while requests are answered.
//!
//! A repository's entry of a blob is removed when no manifest of it names the blob, content when no
//! repository has an entry of it; both only when they are older than a time that lies one lease before the
//! collector began. Whoever relies on content makes it young before ([`Directory::touch`] leaves at least
//! half of the lease), so
//!
//! - a client that was told that a blob is there has half a lease to put its manifest;
//! - an entry or manifest that is made while the collector reads the lists, and is not in them, is of
//!   content that is young.
//!
//! Nothing else has to be locked. Manifests are never taken away, except those without a tag when that was asked
//! for: then an index keeps its manifests, and a manifest keeps what refers to it.

use super::Storage;
use super::error::Result;
use super::key::Key;
use super::now_s;
use super::record::ManifestRecord;
use crate::limits::MANIFEST_BYTES;
use crate::names::{Repository, Selector, Tag, file_digest};
use crate::references;
use oci::{Algorithm, Digest};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// What is taken away besides blobs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policy {
    /// Manifests without a tag go at this age.
    pub(crate) untagged: Option<Duration>,
    /// What was copied from elsewhere goes when nobody has asked for it for so long.
    pub(crate) copies: Option<Duration>,
}

/// What was taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Manifests of repositories.
    pub manifests: u64,
    /// Blobs of repositories.
    pub entries: u64,
    /// Content that no repository had.
    pub blobs: u64,
    /// Its size.
    pub bytes: u64,
}

impl Storage {
    /// Takes away what nothing refers to. What cannot be understood is left alone, and told.
    pub(crate) fn collect(&self, policy: &Policy, tell: &dyn Fn(&str)) -> Result<Collected> {
        let cutoff_s = now_s().saturating_sub(self.lease.as_secs());
        let mut collected = Collected::default();
        let Some(collecting) = self.begin_collecting()? else { return Ok(collected) };
        let mut known = HashSet::new();
        for directory in self.directory.list(&Key::repositories())? {
            let Some(name) = Repository::from_directory(&directory) else { continue };
            let is_copy = self.origin(&name)?.is_some();
            if let Some(age) = if is_copy { policy.copies } else { policy.untagged } {
                let old_s = cutoff_s.min(now_s().saturating_sub(age.as_secs()));
                if is_copy {
                    self.collect_tags(&name, old_s)?;
                }
                collected.manifests += self.collect_manifests(&name, old_s, tell)?;
            }
            collected.entries += self.collect_entries(&name, cutoff_s, tell)?;
            self.note_entries(&name, &mut known)?;
            self.remove_empty(&name)?;
        }
        match self.directory.is_shared() {
            true => self.collect_objects(&collecting, cutoff_s, &known, &mut collected)?,
            false => self.collect_content(cutoff_s, &known, &mut collected)?,
        }
        Ok(collected)
    }

    /// The manifests of a repository with their records; `None` when one of them cannot be read.
    pub(crate) fn records(
        &self,
        name: &Repository,
        tell: &dyn Fn(&str),
    ) -> Result<Option<HashMap<Digest, ManifestRecord>>> {
        let mut records = HashMap::new();
        for file in self.directory.list(&Key::manifests(name))? {
            let Some(digest) = file_digest(&file) else { continue };
            match self.manifest_record(name, &digest) {
                Ok(Some(record)) => drop(records.insert(digest, record)),
                Ok(None) => {}
                Err(error) => {
                    tell(&format!("{name} is not collected: {error}"));
                    return Ok(None);
                }
            }
        }
        Ok(Some(records))
    }

    /// Every digest that a manifest names; `None` when nobody knows.
    pub(super) fn named(
        &self,
        name: &Repository,
        digest: &Digest,
        tell: &dyn Fn(&str),
    ) -> Option<Vec<Digest>> {
        let read = self.directory.read(&Key::content(digest), MANIFEST_BYTES);
        let named = match read {
            Ok(Some(bytes)) => references::all(&bytes),
            _ => None,
        };
        if named.is_none() {
            tell(&format!("{name} is not collected: its manifest {digest} cannot be read"));
        }
        named
    }

    /// Removes tags of a copy that nobody has asked for since.
    fn collect_tags(&self, name: &Repository, old_s: u64) -> Result<()> {
        for tag in self.directory.list(&Key::tags(name))? {
            let Some(tag) = Tag::parse(&tag) else { continue };
            self.directory.remove_if_older(&Key::tag(name, &tag), old_s)?;
        }
        self.directory.sync_entries(&Key::tags(name))
    }

    /// Removes manifests that no tag leads to and that are older.
    fn collect_manifests(&self, name: &Repository, old_s: u64, tell: &dyn Fn(&str)) -> Result<u64> {
        // Nobody gives or takes a tag meanwhile.
        let _guard = self.lock(name);
        let Some(records) = self.records(name, tell)? else { return Ok(0) };
        let mut todo: Vec<Digest> = Vec::new();
        for tag in self.directory.list(&Key::tags(name))? {
            let Some(tag) = Tag::parse(&tag) else { continue };
            todo.extend(self.resolve(name, &Selector::Tag(tag))?);
        }
        for digest in records.keys() {
            let stat = self.directory.stat(&Key::manifest(name, digest))?;
            todo.extend(stat.filter(|stat| stat.modified_s >= old_s).map(|_| *digest));
        }
        let mut referrers: HashMap<Digest, Vec<Digest>> = HashMap::new();
        for (digest, record) in &records {
            if let Ok(subject) = Digest::parse(&record.subject) {
                referrers.entry(subject).or_default().push(*digest);
            }
        }
        let mut kept = HashSet::new();
        while let Some(digest) = todo.pop() {
            if !records.contains_key(&digest) || !kept.insert(digest) {
                continue;
            }
            let Some(named) = self.named(name, &digest, tell) else { return Ok(0) };
            todo.extend(named.iter().filter(|named| records.contains_key(*named)));
            todo.extend(referrers.remove(&digest).unwrap_or_default());
        }
        let mut removed = Vec::new();
        for (digest, record) in records.iter().filter(|(digest, _)| !kept.contains(*digest)) {
            // Unless somebody asks for it at this moment.
            if self.directory.remove_if_older(&Key::manifest(name, digest), old_s)?.is_some() {
                self.release_entry(name, digest)?;
                self.remove_referrer(name, digest, record)?;
                removed.push(*digest);
            }
        }
        let count = removed.len() as u64;
        self.restore_manifests(name, &removed, &records)?;
        // A record must not come back when its content is gone.
        self.directory.sync_entries(&Key::manifests(name))?;
        Ok(count)
    }

    /// Removes entries of blobs that no manifest names and that are older.
    fn collect_entries(
        &self,
        name: &Repository,
        cutoff_s: u64,
        tell: &dyn Fn(&str),
    ) -> Result<u64> {
        let files = self.directory.list(&Key::blobs(name))?;
        if files.is_empty() {
            return Ok(0);
        }
        let Some(records) = self.records(name, tell)? else { return Ok(0) };
        let mut needed = HashSet::new();
        for digest in records.keys() {
            let Some(named) = self.named(name, digest, tell) else { return Ok(0) };
            needed.extend(named);
        }
        let mut removed = Vec::new();
        for digest in files.iter().filter_map(|file| file_digest(file)) {
            if !needed.contains(&digest) {
                let stat = self.directory.remove_if_older(&Key::blob(name, &digest), cutoff_s)?;
                removed.extend(stat.map(|_| digest));
            }
        }
        let count = removed.len() as u64;
        for digest in &removed {
            self.release_entry(name, digest)?;
        }
        self.restore_entries(name, &removed, &records, tell)?;
        Ok(count)
    }

    pub(super) fn note_entries(&self, name: &Repository, known: &mut HashSet<u64>) -> Result<()> {
        for key in [Key::blobs(name), Key::manifests(name)] {
            let files = self.directory.list(&key)?;
            known.extend(files.iter().filter_map(|file| file_digest(file)).map(|it| short(&it)));
        }
        Ok(())
    }

    fn collect_content(
        &self,
        cutoff_s: u64,
        known: &HashSet<u64>,
        collected: &mut Collected,
    ) -> Result<()> {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            for digest in self.contents(algorithm)? {
                let digest = digest?;
                if known.contains(&short(&digest)) {
                    continue;
                }
                if let Some(stat) =
                    self.directory.remove_if_older(&Key::content(&digest), cutoff_s)?
                {
                    self.usage.release(None, stat.size);
                    collected.blobs += 1;
                    collected.bytes += stat.size;
                }
            }
        }
        Ok(())
    }

    /// All content of an algorithm, a directory at a time.
    pub(super) fn contents(
        &self,
        algorithm: Algorithm,
    ) -> Result<impl Iterator<Item = Result<Digest>>> {
        let shards = self.directory.list(&Key::contents(algorithm))?;
        let shards = shards.into_iter().filter_map(move |it| Key::shard(algorithm, &it));
        Ok(shards.flat_map(move |shard| {
            let digest = |hex: &String| format!("{}:{hex}", algorithm.name()).parse().ok();
            match self.directory.list(&shard) {
                Ok(files) => files.iter().filter_map(digest).map(Ok).collect::<Vec<_>>(),
                Err(error) => vec![Err(error)],
            }
        }))
    }

    /// Removes the directories of a repository that has nothing any more.
    fn remove_empty(&self, name: &Repository) -> Result<()> {
        let _guard = self.lock(name);
        for subject in self.directory.list(&Key::subjects(name))? {
            if let Some(subject) = file_digest(&subject) {
                self.remove_dangling(name, &subject)?;
                self.directory.remove_directory(&Key::referrers(name, &subject))?;
            }
        }
        let is_empty = |key: &Key| self.directory.list(key).map(|names| names.is_empty());
        if is_empty(&Key::manifests(name))? && is_empty(&Key::blobs(name))? {
            self.directory.remove(&Key::origin(name))?;
        }
        for key in [
            Key::subjects(name),
            Key::blobs(name),
            Key::manifests(name),
            Key::tags(name),
            Key::repository(name),
        ] {
            self.directory.remove_directory(&key)?;
        }
        Ok(())
    }

    /// Removes entries of referrers whose manifests are not there: what killed processes left.
    fn remove_dangling(&self, name: &Repository, subject: &Digest) -> Result<()> {
        for file in self.directory.list(&Key::referrers(name, subject))? {
            let Some(digest) = file_digest(&file) else { continue };
            if self.directory.stat(&Key::manifest(name, &digest))?.is_none() {
                self.directory.remove(&Key::referrer(name, subject, &digest))?;
            }
        }
        Ok(())
    }
}

/// Eight bytes instead of seventy: where two digests begin alike, one of them is kept for nothing.
pub(super) fn short(digest: &Digest) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest.hash()[..8]);
    u64::from_ne_bytes(bytes)
}
