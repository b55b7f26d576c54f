//! From a source into the store.
//!
//! The manifest says which blobs, the configuration which tars there are. What the store lacks is claimed,
//! so that of several processes one fetches it, and each layer goes through one pass: hash, unpack, hash,
//! make the tree and the index. Whole layers come into the store while others are still on their way.

use crate::draft::place;
use crate::error::{Error, Kind, Result};
use crate::gate::Gate;
use crate::instances::Instances;
use crate::keys::{self, layer_keys};
use crate::progress::{Bar, End, Progress, Step, Told};
use crate::schema1::{Converted, LetThrough, OpenTemporary};
use crate::unpack::{Rights, Unpacked, unpack};
use crate::view;
use oci::image::SIZE_LIMIT_BYTES;
use oci::image::{CONFIG_LIMIT_BYTES, Content, Descriptor, Document, ImageConfig, MediaType};
use oci::{AnyDigest, Digest};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use store::{LayerKey, NameRecord, StagedLayer, Store, Work};
use transport::Source;
use transport::hash::verify_manifest;

/// Indexes in indexes: real ones have one level.
const INDEX_DEPTH: usize = 4;
/// Most manifests of one image: an index of all platforms and attestations has some hundred.
const MANIFESTS_LIMIT: usize = 4096;
/// Layers that are fetched at once unless the caller wants something else.
const PARALLEL: usize = 3;
/// How long whole layers wait for others before they come into the store: a killed pull is repeated with
/// what it has missed since, and each time costs a `syncfs`.
const PART: Duration = Duration::from_secs(5);
/// How long nothing is looked at while layers are fetched.
const LOOK: Duration = Duration::from_millis(250);
/// Rounds in which layers are fetched. The second one is for a layer that two images of an index have
/// upon others, and take other attributes from.
const ROUNDS: usize = 3;

/// How to pull.
#[derive(Clone)]
pub struct PullOptions<'a> {
    /// Which images of an index.
    pub instances: Instances,
    /// What this process may do with files.
    pub rights: Rights,
    /// Where temporary files go: those of docker's schema 1.
    pub temporary: Option<&'a OpenTemporary<'a>>,
    /// How many layers are fetched at once.
    pub parallel: usize,
    /// Set while the pull goes on, it ends it: whole layers come into the store, so that the next pull goes
    /// on there.
    pub stop: &'a AtomicBool,
    /// Who is asked whether an image may be used.
    pub gate: &'a dyn Gate,
    /// Who is told.
    pub progress: &'a dyn Progress,
}

/// Nobody ever sets it.
static NEVER: AtomicBool = AtomicBool::new(false);

impl<'a> PullOptions<'a> {
    /// What users get without options.
    pub fn new(instances: Instances, gate: &'a dyn Gate, progress: &'a dyn Progress) -> Self {
        Self {
            instances,
            rights: Rights::ROOT,
            temporary: None,
            parallel: PARALLEL,
            stop: &NEVER,
            gate,
            progress,
        }
    }
}

/// What is in the store now.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// What the names stand for: a manifest or index.
    pub root: Document,
    /// The images, each with its configuration; artifacts have none.
    pub images: Vec<(Document, Option<Digest>)>,
    /// Whether anything was fetched besides the manifest.
    pub fetched: bool,
}

