//! From an archive to a tree and an index, and back, byte for byte; and from trees to archives.

use crate::craft::{Block, Craft, Random};
use crate::differential::plain_archives;
use crate::place::{Place, listing, open};
use archive::apply::{Devices, Form, Notes, Options, Owners, apply};
use archive::compression::{Decoder, Format};
use archive::index::{Builder, Entries, Reader as IndexReader, Record, from_tree, rebuild};
use archive::pack::{self, Sameness, difference, pack};
use archive::tar::{Bytes, Reader, Writer};
use archive::{Error, Kind, Limits, Sum, Summing};
use std::io::Read;
use std::path::Path;
use sys::time::Time;

fn is_root(test: &str) -> bool {
    let root = sys::ids::euid() == 0;
    if !root {
        skips::skip(test, "devices, owners and trusted attributes need root");
    }
    root
}

/// Unpacks with an index; returns the index.
fn indexed(place: &Place, bytes: &[u8], form: Form) -> Result<Vec<u8>, Error> {
    let (root, keep) = (place.open("root"), place.open("kept"));
    let keep = Some(keep.borrow());
    let options = Options { form, devices: Devices::Make, owners: Owners::Exact, keep };
    let mut reader = Reader::with_tap(bytes, Limits::default(), Builder::new(Vec::new()).unwrap());
    let report = apply(root.borrow(), &mut reader, options)?;
    let replaced: Vec<_> = report.replaced.into_iter().collect();
    let mut whole = Summing::new(Sum::Sha256);
    whole.update(bytes);
    reader.into_tap().finish(&replaced, &whole.finish())
}

fn rebuilt(place: &Place, index: &[u8]) -> Result<Vec<u8>, Error> {
    let (root, keep) = (place.open("root"), place.open("kept"));
    let mut out = Vec::new();
    rebuild(|| Ok(index), from_tree(root.borrow(), keep.borrow()), &mut out)?;
    Ok(out)
}

fn check(name: &str, bytes: &[u8]) {
    for form in [Form::Overlay(Notes::Trusted), Form::Plain] {
        let place = Place::new("roundtrip");
        let index = indexed(&place, bytes, form).unwrap_or_else(|e| panic!("{name}: {e}"));
        let back = rebuilt(&place, &index).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(back == bytes, "{name} ({form:?}) comes back different");
        let mut listed = Entries::new(&index[..]).unwrap();
        let mut reader = Reader::new(bytes, Limits::default());
        while let Some(entry) = reader.next_entry().unwrap() {
            let found = listed.next_entry().unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(found.map(|found| found.entry), Some(entry), "{name}");
        }
        assert_eq!(listed.next_entry().unwrap(), None, "{name}");
    }
}

