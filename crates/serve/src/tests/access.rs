//! Who may do what, asked over the wire.

use super::{Answer, Registry, digest_of};
use crate::{Access, Rate, Scheme, Tls, TokenService, hash_password};
use oci::Algorithm;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const RULES: &str = r#"
[[rule]]
repositories = ["team/**"]
users = ["ann"]
actions = ["pull", "push", "delete"]
[[rule]]
repositories = ["team/**"]
users = ["bob"]
actions = ["pull"]
[[rule]]
repositories = ["public/**"]
users = ["*", "anonymous"]
actions = ["pull"]
[[rule]]
repositories = ["public/**"]
users = ["ann"]
actions = ["push"]
"#;

fn basic(user: &str, password: &str) -> String {
    let pair = format!("{user}:{password}");
    format!("Basic {}", oci::base64::encode(pair.as_bytes()))
}

fn write(registry: &Path, name: &str, text: &str) -> PathBuf {
    let path = registry.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// A registry with ann, bob and eve, whose passwords are their names.
fn with_passwords(change: impl FnOnce(&mut Access, &Path)) -> Registry {
    let place = Arc::new(super::Place::new());
    let dir = place.0.clone();
    let lines: Vec<String> =
        ["ann", "bob", "eve"].iter().map(|it| hash_password(it, it).unwrap()).collect();
    let file = write(&dir, "htpasswd", &lines.join("\n"));
    Registry::at(place, |config| {
        config.access.scheme = Scheme::Passwords { file, realm: "test".into() };
        change(&mut config.access, &dir);
    })
}

impl Registry {
    fn ask(&self, method: &str, path: &str, authorization: &str, body: &[u8]) -> Answer {
        match authorization {
            "" => self.send(method, path, &[], body),
            shown => self.send(method, path, &[("Authorization", shown)], body),
        }
    }

    fn status(&self, method: &str, path: &str, authorization: &str) -> u16 {
        self.ask(method, path, authorization, b"").status
    }
}

#[test]
fn passwords_are_asked_for_and_compared() {
    let registry = with_passwords(|_, _| {});
    let asked = registry.ask("GET", "/v2/", "", b"");
    assert_eq!((asked.status, &*asked.code()), (401, "UNAUTHORIZED"));
    let challenge = "Basic realm=\"test\", charset=\"UTF-8\"";
    assert_eq!(asked.header("www-authenticate"), Some(challenge));
    let ann = basic("ann", "ann");
    assert_eq!(registry.status("GET", "/v2/", &ann), 200);
    assert_eq!(registry.status("GET", "/v2/", &ann.replace("Basic", "basic")), 200);
    for wrong in [
        basic("ann", "bob"),
        basic("ann", ""),
        basic("nobody", "nobody"),
        "Basic".into(),
        "Basic !".into(),
        "Bearer x".into(),
        basic("ann", "ann").replace("Basic", "Digest"),
    ] {
        assert_eq!(registry.status("GET", "/v2/", &wrong), 401, "{wrong}");
    }
    // Health is nobody's secret.
    assert_eq!(registry.status("GET", "/health", ""), 200);
    // Without rules a user may do everything, and nobody else anything.
    let digest = digest_of(Algorithm::Sha256, b"x");
    let upload = format!("/v2/a/blobs/uploads/?digest={digest}");
    assert_eq!(registry.ask("POST", &upload, "", b"x").status, 401);
    assert_eq!(registry.ask("POST", &upload, &ann, b"x").status, 201);
    let blob = format!("/v2/a/blobs/{digest}");
    assert_eq!(registry.status("GET", &blob, ""), 401);
    assert_eq!(registry.status("GET", "/v2/nothing/tags/list", ""), 401);
    assert_eq!(registry.status("DELETE", &blob, &ann), 202);
    // The file changes: who is in it now counts.
    std::thread::sleep(Duration::from_millis(1100));
    write(&registry.place.0, "htpasswd", &hash_password("eve", "new").unwrap());
    assert_eq!(registry.status("GET", "/v2/", &ann), 401);
    assert_eq!(registry.status("GET", "/v2/", &basic("eve", "new")), 200);
    // One that is damaged changes nothing, and is told.
    std::thread::sleep(Duration::from_millis(1100));
    write(&registry.place.0, "htpasswd", "eve:secret");
    assert_eq!(registry.status("GET", "/v2/", &basic("eve", "new")), 200);
    let told = registry.faults.lock().unwrap().join("\n");
    assert!(
        told.contains("is not hashed with bcrypt, or for too long; what it said before counts"),
        "{told}"
    );
}

#[test]
fn rules_say_what_a_user_may_do_and_where() {
    let registry = with_passwords(|access, dir| {
        access.rules = Some(write(dir, "rules.toml", RULES));
    });
    let [ann, bob, eve] = ["ann", "bob", "eve"].map(|name| basic(name, name));
    let digest = digest_of(Algorithm::Sha256, b"secret");
    let put = |name: &str, who: &str| {
        let path = format!("/v2/{name}/blobs/uploads/?digest={digest}");
        registry.ask("POST", &path, who, b"secret").status
    };
    assert_eq!([put("team/a", &ann), put("team/a", &bob), put("team/a", &eve)], [201, 403, 403]);
    assert_eq!([put("team", &ann), put("other", &ann), put("team/a", "")], [403, 403, 401]);
    assert_eq!(put("public/a", &ann), 201);
    let team = format!("/v2/team/a/blobs/{digest}");
    let get = |path: &str| ["", &eve, &bob, &ann].map(|who| registry.status("GET", path, who));
    assert_eq!(get(&team), [401, 403, 200, 200]);
    // Whether something is there is the same to whoever may not see it.
    assert_eq!(get("/v2/team/nothing/tags/list"), [401, 403, 404, 404]);
    let public = format!("/v2/public/a/blobs/{digest}");
    assert_eq!(get(&public), [200; 4]);
    assert_eq!(registry.status("DELETE", &team, &bob), 403);
    assert_eq!(registry.status("DELETE", &public, &ann), 403);
    // A mount gives nobody what he may not read: it is as if it were not there.
    registry.ask("DELETE", &public, "", b"");
    let other = digest_of(Algorithm::Sha256, b"other");
    let upload = format!("/v2/team/b/blobs/uploads/?digest={other}");
    assert_eq!(registry.ask("POST", &upload, &ann, b"other").status, 201);
    let mount = |from: &str, who: &str| {
        let path = format!("/v2/public/b/blobs/uploads/?mount={other}{from}");
        registry.status("POST", &path, who)
    };
    assert_eq!(mount("&from=team/b", &ann), 201);
    // Each is told of what he may read.
    let catalog = |who: &str| registry.ask("GET", "/v2/_catalog", who, b"");
    assert_eq!(catalog(&eve).text(), r#"{"repositories":["public/a","public/b"]}"#);
    let all = r#"{"repositories":["public/a","public/b","team/a","team/b"]}"#;
    assert_eq!(catalog(&bob).text(), all);
    assert_eq!(catalog("").status, 401);
}

#[test]
fn mounting_shows_nobody_what_he_may_not_read() {
    let rules = r#"
[[rule]]
repositories = ["secret"]
users = ["ann"]
actions = ["pull", "push"]
[[rule]]
repositories = ["own"]
users = ["eve"]
actions = ["pull", "push"]
"#;
    let registry =
        with_passwords(|access, dir| access.rules = Some(write(dir, "rules.toml", rules)));
    let (ann, eve) = (basic("ann", "ann"), basic("eve", "eve"));
    let digest = digest_of(Algorithm::Sha256, b"secret");
    let upload = format!("/v2/secret/blobs/uploads/?digest={digest}");
    assert_eq!(registry.ask("POST", &upload, &ann, b"secret").status, 201);
    for from in ["&from=secret", "", "&from=nothing", "&from=../x"] {
        let path = format!("/v2/own/blobs/uploads/?mount={digest}{from}");
        assert_eq!(registry.status("POST", &path, &eve), 202, "{from}");
    }
    assert_eq!(registry.status("GET", &format!("/v2/own/blobs/{digest}"), &eve), 404);
    let text = super::manifest(&digest, &[], "");
    let kind = ("Content-Type", "application/vnd.oci.image.manifest.v1+json");
    let put = registry.send(
        "PUT",
        "/v2/own/manifests/v",
        &[kind, ("Authorization", &eve)],
        text.as_bytes(),
    );
    assert_eq!(put.code(), "MANIFEST_BLOB_UNKNOWN");
}

#[test]
fn whoever_guesses_passwords_has_to_wait() {
    let registry = with_passwords(|_, _| {});
    let mut last = None;
    for number in 0..30 {
        let answer = registry.ask("GET", "/v2/", &basic("ann", &number.to_string()), b"");
        if answer.status == 429 {
            last = Some((number, answer));
            break;
        }
        assert_eq!(answer.status, 401);
    }
    let (number, answer) = last.expect("nobody stopped it");
    assert!((20..30).contains(&number), "{number}");
    assert_eq!(answer.code(), "TOOMANYREQUESTS");
    assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    // The right one is not tried either; without one, nothing is guessed.
    assert_eq!(registry.status("GET", "/v2/", &basic("ann", "ann")), 429);
    assert_eq!(registry.status("GET", "/v2/", ""), 401);
}

#[test]
fn anonymous_clients_may_read_where_that_is_said() {
    let registry = with_passwords(|access, _| access.anonymous_pull = true);
    let digest = digest_of(Algorithm::Sha256, b"x");
    let upload = format!("/v2/a/blobs/uploads/?digest={digest}");
    assert_eq!(registry.ask("POST", &upload, "", b"x").status, 401);
    assert_eq!(registry.ask("POST", &upload, &basic("ann", "ann"), b"x").status, 201);
    let blob = format!("/v2/a/blobs/{digest}");
    assert_eq!(
        [registry.status("GET", &blob, ""), registry.status("DELETE", &blob, "")],
        [200, 401]
    );
    assert_eq!(registry.status("GET", &blob, &basic("ann", "x")), 401);
    assert_eq!(registry.status("GET", "/v2/_catalog", ""), 200);
    // Where clients find out whether they are known.
    assert_eq!(registry.status("GET", "/v2/", ""), 401);
}

/// A registry that believes a key, and tokens that it has signed.
fn with_tokens() -> (Registry, impl Fn(&str) -> String) {
    let pair = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pair.as_ref()).unwrap();
    let url = |bytes: &[u8]| {
        let text = oci::base64::encode(bytes).replace('+', "-").replace('/', "_");
        text.trim_end_matches('=').to_owned()
    };
    let x = url(pair.public_key().as_ref());
    let place = Arc::new(super::Place::new());
    let set = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}]}}"#);
    let keys = write(&place.0, "keys.json", &set);
    let registry = Registry::at(place, |config| {
        config.access.scheme = Scheme::Tokens(TokenService {
            realm: "https://auth.example/token".into(),
            service: "test".into(),
            issuer: "auth".into(),
            keys,
        });
    });
    let token = move |access: &str| {
        let header = url(br#"{"alg":"EdDSA"}"#);
        let claims = format!(
            r#"{{"iss":"auth","aud":"test","sub":"ann","exp":99999999999,"access":[{access}]}}"#
        );
        let signed = format!("{header}.{}", url(claims.as_bytes()));
        format!("Bearer {signed}.{}", url(pair.sign(signed.as_bytes()).as_ref()))
    };
    (registry, token)
}

