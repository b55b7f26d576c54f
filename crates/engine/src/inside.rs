//! The files of a container, looked at from outside.
//!
//! *Invariants: nothing of the container is run, and no link of it leads out of its root directory*: every path is
//! resolved by the kernel with that for a root (`RESOLVE_IN_ROOT`), and links of its `/proc` are not followed. All is
//! done by a child of its own, which has left the command's namespaces.
//!
//! A container that runs is seen through its first process, with everything that is mounted in it. One that does not
//! is stacked in a mount namespace of the child's own; volumes and directories of the host are bound there as at a
//! start. Its lock is shared meanwhile: whoever starts it waits.

use crate::control::{END_WAIT_MS, enter_users};
use crate::error::{During, Error, Kind, Result};
use crate::launch::{self, Rootfs, Staged, enter};
use crate::place;
use crate::place::{Container, Engine};
use crate::record::{Config, Mount};
use std::io::{PipeReader, PipeWriter};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use sys::fs::{
    self, Lock, O_DIRECTORY, O_PATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, S_IFDIR, S_IFMT,
};
use sys::mount::{self, Attributes, MOUNT_ATTR_RDONLY};
use sys::{CWD, Errno, Fd, time};

/// Whoever starts or ends the container is done by then.
const LOCK_WAIT_MS: u64 = 10_000;
const LOOK_MS: u64 = 10;
const SIGKILL: i32 = 9;

/// How much of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What its programs see.
    Mounts,
    /// Its layers and what it has written, without anything that is mounted there; read only.
    Own,
}

/// An open container.
#[derive(Debug)]
pub struct Inside {
    root: Fd,
    /// Programs of it may change it meanwhile.
    pub is_live: bool,
    /// Ids of a user namespace that this process is not in.
    users: Vec<[u32; 3]>,
    groups: Vec<[u32; 3]>,
    _staged: Option<Staged>,
    _rootfs: Option<Rootfs>,
    _lock: Option<Fd>,
}

impl Inside {
    /// Its root directory.
    pub fn root(&self) -> &Fd {
        &self.root
    }

    /// Opens something of it. Links are followed inside.
    pub fn open(&self, path: &[u8], flags: u32) -> sys::Result<Fd> {
        open(&self.root, path, flags)
    }

    /// How this process calls a user and a group of the container's.
    pub fn outer(&self, uid: u32, gid: u32) -> (u32, u32) {
        let map =
            |maps: &[[u32; 3]], id| shift(maps, id, |[inner, outer, count]| (inner, outer, count));
        (map(&self.users, uid), map(&self.groups, gid))
    }

    /// How the container calls a user and a group of this process.
    pub fn inner(&self, uid: u32, gid: u32) -> (u32, u32) {
        let map =
            |maps: &[[u32; 3]], id| shift(maps, id, |[inner, outer, count]| (outer, inner, count));
        (map(&self.users, uid), map(&self.groups, gid))
    }

    /// Does something with new files being the container's root's: who has no id there can make none.
    pub fn as_its_root<T>(&self, call: impl FnOnce() -> Result<T>) -> Result<T> {
        const WHAT: &str = "making files for the container's root";
        if !self.has_own_ids() {
            return call();
        }
        let rights = sys::ids::capabilities().during(|| WHAT)?;
        let own = (sys::ids::euid(), sys::ids::egid());
        let (uid, gid) = self.outer(0, 0);
        sys::ids::set_file_owner(uid, gid);
        // The kernel takes those over files away (capabilities(7)).
        let restored = sys::ids::set_capabilities(rights).during(|| WHAT);
        let result = restored.and_then(|()| call());
        sys::ids::set_file_owner(own.0, own.1);
        // The kernel gives them back to root only.
        sys::ids::set_capabilities(rights).during(|| WHAT)?;
        result
    }

    /// Whether both differ.
    pub fn has_own_ids(&self) -> bool {
        !self.users.is_empty()
    }
}

/// An id by a map; nobody's where there is none.
fn shift(maps: &[[u32; 3]], id: u32, of: impl Fn([u32; 3]) -> (u32, u32, u32)) -> u32 {
    const NOBODY: u32 = 65534;
    if maps.is_empty() {
        return id;
    }
    let found = maps.iter().find_map(|map| {
        let (from, to, count) = of(*map);
        let offset = id.checked_sub(from).filter(|offset| *offset < count)?;
        to.checked_add(offset)
    });
    found.unwrap_or(NOBODY)
}

