//! An image that is being made in the store: from a base or from nothing.
//!
//! Layers come as archives or as trees, each in one pass that also makes its index. They are not packed:
//! their descriptors name the plain archives, and whatever copies the image packs them on the way. The same
//! layers and changes are the same bytes: members are sorted, and no time is taken that nobody has given.

use crate::configuration::Configuration;
use crate::error::{Error, Kind, Result};
use crate::find::anonymous_name;
use crate::keys::{self, layer_keys};
use crate::pipe::piped;
use crate::rewrite;
use crate::stored::rebuild_layer;
use crate::unpack::{Rights, Unpacked, adopt, digest_of as summed, unpack};
use crate::view;
use archive::index::Builder;
use archive::pack;
use archive::tar::Writer;
use archive::{Sum, Summing};
use oci::image::media_type::{self, Compression, Format};
use oci::image::{
    CONFIG_LIMIT_BYTES, Descriptor, Document, History, Manifest, MediaType, Platform,
};
use oci::{Algorithm, AnyDigest, Digest, Map};
use std::io::Read;
use store::{File, LayerFacts, LayerKey, NameRecord, StagedLayer, Store, Work};
use transport::hash::{digest_of, verify_manifest};

/// An image that is being made. Nothing of it is found by others before [`Draft::finish`].
pub struct Draft<'s> {
    store: &'s Store,
    work: Work<'s>,
    rights: Rights,
    /// What containers of it have, and how it was made.
    pub configuration: Configuration,
    /// Annotations of the manifest. With some, the manifest is OCI's: docker's has no place for them.
    pub annotations: Map,
    format: Format,
    layers: Vec<DraftLayer>,
    subject: Option<Descriptor>,
}

/// A layer of an image that is being made.
#[derive(Clone, Debug)]
pub(crate) struct DraftLayer {
    pub(crate) descriptor: Descriptor,
    pub(crate) diff_id: Digest,
    pub(crate) key: LayerKey,
}

/// What was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// The manifest.
    pub manifest: Document,
    /// The digest of the configuration.
    pub id: Digest,
}

/// A name for what is made.
#[derive(Clone, Copy, Debug)]
pub struct Naming<'n> {
    /// Names in full; without any it is kept, and found by its ID.
    pub names: &'n [String],
    /// Where its layers came from, for a later push: `docker://...`, or nothing.
    pub origin: &'n str,
    /// Now, in seconds since 1970.
    pub time_s: i64,
}

impl<'s> Draft<'s> {
    /// Begins with nothing.
    pub fn new(store: &'s Store, platform: &Platform, rights: Rights) -> Result<Self> {
        Ok(Self {
            store,
            work: store.begin()?,
            rights,
            configuration: Configuration::new(platform),
            annotations: Map::default(),
            format: Format::Oci,
            layers: Vec::new(),
            subject: None,
        })
    }

    /// Begins with an image of the store. Its layers stay while this lives.
    pub fn of_image(store: &'s Store, image: &Document, rights: Rights) -> Result<Self> {
        let mut work = store.begin()?;
        let (manifest, configuration) = read_image(store, image)?;
        let view = configuration.view()?;
        view.check_layers(manifest)?;
        work.has_blob(*image.digest())?;
        let mut layers = Vec::new();
        let found = layer_keys(store, &view, rights)?;
        let named = manifest.layers.iter().zip(&view.rootfs.diff_ids).zip(found);
        for ((descriptor, diff_id), key) in named {
            let diff_id = *diff_id.verifiable()?;
            let missing = || {
                Error::new(Kind::NotFound, format!("layer {diff_id} is not in the store"))
                    .with_hint("pull the image again")
            };
            let key = key.ok_or_else(missing)?;
            if !work.has_layer(&key)? {
                return Err(missing());
            }
            layers.push(DraftLayer { descriptor: descriptor.clone(), diff_id, key });
        }
        Ok(Self {
            store,
            work,
            rights,
            configuration,
            annotations: manifest.annotations.clone(),
            format: rewrite::format_of(manifest),
            layers,
            subject: manifest.subject.clone(),
        })
    }

    /// How many layers there are.
    pub fn layer_count(&self) -> usize {
        self.layers.len()
    }

    pub(crate) fn layers(&self) -> &[DraftLayer] {
        &self.layers
    }