#[test]
fn tokens_allow_what_is_in_them() {
    let (registry, token) = with_tokens();
    let challenge = |answer: &Answer| answer.header("www-authenticate").unwrap().to_owned();
    let asked = registry.ask("GET", "/v2/a/b/tags/list", "", b"");
    let expected =
        r#"Bearer realm="https://auth.example/token",service="test",scope="repository:a/b:pull""#;
    assert_eq!((asked.status, &*challenge(&asked)), (401, expected));
    let asked = registry.ask("POST", "/v2/a/b/blobs/uploads/", "", b"");
    assert!(challenge(&asked).contains("scope=\"repository:a/b:pull,push\""));
    let asked = registry.ask("GET", "/v2/_catalog", "", b"");
    assert!(challenge(&asked).contains("scope=\"registry:catalog:*\""));

    let grant = |name: &str, actions: &str| {
        format!(r#"{{"type":"repository","name":"{name}","actions":[{actions}]}}"#)
    };
    let pull = token(&grant("a/b", "\"pull\""));
    let push = token(&grant("a/b", "\"pull\",\"push\""));
    assert_eq!(registry.status("GET", "/v2/", &pull), 200);
    assert_eq!(registry.status("POST", "/v2/a/b/blobs/uploads/", &push), 202);
    let refused = registry.ask("POST", "/v2/a/b/blobs/uploads/", &pull, b"");
    assert_eq!(refused.status, 401);
    assert!(challenge(&refused).ends_with(",error=\"insufficient_scope\""));
    for path in ["/v2/a/tags/list", "/v2/a/b/c/tags/list", "/v2/_catalog"] {
        assert_eq!(registry.status("GET", path, &push), 401, "{path}");
    }
    let catalog = token(r#"{"type":"registry","name":"catalog","actions":["*"]}"#);
    assert_eq!(registry.status("GET", "/v2/_catalog", &catalog), 200);
    let bad = registry.ask("GET", "/v2/", &pull.replace('.', ".x"), b"");
    assert_eq!(bad.status, 401);
    assert!(challenge(&bad).ends_with(",error=\"invalid_token\""));
    assert_eq!(registry.status("GET", "/v2/", &basic("ann", "ann")), 401);
}

pub(super) fn tls(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../transport/tests/data/tls")).join(name)
}

/// Sends a request over TLS, perhaps with the client's certificate.
fn ask_encrypted(registry: &Registry, path: &str, with_certificate: bool) -> Option<String> {
    use std::io::{Read, Write};
    let mut stream = encrypt(registry, with_certificate, &[]);
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    Some(String::from_utf8_lossy(&text).into_owned()).filter(|text| !text.is_empty())
}

/// A connection with TLS, on which something may be chosen to be spoken.
pub(super) fn encrypt(
    registry: &Registry,
    with_certificate: bool,
    protocols: &[&str],
) -> rustls::StreamOwned<rustls::ClientConnection, std::net::TcpStream> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(tls("ca.crt")).unwrap()).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder =
        builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let config = match with_certificate {
        false => builder.with_no_client_auth(),
        true => {
            let certificate = CertificateDer::from_pem_file(tls("client.cert")).unwrap();
            let key = PrivateKeyDer::from_pem_file(tls("client.key")).unwrap();
            builder.with_client_auth_cert(vec![certificate], key).unwrap()
        }
    };
    let mut config = config;
    config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
    let name = "localhost".try_into().unwrap();
    let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    rustls::StreamOwned::new(connection, registry.connect())
}

