//! R11 to R14 and R17: what a container is given: users, capabilities, limits, devices, calls.

use e2e::{Bundle, stderr, stdout, uses_systemd};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;

fn set_capabilities(bundle: &mut Bundle, sets: &[&str], names: &[&str]) {
    for set in sets {
        bundle.config["process"]["capabilities"][set] = json!(names);
    }
}

/// What a parser that only looks for digits makes of a user: C's `atoi`, cut to 32 bits.
fn careless(text: &str) -> u32 {
    let text = text.split(':').next().unwrap_or_default().trim_start();
    let (minus, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = text.bytes().take_while(u8::is_ascii_digit);
    let number = digits.fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0')) as u32;
    if minus { number.wrapping_neg() } else { number }
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
    assert_eq!(stdout(&exec("4294967294:4294967294")), "4294967294\n4294967294\n");
    for bad in ["", "root", "1x", "-1", "+1", "4294967295", "4294967296", ":1", "1:", "1:x", " 1"] {
        let output = exec(bad);
        assert_eq!(output.status.code(), Some(255), "{bad:?}");
        assert!(stderr(&output).contains("is not a numeric id"), "{bad:?}: {}", stderr(&output));
    }
    // A careless parser takes these for root, or for "stay who you are", which is root here.
    for bad in ["", "root", "4294967296", ":1", "-1", "4294967295"] {
        assert!([0, u32::MAX].contains(&careless(bad)), "{bad:?}");
    }
}

/// R12 (CVE-2022-24769, CVE-2022-29162): no inheritable capabilities by default.
#[test]
fn r12_nothing_is_inheritable() {
    let Some(mut bundle) = Bundle::new("r12_nothing_is_inheritable") else { return };
    let script = "grep -E 'CapInh|CapAmb|NoNewPrivs' /proc/self/status";
    let expected = "CapInh:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n";
    // Whatever the caller has: this one has all that it may.
    let inherit = |bundle: &Bundle, args: &[&str]| {
        let call = bundle.command(args);
        let mut command = Command::new("setpriv");
        command.args(["--inh-caps", "+net_raw,+chown", "--"]).arg(call.get_program());
        command.args(call.get_args()).output().unwrap()
    };
    bundle.args(&["sh", "-c", script]).write();
    let (path, id) = (bundle.path(""), bundle.id().to_string());
    let output = inherit(&bundle, &["run", "--bundle", path, &id]);
    assert_eq!(stdout(&output), expected, "{}", stderr(&output));
    bundle.args(&["sleep", "100"]).start();
    let args = ["exec", "-c", "CAP_NET_RAW", &id, "grep", "CapInh", "/proc/self/status"];
    for output in [bundle.runtime(&args), inherit(&bundle, &args)] {
        assert_eq!(stdout(&output), "CapInh:\t0000000000000000\n", "{}", stderr(&output));
    }
    bundle.runtime(&["delete", "--force", &id]);
    // The controls: a program of the host that is started so has them, and one that is configured so.
    let output = Command::new("setpriv")
        .args(["--inh-caps", "+net_raw,+chown", "--", "grep", "CapInh", "/proc/self/status"])
        .output()
        .unwrap();
    assert_ne!(stdout(&output), "CapInh:\t0000000000000000\n");
    set_capabilities(&mut bundle, &["bounding", "permitted", "inheritable"], &["CAP_NET_RAW"]);
    assert!(stdout(&bundle.sh(script)).starts_with("CapInh:\t0000000000002000\n"));
}

/// R13 (CVE-2023-6476): annotations cannot raise limits, unless the administrator says so.
#[test]
fn r13_annotations_raise_no_limits() {
    let Some(mut bundle) = Bundle::new("r13_annotations_raise_no_limits") else { return };
    let name = bundle.id().to_string();
    bundle.config["linux"]["cgroupsPath"] = json!(format!("system.slice:tare:{name}"));
    bundle.config["annotations"] =
        json!({"org.systemd.property.MemoryMax": "uint64 1099511627776"});
    bundle.args(&["true"]).write();
    let path = bundle.path("");
    let run = |more: &[&str]| {
        let mut args = vec!["--systemd-cgroup"];
        args.extend(more);
        args.extend(["run", "--bundle", path, &name]);
        bundle.runtime(&args)
    };
    let refused = "annotation org.systemd.property.MemoryMax=uint64 1099511627776: this property is \
                   not one that annotations may set";
    for more in [&[][..], &["--systemd-property", "TasksMax"]] {
        let output = run(more);
        assert!(stderr(&output).contains(refused), "{}", stderr(&output));
        assert_eq!(output.status.code(), Some(1));
    }
    assert_eq!(bundle.leftovers(), Vec::<std::path::PathBuf>::new());
    // The control: what is let through goes on to systemd, where there is one.
    let output = run(&["--systemd-property", "TasksMax", "--systemd-property", "MemoryMax"]);
    match uses_systemd() {
        true => assert!(output.status.success(), "{}", stderr(&output)),
        false => assert!(!stderr(&output).contains("annotation"), "{}", stderr(&output)),
    }
}

/// R14: nodes of every major number can be made, and only the default ones opened.
#[test]
fn r14_only_default_devices_open() {
    let test = "r14_only_default_devices_open";
    let Some(mut bundle) = Bundle::new(test).filter(|bundle| bundle.arm(test)) else { return };
    set_capabilities(&mut bundle, &["bounding", "effective", "permitted"], &["CAP_MKNOD"]);
    let output = bundle.args(&["/bin/attack", "devices", "/dev"]).run();
    // Number 0:0 is no device (overlayfs marks removed files with it), and the kernel lets it pass.
    let opened: String = stdout(&output)
        .lines()
        .filter(|line| !line.ends_with(" 0:0"))
        .fold(String::new(), |text, line| text + line + "\n");
    // null, zero, full, random, urandom; tty, ptmx; tun; pseudo-terminals.
    let expected = "open c 1:3\nopen c 1:5\nopen c 1:7\nopen c 1:8\nopen c 1:9\nopen c 5:0\n\
                    open c 5:2\nopen c 10:200\nopen c 136:0\nopen c 136:1\n";
    assert_eq!(opened, expected, "{}", stderr(&output));
    // The control: a container that may open everything meets the machine's devices, or their
    // absence. Few, because opening a device may do something to the machine.
    bundle.config["linux"]["resources"]["devices"] = json!([{"allow": true, "access": "rwm"}]);
    let output = bundle.args(&["/bin/attack", "devices", "/dev", "1", "60", "4000"]).run();
    let expected =
        "open c 1:0\nopen b 1:0\nopen c 60:0\nopen b 60:0\nopen c 4000:0\nopen b 4000:0\n";
    assert_eq!(stdout(&output), expected, "{}", stderr(&output));
}

/// Moby's profile as its client writes it.
fn moby() -> Value {
    let text = include_str!("../../../../../crates/runtime/tests/data/seccomp/moby-x86_64.json");
    serde_json::from_str(text).unwrap()
}

/// The filter that a process has, read back from the kernel.
fn installed(bundle: &Bundle) -> Option<Vec<u8>> {
    let output = bundle.runtime(&["state", bundle.id()]);
    let state: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut read = Command::new(bundle.path("attack"));
    let output = read.args(["filter", &state["pid"].to_string()]).output().unwrap();
    output.status.success().then_some(output.stdout)
}

/// R17: the kernel has the very filter whose meaning the tests of `runtime::seccomp` compare with
/// libseccomp's, in the first process and in one that `exec` starts.
#[test]
fn r17_the_kernel_has_the_compiled_filter() {
    let test = "r17_the_kernel_has_the_compiled_filter";
    let Some(mut bundle) = Bundle::new(test).filter(|bundle| bundle.arm(test)) else { return };
    bundle.args(&["sleep", "100"]).start();
    assert_eq!(installed(&bundle), None);
    let id = bundle.id().to_string();
    assert!(bundle.runtime(&["delete", "--force", &id]).status.success());
    bundle.config["linux"]["seccomp"] = moby();
    bundle.start();
    let compiled = std::fs::read(bundle.path(&format!("state/{id}/seccomp"))).unwrap();
    assert!(compiled.len() > 800, "{}", compiled.len());
    assert!(installed(&bundle).as_ref() == Some(&compiled), "another filter is installed");
    let file = bundle.path("pid");
    let args = ["exec", "--detach", "--pid-file", file, &id, "sleep", "100"];
    let quiet = std::process::Stdio::null;
    let status = bundle.command(&args).stdout(quiet()).stderr(quiet()).status().unwrap();
    assert!(status.success());
    let pid = std::fs::read_to_string(file).unwrap();
    let output = Command::new(bundle.path("attack")).args(["filter", &pid]).output().unwrap();
    assert!(output.stdout == compiled, "exec has another filter: {output:?}");
}

/// R17: ways around a filter, with docker's profile, a stricter one, and none.
#[test]
fn r17_ways_around_the_filter_are_closed() {
    let test = "r17_ways_around_the_filter_are_closed";
    let Some(mut bundle) = Bundle::new(test).filter(|bundle| bundle.arm(test)) else { return };
    let calls = |bundle: &mut Bundle| {
        let lines = stdout(&bundle.args(&["/bin/attack", "calls"]).run());
        let split = |line: &str| line.split_once(' ').map(|(k, v)| (k.to_string(), v.to_string()));
        lines.lines().filter_map(split).collect::<BTreeMap<_, _>>()
    };
    // The control: without a filter each call reaches the kernel, which has another answer.
    let open = calls(&mut bundle);
    let differ = |closed: &BTreeMap<String, String>, name: &str, expected: &str| {
        assert_eq!(closed[name], expected, "{name}: {closed:?}");
        assert_ne!(open[name], expected, "{name}: {open:?}");
    };
    const EPERM: &str = "error 1";
    const ENOSYS: &str = "error 38";
    const SIGSYS: &str = "signal 31";
    bundle.config["linux"]["seccomp"] = moby();
    let closed = calls(&mut bundle);
    differ(&closed, "clone3", ENOSYS);
    for name in ["io_uring_setup", "af_alg", "unshare-user"] {
        differ(&closed, name, EPERM);
    }
    assert_eq!((closed["unknown"].as_str(), closed["getppid"].as_str()), (ENOSYS, "ok 0"));
    // What docker leaves open: 32-bit calls, with socketcall behind which no address family is
    // seen, and terminals. One architecture and one rule close it.
    assert_eq!((closed["i386"].as_str(), closed["tiocsti"].as_str()), ("ok 0", "ok 0"));
    const TIOCSTI: u64 = 0x5412;
    const LOWER_HALF: u64 = 0xffff_ffff;
    let deny = |operator: &str, value: u64, second: u64| {
        let args = [json!({"index": 1, "value": value, "valueTwo": second, "op": operator})];
        json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{"names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "args": args}]
        })
    };
    bundle.config["linux"]["seccomp"] = deny("SCMP_CMP_MASKED_EQ", LOWER_HALF, TIOCSTI);
    let closed = calls(&mut bundle);
    for name in ["i386", "i386-socketcall", "x32"] {
        differ(&closed, name, SIGSYS);
    }
    differ(&closed, "tiocsti", EPERM);
    differ(&closed, "tiocsti-high", EPERM);
    // All 64 bits compared, a request with a bit above the lower half is another number
    // (CVE-2019-10063), of which the kernel takes the lower half.
    bundle.config["linux"]["seccomp"] = deny("SCMP_CMP_EQ", TIOCSTI, 0);
    let closed = calls(&mut bundle);
    assert_eq!((closed["tiocsti"].as_str(), closed["tiocsti-high"].as_str()), (EPERM, "ok 0"));
}
