//! Compression in and out, and the one pass.

use crate::craft::{Craft, Random};
use archive::compression::{Codec, Decoder, Encoder, Format};
use archive::{Error, Kind, Limits, Sum, Sums, pass};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// Half text, half noise: neither shrinks to nothing nor stays as it is.
fn sample(bytes: usize) -> Vec<u8> {
    let mut random = Random::new(7);
    let mut all = Vec::with_capacity(bytes + 16);
    while all.len() < bytes {
        match random.below(2) {
            0 => all.extend_from_slice(b"the same words again and again "),
            _ => all.extend_from_slice(&random.next().to_le_bytes()),
        }
    }
    all.truncate(bytes);
    all
}

fn unpacked(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let passed = pass(bytes, &Limits::default(), Sums::default(), |blocks| {
        let mut all = Vec::new();
        // An error of a stage comes out of the stream.
        match blocks.read_to_end(&mut all) {
            Ok(_) => Ok(all),
            Err(e) => Err(e.into_inner().unwrap().downcast_ref::<Error>().unwrap().clone()),
        }
    })?;
    Ok(passed.result)
}

fn packed(codec: Codec, threads: usize, bytes: &[u8], write: usize) -> Vec<u8> {
    let mut encoder = Encoder::new(codec, threads, Vec::new()).unwrap();
    for part in bytes.chunks(write) {
        encoder.write_all(part).unwrap();
    }
    encoder.finish().unwrap()
}

/// What a program of the machine makes of bytes, or `None` where it is not installed.
fn piped(program: &str, arguments: &[&str], bytes: &[u8]) -> Option<Vec<u8>> {
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn();
    let Ok(mut child) = child else {
        skips::skip("packed", &format!("{program} is not installed"));
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let feeder = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output().unwrap();
    let _ = feeder.join().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}");
    Some(output.stdout)
}

#[test]
fn streams_of_other_programs_are_unpacked() {
    let bytes = sample(3_000_000);
    for (program, arguments) in [
        ("gzip", &["-c"][..]),
        ("gzip", &["-1c"]),
        ("zstd", &["-c"]),
        ("zstd", &["-c", "-19", "--check"]),
        ("xz", &["-c"]),
        ("xz", &["-9c"]),
        ("bzip2", &["-c"]),
    ] {
        let Some(stream) = piped(program, arguments, &bytes) else { continue };
        assert!(unpacked(&stream).unwrap() == bytes, "{program}");
        let twice = [stream.as_slice(), &stream].concat();
        assert!(unpacked(&twice).unwrap() == bytes.repeat(2), "{program}, two members");
        let cut = &stream[..stream.len() - 9];
        assert_eq!(unpacked(cut).unwrap_err().kind(), Kind::Corrupt, "{program}, cut off");
        let mut tail = stream.clone();
        tail.extend_from_slice(b"garbage that is no member");
        assert_eq!(unpacked(&tail).unwrap_err().kind(), Kind::Corrupt, "{program}, tail");
        let mut broken = stream;
        let middle = broken.len() / 2;
        broken[middle] ^= 0x10;
        let result = unpacked(&broken);
        // zstd without a checksum cannot know; then it is other bytes, and the digest tells.
        assert!(result.as_ref().map_or(true, |found| *found != bytes), "{program}, broken");
    }
}

#[test]
fn what_is_packed_is_the_same_for_any_number_of_threads() {
    for codec in [Codec::Gzip { level: 6 }, Codec::Zstd { level: 3 }] {
        for size in [0, 1, 511 << 10, 512 << 10, (512 << 10) + 1, 2 << 20, (4 << 20) + 7, 9_000_000]
        {
            let bytes = sample(size);
            let one = packed(codec, 1, &bytes, 1 << 20);
            let many = packed(codec, 5, &bytes, 4093);
            assert!(one == many, "{codec:?} of {size}");
            assert!(unpacked(&one).unwrap() == bytes, "{codec:?} of {size}");
            let program = if matches!(codec, Codec::Gzip { .. }) { "gzip" } else { "zstd" };
            if let Some(theirs) = piped(program, &["-dc"], &one) {
                assert!(theirs == bytes, "{program} of {size}");
            }
        }
    }
}

#[test]
fn fixtures_of_other_projects_are_unpacked() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/container-libs");
    let plain = std::fs::read(folder.join("Hello.uncompressed")).unwrap();
    for (name, format) in [
        ("Hello.gz", Format::Gzip),
        ("Hello.bz2", Format::Bzip2),
        ("Hello.xz", Format::Xz),
        ("Hello.zst", Format::Zstd),
        ("Hello.uncompressed", Format::Plain),
    ] {
        let bytes = std::fs::read(folder.join(name)).unwrap();
        assert_eq!(Format::of(&bytes), format, "{name}");
        assert_eq!(unpacked(&bytes).unwrap(), plain, "{name}");
    }
}

