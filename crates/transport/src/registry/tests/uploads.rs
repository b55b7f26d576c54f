//! Content that is sent, and what goes wrong with it.

use super::*;

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
