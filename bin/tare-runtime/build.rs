//! Links without libc and its start-up code.

use std::path::Path;

/// A panic ends the program, and nothing unwinds its stack: the tables for that are a tenth of it.
const SCRIPT: &str = "SECTIONS { /DISCARD/ : { *(.eh_frame) } } INSERT AFTER .text;\n";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let script = Path::new(&std::env::var("OUT_DIR").unwrap()).join("discard.ld");
    std::fs::write(&script, SCRIPT).unwrap();
    for argument in [
        "-nostartfiles",
        "-nodefaultlibs",
        "-nostdlib",
        "-static-pie",
        "-Wl,-z,noexecstack",
        // A relocation takes a bit instead of 24 bytes; `rt` applies them.
        "-Wl,-z,pack-relative-relocs",
        "-Wl,--no-eh-frame-hdr",
        &format!("-Wl,-T,{}", script.display()),
    ] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
}
