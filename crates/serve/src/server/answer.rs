//! An answer on its way, and its end.

use super::{Shared, patient};
use crate::observe::access;
use crate::observe::metrics::Label;
use crate::web::body::Body;
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Instant;

/// The body of an answer, which is counted.
pub(super) struct Answer {
    body: Body,
    end: End,
}

/// What is done when an answer was sent, or could not be sent to its end.
pub(super) struct End {
    pub(super) shared: Arc<Shared>,
    pub(super) label: Label,
    pub(super) line: Option<access::Request>,
    pub(super) user: String,
    pub(super) began: Instant,
    pub(super) sent: u64,
}

impl Answer {
    pub(super) fn new(body: Body, end: End) -> Self {
        Self { body, end }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        patient::note_asked(polled.is_ready());
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.end.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        let metrics = &self.shared.registry.metrics;
        metrics.in_flight.fetch_sub(1, Ordering::Relaxed);
        metrics.sent_bytes.fetch_add(self.sent, Ordering::Relaxed);
        metrics.request(self.label, took);
        if let (Some(log), Some(line)) = (&self.shared.log, &self.line) {
            log.put(line.line(&self.user, self.label.status, self.sent, took));
        }
    }
}
