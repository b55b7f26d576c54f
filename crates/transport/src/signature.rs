//! Signatures as they are kept with images: carried along, not checked.
//!
//! In a file a signature is containers/image's: an OpenPGP message as it is, or a zero byte, the name of a
//! form and a line feed before it (containers-signature(5)). In a registry, sigstore's are the layers of an
//! artifact below the tag `ALGORITHM-HEX.sig` of the image's digest; cosign keeps statements (`.att`) and
//! lists of parts (`.sbom`) in the same way.

use crate::error::{Error, ErrorKind, Result};
use oci::image::{Descriptor, Document, ImageConfig, Manifest, media_type};
use oci::{Algorithm, Digest, Map};
use std::collections::BTreeSet;

/// Most signatures of one image, and largest of them: containers/image's numbers.
pub const SIGNATURES_LIMIT: u32 = 128;
/// See [`SIGNATURES_LIMIT`].
pub const SIGNATURE_LIMIT_BYTES: usize = 4 << 20;
/// What an image has below tags of its own.
pub const COMPANIONS: [Companion; 3] =
    [Companion::Signatures, Companion::Attestations, Companion::PartLists];

const SIMPLE: &str = "simple-signing";
const SIGSTORE: &str = "sigstore-json";

/// A signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signature {
    /// Simple signing: an OpenPGP message, with what was signed within.
    Simple(Vec<u8>),
    /// Sigstore's: what was signed, and the signature beside it.
    Sigstore(Sigstore),
}

/// One of sigstore's signatures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sigstore {
    /// The media type of what was signed.
    pub media_type: String,
    /// What was signed.
    pub payload: Vec<u8>,
    /// The signature, certificates, entries of logs.
    pub annotations: Map,
}

/// What cosign keeps of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Companion {
    /// `.sig`
    Signatures,
    /// `.att`
    Attestations,
    /// `.sbom`
    PartLists,
}

oci::document! {
    File {
        mime_type: String => always,
        /// In base 64.
        payload: String => always,
        annotations: Map => always,
    }
}

impl Companion {
    fn suffix(self) -> &'static str {
        match self {
            Self::Signatures => "sig",
            Self::Attestations => "att",
            Self::PartLists => "sbom",
        }
    }

    /// The tag of an image's companion.
    pub fn tag(self, image: &Digest) -> String {
        format!("{}-{}.{}", image.algorithm().name(), image.hex(), self.suffix())
    }

    /// Whether a tag is that of some image's companion, or of its referrers.
    pub fn is_tag(tag: &str) -> bool {
        let (name, suffix) = tag.split_once('.').unwrap_or((tag, ""));
        let is_known = suffix.is_empty() || COMPANIONS.iter().any(|it| it.suffix() == suffix);
        let digest = name.replacen('-', ":", 1);
        is_known && Digest::parse(&digest).is_ok_and(|it| it.algorithm() == Algorithm::Sha256)
    }
}

impl Signature {
    /// Reads a file.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let refuse = |why: &str| Err(Error::new(ErrorKind::Invalid, format!("signature: {why}")));
        match bytes {
            [] => refuse("empty"),
            [0, rest @ ..] => {
                let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                    return refuse("has no form");
                };
                let (form, content) = (&rest[..end], &rest[end + 1..]);
                match form {
                    form if form == SIMPLE.as_bytes() => Ok(Self::Simple(content.to_vec())),
                    form if form == SIGSTORE.as_bytes() => Sigstore::read(content),
                    _ => refuse("has a form that is not known"),
                }
            }
            // Packets of OpenPGP: compressed data, one-pass signatures and signatures, in both of their
            // forms (RFC 4880, section 4.2).
            [0x88..=0x8b | 0x90..=0x93 | 0xa0..=0xa3 | 0xc2 | 0xc4 | 0xc8, ..] => {
                Ok(Self::Simple(bytes.to_vec()))
            }
            _ => refuse("is no message of OpenPGP"),
        }
    }

    /// The content of a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Simple(message) => message.clone(),
            Self::Sigstore(signature) => {
                let file = File {
                    mime_type: signature.media_type.clone(),
                    payload: oci::base64::encode(&signature.payload),
                    annotations: signature.annotations.clone(),
                };
                let text = oci::json::write(&file);
                [&b"\0"[..], SIGSTORE.as_bytes(), b"\n", text.as_bytes()].concat()
            }
        }
    }
}

impl Sigstore {
    fn read(text: &[u8]) -> Result<Signature> {
        let refuse = |why: &str| Error::new(ErrorKind::Invalid, format!("signature: {why}"));
        let file: File = oci::json::read(text).map_err(|error| refuse(&error))?;
        let payload = oci::base64::decode(&file.payload);
        Ok(Signature::Sigstore(Self {
            media_type: file.mime_type,
            payload: payload.ok_or_else(|| refuse("payload: not in base 64"))?,
            annotations: file.annotations,
        }))
    }

