//! Bad input: one clear sentence, the right exit status, nothing left behind.

use e2e::{Bundle, stderr};
use serde_json::{Value, json};

fn refuse(bundle: &mut Bundle, change: impl FnOnce(&mut Value), expected: &str) {
    let saved = bundle.config.clone();
    change(&mut bundle.config);
    bundle.args(&["true"]);
    let output = bundle.run();
    bundle.config = saved;
    let text = stderr(&output);
    assert!(text.contains(expected), "expected {expected:?} in {text:?}");
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(bundle.leftovers(), Vec::<std::path::PathBuf>::new(), "{text}");
}

#[test]
fn configurations_are_refused_by_field() {
    let Some(mut bundle) = Bundle::new("configurations_are_refused_by_field") else { return };
    let b = &mut bundle;
    refuse(b, |c| c["ociVersion"] = json!("2.0.0"), "ociVersion: \"2.0.0\" is not a version");
    refuse(b, |c| c["root"]["path"] = json!("nowhere"), "root.path: opening \"nowhere\"");
    refuse(b, |c| c["process"]["cwd"] = json!("x"), "process.cwd: \"x\" is not an absolute path");
    refuse(b, |c| c["process"]["user"]["uid"] = json!("root"), "process.user.uid: invalid type");
    refuse(b, |c| c["hostname"] = json!("x".repeat(65)), "hostname: has more than 64 bytes");
    refuse(
        b,
        |c| c["linux"]["sysctl"] = json!({"vm.swappiness": "1"}),
        "linux.sysctl: \"vm.swappiness\" is not in a separate kernel namespace",
    );
    refuse(
        b,
        |c| c["mounts"][0]["destination"] = json!("/proc/self/attr"),
        "\"/proc/self/attr\" cannot be mounted because it is inside /proc",
    );
    refuse(
        b,
        |c| c["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_NO"}),
        "linux.seccomp.defaultAction: unknown variant",
    );
    refuse(b, |c| c["mounts"][1]["type"] = json!("nofs"), "the kernel has no file system \"nofs\"");
}

#[test]
fn a_used_name_and_an_unknown_one() {
    let Some(mut bundle) = Bundle::new("a_used_name_and_an_unknown_one") else { return };
    bundle.args(&["sleep", "100"]).start();
    let again = bundle.run();
    assert!(stderr(&again).contains("container with given ID already exists"));
    assert_eq!(bundle.status(), "running");
    let unknown = bundle.runtime(&["state", "nobody"]);
    assert!(stderr(&unknown).contains("container nobody: container does not exist"));
    assert_eq!(unknown.status.code(), Some(1));
    assert!(bundle.runtime(&["delete", "--force", "nobody"]).status.success());
    let bad = bundle.runtime(&["state", "../x"]);
    assert!(stderr(&bad).contains("invalid container ID format"));
}

/// What runc takes for a name is one.
#[test]
fn names_may_begin_with_a_dot() {
    let Some(mut bundle) = Bundle::new("names_may_begin_with_a_dot") else { return };
    bundle.args(&["true"]).write();
    let path = bundle.path("");
    for id in [".hidden", "...", "a,b"] {
        let output = bundle.runtime(&["run", "--bundle", path, id]);
        assert!(output.status.success(), "{}", stderr(&output));
    }
    for id in [".", "..", "./a", "a/.."] {
        let output = bundle.runtime(&["run", "--bundle", path, id]);
        assert!(stderr(&output).contains("invalid container ID format"), "{}", stderr(&output));
    }
    assert_eq!(bundle.leftovers(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn owners_of_mounts_that_are_not_mapped() {
    let Some(mut bundle) = Bundle::new("owners_of_mounts_that_are_not_mapped") else { return };
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 1}]);
    bundle.config["linux"]["uidMappings"] = map.clone();
    bundle.config["linux"]["gidMappings"] = map;
    std::os::unix::fs::chown(bundle.path("rootfs"), Some(100_000), Some(100_000)).unwrap();
    // The example configuration has gid=5 for devpts.
    let output = bundle.args(&["true"]).run();
    // Whether the sentence itself names the option depends on the kernel.
    let text = stderr(&output);
    assert!(text.contains("mounting on \"/dev/pts\" (mounts[2]): "), "{text}");
    assert!(text.contains("devpts: invalid argument"), "{text}");
    let hint = "remove \"gid=5\" from the mount's options, or map it in linux.gidMappings";
    assert!(stderr(&output).contains(hint), "{}", stderr(&output));
    bundle.config["linux"]["gidMappings"][0]["size"] = json!(6);
    let output = bundle.run();
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn typing_errors_get_a_hint() {
    let Some(bundle) = Bundle::new("typing_errors_get_a_hint") else { return };
    let check = |args: &[&str], expected: &str| {
        let output = bundle.runtime(args);
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
        assert_eq!(output.status.code(), Some(1));
    };
    check(&["strat", "x"], "did you mean start?");
    check(&["run", "--bundel", "x", "y"], "did you mean --bundle?");
    check(&["run", "--bundle"], "flag needs an argument: --bundle");
    check(&["run", "--bundle", "/nowhere", "y"], "opening the bundle /nowhere");
    check(&["kill", "x", "NOSIG"], "unknown signal \"NOSIG\"");
    check(&["state"], "state needs CONTAINER");
}

#[test]
fn a_half_made_container_can_be_deleted() {
    let Some(bundle) = Bundle::new("a_half_made_container_can_be_deleted") else { return };
    let dir = bundle.path(&format!("state/{}", bundle.id()));
    std::fs::create_dir_all(dir).unwrap();
    let id = bundle.id().to_string();
    let state = bundle.runtime(&["state", &id]);
    assert!(stderr(&state).contains("was not completely created"));
    std::fs::write(format!("{dir}/state.json"), "{broken").unwrap();
    assert_eq!(bundle.runtime(&["delete", &id]).status.code(), Some(1));
    assert!(bundle.runtime(&["delete", "--force", &id]).status.success());
    assert!(!std::path::Path::new(dir).exists());
}
