//! Verbs about containers.

pub(crate) mod attach;
mod beyond;
pub(crate) mod commit;
mod config;
pub(crate) mod copy;
mod defaults;
pub(crate) mod devices;
pub(crate) mod diff;
mod directory;
pub(crate) mod exec;
pub(crate) mod exists;
pub(crate) mod export;
mod health;
mod host;
mod image;
pub(crate) mod inspect;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod mount;
mod mounts;
mod networks;
pub(crate) mod options;
mod parse;
mod podmans_view;
pub(crate) mod remove;
mod rmi;
mod rootfs;
pub(crate) mod rows;
pub(crate) mod run;
mod secrets;
pub(crate) mod start;
pub(crate) mod state;
pub(crate) mod stats;
pub(crate) mod stop;
pub(crate) mod top;
pub(crate) mod update;
mod view;
pub(crate) mod which;

use crate::caller::Caller;
use crate::failure::{Failure, Result};
use crate::settings::{Global, Settings, store_paths};
use engine::{Container, Engine, Place};
use runtime::Host;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

impl From<pkg::Error> for Failure {
    fn from(error: pkg::Error) -> Self {
        let code = if error.kind() == pkg::ErrorKind::NotFound { 127 } else { 125 };
        Self::from_parts(code, error.to_string(), error.hint())
    }
}

/// Verbs about containers, under the noun
#[derive(Debug, clap::Args)]
pub(crate) struct Noun {
    #[command(subcommand)]
    verb: NounVerb,
}

#[derive(Debug, clap::Subcommand)]
enum NounVerb {
    Attach(attach::AttachArgs),
    Commit(commit::Commit),
    Cp(copy::Cp),
    Create(Box<run::Create>),
    Diff(diff::Diff),
    Exec(exec::Exec),
    Exists(exists::Exists),
    Export(export::Export),
    Inspect(inspect::Inspect),
    Kill(stop::Kill),
    #[command(visible_aliases = ["list", "ps"])]
    Ls(list::List),
    Logs(logs::Logs),
    Mount(mount::Mount),
    Pause(state::Pause),
    Port(state::Port),
    Prune(remove::Prune),
    Rename(state::Rename),
    Restart(stop::Restart),
    #[command(visible_alias = "remove")]
    Rm(remove::Remove),
    Run(Box<run::Run>),
    Start(start::Start),
    Stats(stats::Stats),
    Stop(stop::Stop),
    Top(top::Top),
    #[command(visible_alias = "umount")]
    Unmount(mount::Unmount),
    Unpause(state::Unpause),
    Update(Box<update::Update>),
    Wait(state::Wait),
}

pub(crate) fn noun(global: &Global, noun: &Noun) -> Result<u8> {
    match &noun.verb {
        NounVerb::Attach(arguments) => return attach::run(global, arguments),
        NounVerb::Commit(arguments) => commit::run(global, arguments)?,
        NounVerb::Diff(arguments) => diff::run(global, arguments)?,
        NounVerb::Export(arguments) => export::run(global, arguments)?,
        NounVerb::Stats(arguments) => stats::run(global, arguments)?,
        NounVerb::Top(arguments) => top::run(global, arguments)?,
        NounVerb::Update(arguments) => return update::run(global, arguments),
        NounVerb::Cp(arguments) => copy::run(global, arguments)?,
        NounVerb::Create(arguments) => run::create(global, arguments)?,
        NounVerb::Exec(arguments) => return exec::run(global, arguments),
        NounVerb::Exists(arguments) => return exists::run(global, arguments),
        NounVerb::Inspect(arguments) => return inspect::run(global, arguments),
        NounVerb::Kill(arguments) => return stop::kill(global, arguments),
        NounVerb::Ls(arguments) => list::run(global, arguments)?,
        NounVerb::Logs(arguments) => logs::run(global, arguments)?,
        NounVerb::Mount(arguments) => return mount::mount(global, arguments),
        NounVerb::Pause(arguments) => return state::pause(global, arguments),
        NounVerb::Port(arguments) => state::port(global, arguments)?,
        NounVerb::Prune(arguments) => remove::prune(global, arguments)?,
        NounVerb::Rename(arguments) => state::rename(global, arguments)?,
        NounVerb::Restart(arguments) => return stop::restart(global, arguments),
        NounVerb::Rm(arguments) => return remove::run(global, arguments),
        NounVerb::Run(arguments) => return run::run(global, arguments),
        NounVerb::Start(arguments) => return start::run(global, arguments),
        NounVerb::Stop(arguments) => return stop::stop(global, arguments),
        NounVerb::Unmount(arguments) => return mount::unmount(global, arguments),
        NounVerb::Unpause(arguments) => return state::unpause(global, arguments),
        NounVerb::Wait(arguments) => return state::wait(global, arguments),
    }
    Ok(0)
}

