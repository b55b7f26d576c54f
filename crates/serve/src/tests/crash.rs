//! Registries that are killed, at every step.
//!
//! A worker is this test program itself, started again as a server that dies at a certain step. The test is
//! its client, and knows what was acknowledged: that has to be so when the next server has started.

use super::{Answer, Place, Registry, descriptor, digest_of, files, manifest};
use crate::{Config, Durability, Keeping, Server, fault};
use oci::{Algorithm, Digest};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Tells a worker what to do: directory and steps to live.
const JOB: &str = "TARE_SERVE_WORKER";
/// Kills every so many steps: 1 tries every single one.
const STRIDE: &str = "TARE_SERVE_STRIDE";
const STRIDE_DEFAULT: u64 = 7;
/// No scenario has as many steps.
const STEPS: u64 = 2000;
const LIFETIME: Duration = Duration::from_secs(120);

#[test]
#[ignore = "what the other tests start"]
fn worker() {
    let Ok(job) = std::env::var(JOB) else { return };
    let (place, steps) = job.split_once('|').unwrap();
    fault::arm(steps.parse().unwrap());
    let mut config = Config::new(Path::new(place).join("registry"));
    config.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.durability = Durability::None;
    config.collect = Some(Duration::from_millis(5));
    config.keeping = Keeping { lease: Duration::from_secs(600), ..Keeping::default() };
    let server = Server::start(&config).unwrap();
    let text = format!("{}\n", server.addresses()[0]);
    std::fs::write(Path::new(place).join("address.new"), text).unwrap();
    std::fs::rename(Path::new(place).join("address.new"), Path::new(place).join("address"))
        .unwrap();
    // Until the test closes the pipe or a step kills it.
    let _ = std::io::stdin().read(&mut [0]);
    server.stop();
}

struct Worker {
    child: Child,
    address: Option<SocketAddr>,
}

impl Worker {
    fn start(place: &Path, steps: u64) -> Self {
        let _ = std::fs::remove_file(place.join("address"));
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::crash::worker", "--ignored", "--nocapture"])
            .env(JOB, format!("{}|{steps}", place.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let begin = std::time::Instant::now();
        let address = loop {
            if let Ok(text) = std::fs::read_to_string(place.join("address")) {
                break Some(text.trim().parse().unwrap());
            }
            if child.try_wait().unwrap().is_some() {
                break None;
            }
            assert!(begin.elapsed() < LIFETIME, "the worker does not start");
            std::thread::sleep(Duration::from_millis(1));
        };
        Self { child, address }
    }

    /// Sends a request; `None` when the worker has died.
    fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Option<Answer> {
        let mut stream = TcpStream::connect(self.address?).ok()?;
        stream.set_read_timeout(Some(LIFETIME)).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).ok()?;
        let mut text = Vec::new();
        stream.read_to_end(&mut text).ok()?;
        // An answer that is not whole is none.
        Answer::parse(&text)
    }

    /// Ends it; says whether it was killed.
    fn end(mut self) -> bool {
        drop(self.child.stdin.take());
        let status = self.child.wait().unwrap();
        let killed = status.signal() == Some(9);
        assert!(killed || status.success(), "a worker failed: {status}");
        killed
    }
}

/// What the client knows.
#[derive(Default)]
struct Known {
    /// Blobs of repositories.
    blobs: BTreeMap<(String, Digest), Vec<u8>>,
    manifests: BTreeMap<(String, Digest), Vec<u8>>,
    tags: BTreeMap<(String, String), Digest>,
    /// What the request was about whose answer did not come: it may be done or not.
    doubt: BTreeSet<String>,
}

struct Client<'a> {
    worker: &'a Worker,
    known: &'a mut Known,
}

/// The worker has died.
struct Died;

