//! `tare`: containers without a daemon.

mod cli;
mod run;

use clap::Parser;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = match cli::Tare::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are data, anything else is a mistake: docker's 125.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 125 } else { 0 });
        }
    };
    let done = match arguments.verb {
        cli::Verb::Run(arguments) => run::run(&arguments),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            let mut text = format!("tare: {}\n", failure.message);
            if let Some(hint) = &failure.hint {
                text.push_str(&format!("hint: {hint}\n"));
            }
            // With standard error closed there is nobody to tell.
            let _ = std::io::stderr().write_all(text.as_bytes());
            ExitCode::from(failure.code)
        }
    }
}
