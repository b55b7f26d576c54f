//! Requests that nobody should send.

use super::{Answer, Registry, digest_of, manifest};
use oci::Algorithm;
use std::io::Write;

#[test]
fn methods_and_places_that_are_not_there_are_told() {
    let registry = Registry::new();
    let check = |method: &str, path: &str, status: u16| {
        let answer = registry.send(method, path, &[], b"");
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        answer
    };
    assert_eq!(check("GET", "/v2/", 200).header("content-type"), Some("application/json"));
    check("GET", "/health", 200);
    check("GET", "/index.html", 404);
    check("POST", "/", 405);
    check("GET", "/v2/a/../b/tags/list", 400);
    check("GET", "/v2/%2e%2e/tags/list", 400);
    assert_eq!(check("DELETE", "/v2/", 405).header("allow"), Some("GET, HEAD"));
    check("PATCH", "/v2/a/manifests/b", 405);
    check("POST", "/v2/a/tags/list", 405);
    check("GET", "/v2/a/blobs/uploads/", 405);
    check("PUT", "/v2/a/blobs/uploads/00000000-0000-4000-8000-000000000000", 400);
    check("GET", "/v2/a/blobs/uploads/00000000-0000-4000-8000-000000000000", 404);
    check("POST", "/v2/a/blobs/uploads/?digest-algorithm=md5", 400);
    check("POST", "/v2/a/blobs/uploads/?mount=sha256:x&from=b", 400);
    // Whatever can be read has a HEAD, with the headers and without the body.
    registry.put_image("a", "v", b"x");
    for path in ["/v2/_catalog", "/v2/a/tags/list?n=1", "/v2/", "/health"] {
        let (head, get) = (check("HEAD", path, 200), check("GET", path, 200));
        assert!(head.body.is_empty() && !get.body.is_empty(), "{path}");
        for name in ["content-length", "content-type", "link"] {
            assert_eq!(head.header(name), get.header(name), "{path}: {name}");
        }
    }
    // For what is not there, too.
    let head = check("HEAD", "/v2/a/manifests/b", 404);
    assert!(head.body.is_empty());
}

#[test]
fn an_upload_belongs_to_its_repository() {
    let registry = Registry::new();
    let location = registry.begin("a");
    let elsewhere = location.replace("/v2/a/", "/v2/b/");
    for method in ["GET", "PATCH", "DELETE"] {
        assert_eq!(registry.send(method, &elsewhere, &[], b"").status, 404, "{method}");
    }
    let registry = registry.restart();
    assert_eq!(registry.get(&elsewhere).status, 404);
    assert_eq!(registry.get(&location).status, 204);
}

#[test]
fn a_blob_is_found_only_in_the_repositories_that_have_it() {
    let registry = Registry::new();
    let digest = registry.put_blob("secret", b"content");
    let get = |name: &str| registry.get(&format!("/v2/{name}/blobs/{digest}")).status;
    assert_eq!((get("secret"), get("other")), (200, 404));
    // Uploading it gives the second repository the same content, and deleting it leaves the first's.
    registry.put_blob("other", b"content");
    assert_eq!(get("other"), 200);
    let path = format!("/v2/other/blobs/{digest}");
    assert_eq!(registry.send("DELETE", &path, &[], b"").status, 202);
    assert_eq!((get("secret"), get("other")), (200, 404));
    assert_eq!(registry.send("DELETE", &path, &[], b"").status, 404);
    // A manifest is no blob, and a blob is no manifest.
    assert_eq!(registry.get(&format!("/v2/secret/manifests/{digest}")).status, 404);
    let image = registry.put_image("secret", "v", b"x");
    assert_eq!(registry.get(&format!("/v2/secret/blobs/{image}")).status, 404);
}

