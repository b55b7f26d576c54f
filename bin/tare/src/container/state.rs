//! `tare wait`, `tare pause`, `tare unpause`, `tare rename` and `tare port`.

use crate::failure::{Failure, Result};
use crate::output;
use crate::settings::Global;
use clap::{Args, ValueEnum};
use engine::{Attach, Container};

/// Wait until containers have ended, and print their exit codes
#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// What to wait for
    #[arg(long, value_enum, default_value_t = Condition::NotRunning)]
    condition: Condition,
    /// Containers: names, or the beginnings of IDs
    #[arg(required = true, value_name = "CONTAINER")]
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
}

pub(crate) fn wait(global: &Global, arguments: &Wait) -> Result<u8> {
    let engine = super::open(global, false)?;
    let mut failed = 0;
    for name in &arguments.containers {
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
            Err(failure) => {
                failure.tell();
                failed = 1;
            }
        }
    }
    Ok(failed)
}

/// Stop the processes of containers for a while
#[derive(Debug, Args)]
pub(crate) struct Pause {
    /// Containers: names, or the beginnings of IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(crate) fn pause(global: &Global, arguments: &Pause) -> Result<u8> {
    let engine = super::open(global, false)?;
    super::each(&engine, &arguments.containers, |container| Ok(engine.pause(&container)?))
}

/// Let the processes of paused containers go on
#[derive(Debug, Args)]
pub(crate) struct Unpause {
    /// Containers: names, or the beginnings of IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(crate) fn unpause(global: &Global, arguments: &Unpause) -> Result<u8> {
    let engine = super::open(global, false)?;
    super::each(&engine, &arguments.containers, |container| Ok(engine.unpause(&container)?))
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
    /// The container: its name, or the beginning of its ID
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Only this one
    #[arg(value_name = "PORT[/PROTOCOL]")]
    port: Option<String>,
}

pub(crate) fn port(global: &Global, arguments: &Port) -> Result<()> {
    let engine = super::open(global, true)?;
    let container = engine.find(&arguments.container)?;
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
            arguments.container
        ))),
        _ => output::write(text.as_bytes()),
    }
}

/// Of one that runs.
fn ports(container: &Container) -> &[engine::record::Port] {
    if container.is_running() { &container.state.ports } else { &[] }
}
