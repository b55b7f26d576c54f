//! Labels of containers, networks, volumes and secrets: as they are typed, looked for, and listed.

use oci::Map;
use std::collections::BTreeMap;
use template::Value;

/// Those of an option, each `NAME[=VALUE]`. One without a value has an empty one.
pub(crate) fn read(texts: &[String]) -> Map {
    let read = |text: &String| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        (name.to_owned(), value.to_owned())
    };
    texts.iter().map(read).collect()
}

/// Whether there is one that a filter wants: by its name, or by `NAME=VALUE`.
pub(crate) fn has(labels: &Map, wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((name, value)) => labels.get(name).is_some_and(|it| it == value),
        None => labels.contains_key(wanted),
    }
}

/// All of them in a row of a list: `.Labels`.
pub(crate) fn text(labels: &Map) -> String {
    let all: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    all.join(",")
}

/// One of them in a row of a list: `.Label "name"`.
pub(crate) fn lookup(labels: &Map) -> Value {
    let all: BTreeMap<String, String> =
        labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    Value::Lookup(all.into())
}
