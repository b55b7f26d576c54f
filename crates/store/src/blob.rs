//! Blobs: manifests, configurations, signatures; the bytes as they came.

use crate::error::{During, Error, Kind, Result};
use crate::files::{self, File};
use crate::limits::{BLOB_BYTES, COPY_BYTES};
use crate::store::Store;
use crate::{fault, layout};
use oci::{Algorithm, Digest};
use sha2::{Digest as _, Sha256, Sha512};
use std::io::Read;
use sys::{Fd, fs};

/// What is known of contents before they come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected {
    /// Their digest.
    pub digest: Option<Digest>,
    /// Their size: a descriptor's.
    pub size_bytes: Option<u64>,
}

impl From<Digest> for Expected {
    fn from(digest: Digest) -> Self {
        Self { digest: Some(digest), size_bytes: None }
    }
}

/// The SHA-256 digest of these bytes.
pub fn digest_of(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(bytes);
    hasher.finish()
}

/// Hashes with the algorithm of a digest.
pub(crate) enum Hasher {
    Sha256(Sha256),
    Sha512(Box<Sha512>),
}

impl Hasher {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(Box::default()),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> Digest {
        let digest = match self {
            Self::Sha256(hasher) => Digest::new(Algorithm::Sha256, &hasher.finalize()),
            Self::Sha512(hasher) => Digest::new(Algorithm::Sha512, &hasher.finalize()),
        };
        digest.expect("a hash has the length of its algorithm")
    }
}

/// Copies contents into a file and verifies them on the way.
pub(crate) fn receive(
    source: &mut dyn Read,
    into: &Fd,
    expected: Expected,
) -> Result<(Digest, u64)> {
    let limit = expected.size_bytes.unwrap_or(BLOB_BYTES);
    let algorithm = expected.digest.map_or(Algorithm::Sha256, |digest| digest.algorithm());
    let mut hasher = Hasher::new(algorithm);
    let mut buffer = vec![0; COPY_BYTES];
    let mut size = 0;
    loop {
        let count = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let text = format!("reading {}: {error}", shown(expected));
                return Err(Error::new(Kind::Source(error.kind()), text));
            }
        };
        size += count as u64;
        if size > limit {
            let text = format!("{}: more than {limit} bytes came", shown(expected));
            return Err(Error::corrupt(text));
        }
        hasher.update(&buffer[..count]);
        fs::write_all(into, &buffer[..count]).during(|| format!("writing {}", shown(expected)))?;
        fault::step("blob part written");
    }
    if expected.size_bytes.is_some_and(|expected| expected != size) {
        let text = format!("{}: {size} bytes came, not {limit}", shown(expected));
        return Err(Error::corrupt(text));
    }
    let digest = hasher.finish();
    match expected.digest {
        Some(expected) if expected != digest => {
            Err(Error::corrupt(format!("{expected}: what came is {digest}")))
        }
        _ => Ok((digest, size)),
    }
}

fn shown(expected: Expected) -> String {
    expected.digest.map_or_else(|| "contents".into(), |digest| digest.to_string())
}

impl Store {
    /// Size of a blob, if it is here. Whoever is going to rely on it asks [`crate::Work::has_blob`].
    pub fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        let path = layout::blob(digest);
        for root in self.roots() {
            match fs::stat_at(root, &path, fs::AT_SYMLINK_NOFOLLOW) {
                Ok(stat) => return Ok(Some(stat.st_size as u64)),
                Err(sys::Errno::ENOENT) => {}
                Err(errno) => return Err(Error::os(format!("looking for {digest}"), errno)),
            }
        }
        Ok(None)
    }

    /// Size of a blob in this store, not in the additional ones.
    pub(crate) fn own_blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        match fs::stat_at(self.root(), layout::blob(digest), fs::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat.st_size as u64)),
            Err(sys::Errno::ENOENT) => Ok(None),
            Err(errno) => Err(Error::os(format!("looking for {digest}"), errno)),
        }
    }

    /// Opens a blob. It stays readable whatever happens to the store.
    pub fn open_blob(&self, digest: &Digest) -> Result<File> {
        let path = layout::blob(digest);
        for root in self.roots() {
            match files::open_file(root, &path) {
                Err(error) if error.kind() == Kind::NotFound => {}
                result => return result.map(File),
            }
        }
        Err(Error::not_found(format!("{digest} is not in the store")))
    }

    /// Reads a blob of at most `limit_bytes`, and verifies it: a small one is hashed in no time.
    pub fn read_blob(&self, digest: &Digest, limit_bytes: usize) -> Result<Vec<u8>> {
        let file = self.open_blob(digest)?;
        let bytes = match fs::read_about(&file.0, 4095, limit_bytes) {
            Err(sys::Errno::EFBIG) => {
                let text = format!("{digest}: larger than {limit_bytes} bytes");
                return Err(Error::new(Kind::Limit, text));
            }
            result => result.during(|| format!("reading {digest}"))?,
        };
        verify(&bytes, digest)?;
        Ok(bytes)
    }
}

fn verify(bytes: &[u8], digest: &Digest) -> Result<()> {
    let mut hasher = Hasher::new(digest.algorithm());
    hasher.update(bytes);
    match hasher.finish() == *digest {
        true => Ok(()),
        false => Err(Error::corrupt(format!("{digest}: the stored bytes are others"))
            .with_hint("`tare fsck --repair` fetches them again")),
    }
}
