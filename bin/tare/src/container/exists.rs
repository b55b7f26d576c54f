//! `tare container exists`.

use crate::failure::Result;
use crate::settings::Global;
use clap::Args;

/// Say by the exit code whether there is a container of a name
#[derive(Debug, Args)]
pub(crate) struct Exists {
    /// podman's: one of another program in its store would do, of which there are none here
    #[arg(long, hide = true)]
    external: bool,
    /// The container: its name, or the beginning of its ID
    #[arg(value_name = "CONTAINER")]
    container: String,
}

pub(crate) fn run(global: &Global, arguments: &Exists) -> Result<u8> {
    let engine = super::open(global, true)?;
    match engine.find(&arguments.container) {
        Ok(_) => Ok(0),
        Err(error) if error.kind() == engine::Kind::NotFound => Ok(1),
        Err(error) => Err(error.into()),
    }
}
