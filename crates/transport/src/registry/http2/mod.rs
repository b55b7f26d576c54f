//! HTTP 2 (RFC 9113): all requests to a host on one connection.
//!
//! A connection is driven by a thread of its own, which has the only executor of this crate and knows nothing but
//! frames. Whoever sends a request waits for it in his own thread, with the limits that HTTP 1.1 has: streams,
//! their windows and what has come on them are shared by all threads. What nobody has read yet is bounded by the
//! windows, which grow only as it is read. The thread ends when nobody needs the connection.
//!
//! HTTP 1.1 is spoken where a server does not choose this one, where a connection never brought an answer,
//! and for what does not fit on a connection.

mod stream;
mod wait;
mod wire;

pub(super) use stream::{Ask, Failed, Limits};

use super::encrypt::Opened;
use h2::client::{Builder, SendRequest};
use std::future::poll_fn;
use std::io::{self, Cursor};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;
use wire::{Reason, Wire};

/// Connections of a session, each with its thread: the registry, its token service, and where they lead.
const CONNECTIONS_LIMIT: usize = 8;
/// Hosts that are remembered for not speaking HTTP 2.
const WITHOUT_LIMIT: usize = 64;
/// Requests at one moment on a connection, if the server takes so many. Others go by HTTP 1.1.
const STREAMS_LIMIT: usize = 64;
/// What may have come of one answer, and of all of a connection, before it is read. 4 MiB are 80 MB/s where a word
/// takes 50 ms there and back.
const STREAM_WINDOW_BYTES: u32 = 2 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// Largest frame. Each is whole in memory before it is read.
const FRAME_BYTES: u32 = 64 << 10;
/// Largest head of an answer: as of HTTP 1.1.
const HEAD_BYTES: u32 = 64 << 10;
/// What may wait to be sent, of all requests.
const SEND_BYTES: usize = 256 << 10;
/// How long somebody is waited for who finds out what a host speaks.
const OPENING_LIMIT: Duration = Duration::from_secs(3);
/// How long saying goodbye may take.
const FAREWELL: Duration = Duration::from_millis(50);

/// What is sent of a body at once.
type Piece = Cursor<Vec<u8>>;

/// The connections of a session.
pub(super) struct Connections {
    known: Mutex<Known>,
    /// Told when somebody has found out what a host speaks.
    found: Condvar,
    silence: Duration,
}

#[derive(Default)]
struct Known {
    open: Vec<(String, Arc<Connection>)>,
    /// Hosts that somebody is just connecting to.
    opening: Vec<String>,
    /// Hosts that do not choose HTTP 2, or cannot speak it, or that something is on the way to that cannot.
    without: Vec<String>,
}

/// How a request to a host is sent.
pub(super) enum Way<'c> {
    /// On this connection.
    Open(Arc<Connection>),
    /// On a new one, if the server chooses HTTP 2. Others wait for that.
    New(Opening<'c>),
    /// By HTTP 1.1.
    Without,
}

/// The right to find out what a host speaks.
pub(super) struct Opening<'c> {
    of: &'c Connections,
    host: String,
}

impl Opening<'_> {
    /// It is HTTP 1.1.
    pub(super) fn is_without(&self) {
        self.of.lock().forbid(&self.host);
    }

    /// Begins to speak HTTP 2 on a connection.
    pub(super) fn begin(self, opened: Opened) -> io::Result<Arc<Connection>> {
        let connection = Arc::new(Connection::start(opened, self.of.silence)?);
        let mut known = self.of.lock();
        // Whoever did not want to wait any longer may have been faster. His goes on as long as he needs it.
        let before = known.open.iter().position(|(name, _)| *name == self.host);
        let before = before.map(|at| known.open.swap_remove(at));
        known.open.push((self.host.clone(), connection.clone()));
        drop(known);
        drop(before);
        Ok(connection)
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.of.lock().opening.retain(|host| *host != self.host);
        self.of.found.notify_all();
    }
}

