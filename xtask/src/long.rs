//! `cargo xtask crash`, `faults`, `upset`, `soak`, `kills`, `cuts` and `chaos`: tests whose short forms run with all the others, with
//! as many rounds as one wants to wait for.

use crate::{misused, print, say};
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};

/// A family of tests, and how often they go round.
pub(crate) struct Long {
    command: &'static str,
    /// Where the tests are, as arguments of `cargo test`.
    place: &'static [&'static str],
    /// Which variable tells them how often.
    variable: &'static str,
    /// The option that says how often.
    option: &'static str,
    usual: usize,
    tests: &'static [&'static str],
    /// Lines that begin so have a count that is summed up.
    counted: &'static [&'static str],
}

/// Every point there is: no verb makes so many system calls.
pub(crate) const CRASH: Long = Long {
    command: "crash",
    place: &["--package", "e2e", "--test", "e2e"],
    variable: "TARE_E2E_ROUNDS",
    option: "--points",
    usual: 1_000_000,
    tests: &["robust::crash", "robust::faults"],
    counted: &["killed at ", "failed at "],
};

/// Every point there is, of every verb that writes; and pairs of verbs.
pub(crate) const FAULTS: Long = Long {
    command: "faults",
    place: &["--package", "e2e", "--test", "e2e"],
    variable: "TARE_E2E_ROUNDS",
    option: "--points",
    usual: 1_000_000,
    tests: &["images::faults", "images::full", "images::races"],
    counted: &["failed at ", "full at ", "raced at "],
};

/// Verbs about containers, whose steps fail, are the last ones, or wait for another verb. Each point takes a second.
pub(crate) const UPSET: Long = Long {
    command: "upset",
    place: &["--package", "e2e", "--test", "e2e"],
    variable: "TARE_E2E_ROUNDS",
    option: "--points",
    usual: 60,
    tests: &["containers_faults::", "containers_meanwhile::"],
    counted: &["killed at ", "failed at ", "held at "],
};

pub(crate) const SOAK: Long = Long {
    command: "soak",
    place: &["--package", "e2e", "--test", "e2e"],
    variable: "TARE_E2E_ROUNDS",
    option: "--cycles",
    usual: 10_000,
    tests: &["robust::soak"],
    counted: &[],
};

/// Processes that share a store, killed anywhere.
pub(crate) const KILLS: Long = Long {
    command: "kills",
    place: &["--package", "store", "--lib"],
    variable: "TARE_STORE_KILLS",
    option: "--kills",
    usual: 2000,
    tests: &["processes_killed"],
    counted: &["killed "],
};

/// Power that is cut while they work.
pub(crate) const CUTS: Long = Long {
    command: "cuts",
    place: &["--package", "store", "--lib"],
    variable: "TARE_STORE_CUTS",
    option: "--cuts",
    usual: 200,
    tests: &["power_cut"],
    counted: &["cut off "],
};

/// Clients that do anything to a few containers.
pub(crate) const CHAOS: Long = Long {
    command: "chaos",
    place: &["--package", "e2e", "--test", "e2e"],
    variable: "TARE_CHAOS_SECONDS",
    option: "--seconds",
    usual: 300,
    tests: &["chaos::"],
    counted: &["did "],
};

/// Builds the programs and runs the tests, one after the other.
pub(crate) fn run(long: &Long, arguments: &[String]) -> ExitCode {
    let rounds = match arguments {
        [] => long.usual,
        [option, number] if option == long.option => match number.parse() {
            Ok(rounds) => rounds,
            Err(_) => return usage(long),
        },
        _ => return usage(long),
    };
    let build = ["build", "--quiet", "--locked", "--package", "tare-runtime", "--package", "tare"];
    let built = Command::new(env!("CARGO")).args(build).status();
    if !built.is_ok_and(|status| status.success()) {
        say("the build failed\n");
        return ExitCode::FAILURE;
    }
    if go_round(long, rounds) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn usage(long: &Long) -> ExitCode {
    misused(&format!("usage: cargo xtask {} [{} NUMBER]\n", long.command, long.option))
}

fn go_round(long: &Long, rounds: usize) -> bool {
    let child = Command::new(env!("CARGO"))
        .args(["test", "--quiet", "--locked"])
        .args(long.place)
        .arg("--")
        .args(long.tests)
        .args(["--nocapture", "--test-threads", "1"])
        .env(long.variable, rounds.to_string())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else { return false };
    let mut counts = vec![0usize; long.counted.len()];
    for line in child.stdout.take().into_iter().flat_map(|out| BufReader::new(out).lines()) {
        let Ok(line) = line else { break };
        for (count, mark) in counts.iter_mut().zip(long.counted) {
            let number = line.split(mark).nth(1).and_then(|rest| rest.split(' ').next());
            *count += number.and_then(|number| number.parse::<usize>().ok()).unwrap_or(0);
        }
        print(&format!("{line}\n"));
    }
    for (count, mark) in counts.iter().zip(long.counted) {
        print(&format!("{mark}{count} points in all\n"));
    }
    child.wait().is_ok_and(|status| status.success())
}
