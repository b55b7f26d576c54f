//! Devices of the host in a container.

use crate::error::{During, Error, Result};
use crate::record::{Config, Device};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// More devices than any machine has.
const DEVICES_LIMIT: usize = 4096;
const DEPTH_LIMIT: usize = 8;
/// They are the container's own.
const OWN: [&str; 7] = ["pts", "shm", "mqueue", "console", "fd", "ptmx", ".lxc"];

/// Where nobody may make nodes the host's are shown; one that is to have another name there is mounted.
pub(super) fn binds(config: &Config) -> Result<Vec<Value>> {
    let mut binds = Vec::new();
    for device in config.devices.iter().filter(|it| is_renamed(it)) {
        for (path, _) in below(&device.host)? {
            let rest = path.strip_prefix(device.host.as_str()).unwrap_or_default();
            binds.push(bind(&path, &format!("{}{rest}", device.container)));
        }
    }
    Ok(binds)
}

/// A node of the host's, by a mount.
pub(super) fn bind(host: &str, inside: &str) -> Value {
    json!({
        "destination": inside, "type": "bind", "source": host,
        "options": ["bind", "rprivate", "nosuid", "noexec"]
    })
}

fn is_renamed(device: &Device) -> bool {
    !device.container.is_empty() && device.container != device.host
}

/// Device nodes, but for those of [`binds`] where `binds` are made.
pub(super) fn nodes(config: &Config, binds: bool) -> Result<Vec<Value>> {
    let mut nodes = Vec::new();
    if config.security.privileged && sys::ids::is_administrator() {
        walk(Path::new("/dev"), &mut |path, metadata| {
            if let Some(path) = path.to_str() {
                nodes.push(node(path, metadata));
            }
        });
    }
    for device in config.devices.iter().filter(|it| !(binds && is_renamed(it))) {
        let inside = if device.container.is_empty() { &device.host } else { &device.container };
        for (path, metadata) in below(&device.host)? {
            let rest = path.strip_prefix(device.host.as_str()).unwrap_or_default();
            let target = format!("{inside}{rest}");
            nodes.retain(|known| known["path"] != json!(target));
            nodes.push(node(&target, &metadata));
        }
    }
    Ok(nodes)
}

/// What the cgroup lets through, besides what every container may.
pub(super) fn rules(config: &Config) -> Result<Value> {
    if config.security.privileged {
        return Ok(json!([{"allow": true, "access": "rwm"}]));
    }
    let mut rules = vec![json!({"allow": false, "access": "rwm"})];
    for device in &config.devices {
        let access = if device.permissions.is_empty() { "rwm" } else { &device.permissions };
        for (_, metadata) in below(&device.host)? {
            let (major, minor) = sys::fs::split_dev(metadata.rdev());
            let kind = kind(&metadata);
            rules.push(json!({"allow": true, "type": kind, "major": major, "minor": minor, "access": access}));
        }
    }
    for text in &config.resources.device_cgroup_rules {
        rules.push(rule(text)?);
    }
    Ok(json!(rules))
}

/// `TYPE MAJOR:MINOR ACCESS`, as the kernel's own file has it.
fn rule(text: &str) -> Result<Value> {
    let bad = || {
        Error::invalid(format!("invalid device cgroup rule: {text:?}"))
            .with_hint("write TYPE MAJOR:MINOR ACCESS, such as \"c 42:* rmw\"")
    };
    let [kind, numbers, access] = text.split_whitespace().collect::<Vec<_>>()[..] else {
        return Err(bad());
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(bad)?;
    let number = |text: &str| -> Result<Option<u32>> {
        if text == "*" { Ok(None) } else { text.parse().map(Some).map_err(|_| bad()) }
    };
    if !matches!(kind, "a" | "b" | "c")
        || access.is_empty()
        || !access.chars().all(|it| "rwm".contains(it))
    {
        return Err(bad());
    }
    let mut rule = json!({"allow": true, "type": kind, "access": access});
    if let Some(major) = number(major)? {
        rule["major"] = json!(major);
    }
    if let Some(minor) = number(minor)? {
        rule["minor"] = json!(minor);
    }
    Ok(rule)
}

/// A device, or all in a directory.
fn below(path: &str) -> Result<Vec<(String, fs::Metadata)>> {
    let metadata = fs::metadata(path).during(|| format!("device {path}"))?;
    let mut found = Vec::new();
    if metadata.is_dir() {
        walk(Path::new(path), &mut |path, metadata| {
            if let Some(path) = path.to_str() {
                found.push((path.to_owned(), metadata.clone()));
            }
        });
    } else if is_device(&metadata) {
        found.push((path.to_owned(), metadata));
    } else {
        return Err(Error::invalid(format!("{path}: is no device")));
    }
    Ok(found)
}

fn is_device(metadata: &fs::Metadata) -> bool {
    metadata.file_type().is_char_device() || metadata.file_type().is_block_device()
}

fn walk(top: &Path, each: &mut dyn FnMut(&Path, &fs::Metadata)) {
    let mut dirs = vec![(top.to_path_buf(), 0)];
    let mut count = 0;
    while let Some((dir, depth)) = dirs.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_own = depth == 0 && OWN.iter().any(|own| entry.file_name() == *own);
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            if metadata.is_dir() && depth < DEPTH_LIMIT && !is_own {
                dirs.push((path, depth + 1));
            } else if is_device(&metadata) && !is_own && count < DEVICES_LIMIT {
                count += 1;
                each(&path, &metadata);
            }
        }
    }
}

fn kind(metadata: &fs::Metadata) -> &'static str {
    if metadata.file_type().is_block_device() { "b" } else { "c" }
}

fn node(path: &str, metadata: &fs::Metadata) -> Value {
    let (major, minor) = sys::fs::split_dev(metadata.rdev());
    json!({
        "path": path, "type": kind(metadata), "major": major, "minor": minor,
        "fileMode": metadata.mode() & 0o7777, "uid": metadata.uid(), "gid": metadata.gid()
    })
}
