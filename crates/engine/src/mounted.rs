//! Root directories of containers, mounted for everybody to look at and to change.
//!
//! The mount is the store's, with a record that every process sees. An empty file in the container's directory says that
//! there may be one: whoever starts, looks into or removes a container reads the records of all mounts only then.
//!
//! Nothing is ever stacked twice of the same directory of changes, which the kernel does not promise anything for: what
//! is mounted of a container that runs is a copy of its own root directory, and a container that is started or looked
//! into while it is mounted gets a copy of that mount.

use crate::error::{During, Error, Kind, Result};
use crate::files;
use crate::inside;
use crate::place::{Container, Engine};
use crate::record::rootfs_kind;
use std::path::PathBuf;
use store::{MountRecord, View};
use sys::fs::{self, Lock};
use sys::mount::{self, Attributes, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID};
use sys::{CWD, Errno, Fd, time};

/// There may be a mount.
const MOUNTED: &str = "mounted";
/// Whoever copies files of the container is done by then.
const LOCK_WAIT_MS: u64 = 10_000;
const LOOK_MS: u64 = 10;

impl Engine {
    /// The mount of a container's root directory, if there is one.
    pub fn mount_of(&self, container: &Container) -> Result<Option<MountRecord>> {
        self.mount_in(&container.dir, &container.config.id)
    }

    fn mount_in(&self, dir: &Fd, id: &str) -> Result<Option<MountRecord>> {
        if !fs::exists(dir, MOUNTED) {
            return Ok(None);
        }
        let mounts = self.store.mounts()?;
        // What only a process holds is no business of others.
        let own = |it: &MountRecord| it.container == id && !it.target.is_empty();
        Ok(mounts.into_iter().find(own))
    }

    /// All mounts of containers' root directories, and whose they are.
    pub fn mounts(&self) -> Result<Vec<(Container, MountRecord)>> {
        let mut found = Vec::new();
        for record in self.store.mounts()? {
            if record.container.is_empty() || record.target.is_empty() {
                continue;
            }
            found.extend(self.load(&record.container)?.map(|container| (container, record)));
        }
        Ok(found)
    }

    /// Mounts a container's root directory, and says where. One that is mounted is where it is.
    pub fn mount(&self, container: &Container) -> Result<PathBuf> {
        let name = &container.config.name;
        let config = &container.config;
        if !config.rootfs.is_empty() && config.rootfs_kind != rootfs_kind::OVERLAY {
            return Ok(PathBuf::from(&config.rootfs));
        }
        let deadline = time::monotonic_ms() + LOCK_WAIT_MS;
        let lock = container.open_lock()?;
        loop {
            if let Some(record) = self.mount_of(container)? {
                return Ok(PathBuf::from(record.target));
            }
            let missing = || {
                Error::new(Kind::NotFound, format!("No such container: {}", container.config.id))
            };
            match fs::lock(&lock, Lock::TryExclusive) {
                Ok(()) => {
                    // It may have run, or been mounted, since it was looked at.
                    let now = self.load_locked(&container.config.id)?.ok_or_else(missing)?;
                    if now.is_running() {
                        return self.mount_running(&now);
                    }
                    return match self.mount_of(&now)? {
                        Some(record) => Ok(PathBuf::from(record.target)),
                        None => self.mount_stopped(&now),
                    };
                }
                Err(Errno::EAGAIN) => {}
                Err(errno) => return Err(Error::os(format!("locking container {name}"), errno)),
            }
            let now = self.load(&container.config.id)?.ok_or_else(missing)?;
            if now.is_running() {
                return self.mount_running(&now);
            }
            if time::monotonic_ms() >= deadline {
                let text = format!("container {name}: somebody copies files of it");
                return Err(Error::new(Kind::State, text).with_hint("try again"));
            }
            time::sleep_ms(LOOK_MS);
        }
    }

    fn mount_stopped(&self, container: &Container) -> Result<PathBuf> {
        self.note(container)?;
        let stored = self.store.container(&container.config.id)?;
        let path = &container.config.rootfs;
        let open = || {
            fs::open_at(CWD, path.as_bytes(), fs::O_RDONLY | fs::O_DIRECTORY, 0)
                .during(|| format!("opening {path}"))
        };
        let lower = (!path.is_empty()).then(open).transpose()?;
        let view = match &lower {
            Some(lower) => View::Over { lower, container: &stored },
            None => View::Container(&stored),
        };
        let mounted = self.store.mount(view, None).map_err(explained)?;
        // Somebody who has taken a mount away may have removed it.
        self.note(container)?;
        Ok(mounted.target)
    }

