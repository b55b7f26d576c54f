//! Images made of others.

use super::{Scratch, rights, sha256, tar};
use crate::{
    Change, ChangeKind, Draft, Kind, List, Made, Naming, Stored, Times, apply_changes, diff,
};
use oci::image::{Document, History, Platform};
use std::io::Read;
use std::process::{Command, Stdio};
use store::Store;
use transport::Source;

fn naming(names: &[String]) -> Naming<'_> {
    Naming { names, origin: "", time_s: 1 }
}

fn platform() -> Platform {
    Platform { architecture: "amd64".into(), os: "linux".into(), ..Platform::default() }
}

#[test]
fn an_index_that_somebody_else_has_changed_is_not_replaced() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let name = "localhost/list:1";
    let record = || store.resolve(name).unwrap();
    let (one, other) = (List::new(&store).unwrap(), List::new(&store).unwrap());
    one.finish(name, 1).unwrap();
    assert_eq!(other.finish(name, 1).unwrap_err().kind(), Kind::InUse);
    let mut lists = [(); 2].map(|()| List::open(&store, &record()).unwrap());
    for (number, list) in lists.iter_mut().enumerate() {
        list.annotations().insert("by".into(), number.to_string());
    }
    let [one, other] = lists;
    let first = *one.finish(name, 1).unwrap().digest();
    assert_eq!(other.finish(name, 1).unwrap_err().kind(), Kind::InUse);
    assert_eq!(record().target().unwrap(), &first);
    // With what it is now it can be changed.
    let mut list = List::open(&store, &record()).unwrap();
    list.annotations().insert("by".into(), "both".into());
    let changed = *list.finish(name, 1).unwrap().digest();
    assert_eq!(record().target().unwrap(), &changed);
    // Nor does one come back that was taken away.
    let list = List::open(&store, &record()).unwrap();
    store.untag(name, None).unwrap();
    assert_eq!(list.finish(name, 1).unwrap_err().kind(), Kind::InUse);
}

#[test]
fn an_image_that_is_being_read_stays_until_that_is_done() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let tar = tar(&[("one", 0o644)]);
    let made = made(&store, "a", std::slice::from_ref(&tar));
    let digest = *made.manifest.digest();
    let stored = Stored::open(&store, "a", &digest, made.manifest.media_type(), rights()).unwrap();
    store.untag("localhost/a:latest", None).unwrap();
    assert_eq!(store.collect().unwrap(), store::Collected::default());
    let document = stored.manifest(None).unwrap();
    let mut back = Vec::new();
    let layer = &document.manifest().unwrap().layers[0];
    assert!(stored.write_plain(layer, &sha256(&tar), &mut back).unwrap());
    assert!(back == tar);
    drop(stored);
    assert_eq!(store.collect().unwrap().layers.len(), 1);
}

/// An image of archives.
fn made(store: &Store, name: &str, tars: &[Vec<u8>]) -> Made {
    let mut draft = Draft::new(store, &platform(), rights()).unwrap();
    for tar in tars {
        draft.add_archive(&tar[..], &History::default()).unwrap();
    }
    draft.finish(&naming(&[format!("localhost/{name}:latest")])).unwrap()
}

fn image(store: &Store, name: &str) -> Document {
    let found = crate::find(store, name).unwrap();
    crate::open_document(store, &found).unwrap()
}

/// What a system's tar packs of what a script makes.
fn packed(script: &str) -> Vec<u8> {
    let scratch = Scratch::new();
    let run = |program: &str, args: &[&str]| {
        let mut command = Command::new(program);
        let child = command.args(args).current_dir(&scratch.0).stdout(Stdio::piped()).spawn();
        let output = child.unwrap().wait_with_output().unwrap();
        assert!(output.status.success(), "{program} {args:?}");
        output.stdout
    };
    run("sh", &["-ec", script]);
    run("tar", &["-c", "--mtime=@7", "--sort=name", "."])
}

/// What a layer of the store has, one after the other.
fn names_of(store: &Store, document: &Document) -> Vec<String> {
    let mut all = Vec::new();
    for layer in &document.manifest().unwrap().layers {
        let key = (*layer.verifiable().unwrap()).into();
        let mut tar = Vec::new();
        crate::rebuild_layer(&store.layer(&key).unwrap().unwrap(), &mut tar).unwrap();
        let mut reader = archive::tar::Reader::new(&tar[..], archive::Limits::default());
        while let Some(entry) = reader.next_entry().unwrap() {
            all.push(String::from_utf8(entry.name).unwrap());
        }
    }
    all
}

