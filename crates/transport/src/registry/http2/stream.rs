//! One request and its answer.

use super::wait::wait;
use super::{Connection, Piece};
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use std::fmt;
use std::io::{self, Cursor, Read};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};
use ureq::http::{Request, Response};

/// What is handed over of a body at once.
const PIECE_BYTES: usize = 64 << 10;
/// How long the end of an answer is waited for when all of it has come: an answer that is not at its end would have
/// to be ended.
const END_LIMIT: Duration = Duration::from_secs(1);

/// A request.
pub(in crate::registry) struct Ask<'a> {
    pub(in crate::registry) head: Request<()>,
    /// One without is something else than an empty one.
    pub(in crate::registry) body: Option<&'a [u8]>,
    pub(in crate::registry) limits: Limits,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(in crate::registry) struct Limits {
    /// Sending all of it.
    pub(in crate::registry) send: Duration,
    /// Sending nothing.
    pub(in crate::registry) silence: Duration,
    /// The answer, and each part of its body.
    pub(in crate::registry) answer: Duration,
    /// Everything.
    pub(in crate::registry) until: Option<Instant>,
}

impl Limits {
    /// When a wait ends that may take so long.
    fn within(&self, limit: Duration) -> Instant {
        let end = Instant::now() + limit;
        self.until.map_or(end, |until| until.min(end))
    }

