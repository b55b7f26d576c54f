//! Descriptors: what a document says of other content.

use super::media_type::{MediaType, is_media_type};
use super::platform::Platform;
use crate::base64;
use crate::digest::{AnyDigest, Digest};
use crate::document;
use crate::error::{Error, shown};
use crate::map::Map;
use alloc::string::String;
use alloc::vec::Vec;

document! {
    /// What is known of content before it is there.
    Descriptor {
        media_type: String => required,
        digest: AnyDigest => required,
        /// In bytes.
        size: u64 => required,
        urls: Vec<String>,
        annotations: Map,
        /// The content, in base 64.
        data: String,
        platform: Option<Platform>,
        artifact_type: String,
    }
}

impl Descriptor {
    /// A descriptor of content that is known.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self { media_type: media_type.into(), digest: digest.into(), size, ..Self::default() }
    }

    /// What the media type says.
    pub fn kind(&self) -> MediaType {
        MediaType::of(&self.media_type)
    }

    /// The digest to compare content with.
    pub fn verifiable(&self) -> Result<&Digest, Error> {
        self.digest.verifiable()
    }

    /// The content, if the descriptor has it within. It has to be verified as any other.
    pub fn embedded(&self) -> Option<Vec<u8>> {
        if self.data.is_empty() { None } else { base64::decode(&self.data) }
    }

    /// Checks what the specification demands.
    pub fn check(&self) -> Result<(), Error> {
        // podman's artifacts have parameters behind it (`text/plain; charset=utf-8`), against RFC 6838.
        let plain = self.media_type.split(';').next().unwrap_or_default();
        if !is_media_type(plain.trim_end()) || self.media_type.contains(char::is_control) {
            let media_type = shown(&self.media_type);
            return Err(Error::invalid(&["mediaType: `", &media_type, "` is no media type"]));
        }
        check_artifact_type(&self.artifact_type)?;
        if i64::try_from(self.size).is_err() {
            return Err(Error::invalid(&["size: more than 2^63 bytes"]));
        }
        if let Some(url) = self.urls.iter().find(|url| !is_url(url)) {
            return Err(Error::invalid(&["urls: `", &shown(url), "` is no URL"]));
        }
        if self.data.is_empty() {
            return Ok(());
        }
        match base64::decode(&self.data) {
            None => Err(Error::invalid(&["data: not in base 64"])),
            Some(data) if data.len() as u64 != self.size => {
                Err(Error::invalid(&["data: has not the size that is said"]))
            }
            Some(_) => Ok(()),
        }
    }
}

/// Checks the type of an artifact, which may be absent.
pub(super) fn check_artifact_type(text: &str) -> Result<(), Error> {
    match text.is_empty() || is_media_type(text) {
        true => Ok(()),
        false => Err(Error::invalid(&["artifactType: `", &shown(text), "` is no media type"])),
    }
}

/// RFC 3986: a scheme, and something behind it.
fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(is_inner)
        && !rest.is_empty()
        && !text.contains(|character: char| character.is_control() || character == ' ')
}
