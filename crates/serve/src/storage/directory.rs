//! Files below one directory: small ones that are replaced whole, large ones that grow.

use super::error::{During, Error, Result, found};
use super::key::Key;
use crate::fault;
use crate::limits::NAME_TRIES;
use crate::names::UploadId;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use sys::fs::{self, AT_SYMLINK_NOFOLLOW, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDWR};
use sys::fs::{Lock, O_RDONLY};
use sys::{AsFd, CWD, Errno, Fd};

/// Locks for all files: two files that share one wait for each other for some microseconds.
const GATES: usize = 64;

/// Whether what is acknowledged has to survive a power cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// What the registry has said is done survives everything.
    #[default]
    Strict,
    /// It survives the death of the registry, not that of the machine.
    None,
}

/// What is known of a file without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) size: u64,
    /// Seconds since 1970.
    pub(crate) modified_s: u64,
}

/// A directory with everything in it.
#[derive(Debug)]
pub(crate) struct Directory {
    root: Fd,
    durability: Durability,
    gates: [RwLock<()>; GATES],
    /// Held while it is open to be changed.
    lock: Option<Fd>,
}

/// What a registry is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing is made, changed or locked.
    Read,
    /// One process at a time.
    Change,
}

impl Directory {
    /// Opens a directory to change it, alone with it; or only to read it, whoever changes it: files come
    /// and go whole.
    pub(crate) fn open(path: &Path, access: Access, durability: Durability) -> Result<Self> {
        use std::os::unix::ffi::OsStrExt;
        let shown = path.display();
        if access == Access::Change {
            std::fs::create_dir_all(path)
                .map_err(|error| Error::new(format!("making {shown}: {error}")))?;
        }
        let root = fs::open_at(CWD, path.as_os_str().as_bytes(), O_RDONLY | O_DIRECTORY, 0)
            .during(|| format!("opening {shown}"))?;
        let lock = match access {
            Access::Read => None,
            Access::Change => Some(lock(&root, path)?),
        };
        let gates = std::array::from_fn(|_| RwLock::new(()));
        Ok(Self { root, durability, gates, lock })
    }

    /// Whether it may be changed.
    pub(crate) fn access(&self) -> Access {
        match self.lock {
            Some(_) => Access::Change,
            None => Access::Read,
        }
    }

    /// What is directly in the root.
    pub(super) fn top(&self) -> Result<Vec<String>> {
        self.names(".")
    }

