//! A registry on disk.
//!
//! ```text
//! ROOT/registry.json   format, uuid, feature flags; written last when a registry is made
//! ROOT/lock            flock: alone by the one process that changes anything, together by readers
//! ROOT/blobs/ALGORITHM/HH/HEX
//!                      content, manifests too: the bytes as they came
//! ROOT/repositories/NAME/      NAME has `+` for `/`
//!     origin                   record: what it is a copy of, if it is one
//!     blobs/ALGORITHM-HEX      empty: the repository has the blob; its time is that of the lease
//!     manifests/ALGORITHM-HEX  record: media type, size, subject, time
//!     tags/TAG                 record: digest, time
//!     referrers/ALGORITHM-HEX/ALGORITHM-HEX
//!                              below a subject, a referrer's descriptor
//! ROOT/uploads/ID, ID.json     an upload in flight and whose it is
//! ROOT/passed/ID/              in a bucket: what other servers see of it
//! ROOT/staging/ID              files without a name; the next start removes them
//! ```
//!
//! - Content has its digest for a name and gets it by a rename, after its digest was compared and it was
//!   synced. So whatever has a name is whole.
//! - What a repository has is said by files of its own. Nobody gets at a blob through a repository that
//!   has not got it, however well its digest is known.
//! - A manifest's record is written after everything that it names was found, its referrer's entry before
//!   it, its tags after it; it is removed after its tags, and before that entry. So whatever is found from
//!   a tag is there, and an entry without a record counts for nothing.
//! - Content and entries of blobs that nothing refers to are collected when they are older than the lease
//!   ([`Storage::has_blob`] and whatever relies on a blob makes it young).
//!
//! The whole argument is in `docs/internals/registry.md`.

mod blobs;
mod check;
mod collector;
mod copies;
mod directory;
mod error;
mod key;
mod listing;
mod manifests;
mod medium;
mod passing;
mod record;
mod shared;
mod usage;

pub use check::{Checked, Problem};
pub use collector::Collected;
pub(crate) use collector::Policy;
pub(crate) use copies::Incoming;
pub(crate) use directory::now_s;
pub use directory::{Access, Durability};
pub use error::Error;
pub(crate) use error::Result;
pub(crate) use key::Key;
pub(crate) use listing::Page;
pub(crate) use manifests::{Condition, Put, PutDone};
pub(crate) use medium::{Content, Medium, Object};
pub(crate) use passing::Piece;
pub(crate) use usage::Hold;
pub use usage::Quota;
use usage::Usage;

use crate::bucket::Bucket;
use crate::names::{Repository, UploadId, file_digest};
use oci::{Algorithm, Digest};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Locks for all repositories: two that share one wait for each other for some milliseconds.
const LOCKS: usize = 64;

/// An open registry.
#[derive(Debug)]
pub(crate) struct Storage {
    directory: Medium,
    uuid: String,
    /// Tells this server from others of the registry.
    server: String,
    lease: Duration,
    usage: Arc<Usage>,
    /// Held by what changes manifests and tags of a repository.
    locks: [Mutex<()>; LOCKS],
}

impl Storage {
    /// Opens the registry at `root`; it is made if there is none, unless it is only to be read.
    pub(crate) fn open(
        root: &Path,
        access: Access,
        durability: Durability,
        lease: Duration,
        bucket: Option<&Bucket>,
    ) -> Result<Self> {
        let directory = Medium::open(root, access, durability, bucket)?;
        let uuid = record::check(&directory, root)?;
        if access == Access::Change {
            directory.sweep()?;
        }
        let usage = Usage::new(Vec::new());
        let locks = std::array::from_fn(|_| Mutex::new(()));
        let server = UploadId::random();
        let server = server.map_err(|errno| Error::os("asking for a random number", errno))?;
        let server = server.to_string();
        Ok(Self { directory, uuid, server, lease, usage, locks })
    }

    /// The same with limits to how much is in it.
    pub(crate) fn with_quotas(mut self, quotas: Vec<Quota>) -> Result<Self> {
        self.usage = Usage::new(quotas);
        if self.usage.is_limited() {
            self.count()?;
        }
        Ok(self)
    }

    /// Room in a repository for what a client is about to put.
    pub(crate) fn hold(&self, name: &Repository) -> Hold {
        Hold::new(&self.usage, name)
    }

    /// Each limit, and what is used of it.
    pub(crate) fn quotas(&self) -> Vec<(Quota, u64)> {
        self.usage.list()
    }

    /// Counts what is there.
    fn count(&self) -> Result<()> {
        let mut sizes: HashMap<u64, u64> = HashMap::new();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            for shard in self.directory.list(&Key::contents(algorithm))? {
                let Some(shard) = Key::shard(algorithm, &shard) else { continue };
                for (hex, known) in self.directory.list_sizes(&shard)? {
                    let text = format!("{}:{hex}", algorithm.name());
                    let Ok(digest) = Digest::parse(&text) else { continue };
                    let size = known.map_or_else(|| self.content_size(&digest), Ok)?;
                    self.usage.count(None, size);
                    sizes.insert(collector::short(&digest), size);
                }
            }
        }
        for directory in self.directory.list(&Key::repositories())? {
            let Some(name) = Repository::from_directory(&directory) else { continue };
            for key in [Key::blobs(&name), Key::manifests(&name)] {
                for digest in self.directory.list(&key)?.iter().filter_map(|it| file_digest(it)) {
                    let size = sizes.get(&collector::short(&digest)).copied();
                    self.usage.count(Some(&name), size.unwrap_or(0));
                }
            }
        }
        Ok(())
    }

    /// Size of content; that of what is not there is 0.
    fn content_size(&self, digest: &Digest) -> Result<u64> {
        Ok(self.directory.stat(&Key::content(digest))?.map_or(0, |stat| stat.size))
    }

    /// What tells this registry from others.
    pub(crate) fn uuid(&self) -> &str {
        &self.uuid
    }

    pub(crate) fn directory(&self) -> &Medium {
        &self.directory
    }

    /// What is older than this is made young by whoever relies on it: the rest of the lease is left
    /// at least.
    fn touch_age(&self) -> Duration {
        self.lease / 2
    }

    fn lock(&self, name: &Repository) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let lock = &self.locks[hasher.finish() as usize % LOCKS];
        lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