#[test]
fn one_pass_knows_both_digests() {
    let bytes = sample(1_000_000);
    let stream = packed(Codec::Gzip { level: 1 }, 2, &bytes, 1 << 16);
    let sums = Sums { packed: Sum::Both, plain: Sum::Sha256 };
    // What nobody reads is hashed all the same.
    let passed = pass(&stream[..], &Limits::default(), sums, |_| Ok(())).unwrap();
    let sum = |program: &str, bytes: &[u8]| {
        let text = piped(program, &[], bytes).unwrap_or_default();
        String::from_utf8_lossy(&text).split(' ').next().unwrap().to_string()
    };
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(&passed.packed.sha256.unwrap()), sum("sha256sum", &stream));
    assert_eq!(hex(&passed.packed.sha512.unwrap()), sum("sha512sum", &stream));
    assert_eq!(hex(&passed.plain.sha256.unwrap()), sum("sha256sum", &bytes));
    assert_eq!(passed.plain.sha512, None);
    assert_eq!((passed.packed.bytes, passed.plain.bytes), (stream.len() as u64, 1_000_000));
    let plain =
        pass(&bytes[..], &Limits::default(), Sums { packed: Sum::None, plain: Sum::Both }, |_| {
            Ok(())
        });
    assert_eq!(hex(&plain.unwrap().plain.sha512.unwrap()), sum("sha512sum", &bytes));
}

#[test]
fn l3_streams_that_become_too_much_meet_limits() {
    let zeros = vec![0u8; 64 << 20];
    for codec in [Codec::Gzip { level: 6 }, Codec::Zstd { level: 3 }] {
        let bomb = packed(codec, 2, &zeros, 1 << 20);
        let check = |limits: &Limits| {
            pass(&bomb[..], limits, Sums::default(), |_| Ok(())).map(|passed| passed.plain.bytes)
        };
        assert_eq!(check(&Limits::default()).unwrap(), 64 << 20);
        let small = Limits { plain_bytes: (64 << 20) - 1, ..Limits::default() };
        assert_eq!(check(&small).unwrap_err().kind(), Kind::Limit);
        let ratio = Limits { ratio_free_bytes: 1 << 20, ..Limits::default() };
        // Deflate cannot be a bomb by this measure; everything else can.
        assert_eq!(check(&ratio).is_ok(), matches!(codec, Codec::Gzip { .. }), "{codec:?}");
    }
    if let Some(wide) = piped("zstd", &["-c", "--ultra", "-22", "--long=27"], &zeros) {
        let error = unpacked(&wide).unwrap_err();
        assert_eq!(error.kind(), Kind::Limit, "{error}");
    }
    if let Some(wide) = piped("xz", &["-c", "--lzma2=dict=256MiB"], b"x") {
        assert_eq!(unpacked(&wide).unwrap_err().kind(), Kind::Limit);
    }
}

#[test]
fn a_use_that_fails_ends_the_pass() {
    let bytes = sample(8 << 20);
    let stream = packed(Codec::Gzip { level: 1 }, 2, &bytes, 1 << 20);
    let broken = Craft::new().raw(&[b'x'; 512]).end();
    let error = pass(&stream[..], &Limits::default(), Sums::default(), |blocks| {
        let mut first = [0; 1];
        blocks.read_exact(&mut first).unwrap();
        archive::tar::Reader::new(&broken[..], Limits::default()).next_entry()
    });
    assert_eq!(error.unwrap_err().kind(), Kind::Corrupt);
}

#[test]
fn an_input_that_fails_is_told_as_it_is() {
    struct Failing(usize);
    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            match self.0 {
                0 => Err(std::io::ErrorKind::ConnectionReset.into()),
                left => {
                    let length = left.min(buffer.len());
                    buffer[..length].fill(b'x');
                    self.0 -= length;
                    Ok(length)
                }
            }
        }
    }
    let error = pass(Failing(1 << 20), &Limits::default(), Sums::default(), |_| Ok(()));
    assert_eq!(error.unwrap_err().kind(), Kind::Io(std::io::ErrorKind::ConnectionReset));
}

#[test]
fn damaged_streams_are_refused_or_are_other_bytes() {
    let bytes = sample(100_000);
    for program in ["gzip", "zstd", "xz", "bzip2"] {
        let Some(stream) = piped(program, &["-c"], &bytes) else { continue };
        for seed in 0..200 {
            let mut random = Random::new(seed + 1);
            let mut damaged = stream.clone();
            for _ in 0..1 + random.below(3) {
                let at = random.below(damaged.len());
                damaged[at] = random.next() as u8;
            }
            let format = Format::of(&stream);
            let mut out = Vec::new();
            let decoder = Decoder::new(format, &damaged[..], &Limits::default()).unwrap();
            // No panic, no end without end: a few times what it was at most.
            let _ = decoder.take(10_000_000).read_to_end(&mut out);
            assert!(out.len() < 10_000_000, "{program} {seed}");
        }
    }
}
