//! A daemon that can be told to misbehave, one that is asked by TLS, and a real one.

mod docker;

use super::*;
use crate::docker_archive::{Archive, ArchiveWriter};
use crate::place::{ArchiveSelect, DaemonImage};
use crate::tests::{DATA, digests, kind, layer, put, read_layers, test_directory, write_image};
use crate::transfer::{Sink, Source};
use oci::image::media_type::{DOCKER_LAYER, Format};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

/// A request as it came.
#[derive(Debug, Default)]
struct Asked {
    line: String,
    body: Vec<u8>,
    /// The body has its end.
    complete: bool,
}

/// Reads a request; of its body at most `most` bytes.
fn read_request(stream: &mut dyn BufRead, most: usize) -> Asked {
    let mut asked = Asked::default();
    let mut line = String::new();
    stream.read_line(&mut asked.line).unwrap();
    let mut chunked = false;
    while {
        line.clear();
        stream.read_line(&mut line).unwrap()
    } > 2
    {
        chunked |= line.to_ascii_lowercase().starts_with("transfer-encoding: chunked");
    }
    asked.complete = !chunked;
    while chunked && asked.body.len() < most {
        line.clear();
        let Ok(2..) = stream.read_line(&mut line) else { break };
        let size = usize::from_str_radix(line.trim(), 16).unwrap();
        let mut chunk = vec![0; size + 2];
        if stream.read_exact(&mut chunk).is_err() {
            break;
        }
        asked.body.extend_from_slice(&chunk[..size]);
        asked.complete = size == 0;
        chunked = size > 0;
    }
    asked
}

/// A daemon that answers one request, of which it reads at most `most` bytes.
fn start(socket: &Path, most: usize, answer: Vec<u8>) -> Receiver<Asked> {
    let _ = std::fs::remove_file(socket);
    let listener = UnixListener::bind(socket).unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut stream = BufReader::new(stream);
        let asked = read_request(&mut stream, most);
        // The other side may have gone.
        let _ = stream.get_mut().write_all(&answer);
        let _ = sender.send(asked);
    });
    receiver
}

