//! Where things are below the root. Paths are made of digests, identifiers and random names only.

use crate::error::{Error, Kind, Result};
use oci::{Algorithm, Digest};
use std::fmt;

pub(crate) const RECORD: &str = "store.json";
pub(crate) const BLOBS: &str = "blobs";
pub(crate) const CLAIMS: &str = "claims";
pub(crate) const CONTAINERS: &str = "containers";
pub(crate) const LAYERS: &str = "layers";
pub(crate) const NAMES: &str = "names";
pub(crate) const STAGING: &str = "staging";
pub(crate) const TRASH: &str = "trash";

/// The record of a layer or container.
pub(crate) const META: &str = "meta.json";
pub(crate) const INDEX: &str = "index";
pub(crate) const DIFF: &str = "diff";
/// Contents that a later entry of the same tar replaced: only the tar has them.
pub(crate) const KEPT: &str = "kept";
/// Directories that the tar needs and has no entries for.
pub(crate) const IMPLIED: &str = "implied";
pub(crate) const UPPER: &str = "upper";
pub(crate) const WORK: &str = "work";
pub(crate) const NEEDS: &str = "needs";

/// Longest identifier of a container: what a host name may have is less.
const ID_LIMIT_BYTES: usize = 128;

/// The directory of a blob.
pub(crate) fn blob_dir(digest: &Digest) -> String {
    format!("{BLOBS}/{}/{}", digest.algorithm().name(), &digest.hex()[..2])
}

pub(crate) fn blob(digest: &Digest) -> String {
    format!("{}/{}", blob_dir(digest), digest.hex())
}

pub(crate) fn claim(text: &str) -> String {
    format!("{CLAIMS}/{}", text.replace(':', "-"))
}

pub(crate) fn layer(key: &LayerKey) -> String {
    format!("{LAYERS}/{key}")
}

pub(crate) fn container(id: &str) -> String {
    format!("{CONTAINERS}/{id}")
}

/// Directory and file of a name: references have slashes and are long, so it is their hash.
pub(crate) fn name(reference: &str) -> (String, String) {
    let hex = crate::blob::digest_of(reference.as_bytes()).hex();
    (format!("{NAMES}/{}", &hex[..2]), format!("{NAMES}/{}/{hex}", &hex[..2]))
}

/// An identifier that is also a name of a directory.
pub(crate) fn check_id(id: &str) -> Result<()> {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let starts = id.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    match starts && id.len() <= ID_LIMIT_BYTES && id.bytes().all(is_fine) {
        true => Ok(()),
        false => {
            let shown: String = id.chars().take(ID_LIMIT_BYTES).collect();
            let text = format!("invalid identifier {shown:?}");
            Err(Error::new(Kind::Invalid, text)
                .with_hint("letters, digits, `_`, `.` and `-`, at most 128 of them"))
        }
    }
}

/// What a layer is stored under: the digest of its tar, and what it took from the layers below it.
///
/// The same tar on two images is one layer. Only a tar that has entries without entries for their
/// directories is different on different images: it takes the directories' attributes from below, and
/// `parents` is a hash of those.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayerKey {
    /// The digest of the tar.
    pub diff_id: Digest,
    /// The hash of what was taken from below.
    pub parents: Option<u64>,
}

impl LayerKey {
    /// Reads the name of a layer's directory.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (algorithm, hex) = (Algorithm::from_name(parts.next()?)?, parts.next()?);
        let diff_id = Digest::parse(&format!("{}:{hex}", algorithm.name())).ok()?;
        let parents = match parts.next() {
            Some(hash) if hash.len() == 16 => Some(u64::from_str_radix(hash, 16).ok()?),
            Some(_) => return None,
            None => None,
        };
        let key = Self { diff_id, parents };
        (key.to_string() == text).then_some(key)
    }
}

impl From<Digest> for LayerKey {
    fn from(diff_id: Digest) -> Self {
        Self { diff_id, parents: None }
    }
}

impl fmt::Display for LayerKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.diff_id.algorithm().name(), self.diff_id.hex())?;
        match self.parents {
            Some(hash) => write!(formatter, "-{hash:016x}"),
            None => Ok(()),
        }
    }
}
