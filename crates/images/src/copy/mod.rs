//! From a source to a sink.
//!
//! Everything goes as it is unless somebody wants it otherwise: a sink that holds one form only, or the
//! caller. A layer that cannot be had as its descriptor says (the store keeps layers unpacked) is looked for
//! in the sink, in another repository of the same registry, and where the image came from; only then it
//! is packed anew, which changes its digest, and that is said.

mod beside;
mod layers;
mod pack;

use beside::Moved;

use crate::chunked::is_chunked;
use crate::error::{Error, Kind, Result};
use crate::gate::Gate;
use crate::instances::Instances;
use crate::progress::{End, Progress, Step};
use crate::pull::reading;
use crate::rewrite;
use crate::schema1::{Converted, LetThrough, OpenTemporary};
use archive::compression::Packers;
use oci::image::media_type::{self, Compression as Packing, Format};
use oci::image::{
    CONFIG_LIMIT_BYTES, Content, Descriptor, Document, ImageConfig, Manifest, MediaType, schema1,
};
use oci::{AnyDigest, Digest, Reference};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use transport::{Sink, Source};

/// How layers are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, with a level from 1 to 9.
    Gzip(u8),
    /// zstd, with a level from 1 to 19.
    Zstd(u8),
    /// The same, with a table of contents.
    ZstdChunked(u8),
}

/// What happens to layers on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layers {
    /// What the sink wants: registries and layouts pack what is not packed, and pack anew what is packed
    /// otherwise than the caller has said; directories take everything as it is; docker's archives unpack.
    #[default]
    AsUsual,
    /// Nothing, unless [`CopyOptions::force_compression`] is set.
    AsTheyAre,
    /// Packed, as registries have them.
    Packed,
    /// Unpacked.
    Plain,
}

/// The level of gzip that is usual: the fastest one whose layers are not larger than what others make by zlib's
/// level 6.
pub const GZIP_LEVEL: u8 = 2;
const GZIP: Compression = Compression::Gzip(GZIP_LEVEL);
/// Layers that are copied at once unless the caller wants something else: packing takes every
/// processor for one already.
const PARALLEL: usize = 3;

/// Opens the place that an image came from, if there is one.
pub type OpenOrigin<'a> = dyn Fn() -> Result<Option<Box<dyn Source>>> + Sync + 'a;

/// How to copy.
#[derive(Clone)]
pub struct CopyOptions<'a> {
    /// Which images of an index.
    pub instances: Instances,
    /// The format of manifests; `None` keeps it.
    pub format: Option<Format>,
    /// What happens to layers.
    pub layers: Layers,
    /// How they are packed where they are packed at all; `None` leaves those alone that are packed in some
    /// way, and packs the others with gzip.
    pub compression: Option<Compression>,
    /// Layers are packed so where they are otherwise left as they are, too.
    pub force_compression: bool,
    /// Fail where a digest would change.
    pub preserve_digests: bool,
    /// Signatures come along where there is a place for them.
    pub signatures: bool,
    /// So does what refers to the image.
    pub referrers: bool,
    /// Where the image came from, for what the source has unpacked only.
    pub origin: Option<&'a OpenOrigin<'a>>,
    /// Repositories that may have the layers, too.
    pub mount_from: Vec<Reference>,
    /// A directory for temporary files: layers that are packed anew are packed into one, so that those
    /// are not sent that the sink has.
    pub precompute: Option<PathBuf>,
    /// Where other temporary files go: those of docker's schema 1.
    pub temporary: Option<&'a OpenTemporary<'a>>,
    /// How many layers are copied at once.
    pub parallel: usize,
    /// Threads that pack layers.
    pub threads: usize,
    /// Who is asked whether an image may be used.
    pub gate: &'a dyn Gate,
    /// Who is told.
    pub progress: &'a dyn Progress,
}

impl<'a> CopyOptions<'a> {
    /// What users get without options.
    pub fn new(instances: Instances, gate: &'a dyn Gate, progress: &'a dyn Progress) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            instances,
            format: None,
            layers: Layers::AsUsual,
            compression: None,
            force_compression: false,
            preserve_digests: false,
            signatures: true,
            referrers: false,
            origin: None,
            mount_from: Vec::new(),
            precompute: None,
            temporary: None,
            parallel: PARALLEL,
            threads,
            gate,
            progress,
        }
    }
}

