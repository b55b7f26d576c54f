//! `cargo xtask dropin`: podman, buildah and containerd live their ordinary life with
//! `tare-runtime` in the place of their own runtime.
//!
//! Each step is a command line and what its output must contain. The engines get directories of
//! their own, and an image made from busybox.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

const APPLETS: [&str; 8] = ["sh", "echo", "id", "cat", "sleep", "ls", "hostname", "false"];
/// (`RUN` steps are what buildah starts containers for.)
const DOCKERFILE: &str = "FROM localhost/bb:latest\nRUN echo built > /built && id\nUSER 1000\n\
                          CMD [\"cat\", \"/built\"]\n";
/// Engines raise limits by default, which a machine may not allow them.
const CONTAINERS_CONF: &str = "[containers]\ndefault_ulimits = \
                               [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n";
/// containerd listens within milliseconds of a normal start.
const START_DEADLINE: Duration = Duration::from_secs(20);

/// (command line, what standard output or error must contain). `!` in front: it must fail.
const PODMAN: &[(&str, &str)] = &[
    ("run --rm --network none bb echo hello", "hello"),
    ("run -d --name c1 --network none bb sleep 100", ""),
    ("ps", "c1"),
    ("exec c1 sh -c 'id; echo entered'", "entered"),
    ("exec --user 1000:1000 c1 id", "uid=1000"),
    ("stats --no-stream c1", "c1"),
    ("pause c1", "c1"),
    ("ps --all --format {{.Status}}", "aused"),
    ("unpause c1", "c1"),
    ("stop -t 1 c1", "c1"),
    ("start c1", "c1"),
    ("kill c1", "c1"),
    ("wait c1", "137"),
    ("rm c1", "c1"),
    (
        "run --rm --network none --memory 64m bb cat \
         /sys/fs/cgroup/memory/memory.limit_in_bytes",
        "67108864",
    ),
    ("run --rm --network none --read-only --user 1000:1000 bb id", "uid=1000"),
    ("run --rm --tty --network none bb ls -l /dev/console", "/dev/console"),
    ("!run --rm --network none bb false", ""),
    ("!run --rm --network none bb /nonexistent", "not found"),
];

const CTR: &[(&str, &str)] = &[
    ("run --rm SNAP IMAGE t1 echo hello", "hello"),
    ("run -d SNAP IMAGE t2 sleep 100", ""),
    ("tasks ls", "RUNNING"),
    ("tasks exec --exec-id e1 t2 sh -c 'id; echo entered'", "entered"),
    ("tasks metrics t2", "memory"),
    ("tasks pause t2", ""),
    ("tasks ls", "PAUSED"),
    ("tasks resume t2", ""),
    ("tasks kill -s KILL t2", ""),
    ("containers ls", "t2"),
];

