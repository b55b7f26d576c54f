//! Rows of the threat table in SECURITY.md.

mod descriptors;
mod entering;
mod swaps;

use e2e::{Bundle, stderr, stdout};
use serde_json::json;
use std::os::unix::fs::symlink;

/// R1 (CVE-2019-5736): the runtime's file, reached through the interpreter trick, is read-only.
#[test]
fn r1_the_runtime_cannot_be_overwritten() {
    let Some(mut bundle) = Bundle::new("r1_the_runtime_cannot_be_overwritten") else { return };
    bundle.args(&["sleep", "100"]).start();
    let id = bundle.id().to_string();
    // While exec runs, its parent on the host shows what the program was started from.
    let mut child = bundle.command(&["exec", &id, "sleep", "100"]).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    let path = format!("/proc/{}/exe", child.id());
    let exe = sys::fs::open_at(sys::CWD, path, sys::fs::O_PATH, 0).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    // The attacker's way: keep a path to the program, and open it once nobody executes it. Other
    // tests execute the same file all the time, so "busy" is tried again.
    let path = format!("/proc/self/fd/{}", exe.raw());
    let errno = (0..1000)
        .map(|_| sys::fs::open_at(sys::CWD, &path, sys::fs::O_WRONLY, 0).unwrap_err())
        .find(|errno| *errno != sys::Errno::ETXTBSY);
    const READ_ONLY: u64 = 1;
    assert_eq!(sys::fs::statfs(&exe).unwrap().f_flags as u64 & READ_ONLY, READ_ONLY);
    assert!(matches!(errno, None | Some(sys::Errno::EROFS)), "{errno:?}");
}

/// R5 (CVE-2019-19921, CVE-2023-27561): /proc and /sys must be real directories.
#[test]
fn r5_proc_must_not_be_a_link() {
    let Some(mut bundle) = Bundle::new("r5_proc_must_not_be_a_link") else { return };
    for name in ["proc", "sys"] {
        let path = bundle.path(&format!("rootfs/{name}"));
        let _ = std::fs::remove_dir(path);
        symlink("/bin", path).unwrap();
        let output = bundle.args(&["true"]).run();
        let text = stderr(&output);
        assert!(text.contains("must be mounted on ordinary directory"), "{text}");
        std::fs::remove_file(path).unwrap();
    }
}

/// R6 (CVE-2025-31133): what masks a path is the host's null device, whatever the image has.
#[test]
fn r6_masks_do_not_come_from_the_container() {
    let Some(mut bundle) = Bundle::new("r6_masks_do_not_come_from_the_container") else { return };
    bundle.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/dev");
    bundle.config["root"]["readonly"] = json!(false);
    std::fs::create_dir(bundle.path("rootfs/dev")).unwrap();
    symlink("/proc/sysrq-trigger", bundle.path("rootfs/dev/null")).unwrap();
    std::fs::write(bundle.path("rootfs/secret"), "secret").unwrap();
    bundle.config["linux"]["maskedPaths"] = json!(["/secret"]);
    let output = bundle.sh("cat /secret; busybox stat -c %t:%T /secret");
    assert_eq!(stdout(&output), "1:3\n", "{}", stderr(&output));
}

/// R9, R10 (CVE-2026-41579, CVE-2026-88264): /dev of the image is a link; the host is untouched.
#[test]
fn r9_a_linked_dev_stays_inside() {
    let Some(mut bundle) = Bundle::new("r9_a_linked_dev_stays_inside") else { return };
    let outside = bundle.path("outside");
    std::fs::create_dir(outside).unwrap();
    symlink(outside, bundle.path("rootfs/dev")).unwrap();
    bundle.config["mounts"]
        .as_array_mut()
        .unwrap()
        .retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
    bundle.config["root"]["readonly"] = json!(false);
    let output = bundle.sh("ls /dev/null");
    assert!(stderr(&output).contains("/dev in the container is not a directory"), "{output:?}");
    assert_eq!(std::fs::read_dir(outside).unwrap().count(), 0);
}

