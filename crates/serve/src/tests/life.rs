//! Images come, are found, and go.

use super::{Registry, descriptor, digest_of, files, manifest};
use oci::Algorithm;
use std::io::Write;

const NOWHERE: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

#[test]
fn an_image_is_what_was_put() {
    let registry = Registry::new();
    let layer = vec![7; 300_000];
    let digest = registry.put_image("library/one", "v1", &layer);
    let by_tag = registry.get("/v2/library/one/manifests/v1");
    let by_digest = registry.get(&format!("/v2/library/one/manifests/{digest}"));
    assert_eq!((by_tag.status, by_digest.status), (200, 200));
    assert_eq!(by_tag.body, by_digest.body);
    assert_eq!(digest_of(Algorithm::Sha256, &by_tag.body), digest);
    let text = digest.to_string();
    assert_eq!(by_tag.header("docker-content-digest"), Some(&*text));
    assert_eq!(by_tag.header("etag"), Some(&*format!("\"{text}\"")));
    let kind = "application/vnd.oci.image.manifest.v1+json";
    assert_eq!(by_tag.header("content-type"), Some(kind));
    // A tag may mean something else tomorrow.
    assert_eq!(by_tag.header("cache-control"), None);
    assert!(by_digest.header("cache-control").unwrap().contains("immutable"));

    let blob = digest_of(Algorithm::Sha256, &layer);
    let path = format!("/v2/library/one/blobs/{blob}");
    let found = registry.get(&path);
    assert_eq!((found.status, found.body == layer), (200, true));
    let head = registry.send("HEAD", &path, &[], b"");
    assert_eq!((head.status, head.header("content-length")), (200, Some("300000")));
    let part = registry.send("GET", &path, &[("Range", "bytes=299990-")], b"");
    assert_eq!((part.status, part.body.len()), (206, 10));
    assert_eq!(part.header("content-range"), Some("bytes 299990-299999/300000"));
    let several = registry.send("GET", &path, &[("Range", "bytes=0-9, 150000-150009,-1")], b"");
    assert_eq!(several.status, 206);
    let kind = several.header("content-type").unwrap();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let mut expected = Vec::new();
    for (begin, end) in [(0, 9), (150_000, 150_009), (299_999, 299_999)] {
        expected.extend(
            format!(
                "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\n\
                 Content-Range: bytes {begin}-{end}/300000\r\n\r\n"
            )
            .bytes(),
        );
        expected.extend(&layer[begin..=end]);
    }
    expected.extend(format!("\r\n--{boundary}--\r\n").bytes());
    assert!(several.body == expected, "{:?}", several.text());
    let stale = [("Range", "bytes=0-1"), ("If-Range", "\"other\"")];
    assert_eq!(registry.send("GET", &path, &stale, b"").body.len(), 300_000);
    let known = format!("\"{blob}\"");
    let cached = registry.send("GET", &path, &[("If-None-Match", &known)], b"");
    assert_eq!((cached.status, cached.body.len()), (304, 0));
    assert_eq!(registry.send("GET", &path, &[("If-Match", "\"x\"")], b"").status, 412);
}

#[test]
fn everything_is_there_after_a_restart() {
    let registry = Registry::new();
    let digest = registry.put_image("a/b", "v1", b"layer");
    let location = registry.begin("a/b");
    let sent = registry.send("PATCH", &location, &[("Content-Range", "0-4")], b"hello");
    assert_eq!((sent.status, sent.header("range")), (202, Some("0-4")));
    let registry = registry.restart();
    assert_eq!(registry.get(&format!("/v2/a/b/manifests/{digest}")).status, 200);
    assert_eq!(registry.get("/v2/a/b/tags/list").text(), r#"{"name":"a/b","tags":["v1"]}"#);
    // The upload goes on where it was.
    let status = registry.get(&location);
    assert_eq!((status.status, status.header("range")), (204, Some("0-4")));
    let digest = digest_of(Algorithm::Sha256, b"hello world");
    let path = format!("{location}?digest={digest}");
    let done = registry.send("PUT", &path, &[("Content-Range", "5-10")], b" world");
    assert_eq!(done.status, 201, "{}", done.text());
    assert_eq!(registry.get(done.header("location").unwrap()).body, b"hello world");
    assert_eq!(registry.get(&location).code(), "BLOB_UPLOAD_UNKNOWN");
}

#[test]
fn uploads_are_checked_against_their_digest() {
    let registry = Registry::new();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let digest = digest_of(algorithm, b"right");
        let location = registry.begin("a");
        let path = format!("{location}?digest={digest}");
        let wrong = registry.send("PUT", &path, &[], b"wrong");
        assert_eq!((wrong.status, &*wrong.code()), (400, "DIGEST_INVALID"));
        // Nothing is left of it, and nobody finds it under either name.
        assert_eq!(registry.get(&location).status, 404);
        assert_eq!(registry.get(&format!("/v2/a/blobs/{digest}")).status, 404);
        let other = digest_of(algorithm, b"wrong");
        assert_eq!(registry.get(&format!("/v2/a/blobs/{other}")).status, 404);
        let location = registry.begin("a");
        let sent = registry.send("PUT", &format!("{location}?digest={digest}"), &[], b"right");
        assert_eq!(sent.status, 201);
        assert_eq!(registry.get(&format!("/v2/a/blobs/{digest}")).body, b"right");
    }
    assert!(files(&registry.root()).iter().all(|(name, _)| !name.starts_with("uploads")));
}

