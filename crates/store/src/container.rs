//! What containers have in the store: a writable directory on top of layers, and their names as roots
//! of the garbage collector.

use crate::error::{Error, Kind, Result};
use crate::files::Durability;
use crate::layer::Root;
use crate::layout::{self, LayerKey, META, UPPER, WORK};
use crate::limits::{LOCK_WAIT_MS, LOOKERS_WAIT_MS};
use crate::store::Store;
use crate::trash::Garbage;
use crate::{fault, files, lock, mounts, work};
use oci::AnyDigest;
use sys::Fd;
use sys::fs::{self, Lock};

oci::document! {
    /// `meta.json` of a container.
    ContainerRecord(snake) {
        id: String => required,
        /// The manifest that it was made from; empty for one that was made from a directory.
        image: AnyDigest,
        /// The layers, the lowest first, by the names of their directories.
        layers: Vec<String> => always,
        /// When it was made, in seconds since 1970.
        time_s: i64 => always,
        /// Other images that it mounts: they stay as long as it does.
        mounted: Vec<MountedImage>,
        /// Nobody wants it after a power cut: nothing of it is synced.
        is_ephemeral: bool,
    }

    /// An image that a container mounts besides its own.
    MountedImage(snake) {
        image: AnyDigest,
        /// As those of the container.
        layers: Vec<String> => always,
    }
}

impl ContainerRecord {
    /// The layers, the lowest first.
    pub fn keys(&self) -> Result<Vec<LayerKey>> {
        self.layers.iter().map(|name| self.key(name)).collect()
    }

    /// The layers of all images that it mounts.
    pub fn mounted_keys(&self) -> Result<Vec<LayerKey>> {
        self.mounted.iter().flat_map(|image| &image.layers).map(|name| self.key(name)).collect()
    }

    fn key(&self, name: &str) -> Result<LayerKey> {
        let invalid = || format!("container {}: {name:?} is not a layer", self.id);
        LayerKey::parse(name).ok_or_else(|| Error::new(Kind::Invalid, invalid()))
    }
}

/// A container's directory, which nobody removes as long as this is open.
#[derive(Debug)]
pub struct Container {
    /// Its record.
    pub record: ContainerRecord,
    dir: Fd,
}

/// What overlayfs makes in its directory when it is told not to sync, and mounts nothing over.
const VOLATILE: &str = "work/incompat/volatile";

impl Container {
    /// The directory of what the container changed.
    pub fn upper_dir(&self) -> Result<Fd> {
        files::open_dir(&self.dir, UPPER)
    }

    /// Gives its root directory what another directory has, which it is to be mounted over.
    pub fn take_root_of(&self, dir: &Fd) -> Result<()> {
        Root::give(Some(Root::at(dir)?), &self.upper_dir()?)
    }

    pub(crate) fn dir(&self) -> &Fd {
        &self.dir
    }

    /// Forgets that what it wrote was not synced when it was mounted before: in the life of the machine in which that
    /// was, nothing is lost, and after it the container is nobody's.
    pub(crate) fn forget_volatile(&self) -> Result<()> {
        let work = self.work_dir()?;
        for (path, flags) in [(format!("{VOLATILE}/dirty"), 0), (VOLATILE.into(), fs::AT_REMOVEDIR)]
        {
            match fs::unlink(&work, path, flags) {
                Ok(()) | Err(sys::Errno::ENOENT) => {}
                Err(errno) => return Err(Error::os("mounting a container again", errno)),
            }
        }
        Ok(())
    }

    /// The directory that overlayfs works in.
    pub fn work_dir(&self) -> Result<Fd> {
        files::open_dir(&self.dir, WORK)
    }
}

impl Store {
    /// Whether a container has given its root directory another mode or owner than its image has. Its time changes with
    /// every file that comes, and says nothing.
    pub fn has_changed_root(&self, container: &Container) -> Result<bool> {
        let root = Root::of(&self.open_layers(&container.record.keys()?)?)?;
        Root::at(&container.upper_dir()?).map(|now| now.differs_from(root))
    }

    /// Makes a container, and opens it. Its layers are there, and stay as long as it does.
    pub fn create_container(&self, record: ContainerRecord) -> Result<Container> {
        layout::check_id(&record.id)?;
        let (path, dir) = work::staging_dir(self)?;
        match self.place_container(&path, &dir, &record) {
            // It is nobody else's before this returns, so that its lock only changes its kind.
            Ok(()) => lock::wait(&dir, Lock::TryShared, LOCK_WAIT_MS, || path.clone())
                .map(|()| Container { record, dir }),
            Err(error) => {
                // The next command sweeps what could not be removed.
                let _ = files::remove_tree(self.root(), &path);
                Err(error)
            }
        }
    }

