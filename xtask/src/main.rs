//! `cargo xtask COMMAND`: the project's own commands.

mod bench;
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
  bench  measure beside the peers: `cargo xtask bench runtime`
  fuzz   feed damaged inputs to the runtime: [--count N] [--seed S] [--input NAME] [--case NUMBER]
  dropin let podman, buildah and containerd use tare-runtime (they must be installed)
  crash  kill the runtime and its children, and let calls fail, at every point: [--points N] each
  soak   10,000 containers after each other, 1,000 at once: [--cycles N]
  suite  run another project's conformance suite: runtime-tools, runc, contest, crun
  vm     run the tests in a virtual machine with cgroup v2 and systemd
  docs   write the manual pages and the command line reference
  tidy   check the project's laws: unsafe, dependencies, advisories, lengths, libraries, words
  advisories  keep what a checkout of the RustSec database says: cargo xtask advisories FOLDER
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    let command = std::env::args().nth(1).unwrap_or_default();
    match command.as_str() {
        "test" => test::run(&arguments),
        "bench" => bench::run(&arguments),
        "fuzz" => fuzz(&arguments),
        "dropin" => dropin::run(),
        "crash" => long::run(&long::CRASH, &arguments),
        "soak" => long::run(&long::SOAK, &arguments),
        "suite" => suite::run(&arguments),
        "vm" => vm::run(),
        "docs" => docs::run(),
        "advisories" => advisories(&arguments),
        "tidy" => report(&tidy::findings()),
        _ => {
            say(USAGE);
            ExitCode::from(2)
        }
    }
}

fn advisories(arguments: &[String]) -> ExitCode {
    let collected = match arguments {
        [database] => tidy::collect_advisories(database),
        _ => Err("FOLDER is a checkout of the RustSec database".into()),
    };
    match collected {
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

fn report(findings: &[String]) -> ExitCode {
    for finding in findings {
        say(&format!("tidy: {finding}\n"));
    }
    say(&format!("tidy: {} findings\n", findings.len()));
    if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Damaged inputs by the million (`tests/mutation`), with checks of arithmetic.
fn fuzz(arguments: &[String]) -> ExitCode {
    let run = ["run", "--quiet", "--locked", "--profile", "fuzz", "--package", "mutation", "--"];
    let status = Command::new(env!("CARGO")).args(run).args(arguments).status();
    if status.is_ok_and(|status| status.success()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
