//! Laws about packages: the project's own, and what it depends on.
//!
//! Few packages, one version of each, none from outside of the registry, only known licences, no
//! known advisory, and a written reason for each that is chosen.

use super::{advisories, output};
use serde_json::Value;
use std::collections::BTreeMap;

/// Which crates of the workspace each crate may depend on: one way only.
const EDGES: &[(&str, &[&str])] = &[
    ("archive", &["skips", "sys"]),
    ("engine", &["net", "oci", "runtime", "store", "sys", "yaml"]),
    ("images", &["archive", "oci", "store", "sys", "transport"]),
    ("net", &["oci", "private-net", "skips", "sys"]),
    ("oci", &[]),
    ("sys", &[]),
    ("rt", &["sys"]),
    ("pkg", &["skips"]),
    ("store", &["oci", "skips", "sys"]),
    ("template", &[]),
    ("transport", &["archive", "oci", "skips", "sys", "yaml"]),
    ("runtime", &["oci", "skips", "sys"]),
    ("serve", &["oci", "skips", "sys", "transport"]),
    ("yaml", &["oci"]),
    ("tare-runtime", &["oci", "rt", "runtime", "sys"]),
    (
        "tare",
        &[
            "archive",
            "engine",
            "images",
            "net",
            "oci",
            "pkg",
            "runtime",
            "serve",
            "store",
            "sys",
            "template",
            "transport",
        ],
    ),
    ("e2e", &["archive", "oci", "private-net", "skips", "sys", "transport"]),
    ("floor", &["rt", "sys"]),
    ("mutation", &["archive", "net", "runtime", "serve", "template", "transport"]),
    ("private-net", &["skips", "sys"]),
    ("skips", &[]),
    ("xtask", &["oci", "runtime", "skips", "sys", "transport"]),
];
/// What `tare-runtime` links. Derived visitors of `serde` were a quarter of its code.
const SMALL: [&str; 5] = ["oci", "sys", "rt", "runtime", "tare-runtime"];
/// Licences that may be linked into the programs.
const LICENCES: [&str; 10] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "bzip2-1.0.6",
    "ISC",
    "Unicode-3.0",
    "Zlib",
    "Unlicense",
];
/// Packages of others. Each is code that nobody here has read. A quarter of them is HTTP and TLS as a client, another one
/// as a server.
const PACKAGES_LIMIT: usize = 110;
/// Packages of others that the project names itself.
const DIRECT_LIMIT: usize = 24;

/// Every package that is built for Linux.
pub(super) fn all() -> Vec<Value> {
    // Cargo.lock names packages for other systems, too, which nobody here builds.
    let platform = ["--filter-platform", "x86_64-unknown-linux-gnu"];
    let arguments = [&["metadata", "--locked", "--format-version", "1"][..], &platform].concat();
    let metadata = serde_json::from_str::<Value>(&output(env!("CARGO"), &arguments));
    metadata.ok().and_then(|all| all["packages"].as_array().cloned()).unwrap_or_default()
}

/// Checks the workspace.
pub(super) fn check(findings: &mut Vec<String>) {
    let packages = all();
    if packages.is_empty() {
        findings.push("cargo metadata failed: is Cargo.lock up to date?".into());
        return;
    }
    advisories::check(&packages, findings);
    check_edges(&packages, findings);
    check_foreign(&packages, findings);
    for manifest in output("git", &["ls-files", "*Cargo.toml"]).lines() {
        let text = std::fs::read_to_string(manifest).unwrap_or_default();
        check_reasons(manifest, &text, findings);
    }
}

fn is_local(package: &Value) -> bool {
    package["source"].is_null()
}

fn name(package: &Value) -> &str {
    package["name"].as_str().unwrap_or("")
}

