//! `tare mount` and `tare unmount`: images as directories to look at.

use super::look_at;
use super::users::Users;
use crate::failure::{Failure, Result};
use crate::output;
use crate::settings::{Global, PlatformArgs, Settings};
use clap::Args;
use images::{Listed, View};
use std::path::{Path, PathBuf};
use store::{MountRecord, Store};
use template::listing::Listing;
use template::table::Columns;
use template::{Field, Struct, Value};

/// Mount images to look at them
///
/// Each is mounted read-only at a directory of its own, which is printed, or at --target. Every
/// process sees it, and the image cannot be removed until it is unmounted. Without IMAGE: which ones
/// are mounted.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ls $(tare mount debian:13)\n  tare mount --target /mnt debian:13\n  tare mount"
)]
pub(crate) struct Mount {
    /// Mount all images
    #[arg(short, long, conflicts_with_all = ["images", "target"])]
    all: bool,
    /// json, table TEMPLATE, or a Go template for each mount, of the list
    #[arg(long, value_name = "FORMAT", conflicts_with = "images")]
    format: Option<String>,
    /// buildah's word for --format json
    #[arg(long, hide = true, conflicts_with_all = ["format", "images"])]
    json: bool,
    /// Show IDs in full
    #[arg(long)]
    no_trunc: bool,
    /// Not here: it is for containers
    #[arg(short, long, hide = true)]
    latest: bool,
    /// Directory to mount at
    #[arg(long, value_name = "DIR")]
    target: Option<PathBuf>,
    #[command(flatten)]
    platform: PlatformArgs,
    /// Images: names, IDs or digests
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
}

/// Unmount images
///
/// Of an image that is mounted several times the newest mount goes.
#[derive(Debug, Args)]
pub(crate) struct Unmount {
    /// Unmount all images
    #[arg(short, long, conflicts_with = "images")]
    all: bool,
    /// Also what is in use: its users keep it until they are done
    #[arg(short, long)]
    force: bool,
    /// Not here: it is for containers
    #[arg(short, long, hide = true)]
    latest: bool,
    /// Images, the directories where they are mounted, or IDs of mounts
    #[arg(required_unless_present_any = ["all", "latest"], value_name = "IMAGE")]
    images: Vec<String>,
}

fn refuse_latest(latest: bool) -> Result<()> {
    match latest {
        true => Err(Failure::new("--latest: there are no containers yet")),
        false => Ok(()),
    }
}

pub(crate) fn mount(global: &Global, arguments: &Mount) -> Result<()> {
    refuse_latest(arguments.latest)?;
    let settings = Settings::load(global)?;
    if arguments.images.is_empty() && !arguments.all {
        return list(&settings, arguments);
    }
    let store = settings.store(false)?;
    if arguments.target.is_some() && arguments.images.len() > 1 {
        return Err(Failure::new("--target: only one image can be there"));
    }
    let names = match arguments.all {
        false => arguments.images.clone(),
        true => {
            let (listed, _) = images::list(&store, &settings.wanted(), settings.caller.rights())?;
            listed.iter().map(|image| image.root.to_string()).collect()
        }
    };
    let several = names.len() > 1;
    for name in &names {
        let (image, view) = look_at(&settings, &store, name, &arguments.platform)?;
        let layers = view.all_layers()?;
        let rights = settings.caller.rights();
        let mounted = images::mount(&store, &layers, arguments.target.as_deref(), rights)
            .map_err(|error| Failure::from(error).during(format_args!("mounting {name}")))?;
        let place = mounted.target.display().to_string();
        let line = match several {
            true => format!("{} {place}\n", title(&image)),
            false => place + "\n",
        };
        output::write(line.as_bytes())?;
    }
    Ok(())
}

/// A name of an image, or its digest.
fn title(image: &Listed) -> String {
    let name = image.given_names().next().map(|name| name.reference.clone());
    name.unwrap_or_else(|| image.facts.id.to_string())
}

