//! What a registry answers, and what it says of its refusals.

use super::address::Address;
use crate::error::{Error, ErrorKind, Result};
use std::io::{self, Read};
use std::time::{Duration, Instant};
use ureq::http::HeaderMap;

/// Most that is read of an error's text.
const ERROR_LIMIT_BYTES: usize = 64 << 10;
/// How long a registry is left alone that limits how much is asked for, and does not say for how long.
const LIMITED_PAUSE: Duration = Duration::from_secs(60);
/// The least speed of an answer, over the time that a registry may be silent. Less is a fault or a trick, and
/// another connection may be better.
const SPEED_LIMIT_BYTES_PER_SECOND: f64 = 1024.0;

/// An answer, whose body is still to be read.
pub(super) struct Answer {
    pub(super) status: u16,
    /// Where it comes from, behind all redirections.
    pub(super) address: Address,
    pub(super) headers: HeaderMap,
    /// Whether it came by HTTP 2.
    pub(super) shared: bool,
    pub(super) body: Box<dyn Read + Send>,
    /// How long it may be silent.
    pub(super) silence: Duration,
}

oci::document! {
    Errors(snake) {
        errors: Vec<OneError>,
    }

    OneError(snake) {
        code: String,
        message: String,
    }
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn headers(&self, name: &str) -> Vec<String> {
        let all = self.headers.get_all(name).iter();
        all.filter_map(|value| Some(value.to_str().ok()?.to_owned())).collect()
    }

    /// How long the body is, if that is said.
    pub(super) fn length(&self) -> Option<u64> {
        self.header("content-length")?.trim().parse().ok()
    }

    /// What the body was packed with on its way. Nobody asked for that.
    pub(super) fn packing(&self) -> Option<String> {
        let packing = shown(self.header("content-encoding")?);
        (!packing.is_empty() && packing != "identity").then_some(packing)
    }

    /// Whether it is a page for people: that of a network's login, of a proxy, or of no registry.
    pub(super) fn is_page(&self) -> bool {
        self.header("content-type").is_some_and(|it| it.trim_start().starts_with("text/html"))
    }

    /// The body, as long as it comes with some speed.
    pub(super) fn into_body(self) -> impl Read + Send + use<> {
        Paced::new(self.body, self.silence)
    }

    /// Reads what nobody wants to know, without which the connection is of no more use.
    pub(super) fn drain(self) {
        // A failure ends the connection, which is all that it does.
        let _ = io::copy(&mut self.into_body().take(ERROR_LIMIT_BYTES as u64), &mut io::sink());
    }

    /// The whole body, which must not be larger than a limit.
    pub(super) fn read_all(self, limit: usize) -> Result<Vec<u8>> {
        let address = self.address.clone();
        let fail = |error: &dyn std::fmt::Display| {
            Error::new(ErrorKind::Network, format!("{}: {error}", address.origin()))
        };
        let mut bytes = Vec::new();
        let reader = self.into_body();
        let read = reader.take(limit as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|error| fail(&error))?;
        match bytes.len() > limit {
            true => Err(fail(&format!("answers with more than {limit} bytes"))),
            false => Ok(bytes),
        }
    }

    /// The whole body as what a registry's interface says.
    pub(super) fn read_document(self, what: &str, limit: usize) -> Result<Vec<u8>> {
        let origin = self.address.origin();
        if self.is_page() {
            let text = format!("{what}: {origin} answers with a web page");
            return Err(Error::new(ErrorKind::Network, text).lasting().with_hint(
                "there may be no registry at that address, or a network's login page before it",
            ));
        }
        match self.packing() {
            Some(packing) => Err(unasked(what, &origin, &packing)),
            None => self.read_all(limit),
        }
    }

    /// The answer, if its status is one of those that are expected; otherwise what the registry says of it.
    pub(super) fn expect(self, statuses: &[u16], what: &str) -> Result<Self> {
        if statuses.contains(&self.status) {
            return Ok(self);
        }
        let (status, address, rate) = (self.status, self.address.clone(), self.rate());
        let wait = self.retry_after().unwrap_or(LIMITED_PAUSE);
        let text = self.read_all(ERROR_LIMIT_BYTES).unwrap_or_default();
        let errors: Errors = oci::json::read(&text).unwrap_or_default();
        let told: Vec<String> =
            errors.errors.iter().map(|it| format!("{}: {}", it.code, it.message)).collect();
        let told = shown(&told.join("; "));
        let separator = if told.is_empty() { "" } else { " " };
        let text = format!("{what}: {} answers {status}{separator}{told}", address.origin());
        Err(match status {
            401 => Error::new(ErrorKind::Denied, text).with_hint("log in to the registry"),
            403 => Error::new(ErrorKind::Denied, text),
            404 => Error::new(ErrorKind::NotFound, text),
            407 => Error::new(ErrorKind::Denied, text).with_hint(PROXY_HINT),
            429 => Error::new(ErrorKind::Network, text).with_hint(rate).lasting().limiting(wait),
            _ => Error::new(ErrorKind::Network, text),
        })
    }

    /// How long to wait before the next attempt. `Retry-After` has another form, a time of day, which is not
    /// worth the clock that may be wrong.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let seconds = self.header("retry-after")?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds))
    }

    /// What is known about a limit to how much is asked for: docker's headers, and when to come again.
    fn rate(&self) -> String {
        // `100;w=21600`: so many in so many seconds.
        let number = |name: &str| {
            let text = self.header(name)?;
            let (number, rest) = text.split_once(';').unwrap_or((text, ""));
            let window = rest.trim().strip_prefix("w=").and_then(|it| it.parse().ok());
            Some((number.trim().parse::<u64>().ok()?, window.map(Duration::from_secs)))
        };
        let mut parts = Vec::new();
        if let Some((limit, window)) = number("ratelimit-limit") {
            let window = window.map(|it| format!(" in {}", spoken(it))).unwrap_or_default();
            parts.push(format!("it allows {limit} pulls{window}"));
        }
        if let Some((left, _)) = number("ratelimit-remaining") {
            parts.push(format!("{left} are left"));
        }
        match self.header("retry-after").map(shown) {
            Some(text) => match text.parse().map(Duration::from_secs) {
                Ok(wait) => parts.push(format!("try again in {}", spoken(wait))),
                Err(_) => parts.push(format!("try again after {text}")),
            },
            None => parts.push("wait, or log in".into()),
        }
        format!("the registry limits how much is asked for: {}", parts.join(", "))
    }
}

