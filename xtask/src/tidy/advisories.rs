//! Security advisories about what the project depends on.
//!
//! The RustSec database is not reachable where the project is built, so what it says about the
//! packages of `Cargo.lock` is kept in `xtask/data/advisories.tsv`: `cargo xtask advisories FOLDER`
//! takes it from a checkout of the database, and names in it every package that was looked up. A
//! package that is not named there, and one in a version that an advisory is about, break the law.

use semver::{Version, VersionReq};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

/// Package, advisory or `-`, kind, and the versions that it is not about, separated by semicolons.
const KNOWN: &str = include_str!("../../data/advisories.tsv");

/// Advisories that were read, with why they do not count here.
const ACCEPTED: &[(&str, &str)] = &[];

/// Checks packages of others, given by name and version.
pub(super) fn check(packages: &[Value], findings: &mut Vec<String>) {
    check_against(KNOWN, packages, findings);
}

fn check_against(known: &str, packages: &[Value], findings: &mut Vec<String>) {
    for (name, version) in foreign(packages) {
        let rows: Vec<Vec<&str>> = known
            .lines()
            .map(|line| line.split('\t').collect::<Vec<_>>())
            .filter(|row| row.first() == Some(&name.as_str()))
            .collect();
        if rows.is_empty() {
            findings.push(format!(
                "{name}: nobody has looked for advisories: cargo xtask advisories FOLDER"
            ));
        }
        for row in rows {
            let [_, id, kind, fine] = row[..] else { continue };
            let accepted = ACCEPTED.iter().any(|(accepted, _)| *accepted == id);
            if id != "-" && !accepted && !is_fine(&version, fine) {
                findings.push(format!("{name} {version}: {id} ({kind})"));
            }
        }
    }
}

fn foreign(packages: &[Value]) -> BTreeSet<(String, String)> {
    let field = |package: &Value, field: &str| package[field].as_str().unwrap_or("").to_string();
    let foreign = packages.iter().filter(|package| !package["source"].is_null());
    foreign.map(|package| (field(package, "name"), field(package, "version"))).collect()
}

/// Whether a version is one of those that an advisory is not about. What cannot be read is not.
fn is_fine(version: &str, fine: &str) -> bool {
    let Ok(version) = Version::parse(version) else { return false };
    fine.split(';')
        .filter_map(|range| VersionReq::parse(range).ok())
        .any(|range| range.matches(&version))
}

/// Takes what a checkout of the database says about these packages.
pub(super) fn collect(database: &Path, packages: &[Value]) -> Result<String, String> {
    if !database.join("crates").is_dir() {
        return Err(format!("{}: is no checkout of the RustSec database", database.display()));
    }
    let mut text = String::new();
    let names: BTreeSet<String> = foreign(packages).into_iter().map(|(name, _)| name).collect();
    for name in names {
        let files = std::fs::read_dir(database.join("crates").join(&name));
        let mut paths: Vec<_> = files.into_iter().flatten().flatten().map(|e| e.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
        paths.sort();
        // That it was looked up.
        let _ = writeln!(text, "{name}\t-\t-\t");
        for path in paths {
            let source = std::fs::read_to_string(&path)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            let row = row(&source).map_err(|why| format!("{}: {why}", path.display()))?;
            let _ = row.map(|row| writeln!(text, "{name}\t{row}"));
        }
    }
    Ok(text)
}

/// The front matter of an advisory as a row; none when it was withdrawn.
fn row(source: &str) -> Result<Option<String>, String> {
    let matter = source.split("```toml").nth(1).and_then(|rest| rest.split("```").next());
    let table: toml::Table =
        matter.ok_or("no front matter")?.parse().map_err(|error| format!("{error}"))?;
    let advisory = table.get("advisory").ok_or("no advisory")?;
    let text = |field: &str| advisory.get(field).and_then(toml::Value::as_str);
    if advisory.get("withdrawn").is_some() {
        return Ok(None);
    }
    let ranges = |field: &str| -> Vec<String> {
        let list = table.get("versions").and_then(|versions| versions.get(field));
        let list = list.and_then(toml::Value::as_array).into_iter().flatten();
        list.filter_map(|range| range.as_str().map(str::to_string)).collect()
    };
    let fine = [ranges("patched"), ranges("unaffected")].concat().join(";");
    let kind = text("informational").unwrap_or("vulnerability");
    Ok(Some(format!("{}\t{kind}\t{fine}", text("id").ok_or("no id")?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn versions_that_an_advisory_is_about_are_found() {
        let known = "a\t-\t-\t\na\tRUSTSEC-1\tvulnerability\t>= 1.2.3;< 1.0.0\nb\t-\t-\t\n\
                     b\tRUSTSEC-2\tunmaintained\t\n";
        let of = |name: &str, version: &str| {
            let package = json!({"name": name, "version": version, "source": "registry+x"});
            let mut findings = Vec::new();
            check_against(known, &[package], &mut findings);
            findings
        };
        assert_eq!(of("a", "1.2.3"), Vec::<String>::new());
        assert_eq!(of("a", "0.9.0"), Vec::<String>::new());
        assert_eq!(of("a", "1.2.2"), ["a 1.2.2: RUSTSEC-1 (vulnerability)"]);
        assert_eq!(of("b", "5.0.0"), ["b 5.0.0: RUSTSEC-2 (unmaintained)"]);
        assert_eq!(of("c", "1.0.0").len(), 1);
    }

    #[test]
    fn advisories_become_rows() {
        let source = "```toml\n[advisory]\nid = \"RUSTSEC-1\"\npackage = \"a\"\n[versions]\n\
                      patched = [\n  \">= 2\",\n]\nunaffected = [\"< 1\"]\n```\n# Words\n";
        assert_eq!(row(source), Ok(Some("RUSTSEC-1\tvulnerability\t>= 2;< 1".into())));
        let withdrawn = source.replace("package", "withdrawn = \"2020-01-01\"\npackage");
        assert_eq!(row(&withdrawn), Ok(None));
        assert!(row("words").is_err());
    }
}
