//! Every option of runc's and crun's is taken. What the options do is tested in `options`, `update`, `life`, `pidfd` and `events`.

use e2e::{Bundle, stderr, stdout};
use serde_json::Value;
use std::collections::BTreeMap;

const RUNC: &str = include_str!("../data/cli/runc.json");
const CRUN: &str = include_str!("../data/cli/crun.json");

/// (verb, name of the option, whether it takes a value).
fn options(table: &str) -> Vec<(String, String, bool)> {
    let verbs: BTreeMap<String, Value> = serde_json::from_str(table).expect("a table of verbs");
    let mut all = Vec::new();
    for (verb, about) in verbs {
        for (name, flag) in about["flags"].as_object().expect("flags") {
            // The list has it as crun's help does: a value of --tty is optional, --network-lock
            // does not work without one.
            let value = match name.as_str() {
                "--tty" => false,
                "--network-lock" => true,
                _ => flag["value"].is_string(),
            };
            all.push((verb.clone(), name.clone(), value));
            if let Some(short) = flag["short"].as_str() {
                all.push((verb.clone(), short.to_string(), value));
            }
        }
    }
    all
}

/// Engines and scripts look for the name of the runtime that they think they have.
#[test]
fn a_runtime_goes_by_the_name_that_it_is_called_by() {
    let Some(bundle) = Bundle::new("a_runtime_goes_by_the_name_that_it_is_called_by") else {
        return;
    };
    let path = bundle.path("runc");
    std::os::unix::fs::symlink(e2e::program("tare-runtime"), path).unwrap();
    let call =
        |argument: &[&str]| std::process::Command::new(path).args(argument).output().unwrap();
    let version = stdout(&call(&["--version"]));
    let lines: Vec<&str> = version.lines().collect();
    assert_eq!(lines[0], format!("runc version {}", env!("CARGO_PKG_VERSION")));
    assert!(lines[1].starts_with("commit: ") && lines[2].starts_with("spec: 1."), "{version}");
    assert!(lines[3].contains("+SYSTEMD "), "{version}");
    let help = stdout(&call(&["--help"]));
    assert!(help.contains("runc - Open Container Initiative runtime"), "{help}");
    let help = stdout(&call(&["start", "--help"]));
    assert!(help.contains("\nUsage: runc [OPTION...] start CONTAINER\n"), "{help}");
    let wrong = call(&["start"]);
    let sentence = "runc: error: start needs CONTAINER (hint: `runc start --help` shows how)\n";
    assert_eq!(stderr(&wrong), sentence);
}

#[test]
fn every_option_of_runc_and_crun_is_known() {
    let Some(bundle) = Bundle::new("every_option_of_runc_and_crun_is_known") else { return };
    bundle.write();
    for (verb, name, value) in [options(RUNC), options(CRUN)].concat() {
        let option = if value { format!("{name}=x") } else { name.clone() };
        let args: Vec<&str> = match verb.as_str() {
            "(global)" => vec![&option, "list", "--quiet"],
            verb => vec![verb, &option],
        };
        // Without its operands no verb does anything; `spec` finds a config.json.
        let output = bundle.command(&args).current_dir(bundle.path("")).output().unwrap();
        let text = stderr(&output);
        for complaint in ["not defined", "needs an argument", "it is a switch"] {
            assert!(!text.contains(complaint), "{args:?}: {text}");
        }
        if verb != "(global)" && name.starts_with("--") && name != "--usage" {
            let help = stdout(&bundle.runtime(&[&verb, "--help"]));
            assert!(help.contains(&format!(" {name} ")), "{name} is not in the help of {verb}");
        }
    }
}

#[test]
fn every_verb_of_runc_and_crun_is_known() {
    let Some(bundle) = Bundle::new("every_verb_of_runc_and_crun_is_known") else { return };
    for table in [RUNC, CRUN] {
        let table: Value = serde_json::from_str(table).unwrap();
        for verb in table["(global)"]["sub"].as_array().unwrap() {
            let verb = verb.as_str().unwrap();
            let help = bundle.runtime(&[verb, "--help"]);
            assert!(help.status.success(), "{verb}: {}", stderr(&help));
        }
    }
}
