//! Artifacts: files with a manifest, which registries keep beside images.
//!
//! Each file is a blob as it is, and its name is in an annotation. What kind of artifact it is, says the
//! manifest; a configuration there is only if somebody gives one. With a subject, the artifact is about
//! another manifest, and registries list it among that one's referrers.

use crate::draft::{Naming, put_named};
use crate::error::{Error, Kind, Result};
use crate::progress::{End, Progress, Step, Told};
use oci::image::media_type::{self, is_media_type};
use oci::image::{Descriptor, Document, Manifest, SIZE_LIMIT_BYTES};
use oci::{Algorithm, Map};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use store::{Expected, Store};
use transport::Sink;
use transport::hash::{Hasher, digest_of, verify_manifest};

/// The annotation with the name of a file.
pub const TITLE: &str = "org.opencontainers.image.title";
/// What an artifact is of which nobody says it.
pub const UNKNOWN_ARTIFACT: &str = "application/vnd.unknown.artifact.v1";
/// What a configuration is of which nobody says it.
pub const UNKNOWN_CONFIG: &str = "application/vnd.unknown.config.v1+json";
/// The content of a configuration that is none.
const EMPTY: &[u8] = b"{}";
/// Files of one artifact: their manifest has to stay below its limit.
const FILES_LIMIT: usize = 10_000;
/// Read at once.
const READ_BYTES: usize = 256 << 10;
/// Looked at to find out what a file is.
const SNIFF_BYTES: usize = 512;

/// A file that becomes a part of an artifact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Where it is.
    pub path: PathBuf,
    /// What it is; when empty, its first bytes say it.
    pub media_type: String,
    /// Its name in the artifact; without one it has none.
    pub title: Option<String>,
    /// Other annotations.
    pub annotations: Map,
}

/// An artifact that is to be made.
#[derive(Clone, Debug, Default)]
pub struct NewArtifact {
    /// What kind of artifact it is.
    pub artifact_type: String,
    /// Its configuration.
    pub config: Option<Part>,
    /// Its files.
    pub parts: Vec<Part>,
    /// What is there already: of an artifact that gets more files.
    pub layers: Vec<Descriptor>,
    /// What it is about.
    pub subject: Option<Descriptor>,
    /// Annotations of the manifest.
    pub annotations: Map,
}

/// An artifact: its manifest, and where its contents are.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// The manifest.
    pub manifest: Document,
    blobs: Vec<(Descriptor, Content)>,
}

#[derive(Clone, Debug)]
enum Content {
    File(PathBuf),
    Bytes(&'static [u8]),
}

impl NewArtifact {
    /// Reads the files, and makes the manifest.
    pub fn make(&self) -> Result<Artifact> {
        let mut blobs = Vec::new();
        let config = match &self.config {
            Some(part) => {
                let default = if part.media_type.is_empty() { UNKNOWN_CONFIG } else { "" };
                let descriptor = describe(part, default)?;
                blobs.push((descriptor.clone(), Content::File(part.path.clone())));
                descriptor
            }
            None => {
                let empty = empty();
                blobs.push((empty.clone(), Content::Bytes(EMPTY)));
                empty
            }
        };
        let mut layers = self.layers.clone();
        for part in &self.parts {
            let descriptor = describe(part, "")?;
            blobs.push((descriptor.clone(), Content::File(part.path.clone())));
            layers.push(descriptor);
        }
        if layers.len() > FILES_LIMIT {
            let text = format!("{} files, the limit is {FILES_LIMIT}", layers.len());
            return Err(Error::new(Kind::Invalid, text));
        }
        if layers.is_empty() {
            // The specification wants one, so that old registries take it.
            blobs.push((empty(), Content::Bytes(EMPTY)));
            layers.push(empty());
        }
        let artifact_type = match (self.artifact_type.as_str(), &self.config) {
            // The configuration's type is the artifact's.
            ("", Some(_)) => "",
            ("", None) => UNKNOWN_ARTIFACT,
            (kind, _) => check_type(kind)?,
        };
        let manifest = Manifest {
            schema_version: 2,
            media_type: media_type::OCI_MANIFEST.into(),
            artifact_type: artifact_type.into(),
            config,
            layers,
            subject: self.subject.clone(),
            annotations: self.annotations.clone(),
        };
        let bytes = oci::json::write(&manifest).into_bytes();
        if bytes.len() > SIZE_LIMIT_BYTES {
            return Err(Error::new(Kind::Invalid, "the manifest would be larger than 4 MiB"));
        }
        Ok(Artifact { manifest: verify_manifest(bytes, "", None)?, blobs })
    }
}

impl Artifact {
    /// Sends it: its contents, and then the manifest.
    pub fn push(&self, sink: &dyn Sink, progress: &dyn Progress) -> Result<()> {
        for (descriptor, content) in &self.blobs {
            let digest = *descriptor.verifiable()?;
            let step = Step {
                what: "Copying blob",
                digest: digest.to_string(),
                bytes: Some(descriptor.size),
            };
            let bar = progress.begin(&step);
            let sent = match sink.has_blob(&digest) {
                Ok(true) => Ok(End::Present),
                Ok(false) => content.open().and_then(|content| {
                    sink.put_blob(descriptor, &mut Told { inner: content, bar: &*bar })?;
                    Ok(End::Done)
                }),
                Err(error) => Err(error.into()),
            };
            bar.end(*sent.as_ref().unwrap_or(&End::Failed));
            sent?;
        }
        Ok(sink.finish(&self.manifest)?)
    }

