//! Every option of skopeo's is taken, or refused with the reason.

use e2e::images::Yard;
use e2e::stderr;
use serde_json::Value;
use std::collections::BTreeMap;

const SKOPEO: &str = include_str!("../../data/cli/skopeo.json");
/// What clap says of an option that it does not know, or that is used in another way.
const COMPLAINTS: [&str; 4] =
    ["unexpected argument", "unexpected value", "a value is required", "unrecognized subcommand"];

/// A value that an option takes.
fn value_of(name: &str) -> &'static str {
    match name {
        "--retry-times" | "--image-parallel-copies" | "--encrypt-layer" => "1",
        "--retry-delay" | "--command-timeout" => "1s",
        "--dest-compress-format" => "gzip",
        "--dest-compress-level" => "5",
        "--format" => "oci",
        "--multi-arch" => "system",
        _ => "x",
    }
}

#[test]
fn every_option_of_skopeo_is_known() {
    let yard = Yard::new();
    let verbs: BTreeMap<String, Value> = serde_json::from_str(SKOPEO).unwrap();
    let mut count = 0;
    for (verb, about) in &verbs {
        for (name, flag) in about["flags"].as_object().unwrap() {
            let value = flag["value"].is_string().then(|| value_of(name));
            let forms = [
                Some(match value {
                    Some(value) => vec![format!("{name}={value}")],
                    None => vec![name.clone()],
                }),
                flag["short"].as_str().map(|short| {
                    [short.to_owned()].into_iter().chain(value.map(str::to_owned)).collect()
                }),
            ];
            for form in forms.into_iter().flatten() {
                let mut args: Vec<&str> = form.iter().map(String::as_str).collect();
                match verb.as_str() {
                    "(global)" => args.push("manifest-digest"),
                    verb => args.insert(0, verb),
                }
                // Without its operands no verb does anything.
                let text = stderr(&yard.tare(&args));
                for complaint in COMPLAINTS {
                    assert!(!text.contains(complaint), "{args:?}: {text}");
                }
                count += 1;
            }
        }
    }
    assert!(count > 80, "{count} options");
}

#[test]
fn what_cannot_be_done_is_refused_with_the_reason() {
    let yard = Yard::new();
    for option in [
        "--sign-by=x",
        "--sign-by-sigstore=x",
        "--sign-by-sigstore-private-key=x",
        "--sign-by-sq-fingerprint=x",
        "--sign-passphrase-file=x",
        "--sign-identity=x",
    ] {
        let text = yard.fails(&["copy", option, "dir:a", "dir:b"]);
        let name = option.split('=').next().unwrap();
        let expected = format!("copying dir:a to dir:b: {name}: images cannot be signed yet\n");
        assert!(text.contains(&expected), "{text}");
        assert!(text.contains("\nhint: "), "{text}");
    }
    for option in ["--encryption-key=jwe:x", "--encrypt-layer=-1", "--decryption-key=x"] {
        let text = yard.fails(&["copy", option, "dir:a", "dir:b"]);
        assert!(text.contains("neither encrypted nor decrypted yet"), "{text}");
    }
    let text = yard.fails(&["copy", "--format=v2s1", "oci:a", "dir:b"]);
    assert!(text.contains("--format v2s1: docker's schema 1 is read, and never written"), "{text}");
    for verb in ["standalone-sign", "standalone-verify", "generate-sigstore-key"] {
        let text = yard.fails(&[verb, "--output=x", "a", "b"]);
        assert!(text.starts_with(&format!("tare: {verb}: ")) && text.contains("yet"), "{text}");
    }
}
