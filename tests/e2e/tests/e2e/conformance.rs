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
        let kept = target.ends_with("exec.fifo") || target.ends_with("log");
        let host = target.starts_with(path) && !kept;
        assert!(!host && !target.ends_with("config.json"), "{} is open", target.display());
        assert!(!target.ends_with("rootfs"), "{} is open", target.display());
    }
}

/// As the first process of its namespace it would not get them otherwise.
#[test]
fn a_created_container_ends_by_the_signals_that_stop_programs() {
    let test = "a_created_container_ends_by_the_signals_that_stop_programs";
    let Some(mut bundle) = Bundle::new(test) else { return };
    bundle.args(&["true"]).write();
    let (path, id) = (bundle.path(""), bundle.id().to_string());
    for signal in ["HUP", "INT", "QUIT", "TERM"] {
        let mut create = bundle.command(&["create", "--bundle", path, &id]);
        assert!(create.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
        let kill = bundle.runtime(&["kill", &id, signal]);
        assert!(kill.status.success(), "{}", stderr(&kill));
        for _ in 0..6000 {
            if bundle.status() == "stopped" {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert_eq!(bundle.status(), "stopped", "{signal}");
        let delete = bundle.runtime(&["delete", &id]);
        assert!(delete.status.success(), "{}", stderr(&delete));
    }
}

#[test]
fn a_created_container_in_a_user_namespace_starts() {
    let Some(mut bundle) = Bundle::new("a_created_container_in_a_user_namespace_starts") else {
        return;
    };
    bundle.give_users();
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

/// The caller's own mount of the root stays, whoever unmounted what the runtime made on it. Below a
/// shared mount, as all are where systemd runs, the kernel repeats a mount on it in the peer below.
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
    for (propagation, with_container) in [("--make-private", 2), ("--make-shared", 3)] {
        run("mount", &["--bind", dir, dir]);
        // In no group with the mount that it is made from.
        run("mount", &["--make-private", dir]);
        run("mount", &[propagation, dir]);
        run("mount", &["--bind", rootfs, rootfs]);
        for unmount_early in [false, true] {
            // Standard output goes to the container, which would keep a pipe open.
            let mut create = bundle.command(&["create", "-b", dir, &id]);
            assert!(create.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
            assert_eq!(mounted(), with_container, "{propagation}");
            if unmount_early {
                run("umount", &["-l", rootfs]);
                assert_eq!(mounted(), 1, "{propagation}");
            }
            let delete = bundle.runtime(&["delete", "--force", &id]);
            assert_eq!((stderr(&delete).as_str(), mounted()), ("", 1), "{propagation}");
        }
        run("umount", &["-l", rootfs]);
        run("umount", &["-l", dir]);
        assert_eq!(bundle.leftovers(), Vec::<std::path::PathBuf>::new(), "{propagation}");
    }
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
    assert_eq!(stdout(&output), "i686\n", "{}", stderr(&output));
    assert!(stderr(&output).contains("nsexec: affinity: 0x1"), "{}", stderr(&output));
}

#[test]
fn relative_paths_are_masked_from_the_root() {
    let Some(mut bundle) = Bundle::new("relative_paths_are_masked_from_the_root") else { return };
    bundle.config["linux"]["readonlyPaths"] = json!(["not_there", "proc/sys"]);
    bundle.config["linux"]["maskedPaths"] = json!(["not_there", "proc/uptime"]);
    let output = bundle.sh("cat /proc/uptime; grep -o ' /proc/sys ro' /proc/self/mountinfo");
    assert_eq!((stdout(&output).as_str(), stderr(&output).as_str()), (" /proc/sys ro\n", ""));
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
    assert_eq!((stdout(&output).as_str(), stderr(&output).as_str()), ("two\nunset\n", ""));
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
    let text = "tare-runtime start failed: unable to start container process: error during \
                container init: ";
    assert!(stderr(&start).starts_with(text), "{}", stderr(&start));
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

fn runs(bundle: &mut Bundle, script: &str) -> String {
    let output = bundle.sh(script);
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output)
}

#[test]
fn start_hooks_have_the_programs_environment_and_filter() {
    let test = "start_hooks_have_the_programs_environment_and_filter";
    let Some(mut bundle) = Bundle::new(test) else { return };
    let hook = |script: &str| json!({"startContainer": [{"path": "/bin/busybox", "args": ["sh", "-euc", script]}]});
    bundle.config["process"]["env"] = json!(["ONE=two"]);
    bundle.config["process"]["noNewPrivileges"] = json!(true);
    bundle.config["hooks"] = hook("[ $ONE$HOME = two/ ] || [ $ONE$HOME = two/root ]");
    assert_eq!(runs(&mut bundle, "echo started"), "started\n");
    bundle.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]
    });
    bundle.config["hooks"] = hook("/bin/busybox mkdir /dev/shm/made");
    let refused = bundle.sh("echo started");
    let text = stderr(&refused);
    assert!(text.contains("error running startContainer hook #0: /bin/busybox"), "{text}");
    assert_eq!(stdout(&refused), "");
}

#[test]
fn a_user_starts_in_a_directory_that_only_root_may_enter() {
    let test = "a_user_starts_in_a_directory_that_only_root_may_enter";
    let Some(mut bundle) = Bundle::new(test) else { return };
    std::fs::create_dir(bundle.path("rootfs/private")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(bundle.path("rootfs/private"), mode).unwrap();
    bundle.config["process"]["cwd"] = json!("/private");
    bundle.config["process"]["user"] = json!({"uid": 42, "gid": 42});
    bundle.config["process"]["capabilities"] = json!({});
    assert_eq!(runs(&mut bundle, "echo here"), "here\n");
}

/// Without a pid namespace nothing ends the others with the first process.
#[test]
fn killing_reaches_all_that_share_the_hosts_pids() {
    let test = "killing_reaches_all_that_share_the_hosts_pids";
    let Some(mut bundle) = Bundle::new(test) else { return };
    let kinds = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    kinds.retain(|kind| kind["type"] != "pid");
    bundle.args(&["sleep", "100"]).start();
    let id = bundle.id().to_string();
    let pid_file = bundle.path("pid");
    let exec = ["exec", "-d", "--pid-file", pid_file, &id, "sleep", "100"];
    assert!(bundle.command(&exec).status().unwrap().success());
    let pid = std::fs::read_to_string(pid_file).unwrap();
    let process = format!("/proc/{pid}/exe");
    assert!(std::fs::read_link(&process).is_ok());
    assert!(bundle.runtime(&["kill", &id, "0"]).status.success());
    assert!(bundle.runtime(&["kill", &id, "KILL"]).status.success());
    assert!(std::fs::read_link(&process).is_err(), "process {pid} lives");
    let stopped = bundle.runtime(&["kill", &id, "0"]);
    assert!(stderr(&stopped).contains("container not running"), "{}", stderr(&stopped));
}

#[test]
fn a_memory_policy_is_checked_and_reaches_exec() {
    let test = "a_memory_policy_is_checked_and_reaches_exec";
    let Some(mut bundle) = Bundle::new(test) else { return };
    for (policy, expected) in [
        (json!({}), "invalid memory policy mode"),
        (json!({"mode": "MPOL_BIND", "flags": ["x"]}), "invalid memory policy flag"),
        (json!({"mode": "MPOL_BIND", "nodes": "0-99999999999"}), "invalid memory policy nodes"),
        (json!({"mode": "MPOL_DEFAULT", "nodes": "0-7"}), "mode requires 0 nodes but got 8"),
    ] {
        bundle.config["linux"]["memoryPolicy"] = policy;
        let text = stderr(&bundle.sh("true"));
        assert!(text.contains(expected), "{text}");
    }
    bundle.config["linux"]["memoryPolicy"] = json!({"mode": "MPOL_BIND", "nodes": "0"});
    bundle.args(&["sleep", "100"]).start();
    let id = bundle.id().to_string();
    let maps = stdout(&bundle.runtime(&["exec", &id, "cat", "/proc/self/numa_maps"]));
    assert!(maps.lines().all(|line| line.contains(" bind:0")), "{maps}");
}

#[test]
fn masked_twice_is_masked_once() {
    let Some(mut bundle) = Bundle::new("masked_twice_is_masked_once") else { return };
    bundle.config["linux"]["maskedPaths"] = json!(["/proc/acpi", "/proc/keys", "/proc/keys"]);
    assert_eq!(runs(&mut bundle, "grep -c /proc/keys /proc/mounts"), "1\n");
}

#[test]
fn debugging_tells_the_stages() {
    let Some(mut bundle) = Bundle::new("debugging_tells_the_stages") else { return };
    bundle.args(&["sleep", "100"]).write();
    bundle.config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": []});
    bundle.start();
    let id = bundle.id().to_string();
    let log = bundle.path("log");
    let exec = ["--debug", "--log", log, "exec", &id, "true"];
    assert!(bundle.command(&exec).status().unwrap().success());
    let text = std::fs::read_to_string(log).unwrap();
    for stage in ["nsexec container setup", "child process in init()", "setns_init: about to exec"]
    {
        assert!(text.contains(&format!("level=debug msg=\"{stage}\"")), "{text}");
    }
    assert!(bundle.runtime(&["delete", "--force", &id]).status.success());
    // Its standard error is the container's, too.
    bundle.args(&["true"]).write();
    let run = bundle.runtime(&["--debug", "run", "-d", "--bundle", bundle.path(""), &id]);
    let text = stderr(&run);
    assert!(text.contains("level=debug msg=\"seccomp filter flags: 0\""), "{text}");
}

#[test]
fn new_user_and_time_namespaces_go_together() {
    let test = "new_user_and_time_namespaces_go_together";
    let Some(mut bundle) = Bundle::new(test) else { return };
    let kinds = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    kinds.extend([json!({"type": "user"}), json!({"type": "time"})]);
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    bundle.config["linux"]["uidMappings"] = map.clone();
    bundle.config["linux"]["gidMappings"] = map;
    bundle.config["linux"]["timeOffsets"] = json!({"boottime": {"secs": 1337, "nanosecs": 5}});
    std::os::unix::fs::chown(bundle.path("rootfs"), Some(100_000), Some(100_000)).unwrap();
    let offsets = runs(&mut bundle, "cat /proc/self/timens_offsets");
    let boot: Vec<&str> = offsets.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(boot, ["boottime", "1337", "5"]);
}

#[test]
fn exec_reads_its_process_from_a_descriptor_of_the_callers() {
    let test = "exec_reads_its_process_from_a_descriptor_of_the_callers";
    let Some(mut bundle) = Bundle::new(test) else { return };
    bundle.args(&["sleep", "100"]).start();
    let runtime = e2e::program("tare-runtime");
    let (state, id) = (bundle.path("state"), bundle.id());
    let script = format!(
        "{} --root {state} exec -p <(echo '{{\"args\": [\"echo\", \"read\"], \"cwd\": \"/\", \
         \"env\": [\"PATH=/bin\"]}}') {id}",
        runtime.display()
    );
    let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(stdout(&output), "read\n", "{}", stderr(&output));
}
