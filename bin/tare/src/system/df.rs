//! `tare system df`: what takes how much space.

use crate::container::rows::{HEADINGS as HEADINGS_OF_CONTAINERS, Maker};
use crate::failure::{Failure, Result};
use crate::image::now;
use crate::image::rows::{Row, created, shown_id, shown_size};
use crate::image::users::Users;
use crate::output::{self, Clock};
use crate::settings::{Global, Settings};
use clap::Args;
use engine::Container;
use images::{Listed, View};
use std::collections::{HashMap, HashSet};
use store::{LayerKey, Store};
use template::listing::Listing;
use template::table::Columns;
use template::{Field, Struct, Value, units};

const HEADINGS: [(&str, &str); 7] = [
    ("Active", "ACTIVE"),
    ("RawReclaimable", "RECLAIMABLE"),
    ("RawSize", "SIZE"),
    ("Reclaimable", "RECLAIMABLE"),
    ("Size", "SIZE"),
    ("TotalCount", "TOTAL"),
    ("Type", "TYPE"),
];
const TABLE: &str = "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}";
const VERBOSE_HEADINGS: [(&str, &str); 8] = [
    ("Containers", "CONTAINERS"),
    ("CreatedSince", "CREATED"),
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("SharedSize", "SHARED SIZE"),
    ("Size", "SIZE"),
    ("Tag", "TAG"),
    ("UniqueSize", "UNIQUE SIZE"),
];
const VERBOSE_TABLE: &str = "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}";

const CONTAINERS_TABLE: &str = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}";
const VOLUMES_TABLE: &str = "{{.Name}}\t{{.Links}}\t{{.Size}}";

/// Show what takes how much space
#[derive(Debug, Args)]
pub(crate) struct Usage {
    /// json, table TEMPLATE, or a Go template for each row; with --verbose one for all: .Images, .Containers, .Volumes
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Show each image, container and volume
    #[arg(short, long)]
    verbose: bool,
}

pub(crate) fn run(global: &Global, arguments: &Usage) -> Result<()> {
    let settings = Settings::load(global)?;
    let store = settings.store(false)?;
    let (wanted, rights) = (settings.wanted(), settings.caller.rights());
    let (listed, _) = images::list(&store, &wanted, rights)?;
    let users = Users::of(&store)?;
    let mut images = Vec::new();
    for image in &listed {
        let view = View::open(&store, &image.root, &image.media_type, Some(&wanted), rights);
        let layers = view.map(|view| view.layers.into_iter().flatten().collect());
        images.push((image, layers.unwrap_or_default()));
    }
    match arguments.verbose {
        true => verbose(global, arguments, &store, &images, &users),
        false => summary(arguments, &store, &images, &users, &Kept::of(global)?),
    }
}

/// Containers and volumes: how many there are and are in use, their bytes, and those that pruning frees.
#[derive(Default)]
struct Kept {
    containers: [u64; 4],
    volumes: [u64; 4],
}

impl Kept {
    fn of(global: &Global) -> Result<Self> {
        let engine = crate::container::open(global, true)?;
        let containers = engine.list()?;
        let mut kept = Self::default();
        for container in &containers {
            let bytes = engine.writable_bytes(&container.config.id);
            let runs = container.is_running() || container.supervised;
            add(&mut kept.containers, runs, bytes);
        }
        for volume in engine.list_volumes()? {
            let has =
                |mount: &engine::record::Mount| mount.kind == "volume" && mount.name == volume.name;
            let is_used = containers.iter().any(|it| it.config.mounts.iter().any(has));
            let bytes = engine.volume_bytes(&volume.name);
            add(&mut kept.volumes, is_used, bytes);
        }
        Ok(kept)
    }
}

fn add(sums: &mut [u64; 4], is_used: bool, bytes: u64) {
    let free = if is_used { 0 } else { bytes };
    let more = [1, u64::from(is_used), bytes, free];
    sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
}

type Layered<'l> = (&'l Listed, Vec<LayerKey>);

fn disk_bytes(store: &Store, keys: &mut dyn Iterator<Item = LayerKey>) -> Result<u64> {
    let mut sum = 0;
    for key in keys {
        sum += store.layer(&key)?.map_or(0, |layer| layer.meta.disk_bytes);
    }
    Ok(sum)
}

