//! Names that want out of their tree.

use super::{AMBIGUOUS, Case, DENIED, Has, OUT, new};
use crate::craft::Block;

pub fn traversal() -> Vec<Case> {
    vec![
        ("file in dot-dot", new().file("../outside/canary", b"x"), DENIED),
        ("file in inner dot-dot", new().file("a/../../outside/canary", b"x"), DENIED),
        ("harmless dot-dot", new().file("a/../b", b"x"), DENIED),
        ("dot-dot alone", new().dir(".."), DENIED),
        ("dot-dot at the end", new().dir("a/.."), DENIED),
        ("dot-dot behind the root", new().file("/../outside/canary", b"x"), DENIED),
        ("dot-dot in PAX", new().pax(&[("path", "../outside/canary")]).file("a", b"x"), DENIED),
        ("dot-dot in a long name", new().long(b'L', b"../outside/canary").file("a", b"x"), DENIED),
        (
            "dot-dot in a prefix",
            new().block(Block::new(b'0', b"canary", 0).put(345, b"../outside")),
            DENIED,
        ),
        (
            "dot-dot in a sparse name",
            new()
                .pax(&[
                    ("GNU.sparse.major", "1"),
                    ("GNU.sparse.minor", "0"),
                    ("GNU.sparse.name", "../outside/canary"),
                    ("GNU.sparse.realsize", "0"),
                ])
                .file("a", &[b"0\n".to_vec(), vec![0; 510]].concat()),
            DENIED,
        ),
        ("absolute file", new().file("/outside/canary", b"x"), Has("outside/canary")),
        ("many slashes", new().file("///etc//passwd", b"x"), Has("etc/passwd")),
        ("symlink out, then through it", new().symlink("a", OUT).file("a/canary", b"x"), DENIED),
        (
            "absolute symlink, then through it",
            new().symlink("a", "/etc").file("a/passwd", b"x"),
            DENIED,
        ),
        (
            "symlink to the root, then through it",
            new().symlink("a", "/").file("a/f", b"x"),
            Has("f"),
        ),
        ("symlink chain", new().symlink("a", "b").symlink("b", OUT).file("a/canary", b"x"), DENIED),
        (
            "symlink chain in the root",
            new().dir("d").symlink("a", "b").symlink("b", "d").file("a/f", b"x"),
            Has("d/f"),
        ),
        (
            "symlink that climbs to its root",
            new().symlink("a", "../../../../..").file("a/f", b"x"),
            Has("f"),
        ),
        (
            "symlink in a directory",
            new().dir("d").symlink("d/a", "../../outside").file("d/a/canary", b"x"),
            DENIED,
        ),
        ("symlink loop", new().symlink("a", "b").symlink("b", "a").file("a/f", b"x"), DENIED),
        ("symlink to itself", new().symlink("a", "a").file("a/f", b"x"), DENIED),
        (
            "symlink to a file, then below it",
            new().file("f", b"1").symlink("a", "f").file("a/x", b"x"),
            DENIED,
        ),
        ("procfs as a link", new().symlink("a", "/proc/self/cwd").file("a/f", b"x"), DENIED),
        ("procfs root as a link", new().symlink("a", "/proc/1/root").file("a/tmp/f", b"x"), DENIED),
        ("directory through a symlink", new().symlink("a", OUT).dir("a/new"), DENIED),
        ("symlink through a symlink", new().symlink("a", OUT).symlink("a/s", "canary"), DENIED),
        (
            "device through a symlink",
            new().symlink("a", OUT).device(b'3', "a/null", "1", "3"),
            DENIED,
        ),
        (
            "fifo through a symlink",
            new().symlink("a", OUT).block(&Block::new(b'6', b"a/p", 0)),
            DENIED,
        ),
        ("file over a symlink", new().symlink("a", "../outside/canary").file("a", b"x"), Has("a")),
        (
            "directory over a symlink",
            new().symlink("a", "../outside/dir").dir("a").file("a/canary", b"x"),
            Has("a/canary"),
        ),
        (
            "device over a symlink",
            new().symlink("a", "../outside/canary").device(b'3', "a", "1", "3"),
            Has("a"),
        ),
        ("symlink over a symlink", new().symlink("a", OUT).symlink("a", "b"), Has("a")),
        (
            "attributes of a directory over a symlink",
            new()
                .symlink("a", "../outside/dir")
                .block(Block::new(b'5', b"a", 0).put(100, b"0007777\0")),
            Has("a"),
        ),
        (
            "dangling symlink, then a file at it",
            new().symlink("a", "../outside/new").file("a", b"x"),
            Has("a"),
        ),
        (
            "symlink and a slash",
            new().symlink("a", OUT).block(&Block::new(b'5', b"a/", 0)),
            Has("a"),
        ),
        ("symlink, dot", new().symlink("a", OUT).file("a/./canary", b"x"), DENIED),
        ("root as a file", new().file("./", b""), AMBIGUOUS),
        ("root as a file without a slash", new().file(".", b"x"), DENIED),
        ("root as a symlink", new().symlink("/", OUT), DENIED),
        ("root as a hard link", new().file("f", b"").hardlink(".", "f"), DENIED),
        ("root as a device", new().device(b'3', ".", "1", "3"), DENIED),
        ("file as a parent", new().file("a", b"x").file("a/b", b"x"), AMBIGUOUS),
        ("fifo as a parent", new().block(&Block::new(b'6', b"a", 0)).file("a/b", b"x"), AMBIGUOUS),
        ("file over a full directory", new().file("a/b", b"x").file("a", b"x"), AMBIGUOUS),
        ("file over an empty directory", new().dir("a").file("a", b"x"), Has("a")),
        ("symlink over a full directory", new().file("a/b", b"x").symlink("a", OUT), AMBIGUOUS),
        ("NUL in a PAX name", new().pax_raw(b'x', b"12 path=a\0b\n").file("a", b"x"), AMBIGUOUS),
    ]
}
