//! `tare manifest`.

use crate::images_scratch::{Registry, Scratch};
use e2e::{stderr, stdout};
use serde_json::{Value, json};
use std::process::Command;

fn inspected(scratch: &Scratch, name: &str) -> Value {
    serde_json::from_str(&scratch.ok(&["manifest", "inspect", name])).unwrap()
}

/// Images for two platforms.
fn two_images(scratch: &Scratch) {
    scratch.image("amd:1", &["echo amd > file"]);
    scratch.image("arm:0", &["echo arm > file"]);
    scratch.ok(&["mutate", "arm:0", "--set-platform", "linux/arm64/v8", "-t", "arm:1"]);
}

#[test]
fn an_index_of_images_of_the_store_is_put_together() {
    let scratch = Scratch::new();
    two_images(&scratch);
    let id = scratch.ok(&["manifest", "create", "list:1"]);
    assert_eq!(id.len(), 64);
    let empty = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []});
    assert_eq!(inspected(&scratch, "list:1"), empty);
    scratch.ok(&["manifest", "add", "list:1", "amd:1", "arm:1"]);
    let list = inspected(&scratch, "list:1");
    assert_eq!(list["manifests"][0]["platform"], json!({"architecture": "amd64", "os": "linux"}));
    let arm = json!({"architecture": "arm64", "os": "linux", "variant": "v8"});
    assert_eq!(list["manifests"][1]["platform"], arm);
    let digest = list["manifests"][1]["digest"].as_str().unwrap().to_owned();
    scratch.ok(&[
        "manifest",
        "annotate",
        "--os-version",
        "5",
        "--os-features",
        "a,b",
        "--features",
        "c",
        "--annotation",
        "k=v",
        "--variant",
        "v9",
        "list:1",
        "arm:1",
    ]);
    scratch.ok(&["manifest", "annotate", "--index", "--annotation", "of=index", "list:1"]);
    scratch.ok(&["manifest", "annotate", "--subject", "amd:1", "list:1"]);
    let list = inspected(&scratch, "list:1");
    assert_eq!(
        list["manifests"][1]["platform"],
        json!({"architecture": "arm64", "os": "linux", "variant": "v9", "os.version": "5",
               "os.features": ["a", "b"], "features": ["c"]})
    );
    assert_eq!(list["manifests"][1]["annotations"], json!({"k": "v"}));
    assert_eq!(list["annotations"], json!({"of": "index"}));
    assert_eq!(list["subject"]["digest"], list["manifests"][0]["digest"]);
    // What an image is added with replaces what was said of it before.
    scratch.ok(&["manifest", "add", "--arch", "riscv64", "list:1", "arm:1"]);
    let list = inspected(&scratch, "list:1");
    assert_eq!(list["manifests"][1]["platform"]["architecture"], "riscv64");
    assert_eq!(list["manifests"].as_array().unwrap().len(), 2);
    scratch.ok(&["manifest", "remove", "list:1", &digest]);
    let error = scratch.fails(1, &["manifest", "remove", "list:1", &digest]);
    assert!(error.contains("is not in the index"), "{error}");
    assert_eq!(inspected(&scratch, "list:1")["manifests"].as_array().unwrap().len(), 1);
}

#[test]
fn what_is_no_index_is_told_apart() {
    let scratch = Scratch::new();
    two_images(&scratch);
    scratch.ok(&["manifest", "create", "--annotation", "a=b", "list:1", "amd:1"]);
    assert_eq!(inspected(&scratch, "list:1")["annotations"], json!({"a": "b"}));
    let code = |args: &[&str]| scratch.tare(args).status.code();
    assert_eq!(code(&["manifest", "exists", "list:1"]), Some(0));
    assert_eq!(code(&["manifest", "exists", "amd:1"]), Some(1));
    assert_eq!(code(&["manifest", "exists", "nothing"]), Some(1));
    let error = scratch.fails(1, &["manifest", "create", "list:1"]);
    assert!(error.contains("hint: `--amend` adds to an index"), "{error}");
    scratch.ok(&["manifest", "create", "-a", "list:1", "arm:1"]);
    assert_eq!(inspected(&scratch, "list:1")["manifests"].as_array().unwrap().len(), 2);
    for verb in [
        &["manifest", "rm", "amd:1"][..],
        &["manifest", "push", "amd:1", "dir:x"],
        &["manifest", "add", "amd:1", "arm:1"],
        &["manifest", "create", "--amend", "amd:1"],
    ] {
        let error = scratch.fails(1, verb);
        assert!(error.contains("is an image, not an index"), "{error}");
    }
    scratch.fails(1, &["manifest", "annotate", "list:1"]);
    scratch.fails(1, &["manifest", "rm", "nothing"]);
    scratch.ok(&["manifest", "rm", "--ignore", "nothing"]);
    let said = scratch.ok(&["manifest", "rm", "list:1"]);
    assert!(said.starts_with("Untagged: localhost/list:1\nDeleted: "), "{said}");
    assert_eq!(code(&["manifest", "exists", "list:1"]), Some(1));
    // The images stay.
    scratch.ok(&["push", "-q", "arm:1", "dir:arm"]);
}

