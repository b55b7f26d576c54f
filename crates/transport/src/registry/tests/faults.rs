//! Everything that goes wrong with what is fetched: each ends in success or in one sentence.

use super::*;

const SIZE: usize = 300_000;

/// How a download through a fault has to end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Right,
    /// With an error that has this in it.
    Wrong(&'static str),
}

use End::{Right, Wrong};

type Hook = Box<dyn Fn(&Asked, Reply) -> Reply + Send + Sync>;

/// A fault: its kind, how it ends, and what the registry answers to requests for the blob.
struct Fault(&'static str, End, Hook);

fn fault(
    kind: &'static str,
    end: End,
    hook: impl Fn(&Asked, Reply) -> Reply + Send + Sync + 'static,
) -> Fault {
    Fault(kind, end, Box::new(hook))
}

/// The first so many requests meet a fault, those behind them do not.
fn first(
    kind: &'static str,
    count: usize,
    hook: impl Fn(&Asked, Reply) -> Reply + Send + Sync + 'static,
) -> Fault {
    fault(kind, Right, move |asked, reply| match asked.nth < count {
        true => hook(asked, reply),
        false => reply,
    })
}

/// A reset, and a fault of what follows.
fn behind(
    kind: &'static str,
    end: End,
    hook: impl Fn(&Asked, Reply) -> Reply + Send + Sync + 'static,
) -> Fault {
    fault(kind, end, move |asked, reply| match asked.nth {
        0 => reply.cut(1000),
        _ => hook(asked, reply),
    })
}

fn whole() -> Reply {
    Reply::new(200).body(&content(SIZE))
}

fn with_headers(mut reply: Reply, headers: &[(&str, &str)]) -> Reply {
    reply.headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    reply
}

/// The head of an answer, and the whole content.
fn raw(head: &str) -> Reply {
    Reply::raw(&[head.as_bytes(), b"\r\n\r\n", &content(SIZE)].concat())
}

/// Of what is cut by HTTP 1.1, everything arrives (`exact`). A reset by HTTP 2 may be faster than what was sent before.
fn resets(faults: &mut Vec<Fault>, exact: bool) {
    for tenth in 0..10 {
        let at = SIZE / 10 * tenth + 17;
        faults.push(fault("a reset in each tenth", Right, move |asked, reply| match asked.nth {
            0 => reply.cut(at),
            _ => {
                let range = asked.header("range").trim_matches(|it: char| !it.is_ascii_digit());
                let begin = range.parse::<usize>().unwrap_or(0);
                assert!(begin == at || !exact && begin < at, "{begin} {at}");
                reply
            }
        }));
        faults.push(fault(
            "a reset in each tenth, no ranges",
            Right,
            move |asked, _| match asked.nth {
                0 => whole().cut(at),
                _ => whole(),
            },
        ));
    }
    faults.extend([
        first("several resets", 3, |_, reply| reply.cut(1000)),
        fault("resets without end", Wrong("at byte"), |_, reply| reply.cut(10)),
        fault("no byte at all", Wrong("at byte 0 of 300000"), |_, reply| reply.cut(0)),
        first("no answer at all", 2, |_, _| Reply::raw(b"")),
        first("a head that ends", 2, |_, _| Reply::raw(b"HTTP/1.1 200 O")),
        behind("trouble behind a reset", Right, |asked, reply| match asked.nth {
            1 => Reply::new(503),
            _ => reply,
        }),
    ]);
}

fn statuses(faults: &mut Vec<Fault>) {
    for (kind, status) in [
        ("408", 408),
        ("429 with Retry-After", 429),
        ("500", 500),
        ("502", 502),
        ("503", 503),
        ("504", 504),
    ] {
        faults.push(first(kind, 2, move |_, _| Reply::new(status).header("Retry-After", "0")));
    }
    let many = br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#;
    faults.extend([
        first("429 without Retry-After", 2, |_, _| Reply::new(429)),
        fault("429 without end", Wrong("answers 429 TOOMANYREQUESTS: slow down"), |_, _| {
            Reply::new(429).header("Retry-After", "0").body(many)
        }),
        fault("429 for hours", Wrong("answers 429"), |asked, _| {
            assert_eq!(asked.nth, 0, "nobody waits for hours");
            Reply::new(429).header("Retry-After", "21600")
        }),
        fault("500 without end", Wrong("answers 500"), |_, _| Reply::new(500)),
        fault("403", Wrong("403 DENIED: no"), |_, _| {
            Reply::new(403).body(br#"{"errors":[{"code":"DENIED","message":"no"}]}"#)
        }),
        fault("404", Wrong("there is no blob sha256:"), |_, _| Reply::new(404)),
        fault("401 without end", Wrong("answers 401"), |_, _| {
            Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\"")
        }),
        fault("an unknown status", Wrong("answers 299"), |_, _| Reply::new(299)),
        fault("an error of a megabyte", Wrong("answers 418"), |_, _| {
            Reply::new(418).body(&vec![b'x'; 1 << 20])
        }),
        fault("an error that moves the cursor", Wrong("answers 418 A: [2J"), |_, _| {
            Reply::new(418).body(br#"{"errors":[{"code":"A","message":"\u001b[2J\n\u0007"}]}"#)
        }),
        first("a web page for an error", 2, |_, _| {
            Reply::new(502).header("Content-Type", "text/html").body(b"<html>Bad Gateway</html>")
        }),
    ]);
}

fn contents(faults: &mut Vec<Fault>) {
    let flip = |_: &Asked, mut reply: Reply| {
        reply.body[7] ^= 1;
        reply
    };
    faults.extend([
        fault("wrong content", Wrong("has the digest"), flip),
        behind("wrong content behind a reset", Wrong("has the digest"), flip),
        fault("too short", Wrong("has 299999 bytes, and should have 300000"), |_, mut reply| {
            reply.body.pop();
            reply
        }),
        fault("too long", Wrong("has 300001 bytes"), |_, mut reply| {
            reply.body.push(0);
            reply
        }),
        fault("a web page", Wrong("is a web page that has 13 bytes"), |_, _| {
            Reply::new(200).header("Content-Type", "text/html").body(b"<html></html>")
        }),
        fault("packed by a proxy", Wrong("in the encoding `gzip`, unasked"), |asked, _| {
            assert_eq!(asked.header("accept-encoding"), "identity");
            Reply::new(200).header("Content-Encoding", "gzip").body(b"\x1f\x8b")
        }),
        fault("said to be packed", Right, |_, reply| reply.header("Content-Encoding", "gzip")),
        behind("a part from elsewhere", Wrong("asked for bytes from 1000"), |_, reply| {
            with_headers(reply, &[("Content-Range", "bytes 0-9/10")])
        }),
        behind("a part of another whole", Wrong("has 300001 bytes"), |_, reply| {
            with_headers(reply, &[("Content-Range", "bytes 1000-299999/300001")])
        }),
        behind("a part without a place", Wrong("asked for bytes from 1000, got ``"), |_, reply| {
            with_headers(reply, &[])
        }),
        behind("a part of a part", Right, |asked, reply| match asked.nth {
            1 => {
                let short = with_headers(reply, &[("Content-Range", "bytes 1000-1999/300000")]);
                Reply { body: short.body[..1000].to_vec(), ..short }
            }
            _ => reply,
        }),
        behind("416", Right, |asked, _| match asked.header("range") {
            "" => whole(),
            _ => Reply::new(416),
        }),
        fault("another version", Right, |asked, reply| match asked.nth {
            0 => reply.header("ETag", "\"one\"").cut(1000),
            _ => {
                let whole_now = asked.header("range").is_empty();
                assert!(whole_now || asked.header("if-range") == "\"one\"");
                let mut reply = reply.header("ETag", "\"two\"");
                if !whole_now {
                    reply.body.fill(0);
                }
                reply
            }
        }),
    ]);
}

fn heads(faults: &mut Vec<Fault>) {
    let length = format!("Content-Length: {SIZE}");
    let fine = format!("HTTP/1.1 200 OK\r\n{length}");
    let hints = format!("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n{fine}");
    let go_on = format!("HTTP/1.1 100 Continue\r\n\r\n{fine}");
    let older = format!("HTTP/1.0 200 OK\r\n{length}");
    let twice = format!("{fine}\r\nContent-Length: 5");
    let many = format!("{fine}{}", "\r\nX: y".repeat(10_000));
    faults.extend([
        fault("103 before the answer", Right, move |_, _| raw(&hints)),
        fault("100 before the answer", Right, move |_, _| raw(&go_on)),
        fault("HTTP 1.0", Right, move |_, _| raw(&older)),
        fault("no length", Right, |_, _| raw("HTTP/1.1 200 OK\r\nConnection: close")),
        fault("two lengths", Wrong(""), move |_, _| raw(&twice)),
        fault("a length that is none", Wrong(""), |_, _| {
            raw("HTTP/1.1 200 OK\r\nContent-Length: -5")
        }),
        fault("headers without end", Wrong(""), |_, reply| reply.header("X", &"x".repeat(1 << 20))),
        fault("ten thousand headers", Wrong(""), move |_, _| raw(&many)),
        first("no HTTP", 2, |_, _| Reply::raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")),
        fault("no HTTP without end", Wrong("GET http://127.0.0.1"), |_, _| {
            Reply::raw(b"220 smtp.example ESMTP\r\n\r\n")
        }),
        fault("chunks of no length", Wrong(""), |_, _| {
            Reply::new(200).header("Transfer-Encoding", "chunked").body(b"zz\r\nxx")
        }),
        first("chunks that end early", 2, |_, _| {
            let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n";
            Reply::raw(&[head, &content(SIZE)[..3]].concat())
        }),
    ]);
}

/// What only HTTP 2 has. The number of an error is its header `Reset`.
fn frames(faults: &mut Vec<Fault>) {
    let reset = |code: &'static str| move |_: &Asked, _| Reply::new(200).header("Reset", code);
    faults.extend([
        first("refused", 6, reset("7")),
        fault("refused without end", Wrong("refused"), reset("7")),
        first("a protocol error", 2, reset("1")),
        fault("reset without end", Wrong("was reset"), reset("2")),
        first("cancelled", 2, reset("8")),
        first("told to be calm", 2, reset("11")),
        fault("wanted by HTTP 1.1", Right, |asked, reply| match asked.header("by") {
            "2" => Reply::new(200).header("Reset", "13"),
            _ => reply,
        }),
        fault("no length", Right, |_, reply| reply.header("No-Length", "")),
        fault("headers without end", Wrong(""), |_, reply| reply.header("X", &"x".repeat(1 << 20))),
        fault("ten thousand headers", Wrong(""), |_, reply| {
            (0..10_000).fold(reply, |reply, _| reply.header("X", "y"))
        }),
    ]);
}

fn waits(faults: &mut Vec<Fault>) {
    faults.extend([
        first("silence before the answer", 1, |_, reply| {
            let pause = Duration::from_secs(15);
            Reply { raw: Some((b"H".to_vec(), pause)), ..reply }
        }),
        first("a head that drips", 1, |_, reply| {
            let pause = Duration::from_millis(300);
            Reply { raw: Some((b"HTTP/1.1 200 OK\r\nX: yyyyyyyyyyyyyyy".to_vec(), pause)), ..reply }
        }),
        first("silence in the middle", 1, |_, mut reply| {
            reply.pauses = Some((2, Duration::from_secs(15)));
            reply
        }),
        first("content that drips", 1, |_, reply| {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
            let bytes = [head.as_bytes(), &content(SIZE)[..50]].concat();
            Reply { raw: Some((bytes, Duration::from_millis(50))), ..reply }
        }),
        fault("redirections in a circle", Wrong("leads in a circle"), |asked, _| {
            Reply::new(307).header("Location", &asked.path)
        }),
        fault("a redirection to nowhere", Wrong("neither http nor https"), |_, _| {
            Reply::new(307).header("Location", "ftp://x/")
        }),
        fault("a redirection to the local link", Wrong("the local link"), |_, _| {
            Reply::new(307).header("Location", "https://169.254.169.254/latest")
        }),
        fault("a redirection without a place", Wrong("answers 307"), |_, _| Reply::new(307)),
        fault("a redirection to a closed port", Wrong("refused"), |_, _| {
            Reply::new(307).header("Location", "https://127.0.0.1:9/x")
        }),
    ]);
}

#[test]
fn every_fault_ends_in_success_or_in_one_sentence() {
    let mut faults = Vec::new();
    resets(&mut faults, true);
    statuses(&mut faults);
    contents(&mut faults);
    heads(&mut faults);
    waits(&mut faults);
    let kinds: std::collections::BTreeSet<&str> = faults.iter().map(|it| it.0).collect();
    assert!(kinds.len() >= 50, "{}", kinds.len());
    check_all(faults, &Way::Old);
}

/// The same, in four ways of ending what is cut, and what only HTTP 2 has.
#[test]
fn every_fault_of_http_2_ends_in_success_or_in_one_sentence() {
    for cut in [Cut::Reset, Cut::End, Cut::GoAway, Cut::Close] {
        let mut faults = Vec::new();
        resets(&mut faults, false);
        if cut == Cut::Reset {
            statuses(&mut faults);
            contents(&mut faults);
            waits(&mut faults);
            frames(&mut faults);
        }
        let kinds: std::collections::BTreeSet<&str> = faults.iter().map(|it| it.0).collect();
        assert!(kinds.len() >= if cut == Cut::Reset { 45 } else { 6 }, "{}", kinds.len());
        check_all(faults, &Way::New(Rules { cut, ..Rules::default() }));
    }
}

fn check_all(faults: Vec<Fault>, way: &Way) {
    let body = content(SIZE);
    let wanted = descriptor(&body);
    // Those that wait do so at the same time.
    let faults = std::sync::Mutex::new(faults.into_iter());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some(fault) = { faults.lock().unwrap().next() } {
                    check(fault, way, &body, &wanted);
                }
            });
        }
    });
}

