//! Errors, with what the user can do about them.

use std::fmt;

/// What a caller can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// It is not there.
    NotFound,
    /// It is there already.
    Exists,
    /// Somebody uses it.
    InUse,
    /// A text or document is not what it has to be.
    Invalid,
    /// More than one thing is meant.
    Ambiguous,
    /// It may be right, but cannot be done here.
    Unsupported,
    /// A policy or configuration forbids it.
    Denied,
    /// Content is not what its digest or size says.
    Corrupt,
    /// Another machine does not do what it should.
    Network,
    /// Another process held a lock for longer than anybody waits.
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

/// What this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error without a hint.
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), hint: None }
    }

    /// The same error with what the user can do.
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same error, of what was attempted.
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
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

impl From<transport::Error> for Error {
    fn from(error: transport::Error) -> Self {
        use transport::ErrorKind;
        let kind = match error.kind() {
            ErrorKind::NotFound => Kind::NotFound,
            ErrorKind::Invalid => Kind::Invalid,
            ErrorKind::Ambiguous => Kind::Ambiguous,
            ErrorKind::Unsupported => Kind::Unsupported,
            ErrorKind::Denied => Kind::Denied,
            ErrorKind::Corrupt => Kind::Corrupt,
            ErrorKind::Network => Kind::Network,
            ErrorKind::Os => Kind::Os,
        };
        Self { kind, text: error.to_string(), hint: error.hint().map(str::to_owned) }
    }
}

/// For sources and sinks that stand on the store.
impl From<Error> for transport::Error {
    fn from(error: Error) -> Self {
        use transport::ErrorKind;
        let kind = match error.kind {
            Kind::NotFound => ErrorKind::NotFound,
            Kind::Invalid | Kind::Exists => ErrorKind::Invalid,
            Kind::Ambiguous => ErrorKind::Ambiguous,
            Kind::Unsupported => ErrorKind::Unsupported,
            Kind::Denied => ErrorKind::Denied,
            Kind::Corrupt => ErrorKind::Corrupt,
            Kind::Network => ErrorKind::Network,
            Kind::InUse | Kind::Busy | Kind::Os => ErrorKind::Os,
        };
        let made = Self::new(kind, error.text);
        match error.hint {
            Some(hint) => made.with_hint(hint),
            None => made,
        }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        use store::Kind as Store;
        let kind = match error.kind() {
            Store::NotFound => Kind::NotFound,
            Store::Exists => Kind::Exists,
            Store::InUse => Kind::InUse,
            Store::Invalid | Store::Limit => Kind::Invalid,
            Store::Unsupported => Kind::Unsupported,
            Store::Corrupt => Kind::Corrupt,
            Store::Busy => Kind::Busy,
            Store::ReadOnly => Kind::Denied,
            _ => Kind::Os,
        };
        Self { kind, text: error.to_string(), hint: error.hint().map(str::to_owned) }
    }
}

impl From<archive::Error> for Error {
    fn from(error: archive::Error) -> Self {
        use archive::Kind as Archive;
        let kind = match error.kind() {
            Archive::Corrupt | Archive::Ambiguous | Archive::Limit => Kind::Invalid,
            Archive::Mismatch => Kind::Corrupt,
            Archive::Unsupported => Kind::Unsupported,
            Archive::Denied => Kind::Denied,
            _ => Kind::Os,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<oci::Error> for Error {
    fn from(error: oci::Error) -> Self {
        let kind = match error.kind() {
            oci::ErrorKind::Unsupported => Kind::Unsupported,
            oci::ErrorKind::Ambiguous => Kind::Ambiguous,
            oci::ErrorKind::Invalid | oci::ErrorKind::TooLarge => Kind::Invalid,
        };
        Self::new(kind, error.text())
    }
}
