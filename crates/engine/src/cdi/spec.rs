//! One specification: a file of a vendor's, read and checked.
//!
//! What it says is done with the rights of whoever starts the container, so the file has to be theirs or root's, and
//! nobody else's to write; it is opened as it lies there, never through a link.

use oci::Map;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// A specification of a machine with many devices has a tenth of that.
const FILE_LIMIT_BYTES: u64 = 4 << 20;
const DEVICES_LIMIT: usize = 4096;
/// Entries of one list of edits.
const EDITS_LIMIT: usize = 4096;
const TEXT_LIMIT_BYTES: usize = 32 << 10;
/// Those that there are; what a later one adds is not known here.
const VERSIONS: [&str; 10] =
    ["0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0"];
const HOOKS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

oci::document! {
    /// A file.
    Spec(strict) {
        cdi_version: String => required,
        kind: String => required,
        annotations: Map,
        devices: Vec<Device>,
        container_edits: Edits,
    }

    /// One device of a specification.
    Device(strict) {
        name: String => required,
        annotations: Map,
        container_edits: Edits,
    }

    /// What a container gets.
    Edits(strict) {
        env: Vec<String>,
        device_nodes: Vec<Node>,
        net_devices: Vec<NetDevice>,
        mounts: Vec<Mount>,
        hooks: Vec<Hook>,
        intel_rdt: Option<IntelRdt>,
        additional_gids: Vec<u32>,
    }

    /// A device node; what is not said of it is as the host has it.
    Node(strict) {
        path: String => required,
        host_path: String,
        kind as "type": String,
        major: Option<i64>,
        minor: Option<i64>,
        file_mode: Option<u32>,
        permissions: String,
        uid: Option<u32>,
        gid: Option<u32>,
    }

    /// A network device of the host's that moves in.
    NetDevice(strict) {
        host_interface_name: String => required,
        name: String => required,
    }

    /// Something that is mounted.
    Mount(strict) {
        host_path: String => required,
        container_path: String => required,
        options: Vec<String>,
        kind as "type": String,
    }

    /// A program of the host's.
    Hook(strict) {
        hook_name: String => required,
        path: String => required,
        args: Vec<String>,
        env: Vec<String>,
        timeout: Option<i64>,
    }

    /// Cache and memory bandwidth.
    IntelRdt(strict) {
        clos_id as "closID": String,
        l3_cache_schema: String,
        mem_bw_schema: String,
        schemata: Vec<String>,
        enable_cmt as "enableCMT": bool,
        enable_mbm as "enableMBM": bool,
        enable_monitoring: bool,
    }
}

/// Reads a file. The error is a sentence fragment about it.
pub(super) fn read(path: &Path) -> Result<Spec, String> {
    let text = text(path)?;
    match path.extension().is_some_and(|it| it == "json") {
        true => parse(&text),
        false => parse_yaml(&text),
    }
}

fn parse_yaml(text: &str) -> Result<Spec, String> {
    match yaml::read(text)? {
        yaml::Node::Null => Err("it is empty".into()),
        node => parse(&oci::json::write(&node)),
    }
}

fn parse(json: &str) -> Result<Spec, String> {
    let spec: Spec = oci::json::read(json.as_bytes())?;
    check(&spec)?;
    Ok(spec)
}

fn text(path: &Path) -> Result<String, String> {
    use std::io::Read;
    let mut options = std::fs::OpenOptions::new();
    let flags = (sys::fs::O_NOFOLLOW | sys::fs::O_NONBLOCK) as i32;
    let file = options.read(true).custom_flags(flags).open(path).map_err(|error| {
        match error.raw_os_error() == Some(sys::Errno::ELOOP.0) {
            true => "it is a link".to_owned(),
            false => error.to_string(),
        }
    })?;
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is no regular file".into());
    }
    if is_foreign(metadata.uid()) {
        return Err(format!("it belongs to user {}", metadata.uid()));
    }
    const OTHERS_WRITE: u32 = 0o002;
    if metadata.mode() & OTHERS_WRITE != 0 {
        return Err("everybody may write to it".into());
    }
    let mut text = String::new();
    let read = file.take(FILE_LIMIT_BYTES + 1).read_to_string(&mut text);
    read.map_err(|error| error.to_string())?;
    match text.len() as u64 > FILE_LIMIT_BYTES {
        true => Err(format!("it is larger than {} MiB", FILE_LIMIT_BYTES >> 20)),
        false => Ok(text),
    }
}

