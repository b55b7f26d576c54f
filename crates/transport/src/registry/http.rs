//! Requests and answers: HTTP 1.1, TLS, timeouts, retries. Knows nothing of credentials.

use super::address::Address;
use super::answer::{Answer, PROXY_HINT};
use super::connect::{CONNECT_LIMIT, Names, connector};
use super::options::{Options, tls};
use crate::error::{Error, ErrorKind, Result};
use crate::proxy::{Proxies, Proxy};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// How much longer an answer may take for which much is to be done.
const SLOW_FACTOR: u32 = 10;
/// Idle connections to one host that are kept: as many as there are downloads at once.
const IDLE_LIMIT: usize = 8;
/// What is read at once, and so the largest head of an answer. If the latter were smaller, what follows an
/// interim answer (103) would be taken for a part of it.
const INPUT_BYTES: usize = 64 << 10;
/// The least speed at which a registry takes what is sent.
const SEND_BYTES_PER_SECOND: u64 = 8 << 10;

/// A request.
#[derive(Clone)]
pub(super) struct Request<'a> {
    pub(super) method: &'static str,
    pub(super) address: Address,
    headers: Vec<(&'static str, String)>,
    body: Option<&'a [u8]>,
    /// Whether it is sent again by whoever knows what has arrived of it.
    once: bool,
    /// Whether there is much to do before an answer.
    slow: bool,
}

impl<'a> Request<'a> {
    fn new(method: &'static str, address: Address) -> Self {
        Self { method, address, headers: Vec::new(), body: None, once: false, slow: false }
    }

    pub(super) fn get(address: Address) -> Self {
        Self::new("GET", address)
    }

    pub(super) fn head(address: Address) -> Self {
        Self::new("HEAD", address)
    }

    pub(super) fn delete(address: Address) -> Self {
        Self::new("DELETE", address)
    }

    pub(super) fn post(address: Address) -> Self {
        Self::new("POST", address).body(&[])
    }

    pub(super) fn put(address: Address) -> Self {
        Self::new("PUT", address)
    }

    pub(super) fn patch(address: Address) -> Self {
        Self::new("PATCH", address)
    }

    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(super) fn once(self) -> Self {
        Self { once: true, ..self }
    }

    /// A request whose answer takes a registry long: it has to read a whole blob, or to copy it.
    pub(super) fn slow(self) -> Self {
        Self { slow: true, ..self }
    }

    pub(super) fn body(self, body: &'a [u8]) -> Self {
        Self { body: Some(body), ..self }
    }
}

/// Sends requests.
pub(super) struct Http {
    /// For the registry itself, whom we may show a certificate, and for whom it leads to.
    own: ureq::Agent,
    other: ureq::Agent,
    /// The registry, with and without TLS.
    origins: [Address; 2],
    proxies: Proxies,
    attempts: u32,
    backoff: Duration,
    longest_pause: Duration,
    silence: Duration,
    deadline: Option<Instant>,
    piece_bytes: usize,
    trace: Option<fn(&str)>,
}

impl Http {
    /// Prepares for a registry with the host and port of an address.
    pub(super) fn new(options: &Options, origin: &Address) -> Result<Self> {
        let here = Arc::new(AtomicBool::new(origin.is_loopback()));
        let agent = |own: bool| -> Result<ureq::Agent> {
            let config = ureq::Agent::config_builder()
                .http_status_as_error(false)
                // Redirections are followed where credentials are known.
                .max_redirects(0)
                .max_redirects_will_error(false)
                .user_agent(&*options.user_agent)
                // Digests are those of what is stored: nothing is to be packed on its way.
                .accept_encoding("identity")
                .timeout_connect(Some(CONNECT_LIMIT))
                .timeout_resolve(Some(CONNECT_LIMIT))
                .timeout_per_write(Some(options.silence))
                .input_buffer_size(INPUT_BYTES)
                .max_response_header_size(INPUT_BYTES)
                .max_idle_connections(2 * IDLE_LIMIT)
                .max_idle_connections_per_host(IDLE_LIMIT)
                .tls_config(tls(options, own)?)
                .proxy(None)
                .build();
            let names = Names { files: options.names.clone(), own, here: here.clone() };
            Ok(ureq::Agent::with_parts(config.clone(), connector(config), names))
        };
        let origins = [true, false].map(|secure| Address { secure, ..origin.clone() });
        Ok(Self {
            own: agent(true)?,
            other: agent(false)?,
            origins,
            proxies: options.proxies.clone(),
            attempts: options.attempts.max(1),
            backoff: options.backoff,
            longest_pause: options.longest_pause,
            silence: options.silence,
            deadline: options.deadline,
            piece_bytes: options.piece_bytes,
            trace: options.trace,
        })
    }

