//! skopeo's file of what is mirrored (skopeo-sync(1)).
//!
//! ```yaml
//! registry.example.com:
//!     images:
//!         busybox: []                       # all tags
//!         redis: ["7", "sha256:..."]
//!     images-by-tag-regex:
//!         nginx: ^1\.13\.[12]-alpine-perl$
//!     images-by-semver:
//!         alpine: ">= 3.12.0"
//!     credentials:
//!         username: john
//!         password: this is a secret
//!     tls-verify: true
//!     cert-dir: /home/john/certs
//! ```

use super::Filter;
use crate::auth::Credentials;
use crate::error::{Error, ErrorKind, Result};
use oci::{Digest, Reference};
use std::path::{Path, PathBuf};
use yaml::Node;

/// What a file says, and what is odd in it.
#[derive(Clone, Debug, Default)]
pub struct Read {
    /// In the order of the file.
    pub registries: Vec<Registry>,
    /// For the user to see.
    pub warnings: Vec<String>,
}

/// What is mirrored of one registry, and how it is reached.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    /// In the order of the file.
    pub repositories: Vec<Repository>,
    /// Who we are there.
    pub credentials: Option<Credentials>,
    /// Whether TLS with a certificate that somebody vouches for is required.
    pub tls_verify: Option<bool>,
    /// Certificates.
    pub cert_dir: Option<PathBuf>,
}

/// What is mirrored of one repository.
#[derive(Clone, Debug)]
pub struct Repository {
    /// The repository, without a tag.
    pub name: Reference,
    /// Its images.
    pub wanted: Wanted,
}

/// Images of a repository.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// Those of all tags.
    All,
    /// These, each with a tag or digest.
    These(Vec<Reference>),
    /// Those whose tags are meant.
    Matching(Filter),
}

impl Read {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self> {
        match crate::file::read_text(path)? {
            Some(text) => Self::parse(&text).map_err(|error| Error::in_file(path, error)),
            None => {
                let text = format!("{}: there is no such file", path.display());
                Err(Error::new(ErrorKind::NotFound, text))
            }
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut all = Self::default();
        for (name, node) in members("the file", yaml::read(text)?)? {
            let registry = all.registry(&name, node)?;
            all.registries.push(registry);
        }
        match all.registries.is_empty() {
            true => Err("names no registry".into()),
            false => Ok(all),
        }
    }

    fn registry(&mut self, name: &str, node: Node) -> Result<Registry, String> {
        let mut registry = Registry::default();
        for (key, node) in members(name, node)? {
            let place = format!("{name}.{key}");
            match &*key {
                "images" => {
                    for (image, node) in members(&place, node)? {
                        registry.add(name, &image, |repository| images(repository, node))?;
                    }
                }
                "images-by-tag-regex" => {
                    for (image, node) in members(&place, node)? {
                        let text = scalar(&format!("{place}.{image}"), node)?;
                        let filter = Filter::pattern(&text);
                        registry.add(name, &image, |_| matching(filter))?;
                    }
                }
                "images-by-semver" => {
                    for (image, node) in members(&place, node)? {
                        let text = scalar(&format!("{place}.{image}"), node)?;
                        let filter = Filter::versions(&text);
                        registry.add(name, &image, |_| matching(filter))?;
                    }
                }
                "credentials" => registry.credentials = self.credentials(&place, node)?,
                "tls-verify" => registry.tls_verify = Some(truth(&place, node)?),
                "cert-dir" => registry.cert_dir = Some(scalar(&place, node)?.into()),
                _ => self.warnings.push(format!("`{place}` is not known, and ignored")),
            }
        }
        if registry.repositories.is_empty() {
            self.warnings.push(format!("`{name}` names no images"));
        }
        Ok(registry)
    }