/// `uid_map` or `gid_map` of a process; nothing where it has this process' ids.
fn ids(pid: i32, file: &str) -> Vec<[u32; 3]> {
    let read =
        |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let (theirs, own) = (read(&pid.to_string()), read("self"));
    if theirs == own {
        return Vec::new();
    }
    let numbers = |line: &str| {
        let all: Vec<u32> = line.split_whitespace().filter_map(|it| it.parse().ok()).collect();
        all.try_into().ok()
    };
    theirs.lines().filter_map(numbers).collect()
}

fn open(root: &Fd, path: &[u8], flags: u32) -> sys::Result<Fd> {
    let path = if path.is_empty() { b"/" } else { path };
    fs::open_at2(root, path, flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
}

/// Does something with the files of a container, in a process of its own.
pub fn inside(
    engine: &Engine,
    container: &Container,
    scope: Scope,
    action: impl FnOnce(&Inside) -> Result<()>,
) -> Result<()> {
    launch::in_child(|| look(engine, container, scope, action))
}

/// The same by this process, which ends with it.
fn look(
    engine: &Engine,
    container: &Container,
    scope: Scope,
    action: impl FnOnce(&Inside) -> Result<()>,
) -> Result<()> {
    let place = engine.place.clone();
    // What a killed command has begun is nobody's to go on with.
    let _ = sys::process::set_parent_death_signal(SIGKILL);
    let deadline = time::monotonic_ms() + LOCK_WAIT_MS;
    let mut failed_ms = None;
    loop {
        let (container, lock) = settle(engine, &container.config.id)?;
        let opened = match (lock, scope) {
            (None, Scope::Mounts) => running(&container),
            (None, Scope::Own) if is_plain(&container.config) => own_of_running(&container),
            (lock, scope) => return action(&stacked(place, &container, scope, lock)?),
        };
        match opened {
            Ok(inside) => {
                return action(&inside).map_err(|error| match place::is_alive(&container.state) {
                    true => error,
                    // What it has had is gone with it.
                    false => gone(&container.config),
                });
            }
            // A process that ends has no directories any more a moment before it is dead.
            Err(error) if place::is_alive(&container.state) => {
                let began = *failed_ms.get_or_insert_with(time::monotonic_ms);
                if !is_plain(&container.config) || time::monotonic_ms() > began + END_WAIT_MS {
                    return Err(error);
                }
                time::sleep_ms(LOOK_MS);
            }
            // It has just ended, and is looked into without its process in a moment.
            Err(_) if is_plain(&container.config) && time::monotonic_ms() < deadline => {
                time::sleep_ms(LOOK_MS);
            }
            Err(_) => return Err(gone(&container.config)),
        }
    }
}

/// Does something with the files of two containers, in a process for each of them, with a pipe each way: the first one
/// writes to the second, and reads what that answers.
pub fn between(
    engine: &Engine,
    (from, to): (&Container, &Container),
    send: impl FnOnce(&Inside, PipeWriter, PipeReader) -> Result<()>,
    receive: impl FnOnce(&Inside, PipeReader, PipeWriter) -> Result<()>,
) -> Result<()> {
    let pipe =
        || std::io::pipe().map_err(|error| Error::new(Kind::Os, format!("making a pipe: {error}")));
    let ((input, output), (answers, answer)) = (pipe()?, pipe()?);
    let theirs = [input.as_raw_fd() as u32, answer.as_raw_fd() as u32];
    let sending = launch::begin(move || {
        // Whoever held them would never learn that the other one has ended.
        for number in theirs {
            fs::close_range(number, number).during(|| "closing a pipe")?;
        }
        look(engine, from, Scope::Mounts, |inside| send(inside, output, answers))
    })?;
    let received = inside(engine, to, Scope::Mounts, |inside| receive(inside, input, answer));
    match (sending.end(), received) {
        // It was the other one who has given up first, and says why.
        (Err(error), Err(received)) if is_left(&error) => Err(received),
        (Err(error), _) => Err(error),
        (Ok(()), received) => received,
    }
}

/// Whether an error says no more than that the other end of a pipe is gone.
fn is_left(error: &Error) -> bool {
    let text = error.to_string();
    text.contains("Broken pipe") || text.contains("failed to fill whole buffer")
}

/// Whether its ids are those of this process.
fn is_plain(config: &Config) -> bool {
    let names = &config.namespaces;
    sys::ids::is_administrator()
        && names.user.is_empty()
        && names.uid_map.is_empty()
        && names.gid_map.is_empty()
}

/// The container as it is: with its lock, shared, if it does not run.
fn settle(engine: &Engine, id: &str) -> Result<(Container, Option<Fd>)> {
    let deadline = time::monotonic_ms() + LOCK_WAIT_MS;
    loop {
        let missing = || Error::new(Kind::NotFound, format!("No such container: {id}"));
        let container = engine.load(id)?.ok_or_else(missing)?;
        if container.is_running() {
            return Ok((container, None));
        }
        let lock = container.open_lock()?;
        match fs::lock(&lock, Lock::TryShared) {
            // It may have run and ended between both looks.
            Ok(()) => return Ok((engine.load_locked(id)?.ok_or_else(missing)?, Some(lock))),
            Err(Errno::EAGAIN) if time::monotonic_ms() < deadline => time::sleep_ms(LOOK_MS),
            Err(Errno::EAGAIN) => {
                let what = format!("container {}: somebody starts it", container.config.name);
                return Err(Error::new(Kind::State, what).with_hint("try again"));
            }
            result => {
                result.during(|| format!("locking container {}", container.config.name))?;
            }
        }
    }
}

fn gone(config: &Config) -> Error {
    Error::new(Kind::State, format!("container {} has just ended", config.name))
        .with_hint("try again")
}

fn running(container: &Container) -> Result<Inside> {
    let pid = container.state.pid;
    enter_users(pid)?;
    let root = fs::open_at(CWD, format!("/proc/{pid}/root"), O_PATH | O_DIRECTORY, 0)
        .during(|| "opening the container's root directory")?;
    // What was opened is of the process that is meant, if that is there still.
    match place::is_alive(&container.state) {
        true => Ok(Inside {
            root,
            is_live: true,
            users: ids(pid, "uid_map"),
            groups: ids(pid, "gid_map"),
            _staged: None,
            _rootfs: None,
            _lock: None,
        }),
        false => Err(gone(&container.config)),
    }
}

/// The mount that is a running container's root directory, without those upon it, to be looked at.
fn own_of_running(container: &Container) -> Result<Inside> {
    let root = clone_of_running(container)?;
    read_only(&root, false)?;
    let (users, groups) = (Vec::new(), Vec::new());
    Ok(Inside { root, is_live: true, users, groups, _staged: None, _rootfs: None, _lock: None })
}

/// A copy of the mount that is a running container's root directory, without those upon it. This process' current
/// directory is lost.
pub(crate) fn clone_of_running(container: &Container) -> Result<Fd> {
    const WHAT: &str = "entering the container's mount namespace";
    let pid = container.state.pid;
    let own = fs::open_read("/proc/self/ns/mnt").during(|| WHAT)?;
    let theirs = fs::open_read(format!("/proc/{pid}/ns/mnt")).during(|| WHAT)?;
    if !place::is_alive(&container.state) {
        return Err(gone(&container.config));
    }
    sys::process::set_namespace(&theirs, sys::process::CLONE_NEWNS).during(|| WHAT)?;
    let root = mount::clone_tree(CWD, "/", false);
    sys::process::set_namespace(&own, sys::process::CLONE_NEWNS).during(|| WHAT)?;
    root.during(|| "opening the container's root directory")
}

fn read_only(mount: &Fd, recursive: bool) -> Result<()> {
    let change = Attributes { set: u64::from(MOUNT_ATTR_RDONLY), ..Attributes::default() };
    mount::set_attributes(mount, change, recursive).during(|| "making a mount read-only")
}

fn stacked(
    place: place::Place,
    container: &Container,
    scope: Scope,
    lock: Option<Fd>,
) -> Result<Inside> {
    enter::enter(&place)?;
    // What is stacked has to be of the mount namespace that it is stacked in.
    let engine = Engine::open_plain(place)?;
    let config = &container.config;
    let rootfs = Rootfs::make(&engine, config, None)?;
    let root = if rootfs.is_writable() {
        rootfs.open()?
    } else {
        // A directory of the host's: what is mounted here must not be seen there.
        let root = mount::clone_tree(CWD, rootfs.path().as_os_str().as_bytes(), true)
            .during(|| "opening the container's root directory")?;
        mount::attach(&root, rootfs.open()?).during(|| "opening the container's root directory")?;
        root
    };
    let (mounts, staged) = match scope {
        Scope::Mounts => (sorted(config), Some(Staged::of_mounts(&engine, config, None, None)?)),
        Scope::Own => (Vec::new(), None),
    };
    let mut bound = Vec::new();
    for it in mounts {
        let source = staged.as_ref().and_then(|staged| staged.source(it));
        let source = source.unwrap_or(Path::new(&it.source));
        bound.extend(bind(&root, it, source, rootfs.is_writable())?);
    }
    if scope == Scope::Own || config.security.read_only || !rootfs.is_writable() {
        read_only(&root, false)?;
    }
    let (users, groups) = (Vec::new(), Vec::new());
    let is_live = lock.is_none();
    Ok(Inside { root, is_live, users, groups, _staged: staged, _rootfs: Some(rootfs), _lock: lock })
}

/// What is mounted on a directory must not cover what is mounted below it.
fn sorted(config: &Config) -> Vec<&Mount> {
    let is_of_host = |mount: &&Mount| matches!(mount.kind.as_str(), "bind" | "volume" | "image");
    let mut mounts: Vec<&Mount> = config.mounts.iter().filter(is_of_host).collect();
    mounts.sort_by_key(|mount| mount.target.trim_end_matches('/').matches('/').count());
    mounts
}

/// Binds what a start would bind. What is not there any more is not.
fn bind(root: &Fd, it: &Mount, source: &Path, makes: bool) -> Result<Option<Fd>> {
    let attempt = || format!("mounting {}", it.target);
    let source = match fs::open_at(CWD, source.as_os_str().as_bytes(), O_PATH, 0) {
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
        result => result.during(attempt)?,
    };
    let is_directory = fs::stat_fd(&source).during(attempt)?.st_mode & S_IFMT == S_IFDIR;
    let target = match open(root, it.target.as_bytes(), O_PATH) {
        Err(Errno::ENOENT) if makes => place_for(root, &it.target, is_directory).during(attempt)?,
        Err(Errno::ENOENT) => return Ok(None),
        result => result.during(attempt)?,
    };
    let tree = mount::clone_tree(&source, "", true).during(attempt)?;
    if it.read_only {
        read_only(&tree, true)?;
    }
    mount::attach(&tree, &target).during(attempt)?;
    Ok(Some(tree))
}

/// Makes what something is mounted on, as a start does.
fn place_for(root: &Fd, target: &str, is_directory: bool) -> sys::Result<Fd> {
    let parts: Vec<&str> = target.split('/').filter(|part| !part.is_empty()).collect();
    let mut parent = open(root, b"/", O_PATH | O_DIRECTORY)?;
    for (index, part) in parts.iter().enumerate() {
        let path = parts[..=index].join("/");
        let is_last = index + 1 == parts.len();
        parent = match open(root, path.as_bytes(), O_PATH) {
            Err(Errno::ENOENT) => {
                if is_last && !is_directory {
                    let flags = fs::O_WRONLY | fs::O_CREAT | fs::O_EXCL | fs::O_NOFOLLOW;
                    fs::open_at(&parent, part, flags, 0o644)?;
                } else {
                    fs::mkdir(&parent, part, 0o755)?;
                }
                fs::open_at(&parent, part, O_PATH | fs::O_NOFOLLOW, 0)?
            }
            result => result?,
        };
    }
    Ok(parent)
}

/// User and group of a container's program, as its files name them.
pub fn user_of(config: &Config, inside: &Inside) -> Result<(u32, u32)> {
    launch::ids_of(&inside.root, config)
}

#[test]
fn ids_go_both_ways() {
    let maps = [[0, 100_000, 10], [10, 500, 1]];
    let out = |id| shift(&maps, id, |[inner, outer, count]| (inner, outer, count));
    let back = |id| shift(&maps, id, |[inner, outer, count]| (outer, inner, count));
    for (inner, outer) in [(0, 100_000), (9, 100_009), (10, 500)] {
        assert_eq!((out(inner), back(outer)), (outer, inner));
    }
    assert_eq!((out(11), back(7), shift(&[], 7, |[a, b, c]| (a, b, c))), (65534, 65534, 7));
}
