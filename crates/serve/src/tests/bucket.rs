//! Registries in a bucket: of moto, which keeps objects in memory and looks at signatures.

use super::{Answer, Place, Registry, digest_of, manifest};
use crate::bucket::{Objects, Only};
use crate::{Bucket, Config, Credentials, Keeping};
use oci::{Algorithm, Digest};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Names the program of moto's server: 5.2.5 or later, as others look at signatures in another way.
const PROGRAM: &str = "TARE_TEST_MOTO";
const START_LIMIT: Duration = Duration::from_secs(120);

/// A store of objects, which ends with the test.
pub(super) struct Store {
    child: Child,
    port: u16,
    credentials: Credentials,
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Store {
    /// Starts one with a bucket, and a user who may do everything with it. `None`: it is not installed.
    pub(super) fn start(test: &str) -> Option<Self> {
        // Signatures are looked at from the fifth request on: those below are the first four.
        Self::start_looking_from(test, 4)
    }

    pub(super) fn start_looking_from(test: &str, requests: u32) -> Option<Self> {
        let Some(program) = std::env::var_os(PROGRAM) else {
            skips::skip(test, &format!("{PROGRAM} names no moto_server"));
            return None;
        };
        let port = skips::free_port();
        let started = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .env("INITIAL_NO_AUTH_ACTION_COUNT", requests.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = started.expect("starting moto_server");
        let credentials = Credentials { id: String::new(), secret: String::new(), token: None };
        let mut store = Self { child, port, credentials };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < START_LIMIT, "moto_server does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        let policy = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A%22s3%3A*%22%2C%22Resource%22%3A%22*%22%7D%5D%7D";
        store.ask("POST", "/", "iam", "Action=CreateUser&UserName=u");
        let key = store.ask("POST", "/", "iam", "Action=CreateAccessKey&UserName=u");
        let put = format!("Action=PutUserPolicy&UserName=u&PolicyName=p&PolicyDocument={policy}");
        store.ask("POST", "/", "iam", &put);
        store.ask("PUT", "/images", "s3", "");
        let value = |name: &str| {
            let (_, rest) = key.split_once(&format!("<{name}>")).expect("a key");
            rest.split('<').next().unwrap().to_owned()
        };
        (store.credentials.id, store.credentials.secret) =
            (value("AccessKeyId"), value("SecretAccessKey"));
        Some(store)
    }

    fn ask(&self, method: &str, path: &str, service: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let text =
            if body.is_empty() { String::new() } else { format!("{body}&Version=2010-05-08") };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\nAuthorization: AWS4-HMAC-SHA256 Credential=x/20200101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{text}",
            self.port,
            text.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    pub(super) fn bucket(&self) -> Bucket {
        let credentials = self.credentials.clone();
        Bucket {
            endpoint: format!("http://127.0.0.1:{}", self.port),
            region: "us-east-1".into(),
            name: "images".into(),
            prefix: "some/registry".into(),
            path_style: true,
            redirect: false,
            keys: Arc::new(move || Ok(credentials.clone())),
            authorities: Vec::new(),
        }
    }

    /// A server of the registry in the bucket.
    pub(super) fn server(&self, change: impl FnOnce(&mut Config)) -> Registry {
        Registry::with(|config| {
            config.bucket = Some(self.bucket());
            config.collect = None;
            change(config);
        })
    }
}

#[test]
fn servers_share_a_bucket() {
    let Some(store) = Store::start("servers_share_a_bucket") else { return };
    let (first, second) = (store.server(|_| {}), store.server(|_| {}));
    // Larger than one part, and than the pieces in which it is read.
    let layer: Vec<u8> =
        (0..70_u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let digest = first.put_image("team/app", "v1", &layer);
    let layer_digest = digest_of(Algorithm::Sha256, &layer);
    let path = format!("/v2/team/app/blobs/{layer_digest}");
    let got = second.get(&path);
    assert!(got.status == 200 && got.body == layer, "{} {}", got.status, got.body.len());
    let range = second.send("GET", &path, &[("Range", "bytes=33554430-33554435")], b"");
    assert_eq!((range.status, &range.body[..]), (206, &layer[33_554_430..=33_554_435]));
    let range = second.send("GET", &path, &[("Range", "bytes=0-9,33554430-33554435")], b"");
    assert_eq!(range.status, 206);
    assert!(range.body.windows(6).any(|it| *it == layer[33_554_430..=33_554_435]));
    let found = second.get("/v2/team/app/manifests/v1");
    assert_eq!(digest_of(Algorithm::Sha256, &found.body), digest);
    assert_eq!(second.get("/v2/_catalog").text(), r#"{"repositories":["team/app"]}"#);
    assert_eq!(second.get("/v2/team/app/tags/list").text(), r#"{"name":"team/app","tags":["v1"]}"#);
    assert_eq!(first.get(&format!("/v2/other/blobs/{layer_digest}")).status, 404);
    // A mount, a referrer, and what is taken away, each at the other server.
    let mount = format!("/v2/team/second/blobs/uploads/?mount={layer_digest}&from=team/app");
    assert_eq!(second.send("POST", &mount, &[], b"").status, 201);
    assert_eq!(first.send("HEAD", &path.replace("app", "second"), &[], b"").status, 200);
    let config = second.put_blob("team/app", b"{}");
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let subject = format!(r#","subject":{{"mediaType":"{kind}","digest":"{digest}","size":1}}"#);
    assert_eq!(
        second.put_manifest("team/app", "sig", &manifest(&config, &[], &subject)).status,
        201
    );
    let referrers = format!("/v2/team/app/referrers/{digest}");
    assert_eq!(first.get(&referrers).text().matches("sha256:").count(), 1);
    first.delete("/v2/team/app/manifests/v1");
    assert_eq!(second.get("/v2/team/app/manifests/v1").status, 404);
    second.delete(&format!("/v2/team/app/manifests/{digest}"));
    assert_eq!(first.get(&format!("/v2/team/app/manifests/{digest}")).status, 404);
    // The same bucket as a part of the host's name.
    let third = store.server(|config| {
        let bucket = config.bucket.as_mut().unwrap();
        bucket.endpoint = format!("http://localhost:{}", store.port);
        bucket.path_style = false;
    });
    assert_eq!(third.get("/v2/team/app/tags/list").text(), r#"{"name":"team/app","tags":["sig"]}"#);
    // Nothing of it is on the servers' own disks.
    for server in [&first, &second] {
        let left = super::files(&server.root());
        assert_eq!(left.iter().map(|it| &*it.0).collect::<Vec<_>>(), ["lock"]);
        assert!(server.faults.lock().unwrap().is_empty());
    }
}

#[test]
fn clients_are_sent_to_the_bucket_when_that_is_wanted() {
    // Addresses that say who signed them are not understood by it otherwise.
    const TEST: &str = "clients_are_sent_to_the_bucket_when_that_is_wanted";
    let Some(store) = Store::start_looking_from(TEST, u32::MAX) else { return };
    let server = store.server(|config| {
        config.bucket.as_mut().unwrap().redirect = true;
    });
    let digest = server.put_blob("a", b"some content");
    let path = format!("/v2/a/blobs/{digest}");
    assert_eq!(server.send("HEAD", &path, &[], b"").status, 200);
    let answer = server.get(&path);
    assert_eq!(answer.status, 307);
    let address = answer.header("location").unwrap();
    assert!(!address.contains(&store.credentials.secret));
    let host = format!("127.0.0.1:{}", store.port);
    let place = address.strip_prefix(&format!("http://{host}")).unwrap();
    let fetch = |place: &str| {
        let mut stream = TcpStream::connect(&host).unwrap();
        let get = format!("GET {place} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(get.as_bytes()).unwrap();
        let answer = Answer::read(&mut stream, false);
        (answer.status, answer.body)
    };
    assert_eq!(fetch(place), (200, b"some content".to_vec()));
    assert_eq!(server.get(&format!("/v2/b/blobs/{digest}")).status, 404);
}

#[test]
fn a_key_that_is_wrong_is_told_to_the_operator_and_not_shown() {
    let Some(store) = Store::start("a_key_that_is_wrong_is_told_to_the_operator_and_not_shown")
    else {
        return;
    };
    let place = Place::new();
    let mut config = Config::new(place.0.join("registry"));
    let mut bucket = store.bucket();
    let wrong = Credentials { secret: "no-such-key".into(), ..store.credentials.clone() };
    bucket.keys = Arc::new(move || Ok(wrong.clone()));
    config.bucket = Some(bucket);
    let Err(error) = crate::Server::start(&config) else { panic!("it started") };
    let text = error.to_string();
    assert!(text.contains("SignatureDoesNotMatch") && !text.contains("no-such-key"), "{text}");
}

/// A tag on a condition is given at one server when the condition holds at all of them.
#[test]
fn conditions_hold_between_servers() {
    let Some(store) = Store::start("conditions_hold_between_servers") else { return };
    let servers = [store.server(|_| {}), store.server(|_| {})];
    let config = servers[0].put_blob("a", b"{}");
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let put = |number: usize, condition: (&str, &str)| {
        let text = manifest(&config, &[], &format!(r#","annotations":{{"n":"{number}"}}"#));
        let headers = [("Content-Type", kind), condition];
        let server = &servers[number % 2];
        let status = server.send("PUT", "/v2/a/manifests/v", &headers, text.as_bytes()).status;
        (status, digest_of(Algorithm::Sha256, text.as_bytes()))
    };
    // One after the other: the store of the test looks and writes in two steps, unlike real ones.
    let all = |condition: (&str, &str)| -> Vec<Digest> {
        let done = (0..6).map(|number| put(number, condition));
        done.filter_map(|(status, digest)| {
            assert!(status == 201 || status == 412, "{status}");
            (status == 201).then_some(digest)
        })
        .collect()
    };
    let first = all(("If-None-Match", "*"));
    assert_eq!(first.len(), 1);
    let second = put(1, ("If-Match", &format!("\"{}\"", first[0])));
    assert_eq!(second.0, 201);
    assert_eq!(all(("If-Match", &format!("\"{}\"", first[0]))), []);
    let now = servers[0].get("/v2/a/manifests/v");
    assert_eq!(digest_of(Algorithm::Sha256, &now.body), second.1);
    // What is asked of the store itself, which another server may have changed since we looked.
    let objects = Objects::new(&store.bucket()).unwrap();
    let tag = "repositories/a/tags/v";
    let (_, version) = objects.get(tag, None, 1000).unwrap().unwrap();
    assert!(!objects.put(tag, b"x", &Only::Absent).unwrap());
    assert!(!objects.put(tag, b"x", &Only::Is("\"0\"".into())).unwrap());
    assert!(objects.put(tag, b"x", &Only::Is(version)).unwrap());
    assert!(!objects.put("none", b"x", &Only::Is("\"0\"".into())).unwrap());
}

/// Puts an image, finds it, and deletes it.
fn come_and_go(server: &Registry, name: &str, layer: &str) {
    let digest = server.put_image(name, "v", layer.as_bytes());
    let layer = digest_of(Algorithm::Sha256, layer.as_bytes());
    for path in [format!("/v2/{name}/manifests/v"), format!("/v2/{name}/blobs/{layer}")] {
        assert_eq!(server.get(&path).status, 200, "{path}");
    }
    server.delete(&format!("/v2/{name}/manifests/{digest}"));
    server.delete(&format!("/v2/{name}/blobs/{layer}"));
}

/// Two servers take images and delete them, all with the same content, while both collect what has no entry.
#[test]
fn collectors_of_several_servers_remove_nothing_that_is_needed() {
    let Some(store) = Store::start("collectors_of_several_servers_remove_nothing_that_is_needed")
    else {
        return;
    };
    let keeping = || Keeping { lease: Duration::from_secs(4), ..Keeping::default() };
    let servers = [(); 2].map(|()| store.server(|config| config.keeping = keeping()));
    /// A busy machine needs longer for as many images.
    const LIMIT: Duration = Duration::from_secs(300);
    let (over, removed) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let collectors = scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                let blobs = servers.iter().map(|server| server.collect(None).blobs).sum::<u64>();
                removed.fetch_add(blobs, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let clients: Vec<_> = servers
            .iter()
            .enumerate()
            .map(|(number, server)| {
                let removed = &removed;
                scope.spawn(move || {
                    let began = Instant::now();
                    let name = format!("team/{number}");
                    let mut count = 0;
                    let is_enough = |count: usize| count > 5 && removed.load(Ordering::SeqCst) > 0;
                    while began.elapsed() < Duration::from_secs(12)
                        || !is_enough(count) && began.elapsed() < LIMIT
                    {
                        come_and_go(server, &name, &format!("layer {}", count % 2));
                        count += 1;
                        // Now and then it is old enough to go.
                        if count % 5 == 0 {
                            std::thread::sleep(Duration::from_secs(5));
                        }
                    }
                    count
                })
            })
            .collect();
        let images: usize = clients.into_iter().map(|it| it.join().unwrap()).sum();
        over.store(true, Ordering::SeqCst);
        collectors.join().unwrap();
        let removed = removed.load(Ordering::SeqCst);
        assert!(images > 10 && removed > 0, "{images} images, {removed} removed");
    });
    let faults = servers.iter().map(|server| server.faults.lock().unwrap().len());
    assert_eq!(faults.sum::<usize>(), 0);
    servers[0].put_image("team/0", "v", b"layer 0");
    let checked = servers[0].server.as_ref().unwrap().registry.storage.check(false).unwrap();
    assert_eq!(checked.problems, []);
    std::thread::sleep(Duration::from_secs(5));
    let digest = digest_of(Algorithm::Sha256, b"{}");
    for _ in 0..2 {
        servers[1].collect(None);
    }
    // What an image needs is there, and nothing else: manifest, configuration, layer.
    let checked = servers[1].server.as_ref().unwrap().registry.storage.check(false).unwrap();
    assert_eq!((checked.blobs, checked.problems.len()), (3, 0));
    assert_eq!(servers[0].get(&format!("/v2/team/0/blobs/{digest}")).status, 200);
}

#[test]
fn a_collector_that_was_killed_is_replaced_when_its_time_is_over() {
    let Some(store) = Store::start("a_collector_that_was_killed_is_replaced_when_its_time_is_over")
    else {
        return;
    };
    let server = store.server(|config| config.keeping.lease = Duration::ZERO);
    let digest = server.put_blob("a", b"content");
    server.delete(&format!("/v2/a/blobs/{digest}"));
    std::thread::sleep(Duration::from_millis(2100));
    let objects = Objects::new(&store.bucket()).unwrap();
    let other = |until_s: u64| {
        let text = format!(r#"{{"server":"another","until_s":{until_s}}}"#);
        assert!(objects.put("collector.json", text.as_bytes(), &Only::Always).unwrap());
    };
    other(u64::MAX / 2);
    assert_eq!(server.collect(None).blobs, 0);
    other(1);
    assert_eq!(server.collect(None).blobs, 1);
    assert!(objects.head("collector.json").unwrap().is_none());
    assert!(objects.list("condemned", None).unwrap().is_empty());
}

#[test]
fn names_lead_nowhere_else() {
    let bucket = |change: &dyn Fn(&mut Bucket)| {
        let nobody = || Err("nobody".to_owned());
        let mut bucket = Bucket {
            endpoint: "https://s3.example".into(),
            region: "x".into(),
            name: "images".into(),
            prefix: String::new(),
            path_style: false,
            redirect: false,
            keys: Arc::new(nobody),
            authorities: Vec::new(),
        };
        change(&mut bucket);
        Objects::new(&bucket).map(|objects| format!("{objects:?}"))
    };
    assert_eq!(bucket(&|_| {}).unwrap(), "images.s3.example/images");
    assert!(bucket(&|it| it.prefix = "a/b.c_d".into()).is_ok());
    for prefix in ["..", "a/../b", "/a", "a//b", "a?x", "a b", "%2e"] {
        assert!(bucket(&|it| it.prefix = prefix.into()).is_err(), "{prefix}");
    }
    for name in ["", "..", "a/b", "x?y", "a@b", "../images", "a..b", "UPPER"] {
        assert!(bucket(&|it| it.name = name.into()).is_err(), "{name}");
    }
    for endpoint in [
        "s3.example",
        "ftp://s3.example",
        "https://u:p@s3.example",
        "https://s3.example/x",
        "http://",
    ] {
        assert!(bucket(&|it| it.endpoint = endpoint.into()).is_err(), "{endpoint}");
    }
}

/// A store that is busy is asked again; where it leads is not followed, and its answers have limits.
#[test]
fn odd_answers_of_a_store_end_in_one_sentence() {
    let serve = |answers: Vec<Vec<u8>>| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut buffer = [0; 8192];
                let _ = stream.read(&mut buffer);
                let _ = stream.write_all(&answer);
            }
        });
        let key = Credentials { id: "id".into(), secret: "s".into(), token: Some("t".into()) };
        Objects::new(&Bucket {
            endpoint: format!("http://127.0.0.1:{port}"),
            region: "x".into(),
            name: "images".into(),
            prefix: String::new(),
            path_style: true,
            redirect: false,
            keys: Arc::new(move || Ok(key.clone())),
            authorities: Vec::new(),
        })
        .unwrap()
    };
    let answer = |status: &str, more: &str, body: &str| {
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\n{more}Content-Length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    };
    let busy = || answer("503 Slow Down", "", "<Error><Code>SlowDown</Code></Error>");
    let objects = serve(vec![busy(), busy(), answer("200 OK", "", "content")]);
    assert_eq!(objects.get("x", None, 100).unwrap().unwrap().0, b"content");
    let objects = serve(vec![busy(), busy(), busy(), busy()]);
    let error = objects.get("x", None, 100).unwrap_err().to_string();
    assert!(error.contains("503 SlowDown"), "{error}");
    let elsewhere = "Location: http://127.0.0.1:1/x\r\n";
    let objects = serve(vec![answer("307 Temporary Redirect", elsewhere, "")]);
    let error = objects.get("x", None, 100).unwrap_err().to_string();
    assert!(error.contains("answers 307"), "{error}");
    let large = || answer("200 OK", "", &"x".repeat(101));
    let objects = serve(vec![large(), large(), large(), large()]);
    let error = objects.get("x", None, 100).unwrap_err().to_string();
    assert!(error.contains("more than 100 bytes"), "{error}");
    let objects = serve(vec![answer("200 OK", "", &"x".repeat(10))]);
    assert!(objects.get("x", Some((0, 5)), 100).is_err());
}

/// What the collector of another server does step by step, while clients rely on the same content.
#[test]
fn clients_wait_for_what_becomes_of_content_that_is_being_removed() {
    let Some(store) =
        Store::start("clients_wait_for_what_becomes_of_content_that_is_being_removed")
    else {
        return;
    };
    let server = store.server(|_| {});
    let objects = Objects::new(&store.bucket()).unwrap();
    let image = manifest(&server.put_blob("c", b"{}"), &[], "");
    assert_eq!(server.put_manifest("c", "v", &image).status, 201);
    server.put_blob("a", b"content");
    // Who relies on it, of what content, its status when the content goes and when it stays.
    let digest = digest_of(Algorithm::Sha256, b"content");
    let upload = || {
        let path = format!("/v2/b/blobs/uploads/?digest={digest}");
        server.send("POST", &path, &[], b"content").status
    };
    let mount = || {
        let path = format!("/v2/d/blobs/uploads/?mount={digest}&from=a");
        server.send("POST", &path, &[], b"").status
    };
    let put = || server.put_manifest("c", "w", &image).status;
    let image_digest = digest_of(Algorithm::Sha256, image.as_bytes());
    type Case<'a> = (&'a (dyn Fn() -> u16 + Sync), Digest, [u16; 2]);
    let cases: [Case<'_>; 3] = [
        (&upload, digest, [201, 201]),
        (&put, image_digest, [201, 201]),
        (&mount, digest, [202, 201]),
    ];
    for goes in [true, false] {
        for (rely, digest, statuses) in &cases {
            let marker = format!("condemned/sha256-{}", digest.hex());
            assert!(objects.put(&marker, b"", &Only::Always).unwrap());
            let status = std::thread::scope(|scope| {
                let relying = scope.spawn(rely);
                std::thread::sleep(Duration::from_millis(1500));
                assert!(!relying.is_finished(), "it waits for the collector");
                if goes {
                    let hex = digest.hex();
                    objects.delete(&format!("blobs/sha256/{}/{hex}", &hex[..2])).unwrap();
                }
                objects.delete(&marker).unwrap();
                relying.join().unwrap()
            });
            assert_eq!(status, statuses[usize::from(!goes)], "{digest} {goes}");
            if goes && status == 202 {
                server.put_blob("a", b"content");
            }
        }
    }
    assert_eq!(server.get(&format!("/v2/b/blobs/{digest}")).body, b"content");
    assert_eq!(server.get("/v2/c/manifests/w").body, image.as_bytes());
    assert!(server.faults.lock().unwrap().is_empty());
}

/// What collectors and clients do when they find afterwards that they have crossed each other.
#[test]
fn what_was_taken_from_under_a_new_manifest_is_given_back() {
    let Some(store) = Store::start("what_was_taken_from_under_a_new_manifest_is_given_back") else {
        return;
    };
    let server = store.server(|_| {});
    let image = server.put_image("a", "v", b"layer");
    let layer = digest_of(Algorithm::Sha256, b"layer");
    let storage = &server.server.as_ref().unwrap().registry.storage;
    let name = crate::names::Repository::parse("a").unwrap();
    let objects = Objects::new(&store.bucket()).unwrap();
    let entry = format!("repositories/a/blobs/sha256-{}", layer.hex());
    let record = format!("repositories/a/manifests/sha256-{}", image.hex());
    let has = |key: &str| objects.head(key).unwrap().is_some();
    // The client, whose manifest is there already.
    objects.delete(&entry).unwrap();
    assert_eq!(storage.still_has(&name, &[layer]).unwrap(), None);
    assert!(has(&entry));
    // The collector, which did not know of the manifest; of one that it knew, it keeps the entries anyway.
    let tell = |text: &str| panic!("{text}");
    objects.delete(&entry).unwrap();
    let known = storage.records(&name, &tell).unwrap().unwrap();
    storage.restore_entries(&name, &[layer], &known, &tell).unwrap();
    assert!(!has(&entry));
    storage.restore_entries(&name, &[layer], &Default::default(), &tell).unwrap();
    assert!(has(&entry));
    objects.delete(&record).unwrap();
    storage.restore_manifests(&name, &[image], &known).unwrap();
    assert!(has(&record));
    assert_eq!(server.get("/v2/a/manifests/v").status, 200);
    // When the content has gone, too, the client has to bring it again.
    objects.delete(&entry).unwrap();
    let hex = layer.hex();
    objects.delete(&format!("blobs/sha256/{}/{hex}", &hex[..2])).unwrap();
    assert_eq!(storage.still_has(&name, &[layer]).unwrap(), Some(layer));
    assert_eq!(storage.check(false).unwrap().problems.len(), 1);
}
