//! Repositories that are those of other registries: what clients ask for is fetched once, kept, and served.
//!
//! - A tag is asked for again when the last look is older than the time it is trusted for. When its registry is away,
//!   or limits how much is asked for, what is here is served.
//! - Whatever has a digest is fetched once, however many clients want it: the others wait for the first one
//!   ([`turns`]), or read what has arrived of it ([`flight`]).
//! - Nothing gets a name here before its digest was compared, and no client gets the last byte of a blob before.
//! - Nothing is pushed through it.

mod flight;
mod turns;
mod upstream;

pub(crate) use flight::{Flight, Growth};
pub use upstream::{Connect, Upstream};

use crate::api::manifests::understand;
use crate::limits::{ASKS, FETCHES};
use crate::names::{Repository, Selector, Tag};
use crate::observe::metrics::Metrics;
use crate::refusal::{Code, Refusal};
use crate::registry::Sink;
use crate::storage::{Condition, Put, PutDone, Storage, now_s};
use crate::uploads::blocking;
use flight::Flights;
use oci::image::Descriptor;
use oci::{Digest, Reference};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::Semaphore;
use transport::ErrorKind;
use transport::registry::Registry as Remote;
use turns::Turns;
use upstream::{Failed, Mirror};

/// How copies of other registries are kept.
#[derive(Clone)]
pub struct Caching {
    /// Which registries.
    pub upstreams: Vec<Upstream>,
    /// How long a tag is taken to stand for what it stood for.
    pub trust: Duration,
}

/// Copies of other registries.
pub(crate) struct Cache {
    mirrors: Vec<Arc<Mirror>>,
    trust: Duration,
    storage: Arc<Storage>,
    metrics: Arc<Metrics>,
    turns: Turns,
    /// Questions to other registries at one moment.
    asks: Arc<Semaphore>,
    flights: Flights,
}

/// A repository of another registry.
#[derive(Clone)]
pub(crate) struct Copied {
    mirror: Arc<Mirror>,
    /// Its name there.
    origin: Reference,
    /// Its name here.
    name: Repository,
}

/// Where a manifest is.
pub(crate) enum Found {
    /// Here.
    Here,
    /// Only there: nobody has asked for its content so far.
    There(Box<Descriptor>),
}

/// Where a blob is.
pub(crate) enum Blob {
    /// Here.
    Here,
    /// Only there, and so large.
    There(u64),
    /// On its way.
    Coming(Arc<Flight>),
}

impl Cache {
    pub(crate) fn new(
        caching: &Caching,
        storage: Arc<Storage>,
        metrics: Arc<Metrics>,
        tell: Sink,
    ) -> Result<Self, String> {
        let mut mirrors = Vec::new();
        for upstream in &caching.upstreams {
            let mirror = Mirror::new(upstream, storage.uuid(), tell.clone())?;
            if mirrors.iter().any(|known: &Arc<Mirror>| known.prefix() == mirror.prefix()) {
                return Err(format!("two registries for repositories below `{}`", mirror.prefix()));
            }
            mirrors.push(Arc::new(mirror));
        }
        // The longest prefix counts.
        mirrors.sort_by_key(|mirror| std::cmp::Reverse(mirror.prefix().len()));
        Ok(Self {
            mirrors,
            trust: caching.trust,
            flights: Flights::new(storage.clone(), metrics.clone(), tell, FETCHES),
            storage,
            metrics,
            turns: Turns::default(),
            asks: Arc::new(Semaphore::new(ASKS)),
        })
    }

    /// What a repository is a copy of, if it is one.
    pub(crate) fn find(&self, name: &Repository) -> Option<Copied> {
        let (mirror, origin) = self
            .mirrors
            .iter()
            .find_map(|mirror| Some((mirror.clone(), mirror.origin(&name.to_string())?)))?;
        Some(Copied { mirror, origin, name: name.clone() })
    }

    /// Whether a request comes from this registry itself.
    pub(crate) fn is_own(&self, user_agent: &str) -> bool {
        user_agent.contains(&upstream::mark(self.storage.uuid()))
    }

