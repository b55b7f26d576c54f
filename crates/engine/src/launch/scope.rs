//! Control groups of an ordinary user's containers (v2).
//!
//! The runtime makes a container's beside that of its supervisor, where the kernel lets the user do that: in a cgroup
//! that was delegated. A session has no such place. But whoever has a systemd of its own is given one by that: the
//! supervisor lets it make a scope of itself, and divides it in two, a part for itself and one for the container.

use super::{limits, system};
use crate::error::{Error, Kind, Result};
use crate::place::{Container, Place};
use crate::record::Config;
use runtime::cgroup::systemd::{self, Scope};
use std::fs;
use std::path::{Path, PathBuf};
use sys::fs::access;

const ROOT: &str = "/sys/fs/cgroup";
/// The supervisor's part of a scope.
const OWN_PART: &str = "supervisor";
const WRITE: u32 = 2;
/// What an administrator can do for somebody without a place for control groups.
pub const HINT: &str = "`loginctl enable-linger USER` gives a user a systemd of its own, and that control groups; \
                               or `systemd-run --user --scope tare run ...` from a session that has one";

/// Whether there is one hierarchy for all controllers.
pub(super) fn is_v2() -> bool {
    Path::new(ROOT).join("cgroup.controllers").exists()
}

/// Makes a place for the container's control group beside this process, if it needs one.
pub(crate) fn enter(place: &Place, config: &Config) -> Result<()> {
    if !is_v2() {
        return Ok(());
    }
    let limit = limits::asked(config)?;
    if limit.is_none() && !system::may_be_init(config) {
        return Ok(());
    }
    let is_there = may_make_beside();
    // Among its own units systemd takes away again what it has not handed on itself.
    let is_systemds = own().is_some_and(|own| own.starts_with(manager(place.uid)));
    if is_there && !is_systemds {
        return Ok(());
    }
    match (adopt(place, &config.id), limit) {
        (Ok(scope), _) => divide(&scope),
        (Err(_), _) if is_there => Ok(()),
        (Err(error), Some(limit)) => {
            let text = format!("{limit}: no control group can be made here: {error}");
            Err(Error::new(Kind::Unsupported, text).with_hint(HINT))
        }
        // What an init needs is looked at once it is known to be one.
        (Err(_), None) => Ok(()),
    }
}

/// Goes to where a program can be moved into the container's control group from: with another common ancestor than
/// one of the user's the kernel refuses that, and the program would be without the container's limits.
pub(crate) fn approach(place: &Place, container: &Container) -> Result<()> {
    let limit = limits::asked(&container.config)?;
    let may_be_elsewhere = limit.is_some() || !container.config.system.is_empty();
    if sys::ids::is_administrator() || !may_be_elsewhere {
        return Ok(());
    }
    let inside = format!("/proc/{}/cgroup", container.state.pid);
    let (Some(inside), Some(own)) = (cgroup_of(&inside), own()) else { return Ok(()) };
    let common: PathBuf = own
        .components()
        .zip(inside.components())
        .take_while(|(a, b)| a == b)
        .map(|it| it.0)
        .collect();
    if own == inside || may_write(&common.join("cgroup.procs")) {
        return Ok(());
    }
    let (id, pid) = (container.config.id.get(..12).unwrap_or_default(), sys::process::id());
    match (adopt(place, &format!("{id}-exec-{pid}")), limit) {
        (Err(error), Some(limit)) => {
            let text = format!("{limit}: what is run here would not be limited: {error}");
            Err(Error::new(Kind::Unsupported, text).with_hint(HINT))
        }
        _ => Ok(()),
    }
}

/// Controllers by which an ordinary user's containers can be limited (v2); `None`: there is no place for them.
pub fn controllers_of_user(uid: u32) -> Option<Vec<String>> {
    let dir = match may_make_beside() {
        true => own()?.parent()?.to_path_buf(),
        false if has_systemd(uid) => manager(uid),
        false => return None,
    };
    let list = fs::read_to_string(dir.join("cgroup.controllers")).ok()?;
    Some(list.split_whitespace().map(str::to_owned).collect())
}

/// Where a user's systemd is.
fn manager(uid: u32) -> PathBuf {
    format!("{ROOT}/user.slice/user-{uid}.slice/user@{uid}.service").into()
}

/// Whether the user has a systemd.
fn has_systemd(uid: u32) -> bool {
    ["systemd/private", "bus"]
        .iter()
        .any(|socket| Path::new(&format!("/run/user/{uid}/{socket}")).exists())
}

/// Whether a cgroup may be made where the runtime does: beside the own one.
pub(super) fn may_make_beside() -> bool {
    let own = own();
    let Some(parent) = own.as_deref().and_then(Path::parent) else { return false };
    // A process is moved by whoever may write to where both cgroups are.
    parent.starts_with(ROOT) && may_write(parent) && may_write(&parent.join("cgroup.procs"))
}

fn may_write(path: &Path) -> bool {
    path.to_str().is_some_and(|path| access(sys::CWD, path, WRITE, 0).is_ok())
}

fn own() -> Option<PathBuf> {
    cgroup_of("/proc/self/cgroup")
}

/// Where a process is, by its file in `/proc`.
fn cgroup_of(file: &str) -> Option<PathBuf> {
    let text = fs::read_to_string(file).ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(Path::new(ROOT).join(path.trim_start_matches('/')))
}

/// Has the user's systemd put this process into a scope, and says where that is.
fn adopt(place: &Place, name: &str) -> Result<PathBuf> {
    let name = format!("tare-{name}.scope");
    let address = place.host.bus_address.as_deref();
    systemd::adopt(Scope { name: &name, uid: place.uid, address }, sys::process::id())?;
    let own = own().filter(|own| own.file_name().is_some_and(|last| *last == *name));
    own.ok_or_else(|| {
        Error::new(Kind::Os, format!("systemd has made {name} and moved nothing there"))
    })
}

/// Control groups are made beside this process from now on. One with processes cannot hand controllers on.
fn divide(scope: &Path) -> Result<()> {
    let part = scope.join(OWN_PART);
    let failed = |error| Error::new(Kind::Os, format!("dividing {}: {error}", scope.display()));
    fs::create_dir(&part).map_err(failed)?;
    fs::write(part.join("cgroup.procs"), "0").map_err(failed)
}