impl Connections {
    /// None yet. `silence` is how long a server may take nothing of what is sent.
    pub(super) fn new(silence: Duration) -> Self {
        Self { known: Mutex::default(), found: Condvar::new(), silence }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // A thread that panicked has left whole lists behind.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How a request to a host, named with its port, is sent.
    pub(super) fn find(&self, host: &str) -> Way<'_> {
        let known = self.lock();
        let is_opening = |known: &mut Known| known.opening.iter().any(|it| it == host);
        let waited = self.found.wait_timeout_while(known, OPENING_LIMIT, is_opening);
        let (mut known, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if known.without.iter().any(|it| it == host) {
            return Way::Without;
        }
        let Some((_, connection)) = known.open.iter().find(|(name, _)| name == host) else {
            if known.open.len() >= CONNECTIONS_LIMIT {
                return Way::Without;
            }
            known.opening.push(host.to_owned());
            return Way::New(Opening { of: self, host: host.to_owned() });
        };
        let connection = connection.clone();
        drop(known);
        match connection.room() {
            Room::Yes => Way::Open(connection),
            Room::Full => Way::Without,
            Room::Over => {
                self.lose(host, &connection);
                drop(connection);
                self.find(host)
            }
        }
    }

    /// Sends nothing more on a connection. One that never brought an answer is the last of its kind.
    pub(super) fn lose(&self, host: &str, connection: &Arc<Connection>) {
        let mut known = self.lock();
        let at = known.open.iter().position(|(_, it)| Arc::ptr_eq(it, connection));
        let lost = at.map(|at| known.open.swap_remove(at));
        if lost.is_some() && !connection.is_proven() {
            known.forbid(host);
        }
        // Its thread is not waited for under the lock.
        drop(known);
    }

    /// Speaks HTTP 1.1 to a host from now on.
    pub(super) fn forbid(&self, host: &str, connection: &Arc<Connection>) {
        self.lose(host, connection);
        self.lock().forbid(host);
    }
}

impl Known {
    fn forbid(&mut self, host: &str) {
        if self.without.len() < WITHOUT_LIMIT && !self.without.iter().any(|it| it == host) {
            self.without.push(host.to_owned());
        }
    }
}

enum Room {
    Yes,
    Full,
    /// There is no connection any more, or it takes no new request.
    Over,
}

/// A connection.
pub(super) struct Connection {
    /// `None` only at its end.
    requests: Option<SendRequest<Piece>>,
    /// How many requests are on it.
    active: AtomicUsize,
    /// Whether it has brought an answer.
    answered: AtomicBool,
    /// Whether somebody has waited for it in vain.
    silent: AtomicBool,
    reason: Reason,
    driver: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Connection {
    fn start(opened: Opened, silence: Duration) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let reason = Reason::default();
        let (requests, connection) = runtime.block_on(async {
            let wire = Wire::new(opened, silence, reason.clone())?;
            let begun = timeout(silence, builder().handshake::<_, Piece>(wire)).await;
            begun.map_err(io::Error::other)?.map_err(io::Error::other)
        })?;
        let (stop, stopped) = oneshot::channel();
        let drive = move || {
            runtime.block_on(async {
                let mut connection = pin!(connection);
                let mut stopped = pin!(stopped);
                poll_fn(|context| {
                    // Those who have requests on it are told what has gone wrong.
                    let over = connection.as_mut().poll(context).is_ready();
                    match over || stopped.as_mut().poll(context).is_ready() {
                        true => Poll::Ready(()),
                        false => Poll::Pending,
                    }
                })
                .await;
                // Nobody is left who could be told.
                let _ = timeout(FAREWELL, connection).await;
            });
        };
        let thread = std::thread::Builder::new().name("http2".into()).spawn(drive)?;
        Ok(Self {
            requests: Some(requests),
            active: AtomicUsize::new(0),
            answered: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            reason,
            driver: Some((stop, thread)),
        })
    }

    fn requests(&self) -> SendRequest<Piece> {
        self.requests.clone().expect("there until the end")
    }

    /// Whether it has brought an answer: before that, it may be one that leads nowhere.
    pub(super) fn is_proven(&self) -> bool {
        self.answered.load(Ordering::SeqCst)
    }

    fn room(&self) -> Room {
        let mut requests = self.requests();
        let most = requests.current_max_send_streams().min(STREAMS_LIMIT);
        let ready = requests.poll_ready(&mut Context::from_waker(Waker::noop()));
        match ready {
            _ if self.silent.load(Ordering::SeqCst) => Room::Over,
            Poll::Ready(Err(_)) => Room::Over,
            _ if self.active.load(Ordering::SeqCst) >= most => Room::Full,
            _ => Room::Yes,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Without anybody who could send a request the connection ends by itself, after a word to the server.
        self.requests = None;
        if let Some((stop, thread)) = self.driver.take() {
            // It may have ended already.
            let _ = stop.send(());
            let _ = thread.join();
        }
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .max_header_list_size(HEAD_BYTES)
        .max_send_buffer_size(SEND_BYTES);
    builder
}
