//! `tare cp`.

use super::engine::Engine;
use e2e::{stderr, stdout};
use std::io::Write;
use std::process::Stdio;

impl Engine {
    /// One that runs and one that does not, with the same files.
    fn both(&self, script: &str) {
        self.ok(&["create", "--name", "off", "box:1", "sh", "-c", script]);
        self.ok(&["start", "-a", "off"]);
        self.ok(&["run", "-d", "--name", "on", "box:1"]);
        self.ok(&["exec", "on", "sh", "-c", script]);
    }
}

#[test]
fn files_come_out_of_containers_as_docker_has_it() {
    let Some(engine) = Engine::idle("files_come_out_of_containers_as_docker_has_it") else {
        return;
    };
    engine.both(
        "mkdir -p /d/sub; echo one > /d/one; echo two > /d/sub/two; ln -s /d/one /link; \
         ln -s /d /dirs; echo x > /mine; chown 33:33 /mine",
    );
    for name in ["on", "off"] {
        let of = |path: &str| format!("{name}:{path}");
        let copy = |from: &str, to: &str| engine.ok(&["cp", &of(from), to]);
        engine.0.sh("rm -rf out; mkdir out");
        copy("/d/one", "out");
        copy("d/one", "out/other");
        assert_eq!(engine.0.sh("cat out/one out/other"), "one\none\n");
        // A directory goes into one that is there, and becomes one that is not.
        copy("/d", "out");
        copy("/d", "out/new");
        copy("/d/.", "out");
        copy("/d/.", "out/dots");
        assert_eq!(
            engine.0.sh("cd out; cat d/sub/two new/sub/two sub/two dots/sub/two"),
            "two\ntwo\ntwo\ntwo\n",
            "{name}"
        );
        // Links are copied, and followed when that is wanted.
        copy("/link", "out");
        engine.ok(&["cp", "-L", &of("/link"), "out/followed"]);
        assert_eq!(engine.0.sh("readlink out/link; cat out/followed"), "/d/one\none\n");
        copy("/dirs/", "out/through");
        assert_eq!(engine.0.sh("cat out/through/one"), "one\n");
        // Whoever copies owns the copies, unless the owner is to be kept.
        copy("/mine", "out/caller");
        engine.ok(&["cp", "-a", &of("/mine"), "out/kept"]);
        assert_eq!(engine.0.sh("stat -c %u:%g out/caller out/kept"), "0:0\n33:33\n");
        let tar = engine.0.tare(&["cp", &of("/d"), "-"]);
        std::fs::write(engine.0.path("d.tar"), &tar.stdout).unwrap();
        assert_eq!(engine.0.sh("tar -tf d.tar"), "d/\nd/one\nd/sub/\nd/sub/two\n");
        for (from, to, text) in [
            ("/nope", "out", format!("Could not find the file /nope in container {name}")),
            ("/d/one/", "out", "/d/one/: not a directory".into()),
            ("/d", "out/one", "cannot copy directory".into()),
            ("/d/one", "out/none/", "no such directory".into()),
            ("/d/one", "none/none", "lstat none/: no such file or directory".into()),
        ] {
            let said = engine.0.fails(1, &["cp", &of(from), to]);
            assert!(said.contains(&text), "{from} {to}: {said}");
        }
    }
    engine.0.fails(1, &["cp", "a", "b"]);
    engine.0.fails(1, &["cp", "nobody:/a", "b"]);
    engine.ok(&["fsck"]);
}