    /// Reads a small file.
    pub(crate) fn read(&self, key: &Key, limit: usize) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.open_file(key)? else { return Ok(None) };
        // Records are some hundred bytes: one read, and one that finds the end.
        let bytes = fs::read_about(file, 1023, limit).during(|| format!("reading {key}"))?;
        Ok(Some(bytes))
    }

    /// Opens a file for reading. It stays readable whatever happens to its name.
    pub(crate) fn open_file(&self, key: &Key) -> Result<Option<Fd>> {
        let flags = O_RDONLY | O_NOFOLLOW | fs::O_NONBLOCK;
        found(fs::open_at(&self.root, key.as_str(), flags, 0), || format!("opening {key}"))
    }

    pub(crate) fn stat(&self, key: &Key) -> Result<Option<Stat>> {
        let stat = fs::stat_at(&self.root, key.as_str(), AT_SYMLINK_NOFOLLOW);
        let stat = found(stat, || format!("looking at {key}"))?;
        Ok(stat.filter(|stat| stat.st_mode & fs::S_IFMT == fs::S_IFREG).map(to_stat))
    }

    pub(crate) fn has_directory(&self, key: &Key) -> Result<bool> {
        let stat = fs::stat_at(&self.root, key.as_str(), AT_SYMLINK_NOFOLLOW);
        let stat = found(stat, || format!("looking at {key}"))?;
        Ok(stat.is_some_and(|stat| stat.st_mode & fs::S_IFMT == fs::S_IFDIR))
    }

    /// Looks at a file, and makes it young if it is older than `age`. The collector comes before it,
    /// and nothing is found, or after it, and leaves it alone.
    pub(crate) fn touch(&self, key: &Key, age: Duration) -> Result<Option<Stat>> {
        let _guard = self.gate(key).read().unwrap_or_else(PoisonError::into_inner);
        let Some(stat) = self.stat(key)? else { return Ok(None) };
        let now = sys::time::now();
        let is_young = stat.modified_s.saturating_add(age.as_secs()) > now.seconds as u64;
        if is_young || self.access() == Access::Read {
            return Ok(Some(stat));
        }
        let set = fs::set_times(&self.root, key.as_str(), now);
        Ok(found(set, || format!("touching {key}"))?.map(|()| stat))
    }

    /// Makes or replaces a file, whole or not at all.
    pub(crate) fn write(&self, key: &Key, bytes: &[u8]) -> Result<()> {
        let (staged, file) = self.stage()?;
        fault::step("staged");
        let written = fs::write_all(&file, bytes).during(|| format!("writing {key}"));
        let placed = written.and_then(|()| self.place(&staged, &file, key));
        if placed.is_err() {
            // It has not got a name: nobody misses it.
            let _ = fs::unlink(&self.root, staged.as_str(), 0);
        }
        placed
    }

    /// Makes an empty file, which may be there; says whether it was not.
    pub(crate) fn write_empty(&self, key: &Key) -> Result<bool> {
        let flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW;
        let made = self.below(key, || fs::open_at(&self.root, key.as_str(), flags, 0o600));
        let is_new = !matches!(made, Err(Errno::EEXIST));
        if is_new {
            made.during(|| format!("making {key}"))?;
        }
        fault::step("empty file made");
        // Whoever else has made it may not have come so far yet.
        self.sync_parent(key).map(|()| is_new)
    }

    /// Gives a file of this directory its name, when its contents are on the disk.
    pub(crate) fn place(&self, from: &Key, file: &Fd, to: &Key) -> Result<()> {
        fault::step("written");
        self.sync(file, from)?;
        fault::step("synced");
        self.rename(from, to)?;
        fault::step("renamed");
        self.sync_parent(to)
    }

    fn rename(&self, from: &Key, to: &Key) -> Result<()> {
        self.below(to, || fs::rename(&self.root, from.as_str(), &self.root, to.as_str(), 0))
            .during(|| format!("renaming {from} to {to}"))
    }

    /// Does something in a directory, which is made if it is not there. The collector may remove it again
    /// as long as nothing is in it.
    fn below<T>(&self, key: &Key, work: impl Fn() -> sys::Result<T>) -> sys::Result<T> {
        for _ in 0..NAME_TRIES {
            match work() {
                Err(Errno::ENOENT) => {}
                result => return result,
            }
            // What cannot be made is told by the work.
            let _ = self.make_parent(key);
        }
        work()
    }

    /// Makes a file that has no name yet.
    pub(super) fn stage(&self) -> Result<(Key, Fd)> {
        for _ in 0..NAME_TRIES {
            let id = UploadId::random().during(|| "asking for a random number".into())?;
            let key = Key::staged(&id);
            match self.create(&key) {
                Err(Errno::EEXIST) => {}
                result => return result.map(|file| (key, file)).during(|| "staging a file".into()),
            }
        }
        Err(Error::new("no random name is free"))
    }

    fn create(&self, key: &Key) -> sys::Result<Fd> {
        let flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | fs::O_APPEND;
        fs::open_at(&self.root, key.as_str(), flags, 0o600)
    }

    /// Makes an empty file that grows. It is not synced before it is placed.
    pub(crate) fn create_file(&self, key: &Key) -> Result<Fd> {
        let made = self.create(key).during(|| format!("making {key}"));
        fault::step("upload made");
        made
    }

    /// Opens a file that grows, at its end.
    pub(crate) fn open_to_append(&self, key: &Key) -> Result<Option<(Fd, u64)>> {
        let flags = O_RDWR | O_NOFOLLOW | fs::O_APPEND;
        let file = fs::open_at(&self.root, key.as_str(), flags, 0);
        let Some(file) = found(file, || format!("opening {key}"))? else { return Ok(None) };
        let stat = fs::stat_fd(&file).during(|| format!("looking at {key}"))?;
        Ok(Some((file, stat.st_size as u64)))
    }

    /// Removes a file, and says whether it was there. Durable when it returns.
    pub(crate) fn remove(&self, key: &Key) -> Result<bool> {
        let removed = fs::unlink(&self.root, key.as_str(), 0);
        fault::step("removed");
        match found(removed, || format!("removing {key}"))? {
            Some(()) => self.sync_parent(key).map(|()| true),
            None => Ok(false),
        }
    }

    /// Removes a file that was last changed before `cutoff_s`. Nobody touches it meanwhile. After a power
    /// cut it may be there again.
    pub(crate) fn remove_if_older(&self, key: &Key, cutoff_s: u64) -> Result<Option<Stat>> {
        let guard = self.gate(key).write().unwrap_or_else(PoisonError::into_inner);
        let Some(stat) = self.stat(key)?.filter(|stat| stat.modified_s < cutoff_s) else {
            return Ok(None);
        };
        let removed = fs::unlink(&self.root, key.as_str(), 0);
        drop(guard);
        fault::step("collected");
        found(removed, || format!("removing {key}"))?;
        Ok(Some(stat))
    }

    /// What keeps [`Directory::touch`] and [`Directory::remove_if_older`] of one file apart. No other
    /// process changes anything here, so it is in memory.
    fn gate(&self, key: &Key) -> &RwLock<()> {
        let mut hasher = DefaultHasher::new();
        key.as_str().hash(&mut hasher);
        &self.gates[hasher.finish() as usize % GATES]
    }

    /// The names directly below a directory, sorted. One that is not there has none.
    pub(crate) fn list(&self, key: &Key) -> Result<Vec<String>> {
        self.names(key.as_str())
    }

    fn names(&self, path: &str) -> Result<Vec<String>> {
        let opened = fs::open_at(&self.root, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
        let Some(dir) = found(opened, || format!("opening {path}"))? else {
            return Ok(Vec::new());
        };
        let entries = fs::read_dir(dir.borrow()).during(|| format!("listing {path}"))?;
        // A name that is not UTF-8 is none of ours, and nothing parses it.
        let name = |entry: fs::DirEntry| String::from_utf8(entry.name).ok();
        let mut names: Vec<String> = entries.into_iter().filter_map(name).collect();
        names.sort_unstable();
        Ok(names)
    }

    pub(super) fn make_directory(&self, key: &Key) -> Result<()> {
        self.make(key.as_str())
    }

    fn make(&self, path: &str) -> Result<()> {
        match fs::mkdir(&self.root, path, 0o700) {
            Ok(()) => self.sync_directory(path.rsplit_once('/').map_or(".", |(parent, _)| parent)),
            Err(Errno::EEXIST) => Ok(()),
            Err(errno) => Err(Error::os(format!("making {path}"), errno)),
        }
    }

    fn make_parent(&self, key: &Key) -> Result<()> {
        let parent = key.parent();
        for (at, _) in parent.match_indices('/') {
            self.make(&parent[..at])?;
        }
        self.make(parent)
    }

    /// Removes a directory that is empty.
    pub(crate) fn remove_directory(&self, key: &Key) -> Result<bool> {
        let removed = fs::unlink(&self.root, key.as_str(), fs::AT_REMOVEDIR);
        fault::step("directory removed");
        match removed {
            Ok(()) => Ok(true),
            Err(Errno::ENOENT | Errno::ENOTEMPTY | Errno::EEXIST) => Ok(false),
            Err(errno) => Err(Error::os(format!("removing {key}"), errno)),
        }
    }

    /// Removes what a killed process has left in staging.
    pub(super) fn sweep(&self) -> Result<()> {
        for name in self.list(&Key::staging())? {
            if let Some(id) = UploadId::parse(&name) {
                let key = Key::staged(&id);
                found(fs::unlink(&self.root, key.as_str(), 0), || format!("removing {key}"))?;
            }
        }
        Ok(())
    }

    fn sync(&self, file: impl AsFd, key: &Key) -> Result<()> {
        match self.durability {
            Durability::Strict => supported(fs::sync(file)).during(|| format!("syncing {key}")),
            Durability::None => Ok(()),
        }
    }

    /// Sees that what was removed from a directory does not come back.
    pub(crate) fn sync_entries(&self, key: &Key) -> Result<()> {
        self.sync_directory(key.as_str())
    }

    fn sync_parent(&self, key: &Key) -> Result<()> {
        self.sync_directory(key.parent())
    }

    fn sync_directory(&self, path: &str) -> Result<()> {
        if self.durability == Durability::None {
            return Ok(());
        }
        let dir = fs::open_at(&self.root, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
        // One that was removed meanwhile has nothing to be kept.
        let Some(dir) = found(dir, || format!("opening {path}"))? else { return Ok(()) };
        supported(fs::sync(&dir)).during(|| format!("syncing {path}"))
    }
}

/// The lock of whoever changes the registry, until it is closed.
fn lock(root: &Fd, path: &Path) -> Result<Fd> {
    let (key, shown) = (Key::lock(), path.display());
    let lock = fs::open_at(root, key.as_str(), O_RDONLY | O_CREAT | O_NOFOLLOW, 0o600)
        .during(|| format!("opening {shown}/{key}"))?;
    match fs::lock(&lock, Lock::TryExclusive) {
        Ok(()) => Ok(lock),
        Err(Errno::EAGAIN) => {
            let text = format!("{shown}: another process serves or changes this registry");
            Err(Error::new(text).with_hint("`fuser -v` on its file `lock` names the process"))
        }
        Err(errno) => Err(Error::os(format!("locking {shown}"), errno)),
    }
}

/// Seconds since 1970.
pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn to_stat(stat: fs::Stat) -> Stat {
    Stat { size: stat.st_size as u64, modified_s: stat.st_mtime }
}

/// File systems without anything to sync say so.
fn supported(result: sys::Result<()>) -> sys::Result<()> {
    match result {
        Err(Errno::EINVAL | Errno::ENOTSUP) => Ok(()),
        result => result,
    }
}
