//! A running server: listening, connections, ending.

mod answer;
mod config;
mod connection;
mod figures;
mod patient;
mod rate;
mod service;
mod tls;

pub use config::{Config, Patience};
pub use rate::Rate;
pub use tls::Tls;

use crate::auth::Gate;
use crate::error::Error;
use crate::housekeeping::{collect_always, leave_always};
use crate::limits::{ACCEPT_PAUSE, BLOCKING_THREADS, FAILURES, LOG_LINES};
use crate::names::Repository;
use crate::observe::Queue;
use crate::observe::events::Events;
use crate::registry::{Parts, Registry};
use crate::storage::{Access, Quota, Storage};
use crate::uploads::race;
use rate::Meter;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tls::Encryption;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::timeout;

type Log = Queue<String>;

/// What all connections share.
struct Shared {
    registry: Arc<Registry>,
    encryption: Option<Encryption>,
    meter: Option<Meter>,
    /// Counts wrong credentials.
    failures: Meter,
    log: Option<Log>,
    patience: Patience,
}

/// A server that runs until it is told to end.
pub struct Server {
    runtime: Runtime,
    addresses: Vec<SocketAddr>,
    figures: Vec<SocketAddr>,
    stop: watch::Sender<bool>,
    /// Closed when the last connection is.
    ended: mpsc::Receiver<()>,
    drain: Duration,
    #[cfg(test)]
    pub(crate) registry: Arc<Registry>,
}

/// What connections hold while they are open.
#[derive(Clone)]
struct Held {
    /// Turns true when the server ends.
    stop: watch::Receiver<bool>,
    _open: mpsc::Sender<()>,
}

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Registry,
    Figures,
}

impl Server {
    /// Opens the registry and begins to listen.
    pub fn start(config: &Config) -> Result<Self, Error> {
        config.check()?;
        let shared = Arc::new(share(config)?);
        let runtime = Builder::new_multi_thread()
            .thread_name("registry")
            .max_blocking_threads(BLOCKING_THREADS)
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| Error::new(format!("starting threads: {error}")))?;
        let (stop, stopped) = watch::channel(false);
        let (open, ended) = mpsc::channel(1);
        let held = Held { stop: stopped, _open: open };
        let room = Arc::new(Semaphore::new(config.connections));
        let mut addresses = Vec::new();
        for listener in config.listeners(&config.listen)? {
            let serving = (shared.clone(), room.clone(), held.clone());
            addresses.push(listen(&runtime, listener, serving, Purpose::Registry)?);
        }
        let mut figures = Vec::new();
        for listener in config.figures_listeners()? {
            let serving = (shared.clone(), room.clone(), held.clone());
            figures.push(listen(&runtime, listener, serving, Purpose::Figures)?);
        }
        if let Some(interval) = config.collect.filter(|_| !config.read_only) {
            let registry = shared.registry.clone();
            runtime.spawn(collect_always(registry, config.keeping.clone(), interval));
        }
        if !config.read_only {
            runtime.spawn(leave_always(shared.registry.clone()));
        }
        let drain = config.drain;
        #[cfg(test)]
        let registry = shared.registry.clone();
        Ok(Self {
            runtime,
            addresses,
            figures,
            stop,
            ended,
            drain,
            #[cfg(test)]
            registry,
        })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where it tells its figures.
    pub fn figures_addresses(&self) -> &[SocketAddr] {
        &self.figures
    }

    /// Serves until SIGTERM or SIGINT, then ends as [`Server::stop`] does.
    pub fn run(self) -> Result<(), Error> {
        let signals = self.runtime.block_on(async {
            let terminate = signal(SignalKind::terminate())?;
            Ok::<_, std::io::Error>((terminate, signal(SignalKind::interrupt())?))
        });
        let (mut terminate, mut interrupt) =
            signals.map_err(|error| Error::new(format!("waiting for signals: {error}")))?;
        self.runtime.block_on(std::future::poll_fn(|context| {
            let terminated = terminate.poll_recv(context).is_ready();
            match terminated | interrupt.poll_recv(context).is_ready() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        }));
        self.stop();
        Ok(())
    }

    /// Takes no new request and lets those that are there end, for a while.
    pub fn stop(mut self) {
        let _ = self.stop.send(true);
        let _ = self.runtime.block_on(async { timeout(self.drain, self.ended.recv()).await });
        // What blocks is at work on a file; it ends by itself.
        self.runtime.shutdown_timeout(Duration::from_secs(1));
    }
}