#[test]
fn files_go_into_containers_as_docker_has_it() {
    let Some(engine) = Engine::idle("files_go_into_containers_as_docker_has_it") else { return };
    engine.both("mkdir -p /srv/there /user; ln -s srv/there /way; echo old > /file");
    engine.0.sh("mkdir -p src/sub; echo one > src/one; echo two > src/sub/two; chown -R 7:8 src");
    for name in ["on", "off"] {
        let of = |path: &str| format!("{name}:{path}");
        let read = |path: &str| stdout(&engine.0.tare(&["cp", &of(path), "-"]));
        engine.ok(&["cp", "src", &of("/srv")]);
        engine.ok(&["cp", "src/.", &of("/way")]);
        engine.ok(&["cp", "src/one", &of("/srv/renamed")]);
        engine.ok(&["cp", "src/one", &of("/file")]);
        engine.ok(&["cp", "-a", "src/one", &of("/own")]);
        for path in ["/srv/src/one", "/srv/there/one", "/srv/renamed", "/file", "/own"] {
            assert!(read(path).contains("one\n"), "{name} {path}");
        }
        engine.ok(&["cp", "-a", &of("/srv/src/sub/two"), "kept"]);
        engine.ok(&["cp", "-a", &of("/own"), "own"]);
        assert_eq!(engine.0.sh("stat -c %u:%g kept own"), "7:8\n0:0\n");
        // An archive, also a packed one.
        engine.0.sh("tar -C src -czf src.tgz .");
        let mut command = engine.0.command(&["cp", "-", &of("/user")]);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let archive = std::fs::read(engine.0.path("src.tgz")).unwrap();
        child.stdin.take().unwrap().write_all(&archive).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(read("/user/sub/two").contains("two\n"));
        for (from, to, text) in [
            ("src", "/file", "cannot copy directory"),
            ("src/one", "/none/", "no such directory"),
            ("src/one", "/none/none", "Could not find the file /none/ in container"),
            ("-", "/file", "must be a directory"),
            ("nope", "/srv", "lstat nope: no such file or directory"),
        ] {
            let said = engine.0.fails(1, &["cp", from, &of(to)]);
            assert!(said.contains(text), "{from} {to}: {said}");
        }
        engine.0.sh("mkdir -p clash/src; echo > clash/src/sub; mkdir -p other/src/one");
        let said = engine.0.fails(1, &["cp", "clash/src", &of("/srv")]);
        assert!(
            said.contains("cannot overwrite directory \"src/sub\" with non-directory"),
            "{said}"
        );
        let said = engine.0.fails(1, &["cp", "other/src", &of("/srv")]);
        assert!(
            said.contains("cannot overwrite non-directory \"src/one\" with directory"),
            "{said}"
        );
    }
    assert_eq!(engine.ok(&["exec", "on", "cat", "/srv/there/sub/two"]), "two");
    engine.ok(&["run", "-d", "--name", "ro", "--read-only", "box:1"]);
    for stop in [false, true] {
        if stop {
            engine.ok(&["stop", "-t", "0", "ro"]);
        }
        let said = engine.0.fails(1, &["cp", "src", "ro:/srv"]);
        assert!(said.contains("container rootfs is marked read-only"), "{said}");
    }
}

#[test]
fn files_go_from_one_container_to_another() {
    let Some(engine) = Engine::idle("files_go_from_one_container_to_another") else { return };
    engine.both("mkdir -p /d/sub /srv; echo one > /d/one; echo two > /d/sub/two; ln -s /d/one /link; chown -R 33:50 /d");
    engine.ok(&["create", "--name", "to", "-u", "7:8", "box:1"]);
    let read = |path: &str| stdout(&engine.0.tare(&["cp", &format!("to:{path}"), "-"]));
    for from in ["on", "off"] {
        for start in [false, true] {
            if start {
                engine.ok(&["start", "to"]);
            }
            let of = |path: &str| format!("{from}:{path}");
            let dir = format!("/{from}{start}");
            let to = |path: &str| format!("to:{dir}{path}");
            engine.ok(&["cp", &of("/d"), &to("")]);
            engine.ok(&["cp", &of("/d"), &to("")]);
            engine.ok(&["cp", &of("/d/."), &to("/sub")]);
            engine.ok(&["cp", &of("/d/one"), &to("/renamed")]);
            engine.ok(&["cp", "-L", &of("/link"), &to("/")]);
            engine.ok(&["cp", "-a", &of("/d/one"), &to("/own")]);
            let tar = engine.0.tare(&["cp", &to(""), "-"]);
            std::fs::write(engine.0.path("to.tar"), &tar.stdout).unwrap();
            let listed = engine
                .0
                .sh("tar --numeric-owner -tvf to.tar | awk '{print $2, $6}' | LC_ALL=C sort -k 2");
            let wanted = [
                "33/50 ",
                "33/50 d/",
                "33/50 d/one",
                "33/50 d/sub/",
                "33/50 d/sub/two",
                "33/50 link",
                "33/50 one",
                "7/8 own",
                "33/50 renamed",
                "33/50 sub/",
                "33/50 sub/one",
                "33/50 sub/sub/",
                "33/50 sub/sub/two",
                "33/50 sub/two",
            ];
            let wanted: String = wanted
                .iter()
                .map(|line| {
                    let (owner, path) = line.split_once(' ').unwrap();
                    format!("{owner} {}/{path}\n", &dir[1..])
                })
                .collect();
            assert_eq!(listed, wanted);
            for (source, target, text) in [
                ("/nope", "", format!("Could not find the file /nope in container {from}")),
                ("/d", "/one", "cannot copy directory".into()),
                ("/d/one", "/none/", "no such directory".into()),
                ("/d/one", "/none/none", "in container to".into()),
                ("/d/sub", "/sub/one", "cannot copy directory".into()),
            ] {
                let said = engine.0.fails(1, &["cp", &of(source), &to(target)]);
                assert!(said.contains(&text), "{source} {target}: {said}");
            }
            if start {
                engine.ok(&["stop", "-t", "0", "to"]);
            }
        }
    }
    assert!(read("/onfalse/d/one").contains("one\n"));
    engine.ok(&["fsck"]);
}