#[test]
fn chunks_come_in_their_order() {
    let registry = Registry::new();
    let location = registry.begin("a");
    let patch = |range: &str, body: &[u8]| {
        registry.send("PATCH", &location, &[("Content-Range", range)], body)
    };
    assert_eq!(patch("0-2", b"abc").status, 202);
    let early = patch("5-6", b"fg");
    assert_eq!((early.status, early.header("range")), (416, Some("0-2")));
    assert_eq!(early.header("location"), Some(&*location));
    assert_eq!(patch("0-2", b"abc").status, 416);
    assert_eq!(patch("3-5", b"de").code(), "SIZE_INVALID");
    assert_eq!(patch("3-x", b"de").code(), "BLOB_UPLOAD_INVALID");
    assert_eq!(patch("3-4", b"de").status, 202);
    // Without a range it goes behind what is there.
    assert_eq!(registry.send("PATCH", &location, &[], b"f").header("range"), Some("0-5"));
    let digest = digest_of(Algorithm::Sha256, b"abcdef");
    let done = registry.send("PUT", &format!("{location}?digest={digest}"), &[], b"");
    assert_eq!(done.status, 201, "{}", done.text());
}

#[test]
fn an_upload_whose_connection_broke_goes_on() {
    let registry = Registry::new();
    let location = registry.begin("a");
    let mut stream = registry.connect();
    let head = format!("PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(b"hello").unwrap();
    let arrived = || registry.get(&location).header("range").map(str::to_owned);
    for _ in 0..500 {
        if arrived().as_deref() == Some("0-4") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(arrived().as_deref(), Some("0-4"));
    // The first connection is still open as far as the server knows, and its client is back.
    let sent = registry.send("PATCH", &location, &[("Content-Range", "5-5")], b"!");
    assert_eq!((sent.status, sent.header("range")), (202, Some("0-5")), "{}", sent.text());
    let digest = digest_of(Algorithm::Sha256, b"hello!");
    let done = registry.send("PUT", &format!("{location}?digest={digest}"), &[], b"");
    assert_eq!(done.status, 201, "{}", done.text());
}

#[test]
fn a_manifest_needs_what_it_names() {
    let registry = Registry::new();
    let config = registry.put_blob("a", b"{}");
    let layer = digest_of(Algorithm::Sha256, b"layer");
    let text = manifest(&config, &[(layer, 5)], "");
    let lacks = registry.put_manifest("a", "v1", &text);
    assert_eq!((lacks.status, &*lacks.code()), (400, "MANIFEST_BLOB_UNKNOWN"));
    assert!(lacks.text().contains(&layer.to_string()));
    // What another repository has does not help.
    registry.put_blob("b", b"layer");
    assert_eq!(registry.put_manifest("a", "v1", &text).code(), "MANIFEST_BLOB_UNKNOWN");
    let mounted = format!("/v2/a/blobs/uploads/?mount={layer}&from=b");
    assert_eq!(registry.send("POST", &mounted, &[], b"").status, 201);
    assert_eq!(registry.put_manifest("a", "v1", &text).status, 201);
    let child = digest_of(Algorithm::Sha256, text.as_bytes());
    let index = |child: &oci::Digest| {
        let child = descriptor("image.manifest.v1+json", child, 1);
        format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{child}]}}"#
        )
    };
    assert_eq!(registry.put_manifest("a", "i", &index(&child)).status, 201);
    let nowhere = NOWHERE.parse().unwrap();
    assert_eq!(registry.put_manifest("a", "i", &index(&nowhere)).code(), "MANIFEST_BLOB_UNKNOWN");
    // Content of the wrong kind is not what it needs: a layer is no manifest of `b`.
    assert_eq!(registry.put_manifest("b", "i", &index(&child)).code(), "MANIFEST_BLOB_UNKNOWN");
}