#[test]
fn manifests_that_are_none_are_refused() {
    let registry = Registry::new();
    let config = registry.put_blob("a", b"{}");
    let put = |selector: &str, text: &str| {
        let answer = registry.put_manifest("a", selector, text);
        (answer.status, answer.code())
    };
    let invalid = (400, "MANIFEST_INVALID".to_owned());
    assert_eq!(put("v", ""), invalid);
    assert_eq!(put("v", "{}"), invalid);
    assert_eq!(put("v", "[[[[[[[["), invalid);
    assert_eq!(put("v", &"[".repeat(1 << 20)), invalid);
    let text = manifest(&config, &[], "");
    // Two kinds at once; a name twice.
    assert_eq!(put("v", &text.replace("\"layers\"", "\"manifests\":[],\"layers\"")), invalid);
    assert_eq!(put("v", &text.replace("\"layers\"", "\"layers\":[],\"layers\"")), invalid);
    let other = digest_of(Algorithm::Sha256, b"other");
    assert_eq!(put(&other.to_string(), &text), (400, "DIGEST_INVALID".to_owned()));
    assert_eq!(put("v?tag=x", &text).0, 201);
    let own = digest_of(Algorithm::Sha512, text.as_bytes());
    assert_eq!(put(&format!("{own}?tag=../x"), &text), invalid);
    assert_eq!(put(&own.to_string(), &text).0, 201);
    let many: Vec<String> = (0..=crate::limits::TAGS_PER_PUT).map(|i| format!("tag={i}")).collect();
    assert_eq!(put(&format!("{own}?{}", many.join("&")), &text).0, 414);
    // Largest that is taken, and one byte more.
    let pad = |size: usize| {
        let text = text
            .replace("\"schemaVersion\":2,", &format!("\"schemaVersion\":2,{}", " ".repeat(size)));
        let rest = size - (text.len() - size);
        assert_eq!(text.len(), 2 * size - rest);
        text
    };
    let room = crate::limits::MANIFEST_BYTES - text.len();
    assert_eq!(put("v", &pad(room)).0, 201);
    assert_eq!(put("v", &pad(room + 1)), (413, "SIZE_INVALID".to_owned()));
}

#[test]
fn a_body_that_nobody_wants_does_not_hide_the_answer() {
    let registry = Registry::new();
    let body = vec![0; 2 << 20];
    let path = "/v2/a/blobs/uploads/00000000-0000-4000-8000-000000000000?digest=x";
    for _ in 0..20 {
        assert_eq!(registry.send("PUT", path, &[], &body).code(), "DIGEST_INVALID");
    }
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let registry = Registry::new();
    let ask = |head: &str| {
        let mut stream = registry.connect();
        stream.write_all(format!("{head}\r\n\r\n").as_bytes()).unwrap();
        Answer::read(&mut stream, false).status
    };
    let get = "GET /v2/ HTTP/1.1\r\nHost: x\r\n";
    assert_eq!(ask(&format!("{get}Content-Length: 1\r\nContent-Length: 2")), 400);
    assert_eq!(ask(&format!("{get}Content-Length: +1")), 400);
    assert_eq!(ask(&format!("{get}Transfer-Encoding: xchunked")), 400);
    assert_eq!(ask(&format!("{get}X-Y : z")), 400);
    let many: Vec<String> = (0..crate::limits::HEADERS).map(|i| format!("X-{i}: y")).collect();
    assert_eq!(ask(&format!("{get}{}", many.join("\r\n"))), 431);
    assert_eq!(ask(&format!("{get}X: {}", "y".repeat(1 << 20))), 431);
}

#[test]
fn damage_is_told_to_the_operator_and_not_served() {
    let registry = Registry::new();
    let digest = registry.put_image("a", "v", b"layer");
    let hex = digest.hex();
    let path = registry.root().join(format!("blobs/sha256/{}/{hex}", &hex[..2]));
    let mut text = std::fs::read(&path).unwrap();
    text[0] ^= 1;
    std::fs::write(&path, text).unwrap();
    let answer = registry.get("/v2/a/manifests/v");
    assert_eq!((answer.status, &*answer.code()), (500, "UNKNOWN"));
    assert!(!answer.text().contains("blobs/"), "{}", answer.text());
    assert!(registry.faults.lock().unwrap()[0].contains("the stored bytes are others"));
}

#[test]
fn two_servers_do_not_share_a_directory() {
    let registry = Registry::new();
    let config = crate::Config::new(registry.root());
    let Err(error) = crate::Server::start(&config) else { panic!("it started") };
    assert!(error.to_string().contains("another process serves"), "{error}");
    std::fs::create_dir(registry.place.0.join("full")).unwrap();
    std::fs::write(registry.place.0.join("full/letter"), "x").unwrap();
    let config = crate::Config::new(registry.place.0.join("full"));
    let Err(error) = crate::Server::start(&config) else { panic!("it started") };
    assert!(error.to_string().contains("is not a registry, and not empty"), "{error}");
}
