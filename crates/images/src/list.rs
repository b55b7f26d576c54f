//! Indexes that users put together: images for several platforms under one name.
//!
//! The index names what it is made of by digests. An image of the store stays in the store because of it;
//! of an image elsewhere nothing is fetched: the name's record says where it is, and whoever pushes the
//! index takes it from there ([`crate::Scattered`]).

use crate::draft::read_document;
use crate::error::{Error, Kind, Result};
use crate::gate::Gate;
use crate::instances::Instances;
use crate::pull::reading;
use oci::image::media_type::{self, Format};
use oci::image::{
    CONFIG_LIMIT_BYTES, Descriptor, Document, ImageConfig, Index, MediaType, Platform,
};
use oci::{AnyDigest, Digest, Map};
use std::io::Read;
use store::{NameRecord, Store, Work};
use transport::Source;
use transport::hash::verify_manifest;

/// Manifests of one index.
const MANIFESTS_LIMIT: usize = 4096;
/// Indexes in indexes: real ones have one level.
const DEPTH: usize = 4;

/// An index that is being put together.
pub struct List<'s> {
    work: Work<'s>,
    index: Index,
    /// Where instances are that are not in the store: places, by which a push finds them.
    origins: Vec<String>,
    /// What its name named when it was begun.
    before: Option<AnyDigest>,
}

/// What is said of an image in an index. What is `None` or empty stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The operating system.
    pub os: Option<String>,
    /// The processors' architecture.
    pub architecture: Option<String>,
    /// Its variant.
    pub variant: Option<String>,
    /// The version of the operating system.
    pub os_version: Option<String>,
    /// What the operating system has to have.
    pub os_features: Vec<String>,
    /// What the processor has to have.
    pub features: Vec<String>,
    /// Annotations that are added.
    pub annotations: Map,
}

impl Said {
    fn apply(&self, descriptor: &mut Descriptor) {
        let own = [&self.os, &self.architecture, &self.variant, &self.os_version];
        let lists = [&self.os_features, &self.features];
        if own.iter().any(|it| it.is_some()) || lists.iter().any(|it| !it.is_empty()) {
            let platform = descriptor.platform.get_or_insert_with(Platform::default);
            let set = |field: &mut String, value: &Option<String>| {
                if let Some(value) = value {
                    field.clone_from(value);
                }
            };
            set(&mut platform.os, &self.os);
            set(&mut platform.architecture, &self.architecture);
            set(&mut platform.variant, &self.variant);
            set(&mut platform.os_version, &self.os_version);
            for (field, value) in [
                (&mut platform.os_features, &self.os_features),
                (&mut platform.features, &self.features),
            ] {
                if !value.is_empty() {
                    field.clone_from(value);
                }
            }
        }
        for (name, value) in &self.annotations {
            descriptor.annotations.insert(name.clone(), value.clone());
        }
    }
}

impl<'s> List<'s> {
    /// Begins with nothing.
    pub fn new(store: &'s Store) -> Result<Self> {
        let index = Index { schema_version: 2, ..Index::default() };
        Ok(Self { work: store.begin()?, index, origins: Vec::new(), before: None })
    }

    /// Begins with an index of the store.
    pub fn open(store: &'s Store, record: &NameRecord) -> Result<Self> {
        let mut work = store.begin()?;
        let digest = *record.target()?;
        work.has_blob(digest)?;
        let document = read_document(store, &digest, &record.media_type)?;
        let Some(index) = document.index() else {
            let text = format!("{} is an image, not an index of images", record.reference);
            return Err(Error::new(Kind::Invalid, text));
        };
        let origins = record.source.lines().map(str::to_owned).collect();
        let before = Some(record.digest.clone());
        Ok(Self { work, index: index.clone(), origins, before })
    }

    /// What is in it.
    pub fn manifests(&self) -> &[Descriptor] {
        &self.index.manifests
    }

    /// The annotations of the index itself.
    pub fn annotations(&mut self) -> &mut Map {
        &mut self.index.annotations
    }

    /// What the index is about.
    pub fn set_subject(&mut self, subject: Option<Descriptor>) {
        self.index.subject = subject;
    }

    /// Adds an image, or of an index those that are chosen; one that is there already is replaced.
    /// `origins` is where they are. Says what was added.
    pub fn add(
        &mut self,
        source: &dyn Source,
        instances: &Instances,
        said: &Said,
        origins: &[String],
        gate: &dyn Gate,
    ) -> Result<Vec<Digest>> {
        let root = source.manifest(None)?;
        let mut added = Vec::new();
        let mut todo = vec![(root.clone(), None, 0)];
        while let Some((document, known, depth)) = todo.pop() {
            if let Some(index) = document.index() {
                if depth >= DEPTH {
                    return Err(Error::new(Kind::Invalid, "indexes in indexes in indexes"));
                }
                for child in instances.choose(index)?.into_iter().rev() {
                    let digest = child.verifiable()?;
                    todo.push((source.manifest(Some(digest))?, Some(child.clone()), depth + 1));
                }
                continue;
            }
            gate.check(&source.scopes(), &document)?;
            let mut descriptor = known.unwrap_or(describe(source, &document)?);
            said.apply(&mut descriptor);
            added.push(*document.digest());
            // One of the store stays there.
            self.work.has_blob(*document.digest())?;
            self.put(descriptor)?;
        }
        for origin in origins.iter().filter(|origin| !origin.is_empty()) {
            if !self.origins.contains(origin) {
                self.origins.push(origin.clone());
            }
        }
        Ok(added)
    }

