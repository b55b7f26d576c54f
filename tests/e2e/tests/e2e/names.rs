//! What a static program must not take from libc.

use e2e::{program, skip};

#[test]
fn libc_looks_up_no_names() {
    // glibc's would load the NSS libraries of whatever machine the program is on.
    let bytes = std::fs::read(program("tare")).unwrap();
    let names = |name: &str| bytes.split(|&byte| byte == 0).any(|it| it == name.as_bytes());
    if !names("__libc_start_main") {
        return skip("libc_looks_up_no_names", "the program has no table of symbols");
    }
    assert!(!names("getaddrinfo"));
}
