//! Closures as values and as directories.

use super::*;
use crate::{ErrorKind, skeleton};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, UNIX_EPOCH};

fn pack(root: &Root, path: &str) -> Closure {
    crate::closure(&root.host(), &[Wanted::Path(path.into())]).unwrap()
}

#[test]
fn writing_keeps_modes_and_links_and_drops_setid_and_times() {
    let root = Root { directory: Temporary::new() };
    root.file("/d/tool", "tool", 0o6755);
    root.file("/d/secret/key", "key", 0o400);
    root.link("/d/alias", "tool");
    root.link("/d/away", "/etc/shadow");
    fs::set_permissions(root.at("/d/secret"), fs::Permissions::from_mode(0o2500)).unwrap();
    fs::set_permissions(root.at("/d"), fs::Permissions::from_mode(0o1777)).unwrap();
    let target = Temporary::new();
    let moment = UNIX_EPOCH + Duration::new(1_000_000_000, 5);
    pack(&root, "/d").write_to(&target.0.join("new"), moment).unwrap();
    for (path, mode) in [
        ("d", 0o41777),
        ("d/tool", 0o100755),
        ("d/secret", 0o40500),
        ("d/secret/key", 0o100400),
        ("d/alias", 0o120777),
        ("d/away", 0o120777),
        ("", 0o40755),
    ] {
        let metadata = fs::symlink_metadata(target.0.join("new").join(path)).unwrap();
        // The umask counts for the root only, whose mode is no part of the closure.
        if !path.is_empty() {
            assert_eq!(metadata.mode(), mode, "{path}");
        }
        assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (1_000_000_000, 5), "{path}");
        assert!(metadata.is_dir() || metadata.nlink() == 1, "{path}");
    }
    assert_eq!(fs::read(target.0.join("new/d/tool")).unwrap(), b"tool");
    assert_eq!(fs::read_link(target.0.join("new/d/away")).unwrap(), Path::new("/etc/shadow"));
}

#[test]
fn nothing_is_written_through_a_link_and_errors_leave_nothing() {
    let root = Root { directory: Temporary::new() };
    root.file("/a/file", "new", 0o644);
    root.file("/b/file", "new", 0o644);
    let closure = {
        let mut closure = pack(&root, "/a");
        closure.merge(pack(&root, "/b")).unwrap();
        closure
    };
    let outside = Temporary::new();
    for (is_file, name) in [(false, "b"), (true, "b/file")] {
        let target = Temporary::new();
        fs::create_dir_all(target.0.join(name).parent().unwrap()).unwrap();
        let away = outside.0.join(if is_file { "file" } else { "" });
        symlink(away, target.0.join(name)).unwrap();
        let error = closure.write_to(&target.0, UNIX_EPOCH).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exists, "{name}");
        assert!(!target.0.join("a").exists(), "{name}");
        assert_eq!(fs::read_dir(&outside.0).unwrap().count(), 0, "{name}");
    }
}

#[test]
fn a_file_that_changed_is_not_taken_for_what_was_listed() {
    let root = Root { directory: Temporary::new() };
    root.file("/a/file", "old", 0o644);
    let closure = pack(&root, "/a");
    let target = Temporary::new();
    root.file("/a/file", "changed", 0o644);
    assert_eq!(closure.digest().unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(closure.write_to(&target.0, UNIX_EPOCH).unwrap_err().kind(), ErrorKind::Busy);
    fs::remove_file(root.at("/a/file")).unwrap();
    root.link("/a/file", "/etc/passwd");
    assert!(closure.digest().is_err());
    assert!(fs::read_dir(&target.0).unwrap().next().is_none());
}

#[test]
fn digests_tell_what_matters_apart() {
    let make = |content: &str, mode: u32, target: &str| {
        let root = Root { directory: Temporary::new() };
        root.file("/d/file", content, mode);
        root.link("/d/link", target);
        let closure = pack(&root, "/d");
        let (digest, fingerprint) = (closure.digest().unwrap(), closure.fingerprint());
        assert_eq!(closure.digest().unwrap(), digest);
        let written = Temporary::new();
        closure.write_to(&written.0, UNIX_EPOCH).unwrap();
        let again = crate::closure(&view(&written.0), &[Wanted::Path("/d".into())]).unwrap();
        assert_eq!(again.digest().unwrap(), digest, "the copy is the same");
        assert_ne!(again.fingerprint(), fingerprint, "and another file");
        digest
    };
    let base = make("a", 0o644, "x");
    assert_eq!(make("a", 0o644, "x"), base, "neither times nor places count");
    let others = [make("b", 0o644, "x"), make("a", 0o600, "x"), make("a", 0o644, "y")];
    assert!(others.iter().all(|other| *other != base));
    // The documented form, by hand.
    use sha2::{Digest, Sha256};
    let listed = |letter: &str, mode: u32, parts: &[&[u8]]| {
        let mut bytes = letter.as_bytes().to_vec();
        bytes.extend(mode.to_le_bytes());
        for part in parts {
            bytes.extend((part.len() as u64).to_le_bytes());
            bytes.extend(*part);
        }
        bytes
    };
    let content = Sha256::digest(b"a");
    let root = fs::metadata(std::env::temp_dir()).unwrap();
    assert!(root.is_dir());
    let mut text = b"tare closure 1\n".to_vec();
    text.extend(listed("d", 0o755, &[b"/d"]));
    text.extend(listed("f", 0o644, &[b"/d/file", &content]));
    text.extend(listed("l", 0, &[b"/d/link", b"x"]));
    assert_eq!(Sha256::digest(&text).as_slice(), base);
}

#[test]
fn fingerprints_see_a_file_that_was_touched() {
    let root = Root { directory: Temporary::new() };
    root.file("/d/file", "same", 0o644);
    let before = pack(&root, "/d");
    let file = fs::File::open(root.at("/d/file")).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_nanos(1)).unwrap();
    let after = pack(&root, "/d");
    assert_ne!(before.fingerprint(), after.fingerprint());
    assert_eq!(after.fingerprint(), pack(&root, "/d").fingerprint());
}

