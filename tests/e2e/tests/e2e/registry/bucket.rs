//! A registry in a bucket, by the command line.

use super::Served;
use e2e::images::{Sample, Yard};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ONE: Sample =
    Sample { text: "one", architectures: &["amd64"], layers: 2, packed: true, bytes: 1000 };

struct Moto(Child);

impl Drop for Moto {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A store of objects with nothing in it, and where it is.
fn moto(test: &str) -> Option<(Moto, String)> {
    let Some(program) = std::env::var_os("TARE_TEST_MOTO") else {
        e2e::skip(test, "TARE_TEST_MOTO names no moto_server");
        return None;
    };
    let port = skips::free_port();
    let started = Command::new(program)
        .args(["-H", "127.0.0.1", "-p", &port.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let moto = Moto(started.expect("starting moto_server"));
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(began.elapsed() < Duration::from_secs(120), "moto_server does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
    Some((moto, format!("127.0.0.1:{port}")))
}

fn make_bucket(host: &str, name: &str) {
    use std::io::{Read, Write};
    let mut stream = TcpStream::connect(host).unwrap();
    let put = format!(
        "PUT /{name} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(put.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn a_registry_in_a_bucket_is_served_collected_and_checked() {
    let yard = Yard::new();
    let Some((_moto, host)) = moto("a_registry_in_a_bucket_is_served_collected_and_checked") else {
        return;
    };
    make_bucket(&host, "images");
    let key = b"[default]\naws_access_key_id = id\naws_secret_access_key = secret\n";
    let key = yard.write("s3-key", key);
    let endpoint = format!("http://{host}");
    let options = |name| {
        ["--s3", name, "--s3-endpoint", &endpoint, "--s3-path-style", "--s3-credentials", &key]
    };
    let first = Served::start(&yard, "first", &options("images/a"));
    let second = Served::start(&yard, "second", &options("images/a"));
    let other = Served::start(&yard, "other", &options("images/b"));
    let digest = ONE.write(&yard.path("layout"), "one");
    let layout = format!("oci:{}:one", yard.path("layout"));
    yard.fine(&["copy", "-q", &layout, &first.place("team/app:v1")]);
    let raw = yard.fine(&["inspect", "--raw", &second.place("team/app:v1")]);
    assert_eq!(e2e::images::sha256(raw.as_bytes()), digest);
    yard.fine(&["copy", "-q", &second.place("team/app:v1"), &format!("dir:{}", yard.path("to"))]);
    let missing = yard.fails(&["inspect", "--raw", &other.place("team/app:v1")]);
    assert!(missing.contains("there is no manifest"), "{missing}");
    // Beside servers that run: only the directory is their own.
    let third = yard.path("third");
    std::fs::create_dir(&third).unwrap();
    let run = |verb: &str, more: &[&str]| {
        let args = [&["registry", verb, "--root", &third], &options("images/a")[..], more];
        yard.fine(&args.concat())
    };
    let checked = run("check", &[]);
    assert!(checked.contains("1 repositories, 1 manifests, 4 blobs"), "{checked}");
    assert!(checked.contains(" 0 problems"), "{checked}");
    yard.fine(&["delete", &second.place("team/app:v1")]);
    std::thread::sleep(Duration::from_millis(2100));
    let removed = run("gc", &["--lease", "0", "--untagged", "0"]);
    assert!(removed.contains("3 blobs of repositories, 4 files of content"), "{removed}");
    // A directory that is a registry is not made the beside of one.
    let own = Served::start(&yard, "own", &[]);
    own.stop();
    let args = [&["registry", "check", "--root", &yard.path("own")], &options("images/a")[..]];
    let refused = yard.fails(&args.concat());
    assert!(refused.contains("is a registry of its own"), "{refused}");
}
