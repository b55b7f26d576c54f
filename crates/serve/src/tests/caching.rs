//! Copies of another registry, which is one of the same kind, or one that misbehaves.

use super::{Answer, Registry, digest_of, manifest};
use crate::{Caching, Config, Upstream};
use oci::Algorithm;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use transport::registry::Options;

fn caching(address: SocketAddr, prefix: &str, trust: Duration) -> Caching {
    let connect = |_: &oci::Reference| {
        Ok(Options { backoff: Duration::from_millis(10), ..Options::default() })
    };
    let upstream =
        Upstream { prefix: prefix.into(), place: address.to_string(), connect: Arc::new(connect) };
    Caching { upstreams: vec![upstream], trust }
}

/// A registry whose repositories below `hub` are those of another one.
fn copy_of(address: SocketAddr, trust: Duration) -> Registry {
    Registry::with(|config: &mut Config| config.caching = Some(caching(address, "hub", trust)))
}

impl Registry {
    /// How often it has answered so.
    fn count(&self, method: &str, route: &str, code: u16) -> u64 {
        let text = self.server.as_ref().unwrap().registry.metrics.render(&[]);
        let line = format!(
            "registry_requests_total{{method=\"{method}\",route=\"{route}\",code=\"{code}\"}} "
        );
        let value = text.lines().find_map(|it| it.strip_prefix(&line));
        value.map_or(0, |value| value.parse().unwrap())
    }

    fn figure(&self, name: &str) -> u64 {
        let text = self.server.as_ref().unwrap().registry.metrics.render(&[]);
        let line = format!("{name} ");
        text.lines().find_map(|it| it.strip_prefix(&line)).unwrap().parse().unwrap()
    }
}

const FOR_EVER: Duration = Duration::from_secs(1_000_000);

#[test]
fn many_clients_fetch_once() {
    let upstream = Registry::new();
    let layer: Vec<u8> =
        (0..8_u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    upstream.put_image("team/app", "v1", &layer);
    let digest = digest_of(Algorithm::Sha256, &layer);
    let registry = copy_of(upstream.address, FOR_EVER);
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                assert_eq!(registry.get("/v2/hub/team/app/manifests/v1").status, 200);
                let answer = registry.get(&format!("/v2/hub/team/app/blobs/{digest}"));
                assert_eq!(answer.status, 200);
                assert!(answer.body == layer, "{} bytes", answer.body.len());
            });
        }
    });
    assert_eq!(upstream.count("GET", "manifest", 200), 1);
    assert_eq!(upstream.count("HEAD", "manifest", 200), 1);
    assert_eq!(upstream.count("GET", "blob", 200), 1);
    assert_eq!(registry.figure("registry_cache_misses_total"), 2);
    assert_eq!(registry.figure("registry_fetched_bytes_total"), 8 << 20);
    // Parts, conditions and what is in one other repository only are as everywhere.
    let path = format!("/v2/hub/team/app/blobs/{digest}");
    let part = registry.send("GET", &path, &[("Range", "bytes=10-19")], b"");
    assert_eq!((part.status, &part.body[..]), (206, &layer[10..20]));
    assert_eq!(registry.get(&format!("/v2/hub/other/blobs/{digest}")).status, 404);
    assert_eq!(registry.get(&format!("/v2/own/blobs/{digest}")).status, 404);
    assert_eq!(upstream.count("GET", "blob", 200), 1);
    // A second repository of theirs that has it gives it without another download.
    upstream.put_blob("team/second", &layer);
    assert_eq!(registry.get(&format!("/v2/hub/team/second/blobs/{digest}")).body, layer);
    assert_eq!(upstream.count("GET", "blob", 200), 1);
    assert!(
        registry
            .server
            .as_ref()
            .unwrap()
            .registry
            .storage
            .check(false)
            .unwrap()
            .problems
            .is_empty()
    );
}

#[test]
fn looking_fetches_nothing() {
    let upstream = Registry::new();
    let digest = upstream.put_image("a", "v1", b"layer");
    let layer = digest_of(Algorithm::Sha256, b"layer");
    let registry = copy_of(upstream.address, Duration::ZERO);
    for selector in ["v1".to_owned(), digest.to_string()] {
        let answer = registry.send("HEAD", &format!("/v2/hub/a/manifests/{selector}"), &[], b"");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("docker-content-digest"), Some(&*digest.to_string()));
        let kind = "application/vnd.oci.image.manifest.v1+json";
        assert_eq!(answer.header("content-type"), Some(kind));
    }
    let answer = registry.send("HEAD", &format!("/v2/hub/a/blobs/{layer}"), &[], b"");
    assert_eq!((answer.status, answer.header("content-length")), (200, Some("5")));
    assert_eq!(upstream.count("GET", "manifest", 200) + upstream.count("GET", "blob", 200), 0);
    assert_eq!(registry.content().len(), 0);
    for path in [
        "/v2/hub/a/manifests/none",
        &format!("/v2/hub/a/manifests/{layer}"),
        "/v2/hub/b/manifests/v1",
    ] {
        for method in ["HEAD", "GET"] {
            assert_eq!(registry.send(method, path, &[], b"").status, 404, "{method} {path}");
        }
    }
}

