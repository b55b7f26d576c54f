//! Verbs about the store as a whole.

mod boot;
pub(crate) mod df;
mod docker;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod fsck;
pub(crate) mod gc;
pub(crate) mod info;
mod prune;

use crate::failure::{Failure, Result};
use crate::image::signing::NotYet;
use crate::settings::Global;
use clap::{Args, Subcommand};

/// Look after the store
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct System {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Boot(boot::Boot),
    EnableBoot(boot::EnableBoot),
    Df(df::Usage),
    /// docker's way to its daemon, which there is none of
    #[command(hide = true)]
    DialStdio,
    Events(events::Events),
    #[command(alias = "check")]
    Fsck(fsck::Check),
    Gc(gc::Collect),
    Info(info::Info),
    Prune(prune::Prune),
    Reset(prune::Reset),
    #[command(hide = true)]
    Migrate(NotYet),
    #[command(hide = true)]
    Renumber(NotYet),
}

pub(crate) fn run(global: &Global, arguments: &System) -> Result<u8> {
    match &arguments.verb {
        Verb::Boot(arguments) => boot::boot(global, arguments),
        Verb::EnableBoot(arguments) => boot::enable(global, arguments).map(|()| 0),
        Verb::DialStdio => Err(Failure::new("system dial-stdio: there is no daemon").hint(
            "commands work on the store of the machine that they run on: `ssh HOST tare ...`",
        )),
        Verb::Df(arguments) => df::run(global, arguments).map(|()| 0),
        Verb::Events(arguments) => events::run(global, arguments).map(|()| 0),
        Verb::Fsck(arguments) => fsck::run(global, arguments),
        Verb::Gc(arguments) => gc::run(global, arguments).map(|()| 0),
        Verb::Info(arguments) => info::info(global, arguments).map(|()| 0),
        Verb::Prune(arguments) => prune::prune(global, arguments).map(|()| 0),
        Verb::Reset(arguments) => prune::reset(global, arguments).map(|()| 0),
        Verb::Migrate(_) => {
            needless("migrate", "the store says its format itself, and there is one so far")
        }
        Verb::Renumber(_) => needless("renumber", "locks are files, and have no numbers"),
    }
}

/// A verb of podman's that has nothing to do here.
fn needless(verb: &str, why: &str) -> Result<u8> {
    Err(Failure::new(format!("system {verb}: {why}")).hint("leave it out"))
}
