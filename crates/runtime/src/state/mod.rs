//! The state directory: what is known of each container, shared by any number of processes.
//!
//! ```text
//! <root>/                 0700, made on first use
//!   <id>/                 0700; its existence takes the name
//!     state.json          the Record: written by rename, so that readers see one or the other
//!     exec.fifo           a created container waits here for `start`; removed by it
//!     seccomp             the compiled filter, for exec
//!     notify/             mounted into a container whose caller has a NOTIFY_SOCKET: its socket
//! ```
//!
//! Locking: a process that changes a container holds an exclusive `flock` on its directory; one
//! that only reads takes none, because records are replaced whole. There is no lock over the
//! root: `mkdir` decides who gets a name.
//!
//! *Intent before effect*: the record names every cgroup, monitoring group and device move before
//! it is made, so that `delete --force` can take a container away whatever killed its creator. A
//! directory without a readable record is one whose creator died at the very beginning: nothing
//! but the directory exists.

mod record;

pub use record::{Record, format_time};

use crate::config::ContainerId;
use crate::error::{Attempt, Error, Kind, Result};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use sys::{CWD, Errno, Fd, fs};

const RECORD: &str = "state.json";
const RECORD_TEMP: &str = "state.json.tmp";
/// The fifo that a created container waits on.
pub const FIFO: &str = "exec.fifo";
const FILTER: &str = "seccomp";
/// A record embeds parts of config.json, which is itself limited.
const RECORD_LIMIT_BYTES: usize = 2 * crate::config::DOCUMENT_LIMIT_BYTES;

/// The directory of one container.
#[derive(Debug)]
pub struct ContainerDir {
    root: Fd,
    dir: Fd,
    id: ContainerId,
}

/// The directory of all containers, made if it is not there.
fn open_root(root: &str, create: bool) -> Result<Fd> {
    let open = || fs::open_at(CWD, root, fs::O_PATH | fs::O_DIRECTORY, 0);
    match open() {
        Err(Errno::ENOENT) if create => {
            make_dirs(root)?;
            open()
        }
        result => result,
    }
    .map_err(|errno| root_error(root, errno))
}

fn root_error(root: &str, errno: Errno) -> Error {
    Error::os(format!("opening the state directory {root}"), errno)
        .with_hint("choose a directory that you can write to with --root")
}

fn make_dirs(path: &str) -> Result<()> {
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    for end in ends.filter(|&end| end > 0) {
        match fs::mkdir(CWD, &path[..end], 0o700) {
            Ok(()) | Err(Errno::EEXIST) => {}
            // A parent may be read-only or not ours and still have the next directory in it.
            Err(_) if fs::exists(CWD, &path[..end]) => {}
            Err(errno) => return Err(root_error(path, errno)),
        }
    }
    Ok(())
}

fn open_in(root: &Fd, id: &ContainerId) -> Result<Fd> {
    let flags = fs::O_RDONLY | fs::O_DIRECTORY | fs::O_NOFOLLOW;
    fs::open_at(root, id.as_str(), flags, 0)
        .attempt(|| format!("opening the state of container {id}"))
}

fn lock(dir: &Fd, id: &ContainerId) -> Result<()> {
    let attempt = || format!("locking container {id}");
    fs::lock(dir, fs::Lock::Exclusive).attempt(attempt)?;
    match fs::stat_fd(dir).attempt(attempt)?.st_nlink {
        0 => Err(Error::new(Kind::NotFound, format!("container {id} was deleted"))),
        _ => Ok(()),
    }
}

