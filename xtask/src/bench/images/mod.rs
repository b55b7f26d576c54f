//! Images beside skopeo, podman, buildah, containerd, and the parts of the work, each alone.
//!
//! One image of the machine's own files, of a realistic size, comes from a registry on the loopback device
//! into a store on a fresh file system each time. The tools take turns in every round; what is quoted are medians,
//! and their ratios are what counts. Of containerd only the wall time is comparable: its work is done by the daemon.

mod rows;
mod sample_image;
mod table;

use super::measure::{Samples, sample};
use super::options::Options;
use super::runtime::on_path;
use rows::Row;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Images of a well-filled store.
const MANY: usize = 1000;
/// The registry is there within a second; a busy machine takes longer.
const LISTEN_TRIES: usize = 200;

const GET: &str = "GET";
const FLOORS: [&str; 5] = [GET, "hash packed", "unpack", "hash plain", "untar"];
/// The row of the bare compressor of zstd, behind those of both formats' parts.
const PACK: usize = 2 * FLOORS.len();

struct Bench {
    root: PathBuf,
    tare: String,
    floor: String,
    commit: String,
    stopwatch: PathBuf,
    tools: Vec<&'static str>,
    log: File,
    samples: Samples,
    /// Bytes of what was made, by row and tool.
    sizes: BTreeMap<(usize, usize), u64>,
    rows: Vec<Row>,
}

/// Builds, measures and prints.
pub(super) fn run(options: &Options) -> Result<(), String> {
    if sys::ids::euid() != 0 {
        return Err("needs root".into());
    }
    let programs = options.programs(&[
        &["-p", "tare", "-p", "floor"],
        &["-p", "archive", "--example", "floor", "-p", "images", "--example", "commit"],
    ])?;
    let root = std::env::temp_dir().join(format!("tare-bench-images-{}", std::process::id()));
    fs::create_dir_all(&root).map_err(|error| error.to_string())?;
    let result = measure(&root, &programs, options);
    let _ = fs::remove_dir_all(&root);
    result
}

fn measure(root: &Path, programs: &Path, options: &Options) -> Result<(), String> {
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let log = File::create(root.join("log")).map_err(|error| error.to_string())?;
    let mut bench = Bench {
        root: root.to_path_buf(),
        tare: text(programs.join("tare")),
        floor: text(programs.join("examples/floor")),
        commit: text(programs.join("examples/commit")),
        stopwatch: programs.join("bench-stopwatch"),
        tools: rows::tools(),
        log,
        samples: Samples::default(),
        sizes: BTreeMap::new(),
        rows: Vec::new(),
    };
    crate::say("making the image...\n");
    bench.make_image()?;
    let registry = Registry::start(&bench)?;
    bench.fill_registry(&registry)?;
    bench.rows = bench.make_rows(&registry.address);
    fs::write(bench.root.join("script"), bench.script()).map_err(|error| error.to_string())?;
    let _end = End(root);
    for round in 0..options.rounds {
        crate::say(&format!("round {} of {}\n", round + 1, options.rounds));
        bench.round(round)?;
    }
    bench.floors(&registry, options.rounds)?;
    bench.print();
    Ok(())
}

fn succeed(command: &[String]) -> Result<String, String> {
    let output = Command::new(&command[0]).args(&command[1..]).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{}: {error}", command[0]))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => {
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            Err(format!("{}: {why}", command.join(" ")))
        }
    }
}

/// A command line; the stopwatch looks for no program.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    if let Some(path) = on_path(&words[0]) {
        words[0] = path.to_string_lossy().into_owned();
    }
    words
}

/// A registry of its own on the loopback device.
struct Registry {
    child: Child,
    address: String,
}

