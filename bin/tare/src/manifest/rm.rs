//! `tare manifest rm`.

use super::find_list;
use crate::failure::{Failure, Result};
use crate::image::print;
use crate::settings::{Global, Settings};
use clap::Args;
use store::Store;

/// Remove indexes from the store
///
/// Images that have names of their own stay.
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// An index that is not there is no mistake
    #[arg(short, long)]
    ignore: bool,
    /// Indexes
    #[arg(value_name = "LIST", required = true)]
    lists: Vec<String>,
}

pub(super) fn run(global: &Global, arguments: &Rm) -> Result<()> {
    let settings = Settings::load(global)?;
    let store = settings.store(false)?;
    let mut failed = None;
    for list in &arguments.lists {
        match remove(&store, list) {
            Ok(lines) => print(&lines)?,
            Err((true, _)) if arguments.ignore => {}
            Err((_, failure)) => {
                let failure = failure.during(format_args!("removing {list}"));
                // The others are removed all the same.
                match &failed {
                    None => failed = Some(failure),
                    Some(_) => crate::settings::warn(failure.message()),
                }
            }
        }
    }
    store.collect()?;
    failed.map_or(Ok(()), Err)
}

/// Removes one; a failure comes with whether it was not there.
pub(super) fn remove(store: &Store, list: &str) -> Result<String, (bool, Failure)> {
    let known = |error: images::Error| (error.kind() == images::Kind::NotFound, error.into());
    let found = images::find(store, list).map_err(known)?;
    let document = images::open_document(store, &found).map_err(known)?;
    if document.index().is_none() {
        let failure =
            Failure::new("it is an image, not an index").hint("`tare rmi` removes images");
        return Err((false, failure));
    }
    let record = find_list(store, list).map_err(|failure| (false, failure))?;
    let untagged = store.untag(&record.reference, Some(&found.digest));
    untagged.map_err(|error| (false, error.into()))?;
    Ok(format!("Untagged: {}\nDeleted: {}", record.reference, found.digest.hex()))
}
