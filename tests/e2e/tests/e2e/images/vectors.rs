//! Test data of other projects, through the whole program.

use archive::Limits;
use archive::compression::{Decoder, Format};
use e2e::images::{Yard, sha256};
use e2e::stderr;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use transport::containers_storage::Configuration;
use transport::signature::Signature;

fn data(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/images").join(below)
}

/// The entries of a directory, sorted.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// What programs read in different ways, or cannot hold, and what the refusal says.
const REFUSED_ARCHIVES: [(&str, &str); 17] = [
    ("gnu-multi-hdrs.tar", "two long names for one entry"),
    ("hdr-only.tar", "contents of what is no file"),
    ("issue10968.tar", "a binary number is too large"),
    ("issue11169.tar", "a header's checksum is not a number"),
    ("issue12435.tar", "a binary number is too large"),
    ("neg-size.tar", "a binary number is too large"),
    ("nil-uid.tar", "the size of a sparse file, and it is none"),
    ("pax-bad-hdr-file.tar", "a PAX record does not end where it says"),
    ("pax-bad-hdr-large.tar.bz2", "a PAX header is too large"),
    ("pax-bad-mtime-file.tar", "is not a number"),
    ("pax-global-records.tar", "a global PAX header sets mtime"),
    ("pax-multi-hdrs.tar", "two PAX headers for one entry"),
    ("pax-nul-path.tar", "PAX path contains a NUL"),
    ("pax-nul-xattrs.tar", "the key of a PAX record contains a NUL"),
    ("pax-path-hdr.tar", "the archive ends behind a header for another entry"),
    ("writer-big-long.tar", "the archive ends in the middle of a file"),
    ("writer-big.tar", "the archive ends in the middle of a file"),
];

#[test]
fn odd_archives_go_into_the_store_and_come_out_byte_for_byte() {
    if !e2e::is_root() {
        return e2e::skip(
            "odd_archives_go_into_the_store_and_come_out_byte_for_byte",
            "they have devices and owners",
        );
    }
    let yard = Yard::in_memory();
    let refused: BTreeMap<&str, &str> = REFUSED_ARCHIVES.into_iter().collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/archive/tests/data");
    let (mut taken, mut seen) = (0, 0);
    let folders = ["tar-split", "container-libs"].map(|below| entries(&folder.join(below)));
    for path in folders.into_iter().flatten().filter(|path| name_of(path).contains(".tar")) {
        let name = name_of(&path);
        let text = path.to_str().unwrap();
        let output = yard.tare(&["import", "-q", text, "odd:1"]);
        if let Some(why) = refused.get(name.as_str()) {
            assert_eq!(output.status.code(), Some(1), "{name}");
            assert!(stderr(&output).contains(why), "{name}: {}", stderr(&output));
            seen += 1;
            continue;
        }
        assert!(output.status.success(), "{name}: {}", stderr(&output));
        let bytes = std::fs::read(&path).unwrap();
        let mut plain = Vec::new();
        let decoder = Decoder::new(Format::of(&bytes), &bytes[..], &Limits::default());
        decoder.unwrap().read_to_end(&mut plain).unwrap();
        let _ = std::fs::remove_dir_all(yard.path("out"));
        yard.fine(&["save", "-q", "--uncompressed", "--format", "oci-dir", "-o", "out", "odd:1"]);
        let back = yard.read(&format!("out/blobs/sha256/{}", sha256(&plain).hex()));
        assert!(back == plain, "{name} comes out different");
        taken += 1;
    }
    assert_eq!(seen, refused.len());
    assert!(taken >= 40, "{taken} archives");
    assert_eq!(yard.fine(&["fsck", "--full"]), "the store is in order\n");
}

/// Who is not there, and what is not what it says, is refused; the others keep their digests.
#[test]
fn artifacts_of_other_projects_are_copied() {
    let yard = Yard::in_memory();
    for (name, refusal) in [
        ("blobs-only", None),
        ("no-blobs", None),
        // Its configuration had credentials, and is shorter now.
        ("config-only", Some("ends too early")),
        // Manifests have configurations, be they empty.
        ("index", Some("config: is not there")),
    ] {
        let place = format!("oci:{}", data("artifacts").join(name).display());
        let output = yard.tare(&["copy", "-q", "--all", &place, &format!("oci:out:{name}")]);
        match refusal {
            Some(why) => assert!(stderr(&output).contains(why), "{name}: {}", stderr(&output)),
            None => {
                assert!(output.status.success(), "{name}: {}", stderr(&output));
                let digest = |place: &str| yard.fine(&["inspect", "-f", "{{.Digest}}", place]);
                assert_eq!(digest(&place), digest(&format!("oci:out:{name}")), "{name}");
            }
        }
    }
}

#[test]
fn names_go_from_layouts_of_other_projects_and_what_others_need_stays() {
    let yard = Yard::in_memory();
    let copy = |name: &str| {
        let script = format!("cp -r {}/. {name}", data("layouts").join(name).display());
        assert!(yard.shell(&script).status().unwrap().success());
    };
    let blobs = |name: &str| yard.list(&format!("{name}/blobs/sha256")).len();
    const MANY: &str = "delete_image_multiple_images";
    copy(MANY);
    // How many blobs are left when a name has gone: `info.txt` there draws what leads to what.
    assert_eq!(blobs(MANY), 19);
    for (tag, left) in
        [("3.17.5", 16), ("3", 16), ("3.18", 16), ("1.0.0", 14), ("latest", 14), ("3.18.3", 7)]
    {
        yard.fine(&["delete", &format!("oci:{MANY}:{tag}")]);
        assert_eq!(blobs(MANY), left, "{tag}");
        yard.fails(&["delete", &format!("oci:{MANY}:{tag}")]);
    }
    yard.fine(&["delete", &format!("oci:{MANY}:3.16.7")]);
    assert_eq!(blobs(MANY), 0);
    // Two manifests have one name: the first is meant, then the second.
    const TWICE: &str = "delete_image_two_identical_references";
    copy(TWICE);
    for left in [3, 0] {
        yard.fine(&["delete", &format!("oci:{TWICE}:1.0.0")]);
        assert_eq!(blobs(TWICE), left);
    }
}

