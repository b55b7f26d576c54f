//! What interrupts and fails: processes that are killed, system calls that fail or do not exist,
//! full disks, and thousands of cycles.
//!
//! The runtime and its children are watched call by call, so that every point is exact: "the
//! 17th call of the init" is the same place in every run.

mod crash;
mod fallbacks;
mod faults;
mod full_disk;
mod soak;

use e2e::Bundle;
use e2e::watch::{Verdict, Watched};
use serde_json::{Value, json};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use sys::seccomp::Notice;

const EXECVE: i32 = 59;
const EXECVEAT: i32 = 322;
/// Processes that were killed, or lost who they talk to, are gone within milliseconds, on a machine that does nothing else.
const GONE_DEADLINE: Duration = Duration::from_secs(120);

/// Whose call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// The runtime that was called.
    Caller = 0,
    /// What it forks: the container's init, an `exec`'d process.
    Child = 1,
}

/// Numbers the calls of caller and children, up to the one that executes the container's program.
#[derive(Clone, Debug, Default)]
struct Tally {
    caller: Option<u32>,
    /// The numbers of the system calls that were made, of each role.
    made: Arc<[Mutex<Vec<i32>>; 2]>,
    executed: bool,
}

impl Tally {
    /// Whose call this is, and how many came before. `None`: the container's program makes it.
    fn next(&mut self, notice: &Notice) -> Option<(Role, usize)> {
        let caller = *self.caller.get_or_insert(notice.pid);
        let role = if notice.pid == caller { Role::Caller } else { Role::Child };
        if role == Role::Child {
            if self.executed {
                return None;
            }
            self.executed = matches!(notice.number, EXECVE | EXECVEAT);
        }
        let mut made = self.made[role as usize].lock().unwrap();
        made.push(notice.number);
        Some((role, made.len() - 1))
    }

    fn made(&self, role: Role) -> Vec<i32> {
        self.made[role as usize].lock().unwrap().clone()
    }
}

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Create,
    Run,
    Start,
    Exec,
    Delete,
}

/// A container in one of the ways in which it is made.
struct Scenario {
    name: &'static str,
    verb: Verb,
    change: fn(&mut Bundle),
    /// In front of the verb that makes the container.
    global: &'static [&'static str],
}

const fn scenario(name: &'static str, verb: Verb, change: fn(&mut Bundle)) -> Scenario {
    Scenario { name, verb, change, global: &[] }
}

/// Every verb, and every order in which record, cgroup and init come to be.
static SCENARIOS: [Scenario; 9] = [
    scenario("create", Verb::Create, |_| {}),
    scenario("create users", Verb::Create, with_users),
    scenario("create joined", Verb::Create, with_joined),
    scenario("create shared", Verb::Create, without_mounts),
    Scenario {
        name: "create bare",
        verb: Verb::Create,
        change: with_joined,
        global: &["--cgroup-manager", "disabled"],
    },
    scenario("run", Verb::Run, |_| {}),
    scenario("start", Verb::Start, |_| {}),
    scenario("exec", Verb::Exec, |_| {}),
    scenario("delete", Verb::Delete, |_| {}),
];

fn find(name: &str) -> &'static Scenario {
    SCENARIOS.iter().find(|scenario| scenario.name == name).expect("a scenario of the table")
}

/// With a user namespace the init asks to be mapped.
fn with_users(bundle: &mut Bundle) {
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    let linux = &mut bundle.config["linux"];
    linux["uidMappings"] = map.clone();
    linux["gidMappings"] = map;
    if let Some(namespaces) = linux["namespaces"].as_array_mut() {
        namespaces.push(json!({"type": "user"}));
    }
    // The container's root has to own its root directory to make mount points in it.
    std::os::unix::fs::chown(bundle.path("rootfs"), Some(100_000), Some(100_000)).unwrap();
}

/// With a namespace to join a helper comes between caller and init.
fn with_joined(bundle: &mut Bundle) {
    for namespace in namespaces(&mut bundle.config) {
        if namespace["type"] == "uts" {
            namespace["path"] = json!("/proc/self/ns/uts");
        }
    }
    bundle.config["hostname"] = json!("");
}

/// Without a mount namespace the container's mounts are the host's.
fn without_mounts(bundle: &mut Bundle) {
    namespaces(&mut bundle.config).retain(|namespace| namespace["type"] != "mount");
    bundle.config["mounts"] = json!([{"destination": "/proc", "type": "proc", "source": "proc"},
               {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}]);
    bundle.config["linux"]["maskedPaths"] = json!([]);
    bundle.config["linux"]["readonlyPaths"] = json!([]);
}

