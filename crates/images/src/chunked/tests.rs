//! What is written is read again by the table of contents alone.

use super::pack;
use archive::Limits;
use archive::TreePath;
use archive::compression::{Decoder, Format, Packers};
use archive::tar::{Bytes, Entry, What, Writer, Xattr};
use oci::{Algorithm, Map, base64};
use serde_json::Value;
use std::io::Read;
use std::sync::Arc;
use sys::time::Time;
use transport::hash::digest_of;

fn entry(name: &str, what: What) -> Entry {
    Entry {
        name: name.into(),
        path: TreePath::parse(name.trim_end_matches('/').as_bytes(), 64).unwrap(),
        what,
        mode: 0o4755,
        uid: 3_000_000,
        gid: 7,
        mtime: Time { seconds: 1_700_000_000, nanos: 123_000_000 },
        xattrs: Vec::new(),
        number: 0,
        offset: 0,
    }
}

/// Bytes that do not pack, and are cut in places.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 7u64;
    let byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(byte).take(length).collect()
}

fn archive_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Bytes::new(Vec::new()));
    writer.entry(&entry("dir/", What::Directory)).unwrap();
    for (name, content) in files {
        let size = content.len() as u64;
        let mut entry = entry(name, What::File { size, stored: size, sparse: None });
        entry.xattrs = vec![Xattr { name: b"user.x".to_vec(), value: b"\0v".to_vec() }];
        writer.entry(&entry).unwrap();
        writer.data(content).unwrap();
    }
    let link = TreePath::parse(files[0].0.as_bytes(), 64).unwrap();
    writer.entry(&entry("dir/hard", What::Hardlink(link))).unwrap();
    writer.entry(&entry("dir/sym", What::Symlink(b"../elsewhere".to_vec()))).unwrap();
    writer.entry(&entry("dir/null", What::Character(1, 3))).unwrap();
    writer.finish().unwrap().into_inner()
}

fn packed_with(tar: &[u8], threads: usize) -> crate::Result<(Vec<u8>, Result<Map, String>)> {
    pack(tar, 3, &Arc::new(Packers::new(threads).unwrap()), Vec::new())
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let decoder = Decoder::new(Format::Zstd, bytes, &Limits::default());
    decoder.unwrap().read_to_end(&mut plain).unwrap();
    plain
}

fn sha256(bytes: &[u8]) -> String {
    digest_of(Algorithm::Sha256, bytes).to_string()
}

/// The frame at the place that an annotation says.
fn part<'p>(packed: &'p [u8], annotations: &Map, key: &str) -> (&'p [u8], usize) {
    let text = annotations.get(&format!("io.github.containers.zstd-chunked.{key}")).unwrap();
    let numbers: Vec<usize> = text.split(':').map(|number| number.parse().unwrap()).collect();
    (&packed[numbers[0]..numbers[0] + numbers[1]], numbers[2])
}

fn number(entry: &Value, key: &str) -> usize {
    entry[key].as_u64().unwrap_or_default() as usize
}