    /// Asks the other registry, on a thread that may block.
    async fn ask<T: Send + 'static>(
        &self,
        copied: &Copied,
        question: impl FnOnce(&Remote) -> transport::Result<T> + Send + 'static,
    ) -> Result<Result<T, Failed>, Refusal> {
        let permit = self.asks.clone().acquire_owned().await;
        let permit = permit.map_err(|_| Refusal::internal("the registry ends"))?;
        let (mirror, origin) = (copied.mirror.clone(), copied.origin.clone());
        blocking(move || {
            let _permit = permit;
            Ok(mirror.ask(&origin, question))
        })
        .await
    }

    async fn here<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Storage) -> Result<T, crate::storage::Error> + Send + 'static,
    ) -> Result<T, Refusal> {
        let storage = self.storage.clone();
        blocking(move || question(&storage)).await
    }

    /// Finds a manifest; when its content is wanted, it is here then.
    pub(crate) async fn manifest(
        &self,
        copied: &Copied,
        selector: &Selector,
        head: bool,
    ) -> Result<Found, Refusal> {
        match selector {
            Selector::Digest(digest) => self.by_digest(copied, *digest, head).await,
            Selector::Tag(tag) => self.by_tag(copied, tag, head).await,
        }
    }

    async fn by_digest(
        &self,
        copied: &Copied,
        digest: Digest,
        head: bool,
    ) -> Result<Found, Refusal> {
        if self.has_manifest(copied, digest).await? {
            self.hit();
            return Ok(Found::Here);
        }
        let _turn = self.turns.take(format!("{}@{digest}", copied.name)).await;
        if self.has_manifest(copied, digest).await? {
            self.hit();
            return Ok(Found::Here);
        }
        if head {
            let found = self.ask(copied, move |remote| remote.resolve(&digest.to_string())).await?;
            let found = found.map_err(|failed| failed.refuse(&unknown_manifest()))?;
            return found.map(|it| Found::There(it.into())).ok_or_else(unknown_manifest);
        }
        self.fetch(copied, digest).await?;
        Ok(Found::Here)
    }

    async fn by_tag(&self, copied: &Copied, tag: &Tag, head: bool) -> Result<Found, Refusal> {
        if self.seen(copied, tag).await?.is_some_and(|(_, seen_s)| self.is_trusted(seen_s)) {
            self.hit();
            return Ok(Found::Here);
        }
        let _turn = self.turns.take(format!("{}:{tag}", copied.name)).await;
        let known = self.seen(copied, tag).await?;
        if known.is_some_and(|(_, seen_s)| self.is_trusted(seen_s)) {
            self.hit();
            return Ok(Found::Here);
        }
        let wanted = tag.to_string();
        let found = match self.ask(copied, move |remote| remote.resolve(&wanted)).await? {
            Ok(found) => found,
            Err(failed) if known.is_some() && failed.is_passing() => {
                self.metrics.cache_stale.fetch_add(1, Ordering::Relaxed);
                return Ok(Found::Here);
            }
            Err(failed) => return Err(failed.refuse(&unknown_manifest())),
        };
        let Some(found) = found else {
            // What its owner has taken back is not given out any more.
            let (name, tag) = (copied.name.clone(), tag.clone());
            self.here(move |storage| storage.delete_tag(&name, &tag)).await?;
            return Err(unknown_manifest());
        };
        let digest = *found.verifiable().map_err(|error| Refusal::internal(error.text()))?;
        let (name, wanted) = (copied.name.clone(), tag.clone());
        if self.here(move |storage| storage.see_tag(&name, &wanted, &digest)).await? {
            self.hit();
            return Ok(Found::Here);
        }
        if head {
            return Ok(Found::There(found.into()));
        }
        self.fetch(copied, digest).await?;
        let (name, wanted) = (copied.name.clone(), tag.clone());
        match self.here(move |storage| storage.see_tag(&name, &wanted, &digest)).await? {
            true => Ok(Found::Here),
            false => Err(Refusal::internal(format!("{digest}: was removed by somebody else"))),
        }
    }

    async fn seen(&self, copied: &Copied, tag: &Tag) -> Result<Option<(Digest, u64)>, Refusal> {
        let (name, tag) = (copied.name.clone(), tag.clone());
        self.here(move |storage| storage.tag_seen(&name, &tag)).await
    }

    /// Clocks may be set back: what was seen in the future was not seen.
    fn is_trusted(&self, seen_s: u64) -> bool {
        let now = now_s();
        seen_s <= now && now - seen_s < self.trust.as_secs()
    }

    async fn has_manifest(&self, copied: &Copied, digest: Digest) -> Result<bool, Refusal> {
        let name = copied.name.clone();
        self.here(move |storage| Ok(storage.manifest_record(&name, &digest)?.is_some())).await
    }

    /// Fetches a manifest and keeps it.
    async fn fetch(&self, copied: &Copied, digest: Digest) -> Result<(), Refusal> {
        self.metrics.cache_misses.fetch_add(1, Ordering::Relaxed);
        let wanted = move |remote: &Remote| remote.manifest(&digest.to_string(), Some(&digest));
        let document = self.ask(copied, wanted).await?;
        let document = document.map_err(|failed| failed.refuse(&unknown_manifest()))?;
        let (storage, name) = (self.storage.clone(), copied.name.clone());
        let origin = copied.origin.name().to_owned();
        let kept = tokio::task::spawn_blocking(move || {
            let put = understand(&document, Vec::new(), Condition::None)?;
            storage.set_origin(&name, &origin)?;
            Ok(storage.put_manifest(&name, &Put { partial: true, ..put })?)
        });
        let kept: Result<PutDone, Refusal> =
            kept.await.map_err(|error| Refusal::internal(error.to_string()))?;
        kept.map(drop)
    }

    /// Finds a blob; when its content is wanted, it is at least on its way then.
    pub(crate) async fn blob(
        &self,
        copied: &Copied,
        digest: Digest,
        head: bool,
    ) -> Result<Blob, Refusal> {
        if let Some(found) = self.blob_here(copied, digest).await? {
            return Ok(found);
        }
        let _turn = self.turns.take(format!("{}@{digest}", copied.name)).await;
        if let Some(found) = self.blob_here(copied, digest).await? {
            return Ok(found);
        }
        // Who may not read it there does not get it here either, even if another repository has it.
        let size = match self.ask(copied, move |remote| remote.blob_size(&digest)).await? {
            Ok(size) => size,
            Err(failed) => return Err(failed.refuse(&unknown_blob())),
        };
        if head {
            return Ok(Blob::There(size));
        }
        let (name, origin) = (copied.name.clone(), copied.origin.name().to_owned());
        let adopted = self.here(move |storage| {
            storage.set_origin(&name, &origin)?;
            storage.adopt(&name, &digest, size)
        });
        if adopted.await? {
            self.hit();
            return Ok(Blob::Here);
        }
        self.metrics.cache_misses.fetch_add(1, Ordering::Relaxed);
        self.flights.begin(copied, digest, size).await.map(Blob::Coming)
    }

    async fn blob_here(&self, copied: &Copied, digest: Digest) -> Result<Option<Blob>, Refusal> {
        // In this order: what has arrived meanwhile is found in the second place.
        let coming = self.flights.find(&copied.name, &digest);
        let name = copied.name.clone();
        if self.here(move |storage| storage.has_blob(&name, &digest)).await?.is_some() {
            self.hit();
            return Ok(Some(Blob::Here));
        }
        Ok(coming.map(Blob::Coming))
    }

    /// All tags of a repository, or `None` when its registry is away.
    pub(crate) async fn tags(&self, copied: &Copied) -> Result<Option<Vec<String>>, Refusal> {
        let unknown = || Refusal::missing(Code::NameUnknown, "there is no such repository");
        let _turn = self.turns.take(format!("{} tags", copied.name)).await;
        match self.ask(copied, Remote::tags).await? {
            Ok(tags) => Ok(Some(tags)),
            Err(failed) if failed.is_passing() => Ok(None),
            Err(failed) => Err(failed.refuse(&unknown())),
        }
    }

    /// What refers to a manifest, or `None` when its registry is away.
    pub(crate) async fn referrers(
        &self,
        copied: &Copied,
        subject: Digest,
    ) -> Result<Option<Vec<Descriptor>>, Refusal> {
        let _turn = self.turns.take(format!("{} referrers {subject}", copied.name)).await;
        match self.ask(copied, move |remote| remote.referrers(&subject, "")).await? {
            Ok(found) => Ok(Some(found)),
            // A registry that does not have the manifest has nothing that refers to it.
            Err(failed) if failed.kind() == ErrorKind::NotFound => Ok(Some(Vec::new())),
            Err(failed) if failed.is_passing() => Ok(None),
            Err(failed) => Err(failed.refuse(&unknown_manifest())),
        }
    }

    fn hit(&self) {
        self.metrics.cache_hits.fetch_add(1, Ordering::Relaxed);
    }
}

fn unknown_manifest() -> Refusal {
    Refusal::missing(Code::ManifestUnknown, "the repository has no such manifest")
}

fn unknown_blob() -> Refusal {
    Refusal::missing(Code::BlobUnknown, "the repository has no such blob")
}
