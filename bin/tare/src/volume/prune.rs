//! `tare volume prune`.

use super::list::{is_chosen, read_filters, users};
use crate::called::Called;
use crate::failure::Result;
use crate::image::prune::confirm;
use crate::output;
use crate::settings::Global;
use clap::Args;
use engine::Engine;
use template::units;

/// Remove volumes that no container has
#[derive(Debug, Args)]
pub(super) struct Prune {
    /// Those with a name, too
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only those for which this holds (repeated): label=NAME[=VALUE], label!=...
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
}

pub(super) fn run(global: &Global, arguments: &Prune) -> Result<()> {
    let filters = read_filters(&arguments.filter, &["all", "label", "label!"])?;
    if Called::is_podman() {
        return as_podman(global, arguments, &filters);
    }
    let all = arguments.all || filters.iter().any(|(key, value)| key == "all" && value == "true");
    let what = match all {
        true => "all volumes that no container has",
        false => "all volumes without a name that no container has",
    };
    if !arguments.force && !confirm(what)? {
        return Ok(());
    }
    let engine = crate::container::open(global, false)?;
    let (removed, bytes) = prune_unused(&engine, all, &filters)?;
    let mut text = String::new();
    if !removed.is_empty() {
        text = format!("Deleted Volumes:\n{}\n\n", removed.join("\n"));
    }
    text.push_str(&format!("Total reclaimed space: {}\n", units::decimal_size(bytes, 4)));
    output::write(text.as_bytes())
}

/// podman's: all that no container has, which are named before it asks, and after they are gone.
fn as_podman(global: &Global, arguments: &Prune, filters: &[(String, String)]) -> Result<()> {
    let engine = crate::container::open(global, false)?;
    let lines = |names: &[String]| names.iter().map(|name| format!("{name}\n")).collect::<String>();
    if !arguments.force {
        let users = users(&engine)?;
        let mut volumes = engine.list_volumes()?;
        volumes.retain(|it| !users.contains_key(&it.name) && is_chosen(it, &users, filters));
        let names: Vec<String> = volumes.into_iter().map(|volume| volume.name).collect();
        if names.is_empty() {
            return output::write(b"No dangling volumes found\n");
        }
        let what = "WARNING! This will remove all volumes not used by at least one container. The following volumes will be removed:";
        output::write(format!("{what}\n{}", lines(&names)).as_bytes())?;
        if !confirm("these volumes")? {
            return Ok(());
        }
    }
    let (removed, _) = prune_unused(&engine, true, filters)?;
    output::write(lines(&removed).as_bytes())
}

/// Removes volumes that no container has: those without a name, or all. Says which, and what that frees.
pub(crate) fn prune_unused(
    engine: &Engine,
    all: bool,
    filters: &[(String, String)],
) -> Result<(Vec<String>, u64)> {
    let users = users(engine)?;
    let (mut removed, mut bytes) = (Vec::new(), 0);
    for volume in engine.list_volumes()? {
        let is_free = !users.contains_key(&volume.name);
        if !is_free || !(all || volume.anonymous) || !is_chosen(&volume, &users, filters) {
            continue;
        }
        let size = engine.volume_bytes(&volume.name);
        // One that a container has got meanwhile stays.
        if engine.remove_volume(&volume.name).is_ok() {
            bytes += size;
            removed.push(volume.name);
        }
    }
    Ok((removed, bytes))
}
