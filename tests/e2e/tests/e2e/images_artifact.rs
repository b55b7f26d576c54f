//! `tare artifact`.

use crate::images_scratch::{Registry, Scratch};
use e2e::{stderr, stdout};
use serde_json::{Value, json};

const EMPTY: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

fn inspected(scratch: &Scratch, name: &str) -> Value {
    serde_json::from_str(&scratch.ok(&["artifact", "inspect", name])).unwrap()
}

#[test]
fn artifacts_are_made_in_the_store_and_come_out_again() {
    let scratch = Scratch::new();
    scratch.sh("echo hello > hello.txt; mkdir sub; echo '{}' > sub/x.json");
    let files = ["hello.txt", "sub/x.json:application/json"];
    let add = ["artifact", "add", "--type", "application/vnd.a", "--annotation", "k=v", "art:1"];
    let digest = scratch.ok(&[&add[..], &files[..1]].concat());
    let found = inspected(&scratch, "art:1");
    assert_eq!(found["Digest"], *digest);
    assert_eq!(found["Name"], "localhost/art:1");
    assert_eq!(found["Manifest"]["artifactType"], "application/vnd.a");
    assert_eq!(found["Manifest"]["config"]["digest"], EMPTY);
    let layer = &found["Manifest"]["layers"][0];
    assert_eq!(layer["mediaType"], "text/plain");
    let title = "org.opencontainers.image.title";
    assert_eq!(layer["annotations"], json!({"k": "v", title: "hello.txt"}));
    let error = scratch.fails(1, &["artifact", "add", "art:1", "hello.txt"]);
    assert!(error.contains("hint: `--append` adds to it"), "{error}");
    scratch.ok(&["artifact", "add", "--append", "art:1", files[1]]);
    scratch.fails(1, &["artifact", "add", "--append", "art:1", files[1]]);
    let template = "{{range .Manifest.Layers}}{{.MediaType}} {{end}}";
    let types = scratch.ok(&["artifact", "inspect", "--format", template, "art:1"]);
    assert_eq!(types.trim(), "text/plain application/json");
    let list = scratch.ok(&["artifact", "ls", "--format", "{{.Repository}}:{{.Tag}} {{.Size}}"]);
    assert_eq!(list, "localhost/art:1 9B");
    // One file, or all of them, by their names.
    scratch.ok(&["artifact", "extract", "--title", "x.json", "art:1", "out.json"]);
    assert_eq!(scratch.sh("cat out.json"), "{}\n");
    scratch.fails(1, &["artifact", "extract", "art:1", "nowhere"]);
    scratch.sh("mkdir all");
    scratch.ok(&["artifact", "extract", "art:1", "all"]);
    assert_eq!(scratch.sh("ls all"), "hello.txt\nx.json\n");
    // An image is none.
    scratch.image("img:1", &["echo x > x"]);
    for verb in ["inspect", "rm"] {
        let error = scratch.fails(1, &["artifact", verb, "img:1"]);
        assert!(error.contains("is an image, not an artifact"), "{error}");
    }
    assert!(!scratch.ok(&["artifact", "ls", "-n"]).contains("img"));
    scratch.fails(1, &["artifact", "rm", "nothing"]);
    scratch.ok(&["artifact", "rm", "--ignore", "nothing"]);
    scratch.ok(&["artifact", "rm", "--all"]);
    assert_eq!(scratch.ok(&["artifact", "ls", "--noheading"]), "");
}

#[test]
fn files_go_to_a_registry_and_back() {
    let scratch = Scratch::new();
    let Some(registry) = Registry::start("files_go_to_a_registry_and_back", &scratch) else {
        return;
    };
    scratch.sh("echo hello > hello.txt; mkdir sub; echo '{}' > sub/x.json; echo c > config");
    let digest = scratch.ok(&[
        "artifact",
        "push",
        "--artifact-type",
        "application/vnd.a",
        "-a",
        "k=v",
        "--config",
        "config:application/vnd.c+json",
        "--digestfile",
        "digest",
        "--export-manifest",
        "manifest",
        &registry.at("art:1,2"),
        "hello.txt",
        "sub/x.json:application/json",
    ]);
    assert_eq!(scratch.sh("cat digest"), digest);
    let manifest: Value = serde_json::from_str(&scratch.sh("cat manifest")).unwrap();
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.c+json");
    assert_eq!(manifest["annotations"], json!({"k": "v"}));
    let said = scratch.ok(&["artifact", "pull", "-o", "out", &registry.at("art:2")]);
    assert_eq!(said, "out/hello.txt\nout/sub/x.json");
    assert_eq!(scratch.sh("cat out/hello.txt out/sub/x.json"), "hello\n{}\n");
    let again = ["artifact", "pull", "--keep-old-files", "-o", "out", &registry.at("art:2")];
    let error = scratch.fails(1, &again);
    assert!(error.contains("there is a file of this name"), "{error}");
    // By way of the store it stays what it is.
    assert_eq!(scratch.ok(&["artifact", "pull", "-q", &registry.at("art:1")]), digest);
    let output = scratch.tare(&["artifact", "push", "-q", &registry.at("art:1")]);
    assert!(output.status.success() && stdout(&output).is_empty(), "{}", stderr(&output));
    scratch.image("img:1", &["echo x > x"]);
    scratch.ok(&["push", "-q", "img:1", &registry.at("img:1")]);
    let error = scratch.fails(1, &["artifact", "pull", &registry.at("img:1")]);
    assert!(error.contains("hint: `tare pull` pulls images"), "{error}");
}

