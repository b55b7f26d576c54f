//! What `oci-archive:`, `docker-archive:` and `docker-daemon:` have in common: tar archives whose
//! members are read in any order, and written one after the other.

mod members;
mod output;
mod spool;

#[cfg(test)]
mod tests;

pub(crate) use members::{Members, Section};
pub(crate) use output::Output;
pub(crate) use spool::{kept, unpack};

use crate::error::{Error, ErrorKind};
use std::path::Path;

/// Says which archive is refused.
pub(crate) fn refused(path: &Path, error: &archive::Error) -> Error {
    Error::new(kind_of(error), format!("{}: {error}", path.display()))
}

/// What a caller can do about a refusal.
pub(crate) fn kind_of(error: &archive::Error) -> ErrorKind {
    match error.kind() {
        archive::Kind::Corrupt | archive::Kind::Mismatch => ErrorKind::Corrupt,
        archive::Kind::Unsupported => ErrorKind::Unsupported,
        archive::Kind::Os(_) | archive::Kind::Io(_) => ErrorKind::Os,
        _ => ErrorKind::Invalid,
    }
}
