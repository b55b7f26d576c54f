//! Stores of podman, and such as nobody would make.

mod hostile;
mod podman;

use super::*;
use crate::hash::digest_of;
use crate::place::Place;
use crate::tests::{DATA, config, digests, kind, layer, read_blob, test_directory};
use crate::transfer::Source;
use archive::compression::{Codec, Encoder};
use oci::Algorithm;
use oci::image::media_type::{OCI_CONFIG, OCI_LAYER, OCI_LAYER_GZIP, OCI_MANIFEST};
use oci::image::{Descriptor, Manifest};
use std::io::Write;

fn image(text: &str) -> StorageImage {
    match Place::parse(&format!("containers-storage:{text}")).unwrap() {
        Place::Storage(image) => image,
        place => panic!("{place:?}"),
    }
}

fn options(root: &Path) -> Options {
    Options { root: root.to_owned(), driver: None, additional: Vec::new() }
}

fn sha256(bytes: &[u8]) -> Digest {
    digest_of(Algorithm::Sha256, bytes)
}

/// A store that a test makes by hand.
struct Made {
    root: PathBuf,
    images: Vec<String>,
    layers: Vec<String>,
}

impl Made {
    fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), images: Vec::new(), layers: Vec::new() }
    }

    /// Adds a layer of one file. The lines of its archive are those of tar-split, or others.
    fn layer(&mut self, id: &str, parent: &str, text: &str, lines: Option<&str>) -> Vec<u8> {
        let archive = layer("file", text);
        let segment = |bytes: &[u8]| {
            format!(
                "{{\"type\":2,\"payload\":\"{}\",\"position\":0}}\n",
                oci::base64::encode(bytes)
            )
        };
        let (head, tail) = (&archive[..512], &archive[512 + text.len()..]);
        let own = [
            segment(head),
            format!(
                "{{\"type\":1,\"name\":\"file\",\"size\":{},\"payload\":\"AAAAAAAAAAA=\"}}\n",
                text.len()
            ),
            segment(tail),
        ];
        let own = own.concat();
        let diff = self.root.join("overlay").join(id).join("diff");
        std::fs::create_dir_all(&diff).unwrap();
        std::fs::write(diff.join("file"), text).unwrap();
        std::fs::create_dir_all(self.root.join("overlay-layers")).unwrap();
        let mut packed = Encoder::new(Codec::Gzip { level: 1 }, 1, Vec::new()).unwrap();
        packed.write_all(lines.unwrap_or(&own).as_bytes()).unwrap();
        let split = self.root.join(format!("overlay-layers/{id}.tar-split.gz"));
        std::fs::write(split, packed.finish().unwrap()).unwrap();
        self.layers.push(format!(
            r#"{{"id":"{id}","parent":"{parent}","diff-digest":"{}","diff-size":{},"uidset":[0]}}"#,
            sha256(&archive),
            archive.len()
        ));
        archive
    }

    /// Adds an image, whose ID is the digest of its configuration.
    fn image(&mut self, names: &[&str], top: &str, layers: &[Vec<u8>]) -> Manifest {
        let config = config(layers);
        // As it was pulled: packed, all but the first layer.
        let descriptor = |(position, layer): (usize, &Vec<u8>)| match position {
            0 => Descriptor::new(OCI_LAYER, sha256(layer), layer.len() as u64),
            _ => Descriptor::new(OCI_LAYER_GZIP, sha256(b"packed"), 6),
        };
        let manifest = Manifest {
            schema_version: 2,
            media_type: OCI_MANIFEST.into(),
            config: Descriptor::new(OCI_CONFIG, sha256(&config), config.len() as u64),
            layers: layers.iter().enumerate().map(descriptor).collect(),
            ..Default::default()
        };
        let text = oci::json::write(&manifest);
        let (id, digest) = (sha256(&config), sha256(text.as_bytes()));
        let directory = self.root.join("overlay-images").join(id.hex());
        std::fs::create_dir_all(&directory).unwrap();
        let keys = [id.to_string(), "manifest".to_owned(), format!("manifest-{digest}")];
        for (key, bytes) in keys.iter().zip([&config[..], text.as_bytes(), text.as_bytes()]) {
            std::fs::write(directory.join(records::file_name(key)), bytes).unwrap();
        }
        self.images.push(format!(
            r#"{{"id":"{}","digest":"{digest}","names":["{}"],"layer":"{top}","big-data-names":["{}"],"big-data-digests":{{"manifest":"{digest}","manifest-{digest}":"{digest}"}}}}"#,
            id.hex(),
            names.join("\",\""),
            keys.join("\",\""),
        ));
        manifest
    }

    fn write(&self) -> Storage {
        let list = |records: &[String]| format!("[{}]", records.join(",\n "));
        std::fs::create_dir_all(self.root.join("overlay-images")).unwrap();
        std::fs::create_dir_all(self.root.join("overlay-layers")).unwrap();
        std::fs::write(self.root.join("overlay-images/images.json"), list(&self.images)).unwrap();
        std::fs::write(self.root.join("overlay-layers/layers.json"), list(&self.layers)).unwrap();
        Storage::open(&options(&self.root)).unwrap()
    }
}

