//! Requests and answers: HTTP 1.1, TLS, timeouts, retries. Knows nothing of credentials.

use super::address::{Address, is_link_local};
use crate::auth::Credentials;
use crate::certs::Certificates;
use crate::error::{Error, ErrorKind, Result};
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

/// How a registry is reached.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who we are.
    pub credentials: Option<Credentials>,
    /// Plain HTTP and certificates that nobody vouches for are allowed.
    pub insecure: bool,
    /// Authorities and certificates for this registry.
    pub certificates: Certificates,
    /// Files with the authorities of the system.
    pub system_authorities: Vec<PathBuf>,
    /// Hosts of other domains that may be told the credentials as token services.
    pub token_services: Vec<String>,
    /// `http://HOST:PORT` of a proxy.
    pub proxy: Option<String>,
    /// What we are called.
    pub user_agent: String,
    /// How often a request is tried.
    pub attempts: u32,
    /// The pause before the second attempt; each further one is twice as long.
    pub backoff: Duration,
    /// How long a registry may be silent.
    pub silence: Duration,
    /// How much of an upload is sent at once. It is held in memory, so that it can be sent again.
    pub piece_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            credentials: None,
            insecure: false,
            certificates: Certificates::default(),
            system_authorities: Vec::new(),
            token_services: Vec::new(),
            proxy: None,
            user_agent: "tare".into(),
            attempts: 5,
            backoff: Duration::from_millis(500),
            silence: Duration::from_secs(60),
            // Three uploads at once take 24 MiB.
            piece_bytes: 8 << 20,
        }
    }
}

/// Longest pause between attempts, whatever `Retry-After` says: rates are counted by minutes or hours, and
/// nobody waits for the latter.
const PAUSE_LIMIT: Duration = Duration::from_secs(60);
/// Time for a connection with its TLS.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);
/// Most that is read of an error's text.
const ERROR_LIMIT_BYTES: usize = 64 << 10;

