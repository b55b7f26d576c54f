//! Layers that a manifest says to be elsewhere.

use super::*;
use std::sync::Mutex;

/// What the encrypted server of the tests answers to everything.
const CONTENT: &[u8] = b"{}";

struct Elsewhere {
    server: Server,
    log: Arc<Mutex<Vec<String>>>,
    host: String,
}

impl Elsewhere {
    fn start() -> Self {
        let log = Arc::default();
        let host = encrypted::start_logging(false, &log);
        Self { server: Server::start(|_, _| None), log, host }
    }

    /// Fetches content that is at some addresses.
    fn fetch(&self, allowed: bool, content: &[u8], urls: &[&str]) -> Result<Vec<u8>, String> {
        let mut options = Options {
            credentials: Some(user()),
            foreign_layers: allowed,
            attempts: 1,
            ..options()
        };
        options.certificates.authorities = vec![encrypted::file("ca.crt")];
        let registry = Registry::connect(&reference(&self.server, ""), options).unwrap();
        let urls = urls.iter().map(|url| url.replace("HOST", &self.host)).collect();
        read_blob(&registry, &Descriptor { urls, ..descriptor(content) })
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }
}

#[test]
fn foreign_layers_are_fetched_where_that_is_allowed() {
    let there = Elsewhere::start();
    let url = "https://HOST/layer?signature=x";
    let refused = there.fetch(false, CONTENT, &[url]).unwrap_err();
    assert!(refused.contains("there is no blob"), "{refused}");
    assert_eq!(there.asked(), [] as [String; 0]);
    assert_eq!(there.fetch(true, CONTENT, &[url]).unwrap(), CONTENT);
    let asked = there.asked();
    assert!(asked[0].starts_with("GET /layer?signature=x HTTP/1.1\r\n"), "{asked:?}");
    // The next address counts when one is no help.
    assert_eq!(there.fetch(true, CONTENT, &["https://127.0.0.1:9/x", url]).unwrap(), CONTENT);
    assert_eq!(there.asked().len(), 1);
    // What the registry has itself is not asked for elsewhere.
    there.server.put_blob(&descriptor(CONTENT).digest.to_string(), CONTENT);
    for allowed in [true, false] {
        assert_eq!(there.fetch(allowed, CONTENT, &[url]).unwrap(), CONTENT);
    }
    assert_eq!(there.asked(), [] as [String; 0]);
    there.server.stop();
}

#[test]
fn g1_foreign_layers_are_fetched_by_nobody() {
    let there = Elsewhere::start();
    there.fetch(true, CONTENT, &["https://HOST/x"]).unwrap();
    let asked = there.asked().concat().to_ascii_lowercase();
    assert!(!asked.contains("authorization") && !asked.contains("cookie"), "{asked}");
    for (url, why) in [
        ("http://HOST/x", "not encrypted"),
        ("https://169.254.169.254/x", "the local link"),
        ("https://user:pw@HOST/x", "has no host"),
        ("file:///etc/passwd", "neither http nor https"),
    ] {
        let error = there.fetch(true, CONTENT, &[url]).unwrap_err();
        assert!(error.contains(why), "{url}: {error}");
    }
    let many = vec!["ftp://x/"; 20];
    let error = there.fetch(true, CONTENT, &many).unwrap_err();
    assert_eq!(error.matches("neither http").count(), 8);
    assert_eq!(there.asked(), [] as [String; 0]);
    there.server.stop();
}

#[test]
fn g5_foreign_layers_are_what_their_digest_says() {
    let there = Elsewhere::start();
    let error = there.fetch(true, b"[]", &["https://HOST/x"]).unwrap_err();
    assert!(error.contains("has the digest"), "{error}");
    let error = there.fetch(true, b"other", &["https://HOST/x"]).unwrap_err();
    assert!(error.contains("has 2 bytes, and should have 5"), "{error}");
    there.server.stop();
}
