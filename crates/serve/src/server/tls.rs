//! TLS, with files that are read again when they change.

use crate::registry::Sink;
use crate::watched::Watched;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Certificates of the server, and of its clients.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The server's certificate with what leads to its authority, in PEM.
    pub certificates: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
    /// Authorities of clients' certificates, in PEM. With them, clients need one.
    pub client_authorities: Option<PathBuf>,
    /// Clients may come without one.
    pub client_optional: bool,
}

type File = Watched<Vec<u8>>;

/// What connections are encrypted with.
pub(super) struct Encryption {
    certificates: File,
    key: File,
    authorities: Option<File>,
    optional: bool,
    built: Mutex<Built>,
    tell: Sink,
}

struct Built {
    /// What it was built of.
    of: [Option<Arc<Vec<u8>>>; 3],
    config: Arc<ServerConfig>,
}

impl Encryption {
    pub(super) fn open(tls: &Tls, tell: Sink) -> Result<Self, String> {
        let open = |path: &PathBuf| Watched::open(path, |bytes| Ok(bytes.to_vec()));
        let (certificates, key) = (open(&tls.certificates)?, open(&tls.key)?);
        let authorities = tls.client_authorities.as_ref().map(open).transpose()?;
        let quiet = |_: &str| {};
        let of = [
            Some(certificates.get(&quiet)),
            Some(key.get(&quiet)),
            authorities.as_ref().map(|file| file.get(&quiet)),
        ];
        let config = build(&of, tls.client_optional)?;
        let built = Mutex::new(Built { of, config });
        Ok(Self { certificates, key, authorities, optional: tls.client_optional, built, tell })
    }

    /// What a new connection is encrypted with. Files that are not right, or do not belong together yet, change
    /// nothing.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        let tell = |text: &str| (self.tell)(text);
        let now = [
            Some(self.certificates.get(&tell)),
            Some(self.key.get(&tell)),
            self.authorities.as_ref().map(|file| file.get(&tell)),
        ];
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        let same = now.iter().zip(&built.of).all(|(now, then)| match (now, then) {
            (Some(now), Some(then)) => Arc::ptr_eq(now, then),
            (now, then) => now.is_none() && then.is_none(),
        });
        if !same {
            match build(&now, self.optional) {
                Ok(config) => built.config = config,
                Err(error) => tell(&format!("TLS stays as it was: {error}")),
            }
            built.of = now;
        }
        built.config.clone()
    }
}

fn build(of: &[Option<Arc<Vec<u8>>>; 3], optional: bool) -> Result<Arc<ServerConfig>, String> {
    let [Some(certificates), Some(key), authorities] = of else {
        return Err("no certificate".into());
    };
    let certificates = read_certificates(certificates)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("key: {error}"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match authorities {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let mut roots = RootCertStore::empty();
            for authority in read_certificates(authorities)? {
                roots.add(authority).map_err(|error| format!("authority of clients: {error}"))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if optional { verifier.allow_unauthenticated() } else { verifier };
            let verifier =
                verifier.build().map_err(|error| format!("authority of clients: {error}"))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder
        .with_single_cert(certificates, key)
        .map_err(|error| format!("certificate: {error}"))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn read_certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.map_err(|error| format!("certificate: {error}"))?;
    match certificates.is_empty() {
        true => Err("certificate: there is none in the file".into()),
        false => Ok(certificates),
    }
}
