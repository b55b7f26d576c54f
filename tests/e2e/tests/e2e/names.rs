//! What a static program must not take from libc.

use e2e::{program, skip};

fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|it| it == part)
}

#[test]
fn libc_looks_up_no_names() {
    // glibc's would load the NSS libraries of whatever machine the program is on.
    let bytes = std::fs::read(program("tare")).unwrap();
    if !contains(&bytes, b"\0__libc_start_main\0") {
        return skip("libc_looks_up_no_names", "the program has no table of symbols");
    }
    assert!(!contains(&bytes, b"\0getaddrinfo\0"));
}
