//! `--volume`, `--mount`, `--tmpfs` and `--volumes-from`.

use super::options::ContainerArgs;
use super::parse;
use crate::failure::{Failure, Result};
use engine::Engine;
use engine::record::{Config, Mount};
use engine::volumes::Volume;
use std::path::Path;

/// Everything that is mounted, the later ones of a target in the place of the earlier.
pub(super) fn read(engine: &Engine, arguments: &ContainerArgs) -> Result<Vec<Mount>> {
    if let Some(driver) = arguments.volume_driver.as_deref().filter(|driver| *driver != "local") {
        return Err(Failure::new(format!("--volume-driver {driver}: there is no such driver"))
            .hint("local is the only one; `-v` mounts what the host has mounted from elsewhere"));
    }
    let mut mounts: Vec<Mount> = Vec::new();
    for text in &arguments.volumes_from {
        for mount in of_container(engine, text)? {
            add(&mut mounts, mount);
        }
    }
    for text in &arguments.volume {
        add(&mut mounts, volume(text)?);
    }
    for text in &arguments.mount {
        add(&mut mounts, mount(text)?);
    }
    for text in &arguments.tmpfs {
        add(&mut mounts, tmpfs(text)?);
    }
    Ok(mounts)
}

/// Makes the volumes that are named and not there, and says where they are.
pub(super) fn provide(engine: &Engine, config: &mut Config) -> Result<()> {
    for mount in config.mounts.iter_mut().filter(|mount| mount.kind == "volume") {
        let wanted = Volume { name: mount.name.clone(), ..Volume::default() };
        let (volume, _) = engine.ensure_volume(wanted)?;
        let path = engine.volume_path(&volume.name).join(&mount.source);
        mount.name = volume.name;
        mount.source = path
            .to_str()
            .map(str::to_owned)
            .ok_or_else(|| Failure::new(format!("{}: the path is not UTF-8", path.display())))?;
    }
    Ok(())
}

fn add(mounts: &mut Vec<Mount>, mount: Mount) {
    mounts.retain(|known| known.target != mount.target);
    mounts.push(mount);
}

fn of_container(engine: &Engine, text: &str) -> Result<Vec<Mount>> {
    let (name, mode) = match text.split_once(':') {
        Some((name, mode)) => (name, mode),
        None => (text, ""),
    };
    let is_read_only = match mode {
        "" | "rw" | "z" | "Z" => false,
        "ro" => true,
        _ => {
            return Err(Failure::new(format!(
                "--volumes-from {text:?}: the mode is neither ro nor rw"
            )));
        }
    };
    let other = engine.find(name)?;
    let mounts = other.config.mounts.into_iter().filter(|mount| mount.kind != "tmpfs");
    Ok(mounts
        .map(|mount| Mount {
            read_only: mount.read_only || is_read_only,
            // It is the other's to remove.
            anonymous: false,
            copy_up: false,
            ..mount
        })
        .collect())
}

/// `[SOURCE:]TARGET[:OPTIONS]`.
fn volume(text: &str) -> Result<Mount> {
    let bad = |why: &str| {
        Failure::new(format!("--volume: {text:?}: {why}")).hint(
            "write SOURCE:TARGET or SOURCE:TARGET:ro, the source being a path or a volume's name",
        )
    };
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, modes) = match parts[..] {
        [target] if target.starts_with('/') => ("", target, ""),
        [source, target] => (source, target, ""),
        [source, target, modes] => (source, target, modes),
        _ => return Err(bad("it has no target")),
    };
    let target = check_target(target).map_err(|why| bad(&why))?;
    let mut mount = Mount { target, copy_up: true, ..Mount::default() };
    for mode in modes.split(',').filter(|mode| !mode.is_empty()) {
        match mode {
            "ro" => mount.read_only = true,
            // SELinux labels: of no use where there is none; files keep the owner that they have.
            "rw" | "z" | "Z" | "consistent" | "cached" | "delegated" | "O" => {}
            "nocopy" => mount.copy_up = false,
            "copy" => mount.copy_up = true,
            "U" => {
                return Err(bad("U would give the files to another owner").hint(
                    "run with --userns keep-id, which shows them as the container's user's",
                ));
            }
            "private" | "rprivate" | "slave" | "rslave" | "shared" | "rshared" | "exec"
            | "noexec" | "suid" | "nosuid" | "dev" | "nodev" | "bind" | "rbind" | "idmap" => {
                mount.options.push(mode.into());
            }
            _ => return Err(bad(&format!("{mode:?} is no option"))),
        }
    }
    let is_path = source.starts_with('/') || source.starts_with('.') || source.starts_with('~');
    if is_path {
        mount.kind = "bind".into();
        mount.source = existing(source, true).map_err(|why| bad(&why))?;
    } else {
        mount.kind = "volume".into();
        mount.name = source.into();
        mount.anonymous = source.is_empty();
    }
    Ok(mount)
}

/// An absolute path of the host, without links. docker makes directories that are not there for `-v`.
fn existing(source: &str, makes: bool) -> std::result::Result<String, String> {
    let path = match (source.strip_prefix('~'), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => format!("{}{rest}", home.to_string_lossy()),
        _ => source.to_owned(),
    };
    if makes && !Path::new(&path).exists() && path.starts_with('/') {
        std::fs::create_dir_all(&path).map_err(|error| format!("making the source: {error}"))?;
    }
    let found = std::fs::canonicalize(&path).map_err(|error| format!("the source: {error}"))?;
    found.to_str().map(str::to_owned).ok_or_else(|| "the source is not UTF-8".into())
}

