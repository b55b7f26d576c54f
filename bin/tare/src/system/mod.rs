//! Verbs about the store as a whole.

pub(crate) mod df;
pub(crate) mod fsck;
pub(crate) mod gc;

use crate::failure::Result;
use crate::settings::Global;
use clap::{Args, Subcommand};

/// Look after the store
#[derive(Debug, Args)]
pub(crate) struct System {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Df(df::Usage),
    #[command(alias = "check")]
    Fsck(fsck::Check),
    Gc(gc::Collect),
}

pub(crate) fn run(global: &Global, arguments: &System) -> Result<u8> {
    match &arguments.verb {
        Verb::Df(arguments) => df::run(global, arguments).map(|()| 0),
        Verb::Fsck(arguments) => fsck::run(global, arguments),
        Verb::Gc(arguments) => gc::run(global, arguments).map(|()| 0),
    }
}
