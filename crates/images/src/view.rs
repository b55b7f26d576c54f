//! What is known of an image of the store: its manifest, its configuration, its layers and their sizes.

use crate::error::{Error, Kind, Result};
use crate::keys::layer_keys;
use crate::unpack::Rights;
use oci::image::{
    CONFIG_LIMIT_BYTES, Content, Descriptor, Document, ImageConfig, Index, MediaType,
    SIZE_LIMIT_BYTES, Wanted,
};
use oci::{AnyDigest, Digest};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use store::{ImageFacts, LayerKey, NameRecord, Store};

/// Indexes in indexes: real ones have one level.
const INDEX_DEPTH: usize = 4;
/// The platform of what is no image: attestations.
const NO_PLATFORM: &str = "unknown";

/// An image, looked at closely.
#[derive(Clone, Debug)]
pub struct View {
    /// Its manifest.
    pub manifest: Document,
    /// Its ID: the digest of its configuration, of an artifact that of its manifest.
    pub id: Digest,
    /// Its configuration; an artifact has none.
    pub config: Option<ImageConfig>,
    /// Its layers as they are in the store, the lowest first; `None` for what is not there.
    pub layers: Vec<Option<LayerKey>>,
    /// Their sizes as tars; of those that are not there, as they are fetched.
    pub sizes: Vec<u64>,
}

/// An image of a list, with all its names.
#[derive(Clone, Debug)]
pub struct Listed {
    /// What its names name: a manifest or index.
    pub root: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its names, sorted. One that nobody gave it ([`crate::anonymous_name`]) is among them.
    pub names: Vec<NameRecord>,
    /// What lists show.
    pub facts: ImageFacts,
}

impl Listed {
    /// The names that somebody gave it.
    pub fn given_names(&self) -> impl Iterator<Item = &NameRecord> + Clone {
        self.names.iter().filter(|name| !crate::find::is_anonymous(&name.reference))
    }
}

impl View {
    /// Looks at what a digest says. Of an index the image for a platform, if it is here, otherwise
    /// the first one that is.
    pub fn open(
        store: &Store,
        digest: &Digest,
        media_type: &str,
        wanted: Option<&Wanted>,
        rights: Rights,
    ) -> Result<Self> {
        Self::of(store, read_document(store, digest, media_type)?, wanted, rights)
    }

    fn of(store: &Store, root: Document, wanted: Option<&Wanted>, rights: Rights) -> Result<Self> {
        let manifest = choose(store, root, wanted, INDEX_DEPTH)?;
        let id = *manifest.digest();
        let view = Self { manifest, id, config: None, layers: Vec::new(), sizes: Vec::new() };
        view.with_layers(store, rights)
    }

    fn with_layers(mut self, store: &Store, rights: Rights) -> Result<Self> {
        let Some(manifest) = self.manifest.manifest() else { return Ok(self) };
        self.sizes = manifest.layers.iter().map(|layer| layer.size).collect();
        if !matches!(manifest.config.kind(), MediaType::Config(_)) {
            self.sizes.push(manifest.config.size);
            return Ok(self);
        }
        let id = *manifest.config.verifiable()?;
        let config = ImageConfig::read(&store.read_blob(&id, CONFIG_LIMIT_BYTES)?)?;
        self.layers = layer_keys(store, &config, rights)?;
        self.sizes.resize(self.layers.len(), 0);
        for (key, size) in self.layers.iter().zip(&mut self.sizes) {
            if let Some(layer) = key.as_ref().map(|key| store.layer(key)).transpose()?.flatten() {
                *size = layer.meta.tar_bytes;
            }
        }
        (self.id, self.config) = (id, Some(config));
        Ok(self)
    }

    /// The size of all layers.
    pub fn size(&self) -> u64 {
        self.sizes.iter().sum()
    }

    /// What lists show.
    pub fn facts(&self) -> ImageFacts {
        ImageFacts {
            manifest: AnyDigest::from(*self.manifest.digest()),
            id: AnyDigest::from(self.id),
            created: self.config.as_ref().map(|config| config.created.clone()).unwrap_or_default(),
            size_bytes: self.size(),
        }
    }

