//! R4, R6, R7 and R10: a neighbour changes the root file system while a container is made from it.
//!
//! The neighbour exchanges two names, one of them a link out, again and again, or exactly before
//! one chosen system call of the runtime. A canary of the host tells whether a link was followed.

use e2e::watch::Verdict;
use e2e::{Bundle, rounds, spread, stderr, stdout, unprotected};
use serde_json::{Value, json};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const EXCHANGE: u32 = 2;

fn exchange(one: &str, other: &str) {
    sys::fs::rename(sys::CWD, one, sys::CWD, other, EXCHANGE).unwrap();
}

/// Exchanges two names without end.
struct Racer {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Racer {
    fn start(one: &'static str, other: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                // One of them may be missing while it is replaced.
                let _ = sys::fs::rename(sys::CWD, one, sys::CWD, other, EXCHANGE);
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Racer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the racer does not fail");
        }
    }
}

/// A directory of the host beside the bundle, with one file in it.
struct Canary(&'static str);

impl Canary {
    fn new(bundle: &Bundle) -> Self {
        let dir = bundle.path("outside");
        std::fs::create_dir(dir).unwrap();
        std::fs::write(format!("{dir}/file"), "canary").unwrap();
        Self(dir)
    }

    /// Names and contents, and what kind of file each is.
    fn state(&self) -> Vec<(String, String)> {
        let look = |entry: std::fs::DirEntry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = format!("{:?}", entry.file_type().unwrap());
            (name, std::fs::read_to_string(entry.path()).unwrap_or(kind))
        };
        let mut all: Vec<_> =
            std::fs::read_dir(self.0).unwrap().map(|entry| look(entry.unwrap())).collect();
        all.sort();
        all
    }

    fn is_touched(&self) -> bool {
        self.state() != [("file".to_string(), "canary".to_string())]
    }
}

/// Mounts below a directory that is exchanged with a link out, all of whose mount points are
/// missing.
struct Targets {
    bundle: Bundle,
    canary: Canary,
    dir: &'static str,
    link: &'static str,
}

impl Targets {
    fn new(test: &str) -> Option<Self> {
        let mut bundle = Bundle::new(test)?;
        let canary = Canary::new(&bundle);
        let (dir, link) = (bundle.path("rootfs/dir"), bundle.path("rootfs/link"));
        symlink(canary.0, link).unwrap();
        std::fs::write(bundle.path("data"), "data").unwrap();
        let mounts = bundle.config["mounts"].as_array_mut().unwrap();
        mounts.extend([
            json!({"destination": "/dir/tmp", "type": "tmpfs", "source": "tmpfs"}),
            json!({"destination": "/dir/deep/er", "type": "tmpfs", "source": "tmpfs"}),
            json!({"destination": "/dir/file", "source": "data", "options": ["bind"]}),
        ]);
        bundle.config["linux"]["maskedPaths"] = json!(["/dir/file", "/dir/deep"]);
        bundle.config["linux"]["readonlyPaths"] = json!(["/dir/tmp"]);
        bundle.args(&["sh", "-c", "cat /dir/file /link/file; echo x > /dir/tmp/x; :"]);
        bundle.write();
        let targets = Self { bundle, canary, dir, link };
        targets.reset();
        Some(targets)
    }

    /// Both names are what they were, and the mount points are missing again.
    fn reset(&self) {
        if Path::new(self.dir).is_symlink() {
            exchange(self.dir, self.link);
        }
        let _ = std::fs::remove_dir_all(self.dir);
        std::fs::create_dir(self.dir).unwrap();
        // What following the link inside the root has made.
        let inside = format!("{}{}", self.bundle.path("rootfs"), self.canary.0);
        let _ = std::fs::remove_dir_all(inside);
    }

    fn check(&self, said: &str, when: &str) {
        assert!(!said.contains("canary"), "{when}: the container sees the host: {said}");
        assert!(!self.canary.is_touched(), "{when}: {:?}", self.canary.state());
    }
}

/// R4 (CVE-2021-30465, CVE-2024-45310): mount points are exchanged with links while they are made.
#[test]
fn r4_raced_mount_targets_stay_inside() {
    let Some(mut targets) = Targets::new("r4_raced_mount_targets_stay_inside") else { return };
    let mut started = 0;
    for round in 0..rounds(200) {
        targets.reset();
        let racer = Racer::start(targets.dir, targets.link);
        let output = targets.bundle.run();
        drop(racer);
        started += usize::from(output.status.success());
        targets.check(&(stdout(&output) + &stderr(&output)), &format!("round {round}"));
    }
    assert!(started > 0, "no container started");
    // The attack itself works: on a runtime that mounts by path.
    targets.reset();
    let racer = Racer::start(targets.dir, targets.link);
    let dir = targets.dir;
    let script = format!(
        "i=0; while [ $i -lt 3000 ]; do mkdir -p {dir}/deep/er; : > {dir}/new; \
         [ -e {}/new ] && exit; i=$((i+1)); done",
        targets.canary.0
    );
    unprotected(&script);
    drop(racer);
    assert!(targets.canary.is_touched());
}

