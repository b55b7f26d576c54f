//! Where an image is, as users write it: `TRANSPORT:DETAILS`, the grammar of containers-transports(5).
//!
//! ```text
//! docker://NAME[:TAG][@DIGEST]                 a registry
//! oci:DIRECTORY[:NAME|:@INDEX|@DIGEST]         a layout
//! oci-archive:FILE[:NAME|:@INDEX|@DIGEST]      a layout in a tar archive
//! dir:DIRECTORY                                skopeo's directories
//! docker-archive:FILE[:NAME[:TAG]|:@INDEX]     what `docker save` writes
//! docker-daemon:NAME:TAG|NAME@DIGEST|sha256:ID the images of dockerd
//! containers-storage:[STORE]NAME[@ID]|@ID      the images of podman, buildah and CRI-O
//! tar:FILE                                     a root file system in an archive
//! rootfs:DIRECTORY                             a root file system
//! host:PROGRAM                                 programs of this machine with what they need
//! store:NAME                                   Tare's own images
//! ```
//!
//! This is about text alone: nothing is opened or looked up.

mod docker;
mod spelling;
mod storage;

#[cfg(test)]
mod tests;

pub(crate) use docker::read_position;
pub use docker::{ArchiveSelect, DaemonImage, DockerArchive, RegistryImage};
pub use spelling::distance;
pub use storage::{ABBREVIATION_MINIMUM, StorageImage, StorePlace};

use crate::error::{Error, ErrorKind, Result};
use crate::layout;
use std::fmt;
use std::path::PathBuf;

/// Every transport that [`Place::parse`] knows, sorted.
pub const TRANSPORTS: [&str; 11] = [
    "containers-storage",
    "dir",
    "docker",
    "docker-archive",
    "docker-daemon",
    "host",
    "oci",
    "oci-archive",
    "rootfs",
    "store",
    "tar",
];

/// Where an image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `docker://`, in a registry.
    Registry(RegistryImage),
    /// `oci:`, in a layout.
    Layout(layout::Place),
    /// `oci-archive:`, in an archive of a layout: the directory is the archive.
    LayoutArchive(layout::Place),
    /// `dir:`, a directory.
    Directory(PathBuf),
    /// `docker-archive:`, in an archive of `docker save`.
    DockerArchive(DockerArchive),
    /// `docker-daemon:`, in a running dockerd.
    Daemon(DaemonImage),
    /// `containers-storage:`, in a store of podman.
    Storage(StorageImage),
    /// `tar:`, an archive with a root file system. What `-` is, is the caller's choice.
    Tar(PathBuf),
    /// `rootfs:`, a directory with a root file system.
    Rootfs(PathBuf),
    /// `host:`, what stands behind it.
    Host(String),
    /// `store:`, what stands behind it: a name or an ID, which the store can tell.
    Store(String),
}

impl Place {
    /// Reads a place whose transport has to be written.
    pub fn parse(text: &str) -> Result<Self> {
        let Some((transport, rest)) = text.split_once(':') else {
            return Err(spelling::without_transport(text));
        };
        if rest.is_empty() && TRANSPORTS.contains(&transport) {
            let refused = format!("`{text}`: nothing stands behind the transport");
            return Err(Error::new(ErrorKind::Invalid, refused));
        }
        Ok(match transport {
            "docker" => match rest.strip_prefix("//") {
                Some(name) => Self::Registry(RegistryImage::parse(name)?),
                None => return Err(spelling::without_slashes(rest)),
            },
            "oci" => Self::Layout(layout::Place::parse(rest)?),
            "oci-archive" => Self::LayoutArchive(layout::Place::parse_of(transport, rest)?),
            "dir" => Self::Directory(rest.into()),
            "docker-archive" => Self::DockerArchive(DockerArchive::parse(rest)?),
            "docker-daemon" => Self::Daemon(DaemonImage::parse(rest)?),
            "containers-storage" => Self::Storage(StorageImage::parse(rest)?),
            "tar" => Self::Tar(rest.into()),
            "rootfs" => Self::Rootfs(rest.into()),
            "host" => Self::Host(rest.to_owned()),
            "store" => Self::Store(rest.to_owned()),
            _ => return Err(spelling::unknown(text, transport, rest)),
        })
    }

    /// Reads a place or a bare name, as podman's verbs do: `None` is a name, of which
    /// `docker:latest` is one, too.
    pub fn parse_unless_name(text: &str) -> Result<Option<Self>> {
        let Some((transport, rest)) = text.split_once(':') else { return Ok(None) };
        let known = match transport {
            "docker" => rest.starts_with("//"),
            _ => TRANSPORTS.contains(&transport) || spelling::reason(transport).is_some(),
        };
        match known || rest.starts_with("//") {
            true => Self::parse(text).map(Some),
            false => Ok(None),
        }
    }

    /// The transport's name.
    pub fn transport(&self) -> &'static str {
        match self {
            Self::Registry(_) => "docker",
            Self::Layout(_) => "oci",
            Self::LayoutArchive(_) => "oci-archive",
            Self::Directory(_) => "dir",
            Self::DockerArchive(_) => "docker-archive",
            Self::Daemon(_) => "docker-daemon",
            Self::Storage(_) => "containers-storage",
            Self::Tar(_) => "tar",
            Self::Rootfs(_) => "rootfs",
            Self::Host(_) => "host",
            Self::Store(_) => "store",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = self.transport();
        match self {
            Self::Registry(image) => write!(formatter, "{transport}://{image}"),
            Self::Layout(place) | Self::LayoutArchive(place) => {
                write!(formatter, "{transport}:{}", place.details())
            }
            Self::Directory(path) | Self::Tar(path) | Self::Rootfs(path) => {
                write!(formatter, "{transport}:{}", path.display())
            }
            Self::DockerArchive(place) => write!(formatter, "{transport}:{place}"),
            Self::Daemon(image) => write!(formatter, "{transport}:{image}"),
            Self::Storage(image) => write!(formatter, "{transport}:{image}"),
            Self::Host(text) | Self::Store(text) => write!(formatter, "{transport}:{text}"),
        }
    }
}