#[test]
fn archives_of_other_projects_come_back_byte_for_byte() {
    if !is_root("archives_of_other_projects_come_back") {
        return;
    }
    let mut count = 0;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut all = plain_archives();
    for part in ["tar-split", "container-libs"] {
        for entry in std::fs::read_dir(folder.join(part)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if !name.contains(".tar.") {
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            let mut plain = Vec::new();
            let format = Format::of(&bytes);
            assert_ne!(format, Format::Plain, "{name}");
            let decoder = Decoder::new(format, &bytes[..], &Limits::default());
            decoder.unwrap().read_to_end(&mut plain).unwrap();
            all.push((name, plain));
        }
    }
    let mut refused = Vec::new();
    for (name, bytes) in &all {
        match crate::differential::read(bytes) {
            Ok(_) => {
                check(name, bytes);
                count += 1;
            }
            Err(_) => refused.push(name.as_str()),
        }
    }
    // Those in refused.txt, and a header of 3 GB.
    let odd: Vec<_> = refused.iter().filter(|name| !name.ends_with(".tar")).collect();
    assert_eq!(odd, [&"pax-bad-hdr-large.tar.bz2"]);
    assert!(count >= 44, "{count} of {}", all.len());
}

#[test]
fn odd_archives_come_back_byte_for_byte() {
    if !is_root("odd_archives_come_back") {
        return;
    }
    let sparse = [
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.name", "s"),
        ("GNU.sparse.realsize", "100000"),
    ];
    let mut body = b"2\n10\n3\n99990\n4\n".to_vec();
    body.resize(512, 0);
    body.extend_from_slice(b"abcdefg");
    let mut old = Block::new(b'S', b"old", 5);
    old.gnu().put(386, b"00000001000\0").put(398, b"00000000005\0").put(483, b"00000002000\0");
    let cases = [
        ("nothing", Craft::new().end()),
        ("no end", Craft::new().file("a", b"x").0),
        ("no bytes", Vec::new()),
        ("half an end", Craft::new().file("a", b"x").raw(&[0; 512]).0),
        ("a long end", Craft::new().file("a", b"x").raw(&[0; 300_000]).end()),
        ("an end that is no block", Craft::new().file("a", b"x").raw(&[0; 1024]).raw(b"tail").0),
        ("bytes behind the end", Craft::new().file("a", b"x").raw(&[0; 1024]).file("b", b"y").0),
        (
            "padding that is not zero",
            Craft::new().block(&Block::new(b'0', b"a", 1)).raw(&[b'x'; 512]).end(),
        ),
        ("sparse", Craft::new().pax(&sparse).file("x", &body).file("b", b"y").end()),
        ("old sparse", Craft::new().block(&old).data(b"12345").end()),
        ("twice the same", Craft::new().file("a", b"1").file("a", b"22").file("a", b"333").end()),
        ("twice, once empty", Craft::new().file("a", b"1").file("a", b"").file("a", b"3").end()),
        (
            "replaced by a link",
            Craft::new().file("a", b"1").file("b", b"2").hardlink("a", "b").file("a", b"4").end(),
        ),
        ("replaced by a symlink", Craft::new().file("a", b"1").symlink("a", "b").end()),
        (
            "behind a symlink",
            Craft::new().dir("d").symlink("l", "d").file("l/f", b"1").file("d/f", b"2").end(),
        ),
        ("whiteouts with contents", Craft::new().file("a", b"1").file("b", b"2").end()),
        (
            "whiteouts",
            Craft::new().file(".wh.a", b"").file("b/.wh..wh..opq", b"").file("b/c", b"1").end(),
        ),
        ("large", Craft::new().file("a", &vec![7; 3_000_000]).file("b", b"x").end()),
    ];
    for (name, bytes) in cases {
        check(name, &bytes);
    }
}

#[test]
fn a_changed_file_is_found() {
    let place = Place::new("changed");
    let bytes = Craft::new().file("a", b"1234").file("b", b"x").end();
    let index = indexed(&place, &bytes, Form::Plain).unwrap();
    for damaged in ["1235", "123", ""] {
        std::fs::write(place.root().join("a"), damaged).unwrap();
        let error = rebuilt(&place, &index).unwrap_err();
        assert_eq!((error.kind(), error.entry()), (Kind::Mismatch, Some(&b"a"[..])), "{damaged}");
    }
    std::fs::remove_file(place.root().join("a")).unwrap();
    assert!(matches!(rebuilt(&place, &index).unwrap_err().kind(), Kind::Os(_)));
}

#[test]
fn an_index_lists_files_with_their_digests() {
    let place = Place::new("listed");
    let bytes = Craft::new().dir("d").file("d/a", b"abc").file("b", b"").end();
    let index = indexed(&place, &bytes, Form::Plain).unwrap();
    let mut reader = IndexReader::new(&index[..]).unwrap();
    let mut files = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        if let Record::File(file) = record {
            files.push((file.path.as_bytes().to_vec(), file.size, file.offset, file.sha256[0]));
        }
    }
    // SHA-256 of "abc" is ba7816..., of nothing e3b0c4...
    assert_eq!(files, [(b"d/a".to_vec(), 3, 1024, 0xba), (b"b".to_vec(), 0, 2048, 0xe3)]);
}