fn share(config: &Config) -> Result<Shared, Error> {
    let access = if config.read_only { Access::Read } else { Access::Change };
    let storage = Storage::open(
        &config.root,
        access,
        config.durability,
        config.keeping.lease,
        config.bucket.as_ref(),
    )?;
    check_quotas(&config.quotas)?;
    let storage = Arc::new(storage.with_quotas(config.quotas.clone())?);
    let gate = Gate::new(&config.access, config.faults.clone()).map_err(Error::new)?;
    let events = Events::new(&config.observing.hooks, storage.uuid(), &config.faults);
    let registry = Registry::new(Parts {
        storage,
        gate,
        caching: config.caching.clone(),
        read_only: config.read_only,
        pages: config.pages,
        silence: config.patience.silence,
        events: events.map_err(Error::new)?,
        faults: config.faults.clone(),
    })?;
    let encryption = config.tls.as_ref().map(|tls| Encryption::open(tls, config.faults.clone()));
    let log = config.observing.access.clone().map(|sink| {
        let queue = Queue::new("access log", LOG_LINES, move |line: String| sink(&line));
        queue.map_err(|error| Error::new(format!("starting a thread: {error}")))
    });
    Ok(Shared {
        registry: Arc::new(registry),
        encryption: encryption.transpose().map_err(Error::new)?,
        meter: config.rate.map(Meter::new),
        failures: Meter::new(FAILURES),
        log: log.transpose()?,
        patience: config.patience,
    })
}

fn check_quotas(quotas: &[Quota]) -> Result<(), Error> {
    for (at, quota) in quotas.iter().enumerate() {
        let prefix = quota.prefix.as_deref();
        if let Some(text) = prefix.filter(|text| Repository::parse(text).is_none()) {
            let text = text.escape_debug();
            return Err(Error::new(format!("quota: `{text}` is not the name of a repository")));
        }
        if quotas[..at].iter().any(|other| other.prefix == quota.prefix) {
            return Err(Error::new(format!("quota: {} is there twice", prefix.unwrap_or("it"))));
        }
    }
    Ok(())
}

type Serving = (Arc<Shared>, Arc<Semaphore>, Held);

fn listen(
    runtime: &Runtime,
    listener: std::net::TcpListener,
    (shared, room, held): Serving,
    purpose: Purpose,
) -> Result<SocketAddr, Error> {
    let _guard = runtime.enter();
    let opened = listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener));
    let opened = opened.and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (address, listener) = opened.map_err(|error| Error::new(format!("listening: {error}")))?;
    runtime.spawn(accept(listener, shared, room, held, purpose));
    Ok(address)
}

/// Takes connections until the server ends.
async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    room: Arc<Semaphore>,
    mut held: Held,
    purpose: Purpose,
) {
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        match race(listener.accept(), held.stop.changed()).await {
            None => {
                return accept_queued(listener, permit, &room, |stream, peer, permit| {
                    let task = serve(stream, peer, shared.clone(), held.clone(), purpose);
                    tokio::spawn(hold(permit, task));
                });
            }
            Some(Ok((stream, peer))) => {
                let task = serve(stream, peer, shared.clone(), held.clone(), purpose);
                tokio::spawn(hold(permit, task));
            }
            // Descriptors are short, or the client has gone: the next one may be better.
            Some(Err(_)) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Takes the connections that the kernel has accepted already: it would reset them when the listener is closed,
/// with requests that their clients have sent. Only as many as there is room for without waiting.
fn accept_queued(
    listener: TcpListener,
    permit: OwnedSemaphorePermit,
    room: &Arc<Semaphore>,
    take: impl Fn(TcpStream, SocketAddr, OwnedSemaphorePermit),
) {
    // The runtime knows of new connections when it has asked the kernel; what counts is now.
    let Ok(listener) = listener.into_std() else { return };
    let mut permit = Some(permit);
    while let Some(free) = permit.take().or_else(|| room.clone().try_acquire_owned().ok()) {
        let Ok((stream, peer)) = listener.accept() else { return };
        let opened = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
        if let Ok(stream) = opened {
            take(stream, peer, free);
        }
    }
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    shared: Arc<Shared>,
    held: Held,
    purpose: Purpose,
) {
    match purpose {
        Purpose::Registry => connection::serve(stream, peer, shared, held).await,
        Purpose::Figures => connection::serve_figures(stream, shared, held).await,
    }
}

async fn hold(_permit: OwnedSemaphorePermit, task: impl Future<Output = ()>) {
    task.await;
}
