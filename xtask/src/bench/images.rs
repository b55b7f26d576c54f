//! Images beside skopeo, podman and the parts of the work, each alone.
//!
//! One image of the machine's own files, of a realistic size, comes from a registry on the loopback device
//! into a fresh store each time. The tools take turns in every round; what is quoted are medians,
//! and their ratios are what counts.

use super::measure::{Samples, sample};
use super::runtime::on_path;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How many layers, how many files and how many bytes the image has at most.
const LAYERS: usize = 7;
const ENTRIES_LIMIT: usize = 19_300;
const BYTES_LIMIT: u64 = 640 << 20;
/// Larger files than this would be a layer of their own.
const FILE_LIMIT: u64 = 32 << 20;
/// Images of a well-filled store.
const MANY: usize = 1000;
/// The registry is there within a second; a busy machine takes longer.
const LISTEN_TRIES: usize = 200;

const GET: &str = "GET";
const FLOORS: [&str; 5] = [GET, "hash packed", "unpack", "hash plain", "untar"];

pub(super) struct Options {
    rounds: usize,
    programs: Option<PathBuf>,
}

impl Options {
    pub(super) fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self { rounds: 5, programs: None };
        let mut rest = arguments.iter();
        while let Some(name) = rest.next() {
            let value = rest.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--rounds" => options.rounds = value.parse().map_err(|_| "--rounds: a number")?,
                "--programs" => options.programs = Some(PathBuf::from(value)),
                _ => return Err(format!("unknown option {name}")),
            }
        }
        Ok(options)
    }
}

/// What is measured, and by whose command.
struct Row {
    name: String,
    /// By tool: `None` where it has no such verb.
    commands: Vec<Option<Vec<String>>>,
    /// What comes before each round, and is not measured.
    prepare: Vec<Option<Vec<String>>>,
}

struct Bench {
    root: PathBuf,
    tare: String,
    floor: String,
    stopwatch: PathBuf,
    tools: Vec<&'static str>,
    log: File,
    samples: Samples,
    rows: Vec<Row>,
}

/// Builds, measures and prints.
pub(super) fn run(options: &Options) -> Result<(), String> {
    if sys::ids::euid() != 0 {
        return Err("needs root".into());
    }
    let programs = options.programs.clone().map_or_else(build, Ok)?;
    let root = std::env::temp_dir().join(format!("tare-bench-images-{}", std::process::id()));
    fs::create_dir_all(&root).map_err(|error| error.to_string())?;
    let result = measure(&root, &programs, options);
    let _ = fs::remove_dir_all(&root);
    result
}

fn measure(root: &Path, programs: &Path, options: &Options) -> Result<(), String> {
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let log = File::create(root.join("log")).map_err(|error| error.to_string())?;
    let peers = ["skopeo", "podman"].into_iter().filter(|name| on_path(name).is_some());
    let mut bench = Bench {
        root: root.to_path_buf(),
        tare: text(programs.join("tare")),
        floor: text(programs.join("examples/floor")),
        stopwatch: programs.join("bench-stopwatch"),
        tools: std::iter::once("tare").chain(peers).collect(),
        log,
        samples: Samples::default(),
        rows: Vec::new(),
    };
    crate::say("making the image...\n");
    bench.make_image()?;
    let registry = Registry::start(&bench)?;
    bench.fill_registry(&registry)?;
    bench.rows(&registry);
    for round in 0..options.rounds {
        crate::say(&format!("round {} of {}\n", round + 1, options.rounds));
        bench.round(round)?;
    }
    bench.floors(&registry, options.rounds)?;
    bench.print();
    Ok(())
}

