//! `cargo xtask suite NAME FOLDER`: other projects' conformance suites.
//!
//! The suites are not part of this project: FOLDER is a checkout in which the suite was built by
//! its own instructions. Every program of a suite runs in a pid and mount namespace of its own, so
//! that what it leaves running is killed; what is left in the cgroup hierarchies is its own to
//! name. Each case is one line, `STATE<tab>CASE`. The suites of runc and crun look for the runtime's
//! name in its messages, so it is tested under that name.

mod distribution;
mod podman;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// No case of the suites takes longer, unless it hangs.
const CASE_DEADLINE: Duration = Duration::from_secs(90);

/// A test of crun's leaves a process in this freezer, for which the pid namespace waits.
const LEFT_FROZEN: &str = "/sys/fs/cgroup/freezer/frozen/freezer.state";
/// No case needs that freezer for longer without saying anything.
const QUIET: Duration = Duration::from_secs(5);

/// The first process of the namespace has to collect whatever ends in it, as an init does: what
/// nobody collects still counts as a process of its cgroup.
const FIRST_PROCESS: &str = r#""$@" <&0 & wait $!"#;

const USAGE: &str = "usage: cargo xtask suite NAME FOLDER [PROGRAM [FILE...]]

  runtime-tools  FOLDER is a checkout of opencontainers/runtime-tools (make validation-executables)
  runc           a checkout of opencontainers/runc (make test helpers and images; needs bats)
  contest        a checkout of youki with `contest` and `runtimetest` built into it
  crun           a checkout of containers/crun with tests/init built (needs python3 with libmount)
  distribution   the folder `conformance` of opencontainers/distribution-spec with its program built
                 into it (go build -o conformance); OCI_VERSION=dev runs what is not released yet
  podman         a checkout of containers/podman, of which test/system is run with tare in podman's place
                 (needs bats, busybox-static, iproute2, jq); FILEs, such as 030-run, are run alone

PROGRAM is the program to test, by default the one of this build. For `distribution` it may be the
ADDRESS:PORT of a registry.
";

const SUITES: [&str; 6] = ["runtime-tools", "runc", "contest", "crun", "distribution", "podman"];

/// One command of a suite.
struct Program {
    name: String,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
    /// Its cases, where they are known and the others can be run without one that hangs or crashes.
    cases: Vec<String>,
    only: Only,
}

/// How a program is told to run some of its cases.
#[derive(Clone, Copy)]
enum Only {
    /// It cannot be; but the exit status is a case of its own.
    Status,
    /// crun's tests: by a variable that holds their names.
    Variable,
    /// bats: by a variable that holds a pattern.
    Pattern,
    /// contest: one by one, as the argument behind `-t`.
    Argument,
}

/// Runs a suite and prints its cases.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let (name, folder, given, only) = match arguments {
        [name, folder] => (name, folder, None, &[][..]),
        [name, folder, runtime] => (name, folder, Some(runtime), &[][..]),
        [name, folder, program, only @ ..] if name == "podman" => {
            (name, folder, Some(program), only)
        }
        _ => return crate::misused(USAGE),
    };
    if !SUITES.contains(&name.as_str()) {
        return crate::misused(&format!(
            "there is no suite {name:?}
{USAGE}"
        ));
    }
    if name == "distribution" {
        let folder = fs::canonicalize(folder).map_err(|error| format!("{folder}: {error}"));
        return report(folder.and_then(|folder| distribution::run(&folder, given)));
    }
    if name == "podman" {
        let folder = fs::canonicalize(folder).map_err(|error| format!("{folder}: {error}"));
        let result = folder.and_then(|folder| podman::run(&folder, &program("tare", given)?, only));
        return report(result);
    }
    let result = program("tare-runtime", given).and_then(|runtime| {
        let folder = fs::canonicalize(folder).map_err(|error| format!("{folder}: {error}"))?;
        let named = Named::new(&runtime, name)?;
        let runtime = named.path();
        let programs = match name.as_str() {
            "runtime-tools" => runtime_tools(&folder, runtime),
            "runc" => runc(&folder, runtime),
            "contest" => contest(&folder, runtime),
            _ => crun(&folder, runtime),
        }?;
        run_all(&folder, &programs)
    });
    report(result)
}