    fn credentials(&mut self, place: &str, node: Node) -> Result<Option<Credentials>, String> {
        let (mut user, mut password, mut token) = (String::new(), String::new(), String::new());
        for (key, node) in members(place, node)? {
            let own = format!("{place}.{key}");
            match &*key {
                "username" => user = scalar(&own, node)?,
                "password" => password = scalar(&own, node)?,
                "identitytoken" => token = scalar(&own, node)?,
                _ => self.warnings.push(format!("`{own}` is not known, and ignored")),
            }
        }
        Ok(match (user.is_empty(), token.is_empty()) {
            (_, false) => Some(Credentials::Identity { user, token }),
            (false, true) => Some(Credentials::Basic { user, password }),
            (true, true) => None,
        })
    }
}

impl Registry {
    fn add(
        &mut self,
        registry: &str,
        image: &str,
        wanted: impl FnOnce(&Reference) -> Result<Wanted, String>,
    ) -> Result<(), String> {
        let text = format!("{registry}/{image}");
        let refuse = |why: &dyn std::fmt::Display| format!("`{text}`: {why}");
        let name = Reference::parse(&text).map_err(|error| refuse(&error))?;
        if name.tag().is_some() || name.digest().is_some() {
            return Err(refuse(&"is an image; its tags are a list behind the repository"));
        }
        let wanted = wanted(&name).map_err(|error| refuse(&error))?;
        self.repositories.push(Repository { name, wanted });
        Ok(())
    }
}

fn matching(filter: Result<Filter>) -> Result<Wanted, String> {
    filter.map(Wanted::Matching).map_err(|error| error.to_string())
}

/// A list of tags and digests; an empty one is all of them.
fn images(repository: &Reference, node: Node) -> Result<Wanted, String> {
    let list = match node {
        Node::List(list) => list,
        Node::Null => Vec::new(),
        _ => return Err("expected a list of tags and digests".into()),
    };
    if list.is_empty() {
        return Ok(Wanted::All);
    }
    let mut these = Vec::new();
    for node in list {
        let text = scalar("a tag", node)?;
        let image = match Digest::parse(&text) {
            Ok(digest) => Reference::parse(&format!("{}@{digest}", repository.name())),
            Err(_) => repository.with_tag(&text),
        };
        these.push(image.map_err(|error| format!("`{text}`: {error}"))?);
    }
    Ok(Wanted::These(these))
}

fn members(place: &str, node: Node) -> Result<Vec<(String, Node)>, String> {
    match node {
        Node::Map(members) => Ok(members),
        Node::Null => Ok(Vec::new()),
        _ => Err(format!("{place}: expected a mapping")),
    }
}

fn scalar(place: &str, node: Node) -> Result<String, String> {
    match node {
        Node::Plain(text) | Node::Quoted(text) => Ok(text),
        _ => Err(format!("{place}: expected a text")),
    }
}

/// YAML 1.1's words, as Go's reader takes them.
fn truth(place: &str, node: Node) -> Result<bool, String> {
    let text = scalar(place, node)?;
    match &*text.to_ascii_lowercase() {
        "true" | "yes" | "on" | "y" => Ok(true),
        "false" | "no" | "off" | "n" => Ok(false),
        _ => Err(format!("{place}: `{text}` is neither true nor false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = r#"
registry.example.com:
    images:
        busybox: []
        redis:
            - "1.0"
            - 2.0
            - "sha256:0000000000000000000000000000000011111111111111111111111111111111"
    images-by-tag-regex:
        nginx: ^1\.13\.[12]-alpine-perl$
    images-by-semver:
        alpine: ">= 3.12.0"
    credentials:
        username: john
        password: this is a secret
    tls-verify: true
    cert-dir: /home/john/certs
quay.io:
    tls-verify: false
    images:
        coreos/etcd:
            - latest
"#;

    #[test]
    fn the_manuals_example_is_read() {
        let read = Read::parse(EXAMPLE).unwrap();
        assert_eq!(read.warnings, [""; 0]);
        let [first, second] = &read.registries[..] else { panic!("{read:?}") };
        let shown = |registry: &Registry| -> Vec<String> {
            let show = |it: &Repository| match &it.wanted {
                Wanted::All => format!("{} all", it.name),
                Wanted::These(these) => {
                    let these: Vec<String> = these.iter().map(ToString::to_string).collect();
                    these.join(" ")
                }
                Wanted::Matching(filter) => {
                    let tags = ["1.13.1-alpine-perl", "3.12.1", "3.11.0"];
                    let taken: Vec<&str> = tags.into_iter().filter(|it| filter.takes(it)).collect();
                    format!("{} {}", it.name, taken.join(" "))
                }
            };
            registry.repositories.iter().map(show).collect()
        };
        let redis = "registry.example.com/redis";
        assert_eq!(
            shown(first),
            [
                "registry.example.com/busybox all".to_owned(),
                format!(
                    "{redis}:1.0 {redis}:2.0 {redis}@sha256:{}{}",
                    "0".repeat(32),
                    "1".repeat(32)
                ),
                "registry.example.com/nginx 1.13.1-alpine-perl".into(),
                "registry.example.com/alpine 3.12.1".into(),
            ]
        );
        let basic = Credentials::Basic { user: "john".into(), password: "this is a secret".into() };
        assert_eq!(first.credentials, Some(basic));
        assert_eq!(first.tls_verify, Some(true));
        assert_eq!(first.cert_dir.as_deref(), Some(Path::new("/home/john/certs")));
        assert_eq!(shown(second), ["quay.io/coreos/etcd:latest"]);
        assert_eq!(second.tls_verify, Some(false));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let check = |text: &str, expected: &str| {
            let error = Read::parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        };
        check("", "names no registry");
        check("[]", "the file: expected a mapping");
        check("r.example: 1", "r.example: expected a mapping");
        check("r.example: {images: [x]}", "r.example.images: expected a mapping");
        check("r.example: {images: {x: y}}", "`r.example/x`: expected a list of tags");
        check("r.example: {images: {x: [{}]}}", "`r.example/x`: a tag: expected a text");
        check("r.example: {images: {x: ['a b']}}", "`r.example/x`: `a b`: ");
        check("r.example: {images: {'x:1': []}}", "its tags are a list behind the repository");
        check("r.example: {images: {X: []}}", "`r.example/X`: ");
        check("r.example: {images-by-tag-regex: {x: '('}}", "is no regular expression");
        check("r.example: {images-by-semver: {x: new}}", "`new`: is no constraint");
        check("r.example: {images-by-semver: {x: []}}", "images-by-semver.x: expected a text");
        check("r.example: {tls-verify: maybe}", "`maybe` is neither true nor false");
        check("a: &x {}\nb: *x", "anchors and tags are not read");
        let odd = Read::parse("r.example: {imagse: {x: []}, credentials: {user: x}}").unwrap();
        let expected = [
            "`r.example.imagse` is not known, and ignored",
            "`r.example.credentials.user` is not known, and ignored",
            "`r.example` names no images",
        ];
        assert_eq!(odd.warnings, expected);
    }
}
