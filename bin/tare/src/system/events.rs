//! `tare events`.

use crate::called::Called;
use crate::container::logs::{instant, said};
use crate::failure::{Failure, Result};
use crate::output::Clock;
use crate::settings::Global;
use clap::Args;
use serde_json::Value as Json;
use std::io::Write;
use std::time::Duration;
use template::{Field, Struct, Time, Value};

/// Between looks at the record of events.
const PAUSE: Duration = Duration::from_millis(50);

/// Show what happens: to containers, volumes and others
///
/// What commands and supervisors record is read; nothing has to run for that. Without --since it begins now, and without
/// --until it goes on.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tare events --since 10m --filter event=die\n  tare events --format '{{.Actor.Attributes.name}} {{.Action}}'"
)]
pub(crate) struct Events {
    /// Show only events for which this holds (repeated): container, event, image, label, network, scope, type, volume
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// json, or a Go template for each event
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Nothing older: a time, or how long ago it was, such as 10m
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Nothing newer; then it ends
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// podman's: false ends with what is recorded
    #[arg(long, hide = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = true, action = clap::ArgAction::Set)]
    stream: bool,
    /// podman's: IDs are shown in full, as here always
    #[arg(long, hide = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = true, action = clap::ArgAction::Set)]
    no_trunc: bool,
}

const KEYS: [&str; 15] = [
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
    "status",
    "type",
    "volume",
];

fn nanos(time: &Time) -> i64 {
    time.seconds().saturating_mul(1_000_000_000).saturating_add(i64::from(time.nanoseconds()))
}

fn point(text: &str) -> Result<i64> {
    let text = instant(text)?;
    Time::parse_rfc3339(&text)
        .map(|time| nanos(&time))
        .ok_or_else(|| Failure::new(format!("{text:?} is not a time")))
}

fn now() -> i64 {
    let time = sys::time::now();
    time.seconds.saturating_mul(1_000_000_000).saturating_add(time.nanos)
}

