//! `tare run IMAGE`: an image of the store, pulled if it is not there, with a writable layer that goes with the
//! container.

use super::spec::{Bind, Plan, Users};
use super::userns::{self, Mapping};
use super::{Failure, enter, spec, users};
use crate::caller::Caller;
use crate::cli::Run;
use crate::image::now;
use crate::image::pull::{Policy, Pull};
use crate::settings::{self, Global, Settings};
use images::View;
use oci::image::ContainerConfig;
use runtime::Host;
use runtime::config::ContainerId;
use std::fs;
use std::path::{Path, PathBuf};
use store::{Container, ContainerRecord, HeldMount, Store};
use sys::mount::MNT_DETACH;

/// Containers of this verb: what killed ones have left is removed by the next.
const PREFIX: &str = "run-";
/// Somebody else's sweep may take a container that nobody has open yet.
const TRIES: usize = 8;

/// Runs a container in the foreground; returns the program's exit code.
pub(super) fn run(global: &Global, arguments: &Run) -> Result<u8, Failure> {
    if !arguments.with.is_empty() {
        return Err(Failure::new("--with: it packs programs of this machine for host:PROGRAM"));
    }
    let settings = Settings::load(global)?;
    bring(&settings, arguments)?;
    let (caller, rights) = (Caller::new(), settings.caller.rights());
    let users = enter::enter(&caller)?;
    let mapping = userns::resolve(&arguments.users, &caller, users)?;
    // What is stacked has to be of the mount namespace that it is stacked in.
    let store = settings::open_store(global, &caller, false)?;
    let host = Host { rootless: users != Users::Host, ..super::host_of(&caller) };
    sweep(&store, &host);
    let found = images::find(&store, &arguments.image)?;
    let wanted = arguments.platform.wanted(settings.wanted())?;
    let view = View::open(&store, &found.digest, &found.media_type, Some(&wanted), rights)?;
    let config = view.config.clone().and_then(|config| config.config).unwrap_or_default();
    if view.config.is_none() {
        return Err(Failure::new(format!("{}: an artifact is no image", arguments.image)));
    }
    let name = match &arguments.name {
        Some(name) => name.clone(),
        None => super::random_name()?,
    };
    let id = ContainerId::parse(&name)?;
    let rootfs = Rootfs::make(&store, &view, &name, mapping.as_ref())?;
    let root = rootfs.open()?;
    let kept = mapping.as_ref().and_then(|it| it.user).map(|(uid, gid)| format!("{uid}:{gid}"));
    let user = users::of_image(&root, arguments.user.as_deref().or(kept.as_deref()), &config)?;
    if let Some(mapping) = &mapping {
        mapping.admit(&user)?;
    } else if users == Users::EnteredAlone && user.uid != 0 {
        return Err(Failure::new(format!(
            "user {}: there is room for one user only, who is root",
            user.uid
        ))
        .hint(
            "have ranges in /etc/subuid and /etc/subgid, and the package uidmap; or --user root",
        ));
    }
    let args = words(arguments, &config)?;
    let plan = Plan {
        name: &name,
        args,
        env: environment(arguments, &config, &user.home)?,
        cwd: working_directory(arguments, &config)?,
        user,
        rootfs: &rootfs.root,
        is_read_only: arguments.read_only,
        has_own_directories: true,
        binds: rootfs.write_files(arguments, &name, mapping.as_ref())?,
        // The others are in the writable layer, which goes with the container as they would.
        volumes: config.volumes.keys().filter(|_| arguments.read_only).cloned().collect(),
        users,
        mapping: mapping.as_ref(),
    };
    let spec = spec::build(arguments, &plan)?;
    drop(root);
    super::start(arguments, &host, &id, spec, &rootfs.root)
}

