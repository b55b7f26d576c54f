//! What the store does when nobody disturbs it.

use super::*;
use crate::{ContainerRecord, Expected, Kind};
use oci::{Algorithm, AnyDigest};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

fn kind<T: std::fmt::Debug>(result: Result<T>) -> Kind {
    result.unwrap_err().kind()
}

#[test]
fn a_store_is_made_once_and_opened_again() {
    let scratch = Scratch::new();
    let uuid = scratch.open().record().uuid.clone();
    assert_eq!(scratch.open().record().uuid, uuid);
    assert_eq!(uuid.len(), 36);
    let mode = std::fs::metadata(scratch.root()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert!(findings(&scratch.open()).is_empty());
}

#[test]
fn many_processes_make_one_store() {
    let scratch = Scratch::new();
    let uuids: Vec<String> = std::thread::scope(|scope| {
        let open = || scope.spawn(|| scratch.open().record().uuid.clone());
        let threads: Vec<_> = (0..8).map(|_| open()).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(uuids.iter().all(|uuid| *uuid == uuids[0]), "{uuids:?}");
}

#[test]
fn a_directory_with_other_things_is_not_made_a_store() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.root()).unwrap();
    std::fs::write(scratch.root().join("thesis.tex"), "x").unwrap();
    let error = open(&scratch.0).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.to_string().ends_with("is not a store, and not empty"), "{error}");
}

#[test]
fn stores_of_another_age_are_refused_or_only_read() {
    let scratch = Scratch::new();
    drop(scratch.open());
    let path = scratch.root().join("store.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let read_only = Options { read_only: true, ..options() };
    let check = |from: &str, to: &str, write: Option<Kind>, read: Option<Kind>| {
        let changed = text.replace(from, to);
        assert_ne!(changed, text);
        std::fs::write(&path, changed).unwrap();
        let open =
            |options: &Options| Store::open(&scratch.root(), &scratch.0.join("run"), options);
        assert_eq!(open(&options()).err().map(|error| error.kind()), write, "{to}");
        assert_eq!(open(&read_only).err().map(|error| error.kind()), read, "{to}");
    };
    let refused = Some(Kind::Unsupported);
    check(r#""incompat":[]"#, r#""incompat":["crypt"]"#, refused, refused);
    check(r#""format":1"#, r#""format":2"#, refused, refused);
    check(r#""ro_compat":[]"#, r#""ro_compat":["x"]"#, Some(Kind::ReadOnly), None);
    check(r#""compat":[]"#, r#""compat":["x"]"#, None, None);
    check(r#""uuid":""#, r#""uuid":"../"#, Some(Kind::Invalid), Some(Kind::Invalid));
}

#[test]
fn blobs_are_verified_while_they_come() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let mut work = store.begin().unwrap();
    let digest = digest_of(b"hello");
    let long = Expected { digest: Some(digest), size_bytes: Some(4) };
    assert_eq!(kind(work.put_bytes(b"hello", long)), Kind::Corrupt);
    let short = Expected { digest: Some(digest), size_bytes: Some(6) };
    assert_eq!(kind(work.put_bytes(b"hello", short)), Kind::Corrupt);
    let error = work.put_bytes(b"hellO", digest).unwrap_err();
    assert!(error.to_string().starts_with(&format!("{digest}: what came is sha256:")), "{error}");
    assert_eq!(work.put_bytes(b"hello", digest).unwrap(), digest);
    assert_eq!(store.blob_size(&digest).unwrap(), None, "not committed");
    work.commit().unwrap();
    assert_eq!(store.blob_size(&digest).unwrap(), Some(5));
    assert_eq!(store.read_blob(&digest, 5).unwrap(), b"hello");
    assert_eq!(kind(store.read_blob(&digest, 4)), Kind::Limit);

    let sha512 = Digest::new(Algorithm::Sha512, &[7; 64]).unwrap();
    assert_eq!(kind(work.put_bytes(b"hello", sha512)), Kind::Corrupt);
    assert_eq!(kind(store.open_blob(&sha512)), Kind::NotFound);
    let expected = crate::blob::Hasher::new(Algorithm::Sha512).finish();
    assert_eq!(work.put_bytes(b"", expected).unwrap(), expected);
    work.commit().unwrap();
    assert_eq!(store.read_blob(&expected, 0).unwrap(), b"");
    work.finish().unwrap();
    assert_eq!(leftovers(&scratch.root()), Vec::<PathBuf>::new());
}

#[test]
fn a_source_that_fails_leaves_nothing() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::ConnectionReset.into())
        }
    }
    let scratch = Scratch::new();
    let store = scratch.open();
    let mut work = store.begin().unwrap();
    let failed = work.put_blob(&mut Broken, Expected::default());
    assert_eq!(kind(failed), Kind::Source(std::io::ErrorKind::ConnectionReset));
    drop(work);
    assert_eq!(leftovers(&scratch.root()), Vec::<PathBuf>::new());
}

#[test]
fn an_image_is_pulled_named_listed_untagged_and_collected() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let image = Image::new(&[1, 2]);
    assert_eq!(image.pull(&store, "example.com/a:1").unwrap(), 2);
    assert_eq!(image.pull(&store, "example.com/a:2").unwrap(), 0, "everything is there");
    let other = Image::new(&[1, 3]);
    assert_eq!(other.pull(&store, "example.com/b:1").unwrap(), 1, "one layer is shared");

    let (names, errors) = store.names().unwrap();
    let names: Vec<&str> = names.iter().map(|record| record.reference.as_str()).collect();
    assert_eq!(names, ["example.com/a:1", "example.com/a:2", "example.com/b:1"]);
    assert!(errors.is_empty());
    assert_eq!(store.resolve("example.com/a:1").unwrap(), image.record("example.com/a:1"));
    assert_eq!(kind(store.resolve("example.com/a")), Kind::NotFound);
    assert_eq!(store.read_blob(&image.digest(), 4096).unwrap(), image.manifest);
    let layer = store.layer(&key(2)).unwrap().unwrap();
    assert_eq!((layer.meta.entries, layer.meta.tar_bytes), (2, 800));
    assert!(layer.meta.disk_bytes >= 800);

    assert_eq!(store.collect().unwrap(), crate::Collected::default());
    assert_eq!(kind(store.untag("example.com/b:1", Some(&image.digest()))), Kind::InUse);
    assert_eq!(store.untag("example.com/a:1", None).unwrap().digest, image.digest().into());
    assert_eq!(kind(store.untag("example.com/a:1", None)), Kind::NotFound);
    assert_eq!(store.collect().unwrap(), crate::Collected::default());
    store.untag("example.com/a:2", Some(&image.digest())).unwrap();
    let usage = store.usage().unwrap();
    assert_eq!((usage.names, usage.layers.count, usage.blobs.count), (1, 3, 4));
    let collected = store.collect().unwrap();
    assert_eq!(collected.layers, [key(2)]);
    assert_eq!(collected.blobs.len(), 2);
    assert_eq!(collected.bytes, usage.layers.reclaimable_bytes + usage.blobs.reclaimable_bytes);
    assert_eq!(findings(&store), []);
    assert_eq!(leftovers(&scratch.root()), Vec::<PathBuf>::new());
}

