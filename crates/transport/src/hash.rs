//! Content and its digest.

use crate::error::{Error, ErrorKind, Result};
use oci::image::{Document, MediaType, SIZE_LIMIT_BYTES, schema1};
use oci::{Algorithm, Digest};
use sha2::Digest as _;
use std::io::{self, Read};

/// A hash that grows with its content.
#[derive(Clone)]
pub enum Hasher {
    /// What everything uses.
    Sha256(sha2::Sha256),
    /// What an implementation may use.
    Sha512(sha2::Sha512),
}

impl Hasher {
    /// The hash of nothing.
    pub fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(sha2::Sha512::new()),
        }
    }

    /// The hash function.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sha256(_) => Algorithm::Sha256,
            Self::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// Adds content.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Sha512(hash) => hash.update(bytes),
        }
    }

    /// The digest of all that was added.
    pub fn finish(self) -> Digest {
        let digest = match self {
            Self::Sha256(hash) => Digest::new(Algorithm::Sha256, &hash.finalize()),
            Self::Sha512(hash) => Digest::new(Algorithm::Sha512, &hash.finalize()),
        };
        digest.expect("the hash of an algorithm has its length")
    }
}

/// The digest of some bytes.
pub fn digest_of(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish()
}

/// Content on its way: whoever reads it to its end knows that it is what the digest says, or gets an
/// error instead of the end.
pub struct Verified<R> {
    inner: R,
    hasher: Option<Hasher>,
    expected: Digest,
    /// What is still to come.
    left: Option<u64>,
}

impl<R: Read> Verified<R> {
    /// Content that should have a digest and, if that is known, a size in bytes.
    pub fn new(inner: R, expected: Digest, size: Option<u64>) -> Self {
        let hasher = Some(Hasher::new(expected.algorithm()));
        Self { inner, hasher, expected, left: size }
    }

    fn refuse(&self, what: &str) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, format!("blob {}: {what}", self.expected))
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if count > 0 {
            if let Some(left) = &mut self.left {
                *left = match left.checked_sub(count as u64) {
                    Some(left) => left,
                    None => return Err(self.refuse("is larger than announced")),
                };
            }
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&buffer[..count]);
            }
            return Ok(count);
        }
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.left.is_some_and(|left| left > 0) {
            return Err(self.refuse("ends too early"));
        }
        match self.hasher.take().map(Hasher::finish) {
            Some(found) if found != self.expected => {
                Err(self.refuse(&format!("has the digest {found}")))
            }
            _ => Ok(0),
        }
    }
}

/// Content on its way that nobody knows yet: what it was is known at its end.
pub struct Hashed<R> {
    inner: R,
    hasher: Hasher,
    size: u64,
}

impl<R: Read> Hashed<R> {
    /// Content of any kind.
    pub fn new(inner: R) -> Self {
        Self { inner, hasher: Hasher::new(Algorithm::Sha256), size: 0 }
    }

    /// The digest of what was read so far.
    pub fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }

    /// What was read.
    pub fn finish(self, media_type: &str) -> oci::image::Descriptor {
        oci::image::Descriptor::new(media_type, self.hasher.finish(), self.size)
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.size += count as u64;
        Ok(count)
    }
}

/// Reads a manifest, and refuses it when it is not what was asked for. `claimed` is the media type it
/// came with, or empty.
pub fn verify_manifest(
    bytes: Vec<u8>,
    claimed: &str,
    expected: Option<&Digest>,
) -> Result<Document> {
    let algorithm = expected.map_or(Algorithm::Sha256, Digest::algorithm);
    if bytes.len() > SIZE_LIMIT_BYTES {
        return Err(Error::new(ErrorKind::Invalid, "the manifest is larger than 4 MiB"));
    }
    let raw = digest_of(algorithm, &bytes);
    // Of docker's schema 1, the digest is that of what was signed.
    let digest = match Document::read(bytes, claimed, raw) {
        Ok(document) if MediaType::of(document.media_type()) == MediaType::Schema1 => {
            let payload = schema1::payload(document.bytes())?;
            let digest = digest_of(algorithm, &payload);
            Document::read(document.bytes().to_vec(), claimed, digest)?
        }
        other => other?,
    };
    match expected {
        Some(expected) if digest.digest() != expected => {
            let text = format!("manifest {expected}: has the digest {}", digest.digest());
            Err(Error::new(ErrorKind::Corrupt, text))
        }
        _ => Ok(digest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: &[u8] = b"some content";

    fn read_all(content: &[u8], digest: Digest, size: Option<u64>) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        Verified::new(content, digest, size).read_to_end(&mut all)?;
        Ok(all)
    }

    #[test]
    fn content_is_read_to_its_end_only_when_it_is_right() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let digest = digest_of(algorithm, CONTENT);
            assert_eq!(read_all(CONTENT, digest, None).unwrap(), CONTENT);
            assert_eq!(read_all(CONTENT, digest, Some(12)).unwrap(), CONTENT);
            for (content, size) in [
                (&CONTENT[..11], None),
                (&CONTENT[..11], Some(12)),
                (CONTENT, Some(11)),
                (CONTENT, Some(13)),
                (b"some Content", Some(12)),
                (b"", None),
                (b"some content ", None),
            ] {
                let error = read_all(content, digest, size).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{size:?}");
            }
        }
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest_of(Algorithm::Sha256, b"").to_string(), empty);
        assert_eq!(read_all(b"", empty.parse().unwrap(), Some(0)).unwrap(), b"");
    }

    #[test]
    fn g5_the_digest_that_was_asked_for_wins() {
        let text = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
        let digest = digest_of(Algorithm::Sha256, text);
        let read = |bytes: &[u8], expected| verify_manifest(bytes.to_vec(), "", expected);
        assert_eq!(read(text, None).unwrap().digest(), &digest);
        assert_eq!(read(text, Some(&digest)).unwrap().bytes(), text);
        let other = [&text[..], b" "].concat();
        assert_eq!(read(&other, Some(&digest)).unwrap_err().kind(), ErrorKind::Corrupt);
        let long = digest_of(Algorithm::Sha512, text);
        assert_eq!(read(text, Some(&long)).unwrap().digest(), &long);
        assert_eq!(read(&other, Some(&long)).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
