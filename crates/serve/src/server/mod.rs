//! A running server: listening, connections, ending.

mod connection;
mod service;

use crate::error::Error;
use crate::housekeeping::{Keeping, collect_always};
use crate::limits::{ACCEPT_PAUSE, BLOCKING_THREADS, COLLECT_INTERVAL, CONNECTIONS, DRAIN};
use crate::registry::{Registry, Sink};
use crate::storage::{Access, Durability, Storage};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::timeout;

/// How a registry is served.
#[derive(Clone)]
pub struct Config {
    /// Where it listens. Port 0 is any that is free.
    pub listen: Vec<SocketAddr>,
    /// The directory of the registry.
    pub root: PathBuf,
    /// What survives a power cut.
    pub durability: Durability,
    /// What is kept for how long.
    pub keeping: Keeping,
    /// Time between two looks for what is not kept; `None`: somebody else collects.
    pub collect: Option<Duration>,
    /// How long requests have to end when the server is told to.
    pub drain: Duration,
    /// Connections at one moment.
    pub connections: usize,
    /// Who hears of the registry's own faults.
    pub faults: Sink,
}

impl Config {
    /// A registry on a directory, with everything else as it is by default.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            listen: Vec::new(),
            root: root.into(),
            durability: Durability::default(),
            keeping: Keeping::default(),
            collect: Some(COLLECT_INTERVAL),
            drain: DRAIN,
            connections: CONNECTIONS,
            faults: Arc::new(|_| {}),
        }
    }
}

/// A server that runs until it is told to end.
pub struct Server {
    runtime: Runtime,
    addresses: Vec<SocketAddr>,
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

impl Server {
    /// Opens the registry and begins to listen.
    pub fn start(config: &Config) -> Result<Self, Error> {
        let Config { root, durability, keeping, .. } = config;
        let storage = Arc::new(Storage::open(root, Access::Change, *durability, keeping.lease)?);
        let registry = Arc::new(Registry::new(storage, config.faults.clone())?);
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
        for address in &config.listen {
            let listener = runtime.block_on(TcpListener::bind(address));
            let bound = listener.and_then(|listener| Ok((listener.local_addr()?, listener)));
            let (bound, listener) =
                bound.map_err(|error| Error::new(format!("listening on {address}: {error}")))?;
            addresses.push(bound);
            runtime.spawn(accept(listener, registry.clone(), room.clone(), held.clone()));
        }
        if let Some(interval) = config.collect {
            runtime.spawn(collect_always(registry.clone(), config.keeping.clone(), interval));
        }
        Ok(Self {
            runtime,
            addresses,
            stop,
            ended,
            drain: config.drain,
            #[cfg(test)]
            registry,
        })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
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
            match terminate.poll_recv(context).is_ready() | interrupt.poll_recv(context).is_ready()
            {
                true => std::task::Poll::Ready(()),
                false => std::task::Poll::Pending,
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

/// Takes connections until the server ends.
async fn accept(
    listener: TcpListener,
    registry: Arc<Registry>,
    room: Arc<Semaphore>,
    mut held: Held,
) {
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let accepted = crate::uploads::race(listener.accept(), held.stop.changed()).await;
        match accepted {
            None => return,
            Some(Ok((stream, peer))) => {
                let task = connection::serve(stream, peer, registry.clone(), held.clone());
                tokio::spawn(hold(permit, task));
            }
            // Descriptors are short, or the client has gone: the next one may be better.
            Some(Err(_)) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn hold(_permit: OwnedSemaphorePermit, task: impl Future<Output = ()>) {
    task.await;
}