/// What a directory and a file have in common is their name, unless that is enough.
#[test]
fn a_directory_and_a_file_replace_each_other_when_that_is_wanted() {
    let test = "a_directory_and_a_file_replace_each_other_when_that_is_wanted";
    let Some(engine) = Engine::idle(test) else { return };
    engine.both("mkdir -p /same /d; echo one > /d/one");
    engine.0.sh("echo file > same; mkdir -p out/same/d");
    for name in ["on", "off"] {
        let of = |path: &str| format!("{name}:{path}");
        let said = engine.0.fails(1, &["cp", "same", &of("/")]);
        assert!(said.contains("cannot overwrite directory"), "{said}");
        engine.ok(&["cp", "--overwrite", "same", &of("/")]);
        assert!(stdout(&engine.0.tare(&["cp", &of("/same"), "-"])).contains("file\n"));
        let said = engine.0.fails(1, &["cp", &of("/d"), &of("/same")]);
        assert!(said.contains("cannot copy directory"), "{said}");
        let said = engine.0.fails(1, &["cp", &of("/same"), "out"]);
        assert!(said.contains("cannot overwrite directory"), "{said}");
        engine.ok(&["cp", "--overwrite", &of("/same"), "out"]);
        assert_eq!(engine.0.sh("cat out/same; rm out/same; mkdir -p out/same/d"), "file\n");
    }
}

#[test]
fn files_go_from_one_place_of_a_container_to_another() {
    let test = "files_go_from_one_place_of_a_container_to_another";
    let Some(engine) = Engine::idle(test) else { return };
    engine.both("mkdir -p /d/sub /to; echo one > /d/one; chown -R 33:50 /d; ln -s /d /way");
    for name in ["on", "off"] {
        let of = |path: &str| format!("{name}:{path}");
        engine.ok(&["cp", &of("/d"), &of("/to")]);
        engine.ok(&["cp", &of("/d/one"), &of("/d/two")]);
        let tar = engine.0.tare(&["cp", &of("/to"), "-"]);
        std::fs::write(engine.0.path("to.tar"), &tar.stdout).unwrap();
        let listed = engine.0.sh("tar --numeric-owner -tvf to.tar | awk '{print $2, $6}'");
        assert_eq!(listed, "0/0 to/\n33/50 to/d/\n33/50 to/d/one\n33/50 to/d/sub/\n");
        for (source, target, text) in [
            ("/d", "/d", "cannot copy a directory into itself"),
            ("/d", "/way/sub", "cannot copy a directory into itself"),
            ("/", "/to", "cannot copy a directory into itself"),
            ("/d/one", "/d", "are the same file"),
            ("/d/one", "/way/one", "are the same file"),
        ] {
            let said = engine.0.fails(1, &["cp", &of(source), &of(target)]);
            assert!(said.contains(text), "{source} {target}: {said}");
        }
        assert!(stdout(&engine.0.tare(&["cp", &of("/d/two"), "-"])).contains("one\n"));
    }
}