pub(crate) fn run(global: &Global, arguments: &Events) -> Result<()> {
    let filters = read(&arguments.filter)?;
    let since = said(&arguments.since).map_or_else(|| Ok(now()), point)?;
    let until = said(&arguments.until).map(point).transpose()?;
    let engine = crate::container::open(global, true)?;
    let mut reader = engine.events()?;
    let clock = Clock::new(crate::image::now());
    loop {
        // What is recorded before the end is read after it was seen.
        let is_over = until.is_some_and(|until| until <= now()) || !arguments.stream;
        for event in reader.take()? {
            let time = event["timeNano"].as_i64().unwrap_or(0);
            if time < since || until.is_some_and(|until| time > until) || !holds(&event, &filters) {
                continue;
            }
            let mut text = shown(&event, arguments.format.as_deref(), &clock)?;
            if !arguments.no_trunc && arguments.format.is_none() {
                text = shorten(text, &event);
            }
            let mut out = std::io::stdout().lock();
            match out.write_all(&text).and_then(|()| out.flush()) {
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
                result => result?,
            }
        }
        if is_over {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
}

fn read(texts: &[String]) -> Result<Vec<(String, String)>> {
    let mut filters = Vec::new();
    for text in texts {
        let (key, value) = text.split_once('=').ok_or_else(|| {
            Failure::new(format!("--filter {text}: bad format of filter")).hint("write KEY=VALUE")
        })?;
        if !KEYS.contains(&key) {
            return Err(Failure::new(format!("invalid filter '{key}'"))
                .hint(format!("known are {}", KEYS.join(", "))));
        }
        filters.push((key.to_owned(), value.to_owned()));
    }
    Ok(filters)
}

/// Values of one key are alternatives, but for labels.
fn holds(event: &Json, filters: &[(String, String)]) -> bool {
    KEYS.iter().all(|key| {
        let mut of_key = filters.iter().filter(|(known, _)| known == key).peekable();
        match *key {
            "label" => of_key.all(|(_, value)| is(event, key, value)),
            _ => of_key.peek().is_none() || of_key.any(|(_, value)| is(event, key, value)),
        }
    })
}

fn is(event: &Json, key: &str, value: &str) -> bool {
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let (kind, id) = (text(&event["Type"]), text(&event["Actor"]["ID"]));
    let attribute = |name: &str| text(&event["Actor"]["Attributes"][name]);
    let name = value.trim_start_matches('/');
    match key {
        "container" => kind == "container" && (id.starts_with(value) || attribute("name") == name),
        "event" | "status" => {
            let action = text(&event["Action"]);
            action == value || action.split(':').next() == Some(value) || podmans(&action) == value
        }
        "image" => {
            let image = if kind == "image" { attribute("name") } else { attribute("image") };
            image == value
                || image.rsplit_once(':').is_some_and(|(name, _)| name == value)
                || (kind == "image" && id == value)
        }
        "label" => match value.split_once('=') {
            Some((name, wanted)) => attribute(name) == wanted,
            None => !event["Actor"]["Attributes"][value].is_null(),
        },
        "network" | "volume" => {
            kind == key && (id.starts_with(value) || attribute("name") == value)
        }
        "scope" => text(&event["scope"]) == value,
        "type" => kind == value,
        _ => false,
    }
}

/// The line with the first digits of the ID alone.
fn shorten(line: Vec<u8>, event: &Json) -> Vec<u8> {
    let id = event["Actor"]["ID"].as_str().unwrap_or_default();
    let is_id = id.len() == 64 && id.bytes().all(|it| it.is_ascii_hexdigit());
    match String::from_utf8(line) {
        Ok(line) if is_id => line.replacen(id, &id[..12], 1).into_bytes(),
        Ok(line) => line.into_bytes(),
        Err(error) => error.into_bytes(),
    }
}

/// podman's word for what happened.
fn podmans(action: &str) -> &str {
    match action {
        "die" => "died",
        "destroy" => "remove",
        "delete" => "remove",
        other => other.split(':').next().unwrap_or(other),
    }
}

/// As the program's users know it.
fn called(action: &str) -> String {
    if Called::is_podman() { podmans(action).to_owned() } else { action.to_owned() }
}

fn shown(event: &Json, format: Option<&str>, clock: &Clock) -> Result<Vec<u8>> {
    let value = value(event);
    match format {
        Some("json") => {
            let mut text = value.json();
            text.push(b'\n');
            Ok(text)
        }
        Some(format) if !format.is_empty() => Ok(template::listing::inspect(format, &value)?),
        _ => Ok(line(event, clock).into_bytes()),
    }
}

/// `2026-01-02T15:04:05.000000000Z container start ID (image=box, name=web)`.
fn line(event: &Json, clock: &Clock) -> String {
    let nano = event["timeNano"].as_i64().unwrap_or(0);
    let time = Time::unix(
        nano.div_euclid(1_000_000_000),
        u32::try_from(nano.rem_euclid(1_000_000_000)).unwrap_or(0),
    );
    let time = clock.local(&time).format("2006-01-02T15:04:05.000000000Z07:00");
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let mut attributes: Vec<String> = event["Actor"]["Attributes"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", text(value)))
        .collect();
    attributes.sort();
    if Called::is_podman() {
        let is_first = |it: &String| it.starts_with("image=") || it.starts_with("name=");
        attributes.sort_by_key(|it| !is_first(it));
    }
    let (kind, action, id) =
        (text(&event["Type"]), called(&text(&event["Action"])), text(&event["Actor"]["ID"]));
    let shown = match attributes.is_empty() {
        true => String::new(),
        false => format!(" ({})", attributes.join(", ")),
    };
    crate::output::tame(&format!("{time} {kind} {action} {id}{shown}")) + "\n"
}

fn value(event: &Json) -> Value {
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let attributes = event["Actor"]["Attributes"].as_object();
    let attributes = attributes.into_iter().flatten().map(|(key, it)| (key.clone(), text(it)));
    let actor = Struct::value(
        "actor",
        vec![
            Field::new("ID", text(&event["Actor"]["ID"])),
            Field::new("Attributes", Value::text_map(attributes)),
        ],
    );
    let (id, action) = (text(&event["Actor"]["ID"]), called(&text(&event["Action"])));
    let all = event["Actor"]["Attributes"].as_object();
    let all = all.into_iter().flatten().map(|(key, it)| (key.clone(), text(it)));
    let mut fields = Vec::new();
    if text(&event["Type"]) == "container" {
        fields.extend([
            Field::renamed("Status", "status", action.clone()),
            Field::renamed("ID", "id", id.clone()),
            Field::renamed("From", "from", text(&event["Actor"]["Attributes"]["image"])),
        ]);
    } else {
        fields.extend([Field::hidden("Status", action.clone()), Field::hidden("ID", id)]);
    }
    fields.extend([
        Field::new("Type", text(&event["Type"])),
        Field::new("Action", action),
        Field::new("Actor", actor),
        Field::renamed("Scope", "scope", text(&event["scope"])),
        Field::renamed("Time", "time", event["time"].as_i64().unwrap_or(0)),
        Field::renamed("TimeNano", "timeNano", event["timeNano"].as_i64().unwrap_or(0)),
        // podman's names of them.
        Field::hidden("Attributes", Value::text_map(all)),
        Field::hidden("Image", text(&event["Actor"]["Attributes"]["image"])),
        Field::hidden("Name", text(&event["Actor"]["Attributes"]["name"])),
    ]);
    Struct::value("event", fields)
}
