//! What nothing refers to goes, and nothing else.

use super::{Registry, descriptor, digest_of, manifest};
use oci::{Algorithm, Digest};

/// Older than any lease.
const OLD: u64 = 1_000_000;

fn index(children: &[Digest], more: &str) -> String {
    let children: Vec<String> =
        children.iter().map(|child| descriptor("image.manifest.v1+json", child, 1)).collect();
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{}]{more}}}"#,
        children.join(","),
    )
}

fn sha(text: &str) -> Digest {
    digest_of(Algorithm::Sha256, text.as_bytes())
}

#[test]
fn a_blob_that_nothing_names_goes_when_it_is_old() {
    let registry = Registry::new();
    let image = registry.put_image("a", "v", b"layer");
    let stray = registry.put_blob("a", b"stray");
    let path = format!("/v2/a/blobs/{stray}");
    assert_eq!(registry.collect(None), crate::Collected::default());
    assert_eq!(registry.get(&path).status, 200);
    // Whoever asks for it relies on it.
    registry.age(OLD);
    assert_eq!(registry.send("HEAD", &path, &[], b"").status, 200);
    assert_eq!(registry.collect(None).entries, 0);
    registry.age(OLD);
    let collected = registry.collect(None);
    assert_eq!((collected.entries, collected.blobs, collected.bytes), (1, 1, 5));
    assert_eq!(registry.get(&path).status, 404);
    assert_eq!(registry.get(&format!("/v2/a/manifests/{image}")).status, 200);
    assert_eq!(registry.content().len(), 3);
}

