//! Bodies of requests, as they arrive.

use crate::limits::{DISCARD_BYTES, DISCARD_WAIT, SILENCE, SLOW_BYTES};
use crate::refusal::{Code, Refusal};
use hyper::StatusCode;
use hyper::body::{Body as _, Bytes, Incoming};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use tokio::time::{Instant, timeout};

/// A request's body that has to go on arriving.
pub(crate) struct Arrival {
    body: Incoming,
    /// When and how much came since: what is too slow is let go of.
    window: (Instant, usize),
}

impl Arrival {
    pub(crate) fn new(body: Incoming) -> Self {
        Self { body, window: (Instant::now(), 0) }
    }

    /// Reads it for nothing, as far as it is not too long and does not take too long.
    pub(crate) async fn discard(mut self) {
        let mut left = DISCARD_BYTES;
        let reading = async {
            while let Ok(Some(batch)) = self.next(left).await {
                left = left.saturating_sub(batch.length);
                if left == 0 {
                    break;
                }
            }
        };
        let _ = timeout(DISCARD_WAIT, reading).await;
    }

    /// What has arrived: something, until nothing more is to come. It stops at `limit` bytes or a
    /// little more.
    pub(crate) async fn next(&mut self, limit: usize) -> Result<Option<Batch>, Refusal> {
        let body = &mut self.body;
        let mut batch = Batch::default();
        let arrived = poll_fn(|context| {
            loop {
                match Pin::new(&mut *body).poll_frame(context) {
                    Poll::Ready(Some(Ok(frame))) => {
                        // Trailers say nothing here.
                        if let Ok(data) = frame.into_data() {
                            batch.length += data.len();
                            batch.parts.push(data);
                        }
                        if batch.length >= limit {
                            return Poll::Ready(Ok(()));
                        }
                    }
                    Poll::Ready(Some(Err(error))) if batch.length == 0 => {
                        return Poll::Ready(Err(error));
                    }
                    // What came before the error is kept; the next call meets it again.
                    Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Ok(())),
                    Poll::Pending if batch.length > 0 => return Poll::Ready(Ok(())),
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        match timeout(SILENCE, arrived).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(broken(&error)),
            Err(_) => return Err(too_slow()),
        }
        self.window.1 += batch.length;
        let (since, bytes) = self.window;
        if since.elapsed() > SILENCE {
            if bytes < SLOW_BYTES && batch.length > 0 {
                return Err(too_slow());
            }
            self.window = (Instant::now(), 0);
        }
        Ok((batch.length > 0).then_some(batch))
    }
}

/// Pieces of a body in their order.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) parts: Vec<Bytes>,
    pub(crate) length: usize,
}

fn broken(error: &hyper::Error) -> Refusal {
    let text = match error.is_body_write_aborted() || error.is_incomplete_message() {
        true => "the body ended before its end",
        false => "the body could not be read",
    };
    Refusal::bad(Code::SizeInvalid, text)
}

fn too_slow() -> Refusal {
    let text = "the body arrives too slowly";
    Refusal::new(StatusCode::REQUEST_TIMEOUT, Code::BlobUploadInvalid, text)
}
