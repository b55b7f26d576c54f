//! `mounts add` and `mounts remove`.

use e2e::{Bundle, stderr, stdout};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;

fn start(test: &str) -> Option<Bundle> {
    let mut bundle = Bundle::new(test)?;
    bundle.config["root"]["readonly"] = json!(false);
    std::fs::create_dir(bundle.path("data")).unwrap();
    std::fs::write(bundle.path("data/file"), "content").unwrap();
    bundle.args(&["sleep", "100"]);
    Some(bundle)
}

fn mounts(bundle: &Bundle, word: &str, list: &Value) -> Output {
    let file = bundle.path("mounts.json");
    std::fs::write(file, list.to_string()).unwrap();
    bundle.runtime(&["mounts", word, bundle.id(), file])
}

fn change(bundle: &Bundle, word: &str, list: &Value) {
    let output = mounts(bundle, word, list);
    assert!(output.status.success(), "{word} {list}: {}", stderr(&output));
}

fn refuse(bundle: &Bundle, word: &str, list: &Value, expected: &str) {
    let output = mounts(bundle, word, list);
    assert!(stderr(&output).contains(expected), "{word} {list}: {}", stderr(&output));
    assert_eq!(output.status.code(), Some(1), "{word} {list}");
}

fn exec(bundle: &Bundle, script: &str) -> String {
    let output = bundle.runtime(&["exec", bundle.id(), "sh", "-c", script]);
    stdout(&output)
}

/// The container's mounts: destination, type and options of each.
fn table(bundle: &Bundle) -> Vec<String> {
    let text = exec(bundle, "cat /proc/self/mountinfo");
    let place = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(4);
        let kind = right.split(' ').next()?;
        Some(format!("{} {kind} {}", left.next()?, left.next()?))
    };
    text.lines().filter_map(place).collect()
}

#[test]
fn mounts_come_and_go_while_the_container_runs() {
    let Some(mut bundle) = start("mounts_come_and_go_while_the_container_runs") else { return };
    bundle.start();
    let before = table(&bundle);
    let list = json!([
        {"destination": "/new/dir", "type": "bind", "source": "data", "options": ["rbind", "ro", "nosuid"]},
        {"destination": "/new/file", "source": bundle.path("data/file"), "options": ["bind"]},
        {"destination": "/new/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m", "noexec", "mode=700"]},
        {"destination": "/new/proc", "type": "proc"},
        {"destination": "/new/mq", "type": "mqueue"}
    ]);
    change(&bundle, "add", &list);
    let added: Vec<String> =
        table(&bundle).into_iter().filter(|line| !before.contains(line)).collect();
    let starts =
        ["/new/dir ", "/new/file ", "/new/tmp tmpfs ", "/new/proc proc ", "/new/mq mqueue "];
    assert_eq!(added.len(), starts.len(), "{added:?}");
    for (line, start) in added.iter().zip(starts) {
        assert!(line.starts_with(start), "{added:?}");
    }
    assert!(added[0].contains("ro,nosuid") && added[2].contains("noexec"), "{added:?}");
    assert_eq!(exec(&bundle, "cat /new/dir/file /new/file"), "contentcontent");
    assert_eq!(
        exec(&bundle, "echo x 2>/dev/null > /new/dir/file || echo read-only"),
        "read-only\n"
    );
    // The new procfs is that of the container's processes.
    assert_eq!(exec(&bundle, "cat /new/proc/1/comm"), "sleep\n");
    // On the host there is nothing but the mount points.
    assert_eq!(std::fs::read_dir(bundle.path("rootfs/new/dir")).unwrap().count(), 0);

    change(&bundle, "remove", &list);
    assert_eq!(table(&bundle), before);
    refuse(&bundle, "remove", &json!([{"destination": "/new/tmp"}]), "nothing is mounted there");
}

