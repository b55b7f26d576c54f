//! A store of objects that speaks S3: a bucket, or the part of one below a prefix.
//!
//! Requests go to one host only, and nowhere that it leads to; keys are made of [`crate::storage::Key`]s, in which
//! nothing leads out of the prefix. What is sent is hashed, and the hash is part of the signature. Large files go in
//! parts, which are read from disk as they are sent.

mod answer;
mod sign;

pub use sign::Credentials;

use crate::limits::{
    OBJECT_ATTEMPTS, OBJECT_LIST_BYTES, OBJECT_PAUSE, OBJECT_WAIT, PART_BYTES, PARTS, PRESIGNED_S,
    READ_BYTES,
};
use crate::observe::time::compact;
use answer::{element, elements, http_s, iso_s, unescape};
use sign::{Signed, Signing, escape, hash};
use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use sys::Fd;
use transport::hash::Hasher;

/// Where the key comes from; it is asked for again with each request, as some are good for hours only.
pub type Keys = Arc<dyn Fn() -> Result<Credentials, String> + Send + Sync>;

/// A bucket.
#[derive(Clone)]
pub struct Bucket {
    /// `http://HOST[:PORT]` or `https://...`, without a path.
    pub endpoint: String,
    /// Its region, which is part of every signature.
    pub region: String,
    /// Its name.
    pub name: String,
    /// What all keys begin with; empty, or names between slashes.
    pub prefix: String,
    /// The bucket's name is the begin of the path, not of the host's name.
    pub path_style: bool,
    /// Clients are sent to it for blobs, with an address that is good for some minutes.
    pub redirect: bool,
    /// Who we are.
    pub keys: Keys,
    /// Files with authorities, in PEM.
    pub authorities: Vec<PathBuf>,
}

/// Why something was not done.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

type Result<T, E = Failure> = std::result::Result<T, E>;

/// What is known of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) size: u64,
    pub(crate) modified_s: u64,
    pub(crate) version: String,
}

/// A name in a list, and what is known of it if it is an object.
pub(crate) type Listed = (String, Option<(u64, u64)>);

/// What has to be so for an object to be written.
#[derive(Clone, Debug)]
pub(crate) enum Only {
    Always,
    /// There is none of that key.
    Absent,
    /// It is of this version.
    Is(String),
}

enum Content<'a> {
    None,
    Bytes(&'a [u8]),
    /// A part of a file, with its hash.
    Part(&'a Fd, u64, u64, String),
}

/// A client of a bucket.
pub(crate) struct Objects {
    agent: ureq::Agent,
    bucket: Bucket,
    scheme: &'static str,
    host: String,
    /// What is before keys in paths.
    base: String,
}

impl fmt::Debug for Objects {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.host, self.bucket.name)
    }
}

