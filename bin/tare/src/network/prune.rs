//! `tare network prune`.

use super::all;
use super::filter::Filters;
use crate::failure::Result;
use crate::image::now;
use crate::image::prune::confirm;
use crate::output;
use clap::Args;
use net::Networks;

/// Remove all networks that no container is in
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Remove only networks for which this holds (repeated): label, until
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

pub(super) fn run(networks: &Networks, arguments: &Prune) -> Result<()> {
    let filters = Filters::read(&arguments.filter, now())?;
    if !arguments.force && !confirm("all networks that no container is in")? {
        return Ok(());
    }
    let mut removed = Vec::new();
    for shown in all(networks)? {
        let network = &shown.network;
        let used = !networks.attachments(network)?.is_empty();
        if shown.is_built_in() || used || !filters.choose(&shown, || used) {
            continue;
        }
        match networks.remove(&network.id) {
            Ok(gone) => removed.push(gone.name),
            // A container has come, or somebody else has removed it.
            Err(error) if matches!(error.kind(), net::Kind::InUse | net::Kind::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if removed.is_empty() {
        return Ok(());
    }
    output::write(format!("Deleted Networks:\n{}\n\n", removed.join("\n")).as_bytes())
}