fn check_target(target: &str) -> std::result::Result<String, String> {
    if !target.starts_with('/') {
        return Err("the target is not an absolute path".into());
    }
    let parts: Vec<&str> = target.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") {
        return Err("the target goes up by `..`".into());
    }
    match parts.is_empty() {
        true => Err("the target cannot be /".into()),
        false => Ok(format!("/{}", parts.join("/"))),
    }
}

/// `TARGET[:OPTIONS]`.
fn tmpfs(text: &str) -> Result<Mount> {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let target = check_target(target).map_err(|why| {
        Failure::new(format!("--tmpfs {text:?}: {why}")).hint("write TARGET or TARGET:OPTIONS")
    })?;
    let mut mount = Mount { kind: "tmpfs".into(), target, ..Mount::default() };
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => mount.read_only = true,
            "rw" => {}
            option => mount.options.push(option.into()),
        }
    }
    Ok(mount)
}

/// `type=...,source=...,target=...`.
fn mount(text: &str) -> Result<Mount> {
    let bad = |why: String| {
        Failure::new(format!("invalid argument {text:?} for --mount: {why}"))
            .hint("write type=bind|volume|tmpfs|image,source=...,target=...[,readonly]")
    };
    let mut mount = Mount { kind: "volume".into(), copy_up: true, ..Mount::default() };
    let mut subpath = String::new();
    for field in text.split(',') {
        let (key, value) = parse::pair(field);
        let is_true = || match value.as_str() {
            "" | "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(bad(format!("{key}: {value:?} is neither true nor false"))),
        };
        match key.as_str() {
            "type" => mount.kind = value.to_ascii_lowercase(),
            "source" | "src" => mount.source = value,
            "target" | "dst" | "destination" => {
                mount.target = check_target(&value).map_err(&bad)?;
            }
            "readonly" | "ro" => mount.read_only = is_true()?,
            "rw" => mount.read_only = !is_true()?,
            "bind-propagation" => mount.options.push(value),
            "bind-nonrecursive" => {
                if is_true()? {
                    mount.options.push("bind".into());
                }
            }
            "bind-recursive" => match value.as_str() {
                "enabled" | "writable" | "readonly" => {}
                "disabled" => mount.options.push("bind".into()),
                _ => return Err(bad(format!("bind-recursive: {value:?} is unknown"))),
            },
            "volume-nocopy" => mount.copy_up = !is_true()?,
            "volume-subpath" | "image-subpath" | "subpath" => subpath = value,
            "volume-label" | "volume-opt" | "consistency" | "relabel" => {}
            "volume-driver" if value == "local" || value.is_empty() => {}
            "tmpfs-size" => mount.options.push(format!("size={}", parse::size(&value)?)),
            "tmpfs-mode" => mount.options.push(format!("mode={value}")),
            "idmap" | "exec" | "noexec" | "suid" | "nosuid" | "dev" | "nodev" => {
                mount.options.push(key)
            }
            _ => return Err(bad(format!("unexpected key '{key}' in '{field}'"))),
        }
    }
    if mount.target.is_empty() {
        return Err(bad("target is required".into()));
    }
    if !subpath.is_empty() && subpath.split('/').any(|part| part == "..") {
        return Err(bad(format!("subpath: {subpath:?} leads out")));
    }
    match mount.kind.as_str() {
        "bind" => {
            mount.source = existing(&mount.source, false)
                .map_err(|why| bad(format!("bind source path does not exist: {why}")))?;
        }
        "volume" => {
            mount.name = std::mem::take(&mut mount.source);
            mount.anonymous = mount.name.is_empty();
            mount.source = subpath;
        }
        "tmpfs" => {}
        "image" => {
            return Err(bad("type=image: not there yet".into())
                .hint("`tare mount IMAGE` and -v of the directory do the same"));
        }
        other => return Err(bad(format!("type {other:?} is unknown"))),
    }
    Ok(mount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_read() {
        let made = volume("/:/x:ro").unwrap();
        assert_eq!(
            (made.kind.as_str(), made.source.as_str(), made.target.as_str()),
            ("bind", "/", "/x")
        );
        assert!(made.read_only);
        let named = volume("data:/x/../x2").err();
        assert!(named.is_some());
        let named = volume("data:/x/").unwrap();
        assert_eq!(
            (named.kind.as_str(), named.name.as_str(), named.target.as_str()),
            ("volume", "data", "/x")
        );
        assert!(volume("/data").unwrap().anonymous);
        for bad in ["", "x", "/:x", "/:/", "/:/x:rx", "/:/x:ro:z", "./nowhere-at-all:/x"] {
            assert!(volume(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn mounts_are_read() {
        let made = mount("type=tmpfs,target=/x,tmpfs-size=1m,tmpfs-mode=700").unwrap();
        assert_eq!(made.options, ["size=1048576", "mode=700"]);
        let made = mount("type=bind,src=/,dst=/x,readonly,bind-propagation=rslave").unwrap();
        assert!(made.read_only && made.options == ["rslave"]);
        for bad in
            ["", "type=x,target=/x", "type=bind,source=/nowhere,target=/x", "target=x", "a=b"]
        {
            assert!(mount(bad).is_err(), "{bad}");
        }
    }
}
