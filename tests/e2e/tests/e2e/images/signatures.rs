//! What travels along with an image: signatures and referrers. Nobody here checks them, so theirs are
//! made up.

use e2e::images::{DockerRegistry, Sample, Yard, put};
use oci::image::{Descriptor, Document, Manifest, media_type};
use oci::{Digest, Reference};
use transport::hash::verify_manifest;
use transport::registry::{Options, Registry, RegistrySink};

/// How an OpenPGP message begins, and something.
const SIMPLE: &[u8] = b"\xa3\x01 a message with a signature";
const SIGSTORE: &[u8] = b"\0sigstore-json\n{\"mimeType\":\"application/vnd.dev.cosign.simplesigning.v1+json\",\
    \"payload\":\"eyJjcml0aWNhbCI6e319\",\"annotations\":{\"dev.cosignproject.cosign/signature\":\"c2ln\"}}";

const ONE: Sample =
    Sample { text: "signed", architectures: &["amd64"], layers: 1, packed: true, bytes: 10 };

/// A yard whose registries keep signatures beside them and within.
fn yard() -> Yard {
    let yard = Yard::new();
    let text = format!(
        "default-docker:\n  lookaside: file://{0}\n  lookaside-staging: file://{0}\n  use-sigstore-attachments: true\n",
        yard.path("lookaside")
    );
    yard.write("home/.config/containers/registries.d/default.yaml", text.as_bytes());
    yard
}

/// A directory with a signed image.
fn signed(yard: &Yard, signatures: &[&[u8]]) -> Digest {
    let digest = ONE.write(&yard.path("layout"), "one");
    yard.fine(&["copy", "-q", "oci:layout:one", "dir:signed"]);
    for (number, signature) in (1..).zip(signatures) {
        yard.write(&format!("signed/signature-{number}"), signature);
    }
    digest
}

fn files(yard: &Yard, directory: &str) -> Vec<(String, Vec<u8>)> {
    let names = yard.list(directory);
    names.iter().map(|name| (name.clone(), yard.read(&format!("{directory}/{name}")))).collect()
}

fn connect(registry: &DockerRegistry, repository: &str) -> Registry {
    let name = format!("{}/{repository}", registry.host());
    Registry::connect(&Reference::parse(&name).unwrap(), Options::default()).unwrap()
}

#[test]
fn signatures_go_there_and_back_as_with_skopeo() {
    const TEST: &str = "signatures_go_there_and_back_as_with_skopeo";
    let yard = yard();
    let Some(registry) = DockerRegistry::start(TEST, &yard) else { return };
    let digest = signed(&yard, &[SIMPLE, SIGSTORE]);
    let (ours, theirs) = (registry.place("ours:1"), registry.place("theirs:1"));
    yard.fine(&["copy", "-q", "dir:signed", &ours]);
    let d = yard.path("home/.config/containers/registries.d");
    let from = format!("dir:{}", yard.path("signed"));
    let args = ["--registries.d", &d, "copy", "-q", "--dest-tls-verify=false", &from, &theirs];
    if yard.skopeo(TEST, &args).is_none() {
        return;
    }
    // Beside the registry and within are the same things now.
    let beside =
        |who: &str| yard.read(&format!("lookaside/{who}@sha256={}/signature-1", digest.hex()));
    assert_eq!(beside("ours"), SIMPLE);
    assert_eq!(beside("theirs"), SIMPLE);
    let tag = format!("sha256-{}.sig", digest.hex());
    let within = |who: &str| connect(&registry, who).manifest(&tag, None).unwrap();
    let layers = |document: &Document| document.manifest().unwrap().layers.clone();
    assert_eq!(layers(&within("ours")), layers(&within("theirs")));
    // And each of us reads what the other has written.
    yard.fine(&["copy", "-q", &theirs, "dir:back"]);
    assert_eq!(files(&yard, "back"), files(&yard, "signed"));
    let to = format!("dir:{}", yard.path("their-back"));
    let args = ["--registries.d", &d, "copy", "-q", "--src-tls-verify=false", &ours, &to];
    yard.skopeo(TEST, &args).unwrap();
    assert_eq!(yard.read("their-back/signature-1"), SIMPLE);
    assert_eq!(yard.read("their-back/signature-2"), SIGSTORE);
    // Once more adds nothing.
    yard.fine(&["copy", "-q", "dir:signed", &ours]);
    assert_eq!(layers(&within("ours")).len(), 1);
    assert_eq!(yard.list(&format!("lookaside/ours@sha256={}", digest.hex())), ["signature-1"]);
    yard.fine(&["copy", "-q", "--remove-signatures", &theirs, "dir:bare"]);
    assert!(!yard.list("bare").iter().any(|name| name.starts_with("signature")));
}

