//! `cargo xtask test`: builds the programs, runs every test, and accounts for those that this
//! machine cannot run.
//!
//! A skipped test passes, and a runner hides what passing tests print. So skips are noted in a
//! file (crate `skips`), and shown and counted directly before the runner's own summary, which
//! stays the last thing that is said.

use crate::{print, say};
use std::io::{BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// The environment variable that the crate `skips` reads.
const FILE: &str = "TARE_SKIPS";

/// The runner of the tests, and how its output tells that the summary comes.
struct Runner {
    arguments: &'static [&'static str],
    /// The stream that it writes its results to.
    on_stderr: bool,
    /// What the line has in it that begins the summary.
    mark: &'static str,
}

const NEXTEST: Runner = Runner {
    arguments: &["nextest", "run", "--workspace", "--locked", "--no-fail-fast"],
    on_stderr: true,
    mark: "Summary [",
};
/// Without nextest: the end-to-end tests are the last binary of many.
const LIBTEST: Runner = Runner {
    arguments: &["test", "--package", "e2e", "--locked", "--test", "e2e", "--no-fail-fast"],
    on_stderr: false,
    mark: "test result:",
};

/// Runs everything. With `--strict`, a test that is skipped is a failure.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let strict = arguments.iter().any(|argument| argument == "--strict");
    if let Some(unknown) = arguments.iter().find(|argument| *argument != "--strict") {
        say(&format!("test: unknown argument {unknown:?}\n"));
        return ExitCode::from(2);
    }
    let skips = std::env::temp_dir().join(format!("tare-skips-{}", std::process::id()));
    let passed = steps(&skips, strict);
    // Nothing was skipped where there is no file.
    let _ = std::fs::remove_file(&skips);
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The end-to-end tests start the built programs, which the runner alone would not build.
fn steps(skips: &Path, strict: bool) -> bool {
    let nextest = cargo(skips, &["nextest", "--version"]).output();
    let has_nextest = nextest.is_ok_and(|output| output.status.success());
    let mut before: Vec<&[&str]> = vec![
        &["build", "--locked", "--package", "tare", "--package", "tare-runtime"],
        &["test", "--workspace", "--locked", "--doc"],
    ];
    if !has_nextest {
        before.push(&["test", "--workspace", "--locked", "--no-fail-fast", "--lib", "--bins"]);
    }
    for arguments in before {
        let status = cargo(skips, arguments).status();
        if !status.is_ok_and(|status| status.success()) {
            say(&format!("failed: cargo {}\n", arguments.join(" ")));
            return false;
        }
    }
    let runner = if has_nextest { NEXTEST } else { LIBTEST };
    relay(&runner, skips, strict)
}

fn cargo(skips: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).env(FILE, skips);
    command
}

/// Passes the runner's output on, with the skipped tests in front of the summary.
fn relay(runner: &Runner, skips: &Path, strict: bool) -> bool {
    let mut command = cargo(skips, runner.arguments);
    if runner.on_stderr && std::io::stderr().is_terminal() {
        command.args(["--color", "always"]);
    }
    let stream = |wanted: bool| if wanted { Stdio::piped() } else { Stdio::inherit() };
    let child = command.stderr(stream(runner.on_stderr)).stdout(stream(!runner.on_stderr)).spawn();
    let Ok(mut child) = child else {
        say(&format!("failed: cargo {}\n", runner.arguments.join(" ")));
        return false;
    };
    let mut skipped = 0;
    let tell = |text: &str| if runner.on_stderr { say(text) } else { print(text) };
    let mut tell_line = |line: &str, held: &mut String| {
        if line.contains(runner.mark) {
            let (report, count) = report(skips, strict);
            skipped = count;
            tell(&report);
        }
        tell(held);
        held.clear();
        // The rule over the summary waits for the line behind it.
        match line.contains("────────────") {
            true => held.push_str(line),
            false => tell(line),
        }
    };
    let mut held = String::new();
    match (child.stderr.take(), child.stdout.take()) {
        (Some(stderr), _) => each_line(BufReader::new(stderr), |line| tell_line(line, &mut held)),
        (_, Some(stdout)) => each_line(BufReader::new(stdout), |line| tell_line(line, &mut held)),
        (None, None) => {}
    }
    tell(&held);
    let passed = child.wait().is_ok_and(|status| status.success());
    passed && !(strict && skipped > 0)
}

fn each_line(mut stream: impl BufRead, mut tell: impl FnMut(&str)) {
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        tell(&String::from_utf8_lossy(&line));
        line.clear();
    }
}

/// What was skipped, and how many tests that is.
fn report(skips: &Path, strict: bool) -> (String, usize) {
    let text = std::fs::read_to_string(PathBuf::from(skips)).unwrap_or_default();
    // A test may look for several things that are not there.
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.dedup();
    let mut tests: Vec<&str> = lines.iter().filter_map(|line| line.split(": ").next()).collect();
    tests.dedup();
    let mut report: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let count = tests.len();
    report.push_str(&match (count, strict) {
        (0, _) => "no test was skipped on this machine\n".to_string(),
        (_, false) => format!("tests skipped on this machine: {count}\n"),
        (_, true) => format!("tests skipped on this machine, which --strict forbids: {count}\n"),
    });
    (report, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_tests_are_counted_once() {
        let path = std::env::temp_dir().join(format!("tare-xtask-skips-{}", std::process::id()));
        assert_eq!(report(&path, true), ("no test was skipped on this machine\n".into(), 0));
        std::fs::write(&path, "SKIP b: x: y\nSKIP a: z\nSKIP b: x: y\nSKIP b: other\n").unwrap();
        let (text, count) = report(&path, false);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(count, 2);
        let expected = "SKIP a: z\nSKIP b: other\nSKIP b: x: y\ntests skipped on this machine: 2\n";
        assert_eq!(text, expected);
    }
}
