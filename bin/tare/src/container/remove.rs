//! `tare rm` and `tare container prune`.

use crate::failure::{Failure, Result};
use crate::output;
use crate::settings::Global;
use clap::Args;
use engine::{Container, Engine};

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
    /// Not here: links are lines of /etc/hosts
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
        hide_default_value = true
    )]
    time: i64,
    /// Containers: names, or the beginnings of IDs
    #[arg(required_unless_present = "all", value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(crate) fn run(global: &Global, arguments: &Remove) -> Result<u8> {
    if arguments.link {
        return Err(Failure::new("--link: links are lines of the container's /etc/hosts")
            .hint("they go with the container"));
    }
    let engine = super::open(global, false)?;
    let names: Vec<String> = match arguments.all {
        true => engine.list()?.into_iter().map(|container| container.config.id).collect(),
        false => arguments.containers.clone(),
    };
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
                Failure::from(error).tell();
                continue;
            }
            result => result.map_err(Failure::from).and_then(|it| remove(&engine, &it, arguments)),
        };
        match removed {
            Ok(()) => super::start::tell(name)?,
            Err(failure) => {
                failure.tell();
                code = 1;
            }
        }
    }
    Ok(code)
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
    if !arguments.force && !confirm()? {
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

fn confirm() -> Result<bool> {
    output::write(b"WARNING! This will remove all stopped containers.\nAre you sure you want to continue? [y/N] ")?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}
