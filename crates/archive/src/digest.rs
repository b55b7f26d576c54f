//! Digests of streams.

use sha2::{Digest as _, Sha256, Sha512};

/// What a stream was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Its length.
    pub bytes: u64,
    /// SHA-256.
    pub sha256: [u8; 32],
    /// SHA-512, where it was asked for.
    pub sha512: Option<[u8; 64]>,
}

/// Digests in the making.
#[derive(Clone, Debug)]
pub struct Summing {
    bytes: u64,
    sha256: Sha256,
    sha512: Option<Sha512>,
}

impl Summing {
    /// Of nothing yet. SHA-512 only where some reference needs it: it takes as long again.
    pub fn new(sha512: bool) -> Self {
        Self { bytes: 0, sha256: Sha256::new(), sha512: sha512.then(Sha512::new) }
    }

    /// Takes more.
    pub fn update(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.sha256.update(bytes);
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(bytes);
        }
    }

    /// The end.
    pub fn finish(self) -> Summary {
        Summary {
            bytes: self.bytes,
            sha256: self.sha256.finalize().into(),
            sha512: self.sha512.map(|sha512| sha512.finalize().into()),
        }
    }
}