    /// Puts other layers in the place of all. They have to be in the store.
    pub(crate) fn set_layers(&mut self, layers: Vec<DraftLayer>) -> Result<()> {
        for layer in &layers {
            if !self.work.has_layer(&layer.key)? {
                let text = format!("layer {} is not in the store", layer.diff_id);
                return Err(Error::new(Kind::NotFound, text).with_hint("pull the image again"));
            }
        }
        self.layers = layers;
        Ok(())
    }

    /// Adds a layer of another image. A tar that takes attributes from what is below it may be another
    /// layer here: then it is unpacked once more.
    pub(crate) fn move_layer(&mut self, layer: DraftLayer) -> Result<()> {
        let below: Vec<Option<LayerKey>> =
            self.layers.iter().map(|layer| Some(layer.key)).collect();
        let key = match keys::find(self.store, &layer.diff_id, &below, self.rights)? {
            Some(key) => key,
            None => self.unpack_again(&layer)?,
        };
        if !self.work.has_layer(&key)? {
            let text = format!("layer {} is not in the store", layer.diff_id);
            return Err(Error::new(Kind::NotFound, text).with_hint("pull the image again"));
        }
        self.layers.push(DraftLayer { key, ..layer });
        Ok(())
    }

    fn unpack_again(&mut self, layer: &DraftLayer) -> Result<LayerKey> {
        let missing =
            || Error::new(Kind::NotFound, format!("layer {} is not in the store", layer.diff_id));
        let stored = self.store.layer(&layer.key)?.ok_or_else(missing)?;
        let staged = self.work.stage_layer()?;
        let (algorithm, rights) = (layer.diff_id.algorithm(), self.rights);
        let unpacked = piped(
            |writer| rebuild_layer(&stored, writer).map(drop),
            |reader| unpack(staged, reader, algorithm, rights),
        )?;
        let below: Vec<LayerKey> = self.layers.iter().map(|layer| layer.key).collect();
        let key = place(self.store, &mut self.work, unpacked, &below, self.rights)?;
        self.work.commit_part()?;
        Ok(key)
    }

    /// Adds a layer from an archive, packed in any way. Says its digest.
    pub fn add_archive(&mut self, archive: impl Read + Send, step: &History) -> Result<Digest> {
        let staged = self.work.stage_layer()?;
        let unpacked = unpack(staged, archive, Algorithm::Sha256, self.rights)?;
        self.add(unpacked, step)
    }

    /// A place to make a tree for [`Draft::add_tree`].
    pub fn stage(&mut self) -> Result<StagedLayer> {
        Ok(self.work.stage_layer()?)
    }

    /// Adds a layer from a tree in staging, as overlayfs has it: whatever was made there, or the upper
    /// directory of a container ([`StagedLayer::adopt`]). Nothing of it is copied. Says its digest.
    pub fn add_tree(
        &mut self,
        staged: StagedLayer,
        latest: Option<sys::time::Time>,
        step: &History,
    ) -> Result<Digest> {
        let index = Builder::new(File(staged.create_index()?))?;
        let mut writer = Writer::new((index, Summing::new(Sum::Sha256)));
        let options = pack::Options {
            notes: Some(self.rights.notes),
            latest,
            is_live: false,
            is_system: false,
        };
        let packed = pack::pack(staged.diff_dir().borrow(), options, &mut writer)?;
        let (index, sum) = writer.finish()?;
        let sum = sum.finish();
        index.finish(&[], &sum)?;
        let wrong = || Error::new(Kind::Corrupt, "a hash has not the length of its algorithm");
        let diff_id = summed(&sum, Algorithm::Sha256).ok_or_else(wrong)?;
        let facts = LayerFacts {
            tar_bytes: sum.bytes,
            disk_bytes: None,
            entries: packed.entries,
            implied: 0,
            has_root: false,
        };
        self.add(Unpacked { staged, facts, diff_id, implied: Vec::new() }, step)
    }

    fn add(&mut self, unpacked: Unpacked, step: &History) -> Result<Digest> {
        if !unpacked.implied.is_empty() {
            // What it takes from below has to be there.
            self.work.commit_part()?;
        }
        let diff_id = unpacked.diff_id;
        let size = unpacked.facts.tar_bytes;
        let below: Vec<LayerKey> = self.layers.iter().map(|layer| layer.key).collect();
        let key = place(self.store, &mut self.work, unpacked, &below, self.rights)?;
        let media_type = rewrite::layer_type(self.format, Compression::None, true);
        let descriptor = Descriptor::new(&media_type, diff_id, size);
        self.layers.push(DraftLayer { descriptor, diff_id, key });
        self.configuration.add_history(step)?;
        Ok(diff_id)
    }

