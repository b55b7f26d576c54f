//! A registry that answers requests.

use crate::limits::{LISTINGS, MANIFESTS_IN_FLIGHT_BYTES};
use crate::refusal::Refusal;
use crate::storage::{Error, Storage};
use crate::uploads::{Uploads, blocking};
use crate::web::body::Buffers;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// What all requests share.
pub(crate) struct Registry {
    pub(crate) storage: Arc<Storage>,
    pub(crate) uploads: Arc<Uploads>,
    pub(crate) buffers: Arc<Buffers>,
    /// Memory for manifests that are arriving, in bytes.
    pub(crate) arriving: Semaphore,
    listings: Arc<Semaphore>,
    faults: Sink,
}

/// Where the operator is told something, one line at a time.
pub type Sink = Arc<dyn Fn(&str) + Send + Sync>;

impl Registry {
    pub(crate) fn new(storage: Arc<Storage>, faults: Sink) -> Result<Self, Error> {
        Ok(Self {
            uploads: Arc::new(Uploads::new(storage.clone())?),
            storage,
            buffers: Arc::default(),
            arriving: Semaphore::new(MANIFESTS_IN_FLIGHT_BYTES),
            listings: Arc::new(Semaphore::new(LISTINGS)),
            faults,
        })
    }

    /// Tells the operator.
    pub(crate) fn tell(&self, fault: &str) {
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
