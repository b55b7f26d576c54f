//! Directories of the store as another user namespace has them: clones of the mounts that they are on, which
//! show every id through a mapping. Nothing is copied, and nothing on the disk belongs to anybody else.

use crate::error::{During, Error, Kind, Result};
use crate::files;
use crate::layer::Layer;
use crate::layout::{DIFF, UPPER, WORK};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use sys::mount::{self, MNT_DETACH};
use sys::{CWD, Errno, Fd, fs};

/// Whose ids a mount has instead of those on the disk.
#[derive(Clone, Copy, Debug)]
pub struct Mapping<'a> {
    /// A user namespace: what is `n` on the disk is what the namespace calls `n`.
    pub users: &'a Fd,
    /// The namespace's root, user and group, as the caller's namespace calls them: what overlayfs makes
    /// for itself is theirs. It has no right to make anything for whom nobody is mapped to.
    pub root: (u32, u32),
}

impl Mapping<'_> {
    /// Calls a function with new files being the mapped root's, and no right lost by that.
    pub(super) fn as_root<T>(&self, call: impl FnOnce() -> T) -> Result<T> {
        let attempt = || "making files for the mapped root".to_owned();
        let rights = sys::ids::capabilities().during(attempt)?;
        let own = (sys::ids::euid(), sys::ids::egid());
        sys::ids::set_file_owner(self.root.0, self.root.1);
        // The kernel takes those over files away (capabilities(7)).
        let restored = sys::ids::set_capabilities(rights);
        let result = restored.map(|()| call());
        sys::ids::set_file_owner(own.0, own.1);
        // The kernel gives them back to root only.
        sys::ids::set_capabilities(rights).during(attempt)?;
        result.during(attempt)
    }
}

/// Clones of mounts: one for each directory of layers, and one for a container's.
pub(super) struct Trees {
    /// The device and inode of the directory, and its clone.
    trees: Vec<((u64, u64), Fd)>,
}

impl Trees {
    pub(super) fn new() -> Self {
        Self { trees: Vec::new() }
    }

    /// The trees of layers, in their order.
    pub(super) fn lowers<'l>(
        &mut self,
        layers: impl Iterator<Item = &'l Layer>,
        mapping: &Mapping<'_>,
    ) -> Result<Vec<Fd>> {
        let open = |layer: &Layer| {
            let tree = self.of(&layer.parent()?, mapping)?;
            files::open_dir(tree, &format!("{}/{DIFF}", layer.key))
        };
        layers.map(open).collect()
    }

    /// The tree of a directory that is none of the store's.
    pub(super) fn other(&mut self, dir: &Fd, mapping: &Mapping<'_>) -> Result<Fd> {
        fs::duplicate(self.of(dir, mapping)?, 0).during(|| "mapping the ids of a directory".into())
    }

    /// The upper and work directory in `dir`, which overlayfs wants on one mount.
    pub(super) fn upper(&mut self, dir: &Fd, mapping: &Mapping<'_>) -> Result<(Fd, Fd)> {
        let tree = self.of(dir, mapping)?;
        Ok((files::open_dir(tree, UPPER)?, files::open_dir(tree, WORK)?))
    }

    fn of(&mut self, dir: &Fd, mapping: &Mapping<'_>) -> Result<&Fd> {
        let stat = fs::stat_fd(dir).during(|| "looking at a directory of the store".into())?;
        let place = (stat.st_dev, stat.st_ino);
        let index = match self.trees.iter().position(|(known, _)| *known == place) {
            Some(index) => index,
            None => {
                self.trees.push((place, clone(dir, mapping)?));
                self.trees.len() - 1
            }
        };
        Ok(&self.trees[index].1)
    }

    /// Attaches them where nobody looks: before Linux 6.15 overlayfs takes nothing of detached mounts. They are
    /// gone with what this returns; what was opened in them stays what it is.
    pub(super) fn attach(&self, scratch: &Path) -> Result<Attached> {
        let path = scratch.join(PLACE);
        let scratch = fs::open_at(CWD, scratch.as_os_str().as_bytes(), fs::O_RDONLY, 0)
            .during(|| format!("opening {}", scratch.display()))?;
        files::make_dir(&scratch, PLACE)?;
        let attempt = || format!("attaching mounts at {}", path.display());
        // Other mount namespaces may see an empty directory, whatever the place is shared with, and nothing in it.
        let attached = Attached { scratch, path: path.clone() };
        mount::mount("tmpfs", path.as_os_str().as_bytes(), "tmpfs", 0, "mode=700")
            .during(attempt)?;
        mount::mount("", path.as_os_str().as_bytes(), "", mount::MS_PRIVATE, "").during(attempt)?;
        let dir = fs::open_at(CWD, path.as_os_str().as_bytes(), fs::O_RDONLY, 0).during(attempt)?;
        for (number, (_, tree)) in self.trees.iter().enumerate() {
            let name = number.to_string();
            files::make_dir(&dir, &name)?;
            mount::attach(tree, files::open_dir(&dir, &name)?).during(attempt)?;
        }
        Ok(attached)
    }
}

/// The directory, in that of a mount's record.
pub(super) const PLACE: &str = "mapped";

/// Trees that are attached.
pub(super) struct Attached {
    scratch: Fd,
    path: PathBuf,
}

impl Drop for Attached {
    fn drop(&mut self) {
        // What cannot be taken away goes with the mount namespace, and its directory with the record.
        let _ = mount::unmount(self.path.as_os_str().as_bytes(), MNT_DETACH);
        let _ = fs::unlink(&self.scratch, PLACE, fs::AT_REMOVEDIR);
    }
}

/// The mount of a directory, from there down, through a mapping.
fn clone(dir: &Fd, mapping: &Mapping<'_>) -> Result<Fd> {
    let attempt = || "mapping the ids of the store's files".to_owned();
    let tree = mount::clone_tree(dir, "", false).during(attempt)?;
    match mount::set_id_map(&tree, mapping.users, false) {
        Ok(()) => Ok(tree),
        Err(errno) => {
            let (kind, hint) = match errno {
                Errno::ENOSYS => (Kind::Unsupported, "it needs Linux 5.12"),
                Errno::EINVAL => (
                    Kind::Unsupported,
                    "the store's file system has no idmapped mounts: ext4, xfs, btrfs and others have, by the kernel's age",
                ),
                Errno::EPERM => (
                    Kind::Unsupported,
                    "only who may administer the file system may map its ids: the host's root, for most",
                ),
                errno => return Err(Error::os(attempt(), errno)),
            };
            Err(Error::new(kind, format!("{}: {errno}", attempt())).with_hint(hint))
        }
    }
}
