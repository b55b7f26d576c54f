//! `registries.d`: where the signatures of images are kept (containers-registries.d(5)).
//!
//! Simple signatures lie beside a registry, on a server or in a directory; sigstore's lie within it, as
//! attachments. The section of the most special scope counts, and nothing of the others.

use crate::error::{Error, ErrorKind, Result};
use oci::{Digest, Reference};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use yaml::Node;

/// The sections of all files.
#[derive(Clone, Debug, Default)]
pub struct Lookaside {
    default: Option<Section>,
    scopes: BTreeMap<String, Section>,
}

/// What is configured for one scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// Where signatures are read.
    pub read: Option<String>,
    /// Where they are written, when that is another place.
    pub write: Option<String>,
    /// Whether sigstore's attachments are read and written.
    pub sigstore_attachments: Option<bool>,
    origin: PathBuf,
}

impl Lookaside {
    /// Reads the `.yaml` files of a directory.
    pub fn load(directory: &Path) -> Result<Self> {
        let mut all = Self::default();
        for path in crate::file::list(directory, "yaml")? {
            if let Some(text) = crate::file::read_text(&path)? {
                all.add(&path, &text)?;
            }
        }
        Ok(all)
    }

    /// Reads one file.
    pub(crate) fn read(path: &Path, text: &str) -> Result<Self> {
        let mut all = Self::default();
        all.add(path, text).map(|()| all)
    }

    fn add(&mut self, path: &Path, text: &str) -> Result<()> {
        let root = yaml::read(text).map_err(|error| Error::in_file(path, error))?;
        for (key, node) in members(path, "the file", root)? {
            match &*key {
                "default-docker" => {
                    let section = Section::read(path, &key, node)?;
                    refuse_second(path, &key, self.default.as_ref())?;
                    self.default = Some(section);
                }
                "docker" => {
                    for (scope, node) in members(path, &key, node)? {
                        let section = Section::read(path, &scope, node)?;
                        refuse_second(path, &scope, self.scopes.get(&scope))?;
                        self.scopes.insert(scope, section);
                    }
                }
                other => return Err(Error::in_file(path, format!("`{other}` is not known"))),
            }
        }
        Ok(())
    }

    /// The section for an image.
    pub fn section(&self, reference: &Reference) -> Option<&Section> {
        let whole = reference.to_string();
        let parents = std::iter::successors(Some(reference.name()), |name| {
            name.rsplit_once('/').map(|(parent, _)| parent)
        });
        std::iter::once(&*whole)
            .chain(parents)
            .find_map(|scope| self.scopes.get(scope))
            .or(self.default.as_ref())
    }
}

impl Section {
    fn read(path: &Path, scope: &str, node: Node) -> Result<Self> {
        let mut section = Self { origin: path.to_owned(), ..Self::default() };
        let mut old = (None, None);
        for (key, value) in members(path, scope, node)? {
            let text = match value {
                Node::Plain(text) | Node::Quoted(text) => text,
                Node::Null => continue,
                _ => return Err(Error::in_file(path, format!("{scope}.{key}: expected a text"))),
            };
            match &*key {
                "lookaside" => section.read = Some(text),
                "lookaside-staging" => section.write = Some(text),
                // Their names before 2022.
                "sigstore" => old.0 = Some(text),
                "sigstore-staging" => old.1 = Some(text),
                "use-sigstore-attachments" => {
                    section.sigstore_attachments = Some(match &*text {
                        "true" => true,
                        "false" => false,
                        _ => {
                            let what = format!("{scope}.{key}: `{text}`, expected true or false");
                            return Err(Error::in_file(path, what));
                        }
                    });
                }
                other => {
                    return Err(Error::in_file(path, format!("{scope}: `{other}` is not known")));
                }
            }
        }
        section.read = section.read.or(old.0);
        section.write = section.write.or(old.1);
        Ok(section)
    }