impl Client<'_> {
    fn send(
        &mut self,
        about: &str,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> Result<Answer, Died> {
        match self.worker.send(method, path, headers, body) {
            Some(answer) => Ok(answer),
            None => {
                self.known.doubt.insert(about.into());
                Err(Died)
            }
        }
    }

    fn put_blob(&mut self, name: &str, content: &[u8]) -> Result<Digest, Died> {
        let digest = digest_of(Algorithm::Sha256, content);
        let path = format!("/v2/{name}/blobs/uploads/?digest={digest}");
        let answer = self.send("", "POST", &path, "", content)?;
        assert_eq!(answer.status, 201, "{}", answer.text());
        self.known.blobs.insert((name.into(), digest), content.into());
        Ok(digest)
    }

    fn put_chunks(&mut self, name: &str, content: &[u8]) -> Result<Digest, Died> {
        let digest = digest_of(Algorithm::Sha256, content);
        let path = format!("/v2/{name}/blobs/uploads/");
        let begun = self.send("", "POST", &path, "", b"")?;
        assert_eq!(begun.status, 202);
        let location = begun.header("location").unwrap().to_owned();
        let (first, second) = content.split_at(content.len() / 2);
        assert_eq!(self.send("", "PATCH", &location, "", first)?.status, 202);
        let path = format!("{location}?digest={digest}");
        let done = self.send("", "PUT", &path, "", second)?;
        assert_eq!(done.status, 201, "{}", done.text());
        self.known.blobs.insert((name.into(), digest), content.into());
        Ok(digest)
    }

    fn mount(&mut self, name: &str, from: &str, digest: Digest) -> Result<(), Died> {
        let path = format!("/v2/{name}/blobs/uploads/?mount={digest}&from={from}");
        let answer = self.send("", "POST", &path, "", b"")?;
        assert_eq!(answer.status, 201);
        let content = self.known.blobs[&(from.to_owned(), digest)].clone();
        self.known.blobs.insert((name.into(), digest), content);
        Ok(())
    }

    fn put_manifest(&mut self, name: &str, tags: &[&str], text: &str) -> Result<Digest, Died> {
        let kind = if text.contains("\"manifests\"") { "index" } else { "manifest" };
        let header = format!("Content-Type: application/vnd.oci.image.{kind}.v1+json\r\n");
        let digest = digest_of(Algorithm::Sha256, text.as_bytes());
        let query: Vec<String> = tags.iter().map(|tag| format!("tag={tag}")).collect();
        let path = format!("/v2/{name}/manifests/{digest}?{}", query.join("&"));
        let about: Vec<String> = tags.iter().map(|tag| format!("{name}:{tag}")).collect();
        let answer = self.send(&about.join(" "), "PUT", &path, &header, text.as_bytes())?;
        assert_eq!(answer.status, 201, "{}", answer.text());
        self.known.manifests.insert((name.into(), digest), text.into());
        for tag in tags {
            self.known.tags.insert((name.into(), (*tag).into()), digest);
        }
        Ok(digest)
    }

    fn delete_tag(&mut self, name: &str, tag: &str) -> Result<(), Died> {
        let path = format!("/v2/{name}/manifests/{tag}");
        let answer = self.send(&format!("{name}:{tag}"), "DELETE", &path, "", b"")?;
        assert_eq!(answer.status, 202);
        self.known.tags.remove(&(name.into(), tag.into()));
        Ok(())
    }

    fn delete_manifest(&mut self, name: &str, digest: Digest) -> Result<(), Died> {
        let path = format!("/v2/{name}/manifests/{digest}");
        let mut about: Vec<String> = vec![digest.to_string()];
        let tags = self.known.tags.iter().filter(|(_, it)| **it == digest);
        about.extend(tags.map(|((name, tag), _)| format!("{name}:{tag}")));
        let answer = self.send(&about.join(" "), "DELETE", &path, "", b"")?;
        assert_eq!(answer.status, 202);
        self.known.manifests.remove(&(name.into(), digest));
        self.known.tags.retain(|_, it| *it != digest);
        Ok(())
    }

    /// One of everything.
    fn life(&mut self) -> Result<(), Died> {
        let config = self.put_blob("a", b"{}")?;
        let one = self.put_blob("a", &[1; 5000])?;
        let two = self.put_chunks("a", &[2; 9000])?;
        let first = manifest(&config, &[(one, 5000)], "");
        self.put_manifest("a", &["v1", "latest"], &first)?;
        let second = manifest(&config, &[(one, 5000), (two, 9000)], "");
        let image = self.put_manifest("a", &["v2", "latest"], &second)?;
        for blob in [config, one, two] {
            self.mount("b/c", "a", blob)?;
        }
        self.put_manifest("b/c", &["v2"], &second)?;
        let child = descriptor("image.manifest.v1+json", &image, second.len());
        let index = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{child}]}}"#
        );
        self.put_manifest("b/c", &["all"], &index)?;
        let more = format!(r#","artifactType":"x/y","subject":{child}"#);
        self.put_manifest("b/c", &[], &manifest(&config, &[], &more))?;
        self.delete_tag("a", "v1")?;
        self.delete_manifest("a", image)?;
        // The same content once more, and nothing of it is new.
        self.put_blob("a", &[2; 9000])?;
        self.put_manifest("a", &["again"], &second)?;
        Ok(())
    }
}