#[test]
fn tls_is_all_or_nothing_and_is_read_again() {
    let place = Arc::new(super::Place::new());
    let [certificates, key] = ["server.crt", "server.key"].map(|name| {
        let copy = place.0.join(name);
        std::fs::copy(tls(name), &copy).unwrap();
        copy
    });
    let registry = Registry::at(place, |config| {
        config.tls = Some(Tls {
            certificates: certificates.clone(),
            key,
            client_authorities: None,
            client_optional: false,
        });
    });
    let answer = ask_encrypted(&registry, "/v2/", false).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // Without encryption there is no answer.
    use std::io::{Read, Write};
    let mut stream = registry.connect();
    stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    assert!(!text.starts_with(b"HTTP"), "{:?}", String::from_utf8_lossy(&text));
    // A certificate that does not belong to the key changes nothing, and is told.
    std::thread::sleep(Duration::from_millis(1100));
    std::fs::copy(tls("ca.crt"), &certificates).unwrap();
    assert!(ask_encrypted(&registry, "/v2/", false).is_some());
    let told = registry.faults.lock().unwrap().join("\n");
    assert!(told.contains("TLS stays as it was"), "{told}");
    std::thread::sleep(Duration::from_millis(1100));
    std::fs::copy(tls("server.crt"), &certificates).unwrap();
    assert!(ask_encrypted(&registry, "/v2/", false).is_some());
}