#[test]
fn what_is_copied_between_user_namespaces_has_the_same_users() {
    let test = "what_is_copied_between_user_namespaces_has_the_same_users";
    let Some(engine) = Engine::idle(test) else { return };
    let map = ["--uidmap", "0:500000:1000", "--gidmap", "0:500000:1000"];
    let run = [&["run", "-d", "--name", "it"][..], &map, &["box:1"]].concat();
    let output = engine.0.tare(&run);
    if !output.status.success() {
        e2e::skip(test, &format!("no idmapped mounts: {}", stderr(&output).trim()));
        return;
    }
    engine.both("echo x > /x; chown 7:8 /x");
    for from in ["on", "off"] {
        engine.ok(&["cp", &format!("{from}:/x"), "it:/tmp/x"]);
        assert_eq!(engine.ok(&["exec", "it", "stat", "-c", "%u:%g", "/tmp/x"]), "7:8");
        engine.ok(&["cp", "it:/tmp/x", &format!("{from}:/y")]);
        engine.ok(&["cp", "it:/tmp/x", "it:/tmp/z"]);
        assert_eq!(engine.ok(&["exec", "it", "stat", "-c", "%u:%g", "/tmp/z"]), "7:8");
        let tar = engine.0.tare(&["cp", &format!("{from}:/y"), "-"]);
        std::fs::write(engine.0.path("y.tar"), &tar.stdout).unwrap();
        assert!(engine.0.sh("tar --numeric-owner -tvf y.tar").contains(" 7/8 "), "{from}");
    }
}

/// Links of either container lead nowhere but into itself.
#[test]
fn links_lead_out_of_neither_container() {
    let Some(engine) = Engine::idle("links_lead_out_of_neither_container") else { return };
    let host = engine.0.path("host");
    engine.0.sh("mkdir host; echo secret > host/secret");
    engine.both(&format!("ln -s {host} /abs; ln -s /proc/1/root{host} /proc1; mkdir /in; ln -s {host} /in/link; echo evil > /evil"));
    for (from, to) in [("on", "off"), ("off", "on"), ("on", "on")] {
        for link in ["/abs", "/proc1"] {
            let of = |name: &str, path: &str| format!("{name}:{link}{path}");
            let said =
                engine.0.fails(1, &["cp", "-L", &of(from, "/secret"), &format!("{to}:/got")]);
            assert!(said.contains("Could not find") || said.contains("symbolic link"), "{said}");
            // What is not there may be made, in the container.
            drop(engine.0.tare(&["cp", &format!("{from}:/evil"), &of(to, "/secret")]));
            drop(engine.0.tare(&["cp", "--overwrite", &format!("{from}:/evil"), &of(to, "")]));
            assert_eq!(
                engine.0.sh("ls host; cat host/secret"),
                "secret\nsecret\n",
                "{from} {to} {link}"
            );
        }
    }
}

#[test]
fn volumes_are_seen_whether_the_container_runs_or_not() {
    let test = "volumes_are_seen_whether_the_container_runs_or_not";
    let Some(engine) = Engine::idle(test) else { return };
    engine.0.sh("mkdir -p host; echo host > host/file");
    let host = format!("{}:/deep/host:ro", engine.0.path("host"));
    engine.ok(&["create", "--name", "it", "-v", "data:/deep/data", "-v", &host, "box:1"]);
    engine.0.sh("echo in > in");
    for start in [false, true] {
        if start {
            engine.ok(&["start", "it"]);
        }
        engine.ok(&["cp", "in", "it:/deep/data/in"]);
        engine.ok(&["cp", "it:/deep", "out"]);
        assert_eq!(engine.0.sh("cat out/host/file out/data/in; rm -r out"), "host\nin\n");
        let said = engine.0.fails(1, &["cp", "in", "it:/deep/host/in"]);
        assert!(said.contains("mounted volume is marked read-only"), "{said}");
    }
    assert_eq!(engine.ok(&["exec", "it", "cat", "/deep/data/in"]), "in");
    assert_eq!(
        engine.0.sh("ls host store/volumes/data/_data"),
        "host:\nfile\n\nstore/volumes/data/_data:\nin\n"
    );
    assert!(
        !std::fs::read_to_string("/proc/self/mountinfo")
            .unwrap()
            .contains(&engine.0.path("store/containers"))
    );
}

