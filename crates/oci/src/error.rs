//! What is wrong with a name, a digest or an image's document.

use alloc::string::String;
use core::fmt;

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The text does not follow its grammar, or the document its specification.
    Invalid,
    /// It can be understood in more than one way: two programs would see two images.
    Ambiguous,
    /// It may be right, but nothing here can make use of it.
    Unsupported,
    /// It is larger than anything of its kind has to be.
    TooLarge,
}

/// An error: a sentence fragment that names the text or the field, and its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    text: String,
}

impl Error {
    /// Makes an error from the parts of its text.
    #[cold]
    pub(crate) fn new(kind: ErrorKind, parts: &[&str]) -> Self {
        Self { kind, text: parts.concat() }
    }

    #[cold]
    pub(crate) fn invalid(parts: &[&str]) -> Self {
        Self::new(ErrorKind::Invalid, parts)
    }

    /// The same error, with the path of the field that it is about before it.
    #[cold]
    pub(crate) fn within(self, field: &str) -> Self {
        Self { text: [field, ": ", &self.text].concat(), ..self }
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The sentence fragment.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl core::error::Error for Error {}

/// The beginning of a foreign text, for a message: a line of a terminal, nothing that moves its cursor.
pub(crate) fn shown(text: &str) -> String {
    const SHOWN_LIMIT_CHARACTERS: usize = 80;
    let mut shown: String = text
        .chars()
        .take(SHOWN_LIMIT_CHARACTERS)
        .map(|character| if character.is_control() { '?' } else { character })
        .collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    shown
}
