//! Documents of the specification's and other projects' tests, and hostile ones.

use super::*;
use crate::digest::{AnyDigest, Digest};
use crate::error::ErrorKind;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");

/// Nothing here looks at it: who reads a document has verified it.
fn any_digest() -> Digest {
    Digest::new(crate::Algorithm::Sha256, &[0; 32]).unwrap()
}

fn read(bytes: &[u8], claimed: &str) -> Result<Document, Error> {
    Document::read(bytes.to_vec(), claimed, any_digest())
}

fn file(path: &str) -> Vec<u8> {
    let path = Path::new(DATA).join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn kind(document: &Document) -> &'static str {
    match (document.content(), MediaType::of(document.media_type())) {
        (Content::Manifest(_), MediaType::Manifest(Format::Oci)) => "manifest",
        (Content::Manifest(_), _) => "docker manifest",
        (Content::Index(_), MediaType::Index(Format::Oci)) => "index",
        (Content::Index(_), _) => "docker list",
        (Content::Schema1(_), _) => "schema 1",
        (Content::Other, _) => "other",
    }
}

/// The table has lost the ends of two documents: the next case stands behind each, with its answer.
fn schema_cases(group: &str) -> Vec<(String, String, bool)> {
    let all: Value = serde_json::from_slice(&file("image-spec/schema-vectors.json")).unwrap();
    let mut cases = Vec::new();
    for case in all[group].as_array().unwrap() {
        let note = case["note"].as_str().unwrap();
        let (doc, fail) = (case["doc"].as_str().unwrap(), case["fail"].as_bool().unwrap());
        match doc.split_once("`,") {
            None => cases.push((note.into(), doc.into(), fail)),
            Some((first, rest)) => {
                cases.push((note.into(), first.into(), false));
                let (_, second) = rest.split_once("`\n").unwrap();
                cases.push((format!("behind {note}"), second.into(), fail));
            }
        }
    }
    cases
}

#[test]
fn documents_are_valid_where_the_specification_says_so() {
    let mut count = 0;
    for group in ["manifest", "imageIndex", "descriptor", "config", "imageLayout"] {
        for (note, doc, fail) in schema_cases(group) {
            let bytes = doc.as_bytes();
            let result = match group {
                "manifest" => read(bytes, "").map(drop),
                "imageIndex" => read(bytes, "").map(drop),
                "descriptor" => read_json::<Descriptor>(bytes).and_then(|it| it.check()),
                "config" => ImageConfig::read(bytes).and_then(|it| it.check()),
                _ => Layout::read(bytes).map(drop),
            };
            // The schema wants a layer; the text says "should", and images from scratch have none.
            let fail = fail && !note.contains("empty layer, expected at least one");
            assert_eq!(result.is_err(), fail, "{group}: {note}: {result:?}\n{doc}");
            count += 1;
        }
    }
    assert_eq!(count, 67);
}

