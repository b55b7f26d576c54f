//! `docker-archive:`, what `docker save` and `podman save` write and `docker load` and `podman load`
//! read: many images in a tar archive that share layers.
//!
//! ```text
//! manifest.json        the images: names, configuration, layers
//! CONFIG               configurations and layers: where manifest.json says, links on the way or not,
//! LAYER                compressed or not
//! repositories         names for docker before 1.10
//! ID/{VERSION,json,layer.tar}   layers for docker before 1.10
//! ```
//!
//! There is no manifest with a digest in it. As in containers/image, an image that is read has one of
//! docker's schema 2, made here, whose layers are those that the configuration names: not
//! compressed, whatever the archive holds. Docker 25 and later write an OCI layout beside
//! `manifest.json`; that is `oci-archive:`, in the same file.

mod legacy;
mod read;
mod write;

#[cfg(test)]
mod tests;

pub use read::{Archive, ArchiveImage, ArchiveSource};
pub use write::{ArchiveSink, ArchiveWriter};

use oci::document;

const MANIFEST: &str = "manifest.json";
/// The transport's name.
const TRANSPORT: &str = "docker-archive";

document! {
    /// An image of an archive.
    Item {
        config as "Config": String => required,
        repo_tags as "RepoTags": Option<Vec<String>> => always,
        layers as "Layers": Vec<String> => always,
    }
}
