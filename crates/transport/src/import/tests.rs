//! Archives and directories that become images.

use super::*;
use crate::layout::{LayoutArchive, LayoutArchiveSink, Place, Select};
use crate::tests::{
    digests, is_installed, kind, layer, read_blob, read_layers, run, test_directory,
};
use archive::compression::{Codec, Encoder};
use oci::image::ContainerConfig;

fn options(format: Format) -> Options {
    let container = ContainerConfig {
        cmd: oci::image::Words(vec!["/bin/sh".into()]),
        env: vec!["A=b".into()],
        ..Default::default()
    };
    let config = ImageConfig {
        created: "2020-01-02T03:04:05Z".into(),
        architecture: "amd64".into(),
        os: "linux".into(),
        config: Some(container),
        ..Default::default()
    };
    Options { config, format, latest_seconds: None, temporary: std::env::temp_dir() }
}

fn read(bytes: &[u8], format: Format) -> Result<ImportSource> {
    ImportSource::read_tar(&mut &*bytes, Path::new("-"), &options(format))
}

fn packed(codec: Codec, bytes: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(codec, 1, Vec::new()).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn an_archive_is_the_layer_as_it_is() {
    let plain = layer("bin/sh", "text");
    let gzip = packed(Codec::Gzip { level: 6 }, &plain);
    let zstd = packed(Codec::Zstd { level: 3 }, &plain);
    for (bytes, format, media_type, content) in [
        (&plain, Format::Oci, OCI_LAYER, &plain),
        (&gzip, Format::Oci, OCI_LAYER_GZIP, &gzip),
        (&zstd, Format::Oci, OCI_LAYER_ZSTD, &zstd),
        (&plain, Format::Docker, DOCKER_LAYER, &plain),
        (&gzip, Format::Docker, DOCKER_LAYER_GZIP, &gzip),
        // docker's format has no name for it that docker knows.
        (&zstd, Format::Docker, DOCKER_LAYER, &plain),
    ] {
        let source = read(bytes, format).unwrap();
        let document = source.manifest(None).unwrap();
        let manifest = document.manifest().unwrap();
        assert_eq!(manifest.layers[0].media_type, media_type);
        assert_eq!(&read_blob(&source, &manifest.layers[0]).unwrap(), content);
        let config = ImageConfig::read(&read_blob(&source, &manifest.config).unwrap()).unwrap();
        let diff_id = digest_of(Algorithm::Sha256, &plain);
        let rootfs = RootFs { kind: "layers".into(), diff_ids: vec![diff_id.into()] };
        assert_eq!(config, ImageConfig { rootfs, ..options(format).config });
        config.check_layers(manifest).unwrap();
        assert_eq!(source.scopes().transport(), "tar");
        let other = Descriptor::new("x/y", digest_of(Algorithm::Sha256, b"other"), 5);
        assert_eq!(kind(source.blob(&other)), Some(ErrorKind::NotFound));
        assert_eq!(
            kind(source.manifest(Some(other.verifiable().unwrap()))),
            Some(ErrorKind::NotFound)
        );
    }
}

#[test]
fn what_layers_are_not_packed_with_is_unpacked() {
    const TEST: &str = "what_layers_are_not_packed_with_is_unpacked";
    let root = test_directory("import-packed");
    let plain = layer("bin/sh", &"text".repeat(10_000));
    for (program, ending) in [("bzip2", "bz2"), ("xz", "xz")] {
        if !is_installed(TEST, program) {
            continue;
        }
        std::fs::write(root.join("x.tar"), &plain).unwrap();
        let path = root.join("x.tar").display().to_string();
        run(TEST, program, &["--keep", &path]).unwrap();
        let path = root.join(format!("x.tar.{ending}"));
        let source = ImportSource::open_tar(&path, &options(Format::Oci)).unwrap();
        assert_eq!(read_layers(&source), std::slice::from_ref(&plain));
        assert_eq!(
            source.manifest(None).unwrap().manifest().unwrap().layers[0].media_type,
            OCI_LAYER
        );
    }
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn what_is_no_archive_is_refused() {
    let root = test_directory("import-refused");
    let plain = layer("bin/sh", "text");
    let gzip = packed(Codec::Gzip { level: 6 }, &plain);
    for (bytes, expected) in [
        (&b""[..], ErrorKind::Invalid),
        (b"text", ErrorKind::Corrupt),
        (&plain[..600], ErrorKind::Corrupt),
        (&gzip[..gzip.len() - 1], ErrorKind::Corrupt),
        (&packed(Codec::Zstd { level: 1 }, b"text"), ErrorKind::Corrupt),
    ] {
        assert_eq!(kind(read(bytes, Format::Oci)), Some(expected), "{}", bytes.escape_ascii());
    }
    let error = ImportSource::open_tar(&root, &options(Format::Oci)).err().unwrap();
    assert!(error.hint().unwrap().starts_with("write `rootfs:"), "{error}");
    let absent = ImportSource::open_tree(&root.join("absent"), &options(Format::Oci));
    assert_eq!(kind(absent), Some(ErrorKind::NotFound));
    std::fs::write(root.join("file"), "").unwrap();
    let file = ImportSource::open_tree(&root.join("file"), &options(Format::Oci));
    assert_eq!(kind(file), Some(ErrorKind::Os));
    let mut wrong = options(Format::Oci);
    wrong.config.config.as_mut().unwrap().env.push("=".into());
    assert_eq!(kind(ImportSource::open_tree(&root, &wrong)), Some(ErrorKind::Invalid));
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn a_directory_becomes_a_layer() {
    let root = test_directory("import-tree");
    let tree = root.join("tree");
    std::fs::create_dir_all(tree.join("usr/bin")).unwrap();
    for number in 0..50 {
        let path = tree.join(format!("usr/bin/{number}"));
        std::fs::write(path, "text".repeat(1000 * number)).unwrap();
    }
    std::os::unix::fs::symlink("usr/bin", tree.join("bin")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(tree.join("socket")).unwrap();
    let latest = Options { latest_seconds: Some(1_000_000_000), ..options(Format::Oci) };
    let source = ImportSource::open_tree(&tree, &latest).unwrap();
    assert_eq!((source.report().sockets_skipped, source.report().entries), (1, 53));
    let document = source.manifest(None).unwrap();
    let descriptor = &document.manifest().unwrap().layers[0];
    let archive = read_blob(&source, descriptor).unwrap();
    let mut plain = Vec::new();
    assert!(source.write_plain(descriptor, descriptor.verifiable().unwrap(), &mut plain).unwrap());
    assert!(plain == archive);
    let mut reader = Reader::new(&archive[..], Limits::default());
    let mut entries = 0;
    while let Some(entry) = reader.next_entry().unwrap() {
        assert_eq!(entry.mtime.seconds, 1_000_000_000);
        entries += 1;
    }
    assert_eq!(entries, 53);
    assert_eq!(digests(&ImportSource::open_tree(&tree, &latest).unwrap()), digests(&source));
    // Through an archive, too: with the same digest.
    let path = root.join("x.tar");
    let place = Place::parse(&path.display().to_string()).unwrap();
    crate::copy_image(&source, &LayoutArchiveSink::create(&place, &root).unwrap()).unwrap();
    let copied = LayoutArchive::open(&path, &root).unwrap().source(&Select::Only).unwrap();
    assert_eq!(copied.manifest(None).unwrap(), document);
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn a_directory_that_changes_is_refused() {
    let root = test_directory("import-changes");
    std::fs::write(root.join("file"), "text").unwrap();
    let source = ImportSource::open_tree(&root, &options(Format::Oci)).unwrap();
    let document = source.manifest(None).unwrap();
    let layer = &document.manifest().unwrap().layers[0];
    let diff_id = *layer.verifiable().unwrap();
    let check = |expected: ErrorKind| {
        assert!(read_blob(&source, layer).is_err());
        let written = source.write_plain(layer, &diff_id, &mut Vec::new());
        assert_eq!(kind(written), Some(expected));
    };
    std::fs::write(root.join("file"), "Text").unwrap();
    check(ErrorKind::Corrupt);
    std::fs::write(root.join("file"), "texts").unwrap();
    check(ErrorKind::Corrupt);
    // What layers mean something else by.
    std::fs::write(root.join(".wh.file"), "").unwrap();
    check(ErrorKind::Unsupported);
    let other = source.write_plain(layer, &digest_of(Algorithm::Sha256, b""), &mut Vec::new());
    assert_eq!(kind(other), Some(ErrorKind::NotFound));
    std::fs::remove_dir_all(root).unwrap();
}
