//! Links and whiteouts that want out of their tree.

use super::{AMBIGUOUS, CORRUPT, Case, DENIED, Has, LIMIT, Lacks, OUT, new};
use crate::craft::Block;

pub fn links() -> Vec<Case> {
    vec![
        ("hard link out", new().hardlink("a", "../outside/canary"), DENIED),
        ("absolute hard link", new().hardlink("a", "/etc/passwd"), DENIED),
        ("hard link to nothing", new().hardlink("a", "b"), DENIED),
        ("hard link to a later file", new().hardlink("a", "b").file("b", b"x"), DENIED),
        (
            "hard link through a symlink out",
            new().symlink("s", OUT).hardlink("a", "s/canary"),
            DENIED,
        ),
        (
            "hard link through an absolute symlink",
            new().symlink("s", "/etc").hardlink("a", "s/passwd"),
            DENIED,
        ),
        (
            "hard link to a symlink",
            new().symlink("s", "../outside/canary").hardlink("a", "s"),
            Has("a"),
        ),
        (
            "write to a hard link to a symlink",
            new().symlink("s", "../outside/canary").hardlink("a", "s").file("a", b"x"),
            Has("a"),
        ),
        (
            "below a hard link to a symlink",
            new().symlink("s", OUT).hardlink("a", "s").file("a/canary", b"x"),
            DENIED,
        ),
        ("hard link to a directory", new().dir("d").hardlink("a", "d"), DENIED),
        ("hard link to itself", new().file("a", b"x").hardlink("a", "a"), AMBIGUOUS),
        ("hard link to the root", new().hardlink("a", "."), DENIED),
        (
            "hard link with contents",
            new().block(&Block::new(b'1', b"a", 3)).data(b"abc"),
            AMBIGUOUS,
        ),
        ("hard link to a whiteout", new().file(".wh.w", b"").hardlink("a", "w"), DENIED),
        ("hard link to a whiteout's name", new().file(".wh.w", b"").hardlink("a", ".wh.w"), DENIED),
        (
            "hard link from a PAX target",
            new().pax(&[("linkpath", "../outside/canary")]).hardlink("a", "b"),
            DENIED,
        ),
        (
            "hard link from a long target",
            new().long(b'K', b"../outside/canary").hardlink("a", "b"),
            DENIED,
        ),
        (
            "hard link over its target's twin",
            new().file("f", b"1").hardlink("a", "f").file("a", b"2").file("f", b"3"),
            Has("a"),
        ),
        ("symlink to nowhere", new().symlink("a", "/no/where"), Has("a")),
        ("symlink without a target", new().symlink("a", ""), CORRUPT),
        (
            "symlink with contents",
            new().block(Block::new(b'2', b"a", 5).put(157, b"x")).data(b"abcde"),
            AMBIGUOUS,
        ),
        (
            "symlink with a long target",
            new().pax(&[("linkpath", &"x/".repeat(2100))]).symlink("a", "b"),
            LIMIT,
        ),
        (
            "file behind a link, then itself",
            new().dir("d").symlink("a", "d").file("a/f", b"1").file("d/f", b"2"),
            Has("d/f"),
        ),
    ]
}

pub fn whiteouts() -> Vec<Case> {
    vec![
        ("whiteout of dot-dot", new().file(".wh...", b""), DENIED),
        ("whiteout of dot", new().file(".wh..", b""), DENIED),
        ("whiteout of nothing", new().file(".wh.", b""), DENIED),
        ("whiteout of dot-dot below", new().dir("a").file("a/.wh...", b""), DENIED),
        ("whiteout in dot-dot", new().file("../.wh.outside", b""), DENIED),
        ("whiteout through a symlink", new().symlink("a", OUT).file("a/.wh.canary", b""), DENIED),
        (
            "whiteout through an absolute symlink",
            new().symlink("a", "/tmp").file("a/.wh.x", b""),
            DENIED,
        ),
        (
            "whiteout through an inner symlink",
            new().dir("d").symlink("a", "d").file("a/.wh.x", b""),
            DENIED,
        ),
        ("opaque through a symlink", new().symlink("a", OUT).file("a/.wh..wh..opq", b""), DENIED),
        (
            "opaque through an inner symlink",
            new().dir("d").symlink("a", "d").file("a/.wh..wh..opq", b""),
            DENIED,
        ),
        ("file below a whiteout's name", new().file(".wh.a/b", b""), AMBIGUOUS),
        ("whiteout below a whiteout's name", new().file(".wh.a/.wh.b", b""), AMBIGUOUS),
        ("directory as a whiteout", new().dir("a").file("a/f", b"1").dir(".wh.a"), Has("a/f")),
        (
            "whiteout of a symlink out",
            new().symlink("a", "../outside/canary").file(".wh.a", b""),
            Has("a"),
        ),
        ("whiteout of the own file", new().file("a", b"x").file(".wh.a", b""), Has("a")),
        ("whiteout of the own directory", new().file("a/b", b"x").file(".wh.a", b""), Has("a/b")),
        ("own file over a whiteout", new().file(".wh.a", b"").file("a", b"x"), Has("a")),
        ("own directory over a whiteout", new().file(".wh.a", b"").file("a/b", b"x"), Has("a/b")),
        (
            "opaque before and behind",
            new().file("a/b", b"x").file("a/.wh..wh..opq", b"").file("a/c", b"x"),
            Has("a/b"),
        ),
        ("opaque root", new().file("a", b"x").file(".wh..wh..opq", b""), Has("a")),
        (
            "what aufs keeps",
            new().file(".wh..wh.aufs", b"x").file(".wh..wh.plnk/1.2", b""),
            AMBIGUOUS,
        ),
        ("what aufs keeps, alone", new().file(".wh..wh.aufs", b"x"), Lacks(".wh..wh.aufs")),
        ("smuggled whiteout", new().device(b'3', "a", "0", "0"), DENIED),
        (
            "smuggled whiteout, blank numbers",
            new().device(b'3', "a", "       \0", "       \0"),
            DENIED,
        ),
        ("block device 0/0 is none", new().device(b'4', "a", "0", "0"), Has("a")),
        ("whiteout with contents", new().file(".wh.a", b"contents").file("b", b"x"), Has("b")),
        ("two whiteouts", new().file(".wh.a", b"").file(".wh.a", b""), Lacks(".wh.a")),
    ]
}
