//! Blobs of repositories.

use super::error::{Error, Result};
use super::key::Key;
use super::medium::Source;
use super::record::{self, UploadRecord};
use super::{Content, Hold, Piece, Storage};
use crate::limits::{PLACINGS, REPOSITORIES_SEARCHED};
use crate::names::{Repository, UploadId};
use oci::Digest;
use sys::Fd;

impl Storage {
    /// Size of a blob, if the repository has it. Whoever asks may rely on it for a while.
    pub(crate) fn has_blob(&self, name: &Repository, digest: &Digest) -> Result<Option<u64>> {
        if self.directory.touch(&Key::blob(name, digest), self.touch_age())?.is_none() {
            return Ok(None);
        }
        Ok(self.directory.stat(&Key::content(digest))?.map(|stat| stat.size))
    }

    /// Opens a blob of a repository.
    pub(crate) fn open_blob(
        &self,
        name: &Repository,
        digest: &Digest,
    ) -> Result<Option<(Content, u64)>> {
        if self.directory.stat(&Key::blob(name, digest))?.is_none() {
            return Ok(None);
        }
        self.open_content(digest)
    }

    pub(super) fn open_content(&self, digest: &Digest) -> Result<Option<(Content, u64)>> {
        self.directory.open_content(&Key::content(digest))
    }

    /// Gives a repository a blob that another one has.
    pub(crate) fn mount_blob(
        &self,
        name: &Repository,
        digest: &Digest,
        from: &Repository,
    ) -> Result<bool> {
        if self.has_blob(from, digest)?.is_none() {
            return Ok(false);
        }
        self.link_held(name, digest)
    }

    /// Gives a repository content that is there, if it may have more; says whether it is there.
    pub(super) fn link_held(&self, name: &Repository, digest: &Digest) -> Result<bool> {
        let mut hold = self.hold(name).of_entry();
        if self.directory.stat(&Key::blob(name, digest))?.is_none() {
            hold.grow(self.content_size(digest)?)?;
        }
        let linked = self.link_blob(name, digest)?;
        hold.settle(false, linked == Some(true));
        Ok(linked.is_some())
    }

    /// A repository that has a blob, among those that `allowed` lets through.
    pub(crate) fn find_blob(
        &self,
        digest: &Digest,
        allowed: &dyn Fn(&Repository) -> bool,
    ) -> Result<Option<Repository>> {
        if self.directory.stat(&Key::content(digest))?.is_none() {
            return Ok(None);
        }
        let names = self.directory.list(&Key::repositories())?;
        let names = names.iter().filter_map(|name| Repository::from_directory(name));
        for name in names.filter(allowed).take(REPOSITORIES_SEARCHED) {
            if self.directory.stat(&Key::blob(&name, digest))?.is_some() {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// Gives a repository content; says whether that is new to it. `None`: the content is not there.
    fn link_blob(&self, name: &Repository, digest: &Digest) -> Result<Option<bool>> {
        // It stays until the entry is there, whatever the collector has thought of it.
        if self.directory.touch(&Key::content(digest), self.touch_age())?.is_none() {
            return Ok(None);
        }
        let key = Key::blob(name, digest);
        let is_new = match self.directory.touch(&key, self.touch_age())? {
            Some(_) => false,
            None => self.directory.write_empty(&key)?,
        };
        // The collector of another server may not have seen the entry.
        if self.directory.was_condemned(digest)?
            && self.directory.stat(&Key::content(digest))?.is_none()
        {
            return Ok(None);
        }
        Ok(Some(is_new))
    }

    /// Takes a blob from a repository; says whether it had it. Others keep it.
    pub(crate) fn delete_blob(&self, name: &Repository, digest: &Digest) -> Result<bool> {
        let removed = self.directory.remove(&Key::blob(name, digest))?;
        if removed {
            self.release_entry(name, digest)?;
        }
        Ok(removed)
    }

    /// Counts that a repository has something no more.
    pub(super) fn release_entry(&self, name: &Repository, digest: &Digest) -> Result<()> {
        if self.usage.is_limited() {
            self.usage.release(Some(name), self.content_size(digest)?);
        }
        Ok(())
    }

    /// Makes a finished upload, whose digest was compared, a blob.
    pub(crate) fn finish_upload(
        &self,
        id: &UploadId,
        content: (&Fd, u64),
        pieces: &[Piece],
        name: &Repository,
        digest: &Digest,
        hold: &mut Hold,
    ) -> Result<()> {
        let (file, size) = content;
        let passed = Self::passed_whole(id, pieces, size);
        let source = Source { key: &Key::upload(id), file, size, passed };
        self.place_blob(&source, name, digest, hold)?;
        self.remove_upload(id)
    }

    /// Makes a file, whose digest was compared, a blob, unless there is one already.
    pub(super) fn place_blob(
        &self,
        source: &Source<'_>,
        name: &Repository,
        digest: &Digest,
        hold: &mut Hold,
    ) -> Result<()> {
        let _place = self.usage.place(digest.hash());
        let content = Key::content(digest);
        for _ in 0..PLACINGS {
            let there = self.directory.touch(&content, self.touch_age())?;
            // One of another size is damaged, and replaced.
            if there.is_none_or(|stat| stat.size != source.size) {
                self.directory.place(source, &content)?;
            }
            if let Some(new) = self.link_blob(name, digest)? {
                hold.settle(there.is_none(), new);
                return Ok(());
            }
        }
        Err(Error::new(format!("{digest}: was removed by somebody else")))
    }

    /// Opens an upload at its end: whose it is, and how much of it there is.
    pub(crate) fn open_upload(&self, id: &UploadId) -> Result<Option<(Repository, Fd, u64)>> {
        let record = record::read::<UploadRecord>(&self.directory, &Key::upload_record(id));
        // One that is not whole is of an upload that nobody was told of.
        let Ok(Some(record)) = record else { return Ok(None) };
        let Some(name) = Repository::parse(&record.repository) else { return Ok(None) };
        let opened = self.directory.open_to_append(&Key::upload(id))?;
        Ok(opened.map(|(file, size)| (name, file, size)))
    }

    /// Removes what is left of an upload.
    pub(crate) fn remove_upload(&self, id: &UploadId) -> Result<()> {
        self.leave_upload(id)?;
        self.remove_passed(id)
    }

    /// Removes what this server has of it: others may go on.
    pub(crate) fn leave_upload(&self, id: &UploadId) -> Result<()> {
        self.directory.remove(&Key::upload(id))?;
        self.directory.remove(&Key::upload_record(id)).map(drop)
    }

    /// Puts small content, whose digest was made from it.
    ///
    /// Says whether it is new.
    pub(super) fn put_content(&self, digest: &Digest, bytes: &[u8]) -> Result<bool> {
        let _place = self.usage.place(digest.hash());
        let key = Key::content(digest);
        let there = self.directory.touch(&key, self.touch_age())?;
        match there.is_some_and(|stat| stat.size == bytes.len() as u64) {
            true => Ok(false),
            false => self.directory.write(&key, bytes).map(|()| there.is_none()),
        }
    }
}
