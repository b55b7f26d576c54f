//! A connection to systemd: over its private socket, or over a message bus.

use super::wire::{Call, FIXED_BYTES, Message, MessageKind, Value, message_length};
use crate::error::{Attempt, Error, Kind, Result};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use sys::wait::{POLLIN, PollFd};
use sys::{Fd, socket};

pub(super) const SYSTEMD: &str = "org.freedesktop.systemd1";
pub(super) const SYSTEMD_PATH: &str = "/org/freedesktop/systemd1";
pub(super) const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const BUS: &str = "org.freedesktop.DBus";

/// How long one exchange with systemd may take, starting and stopping a unit included. runc waits
/// 30 s for a job.
pub(super) const DEADLINE_MS: u64 = 30_000;

/// Signals about jobs that are kept while an answer is waited for: other programs' jobs are among
/// them.
const SIGNALS_KEPT: usize = 4096;

/// `OK`, an id and what may be said before it.
const AUTH_LIMIT_BYTES: usize = 4096;

/// Where systemd is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// Path of the socket; abstract ones begin with `@`.
    pub(super) path: String,
    /// systemd's own socket: there is no bus between, so nobody has to say `Hello` or to ask for
    /// signals.
    pub(super) private: bool,
}

impl Address {
    /// The sockets that a D-Bus address names, in its order:
    /// `unix:path=/run/dbus/system_bus_socket;unix:abstract=/tmp/x,guid=0`.
    pub(super) fn parse(text: &str) -> Result<Vec<Self>> {
        let mut addresses = Vec::new();
        for one in text.split(';').filter(|one| !one.is_empty()) {
            let Some(keys) = one.strip_prefix("unix:") else { continue };
            for pair in keys.split(',') {
                let path = match pair.split_once('=') {
                    Some(("path", value)) => unescape(value),
                    Some(("abstract", value)) => unescape(value).map(|name| format!("@{name}")),
                    _ => continue,
                };
                let shown = pair.escape_debug();
                let path = path.ok_or_else(|| {
                    Error::invalid(format!("D-Bus address: unreadable \"{shown}\""))
                })?;
                addresses.push(Self { path, private: false });
            }
        }
        if addresses.is_empty() {
            let shown = text.escape_debug();
            let message = format!("D-Bus address \"{shown}\": no unix socket in it");
            return Err(Error::new(Kind::Unsupported, message));
        }
        Ok(addresses)
    }
}

/// `%2f` is a slash.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%' {
            let digits = core::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Why a call failed.
#[derive(Debug)]
pub(super) enum CallError {
    /// systemd refused: name and text of its error.
    Refused(String, String),
    /// There was no answer.
    Failed(Error),
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl CallError {
    /// Whether systemd refused with this error of its own (`UnitExists`).
    pub(super) fn is(&self, name: &str) -> bool {
        matches!(self, Self::Refused(full, _) if full.strip_prefix("org.freedesktop.systemd1.") == Some(name))
    }

    /// The error for whoever wanted `attempt`.
    pub(super) fn context(self, attempt: &str) -> Error {
        match self {
            Self::Failed(error) => error.context(attempt),
            Self::Refused(name, text) => {
                let kind = match name.rsplit('.').next() {
                    Some("AccessDenied" | "InteractiveAuthorizationRequired") => Kind::Denied,
                    Some("NoSuchUnit") => Kind::NotFound,
                    Some("UnitExists") => Kind::Exists,
                    _ => Kind::Os,
                };
                Error::new(kind, format!("{attempt}: systemd: {text} ({name})"))
            }
        }
    }
}

/// A job that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
struct JobRemoved {
    job: String,
    result: String,
}

/// An open connection, with one deadline for everything that is done over it.
#[derive(Debug)]
pub(super) struct Bus {
    socket: Fd,
    received: Vec<u8>,
    serial: u32,
    end_ms: u64,
    jobs: Vec<JobRemoved>,
}

impl Bus {
    /// Connects to the first of `addresses` that answers. `named`: say who is there by uid; in a
    /// user namespace, where the uid is another one than the server sees, say nothing and let it
    /// take what the kernel tells.
    pub(super) fn connect(addresses: &[Address], named: bool) -> Result<Self> {
        let mut first = None;
        for address in addresses {
            let connected = socket::unix(socket::Kind::Stream).and_then(|socket| {
                socket::set_timeout_ms(&socket, DEADLINE_MS)?;
                socket::connect(&socket, &address.path)?;
                Ok(socket)
            });
            let started = connected
                .attempt(|| format!("connecting to systemd at {}", address.path))
                .and_then(|socket| Self::start(socket, address.private, named));
            match started {
                Ok(bus) => return Ok(bus),
                Err(error) => first = first.or(Some(error)),
            }
        }
        let none = || Error::new(Kind::Unsupported, "no address of systemd is known");
        Err(first.unwrap_or_else(none).with_hint(
            "the systemd cgroup driver needs a running systemd; rootless, the user's own \
             (dbus-user-session, loginctl enable-linger)",
        ))
    }

