//! `inspect`, beside skopeo's.

use e2e::images::{DockerRegistry, Sample, Yard, put, sha256};
use e2e::{stderr, stdout};
use oci::image::{Descriptor, Manifest, media_type};
use serde_json::Value;
use transport::Sink;
use transport::hash::verify_manifest;
use transport::layout::{LayoutSink, Place};

const BOTH: Sample = Sample {
    text: "<both> & \"more\"",
    architectures: &["amd64", "arm64"],
    layers: 3,
    packed: true,
    bytes: 100,
};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Compares two outputs, without members that older skopeos do not know.
fn compare(ours: &str, theirs: &str) {
    let (mut ours, theirs) = (json(ours), json(theirs));
    if theirs.get("LayersData").is_none()
        && let Some(members) = ours.as_object_mut()
    {
        members.remove("LayersData");
    }
    assert_eq!(ours, theirs);
}

#[test]
fn an_image_is_told_of_in_skopeos_words() {
    const TEST: &str = "an_image_is_told_of_in_skopeos_words";
    let yard = Yard::new();
    let Some(registry) = DockerRegistry::start(TEST, &yard) else { return };
    BOTH.write(&yard.path("layout"), "both");
    let layout = format!("oci:{}:both", yard.path("layout"));
    let place = registry.place("team/app:2");
    yard.fine(&["copy", "-q", "--all", &layout, &place]);
    yard.fine(&["copy", "-q", &layout, &registry.place("team/app:1")]);
    for place in [&layout, &place] {
        for options in [
            &[][..],
            &["--no-tags"],
            &["--config"],
            &["--format={{.Name}} {{.Digest}} {{.Env}} {{.Created}}"],
            &["--config", "--format={{.Architecture}} {{.OS}} {{.Config.Env}} {{.RootFS.Type}}"],
            &["--raw"],
            &["--raw", "--config"],
        ] {
            let ours = yard.fine(&[&["inspect"], options, &[place]].concat());
            let theirs = [&["inspect", "--tls-verify=false"], options, &[place]].concat();
            let Some(theirs) = yard.skopeo(TEST, &theirs) else { return };
            match options.is_empty() || options == ["--no-tags"] || options == ["--config"] {
                true => compare(&ours, &theirs),
                false => assert_eq!(ours, theirs, "{options:?}"),
            }
        }
    }
    let arm = yard.fine(&["--override-arch=arm64", "inspect", "-f", "{{.Architecture}}", &place]);
    assert_eq!(arm, "arm64\n");
    let text = yard.fails(&["--override-arch=s390x", "inspect", &place]);
    assert!(text.contains("there is no image for linux/s390x"), "{text}");
    assert!(text.contains("hint: there are linux/amd64, linux/arm64"), "{text}");
    let text = yard.fails(&["inspect", "--format={{.Nope}}", &layout]);
    assert!(text.contains("can't evaluate field Nope"), "{text}");
    let text = yard.fails(&["inspect", &registry.place("team/absent:1")]);
    assert!(text.contains("inspecting docker://"), "{text}");
}

#[test]
fn a_digest_is_made_with_another_algorithm() {
    let yard = Yard::new();
    let digest = Sample::default().write(&yard.path("layout"), "x");
    let show = |options: &[&str]| {
        yard.fine(&[&["inspect", "--format={{.Digest}}", "oci:layout:x"], options].concat())
    };
    assert_eq!(show(&[]), format!("{digest}\n"));
    assert_eq!(show(&["--manifest-digest=sha256"]), format!("{digest}\n"));
    let raw = yard.tare(&["inspect", "--raw", "oci:layout:x"]).stdout;
    let long = transport::hash::digest_of(oci::Algorithm::Sha512, &raw);
    assert_eq!(show(&["--manifest-digest=sha512"]), format!("{long}\n"));
    let output = yard.tare(&["inspect", "--manifest-digest=md5", "oci:layout:x"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
}

#[test]
fn an_artifact_is_told_of_as_far_as_it_goes() {
    let yard = Yard::new();
    let place = Place::parse(&format!("{}:x", yard.path("layout"))).unwrap();
    let sink = LayoutSink::create(&place, None).unwrap();
    let manifest = Manifest {
        schema_version: 2,
        media_type: media_type::OCI_MANIFEST.into(),
        artifact_type: "a/b".into(),
        config: put(&sink, media_type::OCI_EMPTY, b"{}"),
        layers: vec![Descriptor {
            annotations: [("a".to_owned(), "b".to_owned())].into_iter().collect(),
            ..put(&sink, "text/plain", b"hello")
        }],
        ..Manifest::default()
    };
    let document = verify_manifest(oci::json::write(&manifest).into_bytes(), "", None).unwrap();
    sink.finish(&document).unwrap();
    let value = json(&yard.fine(&["inspect", "oci:layout:x"]));
    assert_eq!(value["Digest"], document.digest().to_string());
    let layer = &value["LayersData"][0];
    assert_eq!(layer["Digest"], sha256(b"hello").to_string());
    assert_eq!((&layer["Size"], &layer["Annotations"]["a"]), (&5.into(), &"b".into()));
    let text = yard.fails(&["inspect", "--config", "oci:layout:x"]);
    assert!(text.contains("it is an artifact, and has no configuration"), "{text}");
    assert_eq!(yard.fine(&["inspect", "--config", "--raw", "oci:layout:x"]), "{}");
}
