//! Archives of docker, podman and others, own ones, hostile ones.

use super::*;
use crate::directory::DirectorySource;
use crate::error::{ErrorKind, Result};
use crate::layout::{LayoutArchive, Select};
use crate::place::{ArchiveSelect, DockerArchive};
use crate::tests::{
    DATA, Part, config, digests, is_installed, kind, layer, put, read_blob, read_layers, run, tar,
    test_directory, write_image,
};
use crate::transfer::{Sink, Source};
use ::archive::compression::{Codec, Encoder};
use oci::Reference;
use oci::image::Document;
use oci::image::media_type::{DOCKER_CONFIG, DOCKER_LAYER, Format};
use std::io::Write;
use std::path::Path;

fn place(path: &Path, rest: &str) -> DockerArchive {
    DockerArchive::parse(&format!("{}{rest}", path.display())).unwrap()
}

fn open(path: &Path, rest: &str) -> Result<ArchiveSource> {
    Archive::open(path, &std::env::temp_dir())?.source(&place(path, rest).select)
}

fn write(path: &Path, rest: &str, layers: &[Vec<u8>]) -> Document {
    let sink = ArchiveSink::create(&place(path, rest), &[], path.parent().unwrap()).unwrap();
    write_image(&sink, Format::Docker, layers)
}

fn reference(name: &str) -> Reference {
    Reference::parse(name).unwrap()
}

fn all_names(archive: &Archive) -> Vec<Vec<String>> {
    let images = archive.images().into_iter();
    images.map(|image| image.names.iter().map(ToString::to_string).collect()).collect()
}

#[test]
fn archives_of_other_programs_are_read() {
    let data = Path::new(DATA).join("archives");
    const EMPTY: &str = "ec9293436c2e66da44edb9efb8d41f6b13baf62283ebe846468bc992d76d7951";
    for (file, names) in [
        ("docker-unnamed.tar.xz", vec![vec![]]),
        ("docker-name-only.tar.xz", vec![vec!["docker.io/library/pretty-empty:latest"]]),
        ("docker-registry-name.tar.xz", vec![vec!["example.com/empty:latest"]]),
        (
            "docker-two-names.tar.xz",
            vec![vec!["docker.io/library/pretty-empty:latest", "example.com/empty:latest"]],
        ),
        (
            "docker-two-images.tar.xz",
            vec![vec!["example.com/empty:latest"], vec!["example.com/empty/but:different"]],
        ),
    ] {
        let path = data.join(file);
        let archive = Archive::open(&path, &std::env::temp_dir()).unwrap();
        let found = all_names(&archive);
        let found: Vec<Vec<&str>> =
            found.iter().map(|names| names.iter().map(String::as_str).collect()).collect();
        assert_eq!(found, names, "{file}");
        for (position, names) in names.iter().enumerate() {
            let source = archive.source(&ArchiveSelect::Position(position)).unwrap();
            // Of the second image, the layer is a link to that of the first.
            let sizes: Vec<usize> = read_layers(&source).iter().map(Vec::len).collect();
            assert_eq!(sizes, [1536], "{file}");
            for name in names {
                let source = archive.source(&ArchiveSelect::Name(reference(name))).unwrap();
                assert_eq!(source.names(), archive.images()[position].names);
            }
        }
        let first = archive.source(&ArchiveSelect::Position(0)).unwrap();
        assert_eq!(digests(&first)[0].hex(), EMPTY, "{file}");
        let absent = archive.source(&ArchiveSelect::Name(reference("absent:1")));
        assert_eq!(kind(absent), Some(ErrorKind::NotFound), "{file}");
        let absent = archive.source(&ArchiveSelect::Position(2));
        assert_eq!(kind(absent), Some(ErrorKind::NotFound), "{file}");
        let only = archive.source(&ArchiveSelect::Only);
        assert_eq!(kind(only), (names.len() > 1).then_some(ErrorKind::Ambiguous), "{file}");
    }
    // Docker 25 and later write a layout, too; the layers in it are not packed.
    for file in ["docker-28-overlay.tar.xz", "docker-28-containerd.tar.xz"] {
        let source = open(&data.join(file), ":x.example/two:1").unwrap();
        let layout = LayoutArchive::open(&data.join(file), &std::env::temp_dir()).unwrap();
        let layout = layout.source(&Select::Only).unwrap();
        assert_eq!(digests(&source), digests(&layout), "{file}");
        assert_eq!(read_layers(&source), read_layers(&layout), "{file}");
    }
    let oci = open(&data.join("oci-unnamed.tar.gz"), "").err().unwrap();
    assert!(oci.hint().unwrap().starts_with("write `oci-archive:"), "{oci}");
    let built = open(&data.join("buildkit-docker.tar"), ":github.com/buildkit/archive:docker");
    assert_eq!(read_layers(&built.unwrap()).len(), 0);
}

