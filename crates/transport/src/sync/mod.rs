//! What is mirrored: skopeo's YAML files, and which tags of a repository are meant.

mod file;
mod filter;
mod version;

pub use file::{Read, Registry, Repository, Wanted};
pub use filter::Filter;

use crate::error::{Error, ErrorKind, Result};

/// For [`crate::inputs`]: patterns and versions of it are tried on tags.
pub(crate) fn feed(text: &str) -> Result<()> {
    let read = Read::parse(text).map_err(|text| Error::new(ErrorKind::Invalid, text))?;
    for registry in &read.registries {
        for repository in &registry.repositories {
            if let Wanted::Matching(filter) = &repository.wanted {
                let _ = filter.takes("1.2.3-rc.1");
            }
        }
    }
    Ok(())
}
