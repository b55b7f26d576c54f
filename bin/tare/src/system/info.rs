//! `tare version` and `tare info`.

use super::docker;
use crate::caller::Caller;
use crate::failure::Result;
use crate::output;
use crate::settings::{Global, Settings, open_store, store_paths};
use clap::Args;
use template::{Field, Struct, Value, units};

pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");
const KIB: u64 = 1024;

/// Print the version
#[derive(Debug, Args)]
pub(crate) struct Version {
    /// json, or a Go template (.Version .Client.Version .Client.Os .Client.Arch)
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// buildah's word for --format json
    #[arg(long, hide = true, conflicts_with = "format")]
    json: bool,
}

pub(crate) fn version(global: &Global, arguments: &Version) -> Result<()> {
    let settings = Settings::load(global)?;
    let wanted = settings.wanted();
    let format = if arguments.json { Some("json") } else { arguments.format.as_deref() };
    if format.is_some() {
        let (client, server) = docker::version(&wanted.os, &wanted.architecture);
        let fields = vec![
            Field::new("Version", VERSION),
            Field::new("Client", client),
            // There is none; scripts of docker's users ask for it.
            Field::new("Server", server),
        ];
        return print_one(format, Struct::value("version", fields));
    }
    let (os, architecture) = (&wanted.os, &wanted.architecture);
    output::write(format!("Version:  {VERSION}\nOS/Arch:  {os}/{architecture}\n").as_bytes())
}

fn client(os: &str, architecture: &str) -> Value {
    let fields = vec![
        Field::new("Version", VERSION),
        Field::new("Os", os),
        Field::new("Arch", architecture),
        Field::new("OsArch", format!("{os}/{architecture}")),
    ];
    Struct::value("client", fields)
}

/// JSON is one document, as docker's and podman's.
fn print_one(format: Option<&str>, value: Value) -> Result<()> {
    match format {
        Some("json") => output::write(&output::pretty(&value)),
        format => output::inspected(format, &[value]),
    }
}

/// Show where the store and the configuration are, and what machine this is
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tare info\n  tare info --format '{{.Store.GraphRoot}}'")]
pub(crate) struct Info {
    /// json, or a Go template: .Host, .Store, .Registries, .Version, and docker's names
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Accepted: what buildah would tell more is told
    #[arg(short, long, hide = true)]
    debug: bool,
}

/// What is known of the machine.
pub(super) struct Machine {
    pub(super) os: String,
    pub(super) architecture: String,
    pub(super) kernel: String,
    pub(super) name: String,
    pub(super) processors: u64,
    pub(super) memory_bytes: u64,
}

impl Machine {
    fn new(settings: &Settings<'_>) -> Self {
        let line = |path: &str| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            text.trim_end().to_owned()
        };
        let memory = line("/proc/meminfo");
        let total = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let total = total.and_then(|it| it.trim().split(' ').next()).and_then(|it| it.parse().ok());
        let wanted = settings.wanted();
        Self {
            os: wanted.os,
            architecture: wanted.architecture,
            kernel: line("/proc/sys/kernel/osrelease"),
            name: line("/proc/sys/kernel/hostname"),
            processors: std::thread::available_parallelism().map_or(1, usize::from) as u64,
            memory_bytes: total.unwrap_or(0u64) * KIB,
        }
    }

    fn podmans(&self) -> Value {
        let fields = vec![
            Field::renamed("Arch", "arch", &*self.architecture),
            Field::renamed("CPUs", "cpus", self.processors),
            Field::renamed("Hostname", "hostname", &*self.name),
            Field::renamed("Kernel", "kernel", &*self.kernel),
            Field::renamed("MemTotal", "memTotal", self.memory_bytes),
            Field::renamed("OS", "os", &*self.os),
            Field::renamed("CgroupManager", "cgroupManager", "cgroupfs"),
            Field::renamed("CgroupsVersion", "cgroupVersion", cgroup_version()),
            Field::renamed("DatabaseBackend", "databaseBackend", "files"),
            Field::renamed("Distribution", "distribution", distribution()),
            Field::renamed("EventLogger", "eventLogger", "file"),
            Field::renamed("LogDriver", "logDriver", "json-file"),
            Field::renamed("NetworkBackend", "networkBackend", "tare"),
            Field::renamed("OCIRuntime", "ociRuntime", runtime()),
            Field::renamed("Pasta", "pasta", program("pasta")),
            Field::renamed("RootlessNetworkCmd", "rootlessNetworkCmd", "pasta"),
            Field::renamed("Security", "security", security()),
            Field::renamed("ServiceIsRemote", "serviceIsRemote", false),
            Field::renamed("Slirp4NetNS", "slirp4netns", program("")),
        ];
        Struct::value("host", fields)
    }
}

/// `v1` or `v2`, as podman has it.
fn cgroup_version() -> &'static str {
    let is_unified = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    if is_unified { "v2" } else { "v1" }
}

fn distribution() -> Value {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let of = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    let fields = vec![
        Field::renamed("Distribution", "distribution", of("ID")),
        Field::renamed("Version", "version", of("VERSION_ID")),
    ];
    Struct::value("distribution", fields)
}

/// The runtime is this program.
fn runtime() -> Value {
    let path = std::env::current_exe().unwrap_or_default();
    let fields = vec![
        Field::renamed("Name", "name", "tare"),
        Field::renamed("Path", "path", path.display().to_string()),
        Field::renamed("Version", "version", VERSION),
    ];
    Struct::value("runtime", fields)
}

