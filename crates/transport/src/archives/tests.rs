//! Archives of others, most of them hostile, and own ones.

use super::*;
use crate::tests::{Part, kind, tar, test_directory};
use archive::compression::{Codec, Encoder};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

fn file(content: &str) -> Part {
    Part::File(content.into())
}

fn link(target: &str) -> Part {
    Part::Symlink(target.into())
}

fn members(bytes: &[u8]) -> crate::Result<Members> {
    Members::read(&mut &*bytes, Path::new("x.tar"), &std::env::temp_dir())
}

fn content(members: &Members, name: &str) -> Option<String> {
    let mut text = String::new();
    members.find(name).unwrap()?.read_to_string(&mut text).unwrap();
    Some(text)
}

#[test]
fn files_are_read_where_they_lie() {
    let root = test_directory("members");
    let bytes = tar(&[
        ("a", file("first")),
        ("d", Part::Directory),
        ("d/b", file("second")),
        ("d", Part::Directory),
        ("d/empty", file("")),
        ("d/link", link("../a")),
        ("d/e/link", link("/d/link")),
        ("hard", Part::Hardlink("d/b".into())),
    ]);
    let check = |members: Members| {
        assert_eq!(content(&members, "a").as_deref(), Some("first"));
        assert_eq!(content(&members, "./d//b").as_deref(), Some("second"));
        assert_eq!(content(&members, "d/empty").as_deref(), Some(""));
        assert_eq!(content(&members, "d/link").as_deref(), Some("first"));
        assert_eq!(content(&members, "d/e/link").as_deref(), Some("first"));
        assert_eq!(content(&members, "hard").as_deref(), Some("second"));
        assert_eq!(content(&members, "b"), None);
        assert_eq!(content(&members, "../a"), None);
        assert_eq!(kind(members.find("d")), Some(ErrorKind::Invalid));
        assert_eq!(members.read_document("a").unwrap().unwrap(), b"first");
    };
    let path = root.join("x.tar");
    std::fs::write(&path, &bytes).unwrap();
    check(Members::open(&path, Path::new("/nonexistent")).unwrap());
    for codec in [Codec::Gzip { level: 6 }, Codec::Zstd { level: 3 }] {
        let mut encoder = Encoder::new(codec, 1, Vec::new()).unwrap();
        encoder.write_all(&bytes).unwrap();
        std::fs::write(&path, encoder.finish().unwrap()).unwrap();
        check(Members::open(&path, &root).unwrap());
        assert_eq!(
            kind(Members::open(&path, Path::new("/nonexistent"))),
            Some(ErrorKind::NotFound)
        );
    }
    // A pipe is read as it is.
    let fifo = root.join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    std::thread::scope(|scope| {
        scope.spawn(|| std::fs::write(&fifo, &bytes).unwrap());
        check(Members::open(&fifo, &root).unwrap());
    });
    // Nothing temporary is left.
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 2);
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn threads_read_at_once() {
    let text: Vec<String> = (0..8).map(|number| number.to_string().repeat(100_000)).collect();
    let names: Vec<String> = (0..8).map(|number| format!("f{number}")).collect();
    let parts: Vec<(&str, Part)> =
        names.iter().zip(&text).map(|(name, text)| (name.as_str(), file(text))).collect();
    let members = &members(&tar(&parts)).unwrap();
    std::thread::scope(|scope| {
        for (name, text) in names.iter().zip(&text) {
            scope.spawn(move || assert_eq!(content(members, name).as_ref(), Some(text)));
        }
    });
}

#[test]
fn l1_links_lead_nowhere_else() {
    let members = members(&tar(&[
        ("passwd", link("/etc/passwd")),
        ("above", link("../../etc/passwd")),
        ("d/above", link("../../x")),
        ("loop", link("loop")),
        ("one", link("two")),
        ("two", link("one")),
        ("hard", Part::Hardlink("hard".into())),
        ("fifo", Part::Fifo),
        ("x", file("x")),
    ]))
    .unwrap();
    // There is no such member, whatever the machine has.
    assert_eq!(content(&members, "passwd"), None);
    for name in ["above", "d/above", "loop", "one", "hard", "fifo"] {
        assert_eq!(kind(members.find(name)), Some(ErrorKind::Invalid), "{name}");
    }
}

