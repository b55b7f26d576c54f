//! What specifications of devices say, put into a configuration.

use super::spec::Plan;
use super::{Users, hardware};
use crate::cdi::{Catalogue, Edits, Hook};
use crate::error::{During, Error, Result};
use serde_json::{Value, json};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

/// Puts what the container's devices come to into `spec`.
pub(super) fn apply(plan: &Plan<'_>, spec: &mut Value) -> Result<()> {
    let wanted = &plan.config.cdi;
    if wanted.devices.is_empty() {
        return Ok(());
    }
    let dirs: Vec<PathBuf> = wanted.dirs.iter().map(PathBuf::from).collect();
    let all = Catalogue::read(&dirs);
    for edits in all.edits(&wanted.devices)? {
        one(plan, edits, spec)?;
    }
    Ok(())
}

fn one(plan: &Plan<'_>, edits: &Edits, spec: &mut Value) -> Result<()> {
    for variable in &edits.env {
        let name = |text: &str| text.split('=').next().unwrap_or_default().to_owned();
        let list = list(&mut spec["process"]["env"]);
        list.retain(|known| known.as_str().is_none_or(|known| name(known) != name(variable)));
        list.push(json!(variable));
    }
    for node in &edits.device_nodes {
        if plan.users != Users::Host {
            let on_host = if node.host_path.is_empty() { &node.path } else { &node.host_path };
            list(&mut spec["mounts"]).push(hardware::bind(on_host, &node.path));
            continue;
        }
        let (made, rule) = device(plan, node)?;
        let nodes = list(&mut spec["linux"]["devices"]);
        nodes.retain(|known| known["path"] != made["path"]);
        nodes.push(made);
        // There are rules only where there is a cgroup of one's own.
        if let (Some(rule), Some(rules)) =
            (rule, spec["linux"]["resources"]["devices"].as_array_mut())
        {
            rules.push(rule);
        }
    }
    for mount in &edits.mounts {
        let mounts = list(&mut spec["mounts"]);
        mounts.retain(|known| known["destination"] != json!(mount.container_path));
        mounts.push(mounted(mount));
    }
    for device in &edits.net_devices {
        if plan.users != Users::Host {
            let text = format!(
                "network device {}: only root may give it away",
                device.host_interface_name
            );
            return Err(Error::invalid(text));
        }
        spec["linux"]["netDevices"][&device.host_interface_name] = json!({"name": device.name});
    }
    for hook in &edits.hooks {
        list(&mut spec["hooks"][&hook.hook_name]).push(program(hook));
    }
    let groups = edits.additional_gids.iter().filter(|gid| **gid != 0);
    for gid in groups {
        let known = list(&mut spec["process"]["user"]["additionalGids"]);
        if !known.contains(&json!(gid)) {
            known.push(json!(gid));
        }
    }
    if let Some(rdt) = &edits.intel_rdt {
        let text = oci::json::write(rdt);
        spec["linux"]["intelRdt"] = serde_json::from_str(&text)
            .map_err(|why| Error::invalid(format!("intelRdt: {why}")))?;
    }
    Ok(())
}

/// A list, made where there is none.
fn list(value: &mut Value) -> &mut Vec<Value> {
    if !value.is_array() {
        *value = json!([]);
    }
    value.as_array_mut().expect("it was just made")
}

/// A device as the container gets it, and the rule that lets it through.
fn device(plan: &Plan<'_>, node: &crate::cdi::Node) -> Result<(Value, Option<Value>)> {
    let on_host = if node.host_path.is_empty() { &node.path } else { &node.host_path };
    let (mut kind, mut major, mut minor) = (node.kind.clone(), node.major, node.minor);
    let (mut mode, mut owner) = (node.file_mode, (node.uid, node.gid));
    if kind.is_empty() || kind != "p" && (major.is_none() || minor.is_none()) || mode.is_none() {
        let metadata = std::fs::metadata(on_host).during(|| format!("device {on_host}"))?;
        let found = match metadata.file_type() {
            it if it.is_char_device() => "c",
            it if it.is_block_device() => "b",
            it if it.is_fifo() => "p",
            _ => return Err(Error::invalid(format!("{on_host}: is no device"))),
        };
        if kind.is_empty() {
            kind = found.into();
        }
        if kind != found && !(kind == "u" && found == "c") {
            return Err(Error::invalid(format!("{on_host}: is of type {found}, not {kind}")));
        }
        let (host_major, host_minor) = sys::fs::split_dev(metadata.rdev());
        (major, minor) = (major.or(Some(host_major.into())), minor.or(Some(host_minor.into())));
        mode = mode.or(Some(metadata.mode() & 0o7777));
        owner = (owner.0.or(Some(metadata.uid())), owner.1.or(Some(metadata.gid())));
    }
    // Whom the container runs for may use what nobody else was named for.
    let user = &plan.user;
    let of_user = |named: Option<u32>, host: Option<u32>, own: u32| {
        named.or((own > 0).then_some(own)).or(host)
    };
    let mut made = json!({"path": node.path, "type": kind, "fileMode": mode});
    made["uid"] = json!(of_user(node.uid, owner.0, user.uid));
    made["gid"] = json!(of_user(node.gid, owner.1, user.gid));
    made["major"] = json!(major.unwrap_or(0));
    made["minor"] = json!(minor.unwrap_or(0));
    let access = if node.permissions.is_empty() { "rwm" } else { &node.permissions };
    let rule = (kind != "p").then(|| {
        let kind = if kind == "u" { "c" } else { kind.as_str() };
        json!({"allow": true, "type": kind, "major": major, "minor": minor, "access": access})
    });
    Ok((made, rule))
}

fn mounted(mount: &crate::cdi::Mount) -> Value {
    let mut options = mount.options.clone();
    let has =
        |options: &[String], names: &[&str]| options.iter().any(|it| names.contains(&it.as_str()));
    let is_bind = mount.kind != "tmpfs";
    if is_bind && !has(&options, &["bind", "rbind"]) {
        options.push("rbind".into());
    }
    const WAYS: [&str; 6] = ["private", "rprivate", "slave", "rslave", "shared", "rshared"];
    if is_bind && !has(&options, &WAYS) {
        options.push("rprivate".into());
    }
    let kind = if is_bind { "bind" } else { "tmpfs" };
    let source = if is_bind { &mount.host_path } else { kind };
    json!({"destination": mount.container_path, "type": kind, "source": source, "options": options})
}

fn program(hook: &Hook) -> Value {
    let mut made = json!({"path": hook.path});
    if !hook.args.is_empty() {
        made["args"] = json!(hook.args);
    }
    if !hook.env.is_empty() {
        made["env"] = json!(hook.env);
    }
    // Nothing is waited for at all by 0.
    if let Some(timeout) = hook.timeout.filter(|timeout| *timeout > 0) {
        made["timeout"] = json!(timeout);
    }
    made
}
