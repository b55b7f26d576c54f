//! `tare exec`.

use super::parse;
use crate::failure::{Failure, Result};
use crate::settings::Global;
use clap::Args;
use std::path::PathBuf;

/// Run one more program in a container
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tare exec -it web sh")]
pub(crate) struct Exec {
    /// Leave it alone once it runs
    #[arg(short, long)]
    detach: bool,
    /// Not here: the terminal is the caller's own
    #[arg(long, value_name = "KEYS", hide = true)]
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
    #[arg(long)]
    privileged: bool,
    /// Give the program a terminal
    #[arg(short, long)]
    tty: bool,
    /// User and group of the program [default: the container's]
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Working directory of the program [default: the container's]
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// The container: its name, or the beginning of its ID
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// The program and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    command: Vec<String>,
}

pub(crate) fn run(global: &Global, arguments: &Exec) -> Result<u8> {
    let has_terminal = sys::tty::is_terminal(sys::BorrowedFd::from_raw(0));
    if arguments.detach_keys.is_some() && arguments.tty {
        return Err(Failure::new(
            "--detach-keys: the terminal is the caller's own, and ends with it",
        )
        .hint("`exec -d` runs a program that is left alone"));
    }
    if arguments.tty && arguments.interactive && !arguments.detach && !has_terminal {
        return Err(Failure::new("the input device is not a TTY").hint("leave -t out"));
    }
    if arguments.tty && arguments.detach {
        return Err(Failure::new("--tty: a program that is left alone has no terminal")
            .hint("leave -t out"));
    }
    super::seal()?;
    let engine = super::open(global, false)?;
    let container = engine.find(&arguments.container)?;
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
    let request = engine::Exec {
        args: arguments.command.clone(),
        env,
        user: arguments.user.clone(),
        cwd: arguments.workdir.clone(),
        tty: arguments.tty,
        interactive: arguments.interactive,
        detach: arguments.detach,
        privileged: arguments.privileged,
    };
    let code = engine::exec(&engine, &container, &request)?;
    Ok(u8::try_from(code).unwrap_or(255))
}
