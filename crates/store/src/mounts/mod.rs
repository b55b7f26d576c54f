//! Mounted images: a view of layers, or a container's root directory, by overlayfs.
//!
//! Each mount has a record below the run root, which every process sees: the collector leaves its
//! layers alone, so that no image is removed under whoever looks at it. The record is written before
//! the mount is attached, and is taken for what it says only as long as the kernel's list has a mount
//! of its name: whatever is killed in between leaves nothing that stays.
//!
//! ```text
//! RUNROOT/UUID/mounts/ID/    its flock: a process makes, holds or removes the mount
//!   record.json              what is mounted, and where
//!   merged/                  the place of a mount that nobody gave one
//! RUNROOT/UUID/empty/        below a single layer: overlayfs wants two
//! ```

mod mapped;
mod overlay;
mod record;

pub use mapped::Mapping;
pub use overlay::Form;
pub use record::MountRecord;
pub(crate) use record::{live, sweep};

use crate::container::Container;
use crate::error::{During, Error, Kind, Result};
use crate::files::{self, Durability};
use crate::layer::{Layer, Root};
use crate::layout::{self, LayerKey};
use crate::limits::LOCK_WAIT_MS;
use crate::store::Store;
use crate::{fault, lock};
use record::{MERGED, MOUNTS, RECORD};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use sys::fs::{self, Lock, O_DIRECTORY, O_PATH, O_RDONLY};
use sys::mount::{self, MNT_DETACH, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID};
use sys::{CWD, Errno, Fd};

/// What is mounted.
#[derive(Clone, Copy, Debug)]
pub enum View<'a> {
    /// Layers, the lowest first; nothing can be written.
    Layers(&'a [LayerKey]),
    /// The same by a layer that has all that they come to: without overlayfs.
    Copy {
        /// The layers, the lowest first.
        layers: &'a [LayerKey],
        /// The copy.
        copy: LayerKey,
    },
    /// A container's root directory: its layers, and what it changes.
    Container(&'a Container),
    /// A directory that is none of the store's, below what a container changes of it.
    Over {
        /// The directory.
        lower: &'a Fd,
        /// The container, which has no layers.
        container: &'a Container,
    },
    /// Layers, and what is changed of them: in a directory that [`Store::make_upper`] has made.
    Written {
        /// The layers, the lowest first.
        layers: &'a [LayerKey],
        /// The directory of changes.
        dir: &'a Fd,
    },
}

/// A mount that is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// What [`Store::unmount`] takes.
    pub id: String,
    /// Where it is.
    pub target: PathBuf,
    /// How it was done.
    pub form: Form,
}

/// A mount that nobody sees but through this; it goes, and so does what keeps its layers, when this is
/// dropped or its process ends.
#[derive(Debug)]
pub struct HeldMount {
    mount: Option<Fd>,
    run: Fd,
    id: String,
    /// The record's directory, locked.
    _dir: Fd,
}

impl HeldMount {
    /// The detached mount: to be attached in a mount namespace that is not the caller's.
    pub fn mount(&self) -> &Fd {
        self.mount.as_ref().expect("it is taken on drop only")
    }
}

impl Drop for HeldMount {
    fn drop(&mut self) {
        drop(self.mount.take());
        // What cannot be removed is swept by the next collection.
        let _ = record::remove(&self.run, &self.id);
    }
}

impl Store {
    /// Mounts a view for everybody to look at: at `target`, or at a directory of its own. Setuid
    /// programs and devices of an image have no effect there. The store has to have been opened in the
    /// caller's mount namespace: the kernel stacks no directories of another one (`EINVAL`).
    pub fn mount(&self, view: View<'_>, target: Option<&Path>) -> Result<Mounted> {
        self.mount_as(view, target, Form::Overlay)
    }

    /// The same, where tests choose the first form that is tried.
    pub(crate) fn mount_as(
        &self,
        view: View<'_>,
        target: Option<&Path>,
        form: Form,
    ) -> Result<Mounted> {
        let begun = Begun::new(self, view)?;
        let target = match target {
            Some(target) => plain(target)?,
            None => begun.own_place(self)?,
        };
        let attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
        let (mount, form) = begun.make(view, attributes, form)?;
        begun.attach(view, &mount, target, form)
    }

