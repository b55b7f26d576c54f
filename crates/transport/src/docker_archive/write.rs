//! Images that become an archive.

use super::legacy::Legacy;
use super::{Item, MANIFEST, TRANSPORT};
use crate::archives::Output;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::Verified;
use crate::place::{ArchiveSelect, DockerArchive};
use crate::transfer::{Sink, Takes, pour};
use oci::image::media_type::Format;
use oci::image::{CONFIG_LIMIT_BYTES, Descriptor, Document, ImageConfig, Manifest, MediaType};
use oci::{Algorithm, Digest, Reference};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most bytes of configurations that an archive's images may have: they are kept until its end.
const CONFIGS_LIMIT_BYTES: usize = 256 << 20;

/// An archive that several images are written to. Layers that they share are written once. It is
/// complete with [`ArchiveWriter::finish`]; without, there is none.
///
/// The same images in the same order are the same bytes.
pub struct ArchiveWriter {
    state: Mutex<State>,
}

struct State {
    output: Output,
    /// Configurations are small, and are read again.
    configs: BTreeMap<Digest, Vec<u8>>,
    configs_bytes: usize,
    items: Vec<Item>,
    legacy: Legacy,
}

impl ArchiveWriter {
    /// Makes an archive. It replaces a file of that name when it is complete.
    pub fn create(path: &Path, temporary: &Path) -> Result<Arc<Self>> {
        Ok(Self::new(Output::create(path, temporary)?))
    }

    /// Writes an archive to a stream, which messages call `path`. Content of unknown size waits in a
    /// file without a name in the directory `temporary`.
    pub fn stream(output: Box<dyn Write + Send>, path: &Path, temporary: &Path) -> Arc<Self> {
        Self::new(Output::stream(output, path, temporary))
    }

