//! Lists and layers that are not what they should be.

use super::*;

#[test]
fn lists_are_read_strictly() {
    let root = test_directory("storage-lists");
    Made::new(&root).write();
    let images = root.join("overlay-images/images.json");
    let count = |text: &str| {
        std::fs::write(&images, text).unwrap();
        Storage::open(&options(&root)).map(|storage| storage.images().len())
    };
    let one = format!(r#"{{"id":"{}","names":["a\\\"]}}"]}}"#, id('a'));
    let two = format!(r#"{{"id":"{}","x":[[{{}}],1e9,"{{"]}}"#, id('b'));
    assert_eq!(count("[]").unwrap(), 0);
    assert_eq!(count("null").unwrap(), 0);
    assert_eq!(count(&format!(" [ {one} , \n {two} ] \n")).unwrap(), 2);
    // What leads elsewhere as a name of a directory is no ID.
    for id in ["../../../etc", "a", "", &id('A')] {
        assert_eq!(count(&format!(r#"[{{"id":"{id}"}}]"#)).unwrap(), 0, "{id}");
    }
    for text in [
        "",
        "{}",
        "[",
        "[{}",
        "[{},]",
        "[{}]",
        "[1]",
        "[null]",
        "[[]]",
        "[]]",
        "[] x",
        "]",
        "[,]",
        r#"[{"id":"]"#,
        r#"[{"id":1}]"#,
        r#"[{"id":"a"} {"id":"b"}]"#,
        r#"[{"id":"a"}]]"#,
    ] {
        assert_eq!(kind(count(text)), Some(ErrorKind::Invalid), "{text}");
    }
    let many = vec![r#"{"id":"a"}"#; 200_001].join(",");
    assert_eq!(kind(count(&format!("[{many}]"))), Some(ErrorKind::Invalid));
    std::fs::OpenOptions::new().write(true).open(&images).unwrap().set_len(128 << 20 | 1).unwrap();
    assert_eq!(kind(Storage::open(&options(&root))), Some(ErrorKind::Invalid));
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn layers_have_an_end() {
    let root = test_directory("storage-loop");
    let mut made = Made::new(&root);
    let layers = [
        made.layer(&id('a'), &id('b'), "first", None),
        made.layer(&id('b'), &id('a'), "second", None),
    ];
    made.image(&["x.example/a:1"], &id('b'), &layers);
    let loops = made.write().source(&image("x.example/a:1"));
    assert_eq!(kind(loops), Some(ErrorKind::Invalid));
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn g5_a_layer_or_manifest_that_has_changed_is_refused() {
    let root = test_directory("storage-changed");
    let mut made = Made::new(&root);
    let layers = [made.layer(&id('a'), "", "first", None)];
    let manifest = made.image(&["x.example/a:1"], &id('a'), &layers);
    let storage = made.write();
    let source = storage.source(&image("x.example/a:1")).unwrap();
    let read = || plain(&source, &manifest.layers[0], &sha256(&layers[0]));
    assert_eq!(read().unwrap(), layers[0]);
    let file = root.join("overlay").join(id('a')).join("diff/file");
    for text in ["First", "firs", ""] {
        std::fs::write(&file, text).unwrap();
        assert_eq!(kind(read()), Some(ErrorKind::Corrupt), "{text}");
    }
    std::fs::remove_file(&file).unwrap();
    assert!(read().is_err());
    // What is no plain file does not hang.
    assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
    assert!(read().is_err());
    let directory = root.join("overlay-images").join(source.id());
    std::fs::write(directory.join("manifest"), oci::json::write(&manifest) + " ").unwrap();
    assert_eq!(kind(source.manifest(None)), Some(ErrorKind::Corrupt));
    let digest = sha256(oci::json::write(&manifest).as_bytes());
    source.manifest(Some(&digest)).unwrap();
    let config = records::file_name(&format!("sha256:{}", source.id()));
    std::fs::write(directory.join(config), "{}").unwrap();
    assert!(read_blob(&source, &manifest.config).is_err());
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn l1_a_layer_is_put_together_from_its_own_files() {
    let root = test_directory("storage-escape");
    std::fs::write(root.join("secret"), "first").unwrap();
    let secret = root.join("secret").display().to_string();
    let name = |name: &str| {
        let name = name.replace('\\', "\\\\");
        format!(r#"{{"type":1,"name":"{name}","size":5,"payload":""}}"#)
    };
    let raw =
        format!(r#"{{"type":1,"name_raw":"{}","size":5}}"#, oci::base64::encode(secret.as_bytes()));
    for lines in
        [name("../../../secret"), name(&secret), name("link"), name("up/secret"), name(""), raw]
    {
        let mut made = Made::new(&root.join("store"));
        let layers = [made.layer(&id('a'), "", "first", Some(&lines))];
        let manifest = made.image(&["x.example/a:1"], &id('a'), &layers);
        let diff = root.join("store/overlay").join(id('a')).join("diff");
        std::os::unix::fs::symlink(&secret, diff.join("link")).unwrap();
        std::os::unix::fs::symlink("../../../..", diff.join("up")).unwrap();
        let source = made.write().source(&image("x.example/a:1")).unwrap();
        let mut found = Vec::new();
        let read = source.write_plain(&manifest.layers[0], &sha256(&layers[0]), &mut found);
        assert!(read.is_err() && found.is_empty(), "{lines}");
        std::fs::remove_dir_all(root.join("store")).unwrap();
    }
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn l3_what_is_no_tar_split_is_refused() {
    let root = test_directory("storage-lines");
    let long = format!("{{\"type\":2,\"payload\":\"{}\"}}", "A".repeat(17 << 20));
    for lines in [
        "nonsense",
        "[]",
        "{}",
        r#"{"type":"2"}"#,
        r#"{"type":3,"payload":""}"#,
        r#"{"type":2,"payload":"@"}"#,
        r#"{"type":1,"name":"file","size":-1}"#,
        r#"{"type":1,"name_raw":"@","size":5}"#,
        &long,
        // Too little.
        "",
        r#"{"type":1,"name":"file","size":0}"#,
    ] {
        let mut made = Made::new(&root);
        let layers = [made.layer(&id('a'), "", "first", Some(lines))];
        let manifest = made.image(&["x.example/a:1"], &id('a'), &layers);
        let source = made.write().source(&image("x.example/a:1")).unwrap();
        let read = plain(&source, &manifest.layers[0], &sha256(&layers[0]));
        let shown = &lines[..lines.len().min(100)];
        assert_eq!(kind(read), Some(ErrorKind::Corrupt), "{shown}");
    }
    let split = root.join("overlay-layers").join(format!("{}.tar-split.gz", id('a')));
    let mut made = Made::new(&root);
    let layers = [made.layer(&id('a'), "", "first", None)];
    let manifest = made.image(&["x.example/a:1"], &id('a'), &layers);
    let source = made.write().source(&image("x.example/a:1")).unwrap();
    let read = || plain(&source, &manifest.layers[0], &sha256(&layers[0]));
    let whole = std::fs::read(&split).unwrap();
    std::fs::write(&split, &whole[..whole.len() - 10]).unwrap();
    assert_eq!(kind(read()), Some(ErrorKind::Corrupt));
    std::fs::remove_file(&split).unwrap();
    assert_eq!(kind(read()), Some(ErrorKind::Unsupported));
    std::fs::remove_dir_all(root).unwrap();
}
