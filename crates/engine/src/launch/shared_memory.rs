//! `/dev/shm` of another container: what programs share in memory by its name belongs to the IPC namespace that they share.

use super::spec;
use super::volume_file_systems::in_mounts_of;
use crate::error::{During, Result};
use crate::place::Engine;
use crate::record::Config;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use sys::fs::O_PATH;
use sys::mount::{self, MNT_DETACH};
use sys::{CWD, Errno, fs};

const WHAT: &str = "sharing /dev/shm of another container";

/// A place below the container's directory where it is mounted, for the supervisor alone, until this is dropped.
#[derive(Debug)]
pub(super) struct SharedMemory(PathBuf);

impl SharedMemory {
    /// That of the container whose IPC namespace is joined; nothing where none is, or it has none.
    pub(super) fn of(engine: &Engine, config: &Config) -> Result<Option<Self>> {
        let Some(other) = config.namespaces.ipc.strip_prefix("container:") else { return Ok(None) };
        let path = format!("/proc/{}/ns/mnt", spec::running(engine, other)?);
        let mounts = fs::open_read(&path).during(|| WHAT)?;
        // What the other one has made of its directories, it shares with itself.
        let tree = match in_mounts_of(&mounts, || mount::clone_tree(CWD, "/dev/shm", false))? {
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
            result => result.during(|| WHAT)?,
        };
        let place = engine.path_of(&config.id).join("mounts/shm");
        std::fs::create_dir_all(&place).during(|| WHAT)?;
        let target = fs::open_at(CWD, place.as_os_str().as_bytes(), O_PATH, 0);
        mount::attach(&tree, target.during(|| WHAT)?).during(|| WHAT)?;
        Ok(Some(Self(place)))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        let _ = mount::unmount(self.0.as_os_str().as_bytes(), MNT_DETACH);
    }
}
