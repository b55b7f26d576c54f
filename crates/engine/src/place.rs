//! Where containers are, and how they are made, found and removed.
//!
//! ```text
//! ROOT/containers/ID/     the store's: its record, what the container writes
//!   container.json        what it was made with
//!   state.json            what became of it, once it was started
//!   lock                  held by its supervisor
//!   attach.sock           where its supervisor listens
//!   paused                is there while it is paused
//!   mounted               is there while it may be mounted for everybody
//!   renamed               is there while it is renamed: both names
//!   container.log         what it said
//!   files/                hosts, resolv.conf, hostname
//!   merged/               the place of its root directory, in its supervisor's mount namespace
//! ROOT/engine/names/NAME  a link to the identifier
//! ROOT/engine/pending/ID  it is being made, or is removed at its end: whoever comes next looks whether somebody
//!                         still cares for it; locked while it is being made. While somebody removes it, it is its name's
//!                         link, put aside
//! ROOT/engine/events      what happened
//! ```
//!
//! Locks are taken in this order: `pending/ID`, the store's, `lock`, `meta.json` (see [`crate::locks`]).

use crate::error::{During, Error, Kind, Result};
use crate::locks::{self, LOOKERS_WAIT_MS, Taken};
use crate::record::{Attached, Config, State, rootfs_kind, status};
use crate::{events, files, launch, names};
use oci::runtime::Status;
use oci::{AnyDigest, Digest};
use runtime::Host;
use runtime::config::ContainerId;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::{ContainerRecord, Garbage, LayerKey, Store};
use sys::fs::{self, Lock, O_DIRECTORY, O_RDONLY};
use sys::{CWD, Errno, Fd};

pub(crate) const CONFIG: &str = "container.json";
pub(crate) const STATE: &str = "state.json";
pub(crate) const LOCK: &str = "lock";
pub(crate) const SOCKET: &str = "attach.sock";
pub(crate) const PAUSED: &str = "paused";
/// The names that it may have while somebody renames it.
const RENAMED: &str = "renamed";
pub(crate) const LOG: &str = "container.log";
pub(crate) const PENDING: &str = "pending";
/// Nobody is so unlucky.
const TRIES: usize = 16;
const ID_DIGITS: usize = 64;
/// Fewer digits are more likely somebody's mistake than a container.
const PREFIX_MIN: usize = 1;

/// The surroundings of an engine, as values: a supervisor opens everything anew.
#[derive(Clone, Debug)]
pub struct Place {
    /// The store's root.
    pub root: PathBuf,
    /// What a reboot may take.
    pub runroot: PathBuf,
    /// How the store is opened.
    pub options: store::Options,
    /// The runtime's surroundings.
    pub host: Host,
    /// Who calls: the user of the host.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Whom to tell that a container is ready (`NOTIFY_SOCKET`).
    pub notify_socket: Option<String>,
    /// What a supervisor does when its container is gone that takes its image with it.
    pub removes_image: Option<fn(&Place, &Config)>,
}

/// Containers of a store.
#[derive(Debug)]
pub struct Engine {
    pub(crate) place: Place,
    pub(crate) store: Store,
    /// `ROOT/engine`
    pub(crate) dir: Fd,
    /// Where the bridges of an ordinary user are, in a supervisor of a container in networks.
    pub(crate) ground: Option<Arc<Fd>>,
}

/// One container, as it was when it was looked at.
#[derive(Debug)]
pub struct Container {
    /// What it was made with.
    pub config: Config,
    /// What became of it, corrected by what is really there.
    pub state: State,
    pub(crate) dir: Fd,
    /// A supervisor looks after it.
    pub supervised: bool,
    /// The record says something else, which somebody wrote who was killed then.
    pub(crate) is_corrected: bool,
}

impl Engine {
    /// Opens the store's containers. What killed commands left is taken away first, unless it is only to look.
    pub fn open(place: Place, read_only: bool) -> Result<Self> {
        let options = store::Options { read_only, ..place.options.clone() };
        let store = Store::open(&place.root, &place.runroot, &options)?;
        let opened = open_path(&place.root)?;
        if !read_only {
            files::make_dir(&opened, "engine")?;
            let dir = files::open_dir(&opened, "engine")?;
            let engine = Self { place, store, dir, ground: None };
            engine.sweep();
            return Ok(engine);
        }
        let dir = match files::open_dir(&opened, "engine") {
            Err(_) => opened,
            result => result?,
        };
        Ok(Self { place, store, dir, ground: None })
    }

