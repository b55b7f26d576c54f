//! Other programs' clients: each pulls what `tare` has pushed, pushes it below another name, and it is the same.

use super::Served;
use e2e::images::{Sample, Yard};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const ONE: Sample =
    Sample { text: "one", architectures: &["amd64"], layers: 2, packed: true, bytes: 200_000 };
/// Time for dockerd to start.
const LIMIT: Duration = Duration::from_secs(120);

/// A registry with an image, `team/app:v1`.
struct Scene {
    yard: Yard,
    served: Served,
    layers: Vec<String>,
}

impl Scene {
    fn new() -> Self {
        let yard = Yard::new();
        let served = Served::start(&yard, "registry", &[]);
        ONE.write(&yard.path("layout"), "one");
        let layout = format!("oci:{}:one", yard.path("layout"));
        yard.fine(&["copy", "-q", &layout, &served.place("team/app:v1")]);
        let mut scene = Self { yard, served, layers: Vec::new() };
        scene.layers = scene.diff_ids("team/app:v1");
        scene
    }

    /// The layers of an image, as its configuration has them: whoever packs them anew has others, of the same content.
    fn diff_ids(&self, name: &str) -> Vec<String> {
        let text = self.yard.fine(&["inspect", "--config", &self.served.place(name)]);
        let config: serde_json::Value = serde_json::from_str(&text).unwrap();
        let ids = config["rootfs"]["diff_ids"].as_array().expect("layers");
        ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect()
    }

    fn name(&self, name: &str) -> String {
        format!("{}/{name}", self.served.host)
    }

    /// Sees that an image that a client has pushed is whole and the same.
    fn check(&self, name: &str) {
        assert_eq!(self.diff_ids(name), self.layers, "{name}");
        let to = format!("oci:{}:x", self.yard.path(&name.replace(['/', ':'], "-")));
        self.yard.fine(&["copy", "-q", &self.served.place(name), &to]);
    }

    /// Calls a client, which must succeed. `None`: it is not installed.
    fn call(&self, test: &str, program: &str, args: &[&str]) -> Option<String> {
        let Ok(output) = self.output(program, args) else {
            e2e::skip(test, &format!("{program} is not installed"));
            return None;
        };
        assert!(output.status.success(), "{program} {args:?}: {}", e2e::stderr(&output));
        Some(e2e::stdout(&output))
    }

    fn output(&self, program: &str, args: &[&str]) -> std::io::Result<Output> {
        let config = self.yard.path("home/.config/containers");
        Command::new(program)
            .args(args)
            .env("HOME", self.yard.path("home"))
            .env("XDG_RUNTIME_DIR", self.yard.path("runtime"))
            .env("CONTAINERS_REGISTRIES_CONF", format!("{config}/registries.conf"))
            .stdin(Stdio::null())
            .output()
    }
}

#[test]
fn skopeo_copies_lists_and_deletes() {
    const TEST: &str = "skopeo_copies_lists_and_deletes";
    let scene = Scene::new();
    let policy = scene.yard.path("home/.config/containers/policy.json");
    let skopeo =
        |args: &[&str]| scene.call(TEST, "skopeo", &[&["--policy", &policy], args].concat());
    let from = scene.served.place("team/app:v1");
    let dir = format!("dir:{}", scene.yard.path("dir"));
    if skopeo(&["copy", "--src-tls-verify=false", &from, &dir]).is_none() {
        return;
    }
    let to = scene.served.place("other/name:v2");
    skopeo(&["copy", "--dest-tls-verify=false", &dir, &to]);
    let packed = scene.served.place("other/name:v3");
    skopeo(&["copy", "--dest-tls-verify=false", "--format", "v2s2", &dir, &packed]);
    let list = scene.served.place("other/name");
    let tags = skopeo(&["list-tags", "--tls-verify=false", &list]).unwrap();
    assert!(tags.contains("\"v2\"") && tags.contains("\"v3\""), "{tags}");
    scene.check("other/name:v2");
    scene.check("other/name:v3");
    skopeo(&["delete", "--tls-verify=false", &to]);
    let gone = scene.yard.fails(&["inspect", &to]);
    assert!(gone.contains("there is no manifest"), "{gone}");
}

