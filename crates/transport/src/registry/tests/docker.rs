//! The client against docker's registry, Debian's package of it.

use super::*;
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

#[test]
fn dockers_registry_is_understood() {
    let root = test_directory("docker-registry");
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = root.join("config.yml");
    let text = format!(
        "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:{port}\nlog:\n  level: error\n",
        root.join("data").display()
    );
    std::fs::write(&config, text).unwrap();
    let started = Command::new("docker-registry")
        .arg("serve")
        .arg(&config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(child) = started else {
        skips::skip("dockers_registry_is_understood", "docker-registry is not installed");
        std::fs::remove_dir_all(root).unwrap();
        return;
    };
    let _running = Running(child);
    let began = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "the registry does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    let host = format!("127.0.0.1:{port}");
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
    std::fs::remove_dir_all(root).unwrap();
}
