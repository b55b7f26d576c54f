//! What `info` and `version` tell in docker's words, for templates of docker's users.

use super::info::{Containers, Machine, VERSION};
use crate::caller::Caller;
use template::{Field, Struct, Value};

/// docker's API in whose words the verbs speak, fields, filters and events included: that of docker 28. It is for scripts
/// that ask what they may expect; no API is served.
const API_VERSION: &str = "1.51";
/// docker's name of the connection to a daemon that nobody has named.
const CONTEXT: &str = "default";
const NETWORKS: [&str; 5] = ["bridge", "host", "ipvlan", "macvlan", "none"];
const LOGS: [&str; 4] = ["journald", "json-file", "k8s-file", "none"];
/// This program is its own.
const RUNTIME: &str = "tare";

/// docker's name of an architecture in `info`, which is the kernel's.
fn machine_name(architecture: &str) -> &str {
    match architecture {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        other => other,
    }
}

/// The members of docker's `info`.
pub(super) fn info(
    machine: &Machine,
    containers: &Containers,
    images: u64,
    root: &str,
    caller: &Caller,
) -> Vec<Field> {
    let (name, version) = operating_system();
    let mut fields = vec![
        Field::new("ID", ""),
        Field::new("Containers", containers.all),
        Field::new("ContainersRunning", containers.running),
        Field::new("ContainersPaused", containers.paused),
        Field::new("ContainersStopped", containers.stopped()),
        Field::new("Images", images),
        Field::new("Driver", "overlay"),
        Field::new("DriverStatus", Value::Nil("[][2]string")),
        Field::new("Plugins", plugins()),
        Field::new("Debug", false),
        Field::new("LoggingDriver", "json-file"),
        Field::new("CgroupDriver", "cgroupfs"),
        Field::new("CgroupVersion", cgroup_version()),
        Field::new("KernelVersion", &*machine.kernel),
        Field::new("OperatingSystem", name),
        Field::new("OSVersion", version),
        Field::new("OSType", &*machine.os),
        Field::new("Architecture", machine_name(&machine.architecture)),
        Field::new("NCPU", machine.processors),
        Field::new("MemTotal", machine.memory_bytes),
        Field::new("DockerRootDir", root),
        Field::new("Name", &*machine.name),
        Field::new("Labels", Value::texts(&[] as &[&str])),
        Field::new("ExperimentalBuild", false),
        Field::new("ServerVersion", VERSION),
        Field::new("Runtimes", runtimes()),
        Field::new("DefaultRuntime", RUNTIME),
    ];
    fields.extend([
        Field::new("Swarm", swarm()),
        Field::new("LiveRestoreEnabled", true),
        Field::new("InitBinary", RUNTIME),
        Field::new("SecurityOptions", Value::texts(security_options(caller))),
        Field::new("Warnings", Value::texts(&[] as &[&str])),
        Field::new("ClientInfo", client_info()),
    ]);
    fields
}

fn plugins() -> Value {
    Struct::value(
        "plugins",
        vec![
            Field::new("Volume", Value::texts(["local"])),
            Field::new("Network", Value::texts(NETWORKS)),
            Field::new("Authorization", Value::Nil("[]string")),
            Field::new("Log", Value::texts(LOGS)),
        ],
    )
}

fn runtimes() -> Value {
    let own = Struct::value("runtime", vec![Field::new("Path", RUNTIME)]);
    Value::map([(RUNTIME.to_owned(), own)].into_iter().collect())
}

/// There is none; scripts ask whether there is.
fn swarm() -> Value {
    Struct::value(
        "swarm",
        vec![
            Field::new("NodeID", ""),
            Field::new("LocalNodeState", "inactive"),
            Field::new("ControlAvailable", false),
            Field::new("Error", ""),
        ],
    )
}

fn client_info() -> Value {
    Struct::value(
        "client",
        vec![
            Field::new("Debug", false),
            Field::new("Version", VERSION),
            Field::new("Context", CONTEXT),
            Field::new("Plugins", Value::texts(&[] as &[&str])),
            Field::new("Warnings", Value::Nil("[]string")),
        ],
    )
}

/// What holds for every container that asks for nothing else.
fn security_options(caller: &Caller) -> Vec<&'static str> {
    let mut options =
        vec!["name=seccomp,profile=builtin", "name=cgroupns", "name=no-new-privileges"];
    if caller.uid != 0 {
        options.push("name=rootless");
    }
    options
}

fn cgroup_version() -> &'static str {
    let unified = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers");
    if unified.exists() { "2" } else { "1" }
}

/// Name and version, as the distribution tells them.
fn operating_system() -> (String, String) {
    let text = std::fs::read_to_string("/etc/os-release")
        .or_else(|_| std::fs::read_to_string("/usr/lib/os-release"))
        .unwrap_or_default();
    let of = |key: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        value.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
    };
    (of("PRETTY_NAME"), of("VERSION_ID"))
}

/// docker's client and server, which are one program here. Of what there is none, the field is empty: no Go was used.
pub(super) fn version(os: &str, architecture: &str) -> (Value, Value) {
    let common = || {
        vec![
            Field::new("Version", VERSION),
            Field::renamed("APIVersion", "ApiVersion", API_VERSION),
            Field::new("GitCommit", ""),
            Field::new("GoVersion", ""),
            Field::new("Os", os),
            Field::new("Arch", architecture),
            Field::new("BuildTime", ""),
            Field::hidden("OsArch", format!("{os}/{architecture}")),
            Field::new("Platform", Struct::value("platform", vec![Field::new("Name", "tare")])),
        ]
    };
    let mut client = common();
    client.extend([Field::new("DefaultAPIVersion", API_VERSION), Field::new("Context", CONTEXT)]);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let details = [
        ("Os", os),
        ("Arch", architecture),
        ("ApiVersion", API_VERSION),
        ("MinAPIVersion", API_VERSION),
    ];
    let engine = Struct::value(
        "component",
        vec![
            Field::new("Name", "Engine"),
            Field::new("Version", VERSION),
            Field::new("Details", Value::text_map(details)),
        ],
    );
    let mut server = common();
    server.extend([
        Field::new("MinAPIVersion", API_VERSION),
        Field::new("KernelVersion", kernel.trim_end()),
        Field::new("Experimental", false),
        Field::new("Components", Value::list([engine])),
    ]);
    (Struct::value("client", client), Struct::value("server", server))
}