    fn put(&mut self, descriptor: Descriptor) -> Result<()> {
        let manifests = &mut self.index.manifests;
        match manifests.iter().position(|it| it.digest == descriptor.digest) {
            Some(known) => manifests[known] = descriptor,
            None if manifests.len() >= MANIFESTS_LIMIT => {
                let text = format!("more than {MANIFESTS_LIMIT} manifests");
                return Err(Error::new(Kind::Invalid, text));
            }
            None => manifests.push(descriptor),
        }
        Ok(())
    }

    /// Says something of an image that is in it.
    pub fn annotate(&mut self, digest: &Digest, said: &Said) -> Result<()> {
        let known = self.index.manifests.iter_mut();
        match known.into_iter().find(|it| it.verifiable() == Ok(digest)) {
            Some(descriptor) => {
                said.apply(descriptor);
                Ok(())
            }
            None => Err(not_in_it(digest)),
        }
    }

    /// Takes an image out of it.
    pub fn remove(&mut self, digest: &Digest) -> Result<()> {
        let before = self.index.manifests.len();
        self.index.manifests.retain(|it| it.verifiable() != Ok(digest));
        match self.index.manifests.len() < before {
            true => Ok(()),
            false => Err(not_in_it(digest)),
        }
    }

    /// Writes the index, and gives it a name: the one that it was opened by, or one that is new. [`Kind::InUse`]:
    /// somebody else has changed it meanwhile; with what it is now, the same can be tried again.
    pub fn finish(mut self, name: &str, time_s: i64) -> Result<Document> {
        let own = match self.is_dockers() {
            true => media_type::DOCKER_LIST,
            false => media_type::OCI_INDEX,
        };
        self.index.media_type = own.into();
        let bytes = oci::json::write(&self.index).into_bytes();
        let document = verify_manifest(bytes, own, None)?;
        self.work.put_bytes(document.bytes(), *document.digest())?;
        self.work.commit()?;
        let record = NameRecord {
            reference: name.to_owned(),
            digest: AnyDigest::from(*document.digest()),
            media_type: document.media_type().to_owned(),
            source: self.origins.join("\n"),
            time_s,
            facts: None,
        };
        self.work.tag_instead(&record, self.before.as_ref())?;
        self.work.finish()?;
        Ok(document)
    }

    /// Whether it can be docker's list: one of docker's images, with nothing that docker's form has no
    /// place for.
    fn is_dockers(&self) -> bool {
        let Index { manifests, annotations, subject, artifact_type, .. } = &self.index;
        let is_plain = |it: &Descriptor| {
            it.kind() == MediaType::Manifest(Format::Docker)
                && it.annotations.is_empty()
                && it.artifact_type.is_empty()
        };
        !manifests.is_empty()
            && manifests.iter().all(is_plain)
            && annotations.is_empty()
            && subject.is_none()
            && artifact_type.is_empty()
    }
}

fn not_in_it(digest: &Digest) -> Error {
    Error::new(Kind::NotFound, format!("{digest} is not in the index"))
        .with_hint("`tare manifest inspect` shows what is")
}

/// A descriptor with the platform that the configuration says.
fn describe(source: &dyn Source, document: &Document) -> Result<Descriptor> {
    let mut descriptor = document.descriptor();
    let Some(manifest) = document.manifest() else { return Ok(descriptor) };
    if let Some(kind) = manifest.artifact_kind() {
        descriptor.artifact_type = kind.to_owned();
        return Ok(descriptor);
    }
    let digest = *manifest.config.verifiable()?;
    if manifest.config.size > CONFIG_LIMIT_BYTES as u64 {
        return Err(Error::new(Kind::Invalid, "the configuration is larger than 4 MiB"));
    }
    let mut bytes = Vec::new();
    let mut blob = source.blob(&manifest.config)?.take(CONFIG_LIMIT_BYTES as u64 + 1);
    blob.read_to_end(&mut bytes).map_err(|error| reading(&error, &digest))?;
    let config = ImageConfig::read(&bytes)?;
    descriptor.platform = Some(Platform {
        architecture: config.architecture,
        os: config.os,
        os_version: config.os_version,
        os_features: config.os_features,
        variant: config.variant,
        features: Vec::new(),
    });
    Ok(descriptor)
}