/// Brings an image into the store, and gives it names there. `origin` is where it comes from
/// (`docker://...`), for a later push; `time_s` is now.
pub fn pull(
    store: &Store,
    source: &dyn Source,
    names: &[String],
    origin: &str,
    time_s: i64,
    options: &PullOptions<'_>,
) -> Result<Pulled> {
    let root = source.manifest(None)?;
    if let Content::Schema1(manifest) = root.content() {
        options.gate.check(&source.scopes(), &root)?;
        let converted = Converted::new(source, manifest, options.temporary, options.progress)?;
        let options = PullOptions { gate: &LetThrough, ..options.clone() };
        return pull(store, &converted, names, origin, time_s, &options);
    }
    let mut work = store.begin()?;
    let placed = BTreeSet::new();
    let mut pull = Pull { store, source, options, work: &mut work, placed, fetched: false };
    let documents = pull.documents(&root)?;
    for document in documents.iter().filter(|document| document.index().is_none()) {
        options.gate.check(&source.scopes(), document)?;
    }
    let mut parts = pull.parts(&documents)?;
    pull.fetch_all(&mut parts)?;
    let fetched = pull.fetched;
    for bytes in parts.new_documents.iter() {
        work.put_bytes(bytes.bytes(), *bytes.digest())?;
    }
    work.commit()?;
    let is_known = |name: &String| {
        let known = store.resolve(name);
        let digest = AnyDigest::from(*root.digest());
        known.is_ok_and(|known| known.digest == digest && known.source == origin)
    };
    let new: Vec<&String> = names.iter().filter(|name| !is_known(name)).collect();
    let facts = match &options.instances {
        Instances::One(wanted) if !new.is_empty() => {
            view::facts(store, &root, Some(wanted), options.rights).ok()
        }
        // Whoever looks says which one is shown.
        _ => None,
    };
    for name in new {
        work.tag(&NameRecord {
            reference: name.clone(),
            digest: AnyDigest::from(*root.digest()),
            media_type: root.media_type().to_owned(),
            source: origin.to_owned(),
            time_s,
            facts: facts.clone(),
        })?;
    }
    work.finish()?;
    Ok(Pulled { root, images: parts.images, fetched })
}

/// Everything that belongs to an image.
#[derive(Default)]
struct Parts {
    images: Vec<(Document, Option<Digest>)>,
    /// Those with layers.
    configs: Vec<(ImageConfig, Vec<Descriptor>)>,
    /// Documents that the store lacks: they come last, so that they lead to nothing that is missing.
    new_documents: Vec<Document>,
    /// What is kept as it comes.
    blobs: BTreeMap<Digest, Descriptor>,
}

/// One layer to be fetched.
struct Job {
    descriptor: Descriptor,
    diff_id: Digest,
    staged: StagedLayer,
}

/// A layer that was fetched, or why it was not.
type Fetched = (Digest, Result<Unpacked>);

struct Pull<'p, 's> {
    store: &'s Store,
    source: &'p dyn Source,
    options: &'p PullOptions<'p>,
    work: &'p mut Work<'s>,
    /// Layers that are whole, and come into their places with the next commit.
    placed: BTreeSet<Digest>,
    fetched: bool,
}

impl Pull<'_, '_> {
    /// The manifests that are wanted, the root first.
    fn documents(&mut self, root: &Document) -> Result<Vec<Document>> {
        let mut all = vec![root.clone()];
        let mut todo = vec![(root.clone(), 0)];
        while let Some((document, depth)) = todo.pop() {
            let Some(index) = document.index() else { continue };
            if depth > INDEX_DEPTH {
                return Err(Error::new(Kind::Invalid, "indexes in indexes in indexes"));
            }
            for child in self.options.instances.choose(index)? {
                let child = self.document(child)?;
                if all.len() > MANIFESTS_LIMIT {
                    let text = format!("more than {MANIFESTS_LIMIT} manifests");
                    return Err(Error::new(Kind::Invalid, text));
                }
                if all.iter().all(|known| known.digest() != child.digest()) {
                    all.push(child.clone());
                    todo.push((child, depth + 1));
                }
            }
        }
        Ok(all)
    }

    /// A manifest that an index names: from the store if it is there.
    fn document(&mut self, descriptor: &Descriptor) -> Result<Document> {
        let digest = descriptor.verifiable()?;
        match self.store.read_blob(digest, SIZE_LIMIT_BYTES) {
            Ok(bytes) => Ok(verify_manifest(bytes, &descriptor.media_type, Some(digest))?),
            Err(_) => Ok(self.source.manifest(Some(digest))?),
        }
    }

    fn parts(&mut self, documents: &[Document]) -> Result<Parts> {
        let mut parts = Parts::default();
        for document in documents {
            if !self.work.has_blob(*document.digest())? {
                parts.new_documents.push(document.clone());
            }
            let manifest = match document.content() {
                Content::Manifest(manifest) => manifest,
                Content::Index(_) => continue,
                Content::Schema1(_) | Content::Other => {
                    let text = format!("manifest of type {}", document.media_type());
                    return Err(Error::new(Kind::Unsupported, text).with_hint(
                        "`tare copy` can copy it, the store holds images and artifacts",
                    ));
                }
            };
            let is_image = matches!(manifest.config.kind(), MediaType::Config(_));
            if !is_image {
                for descriptor in manifest.layers.iter().chain([&manifest.config]) {
                    parts.blobs.insert(*descriptor.verifiable()?, descriptor.clone());
                }
                parts.images.push((document.clone(), None));
                continue;
            }
            let config = self.config(&manifest.config)?;
            config.check_layers(manifest)?;
            let digest = *manifest.config.verifiable()?;
            parts.images.push((document.clone(), Some(digest)));
            parts.configs.push((config, manifest.layers.clone()));
        }
        // The images come before their index is known: nobody finds the index without them.
        parts.new_documents.reverse();
        Ok(parts)
    }

