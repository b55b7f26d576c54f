//! Cases of crun's suite.

use e2e::{Bundle, stderr, stdout};
use serde_json::json;

#[test]
fn a_user_namespace_without_mappings_maps_the_caller() {
    let test = "a_user_namespace_without_mappings_maps_the_caller";
    let Some(mut bundle) = Bundle::new(test) else { return };
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    // Group 5 is not mapped.
    let terminals = json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts"});
    for mount in bundle.config["mounts"].as_array_mut().unwrap() {
        if mount["type"] == "devpts" {
            *mount = terminals.clone();
        }
    }
    let output = bundle.sh("read a b c < /proc/self/uid_map; echo $a $b $c");
    assert_eq!(stdout(&output), "0 0 1\n", "{}", stderr(&output));
}

/// The host has no node with this name, so none could be shown.
#[test]
fn a_user_namespace_gets_its_own_device_nodes() {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    if (numbers.next(), numbers.next()) < (Some(6), Some(15)) {
        let test = "a_user_namespace_gets_its_own_device_nodes";
        return e2e::skip(test, "Linux copies detached mounts since 6.15");
    }
    let Some(mut bundle) = Bundle::new("a_user_namespace_gets_its_own_device_nodes") else {
        return;
    };
    bundle.give_users();
    bundle.config["linux"]["devices"] = json!([{
        "path": "/dev/foo", "type": "c", "major": 1, "minor": 5,
        "uid": 10, "gid": 11, "fileMode": 0o157
    }]);
    let script = "stat -c '%a %u %g %t %T' /dev/foo; grep -c ' /dev/[nf].*nosuid,noexec' \
                  /proc/self/mountinfo; head -c 1 /dev/foo | wc -c";
    let output = bundle.sh(script);
    assert_eq!(stdout(&output), "157 10 11 1 5\n3\n1\n", "{}", stderr(&output));
}

#[test]
fn gaps_in_the_preserved_descriptors_stay_gaps() {
    let Some(mut bundle) = Bundle::new("gaps_in_the_preserved_descriptors_stay_gaps") else {
        return;
    };
    bundle.args(&["sh", "-c", "echo /proc/self/fd/*"]).write();
    let (path, id) = (bundle.path(""), bundle.id().to_string());
    // What the test itself was started with is not part of it.
    let script = "for n in $(seq 3 150); do eval \"exec $n>&-\"; done; exec \"$@\"";
    let output = std::process::Command::new("bash")
        .args(["-c", script, "run"])
        .arg(e2e::program("tare-runtime"))
        .args(["--root", bundle.path("state"), "run", "--preserve-fds", "5", "--bundle", path])
        .arg(&id)
        .output()
        .unwrap();
    // The last one is the shell's own, on the directory.
    let fd = "/proc/self/fd";
    assert_eq!(stdout(&output), format!("{fd}/0 {fd}/1 {fd}/2 {fd}/3\n"), "{}", stderr(&output));
    assert!(stderr(&output).contains("warning: --preserve-fds: descriptor 3 is not open"));
}

#[test]
fn inheritable_capabilities_survive_the_change_of_user() {
    let test = "inheritable_capabilities_survive_the_change_of_user";
    let Some(mut bundle) = Bundle::new(test) else { return };
    bundle.config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    bundle.config["process"]["capabilities"] =
        json!({"bounding": ["CAP_KILL"], "inheritable": ["CAP_KILL"]});
    let output = bundle.sh("grep CapInh /proc/self/status");
    assert_eq!(stdout(&output), "CapInh:\t0000000000000020\n", "{}", stderr(&output));
}

#[test]
fn the_working_directory_is_made_in_a_read_only_root() {
    let test = "the_working_directory_is_made_in_a_read_only_root";
    let Some(mut bundle) = Bundle::new(test) else { return };
    bundle.config["root"]["readonly"] = json!(true);
    bundle.config["process"]["cwd"] = json!("/a/b");
    let output = bundle.sh("pwd");
    assert_eq!(stdout(&output), "/a/b\n", "{}", stderr(&output));
}

#[test]
fn the_standard_pipes_belong_to_the_user() {
    let Some(mut bundle) = Bundle::new("the_standard_pipes_belong_to_the_user") else { return };
    bundle.config["process"]["user"] = json!({"uid": 1000, "gid": 1001});
    let output = bundle.sh("echo out > /dev/stdout; echo err > /dev/stderr");
    assert_eq!((stdout(&output).as_str(), stderr(&output).as_str()), ("out\n", "err\n"));
}

