//! The harness of the end-to-end tests: bundles of its own, a state root of its own, and a guard
//! that removes whatever a test made.

pub mod failing;
pub mod images;
pub mod watch;

use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use watch::{Verdict, Watched};

/// More bundles of one process number are not left by killed tests.
const NAMES_TRIED: usize = 100;
static COUNTER: AtomicU32 = AtomicU32::new(0);
/// The attacker's program; empty without a C compiler.
static ATTACK: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/attack"));

pub use skips::skip;

/// Whether the tests run as root.
pub fn is_root() -> bool {
    sys::ids::euid() == 0
}

/// Whether the containers' cgroups are made by systemd.
pub fn uses_systemd() -> bool {
    std::env::var_os("TARE_E2E_SYSTEMD").is_some()
}

/// A built program of the workspace.
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("the test's own path");
    let dir = own.parent().and_then(Path::parent).expect("the target directory");
    let path = dir.join(name);
    assert!(path.is_file(), "{} is missing: run `cargo build` first", path.display());
    path
}

/// The static busybox that root file systems are made of.
fn busybox() -> Option<PathBuf> {
    ["/bin/busybox", "/usr/bin/busybox"].iter().map(PathBuf::from).find(|path| path.is_file())
}

/// A bundle and a state root, removed with everything in them at the end of the test.
pub struct Bundle {
    dir: PathBuf,
    name: String,
    /// `config.json` as a value, written by [`Bundle::run`] and its kin.
    pub config: Value,
}

impl Bundle {
    /// A bundle whose root has a shell. `None`: this machine cannot run the test; said by SKIP.
    pub fn new(test: &str) -> Option<Self> {
        if !is_root() {
            skip(test, "needs root");
            return None;
        }
        let Some(busybox) = busybox() else {
            skip(test, "needs busybox-static");
            return None;
        };
        // A test that was killed may have had this process's number and left its bundle.
        let names = (0..NAMES_TRIED).map(|_| {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            format!("tare-e2e-{}-{number}", std::process::id())
        });
        let temp = std::env::temp_dir();
        let name = names.into_iter().find(|name| !temp.join(name).exists()).expect("a free name");
        let dir = temp.join(&name);
        let bin = dir.join("rootfs/bin");
        std::fs::create_dir_all(&bin).expect("making the root");
        std::fs::copy(busybox, bin.join("busybox")).expect("copying busybox");
        for applet in ["sh", "cat", "id", "ls", "sleep", "true", "echo", "mount", "ps", "grep"] {
            std::os::unix::fs::symlink("busybox", bin.join(applet)).expect("linking");
        }
        let mut bundle = Self { dir, name, config: Value::Null };
        let spec = bundle.runtime(&["spec", "--bundle", bundle.path("")]);
        assert!(spec.status.success(), "{spec:?}");
        let text = std::fs::read(bundle.dir.join("config.json")).expect("reading config.json");
        bundle.config = serde_json::from_slice(&text).expect("spec writes JSON");
        bundle.config["process"]["terminal"] = json!(false);
        bundle.config["linux"]["cgroupsPath"] = match uses_systemd() {
            true => json!(format!("system.slice:tare:{}", bundle.name)),
            false => json!(format!("/{}", bundle.name)),
        };
        Some(bundle)
    }