#[test]
fn a_skeleton_fills_in_what_is_not_there() {
    let expected = "/dev/\n/etc/\n/etc/group\n/etc/hostname\n/etc/hosts\n/etc/nsswitch.conf\n\
                    /etc/passwd\n/etc/resolv.conf\n/proc/\n/root/\n/run/\n/sys/\n/tmp/\n/var/\n\
                    /var/tmp/\n";
    assert_eq!(listing(&skeleton()), expected);
    let root = Root { directory: Temporary::new() };
    root.file("/etc/passwd", "own", 0o600);
    root.file("/system/etc/hosts", "own", 0o644);
    root.file("/private/tmp/x", "", 0o644);
    root.link("/tmp", "private/tmp");
    let paths = ["/etc/passwd", "/tmp", "/system"];
    let wanted: Vec<_> = paths.iter().map(|path| Wanted::Path(path.into())).collect();
    let mut closure = crate::closure(&root.host(), &wanted).unwrap();
    closure.merge(skeleton()).unwrap();
    let text = listing(&closure);
    assert!(text.contains("/private/tmp/\n/private/tmp/x\n"), "{text}");
    assert!(text.contains("/tmp -> private/tmp\n"), "{text}");
    let passwd = closure.entries().iter().find(|entry| entry.path == Path::new("/etc/passwd"));
    assert_eq!(passwd.unwrap().size_bytes(), 3);
}

#[test]
fn merging_follows_links_and_reports_conflicts() {
    let make = |links: &[(&str, &str)], files: &[&str]| {
        let root = Root { directory: Temporary::new() };
        links.iter().for_each(|(path, target)| root.link(path, target));
        files.iter().for_each(|path| root.file(path, "x", 0o644));
        let wanted = fs::read_dir(&root.directory.0).unwrap();
        let wanted: Vec<_> = wanted
            .map(|entry| Wanted::Path(Path::new("/").join(entry.unwrap().file_name())))
            .collect();
        crate::closure(&root.host(), &wanted).unwrap()
    };
    let check = |own: Closure, base: Closure, expected: &str| {
        let mut merged = own.clone();
        match merged.merge(base) {
            Ok(()) => assert_eq!(listing(&merged), expected),
            Err(error) => {
                assert_eq!(shown(&error), expected);
                assert_eq!(merged, own);
            }
        }
    };
    check(
        make(&[("/lib", "usr/lib")], &["/usr/lib/a"]),
        make(&[], &["/lib/b/c"]),
        "/lib -> usr/lib\n/usr/\n/usr/lib/\n/usr/lib/a\n/usr/lib/b/\n/usr/lib/b/c\n",
    );
    check(
        make(&[("/d/up", "../../e")], &["/e/a"]),
        make(&[], &["/d/up/b"]),
        "/d/\n/d/up -> ../../e\n/e/\n/e/a\n/e/b\n",
    );
    check(make(&[], &["/a"]), make(&[], &["/a/b"]), "Exists: placing /a: /a is in the way");
    check(make(&[], &["/a/b"]), make(&[], &["/a"]), "Exists: placing /a: /a is in the way");
    check(
        make(&[("/d/a", "b"), ("/d/b", "a")], &[]),
        make(&[], &["/d/a/x"]),
        "Exists: placing /d/a: /d/a is in the way",
    );
    check(
        make(&[("/d/a", "gone")], &[]),
        make(&[], &["/d/a/x"]),
        "/d/\n/d/a -> gone\n/d/gone/\n/d/gone/x\n",
    );
}