    /// Of a container that runs: its supervisor has its lock, and it is mounted by whoever comes first.
    fn mount_running(&self, container: &Container) -> Result<PathBuf> {
        self.note(container)?;
        let guard = fs::open_at(&container.dir, MOUNTED, fs::O_RDWR, 0)
            .during(|| "opening a note of the container's")?;
        fs::lock(&guard, Lock::Exclusive).during(|| "locking a note of the container's")?;
        if let Some(record) = self.mount_of(container)? {
            return Ok(PathBuf::from(record.target));
        }
        let root = inside::clone_of_running(container).map_err(explained)?;
        let stored = self.store.container(&container.config.id)?;
        let mounted = self.store.mount_copy(&stored, &root).map_err(explained)?;
        self.note(container)?;
        Ok(mounted.target)
    }

    fn note(&self, container: &Container) -> Result<()> {
        files::open_lock(&container.dir, MOUNTED).map(drop)
    }

    /// Takes a container's mount away; says where it was. With `force`, also one that is in use, whose users keep it.
    pub fn unmount(&self, container: &Container, force: bool) -> Result<Option<String>> {
        let Some(record) = self.mount_of(container)? else {
            if fs::exists(&container.dir, MOUNTED) {
                self.forget_mount(container)?;
            }
            return Ok(None);
        };
        self.store.unmount(&record.id, force)?;
        self.forget_mount(container)?;
        // One that was to go with its end has stayed for whoever looked at it.
        let _ = self.sweep_one(&container.config.id);
        Ok(Some(record.target))
    }

    /// Nobody has mounted it again meanwhile, or the note stays.
    fn forget_mount(&self, container: &Container) -> Result<()> {
        let Ok(note) = fs::open_at(&container.dir, MOUNTED, fs::O_RDWR, 0) else { return Ok(()) };
        let lock = container.open_lock()?;
        let is_alone = container.is_running() || fs::lock(&lock, Lock::TryExclusive).is_ok();
        if !is_alone || fs::lock(&note, Lock::TryExclusive).is_err() {
            return Ok(());
        }
        match self.mount_of(container)? {
            Some(_) => Ok(()),
            None => files::remove(&container.dir, MOUNTED),
        }
    }

    /// Refuses to take a container away under whoever looks at it.
    pub(crate) fn check_unmounted(&self, id: &str, name: &str) -> Result<()> {
        let Ok(dir) = self.open_dir(id) else { return Ok(()) };
        match self.mount_in(&dir, id)? {
            None => Ok(()),
            Some(record) => {
                let text = format!(
                    "cannot remove container \"/{name}\": it is mounted at {}",
                    record.target
                );
                Err(Error::new(Kind::State, text)
                    .with_hint("`tare unmount` it first, or use --force"))
            }
        }
    }

    /// A copy of the mount of a container, to be its root directory; nothing where it is not mounted.
    pub(crate) fn mounted_root(
        &self,
        id: &str,
        name: &str,
        has_own_ids: bool,
    ) -> Result<Option<Fd>> {
        let Some(record) = self.mount_in(&self.open_dir(id)?, id)? else { return Ok(None) };
        let refused = |why: &str| {
            let text = format!("container {name}: it is mounted at {}{why}", record.target);
            Error::new(Kind::State, text).with_hint("`tare unmount` it first")
        };
        if has_own_ids {
            return Err(refused(", with other ids than it would have"));
        }
        if !self.store.sees(&record)? {
            return Err(refused(" in another mount namespace"));
        }
        let root = mount::clone_tree(CWD, record.target.as_bytes(), false)
            .during(|| format!("copying the mount {}", record.target))?;
        let clear = u64::from(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
        mount::set_attributes(&root, Attributes { clear, ..Attributes::default() }, false)
            .during(|| "changing a mount")?;
        Ok(Some(root))
    }
}

/// What an ordinary user can do.
fn explained(error: impl Into<Error>) -> Error {
    let error = error.into();
    match sys::ids::is_administrator() || error.hint().is_some() {
        true => error,
        false => error.with_hint(
            "an ordinary user mounts inside of `tare unshare`, where others do not see it",
        ),
    }
}
