//! A blob on its way from another registry into ours, and whoever reads it meanwhile.

use super::Copied;
use crate::limits::READ_BYTES;
use crate::names::Repository;
use crate::observe::metrics::Metrics;
use crate::refusal::Refusal;
use crate::registry::Sink;
use crate::storage::{Hold, Incoming, Storage};
use crate::uploads::blocking;
use oci::Digest;
use oci::image::Descriptor;
use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use sys::Fd;
use tokio::sync::{Semaphore, watch};

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// What may be read.
    arrived: u64,
    /// It will not come to its end.
    failed: bool,
    /// It has come to its end, and has its name.
    whole: bool,
}

/// A blob on its way.
pub(crate) struct Flight {
    pub(crate) size: u64,
    incoming: Incoming,
    progress: watch::Sender<Progress>,
}

impl Flight {
    /// Opens it to be read while it grows; `None` when it has come to its end meanwhile.
    pub(crate) fn open(&self, storage: &Storage) -> Result<Option<Fd>, crate::storage::Error> {
        storage.follow(&self.incoming)
    }

    /// Waits until it is here or will not be.
    pub(crate) async fn end(&self) {
        let over = |progress: &Progress| progress.whole || progress.failed;
        let _ = self.progress.subscribe().wait_for(over).await;
    }

    /// What tells a reader how far it is.
    pub(crate) fn growth(&self) -> Growth {
        Growth { progress: self.progress.subscribe(), at: 0 }
    }
}

/// A reader's view of a file that grows.
pub(crate) struct Growth {
    progress: watch::Receiver<Progress>,
    /// Where the reader is.
    at: u64,
}

impl Growth {
    /// The same for a reader that begins somewhere else.
    pub(crate) fn from(self, at: u64) -> Self {
        Self { at, ..self }
    }

    /// Notes that so much was read.
    pub(crate) fn advance(&mut self, count: u64) {
        self.at += count;
    }

    /// How much can be read without waiting.
    pub(crate) fn ready(&self) -> io::Result<u64> {
        let progress = *self.progress.borrow();
        match progress.arrived.saturating_sub(self.at) {
            0 if progress.failed => Err(io::Error::other("the other registry does not send it")),
            ready => Ok(ready),
        }
    }

    /// Waits until more has arrived than there was.
    pub(crate) async fn more(mut self) -> Self {
        // A flight that has ended without a word has failed, too, and `ready` is asked next.
        let at = self.at;
        let more = |progress: &Progress| progress.arrived > at || progress.failed;
        let _ = self.progress.wait_for(more).await;
        self
    }
}

/// All blobs that are on their way.
pub(super) struct Flights {
    storage: Arc<Storage>,
    metrics: Arc<Metrics>,
    tell: Sink,
    known: Arc<Mutex<Known>>,
    /// How many at one moment.
    room: Arc<Semaphore>,
}

type Known = HashMap<(Repository, Digest), Arc<Flight>>;

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Flights {
    pub(super) fn new(
        storage: Arc<Storage>,
        metrics: Arc<Metrics>,
        tell: Sink,
        count: usize,
    ) -> Self {
        let room = Arc::new(Semaphore::new(count));
        Self { storage, metrics, tell, known: Arc::default(), room }
    }

    pub(super) fn find(&self, name: &Repository, digest: &Digest) -> Option<Arc<Flight>> {
        lock(&self.known).get(&(name.clone(), *digest)).cloned()
    }

    /// Lets a blob come. It comes to its end even if nobody waits for it any more.
    pub(super) async fn begin(
        &self,
        copied: &Copied,
        digest: Digest,
        size: u64,
    ) -> Result<Arc<Flight>, Refusal> {
        let permit = self.room.clone().acquire_owned().await;
        let permit = permit.map_err(|_| Refusal::internal("the registry ends"))?;
        let mut hold = self.storage.hold(&copied.name);
        hold.grow(size)?;
        let storage = self.storage.clone();
        let incoming = blocking(move || storage.receive()).await?;
        let progress = watch::Sender::new(Progress::default());
        let flight = Arc::new(Flight { size, incoming, progress });
        let key = (copied.name.clone(), digest);
        lock(&self.known).insert(key.clone(), flight.clone());
        let (storage, known) = (self.storage.clone(), self.known.clone());
        let (metrics, tell) = (self.metrics.clone(), self.tell.clone());
        let (copied, coming) = (copied.clone(), flight.clone());
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let fetched = fetch(&storage, &metrics, &copied, (&digest, &mut hold), &coming);
            // Whoever comes now finds the blob itself.
            lock(&known).remove(&key);
            match fetched {
                Ok(()) => coming.progress.send_modify(|it| {
                    (it.arrived, it.whole) = (size, true);
                }),
                Err(text) => {
                    tell(&format!("{}: {digest}: {text}", copied.origin.name()));
                    // It has no name: the next start would remove it, too.
                    let _ = storage.drop_incoming(&coming.incoming);
                    coming.progress.send_modify(|it| it.failed = true);
                }
            }
        });
        Ok(flight)
    }
}

/// Fetches a blob and keeps it.
fn fetch(
    storage: &Storage,
    metrics: &Metrics,
    copied: &Copied,
    (digest, hold): (&Digest, &mut Hold),
    flight: &Flight,
) -> Result<(), String> {
    let size = flight.size;
    let descriptor = Descriptor::new("application/octet-stream", *digest, size);
    let opened = copied.mirror.remote(&copied.origin).and_then(|remote| remote.blob(&descriptor));
    let mut blob = opened.map_err(|error| {
        copied.mirror.note(&error);
        error.to_string()
    })?;
    let mut buffer = vec![0; READ_BYTES];
    let mut written = 0;
    loop {
        let count = match blob.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.to_string()),
        };
        if count == 0 {
            break;
        }
        flight.incoming.write(&buffer[..count]).map_err(|error| error.to_string())?;
        written += count as u64;
        metrics.fetched_bytes.fetch_add(count as u64, Ordering::Relaxed);
        // The last byte is for those who wait until all of them were compared.
        flight.progress.send_modify(|it| it.arrived = written.min(size.saturating_sub(1)));
    }
    // The end of what is read says that the digest is right.
    let kept = storage.keep(&flight.incoming, size, &copied.name, digest, hold);
    kept.map_err(|error| error.to_string())
}
