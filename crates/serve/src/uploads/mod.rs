//! Uploads in flight.
//!
//! An upload is a file and a record of whose it is; what is kept in memory beside them is the hash of
//! what the file has so far, and it is made again from the file when it is not there: after a restart, or
//! when many uploads are in flight.
//!
//! One request at a time writes to an upload. A client whose connection broke comes back before the
//! server has noticed: so a new request takes the upload over, and the older one ends.
//!
//! Where several servers share a registry, each of them goes on with an upload ([`passing`]).

mod intake;
mod passing;

use crate::fault;
use crate::limits::{
    READ_BYTES, ROOM_BYTES, ROOM_UNIT_BYTES, SESSIONS, TAKEOVER_WAIT, UPLOADS, WRITES,
};
use crate::names::{Repository, UploadId};
use crate::observe::metrics::Metrics;
use crate::refusal::{Code, Refusal};
use crate::storage::{Error, Hold, Key, Piece, Storage, now_s};
use crate::web::stream::Arrival;
use hyper::StatusCode;
use hyper::body::Bytes;
use intake::Intake;
use oci::{Algorithm, Digest};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;
use sys::Fd;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};
use transport::hash::Hasher;

/// All uploads of a registry.
pub(crate) struct Uploads {
    storage: Arc<Storage>,
    metrics: Arc<Metrics>,
    sessions: Mutex<HashMap<UploadId, Entry>>,
    /// How many there are on disk.
    count: AtomicU64,
    /// Memory for what has arrived and waits for what came before it, in units of [`ROOM_UNIT_BYTES`].
    pub(crate) room: Arc<Semaphore>,
    /// Pieces that may be hashed and written at one moment.
    pub(crate) writes: Arc<Semaphore>,
}

struct Entry {
    session: Arc<Session>,
    used: Instant,
}

/// One upload.
pub(crate) struct Session {
    id: UploadId,
    repository: Repository,
    size: AtomicU64,
    /// Room for what it has.
    hold: Mutex<Hold>,
    /// Counts the requests that wanted to write: the last one may.
    writers: watch::Sender<u64>,
    state: Arc<tokio::sync::Mutex<State>>,
}

struct State {
    file: Fd,
    size: u64,
    /// The hash of all that it has; `None` when it has to be made anew.
    hasher: Option<Hasher>,
    /// It is finished or cancelled.
    ended: bool,
    /// What other servers see of it; `None`: it is ours alone.
    passed: Option<Vec<Piece>>,
}

impl State {
    fn new(file: Fd, size: u64, algorithm: Option<Algorithm>) -> Self {
        Self { file, size, hasher: algorithm.map(Hasher::new), ended: false, passed: None }
    }
}

impl Session {
    /// Sees that there is room for more of it.
    fn grow(&self, bytes: u64) -> Result<(), Error> {
        self.hold().grow(bytes)
    }

    fn hold(&self) -> std::sync::MutexGuard<'_, Hold> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many bytes it has.
    pub(crate) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    pub(crate) fn id(&self) -> &UploadId {
        &self.id
    }
}

/// The right to write to an upload, until it is dropped or taken over.
pub(crate) struct Writer {
    session: Arc<Session>,
    state: tokio::sync::OwnedMutexGuard<State>,
    taken_over: watch::Receiver<u64>,
}

impl Uploads {
    pub(crate) fn new(storage: Arc<Storage>, metrics: Arc<Metrics>) -> Result<Self, Error> {
        let names = storage.directory().list(&Key::uploads())?;
        let count = names.iter().filter(|name| UploadId::parse(name).is_some()).count();
        Ok(Self {
            storage,
            metrics,
            sessions: Mutex::new(HashMap::new()),
            count: AtomicU64::new(count as u64),
            room: Arc::new(Semaphore::new(ROOM_BYTES / ROOM_UNIT_BYTES)),
            writes: Arc::new(Semaphore::new(WRITES)),
        })
    }

