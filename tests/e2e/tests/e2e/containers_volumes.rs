//! `tare volume`, and volumes that images want.

use super::engine::Engine;
use super::running::MAKE;

impl Engine {
    /// With an image that has a directory for a volume, with files of its own.
    fn with_data(test: &str) -> Option<Self> {
        let engine = Self::new(test)?;
        let scratch = &engine.0;
        scratch.sh(&format!("rm -rf box; {MAKE}"));
        scratch.sh(
            "mkdir -p box/data/sub; echo one > box/data/one; chmod 640 box/data/one; ln box/data/one box/data/two; \
             ln -s one box/data/link; chown -hR 33:50 box/data; chmod 2750 box/data; \
             touch -d @7 box/data/one; tar -C box -cf data.tar .",
        );
        let changes = ["--change", "VOLUME /data", "--change", "CMD [\"sh\"]"];
        scratch.ok(&[&["import", "-q"][..], &changes, &[&scratch.path("data.tar"), "data:1"]].concat());
        Some(engine)
    }

    fn volumes(&self) -> usize {
        self.ok(&["volume", "ls", "-q"]).lines().count()
    }
}

#[test]
fn volumes_are_made_listed_and_removed() {
    let Some(engine) = Engine::with_data("volumes_are_made_listed_and_removed") else { return };
    assert_eq!(engine.ok(&["volume", "create", "--label", "a=b", "one"]), "one");
    assert_eq!(engine.ok(&["volume", "create", "one"]), "one");
    let name = engine.ok(&["volume", "create"]);
    assert_eq!(name.len(), 64);
    engine.ok(&["create", "--name", "it", "-v", "two:/x", "box:1"]);
    let table = engine.ok(&["volume", "ls"]);
    let wanted: Vec<String> = [
        "DRIVER    VOLUME NAME".into(),
        format!("local     {name}"),
        "local     one".into(),
        "local     two".into(),
    ]
    .into();
    let mut lines: Vec<String> = table.lines().map(str::to_owned).collect();
    lines[1..].sort();
    assert_eq!(lines, wanted);
    for (filter, names) in [
        ("dangling=false", vec!["two"]),
        ("label=a", vec!["one"]),
        ("label=a=c", vec![]),
        ("name=tw", vec!["two"]),
        ("driver=local", vec![name.as_str(), "one", "two"]),
    ] {
        let said = engine.ok(&["volume", "ls", "-q", "--filter", filter]);
        assert_eq!(said.lines().collect::<Vec<_>>(), names, "{filter}");
    }
    assert_eq!(
        engine.ok(&[
            "volume",
            "ls",
            "--filter",
            "name=one",
            "--format",
            "{{.Name}} {{.Labels}} {{.Label \"a\"}}"
        ]),
        "one a=b b"
    );
    assert_eq!(
        engine.ok(&[
            "volume",
            "inspect",
            "--format",
            "{{.Driver}} {{.Labels.a}} {{.Mountpoint}}",
            "one"
        ]),
        format!("local b {}", engine.0.path("store/volumes/one/_data"))
    );
    // Without a name and without a container.
    let said = engine.ok(&["volume", "prune", "-f"]);
    assert!(
        said.starts_with(&format!("Deleted Volumes:\n{name}\n\nTotal reclaimed space: ")),
        "{said}"
    );
    assert_eq!(engine.ok(&["volume", "rm", "one"]), "one");
    engine.ok(&["rm", "it"]);
    engine.ok(&["volume", "prune", "-f"]);
    assert_eq!(engine.volumes(), 1);
    engine.ok(&["volume", "prune", "-af"]);
    assert_eq!(engine.volumes(), 0);
}

#[test]
fn volumes_that_cannot_be_made_or_removed_are_told() {
    let test = "volumes_that_cannot_be_made_or_removed_are_told";
    let Some(engine) = Engine::with_data(test) else { return };
    engine.ok(&["volume", "create", "one"]);
    engine.ok(&["create", "--name", "it", "-v", "two:/x", "box:1"]);
    let said = engine.0.fails(1, &["volume", "rm", "two"]);
    assert!(said.contains("remove two: volume is in use - ["), "{said}");
    let said = engine.0.fails(1, &["volume", "rm", "nosuch"]);
    assert!(said.contains("get nosuch: no such volume"), "{said}");
    engine.ok(&["volume", "rm", "-f", "nosuch"]);
    assert_eq!(engine.0.tare(&["volume", "exists", "one"]).status.code(), Some(0));
    assert_eq!(engine.0.tare(&["volume", "exists", "nosuch"]).status.code(), Some(1));
    engine.0.fails(1, &["volume", "create", "a/b"]);
    engine.0.fails(1, &["volume", "create", "-d", "nfs", "x"]);
    engine.0.fails(1, &["volume", "create", "-o", "type=nfs", "x"]);
}