    /// Writes configuration and manifest, and gives the image its names.
    pub fn finish(mut self, naming: &Naming<'_>) -> Result<Made> {
        let diff_ids: Vec<Digest> = self.layers.iter().map(|layer| layer.diff_id).collect();
        self.configuration.set_layers(&diff_ids)?;
        let format = match self.annotations.is_empty() {
            true => self.format,
            false => Format::Oci,
        };
        let config_type = match format {
            Format::Oci => media_type::OCI_CONFIG,
            Format::Docker => media_type::DOCKER_CONFIG,
        };
        let config = self.configuration.bytes()?;
        let id = digest_of(Algorithm::Sha256, &config);
        let layers: Vec<Descriptor> =
            self.layers.iter().map(|layer| layer.descriptor.clone()).collect();
        let manifest = Manifest {
            schema_version: 2,
            config: Descriptor::new(config_type, id, config.len() as u64),
            annotations: std::mem::take(&mut self.annotations),
            subject: self.subject.take(),
            ..Manifest::default()
        };
        let manifest = rewrite::image(&manifest, format, &layers)?;
        self.work.put_bytes(&config, id)?;
        put_named(self.store, &mut self.work, &manifest, naming, Some(self.rights))?;
        self.work.finish()?;
        Ok(Made { manifest, id })
    }
}

/// Puts a manifest or index with its names: everything that it leads to is put before. With rights, what
/// lists show of it is noted.
pub(crate) fn put_named(
    store: &Store,
    work: &mut Work<'_>,
    document: &Document,
    naming: &Naming<'_>,
    rights: Option<Rights>,
) -> Result<()> {
    work.put_bytes(document.bytes(), *document.digest())?;
    work.commit()?;
    // Lists look for themselves where nothing is noted.
    let facts = rights.and_then(|rights| view::facts(store, document, None, rights).ok());
    let anonymous = [anonymous_name(document.digest())];
    let names = if naming.names.is_empty() { &anonymous[..] } else { naming.names };
    for name in names {
        work.tag(&NameRecord {
            reference: name.clone(),
            digest: AnyDigest::from(*document.digest()),
            media_type: document.media_type().to_owned(),
            source: naming.origin.to_owned(),
            time_s: naming.time_s,
            facts: facts.clone(),
        })?;
    }
    Ok(())
}

/// The manifest and the configuration of an image of the store.
pub(crate) fn read_image<'d>(
    store: &Store,
    image: &'d Document,
) -> Result<(&'d Manifest, Configuration)> {
    let kind = || image.manifest().map(|manifest| manifest.config.kind());
    let manifest = match (image.manifest(), kind()) {
        (Some(manifest), Some(MediaType::Config(_))) => manifest,
        _ => {
            let text = format!("{} is no image", image.digest());
            return Err(Error::new(Kind::Invalid, text)
                .with_hint("it is an artifact, an index or an old manifest"));
        }
    };
    let config = store.read_blob(manifest.config.verifiable()?, CONFIG_LIMIT_BYTES)?;
    Ok((manifest, Configuration::read(&config)?))
}

/// Reads a document of the store.
pub(crate) fn read_document(store: &Store, digest: &Digest, media_type: &str) -> Result<Document> {
    let bytes = store.read_blob(digest, oci::image::SIZE_LIMIT_BYTES)?;
    Ok(verify_manifest(bytes, media_type, Some(digest))?)
}

/// Gives a staged layer its place upon others: with what its directories take from below.
pub(crate) fn place(
    store: &Store,
    work: &mut Work<'_>,
    unpacked: Unpacked,
    below: &[LayerKey],
    rights: Rights,
) -> Result<LayerKey> {
    let mut taken = Vec::new();
    if !unpacked.implied.is_empty() {
        taken = keys::taken_from_below(store, &unpacked.implied, below, rights)?;
        for (path, attributes) in &taken {
            adopt(&unpacked.staged, path, *attributes)?;
        }
        let mut names = unpacked.implied.join(&0);
        names.push(0);
        unpacked.staged.note_implied(&names)?;
    }
    let key = LayerKey { diff_id: unpacked.diff_id, parents: keys::hash(&taken) };
    work.put_layer(unpacked.staged, key, unpacked.facts)?;
    Ok(key)
}