    /// How many have been begun and not ended.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Begins an upload.
    pub(crate) async fn begin(
        &self,
        repository: &Repository,
        algorithm: Algorithm,
    ) -> Result<Arc<Session>, Refusal> {
        if self.count.fetch_add(1, Ordering::Relaxed) >= UPLOADS as u64 {
            self.count.fetch_sub(1, Ordering::Relaxed);
            let text = "too many uploads have been begun and not finished";
            let status = StatusCode::TOO_MANY_REQUESTS;
            return Err(Refusal::new(status, Code::TooManyRequests, text));
        }
        let (storage, name) = (self.storage.clone(), repository.clone());
        let (id, file) = blocking(move || {
            let id = UploadId::random()
                .map_err(|errno| Error::os("asking for a random number", errno))?;
            let file = storage.begin_upload(&id, &name)?;
            Ok((id, file))
        })
        .await
        .inspect_err(|_| {
            self.count.fetch_sub(1, Ordering::Relaxed);
        })?;
        let state = State::new(file, 0, Some(algorithm));
        let hold = self.storage.hold(repository);
        let session = Arc::new(Session::new(id, repository.clone(), state, hold));
        self.keep(&session);
        Ok(session)
    }

    /// Finds an upload of a repository.
    pub(crate) async fn find(
        &self,
        repository: &Repository,
        id: UploadId,
    ) -> Result<Arc<Session>, Refusal> {
        let known = {
            let mut sessions = self.sessions();
            sessions.get_mut(&id).map(|entry| {
                entry.used = Instant::now();
                entry.session.clone()
            })
        };
        let session = match known {
            Some(session) => session,
            None => self.reopen(id).await?,
        };
        // An upload of another repository is none of this client's business.
        match session.repository == *repository {
            true => Ok(session),
            false => Err(unknown()),
        }
    }