/// Removes the directory at the end, with the daemon that was started in it.
struct Place {
    dir: PathBuf,
    daemon: Option<Child>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Runs every step of every engine that is installed.
pub(crate) fn run() -> ExitCode {
    let dir = std::env::temp_dir().join(format!("tare-dropin-{}", std::process::id()));
    let mut place = Place { dir, daemon: None };
    match check_all(&mut place) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            crate::say(&format!("dropin: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

fn check_all(place: &mut Place) -> Result<(), String> {
    if sys::ids::euid() != 0 {
        return Err("needs root".into());
    }
    let runtime = build()?;
    let dir = place.dir.clone();
    make_root(&dir).map_err(|error| format!("making the image: {error}"))?;
    let podman = format!(
        "podman --root {0}/store --runroot {0}/run --storage-driver vfs --runtime {1} \
         --cgroup-manager cgroupfs --events-backend file",
        dir.display(),
        runtime.display()
    );
    let (mut passed, mut failed) = (0, 0);
    let mut step = |command: &str, expected: &str| match check(&dir, command, expected) {
        Ok(()) => passed += 1,
        Err(output) => {
            failed += 1;
            crate::print(&format!("FAIL {command}\n{output}\n"));
        }
    };
    step(&format!("tar -C {0}/rootfs -c . | {podman} import - bb:latest", dir.display()), "");
    for (line, expected) in PODMAN {
        step(&with_program(&podman, line), expected);
    }
    let buildah = format!(
        "buildah --root {0}/store --runroot {0}/run --storage-driver vfs bud --runtime {1} \
         --isolation oci --network none -t built {0}/context",
        dir.display(),
        runtime.display()
    );
    step(&buildah, "Successfully tagged");
    step(&format!("{podman} run --rm --network none built"), "built");
    place.daemon = Some(start_containerd(&dir)?);
    let archive = dir.join("bb.tar");
    step(&format!("{podman} save --format oci-archive -o {} bb", archive.display()), "");
    let ctr = format!("ctr -a {}/containerd.sock", dir.display());
    step(&format!("{ctr} images import --snapshotter native {}", archive.display()), "");
    let snapshotter = format!("--snapshotter native --runc-binary {}", runtime.display());
    for (line, expected) in CTR {
        let line = line.replace("SNAP", &snapshotter).replace("IMAGE", "localhost/bb:latest");
        step(&with_program(&ctr, &line), expected);
    }
    step(&format!("sleep 1; {ctr} tasks rm t2; {ctr} containers rm t2; {ctr} containers ls"), "");
    crate::print(&format!("{passed} passed, {failed} failed\n"));
    if failed == 0 { Ok(()) } else { Err("steps failed".into()) }
}

fn with_program(program: &str, line: &str) -> String {
    match line.strip_prefix('!') {
        Some(line) => format!("! {program} {line}"),
        None => format!("{program} {line}"),
    }
}

fn build() -> Result<PathBuf, String> {
    let arguments = ["build", "--quiet", "--locked", "--package", "tare-runtime"];
    let status = Command::new(env!("CARGO")).args(arguments).status();
    if !status.is_ok_and(|status| status.success()) {
        return Err("the build failed".into());
    }
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    Ok(own.with_file_name("tare-runtime"))
}

fn make_root(dir: &Path) -> std::io::Result<()> {
    let bin = dir.join("rootfs/bin");
    fs::create_dir_all(&bin)?;
    fs::create_dir_all(dir.join("context"))?;
    fs::write(dir.join("context/Dockerfile"), DOCKERFILE)?;
    fs::write(dir.join("containers.conf"), CONTAINERS_CONF)?;
    let busybox =
        if Path::new("/bin/busybox").exists() { "/bin/busybox" } else { "/usr/bin/busybox" };
    fs::copy(busybox, bin.join("busybox"))?;
    for applet in APPLETS {
        std::os::unix::fs::symlink("busybox", bin.join(applet))?;
    }
    Ok(())
}

/// Runs a command line; the error is its output.
fn check(dir: &Path, command: &str, expected: &str) -> Result<(), String> {
    let output = Command::new("sh")
        .args(["-c", command])
        .env("CONTAINERS_CONF", dir.join("containers.conf"))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    if output.status.success() && text.contains(expected) { Ok(()) } else { Err(text) }
}

fn start_containerd(dir: &Path) -> Result<Child, String> {
    let config = format!(
        "version = 2\nroot = \"{0}/cd-root\"\nstate = \"{0}/cd-state\"\n\
         disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
         [grpc]\naddress = \"{0}/containerd.sock\"\n",
        dir.display()
    );
    let path = dir.join("containerd.toml");
    fs::write(&path, config).map_err(|error| error.to_string())?;
    let child = Command::new("containerd")
        .arg("--config")
        .arg(path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("starting containerd: {error}"))?;
    let end = Instant::now() + START_DEADLINE;
    let socket = dir.join("containerd.sock");
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        if Instant::now() > end {
            return Err("containerd does not listen".into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(child)
}
