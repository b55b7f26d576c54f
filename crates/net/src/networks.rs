//! The directory of networks.
//!
//! Layout, `records` being what survives a reboot, `run` what does not:
//!
//! ```text
//! records/lock             held while networks are made or removed
//! records/NAME.json        a network (module `record`)
//! run/ID/lock              held while addresses are given, and while containers come and go
//! run/ID/boot              the boot of the machine that the rest belongs to
//! run/ID/leases/ADDRESS    who has an address (module `lease`)
//! run/ID/cursor.N          below which address of subnet N none is free
//! run/ID/attachments/ID    a container in the network (module `attachment`)
//! run/ID/names/NAME/ID     its addresses under each of its names, for name servers
//! ```
//!
//! A record is replaced by a rename. What a container takes is written down before it is made: whatever a killed
//! process leaves is found by [`Networks::sweep`], and given back.

use crate::attachment::Attachment;
use crate::bridge;
use crate::error::{During, Error, Kind, Result};
use crate::files::{self, Durable, Guard};
use crate::firewall::Firewall;
use crate::lease::LEASES;
use crate::namespace::inside;
use crate::netlink::Socket;
use crate::record::{DEFAULT, DEFAULT_ALIASES, Driver, Network};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use sys::Fd;

pub(crate) const LOCK: &str = "lock";
const BOOT: &str = "boot";
pub(crate) const ATTACHMENTS: &str = "attachments";
pub(crate) const NAMES: &str = "names";
const RECORD: &str = ".json";
/// Fewest digits of an id that stand for it.
const SHORTEST_ID: usize = 1;

/// Where networks are.
#[derive(Clone, Debug)]
pub struct Places {
    /// What survives a reboot: `networks` of the store.
    pub records: PathBuf,
    /// What does not, best in memory.
    pub run: PathBuf,
}

/// Where bridges are.
#[derive(Clone, Debug, Default)]
pub enum Ground {
    /// In the network namespace of the calling thread, which is the host's: rules lead packets in and out.
    #[default]
    Host,
    /// In a network namespace that has nothing else: an ordinary user's. Containers reach each other there, and nothing gets
    /// in or out, for which no rules are needed.
    Own(Arc<Fd>),
    /// The same, and the calling thread is in it.
    OwnHere,
    /// Out of the caller's reach, who may look at networks, and make some.
    Elsewhere,
}

/// The networks of a store.
#[derive(Debug)]
pub struct Networks {
    pub(crate) records: Fd,
    pub(crate) run: Fd,
    pub(crate) ground: Ground,
    /// Sockets by which rules were removed. When one is closed the kernel waits until nobody looks at those any more, some
    /// ten milliseconds: that comes when everything else is done.
    used: Mutex<Vec<Firewall>>,
}

/// Sockets that are kept.
const USED: usize = 8;

impl Networks {
    /// Opens the directories, which are made if need be.
    pub fn open(places: &Places) -> Result<Self> {
        let records = files::open_or_make(&places.records)?;
        let run = files::open_or_make(&places.run)?;
        Ok(Self { records, run, ground: Ground::Host, used: Mutex::new(Vec::new()) })
    }

    /// The same networks with their bridges somewhere else.
    #[must_use]
    pub fn on(self, ground: Ground) -> Self {
        Self { ground, ..self }
    }

    /// Whether nothing can be done here but to look at networks, and to make some.
    pub fn are_elsewhere(&self) -> bool {
        matches!(self.ground, Ground::Elsewhere)
    }

    /// Whether the host's rules are needed.
    pub(crate) fn has_rules(&self) -> bool {
        matches!(self.ground, Ground::Host)
    }

