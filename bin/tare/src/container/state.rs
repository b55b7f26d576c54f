//! `tare wait`, `tare pause`, `tare unpause`, `tare rename` and `tare port`.

use super::which::{self, Which};
use crate::failure::{Failure, Result};
use crate::output;
use crate::settings::Global;
use clap::{Args, ValueEnum};
use engine::record::status;
use engine::{Attach, Container, Engine};
use std::time::Duration;

/// Wait until containers have ended, and print their exit codes
#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// What to wait for; of several, whatever comes first (repeated)
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "not-running",
        ignore_case = true
    )]
    condition: Vec<Condition>,
    /// Containers that are not there have ended, with -1
    #[arg(long)]
    ignore: bool,
    /// podman's: time between looks, of which none are needed here
    #[arg(short, long, value_name = "TIME", hide = true)]
    interval: Option<String>,
    /// The container that was made last
    #[arg(short, long)]
    latest: bool,
    /// Containers: names, or the beginnings of IDs
    #[arg(required_unless_present = "latest", value_name = "CONTAINER")]
    containers: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Condition {
    /// It does not run
    #[value(alias = "stopped", alias = "exited")]
    NotRunning,
    /// It has ended once more
    NextExit,
    /// It is not there any more
    Removed,
    /// It is being removed, or is not there any more
    Removing,
    /// It was made, and not started
    #[value(alias = "configured")]
    Created,
    /// It runs
    Running,
    /// It runs, and was asked to end
    Stopping,
    /// It is paused
    Paused,
    /// Its health check succeeds
    Healthy,
    /// Its health check fails
    Unhealthy,
}

/// Between looks at a container's state.
const LOOK: Duration = Duration::from_millis(50);
/// podman's exit code of a container that has not ended.
const NO_CODE: i32 = -1;

impl Condition {
    /// Whether it is so; one that `has_run` may have ended once more. A container that is not there is removed.
    fn holds(self, container: &Container, has_run: bool) -> bool {
        let health = container.state.health.as_ref().map_or("", |health| &health.status);
        let is_over = !container.supervised && !container.is_running();
        match self {
            Self::NotRunning => is_over,
            Self::NextExit => is_over && has_run,
            Self::Removed | Self::Removing => false,
            Self::Created => container.status() == status::CREATED,
            Self::Running => container.status() == status::RUNNING,
            Self::Stopping => container.is_running() && container.state.stopped,
            Self::Paused => container.status() == status::PAUSED,
            Self::Healthy => health == "healthy",
            Self::Unhealthy => health == "unhealthy",
        }
    }
}

/// Waits for the first of several conditions, or for one that is no end.
fn wait_for_any(engine: &Engine, id: &str, conditions: &[Condition]) -> Result<i32> {
    let mut has_run = false;
    let mut code = NO_CODE;
    loop {
        let Some(container) = engine.load(id)? else {
            let waits_for_it =
                |it: &Condition| matches!(it, Condition::Removed | Condition::Removing);
            let text = format!("No such container: {id}");
            return match conditions.iter().any(waits_for_it) {
                true => Ok(code),
                false => Err(engine::Error::new(engine::Kind::NotFound, text).into()),
            };
        };
        code = if container.is_running() { NO_CODE } else { container.state.exit_code };
        if let Some(condition) = conditions.iter().find(|it| it.holds(&container, has_run)) {
            let is_end = matches!(condition, Condition::NotRunning | Condition::NextExit);
            return Ok(if is_end { code } else { NO_CODE });
        }
        has_run |= container.is_running();
        std::thread::sleep(LOOK);
    }
}

/// Waits for an end that the container's supervisor tells of: the first one, or the last.
fn wait_for_end(engine: &Engine, container: &Container, for_good: bool) -> Result<i32> {
    if let Ok(mut session) = engine::connect(container, Attach::default())
        && let Some(code) = session.wait(for_good)?
    {
        return Ok(code);
    }
    Ok(engine.wait_for_end(&container.config.id)?)
}

/// Waits until a container is not there any more; its last exit code.
fn wait_until_removed(engine: &Engine, container: &Container) -> Result<i32> {
    let id = &container.config.id;
    let mut code = container.state.exit_code;
    while let Some(now) = engine.load(id)? {
        if now.supervised || now.is_running() {
            code = wait_for_end(engine, &now, true)?;
        } else {
            code = now.state.exit_code;
            std::thread::sleep(LOOK);
        }
    }
    Ok(code)
}

fn wait_for(engine: &Engine, name: &str, conditions: &[Condition]) -> Result<i32> {
    let container = engine.find(name)?;
    match conditions {
        [Condition::NotRunning] if !container.supervised && !container.is_running() => {
            Ok(container.state.exit_code)
        }
        [Condition::NotRunning | Condition::NextExit] => wait_for_end(engine, &container, false),
        [Condition::Removed | Condition::Removing] => wait_until_removed(engine, &container),
        several => wait_for_any(engine, &container.config.id, several),
    }
}

