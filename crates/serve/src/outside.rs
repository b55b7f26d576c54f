//! Servers that this one is a client of: buckets, and whoever wants to hear of events.

use std::path::PathBuf;
use std::sync::Arc;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

/// How they are believed: by the authorities of files in PEM. Files that are not there have none.
pub(crate) fn tls(authorities: &[PathBuf]) -> TlsConfig {
    let mut roots = Vec::new();
    for path in authorities {
        let Ok(pem) = std::fs::read(path) else { continue };
        roots.extend(parse_pem(&pem).filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        }));
    }
    TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build()
}
