//! From a record to a container that runs: namespaces, root directory, files, configuration.

mod cdi;
pub(crate) mod connect;
mod copy_up;
mod delegation;
pub(crate) mod enter;
mod files;
mod hardware;
mod idmaps;
mod limits;
mod links;
mod mounts;
pub(crate) mod network;
mod points;
mod rootfs;
pub(crate) mod scope;
pub(crate) mod seccomp;
mod security;
mod shared_memory;
mod spec;
mod staging;
pub(crate) mod system;
mod userns;
mod users;
pub(crate) mod volume_file_systems;
pub(crate) mod way;

pub(crate) use enter::Users;
pub use network::check_ports;
pub(crate) use rootfs::Rootfs;
pub use scope::{HINT as NO_CONTROL_GROUPS_HINT, controllers_of_user};
pub use seccomp::check as check_seccomp;
pub(crate) use security::lacks;
pub use security::{check_capability, check_options};
pub(crate) use staging::{Staged, mounted_images};
pub use userns::check as check_users;
pub use way::has_pasta;

use crate::error::{During, Error, Result};
use crate::ground;
use crate::place::{Engine, Place};
use crate::record::Config;
use network::Joined;
use runtime::Host;
use runtime::config::ContainerId;
use runtime::{Console, Options};
use sys::Fd;
use userns::Mapping;

/// A container that was prepared: it can be started any number of times.
pub(crate) struct Prepared {
    pub(crate) host: Host,
    pub(crate) id: ContainerId,
    // Let go of before the root directory is.
    staged: Staged,
    rootfs: Rootfs,
    users: Users,
    mapping: Option<Mapping>,
}

/// A started container.
pub(crate) struct Started {
    pub(crate) record: runtime::state::Record,
    pub(crate) warnings: Vec<String>,
    /// Its networks, if they are its own.
    pub(crate) joined: Option<Joined>,
}

impl Prepared {
    /// Stacks the root directory. `engine` has been opened in the mount namespace of this process; `outer` is that of the
    /// command.
    pub(crate) fn new(
        engine: &Engine,
        config: &Config,
        users: Users,
        outer: Option<&Fd>,
    ) -> Result<Self> {
        let id = ContainerId::parse(&config.id)?;
        let host = Host {
            rootless: users != Users::Host || engine.place.host.rootless,
            ..engine.place.host.clone()
        };
        // What a killed supervisor left of an earlier start is in the way.
        runtime::verbs::delete(&host, &id, true, &mut Vec::new())?;
        let mapping = userns::resolve(&config.namespaces, &engine.place, users)?;
        if mapping.is_some() && !config.rootfs.is_empty() && config.rootfs_kind.is_empty() {
            let what = "--userns: a program of this machine has the caller's ids";
            return Err(Error::invalid(what).with_hint("leave it out, or run an image"));
        }
        let rootfs = Rootfs::make(engine, config, mapping.as_ref())?;
        let staged = Staged::make(engine, config, mapping.as_ref(), outer)?;
        copy_up::fill(engine, config, &rootfs.open()?, mapping.as_ref(), &staged)?;
        Ok(Self { host, id, staged, rootfs, users, mapping })
    }