    /// Sends a request until there is an answer that another attempt would not change.
    pub(super) fn send(
        &self,
        request: &Request<'_>,
        authorization: Option<&str>,
    ) -> Result<Answer> {
        let mut attempt = 1;
        loop {
            let last = attempt == self.attempts || request.once;
            let sent = self.send_once(request, authorization);
            let wait = match &sent {
                Ok(answer) => match (answer.status, answer.retry_after()) {
                    // Nobody waits for hours: that is for the user to know.
                    (_, Some(wait)) if self.is_too_long(wait) => return sent,
                    (status, wait) if is_passing(status) && !last => wait,
                    _ => return sent,
                },
                Err(error) if last || error.is_lasting() => return sent,
                Err(_) => None,
            };
            self.pause(attempt, wait);
            attempt += 1;
        }
    }

    /// Waits before the next attempt.
    pub(super) fn pause(&self, attempt: u32, wait: Option<Duration>) {
        let backoff = self.backoff.saturating_mul(1 << attempt.saturating_sub(1).min(10));
        let wait = wait.unwrap_or(backoff).min(self.longest_pause);
        let left = self.deadline.map(|it| it.saturating_duration_since(Instant::now()));
        std::thread::sleep(left.map_or(wait, |left| wait.min(left)));
    }

    /// Whether nobody waits for so long.
    pub(super) fn is_too_long(&self, wait: Duration) -> bool {
        wait > self.longest_pause
    }

    pub(super) fn piece_bytes(&self) -> usize {
        self.piece_bytes
    }

    /// Whether the time that was given is over.
    pub(super) fn is_over(&self) -> bool {
        self.deadline.is_some_and(|it| it <= Instant::now())
    }

    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    pub(super) fn send_once(
        &self,
        request: &Request<'_>,
        authorization: Option<&str>,
    ) -> Result<Answer> {
        let began = Instant::now();
        let answer = self.exchange(request, authorization);
        if let Some(trace) = self.trace {
            trace(&traced(request, authorization, &answer, began.elapsed()));
        }
        answer
    }

    fn exchange(&self, request: &Request<'_>, authorization: Option<&str>) -> Result<Answer> {
        let address = request.address.clone();
        let mut builder =
            ureq::http::Request::builder().method(request.method).uri(address.to_string());
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        if let Some(authorization) = authorization {
            builder = builder.header("Authorization", authorization);
        }
        let proxy = self.proxies.choose(address.secure, address.bare_host(), address.port_number());
        let fail = |error: ureq::Error| self.describe(request, proxy, error);
        let sent = match request.body {
            Some(body) => builder.body(body).map(|it| self.run(it, request, proxy)),
            None => builder.body(()).map(|it| self.run(it, request, proxy)),
        };
        let response = sent.map_err(|error| fail(error.into()))?.map_err(fail)?;
        let (status, silence) = (response.status().as_u16(), self.silence);
        Ok(Answer { status, address, response, silence })
    }