#[test]
fn all_mounts_are_made_or_none() {
    let Some(mut bundle) = start("all_mounts_are_made_or_none") else { return };
    bundle.start();
    let before = table(&bundle);
    let good = json!({"destination": "/a", "type": "tmpfs"});
    let bad = |mount: Value, expected: &str| {
        refuse(&bundle, "add", &json!([good, mount]), expected);
        assert_eq!(table(&bundle), before, "{expected}");
    };
    bad(json!({"destination": "/b", "type": "nofs"}), "error mounting on \"/b\" (mounts[1])");
    bad(json!({"destination": "/b", "type": "tmpfs", "options": ["size=x"]}), "\"size=x\"");
    bad(json!({"destination": "/b", "type": "bind", "source": "/nowhere"}), "mounts[1]: opening");
    bad(json!({"destination": "/b"}), "mounts[1].type: is missing");
    bad(json!({"destination": "/b", "type": "cgroup"}), "only be mounted when a container is");
    bad(json!({"destination": "/proc/self/attr", "type": "tmpfs"}), "it is inside /proc");
    refuse(&bundle, "add", &json!({"mounts": []}), "invalid type");
    refuse(&bundle, "remove", &json!([{"destination": "/x/.."}]), "the root stays where it is");
    refuse(&bundle, "replace", &json!([]), "\"replace\" is not add or remove");
}

#[test]
fn links_in_the_container_lead_nowhere_else() {
    let Some(mut bundle) = start("links_in_the_container_lead_nowhere_else") else { return };
    let outside = bundle.path("outside");
    std::fs::create_dir(outside).unwrap();
    std::os::unix::fs::symlink(outside, bundle.path("rootfs/link")).unwrap();
    std::os::unix::fs::symlink("../../../../outside", bundle.path("rootfs/up")).unwrap();
    bundle.start();
    let list = json!([
        {"destination": "/link/x", "type": "tmpfs"}, {"destination": "/up/y", "type": "tmpfs"}
    ]);
    change(&bundle, "add", &list);
    assert_eq!(std::fs::read_dir(outside).unwrap().count(), 0);
    assert_eq!(table(&bundle).iter().filter(|line| line.contains("outside/")).count(), 2);
    change(&bundle, "remove", &list);
    assert_eq!(table(&bundle).iter().filter(|line| line.contains("outside/")).count(), 0);
}

#[test]
fn containers_with_users_of_their_own_get_mounts_too() {
    let test = "containers_with_users_of_their_own_get_mounts_too";
    let Some(mut bundle) = start(test) else { return };
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    bundle.config["linux"]["uidMappings"] = map.clone();
    bundle.config["linux"]["gidMappings"] = map.clone();
    std::os::unix::fs::chown(bundle.path("rootfs"), Some(100_000), Some(100_000)).unwrap();
    bundle.start();
    change(
        &bundle,
        "add",
        &json!([
            {"destination": "/plain", "type": "bind", "source": "data", "options": ["bind"]},
            {"destination": "/mapped", "type": "bind", "source": "data", "options": ["bind", "idmap"]},
            {"destination": "/own", "type": "bind", "source": "data", "options": ["bind", "idmap"],
             "uidMappings": [{"containerID": 0, "hostID": 100_007, "size": 1}],
             "gidMappings": [{"containerID": 0, "hostID": 100_007, "size": 1}]},
            {"destination": "/tmp", "type": "tmpfs"}
        ]),
    );
    let owner = |path: &str| exec(&bundle, &format!("busybox stat -c %u {path}"));
    assert_eq!(owner("/plain/file"), "65534\n");
    assert_eq!(owner("/mapped/file"), "0\n");
    assert_eq!(owner("/own/file"), "7\n");
    assert_eq!(exec(&bundle, "echo x > /tmp/x && cat /tmp/x"), "x\n");
}

#[test]
fn only_running_containers_with_their_own_mounts() {
    let Some(mut bundle) = start("only_running_containers_with_their_own_mounts") else { return };
    let list = json!([{"destination": "/a", "type": "tmpfs"}]);
    refuse(&bundle, "add", &list, "container does not exist");
    bundle.args(&["true"]).write();
    let (dir, id) = (bundle.path(""), bundle.id().to_string());
    assert!(bundle.runtime(&["run", "--keep", "-b", dir, &id]).status.success());
    refuse(&bundle, "add", &list, "is not running");
    assert!(bundle.runtime(&["delete", &id]).status.success());

    let linux = &mut bundle.config["linux"];
    linux["namespaces"].as_array_mut().unwrap().retain(|kind| kind["type"] != "mount");
    (linux["maskedPaths"], linux["readonlyPaths"]) = (json!([]), json!([]));
    bundle.config["mounts"] = json!([]);
    bundle.args(&["sleep", "100"]).start();
    refuse(&bundle, "add", &list, "has no mount namespace of its own");
    refuse(&bundle, "remove", &list, "has no mount namespace of its own");
    assert!(!Path::new(bundle.path("rootfs/a")).exists());
}
