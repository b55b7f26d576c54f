//! Clients: as little as HTTP/1.1 allows, so that the server has the processor.

use oci::{Algorithm, Digest};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Barrier;
use std::thread::Builder;
use transport::hash::digest_of;

/// The repository of all tests.
const NAME: &str = "bench/image";
/// Stack of a thread that does nothing but read and write.
const STACK_BYTES: usize = 128 << 10;

/// Bytes that nobody has seen before.
pub(super) struct Content {
    bytes: Vec<u8>,
    count: u64,
}

impl Content {
    pub(super) fn new(size: usize) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut bytes = vec![0; size];
        for chunk in bytes.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            chunk.copy_from_slice(&state.to_ne_bytes());
        }
        Self { bytes, count: 0 }
    }

    /// So many bytes, which are other ones every time, and their digest.
    pub(super) fn fresh(&mut self, size: usize) -> (&[u8], Digest) {
        self.count += 1;
        self.bytes[..8].copy_from_slice(&self.count.to_ne_bytes());
        let bytes = &self.bytes[..size];
        (bytes, digest_of(Algorithm::Sha256, bytes))
    }
}

/// An open connection.
pub(super) struct Client {
    stream: TcpStream,
    /// What was read and is of the next answer, or of this one's body.
    rest: Vec<u8>,
}

struct Head {
    status: u16,
    length: usize,
    location: String,
}

impl Client {
    pub(super) fn connect(address: &str) -> Result<Self, String> {
        let stream = TcpStream::connect(address).map_err(|error| format!("{address}: {error}"))?;
        let _ = stream.set_nodelay(true);
        Ok(Self { stream, rest: Vec::new() })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream.write_all(bytes).map_err(|error| format!("sending: {error}"))
    }

    fn begin(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        size: usize,
    ) -> Result<(), String> {
        let text = format!(
            "{method} {path} HTTP/1.1\r\nHost: bench\r\n{headers}Content-Length: {size}\r\n\r\n"
        );
        self.write(text.as_bytes())
    }

    fn head(&mut self) -> Result<Head, String> {
        let mut buffer = [0; 16 << 10];
        let end = loop {
            if let Some(at) = self.rest.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err("the server has closed the connection".into()),
                Ok(count) => self.rest.extend_from_slice(&buffer[..count]),
                Err(error) => return Err(format!("receiving: {error}")),
            }
        };
        let text = String::from_utf8_lossy(&self.rest[..end]).into_owned();
        self.rest.drain(..end);
        let value = |name: &str| {
            text.lines().find_map(|line| {
                let (known, value) = line.split_once(':')?;
                known.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let status = text.split(' ').nth(1).and_then(|it| it.parse().ok());
        Ok(Head {
            status: status.ok_or("no status")?,
            length: value("content-length").and_then(|it| it.parse().ok()).unwrap_or(0),
            location: value("location").unwrap_or_default(),
        })
    }

    /// Reads a body for nothing.
    fn body(&mut self, length: usize) -> Result<(), String> {
        let mut left = length - self.rest.len().min(length);
        self.rest.drain(..self.rest.len().min(length));
        let mut buffer = vec![0; left.min(1 << 20)];
        while left > 0 {
            let wanted = left.min(buffer.len());
            match self.stream.read(&mut buffer[..wanted]) {
                Ok(0) => return Err("the body is too short".into()),
                Ok(count) => left -= count,
                Err(error) => return Err(format!("receiving: {error}")),
            }
        }
        Ok(())
    }

    fn expect(&mut self, status: u16) -> Result<Head, String> {
        let head = self.head()?;
        let length = head.length;
        self.body(length)?;
        match head.status == status {
            true => Ok(head),
            false => Err(format!("status {}, not {status}", head.status)),
        }
    }

    /// Begins an upload; returns the path where it goes on.
    fn begin_upload(&mut self) -> Result<String, String> {
        self.begin("POST", &format!("/v2/{NAME}/blobs/uploads/"), "", 0)?;
        let location = self.expect(202)?.location;
        // docker-registry names itself in it.
        Ok(location.find("/v2/").map_or(location.clone(), |at| location[at..].to_owned()))
    }

    pub(super) fn put_blob(&mut self, bytes: &[u8], digest: Digest) -> Result<Digest, String> {
        let location = self.begin_upload()?;
        self.begin("PUT", &finish(&location, &digest), "", bytes.len())?;
        self.write(bytes)?;
        self.expect(201)?;
        Ok(digest)
    }

    pub(super) fn put_chunks(
        &mut self,
        bytes: &[u8],
        digest: Digest,
        size: usize,
    ) -> Result<(), String> {
        let mut location = self.begin_upload()?;
        let mut begin = 0;
        for chunk in bytes.chunks(size) {
            let end = begin + chunk.len();
            let range = format!("Content-Range: {begin}-{}\r\n", end - 1);
            self.begin("PATCH", &location, &range, chunk.len())?;
            self.write(chunk)?;
            let next = self.expect(202)?.location;
            location = next.find("/v2/").map_or(next.clone(), |at| next[at..].to_owned());
            begin = end;
        }
        self.begin("PUT", &finish(&location, &digest), "", 0)?;
        self.expect(201).map(drop)
    }

    pub(super) fn put_manifest(&mut self, layer: &Digest, size: usize) -> Result<(), String> {
        let config = self.put_blob(b"{}", digest_of(Algorithm::Sha256, b"{}"))?;
        let descriptor = |kind: &str, digest: &Digest, size: usize| {
            let kind = format!("application/vnd.oci.image.{kind}");
            format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":{size}}}"#)
        };
        // As long as that of an ordinary image.
        let layers = vec![descriptor("layer.v1.tar+gzip", layer, size); 10];
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{}]}}"#,
            descriptor("config.v1+json", &config, 2),
            layers.join(",")
        );
        let kind = "Content-Type: application/vnd.oci.image.manifest.v1+json\r\n";
        self.begin("PUT", &format!("/v2/{NAME}/manifests/v1"), kind, text.len())?;
        self.write(text.as_bytes())?;
        self.expect(201).map(drop)
    }
}

