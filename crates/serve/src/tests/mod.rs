//! A server on a directory of its own, and a client that sends just what it is told to.

mod access;
mod bucket;
mod caching;
mod collecting;
mod crash;
mod http2;
mod life;
mod observing;
mod pages;
mod passing;
mod quotas;
mod requests;

use crate::{Config, Server};
use oci::{Algorithm, Digest};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use transport::hash::digest_of;

/// A directory that goes when it is dropped.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tare-serve-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Registry {
    server: Option<Server>,
    address: std::net::SocketAddr,
    faults: Arc<Mutex<Vec<String>>>,
    place: Arc<Place>,
}

impl Registry {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::at(Arc::new(Place::new()), change)
    }

    fn at(place: Arc<Place>, change: impl FnOnce(&mut Config)) -> Self {
        let faults: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = faults.clone();
        let mut config = Config::new(place.0.join("registry"));
        config.listen = vec!["127.0.0.1:0".parse().unwrap()];
        config.drain = Duration::from_secs(2);
        config.faults = Arc::new(move |text| heard.lock().unwrap().push(text.into()));
        change(&mut config);
        let server = Server::start(&config).unwrap();
        let address = server.addresses()[0];
        Self { server: Some(server), address, faults, place }
    }

    fn root(&self) -> PathBuf {
        self.place.0.join("registry")
    }

    /// Ends the server, and starts another one on the same directory.
    fn restart(mut self) -> Self {
        self.server.take().unwrap().stop();
        Self::at(self.place.clone(), |_| {})
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        stream
    }

    /// Sends a request on a connection of its own. Its body has a length, unless the headers say
    /// something else.
    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut stream = self.connect();
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        let has = |name: &str| headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        if !has("content-length") && !has("transfer-encoding") {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(body);
        stream.write_all(&bytes).unwrap();
        Answer::read(&mut stream, method == "HEAD")
    }

    fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    fn put_blob(&self, name: &str, content: &[u8]) -> Digest {
        let digest = digest_of(Algorithm::Sha256, content);
        let path = format!("/v2/{name}/blobs/uploads/?digest={digest}");
        assert_eq!(self.send("POST", &path, &[], content).status, 201);
        digest
    }

    fn put_manifest(&self, name: &str, selector: &str, text: &str) -> Answer {
        let kind = if text.contains("\"manifests\"") { "index" } else { "manifest" };
        let kind = format!("application/vnd.oci.image.{kind}.v1+json");
        let path = format!("/v2/{name}/manifests/{selector}");
        self.send("PUT", &path, &[("Content-Type", &kind)], text.as_bytes())
    }

    /// Puts an image of one layer; returns its manifest's digest.
    fn put_image(&self, name: &str, tag: &str, layer: &[u8]) -> Digest {
        let config = self.put_blob(name, b"{}");
        let layer = (self.put_blob(name, layer), layer.len());
        let text = manifest(&config, &[layer], "");
        let answer = self.put_manifest(name, tag, &text);
        assert_eq!(answer.status, 201, "{}", answer.text());
        digest_of(Algorithm::Sha256, text.as_bytes())
    }

    /// Begins an upload; returns where it goes on.
    fn begin(&self, name: &str) -> String {
        let answer = self.send("POST", &format!("/v2/{name}/blobs/uploads/"), &[], b"");
        assert_eq!(answer.status, 202);
        answer.header("location").unwrap().to_owned()
    }
}

impl Registry {
    /// Makes every file as old as that.
    fn age(&self, seconds: u64) {
        let then = std::time::SystemTime::now() - Duration::from_secs(seconds);
        for (name, _) in files(&self.root()) {
            let file = std::fs::File::open(self.root().join(name)).unwrap();
            file.set_modified(then).unwrap();
        }
    }

    fn collect(&self, untagged: Option<u64>) -> crate::Collected {
        let registry = &self.server.as_ref().unwrap().registry;
        let untagged = untagged.map(Duration::from_secs);
        let policy = crate::storage::Policy { untagged, copies: untagged };
        let tell = |text: &str| self.faults.lock().unwrap().push(text.into());
        registry.storage.collect(&policy, &tell).unwrap()
    }

    /// Digests of all content.
    fn content(&self) -> Vec<String> {
        let place = self.root().join("blobs");
        let files = if place.exists() { files(&place) } else { Vec::new() };
        files.into_iter().map(|(name, _)| name.rsplit('/').next().unwrap().to_owned()).collect()
    }

    fn delete(&self, path: &str) {
        assert_eq!(self.send("DELETE", path, &[], b"").status, 202, "{path}");
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop();
        }
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn read(stream: &mut TcpStream, is_head: bool) -> Self {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0, "no answer: {:?}", String::from_utf8_lossy(&bytes));
            bytes.extend_from_slice(&buffer[..count]);
        };
        let mut answer = Self::parse_head(&bytes, end);
        let length = answer.header("content-length").map_or(0, |it| it.parse::<usize>().unwrap());
        while !is_head && answer.body.len() < length {
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0, "the answer is too short");
            answer.body.extend_from_slice(&buffer[..count]);
        }
        answer
    }

    fn parse_head(bytes: &[u8], end: usize) -> Self {
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Self { status, headers, body: bytes[end + 4..].to_vec() }
    }

    /// A whole answer, or none.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let answer = Self::parse_head(bytes, end);
        let length = answer.header("content-length").map_or(0, |it| it.parse::<usize>().unwrap());
        (answer.body.len() == length).then_some(answer)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The code of an error.
    fn code(&self) -> String {
        let text = self.text();
        let rest = text.split_once("\"code\":\"").map_or("", |(_, rest)| rest);
        rest.split('"').next().unwrap_or_default().to_owned()
    }
}

fn descriptor(kind: &str, digest: &Digest, size: usize) -> String {
    format!(r#"{{"mediaType":"application/vnd.oci.{kind}","digest":"{digest}","size":{size}}}"#)
}

/// A manifest with the configuration `{}`. `more` is added before its end.
fn manifest(config: &Digest, layers: &[(Digest, usize)], more: &str) -> String {
    let layer =
        |(digest, size): &(Digest, usize)| descriptor("image.layer.v1.tar+gzip", digest, *size);
    let layers: Vec<String> = layers.iter().map(layer).collect();
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{}]{more}}}"#,
        descriptor("image.config.v1+json", config, 2),
        layers.join(","),
    )
}

/// Every file below a directory, with its size.
fn files(path: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    let mut pending = vec![path.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => pending.push(entry.path()),
                false => {
                    let name = entry.path().strip_prefix(path).unwrap().to_owned();
                    found.push((name.display().to_string(), entry.metadata().unwrap().len()));
                }
            }
        }
    }
    found.sort();
    found
}
