//! An ordinary user's containers.

use e2e::{Bundle, program, stderr, stdout};
use serde_json::{Value, json};
use std::process::{Command, Output, Stdio};

const NOBODY: u32 = 65534;

/// A bundle that belongs to another user than root, with the program in it: the build directory
/// may be closed to others.
struct Own {
    bundle: Bundle,
    rt: &'static str,
}

impl Own {
    fn new(test: &str) -> Option<Self> {
        let bundle = Bundle::new(test)?;
        let rt = bundle.path("rt");
        std::fs::copy(program("tare-runtime"), rt).unwrap();
        std::fs::remove_file(bundle.path("config.json")).unwrap();
        std::fs::create_dir_all(bundle.path("state")).unwrap();
        let chown = Command::new("chown").args(["-R", "65534:65534", bundle.path("")]).status();
        assert!(chown.unwrap().success());
        let mut own = Self { bundle, rt };
        let spec = own.call(&["spec", "--rootless", "--bundle", own.bundle.path("")]);
        assert!(spec.status.success(), "{}", stderr(&spec));
        let text = std::fs::read(own.bundle.path("config.json")).unwrap();
        own.bundle.config = serde_json::from_slice(&text).unwrap();
        own.bundle.config["process"]["terminal"] = json!(false);
        Some(own)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        let id = NOBODY.to_string();
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups", self.rt, "--root"]);
        command.arg(self.bundle.path("state")).args(args);
        command.env_clear().env("XDG_RUNTIME_DIR", self.bundle.path("state"));
        command.current_dir("/").stdin(Stdio::null());
        command
    }

