//! Mounts of a configuration: in order, with what they ask for and no more.

use e2e::{Bundle, stderr, stdout};
use serde_json::{Value, json};
use std::process::Command;

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

/// A source below the root directory is what the mounts before it made there.
#[test]
fn a_mount_may_show_what_earlier_mounts_made() {
    let test = "a_mount_may_show_what_earlier_mounts_made";
    for (users, mapped) in [(false, false), (true, false), (false, true), (true, true)] {
        let Some(mut bundle) = Bundle::new(test) else { return };
        let (source, rootfs) = (bundle.path("source"), bundle.path("rootfs"));
        std::fs::create_dir_all(format!("{source}/below")).unwrap();
        std::fs::write(format!("{source}/below/file"), "shown").unwrap();
        if users {
            user_namespace(&mut bundle);
        }
        add(&mut bundle, json!({"destination": "/first", "source": source, "options": ["bind"]}));
        let mut second = json!({
            "destination": format!("{rootfs}/second"),
            "source": format!("{rootfs}/first/below"),
            "options": ["rbind", "rprivate"]
        });
        if mapped {
            let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
            second["uidMappings"] = map.clone();
            second["gidMappings"] = map;
        }
        add(&mut bundle, second);
        let owner = match (users, mapped) {
            (false, false) | (true, true) => "0",
            (true, false) => "65534",
            (false, true) => "100000",
        };
        let text = runs(&mut bundle, "cat /second/file; busybox stat -c :%u /second/file");
        assert_eq!(text, format!("shown:{owner}\n"), "{users} {mapped}");
    }
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

#[test]
fn a_tmpfs_on_a_new_directory_is_everybodys() {
    let test = "a_tmpfs_on_a_new_directory_is_everybodys";
    let Some(mut bundle) = Bundle::new(test) else { return };
    bundle.config["root"]["readonly"] = json!(false);
    add(&mut bundle, json!({"destination": "/new/one", "type": "tmpfs", "source": "tmpfs"}));
    assert_eq!(runs(&mut bundle, "busybox stat -c %a /new/one"), "1777\n");
}

/// Whoever could mount another procfs would see it without masks.
#[test]
fn without_a_pivot_the_hosts_procfs_is_out_of_reach() {
    let test = "without_a_pivot_the_hosts_procfs_is_out_of_reach";
    let Some(mut bundle) = Bundle::new(test) else { return };
    bundle.args(&["sh", "-c", "grep -E ' (proc|sysfs) ' /proc/self/mountinfo"]);
    bundle.config["linux"]["readonlyPaths"] = json!([]);
    bundle.write();
    let (dir, id) = (bundle.path(""), bundle.id().to_string());
    let output = bundle.runtime(&["run", "--no-pivot", "-b", dir, &id]);
    let text = stdout(&output);
    let mut points: Vec<&str> = text.lines().filter_map(|line| line.split(' ').nth(4)).collect();
    points.sort_unstable();
    assert!(points == ["/proc", "/sys"] || points == ["/proc"], "{text}{}", stderr(&output));
}

/// The kernel locks the attributes of mounts that come from another user's namespace.
#[test]
fn in_a_user_namespace_the_protection_of_the_hosts_mounts_stays() {
    let test = "in_a_user_namespace_the_protection_of_the_hosts_mounts_stays";
    let Some(mut bundle) = Bundle::new(test) else { return };
    let source = bundle.path("source").to_string();
    std::fs::create_dir(&source).unwrap();
    let mount = |arguments: &[&str]| {
        assert!(Command::new("mount").args(arguments).status().unwrap().success());
    };
    mount(&["-t", "tmpfs", "-o", "strictatime", "tmpfs", &source]);
    mount(&["-o", "bind,remount,ro,nosuid,noatime", &source]);
    user_namespace(&mut bundle);
    bundle.args(&["busybox", "grep", " /mnt ", "/proc/mounts"]);
    let mounts = bundle.config["mounts"].clone();
    let mut with = |option: &str| {
        bundle.config["mounts"] = mounts.clone();
        let options = ["bind", option];
        add(&mut bundle, json!({"destination": "/mnt", "source": source, "options": options}));
        bundle.write();
        let (dir, id) = (bundle.path(""), bundle.id().to_string());
        bundle.runtime(&["run", "-b", dir, &id])
    };
    for option in ["nodev", "norelatime", "ro", "noatime"] {
        let output = with(option);
        assert!(stdout(&output).contains("ro,nosuid"), "{option}: {}", stderr(&output));
        assert!(stdout(&output).contains("noatime"), "{option}: {}", stdout(&output));
    }
    let refused = ["rw", "suid", "strictatime", "relatime", "nodiratime"].map(|option| {
        let output = with(option);
        (option, stderr(&output))
    });
    mount(&["--bind", "-o", "remount,rw", &source]);
    assert!(Command::new("umount").arg(&source).status().unwrap().success());
    for (option, text) in refused {
        let start = "tare-runtime run failed: unable to start container process: error during \
                     container init: error mounting on \"/mnt\" (mounts[";
        assert!(text.starts_with(start), "{option}: {text}");
        assert!(text.contains("operation not permitted"), "{option}: {text}");
    }
}

/// The old root goes away in the container only, and the new one keeps the propagation that its
/// mounts ask for.
#[test]
fn parting_from_the_old_root_is_not_passed_on() {
    let test = "parting_from_the_old_root_is_not_passed_on";
    let Some(mut bundle) = Bundle::new(test) else { return };
    let (outside, source) = (bundle.path("outside"), bundle.path("source"));
    std::fs::create_dir(outside).unwrap();
    std::fs::create_dir(source).unwrap();
    bundle.config["linux"]["rootfsPropagation"] = json!("shared");
    let options = ["bind", "shared"];
    add(&mut bundle, json!({"destination": "/mnt", "source": source, "options": options}));
    bundle.args(&["sh", "-c", "grep ' /mnt ' /proc/self/mountinfo"]).write();
    let script = format!(
        "mount --make-rshared / && mount -t tmpfs tmpfs {outside} && touch {outside}/file && \
         {} --root {} run -b {} {} && ls {outside}",
        e2e::program("tare-runtime").display(),
        bundle.path("state"),
        bundle.path(""),
        bundle.id(),
    );
    let output = Command::new("unshare")
        .args(["-m", "--propagation", "private", "sh", "-c", &script])
        .output()
        .unwrap();
    let text = stdout(&output);
    assert!(text.contains(" shared:"), "{text}{}", stderr(&output));
    assert!(text.ends_with("\nfile\n"), "{text}{}", stderr(&output));
}
