//! iptables by its old interface, whose rules only its own program changes.
//!
//! It is started only where the old interface has a filter table: on hosts whose docker or ufw is from before nf_tables.

use std::process::{Command, Stdio};

/// The programs, by the kind of addresses, and where the kernel lists their tables.
const PROGRAMS: [(&str, &str); 2] = [
    ("iptables-legacy", "/proc/thread-self/net/ip_tables_names"),
    ("ip6tables-legacy", "/proc/thread-self/net/ip6_tables_names"),
];
const DIRS: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/bin"];
const FILTER: &str = "filter";
const USER: &str = "DOCKER-USER";
const FORWARD: &str = "FORWARD";

/// Lets a bridge pass `FORWARD` where it drops. Returns warnings about what cannot be told.
pub(super) fn admit(bridge: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    for program in active() {
        let Some(rules) = rules(program) else {
            warnings.push(format!(
                "iptables' old interface has rules, and {program} is not there to look at them; they may drop what \
                 containers send"
            ));
            continue;
        };
        let place = match rules.lines().any(|line| line == format!("-N {USER}")) {
            true => USER,
            false if rules.lines().any(|line| line == format!("-P {FORWARD} DROP")) => FORWARD,
            false => continue,
        };
        for side in ["-i", "-o"] {
            if !rules.contains(&rule(place, side, bridge)) {
                run(program, &["-I", place, "1", side, bridge, "-j", "ACCEPT"]);
            }
        }
    }
    warnings
}

/// Takes the rules of [`admit`] back.
pub(super) fn dismiss(bridge: &str) {
    for program in active() {
        let rules = rules(program).unwrap_or_default();
        for place in [USER, FORWARD] {
            for side in ["-i", "-o"] {
                if rules.contains(&rule(place, side, bridge)) {
                    run(program, &["-D", place, side, bridge, "-j", "ACCEPT"]);
                }
            }
        }
    }
}

/// A rule as the program lists it.
fn rule(place: &str, side: &str, bridge: &str) -> String {
    format!("-A {place} {side} {bridge} -j ACCEPT\n")
}

/// The programs whose filter tables are in use.
fn active() -> impl Iterator<Item = &'static str> {
    let has_filter = |path: &str| {
        let names = sys::fs::read_file(sys::CWD, path, 4096).unwrap_or_default();
        String::from_utf8_lossy(&names).lines().any(|name| name == FILTER)
    };
    PROGRAMS.into_iter().filter(move |(_, path)| has_filter(path)).map(|(program, _)| program)
}

fn rules(program: &str) -> Option<String> {
    run(program, &["-S"])
}

/// What a call says, if it succeeds. It waits for others' locks for some seconds.
fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let dir = DIRS.into_iter().find(|dir| std::path::Path::new(dir).join(program).is_file())?;
    let mut command = Command::new(std::path::Path::new(dir).join(program));
    command.args(["-w", "5"]).args(arguments).stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
