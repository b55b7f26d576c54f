//! Uploads whose requests go to one server and another, as what balances between them likes.

use super::bucket::Store;
use super::{Registry, digest_of, files};
use crate::bucket::{Objects, Only};
use crate::storage::Quota;
use oci::Algorithm;
use std::io::Write;
use std::time::{Duration, Instant};

/// What a test waits for at most.
const LIMIT: Duration = Duration::from_secs(120);

fn content(length: usize) -> Vec<u8> {
    (0..length as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn patch(server: &Registry, place: &str, begin: usize, piece: &[u8]) -> u16 {
    let range = format!("{begin}-{}", begin + piece.len() - 1);
    server.send("PATCH", place, &[("Content-Range", &range)], piece).status
}

/// What a server says of how much there is.
fn range(server: &Registry, place: &str) -> (u16, String) {
    let answer = server.get(place);
    (answer.status, answer.header("range").unwrap_or_default().to_owned())
}

/// Nothing is left in the bucket but what the registry is made of.
fn assert_clean(store: &Store) {
    let left = Objects::new(&store.bucket()).unwrap().list("passed", None).unwrap();
    assert_eq!(left, []);
}

#[test]
fn an_upload_goes_on_at_any_server() {
    let Some(store) = Store::start("an_upload_goes_on_at_any_server") else { return };
    let servers = [(); 3].map(|()| store.server(|_| {}));
    let [first, second, third] = &servers;
    // One piece is larger than what is sent at once, and than what is read at once.
    let layer = content((40 << 20) + 11);
    let cuts = [0, 5 << 20, 39 << 20, layer.len()];
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let place = first.begin("team/app");
        for (number, cut) in cuts.windows(2).enumerate() {
            let server = &servers[(number + 1) % 3];
            assert_eq!(patch(server, &place, cut[0], &layer[cut[0]..cut[1]]), 202);
            for server in &servers {
                assert_eq!(range(server, &place), (204, format!("0-{}", cut[1] - 1)));
            }
        }
        // A chunk out of order is refused by every one.
        assert_eq!(patch(second, &place, 7, b"x"), 416);
        let digest = digest_of(algorithm, &layer);
        assert_eq!(third.send("PUT", &format!("{place}?digest={digest}"), &[], b"").status, 201);
        assert!(first.get(&format!("/v2/team/app/blobs/{digest}")).body == layer);
        for server in &servers {
            assert_eq!(server.get(&place).status, 404);
        }
    }
    // As most clients do it: all content in one request, and the end at another server.
    let layer = content(33 << 20);
    let place = second.begin("team/app");
    assert_eq!(first.send("PATCH", &place, &[], &layer).status, 202);
    let digest = digest_of(Algorithm::Sha256, &layer);
    assert_eq!(third.send("PUT", &format!("{place}?digest={digest}"), &[], b"").status, 201);
    assert!(second.get(&format!("/v2/team/app/blobs/{digest}")).body == layer);
    // The last chunk comes with the end, and what is wrong is refused.
    let place = second.begin("team/app");
    assert_eq!(first.send("PATCH", &place, &[], b"some").status, 202);
    let digest = digest_of(Algorithm::Sha256, b"some content");
    let path = format!("{place}?digest={digest}");
    assert_eq!(third.send("PUT", &path, &[], b" content").status, 201);
    let place = second.begin("team/app");
    assert_eq!(first.send("PATCH", &place, &[], b"other").status, 202);
    assert_eq!(third.send("PUT", &format!("{place}?digest={digest}"), &[], b"").status, 400);
    assert_eq!(first.get(&place).status, 404);
    // One that is given up, by somebody who knows of which repository it is.
    let place = first.begin("team/app");
    assert_eq!(second.send("PATCH", &place, &[], b"x").status, 202);
    let other = place.replace("team/app", "team/other");
    assert_eq!(third.send("DELETE", &other, &[], b"").status, 404);
    assert_eq!(third.send("DELETE", &place, &[], b"").status, 204);
    assert_eq!(second.send("PATCH", &place, &[], b"y").status, 404);
    assert_clean(&store);
    for server in &servers {
        assert_eq!(*server.faults.lock().unwrap(), Vec::<String>::new());
    }
}

#[test]
fn an_object_is_copied_within_its_bucket() {
    let Some(store) = Store::start("an_object_is_copied_within_its_bucket") else { return };
    for path_style in [true, false] {
        let mut bucket = store.bucket();
        if !path_style {
            bucket.endpoint = bucket.endpoint.replace("127.0.0.1", "localhost");
        }
        bucket.path_style = path_style;
        let objects = Objects::new(&bucket).unwrap();
        objects.put("passed/some/0", b"content", &Only::Always).unwrap();
        objects.copy("passed/some/0", "blobs/x").unwrap();
        assert_eq!(objects.get("blobs/x", None, 100).unwrap().unwrap().0, b"content");
        let missing = objects.copy("passed/some/1", "blobs/x").unwrap_err().to_string();
        assert!(missing.contains("NoSuchKey"), "{missing}");
        objects.delete("passed/some/0").unwrap();
        objects.delete("blobs/x").unwrap();
    }
}

#[test]
fn what_a_request_that_broke_off_had_sent_is_seen_by_all_servers() {
    const TEST: &str = "what_a_request_that_broke_off_had_sent_is_seen_by_all_servers";
    let Some(store) = Store::start(TEST) else { return };
    let (first, second) = (store.server(|_| {}), store.server(|_| {}));
    let layer = content(3 << 20);
    let place = first.begin("a");
    let head =
        format!("PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", layer.len());
    let mut stream = first.connect();
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&layer[..2 << 20]).unwrap();
    let began = Instant::now();
    while range(&first, &place).1 != format!("0-{}", (2 << 20) - 1) {
        assert!(began.elapsed() < LIMIT, "it does not arrive");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(stream);
    let began = Instant::now();
    while range(&second, &place).1 != format!("0-{}", (2 << 20) - 1) {
        assert!(began.elapsed() < LIMIT, "it is not passed on");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(patch(&second, &place, 2 << 20, &layer[2 << 20..]), 202);
    let digest = digest_of(Algorithm::Sha256, &layer);
    assert_eq!(first.send("PUT", &format!("{place}?digest={digest}"), &[], b"").status, 201);
    assert!(second.get(&format!("/v2/a/blobs/{digest}")).body == layer);
    assert_clean(&store);
}

/// Whatever a client sends to two servers at one moment, a digest stays that of its content.
#[test]
fn two_servers_that_take_different_content_for_one_upload_agree_on_one() {
    const TEST: &str = "two_servers_that_take_different_content_for_one_upload_agree_on_one";
    let Some(store) = Store::start(TEST) else { return };
    let servers = [store.server(|_| {}), store.server(|_| {})];
    for round in 0..6 {
        let place = servers[0].begin("a");
        let texts = [format!("one {round}"), format!("another {round}")];
        std::thread::scope(|scope| {
            for (server, text) in servers.iter().zip(&texts) {
                let place = &place;
                scope.spawn(move || server.send("PATCH", place, &[], text.as_bytes()));
            }
        });
        // Both or one after the other, as it happened: all servers have the same.
        let (one, other) = (range(&servers[0], &place), range(&servers[1], &place));
        assert_eq!(one, other);
        let both = [&texts[0], &texts[1], &texts.concat(), &(texts[1].clone() + &texts[0])]
            .map(String::clone);
        let length: usize = one.1.rsplit('-').next().unwrap().parse::<usize>().unwrap() + 1;
        let mut ended = Vec::new();
        for text in both.iter().filter(|text| text.len() == length) {
            let digest = digest_of(Algorithm::Sha256, text.as_bytes());
            let path = format!("{place}?digest={digest}");
            ended.push(servers[round % 2].send("PUT", &path, &[], b"").status);
            let got = servers[0].get(&format!("/v2/a/blobs/{digest}"));
            assert!(got.status == 404 || got.body == text.as_bytes());
        }
        assert!(!ended.is_empty());
    }
    assert_clean(&store);
    let checked = servers[0].server.as_ref().unwrap().registry.storage.check(false).unwrap();
    assert_eq!(checked.problems, []);
}

#[test]
fn a_server_that_is_started_again_goes_on_with_what_all_see() {
    const TEST: &str = "a_server_that_is_started_again_goes_on_with_what_all_see";
    let Some(store) = Store::start(TEST) else { return };
    let place = std::sync::Arc::new(super::Place::new());
    let start = || {
        Registry::at(place.clone(), |config| {
            config.bucket = Some(store.bucket());
            config.collect = None;
        })
    };
    let (first, second) = (start(), store.server(|_| {}));
    let upload = first.begin("a");
    assert_eq!(patch(&first, &upload, 0, b"begin "), 202);
    drop(first);
    // Another one goes on while it is away.
    assert_eq!(patch(&second, &upload, 6, b"middle "), 202);
    let first = start();
    assert_eq!(range(&first, &upload), (204, "0-12".into()));
    assert_eq!(patch(&first, &upload, 13, b"end"), 202);
    let digest = digest_of(Algorithm::Sha256, b"begin middle end");
    assert_eq!(second.send("PUT", &format!("{upload}?digest={digest}"), &[], b"").status, 201);
    // What is left on a disk goes when nobody has used it for a while, and at once if others have ended it.
    let other = second.begin("a");
    assert_eq!(second.send("PATCH", &other, &[], b"more").status, 202);
    for (server, left) in [(&first, 2), (&second, 2)] {
        let uploads = &server.server.as_ref().unwrap().registry.uploads;
        let count =
            || files(&server.root()).iter().filter(|it| it.0.starts_with("uploads/")).count();
        assert_eq!((count(), uploads.leave_passed().unwrap()), (left, 0));
        server.age(100);
        assert_eq!((uploads.leave_passed().unwrap(), count(), uploads.count()), (1, 0, 0));
    }
    // It goes on all the same, and is given up when nobody does so.
    assert_eq!(range(&second, &other), (204, "0-3".into()));
    let uploads = &first.server.as_ref().unwrap().registry.uploads;
    assert_eq!(uploads.purge(Duration::from_secs(1000)).unwrap(), 0);
    std::thread::sleep(Duration::from_millis(2100));
    assert_eq!(uploads.purge(Duration::ZERO).unwrap(), 1);
    assert_eq!(second.get(&other).status, 404);
    assert_clean(&store);
}

#[test]
fn limits_hold_for_what_another_server_has_taken() {
    let Some(store) = Store::start("limits_hold_for_what_another_server_has_taken") else { return };
    let quota = || vec![Quota { prefix: None, bytes: 100 }];
    let servers = [(); 2].map(|()| store.server(|config| config.quotas = quota()));
    let place = servers[0].begin("a");
    assert_eq!(patch(&servers[0], &place, 0, &[b'x'; 60]), 202);
    assert_eq!(patch(&servers[1], &place, 60, &[b'x'; 60]), 403);
    let digest = digest_of(Algorithm::Sha256, &[b'x'; 60]);
    assert_eq!(servers[0].get(&place).status, 404);
    assert_eq!(servers[1].get(&format!("/v2/a/blobs/{digest}")).status, 404);
    assert_clean(&store);
}
