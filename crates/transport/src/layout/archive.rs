//! `oci-archive:`, a layout in a tar archive.

use super::{Place, Select, add, beside, choose, empty_index, name_of, write_version};
use crate::archives::{Members, Output};
use crate::blob_file::not_found;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::{Verified, verify_manifest};
use crate::policy::Scopes;
use crate::transfer::{Blob, Sink, Source, Takes};
use oci::Digest;
use oci::image::{Descriptor, Document, Index, Layout, SIZE_LIMIT_BYTES};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[cfg(test)]
mod tests;

const TRANSPORT: &str = "oci-archive";
const VERSION: &str = "oci-layout";
const INDEX: &str = "index.json";

fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

/// An archive with images. It is not unpacked: blobs are read where they lie in it.
pub struct LayoutArchive {
    members: Arc<Members>,
    index: Index,
}

impl LayoutArchive {
    /// Opens an archive. One that is compressed (gzip, zstd, xz, bzip2), or no plain file, is first
    /// written into a file without a name in the directory `temporary`.
    pub fn open(path: &Path, temporary: &Path) -> Result<Self> {
        let path = path.canonicalize().map_err(|error| Error::os("open", path, &error))?;
        Self::new(Members::open(&path, temporary)?)
    }

    /// Reads an archive from a stream, through a file without a name in the directory `temporary`.
    /// `path` is what messages and policies call it.
    pub fn read(input: &mut dyn Read, path: &Path, temporary: &Path) -> Result<Self> {
        Self::new(Members::read(input, path, temporary)?)
    }

    fn new(members: Members) -> Result<Self> {
        let path = members.path();
        if let Some(version) = members.read_document(VERSION)? {
            Layout::read(&version)?;
        }
        let Some(index) = members.read_document(INDEX)? else {
            let error = Error::in_file(path, "no layout: there is no index.json in it");
            return Err(match members.find("manifest.json")? {
                Some(_) => error.with_hint(format!("write `docker-archive:{}`", path.display())),
                None => error,
            });
        };
        let index = Index::read_layout(&index).map_err(|error| Error::in_file(path, error))?;
        Ok(Self { members: Arc::new(members), index })
    }

    /// The images, with their names as annotations.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// An image of the archive.
    pub fn source(&self, select: &Select) -> Result<LayoutArchiveSource> {
        let place = Place { directory: self.members.path().to_owned(), select: select.clone() };
        let what = format!("{TRANSPORT}:{}", place.details());
        let chosen = choose(&what, select, &self.index)?.clone();
        chosen.check()?;
        let members = Arc::clone(&self.members);
        Ok(LayoutArchiveSource { members, place, index: self.index.clone(), chosen })
    }
}

/// An image in an archive.
pub struct LayoutArchiveSource {
    members: Arc<Members>,
    place: Place,
    index: Index,
    chosen: Descriptor,
}

impl LayoutArchiveSource {
    /// The descriptor of the image, with its annotations and platform.
    pub fn descriptor(&self) -> &Descriptor {
        &self.chosen
    }
}

impl Source for LayoutArchiveSource {
    fn scopes(&self) -> Scopes {
        let name = match &self.place.select {
            Select::Name(name) => name,
            _ => "",
        };
        Scopes::of_directory(TRANSPORT, &self.place.directory, name)
    }

    fn manifest(&self, digest: Option<&Digest>) -> Result<Document> {
        let (claimed, digest) = match digest {
            Some(digest) => ("", digest),
            None => (&*self.chosen.media_type, self.chosen.verifiable()?),
        };
        let bytes = self.members.read_document(&blob_name(digest))?;
        let bytes = bytes.ok_or_else(|| not_found("manifest", digest, &self.place.directory))?;
        verify_manifest(bytes, claimed, Some(digest))
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Blob> {
        let digest = *descriptor.verifiable()?;
        let section = self.members.find(&blob_name(&digest))?;
        let section = section.ok_or_else(|| not_found("blob", &digest, &self.place.directory))?;
        Ok(Box::new(Verified::new(section, digest, Some(descriptor.size))))
    }

    fn companion(&self, tag: &str) -> Result<Option<Document>> {
        let entry = beside::named(&self.index, tag);
        entry.map(|entry| self.manifest(Some(entry.verifiable()?))).transpose()
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        beside::referrers(&self.index, subject, &|digest| self.manifest(Some(digest)))
    }
}

/// An archive that several images are written to. Blobs that they share are written once. It is
/// complete with [`LayoutArchiveWriter::finish`]; without, there is none.
///
/// The same images in the same order are the same bytes.
pub struct LayoutArchiveWriter {
    state: Mutex<State>,
}

struct State {
    output: Output,
    index: Index,
}

impl LayoutArchiveWriter {
    /// Makes an archive. It replaces a file of that name when it is complete.
    pub fn create(path: &Path, temporary: &Path) -> Result<Arc<Self>> {
        Self::new(Output::create(path, temporary)?)
    }

