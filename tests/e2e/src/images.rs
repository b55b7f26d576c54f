//! The harness of tests about images: a directory with a store of its own, docker's registry on a port
//! that was free, and images that are made on the spot.

use archive::TreePath;
use archive::compression::{Codec, Encoder};
use archive::tar::{Bytes, Entry, What, Writer};
use oci::image::{Descriptor, ImageConfig, Index, Manifest, Platform, RootFs, media_type};
use oci::{Algorithm, Digest};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use transport::Sink;
use transport::hash::{digest_of, verify_manifest};
use transport::layout::{LayoutSink, Place};

/// How long a registry may take to start on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(120);
/// Names a skopeo to compare with instead of that in `PATH`: a newer one.
const SKOPEO: &str = "TARE_E2E_SKOPEO";

/// A directory with a store, a home and configurations of its own, which goes with the test.
pub struct Yard {
    dir: PathBuf,
}

impl Yard {
    /// An empty one.
    pub fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    /// An empty one that no disk has to keep, for tests that go round often.
    pub fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { Self::below(memory) } else { Self::new() }
    }

    /// An empty one below a directory.
    pub fn below(parent: &Path) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = parent.join(format!("tare-e2e-yard-{}-{number}", std::process::id()));
        // A test that was killed may have had this process's number.
        let _ = std::fs::remove_dir_all(&dir);
        let config = dir.join("home/.config/containers");
        std::fs::create_dir_all(&config).expect("making the yard");
        let policy = r#"{"default":[{"type":"insecureAcceptAnything"}]}"#;
        std::fs::write(config.join("policy.json"), policy).expect("writing a policy");
        std::fs::write(config.join("registries.conf"), "").expect("writing registries.conf");
        std::fs::create_dir(config.join("registries.d")).expect("making registries.d");
        Self { dir }
    }

    /// A path in it, as a text.
    pub fn path(&self, below: &str) -> String {
        self.dir.join(below).to_str().expect("a path of ASCII").to_owned()
    }

    /// Writes a file in it, and makes its directories.
    pub fn write(&self, below: &str, content: &[u8]) -> String {
        let path = self.dir.join(below);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("making a directory");
        std::fs::write(&path, content).expect("writing a file");
        self.path(below)
    }

    /// Reads a file in it.
    pub fn read(&self, below: &str) -> Vec<u8> {
        std::fs::read(self.dir.join(below)).unwrap_or_else(|error| panic!("{below}: {error}"))
    }

    /// The names in a directory, sorted.
    pub fn list(&self, below: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.join(below)).expect("a directory");
        let name = |it: std::io::Result<std::fs::DirEntry>| it.expect("an entry").file_name();
        let mut names: Vec<String> =
            entries.map(|it| name(it).to_str().expect("ASCII").to_owned()).collect();
        names.sort();
        names
    }

    fn command(&self, program: &Path) -> Command {
        self.complete(Command::new(program))
    }

    fn complete(&self, mut command: Command) -> Command {
        for name in ["REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
            command.env_remove(name);
        }
        command
            .env("HOME", self.dir.join("home"))
            .env("XDG_RUNTIME_DIR", self.dir.join("runtime"))
            .env("CONTAINERS_REGISTRIES_CONF", self.path("home/.config/containers/registries.conf"))
            .env("TARE_ROOT", self.dir.join("store"))
            .env("TARE_RUNROOT", self.dir.join("run"))
            .current_dir(&self.dir)
            .stdin(Stdio::null());
        if self.dir.join("tmp").is_dir() {
            command.env("TMPDIR", self.dir.join("tmp"));
        }
        command
    }

    /// A call of `tare` in it for [`crate::watch::Watched::start`].
    pub fn watched_command(&self, args: &[&str]) -> Command {
        let mut command = self.complete(crate::watch::command("tare"));
        command.args(args);
        command
    }

    /// A call of `tare` in it that is not started yet.
    pub fn tare_command(&self, args: &[&str]) -> Command {
        let mut command = self.command(&crate::program("tare"));
        command.args(args);
        command
    }

    /// A script in it that is not started yet; `tare` is the program.
    pub fn shell(&self, script: &str) -> Command {
        let mut command = self.command(Path::new("sh"));
        let program = crate::program("tare");
        command.args(["-ec", &format!("tare() {{ {} \"$@\"; }}\n{script}", program.display())]);
        command
    }

    /// Calls `tare` in it.
    pub fn tare(&self, args: &[&str]) -> Output {
        self.tare_command(args).output().expect("starting tare")
    }

    /// Calls `tare`, which must succeed, and returns its standard output.
    pub fn fine(&self, args: &[&str]) -> String {
        let output = self.tare(args);
        assert!(output.status.success(), "{args:?}: {}", crate::stderr(&output));
        crate::stdout(&output)
    }

    /// Calls `tare`, which must fail with the code 1, and returns its standard error.
    pub fn fails(&self, args: &[&str]) -> String {
        let output = self.tare(args);
        let text = crate::stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
        text
    }

    /// Calls skopeo, which must succeed, and returns its standard output. `None`: there is none, or an
    /// older one that does not know an option, said by SKIP.
    pub fn skopeo(&self, test: &str, args: &[&str]) -> Option<String> {
        let program = std::env::var_os(SKOPEO).map_or_else(|| "skopeo".into(), PathBuf::from);
        let policy = self.path("home/.config/containers/policy.json");
        let Ok(output) = self.command(&program).args(["--policy", &policy]).args(args).output()
        else {
            crate::skip(test, "skopeo is not installed");
            return None;
        };
        let text = crate::stderr(&output);
        if text.contains("unknown flag") {
            crate::skip(test, &format!("skopeo is too old: {}", text.trim()));
            return None;
        }
        assert!(output.status.success(), "skopeo {args:?}: {text}");
        Some(crate::stdout(&output))
    }

    /// Whether skopeo is there and of this version of 1 at least; otherwise said by SKIP.
    pub fn has_skopeo(&self, test: &str, minor: u32) -> bool {
        let Some(text) = self.skopeo(test, &["--version"]) else { return false };
        let found = text.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
        let is_enough = found.is_some_and(|found| found >= minor);
        if !is_enough {
            crate::skip(test, &format!("skopeo is older than 1.{minor}"));
        }
        is_enough
    }
}

