//! Docker's image manifest version 2, schema 1: read, never written.
//!
//! A signed one is its payload with signatures spliced in; the digest is that of the payload.

use super::read_json;
use crate::base64;
use crate::digest::AnyDigest;
use crate::document;
use crate::error::{Error, ErrorKind};
use crate::json::{Raw, write};
use crate::map::Map;
use alloc::string::String;
use alloc::vec::Vec;

document! {
    /// A manifest. Both lists have the uppermost layer first.
    Manifest {
        schema_version: u32 => required,
        name: String,
        tag: String,
        architecture: String,
        fs_layers: Vec<FsLayer> => required,
        history: Vec<Entry> => required,
        signatures: Vec<Signature>,
    }

    /// A compressed layer.
    FsLayer {
        blob_sum: AnyDigest => required,
    }

    /// What docker's first images had as their configuration: JSON within JSON.
    Entry {
        v1_compatibility: String => required,
    }

    /// A signature, of which only the place where it was spliced in matters here.
    Signature {
        protected: String => required,
    }

    /// How the payload ended before the signatures came.
    Protected {
        format_length: u64 => required,
        format_tail: String => required,
    }

    /// Of a history entry, what layers need.
    Step(snake) {
        id: String,
        parent: String,
        created: String,
        author: String,
        comment: String,
        throwaway: bool,
        container_config: Command,
    }

    /// What was executed for a layer.
    Command {
        cmd as "Cmd": super::config::Words,
    }
}

/// A layer of a schema 1 image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The compressed archive.
    pub blob: AnyDigest,
    /// Nothing changed: the archive is empty, and no layer anywhere else.
    pub empty: bool,
}

/// Most bytes of a signature's header. It holds a number and the end of a document.
const PROTECTED_LIMIT_BYTES: usize = 4096;
/// Members of docker's first configurations that others have no place for.
const DROPPED: [&str; 6] = ["id", "parent", "parent_id", "layer_id", "throwaway", "Size"];

impl Manifest {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Error> {
        let mut manifest: Self = read_json(bytes)?;
        if manifest.schema_version != 1 {
            return Err(Error::invalid(&["schemaVersion: expected 1"]));
        }
        if manifest.fs_layers.is_empty() || manifest.fs_layers.len() != manifest.history.len() {
            return Err(Error::invalid(&["history: must have an entry for each of fsLayers"]));
        }
        manifest.drop_repetitions()?;
        Ok(manifest)
    }

    /// Early dockers pushed a layer once for each time it was tagged: only one of entries with the
    /// same ID behind each other counts. Otherwise each must be the next one's child.
    fn drop_repetitions(&mut self) -> Result<(), Error> {
        let steps = self.steps()?;
        let mut kept = alloc::vec![true; steps.len()];
        for (index, pair) in steps.windows(2).enumerate() {
            if pair[0].id == pair[1].id {
                // The lower one stays.
                kept[index] = false;
            } else if pair[0].parent != pair[1].id {
                return Err(Error::invalid(&["history: an entry's parent is not the next one"]));
            }
        }
        // Both lists have an entry for each step.
        let mut marks = kept.iter();
        self.fs_layers.retain(|_| marks.next() == Some(&true));
        let mut marks = kept.iter();
        self.history.retain(|_| marks.next() == Some(&true));
        Ok(())
    }

    fn steps(&self) -> Result<Vec<Step>, Error> {
        let read = |entry: &Entry| {
            read_json(entry.v1_compatibility.as_bytes())
                .map_err(|error: Error| error.within("history.v1Compatibility"))
        };
        self.history.iter().map(read).collect()
    }

    /// The layers, the lowest first.
    pub fn layers(&self) -> Result<Vec<Layer>, Error> {
        let steps = self.steps()?;
        let layers = self.fs_layers.iter().zip(steps).rev();
        Ok(layers
            .map(|(layer, step)| Layer { blob: layer.blob_sum.clone(), empty: step.throwaway })
            .collect())
    }

    /// The configuration as newer images have it. `diff_ids` are those of the layers that are not
    /// empty, the lowest first.
    pub fn config(&self, diff_ids: &[AnyDigest]) -> Result<String, Error> {
        let steps = self.steps()?;
        if steps.iter().filter(|step| !step.throwaway).count() != diff_ids.len() {
            return Err(Error::invalid(&["history: has another number of layers"]));
        }
        let top = self.history.first().map_or("{}", |entry| &entry.v1_compatibility);
        let mut members: Map<Raw> = read_json(top.as_bytes())?;
        members.retain(|name, _| !DROPPED.contains(&name.as_str()));
        let rootfs = super::RootFs { kind: "layers".into(), diff_ids: diff_ids.to_vec() };
        let entry = |step: &Step| super::History {
            created: step.created.clone(),
            author: step.author.clone(),
            created_by: step.container_config.cmd.0.join(" "),
            comment: step.comment.clone(),
            empty_layer: step.throwaway,
        };
        let history: Vec<super::History> = steps.iter().rev().map(entry).collect();
        for (name, text) in [("rootfs", write(&rootfs)), ("history", write(&history))] {
            members.insert(name.into(), read_json(text.as_bytes())?);
        }
        Ok(write(&members))
    }
}

/// The bytes whose digest is the manifest's: without signatures, if it has any.
pub fn payload(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let manifest: Manifest = read_json(bytes)?;
    let Some(signature) = manifest.signatures.first() else { return Ok(bytes.to_vec()) };
    let refuse = |why: &str| Error::new(ErrorKind::Invalid, &["signatures.protected: ", why]);
    if signature.protected.len() > PROTECTED_LIMIT_BYTES {
        return Err(refuse("larger than anything it has to say"));
    }
    let text = base64::decode_url(&signature.protected).ok_or_else(|| refuse("not in base 64"))?;
    let protected: Protected =
        read_json(&text).map_err(|error| error.within("signatures.protected"))?;
    let tail = base64::decode_url(&protected.format_tail);
    let tail = tail.ok_or_else(|| refuse("formatTail: not in base 64"))?;
    let length = usize::try_from(protected.format_length).ok();
    let head = length.and_then(|length| bytes.get(..length));
    let head = head.ok_or_else(|| refuse("formatLength: more than there is"))?;
    // The others must agree: each of them could be the first one to another program.
    if manifest.signatures.iter().any(|other| other.protected.is_empty()) {
        return Err(refuse("empty"));
    }
    let whole = [head, &tail].concat();
    let stripped: Manifest = read_json(&whole)?;
    let same = stripped.signatures.is_empty()
        && stripped.fs_layers == manifest.fs_layers
        && stripped.history == manifest.history;
    match same {
        true => Ok(whole),
        false => Err(Error::new(
            ErrorKind::Ambiguous,
            &["signatures: what is signed is not what stands in the manifest"],
        )),
    }
}
