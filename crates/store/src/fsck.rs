//! Checking a store, and mending it.
//!
//! The quick check looks at records, names and sizes. The full one reads every byte: blobs are hashed
//! here, and a function that the caller hands in makes each layer's tar again, because the store does
//! not know archives.

use crate::blob::Hasher;
use crate::error::{Error, Kind, Result};
use crate::layer::{self, Layer};
use crate::layout::{self, BLOBS, LAYERS, LayerKey, META, STAGING, TRASH};
use crate::limits::COPY_BYTES;
use crate::mark;
use crate::name::{self, NameRecord};
use crate::store::Store;
use crate::trash::Garbage;
use crate::{ContainerRecord, files};
use oci::image::{Content, Manifest};
use oci::{Algorithm, Digest};
use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use sys::fs;

/// What is wrong with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// Something names it, and it is not there.
    Missing,
    /// It is not what its digest or size says.
    Damaged,
    /// Its record cannot be read.
    Unreadable,
    /// It is nothing that a store has in this place.
    Foreign,
    /// A killed process left it.
    Leftover,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where it is, below the root.
    pub path: String,
    /// What is wrong.
    pub problem: Problem,
    /// The whole of it in a sentence fragment.
    pub text: String,
    /// The content, where it can be fetched again.
    pub digest: Option<Digest>,
    /// A name that leads to it.
    pub name: Option<String>,
}

/// Makes a layer's tar again, from its index and its tree, and says its digest.
pub type Rebuild<'c> = &'c mut dyn FnMut(&Layer) -> Result<Digest>;

/// What is checked.
#[derive(Default)]
pub struct Check<'c> {
    /// Every blob is hashed.
    pub hash_blobs: bool,
    /// Every layer's tar is made again.
    pub rebuild: Option<Rebuild<'c>>,
}

impl Store {
    /// Looks for everything that is wrong. Processes that work at the same time are no problem.
    pub fn fsck(&self, mut check: Check<'_>) -> Result<Vec<Finding>> {
        let mut findings = Findings::default();
        let guard = self.share()?;
        check_names(self, &mut findings)?;
        check_blob_places(self, &mut findings)?;
        check_layers(self, &mut findings)?;
        check_containers(self, &mut findings)?;
        for parent in [STAGING, TRASH] {
            for path in self.dead(parent)? {
                let text = format!("{path}: a killed process left it");
                findings.add(path, Problem::Leftover, text);
            }
        }
        let (blobs, layers) = (self.blobs()?, self.layers()?);
        drop(guard);
        if check.hash_blobs {
            blobs.iter().for_each(|digest| check_blob(self, digest, &mut findings));
        }
        if let Some(rebuild) = &mut check.rebuild {
            layers.iter().for_each(|key| check_tar(self, key, rebuild, &mut findings));
        }
        Ok(findings.0.into_values().collect())
    }

    /// Takes what was found to be damaged or unreadable out of the way, so that it can be fetched
    /// again. Containers stay as they are: nobody else has what is in them. Says what it took.
    pub fn repair(&self, findings: &[Finding]) -> Result<Vec<Finding>> {
        let mut taken = Vec::new();
        let guard = self.exclude()?;
        let mut garbage = Garbage::open(self)?;
        for finding in findings {
            let mends = match finding.problem {
                Problem::Damaged => true,
                Problem::Unreadable => !finding.path.starts_with(layout::CONTAINERS),
                Problem::Missing | Problem::Foreign | Problem::Leftover => false,
            };
            // Somebody may have mended it, or taken it away.
            if mends && fs::exists(self.root(), &finding.path) {
                garbage.take(&finding.path)?;
                taken.push(finding.clone());
            }
        }
        drop(guard);
        garbage.remove()?;
        Ok(taken)
    }
}

/// By path: what is found in two ways is told once.
#[derive(Default)]
struct Findings(BTreeMap<String, Finding>);

impl Findings {
    fn add(&mut self, path: String, problem: Problem, text: String) {
        let finding = Finding { path: path.clone(), problem, text, digest: None, name: None };
        self.0.entry(path).or_insert(finding);
    }