/// Where containers are.
pub(crate) fn place(global: &Global, caller: &Caller) -> Result<Place> {
    caller.make_state_root()?;
    let (root, runroot) = store_paths(global, caller);
    // A supervisor's current directory is another one.
    let absolute = |path: std::path::PathBuf| std::path::absolute(&path).unwrap_or(path);
    Ok(Place {
        root: absolute(root),
        runroot: absolute(runroot),
        options: store::Options::default(),
        host: Host {
            root: caller.state_root().to_string_lossy().into_owned(),
            rootless: !sys::ids::is_administrator(),
            ..Host::default()
        },
        uid: caller.uid,
        gid: caller.gid,
        removes_image: Some(rmi::remove),
        notify_socket: std::env::var("NOTIFY_SOCKET").ok().filter(|it| !it.is_empty()),
    })
}

/// The ID of the container that was made last.
pub(crate) fn latest(global: &Global) -> Result<String> {
    Ok(which::latest(&open(global, true)?)?.config.id)
}

/// Opens the containers of the store that the options name.
pub(crate) fn open(global: &Global, read_only: bool) -> Result<Engine> {
    let place = place(global, &Caller::new())?;
    // A store that nobody has made yet is empty: looking at it makes it.
    let read_only = read_only && place.root.join("engine").exists();
    Ok(Engine::open(place, read_only)?)
}

/// The same for a container of an image, which is pulled first if it has to be.
pub(crate) fn open_for(global: &Global, arguments: &options::ContainerArgs) -> Result<Engine> {
    if !arguments.is_of_host() && !arguments.rootfs {
        image::bring(&Settings::local(global), arguments, arguments.image())?;
    }
    open(global, false)
}

/// Does something to each of the named containers, as docker: what was done is printed, what failed is told, and the
/// others go on.
pub(crate) fn each(
    engine: &Engine,
    names: &[String],
    action: impl Fn(Container) -> Result<()>,
) -> Result<u8> {
    let mut code = 0;
    for name in names {
        match engine.find(name).map_err(Failure::from).and_then(&action) {
            Ok(()) => crate::output::write(format!("{name}\n").as_bytes())?,
            Err(failure) => {
                failure.tell();
                code = failure.exit_code(crate::own_code());
            }
        }
    }
    Ok(code)
}

/// Bytes of a container's layers, which it shares with its image.
pub(crate) fn image_bytes(engine: &Engine, container: &Container) -> u64 {
    let store = engine.store();
    let keys = store.container(&container.config.id).and_then(|it| it.record.keys());
    let layers = keys.unwrap_or_default().into_iter().filter_map(|key| store.layer(&key).ok()?);
    layers.map(|layer| layer.meta.disk_bytes).sum()
}

/// The program's own file is out of the reach of containers from here on.
pub(crate) fn seal() -> Result<()> {
    let args: Vec<OsString> = std::env::args_os().collect();
    let env: Vec<OsString> = std::env::vars_os()
        .map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            name
        })
        .collect();
    let bytes = |list: &[OsString]| list.iter().map(|s| s.as_bytes().to_vec()).collect::<Vec<_>>();
    Ok(runtime::seal::ensure(&bytes(&args), &bytes(&env)).map_err(engine::Error::from)?)
}
