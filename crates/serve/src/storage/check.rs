//! Looking at everything, and taking damage out of the way.

use super::directory::Access;
use super::error::Result;
use super::key::Key;
use super::record::{self, TagRecord};
use super::{Storage, directory::Stat};
use crate::limits::{MANIFEST_BYTES, OBJECT_READ_BYTES, READ_BYTES};
use crate::names::{Repository, Tag, file_digest};
use crate::references;
use oci::image::Document;
use oci::{Algorithm, Digest};
use std::collections::HashSet;
use transport::hash::Hasher;

/// What is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, below the root.
    pub place: String,
    /// A sentence fragment.
    pub what: String,
    /// It was taken away.
    pub repaired: bool,
}

/// What was looked at.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Repositories.
    pub repositories: u64,
    /// Manifests of repositories.
    pub manifests: u64,
    /// Content.
    pub blobs: u64,
    /// Its size.
    pub bytes: u64,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

impl Checked {
    fn note(&mut self, key: &Key, what: impl Into<String>, repaired: bool) {
        self.problems.push(Problem { place: key.to_string(), what: what.into(), repaired });
    }
}

impl Storage {
    /// Reads all content and follows every record. With `repair`, what is damaged is removed, so that the next
    /// push brings it anew.
    pub(crate) fn check(&self, repair: bool) -> Result<Checked> {
        let repair = repair && self.directory.access() == Access::Change;
        let mut checked = Checked::default();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            for digest in self.contents(algorithm)? {
                self.check_content(&digest?, repair, &mut checked)?;
            }
        }
        for directory in self.directory.list(&Key::repositories())? {
            let Some(name) = Repository::from_directory(&directory) else {
                let what = "is not the directory of a repository";
                checked.note(&Key::repositories(), format!("`{directory}` {what}"), false);
                continue;
            };
            checked.repositories += 1;
            self.check_blobs(&name, repair, &mut checked)?;
            self.check_manifests(&name, repair, &mut checked)?;
            self.check_tags(&name, repair, &mut checked)?;
        }
        Ok(checked)
    }

    fn check_content(&self, digest: &Digest, repair: bool, checked: &mut Checked) -> Result<()> {
        let key = Key::content(digest);
        // A collector may have taken it away since it was listed.
        let Some((mut content, size)) = self.open_content(digest)? else { return Ok(()) };
        let mut hasher = Hasher::new(digest.algorithm());
        let mut buffer =
            vec![0; if self.directory.is_shared() { OBJECT_READ_BYTES } else { READ_BYTES }];
        loop {
            let count = content.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            hasher.update(&buffer[..count]);
        }
        checked.blobs += 1;
        checked.bytes += size;
        let found = hasher.finish();
        if found != *digest {
            let repaired = repair && self.directory.remove(&key)?;
            checked.note(&key, format!("its content has the digest {found}"), repaired);
        }
        Ok(())
    }

    fn check_blobs(&self, name: &Repository, repair: bool, checked: &mut Checked) -> Result<()> {
        for file in self.directory.list(&Key::blobs(name))? {
            let Some(digest) = file_digest(&file) else {
                checked.note(&Key::blobs(name), format!("`{file}` is no digest"), false);
                continue;
            };
            if self.directory.stat(&Key::content(&digest))?.is_none() {
                let key = Key::blob(name, &digest);
                let repaired = repair && self.directory.remove(&key)?;
                checked.note(&key, "its content is not there", repaired);
            }
        }
        Ok(())
    }

    fn check_manifests(
        &self,
        name: &Repository,
        repair: bool,
        checked: &mut Checked,
    ) -> Result<()> {
        for file in self.directory.list(&Key::manifests(name))? {
            let Some(digest) = file_digest(&file) else {
                checked.note(&Key::manifests(name), format!("`{file}` is no digest"), false);
                continue;
            };
            let key = Key::manifest(name, &digest);
            checked.manifests += 1;
            let record = match self.manifest_record(name, &digest) {
                Ok(Some(record)) => record,
                Ok(None) => continue,
                Err(error) => {
                    let repaired = repair && self.directory.remove(&key)?;
                    checked.note(&key, error.to_string(), repaired);
                    continue;
                }
            };
            let bytes = self.directory.read(&Key::content(&digest), MANIFEST_BYTES)?;
            let Some(bytes) = bytes.filter(|bytes| bytes.len() as u64 == record.size) else {
                let repaired = repair && self.directory.remove(&key)?;
                checked.note(&key, "its content is not there", repaired);
                continue;
            };
            let read = Document::read(bytes, &record.media_type, digest);
            let found = match read.and_then(|document| references::of(&document)) {
                Ok(found) => found,
                Err(error) => {
                    checked.note(&key, error.to_string(), false);
                    continue;
                }
            };
            // A copy has what was asked for.
            if self.origin(name)?.is_none() {
                self.check_references(name, &key, &found, checked)?;
            }
            if let Some((subject, _)) = &found.referrer {
                let entry = Key::referrer(name, subject, &digest);
                if self.directory.stat(&entry)?.is_none() {
                    checked.note(&key, "is not in the list of its subject's referrers", false);
                }
            }
        }
        Ok(())
    }

    fn check_references(
        &self,
        name: &Repository,
        key: &Key,
        found: &references::References,
        checked: &mut Checked,
    ) -> Result<()> {
        let mut missing: HashSet<Digest> = HashSet::new();
        let has = |stat: Result<Option<Stat>>| stat.map(|stat| stat.is_some());
        for blob in &found.blobs {
            if !has(self.directory.stat(&Key::blob(name, blob)))? {
                missing.insert(*blob);
            }
        }
        for child in &found.children {
            let blob = has(self.directory.stat(&Key::blob(name, child)))?;
            if !blob && !has(self.directory.stat(&Key::manifest(name, child)))? {
                missing.insert(*child);
            }
        }
        for digest in missing {
            checked.note(key, format!("needs {digest}, which the repository has not got"), false);
        }
        Ok(())
    }

    fn check_tags(&self, name: &Repository, repair: bool, checked: &mut Checked) -> Result<()> {
        for file in self.directory.list(&Key::tags(name))? {
            let Some(tag) = Tag::parse(&file) else {
                checked.note(&Key::tags(name), format!("`{file}` is no tag"), false);
                continue;
            };
            let key = Key::tag(name, &tag);
            let record = record::read::<TagRecord>(&self.directory, &key);
            let digest = match record {
                Ok(None) => continue,
                Ok(Some(record)) => Digest::parse(&record.digest).ok(),
                Err(_) => None,
            };
            let there = match digest {
                Some(digest) => self.directory.stat(&Key::manifest(name, &digest))?.is_some(),
                None => false,
            };
            if !there {
                let repaired = repair && self.directory.remove(&key)?;
                checked.note(&key, "leads to no manifest", repaired);
            }
        }
        Ok(())
    }
}
