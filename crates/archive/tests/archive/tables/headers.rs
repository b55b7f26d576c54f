//! Headers that programs read differently, and numbers that nothing has.

use super::{AMBIGUOUS, CORRUPT, Case, Has, Lacks, UNSUPPORTED, new};
use crate::craft::{Block, pax_records};

pub fn devices() -> Vec<Case> {
    vec![
        ("major number out of range", new().device(b'3', "a", "0010000\0", "1"), UNSUPPORTED),
        ("minor number out of range", new().device(b'3', "a", "1", "4000000\0"), UNSUPPORTED),
        ("blank major number", new().device(b'4', "a", "       \0", "1"), Has("a")),
        (
            "binary minor number",
            new().block(Block::new(b'4', b"a", 0).put(337, b"\x80\0\0\0\x01\0\0\0")),
            UNSUPPORTED,
        ),
        (
            "negative minor number",
            new().block(Block::new(b'4', b"a", 0).put(337, &[0xff; 8])),
            UNSUPPORTED,
        ),
        ("largest numbers", new().device(b'3', "a", "0007777\0", "3777777\0"), Has("a")),
        ("device in V7", new().block(Block::new(b'3', b"a", 0).put(257, &[0; 8])), AMBIGUOUS),
        ("device with contents", new().block(&Block::new(b'3', b"a", 1)).data(b"x"), AMBIGUOUS),
        ("unknown type", new().block(&Block::new(b'Z', b"a", 0)), UNSUPPORTED),
        (
            "unknown type with contents",
            new().block(&Block::new(b'8', b"a", 3)).data(b"abc"),
            UNSUPPORTED,
        ),
        ("volume label", new().block(&Block::new(b'V', b"a", 0)), UNSUPPORTED),
        ("part of another volume", new().block(&Block::new(b'M', b"a", 0)), UNSUPPORTED),
        ("setuid file", new().block(Block::new(b'0', b"a", 0).put(100, b"0004755\0")), Has("a")),
        (
            "mode of 64 bits",
            new().block(Block::new(b'0', b"a", 0).put(100, b"\x80\0\0\x01\0\0\0\0")),
            CORRUPT,
        ),
        ("owner -1", new().block(Block::new(b'0', b"a", 0).put(108, &[0xff; 8])), UNSUPPORTED),
        ("owner 2^32", new().pax(&[("uid", "4294967296")]).file("a", b""), UNSUPPORTED),
        ("owner 2^32-1", new().pax(&[("gid", "4294967295")]).file("a", b""), UNSUPPORTED),
        (
            "overlay's attribute",
            new().pax(&[("SCHILY.xattr.trusted.overlay.redirect", "/etc")]).dir("a"),
            Has("a"),
        ),
    ]
}

