//! What a container's root needs besides its programs.

use crate::builder::Builder;
use crate::closure::{Closure, Content, Node};

/// Mount points first of all: the runtime mounts over `dev`, `proc` and `sys`, and the root file
/// system may be read-only by then, so they must exist.
const DIRECTORIES: [(&str, u32); 9] = [
    ("/dev", 0o755),
    ("/etc", 0o755),
    ("/proc", 0o555),
    ("/root", 0o700),
    ("/run", 0o755),
    ("/sys", 0o555),
    ("/tmp", 0o1777),
    ("/var", 0o755),
    ("/var/tmp", 0o1777),
];

/// `hostname`, `hosts` and `resolv.conf` are mount points for the engine's own; `nsswitch.conf`
/// names what is inside libc only, so that no module is missed.
const FILES: [(&str, &str); 6] = [
    ("/etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ("/etc/hostname", ""),
    ("/etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"),
    ("/etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"),
    (
        "/etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n",
    ),
    ("/etc/resolv.conf", ""),
];

/// An empty root file system: mount points, places for temporary files, and the users root and
/// nobody. Meant to be merged into a closure, whose own entries win ([`Closure::merge`]).
pub fn skeleton() -> Closure {
    let mut builder = Builder::default();
    for (path, mode) in DIRECTORIES {
        builder.add(path.into(), Node::Directory { mode });
    }
    for (path, text) in FILES {
        let content = Content::Made(text.as_bytes().to_vec());
        builder.add(path.into(), Node::File { mode: 0o644, content });
    }
    builder.finish()
}
