//! An image of the store as a source.

use crate::error::{Error, Kind, Result};
use crate::keys::layer_keys;
use crate::unpack::Rights;
use archive::index::{from_tree, rebuild};
use oci::image::{CONFIG_LIMIT_BYTES, Descriptor, Document, ImageConfig, SIZE_LIMIT_BYTES};
use oci::{Algorithm, Digest};
use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::sync::Mutex;
use store::{Layer, LayerKey, Store, Work};
use sys::Errno;
use transport::hash::{Verified, verify_manifest};
use transport::policy::Scopes;
use transport::{Blob, Source};

/// What the layers of the index are read in.
const INDEX_BUFFER_BYTES: usize = 64 << 10;

/// An image of the store.
pub struct Stored<'s> {
    store: &'s Store,
    root: Document,
    name: String,
    rights: Rights,
    /// The layers of the images that were asked for, by the digests of their tars. The same tar may be
    /// another layer on another image; as a tar it is the same.
    layers: Mutex<BTreeMap<Digest, LayerKey>>,
    /// Lets the collector leave it alone while it is read.
    _lease: Option<Work<'s>>,
}

impl<'s> Stored<'s> {
    /// Opens what a digest says; `name` is for messages. In a store that was opened for writing it stays while this
    /// lives, whoever takes its names away.
    pub fn open(
        store: &'s Store,
        name: &str,
        digest: &Digest,
        media_type: &str,
        rights: Rights,
    ) -> Result<Self> {
        let lease = lease(store, digest)?;
        let bytes = store.read_blob(digest, SIZE_LIMIT_BYTES)?;
        let root = verify_manifest(bytes, media_type, Some(digest))?;
        let layers = Mutex::new(BTreeMap::new());
        Ok(Self { store, root, name: name.to_owned(), rights, layers, _lease: lease })
    }

    /// Its manifest or index.
    pub fn root(&self) -> &Document {
        &self.root
    }

    /// Notes which layers an image has.
    fn know(&self, document: &Document) -> Result<()> {
        let Some(manifest) = document.manifest() else { return Ok(()) };
        let Ok(bytes) = self.store.read_blob(manifest.config.verifiable()?, CONFIG_LIMIT_BYTES)
        else {
            return Ok(());
        };
        // The configuration of an artifact is whatever it is.
        let Ok(config) = ImageConfig::read(&bytes) else { return Ok(()) };
        let keys = layer_keys(self.store, &config, self.rights)?;
        if let Ok(mut layers) = self.layers.lock() {
            for (diff_id, key) in config.rootfs.diff_ids.iter().zip(keys) {
                if let (Ok(diff_id), Some(key)) = (diff_id.verifiable(), key) {
                    layers.insert(*diff_id, key);
                }
            }
        }
        Ok(())
    }

    fn layer(&self, diff_id: &Digest) -> Result<Option<Layer>> {
        let key = self.layers.lock().ok().and_then(|layers| layers.get(diff_id).copied());
        match key {
            Some(key) => Ok(self.store.layer(&key)?),
            None => Ok(None),
        }
    }
}

impl Source for Stored<'_> {
    fn scopes(&self) -> Scopes {
        Scopes::of_transport("store", &self.name)
    }

    fn manifest(&self, digest: Option<&Digest>) -> transport::Result<Document> {
        let document = match digest {
            Some(digest) if digest != self.root.digest() => {
                let bytes = self.store.read_blob(digest, SIZE_LIMIT_BYTES).map_err(|error| {
                    let text = format!("{}: {error}", self.name);
                    let own = Error::from(error);
                    transport::Error::from(Error::new(own.kind(), text).with_hint(
                        "only some of its platforms may have been pulled: choose one by --platform",
                    ))
                })?;
                verify_manifest(bytes, "", Some(digest))?
            }
            _ => self.root.clone(),
        };
        self.know(&document)?;
        Ok(document)
    }

    fn blob(&self, descriptor: &Descriptor) -> transport::Result<Blob> {
        let digest = *descriptor.verifiable()?;
        let file = self.store.open_blob(&digest).map_err(Error::from)?;
        Ok(Box::new(Verified::new(BufReader::new(file), digest, Some(descriptor.size))))
    }

    fn has_packed(&self, descriptor: &Descriptor) -> transport::Result<bool> {
        let digest = descriptor.verifiable()?;
        Ok(self.store.blob_size(digest).map_err(Error::from)?.is_some())
    }

    fn write_plain(
        &self,
        layer: &Descriptor,
        diff_id: &Digest,
        output: &mut dyn Write,
    ) -> transport::Result<bool> {
        match self.layer(diff_id)? {
            Some(found) => {
                let written = rebuild_layer(&found, output)?;
                match written == *diff_id {
                    true => Ok(true),
                    false => {
                        let text = format!("layer {diff_id}: the store has {written} in its place");
                        Err(Error::new(Kind::Corrupt, text).into())
                    }
                }
            }
            None if self.store.blob_size(layer.verifiable()?).is_ok_and(|it| it.is_some()) => {
                Ok(false)
            }
            None => {
                let text = format!("layer {diff_id} is not in the store");
                Err(Error::new(Kind::NotFound, text).with_hint("pull the image again").into())
            }
        }
    }
}

/// Nothing in a store that cannot be written to. An image must get away from a disk that is full, too.
fn lease<'s>(store: &'s Store, digest: &Digest) -> Result<Option<Work<'s>>> {
    const CANNOT: [store::Kind; 4] = [
        store::Kind::ReadOnly,
        store::Kind::Os(Errno::EROFS),
        store::Kind::Os(Errno::ENOSPC),
        store::Kind::Os(Errno::EDQUOT),
    ];
    let begun = store.begin().and_then(|mut work| work.has_blob(*digest).map(|_| work));
    match begun {
        Err(error) if CANNOT.contains(&error.kind()) => Ok(None),
        result => Ok(Some(result?)),
    }
}

/// Writes the tar that a layer was, byte for byte, and says what its digest is.
pub fn rebuild_layer(layer: &Layer, output: &mut dyn Write) -> Result<Digest> {
    let tree = layer.diff_dir()?;
    // Nothing was replaced where there is no such directory: then nobody looks into it.
    let kept = match layer.kept_dir()? {
        Some(kept) => kept,
        None => layer.diff_dir()?,
    };
    let open = || {
        let index = layer.open_index().map_err(|error| std::io::Error::other(error.to_string()));
        match index {
            Ok(index) => Ok(BufReader::with_capacity(INDEX_BUFFER_BYTES, index)),
            Err(error) => Err(archive::Error::of_io(&error, "opening an index")),
        }
    };
    let wants_sha512 = layer.key.diff_id.algorithm() == Algorithm::Sha512;
    let mut long = wants_sha512.then(|| transport::hash::Hasher::new(Algorithm::Sha512));
    let mut hashed = Hashing { output, long: &mut long };
    let end = rebuild(open, from_tree(tree.borrow(), kept.borrow()), &mut hashed)
        .map_err(|error| Error::from(error).during(format_args!("layer {}", layer.key)))?;
    match long {
        Some(long) => Ok(long.finish()),
        None => Digest::new(Algorithm::Sha256, &end.sha256)
            .ok_or_else(|| Error::new(Kind::Corrupt, "a hash has not the length of its algorithm")),
    }
}

/// Hashes once more where the digest is not the index's own.
struct Hashing<'a> {
    output: &'a mut dyn Write,
    long: &'a mut Option<transport::hash::Hasher>,
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.output.write(bytes)?;
        if let Some(long) = self.long {
            long.update(&bytes[..count]);
        }
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.output.flush()
    }
}