    /// What has taken too long.
    fn late(&self, what: &'static str) -> Failed {
        match self.until.is_some_and(|until| until <= Instant::now()) {
            true => Failed::Over,
            false => Failed::Late(what),
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(in crate::registry) enum Failed {
    /// The server has not looked at it: it may be sent again, whatever it is.
    Refused(String),
    /// The server wants it by HTTP 1.1.
    OldOnly,
    /// The time that was given is over.
    Over,
    /// Something took longer than it may.
    Late(&'static str),
    Tls(rustls::Error),
    /// Anything else that another attempt may change.
    Lost(String),
}

impl fmt::Display for Failed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(text) | Self::Lost(text) => formatter.write_str(text),
            Self::OldOnly => formatter.write_str("it wants HTTP 1.1"),
            Self::Over => formatter.write_str("the time that was given is over"),
            Self::Late(what) => write!(formatter, "{what} took too long"),
            Self::Tls(error) => error.fmt(formatter),
        }
    }
}

/// Counts a request.
struct Active(Arc<Connection>);

impl Active {
    fn new(connection: &Arc<Connection>) -> Self {
        connection.active.fetch_add(1, Ordering::SeqCst);
        Self(connection.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Connection {
    /// Sends a request, and waits for its answer.
    pub(in crate::registry) fn exchange(
        self: &Arc<Self>,
        ask: Ask<'_>,
    ) -> Result<Response<Body>, Failed> {
        let active = Active::new(self);
        let sent = self.requests().send_request(ask.head, ask.body.is_none_or(<[u8]>::is_empty));
        let (mut answer, mut stream) = match sent {
            Ok(sent) => sent,
            // A wrong request is nothing that comes here: addresses and headers were parsed.
            Err(error) => return Err(Failed::Refused(self.explain(&error).to_string())),
        };
        let early = match ask.body {
            Some(body) if !body.is_empty() => {
                self.send_body(&mut stream, &mut answer, body, &ask.limits)?
            }
            _ => None,
        };
        let answered = match early {
            Some(answered) => answered,
            None => {
                let until = ask.limits.within(ask.limits.answer);
                wait(Some(until), |context| Pin::new(&mut answer).poll(context))
                    .ok_or_else(|| self.note_late(&ask.limits, "the answer"))?
            }
        };
        let response = answered.map_err(|error| self.explain(&error))?;
        self.answered.store(true, Ordering::SeqCst);
        let length = response.headers().get("content-length");
        let left = length.and_then(|it| it.to_str().ok()?.parse().ok());
        let limits = ask.limits;
        Ok(response.map(|body| Body {
            open: Some(Open { body, _stream: stream, active }),
            left,
            rest: Vec::new(),
            read: 0,
            failed: None,
            limits,
        }))
    }

    /// Sends a body, as fast as the server takes it. It may answer before it has all of it, and then need not get the
    /// rest.
    fn send_body(
        &self,
        stream: &mut SendStream<Piece>,
        answer: &mut ResponseFuture,
        body: &[u8],
        limits: &Limits,
    ) -> Result<Option<Result<Response<RecvStream>, h2::Error>>, Failed> {
        let end = limits.within(limits.send);
        let mut rest = body;
        while !rest.is_empty() {
            stream.reserve_capacity(rest.len().min(PIECE_BYTES));
            let until = limits.within(limits.silence).min(end);
            let room = wait(Some(until), |context| {
                if let Poll::Ready(answered) = Pin::new(&mut *answer).poll(context) {
                    return Poll::Ready(Err(answered));
                }
                loop {
                    match stream.capacity() {
                        0 => match std::task::ready!(stream.poll_capacity(context)) {
                            Some(Ok(_)) => {}
                            // Why, the answer says, or what comes in its place.
                            Some(Err(_)) | None => return Poll::Ready(Ok(0)),
                        },
                        room => return Poll::Ready(Ok(room)),
                    }
                }
            });
            match room.ok_or_else(|| self.note_late(limits, "sending"))? {
                Err(answered) => return Ok(Some(answered)),
                Ok(0) => return Ok(None),
                Ok(room) => {
                    let (piece, left) = rest.split_at(room.min(rest.len()).min(PIECE_BYTES));
                    rest = left;
                    if stream.send_data(Cursor::new(piece.to_vec()), rest.is_empty()).is_err() {
                        return Ok(None);
                    }
                }
            }
        }
        Ok(None)
    }

    /// Who has waited in vain for one answer does not send the next request on the same connection: it may be one
    /// that leads nowhere.
    fn note_late(&self, limits: &Limits, what: &'static str) -> Failed {
        self.silent.store(true, Ordering::SeqCst);
        limits.late(what)
    }

    fn explain(&self, error: &h2::Error) -> Failed {
        let reason = error.reason();
        if reason == Some(Reason::HTTP_1_1_REQUIRED) {
            return Failed::OldOnly;
        }
        let said = reason.as_ref().map_or("no reason", Reason::description);
        if error.is_reset() {
            let text = format!("the stream was reset: {said}");
            return match error.is_remote() && reason == Some(Reason::REFUSED_STREAM) {
                true => Failed::Refused(text),
                false => Failed::Lost(text),
            };
        }
        if error.is_go_away() {
            return Failed::Lost(format!("the connection was ended: {said}"));
        }
        let tls = self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match (tls, error.get_io()) {
            (Some(error), _) => Failed::Tls(error),
            (None, Some(error)) => Failed::Lost(format!("the connection is lost: {error}")),
            (None, None) => Failed::Lost(error.to_string()),
        }
    }
}

/// The body of an answer. What is not read of it is not sent for.
pub(in crate::registry) struct Body {
    /// `None` when there is nothing more to come.
    open: Option<Open>,
    /// How much is to come, if that was said.
    left: Option<u64>,
    /// What has come and did not fit.
    rest: Vec<u8>,
    read: usize,
    /// What went wrong behind that.
    failed: Option<Failed>,
    limits: Limits,
}

struct Open {
    body: RecvStream,
    /// A request that is not at its end is ended when this is dropped, which would end the answer, too.
    _stream: SendStream<Piece>,
    active: Active,
}

impl Open {
    /// The next part, without waiting for it if there is nothing to wait with. It makes room for others.
    fn poll_part(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<impl AsRef<[u8]> + use<>, h2::Error>>> {
        let part = std::task::ready!(self.body.poll_data(context));
        if let Some(Ok(part)) = &part {
            // It is an error only to release more than has come.
            let _ = self.body.flow_control().release_capacity(part.len());
        }
        Poll::Ready(part)
    }
}

impl Body {
    /// Takes what has come before, as much as fits.
    fn take_rest(&mut self, buffer: &mut [u8]) -> usize {
        let rest = &self.rest[self.read..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.read += count;
        count
    }

    /// Takes the next part, as much as fits; 0 at the end. It is waited for only when nothing else is there.
    fn take_part(&mut self, buffer: &mut [u8], alone: bool) -> Result<usize, Failed> {
        let Some(open) = &mut self.open else { return Ok(0) };
        let until = match (alone, self.left) {
            (false, _) => Instant::now(),
            (true, Some(0)) => self.limits.within(END_LIMIT),
            (true, _) => self.limits.within(self.limits.answer),
        };
        let failed = match wait(Some(until), |context| open.poll_part(context)) {
            Some(Some(Ok(part))) => {
                let part = part.as_ref();
                let count = part.len().min(buffer.len());
                buffer[..count].copy_from_slice(&part[..count]);
                self.rest.clear();
                self.rest.extend_from_slice(&part[count..]);
                self.read = 0;
                self.left = self.left.map(|left| left.saturating_sub(part.len() as u64));
                // An empty part is not the end.
                return if part.is_empty() { self.take_part(buffer, alone) } else { Ok(count) };
            }
            None if !alone => return Ok(0),
            None if self.left == Some(0) => None,
            Some(None) => None,
            Some(Some(Err(error))) => Some(open.active.0.explain(&error)),
            None => Some(open.active.0.note_late(&self.limits, "the next part")),
        };
        self.open = None;
        failed.map_or(Ok(0), Err)
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() && self.failed.is_none() {
            let free = &mut buffer[filled..];
            let count = match self.read < self.rest.len() {
                true => self.take_rest(free),
                false => match self.take_part(free, filled == 0) {
                    Ok(0) => break,
                    Ok(count) => count,
                    Err(failed) => {
                        self.failed = Some(failed);
                        break;
                    }
                },
            };
            filled += count;
        }
        match self.failed.take_if(|_| filled == 0) {
            Some(failed) => Err(io::Error::other(failed.to_string())),
            None => Ok(filled),
        }
    }
}