/// What is in the sink now.
#[derive(Clone, Debug)]
pub struct Copied {
    /// What the name stands for.
    pub root: Document,
    /// Whether it is another manifest than the source's.
    pub changed: bool,
}

/// Copies an image.
pub fn copy(source: &dyn Source, sink: &dyn Sink, options: &CopyOptions<'_>) -> Result<Copied> {
    let copying = Copying::new(source, sink, options);
    let root = source.manifest(None)?;
    if let Content::Schema1(manifest) = root.content() {
        return copying.schema1(&root, manifest);
    }
    let Some(index) = root.index() else { return copying.only(&root, false) };
    options.gate.check(&source.scopes(), &root)?;
    let chosen = options.instances.choose(index)?;
    if matches!(options.instances, Instances::One(_)) || copying.takes.single {
        let [one] = chosen[..] else {
            let text = format!("{} images, and there is a place for one only", chosen.len());
            return Err(Error::new(Kind::Unsupported, text).with_hint("choose a platform"));
        };
        let mut document = source.manifest(Some(one.verifiable()?))?;
        // An index in an index is one that has been chosen.
        if let Some(inner) = document.index() {
            let inner = options.instances.choose(inner)?;
            let one = inner.first().ok_or_else(|| Error::new(Kind::NotFound, "an empty index"))?;
            document = source.manifest(Some(one.verifiable()?))?;
        }
        return copying.only(&document, true);
    }
    let mut changed = BTreeMap::new();
    for descriptor in chosen {
        if let Some((digest, document)) = copying.child(descriptor)? {
            changed.insert(digest, document);
        }
    }
    let own = match MediaType::of(root.media_type()) {
        MediaType::Index(format) => format,
        _ => Format::Oci,
    };
    let format = copying.format(own)?;
    let new = match changed.is_empty() && format == own {
        true => root.clone(),
        false => rewrite::index(index, format, &changed)?,
    };
    copying.check_preserved(&root, &new)?;
    copying.beside(&Moved {
        old: *root.digest(),
        new: *new.digest(),
        from_index: false,
        to_index: false,
    })?;
    sink.finish(&new)?;
    Ok(Copied { changed: new.digest() != root.digest(), root: new })
}

/// Copies what is beside a manifest that is there already: signatures and referrers.
pub fn copy_beside(
    source: &dyn Source,
    sink: &dyn Sink,
    manifest: &Digest,
    options: &CopyOptions<'_>,
) -> Result<()> {
    let copying = Copying::new(source, sink, options);
    copying.beside(&Moved { old: *manifest, new: *manifest, from_index: false, to_index: false })
}

struct Copying<'c> {
    source: &'c dyn Source,
    sink: &'c dyn Sink,
    options: &'c CopyOptions<'c>,
    takes: transport::Takes,
    /// Where the image came from, or why that cannot be opened, once it was tried.
    origin: Mutex<Option<std::result::Result<Arc<dyn Source>, String>>>,
    /// Threads that pack, once there is something to pack.
    packers: Mutex<Option<Arc<Packers>>>,
}

/// A layer as it is copied.
struct Layer<'l> {
    descriptor: &'l Descriptor,
    diff_id: Option<Digest>,
    /// It has to be packed so.
    target: Option<Compression>,
    format: Format,
}

impl<'c> Copying<'c> {
    fn new(source: &'c dyn Source, sink: &'c dyn Sink, options: &'c CopyOptions<'c>) -> Self {
        let (origin, packers) = (Mutex::new(None), Mutex::new(None));
        Self { source, sink, options, takes: sink.takes(), origin, packers }
    }
}