    /// Attaches a copy of the mount that is a container's root directory already, at a directory of its own.
    pub fn mount_copy(&self, container: &Container, mount: &Fd) -> Result<Mounted> {
        let view = View::Container(container);
        let begun = Begun::new(self, view)?;
        let target = begun.own_place(self)?;
        let set = u64::from(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
        let change = mount::Attributes { set, ..mount::Attributes::default() };
        mount::set_attributes(mount, change, false).during(|| "changing a mount".into())?;
        begun.attach(view, mount, target, Form::Bind)
    }

    /// Whether the mount of a record is seen in this process' mount namespace, whichever it was made in.
    pub fn sees(&self, record: &MountRecord) -> Result<bool> {
        record.is_seen()
    }

    /// Mounts a view that only its holder sees.
    pub fn mount_held(&self, view: View<'_>) -> Result<HeldMount> {
        let begun = Begun::new(self, view)?;
        let (mount, _) = begun.make(view, 0, Form::Overlay)?;
        begun.hold_recorded(view, mount)
    }

    /// The same, with the ids of a user namespace instead of those on the disk: what its root makes is root's
    /// on the disk, and mounts with different mappings share what they have in common. Of a container, and of
    /// layers; a copy of layers is [`Kind::Unsupported`], and so is what the kernel, the file system or the
    /// caller's rights do not have.
    pub fn mount_held_mapped(&self, view: View<'_>, mapping: Mapping<'_>) -> Result<HeldMount> {
        self.mount_mapped_as(view, mapping, Form::Overlay, false)
    }

    /// The same, where tests choose the first form that is tried, and that mounts are attached before.
    pub(crate) fn mount_mapped_as(
        &self,
        view: View<'_>,
        mapping: Mapping<'_>,
        form: Form,
        attach: bool,
    ) -> Result<HeldMount> {
        let begun = Begun::new(self, view)?;
        let mount = begun.make_mapped(view, mapping, form, attach)?;
        begun.hold_recorded(view, mount)
    }

    /// Makes directories for what is written on top of layers, the lowest first, in a directory of a container's; those
    /// that are there stay.
    pub fn make_upper(&self, dir: &Fd, layers: &[LayerKey]) -> Result<()> {
        files::make_dir(dir, layout::WORK)?;
        if files::make_dir(dir, layout::UPPER)? {
            let root = Root::of(&self.open_layers(layers)?)?;
            Root::give(root, &files::open_dir(dir, layout::UPPER)?)?;
        }
        Ok(())
    }

    /// Takes a mount away. With `force`, also one that is in use, whose users keep it until they are
    /// done, or that cannot be seen from here.
    pub fn unmount(&self, id: &str, force: bool) -> Result<()> {
        layout::check_id(id)?;
        self.check_writable()?;
        let missing = || Error::not_found(format!("mount {id}: there is none"));
        let run = record::open_run(self)?.ok_or_else(missing)?;
        let dir = files::open_dir(&run, &format!("{MOUNTS}/{id}")).map_err(|_| missing())?;
        let record = || files::read_record::<MountRecord>(&dir, RECORD).map_err(|_| missing());
        if !record()?.target.is_empty() {
            // Whoever makes it, takes it away or looks at it has its lock for a moment.
            lock::wait(&dir, Lock::TryExclusive, LOCK_WAIT_MS, || format!("mount {id}"))?;
        } else if !lock::try_alone(&dir)? {
            let text = format!("mount {id}: a process holds it");
            return Err(Error::new(Kind::InUse, text));
        }
        // Somebody else may have been faster.
        let record = record()?;
        if record.is_elsewhere()? && !force {
            let text = format!("mount {id}: was made in another mount namespace");
            return Err(Error::new(Kind::Unsupported, text)
                .with_hint("unmount it there; --force forgets it"));
        }
        if record.is_attached()? && !record.is_elsewhere()? {
            let flags = if force { MNT_DETACH } else { 0 };
            match mount::unmount(&record.target, flags) {
                Err(Errno::EBUSY) => {
                    let text = format!("unmounting {}: it is in use", record.target);
                    let hint = "`fuser -vm` names the processes; --force leaves it to them";
                    return Err(Error::new(Kind::InUse, text).with_hint(hint));
                }
                result => result.during(|| format!("unmounting {}", record.target))?,
            }
            fault::step("unmounted");
        }
        record::remove(&run, id)
    }

    /// The mounts that there are, the oldest first.
    pub fn mounts(&self) -> Result<Vec<MountRecord>> {
        live(self)
    }
}

/// The kernel's list has paths without links.
fn plain(target: &Path) -> Result<PathBuf> {
    std::fs::canonicalize(target).map_err(|error| {
        let errno = Errno(error.raw_os_error().unwrap_or(Errno::EINVAL.0));
        Error::os(format!("mounting at {}", target.display()), errno)
    })
}

/// A mount that is being made: until it is kept or held, its directory goes with this.
struct Begun {
    run: Fd,
    run_path: PathBuf,
    id: String,
    dir: Fd,
    layers: Vec<Layer>,
    copy: Option<Layer>,
    is_kept: bool,
    _guard: lock::Guard,
}

impl Begun {
    /// Takes a name, with the store locked until the record is written: a collector sees all or none.
    fn new(store: &Store, view: View<'_>) -> Result<Self> {
        let path = store.run_path().join(MOUNTS);
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&path).map_err(|error| {
            let errno = Errno(error.raw_os_error().unwrap_or(Errno::EIO.0));
            Error::os(format!("making {}", path.display()), errno)
        })?;
        let run = store.run_path().as_os_str().as_bytes();
        let run = fs::open_at(CWD, run, O_RDONLY | O_DIRECTORY, 0)
            .during(|| format!("opening {}", store.run_path().display()))?;
        let guard = store.share()?;
        let keys = match view {
            View::Layers(keys) => keys.to_vec(),
            View::Copy { layers, .. } | View::Written { layers, .. } => layers.to_vec(),
            View::Container(container) | View::Over { container, .. } => container.record.keys()?,
        };
        let layers = store.open_layers(&keys)?;
        let copy = match view {
            View::Copy { copy, .. } => store.open_layers(&[copy])?.pop(),
            _ => None,
        };
        let id = files::make_random_dir(&run, MOUNTS)?;
        fault::step("mount begun");
        let dir = files::open_dir(&run, &format!("{MOUNTS}/{id}"))?;
        lock::wait(&dir, Lock::TryExclusive, LOCK_WAIT_MS, || format!("mount {id}"))?;
        let run_path = store.run_path().to_path_buf();
        Ok(Self { run, run_path, id, dir, layers, copy, is_kept: false, _guard: guard })
    }