#[test]
fn the_same_layers_are_the_same_image() {
    let tars = [tar(&[("a/", 0o755), ("a/one", 0o644)]), tar(&[("two", 0o600)])];
    let (one, other) = (Scratch::new(), Scratch::new());
    let digests: Vec<String> = [&one, &other]
        .iter()
        .map(|scratch| {
            let store = scratch.store();
            let made = made(&store, "x", &tars);
            assert!(store.fsck(store::Check::default()).unwrap().is_empty());
            let layers = &made.manifest.manifest().unwrap().layers;
            let plain: Vec<_> = tars.iter().map(|tar| sha256(tar).into()).collect();
            assert!(layers.iter().map(|layer| layer.digest.clone()).eq(plain));
            made.manifest.digest().to_string()
        })
        .collect();
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn nothing_is_there_before_an_image_is_finished() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let mut draft = Draft::new(&store, &platform(), rights()).unwrap();
    draft.add_archive(&tar(&[("a", 0o644)])[..], &History::default()).unwrap();
    drop(draft);
    assert!(store.layers().unwrap().is_empty() && store.blobs().unwrap().is_empty());
    // One without a name is kept, too.
    let mut draft = Draft::new(&store, &platform(), rights()).unwrap();
    draft.add_archive(&tar(&[("a", 0o644)])[..], &History::default()).unwrap();
    let made = draft.finish(&naming(&[])).unwrap();
    store.collect().unwrap();
    assert_eq!(crate::find(&store, &made.id.hex()[..12]).unwrap().digest, *made.manifest.digest());
}

#[test]
fn a_tree_in_staging_becomes_a_layer_without_a_copy() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let mut draft = Draft::new(&store, &platform(), rights()).unwrap();
    let staged = draft.stage().unwrap();
    let path = format!("/proc/self/fd/{}", staged.diff_dir().raw());
    std::fs::create_dir(format!("{path}/d")).unwrap();
    std::fs::write(format!("{path}/d/file"), "content").unwrap();
    let inode =
        std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(format!("{path}/d/file")).unwrap());
    let diff_id = draft.add_tree(staged, None, &History::default()).unwrap();
    draft.finish(&naming(&["localhost/x:latest".into()])).unwrap();
    let layer = store.layer(&diff_id.into()).unwrap().unwrap();
    let stat = sys::fs::stat_at(layer.diff_dir().unwrap(), "d/file", 0).unwrap();
    assert_eq!(stat.st_ino, inode);
    let mut back = Vec::new();
    assert_eq!(crate::rebuild_layer(&layer, &mut back).unwrap(), diff_id);
}

#[test]
fn flattened_layers_are_what_they_come_to() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let lower = packed(
        "mkdir -p etc/keep etc/gone dir usr/lib; echo 1 > etc/a; ln etc/a etc/z; echo 2 > etc/gone/x;
         echo 3 > dir/old; ln -s usr/lib lib; truncate -s 100000 hole; echo x >> hole",
    );
    let upper = packed(
        "mkdir -p etc dir usr; echo 4 > etc/b; touch etc/.wh.gone etc/.wh.a dir/.wh..wh..opq;
         echo 5 > dir/new; echo 6 > lib",
    );
    let tree = made(&store, "x", &[lower, upper]);
    let mut draft = Draft::of_image(&store, &tree.manifest, rights()).unwrap();
    crate::flatten_layers(&store, &mut draft, &History::default()).unwrap();
    let flat = draft.finish(&naming(&["localhost/flat:latest".into()])).unwrap();
    assert_eq!(
        names_of(&store, &flat.manifest),
        [
            "./",
            "dir/",
            "dir/new",
            "etc/",
            "etc/b",
            "etc/keep/",
            "etc/z",
            "hole",
            "lib",
            "usr/",
            "usr/lib/"
        ]
    );
    // It is the same tree.
    let differing = |times| diff(&store, &flat.manifest, Some(&tree.manifest), times, rights());
    assert_eq!(differing(Times::Ignored).unwrap(), []);
    assert_eq!(differing(Times::Count).unwrap(), []);
    assert!(store.fsck(store::Check::default()).unwrap().is_empty());
}