    /// Puts it into the store, with its names.
    pub fn put(&self, store: &Store, naming: &Naming<'_>) -> Result<()> {
        let mut work = store.begin()?;
        for (descriptor, content) in &self.blobs {
            let digest = *descriptor.verifiable()?;
            let expected = Expected { digest: Some(digest), size_bytes: Some(descriptor.size) };
            if !work.has_blob(expected)? {
                work.put_blob(&mut content.open()?, expected)?;
            }
        }
        let layers = self.manifest.manifest().map(|it| &it.layers[..]).unwrap_or_default();
        for layer in layers {
            let digest = *layer.verifiable()?;
            if !work.has_blob(digest)? {
                let text = format!("{digest} is not in the store");
                return Err(Error::new(Kind::NotFound, text).with_hint("pull the artifact again"));
            }
        }
        put_named(store, &mut work, &self.manifest, naming, None)?;
        Ok(work.finish()?)
    }
}

impl Content {
    fn open(&self) -> Result<Box<dyn Read + Send>> {
        match self {
            Self::File(path) => Ok(Box::new(open_file(path)?)),
            Self::Bytes(bytes) => Ok(Box::new(*bytes)),
        }
    }
}

fn check_type(text: &str) -> Result<&str> {
    match is_media_type(text) {
        true => Ok(text),
        false => Err(Error::new(Kind::Invalid, format!("`{text}` is no media type"))
            .with_hint("for example application/vnd.example.thing.v1")),
    }
}

fn empty() -> Descriptor {
    let digest = digest_of(Algorithm::Sha256, EMPTY);
    let mut empty = Descriptor::new(media_type::OCI_EMPTY, digest, EMPTY.len() as u64);
    empty.data = oci::base64::encode(EMPTY);
    empty
}

/// Hashes a file, and says what it is.
fn describe(part: &Part, default: &str) -> Result<Descriptor> {
    let mut file = open_file(&part.path)?;
    let failed = |error: &std::io::Error| reading(&part.path, error);
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut buffer = vec![0; READ_BYTES];
    let (mut size, mut first) = (0u64, Vec::new());
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(&error)),
        };
        let room = SNIFF_BYTES.saturating_sub(first.len()).min(count);
        first.extend_from_slice(&buffer[..room]);
        hasher.update(&buffer[..count]);
        size += count as u64;
    }
    let media_type = match (part.media_type.as_str(), default) {
        ("", "") => kind_of(&first),
        ("", default) => default,
        (named, _) => check_type(named)?,
    };
    let mut descriptor = Descriptor::new(media_type, hasher.finish(), size);
    descriptor.annotations = part.annotations.clone();
    if let Some(title) = &part.title {
        descriptor.annotations.insert(TITLE.into(), title.clone());
    }
    Ok(descriptor)
}

fn open_file(path: &Path) -> Result<File> {
    let file = File::open(path).map_err(|error| reading(path, &error))?;
    let metadata = file.metadata().map_err(|error| reading(path, &error))?;
    match metadata.is_dir() {
        false => Ok(file),
        true => Err(Error::new(Kind::Invalid, format!("{} is a directory", path.display()))
            .with_hint("pack it first: tar -czf FILE.tgz DIRECTORY")),
    }
}

fn reading(path: &Path, error: &std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => Kind::NotFound,
        _ => Kind::Os,
    };
    Error::new(kind, format!("reading {}: {error}", path.display()))
}

/// What a file is, as far as its first bytes say.
fn kind_of(first: &[u8]) -> &'static str {
    let marks: [(&[u8], &str); 8] = [
        (b"\x1f\x8b", "application/gzip"),
        (b"\x28\xb5\x2f\xfd", "application/zstd"),
        (b"PK\x03\x04", "application/zip"),
        (b"%PDF-", "application/pdf"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF8", "image/gif"),
        (b"\x00asm", "application/wasm"),
    ];
    if let Some((_, kind)) = marks.iter().find(|(mark, _)| first.starts_with(mark)) {
        return kind;
    }
    // A character may be cut at the end of what was looked at.
    let is_text = match std::str::from_utf8(first) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none() && first.len() == SNIFF_BYTES,
    };
    let has_controls = first.iter().any(|&byte| byte < 0x20 && !b"\t\n\r\x0c\x1b".contains(&byte));
    match is_text && !has_controls && !first.is_empty() {
        true => "text/plain",
        false => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_say_what_they_are() {
        assert_eq!(kind_of(b"hello\n"), "text/plain");
        assert_eq!(kind_of("\u{fc}".repeat(400).as_bytes()[..512].as_ref()), "text/plain");
        assert_eq!(kind_of("x\u{fc}".repeat(400).as_bytes()[..SNIFF_BYTES].as_ref()), "text/plain");
        assert_eq!(kind_of(b""), "application/octet-stream");
        assert_eq!(kind_of(b"a\0b"), "application/octet-stream");
        assert_eq!(kind_of(b"\xff\xfe"), "application/octet-stream");
        assert_eq!(kind_of(b"\x1f\x8b\x08"), "application/gzip");
    }

    #[test]
    fn an_artifact_without_anything_is_what_the_specification_says() {
        let made = NewArtifact::default().make().unwrap();
        assert_eq!(
            std::str::from_utf8(made.manifest.bytes()).unwrap(),
            concat!(
                r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","#,
                r#""artifactType":"application/vnd.unknown.artifact.v1","#,
                r#""config":{"mediaType":"application/vnd.oci.empty.v1+json","#,
                r#""digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","#,
                r#""size":2,"data":"e30="},"layers":[{"mediaType":"application/vnd.oci.empty.v1+json","#,
                r#""digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","#,
                r#""size":2,"data":"e30="}]}"#
            )
        );
        let wrong = NewArtifact { artifact_type: "x".into(), ..NewArtifact::default() };
        assert_eq!(wrong.make().unwrap_err().kind(), Kind::Invalid);
    }
}
