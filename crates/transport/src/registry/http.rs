//! Requests and answers: HTTP 1.1 and 2, TLS, timeouts, retries. Knows nothing of credentials.

use super::address::Address;
use super::answer::{Answer, PROXY_HINT};
use super::connect::{CONNECT_LIMIT, Names, connector};
use super::encrypt::{Ended, offering};
use super::http2::{Ask, Connections, Failed, Limits, Way};
use super::options::{Options, tls};
use crate::error::{Error, ErrorKind, Result};
use crate::proxy::{Proxies, Proxy};
use std::fmt;
use std::io::Read;
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
/// How often a request is sent at once that a server has not looked at, for whatever reason (HTTP 2).
const REFUSALS_LIMIT: usize = 3;

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
    /// Whether it has a connection for itself.
    alone: bool,
}

impl<'a> Request<'a> {
    fn new(method: &'static str, address: Address) -> Self {
        Self {
            method,
            address,
            headers: Vec::new(),
            body: None,
            once: false,
            slow: false,
            alone: false,
        }
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

    /// A request that does not share a connection with others: HTTP 1.1.
    pub(super) fn alone(self) -> Self {
        Self { alone: true, ..self }
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
    /// `None` where HTTP 1.1 is all that is spoken.
    http2: Option<Connections>,
    user_agent: String,
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
            http2: options.http2.then(|| Connections::new(options.silence)),
            user_agent: options.user_agent.clone(),
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
        let address = &request.address;
        let proxy = self.proxies.choose(address.secure, address.bare_host(), address.port_number());
        let asked = Asked { request, authorization, proxy };
        match &self.http2 {
            Some(connections) if address.secure && !request.alone => {
                self.exchange_shared(&asked, connections)
            }
            _ => self.exchange_alone(&asked),
        }
    }

    /// By HTTP 1.1.
    fn exchange_alone(&self, asked: &Asked<'_, '_>) -> Result<Answer> {
        match self.run(asked) {
            Ok(response) => Ok(self.answer(asked, response.map(ureq::Body::into_reader))),
            Err(error) => Err(self.describe(asked, error)),
        }
    }

    /// By HTTP 2, if the server chooses that.
    fn exchange_shared(&self, asked: &Asked<'_, '_>, connections: &Connections) -> Result<Answer> {
        let host = &asked.request.address.host;
        let reads = matches!(asked.request.method, "GET" | "HEAD");
        for refused in 0..REFUSALS_LIMIT {
            let connection = match connections.find(host) {
                Way::Without => break,
                Way::Open(connection) => connection,
                Way::New(opening) => match offering(host, || self.run(asked)) {
                    Ok(Ended::Answered(response)) => {
                        opening.is_without();
                        return Ok(self.answer(asked, response.map(ureq::Body::into_reader)));
                    }
                    Ok(Ended::Opened(opened)) => {
                        let begun = opening.begin(*opened);
                        begun.map_err(|error| self.describe(asked, error.into()))?
                    }
                    Err(error) => return Err(self.describe(asked, error)),
                },
            };
            let head = self.head(asked).body(());
            let head = head.map_err(|error| self.describe(asked, error.into()))?;
            let (body, limits) = (asked.request.body, self.limits(asked.request));
            match connection.exchange(Ask { head, body, limits }) {
                Ok(response) => return Ok(self.answer(asked, response)),
                Err(Failed::OldOnly) => connections.forbid(host, &connection),
                Err(Failed::Lost(_) | Failed::Late(_)) if reads && !connection.is_proven() => {
                    connections.forbid(host, &connection);
                }
                Err(Failed::Refused(_)) if refused + 1 < REFUSALS_LIMIT => {}
                Err(failed) => return Err(describe_http2(asked, &failed)),
            }
        }
        self.exchange_alone(asked)
    }

    fn answer<B: Read + Send + 'static>(
        &self,
        asked: &Asked<'_, '_>,
        response: ureq::http::Response<B>,
    ) -> Answer {
        let (head, body) = response.into_parts();
        Answer {
            status: head.status.as_u16(),
            address: asked.request.address.clone(),
            shared: head.version == ureq::http::Version::HTTP_2,
            headers: head.headers,
            body: Box::new(body),
            silence: self.silence,
        }
    }