    /// The same for a supervisor: its command has taken away what there was.
    pub(crate) fn open_plain(place: Place) -> Result<Self> {
        let store = Store::open(&place.root, &place.runroot, &place.options)?;
        let dir = files::open_dir(&open_path(&place.root)?, "engine")?;
        Ok(Self { place, store, dir, ground: None })
    }

    /// The store's directory.
    pub(crate) fn open_root(&self) -> Result<Fd> {
        open_path(&self.place.root)
    }

    /// What happened, for whoever reads it.
    pub fn events(&self) -> Result<events::Reader> {
        events::Reader::new(&self.dir)
    }

    /// The store that the containers are in.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Where and how.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The directory of a container, absolute.
    pub fn path_of(&self, id: &str) -> PathBuf {
        let root =
            std::path::absolute(&self.place.root).unwrap_or_else(|_| self.place.root.clone());
        root.join("containers").join(id)
    }

    /// Makes a container of these layers, the lowest first. It is not started.
    pub fn create(&self, mut config: Config, layers: &[LayerKey]) -> Result<Made> {
        config.version = Config::VERSION;
        config.id = random_id()?;
        config.created = now();
        if config.name.is_empty() {
            config.name = names::random()?;
        }
        if config.hostname.is_empty() {
            config.hostname = config.id[..12].into();
        }
        self.name_networks(&mut config);
        let pending = self.begin(&config.id)?;
        // They are seen to be used as soon as there is a record.
        let held = self.hold_volumes(&config.mounts);
        let held = held
            .inspect_err(|_| drop(files::remove(&self.dir, &format!("{PENDING}/{}", config.id))))?;
        self.create_in(&config, layers).inspect_err(|_| {
            let _ = self.take_away(&config.id, &config.name);
        })?;
        drop(held);
        if !config.auto_remove {
            files::remove(&self.dir, &format!("{PENDING}/{}", config.id))?;
        }
        self.tell("create", &config, &[]);
        Ok(Made { id: config.id, name: config.name, _pending: pending })
    }

    fn create_in(&self, config: &Config, layers: &[LayerKey]) -> Result<()> {
        let record = ContainerRecord {
            id: config.id.clone(),
            image: match config.manifest.as_str() {
                "" => AnyDigest::default(),
                text => Digest::parse(text)
                    .map_err(|_| Error::invalid(format!("{text}: no digest")))?
                    .into(),
            },
            layers: layers.iter().map(ToString::to_string).collect(),
            time_s: sys::time::now().seconds,
            mounted: launch::mounted_images(config)?,
            is_ephemeral: config.auto_remove,
        };
        let container = self.store.create_container(record)?;
        if config.rootfs_kind == rootfs_kind::OVERLAY {
            container.take_root_of(&open_path(Path::new(&config.rootfs))?)?;
        }
        names::take(&self.dir, &config.name, &config.id, |id| self.has(id))?;
        let dir = self.open_dir(&config.id)?;
        // What nobody keeps does not have to survive a power cut.
        let durable =
            !config.auto_remove && self.place.options.durability == store::Durability::Strict;
        files::write(&dir, CONFIG, config, durable)?;
        // Who starts it, or removes it from a disk without an inode, finds it.
        files::open_lock(&dir, LOCK)?;
        drop(container);
        Ok(())
    }

    /// Says that a container is being made: whoever finds that without its lock takes the rest away.
    fn begin(&self, id: &str) -> Result<Fd> {
        files::make_dir(&self.dir, PENDING)?;
        let path = format!("{PENDING}/{id}");
        // Somebody who sweeps may take it away before it is locked.
        for _ in 0..TRIES {
            let file = files::open_lock(&self.dir, &path)?;
            fs::lock(&file, Lock::Exclusive).during(|| format!("locking container {id}"))?;
            let own = fs::stat_fd(&file).during(|| "looking at a lock")?;
            if fs::stat_at(&self.dir, &path, 0).is_ok_and(|it| it.st_ino == own.st_ino) {
                return Ok(file);
            }
        }
        Err(Error::new(
            Kind::State,
            format!("making container {id}: others sweep it again and again"),
        ))
    }

