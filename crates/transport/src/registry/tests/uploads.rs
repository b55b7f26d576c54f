//! Content that is sent, and what goes wrong with it.

use super::*;

const SIZE: usize = 150_005;

/// How an upload through a fault has to end.
#[derive(Clone, Copy, Debug)]
enum End {
    Right,
    /// With an error that has this in it.
    Wrong(&'static str),
}

use End::{Right, Wrong};

/// Puts content through a fault, known and unknown beforehand.
fn check(
    kind: &str,
    end: End,
    hook: impl Fn(&Asked, &Server) -> Option<Reply> + Send + Sync + Clone + 'static,
) {
    check_by(&Way::Old, kind, end, hook.clone());
    let cuts = [Cut::Reset, Cut::GoAway, Cut::Close].map(|cut| Rules { cut, ..Rules::default() });
    for rules in cuts {
        check_by(&Way::New(rules), kind, end, hook.clone());
    }
}

fn check_by(
    way: &Way,
    kind: &str,
    end: End,
    hook: impl Fn(&Asked, &Server) -> Option<Reply> + Send + Sync + Clone + 'static,
) {
    for known in [true, false] {
        let body = content(SIZE);
        let wanted = descriptor(&body);
        let server = Server::start(hook.clone());
        let (name, options) = way.to(&server);
        let registry = Registry::connect(&name, options).unwrap();
        let put = match known {
            true => registry.put_blob(&wanted, &mut &*body),
            false => registry
                .put_new_blob("application/octet-stream", &mut &*body)
                .map(|found| assert_eq!(found, wanted, "{kind}")),
        };
        match (put, end) {
            (Ok(()), Right) => {
                assert!(read_blob(&registry, &wanted).unwrap() == body, "{kind} {way:?}");
            }
            (Err(error), Wrong(part)) => {
                let text = error.to_string();
                let clean = !text.contains(char::is_control);
                assert!(text.contains(part) && clean, "{kind} {way:?}: {text}");
                assert!(!registry.has_blob(wanted.verifiable().unwrap()).unwrap(), "{kind}");
                // What was begun is ended.
                let log = server.log();
                let ended = log.iter().any(|asked| asked.is("DELETE", "/uploads/"));
                let begun = log.iter().any(|asked| asked.is("PATCH", "/uploads/"));
                assert_eq!(ended, begun, "{kind}");
            }
            (found, _) => panic!("{kind} {way:?}: {found:?}, expected {end:?}"),
        }
        server.stop();
    }
}

/// The second piece, for the first so many times.
fn second(asked: &Asked, times: usize) -> bool {
    asked.is("PATCH", "/uploads/") && (1..=times).contains(&asked.nth)
}

/// As much of a piece arrives.
fn arrives(asked: &Asked, server: &Server, length: usize) -> Reply {
    let mut part = asked.clone();
    part.body.truncate(length);
    server.answer(&part)
}

#[test]
fn every_fault_of_an_upload_ends_in_success_or_in_one_sentence() {
    check("none", Right, |_, _| None);
    for part in [0, 1000, usize::MAX] {
        check("the answer is lost", Right, move |asked, server| {
            second(asked, 1).then(|| {
                arrives(asked, server, part);
                Reply::raw(b"")
            })
        });
        check("500 behind a part", Right, move |asked, server| {
            second(asked, 1).then(|| {
                arrives(asked, server, part);
                Reply::new(500)
            })
        });
    }
    for status in [408, 416, 429, 500, 502, 503, 504] {
        check("a status twice", Right, move |asked, _| {
            second(asked, 2).then(|| Reply::new(status).header("Retry-After", "0"))
        });
    }
    check("429 for hours", Wrong("answers 429"), |asked, _| {
        assert!(!asked.is("PATCH", "/uploads/") || asked.nth <= 1);
        second(asked, 9).then(|| Reply::new(429).header("Retry-After", "7200"))
    });
    check("503 without end", Wrong("answers 503"), |asked, _| {
        second(asked, 99).then(|| Reply::new(503))
    });
    check("resets without end", Wrong("PATCH http"), |asked, _| {
        second(asked, 99).then(|| Reply::raw(b""))
    });
    check("forgotten", Wrong("answers 404 BLOB_UPLOAD_UNKNOWN: gone"), |asked, _| {
        let text = br#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"gone"}]}"#;
        second(asked, 99).then(|| Reply::new(404).body(text))
    });
    check("denied", Wrong("answers 403"), |asked, _| second(asked, 99).then(|| Reply::new(403)));
    check("it cannot say what has arrived", Right, |asked, _| {
        let asks = asked.is("GET", "/uploads/").then(|| Reply::new(405));
        asks.or_else(|| second(asked, 1).then(|| Reply::new(503)))
    });
}

#[test]
fn what_a_registry_says_of_an_upload_is_checked() {
    check("it has more than was sent", Wrong("the registry has 1000000 bytes"), |asked, _| {
        let range = Reply::new(204).header("Range", "0-999999");
        asked
            .is("GET", "/uploads/")
            .then_some(range)
            .or_else(|| second(asked, 1).then(|| Reply::new(503)))
    });
    check("no place to go on", Wrong("does not say where to upload to"), |asked, _| {
        second(asked, 1).then(|| Reply::new(202))
    });
    check("elsewhere", Wrong("the local link"), |asked, _| {
        let away = Reply::new(202).header("Location", "https://169.254.169.254/x");
        second(asked, 1).then_some(away)
    });
    check("redirected", Right, |asked, server| {
        let there = format!("{}?again", asked.path);
        let again = asked.path.ends_with("?again");
        let host = match asked.header("by") {
            "2" => String::new(),
            _ => format!("http://{}", server.host()),
        };
        (second(asked, 1) && !again)
            .then(|| Reply::new(307).header("Location", &format!("{host}{there}")))
    });
    check("the end is lost", Right, |asked, server| {
        (asked.method == "PUT" && asked.nth == 0).then(|| {
            server.answer(asked);
            Reply::raw(b"")
        })
    });
    check("the end fails twice", Right, |asked, _| {
        (asked.method == "PUT" && asked.nth < 2).then(|| Reply::new(502))
    });
    check("the end is refused", Wrong("answers 400 DIGEST_INVALID: no"), |asked, _| {
        let text = br#"{"errors":[{"code":"DIGEST_INVALID","message":"no"}]}"#;
        (asked.method == "PUT").then(|| Reply::new(400).body(text))
    });
    check("it cannot begin", Wrong("begin the upload"), |asked, _| {
        asked.is("POST", "/uploads/").then(|| Reply::new(405))
    });
}

#[test]
fn a_proxy_that_takes_no_large_requests_gets_small_ones() {
    for says_so in [true, false] {
        for size in [500_000, 2_000_000] {
            let body = content(size);
            let wanted = descriptor(&body);
            let server = Server::start(move |asked, _| {
                let refused = if says_so { Reply::new(413) } else { Reply::raw(b"") };
                (asked.body.len() > 300_000).then_some(refused)
            });
            let options = Options { piece_bytes: 1 << 20, ..options() };
            let registry = Registry::connect(&reference(&server, ""), options).unwrap();
            registry.put_blob(&wanted, &mut &*body).unwrap();
            assert!(read_blob(&registry, &wanted).unwrap() == body);
            // It is learned once.
            let refused = server.log().iter().filter(|it| it.body.len() > 300_000).count();
            assert!(refused <= 5 + 2, "{refused}");
            server.stop();
        }
    }
}

#[test]
fn a_registry_may_take_long_for_the_end() {
    let server = Server::start(|asked, server| {
        (asked.method == "PUT").then(|| {
            std::thread::sleep(Duration::from_secs(3));
            server.answer(asked)
        })
    });
    let options = Options { silence: Duration::from_secs(1), ..options() };
    let registry = Registry::connect(&reference(&server, ""), options).unwrap();
    registry.put_blob(&descriptor(b"x"), &mut &b"x"[..]).unwrap();
    assert_eq!(server.log().iter().filter(|it| it.method == "PUT").count(), 1);
    server.stop();
}

#[test]
fn an_upload_whose_content_cannot_be_read_is_ended() {
    /// Content that ends with an error.
    struct Broken(usize);

    impl std::io::Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            match self.0 {
                0 => Err(std::io::Error::other("the disk is on fire")),
                left => {
                    let count = left.min(buffer.len());
                    self.0 -= count;
                    Ok(count)
                }
            }
        }
    }

    let server = Server::start(|_, _| None);
    let error = connect(&server).put_new_blob("x/y", &mut Broken(100_000)).unwrap_err();
    assert!(error.to_string().contains("the disk is on fire"), "{error}");
    let log = server.log();
    assert!(log.iter().any(|asked| asked.method == "PATCH"));
    assert_eq!(log.last().unwrap().method, "DELETE");
    server.stop();
}

