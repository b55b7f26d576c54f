//! containers/image's and skopeo's policies, and hostile ones.

use super::*;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");

fn load(name: &str) -> Policy {
    Policy::load(&["/absent/policy.json".into(), Path::new(DATA).join(name)]).unwrap()
}

fn registry(name: &str) -> Scopes {
    Scopes::of_registry(&oci::Reference::parse(name).unwrap())
}

#[test]
fn policies_of_other_projects_are_read() {
    let policy = load("policy/policy.json");
    let scopes = &policy.transports["docker"];
    assert_eq!((policy.transports.len(), scopes.len()), (2, 14));
    assert_eq!(scopes["example.com/hardened"].len(), 3);
    let paths = |paths: &[&str]| Keys::Paths(paths.iter().map(ToString::to_string).collect());
    let signed = |key_type, keys, identity| Requirement::SignedBy { key_type, keys, identity };
    let expected = signed(
        KeyType::SignedByX509Cas,
        paths(&["/keys/public-key-signing-ca-file"]),
        Identity::RepoDigestOrExact,
    );
    assert_eq!(scopes["example.com/hardened-x509"][1], expected);
    let remapped = Identity::Remap {
        prefix: "private-mirror:5000/vendor-mirror".into(),
        signed_prefix: "vendor.example.com".into(),
    };
    let expected = signed(KeyType::GpgKeys, paths(&["/keys/vendor-gpg-keyring"]), remapped);
    assert_eq!(scopes["private-mirror:5000/vendor-mirror"], [expected]);
    let data = Keys::Data(vec![b"nonsense".to_vec()]);
    let expected =
        Requirement::SigstoreSigned { keys: data, identity: Identity::RepoDigestOrExact };
    assert_eq!(scopes["example.com/sigstore/key-data-example"], [expected]);
    let two = &scopes["registry.redhat.io/beta"][0];
    assert!(
        matches!(two, Requirement::SignedBy { keys: Keys::Paths(paths), .. } if paths.len() == 2)
    );
    let other = load("skopeo/policy.json");
    assert_eq!(other.transports.keys().collect::<Vec<_>>(), ["atomic", "dir", "docker"]);
    let default = load("policy/default.json");
    assert_eq!(default.default, [Requirement::AcceptAnything]);
}

#[test]
fn the_most_special_scope_decides() {
    let policy = load("policy/policy.json");
    let check = |scopes: Scopes, expected: &str, accepted: bool| {
        let (_, scope) = policy.requirements(&scopes);
        assert_eq!(scope, expected, "{scopes:?}");
        let checked = policy.check(&scopes);
        assert_eq!(checked.is_ok(), accepted, "{scopes:?}: {checked:?}");
        if let Err(error) = checked {
            assert_eq!(error.kind(), ErrorKind::Denied);
        }
    };
    check(registry("example.com/playground/x:1"), "docker:example.com/playground", true);
    check(registry("example.com/playground"), "docker:example.com/playground", true);
    check(registry("example.com/playgrounds/x"), "docker:*.com", false);
    check(registry("example.com/production/x"), "docker:example.com/production", false);
    check(registry("registry.access.redhat.com/x"), "docker:registry.access.redhat.com", false);
    check(registry("a.access.redhat.com/x"), "docker:*.access.redhat.com", false);
    check(registry("a.access.redhat.com:5000/x"), "docker:*.access.redhat.com", false);
    check(registry("b.redhat.com/x"), "docker:*.redhat.com", false);
    check(registry("busybox"), "default", false);
    check(Scopes::of_directory("dir", Path::new("/tmp/x"), ""), "dir:", true);
    check(Scopes::of_directory("oci", Path::new("/tmp/x"), "1"), "default", false);
    check(Scopes::of_transport("docker-archive", "/tmp/x.tar"), "default", false);
}