#[test]
fn tags_are_looked_for_again_and_old_ones_served_when_nobody_answers() {
    let mut upstream = Registry::new();
    let first = upstream.put_image("a", "v", b"first");
    let trusting = copy_of(upstream.address, FOR_EVER);
    let asking = copy_of(upstream.address, Duration::ZERO);
    let digest = |registry: &Registry, tag: &str| {
        let answer = registry.get(&format!("/v2/hub/a/manifests/{tag}"));
        (answer.status == 200).then(|| digest_of(Algorithm::Sha256, &answer.body))
    };
    assert_eq!((digest(&trusting, "v"), digest(&asking, "v")), (Some(first), Some(first)));
    let second = upstream.put_image("a", "v", b"second");
    upstream.put_image("a", "w", b"second");
    assert_eq!((digest(&trusting, "v"), digest(&asking, "v")), (Some(first), Some(second)));
    assert_eq!(digest(&asking, "w"), Some(second));
    // What its owner has taken back is gone.
    upstream.delete("/v2/a/manifests/w");
    assert_eq!(digest(&asking, "w"), None);
    upstream.server.take().unwrap().stop();
    assert_eq!((digest(&trusting, "v"), digest(&asking, "v")), (Some(first), Some(second)));
    assert_eq!((digest(&trusting, "none"), digest(&asking, "w")), (None, None));
    assert_eq!(asking.figure("registry_cache_stale_total"), 1);
    assert_eq!(asking.get("/v2/hub/a/manifests/none").status, 504);
    assert_eq!(asking.get("/v2/hub/a/tags/list").text(), r#"{"name":"hub/a","tags":["v"]}"#);
    assert!(asking.faults.lock().unwrap().iter().any(|it| it.contains("is left alone")));
}

#[test]
fn lists_are_those_of_the_other_registry() {
    let upstream = Registry::new();
    let subject = upstream.put_image("a", "b", b"layer");
    upstream.put_image("a", "a", b"layer");
    let config = upstream.put_blob("a", b"{}");
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let more = format!(
        r#","artifactType":"text/x","subject":{{"mediaType":"{kind}","digest":"{subject}","size":5}}"#
    );
    let referrer = manifest(&config, &[], &more);
    let digest = digest_of(Algorithm::Sha256, referrer.as_bytes());
    assert_eq!(upstream.put_manifest("a", &digest.to_string(), &referrer).status, 201);
    let registry = copy_of(upstream.address, FOR_EVER);
    assert_eq!(registry.get("/v2/hub/a/tags/list").text(), r#"{"name":"hub/a","tags":["a","b"]}"#);
    let page = registry.get("/v2/hub/a/tags/list?n=1");
    assert_eq!(page.text(), r#"{"name":"hub/a","tags":["a"]}"#);
    assert!(page.header("link").unwrap().contains("/v2/hub/a/tags/list?n=1&last=a"));
    let found = registry.get(&format!("/v2/hub/a/referrers/{subject}")).text();
    assert!(found.contains(&digest.to_string()), "{found}");
    let none = registry.get(&format!("/v2/hub/a/referrers/{subject}?artifactType=text/y")).text();
    assert!(!none.contains(&digest.to_string()), "{none}");
    assert_eq!(registry.get("/v2/hub/none/tags/list").status, 404);
}

#[test]
fn nothing_is_pushed_through_a_copy() {
    let upstream = Registry::new();
    let registry = copy_of(upstream.address, FOR_EVER);
    let refused = |method: &str, path: &str| {
        let answer = registry.send(method, path, &[], b"x");
        assert_eq!((answer.status, &*answer.code()), (405, "UNSUPPORTED"), "{method} {path}");
    };
    refused("POST", "/v2/hub/a/blobs/uploads/");
    refused("PUT", "/v2/hub/a/manifests/v");
    refused("PUT", "/v2/hub/a/blobs/uploads/00000000-0000-4000-8000-000000000000");
    // What is its own is not asked for elsewhere; `hub` itself is no repository below `hub`.
    for name in ["own/a", "hub", "hubs/a"] {
        registry.put_image(name, "v", b"layer");
        assert_eq!(registry.get(&format!("/v2/{name}/manifests/v")).status, 200, "{name}");
    }
    assert_eq!(upstream.count("GET", "base", 200), 0);
    // Copies are taken away like everything else, and come back.
    upstream.put_image("a", "v", b"layer");
    assert_eq!(registry.get("/v2/hub/a/manifests/v").status, 200);
    registry.delete("/v2/hub/a/manifests/v");
    assert_eq!(registry.get("/v2/hub/a/manifests/v").status, 200);
}

#[test]
fn copies_that_nobody_asks_for_go_with_all_that_they_need() {
    let upstream = Registry::new();
    let digest = upstream.put_image("a", "v", b"layer");
    let registry = copy_of(upstream.address, FOR_EVER);
    registry.put_image("own", "v", b"own layer");
    let layer = digest_of(Algorithm::Sha256, b"layer");
    assert_eq!(registry.get("/v2/hub/a/manifests/v").status, 200);
    assert_eq!(registry.get(&format!("/v2/hub/a/blobs/{layer}")).status, 200);
    let content = registry.content().len();
    registry.age(10 * 24 * 60 * 60);
    // Somebody has asked for it: with its tag it stays, with its layer.
    assert_eq!(registry.get("/v2/hub/a/manifests/v").status, 200);
    registry.collect(Some(24 * 60 * 60));
    assert_eq!(registry.content().len(), content);
    registry.age(10 * 24 * 60 * 60);
    registry.collect(Some(24 * 60 * 60));
    let left = registry.content();
    assert!(!left.contains(&digest.hex()) && !left.contains(&layer.hex()), "{left:?}");
    assert_eq!(registry.get("/v2/own/manifests/v").status, 200);
    assert!(!registry.root().join("repositories/hub+a").exists());
    assert_eq!(registry.get("/v2/hub/a/manifests/v").status, 200);
}

/// A registry that would ask itself for ever.
#[test]
fn a_copy_of_itself_is_noticed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let registry = Registry::with(|config| {
        config.listen.clear();
        config.inherited = vec![listener];
        config.caching = Some(caching(address, "", FOR_EVER));
    });
    let answer = registry.get("/v2/a/manifests/v");
    assert_eq!(answer.status, 504, "{}", answer.text());
    let faults = registry.faults.lock().unwrap();
    assert!(faults.iter().any(|it| it.contains("answers 508")), "{faults:?}");
}

/// Answers each request as `answer` says: the text of a whole answer, in parts; between two of them it is waited.
fn fake(answer: impl Fn(&str, &mut dyn FnMut(&[u8])) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (answer, mut stream) = (answer.clone(), stream.unwrap());
            std::thread::spawn(move || {
                let mut line = String::new();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                if reader.read_line(&mut line).unwrap_or(0) == 0 || !line.contains("HTTP/") {
                    return;
                }
                let mut header = String::new();
                while reader.read_line(&mut header).unwrap_or(0) > 2 {
                    header.clear();
                }
                answer(line.trim(), &mut |part| {
                    let _ = stream.write_all(part);
                });
            });
        }
    });
    address
}

