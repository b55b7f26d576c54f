//! `--rootfs`: a directory of this machine in the place of an image.

use super::image::Found;
use super::options::ContainerArgs;
use super::parse;
use crate::failure::{Failure, Result};
use engine::Engine;
use engine::record::{Config, rootfs_kind};

/// What the directory comes to.
pub(super) fn prepare(engine: &Engine, arguments: &ContainerArgs) -> Result<Found> {
    let typed = arguments.image();
    let bad = |why: &dyn std::fmt::Display| Failure::new(format!("--rootfs {typed}: {why}"));
    let (mut path, mut kind, mut idmap) = (typed, rootfs_kind::CHANGED, false);
    while let Some((before, option)) = path.rsplit_once(':') {
        match option {
            "O" => kind = rootfs_kind::OVERLAY,
            "idmap" => idmap = true,
            option if option.starts_with("idmap=") => {
                return Err(bad(&"idmap takes no ids of its own")
                    .hint("write :idmap, and the ids by --userns, or --uidmap and --gidmap"));
            }
            _ => break,
        }
        path = before;
    }
    let has_users = |mode: &str| !matches!(mode, "" | "host");
    let users = &arguments.security;
    let maps_users = !users.uidmap.is_empty()
        || !users.gidmap.is_empty()
        || users.subuidname.is_some()
        || users.userns.as_deref().is_some_and(has_users);
    if idmap && !maps_users {
        return Err(bad(&"idmap needs a user namespace of the container's own")
            .hint("--userns auto makes one"));
    }
    if maps_users && !idmap && kind == rootfs_kind::OVERLAY {
        return Err(bad(&"in a user namespace nobody could write over the directory")
            .hint("write :O:idmap, which shows the container's ids"));
    }
    let found = std::fs::canonicalize(path).map_err(|error| bad(&error))?;
    if !found.is_dir() {
        return Err(bad(&"it is no directory"));
    }
    let rootfs = found.to_str().ok_or_else(|| bad(&"the path is not UTF-8"))?.to_owned();
    if rootfs == "/" && kind == rootfs_kind::CHANGED {
        return Err(bad(&"a container would change the machine's own root directory")
            .hint("-v shows a container parts of it"));
    }
    if kind == rootfs_kind::OVERLAY && engine.place().root.starts_with(&found) {
        return Err(bad(
            &"the store lies in it, and what the container writes cannot lie below itself",
        )
        .hint("--root names a store elsewhere"));
    }
    let entrypoint = arguments.entrypoint.as_deref().map(parse::entrypoint).transpose()?;
    let config = Config {
        rootfs,
        rootfs_kind: kind.into(),
        rootfs_idmap: idmap,
        entrypoint: entrypoint.unwrap_or_default(),
        cmd: arguments.args().to_vec(),
        ..Config::default()
    };
    if config.entrypoint.is_empty() && config.cmd.is_empty() {
        let what = "no command is given, and a directory has none of its own";
        return Err(Failure::from_parts(127, format!("--rootfs {typed}: {what}"), None)
            .hint("write one behind it"));
    }
    Ok(Found { config, layers: Vec::new(), volumes: Vec::new() })
}
