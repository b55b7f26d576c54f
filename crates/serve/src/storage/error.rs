//! Faults of the storage: what the operator has to hear of.

use std::fmt;
use sys::Errno;

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// A sentence fragment that names the object, and what helps.
#[derive(Clone, Debug)]
pub struct Error {
    text: String,
    hint: Option<&'static str>,
    errno: Option<Errno>,
    /// A quota is used up.
    over: bool,
}

impl Error {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), hint: None, errno: None, over: false }
    }

    pub(crate) fn os(what: impl fmt::Display, errno: Errno) -> Self {
        Self { text: format!("{what}: {errno}"), hint: None, errno: Some(errno), over: false }
    }

    /// A quota is used up: the client is told.
    pub(super) fn over(text: impl Into<String>) -> Self {
        Self { over: true, ..Self::new(text) }
    }

    /// Whether a quota is used up.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    pub(crate) fn with_hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        self.hint
    }

    /// Whether there is no room.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self.errno, Some(Errno::ENOSPC | Errno::EDQUOT))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

/// Names the object of a system call that failed.
pub(super) trait During<T> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> During<T> for sys::Result<T> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|errno| Error::os(what(), errno))
    }
}

/// `None` for what is not there.
pub(super) fn found<T>(result: sys::Result<T>, what: impl FnOnce() -> String) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
        Err(errno) => Err(Error::os(what(), errno)),
    }
}