    /// Writes an archive to a stream, which messages call `path`. Content of unknown size waits in a
    /// file without a name in the directory `temporary`.
    pub fn stream(
        output: Box<dyn Write + Send>,
        path: &Path,
        temporary: &Path,
    ) -> Result<Arc<Self>> {
        Self::new(Output::stream(output, path, temporary))
    }

    fn new(mut output: Output) -> Result<Arc<Self>> {
        output.bytes(VERSION, write_version().as_bytes())?;
        output.directory("blobs")?;
        Ok(Arc::new(Self { state: Mutex::new(State { output, index: empty_index() }) }))
    }

    /// An image to come, with any number of names.
    pub fn image(self: &Arc<Self>, names: Vec<String>) -> LayoutArchiveSink {
        LayoutArchiveSink { writer: Arc::clone(self), names, alone: false }
    }

    /// Writes what the images share, and gives the archive its name.
    pub fn finish(&self) -> Result<()> {
        let State { output, index } = &mut *self.state();
        let text = oci::json::write(index);
        if text.len() > SIZE_LIMIT_BYTES {
            let text = "the index of the archive would be larger than 4 MiB";
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        output.bytes(INDEX, text.as_bytes())?;
        output.finish()
    }

    /// A panic elsewhere leaves a state that is either whole or a closed archive.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Makes the place of a blob, and says its name; `None` when the blob is there.
    fn place(&mut self, digest: &Digest) -> Result<Option<String>> {
        let name = blob_name(digest);
        if self.output.has(&name) {
            return Ok(None);
        }
        let directory = format!("blobs/{}", digest.algorithm().name());
        if !self.output.has(&directory) {
            self.output.directory(&directory)?;
        }
        Ok(Some(name))
    }
}

/// An image that is written to an archive.
pub struct LayoutArchiveSink {
    writer: Arc<LayoutArchiveWriter>,
    names: Vec<String>,
    /// The archive is complete with the image.
    alone: bool,
}

impl LayoutArchiveSink {
    /// Makes an archive of one image, called by the place's name or without one.
    pub fn create(place: &Place, temporary: &Path) -> Result<Self> {
        let names = name_of(TRANSPORT, place)?.into_iter().collect();
        let writer = LayoutArchiveWriter::create(&place.directory, temporary)?;
        Ok(Self { writer, names, alone: true })
    }
}

impl Sink for LayoutArchiveSink {
    fn takes(&self) -> Takes {
        Takes {
            packs_layers: true,
            in_order: true,
            companions: true,
            referrers: true,
            ..Takes::default()
        }
    }

    fn has_blob(&self, digest: &Digest) -> Result<bool> {
        Ok(self.writer.state().output.has(&blob_name(digest)))
    }

    fn put_blob(&self, descriptor: &Descriptor, content: &mut dyn Read) -> Result<()> {
        let digest = *descriptor.verifiable()?;
        let mut state = self.writer.state();
        let Some(name) = state.place(&digest)? else { return Ok(()) };
        let mut verified = Verified::new(content, digest, Some(descriptor.size));
        state.output.file(&name, descriptor.size, &mut verified)
    }

    fn put_new(&self, media_type: &str, content: &mut dyn Read) -> Result<Descriptor> {
        let mut state = self.writer.state();
        let directory = format!("blobs/{}", oci::Algorithm::Sha256.name());
        if !state.output.has(&directory) {
            state.output.directory(&directory)?;
        }
        state.output.new_file(media_type, content, &blob_name)
    }

    fn put_instance(&self, manifest: &Document) -> Result<()> {
        let mut state = self.writer.state();
        match state.place(manifest.digest())? {
            Some(name) => state.output.bytes(&name, manifest.bytes()),
            None => Ok(()),
        }
    }

    fn put_companion(&self, tag: &str, manifest: &Document) -> Result<()> {
        self.put_instance(manifest)?;
        let mut state = self.writer.state();
        add(&mut state.index, manifest.descriptor(), Some(&tag.to_owned()));
        Ok(())
    }

    fn put_referrer(&self, manifest: &Document) -> Result<()> {
        self.put_instance(manifest)?;
        let mut state = self.writer.state();
        add(&mut state.index, beside::referrer(manifest), None);
        Ok(())
    }

    fn finish(&self, manifest: &Document) -> Result<()> {
        self.put_instance(manifest)?;
        let image = manifest.descriptor();
        let mut state = self.writer.state();
        match self.names.is_empty() {
            true => add(&mut state.index, image, None),
            false => {
                for name in &self.names {
                    add(&mut state.index, image.clone(), Some(name));
                }
            }
        }
        drop(state);
        match self.alone {
            true => self.writer.finish(),
            false => Ok(()),
        }
    }
}
