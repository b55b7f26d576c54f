//! Errors, with what the user can do about them.

use std::fmt;
use std::path::Path;
use std::time::Duration;

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// It is not there.
    NotFound,
    /// A text or document is not what it has to be.
    Invalid,
    /// More than one thing is meant: the user has to say which.
    Ambiguous,
    /// It may be right, but it cannot be done here.
    Unsupported,
    /// A policy or configuration forbids it.
    Denied,
    /// Content is not what its digest or size says.
    Corrupt,
    /// Another machine does not do what it should, or cannot be reached.
    Network,
    /// The operating system refused.
    Os,
}

/// An error: a sentence fragment that names the object, its kind, and what helps.
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    text: String,
    hint: Option<String>,
    /// Whether another attempt would end in the same way.
    lasting: bool,
    /// How long a registry wants to be left alone.
    limited: Option<Duration>,
}

/// What most functions here return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Longest sentence: some paths, and a word of a file. What files and registries say can be longer.
const TEXT_LIMIT_BYTES: usize = 3000;

/// A text without its middle, if it is too long.
fn shortened(text: String) -> String {
    const END_BYTES: usize = 500;
    if text.len() <= TEXT_LIMIT_BYTES {
        return text;
    }
    let begin = text.floor_char_boundary(TEXT_LIMIT_BYTES - END_BYTES - 10);
    let end = text.ceil_char_boundary(text.len() - END_BYTES);
    [&text[..begin], " [...] ", &text[end..]].concat()
}

impl Error {
    /// An error without a hint.
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: shortened(text.into()),
            hint: None,
            lasting: kind != ErrorKind::Network,
            limited: None,
        }
    }

    /// The same error with what the user can do.
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same error, which another attempt would not change.
    pub(crate) fn lasting(self) -> Self {
        Self { lasting: true, ..self }
    }

    /// Whether another attempt would end in the same way.
    pub(crate) fn is_lasting(&self) -> bool {
        self.lasting
    }

    /// The same error, of a registry that limits how much is asked for.
    pub(crate) fn limiting(self, wait: Duration) -> Self {
        Self { limited: Some(wait), ..self }
    }

    /// How long a registry that limits how much is asked for wants to be left alone.
    pub fn limited(&self) -> Option<Duration> {
        self.limited
    }

    /// Two attempts at the same, both of which failed.
    pub(crate) fn and(self, other: Self) -> Self {
        let text = [&*self.text, "; ", &other.text].concat();
        Self { text, hint: self.hint.or(other.hint), ..other }
    }

    /// A failed call of the operating system.
    pub(crate) fn os(what: &str, path: &Path, error: &std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Os,
        };
        Self::new(kind, format!("{what} {}: {error}", path.display()))
    }

    /// Something is wrong with the text of a file.
    pub(crate) fn in_file(path: &Path, what: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Invalid, format!("{}: {what}", path.display()))
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
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

impl From<oci::Error> for Error {
    fn from(error: oci::Error) -> Self {
        let kind = match error.kind() {
            oci::ErrorKind::Unsupported => ErrorKind::Unsupported,
            oci::ErrorKind::Invalid | oci::ErrorKind::Ambiguous | oci::ErrorKind::TooLarge => {
                ErrorKind::Invalid
            }
        };
        Self::new(kind, error.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_has_an_end() {
        let short = Error::new(ErrorKind::Invalid, "x".repeat(TEXT_LIMIT_BYTES));
        assert_eq!(short.to_string().len(), TEXT_LIMIT_BYTES);
        let long = format!("begin {} end", "\u{e9}".repeat(1 << 20));
        let text = Error::new(ErrorKind::Invalid, long).to_string();
        assert!(text.len() <= TEXT_LIMIT_BYTES, "{}", text.len());
        assert!(text.starts_with("begin ") && text.ends_with(" end") && text.contains("[...]"));
    }
}
