//! Content on its way from a registry, which goes on after a lost connection.

use super::Registry;
use super::address::Address;
use super::http::Request;
use super::session::{Access, Session};
use crate::error::{Error, ErrorKind, Result};
use crate::hash::Verified;
use crate::transfer::Blob;
use oci::image::Descriptor;
use std::io::{self, Read};
use std::sync::Arc;

/// A connection that brought so much was a good one: attempts are counted anew.
const PROGRESS_BYTES: u64 = 1 << 20;
/// Most connections for one blob: at the least progress, those for a terabyte would be a million.
const CONNECTIONS_LIMIT: u32 = 1000;
struct Download {
    session: Arc<Session>,
    address: Address,
    access: Access,
    size: u64,
    /// What was read so far.
    offset: u64,
    body: Option<Box<dyn Read + Send>>,
    failures: u32,
    connections: u32,
    /// The offset at which attempts were last counted anew.
    mark: u64,
}

/// Opens a blob. What comes is verified at its end.
pub(super) fn open(registry: &Registry, descriptor: &Descriptor) -> Result<Blob> {
    let digest = *descriptor.verifiable()?;
    let mut download = Download {
        session: registry.session.clone(),
        address: registry.address(&format!("blobs/{digest}")),
        access: registry.pull(),
        size: descriptor.size,
        offset: 0,
        body: None,
        failures: 0,
        connections: 0,
        mark: 0,
    };
    download.connect().map_err(|error| match error.kind() {
        ErrorKind::NotFound => registry.not_found(&format!("blob {digest}")),
        _ => error,
    })?;
    Ok(Box::new(Verified::new(download, digest, Some(descriptor.size))))
}

impl Download {
    /// Asks for what is left.
    fn connect(&mut self) -> Result<()> {
        self.connections += 1;
        let mut request = Request::get(self.address.clone());
        if self.offset > 0 {
            request = request.header("Range", &format!("bytes={}-", self.offset));
        }
        let answer = self.session.send(&request, &self.access)?;
        let answer = answer.expect(&[200, 206], "get the blob")?;
        let fail = |what: String| Err(Error::new(ErrorKind::Corrupt, what));
        let mut skip = 0;
        if answer.status == 206 {
            let range = answer.header("content-range").unwrap_or_default();
            if !range.starts_with(&format!("bytes {}-", self.offset)) {
                return fail(format!("asked for bytes from {}, got `{range}`", self.offset));
            }
        } else {
            // It does not know ranges: what we have comes once more.
            skip = self.offset;
            let length = answer.length();
            if length.is_some_and(|length| length != self.size) {
                let length = length.unwrap_or_default();
                return fail(format!("has {length} bytes, and should have {}", self.size));
            }
        }
        let mut body: Box<dyn Read + Send> = Box::new(answer.into_body());
        let skipped = io::copy(&mut body.by_ref().take(skip), &mut io::sink());
        if skipped.ok() != Some(skip) {
            return Err(Error::new(ErrorKind::Network, "ends before the part that is missing"));
        }
        self.body = Some(body);
        Ok(())
    }

    /// Reads once. A wrong end is an error.
    fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(body) = &mut self.body else { return Err(io::ErrorKind::NotConnected.into()) };
        let left = usize::try_from(self.size - self.offset).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        let count = body.read(&mut buffer[..length])?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed"));
        }
        self.offset += count as u64;
        if self.offset - self.mark >= PROGRESS_BYTES {
            (self.mark, self.failures) = (self.offset, 0);
        }
        Ok(count)
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.offset == self.size || buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let failure = match self.body.is_some() {
                true => match self.read_some(buffer) {
                    Ok(count) => return Ok(count),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => error.to_string(),
                },
                false => match self.connect() {
                    Ok(()) => continue,
                    Err(error) if error.kind() == ErrorKind::Network => error.to_string(),
                    Err(error) => {
                        return Err(io::Error::new(io::ErrorKind::InvalidData, error.to_string()));
                    }
                },
            };
            self.body = None;
            self.failures += 1;
            let http = self.session.http();
            if self.failures >= http.attempts() || self.connections >= CONNECTIONS_LIMIT {
                let text = format!("at byte {} of {}: {failure}", self.offset, self.size);
                return Err(io::Error::other(text));
            }
            http.pause(self.failures, None);
        }
    }
}
