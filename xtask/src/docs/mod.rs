//! `cargo xtask docs`: manual pages and the command line reference, from what the programs say of
//! themselves.
//!
//! The source is the text of `--help`, which the programs make from the tables that they read
//! their arguments with. So the documents cost the programs nothing, and cannot tell of an option
//! that is not there.

mod help;
mod markdown;
mod prose;
mod roff;

use help::Help;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// A program with its verbs.
struct Program {
    name: &'static str,
    help: Help,
    verbs: Vec<(String, Help)>,
}

/// Builds the programs and writes the documents.
pub(crate) fn run() -> ExitCode {
    let build = ["build", "--locked", "--package", "tare", "--package", "tare-runtime"];
    let built = Command::new(env!("CARGO")).args(build).status();
    let written = match built {
        Ok(status) if status.success() => documents().and_then(|documents| {
            documents.into_iter().try_for_each(|(path, text)| write(Path::new(path), &text))
        }),
        _ => Err("building the programs failed".to_string()),
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            crate::say(&format!("docs: {why}\n"));
            ExitCode::FAILURE
        }
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(failed)?;
    std::fs::write(path, text).map_err(failed)
}

/// Every document: its path in the repository, and its text.
fn documents() -> Result<Vec<(&'static str, String)>, String> {
    let runtime = program("tare-runtime")?;
    let tare = program("tare")?;
    let run = tare.verbs.iter().find(|(name, _)| name == "run").ok_or("tare has no verb run")?;
    Ok(vec![
        ("docs/cli.md", markdown::reference(&[&tare, &runtime])),
        ("docs/man/tare-runtime.8", roff::program(&runtime, 8, &prose::RUNTIME)),
        ("docs/man/tare.1", roff::program(&tare, 1, &prose::TARE)),
        ("docs/man/tare-run.1", roff::verb(&tare, &run.1, "run", 1, &prose::RUN)),
    ])
}

fn program(name: &'static str) -> Result<Program, String> {
    let help = Help::parse(&ask(name, &["--help"])?);
    let mut verbs = Vec::new();
    for (verb, _) in &help.verbs {
        let help = Help::parse(&ask(name, &[verb, "--help"])?);
        let below: Vec<String> = help.verbs.iter().map(|(below, _)| below.clone()).collect();
        verbs.push((verb.clone(), help));
        for below in below {
            let help = Help::parse(&ask(name, &[verb, &below, "--help"])?);
            verbs.push((format!("{verb} {below}"), help));
        }
    }
    match verbs.is_empty() {
        true => Err(format!("{name} --help names no verb")),
        false => Ok(Program { name, help, verbs }),
    }
}

/// What a built program prints.
fn ask(name: &str, arguments: &[&str]) -> Result<String, String> {
    let path = built(name)?;
    let output = Command::new(&path).args(arguments).env("COLUMNS", "100").output();
    let output = output.map_err(|error| format!("{}: {error}", path.display()))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{name} {} failed", arguments.join(" "))),
    }
}

/// The program beside this one, or, for its tests, one directory above.
fn built(name: &str) -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| format!("the own path: {error}"))?;
    let beside = own.ancestors().skip(1).take(2).map(|dir| dir.join(name));
    let mut found = beside.filter(|path| path.is_file());
    found.next().ok_or_else(|| format!("{name} is not built: run `cargo build -p {name}` first"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    #[test]
    fn the_documents_are_current() {
        for (path, text) in documents().unwrap() {
            let committed = std::fs::read_to_string(repository().join(path)).unwrap_or_default();
            assert!(committed == text, "{path} is not current: run `cargo xtask docs`");
        }
    }

    #[test]
    fn every_page_is_formatted_without_a_warning() {
        for (path, _) in documents().unwrap().iter().filter(|(path, _)| path.contains("/man/")) {
            let mut groff = Command::new("groff");
            let path = repository().join(path);
            let output =
                groff.args(["-man", "-Tutf8", "-P-cbou", "-ww", "-rLL=100n"]).arg(&path).output();
            let Ok(output) = output else {
                return skips::skip("every_page_is_formatted_without_a_warning", "needs groff");
            };
            assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(text.contains("SYNOPSIS") && text.contains("EXIT STATUS"), "{text}");
        }
    }
}
