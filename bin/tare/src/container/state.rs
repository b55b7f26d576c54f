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
    /// What to wait for
    #[arg(long, value_enum, default_value_t = Condition::NotRunning, ignore_case = true)]
    condition: Condition,
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
    /// It was made, and not started
    Created,
    /// It runs
    Running,
    /// It is paused
    Paused,
    /// Its health check succeeds
    Healthy,
    /// Its health check fails
    Unhealthy,
}

/// Between looks at a container's state.
const LOOK: Duration = Duration::from_millis(50);

impl Condition {
    /// Whether it is a state that is looked for, and no end that somebody tells of.
    fn is_state(self) -> bool {
        !matches!(self, Self::NotRunning | Self::NextExit | Self::Removed)
    }

    fn holds(self, container: &Container) -> bool {
        let health = container.state.health.as_ref().map_or("", |health| &health.status);
        match self {
            Self::Created => container.status() == status::CREATED,
            Self::Running => container.status() == status::RUNNING,
            Self::Paused => container.status() == status::PAUSED,
            Self::Healthy => health == "healthy",
            Self::Unhealthy => health == "unhealthy",
            Self::NotRunning | Self::NextExit | Self::Removed => false,
        }
    }
}

/// Waits for a state; -1 is the exit code of what has none.
fn wait_for_state(engine: &Engine, name: &str, condition: Condition) -> Result<i32> {
    loop {
        let container = engine.find(name)?;
        if condition.holds(&container) {
            return Ok(-1);
        }
        std::thread::sleep(LOOK);
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
        if arguments.condition.is_state() {
            let code = wait_for_state(&engine, name, arguments.condition)?;
            output::write(format!("{code}\n").as_bytes())?;
            continue;
        }
        let waited = engine.find(name).map_err(Failure::from).and_then(|container| {
            let is_over = !container.supervised && arguments.condition == Condition::NotRunning;
            if is_over && !container.is_running() {
                return Ok(container.state.exit_code);
            }
            Ok(match engine::connect(&container, Attach::default()) {
                Ok(mut session) => {
                    let for_good = arguments.condition == Condition::Removed;
                    match session.wait(for_good)? {
                        Some(code) => code,
                        None => engine.wait_for_end(&container.config.id)?,
                    }
                }
                Err(_) => engine.wait_for_end(&container.config.id)?,
            })
        });
        match waited {
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
    let mut container = engine.find(&arguments.container)?;
    Ok(engine.rename(&mut container, &arguments.name)?)
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