/// R11 (CVE-2026-30892): only numbers that fit are users.
#[test]
fn r11_users_are_numbers() {
    let Some(mut bundle) = Bundle::new("r11_users_are_numbers") else { return };
    bundle.args(&["sleep", "100"]).start();
    let id = bundle.id().to_string();
    let exec = |user: &str| bundle.runtime(&["exec", "-u", user, &id, "sh", "-c", "id -u; id -g"]);
    assert_eq!(stdout(&exec("1")), "1\n0\n");
    assert_eq!(stdout(&exec("7:8")), "7\n8\n");
    for bad in ["", "root", "1x", "-1", "+1", "4294967295", "4294967296", ":1", "1:", "1:x", " 1"] {
        let output = exec(bad);
        assert_eq!(output.status.code(), Some(255), "{bad:?}");
        assert!(stderr(&output).contains("is not a numeric id"), "{bad:?}: {}", stderr(&output));
    }
}

/// R12 (CVE-2022-24769, CVE-2022-29162): no inheritable capabilities by default.
#[test]
fn r12_nothing_is_inheritable() {
    let Some(mut bundle) = Bundle::new("r12_nothing_is_inheritable") else { return };
    let output = bundle.sh("grep -E 'CapInh|CapAmb|NoNewPrivs' /proc/self/status");
    let expected = "CapInh:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n";
    assert_eq!(stdout(&output), expected);
    bundle.args(&["sleep", "100"]).start();
    let id = bundle.id().to_string();
    let exec =
        bundle.runtime(&["exec", "-c", "CAP_NET_RAW", &id, "grep", "CapInh", "/proc/self/status"]);
    assert_eq!(stdout(&exec), "CapInh:\t0000000000000000\n");
}

/// R14: devices that are not in the list cannot be opened.
#[test]
fn r14_other_devices_are_denied() {
    let Some(mut bundle) = Bundle::new("r14_other_devices_are_denied") else { return };
    for set in ["bounding", "effective", "permitted"] {
        bundle.config["process"]["capabilities"][set] = json!(["CAP_MKNOD"]);
    }
    let output = bundle.sh("cd /dev; for d in 1:1 1:2 1:4 1:11 10:200 5:2 7:0 4:0; do \
         busybox mknod n$d c ${d%:*} ${d#*:} && { cat < n$d >/dev/null 2>&1 & p=$!; sleep 0.05; \
         kill $p 2>/dev/null && echo open $d || { wait $p || echo denied $d; }; }; done");
    let text = stdout(&output);
    for device in ["1:1", "1:2", "1:4", "1:11", "7:0", "4:0"] {
        assert!(text.contains(&format!("denied {device}\n")), "{text}{}", stderr(&output));
    }
}

/// L5 (CVE-2024-9676, CVE-2026-47262): a passwd that is a fifo or endless does not hang the start.
#[test]
fn l5_passwd_is_only_a_regular_file() {
    let Some(mut bundle) = Bundle::new("l5_passwd_is_only_a_regular_file") else { return };
    let etc = bundle.path("rootfs/etc");
    std::fs::create_dir(etc).unwrap();
    let passwd = format!("{etc}/passwd");
    sys::fs::mknod(sys::CWD, &passwd, sys::fs::S_IFIFO | 0o644, 0).unwrap();
    assert_eq!(stdout(&bundle.sh("echo $HOME")), "/\n");
    std::fs::remove_file(&passwd).unwrap();
    symlink("/dev/zero", &passwd).unwrap();
    assert_eq!(stdout(&bundle.sh("echo $HOME")), "/\n");
    std::fs::remove_file(&passwd).unwrap();
    std::fs::write(&passwd, "root:x:0:0::/home/r:/bin/sh\n").unwrap();
    assert_eq!(stdout(&bundle.sh("echo $HOME")), "/home/r\n");
}
