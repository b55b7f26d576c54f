//! From a source to a sink.
//!
//! Everything goes as it is unless somebody wants it otherwise: a sink that holds one form only, or the
//! caller. A layer that cannot be had as its descriptor says (the store keeps layers unpacked) is looked for
//! in the sink, in another repository of the same registry, and where the image came from; only then it
//! is packed anew, which changes its digest, and that is said.

use crate::error::{Error, Kind, Result};
use crate::gate::Gate;
use crate::pipe::{self, pipe};
use crate::progress::{Bar, End, Progress, Step, Told};
use crate::pull::reading;
use crate::rewrite;
use archive::compression::{Codec, Encoder};
use archive::{Limits, Sha512, pass};
use oci::image::media_type::{Compression as Packing, Format};
use oci::image::{
    CONFIG_LIMIT_BYTES, Content, Descriptor, Document, ImageConfig, Manifest, MediaType, Wanted,
};
use oci::{Algorithm, AnyDigest, Digest, Reference};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use transport::{Sink, Source};

/// Which images of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instances {
    /// The one for a platform.
    One(Wanted),
    /// All.
    All,
    /// None: the index alone.
    IndexOnly,
}

/// How layers are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, with a level from 1 to 9.
    Gzip(u8),
    /// zstd, with a level from 1 to 19.
    Zstd(u8),
}

/// Level 6: what every other tool does.
const GZIP: Compression = Compression::Gzip(6);
/// Layers that are copied at once unless the caller wants something else: packing takes every
/// processor for one already.
const PARALLEL: usize = 3;

/// Opens the place that an image came from, if there is one.
pub type OpenOrigin<'a> = dyn Fn() -> Result<Option<Box<dyn Source>>> + Sync + 'a;

/// How to copy.
pub struct CopyOptions<'a> {
    /// Which images of an index.
    pub instances: Instances,
    /// The format of manifests; `None` keeps it.
    pub format: Option<Format>,
    /// How layers that are not packed are packed; `None` leaves it to the sink.
    pub compression: Option<Compression>,
    /// Layers that are packed otherwise are packed anew, too.
    pub force_compression: bool,
    /// Fail where a digest would change.
    pub preserve_digests: bool,
    /// Where the image came from, for what the source has unpacked only.
    pub origin: Option<&'a OpenOrigin<'a>>,
    /// Repositories that may have the layers, too.
    pub mount_from: Vec<Reference>,
    /// How many layers are copied at once.
    pub parallel: usize,
    /// Threads that pack one layer.
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
            compression: None,
            force_compression: false,
            preserve_digests: false,
            origin: None,
            mount_from: Vec::new(),
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
    let copying = Copying { source, sink, options, takes: sink.takes(), origin: Mutex::new(None) };
    let root = source.manifest(None)?;
    let Some(index) = root.index() else {
        let copied = copying.instance(&root)?;
        sink.finish(&copied)?;
        return Ok(Copied { changed: copied.digest() != root.digest(), root: copied });
    };
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
        let copied = copying.instance(&document)?;
        sink.finish(&copied)?;
        return Ok(Copied { changed: copied.digest() != document.digest(), root: copied });
    }
    let mut changed = BTreeMap::new();
    for descriptor in chosen {
        let digest = *descriptor.verifiable()?;
        let document = source.manifest(Some(&digest))?;
        let copied = copying.instance(&document)?;
        sink.put_instance(&copied)?;
        if copied.digest() != &digest {
            changed.insert(digest, copied);
        }
    }
    let format = options.format.or(copying.takes.format);
    let own = match (format, MediaType::of(root.media_type())) {
        (Some(wanted), MediaType::Index(format)) => wanted != format,
        _ => false,
    };
    let new = match changed.is_empty() && !own {
        true => root.clone(),
        false => rewrite::index(index, root.media_type(), format, &changed)?,
    };
    copying.check_preserved(&root, &new)?;
    sink.finish(&new)?;
    Ok(Copied { changed: new.digest() != root.digest(), root: new })
}

struct Copying<'c> {
    source: &'c dyn Source,
    sink: &'c dyn Sink,
    options: &'c CopyOptions<'c>,
    takes: transport::Takes,
    /// Where the image came from, or why that cannot be opened, once it was tried.
    origin: Mutex<Option<std::result::Result<Arc<dyn Source>, String>>>,
}

/// A layer as it is copied.
struct Layer<'l> {
    descriptor: &'l Descriptor,
    diff_id: Option<Digest>,
    /// It has to be packed so.
    target: Option<Compression>,
    format: Format,
}