    /// Reads a configuration, and takes it in.
    fn config(&mut self, descriptor: &Descriptor) -> Result<ImageConfig> {
        let digest = *descriptor.verifiable()?;
        if self.work.has_blob(digest)? {
            return Ok(ImageConfig::read(&self.store.read_blob(&digest, CONFIG_LIMIT_BYTES)?)?);
        }
        if descriptor.size > CONFIG_LIMIT_BYTES as u64 {
            return Err(Error::new(Kind::Invalid, "the configuration is larger than 4 MiB"));
        }
        self.fetched = true;
        let step = Step {
            what: "Copying config",
            digest: digest.to_string(),
            bytes: Some(descriptor.size),
        };
        let bar = self.options.progress.begin(&step);
        let mut bytes = Vec::new();
        let read = self.source.blob(descriptor).map_err(Error::from).and_then(|blob| {
            let limit = CONFIG_LIMIT_BYTES as u64 + 1;
            let told = Told { inner: blob, bar: &*bar };
            told.take(limit).read_to_end(&mut bytes).map_err(|e| reading(&e, &digest))
        });
        bar.end(if read.is_ok() { End::Done } else { End::Failed });
        read?;
        let config = ImageConfig::read(&bytes)?;
        self.work.put_bytes(&bytes, digest)?;
        Ok(config)
    }

    fn fetch_all(&mut self, parts: &mut Parts) -> Result<()> {
        for _ in 0..ROUNDS {
            let missing = self.missing(parts)?;
            if missing.is_empty() {
                break;
            }
            self.fetched = true;
            let digests: Vec<Digest> = missing.keys().copied().collect();
            self.work.claim(&digests)?;
            // What others have fetched while this process waited.
            let mut still = self.missing(parts)?;
            still.retain(|digest, _| missing.contains_key(digest));
            for digest in digests.iter().filter(|digest| !still.contains_key(*digest)) {
                self.work.release(digest);
            }
            self.fetch_layers(parts, still)?;
        }
        let lacking = self.missing(parts)?;
        if let Some((diff_id, _)) = lacking.first_key_value() {
            let text = format!("layer {diff_id} cannot be brought into the store");
            return Err(Error::new(Kind::Corrupt, text));
        }
        self.fetch_blobs(parts)
    }

    /// The layers that are not in the store, and what they are in the source.
    fn missing(&mut self, parts: &Parts) -> Result<BTreeMap<Digest, Descriptor>> {
        let mut missing = BTreeMap::new();
        for (config, descriptors) in &parts.configs {
            let keys = layer_keys(self.store, config, self.options.rights)?;
            let layers = config.rootfs.diff_ids.iter().zip(descriptors).zip(keys);
            for ((diff_id, descriptor), key) in layers {
                let diff_id = *diff_id.verifiable()?;
                let here = match key {
                    Some(key) => self.work.has_layer(&key)?,
                    None => self.placed.contains(&diff_id),
                };
                if !here {
                    missing.insert(diff_id, descriptor.clone());
                }
            }
        }
        Ok(missing)
    }

    /// The layers that are missing, the first to fetch at the end.
    fn jobs(&mut self, parts: &Parts, missing: &BTreeMap<Digest, Descriptor>) -> Result<Vec<Job>> {
        let mut jobs = Vec::new();
        let mut taken = BTreeSet::new();
        for (config, _) in &parts.configs {
            for diff_id in &config.rootfs.diff_ids {
                let diff_id = *diff_id.verifiable()?;
                if let Some(descriptor) = missing.get(&diff_id)
                    && taken.insert(diff_id)
                {
                    refuse_what_nobody_can_unpack(descriptor)?;
                    let staged = self.work.stage_layer()?;
                    jobs.push(Job { descriptor: descriptor.clone(), diff_id, staged });
                }
            }
        }
        // One thread is not left alone with the largest at last.
        jobs.sort_by_key(|job| job.descriptor.size);
        Ok(jobs)
    }

