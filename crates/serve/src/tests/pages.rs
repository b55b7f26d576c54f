//! Pages for people.

use super::{Registry, digest_of, manifest};
use oci::Algorithm;

#[test]
fn pages_lead_from_repositories_to_manifests() {
    let registry = Registry::new();
    let digest = registry.put_image("team/app", "v1", b"layer");
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":404,"platform":{{"os":"linux","architecture":"arm64","variant":"v8"}}}}]}}"#
    );
    assert_eq!(registry.put_manifest("team/app", "all", &index).status, 201);
    let get = |path: &str| {
        let answer = registry.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
        answer.text()
    };
    let has = |path: &str, what: &str| {
        let text = get(path);
        assert!(text.contains(what), "{path}: {what}\n{text}");
    };
    has("/", r#"<a href="/browse/team/app">team/app</a>"#);
    has("/browse/team/app", r#"<a href="/browse/team/app:v1">v1</a>"#);
    has("/browse/team/app", &format!(r#"<a href="/browse/team/app@{digest}">{digest}</a>"#));
    has("/browse/team/app:all", "linux/arm64/v8");
    has("/browse/team/app:all", &format!("/browse/team/app@{digest}"));
    let layer = digest_of(Algorithm::Sha256, b"layer");
    for path in ["/browse/team/app:v1".to_owned(), format!("/browse/team/app@{digest}")] {
        has(&path, &layer.to_string());
        has(&path, "7 B");
    }
    assert_eq!(registry.get("/browse/team/app:none").status, 404);
    assert_eq!(registry.get("/browse/team").status, 404);
}

/// What others have pushed is text, and browsers are told that there is nothing to run.
#[test]
fn pages_run_nothing() {
    let registry = Registry::new();
    let config = registry.put_blob("a", b"{}");
    let more = r#","annotations":{"<script>":"<img src=x onerror=alert(1)>","\u0000\u202e":"'\""}"#;
    let text = manifest(&config, &[], more);
    assert_eq!(registry.put_manifest("a", "v", &text).status, 201);
    let answer = registry.get("/browse/a:v");
    let page = answer.text();
    assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;"), "{page}");
    let style = page.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    let hash = oci::base64::encode(digest_of(Algorithm::Sha256, style.as_bytes()).hash());
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    assert_eq!(answer.header("content-security-policy"), Some(&*policy));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
}

#[test]
fn long_lists_are_pages_that_follow_each_other() {
    let registry = Registry::new();
    let config = registry.put_blob("a", b"{}");
    let text = manifest(&config, &[], "");
    let own = digest_of(Algorithm::Sha256, text.as_bytes());
    let rows = crate::limits::PAGE_ROWS;
    let tags: Vec<String> = (0..=rows).map(|number| format!("tag=t{number:04}")).collect();
    for tags in tags.chunks(crate::limits::TAGS_PER_PUT) {
        let selector = format!("{own}?{}", tags.join("&"));
        assert_eq!(registry.put_manifest("a", &selector, &text).status, 201);
    }
    let page = registry.get("/browse/a").text();
    let next = format!("/browse/a?last=t{:04}", rows - 1);
    assert!(page.contains(&format!("href=\"{next}\"")), "{page}");
    let last = registry.get(&next).text();
    assert!(last.contains(&format!(":t{rows:04}\"")) && !last.contains("More"), "{last}");
}

#[test]
fn there_are_no_pages_when_nobody_wants_them() {
    let registry = Registry::with(|config| config.pages = false);
    registry.put_image("a", "v", b"layer");
    for path in ["/", "/browse/a", "/browse/a:v"] {
        assert_eq!(registry.get(path).status, 404, "{path}");
    }
}