    /// Does something where the bridges are.
    pub(crate) fn there<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        match &self.ground {
            Ground::Host | Ground::OwnHere => work(),
            Ground::Own(netns) => inside(netns, work),
            Ground::Elsewhere => Err(out_of_reach()),
        }
    }

    /// Refuses what is only done by a thread that is where the bridges are.
    pub(crate) fn check_here(&self) -> Result<()> {
        match &self.ground {
            Ground::Host | Ground::OwnHere => Ok(()),
            Ground::Own(_) | Ground::Elsewhere => Err(out_of_reach()),
        }
    }

    /// Closes a socket later.
    pub(crate) fn keep(&self, firewall: Firewall) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() >= USED {
            used.clear();
        }
        used.push(firewall);
    }

    /// The network of a name, an id, or the first digits of one. The default network is made when it is asked
    /// for the first time.
    pub fn get(&self, name: &str) -> Result<Network> {
        let name = if DEFAULT_ALIASES.contains(&name) { DEFAULT } else { name };
        match self.read(name) {
            Err(error) if error.kind() == Kind::NotFound => {}
            result => return result,
        }
        if name == DEFAULT {
            return self.create_default();
        }
        let missing = || {
            Error::new(Kind::NotFound, format!("network {name} not found"))
                .with_hint("`tare network ls` shows those that are there")
        };
        let hex = name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !hex || name.len() < SHORTEST_ID {
            return Err(missing());
        }
        let (mut all, _) = self.list()?;
        all.retain(|network| network.id.starts_with(name));
        match all.len() {
            0 | 1 => all.pop().ok_or_else(missing),
            count => Err(Error::invalid(format!(
                "network {name} is ambiguous ({count} ids begin with it)"
            ))),
        }
    }

    /// All networks, by their names, and what is wrong with those that cannot be read.
    pub fn list(&self) -> Result<(Vec<Network>, Vec<Error>)> {
        let (mut networks, mut errors) = (Vec::new(), Vec::new());
        for file in files::list(&self.records)? {
            let Some(name) = file.strip_suffix(RECORD) else { continue };
            match self.read(name) {
                Ok(network) => networks.push(network),
                // Somebody has removed it meanwhile.
                Err(error) if error.kind() == Kind::NotFound => {}
                Err(error) => errors.push(error),
            }
        }
        Ok((networks, errors))
    }

    fn read(&self, name: &str) -> Result<Network> {
        let missing = |error: Error| match error.kind() {
            Kind::NotFound => Error::new(Kind::NotFound, format!("network {name} not found")),
            _ => error.about(format_args!("network {name}")),
        };
        crate::record::check_name(name)
            .map_err(|_| Error::new(Kind::NotFound, format!("network {name:?} not found")))?;
        files::read_record::<Network>(&self.records, &format!("{name}{RECORD}"))
            .map_err(missing)?
            .check()
    }

    pub(crate) fn write(&self, network: &Network) -> Result<()> {
        files::write_record(
            &self.records,
            &format!("{}{RECORD}", network.name),
            network,
            Durable::Yes,
        )
    }

    /// The lock of all networks.
    pub(crate) fn lock(&self) -> Result<Guard> {
        files::lock(&self.records, LOCK, || "the networks".into())
    }

    /// Removes a network. It must not have containers, which are named otherwise.
    pub fn remove(&self, name: &str) -> Result<Network> {
        let network = self.get(name)?;
        if network.is_default() {
            return Err(Error::invalid(format!(
                "network {} is pre-defined and cannot be removed",
                network.name
            )));
        }
        let _all = self.lock()?;
        let entered = self.enter(&network)?;
        let users: Vec<String> = entered.attachments()?.into_iter().map(|one| one.name).collect();
        if !users.is_empty() {
            let text = format!("network {} is in use by {}", network.name, users.join(", "));
            return Err(Error::new(Kind::InUse, text)
                .with_hint("remove them, or take them out with `tare network disconnect`"));
        }
        // What containers of this boot have had.
        if network.driver == Driver::Bridge && self.was_used(&network) {
            self.there(|| {
                let socket = Socket::route().during(|| "opening rtnetlink".into())?;
                bridge::remove(&socket, &network, self.has_rules())
            })?;
        }
        files::remove(&self.records, &format!("{}{RECORD}", network.name))?;
        files::sync(&self.records, "the networks")?;
        files::remove_tree(&self.run, &network.id)?;
        Ok(network)
    }

    /// The containers of a network, by their ids.
    pub fn attachments(&self, network: &Network) -> Result<Vec<Attachment>> {
        let run = match files::open_dir(&self.run, &network.id) {
            Err(error) if error.kind() == Kind::NotFound => return Ok(Vec::new()),
            run => run?,
        };
        match is_of_this_boot(&run)? {
            true => attachments_in(&run),
            false => Ok(Vec::new()),
        }
    }

    /// The attachment of a container.
    pub fn attachment(&self, network: &Network, container: &str) -> Result<Attachment> {
        let missing = |error: Error| match error.kind() {
            Kind::NotFound => {
                let text = format!("container {container} is not in network {}", network.name);
                Error::new(Kind::NotFound, text)
            }
            _ => error,
        };
        crate::attachment::check_container(container)?;
        let run = files::open_dir(&self.run, &network.id).map_err(missing)?;
        if !is_of_this_boot(&run)? {
            return Err(missing(Error::new(Kind::NotFound, "")));
        }
        let dir = files::open_dir(&run, ATTACHMENTS).map_err(missing)?;
        files::read_record(&dir, container).map_err(missing)
    }

    /// Whether a container of this boot may have had anything of a network.
    pub(crate) fn was_used(&self, network: &Network) -> bool {
        // The address is the first that one gets.
        [ATTACHMENTS, LEASES]
            .iter()
            .any(|dir| sys::fs::stat_at(&self.run, format!("{}/{dir}", network.id), 0).is_ok())
    }

    /// Whether a container may be in a network, as far as one sees without its lock: whoever asks knows of nobody who puts
    /// it there at the same time.
    pub fn may_have(&self, network: &Network, container: &str) -> bool {
        let path = format!("{}/{ATTACHMENTS}/{container}", network.id);
        let exists = |path: &str| sys::fs::stat_at(&self.run, path, 0).is_ok();
        exists(&path)
            || exists(&format!("{}/{ATTACHMENTS}/{}", network.id, files::unfinished(container)))
    }

    /// Writes down that an attachment is whole. Nobody else writes a container's record at the same time.
    pub(crate) fn note(&self, attachment: &Attachment) -> Result<()> {
        let run = files::open_dir(&self.run, &attachment.network_id)?;
        let dir = files::open_dir(&run, ATTACHMENTS)?;
        files::write_record(&dir, &attachment.container, attachment, Durable::No)
    }

    /// Takes a network's lock. What an earlier boot of the machine has left is gone then.
    pub(crate) fn enter<'a>(&self, network: &'a Network) -> Result<Entered<'a>> {
        let run = files::make_open_dir(&self.run, &network.id)?;
        let guard = files::lock(&run, LOCK, || format!("network {}", network.name))?;
        // It may have been removed while its lock was waited for, and the directory with it.
        if self.read(&network.name)?.id != network.id {
            return Err(Error::new(Kind::NotFound, format!("network {} not found", network.name)));
        }
        let run = files::make_open_dir(&self.run, &network.id)?;
        if !is_of_this_boot(&run)? {
            for name in files::list(&run)? {
                if name != LOCK {
                    files::remove_tree(&run, &name)?;
                }
            }
            files::put(&run, BOOT, &boot_id()?)?;
        }
        Ok(Entered { run, network, has_rules: self.has_rules(), _guard: guard })
    }
}

