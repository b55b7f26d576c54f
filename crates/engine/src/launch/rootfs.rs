//! The root directory of a container, stacked where nobody but its supervisor sees it.

use super::points;
use super::userns::Mapping;
use crate::error::{During, Error, Result};
use crate::place::{self, Engine};
use crate::record::{Config, rootfs_kind};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use store::HeldMount;
use sys::Fd;
use sys::mount::{Attributes, MNT_DETACH, MOUNT_ATTR_NOSUID, MS_PRIVATE};

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
    /// A copy of a mount: of the one that everybody sees, or of a directory of the host's.
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
        let lower = match config.rootfs.as_str() {
            "" => None,
            path => Some(open_root(path)?),
        };
        if lower.is_some() && config.rootfs_kind.is_empty() {
            let path = PathBuf::from(&config.rootfs);
            return Ok(Self { path, _container: container, mount: None });
        }
        let path = place::merged(&engine.path_of(&config.id));
        match fs::create_dir(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            result => result,
        }
        .during(|| format!("making {}", path.display()))?;
        let copy = engine.mounted_root(&config.id, &config.name, mapping.is_some())?;
        let mount = match (copy, &lower) {
            (_, Some(lower)) if config.rootfs_kind == rootfs_kind::CHANGED => {
                Mount::Copied(tree(lower, config, mapping)?)
            }
            (Some(copy), _) => Mount::Copied(copy),
            (None, Some(lower)) => {
                let view = store::View::Over { lower, container: &container };
                let mapping = mapping.filter(|_| config.rootfs_idmap);
                Mount::Stacked(stack(engine, view, mapping)?)
            }
            (None, None) => {
                let points = points::below(engine, config);
                let view = match &points {
                    Some(lower) => store::View::Over { lower, container: &container },
                    None => store::View::Container(&container),
                };
                Mount::Stacked(stack(engine, view, mapping)?)
            }
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

    /// It is the container's to write in; a packed program's is not.
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

/// A directory that somebody has named.
fn open_root(path: &str) -> Result<Fd> {
    let flags = sys::fs::O_RDONLY | sys::fs::O_DIRECTORY;
    sys::fs::open_at(sys::CWD, path.as_bytes(), flags, 0)
        .during(|| format!("opening the root directory {path}"))
}

/// Layers or a directory, and what the container writes on top.
fn stack(engine: &Engine, view: store::View<'_>, mapping: Option<&Mapping>) -> Result<HeldMount> {
    let users = mapping.map(Mapping::for_files).transpose()?.flatten();
    Ok(match (&users, mapping.and_then(Mapping::root)) {
        (Some(users), Some(root)) => {
            engine.store.mount_held_mapped(view, store::Mapping { users, root })?
        }
        _ => engine.store.mount_held(view)?,
    })
}

/// A directory of the host's with everything that is mounted in it; what is mounted in the container stays there.
fn tree(dir: &Fd, config: &Config, mapping: Option<&Mapping>) -> Result<Fd> {
    let attempt = || format!("mounting the root directory {}", config.rootfs);
    let tree = sys::mount::clone_tree(dir, "", true).during(attempt)?;
    let alone = Attributes { propagation: u64::from(MS_PRIVATE), ..Attributes::default() };
    // Kernels before 5.12 have no such call; there the supervisor's mounts are nobody else's, either.
    let _ = sys::mount::set_attributes(&tree, alone, true);
    if config.rootfs_idmap
        && let Some(users) = mapping.map(Mapping::for_files).transpose()?.flatten()
    {
        sys::mount::set_id_map(&tree, &users, false).map_err(|errno| {
            Error::os(attempt(), errno).with_hint(
                "leave :idmap out, and let the files have the ids that the container has outside",
            )
        })?;
    }
    Ok(tree)
}

impl Drop for Rootfs {
    fn drop(&mut self) {
        if self.mount.take().is_some() {
            let _ = sys::mount::unmount(self.path.as_os_str().as_bytes(), MNT_DETACH);
        }
    }
}
