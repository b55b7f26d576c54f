//! What a layer becomes.

use crate::craft::{Block, Craft};
use crate::hostile::unpack;
use crate::place::{Place, listing};
use archive::Limits;
use archive::apply::{Devices, Form, Notes, Options, Owners, apply};
use archive::tar::Reader;
use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

const OVERLAY: Form = Form::Overlay(Notes::Trusted);

fn is_root(test: &str) -> bool {
    let root = sys::ids::euid() == 0;
    if !root {
        skips::skip(test, "devices, owners and trusted attributes need root");
    }
    root
}

/// Unpacks and lists.
fn tree(layers: &[Craft], form: Form) -> BTreeMap<String, String> {
    let place = Place::new("tree");
    for layer in layers {
        unpack(&place, &layer.clone().end(), form).unwrap();
    }
    let mut all = listing(&place.root());
    all.remove("");
    all
}

fn keys(tree: &BTreeMap<String, String>) -> Vec<&str> {
    tree.keys().map(String::as_str).collect()
}

#[test]
fn an_entry_keeps_all_that_it_says() {
    if !is_root("an_entry_keeps_all_that_it_says") {
        return;
    }
    let mut setuid = Block::new(b'0', b"d/setuid", 2);
    setuid.put(100, b"0004711\0").put(108, b"\x80\0\0\0\x00\x40\0\x07").put(116, b"0000005\0");
    let layer = Craft::new()
        .pax(&[("mtime", "1000000000.000000007"), ("SCHILY.xattr.user.one", "1")])
        .block(Block::new(b'5', b"d", 0).put(100, b"0002750\0"))
        .pax(&[("mtime", "-1.5")])
        .block(&setuid)
        .data(b"hi")
        .pax(&[("SCHILY.acl.access", "user::rw-,user:7:r--,group::r--,mask::r--,other::---")])
        .block(Block::new(b'0', b"d/acl", 0).put(100, b"0000640\0"))
        .symlink("d/link", "/nowhere")
        .device(b'3', "d/null", "1", "3")
        .device(b'4', "d/disk", "0000010\0", "0002001\0")
        .block(Block::new(b'6', b"d/fifo", 0).put(100, b"0000622\0"))
        .hardlink("d/twin", "d/setuid");
    let found = tree(&[layer], OVERLAY);
    let check = |path: &str, text: &str| assert_eq!(found[path], text, "{path}");
    check("d", "42750 0:0 1000000000.000000007 0 user.one=1");
    check("d/setuid", "104711 4194311:5 -2.500000000 \"hi\"");
    check("d/twin", "104711 4194311:5 -2.500000000 \"hi\"");
    check("d/link", "120777 0:0 0.000000000 -> \"/nowhere\"");
    check("d/null", "20644 0:0 0.000000000 103");
    check("d/disk", &format!("60644 0:0 0.000000000 {:x}", sys::fs::makedev(8, 1025)));
    check("d/fifo", "10622 0:0 0.000000000 0");
    assert!(found["d/acl"].starts_with("100640 0:0 0.000000000 \"\" system.posix_acl_access="));
}