fn out_of_reach() -> Error {
    Error::new(Kind::Unsupported, "the networks' bridges are out of reach")
}

/// A network whose lock is held.
pub(crate) struct Entered<'a> {
    pub(crate) run: Fd,
    pub(crate) network: &'a Network,
    pub(crate) has_rules: bool,
    _guard: Guard,
}

impl Entered<'_> {
    pub(crate) fn attachments(&self) -> Result<Vec<Attachment>> {
        attachments_in(&self.run)
    }

    /// Whether any container is in the network.
    pub(crate) fn is_used(&self) -> Result<bool> {
        Ok(!files::list_at(&self.run, ATTACHMENTS)?.is_empty())
    }

    /// Whether no other container is in the network.
    pub(crate) fn is_only(&self, container: &str) -> Result<bool> {
        Ok(files::list_at(&self.run, ATTACHMENTS)?.iter().all(|name| name == container))
    }

    /// The attachment of a container.
    pub(crate) fn find(&self, container: &str) -> Result<Option<Attachment>> {
        let dir = match files::open_dir(&self.run, ATTACHMENTS) {
            Err(error) if error.kind() == Kind::NotFound => return Ok(None),
            dir => dir?,
        };
        match files::read_record(&dir, container) {
            Ok(attachment) => Ok(Some(attachment)),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes an attachment and its names down.
    pub(crate) fn note(&self, attachment: &Attachment) -> Result<()> {
        let dir = files::make_open_dir(&self.run, ATTACHMENTS)?;
        files::write_record(&dir, &attachment.container, attachment, Durable::No)
    }

    /// Lets others find a container by its names.
    pub(crate) fn announce(&self, attachment: &Attachment) -> Result<()> {
        if !self.network.dns {
            return Ok(());
        }
        let names = files::make_open_dir(&self.run, NAMES)?;
        let text: Vec<String> =
            attachment.addresses.iter().map(|cidr| cidr.address().to_string()).collect();
        for name in attachment.names() {
            let dir = files::make_open_dir(&names, &name)?;
            files::claim(&dir, &attachment.container, &text.join("\n"))?;
        }
        Ok(())
    }

    /// Forgets an attachment and its names.
    pub(crate) fn forget(&self, attachment: &Attachment) -> Result<()> {
        for name in attachment.names() {
            self.forget_name(&name, &attachment.container)?;
        }
        match files::open_dir(&self.run, ATTACHMENTS) {
            Ok(dir) => {
                files::remove(&dir, &attachment.container)?;
                files::remove(&dir, &files::unfinished(&attachment.container))
            }
            Err(error) if error.kind() == Kind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes what killed processes have begun to write of containers that `is_live` does not know.
    pub(crate) fn forget_unfinished(&self, is_live: &dyn Fn(&str) -> bool) -> Result<()> {
        match files::open_dir(&self.run, ATTACHMENTS) {
            Ok(dir) => files::remove_unfinished(&dir, is_live),
            Err(error) if error.kind() == Kind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn forget_name(&self, name: &str, container: &str) -> Result<()> {
        let names = match files::open_dir(&self.run, NAMES) {
            Err(error) if error.kind() == Kind::NotFound => return Ok(()),
            names => names?,
        };
        match files::open_dir(&names, name) {
            Err(error) if error.kind() == Kind::NotFound => Ok(()),
            dir => {
                files::remove(&dir?, container)?;
                files::remove_if_empty(&names, name)
            }
        }
    }
}

fn attachments_in(run: &Fd) -> Result<Vec<Attachment>> {
    let dir = match files::open_dir(run, ATTACHMENTS) {
        Err(error) if error.kind() == Kind::NotFound => return Ok(Vec::new()),
        dir => dir?,
    };
    let mut all = Vec::new();
    for name in files::list(&dir)? {
        match files::read_record(&dir, &name) {
            Ok(attachment) => all.push(attachment),
            // It has just left.
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// Whether what is in a directory belongs to this boot of the machine. A power cut leaves files in any state.
fn is_of_this_boot(run: &Fd) -> Result<bool> {
    match files::read(run, BOOT) {
        Ok(text) => Ok(text == boot_id()?),
        Err(error) if error.kind() == Kind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn boot_id() -> Result<Vec<u8>> {
    sys::fs::read_file(sys::CWD, "/proc/sys/kernel/random/boot_id", 64)
        .during(|| "reading the boot's id".into())
}