/// Every acknowledged thing is there, whole; whatever is there is whole.
fn see(place: &Arc<Place>, known: &Known) {
    let registry = Registry::at(place.clone(), |config| config.collect = None);
    let in_doubt = |what: &str| known.doubt.iter().any(|it| it.split(' ').any(|one| one == what));
    for ((name, digest), content) in &known.blobs {
        let answer = registry.get(&format!("/v2/{name}/blobs/{digest}"));
        assert_eq!((answer.status, answer.body == *content), (200, true), "{name} {digest}");
    }
    for ((name, digest), text) in &known.manifests {
        if !in_doubt(&digest.to_string()) {
            let answer = registry.get(&format!("/v2/{name}/manifests/{digest}"));
            assert_eq!((answer.status, answer.body == *text), (200, true), "{name} {digest}");
        }
    }
    for ((name, tag), digest) in &known.tags {
        if !in_doubt(&format!("{name}:{tag}")) {
            let answer = registry.get(&format!("/v2/{name}/manifests/{tag}"));
            let found = answer.header("docker-content-digest");
            assert_eq!((answer.status, found), (200, Some(&*digest.to_string())), "{name}:{tag}");
        }
    }
    for (name, tag) in [("a", "v1"), ("a", "v2")] {
        let there = known.tags.contains_key(&(name.into(), tag.into()));
        if !there && !in_doubt(&format!("{name}:{tag}")) {
            let answer = registry.get(&format!("/v2/{name}/manifests/{tag}"));
            assert_eq!(answer.status, 404, "{name}:{tag}");
        }
    }
    let problems = crate::check(&registry.root(), None, false).unwrap().problems;
    assert_eq!(problems, []);
}

/// When everything is deleted, nothing is left.
fn empty(place: &Arc<Place>) {
    let registry = Registry::at(place.clone(), |config| config.collect = None);
    for name in ["a", "b/c"] {
        let storage = registry.server.as_ref().unwrap().registry.storage.clone();
        let name = crate::names::Repository::parse(name).unwrap();
        for digest in storage.manifests(&name).unwrap() {
            storage.delete_manifest(&name, &digest).unwrap();
        }
    }
    registry.age(1_000_000);
    let uploads = registry.server.as_ref().unwrap().registry.uploads.clone();
    uploads.purge(Duration::ZERO).unwrap();
    registry.collect(None);
    let left = files(&registry.root());
    let left: Vec<&str> = left.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(left, ["lock", "registry.json"]);
}

#[test]
fn a_registry_killed_at_any_step_loses_nothing_and_leaves_nothing() {
    let stride =
        std::env::var(STRIDE).ok().and_then(|it| it.parse().ok()).unwrap_or(STRIDE_DEFAULT);
    for (killed, steps) in (1..STEPS).step_by(stride as usize).enumerate() {
        let place = Arc::new(Place::new());
        let mut known = Known::default();
        // Something for the collector to do meanwhile.
        let registry = Registry::at(place.clone(), |_| {});
        registry.put_blob("old", b"old");
        registry.put_blob("old", b"older");
        registry.age(1_000_000);
        drop(registry);
        let worker = Worker::start(&place.0, steps);
        let mut client = Client { worker: &worker, known: &mut known };
        let survived = client.life().is_ok();
        // It may have died at the last step, after the last answer.
        let was_killed = worker.end();
        see(&place, &known);
        empty(&place);
        if survived && !was_killed {
            assert!(killed as u64 > 100 / stride, "only {killed} points");
            return;
        }
    }
    panic!("the scenario has more than {STEPS} steps");
}