    fn make(&self, view: View<'_>, attributes: u32, form: Form) -> Result<(Fd, Form)> {
        if let Some(copy) = &self.copy {
            let bound = overlay::bind(&copy.diff_dir()?, attributes);
            return Ok((bound.during(|| format!("mounting layer {}", copy.key))?, Form::Bind));
        }
        // The topmost first, as overlayfs counts.
        let mut lowers: Vec<Fd> =
            self.layers.iter().rev().map(Layer::diff_dir).collect::<Result<_>>()?;
        if let View::Over { lower, .. } = view {
            lowers.push(fs::duplicate(lower, 0).during(|| "stacking a directory".into())?);
        }
        let upper = match view {
            View::Container(container) | View::Over { container, .. } => {
                Some((container.upper_dir()?, container.work_dir()?))
            }
            View::Written { dir, .. } => {
                Some((files::open_dir(dir, layout::UPPER)?, files::open_dir(dir, layout::WORK)?))
            }
            View::Layers(_) | View::Copy { .. } => None,
        };
        let stack = self.stack(view, lowers, upper)?;
        let attributes = attributes | stack.attributes();
        overlay::mount(&stack, self.layers.len(), attributes, form, &self.scratch())
    }

    fn make_mapped(
        &self,
        view: View<'_>,
        mapping: Mapping<'_>,
        form: Form,
        attach: bool,
    ) -> Result<Fd> {
        let mut trees = mapped::Trees::new();
        let mut lowers = trees.lowers(self.layers.iter().rev(), &mapping)?;
        if let View::Over { lower, .. } = view {
            lowers.push(trees.other(lower, &mapping)?);
        }
        let upper = match view {
            View::Container(container) | View::Over { container, .. } => {
                Some(trees.upper(container.dir(), &mapping)?)
            }
            View::Written { dir, .. } => Some(trees.upper(dir, &mapping)?),
            View::Layers(_) => None,
            View::Copy { .. } => {
                let text = "mapping the ids of a copy of layers";
                return Err(Error::new(Kind::Unsupported, text));
            }
        };
        let stack = self.stack(view, lowers, upper)?;
        let scratch = self.scratch();
        let make = || {
            let layers = self.layers.len();
            mapping
                .as_root(|| overlay::mount(&stack, layers, stack.attributes(), form, &scratch))?
        };
        if !attach {
            match make() {
                Err(error) if error.kind() == Kind::Unsupported => {}
                result => return result.map(|(mount, _)| mount),
            }
        }
        let _attached = trees.attach(&scratch)?;
        let hint = "overlayfs takes layers with mapped ids since Linux 5.19";
        make().map(|(mount, _)| mount).map_err(|error| match error.kind() {
            Kind::Unsupported if error.hint().is_none() => error.with_hint(hint),
            _ => error,
        })
    }