    /// The layer of a companion that it is.
    pub fn layer(&self) -> Descriptor {
        let digest = crate::hash::digest_of(Algorithm::Sha256, &self.payload);
        Descriptor {
            annotations: self.annotations.clone(),
            ..Descriptor::new(&self.media_type, digest, self.payload.len() as u64)
        }
    }
}

/// A companion with layers, and its configuration: what cosign and containers/image write. Layers that are
/// there already stay as they are.
pub fn companion_of(there: Option<&Manifest>, more: &[Descriptor]) -> (Manifest, String) {
    let mut layers = there.map(|manifest| manifest.layers.clone()).unwrap_or_default();
    let same = |one: &Descriptor, other: &Descriptor| {
        one.digest == other.digest
            && one.media_type == other.media_type
            && one.annotations == other.annotations
    };
    for layer in more {
        if !layers.iter().any(|known| same(known, layer)) {
            layers.push(layer.clone());
        }
    }
    let config = ImageConfig {
        rootfs: oci::image::RootFs {
            kind: "layers".into(),
            diff_ids: layers.iter().map(|layer| layer.digest.clone()).collect(),
        },
        ..ImageConfig::default()
    };
    let config = oci::json::write(&config);
    let digest = crate::hash::digest_of(Algorithm::Sha256, config.as_bytes());
    let manifest = Manifest {
        schema_version: 2,
        media_type: media_type::OCI_MANIFEST.into(),
        config: Descriptor::new(media_type::OCI_CONFIG, digest, config.len() as u64),
        layers,
        ..there.cloned().unwrap_or_default()
    };
    (manifest, config)
}

/// Whether a companion has everything that another one has.
pub fn includes(there: &Document, other: &Document) -> bool {
    let layers = |document: &Document| -> BTreeSet<(String, String)> {
        let layers = document.manifest().map(|it| &it.layers[..]).unwrap_or_default();
        let key = |it: &Descriptor| (it.digest.to_string(), oci::json::write(&it.annotations));
        layers.iter().map(key).collect()
    };
    layers(there).is_superset(&layers(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_and_written() {
        let pgp = b"\xa3\x01message";
        let simple = Signature::read(pgp).unwrap();
        assert_eq!(simple, Signature::Simple(pgp.to_vec()));
        assert_eq!(simple.to_bytes(), pgp);
        let named = [b"\0simple-signing\n", &pgp[..]].concat();
        assert_eq!(Signature::read(&named).unwrap(), simple);
        let text = b"\0sigstore-json\n{\"mimeType\":\"a/b\",\"payload\":\"eHk=\",\"annotations\":{\"k\":\"v\"}}";
        let signature = Signature::read(text).unwrap();
        assert_eq!(signature.to_bytes(), text);
        let Signature::Sigstore(sigstore) = signature else { panic!("{signature:?}") };
        assert_eq!(sigstore.payload, b"xy");
        let digest = crate::hash::digest_of(Algorithm::Sha256, b"xy");
        assert_eq!(sigstore.layer().digest, digest.into());
        for broken in [
            &b""[..],
            b"\0",
            b"\0sigstore-json",
            b"\0sigstore-json\n{",
            b"\0sigstore-json\n{\"payload\":\"?\"}",
            b"\0other\nx",
            b"{}",
            b"-----BEGIN PGP MESSAGE-----",
        ] {
            assert_eq!(Signature::read(broken).unwrap_err().kind(), ErrorKind::Invalid);
        }
    }

    #[test]
    fn tags_of_companions_are_known() {
        let digest = crate::hash::digest_of(Algorithm::Sha256, b"");
        for companion in COMPANIONS {
            assert!(Companion::is_tag(&companion.tag(&digest)));
        }
        assert!(Companion::is_tag(&format!("sha256-{}", digest.hex())));
        for other in ["latest", "sha256-12.sig", "1.sig", "sha256-", "sig"] {
            assert!(!Companion::is_tag(other), "{other}");
        }
        assert!(!Companion::is_tag(&format!("sha256-{}.txt", digest.hex())));
    }

    #[test]
    fn companions_grow_and_nothing_is_there_twice() {
        let sign = |text: &str| Sigstore {
            media_type: "a/b".into(),
            payload: b"payload".to_vec(),
            annotations: [("k".to_owned(), text.to_owned())].into_iter().collect(),
        };
        let (one, other) = (sign("1").layer(), sign("2").layer());
        let (first, config) = companion_of(None, std::slice::from_ref(&one));
        assert!(config.contains(&one.digest.to_string()));
        let (second, _) = companion_of(Some(&first), &[one.clone(), other.clone()]);
        assert_eq!(second.layers, [one, other]);
        assert_eq!(second.config.kind(), oci::image::MediaType::Config(oci::image::Format::Oci));
    }
}
