//! Where images come from and go to.
//!
//! What an administrator or user has written down about it:
//!
//! - [`registries`]: `registries.conf` with drop-ins, mirrors, short names;
//! - [`auth`]: credentials from `auth.json`, docker's `config.json` and credential helpers;
//! - [`certs`]: certificates of registries and clients, `certs.d`;
//! - [`policy`]: which images are accepted, `policy.json`;
//! - [`sync`]: which images are mirrored, skopeo's YAML files;
//! - [`lookaside`]: where signatures are kept beside registries, `registries.d`;
//! - [`names`]: addresses of hosts, `hosts`, `resolv.conf`;
//! - [`proxy`]: proxies of the environment.
//!
//! And what an image is read from and written to, a [`Source`] and a [`Sink`]:
//!
//! - [`import`]: `tar:` and `rootfs:`, root file systems, read only;
//! - [`layout`]: `oci:` and `oci-archive:`, directories and archives with many images;
//! - [`directory`]: `dir:`, a directory with one;
//! - [`docker_archive`]: `docker-archive:`, what `docker save` writes;
//! - [`containers_storage`]: `containers-storage:`, the images of podman, read only;
//! - [`daemon`]: `docker-daemon:`, the images of a running dockerd;
//! - [`registry`]: `docker://`, a registry.
//!
//! [`signature`] is what may be beside an image; [`place`] reads how users write where an image is.
//!
//! Nothing here looks at the environment: callers say which files there are. What a document may
//! hold is bounded by named constants.

mod archives;
pub mod auth;
mod blob_file;
pub mod certs;
pub mod containers_storage;
pub mod daemon;
pub mod directory;
pub mod docker_archive;
mod error;
mod file;
pub mod hash;
pub mod import;
pub mod inputs;
pub mod layout;
pub mod lookaside;
pub mod names;
pub mod place;
pub mod policy;
pub mod proxy;
pub mod registries;
pub mod registry;
pub mod signature;
pub mod sync;
mod transfer;

#[cfg(test)]
mod tests;

pub use error::{Error, ErrorKind, Result};
pub use transfer::{Blob, Sink, Source, Takes, copy_image};
