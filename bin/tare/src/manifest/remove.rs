//! `tare manifest remove`.

use super::{Images, change, find_list};
use crate::failure::{Failure, Result};
use crate::image::{now, print};
use crate::settings::{Access, Global, Settings};
use clap::Args;
use images::List;

/// Take an image out of an index
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The index
    #[arg(value_name = "LIST")]
    list: String,
    /// The image: its digest in the index, or a name
    #[arg(value_name = "IMAGE")]
    image: String,
}

pub(super) fn run(global: &Global, arguments: &Remove) -> Result<()> {
    let during = |failure: Failure| failure.during(format_args!("changing {}", arguments.list));
    change(|| remove(global, arguments)).map_err(during)
}

fn remove(global: &Global, arguments: &Remove) -> Result<()> {
    let settings = Settings::load(global)?;
    let store = settings.store(false)?;
    let record = find_list(&store, &arguments.list)?;
    let mut list = List::open(&store, &record)?;
    let access = Access::default();
    let digest = Images::new(&settings, &store, &access)?.digest(&list, &arguments.image)?;
    list.remove(&digest)?;
    let made = list.finish(&record.reference, now())?;
    print(&made.digest().hex())
}
