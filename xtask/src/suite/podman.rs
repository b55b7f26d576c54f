//! podman's system tests (`test/system`, bats) with `tare` in podman's place.
//!
//! Every file runs in namespaces of its own (mounts, processes, network, IPC, host name), in which `data/podman-system`
//! prepares a host: a device with a way to somebody else, a store of its own, and a registry that has what the suite
//! would fetch from its own. The images are made here of this machine's busybox. Nothing but cgroups, which each container
//! removes, is the machine's.
//!
//! The program goes by the name `podman` there, as it would on the machine of somebody who replaces it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// No file of the suite takes longer, unless something hangs.
const FILE_DEADLINE: Duration = Duration::from_secs(900);
/// Nor a case (seconds).
const CASE_DEADLINE: &str = "150";
/// Nor a single command of a case (seconds).
const COMMAND_DEADLINE: &str = "40";
/// Between looks at whether a file is done.
const PAUSE: Duration = Duration::from_millis(100);

/// What is known of cases that do not pass.
const KNOWN: &str = "docs/conformance/podman-system.tsv";

/// Constants of the suite, as its own `helpers.bash` has them.
const CONSTANTS: [(&str, &str); 5] = [
    ("SUITE_REGISTRY", "PODMAN_TEST_IMAGE_REGISTRY"),
    ("SUITE_USER", "PODMAN_TEST_IMAGE_USER"),
    ("SUITE_NAME", "PODMAN_TEST_IMAGE_NAME"),
    ("SUITE_TAG", "PODMAN_TEST_IMAGE_TAG"),
    ("SUITE_NONLOCAL_TAG", "PODMAN_NONLOCAL_IMAGE_TAG"),
];

/// A run: its own directory, and what its sessions are told.
struct Run {
    dir: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Runs the suite's files, or those whose names begin with one of `only`; returns how many cases failed that nobody has
/// explained.
pub(super) fn run(folder: &Path, program: &Path, only: &[String]) -> Result<u32, String> {
    let tests = folder.join("test/system");
    let files: Vec<PathBuf> = super::files(&tests, ".bats")?
        .into_iter()
        .filter(|path| only.is_empty() || only.iter().any(|it| super::stem(path).starts_with(it)))
        .collect();
    let run = Run::new(&tests, program)?;
    run.session("images", FILE_DEADLINE)
        .and_then(|(success, text)| if success { Ok(()) } else { Err(text) })
        .map_err(|error| format!("making the images: {error}"))?;
    let logs = folder.join("tare-logs");
    fs::create_dir_all(&logs).map_err(|error| format!("{}: {error}", logs.display()))?;
    let known = known();
    let (mut totals, mut unexplained) = (Counts::default(), 0);
    let mut table = String::new();
    for path in &files {
        let _ = fs::remove_dir_all(run.dir.join("session"));
        let (_, text) = run.session(&path.to_string_lossy(), FILE_DEADLINE)?;
        let name = super::stem(path);
        let _ = fs::write(logs.join(format!("{name}.tap")), &text);
        let source = fs::read_to_string(path).unwrap_or_default();
        let mut counts = Counts::default();
        for (state, case) in cases(&text, &source) {
            counts.add(state);
            let reason = known.get(&format!("{name}: {case}")).map_or("", String::as_str);
            unexplained += u32::from(state == "fail" && reason.is_empty());
            crate::print(&format!("{state}\t{name}: {case}\t{reason}\n"));
        }
        table.push_str(&counts.row(&name));
        totals.merge(&counts);
    }
    crate::print(&format!("| file | passed | failed | skipped |\n|---|---|---|---|\n{table}"));
    crate::print(&totals.row("all"));
    crate::print(&format!("{unexplained} failures are not in {KNOWN}\n"));
    Ok(unexplained)
}

impl Run {
    fn new(tests: &Path, program: &Path) -> Result<Self, String> {
        let dir = std::env::temp_dir().join(format!("tare-podman-{}", std::process::id()));
        let mut environment = constants(tests)?;
        environment.extend([
            ("SUITE_DIR", dir.to_string_lossy().into_owned()),
            ("SUITE_TESTS", tests.to_string_lossy().into_owned()),
            ("SUITE_DATA", format!("{}/data/podman-system", env!("CARGO_MANIFEST_DIR"))),
            ("BATS_TEST_TIMEOUT", CASE_DEADLINE.into()),
            ("PODMAN_TIMEOUT", COMMAND_DEADLINE.into()),
        ]);
        environment.push(("SUITE_LOGIN_IMAGE", login_image(tests)?));
        let run = Self { dir, environment };
        let bin = run.dir.join("bin");
        fs::create_dir_all(&bin)
            .and_then(|()| fs::copy(program, bin.join("podman")))
            .map_err(|error| format!("{}: {error}", bin.display()))?;
        Ok(run)
    }