#[test]
fn manifests_of_other_projects_are_read_and_kept() {
    let expected = [
        ("fedora-minimal.schema2.json", "docker manifest"),
        ("fedora.index.json", "index"),
        ("fedora.list.json", "docker list"),
        ("fedora.schema2.json", "docker manifest"),
        ("non-json.manifest.json", "not UTF-8"),
        ("oci1.index.everything.json", "index"),
        ("oci1.index.zstd-selection.json", "index"),
        ("oci1.index.zstd-selection2.json", "index"),
        ("oci1index.json", "index"),
        ("ocilist-variants.json", "index"),
        // An artifact's configuration whose digest is empty is nothing that can be fetched.
        ("ociv1.artifact.json", "config.digest: invalid digest"),
        ("ociv1.encrypted.manifest.json", "manifest"),
        ("ociv1.everything.json", "manifest"),
        ("ociv1.image.index.json", "index"),
        ("ociv1.invalid.mediatype.manifest.json", "manifest"),
        ("ociv1.manifest.json", "manifest"),
        ("ociv1.nondistributable.gzip.manifest.json", "manifest"),
        ("ociv1.nondistributable.manifest.json", "manifest"),
        ("ociv1.nondistributable.zstd.manifest.json", "manifest"),
        ("ociv1.uncompressed.manifest.json", "manifest"),
        ("ociv1.zstd.manifest.json", "manifest"),
        ("ociv1nomime.artifact.json", "config.digest: invalid digest"),
        ("ociv1nomime.image.index.json", "index"),
        ("ociv1nomime.manifest.json", "manifest"),
        ("schema2-to-schema1-by-docker.json", "schema 1"),
        ("schema2list-variants.json", "docker list"),
        ("schema2list.json", "docker list"),
        ("unknown-version.manifest.json", "is not that of a manifest"),
        ("v2list.everything.json", "docker list"),
        ("v2list.manifest.json", "docker list"),
        ("v2s1-invalid-signatures.manifest.json", "signatures: invalid type: number `1`"),
        ("v2s1-unsigned.manifest.json", "schema 1"),
        ("v2s1.everything.json", "schema 1"),
        ("v2s1.manifest.json", "schema 1"),
        ("v2s2.everything.json", "docker manifest"),
        ("v2s2.manifest.json", "docker manifest"),
        ("v2s2.nondistributable.gzip.manifest.json", "docker manifest"),
        ("v2s2.nondistributable.manifest.json", "docker manifest"),
        ("v2s2.uncompressed.manifest.json", "docker manifest"),
        ("v2s2nomime.manifest.json", "docker manifest"),
    ];
    let mut files: Vec<PathBuf> = std::fs::read_dir(format!("{DATA}/container-libs/manifest"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let names: Vec<_> =
        files.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, expected.map(|(name, _)| name));
    for (name, expected) in expected {
        let bytes = file(&format!("container-libs/manifest/{name}"));
        match read(&bytes, "") {
            Ok(document) => {
                assert_eq!(kind(&document), expected, "{name}");
                assert_eq!(document.bytes(), bytes);
                // It says what it is where it says anything.
                let written: Value = serde_json::from_slice(&bytes).unwrap();
                if let Some(written) = written["mediaType"].as_str() {
                    assert_eq!(document.media_type(), written, "{name}");
                }
                assert_eq!(read(&bytes, document.media_type()), Ok(document));
            }
            Err(error) => assert!(error.text().contains(expected), "{name}: {error}"),
        }
    }
}

#[test]
fn layouts_and_old_images_are_read() {
    for entry in std::fs::read_dir(format!("{DATA}/container-libs/layout")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        // One of them has entries of unknown types, which nobody has to use.
        assert_eq!(read(&bytes, "").is_err(), path.ends_with("name_lookups.json"));
        assert!(!Index::read_layout(&bytes).unwrap().manifests.is_empty());
    }
    let document = read(&file("skopeo/uncompressed-s2.json"), "").unwrap();
    let manifest = document.manifest().unwrap();
    assert_eq!((kind(&document), manifest.artifact_kind()), ("docker manifest", None));
    let document = read(&file("skopeo/uncompressed-s1.json"), "").unwrap();
    assert_eq!(document.media_type(), media_type::DOCKER_SCHEMA1_SIGNED);
}

#[test]
fn manifests_are_the_same_in_every_format() {
    let manifest = |name: &str| {
        let document = read(&file(&format!("container-libs/conversion/{name}.json")), "").unwrap();
        document.manifest().unwrap().clone()
    };
    let config = |name: &str| {
        ImageConfig::read(&file(&format!("container-libs/conversion/{name}.json"))).unwrap()
    };
    let mut count = 0;
    for (one, other) in [
        ("oci1", "oci1-to-schema2"),
        ("oci1-all-media-types", "oci1-all-media-types-to-schema2"),
        ("schema2", "schema2-to-oci1"),
        ("schema2-all-media-types", "schema2-all-media-types-to-oci1"),
    ] {
        let (one, other) = (manifest(one), manifest(other));
        assert_eq!(one.layers.len(), other.layers.len());
        for (one, other) in one.layers.iter().zip(&other.layers) {
            assert_eq!((&one.digest, one.size), (&other.digest, other.size));
            let (MediaType::Layer(one), MediaType::Layer(other)) = (one.kind(), other.kind())
            else {
                panic!("{} {}", one.media_type, other.media_type)
            };
            assert_ne!(one.format, other.format);
            assert_eq!(one.distributable, other.distributable);
            count += 1;
        }
    }
    assert!(count >= 18, "{count}");
    for name in ["oci1", "oci1-extra-config-fields", "oci1-invalid-media-type", "oci1.encrypted"] {
        assert_eq!(manifest(name).artifact_kind(), None);
    }
    assert!(manifest("oci1.encrypted").layers.iter().any(|layer| {
        matches!(layer.kind(), MediaType::Layer(LayerType { encrypted: true, .. }))
    }));
    let artifact = manifest("oci1-artifact");
    assert_eq!(
        artifact.artifact_kind(),
        Some("application/vnd.oci.custom.artifact.config.v1+json")
    );
    // Unknown types are kept as they are.
    let unknown = manifest("schema2-invalid-media-type");
    assert_eq!(unknown.config.kind(), MediaType::Other);
    for (one, other) in [
        ("oci1-config", "oci1-to-schema2-config"),
        ("oci1-config", "schema2-config"),
        ("oci1-all-media-types-config", "oci1-all-media-types-to-schema2-config"),
    ] {
        assert_eq!(config(one), config(other));
    }
    config("oci1-config-extra-fields").check().unwrap();
    config("oci1-config").check_layers(&manifest("oci1")).unwrap();
    let error = config("oci1-config").check_layers(&manifest("oci1-artifact"));
    assert_eq!(error.is_err(), manifest("oci1-artifact").layers.len() != 5);
}

#[test]
fn a_configuration_is_what_containers_start_with() {
    let config = ImageConfig::read(&file("container-libs/conversion/oci1-config.json")).unwrap();
    assert_eq!((&*config.architecture, &*config.os), ("amd64", "linux"));
    assert_eq!(config.history.len(), 15);
    let container = config.config.unwrap();
    assert_eq!(container.cmd.0, ["httpd-foreground"]);
    assert!(container.exposed_ports.contains_key("80/tcp"));
    let old = br#"{"rootfs":{"type":"layers"},"config":{"Cmd":"date","Entrypoint":null}}"#;
    let old = ImageConfig::read(old).unwrap().config.unwrap();
    assert_eq!((old.cmd.0, old.entrypoint.0), (vec!["date".to_owned()], vec![]));
    let large = [b"{\"rootfs\":{}}".to_vec(), vec![b' '; CONFIG_LIMIT_BYTES]].concat();
    assert_eq!(ImageConfig::read(&large).unwrap_err().kind(), ErrorKind::TooLarge);
}

const DESCRIPTOR: &str = r#"{"mediaType":"application/vnd.oci.image.config.v1+json","size":1,"digest":"sha256:c86f7763873b6c0aae22d963bab59b4f5debbed6685761b5951584f6efb0633b"}"#;

#[test]
fn g2_a_manifest_is_one_thing_only() {
    let check = |members: &str, claimed: &str, expected: Option<ErrorKind>| {
        let text = format!("{{{}}}", members.replace("DESC", DESCRIPTOR));
        let found = read(text.as_bytes(), claimed).err().map(|error| error.kind());
        assert_eq!(found, expected, "{text} {claimed}");
    };
    use ErrorKind::{Ambiguous, Invalid};
    use media_type::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
    let manifest = r#""schemaVersion":2,"config":DESC,"layers":[]"#;
    let index = r#""schemaVersion":2,"manifests":[DESC]"#;
    check(manifest, "", None);
    check(manifest, OCI_MANIFEST, None);
    check(manifest, DOCKER_MANIFEST, None);
    check(index, OCI_INDEX, None);
    check(manifest, OCI_INDEX, Some(Ambiguous));
    check(index, OCI_MANIFEST, Some(Ambiguous));
    let typed = format!(r#"{manifest},"mediaType":"{OCI_MANIFEST}""#);
    check(&typed, OCI_MANIFEST, None);
    check(&typed, "", None);
    check(&typed, DOCKER_MANIFEST, Some(Ambiguous));
    check(&typed, OCI_INDEX, Some(Ambiguous));
    check(&typed, "x/y", Some(Ambiguous));
    check(&format!(r#"{index},"mediaType":"{OCI_INDEX}""#), DOCKER_LIST, Some(Ambiguous));
    // Fields of two kinds.
    check(&format!(r#"{manifest},"manifests":[]"#), "", Some(Ambiguous));
    check(&format!(r#"{manifest},"manifests":[]"#), OCI_MANIFEST, Some(Ambiguous));
    check(&format!(r#"{manifest},"manifests":null"#), "", None);
    check(&format!(r#"{index},"config":{{}}"#), OCI_INDEX, Some(Ambiguous));
    check(&format!(r#"{index},"layers":[]"#), "", Some(Ambiguous));
    check(&format!(r#"{manifest},"fsLayers":[]"#), "", Some(Ambiguous));
    check(&format!(r#"{index},"history":[]"#), "", Some(Ambiguous));
    // The same name twice, or in other letters, which Go's programs read.
    check(&format!(r#"{manifest},"layers":[]"#), "", Some(Invalid));
    check(&format!(r#"{manifest},"Manifests":[]"#), "", Some(Invalid));
    check(&format!(r#"{index},"MEDIATYPE":"{DOCKER_LIST}""#), "", Some(Invalid));
    // Parts that are missing.
    check(r#""schemaVersion":2,"config":DESC"#, "", Some(Invalid));
    check(r#""schemaVersion":2,"layers":[]"#, OCI_MANIFEST, Some(Invalid));
    check(r#""schemaVersion":2"#, OCI_INDEX, Some(Invalid));
    check(r#""config":DESC,"layers":[]"#, OCI_MANIFEST, Some(Invalid));
    check(r#""schemaVersion":1,"config":DESC,"layers":[]"#, OCI_MANIFEST, Some(Invalid));
    check("", "", Some(Invalid));
    // What nobody here knows is kept.
    check(r#""schemaVersion":2,"mediaType":"application/x.y","blobs":[]"#, "", None);
    // Schema 1 has two names.
    let old = r#""schemaVersion":1,"fsLayers":[{"blobSum":"sha256:c86f7763873b6c0aae22d963bab59b4f5debbed6685761b5951584f6efb0633b"}],"history":[{"v1Compatibility":"{}"}]"#;
    check(old, "", None);
    let signed = format!(r#"{old},"mediaType":"{}""#, media_type::DOCKER_SCHEMA1_SIGNED);
    check(&signed, media_type::DOCKER_SCHEMA1, None);
    check(&format!(r#"{old},"config":DESC"#), "", Some(Ambiguous));
    check(old, OCI_MANIFEST, Some(Ambiguous));
}

#[test]
fn g3_a_manifest_has_a_limit() {
    let text = format!(r#"{{"schemaVersion":2,"config":{DESCRIPTOR},"layers":[]}}"#);
    let fill = SIZE_LIMIT_BYTES - text.len();
    let largest = [text.as_bytes(), &vec![b' '; fill]].concat();
    assert!(read(&largest, "").is_ok());
    let larger = [&largest[..], b" "].concat();
    assert_eq!(read(&larger, "").unwrap_err().kind(), ErrorKind::TooLarge);
}

#[test]
fn embedded_data_is_as_large_as_it_says() {
    let check = |data: &str, size: u64, expected: Option<&[u8]>| {
        let digest = any_digest();
        let mut descriptor = Descriptor::new("text/plain", digest, size);
        descriptor.data = data.into();
        assert_eq!(descriptor.check().is_ok(), expected.is_some(), "{data} {size}");
        if let Some(expected) = expected.filter(|expected| !expected.is_empty()) {
            assert_eq!(descriptor.embedded().as_deref(), Some(expected));
        }
    };
    check("e30=", 2, Some(b"{}"));
    check("e30=", 3, None);
    check("e30", 2, None);
    check("", 2, Some(b""));
    check("", u64::MAX, None);
}

#[test]
fn manifests_are_chosen_as_other_programs_choose() {
    let index = |name: &str| {
        let document = read(&file(&format!("container-libs/manifest/{name}.json")), "").unwrap();
        document.index().unwrap().clone()
    };
    let check = |name: &str, wanted: [&str; 3], prefer_gzip: bool, expected: &str| {
        let [architecture, variant, os_version] = wanted.map(str::to_owned);
        let wanted = Wanted { architecture, variant, os_version, os: "linux".into(), prefer_gzip };
        let list = index(name);
        let found = list.choose(&wanted).map(|found| found.digest.to_string());
        let found = found.as_deref().and_then(|digest| digest.get(7..11));
        assert_eq!(found.unwrap_or("none"), expected, "{name} {wanted:?}");
    };
    for name in ["ocilist-variants", "schema2list-variants"] {
        check(name, ["amd64", "", ""], false, "59ee");
        // Of two v6 the one with zstd, where there is one.
        check(name, ["arm", "v6", ""], false, "f365");
        check(name, ["arm", "v5", ""], false, "c84b");
        check(name, ["arm", "", ""], false, "c84b");
        check(name, ["arm", "unrecognized-present", ""], false, "bcf9");
        check(name, ["arm", "unrecognized-not-present", ""], false, "c84b");
        check(name, ["s390x", "", ""], false, "none");
    }
    check("ocilist-variants", ["arm", "v7", ""], false, "eeee");
    check("ocilist-variants", ["arm", "v8", ""], false, "eeee");
    check("ocilist-variants", ["arm", "v6", ""], true, "dddd");
    check("schema2list-variants", ["arm", "v7", ""], false, "f365");
    let selection = "oci1.index.zstd-selection2";
    check(selection, ["amd64", "", ""], false, "cccc");
    check(selection, ["amd64", "", ""], true, "aaaa");
    check(selection, ["arm64", "", ""], false, "1c98");
    check(selection, ["arm64", "", ""], true, "6dc1");
    // Without a platform: the last resort.
    check(selection, ["s390x", "", ""], false, "f2f5");
    check(selection, ["s390x", "", ""], true, "c767");
}

#[test]
fn versions_of_systems_and_base_variants_are_respected() {
    let index: Index = read_json(
        json!({"schemaVersion": 2, "manifests": [
            {"mediaType": "a/b", "size": 1, "digest": format!("sha256:{}", "a".repeat(64)),
             "platform": {"os": "windows", "architecture": "amd64", "os.version": "10.1"}},
            {"mediaType": "a/b", "size": 1, "digest": format!("sha256:{}", "b".repeat(64)),
             "platform": {"os": "windows", "architecture": "amd64", "os.version": "10.2"}},
            {"mediaType": "a/b", "size": 1, "digest": format!("sha256:{}", "c".repeat(64)),
             "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}},
        ]})
        .to_string()
        .as_bytes(),
    )
    .unwrap();
    let check = |os: &str, architecture: &str, variant: &str, os_version: &str, expected: &str| {
        let [os, architecture, variant, os_version] =
            [os, architecture, variant, os_version].map(str::to_owned);
        let wanted = Wanted { os, architecture, variant, os_version, prefer_gzip: false };
        let found = index.choose(&wanted).map(|found| found.digest.to_string());
        assert_eq!(found.as_deref().map_or("none", |digest| &digest[7..8]), expected, "{wanted:?}");
    };
    check("windows", "amd64", "", "", "a");
    check("windows", "amd64", "", "10.2", "b");
    check("windows", "amd64", "", "10.3", "none");
    check("linux", "arm64", "", "", "c");
    check("linux", "arm64", "v8", "", "c");
    check("linux", "arm", "v8", "", "none");
}

#[test]
fn signatures_are_not_part_of_a_schema_1_manifest() {
    // What docker had signed before it spliced its signatures in.
    let unsigned = file("container-libs/manifest/v2s1-unsigned.manifest.json");
    let signed = file("container-libs/manifest/v2s1.manifest.json");
    assert_eq!(schema1::payload(&signed).unwrap(), unsigned);
    assert_eq!(schema1::payload(&unsigned).unwrap(), unsigned);
    // Its text was changed after it was signed: the signature's place is in the middle of a list.
    let other = file("container-libs/manifest/schema2-to-schema1-by-docker.json");
    assert!(schema1::payload(&other).is_err());
    let signed = String::from_utf8(file("container-libs/manifest/v2s1.manifest.json")).unwrap();
    // Another layer than the signed one: the name is of other content.
    let signature = signed.find("\"protected\": \"").unwrap() + 14;
    let check = |protected: &str| {
        let header = crate::base64::encode(protected.as_bytes()).replace('=', "");
        let end = signature + signed[signature..].find('"').unwrap();
        let text = [&signed[..signature], &header, &signed[end..]].concat();
        assert!(schema1::payload(text.as_bytes()).is_err(), "{protected}");
    };
    check(r#"{"formatLength":99999999,"formatTail":"fQ"}"#);
    check(r#"{"formatLength":18446744073709551615,"formatTail":"fQ"}"#);
    check(r#"{"formatLength":1,"formatTail":"fQ"}"#);
    check(r#"{"formatLength":0,"formatTail":"e30"}"#);
    check(r#"{"formatLength":10,"formatTail":"="}"#);
    check("{}");
    check("");
}

#[test]
fn schema_1_images_become_images() {
    let read_old = |name: &str| {
        let document = read(&file(&format!("container-libs/conversion/{name}.json")), "").unwrap();
        let Content::Schema1(manifest) = document.content() else { panic!("{name}") };
        manifest.clone()
    };
    let manifest = read_old("schema1");
    // Its sizes are -1, as they are not known from the old manifest: no document for us.
    let newer = file("container-libs/conversion/schema1-to-oci1.json");
    let newer: Value = serde_json::from_slice(&newer).unwrap();
    let newer = newer["layers"].as_array().unwrap();
    let layers = manifest.layers().unwrap();
    let blobs = layers.iter().map(|layer| layer.blob.to_string());
    assert!(blobs.eq(newer.iter().map(|layer| layer["digest"].as_str().unwrap())));
    let expected = file("container-libs/conversion/schema1-to-oci1-config.json");
    let expected = ImageConfig::read(&expected).unwrap();
    let config = manifest.config(&expected.rootfs.diff_ids).unwrap();
    let config = ImageConfig::read(config.as_bytes()).unwrap();
    assert_eq!((&config.rootfs, &config.history), (&expected.rootfs, &expected.history));
    assert_eq!((&config.os, &config.created), (&expected.os, &expected.created));
    let (own, theirs) = (config.config.unwrap(), expected.config.unwrap());
    assert_eq!((own.env, own.cmd, own.labels), (theirs.env, theirs.cmd, theirs.labels));
    assert!(manifest.config(&expected.rootfs.diff_ids[1..]).is_err());

    // What docker itself made of a newer image: empty layers are marked.
    let layers = read_old("schema2-to-schema1-by-docker").layers().unwrap();
    let schema2 = read(&file("container-libs/conversion/schema2.json"), "").unwrap();
    let full = layers.iter().filter(|layer| !layer.empty).map(|layer| &layer.blob);
    assert!(full.eq(schema2.manifest().unwrap().layers.iter().map(|layer| &layer.digest)));
    assert_eq!(layers.len(), 15);
    read_old("schema1-for-oci-config").layers().unwrap();
}

#[test]
fn repeated_steps_of_schema_1_count_once() {
    let layer = |digit: &str| json!({"blobSum": format!("sha256:{}", digit.repeat(64))});
    let step = |id: &str, parent: &str| json!({"v1Compatibility": json!({"id": id, "parent": parent}).to_string()});
    let check = |steps: &[(&str, &str, &str)], expected: Option<&str>| {
        let layers: Vec<_> = steps.iter().map(|(digit, _, _)| layer(digit)).collect();
        let history: Vec<_> = steps.iter().map(|(_, id, parent)| step(id, parent)).collect();
        let text = json!({"schemaVersion": 1, "fsLayers": layers, "history": history}).to_string();
        let found = read(text.as_bytes(), "").ok().map(|document| match document.content() {
            Content::Schema1(manifest) => {
                let layers = manifest.layers().unwrap();
                layers.iter().map(|layer| layer.blob.to_string()[7..8].to_owned()).collect()
            }
            _ => String::new(),
        });
        assert_eq!(found.as_deref(), expected, "{text}");
    };
    check(&[("c", "3", "2"), ("b", "2", "1"), ("a", "1", "")], Some("abc"));
    check(&[("c", "3", "2"), ("c", "3", "2"), ("b", "2", "")], Some("bc"));
    check(&[("c", "3", "1"), ("b", "2", "1"), ("a", "1", "")], None);
    check(&[], None);
}

#[test]
fn no_document_is_changed_by_being_understood() {
    let bytes = file("container-libs/manifest/ociv1.manifest.json");
    let document = read(&bytes, media_type::OCI_MANIFEST).unwrap();
    let written = crate::json::write(document.manifest().unwrap());
    assert_ne!(written.as_bytes(), document.bytes());
    assert_eq!(document.bytes(), bytes);
    let descriptor = document.descriptor();
    assert_eq!(
        (descriptor.size, &descriptor.digest),
        (bytes.len() as u64, &AnyDigest::Known(any_digest()))
    );
    assert_eq!(descriptor.media_type, document.media_type());
}
