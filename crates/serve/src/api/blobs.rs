//! Blobs: reading and deleting.

use super::{Asked, DOCKER_CONTENT_DIGEST, conditional, copied, etag, header, plain, precondition};
use crate::cache::{Blob, Growth};
use crate::names::Repository;
use crate::refusal::{Code, Refusal};
use crate::registry::Registry;
use crate::storage::{Content, Error, Object};
use crate::web::body::{Body, Part};
use crate::web::range::{self, Wanted};
use hyper::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderValue,
    IF_RANGE, LOCATION, RANGE,
};
use hyper::{Method, Response, StatusCode};
use oci::Digest;
use sys::Fd;

/// Content never changes below its digest. It is for the one who may read it.
pub(super) const FOR_EVER: HeaderValue =
    HeaderValue::from_static("private, max-age=31536000, immutable");
/// Of a digest, for what stands between parts.
const BOUNDARY_DIGITS: usize = 32;
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// `GET` and `HEAD`.
pub(super) async fn get(
    registry: &Registry,
    name: Repository,
    digest: Digest,
    asked: &Asked,
) -> Result<Response<Body>, Refusal> {
    let is_head = asked.method == Method::HEAD;
    if let Some((cache, copied)) = copied(registry, &name, asked)? {
        match cache.blob(&copied, digest, is_head).await? {
            Blob::Here => {}
            Blob::There(size) => return answer(registry, asked, &digest, size, Source::Nothing),
            Blob::Coming(flight) => {
                if is_head {
                    return answer(registry, asked, &digest, flight.size, Source::Nothing);
                }
                let coming = flight.clone();
                let file = registry.ask(move |storage| coming.open(storage)).await?;
                // Nothing is sent before the digest was compared: of what is empty, not even that.
                if let Some(file) = file.filter(|_| flight.size > 0) {
                    let source = Source::Growing(file, flight.growth());
                    return answer(registry, asked, &digest, flight.size, source);
                }
                flight.end().await;
            }
        }
    }
    let opened = registry.ask(move |storage| match is_head {
        true => Ok(storage.has_blob(&name, &digest)?.map(|size| (None, size))),
        false => Ok(storage.open_blob(&name, &digest)?.map(|(file, size)| (Some(file), size))),
    });
    let (file, size) = opened.await?.ok_or_else(unknown)?;
    let source = match file {
        None => Source::Nothing,
        Some(Content::File(file)) => Source::Whole(file),
        Some(Content::Object(object)) => {
            if let Some(address) = object.address()? {
                let mut response = plain(StatusCode::TEMPORARY_REDIRECT, Body::Empty);
                response.headers_mut().insert(LOCATION, header(&address)?);
                return Ok(response);
            }
            Source::Object(object)
        }
    };
    answer(registry, asked, &digest, size, source)
}

/// Where content comes from.
enum Source {
    /// Nobody wants it.
    Nothing,
    Whole(Fd),
    Object(Object),
    /// It is still on its way.
    Growing(Fd, Growth),
}

