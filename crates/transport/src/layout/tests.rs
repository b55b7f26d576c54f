//! Layouts and directories: the fixtures of containers/image, own images, and broken ones.

use super::*;
use crate::directory::{DirectorySink, DirectorySource};
use crate::hash::digest_of;
use crate::tests::{
    self, DATA, is_installed, kind, layer, read_blob, read_layers, run, test_directory,
};
use crate::transfer::copy_image;
use oci::Algorithm;
use oci::image::media_type::Format;

fn place(directory: &Path, rest: &str) -> Place {
    Place::parse(&format!("{}{rest}", directory.display())).unwrap()
}

fn open(directory: &Path, rest: &str) -> Result<LayoutSource> {
    LayoutSource::open(&place(directory, rest), None)
}

/// An image written to a sink.
fn write_image(sink: &dyn Sink, layers: &[&str]) -> Document {
    let layers: Vec<Vec<u8>> = layers.iter().map(|text| layer("file", text)).collect();
    tests::write_image(sink, Format::Oci, &layers)
}

#[test]
fn images_are_chosen_by_name_position_or_digest() {
    let layouts = Path::new(DATA).join("layouts");
    let check = |layout: &str, rest: &str, expected: Result<&str, ErrorKind>| {
        let found = open(&layouts.join(layout), rest);
        let found = found.map(|it| it.descriptor().digest.to_string()[7..11].to_owned());
        let found = found.map_err(|error| error.kind());
        assert_eq!(found.as_deref().map_err(|kind| *kind), expected, "{layout} {rest}");
    };
    for (name, digest) in [("a", "aaaa"), ("b", "bbbb"), ("c", "cccc"), ("d", "dddd")] {
        check("name_lookups", &format!(":{name}"), Ok(digest));
    }
    check("name_lookups", ":invalid-mime", Err(ErrorKind::Invalid));
    check("name_lookups", ":absent", Err(ErrorKind::NotFound));
    check("name_lookups", "", Err(ErrorKind::Ambiguous));
    check("name_lookups", ":@1", Ok("bbbb"));
    check("name_lookups", ":@5", Err(ErrorKind::NotFound));
    check("name_lookups", &format!("@sha256:{}", "c".repeat(64)), Ok("cccc"));
    check("name_lookups", &format!("@sha256:{}", "f".repeat(64)), Err(ErrorKind::NotFound));
    check("manifest", "", Ok("84af"));
    check("manifest", ":v0.1.1", Ok("84af"));
    check("two_images_manifest", "", Err(ErrorKind::Ambiguous));
    check("two_images_manifest", ":@0", Ok("e692"));
    check("delete_image_only_one_image", "", Ok("eaa9"));
    check("absent", "", Err(ErrorKind::NotFound));
}

#[test]
fn layouts_of_other_programs_are_read() {
    let layouts = Path::new(DATA).join("layouts");
    let source = open(&layouts.join("delete_image_only_one_image"), ":latest").unwrap();
    let manifest = source.manifest(None).unwrap();
    let image = manifest.manifest().unwrap();
    // Whoever made it did not count: the configuration is larger than the manifest says.
    let error = read_blob(&source, &image.config).unwrap_err().to_string();
    assert!(error.ends_with("is larger than announced"), "{error}");
    // The blobs are elsewhere; the sizes in this layout's index are wrong, which nobody needs.
    let shared = layouts.join("delete_image_shared_blobs_dir");
    let blobs = shared.join("shared_blobs");
    let source = LayoutSource::open(&place(&shared, ""), Some(&blobs)).unwrap();
    assert_eq!(kind(source.manifest(None)), None);
    assert_eq!(kind(open(&shared, "").unwrap().manifest(None)), Some(ErrorKind::NotFound));
}