impl Copying<'_> {
    /// Copies an image of docker's schema 1: converted, or as it is where its digest has to stay.
    fn schema1(&self, root: &Document, manifest: &schema1::Manifest) -> Result<Copied> {
        self.options.gate.check(&self.source.scopes(), root)?;
        if self.options.preserve_digests {
            if self.takes.format.is_some() || self.takes.plain_layers {
                return Err(Error::new(Kind::Unsupported, "the manifest is docker's schema 1")
                    .with_hint("without --preserve-digests it is converted"));
            }
            for layer in manifest.layers()? {
                let digest = *layer.blob.verifiable()?;
                let size = self.source.blob_size(&digest)?;
                let descriptor = Descriptor::new(media_type::DOCKER_LAYER_GZIP, digest, size);
                self.blob(&descriptor, "Copying blob")?;
            }
            self.sink.finish(root)?;
            return Ok(Copied { root: root.clone(), changed: false });
        }
        let (temporary, progress) = (self.options.temporary, self.options.progress);
        let converted = Converted::new(self.source, manifest, temporary, progress)?;
        let options =
            CopyOptions { gate: &LetThrough, mount_from: Vec::new(), ..self.options.clone() };
        let copied = copy(&converted, self.sink, &options)?;
        Ok(Copied { changed: true, ..copied })
    }

    /// Copies the only image; `from_index` says that it was one of several.
    fn only(&self, document: &Document, from_index: bool) -> Result<Copied> {
        let copied = self.instance(document)?;
        let (old, new) = (*document.digest(), *copied.digest());
        self.beside(&Moved { old, new, from_index, to_index: false })?;
        self.sink.finish(&copied)?;
        Ok(Copied { changed: copied.digest() != document.digest(), root: copied })
    }

    /// Copies one image of an index, and says what has become of it if it is another one now.
    fn child(&self, descriptor: &Descriptor) -> Result<Option<(Digest, Document)>> {
        let digest = *descriptor.verifiable()?;
        let moved = |new: Digest| Moved { old: digest, new, from_index: true, to_index: true };
        let as_it_is = self.options.format.is_none()
            && self.options.layers == Layers::AsUsual
            && self.options.compression.is_none();
        // Nobody has to ask for it, where asking is counted.
        if as_it_is && self.sink.has_instance(&digest)? {
            let step = Step {
                what: "Copying image",
                digest: digest.to_string(),
                bytes: Some(descriptor.size),
            };
            self.options.progress.begin(&step).end(End::Present);
            self.beside(&moved(digest))?;
            return Ok(None);
        }
        let document = self.source.manifest(Some(&digest))?;
        let copied = self.instance(&document)?;
        self.beside(&moved(*copied.digest()))?;
        self.sink.put_instance(&copied)?;
        Ok((copied.digest() != &digest).then_some((digest, copied)))
    }

    fn check_preserved(&self, old: &Document, new: &Document) -> Result<()> {
        match self.options.preserve_digests && old.digest() != new.digest() {
            true => {
                let text = format!("the digest of manifest {} would change", old.digest());
                Err(Error::new(Kind::Unsupported, text).with_hint(
                    "leave --preserve-digests out, or choose a destination and format \
                                that can hold the image as it is",
                ))
            }
            false => Ok(()),
        }
    }

    /// Copies one manifest with all that it names; the manifest itself is left to the caller.
    fn instance(&self, document: &Document) -> Result<Document> {
        self.options.gate.check(&self.source.scopes(), document)?;
        let manifest = match document.content() {
            Content::Manifest(manifest) => manifest,
            Content::Index(_) | Content::Other => return Ok(document.clone()),
            Content::Schema1(_) => {
                let text = "an image of an index is of docker's schema 1";
                return Err(Error::new(Kind::Unsupported, text)
                    .with_hint(format!("copy it alone, by its digest {}", document.digest())));
            }
        };
        let own = rewrite::format_of(manifest);
        let is_layer = |it: &Descriptor| matches!(it.kind(), MediaType::Layer(_));
        let has_config = matches!(manifest.config.kind(), MediaType::Config(_));
        if !has_config || !manifest.layers.iter().all(is_layer) {
            return self.artifact(document, manifest, own);
        }
        let config = self.config(manifest)?;
        let format = self.format(own)?;
        let mut layers = Vec::new();
        for (position, descriptor) in manifest.layers.iter().enumerate() {
            let diff_id = config.rootfs.diff_ids.get(position);
            let diff_id = diff_id.map(AnyDigest::verifiable).transpose()?.copied();
            let target = self.target(descriptor, format);
            layers.push(Layer { descriptor, diff_id, target, format });
        }
        let copied = self.layers(&layers)?;
        if copied == manifest.layers && format == own {
            return Ok(document.clone());
        }
        let new = rewrite::image(manifest, format, &copied)?;
        self.check_preserved(document, &new)?;
        Ok(new)
    }

    /// Copies what is no image: a signature, a description, anything. It has no other form.
    fn artifact(&self, document: &Document, manifest: &Manifest, own: Format) -> Result<Document> {
        if self.takes.format.is_some_and(|wanted| wanted != own) || self.takes.plain_layers {
            let kind = manifest.artifact_kind().unwrap_or(&manifest.config.media_type);
            let text = format!("it is no image, but an artifact of the type {kind}");
            return Err(Error::new(Kind::Unsupported, text)
                .with_hint("registries, layouts (oci:) and directories (dir:) hold artifacts"));
        }
        for descriptor in manifest.layers.iter().chain([&manifest.config]) {
            self.blob(descriptor, "Copying blob")?;
        }
        Ok(document.clone())
    }

    /// Reads the configuration, and copies it.
    fn config(&self, manifest: &Manifest) -> Result<ImageConfig> {
        let descriptor = &manifest.config;
        let digest = *descriptor.verifiable()?;
        if descriptor.size > CONFIG_LIMIT_BYTES as u64 {
            return Err(Error::new(Kind::Invalid, "the configuration is larger than 4 MiB"));
        }
        let mut bytes = Vec::new();
        let mut blob = self.source.blob(descriptor)?.take(CONFIG_LIMIT_BYTES as u64 + 1);
        blob.read_to_end(&mut bytes).map_err(|error| reading(&error, &digest))?;
        let config = ImageConfig::read(&bytes)?;
        config.check_layers(manifest)?;
        let step = Step {
            what: "Copying config",
            digest: digest.to_string(),
            bytes: Some(descriptor.size),
        };
        let bar = self.options.progress.begin(&step);
        let there = self.sink.has_blob(&digest)?;
        let put = match there {
            true => Ok(()),
            false => self.sink.put_blob(descriptor, &mut &bytes[..]),
        };
        bar.advance(bytes.len() as u64);
        bar.end(end_of(&put, if there { End::Present } else { End::Done }));
        put?;
        Ok(config)
    }

    /// How a layer has to be packed, if not as it is.
    fn target(&self, layer: &Descriptor, format: Format) -> Option<Compression> {
        let MediaType::Layer(kind) = layer.kind() else { return None };
        if kind.encrypted || !kind.distributable {
            return None;
        }
        let packed = kind.compression;
        let usual = match self.takes.packs_layers && !self.options.preserve_digests {
            true => Layers::Packed,
            false => Layers::AsTheyAre,
        };
        let wanted = match self.options.layers {
            _ if self.takes.plain_layers => Compression::None,
            Layers::Plain => Compression::None,
            chosen => {
                let chosen = if chosen == Layers::AsUsual { usual } else { chosen };
                match self.options.compression {
                    Some(wanted) if chosen == Layers::Packed || self.options.force_compression => {
                        wanted
                    }
                    // docker's format has no name for it that docker knows.
                    _ if packed == Packing::Zstd
                        && format == Format::Docker
                        && self.options.format.is_some() =>
                    {
                        GZIP
                    }
                    None if packed == Packing::None && chosen == Layers::Packed => GZIP,
                    _ => return None,
                }
            }
        };
        let lacks_table = matches!(wanted, Compression::ZstdChunked(_)) && !is_chunked(layer);
        (wanted.packing() != packed || lacks_table).then_some(wanted)
    }

    /// The format of a manifest. Docker's has no layers with zstd: who wants these gets OCI's.
    fn format(&self, own: Format) -> Result<Format> {
        let zstd = self.options.compression.is_some_and(|it| it.packing() == Packing::Zstd)
            && (self.takes.packs_layers || self.options.layers == Layers::Packed);
        let said = self.options.format.or(self.takes.format);
        match (said, zstd && !self.takes.plain_layers) {
            (Some(Format::Docker), true) => {
                let text = "docker's format of manifests has no layers packed with zstd";
                Err(Error::new(Kind::Unsupported, text)
                    .with_hint("choose the format oci, or layers with gzip"))
            }
            (None, true) => Ok(Format::Oci),
            (said, _) => Ok(said.unwrap_or(own)),
        }
    }
}

impl Compression {
    fn packing(self) -> Packing {
        match self {
            Self::None => Packing::None,
            Self::Gzip(_) => Packing::Gzip,
            Self::Zstd(_) | Self::ZstdChunked(_) => Packing::Zstd,
        }
    }
}

fn end_of<T, E>(result: &std::result::Result<T, E>, good: End) -> End {
    if result.is_ok() { good } else { End::Failed }
}