fn build() -> Result<PathBuf, String> {
    let common = ["build", "--quiet", "--locked", "--profile", "dist"];
    for rest in [&["-p", "tare", "-p", "floor"][..], &["-p", "archive", "--example", "floor"]] {
        let status = Command::new(env!("CARGO")).args(common).args(rest).status();
        if !status.is_ok_and(|status| status.success()) {
            return Err("the build failed".into());
        }
    }
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let target = own.parent().and_then(Path::parent).ok_or("no target directory")?;
    Ok(target.join("dist"))
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

/// A row; an empty command is none.
fn row(name: &str, prepare: [&str; 3], commands: [&str; 3]) -> Row {
    let some = |text: &&str| (!text.is_empty()).then(|| words(text));
    Row {
        name: name.to_owned(),
        commands: commands.iter().map(some).collect(),
        prepare: prepare.iter().map(some).collect(),
    }
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

impl Bench {
    fn path(&self, name: &str) -> String {
        self.root.join(name).to_string_lossy().into_owned()
    }

    /// A layout with the image, packed in both ways, and a thousand small ones in another.
    fn make_image(&self) -> Result<(), String> {
        let files = collect_files();
        let share = files.len().div_ceil(LAYERS);
        let mut plain = Vec::new();
        for (number, part) in files.chunks(share.max(1)).enumerate() {
            let (list, tar) =
                (self.path(&format!("list-{number}")), self.path(&format!("{number}.tar")));
            fs::write(&list, part.join("\n")).map_err(|error| error.to_string())?;
            succeed(&words(&format!(
                "tar --create --file {tar} --no-recursion --format=posix --sort=name -C / --files-from {list}"
            )))?;
            plain.push(tar);
        }
        for format in ["gzip", "zstd"] {
            let (mut layers, mut ids) = (Vec::new(), Vec::new());
            for tar in &plain {
                let out = self.path("packed");
                let pack = ["pack", format, tar, &out].map(str::to_owned);
                let said = succeed(&[std::slice::from_ref(&self.floor), &pack[..]].concat())?;
                let said: Vec<&str> = said.split_whitespace().collect();
                let [plain, _, packed, bytes] = said[..] else { return Err("floor pack".into()) };
                let blobs = self.root.join("layout/blobs/sha256");
                fs::create_dir_all(&blobs).map_err(|error| error.to_string())?;
                fs::rename(&out, blobs.join(packed)).map_err(|error| error.to_string())?;
                ids.push(format!("sha256:{plain}"));
                layers.push(json!({
                    "mediaType": format!("application/vnd.oci.image.layer.v1.tar+{format}"),
                    "digest": format!("sha256:{packed}"),
                    "size": bytes.parse::<u64>().unwrap_or(0),
                }));
            }
            self.add_image("layout", format, &layers, &ids)?;
        }
        let layout = json!({"imageLayoutVersion": "1.0.0"}).to_string();
        for name in ["layout", "many"] {
            fs::create_dir_all(self.root.join(name)).map_err(|error| error.to_string())?;
            fs::write(self.root.join(name).join("oci-layout"), &layout)
                .map_err(|error| error.to_string())?;
        }
        (0..MANY).try_for_each(|number| self.add_image("many", &format!("i{number}"), &[], &[]))
    }

    fn add_image(
        &self,
        layout: &str,
        name: &str,
        layers: &[Value],
        ids: &[String],
    ) -> Result<(), String> {
        let put = |media_type: &str, value: &Value| -> Result<Value, String> {
            let blobs = self.root.join(layout).join("blobs/sha256");
            fs::create_dir_all(&blobs).map_err(|error| error.to_string())?;
            let (text, file) = (value.to_string(), self.root.join("document"));
            fs::write(&file, &text).map_err(|error| error.to_string())?;
            let sum = succeed(&["sha256sum".into(), file.to_string_lossy().into_owned()])?;
            let hex = sum.split(' ').next().unwrap_or_default().to_owned();
            fs::rename(&file, blobs.join(&hex)).map_err(|error| error.to_string())?;
            let digest = format!("sha256:{hex}");
            Ok(json!({"mediaType": media_type, "digest": digest, "size": text.len()}))
        };
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "author": name,
            "config": {"Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": ids},
        });
        let config = put("application/vnd.oci.image.config.v1+json", &config)?;
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers,
        });
        let mut manifest = put(media_type, &manifest)?;
        manifest["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        let path = self.root.join(layout).join("index.json");
        let index = fs::read_to_string(&path).ok().and_then(|it| serde_json::from_str(&it).ok());
        let mut index: Value =
            index.unwrap_or_else(|| json!({"schemaVersion": 2, "manifests": []}));
        if let Some(manifests) = index["manifests"].as_array_mut() {
            manifests.push(manifest);
        }
        fs::write(path, index.to_string()).map_err(|error| error.to_string())
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
        succeed(&words(&format!("{stored} pull -q {}/bench:gzip", registry.address)))?;
        let podman = self.podman("kept");
        if self.tools.contains(&"podman") {
            let from = format!("{}/bench:gzip", registry.address);
            succeed(&words(&format!("{podman} pull -q --tls-verify=false {from}")))?;
        }
        let many = self.own_store("thousand");
        let layout = self.path("many");
        (0..MANY).try_for_each(|number| {
            succeed(&words(&format!("{many} pull -q oci:{layout}:i{number}"))).map(drop)
        })
    }

    /// Our command line with a store of its own.
    fn own_store(&self, name: &str) -> String {
        let store = self.path(name);
        format!("{} --root {store}/root --runroot {store}/run", self.tare)
    }

    fn podman(&self, name: &str) -> String {
        let store = self.path(&format!("podman-{name}"));
        format!("podman --root {store}/root --runroot {store}/run --storage-driver overlay")
    }

    fn rows(&mut self, registry: &Registry) {
        let mut rows = self.pulls(&registry.address);
        rows.extend(self.looks(&format!("{}/bench:gzip", registry.address)));
        rows.extend(self.pushes(&format!("{}/bench:gzip", registry.address)));
        self.rows = rows;
    }

    /// Into a fresh store each time.
    fn pulls(&self, address: &str) -> Vec<Row> {
        let (ours, theirs) = (self.own_store("fresh"), self.podman("fresh"));
        let fresh = self.path("fresh");
        let remove = format!("rm -rf {fresh} {}", self.path("podman-fresh"));
        let pull = |format| {
            let from = format!("{address}/bench:{format}");
            let skopeo = format!(
                "skopeo --insecure-policy copy -q --src-tls-verify=false docker://{from} \
                 containers-storage:[overlay@{fresh}/root+{fresh}/run]{from}"
            );
            let podman = format!("{theirs} pull -q --tls-verify=false {from}");
            let own = format!("{ours} pull -q {from}");
            row(&format!("pull {format}"), [&remove; 3], [&own, &skopeo, &podman])
        };
        vec![pull("gzip"), pull("zstd")]
    }

    /// What changes nothing, and the end of an image.
    fn looks(&self, image: &str) -> Vec<Row> {
        let (own, podman) = (self.own_store("kept"), self.podman("kept"));
        let (ours, theirs) = (self.own_store("fresh"), self.podman("fresh"));
        let many = self.own_store("thousand");
        let refill = format!("{ours} pull -q {image}");
        let refill_podman = format!("{theirs} pull -q --tls-verify=false {image}");
        let of_both = |name: &str, ours: &str, theirs: &str| {
            let own = format!("{own} {ours}");
            row(name, [""; 3], [&own, "", &format!("{podman} {theirs}")])
        };
        let inspect = format!("{} inspect -n docker://{image}", self.tare);
        let skopeo = format!("skopeo inspect -n --tls-verify=false docker://{image}");
        vec![
            of_both(
                "pull, all there",
                &format!("pull -q {image}"),
                &format!("pull -q --tls-verify=false {image}"),
            ),
            row("inspect, remote", [""; 3], [&inspect, &skopeo, ""]),
            of_both("inspect, local", &format!("inspect {image}"), &format!("inspect {image}")),
            of_both("images, 1", "images", "images"),
            row("images, 1000", [""; 3], [&format!("{many} images"), "", ""]),
            of_both("mount", &format!("mount {image}"), &format!("image mount {image}")),
            of_both("unmount", &format!("unmount {image}"), &format!("image unmount {image}")),
            row(
                "rmi",
                [&refill, "", &refill_podman],
                [&format!("{ours} rmi {image}"), "", &format!("{theirs} rmi {image}")],
            ),
        ]
    }

    /// Out of the store, packed anew.
    fn pushes(&self, image: &str) -> Vec<Row> {
        let (own, podman) = (self.own_store("kept"), self.podman("kept"));
        let (out, storage) = (self.path("out"), self.path("podman-kept"));
        let clean = format!("rm -rf {out}");
        let push = |format| {
            let pack = format!("--force-compression --compression-format {format}");
            let skopeo = format!(
                "skopeo --insecure-policy copy -q --dest-compress-format {format} \
                 containers-storage:[overlay@{storage}/root+{storage}/run]{image} oci:{out}:x"
            );
            let ours = format!("{own} push -q {pack} {image} oci:{out}:x");
            let podman = format!("{podman} push -q {pack} {image} oci:{out}:x");
            row(&format!("push {format}"), [&clean; 3], [&ours, &skopeo, &podman])
        };
        vec![push("gzip"), push("zstd")]
    }

    fn round(&mut self, round: usize) -> Result<(), String> {
        for row in 0..self.rows.len() {
            for turn in 0..self.tools.len() {
                let tool = (turn + round) % self.tools.len();
                let column = match self.tools[tool] {
                    "tare" => 0,
                    "skopeo" => 1,
                    _ => 2,
                };
                let Some(command) = &self.rows[row].commands[column] else { continue };
                if let Some(prepare) = &self.rows[row].prepare[column] {
                    succeed(prepare)?;
                }
                match sample(&self.stopwatch, 0, command, &self.log) {
                    Ok(sample) => self.samples.add(row, tool, sample),
                    Err(error) if round == 0 => crate::say(&format!("left out: {error}\n")),
                    Err(_) => {}
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
            let target = self.path("untar");
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
                    let _ = fs::remove_dir_all(&target);
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
        Ok(())
    }

    fn print(&self) {
        let heads = self.tools.iter().map(|tool| format!(" {tool}: wall ms, CPU ms, MiB |"));
        let others: Vec<&str> = self.tools[1..].to_vec();
        let ratios = others.iter().map(|tool| format!(" wall / {tool} |")).collect::<String>();
        crate::print(&format!("\n| |{}{ratios}\n", heads.collect::<String>()));
        let columns = 1 + self.tools.len() + others.len();
        crate::print(&format!("|{}\n", "---|".repeat(columns)));
        let ms = |us: u64| format!("{:.1}", us as f64 / 1000.0);
        for (row, what) in self.rows.iter().enumerate() {
            let wall = |tool| self.samples.figure(row, tool, |it| it.wall_us);
            let mut line = format!("| {} |", what.name);
            for tool in 0..self.tools.len() {
                let cpu = self.samples.figure(row, tool, |it| it.cpu_us);
                let peak = self.samples.figure(row, tool, |it| it.peak_kib);
                line.push_str(&match (wall(tool), cpu, peak) {
                    (Some(wall), Some(cpu), Some(peak)) => {
                        format!(" {}, {}, {} |", ms(wall.0), ms(cpu.0), peak.0 >> 10)
                    }
                    _ => " - |".to_owned(),
                });
            }
            for tool in 1..self.tools.len() {
                line.push_str(&match (wall(0), wall(tool)) {
                    (Some(own), Some(other)) => {
                        format!(" {:.2} |", own.0 as f64 / other.0.max(1) as f64)
                    }
                    _ => " - |".to_owned(),
                });
            }
            crate::print(&format!("{line}\n"));
        }
        for (number, format) in ["gzip", "zstd"].into_iter().enumerate() {
            let mut sum = 0;
            let mut parts = Vec::new();
            for (floor, name) in FLOORS.iter().enumerate() {
                let row = self.rows.len() + number * FLOORS.len() + floor;
                if let Some((cpu, _)) = self.samples.figure(row, 0, |it| it.cpu_us) {
                    sum += cpu;
                    parts.push(format!("{name} {}", ms(cpu)));
                }
            }
            let own = self.samples.figure(number, 0, |it| it.cpu_us).map_or(0, |it| it.0);
            crate::print(&format!(
                "\npull {format}: CPU {} ms is {:.2} x the sum of its parts alone, {} ms: {}\n",
                ms(own),
                own as f64 / sum.max(1) as f64,
                ms(sum),
                parts.join(", ")
            ));
        }
    }
}

/// Files of this machine in the order of their names, without what changes while it is read.
fn collect_files() -> Vec<String> {
    let mut todo = vec![PathBuf::from("/usr")];
    let (mut files, mut bytes) = (Vec::new(), 0);
    while let Some(dir) = todo.pop() {
        let mut names: Vec<PathBuf> =
            fs::read_dir(&dir).into_iter().flatten().flatten().map(|it| it.path()).collect();
        names.sort();
        files.push(dir.to_string_lossy().trim_start_matches('/').to_owned());
        for path in names {
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            if metadata.is_dir() {
                if path != Path::new("/usr/local") {
                    todo.push(path);
                }
                continue;
            }
            if metadata.len() > FILE_LIMIT
                || path.to_str().is_none_or(|it| it.contains(['\n', '\\']))
            {
                continue;
            }
            bytes += metadata.len();
            files.push(path.to_string_lossy().trim_start_matches('/').to_owned());
            if bytes > BYTES_LIMIT || files.len() >= ENTRIES_LIMIT {
                return files;
            }
        }
    }
    files
}
