//! `tare delete`.

use super::note;
use crate::failure::{Failure, Result};
use crate::settings::{Access, Global, PlaceArgs, RetryArgs, Settings, connect};
use clap::Args;
use transport::layout;
use transport::place::Place;
use transport::registry::Deleted;

/// Remove an image from a registry or layout
///
/// From a registry, a tag is taken away from its image, which other tags and its digest may still lead to. With
/// --digest, or when a digest is named, the image goes with all its tags. From a layout (oci:), a name goes,
/// and what no other name leads to.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tare delete docker://registry.example.com/team/app:1.2\n  \
                        tare delete --digest docker://registry.example.com/team/app:1.2")]
pub(crate) struct Delete {
    /// Remove the image that the tag stands for, with all its tags
    #[arg(long)]
    digest: bool,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    retry: RetryArgs,
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,
}

pub(crate) fn run(global: &Global, arguments: &Delete) -> Result<()> {
    let during = |failure: Failure| failure.during(format_args!("deleting {}", arguments.image));
    let settings = Settings::load(global)?;
    delete(&settings, arguments).map_err(during)
}

fn delete(settings: &Settings<'_>, arguments: &Delete) -> Result<()> {
    let access = arguments.place.access(&arguments.retry)?;
    match Place::parse(&arguments.image)? {
        Place::Registry(image) => from_registry(settings, &image.name, &access, arguments.digest),
        Place::Layout(place) => Ok(layout::remove(&place, access.shared_blobs.as_deref())?),
        Place::Store(name) => Err(Failure::new("images of the store are removed by another verb")
            .hint(format!("`tare rmi {name}`"))),
        other => {
            let text = format!("images cannot be deleted from a {}:", other.transport());
            Err(Failure::new(text).hint("remove the file or directory itself"))
        }
    }
}

fn from_registry(
    settings: &Settings<'_>,
    name: &oci::Reference,
    access: &Access,
    whole: bool,
) -> Result<()> {
    let registry = connect(settings, name, access)?;
    if let Some(digest) = name.digest() {
        return Ok(registry.delete(digest)?);
    }
    let tag = name.selector();
    if whole {
        let found = registry.resolve(&tag)?;
        let found = found.ok_or_else(|| Failure::new("there is no such image"))?;
        return Ok(registry.delete(found.verifiable()?)?);
    }
    match registry.untag(&tag)? {
        Deleted::Tag => Ok(()),
        Deleted::Manifest(digest) => {
            note(&format!("the registry cannot take away a tag alone: {digest} is deleted"));
            Ok(())
        }
    }
}
