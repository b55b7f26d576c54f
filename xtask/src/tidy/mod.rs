//! The project's laws that no compiler holds.
//!
//! The compiler and clippy hold others: `undocumented_unsafe_blocks` (each `unsafe` block has a
//! SAFETY comment), `print_stdout` and `print_stderr`, `missing_docs`, and `no_std`, which keeps
//! `std::path` and with it the joining of untrusted paths out of `sys`, `oci` and `runtime`.

mod advisories;
mod packages;
mod promises;
mod text;

use std::process::Command;

/// Everything that breaks a law, as sentences.
pub(crate) fn findings() -> Vec<String> {
    let mut findings = Vec::new();
    let names = output("git", &["ls-files"]);
    let read = |path| Some((path, std::fs::read_to_string(path).ok()?));
    let files: Vec<(&str, String)> = names.lines().filter_map(read).collect();
    files.iter().for_each(|(path, text)| text::check(path, text, &mut findings));
    promises::check(&files, &mut findings);
    if !files.iter().any(|(path, _)| *path == "Cargo.lock") {
        findings.push("Cargo.lock is not committed".into());
    }
    packages::check(&mut findings);
    findings
}

/// Writes what a checkout of the RustSec database says about the packages that are depended on.
pub(crate) fn collect_advisories(database: &str) -> Result<(), String> {
    const FILE: &str = "xtask/data/advisories.tsv";
    let text = advisories::collect(std::path::Path::new(database), &packages::all())?;
    std::fs::write(FILE, text).map_err(|error| format!("{FILE}: {error}"))
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}