pub fn parsers() -> Vec<Case> {
    let sparse =
        |records: &[(&str, &str)], size: usize| new().pax(records).file("a", &vec![b'x'; size]);
    vec![
        ("wrong checksum", new().raw(&[b'x'; 512]), CORRUPT),
        ("blank size", new().block(Block::new(b'0', b"a", 0).put(124, &[b' '; 12])), CORRUPT),
        ("negative size", new().block(Block::new(b'0', b"a", 0).put(124, &[0xff; 12])), CORRUPT),
        (
            "size with a sign",
            new().block(Block::new(b'0', b"a", 0).put(124, b"+0000000001\0")),
            CORRUPT,
        ),
        (
            "size with an underscore",
            new().block(Block::new(b'0', b"a", 0).put(124, b"0_000000001\0")),
            CORRUPT,
        ),
        (
            "size of 2^63",
            new().block(Block::new(b'0', b"a", 0).put(124, b"\x80\0\0\0\x80\0\0\0\0\0\0\0")),
            CORRUPT,
        ),
        ("PAX size of 2^63", new().pax(&[("size", "9223372036854775808")]).file("a", b""), CORRUPT),
        ("PAX size in hexadecimal", new().pax(&[("size", "0x10")]).file("a", b""), CORRUPT),
        ("PAX size, truncated", new().pax(&[("size", "99999999")]).file("a", b"abc"), CORRUPT),
        // TARmageddon (CVE-2025-62518): the size of PAX, not the header's, says where the next one is.
        (
            "hidden header in a body",
            new()
                .pax(&[("size", "1024")])
                .block(&Block::new(b'0', b"outer", 0))
                .file("inner", &[0; 512])
                .file("next", b""),
            Lacks("inner"),
        ),
        (
            "two PAX headers",
            new().pax(&[("path", "b")]).pax(&[("path", "c")]).file("a", b""),
            AMBIGUOUS,
        ),
        ("two long names", new().long(b'L', b"b").long(b'L', b"c").file("a", b""), AMBIGUOUS),
        (
            "long name and PAX",
            new().long(b'L', b"b").pax(&[("path", "c")]).file("a", b""),
            AMBIGUOUS,
        ),
        (
            "long target and PAX",
            new().long(b'K', b"b").pax(&[("linkpath", "c")]).symlink("a", "d"),
            AMBIGUOUS,
        ),
        ("PAX without an entry", new().pax(&[("path", "b")]), CORRUPT),
        ("long name without an entry", new().long(b'L', b"b"), CORRUPT),
        ("global path", new().global(&[("path", "b")]).file("a", b""), AMBIGUOUS),
        ("global size", new().global(&[("size", "512")]).file("a", b""), AMBIGUOUS),
        ("global owner", new().global(&[("uid", "0")]).file("a", b""), AMBIGUOUS),
        (
            "global attribute",
            new().global(&[("SCHILY.xattr.security.capability", "x")]).file("a", b""),
            AMBIGUOUS,
        ),
        ("global comment", new().global(&[("comment", "b")]).file("a", b""), Has("a")),
        (
            "global between",
            new().pax(&[("path", "b")]).global(&[("comment", "b")]).file("a", b""),
            AMBIGUOUS,
        ),
        ("empty PAX path", new().pax(&[("path", "")]).file("a", b""), AMBIGUOUS),
        ("PAX record that lies", new().pax_raw(b'x', b"99 path=b\n").file("a", b""), CORRUPT),
        ("PAX record of nothing", new().pax_raw(b'x', b"0 path=b\n").file("a", b""), CORRUPT),
        ("PAX record without an end", new().pax_raw(b'x', b"9 path=bc").file("a", b""), CORRUPT),
        (
            "PAX with a tail",
            new()
                .pax_raw(b'x', &[pax_records(&[("path", "b")]), vec![0; 7]].concat())
                .file("a", b""),
            CORRUPT,
        ),
        ("foreign names", new().pax(&[("hdrcharset", "UTF-16")]).file("a", b""), UNSUPPORTED),
        ("lone zero block", new().file("a", b"").raw(&[0; 512]).file("b", b""), AMBIGUOUS),
        ("bytes behind the end", new().file("a", b"").raw(&[0; 1024]).file("b", b""), Lacks("b")),
        ("slash at a file", new().file("a/", b"x"), AMBIGUOUS),
        (
            "old directory with contents",
            new().block(&Block::new(0, b"a/", 3)).data(b"abc"),
            AMBIGUOUS,
        ),
        ("old directory", new().block(&Block::new(0, b"a/", 0)), Has("a")),
        (
            "directory with contents",
            new().block(&Block::new(b'5', b"a", 512)).data(&[b'x'; 512]),
            AMBIGUOUS,
        ),
        (
            "prefix without magic",
            new().block(Block::new(b'0', b"a", 0).put(257, &[0; 8]).put(345, b"p")),
            AMBIGUOUS,
        ),
        (
            "star's prefix without an end",
            new().block(Block::new(b'0', b"a", 0).put(345, &[b'p'; 131]).put(508, b"tar\0")),
            AMBIGUOUS,
        ),
        ("star's other size", new().pax(&[("SCHILY.realsize", "7")]).file("a", b"x"), AMBIGUOUS),
        (
            "sparse without a size",
            sparse(&[("GNU.sparse.numblocks", "1"), ("GNU.sparse.map", "0,1")], 1),
            CORRUPT,
        ),
        (
            "sparse that overlaps",
            sparse(
                &[
                    ("GNU.sparse.numblocks", "2"),
                    ("GNU.sparse.map", "0,2,1,1"),
                    ("GNU.sparse.size", "9"),
                ],
                3,
            ),
            AMBIGUOUS,
        ),
        (
            "sparse behind the end",
            sparse(
                &[
                    ("GNU.sparse.numblocks", "1"),
                    ("GNU.sparse.map", "9,1"),
                    ("GNU.sparse.size", "9"),
                ],
                1,
            ),
            CORRUPT,
        ),
        (
            "sparse that stores less",
            sparse(
                &[
                    ("GNU.sparse.numblocks", "1"),
                    ("GNU.sparse.map", "0,9"),
                    ("GNU.sparse.size", "9"),
                ],
                1,
            ),
            CORRUPT,
        ),
        (
            "sparse of another count",
            sparse(
                &[
                    ("GNU.sparse.numblocks", "2"),
                    ("GNU.sparse.map", "0,1"),
                    ("GNU.sparse.size", "9"),
                ],
                1,
            ),
            CORRUPT,
        ),
        (
            "sparse of version 9",
            sparse(
                &[
                    ("GNU.sparse.major", "9"),
                    ("GNU.sparse.minor", "0"),
                    ("GNU.sparse.realsize", "9"),
                ],
                1,
            ),
            AMBIGUOUS,
        ),
        (
            "sparse with two sizes",
            sparse(&[("GNU.sparse.size", "8"), ("GNU.sparse.realsize", "9")], 1),
            AMBIGUOUS,
        ),
        (
            "sparse map without an end",
            sparse(
                &[
                    ("GNU.sparse.major", "1"),
                    ("GNU.sparse.minor", "0"),
                    ("GNU.sparse.realsize", "9"),
                ],
                1,
            ),
            CORRUPT,
        ),
        ("sparse directory", new().pax(&[("GNU.sparse.size", "9")]).dir("a"), AMBIGUOUS),
        ("old sparse that is not GNU's", new().block(&Block::new(b'S', b"a", 0)), AMBIGUOUS),
    ]
}
