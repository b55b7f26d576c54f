//! Images of an archive.

use super::{Item, MANIFEST, TRANSPORT};
use crate::archives::{Members, Section, unpack};
use crate::blob_file::not_found;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::{Verified, digest_of, verify_manifest};
use crate::place::ArchiveSelect;
use crate::policy::Scopes;
use crate::transfer::{Blob, Source, pour};
use archive::compression::Format;
use oci::image::media_type::{DOCKER_CONFIG, DOCKER_LAYER, DOCKER_MANIFEST};
use oci::image::{Descriptor, Document, ImageConfig};
use oci::{Algorithm, Digest, Reference, report};
use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// Most images of an archive: far more than anybody saves.
const IMAGES_LIMIT: usize = 10_000;
/// Most layers of an image: docker takes 127.
const LAYERS_LIMIT: usize = 1000;

/// An archive with images. It is not unpacked: layers are read where they lie in it.
pub struct Archive {
    members: Arc<Members>,
    items: Vec<Item>,
}

/// An image of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveImage {
    /// Its position, from 0.
    pub position: usize,
    /// Its names, with tags. Names that are none are left out.
    pub names: Vec<Reference>,
    /// Its names as the archive has them.
    pub written: Vec<String>,
}

impl Archive {
    /// Opens an archive. One that is compressed (gzip, zstd, xz, bzip2), or no plain file, is first
    /// written into a file without a name in the directory `temporary`.
    pub fn open(path: &Path, temporary: &Path) -> Result<Self> {
        Self::new(Members::open(path, temporary)?)
    }

    /// Reads an archive from a stream, through a file without a name in the directory `temporary`.
    /// `path` is what messages call it.
    pub fn read(input: &mut dyn Read, path: &Path, temporary: &Path) -> Result<Self> {
        Self::new(Members::read(input, path, temporary)?)
    }

    fn new(members: Members) -> Result<Self> {
        let path = members.path();
        let Some(manifest) = members.read_document(MANIFEST)? else {
            let error =
                Error::in_file(path, "no archive of docker: there is no manifest.json in it");
            return Err(match () {
                () if members.find("index.json")?.is_some() => {
                    error.with_hint(format!("write `oci-archive:{}`", path.display()))
                }
                () if members.find("repositories")?.is_some() => {
                    error.with_hint("docker before 1.10 wrote it; load it there, and save it again")
                }
                () => error,
            });
        };
        let in_manifest = |error: String| Error::in_file(path, format!("{MANIFEST}: {error}"));
        let items: Vec<Item> = oci::json::read(&manifest).map_err(in_manifest)?;
        if items.len() > IMAGES_LIMIT || items.iter().any(|item| item.layers.len() > LAYERS_LIMIT) {
            return Err(in_manifest("more than 10000 images, or 1000 layers of one".into()));
        }
        Ok(Self { members: Arc::new(members), items })
    }

    /// The images, in the archive's order.
    pub fn images(&self) -> Vec<ArchiveImage> {
        let images = self.items.iter().enumerate();
        let image = |(position, item): (usize, &Item)| {
            let written = item.repo_tags.iter().flatten().cloned().collect();
            ArchiveImage { position, names: names(item), written }
        };
        images.map(image).collect()
    }

    /// An image of the archive.
    pub fn source(&self, select: &ArchiveSelect) -> Result<ArchiveSource> {
        let path = self.members.path().display();
        let item = match select {
            ArchiveSelect::Only if self.items.len() > 1 => {
                let text = format!("{TRANSPORT}:{path}: there are {} images", self.items.len());
                let names: Vec<String> =
                    self.items.iter().flat_map(names).map(|name| name.familiar()).collect();
                let last = self.items.len() - 1;
                let hint = format!("choose one: `:@0` to `:@{last}`, `:{}`", names.join("`, `:"));
                return Err(Error::new(ErrorKind::Ambiguous, text).with_hint(hint));
            }
            ArchiveSelect::Only => self.items.first(),
            ArchiveSelect::Name(name) => self.items.iter().find(|item| names(item).contains(name)),
            ArchiveSelect::Position(position) => self.items.get(*position),
        };
        let item = item.ok_or_else(|| {
            let text = match select {
                ArchiveSelect::Name(name) => format!("{TRANSPORT}:{path}: there is no {name}"),
                _ => format!("{TRANSPORT}:{path}: there is no such image"),
            };
            Error::new(ErrorKind::NotFound, text)
        })?;
        ArchiveSource::new(Arc::clone(&self.members), item)
    }
}