#[test]
fn companions_keep_their_bytes_and_grow_together() {
    const TEST: &str = "companions_keep_their_bytes_and_grow_together";
    let yard = yard();
    let Some(registry) = DockerRegistry::start(TEST, &yard) else { return };
    let digest = signed(&yard, &[SIGSTORE]);
    yard.fine(&["copy", "-q", "dir:signed", &registry.place("from:1")]);
    let tag = format!("sha256-{}.sig", digest.hex());
    let of = |repository: &str| connect(&registry, repository).manifest(&tag, None).unwrap();
    // From registry to registry, and through a layout, which has a name for it.
    yard.fine(&["copy", "-q", &registry.place("from:1"), &registry.place("to:1")]);
    assert_eq!(of("to").bytes(), of("from").bytes());
    yard.fine(&["copy", "-q", &registry.place("from:1"), "oci:on-a-stick"]);
    yard.fine(&["copy", "-q", "oci:on-a-stick", &registry.place("far:1")]);
    assert_eq!(of("far").bytes(), of("from").bytes());
    yard.fine(&["copy", "-q", "oci:on-a-stick", "oci-archive:stick.tar"]);
    yard.fine(&["copy", "-q", "oci-archive:stick.tar", &registry.place("farther:1")]);
    assert_eq!(of("farther").bytes(), of("from").bytes());
    // Another signature of the same image comes to the first.
    let other = String::from_utf8_lossy(SIGSTORE).replace("c2ln", "b3RoZXI=");
    yard.write("signed/signature-1", other.as_bytes());
    yard.fine(&["copy", "-q", "dir:signed", &registry.place("other:1")]);
    yard.fine(&["copy", "-q", &registry.place("other:1"), &registry.place("to:1")]);
    let merged = of("to").manifest().unwrap().layers.clone();
    assert_eq!(merged.len(), 2);
    assert_eq!(merged[0], of("from").manifest().unwrap().layers[0]);
    // What has no place is told of.
    yard.write("home/.config/containers/registries.d/default.yaml", b"default-docker: {}\n");
    let output = yard.tare(&["copy", "dir:signed", &registry.place("unsigned:1")]);
    let text = e2e::stderr(&output);
    assert!(text.contains("1 of 1 signatures of sha256:"), "{text}");
    let output = yard.tare(&["copy", "--format=v2s2", "dir:signed", "dir:changed"]);
    let text = e2e::stderr(&output);
    assert!(text.contains(&format!("the signatures of {digest} stay behind")), "{text}");
}

/// An artifact that refers to a manifest.
fn attach(registry: &Registry, subject: &Document, text: &str) -> Document {
    let name = Reference::parse("x.example/any:1").unwrap();
    let sink = RegistrySink::new(registry.clone(), &name);
    let manifest = Manifest {
        schema_version: 2,
        media_type: media_type::OCI_MANIFEST.into(),
        artifact_type: "example/description".into(),
        config: put(&sink, media_type::OCI_EMPTY, b"{}"),
        layers: vec![put(&sink, "text/plain", text.as_bytes())],
        subject: Some(subject.descriptor()),
        ..Manifest::default()
    };
    let document = verify_manifest(oci::json::write(&manifest).into_bytes(), "", None).unwrap();
    registry.put_manifest(&document.digest().to_string(), &document).unwrap();
    document
}

#[test]
fn referrers_travel_along_when_they_are_asked_to() {
    const TEST: &str = "referrers_travel_along_when_they_are_asked_to";
    let yard = Yard::new();
    let Some(registry) = DockerRegistry::start(TEST, &yard) else { return };
    let digest = ONE.write(&yard.path("layout"), "one");
    yard.fine(&["copy", "-q", "oci:layout:one", &registry.place("from:1")]);
    let from = connect(&registry, "from");
    let image = from.manifest("1", None).unwrap();
    let description = attach(&from, &image, "a description");
    let signature = attach(&from, &description, "its signature");
    let check = |repository: &str, expected: bool| {
        let there = connect(&registry, repository);
        let of = |subject: &Digest| -> Vec<Descriptor> { there.referrers(subject, "").unwrap() };
        let found: Vec<_> = of(&digest).iter().map(|it| it.digest.clone()).collect();
        assert_eq!(found == [(*description.digest()).into()], expected, "{repository}");
        let found: Vec<_> = of(description.digest()).iter().map(|it| it.digest.clone()).collect();
        assert_eq!(found == [(*signature.digest()).into()], expected, "{repository}");
    };
    yard.fine(&["copy", "-q", &registry.place("from:1"), &registry.place("without:1")]);
    check("without", false);
    let with = |from: &str, to: &str| yard.fine(&["copy", "-q", "--with-referrers", from, to]);
    with(&registry.place("from:1"), &registry.place("with:1"));
    check("with", true);
    with(&registry.place("from:1"), "oci:stick");
    with("oci:stick", &registry.place("far:1"));
    check("far", true);
    let output = yard.tare(&["copy", "--with-referrers", &registry.place("from:1"), "dir:out"]);
    let text = e2e::stderr(&output);
    assert!(text.contains(&format!("what refers to {digest} stays behind")), "{text}");
}
