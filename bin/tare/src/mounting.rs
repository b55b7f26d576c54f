//! `tare mount` and `tare unmount`: images and containers as directories.
//!
//! A name that is both is told apart by the noun: `tare image mount`, `tare container mount`. By podman's name both verbs
//! are about containers first.

use crate::called::Called;
use crate::container::{self, mount as containers};
use crate::failure::{Failure, Result};
use crate::image::mount::{self as images, HowArgs, ShownArgs};
use crate::settings::{Global, Settings};
use clap::Args;
use engine::{Container, Engine};
use store::Store;
use template::{Field, Struct, Value};

/// Mount images and containers to look at their files
///
/// Each is mounted at a directory of its own, which is printed, or an image at --target. Every process sees it, and what
/// is mounted cannot be removed until it is unmounted. An image is read-only; what is changed of a container is changed
/// in it, whether it runs or not. Without NAME: what is mounted.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ls $(tare mount debian:13)\n  tare mount --target /mnt debian:13\n  tare mount web\n  tare mount"
)]
pub(crate) struct Mount {
    /// Mount all images
    #[arg(short, long, conflicts_with_all = ["images", "target"])]
    all: bool,
    #[command(flatten)]
    shown: ShownArgs,
    /// The container that was made last
    #[arg(short, long, conflicts_with = "images")]
    latest: bool,
    #[command(flatten)]
    how: HowArgs,
    /// Images and containers: names, IDs, or digests of images
    #[arg(id = "images", value_name = "NAME")]
    names: Vec<String>,
}

/// Unmount images and containers
///
/// Of an image that is mounted several times the newest mount goes.
#[derive(Debug, Args)]
pub(crate) struct Unmount {
    /// Unmount all images and containers
    #[arg(short, long, conflicts_with = "images")]
    all: bool,
    /// Also what is in use: its users keep it until they are done
    #[arg(short, long)]
    force: bool,
    /// The container that was made last
    #[arg(short, long, conflicts_with = "images")]
    latest: bool,
    /// Images and containers, the directories where they are mounted, or IDs of mounts
    #[arg(id = "images", required_unless_present_any = ["all", "latest"], value_name = "NAME")]
    names: Vec<String>,
}

/// What a name is the name of.
enum Meant {
    Image,
    Container(Box<Container>),
}

pub(crate) fn mount(global: &Global, arguments: &Mount) -> Result<u8> {
    let is_list = arguments.names.is_empty() && !arguments.all;
    if arguments.latest || Called::is_podman() && arguments.names.is_empty() {
        let about = containers::Mount {
            all: arguments.all,
            format: arguments.shown.format.clone(),
            no_trunc: arguments.shown.no_trunc,
            latest: arguments.latest,
            containers: Vec::new(),
        };
        return containers::mount(global, &about);
    }
    let settings = Settings::load(global)?;
    let engine = container::open(global, is_list)?;
    let store = settings.store(is_list)?;
    if is_list {
        let mut rows = images::rows(&settings, &store, arguments.shown.no_trunc)?;
        rows.extend(container_rows(&engine)?);
        images::show(&arguments.shown, &rows)?;
        return Ok(0);
    }
    if arguments.all {
        let about = images::Mount::of_all(&arguments.how.platform);
        return images::mount(global, &about).map(|()| 0);
    }
    if arguments.how.target.is_some() && arguments.names.len() > 1 {
        return Err(Failure::new("--target: only one image can be there"));
    }
    let titled = arguments.names.len() > 1 && !Called::is_podman();
    for name in &arguments.names {
        match meant(&engine, &store, name)? {
            Meant::Image => images::one(&settings, &store, name, &arguments.how, titled)?,
            Meant::Container(_) if arguments.how.target.is_some() => {
                return Err(Failure::new(format!("--target: {name} is a container"))
                    .hint("a container is mounted at a directory of its own"));
            }
            Meant::Container(container) => {
                containers::one(&engine, &container, titled.then_some(name))?;
            }
        }
    }
    Ok(0)
}

fn neither(name: &str) -> Failure {
    Failure::new(format!("{name}: no such image or container"))
        .hint("`tare images` and `tare ps -a` show all")
}

/// Which of both a name means.
fn meant(engine: &Engine, store: &Store, name: &str) -> Result<Meant> {
    let found = containers::named(engine, name)?;
    let is_image = ::images::find(store, name).is_ok();
    match found {
        Some((container, _)) if Called::is_podman() || !is_image => {
            Ok(Meant::Container(Box::new(container)))
        }
        Some((_, true)) => Err(Failure::new(format!("{name}: it is an image and a container"))
            .hint("`tare image mount` and `tare container mount` tell them apart")),
        None if Called::is_podman() && !is_image => {
            Err(Failure::new(format!("No such container: {name}")))
        }
        None if !is_image => Err(neither(name)),
        _ => Ok(Meant::Image),
    }
}

fn container_rows(engine: &Engine) -> Result<Vec<Value>> {
    let row = |(container, record): (Container, store::MountRecord)| {
        Struct::value(
            "mount",
            vec![
                Field::renamed("ID", "mount_id", record.id),
                Field::hidden("Image", ""),
                Field::hidden("Repositories", Value::texts(Vec::<String>::new())),
                Field::renamed("Container", "container", container.config.id.as_str()),
                Field::renamed("Name", "name", container.config.name.as_str()),
                Field::renamed("MountPoint", "mountpoint", record.target),
            ],
        )
    };
    Ok(engine.mounts()?.into_iter().map(row).collect())
}

pub(crate) fn unmount(global: &Global, arguments: &Unmount) -> Result<u8> {
    let of_containers = arguments.latest || arguments.all;
    if of_containers {
        let about = containers::Unmount {
            all: arguments.all,
            force: arguments.force,
            latest: arguments.latest,
            containers: Vec::new(),
        };
        let code = containers::unmount(global, &about)?;
        if arguments.latest || Called::is_podman() {
            return Ok(code);
        }
    }
    let settings = Settings::load(global)?;
    let store = settings.store(false)?;
    if arguments.all {
        return images::unmount_all(&settings, &store, arguments.force).map(|()| 0);
    }
    let engine = container::open(global, false)?;
    for name in &arguments.names {
        match mounted(&engine, &store, name)? {
            Some(container) => containers::take(&engine, &container, arguments.force)?,
            None => match images::unmount_one(&settings, &store, name, arguments.force) {
                Err(failure) if failure.is_missing() && !Called::is_podman() => {
                    return Err(neither(name));
                }
                result => result?,
            },
        }
    }
    Ok(0)
}

/// The container that is meant by a name, a place or the ID of a mount. One that is not mounted is not meant where an
/// image may be.
fn mounted(engine: &Engine, store: &Store, name: &str) -> Result<Option<Container>> {
    if let Some(container) = containers::at(engine, name)? {
        return Ok(Some(container));
    }
    let Some((container, is_exact)) = containers::named(engine, name)? else { return Ok(None) };
    let is_image = ::images::find(store, name).is_ok();
    if !is_image || Called::is_podman() {
        return Ok(Some(container));
    }
    Ok((is_exact && engine.mount_of(&container)?.is_some()).then_some(container))
}
