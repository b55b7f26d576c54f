//! `tare image mount` and `tare image unmount`: images as directories to look at.

use super::look_at;
use super::users::Users;
use crate::called::{self, Called};
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
    after_help = "Examples:\n  ls $(tare image mount debian:13)\n  tare image mount --target /mnt debian:13\n  tare image mount"
)]
pub(crate) struct Mount {
    /// Mount all images
    #[arg(short, long, conflicts_with_all = ["images", "target"])]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) shown: ShownArgs,
    /// Not here: it is for containers
    #[arg(short, long, hide = true)]
    pub(crate) latest: bool,
    #[command(flatten)]
    pub(crate) how: HowArgs,
    /// Images: names, IDs or digests
    #[arg(value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
}

impl Mount {
    /// What mounts all images.
    pub(crate) fn of_all(platform: &PlatformArgs) -> Self {
        let how = HowArgs { target: None, platform: platform.clone() };
        let shown = ShownArgs { format: None, json: false, no_trunc: false };
        Self { all: true, shown, latest: false, how, images: Vec::new() }
    }
}

/// How images are mounted.
#[derive(Debug, Args)]
pub(crate) struct HowArgs {
    /// Directory to mount an image at
    #[arg(long, value_name = "DIR")]
    pub(crate) target: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) platform: PlatformArgs,
}

/// How the list of mounts is shown.
#[derive(Debug, Args)]
pub(crate) struct ShownArgs {
    /// json, table TEMPLATE, or a Go template for each mount, of the list
    #[arg(long, value_name = "FORMAT", conflicts_with = "images")]
    pub(crate) format: Option<String>,
    /// buildah's word for --format json
    #[arg(long, hide = true, conflicts_with_all = ["format", "images"])]
    json: bool,
    /// Show IDs in full
    #[arg(long, alias = "notruncate")]
    pub(crate) no_trunc: bool,
}

/// Unmount images
///
/// Of an image that is mounted several times the newest mount goes.
#[derive(Debug, Args)]
pub(crate) struct Unmount {
    /// Unmount all images
    #[arg(short, long, conflicts_with = "images")]
    pub(crate) all: bool,
    /// Also what is in use: its users keep it until they are done
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Not here: it is for containers
    #[arg(short, long, hide = true)]
    pub(crate) latest: bool,
    /// Images, the directories where they are mounted, or IDs of mounts
    #[arg(required_unless_present_any = ["all", "latest"], value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
}

fn refuse_latest(latest: bool) -> Result<()> {
    match latest {
        true => Err(Failure::new("--latest: images have no last one")
            .hint("`tare container mount --latest` is about containers")),
        false => Ok(()),
    }
}

pub(crate) fn mount(global: &Global, arguments: &Mount) -> Result<()> {
    refuse_latest(arguments.latest)?;
    let settings = Settings::load(global)?;
    if arguments.images.is_empty() && !arguments.all {
        let rows = rows(&settings, &settings.store(true)?, arguments.shown.no_trunc)?;
        return show(&arguments.shown, &rows);
    }
    let store = settings.store(false)?;
    if arguments.how.target.is_some() && arguments.images.len() > 1 {
        return Err(Failure::new("--target: only one image can be there"));
    }
    let names = match arguments.all {
        false => arguments.images.clone(),
        true => {
            let (listed, _) = images::list(&store, &settings.wanted(), settings.caller.rights())?;
            listed.iter().map(|image| image.root.to_string()).collect()
        }
    };
    let titled = names.len() > 1 || arguments.all && Called::is_podman();
    names.iter().try_for_each(|name| one(&settings, &store, name, &arguments.how, titled))
}

/// Mounts one image, and says where; with several, which one that is.
pub(crate) fn one(
    settings: &Settings<'_>,
    store: &Store,
    name: &str,
    how: &HowArgs,
    titled: bool,
) -> Result<()> {
    let (image, view) = look_at(settings, store, name, &how.platform)?;
    let layers = view.all_layers()?;
    let mounted = images::mount(store, &layers, how.target.as_deref(), settings.caller.rights())
        .map_err(|error| Failure::from(error).during(format_args!("mounting {name}")))?;
    let place = mounted.target.display().to_string();
    let line = match titled {
        true => format!("{} {place}\n", title(&image)),
        false => place + "\n",
    };
    output::write(line.as_bytes())
}

/// A name of an image, or its digest.
fn title(image: &Listed) -> String {
    let name = image.given_names().next().map(|name| name.reference.clone());
    name.unwrap_or_else(|| image.facts.id.to_string())
}