struct Answer {
    status: u16,
    headers: ureq::http::HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Objects {
    pub(crate) fn new(bucket: &Bucket) -> std::result::Result<Self, String> {
        let bucket = bucket.clone();
        let endpoint = &bucket.endpoint;
        let refuse = |what: &str| Err(format!("`{}` {what}", endpoint.escape_debug()));
        let (scheme, host) = match endpoint.split_once("://") {
            Some(("https", host)) => ("https", host),
            Some(("http", host)) => ("http", host),
            _ => return refuse("is not an http(s) address"),
        };
        let host = host.trim_end_matches('/');
        if !oci::reference::is_domain(host) {
            return refuse("has no host, or more than that");
        }
        let is_name = |text: &str| {
            (3..=63).contains(&text.len())
                && text.bytes().all(|it| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'))
                && text.as_bytes()[0].is_ascii_alphanumeric()
                && !text.contains("..")
        };
        if !is_name(&bucket.name) {
            return Err(format!("`{}` is not the name of a bucket", bucket.name.escape_debug()));
        }
        let fine = |part: &str| {
            let known = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_' | b'.');
            !part.is_empty() && part != "." && part != ".." && part.bytes().all(known)
        };
        if !bucket.prefix.is_empty() && !bucket.prefix.split('/').all(fine) {
            return Err(format!("`{}` cannot be before keys", bucket.prefix.escape_debug()));
        }
        let (host, mut base) = match bucket.path_style {
            true => (host.to_owned(), format!("/{}/", bucket.name)),
            false => (format!("{}.{host}", bucket.name), "/".into()),
        };
        if !bucket.prefix.is_empty() {
            base = format!("{base}{}/", bucket.prefix);
        }
        Ok(Self { agent: agent(&bucket), bucket, scheme, host, base })
    }

    /// Whether clients are sent to the bucket.
    pub(crate) fn redirects(&self) -> bool {
        self.bucket.redirect
    }

    fn path(&self, key: &str) -> String {
        let parts: Vec<String> = key.split('/').map(escape).collect();
        format!("{}{}", self.base, parts.join("/"))
    }

    /// An address at which anybody gets an object, for some minutes.
    pub(crate) fn presigned(&self, key: &str) -> Result<String> {
        let (credentials, path) = (self.credentials()?, self.path(key));
        let time = SystemTime::now();
        let signing = Signing { credentials: &credentials, region: &self.bucket.region, time };
        let query = signing.presign(&self.host, &path, PRESIGNED_S);
        Ok(format!("{}://{}{path}?{query}", self.scheme, self.host))
    }

    fn credentials(&self) -> Result<Credentials> {
        (self.bucket.keys)().map_err(Failure)
    }

    /// A part of an object, or all of it, at most `limit` bytes.
    pub(crate) fn get(
        &self,
        key: &str,
        range: Option<(u64, u64)>,
        limit: usize,
    ) -> Result<Option<(Vec<u8>, String)>> {
        let range = range.map(|(begin, length)| {
            ("range", format!("bytes={begin}-{}", begin + length.saturating_sub(1)))
        });
        let headers: Vec<_> = range.into_iter().collect();
        let answer = self.ask("GET", &self.path(key), &[], &headers, &Content::None, limit)?;
        match answer.status {
            404 => Ok(None),
            200 if !headers.is_empty() => {
                Err(self.failure("GET", key, "does not give parts of an object"))
            }
            200 | 206 => {
                let version = answer.header("etag").unwrap_or_default().to_owned();
                Ok(Some((answer.body, version)))
            }
            _ => Err(self.refused("GET", key, &answer)),
        }
    }

    /// What is known of an object.
    pub(crate) fn head(&self, key: &str) -> Result<Option<Meta>> {
        let answer = self.ask("HEAD", &self.path(key), &[], &[], &Content::None, 0)?;
        match answer.status {
            404 => return Ok(None),
            200 => {}
            _ => return Err(self.refused("HEAD", key, &answer)),
        }
        let size = answer.header("content-length").and_then(|it| it.parse().ok());
        let modified_s = answer.header("last-modified").and_then(http_s);
        match (size, modified_s) {
            (Some(size), Some(modified_s)) => {
                let version = answer.header("etag").unwrap_or_default().to_owned();
                Ok(Some(Meta { size, modified_s, version }))
            }
            _ => Err(self.failure("HEAD", key, "does not say its size and time")),
        }
    }

    /// Writes a small object; says whether it was as it had to be.
    pub(crate) fn put(&self, key: &str, bytes: &[u8], only: &Only) -> Result<bool> {
        let headers: Vec<(&str, String)> = match only {
            Only::Always => Vec::new(),
            Only::Absent => vec![("if-none-match", "*".into())],
            Only::Is(version) => vec![("if-match", version.clone())],
        };
        let content = Content::Bytes(bytes);
        let answer = self.ask("PUT", &self.path(key), &[], &headers, &content, READ_BYTES)?;
        match (answer.status, only) {
            (200, _) => Ok(true),
            // 409: somebody else is writing it at this moment.
            (412 | 409, Only::Absent | Only::Is(_)) | (404, Only::Is(_)) => Ok(false),
            _ => Err(self.refused("PUT", key, &answer)),
        }
    }

    /// Writes an object that is there once more, under another key, without its bytes coming here.
    pub(crate) fn copy(&self, from: &str, to: &str) -> Result<()> {
        // With the bucket's name, however it is addressed.
        let path = self.path(from);
        let source = match self.bucket.path_style {
            true => path,
            false => format!("/{}{path}", self.bucket.name),
        };
        let headers = [("x-amz-copy-source", source)];
        let answer =
            self.ask("PUT", &self.path(to), &[], &headers, &Content::Bytes(b""), READ_BYTES)?;
        // It may begin with 200 and fail later.
        match answer.status == 200 && element(&answer.text(), "Error").is_none() {
            true => Ok(()),
            false => Err(self.refused("COPY", from, &answer)),
        }
    }

    /// Writes a file from `start` to `end`, in parts if that is much.
    pub(crate) fn put_file(&self, key: &str, file: &Fd, start: u64, end: u64) -> Result<()> {
        let size = end - start;
        // What a signature has to have is read first.
        let part = |begin: u64, length: u64| -> Result<Content<'_>> {
            let hash = hash_part(file, begin, length);
            let hash = hash.map_err(|error| self.failure("PUT", key, &error.to_string()))?;
            Ok(Content::Part(file, begin, length, hash))
        };
        let path = self.path(key);
        let part_bytes = PART_BYTES.max(size.div_ceil(PARTS));
        if size <= part_bytes {
            let answer = self.ask("PUT", &path, &[], &[], &part(start, size)?, READ_BYTES)?;
            return match answer.status {
                200 => Ok(()),
                _ => Err(self.refused("PUT", key, &answer)),
            };
        }
        let begun = pair("uploads", "");
        let answer = self.ask("POST", &path, &[begun], &[], &Content::None, READ_BYTES)?;
        let id = element(&answer.text(), "UploadId").filter(|_| answer.status == 200);
        let id = id.ok_or_else(|| self.refused("POST", key, &answer))?;
        let sent = (0..size.div_ceil(part_bytes)).try_fold(String::new(), |list, number| {
            let begin = number * part_bytes;
            let content = part(start + begin, part_bytes.min(size - begin))?;
            let query = [pair("partNumber", &(number + 1).to_string()), pair("uploadId", &id)];
            let answer = self.ask("PUT", &path, &query, &[], &content, READ_BYTES)?;
            let version = answer.header("etag").filter(|_| answer.status == 200);
            let version = version.ok_or_else(|| self.refused("PUT", key, &answer))?;
            let number = number + 1;
            let version = version.replace('"', "&quot;");
            Ok::<_, Failure>(format!(
                "{list}<Part><PartNumber>{number}</PartNumber><ETag>{version}</ETag></Part>"
            ))
        });
        let query = [pair("uploadId", &id)];
        let done = sent.and_then(|list| {
            let text = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
            let content = Content::Bytes(text.as_bytes());
            let answer = self.ask("POST", &path, &query, &[], &content, READ_BYTES)?;
            // It may begin with 200 and fail later.
            match answer.status == 200 && element(&answer.text(), "Error").is_none() {
                true => Ok(()),
                false => Err(self.refused("POST", key, &answer)),
            }
        });
        if done.is_err() {
            // Rules of the bucket remove what this leaves.
            let _ = self.ask("DELETE", &path, &query, &[], &Content::None, READ_BYTES);
        }
        done
    }

    /// Removes an object, which need not be there.
    pub(crate) fn delete(&self, key: &str) -> Result<()> {
        let path = self.path(key);
        let answer = self.ask("DELETE", &path, &[], &[], &Content::None, READ_BYTES)?;
        match answer.status {
            200 | 204 | 404 => Ok(()),
            _ => Err(self.refused("DELETE", key, &answer)),
        }
    }

    /// The names directly below a key, in their order. `limit` is for whoever only wants to know whether there are any.
    pub(crate) fn list(&self, key: &str, limit: Option<usize>) -> Result<Vec<Listed>> {
        let key = if key == "." { String::new() } else { format!("{key}/") };
        let own = if self.bucket.prefix.is_empty() { "" } else { "/" };
        let prefix = format!("{}{own}{key}", self.bucket.prefix);
        // Of the bucket, not of an object in it.
        let path =
            if self.bucket.path_style { format!("/{}", self.bucket.name) } else { "/".into() };
        let mut found = Vec::new();
        let mut after: Option<String> = None;
        let mut bytes = 0;
        loop {
            let mut query = vec![
                pair("list-type", "2"),
                pair("delimiter", "/"),
                pair("prefix", &prefix),
                pair("max-keys", &limit.unwrap_or(1000).min(1000).to_string()),
            ];
            query.extend(after.take().map(|token| pair("continuation-token", &token)));
            let answer = self.ask("GET", &path, &query, &[], &Content::None, OBJECT_LIST_BYTES)?;
            if answer.status != 200 {
                return Err(self.refused("LIST", &prefix, &answer));
            }
            let text = answer.text();
            bytes += text.len();
            if bytes > OBJECT_LIST_BYTES {
                return Err(self.failure("LIST", &prefix, "has more entries than are taken"));
            }
            for one in elements(&text, "Contents") {
                let name = element(one, "Key").unwrap_or_default();
                let size = element(one, "Size").and_then(|it| it.parse().ok());
                let time = element(one, "LastModified").and_then(|it| iso_s(&it));
                let name = name.strip_prefix(&prefix).filter(|it| !it.is_empty());
                found.extend(name.map(|name| (name.to_owned(), size.zip(time))));
            }
            for one in elements(&text, "CommonPrefixes") {
                let name = element(one, "Prefix").unwrap_or_default();
                let name = name.strip_prefix(&prefix).and_then(|it| it.strip_suffix('/'));
                found.extend(name.map(|name| (name.to_owned(), None)));
            }
            let more = elements(&text, "NextContinuationToken").first().map(|it| unescape(it));
            if more.is_none() || limit.is_some_and(|limit| found.len() >= limit) {
                found.sort();
                found.dedup();
                return Ok(found);
            }
            after = more;
        }
    }

    /// Sends a request until there is an answer that another attempt would not change.
    fn ask(
        &self,
        method: &'static str,
        path: &str,
        query: &[(String, String)],
        headers: &[(&'static str, String)],
        content: &Content<'_>,
        limit: usize,
    ) -> Result<Answer> {
        let mut pause = OBJECT_PAUSE;
        for _ in 1..OBJECT_ATTEMPTS {
            match self.ask_once(method, path, query, headers, content, limit) {
                Ok(answer) if !matches!(answer.status, 429 | 500..=599) => return Ok(answer),
                _ => std::thread::sleep(pause),
            }
            pause *= 2;
        }
        self.ask_once(method, path, query, headers, content, limit)
    }

    fn ask_once(
        &self,
        method: &'static str,
        path: &str,
        query: &[(String, String)],
        more: &[(&'static str, String)],
        content: &Content<'_>,
        limit: usize,
    ) -> Result<Answer> {
        let credentials = self.credentials()?;
        let time = SystemTime::now();
        let payload = match content {
            Content::None => hash(b""),
            Content::Bytes(bytes) => hash(bytes),
            Content::Part(.., hash) => hash.clone(),
        };
        let mut headers = vec![
            ("host", self.host.clone()),
            ("x-amz-content-sha256", payload.clone()),
            ("x-amz-date", compact(time)),
        ];
        headers.extend(credentials.token.clone().map(|token| ("x-amz-security-token", token)));
        headers.extend(more.iter().cloned());
        let signing = Signing { credentials: &credentials, region: &self.bucket.region, time };
        let signed = Signed { method, path, query, headers: &headers, payload: &payload };
        let authorization = signing.authorization(&signed);
        let query = sign::query(query);
        let mark = if query.is_empty() { "" } else { "?" };
        let address = format!("{}://{}{path}{mark}{query}", self.scheme, self.host);
        let mut request = ureq::http::Request::builder().method(method).uri(address);
        // The client makes the host of the address.
        for (name, value) in headers.iter().filter(|it| it.0 != "host") {
            request = request.header(*name, value);
        }
        request = request.header("authorization", authorization);
        let fail = |error: &dyn fmt::Display| self.failure(method, path, &error.to_string());
        let sent = match content {
            Content::None if method == "POST" => {
                self.agent.run(request.body(&b""[..]).map_err(|it| fail(&it))?)
            }
            Content::None => self.agent.run(request.body(()).map_err(|it| fail(&it))?),
            Content::Bytes(bytes) => self.agent.run(request.body(*bytes).map_err(|it| fail(&it))?),
            Content::Part(file, begin, length, _) => {
                sys::fs::seek(*file, *begin).map_err(|it| fail(&it))?;
                let mut reader = Part { file, left: *length };
                let request = request.header("content-length", *length);
                let body = ureq::SendBody::from_reader(&mut reader);
                self.agent.run(request.body(body).map_err(|it| fail(&it))?)
            }
        };
        let (parts, body) = sent.map_err(|it| fail(&it))?.into_parts();
        let mut bytes = Vec::new();
        let read = body.into_reader().take(limit as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|it| fail(&it))?;
        if bytes.len() > limit {
            return Err(self.failure(
                method,
                path,
                &format!("answers with more than {limit} bytes"),
            ));
        }
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body: bytes })
    }

    fn failure(&self, method: &str, key: &str, what: &str) -> Failure {
        Failure(format!("{method} {key} of {}: {what}", self.host))
    }

    fn refused(&self, method: &str, key: &str, answer: &Answer) -> Failure {
        let text = answer.text();
        let code = element(&text, "Code").unwrap_or_default();
        let shown: String = code.chars().filter(char::is_ascii_alphanumeric).take(100).collect();
        let status = answer.status;
        self.failure(method, key, &format!("answers {status} {shown}"))
    }
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn agent(bucket: &Bucket) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .tls_config(crate::outside::tls(&bucket.authorities))
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_recv_response(Some(OBJECT_WAIT))
        .timeout_per_read(Some(OBJECT_WAIT))
        .timeout_per_write(Some(OBJECT_WAIT))
        // What is signed is for one host.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .accept_encoding("identity")
        .max_idle_connections_per_host(32)
        .proxy(None)
        .build();
    transport::registry::agent(config, transport::names::Files::default())
}

/// A part of a file that is sent.
struct Part<'a> {
    file: &'a Fd,
    left: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = sys::fs::read(self.file, &mut buffer[..length])
            .map_err(|errno| io::Error::from_raw_os_error(errno.0))?;
        self.left -= count as u64;
        Ok(count)
    }
}

fn hash_part(file: &Fd, begin: u64, length: u64) -> io::Result<String> {
    sys::fs::seek(file, begin).map_err(|errno| io::Error::from_raw_os_error(errno.0))?;
    let mut part = Part { file, left: length };
    let mut hasher = Hasher::new(oci::Algorithm::Sha256);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match part.read(&mut buffer)? {
            0 if part.left == 0 => return Ok(hasher.finish().hex()),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => hasher.update(&buffer[..count]),
        }
    }
}