#[test]
fn what_is_written_is_read() {
    let root = test_directory("layout-roundtrip");
    let layout = root.join("layout");
    let sink = |rest: &str| LayoutSink::create(&place(&layout, rest), None).unwrap();
    let one = write_image(&sink(":one"), &["layer 1"]);
    let two = write_image(&sink(":two"), &["layer 1 of two", "layer 2 of two"]);
    for (rest, expected) in [(":one", &one), (":two", &two), (":@1", &two)] {
        let source = open(&layout, rest).unwrap();
        let manifest = source.manifest(None).unwrap();
        assert_eq!(&manifest, expected);
        for layer in read_layers(&source) {
            assert!(layer.starts_with(b"file\0"));
        }
    }
    // From a layout to a directory and back: the same bytes.
    let directory = root.join("directory");
    let to = DirectorySink::create(&directory).unwrap();
    copy_image(&open(&layout, ":two").unwrap(), &to).unwrap();
    let from = DirectorySource::open(&directory).unwrap();
    assert_eq!(from.manifest(None).unwrap(), two);
    copy_image(&from, &sink(":three")).unwrap();
    assert_eq!(open(&layout, ":three").unwrap().manifest(None).unwrap(), two);
    // Nothing temporary is left.
    let hidden = |directory: &Path| {
        let entries = std::fs::read_dir(directory).unwrap();
        entries
            .filter(|it| it.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'))
            .count()
    };
    for directory in [&layout, &layout.join("blobs/sha256"), &directory] {
        assert_eq!(hidden(directory), 0, "{}", directory.display());
    }
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn a_name_stands_for_the_image_written_last() {
    let layout = test_directory("layout-names");
    let sink = |rest: &str| LayoutSink::create(&place(&layout, rest), None).unwrap();
    let old = write_image(&sink(":x"), &["old"]);
    let new = write_image(&sink(":x"), &["new", "newer"]);
    assert_eq!(open(&layout, ":x").unwrap().manifest(None).unwrap(), new);
    let by_digest = open(&layout, &format!("@{}", old.digest())).unwrap();
    assert_eq!(by_digest.manifest(None).unwrap(), old);
    // Another name for the same image, and the same name again: no entry twice.
    for rest in [":y", ":x", ":x", ""] {
        sink(rest).finish(&new).unwrap();
    }
    let names: Vec<_> = read_index(&layout)
        .unwrap()
        .manifests
        .iter()
        .map(|it| it.annotations.get(NAME).cloned().unwrap_or_default())
        .collect();
    assert_eq!(names, ["", "y", "x", ""]);
    assert_eq!(
        kind(LayoutSink::create(&place(&layout, ":@0"), None)),
        Some(ErrorKind::Unsupported)
    );
    std::fs::remove_dir_all(layout).unwrap();
}

#[test]
fn several_programs_add_images_at_once() {
    let layout = test_directory("layout-parallel");
    std::thread::scope(|scope| {
        for number in 0..8 {
            let layout = &layout;
            scope.spawn(move || {
                let place = place(layout, &format!(":image-{number}"));
                let sink = LayoutSink::create(&place, None).unwrap();
                let layer = format!("layer {number}");
                // The configuration is the same for all of them.
                let digest = digest_of(Algorithm::Sha256, layer.as_bytes());
                let layer_size = layer.len() as u64;
                let descriptor =
                    Descriptor::new(oci::image::media_type::OCI_LAYER, digest, layer_size);
                sink.put_blob(&descriptor, &mut layer.as_bytes()).unwrap();
                let config = Descriptor::new(
                    oci::image::media_type::OCI_CONFIG,
                    digest_of(Algorithm::Sha256, b"{}"),
                    2,
                );
                sink.put_blob(&config, &mut &b"{}"[..]).unwrap();
                let layers = vec![descriptor];
                let manifest = oci::image::Manifest {
                    schema_version: 2,
                    config,
                    layers,
                    ..Default::default()
                };
                let manifest =
                    verify_manifest(oci::json::write(&manifest).into_bytes(), "", None).unwrap();
                sink.finish(&manifest).unwrap();
            });
        }
    });
    assert_eq!(read_index(&layout).unwrap().manifests.len(), 8);
    for number in 0..8 {
        open(&layout, &format!(":image-{number}")).unwrap().manifest(None).unwrap();
    }
    std::fs::remove_dir_all(layout).unwrap();
}

#[test]
fn content_that_is_not_what_it_says_is_refused() {
    let layout = test_directory("layout-corrupt");
    let sink = LayoutSink::create(&place(&layout, ":x"), None).unwrap();
    let manifest = write_image(&sink, &["layer"]);
    let layer = manifest.manifest().unwrap().layers[0].clone();
    let path = |digest: &Digest| layout.join("blobs/sha256").join(digest.hex());
    let source = open(&layout, ":x").unwrap();
    let layer_path = path(layer.verifiable().unwrap());
    for content in ["Layer", "laye", "layer 2"] {
        std::fs::write(&layer_path, content).unwrap();
        assert!(read_blob(&source, &layer).is_err(), "{content}");
        // Nor is it copied, and nothing of it stays.
        let copied = layout.join("copied");
        let to = DirectorySink::create(&copied).unwrap();
        assert_eq!(kind(copy_image(&source, &to)), Some(ErrorKind::Corrupt));
        let names: Vec<_> =
            std::fs::read_dir(&copied).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(names, ["version"]);
    }
    std::fs::write(path(manifest.digest()), [manifest.bytes(), b" "].concat()).unwrap();
    assert_eq!(kind(source.manifest(None)), Some(ErrorKind::Corrupt));
    // What is no plain file does not hang.
    std::fs::remove_file(&layer_path).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&layer_path).status().unwrap();
    assert!(made.success());
    assert_eq!(kind(source.blob(&layer)), Some(ErrorKind::Invalid));
    std::fs::remove_dir_all(layout).unwrap();
}

#[test]
fn only_images_are_overwritten() {
    let root = test_directory("dir-overwrite");
    let mine = root.join("mine");
    std::fs::create_dir(&mine).unwrap();
    std::fs::write(mine.join("thesis.txt"), "").unwrap();
    let error = DirectorySink::create(&mine).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(mine.join("thesis.txt").exists());
    std::fs::write(mine.join("version"), "1\n").unwrap();
    assert_eq!(kind(DirectorySink::create(&mine)), Some(ErrorKind::Denied));
    let image = root.join("image");
    let old = write_image(&DirectorySink::create(&image).unwrap(), &["a", ""]);
    let new = write_image(&DirectorySink::create(&image).unwrap(), &["c"]);
    let source = DirectorySource::open(&image).unwrap();
    assert_eq!(source.manifest(None).unwrap(), new);
    assert_eq!(std::fs::read_dir(&image).unwrap().count(), 4);
    assert_eq!(kind(source.manifest(Some(old.digest()))), Some(ErrorKind::NotFound));
    std::fs::remove_dir_all(root).unwrap();
}

/// What skopeo makes of our images, and we of skopeo's: the same bytes.
#[test]
fn skopeo_reads_and_writes_the_same() {
    const TEST: &str = "skopeo_reads_and_writes_the_same";
    if !is_installed(TEST, "skopeo") {
        return;
    }
    let root = test_directory("layout-skopeo");
    let layout = root.join("ours");
    let sink = LayoutSink::create(&place(&layout, ":x"), None).unwrap();
    let written = write_image(&sink, &["layer"]);
    let skopeo = |from: &str, to: &str| {
        let options = ["--insecure-policy", "copy", "--preserve-digests", "--quiet"];
        run(TEST, "skopeo", &[&options[..], &[from, to]].concat()).unwrap()
    };
    let path = |name: &str| root.join(name).display().to_string();
    skopeo(&format!("oci:{}:x", path("ours")), &format!("oci:{}:y", path("theirs")));
    assert_eq!(open(&root.join("theirs"), ":y").unwrap().manifest(None).unwrap(), written);
    skopeo(&format!("oci:{}:x", path("ours")), &format!("dir:{}", path("their-dir")));
    let source = DirectorySource::open(&root.join("their-dir")).unwrap();
    assert_eq!(source.manifest(None).unwrap(), written);
    let to = DirectorySink::create(&root.join("our-dir")).unwrap();
    copy_image(&source, &to).unwrap();
    skopeo(&format!("dir:{}", path("our-dir")), &format!("oci:{}:z", path("theirs")));
    assert_eq!(open(&root.join("theirs"), ":z").unwrap().manifest(None).unwrap(), written);
    std::fs::remove_dir_all(root).unwrap();
}
