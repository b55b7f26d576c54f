//! The text of a policy, read without mercy.

use oci::Reference;
use oci::json::{Failed, FromJson, Reader};
use std::collections::{BTreeMap, BTreeSet};

/// One requirement.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Requirement {
    /// Every image is accepted.
    AcceptAnything,
    /// No image is accepted.
    #[default]
    Reject,
    /// A simple signature with one of some keys.
    SignedBy {
        /// What the keys are.
        key_type: KeyType,
        /// The keys.
        keys: Keys,
        /// What the signature has to say of the image.
        identity: Identity,
    },
    /// A signature of the image's lowest layers.
    SignedBaseLayer {
        /// What it has to say of them.
        identity: Identity,
    },
    /// A sigstore signature.
    SigstoreSigned {
        /// The keys, or who vouches for them.
        keys: Keys,
        /// What the signature has to say of the image.
        identity: Identity,
    },
}

impl Requirement {
    /// What it requires, for messages.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::AcceptAnything => "nothing (insecureAcceptAnything)",
            Self::Reject => "what no image has (reject)",
            Self::SignedBy { .. } => "a GPG signature (signedBy)",
            Self::SignedBaseLayer { .. } => "a signature of the base image (signedBaseLayer)",
            Self::SigstoreSigned { .. } => "a sigstore signature (sigstoreSigned)",
        }
    }
}

oci::names! {
    /// What keys are.
    KeyType, default GpgKeys {
        GpgKeys = "GPGKeys",
        SignedByGpgKeys = "signedByGPGKeys",
        X509Certificates = "X509Certificates",
        SignedByX509Cas = "signedByX509CAs",
    }
}

/// Where keys come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Keys {
    /// Nowhere: no signature is right.
    #[default]
    None,
    /// Files.
    Paths(Vec<String>),
    /// The policy itself has them.
    Data(Vec<Vec<u8>>),
    /// Certificates of sigstore's authority.
    Fulcio,
    /// Certificates of an own authority.
    Pki,
}

/// What a signature has to say of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Identity {
    /// Its name.
    Exact,
    /// Its name, or its repository when a digest is asked for.
    #[default]
    RepoDigestOrExact,
    /// Its repository.
    Repository,
    /// A given name.
    ExactReference(Reference),
    /// A given repository.
    ExactRepository(Reference),
    /// Its name with another beginning.
    Remap {
        /// The beginning here.
        prefix: String,
        /// The beginning where it was signed.
        signed_prefix: String,
    },
}

/// What is in a file.
#[derive(Default)]
pub(super) struct Content {
    pub(super) default: Vec<Requirement>,
    pub(super) transports: BTreeMap<String, BTreeMap<String, Vec<Requirement>>>,
}

/// Reads a policy.
pub(super) fn read(text: &[u8]) -> Result<Content, String> {
    let content: Content = oci::json::read(text)?;
    match content.default.is_empty() {
        true => Err("default: is not there".into()),
        false => Ok(content),
    }
}

type Read<T = ()> = Result<T, Failed>;

