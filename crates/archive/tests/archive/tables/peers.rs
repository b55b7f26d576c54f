//! The hostile cases of containerd's (`pkg/archive`, TestBreakouts), umoci's (`oci/layer`) and
//! containers-storage's (`pkg/archive`, `pkg/chrootarchive`) tests, by their names there.
//!
//! Where they read a name as something else than it says (`..` dropped, a target behind a link outside), it is
//! refused here; nothing of a case is in the tree that its author does not want there.

use super::{OUT, new};
use crate::craft::Craft;
use archive::Kind;

/// What a case comes to.
#[derive(Clone, Copy, Debug)]
pub enum Comes {
    To(Kind),
    /// These paths are there with this in what is listed of them; with nothing, they are not there.
    Shows(&'static [(&'static str, &'static str)]),
}

pub use Comes::{Shows, To};

/// A name, what is below, the layer, and what comes of it in a plain tree.
pub type Peer = (&'static str, Craft, Craft, Comes);

const DENIED: Comes = To(Kind::Denied);
const AMBIGUOUS: Comes = To(Kind::Ambiguous);

pub fn containerd() -> Vec<Peer> {
    let mut all = containerd_symlinks();
    all.extend(containerd_hardlinks());
    all.extend(containerd_overrides());
    all.extend(containerd_whiteouts());
    all
}

fn containerd_symlinks() -> Vec<Peer> {
    const UNBROKEN: Comes = Shows(&[("etc/unbroken", "unbroken")]);
    let etc = || new().dir("etc");
    vec![
        (
            "containerd SymlinkAbsolute",
            new(),
            etc().symlink("localetc", "/etc").file("/localetc/unbroken", b"unbroken"),
            UNBROKEN,
        ),
        (
            "containerd SymlinkUpAndOut",
            new(),
            etc()
                .dir("dummy")
                .symlink("localetc", "/dummy/../etc")
                .file("/localetc/unbroken", b"unbroken"),
            UNBROKEN,
        ),
        (
            "containerd SymlinkMultipleAbsolute",
            new(),
            etc()
                .dir("dummy")
                .symlink("/dummy/etc", "/etc")
                .symlink("localetc", "/dummy/etc")
                .file("/dummy/etc/unbroken", b"unbroken"),
            UNBROKEN,
        ),
        (
            "containerd SymlinkMultipleRelative",
            new(),
            etc()
                .dir("dummy")
                .symlink("/dummy/etc", "/etc")
                .symlink("localetc", "./dummy/etc")
                .file("/localetc/unbroken", b"unbroken"),
            UNBROKEN,
        ),
        (
            "containerd SymlinkEmptyFile",
            new(),
            etc()
                .file("etc/emptied", b"notempty")
                .symlink("localetc", "/etc")
                .file("/localetc/emptied", b""),
            Shows(&[("etc/emptied", "\"\"")]),
        ),
        (
            "containerd SymlinkParentDirectory",
            new(),
            etc().symlink("..", "/etc/").file("f", b""),
            DENIED,
        ),
        (
            "containerd SymlinkEmptyFilename",
            new(),
            etc().symlink("", "/etc/").file("f", b""),
            To(Kind::Corrupt),
        ),
        (
            "containerd SymlinkParentRelative",
            new(),
            etc().symlink("localetc/sub/..", "/etc/").file("f", b""),
            DENIED,
        ),
        (
            "containerd SymlinkSlashEnded",
            new(),
            etc()
                .file("/etc/passwd", b"inside")
                .dir("localetc/")
                .hardlink("/localetc/localpasswd", "/etc/passwd"),
            Shows(&[("localetc/localpasswd", "inside")]),
        ),
        (
            "containerd SymlinkOverridePath",
            new(),
            new()
                .dir("foo")
                .dir("foo/dir")
                .file("foo/dir/canary", b"1")
                .symlink("foo", "/")
                .file("foo/dir/canary", b"2"),
            AMBIGUOUS,
        ),
        (
            "containerd HardlinkSymlinkChmod",
            new(),
            new().symlink("p", "../outside/canary").hardlink("sketchylink", "../outside/canary"),
            DENIED,
        ),
    ]
}

fn containerd_hardlinks() -> Vec<Peer> {
    const INSIDE: Comes = Shows(&[("localpasswd", "inside")]);
    let etc = || new().dir("etc").file("/etc/passwd", b"inside");
    let behind = |link: &str| {
        etc()
            .dir("breakouts")
            .dir("downandout")
            .symlink("breakouts/d1", link)
            .hardlink("localpasswd", "/breakouts/d1/passwd")
    };
    let through =
        |link: &str| etc().symlink("localetc", link).hardlink("localpasswd", "/localetc/passwd");
    let to_link =
        |link: &str| etc().symlink("passwdlink", link).hardlink("localpasswd", "/passwdlink");
    vec![
        ("containerd HardlinkRelative", new(), behind("../../etc"), INSIDE),
        ("containerd HardlinkDownAndOut", new(), behind("../downandout/../../etc"), INSIDE),
        ("containerd HardlinkAbsolute", new(), through("/etc"), INSIDE),
        ("containerd HardlinkRelativeLong", new(), through("../../../../../../../etc"), INSIDE),
        // A component of the link is not there.
        ("containerd HardlinkRelativeUpAndOut", new(), through("upandout/../../../etc"), DENIED),
        (
            "containerd HardlinkDirectRelative",
            new(),
            etc().hardlink("localpasswd", "../../../../../etc/passwd"),
            DENIED,
        ),
        (
            "containerd HardlinkDirectAbsolute",
            new(),
            etc().hardlink("localpasswd", "/etc/passwd"),
            INSIDE,
        ),
        (
            "containerd HardlinkSymlinkBeforeCreateTarget",
            new(),
            new()
                .dir("etc")
                .symlink("link", "/etc/passwd")
                .hardlink("localpasswd", "link")
                .file("/etc/passwd", b"after"),
            Shows(&[("localpasswd", "-> \"/etc/passwd\""), ("etc/passwd", "after")]),
        ),
        (
            "containerd HardlinkSymlinkRelative",
            new(),
            to_link("../../../../../etc/passwd"),
            Shows(&[("localpasswd", "-> \"../../../../../etc/passwd\"")]),
        ),
        (
            "containerd HardlinkSymlinkAbsolute",
            new(),
            to_link("/etc/passwd"),
            Shows(&[("localpasswd", "-> \"/etc/passwd\"")]),
        ),
    ]
}

fn containerd_overrides() -> Vec<Peer> {
    let below = || new().dir("etc").file("etc/passwd", b"inside");
    let linked = || below().symlink("localetc", "/etc");
    vec![
        // A hard link to what only a lower layer has: another layer's file is none of this one's.
        (
            "containerd SymlinkOverrideDirectory",
            below().dir("localetc"),
            new().symlink("localetc", "/etc").hardlink("/localetc/localpasswd", "/etc/passwd"),
            DENIED,
        ),
        (
            "containerd SymlinkOverrideDirectoryRelative",
            below().dir("localetc"),
            new().symlink("localetc", "../../etc").hardlink("/localetc/localpasswd", "/etc/passwd"),
            DENIED,
        ),
        (
            "containerd DirectoryOverrideSymlink",
            linked(),
            new().dir("/localetc/").hardlink("/localetc/localpasswd", "/etc/passwd"),
            DENIED,
        ),
        (
            "containerd DirectoryOverrideSymlinkAndHardlink",
            linked(),
            new().dir("/localetc/").file("/localetc/localpasswd", b"different"),
            Shows(&[("localetc/localpasswd", "different"), ("etc/passwd", "inside")]),
        ),
    ]
}

fn containerd_whiteouts() -> Vec<Peer> {
    let below = || new().dir("etc").file("etc/passwd", b"all users");
    let linked = |to: &str| below().file("etc/whitedout", b"x").symlink("localetc", to);
    let white = |name: &str| new().file(name, b"");
    vec![
        ("containerd WhiteoutRootParent", below(), white(".wh..."), DENIED),
        ("containerd WhiteoutParent", below(), white("etc/.wh..."), DENIED),
        ("containerd WhiteoutRoot", below(), white(".wh.."), DENIED),
        ("containerd WhiteoutCurrentDirectory", below(), white("etc/.wh.."), DENIED),
        (
            "containerd WhiteoutSymlink",
            linked("/etc"),
            white(".wh.localetc"),
            Shows(&[("etc/passwd", "all users"), ("localetc", "")]),
        ),
        // Behind a link that a lower layer has, the layer's own directory takes the link's place.
        (
            "containerd WhiteoutSymlinkPath",
            linked("/etc"),
            white("localetc/.wh.whitedout"),
            Shows(&[("etc/passwd", "all users"), ("etc/whitedout", "x")]),
        ),
        (
            "containerd WhiteoutDirectoryName",
            linked("/etc"),
            new().file(".wh.etc/somefile", b"non-empty"),
            AMBIGUOUS,
        ),
        (
            "containerd WhiteoutDeadSymlinkParent",
            linked("/dne"),
            white("localetc/.wh.etc"),
            Shows(&[("etc/passwd", "all users")]),
        ),
        ("containerd WhiteoutRelativePath", linked("/dne"), white("dne/../.wh.etc"), DENIED),
    ]
}

pub fn umoci() -> Vec<Peer> {
    let scoped = |link: &str| new().symlink("link", link).file("link/file", b"container");
    const IN_ROOT: Comes = Shows(&[("file", "container")]);
    let content = || new().file("some/path/file", b"x").file("rootpath/file1", b"x");
    let mut all = vec![
        (
            "umoci SanitiseScoping/GarbagePrefix",
            new(),
            new().file("/../outside/canary", b"container"),
            DENIED,
        ),
        (
            "umoci SanitiseScoping/DotDotPrefix",
            new(),
            new().file("../outside/canary", b"container"),
            DENIED,
        ),
        (
            "umoci NonDirParent",
            new(),
            new().file("nondir", b"").file("nondir/foo/bar/baz", b""),
            AMBIGUOUS,
        ),
        (
            "umoci ParentDir",
            new(),
            new().file("a/b/c/file", b"creating"),
            Shows(&[("a/b/c/file", "creating")]),
        ),
        ("umoci Whiteout/EmptyWhiteoutName-Root", content(), new().file(".wh.", b""), DENIED),
        ("umoci Whiteout/EmptyWhiteoutName", content(), new().file("some/path/.wh.", b""), DENIED),
        (
            "umoci Whiteout/FileInSubdir",
            content(),
            new().file("some/path/.wh.file", b""),
            Shows(&[("some/path/file", ""), ("some/path", "755")]),
        ),
        (
            "umoci Whiteout/DirInRoot",
            content(),
            new().file(".wh.rootpath", b""),
            Shows(&[("rootpath", "")]),
        ),
        (
            "umoci OpaqueWhiteout of links out",
            new().file("dir/old", b"x").symlink("dir/verybadlink", "../../../../etc/shadow"),
            new().file("dir/.wh..wh..opq", b"").symlink("dir/verybadlink", "/../../../etc/shadow"),
            Shows(&[("dir/old", ""), ("dir/verybadlink", "-> \"/../../../etc/shadow\"")]),
        ),
        (
            "umoci Hardlink",
            new(),
            new()
                .file("reg", b"x")
                .symlink("sym", "../../../reg")
                .hardlink("a", "/reg")
                .hardlink("b", "sym"),
            Shows(&[("a", "\"x\""), ("b", "-> \"../../../reg\"")]),
        ),
        (
            "umoci Hardlink climbing",
            new(),
            new().file("reg", b"x").hardlink("a", "../../../reg"),
            DENIED,
        ),
    ];
    for (name, link) in [
        ("umoci SymlinkScoping/RootPrefix", "/"),
        ("umoci SymlinkScoping/GarbagePrefix1", "/../"),
        ("umoci SymlinkScoping/GarbagePrefix2", "/../../../../../../../../../../../../../"),
        ("umoci SymlinkScoping/GarbagePrefix3", "/./.././.././.././.././.././.././../"),
        ("umoci SymlinkScoping/DotDotPrefix", ".."),
        // The root itself as a link (CVE-2021-29136) is in the table of names.
    ] {
        all.push((name, new(), scoped(link), IN_ROOT));
    }
    all
}

pub fn containers_storage() -> Vec<Peer> {
    let name = |name: &str| new().file(name, b"x");
    let hard = || new().hardlink("loophole-victim", OUT);
    let soft = || new().symlink("loophole-victim", OUT);
    vec![
        ("storage InvalidFilenames 0", new(), name("../outside/dotdot"), DENIED),
        ("storage InvalidFilenames 1", new(), name("/../outside/slash-dotdot"), DENIED),
        ("storage InvalidHardlink 0", new(), new().hardlink("a", "../outside/canary"), DENIED),
        ("storage InvalidHardlink 1", new(), new().hardlink("a", "/../outside/canary"), DENIED),
        ("storage InvalidHardlink 2", new(), hard().file("loophole-victim/file", b"x"), DENIED),
        (
            "storage InvalidHardlink 3",
            new(),
            hard().symlink("symlink", "loophole-victim/canary"),
            DENIED,
        ),
        (
            "storage InvalidHardlink 4",
            new(),
            hard().hardlink("hardlink", "loophole-victim/canary"),
            DENIED,
        ),
        ("storage InvalidHardlink 5", new(), hard().file("loophole-victim", b"x"), DENIED),
        // A link is only text; nothing follows it.
        (
            "storage InvalidSymlink 0",
            new(),
            new().symlink("dotdot", "../outside/canary"),
            Shows(&[("dotdot", "-> \"../outside/canary\"")]),
        ),
        (
            "storage InvalidSymlink 1",
            new(),
            new().symlink("slash-dotdot", "/../outside/canary"),
            Shows(&[("slash-dotdot", "-> \"/../outside/canary\"")]),
        ),
        ("storage InvalidSymlink 2", new(), soft().file("loophole-victim/file", b"x"), DENIED),
        (
            "storage InvalidSymlink 3",
            new(),
            soft().symlink("symlink", "loophole-victim/canary"),
            Shows(&[("symlink", "-> \"loophole-victim/canary\"")]),
        ),
        (
            "storage InvalidSymlink 4",
            new(),
            soft().hardlink("hardlink", "loophole-victim/canary"),
            DENIED,
        ),
        (
            "storage InvalidSymlink 5",
            new(),
            soft().file("loophole-victim", b"x"),
            Shows(&[("loophole-victim", "\"x\"")]),
        ),
        (
            "storage InvalidSymlink 6",
            new(),
            new().symlink("dir/loophole", "../../outside").file("dir/loophole/new/newfile", b"x"),
            DENIED,
        ),
        (
            "storage HardlinkToSymlink",
            new(),
            new()
                .symlink("symlink1", "regfile")
                .hardlink("symlink2", "symlink1")
                .file("regfile", b"x"),
            Shows(&[("symlink2", "-> \"regfile\""), ("regfile", "\"x\"")]),
        ),
        ("storage ApplyDotDotFile", new(), name("..gitme"), Shows(&[("..gitme", "\"x\"")])),
        (
            "storage UntarWithMaliciousSymlinks",
            new().symlink("safe", OUT),
            new().file("safe/host-file", b"pwn3d"),
            Shows(&[("safe/host-file", "pwn3d")]),
        ),
    ]
}

/// containers-storage's ApplyLayerWhiteouts: layers, and what is there after each.
pub fn layers_of_containers_storage() -> Vec<(Vec<&'static str>, Vec<&'static str>)> {
    let base = vec![
        ".baz",
        "bar/",
        "bar/bax",
        "bar/bay/",
        "baz",
        "foo/",
        "foo/.abc",
        "foo/.bcd/",
        "foo/.bcd/a",
        "foo/cde/",
        "foo/cde/def",
        "foo/cde/efg",
        "foo/fgh",
        "foobar",
    ];
    vec![
        (base.clone(), base),
        (
            vec![
                ".bay",
                ".wh.baz",
                "foo/",
                "foo/.bce",
                "foo/.wh..wh..opq",
                "foo/cde/",
                "foo/cde/efg",
            ],
            vec![
                ".bay",
                ".baz",
                "bar/",
                "bar/bax",
                "bar/bay/",
                "foo/",
                "foo/.bce",
                "foo/cde/",
                "foo/cde/efg",
                "foobar",
            ],
        ),
        (
            vec![".bay", ".wh..baz", ".wh.foobar", "foo/", "foo/.abc", "foo/.wh.cde", "bar/"],
            vec![".bay", "bar/", "bar/bax", "bar/bay/", "foo/", "foo/.abc", "foo/.bce"],
        ),
        (vec![".abc", ".wh..wh..opq", "foobar"], vec![".abc", "foobar"]),
    ]
}