/// Sees that the store has the image, as `--pull` says. It is pulled by a process of its own, because making
/// namespaces and having threads do not go together.
fn bring(settings: &Settings<'_>, arguments: &Run) -> Result<(), Failure> {
    let is_there = || -> Result<bool, Failure> {
        let store = settings.store(true)?;
        match images::find(&store, &arguments.image) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == images::Kind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    };
    match arguments.pull {
        Policy::Missing if is_there()? => return Ok(()),
        Policy::Never if is_there()? => return Ok(()),
        Policy::Never => {
            return Err(Failure::new(format!("{}: it is not in the store", arguments.image))
                .hint("leave --pull=never out, or `tare pull` it"));
        }
        _ => {}
    }
    let failed = |errno: sys::Errno| Failure::new(format!("pulling {}: {errno}", arguments.image));
    let Some(child) = sys::process::fork_plain().map_err(failed)? else {
        let pull = Pull::for_run(arguments);
        let code = match crate::image::pull::run(settings.global, &pull) {
            Ok(()) => 0,
            Err(failure) => {
                failure.tell();
                failure.exit_code(crate::RUN_FAILED)
            }
        };
        std::process::exit(code.into());
    };
    match sys::wait::child(child.pid, true).map_err(failed)? {
        Some((_, exit)) if exit.shell_code() == 0 => Ok(()),
        // It has said why.
        Some((_, exit)) => {
            Err(Failure::told(u8::try_from(exit.shell_code()).unwrap_or(crate::RUN_FAILED)))
        }
        None => Err(failed(sys::Errno::ECHILD)),
    }
}

/// Removes containers whose command is gone, with what still runs in them.
fn sweep(store: &Store, host: &Host) {
    for id in store.containers().into_iter().flatten() {
        let Some(name) = id.strip_prefix(PREFIX) else { continue };
        if store.is_open(&id).unwrap_or(true) {
            continue;
        }
        let is_of_this_store = |name| match runtime::verbs::look_up(host, name) {
            Ok((_, record, _)) => Path::new(&record.bundle) == root_of(store, &id),
            Err(_) => false,
        };
        if let Ok(name) = ContainerId::parse(name)
            && is_of_this_store(&name)
        {
            let _ = runtime::verbs::delete(host, &name, true, &mut Vec::new());
        }
        // One that somebody has opened by now says so.
        let _ = store.remove_container(&id);
    }
}

/// Where the root directory of a container is, in full: the runtime's paths start at the bundle.
fn root_of(store: &Store, id: &str) -> PathBuf {
    let path = std::path::absolute(store.path()).unwrap_or_else(|_| store.path().to_path_buf());
    path.join("containers").join(id).join("merged")
}

/// A root directory that goes when this is dropped.
struct Rootfs<'s> {
    store: &'s Store,
    id: String,
    container: Option<Container>,
    mount: Option<HeldMount>,
    root: PathBuf,
}

impl<'s> Rootfs<'s> {
    fn make(
        store: &'s Store,
        view: &View,
        name: &str,
        mapping: Option<&Mapping>,
    ) -> Result<Self, Failure> {
        let layers = view.all_layers()?;
        let id = format!("{PREFIX}{name}");
        for _ in 0..TRIES {
            let record = ContainerRecord {
                id: id.clone(),
                image: (*view.manifest.digest()).into(),
                layers: layers.iter().map(ToString::to_string).collect(),
                time_s: now(),
            };
            let mut work = store.begin()?;
            work.create_container(&record)?;
            let container = match store.container(&id) {
                Err(error) if error.kind() == store::Kind::NotFound => continue,
                result => result?,
            };
            work.finish()?;
            let root = root_of(store, &id);
            let mut made = Self { store, id, container: Some(container), mount: None, root };
            made.mount(mapping)?;
            return Ok(made);
        }
        Err(Failure::new("making a container: others remove it again and again"))
    }

