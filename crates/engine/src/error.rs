//! Errors, with what the user can do about them.

use std::fmt;
use sys::Errno;

/// What this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// There is none.
    NotFound,
    /// The name is taken.
    Exists,
    /// It is not in the state for it.
    State,
    /// Options or a record are not what they have to be.
    Invalid,
    /// It may be right, but cannot be done here.
    Unsupported,
    /// The program is not in the container.
    ProgramNotFound,
    /// The program cannot be executed.
    ProgramNotExecutable,
    /// Somebody else is about it.
    Busy,
    /// The operating system refused.
    Os,
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

    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, text)
    }

    /// A system call that failed.
    pub(crate) fn os(what: impl fmt::Display, errno: Errno) -> Self {
        Self::new(Kind::Os, format!("{what}: {errno}"))
    }

    /// The same error with what the user can do.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same error, of what was attempted.
    #[must_use]
    pub fn during(self, what: impl fmt::Display) -> Self {
        Self { text: format!("{what}: {}", self.text), ..self }
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// As it goes from a supervisor to whoever started it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let kind = KINDS.iter().position(|kind| *kind == self.kind).unwrap_or(0) as u8;
        let mut bytes = vec![kind];
        bytes.extend(self.text.as_bytes());
        if let Some(hint) = &self.hint {
            bytes.push(0);
            bytes.extend(hint.as_bytes());
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let (&kind, text) =
            bytes.split_first().unwrap_or((&0, b"the container's supervisor failed"));
        let kind = KINDS.get(usize::from(kind)).copied().unwrap_or(Kind::Os);
        let text = String::from_utf8_lossy(text);
        match text.split_once('\0') {
            Some((text, hint)) => Self::new(kind, text).with_hint(hint),
            None => Self::new(kind, text),
        }
    }
}

/// In the order of their numbers on the wire: the last one stands for what a program does not know.
const KINDS: [Kind; 9] = [
    Kind::Os,
    Kind::NotFound,
    Kind::Exists,
    Kind::State,
    Kind::Invalid,
    Kind::Unsupported,
    Kind::ProgramNotFound,
    Kind::ProgramNotExecutable,
    Kind::Busy,
];

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

impl From<runtime::error::Error> for Error {
    fn from(error: runtime::error::Error) -> Self {
        let is_program = error.to_string().starts_with("exec: ");
        let kind = match error.kind() {
            runtime::error::Kind::NotFound if is_program => Kind::ProgramNotFound,
            _ if is_program => Kind::ProgramNotExecutable,
            runtime::error::Kind::NotFound => Kind::NotFound,
            runtime::error::Kind::InUse => Kind::State,
            _ => Kind::Os,
        };
        Self { kind, text: error.to_string(), hint: error.hint().map(str::to_owned) }
    }
}

impl From<net::Error> for Error {
    fn from(error: net::Error) -> Self {
        let kind = match error.kind() {
            net::Kind::NotFound => Kind::NotFound,
            net::Kind::Exists => Kind::Exists,
            net::Kind::InUse => Kind::State,
            net::Kind::Invalid => Kind::Invalid,
            net::Kind::Unsupported => Kind::Unsupported,
            _ => Kind::Os,
        };
        Self { kind, text: error.to_string(), hint: error.hint().map(str::to_owned) }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        let kind = match error.kind() {
            store::Kind::NotFound => Kind::NotFound,
            store::Kind::Exists => Kind::Exists,
            store::Kind::InUse => Kind::State,
            _ => Kind::Os,
        };
        Self { kind, text: error.to_string(), hint: error.hint().map(str::to_owned) }
    }
}

/// Names the object of a system call that failed.
pub(crate) trait During<T> {
    /// `what` is made into the error's text.
    fn during<D: fmt::Display>(self, what: impl FnOnce() -> D) -> Result<T>;
}

impl<T> During<T> for sys::Result<T> {
    fn during<D: fmt::Display>(self, what: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|errno| Error::os(what(), errno))
    }
}

impl<T> During<T> for std::io::Result<T> {
    fn during<D: fmt::Display>(self, what: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|error| {
            let errno = Errno(error.raw_os_error().unwrap_or(Errno::EIO.0));
            Error::os(what(), errno)
        })
    }
}

#[test]
fn errors_survive_the_way_to_another_process() {
    let error = Error::new(Kind::ProgramNotFound, "exec: x: none").with_hint("write y");
    let read = Error::decode(&error.encode());
    assert_eq!(
        (read.kind(), read.to_string(), read.hint()),
        (error.kind(), error.to_string(), error.hint())
    );
    assert_eq!(Error::decode(b"").kind(), Kind::Os);
    assert_eq!(Error::decode(b"\xffx").kind(), Kind::Os);
}
