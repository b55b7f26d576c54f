//! Content on its way to a registry: in one piece when it is small, in pieces that can be sent again when
//! it is not.

use super::Registry;
use super::address::Address;
use super::answer::Answer;
use super::http::{Request, is_passing};
use super::session::escape;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::{Hashed, Verified};
use oci::Digest;
use oci::image::Descriptor;
use std::io::Read;
use std::time::Duration;

/// The least that is sent at once, except at the end: every proxy takes so much.
const LEAST_BYTES: usize = 256 << 10;
/// Most that a registry may ask for as the smallest piece.
const PIECE_LIMIT_BYTES: usize = 64 << 20;

impl Registry {
    /// Takes content from another repository of the registry, if it allows that.
    pub fn mount_blob(&self, digest: &Digest, from: &str) -> Result<bool> {
        let (digest, from) = (escape(&digest.to_string()), escape(from));
        let address = self.address(&format!("blobs/uploads/?mount={digest}&from={from}"));
        let answer = self.session.send(&Request::post(address), &self.push())?;
        match answer.status {
            201 => Ok(true),
            // It has begun an upload instead, which nobody will go on with.
            202 => {
                self.cancel(&self.location(&answer)?);
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    /// Puts content, which has to be what its descriptor says.
    pub fn put_blob(&self, descriptor: &Descriptor, content: &mut dyn Read) -> Result<()> {
        let digest = *descriptor.verifiable()?;
        let mut verified = Verified::new(content, digest, Some(descriptor.size));
        self.upload(&mut verified, &|_| digest).map(drop)
    }

    /// Puts content whose digest is known only at its end, and says what it was.
    pub fn put_new_blob(&self, media_type: &str, content: &mut dyn Read) -> Result<Descriptor> {
        let mut hashed = Hashed::new(content);
        self.upload(&mut hashed, &|hashed: &Hashed<_>| hashed.digest())?;
        Ok(hashed.finish(media_type))
    }

    fn upload<R: Read>(&self, content: &mut R, digest: &dyn Fn(&R) -> Digest) -> Result<()> {
        let answer =
            self.session.send(&Request::post(self.address("blobs/uploads/")), &self.push())?;
        let answer = answer.expect(&[202], "begin the upload")?;
        let smallest = answer.header("oci-chunk-min-length").and_then(|it| it.parse().ok());
        let smallest: usize = smallest.unwrap_or(0);
        let wanted = self.session.http().piece_bytes();
        let piece = wanted.max(smallest).clamp(1, PIECE_LIMIT_BYTES);
        let location = self.location(&answer)?;
        let least = smallest.max(LEAST_BYTES);
        let mut upload =
            Upload { registry: self, location, sent: 0, most: PIECE_LIMIT_BYTES, least };
        let done = upload.send_all(content, piece, digest);
        if done.is_err() {
            self.cancel(&upload.location);
        }
        done
    }

    /// Where an upload goes on.
    fn location(&self, answer: &Answer) -> Result<Address> {
        let location = answer.header("location").ok_or_else(|| {
            let text = format!("{}: the registry does not say where to upload to", self.name);
            Error::new(ErrorKind::Invalid, text)
        })?;
        let next = answer.address.resolve(location)?;
        answer.address.check_step_to(&next)?;
        Ok(next)
    }

    /// Tells that nothing more comes. Registries forget uploads by themselves, too.
    fn cancel(&self, location: &Address) {
        let _ = self.session.send(&Request::delete(location.clone()).once(), &self.push());
    }
}

/// Why a part did not arrive.
struct Failed {
    error: Error,
    /// When to try again, if the registry says so.
    wait: Option<Duration>,
    too_large: bool,
}

struct Upload<'a> {
    registry: &'a Registry,
    location: Address,
    sent: u64,
    /// Most that is sent by one request. It becomes less when a proxy takes no more.
    most: usize,
    /// What it never becomes less than.
    least: usize,
}

impl Upload<'_> {
    /// Sends everything; at its end `digest` knows what it was.
    fn send_all<R: Read>(
        &mut self,
        content: &mut R,
        size: usize,
        digest: &dyn Fn(&R) -> Digest,
    ) -> Result<()> {
        let mut piece = Vec::with_capacity(size);
        loop {
            piece.clear();
            let mut limited = Read::take(&mut *content, size as u64);
            limited.read_to_end(&mut piece).map_err(|error| {
                let kind = match error.kind() {
                    std::io::ErrorKind::InvalidData => ErrorKind::Corrupt,
                    _ => ErrorKind::Os,
                };
                Error::new(kind, format!("read what is uploaded: {error}"))
            })?;
            // The last piece, perhaps empty, goes with the digest.
            if piece.len() < size {
                return self.finish(&piece, &digest(content));
            }
            self.send_piece(&piece)?;
        }
    }

    fn finish(&mut self, piece: &[u8], digest: &Digest) -> Result<()> {
        if self.sent > 0 && !piece.is_empty() {
            self.send_piece(piece)?;
        }
        let last = if self.sent > 0 { &[][..] } else { piece };
        match self.put(last, digest) {
            // Too much at once for a proxy, which may not even have said so.
            Err(error) if last.len() > self.least && !error.is_lasting() && !self.has(digest) => {
                self.most = (last.len() / 2).max(self.least);
                self.send_piece(last)?;
                self.put(&[], digest)
            }
            // The answer to an attempt before may have been lost: then it is there.
            Err(error) => {
                if self.has(digest) {
                    Ok(())
                } else {
                    Err(error)
                }
            }
            done => done,
        }
    }

    fn put(&self, last: &[u8], digest: &Digest) -> Result<()> {
        let query = ["digest=", &escape(&digest.to_string())].concat();
        let request = Request::put(self.location.with_query(&query))
            .header("Content-Type", "application/octet-stream")
            .body(last)
            .slow();
        let answer = self.registry.session.send(&request, &self.registry.push())?;
        answer.expect(&[201, 204], "finish the upload").map(Answer::drain)
    }

    fn has(&self, digest: &Digest) -> bool {
        matches!(self.registry.has_blob(digest), Ok(true))
    }

    /// Sends a piece until all of it has arrived, by one request or by several smaller ones.
    fn send_piece(&mut self, piece: &[u8]) -> Result<()> {
        let (begin, end) = (self.sent, self.sent + piece.len() as u64);
        let mut failures = 0;
        while self.sent < end {
            let rest = &piece[(self.sent - begin) as usize..];
            let part = &rest[..rest.len().min(self.most)];
            let before = self.sent;
            let Some(failed) = self.send_part(part)? else {
                failures = 0;
                continue;
            };
            failures += 1;
            let http = self.registry.session.http();
            if failures >= http.attempts() || http.is_over() {
                return Err(failed.error);
            }
            http.pause(failures, failed.wait);
            self.ask(begin, end)?;
            if self.sent > before {
                failures = 0;
            } else if part.len() > self.least && (failures > 1 || failed.too_large) {
                // Some proxies only hang up when a request is too large for them.
                self.most = (part.len() / 2).max(self.least);
            }
        }
        Ok(())
    }

    /// Sends a part once; what has failed, if that may be tried again.
    fn send_part(&mut self, part: &[u8]) -> Result<Option<Failed>> {
        let end = self.sent + part.len() as u64;
        let request = Request::patch(self.location.clone())
            .header("Content-Type", "application/octet-stream")
            .header("Content-Range", &format!("{}-{}", self.sent, end - 1))
            .body(part)
            .once();
        let answer = match self.registry.session.send(&request, &self.registry.push()) {
            Ok(answer) => answer,
            Err(error) if error.is_lasting() => return Err(error),
            Err(error) => return Ok(Some(Failed { error, wait: None, too_large: false })),
        };
        let (status, wait) = (answer.status, answer.retry_after());
        if matches!(status, 202 | 204 | 201) {
            self.location = self.registry.location(&answer)?;
            self.sent = end;
            answer.drain();
            return Ok(None);
        }
        let Err(error) = answer.expect(&[202], "upload") else { return Ok(None) };
        let too_large = status == 413 && part.len() > self.least;
        // What it has is not what we think, or this is more than it takes.
        let at_once = status == 416 || too_large;
        let http = self.registry.session.http();
        match at_once || is_passing(status) && !wait.is_some_and(|it| http.is_too_long(it)) {
            true => {
                let wait = if at_once { Some(Duration::ZERO) } else { wait };
                Ok(Some(Failed { error, wait, too_large }))
            }
            false => Err(error),
        }
    }

    /// Asks how much has arrived.
    fn ask(&mut self, begin: u64, end: u64) -> Result<()> {
        let request = Request::get(self.location.clone());
        let answer = self.registry.session.send(&request, &self.registry.push())?;
        if answer.status == 405 {
            // It cannot say. If it has some of it already, it says so by 416.
            return Ok(());
        }
        let answer = answer.expect(&[204, 202, 200], "ask for the upload")?;
        let range = answer.header("range").unwrap_or_default();
        let last: Option<u64> =
            range.trim_start_matches("bytes=").split_once('-').and_then(|(_, it)| it.parse().ok());
        // Nothing at all is written as `0-0` by some, which is one byte to others.
        let arrived = last.filter(|&last| last > 0).map_or(0, |last| last + 1);
        if !(begin..=end).contains(&arrived) {
            let text = format!("the registry has {arrived} bytes of an upload, expected {begin}");
            return Err(Error::new(ErrorKind::Network, text));
        }
        self.sent = arrived;
        if answer.header("location").is_some() {
            self.location = self.registry.location(&answer)?;
        }
        Ok(())
    }
}