#[test]
fn certificates_say_who_a_client_is() {
    let encrypted = |optional: bool| {
        let place = Arc::new(super::Place::new());
        let rules = "[[rule]]\nrepositories=['**']\nusers=['client']\nactions=['pull']\n\
                     [[rule]]\nrepositories=['public']\nusers=['anonymous']\nactions=['pull']\n";
        let rules = write(&place.0, "rules.toml", rules);
        Registry::at(place, |config| {
            config.access.scheme = Scheme::Certificates;
            config.access.rules = Some(rules);
            config.tls = Some(Tls {
                certificates: tls("server.crt"),
                key: tls("server.key"),
                client_authorities: Some(tls("ca.crt")),
                client_optional: optional,
            });
        })
    };
    let registry = encrypted(false);
    assert_eq!(ask_encrypted(&registry, "/v2/", false), None);
    assert!(ask_encrypted(&registry, "/v2/", true).unwrap().starts_with("HTTP/1.1 200"));
    assert!(ask_encrypted(&registry, "/v2/a/tags/list", true).unwrap().starts_with("HTTP/1.1 404"));
    let registry = encrypted(true);
    let ask = |path: &str, certificate| ask_encrypted(&registry, path, certificate).unwrap();
    assert!(ask("/v2/a/tags/list", false).starts_with("HTTP/1.1 401"));
    assert!(ask("/v2/public/tags/list", false).starts_with("HTTP/1.1 404"));
    assert!(ask("/v2/a/tags/list", true).starts_with("HTTP/1.1 404"));
}

