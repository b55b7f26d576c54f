//! `tare manifest add`.

use super::artifact::ArtifactArgs;
use super::{Images, SaidArgs, change, find_list};
use crate::failure::{Failure, Result};
use crate::image::{now, print};
use crate::settings::{Global, RegistryArgs, Settings};
use clap::Args;
use images::List;

/// Add images to an index
///
/// The platform is what the image says unless options say something else.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Add every image of an index
    #[arg(long, conflicts_with = "artifact")]
    all: bool,
    #[command(flatten)]
    said: SaidArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    artifact: ArtifactArgs,
    /// The index
    #[arg(value_name = "LIST")]
    list: String,
    /// Images: of the store, or of a registry, or a place of another kind; with --artifact files
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

pub(super) fn run(global: &Global, arguments: &Add) -> Result<()> {
    let during = |failure: Failure| failure.during(format_args!("adding to {}", arguments.list));
    change(|| add(global, arguments)).map_err(during)
}

fn add(global: &Global, arguments: &Add) -> Result<()> {
    let settings = Settings::load(global)?;
    let store = settings.store(false)?;
    let access = arguments.registry.access()?;
    let record = find_list(&store, &arguments.list)?;
    let mut list = List::open(&store, &record)?;
    let images = Images::new(&settings, &store, &access)?;
    let said = arguments.said.said()?;
    let mut temporary = Vec::new();
    match arguments.artifact.artifact {
        true => {
            let (name, is_known) = arguments.artifact.put(&images, &arguments.images)?;
            images.add_stored(&mut list, &name, &said)?;
            temporary.extend((!is_known).then_some(name));
        }
        false => {
            for image in &arguments.images {
                temporary.extend(images.add(&mut list, image, arguments.all, &said)?);
            }
        }
    }
    let made = list.finish(&record.reference, now());
    images.forget(temporary)?;
    print(&made?.digest().hex())
}
