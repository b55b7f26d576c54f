//! `tare stop`, `tare kill` and `tare restart`.

use super::start;
use crate::failure::{Failure, Result};
use crate::settings::Global;
use clap::Args;
use engine::{Attach, Container, Engine};

/// docker's time between the stop signal and the end, in seconds.
const TIMEOUT_S: i64 = 10;

/// Stop containers: their stop signal, and SIGKILL when they do not end
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tare stop -t 30 database")]
pub(crate) struct Stop {
    #[command(flatten)]
    how: How,
    /// All containers that run
    #[arg(short, long)]
    all: bool,
    /// Containers that are not there are no mistake
    #[arg(short, long)]
    ignore: bool,
    /// Containers: names, or the beginnings of IDs
    #[arg(required_unless_present = "all", value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Stop and start containers
#[derive(Debug, Args)]
pub(crate) struct Restart {
    #[command(flatten)]
    how: How,
    /// Containers: names, or the beginnings of IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

#[derive(Debug, Args)]
struct How {
    /// Signal to send [default: the container's]
    #[arg(short, long, value_name = "SIGNAL")]
    signal: Option<String>,
    /// Seconds before SIGKILL; -1 for ever [default: the container's, or 10]
    #[arg(
        short,
        long = "timeout",
        visible_alias = "time",
        value_name = "SECONDS",
        allow_hyphen_values = true
    )]
    timeout: Option<i64>,
}

/// Send a signal to containers
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tare kill -s HUP web")]
pub(crate) struct Kill {
    /// Signal to send
    #[arg(short, long, value_name = "SIGNAL", default_value = "KILL")]
    signal: String,
    /// All containers that run
    #[arg(short, long)]
    all: bool,
    /// Containers: names, or the beginnings of IDs
    #[arg(required_unless_present = "all", value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(crate) fn stop(global: &Global, arguments: &Stop) -> Result<u8> {
    let engine = super::open(global, false)?;
    let mut names = names(&engine, &arguments.containers, arguments.all)?;
    if arguments.ignore {
        names.retain(|name| engine.find(name).is_ok());
    }
    super::each(&engine, &names, |container| end(&engine, &container, &arguments.how))
}

pub(crate) fn restart(global: &Global, arguments: &Restart) -> Result<u8> {
    super::seal()?;
    let engine = super::open(global, false)?;
    super::each(&engine, &arguments.containers, |container| {
        end(&engine, &container, &arguments.how)?;
        let container = engine.find(&container.config.id)?;
        start::start(&engine, &container, Attach::default())?;
        engine.tell("restart", &container.config, &[]);
        Ok(())
    })
}

pub(crate) fn kill(global: &Global, arguments: &Kill) -> Result<u8> {
    let signal = parse_signal(&arguments.signal)?;
    let engine = super::open(global, false)?;
    let names = names(&engine, &arguments.containers, arguments.all)?;
    super::each(&engine, &names, |container| {
        if !container.is_running() {
            return Err(Failure::new(format!(
                "cannot kill container: {}: container {} is not running",
                container.config.name, container.config.id
            )));
        }
        Ok(engine.signal(&container, signal)?)
    })
}

/// The named ones, or all that run.
fn names(engine: &Engine, named: &[String], all: bool) -> Result<Vec<String>> {
    match all {
        false => Ok(named.to_vec()),
        true => {
            let running = engine.list()?.into_iter().filter(Container::is_running);
            Ok(running.map(|container| container.config.id).collect())
        }
    }
}

fn end(engine: &Engine, container: &Container, how: &How) -> Result<()> {
    let signal = how.signal.as_deref().map_or(Ok(0), parse_signal)?;
    let timeout_s = how.timeout.or(container.config.stop_timeout).unwrap_or(TIMEOUT_S);
    Ok(engine.stop(container, signal, timeout_s)?)
}

fn parse_signal(text: &str) -> Result<i32> {
    sys::signal::parse(text).ok_or_else(|| {
        Failure::new(format!("invalid signal: {text}"))
            .hint("write a name such as SIGTERM, or a number")
    })
}
