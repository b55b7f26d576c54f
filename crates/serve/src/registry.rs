//! A registry that answers requests.

use crate::auth::Gate;
use crate::cache::{Cache, Caching};
use crate::limits::{LISTINGS, MANIFESTS_IN_FLIGHT_BYTES};
use crate::observe::events::Events;
use crate::observe::metrics::Metrics;
use crate::refusal::Refusal;
use crate::storage::{Error, Storage};
use crate::uploads::{Uploads, blocking};
use crate::web::body::Buffers;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::Semaphore;

/// What all requests share.
pub(crate) struct Registry {
    pub(crate) storage: Arc<Storage>,
    pub(crate) uploads: Arc<Uploads>,
    pub(crate) buffers: Arc<Buffers>,
    /// For content that is in a bucket.
    pub(crate) object_buffers: Arc<Buffers>,
    /// Memory for manifests that are arriving, in bytes.
    pub(crate) arriving: Semaphore,
    pub(crate) gate: Arc<Gate>,
    /// Copies of other registries.
    pub(crate) cache: Option<Cache>,
    /// Nothing is changed.
    pub(crate) read_only: bool,
    /// There are pages for people.
    pub(crate) pages: bool,
    /// Time without a byte in a body.
    pub(crate) silence: Duration,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) events: Events,
    listings: Arc<Semaphore>,
    faults: Sink,
}

/// Where the operator is told something, one line at a time.
pub type Sink = Arc<dyn Fn(&str) + Send + Sync>;

/// What a registry is made of.
pub(crate) struct Parts {
    pub(crate) storage: Arc<Storage>,
    pub(crate) gate: Gate,
    pub(crate) caching: Option<Caching>,
    pub(crate) read_only: bool,
    pub(crate) pages: bool,
    pub(crate) silence: Duration,
    pub(crate) events: Events,
    pub(crate) faults: Sink,
}

impl Registry {
    pub(crate) fn new(parts: Parts) -> Result<Self, Error> {
        let Parts { storage, gate, caching, read_only, pages, silence, events, faults } = parts;
        let metrics = Arc::new(Metrics::default());
        let cache = caching.map(|caching| {
            Cache::new(&caching, storage.clone(), metrics.clone(), faults.clone())
                .map_err(Error::new)
        });
        Ok(Self {
            uploads: Arc::new(Uploads::new(storage.clone(), metrics.clone())?),
            storage,
            buffers: Arc::default(),
            object_buffers: Arc::new(Buffers::of_objects()),
            arriving: Semaphore::new(MANIFESTS_IN_FLIGHT_BYTES),
            gate: Arc::new(gate),
            cache: cache.transpose()?,
            read_only,
            pages,
            silence,
            metrics,
            events,
            listings: Arc::new(Semaphore::new(LISTINGS)),
            faults,
        })
    }

    /// Tells the operator.
    pub(crate) fn tell(&self, fault: &str) {
        self.metrics.faults.fetch_add(1, Ordering::Relaxed);
        (self.faults)(fault);
    }

    /// Asks the storage something, on a thread that may block.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Storage) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Refusal> {
        let storage = self.storage.clone();
        blocking(move || question(&storage)).await
    }

    /// As [`Registry::ask`], for what holds a whole directory in memory.
    pub(crate) async fn list<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Storage) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Refusal> {
        let permit = self.listings.clone().acquire_owned().await;
        let permit = permit.map_err(|_| Refusal::internal("the registry ends"))?;
        let storage = self.storage.clone();
        blocking(move || {
            let _permit = permit;
            question(&storage)
        })
        .await
    }
}
