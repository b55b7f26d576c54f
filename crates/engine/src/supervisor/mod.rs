//! One small process for each container that runs: it owns its streams, its log, its exit code, its restarts, its
//! health checks, and talks to whoever wants to attach.
//!
//! It is forked off the command that starts the container, has a mount namespace of its own (and, without the rights
//! of root, a user namespace), and holds the container's lock as long as it lives. It reports the start to the command
//! over a socket that is an attached client's from then on.

mod clients;
mod health;
mod networks;
pub(crate) mod notify;
mod restart;
pub(crate) mod rights;
mod run;
mod streams;
mod update;

pub use health::run_once as run_health_check;
pub use restart::parse as parse_restart;

use crate::error::{During, Error, Kind, Result};
use crate::ground::Ground;
use crate::launch::{enter, scope, system};
use crate::locks::{self, Taken};
use crate::place::{Container, Engine, LOCK, Place, STATE};
use crate::wire::{self, kind};
use run::Supervisor;
use sys::{Fd, fs, process, signal, socket};

/// Streams that a client wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attach {
    /// What it is given goes to the container.
    pub stdin: bool,
    /// It gets the container's output.
    pub stdout: bool,
    /// It gets the container's messages.
    pub stderr: bool,
}

impl Attach {
    pub(crate) fn bits(self) -> u8 {
        u8::from(self.stdin) * wire::WANTS_STDIN
            + u8::from(self.stdout) * wire::WANTS_STDOUT
            + u8::from(self.stderr) * wire::WANTS_STDERR
    }
}

/// A connection to a container's supervisor.
#[derive(Debug)]
pub struct Session {
    pub(crate) socket: Fd,
    pub(crate) reader: wire::Reader,
    /// The container's first process, if this has started it.
    pub pid: i32,
}

/// Starts a container, and attaches to it before its program runs.
pub fn start(place: &Place, id: &str, attach: Attach) -> Result<Session> {
    const WHAT: &str = "starting the container's supervisor";
    let (ours, theirs) = socket::pair(socket::Kind::Stream).during(|| WHAT)?;
    let Some(_child) = process::fork_plain().during(|| WHAT)? else {
        // The copy of the command's memory is let go of with the process: nothing is dropped twice.
        let code = become_supervisor(place, id, attach, &theirs);
        process::exit(code);
    };
    drop(theirs);
    let mut session = Session { socket: ours, reader: wire::Reader::default(), pid: 0 };
    match wire::receive(&session.socket, &mut session.reader)? {
        Some(frame) if frame.kind == kind::STARTED => {
            session.pid = frame.number().unwrap_or(0);
            Ok(session)
        }
        Some(frame) if frame.kind == kind::FAILED => Err(Error::decode(&frame.payload)),
        _ => Err(Error::new(Kind::Os, "the container's supervisor was ended while it started it")),
    }
}

/// Copying all of a large container takes less.
const COPIES_WAIT_MS: u64 = 60_000;
/// The number that the socket to the starter has in the supervisor.
const SOCKET_FD: i32 = 3;

fn become_supervisor(place: &Place, id: &str, attach: Attach, socket: &Fd) -> i32 {
    let Ok(socket) = leave_caller(socket) else { return 1 };
    let mut client = Some(socket);
    match supervise(place, id, attach, &mut client) {
        Ok(()) => 0,
        Err(error) => {
            if let Some(socket) = client {
                let _ = wire::send(&socket, kind::FAILED, &error.encode());
            }
            1
        }
    }
}