#[test]
fn damaged_indexes_are_refused() {
    let place = Place::new("damaged");
    let mut craft = Craft::new();
    for number in 0..50 {
        craft = craft.file(&format!("dir/{number}"), &[number; 40]);
    }
    let bytes = craft.end();
    let index = indexed(&place, &bytes, Form::Plain).unwrap();
    for seed in 0..500 {
        let mut random = Random::new(seed + 1);
        let mut damaged = index.clone();
        match random.below(3) {
            0 => damaged.truncate(random.below(index.len())),
            _ => {
                let at = random.below(damaged.len());
                damaged[at] ^= 1 << random.below(8);
            }
        }
        if let Ok(back) = rebuilt(&place, &damaged) {
            assert!(back == bytes, "{seed}");
        }
    }
}

#[test]
fn a_tree_becomes_an_archive_and_is_had_again() {
    if !is_root("a_tree_becomes_an_archive") {
        return;
    }
    let layer = Craft::new()
        .pax(&[("mtime", "1000000000.000000007"), ("SCHILY.xattr.user.one", "1")])
        .dir("d")
        .file("d/f", b"contents")
        .hardlink("d/g", "d/f")
        .symlink("d/link", "/nowhere")
        .device(b'3', "d/null", "1", "3")
        .block(&Block::new(b'6', b"d/fifo", 0))
        .pax(&[("uid", "3000000"), ("mtime", "-1.5")])
        .file("big id", b"x")
        .file(&"long/".repeat(19), b"")
        .end();
    // A name that ends with a slash is a directory's.
    let layer =
        layer.len().checked_sub(1536).map(|at| [&layer[..at], &[0; 1024]].concat()).unwrap();
    let (one, two) = (Place::new("one"), Place::new("two"));
    indexed(&one, &layer, Form::Plain).unwrap();
    let packed = |place: &Place| {
        let mut writer = Writer::new((Bytes::new(Vec::new()), Summing::new(Sum::Sha256)));
        let report =
            pack(place.open("root").borrow(), pack::Options::default(), &mut writer).unwrap();
        let (bytes, sum) = writer.finish().unwrap();
        (bytes.into_inner(), sum.finish().sha256, report.entries)
    };
    let (first, digest, entries) = packed(&one);
    assert_eq!(entries, 7);
    indexed(&two, &first, Form::Plain).unwrap();
    let mut trees = [listing(&one.root()), listing(&two.root())];
    for tree in &mut trees {
        tree.remove("");
    }
    assert_eq!(trees[0], trees[1]);
    assert_eq!(packed(&two), (first.clone(), digest, entries));
    crate::differential::compare("a_tree_becomes_an_archive", &[("packed".into(), first)], &[]);
}

#[test]
fn an_upper_directory_becomes_a_layer() {
    if !is_root("an_upper_directory_becomes_a_layer") {
        return;
    }
    let layer = Craft::new()
        .file(".wh.gone", b"")
        .dir("d")
        .file("d/.wh..wh..opq", b"")
        .file("d/f", b"x")
        .end();
    for notes in [Notes::Trusted, Notes::User] {
        let place = Place::new("upper");
        indexed(&place, &layer, Form::Overlay(notes)).unwrap();
        let mut writer = Writer::new(Bytes::new(Vec::new()));
        let options =
            pack::Options { notes: Some(notes), latest: None, is_live: false, is_system: false };
        pack(place.open("root").borrow(), options, &mut writer).unwrap();
        let bytes = writer.finish().unwrap().into_inner();
        let list = crate::differential::read(&bytes).unwrap();
        let names: Vec<_> = list.iter().map(|entry| entry.1.as_str()).collect();
        assert_eq!(names, ["d", "d/.wh..wh..opq", "d/f", ".wh.gone"]);
        // And without notes it is nothing that can be packed.
        let plain =
            pack(place.open("root").borrow(), pack::Options::default(), &mut Writer::new(()));
        assert_eq!(plain.unwrap_err().kind(), Kind::Unsupported);
    }
}

