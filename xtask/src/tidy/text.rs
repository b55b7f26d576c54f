//! Laws that the text of a file shows.

/// Crates that may contain `unsafe`.
const UNSAFE: [&str; 2] = ["crates/sys/", "crates/rt/"];
/// Libraries: they return, the programs print, exit and look at the environment.
const LIBRARIES: &[&str] = &[
    "crates/archive/src/",
    "crates/images/src/",
    "crates/oci/src/",
    "crates/sys/src/",
    "crates/runtime/src/",
    "crates/pkg/src/",
    "crates/store/src/",
    "crates/template/src/",
    "crates/transport/src/",
    "crates/serve/src/",
    "crates/engine/src/",
    "crates/net/src/",
    "crates/yaml/src/",
];
/// What a library does not call.
const SURROUNDINGS: [&str; 6] = [
    "std::env::",
    "std::process::exit",
    "std::io::stdout",
    "std::io::stderr",
    "std::io::stdin",
    "use std::env",
];
/// Past this many lines a file does a second thing.
const LINES_LIMIT: usize = 700;
/// Past this many lines a function does.
const FUNCTION_LIMIT: usize = 70;
/// Functions that are longer for a reason: one value with 30 fields, tables of tests.
const LONG: [(&str, &str); 3] = [
    ("crates/runtime/src/create/job.rs", "prepare"),
    ("crates/runtime/src/cgroup/tests/fake_v1.rs", "v1_limits_reach_their_files"),
    ("tests/e2e/tests/e2e/conformance.rs", "a_strict_old_profile_without_no_new_privs_starts"),
];
/// File names that say nothing.
const NAMES: [&str; 6] = ["util", "utils", "helper", "helpers", "common", "manager"];

/// Checks one file.
pub(super) fn check(path: &str, text: &str, findings: &mut Vec<String>) {
    check_words(path, text, findings);
    if !path.ends_with(".rs") {
        return;
    }
    let lines = text.lines().count();
    if lines > LINES_LIMIT && !path.contains("/tables/") {
        findings.push(format!("{path}: {lines} lines, the limit is {LINES_LIMIT}"));
    }
    if path.split(['/', '.']).any(|part| NAMES.contains(&part)) {
        findings.push(format!("{path}: a name that does not say what is in it"));
    }
    let block = ["unsafe", " {"].concat();
    let function = ["unsafe", " fn"].concat();
    let has_unsafe = text.contains(&block) || text.contains(&function);
    if has_unsafe && !UNSAFE.iter().any(|allowed| path.starts_with(allowed)) {
        findings.push(format!("{path}: has unsafe code outside of {UNSAFE:?}"));
    }
    check_functions(path, text, findings);
    check_surroundings(path, text, findings);
}

fn check_words(path: &str, text: &str, findings: &mut Vec<String>) {
    // Spelled in parts so that this file does not find itself.
    let words = [["/wor", "k/"].concat(), ["/far", "m/"].concat(), ["debian", ".org"].concat()];
    if !path.contains("/data/") {
        for word in words.iter().filter(|word| text.contains(word.as_str())) {
            findings.push(format!("{path}: says {word:?}, which belongs to one machine"));
        }
    }
    if path.ends_with(".rs") {
        for mark in
            [["to", "do!("].concat(), ["unimpl", "emented!("].concat(), ["FIX", "ME"].concat()]
        {
            if text.contains(&mark) {
                findings.push(format!("{path}: has {mark:?}"));
            }
        }
    }
}

/// In formatted text a function ends at the first brace that stands where its `fn` does.
fn check_functions(path: &str, text: &str, findings: &mut Vec<String>) {
    let lines: Vec<&str> = text.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = line.len() - line.trim_start().len();
        let end = format!("{}}}", &line[..indent]);
        let length = lines[at..].iter().position(|line| *line == end).map_or(1, |found| found + 1);
        let allowed = LONG.iter().any(|(file, long)| *file == path && *long == name);
        let allowed = allowed || path.contains("/tables/");
        if length > FUNCTION_LIMIT && !line.trim_end().ends_with('}') && !allowed {
            findings
                .push(format!("{path}: {name} has {length} lines, the limit is {FUNCTION_LIMIT}"));
        }
    }
}

