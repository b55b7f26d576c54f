//! `list-tags`, `delete`, `manifest-digest`.

use e2e::images::{DockerRegistry, Sample, Yard};
use serde_json::Value;

fn tags(yard: &Yard, registry: &DockerRegistry, repository: &str) -> Vec<String> {
    let text = yard.fine(&["list-tags", &registry.place(repository)]);
    let value: Value = serde_json::from_str(&text).unwrap();
    let tags = value["Tags"].as_array().unwrap().iter();
    let mut tags: Vec<String> = tags.map(|tag| tag.as_str().unwrap().to_owned()).collect();
    tags.sort();
    tags
}

#[test]
fn a_tag_goes_and_other_tags_stay() {
    const TEST: &str = "a_tag_goes_and_other_tags_stay";
    let yard = Yard::new();
    let Some(registry) = DockerRegistry::start(TEST, &yard) else { return };
    let digest = Sample::default().write(&yard.path("layout"), "x");
    for tag in ["1", "2", "3"] {
        yard.fine(&["copy", "-q", "oci:layout:x", &registry.place(&format!("app:{tag}"))]);
    }
    Sample { text: "another", ..Sample::default() }.write(&yard.path("layout"), "y");
    yard.fine(&["copy", "-q", "oci:layout:y", &registry.place("app:y")]);
    // Docker's registry cannot take away a tag, and three tags are one image.
    let text = yard.fails(&["delete", &registry.place("app:1")]);
    assert!(text.contains("cannot take away a tag alone, and "), "{text}");
    assert!(text.contains("hint: `--digest` removes the image"), "{text}");
    assert_eq!(tags(&yard, &registry, "app"), ["1", "2", "3", "y"]);
    yard.fine(&["delete", &registry.place("app:y")]);
    assert_eq!(tags(&yard, &registry, "app"), ["1", "2", "3"]);
    yard.fine(&["delete", "--digest", &registry.place("app:1")]);
    assert_eq!(tags(&yard, &registry, "app"), [""; 0]);
    yard.fine(&["copy", "-q", "oci:layout:x", &registry.place("app:4")]);
    yard.fine(&["delete", &registry.place(&format!("app@{digest}"))]);
    assert_eq!(tags(&yard, &registry, "app"), [""; 0]);
    let text = yard.fails(&["delete", &registry.place("app:4")]);
    assert!(text.contains("there is no tag 4"), "{text}");
    let text = yard.fails(&["list-tags", &registry.place("absent")]);
    assert!(text.contains("there is no such repository"), "{text}");
    let text = yard.fails(&["list-tags", &registry.place("app:4")]);
    assert!(text.contains("hint: write docker://"), "{text}");
}

#[test]
fn a_registry_that_forbids_it_is_told_of() {
    const TEST: &str = "a_registry_that_forbids_it_is_told_of";
    let yard = Yard::new();
    let Some(registry) = DockerRegistry::start_with(TEST, &yard, "", "") else { return };
    Sample::default().write(&yard.path("layout"), "x");
    yard.fine(&["copy", "-q", "oci:layout:x", &registry.place("app:1")]);
    for args in [&["delete"][..], &["delete", "--digest"]] {
        let text = yard.fails(&[args, &[&registry.place("app:1")]].concat());
        assert!(text.contains("the registry does not let anybody delete"), "{text}");
    }
}

#[test]
fn an_image_leaves_a_layout_with_what_is_its_own() {
    let yard = Yard::new();
    let one = Sample::default();
    // The same layers, and one more of its own.
    let three = Sample { layers: 3, ..one.clone() };
    one.write(&yard.path("layout"), "one");
    let before = yard.list("layout/blobs/sha256");
    three.write(&yard.path("layout"), "three");
    yard.fine(&["delete", "oci:layout:three"]);
    assert_eq!(yard.list("layout/blobs/sha256"), before);
    yard.fine(&["copy", "-q", "oci:layout:one", "dir:out"]);
    yard.fine(&["delete", "oci:layout:one"]);
    assert_eq!(yard.list("layout/blobs/sha256"), [""; 0]);
    let text = yard.fails(&["delete", "oci:layout:one"]);
    assert!(text.contains("there is no such image"), "{text}");
    let text = yard.fails(&["delete", "dir:out"]);
    assert!(text.contains("images cannot be deleted from a dir:"), "{text}");
}

#[test]
fn the_digest_of_a_manifest_is_skopeos() {
    const TEST: &str = "the_digest_of_a_manifest_is_skopeos";
    let yard = Yard::new();
    let manifest = yard.write("m.json", b"{\"schemaVersion\": 2,\n \"manifests\": []}");
    let other = yard.write("other", b"no manifest");
    for path in [manifest, other] {
        let ours = yard.fine(&["manifest-digest", &path]);
        let Some(theirs) = yard.skopeo(TEST, &["manifest-digest", &path]) else { return };
        assert_eq!(ours, theirs);
    }
    assert!(yard.fails(&["manifest-digest", "absent"]).contains("reading absent: No such file"));
}
