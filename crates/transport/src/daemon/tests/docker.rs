//! A dockerd of the test's own.

use super::*;
use crate::tests::is_installed;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// Time for a daemon to come and to go.
const LIMIT: Duration = Duration::from_secs(120);

/// A daemon that has its own directories and no network, and ends with the test.
struct Dockerd {
    process: Child,
    root: PathBuf,
}

impl Dockerd {
    /// Starts one; an error is what it says when it cannot run here.
    fn start(root: &Path) -> Result<Self, String> {
        let path = |name: &str| root.join(name).display().to_string();
        let log = std::fs::File::create(root.join("log")).unwrap();
        let mut command = Command::new("dockerd");
        command.args(["--data-root", &path("data"), "--exec-root", &path("exec")]);
        command.args(["--pidfile", &path("pid"), "--host", &format!("unix://{}", path("d.sock"))]);
        command.args(["--bridge", "none", "--iptables=false", "--ip6tables=false"]);
        command.args(["--ip-forward=false", "--ip-masq=false", "--storage-driver", "vfs"]);
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let process = process.map_err(|error| error.to_string())?;
        let mut daemon = Self { process, root: root.to_owned() };
        let started = Instant::now();
        while started.elapsed() < LIMIT {
            if std::os::unix::net::UnixStream::connect(root.join("d.sock")).is_ok() {
                return Ok(daemon);
            }
            if daemon.process.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = std::fs::read_to_string(root.join("log")).unwrap_or_default();
        Err(format!("dockerd does not run here: {}", log.lines().last().unwrap_or_default()))
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        // It takes containerd with it when it is asked to end.
        let pid = self.process.id().to_string();
        let _ = Command::new("kill").arg(pid).status();
        let began = Instant::now();
        while matches!(self.process.try_wait(), Ok(None)) {
            if began.elapsed() > LIMIT {
                let _ = self.process.kill();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

/// What dockerd loads of our images, and gives back: the same configuration and layers.
#[test]
fn dockerd_loads_and_saves_the_same_images() {
    const TEST: &str = "dockerd_loads_and_saves_the_same_images";
    if !is_installed(TEST, "dockerd") {
        return;
    }
    let root = test_directory("docker");
    let daemon = match Dockerd::start(&root) {
        Ok(daemon) => daemon,
        Err(reason) => return skips::skip(TEST, &reason),
    };
    let options = options(&root);
    let layers = [layer("a", "first"), layer("b", "second")];
    let sink = DaemonSink::create(&options, &image("x.example/a:1")).unwrap();
    let manifest = write_image(&sink, Format::Docker, &layers);
    let source = DaemonSource::open(&options, &image("x.example/a:1")).unwrap();
    assert_eq!(read_layers(&source), layers);
    let id = *manifest.manifest().unwrap().config.verifiable().unwrap();
    assert_eq!(digests(&source)[0], id);
    let by_id = DaemonSource::open(&options, &DaemonImage::Id(id)).unwrap();
    assert_eq!(digests(&by_id), digests(&source));
    let absent = DaemonSource::open(&options, &image("x.example/absent:1"));
    assert_eq!(kind(absent), Some(ErrorKind::NotFound));
    // A layer that is another one than the configuration says.
    let sink = DaemonSink::create(&options, &image("x.example/b:1")).unwrap();
    let named = crate::tests::config(&[layer("c", "third")]);
    let config = put(&sink, oci::image::media_type::DOCKER_CONFIG, &named);
    let manifest = oci::image::Manifest {
        schema_version: 2,
        media_type: oci::image::media_type::DOCKER_MANIFEST.into(),
        config,
        layers: vec![put(&sink, DOCKER_LAYER, &layer("c", "fourth"))],
        ..Default::default()
    };
    let bytes = oci::json::write(&manifest).into_bytes();
    let manifest = crate::hash::verify_manifest(bytes, "", None).unwrap();
    assert_eq!(kind(sink.finish(&manifest)), Some(ErrorKind::Network));
    drop(daemon);
}