/// IDs: 64 times the same digit.
fn id(digit: char) -> String {
    digit.to_string().repeat(64)
}

fn plain(source: &StorageSource, layer: &Descriptor, diff_id: &Digest) -> Result<Vec<u8>> {
    let mut archive = Vec::new();
    assert!(source.write_plain(layer, diff_id, &mut archive)?);
    Ok(archive)
}

#[test]
fn images_and_their_layers_are_read() {
    let root = test_directory("storage");
    let mut made = Made::new(&root);
    let layers =
        [made.layer(&id('a'), "", "first", None), made.layer(&id('b'), &id('a'), "second", None)];
    let manifest = made.image(&["x.example/a:1", "x.example/b:2"], &id('b'), &layers);
    let storage = made.write();
    let source = storage.source(&image("x.example/a:1")).unwrap();
    let document = source.manifest(None).unwrap();
    assert_eq!(document.manifest().unwrap(), &manifest);
    assert_eq!(read_blob(&source, &manifest.config).unwrap(), config(&layers));
    // The first layer is named as it is, the second is kept unpacked.
    assert_eq!(read_blob(&source, &manifest.layers[0]).unwrap(), layers[0]);
    assert!(source.has_packed(&manifest.layers[0]).unwrap());
    assert!(!source.has_packed(&manifest.layers[1]).unwrap());
    let error = source.blob(&manifest.layers[1]).err().unwrap();
    assert_eq!((error.kind(), error.hint().is_some()), (ErrorKind::NotFound, true));
    for (descriptor, layer) in manifest.layers.iter().zip(&layers) {
        assert_eq!(&plain(&source, descriptor, &sha256(layer)).unwrap(), layer);
    }
    let other = plain(&source, &manifest.layers[1], &sha256(b"other"));
    assert_eq!(kind(other), Some(ErrorKind::NotFound));
    let store = format!("[overlay@{}]", root.display());
    let names = ["x.example/a:1", "x.example/a", "x.example", ""];
    let mut scopes: Vec<String> = names.map(|name| format!("{store}{name}")).into();
    scopes.extend([format!("[{}]", root.display()), String::new()]);
    assert_eq!(source.scopes().names().collect::<Vec<_>>(), scopes);
    let by_id = storage.source(&image(source.id())).unwrap();
    let scope = format!("{store}@{}", source.id());
    assert_eq!(by_id.scopes().names().next(), Some(&*scope));
    assert_eq!(storage.images()[0].names, source.names());
    assert_eq!(storage.images()[0].digests, [*document.digest()]);
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn images_are_found_by_name_digest_or_id() {
    let root = test_directory("storage-find");
    let mut made = Made::new(&root);
    let layers = [made.layer(&id('a'), "", "first", None)];
    let one = made.image(&["docker.io/library/one:latest", "x.example/a/b:2"], &id('a'), &layers);
    let none = made.image(&["<none>", "sha256"], "", &[]);
    let storage = made.write();
    let hex = |manifest: &Manifest| manifest.config.verifiable().unwrap().hex();
    let (one_id, none_id) = (hex(&one), hex(&none));
    let digest = sha256(oci::json::write(&one).as_bytes());
    let check = |text: &str, expected: Result<&str, ErrorKind>| {
        let found = storage.source(&image(text)).map(|source| source.id().to_owned());
        let found = found.map_err(|error| error.kind());
        assert_eq!(found.as_deref().map_err(|kind| *kind), expected, "{text}");
    };
    check("one", Ok(&one_id));
    check("x.example/a/b:2", Ok(&one_id));
    check(&one_id, Ok(&one_id));
    check(&format!("@{none_id}"), Ok(&none_id));
    check(&none_id[..12], Ok(&none_id));
    check(&format!("@{}", &none_id[..12]), Ok(&none_id));
    check(&format!("one@{one_id}"), Ok(&one_id));
    check(&format!("one@{}", &one_id[..5]), Ok(&one_id));
    check(&format!("one@{digest}"), Ok(&one_id));
    check(&format!("x.example/a/b@{digest}@{one_id}"), Ok(&one_id));
    check("two", Err(ErrorKind::NotFound));
    check("one:2", Err(ErrorKind::NotFound));
    check(&format!("one@{none_id}"), Err(ErrorKind::NotFound));
    check(&format!("two@{digest}"), Err(ErrorKind::NotFound));
    check(&format!("one@{}", sha256(b"other")), Err(ErrorKind::NotFound));
    check(&format!("@{}", id('e')), Err(ErrorKind::NotFound));
    assert_eq!(storage.images()[1].names.len(), 1);
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn the_beginning_of_several_ids_is_not_enough() {
    let root = test_directory("storage-ambiguous");
    let mut made = Made::new(&root);
    for digit in ["a", "b"] {
        let id = format!("abc{}", digit.repeat(61));
        made.images.push(format!(r#"{{"id":"{id}"}}"#));
    }
    let storage = made.write();
    for text in ["abc", "@abc"] {
        let error = storage.source(&image(text)).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Ambiguous, "{text}");
    }
    let found = storage.source(&image("@abca")).unwrap();
    assert_eq!(kind(found.manifest(None)), Some(ErrorKind::Corrupt));
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn layers_may_be_in_read_only_stores() {
    let root = test_directory("storage-additional");
    let (own, other) = (root.join("own"), root.join("other"));
    let mut base = Made::new(&other);
    let first = base.layer(&id('a'), "", "first", None);
    base.image(&["x.example/base:1"], &id('a'), std::slice::from_ref(&first));
    base.write();
    let mut made = Made::new(&own);
    let layers = [first, made.layer(&id('b'), &id('a'), "second", None)];
    let manifest = made.image(&["x.example/a:1"], &id('b'), &layers);
    let alone = made.write();
    assert_eq!(kind(alone.source(&image("x.example/a:1"))), Some(ErrorKind::Corrupt));
    let text =
        format!("[{}:overlay.imagestore={},x=y]x.example/a:1", own.display(), other.display());
    let place = image(&text);
    let storage = Storage::open(&Options::of(place.store.as_ref().unwrap())).unwrap();
    let source = storage.source(&place).unwrap();
    for (descriptor, layer) in manifest.layers.iter().zip(&layers) {
        assert_eq!(&plain(&source, descriptor, &sha256(layer)).unwrap(), layer);
    }
    storage.source(&image("x.example/base:1")).unwrap();
    assert_eq!(storage.images().len(), 2);
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn the_driver_is_that_of_the_store() {
    let root = test_directory("storage-driver");
    assert_eq!(kind(Storage::open(&options(&root))), Some(ErrorKind::NotFound));
    Made::new(&root).write();
    assert_eq!(Storage::open(&options(&root)).unwrap().driver(), Driver::Overlay);
    std::fs::create_dir(root.join("vfs-images")).unwrap();
    std::fs::write(root.join("vfs-images/images.json"), "[]").unwrap();
    assert_eq!(kind(Storage::open(&options(&root))), Some(ErrorKind::Ambiguous));
    let of = |driver: &str| {
        let options = Options { driver: Some(driver.into()), ..options(&root) };
        Storage::open(&options).map(|storage| storage.driver())
    };
    assert_eq!(of("vfs").unwrap(), Driver::Vfs);
    assert_eq!(of("overlay").unwrap(), Driver::Overlay);
    assert_eq!(kind(of("btrfs")), Some(ErrorKind::Unsupported));
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn storage_conf_says_where_the_store_is() {
    let root = test_directory("storage-conf");
    let path = root.join("storage.conf");
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        Configuration::read(&path)
    };
    let text = r#"
[storage]
driver = "overlay"
graphroot = "/srv/storage"
runroot = "/run/storage"
rootless_storage_path = "$HOME/images-$UID-$USER"
[storage.options]
additionalimagestores = ["/usr/lib/images"]
[storage.options.overlay]
mountopt = "nodev"
additionalimagestores = ["/media/images"]
"#;
    let found = read(text).unwrap().unwrap();
    let additional = vec!["/usr/lib/images".into(), "/media/images".into()];
    let expected = |root: &str| Options {
        root: root.into(),
        driver: Some("overlay".into()),
        additional: Clone::clone(&additional),
    };
    let otherwise = Path::new("/var/lib/containers/storage");
    assert_eq!(found.options(None, otherwise), expected("/srv/storage"));
    let user = Some((Path::new("/home/u"), 7, "u"));
    assert_eq!(found.options(user, otherwise), expected("/home/u/images-7-u"));
    let nothing = read("[storage]\ndriver = \"\"").unwrap().unwrap();
    assert_eq!(nothing, Configuration::default());
    assert_eq!(nothing.options(user, otherwise), options(otherwise));
    for text in
        ["[storage", "[storage]\ndriver = 1", "[storage.options]\nadditionalimagestores = [1]"]
    {
        assert_eq!(kind(read(text)), Some(ErrorKind::Invalid), "{text}");
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!(Configuration::read(&path).unwrap(), None);
    std::fs::remove_dir_all(root).unwrap();
}
