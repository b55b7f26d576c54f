//! A client of registries: the OCI distribution specification 1.1, and docker's registry.
//!
//! [`Registry`] speaks to one registry about one repository: manifests, blobs, tags, referrers.
//! [`RegistrySource`] and [`RegistrySink`] are an image in it.
//!
//! *Credentials go to the registry they belong to, over the scheme it was reached by, and to its token
//! service; never along a redirect, an upload's address or a foreign layer's URL.* The module
//! [`address`] holds the rules, [`session`] is the only place that adds them to a request.

mod address;
mod answer;
mod believe;
mod beside;
mod blob;
mod challenge;
mod connect;
mod delete;
mod download;
mod encrypt;
mod host;
mod http;
mod http2;
mod image;
mod options;
mod parallel;
mod session;
mod socket;
mod upload;
mod web;

/// For [`crate::inputs`]: headers, one a line.
pub(crate) fn feed_challenge(text: &str) -> Result<bool, String> {
    let headers: Vec<String> = text.lines().map(str::to_owned).collect();
    match challenge::Challenge::choose(&headers) {
        Some(challenge::Challenge::Bearer { realm, .. }) if realm.is_empty() => {
            Err("a service without an address".into())
        }
        found => Ok(found.is_some()),
    }
}

/// For [`crate::inputs`]: a `Link` a line. Whatever it says, the next page is an address of HTTP with a host,
/// and nothing of what is read is lost in what is sent.
pub(crate) fn feed_link(text: &str) -> Result<bool, String> {
    let here = Address::parse("https://registry.example:5000/v2/a/b/tags/list?n=1");
    let here = here.map_err(|error| error.to_string())?;
    let mut taken = false;
    for line in text.lines() {
        let Ok(Some(next)) = here.next_page(line) else { continue };
        taken = true;
        match Address::parse(&next.to_string()) {
            Ok(again) if again == next && !next.host.is_empty() => {}
            other => return Err(format!("{line:?} is {next:?}, and again {other:?}")),
        }
    }
    Ok(taken)
}

#[cfg(test)]
mod tests;

pub use beside::Beside;
pub(crate) use connect::{Names, connector};
pub use delete::Deleted;
pub use host::{Found, Host};
pub use image::{RegistrySink, RegistrySource};
pub(crate) use options::tls;
pub use options::{Options, Parallel};
pub use web::{agent, download};

use crate::error::{Error, ErrorKind, Result};
use crate::hash::verify_manifest;
use crate::transfer::Blob;
use address::Address;
use http::Request;
use oci::image::media_type::{self, ACCEPTED};
use oci::image::{Descriptor, Document, Index, SIZE_LIMIT_BYTES};
use oci::{Digest, Reference};
use session::{Access, Session};
use std::sync::Arc;

/// Most pages of a list. A thousand tags are on each.
const PAGES_LIMIT: usize = 1000;
/// All pages of a list together.
const LIST_LIMIT_BYTES: usize = 64 << 20;
/// Tags that a page is asked for.
const PAGE_SIZE: &str = "1000";

/// A repository of a registry. Clones share their connections.
#[derive(Clone)]
pub struct Registry {
    session: Arc<Session>,
    repository: String,
    /// The name for messages.
    name: String,
}

oci::document! {
    Tags(snake) {
        name: String,
        tags: Vec<String>,
    }
}

impl Registry {
    /// Reaches a registry, finds out how it speaks, and who it wants to speak to.
    pub fn connect(reference: &Reference, options: Options) -> Result<Self> {
        let session = Arc::new(Session::open(reference.domain(), options)?);
        let (repository, name) = (reference.path().to_owned(), reference.name().to_owned());
        Ok(Self { session, repository, name })
    }

    /// Another repository of the same registry.
    pub fn beside(&self, reference: &Reference) -> Result<Self> {
        let (repository, name) = (reference.path().to_owned(), reference.name().to_owned());
        let other = Self { session: self.session.clone(), repository, name };
        match other.domain() == self.domain() {
            true => Ok(other),
            false => {
                let text = format!("{}: is not of the registry {}", other.name, self.domain());
                Err(Error::new(ErrorKind::Invalid, text))
            }
        }
    }

    /// The registry's name, with its port.
    pub fn domain(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }

