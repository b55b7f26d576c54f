//! TLS: whom we believe, and who we are.

use super::*;
use crate::certs::Certificates;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

pub(super) fn file(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls")).join(name)
}

fn certificate(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(file(name)).unwrap()
}

/// How a registry proves who it is, and perhaps its clients.
pub(super) fn server_config(wants_client: bool) -> ServerConfig {
    config_of("server", wants_client)
}

fn config_of(name: &str, wants_client: bool) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = match wants_client {
        false => builder.with_no_client_auth(),
        true => {
            let mut roots = RootCertStore::empty();
            roots.add(certificate("ca.crt")).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let key = PrivateKeyDer::from_pem_file(file(&format!("{name}.key"))).unwrap();
    builder.with_single_cert(vec![certificate(&format!("{name}.crt"))], key).unwrap()
}

/// A registry that answers every request with 200 and `{}`, by TLS only.
pub(super) fn start(wants_client: bool) -> String {
    start_logging(wants_client, &Arc::default())
}

/// As [`start`]; what it is asked is written down.
pub(super) fn start_logging(wants_client: bool, log: &Arc<Mutex<Vec<String>>>) -> String {
    start_with(server_config(wants_client), log.clone())
}

fn start_with(config: ServerConfig, log: Arc<Mutex<Vec<String>>>) -> String {
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Ok(connection) = ServerConnection::new(config.clone()) else { continue };
            let mut stream = StreamOwned::new(connection, stream);
            let mut head = [0; 4096];
            let asked = stream.read(&mut head).unwrap_or(0);
            if asked > 0 {
                log.lock().unwrap().push(String::from_utf8_lossy(&head[..asked]).into_owned());
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
                // The client may have had enough.
                let _ = stream.write_all(answer);
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
    });
    format!("localhost:{port}")
}

fn connect_with(host: &str, change: impl Fn(&mut Options)) -> Result<Registry> {
    let mut options = Options { attempts: 1, ..options() };
    change(&mut options);
    Registry::connect(&Reference::parse(&format!("{host}/a/b")).unwrap(), options)
}

#[test]
fn a_registry_is_believed_by_its_authority_only() {
    let host = start(false);
    let refused = connect_with(&host, |_| {}).err().unwrap().to_string();
    assert!(refused.contains("UnknownIssuer"), "{refused}");
    connect_with(&host, |it| it.certificates.authorities.push(file("ca.crt"))).unwrap();
    connect_with(&host, |it| it.system_authorities.push(file("ca.crt"))).unwrap();
    connect_with(&host, |it| it.insecure = true).unwrap();
    // The right authority, and another name.
    let other = host.replace("localhost", "127.0.0.2");
    let refused = connect_with(&other, |it| it.certificates.authorities.push(file("ca.crt")));
    assert!(refused.err().unwrap().to_string().contains("https://127.0.0.2"));
    let absent = connect_with(&host, |it| it.system_authorities.push(file("absent.crt")));
    assert_eq!(absent.err().unwrap().kind(), ErrorKind::NotFound);
}

/// As `openssl req -x509` makes them, and docker's documentation.
#[test]
fn a_certificate_that_is_its_own_authority_is_believed_where_it_is_named() {
    let host = start_with(config_of("self", false), Arc::default());
    let refused = connect_with(&host, |_| {}).err().unwrap().to_string();
    assert!(refused.contains("ertificate"), "{refused}");
    connect_with(&host, |it| it.certificates.authorities.push(file("self.crt"))).unwrap();
    // Another authority, another name, and another certificate by the same authority.
    let refused = |host: &str, name: &str| {
        connect_with(host, |it| it.certificates.authorities.push(file(name))).is_err()
    };
    assert!(refused(&host, "ca.crt"));
    assert!(refused(&host.replace("localhost", "127.0.0.2"), "self.crt"));
    assert!(refused(&start(false), "self.crt"));
}

#[test]
fn an_authority_that_has_run_out_is_believed_no_more() {
    let host = start_with(config_of("old", false), Arc::default());
    let tried = connect_with(&host, |it| it.certificates.authorities.push(file("old.crt")));
    let refused = tried.err().unwrap().to_string();
    assert!(refused.contains("xpired"), "{refused}");
}

#[test]
fn we_show_our_certificate() {
    let host = start(true);
    let authorities = vec![file("ca.crt")];
    let anonymous = Certificates { authorities: authorities.clone(), clients: Vec::new() };
    assert!(connect_with(&host, |it| it.certificates = anonymous.clone()).is_err());
    let clients = vec![(file("client.cert"), file("client.key"))];
    let known = Certificates { authorities, clients };
    connect_with(&host, |it| it.certificates = known.clone()).unwrap();
}

#[test]
fn only_the_registry_sees_our_certificate() {
    let log = Arc::<Mutex<Vec<String>>>::default();
    let other = start_logging(true, &log);
    let server = Server::start(move |asked, _| {
        let away = Reply::new(307).header("Location", &format!("https://{other}{}", asked.path));
        asked.path.contains("/manifests/").then_some(away)
    });
    let certificates = Certificates {
        authorities: vec![file("ca.crt")],
        clients: vec![(file("client.cert"), file("client.key"))],
    };
    let options = Options { certificates, attempts: 1, ..options() };
    let registry = Registry::connect(&reference(&server, ""), options).unwrap();
    let error = registry.manifest("x", None).unwrap_err().to_string();
    assert!(error.contains("ertificate"), "{error}");
    assert_eq!(*log.lock().unwrap(), [] as [String; 0]);
    server.stop();
}
