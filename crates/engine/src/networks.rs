//! Networks beyond one container's start and end: what killed supervisors have left of them.
//!
//! Whoever joins networks for a container has a locked file `RUNROOT/joined/ID` meanwhile: the next command sees by a lock
//! that nobody holds that somebody was killed, and looks closer only then.

use crate::client;
use crate::error::{During, Error, Kind, Result};
use crate::files;
use crate::launch::{connect, network};
use crate::locks::{self, LOOKERS_WAIT_MS, Taken};
use crate::place::{Container, Engine, Place};
use crate::record::{Config, Endpoint};
use crate::supervisor::Attach;
use crate::wire::kind;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use sys::fs::{self, Lock, O_CREAT, O_RDWR};
use sys::{CWD, Errno, Fd, time};

const JOINED: &str = "joined";
/// Whoever starts or ends a container is done by then.
const CHANGE_WAIT_MS: u64 = 10_000;
const LOOK_MS: u64 = 20;
/// Nobody is so unlucky.
const TRIES: usize = 16;

/// Says that this process has joined networks for a container, until it is dropped.
#[derive(Debug)]
pub(crate) struct Mark {
    path: PathBuf,
    _lock: Fd,
}

impl Mark {
    pub(crate) fn new(place: &Place, id: &str) -> Result<Self> {
        let dir = place.runroot.join(JOINED);
        let path = dir.join(id);
        let bytes = path.as_os_str().as_bytes();
        let attempt = || format!("making {}", path.display());
        // Somebody who sweeps may take it away before it is locked.
        for _ in 0..TRIES {
            let lock = match fs::open_at(CWD, bytes, O_RDWR | O_CREAT, 0o600) {
                Err(Errno::ENOENT) => {
                    std::fs::create_dir_all(&dir).during(attempt)?;
                    continue;
                }
                opened => opened.during(attempt)?,
            };
            fs::lock(&lock, Lock::Exclusive).during(attempt)?;
            let own = fs::stat_fd(&lock).during(attempt)?;
            if fs::stat_at(CWD, bytes, 0).is_ok_and(|it| it.st_ino == own.st_ino) {
                return Ok(Self { path, _lock: lock });
            }
        }
        Err(Error::new(Kind::State, format!("{}: others sweep it again and again", attempt())))
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        // One that stays is found by the next command.
        let _ = fs::unlink(CWD, self.path.as_os_str().as_bytes(), 0);
    }
}

impl Engine {
    /// Gives back what killed supervisors have had of networks.
    pub(crate) fn sweep_joined(&self) {
        let dir = self.place.runroot.join(JOINED);
        let Ok(dir) = fs::open_at(CWD, dir.as_os_str().as_bytes(), fs::O_DIRECTORY, 0) else {
            return;
        };
        for id in files::list(&dir, ".").into_iter().flatten() {
            let Ok(mark) = fs::open_at(&dir, &id, O_RDWR, 0) else { continue };
            let is_left = fs::lock(&mark, Lock::TryExclusive).is_ok();
            if is_left && self.take_out(&id).is_ok_and(|done| done) {
                let _ = files::remove(&dir, &id);
            }
        }
    }

    /// Takes a container out of its networks that does not run. Says whether nothing is left to do.
    fn take_out(&self, id: &str) -> Result<bool> {
        let Some(container) = self.load(id)? else {
            network::leave_everything(self, id);
            return Ok(true);
        };
        if container.is_running() && !container.supervised {
            return Ok(false);
        }
        let lock = container.open_lock()?;
        // Whoever starts it again begins with the same.
        if fs::lock(&lock, Lock::TryExclusive).is_ok() {
            network::leave(self, &container.config);
        }
        Ok(true)
    }

    /// Whether a container runs, or is about to.
    fn is_live(&self, id: &str) -> bool {
        let found = self.load(id);
        // What cannot be read is left as it is.
        found.map_or(true, |found| found.is_some_and(|it| it.supervised || it.is_running()))
    }

    /// Takes those out of all networks that do not run, and bridges and rules away that no container uses. Returns how
    /// many containers there were. Goes on after a failure, and returns the first one.
    pub fn sweep_networks(&self) -> Result<usize> {
        let count = network::at_bridges(self, |networks| {
            let (mut count, mut first) = (0u64, Ok(()));
            for network in networks.list()?.0 {
                match networks.sweep(&network, &|id| self.is_live(id)) {
                    Ok(some) => count += some as u64,
                    Err(error) => first = first.and(Err(error)),
                }
            }
            first?;
            Ok(count.to_ne_bytes().to_vec())
        })?;
        Ok(count.try_into().map_or(0, |count| u64::from_ne_bytes(count) as usize))
    }

    /// Removes a network that no container is in: a name or an identifier.
    pub fn remove_network(&self, name: &str) -> Result<net::Network> {
        let network = network::open(self)?.get(name)?;
        network::at_bridges(self, |networks| {
            networks.remove(&network.id)?;
            Ok(Vec::new())
        })?;
        Ok(network)
    }