    fn call(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// The same on a machine whose administrator has given ranges of ids to the user.
    fn call_with_ranges(&self, args: &[&str]) -> Output {
        let etc = self.bundle.path("etc");
        let script = "
            mkdir -p $0 && for file in passwd group nsswitch.conf login.defs; do
                [ ! -e /etc/$file ] || cp /etc/$file $0; done &&
            echo 65534:300000:1000 > $0/subuid && echo 65534:400000:1000 > $0/subgid &&
            mount --bind $0 /etc && exec \"$@\"
        ";
        let inner = self.command(args);
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", script, etc]);
        command.arg(inner.get_program()).args(inner.get_args());
        command.env("XDG_RUNTIME_DIR", self.bundle.path("state"));
        command.current_dir("/").stdin(Stdio::null()).output().unwrap()
    }

    fn start(&self, id: &str) {
        self.bundle.write();
        for args in [&["create", "--bundle", self.bundle.path(""), id][..], &["start", id]] {
            let log = std::fs::File::create(self.bundle.path("log")).unwrap();
            let status = self.command(args).stdout(Stdio::null()).stderr(log).status().unwrap();
            let log = std::fs::read_to_string(self.bundle.path("log")).unwrap();
            assert!(status.success(), "{args:?}: {log}");
        }
    }
}

#[test]
fn an_ordinary_user_lives_with_a_container() {
    let Some(mut own) = Own::new("an_ordinary_user_lives_with_a_container") else { return };
    own.bundle.args(&["sh", "-c", "echo up > /dev/shm/up; exec sleep 100"]);
    let id = own.bundle.id().to_string();
    own.start(&id);
    let says = |args: &[&str]| {
        let output = own.call(args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        stdout(&output)
    };
    let state = || serde_json::from_str::<Value>(&says(&["state", &id])).unwrap();
    assert_eq!(state()["status"], "running");
    assert_eq!(state()["owner"].as_str().unwrap_or("nobody"), "nobody");
    assert_eq!(says(&["list", "--quiet"]), format!("{id}\n"));
    assert_eq!(says(&["exec", &id, "sh", "-c", "id -u; cat /dev/shm/up"]), "0\nup\n");
    assert_eq!(says(&["exec", "--user", "0:0", "--cwd", "/bin", &id, "sh", "-c", "pwd"]), "/bin\n");
    // Without a cgroup there is nothing to freeze, and a sentence says so.
    let paused = own.call(&["pause", &id]);
    assert!(!paused.status.success() && stderr(&paused).contains("cgroup"), "{}", stderr(&paused));
    says(&["kill", &id, "KILL"]);
    for _ in 0..6000 {
        if state()["status"] == "stopped" {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(state()["status"], "stopped");
    says(&["delete", &id]);
    assert_eq!(says(&["list", "--quiet"]), "");
    assert_eq!(own.bundle.leftovers(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn an_ordinary_user_has_the_ids_that_the_administrator_gave() {
    let test = "an_ordinary_user_has_the_ids_that_the_administrator_gave";
    if !std::path::Path::new("/usr/bin/newuidmap").exists() {
        return e2e::skip(test, "needs newuidmap (package uidmap)");
    }
    let Some(mut own) = Own::new(test) else { return };
    for (field, host) in [("uidMappings", 300_000), ("gidMappings", 400_000)] {
        own.bundle.config["linux"][field] = json!([
            {"containerID": 0, "hostID": NOBODY, "size": 1},
            {"containerID": 1, "hostID": host, "size": 1000}
        ]);
    }
    own.bundle.config["process"]["user"] = json!({"uid": 7, "gid": 8, "additionalGids": [9]});
    own.bundle.args(&["sh", "-c", "id -u; id -G"]).write();
    let (dir, id) = (own.bundle.path(""), own.bundle.id().to_string());
    let run = ["run", "--bundle", dir, &id];
    let output = own.call_with_ranges(&run);
    assert_eq!(stdout(&output), "7\n8 9\n", "{}", stderr(&output));
    // Others' ids are not to be had.
    own.bundle.config["linux"]["uidMappings"][1]["hostID"] = json!(1000);
    own.bundle.write();
    let output = own.call_with_ranges(&run);
    let text = stderr(&output);
    assert!(
        text.contains("newuidmap refused the mapping") && text.contains("/etc/subuid"),
        "{text}"
    );
    assert_eq!(own.bundle.leftovers(), Vec::<std::path::PathBuf>::new());
}

/// The files of a process that hides belong to the host's root, its score's too.
#[test]
fn an_ordinary_user_sets_the_oom_score() {
    let Some(mut own) = Own::new("an_ordinary_user_sets_the_oom_score") else { return };
    own.bundle.config["process"]["oomScoreAdj"] = json!(500);
    own.bundle.args(&["sleep", "100"]);
    let id = own.bundle.id().to_string();
    own.start(&id);
    const SCORE: &str = "/proc/self/oom_score_adj";
    let output = own.call(&["exec", &id, "cat", SCORE]);
    assert_eq!(stdout(&output), "500\n", "{}", stderr(&output));
    let process = own.bundle.path("process.json");
    let more = json!({"args": ["cat", SCORE], "cwd": "/", "oomScoreAdj": 600});
    std::fs::write(process, more.to_string()).unwrap();
    let output = own.call(&["exec", "--process", process, &id]);
    assert_eq!(stdout(&output), "600\n", "{}", stderr(&output));

    // A first process that joins a user namespace hides at once.
    let state = own.call(&["state", &id]);
    let state: Value = serde_json::from_slice(&state.stdout).unwrap();
    for entry in own.bundle.config["linux"]["namespaces"].as_array_mut().unwrap() {
        if entry["type"] == "user" {
            entry["path"] = json!(format!("/proc/{}/ns/user", state["pid"]));
        }
    }
    for field in ["uidMappings", "gidMappings"] {
        own.bundle.config["linux"].as_object_mut().unwrap().remove(field);
    }
    own.bundle.args(&["cat", SCORE]).write();
    for round in 0..10 {
        let output = own.call(&["run", "--bundle", own.bundle.path(""), &format!("{id}-{round}")]);
        assert_eq!(stdout(&output), "500\n", "{}", stderr(&output));
    }
    // Nobody may go below what was given.
    own.bundle.config["process"]["oomScoreAdj"] = json!(-500);
    own.bundle.write();
    let output = own.call(&["run", "--bundle", own.bundle.path(""), &format!("{id}-low")]);
    assert!(stderr(&output).contains("process.oomScoreAdj"), "{}", stderr(&output));
    own.call(&["delete", "--force", &id]);
}
