//! `tare stop`, `tare kill` and `tare restart`.

use super::start;
use super::which::{Which, resolve};
use crate::called::Called;
use crate::failure::{Failure, Result};
use crate::settings::Global;
use clap::Args;
use engine::{Attach, Container, Engine};

const SIGKILL: i32 = 9;
/// The exit code of what SIGKILL has ended.
const KILLED: i32 = 137;
/// The last one that the kernel has.
const SIGNAL_MAX: u32 = 64;
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
    #[command(flatten)]
    which: Which,
    /// Containers: names, or the beginnings of IDs
    #[arg(required_unless_present_any = ["all", "latest", "filter", "cidfile"], value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Stop and start containers
#[derive(Debug, Args)]
pub(crate) struct Restart {
    #[command(flatten)]
    how: How,
    /// All containers
    #[arg(short, long)]
    all: bool,
    /// All containers that run
    #[arg(long)]
    running: bool,
    #[command(flatten)]
    which: Which,
    /// Containers: names, or the beginnings of IDs
    #[arg(required_unless_present_any = ["all", "running", "latest", "filter", "cidfile"], value_name = "CONTAINER")]
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
    #[arg(short, long, value_name = "SIGNAL", default_value = "KILL", allow_hyphen_values = true)]
    signal: String,
    /// All containers that run
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    which: Which,
    /// Containers: names, or the beginnings of IDs
    #[arg(required_unless_present_any = ["all", "latest", "filter", "cidfile"], value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(crate) fn stop(global: &Global, arguments: &Stop) -> Result<u8> {
    let engine = super::open(global, false)?;
    let which = &arguments.which;
    let mut names = resolve(
        &engine,
        &arguments.containers,
        (which.latest, &which.cidfile, &which.filter),
        running(arguments.all),
        arguments.ignore,
    )?;
    if arguments.ignore {
        names.retain(|name| engine.find(name).is_ok());
    }
    super::each(&engine, &names, |container| end(&engine, &container, &arguments.how))
}

pub(crate) fn restart(global: &Global, arguments: &Restart) -> Result<u8> {
    super::seal()?;
    let engine = super::open(global, false)?;
    let all: Option<&dyn Fn(&Container) -> bool> = match (arguments.all, arguments.running) {
        (true, false) => Some(&|_: &Container| true),
        (_, runs) => running(runs),
    };
    let names = arguments.which.names(&engine, &arguments.containers, all)?;
    super::each(&engine, &names, |container| {
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
    let names = arguments.which.names(&engine, &arguments.containers, running(arguments.all))?;
    super::each(&engine, &names, |container| {
        if !container.is_running() {
            return Err(Failure::new(format!(
                "cannot kill container: {}: container {} is not running",
                container.config.name, container.config.id
            )));
        }
        engine.signal(&container, signal).map_err(|error| match error.kind() {
            engine::Kind::State => {
                Failure::new(format!("cannot kill container: {}: {error}", container.config.name))
            }
            _ => error.into(),
        })
    })
}

/// Which ones all are, if all are meant.
fn running(all: bool) -> Option<&'static dyn Fn(&Container) -> bool> {
    if all { Some(&Container::is_running) } else { None }
}

fn end(engine: &Engine, container: &Container, how: &How) -> Result<()> {
    let signal = how.signal.as_deref().map_or(Ok(0), parse_signal)?;
    let timeout_s = how.timeout.or(container.config.stop_timeout).unwrap_or(TIMEOUT_S);
    let code = engine.stop(container, signal, timeout_s)?;
    // podman tells its users what docker's find in the exit code.
    if Called::is_podman() && code == Some(KILLED) && timeout_s > 0 && signal != SIGKILL {
        let config = &container.config;
        let name = if config.stop_signal.is_empty() { "SIGTERM" } else { &config.stop_signal };
        crate::settings::warn(&format!(
            "StopSignal {name} failed to stop container {} in {timeout_s} seconds, resorting to SIGKILL",
            config.name
        ));
    }
    Ok(())
}

fn parse_signal(text: &str) -> Result<i32> {
    // podman takes a dash in front.
    let text = text.strip_prefix('-').unwrap_or(text);
    if text.parse::<u32>().is_ok_and(|number| number > SIGNAL_MAX) {
        return Err(Failure::new(format!("valid signals are 1 through {SIGNAL_MAX}")));
    }
    sys::signal::parse(text).ok_or_else(|| {
        Failure::new(format!("invalid signal: {text}"))
            .hint("write a name such as SIGTERM, or a number")
    })
}
