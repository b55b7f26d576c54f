//! Stores that podman has made.

use super::*;
use crate::directory::DirectorySource;
use crate::tests::{Part, is_installed, run, tar};
use std::process::Command;

/// An archive with whatever a layer may have, written by GNU tar.
fn odd_layer(root: &Path) -> Vec<u8> {
    let tree = root.join("tree");
    let directory = tree.join("usr/share/a directory");
    std::fs::create_dir_all(&directory).unwrap();
    for number in 0..200 {
        std::fs::write(directory.join(format!("file {number}")), "text".repeat(number)).unwrap();
    }
    let long = "n".repeat(120);
    std::fs::write(directory.join(&long), "long").unwrap();
    std::fs::write(tree.join("ümlaut"), "text").unwrap();
    std::fs::hard_link(tree.join("ümlaut"), tree.join("again")).unwrap();
    std::os::unix::fs::symlink("usr/share", tree.join("link")).unwrap();
    std::fs::File::create(tree.join("hole")).unwrap().set_len(1 << 20).unwrap();
    let path = root.join("odd.tar");
    let path = path.display().to_string();
    let tree = tree.display().to_string();
    let made = Command::new("tar")
        .args(["--format=pax", "--blocking-factor=64", "-cf", &path, "-C", &tree, "."])
        .status();
    assert!(made.unwrap().success());
    std::fs::read(&path).unwrap()
}

/// What podman has stored of an archive is had again, byte for byte, and is what skopeo has.
#[test]
fn what_podman_stores_is_had_again() {
    const TEST: &str = "what_podman_stores_is_had_again";
    if !is_installed(TEST, "podman") || !is_installed(TEST, "skopeo") {
        return;
    }
    let root = test_directory("cs");
    let whiteout = tar(&[
        ("usr/.wh.share", Part::File(Vec::new())),
        ("new/.wh..wh..opq", Part::File(Vec::new())),
        ("new/file", Part::File(b"new".to_vec())),
    ]);
    let layers = [odd_layer(&root), whiteout];
    let saved = root.join("saved.tar").display().to_string();
    let writer = crate::docker_archive::ArchiveWriter::create(saved.as_ref(), &root).unwrap();
    let sink = writer.image(&[Reference::parse("x.example/a:1").unwrap()]).unwrap();
    crate::tests::write_image(&sink, oci::image::media_type::Format::Docker, &layers);
    writer.finish().unwrap();
    for driver in ["vfs", "overlay"] {
        let (store, run_root) = (root.join(driver), root.join(&driver[..1]));
        let (store, run_root) = (store.display().to_string(), run_root.display().to_string());
        let roots = ["--storage-driver", driver, "--root", &store, "--runroot", &run_root];
        let load = ["load", "--quiet", "--input", &saved];
        let loaded = Command::new("podman").args(roots).args(load).output().unwrap();
        if !loaded.status.success() {
            let text = String::from_utf8_lossy(&loaded.stderr).into_owned();
            assert_eq!(driver, "overlay", "{text}");
            skips::skip(TEST, &format!("podman cannot use overlay here: {text}"));
            continue;
        }
        let place = image(&format!("[{driver}@{store}+{run_root}]x.example/a:1"));
        let storage = Storage::open(&Options::of(place.store.as_ref().unwrap())).unwrap();
        let source = storage.source(&place).unwrap();
        let manifest = source.manifest(None).unwrap();
        let manifest = manifest.manifest().unwrap();
        for (descriptor, layer) in manifest.layers.iter().zip(&layers) {
            assert!(plain(&source, descriptor, &sha256(layer)).unwrap() == *layer, "{driver}");
        }
        let copied = root.join(format!("{driver}-copied")).display().to_string();
        let from = format!("containers-storage:[{driver}@{store}+{run_root}]x.example/a:1");
        let copy = ["--insecure-policy", "copy", "--quiet", &from, &format!("dir:{copied}")];
        run(TEST, "skopeo", &copy).unwrap();
        let theirs = DirectorySource::open(copied.as_ref()).unwrap();
        assert_eq!(digests(&theirs), digests(&source), "{driver}");
        run(TEST, "podman", &[&roots[..], &["rmi", "--all", "--force"]].concat()).unwrap();
        let _ = Command::new("umount").arg(format!("{store}/overlay")).output();
    }
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn archives_of_others_are_loaded_by_podman_and_read() {
    const TEST: &str = "archives_of_others_are_loaded_by_podman_and_read";
    if !is_installed(TEST, "podman") {
        return;
    }
    let root = test_directory("cs2");
    let archive = Path::new(DATA).join("archives/docker-two-images.tar.xz").display().to_string();
    let (store, run_root) =
        (root.join("s").display().to_string(), root.join("r").display().to_string());
    let roots = ["--storage-driver", "vfs", "--root", &store, "--runroot", &run_root];
    let load = ["load", "--quiet", "--input", &archive];
    run(TEST, "podman", &[&roots[..], &load].concat()).unwrap();
    let storage = Storage::open(&options(store.as_ref())).unwrap();
    assert_eq!(storage.images().len(), 2);
    // Of this one podman 4 does not know how large the layer is: it was behind a link.
    let source = storage.source(&image("example.com/empty/but:different")).unwrap();
    let manifest = source.manifest(None).unwrap();
    let layer = &manifest.manifest().unwrap().layers[0];
    assert_eq!(source.has_packed(layer).unwrap(), layer.size == 1536);
    let archive = plain(&source, layer, layer.verifiable().unwrap()).unwrap();
    assert_eq!(archive.len(), 1536);
    run(TEST, "podman", &[&roots[..], &["rmi", "--all", "--force"]].concat()).unwrap();
    std::fs::remove_dir_all(root).unwrap();
}
