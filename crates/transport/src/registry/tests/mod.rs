//! The client against a registry of ours, which misbehaves in many ways, and against docker's.

mod docker;
mod encrypted;
mod faults;
mod foreign;
mod front;
mod host;
mod http2;
mod parallel;
mod proxies;
mod secrets;
mod server;
mod uploads;

use super::*;
use crate::auth::Credentials;
use crate::hash::digest_of;
use crate::layout::{LayoutSink, LayoutSource, Place};
use crate::tests::test_directory;
use crate::transfer::{Sink, Source, copy_image};
use front::{Cut, Front, Rules};
use oci::Algorithm;
use oci::image::Manifest;
use server::{Asked, Reply, Server};
use std::time::Duration;

/// Options with which a test does not wait, and asks nobody for names.
fn options() -> Options {
    let nowhere = std::path::PathBuf::from("/nowhere");
    Options {
        names: crate::names::Files { hosts: nowhere.clone(), resolv_conf: nowhere, port: 9 },
        backoff: Duration::from_millis(1),
        silence: Duration::from_secs(120),
        piece_bytes: 64 << 10,
        ..Options::default()
    }
}

fn reference(server: &Server, rest: &str) -> Reference {
    Reference::parse(&format!("{}/a/b{rest}", server.host())).unwrap()
}

fn connect(server: &Server) -> Registry {
    Registry::connect(&reference(server, ""), options()).unwrap()
}

/// How a registry of the tests is reached.
#[derive(Clone, Debug)]
enum Way {
    /// By HTTP 1.1, without TLS.
    Old,
    /// By HTTP 2. The front ends with the test.
    New(Rules),
}

impl Way {
    fn to(&self, server: &Server) -> (Reference, Options) {
        match self {
            Self::Old => (reference(server, ""), options()),
            Self::New(rules) => (Front::start(server, *rules).name(), encrypted_options()),
        }
    }
}

/// The same for a registry with TLS.
fn encrypted_options() -> Options {
    let mut options = options();
    options.certificates.authorities.push(encrypted::file("ca.crt"));
    options
}

fn user() -> Credentials {
    Credentials::Basic { user: "user".into(), password: "hunter2".into() }
}

fn descriptor(content: &[u8]) -> Descriptor {
    let digest = digest_of(Algorithm::Sha256, content);
    Descriptor::new("application/octet-stream", digest, content.len() as u64)
}

/// Content that is nowhere the same.
fn content(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn read_blob(registry: &Registry, descriptor: &Descriptor) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    let mut blob = registry.blob(descriptor).map_err(|error| error.to_string())?;
    std::io::copy(&mut blob, &mut all).map_err(|error| error.to_string())?;
    Ok(all)
}

/// A manifest with a configuration and layers that a sink has.
fn write_image(sink: &dyn Sink, layers: &[&[u8]]) -> Document {
    let put = |kind: &str, content: &[u8]| {
        let descriptor = Descriptor { media_type: kind.into(), ..descriptor(content) };
        sink.put_blob(&descriptor, &mut &*content).unwrap();
        descriptor
    };
    // Nobody says beforehand what it is.
    let put_new = |mut content: &[u8]| {
        let known = Descriptor { media_type: media_type::OCI_LAYER.into(), ..descriptor(content) };
        let found = sink.put_new(media_type::OCI_LAYER, &mut content).unwrap();
        assert_eq!(found, known);
        found
    };
    let manifest = Manifest {
        schema_version: 2,
        media_type: media_type::OCI_MANIFEST.into(),
        config: put(media_type::OCI_CONFIG, b"{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}"),
        layers: layers.iter().map(|layer| put_new(layer)).collect(),
        ..Manifest::default()
    };
    let manifest = verify_manifest(oci::json::write(&manifest).into_bytes(), "", None).unwrap();
    sink.finish(&manifest).unwrap();
    manifest
}

/// Copies an image from a layout to a registry and back.
fn go_there_and_back(host: &str, credentials: Option<Credentials>) {
    go_there_and_back_with(host, Options { credentials, ..options() });
}