    fn fetch_layers(&mut self, parts: &Parts, missing: BTreeMap<Digest, Descriptor>) -> Result<()> {
        let jobs = self.jobs(parts, &missing)?;
        let count = jobs.len();
        let threads = self.options.parallel.clamp(1, count.max(1));
        let jobs = Mutex::new(jobs);
        let stopped = AtomicBool::new(false);
        let (source, options) = (self.source, self.options);
        let mut waiting: BTreeMap<Digest, Unpacked> = BTreeMap::new();
        let mut failed = None;
        std::thread::scope(|scope| {
            let (sender, results) = channel();
            for _ in 0..threads {
                let sender = sender.clone();
                let (jobs, stopped) = (&jobs, &stopped);
                scope.spawn(move || fetch_some(source, options, jobs, stopped, &sender));
            }
            drop(sender);
            let mut last = Instant::now();
            while let Some(result) = next_of(&results) {
                let taken = match result {
                    Some((diff_id, result)) => result
                        .and_then(|unpacked: Unpacked| self.take(diff_id, unpacked, &mut waiting)),
                    // Others may wait for a registry that says nothing, until the process ends.
                    None if is_set(&[options.stop]) => self.work.commit_part().map_err(Error::from),
                    None => Ok(()),
                };
                let taken = taken.and_then(|()| match last.elapsed() > PART {
                    false => Ok(()),
                    true => {
                        last = Instant::now();
                        Ok(self.work.commit_part()?)
                    }
                });
                if let Err(error) = taken {
                    stopped.store(true, Ordering::Relaxed);
                    failed.get_or_insert(error);
                }
            }
        });
        if options.stop.load(Ordering::Relaxed) {
            failed.get_or_insert(Error::new(Kind::Os, "the pull was ended"));
        }
        let Some(error) = failed else { return self.place_upon_others(parts, waiting) };
        // What is whole stays for the next pull, unless the image is not what it says. If that fails, too, the
        // first reason is the better one.
        if error.kind() == Kind::Network || is_set(&[options.stop]) {
            let _ = self.work.commit_part();
        }
        Err(error)
    }

    /// A layer that is whole.
    fn take(
        &mut self,
        diff_id: Digest,
        unpacked: Unpacked,
        waiting: &mut BTreeMap<Digest, Unpacked>,
    ) -> Result<()> {
        if !unpacked.implied.is_empty() {
            waiting.insert(diff_id, unpacked);
            return Ok(());
        }
        self.work.put_layer(unpacked.staged, diff_id.into(), unpacked.facts)?;
        self.placed.insert(diff_id);
        Ok(())
    }

    /// Layers that take attributes from below: when everything below is there.
    fn place_upon_others(
        &mut self,
        parts: &Parts,
        mut waiting: BTreeMap<Digest, Unpacked>,
    ) -> Result<()> {
        if waiting.is_empty() {
            return Ok(());
        }
        self.work.commit_part()?;
        for (config, _) in &parts.configs {
            let mut below: Vec<LayerKey> = Vec::new();
            for diff_id in &config.rootfs.diff_ids {
                let diff_id = *diff_id.verifiable()?;
                if let Some(unpacked) = waiting.remove(&diff_id) {
                    self.place(unpacked, &below)?;
                }
                let known: Vec<_> = below.iter().copied().map(Some).collect();
                match keys::find(self.store, &diff_id, &known, self.options.rights)? {
                    Some(key) => below.push(key),
                    // The next round fetches it once more.
                    None => break,
                }
            }
        }
        Ok(())
    }

    fn place(&mut self, unpacked: Unpacked, below: &[LayerKey]) -> Result<()> {
        place(self.store, self.work, unpacked, below, self.options.rights)?;
        Ok(self.work.commit_part()?)
    }

    /// What artifacts are made of.
    fn fetch_blobs(&mut self, parts: &Parts) -> Result<()> {
        for (digest, descriptor) in &parts.blobs {
            if self.work.has_blob(*digest)? {
                continue;
            }
            self.fetched = true;
            let step = Step {
                what: "Copying blob",
                digest: digest.to_string(),
                bytes: Some(descriptor.size),
            };
            let bar = self.options.progress.begin(&step);
            let done = self.fetch_blob(digest, descriptor, &*bar);
            bar.end(if done.is_ok() { End::Done } else { End::Failed });
            done?;
        }
        Ok(())
    }