    pub(crate) fn has(&self, id: &str) -> bool {
        self.open_dir(id).is_ok()
    }

    pub(crate) fn open_dir(&self, id: &str) -> Result<Fd> {
        open_path(&self.place.root.join("containers").join(id))
    }

    /// The identifiers of all containers that were made by an engine.
    pub fn ids(&self) -> Result<Vec<String>> {
        let all = self.store.containers()?;
        Ok(all.into_iter().filter(|id| is_id(id)).collect())
    }

    /// All containers, the newest first. One that goes meanwhile is left out, and one whose records cannot be read:
    /// whoever asks for it by its identifier is told why.
    pub fn list(&self) -> Result<Vec<Container>> {
        let mut all = Vec::new();
        for id in self.ids()? {
            match self.load(&id) {
                Ok(container) => all.extend(container),
                Err(error) if error.kind() == Kind::Invalid => {}
                Err(error) => return Err(error),
            }
        }
        all.sort_by(|a, b| b.config.created.cmp(&a.config.created));
        Ok(all)
    }

    /// A container by its name, its identifier, or the beginning of that.
    pub fn find(&self, text: &str) -> Result<Container> {
        let id = self.find_id(text)?;
        self.load(&id)?.ok_or_else(|| missing(text))
    }

    fn find_id(&self, text: &str) -> Result<String> {
        let name = text.strip_prefix('/').unwrap_or(text);
        if let Some(id) = names::look_up(&self.dir, name)?
            && self.has(&id)
        {
            return Ok(id);
        }
        if is_id(text) && self.has(text) {
            return Ok(text.into());
        }
        let is_prefix = text.len() >= PREFIX_MIN && text.bytes().all(|it| it.is_ascii_hexdigit());
        let mut found = match is_prefix {
            true => self.ids()?.into_iter().filter(|id| id.starts_with(text)).collect(),
            false => Vec::new(),
        };
        match found.len() {
            0 => Err(missing(text)),
            1 => Ok(found.remove(0)),
            count => Err(Error::invalid(format!("{text}: {count} containers begin with it"))
                .with_hint("write more of the identifier, or a name")),
        }
    }

    /// Reads a container; nothing where there is none, or only a part of one.
    pub fn load(&self, id: &str) -> Result<Option<Container>> {
        self.load_as(id, None)
    }

    /// The same for whoever holds the container's lock, and is no supervisor that was there before.
    pub(crate) fn load_locked(&self, id: &str) -> Result<Option<Container>> {
        self.load_as(id, Some(false))
    }

    fn load_as(&self, id: &str, supervised: Option<bool>) -> Result<Option<Container>> {
        let Ok(dir) = self.open_dir(id) else { return Ok(None) };
        let Some(config) = files::read::<Config>(&dir, CONFIG)? else { return Ok(None) };
        if config.version != Config::VERSION || config.id != id {
            return Err(Error::invalid(format!(
                "container {id}: its record is none of this program's"
            ))
            .with_hint("a newer program may have made it"));
        }
        let state = read_state(&dir)?;
        let supervised = supervised.map_or_else(|| is_locked(&dir), Ok)?;
        let mut container = Container { config, state, dir, supervised, is_corrected: false };
        // A supervisor that ends writes first and lets go then; what it has removed at its end is not there any more.
        if !supervised && container.state.status != status::CREATED {
            let Ok(dir) = self.open_dir(id) else { return Ok(None) };
            container.state = read_state(&dir)?;
        }
        container.correct();
        if !supervised && !container.is_running() {
            self.find_running(&mut container);
        }
        Ok(Some(container))
    }