fn answer(status: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn options(root: &Path) -> Options {
    let host = format!("unix://{}", root.join("d.sock").display());
    Options { host, silence: Duration::from_secs(120), ..Options::new(root) }
}

fn image(text: &str) -> DaemonImage {
    DaemonImage::parse(text).unwrap()
}

/// An image as `docker save` writes it.
fn saved(root: &Path, layers: &[Vec<u8>]) -> Vec<u8> {
    let path = root.join("saved.tar");
    let writer = ArchiveWriter::create(&path, root).unwrap();
    let names = [oci::Reference::parse("x.example/a:1").unwrap()];
    write_image(&writer.image(&names).unwrap(), Format::Docker, layers);
    writer.finish().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    bytes
}

#[test]
fn an_image_is_fetched() {
    let root = test_directory("daemon-get");
    let layers = [layer("a", "first"), layer("b", "second")];
    let bytes = saved(&root, &layers);
    let id = format!("sha256:{}", "0123456789abcdef".repeat(4));
    for (name, path, scope) in [
        ("x.example/a:1", "/images/x.example/a:1/get", "x.example/a:1"),
        ("busybox:1", "/images/busybox:1/get", "docker.io/library/busybox:1"),
        (&id, &format!("/images/{id}/get"), ""),
    ] {
        let asked = start(&root.join("d.sock"), 0, answer("200 OK", &bytes));
        let source = DaemonSource::open(&options(&root), &image(name)).unwrap();
        assert_eq!(asked.recv().unwrap().line, format!("GET {path} HTTP/1.1\r\n"));
        assert_eq!(read_layers(&source), layers);
        assert_eq!(source.scopes().transport(), "docker-daemon");
        assert_eq!(source.scopes().names().next(), Some(scope));
        assert_eq!(source.names()[0].to_string(), "x.example/a:1");
    }
    // Nothing is left but the socket.
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 1);
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn what_a_daemon_cannot_give_is_an_error() {
    let root = test_directory("daemon-get-faults");
    let socket = root.join("d.sock");
    let open = || DaemonSource::open(&options(&root), &image("a:1"));
    let error = open().err().unwrap();
    assert_eq!((error.kind(), error.hint().is_some()), (ErrorKind::Network, true), "{error}");
    let missing = answer("404 Not Found", br#"{"message":"No such image: a:1"}"#);
    start(&socket, 0, missing);
    let error = open().err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().ends_with("answers 404: No such image: a:1"), "{error}");
    let bytes = saved(&root, &[layer("a", "first")]);
    let whole = answer("200 OK", &bytes);
    for (reply, expected) in [
        (Vec::new(), ErrorKind::Network),
        (b"nonsense\r\n\r\n".to_vec(), ErrorKind::Network),
        (answer("500 Oops", b"\x1b[31mno JSON"), ErrorKind::Network),
        (answer("200 OK", b"no archive"), ErrorKind::Corrupt),
        (answer("200 OK", b""), ErrorKind::Invalid),
        (whole[..whole.len() - 5000].to_vec(), ErrorKind::Os),
    ] {
        start(&socket, 0, reply.clone());
        assert_eq!(kind(open()), Some(expected), "{}", reply.escape_ascii());
    }
    // One that is silent.
    let _ = std::fs::remove_file(&socket);
    let _listener = UnixListener::bind(&socket).unwrap();
    let options = Options { silence: Duration::from_millis(50), ..options(&root) };
    assert_eq!(kind(DaemonSource::open(&options, &image("a:1"))), Some(ErrorKind::Network));
    std::fs::remove_dir_all(root).unwrap();
}

const LOADED: &[u8] = b"{\"stream\":\"Loaded image: x.example/a:1\\n\"}\r\n";

#[test]
fn an_image_is_sent() {
    let root = test_directory("daemon-load");
    let layers = [layer("a", &"large".repeat(100_000)), layer("b", "second")];
    let asked = start(&root.join("d.sock"), usize::MAX, answer("200 OK", LOADED));
    let sink = DaemonSink::create(&options(&root), &image("x.example/a:1")).unwrap();
    let new = sink.put_new(DOCKER_LAYER, &mut &*layers[0]).unwrap();
    assert_eq!(put(&sink, DOCKER_LAYER, &layers[0]).digest, new.digest);
    write_image(&sink, Format::Docker, &layers);
    let asked = asked.recv().unwrap();
    assert_eq!(asked.line, "POST /images/load?quiet=1 HTTP/1.1\r\n");
    assert!(asked.complete);
    let archive = Archive::read(&mut &*asked.body, Path::new("-"), &root).unwrap();
    let source = archive.source(&ArchiveSelect::Only).unwrap();
    assert_eq!(source.names()[0].to_string(), "x.example/a:1");
    assert_eq!(read_layers(&source), layers);
    for name in ["a@sha256:", "sha256:"] {
        let image = image(&format!("{name}{}", "0123456789abcdef".repeat(4)));
        let refused = DaemonSink::create(&options(&root), &image);
        assert_eq!(kind(refused), Some(ErrorKind::Unsupported));
    }
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn what_a_daemon_does_not_take_is_an_error() {
    let root = test_directory("daemon-load-faults");
    let socket = root.join("d.sock");
    // More than a pipe and a socket hold.
    let layers = [layer("a", &"large".repeat(1_000_000))];
    let load = || {
        let sink = DaemonSink::create(&options(&root), &image("x.example/a:1")).unwrap();
        let put = crate::tests::try_write_image(&sink, Format::Docker, &layers);
        put.err().unwrap()
    };
    let told = br#"{"errorDetail":{"message":"no space left"},"error":"no space left"}"#;
    for (most, reply, expected) in [
        (usize::MAX, answer("200 OK", told), "no space left"),
        (usize::MAX, answer("200 OK", br#"{"error":"old daemon"}"#), "old daemon"),
        (usize::MAX, answer("200 OK", b"nonsense"), "an answer without sense"),
        (usize::MAX, answer("500 Oops", br#"{"message":"broken"}"#), "answers 500: broken"),
        (usize::MAX, answer("200 OK", &vec![b' '; 2 << 20]), "more than 1 MiB"),
        (usize::MAX, Vec::new(), "docker-daemon:x.example/a:1"),
        // It hangs up in the middle.
        (100_000, Vec::new(), "docker-daemon:x.example/a:1"),
    ] {
        start(&socket, most, reply);
        let error = load();
        assert_eq!(error.kind(), ErrorKind::Network, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    let _ = std::fs::remove_file(&socket);
    let error = load();
    assert!(error.hint().is_some_and(|hint| hint.contains("dockerd")), "{error}");
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn half_an_image_is_not_loaded() {
    let root = test_directory("daemon-load-half");
    let wrong = |sink: &DaemonSink| {
        let mut descriptor = put(sink, DOCKER_LAYER, b"one");
        descriptor.digest = crate::hash::digest_of(oci::Algorithm::Sha256, b"other").into();
        kind(sink.put_blob(&descriptor, &mut &b"two"[..]))
    };
    for fails in [true, false] {
        let asked = start(&root.join("d.sock"), usize::MAX, answer("200 OK", LOADED));
        let sink = DaemonSink::create(&options(&root), &image("x.example/a:1")).unwrap();
        if fails {
            // The error is that of the content, not that of the request that it ends.
            assert_eq!(wrong(&sink), Some(ErrorKind::Corrupt));
        } else {
            put(&sink, DOCKER_LAYER, b"one");
        }
        drop(sink);
        assert!(!asked.recv().unwrap().complete);
    }
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn hosts_are_read() {
    let check = |host: &str| {
        let options = Options { host: host.into(), ..Options::new(Path::new("/tmp")) };
        Daemon::new(&options).map(|daemon| daemon.base).map_err(|error| error.kind())
    };
    assert_eq!(check("unix:///run/docker.sock").as_deref(), Ok("http://docker"));
    assert_eq!(check("tcp://x.example:2376").as_deref(), Ok("https://x.example:2376"));
    assert_eq!(check("https://x.example:2376/").as_deref(), Ok("https://x.example:2376"));
    assert_eq!(check("http://127.0.0.1:2375").as_deref(), Ok("http://127.0.0.1:2375"));
    assert_eq!(check("ssh://x.example"), Err(ErrorKind::Unsupported));
    for host in [
        "",
        "x.example:2375",
        "unix://run",
        "fd://",
        "npipe:////./pipe",
        "http://",
        "tcp://a/b",
        "http://a b",
    ] {
        assert_eq!(check(host), Err(ErrorKind::Invalid), "{host}");
    }
}

/// A daemon that answers by TLS, to those whose certificate it knows.
fn start_encrypted(bytes: Vec<u8>) -> String {
    let file = |name: &str| Path::new(DATA).join("tls").join(name);
    let certificate = |name: &str| CertificateDer::from_pem_file(file(name)).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(certificate("ca.crt")).unwrap();
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_client_cert_verifier(verifier.build().unwrap());
    let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
    let config = Arc::new(builder.with_single_cert(vec![certificate("server.crt")], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = format!("tcp://localhost:{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(config.clone()).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            if stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {
                let _ = stream.write_all(&answer("200 OK", &bytes));
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
    });
    host
}

#[test]
fn a_daemon_is_asked_by_tls() {
    let root = test_directory("daemon-tls");
    let layers = [layer("a", "first")];
    let host = start_encrypted(saved(&root, &layers));
    for (from, to) in [("ca.crt", "ca.pem"), ("client.cert", "cert.pem"), ("client.key", "key.pem")]
    {
        std::fs::copy(Path::new(DATA).join("tls").join(from), root.join(to)).unwrap();
    }
    let options = Options { host, ..options(&root) };
    let open = |options: &Options| DaemonSource::open(options, &image("a:1"));
    let known = Options { certificates: Some(root.clone()), ..options.clone() };
    assert_eq!(read_layers(&open(&known).unwrap()), layers);
    // Without a certificate, and with no authority.
    assert!(open(&Options { insecure: true, ..options.clone() }).is_err());
    assert!(open(&options).is_err());
    std::fs::remove_dir_all(root).unwrap();
}
