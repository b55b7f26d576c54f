//! Mounts of a configuration: in order, with what they ask for and no more.

use e2e::{Bundle, stderr, stdout};
use serde_json::{Value, json};

fn runs(bundle: &mut Bundle, script: &str) -> String {
    let output = bundle.sh(script);
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output)
}

fn add(bundle: &mut Bundle, mount: Value) {
    bundle.config["mounts"].as_array_mut().unwrap().push(mount);
}

fn user_namespace(bundle: &mut Bundle) {
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    bundle.config["linux"]["uidMappings"] = map.clone();
    bundle.config["linux"]["gidMappings"] = map;
    std::os::unix::fs::chown(bundle.path("rootfs"), Some(100_000), Some(100_000)).unwrap();
}

#[test]
fn mounting_does_not_need_the_programs_descriptors() {
    let test = "mounting_does_not_need_the_programs_descriptors";
    let Some(mut bundle) = Bundle::new(test) else { return };
    user_namespace(&mut bundle);
    let source = bundle.path("source");
    std::fs::create_dir(source).unwrap();
    for number in 0..12 {
        let to = format!("/mnt{number}");
        add(&mut bundle, json!({"destination": to, "source": source, "options": ["bind"]}));
    }
    let limit = json!([{"type": "RLIMIT_NOFILE", "soft": 9, "hard": 10}]);
    bundle.config["process"]["rlimits"] = limit;
    assert_eq!(runs(&mut bundle, "ulimit -Sn; ulimit -Hn"), "9\n10\n");
}
