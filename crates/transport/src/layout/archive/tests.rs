//! Layouts in archives: those of other programs, own ones, hostile ones.

use super::*;
use crate::tests::{
    DATA, Part, is_installed, kind, layer, put, read_blob, read_layers, run, tar, test_directory,
    write_image,
};
use oci::image::media_type::{Format, OCI_LAYER};

fn place(path: &Path, rest: &str) -> Place {
    Place::parse(&format!("{}{rest}", path.display())).unwrap()
}

fn open(path: &Path, rest: &str) -> Result<LayoutArchiveSource> {
    LayoutArchive::open(path, &std::env::temp_dir())?.source(&place(path, rest).select)
}

fn write(path: &Path, rest: &str, layers: &[Vec<u8>]) -> Document {
    let sink = LayoutArchiveSink::create(&place(path, rest), path.parent().unwrap()).unwrap();
    write_image(&sink, Format::Oci, layers)
}

#[test]
fn archives_of_other_programs_are_read() {
    let data = Path::new(DATA).join("archives");
    for (file, names, image) in [
        ("oci-unnamed.tar.gz", &[None][..], "ff1abe159f09"),
        ("oci-name-only.tar.gz", &[Some("pretty-empty:latest")], "ff1abe159f09"),
        ("oci-non-docker-name.tar.gz", &[Some("UPPERCASE-IS-INVALID")], "ff1abe159f09"),
        ("oci-registry-name.tar.gz", &[Some("example.com/empty:latest")], "ff1abe159f09"),
        ("buildkit-oci.tar", &[Some("oci")], "7b9a5714cfff"),
        ("buildkit-docker.tar", &[Some("docker")], "bc79dee9c249"),
    ] {
        let archive = LayoutArchive::open(&data.join(file), &std::env::temp_dir()).unwrap();
        let images = &archive.index().manifests;
        let found: Vec<_> =
            images.iter().map(|it| it.annotations.get(super::super::NAME)).collect();
        let found: Vec<_> = found.iter().map(|name| name.map(String::as_str)).collect();
        assert_eq!(found, names, "{file}");
        let source = archive.source(&Select::Only).unwrap();
        let manifest = source.manifest(None).unwrap();
        assert!(manifest.digest().hex().starts_with(image), "{file}");
        read_layers(&source);
        for name in names.iter().flatten() {
            archive.source(&Select::Name((*name).into())).unwrap();
        }
        let absent = archive.source(&Select::Name("absent".into()));
        assert_eq!(kind(absent), Some(ErrorKind::NotFound), "{file}");
    }
    let docker = open(&data.join("docker-unnamed.tar.xz"), "").err().unwrap();
    assert_eq!(docker.kind(), ErrorKind::Invalid);
    assert!(docker.hint().unwrap().starts_with("write `docker-archive:"), "{docker}");
}

