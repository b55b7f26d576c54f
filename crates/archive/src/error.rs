//! What goes wrong.

use std::fmt;
use sys::Errno;

/// What this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// What a caller can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The bytes are not what they claim to be.
    Corrupt,
    /// Programs read the bytes in different ways, so that nobody can know what was meant.
    Ambiguous,
    /// Understood, and nothing that Tare does.
    Unsupported,
    /// More than a limit of [`crate::limits`] allows.
    Limit,
    /// It leads, or would lead, out of the tree.
    Denied,
    /// Contents do not have the digest that they should have.
    Mismatch,
    /// The kernel said no.
    Os(Errno),
    /// The input could not be read, or the output not written.
    Io(std::io::ErrorKind),
}

/// A refusal, with the entry that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
    entry: Option<Vec<u8>>,
    what: String,
}

impl Error {
    pub(crate) fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, entry: None, what: what.into() }
    }

    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::new(Kind::Corrupt, what)
    }

    pub(crate) fn ambiguous(what: impl Into<String>) -> Self {
        Self::new(Kind::Ambiguous, what)
    }

    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::new(Kind::Unsupported, what)
    }

    pub(crate) fn limit(what: &str, limit: impl fmt::Display) -> Self {
        Self::new(Kind::Limit, format!("{what}, the limit is {limit}"))
    }

    pub(crate) fn denied(what: impl Into<String>) -> Self {
        Self::new(Kind::Denied, what)
    }

    pub(crate) fn os(errno: Errno, call: &str) -> Self {
        Self::new(Kind::Os(errno), format!("{call}: {errno}"))
    }

    /// A failure of what a caller hands in.
    pub fn of_io(error: &std::io::Error, what: &str) -> Self {
        Self::io(error, what)
    }

    pub(crate) fn io(error: &std::io::Error, what: &str) -> Self {
        // An error of a stage before this one travels through `io::Error` and comes out whole.
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            Some(own) => own.clone(),
            None => Self::new(Kind::Io(error.kind()), format!("{what}: {error}")),
        }
    }

    /// The same, about an entry, unless it is about one already.
    pub(crate) fn at(mut self, entry: &[u8]) -> Self {
        self.entry.get_or_insert_with(|| entry.to_vec());
        self
    }

    /// What kind it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The name of the entry, as the archive has it.
    pub fn entry(&self) -> Option<&[u8]> {
        self.entry.as_deref()
    }
}

/// Longest part of a name that is shown.
const SHOWN_BYTES: usize = 256;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(entry) = &self.entry {
            let shown = &entry[..entry.len().min(SHOWN_BYTES)];
            let dots = if shown.len() < entry.len() { "..." } else { "" };
            write!(f, "entry \"{}{dots}\": ", shown.escape_ascii())?;
        }
        f.write_str(&self.what)
    }
}

impl std::error::Error for Error {}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        Self::other(error)
    }
}
