//! Everything that goes wrong on the way: each ends in success or in a sentence.

use super::*;

/// How a download through a fault has to end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Right,
    Wrong(&'static str),
}

/// Downloads a blob from a registry that answers the blob's requests with a hook.
fn check(name: &str, expected: End, hook: impl Fn(&Asked, Reply) -> Reply + Send + Sync + 'static) {
    let body = content(300_000);
    let descriptor = descriptor(&body);
    let server = Server::start(move |asked, server| {
        let is_blob = asked.is("GET", "/blobs/sha256");
        is_blob.then(|| hook(asked, server.answer(asked)))
    });
    server.put_blob(&descriptor.digest.to_string(), &body);
    // A body that never comes has to be noticed soon in one of them.
    let silence = Duration::from_secs(if name == "silence" { 1 } else { 20 });
    let options = Options { silence, ..options() };
    let registry = Registry::connect(&reference(&server, ""), options).unwrap();
    let found = read_blob(&registry, &descriptor);
    match (&found, expected) {
        (Ok(found), End::Right) => assert!(*found == body, "{name}"),
        (Err(error), End::Wrong(part)) => assert!(error.contains(part), "{name}: {error}"),
        _ => panic!("{name}: {:?}, expected {expected:?}", found.as_ref().map(Vec::len)),
    }
    server.stop();
}

#[test]
fn a_lost_connection_is_taken_up_where_it_was() {
    for tenth in 0..10 {
        let at = 30_000 * tenth + 17;
        check(&format!("reset in tenth {tenth}"), End::Right, move |asked, reply| {
            match asked.nth {
                0 => reply.cut(at),
                _ => {
                    assert_eq!(asked.header("range"), format!("bytes={at}-"));
                    reply
                }
            }
        });
        check(&format!("in tenth {tenth}, no ranges"), End::Right, move |asked, reply| match asked
            .nth
        {
            0 => reply.cut(at),
            _ => Reply::new(200).body(&content(300_000)),
        });
    }
    check("three resets", End::Right, |asked, reply| match asked.nth {
        0..=2 => reply.cut(1000),
        _ => reply,
    });
    check("resets without end", End::Wrong("at byte"), |_, reply| reply.cut(10));
    check("no byte at all", End::Wrong("at byte 0 of 300000"), |_, reply| reply.cut(0));
}

#[test]
fn a_registry_in_trouble_is_asked_again() {
    for status in [429, 500, 502, 503, 504] {
        check(&format!("{status} twice"), End::Right, move |asked, reply| match asked.nth {
            0 | 1 => Reply::new(status).header("Retry-After", "0"),
            _ => reply,
        });
    }
    check("500 without end", End::Wrong("answers 500"), |_, _| Reply::new(500));
    check("429 without end", End::Wrong("answers 429"), |_, _| {
        let told = br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#;
        Reply::new(429).header("Retry-After", "0").body(told)
    });
    check("403", End::Wrong("403 DENIED: no"), |_, _| {
        Reply::new(403).body(br#"{"errors":[{"code":"DENIED","message":"no"}]}"#)
    });
    check("trouble while it goes on", End::Right, |asked, reply| match asked.nth {
        0 => reply.cut(1000),
        1 => Reply::new(503),
        _ => reply,
    });
    check("an answer of 1 MB to an error", End::Wrong("answers 418"), |_, _| {
        Reply::new(418).body(&vec![b'x'; 1 << 20])
    });
}

#[test]
fn wrong_content_is_refused() {
    check("another content", End::Wrong("has the digest"), |_, mut reply| {
        reply.body[7] ^= 1;
        reply
    });
    check("another content behind the reset", End::Wrong("has the digest"), |asked, mut reply| {
        match asked.nth {
            0 => reply.cut(1000),
            _ => {
                reply.body[7] ^= 1;
                reply
            }
        }
    });
    check("too short", End::Wrong("has 299999 bytes, and should have 300000"), |_, mut reply| {
        reply.body.pop();
        reply
    });
    check("too long", End::Wrong("has 300001 bytes"), |_, mut reply| {
        reply.body.push(0);
        reply
    });
    check("another range", End::Wrong("asked for bytes from 1000"), |asked, mut reply| match asked
        .nth
    {
        0 => reply.cut(1000),
        _ => {
            reply.headers = vec![("Content-Range".into(), "bytes 0-9/10".into())];
            reply
        }
    });
    check("chunks of no length", End::Wrong(""), |_, _| {
        Reply::new(200).header("Transfer-Encoding", "chunked").body(b"zz\r\nxx")
    });
}

#[test]
fn nobody_waits_for_ever() {
    check("silence", End::Right, |asked, mut reply| {
        if asked.nth == 0 {
            reply.pauses = Some((2, Duration::from_secs(4)));
        }
        reply
    });
    check("redirections in a circle", End::Wrong("leads in a circle"), |asked, _| {
        Reply::new(307).header("Location", &asked.path)
    });
    check("a redirection to nowhere", End::Wrong("neither http nor https"), |_, _| {
        Reply::new(307).header("Location", "ftp://x/")
    });
    check("headers without end", End::Wrong(""), |_, reply| {
        reply.header("X", &"x".repeat(1 << 20))
    });
}

#[test]
fn large_content_is_sent_in_pieces_that_are_sent_again() {
    let body = content(150_005);
    let descriptor = descriptor(&body);
    for fault in ["none", "lost", "half", "stale", "busy"] {
        let server = Server::start(move |asked, server| {
            if !asked.is("PATCH", "/uploads/") || asked.nth != 1 {
                return None;
            }
            match fault {
                // It arrives, and the answer does not.
                "lost" => {
                    server.answer(asked);
                    Some(Reply::new(202).header("Content-Length", "x"))
                }
                "half" => {
                    let mut half = asked.clone();
                    half.body.truncate(1000);
                    server.answer(&half);
                    Some(Reply::new(500))
                }
                "stale" => Some(Reply::new(416)),
                "busy" => Some(Reply::new(503)),
                _ => None,
            }
        });
        let registry = connect(&server);
        registry
            .put_blob(&descriptor, &mut &*body)
            .unwrap_or_else(|error| panic!("{fault}: {error}"));
        assert!(read_blob(&registry, &descriptor).unwrap() == body, "{fault}");
        server.stop();
    }
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
