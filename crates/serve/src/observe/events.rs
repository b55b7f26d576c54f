//! Events for other programs: CloudEvents 1.0, sent as JSON by POST.
//!
//! They wait in memory, a limited number, and are sent in their order; one that cannot be delivered after some
//! attempts is dropped, counted and told. When the server ends, those that wait are lost: whoever must not miss
//! anything asks the registry.

use super::{Queue, time::timestamp};
use crate::limits::{EVENT_ATTEMPTS, EVENT_PAUSE, EVENT_WAIT, EVENTS};
use crate::registry::Sink;
use oci::json::Object;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;
use transport::names;

/// Who is told of events.
#[derive(Clone, Debug)]
pub struct Hook {
    /// Where they are sent to.
    pub url: String,
    /// Sent as `Authorization: Bearer TOKEN`.
    pub token: Option<String>,
    /// Files with the authorities of the system, for `https:`.
    pub authorities: Vec<PathBuf>,
}

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    ManifestPushed,
    ManifestDeleted,
    TagDeleted,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::ManifestPushed => "io.github.tare-containers.registry.manifest.pushed",
            Self::ManifestDeleted => "io.github.tare-containers.registry.manifest.deleted",
            Self::TagDeleted => "io.github.tare-containers.registry.tag.deleted",
        }
    }
}

/// An event.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) what: What,
    pub(crate) repository: String,
    pub(crate) digest: String,
    pub(crate) media_type: String,
    pub(crate) tags: Vec<String>,
    pub(crate) user: String,
}

/// Sends events.
pub(crate) struct Events {
    queues: Vec<Queue<Arc<String>>>,
    /// The registry, as a URN.
    source: String,
    count: AtomicU64,
    lost: Arc<AtomicU64>,
}

impl Events {
    pub(crate) fn new(hooks: &[Hook], uuid: &str, tell: &Sink) -> Result<Self, String> {
        let mut queues = Vec::new();
        let lost: Arc<AtomicU64> = Arc::default();
        for hook in hooks {
            let sender = Sender::new(hook)?;
            let (tell, lost) = (tell.clone(), lost.clone());
            let queue = Queue::new("events", EVENTS, move |text: Arc<String>| {
                if let Err(error) = sender.send(&text) {
                    lost.fetch_add(1, Ordering::Relaxed);
                    tell(&format!("an event was not delivered to {}: {error}", sender.url));
                }
            });
            queues.push(queue.map_err(|error| format!("starting a thread: {error}"))?);
        }
        let source = format!("urn:uuid:{uuid}");
        Ok(Self { queues, source, count: AtomicU64::new(0), lost })
    }

    /// Events that nobody got.
    pub(crate) fn lost(&self) -> u64 {
        let dropped = self.queues.iter().map(|queue| queue.dropped.load(Ordering::Relaxed));
        dropped.sum::<u64>() + self.lost.load(Ordering::Relaxed)
    }

    pub(crate) fn emit(&self, event: &Event) {
        if self.queues.is_empty() {
            return;
        }
        let text = Arc::new(self.write(event));
        self.queues.iter().for_each(|queue| queue.put(text.clone()));
    }

    fn write(&self, event: &Event) -> String {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::now();
        let nanos = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |it| it.as_nanos());
        let subject = match (&event.what, event.tags.first()) {
            (What::TagDeleted, Some(tag)) => format!("{}:{tag}", event.repository),
            _ => format!("{}@{}", event.repository, event.digest),
        };
        let data = Object(&[
            ("repository", &event.repository),
            ("digest", &event.digest),
            ("mediaType", &event.media_type),
            ("tags", &event.tags),
            ("user", &event.user),
        ]);
        oci::json::write(&Object(&[
            ("specversion", &"1.0".to_owned()),
            ("id", &format!("{nanos:x}-{number:x}")),
            ("source", &self.source),
            ("type", &event.what.name().to_owned()),
            ("subject", &subject),
            ("time", &timestamp(now)),
            ("datacontenttype", &"application/json".to_owned()),
            ("data", &data),
        ]))
    }
}

struct Sender {
    agent: ureq::Agent,
    url: String,
    authorization: Option<String>,
}

impl Sender {
    fn new(hook: &Hook) -> Result<Self, String> {
        let config = ureq::Agent::config_builder()
            .tls_config(crate::outside::tls(&hook.authorities))
            .timeout_global(Some(EVENT_WAIT))
            // Nobody else than the one who was named gets events.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .proxy(None)
            .build();
        let is_url = hook.url.starts_with("http://") || hook.url.starts_with("https://");
        if !is_url || hook.url.bytes().any(|byte| byte <= b' ') {
            return Err(format!("`{}` is not an http(s) address", hook.url.escape_debug()));
        }
        let authorization = hook.token.as_ref().map(|token| format!("Bearer {token}"));
        let agent = transport::registry::agent(config, names::Files::default());
        Ok(Self { agent, url: hook.url.clone(), authorization })
    }

    fn send(&self, text: &str) -> Result<(), String> {
        let mut pause = EVENT_PAUSE;
        let mut failure = String::new();
        for attempt in 0..EVENT_ATTEMPTS {
            if attempt > 0 {
                std::thread::sleep(pause);
                pause *= 2;
            }
            let mut request = self
                .agent
                .post(&self.url)
                .content_type("application/cloudevents+json; charset=UTF-8");
            if let Some(authorization) = &self.authorization {
                request = request.header("Authorization", authorization);
            }
            match request.send(text) {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => failure = format!("status {}", answer.status()),
                Err(error) => failure = error.to_string(),
            }
        }
        Err(failure)
    }
}