/// Calls that take a path, or a descriptor that stands for one.
const PATH_CALLS: [i32; 15] = [
    2,   // open
    165, // mount
    257, // openat
    258, // mkdirat
    259, // mknodat
    260, // fchownat
    262, // newfstatat
    263, // unlinkat
    266, // symlinkat
    267, // readlinkat
    428, // open_tree
    429, // move_mount
    432, // fsmount
    437, // openat2
    442, // mount_setattr
];

/// R4 without luck: the exchange happens exactly before each call that names a file, one a start.
#[test]
fn r4_an_exchange_before_any_call_stays_inside() {
    let test = "r4_an_exchange_before_any_call_stays_inside";
    let Some(targets) = Targets::new(test) else { return };
    let (dir, link) = (targets.dir, targets.link);
    let (path, id) = (targets.bundle.path(""), targets.bundle.id().to_string());
    let exchange_before = |number: usize| {
        targets.reset();
        let met = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&met);
        let mut run = targets.bundle.watched(&["run", "--bundle", path, &id], move |_, notice| {
            if PATH_CALLS.contains(&notice.number)
                && count.fetch_add(1, Ordering::Relaxed) == number
            {
                exchange(dir, link);
            }
            Verdict::Continue
        });
        run.wait();
        targets.check(&targets.bundle.said(), &format!("call {number}"));
        met.load(Ordering::Relaxed)
    };
    let calls = exchange_before(usize::MAX);
    assert!(calls > 40, "only {calls} calls");
    let chosen = spread(calls, rounds(calls));
    let made = chosen.iter().filter(|number| exchange_before(**number) > **number).count();
    // Not every start makes the very same calls.
    assert!(made * 10 >= chosen.len() * 9, "{made} of {} calls were made", chosen.len());
}

/// A root whose `/dev` lies on the disk, where a neighbour can change it.
fn without_dev(bundle: &mut Bundle, kept: &[&str]) {
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| {
        let to = mount["destination"].as_str().unwrap();
        !to.starts_with("/dev") || kept.contains(&to)
    });
    bundle.config["root"]["readonly"] = json!(false);
    std::fs::create_dir(bundle.path("rootfs/dev")).unwrap();
}

/// An empty file, and beside it a link: what is exchanged. The runtime may have replaced either.
fn place(file: &str, link: &str, target: &str) {
    let _ = (std::fs::remove_file(file), std::fs::remove_file(link));
    std::fs::write(file, "").unwrap();
    symlink(target, link).unwrap();
}

/// R6 (CVE-2025-31133): the image's /dev/null is exchanged with a link while paths are masked.
#[test]
fn r6_raced_masks_do_not_come_from_the_container() {
    let test = "r6_raced_masks_do_not_come_from_the_container";
    let Some(mut bundle) = Bundle::new(test) else { return };
    let canary = Canary::new(&bundle);
    without_dev(&mut bundle, &[]);
    let (null, link) = (bundle.path("rootfs/dev/null"), bundle.path("rootfs/link"));
    std::fs::write(bundle.path("rootfs/secret"), "secret").unwrap();
    bundle.config["linux"]["maskedPaths"] = json!(["/secret"]);
    let script = "busybox stat -c %t:%T /secret; cat /secret; echo x > /secret";
    let target = format!("{}/file", canary.0);
    let mut started = 0;
    for round in 0..rounds(100) {
        place(null, link, &target);
        let racer = Racer::start(null, link);
        let output = bundle.sh(script);
        drop(racer);
        let text = stdout(&output);
        // A neighbour may keep a container from starting.
        assert!(text == "1:3\n" || output.status.code() == Some(1), "round {round}: {text}");
        started += usize::from(text == "1:3\n");
        assert!(!canary.is_touched(), "round {round}");
    }
    assert!(started > 0, "no container started");
    // The attack itself works: on a runtime that takes the container's own /dev/null by path.
    place(null, link, &target);
    let racer = Racer::start(null, link);
    let secret = bundle.path("rootfs/secret");
    let output = unprotected(&format!(
        "i=0; while [ $i -lt 300 ]; do mount --bind {null} {secret} && \
         grep -q canary {secret} && {{ echo x > {secret}; exit; }}; i=$((i+1)); done"
    ));
    drop(racer);
    assert!(canary.is_touched(), "{}", stderr(&output));
}