#[test]
fn l2_a_file_that_is_there_twice_is_none() {
    let members = members(&tar(&[
        ("index.json", file("one")),
        ("index.json", file("two")),
        ("a", link("x")),
        ("a", file("two")),
        ("x", file("x")),
    ]))
    .unwrap();
    for name in ["index.json", "a"] {
        let error = members.find(name).unwrap_err().to_string();
        assert_eq!(error, format!("x.tar: `{name}` is in the archive more than once"));
    }
    assert_eq!(content(&members, "x").as_deref(), Some("x"));
}

#[test]
fn l3_what_is_too_large_or_no_archive_is_refused() {
    let big = vec![b' '; (4 << 20) + 1];
    let members_of_big = members(&tar(&[("big", Part::File(big))])).unwrap();
    assert_eq!(kind(members_of_big.read_document("big")), Some(ErrorKind::Invalid));
    // 200 names of 3 KB each would do; 16 MiB are the limit.
    let long = "d/".repeat(30) + &"x".repeat(200);
    let target = "t".repeat(3000);
    let names: Vec<String> = (0..6000).map(|number| format!("{long}{number}")).collect();
    let parts: Vec<(&str, Part)> =
        names.iter().map(|name| (name.as_str(), link(&target))).collect();
    let error = members(&tar(&parts)).unwrap_err().to_string();
    assert!(error.ends_with("the members' names have more than 16 MiB"), "{error}");

    let whole = tar(&[("a", file("text")), ("b", file(&"text".repeat(1000)))]);
    for (bytes, expected) in [
        (&b""[..], ErrorKind::Invalid),
        (&[0; 1024], ErrorKind::Invalid),
        (b"no archive", ErrorKind::Corrupt),
        (&[b'x'; 2048], ErrorKind::Corrupt),
        (&whole[..300], ErrorKind::Corrupt),
        (&whole[..700], ErrorKind::Corrupt),
        (&whole[..3000], ErrorKind::Corrupt),
        (b"\x1f\x8b\x08broken", ErrorKind::Corrupt),
        (b"BZh9broken", ErrorKind::Corrupt),
    ] {
        assert_eq!(kind(members(bytes)), Some(expected), "{}", bytes.escape_ascii());
    }
    let up = tar(&[("aa", file("x"))]);
    // The name, and the sum of a header in which it is.
    let up = renamed(&up, b"..");
    assert_eq!(kind(members(&up)), Some(ErrorKind::Invalid));
}

/// An archive whose first member has another name.
fn renamed(archive: &[u8], name: &[u8]) -> Vec<u8> {
    let mut bytes = archive.to_vec();
    bytes[..name.len()].copy_from_slice(name);
    bytes[148..156].fill(b' ');
    let sum: u32 = bytes[..512].iter().map(|&byte| u32::from(byte)).sum();
    bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    bytes
}

#[test]
fn a_file_that_shrinks_while_it_is_read_is_an_error() {
    let root = test_directory("members-shrink");
    let path = root.join("x.tar");
    std::fs::write(&path, tar(&[("a", file(&"text".repeat(1000)))])).unwrap();
    let members = Members::open(&path, &root).unwrap();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1000).unwrap();
    let mut section = members.find("a").unwrap().unwrap();
    let error = section.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    assert_eq!(kind(Members::open(&root, &root)), Some(ErrorKind::Invalid));
    std::fs::remove_dir_all(root).unwrap();
}

/// A stream whose bytes somebody else sees.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Content that breaks off.
struct Broken(&'static [u8]);

impl Read for Broken {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(std::io::ErrorKind::InvalidData.into()),
            count => Ok(count),
        }
    }
}