#[test]
fn an_image_is_docker_s_schema_2_of_unpacked_layers() {
    let source = open(&Path::new(DATA).join("archives/docker-name-only.tar.xz"), "").unwrap();
    let manifest = source.manifest(None).unwrap();
    // The members' order is that of containers/image, which calls the layer one of gzip, though.
    let expected = concat!(
        r#"{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","#,
        r#""config":{"mediaType":"application/vnd.docker.container.image.v1+json","size":1286,"#,
        r#""digest":"sha256:ec9293436c2e66da44edb9efb8d41f6b13baf62283ebe846468bc992d76d7951"},"#,
        r#""layers":[{"mediaType":"application/vnd.docker.image.rootfs.diff.tar","size":1536,"#,
        r#""digest":"sha256:dcbaa840b88808e329e03e84c9193dd1d4765998b6643babe2fd24e6771bdca2"}]}"#,
    );
    assert_eq!(String::from_utf8_lossy(manifest.bytes()), expected);
    assert_eq!(source.manifest(Some(manifest.digest())).unwrap(), manifest);
    let other = *manifest.manifest().unwrap().config.verifiable().unwrap();
    assert_eq!(kind(source.manifest(Some(&other))), Some(ErrorKind::NotFound));
    assert_eq!(source.scopes().transport(), "docker-archive");
    assert_eq!(source.scopes().names().collect::<Vec<_>>(), [""]);
}