#[test]
fn what_nobody_wants_is_not_started() {
    let refused = |change: &dyn Fn(&mut crate::Config)| {
        let place = super::Place::new();
        let mut config = crate::Config::new(place.0.join("registry"));
        config.listen = vec!["0.0.0.0:0".parse().unwrap()];
        change(&mut config);
        let refused = crate::Server::start(&config).err().map(|error| error.to_string());
        refused.unwrap_or_default()
    };
    let everybody = "everybody who reaches it could push and delete";
    assert!(refused(&|_| {}).contains(everybody));
    assert_eq!(refused(&|config| config.open = true), "");
    let place = super::Place::new();
    let file = write(&place.0, "htpasswd", "");
    let passwords = |config: &mut crate::Config| {
        config.access.scheme = Scheme::Passwords { file: file.clone(), realm: "x".into() };
    };
    assert!(refused(&passwords).contains("without encryption"));
    let behind_proxy = |config: &mut crate::Config| {
        passwords(config);
        config.plain = true;
    };
    assert_eq!(refused(&behind_proxy), "");
    let odd = |config: &mut crate::Config| {
        behind_proxy(config);
        config.access.scheme = Scheme::Passwords { file: file.clone(), realm: "x\"y".into() };
    };
    assert!(refused(&odd).contains("cannot stand in a header"));
    let certificates = |config: &mut crate::Config| config.access.scheme = Scheme::Certificates;
    assert!(refused(&certificates).contains("need TLS"));
}

#[test]
fn a_registry_may_be_for_reading_only() {
    let registry = Registry::new();
    let digest = registry.put_image("a", "v", b"layer");
    let reader = Registry::at(registry.place.clone(), |config| config.read_only = true);
    // Beside the one that changes it, and it sees what that one does.
    assert_eq!(reader.get("/v2/a/manifests/v").status, 200);
    registry.put_image("a", "w", b"layer");
    assert_eq!(reader.get("/v2/a/tags/list").text(), r#"{"name":"a","tags":["v","w"]}"#);
    for (method, path) in [
        ("DELETE", format!("/v2/a/manifests/{digest}")),
        ("POST", "/v2/a/blobs/uploads/".into()),
        ("PUT", "/v2/a/manifests/x".into()),
    ] {
        let answer = reader.send(method, &path, &[], b"");
        assert_eq!((answer.status, &*answer.code()), (405, "UNSUPPORTED"), "{method} {path}");
    }
}

#[test]
fn a_client_that_asks_too_often_is_told_when_to_come_again() {
    let registry = Registry::with(|config| {
        config.rate = Some(Rate { per_second: 0.1, burst: 5.0 });
    });
    for _ in 0..5 {
        assert_eq!(registry.get("/v2/").status, 200);
    }
    let answer = registry.get("/v2/");
    assert_eq!((answer.status, &*answer.code()), (429, "TOOMANYREQUESTS"));
    assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() > 5);
}

#[test]
fn pages_show_what_the_client_may_read() {
    let registry = with_passwords(|access, dir| {
        access.rules = Some(write(dir, "rules", RULES));
    });
    let ann = basic("ann", "ann");
    for name in ["team/a", "public/b"] {
        let path =
            format!("/v2/{name}/blobs/uploads/?digest={}", digest_of(Algorithm::Sha256, b"x"));
        assert_eq!(registry.ask("POST", &path, &ann, b"x").status, 201);
    }
    let home = |authorization: &str| registry.ask("GET", "/", authorization, b"");
    let anonymous = home("");
    assert_eq!(anonymous.status, 401);
    assert!(anonymous.header("www-authenticate").is_some(), "a browser asks for a password");
    let (of_bob, of_eve) = (home(&basic("bob", "bob")).text(), home(&basic("eve", "eve")).text());
    assert!(of_bob.contains("team/a") && of_bob.contains("public/b"), "{of_bob}");
    assert!(!of_eve.contains("team/a") && of_eve.contains("public/b"), "{of_eve}");
    // What is not there is refused in the same way.
    for path in ["/browse/team/a", "/browse/team/none", "/browse/team/a:v1"] {
        assert_eq!(registry.status("GET", path, &basic("eve", "eve")), 403, "{path}");
        assert_eq!(registry.status("GET", path, ""), 401, "{path}");
    }
    assert_eq!(registry.status("GET", "/browse/team/a", &ann), 200);
    assert_eq!(registry.status("GET", "/browse/team/none", &ann), 404);
    assert_eq!(registry.status("GET", "/browse/public/b", ""), 200);
}