    /// Content that can be fetched again.
    fn content(
        &mut self,
        path: String,
        problem: Problem,
        text: String,
        digest: Digest,
        name: &str,
    ) {
        self.add(path.clone(), problem, text);
        if let Some(finding) = self.0.get_mut(&path) {
            finding.digest = Some(digest);
            let name = Some(name.to_owned()).filter(|name| !name.is_empty());
            finding.name = finding.name.take().or(name);
        }
    }
}

fn check_names(store: &Store, findings: &mut Findings) -> Result<()> {
    let mut records = Vec::new();
    let mut bad = Vec::new();
    for dir in files::list(store.root(), layout::NAMES)? {
        for file in files::list(store.root(), &format!("{}/{dir}", layout::NAMES))? {
            let path = format!("{}/{dir}/{file}", layout::NAMES);
            match name::read_any(store.root(), &path) {
                Ok(record) => records.push(record),
                Err(error) if error.kind() == Kind::NotFound => {}
                Err(error) => bad.push((path, error.to_string())),
            }
        }
    }
    for (path, text) in bad {
        findings.add(path, Problem::Unreadable, text);
    }
    let layers: HashSet<Digest> = store.layers()?.iter().map(|key| key.diff_id).collect();
    records.iter().try_for_each(|record| check_name(store, record, &layers, findings))
}

