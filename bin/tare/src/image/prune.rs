//! `tare image prune`.

use super::filter::{Filters, Surroundings};
use super::remove::Removal;
use super::rows::created;
use super::users::Users;
use super::{config_of, now};
use crate::failure::{Failure, Result};
use crate::output;
use crate::settings::{Global, Settings};
use clap::Args;
use images::Listed;
use std::io::{BufRead, IsTerminal};
use store::Store;
use template::units;

/// Remove images that nobody needs: those without a name
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Also those with names that no container uses
    #[arg(short, long)]
    all: bool,
    /// Not here: builds keep no images of their own
    #[arg(long, hide = true)]
    build_cache: bool,
    /// Not here: containers of other programs are not in the store
    #[arg(long, hide = true)]
    external: bool,
    /// Remove only images for which this holds (repeated): label, until, and others of `tare images`
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

pub(crate) fn run(global: &Global, arguments: &Prune) -> Result<()> {
    for (given, option) in
        [(arguments.build_cache, "--build-cache"), (arguments.external, "--external")]
    {
        if given {
            return Err(Failure::new(format!(
                "{option}: there is nothing of this kind in the store"
            )));
        }
    }
    let what = match arguments.all {
        true => "all images without at least one container",
        false => "all images without a name",
    };
    if !arguments.force && !confirm(what)? {
        return Ok(());
    }
    let settings = Settings::load(global)?;
    let store = settings.store(false)?;
    let bytes = remove(global, &settings, &store, arguments.all, &arguments.filter)?;
    tell_reclaimed(bytes)
}

/// Removes the images without a name.
pub(super) fn nameless(global: &Global, settings: &Settings<'_>, store: &Store) -> Result<()> {
    tell_reclaimed(remove(global, settings, store, false, &[])?)
}

/// Removes images that nobody uses: with `all` also those that have names. Says how many bytes that frees.
pub(crate) fn remove(
    global: &Global,
    settings: &Settings<'_>,
    store: &Store,
    all: bool,
    filters: &[String],
) -> Result<u64> {
    let (wanted, rights) = (settings.wanted(), settings.caller.rights());
    let (listed, _) = images::list(store, &wanted, rights)?;
    let users = Users::of(store)?;
    let surroundings = Surroundings {
        now: now(),
        created_of: &|name| {
            let found = images::find(store, name)?;
            Ok(listed.iter().find(|image| image.root == found.digest).and_then(created))
        },
        config: &|image| config_of(store, image),
        is_used: &|image| !users.containers_of(image).is_empty(),
    };
    let filters = Filters::read(filters, &surroundings)?;
    let is_chosen = |image: &&Listed| {
        let dangling = image.given_names().next().is_none();
        (dangling || all) && !(surroundings.is_used)(image) && filters.choose(image, &surroundings)
    };
    // Somebody may give one of them a name while this goes on: then it has one.
    let names = listed.iter().flat_map(|image| image.names.clone()).collect();
    let mut removal = Removal::of(settings, store, false, names)?;
    for image in listed.iter().filter(is_chosen) {
        match removal.remove_image(&image.root) {
            Err(failure) if failure.is_in_use() || failure.is_missing() => {}
            result => result?,
        }
    }
    removal.collect(global)
}

/// docker's last line.
pub(crate) fn tell_reclaimed(bytes: u64) -> Result<()> {
    let size = units::decimal_size(bytes, 4);
    output::write(format!("Total reclaimed space: {size}\n").as_bytes())
}

/// Asks whether something is to be removed, or takes the answer that standard input has; whoever is not there
/// to answer has to say `--force`.
pub(crate) fn confirm(what: &str) -> Result<bool> {
    use std::io::Write;
    let input = std::io::stdin();
    if input.is_terminal() {
        let question = format!("This removes {what}. Go on? [y/N] ");
        std::io::stderr().write_all(question.as_bytes())?;
    }
    let mut answer = String::new();
    if input.lock().read_line(&mut answer)? == 0 {
        return Err(Failure::new("nobody is there to be asked").hint("--force does not ask"));
    }
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
