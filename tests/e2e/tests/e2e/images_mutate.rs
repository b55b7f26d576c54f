//! `tare mutate` and `tare diff`.

use crate::images_scratch::{Scratch, has_program};
use e2e::stdout;
use serde_json::{Value, json};
use std::process::{Command, Stdio};

const BASE: &str = "mkdir -p etc bin; echo a > etc/a; echo b > etc/b; echo x > bin/x";
const UPPER: &str = "mkdir -p etc; echo AA > etc/a; echo new > etc/new; touch etc/.wh.b";

/// The manifest and configuration of an image, by way of a layout.
fn pushed(scratch: &Scratch, image: &str) -> (Value, Value) {
    let layout = scratch.path("pushed");
    scratch.ok(&["push", "-q", image, &format!("oci:{layout}:it")]);
    let read = |path: &str| -> Value {
        serde_json::from_slice(&std::fs::read(format!("{layout}/{path}")).unwrap()).unwrap()
    };
    let blob = |digest: &Value| read(&format!("blobs/sha256/{}", &digest.as_str().unwrap()[7..]));
    let manifest = blob(&read("index.json")["manifests"][0]["digest"]);
    let config = blob(&manifest["config"]["digest"]);
    std::fs::remove_dir_all(layout).unwrap();
    (manifest, config)
}

#[test]
fn what_containers_have_is_changed() {
    let scratch = Scratch::new();
    scratch.image("base:1", &[BASE]);
    let id = scratch.ok(&[
        "mutate",
        "base:1",
        "-t",
        "app:1",
        "-e",
        "A=1",
        "-e",
        "B=x y",
        "-l",
        "team=a",
        "-u",
        "1:2",
        "-w",
        "/srv",
        "--entrypoint",
        r#"["a","b c"]"#,
        "--cmd",
        "x,y",
        "--exposed-ports",
        "80,53/udp",
        "--volume",
        "/data",
        "--stop-signal",
        "SIGINT",
        "--author",
        "me",
        "--created",
        "86400",
        "--set-platform",
        "linux/arm64/v8",
        "-c",
        "HEALTHCHECK NONE",
        "-a",
        "k=v",
    ]);
    let (manifest, config) = pushed(&scratch, "app:1");
    assert_eq!(manifest["config"]["digest"], format!("sha256:{id}"));
    assert_eq!(manifest["annotations"], json!({"k": "v"}));
    assert_eq!(
        config["config"],
        json!({
            "Env": ["A=1", "B=x y"], "Labels": {"team": "a"}, "User": "1:2", "WorkingDir": "/srv",
            "Entrypoint": ["a", "b c"], "Cmd": ["x", "y"], "Volumes": {"/data": {}},
            "ExposedPorts": {"80/tcp": {}, "53/udp": {}}, "StopSignal": "SIGINT",
            "Healthcheck": {"Test": ["NONE"]},
        })
    );
    assert_eq!(config["created"], "1970-01-02T00:00:00Z");
    let platform = [&config["os"], &config["architecture"], &config["variant"], &config["author"]];
    assert_eq!(platform, ["linux", "arm64", "v8", "me"]);
    // What was set is taken away again; the rest stays.
    scratch.ok(&["mutate", "app:1", "-t", "app:2", "--unset-env", "A", "--unset-label", "team"]);
    let (_, config) = pushed(&scratch, "app:2");
    assert_eq!(config["config"]["Env"], json!(["B=x y"]));
    assert_eq!(config["config"]["Labels"], Value::Null);
    assert_eq!(config["config"]["Entrypoint"], json!(["a", "b c"]));
    // The same changes are the same image, and the old one is what it was.
    let again = scratch.ok(&["mutate", "app:1", "--unset-env", "A", "--unset-label", "team"]);
    let (manifest, _) = pushed(&scratch, "app:2");
    assert_eq!(manifest["config"]["digest"], format!("sha256:{again}"));
    let (manifest, _) = pushed(&scratch, "app:1");
    assert_eq!(manifest["config"]["digest"], format!("sha256:{id}"));
}

