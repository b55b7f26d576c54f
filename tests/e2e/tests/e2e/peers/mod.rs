//! Every option of skopeo's, docker's, podman's and buildah's verbs about images works, or is refused with a
//! reason that is worth reading.

mod covered;
mod reaching;
mod refused;

pub(crate) use reaching::speaks_tls;

use e2e::images::Yard;
use e2e::stderr;
use serde_json::Value;
use std::collections::BTreeMap;

const TABLES: [(&str, &str); 4] = [
    ("skopeo", include_str!("../../data/cli/skopeo.json")),
    ("docker", include_str!("../../data/cli/docker.json")),
    ("podman", include_str!("../../data/cli/podman.json")),
    ("buildah", include_str!("../../data/cli/buildah.json")),
];
/// What clap says of an option that it does not know, or that is used in another way.
const COMPLAINTS: [&str; 4] =
    ["unexpected argument", "unexpected value", "a value is required", "unrecognized subcommand"];

/// An option of a peer's verb.
struct Peers {
    program: &'static str,
    verb: String,
    long: String,
    short: Option<String>,
    takes_value: bool,
}

/// All of them.
fn all() -> Vec<Peers> {
    let mut all = Vec::new();
    for (program, table) in TABLES {
        let verbs: BTreeMap<String, Value> = serde_json::from_str(table).unwrap();
        for (verb, about) in verbs {
            for (long, flag) in about["flags"].as_object().unwrap() {
                all.push(Peers {
                    program,
                    verb: verb.clone(),
                    long: long.clone(),
                    short: flag["short"].as_str().map(str::to_owned),
                    takes_value: flag["value"].is_string(),
                });
            }
        }
    }
    all
}

/// A value that an option takes.
fn value_of(verb: &str, long: &str) -> &'static str {
    match long {
        "--retry-times" | "--retry" | "--image-parallel-copies" | "--encrypt-layer" | "--limit" => {
            "1"
        }
        "--retry-delay" | "--command-timeout" => "1s",
        "--dest-compress-format" | "--compression-format" => "gzip",
        "--dest-compress-level" | "--compression-level" => "5",
        "--format" if ["copy", "sync", "push"].contains(&verb) => "oci",
        "--multi-arch" => "system",
        "--sort" => "size",
        "--filter" => "dangling=true",
        "--platform" => "linux/amd64",
        _ => "x",
    }
}

#[test]
fn every_option_of_the_peers_is_taken() {
    let yard = Yard::new();
    let all = all();
    for option in &all {
        let value = option.takes_value.then(|| value_of(&option.verb, &option.long));
        let long = match value {
            Some(value) => vec![format!("{}={value}", option.long)],
            None => vec![option.long.clone()],
        };
        let short = option.short.clone().map(|short| {
            [short].into_iter().chain(value.map(str::to_owned)).collect::<Vec<String>>()
        });
        for form in [Some(long), short].into_iter().flatten() {
            let form: Vec<&str> = form.iter().map(String::as_str).collect();
            // Without its operands no verb does anything.
            let args = match option.verb.as_str() {
                "(global)" => [&form[..], &["manifest-digest"]].concat(),
                verb => [&verb.split(' ').collect::<Vec<_>>(), &form[..]].concat(),
            };
            let text = stderr(&yard.tare(&args));
            for complaint in COMPLAINTS {
                assert!(!text.contains(complaint), "{}: {args:?}: {text}", option.program);
            }
        }
    }
    assert!(all.len() > 550, "{} options", all.len());
}
