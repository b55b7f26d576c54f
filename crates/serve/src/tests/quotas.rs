//! How much there may be.

use super::{Answer, Registry, digest_of, manifest};
use crate::Quota;
use oci::Algorithm;
use std::io::Write;

fn limited(limits: &[(&str, u64)]) -> Registry {
    let quota = |(prefix, bytes): &(&str, u64)| Quota {
        prefix: Some(prefix.to_string()).filter(|prefix| !prefix.is_empty()),
        bytes: *bytes,
    };
    Registry::with(|config| config.quotas = limits.iter().map(quota).collect())
}

impl Registry {
    fn try_blob(&self, name: &str, content: &[u8]) -> Answer {
        let digest = digest_of(Algorithm::Sha256, content);
        self.send("POST", &format!("/v2/{name}/blobs/uploads/?digest={digest}"), &[], content)
    }

    fn used(&self) -> Vec<u64> {
        let storage = &self.server.as_ref().unwrap().registry.storage;
        storage.quotas().iter().map(|it| it.1).collect()
    }
}

#[test]
fn what_goes_beyond_a_limit_is_refused_and_leaves_nothing() {
    let registry = limited(&[("", 1000), ("team", 500)]);
    assert_eq!(registry.try_blob("team/a", &[1; 400]).status, 201);
    let refused = registry.try_blob("team/b", &[2; 101]);
    assert_eq!((refused.status, &*refused.code()), (403, "DENIED"));
    assert!(refused.text().contains("`team`, 500 bytes"), "{}", refused.text());
    assert_eq!(registry.try_blob("teams", &[2; 600]).status, 201);
    assert_eq!(registry.used(), [1000, 400]);
    assert_eq!(registry.try_blob("x", &[3]).status, 403);
    // What is here already costs the registry nothing, and the repository what it has.
    let mount = |digest: &oci::Digest, from: &str, to: &str| {
        let path = format!("/v2/{to}/blobs/uploads/?mount={digest}&from={from}");
        registry.send("POST", &path, &[], b"").status
    };
    let first = digest_of(Algorithm::Sha256, &[1; 400]);
    assert_eq!(mount(&first, "team/a", "x"), 201);
    assert_eq!(mount(&first, "team/a", "team/b"), 403);
    assert_eq!(registry.used(), [1000, 400]);
    // An upload whose length nobody has said, and one that was cut off.
    registry.delete(&format!("/v2/team/a/blobs/{first}"));
    assert_eq!(registry.used(), [1000, 0]);
    registry.delete(&format!("/v2/x/blobs/{first}"));
    registry.age(10 * 24 * 60 * 60);
    registry.collect(None);
    assert_eq!(registry.used(), [0, 0]);
    assert!(!registry.root().join("uploads").read_dir().unwrap().any(|_| true));
}

#[test]
fn uploads_count_while_they_arrive() {
    let registry = limited(&[("", 1000)]);
    let location = registry.begin("a");
    let patch = |body: &[u8]| registry.send("PATCH", &location, &[], body).status;
    assert_eq!((patch(&[1; 600]), registry.used()), (202, vec![600]));
    assert_eq!(registry.try_blob("b", &[2; 401]).status, 403);
    // Nobody has said how much comes: what has arrived is too much.
    let mut stream = registry.connect();
    let head =
        format!("PATCH {location} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(format!("191\r\n{}\r\n0\r\n\r\n", "x".repeat(401)).as_bytes()).unwrap();
    assert_eq!(Answer::read(&mut stream, false).status, 403);
    // Then it is over with it, and the room is for others.
    assert_eq!(registry.get(&location).status, 404);
    assert_eq!(registry.used(), [0]);
    assert_eq!(registry.try_blob("b", &[2; 1000]).status, 201);
    let given_up = registry.begin("a");
    assert_eq!(registry.send("PATCH", &given_up, &[], b"").status, 202);
    assert_eq!(registry.send("DELETE", &given_up, &[], b"").status, 204);
    assert_eq!(registry.used(), [1000]);
}

#[test]
fn counts_are_right_with_many_clients_and_after_a_restart() {
    let registry = limited(&[("", 100_000), ("a", 5000)]);
    // Twelve clients put three contents of 2000 bytes into two repositories, and then more than fits.
    std::thread::scope(|scope| {
        for number in 0..12_u8 {
            let registry = &registry;
            scope.spawn(move || {
                let name = if number % 2 == 0 { "a/x" } else { "b" };
                let status = registry.try_blob(name, &[number % 3; 2000]).status;
                assert!(status == 201 || name == "a/x" && status == 403, "{number} {status}");
            });
        }
    });
    let [content, entries] = registry.used()[..] else { panic!() };
    assert_eq!(content, 6000);
    assert!(entries <= 4000 && entries % 2000 == 0, "{entries}");
    let config = registry.put_blob("b", b"{}");
    let text = manifest(&config, &[], "");
    for _ in 0..3 {
        assert_eq!(registry.put_manifest("b", "v", &text).status, 201);
    }
    let before = registry.used();
    assert_eq!(before, [6002 + text.len() as u64, entries]);
    let quotas = registry.server.as_ref().unwrap().registry.storage.quotas();
    let mut registry = registry;
    registry.server.take().unwrap().stop();
    let quotas: Vec<Quota> = quotas.into_iter().map(|it| it.0).collect();
    let registry = Registry::at(registry.place.clone(), |config| config.quotas = quotas);
    assert_eq!(registry.used(), before);
    registry.delete("/v2/b/manifests/v");
    let own = digest_of(Algorithm::Sha256, text.as_bytes());
    registry.delete(&format!("/v2/b/manifests/{own}"));
    registry.age(10 * 24 * 60 * 60);
    registry.collect(None);
    assert_eq!(registry.used(), [0, 0]);
}

#[test]
fn limits_are_told_and_odd_ones_refused() {
    let registry = limited(&[("", 1000), ("team/a", 500)]);
    assert_eq!(registry.try_blob("team/a", &[1; 400]).status, 201);
    let start = |prefixes: &[Option<&str>]| {
        let place = super::Place::new();
        let mut config = crate::Config::new(place.0.join("registry"));
        let quota = |it: &Option<&str>| Quota { prefix: it.map(str::to_owned), bytes: 1 };
        config.quotas = prefixes.iter().map(quota).collect();
        crate::Server::start(&config).err().map(|error| error.to_string())
    };
    assert_eq!(start(&[None, Some("a")]), None);
    assert!(start(&[None, None]).is_some());
    assert!(start(&[Some("a\"} 1")]).is_some());
}