/// podman and buildah, which share their stores' form, each with one of its own.
fn pull_and_push(test: &str, program: &str) {
    if !e2e::is_root() {
        return e2e::skip(test, "needs root");
    }
    let scene = Scene::new();
    let (root, runroot) = (scene.yard.path("containers"), scene.yard.path("containers-run"));
    let store = ["--root", &root, "--runroot", &runroot, "--storage-driver", "vfs"];
    let policy = scene.yard.path("home/.config/containers/policy.json");
    let call = |args: &[&str]| scene.call(test, program, &[&store[..], args].concat());
    let from = scene.name("team/app:v1");
    let pull = ["pull", "-q", "--tls-verify=false", "--signature-policy", &policy, &from];
    if call(&pull).is_none() {
        return;
    }
    for (name, more) in [("other/oci:v2", "oci"), ("other/docker:v2", "v2s2")] {
        let to = format!("docker://{}", scene.name(name));
        call(&["push", "-q", "--tls-verify=false", "--format", more, &from, &to]);
        scene.check(name);
    }
    // What is there is not sent again.
    let to = format!("docker://{}", scene.name("other/oci:v3"));
    call(&["push", "-q", "--tls-verify=false", &from, &to]);
    scene.check("other/oci:v3");
    call(&["rmi", "-f", &from]);
}

#[test]
fn podman_pulls_and_pushes() {
    pull_and_push("podman_pulls_and_pushes", "podman");
}

#[test]
fn buildah_pulls_and_pushes() {
    pull_and_push("buildah_pulls_and_pushes", "buildah");
}

/// A dockerd of the test's own, with its containerd; both end with the test.
struct Dockerd(Child);

impl Dockerd {
    fn start(yard: &Yard) -> Result<Self, String> {
        let path = |name: &str| yard.path(&format!("docker-{name}"));
        let log = std::fs::File::create(path("log")).unwrap();
        let mut command = Command::new("dockerd");
        command.args(["--data-root", &path("data"), "--exec-root", &path("exec")]);
        command.args(["--pidfile", &path("pid"), "--host", &format!("unix://{}", path("sock"))]);
        command.args(["--bridge", "none", "--iptables=false", "--ip6tables=false"]);
        command.args(["--ip-forward=false", "--ip-masq=false", "--storage-driver", "vfs"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let mut daemon = Self(child.map_err(|_| "dockerd is not installed".to_owned())?);
        let began = Instant::now();
        while began.elapsed() < LIMIT {
            if std::os::unix::net::UnixStream::connect(path("sock")).is_ok() {
                return Ok(daemon);
            }
            if daemon.0.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = std::fs::read_to_string(path("log")).unwrap_or_default();
        Err(format!("dockerd does not run here: {}", log.lines().last().unwrap_or_default()))
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        // It takes containerd with it when it is asked to end.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let began = Instant::now();
        while matches!(self.0.try_wait(), Ok(None)) {
            if began.elapsed() > LIMIT {
                let _ = self.0.kill();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn docker_and_containerd_pull_and_push() {
    const TEST: &str = "docker_and_containerd_pull_and_push";
    if !e2e::is_root() {
        return e2e::skip(TEST, "needs root");
    }
    let scene = Scene::new();
    let _daemon = match Dockerd::start(&scene.yard) {
        Ok(daemon) => daemon,
        Err(reason) => return e2e::skip(TEST, &reason),
    };
    let (first, second) = (scene.name("team/app:v1"), scene.name("other/docker:v2"));
    let socket = format!("unix://{}", scene.yard.path("docker-sock"));
    let docker = |args: &[&str]| scene.call(TEST, "docker", &[&["-H", &socket], args].concat());
    if docker(&["pull", "-q", &first]).is_none() {
        return;
    }
    docker(&["tag", &first, &second]);
    docker(&["push", "-q", &second]);
    scene.check("other/docker:v2");
    let socket = scene.yard.path("docker-exec/containerd/containerd.sock");
    let ctr = |args: &[&str]| scene.call(TEST, "ctr", &[&["-a", &socket], args].concat());
    let third = scene.name("other/containerd:v3");
    if ctr(&["content", "fetch", "--plain-http", &first]).is_none() {
        return;
    }
    ctr(&["images", "push", "--plain-http", &third, &first]);
    scene.check("other/containerd:v3");
}
