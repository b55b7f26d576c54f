//! A part of a blob on its way from a registry, which goes on after a lost connection.

use super::address::Address;
use super::answer::{Answer, unasked};
use super::http::Request;
use super::session::{Access, Session};
use crate::error::{Error, ErrorKind, Result};
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

/// A connection that brought so much was a good one: attempts are counted anew.
const PROGRESS_BYTES: u64 = 1 << 20;
/// Most connections for one blob: at the least progress, those for a terabyte would be a million.
const CONNECTIONS_LIMIT: u32 = 1000;

/// Where a blob is.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) session: Arc<Session>,
    pub(super) address: Address,
    /// What is needed to read it; nobody is told who we are without.
    pub(super) access: Option<Access>,
    pub(super) size: u64,
}

/// Content on its way.
pub(super) struct Download {
    place: Place,
    /// What is still to come.
    left: Range<u64>,
    /// The version that the first answer was of (`ETag`). Parts of another one are not taken.
    version: Option<String>,
    /// Whether parts can be asked for, as far as is known.
    ranges: bool,
    /// Whether the whole is no help, because others fetch other parts.
    piece: bool,
    body: Option<Box<dyn Read + Send>>,
    /// What the answer brings, which may be more than is wanted.
    body_left: u64,
    failures: u32,
    connections: u32,
    /// Where attempts were last counted anew.
    mark: u64,
}

impl Download {
    /// All of a blob from some byte on.
    pub(super) fn from(place: Place, offset: u64) -> Self {
        let left = offset..place.size;
        let (version, body) = (None, None);
        Self {
            place,
            left,
            version,
            ranges: true,
            piece: false,
            body,
            body_left: 0,
            failures: 0,
            connections: 0,
            mark: offset,
        }
    }

    /// The rest of a version of a blob, as well as it can be had.
    pub(super) fn rest(place: Place, offset: u64, version: Option<String>) -> Self {
        Self { version, ..Self::from(place, offset) }
    }

    /// A part of a version of a blob, or nothing.
    pub(super) fn piece(place: Place, left: Range<u64>, version: Option<String>) -> Self {
        let whole = Self::from(place, left.start);
        Self { left, version, piece: true, ..whole }
    }

    /// The next byte that is read.
    pub(super) fn offset(&self) -> u64 {
        self.left.start
    }

    /// The version that comes, if it has a name, and whether parts of it can be had.
    pub(super) fn version(&self) -> (Option<String>, bool) {
        (self.version.clone(), self.ranges)
    }

    /// Ends earlier than it would.
    pub(super) fn cut(&mut self, end: u64) {
        self.left.end = self.left.end.min(end).max(self.left.start);
    }

    /// Asks for what is left.
    pub(super) fn connect(&mut self) -> Result<()> {
        self.connections += 1;
        let (offset, end, size) = (self.left.start, self.left.end, self.place.size);
        let mut request = Request::get(self.place.address.clone());
        if self.ranges && (offset > 0 || end < size) {
            let range = match end < size {
                true => format!("bytes={offset}-{}", end - 1),
                false => format!("bytes={offset}-"),
            };
            request = request.header("Range", &range);
            if let Some(version) = &self.version {
                request = request.header("If-Range", version);
            }
        }
        // Others are for more than what one connection brings.
        let request = if self.piece { request.alone() } else { request };
        let answer = self.place.session.fetch(&request, self.place.access.as_ref())?;
        if answer.status == 416 && self.ranges && offset > 0 {
            // What is there is shorter than what was there: perhaps all of it is better.
            self.ranges = false;
            return Err(Error::new(ErrorKind::Network, "parts of it cannot be had"));
        }
        let answer = answer.expect(&[200, 206], "get the blob")?;
        let skip = match answer.status {
            206 => {
                self.check_part(&answer)?;
                0
            }
            // It does not know ranges, or has another version, whose digest decides: what we have comes
            // once more.
            _ if self.piece => {
                let text = "the registry does not give parts of it";
                return Err(Error::new(ErrorKind::Unsupported, text));
            }
            _ => {
                self.check_whole(&answer)?;
                offset
            }
        };
        if self.version.is_none() {
            // Weak ones (`W/`) are of things that are about the same.
            let version = answer.header("etag").filter(|it| it.starts_with('"'));
            self.version = version.map(str::to_owned);
        }
        if answer.header("accept-ranges").is_some_and(|it| it.trim() == "none") {
            self.ranges = false;
        }
        let covered = answer.length().unwrap_or(size - offset + skip);
        let mut body: Box<dyn Read + Send> = Box::new(answer.into_body());
        let skipped = io::copy(&mut body.by_ref().take(skip), &mut io::sink());
        if skipped.ok() != Some(skip) {
            return Err(Error::new(ErrorKind::Network, "ends before the part that is missing"));
        }
        (self.body, self.body_left) = (Some(body), covered.saturating_sub(skip));
        Ok(())
    }

