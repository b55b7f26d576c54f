//! What requests name: parsed once, and the only things that paths are made of.

use crate::refusal::{Code, Refusal};
use oci::reference::{NAME_LIMIT_BYTES, is_component, is_tag};
use oci::{Algorithm, Digest, ErrorKind};
use std::fmt;

/// A repository: components of small letters and digits. No text of it leads anywhere as a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository(String);

impl Repository {
    /// Reads a repository's name.
    pub fn parse(text: &str) -> Option<Self> {
        let is_name = text.len() <= NAME_LIMIT_BYTES && text.split('/').all(is_component);
        is_name.then(|| Self(text.to_owned()))
    }

    /// One name of a directory for the whole: `+` is in no repository's name.
    pub(crate) fn directory(&self) -> String {
        self.0.replace('/', "+")
    }

    /// The repository of a directory's name.
    pub(crate) fn from_directory(name: &str) -> Option<Self> {
        Self::parse(&name.replace('+', "/")).filter(|_| !name.contains('/'))
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

impl Tag {
    /// Reads a tag.
    pub fn parse(text: &str) -> Option<Self> {
        is_tag(text).then(|| Self(text.to_owned()))
    }

    /// The tag's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What a manifest is asked for by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// A name that may lead to another manifest tomorrow.
    Tag(Tag),
    /// The manifest itself.
    Digest(Digest),
}

impl Selector {
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        if text.contains(':') {
            return parse_digest(text).map(Self::Digest);
        }
        let tag = Tag::parse(text).map(Self::Tag);
        tag.ok_or_else(|| Refusal::bad(Code::ManifestInvalid, "neither a tag nor a digest"))
    }
}

/// The name of an upload: a random UUID. Whoever knows it and may write to its repository goes on
/// with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UploadId([u8; 16]);

impl UploadId {
    /// A new one (RFC 9562, version 4).
    pub(crate) fn random() -> sys::Result<Self> {
        let mut bytes = [0; 16];
        sys::time::random(&mut bytes)?;
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Ok(Self(bytes))
    }

    /// Reads what [`UploadId`] displays, and nothing else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        let digits = text.replace('-', "");
        if digits.len() != 32 || !digits.is_ascii() {
            return None;
        }
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).ok()?;
        }
        Some(Self(bytes)).filter(|id| id.to_string() == text)
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(formatter, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

/// A digest in a request. One that nobody here can verify is as wrong as one that is none.
pub(crate) fn parse_digest(text: &str) -> Result<Digest, Refusal> {
    Digest::parse(text).map_err(|error| match error.kind() {
        ErrorKind::Unsupported => Refusal::bad(Code::DigestInvalid, "unsupported digest algorithm"),
        _ => Refusal::bad(Code::DigestInvalid, "not a digest"),
    })
}

/// A digest as the name of a file: `sha256-HEX`.
pub(crate) fn digest_file(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm().name(), digest.hex())
}

/// The digest that a file's name is.
pub(crate) fn file_digest(name: &str) -> Option<Digest> {
    let (algorithm, hex) = name.split_once('-')?;
    Algorithm::from_name(algorithm)?;
    Digest::parse(&format!("{algorithm}:{hex}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_names_and_lead_nowhere() {
        for fine in ["a", "library/debian", "a-b__c.d/0", "blobs/uploads"] {
            let repository = Repository::parse(fine).unwrap();
            assert_eq!(Repository::from_directory(&repository.directory()), Some(repository));
        }
        for bad in ["", ".", "..", "a/../b", "/a", "a/", "a//b", "A", "a+b", "a\0", "a%2fb", "_a"] {
            assert_eq!(Repository::parse(bad), None, "{bad:?}");
        }
        assert!(Repository::parse(&"a".repeat(255)).is_some());
        assert!(Repository::parse(&"a".repeat(256)).is_none());
        assert_eq!(Repository::from_directory("a/b"), None);
    }

    #[test]
    fn uploads_are_called_by_uuids() {
        let id = UploadId::random().unwrap();
        let text = id.to_string();
        assert_eq!(UploadId::parse(&text), Some(id));
        assert_eq!((text.len(), text.as_bytes()[14]), (36, b'4'));
        for bad in ["", "../../x", &text.to_uppercase(), &text.replace('-', ""), &text[1..]] {
            // Without a letter among the digits, capitals are the same.
            assert!(*bad == *text || UploadId::parse(bad).is_none(), "{bad:?}");
        }
        assert_eq!(UploadId::parse("+1+1+1+1-+1+1-+1+1-+1+1-+1+1+1+1+1+1"), None);
    }

    #[test]
    fn selectors_are_tags_or_digests() {
        assert!(matches!(Selector::parse("v1.0"), Ok(Selector::Tag(_))));
        let digest = format!("sha256:{}", "a".repeat(64));
        assert!(matches!(Selector::parse(&digest), Ok(Selector::Digest(_))));
        for bad in ["", ".a", "sha256:x", "md5:aa", "a b", "..", "a/b", &"a".repeat(129)] {
            assert_eq!(Selector::parse(bad).unwrap_err().status().as_u16(), 400, "{bad:?}");
        }
    }
}