impl ContainerDir {
    /// Takes the name `id` by making its directory, and locks it.
    pub fn create(root: &str, id: &ContainerId) -> Result<Self> {
        let root_fd = open_root(root, true)?;
        match fs::mkdir(&root_fd, id.as_str(), 0o700) {
            Ok(()) => {}
            Err(Errno::EEXIST) => {
                let what = format!("container with given ID already exists: {id}");
                return Err(Error::new(Kind::Exists, what)
                    .with_hint(format!("remove it with `delete {id}`, or choose another id")));
            }
            Err(errno) => return Err(root_error(root, errno)),
        }
        let give_back = |error: &Error| {
            // What has been deleted meanwhile may be another creator's by now.
            if error.kind() != Kind::NotFound {
                let _ = fs::unlink(&root_fd, id.as_str(), fs::AT_REMOVEDIR);
            }
        };
        let dir = open_in(&root_fd, id).inspect_err(give_back)?;
        lock(&dir, id).inspect_err(give_back)?;
        Ok(Self { root: root_fd, dir, id: id.clone() })
    }

    /// Opens the directory of an existing container without locking it.
    pub fn open(root: &str, id: &ContainerId) -> Result<Self> {
        let not_found = || {
            Error::new(Kind::NotFound, format!("container {id}: container does not exist"))
                .with_hint(format!("`list` shows the containers below {root}"))
        };
        let root_fd = match fs::open_at(CWD, root, fs::O_PATH | fs::O_DIRECTORY, 0) {
            Err(Errno::ENOENT) => return Err(not_found()),
            result => result.map_err(|errno| root_error(root, errno))?,
        };
        let dir = open_in(&root_fd, id).map_err(|error| match error.errno() {
            Some(Errno::ENOENT) => not_found(),
            _ => error,
        })?;
        Ok(Self { root: root_fd, dir, id: id.clone() })
    }

    /// Waits for the right to change this container. `NotFound` if it went away meanwhile.
    pub fn lock(&self) -> Result<()> {
        lock(&self.dir, &self.id)
    }

    /// Lets others change this container.
    pub fn unlock(&self) -> Result<()> {
        fs::lock(&self.dir, fs::Lock::Release)
            .attempt(|| format!("unlocking container {}", self.id))
    }

    /// In a forked child: closes the child's copies of the descriptors, and with them its part of
    /// the lock. The value must not be used any more; a child never returns to its owner.
    pub(crate) fn leave_to_parent(&self) {
        drop(Fd::from_raw(self.dir.raw()));
        drop(Fd::from_raw(self.root.raw()));
    }

    /// The container's name.
    pub fn id(&self) -> &ContainerId {
        &self.id
    }

    /// The directory itself.
    pub fn fd(&self) -> &Fd {
        &self.dir
    }

    /// Reads the record. `Corrupt`: there is none, or it cannot be read.
    pub fn load(&self) -> Result<Record> {
        let text = fs::read_file(&self.dir, RECORD, RECORD_LIMIT_BYTES).map_err(|errno| {
            if errno != Errno::ENOENT {
                // There is a record, and what it names must not be forgotten.
                return Error::os(format!("reading the state of container {}", self.id), errno);
            }
            let what = format!("container {}: was not completely created ({errno})", self.id);
            Error::new(Kind::Corrupt, what)
                .with_hint(format!("`delete --force {}` removes what is left of it", self.id))
        })?;
        Record::parse(&text, &self.id).map_err(|why| {
            Error::new(Kind::Corrupt, format!("state of container {}: {why}", self.id))
                .with_hint(format!("`delete --force {}` removes what is left of it", self.id))
        })
    }

    /// Replaces the record.
    pub fn save(&self, record: &Record) -> Result<()> {
        let attempt = || format!("writing the state of container {}", self.id);
        let text = oci::json::write(record);
        let flags = fs::O_WRONLY | fs::O_CREAT | fs::O_TRUNC | fs::O_NOFOLLOW;
        let file = fs::open_at(&self.dir, RECORD_TEMP, flags, 0o600).attempt(attempt)?;
        fs::write_all(&file, text.as_bytes()).attempt(attempt)?;
        fs::rename(&self.dir, RECORD_TEMP, &self.dir, RECORD, 0).attempt(attempt)
    }

