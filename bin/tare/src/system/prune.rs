//! `tare system prune` and `tare system reset`.

use crate::failure::Result;
use crate::image::prune::{confirm, remove, tell_reclaimed};
use crate::image::remove::Removal;
use crate::image::users::Users;
use crate::settings::{Global, Settings};
use clap::Args;

/// Remove what nobody needs: images without a name, and what killed commands have left
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
    /// Accepted: there are no volumes in the store
    #[arg(long, hide = true)]
    volumes: bool,
}

pub(super) fn prune(global: &Global, arguments: &Prune) -> Result<()> {
    let what = match arguments.all {
        true => "all images without at least one container, and all leftovers",
        false => "all images without a name, and all leftovers",
    };
    if !arguments.force && !confirm(what)? {
        return Ok(());
    }
    let settings = Settings::load(global)?;
    let store = settings.store(false)?;
    let bytes = remove(global, &settings, &store, arguments.all, &arguments.filter)?;
    // What no image led to before, either.
    let left = store.collect()?;
    tell_reclaimed(bytes + left.bytes)
}

/// Remove all images, mounts, and everything else that is in the store
#[derive(Debug, Args)]
pub(crate) struct Reset {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

pub(super) fn reset(global: &Global, arguments: &Reset) -> Result<()> {
    if !arguments.force && !confirm("all images of the store, also those that are mounted")? {
        return Ok(());
    }
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
