//! `tare save`, `load` and `import`.

use crate::images_scratch::{Scratch, has_program};
use e2e::{stderr, stdout};
use serde_json::Value;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

const LAYERS: [&str; 2] = ["mkdir etc; echo a > etc/a", "mkdir etc; echo bb > etc/b"];

/// Two images, of which the second one has a layer more.
fn two_images(scratch: &Scratch) -> [String; 2] {
    scratch.image("one:1", &LAYERS[..1]);
    scratch.image("two:1", &LAYERS);
    ["one:1", "two:1"].map(|name| scratch.ok(&["images", "-q", "--no-trunc", name]))
}

#[test]
fn archives_and_directories_bring_images_back() {
    let scratch = Scratch::new();
    let ids = two_images(&scratch);
    let both = "Loaded image: localhost/one:1\nLoaded image: localhost/two:1";
    for (format, images, said) in [
        ("docker-archive", &["one:1", "two:1"][..], both),
        ("oci-archive", &["one:1", "two:1"], both),
        ("oci-dir", &["two:1"], "Loaded image: localhost/two:1"),
        ("docker-dir", &["two:1"], ""),
    ] {
        let options = ["save", "-q", "-m", "--format", format, "-o", format];
        assert_eq!(scratch.ok(&[&options[..], images].concat()), "");
        let other = Scratch::new();
        let loaded = other.ok(&["load", "-q", "-i", &scratch.path(format)]);
        let id = format!("Loaded image ID: {}", ids[1]);
        assert_eq!(loaded, if said.is_empty() { &*id } else { said }, "{format}");
        if !said.is_empty() {
            assert_eq!(other.ok(&["images", "-q", "--no-trunc", "two:1"]), ids[1], "{format}");
        }
    }
}

#[test]
fn streams_are_the_same_archives_packed_or_not() {
    let scratch = Scratch::new();
    two_images(&scratch);
    for format in ["docker-archive", "oci-archive"] {
        scratch.ok(&["save", "--format", format, "-o", "file.tar", "one:1", "two:1"]);
        let saved = scratch.tare(&["save", "--format", format, "one:1", "two:1"]);
        assert!(saved.status.success());
        assert!(saved.stdout == std::fs::read(scratch.path("file.tar")).unwrap(), "{format}");
        for packing in ["cat", "gzip -c", "xz -c"] {
            scratch.sh(&format!("{packing} file.tar > packed"));
            let other = Scratch::new();
            let file = std::fs::File::open(scratch.path("packed")).unwrap();
            let output = other.command(&["load", "-q"]).stdin(Stdio::from(file)).output().unwrap();
            assert_eq!(stdout(&output).lines().count(), 2, "{packing}: {}", stderr(&output));
        }
    }
    // Asked for by its ID it has no name.
    let id = scratch.ok(&["images", "-q", "one:1"]);
    scratch.ok(&["save", "-o", "id.tar", &id]);
    let other = Scratch::new();
    let said = other.ok(&["load", "-i", &scratch.path("id.tar")]);
    assert!(said.starts_with(&format!("Loaded image ID: sha256:{id}")), "{said}");
}