    /// The program may run of which nobody has a record: its supervisor was killed right after it had started it.
    fn find_running(&self, container: &mut Container) {
        let host = &self.place.host;
        if !fs::exists(CWD, format!("{}/{}", host.root, container.config.id)) {
            return;
        }
        let Ok(id) = ContainerId::parse(&container.config.id) else { return };
        let Ok((_, record, now)) = runtime::verbs::look_up(host, &id) else { return };
        // One that waits for its start runs nothing: whoever starts or removes the container ends it first.
        if matches!(now, Status::Running | Status::Paused) {
            let state = &mut container.state;
            state.status = status::RUNNING.into();
            (state.pid, state.pid_start, state.boot) = (record.pid, record.pid_start, boot());
            state.started = record.created;
            state.finished.clear();
            container.correct();
        }
    }

    /// Writes a container's changed configuration.
    pub fn save(&self, container: &Container) -> Result<()> {
        files::write(&container.dir, CONFIG, &container.config, true)
    }

    /// Gives a container another name.
    pub fn rename(&self, container: &Container, name: &str) -> Result<()> {
        let name = name.strip_prefix('/').unwrap_or(name);
        // Two names at once would be one after the other.
        let mut changing = self.to_change(&container.config.id)?;
        let container = &mut changing.container;
        let (old, id) = (container.config.name.clone(), container.config.id.clone());
        self.finish_rename(&container.dir, &id, &old)?;
        if name == old {
            return Err(Error::invalid(
                "Renaming a container with the same name as its current name",
            ));
        }
        // Whoever comes next knows which names it may have, if this does not come to its end.
        files::write_bytes(&container.dir, RENAMED, format!("{old}\n{name}\n").as_bytes(), false)?;
        let renamed = names::take(&self.dir, name, &id, |id| self.has(id)).and_then(|()| {
            name.clone_into(&mut container.config.name);
            self.save(container).inspect_err(|_| drop(names::release(&self.dir, name, &id)))
        });
        if let Err(error) = renamed {
            let _ = files::remove(&container.dir, RENAMED);
            return Err(error);
        }
        self.finish_rename(&container.dir, &id, name)?;
        self.tell("rename", &container.config, &[("oldName", &format!("/{old}"))]);
        Ok(())
    }

    /// Gives the names of a container back but for the one that it has.
    fn finish_rename(&self, dir: &Fd, id: &str, name: &str) -> Result<()> {
        let Some(names) = files::read_bytes(dir, RENAMED)? else { return Ok(()) };
        for known in String::from_utf8_lossy(&names).lines().filter(|known| *known != name) {
            names::release(&self.dir, known, id)?;
        }
        files::remove(dir, RENAMED)
    }

    /// Removes a container that does not run.
    pub fn remove(&self, container: &Container) -> Result<()> {
        let config = &container.config;
        if container.supervised || container.is_running() {
            let text = format!(
                "cannot remove container \"/{}\": container is {}",
                config.name,
                match container.status() {
                    // It has a supervisor all the same.
                    status::CREATED | status::EXITED => "about to start or to end",
                    status => status,
                }
            );
            return Err(Error::new(Kind::State, text)
                .with_hint("stop the container before removing it, or use --force"));
        }
        let refused = |why: &str| {
            let text = format!("cannot remove container \"/{}\": {why}", config.name);
            Error::new(Kind::State, text)
        };
        let lock = container.open_lock()?;
        match locks::take(&lock, LOOKERS_WAIT_MS)? {
            Taken::Held => {}
            Taken::Owned => return Err(refused("somebody else starts or removes it")),
            Taken::Shared => return Err(refused("somebody copies files of it")),
        }
        let missing = || Error::new(Kind::NotFound, format!("No such container: {}", config.name));
        // Nobody gives it another name from here on.
        let changes = self.lock_changes(&config.id)?;
        let now = self.load_locked(&config.id)?.ok_or_else(missing)?;
        if now.is_running() {
            return Err(refused("it runs without a supervisor"));
        }
        let config = &now.config;
        // Whoever comes next goes on with it, if this does not come to its end.
        let mark = format!("{PENDING}/{}", config.id);
        let is_marked =
            !config.auto_remove && names::put_aside(&self.dir, &config.name, &config.id, &mark)?;
        let taken =
            self.take_apart(&config.id, &config.name, changes, || self.remove_stored(&config.id));
        if let Err(error) = taken {
            if is_marked && self.has(&config.id) {
                names::put_back(&self.dir, &config.name, &mark);
            }
            return Err(error);
        }
        self.tell("destroy", config, &[]);
        Ok(())
    }

