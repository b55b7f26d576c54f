//! `cargo xtask COMMAND`: the project's own commands.

mod bench;
mod build;
mod docs;
mod dropin;
mod long;
mod suite;
mod test;
mod tidy;
mod vm;

use std::io::Write;
use std::process::{Command, ExitCode};

const USAGE: &str = "usage: cargo xtask COMMAND

  test   build the programs, then run every test: [--strict] makes a skipped test a failure,
         [--except PREFIX] but not those whose names begin so
  bench  measure beside the peers: `cargo xtask bench runtime`, `cargo xtask bench images`
  fuzz   feed damaged inputs to the runtime: [--count N] [--seed S] [--input NAME] [--case NUMBER]
  dropin let podman, buildah and containerd use tare-runtime (they must be installed)
  crash  kill the runtime and its children, and let calls fail, at every point: [--points N] each
  faults let calls of the image verbs fail that write, and fill disks: [--points N] of each verb
  upset  let calls of the verbs about containers fail, and kill whoever makes them: [--points N] of each verb
  soak   10,000 containers after each other, 1,000 at once: [--cycles N]
  kills  kill processes that share a store, at every step and anywhere: [--kills N]
  cuts   cut a file system off from its disk while processes use a store on it: [--cuts N]
  chaos  64 clients do anything to 20 containers, and kill each other: [--seconds N]
  suite  run another project's conformance suite: runtime-tools, runc, contest, crun,
         distribution, podman
  vm     run the tests in a virtual machine with cgroup v2 and systemd: [STEP...] [--only TEXT]
  docs   write the manual pages and the command line reference
  transcript  run skopeo's examples and write what they print to docs/skopeo.md (as root)
  tidy   check the project's laws: unsafe, dependencies, advisories, lengths, libraries, words,
         tests that documents name
  advisories  keep what a checkout of the RustSec database says: cargo xtask advisories FOLDER
";

type Run = fn() -> ExitCode;
/// The commands without arguments.
const ALONE: [(&str, Run); 4] =
    [("dropin", dropin::run), ("docs", docs::run), ("tidy", tidy), ("transcript", transcript)];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    let command = std::env::args().nth(1).unwrap_or_default();
    if let Some(run) = alone(&command, &arguments) {
        return run();
    }
    match command.as_str() {
        "test" => test::run(&arguments),
        "bench" => bench::run(&arguments),
        "fuzz" => fuzz(&arguments),
        "crash" => long::run(&long::CRASH, &arguments),
        "faults" => long::run(&long::FAULTS, &arguments),
        "upset" => long::run(&long::UPSET, &arguments),
        "soak" => long::run(&long::SOAK, &arguments),
        "kills" => long::run(&long::KILLS, &arguments),
        "chaos" => long::run(&long::CHAOS, &arguments),
        "cuts" => long::run(&long::CUTS, &arguments),
        "suite" => suite::run(&arguments),
        "vm" => vm::run(&arguments),
        "advisories" => advisories(&arguments),
        _ => misused(USAGE),
    }
}

/// A command that takes no arguments, and got none: it must not run because somebody asked it for
/// help.
fn alone(command: &str, arguments: &[String]) -> Option<Run> {
    let (_, run) = ALONE.iter().find(|(name, _)| *name == command)?;
    arguments.is_empty().then_some(*run)
}

/// Says how a command is used to whoever used it otherwise.
fn misused(usage: &str) -> ExitCode {
    say(usage);
    ExitCode::from(2)
}

/// The test that compares, told to write.
fn transcript() -> ExitCode {
    const STEPS: [&[&str]; 2] = [
        &["build", "--locked", "--package", "tare"],
        &[
            "test",
            "--locked",
            "--package",
            "e2e",
            "--test",
            "e2e",
            "the_examples_of_skopeos_manual",
        ],
    ];
    let is_done = STEPS.iter().all(|arguments| {
        let mut command = Command::new(env!("CARGO"));
        let status = command.args(*arguments).env("TARE_E2E_TRANSCRIPT", "write").status();
        status.is_ok_and(|status| status.success())
    });
    if is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn advisories(arguments: &[String]) -> ExitCode {
    let [database] = arguments else {
        return misused(
            "usage: cargo xtask advisories FOLDER (a checkout of the RustSec database)\n",
        );
    };
    match tidy::collect_advisories(database) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say(&format!("advisories: {why}\n"));
            ExitCode::FAILURE
        }
    }
}

fn say(text: &str) {
    // With standard error closed there is nobody to tell.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn tidy() -> ExitCode {
    let findings = tidy::findings();
    for finding in &findings {
        say(&format!("tidy: {finding}\n"));
    }
    say(&format!("tidy: {} findings\n", findings.len()));
    if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Damaged inputs by the million (`tests/mutation`), with checks of arithmetic.
fn fuzz(arguments: &[String]) -> ExitCode {
    let run = ["run", "--quiet", "--locked", "--profile", "fuzz", "--package", "mutation", "--"];
    let status = Command::new(env!("CARGO")).args(run).args(arguments).status();
    // It tells wrong arguments by its status, too.
    let code =
        status.ok().and_then(|status| status.code()).and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_without_arguments_does_not_run_with_some() {
        for (name, _) in ALONE {
            assert!(alone(name, &[]).is_some());
            assert!(alone(name, &["--help".into()]).is_none(), "{name}");
        }
        assert!(alone("unknown", &[]).is_none());
    }
}