fn finish(location: &str, digest: &Digest) -> String {
    let separator = if location.contains('?') { '&' } else { '?' };
    format!("{location}{separator}digest={digest}")
}

/// Runs the same on many threads; the first error is that of all.
fn threads(count: usize, work: impl Fn(usize) -> Result<(), String> + Sync) -> Result<(), String> {
    std::thread::scope(|scope| {
        let work = &work;
        let mut handles = Vec::new();
        for index in 0..count {
            let thread =
                Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, move || work(index));
            handles.push(thread.map_err(|error| format!("starting a thread: {error}"))?);
        }
        let done =
            handles.into_iter().map(|it| it.join().unwrap_or(Err("a client panicked".into())));
        done.fold(Ok(()), Result::and)
    })
}

pub(super) fn get_manifests(address: &str, total: usize, connections: usize) -> Result<(), String> {
    let accept = "Accept: application/vnd.oci.image.manifest.v1+json\r\n";
    let request = format!("GET /v2/{NAME}/manifests/v1 HTTP/1.1\r\nHost: bench\r\n{accept}\r\n");
    threads(connections, |_| {
        let mut client = Client::connect(address)?;
        for _ in 0..total / connections {
            client.write(request.as_bytes())?;
            client.expect(200)?;
        }
        Ok(())
    })
}

pub(super) fn get_blobs(
    address: &str,
    digest: &Digest,
    size: usize,
    count: usize,
) -> Result<(), String> {
    threads(count, |_| {
        let mut client = Client::connect(address)?;
        client.begin("GET", &format!("/v2/{NAME}/blobs/{digest}"), "", 0)?;
        let head = client.head()?;
        if (head.status, head.length) != (200, size) {
            return Err(format!("status {} and {} bytes", head.status, head.length));
        }
        client.body(size)
    })
}

/// Many clients that have each begun to download when the first one goes on, and take `size` bytes.
pub(super) fn crowd_downloads(
    address: &str,
    digest: &Digest,
    count: usize,
    size: usize,
) -> Result<(), String> {
    let all = Barrier::new(count);
    threads(count, |_| {
        let begun = Client::connect(address).and_then(|mut client| {
            client.begin("GET", &format!("/v2/{NAME}/blobs/{digest}"), "", 0)?;
            client.head().map(|_| client)
        });
        all.wait();
        begun?.body(size)
    })
}

/// Many clients that have each sent half of an upload when the first one goes on.
pub(super) fn crowd_uploads(
    address: &str,
    content: &mut Content,
    count: usize,
    size: usize,
) -> Result<(), String> {
    let (bytes, digest) = content.fresh(size);
    let (first, second) = bytes.split_at(size / 2);
    let all = Barrier::new(count);
    threads(count, |_| {
        let begun = Client::connect(address).and_then(|mut client| {
            let location = client.begin_upload()?;
            client.begin("PUT", &finish(&location, &digest), "", size)?;
            client.write(first)?;
            Ok(client)
        });
        all.wait();
        let mut client = begun?;
        client.write(second)?;
        client.expect(201).map(drop)
    })
}
