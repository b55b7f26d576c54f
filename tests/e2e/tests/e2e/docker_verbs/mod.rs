//! Every verb of docker's about containers, networks, volumes and the system, and every option of it: each is tried on
//! containers that are there for it. The table of them is docs/docker.md, which the test holds.

mod containers;
mod listed;
mod networks;
mod page;
mod streams;
mod system;
mod volumes;

use super::networks::Host;
use std::os::unix::fs::PermissionsExt;

/// What has to come of a command.
enum Effect {
    /// It succeeds, and this is in what it prints and says.
    Prints(&'static str),
    /// It succeeds, and this is all that it prints and says.
    Is(&'static str),
    /// It ends with this code, and this is in what it prints and says.
    Ends(i32, &'static str),
    /// It is refused, and the message has this in it.
    Refused(&'static str),
}

use Effect::{Ends, Is, Prints, Refused};

/// A verb, its option (none: what it does without), a command of a shell, and what comes of it.
type Row = (&'static str, &'static str, &'static str, Effect);

/// Verbs that are tried together, one row after the other.
struct Group {
    /// Makes what the rows are tried on.
    setup: &'static str,
    rows: &'static [Row],
}

const GROUPS: [(&str, &Group); 6] = [
    ("containers", &containers::GROUP),
    ("streams", &streams::GROUP),
    ("lists", &listed::GROUP),
    ("volumes", &volumes::GROUP),
    ("networks", &networks::GROUP),
    ("system", &system::GROUP),
];

/// Verbs that are below the noun `container`, too, and their names there.
const BELOW_THE_NOUN: [(&str, &str); 25] = [
    ("attach", "attach"),
    ("commit", "commit"),
    ("cp", "cp"),
    ("create", "create"),
    ("diff", "diff"),
    ("exec", "exec"),
    ("export", "export"),
    ("kill", "kill"),
    ("logs", "logs"),
    ("pause", "pause"),
    ("port", "port"),
    ("ps", "ls"),
    ("rename", "rename"),
    ("restart", "restart"),
    ("rm", "rm"),
    ("run", "run"),
    ("start", "start"),
    ("stats", "stats"),
    ("stop", "stop"),
    ("top", "top"),
    ("unpause", "unpause"),
    ("update", "update"),
    ("wait", "wait"),
    ("events", ""),
    ("info", ""),
];

/// What a row came to.
struct Outcome {
    code: i32,
    said: String,
}

fn is_right(effect: &Effect, outcome: &Outcome) -> bool {
    let Outcome { code, said } = outcome;
    match effect {
        Prints(text) => *code == 0 && said.contains(text),
        Is(text) => *code == 0 && said.trim_end() == *text,
        Ends(expected, text) => code == expected && said.contains(text),
        Refused(reason) => *code != 0 && said.contains("tare: ") && said.contains(reason),
    }
}

/// Tries a group's rows in one shell script, each by itself in a shell below it: what one leaves the next one finds.
fn try_rows(host: &Host, group: &Group, noun: bool) -> Vec<Outcome> {
    let scratch = &host.0;
    let below = |command: &str| {
        BELOW_THE_NOUN.iter().filter(|(_, name)| noun && !name.is_empty()).fold(
            command.to_owned(),
            |text, (verb, name)| {
                let (typed, other) = (format!("tare {verb} "), format!("tare container {name} "));
                text.replace(&typed, &other)
            },
        )
    };
    let mut script = format!("{}\nset +e\n", below(group.setup));
    for (number, (_, _, command, _)) in group.rows.iter().enumerate() {
        let command = below(command);
        script.push_str(&format!(
            "( {command} ) < /dev/null > said.{number} 2>&1; echo $? > code.{number}\n"
        ));
    }
    script.push_str("tare rm -af > /dev/null 2>&1; tare network prune -f > /dev/null; true");
    if let Err(why) = host.try_run(&script) {
        panic!("{why}");
    }
    let read = |name: String| std::fs::read(scratch.path(&name)).unwrap_or_default();
    let outcome = |number: usize| Outcome {
        code: String::from_utf8_lossy(&read(format!("code.{number}"))).trim().parse().unwrap_or(-1),
        said: String::from_utf8_lossy(&read(format!("said.{number}"))).into_owned(),
    };
    (0..group.rows.len()).map(outcome).collect()
}

/// A program `tare` on PATH, as users have it: `timeout` and others start it.
fn put_on_path(host: &Host) {
    let scratch = &host.0;
    let script = format!(
        "#!/bin/sh\nexec {} --root {} --runroot {} --insecure-policy \"$@\"\n",
        e2e::program("tare").display(),
        scratch.path("store"),
        scratch.path("run"),
    );
    std::fs::create_dir_all(scratch.path("path")).unwrap();
    let program = scratch.path("path/tare");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
}

fn check(test: &str, name: &str, noun: bool) {
    let Some(host) = Host::new(test) else { return };
    put_on_path(&host);
    let (_, group) = GROUPS.iter().find(|(known, _)| *known == name).expect("a group");
    let outcomes = try_rows(&host, group, noun);
    let mut wrong = String::new();
    for ((verb, option, command, effect), outcome) in group.rows.iter().zip(&outcomes) {
        if !is_right(effect, outcome) {
            let Outcome { code, said } = outcome;
            wrong.push_str(&format!("{verb} {option}: {command}\n  ends with {code}: {said}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn dockers_verbs_about_containers_do_what_they_do_there() {
    check("dockers_verbs_about_containers_do_what_they_do_there", "containers", false);
}

#[test]
fn dockers_verbs_about_containers_do_it_below_the_noun() {
    check("dockers_verbs_about_containers_do_it_below_the_noun", "containers", true);
}

#[test]
fn dockers_verbs_about_streams_do_what_they_do_there() {
    check("dockers_verbs_about_streams_do_what_they_do_there", "streams", false);
}

#[test]
fn dockers_verbs_about_streams_do_it_below_the_noun() {
    check("dockers_verbs_about_streams_do_it_below_the_noun", "streams", true);
}

#[test]
fn dockers_lists_have_their_filters_and_fields() {
    check("dockers_lists_have_their_filters_and_fields", "lists", false);
}

#[test]
fn dockers_lists_are_below_the_noun() {
    check("dockers_lists_are_below_the_noun", "lists", true);
}

#[test]
fn dockers_verbs_about_volumes_do_what_they_do_there() {
    check("dockers_verbs_about_volumes_do_what_they_do_there", "volumes", false);
}

#[test]
fn dockers_verbs_about_networks_do_what_they_do_there() {
    check("dockers_verbs_about_networks_do_what_they_do_there", "networks", false);
}

#[test]
fn dockers_verbs_about_the_system_do_what_they_do_there() {
    check("dockers_verbs_about_the_system_do_what_they_do_there", "system", false);
}
