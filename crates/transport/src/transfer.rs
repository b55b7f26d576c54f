//! Where an image is read from and written to.

use crate::error::{Error, ErrorKind, Result};
use crate::policy::Scopes;
use crate::signature::Signature;
use oci::image::media_type::Format;
use oci::image::{Descriptor, Document};
use oci::{Digest, Reference};
use std::io::{Read, Write};

/// Bytes that are copied at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Content on its way. Its end is an error when it is not what its descriptor says.
pub type Blob = Box<dyn Read + Send>;

/// Somewhere an image is.
///
/// Threads may read several blobs at once.
pub trait Source: Send + Sync {
    /// What policies call the image.
    fn scopes(&self) -> Scopes;

    /// The image's manifest or index; with a digest, one of the manifests that it leads to.
    fn manifest(&self, digest: Option<&Digest>) -> Result<Document>;

    /// A configuration, layer or other content that a manifest names.
    fn blob(&self, descriptor: &Descriptor) -> Result<Blob>;

    /// Whether content can be had as it was packed. Where layers are kept unpacked, they cannot.
    fn has_packed(&self, _descriptor: &Descriptor) -> Result<bool> {
        Ok(true)
    }

    /// Writes a layer as an archive that is not packed, where it is kept so that this costs less than
    /// unpacking it. Says whether it has.
    fn write_plain(
        &self,
        _layer: &Descriptor,
        _diff_id: &Digest,
        _output: &mut dyn Write,
    ) -> Result<bool> {
        Ok(false)
    }

    /// How large content is that no descriptor tells of: docker's schema 1 has digests alone.
    fn blob_size(&self, digest: &Digest) -> Result<u64> {
        let text = format!("nobody knows the size of {digest}");
        Err(Error::new(ErrorKind::Unsupported, text))
    }

    /// The signatures that are kept beside the image; with a digest, of one of its manifests.
    fn signatures(&self, _instance: Option<&Digest>) -> Result<Vec<Signature>> {
        Ok(Vec::new())
    }

    /// What is kept below another tag or name beside the image, where somebody has said that this is so.
    fn companion(&self, _tag: &str) -> Result<Option<Document>> {
        Ok(None)
    }

    /// What refers to a manifest, wherever that is known.
    fn referrers(&self, _subject: &Digest) -> Result<Vec<Descriptor>> {
        Ok(Vec::new())
    }
}

/// Somewhere an image goes: first its blobs, then the manifests that name them, and at last the one
/// that the name stands for.
///
/// Threads may write several blobs at once. What is put becomes visible at once or with
/// [`Sink::finish`], but no manifest is visible before its blobs.
pub trait Sink: Send + Sync {
    /// What it can hold.
    fn takes(&self) -> Takes {
        Takes::default()
    }

    /// Whether content is there already.
    fn has_blob(&self, digest: &Digest) -> Result<bool>;

    /// Puts content, which has to be what its descriptor says.
    fn put_blob(&self, descriptor: &Descriptor, content: &mut dyn Read) -> Result<()>;

    /// Puts content whose digest is known only at its end, and says what it was. A failed read leaves
    /// nothing.
    fn put_new(&self, media_type: &str, content: &mut dyn Read) -> Result<Descriptor>;

    /// Takes content from another repository of the same registry, where that is possible.
    fn mount_blob(&self, _digest: &Digest, _from: &Reference) -> Result<bool> {
        Ok(false)
    }

    /// Whether a manifest is there already, with all that it leads to.
    fn has_instance(&self, _digest: &Digest) -> Result<bool> {
        Ok(false)
    }

    /// Puts a manifest that another one names.
    fn put_instance(&self, manifest: &Document) -> Result<()>;

    /// Puts the signatures of the image, or of one of its manifests, which must come afterwards. Returns
    /// those that there is no place for.
    fn put_signatures(
        &self,
        _manifest: &Digest,
        _is_instance: bool,
        signatures: &[Signature],
    ) -> Result<Vec<Signature>> {
        Ok(signatures.to_vec())
    }

    /// What is below another tag or name beside the image, if such are kept.
    fn companion(&self, _tag: &str) -> Result<Option<Document>> {
        Ok(None)
    }

    /// Puts a manifest below another tag or name beside the image, where there is a place for such
    /// ([`Takes::companions`]).
    fn put_companion(&self, _tag: &str, _manifest: &Document) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, "there is a place for one image only"))
    }

    /// Puts a manifest that refers to another one so that it can be found by that, where there is a place for
    /// such ([`Takes::referrers`]).
    fn put_referrer(&self, _manifest: &Document) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, "there is a place for one image only"))
    }

    /// Puts the manifest that the name stands for, and makes the image complete.
    fn finish(&self, manifest: &Document) -> Result<()>;
}

/// What a sink can hold. The default is any image, and nothing beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Takes {
    /// Manifests of this format only.
    pub format: Option<Format>,
    /// Layers have to be unpacked archives.
    pub plain_layers: bool,
    /// Layers are packed by default.
    pub packs_layers: bool,
    /// One image only, and no index.
    pub single: bool,
    /// One blob after the other, as the manifest names them: what is written is one stream, and the same
    /// for the same image.
    pub in_order: bool,
    /// What cosign keeps beside images, below tags of their own.
    pub companions: bool,
    /// What refers to images.
    pub referrers: bool,
}

/// Copies content, and says whose fault a failure is.
pub(crate) fn copy(
    what: &Descriptor,
    content: &mut dyn Read,
    to: &mut dyn std::io::Write,
) -> Result<()> {
    pour(&what.digest, content, &mut |bytes| {
        to.write_all(bytes)
            .map_err(|error| Error::new(ErrorKind::Os, format!("write {}: {error}", what.digest)))
    })
}

/// Gives content away in pieces, and says whose fault a failure is.
pub(crate) fn pour(
    what: &dyn std::fmt::Display,
    content: &mut dyn Read,
    put: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match content.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => put(&buffer[..count])?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(Error::new(kind_of(&error), format!("read {what}: {error}")));
            }
        }
    }
}

/// Whose fault a failed read is.
fn kind_of(error: &std::io::Error) -> ErrorKind {
    // Whatever unpacks has errors of its own, which travel in those of the stream.
    let own = error.get_ref().and_then(|inner| inner.downcast_ref::<archive::Error>());
    match (own, error.kind()) {
        (Some(own), _) => crate::archives::kind_of(own),
        (None, std::io::ErrorKind::InvalidData) => ErrorKind::Corrupt,
        (None, _) => ErrorKind::Os,
    }
}

/// Copies everything that a manifest leads to from one place to another, one after the other.
pub fn copy_image(source: &dyn Source, sink: &dyn Sink) -> Result<()> {
    let root = source.manifest(None)?;
    if let Some(index) = root.index() {
        for descriptor in &index.manifests {
            let instance = source.manifest(Some(descriptor.verifiable()?))?;
            copy_blobs(source, sink, &instance)?;
            sink.put_instance(&instance)?;
        }
    }
    copy_blobs(source, sink, &root)?;
    sink.finish(&root)
}

fn copy_blobs(source: &dyn Source, sink: &dyn Sink, manifest: &Document) -> Result<()> {
    let Some(manifest) = manifest.manifest() else { return Ok(()) };
    for descriptor in manifest.layers.iter().chain([&manifest.config]) {
        if !sink.has_blob(descriptor.verifiable()?)? {
            sink.put_blob(descriptor, &mut source.blob(descriptor)?)?;
        }
    }
    Ok(())
}
