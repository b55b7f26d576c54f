//! What the tests of several modules need.

use crate::error::{ErrorKind, Result};
use crate::hash::{digest_of, verify_manifest};
use crate::transfer::{Sink, Source};
use archive::TreePath;
use archive::tar::{Bytes, Entry, What, Writer};
use oci::image::media_type::{
    DOCKER_CONFIG, DOCKER_LAYER, DOCKER_MANIFEST, Format, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST,
};
use oci::image::{Descriptor, Document, ImageConfig, Manifest, RootFs};
use oci::{Algorithm, Digest};
use std::io::Read;
use std::path::PathBuf;
use std::process::Command;

/// Documents and archives of other projects.
pub(crate) const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");

/// A new directory of one test's own.
pub(crate) fn test_directory(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("tare-transport-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&path).expect("the directory for temporary files is writable");
    path
}

/// The kind of an error of something that has no `Debug`.
pub(crate) fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// A file of an archive, or what else can be in its place.
#[derive(Clone)]
pub(crate) enum Part {
    File(Vec<u8>),
    Directory,
    Symlink(String),
    Hardlink(String),
    Fifo,
}

/// An archive.
pub(crate) fn tar(parts: &[(&str, Part)]) -> Vec<u8> {
    let mut writer = Writer::new(Bytes::new(Vec::new()));
    for (name, part) in parts {
        let path = |name: &str| TreePath::parse(name.as_bytes(), 64).unwrap();
        let what = match part {
            Part::File(content) => {
                let size = content.len() as u64;
                What::File { size, stored: size, sparse: None }
            }
            Part::Directory => What::Directory,
            Part::Symlink(target) => What::Symlink(target.as_bytes().into()),
            Part::Hardlink(target) => What::Hardlink(path(target)),
            Part::Fifo => What::Fifo,
        };
        let (mode, uid, gid, mtime, xattrs) = (0o644, 0, 0, Default::default(), Vec::new());
        let (path, name, number, offset) = (path(name), Vec::new(), 0, 0);
        let entry = Entry { name, path, what, mode, uid, gid, mtime, xattrs, number, offset };
        writer.entry(&entry).unwrap();
        if let Part::File(content) = part {
            writer.data(content).unwrap();
        }
    }
    writer.finish().unwrap().into_inner()
}

/// An archive of one file: a layer.
pub(crate) fn layer(name: &str, content: &str) -> Vec<u8> {
    tar(&[(name, Part::File(content.into()))])
}

/// Puts content, unless it is there.
pub(crate) fn try_put(sink: &dyn Sink, media_type: &str, content: &[u8]) -> Result<Descriptor> {
    let digest = digest_of(Algorithm::Sha256, content);
    let descriptor = Descriptor::new(media_type, digest, content.len() as u64);
    if !sink.has_blob(&digest)? {
        sink.put_blob(&descriptor, &mut &*content)?;
    }
    assert!(sink.has_blob(&digest)?);
    Ok(descriptor)
}

/// As [`try_put`], where that does not fail.
pub(crate) fn put(sink: &dyn Sink, media_type: &str, content: &[u8]) -> Descriptor {
    try_put(sink, media_type, content).unwrap()
}

/// The configuration of an image with layers.
pub(crate) fn config(layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids = layers.iter().map(|layer| digest_of(Algorithm::Sha256, layer).into()).collect();
    let config = ImageConfig {
        created: "2020-01-02T03:04:05Z".into(),
        architecture: "amd64".into(),
        os: "linux".into(),
        rootfs: RootFs { kind: "layers".into(), diff_ids },
        ..Default::default()
    };
    oci::json::write(&config).into_bytes()
}

/// An image that other programs take for one, written to a sink. Layers are archives.
pub(crate) fn try_write_image(
    sink: &dyn Sink,
    format: Format,
    layers: &[Vec<u8>],
) -> Result<Document> {
    let (manifest, config_type, layer_type) = match format {
        Format::Oci => (OCI_MANIFEST, OCI_CONFIG, OCI_LAYER),
        Format::Docker => (DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER),
    };
    let manifest = Manifest {
        schema_version: 2,
        media_type: manifest.into(),
        config: try_put(sink, config_type, &config(layers))?,
        layers: layers.iter().map(|it| try_put(sink, layer_type, it)).collect::<Result<_>>()?,
        ..Default::default()
    };
    let manifest = verify_manifest(oci::json::write(&manifest).into_bytes(), "", None)?;
    sink.finish(&manifest)?;
    Ok(manifest)
}

/// As [`try_write_image`], where that does not fail.
pub(crate) fn write_image(sink: &dyn Sink, format: Format, layers: &[Vec<u8>]) -> Document {
    try_write_image(sink, format, layers).unwrap()
}

/// A blob, read to its end.
pub(crate) fn read_blob(source: &dyn Source, descriptor: &Descriptor) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    source.blob(descriptor).unwrap().read_to_end(&mut content)?;
    Ok(content)
}

/// The layers of an image, read to their ends.
pub(crate) fn read_layers(source: &dyn Source) -> Vec<Vec<u8>> {
    let manifest = source.manifest(None).unwrap();
    let manifest = manifest.manifest().unwrap();
    assert!(!read_blob(source, &manifest.config).unwrap().is_empty());
    manifest.layers.iter().map(|layer| read_blob(source, layer).unwrap()).collect()
}

/// The digests of an image's configuration and layers.
pub(crate) fn digests(source: &dyn Source) -> Vec<Digest> {
    let manifest = source.manifest(None).unwrap();
    let manifest = manifest.manifest().unwrap();
    let all = [&manifest.config].into_iter().chain(&manifest.layers);
    all.map(|descriptor| *descriptor.verifiable().unwrap()).collect()
}

/// Runs a program of the machine; `None`, and a skipped test, when it is not there.
pub(crate) fn run(test: &str, program: &str, arguments: &[&str]) -> Option<String> {
    match Command::new(program).args(arguments).output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{program} {arguments:?}: {text}");
            Some(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Err(_) => {
            skips::skip(test, &format!("{program} is not installed"));
            None
        }
    }
}

/// Whether a program is there. If not, the test is skipped.
pub(crate) fn is_installed(test: &str, program: &str) -> bool {
    run(test, program, &["--version"]).is_some()
}
