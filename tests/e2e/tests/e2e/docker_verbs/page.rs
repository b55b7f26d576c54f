//! docs/docker.md, and that no verb, option, filter or field is missing there.

use super::{Effect, Ends, GROUPS, Is, Prints, Refused, Row};
use serde_json::Value;
use std::collections::BTreeMap;

const TABLE: &str = include_str!("../../data/cli/docker-containers.json");
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/docker.md");

/// The keys of `--filter`, as docker's reference names them.
const FILTERS: &[(&str, &[&str])] = &[
    (
        "ps",
        &[
            "ancestor",
            "before",
            "exited",
            "expose",
            "health",
            "id",
            "is-task",
            "isolation",
            "label",
            "name",
            "network",
            "publish",
            "since",
            "status",
            "volume",
        ],
    ),
    ("network ls", &["dangling", "driver", "id", "label", "name", "scope", "type"]),
    ("volume ls", &["dangling", "driver", "label", "name"]),
    (
        "events",
        &[
            "config",
            "container",
            "daemon",
            "event",
            "image",
            "label",
            "network",
            "node",
            "plugin",
            "scope",
            "secret",
            "service",
            "type",
            "volume",
        ],
    ),
    ("container prune", &["label", "label!", "until"]),
    ("network prune", &["label", "label!", "until"]),
    ("volume prune", &["all", "label", "label!"]),
    ("system prune", &["label", "label!", "until"]),
];

/// What templates of `--format` are asked for.
const FIELDS: &[(&str, &[&str])] = &[
    (
        "ps",
        &[
            "Command",
            "CreatedAt",
            "HealthStatus",
            "ID",
            "Image",
            "Label",
            "Labels",
            "LocalVolumes",
            "Mounts",
            "Names",
            "Networks",
            "Platform",
            "Ports",
            "RunningFor",
            "Size",
            "State",
            "Status",
        ],
    ),
    (
        "stats",
        &["BlockIO", "CPUPerc", "Container", "ID", "MemPerc", "MemUsage", "Name", "NetIO", "PIDs"],
    ),
    (
        "network ls",
        &[
            "CreatedAt",
            "Driver",
            "ID",
            "IPv4",
            "IPv6",
            "Internal",
            "Label",
            "Labels",
            "Name",
            "Scope",
        ],
    ),
    (
        "volume ls",
        &[
            "Availability",
            "Driver",
            "Group",
            "Label",
            "Labels",
            "Links",
            "Mountpoint",
            "Name",
            "Scope",
            "Size",
            "Status",
        ],
    ),
    ("system df", &["Active", "Reclaimable", "Size", "TotalCount", "Type"]),
];

/// What another page has.
const ELSEWHERE: [&str; 4] = ["create", "run", "network connect", "network disconnect"];

fn rows() -> impl Iterator<Item = &'static Row> {
    GROUPS.iter().flat_map(|(_, group)| group.rows)
}

#[test]
fn every_option_of_dockers_verbs_is_in_the_table() {
    let all: BTreeMap<String, Value> = serde_json::from_str(TABLE).unwrap();
    let mut missing = Vec::new();
    let mut need = |verb: &str, what: &str, is_there: bool| {
        if !is_there {
            missing.push(format!("{verb} {what}"));
        }
    };
    for (verb, about) in all.iter().filter(|(verb, _)| !ELSEWHERE.contains(&verb.as_str())) {
        need(verb, "", rows().any(|(known, option, ..)| known == verb && option.is_empty()));
        for option in about["flags"].as_object().unwrap().keys() {
            need(verb, option, rows().any(|row| row.0 == verb && row.1 == option));
        }
    }
    let commands =
        |verb: &str| -> Vec<&str> { rows().filter(|row| row.0 == verb).map(|row| row.2).collect() };
    for (verb, keys) in FILTERS {
        for key in *keys {
            let typed = [format!("filter {key}="), format!("filter '{key}="), format!("-f {key}=")];
            let is_typed = |command: &&str| typed.iter().any(|it| command.contains(it.as_str()));
            need(verb, key, commands(verb).iter().any(is_typed));
        }
    }
    for (verb, fields) in FIELDS {
        for field in *fields {
            let has = |command: &&str| {
                command.split('.').skip(1).any(|rest| {
                    rest.strip_prefix(field)
                        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
                })
            };
            need(verb, field, commands(verb).iter().any(has));
        }
    }
    assert!(missing.is_empty(), "nothing tries these:\n{}", missing.join("\n"));
    let page = page();
    if std::env::var_os("TARE_WRITE_DOCS").is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    let there = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(there == page, "{PAGE}: TARE_WRITE_DOCS=1 writes it anew");
}

fn page() -> String {
    let mut page = String::from(
        "# docker's verbs\n\nEvery verb of docker 28 about containers, networks, volumes and the system with \
         each of its options, as the tests `docker_verbs::*` try them: one after the other, in a shell, on \
         containers that are there for it. Those about containers are tried as `tare VERB` and as \
         `tare container VERB`. The options of `run` and `create` are in [docker-run.md](docker-run.md).\n",
    );
    let mut verbs: Vec<&str> = rows().map(|row| row.0).collect();
    verbs.sort_unstable();
    verbs.dedup();
    for verb in verbs {
        page.push_str(&format!(
            "\n## {verb}\n\n| option | tried with | what comes of it |\n|---|---|---|\n"
        ));
        for (_, option, command, effect) in rows().filter(|row| row.0 == verb) {
            let option = if option.is_empty() { String::new() } else { format!("`{option}`") };
            page.push_str(&format!("| {option} | {} | {} |\n", code(command), what(effect)));
        }
    }
    page
}

fn what(effect: &Effect) -> String {
    match effect {
        Prints("") => "works".into(),
        Is("") => "works, and says nothing".into(),
        Prints(text) => format!("{} is printed", code(text)),
        Is(text) => format!("prints {}", code(text)),
        Ends(number, "") => format!("ends with {number}"),
        Ends(number, text) => format!("ends with {number}: {}", code(text)),
        Refused(reason) => format!("refused: … {reason} …"),
    }
}

/// A command in a cell of a table.
fn code(text: &str) -> String {
    let text = spelt_out(text.trim()).replace('|', "\\|").replace('\n', "⏎").replace('\t', " ");
    match text.contains('`') {
        true => format!("`` {text} ``"),
        false => format!("`{text}`"),
    }
}

/// What the rows' own shell functions stand for.
fn spelt_out(text: &str) -> String {
    const NAMES: [(&str, &str); 10] = [
        ("names ", "tare ps --format '{{.Names}}' "),
        ("volumes ", "tare volume ls --format '{{.Name}}' "),
        ("networks ", "tare network ls --format '{{.Name}}' "),
        ("; networks ", "; tare network ls --format '{{.Name}}' "),
        ("said ", "tare events --since 1h --until 0s --format '{{.Type}} {{.Action}}' "),
        ("show ", "tare network inspect -f "),
        ("; show ", "; tare network inspect -f "),
        ("; leave", "; tare network disconnect lan user"),
        ("leave", "tare network disconnect lan user"),
        ("; here ", "; (of its endpoint:) tare container inspect user -f "),
    ];
    NAMES.iter().fold(text.to_owned(), |text, (name, whole)| match name.strip_prefix("; ") {
        Some(_) => text.replace(name, whole),
        None => match text.strip_prefix(name) {
            Some(rest) => format!("{whole}{rest}"),
            None => text,
        },
    })
}