    fn new(output: Output) -> Arc<Self> {
        let state = State {
            output,
            configs: BTreeMap::new(),
            configs_bytes: 0,
            items: Vec::new(),
            legacy: Legacy::default(),
        };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// An image to come, with any number of names, which have tags. An image that is in the archive
    /// already gets the names, too.
    pub fn image(self: &Arc<Self>, names: &[Reference]) -> Result<ArchiveSink> {
        let names = names.iter().map(tagged).collect::<Result<_>>()?;
        Ok(ArchiveSink { writer: Arc::clone(self), names, alone: false })
    }

    /// Writes the list of the images, and gives the archive its name.
    pub fn finish(&self) -> Result<()> {
        let State { output, items, legacy, .. } = &mut *self.state();
        output.bytes(MANIFEST, oci::json::write(items).as_bytes())?;
        legacy.finish(output)?;
        output.finish()
    }

    /// Closes an archive that will not be complete.
    pub fn give_up(&self) {
        self.state().output.give_up();
    }

    /// A panic elsewhere leaves a state that is either whole or a closed archive.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Archives know names with tags only.
fn tagged(name: &Reference) -> Result<Reference> {
    match name.digest() {
        None => Ok(name.clone().or_latest()),
        Some(_) => {
            let text = format!("{TRANSPORT}: images have tags, not digests: {name}");
            Err(Error::new(ErrorKind::Invalid, text))
        }
    }
}

/// Where a layer is. One directory for each would make docker before 1.10 look for images in them.
pub(super) fn layer_name(digest: &Digest) -> String {
    format!("{}.tar", digest.hex())
}

fn config_name(digest: &Digest) -> String {
    format!("{}.json", digest.hex())
}

impl State {
    fn has(&self, digest: &Digest) -> bool {
        self.configs.contains_key(digest) || self.output.has(&layer_name(digest))
    }

    fn add_config(&mut self, digest: Digest, config: Vec<u8>) -> Result<()> {
        if !self.output.has(&config_name(&digest)) {
            self.configs_bytes += config.len();
            if self.configs_bytes > CONFIGS_LIMIT_BYTES {
                let text = "the configurations of the archive's images have more than 256 MiB";
                return Err(Error::new(ErrorKind::Invalid, text));
            }
            self.output.bytes(&config_name(&digest), &config)?;
            self.configs.insert(digest, config);
        }
        Ok(())
    }

    fn add_image(&mut self, manifest: &Manifest, names: &[Reference]) -> Result<()> {
        let config_digest = *manifest.config.verifiable()?;
        let Some(config) = self.configs.get(&config_digest) else {
            let text = format!("{TRANSPORT}: {} is no configuration of an image", config_digest);
            return Err(Error::new(ErrorKind::Unsupported, text));
        };
        ImageConfig::read(config)?.check_layers(manifest)?;
        let mut layers = Vec::new();
        for layer in &manifest.layers {
            let digest = *layer.verifiable()?;
            if !self.output.has(&layer_name(&digest)) {
                let text = format!("{TRANSPORT}: the layer {digest} was not written");
                return Err(Error::new(ErrorKind::NotFound, text));
            }
            layers.push(digest);
        }
        self.legacy.add(&mut self.output, config, &layers, names)?;
        let config = config_name(&config_digest);
        let item = match self.items.iter().position(|item| item.config == config) {
            Some(position) => &mut self.items[position],
            None => {
                let layers = layers.iter().map(layer_name).collect();
                self.items.push(Item { config, repo_tags: Some(Vec::new()), layers });
                self.items.last_mut().expect("an item has been added")
            }
        };
        let tags = item.repo_tags.get_or_insert_default();
        for name in names {
            // In full: a short name could be another one for programs with other defaults.
            let name = name.to_string();
            if !tags.contains(&name) {
                tags.push(name);
            }
        }
        Ok(())
    }
}

/// An image that is written to an archive.
pub struct ArchiveSink {
    writer: Arc<ArchiveWriter>,
    names: Vec<Reference>,
    /// The archive is complete with the image.
    alone: bool,
}

impl ArchiveSink {
    /// Makes an archive of one image, called by the place's name, if it has one, and by others.
    pub fn create(
        place: &DockerArchive,
        more_names: &[Reference],
        temporary: &Path,
    ) -> Result<Self> {
        let first = match &place.select {
            ArchiveSelect::Only => None,
            ArchiveSelect::Name(name) => Some(name),
            ArchiveSelect::Position(_) => {
                let text = format!("{TRANSPORT}:{place}: an image is written by name only");
                return Err(Error::new(ErrorKind::Unsupported, text));
            }
        };
        let names = first.into_iter().chain(more_names).map(tagged).collect::<Result<_>>()?;
        let writer = ArchiveWriter::create(&place.path, temporary)?;
        Ok(Self { writer, names, alone: true })
    }
}

fn is_config(media_type: &str) -> bool {
    matches!(MediaType::of(media_type), MediaType::Config(_))
}

/// Reads a configuration.
fn read_config(what: &str, content: &mut dyn Read) -> Result<Vec<u8>> {
    let mut config = Vec::new();
    pour(&what, content, &mut |bytes| {
        config.extend_from_slice(bytes);
        match config.len() > CONFIG_LIMIT_BYTES {
            true => Err(Error::new(ErrorKind::Invalid, format!("{what}: larger than 4 MiB"))),
            false => Ok(()),
        }
    })?;
    Ok(config)
}

impl Sink for ArchiveSink {
    fn takes(&self) -> Takes {
        Takes {
            format: Some(Format::Docker),
            plain_layers: true,
            packs_layers: false,
            single: true,
            in_order: true,
            ..Takes::default()
        }
    }

    fn has_blob(&self, digest: &Digest) -> Result<bool> {
        Ok(self.writer.state().has(digest))
    }

    fn put_blob(&self, descriptor: &Descriptor, content: &mut dyn Read) -> Result<()> {
        let digest = *descriptor.verifiable()?;
        let mut state = self.writer.state();
        if state.has(&digest) {
            return Ok(());
        }
        let mut verified = Verified::new(content, digest, Some(descriptor.size));
        if is_config(&descriptor.media_type) {
            let config = read_config(&digest.to_string(), &mut verified)?;
            return state.add_config(digest, config);
        }
        state.output.file(&layer_name(&digest), descriptor.size, &mut verified)
    }

    fn put_new(&self, media_type: &str, content: &mut dyn Read) -> Result<Descriptor> {
        let mut state = self.writer.state();
        if is_config(media_type) {
            let config = read_config("the configuration", content)?;
            let digest = crate::hash::digest_of(Algorithm::Sha256, &config);
            let descriptor = Descriptor::new(media_type, digest, config.len() as u64);
            state.add_config(digest, config)?;
            return Ok(descriptor);
        }
        state.output.new_file(media_type, content, &layer_name)
    }

    fn put_instance(&self, _: &Document) -> Result<()> {
        Err(no_index())
    }

    fn finish(&self, manifest: &Document) -> Result<()> {
        let manifest = manifest.manifest().ok_or_else(no_index)?;
        self.writer.state().add_image(manifest, &self.names)?;
        match self.alone {
            true => self.writer.finish(),
            false => Ok(()),
        }
    }
}

fn no_index() -> Error {
    let text = format!("{TRANSPORT}: holds images of schema 2, no indexes");
    let hint = "choose one platform, or write `oci-archive:`";
    Error::new(ErrorKind::Unsupported, text).with_hint(hint)
}