#[test]
fn wrong_content_is_not_sent_to_its_end() {
    let server = Server::start(|_, _| None);
    let registry = connect(&server);
    let expected = descriptor(b"right");
    let error = registry.put_blob(&expected, &mut &b"wrong"[..]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let log = server.log();
    assert!(!log.iter().any(|asked| asked.method == "PUT"));
    assert_eq!(log.last().unwrap().method, "DELETE");
    assert!(!registry.has_blob(expected.verifiable().unwrap()).unwrap());
    server.stop();
}

#[test]
fn content_is_mounted_where_the_registry_does() {
    for (status, mounted) in [(201, true), (202, false), (405, false)] {
        let server = Server::start(move |asked, _| {
            let reply = Reply::new(status).header("Location", "/v2/a/b/blobs/uploads/x");
            asked.is("POST", "?mount=sha256%3A").then_some(reply)
        });
        let registry = connect(&server);
        let digest = digest_of(Algorithm::Sha256, b"x");
        assert_eq!(registry.mount_blob(&digest, "other/repository").unwrap(), mounted);
        let log = server.log();
        assert!(log.iter().any(|asked| asked.path.ends_with("&from=other%2Frepository")));
        // An upload that nobody goes on with is ended.
        assert_eq!(
            log.iter().filter(|asked| asked.method == "DELETE").count(),
            usize::from(status == 202)
        );
        server.stop();
    }
}
