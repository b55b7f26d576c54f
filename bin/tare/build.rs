//! The kernel enters the program before libc does: see `sys::entry`.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|it| it == "x86_64") {
        println!("cargo:rustc-link-arg-bins=-Wl,-e,tare_entry");
    }
}
