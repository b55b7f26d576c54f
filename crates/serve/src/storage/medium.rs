//! Where a registry is: in a directory, or in a bucket that several servers share, with a directory beside it for what
//! is on its way.
//!
//! A bucket has the same keys as a directory, but nothing is renamed there, and no lock is held. So
//!
//! - what has a digest for its key is written under it at once, when its digest was compared, and never changed;
//! - a record is replaced whole, on a condition where one is asked for;
//! - to make an entry young is to write it again;
//! - a collector that wants to remove content says so first (`condemned/`), and looks at all entries again; whoever
//!   makes an entry looks afterwards whether that was said. One of both sees the other, as a bucket's answers are
//!   consistent: the client then waits for what becomes of the content, and brings it again if it is gone.

use super::directory::{Access, Directory, Durability, Stat, now_s};
use super::error::{Error, Result};
use super::key::Key;
use crate::bucket::{Bucket, Failure, Meta, Objects, Only};
use crate::limits::{CONDEMNED_S, COPIED_BYTES, VERDICT_PAUSE, VERDICT_TRIES};
use crate::names::file_digest;
use oci::Digest;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use sys::Fd;

/// Where a registry is.
#[derive(Debug)]
pub(crate) struct Medium {
    local: Directory,
    objects: Option<Arc<Objects>>,
}

/// Content that is on its way, whose digest was compared.
pub(crate) struct Source<'a> {
    /// Its file.
    pub(super) key: &'a Key,
    pub(super) file: &'a Fd,
    pub(super) size: u64,
    /// An object that has the same bytes, and is never written again.
    pub(super) passed: Option<Key>,
}

/// Content that is open.
pub(crate) enum Content {
    File(Fd),
    Object(Object),
}

/// Content in a bucket, read piece by piece.
pub(crate) struct Object {
    objects: Arc<Objects>,
    key: String,
    at: u64,
    size: u64,
}

impl Object {
    /// Goes on from somewhere else.
    pub(crate) fn seek(&mut self, at: u64) {
        self.at = at;
    }

    /// Reads the next piece: as much as fits, if there is so much.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let length = (buffer.len() as u64).min(self.size.saturating_sub(self.at));
        if length == 0 {
            return Ok(0);
        }
        let range = Some((self.at, length));
        let got = self.objects.get(&self.key, range, length as usize)?;
        let (bytes, _) = got.ok_or_else(|| Error::new(format!("{}: is gone", self.key)))?;
        if bytes.len() as u64 != length {
            return Err(Error::new(format!("{}: has another size than it had", self.key)));
        }
        buffer[..bytes.len()].copy_from_slice(&bytes);
        self.at += length;
        Ok(bytes.len())
    }

    /// An address at which a client gets it, if clients are sent there.
    pub(crate) fn address(&self) -> Result<Option<String>> {
        match self.objects.redirects() {
            true => Ok(Some(self.objects.presigned(&self.key)?)),
            false => Ok(None),
        }
    }
}

impl Content {
    /// Goes on from somewhere else.
    pub(crate) fn seek(&mut self, at: u64) -> Result<()> {
        match self {
            Self::File(file) => {
                sys::fs::seek(&*file, at).map_err(|errno| Error::os("seeking in a blob", errno))
            }
            Self::Object(object) => {
                object.seek(at);
                Ok(())
            }
        }
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match self {
            Self::File(file) => {
                sys::fs::read(&*file, buffer).map_err(|errno| Error::os("reading content", errno))
            }
            Self::Object(object) => object.read(buffer),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::new(failure.to_string())
    }
}

fn to_stat(meta: &Meta) -> Stat {
    Stat { size: meta.size, modified_s: meta.modified_s }
}

impl Medium {
    pub(super) fn open(
        path: &Path,
        access: Access,
        durability: Durability,
        bucket: Option<&Bucket>,
    ) -> Result<Self> {
        let local = Directory::open(path, access, durability)?;
        let Some(bucket) = bucket else { return Ok(Self { local, objects: None }) };
        if local.stat(&Key::record())?.is_some() {
            let text = format!("{}: is a registry of its own", path.display());
            return Err(Error::new(text).with_hint("choose another directory with --root"));
        }
        if access == Access::Change {
            local.make_directory(&Key::staging())?;
            local.make_directory(&Key::uploads())?;
        }
        let objects = Objects::new(bucket).map_err(Error::new)?;
        Ok(Self { local, objects: Some(Arc::new(objects)) })
    }

    /// Whether other servers change it, too.
    pub(crate) fn is_shared(&self) -> bool {
        self.objects.is_some()
    }