#[test]
fn compressed_layers_are_unpacked() {
    let layers = [layer("a", "first"), layer("b", "second"), layer("a", "first")];
    let packed = |codec, bytes: &[u8]| {
        let mut encoder = Encoder::new(codec, 1, Vec::new()).unwrap();
        encoder.write_all(bytes).unwrap();
        Part::File(encoder.finish().unwrap())
    };
    let item = r#"[{"Config":"c","RepoTags":null,"Layers":["l/1","l/2","l/1"]}]"#;
    let bytes = tar(&[
        ("manifest.json", Part::File(item.into())),
        ("c", Part::File(config(&layers))),
        ("l/1", packed(Codec::Gzip { level: 6 }, &layers[0])),
        ("l/2", packed(Codec::Zstd { level: 3 }, &layers[1])),
    ]);
    let root = test_directory("docker-packed");
    let archive = Archive::read(&mut &*bytes, Path::new("-"), &root).unwrap();
    let source = archive.source(&ArchiveSelect::Only).unwrap();
    assert_eq!(read_layers(&source), layers);
    let sizes: Vec<u64> = source
        .manifest(None)
        .unwrap()
        .manifest()
        .unwrap()
        .layers
        .iter()
        .map(|it| it.size)
        .collect();
    assert_eq!(sizes, layers.iter().map(|layer| layer.len() as u64).collect::<Vec<_>>());
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn names_that_nobody_can_use_are_told_of() {
    let directory = test_directory("docker-names");
    let path = directory.join("x.tar");
    let tags = r#"["a:1","Bad/Name:x","no-tag","docker.io/library/a:1","b:2"]"#;
    let item = format!(r#"[{{"Config":"c","RepoTags":{tags},"Layers":[]}}]"#);
    std::fs::write(&path, tar(&[("manifest.json", Part::File(item.into()))])).unwrap();
    let archive = Archive::open(&path, &std::env::temp_dir()).unwrap();
    assert_eq!(all_names(&archive), [["docker.io/library/a:1", "docker.io/library/b:2"]]);
    let images = archive.images();
    assert_eq!(images[0].unusable().collect::<Vec<_>>(), ["Bad/Name:x", "no-tag"]);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn what_is_written_is_read() {
    let root = test_directory("docker-archive");
    let (one, two) = (root.join("one.tar"), root.join("two.tar"));
    let layers = [layer("a", "first"), layer("b", "second"), layer("a", "first")];
    let written = write(&one, ":x.example/a:1", &layers);
    let source = open(&one, "").unwrap();
    assert_eq!(source.manifest(None).unwrap().manifest(), written.manifest());
    assert_eq!(source.names(), [reference("x.example/a:1")]);
    assert_eq!(read_layers(&source), layers);
    write(&two, "", &layers);
    write(&two, ":x.example/a:1", &layers);
    assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap());
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 2);
    let refused = ArchiveSink::create(&place(&two, ":@0"), &[], &root);
    assert_eq!(kind(refused), Some(ErrorKind::Unsupported));
    let digest = reference(&format!("a@sha256:{}", "0".repeat(64)));
    let refused = ArchiveSink::create(&place(&two, ""), &[digest], &root);
    assert_eq!(kind(refused), Some(ErrorKind::Invalid));
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn several_images_share_their_layers() {
    let root = test_directory("docker-archive-several");
    let path = root.join("x.tar");
    let base = layer("base", &"large".repeat(10_000));
    let both = [base.clone(), layer("b", "second")];
    let writer = ArchiveWriter::create(&path, &root).unwrap();
    let image = |names: &[&str]| {
        let names: Vec<Reference> = names.iter().map(|name| reference(name)).collect();
        writer.image(&names).unwrap()
    };
    write_image(&image(&["one", "x.example/first:1"]), Format::Docker, std::slice::from_ref(&base));
    let two = image(&["two:2"]);
    let new = two.put_new(DOCKER_LAYER, &mut &*base).unwrap();
    assert_eq!(put(&two, DOCKER_LAYER, &base).digest, new.digest);
    let new = two.put_new(DOCKER_CONFIG, &mut &*config(&both)).unwrap();
    assert_eq!(put(&two, DOCKER_CONFIG, &config(&both)).digest, new.digest);
    write_image(&two, Format::Docker, &both);
    // The same image with one more name, and one without.
    write_image(&image(&["one:again", "one"]), Format::Docker, std::slice::from_ref(&base));
    write_image(&image(&[]), Format::Docker, &[]);
    assert!(!path.exists());
    writer.finish().unwrap();

    let archive = Archive::open(&path, &root).unwrap();
    let one = "docker.io/library/one";
    let expected = [
        vec![format!("{one}:latest"), "x.example/first:1".into(), format!("{one}:again")],
        vec!["docker.io/library/two:2".into()],
        vec![],
    ];
    assert_eq!(all_names(&archive), expected);
    assert_eq!(read_layers(&open(&path, ":two:2").unwrap()), both);
    assert_eq!(read_layers(&open(&path, ":@2").unwrap()).len(), 0);
    let size = std::fs::metadata(&path).unwrap().len();
    assert!(size < 2 * base.len() as u64, "{size}");
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn what_docker_before_1_10_reads_is_there() {
    let root = test_directory("docker-archive-legacy");
    let path = root.join("x.tar");
    let layers = [layer("a", "first"), layer("b", "second")];
    write(&path, ":x.example/a:1", &layers);
    let members = crate::archives::Members::open(&path, &root).unwrap();
    let document = |name: &str| {
        let bytes = members.read_document(name).unwrap().unwrap();
        String::from_utf8(bytes).unwrap()
    };
    let names = document("repositories");
    let id = names.strip_prefix(r#"{"x.example/a":{"1":""#).unwrap();
    let id = id.strip_suffix(r#""}}"#).unwrap();
    let top = document(&format!("{id}/json"));
    let start = format!(
        r#"{{"architecture":"amd64","created":"2020-01-02T03:04:05Z","id":"{id}","os":"linux","parent":""#
    );
    let parent = top.strip_prefix(&start).unwrap().strip_suffix(r#""}"#).unwrap();
    assert_eq!(document(&format!("{parent}/json")), format!(r#"{{"id":"{parent}"}}"#));
    for (id, layer) in [(parent, &layers[0]), (id, &layers[1])] {
        assert_eq!(document(&format!("{id}/VERSION")), "1.0");
        assert_eq!(document(&format!("{id}/layer.tar")).as_bytes(), layer);
    }
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn what_an_archive_cannot_hold_is_refused() {
    let root = test_directory("docker-archive-refused");
    let path = root.join("x.tar");
    let sink = || ArchiveSink::create(&place(&path, ""), &[], &root).unwrap();
    let takes = sink().takes();
    assert!(takes.single && takes.plain_layers && takes.format == Some(Format::Docker));
    let index = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    let index = crate::hash::verify_manifest(index.to_vec(), "", None).unwrap();
    assert_eq!(kind(sink().finish(&index)), Some(ErrorKind::Unsupported));
    assert_eq!(kind(sink().put_instance(&index)), Some(ErrorKind::Unsupported));
    // An artifact, a layer that nobody wrote, and more layers than the configuration knows.
    let manifest = |config_type: &str,
                    written: &[Vec<u8>],
                    named: &[Vec<u8>],
                    known: &[Vec<u8>]| {
        let sink = sink();
        let layers = |all: &[Vec<u8>]| all.iter().map(|it| put(&sink, DOCKER_LAYER, it)).collect();
        let mut manifest = oci::image::Manifest {
            schema_version: 2,
            config: put(&sink, config_type, &config(known)),
            layers: layers(written),
            ..Default::default()
        };
        let other = ArchiveWriter::create(&root.join("y.tar"), &root).unwrap().image(&[]).unwrap();
        manifest.layers.extend(named.iter().map(|layer| put(&other, DOCKER_LAYER, layer)));
        let bytes = oci::json::write(&manifest).into_bytes();
        let claimed = oci::image::media_type::DOCKER_MANIFEST;
        let manifest = crate::hash::verify_manifest(bytes, claimed, None).unwrap();
        kind(sink.finish(&manifest))
    };
    let (a, b) = (vec![layer("a", "first")], vec![layer("b", "second")]);
    assert_eq!(manifest("x/y", &a, &[], &a), Some(ErrorKind::Unsupported));
    assert_eq!(manifest(DOCKER_CONFIG, &[], &b, &b), Some(ErrorKind::NotFound));
    assert_eq!(manifest(DOCKER_CONFIG, &a, &[], &[]), Some(ErrorKind::Invalid));
    assert_eq!(manifest(DOCKER_CONFIG, &a, &[], &a), None);
    let large = vec![b' '; (4 << 20) + 1];
    let refused = sink().put_new(DOCKER_CONFIG, &mut &*large);
    assert_eq!(kind(refused), Some(ErrorKind::Invalid));
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn broken_and_hostile_archives_are_refused() {
    let layers = [layer("a", "first")];
    let root = test_directory("docker-archive-broken");
    let check = |manifest: &str, config: &[u8], expected: ErrorKind| {
        let bytes = tar(&[
            ("manifest.json", Part::File(manifest.into())),
            ("c", Part::File(config.to_vec())),
            ("l", Part::File(layers[0].clone())),
            ("out", Part::Symlink("../../../etc/passwd".into())),
            ("etc", Part::Symlink("/etc/passwd".into())),
            ("d", Part::Directory),
        ]);
        let archive = Archive::read(&mut &*bytes, Path::new("-"), &root);
        let source = archive.and_then(|archive| archive.source(&ArchiveSelect::Only));
        assert_eq!(kind(source), Some(expected), "{manifest}");
    };
    let good = config(&layers);
    for manifest in [
        "",
        "{}",
        "[{}]",
        "[null]",
        r#"[{"Config":"c"}"#,
        r#"[{"Config":"c","Layers":[1]}]"#,
        r#"[{"Config":"absent","Layers":["l"]}]"#,
        r#"[{"Config":"../../etc/passwd","Layers":["l"]}]"#,
        r#"[{"Config":"/etc/passwd","Layers":["l"]}]"#,
        r#"[{"Config":"etc","Layers":["l"]}]"#,
        r#"[{"Config":"out","Layers":["l"]}]"#,
        r#"[{"Config":"d","Layers":["l"]}]"#,
        r#"[{"Config":"l","Layers":["l"]}]"#,
        r#"[{"Config":"c","Layers":["absent"]}]"#,
        r#"[{"Config":"c","Layers":["/etc/passwd"]}]"#,
        r#"[{"Config":"c","Layers":["out"]}]"#,
        r#"[{"Config":"c","Layers":["d"]}]"#,
        r#"[{"Config":"c","Layers":["l","l"]}]"#,
        r#"[{"Config":"c","Layers":[]}]"#,
    ] {
        check(manifest, &good, ErrorKind::Invalid);
    }
    let manifest = r#"[{"Config":"c","Layers":["l"]}]"#;
    check("[]", &good, ErrorKind::NotFound);
    check(manifest, b"{}", ErrorKind::Invalid);
    check(manifest, br#"{"rootfs":{"diff_ids":["l"]}}"#, ErrorKind::Invalid);
    let other = br#"{"rootfs":{"diff_ids":["md5:d41d8cd98f00b204e9800998ecf8427e"]}}"#;
    check(manifest, other, ErrorKind::Unsupported);
    let many = vec![manifest.trim_matches(['[', ']']); 10_001].join(",");
    check(&format!("[{many}]"), &good, ErrorKind::Invalid);
    let many = vec!["\"l\""; 1001].join(",");
    check(&format!(r#"[{{"Config":"c","Layers":[{many}]}}]"#), &good, ErrorKind::Invalid);
    // Docker before 1.10 wrote no manifest.
    let bytes = tar(&[("repositories", Part::File(b"{}".to_vec()))]);
    let old = Archive::read(&mut &*bytes, Path::new("-"), &root).err().unwrap();
    assert!(old.hint().unwrap().starts_with("docker before 1.10"), "{old}");
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn g5_a_layer_that_is_another_one_is_refused() {
    let layers = [layer("a", "first")];
    let manifest = r#"[{"Config":"c","RepoTags":["x:1",""],"Layers":["l"]}]"#;
    let mut encoder = Encoder::new(Codec::Gzip { level: 1 }, 1, Vec::new()).unwrap();
    encoder.write_all(&layer("a", "second")).unwrap();
    for other in [layer("a", "First"), layer("a", "firs"), Vec::new(), encoder.finish().unwrap()] {
        let bytes = tar(&[
            ("manifest.json", Part::File(manifest.into())),
            ("c", Part::File(config(&layers))),
            ("l", Part::File(other)),
        ]);
        let archive = Archive::read(&mut &*bytes, Path::new("-"), &std::env::temp_dir()).unwrap();
        let source = archive.source(&ArchiveSelect::Name(reference("x:1"))).unwrap();
        let manifest = source.manifest(None).unwrap();
        assert!(read_blob(&source, &manifest.manifest().unwrap().layers[0]).is_err());
    }
}

/// What skopeo makes of our archives, and we of skopeo's: the same image.
#[test]
fn skopeo_reads_and_writes_the_same_archives_of_docker() {
    const TEST: &str = "skopeo_reads_and_writes_the_same_archives_of_docker";
    if !is_installed(TEST, "skopeo") {
        return;
    }
    let root = test_directory("docker-archive-skopeo");
    let (ours, theirs) = (root.join("ours.tar"), root.join("theirs.tar"));
    let layers = [layer("a", "first"), layer("b", "second"), layer("a", "first")];
    write(&ours, ":x.example/a:1", &layers);
    let copy = |from: &str, to: &str, more: &[&str]| {
        let options = ["--insecure-policy", "copy", "--quiet"];
        run(TEST, "skopeo", &[&options[..], more, &[from, to]].concat()).unwrap()
    };
    let text = |path: &Path, name: &str| format!("docker-archive:{}{name}", path.display());
    let directory = root.join("dir");
    copy(&text(&ours, ":x.example/a:1"), &format!("dir:{}", directory.display()), &[]);
    let expected = digests(&open(&ours, "").unwrap());
    assert_eq!(digests(&DirectorySource::open(&directory).unwrap()), expected);
    let tags = ["--additional-tag", "x.example/c:3"];
    copy(&text(&ours, ""), &text(&theirs, ":x.example/b:2"), &tags);
    let source = open(&theirs, ":x.example/c:3").unwrap();
    assert_eq!(digests(&source), expected);
    assert_eq!(source.names().len(), 2);
    assert_eq!(read_layers(&source), layers);
    std::fs::remove_dir_all(root).unwrap();
}

/// What podman loads of our archives, and saves again: the same images.
#[test]
fn podman_loads_and_saves_the_same_archives() {
    const TEST: &str = "podman_loads_and_saves_the_same_archives";
    if !is_installed(TEST, "podman") {
        return;
    }
    let root = test_directory("podman");
    let text = |name: &str| root.join(name).display().to_string();
    let podman = |arguments: &[&str]| {
        let (store, run_root) = (text("store"), text("r"));
        let options = ["--storage-driver", "vfs", "--root", &store, "--runroot", &run_root];
        run(TEST, "podman", &[&options[..], arguments].concat()).unwrap()
    };
    let (ours, theirs) = (root.join("ours.tar"), root.join("theirs.tar"));
    let base = layer("base", "base");
    let both = [base.clone(), layer("b", "second")];
    let writer = ArchiveWriter::create(&ours, &root).unwrap();
    for (names, layers) in [
        (["x.example/a:1", "x.example/b:2"], &both[..1]),
        (["x.example/c:3", "x.example/d:4"], &both),
    ] {
        let sink = writer.image(&names.map(reference)).unwrap();
        write_image(&sink, Format::Docker, layers);
    }
    writer.finish().unwrap();
    podman(&["load", "--quiet", "--input", &text("ours.tar")]);
    let loaded = podman(&[
        "images",
        "--format",
        "{{.Repository}}:{{.Tag}} {{.Id}}",
        "--sort",
        "repository",
        "--no-trunc",
    ]);
    let id = |rest: &str| open(&ours, rest).map(|source| digests(&source)[0].hex()).unwrap();
    let (one, two) = (id(":@0"), id(":@1"));
    let expected = format!(
        "x.example/a:1 {one}\nx.example/b:2 {one}\nx.example/c:3 {two}\nx.example/d:4 {two}\n"
    );
    assert_eq!(loaded, expected);
    let names = ["x.example/a:1", "x.example/c:3", "x.example/d:4"];
    podman(&[&["save", "--quiet", "-m", "--output", &text("theirs.tar")][..], &names].concat());
    let saved = Archive::open(&theirs, &root).unwrap();
    assert_eq!(all_names(&saved), [vec!["x.example/a:1"], vec!["x.example/c:3", "x.example/d:4"]]);
    for rest in [":x.example/a:1", ":x.example/c:3"] {
        let (ours, theirs) = (open(&ours, rest).unwrap(), open(&theirs, rest).unwrap());
        assert_eq!(digests(&ours), digests(&theirs));
        assert_eq!(read_layers(&ours), read_layers(&theirs));
    }
    podman(&["rmi", "--all", "--force"]);
    std::fs::remove_dir_all(root).unwrap();
}
