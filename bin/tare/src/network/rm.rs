//! `tare network rm`.

use crate::failure::{Failure, Result};
use crate::output;
use crate::settings::Global;
use clap::Args;
use engine::Engine;

/// Remove networks that no container is in
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Do not mind networks that are not there
    #[arg(short, long)]
    force: bool,
    /// podman's: seconds for containers that are in them, which are left alone here
    #[arg(short, long, hide = true, value_name = "SECONDS", allow_hyphen_values = true)]
    time: Option<i64>,
    /// Networks: names or IDs
    #[arg(required = true, value_name = "NETWORK")]
    networks: Vec<String>,
}

pub(super) fn run(global: &Global, arguments: &Rm) -> Result<u8> {
    let engine = crate::container::open(global, false)?;
    let mut failed = false;
    for name in &arguments.networks {
        match remove(global, &engine, name) {
            // The name as it was given.
            Ok(()) => output::write(format!("{name}\n").as_bytes())?,
            Err(failure) if failure.is_missing() && arguments.force => {}
            Err(failure) => {
                failure.tell();
                failed = true;
            }
        }
    }
    Ok(u8::from(failed))
}

fn remove(global: &Global, engine: &Engine, name: &str) -> Result<()> {
    if super::built_in().any(|shown| shown.network.name == name || shown.network.id == name) {
        return Err(Failure::new(format!("network {name} is pre-defined and cannot be removed")));
    }
    let gone = engine.remove_network(name)?;
    super::tell(global, "destroy", &gone);
    Ok(())
}