    fn run<B: ureq::AsSendBody + Length>(
        &self,
        message: ureq::http::Request<B>,
        request: &Request<'_>,
        proxy: Option<&Proxy>,
    ) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        let own = self.origins.iter().any(|origin| origin.same_origin(&request.address));
        let agent = if own { &self.own } else { &self.other };
        let left = self.deadline.map(|it| it.saturating_duration_since(Instant::now()));
        let sending = Duration::from_secs(message.body().length() / SEND_BYTES_PER_SECOND);
        let patience = self.silence * if request.slow { SLOW_FACTOR } else { 1 };
        let configured = agent
            .configure_request(message)
            .timeout_send_body(Some(self.silence + sending))
            .timeout_recv_response(Some(patience))
            .timeout_per_read(Some(patience))
            .timeout_global(left)
            .proxy(proxy.map(|proxy| proxy.0.clone()));
        agent.run(configured.build())
    }

    /// Says what has failed.
    fn describe(&self, request: &Request<'_>, proxy: Option<&Proxy>, error: ureq::Error) -> Error {
        let through = proxy.map(|it| format!(" through the proxy {it}")).unwrap_or_default();
        let fail = |what: &dyn std::fmt::Display, kind| {
            let text = format!("{} {}{through}: {what}", request.method, request.address.origin());
            Error::new(kind, text)
        };
        match error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => fail(&error, ErrorKind::Invalid),
            ureq::Error::Tls(_) => fail(&error, ErrorKind::Unsupported).with_hint(TLS_HINT),
            ureq::Error::Rustls(inner) => describe_tls(&inner, &fail),
            ureq::Error::Io(inner) if tls_error(&inner).is_some() => {
                describe_tls(tls_error(&inner).expect("there is one"), &fail)
            }
            ureq::Error::Timeout(ureq::Timeout::Global) => {
                fail(&"the time that was given is over", ErrorKind::Network).lasting()
            }
            ureq::Error::ConnectProxyFailed(what) if what.contains("407") => {
                fail(&"the proxy refuses", ErrorKind::Denied).with_hint(PROXY_HINT)
            }
            ureq::Error::Other(inner) => match inner.downcast::<Error>() {
                // A name without addresses has none a moment later; and its servers were asked again already.
                Ok(inner) => {
                    let kind = match inner.kind() {
                        ErrorKind::NotFound => ErrorKind::Network,
                        kind => kind,
                    };
                    let error = fail(&inner, kind).lasting();
                    match inner.hint() {
                        Some(hint) => error.with_hint(hint),
                        None => error,
                    }
                }
                Err(inner) => fail(&inner, ErrorKind::Network),
            },
            error => fail(&error, ErrorKind::Network),
        }
    }
}

const TLS_HINT: &str =
    "its certificate may be signed by an authority that is not known: see containers-certs.d(5)";

/// What failed in TLS, when that is how reading failed.
/// What is told of a request. What stands behind the question mark may be a signature that lets in whoever has it.
fn traced(
    request: &Request<'_>,
    authorization: Option<&str>,
    answer: &Result<Answer>,
    took: Duration,
) -> String {
    let address = request.address.to_string();
    let (address, rest) = address.split_once('?').map_or((&*address, ""), |(it, _)| (it, "?..."));
    let scheme = authorization.and_then(|it| it.split(' ').next());
    let scheme = scheme.map(|scheme| format!(" ({scheme} ...)")).unwrap_or_default();
    let answer = match answer {
        Ok(answer) => answer.status.to_string(),
        Err(error) => error.to_string(),
    };
    format!("{} {address}{rest}{scheme}: {answer}, {} ms", request.method, took.as_millis())
}

fn tls_error(error: &std::io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// What is no TLS at all may be something else; what is will not become better.
fn describe_tls(
    error: &rustls::Error,
    fail: &dyn Fn(&dyn std::fmt::Display, ErrorKind) -> Error,
) -> Error {
    use rustls::AlertDescription::{BadCertificate, CertificateRequired, UnknownCA};
    match error {
        rustls::Error::InvalidMessage(_) => fail(error, ErrorKind::Network),
        rustls::Error::AlertReceived(CertificateRequired | BadCertificate | UnknownCA) => {
            fail(error, ErrorKind::Denied).with_hint(
                "the registry wants to see another certificate of ours: see containers-certs.d(5)",
            )
        }
        _ => fail(error, ErrorKind::Unsupported).with_hint(TLS_HINT),
    }
}

/// Whether a status may be another one a moment later.
pub(super) fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// How much a body has.
trait Length {
    fn length(&self) -> u64;
}

impl Length for &[u8] {
    fn length(&self) -> u64 {
        self.len() as u64
    }
}

impl Length for () {
    fn length(&self) -> u64 {
        0
    }
}
