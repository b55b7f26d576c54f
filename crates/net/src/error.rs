//! Errors, with what the user can do about them.

use std::fmt;
use sys::Errno;

/// What this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// There is no such network or container.
    NotFound,
    /// It is there already: a network of this name, an address that somebody has.
    Exists,
    /// Somebody uses it: a network with containers, a subnet, a port.
    InUse,
    /// A record or argument is not what it has to be.
    Invalid,
    /// It may be right, but cannot be done by this program or on this machine.
    Unsupported,
    /// No address, subnet or port is left, or there are more of something than a limit allows.
    Limit,
    /// Another process held a lock for longer than anybody waits.
    Busy,
    /// The kernel said no.
    Os(Errno),
}

/// A sentence fragment that names the object, its kind, and what helps.
#[derive(Clone, Debug)]
pub struct Error {
    kind: Kind,
    text: String,
    hint: Option<String>,
}

impl Error {
    /// An error without a hint.
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), hint: None }
    }

    /// The same error with what the user can do.
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, text)
    }

    /// A failed system call; what is missing is [`Kind::NotFound`].
    pub(crate) fn os(what: impl fmt::Display, errno: Errno) -> Self {
        let kind = match errno {
            Errno::ENOENT => Kind::NotFound,
            errno => Kind::Os(errno),
        };
        Self::new(kind, format!("{what}: {errno}"))
    }

    /// The same error, of an object.
    pub(crate) fn about(self, object: impl fmt::Display) -> Self {
        Self { text: format!("{object}: {}", self.text), ..self }
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

/// Names the object of a system call that failed.
pub(crate) trait During<T> {
    /// `what` is made into the error's text.
    fn during(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> During<T> for sys::Result<T> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|errno| Error::os(what(), errno))
    }
}

impl<T> During<T> for std::io::Result<T> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| match error.raw_os_error() {
            Some(number) => Error::os(what(), Errno(number)),
            None => Error::new(Kind::Os(Errno::EIO), format!("{}: {error}", what())),
        })
    }
}