fn answer(
    registry: &Registry,
    asked: &Asked,
    digest: &Digest,
    size: u64,
    source: Source,
) -> Result<Response<Body>, Refusal> {
    if let Some(status) = precondition(asked, digest) {
        return conditional(status, digest);
    }
    // A range of something else is no use to the client.
    let same = asked.header(IF_RANGE).is_none_or(|tag| tag == etag(digest));
    let wanted = range::wanted(asked.header(RANGE).filter(|_| same), size);
    let (status, begin, length) = match wanted {
        Wanted::Parts(ranges) => match source {
            Source::Whole(file) => {
                return parts(registry, digest, size, Content::File(file), &ranges);
            }
            Source::Object(object) => {
                return parts(registry, digest, size, Content::Object(object), &ranges);
            }
            Source::Nothing | Source::Growing(..) => (StatusCode::OK, 0, size),
        },
        Wanted::Whole => (StatusCode::OK, 0, size),
        Wanted::Part { begin, length } => (StatusCode::PARTIAL_CONTENT, begin, length),
        Wanted::Nothing => return Err(not_satisfiable(size)),
    };
    let body = match source {
        Source::Nothing => Body::Empty,
        Source::Whole(file) => part(registry, file, begin, length, None)?,
        Source::Object(mut object) => {
            object.seek(begin);
            match length {
                0 => Body::Empty,
                length => Body::object(object, length, &registry.object_buffers),
            }
        }
        Source::Growing(file, growth) => {
            part(registry, file, begin, length, Some(growth.from(begin)))?
        }
    };
    let mut response = described(status, body, length, digest)?;
    let headers = response.headers_mut();
    if status == StatusCode::PARTIAL_CONTENT {
        let text = format!("bytes {begin}-{}/{size}", begin + length - 1);
        headers.insert(CONTENT_RANGE, header(&text)?);
    }
    Ok(response)
}

/// An answer with content of a blob.
fn described(
    status: StatusCode,
    body: Body,
    length: u64,
    digest: &Digest,
) -> Result<Response<Body>, Refusal> {
    let mut response = plain(status, body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(CONTENT_TYPE, BYTES);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CACHE_CONTROL, FOR_EVER);
    headers.insert(ETAG, header(&etag(digest))?);
    headers.insert(DOCKER_CONTENT_DIGEST, header(&digest.to_string())?);
    Ok(response)
}

/// Several ranges, as `multipart/byteranges`: what clients of zstd:chunked layers ask for.
fn parts(
    registry: &Registry,
    digest: &Digest,
    size: u64,
    content: Content,
    ranges: &[(u64, u64)],
) -> Result<Response<Body>, Refusal> {
    // Nothing has its own digest in it.
    let boundary = &digest.hex()[..BOUNDARY_DIGITS];
    let head = |(begin, length): &(u64, u64)| Part {
        head: format!(
            "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\n\
             Content-Range: bytes {begin}-{}/{size}\r\n\r\n",
            begin + length - 1
        )
        .into(),
        begin: *begin,
        length: *length,
    };
    let end = Part { head: format!("\r\n--{boundary}--\r\n").into(), begin: 0, length: 0 };
    let buffers = match content {
        Content::File(_) => &registry.buffers,
        Content::Object(_) => &registry.object_buffers,
    };
    let body = Body::parts(content, ranges.iter().map(head).chain([end]).collect(), buffers);
    let length = body.length();
    let mut response = described(StatusCode::PARTIAL_CONTENT, body, length, digest)?;
    let kind = header(&format!("multipart/byteranges; boundary={boundary}"))?;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

fn part(
    registry: &Registry,
    file: Fd,
    begin: u64,
    length: u64,
    growth: Option<Growth>,
) -> Result<Body, Refusal> {
    if begin > 0 {
        sys::fs::seek(&file, begin).map_err(|errno| Error::os("seeking in a blob", errno))?;
    }
    Ok(match length {
        0 => Body::Empty,
        length => Body::file(file, length, growth, &registry.buffers),
    })
}

/// `DELETE`.
pub(super) async fn delete(
    registry: &Registry,
    name: Repository,
    digest: Digest,
) -> Result<Response<Body>, Refusal> {
    match registry.ask(move |storage| storage.delete_blob(&name, &digest)).await? {
        true => Ok(plain(StatusCode::ACCEPTED, Body::Empty)),
        false => Err(unknown()),
    }
}

fn unknown() -> Refusal {
    Refusal::missing(Code::BlobUnknown, "the repository has no such blob")
}

fn not_satisfiable(size: u64) -> Refusal {
    let text = "the blob has no such range";
    let refusal = Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, Code::SizeInvalid, text);
    match header(&format!("bytes */{size}")) {
        Ok(value) => refusal.with_header(CONTENT_RANGE, value),
        Err(refusal) => refusal,
    }
}
