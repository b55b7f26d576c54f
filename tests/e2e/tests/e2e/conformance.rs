//! Cases that other projects' suites found wrong once, in a form that runs in every test run.

use e2e::{Bundle, stderr, stdout};
use serde_json::json;

/// A profile from before `faccessat2`, `close_range`, `clone3` and `execveat`, which is in force
/// while the container's process is still being set up.
#[test]
fn a_strict_old_profile_without_no_new_privs_starts() {
    let Some(mut bundle) = Bundle::new("a_strict_old_profile_without_no_new_privs_starts") else {
        return;
    };
    let allowed = [
        "access",
        "arch_prctl",
        "brk",
        "capget",
        "capset",
        "chdir",
        "close",
        "dup",
        "dup2",
        "dup3",
        "execve",
        "exit",
        "exit_group",
        "fchdir",
        "fcntl",
        "fstat",
        "getcwd",
        "getegid",
        "geteuid",
        "getgid",
        "getpid",
        "getppid",
        "getuid",
        "ioctl",
        "lseek",
        "mmap",
        "mprotect",
        "munmap",
        "newfstatat",
        "open",
        "openat",
        "prctl",
        "prlimit64",
        "read",
        "rt_sigaction",
        "rt_sigprocmask",
        "rt_sigreturn",
        "sendfile",
        "set_robust_list",
        "set_tid_address",
        "setgid",
        "setgroups",
        "setpgid",
        "setresgid",
        "setresuid",
        "setuid",
        "stat",
        "umask",
        "uname",
        "wait4",
        "write",
        "writev",
        "clone",
        "fork",
        "pipe2",
        "ppoll",
        "poll",
        "vfork",
        "getrandom",
        "rseq",
    ];
    bundle.config["process"]["noNewPrivileges"] = json!(false);
    bundle.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": allowed.as_slice(), "action": "SCMP_ACT_ALLOW"}]
    });
    let hook = json!({"path": "/bin/busybox", "args": ["busybox", "true"]});
    bundle.config["hooks"] = json!({"startContainer": [hook]});
    let output = bundle.sh("echo started");
    assert_eq!((stdout(&output).as_str(), stderr(&output).as_str()), ("started\n", ""));
}

/// A container that waits for `start` keeps nothing of its creator's open: a reader of a pipe would
/// wait for it, and a lock would stay taken.
#[test]
fn a_created_container_holds_no_descriptor_of_its_creator() {
    let test = "a_created_container_holds_no_descriptor_of_its_creator";
    let Some(mut bundle) = Bundle::new(test) else { return };
    bundle.args(&["true"]).write();
    let (path, id) = (bundle.path(""), bundle.id().to_string());
    let log = bundle.path("log");
    let runtime = e2e::program("tare-runtime");
    let script = format!(
        "exec 7<{path}/config.json 250<{path}/config.json; {} --log {log} --root {path}/state \
         create --bundle {path} {id} </dev/null >/dev/null 2>&1",
        runtime.display()
    );
    let status = std::process::Command::new("bash").args(["-c", &script]).status().unwrap();
    assert!(status.success(), "{}", std::fs::read_to_string(log).unwrap_or_default());
    let state = stdout(&bundle.runtime(&["state", &id]));
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    let links = std::fs::read_dir(format!("/proc/{}/fd", state["pid"])).unwrap();
    for link in links.flatten() {
        let target = std::fs::read_link(link.path()).unwrap();
        assert!(!target.ends_with("config.json"), "{} is open", target.display());
    }
}

#[test]
fn a_created_container_in_a_user_namespace_starts() {
    let Some(mut bundle) = Bundle::new("a_created_container_in_a_user_namespace_starts") else {
        return;
    };
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    bundle.config["linux"]["uidMappings"] = map.clone();
    bundle.config["linux"]["gidMappings"] = map;
    std::os::unix::fs::chown(bundle.path("rootfs"), Some(100_000), Some(100_000)).unwrap();
    bundle.args(&["sleep", "100"]).start();
    assert_eq!(bundle.status(), "running");
}

/// The specification lets a container share the runtime's mount namespace; what is mounted there
/// for it goes away with it.
#[test]
fn a_shared_mount_namespace_is_left_as_it_was() {
    let Some(mut bundle) = Bundle::new("a_shared_mount_namespace_is_left_as_it_was") else {
        return;
    };
    let kinds = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    kinds.retain(|kind| kind["type"] != "mount");
    bundle.config["root"]["readonly"] = json!(false);
    bundle.config["linux"]["maskedPaths"] = json!([]);
    bundle.config["linux"]["readonlyPaths"] = json!([]);
    let output = bundle.sh("ls /proc/self/exe && cat /proc/sys/kernel/hostname");
    assert_eq!(stdout(&output), "/proc/self/exe\ntare\n", "{}", stderr(&output));
    bundle.config["root"]["readonly"] = json!(true);
    let read_only = bundle.run();
    assert!(stderr(&read_only).contains("root.readonly"), "{}", stderr(&read_only));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(bundle.path("rootfs")), "{mounts}");
}

#[test]
fn a_root_may_be_shared_below_a_shared_mount() {
    let Some(mut bundle) = Bundle::new("a_root_may_be_shared_below_a_shared_mount") else { return };
    bundle.config["linux"]["rootfsPropagation"] = json!("shared");
    let output = bundle.sh("grep -o 'shared:' /proc/self/mountinfo | busybox head -n 1");
    assert_eq!(stdout(&output), "shared:\n", "{}", stderr(&output));
}
