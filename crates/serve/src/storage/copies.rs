//! Repositories that are copies of others: what is asked for is kept, and the rest is not there.

use super::error::{Error, Result};
use super::key::Key;
use super::medium::Source;
use super::record::{self, OriginRecord, TagRecord};
use super::{Hold, Storage, now_s};
use crate::names::{Repository, Tag};
use oci::Digest;
use sys::Fd;

/// Content on its way into the registry, which nobody else knows.
pub(crate) struct Incoming {
    key: Key,
    file: Fd,
}

impl Incoming {
    /// Adds to it.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<()> {
        sys::fs::write_all(&self.file, bytes)
            .map_err(|errno| Error::os(format!("writing {}", self.key), errno))
    }
}

impl Storage {
    /// What a repository is a copy of.
    pub(crate) fn origin(&self, name: &Repository) -> Result<Option<String>> {
        let record = record::read::<OriginRecord>(&self.directory, &Key::origin(name))?;
        Ok(record.map(|record| record.name))
    }

    /// Makes a repository a copy. One that has manifests of its own does not become one: it is whole, and what
    /// was pushed there would be mixed with what others have.
    pub(crate) fn set_origin(&self, name: &Repository, origin: &str) -> Result<()> {
        if self.origin(name)?.is_some_and(|known| known == origin) {
            return Ok(());
        }
        let _guard = self.lock(name);
        if self.origin(name)?.is_none() && !self.directory.list(&Key::manifests(name))?.is_empty() {
            let text = format!("{name}: was pushed here, and cannot be a copy of {origin}");
            return Err(
                Error::new(text).with_hint("delete its manifests, or choose another prefix")
            );
        }
        record::write(&self.directory, &Key::origin(name), &OriginRecord { name: origin.into() })
    }

    /// What a tag stands for here, if that is here, and when that was seen to be so.
    pub(crate) fn tag_seen(&self, name: &Repository, tag: &Tag) -> Result<Option<(Digest, u64)>> {
        let Some(record) = record::read::<TagRecord>(&self.directory, &Key::tag(name, tag))? else {
            return Ok(None);
        };
        let Ok(digest) = Digest::parse(&record.digest) else { return Ok(None) };
        // It is kept as long as somebody asks for it.
        self.directory.touch(&Key::tag(name, tag), self.touch_age())?;
        Ok(self.manifest_record(name, &digest)?.map(|_| (digest, record.time_s)))
    }

    /// Lets a tag stand for a manifest that is here, as of now; says whether the manifest is.
    pub(crate) fn see_tag(&self, name: &Repository, tag: &Tag, digest: &Digest) -> Result<bool> {
        let _guard = self.lock(name);
        if self.manifest_record(name, digest)?.is_none() {
            return Ok(false);
        }
        let record = TagRecord { digest: digest.to_string(), time_s: now_s() };
        record::write(&self.directory, &Key::tag(name, tag), &record)?;
        Ok(true)
    }

    /// Begins with content.
    pub(crate) fn receive(&self) -> Result<Incoming> {
        let (key, file) = self.directory.stage()?;
        Ok(Incoming { key, file })
    }

    /// Opens it once more, to read it while it grows, as long as it is on its way.
    pub(crate) fn follow(&self, incoming: &Incoming) -> Result<Option<Fd>> {
        self.directory.open_file(&incoming.key)
    }

    /// Makes it a blob, when its digest was compared.
    pub(crate) fn keep(
        &self,
        incoming: &Incoming,
        size: u64,
        name: &Repository,
        digest: &Digest,
        hold: &mut Hold,
    ) -> Result<()> {
        let (key, file) = (&incoming.key, &incoming.file);
        self.place_blob(&Source { key, file, size, passed: None }, name, digest, hold)?;
        self.drop_incoming(incoming)
    }

    /// Removes what is left of it.
    pub(crate) fn drop_incoming(&self, incoming: &Incoming) -> Result<()> {
        self.directory.remove(&incoming.key).map(drop)
    }

    /// Gives a repository content that is here already, with the size that it should have; says whether it is.
    pub(crate) fn adopt(&self, name: &Repository, digest: &Digest, size: u64) -> Result<bool> {
        let there = self.directory.stat(&Key::content(digest))?;
        match there.is_some_and(|stat| stat.size == size) {
            true => self.link_held(name, digest),
            false => Ok(false),
        }
    }
}