#[test]
fn images_stay_because_of_the_index() {
    let scratch = Scratch::new();
    scratch.image("amd:1", &["echo amd > file"]);
    scratch.ok(&["push", "-q", "amd:1", "oci:layout:it"]);
    let other = Scratch::new();
    other.ok(&["manifest", "create", "list:1", &format!("oci:{}:it", scratch.path("layout"))]);
    // Nothing else names the image here, and the collector has gone by.
    other.ok(&["manifest", "create", "second:1"]);
    other.ok(&["manifest", "rm", "second:1"]);
    other.ok(&["manifest", "push", "-q", "list:1", "oci:out:it"]);
}

#[test]
fn an_index_is_pushed_without_a_look_at_what_is_there() {
    let scratch = Scratch::new();
    let name = "an_index_is_pushed_without_a_look_at_what_is_there";
    let Some(registry) = Registry::start(name, &scratch) else { return };
    two_images(&scratch);
    let (amd, arm) = (registry.at("app:amd"), registry.at("app:arm"));
    scratch.ok(&["push", "-q", "amd:1", &amd]);
    scratch.ok(&["push", "-q", "arm:1", &arm]);
    // Another store, in which there is nothing.
    let other = Scratch::new();
    let settings = scratch.path(".config/containers/registries.conf");
    let other_tare = |args: &[&str]| -> String {
        let output = other.tare(&[&["--registries-conf", &settings], args].concat());
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        stdout(&output).trim_end().to_owned()
    };
    other_tare(&["manifest", "create", "list:1", &amd, &format!("docker://{arm}")]);
    let list = registry.at("app:1");
    let digest =
        other_tare(&["manifest", "push", "--digestfile", &other.path("digest"), "list:1", &list]);
    assert_eq!(std::fs::read_to_string(other.path("digest")).unwrap(), digest);
    assert!(other.sh("ls store/layers").is_empty());
    let pushed: Value = serde_json::from_str(&other_tare(&["manifest", "inspect", &list])).unwrap();
    assert_eq!(pushed["manifests"].as_array().unwrap().len(), 2);
    // Elsewhere, too, and without a name there that somebody could change.
    let elsewhere = registry.at("elsewhere:1");
    assert_eq!(other_tare(&["manifest", "push", "-q", "--rm", "list:1", &elsewhere]), "");
    other.fails(1, &["manifest", "push", "list:1", &elsewhere]);
    for (platform, content) in [("linux/amd64", "amd"), ("linux/arm64", "arm")] {
        other_tare(&["pull", "-q", "--platform", platform, &elsewhere]);
        let found = other.sh("cat store/layers/*/diff/file | sort | tail -1");
        assert_eq!(found.trim(), content);
    }
    let verbose = other_tare(&["manifest", "inspect", "-v", &list]);
    let verbose: Value = serde_json::from_str(&verbose).unwrap();
    assert_eq!(verbose[1]["Descriptor"]["platform"]["architecture"], "arm64");
    assert_eq!(verbose[1]["OCIManifest"]["layers"].as_array().unwrap().len(), 1);
    assert_eq!(
        verbose[1]["Ref"],
        format!("{list}@{}", pushed["manifests"][1]["digest"].as_str().unwrap())
    );
    others_read(&list);
}

/// skopeo and docker's client see the same.
fn others_read(list: &str) {
    let skopeo = Command::new("skopeo")
        .args(["inspect", "--raw", "--tls-verify=false", &format!("docker://{list}")])
        .output();
    match skopeo {
        Ok(output) => {
            let found: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(found["manifests"].as_array().unwrap().len(), 2);
        }
        Err(_) => e2e::skip("others_read", "needs skopeo"),
    }
    let docker = Command::new("docker").args(["manifest", "inspect", "--insecure", list]).output();
    match docker {
        Ok(output) => {
            let found: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(found["manifests"][1]["platform"]["variant"], "v8");
        }
        Err(_) => e2e::skip("others_read", "needs docker's client"),
    }
}

#[test]
fn what_is_not_done_is_refused() {
    let scratch = Scratch::new();
    scratch.ok(&["manifest", "create", "list:1"]);
    for option in [
        "--add-compression=zstd",
        "--sign-by=x",
        "--sign-by-sigstore=x",
        "--sign-by-sigstore-private-key=x",
        "--sign-by-sq-fingerprint=x",
        "--sign-passphrase-file=x",
    ] {
        let error = scratch.fails(1, &["manifest", "push", option, "list:1", "dir:x"]);
        assert!(error.contains(option.split('=').next().unwrap()), "{error}");
    }
}
