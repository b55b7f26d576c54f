//! Errors, with what the user can do about them.

use std::fmt;
use sys::Errno;

/// What this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// It is not in the store.
    NotFound,
    /// It is there already.
    Exists,
    /// Somebody uses it.
    InUse,
    /// A record or argument is not what it has to be.
    Invalid,
    /// It may be right, but cannot be done by this program or on this machine.
    Unsupported,
    /// Contents are not what their digest or size says.
    Corrupt,
    /// More than a limit of [`crate::limits`] allows.
    Limit,
    /// Another process held a lock for longer than anybody waits.
    Busy,
    /// The store, or this handle of it, is only for reading.
    ReadOnly,
    /// Contents that the caller hands over could not be read.
    Source(std::io::ErrorKind),
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
    /// An error without a hint. Callers make them too, in the functions that they hand in.
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), hint: None }
    }

    /// The same error with what the user can do.
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(crate) fn corrupt(text: impl Into<String>) -> Self {
        Self::new(Kind::Corrupt, text)
    }

    pub(crate) fn not_found(text: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, text)
    }

    /// A failed system call; what is missing is [`Kind::NotFound`].
    pub(crate) fn os(what: impl fmt::Display, errno: Errno) -> Self {
        let kind = match errno {
            Errno::ENOENT => Kind::NotFound,
            errno => Kind::Os(errno),
        };
        let error = Self::new(kind, format!("{what}: {errno}"));
        match errno {
            Errno::ENOSPC | Errno::EDQUOT => {
                error.with_hint("free space, or let `tare gc` remove what no image uses")
            }
            _ => error,
        }
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
