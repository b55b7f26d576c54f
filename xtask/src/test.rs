//! `cargo xtask test`: builds the programs, runs every test, and accounts for those that this
//! machine cannot run.
//!
//! A skipped test passes, and a runner hides what passing tests print. So skips are noted in a
//! file (crate `skips`), and shown and counted directly before the runner's own summary, which
//! stays the last thing that is said.

use crate::{misused, print, say};
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

/// What a skipped test is taken for.
#[derive(Default)]
struct Rule {
    /// A test that is skipped is a failure.
    strict: bool,
    /// But not one whose name begins so.
    except: Vec<String>,
}

impl Rule {
    fn read(arguments: &[String]) -> Result<Self, String> {
        let mut rule = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--strict" => rule.strict = true,
                "--except" => rule.except.push(rest.next().ok_or("--except needs a name")?.clone()),
                unknown => return Err(format!("unknown argument {unknown:?}")),
            }
        }
        Ok(rule)
    }

    fn forbids(&self, test: &str) -> bool {
        self.strict && !self.except.iter().any(|prefix| test.starts_with(prefix.as_str()))
    }
}

/// Runs everything. With `--strict`, a test that is skipped is a failure; `--except PREFIX` lets
/// those go whose names begin so.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let rule = match Rule::read(arguments) {
        Ok(rule) => rule,
        Err(why) => {
            say(&format!("test: {why}\n"));
            return misused("usage: cargo xtask test [--strict] [--except PREFIX]...\n");
        }
    };
    let skips = std::env::temp_dir().join(format!("tare-skips-{}", std::process::id()));
    let passed = steps(&skips, &rule);
    // Nothing was skipped where there is no file.
    let _ = std::fs::remove_file(&skips);
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The end-to-end tests start the built programs, which the runner alone would not build.
fn steps(skips: &Path, rule: &Rule) -> bool {
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
    relay(&runner, skips, rule)
}

fn cargo(skips: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).env(FILE, skips);
    command
}

/// Passes the runner's output on, with the skipped tests in front of the summary.
fn relay(runner: &Runner, skips: &Path, rule: &Rule) -> bool {
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
    let mut forbidden = 0;
    let tell = |text: &str| if runner.on_stderr { say(text) } else { print(text) };
    let mut tell_line = |line: &str, held: &mut String| {
        if line.contains(runner.mark) {
            let (report, count) = report(skips, rule);
            forbidden = count;
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
    passed && forbidden == 0
}

fn each_line(mut stream: impl BufRead, mut tell: impl FnMut(&str)) {
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        tell(&String::from_utf8_lossy(&line));
        line.clear();
    }
}

/// What was skipped, and how many of these tests may not be.
fn report(skips: &Path, rule: &Rule) -> (String, usize) {
    let text = std::fs::read_to_string(PathBuf::from(skips)).unwrap_or_default();
    // A test may look for several things that are not there.
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.dedup();
    let names = lines.iter().filter_map(|line| line.strip_prefix("SKIP "));
    let mut tests: Vec<&str> = names.filter_map(|rest| rest.split(": ").next()).collect();
    tests.dedup();
    let mut report: String = lines.iter().map(|line| format!("{line}\n")).collect();
    report.push_str(&match tests.len() {
        0 => "no test was skipped on this machine\n".to_string(),
        count => format!("tests skipped on this machine: {count}\n"),
    });
    let forbidden = tests.iter().filter(|test| rule.forbids(test)).count();
    if forbidden > 0 {
        report.push_str(&format!("of these --strict forbids: {forbidden}\n"));
    }
    (report, forbidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_tests_are_counted_once() {
        let path = std::env::temp_dir().join(format!("tare-xtask-skips-{}", std::process::id()));
        let read = |arguments: &[&str]| {
            let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
            Rule::read(&arguments).unwrap()
        };
        let strict = read(&["--strict"]);
        assert_eq!(report(&path, &strict), ("no test was skipped on this machine\n".into(), 0));
        std::fs::write(&path, "SKIP b: x: y\nSKIP a: z\nSKIP b: x: y\nSKIP b: other\n").unwrap();
        let results = [
            report(&path, &read(&[])),
            report(&path, &strict),
            report(&path, &read(&["--strict", "--except", "b"])),
            report(&path, &read(&["--strict", "--except", "b", "--except", "a"])),
        ];
        std::fs::remove_file(&path).unwrap();
        let text = "SKIP a: z\nSKIP b: other\nSKIP b: x: y\ntests skipped on this machine: 2\n";
        let forbids = |count: usize| format!("{text}of these --strict forbids: {count}\n");
        let expected = [(text.into(), 0), (forbids(2), 2), (forbids(1), 1), (text.into(), 0)];
        assert_eq!(results, expected);
        assert!(Rule::read(&["--except".to_string()]).is_err());
    }
}
