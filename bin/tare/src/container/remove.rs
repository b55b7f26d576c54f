//! `tare rm` and `tare container prune`.

use super::which::resolve;
use crate::called::Called;
use crate::failure::{Failure, Result};
use crate::image::prune::confirm;
use crate::output;
use crate::settings::Global;
use clap::Args;
use engine::{Container, Engine};
use std::path::PathBuf;

/// Remove containers
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tare rm -f $(tare ps -aq)")]
pub(crate) struct Remove {
    /// Kill those that run
    #[arg(short, long)]
    force: bool,
    /// Remove their anonymous volumes, too
    #[arg(short, long)]
    volumes: bool,
    /// Not here: links are lines of /etc/hosts. Without names -l is podman's --latest
    #[arg(short, long, hide = true)]
    link: bool,
    /// All containers
    #[arg(short, long)]
    all: bool,
    /// Containers that are not there are no mistake
    #[arg(short, long)]
    ignore: bool,
    /// Seconds before SIGKILL, with --force
    #[arg(
        short,
        long = "time",
        value_name = "SECONDS",
        default_value_t = 0,
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    time: i64,
    /// Those that need one, too: they share its namespaces
    #[arg(long)]
    depend: bool,
    /// The container that was made last
    #[arg(long)]
    latest: bool,
    /// A file with a container's ID (repeated)
    #[arg(long, value_name = "FILE")]
    cidfile: Vec<PathBuf>,
    /// Those for which this holds (repeated), as `tare ps` has it
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Containers: names, or the beginnings of IDs
    #[arg(required_unless_present_any = ["all", "latest", "link", "filter", "cidfile"], value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(crate) fn run(global: &Global, arguments: &Remove) -> Result<u8> {
    let latest = arguments.latest || arguments.link && arguments.containers.is_empty();
    if arguments.link && !latest {
        return Err(Failure::new("--link: links are lines of the container's /etc/hosts")
            .hint("they go with the container"));
    }
    let engine = super::open(global, false)?;
    let any = |_: &Container| true;
    let all: Option<&dyn Fn(&Container) -> bool> = if arguments.all { Some(&any) } else { None };
    let ways = (latest, &arguments.cidfile[..], &arguments.filter[..]);
    let names = resolve(&engine, &arguments.containers, ways, all, arguments.ignore)?;
    let names = if arguments.depend { with_dependents(&engine, names)? } else { names };
    let mut code = 0;
    for name in &names {
        let removed = match engine.find(name) {
            // What somebody else has removed is gone, as it should be.
            Err(error)
                if error.kind() == engine::Kind::NotFound
                    && (arguments.ignore || arguments.all) =>
            {
                continue;
            }
            Err(error) if error.kind() == engine::Kind::NotFound && arguments.force => {
                // docker tells of it, podman does not.
                if !Called::is_podman() {
                    Failure::from(error).tell();
                }
                continue;
            }
            result => result.map_err(Failure::from).and_then(|it| {
                remove(&engine, &it, arguments).map_err(|failure| podmans(failure, &it))
            }),
        };
        match removed {
            Ok(()) => super::start::tell(name)?,
            Err(failure) => {
                match Called::is_podman() && failure.is_missing() {
                    true => Failure::new(format!(
                        "no container with ID or name {name:?} found: no such container"
                    ))
                    .tell(),
                    false => failure.tell(),
                }
                // podman's code for what is used.
                let own = if Called::is_podman() && failure.is_in_use() { 2 } else { 1 };
                code = code.max(own);
            }
        }
    }
    Ok(code)
}

/// podman's words for a container that runs, to its users.
fn podmans(failure: Failure, container: &Container) -> Failure {
    if !Called::is_podman() || !failure.is_in_use() {
        return failure;
    }
    let text = format!(
        "cannot remove container {} as it is {} - running or paused containers cannot be removed without force: \
         container state improper",
        container.config.id,
        container.status()
    );
    Failure::new(text).in_use()
}

/// The containers with those that share namespaces of theirs, which go first.
fn with_dependents(engine: &Engine, names: Vec<String>) -> Result<Vec<String>> {
    let all = engine.list()?;
    let mut found = Vec::new();
    for name in names {
        if let Ok(container) = engine.find(&name) {
            let needs = |it: &&Container| needs(it, &container.config);
            found.extend(all.iter().filter(needs).map(|it| it.config.id.clone()));
        }
        found.push(name);
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|name| seen.insert(name.clone()));
    Ok(found)
}

/// Whether a container shares a namespace of another one.
fn needs(container: &Container, other: &engine::record::Config) -> bool {
    let names = &container.config.namespaces;
    [&container.config.network.mode, &names.ipc, &names.pid, &names.uts, &names.cgroup]
        .into_iter()
        .filter_map(|mode| mode.strip_prefix("container:"))
        .any(|name| name == other.name || (name.len() >= 12 && other.id.starts_with(name)))
}

fn remove(engine: &Engine, container: &Container, arguments: &Remove) -> Result<()> {
    match arguments.force {
        true => engine.remove_by_force(container, arguments.time)?,
        false => engine.remove(container)?,
    }
    if arguments.volumes {
        engine.remove_anonymous(&container.config.mounts);
    }
    Ok(())
}

/// Remove containers that do not run
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only those for which this holds (repeated): until=TIME, label=KEY[=VALUE], label!=...
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
}

pub(crate) fn prune(global: &Global, arguments: &Prune) -> Result<()> {
    let engine = super::open(global, false)?;
    if !arguments.force && !confirm("all containers that do not run")? {
        return Ok(());
    }
    let (removed, freed) = prune_stopped(&engine, &arguments.filter)?;
    let total = template::units::decimal_size(freed, 4);
    output::write(format!("{removed}Total reclaimed space: {total}\n").as_bytes())
}

/// Removes containers that do not run; says which, and how many bytes that frees.
pub(crate) fn prune_stopped(engine: &Engine, filter: &[String]) -> Result<(String, u64)> {
    let filters = super::list::Filters::read(engine, filter, &["label", "until"])?;
    let (mut text, mut freed) = (String::new(), 0);
    for container in engine.list()? {
        if container.is_running() || container.supervised || !filters.choose(&container) {
            continue;
        }
        let size = engine.writable_bytes(&container.config.id);
        // One that was started meanwhile stays.
        if engine.remove(&container).is_ok() {
            if text.is_empty() {
                text.push_str("Deleted Containers:\n");
            }
            text.push_str(&format!("{}\n", container.config.id));
            freed += size;
        }
    }
    if !text.is_empty() {
        text.push('\n');
    }
    Ok((text, freed))
}
