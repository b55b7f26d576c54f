//! How images are written: formats of manifests and of layers.

use crate::failure::{Failure, Result};
use clap::ValueEnum;
use images::Compression;
use oci::image::media_type::Format;

/// A level of compression.
pub(crate) type Level = u8;

/// How layers are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Packing {
    Gzip,
    Zstd,
    /// zstd with a table of contents, by which podman fetches only the files that it lacks
    #[value(name = "zstd:chunked")]
    ZstdChunked,
}

/// How manifests are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ManifestFormat {
    /// The OCI image specification's
    Oci,
    /// Docker's, version 2 schema 2
    #[value(alias = "docker")]
    V2s2,
    /// Docker's schema 1 (refused: it is read only)
    V2s1,
}

impl ManifestFormat {
    /// The format, if it is one that is written.
    pub(crate) fn format(self) -> Result<Format> {
        match self {
            Self::Oci => Ok(Format::Oci),
            Self::V2s2 => Ok(Format::Docker),
            Self::V2s1 => Err(Failure::new(
                "--format v2s1: docker's schema 1 is read, and never written: \
                 registries and engines have given it up, as its digests do not cover the layers",
            )
            .hint("use v2s2, which every registry takes")),
        }
    }
}

impl Packing {
    /// What two options say about compression.
    pub(crate) fn compression(
        format: Option<Self>,
        level: Option<Level>,
    ) -> Result<Option<Compression>> {
        let (most, usual) = match format {
            Some(Self::Zstd | Self::ZstdChunked) => (20, 3),
            Some(Self::Gzip) | None => (9, images::GZIP_LEVEL),
        };
        if level.is_some_and(|level| !(1..=most).contains(&level)) {
            let text = format!("the level of compression has to be from 1 to {most}");
            return Err(Failure::new(text));
        }
        let chosen = level.unwrap_or(usual);
        Ok(match (format, level) {
            (None, None) => None,
            (Some(Self::Zstd), _) => Some(Compression::Zstd(chosen)),
            (Some(Self::ZstdChunked), _) => Some(Compression::ZstdChunked(chosen)),
            _ => Some(Compression::Gzip(chosen)),
        })
    }
}
