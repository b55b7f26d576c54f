//! Manifests: reading, putting, deleting.

use super::blobs::FOR_EVER;
use super::{Asked, DOCKER_CONTENT_DIGEST, conditional, copied, etag, header, plain, precondition};
use crate::cache::Found;
use crate::limits::{MANIFEST_BYTES, MANIFEST_WAIT, REFERENCES, TAGS_PER_PUT};
use crate::names::{Repository, Selector, Tag, parse_digest};
use crate::observe::events::{Event, What};
use crate::references;
use crate::refusal::{Code, Refusal};
use crate::registry::Registry;
use crate::storage::{Condition, Put, PutDone};
use crate::web::body::Body;
use crate::web::query::escape;
use hyper::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, IF_MATCH, IF_NONE_MATCH,
    LOCATION,
};
use hyper::{Method, Response, StatusCode};
use oci::image::{Content, Document, media_type};
use oci::{Algorithm, Digest};
use transport::hash::digest_of;

const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");

/// `GET` and `HEAD`.
pub(super) async fn get(
    registry: &Registry,
    name: Repository,
    selector: Selector,
    asked: &Asked,
) -> Result<Response<Body>, Refusal> {
    let is_head = asked.method == Method::HEAD;
    let by_digest = matches!(selector, Selector::Digest(_));
    if let Some((cache, copied)) = copied(registry, &name, asked)?
        && let Found::There(there) = cache.manifest(&copied, &selector, is_head).await?
    {
        let digest = *there.verifiable().map_err(|error| Refusal::internal(error.text()))?;
        return found(asked, &digest, &there.media_type, there.size, Vec::new(), by_digest);
    }
    let stored = registry.ask(move |storage| {
        if !is_head {
            let found = storage.manifest(&name, &selector)?;
            return Ok(found.map(|it| (it.digest, it.media_type, it.bytes.len() as u64, it.bytes)));
        }
        let found = storage.manifest_head(&name, &selector)?;
        Ok(found.map(|(digest, record)| (digest, record.media_type, record.size, Vec::new())))
    });
    let (digest, media_type, size, bytes) = stored.await?.ok_or_else(unknown)?;
    found(asked, &digest, &media_type, size, bytes, by_digest)
}

fn found(
    asked: &Asked,
    digest: &Digest,
    media_type: &str,
    size: u64,
    bytes: Vec<u8>,
    by_digest: bool,
) -> Result<Response<Body>, Refusal> {
    if let Some(status) = precondition(asked, digest) {
        return conditional(status, digest);
    }
    let mut response = plain(StatusCode::OK, Body::text(bytes));
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, size.into());
    headers.insert(CONTENT_TYPE, header(media_type)?);
    headers.insert(ETAG, header(&etag(digest))?);
    headers.insert(DOCKER_CONTENT_DIGEST, header(&digest.to_string())?);
    if by_digest {
        headers.insert(CACHE_CONTROL, FOR_EVER);
    }
    Ok(response)
}

/// `PUT`.
pub(super) async fn put(
    registry: &Registry,
    name: Repository,
    selector: Selector,
    asked: &mut Asked,
) -> Result<Response<Body>, Refusal> {
    let condition = condition(asked)?;
    let tags = tags(&selector, asked)?;
    let claimed = asked.header(CONTENT_TYPE).map(media_type::from_header).unwrap_or_default();
    let claimed = claimed.to_owned();
    let bytes = collect(registry, asked).await?;
    let (storage, repository) = (registry.storage.clone(), name.clone());
    let task = tokio::task::spawn_blocking(move || {
        let document = read(bytes, &claimed, &selector)?;
        let put = understand(&document, tags, condition)?;
        let done = storage.put_manifest(&repository, &put)?;
        let subject = put.referrer.map(|(subject, _)| subject);
        match done {
            PutDone::Stored => Ok((put.digest, put.media_type.to_owned(), subject, put.tags)),
            PutDone::Lacks(digest) => {
                let text = format!("the repository has no content {digest}");
                Err(Refusal::bad(Code::ManifestBlobUnknown, text))
            }
            PutDone::ConditionFailed => {
                let status = StatusCode::PRECONDITION_FAILED;
                Err(Refusal::new(status, Code::Denied, "the tag stands for another manifest"))
            }
        }
    });
    let stored = task.await.map_err(|error| Refusal::internal(error.to_string()))?;
    let (digest, media_type, subject, tags) = stored?;
    registry.events.emit(&Event {
        what: What::ManifestPushed,
        repository: name.to_string(),
        digest: digest.to_string(),
        media_type,
        tags: tags.iter().map(Tag::to_string).collect(),
        user: asked.user(),
    });
    let mut response = plain(StatusCode::CREATED, Body::Empty);
    let headers = response.headers_mut();
    let place = format!("/v2/{name}/manifests/{}", escape(&digest.to_string()));
    headers.insert(LOCATION, header(&place)?);
    headers.insert(DOCKER_CONTENT_DIGEST, header(&digest.to_string())?);
    if let Some(subject) = subject {
        headers.insert(OCI_SUBJECT, header(&subject.to_string())?);
    }
    for tag in tags {
        headers.append(OCI_TAG, header(tag.as_str())?);
    }
    Ok(response)
}

