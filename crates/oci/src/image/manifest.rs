//! Manifests and indexes: OCI's, and docker's schema 2, which has the same fields.

use super::descriptor::{Descriptor, check_artifact_type};
use super::media_type::{self, Format, MediaType};
use crate::document;
use crate::error::{Error, shown};
use crate::map::Map;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

document! {
    /// One image or artifact.
    Manifest {
        schema_version: u32 => required,
        media_type: String,
        artifact_type: String,
        config: Descriptor => required,
        /// The lowest first. An image from scratch may have none.
        layers: Vec<Descriptor> => always,
        subject: Option<Descriptor>,
        annotations: Map,
    }

    /// Manifests to choose from.
    Index {
        schema_version: u32 => required,
        media_type: String,
        artifact_type: String,
        manifests: Vec<Descriptor> => always,
        subject: Option<Descriptor>,
        annotations: Map,
    }

    /// `oci-layout`: a directory is an image layout.
    Layout {
        image_layout_version: String => required,
    }
}

/// The version of image layouts that can be read.
pub const LAYOUT_VERSION: &str = "1.0.0";

impl Manifest {
    /// What kind of artifact it is; `None` for an image.
    pub fn artifact_kind(&self) -> Option<&str> {
        if !self.artifact_type.is_empty() {
            return Some(&self.artifact_type);
        }
        // Docker's early clients said `application/octet-stream`.
        let docker = MediaType::of(&self.media_type) == MediaType::Manifest(Format::Docker);
        match self.config.kind() {
            MediaType::Config(_) => None,
            _ if docker => None,
            _ => Some(&self.config.media_type),
        }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        check_head(self.schema_version, &self.artifact_type, self.subject.as_ref())?;
        self.config.check().map_err(|error| error.within("config"))?;
        check_all("layers", &self.layers)?;
        if self.config.media_type == media_type::OCI_EMPTY && self.artifact_type.is_empty() {
            let parts = ["artifactType: must be there, as the configuration is empty"];
            return Err(Error::invalid(&parts));
        }
        Ok(())
    }
}

impl Index {
    /// Reads the `index.json` of a layout: many images are in it, and one that is not understood
    /// does not stand in the way of the others. [`Descriptor::check`] is for that which is used.
    pub fn read_layout(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > super::document::SIZE_LIMIT_BYTES {
            let parts = ["the index is larger than 4 MiB"];
            return Err(Error::new(crate::ErrorKind::TooLarge, &parts));
        }
        super::read_json(bytes)
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        check_head(self.schema_version, &self.artifact_type, self.subject.as_ref())?;
        check_all("manifests", &self.manifests)
    }
}

impl Layout {
    /// Reads `oci-layout`.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        let layout: Self = super::read_json(bytes)?;
        match layout.image_layout_version == LAYOUT_VERSION {
            true => Ok(layout),
            false => {
                let version = shown(&layout.image_layout_version);
                Err(Error::new(
                    crate::ErrorKind::Unsupported,
                    &["imageLayoutVersion: `", &version, "`, expected 1.0.0"],
                ))
            }
        }
    }
}

fn check_head(version: u32, artifact: &str, subject: Option<&Descriptor>) -> Result<(), Error> {
    if version != 2 {
        return Err(Error::invalid(&["schemaVersion: ", &version.to_string(), ", expected 2"]));
    }
    check_artifact_type(artifact)?;
    subject.map_or(Ok(()), |subject| subject.check().map_err(|error| error.within("subject")))
}

fn check_all(field: &str, descriptors: &[Descriptor]) -> Result<(), Error> {
    for (index, descriptor) in descriptors.iter().enumerate() {
        if let Err(error) = descriptor.check() {
            return Err(error.within(&[field, "[", &index.to_string(), "]"].concat()));
        }
    }
    Ok(())
}