#[test]
fn signatures_that_cannot_be_checked_fail_closed() {
    let policy = load("policy/policy.json");
    for (image, what) in [
        (
            "example.com/production/x",
            "a GPG signature (signedBy), and signatures cannot be checked",
        ),
        ("example.com/sigstore/key-path-example", "a sigstore signature (sigstoreSigned), and"),
        ("busybox", "scope default: it rejects every image"),
    ] {
        let error = policy.check(&registry(image)).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains("policy.json"), "{error}");
    }
    // Beside one that accepts everything, too.
    let both = r#"{"default":[{"type":"insecureAcceptAnything"},{"type":"sigstoreSigned","keyPath":"/x"}]}"#;
    let both = Policy::read(Path::new("p"), both.as_bytes()).unwrap();
    assert!(both.check(&registry("x")).is_err());
    let absent = Policy::load(&["/absent/policy.json".into()]).unwrap_err();
    assert_eq!(absent.kind(), ErrorKind::NotFound);
}

#[test]
fn scopes_go_from_special_to_general() {
    let check = |scopes: Scopes, expected: &[&str]| {
        assert_eq!(scopes.names().collect::<Vec<_>>(), expected);
    };
    let names = ["docker.io/library/busybox", "docker.io/library", "docker.io", "*.io", ""];
    let with = |first: &'static str| [&[first][..], &names[..]].concat();
    check(registry("busybox"), &with("docker.io/library/busybox:latest"));
    check(registry("busybox:1"), &with("docker.io/library/busybox:1"));
    let digest = format!("sha256:{}", "a".repeat(64));
    let scopes = registry(&format!("busybox:1@{digest}"));
    assert_eq!(scopes.names().next().unwrap(), format!("docker.io/library/busybox@{digest}"));
    check(
        registry("a.b.example:8443/ns/x:t"),
        &[
            "a.b.example:8443/ns/x:t",
            "a.b.example:8443/ns/x",
            "a.b.example:8443/ns",
            "a.b.example:8443",
            "*.b.example",
            "*.example",
            "",
        ],
    );
    check(registry("localhost/x"), &["localhost/x:latest", "localhost/x", "localhost", ""]);
    check(Scopes::of_directory("dir", Path::new("/a/b"), ""), &["/a/b", "/a", ""]);
    check(Scopes::of_directory("oci", Path::new("/a/b"), "t"), &["/a/b:t", "/a/b", "/a", ""]);
}

