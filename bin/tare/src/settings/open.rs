//! From a place to a source or sink.

use super::{Access, Settings};
use crate::failure::{Failure, Result};
use transport::directory::{DirectorySink, DirectorySource};
use transport::layout::{LayoutSink, LayoutSource};
use transport::place::Place;
use transport::registry::{Registry, RegistrySink, RegistrySource};
use transport::{Sink, Source};

/// Opens an image to read it. The store's own are opened by the caller, who has the store.
pub(crate) fn open_source(
    settings: &Settings<'_>,
    place: &Place,
    access: &Access,
) -> Result<Box<dyn Source>> {
    Ok(match place {
        Place::Registry(image) => Box::new(registry_source(settings, &image.name, access)?),
        Place::Layout(place) => {
            Box::new(LayoutSource::open(place, access.shared_blobs.as_deref())?)
        }
        Place::Directory(directory) => Box::new(DirectorySource::open(directory)?),
        other => return Err(unsupported(other, "read from")),
    })
}

/// An image of a registry, from the first of its places that has it.
pub(crate) fn registry_source(
    settings: &Settings<'_>,
    name: &oci::Reference,
    access: &Access,
) -> Result<RegistrySource> {
    let name = name.clone().or_latest();
    let places = settings.registries.pull_sources(&name)?;
    let options = |place: &transport::registries::Source| settings.registry_options(place, access);
    Ok(RegistrySource::open(&name, &places, &options)?)
}

/// Asks the registry of a repository, or the first of its mirrors that knows an answer.
pub(crate) fn ask_registry<T>(
    settings: &Settings<'_>,
    repository: &oci::Reference,
    access: &Access,
    ask: &dyn Fn(&Registry) -> transport::Result<T>,
) -> Result<T> {
    let mut failed: Option<Failure> = None;
    for place in settings.registries.pull_sources(repository)? {
        let options = settings.registry_options(&place, access);
        let answer =
            options.and_then(|options| ask(&Registry::connect(&place.reference, options)?));
        match answer {
            Ok(answer) => return Ok(answer),
            Err(error) => {
                let error = Failure::from(error);
                failed = Some(match failed {
                    Some(first) => error.during(first.message()),
                    None => error,
                });
            }
        }
    }
    Err(failed.unwrap_or_else(|| Failure::new("no registry has it")))
}

/// Reaches the registry of a name to change something there: no mirror.
pub(crate) fn connect(
    settings: &Settings<'_>,
    name: &oci::Reference,
    access: &Access,
) -> Result<Registry> {
    let target = settings.registries.push_target(name)?;
    let options = settings.registry_options(&target, access)?;
    Ok(Registry::connect(&target.reference, options)?)
}

/// Opens a place to write an image to.
pub(crate) fn open_sink(
    settings: &Settings<'_>,
    place: &Place,
    access: &Access,
) -> Result<Box<dyn Sink>> {
    Ok(match place {
        Place::Registry(image) => {
            let name = image.name.clone().or_latest();
            Box::new(RegistrySink::new(connect(settings, &name, access)?, &name))
        }
        Place::Layout(place) => {
            Box::new(LayoutSink::create(place, access.shared_blobs.as_deref())?)
        }
        Place::Directory(directory) => Box::new(DirectorySink::create(directory)?),
        other => return Err(unsupported(other, "write to")),
    })
}

fn unsupported(place: &Place, what: &str) -> Failure {
    Failure::new(format!("{place}: nothing can {what} a {}: there", place.transport()))
}