impl Copying<'_> {
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
                let text = "the manifest is docker's schema 1";
                return Err(Error::new(Kind::Unsupported, text)
                    .with_hint("pull it into the store, which makes a newer one of it"));
            }
        };
        let is_image = matches!(manifest.config.kind(), MediaType::Config(_));
        let config = self.config(manifest, is_image)?;
        let own = rewrite::format_of(manifest);
        let format = self.options.format.or(self.takes.format).unwrap_or(own);
        let mut layers = Vec::new();
        for (position, descriptor) in manifest.layers.iter().enumerate() {
            let diff_id = config.as_ref().and_then(|it| it.rootfs.diff_ids.get(position));
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

    /// Copies the configuration, and reads it if it is that of an image.
    fn config(&self, manifest: &Manifest, is_image: bool) -> Result<Option<ImageConfig>> {
        let descriptor = &manifest.config;
        let digest = *descriptor.verifiable()?;
        if !is_image {
            self.blob(descriptor, "Copying config")?;
            return Ok(None);
        }
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
        Ok(Some(config))
    }

    /// How a layer has to be packed, if not as it is.
    fn target(&self, layer: &Descriptor, format: Format) -> Option<Compression> {
        let MediaType::Layer(kind) = layer.kind() else { return None };
        if kind.encrypted || !kind.distributable {
            return None;
        }
        if self.takes.plain_layers {
            return (kind.compression != Packing::None).then_some(Compression::None);
        }
        let wanted = match (self.options.compression, kind.compression) {
            (Some(wanted), Packing::None) => wanted,
            (Some(wanted), _) if self.options.force_compression => wanted,
            // docker's format has no name for it that docker knows.
            (None, Packing::Zstd) if format == Format::Docker && self.options.format.is_some() => {
                GZIP
            }
            (None, Packing::None) if self.takes.packs_layers => GZIP,
            _ => return None,
        };
        (wanted.packing() != kind.compression).then_some(wanted)
    }

    fn layers(&self, layers: &[Layer<'_>]) -> Result<Vec<Descriptor>> {
        let next = AtomicUsize::new(0);
        let copied: Mutex<Vec<Option<Descriptor>>> = Mutex::new(vec![None; layers.len()]);
        let failed: Mutex<Option<Error>> = Mutex::new(None);
        let work = || {
            while let Some(position) = Some(next.fetch_add(1, Ordering::Relaxed))
                .filter(|position| *position < layers.len())
            {
                match self.layer(&layers[position]) {
                    Ok(descriptor) => {
                        if let Ok(mut copied) = copied.lock() {
                            copied[position] = Some(descriptor);
                        }
                    }
                    Err(error) => {
                        next.store(layers.len(), Ordering::Relaxed);
                        if let Ok(mut failed) = failed.lock() {
                            failed.get_or_insert(error);
                        }
                        return;
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            let parallel = if self.takes.in_order { 1 } else { self.options.parallel };
            for _ in 1..parallel.clamp(1, layers.len().max(1)) {
                scope.spawn(work);
            }
            work();
        });
        let lost = || Error::new(Kind::Os, "a thread that copies layers has stopped");
        if let Some(error) = failed.into_inner().map_err(|_| lost())? {
            return Err(error);
        }
        let copied = copied.into_inner().map_err(|_| lost())?;
        copied.into_iter().collect::<Option<Vec<Descriptor>>>().ok_or_else(lost)
    }

    fn layer(&self, layer: &Layer<'_>) -> Result<Descriptor> {
        match layer.target {
            None => self.as_it_is(layer),
            Some(target) => self.packed_anew(layer, target, None),
        }
    }

    /// Copies a layer with its digest, wherever it can be had.
    fn as_it_is(&self, layer: &Layer<'_>) -> Result<Descriptor> {
        let descriptor = layer.descriptor;
        if self.source.has_packed(descriptor)? {
            self.blob(descriptor, "Copying blob")?;
            return Ok(descriptor.clone());
        }
        let digest = *descriptor.verifiable()?;
        if self.is_there(descriptor, &digest)? {
            return Ok(descriptor.clone());
        }
        let blob = self
            .origin()?
            .and_then(|origin| origin.blob(descriptor).map_err(|error| error.to_string()));
        let why = match blob {
            Ok(blob) => {
                self.put(descriptor, blob, "Copying blob")?;
                return Ok(descriptor.clone());
            }
            Err(why) => why,
        };
        if self.options.preserve_digests {
            let text = format!("layer {digest} is kept unpacked, and cannot be had again: {why}");
            return Err(Error::new(Kind::NotFound, text)
                .with_hint("without --preserve-digests it is packed anew"));
        }
        let packing = match descriptor.kind() {
            MediaType::Layer(kind) if kind.compression == Packing::Zstd => Compression::Zstd(3),
            _ => GZIP,
        };
        let target = self.options.compression.unwrap_or(packing);
        self.packed_anew(layer, target, Some(&why))
    }

    /// Whether the sink has content, or can take it over from where it knows it.
    fn is_there(&self, descriptor: &Descriptor, digest: &Digest) -> Result<bool> {
        let step =
            Step { what: "Copying blob", digest: digest.to_string(), bytes: Some(descriptor.size) };
        if self.sink.has_blob(digest)? {
            self.options.progress.begin(&step).end(End::Present);
            return Ok(true);
        }
        for from in &self.options.mount_from {
            if self.sink.mount_blob(digest, from)? {
                self.options.progress.begin(&step).end(End::Mounted);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn blob(&self, descriptor: &Descriptor, what: &'static str) -> Result<()> {
        let digest = *descriptor.verifiable()?;
        if self.is_there(descriptor, &digest)? {
            return Ok(());
        }
        let blob = match descriptor.embedded() {
            Some(bytes) => Box::new(io::Cursor::new(bytes)),
            None => self.source.blob(descriptor)?,
        };
        self.put(descriptor, blob, what)
    }

    fn put(
        &self,
        descriptor: &Descriptor,
        blob: transport::Blob,
        what: &'static str,
    ) -> Result<()> {
        let digest = descriptor.digest.to_string();
        let bar = self.options.progress.begin(&Step { what, digest, bytes: Some(descriptor.size) });
        let put = self.sink.put_blob(descriptor, &mut Told { inner: blob, bar: &*bar });
        bar.end(end_of(&put, End::Done));
        Ok(put?)
    }

    /// Where the image came from, or why nobody can be asked there.
    fn origin(&self) -> Result<std::result::Result<Arc<dyn Source>, String>> {
        let lost = || Error::new(Kind::Os, "a thread that copies layers has stopped");
        let mut origin = self.origin.lock().map_err(|_| lost())?;
        let open = || {
            let unknown = || "nobody knows where it came from".to_owned();
            match self.options.origin.ok_or_else(unknown)?() {
                Ok(Some(source)) => Ok(Arc::from(source)),
                Ok(None) => Err(unknown()),
                Err(error) => Err(error.to_string()),
            }
        };
        Ok(origin.get_or_insert_with(open).clone())
    }

    /// Packs a layer while it is on its way.
    fn packed_anew(
        &self,
        layer: &Layer<'_>,
        target: Compression,
        why: Option<&str>,
    ) -> Result<Descriptor> {
        let descriptor = layer.descriptor;
        let Some(diff_id) = layer.diff_id else {
            let text = format!("layer {} has no digest in a configuration", descriptor.digest);
            return Err(Error::new(Kind::Unsupported, text));
        };
        if target == Compression::None && self.sink.has_blob(&diff_id)? {
            self.options
                .progress
                .begin(&Step { what: "Copying blob", digest: diff_id.to_string(), bytes: None })
                .end(End::Present);
        }
        let step = Step { what: "Packing layer", digest: diff_id.to_string(), bytes: None };
        let bar = self.options.progress.begin(&step);
        let packed = self.pack(layer, &diff_id, target, &*bar);
        bar.end(match &packed {
            Ok(_) => End::Done,
            Err(_) => End::Failed,
        });
        let mut packed = packed?;
        for (key, value) in descriptor.annotations.iter() {
            // What is said of the packed form is true of another one.
            if !key.starts_with("io.github.containers.zstd-chunked.")
                && !key.starts_with("containerd.io/snapshot/stargz")
            {
                packed.annotations.insert(key.clone(), value.clone());
            }
        }
        if let Some(why) = why
            && packed.digest != descriptor.digest
        {
            self.options.progress.note(&format!(
                "layer {} is now {}: it was packed anew, as {why}",
                descriptor.digest, packed.digest
            ));
        }
        Ok(packed)
    }

    fn pack(
        &self,
        layer: &Layer<'_>,
        diff_id: &Digest,
        target: Compression,
        bar: &dyn Bar,
    ) -> Result<Descriptor> {
        let media_type = rewrite::layer_type(layer.format, target.packing(), true);
        let (writer, mut reader) = pipe();
        let (made, put) = std::thread::scope(|scope| {
            let making = scope.spawn(move || self.make(layer, diff_id, target, writer, bar));
            let put = self.sink.put_new(&media_type, &mut reader);
            // Whoever makes it must not wait for a reader that has failed.
            drop(reader);
            let lost = |_| Err(Error::new(Kind::Os, "a thread that packs a layer has panicked"));
            (making.join().unwrap_or_else(lost), put)
        });
        match (made, put) {
            (Ok(()), put) => Ok(put?),
            // It has stopped because nobody read on.
            (Err(error), Err(put)) if error.to_string().contains(NOBODY_READS) => Err(put.into()),
            (Err(error), _) => Err(error),
        }
    }

    /// Writes a layer into a pipe, packed.
    fn make(
        &self,
        layer: &Layer<'_>,
        diff_id: &Digest,
        target: Compression,
        writer: pipe::Writer,
        bar: &dyn Bar,
    ) -> Result<()> {
        let codec = match target {
            Compression::None => None,
            Compression::Gzip(level) => Some(Codec::Gzip { level }),
            Compression::Zstd(level) => Some(Codec::Zstd { level }),
        };
        let (writer, written) = match codec {
            None => {
                let mut writer = writer;
                let written = self.write_plain(layer, diff_id, &mut writer, bar);
                (writer, written)
            }
            Some(codec) => {
                let mut encoder = Encoder::new(codec, self.options.threads, writer)?;
                match self.write_plain(layer, diff_id, &mut encoder, bar) {
                    // Without its end the stream is an error for its reader.
                    Err(error) => return Err(error),
                    Ok(()) => (encoder.finish()?, Ok(())),
                }
            }
        };
        let result = match &written {
            Ok(()) => Ok(()),
            Err(error) => Err(io::Error::other(error.to_string())),
        };
        match (written, writer.finish(result)) {
            (Ok(()), Err(_)) => Err(Error::new(Kind::Os, NOBODY_READS)),
            (written, _) => written,
        }
    }

    /// Writes a layer as it is unpacked, and compares its digest.
    fn write_plain(
        &self,
        layer: &Layer<'_>,
        diff_id: &Digest,
        output: &mut dyn Write,
        bar: &dyn Bar,
    ) -> Result<()> {
        let mut output = Counted { output, bar };
        if self.source.write_plain(layer.descriptor, diff_id, &mut output)? {
            return Ok(());
        }
        let blob = self.source.blob(layer.descriptor)?;
        let sha512 = Sha512 { packed: false, plain: diff_id.algorithm() == Algorithm::Sha512 };
        let passed = pass(blob, &Limits::default(), sha512, |blocks| {
            // The error of the writer is told by whoever reads behind it.
            Ok(io::copy(blocks, &mut output).map(drop))
        })
        .map_err(|error| {
            Error::from(error).during(format_args!("layer {}", layer.descriptor.digest))
        })?;
        passed.result.map_err(|_| Error::new(Kind::Os, NOBODY_READS))?;
        let found = match diff_id.algorithm() {
            Algorithm::Sha256 => Digest::new(Algorithm::Sha256, &passed.plain.sha256),
            Algorithm::Sha512 => passed
                .plain
                .sha512
                .as_ref()
                .and_then(|hash| Digest::new(Algorithm::Sha512, &hash[..])),
        };
        match found.as_ref() == Some(diff_id) {
            true => Ok(()),
            false => {
                let text = format!(
                    "layer {}: its archive is not {diff_id}, as the configuration says",
                    layer.descriptor.digest
                );
                Err(Error::new(Kind::Corrupt, text))
            }
        }
    }
}

/// What a writer tells whose reader has failed; the reader knows why.
const NOBODY_READS: &str = "nobody reads on";

/// Tells how much was written.
struct Counted<'a> {
    output: &'a mut dyn Write,
    bar: &'a dyn Bar,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.output.write(bytes)?;
        self.bar.advance(count as u64);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

impl Compression {
    fn packing(self) -> Packing {
        match self {
            Self::None => Packing::None,
            Self::Gzip(_) => Packing::Gzip,
            Self::Zstd(_) => Packing::Zstd,
        }
    }
}

fn end_of<T, E>(result: &std::result::Result<T, E>, good: End) -> End {
    if result.is_ok() { good } else { End::Failed }
}