    /// Everything of a request but its body. ureq adds nothing that is there.
    fn head(&self, asked: &Asked<'_, '_>) -> ureq::http::request::Builder {
        let Asked { request, authorization, .. } = asked;
        let mut builder = ureq::http::Request::builder()
            .method(request.method)
            .uri(request.address.to_string())
            .header("User-Agent", &self.user_agent)
            // Digests are those of what is stored: nothing is to be packed on its way.
            .header("Accept-Encoding", "identity");
        if !request.headers.iter().any(|(name, _)| *name == "Accept") {
            builder = builder.header("Accept", "*/*");
        }
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        if let Some(body) = request.body {
            builder = builder.header("Content-Length", body.len());
        }
        if let Some(authorization) = authorization {
            builder = builder.header("Authorization", *authorization);
        }
        builder
    }

    fn limits(&self, request: &Request<'_>) -> Limits {
        let length = request.body.map_or(0, <[u8]>::len) as u64;
        Limits {
            send: self.silence + Duration::from_secs(length / SEND_BYTES_PER_SECOND),
            silence: self.silence,
            answer: self.silence * if request.slow { SLOW_FACTOR } else { 1 },
            until: self.deadline,
        }
    }

    fn run(&self, asked: &Asked<'_, '_>) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        match asked.request.body {
            Some(body) => self.run_with(asked, self.head(asked).body(body)?),
            None => self.run_with(asked, self.head(asked).body(())?),
        }
    }

    fn run_with<B: ureq::AsSendBody>(
        &self,
        asked: &Asked<'_, '_>,
        message: ureq::http::Request<B>,
    ) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        let own = self.origins.iter().any(|origin| origin.same_origin(&asked.request.address));
        let agent = if own { &self.own } else { &self.other };
        let limits = self.limits(asked.request);
        let left = limits.until.map(|it| it.saturating_duration_since(Instant::now()));
        let configured = agent
            .configure_request(message)
            .timeout_send_body(Some(limits.send))
            .timeout_recv_response(Some(limits.answer))
            .timeout_per_read(Some(limits.answer))
            .timeout_global(left)
            .proxy(asked.proxy.map(|proxy| proxy.0.clone()));
        agent.run(configured.build())
    }

    /// Says what has failed.
    fn describe(&self, asked: &Asked<'_, '_>, error: ureq::Error) -> Error {
        let fail = |what: &dyn fmt::Display, kind| asked.fail(what, kind);
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

/// A request on its way.
struct Asked<'a, 'b> {
    request: &'a Request<'b>,
    authorization: Option<&'a str>,
    proxy: Option<&'a Proxy>,
}

impl Asked<'_, '_> {
    fn fail(&self, what: &dyn fmt::Display, kind: ErrorKind) -> Error {
        let through = self.proxy.map(|it| format!(" through the proxy {it}")).unwrap_or_default();
        let (method, origin) = (self.request.method, self.request.address.origin());
        Error::new(kind, format!("{method} {origin}{through}: {what}"))
    }
}

/// The same of what fails by HTTP 2.
fn describe_http2(asked: &Asked<'_, '_>, failed: &Failed) -> Error {
    match failed {
        Failed::Over => asked.fail(failed, ErrorKind::Network).lasting(),
        Failed::Tls(error) => describe_tls(error, &|what, kind| asked.fail(what, kind)),
        _ => asked.fail(failed, ErrorKind::Network),
    }
}

const TLS_HINT: &str =
    "its certificate may be signed by an authority that is not known: see containers-certs.d(5)";

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
    let (answer, version) = match answer {
        Ok(answer) if answer.shared => (answer.status.to_string(), ", HTTP 2"),
        Ok(answer) => (answer.status.to_string(), ""),
        Err(error) => (error.to_string(), ""),
    };
    let took = took.as_millis();
    format!("{} {address}{rest}{scheme}: {answer}, {took} ms{version}", request.method)
}

/// What failed in TLS, when that is how reading failed.
fn tls_error(error: &std::io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// What is no TLS at all may be something else; what is will not become better.
fn describe_tls(
    error: &rustls::Error,
    fail: &dyn Fn(&dyn fmt::Display, ErrorKind) -> Error,
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
