//! `containers-storage:[[DRIVER@ROOT+RUNROOT:OPTIONS]]NAME[:TAG][@DIGEST][@ID]`.

use crate::error::{Error, ErrorKind, Result};
use oci::{Digest, Reference};
use std::fmt;
use std::path::{Path, PathBuf};

/// Fewest digits of an ID that may stand for the whole: containers/image's number.
pub const ABBREVIATION_MINIMUM: usize = 3;
/// Most options of a store: containers/storage knows some dozens.
const OPTIONS_LIMIT: usize = 64;

/// An image in a store of containers/storage. It has a name or an ID, or both; then the image with the
/// ID must be one of the name's repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageImage {
    /// The store; `None` is the one that the caller's configuration says.
    pub store: Option<StorePlace>,
    /// The name, with a tag or a digest.
    pub name: Option<Reference>,
    /// The ID, or its beginning: at least [`ABBREVIATION_MINIMUM`] digits.
    pub id: Option<String>,
    /// The name could be the beginning of an ID. An image with such an ID comes before one with the
    /// name.
    pub maybe_id: Option<String>,
}

/// Where a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorePlace {
    /// The driver's name, if it is written.
    pub driver: Option<String>,
    /// The directory with the images, absolute.
    pub root: PathBuf,
    /// The directory with what is lost at a restart, absolute.
    pub run_root: Option<PathBuf>,
    /// The driver's options, as written: `overlay.imagestore=/x`.
    pub options: Vec<String>,
}

impl StorageImage {
    /// Reads what stands behind `containers-storage:`.
    pub fn parse(text: &str) -> Result<Self> {
        let refuse =
            |why: &str| Error::new(ErrorKind::Invalid, format!("containers-storage:{text}: {why}"));
        let (store, image) = match text.strip_prefix('[') {
            None => (None, text),
            Some(rest) => {
                let (store, image) =
                    rest.split_once(']').ok_or_else(|| refuse("the store has no `]`"))?;
                let store = StorePlace::parse(store).map_err(&refuse)?;
                (Some(store), image)
            }
        };
        let (name, id) = split_id(image).map_err(&refuse)?;
        let id = id.map(str::to_owned);
        if name.is_empty() {
            return match id {
                Some(_) => Ok(Self { store, name: None, id, maybe_id: None }),
                None => Err(refuse("there is no image")),
            };
        }
        if oci::reference::is_identifier(name) {
            return match id {
                None => Ok(Self { store, name: None, id: Some(name.to_owned()), maybe_id: None }),
                Some(_) => Err(refuse("there are two IDs")),
            };
        }
        let maybe_id = Some(name.to_owned()).filter(|name| id.is_none() && is_abbreviation(name));
        let name = Some(Reference::parse(name)?.or_latest());
        Ok(Self { store, name, id, maybe_id })
    }
}

/// Takes an ID from the end. A digest is part of the name.
fn split_id(image: &str) -> Result<(&str, Option<&str>), &'static str> {
    let Some((name, last)) = image.rsplit_once('@') else { return Ok((image, None)) };
    match () {
        () if last.is_empty() => Err("there is no ID or digest behind the `@`"),
        () if Digest::parse(last).is_ok() => match name.is_empty() {
            true => Err("a digest needs a name; an ID is written without `sha256:`"),
            false => Ok((image, None)),
        },
        () if oci::reference::is_identifier(last) || is_abbreviation(last) => {
            Ok((name, Some(last)))
        }
        () => Err("what stands behind the `@` is no ID or digest"),
    }
}

fn is_abbreviation(text: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (ABBREVIATION_MINIMUM..64).contains(&text.len()) && text.bytes().all(is_digit)
}

impl StorePlace {
    /// Reads what stands between the brackets.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (driver, rest) = match text.split_once('@') {
            Some(("", _)) => return Err("there is no driver before the `@`"),
            Some((driver, rest)) => (Some(driver), rest),
            None => (None, text),
        };
        let (roots, options) = match rest.split_once(':') {
            Some((roots, options)) => (roots, options.split(',').collect()),
            None => (rest, Vec::new()),
        };
        if options.len() > OPTIONS_LIMIT {
            return Err("more than 64 options");
        }
        let (root, run_root) = match roots.split_once('+') {
            Some((root, run_root)) => (root, Some(run_root)),
            None => (roots, None),
        };
        if root.is_empty() {
            return Err("there is no directory");
        }
        let absolute = |path: &str| Path::new(path).is_absolute();
        if !absolute(root) || run_root.is_some_and(|path| !absolute(path)) {
            return Err("the store's directories must be absolute");
        }
        Ok(Self {
            driver: driver.map(str::to_owned),
            root: root.into(),
            run_root: run_root.map(PathBuf::from),
            options: options.into_iter().map(str::to_owned).collect(),
        })
    }
}

impl fmt::Display for StorageImage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(store) = &self.store {
            write!(formatter, "[{store}]")?;
        }
        match (&self.name, &self.maybe_id) {
            (_, Some(text)) => formatter.write_str(text)?,
            (Some(name), None) => write!(formatter, "{name}")?,
            (None, None) => {}
        }
        match &self.id {
            Some(id) => write!(formatter, "@{id}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for StorePlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(driver) = &self.driver {
            write!(formatter, "{driver}@")?;
        }
        write!(formatter, "{}", self.root.display())?;
        if let Some(run_root) = &self.run_root {
            write!(formatter, "+{}", run_root.display())?;
        }
        match self.options.is_empty() {
            true => Ok(()),
            false => write!(formatter, ":{}", self.options.join(",")),
        }
    }
}
