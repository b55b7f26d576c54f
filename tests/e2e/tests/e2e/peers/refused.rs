//! What is refused, and what is said then.

use super::{Peers, all, value_of};
use e2e::images::Yard;
use e2e::{stderr, stdout};

/// Verbs of which nothing is there, and why.
const VERBS: &[(&str, &str)] = &[
    ("image scp", "not there yet\nhint: `tare copy` to an archive"),
    ("image sign", "not there yet\nhint: "),
    ("image trust", "not there yet\nhint: see the policy"),
    ("system migrate", "the store says its format itself"),
    ("system renumber", "locks are files, and have no numbers"),
    ("standalone-sign", "signatures can be neither made nor checked yet\nhint: skopeo and cosign"),
    (
        "standalone-verify",
        "signatures can be neither made nor checked yet\nhint: skopeo and cosign",
    ),
    ("generate-sigstore-key", "signatures can be neither made nor checked yet\nhint: skopeo"),
];

const SIGN: &str = "images cannot be signed yet\nhint: copy the image, and sign it with cosign";
const KEYS: &str = "layers can be neither encrypted nor decrypted yet\nhint: ";
const NOTHING: &str = "there is nothing of this kind in the store";
/// Options, of which verbs (of all, without one), and why.
const OPTIONS: &[(&str, &[&str], &str)] = &[
    ("--sign-by", &[], SIGN),
    ("--sign-by-sigstore", &[], SIGN),
    ("--sign-by-sigstore-private-key", &[], SIGN),
    ("--sign-by-sq-fingerprint", &[], SIGN),
    ("--sign-passphrase-file", &[], SIGN),
    ("--sign-identity", &[], SIGN),
    ("--encryption-key", &[], KEYS),
    ("--encrypt-layer", &[], KEYS),
    ("--decryption-key", &[], KEYS),
    ("--history", &["images", "image list"], "names that images had before are not kept"),
    ("--tree", &["images"], "not in lists\nhint: `tare image tree NAME`"),
    ("--platform", &["rmi"], "an index keeps its digest, so nothing can be taken out of it"),
    ("--build-cache", &["image prune"], NOTHING),
    ("--external", &["image prune"], NOTHING),
    ("--max", &["system check"], "layers that nothing refers to are no mistake"),
    ("--add-compression", &["manifest push"], "images are pushed in one form only\nhint: "),
    ("--rm", &["push"], "it is for indexes\nhint: `tare manifest push --rm`"),
];

/// Why an option is refused; `None`: it is not.
pub(super) fn why(option: &Peers) -> Option<&'static str> {
    if option.long == "--help" {
        return None;
    }
    let verb = VERBS.iter().find(|(verb, _)| *verb == option.verb).map(|(_, why)| *why);
    let own = |(long, verbs, _): &&(&str, &[&str], &str)| {
        *long == option.long && (verbs.is_empty() || verbs.contains(&option.verb.as_str()))
    };
    verb.or_else(|| OPTIONS.iter().find(own).map(|(_, _, why)| *why))
}

/// What a verb needs besides.
fn operands(verb: &str) -> &'static [&'static str] {
    match verb {
        "copy" => &["oci:a:b", "dir:b"],
        "sync" => &["--src=dir", "--dest=dir", "a", "b"],
        "images" | "image list" | "image prune" | "system check" => &[],
        "artifact push" => &["a:1", "file"],
        _ => &["a:1"],
    }
}

#[test]
fn what_is_refused_says_why() {
    let yard = Yard::new();
    let mut count = 0;
    for option in all() {
        let Some(why) = why(&option) else { continue };
        let long = match option.takes_value {
            true => format!("{}={}", option.long, value_of(&option.verb, &option.long)),
            false => option.long.clone(),
        };
        let verb: Vec<&str> = option.verb.split(' ').collect();
        let args = [&verb[..], &[long.as_str()], operands(&option.verb)].concat();
        let output = yard.tare(&args);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
        assert_eq!(stdout(&output), "", "{args:?}");
        let is_verb = VERBS.iter().any(|(verb, _)| *verb == option.verb);
        let subject = if is_verb { &option.verb } else { &option.long };
        assert!(text.contains(&format!("{subject}: {why}")), "{args:?}: {text}");
        count += 1;
    }
    assert!(count > 60, "{count}");
}

#[test]
fn verbs_that_are_not_there_say_so_without_options_too() {
    let yard = Yard::new();
    for (verb, why) in VERBS.iter().chain(&[("image build", "not there yet\nhint: `tare mutate`")])
    {
        let words: Vec<&str> = verb.split(' ').collect();
        let text = yard.fails(&[&words[..], &["a", "b"]].concat());
        assert!(text.starts_with(&format!("tare: {verb}: {why}")), "{verb}: {text}");
    }
    let text = yard.fails(&["copy", "--format=v2s1", "oci:a", "dir:b"]);
    assert!(text.contains("--format v2s1: docker's schema 1 is read, and never written"), "{text}");
}