#[test]
fn file_capabilities_are_kept() {
    if !is_root("file_capabilities_are_kept") {
        return;
    }
    // Revision 2, cap_net_raw+ep.
    let bytes = [1u8, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let record = [b" SCHILY.xattr.security.capability=", &bytes[..], b"\n"].concat();
    let record = [(record.len() + 2).to_string().as_bytes(), &record].concat();
    let mut owner = Block::new(b'0', b"ping", 1);
    owner.put(108, b"0000007\0");
    let place = Place::new("caps");
    let layer = Craft::new().pax_raw(b'x', &record).block(&owner).data(b"x").end();
    unpack(&place, &layer, OVERLAY).unwrap();
    let path = place.root().join("ping");
    let value = sys::xattr::get_at(path.as_os_str().as_encoded_bytes(), "security.capability");
    assert_eq!(value.unwrap(), bytes);
}

#[test]
fn a_directory_that_is_left_and_entered_again_keeps_its_time() {
    let time = |time: &'static str| vec![("mtime", time)];
    let layer = Craft::new()
        .pax(&time("100.5"))
        .dir("a")
        .file("a/one", b"1")
        .pax(&time("200.5"))
        .dir("b")
        .file("a/two", b"2")
        .file("a/c/three", b"3")
        .file("b/four", b"4");
    let found = tree(&[layer], Form::Plain);
    assert!(found["a"].contains(" 100.500000000 "), "{}", found["a"]);
    assert!(found["b"].contains(" 200.500000000 "), "{}", found["b"]);
    assert!(found["a/c"].contains(" 0.000000000 "), "{}", found["a/c"]);
}

#[test]
fn overlay_form_has_devices_and_notes() {
    if !is_root("overlay_form_has_devices_and_notes") {
        return;
    }
    for (notes, attribute) in
        [(Notes::Trusted, "trusted.overlay.opaque=y"), (Notes::User, "user.overlay.opaque=y")]
    {
        let layer = Craft::new()
            .file(".wh.gone", b"")
            .file("d/.wh..wh..opq", b"")
            .file("d/f", b"x")
            .file(".wh.new", b"")
            .file("new/f", b"x")
            .file("own/f", b"x")
            .file(".wh.own", b"")
            .file(".wh.file", b"")
            .file("file", b"x");
        let found = tree(&[layer], Form::Overlay(notes));
        assert_eq!(keys(&found), ["d", "d/f", "file", "gone", "new", "new/f", "own", "own/f"]);
        assert!(found["gone"].starts_with("20000 0:0 "), "{}", found["gone"]);
        for directory in ["d", "new", "own"] {
            assert!(found[directory].ends_with(attribute), "{}", found[directory]);
        }
    }
}

#[test]
fn plain_form_removes_what_is_below_and_nothing_else() {
    let below = Craft::new()
        .file("gone", b"1")
        .file("tree/a/b", b"1")
        .file("opaque/old", b"1")
        .file("opaque/sub/old", b"1")
        .file("kept/f", b"1")
        .file("replaced/f", b"1")
        .symlink("link", "kept")
        .file("both/old", b"1")
        .file("file", b"old");
    let above = Craft::new()
        .file(".wh.gone", b"")
        .file(".wh.tree", b"")
        .file("opaque/sub/new", b"2")
        .file("opaque/.wh..wh..opq", b"")
        .file("opaque/new", b"2")
        .file("replaced", b"2")
        .file("link/f", b"2")
        .file("both/new", b"2")
        .file(".wh.both", b"")
        .file(".wh.never", b"")
        .file("file", b"new");
    let found = tree(&[below, above], Form::Plain);
    assert_eq!(
        keys(&found),
        [
            "both",
            "both/new",
            "file",
            "kept",
            "kept/f",
            "link",
            "link/f",
            "opaque",
            "opaque/new",
            "opaque/sub",
            "opaque/sub/new",
            "replaced"
        ]
    );
    // As with overlayfs, a directory hides a link of the layer below and is not behind it.
    assert!(found["link"].starts_with("4"), "{}", found["link"]);
    assert!(found["file"].ends_with("\"new\""));
}

#[test]
fn a_whiteout_leaves_what_its_layer_made_behind_a_link() {
    let below = Craft::new().file("d/f", b"old").file("d/g", b"old");
    let above = Craft::new()
        .symlink("l", "d")
        .file("l/f", b"new")
        .file("d/.wh.f", b"")
        .file("d/.wh.g", b"");
    let found = tree(&[below, above], Form::Plain);
    assert_eq!(keys(&found), ["d", "d/f", "l"]);
    assert!(found["d/f"].ends_with("\"new\""), "{}", found["d/f"]);
}

/// The two forms of the same layers show the same tree: the kernel's overlayfs is the judge.
#[test]
fn both_forms_look_alike() {
    if !is_root("both_forms_look_alike") {
        return;
    }
    let layers = [
        Craft::new()
            .file("a/b/c", b"1")
            .file("d/e", b"1")
            .file("f", b"1")
            .dir("g")
            .file("h/i", b"1"),
        Craft::new()
            .file("a/.wh.b", b"")
            .file(".wh.f", b"")
            .file("d/.wh..wh..opq", b"")
            .file("d/x", b"2"),
        Craft::new()
            .file(".wh.a", b"")
            .file("a/new", b"3")
            .file("f", b"3")
            .file("g/.wh.none", b"")
            .file(".wh.h", b""),
    ];
    let place = Place::new("alike");
    let mut lower = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        let path = place.path().join(number.to_string());
        std::fs::create_dir(&path).unwrap();
        let root = crate::place::open(&path);
        let options =
            Options { form: OVERLAY, devices: Devices::Make, owners: Owners::Exact, keep: None };
        let bytes = layer.clone().end();
        apply(root.borrow(), &mut Reader::new(&bytes[..], Limits::default()), options).unwrap();
        lower.insert(0, path.to_string_lossy().into_owned());
    }
    let merged = place.path().join("merged");
    std::fs::create_dir(&merged).unwrap();
    // In a mount namespace of its own: nothing is left behind, whatever happens.
    let script = format!(
        "mount -t overlay overlay -o ro,lowerdir={} {m} && cd {m} && find . -type f -exec grep -H . {{}} + | sort",
        lower.join(":"),
        m = merged.display()
    );
    let output = Command::new("unshare").args(["-m", "sh", "-c", &script]).output().unwrap();
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        skips::skip("both_forms_look_alike", &format!("overlayfs cannot be mounted: {why}"));
        return;
    }
    let mut plain = String::new();
    for (path, text) in tree(&layers, Form::Plain) {
        if text.starts_with("100") {
            let content = text.split('"').nth(1).unwrap();
            plain += &format!("./{path}:{content}\n");
        }
    }
    assert_eq!(String::from_utf8_lossy(&output.stdout), plain);
}