#[test]
fn a_dev_that_is_a_link_is_refused() {
    let Some(mut bundle) = Bundle::new("a_dev_that_is_a_link_is_refused") else { return };
    bundle.config["mounts"] = json!([]);
    let _ = std::fs::remove_dir_all(bundle.path("rootfs/dev"));
    std::os::unix::fs::symlink("/elsewhere", bundle.path("rootfs/dev")).unwrap();
    std::fs::create_dir(bundle.path("rootfs/elsewhere")).unwrap();
    let output = bundle.sh("true");
    let said = stderr(&output);
    assert!(said.contains("/dev in the container is not a directory"), "{said}");
    assert_eq!(std::fs::read_dir(bundle.path("rootfs/elsewhere")).unwrap().count(), 0);
}

#[test]
fn bind_mounts_may_stop_at_links() {
    let Some(mut bundle) = Bundle::new("bind_mounts_may_stop_at_links") else { return };
    std::fs::write(bundle.path("file"), "content\n").unwrap();
    std::os::unix::fs::symlink(bundle.path("file"), bundle.path("source")).unwrap();
    std::os::unix::fs::symlink("nowhere", bundle.path("rootfs/target")).unwrap();
    let mounts = bundle.config["mounts"].clone();
    for (to, options, script, expected) in [
        ("/target", &["bind", "dest-nofollow"][..], "cat /target", "content\n"),
        (
            "/target",
            &["bind", "dest-nofollow", "src-nofollow"],
            "readlink /target",
            bundle.path("file"),
        ),
        ("/new/link", &["rbind", "copy-symlink"], "readlink /new/link", bundle.path("file")),
        // The link of the run before is the same.
        ("/new/link", &["rbind", "copy-symlink"], "readlink /new/link", bundle.path("file")),
    ] {
        bundle.config["mounts"] = mounts.clone();
        let source = bundle.path("source");
        let mount = json!({"destination": to, "source": source, "options": options});
        bundle.config["mounts"].as_array_mut().unwrap().push(mount);
        let output = bundle.sh(script);
        assert_eq!(stdout(&output).trim_end(), expected.trim_end(), "{}", stderr(&output));
    }
}

#[test]
fn create_container_hooks_start_in_the_root_and_see_its_mounts() {
    let test = "create_container_hooks_start_in_the_root_and_see_its_mounts";
    let Some(mut bundle) = Bundle::new(test) else { return };
    let hook = json!({"path": "/bin/sh", "args": ["sh", "-c", "test -e proc/self"]});
    bundle.config["hooks"] = json!({"createContainer": [hook]});
    let output = bundle.sh("echo run");
    assert_eq!(stdout(&output), "run\n", "{}", stderr(&output));
}

#[test]
fn hooks_write_to_files_of_the_host() {
    let Some(mut bundle) = Bundle::new("hooks_write_to_files_of_the_host") else { return };
    let (out, err) = (bundle.path("out"), bundle.path("err"));
    let annotations = json!({"run.oci.hooks.stdout": out, "run.oci.hooks.stderr": err});
    bundle.config["annotations"] = annotations;
    let hook = |name| {
        let script = format!("echo {name}; echo not {name} >&2");
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}])
    };
    let kinds = ["prestart", "createRuntime", "createContainer", "startContainer", "poststop"];
    for kind in kinds {
        bundle.config["hooks"][kind] = hook(kind);
    }
    let output = bundle.sh("echo run");
    assert_eq!(stdout(&output), "run\n", "{}", stderr(&output));
    // What runs in the container has no way to them.
    let seen = "prestart\ncreateRuntime\ncreateContainer\npoststop\n";
    assert_eq!(std::fs::read_to_string(out).unwrap(), seen);
    let not = seen.lines().map(|name| format!("not {name}\n")).collect::<String>();
    assert_eq!(std::fs::read_to_string(err).unwrap(), not);
    bundle.config["annotations"]["run.oci.hooks.stdout"] = json!("/nowhere/out");
    let output = bundle.sh("echo run");
    let sentence = "annotations: run.oci.hooks.stdout: opening \"/nowhere/out\"";
    assert!(stderr(&output).contains(sentence), "{}", stderr(&output));
    assert!(!output.status.success());
}

