//! Links without libc and its start-up code.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for argument in
        ["-nostartfiles", "-nodefaultlibs", "-nostdlib", "-static-pie", "-Wl,-z,noexecstack"]
    {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
}
