//! The OCI image specification 1.1, and docker's formats.
//!
//! - [`Document`]: a manifest, index or list with its bytes, which are never written anew.
//! - [`ImageConfig`]: the configuration of an image.
//! - [`MediaType`]: what a media type says; unknown ones are kept.
//! - [`Index::choose`]: one manifest for a platform.
//!
//! Reading refuses what two programs could understand in two ways; annotations, unknown members and
//! unknown types are nobody's business here.

mod config;
mod descriptor;
mod document;
mod manifest;
pub mod media_type;
mod platform;
pub mod schema1;
mod shape;

#[cfg(test)]
mod tests;

pub use config::{
    CONFIG_LIMIT_BYTES, ContainerConfig, Healthcheck, History, ImageConfig, RootFs, Words,
};
pub use descriptor::Descriptor;
pub use document::{Content, Document, SIZE_LIMIT_BYTES};
pub use manifest::{Index, LAYOUT_VERSION, Layout, Manifest};
pub use media_type::{Compression, Format, LayerType, MediaType};
pub use platform::{Platform, Wanted};

use crate::error::Error;
use crate::json::{self, FromJson};

fn read_json<T: FromJson + Default>(bytes: &[u8]) -> Result<T, Error> {
    json::read(bytes).map_err(|text| Error::invalid(&[&text]))
}