#[test]
fn what_is_about_an_image_is_found() {
    let scratch = Scratch::new();
    let name = "what_is_about_an_image_is_found";
    let Some(registry) = Registry::start(name, &scratch) else { return };
    scratch.image("img:1", &["echo x > x"]);
    scratch.sh("echo hello > hello.txt");
    let image = registry.at("img:1");
    scratch.ok(&["push", "-q", "img:1", &image]);
    for (subject, prefix) in [("store:img:1", "store:img:1@"), (&*image, &*format!("{image}@"))] {
        let attach = |kind: &str, subject: &str| {
            scratch.ok(&["artifact", "attach", "--artifact-type", kind, subject, "hello.txt"])
        };
        let list = attach("application/spdx+json", subject);
        let signature = attach("application/signature", subject);
        let repository = subject.trim_end_matches(":1");
        let about = match subject.starts_with("store:") {
            true => format!("store:{list}"),
            false => format!("{repository}@{list}"),
        };
        let second = attach("application/second", &about);
        let tree = scratch.ok(&["artifact", "discover", subject]);
        let lines: Vec<&str> = tree.lines().collect();
        assert!(lines[0].starts_with(prefix), "{tree}");
        for digest in [&list, &signature, &second] {
            assert!(tree.contains(&**digest), "{tree}");
        }
        let json = scratch.ok(&["artifact", "discover", "--format", "json", subject]);
        let found: Value = serde_json::from_str(&json).unwrap();
        let those = found["referrers"].as_array().unwrap();
        assert_eq!(those.len(), 2);
        let first = those.iter().find(|it| it["digest"] == *list).unwrap();
        assert_eq!(first["artifactType"], "application/spdx+json");
        assert_eq!(first["referrers"][0]["digest"], *second);
        let one =
            ["artifact", "discover", "--artifact-type", "application/signature", "--depth", "1"];
        let found = scratch.ok(&[&one[..], &["--format", "table", subject]].concat());
        assert!(found.contains(&*signature) && !found.contains(&*list), "{found}");
    }
    let error = scratch.fails(1, &["artifact", "attach", &image, "hello.txt"]);
    assert!(error.contains("--artifact-type is missing"), "{error}");
    let nothing = ["artifact", "attach", "--artifact-type", "a/b", &image];
    scratch.fails(1, &nothing);
}

#[test]
fn names_of_files_do_not_lead_out_of_the_directory() {
    let scratch = Scratch::new();
    scratch.sh("echo evil > evil; mkdir out; ln -s .. out/up; ln -s ../target out/link");
    let title = "org.opencontainers.image.title";
    for (number, name) in ["../x", "/tmp/x", "a/../../x", "up/x", "a\nb", ".."].iter().enumerate() {
        let artifact = format!("bad:{number}");
        scratch.ok(&[
            "artifact",
            "add",
            "--annotation",
            &format!("{title}={name}"),
            &artifact,
            "evil",
        ]);
        let error = scratch.fails(1, &["artifact", "extract", &artifact, "out"]);
        assert!(error.starts_with("tare: extracting bad:"), "{error}");
    }
    // A link in the place of a file is replaced, and what it leads to is left alone.
    scratch.ok(&["artifact", "add", "--annotation", &format!("{title}=link"), "link:1", "evil"]);
    scratch.ok(&["artifact", "extract", "link:1", "out"]);
    scratch.sh("test ! -e target; test ! -L out/link");
    assert_eq!(scratch.sh("ls -A out"), "link\nup\n");
}

#[test]
fn what_is_not_done_is_refused() {
    let scratch = Scratch::new();
    scratch.sh("echo x > x; mkdir dir");
    for option in [
        "--sign-by=x",
        "--sign-by-sigstore=x",
        "--sign-by-sigstore-private-key=x",
        "--sign-by-sq-fingerprint=x",
        "--sign-passphrase-file=x",
    ] {
        let error = scratch.fails(1, &["artifact", "push", option, "oci:layout:x", "x"]);
        assert!(error.contains(option.split('=').next().unwrap()), "{error}");
    }
    let error = scratch.fails(1, &["artifact", "pull", "--decryption-key=x", "oci:layout:x"]);
    assert!(error.contains("--decryption-key"), "{error}");
    let error = scratch.fails(1, &["artifact", "add", "art:1", "dir"]);
    assert!(error.contains("hint: pack it first"), "{error}");
}
