//! The error of this crate.

use std::fmt;
use std::io;
use std::path::Path;

/// What this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// What a caller can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A program, a library or a file is not there.
    NotFound,
    /// Something is in the way of what was to be written.
    Exists,
    /// What was asked for makes no sense: an empty name, a loop of links.
    Invalid,
    /// Well-formed, but outside of what this crate handles, its named limits included.
    Unsupported,
    /// The program is there and may not be executed, or a file may not be read.
    Denied,
    /// The bytes of a file are not what its format demands.
    Corrupt,
    /// A file changed between the moment it was listed and the moment it was read.
    Busy,
    /// Any other failure of a system call.
    Os,
}

/// An error: what was attempted on which object. The message never repeats the source.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// What a caller can act on.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What the user could do about it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, source: None }
    }

    /// A failed system call: `doing` is a verb such as "reading".
    pub(crate) fn io(doing: &str, path: &Path, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ErrorKind::NotFound,
            io::ErrorKind::PermissionDenied => ErrorKind::Denied,
            io::ErrorKind::AlreadyExists => ErrorKind::Exists,
            _ => ErrorKind::Os,
        };
        Self::new(kind, format!("{doing} {}", path.display())).with_source(source)
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// This error as the reason why `message` failed. Kind and hint stay with the outer one, which
    /// is what a caller looks at.
    pub(crate) fn within(mut self, message: impl Into<String>) -> Self {
        let (kind, hint) = (self.kind, self.hint.take());
        Self { kind, message: message.into(), hint, source: Some(Box::new(self)) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