#[test]
fn whatever_is_not_understood_makes_a_policy_invalid() {
    let read = |text: &str| Policy::read(Path::new("policy.json"), text.as_bytes());
    let accept = r#"[{"type":"insecureAcceptAnything"}]"#;
    assert!(read(&format!(r#"{{"default":{accept}}}"#)).is_ok());
    let whole = |rest: &str| format!(r#"{{"default":{accept}{rest}}}"#);
    for text in [
        "{}".into(),
        "[]".into(),
        String::new(),
        r#"{"default":[]}"#.into(),
        r#"{"default":null}"#.into(),
        r#"{"default":[{}]}"#.into(),
        whole(r#","x":1"#),
        whole(&format!(r#","default":{accept}"#)),
        whole(r#","transports":[]"#),
        whole(r#","transports":{"docker":{"x":[]}}"#),
        whole(&format!(r#","transports":{{"docker":{{"x":{accept},"x":{accept}}}}}"#)),
        whole(&format!(r#","transports":{{"docker":{{}},"docker":{{"x":{accept}}}}}"#)),
        whole(&format!(r#","transports":{{"dir":{{"relative":{accept}}}}}"#)),
        whole(&format!(r#","transports":{{"dir":{{"/":{accept}}}}}"#)),
        whole(&format!(r#","transports":{{"oci":{{"/a/../b":{accept}}}}}"#)),
        whole(&format!(r#","transports":{{"docker-archive":{{"/x":{accept}}}}}"#)),
    ] {
        assert!(read(&text).is_err(), "{text}");
    }
    let error = read(&whole(r#","transports":{"docker":{"a.example":[{"type":"rejekt"}]}}"#));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("transports.docker.a.example[0]: `rejekt` is no type"), "{error}");
}

#[test]
fn requirements_have_exactly_what_they_need() {
    let check = |requirement: &str, valid: bool| {
        let text = format!(r#"{{"default":[{requirement}]}}"#);
        let read = Policy::read(Path::new("p"), text.as_bytes());
        assert_eq!(read.is_ok(), valid, "{requirement} {read:?}");
    };
    check(r#"{"type":"reject"}"#, true);
    check(r#"{"type":"reject","keyPath":"/x"}"#, false);
    check(r#"{"type":"insecureAcceptAnything","x":1}"#, false);
    let signed = |rest: &str| format!(r#"{{"type":"signedBy","keyType":"GPGKeys"{rest}}}"#);
    check(&signed(r#","keyPath":"/x""#), true);
    check(&signed(r#","keyPath":"""#), false);
    check(&signed(r#","keyPaths":["/x"]"#), true);
    check(&signed(r#","keyPaths":[]"#), false);
    check(&signed(r#","keyData":"eA==""#), true);
    check(&signed(r#","keyData":"!""#), false);
    check(&signed(""), false);
    check(&signed(r#","keyPath":"/x","keyData":"eA==""#), false);
    check(&signed(r#","keyPath":"/x","fulcio":{}"#), false);
    check(r#"{"type":"signedBy","keyPath":"/x"}"#, false);
    check(r#"{"type":"signedBy","keyType":"x","keyPath":"/x"}"#, false);
    let identity = |rest: &str| signed(&format!(r#","keyPath":"/x","signedIdentity":{{{rest}}}"#));
    check(&identity(r#""type":"matchExact""#), true);
    check(&identity(r#""type":"matchExact","x":"y""#), false);
    check(&identity(r#""type":"matchExact","type":"matchRepository""#), false);
    check(&identity(r#""type":"x""#), false);
    check(&identity(r#""type":"exactReference","dockerReference":"x:1""#), true);
    check(&identity(r#""type":"exactReference","dockerReference":"x""#), false);
    check(&identity(r#""type":"exactReference""#), false);
    check(&identity(r#""type":"exactRepository","dockerRepository":"a.example/x""#), true);
    check(&identity(r#""type":"exactRepository","dockerRepository":"UPPER""#), false);
    let remap = |one: &str, other: &str| {
        identity(&format!(r#""type":"remapIdentity","prefix":"{one}","signedPrefix":"{other}""#))
    };
    check(&remap("a.example", "b.example:5000/x"), true);
    check(&remap("a.example/x:1", "b.example"), false);
    check(&remap("busybox", "b.example"), false);
    check(r#"{"type":"signedBaseLayer","baseLayerIdentity":{"type":"matchRepository"}}"#, true);
    check(r#"{"type":"signedBaseLayer"}"#, false);
    let sigstore = |rest: &str| format!(r#"{{"type":"sigstoreSigned"{rest}}}"#);
    check(&sigstore(r#","keyPath":"/x","rekorPublicKeyPath":"/y""#), true);
    check(&sigstore(r#","keyDatas":["eA==","eQ=="]"#), true);
    check(&sigstore(r#","keyType":"GPGKeys","keyPath":"/x""#), false);
    let fulcio = r#","fulcio":{"caPath":"/x","oidcIssuer":"i","subjectEmail":"e"}"#;
    check(&sigstore(&format!(r#"{fulcio},"rekorPublicKeyData":"eA==""#)), true);
    check(&sigstore(fulcio), false);
    check(
        &sigstore(r#","fulcio":{"caPath":"/x","oidcIssuer":"i"},"rekorPublicKeyData":"eA==""#),
        false,
    );
    let pki = r#","pki":{"caRootsPath":"/x","subjectHostname":"h"}"#;
    check(&sigstore(pki), true);
    check(&sigstore(&format!(r#"{pki},"rekorPublicKeyData":"eA==""#)), false);
    check(&sigstore(r#","pki":{"caRootsPath":"/x"}"#), false);
    check(
        &sigstore(r#","pki":{"caRootsPath":"/x","caRootsData":"eA==","subjectEmail":"e"}"#),
        false,
    );
}