    /// Makes the fifo that a created container waits on; returns its path's descriptor.
    pub fn make_fifo(&self) -> Result<Fd> {
        // The init may be another user to the host (user namespaces), and has a descriptor of it;
        // nobody else gets into the directory.
        fs::mknod(&self.dir, FIFO, fs::S_IFIFO | 0o622, 0)
            .and_then(|()| fs::chmod(&self.dir, FIFO, 0o622))
            .and_then(|()| fs::open_at(&self.dir, FIFO, fs::O_PATH | fs::O_NOFOLLOW, 0))
            .attempt(|| format!("making the start fifo of container {}", self.id))
    }

    /// Whether the container waits for `start`.
    pub fn has_fifo(&self) -> bool {
        fs::exists(&self.dir, FIFO)
    }

    /// Keeps the compiled filter for `exec`.
    pub fn save_filter(&self, filter: &[u8]) -> Result<()> {
        let attempt = || format!("writing the seccomp filter of container {}", self.id);
        let flags = fs::O_WRONLY | fs::O_CREAT | fs::O_TRUNC | fs::O_NOFOLLOW;
        let file = fs::open_at(&self.dir, FILTER, flags, 0o600).attempt(attempt)?;
        fs::write_all(&file, filter).attempt(attempt)
    }

    /// The compiled filter; `None` when the container has none.
    pub fn load_filter(&self) -> Result<Option<Vec<u8>>> {
        match fs::read_file(&self.dir, FILTER, 1 << 20) {
            Ok(filter) => Ok(Some(filter)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => {
                Err(Error::os(format!("reading the seccomp filter of {}", self.id), errno))
            }
        }
    }

    /// Removes what is in a directory of it (`notify`), which a container may have looked into. What
    /// cannot be removed is told when the directory itself cannot be.
    fn empty(&self, name: &[u8]) {
        let flags = fs::O_RDONLY | fs::O_DIRECTORY | fs::O_NOFOLLOW;
        let Ok(dir) = fs::open_at(&self.dir, name, flags, 0) else { return };
        for entry in fs::read_dir(dir.borrow()).unwrap_or_default() {
            let flags = if entry.is_dir() { fs::AT_REMOVEDIR } else { 0 };
            let _ = fs::unlink(&dir, &entry.name, flags);
        }
    }

    /// Gives the name back. Everything in the directory goes first.
    pub fn remove(&self) -> Result<()> {
        let attempt = || format!("removing the state of container {}", self.id);
        for entry in fs::read_dir(self.dir.borrow()).attempt(attempt)? {
            if entry.is_dir() {
                self.empty(&entry.name);
            }
            let flags = if entry.is_dir() { fs::AT_REMOVEDIR } else { 0 };
            fs::unlink(&self.dir, &entry.name, flags).attempt(attempt)?;
        }
        match fs::unlink(&self.root, self.id.as_str(), fs::AT_REMOVEDIR) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(Error::os(attempt(), errno)),
        }
    }
}

/// The names of all containers, sorted. An absent root has none.
pub fn list(root: &str) -> Result<Vec<ContainerId>> {
    let dir = match fs::open_at(CWD, root, fs::O_RDONLY | fs::O_DIRECTORY, 0) {
        Ok(dir) => dir,
        Err(Errno::ENOENT) => return Ok(Vec::new()),
        Err(errno) => return Err(root_error(root, errno)),
    };
    let entries = fs::read_dir(dir.borrow()).map_err(|errno| root_error(root, errno))?;
    let name = |entry: fs::DirEntry| {
        let text = String::from_utf8(entry.name).ok().filter(|_| entry.kind == 4)?;
        ContainerId::parse(&text).ok()
    };
    let mut ids: Vec<ContainerId> = entries.into_iter().filter_map(name).collect();
    oci::sort_by(&mut ids, ContainerId::cmp);
    Ok(ids)
}