    /// Whether a part is the one that was asked for.
    fn check_part(&mut self, answer: &Answer) -> Result<()> {
        let (offset, size) = (self.left.start, self.place.size);
        let text = answer.header("content-range").unwrap_or_default();
        let fail = |what: String| Err(Error::new(ErrorKind::Corrupt, what));
        let parse = || {
            let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
            let (first, last) = range.split_once('-')?;
            let total = if total == "*" { size } else { total.parse().ok()? };
            Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?, total))
        };
        match parse() {
            Some((first, last, total)) if first == offset && (first..total).contains(&last) => {
                if total != size {
                    return fail(format!("has {total} bytes, and should have {size}"));
                }
            }
            _ => {
                let text = super::answer::shown(text);
                return fail(format!("asked for bytes from {offset}, got `{text}`"));
            }
        }
        // A server that does not know `If-Range`.
        let other = answer.header("etag").filter(|it| it.starts_with('"'));
        if let (Some(version), Some(other)) = (&self.version, other)
            && version != other
        {
            self.ranges = false;
            return Err(Error::new(ErrorKind::Network, "it has changed on the way"));
        }
        Ok(())
    }

    fn check_whole(&self, answer: &Answer) -> Result<()> {
        let (length, size) = (answer.length(), self.place.size);
        // Some say what a stored file is packed with, which is what its digest is of.
        if let Some(packing) = answer.packing().filter(|_| length != Some(size)) {
            return Err(unasked("get the blob", &answer.address.origin(), &packing));
        }
        match length {
            Some(length) if length != size => {
                let hint = "a registry or a proxy on the way is in disorder";
                let page = if answer.is_page() { "is a web page that " } else { "" };
                let text = format!("{page}has {length} bytes, and should have {size}");
                Err(Error::new(ErrorKind::Corrupt, text).with_hint(hint))
            }
            _ => Ok(()),
        }
    }

    /// Reads once. A wrong end is an error.
    fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(body) = &mut self.body else { return Err(io::ErrorKind::NotConnected.into()) };
        let left = usize::try_from(self.left.end - self.left.start).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        let count = body.read(&mut buffer[..length])?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed"));
        }
        self.left.start += count as u64;
        self.body_left = self.body_left.saturating_sub(count as u64);
        if self.left.start - self.mark >= PROGRESS_BYTES {
            (self.mark, self.failures) = (self.left.start, 0);
        }
        if self.left.is_empty()
            && let Some(mut body) = self.body.take()
            && self.body_left == 0
        {
            // Its end was not seen, and without that the connection is of no more use.
            let _ = body.read(&mut [0]);
        }
        Ok(count)
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left.is_empty() || buffer.is_empty() {
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
            let http = self.place.session.http();
            let over = self.connections >= CONNECTIONS_LIMIT || http.is_over();
            if self.failures >= http.attempts() || over {
                let (offset, size) = (self.left.start, self.place.size);
                let text = format!("at byte {offset} of {size}: {failure}");
                return Err(io::Error::other(text));
            }
            http.pause(self.failures, None);
        }
    }
}