/// Follows a name to everything that has to be there.
fn check_name(
    store: &Store,
    record: &NameRecord,
    layers: &HashSet<Digest>,
    findings: &mut Findings,
) -> Result<()> {
    let Ok(root) = record.target() else { return Ok(()) };
    let mut todo = vec![(*root, record.media_type.clone(), true)];
    let mut count = 0;
    while let Some((digest, media_type, required)) = todo.pop() {
        count += 1;
        if count > crate::limits::DOCUMENTS {
            break;
        }
        let is_here = store.own_blob_size(&digest)?.is_some();
        if !is_here && required {
            missing_blob(digest, record, findings);
        }
        if !is_here {
            continue;
        }
        let document = match mark::read_document(store, digest, &media_type) {
            Err(error) if error.kind() == Kind::Corrupt => {
                let path = layout::blob(&digest);
                let text = error.to_string();
                findings.content(path, Problem::Damaged, text, digest, &record.reference);
                continue;
            }
            result => result?,
        };
        match document.as_ref().map(|document| document.content()) {
            // Of an index only some platforms are pulled.
            Some(Content::Index(index)) => {
                for child in &index.manifests {
                    if let Ok(digest) = child.verifiable() {
                        todo.push((*digest, child.media_type.clone(), false));
                    }
                }
            }
            Some(Content::Manifest(manifest)) => {
                check_image(store, manifest, record, layers, findings)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn missing_blob(digest: Digest, record: &NameRecord, findings: &mut Findings) {
    let text = format!("{digest}: is missing, which {} needs", record.reference);
    findings.content(layout::blob(&digest), Problem::Missing, text, digest, &record.reference);
}

/// The configuration is there, and each layer as a tree or as the blob that it came as.
fn check_image(
    store: &Store,
    manifest: &Manifest,
    record: &NameRecord,
    layers: &HashSet<Digest>,
    findings: &mut Findings,
) -> Result<()> {
    let sizes = manifest.layers.iter().chain([&manifest.config]);
    for descriptor in sizes {
        let Ok(digest) = descriptor.verifiable() else { continue };
        let size = store.own_blob_size(digest)?;
        if size.is_some_and(|size| size != descriptor.size) {
            let text = format!("{digest}: is not of the size that the manifest says");
            let path = layout::blob(digest);
            findings.content(path, Problem::Damaged, text, *digest, &record.reference);
        }
    }
    if let Ok(config) = manifest.config.verifiable()
        && store.own_blob_size(config)?.is_none()
    {
        missing_blob(*config, record, findings);
        return Ok(());
    }
    let Ok(diff_ids) = mark::diff_ids(store, manifest) else { return Ok(()) };
    for (index, blob) in manifest.layers.iter().enumerate() {
        let Ok(blob) = blob.verifiable() else { continue };
        if store.own_blob_size(blob)?.is_some() {
            continue;
        }
        let Some(diff_id) = diff_ids.get(index) else {
            missing_blob(*blob, record, findings);
            continue;
        };
        let is_here = layers.contains(diff_id) || store.layer(&LayerKey::from(*diff_id))?.is_some();
        if !is_here {
            let text = format!("layer {diff_id}: is missing, which {} needs", record.reference);
            let path = layout::layer(&LayerKey::from(*diff_id));
            findings.content(path, Problem::Missing, text, *blob, &record.reference);
        }
    }
    Ok(())
}

/// Every file has the name of a digest, and is where such a one has to be.
fn check_blob_places(store: &Store, findings: &mut Findings) -> Result<()> {
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let parent = format!("{BLOBS}/{}", algorithm.name());
        for dir in files::list(store.root(), &parent)? {
            for hex in files::list(store.root(), &format!("{parent}/{dir}"))? {
                let path = format!("{parent}/{dir}/{hex}");
                let digest = Digest::parse(&format!("{}:{hex}", algorithm.name()));
                let is_file = fs::stat_at(store.root(), &path, fs::AT_SYMLINK_NOFOLLOW)
                    .is_ok_and(|stat| stat.st_mode & fs::S_IFMT == fs::S_IFREG);
                let fits = digest.is_ok_and(|digest| layout::blob(&digest) == path);
                if !fits || !is_file {
                    let text = format!("{path}: is no blob");
                    findings.add(path, Problem::Foreign, text);
                }
            }
        }
    }
    Ok(())
}

fn check_layers(store: &Store, findings: &mut Findings) -> Result<()> {
    for name in files::list(store.root(), LAYERS)? {
        let path = format!("{LAYERS}/{name}");
        let Some(key) = LayerKey::parse(&name) else {
            let text = format!("{path}: is no layer");
            findings.add(path, Problem::Foreign, text);
            continue;
        };
        let opened = layer::open(store.root(), &key);
        let result = opened.and_then(|layer| layer.diff_dir().map(drop));
        if let Err(error) = result {
            findings.content(path, Problem::Unreadable, error.to_string(), key.diff_id, "");
        }
    }
    Ok(())
}

fn check_containers(store: &Store, findings: &mut Findings) -> Result<()> {
    for id in store.containers()? {
        let path = layout::container(&id);
        let record: Result<ContainerRecord> =
            files::read_record(store.root(), &format!("{path}/{META}"));
        let result = record.and_then(|record| {
            if record.id != id {
                let text = format!("container {id}: has the record of {:?}", record.id);
                return Err(Error::new(Kind::Invalid, text));
            }
            store.open_layers(&record.keys()?)?;
            store.open_layers(&record.mounted_keys()?).map(drop)
        });
        if let Err(error) = result {
            findings.add(path, Problem::Unreadable, format!("container {id}: {error}"));
        }
    }
    Ok(())
}

/// Hashes a blob. One that somebody takes away meanwhile is no finding.
fn check_blob(store: &Store, digest: &Digest, findings: &mut Findings) {
    match hash(store, digest) {
        Ok(found) if found == *digest => {}
        Err(error) if error.kind() == Kind::NotFound => {}
        Ok(found) => {
            let text = format!("{digest}: the stored bytes are {found}");
            findings.content(layout::blob(digest), Problem::Damaged, text, *digest, "");
        }
        Err(error) => {
            let path = layout::blob(digest);
            findings.content(path, Problem::Damaged, error.to_string(), *digest, "");
        }
    }
}

fn hash(store: &Store, digest: &Digest) -> Result<Digest> {
    let mut file = files::File(files::open_file(store.root(), &layout::blob(digest))?);
    let mut hasher = Hasher::new(digest.algorithm());
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) => return Err(Error::corrupt(format!("{digest}: reading it: {error}"))),
        }
    }
}

fn check_tar(store: &Store, key: &LayerKey, rebuild: Rebuild<'_>, findings: &mut Findings) {
    // What is unreadable has been found.
    let Ok(layer) = layer::open(store.root(), key) else { return };
    let path = layout::layer(key);
    let text = match rebuild(&layer) {
        Ok(found) if found == key.diff_id => return,
        Ok(found) => format!("layer {key}: the tar that is made of it is {found}"),
        Err(error) => format!("layer {key}: {error}"),
    };
    // One that was taken away meanwhile is no finding.
    if fs::exists(store.root(), &path) {
        findings.content(path, Problem::Damaged, text, key.diff_id, "");
    }
}