/// Reads an object whose members all have to be known, and may be there once.
fn each_member(
    reader: &mut Reader<'_>,
    read: &mut dyn FnMut(&str, &mut Reader<'_>) -> Read<bool>,
) -> Read {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    reader.open(b'{')?;
    while let Some(key) = reader.next_key()? {
        if seen.contains(&*key) {
            return Err(reader.fail(&format!("`{key}` is there twice")));
        }
        match read(&key, reader) {
            Ok(true) => drop(seen.insert(key.into_owned())),
            Ok(false) => return Err(reader.fail(&format!("`{key}` is not known"))),
            Err(failed) => return Err(reader.inside_key(failed, &key)),
        }
    }
    Ok(())
}

fn read_value<T: FromJson + Default>(reader: &mut Reader<'_>) -> Read<T> {
    let mut value = T::default();
    value.read(reader)?;
    Ok(value)
}

impl FromJson for Content {
    fn read(&mut self, reader: &mut Reader<'_>) -> Read {
        each_member(reader, &mut |key, reader| {
            match key {
                "default" => self.default = read_requirements(reader)?,
                "transports" => self.transports = read_transports(reader)?,
                _ => return Ok(false),
            }
            Ok(true)
        })
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

fn read_transports(
    reader: &mut Reader<'_>,
) -> Read<BTreeMap<String, BTreeMap<String, Vec<Requirement>>>> {
    let mut transports = BTreeMap::new();
    each_member(reader, &mut |transport, reader| {
        let mut scopes = BTreeMap::new();
        let name = transport;
        each_member(reader, &mut |scope, reader| {
            if let Some(why) = malformed_scope(name, scope) {
                return Err(reader.fail(why));
            }
            scopes.insert(scope.to_owned(), read_requirements(reader)?);
            Ok(true)
        })?;
        transports.insert(transport.to_owned(), scopes);
        Ok(true)
    })?;
    Ok(transports)
}

/// A scope that no image has would be a hole in the policy that nobody sees.
fn malformed_scope(transport: &str, scope: &str) -> Option<&'static str> {
    match transport {
        "dir" | "oci" if scope.is_empty() => None,
        "dir" | "oci" if scope == "/" => Some("use \"\" for the whole transport"),
        "dir" | "oci" if !scope.starts_with('/') => Some("expected an absolute path"),
        "dir" | "oci" => {
            let unclean = scope[1..].split('/').any(|part| matches!(part, "" | "." | ".."));
            unclean.then_some("expected a path without `.`, `..` and double slashes")
        }
        "docker-archive" | "oci-archive" | "tarball" if !scope.is_empty() => {
            Some("this transport has no scopes but \"\"")
        }
        _ => None,
    }
}

fn read_requirements(reader: &mut Reader<'_>) -> Read<Vec<Requirement>> {
    let requirements: Vec<Requirement> = read_value(reader)?;
    match requirements.is_empty() {
        true => Err(reader.fail("there must be a requirement")),
        false => Ok(requirements),
    }
}

/// The members of a requirement of any type.
#[derive(Default)]
struct Members {
    kind: String,
    /// Which members are there, but for `type`.
    names: Vec<String>,
    key_type: Option<KeyType>,
    key_paths: Vec<String>,
    key_data: Vec<String>,
    identity: Option<Identity>,
}

impl FromJson for Requirement {
    fn read(&mut self, reader: &mut Reader<'_>) -> Read {
        reader.peek();
        let start = reader.at();
        let members = Members::read(reader)?;
        *self = members.finish().map_err(|what| reader.fail_at(start, &what))?;
        Ok(())
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

impl Members {
    fn read(reader: &mut Reader<'_>) -> Read<Self> {
        let mut members = Self::default();
        each_member(reader, &mut |key, reader| {
            match key {
                "type" => {
                    members.kind = read_value(reader)?;
                    return Ok(true);
                }
                "keyType" => members.key_type = Some(read_value(reader)?),
                "keyPath" => members.key_paths.push(read_value(reader)?),
                "keyPaths" => members.key_paths = read_value(reader)?,
                "keyData" => members.key_data.push(read_value(reader)?),
                "keyDatas" => members.key_data = read_value(reader)?,
                "signedIdentity" | "baseLayerIdentity" => {
                    members.identity = Some(read_value(reader)?);
                }
                "fulcio" => read_authority(reader, &FULCIO)?,
                "pki" => read_authority(reader, &PKI)?,
                "rekorPublicKeyPath" | "rekorPublicKeyData" => {
                    read_value::<String>(reader)?;
                }
                "rekorPublicKeyPaths" | "rekorPublicKeyDatas" => {
                    read_value::<Vec<String>>(reader)?;
                }
                _ => return Ok(false),
            }
            members.names.push(key.to_owned());
            Ok(true)
        })?;
        Ok(members)
    }

    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    fn finish(self) -> Result<Requirement, String> {
        let own: &[&str] = match &*self.kind {
            "insecureAcceptAnything" | "reject" => &[],
            "signedBy" => &["keyType", "keyPath", "keyPaths", "keyData", "signedIdentity"],
            "signedBaseLayer" => &["baseLayerIdentity"],
            "sigstoreSigned" => &[
                "keyPath",
                "keyPaths",
                "keyData",
                "keyDatas",
                "fulcio",
                "pki",
                "rekorPublicKeyPath",
                "rekorPublicKeyPaths",
                "rekorPublicKeyData",
                "rekorPublicKeyDatas",
                "signedIdentity",
            ],
            other => return Err(format!("`{other}` is no type of requirement")),
        };
        if let Some(name) = self.names.iter().find(|name| !own.contains(&name.as_str())) {
            return Err(format!("{}: `{name}` does not belong into it", self.kind));
        }
        let identity = self.identity.clone().unwrap_or_default();
        Ok(match &*self.kind {
            "insecureAcceptAnything" => Requirement::AcceptAnything,
            "reject" => Requirement::Reject,
            "signedBy" => Requirement::SignedBy {
                key_type: self.key_type.ok_or("signedBy: keyType is not there")?,
                keys: self.keys(&["keyPath", "keyPaths", "keyData"])?,
                identity,
            },
            "signedBaseLayer" => Requirement::SignedBaseLayer {
                identity: self.identity.ok_or("signedBaseLayer: baseLayerIdentity is not there")?,
            },
            _ => {
                let rekor = ["Path", "Paths", "Data", "Datas"]
                    .iter()
                    .filter(|end| self.has(&format!("rekorPublicKey{end}")))
                    .count();
                let keys =
                    self.keys(&["keyPath", "keyPaths", "keyData", "keyDatas", "fulcio", "pki"])?;
                // A certificate of Fulcio is valid for minutes: only the log knows when it was used.
                if rekor > 1 || rekor == 0 && keys == Keys::Fulcio || rekor > 0 && keys == Keys::Pki
                {
                    return Err(
                        "sigstoreSigned: rekorPublicKey...: one with fulcio, none with pki, \
                                at most one otherwise"
                            .into(),
                    );
                }
                Requirement::SigstoreSigned { keys, identity }
            }
        })
    }

    /// The keys, of which there is exactly one source.
    fn keys(&self, sources: &[&str]) -> Result<Keys, String> {
        let mut given = sources.iter().filter(|source| self.has(source));
        let (Some(source), None) = (given.next(), given.next()) else {
            return Err(format!(
                "{}: exactly one of {} has to be there",
                self.kind,
                sources.join(", ")
            ));
        };
        let refuse = |what: &str| Err(format!("{}: {source} {what}", self.kind));
        match *source {
            "fulcio" => Ok(Keys::Fulcio),
            "pki" => Ok(Keys::Pki),
            "keyPath" | "keyPaths" => {
                if self.key_paths.is_empty() || self.key_paths.iter().any(String::is_empty) {
                    return refuse("names no file");
                }
                Ok(Keys::Paths(self.key_paths.clone()))
            }
            _ => {
                let keys: Option<Vec<Vec<u8>>> =
                    self.key_data.iter().map(|text| oci::base64::decode(text)).collect();
                match keys {
                    Some(keys) if !keys.is_empty() => Ok(Keys::Data(keys)),
                    Some(_) => refuse("is empty"),
                    None => refuse("is not in base 64"),
                }
            }
        }
    }
}

/// An object about certificates: its members, and which of them have to be there.
struct Authority {
    members: &'static [&'static str],
    /// Exactly one of each group.
    one_of: &'static [&'static [&'static str]],
    /// At least one.
    some_of: &'static [&'static str],
}

const FULCIO: Authority = Authority {
    members: &["caPath", "caData", "oidcIssuer", "subjectEmail"],
    one_of: &[&["caPath", "caData"], &["oidcIssuer"], &["subjectEmail"]],
    some_of: &["subjectEmail"],
};

const PKI: Authority = Authority {
    members: &[
        "caRootsPath",
        "caRootsData",
        "caIntermediatesPath",
        "caIntermediatesData",
        "subjectEmail",
        "subjectHostname",
    ],
    one_of: &[&["caRootsPath", "caRootsData"]],
    some_of: &["subjectEmail", "subjectHostname"],
};

fn read_authority(reader: &mut Reader<'_>, authority: &Authority) -> Read {
    let mut given: Vec<String> = Vec::new();
    each_member(reader, &mut |key, reader| {
        if !authority.members.contains(&key) {
            return Ok(false);
        }
        let text: String = read_value(reader)?;
        if text.is_empty() {
            return Err(reader.fail("is empty"));
        }
        given.push(key.to_owned());
        Ok(true)
    })?;
    let count =
        |names: &[&str]| names.iter().filter(|name| given.iter().any(|it| it == *name)).count();
    for group in authority.one_of {
        if count(group) != 1 {
            return Err(
                reader.fail(&format!("exactly one of {} has to be there", group.join(", ")))
            );
        }
    }
    if count(authority.some_of) == 0 {
        let names = authority.some_of.join(" or ");
        return Err(reader.fail(&format!("{names} has to be there")));
    }
    if count(&["caIntermediatesPath", "caIntermediatesData"]) > 1 {
        return Err(reader.fail("at most one of caIntermediatesPath and caIntermediatesData"));
    }
    Ok(())
}

impl FromJson for Identity {
    fn read(&mut self, reader: &mut Reader<'_>) -> Read {
        reader.peek();
        let start = reader.at();
        let mut members: BTreeMap<String, String> = BTreeMap::new();
        each_member(reader, &mut |key, reader| {
            members.insert(key.to_owned(), read_value(reader)?);
            Ok(true)
        })?;
        *self = identity(members).map_err(|what| reader.fail_at(start, &what))?;
        Ok(())
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

fn identity(mut members: BTreeMap<String, String>) -> Result<Identity, String> {
    let kind = members.remove("type").unwrap_or_default();
    let mut take = |name: &str| {
        let value = members.remove(name).filter(|value| !value.is_empty());
        value.ok_or_else(|| format!("{kind}: {name} is not there"))
    };
    let identity = match &*kind {
        "matchExact" => Identity::Exact,
        "matchRepoDigestOrExact" => Identity::RepoDigestOrExact,
        "matchRepository" => Identity::Repository,
        "exactReference" => {
            let text = take("dockerReference")?;
            let reference = Reference::parse(&text).map_err(|error| error.to_string())?;
            if reference.tag().is_none() && reference.digest().is_none() {
                return Err(format!("{kind}: `{text}` has neither tag nor digest"));
            }
            Identity::ExactReference(reference)
        }
        "exactRepository" => {
            let text = take("dockerRepository")?;
            let reference = Reference::parse(&text).map_err(|error| error.to_string())?;
            Identity::ExactRepository(reference.repository())
        }
        "remapIdentity" => {
            let (prefix, signed_prefix) = (take("prefix")?, take("signedPrefix")?);
            for prefix in [&prefix, &signed_prefix] {
                if !is_prefix(prefix) {
                    return Err(format!("{kind}: `{prefix}` is neither a host nor below one"));
                }
            }
            Identity::Remap { prefix, signed_prefix }
        }
        other => return Err(format!("`{other}` is no type of identity")),
    };
    match members.keys().next() {
        Some(name) => Err(format!("{kind}: `{name}` does not belong into it")),
        None => Ok(identity),
    }
}

/// A host, or a name in full without tag and digest.
fn is_prefix(text: &str) -> bool {
    use oci::reference::{Parts, is_domain, looks_like_domain};
    if looks_like_domain(text) && is_domain(text) {
        return true;
    }
    Parts::parse(text).is_ok_and(|parts| {
        parts.tag.is_none() && parts.digest.is_none() && looks_like_domain(parts.domain())
    })
}
