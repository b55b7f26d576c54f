//! Laws about the documents that name tests: each of these is there.

/// What says that tests hold something.
const DOCUMENTS: [&str; 3] = ["COMPATIBILITY.md", "SECURITY.md", "SPECIFICATION.md"];
/// A name of a test is a sentence. Shorter ones are of system calls, modules and fields, too.
const WORDS_MIN: usize = 4;

/// Checks the documents against the names of functions in `sources`.
pub(super) fn check(files: &[(&str, String)], findings: &mut Vec<String>) {
    let sources = || files.iter().filter(|(path, _)| path.ends_with(".rs"));
    let is_there = |name: &str| {
        let (start, is_part) = match name.strip_suffix('*') {
            Some(start) => (start, true),
            None => (name, false),
        };
        let wanted = format!("fn {start}{}", if is_part { "" } else { "(" });
        sources().any(|(_, text)| text.contains(&wanted))
    };
    for (path, text) in files.iter().filter(|(path, _)| DOCUMENTS.contains(path)) {
        for name in text.split('`').skip(1).step_by(2).filter(|name| is_sentence(name)) {
            if !is_there(name) {
                findings.push(format!("{path}: there is no test {name}"));
            }
        }
    }
}

/// Small letters and digits, with `_` between words; perhaps a `*` for how it goes on.
fn is_sentence(name: &str) -> bool {
    let plain = name.strip_suffix('*').unwrap_or(name);
    let is_letter = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_';
    plain.bytes().all(is_letter) && plain.split('_').count() >= WORDS_MIN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_name_tests_that_are_there() {
        let source =
            ("x/tests.rs", "fn what_is_said_is_true() {}\nfn r1_the_begin_of_it() {}".into());
        let check = |text: &str, count: usize| {
            let mut findings = Vec::new();
            check(&[source.clone(), ("SECURITY.md", text.into())], &mut findings);
            assert_eq!(findings.len(), count, "{text}: {findings:?}");
        };
        check("| `what_is_said_is_true` and `r1_the_begin_*` |", 0);
        check("| `what_is_said_is` and `r2_the_begin_of_it`, `r3_the_begin_*` |", 3);
        check("`pidfd_send_signal`, `serve::what_is_not_here` and what_is_not_here", 0);
    }
}
