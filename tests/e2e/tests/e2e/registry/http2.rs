//! HTTP/2 by TLS: the program against its own registry and docker's, and curl against its own.

use super::Served;
use e2e::images::{Sample, Yard};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const TLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls");
const ONE: Sample =
    Sample { text: "one", architectures: &["amd64"], layers: 3, packed: true, bytes: 400_000 };
/// Time for docker's registry to start, and for lines of a log to come.
const LIMIT: Duration = Duration::from_secs(120);

/// A yard with an image in a layout, and the authority of the tests.
fn prepare() -> Yard {
    let yard = Yard::new();
    ONE.write(&yard.path("layout"), "one");
    yard.write("certs/ca.crt", &std::fs::read(format!("{TLS}/ca.crt")).unwrap());
    yard
}

/// A registry of ours, by the name of its certificate.
fn serve(yard: &Yard) -> (Served, String) {
    let [certificate, key] = ["server.crt", "server.key"].map(|name| format!("{TLS}/{name}"));
    let log = yard.path("access.log");
    let options =
        ["--no-sync", "--tls-cert", &certificate, "--tls-key", &key, "--access-log", &log];
    let served = Served::start(yard, "registry", &options);
    let host = served.host.replace("127.0.0.1", "localhost");
    (served, host)
}

/// Calls the program with the authority; what it says of its requests is on its standard error.
fn call(yard: &Yard, http2: &str, args: &[&str]) -> Output {
    let mut command = yard.tare_command(&[&["--debug"], args].concat());
    let output = command.env("TARE_HTTP2", http2).output().expect("starting tare");
    assert!(output.status.success(), "{args:?}: {}", e2e::stderr(&output));
    output
}

/// Everything that a registry is asked for in the life of an image.
fn live(yard: &Yard, host: &str, http2: &str) -> String {
    let place = format!("docker://{host}/team/app:v1");
    let repository = format!("docker://{host}/team/app");
    let copy = yard.path("back");
    let back = format!("oci:{copy}:one");
    let mut told = String::new();
    for args in [
        &["copy", "-q", "--dest-cert-dir", "certs", "oci:layout:one", &place][..],
        &["inspect", "--cert-dir", "certs", &place],
        &["list-tags", "--cert-dir", "certs", &repository],
        &["copy", "-q", "--src-cert-dir", "certs", &place, &back],
        &["pull", "-q", "--cert-dir", "certs", &place],
        &["delete", "--cert-dir", "certs", &place],
    ] {
        told.push_str(&e2e::stderr(&call(yard, http2, args)));
    }
    let digests = |layout: &str| {
        let mut names = yard.list(&format!("{layout}/blobs/sha256"));
        names.sort();
        names
    };
    assert_eq!(digests("back"), digests("layout"));
    std::fs::remove_dir_all(copy).unwrap();
    yard.fine(&["rmi", "-f", &place["docker://".len()..]]);
    told
}

/// The requests that were told of, by HTTP/2 and by HTTP/1.1.
fn count(told: &str) -> (usize, usize) {
    let requests = told.lines().filter(|line| line.contains("tare: debug: "));
    let (new, old): (Vec<_>, Vec<_>) = requests.partition(|line| line.ends_with(", HTTP 2"));
    (new.len(), old.len())
}

/// Lines of our registry's access log with a protocol, when as many as that have come.
fn logged(yard: &Yard, protocol: &str, least: usize) -> usize {
    let text = format!("\"protocol\":\"{protocol}\"");
    let began = Instant::now();
    loop {
        let log = String::from_utf8(yard.read("access.log")).unwrap();
        let count = log.lines().filter(|line| line.contains(&text)).count();
        if count >= least || began.elapsed() > LIMIT {
            return count;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn everything_goes_by_http_2_to_our_registry_unless_it_is_turned_off() {
    let yard = prepare();
    let (_served, host) = serve(&yard);
    let (new, old) = count(&live(&yard, &host, ""));
    assert!(new > 30 && old == 0, "{new} {old}");
    // What the server says: nothing else has come, and all of it.
    assert_eq!(logged(&yard, "HTTP/2.0", new), new);
    assert_eq!(logged(&yard, "HTTP/1.1", 0), 0);
    // What is there by now is not sent again.
    let (none, old) = count(&live(&yard, &host, "0"));
    assert!(none == 0 && old > 20, "{none} {old}");
    assert_eq!(logged(&yard, "HTTP/1.1", old), old);
    assert_eq!(logged(&yard, "HTTP/2.0", new), new);
}

/// Docker's registry with TLS.
struct Docker {
    child: Child,
    port: u16,
}

impl Docker {
    /// `None`: it is not installed, said by SKIP.
    fn start(test: &str, yard: &Yard) -> Option<Self> {
        let port = skips::free_port();
        let config = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\n\
             log:\n  level: error\nhttp:\n  addr: 127.0.0.1:{port}\n  tls:\n    certificate: {TLS}/server.crt\n    key: {TLS}/server.key\n",
            yard.path("docker")
        );
        let config = yard.write("docker.yml", config.as_bytes());
        let log = std::fs::File::create(yard.path("docker.log")).unwrap();
        let mut command = Command::new("docker-registry");
        command.args(["serve", &config]).stdin(Stdio::null()).stderr(Stdio::null());
        let Ok(child) = command.stdout(log).spawn() else {
            e2e::skip(test, "docker-registry is not installed");
            return None;
        };
        let docker = Self { child, port };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < LIMIT, "docker-registry does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(docker)
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn everything_goes_by_http_2_to_dockers_registry() {
    let yard = prepare();
    let test = "everything_goes_by_http_2_to_dockers_registry";
    let Some(docker) = Docker::start(test, &yard) else { return };
    let (new, old) = count(&live(&yard, &format!("localhost:{}", docker.port), ""));
    assert!(new > 30 && old == 0, "{new} {old}");
    let log = String::from_utf8(yard.read("docker.log")).unwrap();
    let by = |protocol: &str| log.lines().filter(|line| line.contains(protocol)).count();
    assert_eq!((by(" HTTP/2.0\" "), by(" HTTP/1.1\" ")), (new, 0), "{log}");
}

#[test]
fn curl_speaks_http_2_with_our_registry() {
    let test = "curl_speaks_http_2_with_our_registry";
    let yard = prepare();
    let (_served, host) = serve(&yard);
    let content: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let (file, digest) = (yard.write("content", &content), e2e::images::sha256(&content));
    let ca = format!("{TLS}/ca.crt");
    let curl = |args: &[&str]| {
        let how = ["--http2", "-sS", "--fail", "--cacert", &ca, "-w", "%{http_version}"];
        let output = Command::new("curl").args(how).args(args).output().ok()?;
        assert!(output.status.success(), "{args:?}: {}", e2e::stderr(&output));
        Some(e2e::stdout(&output))
    };
    let put = format!("https://{host}/v2/a/blobs/uploads/?digest={digest}");
    let get = format!("https://{host}/v2/a/blobs/{digest}");
    let (data, out) = (format!("@{file}"), yard.path("out"));
    let said = curl(&["-X", "POST", "--data-binary", &data, "-o", "/dev/null", &put]);
    let Some(said) = said else {
        e2e::skip(test, "curl is not installed");
        return;
    };
    assert_eq!((&*said, curl(&["-o", &out, &get]).as_deref()), ("2", Some("2")));
    assert!(yard.read("out") == content);
    assert_eq!((logged(&yard, "HTTP/2.0", 2), logged(&yard, "HTTP/1.1", 0)), (2, 0));
}
