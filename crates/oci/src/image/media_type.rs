//! Media types: what they say, and those that say nothing here.

/// Who defined a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The OCI image specification.
    Oci,
    /// Docker's image manifest version 2, schema 2.
    Docker,
}

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip (estargz too, which is one).
    Gzip,
    /// zstd (zstd:chunked too).
    Zstd,
}

/// What a layer's media type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerType {
    /// Who defined it.
    pub format: Format,
    /// How the archive is compressed. The content decides: registries hold layers with wrong types.
    pub compression: Compression,
    /// Whether registries may keep it. Others are fetched from the descriptor's `urls`.
    pub distributable: bool,
    /// Whether it is encrypted.
    pub encrypted: bool,
}

/// A media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// A manifest.
    Manifest(Format),
    /// An index, or docker's manifest list.
    Index(Format),
    /// Docker's schema 1, signed or not.
    Schema1,
    /// A container's configuration.
    Config(Format),
    /// A layer.
    Layer(LayerType),
    /// `{}`, where an artifact has no configuration.
    Empty,
    /// Any other: kept as it is.
    Other,
}

/// OCI's manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI's index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// OCI's configuration.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// OCI's layer, not compressed. `+gzip` and `+zstd` may be behind it.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// OCI's layer, compressed with gzip.
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// OCI's layer, compressed with zstd.
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// OCI's empty configuration.
pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// Docker's manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's list of manifests.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's configuration.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Docker's layer, compressed with gzip, whatever the name says.
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// Docker's schema 1.
pub const DOCKER_SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+json";
/// Docker's schema 1 with signatures.
pub const DOCKER_SCHEMA1_SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";

const OCI_FOREIGN_LAYER: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";
/// Docker's layer, not compressed.
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
const DOCKER_FOREIGN_LAYER: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar";

/// Manifests that a registry is asked for, the preferred ones first.
pub const ACCEPTED: [&str; 6] =
    [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST, DOCKER_SCHEMA1_SIGNED, DOCKER_SCHEMA1];

impl MediaType {
    /// What a media type says.
    pub fn of(text: &str) -> Self {
        match text {
            OCI_MANIFEST => Self::Manifest(Format::Oci),
            OCI_INDEX => Self::Index(Format::Oci),
            OCI_CONFIG => Self::Config(Format::Oci),
            OCI_EMPTY => Self::Empty,
            DOCKER_MANIFEST => Self::Manifest(Format::Docker),
            DOCKER_LIST => Self::Index(Format::Docker),
            DOCKER_CONFIG => Self::Config(Format::Docker),
            DOCKER_SCHEMA1 | DOCKER_SCHEMA1_SIGNED => Self::Schema1,
            _ => layer(text).map_or(Self::Other, Self::Layer),
        }
    }
}

fn layer(text: &str) -> Option<LayerType> {
    let (plain, encrypted) = match text.strip_suffix("+encrypted") {
        Some(plain) => (plain, true),
        None => (text, false),
    };
    // The longer names are not prefixes of each other. Docker has no zstd: others have made it up.
    let families = [
        (OCI_LAYER, Format::Oci, true, "+"),
        (OCI_FOREIGN_LAYER, Format::Oci, false, "+"),
        (DOCKER_LAYER, Format::Docker, true, "."),
        (DOCKER_FOREIGN_LAYER, Format::Docker, false, "."),
    ];
    families.into_iter().find_map(|(base, format, distributable, separator)| {
        let suffix = plain.strip_prefix(base)?;
        let compression = match suffix.strip_prefix(separator) {
            None if suffix.is_empty() => Compression::None,
            Some("gzip") => Compression::Gzip,
            Some("zstd") => Compression::Zstd,
            _ => return None,
        };
        Some(LayerType { format, compression, distributable, encrypted })
    })
}

/// Whether a text has the form of a media type: RFC 6838, section 4.2, without parameters.
pub fn is_media_type(text: &str) -> bool {
    let is_name = |name: &str| {
        let bytes = name.as_bytes();
        bytes.first().is_some_and(u8::is_ascii_alphanumeric)
            && bytes.len() <= 127
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(byte))
    };
    text.split_once('/').is_some_and(|(kind, subtype)| is_name(kind) && is_name(subtype))
}

/// The media type of a `Content-Type` header: without parameters. Types that say nothing of a
/// manifest (`application/json`, text, bytes) are empty.
pub fn from_header(header: &str) -> &str {
    let text = header.split(';').next().unwrap_or(header).trim();
    match text {
        "application/json" | "application/octet-stream" | "binary/octet-stream" | "text/plain" => {
            ""
        }
        text => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_known_by_their_types() {
        let check = |text: &str, format, compression, distributable, encrypted| {
            let expected = LayerType { format, compression, distributable, encrypted };
            assert_eq!(MediaType::of(text), MediaType::Layer(expected), "{text}");
        };
        use Compression::{Gzip, None, Zstd};
        check(OCI_LAYER, Format::Oci, None, true, false);
        check(OCI_LAYER_GZIP, Format::Oci, Gzip, true, false);
        check(OCI_LAYER_ZSTD, Format::Oci, Zstd, true, false);
        check(&format!("{OCI_LAYER_GZIP}+encrypted"), Format::Oci, Gzip, true, true);
        check(&format!("{OCI_FOREIGN_LAYER}+zstd"), Format::Oci, Zstd, false, false);
        check(DOCKER_LAYER_GZIP, Format::Docker, Gzip, true, false);
        check(&format!("{DOCKER_LAYER}.zstd"), Format::Docker, Zstd, true, false);
        check(&format!("{DOCKER_FOREIGN_LAYER}.gzip"), Format::Docker, Gzip, false, false);
        for other in [
            "",
            "x/y",
            "application/vnd.oci.image.layer.v1.tar+xz",
            "application/vnd.oci.image.layer.v1.target",
        ] {
            assert_eq!(MediaType::of(other), MediaType::Other, "{other}");
        }
        for known in ACCEPTED {
            assert_ne!(MediaType::of(known), MediaType::Other);
            assert!(is_media_type(known));
        }
    }

    #[test]
    fn headers_have_parameters_and_say_nothing() {
        assert_eq!(
            from_header("application/vnd.oci.image.index.v1+json; charset=utf-8"),
            OCI_INDEX
        );
        assert_eq!(from_header(" text/plain;x"), "");
        assert!(
            !is_media_type("x")
                && !is_media_type("x/")
                && !is_media_type("x/y/z")
                && !is_media_type("x/y;z")
        );
    }
}
