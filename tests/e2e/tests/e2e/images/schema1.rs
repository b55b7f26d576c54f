//! Images of docker's schema 1, which skopeo can still write and docker's registry can be told to take.

use e2e::images::{DockerRegistry, Sample, Yard};
use serde_json::Value;

const ONE: Sample =
    Sample { text: "old", architectures: &["amd64"], layers: 3, packed: true, bytes: 1000 };

fn json(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap()
}

/// The image in a directory and in a registry; `None` without skopeo or the registry.
fn old(test: &str, yard: &Yard) -> Option<DockerRegistry> {
    let compatible = "compatibility:\n  schema1:\n    enabled: true\n";
    let registry = DockerRegistry::start_with(test, yard, "", compatible)?;
    ONE.write(&yard.path("layout"), "one");
    let (layout, old) =
        (format!("oci:{}:one", yard.path("layout")), format!("dir:{}", yard.path("old")));
    yard.skopeo(test, &["copy", "-q", "--format=v2s1", &layout, &old])?;
    let there = registry.place("old/app:1");
    yard.skopeo(test, &["copy", "-q", "--dest-tls-verify=false", &old, &there])?;
    Some(registry)
}

#[test]
fn an_old_image_becomes_a_new_one() {
    const TEST: &str = "an_old_image_becomes_a_new_one";
    let yard = Yard::new();
    let Some(registry) = old(TEST, &yard) else { return };
    yard.fine(&["copy", "-q", "oci:layout:one", "dir:new"]);
    let new = json(&yard.read("new/manifest.json"));
    for (number, from) in ["dir:old", &registry.place("old/app:1")].into_iter().enumerate() {
        let output = yard.tare(&["copy", from, "dir:converted"]);
        assert!(output.status.success(), "{output:?}");
        let text = e2e::stderr(&output);
        assert!(text.contains("the manifest is docker's schema 1"), "{text}");
        let manifest = json(&yard.read("converted/manifest.json"));
        assert_eq!(manifest["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
        let layers = |manifest: &Value| -> Vec<Value> {
            let layers = manifest["layers"].as_array().unwrap().iter();
            layers.map(|it| serde_json::json!([it["digest"], it["size"]])).collect()
        };
        assert_eq!(layers(&manifest), layers(&new));
        let config = |yard: &Yard, directory: &str, manifest: &Value| {
            let digest = manifest["config"]["digest"].as_str().unwrap();
            json(&yard.read(&format!("{directory}/{}", digest.trim_start_matches("sha256:"))))
        };
        let (ours, theirs) = (config(&yard, "converted", &manifest), config(&yard, "new", &new));
        for member in ["rootfs", "architecture", "os", "created"] {
            assert_eq!(ours[member], theirs[member], "{member}");
        }
        assert_eq!(ours["config"]["Env"], theirs["config"]["Env"]);
        // Into the store, and as OCI's, in one piece.
        let name = format!("store:old:{number}");
        yard.fine(&["copy", "-q", from, &name]);
        yard.fine(&["copy", "-q", &name, "dir:from-store"]);
        assert_eq!(json(&yard.read("from-store/manifest.json")), manifest);
        yard.fine(&["copy", "-q", "--format=oci", from, "dir:as-oci"]);
        let manifest = json(&yard.read("as-oci/manifest.json"));
        assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
        assert_eq!(layers(&manifest), layers(&new));
    }
    yard.fine(&["pull", "-q", &registry.place("old/app:1")]);
    let shown = yard.fine(&["inspect", &registry.place("old/app:1")]);
    let shown = json(shown.as_bytes());
    assert_eq!((&shown["Tag"], &shown["Architecture"]), (&"1".into(), &"amd64".into()));
    let place = registry.place("old/app:1");
    let theirs = yard.skopeo(TEST, &["inspect", "--tls-verify=false", &place]).unwrap();
    let theirs = json(theirs.as_bytes());
    for member in ["Digest", "Layers", "Env", "Labels", "Created", "Name", "RepoTags"] {
        assert_eq!(shown[member], theirs[member], "{member}");
    }
}

#[test]
fn an_old_image_stays_as_it_is_where_its_digest_has_to() {
    const TEST: &str = "an_old_image_stays_as_it_is_where_its_digest_has_to";
    let yard = Yard::new();
    let Some(registry) = old(TEST, &yard) else { return };
    let place = registry.place("old/app:1");
    yard.fine(&["copy", "-q", "--preserve-digests", &place, "dir:ours"]);
    // The registry signs anew each time that it is asked, and the digest is that of what is signed.
    let theirs = yard.skopeo(TEST, &["manifest-digest", &yard.path("ours/manifest.json")]);
    let digest = yard.fine(&["manifest-digest", "ours/manifest.json"]);
    assert_eq!(digest, yard.fine(&["inspect", "-n", "--format={{.Digest}}", &place]));
    assert_eq!(Some(digest), theirs);
    let text = yard.fails(&["copy", "--preserve-digests", &place, "docker-archive:x.tar:a:1"]);
    assert!(text.contains("the manifest is docker's schema 1"), "{text}");
    // Whatever a layer is, it is looked at before it is used.
    let layer = yard.list("ours").into_iter().find(|name| name.len() == 64).unwrap();
    let mut content = yard.read(&format!("ours/{layer}"));
    content.push(0);
    yard.write(&format!("ours/{layer}"), &content);
    let text = yard.fails(&["copy", "dir:ours", "dir:broken"]);
    assert!(text.contains(&format!("sha256:{layer}")), "{text}");
}