    fn address(&self, rest: &str) -> Address {
        self.session.address(&format!("/v2/{}/{rest}", self.repository))
    }

    fn pull(&self) -> Access {
        Access::pull(&self.repository)
    }

    fn push(&self) -> Access {
        Access::push(&self.repository)
    }

    fn not_found(&self, what: &str) -> Error {
        Error::new(ErrorKind::NotFound, format!("{}: there is no {what}", self.name))
    }

    /// The manifest of a tag or digest. With a digest, what comes is what it says.
    pub fn manifest(&self, selector: &str, expected: Option<&Digest>) -> Result<Document> {
        let address = self.address(&format!("manifests/{selector}"));
        let request = Request::get(address).header("Accept", &ACCEPTED.join(", "));
        let answer = self.session.send(&request, &self.pull())?;
        if answer.status == 404 {
            return Err(self.not_found(&format!("manifest {selector}")));
        }
        let answer = answer.expect(&[200], "get the manifest")?;
        let claimed = answer.header("content-type").unwrap_or_default().to_owned();
        let bytes = answer.read_document("get the manifest", SIZE_LIMIT_BYTES)?;
        verify_manifest(bytes, media_type::from_header(&claimed), expected)
    }

    /// What a tag stands for, without fetching it; `None` when there is no such tag. Costs no rate at the
    /// registries that limit it.
    pub fn resolve(&self, selector: &str) -> Result<Option<Descriptor>> {
        let address = self.address(&format!("manifests/{selector}"));
        let request = Request::head(address).header("Accept", &ACCEPTED.join(", "));
        let answer = self.session.send(&request, &self.pull())?;
        if answer.status == 404 {
            return Ok(None);
        }
        let answer = answer.expect(&[200], "look for the manifest")?;
        let digest = answer.header("docker-content-digest").and_then(|it| it.parse().ok());
        let size = answer.header("content-length").and_then(|it| it.parse().ok());
        let kind = answer.header("content-type").map(media_type::from_header);
        match (digest, size, kind) {
            (Some(digest), Some(size), Some(kind)) if !kind.is_empty() => {
                Ok(Some(Descriptor::new(kind, digest, size)))
            }
            // It may leave them out: then only the manifest itself knows.
            _ => self.manifest(selector, None).map(|found| Some(found.descriptor())),
        }
    }

    /// Content. When the connection is lost on the way, it goes on where it was.
    pub fn blob(&self, descriptor: &Descriptor) -> Result<Blob> {
        blob::open(self, descriptor)
    }

    /// Whether content is there.
    pub fn has_blob(&self, digest: &Digest) -> Result<bool> {
        let request = Request::head(self.address(&format!("blobs/{digest}")));
        let answer = self.session.send(&request, &self.pull())?;
        match answer.status {
            404 => Ok(false),
            _ => answer.expect(&[200], "look for the blob").map(|_| true),
        }
    }

    /// Puts a manifest below a tag or its digest.
    pub fn put_manifest(&self, selector: &str, manifest: &Document) -> Result<()> {
        let address = self.address(&format!("manifests/{selector}"));
        let request = Request::put(address)
            .header("Content-Type", manifest.media_type())
            .body(manifest.bytes());
        let answer = self.session.send(&request, &self.push())?;
        let answer = answer.expect(&[201, 200, 202], "put the manifest")?;
        let understood = answer.header("oci-subject").is_some();
        let subject = manifest.manifest().and_then(|it| it.subject.clone());
        let subject = subject.or(manifest.index().and_then(|it| it.subject.clone()));
        match subject {
            Some(subject) if !understood => self.note_referrer(&subject, manifest),
            _ => Ok(()),
        }
    }

    /// All tags, in the registry's order.
    pub fn tags(&self) -> Result<Vec<String>> {
        let (mut tags, mut bytes) = (Vec::new(), 0);
        let mut next = Some(self.address(&format!("tags/list?n={PAGE_SIZE}")));
        for _ in 0..PAGES_LIMIT {
            let Some(address) = next else { return Ok(tags) };
            let answer = self.session.send(&Request::get(address), &self.pull())?;
            if answer.status == 404 {
                return Err(self.not_found("such repository"));
            }
            let answer = answer.expect(&[200], "list the tags")?;
            next = self.session.next_page(&answer)?;
            let text = answer.read_document("list the tags", SIZE_LIMIT_BYTES)?;
            bytes += text.len();
            if bytes > LIST_LIMIT_BYTES {
                return Err(self.malformed("the list of tags", "more than 64 MiB"));
            }
            let page: Tags = oci::json::read(&text)
                .map_err(|error| self.malformed("the list of tags", &error))?;
            tags.extend(page.tags);
        }
        Err(self.malformed("the list of tags", "more than 1000 pages"))
    }