    /// Goes on with an upload that is only on disk.
    async fn reopen(&self, id: UploadId) -> Result<Arc<Session>, Refusal> {
        let storage = self.storage.clone();
        let opened = blocking(move || {
            let known = storage.open_upload(&id)?;
            if known.is_some() || !storage.take_upload(&id)? {
                return Ok((known, false));
            }
            Ok((storage.open_upload(&id)?, true))
        });
        let (opened, is_taken) = opened.await?;
        let (repository, file, size) = opened.ok_or_else(unknown)?;
        if is_taken {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        // What it has is hashed when somebody writes to it.
        let mut state = State::new(file, size, (size == 0).then_some(Algorithm::Sha256));
        // Which of its pieces it has is not known any more.
        state.passed = self.storage.directory().is_shared().then(Vec::new);
        // Since it was begun the room may have become less.
        let mut hold = self.storage.hold(&repository);
        hold.grow(size)?;
        let session = Arc::new(Session::new(id, repository, state, hold));
        // Another request may have done the same in between: one session is that of all.
        let mut sessions = self.sessions();
        let entry = sessions.entry(id).or_insert(Entry { session, used: Instant::now() });
        Ok(entry.session.clone())
    }

    /// Removes uploads that nobody has gone on with for so long; says how many.
    pub(crate) fn purge(&self, age: Duration) -> Result<u64, Error> {
        let cutoff_s = now_s().saturating_sub(age.as_secs());
        let directory = self.storage.directory();
        let mut ids: Vec<UploadId> = Vec::new();
        for name in directory.list(&Key::uploads())? {
            ids.extend(UploadId::parse(name.strip_suffix(".json").unwrap_or(&name)));
        }
        ids.dedup();
        let mut count = self.storage.purge_passed(cutoff_s)?;
        for id in ids {
            let key = Key::upload(&id);
            // One that is not whole: its other file is all that there is.
            let key = if directory.stat(&key)?.is_some() { key } else { Key::upload_record(&id) };
            if directory.stat(&key)?.is_none_or(|stat| stat.modified_s >= cutoff_s) {
                continue;
            }
            // Somebody who goes on with it right now is let be.
            let used = |entry: &Entry| Arc::strong_count(&entry.session) > 1;
            let mut sessions = self.sessions();
            if sessions.get(&id).is_some_and(used) {
                continue;
            }
            sessions.remove(&id);
            let was_begun = directory.stat(&Key::upload(&id))?.is_some();
            self.storage.remove_upload(&id)?;
            drop(sessions);
            if was_begun {
                self.count.fetch_sub(1, Ordering::Relaxed);
            }
            count += 1;
        }
        Ok(count)
    }

    fn keep(&self, session: &Arc<Session>) {
        let mut sessions = self.sessions();
        if sessions.len() >= SESSIONS {
            // One that nobody uses at this moment; it stays on disk.
            let unused = sessions.iter().filter(|(_, it)| Arc::strong_count(&it.session) == 1);
            let oldest = unused.min_by_key(|(_, it)| it.used).map(|(id, _)| *id);
            oldest.and_then(|id| sessions.remove(&id));
        }
        sessions.insert(session.id, Entry { session: session.clone(), used: Instant::now() });
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, HashMap<UploadId, Entry>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Becomes the one who writes.
    pub(crate) async fn write_to(&self, session: &Arc<Session>) -> Result<Writer, Refusal> {
        session.writers.send_modify(|count| *count += 1);
        let taken_over = session.writers.subscribe();
        let state = timeout(TAKEOVER_WAIT, session.state.clone().lock_owned()).await;
        let state = state.map_err(|_| {
            let text = "another request is writing to this upload";
            Refusal::new(StatusCode::CONFLICT, Code::BlobUploadInvalid, text)
        })?;
        if state.ended {
            return Err(unknown());
        }
        self.catch_up(Writer { session: session.clone(), state, taken_over }).await
    }

    /// Adds a body, hashed by `algorithm`. What was written stays, however this ends, unless there is no room for
    /// the rest: nobody goes on with that, and the room is for others.
    pub(crate) async fn append(
        self: &Arc<Self>,
        writer: Writer,
        arrival: Arrival,
        algorithm: Algorithm,
    ) -> Result<Writer, Refusal> {
        let session = writer.session.clone();
        let announced = arrival.announced().unwrap_or(0);
        let fits = session.hold().check(announced).map_err(Refusal::from);
        let appended = match fits {
            Ok(()) => {
                self.pass_when_left(&writer);
                self.take(writer, arrival, algorithm).await
            }
            Err(refusal) => {
                tokio::spawn(arrival.discard());
                drop(writer);
                Err(refusal)
            }
        };
        if appended.as_ref().is_err_and(Refusal::is_over)
            && let Ok(writer) = self.write_to(&session).await
        {
            self.cancel(writer).await?;
        }
        appended
    }

    async fn take(
        &self,
        mut writer: Writer,
        arrival: Arrival,
        algorithm: Algorithm,
    ) -> Result<Writer, Refusal> {
        if writer.state.size == 0 {
            writer.state.hasher = Some(Hasher::new(algorithm));
        }
        if writer.state.hasher.is_none() {
            // Most clients never say before the end that they use another algorithm.
            writer = owning(writer, |writer| writer.hash_again(Algorithm::Sha256)).await?;
        }
        Intake::new(self, writer, arrival).run().await
    }

    /// Compares the digest and makes the upload a blob.
    pub(crate) async fn finish(
        self: &Arc<Self>,
        writer: Writer,
        digest: Digest,
    ) -> Result<(), Refusal> {
        let uploads = self.clone();
        let finished = move |writer: &mut Writer| {
            if !writer.has_digest(&digest)? {
                uploads.end(writer)?;
                return Ok(false);
            }
            let (session, state) = (writer.session.clone(), &writer.state);
            let (id, name, hold) = (&session.id, &session.repository, &mut *session.hold());
            let content = (&state.file, state.size);
            let pieces = state.passed.as_deref().unwrap_or_default();
            uploads.storage.finish_upload(id, content, pieces, name, &digest, hold)?;
            uploads.end(writer).map(|()| true)
        };
        match owned(writer, finished).await?.1 {
            true => Ok(()),
            false => {
                let text = "the digest is not that of the content";
                Err(Refusal::bad(Code::DigestInvalid, text))
            }
        }
    }

    /// Gives an upload up.
    pub(crate) async fn cancel(self: &Arc<Self>, writer: Writer) -> Result<(), Refusal> {
        let uploads = self.clone();
        owning(writer, move |writer| uploads.end(writer)).await.map(drop)
    }

    /// Removes what is left of an upload.
    fn end(&self, writer: &mut Writer) -> Result<(), Error> {
        self.storage.remove_upload(&writer.session.id)?;
        self.forget(writer);
        Ok(())
    }

    fn forget(&self, writer: &mut Writer) {
        writer.state.ended = true;
        self.sessions().remove(&writer.session.id);
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Writer {
    /// How many bytes there are.
    pub(crate) fn size(&self) -> u64 {
        self.state.size
    }

    /// How it was hashed so far.
    pub(crate) fn algorithm(&self) -> Algorithm {
        self.state.hasher.as_ref().map_or(Algorithm::Sha256, Hasher::algorithm)
    }

    /// Whether another request wants to write.
    pub(crate) fn taken_over(&self) -> watch::Receiver<u64> {
        self.taken_over.clone()
    }

    pub(crate) fn write(&mut self, parts: &[Bytes]) -> Result<(), Error> {
        let state = &mut *self.state;
        let mut hasher = state.hasher.take();
        for part in parts {
            let written = sys::fs::write_all(&state.file, part);
            fault::step("part written");
            if let Err(errno) = written {
                // Only the file knows how much of it was written; the hash is made again.
                let stat = sys::fs::stat_fd(&state.file);
                state.size = stat.map_or(state.size, |stat| stat.st_size as u64);
                self.session.size.store(state.size, Ordering::Release);
                return Err(Error::os("writing an upload", errno));
            }
            state.size += part.len() as u64;
            if let Some(hasher) = &mut hasher {
                hasher.update(part);
            }
        }
        state.hasher = hasher;
        self.session.size.store(state.size, Ordering::Release);
        Ok(())
    }

    fn has_digest(&mut self, digest: &Digest) -> Result<bool, Error> {
        let algorithm = digest.algorithm();
        if self.state.hasher.as_ref().is_none_or(|hasher| hasher.algorithm() != algorithm) {
            self.hash_again(algorithm)?;
        }
        let found = self.state.hasher.take().map(Hasher::finish);
        Ok(found == Some(*digest))
    }

    fn hash_again(&mut self, algorithm: Algorithm) -> Result<(), Error> {
        let state = &mut *self.state;
        state.hasher = Some(hash_file(&state.file, state.size, algorithm)?);
        Ok(())
    }
}

/// Lets a thread that may block do something with an upload. When the client goes away meanwhile, the work
/// is done to its end, and the upload is nobody else's before.
async fn owned<T: Send + 'static>(
    mut writer: Writer,
    work: impl FnOnce(&mut Writer) -> Result<T, Error> + Send + 'static,
) -> Result<(Writer, T), Refusal> {
    blocking(move || {
        let done = work(&mut writer)?;
        Ok((writer, done))
    })
    .await
}

async fn owning(
    writer: Writer,
    work: impl FnOnce(&mut Writer) -> Result<(), Error> + Send + 'static,
) -> Result<Writer, Refusal> {
    owned(writer, work).await.map(|(writer, ())| writer)
}

impl Session {
    fn new(id: UploadId, repository: Repository, state: State, hold: Hold) -> Self {
        Self {
            id,
            repository,
            size: AtomicU64::new(state.size),
            hold: Mutex::new(hold),
            writers: watch::Sender::new(0),
            state: Arc::new(tokio::sync::Mutex::new(state)),
        }
    }
}

/// Reads a file from its begin and hashes it.
fn hash_file(file: &Fd, size: u64, algorithm: Algorithm) -> Result<Hasher, Error> {
    let during = |errno| Error::os("reading an upload", errno);
    sys::fs::seek(file, 0).map_err(during)?;
    let mut hasher = Hasher::new(algorithm);
    let mut buffer = vec![0; READ_BYTES];
    let mut left = size;
    while left > 0 {
        let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = sys::fs::read(file, &mut buffer[..wanted]).map_err(during)?;
        if count == 0 {
            return Err(Error::new("an upload is shorter than it was"));
        }
        hasher.update(&buffer[..count]);
        left -= count as u64;
    }
    Ok(hasher)
}

/// Runs what blocks on a thread that may.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Refusal> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(Refusal::from),
        Err(error) => Err(Refusal::internal(error.to_string())),
    }
}

/// What the first future gives, or `None` when the second one is ready before.
pub(crate) async fn race<T>(wanted: impl Future<Output = T>, other: impl Future) -> Option<T> {
    let (mut wanted, mut other) = (pin!(wanted), pin!(other));
    poll_fn(|context| {
        if let Poll::Ready(value) = wanted.as_mut().poll(context) {
            return Poll::Ready(Some(value));
        }
        other.as_mut().poll(context).map(|_| None)
    })
    .await
}

fn unknown() -> Refusal {
    Refusal::missing(Code::BlobUploadUnknown, "no such upload")
}