fn fill(output: &mut Output) {
    // A name that does not fit into one header, of content that is moved in several pieces.
    let long = |_: &oci::Digest| "n".repeat(200);
    let large: Vec<u8> = (0..3_000_000u32).map(|number| number as u8).collect();
    output.directory("d").unwrap();
    output.bytes("d/a", b"text").unwrap();
    output.link("d/l", "a").unwrap();
    output.file("d/b", 4, &mut &b"more"[..]).unwrap();
    let short = |digest: &oci::Digest| digest.hex();
    let first = output.new_file("x/y", &mut &b"new"[..], &short).unwrap();
    let again = output.new_file("x/y", &mut &b"new"[..], &short).unwrap();
    assert_eq!((&first, first.size), (&again, 3));
    let large = output.new_file("x/y", &mut &large[..], &long).unwrap();
    assert_eq!(large.size, 3_000_000);
    assert!(output.has("d/b") && output.has(&"n".repeat(200)) && !output.has("b"));
}

#[test]
fn the_same_bytes_go_to_a_file_and_to_a_stream() {
    let root = test_directory("output");
    let path = root.join("x.tar");
    let mut output = Output::create(&path, &root).unwrap();
    fill(&mut output);
    assert!(!path.exists());
    output.finish().unwrap();
    assert_eq!(kind(output.bytes("z", b"")), Some(ErrorKind::Os));
    drop(output);
    let bytes = std::fs::read(&path).unwrap();
    let stream = Shared::default();
    let mut output = Output::stream(Box::new(stream.clone()), Path::new("pipe"), &root);
    fill(&mut output);
    output.finish().unwrap();
    assert_eq!(*stream.0.lock().unwrap(), bytes);
    let members = members(&bytes).unwrap();
    assert_eq!(content(&members, "d/l").as_deref(), Some("text"));
    assert_eq!(content(&members, "d/b").as_deref(), Some("more"));
    assert_eq!(members.find(&"n".repeat(200)).unwrap().unwrap().size(), 3_000_000);
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 1);
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn half_a_member_is_taken_back() {
    let root = test_directory("output-broken");
    let path = root.join("x.tar");
    std::fs::write(&path, "old").unwrap();
    let write = |broken: bool| {
        let mut output = Output::create(&path, &root).unwrap();
        output.bytes("a", b"text").unwrap();
        if broken {
            let name = |_: &oci::Digest| "b".to_owned();
            assert_eq!(kind(output.file("b", 9, &mut Broken(b"part"))), Some(ErrorKind::Corrupt));
            assert_eq!(kind(output.file("b", 9, &mut &b"part"[..])), Some(ErrorKind::Corrupt));
            let new = output.new_file("x/y", &mut Broken(b"part"), &name);
            assert_eq!(kind(new), Some(ErrorKind::Corrupt));
            assert!(!output.has("b"));
        }
        output.file("b", 4, &mut &b"text"[..]).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        output.finish().unwrap();
        let written = std::fs::read(&path).unwrap();
        std::fs::write(&path, "old").unwrap();
        written
    };
    assert_eq!(write(true), write(false));
    // One that is given up leaves what was there.
    drop(Output::create(&path, &root).unwrap());
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 1);
    // What is in a pipe cannot be taken back: nothing more is written.
    let stream = Shared::default();
    let mut output = Output::stream(Box::new(stream.clone()), Path::new("pipe"), &root);
    assert_eq!(kind(output.file("b", 9, &mut Broken(b"part"))), Some(ErrorKind::Corrupt));
    assert_eq!(kind(output.bytes("c", b"x")), Some(ErrorKind::Os));
    assert_eq!(kind(output.finish()), Some(ErrorKind::Os));
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn the_file_behind_a_link_is_replaced() {
    let root = test_directory("output-link");
    let (path, link): (PathBuf, PathBuf) = (root.join("x.tar"), root.join("link"));
    std::fs::write(&path, "old").unwrap();
    std::os::unix::fs::symlink("x.tar", &link).unwrap();
    let mut output = Output::create(&link, &root).unwrap();
    output.bytes("a", b"text").unwrap();
    output.finish().unwrap();
    assert!(link.is_symlink());
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 2048);
    assert_eq!(kind(Output::create(&root, &root)), Some(ErrorKind::Invalid));
    std::fs::remove_dir_all(root).unwrap();
}