/// The exit status of a run with so many failures.
fn report(result: Result<u32, String>) -> ExitCode {
    match result {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            crate::say(&format!("suite: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

/// The program to test: the one that is given, or the one of this build.
pub(crate) fn program(name: &str, given: Option<&String>) -> Result<PathBuf, String> {
    if let Some(path) = given {
        return fs::canonicalize(path).map_err(|error| format!("{path}: {error}"));
    }
    Ok(crate::build::dist(&[&["-p", name]])?.join(name))
}

/// The runtime under the name that a suite expects.
struct Named(PathBuf);

impl Named {
    fn new(runtime: &Path, suite: &str) -> Result<Self, String> {
        let dir = std::env::temp_dir().join(format!("tare-suite-{}", std::process::id()));
        let name = if matches!(suite, "runc" | "crun") { suite } else { "tare-runtime" };
        let named = Self(dir.join(name));
        fs::create_dir(&dir)
            .and_then(|()| fs::copy(runtime, named.path()))
            .map_err(|error| format!("{}: {error}", dir.display()))?;
        Ok(named)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        if let Some(dir) = self.0.parent() {
            let _ = fs::remove_dir_all(dir);
        }
    }
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
        cases: Vec::new(),
        only: Only::Status,
    };
    Ok(programs.into_iter().map(program).collect())
}

fn runc(folder: &Path, runtime: &Path) -> Result<Vec<Program>, String> {
    let files = files(&folder.join("tests/integration"), ".bats")?;
    // The tests want a terminal as standard input.
    let program = |path: PathBuf| Program {
        name: stem(&path),
        arguments: ["script", "-qefc"]
            .map(String::from)
            .into_iter()
            .chain([format!("bats --formatter tap --filter \"$SUITE_FILTER\" {}", path.display())])
            .chain(["/dev/null".into()])
            .collect(),
        environment: vec![
            ("RUNC", runtime.to_string_lossy().into_owned()),
            ("SUITE_FILTER", ".".into()),
        ],
        cases: bats_cases(&fs::read_to_string(&path).unwrap_or_default()),
        only: Only::Pattern,
    };
    Ok(files.into_iter().map(program).collect())
}

/// Names of the cases, which stand in double quotes as in a shell.
fn bats_cases(source: &str) -> Vec<String> {
    let name = |line: &str| {
        let line = line.strip_prefix("@test \"")?.rsplit_once('"')?.0.trim();
        Some(line.replace("\\\"", "\"").replace("\\$", "$"))
    };
    source.lines().filter_map(name).collect()
}

/// A pattern of bats for exactly these names.
fn pattern(names: &[String]) -> String {
    let quoted = |name: &String| {
        let quote = |c: char| match c.is_ascii_punctuation() {
            true => format!("\\{c}"),
            false => c.to_string(),
        };
        name.chars().map(quote).collect::<String>()
    };
    let names: Vec<String> = names.iter().map(quoted).collect();
    format!("^ *({}) *$", names.join("|"))
}

fn contest(folder: &Path, runtime: &Path) -> Result<Vec<Program>, String> {
    let contest = folder.join("contest");
    let output = Command::new(&contest).arg("list").current_dir(folder).output();
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
        cases: contest_cases(folder, group),
        only: Only::Argument,
    };
    let is_name = |line: &&str| {
        !line.is_empty() && line.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    };
    Ok(groups.lines().map(str::trim).filter(is_name).map(program).collect())
}

/// The cases of a group, from the sources: `contest` does not list them.
fn contest_cases(folder: &Path, group: &str) -> Vec<String> {
    let sources = folder.join("tests/contest/contest/src/tests");
    let opening = format!("TestGroup::new(\"{group}\")");
    let read = |path: &PathBuf| fs::read_to_string(path).unwrap_or_default();
    let all = files(&sources, ".rs").unwrap_or_default();
    let Some(home) = all.iter().find(|path| read(path).contains(&opening)) else {
        return Vec::new();
    };
    // A file of its own, or several in a directory that make one group together.
    let beside = |path: &&PathBuf| {
        path == &home || (path.parent() == home.parent() && !read(path).contains("TestGroup::new("))
    };
    let mut cases: Vec<String> =
        all.iter().filter(beside).flat_map(|path| tests_in(&read(path))).collect();
    cases.sort();
    cases.dedup();
    cases
}

/// First arguments, where they are strings, of what has "test" in its name: `Test::new("a", ...)`.
fn tests_in(source: &str) -> Vec<String> {
    let part_of_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '!');
    let calls = source.match_indices('(').filter_map(|(at, _)| {
        let callee = &source[..at];
        let start = callee.rfind(|c| !part_of_name(c)).map_or(0, |last| last + 1);
        let callee = callee.get(start..)?.to_ascii_lowercase();
        let name = source[at + 1..].trim_start().strip_prefix('"')?.split('"').next()?;
        (callee.contains("test") && !callee.contains("group")).then(|| name.to_string())
    });
    calls.collect()
}

/// The files that crun's own build runs.
fn crun(folder: &Path, runtime: &Path) -> Result<Vec<Program>, String> {
    let makefile = folder.join("Makefile.am");
    let makefile = fs::read_to_string(&makefile)
        .map_err(|error| format!("{}: {error}", makefile.display()))?;
    let list = makefile.split_once("PYTHON_TESTS = ").map_or("", |(_, rest)| rest);
    let list = list.split("\n\n").next().unwrap_or_default().replace("\\\n", " ");
    let mut tests: Vec<PathBuf> = list.split_whitespace().map(|name| folder.join(name)).collect();
    tests.sort();
    let cases = |path: &Path| {
        let source = fs::read_to_string(path).unwrap_or_default();
        let table = source.split_once("all_tests = {").map_or("", |(_, rest)| rest);
        let table = table.split("\n}").next().unwrap_or_default();
        // "name": function,
        let name = |line: &str| line.trim().strip_prefix('"')?.split('"').next().map(String::from);
        table.lines().filter_map(name).collect()
    };
    let program = |path: PathBuf| Program {
        cases: cases(&path),
        only: Only::Variable,
        name: stem(&path),
        arguments: vec!["python3".into(), path.to_string_lossy().into_owned()],
        environment: vec![
            ("OCI_RUNTIME", runtime.to_string_lossy().into_owned()),
            ("INIT", folder.join("tests/init").to_string_lossy().into_owned()),
        ],
    };
    Ok(tests.into_iter().map(program).collect())
}

/// All cases of a program, again without those that hang or crash where that is possible.
fn run_program(folder: &Path, program: &Program) -> std::io::Result<Vec<(&'static str, String)>> {
    let owned = |(state, name): (&'static str, &str)| (state, name.to_string());
    let (success, text) = run_once(folder, program, &[])?;
    let mut found: Vec<_> = text.lines().filter_map(case).map(owned).collect();
    let mut left: Vec<String> = program.cases.clone();
    left.retain(|name| found.iter().all(|(_, known)| known != name));
    match program.only {
        Only::Variable | Only::Pattern => {
            // Each round takes one away at least.
            while !left.is_empty() {
                found.push(("fail", left.remove(0)));
                if left.is_empty() {
                    break;
                }
                let (_, text) = run_once(folder, program, &left)?;
                found.extend(text.lines().filter_map(case).map(owned));
                left.retain(|name| found.iter().all(|(_, known)| known != name));
            }
        }
        Only::Argument if !success || found.is_empty() => {
            for name in left {
                let (success, text) = run_once(folder, program, std::slice::from_ref(&name))?;
                match text.lines().find_map(case) {
                    Some((state, _)) => found.push((state, name)),
                    // The sources have names that are no cases of this group.
                    None if success => {}
                    None => found.push(("fail", name)),
                }
            }
        }
        Only::Status => {
            let ran = success && (!found.is_empty() || text.lines().any(|line| line == "1..0"));
            found.push((if ran { "pass" } else { "fail" }, "(program)".into()));
        }
        Only::Argument => {}
    }
    Ok(found)
}

/// crun's tests work in a directory named by their pid, which is the same in every namespace: what
/// one leaves that was killed keeps the next one from starting.
fn remove_places(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(".testsuite-run-") {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Runs a program, or some of its cases, until it ends or says nothing for too long.
fn run_once(folder: &Path, program: &Program, only: &[String]) -> std::io::Result<(bool, String)> {
    let path = std::env::temp_dir().join(format!("tare-suite-{}/output", std::process::id()));
    let output = fs::File::create(&path)?;
    let mut arguments = program.arguments.clone();
    let mut environment = program.environment.clone();
    match (program.only, only) {
        (Only::Variable, [_, ..]) => environment.push(("RUN_TESTS", only.join(" "))),
        (Only::Pattern, [_, ..]) => environment.push(("SUITE_FILTER", pattern(only))),
        (Only::Argument, [name, ..]) => {
            arguments.pop();
            arguments.push(format!("{}::{name}", program.name));
        }
        _ => {}
    }
    remove_places(folder);
    let terminal = matches!(program.only, Only::Pattern);
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .args(["bash", "-c", FIRST_PROCESS, "suite"])
        .args(arguments)
        .envs(environment)
        .current_dir(folder)
        // script(1) spins at the end of a file; a pipe is like a terminal where nobody types.
        .stdin(if terminal { Stdio::piped() } else { Stdio::null() })
        .stderr(output.try_clone()?)
        .stdout(output);
    let mut child = command.spawn()?;
    let (mut length, mut since) = (0, Instant::now());
    let success = loop {
        if let Some(status) = child.try_wait()? {
            break status.success();
        }
        let now = fs::metadata(&path)?.len();
        if now != length {
            (length, since) = (now, Instant::now());
        } else if since.elapsed() > QUIET && Path::new(LEFT_FROZEN).exists() {
            let _ = fs::write(LEFT_FROZEN, "THAWED");
        } else if since.elapsed() > CASE_DEADLINE {
            child.kill()?;
            child.wait()?;
            break false;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    Ok((success, String::from_utf8_lossy(&fs::read(&path)?).into_owned()))
}

/// Runs the programs one by one; returns how many cases failed.
fn run_all(folder: &Path, programs: &[Program]) -> Result<u32, String> {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for program in programs {
        let cases =
            run_program(folder, program).map_err(|error| format!("{}: {error}", program.name))?;
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
    // What is skipped may have nothing but its reason.
    let (name, comment) = match name.strip_prefix('#') {
        Some(comment) => (comment, comment),
        None => name.split_once(" #").unwrap_or((name, "")),
    };
    let word = comment.trim_start().get(..4).unwrap_or("");
    // What is yet to be done may fail.
    let skipped = word.eq_ignore_ascii_case("skip") || (!passed && word == "TODO");
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
    fn cases_of_bats_are_quoted_for_its_filter() {
        let source = "@test \"runc create [ --x ] \" {\n@test \"a \\\"b\\\" {no,rel}\" {\n";
        let names = super::bats_cases(source);
        assert_eq!(names, ["runc create [ --x ]", "a \"b\" {no,rel}"]);
        assert_eq!(
            super::pattern(&names),
            r#"^ *(runc create \[ \-\-x \]|a \"b\" \{no\,rel\}) *$"#
        );
    }

    #[test]
    fn cases_are_found_in_sources() {
        let source = "let a = Test::new(\n \"first one\",\n f); test_result!(x(\"no\")); \
                      TestGroup::new(\"group\"); ConditionalTest::new(\"second\", g)";
        assert_eq!(super::tests_in(source), ["first one", "second"]);
    }

    #[test]
    fn what_a_killed_program_of_crun_left_is_removed() {
        let folder = std::env::temp_dir().join(format!("tare-places-{}", std::process::id()));
        std::fs::create_dir_all(folder.join(".testsuite-run-2/root")).unwrap();
        std::fs::create_dir(folder.join("tests")).unwrap();
        super::remove_places(&folder);
        let left = std::fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.file_name());
        assert_eq!(left.collect::<Vec<_>>(), ["tests"]);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn results_of_both_forms_are_read() {
        assert_eq!(case("ok 1 - a b"), Some(("pass", "a b")));
        assert_eq!(case("not ok 12 a # took 3 s"), Some(("fail", "a")));
        assert_eq!(case("ok 3 a b # skip needs root"), Some(("skip", "a b")));
        assert_eq!(
            case("ok 4 - pidfd #SKIP pidfd not supported # 0.001s"),
            Some(("skip", "pidfd"))
        );
        let reason = "SKIP hostname not set";
        assert_eq!(case(&format!("ok 1 # {reason}")), Some(("skip", reason)));
        assert_eq!(case("not ok 5 - a # TODO later"), Some(("skip", "a")));
        assert_eq!(case("ok 5 - a # TODO later"), Some(("pass", "a")));
        assert_eq!(case("2 / 4 : name of it : not ok"), Some(("fail", "name of it")));
        assert_eq!(case("1 / 4 : x : skipped"), Some(("skip", "x")));
        assert_eq!(case("1..4"), None);
        assert_eq!(case("okay"), None);
    }
}
