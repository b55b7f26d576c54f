//! `tare network prune`.

use super::Shown;
use super::filter::Filters;
use crate::failure::{Failure, Result};
use crate::image::now;
use crate::image::prune::confirm;
use crate::output;
use crate::settings::Global;
use clap::Args;
use net::Networks;

/// Remove all networks that no container is in
///
/// Of the default network the bridge and the rules go, which its next container makes again.
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Remove only networks for which this holds (repeated): label, until
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

pub(super) fn run(global: &Global, networks: &Networks, arguments: &Prune) -> Result<()> {
    check(&arguments.filter)?;
    if !arguments.force && !confirm("all networks that no container is in")? {
        return Ok(());
    }
    output::write(told(&prune_unused(global, networks, &arguments.filter)?).as_bytes())
}

/// The filters that docker has for this.
fn check(filters: &[String]) -> Result<()> {
    let is_known =
        |text: &&String| ["label=", "label!=", "until="].iter().any(|key| text.starts_with(key));
    match filters.iter().find(|text| !is_known(text)) {
        Some(text) => {
            let key = text.split('=').next().unwrap_or(text);
            Err(Failure::new(format!("invalid filter '{key}'")).hint("known are label, until"))
        }
        None => Ok(()),
    }
}

/// Removes networks that no container is in; says which.
pub(crate) fn prune_unused(
    global: &Global,
    networks: &Networks,
    filters: &[String],
) -> Result<Vec<String>> {
    let filters = Filters::read(filters, now())?;
    // What was killed is in none; and those that stay have neither bridge nor rules until they are used again.
    let engine = crate::container::open(global, false)?;
    engine.sweep_networks()?;
    let (list, errors) = networks.list()?;
    errors.iter().for_each(|error| crate::settings::warn(&error.to_string()));
    let mut removed = Vec::new();
    for shown in list.into_iter().map(Shown::from) {
        let network = &shown.network;
        let used = !networks.attachments(network)?.is_empty();
        if shown.is_built_in() || used || !filters.choose(&shown, || used) {
            continue;
        }
        match engine.remove_network(&network.id) {
            Ok(gone) => {
                super::tell(global, "destroy", &gone);
                removed.push(gone.name);
            }
            // A container has come, or somebody else has removed it.
            Err(error) if matches!(error.kind(), engine::Kind::State | engine::Kind::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    removed.sort();
    Ok(removed)
}

/// docker's words for what was removed.
pub(crate) fn told(removed: &[String]) -> String {
    match removed.is_empty() {
        true => String::new(),
        false => format!("Deleted Networks:\n{}\n\n", removed.join("\n")),
    }
}
