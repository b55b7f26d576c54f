//! `cargo xtask bench WHAT`: measurements beside the peers that are installed.

mod bundle;
mod measure;
mod runtime;

use std::process::ExitCode;

const USAGE: &str =
    "usage: cargo xtask bench runtime [--rounds N] [--idle-ms N] [--only TOOL,...] [--programs DIR]

  Measures tare-runtime beside crun, runc and youki, where they are on the PATH, and beside the
  floor: the bare system calls that the same container needs. Needs root.
";

/// Whether a program is on the `PATH`.
pub(crate) fn is_installed(name: &str) -> bool {
    runtime::on_path(name).is_some()
}

/// Runs the benchmark that `arguments` name.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let options = match arguments.split_first() {
        Some((what, rest)) if what == "runtime" => runtime::Options::parse(rest),
        _ => return crate::misused(USAGE),
    };
    let options = match options {
        Ok(options) => options,
        Err(error) => return crate::misused(&format!("bench: {error}\n{USAGE}")),
    };
    match runtime::run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            crate::say(&format!("bench: {error}\n"));
            ExitCode::FAILURE
        }
    }
}
