//! Tests that this machine cannot run.
//!
//! A test runner hides what a passing test prints, so a skipped test would look like one that
//! passed. Each skip is therefore also a line in the file that [`FILE`] names: `cargo xtask test`
//! sets it, and shows and counts the lines before the runner's summary.

use std::io::Write;

/// The environment variable with the path of the file.
pub const FILE: &str = "TARE_SKIPS";

/// Says why a test does not run here.
pub fn skip(test: &str, reason: &str) {
    let line = format!("SKIP {test}: {}\n", reason.replace('\n', " "));
    let _ = std::io::stderr().write_all(line.as_bytes());
    let Some(path) = std::env::var_os(FILE) else { return };
    let mut options = std::fs::OpenOptions::new();
    // One write of a line at the end: tests run at the same time.
    let file = options.append(true).create(true).open(path);
    let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
    assert!(written.is_ok(), "noting a skipped test: {written:?}");
}
