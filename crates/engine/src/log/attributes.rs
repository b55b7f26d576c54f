//! What options add to entries: labels, variables, a tag.

use crate::error::{Error, Result};
use crate::record::Config;
use serde_json::{Map, Value, json};

/// docker's names in a tag.
const NAMES: [&str; 8] =
    ["ID", "FullID", "Name", "ImageID", "ImageFullID", "ImageName", "DaemonName", "Command"];
const SHORT: usize = 12;

/// Whether a tag can be understood: `{{.Name}}` and its kin stand for something.
pub(super) fn check_tag(text: &str) -> Result<()> {
    parts(text, &|_| String::new()).map(drop)
}

/// The tag of a container's entries.
pub(super) fn tag(text: &str, config: &Config) -> String {
    let short = |id: &str| id.chars().take(SHORT).collect::<String>();
    let image = config.image_id.strip_prefix("sha256:").unwrap_or(&config.image_id);
    let value = |name: &str| match name {
        "ID" => short(&config.id),
        "FullID" => config.id.clone(),
        "Name" => config.name.clone(),
        "ImageID" => short(image),
        "ImageFullID" => config.image_id.clone(),
        "ImageName" => config.image.clone(),
        "Command" => {
            config.entrypoint.iter().chain(&config.cmd).next().cloned().unwrap_or_default()
        }
        _ => "tare".into(),
    };
    parts(text, &value).unwrap_or_default()
}

fn parts(text: &str, value: &dyn Fn(&str) -> String) -> Result<String> {
    let bad = || {
        Error::invalid(format!("--log-opt tag={text}: it is no tag"))
            .with_hint(format!("{{{{.NAME}}}} stands for a name of {}", NAMES.join(", ")))
    };
    let (mut made, mut rest) = (String::new(), text);
    while let Some((before, behind)) = rest.split_once("{{") {
        made.push_str(before);
        let (name, after) = behind.split_once("}}").ok_or_else(bad)?;
        let name = name.trim().strip_prefix('.').filter(|name| NAMES.contains(name));
        made.push_str(&value(name.ok_or_else(bad)?));
        rest = after;
    }
    Ok(made + rest)
}

/// Labels and variables that options name.
pub(super) fn named(config: &Config) -> Map<String, Value> {
    let names = |option: &str| -> Vec<&str> {
        let list = config.log.options.get(option).map_or("", String::as_str);
        list.split(',').filter(|name| !name.is_empty()).collect()
    };
    let mut found = Map::new();
    for name in names("env") {
        let known =
            config.env.iter().rev().find_map(|it| it.split_once('=').filter(|it| it.0 == name));
        found.extend(known.map(|(name, value)| (name.to_owned(), json!(value))));
    }
    for name in names("labels") {
        found.extend(config.labels.get(name).map(|value| (name.to_owned(), json!(value))));
    }
    found
}

#[test]
fn tags_are_filled_in() {
    let config = Config {
        id: "0123456789abcdef".into(),
        name: "web".into(),
        image: "box:1".into(),
        ..Config::default()
    };
    assert_eq!(tag("{{.Name}}/{{ .ID }}-{{.ImageName}}", &config), "web/0123456789ab-box:1");
    assert_eq!(tag("plain", &config), "plain");
    for bad in ["{{.Nothing}}", "{{.Name", "{{Name}}"] {
        assert!(check_tag(bad).is_err(), "{bad}");
    }
}