#[test]
fn what_is_written_is_read() {
    let root = test_directory("layout-archive");
    let (one, two) = (root.join("one.tar"), root.join("two.tar"));
    let layers = [layer("a", "first"), layer("b", "second")];
    let manifest = write(&one, ":x.example/a:1", &layers);
    let source = open(&one, "").unwrap();
    assert_eq!(source.manifest(None).unwrap(), manifest);
    assert_eq!(source.manifest(Some(manifest.digest())).unwrap(), manifest);
    assert_eq!(read_layers(&source), layers);
    let scopes = source.scopes();
    let path = one.canonicalize().unwrap();
    assert_eq!(scopes.transport(), "oci-archive");
    assert_eq!(scopes.names().next(), Some(&*format!("{}:", path.display())));
    assert_eq!(scopes.names().nth(1), path.to_str());
    // The same image is the same bytes, and is replaced as a whole.
    write(&two, "", &layers);
    write(&two, ":x.example/a:1", &layers);
    assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap());
    for rest in [":@0", "@sha256:0000000000000000000000000000000000000000000000000000000000000000"]
    {
        let refused = LayoutArchiveSink::create(&place(&two, rest), &root);
        assert_eq!(kind(refused), Some(ErrorKind::Unsupported));
    }
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 2);
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn several_images_share_their_layers() {
    let root = test_directory("layout-archive-several");
    let path = root.join("x.tar");
    let base = layer("base", &"large".repeat(10_000));
    let writer = LayoutArchiveWriter::create(&path, &root).unwrap();
    let names = vec!["one".to_owned(), "first".to_owned()];
    let one = write_image(&writer.image(names), Format::Oci, std::slice::from_ref(&base));
    let both = [base.clone(), layer("b", "second")];
    let two = write_image(&writer.image(vec!["two".into()]), Format::Oci, &both);
    let three = writer.image(Vec::new());
    let new = three.put_new(OCI_LAYER, &mut &*base).unwrap();
    assert_eq!(put(&three, OCI_LAYER, &base).digest, new.digest);
    write_image(&three, Format::Docker, &both);
    assert!(!path.exists());
    writer.finish().unwrap();
    for (rest, expected) in [(":one", &one), (":first", &one), (":two", &two), (":@0", &one)] {
        assert_eq!(&open(&path, rest).unwrap().manifest(None).unwrap(), expected, "{rest}");
    }
    assert_eq!(read_layers(&open(&path, ":@3").unwrap()), both);
    assert_eq!(kind(open(&path, "")), Some(ErrorKind::Ambiguous));
    let size = std::fs::metadata(&path).unwrap().len();
    assert!(size < 2 * base.len() as u64, "{size}");
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn content_that_is_not_what_it_says_is_refused() {
    let root = test_directory("layout-archive-corrupt");
    let path = root.join("x.tar");
    let manifest = write(&path, "", &[layer("a", "first")]);
    let image = manifest.manifest().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(5).position(|window| window == b"first").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let source = open(&path, "").unwrap();
    assert!(read_blob(&source, &image.layers[0]).is_err());
    let at = bytes.windows(10).position(|window| window == b"\"layers\":[").unwrap();
    let at = at + bytes[at..].windows(7).position(|window| window == b"sha256:").unwrap() + 7;
    bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(kind(open(&path, "").unwrap().manifest(None)), Some(ErrorKind::Corrupt));

    let version = ("oci-layout", Part::File(br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()));
    let newer = ("oci-layout", Part::File(br#"{"imageLayoutVersion":"2.0.0"}"#.to_vec()));
    let index = |text: &str| ("index.json", Part::File(text.into()));
    let descriptor = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"a/b","digest":"{}","size":2}}]}}"#,
        manifest.digest()
    );
    for (parts, expected) in [
        (vec![version.clone()], ErrorKind::Invalid),
        (vec![version.clone(), index("[]")], ErrorKind::Invalid),
        (vec![newer, index(&descriptor)], ErrorKind::Unsupported),
        (vec![version.clone(), index(&descriptor), index(&descriptor)], ErrorKind::Invalid),
        (
            vec![version.clone(), ("index.json", Part::Symlink("/etc/passwd".into()))],
            ErrorKind::Invalid,
        ),
        (
            vec![version.clone(), index(r#"{"schemaVersion":2,"manifests":[]}"#)],
            ErrorKind::NotFound,
        ),
    ] {
        std::fs::write(&path, tar(&parts)).unwrap();
        assert_eq!(kind(open(&path, "")), Some(expected));
    }
    std::fs::write(&path, tar(&[version, index(&descriptor)])).unwrap();
    assert_eq!(kind(open(&path, "").unwrap().manifest(None)), Some(ErrorKind::NotFound));
    assert_eq!(kind(open(&root.join("absent"), "")), Some(ErrorKind::NotFound));
    std::fs::remove_dir_all(root).unwrap();
}

/// What skopeo makes of our archives, and we of skopeo's: the same image.
#[test]
fn skopeo_reads_and_writes_the_same_archives() {
    const TEST: &str = "skopeo_reads_and_writes_the_same_archives";
    if !is_installed(TEST, "skopeo") {
        return;
    }
    let root = test_directory("layout-archive-skopeo");
    let (ours, theirs) = (root.join("ours.tar"), root.join("theirs.tar"));
    let layers = [layer("a", "first"), layer("b", "second")];
    let manifest = write(&ours, ":x.example/a:1", &layers);
    let copy = |from: &str, to: &str| {
        let options = ["--insecure-policy", "copy", "--preserve-digests", "--quiet"];
        run(TEST, "skopeo", &[&options[..], &[from, to]].concat()).unwrap()
    };
    let text = |path: &Path, name: &str| format!("oci-archive:{}{name}", path.display());
    copy(&text(&ours, ":x.example/a:1"), &text(&theirs, ":b"));
    let source = open(&theirs, ":b").unwrap();
    assert_eq!(source.manifest(None).unwrap(), manifest);
    assert_eq!(read_layers(&source), layers);
    let back = root.join("back.tar");
    let sink = LayoutArchiveSink::create(&place(&back, ":x.example/a:1"), &root).unwrap();
    crate::copy_image(&source, &sink).unwrap();
    copy(&text(&back, ""), &format!("dir:{}", root.join("dir").display()));
    let bytes = std::fs::read(root.join("dir/manifest.json")).unwrap();
    assert_eq!(bytes, manifest.bytes());
    std::fs::remove_dir_all(root).unwrap();
}
