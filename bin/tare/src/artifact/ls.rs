//! `tare artifact ls`.

use super::kind;
use crate::failure::Result;
use crate::settings::{Global, Settings, warn};
use clap::Args;
use oci::Reference;
use store::{NameRecord, Store};
use template::listing::Listing;
use template::table::Columns;
use template::{Field, Struct, Value, units};

/// List the artifacts of the store
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// json, or a template of Go's for each, with `table` in front for columns
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Show digests in full
    #[arg(long)]
    no_trunc: bool,
    /// Leave the headings out
    #[arg(short, long)]
    noheading: bool,
}

const TABLE: &str = "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.Size}}";
const HEADINGS: [(&str, &str); 6] = [
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("Type", "TYPE"),
    ("Size", "SIZE"),
    ("VirtualSize", "SIZE"),
];
/// Digits of a digest that are shown: docker's.
const DIGITS: usize = 12;

pub(super) fn run(global: &Global, arguments: &Ls) -> Result<()> {
    let settings = Settings::load(global)?;
    let store = settings.store(true)?;
    let (names, errors) = store.names()?;
    errors.iter().for_each(|error| warn(&error.to_string()));
    let rows = names.iter().filter_map(|record| row(&store, record, arguments.no_trunc));
    let rows: Vec<Value> = rows.collect();
    let listing = Listing {
        headings: &HEADINGS,
        table: TABLE,
        rows: &rows,
        with_headings: !arguments.noheading,
        columns: Columns::PODMAN,
    };
    crate::output::list(arguments.format.as_deref(), &listing, || rows.clone())
}

/// A row for an artifact; nothing for images.
fn row(store: &Store, record: &NameRecord, whole: bool) -> Option<Value> {
    let found = images::Found {
        digest: *record.target().ok()?,
        media_type: record.media_type.clone(),
        names: vec![record.clone()],
        by: images::By::Name,
    };
    // What cannot be read is a matter for the check of the store.
    let document = images::open_document(store, &found).ok()?;
    let kind = kind(&document)?;
    let manifest = document.manifest()?;
    let size: u64 = manifest.layers.iter().map(|layer| layer.size).sum();
    let (repository, tag) = match Reference::parse(&record.reference) {
        Ok(name) if !record.reference.starts_with('@') => {
            (name.name().to_owned(), name.tag().unwrap_or_default().to_owned())
        }
        _ => ("<none>".to_owned(), "<none>".to_owned()),
    };
    let digest = match whole {
        true => found.digest.to_string(),
        false => found.digest.hex()[..DIGITS].to_owned(),
    };
    let virtual_size = i64::try_from(size).unwrap_or(i64::MAX);
    Some(Struct::value(
        "artifacts.artifactListOutput",
        vec![
            Field::new("Repository", repository),
            Field::new("Tag", tag),
            Field::new("Digest", digest),
            Field::new("Type", kind),
            Field::new("Size", units::decimal_size(size, 3)),
            Field::new("VirtualSize", virtual_size),
        ],
    ))
}