/// Creates and starts the container with a console socket; returns what it says on its terminal,
/// or the runtime's message.
fn on_a_terminal(bundle: &Bundle) -> Result<String, String> {
    let socket = bundle.path("console");
    let _ = std::fs::remove_file(socket);
    let listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
    let (path, id) = (bundle.path(""), bundle.id().to_string());
    let log = bundle.path("log");
    let _ = std::fs::remove_file(log);
    let args = ["--log", log, "create", "--console-socket", socket, "--bundle", path, &id];
    let quiet = std::process::Stdio::null;
    let status = bundle.command(&args).stdout(quiet()).stderr(quiet()).status().unwrap();
    let said = match status.success() {
        true => {
            let (stream, _) = listener.accept().unwrap();
            let raw = std::os::fd::AsRawFd::as_raw_fd(&stream);
            let mut word = [0; 64];
            let (_, mut fds) =
                sys::socket::receive(sys::BorrowedFd::from_raw(raw), &mut word).unwrap();
            let master = fds.pop().expect("a terminal");
            let start = bundle.runtime(&["start", &id]);
            assert!(start.status.success(), "{}", stderr(&start));
            // Reading a terminal that nobody holds open any more is an error.
            let mut text = Vec::new();
            let mut buffer = [0; 256];
            while let Ok(length @ 1..) = sys::fs::read(&master, &mut buffer) {
                text.extend_from_slice(&buffer[..length]);
            }
            Ok(String::from_utf8_lossy(&text).replace('\r', ""))
        }
        false => Err(std::fs::read_to_string(log).unwrap()),
    };
    assert!(bundle.runtime(&["delete", "--force", &id]).status.success());
    said
}

/// What the program on a terminal says of it: major numbers of standard input and /dev/console.
const ON_TERMINAL: &str = "busybox stat -L -c %t /proc/self/fd/0 /dev/console";
const TERMINALS: &str = "88\n88\n";

/// R7 (CVE-2025-52565): /dev/console is exchanged with a link while the terminal is mounted on it.
#[test]
fn r7_raced_the_console_stays_inside() {
    let Some(mut bundle) = Bundle::new("r7_raced_the_console_stays_inside") else { return };
    let canary = Canary::new(&bundle);
    without_dev(&mut bundle, &["/dev/pts"]);
    let (console, link) = (bundle.path("rootfs/dev/console"), bundle.path("rootfs/link"));
    let target = format!("{}/file", canary.0);
    bundle.config["process"]["terminal"] = json!(true);
    bundle.args(&["sh", "-c", ON_TERMINAL]).write();
    let mut started = 0;
    for round in 0..rounds(60) {
        place(console, link, &target);
        let racer = Racer::start(console, link);
        let said = on_a_terminal(&bundle);
        drop(racer);
        assert!(!canary.is_touched(), "round {round}");
        match said {
            // With a link at /dev/console at last, the program has looked at nothing.
            Ok(text) => {
                assert!(text.starts_with("88\n") && !text.contains("canary"), "{text}");
                started += usize::from(text == TERMINALS);
            }
            Err(text) => assert!(text.contains("/dev/console"), "round {round}: {text}"),
        }
    }
    assert!(started > 0, "no container started");
    // The attack itself works: on a runtime that makes and mounts the console by path.
    place(console, link, &target);
    let racer = Racer::start(console, link);
    let output = unprotected(&format!(
        "i=0; while [ $i -lt 300 ]; do mount --bind /dev/null {console}; \
         [ -c {}/file ] && {{ echo host; exit; }}; i=$((i+1)); done",
        canary.0
    ));
    drop(racer);
    assert_eq!(stdout(&output), "host\n", "{}", stderr(&output));
}