fn summary(
    arguments: &Usage,
    store: &Store,
    images: &[Layered],
    users: &Users,
    others: &Kept,
) -> Result<()> {
    let usage = store.usage()?;
    let kept = users.layers();
    let used = images.iter().filter(|(image, _)| !users.containers_of(image).is_empty()).count();
    let all = usage.layers.bytes + usage.blobs.bytes;
    let kept = disk_bytes(store, &mut kept.into_iter())?;
    let left = usage.staging.bytes + usage.trash.bytes;
    let row = |kind: &str, count: u64, active: u64, size: u64, reclaimable: u64| {
        let part = (reclaimable * 100).checked_div(size).unwrap_or(0);
        let shown = match size {
            0 => "0B".into(),
            _ => format!("{} ({part}%)", units::decimal_size(reclaimable, 4)),
        };
        Struct::value(
            "usage",
            vec![
                Field::new("Active", active.to_string()),
                Field::new("Reclaimable", shown),
                Field::new("Size", units::decimal_size(size, 4)),
                Field::new("TotalCount", count.to_string()),
                Field::new("Type", kind),
                Field::hidden("Total", count),
                Field::hidden("RawSize", size),
                Field::hidden("RawReclaimable", reclaimable),
            ],
        )
    };
    let of =
        |kind: &str, [count, active, bytes, free]: [u64; 4]| row(kind, count, active, bytes, free);
    let rows = [
        row("Images", images.len() as u64, used as u64, all, all.saturating_sub(kept)),
        of("Containers", others.containers),
        of("Local Volumes", others.volumes),
        // Layers of builds are images' or nobody's.
        of("Build Cache", [0; 4]),
        row(
            "Leftovers",
            usage.staging.count + usage.trash.count,
            usage.staging.count,
            left,
            usage.trash.bytes,
        ),
    ];
    let listing = Listing {
        headings: &HEADINGS,
        table: TABLE,
        rows: &rows,
        with_headings: true,
        columns: Columns::DOCKER,
    };
    output::list(arguments.format.as_deref(), &listing, || rows.to_vec())
}

fn image_rows(
    clock: &Clock,
    store: &Store,
    images: &[Layered],
    users: &Users,
) -> Result<Vec<Value>> {
    let mut shared: HashMap<LayerKey, usize> = HashMap::new();
    for key in images.iter().flat_map(|(_, layers)| layers.iter().collect::<HashSet<_>>()) {
        *shared.entry(*key).or_default() += 1;
    }
    let mut rows: Vec<Value> = Vec::new();
    for (image, layers) in images {
        let is_shared = |key: &LayerKey| shared.get(key).is_some_and(|count| *count > 1);
        let (common, own): (Vec<LayerKey>, Vec<LayerKey>) =
            layers.iter().partition(|key| is_shared(key));
        let common = disk_bytes(store, &mut common.into_iter())?;
        let own = disk_bytes(store, &mut own.into_iter())?;
        for row in Row::all(image) {
            let (repository, tag) = row.name_parts();
            rows.push(Struct::value(
                "usage",
                vec![
                    Field::new("Repository", repository),
                    Field::new("Tag", tag),
                    Field::new("ID", shown_id(&image.facts.id, false)),
                    Field::new("CreatedSince", clock.age(created(image).as_ref())),
                    Field::new("Size", shown_size(common + own)),
                    Field::new("SharedSize", shown_size(common)),
                    Field::new("UniqueSize", shown_size(own)),
                    Field::new("Containers", users.containers_of(image).len().to_string()),
                ],
            ));
        }
    }
    Ok(rows)
}

fn verbose(
    global: &Global,
    arguments: &Usage,
    store: &Store,
    images: &[Layered],
    users: &Users,
) -> Result<()> {
    let clock = Clock::new(now());
    let images = image_rows(&clock, store, images, users)?;
    let engine = crate::container::open(global, true)?;
    let size = |container: &Container| (engine.writable_bytes(&container.config.id), None);
    let maker = Maker { clock: &clock, no_trunc: false, size: Some(&size) };
    let containers: Vec<Value> = engine.list()?.iter().map(|it| maker.row(it)).collect();
    let volumes = crate::volume::rows_with_sizes(&engine)?;
    if let Some(format) = arguments.format.as_deref() {
        let value = Struct::value(
            "usage",
            vec![
                Field::new("Images", Value::list(images)),
                Field::new("Containers", Value::list(containers)),
                Field::new("Volumes", Value::list(volumes)),
                Field::new("BuildCache", Value::list([])),
            ],
        );
        let text = match format {
            "json" => output::pretty(&value),
            format => template::listing::inspect(format, &value).map_err(Failure::from)?,
        };
        return output::write(&text);
    }
    let sections = [
        ("Images", &VERBOSE_HEADINGS[..], VERBOSE_TABLE, images),
        ("\nContainers", &HEADINGS_OF_CONTAINERS[..], CONTAINERS_TABLE, containers),
        ("\nLocal Volumes", &crate::volume::HEADINGS[..], VOLUMES_TABLE, volumes),
    ];
    for (title, headings, table, rows) in &sections {
        output::write(format!("{title} space usage:\n\n").as_bytes())?;
        let listing =
            Listing { headings, table, rows, with_headings: true, columns: Columns::DOCKER };
        output::write(&listing.table().map_err(Failure::from)?)?;
    }
    Ok(())
}
