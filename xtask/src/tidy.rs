//! The project's laws that no compiler holds.

use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;

/// Which crates of the workspace each crate may depend on: one way only.
const EDGES: [(&str, &[&str]); 12] = [
    ("oci", &[]),
    ("sys", &[]),
    ("rt", &["sys"]),
    ("pkg", &["skips"]),
    ("runtime", &["oci", "skips", "sys"]),
    ("tare-runtime", &["oci", "rt", "runtime", "sys"]),
    ("tare", &["oci", "pkg", "runtime", "sys"]),
    ("e2e", &["skips", "sys"]),
    ("floor", &["rt", "sys"]),
    ("mutation", &["runtime"]),
    ("skips", &[]),
    ("xtask", &["oci", "runtime", "sys"]),
];
/// What `tare-runtime` links. Derived visitors of `serde` were a quarter of its code.
const SMALL: [&str; 5] = ["oci", "sys", "rt", "runtime", "tare-runtime"];
/// Crates that may contain `unsafe`.
const UNSAFE: [&str; 2] = ["crates/sys/", "crates/rt/"];
/// Licences that may be linked into the programs.
const LICENCES: [&str; 8] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-3-Clause",
    "ISC",
    "Unicode-3.0",
    "Zlib",
    "Unlicense",
];
/// Past this many lines a file does a second thing.
const LINES_LIMIT: usize = 700;

/// Everything that breaks a law, as sentences.
pub(crate) fn findings() -> Vec<String> {
    let mut findings = Vec::new();
    let files = output("git", &["ls-files"]);
    for path in files.lines() {
        let Ok(text) = std::fs::read_to_string(path) else { continue };
        check_file(path, &text, &mut findings);
    }
    if !files.lines().any(|path| path == "Cargo.lock") {
        findings.push("Cargo.lock is not committed".into());
    }
    check_packages(&mut findings);
    findings
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

fn check_file(path: &str, text: &str, findings: &mut Vec<String>) {
    // Spelled in parts so that this file does not find itself.
    let words = [["/wor", "k/"].concat(), ["/far", "m/"].concat(), ["debian", ".org"].concat()];
    if !path.contains("/data/") {
        for word in words.iter().filter(|word| text.contains(word.as_str())) {
            findings.push(format!("{path}: says {word:?}, which belongs to one machine"));
        }
    }
    if !path.ends_with(".rs") {
        return;
    }
    let lines = text.lines().count();
    if lines > LINES_LIMIT && !path.contains("/tables/") {
        findings.push(format!("{path}: {lines} lines, the limit is {LINES_LIMIT}"));
    }
    let block = ["unsafe", " {"].concat();
    let function = ["unsafe", " fn"].concat();
    let has_unsafe = text.contains(&block) || text.contains(&function);
    if has_unsafe && !UNSAFE.iter().any(|allowed| path.starts_with(allowed)) {
        findings.push(format!("{path}: has unsafe code outside of {UNSAFE:?}"));
    }
    for mark in [["to", "do!("].concat(), ["unimpl", "emented!("].concat(), ["FIX", "ME"].concat()]
    {
        if text.contains(&mark) {
            findings.push(format!("{path}: has {mark:?}"));
        }
    }
}

fn check_packages(findings: &mut Vec<String>) {
    let text = output(env!("CARGO"), &["metadata", "--locked", "--format-version", "1"]);
    let Ok(metadata) = serde_json::from_str::<Value>(&text) else {
        findings.push("cargo metadata failed: is Cargo.lock up to date?".into());
        return;
    };
    let edges: BTreeMap<&str, &[&str]> = EDGES.into_iter().collect();
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    let local = |package: &Value| package["source"].is_null();
    let names: Vec<&str> =
        packages.iter().filter(|p| local(p)).filter_map(|p| p["name"].as_str()).collect();
    for package in &packages {
        let name = package["name"].as_str().unwrap_or("");
        if !local(package) {
            check_licence(name, package["license"].as_str().unwrap_or(""), findings);
            if !package["source"].as_str().unwrap_or("").starts_with("registry+") {
                findings.push(format!("{name}: does not come from the registry"));
            }
            continue;
        }
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = dependency["name"].as_str().unwrap_or("");
            let allowed = edges.get(name).is_some_and(|allowed| allowed.contains(&to));
            if names.contains(&to) && !allowed {
                findings.push(format!("{name} must not depend on {to}"));
            }
            let linked = dependency["kind"].is_null();
            if linked && to.starts_with("serde") && SMALL.contains(&name) {
                findings.push(format!("{name} must not depend on {to}: oci::json is enough"));
            }
        }
    }
}

/// An expression is fine when every `AND` part has an allowed `OR` part.
fn check_licence(name: &str, expression: &str, findings: &mut Vec<String>) {
    let plain = expression.replace(['(', ')'], " ").replace('/', " OR ");
    let allowed = |part: &str| part.split(" OR ").any(|one| LICENCES.contains(&one.trim()));
    if !plain.split(" AND ").all(allowed) {
        findings.push(format!("{name}: licence {expression:?} is not in the list"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_are_read_as_expressions() {
        let check = |expression: &str, fine: bool| {
            let mut findings = Vec::new();
            check_licence("x", expression, &mut findings);
            assert_eq!(findings.is_empty(), fine, "{expression}");
        };
        check("MIT OR Apache-2.0", true);
        check("MIT/Apache-2.0", true);
        check("(MIT OR GPL-3.0) AND Unicode-3.0", true);
        check("GPL-3.0", false);
        check("MIT AND GPL-3.0", false);
        check("", false);
    }

    #[test]
    fn laws_are_found_broken() {
        let check = |path: &str, text: &str, count: usize| {
            let mut findings = Vec::new();
            check_file(path, text, &mut findings);
            assert_eq!(findings.len(), count, "{findings:?}");
        };
        let bad = ["unsafe", " { x() }"].concat();
        check("crates/runtime/src/x.rs", &bad, 1);
        check("crates/sys/src/x.rs", &bad, 0);
        check("crates/oci/src/x.rs", &"\n".repeat(701), 1);
    }
}
