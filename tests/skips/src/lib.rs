//! What tests need of a machine: ports, and a word for those that it cannot run.
//!
//! A test runner hides what a passing test prints, so a skipped test would look like one that
//! passed. Each skip is therefore also a line in the file that [`FILE`] names: `cargo xtask test`
//! sets it, and shows and counts the lines before the runner's summary.

use std::io::Write;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// The environment variable with the path of the file.
pub const FILE: &str = "TARE_SKIPS";

/// Ports for programs that have to be told one: below those that kernels give to whoever wants any (32768 and more), so
/// that nobody takes one before the program does.
const FIRST_PORT: u32 = 10_000;
const PORTS: u32 = 20_000;
/// Ports of one process: tests that run at the same time try others.
const PORTS_EACH: u32 = 8;

/// A port of 127.0.0.1 at which nobody listens, for a program that cannot choose one and say which.
pub fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id().wrapping_mul(PORTS_EACH);
    let mut candidates = (0..PORTS).map(|_| {
        let number = begin.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        (FIRST_PORT + number % PORTS) as u16
    });
    let free = candidates.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.expect("a port at which nobody listens")
}

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