fn function_name(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    for word in ["pub ", "pub(crate) ", "pub(super) ", "const ", "unsafe ", "extern \"C\" "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let name = rest.strip_prefix("fn ")?;
    let name = name.split(['(', '<']).next()?;
    // A macro's input may have a `fn` that is none.
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_').then_some(name)
}

/// The part of a library that is not a test.
fn check_surroundings(path: &str, text: &str, findings: &mut Vec<String>) {
    let is_library = LIBRARIES.iter().any(|library| path.starts_with(library));
    let is_test = ["/tests/", "/tests.rs", "/testing.rs"].iter().any(|part| path.contains(part));
    if !is_library || is_test {
        return;
    }
    let own = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
    for line in own.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for call in SURROUNDINGS.iter().filter(|call| line.contains(**call)) {
            findings.push(format!("{path}: {call}: a library does not look at its surroundings"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(path: &str, text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        check(path, text, &mut findings);
        findings
    }

    fn check_count(path: &str, text: &str, count: usize) {
        let findings = broken(path, text);
        assert_eq!(findings.len(), count, "{path}: {findings:?}");
    }

    #[test]
    fn unsafe_is_in_two_crates() {
        let bad = ["unsafe", " { x() }"].concat();
        check_count("crates/runtime/src/x.rs", &bad, 1);
        check_count("crates/sys/src/x.rs", &bad, 0);
        check_count("crates/rt/src/x.rs", &bad, 0);
    }

    #[test]
    fn files_and_functions_have_a_length() {
        check_count("crates/oci/src/x.rs", &"\n".repeat(701), 1);
        check_count("crates/oci/src/x.rs", &"\n".repeat(700), 0);
        let function =
            |lines: usize| format!("    pub(crate) fn f<T>(\n{}    }}\n", "x\n".repeat(lines - 2));
        check_count("crates/oci/src/x.rs", &function(70), 0);
        assert_eq!(
            broken("crates/oci/src/x.rs", &function(71)),
            ["crates/oci/src/x.rs: f has 71 lines, the limit is 70"]
        );
        // A function on one line, and one without a body.
        let one = format!("fn f() {{}}\n{}}}\n", "x\n".repeat(100));
        check_count("crates/oci/src/x.rs", &one, 0);
    }

    #[test]
    fn words_of_one_machine_and_marks_are_found() {
        check_count("README.md", &["see /wor", "k/x"].concat(), 1);
        check_count("xtask/src/x.rs", &["to", "do!()"].concat(), 1);
        check_count("docs/x.md", &["to", "do!()"].concat(), 0);
    }

    #[test]
    fn names_say_what_is_in_a_file() {
        check_count("crates/pkg/src/utils.rs", "", 1);
        check_count("crates/pkg/src/common/x.rs", "", 1);
        check_count("crates/pkg/src/uncommon.rs", "", 0);
    }

    #[test]
    fn libraries_do_not_look_around() {
        check_count("crates/pkg/src/x.rs", "let x = std::env::var(\"HOME\");", 1);
        check_count("crates/pkg/src/x.rs", "    std::process::exit(1);", 1);
        check_count("crates/pkg/src/x.rs", "// std::env::var is not called\n", 0);
        check_count("crates/pkg/src/x.rs", "#[cfg(test)]\nmod tests {\n std::env::args() }", 0);
        check_count("crates/pkg/src/tests/x.rs", "std::env::temp_dir()", 0);
        check_count("bin/tare/src/x.rs", "std::env::var(\"HOME\")", 0);
    }
}