    /// All layers; an error names the first that is not there.
    pub fn all_layers(&self) -> Result<Vec<LayerKey>> {
        let missing = || {
            Error::new(Kind::NotFound, format!("image {}: a layer is not in the store", self.id))
                .with_hint("pull the image again")
        };
        self.layers.iter().copied().collect::<Option<Vec<LayerKey>>>().ok_or_else(missing)
    }
}

/// What lists show of an image, for the record of a name.
pub fn facts(
    store: &Store,
    root: &Document,
    wanted: Option<&Wanted>,
    rights: Rights,
) -> Result<ImageFacts> {
    Ok(View::of(store, root.clone(), wanted, rights)?.facts())
}

/// The images of a store, the newest first, and what could not be read.
pub fn list(store: &Store, wanted: &Wanted, rights: Rights) -> Result<(Vec<Listed>, Vec<Error>)> {
    let (names, errors) = store.names()?;
    let mut errors: Vec<Error> = errors.into_iter().map(Error::from).collect();
    let mut roots: BTreeMap<Digest, Vec<NameRecord>> = BTreeMap::new();
    for name in names {
        match name.target() {
            Ok(digest) => roots.entry(*digest).or_default().push(name),
            Err(error) => errors.push(error.into()),
        }
    }
    let mut all = Vec::with_capacity(roots.len());
    for (root, names) in roots {
        let media_type = names.first().map(|name| name.media_type.clone()).unwrap_or_default();
        let noted = names.iter().find_map(|name| name.facts.clone());
        let known = noted.map_or_else(
            || {
                let view = View::open(store, &root, &media_type, Some(wanted), rights);
                view.map(|view| view.facts())
            },
            Ok,
        );
        let facts = known.unwrap_or_else(|error| {
            errors.push(error.during(format_args!("image {}", root.hex())));
            let digest = AnyDigest::from(root);
            ImageFacts { manifest: digest.clone(), id: digest, ..ImageFacts::default() }
        });
        all.push(Listed { root, media_type, names, facts });
    }
    // RFC 3339 in UTC, as nearly all is, sorts as text; those that show it know better.
    all.sort_by(|one, other| {
        let first = |names: &[NameRecord], others: &[NameRecord]| {
            let names = names.first().zip(others.first());
            names.map_or(Ordering::Equal, |(one, other)| one.reference.cmp(&other.reference))
        };
        let made = other.facts.created.cmp(&one.facts.created);
        made.then_with(|| first(&one.names, &other.names))
    });
    Ok((all, errors))
}

fn read_document(store: &Store, digest: &Digest, media_type: &str) -> Result<Document> {
    let bytes = store.read_blob(digest, SIZE_LIMIT_BYTES)?;
    Ok(Document::read(bytes, media_type, *digest)?)
}

fn choose(
    store: &Store,
    root: Document,
    wanted: Option<&Wanted>,
    depth: usize,
) -> Result<Document> {
    let Content::Index(index) = root.content() else { return Ok(root) };
    if depth == 0 {
        let text = format!("{}: indexes nest deeper than {INDEX_DEPTH}", root.digest());
        return Err(Error::new(Kind::Invalid, text));
    }
    let preferred = wanted.and_then(|wanted| index.choose(wanted));
    for descriptor in preferred.into_iter().chain(of_platforms(index)) {
        let digest = descriptor.verifiable()?;
        if store.blob_size(digest)?.is_some() {
            let chosen = read_document(store, digest, &descriptor.media_type)?;
            return choose(store, chosen, wanted, depth - 1);
        }
    }
    Ok(root)
}

fn of_platforms(index: &Index) -> impl Iterator<Item = &Descriptor> {
    index.manifests.iter().filter(|descriptor| {
        descriptor.platform.as_ref().is_none_or(|platform| platform.os != NO_PLATFORM)
    })
}
