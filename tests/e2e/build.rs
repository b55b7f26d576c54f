//! Builds the attacker's program, which needs what no safe Rust offers: foreign calling
//! conventions, ptrace, calls by number.

use std::path::Path;
use std::process::Command;

const SOURCES: [&str; 6] = ["main.c", "peek.c", "join.c", "calls.c", "look.c", "tell.c"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=attack");
    let out = Path::new(&std::env::var("OUT_DIR").unwrap()).join("attack");
    let sources = SOURCES.iter().map(|name| Path::new("attack").join(name));
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let status = Command::new(compiler)
        .args(["-static", "-O1", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-o"])
        .arg(&out)
        .args(sources)
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("compiling the attacker's program: {status}"),
        // Without a C compiler the tests that need the program say SKIP.
        Err(_) => std::fs::write(out, "").unwrap(),
    }
}
