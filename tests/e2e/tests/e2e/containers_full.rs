//! Containers on a disk that is full: of bytes, or of files.
//!
//! What needs room says so, and what needs none works: those that run go on, whatever becomes of their logs, and can be
//! looked at, entered, stopped and removed. When there is room again, everything works, and nothing is left.

use super::images::full::{Disk, Scarce};
use super::images_scratch::Scratch;
use super::running::MAKE;
use e2e::{is_root, skip, stderr, stdout};
use std::time::{Duration, Instant};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const FULL: &str = "no space left on device";
/// It writes a number to memory, and to its log, again and again.
const TALKER: &str = "trap 'exit 7' TERM; i=0; while :; do i=$((i+1)); echo $i > /t/n; echo line $i of somebody who talks; done";

/// A disk with a store, and containers that began before it was full.
struct Full {
    scratch: Scratch,
    disk: Disk,
}

impl Full {
    fn new(test: &str) -> Option<Self> {
        if !is_root() {
            skip(test, "needs root");
            return None;
        }
        let disk = Disk::new(test)?;
        disk.leave_all();
        let scratch = Scratch::below(disk.place());
        scratch.sh(MAKE);
        scratch.ok(&[
            "import",
            "-q",
            "--change",
            "CMD [\"sleep\", \"1000\"]",
            &scratch.path("box.tar"),
            "box:1",
        ]);
        Some(Self { scratch, disk })
    }

    fn ok(&self, args: &[&str]) -> String {
        self.scratch.ok(args)
    }

    /// What a verb says that has no room.
    fn is_full(&self, args: &[&str], code: i32) {
        let output = self.scratch.tare(args);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        let wrong = e2e::failing::what_is_wrong_with(&said, sys::Errno::ENOSPC);
        assert_eq!(wrong, None, "{args:?}: {said}");
    }

    fn number(&self) -> u64 {
        let text = self.ok(&["exec", "talker", "cat", "/t/n"]);
        text.trim().parse().unwrap_or(0)
    }

    fn state(&self, name: &str, what: &str) -> String {
        self.ok(&["inspect", "--format", &format!("{{{{.State.{what}}}}}"), name])
    }

    fn log(&self) -> Vec<u8> {
        let id = self.ok(&["inspect", "--format", "{{.Id}}", "talker"]);
        std::fs::read(self.scratch.path(&format!("store/containers/{id}/container.log"))).unwrap()
    }