/// A request.
#[derive(Clone)]
pub(super) struct Request<'a> {
    pub(super) method: &'static str,
    pub(super) address: Address,
    headers: Vec<(&'static str, String)>,
    body: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    fn new(method: &'static str, address: Address) -> Self {
        Self { method, address, headers: Vec::new(), body: None }
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

    pub(super) fn body(self, body: &'a [u8]) -> Self {
        Self { body: Some(body), ..self }
    }
}

/// An answer, whose body is still to be read.
pub(super) struct Answer {
    pub(super) status: u16,
    /// Where it comes from, behind all redirections.
    pub(super) address: Address,
    response: ureq::http::Response<ureq::Body>,
}

oci::document! {
    Errors(snake) {
        errors: Vec<OneError>,
    }

    OneError(snake) {
        code: String,
        message: String,
    }
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    pub(super) fn headers(&self, name: &str) -> Vec<String> {
        let all = self.response.headers().get_all(name).iter();
        all.filter_map(|value| Some(value.to_str().ok()?.to_owned())).collect()
    }

    pub(super) fn into_body(self) -> impl Read + Send + use<> {
        self.response.into_body().into_reader()
    }

    /// The whole body, which must not be larger than a limit.
    pub(super) fn read_all(self, limit: usize) -> Result<Vec<u8>> {
        let address = self.address.clone();
        let fail = |error: &dyn std::fmt::Display| {
            Error::new(ErrorKind::Network, format!("{}: {error}", address.origin()))
        };
        let mut bytes = Vec::new();
        let reader = self.into_body();
        let read = reader.take(limit as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|error| fail(&error))?;
        match bytes.len() > limit {
            true => Err(fail(&format!("answers with more than {limit} bytes"))),
            false => Ok(bytes),
        }
    }

    /// The answer, if its status is one of those that are expected; otherwise what the registry says of it.
    pub(super) fn expect(self, statuses: &[u16], what: &str) -> Result<Self> {
        if statuses.contains(&self.status) {
            return Ok(self);
        }
        let (status, address) = (self.status, self.address.clone());
        let text = self.read_all(ERROR_LIMIT_BYTES).unwrap_or_default();
        let errors: Errors = oci::json::read(&text).unwrap_or_default();
        let told: Vec<String> =
            errors.errors.iter().map(|it| format!("{}: {}", it.code, it.message)).collect();
        let told: String =
            told.join("; ").chars().filter(|it| !it.is_control()).take(300).collect();
        let separator = if told.is_empty() { "" } else { " " };
        let text = format!("{what}: {} answers {status}{separator}{told}", address.origin());
        Err(match status {
            401 => Error::new(ErrorKind::Denied, text).with_hint("log in to the registry"),
            403 => Error::new(ErrorKind::Denied, text),
            404 => Error::new(ErrorKind::NotFound, text),
            429 => Error::new(ErrorKind::Network, text)
                .with_hint("the registry limits how much is asked for: wait, or log in"),
            _ => Error::new(ErrorKind::Network, text),
        })
    }
}

/// Sends requests.
pub(super) struct Http {
    agent: ureq::Agent,
    attempts: u32,
    backoff: Duration,
    piece_bytes: usize,
}

impl Http {
    pub(super) fn new(options: &Options) -> Result<Self> {
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // Redirections are followed where credentials are known.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(&*options.user_agent)
            .timeout_connect(Some(CONNECT_LIMIT))
            .timeout_resolve(Some(CONNECT_LIMIT))
            .timeout_recv_response(Some(options.silence))
            .timeout_per_read(Some(options.silence))
            .timeout_per_write(Some(options.silence))
            .tls_config(tls(options)?)
            .proxy(None);
        if let Some(proxy) = &options.proxy {
            let proxy = ureq::Proxy::new(proxy)
                .map_err(|error| Error::new(ErrorKind::Invalid, format!("proxy: {error}")))?;
            config = config.proxy(Some(proxy));
        }
        let resolver = GlobalResolver::default();
        let agent = ureq::Agent::with_parts(config.build(), DefaultConnector::default(), resolver);
        Ok(Self {
            agent,
            attempts: options.attempts.max(1),
            backoff: options.backoff,
            piece_bytes: options.piece_bytes,
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
            let last = attempt == self.attempts;
            let sent = self.send_once(request, authorization);
            let wait = match &sent {
                Ok(answer) => match answer.status {
                    429 | 500 | 502 | 503 | 504 if !last => retry_after(answer),
                    _ => return sent,
                },
                Err(error) if last || error.kind() != ErrorKind::Network => return sent,
                Err(_) => None,
            };
            self.pause(attempt, wait);
            attempt += 1;
        }
    }

    /// Waits before the next attempt.
    pub(super) fn pause(&self, attempt: u32, wait: Option<Duration>) {
        let backoff = self.backoff.saturating_mul(1 << attempt.saturating_sub(1).min(10));
        std::thread::sleep(wait.unwrap_or(backoff).min(PAUSE_LIMIT));
    }

    pub(super) fn piece_bytes(&self) -> usize {
        self.piece_bytes
    }

    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    pub(super) fn send_once(
        &self,
        request: &Request<'_>,
        authorization: Option<&str>,
    ) -> Result<Answer> {
        let address = request.address.clone();
        let fail = |error: &dyn std::fmt::Display, kind| {
            Error::new(kind, format!("{} {}: {error}", request.method, address.origin()))
        };
        let mut builder =
            ureq::http::Request::builder().method(request.method).uri(address.to_string());
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        if let Some(authorization) = authorization {
            builder = builder.header("Authorization", authorization);
        }
        let malformed = |error: ureq::http::Error| fail(&error, ErrorKind::Invalid);
        let sent = match request.body {
            Some(body) => self.agent.run(builder.body(body).map_err(malformed)?),
            None => self.agent.run(builder.body(()).map_err(malformed)?),
        };
        let response = sent.map_err(|error| match &error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => fail(&error, ErrorKind::Invalid),
            ureq::Error::Tls(_) | ureq::Error::Rustls(_) => fail(&error, ErrorKind::Unsupported)
                .with_hint(
                    "its certificate may be signed by an authority that is not known: see \
                     containers-certs.d(5)",
                ),
            _ => fail(&error, ErrorKind::Network),
        })?;
        Ok(Answer { status: response.status().as_u16(), address, response })
    }
}

/// `Retry-After` in seconds. Its other form, a time of day, is not worth the clock that may be wrong.
fn retry_after(answer: &Answer) -> Option<Duration> {
    let seconds = answer.header("retry-after")?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn tls(options: &Options) -> Result<TlsConfig> {
    let mut roots = Vec::new();
    for path in options.system_authorities.iter().chain(&options.certificates.authorities) {
        for item in parse_pem(&read_pem(path)?) {
            match item {
                Ok(PemItem::Certificate(certificate)) => roots.push(certificate),
                Ok(_) => {}
                Err(error) => return Err(Error::in_file(path, error)),
            }
        }
    }
    // TLS has one certificate of a client: of several pairs the first counts, as in containers/image.
    let client = match options.certificates.clients.first() {
        None => None,
        Some((certificate, key)) => {
            let chain: Vec<Certificate<'static>> = parse_pem(&read_pem(certificate)?)
                .filter_map(|item| match item {
                    Ok(PemItem::Certificate(certificate)) => Some(certificate),
                    _ => None,
                })
                .collect();
            let key = PrivateKey::from_pem(&read_pem(key)?)
                .map_err(|error| Error::in_file(key, error))?;
            Some(ClientCert::new_with_certs(&chain, key))
        }
    };
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .client_cert(client)
        .disable_verification(options.insecure)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build())
}

fn read_pem(path: &std::path::Path) -> Result<Vec<u8>> {
    crate::file::read(path)?.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("{}: there is no such file", path.display()))
    })
}

/// Finds addresses, but none of the local link: a name of a hostile registry could stand for the place
/// where a cloud's machine is told its secrets.
#[derive(Debug, Default)]
struct GlobalResolver(DefaultResolver);

impl Resolver for GlobalResolver {
    fn resolve(
        &self,
        uri: &ureq::http::Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let all = self.0.resolve(uri, config, timeout)?;
        let mut kept = self.empty();
        for address in all.iter().filter(|it| !is_link_local(&it.ip())) {
            kept.push(*address);
        }
        match kept.is_empty() {
            true => Err(ureq::Error::HostNotFound),
            false => Ok(kept),
        }
    }
}
