//! Records, and the one of the registry itself.

use super::directory::Access;
use super::error::{Error, Result};
use super::key::Key;
use super::medium::Medium;
use crate::bucket::Only;
use crate::limits::RECORD_BYTES;
use crate::names::UploadId;
use oci::json::{FromJson, ToJson};
use std::path::Path;

/// The format that this program reads and writes.
const FORMAT: u32 = 1;
/// Features without which a program must not touch a registry: this program knows none.
const INCOMPAT_KNOWN: [&str; 0] = [];
/// Features without which a program must not write to a registry: this program knows none.
const RO_COMPAT_KNOWN: [&str; 0] = [];

oci::document! {
    /// `registry.json`. Like an ext4 superblock it tells programs of another age what they may do.
    RegistryRecord(snake) {
        format: u32 => required,
        /// Names this registry in events.
        uuid: String => required,
        /// Features that every program may ignore.
        compat: Vec<String> => always,
        /// Features that only programs that know them may write with.
        ro_compat: Vec<String> => always,
        /// Features that only programs that know them may read with.
        incompat: Vec<String> => always,
    }

    /// A manifest of a repository.
    ManifestRecord(snake) {
        media_type: String => required,
        size: u64 => required,
        /// The digest of the manifest that it refers to.
        subject: String,
        /// When it was put here, in seconds since 1970.
        time_s: u64 => always,
    }

    /// A tag.
    TagRecord(snake) {
        digest: String => required,
        /// When it was given, in seconds since 1970.
        time_s: u64 => always,
    }

    /// What a repository is a copy of, which need not be whole.
    OriginRecord(snake) {
        /// The repository's name with that of its registry.
        name: String => required,
    }

    /// An upload in flight.
    UploadRecord(snake) {
        repository: String => required,
        /// When it was begun, in seconds since 1970.
        time_s: u64 => always,
    }
}

/// Reads a record.
pub(crate) fn read<T: FromJson + Default>(directory: &Medium, key: &Key) -> Result<Option<T>> {
    let Some(bytes) = directory.read(key, RECORD_BYTES)? else { return Ok(None) };
    let record = oci::json::read(&bytes).map_err(|text| Error::new(format!("{key}: {text}")))?;
    Ok(Some(record))
}

/// Writes a record.
pub(crate) fn write(directory: &Medium, key: &Key, record: &dyn ToJson) -> Result<()> {
    let mut text = oci::json::write(record);
    text.push('\n');
    directory.write(key, text.as_bytes())
}

/// Sees that a directory is a registry, or makes it one. Returns its UUID.
pub(super) fn check(directory: &Medium, path: &Path) -> Result<String> {
    let read_only = directory.access() == Access::Read;
    let shown = path.display();
    let Some(record) = read::<RegistryRecord>(directory, &Key::record())? else {
        if read_only {
            return Err(Error::new(format!("{shown}: is not a registry: it has no registry.json")));
        }
        return make(directory, path);
    };
    if record.format != FORMAT {
        let text = format!("{shown}: is a registry of format {}, not {FORMAT}", record.format);
        return Err(Error::new(text).with_hint("use the program that made it"));
    }
    let unknown = |features: &[String], known: &[&str]| {
        features.iter().find(|feature| !known.contains(&feature.as_str())).cloned()
    };
    let mut refused = unknown(&record.incompat, &INCOMPAT_KNOWN);
    if !read_only {
        refused = refused.or(unknown(&record.ro_compat, &RO_COMPAT_KNOWN));
    }
    match refused {
        Some(feature) => {
            let text = format!("{shown}: has the feature `{feature}`, which is not known here");
            Err(Error::new(text).with_hint("use a newer program"))
        }
        None => Ok(record.uuid),
    }
}

fn make(directory: &Medium, path: &Path) -> Result<String> {
    // What a process that was killed here may have left.
    const OWN: [&str; 8] = [
        "lock",
        "blobs",
        "repositories",
        "uploads",
        "staging",
        "passed",
        "condemned",
        "collector.json",
    ];
    if let Some(other) = directory.top()?.iter().find(|name| !OWN.contains(&name.as_str())) {
        let text = format!("{}: is not a registry, and not empty: `{other}`", path.display());
        return Err(Error::new(text).with_hint("choose an empty directory with --root"));
    }
    for key in [Key::staging(), Key::uploads(), Key::repositories()] {
        directory.make_directory(&key)?;
    }
    let uuid =
        UploadId::random().map_err(|errno| Error::os("asking for a random number", errno))?;
    let record =
        RegistryRecord { format: FORMAT, uuid: uuid.to_string(), ..RegistryRecord::default() };
    let text = oci::json::write(&record) + "\n";
    match directory.write_if(&Key::record(), text.as_bytes(), &Only::Absent)? {
        // Another server has made it at the same moment.
        Some(false) => check(directory, path),
        _ => Ok(record.uuid),
    }
}