#[test]
fn what_an_archive_replaces_is_kept_for_the_index() {
    let place = Place::new("kept");
    let layer = Craft::new()
        .file("a", b"first")
        .file("a", b"second")
        .file("b", b"")
        .file("b", b"x")
        .hardlink("link", "a")
        .file("link", b"own")
        .file("a", b"third")
        .end();
    let report = unpack(&place, &layer, Form::Plain).unwrap();
    let names: Vec<_> = report.replaced.iter().map(|path| path.as_bytes().to_vec()).collect();
    assert_eq!(names, [b"a", b"a"]);
    let read = |path: &str| std::fs::read_to_string(place.path().join(path)).unwrap();
    assert_eq!([read("kept/0"), read("kept/1")], ["first", "second"]);
    assert_eq!([read("root/a"), read("root/link"), read("root/b")], ["third", "own", "x"]);
}

#[test]
fn sparse_files_have_holes() {
    let records = [
        ("GNU.sparse.size", "10000000"),
        ("GNU.sparse.numblocks", "2"),
        ("GNU.sparse.map", "0,3,9000000,2"),
    ];
    let place = Place::new("sparse");
    unpack(&place, &Craft::new().pax(&records).file("a", b"abcde").end(), Form::Plain).unwrap();
    let path = place.root().join("a");
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes.len(), 10_000_000);
    assert_eq!((&bytes[..3], &bytes[9_000_000..9_000_002]), (&b"abc"[..], &b"de"[..]));
    assert_eq!(bytes.iter().filter(|&&byte| byte != 0).count(), 5);
    assert!(std::fs::metadata(&path).unwrap().blocks() < 1000);
}

#[test]
fn what_the_host_says_is_dropped_and_counted() {
    if !is_root("what_the_host_says_is_dropped_and_counted") {
        return;
    }
    let place = Place::new("dropped");
    let records = [
        ("SCHILY.xattr.trusted.overlay.opaque", "y"),
        ("SCHILY.xattr.user.overlay.redirect", "/etc"),
        ("SCHILY.xattr.security.selinux", "x"),
        ("SCHILY.xattr.user.fine", "x"),
    ];
    let report = unpack(&place, &Craft::new().pax(&records).dir("d").end(), OVERLAY).unwrap();
    assert_eq!((report.xattrs_dropped, report.xattrs_refused), (3, 0));
    assert!(listing(&place.root())["d"].ends_with(" user.fine=x"));
}

#[test]
fn devices_can_be_left_out() {
    let place = Place::new("skipped");
    let root = place.open("root");
    let layer = Craft::new().device(b'3', "null", "1", "3").file("f", b"").end();
    let options =
        Options { form: Form::Plain, devices: Devices::Skip, owners: Owners::Own, keep: None };
    let report =
        apply(root.borrow(), &mut Reader::new(&layer[..], Limits::default()), options).unwrap();
    assert_eq!(report.devices_skipped, 1);
    assert_eq!(keys(&listing(&place.root())), ["", "f"]);
}

#[test]
fn parents_without_an_entry_are_told() {
    let place = Place::new("implied");
    let layer = Craft::new().file("a/b/c", b"").dir("a").end();
    let report = unpack(&place, &layer, Form::Plain).unwrap();
    let names: Vec<_> = report.implied.iter().map(|path| path.as_bytes().to_vec()).collect();
    assert_eq!(names, [b"a/b"]);
    let mode = std::fs::metadata(place.root().join("a/b")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
}

/// GNU tar unpacks the same archive; nothing may be different.
#[test]
fn a_tree_of_this_machine_is_unpacked_as_tar_does() {
    let source = Path::new("/etc");
    if !is_root("a_tree_of_this_machine_is_unpacked_as_tar_does") {
        return;
    }
    let place = Place::new("etc");
    let packed = Command::new("tar")
        .args(["--format=posix", "--xattrs", "--xattrs-include=*", "--sort=name", "-cf", "-", "-C"])
        .arg(source)
        .arg(".")
        .output()
        .unwrap();
    let ours = place.root();
    unpack(&place, &packed.stdout, OVERLAY).unwrap();
    let theirs = place.path().join("theirs");
    std::fs::create_dir(&theirs).unwrap();
    let archive = place.path().join("a.tar");
    std::fs::write(&archive, &packed.stdout).unwrap();
    let status = Command::new("tar")
        .args(["--xattrs", "--xattrs-include=*", "--same-owner", "-pxf"])
        .arg(&archive)
        .arg("-C")
        .arg(&theirs)
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(listing(&ours), listing(&theirs));
}
