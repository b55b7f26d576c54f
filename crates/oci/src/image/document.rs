//! Manifests with the bytes that they are.

use super::manifest::{Index, Manifest};
use super::media_type::MediaType;
use super::{read_json, schema1, shape};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, shown};
use alloc::string::String;
use alloc::vec::Vec;

/// Largest manifest: what the distribution specification asks registries to take. Without a limit a
/// registry could fill up the memory (CVE-2023-25153).
pub const SIZE_LIMIT_BYTES: usize = 4 << 20;

/// A manifest of any kind, as it came.
///
/// Its bytes are the truth: they are what is stored and passed on, and never written anew. What was
/// read from them is a view.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    bytes: Vec<u8>,
    media_type: String,
    digest: Digest,
    content: Content,
}

/// What a document was understood as.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "there are as many manifests as all others together")]
pub enum Content {
    /// An image or artifact.
    Manifest(Manifest),
    /// Manifests to choose from.
    Index(Index),
    /// Docker's schema 1.
    Schema1(schema1::Manifest),
    /// Of a type that is not known here: it can be kept and copied.
    Other,
}

impl Document {
    /// Reads a manifest. `claimed` is the media type of the descriptor or header that led to it
    /// ([`super::media_type::from_header`]), or empty. `digest` is that of the bytes: the caller has verified it, or
    /// made it from them.
    pub fn read(bytes: Vec<u8>, claimed: &str, digest: Digest) -> Result<Self, Error> {
        if bytes.len() > SIZE_LIMIT_BYTES {
            let parts = ["the manifest is larger than 4 MiB"];
            return Err(Error::new(ErrorKind::TooLarge, &parts));
        }
        let media_type = shape::media_type(&bytes, claimed)?;
        let content = match MediaType::of(&media_type) {
            MediaType::Manifest(_) => {
                let manifest: Manifest = read_json(&bytes)?;
                manifest.check()?;
                Content::Manifest(manifest)
            }
            MediaType::Index(_) => {
                let index: Index = read_json(&bytes)?;
                index.check()?;
                Content::Index(index)
            }
            MediaType::Schema1 => Content::Schema1(schema1::Manifest::read(&bytes)?),
            MediaType::Other if !media_type.is_empty() => Content::Other,
            _ => {
                let parts = ["mediaType: `", &shown(&media_type), "` is not that of a manifest"];
                return Err(Error::invalid(&parts));
            }
        };
        Ok(Self { bytes, media_type, digest, content })
    }

    /// The bytes, as they came.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The media type to pass on with them.
    pub fn media_type(&self) -> &str {
        &self.media_type
    }

    /// The digest of the bytes.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What they say.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The image or artifact, if it is one.
    pub fn manifest(&self) -> Option<&Manifest> {
        match &self.content {
            Content::Manifest(manifest) => Some(manifest),
            _ => None,
        }
    }

    /// The index, if it is one.
    pub fn index(&self) -> Option<&Index> {
        match &self.content {
            Content::Index(index) => Some(index),
            _ => None,
        }
    }

    /// A descriptor of it.
    pub fn descriptor(&self) -> super::Descriptor {
        super::Descriptor::new(&self.media_type, self.digest, self.bytes.len() as u64)
    }
}
