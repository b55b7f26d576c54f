//! `tare volume ls`.

use crate::called::Called;
use crate::failure::{Failure, Result};
use crate::labels;
use crate::output;
use crate::pattern;
use crate::settings::Global;
use clap::Args;
use engine::Engine;
use engine::volumes::Volume;
use std::collections::HashMap;
use template::listing::Listing;
use template::table::Columns;
use template::{Field, Struct, Value, units};

pub(crate) const HEADINGS: [(&str, &str); 10] = [
    ("Availability", "AVAILABILITY"),
    ("Driver", "DRIVER"),
    ("Group", "GROUP"),
    ("Labels", "LABELS"),
    ("Links", "LINKS"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Name", "VOLUME NAME"),
    ("Scope", "SCOPE"),
    ("Size", "SIZE"),
    ("Status", "STATUS"),
];

/// List volumes
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tare volume ls -q --filter dangling=true")]
pub(super) struct List {
    /// docker's list of another kind of volumes, which there are none of
    #[arg(long, hide = true)]
    cluster: bool,
    /// Show only volumes for which this holds (repeated): dangling=true|false, driver, label, name
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// json, table, table TEMPLATE, or a Go template for each volume
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Show no headings
    #[arg(short, long, visible_alias = "noheading")]
    no_heading: bool,
    /// Show names only
    #[arg(short, long)]
    quiet: bool,
}

/// How many containers have each volume.
pub(super) fn users(engine: &Engine) -> Result<HashMap<String, usize>> {
    let mut users = HashMap::new();
    for container in engine.list()? {
        for mount in container.config.mounts.iter().filter(|mount| mount.kind == "volume") {
            *users.entry(mount.name.clone()).or_default() += 1;
        }
    }
    Ok(users)
}

/// What a volume has to be. Values of one key are alternatives, but for labels.
pub(super) fn is_chosen(
    volume: &Volume,
    users: &HashMap<String, usize>,
    filters: &[(String, String)],
) -> bool {
    let matches =
        |value: &str| pattern::read("name", value).is_ok_and(|it| it.is_match(&volume.name));
    let is = |key: &str, value: &str| match key {
        "dangling" => matches!(value, "true" | "1") != users.contains_key(&volume.name),
        "driver" => volume.driver == value,
        "label" => labels::has(&volume.labels, value),
        "label!" => !labels::has(&volume.labels, value),
        _ => matches(value),
    };
    let of = |key: &'static str| filters.iter().filter(move |(known, _)| known == key);
    let any = |key| of(key).next().is_none() || of(key).any(|(_, value)| is(key, value));
    let all = |key| of(key).all(|(_, value)| is(key, value));
    any("dangling") && any("driver") && any("name") && all("label") && all("label!")
}

pub(crate) fn read_filters(texts: &[String], keys: &[&str]) -> Result<Vec<(String, String)>> {
    let mut filters = Vec::new();
    for text in texts {
        let Some((key, value)) = text.split_once('=') else {
            return Err(Failure::new(format!("--filter {text}: bad format of filter"))
                .hint("write KEY=VALUE"));
        };
        // `label!=x` ends its key before the sign.
        if !keys.contains(&key) {
            return Err(Failure::new(format!("invalid filter '{key}'"))
                .hint(format!("known are {}", keys.join(", "))));
        }
        if key == "name" {
            pattern::read(key, value)?;
        }
        if key == "dangling" && !matches!(value, "true" | "false" | "1" | "0") {
            return Err(Failure::new(format!("--filter {text}: must be true or false")));
        }
        filters.push((key.to_owned(), value.to_owned()));
    }
    Ok(filters)
}

pub(super) fn run(global: &Global, arguments: &List) -> Result<()> {
    if arguments.cluster {
        return Err(super::cluster::refusal("--cluster"));
    }
    let engine = crate::container::open(global, true)?;
    let filters =
        read_filters(&arguments.filter, &["dangling", "driver", "label", "label!", "name"])?;
    let users = users(&engine)?;
    let mut volumes = engine.list_volumes()?;
    volumes.retain(|volume| is_chosen(volume, &users, &filters));
    if arguments.quiet && arguments.format.is_none() {
        let names: String = volumes.iter().map(|volume| format!("{}\n", volume.name)).collect();
        return output::write(names.as_bytes());
    }
    let rows: Vec<Value> =
        volumes.iter().map(|volume| row(&engine, volume, &users, None)).collect();
    if Called::is_podman() && arguments.format.as_deref() == Some("json") {
        let documents = volumes.iter().map(|volume| super::value(&engine, &volume.name));
        let documents: Vec<Option<Value>> = documents.collect::<Result<_>>()?;
        return output::inspected(None, &documents.into_iter().flatten().collect::<Vec<_>>());
    }
    let listing = Listing {
        headings: &HEADINGS,
        table: "{{.Driver}}\t{{.Name}}",
        rows: &rows,
        with_headings: !arguments.no_heading,
        columns: Columns::DOCKER,
    };
    output::list(arguments.format.as_deref(), &listing, || rows.clone())
}

/// The volumes with their sizes.
pub(crate) fn rows_with_sizes(engine: &Engine) -> Result<Vec<Value>> {
    let users = users(engine)?;
    let row = |volume: &Volume| {
        let bytes = engine.volume_bytes(&volume.name);
        row(engine, volume, &users, Some(bytes))
    };
    Ok(engine.list_volumes()?.iter().map(row).collect())
}

fn row(
    engine: &Engine,
    volume: &Volume,
    users: &HashMap<String, usize>,
    bytes: Option<u64>,
) -> Value {
    let links = users.get(&volume.name).copied().unwrap_or(0);
    Struct::value(
        "volume",
        vec![
            Field::new("Availability", "N/A"),
            Field::new("Driver", volume.driver.as_str()),
            Field::new("Group", "N/A"),
            Field::new("Labels", labels::text(&volume.labels)),
            Field::hidden("Label", labels::lookup(&volume.labels)),
            Field::new("Links", links.to_string()),
            Field::new(
                "Mountpoint",
                engine.volume_path(&volume.name).to_string_lossy().into_owned(),
            ),
            Field::new("Name", volume.name.as_str()),
            Field::new("Scope", "local"),
            Field::new("Size", bytes.map_or_else(|| "N/A".into(), |it| units::decimal_size(it, 4))),
            Field::new("Status", "N/A"),
        ],
    )
}
