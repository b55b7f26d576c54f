//! Paths, links, scripts and the names of programs.

use super::*;
use crate::{ErrorKind, find_program};

fn check_listing(root: &Root, program: &str, expected: &[&str]) {
    let lines: String = expected.iter().map(|line| format!("{line}\n")).collect();
    assert_eq!(root.listing(program), lines);
}

fn packed(root: &Root, path: &str) -> crate::Result<String> {
    crate::closure(&root.host(), &[Wanted::Path(path.into())]).map(|closure| listing(&closure))
}

#[test]
fn links_on_the_way_are_the_same_inside() {
    if !can_build() {
        return;
    }
    let root = Root { directory: Temporary::new() };
    root.copy(&LOADER.replace("/lib64", "/usr/lib64"));
    root.link("/lib64", "usr/lib64");
    root.link("/bin", "/usr/bin");
    root.link("/lib", "usr/lib");
    root.program("/usr/bin/p1", Spec { needs: &["liba.so.1"], ..Spec::default() });
    root.link("/usr/bin/p", "p1");
    root.library("/usr/lib/liba.so.1.2.3", Spec { soname: Some("liba.so.1"), ..Spec::default() });
    root.link("/usr/lib/liba.so.1", "liba.so.1.2.3");
    root.link("/usr/lib/liba.so", "liba.so.1");
    check_listing(
        &root,
        "/bin/p",
        &[
            "/bin -> /usr/bin",
            "/etc/",
            "/etc/ld.so.cache",
            "/lib -> usr/lib",
            "/lib64 -> usr/lib64",
            "/usr/",
            "/usr/bin/",
            "/usr/bin/p -> p1",
            "/usr/bin/p1",
            "/usr/lib/",
            "/usr/lib/liba.so.1 -> liba.so.1.2.3",
            "/usr/lib/liba.so.1.2.3",
            "/usr/lib64/",
            "/usr/lib64/ld-linux-x86-64.so.2",
        ],
    );
}

#[test]
fn no_path_leads_out_of_the_root() {
    let root = Root { directory: Temporary::new() };
    root.file("/etc/shadow", "inside", 0o600);
    root.link("/out/up", "../../../../../../../../etc/shadow");
    root.link("/out/absolute", "/etc/shadow");
    root.link("/out/directory", "../../../../..");
    for path in ["/out/up", "/out/absolute", "/out/directory/etc/shadow", "/../../etc/shadow"] {
        let closure = crate::closure(&root.host(), &[Wanted::Path(path.into())]).unwrap();
        let file = closure.entries().iter().find(|entry| entry.path == Path::new("/etc/shadow"));
        let crate::Node::File { content, .. } = &file.unwrap().node else { panic!("{path}") };
        let crate::Content::Host { path: real, .. } = content else { panic!("{path}") };
        assert_eq!(*real, root.at("/etc/shadow"), "{path}");
    }
}

