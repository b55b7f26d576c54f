//! `tare`: containers without a daemon.

mod caller;
mod cli;
mod failure;
mod image;
mod progress;
mod run;
mod settings;

use clap::Parser;
use std::io::Write;
use std::process::ExitCode;

/// docker's code for its own mistakes, where a container's program has all others.
const RUN_FAILED: u8 = 125;
const FAILED: u8 = 1;
/// A command line that cannot be understood.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments = match cli::Tare::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are data, anything else is a mistake.
            let _ = error.print();
            let runs = std::env::args_os().nth(1).is_some_and(|verb| verb == "run");
            let mistake = if runs { RUN_FAILED } else { USAGE };
            return ExitCode::from(if error.use_stderr() { mistake } else { 0 });
        }
    };
    let own = match arguments.verb {
        cli::Verb::Run(_) => RUN_FAILED,
        _ => FAILED,
    };
    match verb(arguments) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            // With standard error closed there is nobody to tell.
            let _ = std::io::stderr().write_all(failure.to_string().as_bytes());
            ExitCode::from(failure.exit_code(own))
        }
    }
}

fn verb(arguments: cli::Tare) -> failure::Result<u8> {
    use cli::Verb;
    let global = arguments.global;
    match arguments.verb {
        Verb::Run(arguments) => return run::run(&arguments),
        Verb::Pull(arguments) => image::pull::run(&global, &arguments)?,
        Verb::Push(arguments) => image::push::run(&global, &arguments)?,
        Verb::Copy(arguments) => image::copy::run(&global, &arguments)?,
    }
    Ok(0)
}