/// What helps when a proxy wants to know who we are.
pub(super) const PROXY_HINT: &str =
    "the proxy asks for a name and password: http://NAME:PASSWORD@HOST:PORT";

/// Something came packed in a way that was not asked for.
pub(super) fn unasked(what: &str, origin: &str, packing: &str) -> Error {
    let text = format!("{what}: {origin} sends it in the encoding `{packing}`, unasked");
    let error = Error::new(ErrorKind::Network, text).lasting();
    error.with_hint("a proxy on the way may change what registries send")
}

/// A foreign text for a message.
pub(super) fn shown(text: &str) -> String {
    text.chars().filter(|it| !it.is_control()).take(300).collect()
}

/// A time as one says it: in the largest unit that it is two of, or a whole number of.
fn spoken(time: Duration) -> String {
    let seconds = time.as_secs();
    for (name, size) in [("day", 86_400), ("hour", 3600), ("minute", 60)] {
        if seconds >= 2 * size || seconds == size {
            let count = seconds.div_ceil(size);
            return format!("{count} {name}{}", if count == 1 { "" } else { "s" });
        }
    }
    format!("{seconds} seconds")
}

/// Content that has to come at some speed.
pub(super) struct Paced<R> {
    inner: R,
    /// Time over which the speed is measured.
    window: Duration,
    /// How long was waited in this window, and for what. What a reader does between two calls is not the
    /// registry's time.
    waited: Duration,
    bytes: u64,
}

impl<R: Read> Paced<R> {
    fn new(inner: R, window: Duration) -> Self {
        Self { inner, window, waited: Duration::ZERO, bytes: 0 }
    }
}

impl<R: Read> Read for Paced<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let began = Instant::now();
        let count = self.inner.read(buffer)?;
        self.waited += began.elapsed();
        self.bytes += count as u64;
        if self.waited > self.window {
            let expected = self.window.as_secs_f64() * SPEED_LIMIT_BYTES_PER_SECOND;
            if (self.bytes as f64) < expected && count > 0 {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it comes too slowly"));
            }
            (self.waited, self.bytes) = (Duration::ZERO, 0);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_spoken() {
        let check = |seconds: u64, expected: &str| {
            assert_eq!(spoken(Duration::from_secs(seconds)), expected);
        };
        check(0, "0 seconds");
        check(59, "59 seconds");
        check(60, "1 minute");
        check(90, "90 seconds");
        check(150, "3 minutes");
        check(3600, "1 hour");
        check(21_600, "6 hours");
        check(86_400, "1 day");
        check(200_000, "3 days");
    }
}
