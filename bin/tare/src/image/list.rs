//! `tare images`.

use super::filter::{Filters, Surroundings};
use super::rows::{HEADINGS, Maker, Row, created, shown_id};
use super::users::Users;
use super::{config_of, now};
use crate::failure::{Failure, Result};
use crate::output::{self, Clock};
use crate::settings::{Global, Settings, warn};
use clap::{Args, ValueEnum};
use images::Listed;
use std::collections::BTreeSet;
use store::Store;
use template::listing::Listing;
use template::table::Columns;

/// List the images of the store
///
/// NAME chooses images by a name or pattern, as `--filter reference=NAME` does.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tare images\n  tare images --filter dangling=true -q\n  \
                  tare images --format '{{.Repository}}:{{.Tag}} {{.Size}}'")]
pub(crate) struct List {
    /// Accepted for docker's sake: there are no images of build steps
    #[arg(short, long)]
    all: bool,
    /// Show digests
    #[arg(long)]
    digests: bool,
    /// Show only images for which this holds (repeated): before, containers, dangling, digest, id,
    /// label, reference, since, until
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// json, table, table TEMPLATE, or a Go template for each image
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Not here: names that images had before are not kept
    #[arg(long, hide = true)]
    history: bool,
    /// buildah's word for --format json
    #[arg(long, hide = true, conflicts_with = "format")]
    json: bool,
    /// Show IDs in full
    #[arg(long)]
    no_trunc: bool,
    /// Show no headings
    #[arg(short, long)]
    noheading: bool,
    /// Show IDs only
    #[arg(short, long)]
    quiet: bool,
    /// Order of images
    #[arg(long, value_enum, default_value_t = Sort::Created)]
    sort: Sort,
    /// Not here: see `tare image tree`
    #[arg(long, hide = true)]
    tree: bool,
    /// Name or pattern
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// The newest first
    Created,
    /// By ID
    Id,
    /// By repository, then tag
    Repository,
    /// The smallest first
    Size,
    /// By tag
    Tag,
}

pub(crate) fn run(global: &Global, arguments: &List) -> Result<()> {
    if arguments.history {
        return Err(Failure::new("--history: names that images had before are not kept"));
    }
    if arguments.tree {
        return Err(Failure::new("--tree: not in lists")
            .hint("`tare image tree NAME` shows the layers of an image"));
    }
    if arguments.quiet && arguments.format.is_some() {
        return Err(Failure::new("--quiet and --format exclude each other"));
    }
    let settings = Settings::load(global)?;
    let store = settings.store(true)?;
    let clock = Clock::new(now());
    let (wanted, rights) = (settings.wanted(), settings.caller.rights());
    let (listed, errors) = images::list(&store, &wanted, rights)?;
    errors.iter().for_each(|error| warn(&error.to_string()));
    let config = |image: &Listed| config_of(&store, image);
    let users = Users::of(&store)?;
    let surroundings = Surroundings {
        now: clock.now(),
        created_of: &|name| created_of(&store, &listed, name),
        config: &config,
        is_used: &|image| !users.containers_of(image).is_empty(),
    };
    let mut filters = Filters::read(&arguments.filter, &surroundings)?;
    if let Some(name) = &arguments.name {
        filters.add_reference(name);
    }
    let chosen: Vec<&Listed> =
        listed.iter().filter(|image| filters.choose(image, &surroundings)).collect();
    let mut rows: Vec<Row> = chosen.iter().flat_map(|image| Row::all(image)).collect();
    rows.retain(|row| row.name.is_none_or(|name| filters.has_name(&name.reference)));
    sort(&mut rows, arguments.sort);
    if arguments.quiet {
        return print_ids(&rows, arguments.no_trunc);
    }
    let maker = Maker { clock: &clock, no_trunc: arguments.no_trunc, config: &config };
    show(arguments, &rows, &maker)
}

fn show(arguments: &List, rows: &[Row], maker: &Maker) -> Result<()> {
    let format = if arguments.json { Some("json") } else { arguments.format.as_deref() };
    let with_labels = format.is_some_and(|format| format.contains("Labels"));
    let values = match output::shows_rows(format) {
        false => Vec::new(),
        true if format.is_none() => rows.iter().map(|row| maker.short_row(row)).collect(),
        true => rows.iter().map(|row| maker.row(row, with_labels)).collect(),
    };
    let digest = if arguments.digests { "{{.Digest}}\t" } else { "" };
    let table = format!(
        "{{{{.Repository}}}}\t{{{{.Tag}}}}\t{digest}{{{{.ID}}}}\t{{{{.CreatedSince}}}}\t{{{{.Size}}}}"
    );
    let listing = Listing {
        headings: &HEADINGS,
        table: &table,
        rows: &values,
        with_headings: !arguments.noheading,
        columns: Columns::DOCKER,
    };
    output::list(format, &listing, || {
        let mut seen = BTreeSet::new();
        let images = rows.iter().map(|row| row.image);
        images.filter(|image| seen.insert(image.root)).map(|image| maker.json(image)).collect()
    })
}

/// Each ID once.
fn print_ids(rows: &[Row], no_trunc: bool) -> Result<()> {
    let mut seen = BTreeSet::new();
    let mut text = String::new();
    for row in rows {
        let id = shown_id(&row.image.facts.id, no_trunc);
        if seen.insert(id.clone()) {
            text.push_str(&id);
            text.push('\n');
        }
    }
    output::write(text.as_bytes())
}

fn sort(rows: &mut [Row], order: Sort) {
    match order {
        // They come like this, but for times that are written with another zone.
        Sort::Created => rows.sort_by_cached_key(|row| {
            let time = created(row.image);
            std::cmp::Reverse(time.map(|time| (time.seconds(), time.nanoseconds())))
        }),
        Sort::Id => rows.sort_by_cached_key(|row| row.image.facts.id.to_string()),
        Sort::Repository => rows.sort_by_cached_key(Row::name_parts),
        Sort::Size => rows.sort_by_key(|row| row.image.facts.size_bytes),
        Sort::Tag => rows.sort_by_cached_key(|row| row.name_parts().1),
    }
}

fn created_of(store: &Store, listed: &[Listed], name: &str) -> Result<Option<template::Time>> {
    let found = images::find(store, name)?;
    let image = listed.iter().find(|image| image.root == found.digest);
    Ok(image.and_then(created))
}
