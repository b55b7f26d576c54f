//! G1: who is told the credentials, and who is not.

use super::*;

const BASIC: &str = "Basic dXNlcjpodW50ZXIy";

fn connect_as(server: &Server, credentials: Credentials) -> Result<Registry> {
    let options = Options { credentials: Some(credentials), ..options() };
    Registry::connect(&reference(server, ""), options)
}

/// A registry that wants a name and password with each request.
fn basic_server(hook: impl Fn(&Asked, &Server) -> Option<Reply> + Send + Sync + 'static) -> Server {
    Server::start(move |asked, server| match asked.header("authorization") {
        BASIC => hook(asked, server),
        _ => Some(Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\"")),
    })
}

/// Whether anybody told a server anything.
fn told(server: &Server) -> Vec<String> {
    let log = server.log();
    let secret = |asked: &&Asked| {
        let body = String::from_utf8_lossy(&asked.body).into_owned();
        !asked.header("authorization").is_empty()
            || [&body, &asked.path].iter().any(|it| it.contains("hunter2"))
    };
    log.iter().filter(secret).map(|asked| asked.path.clone()).collect()
}

#[test]
fn a_name_and_password_are_sent_when_they_are_asked_for() {
    let server = basic_server(|_, _| None);
    go_there_and_back(&server.host(), Some(user()));
    assert_eq!(server.log()[0].header("authorization"), "");
    let denied = connect(&server).manifest("x", None).unwrap_err();
    assert_eq!((denied.kind(), denied.hint().is_some()), (ErrorKind::Denied, true));
    server.stop();
}

/// A registry with its own token service. Each token is good for one kind of access, and so often.
fn token_server(uses: usize) -> Server {
    Server::start(move |asked, server| answer_with_tokens(asked, server, uses))
}

