//! Where the bridges of an ordinary user are: in a network namespace that nobody sees, and that has nothing else.
//!
//! It belongs to a namespace of users, which all containers in the user's networks have in common: who is not in it may
//! neither enter the one nor give a device to the other. Both are there as long as somebody holds them, and that is each
//! supervisor of such a container; no process is there for them alone. Every holder listens at `RUNROOT/ground/ID`, and
//! gives whoever asks a descriptor of each. The socket of a killed one is refused by the kernel, so that nothing is ever out
//! of date: where nobody answers there is nothing, and the next container begins anew.
//!
//! `RUNROOT/ground/lock` is held by whoever looks for a holder and becomes one.

use crate::error::{During, Error, Kind, Result};
use crate::files;
use crate::launch::enter::{self, Users};
use crate::launch::{become_root, way};
use crate::place::Place;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use sys::fs::{self, Lock};
use sys::process::{self, CLONE_NEWNET, CLONE_NEWUSER};
use sys::time::monotonic_ms;
use sys::wait::{self, POLLIN, PollFd};
use sys::{CWD, Errno, Fd, socket};

const DIR: &str = "ground";
const LOCK: &str = "lock";
const BACKLOG: u32 = 128;
/// A supervisor that starts its container answers when it is done with that.
const WAIT_MS: u64 = 30_000;
/// After this another one is asked as well: all at once would wake a thousand of them.
const NEXT_MS: u64 = 20;
/// A holder whose queue is full is as good as one that does not answer.
const CONNECT_MS: u64 = 1_000;
const WHAT: &str = "looking for the networks of this user";

/// The namespaces, held by a supervisor.
#[derive(Debug)]
pub(crate) struct Ground {
    listener: Fd,
    users: Fd,
    netns: Arc<Fd>,
    dir: Fd,
    id: String,
}

/// What a holder gives.
struct Namespaces {
    users: Fd,
    netns: Fd,
}

impl Ground {
    /// Enters the user namespace of the user's networks with this process, and a mount namespace of its own. `sharer` is a
    /// process whose user namespace it has to be.
    pub(crate) fn enter(place: &Place, id: &str, sharer: Option<i32>) -> Result<(Users, Self)> {
        let dir = open_dir(place)?;
        let _lock = lock(&dir)?;
        let known = ask(&dir)?;
        if known.is_some() {
            hide()?;
        }
        let entered = match (&known, sharer) {
            (Some(known), None) => enter::enter_at(&known.users)?,
            _ => enter::enter_with(place, sharer)?,
        };
        hide()?;
        let netns = match known {
            Some(known) if !net::may_enter(&known.netns) => {
                let text = "the container whose namespaces it shares has other users than those in networks have";
                return Err(Error::new(Kind::Unsupported, text).with_hint(
                    "start that one in a network, too, and without --userns: then both have the same users",
                ));
            }
            Some(known) => known.netns,
            None => way::make_netns()?,
        };
        let users = fs::open_read("/proc/self/ns/user").during(|| WHAT)?;
        let listener = listen(&dir, id)?;
        Ok((entered, Self { listener, users, netns: Arc::new(netns), dir, id: id.to_owned() }))
    }

    /// The network namespace.
    pub(crate) fn netns(&self) -> Arc<Fd> {
        Arc::clone(&self.netns)
    }

    /// Readable when somebody asks.
    pub(crate) fn poll(&self) -> PollFd {
        PollFd::new(&self.listener, POLLIN)
    }

    /// Gives the namespaces to those who have asked.
    pub(crate) fn serve(&self) {
        for _ in 0..BACKLOG {
            let Ok(asker) = socket::accept(&self.listener) else { return };
            // One that does not wait for it needs none.
            let _ = socket::send(&asker, b"+", &[self.users.raw(), self.netns.raw()]);
        }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = files::remove(&self.dir, &self.id);
    }
}