fn names(item: &Item) -> Vec<Reference> {
    let mut names: Vec<Reference> = Vec::new();
    for name in item.repo_tags.iter().flatten().filter_map(|tag| name_of(tag)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn name_of(tag: &str) -> Option<Reference> {
    Reference::parse(tag).ok().filter(|name| name.tag().is_some())
}

impl ArchiveImage {
    /// What the archive calls the image, and nobody can: no name, or one without a tag.
    pub fn unusable(&self) -> impl Iterator<Item = &str> {
        self.written.iter().map(String::as_str).filter(|tag| name_of(tag).is_none())
    }
}

/// An image of an archive.
pub struct ArchiveSource {
    members: Arc<Members>,
    names: Vec<Reference>,
    config: Vec<u8>,
    config_digest: Digest,
    /// Digest of the unpacked layer, and the member that it is in.
    layers: Vec<(Digest, String)>,
    manifest: OnceLock<Document>,
}

impl ArchiveSource {
    fn new(members: Arc<Members>, item: &Item) -> Result<Self> {
        let missing = |name: &str| Error::in_file(members.path(), format!("there is no `{name}`"));
        let config = members.read_document(&item.config)?;
        let config = config.ok_or_else(|| missing(&item.config))?;
        let in_config =
            |error: oci::Error| Error::in_file(members.path(), format!("{}: {error}", item.config));
        let diff_ids = ImageConfig::read(&config).map_err(in_config)?.rootfs.diff_ids;
        if diff_ids.len() != item.layers.len() {
            let (ids, layers) = (diff_ids.len(), item.layers.len());
            let text = format!("{}: {ids} diff_ids, but {layers} layers", item.config);
            return Err(Error::in_file(members.path(), text));
        }
        let mut layers = Vec::new();
        for (id, name) in diff_ids.iter().zip(&item.layers) {
            let id = *id.verifiable()?;
            if members.find(name)?.is_none() {
                return Err(missing(name));
            }
            layers.push((id, name.clone()));
        }
        let config_digest = digest_of(Algorithm::Sha256, &config);
        let manifest = OnceLock::new();
        Ok(Self { members, names: names(item), config, config_digest, layers, manifest })
    }

    /// The image's names.
    pub fn names(&self) -> &[Reference] {
        &self.names
    }

    /// A layer as it is in the archive, and whether it is compressed.
    fn layer(&self, name: &str) -> Result<(Section, bool)> {
        let missing = || Error::in_file(self.members.path(), format!("there is no `{name}`"));
        let section = self.members.find(name)?.ok_or_else(missing)?;
        let (format, _) = unpack(section.clone(), self.members.path())?;
        Ok((section, format != Format::Plain))
    }

    /// The manifest, which names the unpacked layers. The sizes of compressed ones are known when they
    /// have been unpacked.
    fn made_manifest(&self) -> Result<Document> {
        let mut manifest = Schema2 {
            schema_version: 2,
            media_type: DOCKER_MANIFEST.into(),
            config: Content {
                media_type: DOCKER_CONFIG.into(),
                size: self.config.len() as u64,
                digest: self.config_digest.to_string(),
            },
            layers: Vec::new(),
        };
        for (id, name) in &self.layers {
            let (section, compressed) = self.layer(name)?;
            let size = match compressed {
                false => section.size(),
                true => {
                    let mut size = 0;
                    let mut plain = unpack(section, self.members.path())?.1;
                    pour(name, &mut plain, &mut |bytes| {
                        size += bytes.len() as u64;
                        Ok(())
                    })?;
                    size
                }
            };
            let (media_type, digest) = (DOCKER_LAYER.into(), id.to_string());
            manifest.layers.push(Content { media_type, size, digest });
        }
        verify_manifest(oci::json::write(&manifest).into_bytes(), DOCKER_MANIFEST, None)
    }
}

impl Source for ArchiveSource {
    fn scopes(&self) -> Scopes {
        Scopes::of_transport(TRANSPORT, &self.members.path().to_string_lossy())
    }

    fn manifest(&self, digest: Option<&Digest>) -> Result<Document> {
        let manifest = match self.manifest.get() {
            Some(manifest) => manifest.clone(),
            None => {
                let made = self.made_manifest()?;
                self.manifest.get_or_init(|| made).clone()
            }
        };
        match digest {
            Some(digest) if digest != manifest.digest() => {
                Err(not_found("manifest", digest, self.members.path()))
            }
            _ => Ok(manifest),
        }
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Blob> {
        let digest = *descriptor.verifiable()?;
        let size = Some(descriptor.size);
        if digest == self.config_digest {
            let config = Cursor::new(self.config.clone());
            return Ok(Box::new(Verified::new(config, digest, size)));
        }
        let layer = self.layers.iter().find(|(id, _)| *id == digest);
        let (_, name) = layer.ok_or_else(|| not_found("blob", &digest, self.members.path()))?;
        let (section, compressed) = self.layer(name)?;
        Ok(match compressed {
            false => Box::new(Verified::new(section, digest, size)),
            true => {
                let plain = unpack(section, self.members.path())?.1;
                Box::new(Verified::new(plain, digest, size))
            }
        })
    }
}

report! {
    /// Docker's schema 2, with its members in the order in which containers/image writes them: the
    /// same image has the same digest there and here.
    Schema2 {
        schema_version: u32 => always,
        media_type: String => always,
        config: Content => always,
        layers: Vec<Content> => always,
    }

    /// A descriptor in that order.
    Content {
        media_type: String => always,
        size: u64 => always,
        digest: String => always,
    }
}