#[test]
fn what_cannot_be_saved_or_loaded_is_refused() {
    let scratch = Scratch::new();
    scratch.image("one:1", &LAYERS[..1]);
    for (options, what) in [
        (&["--format", "oci-dir"][..], "a directory cannot be written to standard output"),
        (&["--compress", "-o", "x"], "--compress"),
        (&["--uncompressed", "-o", "x"], "--uncompressed"),
        (&["--format", "docker-dir", "-o", "x", "one:1"], "holds one image"),
    ] {
        let error = scratch.fails(1, &[&["save"][..], options, &["one:1"]].concat());
        assert!(error.contains(what), "{error}");
    }
    // A failure leaves no archive.
    scratch.fails(1, &["save", "-o", "broken.tar", "one:1", "nothing:1"]);
    assert_eq!(scratch.sh("ls broken.tar 2> /dev/null || true"), "");
    scratch.sh("tar -cf rootfs.tar store; echo no tar > no.tar");
    let error = scratch.fails(1, &["load", "-i", "rootfs.tar"]);
    assert!(error.contains("hint: `tare import`"), "{error}");
    scratch.fails(1, &["load", "-i", "no.tar"]);
    scratch.fails(1, &["load", "-i", "nothing.tar"]);
    let terminal = format!(
        "script -qec '{} --root {} save one:1' /dev/null",
        e2e::program("tare").display(),
        scratch.path("store")
    );
    if has_program("what_cannot_be_saved_or_loaded_is_refused", "script") {
        let output = Command::new("sh").args(["-c", &terminal]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(stdout(&output).contains("an archive is nothing for a terminal"));
    }
}

#[test]
fn root_file_systems_are_imported() {
    let scratch = Scratch::new();
    scratch.sh("mkdir root; echo x > root/x; tar -C root --mtime=@7 --sort=name -cf root.tar .; gzip -k root.tar");
    let import = |args: &[&str]| {
        let mut command = scratch.command(&[&["import"][..], args].concat());
        let file = std::fs::File::open(scratch.path("root.tar")).unwrap();
        command.env("SOURCE_DATE_EPOCH", "86400").stdin(Stdio::from(file));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        stdout(&output).trim_end().to_owned()
    };
    let options = ["-c", r#"CMD ["sh"]"#, "--change", "ENV A=b", "-m", "hello", "-q"];
    let id = import(&[&options[..], &["--platform", "linux/arm64", "root.tar", "app:1"]].concat());
    assert!(id.starts_with("sha256:"), "{id}");
    scratch.ok(&["push", "-q", "app:1", "oci:layout:it"]);
    let config = scratch.sh(&format!("cat layout/blobs/sha256/{}", &id[7..]));
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["config"]["Cmd"][0], "sh");
    assert_eq!(config["config"]["Env"][0], "A=b");
    assert_eq!(config["architecture"], "arm64");
    assert_eq!(config["created"], "1970-01-02T00:00:00Z");
    assert_eq!(config["history"][0]["comment"], "hello");
    // Packed, from a stream, or by HTTP it is the same root file system.
    let same = |file: &str| import(&["-m", "same", file]);
    let id = same("root.tar");
    assert_eq!(same("root.tar.gz"), id);
    assert_eq!(same("-"), id);
    assert_eq!(same(&serve(&scratch.path("root.tar"))), id);
    scratch.fails(1, &["import", "-c", "RUN x", "root.tar"]);
    scratch.fails(1, &["import", "nothing.tar"]);
    let error = scratch.fails(1, &["import", "root"]);
    assert!(error.contains("hint: `tare pull rootfs:root`"), "{error}");
}

/// Answers one request for a file behind a redirection, and says the address.
fn serve(path: &str) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let content = std::fs::read(path).unwrap();
    std::thread::spawn(move || {
        for number in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
                request.push(byte[0]);
            }
            let head = match number {
                0 => "302 Found\r\nLocation: /there.tar\r\nContent-Length: 0".to_owned(),
                _ => format!("200 OK\r\nContent-Length: {}", content.len()),
            };
            let body = if number == 0 { &[][..] } else { &content };
            stream
                .write_all(format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").as_bytes())
                .unwrap();
            stream.write_all(body).unwrap();
        }
    });
    format!("http://{address}/here.tar")
}

#[test]
fn podman_reads_what_is_saved_and_its_archives_are_loaded() {
    let test = "podman_reads_what_is_saved_and_its_archives_are_loaded";
    let scratch = Scratch::new();
    if !has_program(test, "podman") {
        return;
    }
    if !e2e::is_root() {
        return e2e::skip(test, "needs root");
    }
    let ids = two_images(&scratch);
    let podman = |args: &[&str]| {
        let (root, run) = (scratch.path("podman"), scratch.path("podman-run"));
        let global = ["--root", &root, "--runroot", &run, "--storage-driver", "vfs"];
        let output = Command::new("podman").args(global).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        stdout(&output)
    };
    scratch.ok(&["save", "-q", "-o", "both.tar", "one:1", "two:1"]);
    let said = podman(&["load", "-i", &scratch.path("both.tar")]);
    assert!(said.contains("Loaded image: localhost/two:1"), "{said}");
    let id = podman(&["images", "-q", "--no-trunc", "localhost/two:1"]);
    assert_eq!(id.trim(), ids[1]);
    for format in ["docker-archive", "oci-archive", "oci-dir", "docker-dir"] {
        let path = scratch.path(&format!("theirs-{format}"));
        podman(&["save", "-q", "--format", format, "-o", &path, "localhost/two:1"]);
        let other = Scratch::new();
        let said = other.ok(&["load", "-q", "-i", &path]);
        assert!(said.starts_with("Loaded image"), "{format}: {said}");
    }
}