    /// Calls networks by their names, where they were named by an identifier or otherwise.
    pub(crate) fn name_networks(&self, config: &mut Config) {
        let is_other = |endpoint: &&mut Endpoint| endpoint.network != net::DEFAULT;
        for endpoint in config.network.endpoints.iter_mut().filter(is_other) {
            let Ok(networks) = network::open(self) else { return };
            // One that is not there is told of at the start.
            if let Ok(network) = networks.get(&endpoint.network) {
                endpoint.network = network.name;
            }
        }
    }

    /// Makes a container part of one more network, at once if it runs, and at each start.
    pub fn connect(&self, container: &Container, mut endpoint: Endpoint) -> Result<()> {
        refuse_shared(&container.config)?;
        let networks = network::open(self)?;
        endpoint.network = connect::check(&networks, &container.config, &endpoint)?.name;
        for link in &endpoint.links {
            self.find(link.split(':').next().unwrap_or(link))?;
        }
        self.change(container, kind::CONNECT, &oci::json::write(&endpoint), |config| {
            connect::check(&networks, config, &endpoint)?;
            config.network.endpoints.push(endpoint.clone());
            Ok(())
        })
    }

    /// Takes a container out of a network.
    pub fn disconnect(&self, container: &Container, name: &str) -> Result<()> {
        let name = match network::open(self)?.get(name) {
            Ok(network) => network.name,
            // Its record is gone; the container's still names it.
            Err(error) if error.kind() == net::Kind::NotFound => name.to_owned(),
            Err(error) => return Err(error.into()),
        };
        let is_in = |config: &Config| config.network.endpoints.iter().any(|it| it.network == name);
        if !is_in(&container.config) {
            refuse_shared(&container.config)?;
            return Err(connect::is_not_in(&container.config, &name));
        }
        self.change(container, kind::DISCONNECT, &name, |config| {
            config.network.endpoints.retain(|it| it.network != name);
            Ok(())
        })
    }

    /// Takes a container out of a network that has neither files nor processes any more. Says whether it was in it.
    pub fn disconnect_lost(&self, text: &str, name: &str) -> Result<bool> {
        let networks = network::open(self)?;
        let network = networks.get(name)?;
        let all = networks.attachments(&network)?;
        let is_it = |it: &&net::Attachment| it.name == text || it.container.starts_with(text);
        let lost = all.iter().find(is_it).filter(|it| !self.is_live(&it.container));
        let Some(lost) = lost else { return Ok(false) };
        network::at_bridges(self, |networks| {
            networks.detach(&network, &lost.container, None)?;
            Ok(Vec::new())
        })?;
        Ok(true)
    }

    /// By the supervisor of a container that has one; of others in their record alone.
    fn change(
        &self,
        container: &Container,
        what: u8,
        body: &str,
        edit: impl FnOnce(&mut Config) -> Result<()>,
    ) -> Result<()> {
        let name = &container.config.name;
        let missing = || Error::new(Kind::NotFound, format!("No such container: {name}"));
        let deadline = time::monotonic_ms() + CHANGE_WAIT_MS;
        let container = loop {
            let now = self.load(&container.config.id)?.ok_or_else(missing)?;
            if !now.supervised {
                break now;
            }
            match client::connect(&now, Attach::default()) {
                Ok(mut session) => return session.ask(what, body.as_bytes()),
                // It starts or ends at this moment.
                Err(error) if error.kind() == Kind::State && time::monotonic_ms() < deadline => {
                    time::sleep_ms(LOOK_MS);
                }
                Err(error) => return Err(error),
            }
        };
        if container.is_running() {
            let text = format!("container {name}: its supervisor was killed");
            return Err(
                Error::new(Kind::State, text).with_hint("`tare restart` gives it another one")
            );
        }
        let lock = container.open_lock()?;
        if locks::take(&lock, LOOKERS_WAIT_MS)? != Taken::Held {
            let text = format!("container {name}: somebody starts, copies or removes it");
            return Err(Error::new(Kind::State, text));
        }
        let mut now = self.to_change(&container.config.id)?;
        edit(&mut now.container.config)?;
        self.save(&now.container)
    }
}

/// Whose networks are not its own, or who has none, is in no other.
fn refuse_shared(config: &Config) -> Result<()> {
    let refused = |text: &str| Err(Error::new(Kind::State, text));
    match config.network.mode.as_str() {
        "" => Ok(()),
        "none" => refused(
            "container cannot be connected to multiple networks with one of the networks in private (none) mode",
        ),
        "host" => refused(
            "container cannot be disconnected from host network or connected to host network",
        ),
        mode if mode.starts_with("pasta") => refused(
            "container is connected by pasta, which knows no other networks",
        )
        .map_err(|error: Error| {
            error.with_hint(
                "`tare network create NAME`, and --network NAME when the container is made",
            )
        }),
        _ => refused(
            "container sharing network namespace with another container or host cannot be connected to any other network",
        ),
    }
}
