//! Registries as a whole: logins, lists, searches.

use super::*;

const BASIC: &str = "Basic dXNlcjpodW50ZXIy";

fn host(server: &Server, credentials: Option<Credentials>) -> Host {
    Host::connect(&server.host(), Options { credentials, ..options() }).unwrap()
}

fn known(password: &str) -> Option<Credentials> {
    Some(Credentials::Basic { user: "user".into(), password: password.into() })
}

#[test]
fn a_login_is_checked_with_the_registry() {
    let basic = Server::start(|asked, _| match asked.header("authorization") {
        BASIC => None,
        _ => Some(Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\"")),
    });
    host(&basic, known("hunter2")).log_in().unwrap();
    for wrong in [known("other"), None] {
        let error = host(&basic, wrong).log_in().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.to_string().ends_with("the name or password is not accepted"), "{error}");
        assert!(!error.to_string().contains("other"));
    }
    basic.stop();
    // One that asks nobody.
    let open = Server::start(|_, _| None);
    host(&open, known("any")).log_in().unwrap();
    open.stop();
    // Trouble is no wrong password.
    let down = Server::start(|_, _| Some(Reply::new(503)));
    assert_eq!(host(&down, known("any")).log_in().unwrap_err().kind(), ErrorKind::Network);
    down.stop();
}

#[test]
fn a_login_is_checked_with_the_token_service() {
    let server = Server::start(|asked, server| {
        if asked.path.starts_with("/token") {
            assert!(asked.path.contains("account=user") && !asked.path.contains("scope="));
            let known = asked.header("authorization") == BASIC;
            let token = Reply::new(200).body(br#"{"token":"good"}"#);
            return Some(if known { token } else { Reply::new(401) });
        }
        let realm = format!("Bearer realm=\"http://{}/token\",service=\"x\"", server.host());
        let refused = Reply::new(401).header("WWW-Authenticate", &realm);
        (asked.header("authorization") != "Bearer good").then_some(refused)
    });
    host(&server, known("hunter2")).log_in().unwrap();
    assert_eq!(host(&server, known("other")).log_in().unwrap_err().kind(), ErrorKind::Denied);
    server.stop();
}

#[test]
fn g1_a_login_is_not_told_to_a_foreign_token_service() {
    let other = Server::start(|_, _| Some(Reply::new(200).body(br#"{"token":"good"}"#)));
    let realm = format!("Bearer realm=\"http://{}/token\"", other.host());
    let server = Server::start(move |asked, _| {
        let refused = Reply::new(401).header("WWW-Authenticate", &realm);
        (asked.header("authorization") != "Bearer good").then_some(refused)
    });
    // It would give a token to anybody, which says nothing about the password.
    let error = host(&server, known("hunter2")).log_in().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.hint().unwrap().contains("token service"));
    assert!(other.log().is_empty());
    other.stop();
    server.stop();
}

/// A registry with many repositories, in pages of two.
fn catalog(asked: &Asked) -> Option<Reply> {
    let page = |names: &str, next: &str| {
        let reply = Reply::new(200).body(format!(r#"{{"repositories":[{names}]}}"#).as_bytes());
        Some(match next {
            "" => reply,
            next => reply.header("Link", &format!("</v2/_catalog?last={next}&n=2>; rel=\"next\"")),
        })
    };
    match asked.path.strip_prefix("/v2/_catalog")? {
        "?n=1000" => page(r#""a/one","a/two""#, "a/two"),
        "?last=a/two&n=2" => page(r#""b/one","b/three""#, "b/three"),
        "?last=b/three&n=2" => page(r#""c""#, ""),
        _ => None,
    }
}

#[test]
fn repositories_are_listed() {
    let server = Server::start(|asked, _| catalog(asked));
    let all = ["a/one", "a/two", "b/one", "b/three", "c"];
    let listed = host(&server, None);
    assert_eq!(listed.catalog(usize::MAX).unwrap(), all);
    assert_eq!(listed.catalog(3).unwrap(), all[..3]);
    assert_eq!(listed.catalog(0).unwrap(), [] as [String; 0]);
    server.stop();
    let silent = Server::start(|_, _| None);
    assert_eq!(host(&silent, None).catalog(9).unwrap_err().kind(), ErrorKind::Unsupported);
    silent.stop();
    let endless = Server::start(|asked, _| {
        let reply = Reply::new(200).body(br#"{"repositories":[]}"#);
        asked.path.contains("_catalog").then(|| reply.header("Link", "</v2/_catalog>"))
    });
    assert!(host(&endless, None).catalog(9).unwrap_err().to_string().contains("1000 pages"));
    endless.stop();
}

#[test]
fn a_search_asks_dockers_interface() {
    let server = Server::start(|asked, _| {
        let query = asked.path.strip_prefix("/v1/search?q=a%2Fb%26c&n=")?;
        let result = |name: &str| {
            format!(
                r#"{{"name":"{name}","description":"of {name}","star_count":7,"is_official":true,"is_automated":false,"x":1}}"#
            )
        };
        let (size, page) = query.split_once("&page=").unwrap();
        let names: &[&str] = match page {
            "1" => &["one", "two"],
            "2" => &["three"],
            _ => &[],
        };
        assert!(["100", "1"].contains(&size), "{size}");
        let results: Vec<String> = names.iter().map(|name| result(name)).collect();
        let body = format!(r#"{{"num_pages":2,"page":{page},"results":[{}]}}"#, results.join(","));
        Some(Reply::new(200).body(body.as_bytes()))
    });
    let found = host(&server, known("hunter2")).search("a/b&c", 100).unwrap();
    let names: Vec<_> = found.iter().map(|it| &*it.name).collect();
    assert_eq!(names, ["one", "two", "three"]);
    assert_eq!((&*found[1].description, found[1].stars, found[1].official), ("of two", 7, true));
    assert_eq!(host(&server, None).search("a/b&c", 1).unwrap().len(), 1);
    assert!(server.log().iter().all(|asked| asked.header("authorization").is_empty()));
    server.stop();
}

#[test]
fn a_search_goes_through_the_list_where_there_is_no_interface() {
    for page in [false, true] {
        let server = Server::start(move |asked, _| {
            let html = Reply::new(200).header("Content-Type", "text/html").body(b"<html>");
            match asked.path.starts_with("/v1/") {
                true => page.then_some(html),
                false => catalog(asked),
            }
        });
        let found = host(&server, None).search("one", 25).unwrap();
        let names: Vec<_> = found.iter().map(|it| &*it.name).collect();
        assert_eq!(names, ["a/one", "b/one"]);
        assert_eq!(host(&server, None).search("", 3).unwrap().len(), 3);
        server.stop();
    }
}