fn list(settings: &Settings<'_>, arguments: &Mount) -> Result<()> {
    const HEADINGS: [(&str, &str); 5] = [
        ("ID", "MOUNT ID"),
        ("Image", "IMAGE ID"),
        ("Repositories", "REPOSITORIES"),
        ("Name", "NAME"),
        ("MountPoint", "MOUNT POINT"),
    ];
    let store = settings.store(true)?;
    let users = Users::of(&store)?;
    let images = of_layers(settings, &store)?;
    let mut rows = Vec::new();
    for mount in users.image_mounts() {
        let image =
            images.iter().find(|(_, layers)| *layers == mount.layers).map(|(image, _)| image);
        let name = image.map(title).unwrap_or_default();
        let id = image.map(|image| super::rows::shown_id(&image.facts.id, arguments.no_trunc));
        let repositories = image.map(|image| {
            image.given_names().map(|name| name.reference.clone()).collect::<Vec<String>>()
        });
        rows.push(Struct::value(
            "mount",
            vec![
                Field::renamed("ID", "mount_id", mount.id.as_str()),
                Field::renamed("Image", "id", id.unwrap_or_default()),
                Field::renamed(
                    "Repositories",
                    "Repositories",
                    Value::texts(repositories.unwrap_or_default()),
                ),
                Field::hidden("Name", name),
                Field::renamed("MountPoint", "mountpoint", mount.target.as_str()),
            ],
        ));
    }
    let listing = Listing {
        headings: &HEADINGS,
        table: "{{.Name}}\t{{.MountPoint}}",
        rows: &rows,
        with_headings: false,
        columns: Columns::DOCKER,
    };
    let format = if arguments.json { Some("json") } else { arguments.format.as_deref() };
    output::list(format, &listing, || rows.clone())
}

/// Every image, with the names of its layers.
fn of_layers(settings: &Settings<'_>, store: &Store) -> Result<Vec<(Listed, Vec<String>)>> {
    let (wanted, rights) = (settings.wanted(), settings.caller.rights());
    let (listed, _) = images::list(store, &wanted, rights)?;
    let with_layers = |image: Listed| {
        let view = View::open(store, &image.root, &image.media_type, Some(&wanted), rights).ok()?;
        let layers = view.all_layers().ok()?;
        Some((image, layers.iter().map(ToString::to_string).collect()))
    };
    Ok(listed.into_iter().filter_map(with_layers).collect())
}

pub(crate) fn unmount(global: &Global, arguments: &Unmount) -> Result<()> {
    refuse_latest(arguments.latest)?;
    let settings = Settings::load(global)?;
    let store = settings.store(false)?;
    let users = Users::of(&store)?;
    if arguments.all {
        for mount in users.image_mounts() {
            take(&store, mount, arguments.force)?;
        }
        return Ok(());
    }
    for text in &arguments.images {
        let mount = chosen(&settings, &store, &users, text)?;
        take(&store, mount, arguments.force)?;
    }
    Ok(())
}

fn take(store: &Store, mount: &MountRecord, force: bool) -> Result<()> {
    store.unmount(&mount.id, force)?;
    output::write(format!("{}\n", mount.target).as_bytes())
}

/// The mount that a text means: by its ID, its directory, or its image.
fn chosen<'u>(
    settings: &Settings<'_>,
    store: &Store,
    users: &'u Users,
    text: &str,
) -> Result<&'u MountRecord> {
    let place = std::fs::canonicalize(text).ok();
    let is_there = |mount: &&MountRecord| {
        let here = place.as_deref() == Some(Path::new(&mount.target));
        mount.id == text || (here && !mount.target.is_empty()) || mount.target == text
    };
    if let Some(mount) = users.image_mounts().find(is_there) {
        return Ok(mount);
    }
    if text.starts_with(['/', '.']) {
        return Err(Failure::new(format!("{text}: no image is mounted there")));
    }
    let (_, view) = look_at(settings, store, text, &PlatformArgs::default())?;
    let mounts = users.mounts_of(&view);
    let newest = mounts.last().copied();
    newest.ok_or_else(|| Failure::new(format!("{text}: the image is not mounted")))
}