/// A program that is looked for as it is started: by `PATH`. The empty one is none.
fn program(name: &str) -> Value {
    let dirs = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&dirs).map(|dir| dir.join(name)).find(|path| path.is_file());
    let path = found.filter(|_| !name.is_empty()).map(|path| path.display().to_string());
    let fields = vec![Field::renamed("Executable", "executable", path.unwrap_or_default())];
    Struct::value("program", fields)
}

fn security() -> Value {
    let has = |path: &str| std::path::Path::new(path).exists();
    let apparmor = std::fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    let fields = vec![
        Field::renamed(
            "AppArmorEnabled",
            "apparmorEnabled",
            apparmor.is_ok_and(|text| text.starts_with('Y')),
        ),
        Field::renamed("Rootless", "rootless", !sys::ids::is_administrator()),
        Field::renamed("SECCOMPEnabled", "seccompEnabled", has("/proc/sys/kernel/seccomp")),
        Field::renamed("SELinuxEnabled", "selinuxEnabled", has("/sys/fs/selinux/enforce")),
    ];
    Struct::value("security", fields)
}

/// How many containers there are.
pub(super) struct Containers {
    pub(super) all: u64,
    pub(super) running: u64,
    pub(super) paused: u64,
}

impl Containers {
    fn count(global: &Global) -> Result<Self> {
        let all = crate::container::open(global, true)?.list()?;
        let is = |wanted: &str| all.iter().filter(|it| it.status() == wanted).count() as u64;
        Ok(Self { all: all.len() as u64, running: is("running"), paused: is("paused") })
    }

    pub(super) fn stopped(&self) -> u64 {
        self.all - self.running - self.paused
    }

    fn shown(&self) -> String {
        format!("{} ({} run, {} are paused)", self.all, self.running, self.paused)
    }

    fn podmans(&self) -> Value {
        let fields = vec![
            Field::renamed("Number", "number", self.all),
            Field::renamed("Paused", "paused", self.paused),
            Field::renamed("Running", "running", self.running),
            Field::renamed("Stopped", "stopped", self.stopped()),
        ];
        Struct::value("containers", fields)
    }
}

fn device(name: &str) -> Value {
    Struct::value("device", vec![Field::new("Source", "cdi"), Field::new("ID", name)])
}

pub(crate) fn info(global: &Global, arguments: &Info) -> Result<()> {
    let settings = Settings::load(global)?;
    let caller = Caller::new();
    let (root, runroot) = store_paths(global, &caller);
    let (root, runroot) = (root.display().to_string(), runroot.display().to_string());
    let store = open_store(global, &caller, true)?;
    let images = images::list(&store, &settings.wanted(), settings.caller.rights())?.0.len();
    let containers = Containers::count(global)?;
    let machine = Machine::new(&settings);
    let search = settings.registries.search();
    let found =
        engine::cdi::Catalogue::read(&crate::container::devices::spec_dirs(global, &caller));
    let dirs: Vec<String> = found.dirs().iter().map(|dir| dir.display().to_string()).collect();
    let devices: Vec<&str> = found.names().collect();
    if arguments.format.is_some() {
        let number =
            Struct::value("images", vec![Field::renamed("Number", "number", images as u64)]);
        let store = vec![
            Field::renamed("GraphDriverName", "graphDriverName", "overlay"),
            Field::renamed(
                "GraphOptions",
                "graphOptions",
                Value::map(std::collections::BTreeMap::new()),
            ),
            Field::renamed("GraphRoot", "graphRoot", &*root),
            Field::renamed("VolumePath", "volumePath", format!("{root}/volumes")),
            Field::renamed("RunRoot", "runRoot", &*runroot),
            Field::renamed("ImageStore", "imageStore", number),
            Field::renamed("ContainerStore", "containerStore", containers.podmans()),
        ];
        let registries = vec![Field::renamed("Search", "search", Value::texts(search))];
        let mut fields = vec![
            Field::renamed("Host", "host", machine.podmans()),
            Field::renamed("Store", "store", Struct::value("store", store)),
            Field::renamed("Registries", "registries", Struct::value("registries", registries)),
            Field::renamed("Version", "version", client(&machine.os, &machine.architecture)),
            Field::new("CDISpecDirs", Value::texts(&dirs)),
            Field::new("DiscoveredDevices", Value::list(devices.iter().map(|name| device(name)))),
        ];
        fields.extend(docker::info(&machine, &containers, images as u64, &root, &caller));
        return print_one(arguments.format.as_deref(), Struct::value("info", fields));
    }
    let search = match search {
        [] => "none (docker.io is asked)".to_owned(),
        search => search.join(", "),
    };
    let lines = [
        ("Version", VERSION.to_owned()),
        ("Store", root),
        ("Records of mounts", runroot),
        ("Containers", containers.shown()),
        ("Images", images.to_string()),
        ("Short names", search),
        ("Machine", format!("{} ({}/{})", machine.name, machine.os, machine.architecture)),
        ("Kernel", machine.kernel),
        ("Processors", machine.processors.to_string()),
        ("Memory", units::decimal_size(machine.memory_bytes, 4)),
        ("CDI directories", dirs.join(", ")),
    ];
    let mut text: String =
        lines.iter().map(|(key, value)| format!("{:<19}{value}\n", format!("{key}:"))).collect();
    if !devices.is_empty() {
        text.push_str("CDI devices:\n");
        devices.iter().for_each(|name| text.push_str(&format!("  {name}\n")));
    }
    for (path, why) in found.refused() {
        crate::settings::warn(&format!("{}: {why}", path.display()));
    }
    output::write(text.as_bytes())
}