fn check_edges(packages: &[Value], findings: &mut Vec<String>) {
    let local: Vec<&str> = packages.iter().filter(|p| is_local(p)).map(name).collect();
    let edges: BTreeMap<&str, &[&str]> = EDGES.iter().copied().collect();
    for package in packages.iter().filter(|package| is_local(package)) {
        let from = name(package);
        let Some(allowed) = edges.get(from) else {
            findings.push(format!("{from} is not in the table of edges"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = name(dependency);
            if local.contains(&to) && !allowed.contains(&to) {
                findings.push(format!("{from} must not depend on {to}"));
            }
            let linked = dependency["kind"].is_null();
            if linked && to.starts_with("serde") && SMALL.contains(&from) {
                findings.push(format!("{from} must not depend on {to}: oci::json is enough"));
            }
        }
    }
}

fn check_foreign(packages: &[Value], findings: &mut Vec<String>) {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for package in packages.iter().filter(|package| !is_local(package)) {
        let name = name(package);
        *seen.entry(name).or_default() += 1;
        check_licence(name, package["license"].as_str().unwrap_or(""), findings);
        if !package["source"].as_str().unwrap_or("").starts_with("registry+") {
            findings.push(format!("{name}: does not come from the registry"));
        }
    }
    for (name, count) in seen.iter().filter(|(_, count)| **count > 1) {
        findings.push(format!("{name}: {count} versions in Cargo.lock"));
    }
    if seen.len() > PACKAGES_LIMIT {
        let count = seen.len();
        findings.push(format!("{count} packages of others, the limit is {PACKAGES_LIMIT}"));
    }
    let direct: std::collections::BTreeSet<&str> = packages
        .iter()
        .filter(|package| is_local(package))
        .flat_map(|package| package["dependencies"].as_array().into_iter().flatten())
        .map(name)
        .filter(|name| seen.contains_key(name))
        .collect();
    if direct.len() > DIRECT_LIMIT {
        let count = direct.len();
        findings.push(format!("{count} direct dependencies, the limit is {DIRECT_LIMIT}"));
    }
}

/// A dependency that is named with a version has a comment above it that says why.
fn check_reasons(manifest: &str, text: &str, findings: &mut Vec<String>) {
    let mut section = "";
    let mut previous = "";
    for line in text.lines() {
        if line.starts_with('[') {
            section = line;
        } else if section.contains("dependencies]")
            && names_a_version(line)
            && !previous.starts_with('#')
        {
            let name = line.split([' ', '=']).next().unwrap_or("");
            findings.push(format!("{manifest}: {name}: no comment says why it is chosen"));
        }
        previous = line;
    }
}

fn names_a_version(line: &str) -> bool {
    let value = line.split_once('=').map_or("", |(_, value)| value.trim());
    value.starts_with('"') || value.contains("version")
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
    use serde_json::json;

    fn found(check: impl FnOnce(&mut Vec<String>)) -> Vec<String> {
        let mut findings = Vec::new();
        check(&mut findings);
        findings
    }

    #[test]
    fn licences_are_read_as_expressions() {
        let check = |expression: &str, fine: bool| {
            let findings = found(|findings| check_licence("x", expression, findings));
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
    fn edges_go_one_way() {
        let package = |name: &str, to: &str| json!({"name": name, "source": null, "dependencies": [{"name": to, "kind": null}]});
        let check = |packages: &[Value]| found(|findings| check_edges(packages, findings));
        assert!(check(&[package("runtime", "oci"), package("oci", "serde_json_x")]).len() == 1);
        assert_eq!(
            check(&[package("sys", "runtime"), package("runtime", "sys")]),
            ["sys must not depend on runtime"]
        );
        assert_eq!(check(&[package("new", "x")]), ["new is not in the table of edges"]);
        assert_eq!(
            check(&[package("oci", "serde")]),
            ["oci must not depend on serde: oci::json is enough"]
        );
    }

    #[test]
    fn packages_of_others_come_once_and_from_the_registry() {
        let package = |name: &str, source: &str| json!({"name": name, "source": source, "license": "MIT", "dependencies": []});
        let check = |packages: &[Value]| found(|findings| check_foreign(packages, findings));
        let good = package("a", "registry+x");
        assert_eq!(check(std::slice::from_ref(&good)), Vec::<String>::new());
        assert_eq!(check(&[good.clone(), good]), ["a: 2 versions in Cargo.lock"]);
        assert_eq!(check(&[package("b", "git+x")]), ["b: does not come from the registry"]);
        let many: Vec<Value> =
            (0..=PACKAGES_LIMIT).map(|i| package(&format!("p{i}"), "registry+x")).collect();
        assert_eq!(check(&many).len(), 1);
    }

    #[test]
    fn a_dependency_has_a_reason() {
        let check = |text: &str| found(|findings| check_reasons("Cargo.toml", text, findings));
        let good =
            "[dependencies]\n# Because.\nx = \"1\"\noci.workspace = true\n[package]\ny = \"2\"\n";
        assert_eq!(check(good), Vec::<String>::new());
        assert_eq!(
            check("[workspace.dependencies]\noci = { path = \"x\" }\nz = { version = \"1\" }\n"),
            ["Cargo.toml: z: no comment says why it is chosen"]
        );
    }
}
