//! Cases that other projects' suites found wrong once, in a form that runs in every test run.

use e2e::{Bundle, stderr, stdout};
use serde_json::json;
use std::path::Path;
use std::process::Stdio;

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
    let output = bundle.sh("echo >/file");
    assert!(stderr(&output).contains("Read-only file system"), "{}", stderr(&output));
    std::fs::write(Path::new(bundle.path("rootfs")).join("file"), "the caller's").unwrap();
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

/// The caller's own mount of the root stays, whoever unmounted what the runtime made on it.
#[test]
fn the_callers_mount_of_the_root_outlives_a_container_that_shares_it() {
    let test = "the_callers_mount_of_the_root_outlives_a_container_that_shares_it";
    let Some(mut bundle) = Bundle::new(test) else { return };
    let kinds = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    kinds.retain(|kind| kind["type"] != "mount");
    bundle.config["linux"]["maskedPaths"] = json!([]);
    bundle.config["linux"]["readonlyPaths"] = json!([]);
    bundle.args(&["sleep", "100"]).write();
    let (rootfs, dir, id) = (bundle.path("rootfs"), bundle.path(""), bundle.id().to_string());
    let run = |program: &str, args: &[&str]| {
        let status = std::process::Command::new(program).args(args).status().unwrap();
        assert!(status.success(), "{program} {args:?}");
    };
    let mounted = || {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        mounts.lines().filter(|line| line.split(' ').nth(4) == Some(rootfs)).count()
    };
    run("mount", &["--bind", rootfs, rootfs]);
    for unmount_early in [false, true] {
        // Standard output goes to the container, which would keep a pipe open.
        let mut create = bundle.command(&["create", "-b", dir, &id]);
        assert!(create.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
        assert_eq!(mounted(), 2);
        if unmount_early {
            run("umount", &["-l", rootfs]);
        }
        let delete = bundle.runtime(&["delete", "--force", &id]);
        assert_eq!((stderr(&delete).as_str(), mounted()), ("", 1));
    }
    run("umount", &["-l", rootfs]);
}

#[test]
fn exec_keeps_the_execution_domain_and_says_where_it_starts() {
    let Some(mut bundle) = Bundle::new("exec_keeps_the_execution_domain_and_says_where_it_starts")
    else {
        return;
    };
    bundle.config["linux"]["personality"] = json!({"domain": "LINUX32"});
    bundle.config["process"]["execCPUAffinity"] = json!({"initial": "0"});
    bundle.args(&["sleep", "100"]).start();
    let id = bundle.id().to_string();
    let output = bundle.runtime(&["--debug", "exec", &id, "busybox", "uname", "-m"]);
    assert_eq!(
        stdout(&output),
        "i686
",
        "{}",
        stderr(&output)
    );
    assert!(
        stderr(&output).contains(
            "nsexec: affinity: 0x1
"
        ),
        "{}",
        stderr(&output)
    );
}

#[test]
fn relative_paths_are_masked_from_the_root() {
    let Some(mut bundle) = Bundle::new("relative_paths_are_masked_from_the_root") else { return };
    bundle.config["linux"]["readonlyPaths"] = json!(["not_there", "proc/sys"]);
    bundle.config["linux"]["maskedPaths"] = json!(["not_there", "proc/uptime"]);
    let output = bundle.sh("cat /proc/uptime; grep -o ' /proc/sys ro' /proc/self/mountinfo");
    assert_eq!(
        (stdout(&output).as_str(), stderr(&output).as_str()),
        (
            " /proc/sys ro
",
            ""
        )
    );
}

#[test]
fn start_hooks_inherit_the_programs_environment_unless_they_have_their_own() {
    let test = "start_hooks_inherit_the_programs_environment_unless_they_have_their_own";
    let Some(mut bundle) = Bundle::new(test) else { return };
    bundle.config["root"]["readonly"] = json!(false);
    bundle.config["process"]["env"] = json!(["PATH=/bin", "ONE=two"]);
    let script = "echo ${ONE-unset} >>/hooks";
    let hook = json!({"path": "/bin/busybox", "args": ["busybox", "sh", "-c", script]});
    let mut own = hook.clone();
    own["env"] = json!(["TWO=three"]);
    bundle.config["hooks"] = json!({"startContainer": [hook, own]});
    let output = bundle.sh("cat /hooks");
    assert_eq!(
        (stdout(&output).as_str(), stderr(&output).as_str()),
        (
            "two
unset
",
            ""
        )
    );
}

/// Scripts look for the word in what goes wrong; after a failed start the container has stopped.
#[test]
fn an_error_is_called_one_and_leaves_a_stopped_container() {
    let Some(mut bundle) = Bundle::new("an_error_is_called_one_and_leaves_a_stopped_container")
    else {
        return;
    };
    let hook = json!({"path": "/bin/busybox", "args": ["busybox", "false"]});
    bundle.config["hooks"] = json!({"startContainer": [hook]});
    bundle.args(&["true"]).write();
    let (dir, id) = (bundle.path(""), bundle.id().to_string());
    // Standard output goes to the container, which would keep a pipe open.
    let mut create = bundle.command(&["create", "-b", dir, &id]);
    assert!(create.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    let start = bundle.runtime(&["start", &id]);
    assert!(stderr(&start).starts_with("tare-runtime: error: "), "{}", stderr(&start));
    let delete = bundle.runtime(&["delete", &id]);
    assert_eq!((delete.status.code(), stderr(&delete).as_str()), (Some(0), ""));
}

/// Whoever has seen a program's last output may delete its container.
#[test]
fn a_container_is_deleted_in_its_last_moments_but_not_before() {
    let test = "a_container_is_deleted_in_its_last_moments_but_not_before";
    let Some(mut bundle) = Bundle::new(test) else { return };
    let id = bundle.id().to_string();
    for (sleep, refused) in [("0.02", false), ("100", true)] {
        bundle.args(&["busybox", "sleep", sleep]).start();
        let delete = bundle.runtime(&["delete", &id]);
        assert_eq!(stderr(&delete).contains("not stopped: running"), refused, "{sleep}");
        assert_eq!(delete.status.success(), !refused, "{}", stderr(&delete));
    }
}

/// The look at the working directory comes before a filter that forbids it.
#[test]
fn a_profile_may_forbid_getcwd() {
    let Some(mut bundle) = Bundle::new("a_profile_may_forbid_getcwd") else { return };
    bundle.config["process"]["cwd"] = json!("/proc");
    bundle.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["getcwd"], "action": "SCMP_ACT_ERRNO"}]
    });
    for no_new_privileges in [false, true] {
        bundle.config["process"]["noNewPrivileges"] = json!(no_new_privileges);
        let output = bundle.sh("cat sys/kernel/hostname");
        assert_eq!(stdout(&output), "tare\n", "{}", stderr(&output));
    }
}
