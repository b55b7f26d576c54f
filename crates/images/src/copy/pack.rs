//! Layers that are packed anew on their way.

use super::{Compression, Copying, Layer};
use crate::chunked;
use crate::error::{Error, Kind, Result};
use crate::pipe::{self, pipe};
use crate::progress::{Bar, End, Step};
use crate::rewrite;
use crate::spool::Spool;
use crate::unpack::digest_of;
use archive::compression::{Codec, Encoder, Packers};
use archive::{Limits, Sum, Sums, pass};
use oci::image::Descriptor;
use oci::{Algorithm, Digest, Map};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use transport::hash::Hashed;

impl Copying<'_> {
    /// Packs a layer while it is on its way.
    pub(super) fn packed_anew(
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
        match &self.options.precompute {
            Some(directory) => self.pack_into(directory, &media_type, layer, diff_id, target, bar),
            None => self.pack_through(&media_type, layer, diff_id, target, bar),
        }
    }

    /// Packs into a file without a name, and sends it if the sink has not the same already.
    fn pack_into(
        &self,
        directory: &Path,
        media_type: &str,
        layer: &Layer<'_>,
        diff_id: &Digest,
        target: Compression,
        bar: &dyn Bar,
    ) -> Result<Descriptor> {
        let mut spool = Spool::create(directory)?;
        let (writer, reader) = pipe();
        let mut hashed = Hashed::new(reader);
        let (made, spooled) = std::thread::scope(|scope| {
            let making = scope.spawn(move || self.make(layer, diff_id, target, writer, bar));
            let spooled = spool.fill(&mut hashed);
            let lost = |_| Err(Error::new(Kind::Os, "a thread that packs a layer has panicked"));
            if spooled.is_err() {
                // Whoever makes it must not wait for a reader that has failed.
                hashed = Hashed::new(pipe().1);
            }
            (making.join().unwrap_or_else(lost), spooled)
        });
        let annotations = match (made, spooled) {
            (Err(error), Err(own)) if error.to_string().contains(NOBODY_READS) => return Err(own),
            (Err(error), _) => return Err(error),
            (Ok(annotations), spooled) => {
                spooled?;
                annotations
            }
        };
        let mut packed = hashed.finish(media_type);
        add(&mut packed, annotations);
        let digest = *packed.verifiable()?;
        if !self.is_there(&packed, &digest)? {
            self.sink.put_blob(&packed, &mut spool.read())?;
        }
        Ok(packed)
    }

    fn pack_through(
        &self,
        media_type: &str,
        layer: &Layer<'_>,
        diff_id: &Digest,
        target: Compression,
        bar: &dyn Bar,
    ) -> Result<Descriptor> {
        let (writer, mut reader) = pipe();
        let (made, put) = std::thread::scope(|scope| {
            let making = scope.spawn(move || self.make(layer, diff_id, target, writer, bar));
            let put = self.sink.put_new(media_type, &mut reader);
            // Whoever makes it must not wait for a reader that has failed.
            drop(reader);
            let lost = |_| Err(Error::new(Kind::Os, "a thread that packs a layer has panicked"));
            (making.join().unwrap_or_else(lost), put)
        });
        match (made, put) {
            (Ok(annotations), put) => {
                let mut packed = put?;
                add(&mut packed, annotations);
                Ok(packed)
            }
            // It has stopped because nobody read on.
            (Err(error), Err(put)) if error.to_string().contains(NOBODY_READS) => Err(put.into()),
            (Err(error), _) => Err(error),
        }
    }

    /// Writes a layer into a pipe, packed. Returns the annotations that it has then.
    fn make(
        &self,
        layer: &Layer<'_>,
        diff_id: &Digest,
        target: Compression,
        writer: pipe::Writer,
        bar: &dyn Bar,
    ) -> Result<Map> {
        let codec = match target {
            Compression::None => None,
            Compression::Gzip(level) => Some(Codec::Gzip { level }),
            Compression::Zstd(level) => Some(Codec::Zstd { level }),
            Compression::ZstdChunked(level) => {
                return self.make_chunked(layer, diff_id, level, writer, bar);
            }
        };
        let (writer, written) = match codec {
            None => {
                let mut writer = writer;
                let written = self.write_plain(layer, diff_id, &mut writer, bar);
                (writer, written)
            }
            Some(codec) => {
                let mut encoder = Encoder::with(self.packers()?, codec, writer);
                match self.write_plain(layer, diff_id, &mut encoder, bar) {
                    // Without its end the stream is an error for its reader.
                    Err(error) => return Err(error),
                    Ok(()) => (encoder.finish()?, Ok(())),
                }
            }
        };
        end(writer, written).map(|()| Map::new())
    }

    /// The same, with a table of contents: the archive is looked into on its way.
    fn make_chunked(
        &self,
        layer: &Layer<'_>,
        diff_id: &Digest,
        level: u8,
        writer: pipe::Writer,
        bar: &dyn Bar,
    ) -> Result<Map> {
        let packers = self.packers()?;
        let (writer, annotations) = pipe::piped(
            |plain| self.write_plain(layer, diff_id, plain, bar),
            |plain| chunked::pack(io::BufReader::new(plain), level, &packers, writer),
        )?;
        end(writer, Ok(()))?;
        Ok(annotations.unwrap_or_else(|why| {
            let text = format!(
                "layer {} has no table of contents, and is packed with zstd: {why}",
                layer.descriptor.digest
            );
            self.options.progress.note(&text);
            Map::new()
        }))
    }

    /// The threads that pack: as many for all layers as for one.
    fn packers(&self) -> Result<Arc<Packers>> {
        let lost = |_| Error::new(Kind::Os, "a thread that packs a layer has panicked");
        let mut packers = self.packers.lock().map_err(lost)?;
        if packers.is_none() {
            *packers = Some(Arc::new(Packers::new(self.options.threads)?));
        }
        Ok(Arc::clone(packers.as_ref().ok_or_else(|| Error::new(Kind::Os, "no threads"))?))
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
        let long = diff_id.algorithm() == Algorithm::Sha512;
        let plain = if long { Sum::Both } else { Sum::Sha256 };
        let sums = Sums { packed: Sum::None, plain };
        let passed = pass(blob, &Limits::default(), sums, |blocks| {
            // The error of the writer is told by whoever reads behind it.
            Ok(io::copy(blocks, &mut output).map(drop))
        })
        .map_err(|error| {
            Error::from(error).during(format_args!("layer {}", layer.descriptor.digest))
        })?;
        passed.result.map_err(|_| Error::new(Kind::Os, NOBODY_READS))?;
        let found = digest_of(&passed.plain, diff_id.algorithm());
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

fn add(packed: &mut Descriptor, annotations: Map) {
    for (key, value) in annotations.iter() {
        packed.annotations.insert(key.clone(), value.clone());
    }
}

/// Says how a stream has ended, to whoever reads it.
fn end(writer: pipe::Writer, written: Result<()>) -> Result<()> {
    let result = match &written {
        Ok(()) => Ok(()),
        Err(error) => Err(io::Error::other(error.to_string())),
    };
    match (written, writer.finish(result)) {
        (Ok(()), Err(_)) => Err(Error::new(Kind::Os, NOBODY_READS)),
        (written, _) => written,
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
