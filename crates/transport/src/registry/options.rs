//! How a registry is reached.

use crate::auth::Credentials;
use crate::certs::Certificates;
use crate::error::{Error, ErrorKind, Result};
use crate::names;
use crate::proxy::Proxies;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

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
    /// HTTP 2 is spoken with those who choose it.
    pub http2: bool,
    /// Which proxies are used.
    pub proxies: Proxies,
    /// Where the addresses of names are found.
    pub names: names::Files,
    /// What we are called.
    pub user_agent: String,
    /// How often a request is tried.
    pub attempts: u32,
    /// The pause before the second attempt; each further one is twice as long.
    pub backoff: Duration,
    /// The longest pause between attempts: where a registry asks for a longer one, its answer is final.
    pub longest_pause: Duration,
    /// How long a registry may be silent.
    pub silence: Duration,
    /// When everything has to be over.
    pub deadline: Option<Instant>,
    /// How large blobs are fetched.
    pub parallel: Parallel,
    /// Whether layers that the registry does not have are fetched from the addresses that a manifest names.
    pub foreign_layers: bool,
    /// How much of an upload is sent at once. It is held in memory, so that it can be sent again.
    pub piece_bytes: usize,
    /// Who is told of every request and its answer, without what is secret in them.
    pub trace: Option<fn(&str)>,
}

/// When a blob is fetched over several connections at once, and how.
#[derive(Clone, Debug)]
pub struct Parallel {
    /// The size from which on it may be.
    pub least_bytes: u64,
    /// Over how many, for all blobs of a registry together. With 1 it never is.
    pub connections: usize,
    /// How much of it is asked for at once. Each connection has so much of it in memory.
    pub piece_bytes: u64,
    /// How long one connection is watched first.
    pub watch: Duration,
    /// One connection that is as fast as this is enough.
    pub fast_bytes_per_second: u64,
}

impl Default for Parallel {
    fn default() -> Self {
        Self {
            least_bytes: 32 << 20,
            // 16 MiB in memory, and a quarter of a second for a piece at 16 MB/s, which hides the two
            // journeys that each request and its redirection take.
            connections: 4,
            piece_bytes: 4 << 20,
            watch: Duration::from_millis(500),
            // What follows it, unpacking and disks, is hardly faster.
            fast_bytes_per_second: 100_000_000,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            credentials: None,
            insecure: false,
            certificates: Certificates::default(),
            system_authorities: Vec::new(),
            token_services: Vec::new(),
            http2: true,
            proxies: Proxies::default(),
            names: names::Files::default(),
            user_agent: "tare".into(),
            attempts: 5,
            backoff: Duration::from_millis(500),
            // Rates are counted by minutes or hours, and nobody waits for the latter.
            longest_pause: Duration::from_secs(60),
            silence: Duration::from_secs(60),
            deadline: None,
            parallel: Parallel::default(),
            foreign_layers: false,
            // Three uploads at once take 24 MiB.
            piece_bytes: 8 << 20,
            trace: None,
        }
    }
}

/// How the registry is believed and, when it is its `own` host that is reached, who we are there. Nobody else
/// sees our certificates.
pub(crate) fn tls(options: &Options, own: bool) -> Result<TlsConfig> {
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
    let client = match options.certificates.clients.first().filter(|_| own) {
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

fn read_pem(path: &Path) -> Result<Vec<u8>> {
    crate::file::read(path)?.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("{}: there is no such file", path.display()))
    })
}
