//! Little that wants to become much.

use super::{AnyRefusal, CORRUPT, Case, Has, LIMIT, Lacks, new};
use crate::craft::Block;

pub fn bombs() -> Vec<Case> {
    let old_sparse = |size: &[u8]| {
        let mut block = Block::new(b'S', b"a", 0);
        block.gnu().put(386, size).put(398, b"00000000000\0").put(483, size);
        new().block(&block)
    };
    let deep = |levels: usize| new().pax(&[("path", &"d/".repeat(levels))]).dir("x");
    let mut many_acls = new();
    for number in 0..300 {
        let acl = ["user::rwx", &",user:1:rwx".repeat(4000)].concat();
        many_acls = many_acls.pax(&[("SCHILY.acl.default", &acl)]).dir(&number.to_string());
    }
    let many = |count: usize, value: &str| {
        let names: Vec<String> = (0..count).map(|n| format!("SCHILY.xattr.user.{n}")).collect();
        let records: Vec<_> = names.iter().map(|name| (name.as_str(), value)).collect();
        new().pax(&records).file("a", b"")
    };
    vec![
        ("sparse of 1 PiB, old", old_sparse(b"\x80\0\0\0\0\x04\0\0\0\0\0\0"), LIMIT),
        (
            "sparse of 1 PiB, 1.0",
            new()
                .pax(&[
                    ("GNU.sparse.major", "1"),
                    ("GNU.sparse.minor", "0"),
                    ("GNU.sparse.realsize", "1125899906842624"),
                ])
                .file("a", &[b"0\n".to_vec(), vec![0; 510]].concat()),
            LIMIT,
        ),
        (
            "sparse of 8 EiB",
            new()
                .pax(&[("GNU.sparse.size", "9223372036854775807"), ("GNU.sparse.numblocks", "0")])
                .file("a", b""),
            LIMIT,
        ),
        (
            "many sparse files",
            (0..200).fold(new(), |craft, n| {
                craft
                    .pax(&[("GNU.sparse.size", "1099511627"), ("GNU.sparse.numblocks", "0")])
                    .file(&n.to_string(), b"")
            }),
            LIMIT,
        ),
        (
            "map of a million pieces",
            new()
                .pax(&[
                    ("GNU.sparse.major", "1"),
                    ("GNU.sparse.minor", "0"),
                    ("GNU.sparse.realsize", "9"),
                ])
                .file("a", &[b"1000000\n".to_vec(), vec![b'1'; 504]].concat()),
            LIMIT,
        ),
        ("PAX header of 8 GiB", new().block(&Block::new(b'x', b"x", 0o77777777777)), LIMIT),
        ("long name of 8 GiB", new().block(&Block::new(b'L', b"x", 0o77777777777)), LIMIT),
        ("global header of 8 GiB", new().block(&Block::new(b'g', b"x", 0o77777777777)), LIMIT),
        (
            "file of 8 EiB",
            new().block(
                Block::new(b'0', b"a", 0).put(124, b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"),
            ),
            CORRUPT,
        ),
        ("3000 deep", deep(3000), LIMIT),
        (
            "2000 deep by a long name",
            new().long(b'L', "d/".repeat(2000).as_bytes()).dir("x"),
            LIMIT,
        ),
        ("256 deep", deep(256), Has("d")),
        ("257 deep", deep(257), LIMIT),
        ("component of 300 bytes", new().pax(&[("path", &"n".repeat(300))]).file("a", b""), LIMIT),
        (
            "component of 255 bytes",
            new().pax(&[("path", &"n".repeat(255))]).file("a", b""),
            Lacks("a"),
        ),
        ("path of 5000 bytes", new().pax(&[("path", &"name/".repeat(1000))]).file("a", b""), LIMIT),
        ("1000 attributes", many(1000, "x"), LIMIT),
        ("attribute of 100 KB", many(1, &"x".repeat(100_000)), LIMIT),
        (
            "attribute name of 300 bytes",
            new().pax(&[(&format!("SCHILY.xattr.user.{}", "n".repeat(300)), "x")]).file("a", b""),
            LIMIT,
        ),
        (
            "access control list of a mebibyte",
            new().pax(&[("SCHILY.acl.access", &"user:1:rwx,".repeat(90_000))]).file("a", b""),
            LIMIT,
        ),
        ("default lists without end", many_acls, AnyRefusal),
        ("attributes larger than the file system takes", many(16, &"x".repeat(60_000)), AnyRefusal),
    ]
}
