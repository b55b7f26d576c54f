//! `--device` and `--gpus`: devices of the host, by their paths or by the names that their vendors give them.

use super::options::SecurityArgs;
use crate::caller::Caller;
use crate::failure::{Failure, Result};
use crate::settings::Global;
use engine::cdi::{self, Catalogue};
use engine::record::{Config, Device};
use std::path::{Path, PathBuf};

/// Where specifications of devices are, the last directory counting most.
const SYSTEM_DIRS: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];

/// The directories that options name, or else the system's, and those of a user who is not root.
pub(crate) fn spec_dirs(global: &Global, caller: &Caller) -> Vec<PathBuf> {
    if !global.cdi_spec_dir.is_empty() {
        let absolute = |dir: &PathBuf| std::path::absolute(dir).unwrap_or_else(|_| dir.clone());
        return global.cdi_spec_dir.iter().map(absolute).collect();
    }
    let mut dirs: Vec<PathBuf> = SYSTEM_DIRS.iter().map(PathBuf::from).collect();
    if caller.uid != 0 {
        let own = [caller.config_home(), caller.runtime_dir.clone()];
        dirs.extend(own.into_iter().flatten().map(|dir| dir.join("cdi")));
    }
    dirs
}

/// The devices that options name.
pub(super) fn choose(global: &Global, arguments: &SecurityArgs, config: &mut Config) -> Result<()> {
    for text in arguments.device.iter().filter(|text| !cdi::is_name(text)) {
        config.devices.push(device(text)?);
    }
    let named: Vec<String> =
        arguments.device.iter().filter(|it| cdi::is_name(it)).cloned().collect();
    if named.is_empty() && arguments.gpus.is_none() {
        return Ok(());
    }
    let all = Catalogue::read(&spec_dirs(global, &Caller::new()));
    all.check(&named).map_err(|error| Failure::from(error).during("--device"))?;
    let mut devices = named;
    if let Some(text) = &arguments.gpus {
        let gpus =
            cdi::gpus::choose(text, &all).map_err(|error| Failure::from(error).during("--gpus"))?;
        devices.extend(gpus.devices);
        if !gpus.capabilities.is_empty() {
            config.env.push(format!("NVIDIA_DRIVER_CAPABILITIES={}", gpus.capabilities.join(",")));
        }
    }
    let text = |dir: &PathBuf| {
        let shown = || Failure::new(format!("{}: the path is not UTF-8", dir.display()));
        dir.to_str().map(str::to_owned).ok_or_else(shown)
    };
    config.cdi.dirs = all.dirs().iter().map(text).collect::<Result<_>>()?;
    config.cdi.devices = devices;
    Ok(())
}

/// Whether a text is a device, by its path or by its name.
pub(super) fn check(text: &str) -> Result<()> {
    if cdi::is_name(text) { Ok(()) } else { device(text).map(drop) }
}

/// `HOST[:PATH][:rwm]`.
fn device(text: &str) -> Result<Device> {
    let bad = |why: &str| {
        Failure::new(format!("--device {text:?}: {why}"))
            .hint("write /dev/DEVICE[:PATH][:rwm], or VENDOR/CLASS=NAME for one that a CDI specification defines")
    };
    if !text.starts_with('/') {
        return Err(bad("it is neither a path nor the name of a CDI device"));
    }
    let is_access = |text: &str| !text.is_empty() && text.chars().all(|it| "rwm".contains(it));
    let mut parts = text.split(':');
    let mut device = Device { host: parts.next().unwrap_or_default().into(), ..Device::default() };
    for part in parts {
        if part.starts_with('/') && device.container.is_empty() {
            device.container = part.into();
        } else if is_access(part) && device.permissions.is_empty() {
            device.permissions = part.into();
        } else {
            return Err(bad("a part of it is neither a path nor of r, w and m"));
        }
    }
    if !Path::new(&device.host).exists() {
        return Err(bad("there is no such device"));
    }
    Ok(device)
}
