//! `tare system prune` and `tare system reset`.

use crate::failure::{Failure, Result};
use crate::image::prune::{confirm, remove, tell_reclaimed};
use crate::image::remove::Removal;
use crate::image::users::Users;
use crate::network;
use crate::output;
use crate::settings::{Global, Settings};
use clap::Args;

/// Remove what nobody needs: containers that do not run, networks without one, images without a name, and leftovers
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tare system prune\n  tare system prune --all --force --filter until=240h"
)]
pub(crate) struct Prune {
    /// Also images with names that no container uses
    #[arg(short, long)]
    all: bool,
    /// Accepted: builds keep nothing of their own in the store
    #[arg(long, hide = true)]
    build: bool,
    /// Accepted: containers of other programs are not in the store
    #[arg(long, hide = true)]
    external: bool,
    /// Remove only images for which this holds (repeated): label, until, and others of `tare images`
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Also volumes without a name that no container has
    #[arg(long)]
    volumes: bool,
}

pub(super) fn prune(global: &Global, arguments: &Prune) -> Result<()> {
    if arguments.volumes && arguments.filter.iter().any(|text| text.starts_with("until=")) {
        return Err(Failure::new("the \"until\" filter is not supported with \"--volumes\"")
            .hint("nobody knows when a volume was used last; prune volumes by their labels"));
    }
    let what = match arguments.all {
        true => {
            "all stopped containers, networks without a container, images that no container is of, and leftovers"
        }
        false => {
            "all stopped containers, networks without a container, images without a name, and leftovers"
        }
    };
    if !arguments.force && !confirm(what)? {
        return Ok(());
    }
    let engine = crate::container::open(global, false)?;
    // Of other kinds than containers' filters are those of images.
    let of_containers = |text: &&String| text.starts_with("label") || text.starts_with("until=");
    let filter: Vec<String> = arguments.filter.iter().filter(of_containers).cloned().collect();
    let mut freed = 0;
    if filter.len() == arguments.filter.len() {
        let (removed, bytes) = crate::container::remove::prune_stopped(&engine, &filter)?;
        output::write(removed.as_bytes())?;
        freed += bytes;
        let networks = crate::network::open(global)?;
        let removed = network::prune::prune_unused(global, &networks, &filter)?;
        output::write(network::prune::told(&removed).as_bytes())?;
    }
    if arguments.volumes {
        let labels = filter.iter().filter(|text| text.starts_with("label"));
        let labels: Vec<String> = labels.cloned().collect();
        let filters = crate::volume::read_filters(&labels, &["label", "label!"])?;
        let (removed, bytes) = crate::volume::prune_unused(&engine, false, &filters)?;
        if !removed.is_empty() {
            let text = format!("Deleted Volumes:\n{}\n\n", removed.join("\n"));
            output::write(text.as_bytes())?;
        }
        freed += bytes;
    }
    let settings = Settings::load(global)?;
    let store = settings.store(false)?;
    let bytes = freed + remove(global, &settings, &store, arguments.all, &arguments.filter)?;
    // What no image led to before, either.
    let left = store.collect()?;
    tell_reclaimed(bytes + left.bytes)
}

/// Remove all containers, volumes, secrets, networks and images, also those that are in use
#[derive(Debug, Args)]
pub(crate) struct Reset {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

pub(super) fn reset(global: &Global, arguments: &Reset) -> Result<()> {
    let what = "all containers, volumes, secrets, networks and images of the store, also those that are in use";
    if !arguments.force && !confirm(what)? {
        return Ok(());
    }
    reset_containers(global)?;
    let settings = Settings::load(global)?;
    let store = settings.store(false)?;
    for mount in Users::of(&store)?.image_mounts() {
        store.unmount(&mount.id, true)?;
    }
    let mut removal = Removal::new(&settings, &store, true)?;
    for digest in removal.digests() {
        removal.remove_image(&digest)?;
    }
    let bytes = removal.collect(global)?;
    tell_reclaimed(bytes + store.collect()?.bytes)
}

/// Removes all containers, and what there is for them.
fn reset_containers(global: &Global) -> Result<()> {
    let engine = crate::container::open(global, false)?;
    for container in engine.list()? {
        engine.remove_by_force(&container, 0)?;
    }
    for volume in engine.list_volumes()? {
        engine.remove_volume(&volume.name)?;
    }
    for secret in engine.list_secrets()? {
        engine.remove_secret(&secret.name)?;
    }
    network::prune::prune_unused(global, &network::open(global)?, &[])?;
    Ok(())
}