    fn mount(&mut self, mapping: Option<&Mapping>) -> Result<(), Failure> {
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            Failure::new(format!("{what} {}: {error}", self.root.display()))
        };
        fs::create_dir(&self.root).map_err(|error| failed("making", &error))?;
        let Some(container) = &self.container else { return Ok(()) };
        let view = store::View::Container(container);
        let users = mapping.map(Mapping::for_files).transpose()?.flatten();
        let mount = match (&users, mapping.and_then(Mapping::root)) {
            (Some(users), Some(root)) => {
                self.store.mount_held_mapped(view, store::Mapping { users, root })?
            }
            _ => self.store.mount_held(view)?,
        };
        let place = self.open()?;
        sys::mount::attach(mount.mount(), &place).map_err(|errno| failed("mounting at", &errno))?;
        self.mount = Some(mount);
        Ok(())
    }

    fn open(&self) -> Result<sys::Fd, Failure> {
        use std::os::unix::ffi::OsStrExt;
        let flags = sys::fs::O_PATH | sys::fs::O_DIRECTORY;
        sys::fs::open_at(sys::CWD, self.root.as_os_str().as_bytes(), flags, 0)
            .map_err(|errno| Failure::new(format!("opening {}: {errno}", self.root.display())))
    }

    /// The files that say where the container is: not the image's business, and bound over its own.
    fn write_files(
        &self,
        arguments: &Run,
        name: &str,
        mapping: Option<&Mapping>,
    ) -> Result<Vec<Bind>, Failure> {
        let host = arguments.hostname.as_deref().unwrap_or(name);
        let of_host = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let has_host = arguments.network == crate::cli::Network::Host;
        let hosts = match has_host {
            true => of_host("/etc/hosts"),
            false => format!(
                "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t{host}\n"
            ),
        };
        let resolvers = if has_host { of_host("/etc/resolv.conf") } else { String::new() };
        let dir = self.root.with_file_name("files");
        let failed =
            |path: &Path, error| Failure::new(format!("writing {}: {error}", path.display()));
        fs::create_dir(&dir).map_err(|error| failed(&dir, error))?;
        let mut binds = Vec::new();
        for (name, text) in
            [("hosts", hosts), ("resolv.conf", resolvers), ("hostname", format!("{host}\n"))]
        {
            let source = dir.join(name);
            fs::write(&source, text).map_err(|error| failed(&source, error))?;
            if let Some((uid, gid)) = mapping.and_then(Mapping::root) {
                std::os::unix::fs::chown(&source, Some(uid), Some(gid))
                    .map_err(|error| failed(&source, error))?;
            }
            binds.push(Bind { source, target: format!("/etc/{name}") });
        }
        Ok(binds)
    }
}

impl Drop for Rootfs<'_> {
    fn drop(&mut self) {
        use std::os::unix::ffi::OsStrExt;
        // What cannot be removed now is swept by the next command of this kind.
        let _ = sys::mount::unmount(self.root.as_os_str().as_bytes(), MNT_DETACH);
        drop((self.mount.take(), self.container.take()));
        let _ = self.store.remove_container(&self.id);
    }
}

/// What is run: as docker has it, an entry point and what follows it.
fn words(arguments: &Run, config: &ContainerConfig) -> Result<Vec<String>, Failure> {
    let (entrypoint, usual) = match &arguments.entrypoint {
        // Another entry point has not the arguments of the image's own.
        Some(text) => (super::parse::entrypoint(text)?, Vec::new()),
        None => (config.entrypoint.0.clone(), config.cmd.0.clone()),
    };
    let rest = if arguments.args.is_empty() { usual } else { arguments.args.clone() };
    let words: Vec<String> = entrypoint.into_iter().chain(rest).collect();
    match words.is_empty() {
        true => Err(Failure::new(format!("{}: the image has no command", arguments.image))
            .hint("write one behind it")),
        false => Ok(words),
    }
}

fn environment(
    arguments: &Run,
    config: &ContainerConfig,
    home: &str,
) -> Result<Vec<String>, Failure> {
    let mut env = config.env.clone();
    let has = |env: &[String], name: &str| env.iter().any(|it| it.split('=').next() == Some(name));
    if !has(&env, "HOME") {
        env.push(format!("HOME={home}"));
    }
    for file in &arguments.env_file {
        env.extend(super::parse::env_file(file)?);
    }
    Ok(env)
}

fn working_directory(arguments: &Run, config: &ContainerConfig) -> Result<String, Failure> {
    let chosen = arguments.workdir.as_deref().unwrap_or(&config.working_dir);
    match chosen {
        "" => Ok("/".into()),
        path if path.starts_with('/') => Ok(path.to_owned()),
        path if arguments.workdir.is_none() => Ok(format!("/{path}")),
        path => Err(Failure::new(format!("--workdir: {path:?} is not an absolute path"))),
    }
}