    /// A path in the bundle.
    pub fn path(&self, below: &str) -> &'static str {
        let path = match below {
            "" => self.dir.clone(),
            below => self.dir.join(below),
        };
        // A test lives for seconds; its paths may live as long.
        Box::leak(path.to_string_lossy().into_owned().into_boxed_str())
    }

    /// The container's name, unique on the machine.
    pub fn id(&self) -> &str {
        &self.name
    }

    /// Sets the program.
    pub fn args(&mut self, args: &[&str]) -> &mut Self {
        self.config["process"]["args"] = json!(args);
        self
    }

    /// Gives the container a user namespace of its own, whose root owns the root directory.
    pub fn give_users(&mut self) {
        const ROOT: u32 = 100_000;
        let linux = &mut self.config["linux"];
        linux["namespaces"].as_array_mut().expect("a list").push(json!({"type": "user"}));
        for field in ["uidMappings", "gidMappings"] {
            linux[field] = json!([{"containerID": 0, "hostID": ROOT, "size": 65536}]);
        }
        let rootfs = self.path("rootfs");
        std::os::unix::fs::chown(rootfs, Some(ROOT), Some(ROOT)).expect("giving the root away");
    }

    /// Writes `config.json`.
    pub fn write(&self) {
        let text = serde_json::to_vec(&self.config).expect("a value is JSON");
        std::fs::write(self.dir.join("config.json"), text).expect("writing config.json");
    }

    /// A call of the runtime that is not started yet.
    pub fn command(&self, args: &[&str]) -> Command {
        self.complete(Command::new(program("tare-runtime")), args)
    }

    fn complete(&self, mut command: Command, args: &[&str]) -> Command {
        command.arg("--root").arg(self.dir.join("state"));
        if uses_systemd() {
            command.arg("--systemd-cgroup");
        }
        command.args(args).stdin(Stdio::null());
        command
    }

    /// Calls the runtime.
    pub fn runtime(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("starting the runtime")
    }

    /// Calls the runtime with every system call decided by `decide`. What it and the container say
    /// goes to the file `said` of the bundle.
    pub fn watched(
        &self,
        args: &[&str],
        decide: impl FnMut(usize, &sys::seccomp::Notice) -> Verdict + Send + 'static,
    ) -> Watched {
        let said = std::fs::File::create(self.dir.join("said")).expect("making a file");
        let mut command = self.complete(watch::command("tare-runtime"), args);
        command.stdout(said.try_clone().expect("copying a descriptor")).stderr(said);
        Watched::start(&mut command, decide)
    }

    /// What the last [`Bundle::watched`] call said.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.dir.join("said")).unwrap_or_default()
    }

    /// Puts the attacker's program into the root as `/bin/attack`, and beside it as `attack` for
    /// whoever attacks from outside. `false`: it could not be built; said by SKIP.
    pub fn arm(&self, test: &str) -> bool {
        if ATTACK.is_empty() {
            skip(test, "needs a C compiler");
            return false;
        }
        for place in [self.path("attack"), self.path("rootfs/bin/attack")] {
            std::fs::write(place, ATTACK).expect("writing the attacker's program");
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(place, mode).expect("making it a program");
        }
        true
    }

    /// Runs a shell script in a container and returns what came of it.
    pub fn sh(&mut self, script: &str) -> Output {
        self.args(&["sh", "-c", script]);
        self.run()
    }

    /// `run` of the bundle.
    pub fn run(&mut self) -> Output {
        self.write();
        let bundle = self.path("");
        let id = self.name.clone();
        self.runtime(&["run", "--bundle", bundle, &id])
    }

    /// `create` and `start` of the bundle, with no descriptors that would keep a pipe open.
    pub fn start(&mut self) {
        self.write();
        let (bundle, id) = (self.path(""), self.name.clone());
        for args in [vec!["create", "--bundle", bundle, &id], vec!["start", &id]] {
            let status = self
                .command(&args)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .expect("starting the runtime");
            assert!(status.success(), "{args:?}: {status}");
        }
    }

    /// The `status` that `state` prints.
    pub fn status(&self) -> String {
        let output = self.runtime(&["state", &self.name]);
        let value: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        value["status"].as_str().unwrap_or("none").to_string()
    }

    /// The container's directory in the unified hierarchy; `None`: the machine has v1.
    pub fn cgroup(&self) -> Option<PathBuf> {
        let root = Path::new("/sys/fs/cgroup");
        root.join("cgroup.controllers").is_file().then(|| match uses_systemd() {
            true => root.join(format!("system.slice/tare-{}.scope", self.name)),
            false => root.join(&self.name),
        })
    }

    /// What is left of the container: state, cgroups, mounts.
    pub fn leftovers(&self) -> Vec<PathBuf> {
        let state = std::fs::read_dir(self.dir.join("state")).into_iter().flatten().flatten();
        let state = state.map(|entry| entry.path());
        let root = PathBuf::from("/sys/fs/cgroup");
        let hierarchies = std::fs::read_dir(&root).into_iter().flatten().flatten();
        let mut places: Vec<PathBuf> = hierarchies.map(|entry| entry.path()).collect();
        places.push(root);
        let names = [self.name.clone(), format!("system.slice/tare-{}.scope", self.name)];
        let cgroups = places.iter().flat_map(|place| names.iter().map(|name| place.join(name)));
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
        let points: Vec<PathBuf> =
            points.map(PathBuf::from).filter(|point| point.starts_with(&self.dir)).collect();
        state.chain(cgroups.filter(|path| path.exists())).chain(points).collect()
    }
}

/// Runs the last command of a guard, which is given up when it is stuck: a failed test has something else to say.
pub fn clean_up(mut command: Command) {
    /// Longer than anything takes on a busy machine.
    const LIMIT: Duration = Duration::from_secs(120);
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = quiet.spawn() else { return };
    let began = Instant::now();
    while matches!(child.try_wait(), Ok(None)) {
        if began.elapsed() > LIMIT {
            // It may have ended by itself.
            let _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        clean_up(self.command(&["delete", "--force", &self.name]));
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// What a runtime without protection would do: a script of the host's in a mount namespace of its
/// own. Attacks are tried on it to see that they work.
pub fn unprotected(script: &str) -> Output {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script]);
    command.stdin(Stdio::null()).output().expect("starting unshare")
}

/// How many rounds a race goes: `TARE_E2E_ROUNDS`, which the long commands set, or `usual`.
pub fn rounds(usual: usize) -> usize {
    std::env::var("TARE_E2E_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// At most `count` of `0..total`, evenly spread, the last included.
pub fn spread(total: usize, count: usize) -> Vec<usize> {
    let count = count.min(total);
    (0..count).map(|index| total - 1 - index * total / count).rev().collect()
}

/// Says what a long test has done, to whoever runs it alone.
pub fn report(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Standard output as text.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn points_are_spread() {
        assert_eq!(spread(10, 3), [3, 6, 9]);
        assert_eq!(spread(3, 10), [0, 1, 2]);
        assert_eq!(spread(0, 10), [0; 0]);
    }
}