fn head(status: &str, more: &str, length: usize) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nConnection: close\r\n{more}Content-Length: {length}\r\n\r\n")
        .into()
}

#[test]
fn a_blob_is_read_while_it_arrives() {
    let content = vec![7_u8; 1 << 20];
    let digest = digest_of(Algorithm::Sha256, &content);
    let (go, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let sent = content.clone();
    let address = fake(move |line, send| {
        match line.split(' ').next() {
            Some("GET") if line.contains("/blobs/") => {
                send(&head("200 OK", "", sent.len()));
                send(&sent[..sent.len() / 2]);
                let _ = wait.lock().unwrap().recv();
                send(&sent[sent.len() / 2..]);
            }
            Some("HEAD") if line.contains("/blobs/") => send(&head("200 OK", "", sent.len())),
            _ => send(&head("200 OK", "", 0)),
        };
    });
    let registry = copy_of(address, FOR_EVER);
    let mut streams: Vec<TcpStream> = (0..3).map(|_| registry.connect()).collect();
    for (number, stream) in streams.iter_mut().enumerate() {
        let range = if number == 2 { "Range: bytes=1000000-\r\n" } else { "" };
        let get = format!("GET /v2/hub/a/blobs/{digest} HTTP/1.1\r\nHost: x\r\n{range}\r\n");
        stream.write_all(get.as_bytes()).unwrap();
    }
    for stream in &mut streams[..2] {
        let mut half = vec![0; content.len() / 2];
        stream.read_exact(&mut half).unwrap();
        assert!(half.ends_with(&[7; 1000]));
    }
    assert!(registry.content().is_empty(), "it has no name before it is whole");
    drop(go);
    let mut rest = Vec::new();
    let range = Answer::read(&mut streams[2], false);
    assert_eq!((range.status, range.body.len()), (206, content.len() - 1_000_000));
    for stream in &mut streams[..2] {
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        rest.clear();
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.len() >= content.len() / 2 && rest.ends_with(&[7; 1000]), "{}", rest.len());
    }
    assert_eq!(registry.content(), [digest.hex()]);
}