#[test]
fn a_difference_makes_the_one_tree_the_other() {
    if !is_root("a_difference_makes_the_one_tree_the_other") {
        return;
    }
    let old = Craft::new()
        .file("same", b"1")
        .file("gone", b"1")
        .file("d/gone/x", b"1")
        .file("d/same", b"1")
        .file("e/f/g", b"1")
        .file("to-dir", b"1")
        .file("to-file/x", b"1")
        .symlink("link", "a")
        .file("bytes", b"1234")
        .dir("mode");
    let mut mode = Block::new(b'5', b"mode", 0);
    mode.put(100, b"0000700\0");
    let new = Craft::new()
        .file("same", b"1")
        .file("d/same", b"1")
        .file("e/f/g", b"2 is longer")
        .file("to-dir/x", b"1")
        .file("to-file", b"1")
        .symlink("link", "b")
        .file("bytes", b"1235")
        .file("new", b"1")
        .block(&mode);
    let (lower, upper) = (Place::new("lower"), Place::new("upper"));
    indexed(&lower, &old.end(), Form::Plain).unwrap();
    indexed(&upper, &new.end(), Form::Plain).unwrap();
    for place in [&lower, &upper] {
        let time = std::fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
        std::fs::File::open(place.root()).unwrap().set_times(time).unwrap();
    }
    let changes = |sameness| {
        let mut writer = Writer::new(Bytes::new(Vec::new()));
        let (a, b) = (lower.open("root"), upper.open("root"));
        difference(a.borrow(), b.borrow(), sameness, pack::Options::default(), &mut writer)
            .unwrap();
        writer.finish().unwrap().into_inner()
    };
    let names = |bytes: &[u8]| -> Vec<String> {
        crate::differential::read(bytes).unwrap().into_iter().map(|entry| entry.1).collect()
    };
    let by_contents = changes(Sameness::Contents);
    let all = [
        "bytes",
        "d",
        "d/.wh.gone",
        "e",
        "e/f",
        "e/f/g",
        ".wh.gone",
        "link",
        "mode",
        "new",
        "to-dir",
        "to-dir/x",
        "to-file",
    ];
    assert_eq!(names(&by_contents), all);
    // The times are the same, and so is the length: attributes cannot tell.
    assert_eq!(names(&changes(Sameness::Attributes)), all[1..]);
    indexed(&lower, &by_contents, Form::Plain).unwrap();
    let (mut made, mut wanted) = (listing(&lower.root()), listing(&upper.root()));
    made.remove("");
    wanted.remove("");
    assert_eq!(made, wanted);
}

#[test]
fn times_are_clamped() {
    let place = Place::new("clamped");
    let layer = Craft::new()
        .pax(&[("mtime", "500.5")])
        .file("old", b"")
        .pax(&[("mtime", "2000")])
        .file("young", b"");
    indexed(&place, &layer.end(), Form::Plain).unwrap();
    let mut writer = Writer::new(Bytes::new(Vec::new()));
    let latest = Some(Time { seconds: 1000, nanos: 0 });
    pack(
        place.open("root").borrow(),
        pack::Options { notes: None, latest, is_live: false, is_system: false },
        &mut writer,
    )
    .unwrap();
    let bytes = writer.finish().unwrap().into_inner();
    let mut reader = Reader::new(&bytes[..], Limits::default());
    let mut times = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        times.push((entry.mtime.seconds, entry.mtime.nanos));
    }
    assert_eq!(times, [(500, 500_000_000), (1000, 0)]);
}

#[test]
fn names_of_whiteouts_are_not_packed() {
    let place = Place::new("names");
    std::fs::write(place.root().join(".wh.x"), "").unwrap();
    let root = open(&place.root());
    let error = pack(root.borrow(), pack::Options::default(), &mut Writer::new(())).unwrap_err();
    assert_eq!((error.kind(), error.entry()), (Kind::Unsupported, Some(&b".wh.x"[..])));
}