    /// Where a key is, if that is the bucket.
    fn remote(&self, key: &Key) -> Option<&Arc<Objects>> {
        self.objects.as_ref().filter(|_| !key.is_local())
    }

    pub(crate) fn access(&self) -> Access {
        self.local.access()
    }

    pub(super) fn top(&self) -> Result<Vec<String>> {
        match &self.objects {
            None => self.local.top(),
            Some(objects) => Ok(objects.list(".", Some(10))?.into_iter().map(|it| it.0).collect()),
        }
    }

    pub(crate) fn read(&self, key: &Key, limit: usize) -> Result<Option<Vec<u8>>> {
        match self.remote(key) {
            None => self.local.read(key, limit),
            Some(objects) => Ok(objects.get(key.as_str(), None, limit)?.map(|it| it.0)),
        }
    }

    /// Opens what is on its way.
    pub(crate) fn open_file(&self, key: &Key) -> Result<Option<Fd>> {
        self.local.open_file(key)
    }

    /// Opens content; says how large it is.
    pub(crate) fn open_content(&self, key: &Key) -> Result<Option<(Content, u64)>> {
        let Some(objects) = self.remote(key) else {
            let Some(file) = self.local.open_file(key)? else { return Ok(None) };
            let stat = sys::fs::stat_fd(&file)
                .map_err(|errno| Error::os(format!("looking at {key}"), errno))?;
            return Ok(Some((Content::File(file), stat.st_size as u64)));
        };
        let Some(meta) = objects.head(key.as_str())? else { return Ok(None) };
        let (objects, size) = (objects.clone(), meta.size);
        let object = Object { objects, key: key.as_str().to_owned(), at: 0, size };
        Ok(Some((Content::Object(object), size)))
    }

    pub(crate) fn stat(&self, key: &Key) -> Result<Option<Stat>> {
        match self.remote(key) {
            None => self.local.stat(key),
            Some(objects) => Ok(objects.head(key.as_str())?.as_ref().map(to_stat)),
        }
    }

    pub(crate) fn has_directory(&self, key: &Key) -> Result<bool> {
        match self.remote(key) {
            None => self.local.has_directory(key),
            Some(objects) => Ok(!objects.list(key.as_str(), Some(1))?.is_empty()),
        }
    }

    /// Looks at a file, and makes it young if it is older than `age`. `None`: it is not there, or what it is an
    /// entry of has just been removed.
    pub(crate) fn touch(&self, key: &Key, age: Duration) -> Result<Option<Stat>> {
        let Some(objects) = self.remote(key) else { return self.local.touch(key, age) };
        let Some(meta) = objects.head(key.as_str())? else { return Ok(None) };
        let is_young = meta.modified_s.saturating_add(age.as_secs()) > now_s();
        if is_young || self.access() == Access::Read || key.is_content() {
            return Ok(Some(to_stat(&meta)));
        }
        let Some((bytes, version)) = objects.get(key.as_str(), None, TOUCHED_BYTES)? else {
            return Ok(None);
        };
        // Whoever has changed it meanwhile has made it young.
        objects.put(key.as_str(), &bytes, &Only::Is(version))?;
        if objects.head(key.as_str())?.is_none() {
            return Ok(None);
        }
        let entry_of = key.as_str().rsplit('/').next().and_then(file_digest);
        if let Some(digest) = entry_of
            && self.was_condemned(&digest)?
            && self.stat(&Key::content(&digest))?.is_none()
        {
            return Ok(None);
        }
        Ok(Some(to_stat(&meta)))
    }

    /// Whether a collector was about to remove content; when this returns it is over with that.
    pub(super) fn was_condemned(&self, digest: &Digest) -> Result<bool> {
        let Some(objects) = &self.objects else { return Ok(false) };
        let key = Key::condemned(digest);
        for tried in 0..VERDICT_TRIES {
            let said = objects.head(key.as_str())?;
            // One that was killed does nothing any more.
            if said.is_none_or(|it| it.modified_s.saturating_add(CONDEMNED_S) < now_s()) {
                return Ok(tried > 0);
            }
            std::thread::sleep(VERDICT_PAUSE);
        }
        Err(Error::new(format!("{digest}: a collector does not come to an end with it")))
    }

    pub(crate) fn write(&self, key: &Key, bytes: &[u8]) -> Result<()> {
        match self.remote(key) {
            None => self.local.write(key, bytes),
            Some(objects) => Ok(objects.put(key.as_str(), bytes, &Only::Always).map(drop)?),
        }
    }

    /// Writes a file that is not there, or is as it was read; says whether it was so. `None`: nobody else changes
    /// anything here, and whoever asks has looked.
    pub(super) fn write_if(&self, key: &Key, bytes: &[u8], only: &Only) -> Result<Option<bool>> {
        match self.remote(key) {
            None => self.local.write(key, bytes).map(|()| None),
            Some(objects) => Ok(Some(objects.put(key.as_str(), bytes, only)?)),
        }
    }

