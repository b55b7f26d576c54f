//! `tare exec`.

use super::{defaults, parse, which};
use crate::caller::Caller;
use crate::failure::{Failure, Result};
use crate::settings::{Global, Key, load_conf};
use clap::Args;
use engine::{Container, Engine};
use std::path::PathBuf;

/// Run one more program in a container
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tare exec -it web sh")]
pub(crate) struct Exec {
    /// Leave it alone once it runs
    #[arg(short, long)]
    detach: bool,
    /// Keys that leave a program with a terminal alone [default: ctrl-p,ctrl-q]
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Set an environment variable (repeated)
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Take environment variables from a file, one a line (repeated)
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Keep standard input open
    #[arg(short, long)]
    interactive: bool,
    /// All capabilities
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = clap::builder::BoolishValueParser::new())]
    privileged: Option<bool>,
    /// Give the program a terminal
    #[arg(short, long)]
    tty: bool,
    /// User and group of the program [default: the container's]
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Working directory of the program [default: the container's]
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// The container that was made last
    #[arg(short, long)]
    latest: bool,
    /// A file with the container's ID
    #[arg(long, value_name = "FILE")]
    cidfile: Option<PathBuf>,
    /// The container (its name, or the beginning of its ID), the program, and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        value_names = ["CONTAINER", "COMMAND"]
    )]
    words: Vec<String>,
}

/// The container, and what is run in it.
fn what(engine: &Engine, arguments: &Exec) -> Result<(Container, Vec<String>)> {
    let mut words = arguments.words.clone();
    let container = match &arguments.cidfile {
        Some(file) if !arguments.latest => engine.find(&which::read_id(file)?)?,
        None if !arguments.latest => engine.find(&words.remove(0))?,
        Some(_) => return Err(Failure::new("--cidfile and --latest cannot be used together")),
        None => which::latest(engine)?,
    };
    match words.is_empty() {
        true => Err(Failure::new("must provide a non-empty command to start an exec session")),
        false => Ok((container, words)),
    }
}

pub(crate) fn run(global: &Global, arguments: &Exec) -> Result<u8> {
    let has_terminal = sys::tty::is_terminal(sys::BorrowedFd::from_raw(0));
    if arguments.tty && arguments.interactive && !arguments.detach && !has_terminal {
        return Err(Failure::new("the input device is not a TTY").hint("leave -t out"));
    }
    super::seal()?;
    let conf = load_conf(global, &Caller::new())?;
    let engine = super::open(global, false)?;
    let (container, command) = what(&engine, arguments)?;
    let mut env = Vec::new();
    for file in &arguments.env_file {
        env.extend(parse::env_file(file)?);
    }
    for variable in &arguments.env {
        match variable.contains('=') {
            true => env.push(variable.clone()),
            false => env.extend(std::env::var(variable).ok().map(|v| format!("{variable}={v}"))),
        }
    }
    let keys = defaults::detach_keys(arguments.detach_keys.as_deref(), &conf)?;
    let request = engine::Exec {
        args: command,
        env,
        user: arguments.user.clone(),
        cwd: arguments.workdir.clone(),
        tty: arguments.tty,
        interactive: arguments.interactive,
        detach: arguments.detach,
        privileged: arguments.privileged.or(conf.flag(Key::PRIVILEGED)).unwrap_or(false),
        detach_keys: keys,
    };
    let code = engine::exec(&engine, &container, &request)?;
    Ok(u8::try_from(code).unwrap_or(255))
}
