//! The life of a container through the command line.

use e2e::{Bundle, stderr, stdout};
use serde_json::json;

#[test]
fn run_hands_on_output_and_exit_status() {
    let Some(mut bundle) = Bundle::new("run_hands_on_output_and_exit_status") else { return };
    let output = bundle.sh("echo pid $$; echo to stderr >&2; exit 7");
    assert_eq!(stdout(&output), "pid 1\n");
    assert_eq!(stderr(&output), "to stderr\n");
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(bundle.leftovers(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_signal_is_128_and_its_number() {
    let Some(mut bundle) = Bundle::new("a_signal_is_128_and_its_number") else { return };
    // The first process of a pid namespace has no default actions: a child dies.
    let output = bundle.sh("sh -c 'kill -9 $$'; exit $?");
    assert_eq!(output.status.code(), Some(137));
}

#[test]
fn create_start_exec_kill_delete() {
    let Some(mut bundle) = Bundle::new("create_start_exec_kill_delete") else { return };
    bundle.args(&["sleep", "100"]).write();
    let id = bundle.id().to_string();
    let path = bundle.path("");
    let quiet = std::process::Stdio::null;
    let mut create = bundle.command(&["create", "--bundle", path, &id]);
    assert!(create.stdout(quiet()).stderr(quiet()).status().unwrap().success());
    assert_eq!(bundle.status(), "created");
    assert!(bundle.runtime(&["start", &id]).status.success());
    assert_eq!(bundle.status(), "running");
    let again = bundle.runtime(&["start", &id]);
    assert!(stderr(&again).contains("cannot start an already running container"));

    let exec = bundle.runtime(&[
        "exec",
        "-e",
        "A=b",
        "--cwd",
        "/bin",
        &id,
        "sh",
        "-c",
        "echo $A $PWD; exit 5",
    ]);
    assert_eq!((stdout(&exec).as_str(), exec.status.code()), ("b /bin\n", Some(5)));
    let missing = bundle.runtime(&["exec", &id, "nosuch"]);
    assert!(stderr(&missing).contains("executable file not found in $PATH"));
    assert_eq!(missing.status.code(), Some(255));

    let refused = bundle.runtime(&["delete", &id]);
    assert!(stderr(&refused).contains("that is not stopped: running"));
    assert!(bundle.runtime(&["kill", &id, "KILL"]).status.success());
    for _ in 0..6000 {
        if bundle.status() == "stopped" {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(bundle.status(), "stopped");
    assert!(bundle.runtime(&["delete", &id]).status.success());
    assert_eq!(bundle.leftovers(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn pause_and_resume() {
    let Some(mut bundle) = Bundle::new("pause_and_resume") else { return };
    bundle.args(&["sleep", "100"]).start();
    let id = bundle.id().to_string();
    assert!(bundle.runtime(&["pause", &id]).status.success());
    assert_eq!(bundle.status(), "paused");
    assert_eq!(bundle.runtime(&["exec", &id, "true"]).status.code(), Some(255));
    assert!(bundle.runtime(&["resume", &id]).status.success());
    assert_eq!(bundle.status(), "running");
    assert!(bundle.runtime(&["exec", &id, "true"]).status.success());
}

#[test]
fn a_container_in_the_foreground_obeys_the_other_verbs() {
    let test = "a_container_in_the_foreground_obeys_the_other_verbs";
    let Some(mut bundle) = Bundle::new(test) else { return };
    bundle.args(&["sleep", "100"]).write();
    let (path, id) = (bundle.path(""), bundle.id().to_string());
    let start = |bundle: &Bundle| {
        let run = bundle.command(&["run", "--bundle", path, &id]).spawn().unwrap();
        while bundle.status() != "running" {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        run
    };
    let mut run = start(&bundle);
    for args in [&["pause", &id][..], &["resume", &id], &["update", "--pids-limit", "9", &id]] {
        let output = bundle.runtime(args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        assert!(run.try_wait().unwrap().is_none(), "{args:?} waits for its end");
    }
    // A hierarchy that only `update` or `pause` has put into use is removed, too.
    assert!(bundle.runtime(&["kill", &id, "KILL"]).status.success());
    assert_eq!(run.wait().unwrap().code(), Some(137));
    assert_eq!(bundle.leftovers(), Vec::<std::path::PathBuf>::new());

    let mut run = start(&bundle);
    assert!(bundle.runtime(&["delete", "--force", &id]).status.success());
    assert_eq!(run.wait().unwrap().code(), Some(137));
    assert_eq!(bundle.leftovers(), Vec::<std::path::PathBuf>::new());
}

/// What a cgroup file of the container's says.
fn limit(bundle: &Bundle, v1: (&str, &str), v2: &str) -> String {
    let path = match bundle.cgroup() {
        Some(dir) => dir.join(v2),
        None => std::path::Path::new("/sys/fs/cgroup").join(v1.0).join(bundle.id()).join(v1.1),
    };
    std::fs::read_to_string(path).unwrap().trim().to_string()
}

fn memory_limit(bundle: &Bundle) -> String {
    limit(bundle, ("memory", "memory.limit_in_bytes"), "memory.max")
}

fn pids_limit(bundle: &Bundle) -> String {
    limit(bundle, ("pids", "pids.max"), "pids.max")
}

#[test]
fn limits_are_set_and_updated() {
    let Some(mut bundle) = Bundle::new("limits_are_set_and_updated") else { return };
    bundle.config["linux"]["resources"] =
        json!({"memory": {"limit": 64 << 20}, "pids": {"limit": 30}});
    bundle.args(&["sleep", "100"]).start();
    let id = bundle.id().to_string();
    assert_eq!(memory_limit(&bundle), (64 << 20).to_string());
    assert_eq!(pids_limit(&bundle), "30");
    let update = bundle.runtime(&["update", "--memory", "32m", "--pids-limit", "20", &id]);
    assert!(update.status.success(), "{}", stderr(&update));
    assert_eq!(memory_limit(&bundle), (32 << 20).to_string());
    assert_eq!(pids_limit(&bundle), "20");
}

/// One batch of the kernel's would be all that these may have; without care, one of a hundred such
/// containers is killed in execve with cgroup v1, and one of three with v2.
#[test]
fn a_container_with_256_kib_starts() {
    let Some(mut bundle) = Bundle::new("a_container_with_256_kib_starts") else { return };
    const CONTAINERS: usize = 10;
    for kib in [256, 288] {
        bundle.config["linux"]["resources"] = json!({"memory": {"limit": kib << 10}});
        for number in 0..CONTAINERS {
            let output = bundle.args(&["true"]).run();
            assert!(output.status.success(), "{number} of {kib} KiB: {}", stderr(&output));
            assert_eq!(bundle.leftovers(), Vec::<std::path::PathBuf>::new());
        }
        // And it has all of its limit.
        bundle.args(&["sleep", "100"]).start();
        assert_eq!(memory_limit(&bundle), (kib << 10).to_string());
        let id = bundle.id().to_string();
        let delete = bundle.runtime(&["delete", "--force", &id]);
        assert!(delete.status.success(), "{}", stderr(&delete));
    }
}

/// It is told what may be wrong.
#[test]
fn a_container_with_too_little_memory_says_so() {
    let Some(mut bundle) = Bundle::new("a_container_with_too_little_memory_says_so") else {
        return;
    };
    bundle.config["linux"]["resources"] = json!({"memory": {"limit": 64 << 10}});
    let output = bundle.args(&["true"]).run();
    let text = stderr(&output);
    assert!(text.contains("linux.resources.memory.limit may be too low"), "{text}");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(bundle.leftovers(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn hooks_run_in_order_with_the_state() {
    let Some(mut bundle) = Bundle::new("hooks_run_in_order_with_the_state") else { return };
    let log = bundle.path("hooks.log");
    let hook = |name: &str| {
        let script = format!("read state; echo {name} \"$state\" >> {log}");
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "timeout": 10}])
    };
    bundle.config["hooks"] = json!({
        "prestart": hook("prestart"),
        "createRuntime": hook("createRuntime"),
        "createContainer": hook("createContainer"),
        "poststart": hook("poststart"),
        "poststop": hook("poststop"),
    });
    let output = bundle.args(&["true"]).run();
    assert!(output.status.success(), "{}", stderr(&output));
    let text = std::fs::read_to_string(log).unwrap();
    let names: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    let expected = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];
    assert_eq!(names, expected);
    assert!(text.lines().all(|line| line.contains(bundle.id())), "{text}");
}

#[test]
fn a_failing_hook_fails_the_container_and_leaves_nothing() {
    let Some(mut bundle) = Bundle::new("a_failing_hook_fails_the_container_and_leaves_nothing")
    else {
        return;
    };
    let script = "echo reason >&2; exit 3";
    bundle.config["hooks"] =
        json!({"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]});
    let output = bundle.args(&["true"]).run();
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("error running createRuntime hook #0: /bin/sh: exit status 3"), "{text}");
    assert!(text.contains("output: reason"), "{text}");
    assert_eq!(bundle.leftovers(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_user_namespace_maps_ids() {
    let Some(mut bundle) = Bundle::new("a_user_namespace_maps_ids") else { return };
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    bundle.config["linux"]["uidMappings"] = map.clone();
    bundle.config["linux"]["gidMappings"] = map;
    // The container's root has to own its root directory to make mount points in it.
    std::os::unix::fs::chown(bundle.path("rootfs"), Some(100_000), Some(100_000)).unwrap();
    let output = bundle.sh("id -u; cat /proc/self/uid_map; echo x > /dev/null && echo null");
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    assert_eq!(words, ["0", "0", "100000", "65536", "null"]);
}

#[test]
fn mounts_get_their_attributes() {
    let Some(mut bundle) = Bundle::new("mounts_get_their_attributes") else { return };
    let data = bundle.path("data");
    std::fs::create_dir(data).unwrap();
    std::fs::write(format!("{data}/file"), "content").unwrap();
    bundle.config["mounts"].as_array_mut().unwrap().extend([
        json!({"destination": "/new/dir", "type": "bind", "source": "data", "options": ["rbind", "ro"]}),
        json!({"destination": "/new/file", "source": format!("{data}/file"), "options": ["bind"]}),
        json!({"destination": "/bin2", "type": "tmpfs", "options": ["tmpcopyup", "nosuid", "size=8m"]}),
    ]);
    std::fs::create_dir(bundle.path("rootfs/bin2")).unwrap();
    std::fs::write(bundle.path("rootfs/bin2/x"), "copied").unwrap();
    bundle.config["root"]["readonly"] = json!(false);
    let output = bundle.sh(
        "cat /new/dir/file /new/file /bin2/x; echo; echo y 2>/dev/null > /new/dir/file || echo ro; \
         echo z > /bin2/x && cat /bin2/x",
    );
    assert_eq!(stdout(&output), "contentcontentcopied\nro\nz\n", "{}", stderr(&output));
    assert_eq!(std::fs::read_to_string(bundle.path("rootfs/bin2/x")).unwrap(), "copied");
}

#[test]
fn the_seccomp_filter_holds_in_run_and_exec() {
    let Some(mut bundle) = Bundle::new("the_seccomp_filter_holds_in_run_and_exec") else { return };
    bundle.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]
    });
    bundle.config["root"]["readonly"] = json!(false);
    bundle.args(&["sh", "-c", "busybox mkdir /x 2>&1; sleep 100"]);
    bundle.start();
    let id = bundle.id().to_string();
    let exec = bundle.runtime(&["exec", &id, "busybox", "mkdir", "/y"]);
    assert!(stderr(&exec).contains("No space left on device"), "{}", stderr(&exec));
    assert!(!std::path::Path::new(bundle.path("rootfs/x")).exists());
}

#[test]
fn the_reaping_init_passes_the_exit_on() {
    let Some(mut bundle) = Bundle::new("the_reaping_init_passes_the_exit_on") else { return };
    bundle.args(&["sh", "-c", "echo $$; sleep 0.1 & exit 9"]).write();
    let (path, id) = (bundle.path(""), bundle.id().to_string());
    let output = bundle.runtime(&["run", "--init", "--bundle", path, &id]);
    assert_eq!((stdout(&output).as_str(), output.status.code()), ("2\n", Some(9)));
}

/// `create`; the descriptors of the test stay its own.
fn create(bundle: &Bundle, more: &[&str]) -> bool {
    let quiet = std::process::Stdio::null;
    let args = [&["create", "--bundle", bundle.path(""), bundle.id()], more].concat();
    bundle.command(&args).stdout(quiet()).stderr(quiet()).status().unwrap().success()
}

#[test]
fn start_waits_for_its_hooks_and_for_the_program() {
    let Some(mut bundle) = Bundle::new("start_waits_for_its_hooks_and_for_the_program") else {
        return;
    };
    let script = "busybox sleep 0.3; echo reason >&2; exit 3";
    let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}]);
    for more in [&[][..], &["--init"]] {
        bundle.config["hooks"] = json!({"startContainer": hook});
        bundle.args(&["true"]).write();
        assert!(create(&bundle, more));
        let id = bundle.id().to_string();
        let start = bundle.runtime(&["start", &id]);
        let text = stderr(&start);
        assert!(text.contains("error running startContainer hook #0"), "{text}");
        assert!(text.contains("output: reason"), "{text}");
        assert!(bundle.runtime(&["delete", "--force", &id]).status.success());

        // Found when it is created, and unusable when it is started.
        std::fs::write(bundle.path("rootfs/bin/broken"), "no program").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(bundle.path("rootfs/bin/broken"), mode).unwrap();
        bundle.config["hooks"] = json!({});
        bundle.args(&["broken"]).write();
        assert!(create(&bundle, more));
        let start = bundle.runtime(&["start", &id]);
        assert!(stderr(&start).contains("exec broken: "), "{}", stderr(&start));
        assert!(bundle.runtime(&["delete", "--force", &id]).status.success());
    }
}

#[test]
fn exec_binds_to_cpus_and_an_empty_profile_is_none() {
    let Some(mut bundle) = Bundle::new("exec_binds_to_cpus_and_an_empty_profile_is_none") else {
        return;
    };
    bundle.config["process"]["execCPUAffinity"] = json!({"initial": "0", "final": "0"});
    bundle.config["linux"]["seccomp"] = json!({});
    bundle.args(&["sleep", "100"]).start();
    let id = bundle.id().to_string();
    let exec = bundle.runtime(&["exec", &id, "grep", "Cpus_allowed_list", "/proc/self/status"]);
    assert_eq!(stdout(&exec), "Cpus_allowed_list:\t0\n", "{}", stderr(&exec));
}