#[test]
fn layers_come_from_files_and_from_standard_input() {
    let scratch = Scratch::new();
    scratch.image("base:1", &[BASE]);
    scratch.sh("mkdir t; echo hi > t/hi; tar -C t -czf hi.tgz .; tar -C t -cf hi.tar .");
    scratch.ok(&[
        "mutate",
        "append",
        "-b",
        "base:1",
        "-f",
        "hi.tgz",
        "-t",
        "app:1",
        "-m",
        "hello",
        "--set-base-image-annotations",
        "--created",
        "2024-05-01T12:00:00Z",
    ]);
    let (manifest, config) = pushed(&scratch, "app:1");
    let (base, _) = pushed(&scratch, "base:1");
    assert_eq!(manifest["layers"][0], base["layers"][0]);
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 2);
    assert_eq!(manifest["annotations"]["org.opencontainers.image.base.name"], "localhost/base:1");
    assert_eq!(config["history"][1]["comment"], "hello");
    assert_eq!(config["history"][1]["created"], "2024-05-01T12:00:00Z");
    // The same archive in another packing is the same layer.
    let mut command = scratch.command(&[
        "mutate",
        "append",
        "-b",
        "base:1",
        "-f",
        "-",
        "-t",
        "app:2",
        "-m",
        "hello",
        "--set-base-image-annotations",
        "--created",
        "1714564800",
    ]);
    let file = std::fs::File::open(scratch.path("hi.tar")).unwrap();
    assert!(command.stdin(Stdio::from(file)).output().unwrap().status.success());
    assert_eq!(pushed(&scratch, "app:2"), (manifest, config));
    let error = scratch.fails(1, &["mutate", "append", "-f", "nothing.tar"]);
    assert!(error.starts_with("tare: adding nothing.tar: "), "{error}");
    scratch.sh("echo no tar > no.tar");
    scratch.fails(1, &["mutate", "append", "-f", "no.tar", "-t", "bad"]);
    let error = scratch.fails(1, &["push", "bad", "dir:x"]);
    assert!(error.contains("no such image"), "{error}");
}

#[test]
fn images_move_to_another_base() {
    let scratch = Scratch::new();
    scratch.image("base:1", &[BASE]);
    scratch.image("base:2", &["mkdir etc; echo other > etc/other", "echo y > y"]);
    scratch.sh("mkdir t; echo hi > t/hi; tar -C t -cf hi.tar .");
    let append = ["mutate", "append", "-b", "base:1", "-f", "hi.tar", "-t", "app:1"];
    scratch.ok(&[&append[..], &["--set-base-image-annotations"]].concat());
    // The annotations name the base, which has moved on.
    scratch.ok(&["mutate", "rebase", "app:1", "--new-base", "base:2", "-t", "app:2"]);
    let (manifest, config) = pushed(&scratch, "app:2");
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 3);
    assert_eq!(config["history"].as_array().unwrap().len(), 3);
    let note = &manifest["annotations"]["org.opencontainers.image.base.name"];
    assert_eq!(note, "localhost/base:2");
    let (base, _) = pushed(&scratch, "base:2");
    assert_eq!(manifest["layers"][1], base["layers"][1]);
    // Without a note or an option nobody knows the base.
    scratch.ok(&append);
    let error = scratch.fails(1, &["mutate", "rebase", "app:1", "--new-base", "base:2"]);
    assert!(error.ends_with("hint: name it by --old-base\n"), "{error}");
    let wrong = ["mutate", "rebase", "app:1", "--old-base", "base:2", "--new-base", "base:1"];
    let error = scratch.fails(1, &wrong);
    assert!(error.contains("the image was not made upon sha256:"), "{error}");
}