/// Downloads the blob through a fault.
fn check(Fault(kind, end, hook): Fault, way: &Way, body: &[u8], wanted: &Descriptor) {
    let server = Server::start(move |asked, server| {
        let is_blob = asked.is("GET", "/blobs/sha256");
        is_blob.then(|| hook(asked, server.answer(asked)))
    });
    server.put_blob(&wanted.digest.to_string(), body);
    let (name, options) = way.to(&server);
    let options = Options { silence: Duration::from_secs(5), ..options };
    let registry = Registry::connect(&name, options).unwrap();
    let found = read_blob(&registry, wanted);
    match (&found, end) {
        (Ok(found), Right) => assert!(*found == body, "{kind} {way:?}"),
        (Err(error), Wrong(part)) => {
            assert!(error.contains(part), "{kind} {way:?}: {error}");
            let is_sentence = !error.is_empty() && error.len() < 500;
            assert!(is_sentence && !error.contains(char::is_control), "{kind} {way:?}: {error}");
        }
        _ => panic!("{kind} {way:?}: {:?}, expected {end:?}", found.as_ref().map(Vec::len)),
    }
    // It was by the way that is tested, at least at first.
    let first = server.log().into_iter().find(|asked| asked.is("GET", "/blobs/"));
    let by = first.map(|asked| asked.header("by").to_owned()).unwrap_or_default();
    assert_eq!(by, if matches!(way, Way::Old) { "" } else { "2" }, "{kind} {way:?}");
    server.stop();
}

