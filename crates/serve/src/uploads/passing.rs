//! Uploads that several servers go on with: each request at one of them begins with what all servers see of the
//! upload, and what it adds is seen by all before it is answered.
//!
//! The file on a server's disk is a copy of the pieces in the bucket, which may end with what is not there yet: of a
//! request that broke off. Where it is something else, it is made anew from the pieces.

use super::{State, Uploads, Writer, blocking, owning, unknown};
use crate::limits::{BLOB_BYTES, OBJECT_READ_BYTES, PASSED_AGE};
use crate::names::UploadId;
use crate::refusal::Refusal;
use crate::storage::{Error, Key, Piece, Storage, now_s};
use oci::Algorithm;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use transport::hash::Hasher;

impl State {
    /// How much of it other servers see.
    fn passed_bytes(&self) -> u64 {
        self.passed.as_ref().and_then(|pieces| pieces.last()).map_or(0, |last| last.end)
    }

    /// Whether there is something that others should see, and do not.
    fn is_ahead(&self) -> bool {
        !self.ended && self.passed.is_some() && self.passed_bytes() < self.size
    }

    /// Lets other servers see all that it has.
    fn pass(&mut self, storage: &Storage, id: &UploadId) -> Result<(), Error> {
        if self.is_ahead() {
            let piece = storage.pass(id, &self.file, self.passed_bytes(), self.size)?;
            self.passed.get_or_insert_default().push(piece);
        }
        Ok(())
    }
}

impl Uploads {
    /// Lets other servers go on with an upload that was just begun.
    pub(crate) async fn announce(&self, writer: Writer) -> Result<(), Refusal> {
        let storage = self.storage.clone();
        let told = owning(writer, move |writer| {
            let (id, name) = (&writer.session.id, &writer.session.repository);
            let is_shared = storage.announce_upload(id, name)?;
            writer.state.passed = is_shared.then(Vec::new);
            Ok(())
        });
        told.await.map(drop)
    }

    /// Makes an upload what all servers see of it.
    pub(super) async fn catch_up(&self, writer: Writer) -> Result<Writer, Refusal> {
        if writer.state.passed.is_none() {
            return Ok(writer);
        }
        let storage = self.storage.clone();
        let mut writer = owning(writer, move |writer| writer.catch_up(&storage)).await?;
        match writer.state.ended {
            false => Ok(writer),
            true => {
                self.forget(&mut writer);
                Err(unknown())
            }
        }
    }

    /// Lets other servers see what a request has added.
    pub(crate) async fn pass(&self, writer: Writer) -> Result<(), Refusal> {
        let storage = self.storage.clone();
        let passed = owning(writer, move |writer| {
            let id = writer.session.id;
            writer.state.pass(&storage, &id)
        });
        passed.await.map(drop)
    }

    /// The same when a request breaks off: the client may come back to another server.
    pub(super) fn pass_when_left(&self, writer: &Writer) {
        if writer.state.passed.is_none() {
            return;
        }
        let (session, storage) = (writer.session.clone(), self.storage.clone());
        tokio::spawn(async move {
            let mut state = session.state.clone().lock_owned().await;
            if state.is_ahead() {
                // What fails now is done by the next request.
                let _ = blocking(move || state.pass(&storage, &session.id)).await;
            }
        });
    }

    /// How much there is of an upload, where nobody is adding to it.
    pub(crate) async fn look(&self, session: &Arc<super::Session>) -> Result<(), Refusal> {
        let Ok(state) = session.state.clone().try_lock_owned() else { return Ok(()) };
        if state.ended {
            return Err(unknown());
        }
        let taken_over = session.writers.subscribe();
        self.catch_up(Writer { session: session.clone(), state, taken_over }).await.map(drop)
    }

    /// Removes what this server has of uploads that all servers see, when nobody has gone on with them here for a
    /// while: others may have ended them.
    pub(crate) fn leave_passed(&self) -> Result<u64, Error> {
        let directory = self.storage.directory();
        if !directory.is_shared() {
            return Ok(0);
        }
        let cutoff_s = now_s().saturating_sub(PASSED_AGE.as_secs());
        let mut count = 0;
        for id in directory.list(&Key::uploads())?.iter().filter_map(|it| UploadId::parse(it)) {
            let stat = directory.stat(&Key::upload(&id))?;
            let Some(stat) = stat.filter(|stat| stat.modified_s < cutoff_s) else { continue };
            let seen = self.storage.passed_pieces(&id)?;
            let mut sessions = self.sessions();
            if sessions.get(&id).is_some_and(|it| Arc::strong_count(&it.session) > 1) {
                continue;
            }
            // What others do not see is kept: the next request shows it to them.
            let end = seen.map(|pieces| pieces.last().map_or(0, |last| last.end));
            if end.is_none_or(|end| end >= stat.size) {
                sessions.remove(&id);
                self.storage.leave_upload(&id)?;
                self.count.fetch_sub(1, Ordering::Relaxed);
                count += 1;
            }
        }
        Ok(count)
    }
}

impl Writer {
    fn catch_up(&mut self, storage: &Storage) -> Result<(), Error> {
        let id = self.session.id;
        let Some(pieces) = storage.passed_pieces(&id)? else {
            self.state.ended = true;
            return storage.leave_upload(&id);
        };
        let state = &mut *self.state;
        let known = state.passed.get_or_insert_default();
        if *known == pieces {
            return state.pass(storage, &id);
        }
        let known_count = known.len();
        let is_continued = pieces.starts_with(known) && state.passed_bytes() == state.size;
        let first = if is_continued { known_count } else { 0 };
        if !is_continued {
            self.start_again(storage)?;
        }
        for piece in &pieces[first..] {
            self.fetch(storage, piece)?;
            self.state.passed.get_or_insert_default().push(piece.clone());
        }
        Ok(())
    }

    fn start_again(&mut self, storage: &Storage) -> Result<(), Error> {
        let algorithm = self.algorithm();
        let state = &mut *self.state;
        sys::fs::truncate(&state.file, 0)
            .map_err(|errno| Error::os("emptying an upload", errno))?;
        (state.size, state.hasher) = (0, Some(Hasher::new(algorithm)));
        state.passed = Some(Vec::new());
        *self.session.hold() = storage.hold(&self.session.repository);
        self.session.size.store(0, Ordering::Release);
        Ok(())
    }

    fn fetch(&mut self, storage: &Storage, piece: &Piece) -> Result<(), Error> {
        let mut content = storage.open_piece(&self.session.id, piece)?;
        if piece.end > BLOB_BYTES {
            return Err(Error::new("an upload is larger than a blob may be"));
        }
        if self.state.size == 0 && self.state.hasher.is_none() {
            self.state.hasher = Some(Hasher::new(Algorithm::Sha256));
        }
        let mut buffer = vec![0; OBJECT_READ_BYTES];
        while self.state.size < piece.end {
            let count = content.read(&mut buffer)?;
            if count == 0 {
                return Err(Error::new("a piece of an upload is shorter than it was"));
            }
            self.session.grow(count as u64)?;
            self.write(&[hyper::body::Bytes::copy_from_slice(&buffer[..count])])?;
        }
        Ok(())
    }
}