    fn remove_stored(&self, id: &str) -> Result<()> {
        self.with_ids(|engine| Ok(engine.store.remove_container(id)?))
    }

    /// Takes everything of a container away that there is. It is nobody's any more.
    pub(crate) fn take_away(&self, id: &str, name: &str) -> Result<()> {
        let changes = self.lock_changes(id)?;
        self.take_apart(id, name, changes, || self.remove_stored(id))
    }

    /// The same for its supervisor, which tells everybody before it frees the space.
    pub(crate) fn take_for_good(&self, id: &str, name: &str) -> Result<Option<Garbage<'_>>> {
        let mut garbage = None;
        let changes = self.lock_changes(id)?;
        self.take_apart(id, name, changes, || {
            garbage = Some(self.store.take_container(id)?);
            Ok(())
        })?;
        Ok(garbage)
    }

    /// `changes` is the lock of its record, if there is one.
    fn take_apart(
        &self,
        id: &str,
        name: &str,
        changes: Option<Fd>,
        remove_directory: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        self.check_unmounted(id, name)?;
        if let Ok(runtime_id) = ContainerId::parse(id) {
            runtime::verbs::delete(&self.place.host, &runtime_id, true, &mut Vec::new())?;
        }
        let dir = self.open_dir(id).ok();
        let config = dir.as_ref().and_then(|dir| files::read::<Config>(dir, CONFIG).ok()?);
        if let Some((dir, config)) = dir.as_ref().zip(config.as_ref()) {
            self.finish_rename(dir, id, &config.name)?;
        }
        drop(dir);
        if let Some(config) = &config {
            launch::network::leave(self, config);
            if config.owns_rootfs {
                let _ = std::fs::remove_dir_all(&config.rootfs);
            }
        }
        match remove_directory() {
            Err(error) if error.kind() == Kind::NotFound => {}
            result => result?,
        }
        drop(changes);
        if let Some(config) = config.as_ref().filter(|config| config.auto_remove) {
            self.remove_anonymous(&config.mounts);
        }
        // It may have got another one since somebody looked.
        let now = config.as_ref().map_or("", |config| config.name.as_str());
        for name in [name, now].into_iter().filter(|name| !name.is_empty()) {
            names::release(&self.dir, name, id)?;
        }
        files::remove(&self.dir, &format!("{PENDING}/{id}"))
    }

    /// Does something with files that containers have written: with other ids, maybe, which only those can do whose
    /// ids they are. Then it is done by a process of its own.
    pub fn with_ids(&self, action: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        if self.place.uid == 0 || self.place.host.rootless && sys::ids::euid() == 0 {
            return action(self);
        }
        launch::in_namespace(&self.place, action)
    }

    /// Records that something happened to a container.
    pub fn tell(&self, action: &str, config: &Config, more: &[(&str, &str)]) {
        let mut attributes: Vec<(&str, &str)> =
            config.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        attributes.extend([("image", config.image.as_str()), ("name", config.name.as_str())]);
        attributes.extend(more);
        events::append(&self.dir, "container", action, &config.id, &attributes);
    }

    /// Records that something happened to something else than a container.
    pub fn tell_of(&self, kind: &str, action: &str, id: &str, attributes: &[(&str, &str)]) {
        events::append(&self.dir, kind, action, id, attributes);
    }

    /// Records that a container mounts its volumes, or does not any more.
    pub(crate) fn tell_volumes(&self, action: &str, config: &Config) {
        for mount in config.mounts.iter().filter(|mount| mount.kind == "volume") {
            let mut attributes = vec![("container", config.id.as_str()), ("driver", "local")];
            if action == "mount" {
                let writes = if mount.read_only { "false" } else { "true" };
                attributes.push(("destination", mount.target.as_str()));
                attributes.extend([("propagation", ""), ("read/write", writes)]);
            }
            self.tell_of("volume", action, &mount.name, &attributes);
        }
    }

    /// Records that a container has come into its networks, or has left them.
    pub(crate) fn tell_networks(&self, action: &str, id: &str, networks: &[Attached]) {
        let known = crate::launch::network::open(self);
        let driver = |name: &str| match name {
            // Looking for it would make it.
            net::DEFAULT => net::Driver::Bridge.name(),
            name => {
                let network = known.as_ref().ok().and_then(|known| known.get(name).ok());
                network.map_or("", |network| network.driver.name())
            }
        };
        for network in networks {
            let driver = driver(&network.network);
            let attributes =
                [("container", id), ("name", network.network.as_str()), ("type", driver)];
            self.tell_of("network", action, &network.network_id, &attributes);
        }
    }
}

