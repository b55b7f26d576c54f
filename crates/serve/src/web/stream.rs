//! Bodies of requests, as they arrive.

use crate::limits::{DISCARD_BYTES, DISCARD_WAIT, SILENCE, SLOW_BYTES};
use crate::refusal::{Code, Refusal};
use hyper::StatusCode;
use hyper::body::{Body as _, Bytes, Incoming};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// A request's body that has to go on arriving.
pub(crate) struct Arrival {
    body: Incoming,
    /// When and how much came since: what is too slow is let go of.
    window: (Instant, usize),
    silence: Duration,
}

impl Arrival {
    pub(crate) fn new(body: Incoming, silence: Duration) -> Self {
        Self { body, window: (Instant::now(), 0), silence }
    }

    /// How much is to come, if that was said.
    pub(crate) fn announced(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// How long it may be silent.
    pub(crate) fn silence(&self) -> Duration {
        self.silence
    }

    /// Reads it for nothing, as far as it is not too long and does not take too long.
    pub(crate) async fn discard(mut self) {
        let mut left = DISCARD_BYTES;
        let reading = async {
            while let Some(Ok(piece)) = self.next().await {
                left = left.saturating_sub(piece.len());
                if left == 0 {
                    break;
                }
            }
        };
        let _ = timeout(DISCARD_WAIT, reading).await;
    }

    /// The next piece, or `None` at the end.
    pub(crate) fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Refusal>>> {
        loop {
            let polled = Pin::new(&mut self.body).poll_frame(context);
            let frame = match ready!(polled) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(broken(&error)))),
                Some(Ok(frame)) => frame,
            };
            // Trailers say nothing here.
            let Ok(data) = frame.into_data() else { continue };
            if data.is_empty() {
                continue;
            }
            let (since, bytes) = &mut self.window;
            *bytes += data.len();
            if since.elapsed() > SILENCE {
                if *bytes < SLOW_BYTES {
                    return Poll::Ready(Some(Err(too_slow())));
                }
                self.window = (Instant::now(), 0);
            }
            return Poll::Ready(Some(Ok(data)));
        }
    }

    /// The next piece, which has to come in time.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, Refusal>> {
        let silence = self.silence;
        let next = poll_fn(|context| self.poll_next(context));
        timeout(silence, next).await.unwrap_or_else(|_| Some(Err(too_slow())))
    }
}

fn broken(error: &hyper::Error) -> Refusal {
    let text = match error.is_body_write_aborted() || error.is_incomplete_message() {
        true => "the body ended before its end",
        false => "the body could not be read",
    };
    Refusal::bad(Code::SizeInvalid, text)
}

pub(crate) fn too_slow() -> Refusal {
    let text = "the body arrives too slowly";
    Refusal::new(StatusCode::REQUEST_TIMEOUT, Code::BlobUploadInvalid, text)
}