fn is_foreign(owner: u32) -> bool {
    /// In an ordinary user's namespace everybody else, root too: there it was looked at when the container was made.
    const OVERFLOW: u32 = 65534;
    /// Those of the host's own namespace.
    const WHOLE_MAP: [&str; 3] = ["0", "0", "4294967295"];
    let is_hidden = || {
        let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        owner == OVERFLOW && !map.split_whitespace().eq(WHOLE_MAP)
    };
    owner != 0 && owner != sys::ids::euid() && !is_hidden()
}

fn check(spec: &Spec) -> Result<(), String> {
    if !VERSIONS.contains(&spec.cdi_version.trim_start_matches('v')) {
        return Err(format!("cdiVersion: {:?} is not known", spec.cdi_version));
    }
    let is_kind =
        spec.kind.split_once('/').is_some_and(|(vendor, class)| is_name(vendor) && is_name(class));
    if !is_kind {
        return Err(format!("kind: {:?} is not VENDOR/CLASS", spec.kind));
    }
    if spec.devices.is_empty() || spec.devices.len() > DEVICES_LIMIT {
        return Err(format!("devices: there are {}", spec.devices.len()));
    }
    edits(&spec.container_edits).map_err(|why| format!("containerEdits: {why}"))?;
    let mut names = std::collections::BTreeSet::new();
    for device in &spec.devices {
        let name = &device.name;
        if !is_device_name(name) {
            return Err(format!("devices: {name:?} is no name"));
        }
        if !names.insert(name) {
            return Err(format!("devices: {name:?} is there twice"));
        }
        edits(&device.container_edits).map_err(|why| format!("device {name:?}: {why}"))?;
    }
    Ok(())
}

/// A vendor or a class: letters, digits, `-`, `_` and `.`, with a letter first and no sign last.
pub(super) fn is_name(text: &str) -> bool {
    let is_inner = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '_' | '.');
    text.starts_with(|it: char| it.is_ascii_alphabetic())
        && text.ends_with(|it: char| it.is_ascii_alphanumeric())
        && text.chars().all(is_inner)
}

/// A device's name may begin with a digit, and have colons.
pub(super) fn is_device_name(text: &str) -> bool {
    let is_inner = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '_' | '.' | ':');
    text.starts_with(|it: char| it.is_ascii_alphanumeric())
        && text.ends_with(|it: char| it.is_ascii_alphanumeric())
        && text.chars().all(is_inner)
}

fn edits(edits: &Edits) -> Result<(), String> {
    let counts = [
        edits.env.len(),
        edits.device_nodes.len(),
        edits.net_devices.len(),
        edits.mounts.len(),
        edits.hooks.len(),
        edits.additional_gids.len(),
    ];
    if counts.iter().any(|count| *count > EDITS_LIMIT) {
        return Err(format!("more than {EDITS_LIMIT} of a kind"));
    }
    for variable in &edits.env {
        let has_name = variable.split_once('=').is_some_and(|(name, _)| !name.is_empty());
        if !has_name || variable.contains('\0') || variable.len() > TEXT_LIMIT_BYTES {
            return Err(format!("env: {:?} is not NAME=VALUE", short(variable)));
        }
    }
    edits.device_nodes.iter().try_for_each(node).map_err(|why| format!("deviceNodes: {why}"))?;
    edits.mounts.iter().try_for_each(mount).map_err(|why| format!("mounts: {why}"))?;
    edits.hooks.iter().try_for_each(hook).map_err(|why| format!("hooks: {why}"))?;
    for device in &edits.net_devices {
        for name in [&device.host_interface_name, &device.name] {
            /// The kernel's.
            const INTERFACE_LIMIT_BYTES: usize = 15;
            let is_fine = !name.is_empty()
                && name.len() <= INTERFACE_LIMIT_BYTES
                && !name.contains(['/', '\0']);
            if !is_fine {
                return Err(format!("netDevices: {:?} is no interface", short(name)));
            }
        }
    }
    Ok(())
}

fn short(text: &str) -> &str {
    const SHOWN: usize = 64;
    text.char_indices().nth(SHOWN).map_or(text, |(at, _)| &text[..at])
}