/// Lets go of everything that was the command's: its session, its streams, its descriptors, its directory.
fn leave_caller(socket: &Fd) -> sys::Result<Fd> {
    process::new_session()?;
    signal::reset_all();
    for standard in 0..SOCKET_FD {
        let null = fs::open_at(sys::CWD, "/dev/null", fs::O_RDWR, 0)?;
        if null.raw() != standard {
            fs::duplicate_to(&null, standard)?;
        }
    }
    // Above whatever is about to be closed, then back to its place.
    let kept = fs::duplicate(socket, 1000)?;
    fs::close_range(SOCKET_FD as u32, 999)?;
    fs::close_range(kept.raw() as u32 + 1, u32::MAX)?;
    let socket = fs::duplicate(&kept, SOCKET_FD)?;
    drop(kept);
    fs::chdir("/")?;
    fs::umask(0o022);
    let _ = process::set_name("tare-supervise");
    // What the command was given may be secret, and this process stays for everybody to see.
    let _ = process::set_title("tare-supervise");
    Ok(socket)
}

fn supervise(place: &Place, id: &str, attach: Attach, client: &mut Option<Fd>) -> Result<()> {
    // Where mounts are made that the host is to see.
    let outer = fs::open_read("/proc/self/ns/mnt").ok();
    let (sharer, has_ground) = before_entering(place, id)?;
    let (users, ground) = match has_ground {
        true => Ground::enter(place, id, sharer).map(|(users, ground)| (users, Some(ground)))?,
        false => (enter::enter_with(place, sharer)?, None),
    };
    // An ordinary user's mounts are nobody else's business.
    let outer = outer.filter(|_| users == enter::Users::Host);
    // What is stacked has to be of the mount namespace that it is stacked in.
    let mut engine = Engine::open_plain(place.clone())?;
    engine.ground = ground.as_ref().map(Ground::netns);
    let missing = || Error::new(Kind::NotFound, format!("No such container: {id}"));
    // Somebody may have removed it, and its lock with it.
    let dir = engine.open_dir(id).map_err(|_| missing())?;
    let lock = crate::files::open_lock(&dir, LOCK)
        .map_err(|error| if engine.has(id) { error } else { missing() })?;
    match locks::take(&lock, COPIES_WAIT_MS)? {
        Taken::Held => {}
        Taken::Owned => {
            let text = format!("container {id}: somebody else starts, ends or removes it");
            return Err(Error::new(Kind::Busy, text));
        }
        Taken::Shared => {
            let text = format!("container {id}: somebody copies files of it");
            return Err(Error::new(Kind::State, text));
        }
    }
    let mut container = engine.load_locked(id)?.ok_or_else(missing)?;
    // From here on others would take what a killed supervisor has written for this one's words.
    if container.is_corrected {
        crate::files::rewrite(&container.dir, STATE, &container.state)?;
    }
    if system::settle(&engine, &mut container.config, users)? {
        let settled = &container.config;
        engine.change_record(id, |now| {
            now.namespaces.user.clone_from(&settled.namespaces.user);
            now.stop_signal.clone_from(&settled.stop_signal);
            now.system.clone_from(&settled.system);
            now.stop_timeout = settled.stop_timeout;
        })?;
    }
    let mut supervisor = Supervisor::new(&engine, container, users, outer.as_ref(), lock, ground)?;
    supervisor.begin(client, attach)?;
    supervisor.run();
    Ok(())
}

/// What an ordinary user's supervisor has to do as that user: it finds a place for control groups, and the process of
/// the container that this one shares namespaces with, if it does, and whether it has networks, and is among the others
/// that have some.
fn before_entering(place: &Place, id: &str) -> Result<(Option<i32>, bool)> {
    if sys::ids::is_administrator() {
        return Ok((None, false));
    }
    let engine = Engine::open_plain(place.clone())?;
    let Some(container) = engine.load(id)? else { return Ok((None, false)) };
    let config = &container.config;
    scope::enter(place, config)?;
    let names = &config.namespaces;
    let modes = [&config.network.mode, &names.ipc, &names.pid, &names.uts];
    let other = modes.into_iter().find_map(|mode| mode.strip_prefix("container:"));
    // Whether it runs is looked at again where its namespaces are joined.
    let other = other.and_then(|name| engine.find(name).ok()).filter(Container::is_running);
    Ok((other.map(|other| other.state.pid), config.network.mode.is_empty()))
}