    /// A place for forms that cannot do without one for a moment.
    fn scratch(&self) -> PathBuf {
        self.run_path.join(MOUNTS).join(&self.id)
    }

    fn stack(
        &self,
        view: View<'_>,
        lowers: Vec<Fd>,
        upper: Option<(Fd, Fd)>,
    ) -> Result<overlay::Stack> {
        let mut stack = overlay::Stack { lowers, upper, is_volatile: false, name: self.name() };
        if let View::Container(container) | View::Over { container, .. } = view
            && container.record.is_ephemeral
        {
            container.forget_volatile()?;
            stack.is_volatile = true;
        }
        if stack.lowers.len() < 2 {
            files::make_dir(&self.run, "empty")?;
            stack.lowers.push(files::open_dir(&self.run, "empty")?);
        }
        if stack.lowers.len() < 2 && stack.upper.is_none() {
            stack.lowers.push(files::open_dir(&self.run, "empty")?);
        }
        Ok(stack)
    }

    fn name(&self) -> String {
        record::source(&self.id)
    }

    fn write(&self, view: View<'_>, target: &Path) -> Result<()> {
        let container = match view {
            View::Layers(_) | View::Copy { .. } | View::Written { .. } => String::new(),
            View::Container(container) | View::Over { container, .. } => {
                container.record.id.clone()
            }
        };
        let Some(target) = target.to_str() else {
            let text = format!("mounting at {}: the path is not UTF-8", target.display());
            return Err(Error::new(Kind::Unsupported, text));
        };
        let record = MountRecord {
            id: self.id.clone(),
            layers: self.layers.iter().map(|layer| layer.key.to_string()).collect(),
            container,
            copy: self.copy.as_ref().map(|copy| copy.key.to_string()).unwrap_or_default(),
            target: target.to_owned(),
            boot: record::boot_id()?,
            namespace: record::mount_namespace()?,
            made_ms: sys::time::monotonic_ms(),
        };
        // A mount does not survive a power cut, so its record need not.
        files::write_record(&self.dir, "record.tmp", &record, Durability::None)?;
        files::rename(&self.dir, "record.tmp", RECORD)
    }

    /// A directory for the mount.
    fn own_place(&self, store: &Store) -> Result<PathBuf> {
        files::make_dir(&self.dir, MERGED)?;
        plain(&store.run_path().join(MOUNTS).join(&self.id).join(MERGED))
    }

    /// Writes the record, and attaches the mount for everybody.
    fn attach(self, view: View<'_>, mount: &Fd, target: PathBuf, form: Form) -> Result<Mounted> {
        self.write(view, &target)?;
        fault::step("mount recorded");
        let place = fs::open_at(CWD, target.as_os_str().as_bytes(), O_PATH | O_DIRECTORY, 0)
            .during(|| format!("opening {}", target.display()))?;
        mount::attach(mount, &place).during(|| format!("mounting at {}", target.display()))?;
        fault::step("mounted");
        Ok(Mounted { id: self.keep(), target, form })
    }

    /// Leaves the mount and its record to everybody.
    fn keep(mut self) -> String {
        self.is_kept = true;
        std::mem::take(&mut self.id)
    }

    /// Writes the record, and leaves the mount to its holder.
    fn hold_recorded(self, view: View<'_>, mount: Fd) -> Result<HeldMount> {
        self.write(view, Path::new(""))?;
        fault::step("mount recorded");
        self.hold(mount)
    }

    /// Leaves the mount to its holder.
    fn hold(mut self, mount: Fd) -> Result<HeldMount> {
        // Of the same open files, so the lock goes on.
        let copy = |fd: &Fd| fs::duplicate(fd, 0).during(|| "holding a mount".into());
        let (run, dir) = (copy(&self.run)?, copy(&self.dir)?);
        self.is_kept = true;
        Ok(HeldMount { mount: Some(mount), run, id: std::mem::take(&mut self.id), _dir: dir })
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if !self.is_kept {
            // What cannot be removed is swept by the next collection.
            let _ = record::remove(&self.run, &self.id);
        }
    }
}