#[test]
fn a_failed_poststop_hook_is_a_warning() {
    let Some(mut bundle) = Bundle::new("a_failed_poststop_hook_is_a_warning") else { return };
    bundle.config["hooks"] = json!({"poststop": [{"path": "/bin/false"}]});
    let output = bundle.sh("echo run");
    assert!(output.status.success());
    let warning = "tare-runtime: warning: poststop hook failed with exit code 1 (#0, /bin/false)\n";
    assert_eq!((stdout(&output), stderr(&output)), ("run\n".into(), warning.into()));
}

#[test]
fn a_failed_poststart_hook_removes_the_container() {
    let test = "a_failed_poststart_hook_removes_the_container";
    let Some(mut bundle) = Bundle::new(test) else { return };
    bundle.config["hooks"] = json!({"poststart": [{"path": "/bin/false"}]});
    bundle.args(&["sleep", "100"]).write();
    let id = bundle.id().to_string();
    let path = bundle.path("");
    let created = bundle.command(&["create", "--bundle", path, &id]).status().unwrap();
    assert!(created.success());
    let output = bundle.runtime(&["start", &id]);
    assert!(stderr(&output).contains("poststart hook #0"), "{}", stderr(&output));
    let state = bundle.runtime(&["state", &id]);
    assert!(stderr(&state).contains("container does not exist"), "{}", stderr(&state));
}

#[test]
fn cgroups_can_be_done_without() {
    let Some(mut bundle) = Bundle::new("cgroups_can_be_done_without") else { return };
    bundle.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["type"] != "cgroup");
    bundle.args(&["grep", "-c", "tare", "/proc/self/cgroup"]).write();
    let (path, id) = (bundle.path(""), bundle.id().to_string());
    let run = ["--cgroup-manager", "disabled", "run", "--bundle", path, &id];
    let output = bundle.command(&run).output().unwrap();
    assert_eq!(stdout(&output), "0\n", "{}", stderr(&output));
}

#[test]
fn annotations_of_crun_are_heeded() {
    let Some(mut bundle) = Bundle::new("annotations_of_crun_are_heeded") else { return };
    let rule = json!({"names": ["no_such_call"], "action": "SCMP_ACT_ERRNO"});
    bundle.config["linux"]["seccomp"] =
        json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
    assert_eq!(stdout(&bundle.sh("echo run")), "run\n");
    bundle.config["annotations"] = json!({"run.oci.seccomp_fail_unknown_syscall": "1"});
    let said = stderr(&bundle.sh("true"));
    assert!(said.contains("syscalls[0].names[0]: unknown system call"), "{said}");
}

#[test]
fn delete_takes_a_pattern() {
    let Some(mut bundle) = Bundle::new("delete_takes_a_pattern") else { return };
    // Each has a cgroup of its own name.
    bundle.config["linux"]["cgroupsPath"] = json!("");
    bundle.args(&["sleep", "100"]).write();
    let path = bundle.path("");
    for number in 1..4 {
        let id = format!("{}-{number}", bundle.id());
        let mut run = bundle.command(&["run", "--detach", "--bundle", path, &id]);
        let null = std::process::Stdio::null;
        assert!(run.stdout(null()).stderr(null()).status().unwrap().success());
    }
    let pattern = format!("^{}-[12]$", bundle.id());
    let output = bundle.runtime(&["delete", "--force", "--regex", &pattern]);
    assert!(output.status.success(), "{}", stderr(&output));
    let left = stdout(&bundle.runtime(&["list", "--quiet"]));
    assert_eq!(left, format!("{}-3\n", bundle.id()));
    let all = bundle.runtime(&["delete", "--force", "--regex", "3$"]);
    assert!(all.status.success(), "{}", stderr(&all));
}

/// A user namespace may not mount sysfs for a network namespace that it does not own.
#[test]
fn the_hosts_sysfs_is_shown_without_a_network_namespace() {
    let test = "the_hosts_sysfs_is_shown_without_a_network_namespace";
    let Some(mut bundle) = Bundle::new(test) else { return };
    let kinds = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    kinds.retain(|kind| kind["type"] != "network");
    kinds.push(json!({"type": "user"}));
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    bundle.config["linux"]["uidMappings"] = map.clone();
    bundle.config["linux"]["gidMappings"] = map;
    std::os::unix::fs::chown(bundle.path("rootfs"), Some(100_000), Some(100_000)).unwrap();
    let output = bundle
        .sh("test -d /sys/class/net/lo && echo shown; grep -o ' /sys ro' /proc/self/mountinfo");
    assert_eq!(stdout(&output), "shown\n /sys ro\n", "{}", stderr(&output));
}