    /// Reads a small file with what tells it from others of the same name.
    pub(super) fn read_version(
        &self,
        key: &Key,
        limit: usize,
    ) -> Result<Option<(Vec<u8>, String)>> {
        match self.remote(key) {
            None => Ok(self.local.read(key, limit)?.map(|bytes| (bytes, String::new()))),
            Some(objects) => Ok(objects.get(key.as_str(), None, limit)?),
        }
    }

    pub(crate) fn write_empty(&self, key: &Key) -> Result<bool> {
        match self.remote(key) {
            None => self.local.write_empty(key),
            Some(objects) => Ok(objects.put(key.as_str(), b"", &Only::Absent)?),
        }
    }

    /// Gives content that was on its way its name.
    pub(super) fn place(&self, from: &Source<'_>, to: &Key) -> Result<()> {
        let Some(objects) = self.remote(to) else {
            return self.local.place(from.key, from.file, to);
        };
        let whole = from.passed.as_ref().filter(|_| from.size <= COPIED_BYTES);
        // A store that does not copy gets it again.
        if whole.is_some_and(|whole| objects.copy(whole.as_str(), to.as_str()).is_ok()) {
            return Ok(());
        }
        Ok(objects.put_file(to.as_str(), from.file, 0, from.size)?)
    }

    /// Writes a file's bytes from `begin` to `end` for others to read.
    pub(super) fn pass(&self, file: &Fd, begin: u64, end: u64, to: &Key) -> Result<()> {
        match self.remote(to) {
            None => Ok(()),
            Some(objects) => Ok(objects.put_file(to.as_str(), file, begin, end)?),
        }
    }

    pub(super) fn stage(&self) -> Result<(Key, Fd)> {
        self.local.stage()
    }

    pub(crate) fn create_file(&self, key: &Key) -> Result<Fd> {
        self.local.create_file(key)
    }

    pub(crate) fn open_to_append(&self, key: &Key) -> Result<Option<(Fd, u64)>> {
        self.local.open_to_append(key)
    }

    pub(crate) fn remove(&self, key: &Key) -> Result<bool> {
        let Some(objects) = self.remote(key) else { return self.local.remove(key) };
        let there = objects.head(key.as_str())?.is_some();
        if there {
            objects.delete(key.as_str())?;
        }
        Ok(there)
    }

    pub(crate) fn remove_if_older(&self, key: &Key, cutoff_s: u64) -> Result<Option<Stat>> {
        let Some(objects) = self.remote(key) else {
            return self.local.remove_if_older(key, cutoff_s);
        };
        let stat = objects.head(key.as_str())?.as_ref().map(to_stat);
        let Some(stat) = stat.filter(|stat| stat.modified_s < cutoff_s) else { return Ok(None) };
        objects.delete(key.as_str())?;
        Ok(Some(stat))
    }

    pub(crate) fn list(&self, key: &Key) -> Result<Vec<String>> {
        match self.remote(key) {
            None => self.local.list(key),
            Some(objects) => {
                Ok(objects.list(key.as_str(), None)?.into_iter().map(|it| it.0).collect())
            }
        }
    }

    /// The names directly below a key, with their sizes, where these cost nothing.
    pub(super) fn list_sizes(&self, key: &Key) -> Result<Vec<(String, Option<u64>)>> {
        match self.remote(key) {
            None => Ok(self.local.list(key)?.into_iter().map(|name| (name, None)).collect()),
            Some(objects) => {
                let all = objects.list(key.as_str(), None)?.into_iter();
                Ok(all.map(|(name, known)| (name, known.map(|it| it.0))).collect())
            }
        }
    }

    pub(super) fn make_directory(&self, key: &Key) -> Result<()> {
        match self.remote(key) {
            None => self.local.make_directory(key),
            // There are none in a bucket.
            Some(_) => Ok(()),
        }
    }

    pub(crate) fn remove_directory(&self, key: &Key) -> Result<bool> {
        match self.remote(key) {
            None => self.local.remove_directory(key),
            Some(_) => Ok(false),
        }
    }

    pub(super) fn sweep(&self) -> Result<()> {
        self.local.sweep()
    }

    pub(crate) fn sync_entries(&self, key: &Key) -> Result<()> {
        match self.remote(key) {
            None => self.local.sync_entries(key),
            Some(_) => Ok(()),
        }
    }
}

/// What is written again to be made young: a record, or a referrer's entry.
const TOUCHED_BYTES: usize = crate::limits::REFERRER_BYTES;
