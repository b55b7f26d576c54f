//! `tare network ls`.

use super::filter::Filters;
use super::{Shown, all, podmans};
use crate::called::Called;
use crate::failure::{Failure, Result};
use crate::image::now;
use crate::labels;
use crate::output::{self, Clock};
use clap::Args;
use net::Networks;
use template::listing::Listing;
use template::table::Columns;
use template::{Field, Struct, Value};

const TABLE: &str = "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}";
const HEADINGS: [(&str, &str); 9] = [
    ("CreatedAt", "CREATED AT"),
    ("Driver", "DRIVER"),
    ("ID", "NETWORK ID"),
    ("IPv4", "IPV4"),
    ("IPv6", "IPV6"),
    ("Internal", "INTERNAL"),
    ("Labels", "LABELS"),
    ("Name", "NAME"),
    ("Scope", "SCOPE"),
];

/// List networks
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Show only networks for which this holds (repeated): dangling, driver, id, label, name, scope, type, until
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// json, table, table TEMPLATE, or a Go template for each network
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Show IDs in full
    #[arg(long)]
    no_trunc: bool,
    /// Show no headings
    #[arg(short, long)]
    noheading: bool,
    /// Show IDs only
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(networks: &Networks, arguments: &Ls) -> Result<()> {
    if arguments.quiet && arguments.format.is_some() {
        return Err(Failure::new("--quiet and --format exclude each other"));
    }
    let clock = Clock::new(now());
    let filters = Filters::read(&arguments.filter, clock.now())?;
    let mut chosen = Vec::new();
    for shown in all(networks)? {
        let used = networks.attachments(&shown.network).is_ok_and(|all| !all.is_empty());
        if filters.choose(&shown, || used) {
            chosen.push(shown);
        }
    }
    if arguments.quiet {
        let ids = chosen.iter().map(|shown| format!("{}\n", id(shown, arguments.no_trunc)));
        return output::write(ids.collect::<String>().as_bytes());
    }
    let rows: Vec<Value> =
        chosen.iter().map(|shown| row(shown, arguments.no_trunc, &clock)).collect();
    let listing = Listing {
        headings: &HEADINGS,
        table: TABLE,
        rows: &rows,
        with_headings: !arguments.noheading,
        columns: Columns::DOCKER,
    };
    output::list(arguments.format.as_deref(), &listing, || match Called::is_podman() {
        true => chosen.iter().map(|shown| document(networks, shown)).collect(),
        false => rows.clone(),
    })
}

fn id(shown: &Shown, whole: bool) -> &str {
    if whole { &shown.network.id } else { shown.network.short_id() }
}

/// As docker has it: everything is a text.
fn row(shown: &Shown, whole: bool, clock: &Clock) -> Value {
    let network = &shown.network;
    let mut fields = vec![
        Field::new("CreatedAt", clock.listed(Some(&shown.created()))),
        Field::new("Driver", shown.driver),
        Field::new("ID", id(shown, whole)),
        Field::new("IPv4", shown.has(false).to_string()),
        Field::new("IPv6", shown.has(true).to_string()),
        Field::new("Internal", network.internal.to_string()),
        Field::hidden("Label", labels::lookup(&network.labels)),
        Field::new("Labels", labels::text(&network.labels)),
        Field::new("Name", network.name.as_str()),
        Field::new("Scope", "local"),
        Field::hidden("Created", Value::from(shown.created())),
        Field::hidden("Options", labels::text(&network.options)),
    ];
    fields.extend(podmans::members(shown));
    Struct::value("network", fields)
}

/// podman's document.
fn document(networks: &Networks, shown: &Shown) -> Value {
    super::inspect::document(shown, &networks.attachments(&shown.network).unwrap_or_default())
}
