//! Requests of HTTP/2 whose clients do not take the answer.
//!
//! By HTTP/1.1 a client that takes nothing stops its connection, and is found out by that. By HTTP/2 the connection goes
//! on, and an answer whose window is closed waits for ever, with a file and what was read of it. hyper asks for the next
//! part of a body when there is room for it: an answer that has begun and is not asked for more is one that nobody takes.

use hyper::rt::Executor;
use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

thread_local! {
    /// What has become of a part of an answer that what is just polled has asked for: whether it was there.
    static ASKED: Cell<Option<bool>> = const { Cell::new(None) };
}

/// Tells that a part of an answer was asked for, and whether it was there.
pub(super) fn note_asked(there: bool) {
    ASKED.set(Some(there));
}

/// Runs requests, and ends those whose answers are not taken for so long.
#[derive(Clone, Copy)]
pub(super) struct Patient(pub(super) Duration);

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Patient {
    fn execute(&self, request: F) {
        let request = Box::pin(request);
        tokio::spawn(Watched { request, deadline: None, silence: self.0 });
    }
}

struct Watched<F> {
    request: Pin<Box<F>>,
    /// Not there before an answer has begun, and while a part of it has to be fetched: that is not the client's matter.
    deadline: Option<Pin<Box<Sleep>>>,
    silence: Duration,
}

impl<F: Future> Future for Watched<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        ASKED.set(None);
        if self.request.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        let silence = self.silence;
        match ASKED.take() {
            Some(true) => {
                let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(silence)));
                deadline.as_mut().reset(Instant::now() + silence);
            }
            Some(false) => self.deadline = None,
            None => {}
        }
        match &mut self.deadline {
            // Without it the stream is reset.
            Some(deadline) => deadline.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}
