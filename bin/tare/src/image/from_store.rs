//! An image of the store on its way to another place.

use crate::failure::{Failure, Result};
use crate::settings::{Settings, open_source};
use images::{Found, Stored};
use store::Store;
use transport::Source;
use transport::place::Place;

/// An image of the store, and what is known of where it came from.
pub(super) struct FromStore<'s> {
    pub(super) source: Stored<'s>,
    pub(super) found: Found,
    origins: Vec<Place>,
}

impl<'s> FromStore<'s> {
    /// Finds an image.
    pub(super) fn open(settings: &Settings<'_>, store: &'s Store, name: &str) -> Result<Self> {
        let found = images::find(store, name)?;
        let rights = settings.caller.rights();
        let source = Stored::open(store, name, &found.digest, &found.media_type, rights)?;
        // What was made of several images came from several places.
        let places = found.names.iter().flat_map(|name| name.source.lines());
        let origins = places.filter_map(|place| Place::parse(place).ok()).collect();
        Ok(Self { source, found, origins })
    }

    /// Repositories that may have the layers.
    pub(super) fn mount_from(&self) -> Vec<oci::Reference> {
        let repositories = self.origins.iter().filter_map(|origin| match origin {
            Place::Registry(image) => Some(image.name.repository()),
            _ => None,
        });
        repositories.collect()
    }

    /// Opens where the image came from, unless that is where it goes: there, everybody has been asked.
    pub(super) fn open_origin(
        &self,
        settings: &Settings<'_>,
        destination: &Place,
    ) -> images::Result<Option<Box<dyn Source>>> {
        let other = self.origins.iter().find(|origin| *origin != destination);
        let open = |origin| open_source(settings, origin, &Default::default());
        let failed =
            |failure: Failure| images::Error::new(images::Kind::Network, failure.to_string());
        other.map(open).transpose().map_err(failed)
    }
}
