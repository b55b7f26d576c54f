//! The root directory of a container, stacked where nobody but its supervisor sees it.

use super::userns::Mapping;
use crate::error::{During, Error, Result};
use crate::place::{self, Engine};
use crate::record::Config;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use store::HeldMount;
use sys::Fd;
use sys::mount::{Attributes, MNT_DETACH, MOUNT_ATTR_NOSUID};

/// A root directory that is mounted as long as this is there.
#[derive(Debug)]
pub(crate) struct Rootfs {
    path: PathBuf,
    /// Nobody removes the container meanwhile.
    _container: store::Container,
    mount: Option<Mount>,
}

/// What it is made of.
#[derive(Debug)]
enum Mount {
    /// A stack of its own.
    Stacked(HeldMount),
    /// A copy of the mount that everybody sees.
    Copied(Fd),
}

impl Mount {
    fn fd(&self) -> &Fd {
        match self {
            Self::Stacked(mount) => mount.mount(),
            Self::Copied(mount) => mount,
        }
    }
}

impl Rootfs {
    /// Mounts it, in this mount namespace.
    pub(crate) fn make(
        engine: &Engine,
        config: &Config,
        mapping: Option<&Mapping>,
    ) -> Result<Self> {
        let container = engine.store.container(&config.id)?;
        if !config.rootfs.is_empty() {
            let path = PathBuf::from(&config.rootfs);
            if !path.is_dir() {
                return Err(Error::invalid(format!(
                    "{}: there is no such directory",
                    config.rootfs
                )));
            }
            return Ok(Self { path, _container: container, mount: None });
        }
        let path = place::merged(&engine.path_of(&config.id));
        match fs::create_dir(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            result => result,
        }
        .during(|| format!("making {}", path.display()))?;
        let view = store::View::Container(&container);
        let copy = engine.mounted_root(&config.id, &config.name, mapping.is_some())?;
        let users = mapping.map(Mapping::for_files).transpose()?.flatten();
        let mount = match (copy, &users, mapping.and_then(Mapping::root)) {
            (Some(copy), _, _) => Mount::Copied(copy),
            (None, Some(users), Some(root)) => {
                let mapping = store::Mapping { users, root };
                Mount::Stacked(engine.store.mount_held_mapped(view, mapping)?)
            }
            _ => Mount::Stacked(engine.store.mount_held(view)?),
        };
        let mut made = Self { path, _container: container, mount: None };
        let target = made.open()?;
        sys::mount::attach(mount.fd(), &target)
            .during(|| format!("mounting at {}", made.path.display()))?;
        made.mount = Some(mount);
        Ok(made)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is written to it stays with the container.
    pub(crate) fn is_writable(&self) -> bool {
        self.mount.is_some()
    }

    /// Files are run without the rights that they would give, which nobody gets who has `no_new_privs`. The kernel
    /// does not run a file at all that gives one beyond the container's bounds, such as Debian's ping.
    pub(crate) fn ignore_file_rights(&self) {
        let change = Attributes { set: u64::from(MOUNT_ATTR_NOSUID), ..Attributes::default() };
        if self.mount.is_some()
            && let Ok(root) = self.open()
        {
            // Kernels before 5.12 have no such call; their containers have the file's rights in the way.
            let _ = sys::mount::set_attributes(&root, change, false);
        }
    }

    /// The directory itself.
    pub(crate) fn open(&self) -> Result<Fd> {
        let flags = sys::fs::O_PATH | sys::fs::O_DIRECTORY;
        sys::fs::open_at(sys::CWD, self.path.as_os_str().as_bytes(), flags, 0)
            .during(|| format!("opening {}", self.path.display()))
    }
}

impl Drop for Rootfs {
    fn drop(&mut self) {
        if self.mount.take().is_some() {
            let _ = sys::mount::unmount(self.path.as_os_str().as_bytes(), MNT_DETACH);
        }
    }
}
