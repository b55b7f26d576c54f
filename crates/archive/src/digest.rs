//! Digests of streams.

use sha2::{Digest as _, Sha256, Sha512};

/// Which digests of a stream are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sum {
    /// None: somebody else verifies it.
    None,
    /// SHA-256.
    #[default]
    Sha256,
    /// And SHA-512, where some reference needs it: it takes as long again.
    Both,
}

/// What a stream was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Its length.
    pub bytes: u64,
    /// SHA-256, where it was asked for.
    pub sha256: Option<[u8; 32]>,
    /// SHA-512, where it was asked for.
    pub sha512: Option<[u8; 64]>,
}

/// Digests in the making.
#[derive(Clone, Debug)]
pub struct Summing {
    bytes: u64,
    sha256: Option<Sha256>,
    sha512: Option<Sha512>,
}

impl Summing {
    /// Of nothing yet.
    pub fn new(sum: Sum) -> Self {
        let sha256 = (sum != Sum::None).then(Sha256::new);
        Self { bytes: 0, sha256, sha512: (sum == Sum::Both).then(Sha512::new) }
    }

    /// Takes more.
    pub fn update(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(bytes);
        }
    }

    /// The end.
    pub fn finish(self) -> Summary {
        Summary {
            bytes: self.bytes,
            sha256: self.sha256.map(|sha256| sha256.finalize().into()),
            sha512: self.sha512.map(|sha512| sha512.finalize().into()),
        }
    }
}