    /// Starts the program. This process' standard streams become its.
    pub(crate) fn start(
        &self,
        engine: &Engine,
        config: &Config,
        console: Option<Fd>,
    ) -> Result<Started> {
        let root = self.rootfs.open()?;
        let mapping = self.mapping.as_ref();
        let kept = mapping.and_then(|it| it.user).map(|(uid, gid)| format!("{uid}:{gid}"));
        // What nobody has chosen is the image's, or in a namespace that keeps the caller's id, the caller.
        let wanted = kept.filter(|_| !config.user_is_chosen);
        let wanted = wanted.as_deref().unwrap_or(&config.user);
        let user = users::of_image(&root, wanted, &config.group_add)?;
        if let Some(mapping) = mapping {
            mapping.admit(&user)?;
        } else if self.users == Users::EnteredAlone && user.uid != 0 {
            let text = format!("user {}: there is room for one user only, who is root", user.uid);
            return Err(Error::invalid(text).with_hint(
                "have ranges in /etc/subuid and /etc/subgid, and the package uidmap; or --user root",
            ));
        }
        let binds = files::write(engine, config, &root, mapping)?;
        let container_env = files::container_env(engine, config, mapping)?;
        let pinned = way::Pinned::of(engine, config)?;
        let memory = shared_memory::SharedMemory::of(engine, config)?;
        let plan = spec::Plan {
            engine,
            netns: pinned.as_ref().map(|pinned| pinned.path.as_path()),
            config,
            user,
            rootfs: self.rootfs.path(),
            has_own_directories: self.rootfs.is_writable(),
            binds,
            container_env,
            staged: &self.staged,
            memory: memory.as_ref(),
            users: self.users,
            mapping,
            delegation: delegation::of(config, self.users, mapping.is_some())?,
        };
        let spec = spec::build(&plan)?;
        if spec.process.as_ref().is_some_and(|process| process.no_new_privileges) {
            self.rootfs.ignore_file_rights();
        }
        let delegate = plan.delegation != delegation::Delegation::Nothing;
        drop(root);
        let options = Options {
            bundle: self.rootfs.path().to_string_lossy().into_owned(),
            spec: Some(spec),
            console: console.map_or(Console::Inherit, Console::Passed),
            init: config.init,
            delegate,
            detach: true,
            ..Options::default()
        };
        let mut warnings = Vec::new();
        let joined = match network::is_joined_late(config, pinned.as_ref()) {
            true => Some(self.start_in_networks(engine, config, options, pinned, &mut warnings)?),
            false => {
                runtime::run(&self.host, &self.id, options, &mut warnings)?;
                None
            }
        };
        if engine.ground.is_some() {
            // The runtime is seen as long as it writes a mapping.
            ground::hide()?;
        }
        let (_, record, _) = runtime::verbs::look_up(&self.host, &self.id)?;
        Ok(Started { record, warnings, joined })
    }

    /// The program waits until its networks are there.
    fn start_in_networks(
        &self,
        engine: &Engine,
        config: &Config,
        options: Options,
        pinned: Option<way::Pinned>,
        warnings: &mut Vec<String>,
    ) -> Result<Joined> {
        let pid = runtime::create(&self.host, &self.id, options, warnings)?;
        let started = network::join(engine, config, pid, pinned).and_then(|mut joined| {
            warnings.append(&mut joined.warnings);
            files::tell_networks(engine, config, &joined)?;
            runtime::verbs::start(&self.host, &self.id)?;
            Ok(joined)
        });
        started.inspect_err(|_| {
            network::leave(engine, config);
            let _ = runtime::verbs::delete(&self.host, &self.id, true, &mut Vec::new());
            // Its end is nobody's news any more.
            let _ = sys::wait::child(pid, false);
        })
    }
}

/// Whoever enters a user namespace is nobody there at first.
pub(crate) fn become_root() -> sys::Result<()> {
    sys::ids::set_gid(0)?;
    sys::ids::set_uid(0)
}

/// Gives a process another user, as the container's files name it. One that is not root holds no capability.
pub(crate) fn set_user(root: &Fd, text: &str, process: &mut oci::runtime::Process) -> Result<()> {
    let user = users::of_image(root, text, &[])?;
    (process.user.uid, process.user.gid) = (user.uid, user.gid);
    // Where nobody may set groups, nobody has another one, either.
    process.user.additional_gids = if may_set_groups() { user.groups } else { Vec::new() };
    if let Some(capabilities) = &mut process.capabilities {
        let held = if user.uid == 0 { capabilities.bounding.clone() } else { Vec::new() };
        capabilities.effective.clone_from(&held);
        capabilities.permitted = held;
        capabilities.ambient.clear();
    }
    if !process.env.iter().any(|variable| variable.starts_with("HOME=")) {
        process.env.push(format!("HOME={}", user.home));
    }
    Ok(())
}

