//! `tare healthcheck`: podman's noun.

use crate::container;
use crate::failure::{Failure, Result};
use crate::settings::Global;
use clap::{Args, Subcommand};

/// Run health checks of containers
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Noun {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(Run),
}

/// Run the health check of a container once, now
///
/// Exits with 0 if it is well, and with 1 if not. `tare inspect` shows what the check has said.
#[derive(Debug, Args)]
struct Run {
    /// podman's: an unhealthy container is no failure of the command
    #[arg(long, hide = true)]
    ignore_result: bool,
    /// The container: its name, or the beginning of its ID
    #[arg(value_name = "CONTAINER")]
    container: String,
}

/// podman's code for containers that have none, or do not run.
const NOT_POSSIBLE: u8 = 125;

pub(crate) fn run(global: &Global, noun: &Noun) -> Result<u8> {
    let Verb::Run(arguments) = &noun.verb;
    let engine = container::open(global, false)?;
    let found = engine.find(&arguments.container)?;
    if !found.is_running() {
        let text = format!("container {} is not running", found.config.name);
        return Err(Failure::from_parts(NOT_POSSIBLE, text, None));
    }
    let done = engine::run_health_check(&engine, &found);
    let (code, _) =
        done.map_err(|error| Failure::from_parts(NOT_POSSIBLE, error.to_string(), error.hint()))?;
    if code != 0 {
        crate::output::write(b"unhealthy\n")?;
    }
    Ok(u8::from(code != 0 && !arguments.ignore_result))
}