    /// Authenticates over a connected socket.
    pub(super) fn start(socket: Fd, private: bool, named: bool) -> Result<Self> {
        Self::start_until(socket, private, named, sys::time::monotonic_ms() + DEADLINE_MS)
    }

    pub(super) fn start_until(socket: Fd, private: bool, named: bool, end_ms: u64) -> Result<Self> {
        let mut bus = Self { socket, received: Vec::new(), serial: 0, end_ms, jobs: Vec::new() };
        bus.authenticate(named)?;
        if !private {
            let hello = |error: CallError| error.context("saying hello to the message bus");
            bus.call_bus("Hello", Vec::new()).map_err(hello)?;
            let rule = format!(
                "type='signal',sender='{SYSTEMD}',path='{SYSTEMD_PATH}',interface='{MANAGER}',\
                 member='JobRemoved'"
            );
            let listen = |error: CallError| error.context("listening to systemd's jobs");
            bus.call_bus("AddMatch", alloc::vec![Value::Text(rule)]).map_err(listen)?;
        }
        Ok(bus)
    }

    /// SASL EXTERNAL. `BEGIN` is sent without waiting, as sd-bus does.
    fn authenticate(&mut self, named: bool) -> Result<()> {
        let who: String = match named {
            // The decimal uid, in hexadecimal letters.
            true => format!("{}", sys::ids::euid()).bytes().map(|b| format!("{b:02x}")).collect(),
            false => "\r\nDATA".into(),
        };
        let space = if named { " " } else { "" };
        self.send(format!("\0AUTH EXTERNAL{space}{who}\r\nBEGIN\r\n").as_bytes())?;
        loop {
            let line = self.line()?;
            if line.starts_with("OK ") {
                return Ok(());
            }
            if line != "DATA" {
                let shown = line.escape_debug();
                let message = format!("systemd does not let this user in: \"{shown}\"");
                return Err(Error::new(Kind::Denied, message));
            }
        }
    }

    fn line(&mut self) -> Result<String> {
        loop {
            if let Some(at) = self.received.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.received.drain(..at + 2).take(at).collect();
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            if self.received.len() > AUTH_LIMIT_BYTES {
                return Err(Error::new(Kind::Corrupt, "the D-Bus server's greeting has no end"));
            }
            self.receive()?;
        }
    }

    fn send(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let sent = socket::send(&self.socket, bytes, &[]).attempt(|| "writing to systemd")?;
            bytes = bytes.get(sent..).unwrap_or_default();
        }
        Ok(())
    }

    /// Waits for more bytes, until the deadline.
    fn receive(&mut self) -> Result<()> {
        loop {
            let left = self.end_ms.saturating_sub(sys::time::monotonic_ms());
            if left == 0 {
                return Err(Error::new(Kind::Busy, "systemd did not answer in time"));
            }
            let mut fds = [PollFd::new(&self.socket, POLLIN)];
            if sys::wait::poll(&mut fds, Some(left)).attempt(|| "waiting for systemd")? != 0 {
                break;
            }
        }
        let mut buffer = [0u8; 4096];
        let count = sys::fs::read(&self.socket, &mut buffer).attempt(|| "reading from systemd")?;
        if count == 0 {
            return Err(Error::new(Kind::Os, "systemd closed the connection"));
        }
        self.received.extend_from_slice(&buffer[..count]);
        Ok(())
    }

    fn message(&mut self) -> Result<Message> {
        loop {
            if let Some(fixed) = self.received.first_chunk::<FIXED_BYTES>() {
                let length = message_length(fixed)?;
                if self.received.len() >= length {
                    let bytes: Vec<u8> = self.received.drain(..length).collect();
                    return Message::decode(&bytes);
                }
            }
            self.receive()?;
        }
    }

