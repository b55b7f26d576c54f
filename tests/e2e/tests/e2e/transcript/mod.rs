//! The examples of skopeo's manual pages as they are printed there, with `tare` for `skopeo`: what each of
//! them prints is in `docs/skopeo.md`, and is what it prints now. `cargo xtask transcript` writes it anew.

mod document;
mod machine;

use document::Document;
use machine::Machine;
use std::path::{Path, PathBuf};

/// With it the document is written instead of compared.
const WRITE: &str = "TARE_E2E_TRANSCRIPT";

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/skopeo.md")
}

#[test]
fn the_examples_of_skopeos_manual_print_what_the_document_says() {
    let test = "the_examples_of_skopeos_manual_print_what_the_document_says";
    let text = std::fs::read_to_string(path()).expect("docs/skopeo.md");
    let mut document = Document::parse(&text);
    let Some(machine) = Machine::start(test) else { return };
    document.run(&mut |command, typed| in_order(&machine.run(command, typed)));
    let found = document.text();
    if std::env::var_os(WRITE).is_some() {
        return std::fs::write(path(), found).expect("writing docs/skopeo.md");
    }
    for (line, (committed, found)) in text.lines().zip(found.lines()).enumerate() {
        let (found, committed) = (masked(found), masked(committed));
        assert_eq!(found, committed, "docs/skopeo.md:{}: `cargo xtask transcript`?", line + 1);
    }
    assert_eq!(found.lines().count(), text.lines().count(), "docs/skopeo.md has another end");
}

/// Without digests and sizes of packed layers, which are others with each version of what packs them.
fn masked(line: &str) -> String {
    const DIGITS: usize = 64;
    let is_hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    if line.trim_start().starts_with("\"Size\": ") {
        return "SIZE".into();
    }
    let bytes = line.as_bytes();
    let (mut text, mut position) = (String::new(), 0);
    while position < bytes.len() {
        let length = bytes[position..].iter().take_while(|byte| is_hex(byte)).count();
        match length {
            DIGITS => text.push_str("DIGEST"),
            0 => text.push(char::from(bytes[position])),
            _ => text.push_str(&line[position..position + length]),
        }
        position += length.max(1);
    }
    text
}

/// Layers are copied at the same time, and told of when they begin: such lines after each other are sorted.
fn in_order(printed: &str) -> String {
    let mut lines: Vec<&str> = printed.split_inclusive('\n').collect();
    let is_step = |a: &&str| a.starts_with("Copying blob ") || a.starts_with("Packing layer ");
    lines.chunk_by_mut(|a, b| is_step(a) && is_step(b)).for_each(<[&str]>::sort_unstable);
    lines.concat()
}