/// Absolute, and nowhere up: a path means what it seems to mean.
fn path(text: &str) -> Result<(), String> {
    let is_fine = text.starts_with('/')
        && text.len() <= 4096
        && !text.contains('\0')
        && text.split('/').all(|part| part != "..");
    if is_fine {
        Ok(())
    } else {
        Err(format!("{:?} is not an absolute path without `..`", short(text)))
    }
}

fn node(node: &Node) -> Result<(), String> {
    path(&node.path)?;
    if !node.host_path.is_empty() {
        path(&node.host_path)?;
    }
    if !matches!(node.kind.as_str(), "" | "b" | "c" | "u" | "p") {
        return Err(format!("type {:?} is not b, c, u or p", short(&node.kind)));
    }
    if !node.permissions.chars().all(|it| "rwm".contains(it)) {
        return Err(format!("permissions {:?} are not of r, w and m", short(&node.permissions)));
    }
    let number =
        |value: Option<i64>| value.is_none_or(|value| (0..=i64::from(u32::MAX)).contains(&value));
    match number(node.major) && number(node.minor) {
        true => Ok(()),
        false => Err(format!("{}: its numbers are none of a device", node.path)),
    }
}

fn mount(mount: &Mount) -> Result<(), String> {
    path(&mount.container_path)?;
    if mount.container_path.trim_matches('/').is_empty() {
        return Err("containerPath cannot be /".into());
    }
    match mount.kind.as_str() {
        "" | "bind" => path(&mount.host_path),
        "tmpfs" => Ok(()),
        other => Err(format!("type {:?} is neither bind nor tmpfs", short(other))),
    }
}

fn hook(hook: &Hook) -> Result<(), String> {
    if !HOOKS.contains(&hook.hook_name.as_str()) {
        return Err(format!("{:?} is none", short(&hook.hook_name)));
    }
    if hook.timeout.is_some_and(|timeout| timeout < 0) {
        return Err("timeout: it is below 0".into());
    }
    path(&hook.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_the_specification_has_them() {
        for good in ["vendor.com", "a", "a-b_c.d9"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "9a", "a-", "a/b", "a=b", "\u{e9}"] {
            assert!(!is_name(bad), "{bad}");
        }
        assert!(is_device_name("0") && is_device_name("GPU-1:0") && !is_device_name("0:"));
    }

    #[test]
    fn what_is_not_of_a_specification_is_refused() {
        let of = |version: &str, kind: &str, edits: &str| {
            parse_yaml(&format!(
                "cdiVersion: \"{version}\"\nkind: \"{kind}\"\ndevices:\n- name: a\n  containerEdits: {edits}\n"
            ))
        };
        assert!(of("0.6.0", "v.com/c", "{}").is_ok());
        assert!(of("1.0.0", "v.com/c", "{deviceNodes: [{path: /dev/x, permissions: rw}]}").is_ok());
        for (version, kind, edits, why) in [
            ("9.0.0", "v.com/c", "{}", "cdiVersion"),
            ("0.6.0", "v.com", "{}", "kind"),
            ("0.6.0", "v.com/c", "{nothing: 1}", "unknown field"),
            ("0.6.0", "v.com/c", "{deviceNodes: [{path: /dev/../x}]}", "deviceNodes"),
            ("0.6.0", "v.com/c", "{deviceNodes: [{path: dev/x}]}", "deviceNodes"),
            ("0.6.0", "v.com/c", "{deviceNodes: [{path: /dev/x, permissions: z}]}", "permissions"),
            ("0.6.0", "v.com/c", "{deviceNodes: [{path: /dev/x, major: -1}]}", "numbers"),
            ("0.6.0", "v.com/c", "{mounts: [{hostPath: /a/../b, containerPath: /b}]}", "mounts"),
            ("0.6.0", "v.com/c", "{mounts: [{hostPath: /a, containerPath: /}]}", "cannot be /"),
            (
                "0.6.0",
                "v.com/c",
                "{mounts: [{hostPath: /a, containerPath: /b, type: proc}]}",
                "type",
            ),
            ("0.6.0", "v.com/c", "{hooks: [{hookName: x, path: /bin/true}]}", "hooks"),
            ("0.6.0", "v.com/c", "{hooks: [{hookName: poststop, path: true}]}", "hooks"),
            ("0.6.0", "v.com/c", "{env: [A]}", "env"),
        ] {
            let error = of(version, kind, edits).unwrap_err();
            assert!(error.contains(why), "{edits}: {error}");
        }
    }
}
