//! `NOTIFY_SOCKET`: a container tells the host that it is ready, and nothing else.

use e2e::{Bundle, stderr, stdout};
use serde_json::{Value, json};
use std::os::unix::net::UnixDatagram;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

/// What systemd must not hear from a container, before what it may hear.
const TELL: &str = "/bin/attack tell $NOTIFY_SOCKET 'MAINPID=1' 'STATUS=owned' \
                    \"$(printf 'WATCHDOG=1\\nREADY=1\\nMAINPID=1')\"";

/// A host that listens, and a container with a program that can speak.
struct Notified {
    bundle: Bundle,
    host: UnixDatagram,
}

impl Notified {
    fn new(test: &str) -> Option<Self> {
        let bundle = Bundle::new(test).filter(|bundle| bundle.arm(test))?;
        std::os::unix::fs::symlink("busybox", bundle.path("rootfs/bin/printf")).unwrap();
        let host = UnixDatagram::bind(bundle.path("host")).unwrap();
        host.set_nonblocking(true).unwrap();
        Some(Self { bundle, host })
    }

    fn call(&self, args: &[&str]) -> Output {
        let mut command = self.bundle.command(args);
        // A container that lives on must not hold the pipes of this test.
        let said = std::fs::File::create(self.bundle.path("said")).unwrap();
        command.env("NOTIFY_SOCKET", self.bundle.path("host"));
        command.stdout(Stdio::null()).stderr(said);
        let status = command.status().unwrap();
        let stderr = std::fs::read(self.bundle.path("said")).unwrap();
        Output { status, stdout: Vec::new(), stderr }
    }

    fn succeed(&self, args: &[&str]) {
        let output = self.call(args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    }

    /// Everything that was heard so far.
    fn heard(&self) -> Vec<String> {
        let mut buffer = [0; 4096];
        let mut next = || self.host.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec());
        std::iter::from_fn(&mut next).map(|text| String::from_utf8(text).unwrap()).collect()
    }

    fn pid(&self) -> Value {
        let output = self.bundle.runtime(&["state", self.bundle.id()]);
        let state: Value = serde_json::from_slice(&output.stdout).unwrap();
        state["pid"].clone()
    }

    /// A host that reads at once, as systemd does: the barrier needs it.
    fn listening<T>(&self, act: impl FnOnce() -> T) -> (T, Vec<String>) {
        let done = std::sync::atomic::AtomicBool::new(false);
        let order = std::sync::atomic::Ordering::Relaxed;
        std::thread::scope(|scope| {
            let listener = scope.spawn(|| {
                let mut all = Vec::new();
                while !done.load(order) {
                    all.extend(self.heard());
                    std::thread::sleep(Duration::from_millis(2));
                }
                all.extend(self.heard());
                all
            });
            let result = act();
            done.store(true, order);
            (result, listener.join().unwrap())
        })
    }
}

#[test]
fn only_the_word_that_it_is_ready_leaves_a_container() {
    let test = "only_the_word_that_it_is_ready_leaves_a_container";
    let Some(mut notified) = Notified::new(test) else { return };
    let script = format!("{TELL}; echo x > ${{NOTIFY_SOCKET%/*}}/x; echo $NOTIFY_SOCKET");
    notified.bundle.args(&["sh", "-c", &script]).write();
    let (path, id) = (notified.bundle.path(""), notified.bundle.id().to_string());
    let mut command = notified.bundle.command(&["run", "--bundle", path, &id]);
    let host = notified.bundle.path("host");
    let output = command.env("NOTIFY_SOCKET", host).output().unwrap();
    assert_eq!(stdout(&output), format!("{host}/notify\n"), "{}", stderr(&output));
    assert!(stderr(&output).contains("Read-only file system"), "{}", stderr(&output));
    // This program stays the service's main process.
    assert_eq!(notified.heard(), ["READY=1"]);
    assert_eq!(notified.bundle.leftovers(), Vec::<std::path::PathBuf>::new());
    // The control: through the host's own socket the container says what it likes.
    let mount = json!({"destination": "/host", "source": host, "options": ["bind"]});
    notified.bundle.config["mounts"].as_array_mut().unwrap().push(mount);
    let output = notified.bundle.sh(&TELL.replace("$NOTIFY_SOCKET", "/host"));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(notified.heard()[..2], ["MAINPID=1", "STATUS=owned"]);
}

