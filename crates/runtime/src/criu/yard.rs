//! Where criu finds the control groups of v2.
//!
//! Left to itself criu mounts cgroup2 anew, without options and in the machine's first cgroup namespace: the options of
//! the only superblock that there is are the whole machine's, so that `nsdelegate`, and with it the limits of whoever is
//! root in a container, would be gone until somebody mounts it again. Its `--cgroup-yard` is a directory with the
//! hierarchies in it: here the one that is mounted already.

use super::message::Message;
use crate::cgroup::Layout;
use crate::error::{Attempt, Result};
use crate::state::ContainerDir;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use sys::fs;
use sys::mount as m;

/// Below the container's state.
const YARD: &str = "criu-cgroups";
/// criu's name for cgroup2 there.
const NAME: &str = "criu-cgroups/unified";

/// The directory, as long as criu needs it.
pub(super) struct Yard<'d> {
    dir: &'d ContainerDir,
    path: String,
    /// What is mounted already.
    mount: String,
}

impl<'d> Yard<'d> {
    /// For reading: a link is enough. `None`: there is v1, whose mounts take no options from each other.
    pub(super) fn linked(dir: &'d ContainerDir) -> Result<Option<Self>> {
        let Some(yard) = Self::make(dir)? else { return Ok(None) };
        fs::symlink(&yard.mount, dir.fd(), NAME).attempt(|| format!("making {}", yard.path))?;
        Ok(Some(yard))
    }

    /// For processes that are in other root directories by then: a place for a mount.
    pub(super) fn bound(dir: &'d ContainerDir) -> Result<Option<Self>> {
        let Some(yard) = Self::make(dir)? else { return Ok(None) };
        fs::mkdir(dir.fd(), NAME, 0o700).attempt(|| format!("making {}", yard.path))?;
        Ok(Some(yard))
    }

    fn make(dir: &'d ContainerDir) -> Result<Option<Self>> {
        let layout = Layout::detect()?;
        let Some(mount) = layout.only_mount().map(ToOwned::to_owned) else { return Ok(None) };
        let path = format!("{}/{YARD}", crate::create::job::real_path(dir.fd())?);
        let yard = Self { dir, path, mount };
        // Somebody may have been killed before it was removed.
        yard.remove();
        fs::mkdir(dir.fd(), YARD, 0o700).attempt(|| format!("making {}", yard.path))?;
        Ok(Some(yard))
    }

    /// Tells criu of it (cgroup_yard).
    pub(super) fn give(&self, opts: &mut Message) {
        opts.text(60, &self.path);
    }

    /// In the mount namespace of the process that becomes criu, and of nobody else.
    pub(super) fn bind(&self) -> Result<()> {
        let place = format!("{}/unified", self.path);
        m::mount(&self.mount, &place, "", m::MS_BIND, "")
            .attempt(|| format!("binding {} to {place}", self.mount))
    }

    fn remove(&self) {
        for flags in [0, fs::AT_REMOVEDIR] {
            let _ = fs::unlink(self.dir.fd(), NAME, flags);
        }
        let _ = fs::unlink(self.dir.fd(), YARD, fs::AT_REMOVEDIR);
    }
}

impl Drop for Yard<'_> {
    fn drop(&mut self) {
        self.remove();
    }
}
