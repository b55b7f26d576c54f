//! What the operator gets to know of requests: figures, a line for each, and events for other programs.

pub(crate) mod access;
pub(crate) mod events;
pub(crate) mod metrics;
pub(crate) mod time;

pub use events::Hook;

use crate::registry::Sink;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

/// A queue to a thread of its own. When it is full, what comes is dropped and counted: no request waits for a
/// disk or another server.
pub(crate) struct Queue<T> {
    sender: SyncSender<T>,
    pub(crate) dropped: Arc<AtomicU64>,
}

impl<T: Send + 'static> Queue<T> {
    pub(crate) fn new(
        name: &str,
        length: usize,
        mut work: impl FnMut(T) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel::<T>(length);
        std::thread::Builder::new().name(name.into()).spawn(move || {
            while let Ok(next) = receiver.recv() {
                work(next);
            }
        })?;
        Ok(Self { sender, dropped: Arc::default() })
    }

    pub(crate) fn put(&self, item: T) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            self.sender.try_send(item)
        {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What is told of the server while it runs.
#[derive(Clone, Default)]
pub struct Observing {
    /// A line of JSON for every request.
    pub access: Option<Sink>,
    /// Who is told of what was put and deleted.
    pub hooks: Vec<Hook>,
}