/// Whether groups can be set in this process' user namespace.
fn may_set_groups() -> bool {
    std::fs::read_to_string("/proc/self/setgroups").map_or(true, |text| text.trim() != "deny")
}

/// User and group of a container's program, as its files name them.
pub(crate) fn ids_of(root: &Fd, config: &Config) -> Result<(u32, u32)> {
    let user = users::of_image(root, &config.user, &[])?;
    Ok((user.uid, user.gid))
}

/// Everything that the container's user namespace has.
pub(crate) fn set_all_capabilities(process: &mut oci::runtime::Process) {
    let all: Vec<String> = security::ALL.iter().map(ToString::to_string).collect();
    if let Some(capabilities) = &mut process.capabilities {
        capabilities.bounding.clone_from(&all);
        capabilities.effective.clone_from(&all);
        capabilities.permitted = all;
    }
    process.no_new_privileges = false;
}

/// What the cgroup of a container that runs is to allow.
pub(crate) fn limits_of(config: &Config) -> Result<oci::runtime::Resources> {
    let limits = limits::of_cgroup(config, sys::ids::is_administrator())?;
    oci::json::read(limits.to_string().as_bytes())
        .map_err(|why| Error::invalid(format!("limits: {why}")))
}

/// Does something in namespaces like those of a supervisor, by a process of its own.
pub(crate) fn in_namespace(
    place: &Place,
    action: impl FnOnce(&Engine) -> Result<()>,
) -> Result<()> {
    in_child(|| {
        enter::enter(place)?;
        action(&Engine::open(place.clone(), false)?)
    })
}

/// Enters namespaces like those of a supervisor with this process, which has one thread.
pub fn enter_namespaces(place: &Place) -> Result<()> {
    enter::enter(place).map(drop)
}

/// Does something by a process of its own.
pub(crate) fn in_child(action: impl FnOnce() -> Result<()>) -> Result<()> {
    begin(action)?.end()
}

/// The same with an answer.
pub(crate) fn ask_child(action: impl FnOnce() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    begin_to_answer(action)?.answer()
}

/// A process that does something.
pub(crate) struct Doing {
    pid: i32,
    says: Fd,
}

/// Begins to do something by a process of its own.
pub(crate) fn begin(action: impl FnOnce() -> Result<()>) -> Result<Doing> {
    begin_to_answer(|| action().map(|()| Vec::new()))
}

fn begin_to_answer(action: impl FnOnce() -> Result<Vec<u8>>) -> Result<Doing> {
    const WHAT: &str = "starting a process";
    let (theirs, ours) = sys::fs::pipe().during(|| WHAT)?;
    let Some(child) = sys::process::fork_plain().during(|| WHAT)? else {
        drop(theirs);
        let (message, code) = match action() {
            Ok(answer) => (answer, 0),
            Err(error) => (error.encode(), 1),
        };
        let _ = sys::fs::write_all(&ours, &message);
        sys::process::exit(code);
    };
    Ok(Doing { pid: child.pid, says: theirs })
}

impl Doing {
    /// Waits until it is done.
    pub(crate) fn end(self) -> Result<()> {
        self.answer().map(drop)
    }

    fn answer(self) -> Result<Vec<u8>> {
        const WHAT: &str = "waiting for a process";
        const MESSAGE_LIMIT_BYTES: usize = 64 * 1024;
        let message = sys::fs::read_to_end(&self.says, MESSAGE_LIMIT_BYTES).during(|| WHAT)?;
        match sys::wait::child(self.pid, true).during(|| WHAT)? {
            Some((_, exit)) if exit.shell_code() == 0 => Ok(message),
            _ => Err(Error::decode(&message)),
        }
    }
}