fn namespaces(config: &mut Value) -> &mut Vec<Value> {
    config["linux"]["namespaces"].as_array_mut().expect("spec writes namespaces")
}

impl Scenario {
    /// The bundle of this scenario, with everything that a container has files for.
    fn bundle(&self, test: &str) -> Option<Bundle> {
        let mut bundle = Bundle::new(test)?;
        std::fs::create_dir(bundle.path("pids")).expect("making a directory");
        bundle.args(if self.verb == Verb::Run { &["true"] } else { &["sleep", "100"] });
        bundle.config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}]
        });
        bundle.config["linux"]["resources"] =
            json!({"memory": {"limit": 64 << 20}, "pids": {"limit": 30}});
        (self.change)(&mut bundle);
        bundle.write();
        Some(bundle)
    }

    /// Makes what the verb needs.
    fn prepare(&self, bundle: &Bundle) {
        if matches!(self.verb, Verb::Start | Verb::Exec | Verb::Delete) {
            quietly(bundle, &["create", "--bundle", bundle.path(""), bundle.id()]);
        }
        if matches!(self.verb, Verb::Exec | Verb::Delete) {
            quietly(bundle, &["start", bundle.id()]);
        }
    }

    /// The call that is watched.
    fn watch(
        &self,
        bundle: &Bundle,
        decide: impl FnMut(usize, &Notice) -> Verdict + Send + 'static,
    ) -> Watched {
        let (path, id, file) = (bundle.path(""), bundle.id(), bundle.path("pids/pid"));
        let call: Vec<&str> = match self.verb {
            Verb::Create => vec!["create", "--bundle", path, "--pid-file", file, id],
            Verb::Run => vec!["run", "--bundle", path, "--pid-file", file, id],
            Verb::Start => vec!["start", id],
            Verb::Exec => vec!["exec", "--pid-file", file, id, "true"],
            Verb::Delete => vec!["delete", "--force", id],
        };
        bundle.watched(&[self.global, &call].concat(), decide)
    }

    /// The calls that caller and child make when nothing happens to them.
    fn calls(&self, bundle: &Bundle) -> [Vec<i32>; 2] {
        // The state root is made by the first call.
        quietly(bundle, &["create", "--bundle", bundle.path(""), bundle.id()]);
        quietly(bundle, &["delete", "--force", bundle.id()]);
        self.prepare(bundle);
        let tally = Tally::default();
        let mut counting = tally.clone();
        let mut watched = self.watch(bundle, move |_, notice| {
            counting.next(notice);
            Verdict::Continue
        });
        let status = watched.wait();
        assert!(status.success(), "{}: {status}: {}", self.name, bundle.said());
        clean(self.name, bundle, watched);
        [tally.made(Role::Caller), tally.made(Role::Child)]
    }
}

/// Calls the runtime, which must succeed; a container must not hold the test's descriptors.
fn quietly(bundle: &Bundle, args: &[&str]) {
    let said = std::fs::File::create(bundle.path("quiet")).expect("making a file");
    let copy = said.try_clone().expect("copying a descriptor");
    let mut command = bundle.command(args);
    let status = command.stdout(Stdio::from(said)).stderr(Stdio::from(copy)).status().unwrap();
    let said = std::fs::read_to_string(bundle.path("quiet")).unwrap_or_default();
    assert!(status.success(), "{args:?}: {status}: {said}");
}

/// `delete --force` succeeds whatever is there, and nothing is left: no state, cgroup, mount,
/// process or temporary file; the name is free.
fn clean(case: &str, bundle: &Bundle, watched: Watched) {
    quietly(bundle, &["delete", "--force", bundle.id()]);
    assert!(watched.is_gone_within(GONE_DEADLINE), "{case}: processes are left");
    assert_nothing_left(case, bundle);
}

fn is_nothing_left(bundle: &Bundle) -> bool {
    let only_pid = |entry: std::fs::DirEntry| entry.file_name() == "pid";
    let mut files = std::fs::read_dir(bundle.path("pids")).unwrap().flatten();
    bundle.leftovers().is_empty() && files.all(only_pid)
}

fn assert_nothing_left(case: &str, bundle: &Bundle) {
    assert_eq!(bundle.leftovers(), Vec::<std::path::PathBuf>::new(), "{case}");
    let _ = std::fs::remove_file(bundle.path("pids/pid"));
    let files = std::fs::read_dir(bundle.path("pids")).unwrap().flatten();
    let files: Vec<_> = files.map(|entry| entry.file_name()).collect();
    assert!(files.is_empty(), "{case}: {files:?}");
}
