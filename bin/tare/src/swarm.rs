//! docker's verbs about swarms, which are not here, and what is in their place.

use crate::failure::{Failure, Result};
use clap::Args;

/// Not here: configs are of swarm's services
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Configs {
    /// Whatever docker's has
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    words: Vec<String>,
}

pub(crate) fn refuse_configs(arguments: &Configs) -> Result<()> {
    let verb = arguments.words.first().map_or(String::new(), |verb| format!(" {verb}"));
    Err(Failure::new(format!("config{verb}: configs are of swarm's services, which are not here"))
        .hint("-v FILE:TARGET:ro shows a file; `tare secret` keeps one in the store, and run --secret NAME,target=PATH,mode=0444 shows that"))
}
