//! How a registry is served.

use super::{Rate, Tls};
use crate::auth::{Access, Scheme};
use crate::bucket::Bucket;
use crate::cache::Caching;
use crate::error::Error;
use crate::housekeeping::Keeping;
use crate::limits::{COLLECT_INTERVAL, CONNECTIONS, DRAIN, HEADERS_WAIT, SILENCE};
use crate::observe::Observing;
use crate::registry::Sink;
use crate::storage::{Durability, Quota};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long a client is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Time for a request's headers, and for a connection without a request.
    pub headers: Duration,
    /// Time without a byte in a request's body or an answer's.
    pub silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { headers: HEADERS_WAIT, silence: SILENCE }
    }
}

/// How a registry is served.
pub struct Config {
    /// Where it listens. Port 0 is any that is free.
    pub listen: Vec<SocketAddr>,
    /// Sockets that listen already: systemd's.
    pub inherited: Vec<TcpListener>,
    /// Where it tells its figures, for Prometheus.
    pub figures: Vec<SocketAddr>,
    /// The directory of the registry.
    pub root: PathBuf,
    /// What survives a power cut.
    pub durability: Durability,
    /// Nothing is changed, locked or collected.
    pub read_only: bool,
    /// There are pages on which people see what is there.
    pub pages: bool,
    /// Encryption.
    pub tls: Option<Tls>,
    /// Who may do what.
    pub access: Access,
    /// Everybody who reaches it may do everything, although that is not only this machine.
    pub open: bool,
    /// Credentials come without encryption, although not from this machine only: something before the registry
    /// encrypts.
    pub plain: bool,
    /// How often a client may ask.
    pub rate: Option<Rate>,
    /// Where it is, if that is not the directory, which then has only what is on its way.
    pub bucket: Option<Bucket>,
    /// How much there may be.
    pub quotas: Vec<Quota>,
    /// Which repositories are those of other registries.
    pub caching: Option<Caching>,
    /// What is told of requests.
    pub observing: Observing,
    /// What is kept for how long.
    pub keeping: Keeping,
    /// Time between two looks for what is not kept; `None`: somebody else collects.
    pub collect: Option<Duration>,
    /// How long requests have to end when the server is told to.
    pub drain: Duration,
    /// Connections at one moment.
    pub connections: usize,
    /// How long a client is waited for.
    pub patience: Patience,
    /// Who hears of the registry's own faults.
    pub faults: Sink,
}

impl Config {
    /// A registry on a directory, with everything else as it is by default.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            listen: Vec::new(),
            inherited: Vec::new(),
            figures: Vec::new(),
            root: root.into(),
            durability: Durability::default(),
            read_only: false,
            pages: true,
            tls: None,
            access: Access::default(),
            open: false,
            plain: false,
            rate: None,
            bucket: None,
            quotas: Vec::new(),
            caching: None,
            observing: Observing::default(),
            keeping: Keeping::default(),
            collect: Some(COLLECT_INTERVAL),
            drain: DRAIN,
            connections: CONNECTIONS,
            patience: Patience::default(),
            faults: Arc::new(|_| {}),
        }
    }

    /// Refuses what nobody wants.
    pub(super) fn check(&self) -> Result<(), Error> {
        let inherited = self.inherited.iter().filter_map(|listener| listener.local_addr().ok());
        let addresses = self.listen.iter().copied().chain(inherited);
        let outside = addresses.into_iter().find(|address| !address.ip().is_loopback());
        if matches!(self.access.scheme, Scheme::Certificates)
            && self.tls.as_ref().is_none_or(|tls| tls.client_authorities.is_none())
        {
            return Err(Error::new("clients' certificates need TLS and an authority"));
        }
        if self.read_only && self.caching.is_some() {
            let text = "a registry that changes nothing cannot keep what others have";
            return Err(Error::new(text).with_hint("leave out --read-only or --proxy"));
        }
        let Some(outside) = outside else { return Ok(()) };
        match &self.access.scheme {
            Scheme::None if !self.open && self.access.rules.is_none() && !self.read_only => {
                let text = format!("{outside}: everybody who reaches it could push and delete");
                Err(Error::new(text)
                    .with_hint("choose who may with --htpasswd or --token-realm, or say --open"))
            }
            Scheme::Passwords { .. } | Scheme::Tokens(_) if self.tls.is_none() && !self.plain => {
                let text = format!("{outside}: credentials would come without encryption");
                Err(Error::new(text)
                    .with_hint("give --tls-cert and --tls-key, or --plain-http behind a proxy"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn listeners(&self, addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, Error> {
        let mut listeners = bind(addresses)?;
        for listener in &self.inherited {
            let copy = listener.try_clone();
            let copy = copy.map_err(|error| Error::new(format!("an inherited socket: {error}")))?;
            listeners.push(copy);
        }
        Ok(listeners)
    }

    pub(super) fn figures_listeners(&self) -> Result<Vec<TcpListener>, Error> {
        bind(&self.figures)
    }
}

fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, Error> {
    let bind = |address: &SocketAddr| {
        // The standard library's sockets can be bound again at once after a restart.
        let bound = TcpListener::bind(address);
        bound.map_err(|error| Error::new(format!("listening on {address}: {error}")))
    };
    addresses.iter().map(bind).collect()
}
