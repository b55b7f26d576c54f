//! Bad input, class by class: the exact sentence, the exit status, and nothing left behind.

use e2e::{Bundle, program, stderr};
use serde_json::{Value, json};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const BUNDLE_HINT: &str = " (hint: a bundle is a directory with config.json and a root file system; \
                           `tare-runtime spec` writes a config.json to begin with)";

/// Begins a sentence of the container's own process.
const INIT: &str = "init: ";

/// Checks what a call said; `{bundle}`, `{id}` and `{root}` stand for this test's own. Nothing of
/// the container may be left: state, cgroups, mounts.
fn expect(bundle: &Bundle, output: &Output, code: i32, sentence: &str) {
    let root = bundle.path("state");
    let expected = sentence
        .replace("{bundle}", bundle.path(""))
        .replace("{id}", bundle.id())
        .replace("{root}", root);
    let expected = match expected.strip_prefix(INIT) {
        Some(rest) => format!(
            "tare-runtime run failed: unable to start container process: error during container \
             init: {rest}\n"
        ),
        None => format!("tare-runtime: error: {expected}\n"),
    };
    assert_eq!(stderr(output), expected);
    assert_eq!(output.status.code(), Some(code), "{sentence}");
    assert_eq!(bundle.leftovers(), Vec::<std::path::PathBuf>::new(), "{sentence}");
    let names = std::fs::read_dir(root).into_iter().flatten().flatten();
    assert_eq!(names.count(), 0, "{sentence}");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(bundle.id()), "{sentence}: {mounts}");
}

/// `run` of the bundle as it is on disk.
fn run(bundle: &Bundle) -> Output {
    bundle.runtime(&["run", "--bundle", bundle.path(""), bundle.id()])
}

#[test]
fn documents_that_are_none() {
    let Some(bundle) = Bundle::new("documents_that_are_none") else { return };
    let check = |text: &[u8], sentence: &str| {
        std::fs::write(bundle.path("config.json"), text).unwrap();
        expect(&bundle, &run(&bundle), 1, &format!("config.json: {sentence}"));
    };
    check(b"", "the text ends too early: expected an object (line 1 column 1)");
    check(b"hello", "expected an object (line 1 column 1)");
    check(b"[]", "invalid type: an array, expected an object (line 1 column 1)");
    check(
        b"{\"process\":{\"args\":[\"a\"",
        "process.args: the text ends too early: expected `,` or `]` (line 1 column 24)",
    );
    check(b"{\"a\":\"\xff\"}", "the text is not UTF-8 (line 1 column 7)");
    let deep = format!("{{\"windows\":{}", "[".repeat(100_000));
    let sentence = "windows: too many objects and arrays inside each other (line 1 column 139)";
    check(deep.as_bytes(), sentence);
    let many = format!("{{\"mounts\":[{}{{}}]}}", "{},".repeat(500_000));
    let sentence = "mounts[131071]: more members and elements than any configuration needs \
                    (line 1 column 393226)";
    check(many.as_bytes(), sentence);
    check(
        b"{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"a\\u0000b\"}}",
        "root.path: has a NUL character",
    );
}

#[test]
fn files_that_are_no_documents() {
    let Some(bundle) = Bundle::new("files_that_are_no_documents") else { return };
    let path = bundle.path("config.json");
    let check = |sentence: &str| {
        expect(&bundle, &run(&bundle), 1, &format!("bundle {{bundle}}: {sentence}"));
        if Path::new(path).symlink_metadata().is_ok_and(|metadata| !metadata.is_dir()) {
            std::fs::remove_file(path).unwrap();
        }
    };
    // 300 MB that take no room on the disk, and are not read.
    std::fs::File::create(path).unwrap().set_len(300 << 20).unwrap();
    check("config.json has more than 16 MiB, which no configuration needs");
    sys::fs::mknod(sys::CWD, path, sys::fs::S_IFIFO | 0o600, 0).unwrap();
    check("config.json is not a regular file");
    symlink("/dev/zero", path).unwrap();
    check("config.json is not a regular file");
    symlink("/nowhere", path).unwrap();
    check(&format!("opening config.json: no such file or directory{BUNDLE_HINT}"));
    symlink("config.json", path).unwrap();
    check("opening config.json: too many levels of symbolic links");
    check(&format!("opening config.json: no such file or directory{BUNDLE_HINT}"));
    std::fs::create_dir(path).unwrap();
    check("config.json is not a regular file");

    let elsewhere = |dir: &str| bundle.runtime(&["run", "--bundle", dir, bundle.id()]);
    let hint = "(hint: name the directory that holds config.json with --bundle)";
    let nowhere = elsewhere("/nowhere");
    let sentence = "opening the bundle /nowhere: no such file or directory";
    expect(&bundle, &nowhere, 1, &format!("{sentence} {hint}"));
    let sentence = "opening the bundle /etc/passwd: not a directory";
    expect(&bundle, &elsewhere("/etc/passwd"), 1, &format!("{sentence} {hint}"));
}

