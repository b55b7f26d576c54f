//! The engines that are compared, each with its own state in the benchmark's directory.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A daemon that is not there by then does not come.
const DAEMON_WAIT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Tool {
    pub(super) name: &'static str,
    /// The program, and what comes before the verb.
    front: Vec<String>,
    /// The processes that stay beside containers, by the beginnings of their names.
    beside: &'static [&'static str],
}

impl Tool {
    pub(super) fn tare(program: &Path, dir: &Path) -> Self {
        let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
        let program = program.to_string_lossy().into_owned();
        let front =
            [program, "--root".into(), path("tare"), "--runroot".into(), path("tare-run")].to_vec();
        Self { name: "tare", front, beside: &["tare-supervise"] }
    }

    /// The same tool as somebody else types it.
    pub(super) fn typed_by(mut self, before: &[String]) -> Self {
        self.front.splice(0..0, before.iter().cloned());
        self
    }

    pub(super) fn podman(dir: &Path) -> Self {
        let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
        let front = [
            found("podman"),
            "--root".into(),
            path("podman"),
            "--runroot".into(),
            path("podman-run"),
            "--cgroup-manager=cgroupfs".into(),
        ];
        Self { name: "podman", front: front.to_vec(), beside: &["conmon"] }
    }

    pub(super) fn docker(dir: &Path) -> Self {
        let socket = format!("unix://{}", dir.join("docker.sock").display());
        let front = [found("docker"), "--host".into(), socket];
        Self {
            name: "docker",
            front: front.to_vec(),
            beside: &["containerd-shim", "dockerd", "containerd"],
        }
    }

    pub(super) fn command(&self, verb: &[&str]) -> Vec<String> {
        let (name, rest) = verb.split_first().unwrap_or((&"", &[]));
        // podman wants more open files than root may have where it may not raise its own limit.
        let more: &[&str] = if self.name == "podman" && *name == "run" {
            &["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]
        } else {
            &[]
        };
        let words = [name].into_iter().chain(more).chain(rest).map(ToString::to_string);
        self.front.iter().cloned().chain(words).collect()
    }

    /// Runs a verb that has to succeed.
    pub(super) fn output(&self, verb: &[&str]) -> Result<String, String> {
        let words = self.command(verb);
        let output = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("running {}: {error}", self.name))?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => {
                let why = String::from_utf8_lossy(&output.stderr);
                Err(format!("{} {}: {}", self.name, verb[0], why.trim()))
            }
        }
    }

    pub(super) fn import(&self, tar: &Path) -> Result<(), String> {
        self.output(&["import", &tar.to_string_lossy(), "box:1"]).map(drop)
    }

    pub(super) fn remove_all(&self) {
        if let Ok(ids) = self.output(&["ps", "-aq"]) {
            let ids: Vec<&str> = ids.split_whitespace().collect();
            for some in ids.chunks(100) {
                let _ = self.output(&[&["rm", "-f"], some].concat());
            }
        }
    }
}

/// The stopwatch does not look for programs.
fn found(name: &str) -> String {
    let path = crate::bench::runtime::on_path(name);
    path.map_or_else(|| name.to_owned(), |path| path.to_string_lossy().into_owned())
}

/// An archive of a root directory with a shell.
pub(super) fn image(dir: &Path) -> Result<PathBuf, String> {
    let tar = dir.join("box.tar");
    let script = "mkdir -p box/bin box/etc box/tmp box/proc box/sys box/dev
        cp \"$(command -v busybox)\" box/bin/busybox
        for name in sh true sleep yes head cat; do ln -sf busybox box/bin/$name; done
        echo 'root:x:0:0:root:/:/bin/sh' > box/etc/passwd; echo 'root:x:0:' > box/etc/group
        tar -C box -cf box.tar .";
    let status = Command::new("sh").args(["-ec", script]).current_dir(dir).status();
    match status {
        Ok(status) if status.success() => Ok(tar),
        _ => Err("making the image failed: it needs a static busybox".into()),
    }
}

/// The most memory that a process beside containers has ever had, in KiB.
pub(super) fn peak_beside(tool: &Tool) -> u64 {
    let peak = |status: String| {
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak.and_then(|it| it.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    let read = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    beside(tool).map(|path| peak(read(path.join("status")))).max().unwrap_or(0)
}

/// The processes that stay beside containers, as directories of /proc.
fn beside(tool: &Tool) -> impl Iterator<Item = PathBuf> + '_ {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| {
        let name = std::fs::read_to_string(path.join("comm")).unwrap_or_default();
        tool.beside.iter().any(|beside| name.starts_with(&beside[..beside.len().min(14)]))
    })
}

/// KiB of memory that is a process' own, of all that stay beside containers.
pub(super) fn memory_beside(tool: &Tool) -> u64 {
    let mut total = 0;
    for path in beside(tool) {
        let text = std::fs::read_to_string(path.join("smaps_rollup")).unwrap_or_default();
        let pss = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        total += pss.and_then(|it| it.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0);
    }
    total
}

/// dockerd, until it is dropped.
pub(super) struct Daemon(Child);

impl Daemon {
    pub(super) fn start(dir: &Path) -> Result<Self, String> {
        let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
        let log =
            std::fs::File::create(dir.join("dockerd.log")).map_err(|error| error.to_string())?;
        let child = Command::new("dockerd")
            .args(["--data-root", &path("docker"), "--exec-root", &path("docker-run")])
            .args([
                "--pidfile",
                &path("docker.pid"),
                "--host",
                &format!("unix://{}", path("docker.sock")),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("starting dockerd: {error}"))?;
        let daemon = Self(child);
        let began = Instant::now();
        let tool = Tool::docker(dir);
        while tool.output(&["version"]).is_err() {
            if began.elapsed() > DAEMON_WAIT {
                let log = std::fs::read_to_string(dir.join("dockerd.log")).unwrap_or_default();
                let last = log.lines().last().unwrap_or_default().to_owned();
                return Err(format!("dockerd does not answer: {last}"));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(daemon)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = sys::process::kill(self.0.id() as i32, 15);
        let _ = self.0.wait();
    }
}