pub(crate) fn wait(global: &Global, arguments: &Wait) -> Result<u8> {
    let engine = super::open(global, false)?;
    let mut failed = 0;
    let mut names = arguments.containers.clone();
    if arguments.latest {
        names.push(which::latest(&engine)?.config.id);
    }
    for name in &names {
        match wait_for(&engine, name, &arguments.condition) {
            Ok(code) => output::write(format!("{code}\n").as_bytes())?,
            Err(failure) if arguments.ignore && failure.is_missing() => output::write(b"-1\n")?,
            Err(failure) => {
                failure.tell();
                failed = crate::own_code();
            }
        }
    }
    Ok(failed)
}

/// Stop the processes of containers for a while
#[derive(Debug, Args)]
pub(crate) struct Pause {
    /// All containers that run
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    which: Which,
    /// Containers: names, or the beginnings of IDs
    #[arg(required_unless_present_any = ["all", "latest", "filter", "cidfile"], value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(crate) fn pause(global: &Global, arguments: &Pause) -> Result<u8> {
    let engine = super::open(global, false)?;
    let runs = |container: &Container| container.status() == status::RUNNING;
    let all: Option<&dyn Fn(&Container) -> bool> = if arguments.all { Some(&runs) } else { None };
    let names = arguments.which.names(&engine, &arguments.containers, all)?;
    super::each(&engine, &names, |container| Ok(engine.pause(&container)?))
}

/// Let the processes of paused containers go on
#[derive(Debug, Args)]
pub(crate) struct Unpause {
    /// All containers that are paused
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    which: Which,
    /// Containers: names, or the beginnings of IDs
    #[arg(required_unless_present_any = ["all", "latest", "filter", "cidfile"], value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(crate) fn unpause(global: &Global, arguments: &Unpause) -> Result<u8> {
    let engine = super::open(global, false)?;
    let paused = |container: &Container| container.status() == status::PAUSED;
    let all: Option<&dyn Fn(&Container) -> bool> = if arguments.all { Some(&paused) } else { None };
    let names = arguments.which.names(&engine, &arguments.containers, all)?;
    super::each(&engine, &names, |container| Ok(engine.unpause(&container)?))
}

/// Give a container another name
#[derive(Debug, Args)]
pub(crate) struct Rename {
    /// The container: its name, or the beginning of its ID
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Its new name
    #[arg(value_name = "NAME")]
    name: String,
}

pub(crate) fn rename(global: &Global, arguments: &Rename) -> Result<()> {
    let engine = super::open(global, false)?;
    Ok(engine.rename(&engine.find(&arguments.container)?, &arguments.name)?)
}

/// Show the published ports of a container
#[derive(Debug, Args)]
pub(crate) struct Port {
    /// Those of all containers
    #[arg(short, long)]
    all: bool,
    /// The container that was made last
    #[arg(short, long)]
    latest: bool,
    /// The container: its name, or the beginning of its ID
    #[arg(required_unless_present_any = ["all", "latest"], value_name = "CONTAINER")]
    container: Option<String>,
    /// Only this one
    #[arg(value_name = "PORT[/PROTOCOL]")]
    port: Option<String>,
}

pub(crate) fn port(global: &Global, arguments: &Port) -> Result<()> {
    let engine = super::open(global, true)?;
    if arguments.all {
        let mut text = String::new();
        for container in engine.list()? {
            let short: String = container.config.id.chars().take(12).collect();
            for port in ports(&container) {
                text.push_str(&format!(
                    "{short}\t{}/{} -> {}:{}\n",
                    port.container, port.protocol, port.host_ip, port.host
                ));
            }
        }
        return output::write(text.as_bytes());
    }
    let container = which::one(&engine, arguments.container.as_ref(), arguments.latest)?;
    let wanted = arguments.port.as_deref().map(|port| match port.contains('/') {
        true => port.to_owned(),
        false => format!("{port}/tcp"),
    });
    let mut text = String::new();
    for port in ports(&container) {
        let inside = format!("{}/{}", port.container, port.protocol);
        let outside = match port.host_ip.contains(':') {
            true => format!("[{}]:{}", port.host_ip, port.host),
            false => format!("{}:{}", port.host_ip, port.host),
        };
        match &wanted {
            Some(wanted) if *wanted == inside => text.push_str(&format!("{outside}\n")),
            Some(_) => {}
            None => text.push_str(&format!("{inside} -> {outside}\n")),
        }
    }
    match &wanted {
        Some(wanted) if text.is_empty() => Err(Failure::new(format!(
            "no public port '{wanted}' published for {}",
            container.config.name
        ))),
        _ => output::write(text.as_bytes()),
    }
}

/// Of one that runs.
fn ports(container: &Container) -> &[engine::record::Port] {
    if container.is_running() { &container.state.ports } else { &[] }
}