/// Shows a list of mounts.
pub(crate) fn show(shown: &ShownArgs, rows: &[Value]) -> Result<()> {
    const HEADINGS: [(&str, &str); 6] = [
        ("ID", "MOUNT ID"),
        ("Image", "IMAGE ID"),
        ("Repositories", "REPOSITORIES"),
        ("Container", "CONTAINER ID"),
        ("Name", "NAME"),
        ("MountPoint", "MOUNT POINT"),
    ];
    let listing = Listing {
        headings: &HEADINGS,
        table: "{{.Name}}\t{{.MountPoint}}",
        rows,
        with_headings: false,
        columns: Columns::DOCKER,
    };
    let format = if shown.json { Some("json") } else { shown.format.as_deref() };
    output::list(format, &listing, || rows.to_vec())
}

/// The mounts of images.
pub(crate) fn rows(settings: &Settings<'_>, store: &Store, no_trunc: bool) -> Result<Vec<Value>> {
    let users = Users::of(store)?;
    let images = of_layers(settings, store)?;
    let row = |mount: &MountRecord| {
        let image =
            images.iter().find(|(_, layers)| *layers == mount.layers).map(|(image, _)| image);
        let id = image.map(|image| super::rows::shown_id(&image.facts.id, no_trunc));
        let repositories = image.map(|image| {
            image.given_names().map(|name| name.reference.clone()).collect::<Vec<String>>()
        });
        Struct::value(
            "mount",
            vec![
                Field::renamed("ID", "mount_id", mount.id.as_str()),
                Field::renamed("Image", "id", id.unwrap_or_default()),
                Field::renamed(
                    "Repositories",
                    "Repositories",
                    Value::texts(repositories.unwrap_or_default()),
                ),
                Field::hidden("Container", ""),
                Field::hidden("Name", image.map(title).unwrap_or_default()),
                Field::renamed("MountPoint", "mountpoint", mount.target.as_str()),
            ],
        )
    };
    Ok(users.image_mounts().map(row).collect())
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
    if arguments.all {
        return unmount_all(&settings, &store, arguments.force);
    }
    arguments
        .images
        .iter()
        .try_for_each(|text| unmount_one(&settings, &store, text, arguments.force))
}

/// Takes the mounts of all images away.
pub(crate) fn unmount_all(settings: &Settings<'_>, store: &Store, force: bool) -> Result<()> {
    let images = match Called::is_podman() {
        true => of_layers(settings, store)?,
        false => Vec::new(),
    };
    for mount in Users::of(store)?.image_mounts() {
        let image = images.iter().find(|(_, layers)| *layers == mount.layers);
        match take(store, mount, force, image.map(|(image, _)| &image.facts.id)) {
            // Somebody else was faster.
            Err(failure) if failure.is_missing() => {}
            result => result?,
        }
    }
    Ok(())
}

/// Takes one mount of an image away.
pub(crate) fn unmount_one(
    settings: &Settings<'_>,
    store: &Store,
    text: &str,
    force: bool,
) -> Result<()> {
    /// Others that take away what was chosen, one after the other.
    const TRIES: usize = 100;
    let once = || unmount_chosen(settings, store, text, force);
    for _ in 1..TRIES {
        match once()? {
            // Somebody else was faster; there may be one more.
            Err(failure) if failure.is_missing() => {}
            result => return result,
        }
    }
    once()?
}

/// The inner result is that of taking away what was chosen.
fn unmount_chosen(
    settings: &Settings<'_>,
    store: &Store,
    text: &str,
    force: bool,
) -> Result<Result<()>> {
    let users = Users::of(store)?;
    if Called::is_podman() && !text.starts_with(['/', '.']) {
        // podman says which image it was, and minds none that is not mounted.
        let (image, view) = look_at(settings, store, text, &PlatformArgs::default())?;
        return Ok(match users.mounts_of(&view).last() {
            Some(mount) => take(store, mount, force, Some(&image.facts.id)),
            None => Ok(()),
        });
    }
    Ok(take(store, chosen(settings, store, &users, text)?, force, None))
}

fn take(
    store: &Store,
    mount: &MountRecord,
    force: bool,
    image: Option<&oci::AnyDigest>,
) -> Result<()> {
    store.unmount(&mount.id, force)?;
    match image {
        Some(id) => {
            let id = id.to_string();
            output::write(format!("{}\n", called::image_id(&id)).as_bytes())
        }
        None => output::write(format!("{}\n", mount.target).as_bytes()),
    }
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
