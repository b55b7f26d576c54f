//! What is known of an image anywhere, without its layers.

use crate::error::{Error, Kind, Result};
use crate::instances::Instances;
use crate::pull::reading;
use oci::image::{
    CONFIG_LIMIT_BYTES, Content, Descriptor, Document, ImageConfig, MediaType, Wanted, schema1,
};
use oci::json::Raw;
use oci::{Algorithm, AnyDigest, Map};
use std::io::Read;
use transport::Source;

/// Indexes in indexes: real ones have one level.
const INDEX_DEPTH: usize = 4;

/// An image and its configuration.
#[derive(Clone, Debug)]
pub struct Overview {
    /// What its name stands for.
    pub root: Document,
    /// The image of it that is for a platform.
    pub image: Document,
    /// The configuration as it is; of docker's schema 1, what newer images would have.
    pub config: Vec<u8>,
    /// The configuration of an image; artifacts have none.
    pub parsed: Option<ImageConfig>,
}

/// A layer, as a manifest has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerFacts {
    /// Empty where the manifest has none.
    pub media_type: String,
    /// The digest of what is fetched.
    pub digest: String,
    /// In bytes; `None` where the manifest does not say it.
    pub size: Option<u64>,
    /// What else is said of it.
    pub annotations: Map,
}

oci::document! {
    /// What docker adds to configurations.
    Addition(snake) {
        docker_version: String,
    }
}

impl Overview {
    /// Reads the manifest for a platform, and its configuration.
    pub fn read(source: &dyn Source, wanted: &Wanted) -> Result<Self> {
        let root = source.manifest(None)?;
        let mut image = root.clone();
        for _ in 0..=INDEX_DEPTH {
            let Some(index) = image.index() else { break };
            let chosen = Instances::One(wanted.clone()).choose(index)?;
            let chosen = chosen.first().ok_or_else(|| Error::new(Kind::NotFound, "no image"))?;
            image = source.manifest(Some(chosen.verifiable()?))?;
        }
        let (config, parsed) = match image.content() {
            Content::Manifest(manifest) => {
                let config = read_config(source, &manifest.config)?;
                let is_image = matches!(manifest.config.kind(), MediaType::Config(_));
                let parsed = is_image.then(|| ImageConfig::read(&config)).transpose()?;
                (config, parsed)
            }
            Content::Schema1(manifest) => {
                // Nobody knows the digests of what is unpacked; there are as many.
                let layers = manifest.layers()?;
                let none = AnyDigest::from(transport::hash::digest_of(Algorithm::Sha256, b""));
                let count = layers.iter().filter(|layer| !layer.empty).count();
                let mut text = manifest.config(&vec![none; count])?;
                let mut members: Map<Raw> = oci::json::read(text.as_bytes())
                    .map_err(|error| Error::new(Kind::Invalid, format!("schema 1: {error}")))?;
                members.retain(|name, _| name != "rootfs");
                let parsed = ImageConfig::read(text.as_bytes())?;
                text = oci::json::write(&members);
                (text.into_bytes(), Some(parsed))
            }
            Content::Index(_) => {
                return Err(Error::new(Kind::Invalid, "indexes in indexes in indexes"));
            }
            Content::Other => {
                let text = format!("a manifest of the type {} is no image", image.media_type());
                return Err(Error::new(Kind::Unsupported, text).with_hint("--raw shows it"));
            }
        };
        Ok(Self { root, image, config, parsed })
    }

    /// The version of docker that made the image, if it says so.
    pub fn docker_version(&self) -> String {
        oci::json::read::<Addition>(&self.config).unwrap_or_default().docker_version
    }

    /// The tag that docker's schema 1 has within.
    pub fn tag(&self) -> &str {
        match self.image.content() {
            Content::Schema1(manifest) => &manifest.tag,
            _ => "",
        }
    }

    /// The layers, the lowest first.
    pub fn layers(&self) -> Result<Vec<LayerFacts>> {
        Ok(match self.image.content() {
            Content::Manifest(manifest) => manifest.layers.iter().map(LayerFacts::of).collect(),
            Content::Schema1(manifest) => manifest
                .layers()?
                .into_iter()
                .map(|layer| LayerFacts { digest: layer.blob.to_string(), ..LayerFacts::default() })
                .collect(),
            Content::Index(_) | Content::Other => Vec::new(),
        })
    }

    /// The algorithm of the configuration's digest, which that of the manifest follows.
    pub fn algorithm(&self) -> Algorithm {
        let digest = self.image.manifest().and_then(|it| it.config.verifiable().ok());
        digest.map_or(Algorithm::Sha256, oci::Digest::algorithm)
    }

    /// The digest of what the name stands for.
    pub fn digest(&self, algorithm: Algorithm) -> Result<oci::Digest> {
        if self.root.digest().algorithm() == algorithm {
            return Ok(*self.root.digest());
        }
        let payload = match self.root.content() {
            Content::Schema1(_) => schema1::payload(self.root.bytes())?,
            _ => self.root.bytes().to_vec(),
        };
        Ok(transport::hash::digest_of(algorithm, &payload))
    }
}

impl LayerFacts {
    fn of(descriptor: &Descriptor) -> Self {
        Self {
            media_type: descriptor.media_type.clone(),
            digest: descriptor.digest.to_string(),
            size: Some(descriptor.size),
            annotations: descriptor.annotations.clone(),
        }
    }
}

/// Reads a configuration, of whatever kind it is.
fn read_config(source: &dyn Source, descriptor: &Descriptor) -> Result<Vec<u8>> {
    if let Some(bytes) = descriptor.embedded() {
        return Ok(bytes);
    }
    if descriptor.size > CONFIG_LIMIT_BYTES as u64 {
        return Err(Error::new(Kind::Invalid, "the configuration is larger than 4 MiB"));
    }
    let mut bytes = Vec::new();
    let mut blob = source.blob(descriptor)?.take(CONFIG_LIMIT_BYTES as u64 + 1);
    let digest = descriptor.verifiable()?;
    blob.read_to_end(&mut bytes).map_err(|error| reading(&error, digest))?;
    Ok(bytes)
}