#[test]
fn a_new_volume_begins_with_what_the_image_has_there() {
    let test = "a_new_volume_begins_with_what_the_image_has_there";
    let Some(engine) = Engine::with_data(test) else { return };
    let script =
        "stat -c '%a %u:%g' /data; stat -c '%a %u:%g %Y %h' /data/one; cat /data/link; ls /data";
    let wanted = "2750 33:50\n640 33:50 7 2\none\nlink\none\nsub\ntwo";
    let of = |mount: &[&str]| {
        engine.ok(&[&["run", "--rm"][..], mount, &["data:1", "sh", "-c", script]].concat())
    };
    assert_eq!(of(&[]), wanted);
    assert_eq!(of(&["-v", "named:/data"]), wanted);
    assert_eq!(of(&["--mount", "type=volume,source=other,target=/data"]), wanted);
    // It is its own from then on, and nothing of the image comes again.
    engine.ok(&["run", "--rm", "-v", "named:/data", "data:1", "busybox", "rm", "/data/one"]);
    assert_eq!(
        engine.ok(&["run", "--rm", "-v", "named:/data", "data:1", "ls", "/data"]),
        "link\nsub\ntwo"
    );
    assert_eq!(
        engine.ok(&["run", "--rm", "-v", "empty:/data:nocopy", "data:1", "ls", "/data"]),
        ""
    );
    // Links of the image do not lead out of it.
    let host = engine.0.path("secret");
    engine.0.sh(&format!("mkdir secret; echo x > secret/x; rm -rf box/data; ln -s {host} box/data; tar -C box -cf bad.tar ."));
    engine.ok(&["import", "-q", "--change", "CMD [\"sh\"]", &engine.0.path("bad.tar"), "bad:1"]);
    let output = engine.0.tare(&["run", "--rm", "-v", "bad:/data", "bad:1", "ls", "/data"]);
    assert!(!e2e::stdout(&output).contains('x'), "{}", e2e::stdout(&output));
}

#[test]
fn volumes_without_a_name_go_with_their_container() {
    let test = "volumes_without_a_name_go_with_their_container";
    let Some(engine) = Engine::with_data(test) else { return };
    engine.ok(&["run", "--rm", "-v", "/more", "data:1", "pwd"]);
    assert_eq!(engine.volumes(), 0);
    engine.ok(&["create", "--name", "it", "data:1"]);
    assert_eq!(engine.volumes(), 1);
    engine.ok(&["start", "it"]);
    engine.ok(&["rm", "-f", "it"]);
    assert_eq!(engine.volumes(), 1);
    engine.ok(&["create", "--name", "it", "-v", "kept:/k", "data:1"]);
    engine.ok(&["rm", "-v", "it"]);
    assert_eq!(engine.volumes(), 2);
    engine.0.fails(125, &["run", "--name", "a", "--user", "nobody-here", "--rm", "data:1"]);
    assert_eq!(engine.volumes(), 2);
    engine.ok(&["create", "--name", "it", "box:1"]);
    engine.0.fails(1, &["create", "--name", "it", "data:1"]);
    assert_eq!(engine.volumes(), 2);
}

#[test]
fn volumes_belong_to_the_ids_of_a_user_namespace() {
    let test = "volumes_belong_to_the_ids_of_a_user_namespace";
    let Some(engine) = Engine::with_data(test) else { return };
    let map = ["--uidmap", "0:500000:1000", "--gidmap", "0:500000:1000"];
    let run = |mount: &str, path: &str| {
        let script = format!("stat -c %u:%g {path} && echo x > {path}/x");
        engine.0.tare(
            &[&["run", "--rm"][..], &map, &["-v", mount, "data:1", "sh", "-c", &script]].concat(),
        )
    };
    let output = run("named:/data", "/data");
    if e2e::stderr(&output).contains("idmapped") {
        e2e::skip(test, &format!("no idmapped mounts: {}", e2e::stderr(&output).trim()));
        return;
    }
    assert_eq!(e2e::stdout(&output), "33:50\n", "{}", e2e::stderr(&output));
    let output = run("fresh:/none", "/none");
    assert_eq!(e2e::stdout(&output), "0:0\n", "{}", e2e::stderr(&output));
}