impl Registry {
    fn start(bench: &Bench) -> Result<Self, String> {
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
        let address = free.map_err(|error| error.to_string())?.to_string();
        let dir = bench.root.join("registry");
        let mut command = match on_path("docker-registry") {
            Some(program) => {
                let config = format!(
                    "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \
                     {address}}}\nlog: {{level: error, accesslog: {{disabled: true}}}}\n",
                    dir.display()
                );
                let path = bench.root.join("registry.yml");
                fs::write(&path, config).map_err(|error| error.to_string())?;
                let mut command = Command::new(program);
                command.arg("serve").arg(path);
                command
            }
            None => {
                let mut command = Command::new(&bench.tare);
                command.args(["registry", "serve", "--listen", &address, "--root"]).arg(dir);
                command
            }
        };
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = quiet.spawn().map_err(|error| format!("the registry: {error}"))?;
        let registry = Self { child, address };
        for _ in 0..LISTEN_TRIES {
            if std::net::TcpStream::connect(&registry.address).is_ok() {
                return Ok(registry);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err("the registry does not listen".into())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lets nothing run on, nor be mounted, that the commands have left.
struct End<'a>(&'a Path);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let root = self.0.display();
        let text = format!(
            "sh {root}/script end; umount -q {root}/*/storage/root/overlay {root}/*/own/run/*/mounts/*/merged"
        );
        let _ = Command::new("/bin/sh").args(["-c", &text]).stderr(Stdio::null()).status();
    }
}

fn bytes_below(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

impl Bench {
    fn path(&self, name: &str) -> String {
        self.root.join(name).to_string_lossy().into_owned()
    }

    fn fill_registry(&self, registry: &Registry) -> Result<(), String> {
        for format in ["gzip", "zstd"] {
            let (layout, address) = (self.path("layout"), &registry.address);
            let tare = &self.tare;
            succeed(&words(&format!(
                "{tare} copy -q oci:{layout}:{format} docker://{address}/bench:{format}"
            )))?;
        }
        // What the quick verbs look at.
        let stored = self.own_store("kept");
        for format in ["gzip", "zstd"] {
            succeed(&words(&format!("{stored} pull -q {}/bench:{format}", registry.address)))?;
        }
        if self.tools.contains(&"podman") {
            let (podman, from) = (self.storage_of("podman", "kept"), &registry.address);
            succeed(&words(&format!("{podman} pull -q --tls-verify=false {from}/bench:gzip")))?;
        }
        let many = self.own_store("thousand");
        let layout = self.path("many");
        (0..MANY).try_for_each(|number| {
            succeed(&words(&format!("{many} pull -q oci:{layout}:i{number}"))).map(drop)
        })
    }

    fn round(&mut self, round: usize) -> Result<(), String> {
        for row in 0..self.rows.len() {
            for turn in 0..self.tools.len() {
                let tool = (turn + round) % self.tools.len();
                let way = self.rows[row].ways.iter().find(|way| way.tool == self.tools[tool]);
                let Some(way) = way else { continue };
                let shell = ["/bin/sh", "-c", &way.prepare].map(str::to_owned);
                let sampled = succeed(&shell)
                    .and_then(|_| sample(&self.stopwatch, 0, &way.command, &self.log));
                match sampled {
                    Ok(sample) => self.samples.add(row, tool, sample),
                    Err(error) => {
                        if round == 0 {
                            let name = &self.rows[row].name;
                            crate::say(&format!("{name} by {} left out: {error}\n", way.tool));
                        }
                        continue;
                    }
                }
                if let Some(out) = &self.rows[row].out {
                    self.sizes.insert((row, tool), bytes_below(Path::new(out)));
                }
            }
        }
        Ok(())
    }

    /// The parts of a pull, one after the other.
    fn floors(&mut self, registry: &Registry, rounds: usize) -> Result<(), String> {
        for (number, format) in ["gzip", "zstd"].into_iter().enumerate() {
            let index = fs::read_to_string(self.root.join("layout/index.json"));
            let index: Value = index
                .ok()
                .and_then(|it| serde_json::from_str(&it).ok())
                .ok_or("the layout has no index")?;
            let digest = index["manifests"][number]["digest"].as_str().unwrap_or_default();
            let blobs = self.root.join("layout/blobs/sha256");
            let manifest =
                fs::read_to_string(blobs.join(&digest[digest.find(':').map_or(0, |it| it + 1)..]));
            let manifest: Value = manifest
                .ok()
                .and_then(|it| serde_json::from_str(&it).ok())
                .ok_or("the layout has no manifest")?;
            let layers = manifest["layers"].as_array().cloned().unwrap_or_default();
            let digests: Vec<&str> = layers.iter().filter_map(|it| it["digest"].as_str()).collect();
            let packed = digests.iter().map(|it| format!("{}/{}", blobs.display(), &it[7..]));
            let packed = packed.collect::<Vec<_>>().join(" ");
            let plain: Vec<String> =
                (0..layers.len()).map(|it| self.path(&format!("{it}.tar"))).collect();
            let addresses = digests.iter().map(|digest| {
                format!("-o /dev/null http://{}/v2/bench/blobs/{digest}", registry.address)
            });
            let target = self.path("fresh/untar");
            let untar = plain.iter().map(|tar| format!("tar -xf {tar} -C {target}"));
            let untar = untar.collect::<Vec<_>>().join(" && ");
            let commands = [
                words(&format!("curl -s {}", addresses.collect::<Vec<_>>().join(" "))),
                words(&format!("{} hash {packed}", self.floor)),
                words(&format!("{} unpack {packed}", self.floor)),
                words(&format!("{} hash {}", self.floor, plain.join(" "))),
                vec!["/bin/sh".into(), "-c".into(), format!("mkdir {target} && {untar}")],
            ];
            for _ in 0..rounds {
                for (floor, command) in commands.iter().enumerate() {
                    if command[0] == "/bin/sh" {
                        succeed(&words(&format!("sh {} fresh", self.path("script"))))?;
                    }
                    // One that is not installed has no path.
                    if command[0] == "curl" {
                        continue;
                    }
                    let row = self.rows.len() + number * FLOORS.len() + floor;
                    self.samples.add(row, 0, sample(&self.stopwatch, 0, command, &self.log)?);
                }
            }
            crate::say(&format!("floors of {format} measured\n"));
        }
        let pack = format!("cat {}/[0-9].tar | zstd -3 -T0 -q -c > /dev/null", self.root.display());
        for _ in 0..if on_path("zstd").is_some() { rounds } else { 0 } {
            let command = ["/bin/sh", "-c", &pack].map(str::to_owned);
            let sample = sample(&self.stopwatch, 0, &command, &self.log)?;
            self.samples.add(self.rows.len() + PACK, 0, sample);
        }
        Ok(())
    }
}
