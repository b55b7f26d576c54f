//! Images of docker's schema 1 as newer programs have them.
//!
//! Their manifests tell neither the sizes of layers nor the digests of what is unpacked, so the layers are
//! fetched first, into files without a name, and hashed both ways on the way; then a configuration and a
//! manifest of schema 2 are made. The same image is the same bytes each time.

use crate::error::{Error, Kind, Result};
use crate::gate::Gate;
use crate::progress::{End, Progress, Step, Told};
use crate::spool::Spool;
use crate::unpack::digest_of;
use archive::{Limits, Sum, Sums, pass};
use oci::image::media_type::{DOCKER_CONFIG, DOCKER_LAYER_GZIP, DOCKER_MANIFEST};
use oci::image::{Descriptor, Document, Manifest, schema1};
use oci::{Algorithm, AnyDigest, Digest};
use std::collections::BTreeMap;
use std::io::{self, Cursor};
use std::path::PathBuf;
use transport::hash::{Verified, verify_manifest};
use transport::policy::Scopes;
use transport::{Blob, Source};

/// Most layers of an image: docker takes 127.
const LAYERS_LIMIT: usize = 1000;

/// Makes a directory for temporary files.
pub type OpenTemporary<'a> = dyn Fn() -> Result<PathBuf> + Sync + 'a;

/// An image of schema 1 that was converted.
pub(crate) struct Converted {
    scopes: Scopes,
    manifest: Document,
    config: Vec<u8>,
    layers: BTreeMap<Digest, Fetched>,
}

/// A layer.
#[derive(Clone)]
struct Fetched {
    descriptor: Descriptor,
    diff_id: Digest,
    content: Spool,
}

/// For what was made of something that the gate has let through.
pub(crate) struct LetThrough;

impl Gate for LetThrough {
    fn check(&self, _scopes: &Scopes, _manifest: &Document) -> Result<()> {
        Ok(())
    }
}

impl Converted {
    /// Fetches the layers of an image, and makes a newer one of it.
    pub(crate) fn new(
        source: &dyn Source,
        old: &schema1::Manifest,
        temporary: Option<&OpenTemporary<'_>>,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let layers = old.layers()?;
        if layers.len() > LAYERS_LIMIT {
            return Err(Error::new(Kind::Invalid, format!("more than {LAYERS_LIMIT} layers")));
        }
        let nowhere = || {
            let text = "docker's schema 1 is converted through temporary files, and there is no \
                        place for them";
            Error::new(Kind::Unsupported, text)
        };
        let directory = temporary.ok_or_else(nowhere)?()?;
        let mut fetched: BTreeMap<Digest, Fetched> = BTreeMap::new();
        let (mut descriptors, mut diff_ids) = (Vec::new(), Vec::new());
        for layer in layers.iter().filter(|layer| !layer.empty) {
            let digest = *layer.blob.verifiable()?;
            let layer = match fetched.get(&digest) {
                Some(known) => known.clone(),
                None => fetch(source, &digest, Spool::create(&directory)?, progress)?,
            };
            descriptors.push(layer.descriptor.clone());
            diff_ids.push(AnyDigest::from(layer.diff_id));
            fetched.insert(digest, layer);
        }
        let config = old.config(&diff_ids)?.into_bytes();
        let digest = transport::hash::digest_of(Algorithm::Sha256, &config);
        let manifest = Manifest {
            schema_version: 2,
            media_type: DOCKER_MANIFEST.into(),
            config: Descriptor::new(DOCKER_CONFIG, digest, config.len() as u64),
            layers: descriptors,
            ..Manifest::default()
        };
        let manifest = verify_manifest(oci::json::write(&manifest).into_bytes(), "", None)?;
        progress.note(&format!(
            "the manifest is docker's schema 1, which nobody writes any more: it becomes {}",
            manifest.digest()
        ));
        Ok(Self { scopes: source.scopes(), manifest, config, layers: fetched })
    }
}

fn fetch(
    source: &dyn Source,
    digest: &Digest,
    spool: Spool,
    progress: &dyn Progress,
) -> Result<Fetched> {
    let size = source.blob_size(digest)?;
    let descriptor = Descriptor::new(DOCKER_LAYER_GZIP, *digest, size);
    let step = Step { what: "Copying blob", digest: digest.to_string(), bytes: Some(size) };
    let bar = progress.begin(&step);
    let read = || -> Result<Digest> {
        let told = Told { inner: source.blob(&descriptor)?, bar: &*bar };
        let sums = Sums { packed: Sum::None, plain: Sum::Sha256 };
        let passed = pass(spool.tee(told), &Limits::default(), sums, |blocks| {
            Ok(io::copy(blocks, &mut io::sink()).map(drop))
        });
        let passed = passed.map_err(|e| Error::from(e).during(format_args!("layer {digest}")))?;
        let lost = || Error::new(Kind::Corrupt, "a hash has not the length of its algorithm");
        digest_of(&passed.plain, Algorithm::Sha256).ok_or_else(lost)
    };
    let diff_id = read();
    bar.end(if diff_id.is_ok() { End::Done } else { End::Failed });
    Ok(Fetched { descriptor, diff_id: diff_id?, content: spool })
}

impl Source for Converted {
    fn scopes(&self) -> Scopes {
        self.scopes.clone()
    }

    fn manifest(&self, digest: Option<&Digest>) -> transport::Result<Document> {
        match digest {
            Some(digest) if digest != self.manifest.digest() => {
                let text = format!("there is no manifest {digest}");
                Err(Error::new(Kind::NotFound, text).into())
            }
            _ => Ok(self.manifest.clone()),
        }
    }

    fn blob(&self, descriptor: &Descriptor) -> transport::Result<Blob> {
        let digest = *descriptor.verifiable()?;
        Ok(match self.layers.get(&digest) {
            Some(layer) => {
                Box::new(Verified::new(layer.content.read(), digest, Some(descriptor.size)))
            }
            None => {
                let config = Cursor::new(self.config.clone());
                Box::new(Verified::new(config, digest, Some(descriptor.size)))
            }
        })
    }
}
