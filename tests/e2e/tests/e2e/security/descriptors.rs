//! R2: descriptors and directories of the host.

use e2e::watch::Verdict;
use e2e::{Bundle, stderr, stdout, unprotected};
use serde_json::{Value, json};

/// Descriptors of the host's root that a careless caller has left open.
fn leave_open() -> Vec<sys::Fd> {
    let open = |_| sys::fs::open_at(sys::CWD, "/", sys::fs::O_DIRECTORY, 0).unwrap();
    let opened: Vec<sys::Fd> = (0..20).map(open).collect();
    for fd in &opened {
        sys::fs::set_cloexec(fd, false).unwrap();
    }
    opened
}

/// R2 (CVE-2024-21626): no descriptor of the host's leaks.
#[test]
fn r2_descriptors_do_not_leak() {
    let Some(mut bundle) = Bundle::new("r2_descriptors_do_not_leak") else { return };
    let _opened = leave_open();
    // ls itself holds one: the directory that it reads.
    const OWN: &str = "0\n1\n2\n3\n";
    let output = bundle.sh("ls /proc/self/fd");
    assert_eq!(stdout(&output), OWN, "{}", stderr(&output));
    bundle.args(&["sleep", "100"]).start();
    let id = bundle.id().to_string();
    let output = bundle.runtime(&["exec", &id, "ls", "/proc/self/fd"]);
    assert_eq!(stdout(&output), OWN, "{}", stderr(&output));
    // Other programs do get them.
    let output = unprotected("ls /proc/self/fd");
    assert!(stdout(&output).lines().count() > 20, "{}", stdout(&output));
}

/// R2: no working directory leads out, in `run` and `exec`.
#[test]
fn r2_no_working_directory_leads_out() {
    let Some(mut bundle) = Bundle::new("r2_no_working_directory_leads_out") else { return };
    let _opened = leave_open();
    bundle.args(&["sleep", "100"]).start();
    let id = bundle.id().to_string();
    let mut other = Bundle::new("r2_no_working_directory_leads_out").unwrap();
    for number in 3..40 {
        let cwd = format!("/proc/self/fd/{number}");
        other.config["process"]["cwd"] = json!(cwd);
        let output = other.sh("cat etc/hostname; pwd");
        assert_eq!(output.status.code(), Some(1), "{number}: {}", stdout(&output));
        let output = bundle.runtime(&["exec", "--cwd", &cwd, &id, "cat", "etc/hostname"]);
        assert_eq!(output.status.code(), Some(255), "{number}: {}", stdout(&output));
    }
    // Without the two protections such a directory is the host's.
    let root = bundle.path("rootfs");
    let output = unprotected(&format!(
        "mount -t proc proc {root}/proc && for n in $(seq 3 40); do \
         chroot {root} /bin/sh -c \"cd /proc/self/fd/$n && cat etc/hostname\" 2>/dev/null; done; :"
    ));
    let host = std::fs::read_to_string("/etc/hostname").unwrap();
    assert!(stdout(&output).contains(host.trim()), "{}{}", stdout(&output), stderr(&output));
}

/// R2 for a first process that never executes anything: the reaper of `--init` holds nothing.
#[test]
fn r2_the_reaping_init_holds_nothing_of_the_host() {
    let test = "r2_the_reaping_init_holds_nothing_of_the_host";
    let Some(mut bundle) = Bundle::new(test) else { return };
    let _opened = leave_open();
    let script = "ls -l /proc/1/fd /proc/1/exe; cat /proc/1/fd/*/etc/hostname; \
                  cat /proc/1/root/etc/hostname; ls /proc/1/fd";
    // Root of the container may look at its first process.
    for set in ["bounding", "effective", "permitted"] {
        bundle.config["process"]["capabilities"][set] = json!(["CAP_SYS_PTRACE"]);
    }
    bundle.args(&["sh", "-c", script]).write();
    let (path, id) = (bundle.path(""), bundle.id().to_string());
    let output = bundle.runtime(&["run", "--init", "--bundle", path, &id]);
    let text = stdout(&output);
    let host = std::fs::read_to_string("/etc/hostname").unwrap();
    assert!(!text.contains(host.trim()), "{text}");
    let outside = |line: &&str| {
        let target = line.split(" -> ").nth(1).unwrap_or("");
        target.starts_with('/') && !line.contains("/proc/1/exe") && target != "/dev/null"
    };
    assert_eq!(text.lines().filter(outside).collect::<Vec<_>>(), [""; 0], "{text}");
    // Its signals.
    assert!(text.ends_with("0\n1\n2\n3\n"), "{text}");
    // Without the right to trace, it cannot even look.
    for set in ["bounding", "effective", "permitted"] {
        bundle.config["process"]["capabilities"][set] = json!([]);
    }
    bundle.args(&["sh", "-c", "busybox readlink /proc/1/fd/0 && echo seen"]).write();
    let output = bundle.runtime(&["run", "--init", "--bundle", path, &id]);
    assert!(!stdout(&output).contains("seen"), "{}", stdout(&output));
}

/// R2 on kernels without `close_range`, for a container that has no `/proc`, or its own idea of it.
#[test]
fn r2_descriptors_do_not_leak_without_close_range() {
    let test = "r2_descriptors_do_not_leak_without_close_range";
    let Some(mut bundle) = Bundle::new(test) else { return };
    let _opened = leave_open();
    const CLOSE_RANGE: i32 = 436;
    let without = |_: usize, notice: &sys::seccomp::Notice| match notice.number {
        CLOSE_RANGE => Verdict::Fail(sys::Errno::ENOSYS),
        _ => Verdict::Continue,
    };
    let mounts = |config: &mut Value| {
        config["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/proc");
        config["linux"]["maskedPaths"] = json!([]);
        config["linux"]["readonlyPaths"] = json!([]);
    };
    mounts(&mut bundle.config);
    std::fs::create_dir_all(bundle.path("rootfs/proc/self/fd")).unwrap();
    // A shell finds out by using them.
    let script = "for n in 3 4 5 6 7 8 9; do { true <&$n; } 2>/dev/null && echo open $n; done; \
                  echo end";
    bundle.args(&["sh", "-c", script]).write();
    let (path, id) = (bundle.path(""), bundle.id().to_string());
    let mut run = bundle.watched(&["run", "--bundle", path, &id], without);
    let status = run.wait();
    assert_eq!((status.code(), bundle.said().as_str()), (Some(0), "end\n"));
    let output = unprotected(script);
    assert!(stdout(&output).contains("open 7\n"), "{}", stdout(&output));
}
