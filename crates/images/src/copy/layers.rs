//! Layers and other content on their way: as they are, wherever they can be had.

use super::{Compression, Copying, GZIP, Layer, end_of};
use crate::chunked::is_chunked;
use crate::error::{Error, Kind, Result};
use crate::progress::{End, Step, Told};
use oci::Digest;
use oci::image::media_type::Compression as Packing;
use oci::image::{Descriptor, MediaType};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use transport::Source;

impl Copying<'_> {
    pub(super) fn layers(&self, layers: &[Layer<'_>]) -> Result<Vec<Descriptor>> {
        let next = AtomicUsize::new(0);
        let copied: Mutex<Vec<Option<Descriptor>>> = Mutex::new(vec![None; layers.len()]);
        let failed: Mutex<Option<Error>> = Mutex::new(None);
        let mut order: Vec<usize> = (0..layers.len()).collect();
        if !self.takes.in_order {
            // One thread is not left alone with the largest at the end.
            order.sort_by_key(|position| std::cmp::Reverse(layers[*position].descriptor.size));
        }
        let work = || {
            while let Some(&position) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
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
        let kind = match descriptor.kind() {
            MediaType::Layer(kind) => Some(kind.compression),
            _ => None,
        };
        if kind == Some(Packing::None) && layer.diff_id == Some(digest) {
            // It was never packed: it comes out as it was.
            return self.packed_anew(layer, Compression::None, None);
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
        let packing = match kind {
            Some(Packing::Zstd) if is_chunked(descriptor) => Compression::ZstdChunked(3),
            Some(Packing::Zstd) => Compression::Zstd(3),
            _ => GZIP,
        };
        let target = self.options.compression.unwrap_or(packing);
        self.packed_anew(layer, target, Some(&why))
    }

    /// Whether the sink has content, or can take it over from where it knows it.
    pub(super) fn is_there(&self, descriptor: &Descriptor, digest: &Digest) -> Result<bool> {
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

    pub(super) fn blob(&self, descriptor: &Descriptor, what: &'static str) -> Result<()> {
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
}