/// Whatever the other registry sends: no client gets content of another digest to its end, and nothing is kept.
#[test]
fn wrong_content_is_neither_kept_nor_given_out_whole() {
    let content = vec![7_u8; 300_000];
    let digest = digest_of(Algorithm::Sha256, &content);
    let mut flipped = content.clone();
    flipped[299_999] ^= 1;
    let odd = digest_of(Algorithm::Sha256, b"no such content");
    for (sent, announced) in
        [(flipped, content.len()), (content[..200_000].to_vec(), content.len())]
    {
        let address = fake(move |line, send| match line.split(' ').next() {
            Some("HEAD") => send(&head("200 OK", "", announced)),
            Some("GET") if line.contains("/blobs/") => {
                send(&head("200 OK", "", announced));
                send(&sent);
            }
            Some("GET") if line.contains("/manifests/") => {
                send(&head("200 OK", "Content-Type: application/json\r\n", 2));
                send(b"{}");
            }
            _ => send(&head("200 OK", "", 0)),
        });
        let registry = copy_of(address, FOR_EVER);
        let mut stream = registry.connect();
        let get = format!("GET /v2/hub/a/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n");
        stream.write_all(get.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        assert!(answer.len() - end < content.len(), "{}", answer.len());
        assert_eq!(registry.get(&format!("/v2/hub/a/manifests/{digest}")).status, 502);
        // Nor is an empty answer the content of whatever was asked for.
        let nothing = fake(|_, send| send(&head("200 OK", "", 0)));
        let empty = copy_of(nothing, FOR_EVER);
        assert_eq!(empty.get(&format!("/v2/hub/a/blobs/{odd}")).status, 404);
        let none = digest_of(Algorithm::Sha256, b"");
        assert_eq!(empty.get(&format!("/v2/hub/a/blobs/{none}")).status, 200);
        assert!(registry.content().is_empty());
        let staging = std::fs::read_dir(registry.root().join("staging")).unwrap().count();
        assert_eq!(staging, 0);
    }
}

#[test]
fn a_limit_of_the_other_registry_is_passed_on() {
    let asked = Arc::new(AtomicU32::new(0));
    let counted = asked.clone();
    let address = fake(move |line, send| match line.contains("/manifests/") {
        true => {
            counted.fetch_add(1, Ordering::SeqCst);
            send(&head("429 Too Many Requests", "Retry-After: 1000\r\n", 0));
        }
        false => send(&head("200 OK", "", 0)),
    });
    let registry = copy_of(address, FOR_EVER);
    for _ in 0..5 {
        let answer = registry.get("/v2/hub/a/manifests/v");
        assert_eq!((answer.status, &*answer.code()), (429, "TOOMANYREQUESTS"));
        assert_eq!(answer.header("retry-after"), Some("1000"));
    }
    // Nobody asks again before it is time.
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn two_registries_for_one_name_are_refused() {
    let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let start = |change: &dyn Fn(&mut Caching)| {
        let place = super::Place::new();
        let mut config = Config::new(place.0.join("registry"));
        let mut caching = caching(address, "hub", FOR_EVER);
        change(&mut caching);
        config.caching = Some(caching);
        crate::Server::start(&config).err().map(|error| error.to_string())
    };
    assert_eq!(start(&|_| {}), None);
    let twice = start(&|it| it.upstreams.push(it.upstreams[0].clone()));
    assert!(twice.unwrap().contains("two registries"));
    for (prefix, place) in [
        ("../x", "r.example"),
        ("Hub", "r.example"),
        ("hub", "nohost"),
        ("hub", "r.example:1/../x"),
    ] {
        let refused = start(&|it| {
            it.upstreams[0].prefix = prefix.into();
            it.upstreams[0].place = place.into();
        });
        assert!(refused.is_some(), "{prefix} {place}");
    }
}