/// One change of a good configuration, and the sentence for it.
type Row = (fn(&mut Value), &'static str);

const CONTRADICTIONS: [Row; 23] = [
    (|c| drop(c.as_object_mut().unwrap().remove("process")), "process: is missing"),
    (|c| drop(c.as_object_mut().unwrap().remove("root")), "config.json: root: is missing"),
    (
        |c| c["process"]["user"]["uid"] = json!(-1),
        "config.json: process.user.uid: invalid value: integer `-1` is not in the range of u32 ",
    ),
    (
        |c| c["process"]["user"]["additionalGids"] = json!(vec![0; 65537]),
        "config.json: process.user.additionalGids: has 65537 entries, at most 65536",
    ),
    (
        |c| c["process"]["args"] = json!(["true", "x".repeat(131_072)]),
        "config.json: process.args[1]: has more than the 131071 bytes of one argument",
    ),
    (
        |c| c["process"]["rlimits"] = json!([{"type": "RLIMIT_CPU", "hard": 1, "soft": 2}]),
        "config.json: process.rlimits[0]: the soft limit 2 is above the hard limit 1",
    ),
    (
        |c| c["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 0, "size": 1}]),
        "config.json: linux.uidMappings: there are mappings but no user namespace",
    ),
    (
        |c| c["linux"]["namespaces"].as_array_mut().unwrap().insert(1, json!({"type": "pid"})),
        "config.json: linux.namespaces[1]: a second pid namespace",
    ),
    (
        |c| c["linux"]["namespaces"][1] = json!({"type": "network", "path": "/run/nowhere"}),
        "linux.namespaces: opening the network namespace \"/run/nowhere\": no such file or directory",
    ),
    (
        |c| c["linux"]["namespaces"][1] = json!({"type": "network", "path": "/etc/passwd"}),
        "linux.namespaces: opening the network namespace \"/etc/passwd\": it is not a namespace",
    ),
    (
        |c| c["linux"]["namespaces"][1] = json!({"type": "network", "path": "/proc/self/ns/uts"}),
        "init: linux.namespaces: joining the network namespace: invalid argument \
         (hint: the file may be a namespace of another kind)",
    ),
    (
        |c| c["linux"]["timeOffsets"] = json!({"monotonic": {"secs": 1}}),
        "config.json: linux.timeOffsets: there is no new time namespace",
    ),
    (
        |c| add_mount(c, json!({"destination": "/x", "type": "bind", "source": "/nowhere"})),
        "init: error mounting on \"/x\" (mounts[7]): opening the source \"/nowhere\": no such file or directory",
    ),
    (
        |c| add_mount(c, json!({"destination": "/bin/busybox/x", "type": "tmpfs"})),
        "init: error mounting on \"/bin/busybox/x\" (mounts[7]): /bin/busybox/x in the container: not a directory",
    ),
    (
        |c| add_mount(c, json!({"destination": "/x", "type": "tmpfs", "options": ["sise=5"]})),
        "init: error mounting on \"/x\" (mounts[7]): option \"sise=5\" of tmpfs: invalid argument",
    ),
    (
        |c| add_mount(c, json!({"destination": "/x", "type": "nofs"})),
        "init: error mounting on \"/x\" (mounts[7]): the kernel has no file system \"nofs\"",
    ),
    (
        |c| c["linux"]["resources"]["memory"] = json!({"limit": -5}),
        "linux.resources.memory.limit: -5 is neither a size nor -1",
    ),
    (
        |c| c["linux"]["resources"]["cpu"] = json!({"cpus": "0-x"}),
        "linux.resources.cpu.cpus: \"0-x\" is not a number or a range",
    ),
    (
        |c| {
            c["linux"]["resources"]["devices"] =
                json!([{"allow": true, "type": "c", "access": "q"}])
        },
        "linux.resources.devices[0]: unknown device access \"q\"",
    ),
    (
        |c| c["linux"]["sysctl"] = json!({"net.nosuch": "1"}),
        "init: linux.sysctl: \"net.nosuch\": opening /proc/sys/net/nosuch: no such file or directory",
    ),
    (
        |c| c["hooks"] = json!({"prestart": [{"path": "/nowhere"}]}),
        "error running prestart hook #0: /nowhere: exit status 127, output: no such file or directory",
    ),
    (
        |c| c["process"]["args"] = json!(["nosuch"]),
        "init: exec: \"nosuch\": executable file not found in $PATH \
         (hint: it has to be in the root file system, in a directory of PATH)",
    ),
    (
        // Half of what the smallest start takes: killed before there is a program.
        |c| c["linux"]["resources"]["memory"] = json!({"limit": 4096}),
        "the process was killed before it executed its program \
         (hint: linux.resources.memory.limit may be too low for it)",
    ),
];

fn add_mount(config: &mut Value, mount: Value) {
    config["mounts"].as_array_mut().unwrap().push(mount);
}

#[test]
fn configurations_that_contradict_themselves_or_the_machine() {
    let name = "configurations_that_contradict_themselves_or_the_machine";
    let Some(mut bundle) = Bundle::new(name) else { return };
    bundle.args(&["true"]);
    let good = bundle.config.clone();
    for (change, sentence) in CONTRADICTIONS {
        change(&mut bundle.config);
        bundle.write();
        let output = run(&bundle);
        match sentence {
            // The position is behind it.
            start if start.ends_with(' ') => {
                assert!(
                    stderr(&output).starts_with(&format!("tare-runtime: error: {start}(line "))
                );
            }
            sentence => expect(&bundle, &output, 1, sentence),
        }
        bundle.config = good.clone();
    }
    bundle.config["linux"]["cgroupsPath"] = json!("/../..");
    bundle.write();
    let refused = match e2e::uses_systemd() {
        true => "systemd cgroups need the form \"slice:prefix:name\"",
        false => "\"..\" and NUL are refused",
    };
    expect(&bundle, &run(&bundle), 1, &format!("linux.cgroupsPath \"/../..\": {refused}"));
}

#[test]
fn terminals_that_go_nowhere() {
    let Some(mut bundle) = Bundle::new("terminals_that_go_nowhere") else { return };
    let path = bundle.path("");
    let id = bundle.id().to_string();
    bundle.args(&["true"]).write();
    let socket = bundle.runtime(&["create", "--console-socket", "/nowhere", "--bundle", path, &id]);
    let sentence = "--console-socket: process.terminal is false, so there is no terminal to send";
    expect(&bundle, &socket, 1, sentence);
    bundle.config["process"]["terminal"] = json!(true);
    bundle.write();
    for args in [vec!["create", "--bundle", path, &id], vec!["run", "-d", "--bundle", path, &id]] {
        let sentence = "process.terminal: a terminal needs somewhere to go \
                        (hint: give --console-socket, or run in the foreground on a terminal)";
        expect(&bundle, &bundle.runtime(&args), 1, sentence);
    }
    let socket = bundle.runtime(&["create", "--console-socket", "/nowhere", "--bundle", path, &id]);
    let sentence = "--console-socket: connecting to /nowhere: no such file or directory";
    expect(&bundle, &socket, 1, sentence);
}

#[test]
fn containers_that_are_not_there() {
    let Some(bundle) = Bundle::new("containers_that_are_not_there") else { return };
    let sentence = "container nobody: container does not exist \
                    (hint: `list` shows the containers below {root})";
    for verb in ["state", "start", "kill", "delete", "ps", "pause", "resume", "update", "events"] {
        expect(&bundle, &bundle.runtime(&[verb, "nobody"]), 1, sentence);
    }
    // runc's: what exec itself cannot do is 255.
    expect(&bundle, &bundle.runtime(&["exec", "nobody", "true"]), 255, sentence);
    let id = "x".repeat(256);
    let long = bundle.runtime(&["run", "--bundle", bundle.path(""), &id]);
    expect(&bundle, &long, 1, "container id: has more than 255 bytes");
}

#[test]
fn an_init_that_is_dead() {
    let Some(mut bundle) = Bundle::new("an_init_that_is_dead") else { return };
    bundle.args(&["sleep", "100"]).write();
    let (path, id) = (bundle.path(""), bundle.id().to_string());
    let quiet = Stdio::null;
    let mut create = bundle.command(&["create", "--bundle", path, &id]);
    assert!(create.stdout(quiet()).stderr(quiet()).status().unwrap().success());
    let state: Value = serde_json::from_slice(&bundle.runtime(&["state", &id]).stdout).unwrap();
    sys::process::kill(state["pid"].as_i64().unwrap() as i32, 9).unwrap();
    for _ in 0..6000 {
        if bundle.status() == "stopped" {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let check = |args: &[&str], code: i32, sentence: &str| {
        let output = bundle.runtime(args);
        assert_eq!(stderr(&output), format!("tare-runtime: error: {sentence}\n"));
        assert_eq!(output.status.code(), Some(code), "{args:?}");
    };
    check(&["start", &id], 1, "cannot start a container that has stopped");
    let hint = format!("(hint: container {id} has ended; `delete` it)");
    check(&["exec", &id, "true"], 255, &format!("cannot exec in a stopped container {hint}"));
    check(&["kill", &id], 1, "container not running");
    check(&["update", "--pids-limit", "5", &id], 1, "cannot update a stopped container");
    let delete = bundle.runtime(&["delete", &id]);
    assert!(delete.status.success(), "{}", stderr(&delete));
    assert_eq!(bundle.leftovers(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_filter_that_denies_everything_ends_the_start() {
    let name = "a_filter_that_denies_everything_ends_the_start";
    let Some(mut bundle) = Bundle::new(name) else { return };
    bundle.args(&["true"]);
    bundle.config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ERRNO"});
    bundle.write();
    let sentence = "the process ended by signal 4 before it executed its program (hint: \
                    linux.seccomp may deny what starting a program needs (write, execve, \
                    exit_group))";
    expect(&bundle, &run(&bundle), 1, sentence);
}

/// Runs a shell script in a mount namespace of its own; `$RT`, `$BUNDLE` and `$ID` are set.
fn script(bundle: &Bundle, script: &str) -> Output {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-euc", script]);
    command.env("RT", program("tare-runtime")).env("BUNDLE", bundle.path(""));
    command.env("ID", bundle.id()).stdin(Stdio::null()).output().unwrap()
}

const ROOT_HINT: &str = "(hint: choose a directory that you can write to with --root)";

#[test]
fn state_directories_that_cannot_be_written() {
    let Some(mut bundle) = Bundle::new("state_directories_that_cannot_be_written") else { return };
    bundle.args(&["true"]).write();
    let read_only = script(
        &bundle,
        "mkdir $BUNDLE/ro; mount -t tmpfs -o ro tmpfs $BUNDLE/ro; \
         exec $RT --root $BUNDLE/ro/state run --bundle $BUNDLE $ID",
    );
    let sentence = "opening the state directory {bundle}/ro/state: read-only file system";
    expect(&bundle, &read_only, 1, &format!("{sentence} {ROOT_HINT}"));
    for (root, why) in
        [("/etc/passwd", "not a directory"), ("/proc/x", "no such file or directory")]
    {
        let mut command = Command::new(program("tare-runtime"));
        let args = ["--root", root, "run", "--bundle", bundle.path(""), bundle.id()];
        let output = command.args(args).stdin(Stdio::null()).output().unwrap();
        let sentence = format!("opening the state directory {root}: {why} {ROOT_HINT}");
        expect(&bundle, &output, 1, &sentence);
    }
}

#[test]
fn disks_without_space() {
    let Some(mut bundle) = Bundle::new("disks_without_space") else { return };
    bundle.args(&["true"]).write();
    // Room for the directories and nothing in them; what is left is listed on standard output.
    for (size, what) in [
        ("size=16k,nr_inodes=2", "opening the state directory {bundle}/full/state"),
        ("size=4k,nr_inodes=100", "writing the state of container {id}"),
    ] {
        let output = script(
            &bundle,
            &format!(
                "mkdir -p $BUNDLE/full; mount -t tmpfs -o {size} tmpfs $BUNDLE/full; \
                 mkdir $BUNDLE/full/state; [ {size} != size=4k,nr_inodes=100 ] || \
                 head -c 4096 /dev/zero > $BUNDLE/full/fill; \
                 $RT --root $BUNDLE/full/state run --bundle $BUNDLE $ID || code=$?; \
                 ls -A $BUNDLE/full/state; exit ${{code:-0}}"
            ),
        );
        let hint =
            if what.starts_with("opening") { format!(" {ROOT_HINT}") } else { String::new() };
        expect(&bundle, &output, 1, &format!("{what}: no space left on device{hint}"));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{size}");
    }
}

#[test]
fn users_without_permission() {
    let Some(mut bundle) = Bundle::new("users_without_permission") else { return };
    // A cgroup that was asked for would be refused first on v2.
    bundle.config["linux"].as_object_mut().unwrap().remove("cgroupsPath");
    bundle.args(&["true"]).write();
    std::fs::create_dir(bundle.path("bin")).unwrap();
    let copy = bundle.path("bin/tare-runtime");
    std::fs::copy(program("tare-runtime"), copy).unwrap();
    let as_nobody = |root: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", copy, "--root", root]);
        command.args(["run", "--bundle", bundle.path(""), bundle.id()]).env_clear();
        command.stdin(Stdio::null()).output().unwrap()
    };
    std::fs::create_dir(bundle.path("state")).unwrap();
    let closed = bundle.path("closed");
    let sentence = format!("opening the state directory {closed}: permission denied {ROOT_HINT}");
    expect(&bundle, &as_nobody(closed), 1, &sentence);
    // Its own state directory, and no user namespace to be root of.
    let own = bundle.path("own");
    std::fs::create_dir(own).unwrap();
    std::os::unix::fs::chown(own, Some(65534), Some(65534)).unwrap();
    let output = as_nobody(own);
    let sentence = "making the container's namespaces: operation not permitted (hint: run as root, \
                    or use a user namespace (`spec --rootless`); some systems forbid it (sysctl \
                    kernel.unprivileged_userns_clone, \
                    kernel.apparmor_restrict_unprivileged_userns))";
    expect(&bundle, &output, 1, sentence);
    assert_eq!(std::fs::read_dir(own).unwrap().count(), 0);
}

#[test]
fn features_that_the_machine_lacks() {
    let Some(mut bundle) = Bundle::new("features_that_the_machine_lacks") else { return };
    bundle.args(&["true"]);
    let good = bundle.config.clone();
    let mut check = |missing: bool, change: fn(&mut Value), sentence: &str| {
        if !missing {
            e2e::skip("features_that_the_machine_lacks", &format!("it has it: {sentence}"));
            return;
        }
        change(&mut bundle.config);
        bundle.write();
        expect(&bundle, &run(&bundle), 1, sentence);
        bundle.config = good.clone();
    };
    check(
        !Path::new("/sys/module/apparmor/parameters/enabled").exists(),
        |c| c["process"]["apparmorProfile"] = json!("x"),
        "process.apparmorProfile: \"x\": AppArmor is not enabled on the host",
    );
    check(
        !Path::new("/sys/fs/cgroup/cgroup.controllers").exists(),
        |c| c["linux"]["resources"]["unified"] = json!({"memory.high": "1"}),
        "invalid configuration: linux.resources.unified needs cgroup v2",
    );
}
