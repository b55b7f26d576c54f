//! A registry whose repositories are copied.

use crate::limits::{
    AWAY_PAUSE, LIMITED_PAUSE, UPSTREAM_ATTEMPTS, UPSTREAM_PAUSE, UPSTREAM_SILENCE,
};
use crate::names::Repository;
use crate::refusal::{Code, Refusal};
use crate::registry::Sink;
use hyper::StatusCode;
use hyper::header::{HeaderValue, RETRY_AFTER};
use oci::Reference;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use transport::registry::{Options, Registry as Remote};
use transport::{Error, ErrorKind};

/// How a repository's registry is reached: asked for again when the registry does not know us any more, as
/// credentials may have changed.
pub type Connect = Arc<dyn Fn(&Reference) -> transport::Result<Options> + Send + Sync>;

/// A registry whose repositories are copied.
#[derive(Clone)]
pub struct Upstream {
    /// Below which name they are here; empty: below none.
    pub prefix: String,
    /// Its host and port, perhaps with the begin of repositories' names.
    pub place: String,
    /// How it is reached.
    pub connect: Connect,
}

/// The same with what is known of it.
pub(super) struct Mirror {
    prefix: String,
    place: String,
    connect: Connect,
    user_agent: String,
    state: Mutex<State>,
    tell: Sink,
}

#[derive(Default)]
struct State {
    remote: Option<Remote>,
    /// Nobody asks before, as it would fail in this way.
    rest: Option<(Instant, Error)>,
}

/// What the registry `uuid` says of itself when it asks others.
pub(super) fn mark(uuid: &str) -> String {
    format!("registry/{uuid}")
}

impl Mirror {
    pub(super) fn new(upstream: &Upstream, uuid: &str, tell: Sink) -> Result<Self, String> {
        let Upstream { prefix, place, connect } = upstream.clone();
        if !prefix.is_empty() && Repository::parse(&prefix).is_none() {
            return Err(format!(
                "`{}` is not the begin of a repository's name",
                prefix.escape_debug()
            ));
        }
        let mirror =
            Self { prefix, place, connect, user_agent: mark(uuid), state: Mutex::default(), tell };
        let any =
            if mirror.prefix.is_empty() { "x".into() } else { format!("{}/x", mirror.prefix) };
        match mirror.origin(&any) {
            Some(_) => Ok(mirror),
            None => Err(format!("`{}` is not a registry", mirror.place.escape_debug())),
        }
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What a repository of ours is called there.
    pub(super) fn origin(&self, name: &str) -> Option<Reference> {
        let rest = match self.prefix.is_empty() {
            true => name,
            false => name.strip_prefix(&self.prefix)?.strip_prefix('/')?,
        };
        let text = format!("{}/{rest}", self.place);
        let domain = self.place.split('/').next().unwrap_or_default();
        // A name whose first part is none of a host would be one of docker's registry.
        let looks_so = oci::reference::looks_like_domain(domain);
        Reference::parse(&text).ok().filter(|it| looks_so && it.tag().is_none())
    }

    /// Asks it something about a repository.
    pub(super) fn ask<T>(
        &self,
        origin: &Reference,
        question: impl FnOnce(&Remote) -> transport::Result<T>,
    ) -> Result<T, Failed> {
        let answered = self.remote(origin).and_then(|remote| question(&remote));
        answered.map_err(|error| {
            self.note(&error);
            Failed(error)
        })
    }

    /// The registry, with our connections to it.
    pub(super) fn remote(&self, origin: &Reference) -> transport::Result<Remote> {
        let known = {
            let state = self.state();
            if let Some((_, error)) = state.rest.as_ref().filter(|it| Instant::now() < it.0) {
                return Err(error.clone());
            }
            state.remote.clone()
        };
        if let Some(remote) = known {
            return remote.beside(origin);
        }
        // The lock is not held over the network: two threads may reach it each.
        let mut options = (self.connect)(origin)?;
        options.user_agent = format!("{} {}", options.user_agent, self.user_agent);
        options.attempts = UPSTREAM_ATTEMPTS;
        options.longest_pause = UPSTREAM_PAUSE;
        options.silence = UPSTREAM_SILENCE;
        options.foreign_layers = false;
        let remote = Remote::connect(origin, options)?;
        self.state().remote = Some(remote.clone());
        Ok(remote)
    }

    /// Remembers what has gone wrong, and tells the operator.
    pub(super) fn note(&self, error: &Error) {
        let wait = match (error.limited(), error.kind()) {
            (Some(wait), _) => wait.min(LIMITED_PAUSE),
            (None, ErrorKind::Network) => AWAY_PAUSE,
            (None, ErrorKind::Denied) => {
                // Our credentials may have become others.
                self.state().remote = None;
                (self.tell)(&format!("{}: {error}", self.place));
                return;
            }
            (None, ErrorKind::NotFound) => return,
            _ => return (self.tell)(&format!("{}: {error}", self.place)),
        };
        let mut state = self.state();
        let now = Instant::now();
        if state.rest.as_ref().is_none_or(|(until, _)| *until <= now) {
            state.rest = Some((now + wait, error.clone()));
            drop(state);
            (self.tell)(&format!("{}: {error}; it is left alone for {wait:?}", self.place));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What another registry did not do.
pub(super) struct Failed(Error);

impl Failed {
    pub(super) fn kind(&self) -> ErrorKind {
        self.0.kind()
    }

    /// Whether it may do it later.
    pub(super) fn is_passing(&self) -> bool {
        self.0.kind() == ErrorKind::Network || self.0.limited().is_some()
    }

    /// What a client is told. `missing` is for what is not there, or not for us, which is the same.
    pub(super) fn refuse(self, missing: &Refusal) -> Refusal {
        if let Some(wait) = self.0.limited() {
            let text = "the registry that this is a copy of limits how much is asked for";
            let wait = wait.min(LIMITED_PAUSE).max(Duration::from_secs(1)).as_secs();
            return Refusal::new(StatusCode::TOO_MANY_REQUESTS, Code::TooManyRequests, text)
                .with_header(RETRY_AFTER, HeaderValue::from(wait));
        }
        match self.0.kind() {
            ErrorKind::NotFound | ErrorKind::Denied => missing.clone(),
            kind => {
                let text = "the registry that this is a copy of does not answer as it should";
                let status = match kind {
                    ErrorKind::Network => StatusCode::GATEWAY_TIMEOUT,
                    _ => StatusCode::BAD_GATEWAY,
                };
                Refusal::new(status, Code::Unknown, text)
            }
        }
    }
}