    fn until(&self, what: &str, is: impl Fn() -> bool) {
        let began = Instant::now();
        while !is() {
            assert!(began.elapsed() < PATIENCE, "{what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until those that have ended have given back what they had: they do it after they have said so.
    fn until_settled(&self, free: impl Fn() -> u64) {
        self.until("what is gone has given back what it had", || {
            let trash = std::fs::read_dir(self.scratch.path("store/trash")).unwrap().count();
            let before = free();
            std::thread::sleep(Duration::from_millis(500));
            trash == 0 && before == free()
        });
    }

    fn begin(&self) {
        self.ok(&["volume", "create", "data"]);
        self.ok(&[
            "run", "-d", "--name", "talker", "--tmpfs", "/t", "-v", "data:/d", "box:1", "sh", "-c",
            TALKER,
        ]);
        self.ok(&[
            "run",
            "-d",
            "--name",
            "ends",
            "box:1",
            "sh",
            "-c",
            "trap 'exit 9' TERM; while :; do sleep 0.05; done",
        ]);
        self.ok(&["run", "-d", "--rm", "--name", "goes", "box:1"]);
        self.ok(&["create", "--name", "made", "box:1"]);
        self.ok(&["create", "--name", "unused", "box:1"]);
        self.until("it talks", || self.number() > 10);
    }

    /// What needs no room.
    fn lives(&self) {
        let before = self.number();
        self.until("it goes on", || self.number() > before + 10);
        assert_eq!(self.state("talker", "Status"), "running");
        assert!(self.ok(&["logs", "-n", "1", "talker"]).starts_with("line "));
        assert_eq!(self.ok(&["stop", "-t", "120", "ends"]), "ends");
        assert_eq!(self.state("ends", "Status"), "exited");
        assert_eq!(self.state("ends", "ExitCode"), "9");
        self.ok(&["pause", "talker"]);
        assert_eq!(self.state("talker", "Status"), "paused");
        self.ok(&["unpause", "talker"]);
        assert_eq!(self.state("talker", "Status"), "running");
        self.ok(&["stop", "-t", "0", "goes"]);
        assert_eq!(self.ok(&["ps", "-aq", "--filter", "name=goes"]), "");
        let out = format!("/dev/shm/tare-e2e-full-out-{}", std::process::id());
        self.ok(&["cp", "talker:/etc/passwd", &out]);
        std::fs::remove_file(&out).unwrap();
        self.ok(&["rm", "unused"]);
    }

    /// There is room again.
    fn recovers(&self) {
        self.disk.leave_all();
        let length = self.log().len();
        self.until("its log grows again", || self.log().len() > length + 1000);
        let script = "echo x > /d/x; cat /d/x";
        let run = ["run", "--rm", "--name", "first", "-v", "data:/d", "box:1", "sh", "-c", script];
        assert_eq!(self.ok(&run), "x");
        self.ok(&["start", "made"]);
        assert_eq!(self.state("made", "Status"), "running");
        assert_eq!(self.ok(&["start", "ends"]), "ends");
        let passwd = self.scratch.path("box/etc/passwd");
        self.ok(&["cp", &passwd, "talker:/passwd"]);
        self.ok(&["commit", "made", "other:1"]);
        self.ok(&["stop", "-t", "120", "talker"]);
        assert_eq!(self.state("talker", "ExitCode"), "7");
        // Every line is an entry, with holes between them.
        let log = self.log();
        let lines: Vec<&[u8]> =
            log.split(|byte| *byte == b'\n').filter(|it| !it.is_empty()).collect();
        let mut last = 0;
        for line in lines {
            let entry: serde_json::Value = serde_json::from_slice(line).expect("a whole entry");
            let number = entry["log"].as_str().unwrap().split(' ').nth(1).unwrap();
            let number: u64 = number.parse().unwrap();
            assert!(number > last, "{number} behind {last}");
            last = number;
        }
        // What happened first is told, behind what there was no room for.
        let told = ["events", "--since", "1h", "--until", "0s", "--filter", "container=first"];
        let told = self.ok(&[&told[..], &["--format", "{{.Action}}"]].concat());
        assert!(told.starts_with("create\n"), "{told}");
        self.ok(&["rm", "-af"]);
        assert_eq!(self.ok(&["ps", "-aq"]), "");
        self.ok(&["volume", "rm", "data"]);
        self.ok(&["gc"]);
        assert_eq!(self.ok(&["fsck"]), "the store is in order");
        for dir in
            ["store/containers", "store/engine/names", "store/engine/pending", "store/volumes"]
        {
            let left: Vec<_> = std::fs::read_dir(self.scratch.path(dir)).unwrap().collect();
            assert!(left.is_empty(), "{dir}: {left:?}");
        }
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        self.disk.leave_all();
        e2e::clean_up(self.scratch.command(&["rm", "-af"]));
    }
}

#[test]
fn containers_on_a_disk_without_space() {
    let Some(full) = Full::new("containers_on_a_disk_without_space") else { return };
    full.begin();
    full.disk.leave(Scarce::Bytes, 2);
    // Its log takes what there is.
    full.until("the disk is full", || full.disk.free_blocks() == 0);
    full.lives();
    for (args, code) in [
        (&["run", "--rm", "box:1", "pwd"][..], 125),
        (&["create", "box:1"], 1),
        (&["start", "made"], 1),
        (&["cp", &full.scratch.path("box.tar"), "talker:/box.tar"], 1),
        (&["commit", "talker", "other:1"], 1),
        (&["volume", "create", "more"], 1),
    ] {
        // What ended before has given back what it had, which the log has taken.
        full.until_settled(|| full.disk.free_blocks());
        full.until("the disk is full again", || full.disk.free_blocks() == 0);
        full.is_full(args, code);
    }
    assert_ne!(full.state("made", "Status"), "running");
    for path in ["/big", "/d/big"] {
        let script = format!("cat /bin/busybox > {path}");
        let output = full.scratch.tare(&["exec", "talker", "sh", "-c", &script]);
        assert!(stderr(&output).to_lowercase().contains(FULL), "{}", stderr(&output));
        assert_eq!((output.status.code(), stdout(&output)), (Some(1), String::new()));
        full.ok(&["exec", "talker", "busybox", "rm", "-f", path]);
        full.until("the disk is full again", || full.disk.free_blocks() == 0);
    }
    full.recovers();
}

#[test]
fn containers_on_a_disk_without_inodes() {
    let Some(full) = Full::new("containers_on_a_disk_without_inodes") else { return };
    full.begin();
    full.disk.leave(Scarce::Files, 0);
    full.lives();
    // Supervisors that have ended give files back after they have said so.
    full.until_settled(|| full.disk.free_files());
    full.disk.leave(Scarce::Files, 0);
    full.is_full(&["run", "--rm", "box:1", "pwd"], 125);
    full.is_full(&["create", "box:1"], 1);
    full.is_full(&["start", "made"], 1);
    full.is_full(&["commit", "talker", "other:1"], 1);
    full.is_full(&["volume", "create", "more"], 1);
    full.recovers();
}