    fn fetch_blob(&mut self, digest: &Digest, what: &Descriptor, bar: &dyn Bar) -> Result<()> {
        let expected = store::Expected { digest: Some(*digest), size_bytes: Some(what.size) };
        // A descriptor may bring its content along.
        if let Some(bytes) = what.embedded() {
            self.work.put_bytes(&bytes, expected)?;
            return Ok(());
        }
        let blob = self.source.blob(what)?;
        self.work.put_blob(&mut Told { inner: blob, bar }, expected)?;
        Ok(())
    }
}

/// Layers that are not archives in the clear.
fn refuse_what_nobody_can_unpack(descriptor: &Descriptor) -> Result<()> {
    match descriptor.kind() {
        MediaType::Layer(layer) if layer.encrypted => {
            let text = format!("layer {} is encrypted", descriptor.digest);
            Err(Error::new(Kind::Unsupported, text)
                .with_hint("`tare copy` can copy it, but nothing here has a key for it"))
        }
        _ => Ok(()),
    }
}

/// What a thread does: fetches one layer after the other.
fn fetch_some(
    source: &dyn Source,
    options: &PullOptions<'_>,
    jobs: &Mutex<Vec<Job>>,
    stopped: &AtomicBool,
    results: &Sender<Fetched>,
) {
    loop {
        let job = match jobs.lock() {
            Ok(mut jobs) if !is_set(&[stopped, options.stop]) => jobs.pop(),
            _ => return,
        };
        let Some(job) = job else { return };
        let diff_id = job.diff_id;
        let result = fetch_layer(source, options, job, stopped);
        if result.is_err() {
            stopped.store(true, Ordering::Relaxed);
        }
        if results.send((diff_id, result)).is_err() {
            return;
        }
    }
}

/// The next layer, or `None` for a look at what else there is to do; nothing when no more come.
fn next_of(results: &Receiver<Fetched>) -> Option<Option<Fetched>> {
    match results.recv_timeout(LOOK) {
        Ok(fetched) => Some(Some(fetched)),
        Err(RecvTimeoutError::Timeout) => Some(None),
        Err(RecvTimeoutError::Disconnected) => None,
    }
}

fn fetch_layer(
    source: &dyn Source,
    options: &PullOptions<'_>,
    job: Job,
    stopped: &AtomicBool,
) -> Result<Unpacked> {
    let digest = job.descriptor.digest.to_string();
    let step =
        Step { what: "Copying blob", digest: digest.clone(), bytes: Some(job.descriptor.size) };
    let bar = options.progress.begin(&step);
    let fetch = || -> Result<Unpacked> {
        let blob = source.blob(&job.descriptor)?;
        let told = Told { inner: blob, bar: &*bar };
        let input = Stoppable { inner: told, stopped: [stopped, options.stop] };
        let algorithm = job.diff_id.algorithm();
        let unpacked = unpack(job.staged, input, algorithm, options.rights)
            .map_err(|error| error.during(format_args!("layer {digest}")))?;
        if unpacked.diff_id != job.diff_id {
            let text = format!(
                "layer {digest}: its archive has the digest {}, and the configuration says {}",
                unpacked.diff_id, job.diff_id
            );
            return Err(Error::new(Kind::Corrupt, text));
        }
        Ok(unpacked)
    };
    let fetched = fetch();
    bar.end(if fetched.is_ok() { End::Done } else { End::Failed });
    fetched
}

fn is_set(flags: &[&AtomicBool]) -> bool {
    flags.iter().any(|flag| flag.load(Ordering::Relaxed))
}

/// Content that ends with an error when something else has failed, or the caller does not want it any more.
struct Stoppable<'a, R> {
    inner: R,
    stopped: [&'a AtomicBool; 2],
}

impl<R: Read> Read for Stoppable<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match is_set(&self.stopped) {
            true => Err(io::Error::other("another layer has failed")),
            false => self.inner.read(buffer),
        }
    }
}

pub(crate) fn reading(error: &io::Error, what: &Digest) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::InvalidData => Kind::Corrupt,
        _ => Kind::Network,
    };
    Error::new(kind, format!("reading {what}: {error}"))
}