    /// Waits for a message; what is not about a job or the call `serial` is dropped.
    fn next(&mut self, serial: u32) -> Result<Option<Message>> {
        let message = self.message()?;
        match message.kind {
            MessageKind::Return | MessageKind::Error if message.reply_to == serial => {
                return Ok(Some(message));
            }
            MessageKind::Signal if message.name == "JobRemoved" && message.signature == "uoss" => {
                let mut reader = message.reader();
                let _id = reader.number()?;
                let job = reader.text()?.to_owned();
                let _unit = reader.text()?;
                let result = reader.text()?.to_owned();
                if self.jobs.len() >= SIGNALS_KEPT {
                    self.jobs.remove(0);
                }
                self.jobs.push(JobRemoved { job, result });
            }
            _ => {}
        }
        Ok(None)
    }

    fn call(&mut self, call: &Call<'_>) -> core::result::Result<Message, CallError> {
        self.serial += 1;
        let serial = self.serial;
        self.send(&call.encode(serial))?;
        loop {
            let Some(message) = self.next(serial)? else { continue };
            if message.kind == MessageKind::Return {
                return Ok(message);
            }
            let text = match message.signature.starts_with('s') {
                true => message.reader().text().unwrap_or_default().to_owned(),
                false => String::new(),
            };
            return Err(CallError::Refused(message.name, text));
        }
    }

    fn call_bus(
        &mut self,
        member: &str,
        arguments: Vec<Value>,
    ) -> core::result::Result<Message, CallError> {
        let path = "/org/freedesktop/DBus";
        self.call(&Call { destination: BUS, path, interface: BUS, member, arguments })
    }

    /// Calls a method of systemd's manager.
    pub(super) fn manager(
        &mut self,
        member: &str,
        arguments: Vec<Value>,
    ) -> core::result::Result<Message, CallError> {
        let interface = MANAGER;
        let call = Call { destination: SYSTEMD, path: SYSTEMD_PATH, interface, member, arguments };
        self.call(&call)
    }

    /// A property of the manager that is a string.
    pub(super) fn manager_text(&mut self, name: &str) -> Result<String> {
        let attempt = format!("asking systemd for its {name}");
        let message = self
            .call(&Call {
                destination: SYSTEMD,
                path: SYSTEMD_PATH,
                interface: "org.freedesktop.DBus.Properties",
                member: "Get",
                arguments: alloc::vec![Value::text(MANAGER), Value::text(name)],
            })
            .map_err(|error| error.context(&attempt))?;
        let mut reader = message.reader();
        match (message.signature.as_str(), reader.signature()?) {
            ("v", "s") => Ok(reader.text()?.to_owned()),
            (_, other) => {
                Err(Error::new(Kind::Corrupt, format!("{attempt}: it has type \"{other}\"")))
            }
        }
    }

    /// Calls a method that starts a job, and waits for the job; returns its result (`done`).
    pub(super) fn job(
        &mut self,
        member: &str,
        arguments: Vec<Value>,
    ) -> core::result::Result<String, CallError> {
        let message = self.manager(member, arguments)?;
        let job = message.reader().text()?.to_owned();
        loop {
            // The signal may have come before the answer.
            if let Some(done) = self.jobs.iter().find(|removed| removed.job == job) {
                return Ok(done.result.clone());
            }
            self.next(0)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let paths = |text: &str| -> Option<Vec<String>> {
            Some(Address::parse(text).ok()?.into_iter().map(|address| address.path).collect())
        };
        let check = |text: &str, expected: Option<&[&str]>| {
            let expected: Option<Vec<String>> =
                expected.map(|paths| paths.iter().map(|p| p.to_string()).collect());
            assert_eq!(paths(text), expected, "{text:?}");
        };
        check("unix:path=/run/dbus/system_bus_socket", Some(&["/run/dbus/system_bus_socket"]));
        check(
            "tcp:host=x;unix:abstract=/tmp/a%2cb,guid=00;unix:guid=1,path=/p%20q",
            Some(&["@/tmp/a,b", "/p q"]),
        );
        for text in ["", "tcp:host=x", "unix:path=%2", "unix:path=%zz", "unix:dir=/tmp"] {
            check(text, None);
        }
    }
}
