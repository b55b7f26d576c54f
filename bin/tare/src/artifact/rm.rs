//! `tare artifact rm`.

use super::InStore;
use crate::failure::{Failure, Result};
use crate::image::print;
use crate::settings::{Global, Settings, warn};
use clap::Args;
use store::Store;

/// Remove artifacts from the store
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Remove all
    #[arg(short, long, conflicts_with = "names")]
    all: bool,
    /// One that is not there is no mistake
    #[arg(short, long)]
    ignore: bool,
    /// Artifacts
    #[arg(value_name = "NAME", required_unless_present = "all")]
    names: Vec<String>,
}

pub(super) fn run(global: &Global, arguments: &Rm) -> Result<()> {
    let settings = Settings::load(global)?;
    let store = settings.store(false)?;
    let names = match arguments.all {
        true => all(&store)?,
        false => arguments.names.clone(),
    };
    let mut failed: Option<Failure> = None;
    for name in &names {
        match remove(&store, name) {
            Ok(Some(digest)) => print(&digest)?,
            Ok(None) if arguments.ignore => {}
            Ok(None) => note(&mut failed, name, Failure::new("no such artifact")),
            Err(failure) => note(&mut failed, name, failure),
        }
    }
    store.collect()?;
    failed.map_or(Ok(()), Err)
}

/// The first failure is the command's; the others are told at once, and the rest is removed all the same.
fn note(failed: &mut Option<Failure>, name: &str, failure: Failure) {
    let failure = failure.during(format_args!("removing {name}"));
    match failed {
        None => *failed = Some(failure),
        Some(_) => warn(failure.message()),
    }
}

fn all(store: &Store) -> Result<Vec<String>> {
    let names = store.names()?.0.into_iter().map(|record| record.reference);
    Ok(names.filter(|name| InStore::find(store, name).is_ok()).collect())
}

/// Takes the name away, and says what it named. `None`: there is no such artifact.
fn remove(store: &Store, name: &str) -> Result<Option<String>> {
    match images::find(store, name) {
        Err(error) if error.kind() == images::Kind::NotFound => return Ok(None),
        _ => {}
    }
    let artifact = InStore::find(store, name)?;
    // By its digest it goes with all its names.
    let by_name = artifact.found.names.len() == 1;
    let names = match by_name {
        true => std::slice::from_ref(&artifact.record),
        false => &artifact.found.names[..],
    };
    for record in names {
        store.untag(&record.reference, Some(&artifact.found.digest))?;
    }
    Ok(Some(artifact.found.digest.to_string()))
}