#[test]
fn tags_are_given_and_taken() {
    let registry = Registry::new();
    let digest = registry.put_image("a", "one", b"layer");
    let text = registry.get("/v2/a/manifests/one").text();
    let put = registry.put_manifest("a", &format!("{digest}?tag=two&tag=three&tag=two"), &text);
    let tags = put.headers.iter().filter(|(name, _)| name == "oci-tag").count();
    assert_eq!((put.status, tags), (201, 2));
    let list = |query: &str| registry.get(&format!("/v2/a/tags/list{query}")).text();
    assert_eq!(list(""), r#"{"name":"a","tags":["one","three","two"]}"#);
    let page = registry.get("/v2/a/tags/list?n=2");
    assert_eq!(page.text(), r#"{"name":"a","tags":["one","three"]}"#);
    let next = "</v2/a/tags/list?n=2&last=three>; rel=\"next\"";
    assert_eq!(page.header("link"), Some(next));
    let last = registry.get("/v2/a/tags/list?n=2&last=three");
    assert_eq!((&*last.text(), last.header("link")), (r#"{"name":"a","tags":["two"]}"#, None));
    let none = registry.get("/v2/a/tags/list?n=0");
    assert_eq!((&*none.text(), none.header("link")), (r#"{"name":"a","tags":[]}"#, None));
    assert_eq!(registry.get("/v2/a/tags/list?n=x").status, 400);
    assert_eq!(registry.get("/v2/a/tags/list?n=-1").status, 400);
    assert_eq!(registry.get("/v2/nothing/tags/list").code(), "NAME_UNKNOWN");
    assert_eq!(registry.send("DELETE", "/v2/a/manifests/two", &[], b"").status, 202);
    assert_eq!(registry.get("/v2/a/manifests/two").code(), "MANIFEST_UNKNOWN");
    // The manifest goes with all its tags.
    let path = format!("/v2/a/manifests/{digest}");
    assert_eq!(registry.send("DELETE", &path, &[], b"").status, 202);
    assert_eq!(registry.send("DELETE", &path, &[], b"").status, 404);
    assert_eq!(list(""), r#"{"name":"a","tags":[]}"#);
    assert_eq!(registry.get("/v2/_catalog").text(), r#"{"repositories":["a"]}"#);
}

#[test]
fn a_tag_is_given_on_a_condition() {
    let registry = Registry::new();
    let first = registry.put_image("a", "v", b"first");
    let text = registry.get("/v2/a/manifests/v").text();
    let second = text.replace("\"schemaVersion\":2,", "\"schemaVersion\":2 ,");
    let put = |condition: (&str, &str), text: &str| {
        let kind = ("Content-Type", "application/vnd.oci.image.manifest.v1+json");
        registry.send("PUT", "/v2/a/manifests/v", &[kind, condition], text.as_bytes()).status
    };
    assert_eq!(put(("If-None-Match", "*"), &second), 412);
    assert_eq!(put(("If-Match", &format!("\"{NOWHERE}\"")), &second), 412);
    assert_eq!(put(("If-Match", "x"), &second), 400);
    assert_eq!(registry.get("/v2/a/manifests/v").text(), text);
    assert_eq!(put(("If-Match", &format!("\"{first}\"")), &second), 201);
    assert_eq!(registry.get("/v2/a/manifests/v").text(), second);
}

#[test]
fn referrers_are_listed_while_they_are_there() {
    let registry = Registry::new();
    let subject = registry.put_image("a", "v", b"layer");
    let config = registry.put_blob("a", b"{}");
    let referring = |kind: &str| {
        let subject = descriptor("image.manifest.v1+json", &subject, 1);
        let more = format!(
            r#","artifactType":"{kind}","subject":{subject},"annotations":{{"a":"<{kind}>"}}"#
        );
        manifest(&config, &[], &more)
    };
    let (one, two) = (referring("x/one"), referring("x/two"));
    for text in [&one, &two] {
        let digest = digest_of(Algorithm::Sha256, text.as_bytes());
        let put = registry.put_manifest("a", &digest.to_string(), text);
        assert_eq!((put.status, put.header("oci-subject")), (201, Some(&*subject.to_string())));
    }
    let path = format!("/v2/a/referrers/{subject}");
    let all = registry.get(&path);
    assert_eq!(all.header("content-type"), Some("application/vnd.oci.image.index.v1+json"));
    assert!(all.text().contains("x/one") && all.text().contains("\"a\":\"<x/two>\""));
    let some = registry.get(&format!("{path}?artifactType=x%2Fone"));
    assert_eq!(some.header("oci-filters-applied"), Some("artifactType"));
    assert!(some.text().contains("x/one") && !some.text().contains("x/two"));
    // Another repository has nothing to say about it, and one that is not there has an empty list.
    let other = registry.get(&format!("/v2/b/referrers/{subject}"));
    assert_eq!((other.status, other.text().contains("x/one")), (200, false));
    let digest = digest_of(Algorithm::Sha256, one.as_bytes());
    let deleted = registry.send("DELETE", &format!("/v2/a/manifests/{digest}"), &[], b"");
    assert_eq!(deleted.status, 202);
    assert!(!registry.get(&path).text().contains("x/one"));
    assert_eq!(registry.get("/v2/a/referrers/x").status, 400);
}
