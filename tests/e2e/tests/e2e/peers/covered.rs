//! Every option that is not refused is used by a test of what it does.

use super::{all, reaching, refused};
use std::path::Path;

/// The functions of the end-to-end tests, but those here, and the commands of `docs/skopeo.md`.
fn functions() -> Vec<String> {
    let mut files = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e");
    collect(&root, &mut files);
    let mut functions: Vec<String> = files
        .iter()
        .flat_map(|text| text.split("\nfn ").map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/skopeo.md");
    let document = std::fs::read_to_string(document).expect("docs/skopeo.md");
    functions.extend(document.lines().filter(|line| line.starts_with("$ ")).map(str::to_owned));
    functions
}

fn collect(directory: &Path, files: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).expect("the tests' sources") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true if path.ends_with("peers") => {}
            true => collect(&path, files),
            false => files.push(std::fs::read_to_string(&path).expect("a source")),
        }
    }
}

/// Whether a text has a word, between quotes or blanks, perhaps with a value behind it.
fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(position, _)| {
        let before = text[..position].chars().next_back();
        let behind = text[position + word.len()..].chars().next();
        before.is_some_and(|it| "\" `".contains(it))
            && behind.is_some_and(|it| "\" =`\n".contains(it))
    })
}

/// The same verb in other words.
fn names_of(verb: &str) -> Vec<&str> {
    let last = verb.rsplit(' ').next().unwrap_or(verb);
    match verb {
        "image list" => vec!["images", "ls"],
        "image rm" => vec!["rmi", "rm"],
        "(global)" => vec!["copy", "pull", "inspect", "sync", "search"],
        "system check" => vec!["fsck"],
        "umount" => vec!["unmount"],
        _ => vec![last],
    }
}

#[test]
fn every_option_that_works_is_used_by_a_test() {
    let functions = functions();
    let mut missing = Vec::new();
    for option in all() {
        let is_elsewhere = option.long == "--help"
            || refused::why(&option).is_some()
            || reaching::covers(&option.verb, &option.long);
        let used = |function: &String| {
            let words = [Some(&option.long), option.short.as_ref()];
            words.into_iter().flatten().any(|word| has_word(function, word))
                && names_of(&option.verb).iter().any(|name| has_word(function, name))
        };
        if !is_elsewhere && !functions.iter().any(used) {
            missing.push(format!("{} {} {}", option.program, option.verb, option.long));
        }
    }
    assert!(missing.is_empty(), "no test uses these:\n{}", missing.join("\n"));
}
