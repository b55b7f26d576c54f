//! `tare network reload`.

use crate::failure::{Failure, Result};
use crate::output;
use crate::settings::Global;
use clap::Args;
use net::Networks;

/// Make rules again that something has removed, such as a restart of the host's firewall
///
/// Without containers, those of all networks.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tare network reload\n  tare network reload web db")]
pub(crate) struct Reload {
    /// Those of all containers that run
    #[arg(short, long, conflicts_with = "containers")]
    all: bool,
    /// Containers: names, or the beginnings of IDs
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(super) fn run(global: &Global, networks: &Networks, arguments: &Reload) -> Result<u8> {
    if !arguments.all && arguments.containers.is_empty() {
        networks.reload()?.iter().for_each(|warning| crate::settings::warn(warning));
        return Ok(0);
    }
    let engine = crate::container::open(global, false)?;
    let names: Vec<String> = match arguments.all {
        false => arguments.containers.clone(),
        true => {
            let all = engine.list()?.into_iter();
            let runs = all.filter(|it| it.is_running() && !it.state.networks.is_empty());
            runs.map(|it| it.config.id).collect()
        }
    };
    let mut failed = 0;
    for name in &names {
        match reload(&engine, networks, name) {
            Ok(id) => output::write(format!("{id}\n").as_bytes())?,
            Err(failure) => {
                failure.tell();
                failed = crate::FAILED;
            }
        }
    }
    Ok(failed)
}

/// As podman: the identifier is printed.
fn reload(engine: &engine::Engine, networks: &Networks, name: &str) -> Result<String> {
    let container = engine.find(name)?;
    if !container.is_running() {
        let text = format!("container {name}: it does not run, and has no rules");
        return Err(Failure::new(text));
    }
    for attached in &container.state.networks {
        let network = networks.get(&attached.network)?;
        let warnings = networks.reload_one(&network)?;
        warnings.iter().for_each(|warning| crate::settings::warn(warning));
    }
    Ok(container.config.id)
}