fn answer_with_tokens(asked: &Asked, server: &Server, uses: usize) -> Option<Reply> {
    if asked.path.starts_with("/token") {
        let form = String::from_utf8_lossy(&asked.body).into_owned();
        let known =
            asked.header("authorization") == BASIC || form.contains("refresh_token=hunter2");
        let scope = [&*asked.path, &form].concat();
        let kind = if scope.contains("push") { "push" } else { "pull" };
        let number = server.log().len();
        let text = format!(r#"{{"token":"{kind}-{number}","expires_in":300}}"#);
        return Some(if known { Reply::new(200).body(text.as_bytes()) } else { Reply::new(401) });
    }
    let token = asked.header("authorization").strip_prefix("Bearer ").unwrap_or("none");
    let writes = !matches!(&*asked.method, "GET" | "HEAD");
    let good = token.starts_with("push") || token.starts_with("pull") && !writes;
    let log = server.log();
    let same = log.iter().filter(|it| it.header("authorization") == asked.header("authorization"));
    if good && same.count() <= uses {
        return None;
    }
    let scope = if writes { "pull,push" } else { "pull" };
    let host = server.host();
    let challenge = format!(
        "Bearer realm=\"http://{host}/token\",service=\"{host}\",scope=\"repository:a/b:{scope}\""
    );
    Some(Reply::new(401).header("WWW-Authenticate", &challenge))
}

#[test]
fn tokens_are_fetched_and_used_again() {
    for credentials in
        [user(), Credentials::Identity { user: String::new(), token: "hunter2".into() }]
    {
        let server = token_server(usize::MAX);
        go_there_and_back(&server.host(), Some(credentials));
        let log = server.log();
        let fetched = log.iter().filter(|asked| asked.path.starts_with("/token")).count();
        // One to read and one to write, for each of the two connections.
        assert!(fetched <= 4, "{fetched}");
        server.stop();
    }
}

#[test]
fn tokens_come_from_a_realm_without_a_host_and_last_as_long_as_anybody_says() {
    for lifetime in ["", r#","expires_in":"300""#, r#","expires_in":3.6e2"#, r#","expires_in":-1"#]
    {
        let server = Server::start(move |asked, _| {
            if asked.path.starts_with("/token?") {
                return Some(
                    Reply::new(200).body(format!("{{\"token\":\"t\"{lifetime}}}").as_bytes()),
                );
            }
            let challenge = "Bearer realm=\"/token\",service=\"x\"";
            match asked.header("authorization") {
                "Bearer t" => None,
                _ => Some(Reply::new(401).header("WWW-Authenticate", challenge)),
            }
        });
        go_there_and_back(&server.host(), Some(user()));
        let log = server.log();
        let tokens = log.iter().filter(|asked| asked.path.starts_with("/token?"));
        // The registry's own service may know who asks.
        assert!(tokens.clone().count() > 0, "{lifetime}");
        assert!(tokens.into_iter().all(|asked| asked.header("authorization") == BASIC));
        server.stop();
    }
}

#[test]
fn a_token_that_is_no_longer_good_is_replaced() {
    let server = token_server(1);
    go_there_and_back(&server.host(), Some(user()));
    server.stop();
}

#[test]
fn a_token_may_end_in_the_middle_of_a_blob() {
    let body = content(100_000);
    let descriptor = descriptor(&body);
    let server = Server::start(|asked, server| {
        let mut reply =
            answer_with_tokens(asked, server, 1).unwrap_or_else(|| server.answer(asked));
        if asked.is("GET", "/blobs/") && reply.status == 200 {
            reply = reply.cut(5000);
        }
        Some(reply)
    });
    server.put_blob(&descriptor.digest.to_string(), &body);
    let registry = connect_as(&server, user()).unwrap();
    assert!(read_blob(&registry, &descriptor).unwrap() == body);
    let log = server.log();
    assert!(log.iter().filter(|asked| asked.path.starts_with("/token")).count() > 1);
    server.stop();
}

#[test]
fn g1_nobody_else_is_told_the_credentials() {
    let other = Server::start(|_, _| None);
    let body = content(1000);
    let wanted = descriptor(&body);
    other.put_blob(&wanted.digest.to_string(), &body);
    let text = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    other.put_manifest("x", media_type::OCI_INDEX, text);
    let host = other.host();
    let elsewhere = move |asked: &Asked| format!("http://{host}{}", asked.path);

    // Redirections are followed without credentials.
    let target = elsewhere.clone();
    let server = basic_server(move |asked, _| {
        let away = asked.path.contains("/blobs/") || asked.path.contains("/manifests/");
        away.then(|| Reply::new(307).header("Location", &target(asked)))
    });
    let registry = connect_as(&server, user()).unwrap();
    assert!(read_blob(&registry, &wanted).unwrap() == body);
    assert_eq!(registry.manifest("x", None).unwrap().bytes(), text);
    assert!(registry.has_blob(wanted.verifiable().unwrap()).unwrap());
    assert!(!told(&server).is_empty());
    server.stop();

    // Uploads that go elsewhere, too.
    let host = other.host();
    let server = basic_server(move |asked, _| {
        let away =
            Reply::new(202).header("Location", &format!("http://{host}/v2/a/b/blobs/uploads/y"));
        asked.is("POST", "/uploads/").then_some(away)
    });
    let large = content(150_000);
    for content in [&large[..], b"small"] {
        connect_as(&server, user())
            .unwrap()
            .put_blob(&descriptor(content), &mut &*content)
            .unwrap();
    }
    server.stop();

    // The next page of a list.
    let target = elsewhere.clone();
    let server = basic_server(move |asked, _| {
        let reply = Reply::new(200).body(br#"{"tags":[]}"#);
        asked.path.contains("/tags/").then(|| reply.header("Link", &format!("<{}>", target(asked))))
    });
    assert!(connect_as(&server, user()).unwrap().tags().is_err());
    server.stop();
    assert_eq!(told(&other), [] as [String; 0]);
    assert!(!other.log().is_empty());
    other.stop();
}

#[test]
fn g1_a_foreign_token_service_is_asked_without_credentials() {
    for (gives, fine) in [(true, true), (false, false)] {
        let other = Server::start(move |asked, _| {
            asked.path.starts_with("/token").then(|| match gives {
                true => Reply::new(200).body(br#"{"access_token":"free"}"#),
                false => Reply::new(401).header("WWW-Authenticate", "Basic realm=\"give me\""),
            })
        });
        let realm = format!("Bearer realm=\"http://{}/token\",service=\"x\"", other.host());
        let server = Server::start(move |asked, _| match asked.header("authorization") {
            "Bearer free" => None,
            _ => Some(Reply::new(401).header("WWW-Authenticate", &realm)),
        });
        server.put_manifest("x", media_type::OCI_INDEX, br#"{"schemaVersion":2,"manifests":[]}"#);
        for credentials in
            [user(), Credentials::Identity { user: String::new(), token: "hunter2".into() }]
        {
            let found = connect_as(&server, credentials).unwrap().manifest("x", None);
            assert_eq!(found.is_ok(), fine, "{found:?}");
            if let Err(error) = found {
                assert!(error.hint().unwrap().contains("was not told the credentials"));
            }
        }
        assert_eq!(told(&other), [] as [String; 0]);
        assert!(told(&server).iter().all(|path| gives && path.contains("/manifests/")));
        server.stop();
        other.stop();
    }
}

#[test]
fn g1_secrets_do_not_follow_to_local_addresses() {
    for target in [
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]/",
        "https://[::ffff:a9fe:a9fe]/",
    ] {
        let server = basic_server(move |asked, _| {
            asked.path.contains("/manifests/").then(|| Reply::new(307).header("Location", target))
        });
        let error = connect_as(&server, user()).unwrap().manifest("x", None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        server.stop();
    }
}

#[test]
fn plain_http_is_for_this_machine_or_by_configuration() {
    let error = Registry::connect(
        &Reference::parse("registry.invalid/a").unwrap(),
        Options { attempts: 1, ..options() },
    );
    let text = error.err().unwrap().to_string();
    assert!(text.contains("https://registry.invalid") && !text.contains("http://"), "{text}");
}
