//! The lists of images and layers.

use super::Driver;
use crate::blob_file;
use crate::error::{Error, Result};
use oci::json::Raw;
use oci::{Digest, Map, Reference, base64, document};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest list. A thousand images with ten layers each take 10 MB.
const LIST_LIMIT_BYTES: u64 = 128 << 20;
/// Most images, or layers, of a store.
const RECORDS_LIMIT: usize = 200_000;

document! {
    /// An image.
    ImageRecord {
        id: String => required,
        digest: String,
        names: Vec<String>,
        layer: String,
        big_data_names as "big-data-names": Vec<String>,
        big_data_digests as "big-data-digests": Map,
    }

    /// A layer.
    LayerRecord {
        id: String => required,
        parent: String,
        diff_digest as "diff-digest": String,
        diff_size as "diff-size": Option<i64>,
        flags: Map<Raw>,
    }
}

impl ImageRecord {
    /// The names. What is none is left out.
    pub fn references(&self) -> impl Iterator<Item = Reference> {
        self.names.iter().filter_map(|name| Reference::parse(name).ok())
    }

    /// The digests that the image may be called by: those of its manifests.
    pub fn digests(&self) -> Vec<Digest> {
        let manifests = self.big_data_digests.iter().filter(|it| it.0.starts_with("manifest"));
        let all = manifests.map(|(_, digest)| digest).chain([&self.digest]);
        let mut digests: Vec<Digest> = all.filter_map(|text| Digest::parse(text).ok()).collect();
        digests.sort_unstable();
        digests.dedup();
        digests
    }

    pub fn has(&self, key: &str) -> bool {
        self.big_data_names.iter().any(|name| name == key)
    }
}

/// What a layer that was never seen as a whole should have for a digest, for those who check.
const EXPECTED_DIFF_ID: &str = "expected-layer-diffid";

impl LayerRecord {
    /// The digest of the archive.
    pub fn diff_id(&self) -> Option<Digest> {
        if let Ok(digest) = Digest::parse(&self.diff_digest) {
            return Some(digest);
        }
        let flag = self.flags.get(EXPECTED_DIFF_ID)?;
        let digest: String = oci::json::read(flag.as_str().as_bytes()).ok()?;
        Digest::parse(&digest).ok()
    }
}

/// The list of images.
pub(super) fn images_path(root: &Path, driver: Driver) -> PathBuf {
    root.join(format!("{}-images", driver.name())).join("images.json")
}

/// The directory with what is known of layers.
pub(super) fn layers_directory(root: &Path, driver: Driver) -> PathBuf {
    root.join(format!("{}-layers", driver.name()))
}

/// The images of a store, those with IDs that are none left out.
pub(super) fn read_images(root: &Path, driver: Driver) -> Result<Vec<ImageRecord>> {
    let path = images_path(root, driver);
    let mut images = Vec::new();
    read_list(&path, &mut |image: ImageRecord| {
        if oci::reference::is_identifier(&image.id) {
            images.push(image);
        }
    })?;
    Ok(images)
}

/// The layers of a store by their IDs, those with IDs that are none left out.
pub(super) fn read_layers(root: &Path, driver: Driver) -> Result<BTreeMap<String, LayerRecord>> {
    let path = layers_directory(root, driver).join("layers.json");
    let mut layers = BTreeMap::new();
    read_list(&path, &mut |layer: LayerRecord| {
        if oci::reference::is_identifier(&layer.id) {
            layers.insert(layer.id.clone(), layer);
        }
    })?;
    Ok(layers)
}

/// The name of the file that has something of an image.
pub(super) fn file_name(key: &str) -> String {
    let plain = |byte: u8| byte == b'.' || byte.is_ascii_digit() || byte.is_ascii_lowercase();
    match key.bytes().all(plain) {
        true => key.to_owned(),
        false => format!("={}", base64::encode(key.as_bytes())),
    }
}

/// Reads a list, which is not there in a store without entries.
fn read_list<T: oci::json::FromJson + Default>(path: &Path, take: &mut dyn FnMut(T)) -> Result<()> {
    if !blob_file::exists(path)? {
        return Ok(());
    }
    let mut bytes = Vec::new();
    let mut file = blob_file::open(path)?.take(LIST_LIMIT_BYTES + 1);
    file.read_to_end(&mut bytes).map_err(|error| Error::os("read", path, &error))?;
    if bytes.len() as u64 > LIST_LIMIT_BYTES {
        return Err(Error::in_file(path, "larger than 128 MiB"));
    }
    let mut rest = &bytes[..];
    let malformed = || Error::in_file(path, "is no list of objects");
    // The reader of documents bounds the number of their members: each record is one of its own.
    for number in 0..=RECORDS_LIMIT {
        let (record, behind) = next_record(rest, number == 0).ok_or_else(malformed)?;
        let Some(record) = record else { return Ok(()) };
        let read = oci::json::read(record);
        take(read.map_err(|error| Error::in_file(path, format!("entry {number}: {error}")))?);
        rest = behind;
    }
    Err(Error::in_file(path, "more than 200000 entries"))
}

/// What [`next_record`] finds, and the text behind it.
type Found<'a> = (Option<&'a [u8]>, &'a [u8]);

/// Cuts the next element out of an array of objects; the element is `None` at the array's end.
fn next_record(text: &[u8], first: bool) -> Option<Found<'_>> {
    let text = text.trim_ascii_start();
    let separator = if first { b'[' } else { b',' };
    let inner = match text {
        [b']', rest @ ..] if !first => return rest.trim_ascii().is_empty().then_some((None, rest)),
        [byte, rest @ ..] if *byte == separator => rest.trim_ascii_start(),
        // A store without entries has this.
        b"null" if first => return Some((None, &[])),
        _ => return None,
    };
    if let ([b']', rest @ ..], true) = (inner, first) {
        return rest.trim_ascii().is_empty().then_some((None, rest));
    }
    if inner.first() != Some(&b'{') {
        return None;
    }
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for (at, byte) in inner.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted => {
                depth -= 1;
                if depth == 0 {
                    let (record, rest) = inner.split_at(at + 1);
                    return Some((Some(record), rest));
                }
            }
            _ => {}
        }
    }
    None
}
