//! The files of a volume, looked at from outside.
//!
//! All is done by a child of its own, which sees users and groups by the numbers that containers have given them: an
//! ordinary user's in the user namespace of their containers. A volume with a file system of its own is mounted for it,
//! where nobody else sees that; memory is shared with a container that has it.

use crate::error::{During, Error, Kind, Result};
use crate::launch::{self, enter, volume_file_systems as file_systems};
use crate::place::Engine;
use std::os::unix::ffi::OsStrExt;
use sys::fs::{self, O_DIRECTORY, O_RDONLY};
use sys::{CWD, Fd};

const SIGKILL: i32 = 9;

/// What is done with a volume's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// They are looked at.
    Read,
    /// They are changed: the changes have to stay.
    Write,
}

/// Does something with the directory of a volume, in a process of its own.
pub fn in_volume(
    engine: &Engine,
    name: &str,
    access: Access,
    action: impl FnOnce(&Fd) -> Result<()>,
) -> Result<()> {
    let missing = || Error::new(Kind::NotFound, format!("get {name}: no such volume"));
    let volume = engine.volume(name)?.ok_or_else(missing)?;
    let holder = file_systems::holder(engine, &volume)?;
    let is_nothing = holder.is_none() && file_systems::is_memory(&volume);
    if access == Access::Write && is_nothing {
        let text = format!("volume {name}: it is memory that no container has now");
        return Err(Error::new(Kind::State, text)
            .with_hint("it is there as long as a container that mounts it runs"));
    }
    let place = engine.place.clone();
    launch::in_child(|| {
        // What a killed command has begun is nobody's to go on with.
        let _ = sys::process::set_parent_death_signal(SIGKILL);
        // An ordinary user's memory is seen in its container's namespaces only.
        enter::enter_with(&place, holder)?;
        let engine = Engine::open_plain(place)?;
        let path = engine.volume_path(name);
        if !volume.options.is_empty() && !is_nothing {
            file_systems::mount(&engine, &volume, &path)?;
        }
        let flags = O_RDONLY | O_DIRECTORY;
        let root = fs::open_at(CWD, path.as_os_str().as_bytes(), flags, 0)
            .during(|| format!("opening volume {name}"))?;
        action(&root)
    })
}
