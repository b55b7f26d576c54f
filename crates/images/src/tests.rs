//! Tests on real stores and layouts, in directories of their own.

mod making;

use crate::{
    Compression, CopyOptions, Instances, Kind, Layers, PullOptions, Rights, Silent, Stored,
};
use archive::TreePath;
use archive::tar::{Bytes, Entry, What, Writer};
use oci::image::{Descriptor, ImageConfig, Manifest, RootFs, media_type};
use oci::{Algorithm, Digest};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use store::Store;
use transport::hash::{digest_of, verify_manifest};
use transport::layout::{LayoutSink, LayoutSource, Place};
use transport::policy::Policy;
use transport::{Sink, Source};

const ACCEPT: &[u8] = br#"{"default":[{"type":"insecureAcceptAnything"}]}"#;

/// A directory that goes with its owner.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("tare-images-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn store(&self) -> Store {
        let options =
            store::Options { durability: store::Durability::None, ..store::Options::default() };
        Store::open(&self.0.join("store"), &self.0.join("run"), &options).unwrap()
    }

    fn place(&self, name: &str) -> Place {
        Place::parse(&format!("{}:{name}", self.0.join("layout").display())).unwrap()
    }

    fn source(&self, name: &str) -> LayoutSource {
        LayoutSource::open(&self.place(name), None).unwrap()
    }

    fn sink(&self, name: &str) -> LayoutSink {
        LayoutSink::create(&self.place(name), None).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn policy() -> Policy {
    Policy::read(Path::new("policy.json"), ACCEPT).unwrap()
}

/// Who runs the tests: what cannot be done is left out.
fn rights() -> Rights {
    match sys::ids::is_administrator() {
        true => Rights::ROOT,
        false => Rights::user(sys::ids::euid(), sys::ids::egid()),
    }
}

/// A tar of directories (`a/`, with a mode) and files with their names as contents.
fn tar(names: &[(&str, u32)]) -> Vec<u8> {
    let mut writer = Writer::new(Bytes::new(Vec::new()));
    for (name, mode) in names {
        let path = TreePath::parse(name.trim_end_matches('/').as_bytes(), 64).unwrap();
        let size = name.len() as u64;
        let what = match name.ends_with('/') {
            true => What::Directory,
            false => What::File { size, stored: size, sparse: None },
        };
        let (uid, gid) = (sys::ids::euid(), sys::ids::egid());
        let entry = Entry {
            name: name.as_bytes().to_vec(),
            path,
            what,
            mode: *mode,
            uid,
            gid,
            mtime: Default::default(),
            xattrs: Vec::new(),
            number: 0,
            offset: 0,
        };
        writer.entry(&entry).unwrap();
        if !name.ends_with('/') {
            writer.data(name.as_bytes()).unwrap();
        }
    }
    writer.finish().unwrap().into_inner()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let codec = archive::compression::Codec::Gzip { level: 9 };
    let mut encoder = archive::compression::Encoder::new(codec, 1, Vec::new()).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn sha256(bytes: &[u8]) -> Digest {
    digest_of(Algorithm::Sha256, bytes)
}

/// Writes an image into a layout; `diff_ids` are those of the tars unless a test lies.
fn write_image(sink: &dyn Sink, tars: &[Vec<u8>], diff_ids: Option<Vec<Digest>>) -> Digest {
    let put = |kind: &str, bytes: &[u8]| {
        let descriptor = Descriptor::new(kind, sha256(bytes), bytes.len() as u64);
        sink.put_blob(&descriptor, &mut &*bytes).unwrap();
        descriptor
    };
    let ids = diff_ids.unwrap_or_else(|| tars.iter().map(|tar| sha256(tar)).collect());
    let config = ImageConfig {
        architecture: "amd64".into(),
        os: "linux".into(),
        rootfs: RootFs {
            kind: "layers".into(),
            diff_ids: ids.into_iter().map(Into::into).collect(),
        },
        ..ImageConfig::default()
    };
    let manifest = Manifest {
        schema_version: 2,
        media_type: media_type::OCI_MANIFEST.into(),
        config: put(media_type::OCI_CONFIG, oci::json::write(&config).as_bytes()),
        layers: tars.iter().map(|tar| put(media_type::OCI_LAYER_GZIP, &gzip(tar))).collect(),
        ..Manifest::default()
    };
    let document = verify_manifest(oci::json::write(&manifest).into_bytes(), "", None).unwrap();
    sink.finish(&document).unwrap();
    *document.digest()
}

fn pull(store: &Store, source: &dyn Source, name: &str) -> crate::Result<crate::Pulled> {
    let policy = policy();
    let instances = Instances::One(oci::image::Wanted {
        architecture: "amd64".into(),
        os: "linux".into(),
        ..Default::default()
    });
    let options = PullOptions { rights: rights(), ..PullOptions::new(instances, &policy, &Silent) };
    crate::pull(store, source, &[name.to_owned()], "test", 1, &options)
}

#[test]
fn what_is_pulled_comes_out_as_it_was() {
    let scratch = Scratch::new();
    let tars = [tar(&[("a/", 0o755), ("a/one", 0o644)]), tar(&[("a/", 0o700), ("a/two", 0o600)])];
    let digest = write_image(&scratch.sink("in"), &tars, None);
    let store = scratch.store();
    let pulled = pull(&store, &scratch.source("in"), "example.org/a:1").unwrap();
    assert!(pulled.fetched && pulled.root.digest() == &digest);
    assert!(!pull(&store, &scratch.source("in"), "example.org/a:1").unwrap().fetched);
    let found = crate::find(&store, "example.org/a:1").unwrap();
    let stored = Stored::open(&store, "a", &found.digest, &found.media_type, rights()).unwrap();
    let document = stored.manifest(None).unwrap();
    for (tar, layer) in tars.iter().zip(&document.manifest().unwrap().layers) {
        let mut back = Vec::new();
        assert!(stored.write_plain(layer, &sha256(tar), &mut back).unwrap());
        assert!(back == *tar);
        assert!(!stored.has_packed(layer).unwrap());
    }
    assert!(store.fsck(store::Check::default()).unwrap().is_empty());
}

#[test]
fn a_copy_from_the_store_keeps_digests_where_it_can() {
    let scratch = Scratch::new();
    let tars = [tar(&[("one", 0o644)]), tar(&[("two", 0o644)])];
    let digest = write_image(&scratch.sink("in"), &tars, None);
    let store = scratch.store();
    pull(&store, &scratch.source("in"), "example.org/a:1").unwrap();
    let stored = Stored::open(&store, "a", &digest, media_type::OCI_MANIFEST, rights()).unwrap();
    let policy = policy();
    let options = || CopyOptions::new(Instances::All, &policy, &Silent);
    // The layout has the layers.
    let copied = crate::copy(&stored, &scratch.sink("out"), &options()).unwrap();
    assert!(!copied.changed && copied.root.digest() == &digest);
    // Another layout has them not, but the image's origin has.
    let elsewhere = Scratch::new();
    let origin = || Ok(Some(Box::new(scratch.source("in")) as Box<dyn Source>));
    let with_origin = CopyOptions { origin: Some(&origin), ..options() };
    let copied = crate::copy(&stored, &elsewhere.sink("out"), &with_origin).unwrap();
    assert!(!copied.changed);
    // Nobody has them: they are packed anew, or nothing is copied.
    let nowhere = Scratch::new();
    let strict = CopyOptions { preserve_digests: true, ..options() };
    let error = crate::copy(&stored, &nowhere.sink("out"), &strict).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    let copied = crate::copy(&stored, &nowhere.sink("out"), &options()).unwrap();
    assert!(copied.changed);
    // What was packed anew is the same image.
    let second = scratch.store();
    pull(&second, &nowhere.source("out"), "example.org/b:1").unwrap();
    assert_eq!(second.layers().unwrap().len(), 2);
}

#[test]
fn layers_are_packed_as_somebody_wants() {
    let scratch = Scratch::new();
    let tars = [tar(&[("one", 0o644)]), tar(&[("two", 0o644)])];
    write_image(&scratch.sink("in"), &tars, None);
    let policy = policy();
    let layers = |compression, chosen, force_compression, name: &str| {
        let options = CopyOptions {
            layers: chosen,
            compression: Some(compression),
            force_compression,
            ..CopyOptions::new(Instances::All, &policy, &Silent)
        };
        let copied = crate::copy(&scratch.source("in"), &scratch.sink(name), &options).unwrap();
        let types = copied.root.manifest().unwrap().layers.clone();
        (copied.changed, types[0].media_type.clone())
    };
    let zstd = Compression::Zstd(3);
    // A layout packs layers as it is told; what is packed so already stays as it is.
    assert_eq!(
        layers(Compression::Gzip(9), Layers::AsUsual, false, "w"),
        (false, media_type::OCI_LAYER_GZIP.into())
    );
    assert_eq!(
        layers(zstd, Layers::AsTheyAre, false, "x"),
        (false, media_type::OCI_LAYER_GZIP.into())
    );
    assert_eq!(
        layers(zstd, Layers::AsTheyAre, true, "x"),
        (true, media_type::OCI_LAYER_ZSTD.into())
    );
    let packed = layers(zstd, Layers::AsUsual, false, "y");
    assert_eq!(packed, (true, media_type::OCI_LAYER_ZSTD.into()));
    let plain = layers(zstd, Layers::Plain, false, "z");
    assert_eq!(plain, (true, media_type::OCI_LAYER.into()));
    for name in ["y", "z"] {
        pull(&scratch.store(), &scratch.source(name), &format!("example.org/{name}:1")).unwrap();
    }
    assert_eq!(scratch.store().layers().unwrap().len(), 2);
}

#[test]
fn directories_without_entries_are_those_below() {
    let scratch = Scratch::new();
    let upper = tar(&[("tmp/x/file", 0o644)]);
    let wide = [tar(&[("tmp/", 0o1777)]), upper.clone()];
    let narrow = [tar(&[("tmp/", 0o700)]), upper.clone()];
    let plain = [tar(&[("tmp/", 0o755)]), upper.clone()];
    let store = scratch.store();
    for (name, tars) in [("wide", &wide), ("narrow", &narrow), ("plain", &plain)] {
        write_image(&scratch.sink(name), tars, None);
        pull(&store, &scratch.source(name), &format!("example.org/{name}:1")).unwrap();
        let again = pull(&store, &scratch.source(name), &format!("example.org/{name}:1")).unwrap();
        assert!(!again.fetched);
    }
    let mut modes = Vec::new();
    for key in store.layer_variants(&sha256(&upper)).unwrap() {
        let layer = store.layer(&key).unwrap().unwrap();
        let stat = sys::fs::stat_at(layer.diff_dir().unwrap(), "tmp", 0).unwrap();
        modes.push(stat.st_mode & 0o7777);
        let mut back = Vec::new();
        assert_eq!(crate::rebuild_layer(&layer, &mut back).unwrap(), sha256(&upper));
        assert!(back == upper);
    }
    modes.sort_unstable();
    assert_eq!(modes, [0o700, 0o755, 0o1777]);
}

#[test]
fn g5_a_layer_that_the_configuration_does_not_name_is_refused() {
    let scratch = Scratch::new();
    let tars = [tar(&[("one", 0o644)])];
    write_image(&scratch.sink("in"), &tars, Some(vec![sha256(b"something else")]));
    let store = scratch.store();
    let error = pull(&store, &scratch.source("in"), "example.org/a:1").unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(store.layers().unwrap().is_empty() && store.blobs().unwrap().is_empty());
    assert!(store.names().unwrap().0.is_empty());
}

#[test]
fn nothing_is_used_that_the_policy_rejects() {
    let scratch = Scratch::new();
    write_image(&scratch.sink("in"), &[tar(&[("one", 0o644)])], None);
    let reject = br#"{"default":[{"type":"reject"}]}"#;
    let policy = Policy::read(Path::new("policy.json"), reject).unwrap();
    let store = scratch.store();
    let options = PullOptions::new(Instances::All, &policy, &Silent);
    let error = crate::pull(&store, &scratch.source("in"), &[], "test", 1, &options).unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    let options = CopyOptions::new(Instances::All, &policy, &Silent);
    let error = crate::copy(&scratch.source("in"), &scratch.sink("out"), &options).unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert!(LayoutSource::open(&scratch.place("out"), None).is_err());
}

#[test]
fn images_are_found_as_users_name_them() {
    let scratch = Scratch::new();
    let digest = write_image(&scratch.sink("in"), &[tar(&[("one", 0o644)])], None);
    let store = scratch.store();
    let pulled = pull(&store, &scratch.source("in"), "docker.io/library/app:latest").unwrap();
    let id = pulled.images[0].1.unwrap();
    pull(&store, &scratch.source("in"), "example.org/team/tool:2").unwrap();
    for name in [
        "app",
        "app:latest",
        "library/app",
        "docker.io/library/app",
        "example.org/team/tool:2",
        "tool:2",
        "team/tool:2",
        &format!("app@{digest}"),
        &digest.to_string(),
        &id.to_string(),
        &id.hex(),
        &id.hex()[..12],
        &digest.hex()[..7],
    ] {
        let found = crate::find(&store, name).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(found.digest, digest, "{name}");
    }
    for name in ["tool", "app:1", "example.org/team/tool", "zzz", &format!("other@{digest}")] {
        assert_eq!(crate::find(&store, name).unwrap_err().kind(), Kind::NotFound, "{name}");
    }
}

/// What is packed is unpacked on its way into docker's archive, and packed again on its way out of it.
#[test]
fn images_go_through_archives() {
    use transport::docker_archive::{Archive, ArchiveSink};
    use transport::place::{ArchiveSelect, DockerArchive};
    let scratch = Scratch::new();
    let tars = [tar(&[("one", 0o644)]), tar(&[("two", 0o644)]), tar(&[("one", 0o644)])];
    write_image(&scratch.sink("in"), &tars, None);
    let policy = policy();
    let options = CopyOptions { parallel: 8, ..CopyOptions::new(Instances::All, &policy, &Silent) };
    let path = |name: &str| scratch.0.join(name);
    let archive = |name: &str| {
        let place = DockerArchive::parse(&format!("{}:x/y:1", path(name).display())).unwrap();
        let sink = ArchiveSink::create(&place, &[], &scratch.0).unwrap();
        let copied = crate::copy(&scratch.source("in"), &sink, &options).unwrap();
        assert!(copied.changed);
        std::fs::read(path(name)).unwrap()
    };
    // Layers are written one after the other, however many could be.
    assert!(archive("a.tar") == archive("b.tar"));
    let from = Archive::open(&path("a.tar"), &scratch.0).unwrap();
    let from = from.source(&ArchiveSelect::Only).unwrap();
    let document = from.manifest(None).unwrap();
    let layers = &document.manifest().unwrap().layers;
    let found: Vec<String> = layers.iter().map(|layer| layer.digest.to_string()).collect();
    assert_eq!(found, tars.iter().map(|tar| sha256(tar).to_string()).collect::<Vec<_>>());
    // A layout gets packed layers; the store takes either.
    crate::copy(&from, &scratch.sink("out"), &options).unwrap();
    let out = scratch.source("out").manifest(None).unwrap();
    let kinds: Vec<&str> =
        out.manifest().unwrap().layers.iter().map(|layer| &*layer.media_type).collect();
    assert_eq!(kinds, [media_type::DOCKER_LAYER_GZIP; 3]);
    let store = scratch.store();
    pull(&store, &from, "example.org/a:1").unwrap();
    assert!(!pull(&store, &from, "example.org/a:1").unwrap().fetched);
    let pulled = pull(&store, &scratch.source("out"), "example.org/b:1").unwrap();
    assert_eq!(pulled.root.digest(), out.digest());
    assert!(store.fsck(store::Check::default()).unwrap().is_empty());
}