fn go_there_and_back_with(host: &str, options: Options) {
    let root = test_directory(&format!("registry-{}", host.replace(':', "-")));
    let place = |name: &str| Place::parse(&format!("{}:{name}", root.display())).unwrap();
    let large = content(100_000);
    let written = write_image(&LayoutSink::create(&place("one"), None).unwrap(), &[b"x", &large]);
    let name = Reference::parse(&format!("{host}/a/b:tag")).unwrap();
    let registry = Registry::connect(&name, options.clone()).unwrap();
    assert_eq!(registry.resolve("tag").unwrap(), None);
    let sink = RegistrySink::new(registry, &name);
    copy_image(&LayoutSource::open(&place("one"), None).unwrap(), &sink).unwrap();
    let places =
        [crate::registries::Source { reference: name.clone(), insecure: false, is_mirror: false }];
    let source = RegistrySource::open(&name, &places, &|_| Ok(options.clone())).unwrap();
    assert_eq!(source.manifest(None).unwrap(), written);
    copy_image(&source, &LayoutSink::create(&place("two"), None).unwrap()).unwrap();
    let back = LayoutSource::open(&place("two"), None).unwrap();
    assert_eq!(back.manifest(None).unwrap(), written);
    let registry = source.registry();
    assert_eq!(registry.resolve("tag").unwrap().unwrap().digest, (*written.digest()).into());
    let by_digest = registry.manifest(&written.digest().to_string(), Some(written.digest()));
    assert_eq!(by_digest.unwrap(), written);
    assert_eq!(registry.manifest("absent", None).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(registry.has_blob(&digest_of(Algorithm::Sha256, &large)).unwrap());
    assert!(!registry.has_blob(&digest_of(Algorithm::Sha256, b"absent")).unwrap());
    let absent = registry.blob(&descriptor(b"absent")).err().unwrap();
    assert_eq!(absent.kind(), ErrorKind::NotFound);
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn an_image_goes_there_and_back() {
    let server = Server::start(|_, _| None);
    go_there_and_back(&server.host(), None);
    server.stop();
}

#[test]
fn a_digest_decides_what_is_pulled() {
    let server = Server::start(|_, _| None);
    let text = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    let asked = digest_of(Algorithm::Sha256, b"something else");
    server.put_manifest(&asked.to_string(), media_type::OCI_INDEX, text);
    let registry = connect(&server);
    let error = registry.manifest(&asked.to_string(), Some(&asked)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    // What the header says is not what the text says.
    server.put_manifest("x", media_type::OCI_MANIFEST, text);
    assert_eq!(registry.manifest("x", None).unwrap_err().kind(), ErrorKind::Invalid);
    // And no registry fills up the memory.
    server.put_manifest("large", media_type::OCI_INDEX, &vec![b' '; SIZE_LIMIT_BYTES + 1]);
    let error = registry.manifest("large", None).unwrap_err().to_string();
    assert!(error.contains("more than 4194304 bytes"), "{error}");
    server.stop();
}

#[test]
fn lists_have_pages() {
    let server = Server::start(|asked, _| {
        let page = |tags: &str, next: Option<&str>| {
            let reply =
                Reply::new(200).body(format!(r#"{{"name":"a/b","tags":[{tags}]}}"#).as_bytes());
            Some(match next {
                Some(next) => reply.header("Link", &format!("<{next}>; rel=\"next\"")),
                None => reply,
            })
        };
        match asked.path.strip_prefix("/v2/a/b/tags/list")? {
            "?n=1000" => page(r#""1","2""#, Some("/v2/a/b/tags/list?n=1000&last=2")),
            "?n=1000&last=2" => page(r#""3""#, Some("?last=3")),
            "?last=3" => page(r#""4""#, None),
            _ => None,
        }
    });
    assert_eq!(connect(&server).tags().unwrap(), ["1", "2", "3", "4"]);
    server.stop();
    let endless = Server::start(|asked, _| {
        let reply = Reply::new(200).body(br#"{"tags":["x"]}"#);
        asked.path.contains("/tags/").then(|| reply.header("Link", "</v2/a/b/tags/list>"))
    });
    assert!(connect(&endless).tags().unwrap_err().to_string().contains("more than 1000 pages"));
    let log = endless.log();
    assert_eq!(log.len(), PAGES_LIMIT + 1);
    endless.stop();
}

#[test]
fn referrers_are_listed_by_either_way() {
    let subject = digest_of(Algorithm::Sha256, b"subject");
    let entry =
        |kind: &str| Descriptor { artifact_type: kind.into(), ..descriptor(kind.as_bytes()) };
    let index = |entries: Vec<Descriptor>| {
        oci::json::write(&Index {
            schema_version: 2,
            media_type: media_type::OCI_INDEX.into(),
            manifests: entries,
            ..Index::default()
        })
    };
    let text = index(vec![entry("a/sbom"), entry("a/signature")]);
    let list = text.clone();
    let modern = Server::start(move |asked, _| {
        let reply = Reply::new(200).header("Content-Type", media_type::OCI_INDEX);
        asked.path.contains("/referrers/").then(|| reply.body(list.as_bytes()))
    });
    let kinds = |server: &Server, filter: &str| {
        let found = connect(server).referrers(&subject, filter).unwrap();
        found.iter().map(|it| it.artifact_type.clone()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(kinds(&modern, ""), "a/sbom a/signature");
    assert_eq!(kinds(&modern, "a/sbom"), "a/sbom");
    modern.stop();
    // A registry without the interface, and one whose web pages are everywhere.
    for pages in [false, true] {
        let old = Server::start(move |asked, _| {
            let reply = Reply::new(200).header("Content-Type", "text/html").body(b"<html>");
            (pages && asked.path.contains("/referrers/")).then_some(reply)
        });
        assert_eq!(kinds(&old, ""), "");
        let tag = format!("sha256-{}", subject.hex());
        old.put_manifest(&tag, media_type::OCI_INDEX, text.as_bytes());
        assert_eq!(kinds(&old, "a/signature"), "a/signature");
        // Anybody can push something else below that name.
        let image = format!(
            r#"{{"schemaVersion":2,"config":{},"layers":[]}}"#,
            oci::json::write(&entry("a/b"))
        );
        old.put_manifest(&tag, media_type::OCI_MANIFEST, image.as_bytes());
        assert_eq!(kinds(&old, ""), "");
        old.stop();
    }
}

#[test]
fn a_referrer_is_noted_where_the_registry_does_not() {
    let subject = descriptor(b"subject");
    let manifest = Manifest {
        schema_version: 2,
        media_type: media_type::OCI_MANIFEST.into(),
        artifact_type: "a/signature".into(),
        config: Descriptor { media_type: media_type::OCI_EMPTY.into(), ..descriptor(b"{}") },
        subject: Some(subject.clone()),
        ..Manifest::default()
    };
    let manifest = verify_manifest(oci::json::write(&manifest).into_bytes(), "", None).unwrap();
    let server = Server::start(|_, _| None);
    let registry = connect(&server);
    for _ in 0..2 {
        registry.put_manifest(&manifest.digest().to_string(), &manifest).unwrap();
    }
    let found = registry.referrers(subject.verifiable().unwrap(), "a/signature").unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].digest, (*manifest.digest()).into());
    server.stop();
    let modern = Server::start(|asked, server| {
        let subject = asked.is("PUT", "/manifests/").then(|| server.answer(asked))?;
        Some(subject.header("OCI-Subject", "sha256:x"))
    });
    connect(&modern).put_manifest("x", &manifest).unwrap();
    assert!(!modern.log().iter().any(|asked| asked.path.contains("sha256-")));
    modern.stop();
}

#[test]
fn every_place_is_told_of_when_none_has_an_image() {
    let (one, two) = (Server::start(|_, _| None), Server::start(|_, _| None));
    let place = |server: &Server, is_mirror| crate::registries::Source {
        reference: reference(server, ":1"),
        insecure: false,
        is_mirror,
    };
    let places = [place(&one, true), place(&two, false)];
    let name = Reference::parse("a/b:1").unwrap();
    let open = || RegistrySource::open(&name, &places, &|_| Ok(options()));
    let error = open().err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    for server in [&one, &two] {
        assert!(error.to_string().contains(&server.host()), "{error}");
    }
    let text = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    two.put_manifest("1", media_type::OCI_INDEX, text);
    let source = open().unwrap();
    // Policies know it by its own name.
    assert_eq!(source.scopes().names().next().unwrap(), "docker.io/a/b:1");
    one.stop();
    two.stop();
}

#[test]
fn manifests_are_deleted() {
    let server = Server::start(|_, _| None);
    server.put_manifest("x", media_type::OCI_INDEX, b"{}");
    let registry = connect(&server);
    assert_eq!(registry.untag("x").unwrap(), Deleted::Tag);
    assert_eq!(registry.untag("x").unwrap_err().kind(), ErrorKind::NotFound);
    server.stop();
}

#[test]
fn names_are_looked_up_where_the_options_say() {
    let server = Server::start(|_, _| None);
    let root = test_directory("registry-names");
    let hosts = root.join("hosts");
    std::fs::write(&hosts, "127.0.0.1 registry.example\n").unwrap();
    let port = server.host().rsplit(':').next().unwrap().to_owned();
    let mut options = Options { insecure: true, ..options() };
    options.names.hosts = hosts;
    let connect = |host: &str, options: &Options| {
        let name = Reference::parse(&format!("{host}:{port}/a/b")).unwrap();
        Registry::connect(&name, options.clone())
    };
    connect("registry.example", &options).unwrap();
    // Servers that do not answer are not asked for each of many attempts.
    options.backoff = Duration::from_secs(300);
    let began = std::time::Instant::now();
    let error = connect("other.example", &options).err().unwrap();
    assert!(began.elapsed() < Duration::from_secs(100));
    assert_eq!(error.kind(), ErrorKind::Network);
    assert!(error.to_string().contains("look up `other.example`: 127.0.0.1: "), "{error}");
    assert!(error.hint().unwrap().contains("resolv.conf"));
    std::fs::remove_dir_all(root).unwrap();
    server.stop();
}
