//! `--volume`, `--mount`, `--tmpfs` and `--volumes-from`.

mod globs;
mod words;

pub(super) use words::mount;

use super::options::ContainerArgs;
use super::{image, parse};
use crate::failure::{Failure, Result};
use crate::settings::Settings;
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
    for text in &arguments.defaults.volumes {
        add(&mut mounts, volume(text)?);
    }
    for text in &arguments.defaults.mounts {
        add(&mut mounts, words::mount(text)?);
    }
    for text in &arguments.volumes_from {
        for mount in of_container(engine, text)? {
            add(&mut mounts, mount);
        }
    }
    let mut own: Vec<Mount> = Vec::new();
    for text in &arguments.volume {
        add_once(&mut own, volume(text)?)?;
    }
    for text in &arguments.mount {
        let mount = words::mount(text)?;
        match mount.kind.as_str() {
            "glob" => {
                globs::expand(mount)?.into_iter().try_for_each(|one| add_once(&mut own, one))?;
            }
            _ => add_once(&mut own, mount)?,
        }
    }
    for text in &arguments.tmpfs {
        add_once(&mut own, tmpfs(text)?)?;
    }
    // What is said of the container itself comes in the place of another one's.
    own.into_iter().for_each(|mount| add(&mut mounts, mount));
    Ok(mounts)
}

/// Makes the volumes that are named and not there, and says where they are; pulls images that are mounted.
pub(super) fn provide(
    settings: &Settings<'_>,
    engine: &Engine,
    arguments: &ContainerArgs,
    config: &mut Config,
) -> Result<()> {
    for mount in config.mounts.iter_mut().filter(|mount| mount.kind == "image") {
        let found = image::bring(settings, arguments, &mount.source)
            .and_then(|()| image::layers(settings, engine.store(), &mount.source));
        (mount.name, mount.layers) =
            found.map_err(|failure| failure.during("--mount type=image"))?;
    }
    for mount in config.mounts.iter_mut().filter(|mount| mount.kind == "volume") {
        let wanted = Volume {
            name: mount.name.clone(),
            labels: mount.labels.clone(),
            options: mount.volume_options.clone(),
            ..Volume::default()
        };
        let (volume, _) = engine.ensure_volume(wanted)?;
        let path = engine.volume_path(&volume.name);
        mount.name = volume.name;
        mount.source = path
            .to_str()
            .map(str::to_owned)
            .ok_or_else(|| Failure::new(format!("{}: the path is not UTF-8", path.display())))?;
    }
    Ok(())
}

/// Two different things at one place are a mistake, as docker and podman have it.
fn add_once(mounts: &mut Vec<Mount>, mount: Mount) -> Result<()> {
    match mounts.iter().find(|known| known.target == mount.target) {
        Some(known) if *known != mount => {
            Err(Failure::new(format!("Duplicate mount point: {}", mount.target))
                .hint("mount one of the two at another place"))
        }
        _ => {
            add(mounts, mount);
            Ok(())
        }
    }
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

/// Options of which there is one of each kind.
const MODE_KINDS: [&[&str]; 3] = [
    &["ro", "rw"],
    &["private", "rprivate", "slave", "rslave", "shared", "rshared"],
    &["copy", "nocopy"],
];

/// `[SOURCE:]TARGET[:OPTIONS]`.
pub(super) fn volume(text: &str) -> Result<Mount> {
    let bad = |why: &str| {
        Failure::new(format!("--volume: {text:?}: {why}")).hint(
            "write SOURCE:TARGET or SOURCE:TARGET:ro, the source being a path or a volume's name",
        )
    };
    let parts: Vec<&str> = text.split(':').collect();
    if parts.len() > 1 && parts.contains(&"") {
        return Err(bad("empty section between colons"));
    }
    let (source, target, modes) = match parts[..] {
        [target] if target.starts_with('/') => ("", target, ""),
        [source, target] => (source, target, ""),
        [source, target, modes] => (source, target, modes),
        [_] => return Err(bad("the target is not an absolute path")),
        _ => return Err(bad("there are too many colons")),
    };
    for kind in MODE_KINDS {
        if modes.split(',').filter(|mode| kind.contains(mode)).count() > 1 {
            return Err(bad(&format!("invalid mode: {modes}: one of {}", kind.join(", "))));
        }
    }
    let target = check_target(target).map_err(|why| bad(&why))?;
    let mut mount = Mount { target, copy_up: true, ..Mount::default() };
    for mode in modes.split(',').filter(|mode| !mode.is_empty()) {
        match mode {
            "ro" => mount.read_only = true,
            // SELinux labels: of no use where there is none; files keep the owner that they have.
            "rw" | "z" | "Z" | "consistent" | "cached" | "delegated" => {}
            "O" => {
                return Err(bad("O: what is written to it would be thrown away")
                    .hint("`--tmpfs` for what nobody keeps, or `:ro`"));
            }
            "nocopy" => mount.copy_up = false,
            "copy" => mount.copy_up = true,
            "U" => mount.as_user = true,
            "copy-symlink" | "no-dereference" => mount.options.push("copy-symlink".into()),
            mode if mode.starts_with("idmap=") => {
                words::read_idmap(&mode["idmap=".len()..], &mut mount).map_err(|why| bad(&why))?;
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
    if makes && !Path::new(&path).exists() {
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
        for bad in ["", "x", ":/x", "/:", "/:/x:", "/:x", "/:/", "/:/x:rx", "/:/x:ro:z"] {
            assert!(volume(bad).is_err(), "{bad}");
        }
    }
}