#[test]
fn links_that_do_not_end_are_an_error() {
    let root = Root { directory: Temporary::new() };
    root.link("/a", "b");
    root.link("/b", "a");
    root.link("/deep/0", "../file");
    root.file("/file", "", 0o644);
    for number in 1..=40 {
        root.link(&format!("/deep/{number}"), &format!("{}", number - 1));
    }
    let error = packed(&root, "/a").unwrap_err();
    assert_eq!(shown(&error), "Invalid: looking up /a: too many links");
    assert!(packed(&root, "/deep/39").is_ok());
    assert_eq!(packed(&root, "/deep/40").unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn a_slash_at_the_end_needs_a_directory() {
    let root = Root { directory: Temporary::new() };
    root.file("/d/f", "", 0o644);
    assert_eq!(packed(&root, "/d/").unwrap(), "/d/\n/d/f\n");
    assert_eq!(packed(&root, "/d/f/").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(packed(&root, "/d/f/x").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(
        packed(&root, &format!("/{}", "a/".repeat(3000))).unwrap_err().kind(),
        ErrorKind::Invalid
    );
}

#[test]
fn directories_are_taken_as_they_are() {
    let root = Root { directory: Temporary::new() };
    root.file("/data/a/script", "#!/nowhere\n", 0o755);
    root.link("/data/a/dangling", "/nowhere");
    root.link("/data/a/loop", "../a");
    root.link("/alias", "data");
    std::os::unix::net::UnixListener::bind(root.at("/data/socket")).unwrap();
    let wanted = [Wanted::Path("/alias".into())];
    let closure = crate::closure(&root.host(), &wanted).unwrap();
    let expected = "/alias -> data\n/data/\n/data/a/\n/data/a/dangling -> /nowhere\n\
                    /data/a/loop -> ../a\n/data/a/script\n";
    assert_eq!(listing(&closure), expected);
    assert_eq!(closure.skipped(), [PathBuf::from("/data/socket")]);
}

#[test]
fn scripts_bring_what_runs_them() {
    if !can_build() {
        return;
    }
    let root = Root::new();
    root.program("/bin/sh", Spec::default());
    root.program("/usr/bin/env", Spec::default());
    root.program("/usr/bin/perl5", Spec::default());
    root.link("/usr/bin/perl", "perl5");
    root.file("/bin/one", "#! /bin/sh -e\n", 0o755);
    root.file("/bin/two", "#!/bin/one x\n", 0o755);
    root.file("/bin/tool", "#!/usr/bin/env -S perl -w\n", 0o755);
    let loader = ["/lib64/", LOADER];
    check_listing(
        &root,
        "two",
        &[&["/bin/", "/bin/one", "/bin/sh", "/bin/two"][..], &loader].concat(),
    );
    let usr = ["/usr/", "/usr/bin/", "/usr/bin/env", "/usr/bin/perl -> perl5", "/usr/bin/perl5"];
    check_listing(&root, "tool", &[&["/bin/", "/bin/tool"][..], &loader, &usr].concat());
}

#[test]
fn scripts_run_each_other_as_deep_as_in_the_kernel() {
    if !can_build() {
        return;
    }
    let root = Root::new();
    root.program("/bin/sh", Spec::default());
    root.file("/bin/s1", "#!/bin/sh\n", 0o755);
    for level in 2..=6 {
        root.file(&format!("/bin/s{level}"), &format!("#!/bin/s{}\n", level - 1), 0o755);
    }
    assert!(root.closure("s5").is_ok());
    assert_eq!(root.error("s6"), "Invalid: /bin/s6: more than 5 scripts that run each other");
    root.file("/bin/self", "#!/bin/self\n", 0o755);
    assert_eq!(root.error("self"), "Invalid: /bin/self: more than 5 scripts that run each other");
    // Through env each run is a new one, and ends where it is known already.
    root.program("/usr/bin/env", Spec::default());
    root.file("/bin/me", "#!/usr/bin/env me\n", 0o755);
    assert!(root.closure("me").is_ok());
}

#[test]
fn what_cannot_be_run_says_why() {
    let root = Root { directory: Temporary::new() };
    root.file("/bin/text", "echo\n", 0o755);
    root.file("/bin/empty", "", 0o755);
    root.file("/bin/lost", "#!/bin/nothing\n", 0o755);
    root.file("/bin/plain", "#!/bin/text\n", 0o644);
    root.file("/bin/env", "", 0o755);
    root.file("/bin/modern", "#!/bin/env pyhton\n", 0o755);
    root.file("/bin/cut", "\x7fELF", 0o755);
    for (program, expected) in [
        ("text", "Unsupported: /bin/text is neither an ELF program nor a script"),
        ("empty", "Unsupported: /bin/empty is neither an ELF program nor a script"),
        ("lost", "NotFound: packing what runs /bin/lost: program /bin/nothing not found"),
        ("plain", "Denied: /bin/plain is not an executable file"),
        ("modern", "NotFound: packing what runs /bin/modern: program pyhton not found on PATH"),
        ("/bin", "Denied: /bin is not an executable file"),
        ("", "Invalid: looking for a program with an empty name"),
        (
            "cut",
            "Corrupt: reading /bin/cut as a program or library: its class is neither 32 nor 64 bit",
        ),
    ] {
        assert_eq!(root.error(program), expected);
    }
}

#[test]
fn programs_are_found_as_execvp_does() {
    let root = Root { directory: Temporary::new() };
    root.file("/a/tool", "", 0o644);
    root.file("/b/tool", "", 0o755);
    root.file("/c/tool", "", 0o755);
    root.file("/b/directory/x", "", 0o755);
    root.file("/c/python3", "", 0o755);
    root.link("/c/alias", "/b/tool");
    root.link("/c/dangling", "/nowhere");
    let mut host = root.host();
    host.path = ["/none", "/a", "/b", "c", ""].map(PathBuf::from).to_vec();
    let find = |host: &HostView, name: &str| match find_program(host, name.as_ref()) {
        Ok(path) => path.display().to_string(),
        Err(error) => format!("{}, {:?}", shown(&error), error.hint()),
    };
    for (name, expected) in [
        ("tool", "/b/tool"),
        ("alias", "/c/alias"),
        ("/c/tool", "/c/tool"),
        ("c/tool", "/c/tool"),
        ("directory", "Denied: /b/directory is not an executable file, None"),
        ("/a/tool", "Denied: /a/tool is not an executable file, None"),
        ("dangling", "NotFound: program dangling not found on PATH, None"),
        ("pyhton3", "NotFound: program pyhton3 not found on PATH, Some(\"did you mean python3?\")"),
        ("zzz", "NotFound: program zzz not found on PATH, None"),
        (
            "/x/python3",
            "NotFound: program /x/python3 not found, Some(\"did you mean /c/python3?\")",
        ),
    ] {
        assert_eq!(find(&host, name), expected);
    }
    host.working_directory = "/b".into();
    assert_eq!(find(&host, "./tool"), "/b/./tool");
    host.path = vec!["".into()];
    assert_eq!(find(&host, "tool"), "/b/tool");
}

#[test]
fn what_a_user_names_is_a_program_or_a_path() {
    let root = Root { directory: Temporary::new() };
    root.file("/opt/tool", "", 0o755);
    root.file("/opt/data", "", 0o644);
    for (text, expected) in [
        ("ls", Wanted::Program("ls".into())),
        ("/opt/tool", Wanted::Program("/opt/tool".into())),
        ("/opt/data", Wanted::Path("/opt/data".into())),
        ("/opt/", Wanted::Path("/opt/".into())),
        ("opt/gone", Wanted::Path("/opt/gone".into())),
    ] {
        assert_eq!(Wanted::parse(&root.host(), text.as_ref()), expected);
    }
}