#[test]
fn one_layer_is_made_of_all() {
    let scratch = Scratch::new();
    scratch.image("app:1", &[BASE, UPPER]);
    scratch.ok(&["mutate", "flatten", "app:1", "-t", "flat"]);
    let (manifest, config) = pushed(&scratch, "flat");
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
    assert_eq!(config["history"].as_array().unwrap().len(), 1);
    assert_eq!(scratch.ok(&["diff", "flat", "app:1"]), "");
    if !has_program("one_layer_is_made_of_all", "umoci") {
        return;
    }
    scratch.ok(&["push", "flat", "oci:layout:it"]);
    scratch.sh("umoci unpack --rootless --image layout:it bundle");
    assert_eq!(
        scratch.sh("cd bundle/rootfs; find . | sort; cat etc/a"),
        ".\n./bin\n./bin/x\n./etc\n./etc/a\n./etc/new\nAA\n"
    );
}

#[test]
fn annotations_are_set_and_taken_away() {
    let scratch = Scratch::new();
    scratch.image("app:1", &[BASE]);
    let digest =
        scratch.ok(&["mutate", "annotate", "app:1", "-a", "a=1", "-a", "b=2", "-t", "app:2"]);
    let (manifest, _) = pushed(&scratch, "app:2");
    assert_eq!(manifest["annotations"], json!({"a": "1", "b": "2"}));
    scratch.ok(&["mutate", "annotate", &digest, "--remove", "a", "-t", "app:3"]);
    let (manifest, _) = pushed(&scratch, "app:3");
    assert_eq!(manifest["annotations"], json!({"b": "2"}));
    scratch.fails(1, &["mutate", "annotate", "app:1", "-a", "nothing"]);
}

#[test]
fn differences_are_told_as_podman_tells_them() {
    let scratch = Scratch::new();
    scratch.image("one:1", &[BASE]);
    scratch.image("two:1", &[BASE, UPPER]);
    let lines = "C /etc\nC /etc/a\nD /etc/b\nA /etc/new";
    assert_eq!(scratch.ok(&["diff", "two:1", "one:1"]), lines);
    assert_eq!(scratch.ok(&["diff", "two:1"]), lines);
    assert_eq!(scratch.ok(&["diff", "one:1", "one:1"]), "");
    let found: Value =
        serde_json::from_str(&scratch.ok(&["diff", "--format", "json", "two:1"])).unwrap();
    let expected =
        json!({"changed": ["/etc", "/etc/a"], "added": ["/etc/new"], "deleted": ["/etc/b"]});
    assert_eq!(found, expected);
    scratch.fails(2, &["diff", "--format", "{{.}}", "two:1"]);
    scratch.fails(2, &["diff"]);
    let error = scratch.fails(1, &["diff", "--latest"]);
    assert!(error.contains("no containers: there is none that could be the last one"), "{error}");
    differs_as_with_podman(&scratch);
}

/// The same two images in podman.
fn differs_as_with_podman(scratch: &Scratch) {
    if !has_program("differences_are_told_as_podman_tells_them", "podman") || !e2e::is_root() {
        return;
    }
    let podman = |args: &[&str]| {
        let (root, run) = (scratch.path("podman"), scratch.path("podman-run"));
        let global = ["--root", &root, "--runroot", &run, "--storage-driver", "vfs"];
        let output = Command::new("podman").args(global).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        stdout(&output)
    };
    for name in ["one", "two"] {
        scratch.ok(&["push", &format!("{name}:1"), &format!("oci:podman-{name}:it")]);
        podman(&["pull", "-q", &format!("oci:{}:it", scratch.path(&format!("podman-{name}")))]);
    }
    let images = podman(&["images", "-q", "--no-trunc"]);
    let ids: Vec<&str> = images.lines().collect();
    for (one, other) in [(0, 1), (1, 0)] {
        let theirs = podman(&["diff", ids[one], ids[other]]);
        let own = scratch.ok(&["diff", &ids[one][7..], &ids[other][7..]]);
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&own), sorted(&theirs));
    }
}