    /// Runs `session.sh` with a word, and says what it printed.
    fn session(&self, word: &str, deadline: Duration) -> Result<(bool, String), String> {
        let failed = |error: std::io::Error| format!("{word}: {error}");
        let path = self.dir.join("output");
        // Who opens it anew writes behind the others.
        let _ = fs::remove_file(&path);
        let mut options = fs::File::options();
        let output = options.create(true).append(true).open(&path).map_err(failed)?;
        let mut child = Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--net", "--ipc"])
            .args(["--uts", "--", "bash", "-c", super::FIRST_PROCESS, "suite"])
            .arg(format!("{}/data/podman-system/session.sh", env!("CARGO_MANIFEST_DIR")))
            .arg(word)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stderr(output.try_clone().map_err(failed)?)
            .stdout(output)
            .spawn()
            .map_err(failed)?;
        let start = Instant::now();
        let success = loop {
            if let Some(status) = child.try_wait().map_err(failed)? {
                break status.success();
            }
            if start.elapsed() > deadline {
                child.kill().and_then(|()| child.wait()).map_err(failed)?;
                break false;
            }
            std::thread::sleep(PAUSE);
        };
        let text = fs::read(&path).map_err(failed)?;
        Ok((success, String::from_utf8_lossy(&text).into_owned()))
    }
}

/// The suite's constants: who runs it with others sets its own variables.
fn constants(tests: &Path) -> Result<Vec<(&'static str, String)>, String> {
    let helpers = tests.join("helpers.bash");
    let source =
        fs::read_to_string(&helpers).map_err(|error| format!("{}: {error}", helpers.display()))?;
    let value = |(own, name): (&'static str, &str)| {
        let value = std::env::var(name).ok().or_else(|| default_of(&source, name));
        value.map(|value| (own, value)).ok_or(format!("{}: has no {name}", helpers.display()))
    };
    CONSTANTS.into_iter().map(value).collect()
}

/// The image of the registry to which the suite logs in: `USER}/registry:2.8.2"`.
fn login_image(tests: &Path) -> Result<String, String> {
    let helpers = tests.join("helpers.registry.bash");
    let source =
        fs::read_to_string(&helpers).map_err(|error| format!("{}: {error}", helpers.display()))?;
    let behind = source.split_once("REGISTRY_IMAGE=").and_then(|(_, rest)| rest.lines().next());
    let image = behind.and_then(|line| line.trim_matches('"').rsplit('/').next());
    image.map(str::to_owned).ok_or(format!("{}: has no REGISTRY_IMAGE", helpers.display()))
}

/// `NAME=${NAME:-"value"}`
fn default_of(source: &str, name: &str) -> Option<String> {
    let (_, rest) = source.split_once(&format!("{name}=${{{name}:-"))?;
    Some(rest.split('}').next()?.trim_matches('"').to_owned())
}

/// The cases of a file. One that never came to its end has failed, and so have those behind it.
fn cases(text: &str, source: &str) -> Vec<(&'static str, String)> {
    let mut found: Vec<(&'static str, String)> = text
        .lines()
        .filter(|line| line.starts_with("ok ") || line.starts_with("not ok "))
        .filter_map(super::case)
        .map(|(state, name)| (state, without_prefix(name).to_owned()))
        // What looks for leftovers afterwards is no case.
        .filter(|(_, name)| {
            !matches!(name.as_str(), "teardown_suite" | "setup_suite" | "setup_file failed")
        })
        .collect();
    for name in super::bats_cases(source) {
        // What follows a number sign is none of the name where cases are told.
        let told = name.split(" #").next().unwrap_or(&name).trim();
        if found.iter().all(|(_, known)| *known != name && known != told) {
            found.push(("fail", name));
        }
    }
    found
}

/// `[030] podman run`, and `podman run # in 20 ms`: the name alone.
fn without_prefix(name: &str) -> &str {
    let behind = name.split_once("] ").filter(|(number, _)| number.len() == 4);
    behind.map_or(name, |(_, name)| name).trim()
}

/// Why cases fail that do, by `FILE: CASE`.
fn known() -> BTreeMap<String, String> {
    let text = fs::read_to_string(KNOWN).unwrap_or_default();
    let row = |line: &str| {
        let mut columns = line.split('\t');
        let case = columns.next()?.to_owned();
        let reason = columns.nth(1)?.to_owned();
        Some((case, reason))
    };
    text.lines().skip(1).filter_map(row).collect()
}

#[derive(Default)]
struct Counts {
    passed: u32,
    failed: u32,
    skipped: u32,
}

impl Counts {
    fn add(&mut self, state: &str) {
        match state {
            "pass" => self.passed += 1,
            "fail" => self.failed += 1,
            _ => self.skipped += 1,
        }
    }

    fn merge(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    fn row(&self, name: &str) -> String {
        format!("| {name} | {} | {} | {} |\n", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_came_to_its_end_has_failed() {
        let text = "1..4\nnot ok 1 setup_file failed\nok 1 [030] a # in 5 ms\n# ok 2 b\nnot ok 2 [030] b\nok 3 [030] d - #7\n";
        let source = "@test \"a\" {\n@test \"b\" {\n@test \"c\" {\n@test \"d - #7\" {\n";
        let expected = [("pass", "a"), ("fail", "b"), ("pass", "d -"), ("fail", "c")];
        assert_eq!(cases(text, source), expected.map(|(state, name)| (state, name.to_owned())));
    }

    #[test]
    fn constants_are_the_suites_defaults() {
        let source = "A_TAG=${A_TAG:-\"2024\"}\nB=${B:-c}\n";
        assert_eq!(default_of(source, "A_TAG").as_deref(), Some("2024"));
        assert_eq!(default_of(source, "B").as_deref(), Some("c"));
        assert_eq!(default_of(source, "C"), None);
    }
}
