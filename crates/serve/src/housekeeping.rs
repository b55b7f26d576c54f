//! What is done without a request: taking away what nothing refers to.

use crate::bucket::Bucket;
use crate::error::Error;
use crate::limits::PASSED_AGE;
use crate::registry::Registry;
use crate::storage::{Access, Checked, Collected, Durability, Policy, Storage};
use crate::uploads::{Uploads, blocking};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What is kept for how long.
#[derive(Clone, Debug)]
pub struct Keeping {
    /// Content that nothing refers to, after somebody put it or asked for it.
    pub lease: Duration,
    /// Manifests without a tag that nothing tagged leads to; `None`: for ever.
    pub untagged: Option<Duration>,
    /// What was copied from another registry and nobody asks for any more; `None`: for ever.
    pub copies: Option<Duration>,
    /// Uploads that nobody goes on with.
    pub uploads: Duration,
}

impl Default for Keeping {
    fn default() -> Self {
        use crate::limits::{LEASE, UPLOAD_AGE};
        Self { lease: LEASE, untagged: None, copies: None, uploads: UPLOAD_AGE }
    }
}

impl Keeping {
    fn policy(&self) -> Policy {
        Policy { untagged: self.untagged, copies: self.copies }
    }
}

/// Collects, and again after each interval, until the server ends.
pub(crate) async fn collect_always(registry: Arc<Registry>, keeping: Keeping, interval: Duration) {
    loop {
        tokio::time::sleep(interval).await;
        let (registry, keeping) = (registry.clone(), keeping.clone());
        let done = blocking({
            let registry = registry.clone();
            move || {
                registry.uploads.purge(keeping.uploads)?;
                let collected =
                    registry.storage.collect(&keeping.policy(), &|text| registry.tell(text))?;
                registry.metrics.collected(&collected);
                registry.storage.recount()?;
                Ok(())
            }
        });
        if let Err(refusal) = done.await {
            registry.tell(refusal.cause().unwrap_or("the collector has failed"));
        }
    }
}

/// Removes what other servers go on with, and again after a while, until the server ends.
pub(crate) async fn leave_always(registry: Arc<Registry>) {
    while registry.storage.directory().is_shared() {
        tokio::time::sleep(PASSED_AGE).await;
        let uploads = registry.uploads.clone();
        if let Err(refusal) = blocking(move || uploads.leave_passed()).await {
            registry.tell(refusal.cause().unwrap_or("what is left of uploads is not removed"));
        }
    }
}

/// Collects in a registry that nobody serves. `tell` hears of what is left alone.
pub fn collect(
    root: &Path,
    bucket: Option<&Bucket>,
    keeping: &Keeping,
    tell: &dyn Fn(&str),
) -> Result<Collected, Error> {
    let storage = open(root, bucket, Access::Change, keeping.lease)?;
    Uploads::new(storage.clone(), Arc::default())?.purge(keeping.uploads)?;
    Ok(storage.collect(&keeping.policy(), tell)?)
}

/// Reads everything in a registry, served or not. To repair it, nobody may serve it.
pub fn check(root: &Path, bucket: Option<&Bucket>, repair: bool) -> Result<Checked, Error> {
    let access = if repair { Access::Change } else { Access::Read };
    Ok(open(root, bucket, access, Duration::ZERO)?.check(repair)?)
}

fn open(
    root: &Path,
    bucket: Option<&Bucket>,
    access: Access,
    lease: Duration,
) -> Result<Arc<Storage>, Error> {
    // A directory that is none must not become a registry.
    drop(Storage::open(root, Access::Read, Durability::Strict, lease, bucket)?);
    Ok(Arc::new(Storage::open(root, access, Durability::Strict, lease, bucket)?))
}
