//! Manifests in another form: other layers, another format, other manifests in an index.

use crate::error::{Error, Kind, Result};
use oci::Digest;
use oci::image::media_type::{self, Compression, Format, LayerType, MediaType};
use oci::image::{Content, Descriptor, Document, Index, Manifest};
use std::collections::BTreeMap;
use transport::hash::verify_manifest;

const OCI_FOREIGN_LAYER: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
const DOCKER_FOREIGN_LAYER: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar";

/// The format of a manifest.
pub(crate) fn format_of(manifest: &Manifest) -> Format {
    match MediaType::of(&manifest.media_type) {
        MediaType::Manifest(format) => format,
        _ => match manifest.config.kind() {
            MediaType::Config(format) => format,
            _ => Format::Oci,
        },
    }
}

/// The media type of a layer.
pub(crate) fn layer_type(format: Format, compression: Compression, distributable: bool) -> String {
    let (base, separator) = match (format, distributable) {
        (Format::Oci, true) => (media_type::OCI_LAYER, '+'),
        (Format::Oci, false) => (OCI_FOREIGN_LAYER, '+'),
        (Format::Docker, true) => (DOCKER_LAYER, '.'),
        (Format::Docker, false) => (DOCKER_FOREIGN_LAYER, '.'),
    };
    match compression {
        Compression::None => base.to_owned(),
        Compression::Gzip => format!("{base}{separator}gzip"),
        Compression::Zstd => format!("{base}{separator}zstd"),
    }
}

/// The manifest of an image with these layers, in a format.
pub(crate) fn image(
    manifest: &Manifest,
    format: Format,
    layers: &[Descriptor],
) -> Result<Document> {
    let mut new = manifest.clone();
    let (own, config) = match format {
        Format::Oci => (media_type::OCI_MANIFEST, media_type::OCI_CONFIG),
        Format::Docker => (media_type::DOCKER_MANIFEST, media_type::DOCKER_CONFIG),
    };
    new.media_type = own.into();
    if matches!(manifest.config.kind(), MediaType::Config(_)) {
        new.config.media_type = config.into();
    }
    new.layers = layers.to_vec();
    for layer in &mut new.layers {
        if let MediaType::Layer(LayerType { compression, distributable, encrypted, .. }) =
            layer.kind()
        {
            if encrypted && format == Format::Docker {
                let text = format!("layer {} is encrypted", layer.digest);
                return Err(Error::new(Kind::Unsupported, text)
                    .with_hint("docker's format has no encrypted layers: leave --format out"));
            }
            if !encrypted {
                layer.media_type = layer_type(format, compression, distributable);
            }
        }
    }
    if format == Format::Docker {
        // It has no place for them.
        new.annotations = oci::Map::default();
        new.artifact_type.clear();
        new.subject = None;
        for descriptor in new.layers.iter_mut().chain([&mut new.config]) {
            descriptor.annotations = oci::Map::default();
        }
    }
    document(&new)
}

/// An index in which some manifests are others.
pub(crate) fn index(
    old: &Index,
    format: Format,
    changed: &BTreeMap<Digest, Document>,
) -> Result<Document> {
    let mut new = old.clone();
    let own = match format {
        Format::Oci => media_type::OCI_INDEX,
        Format::Docker => media_type::DOCKER_LIST,
    };
    new.media_type = own.to_owned();
    for descriptor in &mut new.manifests {
        let Ok(digest) = descriptor.verifiable() else { continue };
        if let Some(document) = changed.get(digest) {
            let fresh = document.descriptor();
            descriptor.media_type = fresh.media_type;
            descriptor.digest = fresh.digest;
            descriptor.size = fresh.size;
            descriptor.data.clear();
        }
    }
    if own == media_type::DOCKER_LIST {
        new.annotations = oci::Map::default();
        new.artifact_type.clear();
        new.subject = None;
    }
    document(&new)
}

/// The same manifest or index with other annotations. Docker's forms have none: they become OCI's.
pub(crate) fn annotated(old: &Document, change: &dyn Fn(&mut oci::Map)) -> Result<Document> {
    match old.content() {
        Content::Manifest(manifest) => {
            let mut new = manifest.clone();
            change(&mut new.annotations);
            match format_of(manifest) {
                Format::Oci => document(&new),
                Format::Docker => image(&new, Format::Oci, &manifest.layers),
            }
        }
        Content::Index(index) => {
            let mut new = index.clone();
            change(&mut new.annotations);
            new.media_type = media_type::OCI_INDEX.into();
            document(&new)
        }
        Content::Schema1(_) | Content::Other => {
            let text = format!("a manifest of type {} has no annotations", old.media_type());
            Err(Error::new(Kind::Unsupported, text))
        }
    }
}

fn document(value: &dyn oci::json::ToJson) -> Result<Document> {
    Ok(verify_manifest(oci::json::write(value).into_bytes(), "", None)?)
}
