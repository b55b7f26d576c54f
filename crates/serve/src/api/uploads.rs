//! Uploads: one request, two, or many.

use super::{Asked, DOCKER_CONTENT_DIGEST, header, plain};
use crate::auth::Action;
use crate::limits::CHUNK_MIN_BYTES;
use crate::names::{Repository, UploadId, parse_digest};
use crate::refusal::{Code, Refusal};
use crate::registry::Registry;
use crate::storage::Storage;
use crate::uploads::{Session, Writer};
use crate::web::body::Body;
use crate::web::query::escape;
use crate::web::range;
use crate::web::stream::Arrival;
use hyper::header::{CONTENT_RANGE, HeaderName, HeaderValue, LOCATION, RANGE};
use hyper::{Response, StatusCode};
use oci::{Algorithm, Digest};

const OCI_CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");
const DOCKER_UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// `POST`: begins an upload, mounts a blob, or takes all of it at once.
pub(super) async fn begin(
    registry: &Registry,
    name: Repository,
    asked: &mut Asked,
) -> Result<Response<Body>, Refusal> {
    if let Some(digest) = asked.query.get("mount") {
        let digest = parse_digest(digest)?;
        if mount(registry, &name, digest, asked).await? {
            return created(&name, &digest);
        }
        return accepted(registry, &name, digest.algorithm()).await;
    }
    let digest = asked.query.get("digest").map(parse_digest).transpose()?;
    let algorithm = match (digest, asked.query.get("digest-algorithm")) {
        (Some(digest), _) => digest.algorithm(),
        (None, Some(text)) => Algorithm::from_name(text)
            .ok_or_else(|| Refusal::bad(Code::DigestInvalid, "unsupported digest algorithm"))?,
        (None, None) => Algorithm::Sha256,
    };
    let Some(digest) = digest else { return accepted(registry, &name, algorithm).await };
    let session = registry.uploads.begin(&name, algorithm).await?;
    let writer = registry.uploads.write_to(&session).await?;
    let writer = registry.uploads.append(writer, asked.arrival()?, algorithm).await?;
    registry.uploads.finish(writer, digest).await?;
    created(&name, &digest)
}

/// Gives the repository a blob of another one that the client may read: of `from`, or of any.
async fn mount(
    registry: &Registry,
    name: &Repository,
    digest: Digest,
    asked: &Asked,
) -> Result<bool, Refusal> {
    let name = name.clone();
    let (gate, who) = (registry.gate.clone(), asked.who.clone());
    let may_read = move |from: &Repository| gate.permits(&who, from, Action::Pull);
    let Some(text) = asked.query.get("from") else {
        let mount = move |storage: &Storage| {
            if storage.has_blob(&name, &digest)?.is_some() {
                return Ok(true);
            }
            match storage.find_blob(&digest, &may_read)? {
                Some(from) => storage.mount_blob(&name, &digest, &from),
                None => Ok(false),
            }
        };
        return registry.list(mount).await;
    };
    // Whether it is not there or not to be read is the same.
    let Some(from) = Repository::parse(text).filter(&may_read) else { return Ok(false) };
    registry.ask(move |storage| storage.mount_blob(&name, &digest, &from)).await
}

/// `GET`: how much has arrived.
pub(super) async fn status(
    registry: &Registry,
    name: Repository,
    id: UploadId,
) -> Result<Response<Body>, Refusal> {
    let session = registry.uploads.find(&name, id).await?;
    registry.uploads.look(&session).await?;
    progress(StatusCode::NO_CONTENT, &name, &session)
}

/// `PATCH`: a chunk.
pub(super) async fn append(
    registry: &Registry,
    name: Repository,
    id: UploadId,
    asked: &mut Asked,
) -> Result<Response<Body>, Refusal> {
    let session = registry.uploads.find(&name, id).await?;
    let writer = registry.uploads.write_to(&session).await?;
    let arrival = ordered(&name, &session, &writer, asked)?;
    let algorithm = writer.algorithm();
    let writer = registry.uploads.append(writer, arrival, algorithm).await?;
    registry.uploads.pass(writer).await?;
    progress(StatusCode::ACCEPTED, &name, &session)
}