/// `DELETE` of a tag, or of a manifest with its tags.
pub(super) async fn delete(
    registry: &Registry,
    name: Repository,
    selector: Selector,
    asked: &Asked,
) -> Result<Response<Body>, Refusal> {
    let mut event = Event {
        what: What::ManifestDeleted,
        repository: name.to_string(),
        digest: String::new(),
        media_type: String::new(),
        tags: Vec::new(),
        user: asked.user(),
    };
    match &selector {
        Selector::Digest(digest) => event.digest = digest.to_string(),
        Selector::Tag(tag) => (event.what, event.tags) = (What::TagDeleted, vec![tag.to_string()]),
    }
    let deleted = registry.list(move |storage| match &selector {
        Selector::Tag(tag) => storage.delete_tag(&name, tag),
        Selector::Digest(digest) => storage.delete_manifest(&name, digest),
    });
    match deleted.await? {
        true => {
            registry.events.emit(&event);
            Ok(plain(StatusCode::ACCEPTED, Body::Empty))
        }
        false => Err(unknown()),
    }
}

/// The tags that a manifest gets.
fn tags(selector: &Selector, asked: &Asked) -> Result<Vec<Tag>, Refusal> {
    if let Selector::Tag(tag) = selector {
        return Ok(vec![tag.clone()]);
    }
    let invalid = || Refusal::bad(Code::ManifestInvalid, "not a tag");
    let mut tags: Vec<Tag> = Vec::new();
    for text in asked.query.all("tag") {
        let tag = Tag::parse(text).ok_or_else(invalid)?;
        if !tags.contains(&tag) {
            tags.push(tag);
        }
        if tags.len() > TAGS_PER_PUT {
            let text = format!("more than {TAGS_PER_PUT} tags at once");
            return Err(Refusal::new(StatusCode::URI_TOO_LONG, Code::ManifestInvalid, text));
        }
    }
    Ok(tags)
}

fn condition(asked: &Asked) -> Result<Condition, Refusal> {
    let unsupported = || Refusal::bad(Code::Unsupported, "this condition is not understood");
    match (asked.header(IF_MATCH), asked.header(IF_NONE_MATCH)) {
        (None, None) => Ok(Condition::None),
        (None, Some("*")) => Ok(Condition::Absent),
        (Some(tag), None) => {
            let digest = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            parse_digest(digest.ok_or_else(unsupported)?).map(Condition::Is)
        }
        _ => Err(unsupported()),
    }
}

/// The bytes of a manifest. Memory for it is taken before.
async fn collect(registry: &Registry, asked: &mut Asked) -> Result<Vec<u8>, Refusal> {
    let announced = asked.announced().map(|size| usize::try_from(size).unwrap_or(usize::MAX));
    let room = announced.unwrap_or(MANIFEST_BYTES);
    if room > MANIFEST_BYTES {
        return Err(too_large());
    }
    let mut arrival = asked.arrival()?;
    let permits = u32::try_from(room).unwrap_or(u32::MAX);
    let arriving = async {
        let permit = registry.arriving.acquire_many(permits).await;
        let _permit = permit.map_err(|_| Refusal::internal("the registry ends"))?;
        let mut bytes = Vec::with_capacity(announced.unwrap_or(0));
        while let Some(piece) = arrival.next().await.transpose()? {
            if bytes.len() + piece.len() > MANIFEST_BYTES {
                return Err(too_large());
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    };
    let late = |_| {
        let text = "the manifest arrives too slowly";
        Refusal::new(StatusCode::REQUEST_TIMEOUT, Code::ManifestInvalid, text)
    };
    tokio::time::timeout(MANIFEST_WAIT, arriving).await.map_err(late)?
}

/// Verifies and reads a manifest.
fn read(bytes: Vec<u8>, claimed: &str, selector: &Selector) -> Result<Document, Refusal> {
    let digest = match selector {
        Selector::Tag(_) => digest_of(Algorithm::Sha256, &bytes),
        Selector::Digest(expected) => {
            let found = digest_of(expected.algorithm(), &bytes);
            if found != *expected {
                let text = format!("the manifest has the digest {found}");
                return Err(Refusal::bad(Code::DigestInvalid, text));
            }
            found
        }
    };
    let invalid = |error: oci::Error| Refusal::bad(Code::ManifestInvalid, error.text());
    Document::read(bytes, claimed, digest).map_err(invalid)
}

/// What a manifest needs and refers to.
pub(crate) fn understand(
    document: &Document,
    tags: Vec<Tag>,
    condition: Condition,
) -> Result<Put<'_>, Refusal> {
    // It goes into a header of every answer.
    header(document.media_type()).map_err(|_| invalid("mediaType: not a media type"))?;
    if matches!(document.content(), Content::Schema1(_)) {
        return Err(invalid("docker's schema 1 is not kept here"));
    }
    let found = references::of(document).map_err(|error| invalid(error.text()))?;
    if found.blobs.len() + found.children.len() > REFERENCES {
        return Err(invalid("it names too much"));
    }
    Ok(Put {
        digest: *document.digest(),
        media_type: document.media_type(),
        bytes: document.bytes(),
        blobs: found.blobs,
        children: found.children,
        partial: false,
        referrer: found.referrer,
        tags,
        condition,
    })
}

fn invalid(text: &str) -> Refusal {
    Refusal::bad(Code::ManifestInvalid, text)
}

fn unknown() -> Refusal {
    Refusal::missing(Code::ManifestUnknown, "the repository has no such manifest")
}

fn too_large() -> Refusal {
    let text = "the manifest is larger than 4 MiB";
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, Code::SizeInvalid, text)
}