#[test]
fn a_connection_that_is_closed_while_it_is_idle_is_replaced() {
    let body = content(SIZE);
    let wanted = descriptor(&body);
    let server = Server::start(|_, _| None);
    server.put_blob(&wanted.digest.to_string(), &body);
    server.keep();
    let registry = connect(&server);
    for _ in 0..3 {
        assert!(read_blob(&registry, &wanted).unwrap() == body);
    }
    // One that failed to speak TLS, and one for everything.
    assert_eq!(server.connections(), 2);
    server.hang_up();
    assert!(read_blob(&registry, &wanted).unwrap() == body);
    assert!(registry.has_blob(wanted.verifiable().unwrap()).unwrap());
    server.stop();
}

#[test]
fn a_deadline_ends_everything() {
    let body = content(SIZE);
    let wanted = descriptor(&body);
    let server = Server::start(|_, _| None);
    server.put_blob(&wanted.digest.to_string(), &body);
    server.slow_down(4_000);
    let began = std::time::Instant::now();
    let deadline = Some(began + Duration::from_secs(6));
    let options = Options { deadline, backoff: Duration::from_secs(60), ..options() };
    let registry = Registry::connect(&reference(&server, ""), options).unwrap();
    read_blob(&registry, &wanted).unwrap_err();
    let error = registry.tags().unwrap_err();
    assert!(error.to_string().contains("the time that was given is over"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(60));
    server.stop();
}

#[test]
fn limits_of_rates_are_explained() {
    let check = |headers: &[(&str, &str)], expected: &str| {
        let reply = with_headers(Reply::new(429), headers);
        let server = Server::start(move |asked, _| {
            asked.path.contains("/manifests/").then(|| reply.clone())
        });
        let error = connect(&server).manifest("x", None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Network);
        let hint = error.hint().unwrap();
        let hint = hint.strip_prefix("the registry limits how much is asked for: ").unwrap();
        assert_eq!(hint, expected);
        server.stop();
    };
    check(&[], "wait, or log in");
    check(&[("Retry-After", "3600")], "try again in 1 hour");
    check(
        &[("Retry-After", "Wed, 21 Oct 2026 07:28:00 GMT")],
        "try again after Wed, 21 Oct 2026 07:28:00 GMT",
    );
    check(
        &[("RateLimit-Limit", "100;w=21600"), ("RateLimit-Remaining", "0;w=21600")],
        "it allows 100 pulls in 6 hours, 0 are left, wait, or log in",
    );
    check(
        &[("ratelimit-limit", "10"), ("ratelimit-remaining", "x"), ("Retry-After", "90")],
        "it allows 10 pulls, try again in 90 seconds",
    );
}

#[test]
fn web_pages_are_no_manifests() {
    let server = Server::start(|asked, _| {
        let page = Reply::new(200).header("Content-Type", "text/html; charset=utf-8");
        (!asked.path.ends_with("/v2/")).then(|| page.body(b"<html>Log in to the hotel</html>"))
    });
    let registry = connect(&server);
    for error in [registry.manifest("x", None).unwrap_err(), registry.tags().unwrap_err()] {
        assert!(error.to_string().contains("answers with a web page"), "{error}");
        assert!(error.hint().unwrap().contains("login page"));
    }
    server.stop();
}
