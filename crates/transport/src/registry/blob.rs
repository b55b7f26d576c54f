//! Content from a registry, or from where a registry says that it is.

use super::Registry;
use super::address::Address;
use super::download::{Download, Place};
use super::parallel::Spread;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::Verified;
use crate::transfer::Blob;
use oci::image::Descriptor;

/// Most addresses of a foreign layer that are tried.
const URLS_LIMIT: usize = 8;

/// Opens a blob. What comes is verified at its end.
pub(super) fn open(registry: &Registry, descriptor: &Descriptor) -> Result<Blob> {
    let digest = *descriptor.verifiable()?;
    let place = Place {
        session: registry.session.clone(),
        address: registry.address(&format!("blobs/{digest}")),
        access: Some(registry.pull()),
        size: descriptor.size,
    };
    let found = match begin(registry, &place) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let error = registry.not_found(&format!("blob {digest}"));
            match descriptor.urls.is_empty() {
                true => Err(error),
                false => open_foreign(registry, descriptor, &place, error),
            }
        }
        found => found,
    };
    Ok(Box::new(Verified::new(found?, digest, Some(descriptor.size))))
}

fn begin(registry: &Registry, place: &Place) -> Result<Spread> {
    let mut download = Download::from(place.clone(), 0);
    download.connect()?;
    let (rules, extra) = registry.session.parallel();
    Ok(Spread::new(place.clone(), download, rules, extra))
}

/// Opens a layer that a manifest says to be elsewhere: where that is allowed, by TLS, and without telling
/// anybody who we are (CVE-2020-15157).
fn open_foreign(
    registry: &Registry,
    descriptor: &Descriptor,
    place: &Place,
    missing: Error,
) -> Result<Spread> {
    if !registry.session.takes_foreign() {
        return Err(missing.with_hint(
            "the image says that it is at another address: allow that by --foreign-layers",
        ));
    }
    let mut failed = missing;
    for url in descriptor.urls.iter().take(URLS_LIMIT) {
        let opened = Address::parse(url).and_then(|address| {
            if !address.secure {
                let text = format!("foreign layer at {}: not encrypted", address.origin());
                return Err(Error::new(ErrorKind::Denied, text));
            }
            place.address.check_step_to(&address)?;
            begin(registry, &Place { address, access: None, ..place.clone() })
        });
        match opened {
            Ok(spread) => return Ok(spread),
            Err(error) => failed = failed.and(error),
        }
    }
    Err(failed)
}
