//! `cargo xtask suite NAME FOLDER`: other projects' conformance suites.
//!
//! The suites are not part of this project: FOLDER is a checkout in which the suite was built by
//! its own instructions. Every program of a suite runs in a pid and mount namespace of its own, so
//! that what it leaves running is killed; what is left in the cgroup hierarchies is its own to
//! name. Each case is one line, `STATE<tab>CASE`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// No program of the suites takes longer, unless it hangs.
const DEADLINE_SECONDS: &str = "300";

const USAGE: &str = "usage: cargo xtask suite NAME FOLDER [RUNTIME]

  runtime-tools  FOLDER is a checkout of opencontainers/runtime-tools (make validation-executables)
  runc           a checkout of opencontainers/runc (make test helpers and images; needs bats)
  contest        a folder with youki's `contest` and `runtimetest`
  crun           a checkout of containers/crun with tests/init built (needs python3)

RUNTIME is the program to test, by default the one of this build.
";

/// One command of a suite.
struct Program {
    name: String,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
}

/// Runs a suite and prints its cases.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let [name, folder, rest @ ..] = arguments else {
        crate::say(USAGE);
        return ExitCode::from(2);
    };
    let result = runtime(rest.first()).and_then(|runtime| {
        let folder = fs::canonicalize(folder).map_err(|error| format!("{folder}: {error}"))?;
        let programs = match name.as_str() {
            "runtime-tools" => runtime_tools(&folder, &runtime),
            "runc" => runc(&folder, &runtime),
            "contest" => contest(&folder, &runtime),
            "crun" => crun(&folder, &runtime),
            other => Err(format!("there is no suite {other:?}\n{USAGE}")),
        }?;
        run_all(&folder, &programs)
    });
    match result {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            crate::say(&format!("suite: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

fn runtime(given: Option<&String>) -> Result<PathBuf, String> {
    if let Some(path) = given {
        return fs::canonicalize(path).map_err(|error| format!("{path}: {error}"));
    }
    let arguments = ["build", "--quiet", "--locked", "--profile", "dist", "-p", "tare-runtime"];
    let status = Command::new(env!("CARGO")).args(arguments).status();
    if !status.is_ok_and(|status| status.success()) {
        return Err("the build failed".into());
    }
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let target = own.parent().and_then(Path::parent).ok_or("no target directory")?;
    Ok(target.join("dist/tare-runtime"))
}

/// Files below `dir` whose names end in `suffix`, sorted.
fn files(dir: &Path, suffix: &str) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let mut pending = vec![dir.to_owned()];
    while let Some(dir) = pending.pop() {
        let entries = fs::read_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() && !path.is_symlink() {
                pending.push(path);
            } else if path.to_string_lossy().ends_with(suffix) {
                found.push(path);
            }
        }
    }
    found.sort();
    if found.is_empty() {
        return Err(format!("{}: no *{suffix} in it; was the suite built?", dir.display()));
    }
    Ok(found)
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn runtime_tools(folder: &Path, runtime: &Path) -> Result<Vec<Program>, String> {
    let programs = files(&folder.join("validation"), ".t")?;
    let program = |path: PathBuf| Program {
        name: stem(&path),
        arguments: vec![path.to_string_lossy().into_owned()],
        environment: vec![("RUNTIME", runtime.to_string_lossy().into_owned())],
    };
    Ok(programs.into_iter().map(program).collect())
}

fn runc(folder: &Path, runtime: &Path) -> Result<Vec<Program>, String> {
    let files = files(&folder.join("tests/integration"), ".bats")?;
    // The tests want a terminal as standard input.
    let program = |path: PathBuf| Program {
        name: stem(&path),
        arguments: ["script", "-qec"]
            .map(String::from)
            .into_iter()
            .chain([format!("bats --formatter tap {}", path.display()), "/dev/null".into()])
            .collect(),
        environment: vec![("RUNC", runtime.to_string_lossy().into_owned())],
    };
    Ok(files.into_iter().map(program).collect())
}

fn contest(folder: &Path, runtime: &Path) -> Result<Vec<Program>, String> {
    let contest = folder.join("contest");
    let output = Command::new(&contest).arg("list").output();
    let output = output.map_err(|error| format!("{}: {error}", contest.display()))?;
    let groups = String::from_utf8_lossy(&output.stdout).into_owned();
    let program = |group: &str| Program {
        name: group.to_string(),
        arguments: [
            contest.to_string_lossy().as_ref(),
            "run",
            "--runtime",
            runtime.to_string_lossy().as_ref(),
            "--runtimetest",
            folder.join("runtimetest").to_string_lossy().as_ref(),
            "-t",
            group,
        ]
        .map(String::from)
        .to_vec(),
        environment: vec![("RUNTIME_KIND", "runc".into())],
    };
    let is_name = |line: &&str| {
        !line.is_empty() && line.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    };
    Ok(groups.lines().map(str::trim).filter(is_name).map(program).collect())
}

fn crun(folder: &Path, runtime: &Path) -> Result<Vec<Program>, String> {
    let tests = files(&folder.join("tests"), ".py")?;
    let tests = tests.into_iter().filter(|path| stem(path).starts_with("test_"));
    let program = |path: PathBuf| Program {
        name: stem(&path),
        arguments: vec!["python3".into(), path.to_string_lossy().into_owned()],
        environment: vec![
            ("OCI_RUNTIME", runtime.to_string_lossy().into_owned()),
            ("INIT", folder.join("tests/init").to_string_lossy().into_owned()),
        ],
    };
    Ok(tests.map(program).collect())
}

/// Runs the programs one by one; returns how many cases failed.
fn run_all(folder: &Path, programs: &[Program]) -> Result<u32, String> {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for program in programs {
        let output = Command::new("timeout")
            .args(["--kill-after=5", DEADLINE_SECONDS, "unshare", "--mount", "--pid", "--fork"])
            .args(["--kill-child", "--mount-proc", "--"])
            .args(&program.arguments)
            .envs(program.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(folder)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("{}: {error}", program.name))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut cases: Vec<(&str, &str)> = text.lines().filter_map(case).collect();
        if !output.status.success() && cases.iter().all(|(state, _)| *state != "fail") {
            cases.push(("fail", "(program)"));
        }
        for (state, case) in cases {
            *counts.entry(state).or_default() += 1;
            crate::print(&format!("{state}\t{}: {case}\n", program.name));
        }
    }
    let count = |state| counts.get(state).copied().unwrap_or_default();
    let (passed, failed, skipped) = (count("pass"), count("fail"), count("skip"));
    crate::print(&format!("{passed} passed, {failed} failed, {skipped} skipped\n"));
    Ok(failed)
}

/// A result line of the Test Anything Protocol (`ok 1 - name # skip why`) or of contest
/// (`1 / 2 : name : not ok`).
fn case(line: &str) -> Option<(&'static str, &str)> {
    let line = line.trim();
    if let Some((_, rest)) = line.split_once(" / ")
        && let Some((name, state)) = rest.split_once(" : ").and_then(|(_, r)| r.rsplit_once(" : "))
    {
        return match state {
            "ok" => Some(("pass", name)),
            "skipped" => Some(("skip", name)),
            "not ok" => Some(("fail", name)),
            _ => None,
        };
    }
    let (passed, rest) = match line.strip_prefix("not ok ") {
        Some(rest) => (false, rest),
        None => (true, line.strip_prefix("ok ")?),
    };
    let name = rest.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start_matches([' ', '-']);
    let (name, comment) = name.split_once(" #").unwrap_or((name, ""));
    let skipped =
        comment.trim_start().get(..4).is_some_and(|word| word.eq_ignore_ascii_case("skip"));
    Some((
        if skipped {
            "skip"
        } else if passed {
            "pass"
        } else {
            "fail"
        },
        name.trim(),
    ))
}

#[cfg(test)]
mod tests {
    use super::case;

    #[test]
    fn results_of_both_forms_are_read() {
        assert_eq!(case("ok 1 - a b"), Some(("pass", "a b")));
        assert_eq!(case("not ok 12 a # took 3 s"), Some(("fail", "a")));
        assert_eq!(case("ok 3 a b # skip needs root"), Some(("skip", "a b")));
        assert_eq!(
            case("ok 4 - pidfd #SKIP pidfd not supported # 0.001s"),
            Some(("skip", "pidfd"))
        );
        assert_eq!(case("2 / 4 : name of it : not ok"), Some(("fail", "name of it")));
        assert_eq!(case("1 / 4 : x : skipped"), Some(("skip", "x")));
        assert_eq!(case("1..4"), None);
        assert_eq!(case("okay"), None);
    }
}