#[test]
fn directories_of_other_projects_are_read() {
    let yard = Yard::in_memory();
    let place = |name: &str| data("directories").join(name).to_str().unwrap().to_owned();
    let odd = place("scratch-dir-5pec!@L");
    let id = yard.fine(&["load", "-q", "-i", &odd]);
    assert!(
        id.contains("61e17f84d763cc086d43c67dcf4cdbd69f9224c74e961c53b589b70499eac443"),
        "{id}"
    );
    for (name, changes) in [("scratch-dir-5pec!@L", false), ("uncompressed-image-s2", false)] {
        yard.fine(&["copy", "-q", &format!("dir:{}", place(name)), "dir:out"]);
        let manifest = std::fs::read(Path::new(&place(name)).join("manifest.json")).unwrap();
        assert_eq!(yard.read("out/manifest.json") != manifest, changes, "{name}");
    }
    // Schema 1 becomes schema 2; its layer is what it was.
    let old = format!("dir:{}", place("uncompressed-image-s1"));
    yard.fine(&["copy", "-q", &old, "dir:new"]);
    let layer = "160d823fdc48e62f97ba62df31e55424f8f5eb6b679c865eec6e59adfe304710";
    let text = String::from_utf8(yard.read("new/manifest.json")).unwrap();
    assert!(text.contains("\"schemaVersion\":2") && text.contains(layer), "{text}");
}

/// They are carried byte for byte, and nothing passes where one is required: nobody checks them yet.
#[test]
fn s2_signatures_of_other_projects_are_read_and_satisfy_nobody() {
    let yard = Yard::in_memory();
    let signed_by = r#"{"default":[{"type":"reject"}],"transports":{"dir":{"":[
        {"type":"signedBy","keyType":"GPGKeys","keyPath":"/keys.gpg"}]}}}"#;
    let policy = yard.write("strict.json", signed_by.as_bytes());
    let mut files: Vec<PathBuf> = entries(&data("signatures"));
    let mut images = 0;
    for image in entries(&data("signed")) {
        files.extend(entries(&image).into_iter().filter(|it| name_of(it).starts_with("signature")));
        let place = format!("dir:{}", image.display());
        let text = yard.fails(&["--policy", &policy, "copy", "-q", &place, "dir:out"]);
        let is_expected = ["signedBy", "manifest.json", "signatures: invalid type"];
        assert!(is_expected.iter().any(|it| text.contains(it)), "{place}: {text}");
        assert!(!Path::new(&yard.path("out/manifest.json")).exists(), "{place}");
        images += 1;
    }
    let mut read = 0;
    for file in &files {
        let bytes = std::fs::read(file).unwrap();
        match Signature::read(&bytes) {
            Ok(signature) => {
                let again = Signature::read(&signature.to_bytes()).unwrap();
                assert_eq!(again, signature, "{file:?}");
                assert!(bytes[0] == 0 || signature.to_bytes() == bytes, "{file:?}");
                read += 1;
            }
            // Text, and an encrypted message: no signatures.
            Err(error) => {
                let known = ["invalid-cleartext.signature", "unsigned-encrypted.signature"];
                assert!(known.contains(&&*name_of(file)), "{file:?}: {error}");
            }
        }
    }
    assert_eq!((images, read, files.len()), (19, 39, 41));
}

#[test]
fn configurations_of_storage_are_read() {
    let read = |name: &str| Configuration::read(&data("storage").join(name));
    let found = read("storage_test.conf").unwrap().unwrap();
    assert_eq!(found.root, Some("$HOME/$UID/containers/storage".into()));
    assert_eq!(found.rootless_root.as_deref(), Some("$HOME/$UID/rootless/storage"));
    assert!(found.additional.is_empty());
    // What nobody knows is passed by, as containers-storage does.
    assert_eq!(read("storage_broken.conf").unwrap().unwrap(), Configuration::default());
    // Everything in it is a comment.
    assert_eq!(read("storage.conf").unwrap().unwrap(), Configuration::default());
}

/// Every file that we were given of other projects is in some test's data, or there is a reason.
#[test]
fn every_vector_is_here_or_has_a_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let table = std::fs::read_to_string(data("vectors.tsv")).unwrap();
    let (mut here, mut elsewhere) = (0, 0);
    for line in table.lines() {
        let [path, digest, place, reason] = *line.split('\t').collect::<Vec<_>>() else {
            panic!("{line:?}");
        };
        if place.is_empty() {
            assert!(!reason.is_empty(), "{path}");
            elsewhere += 1;
            continue;
        }
        let bytes = std::fs::read(root.join(place)).unwrap_or_else(|e| panic!("{place}: {e}"));
        assert_eq!(sha256(&bytes).hex(), digest, "{place}");
        here += 1;
    }
    assert_eq!((here, elsewhere), (366, 60));
}