#[test]
fn start_waits_until_the_container_is_ready() {
    let test = "start_waits_until_the_container_is_ready";
    let Some(mut notified) = Notified::new(test) else { return };
    let script = format!("sleep 0.3; {TELL}; exec sleep 100");
    notified.bundle.args(&["sh", "-c", &script]).write();
    let (path, id) = (notified.bundle.path(""), notified.bundle.id().to_string());
    for call in
        [&["create", "--bundle", path, &id][..], &["run", "--detach", "--bundle", path, &id]]
    {
        let begun = Instant::now();
        let ((), heard) = notified.listening(|| {
            notified.succeed(call);
            if call[0] == "create" {
                notified.succeed(&["start", &id]);
            }
        });
        assert!(begun.elapsed() >= Duration::from_millis(300), "{call:?}");
        let ready = format!("READY=1\nMAINPID={}", notified.pid());
        assert_eq!(heard, [ready.as_str(), "BARRIER=1"], "{call:?}");
        notified.succeed(&["delete", "--force", &id]);
        assert_eq!(notified.bundle.leftovers(), Vec::<std::path::PathBuf>::new());
    }
}

#[test]
fn a_container_that_is_never_ready_is_waited_for_no_longer_than_it_lives() {
    let test = "a_container_that_is_never_ready_is_waited_for_no_longer_than_it_lives";
    let Some(mut notified) = Notified::new(test) else { return };
    notified.bundle.args(&["sh", "-c", "/bin/attack tell $NOTIFY_SOCKET READY=0; sleep 0.2"]);
    notified.bundle.write();
    let (path, id) = (notified.bundle.path(""), notified.bundle.id().to_string());
    notified.succeed(&["create", "--bundle", path, &id]);
    notified.succeed(&["start", &id]);
    assert_eq!(notified.bundle.status(), "stopped");
    notified.succeed(&["delete", &id]);
    // Nobody at the host's end: the container runs, and the caller is told.
    let script = "/bin/attack tell $NOTIFY_SOCKET READY=1; exec sleep 100";
    notified.bundle.args(&["sh", "-c", script]).write();
    notified.succeed(&["create", "--bundle", path, &id]);
    std::fs::remove_file(notified.bundle.path("host")).unwrap();
    let output = notified.call(&["start", &id]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("NOTIFY_SOCKET: telling"), "{}", stderr(&output));
    assert_eq!(notified.bundle.status(), "running");
    notified.succeed(&["delete", "--force", &id]);
    // Without the variable there is neither mount nor variable, and start waits for nothing.
    notified.bundle.args(&["sh", "-c", "echo $NOTIFY_SOCKET; cat /proc/self/mountinfo"]);
    let text = stdout(&notified.bundle.run());
    assert!(text.starts_with('\n') && !text.contains("/notify"), "{text}");
}

#[test]
fn a_container_with_its_own_users_can_tell() {
    let test = "a_container_with_its_own_users_can_tell";
    let Some(mut notified) = Notified::new(test) else { return };
    let config = &mut notified.bundle.config;
    config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    config["linux"]["uidMappings"] = map.clone();
    config["linux"]["gidMappings"] = map;
    config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    let root = notified.bundle.path("rootfs");
    std::os::unix::fs::chown(root, Some(100_000), Some(100_000)).unwrap();
    notified.bundle.args(&["sh", "-c", TELL]).write();
    let (path, id) = (notified.bundle.path(""), notified.bundle.id().to_string());
    notified.succeed(&["run", "--bundle", path, &id]);
    assert_eq!(notified.heard(), ["READY=1"]);
}