#[test]
fn a_name_needs_its_manifest() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let record = Image::new(&[1]).record("example.com/a:1");
    assert_eq!(kind(store.begin().unwrap().tag(&record)), Kind::NotFound);
    let mut bad = record.clone();
    bad.reference = "a\nb".into();
    assert_eq!(kind(store.begin().unwrap().tag(&bad)), Kind::Invalid);
    bad = NameRecord { digest: AnyDigest::Other("md5:00".into()), ..record };
    assert_eq!(kind(store.begin().unwrap().tag(&bad)), Kind::Invalid);
}

#[test]
fn work_in_flight_keeps_what_it_needs() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let image = Image::new(&[1, 2]);
    let mut work = store.begin().unwrap();
    image.fetch(&mut work).unwrap();
    work.commit().unwrap();
    assert_eq!(store.collect().unwrap(), crate::Collected::default());
    // Another one only needs the manifest: what it names stays with it.
    let mut other = store.begin().unwrap();
    assert!(other.has_blob(image.digest()).unwrap());
    work.finish().unwrap();
    assert_eq!(store.collect().unwrap(), crate::Collected::default());
    other.finish().unwrap();
    assert_eq!(store.collect().unwrap().layers.len(), 2);
}

#[test]
fn containers_keep_their_layers_and_are_not_removed_in_use() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let image = Image::new(&[1, 2]);
    image.pull(&store, "example.com/a:1").unwrap();
    let record = ContainerRecord {
        id: "c1".into(),
        image: image.digest().into(),
        layers: image.keys().iter().map(ToString::to_string).collect(),
        time_s: 1,
        mounted: Vec::new(),
        is_ephemeral: false,
    };
    drop(store.create_container(record.clone()).unwrap());
    assert_eq!(kind(store.create_container(record.clone())), Kind::Exists);
    let missing =
        ContainerRecord { id: "c2".into(), layers: vec![key(9).to_string()], ..record.clone() };
    assert_eq!(kind(store.create_container(missing)), Kind::NotFound);
    let escape = ContainerRecord { id: "../c".into(), ..record.clone() };
    assert_eq!(kind(store.create_container(escape)), Kind::Invalid);
    assert_eq!(store.containers().unwrap(), ["c1"]);

    store.untag("example.com/a:1", None).unwrap();
    assert_eq!(store.collect().unwrap(), crate::Collected::default());
    let open = store.container("c1").unwrap();
    assert_eq!(open.record, record);
    open.upper_dir().and(open.work_dir()).unwrap();
    assert_eq!(kind(store.remove_container("c1")), Kind::InUse);
    drop(open);
    store.remove_container("c1").unwrap();
    assert_eq!(kind(store.remove_container("c1")), Kind::NotFound);
    assert_eq!(store.collect().unwrap().layers.len(), 2);
    assert_eq!(findings(&store), []);
}

