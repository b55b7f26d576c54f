//! `tare secret ls`.

use crate::failure::{Failure, Result};
use crate::labels;
use crate::output::{self, Clock};
use crate::settings::Global;
use clap::Args;
use engine::secrets::Secret;
use template::listing::Listing;
use template::table::Columns;
use template::{Field, Struct, Time, Value};

const HEADINGS: [(&str, &str); 6] = [
    ("CreatedAt", "CREATED"),
    ("Driver", "DRIVER"),
    ("ID", "ID"),
    ("Labels", "LABELS"),
    ("Name", "NAME"),
    ("UpdatedAt", "UPDATED"),
];
const TABLE: &str = "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.CreatedAt}}\t{{.UpdatedAt}}";

/// List secrets
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tare secret ls --filter name=db")]
pub(super) struct List {
    /// Show only secrets for which this holds (repeated): id, label, name
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// json, table, table TEMPLATE, or a Go template for each secret
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Show no headings
    #[arg(short, long)]
    noheading: bool,
    /// Show IDs only
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(global: &Global, arguments: &List) -> Result<()> {
    let filters = read(&arguments.filter)?;
    let engine = crate::container::open(global, true)?;
    let mut secrets = engine.list_secrets()?;
    secrets.retain(|secret| is_chosen(secret, &filters));
    if arguments.quiet && arguments.format.is_none() {
        let ids: String = secrets.iter().map(|secret| format!("{}\n", secret.id)).collect();
        return output::write(ids.as_bytes());
    }
    let clock = Clock::new(crate::image::now());
    let rows: Vec<Value> = secrets.iter().map(|secret| row(secret, &clock)).collect();
    let listing = Listing {
        headings: &HEADINGS,
        table: TABLE,
        rows: &rows,
        with_headings: !arguments.noheading,
        columns: Columns::PODMAN,
    };
    output::list(arguments.format.as_deref(), &listing, || rows.clone())
}

fn read(texts: &[String]) -> Result<Vec<(String, String)>> {
    let one = |text: &String| match text.split_once('=') {
        Some((key @ ("id" | "label" | "name"), value)) => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Failure::new(format!("--filter {text}: invalid filter"))
            .hint("write id=, label= or name=")),
    };
    texts.iter().map(one).collect()
}

/// Values of one key are alternatives, but for labels.
fn is_chosen(secret: &Secret, filters: &[(String, String)]) -> bool {
    let of = |key: &'static str| filters.iter().filter(move |(known, _)| known == key);
    let any = |key, is: &dyn Fn(&str) -> bool| {
        of(key).next().is_none() || of(key).any(|(_, value)| is(value))
    };
    any("id", &|value| secret.id.starts_with(value))
        && any("name", &|value| secret.name.contains(value))
        && of("label").all(|(_, value)| labels::has(&secret.labels, value))
}

fn row(secret: &Secret, clock: &Clock) -> Value {
    let age = |text: &str| clock.age(Time::parse_rfc3339(text).as_ref());
    Struct::value(
        "secret",
        vec![
            Field::new("ID", secret.id.as_str()),
            Field::new("Name", secret.name.as_str()),
            Field::new("Driver", secret.driver.as_str()),
            Field::new("CreatedAt", age(&secret.created)),
            Field::new("UpdatedAt", age(&secret.updated)),
            Field::new("Labels", labels::text(&secret.labels)),
        ],
    )
}