impl Default for Yard {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Yard {
    fn drop(&mut self) {
        // A failed test has something else to say.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Docker's registry, which ends with the test.
pub struct DockerRegistry {
    child: Child,
    host: String,
}

impl DockerRegistry {
    /// Starts one in a yard. `None`: it is not installed, said by SKIP.
    pub fn start(test: &str, yard: &Yard) -> Option<Self> {
        Self::start_with(test, yard, "  delete:\n    enabled: true\n", "")
    }

    /// As [`DockerRegistry::start`], with lines of `storage`, and others.
    pub fn start_with(test: &str, yard: &Yard, storage: &str, more: &str) -> Option<Self> {
        let host = format!("127.0.0.1:{}", skips::free_port());
        let name = host.replace(':', "-");
        let data = yard.path(&format!("registry-{name}"));
        let text = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {data}\n{storage}\
             http:\n  addr: {host}\nlog:\n  level: error\n{more}"
        );
        let config = yard.write(&format!("registry-{name}.yml"), text.as_bytes());
        let started = Command::new("docker-registry")
            .args(["serve", &config])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = started else {
            crate::skip(test, "docker-registry is not installed");
            return None;
        };
        let registry = Self { child, host };
        let began = Instant::now();
        while TcpStream::connect(&registry.host).is_err() {
            assert!(began.elapsed() < START_LIMIT, "docker-registry does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(registry)
    }

    /// Its name in references.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// A place in it.
    pub fn place(&self, name: &str) -> String {
        format!("docker://{}/{name}", self.host)
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Passes on what goes to a registry, and notes what was asked for.
pub struct Recorder {
    host: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Recorder {
    /// Stands before a registry. Its threads end with the test's process.
    pub fn before(registry: &DockerRegistry) -> Self {
        Self::stalling(registry, usize::MAX)
    }

    /// Falls silent on each connection after it has brought so much.
    pub fn stalling(registry: &DockerRegistry, bytes: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let host = listener.local_addr().expect("an address").to_string();
        let (asked, target) = (Arc::new(Mutex::new(Vec::new())), registry.host().to_owned());
        let noted = asked.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (noted, target) = (noted.clone(), target.clone());
                std::thread::spawn(move || pass_on(client, &target, &noted, bytes));
            }
        });
        Self { host, asked }
    }

    /// Its name in references.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// What was asked since the last time: `GET /v2/...`.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().expect("no thread has panicked"))
    }
}

fn pass_on(client: TcpStream, target: &str, noted: &Mutex<Vec<String>>, bytes: usize) {
    let Ok(server) = TcpStream::connect(target) else { return };
    let (mut to_client, mut from_server) =
        (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
    std::thread::spawn(move || {
        let mut some = (&mut from_server).take(bytes as u64);
        let copied = std::io::copy(&mut some, &mut to_client);
        if copied.is_ok_and(|copied| copied == bytes as u64) {
            // The connection stays, and nothing comes.
            std::thread::sleep(Duration::from_secs(3600));
        }
    });
    let (mut from_client, mut to_server) = (client, server);
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from_client.read(&mut buffer) {
        // A request begins with what is read: nobody sends the next one before the answer.
        let text = String::from_utf8_lossy(&buffer[..count.min(1024)]);
        if let Some((asked, _)) = text.split_once(" HTTP/1.1\r\n")
            && asked.contains(" /v2/")
        {
            noted.lock().expect("no thread has panicked").push(asked.to_owned());
        }
        if to_server.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}

/// An image to be made.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What its files say: two samples with other texts have no blob in common.
    pub text: &'static str,
    /// One makes an image, several an index.
    pub architectures: &'static [&'static str],
    /// How many layers each image has.
    pub layers: usize,
    /// Whether layers are packed.
    pub packed: bool,
    /// Bytes of each layer's file at least.
    pub bytes: usize,
}

impl Default for Sample {
    fn default() -> Self {
        Self { text: "sample", architectures: &["amd64"], layers: 2, packed: true, bytes: 1 }
    }
}

impl Sample {
    /// Makes it in a layout, below a name, and returns the digest of its manifest or index.
    pub fn write(&self, layout: &str, name: &str) -> Digest {
        let place = Place::parse(&format!("{layout}:{name}")).expect("a place");
        let sink = LayoutSink::create(&place, None).expect("making a layout");
        self.put(&sink)
    }

    fn put(&self, sink: &dyn Sink) -> Digest {
        let mut descriptors = Vec::new();
        for architecture in self.architectures {
            let manifest = self.manifest(sink, architecture);
            if self.architectures.len() == 1 {
                sink.finish(&manifest).expect("finishing an image");
                return *manifest.digest();
            }
            sink.put_instance(&manifest).expect("putting an image");
            let platform = Platform {
                architecture: (*architecture).into(),
                os: "linux".into(),
                ..Platform::default()
            };
            descriptors.push(Descriptor { platform: Some(platform), ..manifest.descriptor() });
        }
        let index = Index {
            schema_version: 2,
            media_type: media_type::OCI_INDEX.into(),
            manifests: descriptors,
            ..Index::default()
        };
        let index = verify_manifest(oci::json::write(&index).into_bytes(), "", None);
        let index = index.expect("an index");
        sink.finish(&index).expect("finishing an index");
        *index.digest()
    }

    fn manifest(&self, sink: &dyn Sink, architecture: &str) -> oci::image::Document {
        let tars: Vec<Vec<u8>> = (0..self.layers)
            .map(|number| tar(&format!("{architecture} {number} {}", self.text), self.bytes))
            .collect();
        let config = ImageConfig {
            created: "2024-01-02T03:04:05Z".into(),
            architecture: architecture.into(),
            os: "linux".into(),
            config: Some(oci::image::ContainerConfig {
                env: vec!["PATH=/bin".into(), format!("TEXT={}", self.text)],
                labels: [("maintainer".to_owned(), self.text.to_owned())].into_iter().collect(),
                ..oci::image::ContainerConfig::default()
            }),
            rootfs: RootFs {
                kind: "layers".into(),
                diff_ids: tars.iter().map(|tar| sha256(tar).into()).collect(),
            },
            history: (0..self.layers)
                .map(|number| oci::image::History {
                    created: "2024-01-02T03:04:05Z".into(),
                    created_by: format!("layer {number}"),
                    ..oci::image::History::default()
                })
                .collect(),
            ..ImageConfig::default()
        };
        let kind = if self.packed { media_type::OCI_LAYER_GZIP } else { media_type::OCI_LAYER };
        let pack = |tar: &Vec<u8>| if self.packed { gzip(tar) } else { tar.clone() };
        let manifest = Manifest {
            schema_version: 2,
            media_type: media_type::OCI_MANIFEST.into(),
            config: put(sink, media_type::OCI_CONFIG, oci::json::write(&config).as_bytes()),
            layers: tars.iter().map(|tar| put(sink, kind, &pack(tar))).collect(),
            ..Manifest::default()
        };
        let text = oci::json::write(&manifest).into_bytes();
        verify_manifest(text, "", None).expect("a manifest")
    }
}

/// The digest of some bytes.
pub fn sha256(bytes: &[u8]) -> Digest {
    digest_of(Algorithm::Sha256, bytes)
}

/// Puts a blob.
pub fn put(sink: &dyn Sink, kind: &str, bytes: &[u8]) -> Descriptor {
    let descriptor = Descriptor::new(kind, sha256(bytes), bytes.len() as u64);
    sink.put_blob(&descriptor, &mut &*bytes).expect("putting a blob");
    descriptor
}

/// An archive of one file, `file-` and the text's hash, with the text in it as often as it takes.
pub fn tar(text: &str, bytes: usize) -> Vec<u8> {
    let mut content = Vec::new();
    // What is the same everywhere would pack to nothing.
    for number in 0u64.. {
        content.extend_from_slice(format!("{text} {:x}\n", number.wrapping_mul(number)).as_bytes());
        if content.len() >= bytes {
            break;
        }
    }
    let name = format!("file-{}", &sha256(text.as_bytes()).hex()[..8]);
    let mut writer = Writer::new(Bytes::new(Vec::new()));
    let size = content.len() as u64;
    let entry = Entry {
        path: TreePath::parse(name.as_bytes(), 64).expect("a path"),
        name: name.into_bytes(),
        what: What::File { size, stored: size, sparse: None },
        mode: 0o644,
        uid: 0,
        gid: 0,
        mtime: Default::default(),
        xattrs: Vec::new(),
        number: 0,
        offset: 0,
    };
    writer.entry(&entry).expect("writing an archive");
    writer.data(&content).expect("writing an archive");
    writer.finish().expect("writing an archive").into_inner()
}

/// Packs with gzip, always the same.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(Codec::Gzip { level: 6 }, 1, Vec::new()).expect("an encoder");
    encoder.write_all(bytes).expect("packing");
    encoder.finish().expect("packing")
}
