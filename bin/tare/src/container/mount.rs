//! `tare mount` and `tare unmount` of containers.

use super::which;
use crate::called::Called;
use crate::failure::{Failure, Result};
use crate::output;
use crate::settings::Global;
use clap::Args;
use engine::{Container, Engine};
use std::path::Path;
use store::MountRecord;
use template::listing::Listing;
use template::table::Columns;
use template::{Field, Struct, Value};

/// Mount containers to look at their files, and to change them
///
/// The directory is printed. Every process sees it, and the container cannot be removed until it is unmounted; it may be
/// started and stopped meanwhile. What is mounted in a container is not seen there. Without CONTAINER: which ones are
/// mounted.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  grep -r colour $(tare container mount web)/etc\n  tare container mount"
)]
pub(crate) struct Mount {
    /// Mount all containers
    #[arg(short, long, conflicts_with_all = ["containers", "latest"])]
    pub(crate) all: bool,
    /// json, table TEMPLATE, or a Go template for each mount, of the list
    #[arg(long, value_name = "FORMAT", conflicts_with = "containers")]
    pub(crate) format: Option<String>,
    /// Show IDs in full
    #[arg(long, alias = "notruncate")]
    pub(crate) no_trunc: bool,
    /// The container that was made last
    #[arg(short, long, conflicts_with = "containers")]
    pub(crate) latest: bool,
    /// Containers: names, or the beginnings of IDs
    #[arg(value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
}

/// Unmount containers
#[derive(Debug, Args)]
pub(crate) struct Unmount {
    /// Unmount all containers
    #[arg(short, long, conflicts_with_all = ["containers", "latest"])]
    pub(crate) all: bool,
    /// Also what is in use: its users keep it until they are done
    #[arg(short, long)]
    pub(crate) force: bool,
    /// The container that was made last
    #[arg(short, long, conflicts_with = "containers")]
    pub(crate) latest: bool,
    /// Containers: names, or the beginnings of IDs
    #[arg(required_unless_present_any = ["all", "latest"], value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
}

pub(crate) fn mount(global: &Global, arguments: &Mount) -> Result<u8> {
    let is_list = arguments.containers.is_empty() && !arguments.all && !arguments.latest;
    let engine = super::open(global, is_list)?;
    if is_list {
        list(&engine, arguments.format.as_deref(), arguments.no_trunc)?;
        return Ok(0);
    }
    let names = names(&engine, &arguments.containers, arguments.all, arguments.latest)?;
    let titled = names.len() > 1 && !Called::is_podman() || arguments.all;
    let mut code = 0;
    for name in &names {
        let mounted = engine.find(name).map_err(Failure::from).and_then(|container| {
            let title = if arguments.all { short(&container, arguments.no_trunc) } else { name };
            one(&engine, &container, titled.then_some(title))
        });
        if let Err(failure) = mounted {
            failure.tell();
            code = crate::own_code();
        }
    }
    Ok(code)
}

fn names(engine: &Engine, typed: &[String], all: bool, latest: bool) -> Result<Vec<String>> {
    if latest {
        return Ok(vec![which::latest(engine)?.config.id]);
    }
    match all {
        true => Ok(engine.list()?.into_iter().map(|container| container.config.id).collect()),
        false => Ok(typed.to_vec()),
    }
}

fn short(container: &Container, in_full: bool) -> &str {
    let id = &container.config.id;
    if in_full { id } else { id.get(..12).unwrap_or(id) }
}

/// Mounts one, and says where; with several, which one that is.
pub(crate) fn one(engine: &Engine, container: &Container, title: Option<&str>) -> Result<()> {
    let place = engine.mount(container)?.display().to_string();
    let line = match title {
        Some(title) => format!("{title} {place}\n"),
        None => place + "\n",
    };
    output::write(line.as_bytes())
}

fn list(engine: &Engine, format: Option<&str>, in_full: bool) -> Result<()> {
    const HEADINGS: [(&str, &str); 3] =
        [("ID", "CONTAINER ID"), ("Names", "NAMES"), ("MountPoint", "MOUNT POINT")];
    let row = |(container, record): (Container, MountRecord)| {
        Struct::value(
            "mount",
            vec![
                Field::renamed("ID", "id", short(&container, in_full)),
                Field::new("Names", Value::texts([container.config.name.clone()])),
                Field::hidden("Name", container.config.name.as_str()),
                Field::renamed("MountPoint", "mountpoint", record.target),
            ],
        )
    };
    let rows: Vec<Value> = engine.mounts()?.into_iter().map(row).collect();
    let listing = Listing {
        headings: &HEADINGS,
        table: "{{.ID}}\t{{.MountPoint}}",
        rows: &rows,
        with_headings: false,
        columns: Columns::DOCKER,
    };
    output::list(format, &listing, || rows.clone())
}

pub(crate) fn unmount(global: &Global, arguments: &Unmount) -> Result<u8> {
    let engine = super::open(global, false)?;
    if arguments.all {
        for (container, _) in engine.mounts()? {
            take(&engine, &container, arguments.force)?;
        }
        return Ok(0);
    }
    let names = names(&engine, &arguments.containers, false, arguments.latest)?;
    let mut code = 0;
    for name in &names {
        let container = engine.find(name).map_err(Failure::from);
        match container.and_then(|it| take(&engine, &it, arguments.force)) {
            Ok(()) => {}
            Err(failure) => {
                failure.tell();
                code = crate::own_code();
            }
        }
    }
    Ok(code)
}

/// Takes a container's mount away, and says where it was; to podman's users, whose it was.
pub(crate) fn take(engine: &Engine, container: &Container, force: bool) -> Result<()> {
    match engine.unmount(container, force)? {
        Some(_) if Called::is_podman() => {
            output::write(format!("{}\n", container.config.id).as_bytes())
        }
        Some(place) => output::write(format!("{place}\n").as_bytes()),
        None => Err(Failure::new(format!("container {} is not mounted", container.config.name))),
    }
}

/// The container that a text means where it may mean an image as well: the beginning of an ID counts if it is as long as
/// what lists show.
pub(crate) fn named(engine: &Engine, text: &str) -> Result<Option<(Container, bool)>> {
    const SHOWN: usize = 12;
    match engine.find(text) {
        Ok(container) => {
            let is_exact = container.config.name == text.trim_start_matches('/')
                || text.len() >= SHOWN && container.config.id.starts_with(text);
            Ok(Some((container, is_exact)))
        }
        Err(error) if error.kind() == engine::Kind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The container whose mount has this identifier, or is at this place.
pub(crate) fn at(engine: &Engine, text: &str) -> Result<Option<Container>> {
    let place = std::fs::canonicalize(text).ok();
    let is_meant = |record: &MountRecord| {
        record.id == text
            || record.target == text
            || place.as_deref() == Some(Path::new(&record.target))
    };
    let found = engine.mounts()?.into_iter().find(|(_, record)| is_meant(record));
    Ok(found.map(|(container, _)| container))
}