#[test]
fn differences_are_found_without_a_look_at_the_files() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let lower =
        packed("mkdir -p etc/deep/er usr; echo 1 > etc/a; echo 2 > etc/deep/er/x; echo 3 > usr/y");
    let upper = packed("mkdir -p etc new; touch etc/.wh.deep; echo 11 > etc/a; echo 4 > new/file");
    made(&store, "one", std::slice::from_ref(&lower));
    made(&store, "two", &[lower, upper]);
    let (one, two) = (image(&store, "one"), image(&store, "two"));
    let check = |image: &Document, base: Option<&Document>, expected: &[&str]| {
        let found = diff(&store, image, base, Times::Count, rights()).unwrap();
        let lines: Vec<String> = found
            .iter()
            .map(|it| {
                let letter = match it.kind {
                    ChangeKind::Changed => 'C',
                    ChangeKind::Added => 'A',
                    ChangeKind::Deleted => 'D',
                };
                format!("{letter} {}", String::from_utf8_lossy(&it.path))
            })
            .collect();
        assert_eq!(lines, expected);
    };
    let changes = ["C /etc", "C /etc/a", "D /etc/deep", "A /new", "A /new/file"];
    check(&two, Some(&one), &changes);
    check(&two, None, &changes);
    let back =
        ["C /etc", "C /etc/a", "A /etc/deep", "A /etc/deep/er", "A /etc/deep/er/x", "D /new"];
    check(&one, Some(&two), &back);
    check(&two, Some(&two), &[]);
}

#[test]
fn layers_move_to_another_base() {
    let scratch = Scratch::new();
    let store = scratch.store();
    // The upper layer has no entry for its directory: that is the base's.
    let (wide, narrow) = (tar(&[("tmp/", 0o1777)]), tar(&[("tmp/", 0o700), ("new", 0o644)]));
    let upper = tar(&[("tmp/file", 0o644)]);
    let old = made(&store, "old", std::slice::from_ref(&wide));
    let new = made(&store, "new", &[narrow.clone(), tar(&[("newer", 0o644)])]);
    let app = made(&store, "app", &[wide, upper.clone()]);
    let mut draft = Draft::of_image(&store, &app.manifest, rights()).unwrap();
    let env = Change::Env("A".into(), "b".into());
    apply_changes(&mut draft.configuration, &[env]).unwrap();
    let moved = crate::rebase(&store, &mut draft, &old.manifest, &new.manifest, rights()).unwrap();
    assert_eq!(moved, 1);
    let rebased = draft.finish(&naming(&["localhost/rebased:latest".into()])).unwrap();
    let layers = &rebased.manifest.manifest().unwrap().layers;
    assert_eq!(layers.len(), 3);
    assert_eq!(layers[2].digest, sha256(&upper).into());
    let modes: Vec<u32> = store
        .layer_variants(&sha256(&upper))
        .unwrap()
        .iter()
        .map(|key| {
            let tree = store.layer(key).unwrap().unwrap().diff_dir().unwrap();
            sys::fs::stat_at(&tree, "tmp", 0).unwrap().st_mode & 0o7777
        })
        .collect();
    assert!(modes.contains(&0o1777) && modes.contains(&0o700), "{modes:?}");
    // Onto what it was not made upon it does not go.
    let mut draft = Draft::of_image(&store, &app.manifest, rights()).unwrap();
    let error =
        crate::rebase(&store, &mut draft, &new.manifest, &old.manifest, rights()).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
}

#[test]
fn annotations_change_without_the_rest() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let made = made(&store, "x", &[tar(&[("a", 0o644)])]);
    let names = ["localhost/y:latest".to_owned()];
    let add = |annotations: &mut oci::Map| annotations.insert("k".into(), "v".into());
    let new = crate::annotate(&store, &made.manifest, &add, &naming(&names)).unwrap();
    let (one, other) = (made.manifest.manifest().unwrap(), new.manifest().unwrap());
    assert_eq!((&one.config, &one.layers), (&other.config, &other.layers));
    assert_eq!(other.annotations.get("k").map(String::as_str), Some("v"));
    let remove = |annotations: &mut oci::Map| annotations.retain(|key, _| key != "k");
    let back = crate::annotate(&store, &new, &remove, &naming(&names)).unwrap();
    assert_eq!(back.bytes(), made.manifest.bytes());
}

#[test]
fn an_image_of_layers_that_were_never_packed_is_copied_as_it_is() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let tar = tar(&[("a", 0o644)]);
    let made = made(&store, "x", std::slice::from_ref(&tar));
    let stored = crate::Stored::open(
        &store,
        "x",
        made.manifest.digest(),
        made.manifest.media_type(),
        rights(),
    )
    .unwrap();
    let policy = super::policy();
    let options = crate::CopyOptions {
        preserve_digests: true,
        ..crate::CopyOptions::new(crate::Instances::All, &policy, &crate::Silent)
    };
    let copied = crate::copy(&stored, &scratch.sink("out"), &options).unwrap();
    assert_eq!(copied.root.digest(), made.manifest.digest());
    let mut back = Vec::new();
    let source = scratch.source("out");
    let layer = &copied.root.manifest().unwrap().layers[0];
    transport::Source::blob(&source, layer).unwrap().read_to_end(&mut back).unwrap();
    assert!(back == tar);
}