#[test]
fn links_of_a_container_do_not_lead_out_of_it() {
    let Some(engine) = Engine::idle("links_of_a_container_do_not_lead_out_of_it") else { return };
    let host = engine.0.path("host");
    engine.0.sh("mkdir host; echo secret > host/secret");
    // Whatever the container says, a path of the host is one of its own.
    engine.both(&format!(
        "ln -s {host} /abs; ln -s ../../../../../..{host} /up; ln -s /proc/1/root{host} /proc1; \
         ln -s /proc/self/cwd /cwd; mkdir -p /in; ln -s {host} /in/link"
    ));
    engine.0.sh("echo evil > evil; mkdir tree; ln -s /etc tree/etc");
    for name in ["on", "off"] {
        for link in ["/abs", "/up", "/proc1", "/cwd"] {
            let said = engine.0.fails(1, &["cp", &format!("{name}:{link}/secret"), "got"]);
            assert!(said.contains("Could not find") || said.contains("symbolic link"), "{said}");
            let output = engine.0.tare(&["cp", "evil", &format!("{name}:{link}/secret")]);
            let output2 = engine.0.tare(&["cp", "evil", &format!("{name}:{link}")]);
            // What is not there may be made, in the container.
            drop((output, output2));
            assert_eq!(
                engine.0.sh("ls host; cat host/secret"),
                "secret\nsecret\n",
                "{name} {link}"
            );
        }
        // What is unpacked goes through no link of the tree, either.
        engine.0.sh("rm -rf out; mkdir out");
        engine.ok(&["cp", &format!("{name}:/in"), "out"]);
        assert_eq!(engine.0.sh("readlink out/in/link"), format!("{host}\n"));
    }
    assert!(!std::path::Path::new(&engine.0.path("got")).exists());
}

#[test]
fn a_container_that_swaps_links_gets_nothing_of_the_host() {
    let test = "a_container_that_swaps_links_gets_nothing_of_the_host";
    let Some(engine) = Engine::idle(test) else { return };
    let host = engine.0.path("host");
    engine.0.sh("mkdir -p host; echo secret > host/file; echo evil > evil");
    // CVE-2018-15664: a directory of the path is a link to the host's at some moments.
    let script = format!(
        "mkdir -p {host} /good /bad; echo mine > /good/file; echo mine > {host}/file; \
         ln -s {host} /way; while :; do \
         busybox rm -f /way; ln -s {host} /way; busybox rm -f /way; ln -s /good /way; done"
    );
    engine.ok(&["run", "-d", "--name", "it", "box:1", "sh", "-c", &script]);
    let swaps = ["exec", "it", "sh", "-c", "[ -s /way/file ]"];
    engine.until("it swaps", || engine.0.tare(&swaps).status.success());
    for _ in 0..40 {
        let output = engine.0.tare(&["cp", "it:/way/file", "got"]);
        if output.status.success() {
            assert_eq!(engine.0.sh("cat got"), "mine\n");
        }
        let _ = engine.0.tare(&["cp", "evil", "it:/way/file"]);
        let _ = engine.0.tare(&["cp", "evil", "it:/way/"]);
        assert_eq!(engine.0.sh("ls host; cat host/file"), "file\nsecret\n");
        engine.ok(&["exec", "it", "sh", "-c", "echo mine > /good/file"]);
        let _ = engine.0.tare(&["exec", "it", "sh", "-c", &format!("echo mine > {host}/file")]);
    }
}

#[test]
fn ids_of_a_user_namespace_are_the_container_s() {
    let test = "ids_of_a_user_namespace_are_the_container_s";
    let Some(engine) = Engine::idle(test) else { return };
    let map = ["--uidmap", "0:500000:1000", "--gidmap", "0:500000:1000"];
    let run = [&["run", "-d", "--name", "it"][..], &map, &["box:1"]].concat();
    let output = engine.0.tare(&run);
    if !output.status.success() {
        e2e::skip(test, &format!("no idmapped mounts: {}", stderr(&output).trim()));
        return;
    }
    engine.0.sh("echo x > x; chown 7:8 x");
    for stop in [false, true] {
        if stop {
            engine.ok(&["stop", "-t", "0", "it"]);
        }
        engine.ok(&["cp", "x", "it:/tmp/x"]);
        let tar = engine.0.tare(&["cp", "it:/tmp/x", "-"]);
        std::fs::write(engine.0.path("x.tar"), &tar.stdout).unwrap();
        assert!(engine.0.sh("tar --numeric-owner -tvf x.tar").contains(" 7/8 "));
        if !stop {
            assert_eq!(engine.ok(&["exec", "it", "stat", "-c", "%u:%g", "/tmp/x"]), "7:8");
        }
    }
}
