//! Tests on real stores, in directories of their own.

mod basics;
mod claims;
mod crash;
mod damage;
mod full;
mod mapped;
mod mounts;
mod power;
mod speed;
mod unprivileged;

use crate::{LayerFacts, LayerKey, NameRecord, Options, Result, Store, Work, digest_of};
use oci::Digest;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory that goes with its owner.
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("tare-store-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(super) fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    /// A store that does not wait for the disk.
    pub(super) fn open(&self) -> Store {
        open(&self.0).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) fn options() -> Options {
    // Only where power is cut does it matter, and syncing is slow.
    let is_cut = std::env::var_os(crash::LOGS).is_some();
    let durability = if is_cut { crate::Durability::Strict } else { crate::Durability::None };
    Options { durability, ..Options::default() }
}

pub(super) fn open(scratch: &Path) -> Result<Store> {
    Store::open(&scratch.join("root"), &scratch.join("run"), &options())
}

/// An image with layers that hold nothing but their seeds.
pub(super) struct Image {
    pub(super) manifest: Vec<u8>,
    pub(super) config: Vec<u8>,
    pub(super) seeds: Vec<u32>,
}

impl Image {
    pub(super) fn new(seeds: &[u32]) -> Self {
        let diff_ids: Vec<String> =
            seeds.iter().map(|seed| format!("{:?}", digest_of(&tar(*seed)).to_string())).collect();
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
            diff_ids.join(",")
        );
        let descriptor = |kind: &str, bytes: &[u8]| {
            let (digest, size) = (digest_of(bytes), bytes.len());
            let kind = format!("application/vnd.oci.image.{kind}");
            format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":{size}}}"#)
        };
        let layers: Vec<String> =
            seeds.iter().map(|seed| descriptor("layer.v1.tar+gzip", &packed(*seed))).collect();
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{}]}}"#,
            descriptor("config.v1+json", config.as_bytes()),
            layers.join(",")
        );
        Self { manifest: manifest.into_bytes(), config: config.into_bytes(), seeds: seeds.to_vec() }
    }

    pub(super) fn digest(&self) -> Digest {
        digest_of(&self.manifest)
    }

    pub(super) fn keys(&self) -> Vec<LayerKey> {
        self.seeds.iter().map(|seed| key(*seed)).collect()
    }

    pub(super) fn record(&self, reference: &str) -> NameRecord {
        NameRecord {
            reference: reference.to_owned(),
            digest: self.digest().into(),
            media_type: "application/vnd.oci.image.manifest.v1+json".into(),
            source: format!("docker://{reference}"),
            time_s: 1,
            facts: None,
        }
    }

    /// What a puller does: claim, look, fetch what is not there, commit, name.
    pub(super) fn pull(&self, store: &Store, reference: &str) -> Result<usize> {
        let mut work = store.begin()?;
        let fetched = self.fetch(&mut work)?;
        work.commit()?;
        work.tag(&self.record(reference))?;
        work.finish()?;
        Ok(fetched)
    }

    pub(super) fn fetch(&self, work: &mut Work<'_>) -> Result<usize> {
        let digests: Vec<Digest> = self.keys().iter().map(|key| key.diff_id).collect();
        work.claim(&digests)?;
        let mut fetched = 0;
        for seed in &self.seeds {
            if work.has_layer(&key(*seed))? {
                work.release(&key(*seed).diff_id);
                continue;
            }
            fetched += 1;
            put_layer(work, *seed)?;
        }
        for bytes in [&self.config, &self.manifest] {
            if !work.has_blob(digest_of(bytes))? {
                work.put_bytes(bytes, digest_of(bytes))?;
            }
        }
        Ok(fetched)
    }
}

/// What stands for a layer's tar.
pub(super) fn tar(seed: u32) -> Vec<u8> {
    format!("layer {seed}\n").repeat(100).into_bytes()
}

fn packed(seed: u32) -> Vec<u8> {
    format!("packed {seed}").into_bytes()
}

pub(super) fn key(seed: u32) -> LayerKey {
    digest_of(&tar(seed)).into()
}

pub(super) fn put_layer(work: &mut Work<'_>, seed: u32) -> Result<()> {
    let staged = work.stage_layer()?;
    let file = crate::files::create(staged.diff_dir(), "data")?;
    let write = |file, bytes: &[u8]| {
        sys::fs::write_all(file, bytes).map_err(|errno| crate::Error::os("filling a layer", errno))
    };
    write(&file, &tar(seed))?;
    crate::files::make_dir(staged.diff_dir(), "etc")?;
    write(&staged.create_index()?, b"data\n")?;
    crate::fault::step("layer filled");
    let facts =
        LayerFacts { tar_bytes: tar(seed).len() as u64, entries: 2, ..LayerFacts::default() };
    work.put_layer(staged, key(seed), facts)
}

/// Makes the "tar" again.
pub(super) fn rebuild(layer: &crate::Layer) -> Result<Digest> {
    let mut name = String::new();
    layer.open_index()?.read_to_string(&mut name).unwrap();
    let file = crate::files::open_file(&layer.diff_dir()?, name.trim())?;
    let mut bytes = Vec::new();
    crate::File(file).read_to_end(&mut bytes).unwrap();
    Ok(digest_of(&bytes))
}

/// Everything that a full check finds.
pub(super) fn findings(store: &Store) -> Vec<crate::Finding> {
    let mut rebuild = rebuild;
    store.fsck(crate::Check { hash_blobs: true, rebuild: Some(&mut rebuild) }).unwrap()
}

/// Nothing is in flight.
pub(super) fn leftovers(root: &Path) -> Vec<PathBuf> {
    let entries = |name: &str| std::fs::read_dir(root.join(name)).unwrap();
    let dirs = ["staging", "claims", "trash"];
    dirs.iter().flat_map(|dir| entries(dir)).map(|entry| entry.unwrap().path()).collect()
}