/// `PUT`: perhaps the last chunk, and the end.
pub(super) async fn finish(
    registry: &Registry,
    name: Repository,
    id: UploadId,
    asked: &mut Asked,
) -> Result<Response<Body>, Refusal> {
    let digest = asked.query.get("digest");
    let digest = digest.ok_or_else(|| Refusal::bad(Code::DigestInvalid, "no digest"))?;
    let digest = parse_digest(digest)?;
    let session = registry.uploads.find(&name, id).await?;
    let writer = registry.uploads.write_to(&session).await?;
    let arrival = ordered(&name, &session, &writer, asked)?;
    let writer = registry.uploads.append(writer, arrival, digest.algorithm()).await?;
    registry.uploads.finish(writer, digest).await?;
    created(&name, &digest)
}

/// `DELETE`: gives it up.
pub(super) async fn cancel(
    registry: &Registry,
    name: Repository,
    id: UploadId,
) -> Result<Response<Body>, Refusal> {
    let session = registry.uploads.find(&name, id).await?;
    let writer = registry.uploads.write_to(&session).await?;
    registry.uploads.cancel(writer).await?;
    Ok(plain(StatusCode::NO_CONTENT, Body::Empty))
}

/// Sees that a chunk begins where the last one ended, and has the length that is said.
fn ordered(
    name: &Repository,
    session: &Session,
    writer: &Writer,
    asked: &mut Asked,
) -> Result<Arrival, Refusal> {
    let Some(text) = asked.header(CONTENT_RANGE) else { return asked.arrival() };
    let Some((begin, length)) = range::chunk(text) else {
        return Err(Refusal::bad(Code::BlobUploadInvalid, "Content-Range has another form"));
    };
    if begin != writer.size() {
        let status = StatusCode::RANGE_NOT_SATISFIABLE;
        let refusal = Refusal::new(status, Code::BlobUploadInvalid, "the chunk is out of order");
        return Err(refusal
            .with_header(LOCATION, header(&location(name, session))?)
            .with_header(RANGE, header(&arrived(session))?));
    }
    match asked.announced() {
        Some(announced) if announced != length => {
            Err(Refusal::bad(Code::SizeInvalid, "the chunk has another length than its range"))
        }
        _ => asked.arrival(),
    }
}

fn location(name: &Repository, session: &Session) -> String {
    format!("/v2/{name}/blobs/uploads/{}", session.id())
}

/// `0-0` is nothing, too: there is no other way to say it.
fn arrived(session: &Session) -> String {
    format!("0-{}", session.size().saturating_sub(1))
}

/// Begins an upload of several requests.
async fn accepted(
    registry: &Registry,
    name: &Repository,
    algorithm: Algorithm,
) -> Result<Response<Body>, Refusal> {
    let session = registry.uploads.begin(name, algorithm).await?;
    registry.uploads.announce(registry.uploads.write_to(&session).await?).await?;
    let mut response = progress(StatusCode::ACCEPTED, name, &session)?;
    response.headers_mut().insert(OCI_CHUNK_MIN_LENGTH, HeaderValue::from(CHUNK_MIN_BYTES));
    Ok(response)
}

fn progress(
    status: StatusCode,
    name: &Repository,
    session: &Session,
) -> Result<Response<Body>, Refusal> {
    let mut response = plain(status, Body::Empty);
    let headers = response.headers_mut();
    headers.insert(LOCATION, header(&location(name, session))?);
    headers.insert(RANGE, header(&arrived(session))?);
    headers.insert(DOCKER_UPLOAD_UUID, header(&session.id().to_string())?);
    Ok(response)
}

fn created(name: &Repository, digest: &Digest) -> Result<Response<Body>, Refusal> {
    let mut response = plain(StatusCode::CREATED, Body::Empty);
    let headers = response.headers_mut();
    headers.insert(LOCATION, header(&format!("/v2/{name}/blobs/{}", escape(&digest.to_string())))?);
    headers.insert(DOCKER_CONTENT_DIGEST, header(&digest.to_string())?);
    Ok(response)
}
