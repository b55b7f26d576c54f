//! An image of the store, parts of which may be elsewhere: where they were when an index took them in.

use crate::error::{Error, Kind, Result};
use crate::stored::Stored;
use oci::Digest;
use oci::image::{Descriptor, Document};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use transport::policy::Scopes;
use transport::{Blob, ErrorKind, Source};

/// Opens the place that stands in a record.
pub type OpenPlace<'o> = dyn Fn(&str) -> Result<Box<dyn Source>> + Sync + 'o;

/// A place that was opened, or why it cannot be.
type Opened = std::result::Result<Arc<dyn Source>, String>;

/// A source that looks elsewhere for the manifests that the store lacks, and for what these name.
pub struct Scattered<'s> {
    stored: Stored<'s>,
    places: Vec<String>,
    open: &'s OpenPlace<'s>,
    /// The places that have been opened, or why not.
    opened: Mutex<BTreeMap<usize, Opened>>,
    /// What manifests from elsewhere name, and in which place it is.
    elsewhere: Mutex<BTreeMap<Digest, usize>>,
}

impl<'s> Scattered<'s> {
    /// An image with the places that its record names.
    pub fn new(stored: Stored<'s>, places: Vec<String>, open: &'s OpenPlace<'s>) -> Self {
        let (opened, elsewhere) = (Mutex::default(), Mutex::default());
        Self { stored, places, open, opened, elsewhere }
    }

    fn place(&self, number: usize) -> Opened {
        let lost = |_| "a thread that copies layers has stopped".to_owned();
        let mut opened = self.opened.lock().map_err(lost)?;
        let open = || match (self.open)(&self.places[number]) {
            Ok(source) => Ok(Arc::from(source)),
            Err(error) => Err(error.to_string()),
        };
        opened.entry(number).or_insert_with(open).clone()
    }

    fn is_elsewhere(&self, digest: &Digest) -> Option<usize> {
        self.elsewhere.lock().ok()?.get(digest).copied()
    }

    /// Fetches a manifest from the first place that has it.
    fn fetch(&self, digest: &Digest, missing: transport::Error) -> transport::Result<Document> {
        let mut why = Vec::new();
        for number in 0..self.places.len() {
            let found = self.place(number).and_then(|source| {
                source.manifest(Some(digest)).map_err(|error| error.to_string())
            });
            match found {
                Ok(document) => {
                    self.note(&document, number);
                    return Ok(document);
                }
                Err(text) => why.push(text),
            }
        }
        if why.is_empty() {
            return Err(missing);
        }
        let text = format!("{digest} is not in the store, nor where it was: {}", why.join("; "));
        Err(Error::new(Kind::NotFound, text).into())
    }

    fn note(&self, document: &Document, number: usize) {
        let Some(manifest) = document.manifest() else { return };
        if let Ok(mut elsewhere) = self.elsewhere.lock() {
            for descriptor in manifest.layers.iter().chain([&manifest.config]) {
                if let Ok(digest) = descriptor.verifiable() {
                    elsewhere.insert(*digest, number);
                }
            }
        }
    }
}

impl Source for Scattered<'_> {
    fn scopes(&self) -> Scopes {
        self.stored.scopes()
    }

    fn manifest(&self, digest: Option<&Digest>) -> transport::Result<Document> {
        match (self.stored.manifest(digest), digest) {
            (Err(error), Some(digest)) if error.kind() == ErrorKind::NotFound => {
                self.fetch(digest, error)
            }
            (found, _) => found,
        }
    }

    fn blob(&self, descriptor: &Descriptor) -> transport::Result<Blob> {
        let digest = descriptor.verifiable()?;
        match self.is_elsewhere(digest) {
            Some(number) if !self.stored.has_packed(descriptor)? => match self.place(number) {
                Ok(source) => source.blob(descriptor),
                Err(text) => Err(Error::new(Kind::Network, text).into()),
            },
            _ => self.stored.blob(descriptor),
        }
    }

    fn has_packed(&self, descriptor: &Descriptor) -> transport::Result<bool> {
        let is_elsewhere = self.is_elsewhere(descriptor.verifiable()?).is_some();
        Ok(is_elsewhere || self.stored.has_packed(descriptor)?)
    }

    fn write_plain(
        &self,
        layer: &Descriptor,
        diff_id: &Digest,
        output: &mut dyn Write,
    ) -> transport::Result<bool> {
        match self.is_elsewhere(layer.verifiable()?) {
            Some(_) => Ok(false),
            None => self.stored.write_plain(layer, diff_id, output),
        }
    }
}
