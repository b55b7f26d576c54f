//! A body on its way into an upload: one piece is hashed and written by a thread that may block while the
//! next one arrives.
//!
//! What has arrived waits only for what came before it, never for a client, so the memory that all
//! uploads share is always given back.

use super::{Session, Uploads, Writer, blocking};
use crate::limits::{BLOB_BYTES, CONNECTION_BUFFER_BYTES, ROOM_UNIT_BYTES, WRITE_BYTES};
use crate::refusal::{Code, Refusal};
use crate::storage::Error;
use crate::web::stream::{Arrival, too_slow};
use hyper::StatusCode;
use hyper::body::Bytes;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

/// What has arrived and is not written yet.
#[derive(Default)]
struct Batch {
    parts: Vec<Bytes>,
    length: usize,
    room: Option<OwnedSemaphorePermit>,
}

impl Batch {
    fn add(&mut self, piece: Bytes, mut room: OwnedSemaphorePermit) {
        // A piece of HTTP/2 may be smaller, and none is much larger.
        let left = PIECE_UNITS.saturating_sub(piece.len().div_ceil(ROOM_UNIT_BYTES));
        drop(room.split(left));
        match &mut self.room {
            Some(all) => all.merge(room),
            None => self.room = Some(room),
        }
        self.length += piece.len();
        self.parts.push(piece);
    }

    fn is_full(&self) -> bool {
        self.length >= WRITE_BYTES
    }
}

/// Memory for one piece.
const PIECE_UNITS: usize = CONNECTION_BUFFER_BYTES / ROOM_UNIT_BYTES;

type Permit = Result<OwnedSemaphorePermit, AcquireError>;

/// Memory for the next piece. It is taken before the piece is asked for, and given back when none is there: no
/// client is waited for with it.
struct Room {
    all: Arc<Semaphore>,
    waiting: Option<Pin<Box<dyn Future<Output = Permit> + Send>>>,
}

impl Room {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Permit> {
        let Self { all, waiting } = self;
        let units = PIECE_UNITS as u32;
        let permit = waiting.get_or_insert_with(|| Box::pin(all.clone().acquire_many_owned(units)));
        let permit = ready!(permit.as_mut().poll(context));
        *waiting = None;
        Poll::Ready(permit)
    }
}

/// A piece that is hashed and written: it gives the writer back.
type Writing = Pin<Box<dyn Future<Output = Result<Writer, Refusal>> + Send>>;

pub(super) struct Intake<'a> {
    uploads: &'a Uploads,
    session: Arc<Session>,
    arrival: Arrival,
    taken_over: watch::Receiver<u64>,
    batch: Batch,
    room: Room,
    /// Not there while a piece is written.
    writer: Option<Writer>,
    writing: Option<Writing>,
    /// All that has arrived and was not lost, with what is still to be written.
    size: u64,
    /// No more comes, and whether that is a failure.
    ended: Option<Result<(), Refusal>>,
}

enum Event {
    Arrived(Option<Result<Bytes, Refusal>>, OwnedSemaphorePermit),
    Written(Result<Writer, Refusal>),
    TakenOver,
}

impl<'a> Intake<'a> {
    pub(super) fn new(uploads: &'a Uploads, writer: Writer, arrival: Arrival) -> Self {
        Self {
            uploads,
            session: writer.session.clone(),
            arrival,
            taken_over: writer.taken_over(),
            batch: Batch::default(),
            room: Room { all: uploads.room.clone(), waiting: None },
            size: writer.size(),
            writer: Some(writer),
            writing: None,
            ended: None,
        }
    }

    pub(super) async fn run(mut self) -> Result<Writer, Refusal> {
        loop {
            if self.batch.length > 0
                && let Some(writer) = self.writer.take()
            {
                self.writing = Some(self.write(writer));
            }
            if let Some(writer) = self.writer.take_if(|_| self.ended.is_some()) {
                return self.ended.unwrap_or(Ok(())).map(|()| writer);
            }
            let waits_for_client = self.ended.is_none() && !self.batch.is_full();
            let silence = self.arrival.silence();
            match timeout(silence, self.next()).await {
                Err(_) if waits_for_client => self.ended = Some(Err(too_slow())),
                // A disk may be as slow as it is.
                Err(_) => {}
                Ok(Event::Written(written)) => {
                    self.writing = None;
                    self.writer = Some(written?);
                }
                Ok(Event::Arrived(Some(Ok(piece)), room)) => self.take(piece, room),
                Ok(Event::Arrived(Some(Err(refusal)), _)) => self.ended = Some(Err(refusal)),
                Ok(Event::Arrived(None, _)) => self.ended = Some(Ok(())),
                Ok(Event::TakenOver) => {
                    let text = "another request has taken this upload over";
                    let status = StatusCode::CONFLICT;
                    let refusal = Refusal::new(status, Code::BlobUploadInvalid, text);
                    self.ended = Some(Err(refusal));
                }
            }
        }
    }

    fn take(&mut self, piece: Bytes, room: OwnedSemaphorePermit) {
        let length = piece.len() as u64;
        self.size += length;
        self.uploads.metrics.received_bytes.fetch_add(length, Ordering::Relaxed);
        if self.size > BLOB_BYTES {
            let (status, text) = (StatusCode::PAYLOAD_TOO_LARGE, "the blob is too large");
            self.ended = Some(Err(Refusal::new(status, Code::SizeInvalid, text)));
            return;
        }
        if let Err(error) = self.session.grow(length) {
            self.ended = Some(Err(error.into()));
            return;
        }
        self.batch.add(piece, room);
    }

    /// What happens next.
    async fn next(&mut self) -> Event {
        let Self { arrival, taken_over, batch, room, writing, ended, .. } = self;
        let mut taken_over = pin!(taken_over.changed());
        poll_fn(|context| {
            if let Some(Poll::Ready(written)) =
                writing.as_mut().map(|writing| writing.as_mut().poll(context))
            {
                return Poll::Ready(Event::Written(written));
            }
            if ended.is_some() {
                return Poll::Pending;
            }
            if taken_over.as_mut().poll(context).is_ready() {
                return Poll::Ready(Event::TakenOver);
            }
            if batch.is_full() {
                return Poll::Pending;
            }
            let Ok(room) = ready!(room.poll(context)) else { return Poll::Pending };
            arrival.poll_next(context).map(|arrived| Event::Arrived(arrived, room))
        })
        .await
    }

    /// Hashes and writes what has arrived. When the client goes away meanwhile, that is done to its end, and the
    /// upload is nobody else's before.
    fn write(&mut self, mut writer: Writer) -> Writing {
        let batch = std::mem::take(&mut self.batch);
        let writes = self.uploads.writes.clone();
        Box::pin(async move {
            let permit = writes.acquire_owned().await;
            let permit = permit.map_err(|_| Refusal::internal("the registry ends"))?;
            blocking(move || {
                let _permit = permit;
                writer.write(&batch.parts)?;
                Ok::<_, Error>(writer)
            })
            .await
        })
    }
}