/// R7 for `exec --tty`: whatever the container has made of /dev/pts/ptmx and /dev/ptmx, the
/// terminal is a terminal or there is an error, and nothing hangs.
#[test]
fn r7_exec_takes_only_a_terminal_for_one() {
    let Some(mut bundle) = Bundle::new("r7_exec_takes_only_a_terminal_for_one") else { return };
    without_dev(&mut bundle, &[]);
    std::fs::create_dir(bundle.path("rootfs/dev/pts")).unwrap();
    bundle.args(&["sleep", "100"]).start();
    let (ptmx, pts) = (bundle.path("rootfs/dev/ptmx"), bundle.path("rootfs/dev/pts/ptmx"));
    let _ = std::fs::remove_file(ptmx);
    let socket = bundle.path("console");
    let _listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
    let id = bundle.id().to_string();
    let null = sys::fs::makedev(1, 3);
    let full = sys::fs::makedev(1, 7);
    for (kind, number) in [
        (sys::fs::S_IFIFO, 0),
        (sys::fs::S_IFREG, 0),
        (sys::fs::S_IFSOCK, 0),
        (sys::fs::S_IFCHR, null),
        (sys::fs::S_IFCHR, full),
    ] {
        sys::fs::mknod(sys::CWD, pts, kind | 0o666, number).unwrap();
        let output = bundle.runtime(&["exec", "-t", "--console-socket", socket, &id, "true"]);
        let text = stderr(&output);
        assert!(text.contains("opening a pseudo-terminal"), "{kind:o}: {text}");
        assert_eq!(output.status.code(), Some(255));
        std::fs::remove_file(pts).unwrap();
    }
    for target in ["/proc/1/fd/0", "/dev/full", "../../../../../../../dev/ptmx", "ptmx"] {
        symlink(target, pts).unwrap();
        let output = bundle.runtime(&["exec", "-t", "--console-socket", socket, &id, "true"]);
        assert_eq!(output.status.code(), Some(255), "{target}: {}", stderr(&output));
        std::fs::remove_file(pts).unwrap();
    }
    // The way itself works: the same node as the kernel has it is a terminal.
    let device = sys::fs::S_IFCHR | 0o666;
    sys::fs::mknod(sys::CWD, ptmx, device, sys::fs::makedev(5, 2)).unwrap();
    let pid = state_of(&bundle)["pid"].to_string();
    let mount = "mount -t devpts -o newinstance,ptmxmode=666 devpts";
    let output = std::process::Command::new("nsenter")
        .args(["-t", &pid, "-m", "-r", "-w", "/bin/busybox", "sh", "-c"])
        .arg(format!("busybox {mount} /dev/pts"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let output = bundle.runtime(&["exec", "-d", "-t", "--console-socket", socket, &id, "true"]);
    assert!(output.status.success(), "{}", stderr(&output));
}

fn state_of(bundle: &Bundle) -> Value {
    let output = bundle.runtime(&["state", bundle.id()]);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// R10 (CVE-2026-88264, CVE-2026-88265): without a mount at /dev the console's place is the
/// image's.
#[test]
fn r10_a_console_without_a_mount_at_dev_stays_inside() {
    let test = "r10_a_console_without_a_mount_at_dev_stays_inside";
    let Some(mut bundle) = Bundle::new(test) else { return };
    let canary = Canary::new(&bundle);
    without_dev(&mut bundle, &[]);
    bundle.config["process"]["terminal"] = json!(true);
    bundle.args(&["sh", "-c", ON_TERMINAL]).write();
    let names = || {
        let entries = std::fs::read_dir("/dev").unwrap().map(|entry| entry.unwrap().file_name());
        entries.collect::<std::collections::BTreeSet<_>>()
    };
    let (before, dev) = (names(), bundle.path("rootfs/dev"));
    let check = |target: &str| {
        assert_eq!(on_a_terminal(&bundle).as_deref(), Ok(TERMINALS), "{target}");
        assert!(!canary.is_touched(), "{target}: {:?}", canary.state());
    };
    check("nothing there");
    for target in
        [format!("{}/file", canary.0), format!("{}/new", canary.0), "/proc/sysrq-trigger".into()]
    {
        std::fs::remove_dir_all(dev).unwrap();
        std::fs::create_dir(dev).unwrap();
        symlink(&target, format!("{dev}/console")).unwrap();
        symlink(&target, format!("{dev}/ptmx")).unwrap();
        check(&target);
    }
    // The whole of /dev, by an absolute link and a climbing one.
    for target in [canary.0.to_string(), format!("../../../../../../../../{}", canary.0)] {
        std::fs::remove_dir_all(dev).or_else(|_| std::fs::remove_file(dev)).unwrap();
        symlink(&target, dev).unwrap();
        let refused = on_a_terminal(&bundle).unwrap_err();
        assert!(refused.contains("/dev in the container is not a directory"), "{refused}");
        assert!(!canary.is_touched(), "{target}: {:?}", canary.state());
    }
    assert_eq!(names(), before);
    // The attack itself works: on a runtime that makes the console by path.
    unprotected(&format!(": > {dev}/console"));
    assert!(canary.is_touched());
}