/// Enters the namespaces of the user's networks with this process, to look after what is there; where there is none, ones
/// that have nothing.
pub(crate) fn visit(place: &Place) -> Result<()> {
    let dir = open_dir(place)?;
    let _lock = lock(&dir)?;
    let Some(known) = ask(&dir)? else {
        return process::unshare(CLONE_NEWUSER | CLONE_NEWNET).during(|| WHAT);
    };
    hide()?;
    process::set_namespace(&known.users, CLONE_NEWUSER).during(|| WHAT)?;
    become_root().during(|| WHAT)?;
    process::set_namespace(&known.netns, CLONE_NEWNET).during(|| WHAT)
}

/// Keeps containers out of this process: in one user namespace with it, one that sees all processes and may look into them
/// would have the user's files by it.
pub(crate) fn hide() -> Result<()> {
    process::set_dumpable(false).during(|| "hiding from containers")
}

fn open_dir(place: &Place) -> Result<Fd> {
    let path = place.runroot.as_os_str().as_bytes();
    let root = fs::open_at(CWD, path, fs::O_DIRECTORY, 0).during(|| WHAT)?;
    files::make_dir(&root, DIR)?;
    files::open_dir(&root, DIR)
}

fn lock(dir: &Fd) -> Result<Fd> {
    let lock = files::open_lock(dir, LOCK)?;
    fs::lock(&lock, Lock::Exclusive).during(|| WHAT)?;
    Ok(lock)
}

fn listen(dir: &Fd, id: &str) -> Result<Fd> {
    files::remove(dir, id)?;
    let listener = socket::unix(socket::Kind::Stream).during(|| WHAT)?;
    socket::bind(&listener, path(dir, id)).during(|| WHAT)?;
    socket::listen(&listener, BACKLOG).during(|| WHAT)?;
    fs::set_nonblocking(&listener, true).during(|| WHAT)?;
    Ok(listener)
}

/// The path of a socket is short, and that of a directory may be long.
fn path(dir: &Fd, id: &str) -> String {
    format!("/proc/self/fd/{}/{id}", dir.raw())
}

/// Asks holders, one after the other, until one answers.
fn ask(dir: &Fd) -> Result<Option<Namespaces>> {
    let mut holders = files::list(dir, ".")?.into_iter().filter(|name| name != LOCK);
    let mut asked: Vec<Fd> = Vec::new();
    let deadline = monotonic_ms() + WAIT_MS;
    loop {
        let next = holders.next();
        match &next {
            Some(id) => asked.extend(connect(dir, id)?),
            None if asked.is_empty() => return Ok(None),
            None => {}
        }
        let left = deadline.saturating_sub(monotonic_ms());
        if left == 0 {
            let text = "the supervisors of this user's containers in networks do not answer";
            return Err(Error::new(Kind::State, text).with_hint(
                "one that is stopped goes on with `kill -CONT`; their names are tare-supervise",
            ));
        }
        let wait = if next.is_some() { NEXT_MS.min(left) } else { left };
        let mut fds: Vec<PollFd> = asked.iter().map(|it| PollFd::new(it, POLLIN)).collect();
        wait::poll(&mut fds, Some(if asked.is_empty() { 0 } else { wait })).during(|| WHAT)?;
        for index in (0..asked.len()).rev().filter(|index| fds[*index].ready() != 0) {
            if let Some(given) = receive(&asked.remove(index)) {
                return Ok(Some(given));
            }
        }
    }
}

/// Nothing: it was killed, and its socket is taken away.
fn connect(dir: &Fd, id: &str) -> Result<Option<Fd>> {
    let holder = socket::unix(socket::Kind::Stream).during(|| WHAT)?;
    socket::set_timeout_ms(&holder, CONNECT_MS).during(|| WHAT)?;
    match socket::connect(&holder, path(dir, id)) {
        Ok(()) => Ok(Some(holder)),
        Err(Errno::ECONNREFUSED) => files::remove(dir, id).map(|()| None),
        Err(_) => Ok(None),
    }
}

/// Nothing: it was killed before it could answer.
fn receive(holder: &Fd) -> Option<Namespaces> {
    let (_, mut given) = socket::receive(holder, &mut [0]).ok()?;
    let (netns, users) = (given.pop()?, given.pop()?);
    Some(Namespaces { users, netns })
}
