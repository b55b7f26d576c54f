//! Rows of the threat table in SECURITY.md.

mod descriptors;
mod entering;
mod grants;
mod leaks;
mod swaps;

use e2e::{Bundle, stderr, stdout, unprotected};
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
    // It is what it executes in the end as soon as there is a process that it waits for.
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    while std::fs::read_to_string(&children).unwrap().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
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
    // The attack itself works: on a runtime that mounts by path.
    let (outside, proc) = (bundle.path("outside"), bundle.path("rootfs/proc"));
    std::fs::create_dir(outside).unwrap();
    let _ = std::fs::remove_dir(proc);
    symlink(outside, proc).unwrap();
    let output =
        unprotected(&format!("mount -t proc proc {proc}; [ -e {outside}/self ] && echo host"));
    assert_eq!(stdout(&output), "host\n", "{}", stderr(&output));
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

/// R8 (CVE-2025-52881): a file that lies over an entry of the procfs around the runtime does not
/// swallow what is written to that entry.
#[test]
fn r8_over_mounted_entries_swallow_nothing() {
    let Some(mut bundle) = Bundle::new("r8_over_mounted_entries_swallow_nothing") else { return };
    const ENTRY: &str = "/proc/sys/net/ipv4/ip_forward";
    let fake = bundle.path("fake");
    bundle.config["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
    bundle.config["process"]["oomScoreAdj"] = json!(777);
    bundle.args(&["cat", ENTRY, "/proc/self/oom_score_adj"]).write();
    let run = bundle.command(&["run", "--bundle", bundle.path(""), bundle.id()]);
    let words: Vec<_> = std::iter::once(run.get_program()).chain(run.get_args()).collect();
    let words: Vec<_> = words.iter().map(|word| word.to_str().unwrap()).collect();
    let over = format!(": > {fake}; mount --bind {fake} {ENTRY}");
    // Of the runtime and its children only: the rest of the machine has another mount namespace.
    let output = unprotected(&format!("{over} && exec {}", words.join(" ")));
    assert_eq!(stdout(&output), "1\n777\n", "{}", stderr(&output));
    assert_eq!(std::fs::read_to_string(fake).unwrap(), "");
    // The whole of it is a directory that somebody prepared.
    let tree = bundle.path("tree");
    std::fs::create_dir_all(format!("{tree}/sys/net/ipv4")).unwrap();
    for name in ["self", "thread-self"] {
        symlink("/proc/1", format!("{tree}/{name}")).unwrap();
    }
    let output = unprotected(&format!("mount --bind {tree} /proc && exec {}", words.join(" ")));
    let text = stdout(&output) + &stderr(&output);
    assert!(text == "1\n777\n" || output.status.code() == Some(1), "{text}");
    assert_eq!(std::fs::read_dir(format!("{tree}/sys/net/ipv4")).unwrap().count(), 0);
    // No configuration puts anything over entries that matter.
    let mounts = bundle.config["mounts"].clone();
    for to in ["/proc/sys/net/ipv4", "/proc/self/attr", "/proc/self/attr/exec", "/proc/1/attr"] {
        let entry = json!({"destination": to, "source": tree, "options": ["bind"]});
        bundle.config["mounts"] = mounts.clone();
        bundle.config["mounts"].as_array_mut().unwrap().push(entry);
        let output = bundle.run();
        assert!(stderr(&output).contains("inside /proc"), "{to}: {}", stderr(&output));
    }
    // The attack itself works: on a runtime that writes by path.
    unprotected(&format!("{over} && echo 1 > {ENTRY}"));
    assert_eq!(std::fs::read_to_string(fake).unwrap(), "1\n");
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
    // The attack itself works: on a runtime that makes nodes by path.
    let dev = bundle.path("rootfs/dev");
    let output = unprotected(&format!("mkdir -p {dev} && mknod {dev}/null c 1 3"));
    assert_eq!(std::fs::read_dir(outside).unwrap().count(), 1, "{}", stderr(&output));
}

/// What is read of a passwd at most.
const LIMIT_BYTES: usize = 10 << 20;

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
    // Longer than the limit: not even its first line counts.
    let line = "root:x:0:0::/home/r:/bin/sh\n";
    std::fs::write(&passwd, line.to_string() + &"#".repeat(LIMIT_BYTES)).unwrap();
    assert_eq!(stdout(&bundle.sh("echo $HOME")), "/\n");
    std::fs::remove_file(&passwd).unwrap();
    std::fs::write(&passwd, line).unwrap();
    assert_eq!(stdout(&bundle.sh("echo $HOME")), "/home/r\n");
    std::fs::remove_file(&passwd).unwrap();
    // The attacks themselves work: on a reader that opens what is there and reads to its end.
    sys::fs::mknod(sys::CWD, &passwd, sys::fs::S_IFIFO | 0o644, 0).unwrap();
    const TIMED_OUT: i32 = 124;
    assert_eq!(unprotected(&format!("timeout 0.3 cat {passwd}")).status.code(), Some(TIMED_OUT));
    std::fs::remove_file(&passwd).unwrap();
    symlink("/dev/zero", &passwd).unwrap();
    let output = unprotected(&format!("head -c {} {passwd} | wc -c", 2 * LIMIT_BYTES));
    assert_eq!(stdout(&output).trim(), (2 * LIMIT_BYTES).to_string());
}
