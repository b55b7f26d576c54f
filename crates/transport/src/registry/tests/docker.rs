//! The client against docker's registry, Debian's package of it, or the one that `TARE_TEST_REGISTRY` names.

use super::*;
use crate::auth::{AuthFile, Form, Keeper, Kept, Lookup};
use crate::certs::Certificates;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A registry of a test's own, in its own directory.
struct Docker {
    host: String,
    root: std::path::PathBuf,
    _running: Running,
}

impl Drop for Docker {
    fn drop(&mut self) {
        // A failed test may have left less.
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

/// Starts a registry; `None` where there is none. `http` are further lines of that part of its
/// configuration, `rest` is behind it.
fn start(test: &str, http: &str, rest: &str) -> Option<Docker> {
    let root = test_directory(test);
    let port = skips::free_port();
    let config = root.join("config.yml");
    let text = format!(
        "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nlog:\n  level: error\nhttp:\n  addr: 127.0.0.1:{port}\n{http}{}",
        root.join("data").display(),
        rest.replace("ROOT", root.to_str().unwrap())
    );
    std::fs::write(&config, text).unwrap();
    // Made by htpasswd(1): user, hunter2.
    let line = "user:$2b$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.\n";
    std::fs::write(root.join("htpasswd"), line).unwrap();
    // Another one, perhaps a newer one, may be named.
    let program = std::env::var_os("TARE_TEST_REGISTRY").unwrap_or("docker-registry".into());
    let started = Command::new(program)
        .arg("serve")
        .arg(&config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(child) = started else {
        skips::skip(test, "docker-registry is not installed");
        std::fs::remove_dir_all(root).unwrap();
        return None;
    };
    let docker = Docker { host: format!("localhost:{port}"), root, _running: Running(child) };
    let began = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(began.elapsed() < Duration::from_secs(120), "the registry does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(docker)
}

const HTPASSWD: &str = "auth:\n  htpasswd:\n    realm: x\n    path: ROOT/htpasswd\n";

#[test]
fn dockers_registry_is_understood() {
    let Some(docker) = start("dockers_registry_is_understood", "", "") else { return };
    let host = docker.host.clone();
    go_there_and_back(&host, None);
    let name = Reference::parse(&format!("{host}/a/b")).unwrap();
    let registry = Registry::connect(&name, options()).unwrap();
    assert_eq!(registry.tags().unwrap(), ["tag"]);
    let large = content(1_000_005);
    registry.put_blob(&descriptor(&large), &mut &*large).unwrap();
    assert!(read_blob(&registry, &descriptor(&large)).unwrap() == large);
    // It has no referrers: they are kept below a tag.
    let tagged = registry.manifest("tag", None).unwrap();
    let empty = Descriptor { media_type: media_type::OCI_EMPTY.into(), ..descriptor(b"{}") };
    registry.put_blob(&empty, &mut &b"{}"[..]).unwrap();
    let signature = Manifest {
        schema_version: 2,
        media_type: media_type::OCI_MANIFEST.into(),
        artifact_type: "a/signature".into(),
        config: empty.clone(),
        layers: vec![empty],
        subject: Some(tagged.descriptor()),
        ..Manifest::default()
    };
    let signature = verify_manifest(oci::json::write(&signature).into_bytes(), "", None).unwrap();
    registry.put_manifest(&signature.digest().to_string(), &signature).unwrap();
    assert_eq!(registry.referrers(tagged.digest(), "a/signature").unwrap().len(), 1);
    // From one repository to another without sending it.
    let other = Reference::parse(&format!("{host}/c")).unwrap();
    let other = Registry::connect(&other, options()).unwrap();
    let digest = digest_of(Algorithm::Sha256, &large);
    assert!(other.mount_blob(&digest, "a/b").unwrap() && other.has_blob(&digest).unwrap());
    // It cannot take a tag alone: the image goes, unless another tag would go with it.
    registry.put_manifest("other", &tagged).unwrap();
    let refused = registry.untag("tag").unwrap_err();
    assert!(refused.to_string().contains("and other would lose its image"), "{refused}");
    registry.delete(tagged.digest()).unwrap();
    assert_eq!(registry.resolve("tag").unwrap(), None);
    assert_eq!(registry.untag("tag").unwrap_err().kind(), ErrorKind::NotFound);
    registry.put_manifest("tag", &tagged).unwrap();
    assert_eq!(registry.untag("tag").unwrap(), Deleted::Manifest(*tagged.digest()));
    assert_eq!(registry.resolve("tag").unwrap(), None);
    let whole = Host::connect(&host, options()).unwrap();
    // Newer ones leave out repositories without a manifest.
    assert_eq!(whole.catalog(9).unwrap()[0], "a/b");
    assert_eq!(whole.search("b", 9).unwrap()[0].name, "a/b");
    whole.log_in().unwrap();
}

#[test]
fn dockers_registry_gives_ranges() {
    let Some(docker) = start("dockers_registry_gives_ranges", "", "") else { return };
    let name = Reference::parse(&format!("{}/a/b", docker.host)).unwrap();
    // Slow for what is wanted, so that all connections are used.
    let parallel = Parallel {
        least_bytes: 1 << 20,
        piece_bytes: 256 << 10,
        watch: Duration::ZERO,
        fast_bytes_per_second: u64::MAX,
        ..Parallel::default()
    };
    let registry = Registry::connect(&name, Options { parallel, ..options() }).unwrap();
    let large = content(8_000_005);
    let wanted = registry.put_new_blob("application/octet-stream", &mut &*large).unwrap();
    assert_eq!(wanted.digest, descriptor(&large).digest);
    for _ in 0..3 {
        assert!(read_blob(&registry, &wanted).unwrap() == large);
    }
}

/// The registry with TLS, which wants to see a certificate of ours or not.
fn start_encrypted(test: &str, wants_client: bool) -> Option<Docker> {
    let file = |name: &str| encrypted::file(name).display().to_string();
    let (certificate, key) = (file("server.crt"), file("server.key"));
    let mut http = format!("  tls:\n    certificate: {certificate}\n    key: {key}\n");
    if wants_client {
        http.push_str(&format!("    clientcas:\n      - {}\n", file("ca.crt")));
    }
    start(test, &http, HTPASSWD)
}

#[test]
fn dockers_registry_is_reached_by_tls_with_a_password() {
    let test = "dockers_registry_is_reached_by_tls_with_a_password";
    let Some(docker) = start_encrypted(test, false) else { return };
    // As an administrator would have it: /etc/containers/certs.d/HOST:PORT/ca.crt.
    let certs = docker.root.join("certs.d");
    let own = certs.join(&docker.host);
    std::fs::create_dir_all(&own).unwrap();
    std::fs::copy(encrypted::file("ca.crt"), own.join("ca.crt")).unwrap();
    let certificates = || Certificates::find(std::slice::from_ref(&certs), &docker.host).unwrap();
    let with = |password: &str| Options {
        credentials: Some(Credentials::Basic { user: "user".into(), password: password.into() }),
        certificates: certificates(),
        ..options()
    };
    let log_in = |password: &str| Host::connect(&docker.host, with(password)).unwrap().log_in();
    log_in("hunter2").unwrap();
    assert_eq!(log_in("wrong").unwrap_err().kind(), ErrorKind::Denied);
    let name = Reference::parse(&format!("{}/a/b", docker.host)).unwrap();
    let registry = Registry::connect(&name, with("hunter2")).unwrap();
    let body = content(300_000);
    registry.put_blob(&descriptor(&body), &mut &*body).unwrap();
    assert!(read_blob(&registry, &descriptor(&body)).unwrap() == body);
    let error = Registry::connect(&name, with("wrong")).unwrap().tags().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    let stranger = Options { attempts: 1, ..options() };
    let error = Host::connect(&docker.host, stranger).err().unwrap();
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
}

#[test]
fn dockers_registry_sees_our_certificate() {
    let Some(docker) = start_encrypted("dockers_registry_sees_our_certificate", true) else {
        return;
    };
    let authorities = vec![encrypted::file("ca.crt")];
    let clients = vec![(encrypted::file("client.cert"), encrypted::file("client.key"))];
    let options = |certificates: Certificates| Options {
        credentials: Some(user()),
        certificates,
        attempts: 1,
        ..options()
    };
    let anonymous = Certificates { authorities: authorities.clone(), clients: Vec::new() };
    assert!(Host::connect(&docker.host, options(anonymous)).is_err());
    let known = Certificates { authorities, clients };
    Host::connect(&docker.host, options(known)).unwrap().log_in().unwrap();
}

#[test]
fn logins_are_those_of_skopeo() {
    let test = "logins_are_those_of_skopeo";
    if Command::new("skopeo").arg("--version").stdout(Stdio::null()).status().is_err() {
        return skips::skip(test, "skopeo is not installed");
    }
    let Some(docker) = start(test, "", HTPASSWD) else { return };
    let file = docker.root.join("auth.json");
    let skopeo = |arguments: &[&str]| {
        let run = Command::new("skopeo")
            .args(arguments)
            .arg("--authfile")
            .arg(&file)
            .arg(&docker.host)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&run.stdout).trim().to_owned();
        run.status.success().then_some(text)
    };
    let keeper = Keeper {
        file: file.clone(),
        form: Form::Containers,
        helpers: Vec::new(),
        search_path: std::ffi::OsString::new(),
    };
    keeper.store(&docker.host, &user()).unwrap();
    assert_eq!(skopeo(&["login", "--get-login"]).as_deref(), Some("user"));
    assert!(skopeo(&["logout"]).is_some());
    let find = || {
        let files = vec![AuthFile { path: file.clone(), legacy: false }];
        Lookup { files, ..Lookup::default() }.find(&docker.host).unwrap()
    };
    assert_eq!(find(), None);
    let login = ["login", "--tls-verify=false", "--username", "user", "--password", "hunter2"];
    assert!(skopeo(&login).is_some());
    assert_eq!(find(), Some(user()));
    assert_eq!(keeper.erase(&docker.host).unwrap(), [Kept::File(file.clone())]);
    assert_eq!(skopeo(&["login", "--get-login"]), None);
}
