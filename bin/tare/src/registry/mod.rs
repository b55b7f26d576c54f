//! `tare registry`: a registry of images on a directory.

mod access;
mod age;
mod bucket;
mod gc;
mod htpasswd;
mod observe;
mod proxy;
mod serve;
mod systemd;

use crate::failure::Result;
use clap::{Args, Subcommand};

/// Serve and look after a registry of images
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Registry {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Serve(Box<serve::Serve>),
    Gc(gc::Gc),
    Check(gc::Check),
    Htpasswd(htpasswd::Htpasswd),
}

pub(crate) fn run(arguments: &Registry) -> Result<()> {
    match &arguments.verb {
        Verb::Serve(arguments) => serve::run(arguments),
        Verb::Gc(arguments) => gc::gc(arguments),
        Verb::Check(arguments) => gc::check(arguments),
        Verb::Htpasswd(arguments) => htpasswd::run(arguments),
    }
}