#[test]
fn files_are_had_by_the_table_and_the_archive_by_tar_split() {
    let large = noise(700_000);
    let files: [(&str, &[u8]); 4] = [
        ("dir/small", b"small"),
        ("dir/large", &large),
        ("dir/empty", b""),
        ("dir/ünïcode \"<&>\"", b"x"),
    ];
    let tar = archive_of(&files);
    let (packed, annotations) = packed_with(&tar, 2).unwrap();
    let annotations = annotations.unwrap();
    assert_eq!(unpacked(&packed), tar);
    let (table, plain_bytes) = part(&packed, &annotations, "manifest-position");
    let checksum = "io.github.containers.zstd-chunked.manifest-checksum";
    assert_eq!(annotations.get(checksum), Some(&sha256(table)));
    let table = unpacked(table);
    assert_eq!(table.len(), plain_bytes);
    let table: Value = serde_json::from_slice(&table).unwrap();
    let entries = table["entries"].as_array().unwrap();
    let find = |name: &str| entries.iter().find(|it| it["name"] == name).unwrap();
    for (name, content) in &files[..2] {
        let entry = find(name);
        let frames = &packed[number(entry, "offset")..number(entry, "endOffset")];
        assert_eq!(unpacked(frames), *content);
        assert_eq!(entry["digest"], sha256(content));
        assert_eq!(entry["modtime"], "2023-11-14T22:13:20.123Z");
        assert_eq!((&entry["mode"], &entry["uid"]), (&0o4755.into(), &3_000_000.into()));
        assert_eq!(entry["xattrs"]["user.x"], base64::encode(b"\0v"));
    }
    assert_eq!(find("dir/empty").get("digest"), None);
    assert_eq!(
        (&find("dir/hard")["type"], &find("dir/hard")["linkName"]),
        (&"hardlink".into(), &"dir/small".into())
    );
    assert_eq!(
        (&find("dir/null")["devMajor"], &find("dir/null")["devMinor"]),
        (&1.into(), &3.into())
    );
    // Each chunk is had by itself.
    let chunks: Vec<&Value> = entries.iter().filter(|it| it["name"] == "dir/large").collect();
    assert!(chunks.len() > 3, "{} chunks", chunks.len());
    let end = number(chunks[0], "endOffset");
    for (index, chunk) in chunks.iter().enumerate() {
        let next = chunks.get(index + 1).map_or(end, |next| number(next, "offset"));
        let content = unpacked(&packed[number(chunk, "offset")..next]);
        let offset = number(chunk, "chunkOffset");
        assert_eq!(content, large[offset..offset + number(chunk, "chunkSize")]);
        assert_eq!(chunk["chunkDigest"], sha256(&content));
    }
    let (split, plain_bytes) = part(&packed, &annotations, "tarsplit-position");
    assert_eq!(table["tarSplitDigest"], sha256(split));
    let split = unpacked(split);
    assert_eq!(split.len(), plain_bytes);
    assert!(assembled(&split, &files) == tar);
    // The same archive is the same layer, with any number of threads.
    assert_eq!(packed_with(&tar, 7).unwrap().0, packed);
}

/// The archive, of what tar-split says and the files' contents.
fn assembled(split: &[u8], files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (position, line) in split.split(|byte| *byte == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        let line: Value = serde_json::from_slice(line).unwrap();
        assert_eq!(line["position"], position);
        match (line["type"].as_u64(), line["payload"].as_str()) {
            (Some(2), Some(payload)) => tar.extend(base64::decode(payload).unwrap()),
            (Some(1), sum) => {
                let name = line["name"].as_str().unwrap();
                let content =
                    files.iter().find(|(own, _)| *own == name).map_or(&b""[..], |it| it.1);
                assert_eq!(number(&line, "size"), content.len());
                assert_eq!(sum.is_some(), !content.is_empty(), "{name}");
                tar.extend(content);
            }
            other => panic!("{other:?}"),
        }
    }
    tar
}

#[test]
fn what_could_be_read_in_two_ways_gets_no_table() {
    let tar = archive_of(&[("a", b"a"), ("b", b"b")]);
    // A header for all files before the first one: a comment.
    let mut global = tar[..512].to_vec();
    let comment = b"13 comment=x\n";
    global[156] = b'g';
    global[124..136].copy_from_slice(format!("{:011o}\0", comment.len()).as_bytes());
    checksum(&mut global);
    global.extend_from_slice(comment);
    global.resize(1024, 0);
    let of_two_names = archive_of(&[("a", b"a"), ("a", b"b")]);
    for (tar, expected) in [
        ([global, tar.clone()].concat(), "it has headers for all files"),
        (of_two_names, "it has entries of the same name"),
    ] {
        let (packed, annotations) = packed_with(&tar, 1).unwrap();
        assert_eq!(annotations.unwrap_err(), expected);
        assert_eq!(unpacked(&packed), tar);
    }
    assert!(packed_with(&tar[..700], 1).is_err());
}

fn checksum(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}