#[test]
fn an_upper_directory_becomes_a_layer_by_a_rename() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let image = Image::new(&[1]);
    image.pull(&store, "example.com/a:1").unwrap();
    let record = ContainerRecord { id: "c1".into(), ..ContainerRecord::default() };
    let mut work = store.begin().unwrap();
    drop(store.create_container(record).unwrap());
    let upper = scratch.root().join("containers/c1/upper");
    std::fs::write(upper.join("data"), tar(5)).unwrap();
    let inode = |path: PathBuf| {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(path).unwrap().ino()
    };
    let before = inode(upper.join("data"));
    let mut staged = work.stage_layer().unwrap();
    let parent = crate::files::open_dir(store.root(), "containers/c1").unwrap();
    staged.adopt(&parent, "upper").unwrap();
    crate::File(staged.create_index().unwrap()).write_all(b"data").unwrap();
    work.put_layer(staged, key(5), LayerFacts::default()).unwrap();
    work.commit().unwrap();
    let placed = scratch.root().join(format!("layers/{}/diff/data", key(5)));
    assert_eq!(inode(placed), before);
    assert_eq!(rebuild(&store.layer(&key(5)).unwrap().unwrap()).unwrap(), key(5).diff_id);
}

#[test]
fn layers_of_other_parents_are_other_layers() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let with = LayerKey { parents: Some(0xabc), ..key(1) };
    assert_eq!(LayerKey::parse(&with.to_string()), Some(with));
    let text = key(1).to_string();
    for bad in ["", "sha256", "sha256-", &text[1..], &format!("{text}-abc"), &format!("{text}-")] {
        assert_eq!(LayerKey::parse(bad), None, "{bad}");
    }
    let mut work = store.begin().unwrap();
    for key in [with, key(1)] {
        let staged = work.stage_layer().unwrap();
        work.put_layer(staged, key, LayerFacts::default()).unwrap();
    }
    work.commit().unwrap();
    assert_eq!(store.layers().unwrap(), [key(1), with]);
}

#[test]
fn additional_stores_are_read_and_not_touched() {
    let (scratch, other) = (Scratch::new(), Scratch::new());
    let image = Image::new(&[1, 2]);
    image.pull(&other.open(), "example.com/a:1").unwrap();
    let before = tree(&other.root());
    let with = Options { additional: vec![other.root()], ..options() };
    let store = Store::open(&scratch.root(), &scratch.0.join("run"), &with).unwrap();
    assert_eq!(store.names().unwrap().0.len(), 1);
    assert_eq!(store.resolve("example.com/a:1").unwrap().digest, image.digest().into());
    assert_eq!(store.read_blob(&image.digest(), 4096).unwrap(), image.manifest);
    assert_eq!(Image::new(&[2, 3]).pull(&store, "example.com/b:1").unwrap(), 1);
    assert_eq!(kind(store.untag("example.com/a:1", None)), Kind::NotFound);
    store.collect().unwrap();
    assert_eq!(findings(&store), []);

    let read_only = Options { read_only: true, ..options() };
    let reader = Store::open(&other.root(), &other.0.join("run"), &read_only).unwrap();
    assert_eq!(reader.names().unwrap().0.len(), 1);
    assert_eq!(kind(reader.begin()), Kind::ReadOnly);
    assert_eq!(kind(reader.gc()), Kind::ReadOnly);
    assert_eq!(tree(&other.root()), before);
    let nowhere = Store::open(&other.0.join("none"), &other.0.join("run"), &read_only);
    assert_eq!(kind(nowhere), Kind::NotFound);
}

/// Every path with its time of change.
fn tree(root: &Path) -> Vec<(PathBuf, std::time::SystemTime)> {
    let mut found = Vec::new();
    let mut todo = vec![root.to_path_buf()];
    while let Some(path) = todo.pop() {
        let meta = std::fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            todo.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        found.push((path, meta.modified().unwrap()));
    }
    found.sort();
    found
}