#[test]
fn content_goes_with_the_last_repository_that_has_it() {
    let registry = Registry::new();
    let first = registry.put_image("a", "v", b"layer");
    let second = registry.put_image("b/c", "v", b"layer");
    assert_eq!(first, second);
    registry.delete(&format!("/v2/a/manifests/{first}"));
    registry.age(OLD);
    let collected = registry.collect(None);
    assert_eq!((collected.entries, collected.blobs), (2, 0));
    assert_eq!(registry.get("/v2/_catalog").text(), r#"{"repositories":["b/c"]}"#);
    registry.delete(&format!("/v2/b/c/manifests/{first}"));
    registry.age(OLD);
    let collected = registry.collect(None);
    assert_eq!((collected.entries, collected.blobs), (2, 3));
    assert!(registry.content().is_empty());
    assert_eq!(registry.get("/v2/_catalog").text(), r#"{"repositories":[]}"#);
    // A repository that is gone can be made again.
    registry.put_image("a", "v", b"layer");
}

/// An index keeps its manifests, and a manifest keeps what refers to it, whatever has a tag
/// (distribution#3178, #4461).
#[test]
fn manifests_without_a_tag_go_only_when_nothing_tagged_leads_to_them() {
    let registry = Registry::new();
    let child = registry.put_image("a", "child", b"one");
    let deep = index(&[child], "");
    assert_eq!(registry.put_manifest("a", "deep", &deep).status, 201);
    let top = index(&[sha(&deep)], "");
    assert_eq!(registry.put_manifest("a", "top", &top).status, 201);
    let config = registry.put_blob("a", b"{}");
    let refers = |subject: &Digest, kind: &str| {
        let subject = descriptor("image.manifest.v1+json", subject, 1);
        let text =
            manifest(&config, &[], &format!(r#","artifactType":"x/{kind}","subject":{subject}"#));
        assert_eq!(registry.put_manifest("a", &sha(&text).to_string(), &text).status, 201);
        sha(&text)
    };
    let signature = refers(&child, "signature");
    let of_signature = refers(&signature, "of-signature");
    let loose = registry.put_image("a", "loose", b"two");
    let of_loose = refers(&loose, "of-loose");
    for tag in ["child", "deep", "loose"] {
        registry.delete(&format!("/v2/a/manifests/{tag}"));
    }
    registry.age(OLD);
    // Without a wish nothing of it goes.
    assert_eq!(registry.collect(None), crate::Collected::default());
    let status = |digest: &Digest| registry.get(&format!("/v2/a/manifests/{digest}")).status;
    let kept = [sha(&top), sha(&deep), child, signature, of_signature];
    let gone = [loose, of_loose];
    assert!(kept.iter().chain(&gone).all(|digest| status(digest) == 200));
    // They were asked for just now.
    assert_eq!(registry.collect(Some(3600)), crate::Collected::default());
    registry.age(OLD);
    // Younger than was asked for.
    assert_eq!(registry.collect(Some(2 * OLD)).manifests, 0);
    let collected = registry.collect(Some(3600));
    assert_eq!((collected.manifests, collected.entries), (2, 1));
    assert!(kept.iter().all(|digest| status(digest) == 200));
    assert!(gone.iter().all(|digest| status(digest) == 404));
    let list = registry.get(&format!("/v2/a/referrers/{loose}")).text();
    assert!(list.contains("\"manifests\":[]"), "{list}");
    // Without a tag at the top all of it goes.
    registry.delete("/v2/a/manifests/top");
    registry.age(OLD);
    assert_eq!(registry.collect(Some(3600)).manifests, 5);
    assert!(registry.content().is_empty());
}

#[test]
fn a_manifest_that_cannot_be_read_keeps_its_repository() {
    let registry = Registry::new();
    let image = registry.put_image("a", "v", b"layer");
    registry.put_blob("a", b"stray");
    let hex = image.hex();
    let path = registry.root().join(format!("blobs/sha256/{}/{hex}", &hex[..2]));
    std::fs::write(path, "{").unwrap();
    registry.age(OLD);
    assert_eq!(registry.collect(Some(0)), crate::Collected::default());
    let told = registry.faults.lock().unwrap().join("\n");
    assert!(told.contains("a is not collected: its manifest sha256:"), "{told}");
}

#[test]
fn uploads_that_nobody_goes_on_with_go() {
    let registry = Registry::new();
    let (old, young) = (registry.begin("a"), registry.begin("a"));
    assert_eq!(registry.send("PATCH", &old, &[], b"some").status, 202);
    registry.age(1000);
    assert_eq!(registry.send("PATCH", &young, &[], b"some").status, 202);
    let uploads = registry.server.as_ref().unwrap().registry.uploads.clone();
    assert_eq!(uploads.purge(std::time::Duration::from_secs(2000)).unwrap(), 0);
    assert_eq!(uploads.purge(std::time::Duration::from_secs(500)).unwrap(), 1);
    assert_eq!(registry.get(&old).status, 404);
    assert_eq!(registry.get(&young).status, 204);
}

#[test]
fn a_check_finds_damage_and_takes_it_away() {
    let registry = Registry::new();
    let image = registry.put_image("a", "v", b"layer");
    registry.put_image("b", "v", b"other");
    let root = registry.root();
    // While it is served, too.
    let checked = crate::check(&root, None, false).unwrap();
    assert_eq!((checked.repositories, checked.manifests, checked.blobs), (2, 2, 5));
    assert_eq!(checked.problems, []);
    let Err(error) = crate::check(&root, None, true) else {
        panic!("it repaired a served registry")
    };
    assert!(error.to_string().contains("another process serves"), "{error}");

    let hex = sha("layer").hex();
    let blob = root.join(format!("blobs/sha256/{}/{hex}", &hex[..2]));
    std::fs::write(&blob, "Layer").unwrap();
    let hex = image.hex();
    std::fs::remove_file(root.join(format!("repositories/b/blobs/sha256-{}", sha("other").hex())))
        .unwrap();
    std::fs::write(root.join("repositories/a/tags/odd"), "{").unwrap();
    let place = registry.place.clone();
    drop(registry);
    let what = |repair: bool| -> Vec<(String, bool)> {
        let problems = crate::check(&root, None, repair).unwrap().problems;
        problems.into_iter().map(|it| (format!("{}: {}", it.place, it.what), it.repaired)).collect()
    };
    let found = what(false);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].0.contains("its content has the digest"), "{found:?}");
    assert!(found[1].0.contains("repositories/a/tags/odd: leads to no manifest"), "{found:?}");
    assert!(found[2].0.contains("which the repository has not got"), "{found:?}");
    assert_eq!(what(true).iter().filter(|(_, repaired)| *repaired).count(), 3);
    // The manifests that lack something stay, and a push makes them whole.
    let left = what(true);
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left.iter().all(|(text, _)| text.contains("which the repository has not got")));
    assert!(left.iter().any(|(text, _)| text.contains(&hex)));
    let registry = Registry::at(place.clone(), |_| {});
    registry.put_image("a", "v", b"layer");
    registry.put_image("b", "v", b"other");
    drop(registry);
    assert_eq!(what(false), []);
}