    fn place_container(&self, path: &str, dir: &Fd, record: &ContainerRecord) -> Result<()> {
        let root = self.root();
        files::make_dir(dir, UPPER)?;
        files::make_dir(dir, WORK)?;
        let durability = durability_of(self, record);
        files::write_record(dir, META, record, durability)?;
        durability.sync(dir, path)?;
        let _guard = self.share()?;
        let layers = self.open_layers(&record.keys()?)?;
        self.open_layers(&record.mounted_keys()?)?;
        // What the container sees as its root directory is this one; the sync of the directory's name brings it to the
        // disk, too.
        Root::give(Root::of(&layers)?, &files::open_dir(dir, UPPER)?)?;
        // Replacing would succeed where the other directory is empty; no container's is.
        match fs::rename(root, path, root, layout::container(&record.id), 0) {
            Err(sys::Errno::EEXIST | sys::Errno::ENOTEMPTY) => {
                let text = format!("container {}: there is one already", record.id);
                return Err(Error::new(Kind::Exists, text));
            }
            result => result
                .map_err(|errno| Error::os(format!("making container {}", record.id), errno))?,
        }
        fault::step("container made");
        durability.sync_dir(root, layout::CONTAINERS)
    }
}

fn durability_of(store: &Store, record: &ContainerRecord) -> Durability {
    if record.is_ephemeral { Durability::None } else { store.durability() }
}

impl Store {
    /// Opens a container, which stays as long as it is open.
    pub fn container(&self, id: &str) -> Result<Container> {
        layout::check_id(id)?;
        let missing = |error: Error| match error.kind() {
            Kind::NotFound => Error::not_found(format!("container {id}: there is none")),
            _ => error,
        };
        let place = layout::container(id);
        let dir = files::open_dir(self.root(), &place).map_err(missing)?;
        lock::wait(&dir, Lock::TryShared, LOCK_WAIT_MS, || format!("container {id}"))?;
        if !lock::is_at(self.root(), &place, &dir)? {
            return Err(Error::not_found(format!("container {id}: it is being removed")));
        }
        let record = files::read_record(&dir, META).map_err(missing)?;
        Ok(Container { record, dir })
    }

    /// The identifiers of all containers.
    pub fn containers(&self) -> Result<Vec<String>> {
        files::list(self.root(), layout::CONTAINERS)
    }

    /// Whether somebody has a container open. One that is not there is nobody's.
    pub fn is_open(&self, id: &str) -> Result<bool> {
        layout::check_id(id)?;
        match files::open_dir(self.root(), &layout::container(id)) {
            Err(error) if error.kind() == Kind::NotFound => Ok(false),
            result => Ok(!lock::try_alone(&result?)?),
        }
    }

    /// Removes a container that nobody has open.
    pub fn remove_container(&self, id: &str) -> Result<()> {
        self.take_container(id)?.remove()
    }

    /// The same for whoever frees its space later.
    pub fn take_container(&self, id: &str) -> Result<Garbage<'_>> {
        layout::check_id(id)?;
        let place = layout::container(id);
        let guard = self.share()?;
        let dir = match files::open_dir(self.root(), &place) {
            Err(error) if error.kind() == Kind::NotFound => {
                return Err(Error::not_found(format!("container {id}: there is none")));
            }
            result => result?,
        };
        // Whoever only looks at it has it open for a moment.
        let alone = lock::wait(&dir, Lock::TryExclusive, LOOKERS_WAIT_MS, || place.clone());
        match alone {
            Err(error) if error.kind() == Kind::Busy => {
                let text = format!("container {id}: is in use");
                let hint = "stop it, or unmount it, first";
                return Err(Error::new(Kind::InUse, text).with_hint(hint));
            }
            result => result?,
        }
        if !lock::is_at(self.root(), &place, &dir)? {
            return Err(Error::not_found(format!("container {id}: there is none")));
        }
        if mounts::live(self)?.iter().any(|mount| mount.container == id) {
            let text = format!("container {id}: is mounted");
            return Err(Error::new(Kind::InUse, text).with_hint("`tare unmount` it first"));
        }
        // One that cannot be read is as durable as it can be.
        let record = files::read_record::<ContainerRecord>(&dir, META);
        let durability = record.map_or(self.durability(), |record| durability_of(self, &record));
        let garbage = Garbage::of_directory(self, &place, dir, durability)?;
        drop(guard);
        Ok(garbage)
    }
}
