//! Places that are called by docker's names.

use crate::error::{Error, ErrorKind, Result};
use oci::{Algorithm, Digest, Reference};
use std::fmt;
use std::path::PathBuf;

/// How skopeo writes that an image gets no tag.
const UNKNOWN_DIGEST: &str = "@@unknown-digest@@";

/// An image of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryImage {
    /// The name, with a tag or a digest unless the image is `unnamed`.
    pub name: Reference,
    /// The image is pushed without a tag (`@@unknown-digest@@`): its digest alone leads to it. Such a
    /// place cannot be read from.
    pub unnamed: bool,
}

impl RegistryImage {
    /// Reads what stands behind `docker://`.
    pub fn parse(text: &str) -> Result<Self> {
        let refuse = |why: &str| Error::new(ErrorKind::Invalid, format!("docker://{text}: {why}"));
        if text.is_empty() {
            return Err(refuse("there is no name"));
        }
        if let Some(name) = text.strip_suffix(UNKNOWN_DIGEST) {
            let name = Reference::parse(name)?;
            if name.tag().is_some() || name.digest().is_some() {
                return Err(refuse("an unknown digest stands behind a repository alone"));
            }
            return Ok(Self { name, unnamed: true });
        }
        Ok(Self { name: Reference::parse(text)?.or_latest(), unnamed: false })
    }
}

impl fmt::Display for RegistryImage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = if self.unnamed { UNKNOWN_DIGEST } else { "" };
        write!(formatter, "{}{end}", self.name.familiar())
    }
}

/// An image in an archive of `docker save`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerArchive {
    /// The archive.
    pub path: PathBuf,
    /// Which of its images, or how the one is called that is written.
    pub select: ArchiveSelect,
}

/// How an image of an archive is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchiveSelect {
    /// The only one that there is.
    Only,
    /// That with a name, which has a tag and no digest.
    Name(Reference),
    /// That at a position of the manifest, from 0.
    Position(usize),
}

impl DockerArchive {
    /// Reads what stands behind `docker-archive:`. The path has no colon, as in containers/image.
    pub fn parse(text: &str) -> Result<Self> {
        let refuse =
            |why: &str| Error::new(ErrorKind::Invalid, format!("docker-archive:{text}: {why}"));
        let (path, name) = match text.split_once(':') {
            Some((path, name)) => (path, Some(name)),
            None => (text, None),
        };
        if path.is_empty() {
            return Err(refuse("there is no path"));
        }
        let select = match name {
            None => ArchiveSelect::Only,
            Some("") => return Err(refuse("there is no name behind the colon")),
            Some(name) => match name.strip_prefix('@') {
                Some(position) => ArchiveSelect::Position(
                    read_position(position).ok_or_else(|| refuse("the position is no number"))?,
                ),
                None => ArchiveSelect::Name(archive_name(name)?),
            },
        };
        Ok(Self { path: path.into(), select })
    }
}

/// Reads a name that an image of an archive may have: archives know names with tags only.
fn archive_name(text: &str) -> Result<Reference> {
    let name = Reference::parse(text)?;
    match name.digest() {
        None => Ok(name.or_latest()),
        Some(_) => {
            let text = format!("`{text}`: images of docker's archives have tags, not digests");
            Err(Error::new(ErrorKind::Invalid, text))
        }
    }
}

/// Reads a number as it is written: no sign.
pub(crate) fn read_position(text: &str) -> Option<usize> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

impl fmt::Display for DockerArchive {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.path.display())?;
        match &self.select {
            ArchiveSelect::Only => Ok(()),
            ArchiveSelect::Name(name) => write!(formatter, ":{name}"),
            ArchiveSelect::Position(position) => write!(formatter, ":@{position}"),
        }
    }
}

/// An image of dockerd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DaemonImage {
    /// By its name, which has a tag or a digest.
    Name(Reference),
    /// By its ID: the digest of its configuration, or of its manifest in newer stores.
    Id(Digest),
}

impl DaemonImage {
    /// Reads what stands behind `docker-daemon:`.
    pub fn parse(text: &str) -> Result<Self> {
        let refuse =
            |why: &str| Error::new(ErrorKind::Invalid, format!("docker-daemon:{text}: {why}"));
        if oci::reference::is_identifier(text) {
            let hint = format!("write `docker-daemon:sha256:{text}`");
            return Err(refuse("an ID is written with its algorithm").with_hint(hint));
        }
        // A name with a tag may look like a digest: only one in full is taken for an ID.
        match Digest::parse(text) {
            Ok(id) if id.algorithm() == Algorithm::Sha256 => return Ok(Self::Id(id)),
            Ok(_) => return Err(refuse("IDs of docker are of sha256 only")),
            Err(_) => {}
        }
        let name = Reference::parse(text)?;
        if name.familiar_name() == Algorithm::Sha256.name() {
            return Err(refuse("the name is reserved for IDs, which have 64 digits"));
        }
        match (name.tag(), name.digest()) {
            (None, None) => {
                let hint = format!("write `docker-daemon:{text}:latest`");
                Err(refuse("there is neither tag nor digest").with_hint(hint))
            }
            (Some(_), Some(_)) => Err(refuse("there is a tag and a digest; write one of them")),
            _ => Ok(Self::Name(name)),
        }
    }
}

impl fmt::Display for DaemonImage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => formatter.write_str(&name.familiar()),
            Self::Id(id) => write!(formatter, "{id}"),
        }
    }
}