    fn malformed(&self, what: &str, error: &str) -> Error {
        Error::new(ErrorKind::Invalid, format!("{}: {what}: {error}", self.name))
    }

    /// What refers to a manifest: signatures, descriptions, other artifacts. Of one kind only, if one is
    /// given.
    pub fn referrers(&self, subject: &Digest, artifact_type: &str) -> Result<Vec<Descriptor>> {
        let mut found = match self.referrers_api(subject)? {
            Some(found) => found,
            None => self.referrers_tag(subject)?.map(|index| index.manifests).unwrap_or_default(),
        };
        if !artifact_type.is_empty() {
            found.retain(|it| it.artifact_type == artifact_type);
        }
        Ok(found)
    }

    /// `None` when the registry has no such interface.
    fn referrers_api(&self, subject: &Digest) -> Result<Option<Vec<Descriptor>>> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        let mut next = Some(self.address(&format!("referrers/{subject}")));
        for _ in 0..PAGES_LIMIT {
            let Some(address) = next else { return Ok(Some(found)) };
            let request = Request::get(address).header("Accept", media_type::OCI_INDEX);
            let answer = self.session.send(&request, &self.pull())?;
            if answer.status == 404 || answer.status == 405 {
                return Ok(None);
            }
            let answer = answer.expect(&[200], "list the referrers")?;
            let claimed = answer.header("content-type").unwrap_or_default().to_owned();
            // A page of some registry's web interface is no list.
            if media_type::from_header(&claimed) != media_type::OCI_INDEX {
                return Ok(None);
            }
            next = self.session.next_page(&answer)?;
            let text = answer.read_all(SIZE_LIMIT_BYTES)?;
            bytes += text.len();
            if bytes > LIST_LIMIT_BYTES {
                return Err(self.malformed("the list of referrers", "more than 64 MiB"));
            }
            let page = verify_manifest(text, media_type::OCI_INDEX, None)?;
            found.extend(page.index().map(|it| it.manifests.clone()).unwrap_or_default());
        }
        Err(self.malformed("the list of referrers", "more than 1000 pages"))
    }

    /// The list that clients keep below a tag where registries keep none. Only an index is one: anybody may
    /// have pushed something else below that name.
    fn referrers_tag(&self, subject: &Digest) -> Result<Option<Index>> {
        match self.manifest(&referrers_tag_name(subject), None) {
            Ok(found) => Ok(found.index().cloned()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Adds a manifest to the list of its subject's referrers.
    fn note_referrer(&self, subject: &Descriptor, manifest: &Document) -> Result<()> {
        let digest = subject.verifiable()?;
        let mut index = self.referrers_tag(digest)?.unwrap_or_default();
        let mut entry = manifest.descriptor();
        if let Some(image) = manifest.manifest() {
            entry.artifact_type = image.artifact_kind().unwrap_or_default().to_owned();
            entry.annotations = image.annotations.clone();
        }
        if let Some(other) = manifest.index() {
            entry.artifact_type = other.artifact_type.clone();
            entry.annotations = other.annotations.clone();
        }
        if index.manifests.iter().any(|it| it.digest == entry.digest) {
            return Ok(());
        }
        index.schema_version = 2;
        index.media_type = media_type::OCI_INDEX.into();
        index.manifests.push(entry);
        let text = oci::json::write(&index).into_bytes();
        let list = verify_manifest(text, media_type::OCI_INDEX, None)?;
        self.put_manifest(&referrers_tag_name(digest), &list)
    }
}

/// `sha256-HEX`, cut to what a tag may have.
fn referrers_tag_name(subject: &Digest) -> String {
    let mut name = format!("{}-{}", subject.algorithm().name(), subject.hex());
    name.truncate(oci::reference::TAG_LIMIT_BYTES);
    name
}
