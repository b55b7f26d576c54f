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
    if !arguments.force && !confirm(arguments.all)? {
        return Ok(());
    }
    let settings = Settings::load(global)?;
    let store = settings.store(false)?;
    let (wanted, rights) = (settings.wanted(), settings.caller.rights());
    let (listed, _) = images::list(&store, &wanted, rights)?;
    let users = Users::of(&store)?;
    let surroundings = Surroundings {
        now: now(),
        created_of: &|name| {
            let found = images::find(&store, name)?;
            Ok(listed.iter().find(|image| image.root == found.digest).and_then(created))
        },
        config: &|image| config_of(&store, image),
        is_used: &|image| !users.containers_of(image).is_empty(),
    };
    let filters = Filters::read(&arguments.filter, &surroundings)?;
    let is_chosen = |image: &&Listed| {
        let dangling = image.given_names().next().is_none();
        (dangling || arguments.all)
            && !(surroundings.is_used)(image)
            && filters.choose(image, &surroundings)
    };
    let mut removal = Removal::new(&settings, &store, false)?;
    for image in listed.iter().filter(is_chosen) {
        match removal.remove_image(&image.root) {
            Err(failure) if failure.is_in_use() || failure.is_missing() => {}
            result => result?,
        }
    }
    let bytes = removal.collect(global)?;
    let size = units::decimal_size(bytes, 4);
    output::write(format!("Total reclaimed space: {size}\n").as_bytes())
}

/// Asks on a terminal; whoever is not there to answer has to say `--force`.
fn confirm(all: bool) -> Result<bool> {
    use std::io::Write;
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err(Failure::new("nobody is there to be asked").hint("--force does not ask"));
    }
    let what = if all { "images without at least one container" } else { "images without a name" };
    let question = format!("This removes all {what}. Go on? [y/N] ");
    std::io::stderr().write_all(question.as_bytes())?;
    let mut answer = String::new();
    input.lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