/// A container that was just made, which nobody sweeps as long as this is there.
#[derive(Debug)]
pub struct Made {
    /// Its identifier.
    pub id: String,
    /// Its name.
    pub name: String,
    _pending: Fd,
}

impl Container {
    /// As docker's status has it.
    pub fn status(&self) -> &str {
        &self.state.status
    }

    /// Its program runs, or is paused.
    pub fn is_running(&self) -> bool {
        matches!(self.status(), status::RUNNING | status::PAUSED)
    }

    /// Where its files are.
    pub fn dir(&self) -> &Fd {
        &self.dir
    }

    /// What a supervisor wrote before it was killed may not be true any more.
    fn correct(&mut self) {
        let state = &mut self.state;
        let lives = state.status == status::RUNNING && self.supervised
            || matches!(state.status.as_str(), status::RUNNING | status::RESTARTING)
                && is_alive(state);
        match state.status.as_str() {
            status::RUNNING | status::RESTARTING if !self.supervised && !lives => {
                self.is_corrected = true;
                state.status = status::EXITED.into();
                state.exit_code = LOST_EXIT_CODE;
                state.pid = 0;
                if state.error.is_empty() {
                    state.error = "its supervisor was ended before the container".into();
                }
            }
            status::RUNNING if fs::exists(&self.dir, PAUSED) => {
                state.status = status::PAUSED.into()
            }
            _ => {}
        }
    }
}

/// Nobody knows how it ended: docker says the same of what it finds dead.
const LOST_EXIT_CODE: i32 = 255;

/// Whether the process of a record is the one that it was.
pub(crate) fn is_alive(state: &State) -> bool {
    state.pid > 0
        && state.boot == boot()
        && runtime::procfs::process_stat(state.pid)
            .is_some_and(|stat| stat.start_ticks == state.pid_start && !stat.is_dead())
}

/// Names this boot of the machine.
pub(crate) fn boot() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().into()
}

/// What became of a container; of one that was never started, nothing is written.
fn read_state(dir: &Fd) -> Result<State> {
    let created = || State { status: status::CREATED.into(), ..State::default() };
    Ok(files::read::<State>(dir, STATE)?.unwrap_or_else(created))
}

fn open_path(path: &Path) -> Result<Fd> {
    fs::open_at(CWD, path.as_os_str().as_bytes(), O_RDONLY | O_DIRECTORY, 0)
        .during(|| format!("opening {}", path.display()))
}

/// Whether a supervisor holds the lock of a container.
pub(crate) fn is_locked(dir: &Fd) -> Result<bool> {
    let file = match fs::open_at(dir, LOCK, O_RDONLY, 0) {
        Err(Errno::ENOENT) => return Ok(false),
        result => result.during(|| "opening a container's lock")?,
    };
    match fs::lock(&file, Lock::TryShared) {
        Ok(()) => Ok(false),
        Err(Errno::EAGAIN) => Ok(true),
        Err(errno) => Err(Error::os("trying a container's lock", errno)),
    }
}

pub(crate) fn now() -> String {
    runtime::state::format_time(sys::time::now())
}

pub(crate) fn is_id(text: &str) -> bool {
    text.len() == ID_DIGITS && text.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
}

pub(crate) fn random_id() -> Result<String> {
    let mut bytes = [0u8; ID_DIGITS / 2];
    sys::time::random(&mut bytes).during(|| "making an identifier")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn missing(text: &str) -> Error {
    Error::new(Kind::NotFound, format!("No such container: {text}"))
        .with_hint("`tare ps -a` shows all")
}

/// Where the root directory of a container is made.
pub(crate) fn merged(dir: &Path) -> PathBuf {
    dir.join("merged")
}
