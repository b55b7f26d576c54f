//! `oci:DIRECTORY[:NAME]`, `oci:DIRECTORY:@POSITION`, `oci:DIRECTORY@DIGEST`.

use crate::error::{Error, ErrorKind, Result};
use crate::place::read_position;
use oci::Digest;
use std::fmt;
use std::path::PathBuf;

/// Longest name of an image in a layout.
const NAME_LIMIT_BYTES: usize = 1024;

/// An image in a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The layout.
    pub directory: PathBuf,
    /// Which of its images.
    pub select: Select,
}

/// How an image of a layout is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Select {
    /// The only one that there is.
    Only,
    /// That with a name.
    Name(String),
    /// That at a position of the index, from 0.
    Position(usize),
    /// That with a digest.
    Digest(Digest),
}

impl Place {
    /// Reads what stands behind `oci:`. The directory's name has no colon, as in containers/image.
    pub fn parse(text: &str) -> Result<Self> {
        Self::parse_of("oci", text)
    }

    /// As [`Place::parse`], for another transport with the same grammar.
    pub(crate) fn parse_of(transport: &str, text: &str) -> Result<Self> {
        let refuse =
            |why: &str| Error::new(ErrorKind::Invalid, format!("{transport}:{text}: {why}"));
        if let Some((directory, digest)) = text.rsplit_once('@')
            && let Ok(digest) = Digest::parse(digest)
            && !directory.contains(':')
        {
            return Ok(Self { directory: directory.into(), select: Select::Digest(digest) });
        }
        let (directory, name) = text.split_once(':').unwrap_or((text, ""));
        if directory.is_empty() {
            return Err(refuse("there is no path"));
        }
        let select = match name.strip_prefix('@') {
            _ if name.is_empty() => Select::Only,
            Some(position) => Select::Position(
                read_position(position).ok_or_else(|| refuse("the position is no number"))?,
            ),
            None if is_name(name) => Select::Name(name.to_owned()),
            None => return Err(refuse("the name is none of an image in a layout")),
        };
        Ok(Self { directory: directory.into(), select })
    }

    /// What stands behind the transport.
    pub(crate) fn details(&self) -> String {
        let directory = self.directory.display();
        match &self.select {
            Select::Only => directory.to_string(),
            Select::Name(name) => format!("{directory}:{name}"),
            Select::Position(position) => format!("{directory}:@{position}"),
            Select::Digest(digest) => format!("{directory}@{digest}"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "oci:{}", self.details())
    }
}

/// The image specification's grammar of names: letters and digits, with one of `-._:@+` or `--` between,
/// in components that slashes separate.
fn is_name(name: &str) -> bool {
    let is_component = |part: &str| {
        let bytes = part.as_bytes();
        let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let mut separators = bytes.split(u8::is_ascii_alphanumeric).filter(|it| !it.is_empty());
        edge(bytes.first())
            && edge(bytes.last())
            && separators.all(|it| it == b"--" || it.len() == 1 && b"-._:@+".contains(&it[0]))
    };
    name.len() <= NAME_LIMIT_BYTES && name.split('/').all(is_component)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        let check = |text: &str, directory: &str, select: Select| {
            let place = Place::parse(text).unwrap();
            assert_eq!(place, Place { directory: directory.into(), select });
            assert_eq!(place.to_string(), format!("oci:{text}"));
        };
        let name = |name: &str| Select::Name(name.into());
        check("/a/b", "/a/b", Select::Only);
        check("a", "a", Select::Only);
        check("/a:latest", "/a", name("latest"));
        check("/a:x.example:5000/y--z:1", "/a", name("x.example:5000/y--z:1"));
        check("/a:@12", "/a", Select::Position(12));
        let digest = format!("sha256:{}", "a".repeat(64));
        check(&format!("/a@{digest}"), "/a", Select::Digest(digest.parse().unwrap()));
        check(&format!("/a:x@{digest}"), "/a", name(&format!("x@{digest}")));
        for text in [
            "",
            ":x",
            "/a:@",
            "/a:@-1",
            "/a:@+1",
            "/a:-x",
            "/a:x..y",
            "/a:x y",
            "/a:x/",
            "/a:@99999999999999999999",
        ] {
            assert!(Place::parse(text).is_err(), "{text}");
        }
    }
}