    /// The address of an image's signature with a number, from 1: where it is read, or written.
    pub fn signature(
        &self,
        reference: &Reference,
        digest: &Digest,
        number: u32,
        write: bool,
    ) -> Result<Option<String>> {
        let base = match write {
            true => self.write.as_ref().or(self.read.as_ref()),
            false => self.read.as_ref(),
        };
        let Some(base) = base else { return Ok(None) };
        let schemes: &[&str] =
            if write { &["file://"] } else { &["file://", "https://", "http://"] };
        if !schemes.iter().any(|scheme| base.starts_with(scheme)) {
            let text = format!(
                "{}: `{base}` has to begin with one of {}",
                self.origin.display(),
                schemes.join(" ")
            );
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        let base = base.trim_end_matches('/');
        let (algorithm, hex) = (digest.algorithm().name(), digest.hex());
        Ok(Some(format!("{base}/{}@{algorithm}={hex}/signature-{number}", reference.path())))
    }
}

/// Two files must not speak of the same scope, even if they agree.
fn refuse_second(path: &Path, scope: &str, known: Option<&Section>) -> Result<()> {
    match known {
        None => Ok(()),
        Some(known) => {
            let what = format!("`{scope}` is configured in {}, too", known.origin.display());
            Err(Error::in_file(path, what))
        }
    }
}

fn members(path: &Path, what: &str, node: Node) -> Result<Vec<(String, Node)>> {
    match node {
        Node::Map(members) => Ok(members),
        Node::Null => Ok(Vec::new()),
        _ => Err(Error::in_file(path, format!("{what}: expected a mapping"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::test_directory;

    const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");

    fn parse(name: &str) -> Reference {
        Reference::parse(name).unwrap()
    }

    #[test]
    fn the_most_special_scope_counts() {
        let all = Lookaside::load(&Path::new(DATA).join("registries.d")).unwrap();
        let digest = Digest::new(oci::Algorithm::Sha256, &[0xab; 32]).unwrap();
        let hex = "ab".repeat(32);
        let check = |name: &str, write: bool, expected: Option<&str>| {
            let section = all.section(&parse(name)).unwrap();
            let found = section.signature(&parse(name), &digest, 1, write).ok().flatten();
            let expected = expected.map(|base| format!("{base}@sha256={hex}/signature-1"));
            assert_eq!(found, expected, "{name}");
        };
        check("example.com/my/x", false, Some("https://lookaside.example.com/my/x"));
        check("example.com/my/x", true, None);
        check("localhost/x", true, Some("file:///home/mitr/mydevelopment1/x"));
        check("localhost:8080/x", false, Some("file:///home/mitr/mydevelopment2/x"));
        check(
            "docker.io/contoso/x:1",
            false,
            Some("https://lookaside.contoso.com/fordocker/contoso/x"),
        );
        check("docker.io/centos/x", false, Some("https://lookaside.centos.org/centos/x"));
        let beta = "docker.io/centos/mybetaproduct";
        check(
            &format!("{beta}:1"),
            false,
            Some("http://localhost:9999/mybetaWIP/lookaside/centos/mybetaproduct"),
        );
        check(
            &format!("{beta}:1"),
            true,
            Some("file:///srv/mybetaWIP/lookaside/centos/mybetaproduct"),
        );
        check(
            &format!("{beta}:latest"),
            false,
            Some("https://lookaside.centos.org/centos/mybetaproduct"),
        );
        check(
            "other.example/x",
            false,
            Some("file:///mnt/companywide/signatures/for/other/repositories/x"),
        );
        check(
            "registry.test.example.com:8888/x",
            false,
            Some("http://registry.test.example.com:8889/lookaside/x"),
        );
        for broken in ["invalid/url/test", "file/path/test", "relative/path/test"] {
            check(&format!("localhost/{broken}"), false, None);
        }
    }

    #[test]
    fn scopes_are_configured_once() {
        let check = |texts: &[&str], expected: Option<&str>| {
            let directory = test_directory("registries-d");
            for (number, text) in texts.iter().enumerate() {
                std::fs::write(directory.join(format!("{number}.yaml")), text).unwrap();
            }
            let loaded = Lookaside::load(&directory).map(drop).map_err(|error| error.to_string());
            std::fs::remove_dir_all(directory).unwrap();
            match (loaded, expected) {
                (Ok(()), None) => {}
                (Err(error), Some(expected)) => assert!(error.contains(expected), "{error}"),
                (loaded, expected) => panic!("{texts:?}: {loaded:?}, expected {expected:?}"),
            }
        };
        let default = std::fs::read_to_string(Path::new(DATA).join("registries.d-default.yaml"));
        check(&[&default.unwrap()], None);
        let one = "docker:\n  x.example:\n    lookaside: file:///x\n";
        check(&[one], None);
        check(&[one, one], Some("`x.example` is configured in "));
        check(&[&format!("{one}  x.example:\n    lookaside: y\n")], Some("is there twice"));
        check(
            &["default-docker: {}", "default-docker: {}"],
            Some("`default-docker` is configured"),
        );
        check(&["docker: []"], Some("docker: expected a mapping"));
        check(&["dokker: {}"], Some("`dokker` is not known"));
        check(&["docker: {x: {lookasid: y}}"], Some("x: `lookasid` is not known"));
        check(&["docker: {x: {use-sigstore-attachments: maybe}}"], Some("expected true or false"));
        check(&["docker: {x: {sigstore: file:///x}}"], None);
        let absent = Lookaside::load(Path::new("/absent")).unwrap();
        assert!(absent.section(&parse("x")).is_none());
    }
}
